//! Folders of a live archive by path, as the mount names them.

use serde_json::{Value, json};

use super::{Archive, folders, names};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::exchange::{Exchange, Place};
use crate::workload::mail::display_name;
use crate::workload::{Account, EntryKind, LiveEntry, PushError};

const TOP: &str = "/folders";
const CHILDREN: &str = "/folders/{folder}/childFolders";

/// Items that a listing of one folder brings at most: Exchange's own limit.
pub(super) const MAX_ITEMS: usize = 1_000_000;
/// Longest name of a folder (Exchange).
const MAX_NAME: usize = 255;

/// Container classes of folders by their names in an English mailbox.
const TYPES: [(&str, &str); 5] = [
    ("calendar", "IPF.Appointment"),
    ("contacts", "IPF.Contact"),
    ("tasks", "IPF.Task"),
    ("notes", "IPF.StickyNote"),
    ("journal", "IPF.Journal"),
];

/// A folder of an archive.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub id: String,
    pub place: Place,
    kind: Option<String>,
}

impl Archive {
    pub(super) fn live(&self, kind: EntryKind, record: Value) -> Option<LiveEntry> {
        let id = record["id"].as_str()?.to_owned();
        let named = names::describe(kind, &(self.keyer)(&id), &record);
        Some(LiveEntry {
            id,
            name: named.name,
            is_dir: kind == EntryKind::Folder,
            size: record["size"].as_u64().unwrap_or_default(),
            mtime: named.mtime,
            record,
        })
    }

    /// The folders below one, or at the top.
    async fn subfolders(
        &self,
        account: &Account,
        above: Option<&Folder>,
    ) -> Result<Vec<(Folder, LiveEntry)>, GraphError> {
        let (place, records) = match above {
            Some(folder) => {
                let children = self.children(account, &folder.place, &folder.id).await?;
                (folder.place.clone(), children)
            }
            None => {
                let place = self.place(account).await?;
                let top = self.top(account, &place).await?;
                (place, top)
            }
        };
        let folders = records.into_iter().filter(|f| !folders::is_search(f));
        Ok(folders
            .filter_map(|record| {
                let place = self.place_of(&record, &place);
                let kind = record["type"].as_str().map(str::to_owned);
                let entry = self.live(EntryKind::Folder, record)?;
                let folder = Folder {
                    id: entry.id.clone(),
                    place,
                    kind,
                };
                self.remember(account, &folder.id, &folder.place);
                Some((folder, entry))
            })
            .collect())
    }

    /// The folder at a path that is not empty.
    pub(super) async fn folder_at(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Option<(Folder, LiveEntry)>, GraphError> {
        let mut at: Option<(Folder, LiveEntry)> = None;
        for name in path {
            let above = at.as_ref().map(|(folder, _)| folder);
            let folders = self.subfolders(account, above).await?;
            let shown = |entry: &LiveEntry| {
                let display = entry.record["displayName"].as_str().unwrap_or_default();
                display.to_lowercase() == display_name(name).to_lowercase()
            };
            let found = folders
                .iter()
                .find(|(_, entry)| entry.name == *name)
                .or_else(|| folders.iter().find(|(_, entry)| shown(entry)))
                .cloned();
            match found {
                Some(found) => at = Some(found),
                None => return Ok(None),
            }
        }
        Ok(at)
    }

    pub(super) async fn list_live(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        let only_entries = |folders: Vec<(Folder, LiveEntry)>| {
            folders
                .into_iter()
                .map(|(_, entry)| entry)
                .collect::<Vec<_>>()
        };
        if path.is_empty() {
            return Ok(only_entries(self.subfolders(account, None).await?));
        }
        let Some((folder, _)) = self.folder_at(account, path).await? else {
            let what = format!("there is no folder {}", path.join("/"));
            return Err(GraphError::local(
                ErrorClass::NotFound,
                "archive folder",
                what,
            ));
        };
        let mut entries = only_entries(self.subfolders(account, Some(&folder)).await?);
        let items = self.items(account, &folder.place, &folder.id, None, MAX_ITEMS);
        let items = items.await?.into_iter();
        entries.extend(items.filter_map(|item| self.live(EntryKind::Item, item)));
        Ok(entries)
    }

    /// Makes a folder, or finds the one that is there. Its class is that of the folder above it; at
    /// the top, what its name says.
    pub(super) async fn make_archive_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        let Some((name, parents)) = path.split_last() else {
            return Err(PushError::Invalid(
                "the root of an archive is there already".into(),
            ));
        };
        let display = display_name(name);
        if display.trim().is_empty() || display.chars().count() > MAX_NAME {
            return Err(PushError::Invalid(format!(
                "a folder's name has 1 to {MAX_NAME} characters: {name:?} can't be made"
            )));
        }
        let no_parent = || PushError::NoFolder {
            path: parents.join("/"),
        };
        let above = match parents {
            [] => None,
            _ => Some(
                self.folder_at(account, parents)
                    .await?
                    .ok_or_else(no_parent)?
                    .0,
            ),
        };
        let mut last = None;
        for _ in 0..3 {
            if let Some((_, entry)) = self.folder_at(account, path).await? {
                return Ok(entry);
            }
            let call = match &above {
                Some(folder) => {
                    let kind = folder.kind.as_deref().unwrap_or("IPF.Note");
                    let body = json!({ "displayName": display, "type": kind });
                    folder.place.call(Call::post(CHILDREN, &[&folder.id], body))
                }
                None => {
                    let lower = display.to_lowercase();
                    let known = TYPES.iter().find(|(name, _)| *name == lower);
                    let kind = known.map_or("IPF.Note", |(_, kind)| kind);
                    let body = json!({ "displayName": display, "type": kind });
                    let place = self.place(account).await?;
                    match self.root(account, &place).await? {
                        Some(root) => place.call(Call::post(CHILDREN, &[&root], body)),
                        None => place.call(Call::post(TOP, &[], body)),
                    }
                }
            };
            match self.client.json(&Exchange::of(account, call)).await {
                Ok(folder) => {
                    return self.live(EntryKind::Folder, folder).ok_or_else(no_parent);
                }
                // Made by somebody else, or by the attempt whose answer was lost: look again.
                Err(e) if e.class == ErrorClass::Conflict || e.class.is_temporary() => {
                    last = Some(e);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(last.map_or_else(no_parent, PushError::Graph))
    }

    /// Where folders at the top hang, if that is not the root itself.
    async fn root(&self, account: &Account, place: &Place) -> Result<Option<String>, GraphError> {
        let top = self.top(account, place).await?;
        let parent = top.iter().find_map(|f| f["parentFolderId"].as_str());
        Ok(parent.map(str::to_owned))
    }
}
