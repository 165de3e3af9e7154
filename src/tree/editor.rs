//! Keeps a collection right while its items change in any order.
//!
//! Graph tells changes by item id, in no order that a tree could use: a child before its parent, a
//! deleted folder before the items that were moved out of it, two items that swap names, an item
//! twice. So every item that is known has a [`Place`] (wanted parent and name), and is physically in
//! one of two spots: in its parent's directory, or *detached*, for one of the [`Reason`]s. Invariants,
//! after each call:
//!
//! - a placed item is in the directory of its place's parent, under its place's name, with its tag;
//!   no other item is there, and a parent always exists and is a folder;
//! - directories form a forest whose roots are the collection's root and detached folders: no cycles;
//! - what is below a folder moves with it, placed or detached, at no cost.
//!
//! So a child that comes first lies in a detached folder of which nothing else is known; when the
//! parent comes, only that folder moves. A removed item is detached and can come back until the round
//! is finished, with its content, and so can everything moved out of it. An item whose name another
//! one takes, or whose parent lies within it, waits detached for its own change or the round's end.
//!
//! Edits are in memory until [`checkpoint`](Editor::checkpoint) writes them, bottom-up.

use super::TreeError;
use super::collection::{CollectionRoot, Detached, Place, Reason};
use super::entry::{Entry, EntryKind};
use super::key::{ItemKey, Tag, first_with};
use super::map::{Map, MapRoot, Shape};
use super::names;
use super::nodes::{NodeSink, Nodes};
use super::view::name_of;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Folders are not put deeper than this below a root: no file system could show them, and every
/// move looks at all folders above its target.
const MAX_DEPTH: usize = 512;
/// A path of a directory that exists is shorter than this, whatever was moved into what.
const MAX_CHAIN: usize = 1 << 20;
/// How many unplaced items a round names.
const MAX_NAMED: usize = 1000;

/// A directory with edits that are not written yet.
struct OpenDir {
    map: Map,
    edits: BTreeMap<String, Option<Entry>>,
}

impl OpenDir {
    fn new(nodes: &Nodes, root: MapRoot) -> OpenDir {
        OpenDir {
            map: Map::new(nodes, root, Shape::Directory),
            edits: BTreeMap::new(),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Entry>, TreeError> {
        if let Some(edit) = self.edits.get(name) {
            return Ok(*edit);
        }
        self.map
            .get(name.as_bytes())?
            .map(|value| Entry::decode(name, &value))
            .transpose()
    }

    /// Calls `visit` with every entry, in no special order.
    fn visit(
        &self,
        mut visit: impl FnMut(&str, &Entry) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        for entry in self.map.iter()? {
            let (key, value) = entry?;
            let name = name_of(&key)?;
            if !self.edits.contains_key(name) {
                visit(name, &Entry::decode(name, &value)?)?;
            }
        }
        self.edits
            .iter()
            .try_for_each(|(name, edit)| edit.iter().try_for_each(|entry| visit(name, entry)))
    }

    fn is_empty(&self) -> Result<bool, TreeError> {
        let mut some = false;
        if self.map.is_empty() && self.edits.values().all(Option::is_none) {
            return Ok(true);
        }
        // Only folders nobody knows are asked, and these are small or used.
        self.visit(|_, _| {
            some = true;
            Ok(())
        })?;
        Ok(!some)
    }
}

/// An item as the editor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its folder; [`ItemKey::ROOT`] for the collection's own.
    pub parent: ItemKey,
    /// Its name in that folder.
    pub name: String,
    /// Its path from the collection's root; `None` while the item or a folder above it is detached.
    pub path: Option<String>,
    /// Removed in this round: it can still come back, with this entry.
    pub removed: bool,
    /// Its entry. The `root` of a folder is the one last written.
    pub entry: Entry,
}

/// What [`Editor::retain`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// Folders, with everything in those that go.
    Folders,
    /// The files directly in this folder.
    FilesIn(ItemKey),
}

/// An item that has no place although the round is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// Which.
    pub key: ItemKey,
    /// Its name, empty for a folder nobody described.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

/// What the end of a round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Items that are gone, with all that were in removed folders.
    pub removed: u64,
    /// Items that are in no visible folder, not counting those below them; they stay known and are
    /// placed when a later change allows it.
    pub unplaced: u64,
    /// The first thousand of them.
    pub named: Vec<Unplaced>,
}

