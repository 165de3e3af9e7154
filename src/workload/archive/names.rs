//! How items and folders of an archive are named in the mount.
//!
//! From the few facts that a listing tells: class, subject, and the times that an item was received or
//! begins. So a name is known before the item is fetched, and the same in a live listing.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::format::fasttransfer::{self, Form};
use crate::tree::names::{folder_name, item_name};
use crate::workload::exchange::extended;
use crate::workload::{Described, EntryKind, ItemKey, MARKER_ID, Marker};

/// PidTagSubject.
const SUBJECT: &str = "String 0x0037";
/// PidTagMessageDeliveryTime.
const RECEIVED: &str = "SystemTime 0x0E06";
/// PidTagClientSubmitTime.
const SENT: &str = "SystemTime 0x0039";
/// PidTagInternetMessageId.
const MESSAGE_ID: &str = "String 0x1035";
/// PidLidAppointmentStartWhole.
const START: &str = "SystemTime {00062002-0000-0000-C000-000000000046} Id 0x820D";

/// `$expand` that brings what names are made of, what tells a mail from another, and the marker.
pub(super) fn expand() -> String {
    let ids = [SUBJECT, RECEIVED, SENT, MESSAGE_ID, START, MARKER_ID];
    let any: Vec<String> = ids.iter().map(|id| format!("id eq '{id}'")).collect();
    format!(
        "singleValueExtendedProperties($filter={})",
        any.join(" or ")
    )
}

/// The key of the property that says that a stream could not be read.
pub(super) const UNREAD: &str = "tenantfsUnreadable";

pub(super) fn describe(kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
    if kind == EntryKind::Folder {
        return Described {
            name: folder_name(record["displayName"].as_str().unwrap_or_default(), key),
            mtime: 0,
        };
    }
    let origin = Marker::of(record).and_then(|marker| marker.origin);
    let key = origin.as_ref().unwrap_or(key);
    let form = form(record);
    let extension = match record[UNREAD].is_null() {
        true => form.extension(),
        false => "fts",
    };
    let modified = seconds(record["lastModifiedDateTime"].as_str());
    let created = seconds(record["createdDateTime"].as_str());
    let received = seconds(extended(record, RECEIVED)).or_else(|| seconds(extended(record, SENT)));
    let (when, mtime) = match form {
        Form::Mail => (received.or(created), received.or(modified)),
        Form::Event => (seconds(extended(record, START)).or(created), modified),
        // What has no time of its own is found by its name.
        _ => (None, modified),
    };
    let subject = extended(record, SUBJECT).filter(|s| !s.trim().is_empty());
    let subject = subject.unwrap_or("(no subject)");
    let when = when.map(minute);
    let parts: Vec<&str> = when.as_deref().into_iter().chain([subject]).collect();
    Described {
        name: item_name(&parts, extension, key),
        mtime: mtime.or(created).unwrap_or_default(),
    }
}

/// What an item is shown as.
pub(super) fn form(record: &Value) -> Form {
    fasttransfer::extension(record["type"].as_str().unwrap_or_default())
}

/// What tells that two mails are the same: message id, and when it was received. `None` for what has
/// none.
pub(super) fn identity(record: &Value) -> Option<(String, Option<i64>)> {
    let id = extended(record, MESSAGE_ID)?.trim();
    let received = seconds(extended(record, RECEIVED));
    (!id.is_empty()).then(|| (id.to_owned(), received))
}

/// The same of a message's JSON.
pub(super) fn identity_of(message: &Value, received: Option<i64>) -> Option<(String, Option<i64>)> {
    let id = message["internetMessageId"].as_str()?.trim();
    (!id.is_empty()).then(|| (id.to_owned(), received))
}

fn seconds(time: Option<&str>) -> Option<i64> {
    Some(time?.parse::<Timestamp>().ok()?.as_second())
}

/// `2026-03-01 0900`, UTC.
fn minute(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = time.to_zoned(TimeZone::UTC);
    time.strftime("%Y-%m-%d %H%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: ItemKey = ItemKey([7; 16]);

    fn named(record: &Value) -> String {
        let name = describe(EntryKind::Item, &KEY, record).name;
        name.replace(&format!(".{}.", KEY.suffix()), ".")
    }

    #[test]
    fn names_by_class() {
        let mut record = json!({
            "type": "IPM.Note", "createdDateTime": "2026-05-01T10:00:00Z",
            "lastModifiedDateTime": "2026-05-02T10:00:00Z",
            "singleValueExtendedProperties": [
                { "id": "String 0x37", "value": "Board/meeting" },
                { "id": "SystemTime 0xe06", "value": "2026-03-01T09:00:05Z" },
                { "id": "SystemTime {00062002-0000-0000-c000-000000000046} Id 0x820d", "value": "2026-12-01T10:00:00Z" },
            ],
        });
        assert_eq!(named(&record), "2026-03-01 0900 Board%2Fmeeting.eml");
        record["type"] = json!("IPM.Appointment");
        assert_eq!(named(&record), "2026-12-01 1000 Board%2Fmeeting.ics");
        record["type"] = json!("IPM.Contact");
        assert_eq!(named(&record), "Board%2Fmeeting.vcf");
        record["type"] = json!("IPM.StickyNote");
        assert_eq!(named(&record), "Board%2Fmeeting.txt");
        record["type"] = json!("IPM.Note");
        record[UNREAD] = json!("why");
        assert_eq!(named(&record), "2026-03-01 0900 Board%2Fmeeting.fts");
        for broken in [json!({}), json!(null), json!({ "type": 5 })] {
            assert_eq!(named(&broken), "(no subject).eml");
        }
    }
}
