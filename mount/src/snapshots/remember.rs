//! What was found gets an inode: the same number in every snapshot and after every mount, and an owner.

use std::sync::Arc;

use tenantfs::repo::{ObjectId, Snapshot};
use tenantfs::tree::entry::EntryKind;
use tenantfs::tree::view::inode;

use super::found::Found;
use super::inodes::{Body, Dir, File, Link, Node, View, object_number, path_number};
use super::{GRAPH, Item, ROOT, SnapshotFs, VERSIONS};
use crate::attr::Attr;

impl SnapshotFs {
    /// Gives what was found an inode and counts one reference to it.
    pub(super) fn remember(&self, dir: &Dir, name: &str, found: Found) -> Attr {
        let owner = self.owner_below(dir, name, &found);
        let record = match &found {
            Found::Entry(entry) if self.xattr => entry.record,
            _ => None,
        };
        let ino = match &found {
            Found::Item(Item::Snapshot(snapshot)) => snapshot_number(snapshot),
            _ => path_number(dir.ino, name),
        };
        let child = |view: View, mtime: i64, snapshot: Option<Arc<Snapshot>>| {
            Node::Dir(Arc::new(Dir {
                ino,
                parent: dir.ino,
                name: name.into(),
                view,
                mtime,
                owner,
                record,
                snapshot,
            }))
        };
        let node = match found {
            Found::Item(Item::Snapshot(snapshot)) => {
                let root = snapshot.manifest.tree;
                child(View::Tree(root), snapshot.manifest.time, Some(snapshot))
            }
            // A link's number follows its target: the kernel caches both together.
            Found::Item(Item::Link { target, time }) => {
                let ino = path_number(path_number(dir.ino, name), &target);
                let node = Node::Link(Link {
                    target: target.into(),
                    mtime: time,
                });
                let attr = self.attr(ino, &node);
                self.inodes.lock().remember(ino, || node);
                return attr;
            }
            Found::Entry(entry) => match entry.kind {
                EntryKind::Dir { root } => {
                    child(View::Tree(root), entry.mtime, dir.snapshot.clone())
                }
                EntryKind::File { content, size } => {
                    let file = File {
                        body: Body::Content(content),
                        size,
                        mtime: entry.mtime,
                        owner,
                    };
                    let number = inode(&entry)
                        .unwrap_or_else(|| object_number(&content.object, entry.mtime));
                    return self.remember_file(number, file, record);
                }
            },
            Found::RecordFolder { root, mtime } => {
                child(View::Records(root), mtime, dir.snapshot.clone())
            }
            Found::Object {
                id, size, mtime, ..
            } => {
                let file = File {
                    body: Body::Record(id),
                    size,
                    mtime,
                    owner,
                };
                return self.remember_file(object_number(&id, mtime), file, None);
            }
            Found::VersionFolder { view, mtime } => child(view, mtime, dir.snapshot.clone()),
            Found::Versions => {
                let root = dir.snapshot.as_ref().and_then(|s| s.manifest.tree);
                child(View::Versions(root), dir.mtime, dir.snapshot.clone())
            }
            Found::Hidden => child(View::Hidden, dir.mtime, dir.snapshot.clone()),
            Found::Records => {
                let root = dir.snapshot.as_ref().and_then(|s| s.manifest.tree);
                child(View::Records(root), dir.mtime, dir.snapshot.clone())
            }
        };
        let attr = self.attr(ino, &node);
        self.inodes.lock().remember(ino, || node);
        attr
    }

    fn remember_file(&self, wish: u64, file: File, record: Option<ObjectId>) -> Attr {
        let ino = self.inodes.lock().remember_file(wish, file, record);
        self.attr(ino, &Node::File(file))
    }

    /// Accounts are the names in a snapshot's own folder, and their records likewise.
    fn owner_below(&self, dir: &Dir, name: &str, found: &Found) -> u16 {
        let root = dir.snapshot.as_ref().and_then(|s| s.manifest.tree);
        let account = match (&dir.view, found) {
            (View::Tree(_), Found::Entry(_)) if dir.parent == ROOT => name,
            (
                View::Records(r),
                Found::Object {
                    account: Some(account),
                    ..
                },
            ) if *r == root && &*dir.name == GRAPH => account,
            (View::Records(r), Found::RecordFolder { .. }) if *r == root && &*dir.name == GRAPH => {
                name
            }
            (View::Versions(r), Found::VersionFolder { .. })
                if *r == root && &*dir.name == VERSIONS =>
            {
                name
            }
            (View::Hidden, Found::Object { .. }) => return self.owners.of_account(""),
            _ => return dir.owner,
        };
        self.owners.of_account(account)
    }
}

/// Number of a snapshot's folder. One that accounts were taken out of is another folder than before, and
/// so is all below it: what the kernel knows of the old one holds as long as somebody is in there.
fn snapshot_number(snapshot: &Snapshot) -> u64 {
    let number = path_number(ROOT, &snapshot.name);
    match snapshot.manifest.tree {
        Some(tree) if snapshot.manifest.forgotten > 0 => path_number(number, &tree.to_string()),
        _ => number,
    }
}
