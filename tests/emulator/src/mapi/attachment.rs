//! Attachments of any item: files, attached items, references.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::event::{self, Event};
use super::message::{self, Parts};
use super::names::*;
use super::{Builder, Kind, contact, event_read, restored, seconds};
use crate::fasttransfer::{Attached, MessageContent, Value};
use crate::mail::compose::{Composition, compose};
use crate::mail::content::{Attachment, AttachmentKind, Text};
use crate::mail::mime;
use crate::mail::properties::{self, Extended};

const BY_VALUE: i32 = 1;
const EMBEDDED: i32 = 5;
const OLE: i32 = 6;
const WEB_REFERENCE: i32 = 7;
/// Shown inside the body (`cid:`).
const RENDERED_INLINE: i32 = 4;

pub fn write(attachment: &Attachment, number: i32) -> Attached {
    let mut b = Builder::new();
    b.int(ATTACH_NUMBER, number)
        .time(CREATION_TIME, attachment.modified)
        .time(LAST_MODIFICATION_TIME, attachment.modified)
        .int(RENDERING_POSITION, -1)
        .text(DISPLAY_NAME, &attachment.name)
        .some_text(ATTACH_MIME_TAG, attachment.content_type.as_deref())
        .some_text(ATTACH_CONTENT_ID, attachment.content_id.as_deref())
        .some_text(
            ATTACH_CONTENT_LOCATION,
            attachment.content_location.as_deref(),
        );
    b.int(
        ATTACH_FLAGS,
        if attachment.is_inline {
            RENDERED_INLINE
        } else {
            0
        },
    )
    .bool(ATTACHMENT_HIDDEN, attachment.is_inline);
    match &attachment.kind {
        AttachmentKind::File(bytes) => {
            let extension = attachment
                .name
                .rsplit_once('.')
                .map(|(_, e)| format!(".{e}"));
            b.int(ATTACH_METHOD, BY_VALUE)
                .text(ATTACH_LONG_FILENAME, &attachment.name)
                .text(ATTACH_FILENAME, &attachment.name)
                .some_text(ATTACH_EXTENSION, extension.as_deref())
                .binary(ATTACH_DATA, bytes.to_vec());
            Attached {
                props: b.0,
                embedded: None,
            }
        }
        AttachmentKind::Item { item, mime } => {
            b.int(ATTACH_METHOD, EMBEDDED);
            let embedded = match mime {
                Some(mime) => message::write(&from_mime(mime, attachment.modified)),
                None => from_item(item),
            };
            Attached {
                props: b.0,
                embedded: Some(Box::new(embedded)),
            }
        }
        AttachmentKind::Reference => {
            b.int(ATTACH_METHOD, WEB_REFERENCE)
                .text(ATTACH_LONG_FILENAME, &attachment.name);
            Attached {
                props: b.0,
                embedded: None,
            }
        }
    }
}

/// An attached message that has bytes of its own.
fn from_mime(bytes: &[u8], modified: i64) -> Parts {
    let facts = mime::facts(bytes);
    Parts {
        class: facts.class.to_owned(),
        props: facts.props,
        text: mime::text(bytes),
        attachments: mime::attachments(bytes, modified),
        headers: Some(mime::header_block(bytes)),
        is_read: true,
        ..Parts::default()
    }
}

/// An attached item that was posted: stored, and so with everything that a stored item has.
pub fn posted(item: &Json) -> AttachmentKind {
    embedded(&from_item(item)).0
}

/// An attached item that was given as JSON.
fn from_item(item: &Json) -> MessageContent {
    let mut props = item.as_object().cloned().unwrap_or_default();
    match item["@odata.type"].as_str() {
        Some("#microsoft.graph.event") => {
            return event::write(&Event {
                props,
                ..Event::default()
            });
        }
        Some("#microsoft.graph.contact") => return contact::write(&props, None),
        _ => {}
    }
    let mut extended = Extended::default();
    // What can't be read of it is not kept.
    let _ = properties::read(&props, &mut extended);
    let body = props.remove("body").unwrap_or_default();
    let html = body["contentType"]
        .as_str()
        .is_some_and(|t| t.eq_ignore_ascii_case("html"));
    message::write(&Parts {
        class: "IPM.Note".to_owned(),
        is_read: props.get("isRead").and_then(Json::as_bool).unwrap_or(true),
        props,
        text: Text {
            html,
            content: body["content"].as_str().unwrap_or_default().to_owned(),
        },
        extended,
        ..Parts::default()
    })
}

