//! Messages: everything that Graph tells of one, as MAPI properties, recipients and attachments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::extended::from_graph;
use super::names::{self, *};
use super::{Builder, attachment, entry_id, seconds, zoned_seconds};
use crate::clock::parse_rfc3339;
use crate::fasttransfer::{MessageContent, Name, Properties, Value, kind};
use crate::mail::content::{Attachment, Content, Text};
use crate::mail::ids::No;
use crate::mail::properties::{Extended, PropertyValue};
use crate::mail::store::Mailbox;
use crate::odata::{Object, field};

/// A message taken apart: what both directions work on.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// `IPM.Note` and its kin.
    pub class: String,
    /// Properties in Graph's form, without `body`.
    pub props: Object,
    pub text: Text,
    pub attachments: Vec<Attachment>,
    /// The header block as it came over the wire.
    pub headers: Option<String>,
    pub is_read: bool,
    pub is_draft: bool,
    /// Properties that Graph has no other name for.
    pub extended: Extended,
}

/// The class of a message in a mailbox.
pub fn class_of(mailbox: &Mailbox, no: No, props: &Object) -> String {
    if let Some(PropertyValue::Single(class)) = mailbox
        .details
        .get(&no)
        .and_then(|d| d.extended.get("String 0x1a"))
    {
        return class.clone();
    }
    match props.get("@odata.type").and_then(Json::as_str) {
        Some("#microsoft.graph.eventMessageRequest") => "IPM.Schedule.Meeting.Request".to_owned(),
        _ => "IPM.Note".to_owned(),
    }
}

/// Takes message `no` apart. `whole`: with attachments and transport headers, which cost the most.
pub fn parts(mailbox: &Mailbox, no: No, whole: bool) -> Parts {
    let content = Content::of(mailbox, no);
    let item = mailbox.item(no);
    let detail = mailbox.details.get(&no);
    let mut props = content.props().into_owned();
    props.remove("body");
    if let Some(modified) = detail.map(|d| d.modified).filter(|m| *m > 0) {
        props.insert(
            "lastModifiedDateTime".into(),
            json!(crate::clock::rfc3339(modified)),
        );
    }
    Parts {
        class: class_of(mailbox, no, &props),
        props,
        text: content.text(),
        attachments: if whole {
            content.attachments()
        } else {
            Vec::new()
        },
        headers: content.header_block().filter(|_| whole),
        is_read: item.is_read,
        is_draft: item.is_draft,
        extended: detail.map(|d| d.extended.clone()).unwrap_or_default(),
    }
}

/// A message as MAPI has it.
pub fn write(parts: &Parts) -> MessageContent {
    let mut b = Builder::new();
    let text = |name: &str| parts.props.get(name).and_then(Json::as_str);
    b.text(MESSAGE_CLASS, &parts.class);
    let (importance, priority) = match text("importance") {
        Some("low") => (0, -1),
        Some("high") => (2, 1),
        _ => (1, 0),
    };
    b.int(IMPORTANCE, importance).int(PRIORITY, priority);
    subject(&mut b, text("subject").unwrap_or_default());
    for (tag, name) in [
        (CLIENT_SUBMIT_TIME, "sentDateTime"),
        (DELIVERY_TIME, "receivedDateTime"),
        (CREATION_TIME, "createdDateTime"),
        (LAST_MODIFICATION_TIME, "lastModifiedDateTime"),
    ] {
        b.some_time(tag, text(name).and_then(parse_rfc3339));
    }
    sender(&mut b, &parts.props);
    reply_to(&mut b, &parts.props);
    if let Some(index) = text("conversationIndex").and_then(|i| STANDARD.decode(i).ok()) {
        b.binary(CONVERSATION_INDEX, index);
    }
    b.some_text(MESSAGE_ID, text("internetMessageId"));
    let yes = |name: &str| parts.props.get(name).and_then(Json::as_bool);
    b.bool(
        READ_RECEIPT_REQUESTED,
        yes("isReadReceiptRequested").unwrap_or(false),
    );
    if let Some(wanted) = yes("isDeliveryReceiptRequested") {
        b.bool(DELIVERY_REPORT_REQUESTED, wanted);
    }
    let attached = parts.attachments.iter().any(|a| !a.is_inline);
    let flags = i32::from(parts.is_read)
        | i32::from(parts.is_draft) << 3
        | i32::from(attached || yes("hasAttachments").unwrap_or(false)) << 4;
    b.int(MESSAGE_FLAGS, flags);
    flag(&mut b, field(&parts.props, "flag"));
    let categories: Vec<Value> = field(&parts.props, "categories")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(|c| Value::Text(c.to_owned()))
        .collect();
    if !categories.is_empty() {
        b.add(names::keywords(), Value::Many(kind::UNICODE, categories));
    }
    if let Some(classified) = text("inferenceClassification") {
        b.int(names::inference(), i32::from(classified == "other"));
    }
    meeting_properties(&mut b, &parts.props);
    headers(&mut b, parts);
    merge(&mut b.0, &parts.extended);
    if b.0.tag(SENSITIVITY).is_none() {
        b.int(SENSITIVITY, 0);
    }
    body(&mut b, &parts.text);
    MessageContent {
        props: b.0,
        recipients: recipients(&parts.props),
        attachments: parts
            .attachments
            .iter()
            .enumerate()
            .map(|(no, a)| attachment::write(a, no as i32))
            .collect(),
    }
}

