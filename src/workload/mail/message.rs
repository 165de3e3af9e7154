//! A message's record: which properties are asked for, what a change of them means, and the marker
//! that a restore leaves on a message.

use serde_json::{Value, json};
use uuid::Uuid;

use super::names::seconds;
use crate::graph::odata_quote;
use crate::workload::ItemKey;

/// Every property of a message that is not in its MIME.
pub(super) const SELECT: &str = "id,changeKey,createdDateTime,lastModifiedDateTime,categories,\
     receivedDateTime,sentDateTime,hasAttachments,internetMessageId,subject,importance,\
     parentFolderId,conversationId,conversationIndex,isDeliveryReceiptRequested,\
     isReadReceiptRequested,isRead,isDraft,webLink,inferenceClassification,sender,from,\
     toRecipients,ccRecipients,bccRecipients,replyTo,flag";

/// The named MAPI property that marks what this program restored.
pub const MARKER_ID: &str = "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name tenantfs";

/// `$expand` that brings the marker.
pub(super) fn expand_marker() -> String {
    format!("singleValueExtendedProperties($filter=id eq '{MARKER_ID}')")
}

/// What a live listing needs of a message.
pub(super) const LIVE_SELECT: &str = "id,subject,receivedDateTime,sentDateTime,createdDateTime,\
     lastModifiedDateTime,internetMessageId,isDraft,parentFolderId";

/// PidTagMessageSize.
const SIZE_ID: &str = "Integer 0x0E08";

/// `$expand` that brings the marker and the size.
pub(super) fn expand_live() -> String {
    format!("singleValueExtendedProperties($filter=id eq '{MARKER_ID}' or id eq '{SIZE_ID}')")
}

/// The size that Exchange keeps of a message, where it was asked for.
pub(super) fn size(record: &Value) -> Option<u64> {
    // Ids come back in Exchange's own spelling: `Integer 0xe08`.
    let is_size = |p: &&Value| {
        let id = p["id"].as_str().unwrap_or_default().to_ascii_lowercase();
        id.strip_prefix("integer 0x")
            .is_some_and(|tag| tag.trim_start_matches('0') == "e08")
    };
    let size = record["singleValueExtendedProperties"]
        .as_array()?
        .iter()
        .find(is_size)?;
    size["value"].as_str()?.parse().ok()
}

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Which push made this message.
    pub push: Uuid,
    /// Key of the message that it restores; `None` for files from elsewhere and for copies that
    /// shall stand beside the original.
    pub origin: Option<ItemKey>,
    /// When the original was created, for drafts: part of their name. Unix seconds.
    pub created: Option<i64>,
}

impl Marker {
    /// Reads it off a record.
    pub fn of(record: &Value) -> Option<Self> {
        let properties = record["singleValueExtendedProperties"].as_array()?;
        // Exchange writes ids its own way (letter case, braces are kept).
        let marker = properties.iter().find(|p| {
            p["id"]
                .as_str()
                .is_some_and(|id| id.eq_ignore_ascii_case(MARKER_ID))
        })?;
        Self::parse(marker["value"].as_str()?)
    }

    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let push = words.next()?.parse().ok()?;
        let origin = words.next().and_then(ItemKey::from_hex);
        let created = words.next().and_then(|w| w.parse().ok());
        Some(Self {
            push,
            origin,
            created,
        })
    }

    /// The value as it is stored.
    pub fn value(&self) -> String {
        let mut value = self.push.to_string();
        if let Some(origin) = &self.origin {
            value.push_str(&format!(" {origin}"));
            if let Some(created) = self.created {
                value.push_str(&format!(" {created}"));
            }
        }
        value
    }

    /// The value on an item that was imported whole, in one step. It reads as [`Marker::value`] does.
    pub fn exact_value(&self) -> String {
        let origin = self.origin.map_or_else(|| "-".into(), |key| key.to_string());
        let created = self.created.map_or_else(|| "-".into(), |at| at.to_string());
        format!("{} {origin} {created} exact", self.push)
    }

    /// `$filter` that finds what has this marker as this value.
    pub fn filter(value: &str) -> String {
        format!(
            "singleValueExtendedProperties/Any(ep: ep/id eq '{MARKER_ID}' and ep/value eq '{}')",
            odata_quote(value)
        )
    }

    /// The extended property.
    pub fn property(&self) -> Value {
        json!({ "id": MARKER_ID, "value": self.value() })
    }
}

