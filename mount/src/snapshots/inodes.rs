//! The inodes that the kernel knows, and nothing else.
//!
//! Invariants:
//! - A **file**'s number is a function of its version (content, size, time), top bit set: the same
//!   in every snapshot and after a remount, so that the kernel keeps one copy of its pages. Two
//!   versions whose numbers clash get different ones: the later is salted.
//! - A **directory**'s number is a function of its snapshot and path, top bit clear: a directory
//!   may have one parent only.
//! - An inode is here while the kernel holds a reference (`nlookup`, FUSE's lookup count), so the
//!   table is as large as the kernel's own cache and shrinks with it. A walk over a million files
//!   puts a million entries here: one file is 56 bytes and an index slot of 5.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use tenantfs::repo::content::ContentId;
use tenantfs::repo::{ObjectId, Snapshot};
use tenantfs::tree::entry::Entry;
use tenantfs::tree::map::MapRoot;

/// FUSE's number of the root.
pub const ROOT: u64 = 1;

const FILE_BIT: u64 = 1 << 63;

/// Where the bytes of a file come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Content(ContentId),
    /// The JSON of an item, or a report: one record object.
    Record(ObjectId),
}

/// One version of one file. Equal versions are one inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    pub body: Body,
    pub size: u64,
    pub mtime: i64,
    pub owner: OwnerId,
}

/// Index into the table of owners; 0 is everyone who has no mapping.
pub type OwnerId = u16;

/// What a directory shows.
#[derive(Debug, Clone)]
pub enum View {
    Root,
    /// A folder of a snapshot's tree.
    Tree(MapRoot),
    /// `.tenantfs` of a snapshot.
    Hidden,
    /// A folder below `.tenantfs/graph`: the records of a tree folder's entries.
    Records(MapRoot),
    /// A folder below `.tenantfs/versions`: what of a tree folder has older versions.
    Versions(MapRoot),
    /// A file below `.tenantfs/versions`: a folder for each of its older versions.
    Versioned(MapRoot),
    /// One of these: the version alone, called as the file is.
    Version(Box<(Box<str>, Entry)>),
}

#[derive(Debug, Clone)]
pub struct Dir {
    pub ino: u64,
    pub parent: u64,
    /// The last part of its path, empty for the root. Versions are called as the folder of their file.
    pub name: Box<str>,
    pub view: View,
    pub mtime: i64,
    pub owner: OwnerId,
    /// Its item's JSON, for xattrs.
    pub record: Option<ObjectId>,
    /// The snapshot it is part of; `None` for the root.
    pub snapshot: Option<Arc<Snapshot>>,
}

#[derive(Debug, Clone)]
pub struct Link {
    pub target: Arc<str>,
    pub mtime: i64,
}

/// What an inode number stands for.
#[derive(Debug, Clone)]
pub enum Node {
    File(File),
    Dir(Arc<Dir>),
    Link(Link),
}

#[derive(Debug, Clone, Copy)]
struct FileSlot {
    ino: u64,
    file: File,
    /// Saturates: such an inode stays until unmount.
    nlookup: u32,
}

/// See the module's invariants.
#[derive(Debug, Default)]
pub struct Inodes {
    files: Vec<FileSlot>,
    /// Positions in `files`, by number.
    by_number: HashTable<u32>,
    others: HashMap<u64, (Node, u64)>,
    /// JSON of files' items. Empty unless xattrs are shown.
    records: HashMap<u64, ObjectId>,
}

/// Spreads a number that is already a hash, or that differs from one in a few bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Number of a name in a directory: a pure function of the path below the root.
pub fn path_number(parent: u64, name: &str) -> u64 {
    let mut hash = blake3::Hasher::new();
    hash.update(&parent.to_le_bytes());
    hash.update(name.as_bytes());
    let number = first8(&hash) & !FILE_BIT;
    // 0 means "no such entry" and 1 is the root.
    if number <= ROOT { number + 2 } else { number }
}

/// Number of a version that has no number of the tree's: a record or a report.
pub fn object_number(id: &ObjectId, mtime: i64) -> u64 {
    let mut hash = blake3::Hasher::new();
    hash.update(id.as_bytes());
    hash.update(&mtime.to_le_bytes());
    first8(&hash) | FILE_BIT
}

fn first8(hash: &blake3::Hasher) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    u64::from_le_bytes(out)
}

impl Inodes {
    /// The number under which the kernel gets to know `file`; counts one lookup.
    /// `wish` is its number as far as the version alone decides it. Where a `record` is shown as
    /// xattrs it is part of the version.
    pub fn remember_file(&mut self, wish: u64, file: File, record: Option<ObjectId>) -> u64 {
        // The owner is part of what the kernel caches with an inode, so it is part of the version.
        let wish = if file.owner == 0 {
            wish
        } else {
            mix(wish ^ u64::from(file.owner))
        };
        let wish = record.map_or(wish, |record| mix(wish ^ object_number(&record, 0)));
        let mut ino = wish | FILE_BIT;
        let mut salt = 0;
        loop {
            match self.position(ino) {
                None => break,
                Some(at) if self.files[at].file == file => {
                    self.files[at].nlookup = self.files[at].nlookup.saturating_add(1);
                    return ino;
                }
                Some(_) => {
                    salt += 1;
                    ino = mix(wish ^ mix(salt)) | FILE_BIT;
                }
            }
        }
        let at = self.files.len() as u32;
        self.files.push(FileSlot {
            ino,
            file,
            nlookup: 1,
        });
        let files = &self.files;
        self.by_number
            .insert_unique(mix(ino), at, |at| mix(files[*at as usize].ino));
        if let Some(record) = record {
            self.records.insert(ino, record);
        }
        ino
    }