/// The subject, and its two halves.
pub fn subject(b: &mut Builder, subject: &str) {
    // A prefix has one to three letters, a colon and a space.
    let prefix = match subject.split_once(": ") {
        Some((p, _)) if (1..=3).contains(&p.chars().count()) && !p.contains(' ') => p.len() + 2,
        _ => 0,
    };
    b.text(SUBJECT, subject)
        .text(SUBJECT_PREFIX, &subject[..prefix])
        .text(NORMALIZED_SUBJECT, &subject[prefix..])
        .text(CONVERSATION_TOPIC, &subject[prefix..]);
}

/// Name and address of a `recipient` in Graph's form.
pub fn person(value: &Json) -> (&str, &str) {
    let get = |name: &str| value["emailAddress"][name].as_str().unwrap_or_default();
    (get("name"), get("address"))
}

/// `EX` for a legacy distinguished name.
pub fn address_type(address: &str) -> &'static str {
    if address.starts_with("/o=") {
        "EX"
    } else {
        "SMTP"
    }
}

fn sender(b: &mut Builder, props: &Object) {
    for (property, [entry, name, kind, address, smtp]) in [
        (
            "sender",
            [
                SENDER_ENTRY_ID,
                SENDER_NAME,
                SENDER_ADDRESS_TYPE,
                SENDER_ADDRESS,
                SENDER_SMTP,
            ],
        ),
        (
            "from",
            [
                SENT_REPRESENTING_ENTRY_ID,
                SENT_REPRESENTING_NAME,
                SENT_REPRESENTING_ADDRESS_TYPE,
                SENT_REPRESENTING_ADDRESS,
                SENT_REPRESENTING_SMTP,
            ],
        ),
    ] {
        let Some(value) = props.get(property).filter(|v| v.is_object()) else {
            continue;
        };
        let (n, a) = person(value);
        b.text(name, n).text(kind, address_type(a)).text(address, a);
        if address_type(a) == "SMTP" {
            b.text(smtp, a).binary(entry, entry_id::one_off(n, a));
        }
    }
}

fn reply_to(b: &mut Builder, props: &Object) {
    let all: Vec<(&str, &str)> = field(props, "replyTo")
        .as_array()
        .into_iter()
        .flatten()
        .map(person)
        .collect();
    if !all.is_empty() {
        let ids: Vec<Vec<u8>> = all.iter().map(|(n, a)| entry_id::one_off(n, a)).collect();
        let names: Vec<&str> = all.iter().map(|(n, _)| *n).collect();
        b.binary(REPLY_RECIPIENT_ENTRIES, entry_id::list(&ids))
            .text(REPLY_RECIPIENT_NAMES, &names.join(";"));
    }
    for (tag, name) in [
        (DISPLAY_TO, "toRecipients"),
        (DISPLAY_CC, "ccRecipients"),
        (DISPLAY_BCC, "bccRecipients"),
    ] {
        let all = props.get(name).and_then(Json::as_array);
        let names: Vec<&str> = all.into_iter().flatten().map(|r| person(r).0).collect();
        b.text(tag, &names.join("; "));
    }
}

fn recipients(props: &Object) -> Vec<Properties> {
    let mut out = Vec::new();
    for (kind, name) in [
        (1, "toRecipients"),
        (2, "ccRecipients"),
        (3, "bccRecipients"),
    ] {
        for value in props
            .get(name)
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            let (name, address) = person(value);
            out.push(recipient(out.len(), kind, name, address).0);
        }
    }
    out
}

/// The properties that every recipient has.
pub fn recipient(row: usize, kind: i32, name: &str, address: &str) -> Builder {
    let mut b = Builder::new();
    b.int(ROW_ID, row as i32)
        .int(RECIPIENT_TYPE, kind)
        .text(DISPLAY_NAME, name)
        .text(ADDRESS_TYPE, address_type(address))
        .text(EMAIL_ADDRESS, address);
    if address_type(address) == "SMTP" {
        b.text(SMTP_ADDRESS, address);
    }
    b.text(RECIPIENT_DISPLAY_NAME, name).int(RECIPIENT_FLAGS, 1);
    b
}

