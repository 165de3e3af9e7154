//! How mails and mail folders are named in the mount, and how a folder's name there becomes a
//! display name again.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::tree::names::{folder_name, item_name};
use crate::workload::{Described, EntryKind, ItemKey, Marker};

/// Name and time, from facts that do not change: time of arrival and subject; for drafts, whose
/// subject does change, the time of creation and the word "Draft". A restored message is named by
/// the key of its original, so that it has the original's name.
pub(super) fn describe(kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
    match kind {
        EntryKind::Folder => Described {
            name: folder_name(record["displayName"].as_str().unwrap_or_default(), key),
            mtime: 0,
        },
        EntryKind::Item => message(key, record),
    }
}

fn message(key: &ItemKey, record: &Value) -> Described {
    let marker = Marker::of(record);
    let origin = marker.as_ref().and_then(|m| m.origin);
    let key = origin.as_ref().unwrap_or(key);
    let time = |name: &str| seconds(&record[name]);
    if record["isDraft"].as_bool() == Some(true) {
        let created = marker
            .and_then(|m| m.created)
            .or_else(|| time("createdDateTime"));
        let created = created.unwrap_or_default();
        return Described {
            name: item_name(&[&minute(created), "Draft"], "eml", key),
            mtime: time("lastModifiedDateTime").unwrap_or(created),
        };
    }
    let received = time("receivedDateTime")
        .or_else(|| time("createdDateTime"))
        .unwrap_or_default();
    let subject = record["subject"].as_str().filter(|s| !s.trim().is_empty());
    Described {
        name: item_name(
            &[&minute(received), subject.unwrap_or("(no subject)")],
            "eml",
            key,
        ),
        mtime: received,
    }
}

/// Unix seconds of a Graph time.
pub(super) fn seconds(value: &Value) -> Option<i64> {
    Some(value.as_str()?.parse::<Timestamp>().ok()?.as_second())
}

/// `2026-03-01 0900`, UTC.
fn minute(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H%M")
        .to_string()
}

/// The display name that a folder made under this name shall have: `%XX` escapes are undone, so
/// that a folder copied out of a snapshot is called what it was called.
pub(in crate::workload) fn display_name(name: &str) -> String {
    percent_encoding::percent_decode_str(name)
        .decode_utf8()
        .map(|text| text.chars().filter(|c| !c.is_control()).collect())
        .unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: ItemKey = ItemKey([7; 16]);

    #[test]
    fn a_mail_is_named_by_what_does_not_change() {
        let mut record = json!({
            "receivedDateTime": "2026-03-01T09:00:05Z", "subject": "Quarter/figures", "isRead": false,
            "createdDateTime": "2026-03-02T10:00:00Z", "isDraft": false,
        });
        let named = describe(EntryKind::Item, &KEY, &record);
        assert!(
            named.name.starts_with("2026-03-01 0900 Quarter%2Ffigures."),
            "{}",
            named.name
        );
        assert!(named.name.ends_with(".eml"));
        assert_eq!(named.mtime, 1_772_355_605);
        record["isRead"] = json!(true);
        assert_eq!(describe(EntryKind::Item, &KEY, &record), named);
        record["isDraft"] = json!(true);
        let draft = describe(EntryKind::Item, &KEY, &record);
        assert!(
            draft.name.starts_with("2026-03-02 1000 Draft."),
            "{}",
            draft.name
        );
    }

    #[test]
    fn a_restored_mail_has_its_originals_name() {
        let record = json!({ "receivedDateTime": "2026-03-01T09:00:05Z", "subject": "a" });
        let original = describe(EntryKind::Item, &KEY, &record);
        let mut restored = record.clone();
        let marker = Marker {
            push: uuid::Uuid::nil(),
            origin: Some(KEY),
            created: None,
        };
        restored["singleValueExtendedProperties"] = json!([marker.property()]);
        let other = ItemKey([9; 16]);
        assert_eq!(describe(EntryKind::Item, &other, &restored), original);
        assert_ne!(describe(EntryKind::Item, &other, &record), original);
    }

    #[test]
    fn broken_records_have_names_too() {
        for record in [
            json!({}),
            json!(null),
            json!({"receivedDateTime": "soon", "subject": 5}),
        ] {
            let named = describe(EntryKind::Item, &KEY, &record);
            assert!(
                named.name.starts_with("1970-01-01 0000 (no subject)."),
                "{}",
                named.name
            );
            assert!(!describe(EntryKind::Folder, &KEY, &record).name.is_empty());
        }
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(display_name("A%2FB"), "A/B");
        assert_eq!(display_name("100%"), "100%");
        assert_eq!(display_name("a%00b%0A"), "ab");
        assert_eq!(display_name("%FF"), "%FF");
    }
}
