//! The hidden list of everybody that a site collection knows: what values of people refer to.

use serde_json::Value;

use crate::drive::Fields;
use crate::users::User;

/// One entry of the list.
pub struct Entry {
    pub content_type: &'static str,
    pub fields: Fields,
}

/// The login name of a user, as SharePoint has it.
pub fn login_name(upn: &str) -> String {
    format!("i:0#.f|membership|{}", upn.to_lowercase())
}

pub fn user(user: &User) -> Entry {
    let mut fields = Fields::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), Value::from(value));
        }
    };
    put("Title", Some(&user.display_name));
    put("Name", Some(&login_name(&user.upn)));
    put("EMail", user.mail.as_deref());
    put("UserName", Some(&user.upn));
    put("FirstName", user.given_name.as_deref());
    put("LastName", user.surname.as_deref());
    put("JobTitle", user.job_title.as_deref());
    put("SipAddress", user.mail.as_deref());
    Entry {
        content_type: "0x010A",
        fields,
    }
}

pub fn group(name: &str) -> Entry {
    let mut fields = Fields::new();
    fields.insert("Title".into(), name.into());
    fields.insert("Name".into(), name.into());
    Entry {
        content_type: "0x010B",
        fields,
    }
}
