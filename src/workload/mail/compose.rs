//! What is created in Exchange for a mail: body and attachments from the MIME, everything that
//! MIME does not carry from the record, where there is one. For any other file: a message with the
//! file attached.

use serde_json::{Map, Value, json};

use super::attached;
use super::message::{SENSITIVITY, kept};
use super::names::seconds;
use crate::format::eml::{Attachment, Body, MAX_RECIPIENTS, RECIPIENTS, to_graph};
use crate::workload::attachments::MAX_ATTACHMENT;
use crate::workload::{Account, Marker, Policy, Push, PushError, Source};

/// Bytes of the largest mail that is read for a restore.
const MAX_FILE: u64 = 256 << 20;
/// Bytes of a creating request: 4 MB are allowed.
const MAX_REQUEST: usize = 3_900_000;

/// Properties that are taken from the record as they are. Of the requests for receipts only what can't
/// send mail: nothing is delivered again, but somebody reads the restored message.
const FROM_RECORD: [&str; 10] = [
    "subject",
    "importance",
    "internetMessageId",
    "conversationIndex",
    "isRead",
    "flag",
    "categories",
    "inferenceClassification",
    "isDeliveryReceiptRequested",
    "isDraft",
];

/// A message ready to be created.
pub(in crate::workload) struct Composed {
    /// The body of the creating request.
    pub json: Value,
    pub attachments: Vec<Attachment>,
    pub marker: Marker,
    /// `internetMessageId`, `receivedDateTime` and what a record says of the `subject`, to find the same
    /// mail by.
    pub identity: Value,
    /// What can't be restored.
    pub notes: Vec<String>,
}

/// Reads the file of a push.
pub(super) async fn compose(account: &Account, push: &Push) -> Result<Composed, PushError> {
    let size = tokio::fs::metadata(&push.file).await?.len();
    if size > MAX_FILE {
        return Err(PushError::Invalid(format!(
            "{}: {size} bytes are too many for a mail",
            push.name
        )));
    }
    if size > MAX_ATTACHMENT as u64 && !is_mail(push) {
        return Err(PushError::Invalid(format!(
            "{}: {size} bytes are too many to be attached to a message ({MAX_ATTACHMENT})",
            push.name
        )));
    }
    let mime = tokio::fs::read(&push.file).await?;
    let (account, push) = (account.clone(), push.clone());
    // Parsing tens of megabytes is no work for a thread that serves connections.
    let composed = tokio::task::spawn_blocking(move || build(&account, &push, &mime)).await;
    composed.map_err(|e| PushError::Invalid(format!("the mail could not be read: {e}")))
}

