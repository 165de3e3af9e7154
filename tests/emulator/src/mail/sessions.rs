//! Upload sessions for attachments of 3 to 150 MB.
//!
//! The bytes go, without an access token, to a URL outside the API. Chunks come in order and are at
//! most 4 MB; the last one makes the attachment.

use bytes::{Bytes, BytesMut};
use http::Method;
use serde_json::json;

use super::attachments;
use super::content::{Attachment, AttachmentKind};
use super::ids::No;
use super::item_not_found;
use super::store::{Mailbox, NOWHERE};
use crate::api::{ApiRequest, ApiResponse, RawRequest};
use crate::clock::rfc3339;
use crate::world::World;

const MAX_SIZE: u64 = 150 << 20;
const MAX_CHUNK: usize = 4 << 20;
/// Seconds a session is kept.
const LIFETIME: i64 = 2 * 3600;

/// An upload under way.
pub struct Session {
    message: No,
    attachment: Attachment,
    size: u64,
    bytes: BytesMut,
    expires: i64,
}

/// `POST .../attachments/createUploadSession`.
pub fn create(
    world: &World,
    mailbox: &mut Mailbox,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    let body = request.json()?;
    let item = body
        .as_object()
        .and_then(|o| {
            o.iter()
                .find(|(k, _)| k.eq_ignore_ascii_case("AttachmentItem"))
        })
        .map(|(_, v)| v.clone());
    let Some(item) = item.filter(|i| i.is_object()) else {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "AttachmentItem is missing.",
        ));
    };
    if !item["attachmentType"]
        .as_str()
        .is_some_and(|t| t.eq_ignore_ascii_case("file"))
    {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "Only files can be uploaded in a session.",
        ));
    }
    let (Some(name), Some(size)) = (item["name"].as_str(), item["size"].as_u64()) else {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "AttachmentItem needs a name and a size.",
        ));
    };
    if size > MAX_SIZE {
        return Err(ApiResponse::error(
            400,
            "ErrorAttachmentSizeLimitExceeded",
            "The attachment is larger than 150 MB.",
        ));
    }
    let text = |name: &str| item[name].as_str().map(str::to_owned);
    let now = world.clock.now();
    let attachment = Attachment {
        no: 0,
        kind: AttachmentKind::File(Bytes::new()),
        name: name.to_owned(),
        content_type: text("contentType"),
        is_inline: item["isInline"].as_bool().unwrap_or(false),
        content_id: text("contentId"),
        content_location: None,
        modified: now,
    };
    mailbox.sessions.retain(|_, s| s.expires > now);
    let key = world
        .rng(&format!(
            "session {} {no} {} {}",
            mailbox.user.id,
            mailbox.sessions.len(),
            world.clock.now_ms()
        ))
        .guid();
    let expires = now + LIFETIME;
    let session = Session {
        message: no,
        attachment,
        size,
        bytes: BytesMut::new(),
        expires,
    };
    mailbox.sessions.insert(key.clone(), session);
    let url = format!(
        "{}/_upload/mail/Users('{}')/Messages('{}')/AttachmentSessions('{key}')?authtoken={}",
        request.base_url,
        mailbox.user.id,
        mailbox.message_id(no, request.immutable_ids()),
        world.tokens.seal("upload", &key)
    );
    Ok(ApiResponse::json(
        201,
        json!({
            "@odata.context": request.context("microsoft.graph.uploadSession"),
            "uploadUrl": url, "expirationDateTime": rfc3339(expires), "nextExpectedRanges": ["0-"],
        }),
    ))
}

/// A request to an `uploadUrl` below `/_upload/mail/`.
pub fn handle_raw(world: &World, request: &RawRequest) -> ApiResponse {
    upload(world, request).unwrap_or_else(|refusal| refusal)
}

fn key_of<'a>(segment: &'a str, name: &str) -> Option<&'a str> {
    segment
        .strip_prefix(name)?
        .strip_prefix("('")?
        .strip_suffix("')")
}