/// Edits one collection. After an error of any method the editor must be dropped; the last root
/// still holds.
pub struct Editor {
    nodes: Nodes,
    root: CollectionRoot,
    dirs: HashMap<ItemKey, OpenDir>,
    places: BTreeMap<ItemKey, Option<Place>>,
    detached: BTreeMap<ItemKey, Option<Detached>>,
}

impl Editor {
    /// Goes on from `root`.
    pub fn new(nodes: &Nodes, root: CollectionRoot) -> Editor {
        Editor {
            nodes: nodes.clone(),
            root,
            dirs: HashMap::new(),
            places: BTreeMap::new(),
            detached: BTreeMap::new(),
        }
    }

    /// Edits that no checkpoint has written: what the editor's memory grows with, some 250 bytes each.
    pub fn pending(&self) -> usize {
        self.places.len() + self.dirs.values().map(|dir| dir.edits.len()).sum::<usize>()
    }

    /// The item, placed or not; `None` if it was never described.
    pub fn get(&mut self, key: &ItemKey) -> Result<Option<Item>, TreeError> {
        let Some(place) = self.place(key)? else {
            return Ok(None);
        };
        let Place { parent, name, .. } = place;
        if place.detached {
            let detached = self
                .detached_item(key)?
                .filter(|detached| detached.reason != Reason::Unknown);
            return Ok(detached
                .filter(|_| !name.is_empty())
                .map(|Detached { reason, entry }| Item {
                    parent,
                    name,
                    path: None,
                    removed: reason == Reason::Removed,
                    entry,
                }));
        }
        let Some(entry) = self
            .child(parent, &name)?
            .filter(|entry| entry.tag == key.tag())
        else {
            return Ok(None);
        };
        let path = self.path(parent, &name)?;
        Ok(Some(Item {
            parent,
            name,
            path,
            removed: false,
            entry,
        }))
    }

    /// There is a folder with this key, parent, name and facts now. What is in it stays.
    pub fn upsert_dir(
        &mut self,
        key: ItemKey,
        parent: ItemKey,
        name: &str,
        mtime: i64,
        record: Option<crate::repo::ObjectId>,
    ) -> Result<(), TreeError> {
        self.upsert(
            key,
            parent,
            name,
            Entry {
                record,
                ..Entry::dir(None, mtime)
            },
        )
    }

    /// There is a file with this key, parent, name and entry now.
    pub fn upsert_file(
        &mut self,
        key: ItemKey,
        parent: ItemKey,
        name: &str,
        entry: Entry,
    ) -> Result<(), TreeError> {
        self.upsert(key, parent, name, entry)
    }

    fn upsert(
        &mut self,
        key: ItemKey,
        parent: ItemKey,
        name: &str,
        mut entry: Entry,
    ) -> Result<(), TreeError> {
        if key == ItemKey::ROOT {
            return Ok(());
        }
        let name = if names::is_good(name) {
            name.to_owned()
        } else {
            names::with_suffix(name, &key)
        };
        entry.tag = key.tag();
        if let Some(old) = self.place(&key)? {
            let taken = self.take(&key, &old)?;
            if let Some(taken) = taken.filter(Entry::is_dir) {
                match &mut entry.kind {
                    EntryKind::Dir { root } => *root = taken.dir_root(),
                    EntryKind::File { .. } => {
                        self.forget_below(key, &taken)?;
                    }
                }
            }
        }
        if !self.may_lie_in(&key, &entry, parent)? {
            return self.detach(key, Reason::Waiting, parent, name, entry);
        }
        if let Some(other) = self.child(parent, &name)?
            && let Some(other_key) = self.key_of(other.tag, parent, &name)?
        {
            self.detach(other_key, Reason::Waiting, parent, name.clone(), other)?;
        }
        self.put(key, parent, name, entry)
    }

    /// The item is gone, unless a later change of this round brings it back.
    pub fn remove(&mut self, key: ItemKey) -> Result<(), TreeError> {
        if key == ItemKey::ROOT {
            return Ok(());
        }
        let Some(place) = self.place(&key)? else {
            // Children of a removed folder may still be told of: they go with it.
            return self.detach(
                key,
                Reason::Removed,
                ItemKey::ROOT,
                String::new(),
                Entry::dir(None, 0),
            );
        };
        match self.take(&key, &place)? {
            Some(entry) => self.detach(key, Reason::Removed, place.parent, place.name, entry),
            None => self.set_place(key, None),
        }
    }

