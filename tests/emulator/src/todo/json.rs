//! Lists and tasks as Graph shows them.

use serde_json::{Value, json};

use super::store::{Board, File};
use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::extensions;
use crate::mail::ids::No;
use crate::odata::{Object, Select};

pub const LIST: &[&str] = &[
    "id",
    "displayName",
    "isOwner",
    "isShared",
    "wellknownListName",
    "extensions",
    "tasks",
];
pub const TASK: &[&str] = &[
    "id",
    "body",
    "bodyLastModifiedDateTime",
    "categories",
    "completedDateTime",
    "createdDateTime",
    "dueDateTime",
    "hasAttachments",
    "importance",
    "isReminderOn",
    "lastModifiedDateTime",
    "recurrence",
    "reminderDateTime",
    "startDateTime",
    "status",
    "title",
    "attachments",
    "attachmentSessions",
    "checklistItems",
    "extensions",
    "linkedResources",
];

/// `2026-03-01T09:00:05.1230000Z`: seven decimals, as To Do writes its own times.
pub fn precise(ms: i64) -> String {
    let whole = rfc3339(ms.div_euclid(1000));
    let whole = whole.trim_end_matches('Z');
    format!("{whole}.{:03}0000Z", ms.rem_euclid(1000))
}

/// How lists or tasks are to be shown.
pub struct View {
    select: Select,
    expand: Vec<String>,
}

impl View {
    pub fn lists(select: Option<&str>, expand: Option<&str>) -> Result<View, ApiResponse> {
        View::new("microsoft.graph.todoTaskList", LIST, select, expand)
    }

    pub fn tasks(select: Option<&str>, expand: Option<&str>) -> Result<View, ApiResponse> {
        View::new("microsoft.graph.todoTask", TASK, select, expand)
    }

    pub fn of_task(request: &ApiRequest) -> Result<View, ApiResponse> {
        View::tasks(request.option("select"), request.option("expand"))
    }

    fn new(
        kind: &str,
        known: &[&str],
        select: Option<&str>,
        expand: Option<&str>,
    ) -> Result<View, ApiResponse> {
        let expand: Vec<String> = expand
            .unwrap_or_default()
            .split(',')
            .map(|part| part.split('(').next().unwrap_or_default().trim())
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        for name in &expand {
            if !known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
                return Err(ApiResponse::error(
                    400,
                    "RequestBroker--ParseUri",
                    &format!("Could not find a property named '{name}' on type '{kind}'."),
                ));
            }
        }
        Ok(View {
            select: Select::parse(select, kind, known)?,
            expand,
        })
    }

    fn expands(&self, name: &str) -> bool {
        self.expand.iter().any(|e| e.eq_ignore_ascii_case(name))
    }
}

fn etag(board: &Board, seq: u64) -> String {
    format!("W/\"{}\"", board.ids.change_key(seq))
}

pub fn list(board: &Board, no: No, view: &View) -> Object {
    let list = board.list(no);
    let mut out = Object::new();
    out.insert("@odata.etag".into(), json!(etag(board, list.seq)));
    out.insert("id".into(), json!(board.list_id(no)));
    out.insert("displayName".into(), json!(list.name));
    out.insert("isOwner".into(), json!(true));
    out.insert("isShared".into(), json!(false));
    out.insert("wellknownListName".into(), json!(list.known));
    view.select.apply(&mut out);
    if view.expands("extensions") {
        let all: Vec<Value> = list.extensions.iter().map(extensions::show).collect();
        out.insert("extensions".into(), Value::Array(all));
    }
    out
}

pub fn task_etag(board: &Board, no: No) -> String {
    etag(board, board.task(no).seq)
}

pub fn task(board: &Board, no: No, view: &View) -> Object {
    let task = board.task(no);
    let mut out = task.props.clone();
    for (name, value) in [
        ("body", json!({"content": "", "contentType": "text"})),
        ("categories", json!([])),
        ("importance", json!("normal")),
        ("isReminderOn", json!(false)),
        ("status", json!("notStarted")),
        ("title", json!("")),
    ] {
        out.entry(name).or_insert(value);
    }
    out.insert("@odata.etag".into(), json!(task_etag(board, no)));
    out.insert("id".into(), json!(board.task_id(no)));
    out.insert("hasAttachments".into(), json!(!task.files.is_empty()));
    for (name, at) in [
        ("createdDateTime", task.created),
        ("lastModifiedDateTime", task.modified),
        ("bodyLastModifiedDateTime", task.body_modified),
    ] {
        out.insert(name.into(), json!(precise(at)));
    }
    view.select.apply(&mut out);
    if view.expands("checklistItems") {
        out.insert("checklistItems".into(), json!(task.steps));
    }
    if view.expands("linkedResources") {
        out.insert("linkedResources".into(), json!(task.links));
    }
    if view.expands("attachments") {
        let all: Vec<Value> = task
            .files
            .iter()
            .map(|f| file(board, no, f, false))
            .collect();
        out.insert("attachments".into(), Value::Array(all));
    }
    if view.expands("extensions") {
        let all: Vec<Value> = task.extensions.iter().map(extensions::show).collect();
        out.insert("extensions".into(), Value::Array(all));
    }
    out
}

/// An attachment; with its bytes only when it is asked for by itself.
pub fn file(board: &Board, no: No, file: &File, bytes: bool) -> Value {
    let mut out = json!({
        "@odata.type": "#microsoft.graph.taskFileAttachment", "id": board.file_id(no, file.no), "name": file.name,
        "contentType": file.content_type, "size": file.bytes.len(), "lastModifiedDateTime": precise(file.modified),
    });
    if bytes {
        use base64::Engine as _;
        let content = base64::engine::general_purpose::STANDARD.encode(&file.bytes);
        out["contentBytes"] = json!(content);
    }
    out
}