fn upload(world: &World, request: &RawRequest) -> Result<ApiResponse, ApiResponse> {
    let gone = || {
        ApiResponse::error(
            404,
            "UploadSessionNotFound",
            "The upload session was not found.",
        )
    };
    let segment = |n: usize| request.path.get(n).map(String::as_str).unwrap_or_default();
    let (Some(user), Some(key)) = (
        key_of(segment(2), "Users"),
        key_of(segment(4), "AttachmentSessions"),
    ) else {
        return Err(gone());
    };
    if request.header("authorization").is_some() {
        return Err(ApiResponse::error(
            401,
            "InvalidAuthenticationToken",
            "The upload URL takes no Authorization header.",
        ));
    }
    let token = request.option("authtoken").unwrap_or_default();
    if world.tokens.open::<String>("upload", token).ok().as_deref() != Some(key) {
        return Err(ApiResponse::error(
            401,
            "InvalidAuthenticationToken",
            "The upload URL has expired.",
        ));
    }
    let mailbox = world.mail.get(user).ok_or_else(gone)?;
    let mut mailbox = mailbox.lock();
    let now = world.clock.now();
    if mailbox.sessions.get(key).is_none_or(|s| s.expires <= now) {
        mailbox.sessions.remove(key);
        return Err(gone());
    }
    match request.method {
        Method::DELETE => {
            mailbox.sessions.remove(key);
            Ok(ApiResponse::no_content())
        }
        Method::GET => {
            let session = mailbox.sessions.get(key).ok_or_else(gone)?;
            Ok(progress(session))
        }
        Method::PUT => put(world, &mut mailbox, request, key),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn progress(session: &Session) -> ApiResponse {
    ApiResponse::ok(json!({
        "expirationDateTime": rfc3339(session.expires),
        "nextExpectedRanges": [session.bytes.len().to_string()],
    }))
}

/// `bytes 0-99/200`: first, last, total.
pub fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((
        first.trim().parse().ok()?,
        last.trim().parse().ok()?,
        total.trim().parse().ok()?,
    ))
}

fn put(
    world: &World,
    mailbox: &mut Mailbox,
    request: &RawRequest,
    key: &str,
) -> Result<ApiResponse, ApiResponse> {
    let bad = |message: &str| ApiResponse::error(400, "ErrorInvalidRange", message);
    let (first, last, total) = request
        .header("content-range")
        .and_then(content_range)
        .ok_or_else(|| bad("Content-Range is missing or cannot be read."))?;
    let session = mailbox.sessions.get_mut(key).ok_or_else(item_not_found)?;
    if total != session.size
        || last >= total
        || first > last
        || last - first + 1 != request.body.len() as u64
    {
        return Err(bad(
            "Content-Range does not fit the size of the attachment or of the body.",
        ));
    }
    if request.body.len() > MAX_CHUNK {
        return Err(ApiResponse::empty(413));
    }
    if first != session.bytes.len() as u64 {
        return Err(ApiResponse::error(
            416,
            "InvalidRange",
            "The chunk does not follow the one before it.",
        ));
    }
    session.bytes.extend_from_slice(&request.body);
    if (session.bytes.len() as u64) < session.size {
        return Ok(progress(session));
    }
    let Some(session) = mailbox.sessions.remove(key) else {
        return Err(item_not_found());
    };
    let no = session.message;
    if mailbox.item(no).folder == NOWHERE {
        return Err(item_not_found());
    }
    let kind = AttachmentKind::File(session.bytes.freeze());
    let number = attachments::add(
        world,
        mailbox,
        no,
        Attachment {
            kind,
            ..session.attachment
        },
    );
    let location = format!(
        "{}/api/v2.0/Users('{}')/Messages('{}')/Attachments('{}')",
        request.base_url,
        mailbox.user.id,
        mailbox.message_id(no, false),
        mailbox
            .ids
            .attachment(no, mailbox.item(no).moves, false, number)
    );
    Ok(ApiResponse::empty(201).with_header("location", &location))
}
