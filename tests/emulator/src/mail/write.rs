//! Messages: creating, changing, copying, deleting, sending.
//!
//! Created as JSON, a message is a draft of now unless its MAPI properties say otherwise: flags
//! (0x0E07) without the 'unsent' bit make it a sent one, 0x0E06 and 0x0039 give its times. Created as
//! MIME it is a draft of now, always.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::content::Origin;
use super::ids::No;
use super::messages::one;
use super::properties::{self, Extended, PropertyValue};
use super::store::{Detail, Item, Mailbox};
use super::validate::{
    ALWAYS, DRAFT, SERVICE, check, invalid, lower_body, lower_enum, object_of, unknown_property,
};
use super::{attachments, mime};
use crate::api::{ApiRequest, ApiResponse};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::odata::Object;
use crate::options::Quirk;
use crate::seed::mail::conversation_index;
use crate::world::World;

/// `POST .../messages`.
pub fn create(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    scope: Option<No>,
) -> Result<ApiResponse, ApiResponse> {
    let folder = scope.unwrap_or_else(|| mailbox.well_known("drafts"));
    let content_type = request
        .header("content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let no = if content_type.starts_with("text/plain") {
        let text: Vec<u8> = request
            .body
            .iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        let bytes = STANDARD.decode(text).map_err(|_| {
            ApiResponse::error(
                400,
                "ErrorMimeContentInvalidBase64String",
                "Invalid base64 string for MIME content.",
            )
        })?;
        from_mime(world, mailbox, folder, Bytes::from(bytes))
    } else {
        from_json(world, mailbox, folder, object_of(request)?)?
    };
    one(mailbox, request, no, 201)
}

fn from_mime(world: &World, mailbox: &mut Mailbox, folder: No, bytes: Bytes) -> No {
    let now = world.clock.now();
    let facts = mime::facts(&bytes);
    let mut props = facts.props;
    for name in [
        "createdDateTime",
        "lastModifiedDateTime",
        "receivedDateTime",
        "sentDateTime",
    ] {
        props.insert(name.into(), json!(rfc3339(now)));
    }
    complete(mailbox, &mut props, &facts.thread, now);
    let item = Item {
        folder,
        moves: 0,
        seq: 0,
        seq_content: 0,
        entered: 0,
        received: now,
        is_read: true,
        is_draft: true,
    };
    mailbox.add(
        item,
        Detail {
            origin: Origin::Mime(bytes),
            props,
            ..Detail::default()
        },
    )
}

/// Stores a message as it came over the wire: not a draft, with the times in its headers.
pub fn deliver(mailbox: &mut Mailbox, folder: No, bytes: Bytes, is_read: bool) -> No {
    let facts = mime::facts(&bytes);
    let mut props = facts.props;
    for name in ["createdDateTime", "lastModifiedDateTime"] {
        props.insert(name.into(), json!(rfc3339(facts.received + 1)));
    }
    complete(mailbox, &mut props, &facts.thread, facts.received);
    let received = facts.received;
    let item = Item {
        folder,
        moves: 0,
        seq: 0,
        seq_content: 0,
        entered: 0,
        received,
        is_read,
        is_draft: false,
    };
    let mut extended = Extended::default();
    if facts.class != "IPM.Note" {
        let class = PropertyValue::Single(facts.class.to_owned());
        extended.insert("String 0x1a".into(), class);
    }
    mailbox.add(
        item,
        Detail {
            origin: Origin::Mime(bytes),
            props,
            extended,
            ..Detail::default()
        },
    )
}

/// Fills in what every message has.
pub fn complete(mailbox: &Mailbox, props: &mut Object, thread: &str, now: i64) {
    let key = crate::rng::Rng::new(mailbox.seed, thread).next();
    let owner =
        json!({"emailAddress": {"name": mailbox.user.display_name, "address": mailbox.user.upn}});
    let fresh = format!(
        "<{:016x}{:x}@{}>",
        crate::rng::Rng::at(mailbox.seed, mailbox.seq()).next(),
        mailbox.items.len(),
        mailbox.user.upn.rsplit('@').next().unwrap_or("contoso.com")
    );
    for (name, value) in [
        ("subject", json!("")),
        ("conversationId", json!(mailbox.ids.conversation(key))),
        ("conversationIndex", json!(conversation_index(key, 0, now))),
        ("internetMessageId", json!(fresh)),
        ("importance", json!("normal")),
        ("isReadReceiptRequested", json!(false)),
        ("isDeliveryReceiptRequested", Value::Null),
        ("inferenceClassification", json!("focused")),
        ("hasAttachments", json!(false)),
        ("flag", json!({"flagStatus": "notFlagged"})),
        ("categories", json!([])),
        ("toRecipients", json!([])),
        ("ccRecipients", json!([])),
        ("bccRecipients", json!([])),
        ("replyTo", json!([])),
        ("from", owner.clone()),
    ] {
        let missing = props
            .get(name)
            .is_none_or(|v| v.is_null() && name != "isDeliveryReceiptRequested");
        // Mail without a sender shows none; only what is written here gets its owner.
        if missing && !(name == "from" && thread_is_foreign(props)) {
            props.insert(name.into(), value);
        }
    }
    if let (None, Some(from)) = (props.get("sender"), props.get("from").cloned()) {
        props.insert("sender".into(), from);
    }
    if props.get("from").is_none()
        && let Some(sender) = props.get("sender").cloned()
    {
        props.insert("from".into(), sender);
    }
}