    /// The item is gone from this folder: nothing if it lies elsewhere by now. So a move that is told
    /// as a removal here and an arrival there is right in both orders.
    pub fn remove_from(&mut self, key: ItemKey, parent: ItemKey) -> Result<(), TreeError> {
        match self.place(&key)? {
            Some(place) if place.parent == parent => self.remove(key),
            _ => Ok(()),
        }
    }

    /// After a full enumeration: removes what it did not name, within `scope`. A folder stays while
    /// something that was seen lies in it.
    pub fn retain(
        &mut self,
        scope: Scope,
        seen: impl Fn(&ItemKey) -> bool,
    ) -> Result<(), TreeError> {
        let mut gone = Vec::new();
        if let Scope::FilesIn(folder) = scope {
            if folder != ItemKey::ROOT && !self.place(&folder)?.is_some_and(|place| place.is_dir) {
                return Ok(());
            }
            let mut files = Vec::new();
            self.open(folder)?.visit(|name, entry| {
                if !entry.is_dir() {
                    files.push((entry.tag, Box::<str>::from(name)));
                }
                Ok(())
            })?;
            for (tag, name) in files {
                gone.extend(self.key_of(tag, folder, &name)?.filter(|key| !seen(key)));
            }
        } else {
            let looked_at = |place: &Place| scope == Scope::All || place.is_dir;
            let mut needed = HashSet::new();
            self.visit_places(|key, place| {
                if looked_at(place) && seen(key) {
                    needed.insert(place.parent);
                }
            })?;
            let mut todo: Vec<ItemKey> = needed.iter().filter(|key| !seen(key)).copied().collect();
            while let Some(key) = todo.pop() {
                if let Some(place) = self.place(&key)?
                    && needed.insert(place.parent)
                    && !seen(&place.parent)
                {
                    todo.push(place.parent);
                }
            }
            self.visit_places(|key, place| {
                if looked_at(place) && !seen(key) && !needed.contains(key) {
                    gone.push(*key);
                }
            })?;
        }
        gone.into_iter().try_for_each(|key| self.remove(key))
    }

    /// All changes of the round are in: places what waits, and drops what was removed with everything
    /// that is still in it.
    pub fn finish_round(&mut self) -> Result<Round, TreeError> {
        let mut round = Round::default();
        for key in self.detached_keys(Reason::Waiting)? {
            // Placing one only makes paths longer, so a second pass would place no more.
            self.settle(key)?;
        }
        for key in self.detached_keys(Reason::Removed)? {
            if let (Some(place), Some(detached)) = (self.place(&key)?, self.detached_item(&key)?) {
                round.removed += u64::from(!place.name.is_empty());
                round.removed += self.forget_below(key, &detached.entry)?;
            }
            self.detached.insert(key, None);
            self.set_place(key, None)?;
        }
        for key in self.detached_keys(Reason::Unknown)? {
            if self.open(key)?.is_empty()? {
                self.dirs.remove(&key);
                self.detached.insert(key, None);
                self.set_place(key, None)?;
            }
        }
        for reason in [Reason::Waiting, Reason::Unknown] {
            for key in self.detached_keys(reason)? {
                round.unplaced += 1;
                if round.named.len() < MAX_NAMED {
                    let name = self
                        .place(&key)?
                        .map(|place| place.name)
                        .unwrap_or_default();
                    round.named.push(Unplaced { key, name, reason });
                }
            }
        }
        Ok(round)
    }

