//! A task's record: what a change of it means, and when two tasks are the same.

use serde_json::Value;

use crate::workload::Marker;
use crate::workload::known::Fact;

/// Id of the list that a task is in: no property of the task tells it.
pub(super) const LIST: &str = "tenantfsList";
/// What the record says of the files that are in the content.
pub(super) const FILES: &str = "tenantfsAttachments";

/// Properties that are no content of the task.
const NOISE: [&str; 3] = [LIST, FILES, "extensions"];

/// Whether the VTODO must be made again: anything changed but the list.
pub(super) fn needs_content(stored: &Value, told: &Value) -> bool {
    let (Some(old), Some(new)) = (stored.as_object(), told.as_object()) else {
        return true;
    };
    new.iter().any(|(name, value)| {
        !name.contains('@') && !NOISE.contains(&name.as_str()) && old.get(name) != Some(value)
    })
}

/// `$expand` that brings everything but the files.
pub(super) fn expand() -> String {
    format!(
        "checklistItems,linkedResources,extensions($filter=id eq '{}')",
        Marker::EXTENSION
    )
}

/// Same task by what people tell tasks apart by: title, and when it is due.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    identity(a) == identity(b)
}

/// What [`same`] compares.
pub(super) fn like(task: &Value) -> Fact {
    Fact::of(&identity(task))
}

fn identity(task: &Value) -> (String, Option<&str>) {
    let title = task["title"].as_str().unwrap_or_default();
    let due = task["dueDateTime"]["dateTime"].as_str();
    let day = due.map(|time| time.get(..10).unwrap_or(time));
    (title.trim().to_lowercase(), day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn milk() -> Value {
        json!({
            "id": "t", "@odata.etag": "W/\"1\"", "title": "Buy milk", "status": "notStarted",
            "dueDateTime": { "dateTime": "2026-03-01T00:00:00.0000000", "timeZone": "UTC" },
            "checklistItems": [{ "displayName": "a" }], LIST: "l",
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut other = milk();
        other[name] = value;
        other
    }

    #[test]
    fn only_content_needs_content() {
        assert!(!needs_content(&milk(), &milk()));
        assert!(!needs_content(&milk(), &with(LIST, json!("m"))));
        assert!(!needs_content(&milk(), &with("@odata.etag", json!("2"))));
        assert!(!needs_content(&milk(), &with("extensions", json!([]))));
        assert!(needs_content(&milk(), &with("status", json!("completed"))));
        assert!(needs_content(&milk(), &with("checklistItems", json!([]))));
    }

    #[test]
    fn the_same_task() {
        assert!(same(&milk(), &with("title", json!(" buy MILK "))));
        assert!(same(&milk(), &with("status", json!("completed"))));
        assert!(!same(&milk(), &with("title", json!("Buy bread"))));
        assert!(!same(&milk(), &with("dueDateTime", Value::Null)));
        assert!(same(&json!({}), &json!({ "title": "" })));
    }
}
