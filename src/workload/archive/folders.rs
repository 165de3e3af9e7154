//! The folders of an archive. They are few and change rarely, and their delta is per level: they are
//! walked each time. An auto-expanding archive spreads them over several mailboxes; each folder says in
//! which it is.

use serde_json::{Value, json};

use super::{Archive, ITEMS};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::exchange::{Exchange, Place};
use crate::workload::{Account, Change, Cursor, FeedError, FeedId, Page};

const TOP: &str = "/folders";
const CHILDREN: &str = "/folders/{folder}/childFolders";

/// Exchange allows 300.
const MAX_DEPTH: usize = 300;
/// Folders of one archive; more is not an archive.
const MAX_FOLDERS: usize = 100_000;

/// Counts change with every item, and are no fact of the folder.
const COUNTS: [&str; 4] = [
    "childFolderCount",
    "totalItemCount",
    "parentMailboxUrl",
    "@odata.etag",
];

impl Archive {
    pub(super) async fn folders_page(&self, account: &Account) -> Result<Page, FeedError> {
        let place = self.place(account).await?;
        let mut changes = Vec::new();
        let top = self.top(account, &place).await?;
        let mut level: Vec<(Value, Option<String>, Place)> =
            top.into_iter().map(|f| (f, None, place.clone())).collect();
        let mut count = 0;
        for _ in 0..MAX_DEPTH {
            let mut below = Vec::new();
            for (folder, parent, above) in level {
                let Some(id) = folder["id"].as_str().map(str::to_owned) else {
                    continue;
                };
                if is_search(&folder) {
                    let name = folder["displayName"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned();
                    let note = "a search folder: its items are captured where they are".to_owned();
                    changes.push(Change::Noted { id, name, note });
                    continue;
                }
                count += 1;
                if count > MAX_FOLDERS {
                    return Err(too_many().into());
                }
                let place = self.place_of(&folder, &above);
                self.remember(account, &id, &place);
                if folder["childFolderCount"].as_u64() != Some(0) {
                    let children = self.children(account, &place, &id).await?;
                    below.extend(
                        children
                            .into_iter()
                            .map(|f| (f, Some(id.clone()), place.clone())),
                    );
                }
                changes.push(change(id, parent, folder));
            }
            if below.is_empty() {
                break;
            }
            level = below;
        }
        Ok(Page {
            changes,
            cursor: Cursor::Done("walked".into()),
            full: true,
        })
    }

    /// The folders that people see at the top. Some answers begin one level above.
    pub(super) async fn top(
        &self,
        account: &Account,
        place: &Place,
    ) -> Result<Vec<Value>, GraphError> {
        let call = place.call(Call::get(TOP, &[]).query("$top", "250"));
        let folders = self.all(account, call).await?;
        let root = folders.iter().find(|f| {
            let known = f["wellKnownName"].as_str().unwrap_or_default();
            known.eq_ignore_ascii_case("msgfolderroot")
        });
        match root.and_then(|root| root["id"].as_str()) {
            Some(root) => self.children(account, place, root).await,
            None => Ok(folders),
        }
    }

    /// One level of folders. One that is gone has none.
    pub(super) async fn children(
        &self,
        account: &Account,
        place: &Place,
        folder: &str,
    ) -> Result<Vec<Value>, GraphError> {
        let call = Call::get(CHILDREN, &[folder]).query("$top", "250");
        match self.all(account, place.call(call)).await {
            Err(e) if e.class == ErrorClass::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    async fn all(&self, account: &Account, call: Call) -> Result<Vec<Value>, GraphError> {
        let call = Exchange::of(account, call);
        self.client.pages(call, MAX_FOLDERS).await
    }

    /// The mailbox that a folder is in: its own word, else that of the folder above it.
    pub(super) fn place_of(&self, folder: &Value, above: &Place) -> Place {
        match folder["parentMailboxUrl"].as_str() {
            // A URL that leads away from Graph would get our token.
            Some(url) if self.client.is_own_link(url) => Place::Part(url.to_owned()),
            _ => above.clone(),
        }
    }
}

pub(super) fn is_search(folder: &Value) -> bool {
    let kind = folder["@odata.type"].as_str().unwrap_or_default();
    kind.to_ascii_lowercase().ends_with("searchfolder")
}

fn change(id: String, parent: Option<String>, mut record: Value) -> Change {
    if let Some(record) = record.as_object_mut() {
        record.retain(|name, _| !COUNTS.contains(&name.as_str()));
        record.insert("id".into(), json!(id));
    }
    let feed = Some(FeedId(format!("{ITEMS}{id}")));
    Change::Folder {
        id,
        parent,
        record,
        feed,
    }
}

fn too_many() -> GraphError {
    let what = format!("more than {MAX_FOLDERS} folders");
    GraphError::local(ErrorClass::Corrupt, "archive folders", what)
}