/// Parsed mail has its times before it is completed; JSON has not.
fn thread_is_foreign(props: &Object) -> bool {
    props.contains_key("receivedDateTime") && !props.contains_key("body")
}

fn time(extended: &Extended, id: &str) -> Result<Option<i64>, ApiResponse> {
    match extended.get(id) {
        Some(PropertyValue::Single(text)) => parse_rfc3339(text).map(Some).ok_or_else(|| {
            ApiResponse::error(
                400,
                "ErrorInvalidProperty",
                &format!("The value of extended property '{id}' is not a time."),
            )
        }),
        _ => Ok(None),
    }
}

pub fn from_json(
    world: &World,
    mailbox: &mut Mailbox,
    folder: No,
    mut body: Object,
) -> Result<No, ApiResponse> {
    check(&body)?;
    for name in body.keys().filter(|n| !n.contains('@')) {
        let known = ALWAYS.contains(&name.as_str())
            || DRAFT.contains(&name.as_str())
            || SERVICE.contains(&name.as_str())
            || matches!(
                name.as_str(),
                "internetMessageHeaders"
                    | "attachments"
                    | "singleValueExtendedProperties"
                    | "multiValueExtendedProperties"
                    | "extensions"
            );
        if !known {
            return Err(unknown_property(name, "microsoft.graph.message"));
        }
    }
    let mut extended = Extended::default();
    properties::read(&body, &mut extended)?;
    let now = world.clock.now();
    let given = match body.remove("attachments") {
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(no, a)| attachments::read(a, no as u32, now))
            .collect::<Result<Vec<_>, _>>()?,
        _ => Vec::new(),
    };
    let flags: Option<u32> = match extended.get("Integer 0xe07") {
        Some(PropertyValue::Single(value)) => Some(value.trim().parse().map_err(|_| {
            ApiResponse::error(
                400,
                "ErrorInvalidProperty",
                "The value of extended property 'Integer 0xe07' is not a number.",
            )
        })?),
        _ => None,
    };
    let is_draft = flags.is_none_or(|f| f & 8 != 0);
    let received = time(&extended, "SystemTime 0xe06")?.unwrap_or(now);
    let sent = time(&extended, "SystemTime 0x39")?.unwrap_or(now);
    let is_read = body
        .get("isRead")
        .and_then(Value::as_bool)
        .unwrap_or(is_draft || flags.is_some_and(|f| f & 1 != 0));

    let mut props = Object::new();
    for (name, value) in body {
        let kept = ALWAYS.contains(&name.as_str())
            || DRAFT.contains(&name.as_str())
            || matches!(
                name.as_str(),
                "conversationId" | "conversationIndex" | "internetMessageHeaders"
            );
        if kept && name != "isRead" && !(value.is_null() && name != "isDeliveryReceiptRequested") {
            let value = if name == "body" {
                lower_body(value)
            } else {
                lower_enum(&name, value)
            };
            props.insert(name, value);
        }
    }
    props
        .entry("body")
        .or_insert_with(|| json!({"contentType": "text", "content": ""}));
    for (name, at) in [
        ("createdDateTime", now),
        ("lastModifiedDateTime", now),
        ("receivedDateTime", received),
        ("sentDateTime", sent),
    ] {
        props.insert(name.into(), json!(rfc3339(at)));
    }
    let thread = props
        .get("conversationIndex")
        .or(props.get("subject"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    complete(mailbox, &mut props, &thread, now);
    let item = Item {
        folder,
        moves: 0,
        seq: 0,
        seq_content: 0,
        entered: 0,
        received,
        is_read,
        is_draft,
    };
    let next_attachment = given.len() as u32;
    let attachments = (!given.is_empty()).then_some(given);
    Ok(mailbox.add(
        item,
        Detail {
            origin: Origin::Json,
            props,
            extended,
            attachments,
            next_attachment,
            modified: 0,
        },
    ))
}

fn conflict(mailbox: &Mailbox, request: &ApiRequest, no: No) -> Result<(), ApiResponse> {
    let Some(wanted) = request.header("if-match").filter(|v| *v != "*") else {
        return Ok(());
    };
    let etag = format!("W/\"{}\"", mailbox.ids.change_key(mailbox.item(no).seq));
    if wanted == etag {
        return Ok(());
    }
    Err(ApiResponse::error(
        412,
        "ErrorIrresolvableConflict",
        "The send or update operation could not be performed because the change key passed in the request does not match the current change key for the item.",
    ))
}

/// `PATCH .../messages/{id}`.
pub fn patch(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    conflict(mailbox, request, no)?;
    let body = object_of(request)?;
    check(&body)?;
    let is_draft = mailbox.item(no).is_draft;
    for name in body.keys().filter(|n| !n.contains('@')) {
        let name = name.as_str();
        if ALWAYS.contains(&name)
            || name.ends_with("ExtendedProperties")
            || (is_draft && DRAFT.contains(&name))
        {
            continue;
        }
        if DRAFT.contains(&name) {
            return Err(invalid(&format!(
                "The property '{name}' can only be changed while the message is a draft."
            )));
        }
        if SERVICE.contains(&name) || name == "internetMessageHeaders" {
            return Err(ApiResponse::error(
                400,
                "ErrorInvalidPropertySet",
                &format!("Set action is invalid for property '{name}'."),
            ));
        }
        return Err(unknown_property(name, "microsoft.graph.message"));
    }
    let mut extended = Extended::default();
    properties::read(&body, &mut extended)?;
    // Flags are fixed at creation.
    extended.remove("Integer 0xe07");

    if let Some(read) = body.get("isRead").and_then(Value::as_bool) {
        mailbox.set_read(no, read);
    }
    let mut content = !extended.is_empty();
    if !extended.is_empty() || body.keys().any(|k| k != "isRead") {
        let detail = mailbox.detail_mut(no);
        detail.extended.extend(extended);
        for (name, value) in body {
            if name == "isRead" || name.contains('@') || name.ends_with("ExtendedProperties") {
                continue;
            }
            content = true;
            let value = if name == "body" {
                lower_body(value)
            } else {
                lower_enum(&name, value)
            };
            detail.props.insert(name, value);
        }
    }
    if content || world.options.has(Quirk::ReadTouches) {
        let now = world.clock.now();
        mailbox.detail_mut(no).modified = now;
    }
    mailbox.touch(no, content);
    one(mailbox, request, no, 200)
}

/// `DELETE .../messages/{id}`: into Recoverable Items.
pub fn delete(
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    conflict(mailbox, request, no)?;
    let dumpster = mailbox.well_known("recoverableitemsroot");
    if mailbox.is_below(mailbox.item(no).folder, dumpster) {
        return Err(ApiResponse::error(
            403,
            "ErrorCannotDeleteObject",
            "The object cannot be deleted.",
        ));
    }
    let deletions = mailbox.well_known("recoverableitemsdeletions");
    mailbox.move_to(no, deletions);
    Ok(ApiResponse::no_content())
}

/// A copy of a message in `folder`; its number.
pub fn copy_item(mailbox: &mut Mailbox, no: No, folder: No) -> No {
    let content = super::content::Content::of(mailbox, no);
    let source = mailbox.details.get(&no);
    let detail = match source.map(|d| &d.origin) {
        Some(Origin::Mime(_) | Origin::Json | Origin::Stream(_)) => {
            source.map(|d| (**d).clone()).unwrap_or_default()
        }
        _ => {
            // A copy of a generated message stands on its own.
            let text = content.text();
            let mut props = content.props().into_owned();
            props.insert("body".into(), json!({"contentType": if text.html { "html" } else { "text" }, "content": text.content}));
            let attachments = content.attachments();
            let next_attachment = attachments.len() as u32;
            Detail {
                origin: Origin::Json,
                props,
                extended: source.map(|d| d.extended.clone()).unwrap_or_default(),
                attachments: Some(attachments),
                next_attachment,
                modified: source.map_or(0, |d| d.modified),
            }
        }
    };
    let item = Item {
        folder,
        moves: 0,
        ..mailbox.item(no).clone()
    };
    mailbox.add(item, detail)
}
