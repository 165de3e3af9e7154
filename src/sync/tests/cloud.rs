//! A cloud in memory that speaks the workload trait: mail (a feed per folder, removals to be
//! verified) or drive (one feed). It pages in small pages, tells things twice, forgets its
//! history, fails, and stops answering for good at a chosen call, which is how tests crash a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::graph::sites::SitesRound;
use crate::graph::users::UsersRound;
use crate::graph::{ErrorClass, GraphError};
use crate::sync::{Directory, RequestLine};
use crate::tree::names;
use crate::workload::{
    Account, Alive, Change, Content, Cursor, Described, EntryKind, FeedError, FeedId, ItemError,
    ItemKey, Journal, LiveEntry, Page, Presence, Push, PushError, Pushed, Version, Workload,
};

#[derive(Clone, Debug)]
pub struct Folder {
    pub parent: Option<String>,
    pub name: String,
    changed: u64,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub folder: Option<String>,
    pub name: String,
    pub read: bool,
    /// Of the content.
    pub version: u64,
    /// Earlier ones that the service keeps, oldest first.
    pub older: Vec<u64>,
    changed: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Store {
    pub folders: BTreeMap<String, Folder>,
    pub items: BTreeMap<String, Item>,
    /// Feed, when, what left it.
    left: Vec<(String, u64, String)>,
    /// Cursors of earlier epochs are dead.
    epoch: u64,
    /// What happens is never told by a round that follows another.
    deaf: bool,
}

impl Store {
    /// When a change counts as made.
    fn told_at(&self, now: u64) -> u64 {
        if self.deaf { 1 } else { now }
    }

    fn leave(&mut self, feed: String, now: u64, id: &str) {
        if !self.deaf {
            self.left.push((feed, now, id.to_owned()));
        }
    }
}

#[derive(Default)]
pub struct Faults {
    /// Percent of calls that fail for no reason.
    pub transient: u32,
    /// Items whose content can't be had.
    pub bad: BTreeMap<String, ErrorClass>,
    /// Older versions (`3.0`) whose content can't be had; those of items in `unlisted`, not even listed.
    pub bad_versions: BTreeMap<String, ErrorClass>,
    pub unlisted: BTreeSet<String>,
    pub denied: BTreeSet<String>,
    pub no_mailbox: BTreeSet<String>,
    /// What happens at a certain call: its name, its number, and what then.
    pub then: Option<(&'static str, u64, Box<dyn FnOnce() + Send>)>,
    /// Nothing is enumerated.
    pub no_full: bool,
    /// Calls until nothing answers any more.
    pub stop_after: Option<u64>,
    seed: u64,
}

#[derive(Default)]
pub struct Inner {
    pub users: BTreeMap<String, String>,
    pub stores: BTreeMap<String, Store>,
    pub faults: Faults,
    pub calls: BTreeMap<&'static str, u64>,
    /// How many older versions are kept of what changed, and of what is new.
    pub keep: (usize, usize),
    time: u64,
}

/// Handle; clones share the cloud.
#[derive(Clone)]
pub struct Cloud {
    pub inner: Arc<Mutex<Inner>>,
    pub stopped: Arc<Notify>,
    /// Drive: a single feed.
    pub drive: bool,
    /// Changes in a page.
    pub page: usize,
}

fn fault(class: ErrorClass) -> GraphError {
    GraphError::local(class, "fake", "a scripted fault")
}

impl Inner {
    fn random(&mut self) -> u64 {
        let seed = &mut self.faults.seed;
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }
}

impl Cloud {
    pub fn new(drive: bool, users: &[(&str, &str)]) -> Cloud {
        let mut inner = Inner::default();
        for (id, upn) in users {
            inner.users.insert((*id).into(), (*upn).into());
            inner.stores.insert((*id).into(), Store::default());
        }
        Cloud {
            inner: Arc::new(Mutex::new(inner)),
            stopped: Arc::new(Notify::new()),
            drive,
            page: 4,
        }
    }

