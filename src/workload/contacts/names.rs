//! How contacts and contact folders are named in the mount.

use serde_json::Value;

use crate::tree::names::{folder_name, item_name};
use crate::workload::Marker;
use crate::workload::mail::names::seconds;
use crate::workload::{Described, EntryKind, ItemKey};

/// `Surname, Given` and the suffix of the id; a restored contact has the suffix of its original.
pub(super) fn describe(kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
    match kind {
        EntryKind::Folder => Described {
            name: folder_name(record["displayName"].as_str().unwrap_or_default(), key),
            mtime: 0,
        },
        EntryKind::Item => {
            let origin = Marker::of(record).and_then(|marker| marker.origin);
            Described {
                name: item_name(&[&shown(record)], "vcf", origin.as_ref().unwrap_or(key)),
                mtime: seconds(&record["lastModifiedDateTime"]).unwrap_or_default(),
            }
        }
    }
}

/// What people look a contact up by.
fn shown(record: &Value) -> String {
    let text = |value: &Value| {
        let text = value
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    match (text(&record["surname"]), text(&record["givenName"])) {
        (Some(surname), Some(given)) => return format!("{surname}, {given}"),
        (Some(name), None) | (None, Some(name)) => return name,
        (None, None) => {}
    }
    ["displayName", "fileAs", "companyName"]
        .iter()
        .find_map(|name| text(&record[*name]))
        .or_else(|| text(&record["emailAddresses"][0]["address"]))
        .unwrap_or_else(|| "(no name)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: ItemKey = ItemKey([7; 16]);

    #[test]
    fn contacts_are_named_by_their_names() {
        let name = |record: Value| describe(EntryKind::Item, &KEY, &record).name;
        let suffix = KEY.suffix();
        for (record, expected) in [
            (
                json!({ "surname": "Roe", "givenName": "Jane", "displayName": "x" }),
                "Roe, Jane",
            ),
            (json!({ "givenName": " Jane " }), "Jane"),
            (json!({ "companyName": "A/B\n" }), "A%2FB"),
            (
                json!({ "emailAddresses": [{ "address": "a@x.test" }] }),
                "a@x.test",
            ),
            (json!({ "surname": 5 }), "(no name)"),
            (json!(null), "(no name)"),
        ] {
            assert_eq!(name(record), format!("{expected}.{suffix}.vcf"));
        }
    }

    #[test]
    fn a_restored_contact_has_its_originals_name() {
        let mut record =
            json!({ "surname": "Roe", "lastModifiedDateTime": "2026-03-01T09:00:05Z" });
        let original = describe(EntryKind::Item, &KEY, &record);
        assert_eq!(original.mtime, 1_772_355_605);
        let marker = Marker {
            push: uuid::Uuid::nil(),
            origin: Some(KEY),
            created: None,
        };
        record["singleValueExtendedProperties"] = json!([marker.property()]);
        assert_eq!(
            describe(EntryKind::Item, &ItemKey([9; 16]), &record),
            original
        );
    }
}
