//! Which item of a snapshot some bytes are.
//!
//! The bytes are split and hashed as a capture would, without storing anything; if the repository has
//! that content, an item that consists of it is looked for: by the suffix of the file's name (part of
//! the item's key, so one look into each collection that changed), else in the [`Catalogue`]. What is
//! found is checked: the item's content is exactly that of the file.
//!
//! Nothing found is no error: the file is restored from its own bytes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use super::catalogue::{Catalogue, CatalogueError, Hit};
use super::contents::contents;
use super::errno::{Code, RestoreError};
use super::spool::Origin;
use super::target::TargetPath;
use crate::repo::content::{self, ContentId};
use crate::repo::{Kind, ObjectId, Repository, Snapshot};
use crate::tree::key::{Tag, first_with};
use crate::tree::map::{Map, Shape};
use crate::tree::state::{AccountState, Accounts, WorkloadState};
use crate::tree::view::resolve;
use crate::tree::{Editor, Entry, ItemKey, Nodes, TreeError, names, versions};
use crate::workload::{Marker, id_in};

/// Larger streams are never exported.
const MAX_ORIGINAL: u64 = 256 << 20;
/// Cache of directory nodes, bytes.
const NODES: u64 = 16 << 20;
/// Accounts that are remembered.
const MAX_ACCOUNTS: usize = 64;
/// Keys that may share a tag: 50 bits, so more than one is rare.
const MAX_TWINS: usize = 8;

/// What some bytes are.
struct Item {
    /// In its collection.
    path: String,
    entry: Entry,
    /// Which older version of it, if it isn't what the file is in that snapshot: its name and entry.
    version: Option<(Box<str>, Entry)>,
}

/// Knows what the snapshots know about bytes. Blocking.
pub trait Recognise: Send + Sync {
    /// The item whose content is exactly that of the file, if any snapshot has one. `name` is what the
    /// file is called, with the folder that it is in (`folder/file`) where that is known: a hint.
    ///
    /// # Errors
    /// When it can't be known now.
    fn recognise(&self, file: &Path, name: &str) -> Result<Option<Origin>, RestoreError>;

    /// What restores the item exactly, if there is anything.
    ///
    /// # Errors
    /// When it can't be read.
    fn original(&self, _origin: &Origin) -> Result<Option<Bytes>, RestoreError> {
        Ok(None)
    }

    /// The full Graph record of an item.
    ///
    /// # Errors
    /// When it can't be read.
    fn record(&self, origin: &Origin) -> Result<Value, RestoreError>;

    /// The full Graph record of a folder, by its path with the snapshot before it; `None`: it has none, or
    /// is not there.
    ///
    /// # Errors
    /// When it can't be read.
    fn folder(&self, _path: &str) -> Result<Option<Value>, RestoreError> {
        Ok(None)
    }
}

/// Recognises what is in a repository.
pub struct SnapshotRecogniser {
    repo: Repository,
    nodes: Nodes,
    dir: PathBuf,
    catalogue: Mutex<Option<Catalogue>>,
    /// Where the last item was found: people restore many of one account at a time.
    last: Mutex<Option<(Snapshot, AccountState)>>,
    /// Accounts by the state they are in and their folder.
    accounts: Mutex<HashMap<(Option<ObjectId>, String), Option<AccountState>>>,
}

impl SnapshotRecogniser {
    /// For the items of `repo`; `local` is a folder for the table of contents, made when needed.
    pub fn new(repo: Repository, local: PathBuf) -> SnapshotRecogniser {
        SnapshotRecogniser {
            nodes: Nodes::with_cache(&repo, NODES),
            dir: local.join(repo.id()),
            repo,
            catalogue: Mutex::new(None),
            last: Mutex::new(None),
            accounts: Mutex::default(),
        }
    }

    /// The account whose folder in the snapshot has that name.
    pub(super) fn account(
        &self,
        snapshot: &Snapshot,
        folder: &str,
    ) -> Result<Option<AccountState>, RestoreError> {
        let key = (snapshot.manifest.state, folder.to_owned());
        if let Some(known) = self.accounts.lock().get(&key) {
            return Ok(known.clone());
        }
        let mut found = None;
        for account in Accounts::new(&self.nodes, snapshot.manifest.state)
            .iter()
            .map_err(failed)?
        {
            let (_, account) = account.map_err(failed)?;
            if account.folder == folder {
                found = Some(account);
                break;
            }
        }
        let mut accounts = self.accounts.lock();
        if accounts.len() >= MAX_ACCOUNTS {
            accounts.clear();
        }
        accounts.insert(key, found.clone());
        Ok(found)
    }

