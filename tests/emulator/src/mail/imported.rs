//! Items stored as they are, not as a client would make them: with their own times and state, and
//! never as drafts unless they are some.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::content::Origin;
use super::ids::No;
use super::properties::{Extended, PropertyValue};
use super::store::{Detail, Item, Mailbox};
use super::write::complete;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::fasttransfer::MessageContent;
use crate::mapi::message::Parts;
use crate::mapi::restored;
use crate::odata::field;

/// Stores a message made of its parts, in the place of `old` when there is one; its number.
pub fn message(mailbox: &mut Mailbox, folder: No, old: Option<No>, parts: Parts, now: i64) -> No {
    let mut props = parts.props;
    let received = field(&props, "receivedDateTime").as_str();
    let received = received.and_then(parse_rfc3339).unwrap_or(now);
    // All of a thread have these 16 bytes of the index in common.
    let index = field(&props, "conversationIndex").as_str();
    let index = index.and_then(|i| STANDARD.decode(i).ok());
    let thread = match index.as_deref().and_then(|i| i.get(6..22)) {
        Some(guid) => STANDARD.encode(guid),
        None => field(&props, "subject")
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    complete(mailbox, &mut props, &thread, received);
    let kind = if parts.text.html { "html" } else { "text" };
    props.insert(
        "body".into(),
        json!({"contentType": kind, "content": parts.text.content}),
    );
    let item = Item {
        is_read: parts.is_read,
        is_draft: parts.is_draft,
        ..item(folder, received)
    };
    let detail = Detail {
        origin: Origin::Json,
        props,
        extended: parts.extended,
        next_attachment: parts.attachments.len() as u32,
        attachments: Some(parts.attachments),
        modified: 0,
    };
    put(mailbox, old, item, detail)
}

/// Stores an item as the stream it came as, with what is listed of it; `content` is what could be read
/// of the stream.
pub fn stream(
    mailbox: &mut Mailbox,
    folder: No,
    old: Option<No>,
    content: Option<&MessageContent>,
    stream: Vec<u8>,
    now: i64,
) -> No {
    let parts = content.map(|c| restored::parts(c, now)).unwrap_or_default();
    let mut props = parts.props;
    for (name, value) in [
        ("createdDateTime", json!(rfc3339(now))),
        ("lastModifiedDateTime", json!(rfc3339(now))),
        ("receivedDateTime", json!(rfc3339(now))),
        ("categories", json!([])),
        ("subject", json!("")),
    ] {
        props.entry(name).or_insert(value);
    }
    props.retain(|name, _| {
        name.ends_with("DateTime") || matches!(name.as_str(), "categories" | "subject")
    });
    let received = field(&props, "receivedDateTime").as_str();
    let received = received.and_then(parse_rfc3339).unwrap_or(now);
    let mut extended = Extended::default();
    if !parts.class.is_empty() {
        extended.insert("String 0x1a".into(), PropertyValue::Single(parts.class));
    }
    let detail = Detail {
        origin: Origin::Stream(Bytes::from(stream)),
        props,
        extended,
        ..Detail::default()
    };
    put(mailbox, old, item(folder, received), detail)
}

fn item(folder: No, received: i64) -> Item {
    Item {
        folder,
        moves: 0,
        seq: 0,
        seq_content: 0,
        entered: 0,
        received,
        is_read: true,
        is_draft: false,
    }
}

fn put(mailbox: &mut Mailbox, old: Option<No>, item: Item, detail: Detail) -> No {
    match old {
        None => mailbox.add(item, detail),
        Some(no) => {
            mailbox.replace(no, item, detail);
            no
        }
    }
}
