//! A message's record: which properties are asked for, and what a change of them means.

use serde_json::{Value, json};

use super::Route;
use super::names::seconds;
use crate::workload::MARKER_ID;
use crate::workload::exchange::{extended, same_id};
use crate::workload::known::Fact;

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
/// PidTagSensitivity: 0 for most.
pub(super) const SENSITIVITY: &str = "Integer 0x0036";
/// PidTagLastVerbExecuted and PidTagLastVerbExecutionTime: whether and when it was answered or forwarded.
const VERB: &str = "Integer 0x1081";
const VERB_TIME: &str = "SystemTime 0x1082";
/// PidTagIconIndex: what Outlook shows the verb by.
const ICON: &str = "Integer 0x1080";

/// What people see of a message and neither MIME nor a property of Graph's carries. (Graph lists no MAPI
/// properties: each has to be asked for by its name.)
const KEPT: [&str; 3] = [SENSITIVITY, VERB, VERB_TIME];

/// `$expand` that brings the marker and the size.
pub(super) fn expand_live() -> String {
    expand(&[MARKER_ID, SIZE_ID])
}

/// `$expand` of what is captured. Batches of exports are made by size.
pub(super) fn expand_captured(route: Route) -> String {
    let mut ids = vec![MARKER_ID];
    ids.extend(KEPT);
    if route == Route::Export {
        ids.push(SIZE_ID);
    }
    expand(&ids)
}

fn expand(ids: &[&str]) -> String {
    let each: Vec<String> = ids.iter().map(|id| format!("id eq '{id}'")).collect();
    format!(
        "singleValueExtendedProperties($filter={})",
        each.join(" or ")
    )
}

/// What a record keeps of MAPI properties, to be written back.
pub(super) fn kept(record: &Value) -> Vec<Value> {
    let mut kept: Vec<(&str, &str)> = KEPT
        .into_iter()
        .filter_map(|id| Some((id, extended(record, id)?)))
        .collect();
    // Reply, reply to all; forward ([MS-OXOMSG] 2.2.1.8, and 2.2.1.10 for the icons).
    match extended(record, VERB) {
        Some("102" | "103") => kept.push((ICON, "261")),
        Some("104") => kept.push((ICON, "262")),
        _ => {}
    }
    let property = |(id, value): (&str, &str)| json!({ "id": id, "value": value });
    kept.into_iter().map(property).collect()
}

/// The size that Exchange keeps of a message, where it was asked for.
pub(super) fn size(record: &Value) -> Option<u64> {
    extended(record, SIZE_ID)?.parse().ok()
}

fn is_size(property: &Value) -> bool {
    property["id"]
        .as_str()
        .is_some_and(|id| same_id(id, SIZE_ID))
}

/// Where a record has the size, if it was asked for. As an annotation, it is no change of the message.
pub(super) const SIZE: &str = "@tenantfs.size";

/// Puts the size where it is no property, since Exchange's own grows with a flag, and leaves out what
/// says nothing.
pub(super) fn tidy(record: &mut Value) {
    if let Some(size) = size(record) {
        record[SIZE] = size.into();
    }
    let ordinary = extended(record, SENSITIVITY) == Some("0");
    // A partial record may not have them at all, and that is no change.
    let all = record.get_mut("singleValueExtendedProperties");
    let Some(all) = all.and_then(Value::as_array_mut) else {
        return;
    };
    let is_sensitivity = |p: &Value| p["id"].as_str().is_some_and(|id| same_id(id, SENSITIVITY));
    all.retain(|p| !(is_size(p) || ordinary && is_sensitivity(p)));
    if all.is_empty()
        && let Some(record) = record.as_object_mut()
    {
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
/// does not tell when (`b`) is the same by its id alone. A record tells the subject, too: there are
/// programs that give all their mails one id.
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
        && (a["subject"] == b["subject"] || a["subject"].is_null() || b["subject"].is_null())
}

/// A part of what [`same_mail`] compares.
pub(super) fn like(message: &Value) -> Option<Fact> {
    let id = message["internetMessageId"].as_str().map(str::trim);
    id.filter(|id| !id.is_empty()).map(Fact::of)
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
    fn an_id_alone_makes_no_record_the_same() {
        let mail = |subject: Option<&str>| {
            json!({ "internetMessageId": "<1@cron>", "receivedDateTime": "2026-03-01T09:00:05Z",
                    "subject": subject })
        };
        let (disk, backup, file) = (mail(Some("disk full")), mail(Some("backup")), mail(None));
        assert!(same_mail(&disk, &disk));
        assert!(!same_mail(&disk, &backup));
        // What it is called in a file may be read otherwise than Exchange did.
        assert!(same_mail(&disk, &file) && same_mail(&file, &backup));
    }

    #[test]
    fn a_size_is_no_property() {
        let mut record = json!({ "id": "m", "singleValueExtendedProperties": [
            { "id": "Integer 0xe08", "value": "4711" },
        ]});
        tidy(&mut record);
        assert_eq!(record, json!({ "id": "m", SIZE: 4711 }));
        let mut partial = json!({ "id": "m", "isRead": true });
        tidy(&mut partial);
        assert_eq!(partial, json!({ "id": "m", "isRead": true }));
        let mut grown = stored();
        grown["changeKey"] = json!("2");
        grown[SIZE] = json!(4712);
        assert!(!needs_content(&stored(), &grown));
    }

    #[test]
    fn what_was_answered_and_what_is_private_comes_back() {
        let property = |id: &str, value: &str| json!({ "id": id, "value": value });
        let mut record = json!({ "id": "m", "singleValueExtendedProperties": [
            property("Integer 0x36", "0"), property("Integer 0x1081", "103"),
            property("SystemTime 0x1082", "2026-03-01T10:00:00Z"),
        ]});
        tidy(&mut record);
        let all = record["singleValueExtendedProperties"].as_array();
        assert_eq!(all.map(Vec::len), Some(2));
        let expected = [
            property(VERB, "103"),
            property(VERB_TIME, "2026-03-01T10:00:00Z"),
            property(ICON, "261"),
        ];
        assert_eq!(kept(&record), expected);
        let mut private =
            json!({ "singleValueExtendedProperties": [property("Integer 0x36", "2")] });
        tidy(&mut private);
        assert_eq!(kept(&private), [property(SENSITIVITY, "2")]);
        assert_eq!(kept(&json!({})), Vec::<Value>::new());
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