    /// The item at `path` (`alice@contoso.com/Mail/Inbox/x.eml`) of a snapshot, for who knows where it is.
    pub(super) fn origin_at(
        &self,
        snapshot: &Snapshot,
        path: &str,
        entry: &Entry,
    ) -> Result<Option<Origin>, RestoreError> {
        let at = TargetPath::parse(path)?;
        let (Some(account), Some(folder)) = (at.account(), at.workload()) else {
            return Ok(None);
        };
        let workload = match self.account(snapshot, &account)? {
            Some(state) => {
                let mut workloads = state.workloads.into_iter();
                workloads
                    .find(|(_, w)| w.folder == folder)
                    .map(|(name, _)| name)
            }
            // A snapshot that was imported has no state.
            None => snapshot.manifest.workloads.get(folder).cloned(),
        };
        match workload {
            Some(workload) => self.origin(entry, &workload, format!("{}/{path}", snapshot.name)),
            None => Ok(None),
        }
    }

    fn origin(
        &self,
        entry: &Entry,
        workload: &str,
        path: String,
    ) -> Result<Option<Origin>, RestoreError> {
        let Some(record) = entry.record else {
            return Ok(None);
        };
        let json = self.read(&record)?;
        let Some(id) = id_in(&json) else {
            return Ok(None);
        };
        // What was restored before goes by the name of what it restored.
        let restored = Marker::of(&json).and_then(|marker| marker.origin);
        let key = restored.unwrap_or_else(|| ItemKey::of(&self.repo, id));
        Ok(Some(Origin {
            record: record.to_string(),
            key: key.to_string(),
            workload: workload.to_owned(),
            path,
            original: entry.original,
            version: None,
        }))
    }

    /// What was found at `path`, as the version that was found.
    fn origin_as(
        &self,
        item: &Item,
        workload: &str,
        path: String,
    ) -> Result<Option<Origin>, RestoreError> {
        let origin = self.origin(&item.entry, workload, path)?;
        Ok(match &item.version {
            None => origin,
            Some((time, version)) => origin.map(|origin| origin.as_version(time, version)),
        })
    }

    pub(super) fn read(&self, record: &ObjectId) -> Result<Value, RestoreError> {
        let bytes = self
            .repo
            .get(Kind::Record, record)
            .map_err(TreeError::from)
            .map_err(failed)?;
        crate::graph::json::parse(&bytes).map_err(|e| {
            RestoreError::new(
                Code::Io,
                format!("the record {record} of an item cannot be read: {e}"),
            )
        })
    }

    /// The newest item with this suffix and content, also one that was deleted since.
    fn by_tag(
        &self,
        snapshots: &[Snapshot],
        tag: Tag,
        content: ContentId,
    ) -> Result<Option<Origin>, RestoreError> {
        let last = self.last.lock().clone();
        if let Some((snapshot, account)) = last
            && snapshots.contains(&snapshot)
            && let Some(origin) = self.in_account(&snapshot, &account, tag, content)?
        {
            return Ok(Some(origin));
        }
        let mut newer: Option<&Snapshot> = None;
        for snapshot in snapshots.iter().rev() {
            let accounts = Accounts::new(&self.nodes, snapshot.manifest.state);
            let map = |s: &Snapshot| Map::new(&self.nodes, s.manifest.state, Shape::Hashed);
            let Some(newer) = newer.replace(snapshot) else {
                for account in accounts.iter().map_err(failed)? {
                    let (_, account) = account.map_err(failed)?;
                    if let Some(origin) = self.in_account(snapshot, &account, tag, content)? {
                        return Ok(Some(origin));
                    }
                }
                continue;
            };
            // Of an older one only the accounts that changed since: the others were looked at.
            for change in map(newer).diff(&map(snapshot)).map_err(failed)? {
                let change = change.map_err(failed)?;
                let Ok(id) = std::str::from_utf8(&change.key) else {
                    continue;
                };
                let Some(account) = accounts.get(id).map_err(failed)? else {
                    continue;
                };
                if let Some(origin) = self.in_account(snapshot, &account, tag, content)? {
                    return Ok(Some(origin));
                }
            }
        }
        Ok(None)
    }

