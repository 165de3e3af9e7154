//! A collection with edits in memory, until a checkpoint writes them bottom-up.
//!
//! Three layers of edits over the stored maps: places by key, detached items by key, and directories
//! by the key of their folder. A folder's directory is found by its key alone as soon as it is open,
//! so edits in it survive whatever happens to the folder or those above. The rules of what may be
//! where are the [`Editor`](super::editor::Editor)'s.

use super::TreeError;
use super::collection::{CollectionRoot, Detached, Place, Reason};
use super::entry::{Entry, EntryKind};
use super::key::{ItemKey, Tag, first_with};
use super::map::{Map, MapRoot, Shape};
use super::nodes::{NodeSink, Nodes};
use super::view::name_of;
use std::collections::{BTreeMap, HashMap};

/// A path of a directory that exists is shorter than this, whatever was moved into what.
const MAX_CHAIN: usize = 1 << 20;
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
        if self.map.len()? > self.edits.len() as u64 {
            return Ok(false);
        }
        let mut empty = true;
        self.visit(|_, _| {
            empty = false;
            Ok(())
        })?;
        Ok(empty)
    }
}

/// See the module.
pub(super) struct Overlay {
    nodes: Nodes,
    root: CollectionRoot,
    dirs: HashMap<ItemKey, OpenDir>,
    places: BTreeMap<ItemKey, Option<Place>>,
    detached: BTreeMap<ItemKey, Option<Detached>>,
}

impl Overlay {
    pub(super) fn new(nodes: &Nodes, root: CollectionRoot) -> Overlay {
        Overlay {
            nodes: nodes.clone(),
            root,
            dirs: HashMap::new(),
            places: BTreeMap::new(),
            detached: BTreeMap::new(),
        }
    }

    /// Number of edits in memory.
    pub(super) fn pending(&self) -> usize {
        self.places.len() + self.dirs.values().map(|dir| dir.edits.len()).sum::<usize>()
    }

    /// Writes all edits and returns the roots, from which another editor can go on, in the middle of a
    /// round too. What did not change keeps its root.
    pub(super) fn checkpoint(
        &mut self,
        out: &mut dyn NodeSink,
    ) -> Result<CollectionRoot, TreeError> {
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

    pub(super) fn place(&self, key: &ItemKey) -> Result<Option<Place>, TreeError> {
        if let Some(edit) = self.places.get(key) {
            return Ok(edit.clone());
        }
        let value = Map::new(&self.nodes, self.root.ids, Shape::Hashed).get(&key.0)?;
        value.map(|value| Place::decode(key, &value)).transpose()
    }

    pub(super) fn set_place(
        &mut self,
        key: ItemKey,
        place: Option<Place>,
    ) -> Result<(), TreeError> {
        if self.place(&key)? != place {
            self.places.insert(key, place);
        }
        Ok(())
    }

    pub(super) fn detached_item(&self, key: &ItemKey) -> Result<Option<Detached>, TreeError> {
        if let Some(edit) = self.detached.get(key) {
            return Ok(*edit);
        }
        let value = Map::new(&self.nodes, self.root.detached, Shape::Hashed).get(&key.0)?;
        value.map(|value| Detached::decode(&value)).transpose()
    }

    /// Parent and name of an item that is in a directory.
    pub(super) fn placed(&self, key: &ItemKey) -> Result<Option<(ItemKey, String)>, TreeError> {
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

    pub(super) fn child(
        &mut self,
        folder: ItemKey,
        name: &str,
    ) -> Result<Option<Entry>, TreeError> {
        self.open(folder)?.get(name)
    }

    /// The key of the item that is placed here and has this tag.
    pub(super) fn key_of(
        &self,
        tag: Tag,
        parent: ItemKey,
        name: &str,
    ) -> Result<Option<ItemKey>, TreeError> {
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
    pub(super) fn take(
        &mut self,
        key: &ItemKey,
        place: &Place,
    ) -> Result<Option<Entry>, TreeError> {
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

    pub(super) fn put(
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

    pub(super) fn detach(
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

    /// Calls `visit` with every entry of a folder, in no special order.
    pub(super) fn visit_folder(
        &mut self,
        folder: ItemKey,
        visit: impl FnMut(&str, &Entry) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        self.open(folder)?.visit(visit)
    }

    /// Whether nothing is in a folder.
    pub(super) fn is_empty_folder(&mut self, folder: ItemKey) -> Result<bool, TreeError> {
        self.open(folder)?.is_empty()
    }

    /// Takes a detached item out without a new place for it.
    pub(super) fn drop_detached(&mut self, key: ItemKey) {
        self.detached.insert(key, None);
    }

    pub(super) fn path(&self, folder: ItemKey, name: &str) -> Result<Option<String>, TreeError> {
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

    /// Forgets everything in a folder that has been taken out, and returns how many items that were.
    pub(super) fn forget_below(&mut self, key: ItemKey, entry: &Entry) -> Result<u64, TreeError> {
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

    pub(super) fn detached_keys(&self, reason: Reason) -> Result<Vec<ItemKey>, TreeError> {
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

    pub(super) fn visit_places(
        &self,
        mut visit: impl FnMut(&ItemKey, &Place),
    ) -> Result<(), TreeError> {
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
