//! Tasks as Graph's `todoTask`; sticky notes and journal entries as text.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::event::made_id;
use super::mail;
use super::message::Object;
use super::properties::{self as prop, Prop, graph_local, graph_time};
use super::recurrence::Recurrence;
use crate::format::eml::Body;
use crate::format::ics::todo;

/// A task.
pub(super) struct Task {
    /// Graph's `todoTask`.
    pub json: Value,
    pub files: Vec<todo::File>,
    /// What of it can't be shown.
    pub notes: Vec<String>,
}

/// `around`: calendar files that it is attached within.
pub(super) fn task(object: &Object<'_>, around: usize) -> Task {
    let p = &object.properties;
    let mut notes = Vec::new();
    let (files, links) = attached(object, &mut notes, around + 1);
    let mut json = Map::new();
    let mut say = |name: &str, value: Value| json.insert(name.to_owned(), value);
    say("@odata.type", "#microsoft.graph.todoTask".into());
    say("title", mail::subject(p).into());
    say("body", mail::body(p));
    say("importance", mail::importance(p).into());
    say("categories", p.texts(prop::KEYWORDS).into());
    let status = match p.int(prop::TASK_STATUS) {
        Some(1) => "inProgress",
        Some(2) => "completed",
        Some(3) => "waitingOnOthers",
        Some(4) => "deferred",
        _ if p.bool(prop::TASK_COMPLETE) == Some(true) => "completed",
        _ => "notStarted",
    };
    say("status", status.into());
    // Outlook's days are at midnight, in no zone.
    let mut when = |name: &str, which: Prop| {
        if let Some(time) = p.time(which).and_then(graph_local) {
            say(name, json!({ "dateTime": time, "timeZone": "UTC" }));
        }
    };
    when("startDateTime", prop::TASK_START);
    when("dueDateTime", prop::TASK_DUE);
    if status == "completed" {
        when("completedDateTime", prop::TASK_COMPLETED);
    }
    let reminds = p.bool(prop::REMINDER_SET) == Some(true);
    if reminds {
        when("reminderDateTime", prop::REMINDER_TIME);
    }
    say("isReminderOn", reminds.into());
    for (name, which) in [
        ("createdDateTime", prop::CREATION_TIME),
        ("lastModifiedDateTime", prop::LAST_MODIFICATION_TIME),
    ] {
        if let Some(time) = p.time(which).and_then(graph_time) {
            say(name, time.into());
        }
    }
    if let Some(blob) = p.binary(prop::TASK_RECURRENCE) {
        match Recurrence::parse(&blob) {
            Ok(recurrence) => drop(say("recurrence", recurrence.to_graph(None))),
            Err(e) => notes.push(format!("the recurrence can't be read: {e}")),
        }
    }
    if !links.is_empty() {
        say("linkedResources", links.into());
    }
    if !files.is_empty() {
        say("hasAttachments", true.into());
    }
    Task {
        json: Value::Object(json),
        files,
        notes,
    }
}

/// What is attached: files, and links to files elsewhere.
fn attached(
    object: &Object<'_>,
    notes: &mut Vec<String>,
    around: usize,
) -> (Vec<todo::File>, Vec<Value>) {
    let (mut files, mut links) = (Vec::new(), Vec::new());
    for attachment in &object.attachments {
        let Some(attachment) = mail::attachment(attachment, notes, around) else {
            continue;
        };
        let (name, content_type) = (attachment.name, attachment.content_type);
        match attachment.body {
            Body::Reference(url) => links.push(json!({ "displayName": name, "webUrl": url })),
            Body::File(bytes)
            | Body::Message(bytes)
            | Body::Event(bytes)
            | Body::Contact(bytes) => files.push(todo::File {
                name,
                content_type,
                bytes,
            }),
        }
    }
    (files, links)
}

impl Task {
    /// A VTODO, with a UID that its content determines.
    pub fn to_ics(&self) -> Vec<u8> {
        let mut json = self.json.clone();
        json["id"] = made_id(&self.json).into();
        todo::write(&json, &self.files)
    }
}

/// A sticky note: its text.
pub(super) fn sticky_note(object: &Object<'_>) -> (Value, Vec<u8>) {
    let p = &object.properties;
    let text = mail::plain_body(p);
    let record = json!({
        "subject": mail::subject(p),
        "categories": p.texts(prop::KEYWORDS),
    });
    (record, ended(text).into_bytes())
}

/// A journal entry: what, when, how long, with whom, and the text.
pub(super) fn journal(object: &Object<'_>) -> (Value, Vec<u8>) {
    let p = &object.properties;
    let subject = mail::subject(p);
    let kind = p.text(prop::LOG_TYPE).unwrap_or_default();
    let start = p.time(prop::LOG_START).and_then(graph_time);
    let end = p.time(prop::LOG_END).and_then(graph_time);
    let minutes = p.int(prop::LOG_DURATION);
    let companies = p.texts(prop::COMPANIES);
    let categories = p.texts(prop::KEYWORDS);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{name}: {}", value.replace(['\r', '\n'], " "));
        }
    };
    line("Subject", &subject);
    line("Type", &kind);
    line("Start", start.as_deref().unwrap_or_default());
    line("End", end.as_deref().unwrap_or_default());
    if let Some(minutes) = minutes {
        line("Duration", &format!("{minutes} minutes"));
    }
    line("Companies", &companies.join("; "));
    line("Categories", &categories.join("; "));
    text.push('\n');
    text.push_str(&mail::plain_body(p));
    let record = json!({
        "subject": subject, "logType": kind, "start": start, "end": end,
        "durationMinutes": minutes, "companies": companies, "categories": categories,
    });
    (record, ended(text).into_bytes())
}

/// With one line end at the end, and lines that end as Linux's do.
fn ended(text: String) -> String {
    let mut text = text.replace("\r\n", "\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