    pub fn seed(&self, seed: u64) {
        self.inner.lock().faults.seed = seed;
    }

    pub fn calls(&self, what: &str) -> u64 {
        self.inner.lock().calls.get(what).copied().unwrap_or(0)
    }

    pub fn reset_calls(&self) {
        self.inner.lock().calls.clear();
    }

    /// From now on delta misses what happens, or misses nothing again.
    pub fn deaf(&self, user: &str, deaf: bool) {
        self.inner.lock().stores.get_mut(user).unwrap().deaf = deaf;
    }

    /// Which feed tells of things in this folder.
    fn feed_of(&self, folder: Option<&str>) -> String {
        match (self.drive, folder) {
            (true, _) => "root".into(),
            (false, folder) => format!("messages/{}", folder.unwrap_or("none")),
        }
    }

    pub fn folder(&self, user: &str, id: &str, parent: Option<&str>, name: &str) {
        let mut inner = self.inner.lock();
        let now = inner.tick();
        let store = inner.stores.entry(user.into()).or_default();
        let folder = Folder {
            parent: parent.map(str::to_owned),
            name: name.into(),
            changed: store.told_at(now),
        };
        store.folders.insert(id.into(), folder);
    }

    pub fn item(&self, user: &str, id: &str, folder: Option<&str>, name: &str) {
        let mut inner = self.inner.lock();
        let now = inner.tick();
        let store = inner.stores.entry(user.into()).or_default();
        let item = Item {
            folder: folder.map(str::to_owned),
            name: name.into(),
            read: false,
            version: now,
            older: Vec::new(),
            changed: store.told_at(now),
        };
        store.items.insert(id.into(), item);
    }

    pub fn change(&self, user: &str, id: &str, change: impl FnOnce(&mut Item, u64)) {
        let mut inner = self.inner.lock();
        let now = inner.tick();
        let store = inner.stores.get_mut(user).unwrap();
        let told_at = store.told_at(now);
        let item = store.items.get_mut(id).unwrap();
        let (before, version) = (item.folder.clone(), item.version);
        change(item, now);
        if item.version != version {
            item.older.push(version);
        }
        item.changed = told_at;
        if item.folder != before && !self.drive {
            store.leave(self.feed_of(before.as_deref()), now, id);
        }
    }

    /// Away and back: told as removed, and not told as added.
    pub fn bounce(&self, user: &str, id: &str) {
        let mut inner = self.inner.lock();
        let now = inner.tick();
        let store = inner.stores.get_mut(user).unwrap();
        if !self.drive {
            let feed = self.feed_of(store.items[id].folder.as_deref());
            store.leave(feed, now, id);
        }
    }

    pub fn delete(&self, user: &str, id: &str) {
        let mut inner = self.inner.lock();
        let now = inner.tick();
        let store = inner.stores.get_mut(user).unwrap();
        if let Some(item) = store.items.remove(id) {
            store.leave(self.feed_of(item.folder.as_deref()), now, id);
        }
    }

    /// With everything in it.
    pub fn delete_folder(&self, user: &str, id: &str) {
        let mut inner = self.inner.lock();
        let now = inner.tick();
        let store = inner.stores.get_mut(user).unwrap();
        let mut doomed = vec![id.to_owned()];
        while let Some(id) = doomed.pop() {
            if store.folders.remove(&id).is_none() {
                continue;
            }
            let feed = if self.drive { "root" } else { "folders" };
            store.leave(feed.into(), now, &id);
            let below = store
                .folders
                .iter()
                .filter(|(_, f)| f.parent.as_ref() == Some(&id));
            doomed.extend(below.map(|(id, _)| id.clone()));
            let gone = store
                .items
                .iter()
                .filter(|(_, i)| i.folder.as_ref() == Some(&id));
            let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
            for item in gone {
                store.items.remove(&item);
                store.leave(self.feed_of(Some(&id)), now, &item);
            }
        }
    }

