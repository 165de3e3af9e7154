//! Messages: as Graph's record, and as the mail they were.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::elements::{Key, Value as Mapi};
use super::message::{Attachment, Object, Properties};
use super::people::{Person, entry_list, recipients, sender_and_from};
use super::properties::{self as prop, PS_INTERNET_HEADERS, graph_local, graph_time};
use super::rtf::{self, Unwrapped};
use super::{Rendered, text};
use crate::format::eml::{self, Body};

/// Bytes of a header block that are read; Exchange sends at most 256 KB.
const MAX_HEADERS: usize = 4 << 20;

/// The message as Graph's `message` with body, and its attachments.
pub(super) struct Message {
    pub json: Map<String, Value>,
    pub attachments: Vec<eml::Attachment>,
    /// What could not be shown.
    pub notes: Vec<String>,
}

impl Message {
    /// The `.eml` file, byte for byte the same for the same item.
    pub fn to_eml(&self) -> Vec<u8> {
        eml::from_json(&Value::Object(self.json.clone()), &self.attachments)
    }

    /// What a file can't say. The body and the header block are in the file.
    pub fn into_record(self) -> Value {
        let mut json = self.json;
        json.remove("body");
        json.remove("internetMessageHeaders");
        json.insert("@odata.type".into(), "#microsoft.graph.message".into());
        Value::Object(json)
    }
}

/// `around`: calendar files that it is attached within.
pub(super) fn message(object: &Object<'_>, around: usize) -> Message {
    let p = &object.properties;
    let mut json = Map::new();
    let (sender, from) = sender_and_from(p);
    let people = |kind: i64| -> Vec<Value> {
        recipients(object, kind)
            .map(|(person, _)| person.to_graph())
            .collect()
    };
    let flags = p.int(prop::MESSAGE_FLAGS).unwrap_or_default();
    let time = |which| p.time(which).and_then(graph_time);
    let mut notes = Vec::new();
    let attachments: Vec<eml::Attachment> = object
        .attachments
        .iter()
        .filter_map(|a| attachment(a, &mut notes, around))
        .collect();
    let index = p.binary(prop::CONVERSATION_INDEX);
    let said = |json: &mut Map<String, Value>, name: &str, value: Option<Value>| {
        json.extend(value.map(|value| (name.to_owned(), value)));
    };
    said(&mut json, "subject", Some(subject(p).into()));
    said(&mut json, "importance", Some(importance(p).into()));
    said(&mut json, "sensitivity", Some(sensitivity(p).into()));
    said(
        &mut json,
        "categories",
        Some(p.texts(prop::KEYWORDS).into()),
    );
    said(&mut json, "isRead", Some((flags & 1 != 0).into()));
    said(&mut json, "isDraft", Some((flags & 8 != 0).into()));
    said(
        &mut json,
        "hasAttachments",
        Some(attachments.iter().any(|a| !a.inline).into()),
    );
    said(&mut json, "flag", Some(flag(p)));
    said(&mut json, "sender", sender.map(|who| who.to_graph()));
    said(&mut json, "from", from.map(|who| who.to_graph()));
    said(&mut json, "toRecipients", Some(people(1).into()));
    said(&mut json, "ccRecipients", Some(people(2).into()));
    said(&mut json, "bccRecipients", Some(people(3).into()));
    said(&mut json, "replyTo", Some(reply_to(p)));
    said(
        &mut json,
        "sentDateTime",
        time(prop::CLIENT_SUBMIT_TIME).map(Into::into),
    );
    said(
        &mut json,
        "receivedDateTime",
        time(prop::DELIVERY_TIME).map(Into::into),
    );
    said(
        &mut json,
        "createdDateTime",
        time(prop::CREATION_TIME).map(Into::into),
    );
    said(
        &mut json,
        "lastModifiedDateTime",
        time(prop::LAST_MODIFICATION_TIME).map(Into::into),
    );
    said(
        &mut json,
        "internetMessageId",
        p.text(prop::INTERNET_MESSAGE_ID).map(Into::into),
    );
    said(
        &mut json,
        "conversationIndex",
        index.map(|index| STANDARD.encode(index).into()),
    );
    said(
        &mut json,
        "isReadReceiptRequested",
        p.bool(prop::READ_RECEIPT_REQUESTED).map(Into::into),
    );
    said(
        &mut json,
        "isDeliveryReceiptRequested",
        p.bool(prop::DELIVERY_REPORT_REQUESTED).map(Into::into),
    );
    said(&mut json, "internetMessageHeaders", Some(headers(p).into()));
    said(&mut json, "body", Some(body(p)));
    Message {
        json,
        attachments,
        notes,
    }
}

