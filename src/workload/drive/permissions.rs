//! Who may do what with a shared item: asked in batches, of items that delta shows as shared.

use serde_json::{Value, json};

use super::{Drive, PERMISSIONS};
use crate::graph::{Call, ErrorClass, GraphError, Part, Scope};
use crate::workload::{Change, id_in};

const ROUTE: &str = "/drives/{drive}/items/{item}/permissions";
/// Permissions of one item; SharePoint allows 5,000 unique ones in a list to be sane.
const MAX: usize = 50_000;

impl Drive {
    /// Puts `permissions` into the records of shared items. One that can't be read is noted; the
    /// item is captured without.
    pub(super) async fn add_permissions(
        &self,
        drive: &str,
        changes: &mut Vec<Change>,
    ) -> Result<(), GraphError> {
        let shared: Vec<(usize, String)> = changes
            .iter()
            .enumerate()
            .filter_map(|(at, change)| match change {
                Change::Item { record, .. } | Change::Folder { record, .. }
                    if record["shared"].is_object() =>
                {
                    Some((at, record["id"].as_str()?.to_owned()))
                }
                _ => None,
            })
            .collect();
        if shared.is_empty() {
            return Ok(());
        }
        let calls: Vec<Call> = shared
            .iter()
            .map(|(_, id)| Call::get(ROUTE, &[drive, id]).scope(Scope::Drives, PERMISSIONS))
            .collect();
        let answers = self.client.batch(Scope::Drives, &calls).await?;
        let mut notes = Vec::new();
        for ((at, id), answer) in shared.into_iter().zip(answers) {
            let outcome = match answer {
                Ok(part) => self.all(drive, &id, part).await,
                Err(e) => Err(e),
            };
            let (Change::Item { record, .. } | Change::Folder { record, .. }) = &mut changes[at]
            else {
                continue;
            };
            match outcome {
                Ok(permissions) => record["permissions"] = Value::Array(permissions),
                // Deleted meanwhile.
                Err(e) if e.class == ErrorClass::NotFound => {}
                // Worth another try with the same cursor.
                Err(e) if e.class.is_temporary() => return Err(e),
                Err(e) => {
                    record["permissions"] = json!(null);
                    let name = record["name"].as_str().unwrap_or_default().to_owned();
                    notes.push(Change::Noted {
                        id: id_in(record).unwrap_or_default().to_owned(),
                        name,
                        note: format!("permissions: {e}"),
                    });
                }
            }
        }
        changes.extend(notes);
        Ok(())
    }

    async fn all(&self, drive: &str, id: &str, mut part: Part) -> Result<Vec<Value>, GraphError> {
        if part.body["@odata.nextLink"].is_string() {
            let call = Call::get(ROUTE, &[drive, id]).scope(Scope::Drives, PERMISSIONS);
            return self.client.pages(call, MAX).await;
        }
        match part.body["value"].take() {
            Value::Array(permissions) => Ok(permissions),
            _ => Err(GraphError::local(
                ErrorClass::Ours,
                ROUTE,
                "the answer is no collection",
            )),
        }
    }
}
