//! A message's record: which properties are asked for, and what a change of them means.

use serde_json::Value;

use super::names::seconds;
use crate::workload::MARKER_ID;

/// Every property of a message that is not in its MIME.
pub(super) const SELECT: &str = "id,changeKey,createdDateTime,lastModifiedDateTime,categories,\
     receivedDateTime,sentDateTime,hasAttachments,internetMessageId,subject,importance,\
     parentFolderId,conversationId,conversationIndex,isDeliveryReceiptRequested,\
     isReadReceiptRequested,isRead,isDraft,webLink,inferenceClassification,sender,from,\
     toRecipients,ccRecipients,bccRecipients,replyTo,flag";

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
    let all = record["singleValueExtendedProperties"].as_array()?;
    let size = all.iter().find(|p| is_size(p))?;
    size["value"].as_str()?.parse().ok()
}

fn is_size(property: &Value) -> bool {
    // Ids come back in Exchange's own spelling: `Integer 0xe08`.
    let id = property["id"]
        .as_str()
        .unwrap_or_default()
        .to_ascii_lowercase();
    id.strip_prefix("integer 0x")
        .is_some_and(|tag| tag.trim_start_matches('0') == "e08")
}

/// Where a record has the size, if it was asked for. As an annotation, it is no change of the message.
pub(super) const SIZE: &str = "@tenantfs.size";

/// Puts the size where it is no property: Exchange's own grows with a flag.
pub(super) fn set_size_apart(record: &mut Value) {
    let Some(size) = size(record) else { return };
    record[SIZE] = size.into();
    if let Some(all) = record["singleValueExtendedProperties"].as_array_mut() {
        all.retain(|p| !is_size(p));
        if !all.is_empty() {
            return;
        }
    }
    if let Some(record) = record.as_object_mut() {
        record.remove("singleValueExtendedProperties");
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

/// Same message by what survives a restore: its internet message id and when it arrived. A file that
/// does not tell when (`b`) is the same by its id alone.
pub(super) fn same_mail(a: &Value, b: &Value) -> bool {
    let id = |v: &Value| {
        v["internetMessageId"]
            .as_str()
            .map(str::trim)
            .map(str::to_owned)
    };
    id(a).is_some_and(|i| !i.is_empty())
        && id(a) == id(b)
        && seconds(&b["receivedDateTime"])
            .is_none_or(|received| seconds(&a["receivedDateTime"]) == Some(received))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
    fn a_size_is_no_property() {
        let mut record = json!({ "id": "m", "singleValueExtendedProperties": [
            { "id": "Integer 0xe08", "value": "4711" },
        ]});
        set_size_apart(&mut record);
        assert_eq!(record, json!({ "id": "m", SIZE: 4711 }));
        let mut grown = stored();
        grown["changeKey"] = json!("2");
        grown[SIZE] = json!(4712);
        assert!(!needs_content(&stored(), &grown));
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
}
