//! One drive: its items, their tree, and the sequence of changes that delta reads.
//!
//! Items sit in a table in the order they were made and are never taken out: a deleted one stays as a
//! tombstone, and ids are never used again. Every change gives an item the drive's next number and
//! moves it to the end of `log`, which therefore holds each item once, in the order of its latest
//! change: exactly what delta has to tell. Sizes and child counts of folders are kept up to date on the
//! way, and are no change of the folder.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::bin::{Binned, Saved};
use super::content::Content;
use super::failure::Failure;
use super::home::Home;
use super::item::{
    self, Actor, Fields, FileState, Folder, IdTail, Index, Item, Kind, ROOT, Remote, Version,
};
use super::names;

/// What to do when a name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    Fail,
    Replace,
    Rename,
}

impl Conflict {
    pub fn parse(text: &str) -> Result<Conflict, Failure> {
        match text.to_ascii_lowercase().as_str() {
            "fail" => Ok(Conflict::Fail),
            "replace" => Ok(Conflict::Replace),
            "rename" => Ok(Conflict::Rename),
            _ => Err(Failure::invalid(
                "The conflictBehavior must be fail, replace or rename.",
            )),
        }
    }
}

/// Where a new item goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under this name, which is free.
    New(String),
    /// Onto this item, which is of the same kind.
    Existing(Index),
}

/// Times that a client gives to an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub created: Option<i64>,
    pub modified: Option<i64>,
}

/// Who changes something, and when.
#[derive(Clone, Debug)]
pub struct Stamp {
    pub now: i64,
    pub by: Actor,
}

#[derive(Debug)]
pub struct Drive {
    /// `b!...`
    pub id: String,
    /// First eight characters of every item id.
    pub prefix: String,
    /// GUIDs of site, web and list.
    pub site: [u128; 3],
    pub home: Home,
    pub created: i64,
    pub quota: u64,
    items: Vec<Item>,
    by_guid: HashMap<u128, Index>,
    log: BTreeMap<u64, Index>,
    seq: u64,
    guids: crate::rng::Rng,
    /// Bytes in the recycle bin.
    pub recycled: u64,
    pub(super) bin: Vec<Binned>,
}

impl Drive {
    pub fn new(
        id: String,
        prefix: String,
        site: [u128; 3],
        home: Home,
        created: i64,
        quota: u64,
        guids: crate::rng::Rng,
    ) -> Drive {
        let mut drive = Drive {
            id,
            prefix,
            site,
            home,
            created,
            quota,
            items: Vec::new(),
            by_guid: HashMap::new(),
            log: BTreeMap::new(),
            seq: 0,
            guids,
            recycled: 0,
            bin: Vec::new(),
        };
        let stamp = Stamp {
            now: created,
            by: Actor::System,
        };
        drive.push(
            ROOT,
            "root".into(),
            Kind::Folder(Folder::default()),
            Times::default(),
            &stamp,
        );
        drive
    }

    pub fn item(&self, index: Index) -> &Item {
        &self.items[index as usize]
    }

    pub fn item_mut(&mut self, index: Index) -> &mut Item {
        &mut self.items[index as usize]
    }

    pub fn id_of(&self, index: Index) -> String {
        item::item_id(&self.prefix, index, self.item(index).guid)
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.item(ROOT).size()
    }

    /// The latest change number.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A living item by its id; `root` is one.
    pub fn find(&self, id: &str) -> Option<Index> {
        if id.eq_ignore_ascii_case("root") {
            return Some(ROOT);
        }
        let index = match item::parse_item_id(&self.prefix, id)? {
            IdTail::Root => ROOT,
            IdTail::Guid(guid) => *self.by_guid.get(&guid)?,
        };
        (!self.item(index).deleted).then_some(index)
    }

    pub fn find_guid(&self, guid: u128) -> Option<Index> {
        let index = *self.by_guid.get(&guid)?;
        (!self.item(index).deleted).then_some(index)
    }

    /// The child of a folder with this name, in any case.
    pub fn child(&self, folder: Index, name: &str) -> Option<Index> {
        self.item(folder)
            .folder()?
            .children
            .get(&names::collision_key(name))
            .copied()
    }

