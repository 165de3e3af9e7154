//! What a task is made of besides its properties: checklist items and linked resources.

use http::Method;
use serde_json::{Value, json};

use super::store::{Board, Task};
use super::{bad, missing, precise, tasks};
use crate::api::{ApiRequest, ApiResponse};
use crate::mail::ids::No;
use crate::mail::{object_of, unknown_property};
use crate::odata::{self, Object};
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Step,
    Link,
}

impl Kind {
    fn type_name(self) -> &'static str {
        match self {
            Kind::Step => "microsoft.graph.checklistItem",
            Kind::Link => "microsoft.graph.linkedResource",
        }
    }

    fn segment(self) -> &'static str {
        match self {
            Kind::Step => "checklistItems",
            Kind::Link => "linkedResources",
        }
    }

    fn of(self, task: &mut Task) -> &mut Vec<Object> {
        match self {
            Kind::Step => &mut task.steps,
            Kind::Link => &mut task.links,
        }
    }
}

/// Everything below `.../checklistItems` or `.../linkedResources` of a task.
pub fn route(
    world: &World,
    board: &mut Board,
    request: &ApiRequest,
    no: No,
    kind: Kind,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let now = world.clock.now_ms();
    let context = tasks::context(board, request, no, &format!("/{}", kind.segment()));
    let one = |status: u16, part: &Object| {
        let mut body = part.clone();
        body.insert("@odata.context".into(), json!(format!("{context}/$entity")));
        ApiResponse::json(status, Value::Object(body))
    };
    let all = kind.of(board.task_mut(no));
    let place = |id: &str| {
        let found = all
            .iter()
            .position(|p| p.get("id").is_some_and(|v| v == id));
        found.ok_or_else(missing)
    };
    match (rest, &request.method) {
        ([], &Method::GET) => {
            let value = all.iter().cloned().map(Value::Object).collect();
            Ok(ApiResponse::ok(odata::page(context, None, value, None)))
        }
        ([], &Method::POST) => {
            let mut part = Object::new();
            apply(kind, &object_of(request)?, &mut part, now)?;
            let part = made(board, kind, part, now)?;
            let answer = one(201, &part);
            kind.of(board.task_mut(no)).push(part);
            board.touch(no, now);
            Ok(answer)
        }
        ([id], &Method::GET) => Ok(one(200, &all[place(id)?])),
        ([id], &Method::PATCH) => {
            let at = place(id)?;
            let body = object_of(request)?;
            apply(kind, &body, &mut all[at], now)?;
            let answer = one(200, &all[at]);
            board.touch(no, now);
            Ok(answer)
        }
        ([id], &Method::DELETE) => {
            let at = place(id)?;
            all.remove(at);
            board.touch(no, now);
            Ok(ApiResponse::no_content())
        }
        ([_, below, ..], _) => Err(ApiResponse::no_such_segment(below)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

/// Reads the parts a new task is posted with.
pub fn read_all(
    board: &mut Board,
    body: &Object,
    task: &mut Task,
    now: i64,
) -> Result<(), ApiResponse> {
    for kind in [Kind::Step, Kind::Link] {
        let list = match body.get(kind.segment()) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list,
            Some(_) => return Err(bad(&format!("'{}' must be an array.", kind.segment()))),
        };
        for entry in list {
            let mut part = Object::new();
            let entry = entry.as_object().ok_or_else(|| bad("Not an object."))?;
            apply(kind, entry, &mut part, now)?;
            let part = made(board, kind, part, now)?;
            kind.of(task).push(part);
        }
    }
    Ok(())
}

/// A new part with what the service adds.
fn made(board: &mut Board, kind: Kind, mut part: Object, now: i64) -> Result<Object, ApiResponse> {
    part.insert("id".into(), json!(board.fresh_id()));
    if kind == Kind::Step {
        if !part.contains_key("displayName") {
            return Err(bad("A checklist item needs a displayName."));
        }
        part.entry("createdDateTime")
            .or_insert_with(|| json!(precise(now)));
        part.entry("isChecked").or_insert(json!(false));
    }
    Ok(part)
}

fn apply(kind: Kind, body: &Object, part: &mut Object, now: i64) -> Result<(), ApiResponse> {
    for (name, value) in body.iter().filter(|(name, _)| !name.contains('@')) {
        let fits = match (kind, name.as_str()) {
            // Told by the service; whoever sends back what was read need not take it out.
            (_, "id") | (Kind::Step, "createdDateTime" | "checkedDateTime") => continue,
            (Kind::Step, "displayName") => value.is_string(),
            (Kind::Step, "isChecked") => value.is_boolean(),
            (Kind::Link, "applicationName" | "displayName" | "externalId" | "webUrl") => {
                value.is_string() || value.is_null()
            }
            _ => return Err(unknown_property(name, kind.type_name())),
        };
        if !fits {
            return Err(bad(&format!(
                "The value of property '{name}' is not valid."
            )));
        }
        if name == "isChecked" {
            match value.as_bool() {
                Some(true) if part.get(name) != Some(value) => {
                    part.insert("checkedDateTime".into(), json!(precise(now)));
                }
                Some(true) => {}
                _ => drop(part.remove("checkedDateTime")),
            }
        }
        part.insert(name.clone(), value.clone());
    }
    Ok(())
}
