//! Attachments of messages and events: files, attached items, references.
//!
//! What they hang on is an [`Owner`]; everything about attachments themselves is the same for both.

pub mod sessions;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::mail::compose::item_mime;
use crate::mail::item_not_found;
use crate::mail::mime::attachments;
use crate::odata::{self, Object, Select};
use crate::world::World;
pub use sessions::Uploads;

#[derive(Debug, Clone)]
pub enum AttachmentKind {
    File(Bytes),
    /// An attached message: its properties, and its MIME when there is one.
    Item {
        item: Value,
        mime: Option<Bytes>,
    },
    /// A link to a file elsewhere; v1.0 shows no more than the common properties.
    Reference,
}

#[derive(Debug, Clone)]
pub struct Attachment {
    /// Number in its message.
    pub no: u32,
    pub kind: AttachmentKind,
    pub name: String,
    pub content_type: Option<String>,
    pub is_inline: bool,
    pub content_id: Option<String>,
    pub content_location: Option<String>,
    /// Seconds since 1970.
    pub modified: i64,
}

impl Attachment {
    /// The size as MAPI counts it: the bytes, or all properties of an attached item, and some overhead.
    pub fn size(&self) -> u64 {
        let bytes = match &self.kind {
            AttachmentKind::File(bytes) => bytes.len() as u64,
            AttachmentKind::Item { item, mime } => {
                let within = mime.iter().flat_map(|m| attachments(m, self.modified));
                item.to_string().len() as u64 + within.map(|a| a.size()).sum::<u64>()
            }
            AttachmentKind::Reference => 0,
        };
        bytes + 178
    }
}

/// What names an item in its mailbox: its number, and the day of an occurrence of a series.
pub type ItemKey = (u32, Option<jiff::civil::Date>);

/// What attachments hang on: a message, or an event (also one occurrence of a series).
pub trait Owner {
    /// `messages` or `events`.
    const COLLECTION: &'static str;
    /// Id of the mailbox's user.
    fn user(&self) -> &str;
    /// A number that is the mailbox's own, for what is made up.
    fn seed(&self) -> u64;
    fn key(&self) -> ItemKey;
    fn id(&self, immutable: bool) -> String;
    fn attachment_id(&self, number: u32, immutable: bool) -> String;
    /// Number in an attachment id. `None`: not an id of this mailbox.
    fn parse_attachment(&self, id: &str) -> Option<u32>;
    fn all(&self) -> Vec<Attachment>;
    /// Puts `all` in place of what was there, as a change of the item.
    fn store(&mut self, world: &World, all: Vec<Attachment>);
    /// A number no attachment of the item ever had, `after` or higher.
    fn next_number(&mut self, after: u32) -> u32;
    fn uploads(&mut self) -> &mut Uploads;
}

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

