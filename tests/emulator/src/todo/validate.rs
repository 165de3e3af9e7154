//! What may be written to a task.

use jiff::civil::DateTime;
use serde_json::{Value, json};

use super::json::TASK;
use super::{bad, recurrence};
use crate::api::ApiResponse;
use crate::clock::rfc3339;
use crate::mail::unknown_property;
use crate::odata::Object;

const STATUS: &[&str] = &[
    "notStarted",
    "inProgress",
    "completed",
    "waitingOnOthers",
    "deferred",
];
const IMPORTANCE: &[&str] = &["low", "normal", "high"];

fn bad_value(name: &str) -> ApiResponse {
    bad(&format!("The value of property '{name}' is not valid."))
}

/// Puts the properties of a body over those a task has. Null takes one away. What the service sets is
/// passed over, so that a task that was read can be sent back.
pub fn apply(body: &Object, props: &mut Object, now_ms: i64) -> Result<(), ApiResponse> {
    for (name, value) in body.iter().filter(|(name, _)| !name.contains('@')) {
        let bad = || bad_value(name);
        let value = match name.as_str() {
            "id"
            | "createdDateTime"
            | "lastModifiedDateTime"
            | "bodyLastModifiedDateTime"
            | "hasAttachments"
            | "checklistItems"
            | "linkedResources"
            | "extensions" => continue,
            _ if value.is_null() => None,
            "title" => Some(value.clone()).filter(|v| v.as_str().is_some_and(|t| !t.is_empty())),
            "body" => Some(read_body(value).ok_or_else(bad)?),
            "categories" => {
                let list = value.as_array().ok_or_else(bad)?;
                Some(value.clone()).filter(|_| list.iter().all(Value::is_string))
            }
            "isReminderOn" => Some(value.clone()).filter(Value::is_boolean),
            "status" => one_of(value, STATUS),
            "importance" => one_of(value, IMPORTANCE),
            "dueDateTime" | "startDateTime" | "reminderDateTime" | "completedDateTime" => {
                zoned(value)
            }
            "recurrence" => None,
            _ if TASK.contains(&name.as_str()) => {
                return Err(super::bad(&format!(
                    "'{name}' cannot be set with the task."
                )));
            }
            _ => return Err(unknown_property(name, "microsoft.graph.todoTask")),
        };
        match value {
            Some(value) => props.insert(name.clone(), value),
            None if body[name].is_null() => props.remove(name),
            None if name == "recurrence" => None,
            None => return Err(bad()),
        };
    }
    // A series begins with the day the task is due, which may be in the same body.
    if let Some(series) = body.get("recurrence").filter(|r| !r.is_null()) {
        let due = props.get("dueDateTime").map(|d| d["dateTime"].clone());
        let start = due.as_ref().and_then(recurrence::day);
        let whole = whole_recurrence(series, start).ok_or_else(|| bad_value("recurrence"))?;
        props.insert("recurrence".into(), whole);
    }
    if props.get("reminderDateTime").is_some() && body.get("isReminderOn").is_none() {
        props.insert("isReminderOn".into(), json!(true));
    }
    match props.get("status").is_some_and(|s| s == "completed") {
        true => {
            let now = rfc3339(now_ms.div_euclid(1000));
            let now = format!("{}.0000000", now.trim_end_matches('Z'));
            props
                .entry("completedDateTime")
                .or_insert_with(|| json!({"dateTime": now, "timeZone": "UTC"}));
        }
        false => drop(props.remove("completedDateTime")),
    }
    Ok(())
}

fn one_of(value: &Value, known: &[&str]) -> Option<Value> {
    let text = value.as_str()?;
    let found = known.iter().find(|k| k.eq_ignore_ascii_case(text))?;
    Some(json!(found))
}

fn read_body(value: &Value) -> Option<Value> {
    let content = value["content"].as_str()?;
    let kind = match value.get("contentType") {
        None => json!("text"),
        Some(kind) => one_of(kind, &["text", "html"])?,
    };
    Some(json!({"content": content, "contentType": kind}))
}

/// A `dateTimeTimeZone` with seven decimals; the zone stays as it was written.
fn zoned(value: &Value) -> Option<Value> {
    let text = value["dateTime"].as_str()?;
    let zone = value["timeZone"].as_str().unwrap_or("UTC");
    let time: DateTime = text.trim_end_matches('Z').parse().ok()?;
    let text = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    (!zone.is_empty()).then(|| json!({"dateTime": format!("{text}.0000000"), "timeZone": zone}))
}

/// A recurrence with everything that To Do adds to what was written. `None`: it is none.
pub fn whole_recurrence(value: &Value, start: Option<jiff::civil::Date>) -> Option<Value> {
    let (pattern, range) = (&value["pattern"], &value["range"]);
    let number = |of: &Value, name: &str| of[name].as_i64().unwrap_or(0);
    let kind = one_of(&pattern["type"], recurrence::PATTERNS)?;
    let interval = number(pattern, "interval").max(1);
    let days: Vec<Value> = pattern["daysOfWeek"]
        .as_array()
        .map(|days| days.iter().map(|d| one_of(d, recurrence::DAYS)).collect())
        .unwrap_or(Some(Vec::new()))?;
    let first = one_of(&pattern["firstDayOfWeek"], recurrence::DAYS);
    let index = one_of(&pattern["index"], recurrence::INDEXES);
    let start = recurrence::day(&range["startDate"]).or(start)?;
    let end = recurrence::day(&range["endDate"]);
    let range_kind = match range.get("type") {
        None | Some(Value::Null) => json!("noEnd"),
        Some(kind) => one_of(kind, &["endDate", "noEnd", "numbered"])?,
    };
    if (range_kind == "endDate" && end.is_none())
        || (range_kind == "numbered" && number(range, "numberOfOccurrences") < 1)
    {
        return None;
    }
    Some(json!({
        "pattern": {"type": kind, "interval": interval, "month": number(pattern, "month"), "dayOfMonth": number(pattern, "dayOfMonth"),
            "daysOfWeek": days, "firstDayOfWeek": first.unwrap_or(json!("sunday")), "index": index.unwrap_or(json!("first"))},
        "range": {"type": range_kind, "startDate": start.to_string(), "endDate": end.map_or("0001-01-01".into(), |e| e.to_string()),
            "recurrenceTimeZone": range["recurrenceTimeZone"].as_str().unwrap_or("UTC"), "numberOfOccurrences": number(range, "numberOfOccurrences")},
    }))
}
