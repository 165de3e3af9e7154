//! How tasks and task lists are named in the mount.

use serde_json::Value;

use crate::tree::names::{folder_name, item_name};
use crate::workload::Marker;
use crate::workload::mail::names::seconds;
use crate::workload::{Described, EntryKind, ItemKey};

/// The title and the suffix of the id; a restored task has the suffix of its original.
pub(super) fn describe(kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
    match kind {
        EntryKind::Folder => Described {
            name: folder_name(record["displayName"].as_str().unwrap_or_default(), key),
            mtime: 0,
        },
        EntryKind::Item => {
            let origin = Marker::of(record).and_then(|marker| marker.origin);
            let title = record["title"]
                .as_str()
                .filter(|title| !title.trim().is_empty());
            Described {
                name: item_name(
                    &[title.unwrap_or("(no title)")],
                    "ics",
                    origin.as_ref().unwrap_or(key),
                ),
                mtime: seconds(&record["lastModifiedDateTime"]).unwrap_or_default(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tasks_are_named_by_their_titles() {
        let key = ItemKey([7; 16]);
        let suffix = key.suffix();
        let mut record =
            json!({ "title": "Buy\nmilk", "lastModifiedDateTime": "2026-03-01T09:00:05.1230000Z" });
        let named = describe(EntryKind::Item, &key, &record);
        assert_eq!(named.name, format!("Buy milk.{suffix}.ics"));
        assert_eq!(named.mtime, 1_772_355_605);
        let marker = Marker {
            push: uuid::Uuid::nil(),
            origin: Some(key),
            created: None,
        };
        record["extensions"] = json!([marker.extension()]);
        assert_eq!(describe(EntryKind::Item, &ItemKey([9; 16]), &record), named);
        let empty = describe(EntryKind::Item, &key, &json!(null)).name;
        assert_eq!(empty, format!("(no title).{suffix}.ics"));
    }
}
