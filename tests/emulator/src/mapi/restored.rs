//! A message out of its MAPI properties: the reverse of [`super::message`].
//!
//! What Graph has a name for is taken out; what a store computes by itself is dropped; all the rest
//! stays as extended properties.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::extended::to_graph;
use super::message::{Parts, unfolded};
use super::names::{self, *};
use super::{attachment, entry_id, seconds, zoned};
use crate::clock::rfc3339;
use crate::fasttransfer::{MessageContent, Name, Properties, Value, read, rtf};
use crate::mail::content::Text;
use crate::mail::properties::Extended;
use crate::odata::Object;

/// Computed by every store, or told by what Graph shows.
const DROPPED: &[u16] = &[
    DISPLAY_BCC,
    DISPLAY_CC,
    DISPLAY_TO,
    MESSAGE_FLAGS,
    MESSAGE_SIZE,
    HAS_ATTACHMENTS,
    SUBJECT_PREFIX,
    NORMALIZED_SUBJECT,
    CONVERSATION_TOPIC,
    REPLY_RECIPIENT_ENTRIES,
    REPLY_RECIPIENT_NAMES,
    SENDER_ENTRY_ID,
    SENT_REPRESENTING_ENTRY_ID,
    SENDER_ADDRESS,
    SENDER_ADDRESS_TYPE,
    SENDER_NAME,
    SENDER_SMTP,
    SENT_REPRESENTING_ADDRESS,
    SENT_REPRESENTING_ADDRESS_TYPE,
    SENT_REPRESENTING_NAME,
    SENT_REPRESENTING_SMTP,
    BODY,
    HTML,
    NATIVE_BODY,
    INTERNET_CODE_PAGE,
    SUBJECT,
    IMPORTANCE,
    MESSAGE_ID,
    CONVERSATION_INDEX,
    FLAG_STATUS,
    FLAG_COMPLETE_TIME,
    READ_RECEIPT_REQUESTED,
    DELIVERY_REPORT_REQUESTED,
    SOURCE_KEY,
    CHANGE_KEY,
    PREDECESSORS,
];

/// Takes an item's content apart as a message's. `now`: what it has no time for gets this one.
pub fn parts(content: &MessageContent, now: i64) -> Parts {
    let all = &content.props;
    let time = |tag: u16| all.tag(tag).and_then(Value::as_time).map(seconds);
    let sent = time(CLIENT_SUBMIT_TIME);
    let received = time(DELIVERY_TIME).or(sent).unwrap_or(now);
    let created = time(CREATION_TIME).unwrap_or(received);
    let mut props = Object::new();
    for (name, at) in [
        ("createdDateTime", created),
        (
            "lastModifiedDateTime",
            time(LAST_MODIFICATION_TIME).unwrap_or(created),
        ),
        ("receivedDateTime", received),
        ("sentDateTime", sent.unwrap_or(received)),
    ] {
        props.insert(name.into(), json!(rfc3339(at)));
    }
    props.insert("subject".into(), json!(subject(all)));
    let importance = match all.int(IMPORTANCE) {
        Some(0) => "low",
        Some(2) => "high",
        _ => "normal",
    };
    props.insert("importance".into(), json!(importance));
    people(content, &mut props);
    flag(all, &mut props);
    props.insert("categories".into(), json!(categories(all)));
    let bool_of = |tag: u16| all.tag(tag).and_then(Value::as_bool);
    props.insert(
        "isReadReceiptRequested".into(),
        json!(bool_of(READ_RECEIPT_REQUESTED).unwrap_or(false)),
    );
    props.insert(
        "isDeliveryReceiptRequested".into(),
        json!(bool_of(DELIVERY_REPORT_REQUESTED)),
    );
    if let Some(id) = all.text(MESSAGE_ID) {
        props.insert("internetMessageId".into(), json!(id));
    }
    if let Some(index) = all.tag(CONVERSATION_INDEX).and_then(Value::as_binary) {
        props.insert("conversationIndex".into(), json!(STANDARD.encode(index)));
    }
    let other = all.get(&names::inference()).and_then(Value::as_int) == Some(1);
    props.insert(
        "inferenceClassification".into(),
        json!(if other { "other" } else { "focused" }),
    );
    headers(all, &mut props);
    let class = all.text(MESSAGE_CLASS).unwrap_or("IPM.Note").to_owned();
    meeting(all, &class, &mut props);
    let attachments: Vec<_> = content
        .attachments
        .iter()
        .enumerate()
        .map(|(no, a)| attachment::read(a, no as u32, received))
        .collect();
    props.insert(
        "hasAttachments".into(),
        json!(attachments.iter().any(|a| !a.is_inline)),
    );
    let flags = all.int(MESSAGE_FLAGS).unwrap_or(0);
    Parts {
        extended: rest(all),
        class,
        props,
        text: text(all),
        attachments,
        headers: None,
        is_read: flags & 1 != 0,
        is_draft: flags & 8 != 0,
    }
}

