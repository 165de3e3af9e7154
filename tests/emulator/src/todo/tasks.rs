//! Tasks: listing, reading, making, changing, completing, deleting, delta.
//!
//! A task with a recurrence that is completed stays as a task of its own without recurrence; the next
//! one of the series is made beside it.

use http::Method;
use serde_json::{Value, json};

use super::json::{View, task, task_etag};
use super::store::{Board, Task};
use super::{attachments, bad, missing, parts, recurrence, sessions, validate};
use crate::api::{ApiRequest, ApiResponse};
use crate::extensions::{self, Done};
use crate::filter::{self, Expr, Subject};
use crate::mail::ids::No;
use crate::mail::{conflicts, is_delta, object_of};
use crate::odata;
use crate::rounds;
use crate::world::World;

/// Everything below `.../lists/{id}/tasks`.
pub fn route(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    list: No,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    match (rest, &request.method) {
        ([], &Method::GET) => all(board, request, list),
        ([], &Method::POST) => create(world, board, request, list),
        ([], _) => Err(ApiResponse::method_not_allowed()),
        (["$count"], &Method::GET) => Ok(odata::count(board.list(list).feed.count())),
        ([id, ..], &Method::GET) if is_delta(id) => delta(world, board, request, list),
        ([id, below @ ..], _) => {
            let no = board.find(list, id).ok_or_else(missing)?;
            at(world, board, request, no, below)
        }
    }
}

fn at(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    no: No,
    below: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let Some(what) = below.first() else {
        return match request.method {
            Method::GET => answer(board, request, 200, no),
            Method::PATCH => patch(world, board, request, no),
            Method::DELETE => {
                conflicts(request, &task_etag(board, no))?;
                board.remove(no);
                Ok(ApiResponse::no_content())
            }
            _ => Err(ApiResponse::method_not_allowed()),
        };
    };
    let rest = &below[1..];
    match what.to_ascii_lowercase().as_str() {
        "checklistitems" => parts::route(world, board, request, no, parts::Kind::Step, rest),
        "linkedresources" => parts::route(world, board, request, no, parts::Kind::Link, rest),
        "attachments" => attachments::route(world, board, request, no, rest),
        "attachmentsessions" => sessions::route(world, board, request, no, rest),
        "extensions" => {
            let context = context(board, request, no, "/extensions");
            let all = &mut board.task_mut(no).extensions;
            match extensions::route(request, rest, all, &context)? {
                Done::Read(answer) => Ok(answer),
                Done::Changed(answer) => {
                    board.touch(no, world.clock.now_ms());
                    Ok(answer)
                }
            }
        }
        _ => Err(ApiResponse::no_such_segment(what)),
    }
}

/// `@odata.context` of what is below a task.
pub fn context(board: &Board, request: &ApiRequest, no: No, what: &str) -> String {
    request.context(&format!(
        "users('{}')/todo/lists('{}')/tasks('{}'){what}",
        board.user.id,
        board.list_id(board.task(no).list),
        board.task_id(no)
    ))
}

fn tasks_context(board: &Board, request: &ApiRequest, list: No, what: &str) -> String {
    request.context(&format!(
        "users('{}')/todo/lists('{}')/tasks{what}",
        board.user.id,
        board.list_id(list)
    ))
}

fn all(board: &Board, request: &ApiRequest, list: No) -> Result<ApiResponse, ApiResponse> {
    let view = View::of_task(request)?;
    let whole = View::tasks(None, None)?;
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let json = |no: No| Value::Object(task(board, no, &whole));
    let mut found: Vec<No> = board.list(list).feed.members();
    found.retain(|no| filter.as_ref().is_none_or(|f| f.matches(&json(*no))));
    let order = request
        .option("orderby")
        .map(filter::order_by)
        .unwrap_or_default();
    if let Some((path, descending)) = order.first() {
        found.sort_by_cached_key(|no| {
            let value = Subject::get(&json(*no), path);
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_lowercase)
        });
        if *descending {
            found.reverse();
        }
    }
    let value = found
        .into_iter()
        .map(|no| Value::Object(task(board, no, &view)))
        .collect();
    let context = tasks_context(board, request, list, "");
    Ok(ApiResponse::ok(odata::slice(
        request, context, value, 20, 1000,
    )?))
}