fn build(account: &Account, push: &Push, mime: &[u8]) -> Composed {
    let read = match is_mail(push) {
        true => to_graph(mime),
        false => attached::message(account, push, mime),
    };
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
    limit_recipients(&mut json, &mut notes);

    let mut attachments = read.attachments;
    let mut json = Value::Object(json);
    fit(&mut json, &mut attachments, &mut notes);
    let identity = json!({
        "subject": match &push.source {
            Source::Record { record, .. } => record["subject"].clone(),
            Source::File => Value::Null,
        },
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

/// Whether the file is a mail, and not something to be attached to one.
fn is_mail(push: &Push) -> bool {
    push.name.to_ascii_lowercase().ends_with(".eml") || matches!(push.source, Source::Record { .. })
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
        ![
            "Integer 0x0E07",
            "SystemTime 0x0039",
            "SystemTime 0x0E06",
            SENSITIVITY,
        ]
        .contains(&id)
    });
    properties.extend(kept(record));
    if !draft {
        // Any value without 0x8 (unsent) makes it no draft; set only at creation. 0x1 is "read".
        let flags = match record["isRead"] == json!(true) {
            true => "5",
            false => "4",
        };
        properties.push(json!({ "id": "Integer 0x0E07", "value": flags }));
    }
    for (id, name) in [
        ("SystemTime 0x0039", "sentDateTime"),
        ("SystemTime 0x0E06", "receivedDateTime"),
    ] {
        if let Some(time) = record[name].as_str() {
            properties.push(json!({ "id": id, "value": time }));
        }
    }
    // Its author wants the receipt, once it is sent.
    if draft && record["isReadReceiptRequested"] == json!(true) {
        json.insert("isReadReceiptRequested".into(), json!(true));
    }
}

/// Exchange takes SMTP addresses and its own distinguished names; anything else fails the whole
/// message.
fn is_address(recipient: &Value) -> bool {
    recipient["emailAddress"]["address"]
        .as_str()
        .is_some_and(|a| a.contains('@') || a.to_ascii_lowercase().starts_with("/o="))
}

/// Mail that was received may have more recipients than one that is made. What is too many stays in the
/// header block, as the sender wrote it.
fn limit_recipients(json: &mut Map<String, Value>, notes: &mut Vec<String>) {
    let (mut room, mut left_out) = (MAX_RECIPIENTS, 0);
    for name in RECIPIENTS {
        if let Some(all) = json.get_mut(name).and_then(Value::as_array_mut) {
            left_out += all.len().saturating_sub(room);
            all.truncate(room);
            room -= all.len();
        }
    }
    if left_out > 0 {
        notes.push(format!(
            "it has more than {MAX_RECIPIENTS} recipients: {left_out} of them are in its headers only"
        ));
    }
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
        let composed = build(&Account::default(), &push(source, Policy::Skip), MIME);
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
        let composed = build(&Account::default(), &push(source, Policy::Skip), MIME);
        assert_eq!(property(&composed.json, "Integer 0x0E07"), None);
        assert!(composed.marker.created.is_some());
        assert_eq!(composed.json["isReadReceiptRequested"], true);
    }

    #[test]
    fn a_copy_beside_the_original_has_a_name_of_its_own() {
        let source = Source::Record {
            record: record(),
            key: ItemKey([1; 16]),
        };
        assert_eq!(
            build(&Account::default(), &push(source, Policy::KeepBoth), MIME)
                .marker
                .origin,
            None
        );
        assert_eq!(
            build(&Account::default(), &push(Source::File, Policy::Skip), MIME)
                .marker
                .origin,
            None
        );
    }

    #[test]
    fn a_request_never_has_too_many_recipients() {
        let people = |n: usize| -> Value {
            let one =
                |i| json!({ "emailAddress": { "name": "P", "address": format!("p{i}@x.test") } });
            (0..n).map(one).collect()
        };
        let mut record = record();
        record["toRecipients"] = people(300);
        record["ccRecipients"] = people(400);
        record["bccRecipients"] = people(1);
        let source = Source::Record {
            record,
            key: ItemKey([1; 16]),
        };
        let composed = build(&Account::default(), &push(source, Policy::Skip), MIME);
        let count = |name: &str| composed.json[name].as_array().unwrap().len();
        let counts = ["toRecipients", "ccRecipients", "bccRecipients"].map(count);
        assert_eq!(counts, [300, 200, 0]);
        assert!(composed.notes[0].contains("201 of them"));
        // A file of somebody else's is counted whole.
        let list = ["p@x.test"; 900].join(",\r\n ");
        let mime = format!("From: a@x.test\r\nTo: {list}\r\nCc: {list}\r\n\r\nhello\r\n");
        let push = push(Source::File, Policy::Skip);
        let composed = build(&Account::default(), &push, mime.as_bytes());
        assert!(composed.notes[0].contains("1300 of them"));
    }

    #[test]
    fn a_request_is_never_too_large() {
        let body = "\"\u{1}".repeat(1_400_000);
        let mime = [MIME, body.as_bytes()].concat();
        let composed = build(
            &Account::default(),
            &push(Source::File, Policy::Skip),
            &mime,
        );
        assert!(composed.json.to_string().len() <= 4_000_000);
        assert_eq!(composed.attachments.len(), 1);
        assert_eq!(composed.notes.len(), 1);
    }
}
