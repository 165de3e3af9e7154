//! What is created in Exchange for a mail: body and attachments from the MIME, everything that
//! MIME does not carry from the record, where there is one.

use serde_json::{Map, Value, json};

use super::names::seconds;
use crate::format::eml::{Attachment, Body, to_graph};
use crate::workload::{Marker, Policy, Push, PushError, Source};

/// Bytes of the largest mail that is read for a restore.
const MAX_FILE: u64 = 256 << 20;
/// Bytes of a creating request: 4 MB are allowed.
const MAX_REQUEST: usize = 3_900_000;

/// Properties that are taken from the record as they are. (Not the requests for receipts: reading
/// the restored message would send mail.)
const FROM_RECORD: [&str; 9] = [
    "subject",
    "importance",
    "internetMessageId",
    "conversationIndex",
    "isRead",
    "flag",
    "categories",
    "inferenceClassification",
    "isDraft",
];

/// A message ready to be created.
pub(in crate::workload) struct Composed {
    /// The body of the creating request.
    pub json: Value,
    pub attachments: Vec<Attachment>,
    pub marker: Marker,
    /// `internetMessageId` and `receivedDateTime`, to find the same mail by.
    pub identity: Value,
    /// What can't be restored.
    pub notes: Vec<String>,
}

/// Reads the file of a push.
pub(super) async fn compose(push: &Push) -> Result<Composed, PushError> {
    let size = tokio::fs::metadata(&push.file).await?.len();
    if size > MAX_FILE {
        return Err(PushError::Invalid(format!(
            "{}: {size} bytes are too many for a mail",
            push.name
        )));
    }
    if !push.name.to_ascii_lowercase().ends_with(".eml") && matches!(push.source, Source::File) {
        return Err(PushError::Invalid(format!(
            "{}: only mails (files that end in .eml) can be put below Mail",
            push.name
        )));
    }
    let mime = tokio::fs::read(&push.file).await?;
    let push = push.clone();
    // Parsing tens of megabytes is no work for a thread that serves connections.
    let composed = tokio::task::spawn_blocking(move || build(&push, &mime)).await;
    composed.map_err(|e| PushError::Invalid(format!("the mail could not be read: {e}")))
}

fn build(push: &Push, mime: &[u8]) -> Composed {
    let read = to_graph(mime);
    let mut json = match read.json {
        Value::Object(json) => json,
        _ => Map::new(),
    };
    let mut notes = Vec::new();
    let mut received = read.received;
    let mut marker = Marker {
        push: push.id,
        origin: None,
        created: None,
    };
    if let Source::Record { record, key } = &push.source {
        received = seconds(&record["receivedDateTime"]).or(received);
        lay_over(&mut json, record);
        if push.policy != Policy::KeepBoth {
            marker.origin = Some(*key);
            if record["isDraft"] == json!(true) {
                marker.created = seconds(&record["createdDateTime"]);
            }
        }
        if let Some(missing) = record["tenantfsContent"]["missingAttachments"].as_array() {
            notes.extend(missing.iter().filter_map(|m| m.as_str().map(str::to_owned)));
        }
    }
    let mut properties = match json.remove("singleValueExtendedProperties") {
        Some(Value::Array(properties)) => properties,
        _ => Vec::new(),
    };
    properties.push(marker.property());
    json.insert(
        "singleValueExtendedProperties".into(),
        Value::Array(properties),
    );
    json.remove("isDraft");

    let mut attachments = read.attachments;
    let mut json = Value::Object(json);
    fit(&mut json, &mut attachments, &mut notes);
    let identity = json!({
        "internetMessageId": json["internetMessageId"],
        "receivedDateTime": received.and_then(|s| jiff::Timestamp::from_second(s).ok())
            .map(|t| t.to_string()),
    });
    Composed {
        json,
        attachments,
        marker,
        identity,
        notes,
    }
}

/// Lays what the record says over what the MIME says.
fn lay_over(json: &mut Map<String, Value>, record: &Value) {
    for name in FROM_RECORD {
        match &record[name] {
            Value::Null => {}
            value => {
                json.insert(name.into(), value.clone());
            }
        }
    }
    for name in ["from", "sender"] {
        if is_address(&record[name]) {
            json.insert(name.into(), record[name].clone());
        }
    }
    for name in ["toRecipients", "ccRecipients", "bccRecipients", "replyTo"] {
        if let Some(all) = record[name].as_array() {
            let good: Vec<Value> = all.iter().filter(|r| is_address(r)).cloned().collect();
            json.insert(name.into(), Value::Array(good));
        }
    }
    let draft = record["isDraft"] == json!(true);
    let properties = json
        .entry("singleValueExtendedProperties")
        .or_insert_with(|| json!([]));
    let Some(properties) = properties.as_array_mut() else {
        return;
    };
    properties.retain(|p| {
        let id = p["id"].as_str().unwrap_or_default();
        !["Integer 0x0E07", "SystemTime 0x0039", "SystemTime 0x0E06"].contains(&id)
    });
    if draft {
        return;
    }
    // Any value without 0x8 (unsent) makes it no draft; set only at creation. 0x1 is "read".
    let flags = if record["isRead"] == json!(true) {
        "5"
    } else {
        "4"
    };
    properties.push(json!({ "id": "Integer 0x0E07", "value": flags }));
    for (id, name) in [
        ("SystemTime 0x0039", "sentDateTime"),
        ("SystemTime 0x0E06", "receivedDateTime"),
    ] {
        if let Some(time) = record[name].as_str() {
            properties.push(json!({ "id": id, "value": time }));
        }
    }
}

