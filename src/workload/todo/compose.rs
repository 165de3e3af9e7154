//! What is created in To Do for a VTODO: the record's properties where it came out of a snapshot, else
//! what the file says. Files always come from the file.

use serde_json::{Map, Value, json};

use super::task::FILES;
use crate::format::ics::todo::{self, File};
use crate::workload::Marker;
use crate::workload::mail::names::seconds;
use crate::workload::{Policy, Push, PushError, Source};

/// Bytes of the largest file that is read for a restore: all attachments in base64.
const MAX_FILE: u64 = 400 << 20;

/// What a creation may carry.
const WRITABLE: [&str; 11] = [
    "body",
    "categories",
    "completedDateTime",
    "dueDateTime",
    "importance",
    "isReminderOn",
    "recurrence",
    "reminderDateTime",
    "startDateTime",
    "status",
    "title",
];
const STEP: [&str; 4] = [
    "displayName",
    "isChecked",
    "checkedDateTime",
    "createdDateTime",
];
const LINK: [&str; 4] = ["applicationName", "displayName", "externalId", "webUrl"];

/// A task ready to be created.
pub(in crate::workload) struct Composed {
    /// The body of the creating request, with links.
    pub json: Value,
    pub steps: Vec<Value>,
    pub files: Vec<File>,
    pub marker: Marker,
    /// What can't be restored.
    pub notes: Vec<String>,
}

/// Reads the file of a push.
pub(super) async fn compose(push: &Push) -> Result<Composed, PushError> {
    if !push.name.to_ascii_lowercase().ends_with(".ics") && matches!(push.source, Source::File) {
        return Err(PushError::Invalid(format!(
            "{}: only tasks (files that end in .ics) can be put below Tasks",
            push.name
        )));
    }
    let size = tokio::fs::metadata(&push.file).await?.len();
    if size > MAX_FILE {
        return Err(PushError::Invalid(format!(
            "{}: {size} bytes are too many for a task",
            push.name
        )));
    }
    let ics = tokio::fs::read(&push.file).await?;
    let push = push.clone();
    let now = jiff::Timestamp::now().as_second();
    // Parsing megabytes is no work for a thread that serves connections.
    let composed = tokio::task::spawn_blocking(move || build(&push, &ics, now)).await;
    composed.map_err(|e| PushError::Invalid(format!("the task could not be read: {e}")))?
}

fn build(push: &Push, ics: &[u8], now: i64) -> Result<Composed, PushError> {
    let read = todo::read(ics);
    let mut marker = Marker {
        push: push.id,
        origin: None,
        created: None,
    };
    let (mut json, steps, links, files, mut notes);
    match &push.source {
        Source::Record { record, key } => {
            if push.policy != Policy::KeepBoth {
                marker.origin = Some(*key);
            }
            json = chosen(record, &WRITABLE);
            steps = parts(&record["checklistItems"], &STEP);
            links = parts(&record["linkedResources"], &LINK);
            files = read.map(|task| task.files).unwrap_or_default();
            notes = missing(record);
        }
        Source::File => {
            let read = read.map_err(|e| PushError::Invalid(format!("{}: {e}", push.name)))?;
            json = chosen(&read.json, &WRITABLE);
            (steps, links, files, notes) = (read.steps, read.links, read.files, read.notes);
        }
    }
    settle(&mut json, &mut notes, now);
    if !links.is_empty() {
        json.insert("linkedResources".into(), Value::Array(links));
    }
    json.insert("extensions".into(), json!([marker.extension()]));
    Ok(Composed {
        json: Value::Object(json),
        steps,
        files,
        marker,
        notes,
    })
}

/// Makes of what a task was what may be created now.
fn settle(json: &mut Map<String, Value>, notes: &mut Vec<String>, now: i64) {
    let title = json
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if title.trim().is_empty() {
        json.insert("title".into(), "(no title)".into());
        notes.push("To Do takes no task without a title: it is called (no title)".to_owned());
    }
    let completed = json.get("status") == Some(&json!("completed"));
    // To Do makes the next one of a series when one is completed; that one is a task of its own, and
    // is restored as such.
    if completed && json.remove("recurrence").is_some() {
        notes.push(
            "completed: restored without its recurrence, which goes on in the next one".into(),
        );
    }
    let reminds = json.get("isReminderOn") == Some(&json!(true));
    if !reminds {
        json.remove("reminderDateTime");
        json.insert("isReminderOn".into(), false.into());
    } else if json
        .get("reminderDateTime")
        .and_then(instant)
        .is_none_or(|at| at <= now)
    {
        json.remove("reminderDateTime");
        json.insert("isReminderOn".into(), false.into());
        notes.push("the reminder is in the past: it is left off".to_owned());
    }
}

