//! Tasks (MS-OXOTASK), from the form of a `todoTask` and back.

use serde_json::{Value as Json, json};

use super::event::{index_of, text};
use super::message::{body, subject};
use super::names::{self, *};
use super::recurrence::Recurrence;
use super::recurrence_blob::{read_task, write_task};
use super::{Builder, restored, seconds, zone, zoned};
use crate::fasttransfer::{MessageContent, Value, kind};
use crate::odata::{Object, field};

pub const CLASS: &str = "IPM.Task";
const STATUS: [&str; 5] = [
    "notStarted",
    "inProgress",
    "completed",
    "waitingOnOthers",
    "deferred",
];
const IMPORTANCES: [&str; 3] = ["low", "normal", "high"];

/// Seconds since 1970 of a `dateTimeTimeZone`.
fn instant(value: &Json) -> Option<i64> {
    let local: jiff::civil::DateTime = value["dateTime"].as_str()?.parse().ok()?;
    let zone = zone::zone(value["timeZone"].as_str().unwrap_or("UTC"));
    let at = zone.to_ambiguous_timestamp(local).compatible().ok()?;
    Some(at.as_second())
}

/// A task as MAPI has it.
pub fn write(task: &Object) -> MessageContent {
    let mut b = Builder::new();
    b.text(MESSAGE_CLASS, CLASS);
    subject(&mut b, field(task, "title").as_str().unwrap_or_default());
    let status = index_of(&STATUS, field(task, "status")).unwrap_or(0);
    let done = status == 2;
    b.int(MESSAGE_FLAGS, 1)
        .int(
            IMPORTANCE,
            index_of(&IMPORTANCES, field(task, "importance")).unwrap_or(1),
        )
        .int(names::task(0x8101), status)
        .add(names::task(0x8102), Value::F64(f64::from(u8::from(done))))
        .bool(names::task(0x811C), done)
        .some_time(names::task(0x8104), instant(field(task, "startDateTime")))
        .some_time(names::task(0x8105), instant(field(task, "dueDateTime")))
        .some_time(
            names::task(0x810F),
            instant(field(task, "completedDateTime")),
        )
        .bool(
            names::common(0x8503),
            field(task, "isReminderOn").as_bool().unwrap_or(false),
        )
        .some_time(
            names::common(0x8502),
            instant(field(task, "reminderDateTime")),
        );
    let recurrence = Recurrence::from_graph(field(task, "recurrence"));
    b.bool(names::task(0x8126), recurrence.is_some());
    if let Some(recurrence) = recurrence {
        b.binary(names::task(0x8116), write_task(&recurrence));
    }
    for (name, tag) in [
        ("createdDateTime", CREATION_TIME),
        ("lastModifiedDateTime", LAST_MODIFICATION_TIME),
    ] {
        if let Some(time) = field(task, name).as_str().and_then(super::filetime_of) {
            b.add(tag, Value::Time(time));
        }
    }
    let categories: Vec<Value> = field(task, "categories")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| Some(Value::Text(c.as_str()?.to_owned())))
        .collect();
    if !categories.is_empty() {
        b.add(names::keywords(), Value::Many(kind::UNICODE, categories));
    }
    body(&mut b, &text(task));
    MessageContent {
        props: b.0,
        ..MessageContent::default()
    }
}

/// A `todoTask` out of a task's properties.
// For imports into a primary mailbox that has tasks of its own.
#[cfg_attr(not(test), allow(dead_code))]
pub fn read(content: &MessageContent, now: i64) -> Object {
    let all = &content.props;
    let parts = restored::parts(content, now);
    let int = |lid: u32| all.get(&names::task(lid)).and_then(Value::as_int);
    let time = |name| {
        let at = all.get(&name).and_then(Value::as_time);
        at.map(|t| zoned(seconds(t)))
    };
    let status = int(0x8101)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(0);
    let recurrence = all
        .get(&names::task(0x8116))
        .and_then(Value::as_binary)
        .and_then(read_task)
        .map(|r| r.to_graph("UTC"));
    let reminder = all.get(&names::common(0x8503)).and_then(Value::as_bool);
    let html = if parts.text.html { "html" } else { "text" };
    let mut out = Object::new();
    for (name, value) in [
        ("title", field(&parts.props, "subject").clone()),
        ("importance", field(&parts.props, "importance").clone()),
        ("categories", field(&parts.props, "categories").clone()),
        ("status", json!(STATUS.get(status).unwrap_or(&STATUS[0]))),
        ("isReminderOn", json!(reminder.unwrap_or(false))),
        (
            "createdDateTime",
            field(&parts.props, "createdDateTime").clone(),
        ),
        (
            "lastModifiedDateTime",
            field(&parts.props, "lastModifiedDateTime").clone(),
        ),
        (
            "body",
            json!({"contentType": html, "content": parts.text.content}),
        ),
    ] {
        out.insert(name.into(), value);
    }
    for (name, value) in [
        ("startDateTime", time(names::task(0x8104))),
        ("dueDateTime", time(names::task(0x8105))),
        ("completedDateTime", time(names::task(0x810F))),
        ("reminderDateTime", time(names::common(0x8502))),
        ("recurrence", recurrence),
    ] {
        if let Some(value) = value {
            out.insert(name.into(), value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_comes_back() {
        let given = json!({"title": "Call", "importance": "high", "status": "waitingOnOthers", "categories": ["Red"], "isReminderOn": true,
            "startDateTime": zoned(1_772_355_600), "dueDateTime": zoned(1_772_442_000), "reminderDateTime": zoned(1_772_438_400),
            "createdDateTime": "2026-01-05T10:00:00Z", "lastModifiedDateTime": "2026-01-05T10:00:00Z",
            "body": {"contentType": "text", "content": "x"},
            "recurrence": {"pattern": {"type": "daily", "interval": 2, "month": 0, "dayOfMonth": 0, "daysOfWeek": [], "firstDayOfWeek": "sunday", "index": "first"},
                "range": {"type": "noEnd", "startDate": "2026-03-01", "endDate": "0001-01-01", "recurrenceTimeZone": "UTC", "numberOfOccurrences": 0}}});
        let given = given.as_object().unwrap();
        assert_eq!(&read(&write(given), 0), given);
    }
}