    pub fn move_folder(&self, user: &str, id: &str, parent: Option<&str>, name: &str) {
        let mut inner = self.inner.lock();
        let now = inner.tick();
        let store = inner.stores.get_mut(user).unwrap();
        let changed = store.told_at(now);
        let mut above = parent.map(str::to_owned);
        while let Some(folder) = above {
            if folder == id {
                return; // Into itself.
            }
            above = store.folders[&folder].parent.clone();
        }
        let folder = store.folders.get_mut(id).unwrap();
        *folder = Folder {
            parent: parent.map(str::to_owned),
            name: name.into(),
            changed,
        };
    }

    pub fn expire_tokens(&self, user: &str) {
        self.inner.lock().stores.get_mut(user).unwrap().epoch += 1;
    }

    pub fn content(id: &str, version: u64) -> Vec<u8> {
        format!("Subject: {id}\r\n\r\nversion {version} of {id}\r\n")
            .repeat(1 + id.len() % 3)
            .into_bytes()
    }

    /// What a snapshot's account folder must hold: path to bytes, and to the record.
    pub fn expected(
        &self,
        user: &str,
        key: impl Fn(&str) -> crate::tree::ItemKey,
    ) -> BTreeMap<String, (Vec<u8>, Value)> {
        let inner = self.inner.lock();
        let store = &inner.stores[user];
        let mut files = BTreeMap::new();
        for (id, item) in &store.items {
            let mut path = names::item_name(&[&item.name], "eml", &key(id));
            let mut above = item.folder.clone();
            while let Some(folder) = above {
                let Folder { parent, name, .. } = &store.folders[&folder];
                path = format!("{}/{path}", names::folder_name(name, &key(&folder)));
                above = parent.clone();
            }
            files.insert(path, (Self::content(id, item.version), record(id, item)));
        }
        files
    }

    async fn call(&self, what: &'static str) -> Result<(), GraphError> {
        let (stop, fail) = {
            let mut inner = self.inner.lock();
            let number = inner.calls.entry(what).or_default();
            *number += 1;
            let number = *number;
            let due = |(name, at, _): &mut (&str, u64, _)| *name == what && *at == number;
            if let Some((_, _, happen)) = inner.faults.then.take_if(due) {
                happen();
            }
            let stop = match &mut inner.faults.stop_after {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            };
            let fail = inner.random() % 100 < u64::from(inner.faults.transient);
            (stop, fail)
        };
        if stop {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        if fail {
            Err(fault(ErrorClass::Transient))
        } else {
            Ok(())
        }
    }
}

fn record(id: &str, item: &Item) -> Value {
    json!({ "id": id, "name": item.name, "isRead": item.read, "version": item.version })
}

/// Two of them are made in a second.
fn version(number: u64) -> Version {
    let id = format!("{number}.0");
    Version {
        record: json!({ "id": id, "number": number }),
        mtime: 1_790_000_000 + number as i64 / 2,
        id,
    }
}

fn folder_record(id: &str, folder: &Folder) -> Value {
    json!({ "id": id, "name": folder.name })
}

#[async_trait]
impl Directory for Cloud {
    async fn users(&self, _: Option<&str>) -> Result<UsersRound, GraphError> {
        let users = self.inner.lock().users.clone();
        Ok(UsersRound {
            users: users
                .iter()
                .map(|(id, upn)| json!({ "id": id, "userPrincipalName": upn, "displayName": upn }))
                .collect(),
            removed: Vec::new(),
            link: "users".into(),
            full: true,
        })
    }

    async fn sites(&self, _: Option<&str>) -> Result<SitesRound, GraphError> {
        Ok(SitesRound::default())
    }

    async fn subsites(&self, _: &Account) -> Result<Vec<Account>, GraphError> {
        Ok(Vec::new())
    }

    fn drive_units(&self) -> u64 {
        0
    }

    fn requests(&self) -> Vec<RequestLine> {
        let calls = self.inner.lock().calls.clone();
        let line = |(what, count): (&'static str, u64)| RequestLine {
            method: "GET".into(),
            route: what.into(),
            status: 200,
            batched: false,
            count,
        };
        calls.into_iter().map(line).collect()
    }
}

#[async_trait]
impl Workload for Cloud {
    fn name(&self) -> &'static str {
        if self.drive { "drive" } else { "mail" }
    }