/// A message, post, report, or anything that has no better form.
pub(super) fn render(object: &Object<'_>, around: usize) -> Rendered {
    let message = message(object, around);
    Rendered {
        extension: "eml",
        bytes: message.to_eml(),
        notes: message.notes.clone(),
        item: message.into_record(),
    }
}

/// The subject without the mark that some writers put before it (U+0001 and a length).
pub(super) fn subject(p: &Properties<'_>) -> String {
    let parts = || {
        let normalized = p.text(prop::NORMALIZED_SUBJECT)?;
        let prefix = p.text(prop::SUBJECT_PREFIX).unwrap_or_default();
        Some(prefix + &normalized)
    };
    let subject = p.text(prop::SUBJECT).or_else(parts).unwrap_or_default();
    match subject.strip_prefix('\u{1}') {
        Some(marked) => marked.chars().skip(1).collect(),
        None => subject,
    }
}

pub(super) fn importance(p: &Properties<'_>) -> &'static str {
    match p.int(prop::IMPORTANCE) {
        Some(0) => "low",
        Some(2) => "high",
        _ => "normal",
    }
}

pub(super) fn sensitivity(p: &Properties<'_>) -> &'static str {
    match p.int(prop::SENSITIVITY) {
        Some(1) => "personal",
        Some(2) => "private",
        Some(3) => "confidential",
        _ => "normal",
    }
}

/// Graph's `followupFlag`.
fn flag(p: &Properties<'_>) -> Value {
    let mut flag = Map::new();
    let status = match p.int(prop::FLAG_STATUS) {
        Some(1) => "complete",
        Some(2) => "flagged",
        _ => "notFlagged",
    };
    flag.insert("flagStatus".into(), status.into());
    let times = [
        ("startDateTime", p.time(prop::TASK_START)),
        ("dueDateTime", p.time(prop::TASK_DUE)),
        (
            "completedDateTime",
            p.time(prop::FLAG_COMPLETE_TIME)
                .or_else(|| p.time(prop::TASK_COMPLETED)),
        ),
    ];
    for (name, time) in times {
        if status != "notFlagged"
            && let Some(time) = time.and_then(graph_local)
        {
            let time = json!({ "dateTime": time, "timeZone": "UTC" });
            flag.insert(name.into(), time);
        }
    }
    Value::Object(flag)
}

fn reply_to(p: &Properties<'_>) -> Value {
    let entries = p.binary(prop::REPLY_TO_ENTRIES).unwrap_or_default();
    entry_list(&entries).iter().map(Person::to_graph).collect()
}

/// The header block as it was transported, or what else is known of it.
fn headers(p: &Properties<'_>) -> Vec<Value> {
    let header = |name: &str, value: &str| json!({ "name": name, "value": value });
    if let Some(block) = p.text(prop::TRANSPORT_HEADERS)
        && block.len() <= MAX_HEADERS
    {
        return header_fields(&block)
            .into_iter()
            .map(|(name, value)| header(name, &value))
            .collect();
    }
    let mut headers = Vec::new();
    for (name, which) in [
        ("In-Reply-To", prop::IN_REPLY_TO),
        ("References", prop::REFERENCES),
    ] {
        headers.extend(p.text(which).map(|value| header(name, &value)));
    }
    for property in p.iter() {
        if let (Key::Name(PS_INTERNET_HEADERS, name), Mapi::Text(value)) =
            (&property.key, &property.value)
        {
            headers.push(header(name, &value.decode()));
        }
    }
    headers
}

/// The fields of a header block, unfolded.
fn header_fields(block: &str) -> Vec<(&str, String)> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim_end(), value.trim().to_owned()));
        }
    }
    fields
}

