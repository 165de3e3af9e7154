//! Retention labels: no listing and no delta tells them, so each costs a request, and they are asked for only
//! where the configuration says so. An item is asked about when it is new or its `eTag` is another one,
//! which it is after its label was changed.
//!
//! What goes back to where it is from gets the label again that somebody gave it. One that a folder or a
//! policy gives comes by itself.

use reqwest::Method;
use serde_json::{Value, json};

use super::permissions::place;
use super::{Drive, MANY, ONE};
use crate::graph::{Call, GraphError, Part, Scope};
use crate::workload::{Detail, ItemError};

const LABEL: &str = "/drives/{drive}/items/{item}/retentionLabel";
/// The record's property: Graph's `itemRetentionLabel`, or `null`.
const PROPERTY: &str = "retentionLabel";

/// Whether the label is still to be asked for.
pub(super) fn needs_label(stored: Option<&Value>, record: &Value) -> bool {
    let other = |stored: &Value| stored["eTag"] != record["eTag"];
    can_have_one(record) && (record.get(PROPERTY).is_none() || stored.is_some_and(other))
}

/// Whether somebody gave it a label.
pub(super) fn is_labelled(record: &Value) -> bool {
    let label = &record[PROPERTY];
    label["name"].is_string() && label["isLabelAppliedExplicitly"] != false
}

/// A shortcut's belongs to what it leads to.
fn can_have_one(record: &Value) -> bool {
    (record["file"].is_object() || record["folder"].is_object())
        && !record["remoteItem"].is_object()
}

impl Drive {
    /// Puts `retentionLabel` into the records of files and folders. What fails is added to `answers`, which
    /// has what became of these items before.
    pub(super) async fn add_labels(
        &self,
        items: &mut [Detail],
        answers: &mut [Result<(), ItemError>],
    ) -> Result<(), GraphError> {
        let mut asked = Vec::new();
        let mut calls = Vec::new();
        for (item, answer) in items.iter_mut().zip(answers) {
            if can_have_one(&item.record)
                && let Some(at) = place(&item.record)
            {
                calls.push(Call::get(LABEL, &at).scope(Scope::Drives, ONE));
                asked.push((&mut item.record, answer));
            }
        }
        let labels = self.client.batch(Scope::Drives, &calls).await?;
        for ((record, answer), label) in asked.into_iter().zip(labels) {
            let taken = take(record, label);
            if answer.is_ok() {
                *answer = taken;
            }
        }
        Ok(())
    }

    /// Gives an item the label that somebody had given its original. Returns what keeps it from that.
    ///
    /// # Errors
    /// What passes.
    pub(super) async fn label_again(
        &self,
        drive: &str,
        item: &str,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let name = &record[PROPERTY]["name"];
        let call = Call::new(Method::PATCH, LABEL, &[drive, item])
            .json(json!({ "name": name }))
            .scope(Scope::Drives, MANY)
            .repeatable();
        match self.client.json(&call).await {
            Ok(_) => Ok(Vec::new()),
            Err(e) if e.class.is_temporary() => Err(e),
            Err(e) => Ok(vec![format!(
                "the retention label {name} is not given again: {e}"
            )]),
        }
    }
}

/// Completes a record. An item without a label is answered with 404 or with nothing.
fn take(record: &mut Value, answer: Result<Part, GraphError>) -> Result<(), ItemError> {
    let (label, outcome) = match answer {
        Ok(part) if part.body["name"].is_string() => (part.body, Ok(())),
        Ok(_) => (Value::Null, Ok(())),
        Err(e) if e.class.is_gone() => (Value::Null, Ok(())),
        Err(e) if e.class.is_temporary() => return Err(e.into()),
        Err(e) => {
            let reason = format!("retention label: {e}");
            (
                Value::Null,
                Err(ItemError {
                    class: e.class,
                    reason,
                }),
            )
        }
    };
    record[PROPERTY] = label;
    if let Some(label) = record[PROPERTY].as_object_mut() {
        label.retain(|name, _| !name.starts_with("@odata."));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ErrorClass;

    #[test]
    fn what_is_new_or_changed_is_asked_about() {
        let file = json!({ "file": {}, "eTag": "1" });
        assert!(needs_label(None, &file));
        let known = json!({ "file": {}, "eTag": "1", PROPERTY: null });
        assert!(!needs_label(Some(&known), &known));
        let changed = json!({ "file": {}, "eTag": "2", PROPERTY: null });
        assert!(needs_label(Some(&known), &changed));
        assert!(!needs_label(
            None,
            &json!({ "folder": {}, "remoteItem": {} })
        ));
        assert!(!needs_label(
            None,
            &json!({ "driveType": "documentLibrary" })
        ));
    }

    #[test]
    fn an_answer_completes_the_record_unless_it_may_come_later() {
        let part = |body: Value| {
            let headers = serde_json::Map::new();
            Ok(Part {
                status: 200,
                headers,
                body,
            })
        };
        let mut record = json!({});
        take(
            &mut record,
            part(json!({ "@odata.context": "x", "name": "Keep" })),
        )
        .unwrap();
        assert_eq!(record, json!({ PROPERTY: { "name": "Keep" } }));
        let failed = |class| Err(GraphError::local(class, LABEL, "no"));
        assert!(take(&mut record, failed(ErrorClass::Throttled)).is_err());
        assert_eq!(record[PROPERTY]["name"], "Keep");
        take(&mut record, failed(ErrorClass::NotFound)).unwrap();
        assert_eq!(record[PROPERTY], Value::Null);
        assert!(take(&mut record, failed(ErrorClass::Denied)).is_err());
    }
}
