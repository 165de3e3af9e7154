//! The folder feed: the whole hierarchy of a mailbox in one flat delta stream.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cursor::{self, FolderCursor};
use super::{MESSAGES, Mail};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::{Account, Change, Cursor, FeedError, FeedId, Page};

/// Properties of a folder that stay the same while mail comes and goes. (Counts would make every
/// folder with new mail a changed folder.)
const SELECT: &str = "id,displayName,parentFolderId,isHidden";
const DELTA: &str = "/users/{user}/mailFolders/delta";

/// Names that work in place of an id in every language. `msgfolderroot` is asked for first.
const WELL_KNOWN: [&str; 17] = [
    "msgfolderroot",
    "inbox",
    "drafts",
    "sentitems",
    "deleteditems",
    "junkemail",
    "archive",
    "outbox",
    "conversationhistory",
    "clutter",
    "scheduled",
    "searchfolders",
    "syncissues",
    "conflicts",
    "localfailures",
    "serverfailures",
    "recoverableitemsroot",
];

/// How deep folders are walked without delta; Exchange allows 300.
const MAX_DEPTH: usize = 300;
/// Folders of one mailbox; more is not a mailbox.
const MAX_FOLDERS: usize = 100_000;

impl Mail {
    pub(super) async fn folders_page(
        &self,
        account: &Account,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let mut at: FolderCursor = match cursor {
            Some(cursor) => cursor::read(cursor)?,
            None => FolderCursor::default(),
        };
        if at.root.is_empty() {
            at.well_known = self.well_known(account).await?;
            at.root = at
                .well_known
                .iter()
                .find(|(_, name)| *name == "msgfolderroot")
                .map(|(id, _)| id.clone())
                .unwrap_or_default();
        }
        let call = match &at.link {
            Some(link) => Call::link(DELTA, link),
            None => {
                at.full = true;
                Call::get(DELTA, &[&account.id])
                    .query("includeHiddenFolders", "true")
                    .query("$select", SELECT)
            }
        };
        let page = match self.client.page(&Self::of(account, call)).await {
            Ok(page) => page,
            Err(e) => match e.class {
                ErrorClass::Reset => return Err(FeedError::Reset { start: None }),
                // Delta writes to the mailbox, and this one is full; or a cloud has no delta here.
                ErrorClass::Quota => return self.walk(account, at).await,
                _ if e.is_code("ErrorInvalidIdMalformed") => return self.walk(account, at).await,
                _ => return Err(e.into()),
            },
        };
        let mut changes: Vec<Change> = page
            .value
            .into_iter()
            .filter_map(|folder| self.folder_change(&at, folder))
            .collect();
        let full = at.full;
        let cursor = match (page.next, page.delta) {
            (Some(next), _) => {
                at.link = Some(next);
                Cursor::More(cursor::write(&at))
            }
            (None, delta) => {
                if self.options.recoverable_items {
                    changes.extend(self.recoverable(account, &at).await?);
                }
                at.link = delta;
                at.full = false;
                Cursor::Done(cursor::write(&at))
            }
        };
        Ok(Page {
            changes,
            cursor,
            full,
        })
    }

    /// One batch asks what all well-known folders are.
    async fn well_known(&self, account: &Account) -> Result<BTreeMap<String, String>, GraphError> {
        let calls: Vec<Call> = WELL_KNOWN
            .iter()
            .filter(|name| self.options.recoverable_items || **name != "recoverableitemsroot")
            .map(|name| {
                Call::get("/users/{user}/mailFolders/{name}", &[&account.id, name])
                    .query("$select", "id")
            })
            .collect();
        let mut names = BTreeMap::new();
        let answers = self.client.batch(Self::scope(account), &calls).await?;
        for (name, answer) in WELL_KNOWN.iter().zip(answers) {
            match answer {
                Ok(part) => {
                    if let Some(id) = part.body["id"].as_str() {
                        names.insert(id.to_owned(), (*name).to_owned());
                    }
                }
                // A mailbox lacks some of them.
                Err(e) if e.is_code("ErrorItemNotFound") && *name != "msgfolderroot" => {}
                Err(e) if *name == "msgfolderroot" => return Err(e),
                Err(e) => tracing::debug!(%e, name, "a well-known folder was not told"),
            }
        }
        Ok(names)
    }

