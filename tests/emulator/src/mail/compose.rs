//! MIME out: a message that was never RFC 5322 bytes is written as such.
//!
//! CRLF, lines of at most 76 characters where the format allows, UTF-8 as quoted-printable or encoded
//! words (RFC 2045, 2047), attachments as base64, attached messages as message/rfc822.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::content::{Attachment, AttachmentKind, Text};
use crate::odata::Object;
use crate::rng::Rng;

pub struct Composition<'a> {
    pub props: &'a Object,
    pub text: Text,
    pub attachments: &'a [Attachment],
    /// Header lines that transport added, without line ends, topmost first.
    pub transport: &'a [String],
    /// `internetMessageHeaders` that were given with the message.
    pub extra: Option<&'a Value>,
    /// iCalendar text of a meeting request.
    pub calendar: Option<&'a str>,
    pub is_draft: bool,
    /// Makes the boundaries.
    pub key: u64,
}

pub fn compose(c: &Composition<'_>) -> Vec<u8> {
    let mut out = Out {
        bytes: Vec::new(),
        rng: Rng::at(c.key, 1),
        calendar: c.calendar,
        alone: c.attachments.is_empty(),
    };
    for line in c.transport {
        out.line(line);
    }
    // A whole header block: what the way added stands before the rest.
    let given = c.extra.and_then(Value::as_array);
    let transported = given.into_iter().flatten().any(|h| {
        let name = h["name"].as_str().unwrap_or_default();
        name.eq_ignore_ascii_case("received")
    });
    if transported {
        out.extra(c);
    }
    let one = |name: &str| c.props.get(name).and_then(Value::as_str);
    for (header, property) in [
        ("From", "from"),
        ("Sender", "sender"),
        ("Reply-To", "replyTo"),
        ("To", "toRecipients"),
        ("Cc", "ccRecipients"),
        ("Bcc", "bccRecipients"),
    ] {
        if header == "Sender" && c.props.get("sender") == c.props.get("from") {
            continue;
        }
        let value = addresses(c.props.get(property));
        if !value.is_empty() {
            out.line(&format!("{header}: {value}"));
        }
    }
    out.line(&format!(
        "Subject: {}",
        encoded_words(one("subject").unwrap_or_default())
    ));
    if let Some(date) = one("sentDateTime").and_then(rfc2822) {
        out.line(&format!("Date: {date}"));
    }
    if let (Some(id), false) = (one("internetMessageId"), c.is_draft) {
        out.line(&format!("Message-ID: {}", clean(id)));
    }
    if let Some(level @ ("high" | "low")) = one("importance") {
        out.line(&format!("Importance: {level}"));
    }
    if !transported {
        out.extra(c);
    }
    out.line("MIME-Version: 1.0");

    let (inline, rest): (Vec<_>, Vec<_>) = c
        .attachments
        .iter()
        .filter(|a| !matches!(a.kind, AttachmentKind::Reference))
        .partition(|a| a.is_inline && c.text.html);
    if rest.is_empty() {
        out.related(&c.text, &inline);
    } else {
        let boundary = out.boundary();
        out.multipart("mixed", &boundary);
        out.open(&boundary);
        out.related(&c.text, &inline);
        for attachment in rest {
            out.open(&boundary);
            out.attachment(attachment);
        }
        out.close(&boundary);
    }
    out.bytes
}

/// Headers that are made from the message's properties and parts.
fn is_written_here(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("content-")
        || [
            "from",
            "sender",
            "reply-to",
            "to",
            "cc",
            "bcc",
            "subject",
            "date",
            "message-id",
            "importance",
            "mime-version",
        ]
        .contains(&name.as_str())
}

struct Out<'a> {
    bytes: Vec<u8>,
    rng: Rng,
    calendar: Option<&'a str>,
    /// The text is all there is: it ends with the message, not before a boundary.
    alone: bool,
}