    fn in_account(
        &self,
        snapshot: &Snapshot,
        account: &AccountState,
        tag: Tag,
        content: ContentId,
    ) -> Result<Option<Origin>, RestoreError> {
        for (name, workload) in &account.workloads {
            let found = self.in_collection(workload, tag, content).map_err(failed)?;
            if let Some(item) = found
                && item.entry.record.is_some()
            {
                *self.last.lock() = Some((snapshot.clone(), account.clone()));
                let path = full_path(snapshot, account, workload, &item.path);
                return self.origin_as(&item, name, path);
            }
        }
        Ok(None)
    }

    /// The item with this tag in one collection that has this content, now or in an older version.
    fn in_collection(
        &self,
        workload: &WorkloadState,
        tag: Tag,
        content: ContentId,
    ) -> Result<Option<Item>, TreeError> {
        let ids = Map::new(&self.nodes, workload.collection.ids, Shape::Hashed);
        for entry in ids.iter_from(&first_with(tag).0)?.take(MAX_TWINS) {
            let (key, _) = entry?;
            let Ok(key) = key.as_slice().try_into().map(ItemKey) else {
                break;
            };
            if key.tag() != tag {
                break;
            }
            let Some(item) = Editor::new(&self.nodes, workload.collection).get(&key)? else {
                continue;
            };
            let (Some(path), Some((found, _))) = (item.path, item.entry.content()) else {
                continue;
            };
            let version = match found == content {
                true => None,
                false => match versions::find(&self.nodes, item.entry.versions, content)? {
                    Some(version) => Some(version),
                    None => continue,
                },
            };
            return Ok(Some(Item {
                path,
                entry: item.entry,
                version,
            }));
        }
        Ok(None)
    }

    /// The newest item with this content; one in a folder and of a name as in `hint` if there is one, else
    /// one of that name.
    fn by_content(
        &self,
        snapshots: &[Snapshot],
        hint: &str,
        content: ContentId,
    ) -> Result<Option<Origin>, RestoreError> {
        let hits = {
            let mut guard = self.catalogue.lock();
            // Half of what a failed refresh took in may be in memory only: it is opened anew then.
            let mut catalogue = match guard.take() {
                Some(catalogue) => catalogue,
                None => Catalogue::open(&self.dir)?,
            };
            catalogue.refresh(&self.nodes, snapshots)?;
            let catalogue = guard.insert(catalogue);
            catalogue.find(&content.object)?
        };
        // One in a folder of the same name, of the same name, and what a file was rather than an older
        // version.
        let mut best: Option<((usize, bool), Item, String, String)> = None;
        for hit in hits {
            let Some((item, snapshot, account, workload)) = self.check(snapshots, &hit, content)?
            else {
                continue;
            };
            let rank = (common_tail(&item.path, hint), item.version.is_none());
            if best.as_ref().is_none_or(|(before, ..)| rank > *before) {
                let path = full_path(snapshot, &account, &workload, &item.path);
                best = Some((rank, item, hit.workload, path));
            }
            if rank == (2, true) {
                break;
            }
        }
        match best {
            Some((_, item, workload, path)) => self.origin_as(&item, &workload, path),
            None => Ok(None),
        }
    }

    #[allow(clippy::type_complexity)]
    fn check<'a>(
        &self,
        snapshots: &'a [Snapshot],
        hit: &Hit,
        content: ContentId,
    ) -> Result<Option<(Item, &'a Snapshot, AccountState, WorkloadState)>, RestoreError> {
        let Some(snapshot) = snapshots.iter().find(|s| s.name == hit.snapshot) else {
            return Ok(None);
        };
        let accounts = Accounts::new(&self.nodes, snapshot.manifest.state);
        let Some(account) = accounts.get(&hit.account).map_err(failed)? else {
            return Ok(None);
        };
        let Some(workload) = account.workloads.get(&hit.workload).cloned() else {
            return Ok(None);
        };
        let found = self
            .in_collection(&workload, hit.tag, content)
            .map_err(failed)?;
        Ok(found.map(|item| (item, snapshot, account, workload)))
    }
}

