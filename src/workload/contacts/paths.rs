//! Folders of a live address book by path, as the mount names them. Graph lists the first level of
//! folders without the default one, and does not tell whether they lie beside or in it: at the root,
//! both are found.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::folders::{CHILDREN, TOP, is_own};
use super::{Contacts, DEFAULT};
use crate::format::vcf;
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::expand_marker;
use crate::workload::mail::names::display_name;
use crate::workload::mail::paths::{Subfolders, pick};
use crate::workload::once::Once;
use crate::workload::{Account, EntryKind, LiveEntry, PushError, Workload};

const LIST: &str = "/users/{user}/contactFolders/{folder}/contacts";
const FOLDER: &str = "/users/{user}/contactFolders/{folder}";
/// What the collection's root is remembered by.
const ROOT: &str = "";
/// The default folder in English: in a mailbox in another language it has another name, and a second
/// "Contacts" is never what was meant.
const ENGLISH: &str = "contacts";
/// Contacts that a listing of one folder brings at most: Exchange's own limit.
const MAX_CONTACTS: usize = 1_000_000;
/// Longest name of a folder (Exchange).
const MAX_NAME: usize = 255;

impl Contacts {
    /// The id of the folder at a path. The root itself stands for the default folder.
    pub(super) async fn folder_at(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Option<String>, GraphError> {
        let top = self.subfolders(account, ROOT, false).await?;
        let Some(mut at) = top.first().map(|default| default.id.clone()) else {
            return Ok(None);
        };
        for (depth, name) in path.iter().enumerate() {
            let parent = if depth == 0 { ROOT } else { &at };
            let mut found = pick(&self.subfolders(account, parent, false).await?, name);
            if found.is_none() && depth == 0 && name.to_lowercase() == ENGLISH {
                found = Some(at.clone());
            }
            if found.is_none() {
                // Somebody may have made it a moment ago.
                found = pick(&self.subfolders(account, parent, true).await?, name);
            }
            match found {
                Some(id) => at = id,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The default folder is the first of those at the root.
    async fn subfolders(
        &self,
        account: &Account,
        parent: &str,
        anew: bool,
    ) -> Result<Subfolders, GraphError> {
        let key = (account.id.clone(), parent.to_owned());
        if !anew && let Some(folders) = self.paths.get(&key) {
            return Ok(folders);
        }
        let folders = match parent {
            ROOT => {
                let mut top = vec![self.default_folder(account).await?];
                top.extend(
                    self.children(account, Call::get(TOP, &[&account.id]))
                        .await?,
                );
                top
            }
            id => {
                let call = Call::get(CHILDREN, &[&account.id, id]);
                self.children(account, call).await?
            }
        };
        let shown = folders
            .into_iter()
            .filter(|f| self.options.hidden || !is_own(f));
        let folders: Subfolders = Arc::new(shown.filter_map(|f| self.live(f, true)).collect());
        self.paths.put(key, Arc::clone(&folders));
        Ok(folders)
    }

    /// A contact or folder as the mount would name it.
    pub(super) fn live(&self, record: Value, is_dir: bool) -> Option<LiveEntry> {
        let id = record["id"].as_str()?.to_owned();
        let kind = match is_dir {
            true => EntryKind::Folder,
            false => EntryKind::Item,
        };
        let named = self.describe(kind, &(self.keyer)(&id), &record);
        Some(LiveEntry {
            id,
            name: named.name,
            is_dir,
            size: match is_dir {
                true => 0,
                false => vcf::write(&record, None).len() as u64,
            },
            mtime: named.mtime,
            record,
        })
    }

    /// Folders and contacts at a path.
    pub(super) async fn list_live(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        if path.is_empty() {
            return Ok(self.subfolders(account, ROOT, true).await?.to_vec());
        }
        let Some(folder) = self.folder_at(account, path).await? else {
            let what = format!("there is no folder {}", path.join("/"));
            return Err(GraphError::local(
                ErrorClass::NotFound,
                "contact folder",
                what,
            ));
        };
        let mut entries = self.subfolders(account, &folder, true).await?.to_vec();
        let asked = Instant::now();
        let call = Call::get(LIST, &[&account.id, &folder])
            .query("$expand", &expand_marker())
            .query("$top", "1000");
        let contacts = self
            .client
            .pages(Self::of(account, call), MAX_CONTACTS)
            .await?;
        let facts = contacts.iter().flat_map(|c| self.facts(c));
        self.known.told(account, &folder, asked, facts);
        entries.extend(contacts.into_iter().filter_map(|c| self.live(c, false)));
        Ok(entries)
    }

    /// Makes a folder, or finds the one that is there.
    pub(super) async fn make_contact_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        let Some((name, parents)) = path.split_last() else {
            return Err(PushError::Invalid(
                "the root of an address book is there already".into(),
            ));
        };
        let display = display_name(name);
        if display.trim().is_empty() || display.chars().count() > MAX_NAME {
            return Err(PushError::Invalid(format!(
                "a contact folder's name has 1 to {MAX_NAME} characters: {name:?} can't be made"
            )));
        }
        let no_parent = || PushError::NoFolder {
            path: parents.join("/"),
        };
        let parent = self
            .folder_at(account, parents)
            .await?
            .ok_or_else(no_parent)?;
        let mut last = None;
        for _ in 0..3 {
            if let Some(id) = self.folder_at(account, path).await? {
                let call = match parents.is_empty() && name.to_lowercase() == ENGLISH {
                    true => Call::get(DEFAULT, &[&account.id]),
                    false => Call::get(FOLDER, &[&account.id, &id]),
                };
                let folder = self.client.json(&Self::of(account, call)).await?;
                return self.live(folder, true).ok_or_else(no_parent);
            }
            let body = json!({ "displayName": display });
            let call = match parents.is_empty() {
                true => Call::post(TOP, &[&account.id], body),
                false => Call::post(CHILDREN, &[&account.id, &parent], body),
            };
            let outcome = self.client.json(&Self::of(account, call)).await;
            self.paths.forget(&account.id);
            match outcome {
                Ok(folder) => return self.live(folder, true).ok_or_else(no_parent),
                // Made by somebody else, or by the attempt whose answer was lost: look again.
                Err(e) if e.class == ErrorClass::Conflict || e.class.is_temporary() => {
                    last = Some(e);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(last.map_or_else(no_parent, PushError::Graph))
    }
}
