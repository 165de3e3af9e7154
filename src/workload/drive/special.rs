//! Items that are not like others: malware, members of notebooks, what is neither file nor folder; and
//! files that nobody may replace.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;

use super::target::Root;
use super::{Drive, ONE};
use crate::graph::{Call, ErrorClass, GraphError, Scope};
use crate::workload::{Change, ItemError, PushError, id_in};

const ITEM: &str = "/drives/{drive}/items/{item}";

/// What the report says of items that are not like others, beside what is captured of them. `full`: all
/// items are told, not only those that changed.
pub(super) fn notes(changes: &[Change], full: bool) -> Vec<Change> {
    let note = |record: &Value| {
        if record["malware"].is_object() && !full {
            let what = malware(record);
            return Some(format!(
                "{what}: it is not downloaded; what was captured before stays"
            ));
        }
        let odd = ["file", "remoteItem"]
            .iter()
            .all(|facet| !record[*facet].is_object());
        odd.then(|| "it is neither file nor folder: only what Graph says of it is kept".to_owned())
    };
    let noted = changes.iter().filter_map(|change| match change {
        Change::Item { record, .. } => Some(Change::Noted {
            note: note(record)?,
            id: id_in(record).unwrap_or_default().to_owned(),
            name: record["name"].as_str().unwrap_or_default().to_owned(),
        }),
        _ => None,
    });
    noted.collect()
}

fn malware(record: &Value) -> String {
    let what = record["malware"]["description"].as_str();
    format!(
        "the service found malware in it ({})",
        what.unwrap_or("no description")
    )
}

/// Why an infected file has no content, with what is known of it: it is in no snapshot.
pub(super) fn infected(record: &Value) -> Option<ItemError> {
    if !record["malware"].is_object() {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let by = |who: &Value| text(&who["user"]["displayName"]);
    Some(ItemError {
        class: ErrorClass::Corrupt,
        reason: format!(
            "{}, and it is not downloaded; {} bytes, made by {}, changed by {} at {}",
            malware(record),
            record["size"],
            by(&record["createdBy"]),
            by(&record["lastModifiedBy"]),
            text(&record["lastModifiedDateTime"]),
        ),
    })
}

/// A section of a notebook, or its table of contents.
fn is_onenote(record: &Value) -> bool {
    let name = record["name"].as_str().unwrap_or_default().to_lowercase();
    name.ends_with(".one")
        || name.ends_with(".onetoc2")
        || record["file"]["mimeType"] == "application/msonenote"
}

/// Downloads of some members of notebooks fail for ever: that is their fault, and not the service's.
pub(super) fn only_this_item(
    record: &Value,
    content: BoxStream<'static, Result<Bytes, GraphError>>,
) -> BoxStream<'static, Result<Bytes, GraphError>> {
    if !is_onenote(record) {
        return content;
    }
    let blame = |e: GraphError| match e.class {
        ErrorClass::Transient if e.status.is_some() => e.with_class(ErrorClass::Corrupt),
        _ => e,
    };
    content.map(move |piece| piece.map_err(blame)).boxed()
}

impl Drive {
    /// Why a file was not replaced, as far as the service tells.
    pub(super) async fn explain(
        &self,
        root: &Root,
        path: &[String],
        refused: PushError,
    ) -> PushError {
        let PushError::Graph(e) = &refused else {
            return refused;
        };
        if !matches!(e.status, Some(403 | 423)) {
            return refused;
        }
        let Ok(Some(item)) = self.item_at(root, path).await else {
            return refused;
        };
        let id = item["id"].as_str().unwrap_or_default();
        let call = Call::get(ITEM, &[&root.drive, id])
            .query("$select", "id,name")
            .query("$expand", "retentionLabel")
            .scope(Scope::Drives, ONE);
        let labelled = self.client.json(&call).await.unwrap_or_default();
        let name = path.join("/");
        let why = match labelled["retentionLabel"]["name"].as_str() {
            Some(label) => format!(
                "{name}: its retention label {label:?} lets nobody replace it (@keep-both puts the file beside it)"
            ),
            None if e.status == Some(423) => format!(
                "{name}: somebody has checked it out or works on it (@keep-both puts the file beside it)"
            ),
            None => return refused,
        };
        GraphError::local(ErrorClass::Denied, e.route.clone(), why).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, stream};
    use serde_json::json;

    fn item(record: Value) -> Change {
        let id = "I".to_owned();
        Change::Item {
            id,
            parent: None,
            record,
        }
    }

    #[test]
    fn odd_items_are_named() {
        let plain = json!({ "id": "I", "file": {} });
        let shortcut = json!({ "id": "I", "remoteItem": {} });
        let infected = json!({ "id": "I", "file": {}, "malware": { "description": "EICAR" } });
        let bare = json!({ "id": "I", "name": "x" });
        let told = |record: &Value, full| notes(&[item(record.clone())], full).len();
        assert_eq!((told(&plain, false), told(&shortcut, true)), (0, 0));
        assert_eq!((told(&infected, false), told(&infected, true)), (1, 0));
        assert_eq!((told(&bare, false), told(&bare, true)), (1, 1));
        assert!(super::infected(&infected).unwrap().reason.contains("EICAR"));
        assert!(super::infected(&plain).is_none());
    }

    #[test]
    fn only_members_of_notebooks_are_blamed() {
        let class = |name: &str, status: u16| {
            let error = GraphError::from_answer(status, b"", "GET /x");
            let broken = stream::iter([Err(error)]).boxed();
            let mut read = only_this_item(&json!({ "name": name }), broken);
            let piece = read.next().now_or_never().flatten().unwrap();
            piece.unwrap_err().class
        };
        assert_eq!(class("Notes.ONE", 503), ErrorClass::Corrupt);
        assert_eq!(class("Open Notebook.onetoc2", 503), ErrorClass::Corrupt);
        assert_ne!(class("plan.docx", 503), ErrorClass::Corrupt);
        assert_ne!(class("Notes.one", 403), ErrorClass::Corrupt);
    }
}
