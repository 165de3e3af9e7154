//! A contact's record: what may be written of it, what a change of it means, and when two contacts
//! are the same.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::workload::known::Fact;

/// What a creation may carry (Graph: contact; the other properties are read-only). The three
/// `...EmailAddress` properties say again what `emailAddresses` says.
const WRITABLE: [&str; 33] = [
    "assistantName",
    "birthday",
    "businessAddress",
    "businessHomePage",
    "businessPhones",
    "categories",
    "children",
    "companyName",
    "department",
    "displayName",
    "emailAddresses",
    "fileAs",
    "generation",
    "givenName",
    "homeAddress",
    "homePhones",
    "imAddresses",
    "initials",
    "jobTitle",
    "manager",
    "middleName",
    "mobilePhone",
    "nickName",
    "officeLocation",
    "otherAddress",
    "personalNotes",
    "profession",
    "spouseName",
    "surname",
    "title",
    "yomiCompanyName",
    "yomiGivenName",
    "yomiSurname",
];

/// What the record says of the photo: kind, size, hash; or why it is missing.
pub(super) const PHOTO: &str = "tenantfsPhoto";

/// Properties that are no content of the contact.
const NOISE: [&str; 3] = ["parentFolderId", PHOTO, "singleValueExtendedProperties"];

/// Whether the vCard must be made again: anything changed but the folder. The photo is in no
/// property, and moves the changeKey.
pub(super) fn needs_content(stored: &Value, told: &Value) -> bool {
    let (Some(old), Some(new)) = (stored.as_object(), told.as_object()) else {
        return true;
    };
    new.iter().any(|(name, value)| {
        !name.contains('@') && !NOISE.contains(&name.as_str()) && old.get(name) != Some(value)
    })
}

/// The properties of a record that create the same contact.
pub(super) fn writable(record: &Value) -> Map<String, Value> {
    let said = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    WRITABLE
        .iter()
        .map(|name| (*name, &record[*name]))
        .filter(|(_, value)| said(value))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

/// Same contact by what people tell contacts apart by: name, e-mail addresses, mobile phone. Contacts
/// that have none of these are the same if all is the same.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    let (one, other) = (identity(a), identity(b));
    match one.is_empty() && other.is_empty() {
        false => one == other,
        true => writable(a) == writable(b),
    }
}

/// What [`same`] compares first.
pub(super) fn like(contact: &Value) -> Fact {
    Fact::of(&identity(contact))
}

fn identity(contact: &Value) -> BTreeSet<(&'static str, String)> {
    let mut facts = BTreeSet::new();
    for name in ["givenName", "surname", "mobilePhone"] {
        facts.insert((name, text(&contact[name])));
    }
    for email in contact["emailAddresses"].as_array().into_iter().flatten() {
        facts.insert(("email", text(&email["address"])));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_lowercase()
}

/// A filter that the same contact passes, as narrow as one property can make it; `None`: the contact
/// says nothing to look for.
pub(super) fn filter(contact: &Value) -> Option<String> {
    let quoted = |value: &Value| {
        let text = value
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty())?;
        Some(crate::graph::odata_quote(text))
    };
    if let Some(address) = quoted(&contact["emailAddresses"][0]["address"]) {
        return Some(format!("emailAddresses/any(a:a/address eq '{address}')"));
    }
    let names = [
        "surname",
        "givenName",
        "mobilePhone",
        "displayName",
        "companyName",
    ];
    let found = names
        .iter()
        .find_map(|name| Some((name, quoted(&contact[*name])?)));
    found.map(|(name, value)| format!("{name} eq '{value}'"))
}

/// A photo as the record tells it.
pub(super) fn photo_facts(photo: &crate::format::vcf::Photo) -> Value {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(&photo.bytes);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "contentType": photo.content_type, "size": photo.bytes.len(), "sha256": hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Value {
        json!({
            "id": "c", "changeKey": "1", "@odata.etag": "W/\"1\"", "givenName": "Ann", "surname": "Lee",
            "emailAddresses": [{ "name": "x", "address": "Ann@x.test" }], "mobilePhone": null,
            "homePhones": [], "homeAddress": {}, "personalNotes": "", "parentFolderId": "f",
            "primaryEmailAddress": { "address": "Ann@x.test" },
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut other = ann();
        other[name] = value;
        other
    }

    #[test]
    fn a_move_needs_no_content_and_a_new_change_key_does() {
        assert!(!needs_content(&ann(), &ann()));
        assert!(!needs_content(&ann(), &with("parentFolderId", json!("g"))));
        assert!(!needs_content(&ann(), &with("@odata.etag", json!("2"))));
        assert!(needs_content(&ann(), &with("changeKey", json!("2"))));
        assert!(needs_content(&ann(), &with("jobTitle", json!("CFO"))));
        let mut stored = ann();
        stored[PHOTO] = json!({ "size": 5 });
        assert!(!needs_content(&stored, &ann()));
    }

    #[test]
    fn only_what_may_be_written_is_written() {
        let body = Value::Object(writable(&ann()));
        let expected = json!({ "givenName": "Ann", "surname": "Lee",
            "emailAddresses": [{ "name": "x", "address": "Ann@x.test" }] });
        assert_eq!(body, expected);
    }

    #[test]
    fn the_same_person() {
        assert!(same(&ann(), &with("jobTitle", json!("CFO"))));
        assert!(same(&ann(), &with("surname", json!(" lee "))));
        assert!(!same(&ann(), &with("mobilePhone", json!("1"))));
        assert!(!same(&ann(), &with("emailAddresses", json!([]))));
        let company = json!({ "companyName": "Contoso", "displayName": "Contoso" });
        assert!(same(&company, &company));
        assert!(!same(&company, &json!({ "companyName": "Fabrikam" })));
        assert!(!same(&company, &ann()));
        let other =
            json!({ "companyName": "Contoso", "displayName": "Contoso", "businessPhones": ["1"] });
        assert!(!same(&company, &other));
    }

    #[test]
    fn a_filter_is_quoted() {
        let mut contact = json!({ "surname": "O'Neil" });
        assert_eq!(filter(&contact).unwrap(), "surname eq 'O''Neil'");
        contact["emailAddresses"] = json!([{ "address": "o'n@x.test" }]);
        assert_eq!(
            filter(&contact).unwrap(),
            "emailAddresses/any(a:a/address eq 'o''n@x.test')"
        );
        assert_eq!(filter(&json!({ "jobTitle": "x" })), None);
    }
}