impl Out<'_> {
    fn line(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Headers that were given with the message, but for those that are written here.
    fn extra(&mut self, c: &Composition<'_>) {
        let given = c.extra.and_then(Value::as_array);
        for header in given.into_iter().flatten() {
            if let (Some(name), Some(value)) = (header["name"].as_str(), header["value"].as_str())
                && !is_written_here(name)
            {
                self.line(&format!("{}: {}", clean(name), encoded_words(value)));
            }
        }
    }

    fn boundary(&mut self) -> String {
        format!(
            "_{:03}_{:016X}{:08X}_",
            self.rng.below(1000),
            self.rng.next(),
            self.rng.below(1 << 32)
        )
    }

    fn multipart(&mut self, kind: &str, boundary: &str) {
        self.line(&format!(
            "Content-Type: multipart/{kind};\r\n\tboundary=\"{boundary}\""
        ));
        self.line("");
    }

    fn open(&mut self, boundary: &str) {
        self.line(&format!("--{boundary}"));
    }

    fn close(&mut self, boundary: &str) {
        self.line(&format!("--{boundary}--"));
    }

    fn related(&mut self, text: &Text, inline: &[&Attachment]) {
        if inline.is_empty() {
            return self.text(text);
        }
        let boundary = self.boundary();
        self.multipart("related", &boundary);
        self.open(&boundary);
        self.text(text);
        for attachment in inline {
            self.open(&boundary);
            self.attachment(attachment);
        }
        self.close(&boundary);
    }

    fn text(&mut self, text: &Text) {
        if !text.html && self.calendar.is_none() {
            let content = match self.alone {
                true => text.content.strip_suffix("\r\n").unwrap_or(&text.content),
                false => &text.content,
            };
            return self.leaf("text/plain; charset=\"utf-8\"", content);
        }
        let boundary = self.boundary();
        self.multipart("alternative", &boundary);
        self.open(&boundary);
        if text.html {
            self.leaf("text/plain; charset=\"utf-8\"", &plain(&text.content));
            self.open(&boundary);
            self.leaf("text/html; charset=\"utf-8\"", &text.content);
        } else {
            self.leaf("text/plain; charset=\"utf-8\"", &text.content);
        }
        if let Some(calendar) = self.calendar {
            self.open(&boundary);
            self.leaf("text/calendar; charset=\"utf-8\"; method=REQUEST", calendar);
        }
        self.close(&boundary);
    }

    /// A text; what stands after it begins a line of its own.
    fn leaf(&mut self, content_type: &str, content: &str) {
        self.line(&format!("Content-Type: {content_type}"));
        self.line("Content-Transfer-Encoding: quoted-printable");
        self.line("");
        quoted_printable(content, &mut self.bytes);
        self.line("");
    }

    fn attachment(&mut self, attachment: &Attachment) {
        let name = encoded_words(&attachment.name.replace(['"', '\\'], "_"));
        let disposition = if attachment.is_inline {
            "inline"
        } else {
            "attachment"
        };
        match &attachment.kind {
            AttachmentKind::Item { item, mime } => {
                self.line("Content-Type: message/rfc822");
                self.line(&format!("Content-Disposition: {disposition}"));
                self.line("");
                match mime {
                    Some(mime) => self.bytes.extend_from_slice(mime),
                    None => {
                        let key = self.rng.next();
                        self.bytes.extend_from_slice(&item_mime(item, key));
                    }
                }
                self.line("");
            }
            AttachmentKind::File(bytes) => {
                let kind = attachment
                    .content_type
                    .as_deref()
                    .unwrap_or("application/octet-stream");
                self.line(&format!(
                    "Content-Type: {};\r\n\tname=\"{name}\"",
                    clean(kind)
                ));
                self.line(&format!(
                    "Content-Disposition: {disposition};\r\n\tfilename=\"{name}\"; size={}",
                    bytes.len()
                ));
                if let Some(id) = &attachment.content_id {
                    self.line(&format!(
                        "Content-ID: <{}>",
                        clean(id.trim_matches(['<', '>']))
                    ));
                }
                self.line("Content-Transfer-Encoding: base64");
                self.line("");
                for chunk in bytes.chunks(57) {
                    let line = STANDARD.encode(chunk);
                    self.line(&line);
                }
            }
            AttachmentKind::Reference => {}
        }
    }
}

/// MIME of the `item` of an item attachment that was given as JSON.
pub fn item_mime(item: &Value, key: u64) -> Vec<u8> {
    let empty = Object::new();
    compose(&Composition {
        props: item.as_object().unwrap_or(&empty),
        text: Text {
            html: item["body"]["contentType"]
                .as_str()
                .is_some_and(|t| t.eq_ignore_ascii_case("html")),
            content: item["body"]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        },
        attachments: &[],
        transport: &[],
        extra: None,
        calendar: None,
        is_draft: false,
        key,
    })
}

/// No value may start a header of its own.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn addresses(value: Option<&Value>) -> String {
    let one = |v: &Value| {
        let address = clean(v["emailAddress"]["address"].as_str().unwrap_or_default());
        match v["emailAddress"]["name"].as_str() {
            Some(name) if !name.is_empty() && name != address => {
                if name.is_ascii() {
                    format!("\"{}\" <{address}>", clean(name).replace(['"', '\\'], "'"))
                } else {
                    format!("{} <{address}>", encoded_words(name))
                }
            }
            _ if address.is_empty() => String::new(),
            _ => format!("<{address}>"),
        }
    };
    let all: Vec<String> = match value {
        Some(Value::Array(list)) => list.iter().map(one).filter(|a| !a.is_empty()).collect(),
        Some(value @ Value::Object(_)) => vec![one(value)],
        _ => Vec::new(),
    };
    all.join(",\r\n\t")
}

