//! The read side: directories of a snapshot, paths, inode numbers.
//!
//! A [`Dir`] is a root and a handle, so it costs nothing to make one; what is decoded lives in the
//! cache of [`Nodes`]. A position in a directory is the number of names before it: it never changes,
//! as directories do not.

use super::entry::{Entry, EntryKind};
use super::map::{Map, MapRoot, Shape};
use super::nodes::Nodes;
use super::{TreeError, names};
use std::ops::ControlFlow;

/// A directory.
#[derive(Clone)]
pub struct Dir {
    map: Map,
}

pub(crate) fn name_of(key: &[u8]) -> Result<&str, TreeError> {
    let corrupt = |why| TreeError::Corrupt {
        what: "directory",
        why,
    };
    let name = std::str::from_utf8(key).map_err(|_| corrupt("a name is not UTF-8"))?;
    if !names::is_good(name) {
        return Err(corrupt("a name is not one that a file can have"));
    }
    Ok(name)
}

impl Dir {
    /// The directory at `root`.
    pub fn new(nodes: &Nodes, root: MapRoot) -> Dir {
        Dir {
            map: Map::new(nodes, root, Shape::Directory),
        }
    }

    /// Its root.
    pub fn root(&self) -> MapRoot {
        self.map.root()
    }

    /// Number of names.
    pub fn len(&self) -> Result<u64, TreeError> {
        self.map.len()
    }

    /// True without names.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The entry of a name.
    pub fn lookup(&self, name: &str) -> Result<Option<Entry>, TreeError> {
        let value = self.map.get(name.as_bytes())?;
        value.map(|value| Entry::decode(name, &value)).transpose()
    }

    /// How many names come before `name`.
    pub fn position(&self, name: &str) -> Result<u64, TreeError> {
        self.map.position(name.as_bytes())
    }