/// Everything below `.../attachments`.
pub fn route(
    world: &World,
    owner: &mut impl Owner,
    request: &ApiRequest,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    match (rest, &request.method) {
        ([], &Method::GET) => list(owner, request),
        ([], &Method::POST) => {
            let attachment = read(&request.json()?, 0, world.clock.now())?;
            let number = add(world, owner, attachment);
            answer(owner, request, number, 201)
        }
        ([name], &Method::POST) if name.to_ascii_lowercase().ends_with("createuploadsession") => {
            sessions::create(world, owner, request)
        }
        ([id, below @ ..], method) => {
            let attachment = find(owner, id)?;
            match (below, method) {
                ([], &Method::GET) => answer(owner, request, attachment.no, 200),
                ([], &Method::DELETE) => {
                    let mut all = owner.all();
                    all.retain(|a| a.no != attachment.no);
                    owner.store(world, all);
                    Ok(ApiResponse::no_content())
                }
                (["$value"], &Method::GET) => value(owner, &attachment),
                ([segment, ..], _) => Err(ApiResponse::no_such_segment(segment)),
                _ => Err(ApiResponse::method_not_allowed()),
            }
        }
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

/// The attachment with this id.
fn find(owner: &impl Owner, id: &str) -> Result<Attachment, ApiResponse> {
    let number = owner
        .parse_attachment(id)
        .ok_or_else(|| ApiResponse::error(400, "ErrorInvalidIdMalformed", "Id is malformed."))?;
    one(owner, number)
}

fn one(owner: &impl Owner, number: u32) -> Result<Attachment, ApiResponse> {
    let mut all = owner.all().into_iter();
    all.find(|a| a.no == number).ok_or_else(item_not_found)
}

/// An attachment as Graph shows it. `bytes`: with `contentBytes`, where it was not left out by `$select`.
pub fn show(
    id: String,
    attachment: &Attachment,
    select: &Select,
    items: bool,
    bytes: bool,
) -> Value {
    let mut out = Object::new();
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
    out.insert("id".into(), json!(id));
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

fn context<O: Owner>(owner: &O, request: &ApiRequest, entity: &str) -> String {
    request.context(&format!(
        "users('{}')/{}('{}')/attachments{entity}",
        owner.user(),
        O::COLLECTION,
        owner.id(request.immutable_ids())
    ))
}

fn list(owner: &impl Owner, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    let select = Select::of(request, "microsoft.graph.attachment", KNOWN)?;
    let items = wants_item(request);
    let immutable = request.immutable_ids();
    let value: Vec<Value> = owner
        .all()
        .iter()
        .map(|a| {
            let id = owner.attachment_id(a.no, immutable);
            show(id, a, &select, items, true)
        })
        .collect();
    let count = odata::wants_count(request).then_some(value.len());
    let context = context(owner, request, "");
    Ok(ApiResponse::ok(odata::page(context, count, value, None)))
}

fn answer(
    owner: &impl Owner,
    request: &ApiRequest,
    number: u32,
    status: u16,
) -> Result<ApiResponse, ApiResponse> {
    let select = Select::of(request, "microsoft.graph.attachment", KNOWN)?;
    let attachment = one(owner, number)?;
    let id = owner.attachment_id(number, request.immutable_ids());
    let mut value = show(id, &attachment, &select, wants_item(request), true);
    value["@odata.context"] = json!(context(owner, request, "/$entity"));
    Ok(ApiResponse::json(status, value))
}

fn value(owner: &impl Owner, attachment: &Attachment) -> Result<ApiResponse, ApiResponse> {
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
        AttachmentKind::Item { item, .. } if is_event(item) => Ok(ApiResponse::bytes(
            200,
            item_calendar(item),
            "text/calendar",
        )),
        AttachmentKind::Item { item, .. } => Ok(ApiResponse::bytes(
            200,
            item_mime(item, owner.seed() ^ u64::from(owner.key().0)),
            "text/plain",
        )),
        AttachmentKind::Reference => Err(ApiResponse::error(
            405,
            "ErrorInvalidRequest",
            "A reference attachment has no content.",
        )),
    }
}

fn is_event(item: &Value) -> bool {
    item["@odata.type"] == "#microsoft.graph.event"
}

/// An attached event as iCalendar: what it is and when.
fn item_calendar(item: &Value) -> String {
    let text = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        text.replace('\\', "\\\\")
            .replace(',', "\\,")
            .replace(';', "\\;")
            .replace("\r\n", "\n")
            .replace('\n', "\\n")
    };
    let time = |value: &Value| {
        let time = value["dateTime"].as_str().unwrap_or_default();
        time.chars()
            .take(19)
            .filter(|c| !matches!(c, '-' | ':'))
            .collect::<String>()
    };
    let mut out = String::from(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//graph-emulator//EN\r\nBEGIN:VEVENT\r\n",
    );
    for (name, value) in [
        ("SUMMARY", text(&item["subject"])),
        ("DTSTART", time(&item["start"])),
        ("DTEND", time(&item["end"])),
        ("LOCATION", text(&item["location"]["displayName"])),
        ("DESCRIPTION", text(&item["body"]["content"])),
    ] {
        if !value.is_empty() {
            out.push_str(&format!("{name}:{value}\r\n"));
        }
    }
    out + "END:VEVENT\r\nEND:VCALENDAR\r\n"
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
            let refused = [
                "id",
                "changeKey",
                "hasAttachments",
                "parentFolderId",
                "internetMessageHeaders",
                "attachments",
            ];
            let of_events = ["isOrganizer", "isDraft", "webLink"];
            let of_events = of_events.iter().filter(|_| is_event(item));
            for name in refused.iter().chain(of_events) {
                if item.get(name).is_some() {
                    return Err(invalid(&format!(
                        "The property '{name}' cannot be set on an attached item."
                    )));
                }
            }
            crate::mapi::attachment::posted(item)
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

/// Adds an attachment to an item; its number.
pub fn add(world: &World, owner: &mut impl Owner, mut attachment: Attachment) -> u32 {
    let mut all = owner.all();
    let after = all.iter().map(|a| a.no + 1).max().unwrap_or(0);
    attachment.no = owner.next_number(after);
    let number = attachment.no;
    all.push(attachment);
    owner.store(world, all);
    number
}
