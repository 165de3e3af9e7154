//! Upload sessions for files of a task, up to 25 MB.
//!
//! Unlike those of mail, the upload URL is inside the API: the chunks are sent with an access token to
//! `uploadUrl` + `/content`, in order, each at most 4 MB.

use bytes::BytesMut;
use http::Method;
use serde_json::json;

use super::store::{Board, File, Session};
use super::{attachments, bad, missing, tasks};
use crate::api::{ApiRequest, ApiResponse};
use crate::attachments::sessions::content_range;
use crate::clock::rfc3339;
use crate::mail::ids::No;
use crate::world::World;

const MAX_SIZE: u64 = 25 << 20;
const MAX_CHUNK: usize = 4 << 20;
/// Seconds a session is kept.
const LIFETIME: i64 = 24 * 3600;

/// `POST .../attachments/createUploadSession`.
pub fn create(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    let body = request.json()?;
    let info = &body["attachmentInfo"];
    let kind = info["attachmentType"].as_str().unwrap_or_default();
    if !kind.eq_ignore_ascii_case("file") {
        return Err(bad("attachmentInfo must be of a file."));
    }
    let (Some(name), Some(size)) = (info["name"].as_str(), info["size"].as_u64()) else {
        return Err(bad("attachmentInfo needs a name and a size."));
    };
    if size == 0 || size > MAX_SIZE {
        return Err(bad("The file is empty or larger than 25 MB."));
    }
    let now = world.clock.now();
    board.sessions.retain(|_, s| s.expires > now);
    let key = board.fresh_id();
    let content_type = info["contentType"].as_str();
    let session = Session {
        task: no,
        name: name.to_owned(),
        content_type: content_type
            .unwrap_or("application/octet-stream")
            .to_owned(),
        size,
        bytes: BytesMut::new(),
        expires: now + LIFETIME,
    };
    let expires = session.expires;
    board.sessions.insert(key.clone(), session);
    let url = format!(
        "{}/users/{}/todo/lists/{}/tasks/{}/attachmentSessions/{key}",
        request.root_url(),
        board.user.id,
        board.list_id(board.task(no).list),
        board.task_id(no)
    );
    Ok(ApiResponse::json(
        201,
        json!({
            "@odata.context": request.context("microsoft.graph.uploadSession"),
            "uploadUrl": url, "expirationDateTime": rfc3339(expires), "nextExpectedRanges": ["0"],
        }),
    ))
}

/// Everything below `.../attachmentSessions` of a task.
pub fn route(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    no: No,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let [key, below @ ..] = rest else {
        return Err(ApiResponse::method_not_allowed());
    };
    let now = world.clock.now();
    let live = |s: &&Session| s.task == no && s.expires > now;
    let session = board.sessions.get(*key).filter(live).ok_or_else(missing)?;
    match (below, &request.method) {
        ([], &Method::GET) => {
            let mut body = progress(session);
            body["id"] = json!(key);
            let context = tasks::context(board, request, no, "/attachmentSessions/$entity");
            body["@odata.context"] = json!(context);
            Ok(ApiResponse::ok(body))
        }
        ([], &Method::DELETE) => {
            board.sessions.remove(*key);
            Ok(ApiResponse::no_content())
        }
        (["content"], &Method::PUT) => put(world, board, request, no, key),
        ([name, ..], _) if *name != "content" => Err(ApiResponse::no_such_segment(name)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn progress(session: &Session) -> serde_json::Value {
    json!({
        "expirationDateTime": rfc3339(session.expires),
        "nextExpectedRanges": [session.bytes.len().to_string()],
    })
}

fn put(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    no: No,
    key: &str,
) -> Result<ApiResponse, ApiResponse> {
    let bad = |message: &str| ApiResponse::error(400, "ErrorInvalidRange", message);
    let (first, last, total) = request
        .header("content-range")
        .and_then(content_range)
        .ok_or_else(|| bad("Content-Range is missing or cannot be read."))?;
    let session = board.sessions.get_mut(key).ok_or_else(missing)?;
    let length = request.body.len();
    if total != session.size || last >= total || first > last || last - first + 1 != length as u64 {
        return Err(bad(
            "Content-Range does not fit the size of the file or of the body.",
        ));
    }
    if length > MAX_CHUNK {
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
        return Ok(ApiResponse::ok(progress(session)));
    }
    let session = board.sessions.remove(key).ok_or_else(missing)?;
    let file = File {
        no: 0,
        name: session.name,
        content_type: session.content_type,
        bytes: session.bytes.freeze(),
        modified: 0,
    };
    let number = attachments::add(world, board, no, file);
    let location = format!(
        "{}/users/{}/todo/lists/{}/tasks/{}/attachments/{}",
        request.root_url(),
        board.user.id,
        board.list_id(board.task(no).list),
        board.task_id(no),
        board.file_id(no, number)
    );
    Ok(ApiResponse::empty(201).with_header("location", &location))
}
