//! Files attached to a task.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::json::file;
use super::store::{Board, File};
use super::{bad, missing, sessions, tasks};
use crate::api::{ApiRequest, ApiResponse};
use crate::mail::ids::No;
use crate::odata;
use crate::world::World;

/// Largest file that may be posted at once; larger ones go through an upload session.
const MAX_INLINE: usize = 3 << 20;

/// Everything below `.../attachments` of a task.
pub fn route(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    no: No,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let context = tasks::context(board, request, no, "/attachments");
    match (rest, &request.method) {
        ([], &Method::GET) => {
            let files = &board.task(no).files;
            let value = files.iter().map(|f| file(board, no, f, false)).collect();
            Ok(ApiResponse::ok(odata::page(context, None, value, None)))
        }
        ([], &Method::POST) => {
            let number = add(world, board, no, read(&request.json()?)?);
            answer(board, &context, no, number, 201)
        }
        ([name], &Method::POST) if name.to_ascii_lowercase().ends_with("createuploadsession") => {
            sessions::create(world, board, request, no)
        }
        ([id, below @ ..], method) => {
            let number = find(board, no, id)?;
            match (below, method) {
                ([], &Method::GET) => answer(board, &context, no, number, 200),
                ([], &Method::DELETE) => {
                    board.task_mut(no).files.retain(|f| f.no != number);
                    board.touch(no, world.clock.now_ms());
                    Ok(ApiResponse::no_content())
                }
                (["$value"], &Method::GET) => {
                    let file = one(board, no, number)?;
                    let bytes = file.bytes.clone();
                    Ok(ApiResponse::bytes(200, bytes, &file.content_type))
                }
                ([segment, ..], _) => Err(ApiResponse::no_such_segment(segment)),
                _ => Err(ApiResponse::method_not_allowed()),
            }
        }
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn find(board: &Board, no: No, id: &str) -> Result<u32, ApiResponse> {
    let files = &board.task(no).files;
    let found = files.iter().find(|f| board.file_id(no, f.no) == id);
    found.map(|f| f.no).ok_or_else(missing)
}

fn one(board: &Board, no: No, number: u32) -> Result<&File, ApiResponse> {
    let files = &board.task(no).files;
    files.iter().find(|f| f.no == number).ok_or_else(missing)
}

fn answer(
    board: &Board,
    context: &str,
    no: No,
    number: u32,
    status: u16,
) -> Result<ApiResponse, ApiResponse> {
    let mut body = file(board, no, one(board, no, number)?, true);
    body["@odata.context"] = json!(format!("{context}/$entity"));
    Ok(ApiResponse::json(status, body))
}

fn read(body: &Value) -> Result<File, ApiResponse> {
    let kind = body["@odata.type"].as_str().unwrap_or_default();
    let kind = kind.trim_start_matches('#').to_ascii_lowercase();
    if kind != "microsoft.graph.taskfileattachment" {
        return Err(ApiResponse::error(
            400,
            "RequestBodyRead",
            "A type named in '@odata.type' could not be resolved: an attachment is abstract.",
        ));
    }
    let name = body["name"].as_str().filter(|n| !n.is_empty());
    let name = name.ok_or_else(|| bad("An attachment needs a name."))?;
    let content = body["contentBytes"].as_str();
    let content = content.ok_or_else(|| bad("An attachment needs contentBytes."))?;
    let bytes = STANDARD.decode(content).map_err(|_| {
        ApiResponse::error(
            400,
            "RequestBodyRead",
            "Cannot convert the value of property 'contentBytes' to the expected type 'Edm.Binary'.",
        )
    })?;
    if bytes.len() >= MAX_INLINE {
        return Err(ApiResponse::empty(413));
    }
    let content_type = body["contentType"].as_str();
    Ok(File {
        no: 0,
        name: name.to_owned(),
        content_type: content_type
            .unwrap_or("application/octet-stream")
            .to_owned(),
        bytes: Bytes::from(bytes),
        modified: 0,
    })
}

/// Attaches a file to a task; its number there.
pub fn add(world: &World, board: &mut Board, no: No, file: File) -> u32 {
    let now = world.clock.now_ms();
    let task = board.task_mut(no);
    let number = task.next_file;
    task.next_file += 1;
    task.files.push(File {
        no: number,
        modified: now,
        ..file
    });
    board.touch(no, now);
    number
}