/// The subject; some writers put a mark and the length of the prefix before it.
pub fn subject(all: &Properties) -> String {
    let whole = all.text(SUBJECT).map(str::to_owned).unwrap_or_else(|| {
        let part = |tag: u16| all.text(tag).unwrap_or_default();
        format!("{}{}", part(SUBJECT_PREFIX), part(NORMALIZED_SUBJECT))
    });
    let mut chars = whole.chars();
    if chars.next() == Some('\u{1}') {
        chars.next();
        return chars.collect();
    }
    whole
}

pub fn categories(all: &Properties) -> Vec<String> {
    match all.get(&names::keywords()) {
        Some(Value::Many(_, values)) => values
            .iter()
            .filter_map(Value::as_text)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// A person in Graph's form, from name and address tags; the SMTP address where there is one.
fn person(all: &Properties, name: u16, address: u16, smtp: u16) -> Option<Json> {
    let address = all
        .text(smtp)
        .filter(|a| !a.is_empty())
        .or(all.text(address))
        .unwrap_or_default();
    let name = all.text(name).filter(|n| !n.is_empty()).unwrap_or(address);
    (!name.is_empty()).then(|| json!({"emailAddress": {"name": name, "address": address}}))
}

fn people(content: &MessageContent, props: &mut Object) {
    let all = &content.props;
    let sender = person(all, SENDER_NAME, SENDER_ADDRESS, SENDER_SMTP);
    let from = person(
        all,
        SENT_REPRESENTING_NAME,
        SENT_REPRESENTING_ADDRESS,
        SENT_REPRESENTING_SMTP,
    );
    for (name, value) in [
        ("sender", sender.clone().or_else(|| from.clone())),
        ("from", from.or(sender)),
    ] {
        if let Some(value) = value {
            props.insert(name.into(), value);
        }
    }
    for (kind, name) in [
        (1, "toRecipients"),
        (2, "ccRecipients"),
        (3, "bccRecipients"),
    ] {
        let list: Vec<Json> = content
            .recipients
            .iter()
            .filter(|r| r.int(RECIPIENT_TYPE).unwrap_or(1) & 0xF == kind)
            .filter_map(|r| person(r, DISPLAY_NAME, EMAIL_ADDRESS, SMTP_ADDRESS))
            .collect();
        props.insert(name.into(), json!(list));
    }
    let entries = all.tag(REPLY_RECIPIENT_ENTRIES).and_then(Value::as_binary);
    let reply: Vec<Json> = entry_id::read_list(entries.unwrap_or_default())
        .into_iter()
        .filter_map(entry_id::read_one_off)
        .map(|(name, address)| json!({"emailAddress": {"name": name, "address": address}}))
        .collect();
    props.insert("replyTo".into(), json!(reply));
}

fn flag(all: &Properties, props: &mut Object) {
    let time = |name: Name| all.get(&name).and_then(Value::as_time).map(seconds);
    let mut flag = json!({"flagStatus": match all.int(FLAG_STATUS) {
        Some(1) => "complete",
        Some(2) => "flagged",
        _ => "notFlagged",
    }});
    if flag["flagStatus"] != "notFlagged" {
        for (field, at) in [
            ("startDateTime", time(names::task(0x8104))),
            ("dueDateTime", time(names::task(0x8105))),
            (
                "completedDateTime",
                time(names::task(0x810F)).or(time(Name::Tag(FLAG_COMPLETE_TIME))),
            ),
        ] {
            if let Some(at) = at {
                flag[field] = zoned(at);
            }
        }
    }
    props.insert("flag".into(), flag);
}

fn headers(all: &Properties, props: &mut Object) {
    let given: Vec<Json> = match all.text(TRANSPORT_HEADERS) {
        Some(block) => unfolded(block)
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect(),
        None => all
            .0
            .iter()
            .filter_map(|p| match (&p.name, &p.value) {
                (Name::Text(set, name), Value::Text(value)) if *set == *INTERNET_HEADERS => {
                    Some(json!({"name": name, "value": value}))
                }
                _ => None,
            })
            .collect(),
    };
    if !given.is_empty() {
        props.insert("internetMessageHeaders".into(), json!(given));
    }
}

/// What makes a message of this class an `eventMessageRequest`.
fn meeting(all: &Properties, class: &str, props: &mut Object) {
    let time = |lid: u32| {
        let at = all.get(&names::appointment(lid)).and_then(Value::as_time);
        at.map(|t| zoned(seconds(t)))
    };
    let (Some(start), Some(end)) = (time(0x820D), time(0x820E)) else {
        return;
    };
    if !class.eq_ignore_ascii_case("IPM.Schedule.Meeting.Request") {
        return;
    }
    let place = all
        .get(&names::appointment(0x8208))
        .and_then(Value::as_text)
        .unwrap_or_default();
    let all_day = all
        .get(&names::appointment(0x8215))
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let request = json!({
        "@odata.type": "#microsoft.graph.eventMessageRequest",
        "meetingMessageType": "meetingRequest", "meetingRequestType": "newMeetingRequest", "type": "singleInstance",
        "startDateTime": start, "endDateTime": end, "isAllDay": all_day, "isOutOfDate": false, "isDelegated": false,
        "location": {"displayName": place, "locationType": "default", "uniqueIdType": "unknown"},
        "responseRequested": true, "allowNewTimeProposals": true, "recurrence": null,
        "previousStartDateTime": null, "previousEndDateTime": null, "previousLocation": null,
    });
    props.extend(request.as_object().cloned().unwrap_or_default());
}

/// The body: the kind that the item says is its own, else the richest there is.
pub fn text(all: &Properties) -> Text {
    let html = || {
        let bytes = match all.tag(HTML)? {
            Value::Text(text) => return Some((true, text.clone())),
            value => value.as_binary()?,
        };
        let page = all.int(INTERNET_CODE_PAGE).unwrap_or(65001);
        Some((true, read::text(bytes, page as u16)))
    };
    let plain = || Some((false, all.text(BODY)?.to_owned()));
    let rich = || {
        let packed = all.tag(RTF_COMPRESSED)?.as_binary()?;
        Some(rtf::content(&rtf::decompress(packed)?))
    };
    let found = match all.int(NATIVE_BODY) {
        Some(1) => plain(),
        Some(2) => rich(),
        Some(3) => html(),
        _ => None,
    };
    let (html, content) = found
        .or_else(html)
        .or_else(plain)
        .or_else(rich)
        .unwrap_or_default();
    Text { html, content }
}

/// All that Graph has no other name for.
fn rest(all: &Properties) -> Extended {
    let shown = [names::keywords(), names::inference()];
    let dates = [
        names::task(0x8104),
        names::task(0x8105),
        names::task(0x810F),
    ];
    let headers = all.tag(TRANSPORT_HEADERS).is_none();
    all.0
        .iter()
        .filter(|p| match &p.name {
            Name::Tag(tag) => !DROPPED.contains(tag),
            Name::Text(set, _) if *set == *INTERNET_HEADERS => !headers,
            name => !shown.contains(name) && !dates.contains(name),
        })
        .filter_map(to_graph)
        .collect()
}
