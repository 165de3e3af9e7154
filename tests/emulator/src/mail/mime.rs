//! MIME in: what Graph shows of a message that came as RFC 5322 bytes.
//!
//! The bytes may be anything; whatever cannot be read is left out. Writing is in
//! [`super::compose`].

use bytes::Bytes;
use mail_parser::{
    Address, DateTime, Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType,
};
use serde_json::{Value, json};

pub use super::compose::{Composition, compose};
use super::content::{Attachment, AttachmentKind, Text};
use crate::clock::rfc3339;
use crate::odata::Object;
use crate::seed::ANCHOR;

/// What is read out of a message's bytes when it is stored.
pub struct Facts {
    /// Properties in Graph's form, without `body` and without what depends on the mailbox.
    pub props: Object,
    /// Seconds since 1970.
    pub received: i64,
    /// What all messages of its thread have in common: the first Message-ID, or the subject.
    pub thread: String,
    /// Message class: `IPM.Note`, or that of opaque S/MIME.
    pub class: &'static str,
}

/// What can be read of a message. Where lines end with CR alone, as those of old Macs, a server makes
/// ordinary ones of them; nothing moves by that.
fn parse(bytes: &[u8]) -> Option<Message<'_>> {
    let end = bytes.iter().position(|b| matches!(b, b'\r' | b'\n'));
    let first = &bytes[end.unwrap_or(bytes.len())..];
    let lone =
        first.starts_with(b"\r") && !first.starts_with(b"\r\n") && !first.starts_with(b"\r\r\n");
    if !lone {
        return parse_lines(bytes);
    }
    let mut lines = bytes.to_vec();
    for at in 0..lines.len() {
        if lines[at] == b'\r' && lines.get(at + 1) != Some(&b'\n') {
            lines[at] = b'\n';
        }
    }
    parse_lines(&lines).map(Message::into_owned)
}

/// mail-parser panics on some malformed multiparts; their headers can still be read.
fn parse_lines(bytes: &[u8]) -> Option<Message<'_>> {
    std::panic::catch_unwind(|| MessageParser::default().parse(bytes))
        .unwrap_or_else(|_| MessageParser::default().parse_headers(bytes))
}

/// Takes off the mbox line that some archives leave before a message.
pub fn without_from_line(bytes: &[u8]) -> &[u8] {
    if !bytes.starts_with(b"From ") {
        return bytes;
    }
    match bytes.iter().position(|b| *b == b'\n') {
        Some(end) => &bytes[end + 1..],
        None => bytes,
    }
}

fn seconds(date: Option<&DateTime>) -> Option<i64> {
    // Forged dates reach from year 0 to 9999; Exchange shows what its own clock could have been.
    date.filter(|d| d.is_valid())
        .map(DateTime::to_timestamp)
        .filter(|t| (0..4_102_444_800).contains(t))
}

fn recipient(name: Option<&str>, address: Option<&str>) -> Value {
    let address = address.unwrap_or_default();
    json!({"emailAddress": {"name": name.filter(|n| !n.is_empty()).unwrap_or(address), "address": address}})
}

fn recipients(address: Option<&Address<'_>>) -> Vec<Value> {
    address
        .map(|a| a.iter().map(|a| recipient(a.name(), a.address())).collect())
        .unwrap_or_default()
}

fn first(address: Option<&Address<'_>>) -> Option<Value> {
    address
        .and_then(|a| a.first())
        .map(|a| recipient(a.name(), a.address()))
}