/// Properties that change without the content changing.
const LIGHT: [&str; 5] = [
    "flag",
    "categories",
    "importance",
    "inferenceClassification",
    "isRead",
];
/// Properties that change with anything, or say nothing of the content.
const NOISE: [&str; 6] = [
    "@odata.etag",
    "changeKey",
    "lastModifiedDateTime",
    "webLink",
    "parentFolderId",
    "singleValueExtendedProperties@odata.context",
];

/// Whether the MIME must be fetched again. `told` may be partial.
///
/// Read state does not touch `lastModifiedDateTime`; flags, categories and attachments do, and so
/// does the body. So a later time that no light property explains means new content. In drafts
/// everything may change at once, so any later time means new content there.
pub(super) fn needs_content(stored: &Value, told: &Value) -> bool {
    let (Some(old), Some(new)) = (stored.as_object(), told.as_object()) else {
        return true;
    };
    if new.get("changeKey").is_some() && new.get("changeKey") == old.get("changeKey") {
        return false;
    }
    let changed = |name: &str| {
        new.get(name)
            .is_some_and(|value| old.get(name) != Some(value))
    };
    let others = new.keys().any(|name| {
        let known = LIGHT.contains(&name.as_str()) || NOISE.contains(&name.as_str());
        !known && !name.starts_with('@') && changed(name)
    });
    if others {
        return true;
    }
    let later = changed("lastModifiedDateTime");
    let draft = new.get("isDraft").or_else(|| old.get("isDraft")) == Some(&Value::Bool(true));
    later && (draft || !LIGHT.iter().any(|name| changed(name)))
}

/// Same message by what survives a restore: its internet message id and when it arrived.
pub(super) fn same_mail(a: &Value, b: &Value) -> bool {
    let id = |v: &Value| {
        v["internetMessageId"]
            .as_str()
            .map(str::trim)
            .map(str::to_owned)
    };
    id(a).is_some_and(|i| !i.is_empty())
        && id(a) == id(b)
        && seconds(&a["receivedDateTime"]) == seconds(&b["receivedDateTime"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Value {
        json!({
            "id": "m", "changeKey": "1", "@odata.etag": "W/\"1\"", "isRead": false, "isDraft": false,
            "lastModifiedDateTime": "2026-03-01T09:00:05Z", "categories": [], "subject": "a",
            "flag": { "flagStatus": "notFlagged" }, "parentFolderId": "f",
        })
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        let mut told = stored();
        told["changeKey"] = json!("2");
        for (name, value) in changes {
            told[name] = value.clone();
        }
        told
    }

    #[test]
    fn only_changes_of_content_need_content() {
        let later = ("lastModifiedDateTime", json!("2026-03-02T09:00:05Z"));
        let read = ("isRead", json!(true));
        let category = ("categories", json!(["Red"]));
        assert!(!needs_content(&stored(), &stored()));
        assert!(!needs_content(
            &stored(),
            &with(std::slice::from_ref(&read))
        ));
        assert!(!needs_content(
            &stored(),
            &with(&[category.clone(), later.clone()])
        ));
        assert!(!needs_content(
            &stored(),
            &with(&[("parentFolderId", json!("g"))])
        ));
        assert!(needs_content(
            &stored(),
            &with(std::slice::from_ref(&later))
        ));
        assert!(needs_content(&stored(), &with(&[("subject", json!("b"))])));
        assert!(needs_content(
            &stored(),
            &with(&[category, later.clone(), ("isDraft", json!(true))])
        ));
        // Partial records tell only what changed.
        assert!(!needs_content(
            &stored(),
            &json!({ "id": "m", "isRead": true })
        ));
        assert!(needs_content(
            &stored(),
            &json!({ "id": "m", "subject": "b" })
        ));
    }

    #[test]
    fn a_marker_comes_back() {
        for marker in [
            Marker {
                push: Uuid::from_u128(5),
                origin: None,
                created: None,
            },
            Marker {
                push: Uuid::from_u128(5),
                origin: Some(ItemKey([3; 16])),
                created: None,
            },
            Marker {
                push: Uuid::from_u128(5),
                origin: Some(ItemKey([3; 16])),
                created: Some(77),
            },
        ] {
            let record = json!({ "singleValueExtendedProperties": [
                { "id": "String 0x1a", "value": "x" },
                { "id": MARKER_ID.to_lowercase(), "value": marker.value() },
            ]});
            assert_eq!(Marker::of(&record), Some(marker.clone()));
            assert_eq!(Marker::parse(&marker.exact_value()), Some(marker));
        }
        assert_eq!(Marker::of(&json!({})), None);
        assert_eq!(Marker::parse("hello"), None);
    }
}