    fn folder(&self) -> &'static str {
        if self.drive { "OneDrive" } else { "Mail" }
    }

    async fn probe(&self, account: &Account) -> Result<Presence, GraphError> {
        self.call("probe").await?;
        let inner = self.inner.lock();
        if inner.faults.denied.contains(&account.id) {
            return Err(fault(ErrorClass::Denied));
        }
        Ok(match inner.faults.no_mailbox.contains(&account.id) {
            true => Presence::Absent {
                reason: "no mailbox".into(),
            },
            false => Presence::Present,
        })
    }

    fn root_feed(&self) -> FeedId {
        FeedId(if self.drive { "root" } else { "folders" }.into())
    }

    async fn page(
        &self,
        account: &Account,
        feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        self.call("page").await?;
        let inner = self.inner.lock();
        if inner.faults.denied.contains(&account.id) {
            return Err(fault(ErrorClass::Denied).into());
        }
        let store = &inner.stores[&account.id];
        // A cursor: epoch, changes since, changes until, id to go on after ("" at the start).
        let (mut since, mut until, mut after) = (0, inner.time, String::new());
        if let Some(cursor) = cursor {
            let mut parts = cursor.splitn(4, ' ');
            let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
            let epoch = number();
            (since, until) = (number(), number());
            after = parts.next().unwrap().to_owned();
            if epoch != store.epoch {
                return Err(FeedError::Reset { start: None });
            }
            if after.is_empty() {
                (since, until) = (until, inner.time);
            }
        }
        let full = since == 0;
        if full && inner.faults.no_full {
            return Err(fault(ErrorClass::Corrupt).into());
        }
        let folders = self.drive || feed.0 == "folders";
        let own = feed.0.strip_prefix("messages/");
        if let Some(folder) = own
            && !store.folders.contains_key(folder)
        {
            return Err(FeedError::Gone);
        }
        let mut all: Vec<(String, Change)> = Vec::new();
        if folders {
            for (id, f) in &store.folders {
                if f.changed > since {
                    let change = Change::Folder {
                        id: id.clone(),
                        parent: f.parent.clone(),
                        record: folder_record(id, f),
                        feed: (!self.drive).then(|| FeedId(format!("messages/{id}"))),
                    };
                    all.push((id.clone(), change));
                }
            }
        }
        for (id, item) in &store.items {
            let mine = self.drive || own.is_some() && item.folder.as_deref() == own;
            if mine && item.changed > since {
                let mut record = record(id, item);
                if !full && item.version % 2 == 0 {
                    record.as_object_mut().unwrap().remove("name"); // As if unchanged ...
                    record["name"] = item.name.clone().into(); // ... but for renames.
                }
                let change = Change::Item {
                    id: id.clone(),
                    parent: item.folder.clone(),
                    record,
                };
                all.push((id.clone(), change));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let mut changes: Vec<Change> = Vec::new();
        if after.is_empty() {
            for (from, when, id) in &store.left {
                // Gone before this round began counts only for those who knew it.
                if *from == feed.0 && *when > since {
                    changes.push(Change::Removed {
                        id: id.clone(),
                        parent: own.map(str::to_owned),
                        verify: own.is_some(),
                    });
                }
            }
        }
        let rest: Vec<_> = all.into_iter().filter(|(id, _)| *id > after).collect();
        let more = rest.len() > self.page;
        let last = rest
            .iter()
            .take(self.page)
            .next_back()
            .map(|(id, _)| id.clone());
        for (_, change) in rest.into_iter().take(self.page) {
            changes.push(change.clone());
            if changes.len() % 5 == 3 {
                changes.push(change); // Told twice.
            }
        }
        let epoch = store.epoch;
        let cursor = match (more, last) {
            (true, Some(last)) => Cursor::More(format!("{epoch} {since} {until} {last}")),
            _ => Cursor::Done(format!("{epoch} {since} {until} ")),
        };
        Ok(Page {
            changes,
            cursor,
            full,
        })
    }

    fn sweep(&self, _: &FeedId, cursor: &str) -> Option<String> {
        let epoch = cursor.split(' ').next()?;
        Some(format!("{epoch} 0 0 "))
    }

    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        let name = record["name"].as_str().unwrap_or_default();
        let key = crate::tree::ItemKey(key.0);
        Described {
            name: match kind {
                EntryKind::Folder => names::folder_name(name, &key),
                EntryKind::Item => names::item_name(&[name], "eml", &key),
            },
            mtime: 1_700_000_000,
        }
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        stored["version"] != told["version"]
    }

    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        self.call("fetch").await?;
        let id = record["id"].as_str().unwrap().to_owned();
        let inner = self.inner.lock();
        if let Some(class) = inner.faults.bad.get(&id) {
            return Err(ItemError {
                class: *class,
                reason: "it is broken".into(),
            });
        }
        let Some(item) = inner.stores[&account.id].items.get(&id) else {
            return Err(ItemError {
                class: ErrorClass::NotFound,
                reason: "gone".into(),
            });
        };
        // As with Graph, content is as of now, while the record may be older.
        record["version"] = item.version.into();
        let content = Bytes::from(Self::content(&id, item.version));
        if self.drive {
            let pieces: Vec<_> = content
                .chunks(7)
                .map(|c| Ok(Bytes::copy_from_slice(c)))
                .collect();
            return Ok(Content::Stream(stream::iter(pieces).boxed()));
        }
        Ok(Content::Mail(content))
    }

