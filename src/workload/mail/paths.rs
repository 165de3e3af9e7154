//! Folders of a live mailbox by path, as the mount names them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::names::{describe, display_name};
use super::{Mail, message};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::once::Once;
use crate::workload::{Account, EntryKind, LiveEntry, PushError};

const TOP: &str = "/users/{user}/mailFolders";
const CHILDREN: &str = "/users/{user}/mailFolders/{folder}/childFolders";
const MESSAGES: &str = "/users/{user}/mailFolders/{folder}/messages";
/// Where the collection's root is.
const ROOT: &str = "msgfolderroot";

/// How long a listing of subfolders is believed.
const FRESH: Duration = Duration::from_secs(30);
/// Messages that a listing of one folder brings at most: Exchange's own limit.
const MAX_MESSAGES: usize = 1_000_000;
/// Longest name of a folder (Exchange).
const MAX_NAME: usize = 255;

/// What the default folders are called in English: in a mailbox in another language they have
/// other names, and a second "Inbox" is never what was meant.
const DEFAULTS: [(&str, &str); 8] = [
    ("inbox", "inbox"),
    ("drafts", "drafts"),
    ("sent items", "sentitems"),
    ("deleted items", "deleteditems"),
    ("junk email", "junkemail"),
    ("archive", "archive"),
    ("outbox", "outbox"),
    ("conversation history", "conversationhistory"),
];

pub(in crate::workload) type Subfolders = Arc<Vec<LiveEntry>>;

/// Listings of subfolders, by user and parent.
#[derive(Default)]
pub(in crate::workload) struct Paths {
    listed: Mutex<HashMap<(String, String), (Instant, Subfolders)>>,
}

impl Paths {
    pub(in crate::workload) fn get(&self, key: &(String, String)) -> Option<Subfolders> {
        let listed = self.listed.lock();
        let (at, folders) = listed.get(key)?;
        (at.elapsed() < FRESH).then(|| Arc::clone(folders))
    }