/// RFC 2047: what is not ASCII goes into encoded words of at most 75 characters.
pub fn encoded_words(text: &str) -> String {
    let text = clean(text);
    if text.is_ascii() {
        return text;
    }
    let mut words = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if piece.len() + c.len_utf8() > 45 {
            words.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    words.push(piece);
    let words: Vec<String> = words
        .iter()
        .map(|w| format!("=?utf-8?B?{}?=", STANDARD.encode(w)))
        .collect();
    words.join("\r\n ")
}

/// `Mon, 02 Mar 2026 09:00:00 +0000`.
fn rfc2822(date: &str) -> Option<String> {
    let time: jiff::Timestamp = date.parse().ok()?;
    Some(time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
}

/// RFC 2045 6.7; line ends of the text become CRLF.
fn quoted_printable(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n");
        }
        let line = line.strip_suffix('\r').unwrap_or(line).as_bytes();
        let mut column = 0;
        for (at, &byte) in line.iter().enumerate() {
            let last = at + 1 == line.len();
            let plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~')
                || (matches!(byte, b' ' | b'\t') && !last);
            let width = if plain { 1 } else { 3 };
            if column + width > 75 {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if plain {
                out.push(byte);
            } else {
                out.extend_from_slice(&[
                    b'=',
                    HEX[usize::from(byte >> 4)],
                    HEX[usize::from(byte & 15)],
                ]);
            }
            column += width;
        }
    }
}

/// The text of HTML, roughly: tags taken out, paragraphs kept apart, the common entities read.
pub fn plain(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        let tag = &rest[start..];
        let lower: String = tag.chars().take(8).collect::<String>().to_ascii_lowercase();
        let skip = ["<script", "<style", "<head"]
            .iter()
            .find(|t| lower.starts_with(**t));
        if let Some(name) = skip {
            let close = format!("</{}", &name[1..]);
            let end = tag
                .to_ascii_lowercase()
                .find(&close)
                .map_or(tag.len(), |e| e);
            rest = &tag[end.max(1)..];
            if end == tag.len() {
                rest = "";
            }
            continue;
        }
        if ["<br", "</p", "</div", "</tr", "</li", "</h"]
            .iter()
            .any(|t| lower.starts_with(t) && !lower.starts_with("</head"))
        {
            out.push_str("\r\n");
        }
        match tag.find('>') {
            Some(end) => rest = &tag[end + 1..],
            None => rest = "",
        }
    }
    out.push_str(rest);
    out.replace("&nbsp;", " ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back() {
        let props = json!({"subject": "Größe – 数字", "from": {"emailAddress": {"name": "Ann \"A\" Lee", "address": "ann@x.test"}},
            "toRecipients": [{"emailAddress": {"name": "Bø", "address": "bo@x.test"}}, {"emailAddress": {"address": "c@x.test"}}],
            "sentDateTime": "2026-03-01T09:00:00Z", "internetMessageId": "<1@x>"});
        let file = Attachment {
            no: 0,
            kind: AttachmentKind::File(Bytes::from(vec![0u8; 200])),
            name: "nül.bin".into(),
            content_type: Some("application/octet-stream".into()),
            is_inline: false,
            content_id: None,
            content_location: None,
            modified: 0,
        };
        let item = Attachment {
            kind: AttachmentKind::Item {
                item: json!({"subject": "inner", "body": {"contentType": "text", "content": "x"}}),
                mime: None,
            },
            ..file.clone()
        };
        let text = Text {
            html: true,
            content: "<html><body><p>é = 1</p>\n<p>trailing \nlast</p></body></html>".into(),
        };
        let bytes = compose(&Composition {
            props: props.as_object().unwrap(),
            text: text.clone(),
            attachments: &[file, item],
            transport: &["Received: from a by b; Sun, 01 Mar 2026 09:00:05 +0000".into()],
            extra: None,
            calendar: Some("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
            is_draft: false,
            key: 7,
        });
        let facts = super::super::mime::facts(&bytes);
        assert_eq!(facts.props["subject"], props["subject"]);
        assert_eq!(facts.props["receivedDateTime"], "2026-03-01T09:00:05Z");
        assert_eq!(facts.props["toRecipients"][0]["emailAddress"]["name"], "Bø");
        assert_eq!(
            super::super::mime::text(&bytes)
                .content
                .replace("\r\n", "\n"),
            text.content
        );
        let all = super::super::mime::attachments(&bytes, 0);
        assert!(all.iter().any(|a| a.name == "nül.bin"));
        assert!(
            all.iter()
                .any(|a| matches!(a.kind, AttachmentKind::Item { .. }))
        );
        assert!(bytes.split(|b| *b == b'\n').all(|l| l.len() <= 100));
    }

    #[test]
    fn html_becomes_text() {
        assert_eq!(
            plain("<head><title>x</title></head><p>a &amp; b</p>c<br>d<script>bad()</script>e"),
            "a & b\r\nc\r\nde"
        );
        assert_eq!(plain("a < b"), "a ");
        assert_eq!(plain("<script>never closed"), "");
    }
}