fn flag(b: &mut Builder, flag: &Json) {
    let status = match flag["flagStatus"].as_str() {
        Some("flagged") => 2,
        Some("complete") => 1,
        _ => return,
    };
    b.int(FLAG_STATUS, status)
        .some_time(names::task(0x8104), zoned_seconds(&flag["startDateTime"]))
        .some_time(names::task(0x8105), zoned_seconds(&flag["dueDateTime"]));
    let completed = zoned_seconds(&flag["completedDateTime"]);
    b.some_time(FLAG_COMPLETE_TIME, completed)
        .some_time(names::task(0x810F), completed);
}

/// What a meeting request says of the meeting.
fn meeting_properties(b: &mut Builder, props: &Object) {
    let time = |name: &str| props.get(name).and_then(zoned_seconds);
    let (Some(start), Some(end)) = (time("startDateTime"), time("endDateTime")) else {
        return;
    };
    let place = field(props, "location")["displayName"]
        .as_str()
        .unwrap_or_default();
    let id = super::global_id::made_from(&format!("{start} {end} {place}"));
    b.time(names::appointment(0x820D), start)
        .time(names::appointment(0x820E), end)
        .text(names::appointment(0x8208), place)
        .int(names::appointment(0x8213), ((end - start) / 60) as i32)
        .int(names::appointment(0x8217), 3)
        .bool(
            names::appointment(0x8215),
            field(props, "isAllDay").as_bool().unwrap_or(false),
        )
        .binary(names::meeting(0x0003), id.clone())
        .binary(names::meeting(0x0023), id);
}

fn headers(b: &mut Builder, parts: &Parts) {
    if let Some(block) = &parts.headers {
        b.text(TRANSPORT_HEADERS, block);
        for (tag, wanted) in [(IN_REPLY_TO, "In-Reply-To"), (REFERENCES, "References")] {
            let found = unfolded(block)
                .into_iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(wanted));
            b.some_text(tag, found.as_ref().map(|(_, v)| v.as_str()));
        }
    } else if !parts.extended.contains_key("String 0x7d") {
        let given = field(&parts.props, "internetMessageHeaders").as_array();
        for header in given.into_iter().flatten() {
            if let (Some(name), Some(value)) = (header["name"].as_str(), header["value"].as_str()) {
                b.text(names::header(&name.to_ascii_lowercase()), value);
            }
        }
    }
}

/// The headers of a block, each on one line.
pub fn unfolded(block: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = out.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            out.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    out
}

/// Adds extended properties. What is there already is the item's present state and stays, but for the
/// part of a time below a second, which Graph does not show.
pub fn merge(props: &mut Properties, extended: &Extended) {
    for (id, value) in extended {
        let Some(property) = from_graph(id, value) else {
            continue;
        };
        match (props.get(&property.name), &property.value) {
            (Some(Value::Time(shown)), Value::Time(exact))
                if seconds(*shown) == seconds(*exact) =>
            {
                props.set(property.name, property.value);
            }
            (Some(_), _) => {}
            (None, _) => props.0.push(property),
        }
    }
}

/// A body, and what kind it is of; an RTF body is among the extended properties already.
pub fn body(b: &mut Builder, text: &Text) {
    if b.0.tag(RTF_COMPRESSED).is_some() {
        b.int(NATIVE_BODY, 2);
    } else if text.html {
        b.int(NATIVE_BODY, 3)
            .int(INTERNET_CODE_PAGE, 65001)
            .binary(HTML, text.content.clone().into_bytes());
    } else {
        b.int(NATIVE_BODY, 1)
            .int(INTERNET_CODE_PAGE, 65001)
            .text(BODY, &text.content);
    }
}

/// The value that a message has for the property of an extended property's id, without looking at its
/// attachments.
pub fn property(mailbox: &Mailbox, no: No, id: &str) -> Option<PropertyValue> {
    let (name, _) = super::extended::name(id)?;
    of_content(
        &write(&parts(mailbox, no, name == Name::Tag(TRANSPORT_HEADERS))),
        id,
    )
}

/// The value that an item's content has for the property of an extended property's id.
pub fn of_content(content: &MessageContent, id: &str) -> Option<PropertyValue> {
    let (name, _) = super::extended::name(id)?;
    let property = content.props.0.iter().find(|p| p.name == name)?;
    let (found, value) = super::extended::to_graph(property)?;
    (found == id).then_some(value)
}