    pub(in crate::workload) fn put(&self, key: (String, String), folders: Subfolders) {
        let mut listed = self.listed.lock();
        if listed.len() >= 1_000 {
            listed.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        listed.insert(key, (Instant::now(), folders));
    }

    pub(in crate::workload) fn forget(&self, user: &str) {
        self.listed.lock().retain(|(u, _), _| u != user);
    }
}

impl Mail {
    /// The id of the folder at a path.
    pub(super) async fn folder_at(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Option<String>, GraphError> {
        let mut at = ROOT.to_owned();
        for (depth, name) in path.iter().enumerate() {
            let mut found = pick(&self.subfolders(account, &at, false).await?, name);
            if found.is_none() {
                // Somebody may have made it a moment ago.
                found = pick(&self.subfolders(account, &at, true).await?, name);
            }
            if found.is_none() && depth == 0 {
                found = self.default_folder(account, name).await?;
            }
            match found {
                Some(id) => at = id,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The id of the folder at a path of display names below another.
    pub(in crate::workload) async fn folder_below(
        &self,
        account: &Account,
        above: &str,
        path: &[String],
    ) -> Result<Option<String>, GraphError> {
        let mut at = above.to_owned();
        for name in path {
            let folders = self.subfolders(account, &at, true).await?;
            let wanted = name.to_lowercase();
            let shown = |f: &&LiveEntry| {
                let shown = f.record["displayName"].as_str().unwrap_or_default();
                shown.to_lowercase() == wanted
            };
            match folders.iter().find(shown) {
                Some(folder) => at = folder.id.clone(),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    async fn default_folder(
        &self,
        account: &Account,
        name: &str,
    ) -> Result<Option<String>, GraphError> {
        let lower = name.to_lowercase();
        let Some((_, known)) = DEFAULTS.iter().find(|(english, _)| *english == lower) else {
            return Ok(None);
        };
        let call = Call::get("/users/{user}/mailFolders/{folder}", &[&account.id, known])
            .query("$select", "id");
        match self.client.json(&Self::of(account, call)).await {
            Ok(folder) => Ok(folder["id"].as_str().map(str::to_owned)),
            Err(e) if e.class == ErrorClass::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

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
        let call = match parent {
            ROOT => Call::get(TOP, &[&account.id]),
            id => Call::get(CHILDREN, &[&account.id, id]),
        };
        let folders = self.children(account, call).await?;
        let folders = Arc::new(
            folders
                .into_iter()
                .filter_map(|f| self.live_folder(f))
                .collect(),
        );
        self.paths.put(key, Arc::clone(&folders));
        Ok(folders)
    }

    pub(super) fn live_folder(&self, record: Value) -> Option<LiveEntry> {
        let kind = record["@odata.type"].as_str().unwrap_or_default();
        if kind.eq_ignore_ascii_case("#microsoft.graph.mailSearchFolder") {
            return None;
        }
        let id = record["id"].as_str()?.to_owned();
        let named = describe(EntryKind::Folder, &(self.keyer)(&id), &record);
        Some(LiveEntry {
            id,
            name: named.name,
            is_dir: true,
            size: 0,
            mtime: named.mtime,
            record,
        })
    }

    pub(super) fn live_message(&self, record: Value) -> Option<LiveEntry> {
        let id = record["id"].as_str()?.to_owned();
        let named = describe(EntryKind::Item, &(self.keyer)(&id), &record);
        let size = message::size(&record).unwrap_or_default();
        Some(LiveEntry {
            id,
            name: named.name,
            is_dir: false,
            size,
            mtime: named.mtime,
            record,
        })
    }

    /// Folders and messages at a path.
    pub(super) async fn list_live(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        let Some(folder) = self.folder_at(account, path).await? else {
            let what = format!("there is no folder {}", path.join("/"));
            return Err(GraphError::local(ErrorClass::NotFound, "mail folder", what));
        };
        let mut entries = self.subfolders(account, &folder, true).await?.to_vec();
        if folder == ROOT {
            return Ok(entries);
        }
        let asked = Instant::now();
        let call = Call::get(MESSAGES, &[&account.id, &folder])
            .query("$select", message::LIVE_SELECT)
            .query("$expand", &message::expand_live())
            .query("$top", "1000");
        let messages = self
            .client
            .pages(Self::of(account, call), MAX_MESSAGES)
            .await?;
        let facts = messages.iter().flat_map(|m| self.facts(m));
        self.known.told(account, &folder, asked, facts);
        entries.extend(messages.into_iter().filter_map(|m| self.live_message(m)));
        Ok(entries)
    }

    /// Makes a folder, or finds the one that is there.
    pub(super) async fn make_mail_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        let Some((name, parents)) = path.split_last() else {
            return Err(PushError::Invalid(
                "the root of a mailbox is there already".into(),
            ));
        };
        let display = display_name(name);
        if display.trim().is_empty() || display.chars().count() > MAX_NAME {
            return Err(PushError::Invalid(format!(
                "a mail folder's name has 1 to {MAX_NAME} characters: {name:?} can't be made"
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
                let call = Call::get("/users/{user}/mailFolders/{folder}", &[&account.id, &id]);
                let folder = self.client.json(&Self::of(account, call)).await?;
                let gone = || no_parent();
                return self.live_folder(folder).ok_or_else(gone);
            }
            let body = json!({ "displayName": display });
            let call = match parent.as_str() {
                ROOT => Call::post(TOP, &[&account.id], body),
                id => Call::post(CHILDREN, &[&account.id, id], body),
            };
            let outcome = self.client.json(&Self::of(account, call)).await;
            self.paths.forget(&account.id);
            match outcome {
                Ok(folder) => return self.live_folder(folder).ok_or_else(no_parent),
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

/// By the mount's name, else by the name that people see (Exchange compares without case).
pub(in crate::workload) fn pick(folders: &[LiveEntry], name: &str) -> Option<String> {
    let shown = |f: &&LiveEntry| {
        let display = f.record["displayName"].as_str().unwrap_or_default();
        display.to_lowercase() == display_name(name).to_lowercase()
    };
    let found = folders
        .iter()
        .find(|f| f.name == name)
        .or_else(|| folders.iter().find(shown));
    found.map(|f| f.id.clone())
}