    /// Writes all edits and returns the roots, from which another editor can go on, in the middle of a
    /// round too. What did not change keeps its root.
    pub fn checkpoint(&mut self, out: &mut dyn NodeSink) -> Result<CollectionRoot, TreeError> {
        // Every directory with edits, and those above it, with the number of such children.
        let mut children: HashMap<ItemKey, usize> = HashMap::new();
        let edited = self.dirs.iter().filter(|(_, dir)| !dir.edits.is_empty());
        for mut key in edited.map(|(key, _)| *key).collect::<Vec<_>>() {
            if children.contains_key(&key) {
                continue;
            }
            children.insert(key, 0);
            while let Some((parent, _)) = self.placed(&key)? {
                self.open(parent)?;
                let known = children.contains_key(&parent);
                *children.entry(parent).or_default() += 1;
                if known {
                    break;
                }
                key = parent;
            }
        }
        let mut ready: Vec<ItemKey> = children
            .iter()
            .filter(|(_, n)| **n == 0)
            .map(|(key, _)| *key)
            .collect();
        // A fixed order: what is written together should be the same at every try.
        ready.sort_unstable();
        while let Some(key) = ready.pop() {
            let dir = self.open(key)?;
            let edits = std::mem::take(&mut dir.edits).into_iter();
            let edits = edits.map(|(name, entry)| {
                let value = entry.map(|entry| entry.encode(&name));
                (name.into_bytes(), value)
            });
            dir.map = dir.map.apply(out, edits)?;
            let root = dir.map.root();
            if let Some((parent, name)) = self.placed(&key)? {
                if let Some(entry) = self
                    .child(parent, &name)?
                    .filter(|entry| entry.dir_root() != root)
                {
                    let entry = Entry {
                        kind: EntryKind::Dir { root },
                        ..entry
                    };
                    self.open(parent)?.edits.insert(name, Some(entry));
                }
                if let Some(left) = children.get_mut(&parent) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(parent);
                    }
                }
            } else if key == ItemKey::ROOT {
                self.root.dir = root;
            } else if let Some(mut detached) = self.detached_item(&key)? {
                detached.entry.kind = EntryKind::Dir { root };
                self.detached.insert(key, Some(detached));
            }
        }
        self.dirs.clear();
        let places = std::mem::take(&mut self.places).into_iter();
        let places =
            places.map(|(key, place)| (key.0.to_vec(), place.map(|place| place.encode(&key))));
        self.root.ids = Map::new(&self.nodes, self.root.ids, Shape::Hashed)
            .apply(out, places)?
            .root();
        let detached = std::mem::take(&mut self.detached).into_iter();
        let detached = detached.map(|(key, item)| (key.0.to_vec(), item.map(|item| item.encode())));
        self.root.detached = Map::new(&self.nodes, self.root.detached, Shape::Hashed)
            .apply(out, detached)?
            .root();
        Ok(self.root)
    }

    fn place(&self, key: &ItemKey) -> Result<Option<Place>, TreeError> {
        if let Some(edit) = self.places.get(key) {
            return Ok(edit.clone());
        }
        let value = Map::new(&self.nodes, self.root.ids, Shape::Hashed).get(&key.0)?;
        value.map(|value| Place::decode(key, &value)).transpose()
    }

    fn set_place(&mut self, key: ItemKey, place: Option<Place>) -> Result<(), TreeError> {
        if self.place(&key)? != place {
            self.places.insert(key, place);
        }
        Ok(())
    }

    fn detached_item(&self, key: &ItemKey) -> Result<Option<Detached>, TreeError> {
        if let Some(edit) = self.detached.get(key) {
            return Ok(*edit);
        }
        let value = Map::new(&self.nodes, self.root.detached, Shape::Hashed).get(&key.0)?;
        value.map(|value| Detached::decode(&value)).transpose()
    }

    /// Parent and name of an item that is in a directory.
    fn placed(&self, key: &ItemKey) -> Result<Option<(ItemKey, String)>, TreeError> {
        Ok(self
            .place(key)?
            .filter(|place| !place.detached)
            .map(|place| (place.parent, place.name)))
    }

    /// The directory of a folder that is known, read from where the folder is.
    fn open(&mut self, key: ItemKey) -> Result<&mut OpenDir, TreeError> {
        let corrupt = |why| TreeError::Corrupt {
            what: "collection",
            why,
        };
        let mut below = Vec::new();
        let mut at = key;
        while !self.dirs.contains_key(&at) {
            let root = if at == ItemKey::ROOT {
                self.root.dir
            } else if let Some((parent, name)) = self.placed(&at)? {
                below.push((at, name));
                at = parent;
                if below.len() > MAX_CHAIN {
                    return Err(corrupt("a folder lies in itself"));
                }
                continue;
            } else {
                self.detached_item(&at)?
                    .ok_or_else(|| corrupt("a folder is nowhere"))?
                    .entry
                    .dir_root()
            };
            self.dirs.insert(at, OpenDir::new(&self.nodes, root));
        }
        for (child, name) in below.into_iter().rev() {
            let entry = self
                .child_of_open(at, &name)?
                .filter(|entry| entry.tag == child.tag());
            let entry = entry.ok_or_else(|| corrupt("a folder is not where it should be"))?;
            self.dirs
                .insert(child, OpenDir::new(&self.nodes, entry.dir_root()));
            at = child;
        }
        self.dirs
            .get_mut(&key)
            .ok_or_else(|| corrupt("a folder is nowhere"))
    }

    fn child_of_open(&self, folder: ItemKey, name: &str) -> Result<Option<Entry>, TreeError> {
        self.dirs.get(&folder).map_or(Ok(None), |dir| dir.get(name))
    }

    fn child(&mut self, folder: ItemKey, name: &str) -> Result<Option<Entry>, TreeError> {
        self.open(folder)?.get(name)
    }

    /// The key of the item that is placed here and has this tag.
    fn key_of(&self, tag: Tag, parent: ItemKey, name: &str) -> Result<Option<ItemKey>, TreeError> {
        let first = first_with(tag);
        let edited = self
            .places
            .range(first..)
            .map(|(key, _)| *key)
            .take_while(|key| key.tag() == tag);
        let mut candidates: Vec<ItemKey> = edited.collect();
        for entry in Map::new(&self.nodes, self.root.ids, Shape::Hashed).iter_from(&first.0)? {
            let key = read_key(&entry?.0)?;
            if key.tag() != tag {
                break;
            }
            candidates.push(key);
        }
        for key in candidates {
            if self
                .place(&key)?
                .is_some_and(|p| !p.detached && p.parent == parent && p.name == name)
            {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Takes an item out of where it is and returns its entry.
    fn take(&mut self, key: &ItemKey, place: &Place) -> Result<Option<Entry>, TreeError> {
        if place.detached {
            let detached = self.detached_item(key)?;
            self.detached.insert(*key, None);
            return Ok(detached.map(|detached| detached.entry));
        }
        let entry = self
            .child(place.parent, &place.name)?
            .filter(|entry| entry.tag == key.tag());
        if entry.is_some() {
            self.open(place.parent)?
                .edits
                .insert(place.name.clone(), None);
        }
        Ok(entry)
    }

    fn put(
        &mut self,
        key: ItemKey,
        parent: ItemKey,
        name: String,
        entry: Entry,
    ) -> Result<(), TreeError> {
        self.open(parent)?.edits.insert(name.clone(), Some(entry));
        self.set_place(
            key,
            Some(Place {
                parent,
                name,
                is_dir: entry.is_dir(),
                detached: false,
            }),
        )
    }

    fn detach(
        &mut self,
        key: ItemKey,
        reason: Reason,
        parent: ItemKey,
        name: String,
        mut entry: Entry,
    ) -> Result<(), TreeError> {
        entry.tag = key.tag();
        if let Some(place) = self.place(&key)?.filter(|place| !place.detached) {
            self.take(&key, &place)?;
        }
        self.detached.insert(key, Some(Detached { reason, entry }));
        self.set_place(
            key,
            Some(Place {
                parent,
                name,
                is_dir: entry.is_dir(),
                detached: true,
            }),
        )
    }

    /// Whether `parent` can take the item; a parent nobody knows is made, detached.
    fn may_lie_in(
        &mut self,
        key: &ItemKey,
        entry: &Entry,
        parent: ItemKey,
    ) -> Result<bool, TreeError> {
        if parent != ItemKey::ROOT && parent != *key {
            match self.place(&parent)? {
                Some(place) if !place.is_dir => return Ok(false),
                Some(_) => {}
                None => {
                    let (nowhere, unnamed) = (ItemKey::ROOT, String::new());
                    self.detach(
                        parent,
                        Reason::Unknown,
                        nowhere,
                        unnamed,
                        Entry::dir(None, 0),
                    )?;
                }
            }
        }
        if !entry.is_dir() {
            return Ok(parent != *key);
        }
        let mut at = parent;
        for _ in 0..MAX_DEPTH {
            if at == *key {
                return Ok(false);
            }
            match self.placed(&at)? {
                Some((above, _)) => at = above,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    fn path(&self, folder: ItemKey, name: &str) -> Result<Option<String>, TreeError> {
        let mut names = vec![name.to_owned()];
        let mut at = folder;
        while at != ItemKey::ROOT {
            match self.placed(&at)? {
                Some((parent, name)) if names.len() < MAX_CHAIN => {
                    names.push(name);
                    at = parent;
                }
                _ => return Ok(None),
            }
        }
        names.reverse();
        Ok(Some(names.join("/")))
    }

    /// Gives a waiting item its place, if there is one. Of two that want one name the smaller key
    /// gets it and the other one a suffix, whoever came first.
    fn settle(&mut self, key: ItemKey) -> Result<(), TreeError> {
        let (Some(place), Some(Detached { entry, .. })) =
            (self.place(&key)?, self.detached_item(&key)?)
        else {
            return Ok(());
        };
        let Place { parent, name, .. } = place;
        if !self.may_lie_in(&key, &entry, parent)? {
            return Ok(());
        }
        if let Some(other) = self.child(parent, &name)? {
            let other_key = self
                .key_of(other.tag, parent, &name)?
                .filter(|other_key| key < *other_key);
            let Some(free) = self.free_name(parent, &name, &other_key.unwrap_or(key))? else {
                return Ok(());
            };
            match other_key {
                Some(other_key) => self.put(other_key, parent, free, other)?,
                None => {
                    self.detached.insert(key, None);
                    return self.put(key, parent, free, entry);
                }
            }
        }
        self.detached.insert(key, None);
        self.put(key, parent, name, entry)
    }

    fn free_name(
        &mut self,
        parent: ItemKey,
        name: &str,
        key: &ItemKey,
    ) -> Result<Option<String>, TreeError> {
        let mut name = name.to_owned();
        // Only names nobody made with `names` can be taken twice.
        for _ in 0..8 {
            name = names::with_suffix(&name, key);
            if self.child(parent, &name)?.is_none() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Forgets everything in a folder that has been taken out, and returns how many items that were.
    fn forget_below(&mut self, key: ItemKey, entry: &Entry) -> Result<u64, TreeError> {
        let mut count = 0;
        let mut folders = vec![(key, entry.dir_root())];
        while let Some((folder, root)) = folders.pop() {
            let dir = self
                .dirs
                .remove(&folder)
                .unwrap_or_else(|| OpenDir::new(&self.nodes, root));
            let mut found = Vec::new();
            dir.visit(|name, entry| {
                if let Some(key) = self.key_of(entry.tag, folder, name)? {
                    found.push(key);
                    if entry.is_dir() {
                        folders.push((key, entry.dir_root()));
                    }
                }
                Ok(())
            })?;
            count += found.len() as u64;
            found
                .into_iter()
                .try_for_each(|key| self.set_place(key, None))?;
        }
        Ok(count)
    }

    fn detached_keys(&self, reason: Reason) -> Result<Vec<ItemKey>, TreeError> {
        let mut keys = Vec::new();
        for entry in Map::new(&self.nodes, self.root.detached, Shape::Hashed).iter()? {
            let (key, value) = entry?;
            let key = read_key(&key)?;
            if !self.detached.contains_key(&key) && Detached::decode(&value)?.reason == reason {
                keys.push(key);
            }
        }
        let edited = self
            .detached
            .iter()
            .filter(|(_, item)| item.is_some_and(|item| item.reason == reason));
        keys.extend(edited.map(|(key, _)| *key));
        keys.sort_unstable();
        Ok(keys)
    }

    fn visit_places(&self, mut visit: impl FnMut(&ItemKey, &Place)) -> Result<(), TreeError> {
        for entry in Map::new(&self.nodes, self.root.ids, Shape::Hashed).iter()? {
            let (key, value) = entry?;
            let key = read_key(&key)?;
            if !self.places.contains_key(&key) {
                visit(&key, &Place::decode(&key, &value)?);
            }
        }
        for (key, place) in &self.places {
            place.iter().for_each(|place| visit(key, place));
        }
        Ok(())
    }
}

fn read_key(bytes: &[u8]) -> Result<ItemKey, TreeError> {
    let corrupt = |_| TreeError::Corrupt {
        what: "collection",
        why: "a key has the wrong length",
    };
    bytes.try_into().map(ItemKey).map_err(corrupt)
}
