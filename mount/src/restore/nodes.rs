//! The inodes of the writable session: numbers for paths, as long as the kernel holds them.

use std::collections::HashMap;
use std::sync::Arc;

use tenantfs::restore::TargetPath;

use super::backend::LiveItem;
use super::local::Local;

/// FUSE's number of the root.
pub const ROOT: u64 = 1;
/// The mountpoint of the snapshots.
pub const SNAPSHOTS: u64 = 2;
/// Numbers from here on are given out.
const FIRST: u64 = 16;

/// Files whose text is made when they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Text {
    Queue,
    Log,
    Requests,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Root,
    Snapshots,
    Text(Text),
    /// A place below `restore/`, or that folder itself.
    Place(TargetPath),
}

/// What is at a place.
#[derive(Debug, Clone)]
pub enum What {
    Folder { mtime: i64 },
    Live(LiveItem),
    Local(Arc<Local>),
    Other,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub key: Key,
    pub what: What,
    nlookup: u64,
}

#[derive(Debug)]
pub struct Nodes {
    by_number: HashMap<u64, Node>,
    by_key: HashMap<Key, u64>,
    next: u64,
}

impl Default for Nodes {
    fn default() -> Self {
        let mut nodes = Nodes {
            by_number: HashMap::new(),
            by_key: HashMap::new(),
            next: FIRST,
        };
        for (ino, key) in [(ROOT, Key::Root), (SNAPSHOTS, Key::Snapshots)] {
            nodes.by_number.insert(
                ino,
                Node {
                    key: key.clone(),
                    what: What::Other,
                    nlookup: 1,
                },
            );
            nodes.by_key.insert(key, ino);
        }
        nodes
    }
}

impl Nodes {
    /// The number of `key`, which is `what` now; counts one lookup.
    pub fn remember(&mut self, key: Key, what: What) -> u64 {
        let next = &mut self.next;
        let ino = *self.by_key.entry(key.clone()).or_insert_with(|| {
            *next += 1;
            *next - 1
        });
        let node = self.by_number.entry(ino).or_insert_with(|| Node {
            key,
            what: What::Other,
            nlookup: 0,
        });
        node.what = what;
        node.nlookup += 1;
        ino
    }

    pub fn get(&self, ino: u64) -> Option<&Node> {
        self.by_number.get(&ino)
    }

    pub fn set(&mut self, ino: u64, what: What) {
        if let Some(node) = self.by_number.get_mut(&ino) {
            node.what = what;
        }
    }

    /// The kernel's inode keeps its number under its new name; what had that name loses it.
    pub fn rename(&mut self, from: &Key, to: Key) {
        let Some(ino) = self.by_key.remove(from) else {
            return;
        };
        if let Some(node) = self.by_number.get_mut(&ino) {
            node.key = to.clone();
        }
        self.by_key.insert(to, ino);
    }

    /// The name is gone; the number lives on until it is forgotten.
    pub fn unlink(&mut self, key: &Key) {
        self.by_key.remove(key);
    }

    pub fn forget(&mut self, ino: u64, count: u64) {
        if ino < FIRST {
            return;
        }
        let Some(node) = self.by_number.get_mut(&ino) else {
            return;
        };
        node.nlookup = node.nlookup.saturating_sub(count);
        if node.nlookup == 0
            && let Some(node) = self.by_number.remove(&ino)
            && self.by_key.get(&node.key) == Some(&ino)
        {
            self.by_key.remove(&node.key);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_number.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Key {
        Key::Place(TargetPath::parse(path).unwrap())
    }

    #[test]
    fn numbers_live_as_long_as_the_kernel_holds_them() {
        let mut nodes = Nodes::default();
        let a = nodes.remember(place("a@x/Mail"), What::Folder { mtime: 1 });
        assert_eq!(
            nodes.remember(place("a@x/Mail"), What::Folder { mtime: 2 }),
            a
        );
        nodes.forget(a, 1);
        assert!(nodes.get(a).is_some());
        nodes.forget(a, 1);
        assert!(nodes.get(a).is_none());
        assert_ne!(nodes.remember(place("a@x/Mail"), What::Other), a);
        nodes.forget(ROOT, 100);
        assert!(nodes.get(ROOT).is_some());
        assert_eq!(nodes.len(), 3);
    }

    #[test]
    fn a_renamed_inode_keeps_its_number_and_frees_its_name() {
        let mut nodes = Nodes::default();
        let old = nodes.remember(place("a@x/Mail/old"), What::Other);
        let replaced = nodes.remember(place("a@x/Mail/new"), What::Other);
        nodes.rename(&place("a@x/Mail/old"), place("a@x/Mail/new"));
        assert_eq!(nodes.remember(place("a@x/Mail/new"), What::Other), old);
        assert_ne!(nodes.remember(place("a@x/Mail/old"), What::Other), old);
        nodes.forget(replaced, 1);
        assert_eq!(nodes.remember(place("a@x/Mail/new"), What::Other), old);
    }
}