fn answer(
    board: &Board,
    request: &ApiRequest,
    status: u16,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    let mut out = task(board, no, &View::of_task(request)?);
    let context = tasks_context(board, request, board.task(no).list, "/$entity");
    out.insert("@odata.context".into(), json!(context));
    Ok(ApiResponse::json(status, Value::Object(out)).with_header("etag", &task_etag(board, no)))
}

fn create(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    list: No,
) -> Result<ApiResponse, ApiResponse> {
    if board.list(list).known == "flaggedEmails" {
        return Err(bad("Tasks of flagged mails are made by flagging mails."));
    }
    let body = object_of(request)?;
    let now = world.clock.now_ms();
    let mut made = Task {
        created: now,
        modified: now,
        body_modified: now,
        ..Task::default()
    };
    validate::apply(&body, &mut made.props, now)?;
    if !made.props.contains_key("title") {
        return Err(bad("A task needs a title."));
    }
    made.extensions = extensions::read_all(&body)?;
    parts::read_all(board, &body, &mut made, now)?;
    let no = board.add(list, made);
    answer(board, request, 201, no)
}

fn patch(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    no: No,
) -> Result<ApiResponse, ApiResponse> {
    conflicts(request, &task_etag(board, no))?;
    let body = object_of(request)?;
    let now = world.clock.now_ms();
    let mut props = board.task(no).props.clone();
    validate::apply(&body, &mut props, now)?;
    let done = |props: &odata::Object| props.get("status").is_some_and(|s| s == "completed");
    let completed = done(&props) && !done(&board.task(no).props);
    let task = board.task_mut(no);
    if props.get("body") != task.props.get("body") {
        task.body_modified = now;
    }
    task.props = props;
    if completed {
        spawn(board, no, now);
    }
    board.touch(no, now);
    answer(board, request, 200, no)
}

/// Makes the next task of the series a completed one was of.
fn spawn(board: &mut Board, no: No, now: i64) {
    let Some(series) = board.task_mut(no).props.remove("recurrence") else {
        return;
    };
    let done = board.task(no).clone();
    let day_of = |name: &str| recurrence::day(&done.props.get(name)?["dateTime"]);
    let start = || recurrence::day(&series["range"]["startDate"]);
    let Some(from) = day_of("dueDateTime")
        .or_else(|| day_of("startDateTime"))
        .or_else(start)
    else {
        return;
    };
    let Some((day, rest)) = recurrence::next(&series, from) else {
        return;
    };
    let list = done.list;
    let mut next = Task {
        created: now,
        modified: now,
        body_modified: now,
        ..done
    };
    next.props.remove("status");
    next.props.remove("completedDateTime");
    next.props.insert("recurrence".into(), rest);
    for name in ["dueDateTime", "startDateTime", "reminderDateTime"] {
        if let Some(time) = next.props.get_mut(name) {
            recurrence::shift(&mut time["dateTime"], from, day);
        }
    }
    for step in &mut next.steps {
        step.insert("id".into(), json!(board.fresh_id()));
        step.insert("isChecked".into(), json!(false));
        step.remove("checkedDateTime");
    }
    for link in &mut next.links {
        link.insert("id".into(), json!(board.fresh_id()));
    }
    board.add(list, next);
}

fn delta(
    world: &World,
    board: &Board,
    request: &ApiRequest,
    list: No,
) -> Result<ApiResponse, ApiResponse> {
    let of = format!("tasks {} {list}", board.user.id);
    let round = rounds::round(world, request, &of, board.seq())?;
    let view = View::tasks(round.select.as_deref(), round.expand.as_deref())?;
    Ok(rounds::answer(
        world,
        request,
        request.context("Collection(todoTask)"),
        round,
        board.seq(),
        |round, limit| {
            let feed = &board.list(list).feed;
            feed.after(round.after, round.base, limit)
        },
        |change| match change.gone {
            true => {
                json!({"@odata.type": "#microsoft.graph.todoTask", "id": board.task_id(change.no), "@removed": {"reason": "deleted"}})
            }
            false => Value::Object(task(board, change.no, &view)),
        },
    ))
}