/// Exchange takes SMTP addresses and its own distinguished names; anything else fails the whole
/// message.
fn is_address(recipient: &Value) -> bool {
    recipient["emailAddress"]["address"]
        .as_str()
        .is_some_and(|a| a.contains('@') || a.to_ascii_lowercase().starts_with("/o="))
}

/// Makes the request small enough: first without the copy of the header block, then with the body
/// as an attachment.
fn fit(json: &mut Value, attachments: &mut Vec<Attachment>, notes: &mut Vec<String>) {
    let size = |json: &Value| json.to_string().len();
    if size(json) <= MAX_REQUEST {
        return;
    }
    if let Some(properties) = json["singleValueExtendedProperties"].as_array_mut() {
        properties.retain(|p| p["id"] != "String 0x007D");
    }
    if size(json) <= MAX_REQUEST {
        return;
    }
    let html = json["body"]["contentType"] == "html";
    let content = json["body"]["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let name = if html { "body.html" } else { "body.txt" };
    let kind = if html {
        "text/html; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    if !attachments.iter().any(|a| a.name == name) {
        attachments.push(Attachment {
            name: name.into(),
            content_type: Some(kind.into()),
            content_id: None,
            inline: false,
            body: Body::File(content.clone().into_bytes()),
        });
    }
    // Escaping may double it; half of the room is always enough.
    let cut = content.floor_char_boundary(MAX_REQUEST / 4);
    json["body"]["content"] = json!(content[..cut]);
    notes.push(format!(
        "the body is larger than a request may be: it is attached as {name}"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::ItemKey;
    use uuid::Uuid;

    const MIME: &[u8] = b"From: a@x.test\r\nTo: b@x.test\r\nSubject: from mime\r\n\
        Date: Sun, 1 Mar 2026 09:00:00 +0000\r\nMessage-ID: <m1@x.test>\r\n\r\nhello\r\n";

    fn push(source: Source, policy: Policy) -> Push {
        Push {
            id: Uuid::from_u128(9),
            folder: vec!["Inbox".into()],
            name: "x.eml".into(),
            policy,
            source,
            original: None,
            file: "unused".into(),
            mtime: 0,
        }
    }

    fn record() -> Value {
        json!({
            "id": "m", "subject": "from record", "isRead": false, "isDraft": false,
            "internetMessageId": "<m1@x.test>", "categories": ["Red"],
            "receivedDateTime": "2026-03-01T09:00:05Z", "sentDateTime": "2026-03-01T09:00:00Z",
            "isReadReceiptRequested": true, "flag": { "flagStatus": "flagged" },
            "from": { "emailAddress": { "name": "A", "address": "a@x.test" } },
            "replyTo": [{ "emailAddress": { "name": "?", "address": "nonsense" } }],
        })
    }

    fn property<'a>(json: &'a Value, id: &str) -> Option<&'a str> {
        let all = json["singleValueExtendedProperties"].as_array().unwrap();
        all.iter().find(|p| p["id"] == id)?["value"].as_str()
    }

    #[test]
    fn a_recognised_mail_comes_from_its_record() {
        let source = Source::Record {
            record: record(),
            key: ItemKey([1; 16]),
        };
        let composed = build(&push(source, Policy::Skip), MIME);
        let json = &composed.json;
        assert_eq!(json["subject"], "from record");
        assert_eq!(json["categories"], json!(["Red"]));
        assert_eq!(json["flag"]["flagStatus"], "flagged");
        assert_eq!(json["isRead"], false);
        assert_eq!(json["replyTo"], json!([]));
        assert_eq!(json["body"]["content"].as_str().unwrap().trim(), "hello");
        assert!(json.get("isReadReceiptRequested").is_none());
        assert!(json.get("isDraft").is_none());
        assert_eq!(property(json, "Integer 0x0E07"), Some("4"));
        assert_eq!(
            property(json, "SystemTime 0x0E06"),
            Some("2026-03-01T09:00:05Z")
        );
        let marker = Marker::of(json).unwrap();
        assert_eq!(marker.origin, Some(ItemKey([1; 16])));
        assert_eq!(marker.push, Uuid::from_u128(9));
        assert_eq!(
            composed.identity["receivedDateTime"],
            "2026-03-01T09:00:05Z"
        );
    }

    #[test]
    fn a_draft_stays_a_draft() {
        let mut record = record();
        record["isDraft"] = json!(true);
        record["createdDateTime"] = json!("2026-02-01T00:00:00Z");
        let source = Source::Record {
            record,
            key: ItemKey([1; 16]),
        };
        let composed = build(&push(source, Policy::Skip), MIME);
        assert_eq!(property(&composed.json, "Integer 0x0E07"), None);
        assert!(composed.marker.created.is_some());
    }

    #[test]
    fn a_copy_beside_the_original_has_a_name_of_its_own() {
        let source = Source::Record {
            record: record(),
            key: ItemKey([1; 16]),
        };
        assert_eq!(
            build(&push(source, Policy::KeepBoth), MIME).marker.origin,
            None
        );
        assert_eq!(
            build(&push(Source::File, Policy::Skip), MIME).marker.origin,
            None
        );
    }

    #[test]
    fn a_request_is_never_too_large() {
        let body = "\"\u{1}".repeat(1_400_000);
        let mime = [MIME, body.as_bytes()].concat();
        let composed = build(&push(Source::File, Policy::Skip), &mime);
        assert!(composed.json.to_string().len() <= 4_000_000);
        assert_eq!(composed.attachments.len(), 1);
        assert_eq!(composed.notes.len(), 1);
    }
}
