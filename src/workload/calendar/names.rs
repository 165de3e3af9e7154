//! How events, calendars and their groups are named in the mount.

use serde_json::Value;

use crate::format::ics;
use crate::tree::names::{folder_name, item_name};
use crate::workload::mail::names::seconds;
use crate::workload::{Described, EntryKind, ItemKey, Marker};

/// An event's name tells when it starts, in its own zone (a series: when it first started), and its
/// subject. A restored event is named by the key of its original, so that it has the original's name.
pub(super) fn describe(kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
    if kind == EntryKind::Folder {
        return Described {
            name: folder_name(record["name"].as_str().unwrap_or_default(), key),
            mtime: 0,
        };
    }
    let origin = Marker::of(record).and_then(|marker| marker.origin);
    let key = origin.as_ref().unwrap_or(key);
    let subject = record["subject"].as_str().filter(|s| !s.trim().is_empty());
    let start = match ics::local_start(record) {
        Some((day, true)) => day.strftime("%Y-%m-%d").to_string(),
        Some((start, false)) => start.strftime("%Y-%m-%d %H%M").to_string(),
        // Listed, but never read.
        None => String::new(),
    };
    Described {
        name: item_name(&[&start, subject.unwrap_or("(no subject)")], "ics", key),
        mtime: seconds(&record["lastModifiedDateTime"]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: ItemKey = ItemKey([7; 16]);

    #[test]
    fn an_event_is_named_by_its_start_in_its_own_zone() {
        let mut record = json!({
            "subject": "Board/meeting", "originalStartTimeZone": "Tokyo Standard Time", "isAllDay": false,
            "start": { "dateTime": "2026-12-01T20:00:00.0000000", "timeZone": "UTC" },
            "lastModifiedDateTime": "2026-03-01T09:00:05.1234567Z",
        });
        let named = describe(EntryKind::Item, &KEY, &record);
        assert!(
            named.name.starts_with("2026-12-02 0500 Board%2Fmeeting."),
            "{}",
            named.name
        );
        assert!(named.name.ends_with(".ics"));
        assert_eq!(named.mtime, 1_772_355_605);
        let marker = Marker {
            push: uuid::Uuid::nil(),
            origin: Some(KEY),
            created: None,
        };
        record["singleValueExtendedProperties"] = json!([marker.property()]);
        let other = ItemKey([9; 16]);
        assert_eq!(describe(EntryKind::Item, &other, &record).name, named.name);
        record["isAllDay"] = json!(true);
        record["start"]["dateTime"] = json!("2026-12-01T00:00:00.0000000");
        let day = describe(EntryKind::Item, &KEY, &record);
        assert!(
            day.name.starts_with("2026-12-01 Board%2Fmeeting."),
            "{}",
            day.name
        );
    }

    #[test]
    fn broken_records_have_names_too() {
        for record in [
            json!({}),
            json!(null),
            json!({ "start": "soon", "subject": 5 }),
        ] {
            let named = describe(EntryKind::Item, &KEY, &record);
            assert!(named.name.starts_with("(no subject)."), "{}", named.name);
            assert!(!describe(EntryKind::Folder, &KEY, &record).name.is_empty());
        }
    }
}