    /// At most `limit` names with their entries, from the `position`th on, in byte order.
    pub fn list(&self, position: u64, limit: usize) -> Result<Vec<(Box<str>, Entry)>, TreeError> {
        let left = self.len()?.saturating_sub(position);
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(limit);
        // The count is what the nodes say; memory is taken for what is there.
        let mut list = Vec::with_capacity(limit.min(1 << 16));
        if limit == 0 {
            return Ok(list);
        }
        self.visit(position, |name, entry| {
            list.push((name.into(), entry));
            if list.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(list)
    }

    /// Calls `visit` with each name and entry from the `position`th on until it breaks; nothing is
    /// allocated per entry.
    pub fn visit<F>(&self, position: u64, mut visit: F) -> Result<(), TreeError>
    where
        F: FnMut(&str, Entry) -> ControlFlow<()>,
    {
        let mut failed = None;
        self.map.visit_at(position, |key, value| {
            match name_of(key).and_then(|name| Ok((name, Entry::decode(name, value)?))) {
                Ok((name, entry)) => visit(name, entry),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// The folder that `entry` is; `None` for a file.
    pub fn enter(nodes: &Nodes, entry: &Entry) -> Option<Dir> {
        match entry.kind {
            EntryKind::Dir { root } => Some(Dir::new(nodes, root)),
            EntryKind::File { .. } => None,
        }
    }
}

/// The entry at a path of names with single slashes between them, none at the ends; the empty path
/// is the directory itself.
pub fn resolve(nodes: &Nodes, root: MapRoot, path: &str) -> Result<Option<Entry>, TreeError> {
    let mut entry = Entry::dir(root, 0);
    if path.is_empty() {
        return Ok(Some(entry));
    }
    for name in path.split('/') {
        let Some(dir) = Dir::enter(nodes, &entry) else {
            return Ok(None);
        };
        match dir.lookup(name)? {
            Some(found) => entry = found,
            None => return Ok(None),
        }
    }
    Ok(Some(entry))
}

/// Everything below a directory with its path: a folder before what is in it, names in byte order.
/// Reads ahead by one batch of names per level.
pub fn walk(nodes: &Nodes, root: MapRoot) -> Walk {
    Walk {
        nodes: nodes.clone(),
        path: String::new(),
        stack: vec![Level::new(nodes, root, 0)],
    }
}

const WALK_BATCH: usize = 256;

struct Level {
    dir: Dir,
    position: u64,
    batch: std::vec::IntoIter<(Box<str>, Entry)>,
    path_len: usize,
}

impl Level {
    fn new(nodes: &Nodes, root: MapRoot, path_len: usize) -> Level {
        Level {
            dir: Dir::new(nodes, root),
            position: 0,
            batch: Vec::new().into_iter(),
            path_len,
        }
    }

    fn next(&mut self) -> Result<Option<(Box<str>, Entry)>, TreeError> {
        if self.batch.len() == 0 {
            let batch = self.dir.list(self.position, WALK_BATCH)?;
            self.position += batch.len() as u64;
            self.batch = batch.into_iter();
        }
        Ok(self.batch.next())
    }
}

/// See [`walk`].
pub struct Walk {
    nodes: Nodes,
    path: String,
    stack: Vec<Level>,
}

impl Walk {
    /// Skips what is left of the folder that the last entry was, or lies in.
    pub fn skip_folder(&mut self) {
        self.stack.pop();
    }
}

impl Iterator for Walk {
    type Item = Result<(String, Entry), TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(level) = self.stack.last_mut() {
            self.path.truncate(level.path_len);
            match level.next() {
                Ok(Some((name, entry))) => {
                    if !self.path.is_empty() {
                        self.path.push('/');
                    }
                    self.path.push_str(&name);
                    if let EntryKind::Dir { root } = entry.kind {
                        self.stack
                            .push(Level::new(&self.nodes, root, self.path.len()));
                    }
                    return Some(Ok((self.path.clone(), entry)));
                }
                Ok(None) => {
                    self.stack.pop();
                }
                Err(error) => {
                    self.stack.pop();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// The inode number of a file: top bit set, then 63 bits of the hash of content, size and time. So
/// the same version of an item has the same number in every snapshot and after every start, and the
/// kernel keeps its pages once. `None` for a folder, whose number hangs on its place.
pub fn inode(entry: &Entry) -> Option<u64> {
    let (content, size) = entry.content()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(content.object.as_bytes());
    hasher.update(&[content.shape as u8]);
    hasher.update(&size.to_le_bytes());
    hasher.update(&entry.mtime.to_le_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    Some(u64::from_le_bytes(head) | 1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::ObjectId;
    use crate::repo::content::{self, ContentId};
    use crate::tree::testing::TestRepository;
    use std::time::Instant;

    fn file(n: u32) -> Entry {
        let hash = blake3::hash(&n.to_le_bytes());
        let object = ObjectId::from_slice(&hash.as_bytes()[..20]).unwrap();
        let content = ContentId {
            object,
            shape: content::Shape::Mail,
        };
        Entry::file(
            content,
            u64::from(n),
            1_795_000_000 - i64::from(n),
            Some(object),
        )
    }

    #[test]
    fn a_large_directory_is_listed_in_parts_and_quickly() {
        const COUNT: u32 = 100_000;
        let test = TestRepository::new();
        let nodes = Nodes::new(&test.repo);
        let mut stream = test.writer.stream();
        let name = |n: u32| format!("2026-11-20 {n:06} Quarterly numbers.eml");
        let edits = (0..COUNT).map(|n| (name(n).into_bytes(), Some(file(n).encode(&name(n)))));
        let map = Map::new(&nodes, None, Shape::Directory)
            .apply(&mut stream, edits)
            .unwrap();
        test.writer.flush().unwrap();
        println!("100,000 names take {} bytes", test.writer.bytes_written());

        let nodes = Nodes::new(&test.reopen());
        let dir = Dir::new(&nodes, map.root());
        assert_eq!(dir.len().unwrap(), u64::from(COUNT));
        for _ in 0..2 {
            let start = Instant::now();
            let mut n = 0u32;
            while u64::from(n) < dir.len().unwrap() {
                for (found, entry) in dir.list(u64::from(n), 1000).unwrap() {
                    assert_eq!(*found, *name(n));
                    assert_eq!(entry.mtime, file(n).mtime);
                    n += 1;
                }
            }
            assert_eq!(n, COUNT);
            println!("listing them took {:?}", start.elapsed());
        }
        assert_eq!(dir.lookup(&name(777)).unwrap(), Some(file(777)));
        assert_eq!(dir.lookup("none").unwrap(), None);
        assert_eq!(dir.position(&name(777)).unwrap(), 777);
        assert!(dir.list(u64::from(COUNT), 10).unwrap().is_empty());
        assert!(dir.list(u64::MAX, usize::MAX).unwrap().is_empty());
        let first = walk(&nodes, map.root()).next().unwrap().unwrap();
        assert_eq!(first, (name(0), file(0)));
    }

    #[test]
    fn an_inode_is_the_version_of_a_file() {
        let entry = file(1);
        let inode_of = |entry| inode(&entry).unwrap();
        assert_eq!(inode_of(entry) >> 63, 1);
        assert_eq!(
            inode_of(entry),
            inode_of(Entry {
                record: None,
                tag: 5,
                ..entry
            })
        );
        assert_ne!(inode_of(entry), inode_of(Entry { mtime: 0, ..entry }));
        assert_ne!(inode_of(entry), inode_of(file(2)));
        assert_eq!(inode(&Entry::dir(None, 0)), None);
    }
}