    /// Follows names down from `from`.
    pub fn walk<'a>(&self, from: Index, path: impl IntoIterator<Item = &'a str>) -> Option<Index> {
        path.into_iter()
            .try_fold(from, |at, name| self.child(at, name))
    }

    /// The item and all above it, root last.
    pub fn lineage(&self, index: Index) -> Vec<Index> {
        let mut out = vec![index];
        let mut at = index;
        while at != ROOT {
            at = self.item(at).parent;
            out.push(at);
        }
        out
    }

    /// Names from below the root to the item itself; empty for the root.
    pub fn path(&self, index: Index) -> Vec<&str> {
        let mut lineage = self.lineage(index);
        lineage.pop();
        lineage
            .iter()
            .rev()
            .map(|&i| self.item(i).name.as_str())
            .collect()
    }

    /// Up to `limit` children whose key is after `after` (before it when descending).
    pub fn children(
        &self,
        folder: Index,
        after: Option<&str>,
        descending: bool,
        limit: usize,
    ) -> Vec<(&str, Index)> {
        let Some(folder) = self.item(folder).folder() else {
            return Vec::new();
        };
        if descending {
            let to = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = folder.children.range::<str, _>((Bound::Unbounded, to));
            range
                .rev()
                .take(limit)
                .map(|(k, i)| (k.as_str(), *i))
                .collect()
        } else {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = folder.children.range::<str, _>((from, Bound::Unbounded));
            range.take(limit).map(|(k, i)| (k.as_str(), *i)).collect()
        }
    }

    /// Checks the name and finds out where an item called so goes in a folder. `moving`: the item that
    /// is to get the name, which does not collide with itself.
    pub fn place(
        &self,
        folder: Index,
        name: &str,
        is_folder: bool,
        conflict: Conflict,
        moving: Option<Index>,
    ) -> Result<Place, Failure> {
        if self.item(folder).folder().is_none() {
            return Err(Failure::invalid("The parent is not a folder."));
        }
        names::check(name, is_folder, folder == ROOT).map_err(Failure::bad_name)?;
        let above: usize = self
            .path(folder)
            .iter()
            .map(|n| n.chars().count() + 1)
            .sum();
        if above + name.chars().count() > names::MAX_PATH {
            return Err(Failure::path_too_long());
        }
        let Some(existing) = self.child(folder, name).filter(|&i| Some(i) != moving) else {
            return Ok(Place::New(name.to_owned()));
        };
        match conflict {
            Conflict::Fail => Err(Failure::name_exists()),
            Conflict::Replace => match (&self.item(existing).kind, is_folder) {
                (Kind::File(_), false) => Ok(Place::Existing(existing)),
                (Kind::Folder(folder), true) if !folder.notebook => Ok(Place::Existing(existing)),
                _ => Err(Failure::name_exists()),
            },
            Conflict::Rename => (1..10_000)
                .map(|n| names::numbered_name(name, is_folder, n))
                .find(|name| self.child(folder, name).is_none())
                .map(Place::New)
                .ok_or_else(Failure::name_exists),
        }
    }

    /// Refuses what would not fit.
    pub fn check_quota(&self, more: u64, instead_of: u64) -> Result<(), Failure> {
        let after = self.used().saturating_sub(instead_of).saturating_add(more);
        if after > self.quota {
            Err(Failure::quota())
        } else {
            Ok(())
        }
    }

    pub fn add_folder(
        &mut self,
        parent: Index,
        name: String,
        times: Times,
        stamp: &Stamp,
    ) -> Index {
        self.push(parent, name, Kind::Folder(Folder::default()), times, stamp)
    }

    pub fn add_file(
        &mut self,
        parent: Index,
        name: String,
        content: Content,
        times: Times,
        stamp: &Stamp,
    ) -> Index {
        self.push(
            parent,
            name,
            Kind::File(FileState::new(content)),
            times,
            stamp,
        )
    }

    pub fn add_remote(
        &mut self,
        parent: Index,
        name: String,
        remote: Remote,
        stamp: &Stamp,
    ) -> Index {
        self.push(parent, name, Kind::Remote(remote), Times::default(), stamp)
    }

    /// A new version of a file.
    pub fn replace(&mut self, index: Index, content: Content, times: Times, stamp: &Stamp) {
        let before = self.item(index).size();
        let after = content.len();
        self.new_version(index, content);
        let item = self.item_mut(index);
        item.ctag += 1;
        item.malware = false;
        self.resize_above(index, before, after);
        self.restamp(index, times, stamp, true);
    }

    /// Sets times; on a file that makes a version with the same content.
    pub fn set_times(&mut self, index: Index, times: Times, stamp: &Stamp) {
        if let Some(content) = self.item(index).file().map(|f| f.content.clone()) {
            self.new_version(index, content);
        }
        self.restamp(index, times, stamp, false);
    }

    /// Renames and moves. The caller has checked the name, and that `parent` is not below the item.
    pub fn relocate(&mut self, index: Index, parent: Index, name: String, stamp: &Stamp) {
        let old_parent = self.item(index).parent;
        let size = self.item(index).size();
        let old_key = names::collision_key(&self.item(index).name);
        self.resize(old_parent, size, 0);
        if let Kind::Folder(folder) = &mut self.item_mut(old_parent).kind {
            folder.children.remove(&old_key);
        }
        let key = names::collision_key(&name);
        if let Kind::Folder(folder) = &mut self.item_mut(parent).kind {
            folder.children.insert(key, index);
        }
        self.resize(parent, 0, size);
        let item = self.item_mut(index);
        item.parent = parent;
        item.name = name;
        item.etag += 1;
        item.modified_by = stamp.by.clone();
        self.changed(index, stamp.now);
    }

    /// Deletes an item and all below it; each of them becomes a tombstone.
    pub fn delete(&mut self, index: Index, keep_in_bin: bool, stamp: &Stamp) {
        let size = self.item(index).size();
        let parent = self.item(index).parent;
        let key = names::collision_key(&self.item(index).name);
        self.resize(parent, size, 0);
        if let Kind::Folder(folder) = &mut self.item_mut(parent).kind {
            folder.children.remove(&key);
        }
        let mut saved = Vec::new();
        let mut below = vec![index];
        while let Some(at) = below.pop() {
            let item = self.item_mut(at);
            item.deleted = true;
            let nothing = match &item.kind {
                Kind::Folder(_) => Kind::Folder(Folder::default()),
                Kind::File(_) => Kind::File(FileState::new(Content::empty())),
                Kind::Remote(remote) => Kind::Remote(remote.clone()),
            };
            let kind = std::mem::replace(&mut item.kind, nothing);
            let sharing = item.sharing.take();
            if let Kind::Folder(folder) = &kind {
                below.extend(folder.children.values());
            }
            if keep_in_bin {
                saved.push(Saved {
                    index: at,
                    kind,
                    sharing,
                });
            }
            self.changed(at, stamp.now);
        }
        if keep_in_bin {
            self.recycled = self.recycled.saturating_add(size);
            let id = u128::from_be_bytes(self.guids.bytes16());
            self.bin.push(Binned {
                id,
                index,
                at: stamp.now,
                by: stamp.by.clone(),
                size,
                saved,
            });
        }
    }

    /// Sets values of the library's columns; on a file that makes a version with the same content.
    pub fn set_fields(&mut self, index: Index, fields: Fields, stamp: &Stamp) {
        if let Some(content) = self.item(index).file().map(|f| f.content.clone()) {
            self.new_version(index, content);
        }
        let item = self.item_mut(index);
        item.fields = (!fields.is_empty()).then(|| Box::new(fields));
        item.modified = stamp.now;
        self.restamp(index, Times::default(), stamp, false);
    }

    /// When anything in the drive changed last, in seconds since 1970.
    pub fn changed_at(&self) -> i64 {
        self.log
            .last_key_value()
            .map_or(self.created, |(_, &i)| self.item(i).changed_at)
    }

    /// True for an item that is there or was.
    pub fn known(&self, index: Index) -> bool {
        (index as usize) < self.items.len()
    }

    /// Notes a change of something else than content, name and times.
    pub fn changed_otherwise(&mut self, index: Index, now: i64) {
        self.item_mut(index).etag += 1;
        self.changed(index, now);
    }

    /// Notes a change of an item's permissions; its own times stay.
    pub fn shared_differently(&mut self, index: Index, now: i64) {
        self.item_mut(index).etag += 1;
        self.changed(index, now);
        let seq = self.seq;
        self.item_mut(index).sharing_seq = seq;
    }

    /// Items changed after `after`, in the order of their latest change.
    pub fn changes(&self, after: u64) -> impl Iterator<Item = Index> + '_ {
        self.log
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(_, &i)| i)
    }

    /// All living items.
    pub fn living(&self) -> impl Iterator<Item = Index> + '_ {
        (0..self.items.len() as Index).filter(|&i| !self.item(i).deleted)
    }

    /// Gives the item the drive's next change number.
    pub fn changed(&mut self, index: Index, now: i64) {
        self.seq += 1;
        let seq = self.seq;
        let item = self.item_mut(index);
        let before = std::mem::replace(&mut item.seq, seq);
        item.changed_at = now;
        self.log.remove(&before);
        self.log.insert(seq, index);
    }

    fn push(
        &mut self,
        parent: Index,
        name: String,
        kind: Kind,
        times: Times,
        stamp: &Stamp,
    ) -> Index {
        let index = self.items.len() as Index;
        let guid = u128::from_be_bytes(self.guids.bytes16());
        let modified = times.modified.unwrap_or(stamp.now);
        let key = names::collision_key(&name);
        self.items.push(Item {
            guid,
            name,
            parent,
            kind,
            created: times.created.unwrap_or(modified.min(stamp.now)),
            modified,
            created_by: stamp.by.clone(),
            modified_by: stamp.by.clone(),
            etag: 1,
            ctag: 1,
            malware: false,
            special: None,
            sharing: None,
            fields: None,
            deleted: false,
            seq: 0,
            sharing_seq: 0,
            changed_at: stamp.now,
        });
        self.by_guid.insert(guid, index);
        if index != ROOT {
            if let Kind::Folder(folder) = &mut self.item_mut(parent).kind {
                folder.children.insert(key, index);
            }
            let size = self.item(index).size();
            self.resize(parent, 0, size);
        }
        self.changed(index, stamp.now);
        index
    }

    fn new_version(&mut self, index: Index, content: Content) {
        let item = self.item(index);
        let (modified, modified_by) = (item.modified, item.modified_by.clone());
        let fields = item.fields.clone();
        if let Kind::File(file) = &mut self.item_mut(index).kind {
            let old = std::mem::replace(&mut file.content, content);
            file.older.push(Version {
                number: file.version,
                content: old,
                modified,
                modified_by,
                fields,
            });
            file.version += 1;
            // Libraries keep 500 major versions unless told otherwise.
            if file.older.len() > 499 {
                file.older.remove(0);
            }
        }
    }

    fn restamp(&mut self, index: Index, times: Times, stamp: &Stamp, content: bool) {
        let item = self.item_mut(index);
        if let Some(created) = times.created {
            item.created = created;
        }
        match times.modified {
            Some(modified) => item.modified = modified,
            None if content => item.modified = stamp.now,
            None => {}
        }
        item.modified_by = stamp.by.clone();
        item.etag += 1;
        self.changed(index, stamp.now);
    }

    fn resize_above(&mut self, index: Index, before: u64, after: u64) {
        let parent = self.item(index).parent;
        self.resize(parent, before, after);
    }

    /// Corrects the sizes of `folder` and all above it.
    pub(super) fn resize(&mut self, folder: Index, before: u64, after: u64) {
        let mut at = folder;
        loop {
            let item = self.item_mut(at);
            if let Kind::Folder(folder) = &mut item.kind {
                folder.size = folder.size.saturating_sub(before).saturating_add(after);
            }
            if at == ROOT {
                return;
            }
            at = item.parent;
        }
    }
}
