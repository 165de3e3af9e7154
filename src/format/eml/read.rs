//! A mail file as Graph's message, for restoring what no snapshot knows.

use std::borrow::Cow;

use jiff::Timestamp;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::{Addr, Address, DateTime, HeaderValue, Message, MessageParser};
use serde_json::{Map, Value, json};

use super::mend::{is_divisible, with_line_feeds, with_readable_header, without_mbox_line};
use super::parts::{Text, content};
use super::{Attachment, Body};

/// Graph refuses requests of more than 4 MB, and the body can't be sent in pieces: a longer one
/// is cut here, and attached as a file in full.
const MAX_BODY: usize = 3_000_000;

/// Bytes of the header block that are kept as the transport headers (Exchange: 256 KB).
const MAX_HEADERS: usize = 128 * 1024;

/// A mail, ready to be created through Graph.
#[derive(Clone, Debug)]
pub struct GraphMessage {
    /// The body of `POST .../messages`. With the MAPI properties that make Exchange keep it as
    /// sent and received at its own times, not as a draft (Graph: set at creation only).
    pub json: Value,
    /// To be added to the message one by one, in this order.
    pub attachments: Vec<Attachment>,
    /// Unix seconds of arrival: the top `Received` line, else `Date`.
    pub received: Option<i64>,
}

/// Reads a mail. Never fails: what is no mail at all becomes a message with that text, and one that
/// is too broken to be taken apart keeps its header and is attached as a whole.
///
/// Not carried over: requests for receipts, since they would send mail when the restored message
/// is read. Recipients without an address stay in the transport headers only. Attachments are
/// complete; text ones keep their own charset and bytes.
pub fn to_graph(mime: &[u8]) -> GraphMessage {
    let mime = &with_line_feeds(mime);
    let original = without_mbox_line(mime);
    let mime = &with_readable_header(original);
    let whole = guarded(|| match is_divisible(mime) {
        true => MessageParser::default().parse(mime),
        false => None,
    });
    let readable = whole.is_some();
    let header_only = || guarded(|| MessageParser::default().parse_headers(mime));
    let Some(message) = whole.or_else(header_only) else {
        return GraphMessage {
            json: json!({ "body": { "contentType": "text", "content": lossy(mime) } }),
            attachments: Vec::new(),
            received: None,
        };
    };
    let (body, mut attachments) = match readable {
        true => content(&message),
        false => unreadable(original),
    };
    let mut json = properties(&message);
    let kind = if body.html { "html" } else { "text" };
    let mut text = body.content;
    if text.len() > MAX_BODY {
        let (name, content_type) = match body.html {
            true => ("body.html", "text/html; charset=utf-8"),
            false => ("body.txt", "text/plain; charset=utf-8"),
        };
        attachments.push(Attachment {
            name: name.into(),
            content_type: Some(content_type.into()),
            content_id: None,
            inline: false,
            body: Body::File(text.clone().into_bytes()),
        });
        let mut cut = MAX_BODY;
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        text.truncate(cut);
    }
    json.insert(
        "body".into(),
        json!({ "contentType": kind, "content": text }),
    );

    let sent = message.date().and_then(seconds);
    // Each server on the way writes its line above the others.
    let received = message
        .received_all()
        .next()
        .and_then(|r| r.date())
        .as_ref()
        .and_then(seconds)
        .or(sent);
    json.insert(
        "singleValueExtendedProperties".into(),
        mapi(mime, &message, sent, received),
    );
    GraphMessage {
        json: Value::Object(json),
        attachments,
        received,
    }
}

/// Parses, even where the parser has a bug: version 0.11 panics on some broken multiparts.
pub(super) fn guarded<'x>(parse: impl FnOnce() -> Option<Message<'x>>) -> Option<Message<'x>> {
    // What a panic leaves behind is dropped, so nothing inconsistent can be seen.
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse));
    parsed.ok().flatten().filter(|m| !m.parts.is_empty())
}

/// What to show of a mail that only its header could be read of.
fn unreadable(mime: &[u8]) -> (Text, Vec<Attachment>) {
    let text = "This mail could not be taken apart. It is attached as it was.".to_owned();
    let original = Attachment {
        name: "original.eml".into(),
        content_type: Some("application/octet-stream".into()),
        content_id: None,
        inline: false,
        body: Body::File(mime.to_vec()),
    };
    (
        Text {
            html: false,
            content: text,
        },
        vec![original],
    )
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BODY)]).into_owned()
}