pub fn read(attached: &Attached, no: u32, now: i64) -> Attachment {
    let props = &attached.props;
    let text = |tag: u16| props.text(tag).filter(|t| !t.is_empty()).map(str::to_owned);
    let method = props.int(ATTACH_METHOD).unwrap_or(BY_VALUE);
    let (kind, title) = match (&attached.embedded, method) {
        (Some(content), _) => embedded(content),
        (None, BY_VALUE | EMBEDDED | OLE) => {
            let data = props.tag(ATTACH_DATA).and_then(Value::as_binary);
            let bytes = Bytes::copy_from_slice(data.unwrap_or_default());
            (AttachmentKind::File(bytes), None)
        }
        _ => (AttachmentKind::Reference, None),
    };
    let flags = props.int(ATTACH_FLAGS).unwrap_or(0);
    Attachment {
        no,
        kind,
        name: text(ATTACH_LONG_FILENAME)
            .or_else(|| text(ATTACH_FILENAME))
            .or_else(|| text(DISPLAY_NAME))
            .or(title)
            .unwrap_or_else(|| format!("ATT{:05}", no + 1)),
        content_type: text(ATTACH_MIME_TAG),
        is_inline: flags & RENDERED_INLINE != 0,
        content_id: text(ATTACH_CONTENT_ID),
        content_location: text(ATTACH_CONTENT_LOCATION),
        modified: props
            .tag(LAST_MODIFICATION_TIME)
            .and_then(Value::as_time)
            .map_or(now, seconds),
    }
}

/// An attached item, and the name it has by its subject.
fn embedded(content: &MessageContent) -> (AttachmentKind, Option<String>) {
    let now = crate::seed::ANCHOR;
    let parts = restored::parts(content, now);
    let other = match Kind::of(&parts.class) {
        Kind::Appointment => {
            event_read::read(content, now).map(|e| ("#microsoft.graph.event", "subject", e.props))
        }
        Kind::Contact => {
            let (props, _) = contact::read(content, now);
            Some(("#microsoft.graph.contact", "displayName", props))
        }
        _ => None,
    };
    if let Some((kind, title, mut item)) = other {
        let title = item.get(title).and_then(Json::as_str).map(str::to_owned);
        item.insert("@odata.type".into(), json!(kind));
        let item = Json::Object(item);
        return (AttachmentKind::Item { item, mime: None }, title);
    }
    let bytes = compose(&Composition {
        props: &parts.props,
        text: parts.text.clone(),
        attachments: &parts.attachments,
        transport: &[],
        extra: parts.props.get("internetMessageHeaders"),
        calendar: None,
        is_draft: parts.is_draft,
        key: content.props.0.len() as u64,
    });
    let mut item = parts.props;
    item.remove("internetMessageHeaders");
    // Only what is in a mailbox was ever created there.
    for (name, tag) in [
        ("createdDateTime", CREATION_TIME),
        ("lastModifiedDateTime", LAST_MODIFICATION_TIME),
    ] {
        if content.props.tag(tag).is_none() {
            item.remove(name);
        }
    }
    item.entry("internetMessageId").or_insert(Json::Null);
    item.insert("@odata.type".into(), json!("#microsoft.graph.message"));
    let kind = if parts.text.html { "html" } else { "text" };
    item.insert(
        "body".into(),
        json!({"contentType": kind, "content": parts.text.content}),
    );
    let subject = item
        .get("subject")
        .and_then(Json::as_str)
        .filter(|s| !s.is_empty())
        .map(str::to_owned);
    let kind = AttachmentKind::Item {
        item: Json::Object(item),
        mime: Some(Bytes::from(bytes)),
    };
    (kind, subject)
}
