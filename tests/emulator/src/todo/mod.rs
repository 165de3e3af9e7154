//! Microsoft To Do: what Graph shows below `/users/{id}/todo`.
//!
//! The list of flagged mails is there and empty: it mirrors mail, and nothing in it is its own.

mod attachments;
pub mod import;
mod json;
mod lists;
mod parts;
pub mod recurrence;
mod sessions;
mod store;
mod tasks;
mod validate;

pub use json::precise;
pub use store::{Board, File, Task};
pub use validate::whole_recurrence;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use parking_lot::{Mutex, RwLock};
use serde_json::json;

use crate::api::{ApiRequest, ApiResponse, Version};
use crate::users::{self, User};
use crate::world::World;

/// All boards, by user id; each is made when it is first asked for.
#[derive(Default)]
pub struct Boards {
    by_user: RwLock<HashMap<String, Arc<Mutex<Board>>>>,
}

impl Boards {
    pub fn get(&self, user: &Arc<User>, tenant_seed: u64) -> Arc<Mutex<Board>> {
        if let Some(board) = self.by_user.read().get(&user.id) {
            return board.clone();
        }
        let mut all = self.by_user.write();
        let make = || {
            let mut board = Board::new(user.clone(), tenant_seed);
            if user.generated {
                crate::seed::todo::fill(&mut board);
            }
            Arc::new(Mutex::new(board))
        };
        all.entry(user.id.clone()).or_insert_with(make).clone()
    }
}

const READ: &[&str] = &["Tasks.Read.All", "Tasks.ReadWrite.All"];
const WRITE: &[&str] = &["Tasks.ReadWrite.All"];

/// Answers what is below `/users/{id}/todo`; `None` for anything else.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let path = request.path_ref();
    let todo = path.len() > 2
        && path[0].eq_ignore_ascii_case("users")
        && path[2].eq_ignore_ascii_case("todo")
        && request.version == Version::V1;
    todo.then(|| route(world, request, &path[3..]).unwrap_or_else(|refusal| refusal))
}

fn route(world: &World, request: &ApiRequest, rest: &[&str]) -> Result<ApiResponse, ApiResponse> {
    let read = request.method == Method::GET;
    let user = users::admit(world, request, if read { READ } else { WRITE })?;
    let board = world.todo.get(&user, world.options.seed);
    let mut board = board.lock();
    match rest {
        [] if read => Ok(ApiResponse::ok(json!({
            "@odata.context": request.context(&format!("users('{}')/todo/$entity", user.id)),
            "id": user.id,
        }))),
        [] => Err(ApiResponse::method_not_allowed()),
        [name, below @ ..] if name.eq_ignore_ascii_case("lists") => {
            lists::route(world, &mut board, request, below)
        }
        [name, ..] => Err(ApiResponse::no_such_segment(name)),
    }
}

/// The refusal of an id that leads nowhere.
fn missing() -> ApiResponse {
    ApiResponse::error(
        404,
        "ErrorItemNotFound",
        "The specified object was not found in the store.",
    )
}

fn bad(message: &str) -> ApiResponse {
    ApiResponse::error(400, "invalidRequest", message)
}
