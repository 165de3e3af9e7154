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
use super::key::ItemKey;
use super::names;
use super::nodes::{NodeSink, Nodes};
use super::overlay::Overlay;
use std::collections::HashSet;

/// Folders are not put deeper than this below a root: no file system could show them, and every
/// move looks at all folders above its target.
const MAX_DEPTH: usize = 512;
/// How many unplaced items a round names.
const MAX_NAMED: usize = 1000;

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
    /// Files and folders in this folder, at any depth.
    Below(ItemKey),
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
    items: Overlay,
}

impl Editor {
    /// Goes on from `root`.
    pub fn new(nodes: &Nodes, root: CollectionRoot) -> Editor {
        Editor {
            items: Overlay::new(nodes, root),
        }
    }

    /// Edits that no checkpoint has written: what the editor's memory grows with, some 250 bytes each.
    pub fn pending(&self) -> usize {
        self.items.pending()
    }

    /// Writes all edits and returns the roots, from which another editor can go on, in the middle of a
    /// round too. What did not change keeps its root.
    pub fn checkpoint(&mut self, out: &mut dyn NodeSink) -> Result<CollectionRoot, TreeError> {
        self.items.checkpoint(out)
    }

    /// The item, placed or not; `None` if it was never described.
    pub fn get(&mut self, key: &ItemKey) -> Result<Option<Item>, TreeError> {
        let Some(place) = self.items.place(key)? else {
            return Ok(None);
        };
        let Place { parent, name, .. } = place;
        if place.detached {
            let detached = self
                .items
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
            .items
            .child(parent, &name)?
            .filter(|entry| entry.tag == key.tag())
        else {
            return Ok(None);
        };
        let path = self.items.path(parent, &name)?;
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
        if let Some(old) = self.items.place(&key)? {
            if !old.detached && old.parent == parent && old.name == name {
                let there = self.items.child(parent, &name)?;
                let kept = there.filter(|there| there.is_dir() && entry.is_dir());
                let kind = kept.map_or(entry.kind, |there| there.kind);
                if there == Some(Entry { kind, ..entry }) {
                    // A full enumeration tells mostly what is known: it must not fill the memory.
                    return Ok(());
                }
            }
            let taken = self.items.take(&key, &old)?;
            if let Some(taken) = taken.filter(Entry::is_dir) {
                match &mut entry.kind {
                    EntryKind::Dir { root } => *root = taken.dir_root(),
                    EntryKind::File { .. } => {
                        self.items.forget_below(key, &taken)?;
                    }
                }
            }
        }
        if !self.may_lie_in(&key, &entry, parent)? {
            return self.items.detach(key, Reason::Waiting, parent, name, entry);
        }
        if let Some(other) = self.items.child(parent, &name)?
            && let Some(other_key) = self.items.key_of(other.tag, parent, &name)?
        {
            self.items
                .detach(other_key, Reason::Waiting, parent, name.clone(), other)?;
        }
        self.items.put(key, parent, name, entry)
    }

    /// The item is gone, unless a later change of this round brings it back.
    pub fn remove(&mut self, key: ItemKey) -> Result<(), TreeError> {
        if key == ItemKey::ROOT {
            return Ok(());
        }
        let Some(place) = self.items.place(&key)? else {
            // Children of a removed folder may still be told of: they go with it.
            return self.items.detach(
                key,
                Reason::Removed,
                ItemKey::ROOT,
                String::new(),
                Entry::dir(None, 0),
            );
        };
        match self.items.take(&key, &place)? {
            Some(entry) => self
                .items
                .detach(key, Reason::Removed, place.parent, place.name, entry),
            None => self.items.set_place(key, None),
        }
    }

    /// The item is gone from this folder: nothing if it lies elsewhere by now. So a move that is told
    /// as a removal here and an arrival there is right in both orders.
    pub fn remove_from(&mut self, key: ItemKey, parent: ItemKey) -> Result<(), TreeError> {
        match self.items.place(&key)? {
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
        if let Scope::Below(folder) = scope {
            self.unseen_below(folder, &seen, &mut gone)?;
        } else if let Scope::FilesIn(folder) = scope {
            if folder != ItemKey::ROOT
                && !self.items.place(&folder)?.is_some_and(|place| place.is_dir)
            {
                return Ok(());
            }
            let mut files = Vec::new();
            self.items.visit_folder(folder, |name, entry| {
                if !entry.is_dir() {
                    files.push((entry.tag, Box::<str>::from(name)));
                }
                Ok(())
            })?;
            for (tag, name) in files {
                gone.extend(
                    self.items
                        .key_of(tag, folder, &name)?
                        .filter(|key| !seen(key)),
                );
            }
        } else {
            let looked_at = |place: &Place| scope == Scope::All || place.is_dir;
            let mut needed = HashSet::new();
            self.items.visit_places(|key, place| {
                if looked_at(place) && seen(key) {
                    needed.insert(place.parent);
                }
            })?;
            let mut todo: Vec<ItemKey> = needed.iter().filter(|key| !seen(key)).copied().collect();
            while let Some(key) = todo.pop() {
                if let Some(place) = self.items.place(&key)?
                    && needed.insert(place.parent)
                    && !seen(&place.parent)
                {
                    todo.push(place.parent);
                }
            }
            self.items.visit_places(|key, place| {
                if looked_at(place) && !seen(key) && !needed.contains(key) {
                    gone.push(*key);
                }
            })?;
        }
        gone.into_iter().try_for_each(|key| self.remove(key))
    }

    /// Collects what was not seen below a folder; true when something there was. Folders are not deeper
    /// than [`MAX_DEPTH`], so neither is this.
    fn unseen_below(
        &mut self,
        folder: ItemKey,
        seen: &impl Fn(&ItemKey) -> bool,
        gone: &mut Vec<ItemKey>,
    ) -> Result<bool, TreeError> {
        if folder != ItemKey::ROOT && !self.items.place(&folder)?.is_some_and(|place| place.is_dir)
        {
            return Ok(false);
        }
        let mut children = Vec::new();
        self.items.visit_folder(folder, |name, entry| {
            children.push((entry.tag, Box::<str>::from(name), entry.is_dir()));
            Ok(())
        })?;
        let mut any = false;
        for (tag, name, is_dir) in children {
            let Some(key) = self.items.key_of(tag, folder, &name)? else {
                continue;
            };
            let inside = is_dir && self.unseen_below(key, seen, gone)?;
            if inside || seen(&key) {
                any = true;
            } else {
                gone.push(key);
            }
        }
        Ok(any)
    }

    /// All changes of the round are in: places what waits, and drops what was removed with everything
    /// that is still in it.
    pub fn finish_round(&mut self) -> Result<Round, TreeError> {
        let mut round = Round::default();
        for key in self.items.detached_keys(Reason::Waiting)? {
            // Placing one only makes paths longer, so a second pass would place no more.
            self.settle(key)?;
        }
        for key in self.items.detached_keys(Reason::Removed)? {
            if let (Some(place), Some(detached)) =
                (self.items.place(&key)?, self.items.detached_item(&key)?)
            {
                round.removed += u64::from(!place.name.is_empty());
                round.removed += self.items.forget_below(key, &detached.entry)?;
            }
            self.items.drop_detached(key);
            self.items.set_place(key, None)?;
        }
        for key in self.items.detached_keys(Reason::Unknown)? {
            if self.items.is_empty_folder(key)? {
                self.items.forget_below(key, &Entry::dir(None, 0))?;
                self.items.drop_detached(key);
                self.items.set_place(key, None)?;
            }
        }
        for reason in [Reason::Waiting, Reason::Unknown] {
            for key in self.items.detached_keys(reason)? {
                round.unplaced += 1;
                if round.named.len() < MAX_NAMED {
                    let name = self
                        .items
                        .place(&key)?
                        .map(|place| place.name)
                        .unwrap_or_default();
                    round.named.push(Unplaced { key, name, reason });
                }
            }
        }
        Ok(round)
    }

    /// Whether `parent` can take the item; a parent nobody knows is made, detached.
    fn may_lie_in(
        &mut self,
        key: &ItemKey,
        entry: &Entry,
        parent: ItemKey,
    ) -> Result<bool, TreeError> {
        if parent != ItemKey::ROOT && parent != *key {
            match self.items.place(&parent)? {
                Some(place) if !place.is_dir => return Ok(false),
                Some(_) => {}
                None => {
                    let (nowhere, unnamed) = (ItemKey::ROOT, String::new());
                    self.items.detach(
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
            match self.items.placed(&at)? {
                Some((above, _)) => at = above,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Gives a waiting item its place, if there is one. Of two that want one name the smaller key
    /// gets it and the other one a suffix, whoever came first.
    fn settle(&mut self, key: ItemKey) -> Result<(), TreeError> {
        let (Some(place), Some(Detached { entry, .. })) =
            (self.items.place(&key)?, self.items.detached_item(&key)?)
        else {
            return Ok(());
        };
        let Place { parent, name, .. } = place;
        if !self.may_lie_in(&key, &entry, parent)? {
            return Ok(());
        }
        if let Some(other) = self.items.child(parent, &name)? {
            let other_key = self
                .items
                .key_of(other.tag, parent, &name)?
                .filter(|other_key| key < *other_key);
            let Some(free) = self.free_name(parent, &name, &other_key.unwrap_or(key))? else {
                return Ok(());
            };
            match other_key {
                Some(other_key) => self.items.put(other_key, parent, free, other)?,
                None => {
                    self.items.drop_detached(key);
                    return self.items.put(key, parent, free, entry);
                }
            }
        }
        self.items.drop_detached(key);
        self.items.put(key, parent, name, entry)
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
            if self.items.child(parent, &name)?.is_none() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}