/// Unix seconds of a `dateTimeTimeZone`; `None` if its zone is unknown.
fn instant(time: &Value) -> Option<i64> {
    let zone = crate::format::zones::Zone::find(time["timeZone"].as_str().unwrap_or("UTC"))?;
    let local: jiff::civil::DateTime = time["dateTime"].as_str()?.parse().ok()?;
    Some(zone.instant(local)?.as_second())
}

fn chosen(of: &Value, names: &[&str]) -> Map<String, Value> {
    let said = names.iter().map(|name| (*name, &of[*name]));
    said.filter(|(_, value)| !value.is_null() && **value != json!([]))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

fn parts(list: &Value, names: &[&str]) -> Vec<Value> {
    let list = list.as_array().into_iter().flatten();
    let mut list: Vec<&Value> = list.collect();
    // Steps are told in no order.
    list.sort_by_key(|part| seconds(&part["createdDateTime"]));
    list.into_iter()
        .map(|part| chosen(part, names).into())
        .collect()
}

fn missing(record: &Value) -> Vec<String> {
    let files = record[FILES].as_array().into_iter().flatten();
    let lost = files.filter_map(|file| {
        let why = file["missing"].as_str()?;
        Some(format!(
            "{}: never captured: {why}",
            file["name"].as_str().unwrap_or("a file")
        ))
    });
    lost.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::ItemKey;
    use uuid::Uuid;

    const NOW: i64 = 1_780_000_000; // May 2026

    fn push(source: Source, policy: Policy) -> Push {
        Push {
            id: Uuid::from_u128(9),
            folder: vec!["Tasks".into()],
            name: "x.ics".into(),
            policy,
            source,
            original: None,
            file: "unused".into(),
            mtime: 0,
        }
    }

    fn composed(record: Value) -> Composed {
        let source = Source::Record {
            record,
            key: ItemKey([1; 16]),
        };
        build(&push(source, Policy::Skip), b"", NOW).unwrap()
    }

    fn record() -> Value {
        json!({
            "id": "t", "title": "Pay", "status": "notStarted", "hasAttachments": false,
            "recurrence": { "pattern": {} }, "isReminderOn": true,
            "reminderDateTime": { "dateTime": "2036-01-01T09:00:00.0000000", "timeZone": "UTC" },
            "checklistItems": [{ "id": "2", "displayName": "b", "createdDateTime": "2026-01-02T00:00:00Z" },
                { "id": "1", "displayName": "a", "isChecked": true, "createdDateTime": "2026-01-01T00:00:00Z" }],
            "linkedResources": [{ "id": "3", "webUrl": "https://x.test", "displayName": null }],
            "categories": [], "createdDateTime": "2026-01-01T00:00:00Z",
        })
    }

    #[test]
    fn a_recognised_task_comes_from_its_record() {
        let composed = composed(record());
        let json = &composed.json;
        assert_eq!(json["title"], "Pay");
        assert!(json.get("id").is_none() && json.get("createdDateTime").is_none());
        assert_eq!(
            json["linkedResources"],
            json!([{ "webUrl": "https://x.test" }])
        );
        assert_eq!(composed.steps[0]["displayName"], "a");
        assert!(composed.steps[0].get("id").is_none());
        assert_eq!(json["isReminderOn"], true);
        assert_eq!(Marker::of(json).unwrap().origin, Some(ItemKey([1; 16])));
        assert_eq!(composed.notes, Vec::<String>::new());
    }

    #[test]
    fn a_completed_task_starts_no_next_one() {
        let mut done = record();
        done["status"] = json!("completed");
        let composed = composed(done);
        assert!(composed.json.get("recurrence").is_none());
        assert_eq!(composed.notes.len(), 1);
    }

    #[test]
    fn nobody_is_reminded_of_the_past() {
        let mut old = record();
        old["reminderDateTime"]["dateTime"] = json!("2026-01-01T09:00:00.0000000");
        let old = composed(old);
        assert_eq!(old.json["isReminderOn"], false);
        assert!(old.json.get("reminderDateTime").is_none());
        let mut off = record();
        off["isReminderOn"] = json!(false);
        assert_eq!(composed(off).notes, Vec::<String>::new());
    }

    #[test]
    fn a_task_without_a_title_gets_one() {
        let mut untitled = record();
        untitled["title"] = json!(" ");
        let composed = composed(untitled);
        assert_eq!(composed.json["title"], "(no title)");
        assert_eq!(composed.notes.len(), 1);
    }
}
