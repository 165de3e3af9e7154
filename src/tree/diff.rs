//! What changed between two trees, at the cost of what changed.
//!
//! Equal directories are never opened. An item that is gone here and new there, by its tag, moved;
//! what is in a moved folder is compared with what was in it, so moving a folder is one change. This
//! works for items whose own entries changed place: one that was moved out of a deleted folder shows
//! as a part of that folder and as new.

use super::TreeError;
use super::entry::{Entry, EntryKind};
use super::key::Tag;
use super::map::{Map, MapRoot, Shape};
use super::mapdiff::MapDiff;
use super::nodes::Nodes;
use super::view::{Walk, name_of, walk};
use std::collections::HashMap;

/// Additions and removals that are kept to find moves; more of them show as what they are.
const MAX_HELD: usize = 200_000;

/// What happened to one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added(Entry),
    /// It is gone.
    Removed(Entry),
    /// Content, time, record or older versions are other ones. For a folder: its own, not what is in it.
    Modified {
        /// The older entry.
        old: Entry,
        /// The newer entry.
        new: Entry,
    },
    /// It was elsewhere. What changed in a moved folder besides is told on its own.
    Moved {
        /// The older path.
        from: String,
        /// The older entry.
        old: Entry,
        /// The newer entry.
        new: Entry,
    },
}

/// Changes between the directories at two roots: those in place and moves first, then what is gone and
/// what is new, each folder before everything in it.
pub fn diff(nodes: &Nodes, old: MapRoot, new: MapRoot) -> Result<Diff, TreeError> {
    let mut diff = Diff {
        nodes: nodes.clone(),
        comparing: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
        ready: Vec::new(),
        expanding: None,
    };
    diff.compare(String::new(), old, String::new(), new)?;
    Ok(diff)
}

/// A pair of directories that is being compared.
struct Pair {
    changes: MapDiff,
    old_path: String,
    new_path: String,
}

/// See [`diff`].
pub struct Diff {
    nodes: Nodes,
    comparing: Vec<Pair>,
    /// Not told yet: each may be half of a move.
    added: Vec<(String, Entry)>,
    removed: Vec<(String, Entry)>,
    /// To be told next, last first.
    ready: Vec<(String, Change)>,
    /// A folder that is told with everything in it.
    expanding: Option<(String, bool, Walk)>,
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

impl Diff {
    fn compare(
        &mut self,
        old_path: String,
        old: MapRoot,
        new_path: String,
        new: MapRoot,
    ) -> Result<(), TreeError> {
        if old != new {
            let old = Map::new(&self.nodes, old, Shape::Directory);
            let changes = old.diff(&Map::new(&self.nodes, new, Shape::Directory))?;
            self.comparing.push(Pair {
                changes,
                old_path,
                new_path,
            });
        }
        Ok(())
    }

    /// Takes one step of comparing; false when all is compared.
    fn step(&mut self) -> Result<bool, TreeError> {
        let Some(pair) = self.comparing.last_mut() else {
            return Ok(false);
        };
        let Some(change) = pair.changes.next().transpose()? else {
            self.comparing.pop();
            return Ok(true);
        };
        let name = name_of(&change.key)?;
        let decode = |value: bytes::Bytes| Entry::decode(name, &value);
        let old = change.old.map(decode).transpose()?;
        let new = change.new.map(decode).transpose()?;
        let (old_path, new_path) = (join(&pair.old_path, name), join(&pair.new_path, name));
        match (old, new) {
            (Some(old), Some(new)) if old.tag == new.tag && old.is_dir() == new.is_dir() => {
                self.same_item(old_path, old, new_path, new)?;
            }
            (old, new) => {
                self.removed.extend(old.map(|old| (old_path, old)));
                self.added.extend(new.map(|new| (new_path, new)));
            }
        }
        if self.added.len() + self.removed.len() > MAX_HELD {
            self.release();
        }
        Ok(true)
    }

    fn same_item(
        &mut self,
        old_path: String,
        old: Entry,
        new_path: String,
        new: Entry,
    ) -> Result<(), TreeError> {
        let (EntryKind::Dir { root: old_root }, EntryKind::Dir { root: new_root }) =
            (old.kind, new.kind)
        else {
            self.ready.push((new_path, Change::Modified { old, new }));
            return Ok(());
        };
        if (Entry {
            kind: new.kind,
            ..old
        }) != new
        {
            self.ready
                .push((new_path.clone(), Change::Modified { old, new }));
        }
        self.compare(old_path, old_root, new_path, new_root)
    }

    /// Pairs additions and removals of the same item; true when that opened folders to compare.
    fn find_moves(&mut self) -> Result<bool, TreeError> {
        let mut gone: HashMap<(Tag, bool), usize> = HashMap::new();
        for (index, (_, old)) in self
            .removed
            .iter()
            .enumerate()
            .filter(|(_, (_, old))| old.tag != 0)
        {
            gone.insert((old.tag, old.is_dir()), index);
        }
        let mut moved = Vec::new();
        for (path, new) in std::mem::take(&mut self.added) {
            match gone.remove(&(new.tag, new.is_dir())) {
                Some(index) => {
                    let (from, old) = self.removed[index].clone();
                    moved.push(index);
                    self.compare(from.clone(), old.dir_root(), path.clone(), new.dir_root())?;
                    self.ready.push((path, Change::Moved { from, old, new }));
                }
                None => self.added.push((path, new)),
            }
        }
        moved.sort_unstable_by(|a, b| b.cmp(a));
        for index in moved {
            self.removed.swap_remove(index);
        }
        Ok(!self.comparing.is_empty())
    }