    fn keeps_versions(&self, first: bool) -> usize {
        let (changed, new) = self.inner.lock().keep;
        if first { new } else { changed }
    }

    async fn versions(
        &self,
        account: &Account,
        record: &Value,
        at_most: usize,
    ) -> Result<Vec<Version>, ItemError> {
        self.call("versions").await?;
        let id = record["id"].as_str().unwrap();
        let inner = self.inner.lock();
        if inner.faults.unlisted.contains(id) {
            return Err(fault(ErrorClass::Denied).into());
        }
        let item = &inner.stores[&account.id].items[id];
        let newest = item.older.iter().rev().take(at_most);
        Ok(newest.map(|n| version(*n)).collect())
    }

    async fn fetch_version(
        &self,
        _: &Account,
        record: &Value,
        version: &Version,
    ) -> Result<Content, ItemError> {
        self.call("version").await?;
        if let Some(class) = self.inner.lock().faults.bad_versions.get(&version.id) {
            return Err(fault(*class).into());
        }
        let number = version.record["number"].as_u64().unwrap();
        let bytes = Self::content(record["id"].as_str().unwrap(), number);
        Ok(Content::File(bytes.into()))
    }

    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.call("verify").await?;
        let inner = self.inner.lock();
        let store = &inner.stores[&account.id];
        let look = |id: &String| match (store.items.get(id), store.folders.get(id)) {
            (Some(item), _) => Alive::Here {
                parent: item.folder.clone(),
                record: record(id, item),
            },
            (None, Some(folder)) => Alive::Here {
                parent: folder.parent.clone(),
                record: folder_record(id, folder),
            },
            (None, None) => Alive::Gone,
        };
        Ok(ids.iter().map(look).collect())
    }

    async fn list(&self, _: &Account, _: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        Err(fault(ErrorClass::Unsupported))
    }

    async fn make_folder(&self, _: &Account, _: &[String]) -> Result<LiveEntry, PushError> {
        Err(fault(ErrorClass::Unsupported).into())
    }

    async fn push(&self, _: &Account, _: &Push, _: &dyn Journal) -> Result<Pushed, PushError> {
        Err(fault(ErrorClass::Unsupported).into())
    }

    async fn find_pushed(&self, _: &Account, _: &Push) -> Result<Option<Pushed>, PushError> {
        Err(fault(ErrorClass::Unsupported).into())
    }
}