pub fn facts(bytes: &[u8]) -> Facts {
    let mut props = Object::new();
    let Some(message) = parse(bytes) else {
        let empty: [Value; 0] = [];
        for name in ["toRecipients", "ccRecipients", "bccRecipients", "replyTo"] {
            props.insert(name.into(), json!(empty));
        }
        props.insert("subject".into(), json!(""));
        return finish(props, ANCHOR, ANCHOR, "", false, "normal");
    };
    let sent = seconds(message.date());
    let received = message
        .received_all()
        .find_map(|r| seconds(r.date.as_ref()))
        .or(sent)
        .unwrap_or(ANCHOR);
    let subject = message.subject().unwrap_or_default();
    props.insert("subject".into(), json!(subject));
    let from = first(message.from()).or_else(|| first(message.sender()));
    let sender = first(message.sender()).or_else(|| from.clone());
    if let (Some(from), Some(sender)) = (from, sender) {
        props.insert("from".into(), from);
        props.insert("sender".into(), sender);
    }
    props.insert("toRecipients".into(), json!(recipients(message.to())));
    props.insert("ccRecipients".into(), json!(recipients(message.cc())));
    props.insert("bccRecipients".into(), json!(recipients(message.bcc())));
    props.insert("replyTo".into(), json!(recipients(message.reply_to())));
    let id = message.message_id().map(|id| format!("<{id}>"));
    props.insert("internetMessageId".into(), json!(id));
    let thread = message
        .references()
        .as_text_list()
        .and_then(|l| l.first().map(|t| t.to_string()))
        .or_else(|| message.references().as_text().map(str::to_owned))
        .or_else(|| message.in_reply_to().as_text().map(str::to_owned))
        .or_else(|| message.message_id().map(str::to_owned))
        .unwrap_or_else(|| subject.to_owned());
    let importance = match message
        .header_raw("Importance")
        .map(|v| v.trim().to_ascii_lowercase())
        .as_deref()
    {
        Some("high") => "high",
        Some("low") => "low",
        _ => "normal",
    };
    let html = html_of(&message).unwrap_or_default();
    let has = message.attachments().any(|part| !is_inline(part, &html));
    let mut facts = finish(
        props,
        received,
        sent.unwrap_or(received),
        &thread,
        has,
        importance,
    );
    if is_opaque(&message) {
        facts.class = "IPM.Note.SMIME";
    }
    facts
}

fn finish(
    mut props: Object,
    received: i64,
    sent: i64,
    thread: &str,
    has: bool,
    importance: &str,
) -> Facts {
    props.insert("receivedDateTime".into(), json!(rfc3339(received)));
    props.insert("sentDateTime".into(), json!(rfc3339(sent)));
    props.insert("hasAttachments".into(), json!(has));
    props.insert("importance".into(), json!(importance));
    props.insert("isReadReceiptRequested".into(), json!(false));
    props.insert("isDeliveryReceiptRequested".into(), Value::Null);
    props.insert("inferenceClassification".into(), json!("focused"));
    props.insert("flag".into(), json!({"flagStatus": "notFlagged"}));
    props.insert("categories".into(), json!([]));
    Facts {
        props,
        received,
        thread: thread.to_owned(),
        class: "IPM.Note",
    }
}

fn html_of<'x>(message: &'x Message<'x>) -> Option<String> {
    let part = message.html_part(0)?;
    if !part.is_text_html() {
        return None;
    }
    part.text_contents().map(str::to_owned)
}

pub fn text(bytes: &[u8]) -> Text {
    let Some(message) = parse(bytes) else {
        return Text::default();
    };
    if let Some(html) = html_of(&message) {
        return Text {
            html: true,
            content: html,
        };
    }
    let content = message
        .text_part(0)
        .and_then(|p| p.text_contents())
        .unwrap_or_default()
        .to_owned();
    Text {
        html: false,
        content,
    }
}

/// Headers in their order, unfolded, with their names as they are.
pub fn headers(bytes: &[u8]) -> Vec<(String, String)> {
    crate::mapi::message::unfolded(&header_block(bytes))
}

/// The header block as it stands, without the empty line after it.
pub fn header_block(bytes: &[u8]) -> String {
    let mut end = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        end += line.len();
    }
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Opaque-signed or encrypted S/MIME: the whole message is one `application/pkcs7-mime`.
pub fn is_opaque_smime(bytes: &[u8]) -> bool {
    parse(bytes).is_some_and(|m| is_opaque(&m))
}

fn is_opaque(message: &Message<'_>) -> bool {
    let root = message.root_part();
    root.is_content_type("application", "pkcs7-mime")
        || root.is_content_type("application", "x-pkcs7-mime")
}

fn is_inline(part: &MessagePart<'_>, html: &str) -> bool {
    if part
        .content_disposition()
        .is_some_and(|d| d.is_attachment())
    {
        return false;
    }
    match part.content_id() {
        Some(id) => html.contains(&format!("cid:{}", id.trim_matches(['<', '>']))),
        None => false,
    }
}

