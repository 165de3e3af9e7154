//! Tasks as Graph's `todoTask`; sticky notes and journal entries as text.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::event::made_id;
use super::mail;
use super::message::Object;
use super::properties::{self as prop, Prop, graph_local, graph_time};
use super::recurrence::Recurrence;
use crate::format::lines::Lines;

/// A task.
pub(super) struct Task {
    /// Graph's `todoTask`.
    pub json: Value,
    /// What of it can't be shown.
    pub notes: Vec<String>,
}

pub(super) fn task(object: &Object<'_>) -> Task {
    let p = &object.properties;
    let mut notes = Vec::new();
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
            Ok(recurrence) => {
                say("recurrence", recurrence.to_graph(None));
                notes.push("how the task recurs is in its record only".to_owned());
            }
            Err(e) => notes.push(format!("the recurrence can't be read: {e}")),
        }
    }
    Task {
        json: Value::Object(json),
        notes,
    }
}

impl Task {
    /// A VTODO (RFC 5545 section 3.6.2).
    pub fn to_ics(&self) -> Vec<u8> {
        let json = &self.json;
        let text = |name: &str| json[name].as_str().unwrap_or_default();
        let mut out = Lines::default();
        out.begin("VCALENDAR");
        out.put("VERSION", &[], "2.0");
        out.text("PRODID", &[], "-//tenantfs//Task//EN");
        out.begin("VTODO");
        out.text("UID", &[], &made_id(json));
        for (name, from) in [
            ("DTSTAMP", "lastModifiedDateTime"),
            ("CREATED", "createdDateTime"),
            ("LAST-MODIFIED", "lastModifiedDateTime"),
        ] {
            // A VTODO must have a stamp.
            let fallback = if name == "DTSTAMP" {
                "19700101T000000Z"
            } else {
                ""
            };
            let time = compact(text(from)).unwrap_or_else(|| fallback.to_owned());
            if !time.is_empty() {
                out.put(name, &[], &time);
            }
        }
        out.text("SUMMARY", &[], text("title"));
        let body = json["body"]["content"].as_str().unwrap_or_default();
        let plain = match json["body"]["contentType"] == "html" {
            true => mail_parser::decoders::html::html_to_text(body),
            false => body.to_owned(),
        };
        if !plain.trim().is_empty() {
            out.text("DESCRIPTION", &[], &plain);
        }
        let status = match text("status") {
            "completed" => "COMPLETED",
            "inProgress" => "IN-PROCESS",
            _ => "NEEDS-ACTION",
        };
        out.put("STATUS", &[], status);
        match text("importance") {
            "high" => out.put("PRIORITY", &[], "1"),
            "low" => out.put("PRIORITY", &[], "9"),
            _ => {}
        }
        // Outlook's days are at midnight, in no zone.
        for (name, from) in [("DTSTART", "startDateTime"), ("DUE", "dueDateTime")] {
            let time = json[from]["dateTime"].as_str().unwrap_or_default();
            if let Some(day) = compact(time) {
                out.put(name, &[("VALUE", "DATE")], &day[..8]);
            }
        }
        let done = json["completedDateTime"]["dateTime"].as_str();
        if let Some(done) = done.and_then(compact) {
            out.put("COMPLETED", &[], &done);
        }
        let categories = json["categories"].as_array().into_iter().flatten();
        out.texts("CATEGORIES", categories.filter_map(Value::as_str));
        if let Some(at) = json["reminderDateTime"]["dateTime"]
            .as_str()
            .and_then(compact)
        {
            out.begin("VALARM");
            out.put("ACTION", &[], "DISPLAY");
            out.text("DESCRIPTION", &[], text("title"));
            out.put("TRIGGER", &[("VALUE", "DATE-TIME")], &at);
            out.end();
        }
        out.finish()
    }
}

/// `20260301T090000Z` of a time as Graph writes them.
fn compact(time: &str) -> Option<String> {
    let time = time.get(..19)?;
    let digits: String = time.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    (digits.len() == 15).then(|| format!("{digits}Z"))
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