/// How well a path fits a hint (`folder/file`): 0 not at all, 1 by its name, 2 by its folder's too.
fn common_tail(path: &str, hint: &str) -> usize {
    let (path, hint) = (path.rsplit('/'), hint.rsplit('/'));
    let same = path.zip(hint).take_while(|(a, b)| a == b);
    same.take(2).count()
}

impl Recognise for SnapshotRecogniser {
    fn recognise(&self, file: &Path, hint: &str) -> Result<Option<Origin>, RestoreError> {
        let name = hint.rsplit('/').next().unwrap_or(hint);
        let contents = contents(&self.repo, file, name)?;
        if contents.is_empty() {
            return Ok(None);
        }
        let snapshots = self
            .repo
            .snapshots()
            .map_err(TreeError::from)
            .map_err(failed)?;
        for content in contents {
            if let Some(tag) = names::tag_in(name)
                && let Some(origin) = self.by_tag(&snapshots, tag, content)?
            {
                return Ok(Some(origin));
            }
            if let Some(origin) = self.by_content(&snapshots, hint, content)? {
                return Ok(Some(origin));
            }
        }
        Ok(None)
    }

    fn record(&self, origin: &Origin) -> Result<Value, RestoreError> {
        let Some(id) = ObjectId::from_hex(&origin.record) else {
            return Err(RestoreError::new(
                Code::Io,
                format!("{:?} is no record", origin.record),
            ));
        };
        let mut record = self.read(&id).map_err(|e| e.about(&origin.path))?;
        let version = origin.version.as_deref().and_then(ObjectId::from_hex);
        if let Some(version) = version {
            let version = self.read(&version).map_err(|e| e.about(&origin.path))?;
            put_version(&mut record, &version);
        }
        Ok(record)
    }

    fn folder(&self, path: &str) -> Result<Option<Value>, RestoreError> {
        let (name, path) = path.split_once('/').unwrap_or((path, ""));
        let snapshots = self.repo.snapshots().map_err(TreeError::from);
        let snapshots = snapshots.map_err(failed)?;
        let Some(snapshot) = snapshots.iter().find(|snapshot| snapshot.name == name) else {
            return Ok(None);
        };
        let entry = resolve(&self.nodes, snapshot.manifest.tree, path).map_err(failed)?;
        let record = entry.filter(Entry::is_dir).and_then(|entry| entry.record);
        record.map(|record| self.read(&record)).transpose()
    }

    fn original(&self, origin: &Origin) -> Result<Option<Bytes>, RestoreError> {
        let Some(content) = &origin.original else {
            return Ok(None);
        };
        let bytes = content::read_all(&self.repo, *content, MAX_ORIGINAL);
        let bytes = bytes.map_err(TreeError::from).map_err(failed);
        bytes.map(Some).map_err(|e| e.about(&origin.path))
    }
}

/// Makes a file's record that of an older version of it, as far as Graph tells of those.
fn put_version(record: &mut Value, version: &Value) {
    for name in ["size", "lastModifiedDateTime", "lastModifiedBy"] {
        if let Some(value) = version.get(name) {
            record[name] = value.clone();
        }
    }
    let time = &version["lastModifiedDateTime"];
    if time.is_string() && record["fileSystemInfo"].is_object() {
        record["fileSystemInfo"]["lastModifiedDateTime"] = time.clone();
    }
    // No hash of it is known.
    if record["file"].is_object() {
        record["file"]["hashes"] = Value::Null;
    }
}

fn full_path(
    snapshot: &Snapshot,
    account: &AccountState,
    workload: &WorkloadState,
    path: &str,
) -> String {
    format!(
        "{}/{}/{}/{path}",
        snapshot.name, account.folder, workload.folder
    )
}

pub(super) fn failed(e: TreeError) -> RestoreError {
    RestoreError::new(Code::Io, e.to_string())
}

impl From<CatalogueError> for RestoreError {
    fn from(e: CatalogueError) -> RestoreError {
        match e {
            CatalogueError::Tree(e) => failed(e),
            CatalogueError::Local { dir, source } => RestoreError::local(
                format!("the table of contents in {}", dir.display()),
                &source,
            ),
        }
    }
}