/// Attachments of a message, numbered in the order they stand in it.
pub fn attachments(bytes: &[u8], modified: i64) -> Vec<Attachment> {
    let Some(message) = parse(bytes) else {
        return Vec::new();
    };
    let html = html_of(&message).unwrap_or_default();
    message
        .attachments()
        .enumerate()
        .map(|(no, part)| Attachment {
            no: no as u32,
            kind: kind(&message, part),
            name: part
                .attachment_name()
                .map(str::to_owned)
                .unwrap_or_else(|| default_name(part, no)),
            content_type: part.content_type().map(|t| match &t.c_subtype {
                Some(sub) => format!("{}/{sub}", t.c_type).to_ascii_lowercase(),
                None => t.c_type.to_ascii_lowercase(),
            }),
            is_inline: is_inline(part, &html),
            content_id: part.content_id().map(str::to_owned),
            content_location: part.content_location().map(str::to_owned),
            modified,
        })
        .collect()
}

fn kind(message: &Message<'_>, part: &MessagePart<'_>) -> AttachmentKind {
    match &part.body {
        PartType::Message(nested) => {
            let raw = if part.encoding == Encoding::None {
                message
                    .raw_message()
                    .get(part.offset_body as usize..part.offset_end as usize)
            } else {
                None
            };
            let raw = raw.unwrap_or_else(|| nested.raw_message());
            AttachmentKind::Item {
                item: item_of(raw),
                mime: Some(Bytes::copy_from_slice(raw)),
            }
        }
        _ => AttachmentKind::File(Bytes::copy_from_slice(part.contents())),
    }
}

/// An attached message as `item`.
pub fn item_of(raw: &[u8]) -> Value {
    let mut props = facts(raw).props;
    let text = text(raw);
    let kind = if text.html { "html" } else { "text" };
    props.insert("@odata.type".into(), json!("#microsoft.graph.message"));
    props.insert(
        "body".into(),
        json!({"contentType": kind, "content": text.content}),
    );
    Value::Object(props)
}

/// Subject of an attached message.
pub fn subject(kind: &AttachmentKind) -> Option<String> {
    match kind {
        AttachmentKind::Item { item, .. } => item["subject"]
            .as_str()
            .filter(|s| !s.is_empty())
            .map(str::to_owned),
        _ => None,
    }
}

fn default_name(part: &MessagePart<'_>, no: usize) -> String {
    match &part.body {
        PartType::Message(nested) => nested
            .subject()
            .filter(|s| !s.is_empty())
            .unwrap_or("Attached message")
            .to_owned(),
        _ => format!("ATT{:05}", no + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"Received: from a by b; Mon, 2 Mar 2026 10:00:05 +0100\r\n\
From: Ann <ann@x.test>\r\nTo: bo@x.test\r\nSubject: =?utf-8?q?H=C3=A9?=\r\nMessage-ID: <1@x>\r\n\
Date: Mon, 2 Mar 2026 10:00:00 +0100\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n\
--b\r\nContent-Type: text/csv; name=a.csv\r\nContent-Disposition: attachment; filename=a.csv\r\nContent-Transfer-Encoding: base64\r\n\r\nYSxi\r\n--b--\r\n";

    #[test]
    fn a_message_is_read() {
        let facts = facts(MAIL);
        assert_eq!(facts.props["subject"], "Hé");
        assert_eq!(facts.props["receivedDateTime"], "2026-03-02T09:00:05Z");
        assert_eq!(facts.props["sentDateTime"], "2026-03-02T09:00:00Z");
        assert_eq!(facts.props["internetMessageId"], "<1@x>");
        assert_eq!(facts.props["hasAttachments"], true);
        assert_eq!(text(MAIL).content.trim(), "hi");
        let all = attachments(MAIL, 0);
        assert_eq!(all.len(), 2);
        assert!(
            matches!(&all[0].kind, AttachmentKind::Item { mime: Some(m), .. } if m.starts_with(b"Subject: in\r\n\r\ninner"))
        );
        assert!(matches!(&all[1].kind, AttachmentKind::File(b) if &b[..] == b"a,b"));
    }

    #[test]
    fn a_mail_of_an_old_mac_has_lines() {
        let read = facts(b"Subject: y\rFrom: i@x.test\r\rone\rtwo\r");
        assert_eq!(read.props["subject"], "y");
        let shown = text(b"Subject: y\r\rone\rtwo\r").content;
        assert_eq!(shown.trim_end(), "one\ntwo");
    }

    #[test]
    fn the_mbox_line_is_taken_off_and_nothing_else() {
        assert_eq!(without_from_line(b"From a Mon\nFrom: x\n"), b"From: x\n");
        assert_eq!(without_from_line(b"From: x\n"), b"From: x\n");
        assert_eq!(without_from_line(b"From nothing"), b"From nothing");
    }
}