    /// Makes a directory or link known under its number; counts one lookup.
    pub fn remember(&mut self, ino: u64, node: impl FnOnce() -> Node) {
        self.others.entry(ino).or_insert_with(|| (node(), 0)).1 += 1;
    }

    pub fn get(&self, ino: u64) -> Option<Node> {
        if ino & FILE_BIT != 0 {
            return self.position(ino).map(|at| Node::File(self.files[at].file));
        }
        self.others.get(&ino).map(|(node, _)| node.clone())
    }

    /// The JSON of an item, where it is kept in mind.
    pub fn record(&self, ino: u64) -> Option<ObjectId> {
        match self.others.get(&ino) {
            Some((Node::Dir(dir), _)) => dir.record,
            Some(_) => None,
            None => self.records.get(&ino).copied(),
        }
    }

    /// The kernel gave back `count` of its references.
    pub fn forget(&mut self, ino: u64, count: u64) {
        if ino & FILE_BIT == 0 {
            if let Some((_, nlookup)) = self.others.get_mut(&ino) {
                *nlookup = nlookup.saturating_sub(count);
                if *nlookup == 0 && ino != ROOT {
                    self.others.remove(&ino);
                }
            }
            return;
        }
        let Some(at) = self.position(ino) else { return };
        let slot = &mut self.files[at];
        if slot.nlookup == u32::MAX {
            return;
        }
        slot.nlookup = slot
            .nlookup
            .saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        if slot.nlookup == 0 {
            self.remove_at(at);
            self.records.remove(&ino);
        }
    }

    /// Files and others known, for the log and tests.
    pub fn len(&self) -> usize {
        self.files.len() + self.others.len()
    }

    fn position(&self, ino: u64) -> Option<usize> {
        let found = self
            .by_number
            .find(mix(ino), |at| self.files[*at as usize].ino == ino);
        found.map(|at| *at as usize)
    }

    /// The last slot moves into the hole, so the table stays dense and can give memory back.
    fn remove_at(&mut self, at: usize) {
        let last = self.files.len() - 1;
        let files = &self.files;
        if let Ok(entry) = self
            .by_number
            .find_entry(mix(files[at].ino), |i| *i as usize == at)
        {
            entry.remove();
        }
        if at != last
            && let Some(moved) = self
                .by_number
                .find_mut(mix(files[last].ino), |i| *i as usize == last)
        {
            *moved = at as u32;
        }
        self.files.swap_remove(at);
        if self.files.capacity() > 4096 && self.files.len() < self.files.capacity() / 4 {
            self.files.shrink_to(self.files.len() * 2);
            let files = &self.files;
            self.by_number
                .shrink_to(files.len() * 2, |at| mix(files[*at as usize].ino));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantfs::repo::content::Shape;

    fn file(n: u8) -> File {
        let content = ContentId {
            object: ObjectId([n; 20]),
            shape: Shape::Mail,
        };
        File {
            body: Body::Content(content),
            size: n.into(),
            mtime: 0,
            owner: 0,
        }
    }

    #[test]
    fn one_version_is_one_inode_and_lives_while_it_is_referenced() {
        let mut inodes = Inodes::default();
        let a = inodes.remember_file(7, file(1), None);
        assert_eq!(inodes.remember_file(7, file(1), None), a);
        assert_eq!(a, 7 | FILE_BIT);
        inodes.forget(a, 1);
        assert!(matches!(inodes.get(a), Some(Node::File(f)) if f == file(1)));
        inodes.forget(a, 1);
        assert!(inodes.get(a).is_none());
        inodes.forget(a, 1);
        assert_eq!(inodes.len(), 0);
    }

    #[test]
    fn clashing_versions_get_numbers_of_their_own() {
        let mut inodes = Inodes::default();
        let a = inodes.remember_file(7, file(1), None);
        let b = inodes.remember_file(7, file(2), None);
        assert_ne!(a, b);
        assert_eq!(inodes.remember_file(7, file(2), None), b);
        let other_owner = File {
            owner: 1,
            ..file(1)
        };
        assert_ne!(inodes.remember_file(7, other_owner, None), a);
    }

    #[test]
    fn forgetting_in_any_order_keeps_the_rest_and_gives_memory_back() {
        let mut inodes = Inodes::default();
        let numbers: Vec<u64> = (0..20_000_u64)
            .map(|i| {
                let mut f = file(1);
                f.size = i;
                inodes.remember_file(mix(i), f, None)
            })
            .collect();
        for ino in numbers
            .iter()
            .step_by(2)
            .chain(numbers.iter().skip(1).step_by(4))
        {
            inodes.forget(*ino, 1);
        }
        for (i, ino) in numbers.iter().enumerate() {
            let left = i % 4 == 3;
            assert_eq!(inodes.get(*ino).is_some(), left);
            assert!(!left || matches!(inodes.get(*ino), Some(Node::File(f)) if f.size == i as u64));
        }
        assert_eq!(inodes.len(), 5000);
        assert!(inodes.files.capacity() < 20_000);
    }

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<FileSlot>() <= 64, "{}", size_of::<FileSlot>());
    }

    #[test]
    fn numbers_of_paths_are_stable_and_not_reserved() {
        let a = path_number(ROOT, "2026-11-22T020000Z");
        assert_eq!(a, path_number(ROOT, "2026-11-22T020000Z"));
        assert_ne!(a, path_number(ROOT, "2026-11-23T020000Z"));
        assert!(a > ROOT && a & FILE_BIT == 0);
    }
}
