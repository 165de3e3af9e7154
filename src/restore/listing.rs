//! What is live in Microsoft 365 now, for a short while from memory.
//!
//! A program that restores a folder of 10,000 files looks each name up first. So a folder's listing is
//! kept for some seconds (longer the longer it took to get), and what this service makes itself is laid
//! over it at once, so that it is seen without another request.
//!
//! Bounded: whole folders leave, the one used longest ago first, when there are too many entries.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::workload::{LiveEntry, believed};

/// The name a file was written under is known this long, if the item got another one.
const ALIAS_AGE: Duration = Duration::from_secs(120);
/// Entries kept in all.
const MAX_ENTRIES: usize = 200_000;
/// Aliases kept in one folder.
const MAX_ALIASES: usize = 10_000;

/// A folder of an account: account's Graph id, workload's name, path below the workload's folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FolderKey {
    /// Graph id of the account.
    pub account: String,
    /// Name of the workload.
    pub workload: &'static str,
    /// Below the workload's folder.
    pub path: Vec<String>,
}

/// The cache.
#[derive(Debug, Default)]
pub struct Listings {
    folders: Mutex<HashMap<FolderKey, Folder>>,
}

#[derive(Debug)]
struct Folder {
    base: Arc<Vec<LiveEntry>>,
    by_name: HashMap<String, usize>,
    added: BTreeMap<String, LiveEntry>,
    merged: Option<Arc<Vec<LiveEntry>>>,
    aliases: HashMap<String, (Instant, LiveEntry)>,
    until: Instant,
    used: Instant,
}

impl Folder {
    fn entries(&mut self) -> Arc<Vec<LiveEntry>> {
        if self.added.is_empty() {
            return Arc::clone(&self.base);
        }
        let Folder {
            base,
            added,
            merged,
            ..
        } = self;
        Arc::clone(merged.get_or_insert_with(|| {
            let kept = base.iter().filter(|e| !added.contains_key(&e.name));
            Arc::new(kept.chain(added.values()).cloned().collect())
        }))
    }

    fn lookup(&self, name: &str) -> Option<LiveEntry> {
        if let Some(entry) = self.added.get(name) {
            return Some(entry.clone());
        }
        if let Some(entry) = self.by_name.get(name).and_then(|at| self.base.get(*at)) {
            return Some(entry.clone());
        }
        let (until, entry) = self.aliases.get(name)?;
        (*until > Instant::now()).then(|| entry.clone())
    }

    fn len(&self) -> usize {
        self.base.len() + self.added.len() + self.aliases.len()
    }
}

impl Listings {
    /// The folder, if it is known and fresh.
    pub fn get(&self, key: &FolderKey) -> Option<Arc<Vec<LiveEntry>>> {
        self.with(key, Folder::entries)
    }

    /// The entry of that name: `None` if the folder is not known, `Some(None)` if it has none.
    pub fn lookup(&self, key: &FolderKey, name: &str) -> Option<Option<LiveEntry>> {
        self.with(key, |folder| folder.lookup(name))
    }

    fn with<T>(&self, key: &FolderKey, read: impl FnOnce(&mut Folder) -> T) -> Option<T> {
        let mut folders = self.folders.lock();
        let folder = folders.get_mut(key)?;
        let now = Instant::now();
        if folder.until <= now {
            return None;
        }
        folder.used = now;
        Some(read(folder))
    }

    /// Keeps a listing that was asked for at `asked`. What was made here since then stays visible even if
    /// the answer does not have it yet.
    pub fn put(
        &self,
        key: FolderKey,
        mut entries: Vec<LiveEntry>,
        asked: Instant,
    ) -> Arc<Vec<LiveEntry>> {
        for entry in &mut entries {
            // Thousands of records are megabytes that nothing here reads.
            entry.record = serde_json::Value::Null;
        }
        let by_name = index(&entries);
        let now = Instant::now();
        let mut folders = self.folders.lock();
        let mut folder = Folder {
            base: Arc::new(entries),
            by_name,
            added: BTreeMap::new(),
            merged: None,
            aliases: HashMap::new(),
            until: now + believed(now - asked),
            used: now,
        };
        if let Some(mut old) = folders.remove(&key) {
            // The old one was still good when we asked: what was laid over it is newer than the answer.
            if old.until > asked {
                old.added
                    .retain(|name, _| !folder.by_name.contains_key(name));
                folder.added = old.added;
            }
            // What somebody else took away meanwhile goes by no name.
            let there = folder.base.iter().chain(folder.added.values());
            let there: HashSet<&str> = there.map(|entry| entry.id.as_str()).collect();
            old.aliases
                .retain(|_, (until, entry)| *until > now && there.contains(entry.id.as_str()));
            folder.aliases = old.aliases;
        }
        let entries = folder.entries();
        folders.insert(key, folder);
        shrink(&mut folders);
        entries
    }

