//! Graph's message as RFC 5322 text.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_parser::decoders::html::html_to_text;
use serde_json::Value;

use super::{Attachment, Body};
use crate::format::mime::{Base64, Eol};
use crate::format::rfc2047::{field, one_line, parameter, phrase, text};

const BASE64: Base64 = Base64 {
    line: 76,
    eol: Eol::CrLf,
};

/// Header fields that are written from other properties or describe this file's own structure.
const OWN: [&str; 17] = [
    "date",
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "message-id",
    "importance",
    "x-priority",
    "disposition-notification-to",
    "return-receipt-to",
    "thread-topic",
    "thread-index",
    "mime-version",
    "sensitivity",
];

/// The `.eml` file of a message, from the JSON of Graph's `message` and its attachments.
///
/// Deterministic. Received lines, `References` and other transport fields are only there if
/// `internetMessageHeaders` was selected. Not in the file, so only in the record: ids, categories,
/// flag, read state, folder, times of creation and change, URLs of reference attachments.
pub fn from_json(record: &Value, attachments: &[Attachment]) -> Vec<u8> {
    let mut out = Vec::new();
    transport_fields(&mut out, record);
    own_fields(&mut out, record);
    field(&mut out, "MIME-Version", "1.0");
    if let Some(smime) = smime(attachments) {
        smime.write(&mut out);
        return out;
    }
    let mut writer = Writer {
        boundary: boundary(record, attachments),
        used: 0,
    };
    writer.write(&mut out, &structure(record, attachments));
    out
}

fn transport_fields(out: &mut Vec<u8>, record: &Value) {
    for header in record["internetMessageHeaders"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let (Some(name), Some(value)) = (header["name"].as_str(), header["value"].as_str()) else {
            continue;
        };
        let lower = name.to_ascii_lowercase();
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if is_name && !OWN.contains(&lower.as_str()) && !lower.starts_with("content-") {
            let value = one_line(value);
            if value.is_ascii() {
                field(out, name, &value);
            } else {
                field(out, name, &text(&value));
            }
        }
    }
}

fn own_fields(out: &mut Vec<u8>, record: &Value) {
    let get = |key: &str| record[key].as_str().filter(|s| !s.is_empty());
    let date = ["sentDateTime", "receivedDateTime", "createdDateTime"]
        .iter()
        .find_map(|key| get(key)?.parse::<Timestamp>().ok());
    if let Some(date) = date {
        field(
            out,
            "Date",
            &date.strftime("%a, %-d %b %Y %H:%M:%S +0000").to_string(),
        );
    }
    let from = address(&record["from"]);
    let sender = address(&record["sender"]);
    for (name, value) in [
        ("From", from.clone().or(sender.clone())),
        (
            "Sender",
            sender.filter(|s| from.as_ref().is_some_and(|f| f != s)),
        ),
        ("Reply-To", addresses(&record["replyTo"])),
        ("To", addresses(&record["toRecipients"])),
        ("Cc", addresses(&record["ccRecipients"])),
        ("Bcc", addresses(&record["bccRecipients"])),
        ("Subject", Some(text(get("subject").unwrap_or_default()))),
        ("Message-ID", get("internetMessageId").map(one_line)),
        ("Thread-Topic", get("subject").map(text)),
        ("Thread-Index", get("conversationIndex").map(one_line)),
    ] {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            field(out, name, &value);
        }
    }
    match get("importance") {
        Some("high") => {
            field(out, "Importance", "high");
            field(out, "X-Priority", "1");
        }
        Some("low") => {
            field(out, "Importance", "low");
            field(out, "X-Priority", "5");
        }
        _ => {}
    }
    for (name, key) in [
        ("Disposition-Notification-To", "isReadReceiptRequested"),
        ("Return-Receipt-To", "isDeliveryReceiptRequested"),
    ] {
        if let (Some(from), Some(true)) = (&from, record[key].as_bool()) {
            field(out, name, from);
        }
    }
}

