//! Attachments of messages: files, attached items, references.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::compose::item_mime;
use super::content::{Attachment, AttachmentKind, Content};
use super::ids::No;
pub use super::sessions::Session;
use super::store::Mailbox;
use super::{basic_only, denied, item_not_found, sessions};
use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::odata::{self, Object, Select};
use crate::world::World;

pub const KNOWN: &[&str] = &[
    "id",
    "name",
    "contentType",
    "size",
    "isInline",
    "lastModifiedDateTime",
    "contentId",
    "contentLocation",
    "contentBytes",
    "item",
    "microsoft.graph.fileAttachment",
    "microsoft.graph.itemAttachment",
];

/// Largest file that may be posted at once; larger ones go through an upload session.
const MAX_INLINE: usize = 3 << 20;

/// Everything below `.../messages/{id}/attachments`.
pub fn route(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    if basic_only(request) {
        return Err(denied());
    }
    let immutable = request.immutable_ids();
    match (rest, &request.method) {
        ([], &Method::GET) => list(mailbox, request, no, immutable),
        ([], &Method::POST) => {
            let attachment = read(&request.json()?, 0, world.clock.now())?;
            let number = add(world, mailbox, no, attachment);
            answer(mailbox, request, no, number, 201)
        }
        ([name], &Method::POST) if name.to_ascii_lowercase().ends_with("createuploadsession") => {
            sessions::create(world, mailbox, request, no)
        }
        ([id, below @ ..], method) => {
            let number = find(mailbox, no, id)?;
            match (below, method) {
                ([], &Method::GET) => answer(mailbox, request, no, number, 200),
                ([], &Method::DELETE) => {
                    let mut all = Content::of(mailbox, no).attachments();
                    all.retain(|a| a.no != number);
                    store(world, mailbox, no, all);
                    Ok(ApiResponse::no_content())
                }
                (["$value"], &Method::GET) => value(mailbox, no, number),
                ([segment, ..], _) => Err(ApiResponse::no_such_segment(segment)),
                _ => Err(ApiResponse::method_not_allowed()),
            }
        }
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

/// Number of the attachment with this id.
fn find(mailbox: &Mailbox, no: No, id: &str) -> Result<u32, ApiResponse> {
    let (_, number) = mailbox
        .ids
        .parse_attachment(id)
        .ok_or_else(|| ApiResponse::error(400, "ErrorInvalidIdMalformed", "Id is malformed."))?;
    let all = Content::of(mailbox, no).attachments();
    all.iter()
        .find(|a| a.no == number)
        .map(|a| a.no)
        .ok_or_else(item_not_found)
}

fn one(mailbox: &Mailbox, no: No, number: u32) -> Result<Attachment, ApiResponse> {
    Content::of(mailbox, no)
        .attachments()
        .into_iter()
        .find(|a| a.no == number)
        .ok_or_else(item_not_found)
}

/// An attachment as Graph shows it. `bytes`: with `contentBytes`, where it was not left out by `$select`.
pub fn show(
    mailbox: &Mailbox,
    no: No,
    attachment: &Attachment,
    select: &Select,
    immutable: bool,
    items: bool,
    bytes: bool,
) -> Value {
    let mut out = Object::new();
    let moves = mailbox.item(no).moves;
    let kind = match &attachment.kind {
        AttachmentKind::File(_) => "#microsoft.graph.fileAttachment",
        AttachmentKind::Item { .. } => "#microsoft.graph.itemAttachment",
        AttachmentKind::Reference => "#microsoft.graph.referenceAttachment",
    };
    out.insert("@odata.type".into(), json!(kind));
    if let (AttachmentKind::File(_), Some(content_type)) =
        (&attachment.kind, &attachment.content_type)
    {
        out.insert("@odata.mediaContentType".into(), json!(content_type));
    }
    out.insert(
        "id".into(),
        json!(mailbox.ids.attachment(no, moves, immutable, attachment.no)),
    );
    out.insert(
        "lastModifiedDateTime".into(),
        json!(rfc3339(attachment.modified)),
    );
    out.insert("name".into(), json!(attachment.name));
    out.insert("contentType".into(), json!(attachment.content_type));
    out.insert("size".into(), json!(attachment.size()));
    out.insert("isInline".into(), json!(attachment.is_inline));
    match &attachment.kind {
        AttachmentKind::File(content) => {
            out.insert("contentId".into(), json!(attachment.content_id));
            out.insert("contentLocation".into(), json!(attachment.content_location));
            if bytes && select.wants("contentBytes") {
                out.insert("contentBytes".into(), json!(STANDARD.encode(content)));
            }
        }
        AttachmentKind::Item { item, .. } if items => {
            let mut item = item.clone();
            if item["@odata.type"].is_null() {
                item["@odata.type"] = json!("#microsoft.graph.message");
            }
            out.insert("item".into(), item);
        }
        _ => {}
    }
    select.apply(&mut out);
    Value::Object(out)
}

fn wants_item(request: &ApiRequest) -> bool {
    request
        .option("expand")
        .is_some_and(|e| e.to_ascii_lowercase().contains("itemattachment/item"))
}

fn list(
    mailbox: &Mailbox,
    request: &ApiRequest,
    no: No,
    immutable: bool,
) -> Result<ApiResponse, ApiResponse> {
    let select = Select::of(request, "microsoft.graph.attachment", KNOWN)?;
    let items = wants_item(request);
    let value: Vec<Value> = Content::of(mailbox, no)
        .attachments()
        .iter()
        .map(|a| show(mailbox, no, a, &select, immutable, items, true))
        .collect();
    let count = odata::wants_count(request).then_some(value.len());
    let id = mailbox.message_id(no, immutable);
    let context = request.context(&format!(
        "users('{}')/messages('{id}')/attachments",
        mailbox.user.id
    ));
    Ok(ApiResponse::ok(odata::page(context, count, value, None)))
}

fn answer(
    mailbox: &Mailbox,
    request: &ApiRequest,
    no: No,
    number: u32,
    status: u16,
) -> Result<ApiResponse, ApiResponse> {
    let select = Select::of(request, "microsoft.graph.attachment", KNOWN)?;
    let attachment = one(mailbox, no, number)?;
    let immutable = request.immutable_ids();
    let mut value = show(
        mailbox,
        no,
        &attachment,
        &select,
        immutable,
        wants_item(request),
        true,
    );
    let id = mailbox.message_id(no, immutable);
    value["@odata.context"] = json!(request.context(&format!(
        "users('{}')/messages('{id}')/attachments/$entity",
        mailbox.user.id
    )));
    Ok(ApiResponse::json(status, value))
}

fn value(mailbox: &Mailbox, no: No, number: u32) -> Result<ApiResponse, ApiResponse> {
    let attachment = one(mailbox, no, number)?;
    match &attachment.kind {
        AttachmentKind::File(bytes) => {
            let kind = attachment
                .content_type
                .as_deref()
                .unwrap_or("application/octet-stream");
            Ok(ApiResponse::bytes(200, bytes.clone(), kind))
        }
        AttachmentKind::Item {
            mime: Some(mime), ..
        } => Ok(ApiResponse::bytes(200, mime.clone(), "text/plain")),
        AttachmentKind::Item { item, .. } => Ok(ApiResponse::bytes(
            200,
            item_mime(item, mailbox.seed ^ u64::from(no)),
            "text/plain",
        )),
        AttachmentKind::Reference => Err(ApiResponse::error(
            405,
            "ErrorInvalidRequest",
            "A reference attachment has no content.",
        )),
    }
}

/// Reads an attachment as it is posted.
pub fn read(body: &Value, no: u32, now: i64) -> Result<Attachment, ApiResponse> {
    let invalid = |message: &str| ApiResponse::error(400, "ErrorInvalidProperty", message);
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let kind = match body["@odata.type"]
        .as_str()
        .map(|t| t.trim_start_matches('#').to_ascii_lowercase())
        .as_deref()
    {
        Some("microsoft.graph.fileattachment") => {
            let content = body["contentBytes"].as_str().ok_or_else(|| {
                invalid("The property 'ContentBytes' is required when creating the entity.")
            })?;
            let bytes = STANDARD.decode(content).map_err(|_| {
                ApiResponse::error(400, "RequestBodyRead", "Cannot convert the value of property 'contentBytes' to the expected type 'Edm.Binary'.")
            })?;
            if bytes.len() >= MAX_INLINE {
                return Err(ApiResponse::empty(413));
            }
            AttachmentKind::File(Bytes::from(bytes))
        }
        Some("microsoft.graph.itemattachment") => {
            let item = &body["item"];
            if !item.is_object() {
                return Err(invalid(
                    "The property 'Item' is required when creating the entity.",
                ));
            }
            if !item["@odata.type"]
                .as_str()
                .is_some_and(|t| t.starts_with('#'))
            {
                return Err(invalid("The property 'Item' must tell its type."));
            }
            for name in [
                "id",
                "changeKey",
                "hasAttachments",
                "parentFolderId",
                "internetMessageHeaders",
                "attachments",
            ] {
                if item.get(name).is_some() {
                    return Err(invalid(&format!(
                        "The property '{name}' cannot be set on an attached item."
                    )));
                }
            }
            AttachmentKind::Item {
                item: item.clone(),
                mime: None,
            }
        }
        Some("microsoft.graph.referenceattachment") => AttachmentKind::Reference,
        _ => {
            return Err(ApiResponse::error(
                400,
                "RequestBodyRead",
                "A type named in '@odata.type' could not be resolved: an attachment is abstract.",
            ));
        }
    };
    let name = text("name")
        .filter(|n| !n.is_empty())
        .ok_or_else(|| invalid("The property 'Name' is required when creating the entity."))?;
    Ok(Attachment {
        no,
        kind,
        name,
        content_type: text("contentType"),
        is_inline: body["isInline"].as_bool().unwrap_or(false),
        content_id: text("contentId"),
        content_location: text("contentLocation"),
        modified: now,
    })
}

/// Adds an attachment to a message; its number.
pub fn add(world: &World, mailbox: &mut Mailbox, no: No, mut attachment: Attachment) -> u32 {
    let mut all = Content::of(mailbox, no).attachments();
    let after = all.iter().map(|a| a.no + 1).max().unwrap_or(0);
    let detail = mailbox.detail_mut(no);
    attachment.no = detail.next_attachment.max(after);
    detail.next_attachment = attachment.no + 1;
    let number = attachment.no;
    all.push(attachment);
    store(world, mailbox, no, all);
    number
}

/// Attachments bump the message's change key and modification time.
fn store(world: &World, mailbox: &mut Mailbox, no: No, all: Vec<Attachment>) {
    let now = world.clock.now();
    let has = all.iter().any(|a| !a.is_inline);
    let detail = mailbox.detail_mut(no);
    detail.attachments = Some(all);
    detail.props.insert("hasAttachments".into(), json!(has));
    detail.modified = now;
    mailbox.touch(no, true);
}
