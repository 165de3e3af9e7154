//! A contact as Graph shows it.

use serde_json::{Value, json};

use super::store::{Book, Detail};
use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::extensions;
use crate::mail::ids::No;
use crate::mail::properties::{PropertyValue, Wanted};
use crate::odata::{Object, Select};

/// How a property is written, and what it is when nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string or null.
    Text,
    /// A string that is empty rather than null.
    Note,
    Texts,
    Time,
    Address,
    Emails,
    /// One of the first three of `emailAddresses`, by its place.
    Email(usize),
}

/// What can be written of a contact.
pub const PROPERTIES: &[(&str, Kind)] = &[
    ("assistantName", Kind::Text),
    ("birthday", Kind::Time),
    ("businessAddress", Kind::Address),
    ("businessHomePage", Kind::Text),
    ("businessPhones", Kind::Texts),
    ("categories", Kind::Texts),
    ("children", Kind::Texts),
    ("companyName", Kind::Text),
    ("department", Kind::Text),
    ("displayName", Kind::Text),
    ("emailAddresses", Kind::Emails),
    ("fileAs", Kind::Text),
    ("generation", Kind::Text),
    ("givenName", Kind::Text),
    ("homeAddress", Kind::Address),
    ("homePhones", Kind::Texts),
    ("imAddresses", Kind::Texts),
    ("initials", Kind::Text),
    ("jobTitle", Kind::Text),
    ("manager", Kind::Text),
    ("middleName", Kind::Text),
    ("mobilePhone", Kind::Text),
    ("nickName", Kind::Text),
    ("officeLocation", Kind::Text),
    ("otherAddress", Kind::Address),
    ("personalNotes", Kind::Note),
    ("primaryEmailAddress", Kind::Email(0)),
    ("profession", Kind::Text),
    ("secondaryEmailAddress", Kind::Email(1)),
    ("spouseName", Kind::Text),
    ("surname", Kind::Text),
    ("tertiaryEmailAddress", Kind::Email(2)),
    ("title", Kind::Text),
    ("yomiCompanyName", Kind::Text),
    ("yomiGivenName", Kind::Text),
    ("yomiSurname", Kind::Text),
];

/// Set by the service.
pub const SERVICE: &[&str] = &[
    "id",
    "changeKey",
    "parentFolderId",
    "createdDateTime",
    "lastModifiedDateTime",
];

/// Navigation properties; they may be named in `$select` too.
const NAVIGATION: &[&str] = &[
    "extensions",
    "photo",
    "singleValueExtendedProperties",
    "multiValueExtendedProperties",
];

/// How contacts are to be shown.
pub struct View {
    pub select: Select,
    wanted: Wanted,
    extensions: bool,
    photo: bool,
    pub immutable: bool,
}

impl View {
    pub fn of(request: &ApiRequest) -> Result<View, ApiResponse> {
        View::new(request, request.option("select"), request.option("expand"))
    }

    pub fn new(
        request: &ApiRequest,
        select: Option<&str>,
        expand: Option<&str>,
    ) -> Result<View, ApiResponse> {
        let expand = expand.unwrap_or_default();
        let lower = expand.to_ascii_lowercase();
        Ok(View {
            select: selected(select)?,
            wanted: Wanted::parse(expand),
            extensions: lower.contains("extensions"),
            photo: lower.split(',').any(|part| part.trim() == "photo"),
            immutable: request.immutable_ids(),
        })
    }
}

fn selected(select: Option<&str>) -> Result<Select, ApiResponse> {
    let known: Vec<&str> = PROPERTIES
        .iter()
        .map(|(name, _)| *name)
        .chain(SERVICE.iter().copied())
        .chain(NAVIGATION.iter().copied())
        .collect();
    Select::parse(select, "microsoft.graph.contact", &known)
}

/// `W/"changeKey"`.
pub fn etag(book: &Book, no: No) -> String {
    format!("W/\"{}\"", book.ids.change_key(book.item(no).seq))
}

pub fn contact(book: &Book, no: No, view: &View) -> Object {
    let detail = book.detail(no);
    let item = book.item(no);
    let mut out = properties(&detail);
    out.insert("id".into(), json!(book.contact_id(no, view.immutable)));
    out.insert("@odata.etag".into(), json!(etag(book, no)));
    out.insert("changeKey".into(), json!(book.ids.change_key(item.seq)));
    out.insert("parentFolderId".into(), json!(book.folder_id(item.folder)));
    view.select.apply(&mut out);
    view.wanted.show(|id| property(&detail, id), &mut out);
    if view.extensions {
        let all: Vec<Value> = detail.extensions.iter().map(extensions::show).collect();
        out.insert("extensions".into(), Value::Array(all));
    }
    if view.photo {
        let photo = detail.photo.as_ref().map(super::photo::show);
        out.insert("photo".into(), photo.unwrap_or_default());
    }
    out
}

/// All that can be written of a contact, and its times.
pub fn properties(detail: &Detail) -> Object {
    let mut out = Object::new();
    for (name, kind) in PROPERTIES {
        let value = detail.props.get(*name).cloned();
        let value = match kind {
            Kind::Text | Kind::Time => value.unwrap_or_default(),
            Kind::Note => value.unwrap_or_else(|| json!("")),
            Kind::Texts | Kind::Emails => value.unwrap_or_else(|| json!([])),
            Kind::Address => value.unwrap_or_else(|| json!({})),
            Kind::Email(place) => detail
                .props
                .get("emailAddresses")
                .and_then(|all| all.get(place))
                .cloned()
                .unwrap_or_default(),
        };
        out.insert((*name).to_owned(), value);
    }
    out.insert("createdDateTime".into(), json!(rfc3339(detail.created)));
    out.insert(
        "lastModifiedDateTime".into(),
        json!(rfc3339(detail.modified)),
    );
    out
}

/// An extended property of a contact: what was written, else what Exchange derives.
pub fn property(detail: &Detail, id: &str) -> Option<PropertyValue> {
    if let Some(value) = detail.extended.get(id) {
        return Some(value.clone());
    }
    if id == "String 0x1a" {
        return Some(PropertyValue::Single("IPM.Contact".into()));
    }
    let (_, name) = DERIVED.iter().find(|(tag, _)| *tag == id)?;
    let text = detail.props.get(*name)?.as_str()?;
    Some(PropertyValue::Single(text.to_owned()))
}

/// MAPI properties that are properties of the model too ([MS-OXOCNTC]).
const DERIVED: &[(&str, &str)] = &[
    ("String 0x37", "displayName"),
    ("String 0x3001", "displayName"),
    ("String 0x3a05", "generation"),
    ("String 0x3a06", "givenName"),
    ("String 0x3a0a", "initials"),
    ("String 0x3a11", "surname"),
    ("String 0x3a16", "companyName"),
    ("String 0x3a17", "jobTitle"),
    ("String 0x3a18", "department"),
    ("String 0x3a19", "officeLocation"),
    ("String 0x3a1c", "mobilePhone"),
    ("String 0x3a30", "assistantName"),
    ("String 0x3a44", "middleName"),
    ("String 0x3a45", "title"),
    ("String 0x3a46", "profession"),
    ("String 0x3a48", "spouseName"),
    ("String 0x3a4e", "manager"),
    ("String 0x3a4f", "nickName"),
    ("String 0x3a51", "businessHomePage"),
];