/// Graph's `itemBody`: the HTML if there is some, also if it is wrapped into RTF.
pub(super) fn body(p: &Properties<'_>) -> Value {
    let body = |kind: &str, content: Cow<'_, str>| {
        let content = content.trim_end_matches('\0');
        json!({ "contentType": kind, "content": content })
    };
    match p.get(prop::HTML) {
        Some(Mapi::Binary(html)) if !html.is_empty() => {
            let bytes = html.bytes();
            let code_page = p.int(prop::INTERNET_CODE_PAGE).unwrap_or_default();
            let code_page = u32::try_from(code_page).unwrap_or_default();
            return body("html", text::decode(&bytes, code_page));
        }
        Some(Mapi::Text(html)) => return body("html", html.decode().into()),
        _ => {}
    }
    let plain = p.text(prop::BODY);
    let rtf = p.binary(prop::RTF).and_then(|rtf| rtf::decompress(&rtf));
    match (rtf.map(|rtf| rtf::unwrap(&rtf)), plain) {
        (Some(Unwrapped::Html(html)), _) => body("html", html.into()),
        (_, Some(plain)) => body("text", plain.into()),
        (Some(Unwrapped::Text(plain)), None) => body("text", plain.into()),
        (None, None) => body("text", "".into()),
    }
}

/// The text of a body, whatever it is.
pub(super) fn plain_body(p: &Properties<'_>) -> String {
    let body = body(p);
    let content = body["content"].as_str().unwrap_or_default();
    if body["contentType"] == "html" {
        mail_parser::decoders::html::html_to_text(content)
    } else {
        content.to_owned()
    }
}

/// The name that an attachment goes by.
pub(super) fn attachment_name(p: &Properties<'_>) -> Option<String> {
    p.text(prop::ATTACH_LONG_NAME)
        .or_else(|| p.text(prop::ATTACH_SHORT_NAME))
        .or_else(|| p.text(prop::DISPLAY_NAME))
}

/// An attachment; `None` for what belongs to the item's own machinery.
pub(super) fn attachment(
    attachment: &Attachment<'_>,
    notes: &mut Vec<String>,
    around: usize,
) -> Option<eml::Attachment> {
    let p = &attachment.properties;
    let mut name = attachment_name(p).unwrap_or_else(|| "attachment".into());
    let body = match (&attachment.embedded, p.int(prop::ATTACH_METHOD)) {
        (Some(embedded), _) => {
            let rendered = super::render_object(embedded, around);
            notes.extend(rendered.notes);
            if attachment_name(p).is_none() {
                name = subject(&embedded.properties);
            }
            match rendered.extension {
                "ics" => Body::Event(rendered.bytes),
                "vcf" => Body::Contact(rendered.bytes),
                "eml" => Body::Message(rendered.bytes),
                _ => Body::File(rendered.bytes),
            }
        }
        (None, Some(2..=4 | 7)) => Body::Reference(p.text(prop::ATTACH_LONG_PATH)),
        (None, _) => match p.binary(prop::ATTACH_DATA) {
            Some(bytes) => Body::File(bytes.into_owned()),
            None => {
                notes.push(format!("{name}: an attachment without content"));
                return None;
            }
        },
    };
    let content_id = p.text(prop::ATTACH_CONTENT_ID);
    // ATT_MHTML_REF, or hidden and referred to.
    let inline = content_id.is_some()
        && (p.int(prop::ATTACH_FLAGS).unwrap_or_default() & 4 != 0
            || p.bool(prop::ATTACH_HIDDEN) == Some(true));
    Some(eml::Attachment {
        name,
        content_type: p.text(prop::ATTACH_MIME_TYPE),
        content_id: content_id.map(|id| id.trim_matches(['<', '>']).to_owned()),
        inline,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_block_is_unfolded() {
        let block = "Received: from a\r\n by b; now\r\nSubject: x\r\nX-Empty:\r\nbroken\r\n\r\nbody: no\r\n";
        assert_eq!(
            header_fields(block),
            [
                ("Received", "from a by b; now".to_owned()),
                ("Subject", "x".to_owned()),
                ("X-Empty", String::new())
            ]
        );
    }
}
