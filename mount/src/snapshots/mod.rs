//! The read-only tree of all snapshots, as plain methods: lookup, attributes, listing, reading.
//!
//! Invariants:
//! - Below a snapshot nothing ever changes, so whatever the kernel was told holds until unmount. A
//!   snapshot that accounts were taken out of (retention) is a new folder in the place of the old one.
//!   Only the root changes: [`SnapshotFs::refresh`] says which names the kernel must forget.
//! - What the kernel can ask about is in [`Inodes`]; everything else is read from the tree each
//!   time. Nothing here grows with the size of a snapshot.
//! - `.tenantfs` in a snapshot is found by name and never listed.

pub(crate) mod adapter;
mod catalog;
mod found;
mod inodes;
mod reading;
mod remember;
mod tree;
mod versions;
mod xattrs;

use std::ffi::OsStr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tenantfs::repo::Repository;

pub use catalog::{Catalog, Item};
pub use inodes::{Inodes, ROOT};

use crate::attr::{Attr, Kind, Owners, PUBLIC};
use crate::error::FsError;
use found::Found;
use inodes::{Dir, Node, View};
use reading::Reading;
use tree::Tree;

/// Name of the hidden folder in each snapshot.
const HIDDEN: &str = ".tenantfs";
const REPORT: &str = "report.json";
const GRAPH: &str = "graph";
const VERSIONS: &str = "versions";

/// Offsets 1 and 2 follow `.` and `..`; the entry at position p of a folder is followed by p + 3.
const DOTS: u64 = 2;

/// See the module's invariants.
pub struct SnapshotFs {
    repo: Repository,
    tree: Tree,
    catalog: RwLock<Arc<Catalog>>,
    /// Held during a refresh: of two, the later listing must win.
    refreshing: Mutex<()>,
    inodes: Mutex<Inodes>,
    owners: Owners,
    reading: Reading,
    /// Whether items' records are kept in mind, for xattrs.
    xattr: bool,
}

/// Takes one listed name: its attributes, the offset after it, and whether the kernel counts the
/// listing as a lookup. Returns true when there was no room for it.
pub type Emit<'a> = dyn FnMut(&Attr, u64, &str) -> bool + 'a;

impl SnapshotFs {
    /// Shows the snapshots that `repo` has now.
    pub fn new(repo: Repository, owners: Owners, xattr: bool) -> Result<Self, FsError> {
        let catalog = Catalog::new(repo.snapshots()?);
        let mut inodes = Inodes::default();
        let root = Dir {
            ino: ROOT,
            parent: ROOT,
            name: "".into(),
            view: View::Root,
            mtime: 0,
            owner: PUBLIC,
            record: None,
            snapshot: None,
        };
        inodes.remember(ROOT, || Node::Dir(Arc::new(root)));
        Ok(SnapshotFs {
            tree: Tree::new(&repo),
            reading: Reading::new(repo.clone()),
            repo,
            catalog: RwLock::new(Arc::new(catalog)),
            refreshing: Mutex::new(()),
            inodes: Mutex::new(inodes),
            owners,
            xattr,
        })
    }

    /// Looks at the repository again. Returns the names in the root that changed.
    pub fn refresh(&self) -> Result<Vec<String>, FsError> {
        let _one_at_a_time = self.refreshing.lock();
        let new = Arc::new(Catalog::new(self.repo.snapshots()?));
        let mut catalog = self.catalog.write();
        let changed = catalog.changed(&new);
        *catalog = new;
        Ok(changed)
    }

