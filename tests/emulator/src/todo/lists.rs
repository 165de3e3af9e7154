//! Task lists: listing, reading, making, renaming, deleting, delta.

use http::Method;
use serde_json::{Value, json};

use super::json::{LIST, View, list};
use super::store::Board;
use super::{bad, missing, tasks};
use crate::api::{ApiRequest, ApiResponse};
use crate::extensions::{self, Done};
use crate::feed::Change;
use crate::filter::Expr;
use crate::mail::ids::No;
use crate::mail::{is_delta, object_of, unknown_property};
use crate::odata::{self, Object};
use crate::rounds;
use crate::world::World;

/// Everything below `.../todo/lists`.
pub fn route(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let (id, below) = match rest {
        [] => {
            return match request.method {
                Method::GET => all(board, request),
                Method::POST => create(board, request),
                _ => Err(ApiResponse::method_not_allowed()),
            };
        }
        [id, ..] if is_delta(id) => return delta(world, board, request),
        [id, below @ ..] => (id, below),
    };
    let no = board.find_list(id).ok_or_else(missing)?;
    match below {
        [] => one(board, request, no),
        [name, rest @ ..] if name.eq_ignore_ascii_case("tasks") => {
            tasks::route(world, board, request, no, rest)
        }
        [name, rest @ ..] if name.eq_ignore_ascii_case("extensions") => {
            let context = context(
                board,
                request,
                &format!("('{}')/extensions", board.list_id(no)),
            );
            let done =
                extensions::route(request, rest, &mut board.list_mut(no).extensions, &context)?;
            match done {
                Done::Read(answer) => Ok(answer),
                Done::Changed(answer) => {
                    board.touch_list(no);
                    Ok(answer)
                }
            }
        }
        [name, ..] => Err(ApiResponse::no_such_segment(name)),
    }
}

fn context(board: &Board, request: &ApiRequest, what: &str) -> String {
    request.context(&format!("users('{}')/todo/lists{what}", board.user.id))
}

fn view(request: &ApiRequest) -> Result<View, ApiResponse> {
    View::lists(request.option("select"), request.option("expand"))
}

fn all(board: &Board, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    let shown = view(request)?;
    let whole = View::lists(None, None)?;
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let value: Vec<Value> = board
        .lists
        .iter()
        .filter(|l| !l.deleted)
        .filter(|l| {
            filter
                .as_ref()
                .is_none_or(|f| f.matches(&Value::Object(list(board, l.no, &whole))))
        })
        .map(|l| Value::Object(list(board, l.no, &shown)))
        .collect();
    Ok(ApiResponse::ok(odata::slice(
        request,
        context(board, request, ""),
        value,
        20,
        1000,
    )?))
}

fn answer(
    board: &Board,
    request: &ApiRequest,
    status: u16,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    let mut out = list(board, no, &view(request)?);
    out.insert(
        "@odata.context".into(),
        json!(context(board, request, "/$entity")),
    );
    Ok(ApiResponse::json(status, Value::Object(out)))
}

fn name_of(body: &Object) -> Result<Option<String>, ApiResponse> {
    for name in body.keys().filter(|n| !n.contains('@')) {
        if !LIST.contains(&name.as_str()) {
            return Err(unknown_property(name, "microsoft.graph.todoTaskList"));
        }
    }
    match body.get("displayName") {
        None => Ok(None),
        Some(Value::String(name)) if !name.trim().is_empty() => Ok(Some(name.clone())),
        Some(_) => Err(bad("A list needs a displayName.")),
    }
}

fn create(board: &mut Board, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    let body = object_of(request)?;
    let name = name_of(&body)?.ok_or_else(|| bad("A list needs a displayName."))?;
    let extensions = extensions::read_all(&body)?;
    let no = board.add_list(&name, "none");
    board.list_mut(no).extensions = extensions;
    answer(board, request, 201, no)
}

fn one(board: &mut Board, request: &ApiRequest, no: No) -> Result<ApiResponse, ApiResponse> {
    let own = board.list(no).known == "none";
    match request.method {
        Method::GET => answer(board, request, 200, no),
        Method::PATCH | Method::DELETE if !own => {
            Err(bad("The lists of the system cannot be renamed or deleted."))
        }
        Method::PATCH => {
            if let Some(name) = name_of(&object_of(request)?)? {
                board.list_mut(no).name = name;
            }
            board.touch_list(no);
            answer(board, request, 200, no)
        }
        Method::DELETE => {
            board.remove_list(no);
            Ok(ApiResponse::no_content())
        }
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn delta(world: &World, board: &Board, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    let of = format!("lists {}", board.user.id);
    let round = rounds::round(world, request, &of, board.seq())?;
    let view = View::lists(round.select.as_deref(), round.expand.as_deref())?;
    Ok(rounds::answer(
        world,
        request,
        request.context("Collection(todoTaskList)"),
        round,
        board.seq(),
        |round, limit| {
            let mut all: Vec<Change> = board
                .lists
                .iter()
                .filter(|l| l.seq > round.after && (!l.deleted || l.seq > round.base))
                .map(|l| Change {
                    seq: l.seq,
                    no: l.no,
                    gone: l.deleted,
                })
                .collect();
            all.sort_unstable_by_key(|c| c.seq);
            let more = all.len() > limit;
            all.truncate(limit);
            (all, more)
        },
        |change| match change.gone {
            true => {
                json!({"@odata.type": "#microsoft.graph.todoTaskList", "id": board.list_id(change.no), "@removed": {"reason": "deleted"}})
            }
            false => Value::Object(list(board, change.no, &view)),
        },
    ))
}