    fn folder_change(&self, at: &FolderCursor, mut record: Value) -> Option<Change> {
        let id = record["id"].as_str()?.to_owned();
        if record.get("@removed").is_some() {
            return Some(Change::Removed {
                id,
                parent: None,
                verify: false,
            });
        }
        if id == at.root {
            return None;
        }
        let name = record["displayName"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let kind = record["@odata.type"].as_str().unwrap_or_default();
        if kind.eq_ignore_ascii_case("#microsoft.graph.mailSearchFolder") {
            let note = "a search folder: its messages are captured where they are".to_owned();
            return Some(Change::Noted { id, name, note });
        }
        if !self.options.hidden && record["isHidden"].as_bool() == Some(true) {
            return None;
        }
        if let Some(record) = record.as_object_mut() {
            // A walk tells more, and that changes with every mail.
            let asked = |name: &str| SELECT.split(',').any(|asked| asked == name);
            record.retain(|name, _| asked(name) || name == "@odata.type");
        }
        if let Some(name) = at.well_known.get(&id) {
            record["wellKnownName"] = json!(name);
        }
        let parent = record["parentFolderId"].as_str().filter(|p| *p != at.root);
        let parent = parent.map(str::to_owned);
        let feed = Some(FeedId(format!("{MESSAGES}{id}")));
        Some(Change::Folder {
            id,
            parent,
            record,
            feed,
        })
    }

    /// The Recoverable Items hang elsewhere and are in no delta: they are walked each time.
    async fn recoverable(
        &self,
        account: &Account,
        at: &FolderCursor,
    ) -> Result<Vec<Change>, GraphError> {
        let call = Call::get(
            "/users/{user}/mailFolders/recoverableitemsroot/childFolders",
            &[&account.id],
        );
        let folders = match self.children(account, call).await {
            Ok(folders) => folders,
            // Older mailboxes answer for the one documented name only.
            Err(e) if e.class == ErrorClass::NotFound => {
                let call = Call::get(
                    "/users/{user}/mailFolders/recoverableitemsdeletions",
                    &[&account.id],
                );
                match self.client.json(&Self::of(account, call)).await {
                    Ok(folder) => vec![folder],
                    Err(e) if e.class == ErrorClass::NotFound => return Ok(Vec::new()),
                    Err(e) => return Err(e),
                }
            }
            Err(e) => return Err(e),
        };
        let Some(root) = folders.iter().find_map(|f| f["parentFolderId"].as_str()) else {
            return Ok(Vec::new());
        };
        let root = root.to_owned();
        let mut changes = vec![Change::Folder {
            id: root.clone(),
            parent: None,
            record: json!({ "id": root, "displayName": "Recoverable Items",
                            "wellKnownName": "recoverableitemsroot", "isHidden": true }),
            feed: None,
        }];
        self.walk_below(account, at, folders, &mut changes).await?;
        Ok(changes)
    }

    /// All folders without delta. The next cycle tries delta again.
    async fn walk(&self, account: &Account, mut at: FolderCursor) -> Result<Page, FeedError> {
        let top = Call::get("/users/{user}/mailFolders", &[&account.id]);
        let folders = self.children(account, top).await?;
        let mut changes = Vec::new();
        self.walk_below(account, &at, folders, &mut changes).await?;
        if self.options.recoverable_items {
            changes.extend(self.recoverable(account, &at).await?);
        }
        at.link = None;
        at.full = false;
        Ok(Page {
            changes,
            cursor: Cursor::Done(cursor::write(&at)),
            full: true,
        })
    }

    async fn walk_below(
        &self,
        account: &Account,
        at: &FolderCursor,
        folders: Vec<Value>,
        changes: &mut Vec<Change>,
    ) -> Result<(), GraphError> {
        let mut level = folders;
        for _ in 0..MAX_DEPTH {
            let mut below = Vec::new();
            for folder in level {
                let has_children = folder["childFolderCount"].as_u64() != Some(0);
                if has_children && let Some(id) = folder["id"].as_str() {
                    let call = Call::get(
                        "/users/{user}/mailFolders/{folder}/childFolders",
                        &[&account.id, id],
                    );
                    match self.children(account, call).await {
                        Ok(children) => below.extend(children),
                        // Gone between the listings.
                        Err(e) if e.class == ErrorClass::NotFound => {}
                        Err(e) => return Err(e),
                    }
                }
                changes.extend(self.folder_change(at, folder));
            }
            if below.is_empty() {
                return Ok(());
            }
            level = below;
        }
        Ok(())
    }

    /// One level of folders, with hidden ones.
    pub(super) async fn children(
        &self,
        account: &Account,
        call: Call,
    ) -> Result<Vec<Value>, GraphError> {
        let call = call
            .query("includeHiddenFolders", "true")
            .query("$top", "250");
        self.client
            .pages(Self::of(account, call), MAX_FOLDERS)
            .await
    }
}