    /// The snapshots shown now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().clone()
    }

    /// Inodes that the kernel holds.
    pub fn known_inodes(&self) -> usize {
        self.inodes.lock().len()
    }

    /// The kernel gave back `count` references to `ino`.
    pub fn forget(&self, ino: u64, count: u64) {
        self.inodes.lock().forget(ino, count);
    }

    /// Finds `name` in a directory and counts a reference to what it is; `None` when there is none.
    pub fn lookup(&self, parent: u64, name: &OsStr) -> Result<Option<Attr>, FsError> {
        let dir = self.dir(parent)?;
        // Every name here is UTF-8.
        let Some(name) = name.to_str() else {
            return Ok(None);
        };
        let found = self
            .find(&dir, name)
            .inspect_err(|e| self.log(e, "lookup", &dir, name))?;
        Ok(found.map(|found| self.remember(&dir, name, found)))
    }

    pub fn getattr(&self, ino: u64) -> Result<Attr, FsError> {
        Ok(self.attr(ino, &self.node(ino)?))
    }

    pub fn readlink(&self, ino: u64) -> Result<Arc<str>, FsError> {
        match self.node(ino)? {
            Node::Link(link) => Ok(link.target),
            Node::Dir(_) | Node::File(_) => Err(FsError::NotSymlink),
        }
    }

    /// Bytes `offset..offset + size` of a file, fewer only at its end.
    pub fn read(&self, ino: u64, offset: u64, size: u32) -> Result<Bytes, FsError> {
        let Node::File(file) = self.node(ino)? else {
            return Err(FsError::IsDirectory);
        };
        self.reading.read(ino, &file, offset, size as usize).inspect_err(|e| {
            tracing::error!(ino = format!("{ino:#x}"), content = ?file.body, offset, "read failed: {e}");
        })
    }

    /// Lists a directory from `offset` on until `emit` has no room. Each name emitted, except `.`
    /// and `..`, counts a reference, as READDIRPLUS has it.
    pub fn readdir(&self, ino: u64, offset: u64, emit: &mut Emit<'_>) -> Result<(), FsError> {
        let dir = self.dir(ino)?;
        let dots = [(dir.ino, "."), (dir.parent, "..")];
        for (at, (ino, name)) in (0..)
            .zip(dots)
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        {
            let attr = Attr {
                ino,
                ..self.dir_attr(&dir)
            };
            if emit(&attr, at + 1, name) {
                return Ok(());
            }
        }
        let position = offset.saturating_sub(DOTS);
        self.list(&dir, position, &mut |after, name, found| {
            let attr = self.remember(&dir, name, found);
            let full = emit(&attr, after + DOTS, name);
            if full {
                self.forget(attr.ino, 1);
            }
            full
        })
        .inspect_err(|e| self.log(e, "readdir", &dir, ""))
    }

    /// Names of xattrs, each ended by NUL.
    pub fn xattr_names(&self, ino: u64) -> Result<Vec<u8>, FsError> {
        Ok(self
            .json(ino)?
            .map(|json| xattrs::names(&json))
            .unwrap_or_default())
    }

    /// Value of an xattr.
    pub fn xattr(&self, ino: u64, name: &OsStr) -> Result<Vec<u8>, FsError> {
        let name = name.to_str().ok_or(FsError::NoAttribute)?;
        let json = self.json(ino)?.ok_or(FsError::NoAttribute)?;
        xattrs::value(&json, name)
    }

    /// The record of what has this number.
    fn json(&self, ino: u64) -> Result<Option<Bytes>, FsError> {
        let record = self.inodes.lock().record(ino);
        Ok(record
            .map(|id| self.repo.get(tenantfs::repo::Kind::Record, &id))
            .transpose()?)
    }

    /// Totals for `statfs`: (bytes, files) of the newest snapshot.
    pub fn totals(&self) -> (u64, u64) {
        let catalog = self.catalog();
        let newest = catalog.snapshots().max_by_key(|s| s.manifest.time).cloned();
        newest.map_or((0, 0), |s| {
            (s.manifest.totals.bytes, s.manifest.totals.files)
        })
    }

    fn node(&self, ino: u64) -> Result<Node, FsError> {
        self.inodes.lock().get(ino).ok_or(FsError::Stale)
    }

    fn dir(&self, ino: u64) -> Result<Arc<Dir>, FsError> {
        match self.node(ino)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) | Node::Link(_) => Err(FsError::NotDirectory),
        }
    }

    fn attr(&self, ino: u64, node: &Node) -> Attr {
        let (kind, size, mtime, owner) = match node {
            Node::Dir(dir) => return self.dir_attr(dir),
            Node::File(file) => (Kind::File, file.size, file.mtime, file.owner),
            Node::Link(link) => (Kind::Link, link.target.len() as u64, link.mtime, PUBLIC),
        };
        let whose = self.owners.get(owner);
        Attr {
            ino,
            kind,
            size,
            mtime,
            mode: self.owners.mode(owner, kind),
            uid: whose.uid,
            gid: whose.gid,
        }
    }

    fn dir_attr(&self, dir: &Dir) -> Attr {
        let whose = self.owners.get(dir.owner);
        let mtime = if dir.ino == ROOT {
            self.catalog.read().newest
        } else {
            dir.mtime
        };
        let mode = self.owners.mode(dir.owner, Kind::Dir);
        Attr {
            ino: dir.ino,
            kind: Kind::Dir,
            size: 0,
            mtime,
            mode,
            uid: whose.uid,
            gid: whose.gid,
        }
    }

    fn log(&self, error: &FsError, operation: &str, dir: &Dir, name: &str) {
        tracing::error!(path = %self.path(dir, name), "{operation} failed: {error}");
    }

    /// Path below `snapshots/`, for messages.
    fn path(&self, dir: &Dir, name: &str) -> String {
        let mut parts = vec![name.to_owned(), dir.name.to_string()];
        let mut at = dir.parent;
        let inodes = self.inodes.lock();
        while at != ROOT
            && let Some(Node::Dir(dir)) = inodes.get(at)
        {
            parts.push(dir.name.to_string());
            at = dir.parent;
        }
        parts.reverse();
        parts.join("/")
    }
}