/// `{"emailAddress": {"name", "address"}}` as a mailbox. Exchange also has addresses that are
/// legacy distinguished names, and some that are only a name.
fn address(recipient: &Value) -> Option<String> {
    let get = |key: &str| {
        recipient["emailAddress"][key]
            .as_str()
            .unwrap_or_default()
            .trim()
    };
    let (name, address) = (get("name"), get("address"));
    let is_smtp = address.contains('@')
        && address
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"<>,;\"()".contains(&b));
    let name = match (name, is_smtp) {
        ("", true) => return Some(address.to_owned()),
        ("", false) if address.is_empty() => return None,
        (name, false) if name != address && !address.is_empty() => format!("{name} {address}"),
        (name, _) => name.to_owned(),
    };
    let address = if is_smtp {
        address
    } else {
        "undisclosed@invalid"
    };
    Some(format!("{} <{address}>", phrase(name.trim())))
}

fn addresses(recipients: &Value) -> Option<String> {
    let all: Vec<_> = recipients.as_array()?.iter().filter_map(address).collect();
    Some(all.join(", "))
}

/// A part of the message's body.
enum Part {
    Leaf {
        headers: Vec<(&'static str, String)>,
        content: Vec<u8>,
    },
    Multi {
        subtype: &'static str,
        parts: Vec<Part>,
    },
}

fn structure(record: &Value, attachments: &[Attachment]) -> Part {
    let content = record["body"]["content"].as_str().unwrap_or_default();
    let is_html = record["body"]["contentType"]
        .as_str()
        .is_some_and(|t| t.eq_ignore_ascii_case("html"));
    let body = if is_html {
        Part::Multi {
            subtype: "alternative",
            parts: vec![
                text_leaf("plain", &html_to_text(content)),
                text_leaf("html", content),
            ],
        }
    } else {
        text_leaf("plain", content)
    };
    let inline = |a: &&Attachment| is_html && a.inline && a.content_id.is_some();
    let (related, rest): (Vec<_>, Vec<_>) = attachments.iter().partition(inline);
    let body = group("related", body, &related);
    group("mixed", body, &rest)
}

fn group(subtype: &'static str, first: Part, others: &[&Attachment]) -> Part {
    if others.is_empty() {
        return first;
    }
    let mut parts = vec![first];
    parts.extend(others.iter().map(|a| attachment_leaf(a)));
    Part::Multi { subtype, parts }
}

fn text_leaf(subtype: &str, content: &str) -> Part {
    Part::Leaf {
        headers: vec![
            ("Content-Type", format!("text/{subtype}; charset=utf-8")),
            ("Content-Transfer-Encoding", "quoted-printable".into()),
        ],
        content: quoted_printable(content),
    }
}

fn attachment_leaf(attachment: &Attachment) -> Part {
    let name = attachment.file_name();
    let content_type = format!("{}{}", attachment.mime_type(), parameter("name", &name));
    let kind = if attachment.inline {
        "inline"
    } else {
        "attachment"
    };
    let mut headers = vec![
        ("Content-Type", content_type),
        (
            "Content-Disposition",
            format!("{kind}{}", parameter("filename", &name)),
        ),
    ];
    if let Some(id) = &attachment.content_id {
        let id: String = one_line(id).split_whitespace().collect();
        headers.push(("Content-ID", format!("<{id}>")));
    }
    let content = match &attachment.body {
        // RFC 2046 section 5.2.1: an attached message must not be encoded.
        Body::Message(mime) => {
            headers.push(("Content-Transfer-Encoding", "8bit".into()));
            mime.clone()
        }
        _ => {
            headers.push(("Content-Transfer-Encoding", "base64".into()));
            let mut content = Vec::new();
            BASE64.encode(attachment.bytes(), &mut content);
            content
        }
    };
    Part::Leaf { headers, content }
}

struct Writer {
    boundary: String,
    used: usize,
}

impl Writer {
    /// Writes a part from its header on. Recursion is three deep: mixed, related, alternative.
    fn write(&mut self, out: &mut Vec<u8>, part: &Part) {
        match part {
            Part::Leaf { headers, content } => {
                for (name, value) in headers {
                    field(out, name, value);
                }
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(content);
            }
            Part::Multi { subtype, parts } => {
                let boundary = format!("{}{}", self.boundary, self.used);
                self.used += 1;
                field(
                    out,
                    "Content-Type",
                    &format!("multipart/{subtype}; boundary=\"{boundary}\""),
                );
                out.extend_from_slice(b"\r\n");
                for part in parts {
                    out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                    self.write(out, part);
                    // RFC 2046 section 5.1.1: this line end belongs to the boundary.
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
            }
        }
    }
}

/// A boundary that the content can't hold, since it is a hash of the content.
fn boundary(record: &Value, attachments: &[Attachment]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(record["id"].as_str().unwrap_or_default().as_bytes());
    hasher.update(
        record["body"]["content"]
            .as_str()
            .unwrap_or_default()
            .as_bytes(),
    );
    for attachment in attachments {
        hasher.update(attachment.name.as_bytes());
        hasher.update(attachment.bytes());
    }
    let mut out = String::from("=_");
    for byte in &hasher.finalize().as_bytes()[..12] {
        // Writing to a string can't fail.
        let _ = write!(out, "{byte:02x}");
    }
    out.push('_');
    out
}

/// What an S/MIME message consists of: Exchange keeps all of it in one attachment.
enum Smime<'a> {
    /// Encrypted or opaque-signed.
    Opaque {
        content_type: String,
        content: &'a [u8],
    },
    /// A complete MIME entity with its own header.
    Clear(&'a [u8]),
}

fn smime(attachments: &[Attachment]) -> Option<Smime<'_>> {
    let [only] = attachments else { return None };
    let Body::File(content) = &only.body else {
        return None;
    };
    let kind = only
        .content_type
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let head = content.get(..12).unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("multipart/signed")
        && (head == *b"content-type" || head == *b"mime-version")
    {
        return Some(Smime::Clear(content));
    }
    let is_pkcs7 = ["application/pkcs7-mime", "application/x-pkcs7-mime"]
        .iter()
        .any(|t| kind.starts_with(t));
    (is_pkcs7 || only.name.eq_ignore_ascii_case("smime.p7m")).then(|| Smime::Opaque {
        content_type: format!("application/pkcs7-mime{}", parameter("name", &only.name)),
        content,
    })
}

impl Smime<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            // Its header goes on where ours ends.
            Smime::Clear(entity) => out.extend_from_slice(entity),
            Smime::Opaque {
                content_type,
                content,
            } => {
                field(out, "Content-Type", content_type);
                field(
                    out,
                    "Content-Disposition",
                    "attachment; filename=\"smime.p7m\"",
                );
                field(out, "Content-Transfer-Encoding", "base64");
                out.extend_from_slice(b"\r\n");
                BASE64.encode(content, out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// RFC 2045 section 6.7, with line ends made CRLF. Readable, so that `grep` finds words.
fn quoted_printable(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line).as_bytes();
        let mut column = 0;
        for (i, &b) in line.iter().enumerate() {
            let last = i + 1 == line.len();
            let plain =
                (b'!'..=b'~').contains(&b) && b != b'=' || matches!(b, b' ' | b'\t') && !last;
            let width = if plain { 1 } else { 3 };
            if column + width > 75 {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if plain {
                out.push(b);
            } else {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(&[b'=', HEX[(b >> 4) as usize], HEX[(b & 15) as usize]]);
            }
            column += width;
        }
        out.extend_from_slice(b"\r\n");
    }
    if text.ends_with('\n') || text.is_empty() {
        out.truncate(out.len() - 2);
    }
    out
}