    /// Lays an entry that was made here over its folder, if that is known. `written_as` is the name it was
    /// written under: a program that looks for it right after finds it.
    pub fn add(&self, key: &FolderKey, mut entry: LiveEntry, written_as: &str) {
        entry.record = serde_json::Value::Null;
        let mut folders = self.folders.lock();
        let Some(folder) = folders.get_mut(key) else {
            return;
        };
        if written_as != entry.name && folder.aliases.len() < MAX_ALIASES {
            let alias = LiveEntry {
                name: written_as.to_owned(),
                ..entry.clone()
            };
            folder
                .aliases
                .insert(written_as.to_owned(), (Instant::now() + ALIAS_AGE, alias));
        }
        folder.merged = None;
        folder.added.insert(entry.name.clone(), entry);
    }

    /// Takes an item out that was replaced: it may have gone by another name than the new one.
    pub fn remove_id(&self, key: &FolderKey, id: &str) {
        let mut folders = self.folders.lock();
        let Some(folder) = folders.get_mut(key) else {
            return;
        };
        folder.merged = None;
        folder.added.retain(|_, entry| entry.id != id);
        if folder.base.iter().any(|entry| entry.id == id) {
            let kept = folder.base.iter().filter(|entry| entry.id != id).cloned();
            folder.base = Arc::new(kept.collect());
            folder.by_name = index(&folder.base);
        }
    }

    /// Forgets a folder: the next question goes to the service.
    pub fn forget(&self, key: &FolderKey) {
        self.folders.lock().remove(key);
    }
}

fn index(entries: &[LiveEntry]) -> HashMap<String, usize> {
    let named = entries.iter().enumerate();
    named.map(|(at, e)| (e.name.clone(), at)).collect()
}

fn shrink(folders: &mut HashMap<FolderKey, Folder>) {
    let now = Instant::now();
    folders.retain(|_, f| f.until > now);
    let mut total: usize = folders.values().map(Folder::len).sum();
    while total > MAX_ENTRIES && folders.len() > 1 {
        let Some(oldest) = folders
            .iter()
            .min_by_key(|(_, f)| f.used)
            .map(|(key, _)| key.clone())
        else {
            return;
        };
        if let Some(folder) = folders.remove(&oldest) {
            total -= folder.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> LiveEntry {
        LiveEntry {
            id: name.to_owned(),
            name: name.to_owned(),
            is_dir: false,
            size: 1,
            mtime: 2,
            record: serde_json::json!({"id": name}),
        }
    }

    fn key(path: &str) -> FolderKey {
        FolderKey {
            account: "bob".to_owned(),
            workload: "mail",
            path: vec![path.to_owned()],
        }
    }

    #[test]
    fn own_items_are_seen_at_once_under_both_names() {
        let listings = Listings::default();
        let inbox = key("Inbox");
        assert!(listings.get(&inbox).is_none());
        listings.add(&inbox, entry("lost"), "lost");
        listings.put(inbox.clone(), vec![entry("a"), entry("b")], Instant::now());
        assert!(listings.lookup(&inbox, "c").unwrap().is_none());
        listings.add(&inbox, entry("c"), "written.eml");
        listings.add(&inbox, entry("a"), "a");
        assert!(listings.lookup(&inbox, "c").unwrap().is_some());
        assert_eq!(
            listings.lookup(&inbox, "written.eml").unwrap().unwrap().id,
            "c"
        );
        let names: Vec<_> = listings
            .get(&inbox)
            .unwrap()
            .iter()
            .map(|e| e.name.clone())
            .collect();
        assert_eq!(names, ["b", "a", "c"]);
        // An answer that was on its way while we made something does not hide it.
        listings.put(inbox.clone(), vec![entry("a"), entry("b")], Instant::now());
        assert!(listings.lookup(&inbox, "c").unwrap().is_some());
        assert!(listings.lookup(&inbox, "written.eml").unwrap().is_some());
        listings.remove_id(&inbox, "a");
        assert!(listings.lookup(&inbox, "a").unwrap().is_none());
        assert!(listings.lookup(&inbox, "b").unwrap().is_some());
        listings.forget(&inbox);
        assert!(listings.get(&inbox).is_none());
    }

    #[test]
    fn what_others_delete_is_gone_under_both_names() {
        let listings = Listings::default();
        let inbox = key("Inbox");
        listings.put(inbox.clone(), Vec::new(), Instant::now());
        listings.add(&inbox, entry("c"), "written.eml");
        // Known to the service, then not any more, and what was laid over is as old as that.
        listings.put(inbox.clone(), vec![entry("c")], Instant::now());
        assert!(listings.lookup(&inbox, "written.eml").unwrap().is_some());
        listings.put(inbox.clone(), Vec::new(), Instant::now());
        assert!(listings.lookup(&inbox, "c").unwrap().is_none());
        assert!(listings.lookup(&inbox, "written.eml").unwrap().is_none());
    }

    #[test]
    fn whole_folders_leave_when_there_are_too_many() {
        let listings = Listings::default();
        let many: Vec<_> = (0..MAX_ENTRIES / 2)
            .map(|i| entry(&i.to_string()))
            .collect();
        for name in ["1", "2", "3"] {
            listings.put(key(name), many.clone(), Instant::now());
        }
        assert!(listings.get(&key("1")).is_none());
        assert!(listings.get(&key("3")).is_some());
    }
}