    /// Lets all that is held be told.
    fn release(&mut self) {
        self.removed.sort_by(|a, b| b.0.cmp(&a.0));
        self.added.sort_by(|a, b| b.0.cmp(&a.0));
        let added = self
            .added
            .drain(..)
            .map(|(path, entry)| (path, Change::Added(entry)));
        let removed = self
            .removed
            .drain(..)
            .map(|(path, entry)| (path, Change::Removed(entry)));
        self.ready.extend(added.chain(removed));
    }

    fn advance(&mut self) -> Result<Option<(String, Change)>, TreeError> {
        loop {
            if let Some((folder, is_new, below)) = &mut self.expanding {
                if let Some(found) = below.next() {
                    let (path, entry) = found?;
                    let change = if *is_new {
                        Change::Added(entry)
                    } else {
                        Change::Removed(entry)
                    };
                    return Ok(Some((join(folder, &path), change)));
                }
                self.expanding = None;
            }
            if let Some((path, change)) = self.ready.pop() {
                if let Change::Added(entry) | Change::Removed(entry) = &change
                    && let Some(root) = entry.dir_root()
                {
                    let is_new = matches!(change, Change::Added(_));
                    self.expanding = Some((path.clone(), is_new, walk(&self.nodes, Some(root))));
                }
                return Ok(Some((path, change)));
            }
            if !self.step()? && !self.find_moves()? && self.ready.is_empty() {
                self.release();
                if self.ready.is_empty() {
                    return Ok(None);
                }
            }
        }
    }
}

impl Iterator for Diff {
    type Item = Result<(String, Change), TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let change = self.advance().transpose();
        if let Some(Err(_)) = change {
            self.comparing.clear();
            self.ready.clear();
            self.added.clear();
            self.removed.clear();
            self.expanding = None;
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::ObjectId;
    use crate::repo::content::{self, ContentId};
    use crate::tree::collection::CollectionRoot;
    use crate::tree::editor::Editor;
    use crate::tree::key::ItemKey;
    use crate::tree::testing::MemoryStore;

    fn key(n: u32) -> ItemKey {
        ItemKey::from_hash(blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    fn file(version: u8) -> Entry {
        let content = ContentId {
            object: ObjectId([version; 20]),
            shape: content::Shape::Chunk,
        };
        Entry::file(content, 1, 0, None)
    }

    #[test]
    fn every_kind_of_change_is_told_once_and_cheaply() {
        let mut store = MemoryStore::default();
        let nodes = store.nodes_with_cache(1 << 10);
        let mut editor = Editor::new(&nodes, CollectionRoot::default());
        let dirs = [
            (1, 0, "big"),
            (2, 0, "docs"),
            (3, 2, "old"),
            (4, 0, "gone"),
            (5, 4, "inner"),
        ];
        for (id, parent, name) in dirs {
            let parent = if parent == 0 {
                ItemKey::ROOT
            } else {
                key(parent)
            };
            editor.upsert_dir(key(id), parent, name, 1, None).unwrap();
        }
        for id in 1000..21_000 {
            editor
                .upsert_file(key(id), key(1), &format!("file {id}"), file(1))
                .unwrap();
        }
        for (id, parent, name) in [
            (10, 2, "a"),
            (11, 2, "b"),
            (12, 5, "x"),
            (13, 5, "y"),
            (14, 2, "swap"),
        ] {
            editor
                .upsert_file(key(id), key(parent), name, file(1))
                .unwrap();
        }
        let old = editor.checkpoint(&mut store).unwrap().dir;
        editor.upsert_dir(key(1), key(2), "large", 1, None).unwrap();
        editor
            .upsert_file(key(1500), key(1), "file 1500", file(2))
            .unwrap();
        editor.remove(key(1501)).unwrap();
        editor.upsert_file(key(10), key(3), "a2", file(1)).unwrap();
        editor
            .upsert_dir(key(2), ItemKey::ROOT, "docs", 9, None)
            .unwrap();
        editor.remove(key(4)).unwrap();
        editor.remove(key(14)).unwrap();
        editor
            .upsert_file(key(15), key(2), "swap", file(1))
            .unwrap();
        editor
            .upsert_dir(key(6), ItemKey::ROOT, "new", 1, None)
            .unwrap();
        editor.upsert_file(key(16), key(6), "n", file(3)).unwrap();
        editor.finish_round().unwrap();
        let new = editor.checkpoint(&mut store).unwrap().dir;
        store.counters();
        let mut told: Vec<String> = diff(&nodes, old, new)
            .unwrap()
            .map(|change| match change.unwrap() {
                (path, Change::Added(_)) => format!("+ {path}"),
                (path, Change::Removed(_)) => format!("- {path}"),
                (path, Change::Modified { .. }) => format!("M {path}"),
                (path, Change::Moved { from, .. }) => format!("{from} -> {path}"),
            })
            .collect();
        let reads = store.counters().reads;
        told.sort();
        let expected = [
            "+ docs/swap",
            "+ new",
            "+ new/n",
            "- big/file 1501",
            "- docs/swap",
            "- gone",
            "- gone/inner",
            "- gone/inner/x",
            "- gone/inner/y",
            "M docs",
            "M docs/large/file 1500",
            "big -> docs/large",
            "docs/a -> docs/old/a2",
        ];
        assert_eq!(told, expected);
        assert!(reads < 60, "{reads}");
        assert_eq!(diff(&nodes, new, new).unwrap().count(), 0);
    }
}