fn properties(message: &Message) -> Map<String, Value> {
    let mut json = Map::new();
    let mut set = |key: &str, value: Value| {
        json.insert(key.into(), value);
    };
    set(
        "subject",
        clean(message.subject().unwrap_or_default()).into(),
    );
    let from = message
        .from()
        .and_then(|a| recipients(a).into_iter().next());
    let sender = message
        .sender()
        .and_then(|a| recipients(a).into_iter().next());
    if let Some(sender) = sender.clone().or(from.clone()) {
        set("sender", sender);
    }
    if let Some(from) = from.or(sender) {
        set("from", from);
    }
    let all = |addresses: &mut dyn Iterator<Item = &Address>| -> Value {
        addresses.flat_map(recipients).collect()
    };
    set("toRecipients", all(&mut message.all_to()));
    set("ccRecipients", all(&mut message.all_cc()));
    set("bccRecipients", all(&mut message.all_bcc()));
    set("replyTo", all(&mut message.reply_to().into_iter()));
    if let Some(id) = message.message_id() {
        set("internetMessageId", format!("<{}>", clean(id)).into());
    }
    set("importance", importance(message).into());
    set("isRead", true.into());
    let keywords = match message.keywords() {
        HeaderValue::Text(text) => text.split(',').map(clean).collect(),
        HeaderValue::TextList(list) => list.iter().map(|k| clean(k)).collect(),
        _ => Vec::new(),
    };
    let keywords: Vec<_> = keywords.into_iter().filter(|k| !k.is_empty()).collect();
    if !keywords.is_empty() {
        set("categories", keywords.into());
    }
    if let Some(index) = raw_header(message, "Thread-Index") {
        let index: String = index.split_whitespace().collect();
        if !index.is_empty() && base64_decode(index.as_bytes()).is_some() {
            set("conversationIndex", index.into());
        }
    }
    json
}

fn importance(message: &Message) -> &'static str {
    let find = |name| raw_header(message, name).map(|v| v.trim().to_ascii_lowercase());
    let told = find("Importance")
        .or_else(|| find("X-Priority"))
        .or_else(|| find("Priority"));
    match told.as_deref() {
        Some("high" | "urgent") => "high",
        Some("low" | "non-urgent") => "low",
        Some(v) if v.starts_with(['1', '2']) => "high",
        Some(v) if v.starts_with(['4', '5']) => "low",
        _ => "normal",
    }
}

/// RFC 2156 5.3.4.
fn sensitivity(message: &Message) -> Option<&'static str> {
    let told = raw_header(message, "Sensitivity")?;
    match told.trim().to_ascii_lowercase().as_str() {
        "personal" => Some("1"),
        "private" => Some("2"),
        "company-confidential" => Some("3"),
        _ => None,
    }
}

fn raw_header<'m>(message: &'m Message, name: &'static str) -> Option<Cow<'m, str>> {
    let header = message
        .headers()
        .iter()
        .find(|h| h.name.as_str().eq_ignore_ascii_case(name))?;
    let raw = message.raw_message.as_ref();
    let value = raw.get(header.offset_start as usize..header.offset_end as usize)?;
    Some(String::from_utf8_lossy(value))
}

/// Text of one line without controls, as Graph's properties want it.
pub(super) fn clean(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.trim().to_owned()
}

fn recipients(addresses: &Address) -> Vec<Value> {
    addresses.iter().filter_map(recipient).collect()
}

fn recipient(addr: &Addr) -> Option<Value> {
    let address = clean(addr.address()?);
    if address.is_empty() {
        return None;
    }
    let name = addr.name().map(clean).filter(|n| !n.is_empty());
    let name = name.unwrap_or_else(|| address.clone());
    Some(json!({ "emailAddress": { "name": name, "address": address } }))
}

fn seconds(date: &DateTime) -> Option<i64> {
    // A leap second is no reason to lose the date.
    let mut date = *date;
    date.second = date.second.min(59);
    (date.is_valid() && date.year <= 9998).then(|| date.to_timestamp())
}

fn iso(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(|t| t.to_string())
}

/// The properties that Graph has no names for.
fn mapi(mime: &[u8], message: &Message, sent: Option<i64>, received: Option<i64>) -> Value {
    let mut all = Vec::new();
    let mut set = |id: &str, value: String| all.push(json!({ "id": id, "value": value }));
    // `X-Unsent: 1` is how Outlook marks a draft that was saved as a file.
    let draft = raw_header(message, "X-Unsent").is_some_and(|v| v.trim() == "1");
    if !draft {
        set("Integer 0x0E07", "1".into()); // PidTagMessageFlags: read, not unsent
    }
    if let Some(sent) = sent.and_then(iso) {
        set("SystemTime 0x0039", sent); // PidTagClientSubmitTime
    }
    if let Some(received) = received.and_then(iso) {
        set("SystemTime 0x0E06", received); // PidTagMessageDeliveryTime
    }
    for (id, name) in [
        ("String 0x1042", "In-Reply-To"),
        ("String 0x1039", "References"),
    ] {
        if let Some(value) = raw_header(message, name) {
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            if !value.is_empty() && value.len() <= MAX_HEADERS {
                set(id, value);
            }
        }
    }
    if let Some(level) = sensitivity(message) {
        set("Integer 0x0036", level.into()); // PidTagSensitivity
    }
    let end = message.parts[0].offset_body as usize;
    let headers = mime.get(..end.min(MAX_HEADERS)).unwrap_or_default();
    let headers = match end > MAX_HEADERS {
        true => &headers[..memchr::memrchr(b'\n', headers).map_or(0, |i| i + 1)],
        false => headers,
    };
    if !headers.is_empty() {
        let text = String::from_utf8_lossy(headers).replace('\0', "");
        set("String 0x007D", text.trim_end().to_owned()); // PidTagTransportMessageHeaders
    }
    Value::Array(all)
}
