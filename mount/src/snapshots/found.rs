//! What a folder holds: one name found, or all of them listed, before anything has an inode.

use tenantfs::repo::ObjectId;
use tenantfs::tree::MapRoot;
use tenantfs::tree::entry::{Entry, EntryKind};
use tenantfs::tree::records;

use super::inodes::{Dir, View};
use super::{GRAPH, HIDDEN, Item, REPORT, ROOT, SnapshotFs, VERSIONS, versions};
use crate::error::FsError;

/// What a name stands for, before it has an inode.
pub(super) enum Found {
    /// A snapshot, or a link to one.
    Item(Item),
    /// What a tree has.
    Entry(Entry),
    /// `.tenantfs`.
    Hidden,
    /// `.tenantfs/graph`.
    Records,
    /// `.tenantfs/versions`.
    Versions,
    /// Below [`VERSIONS`].
    VersionFolder { view: View, mtime: i64 },
    /// A folder below `.tenantfs/graph`.
    RecordFolder { root: MapRoot, mtime: i64 },
    /// A record or a report.
    Object {
        id: ObjectId,
        size: u64,
        mtime: i64,
        /// The entry that it is a record of.
        account: Option<String>,
    },
}

impl SnapshotFs {
    /// What a name in a folder stands for.
    pub(super) fn find(&self, dir: &Dir, name: &str) -> Result<Option<Found>, FsError> {
        match &dir.view {
            View::Root => Ok(self
                .catalog()
                .get(name)
                .map(|item| Found::Item(item.clone()))),
            View::Tree(_) if dir.parent == ROOT && name == HIDDEN => Ok(Some(Found::Hidden)),
            View::Tree(root) => Ok(self.tree.folder(*root).lookup(name)?.map(Found::Entry)),
            View::Hidden => match name {
                REPORT => self.report(dir),
                GRAPH => Ok(Some(Found::Records)),
                VERSIONS => Ok(Some(Found::Versions)),
                _ => Ok(None),
            },
            View::Versions(root) => {
                let entry = self.tree.folder(*root).lookup(name)?;
                Ok(entry.and_then(versions::of))
            }
            View::Versioned(root) => {
                let version = self.tree.folder(*root).lookup(name)?;
                Ok(version.map(|entry| versions::one(&dir.name, entry)))
            }
            View::Version(version) => {
                let (called, entry) = &**version;
                Ok((**called == *name).then_some(Found::Entry(*entry)))
            }
            View::Records(root) => {
                let folder = self.tree.folder(*root);
                if let Some(Entry {
                    kind: EntryKind::Dir { root },
                    mtime,
                    ..
                }) = folder.lookup(name)?
                {
                    return Ok(Some(Found::RecordFolder { root, mtime }));
                }
                let Some(owner) = records::entry_of(&folder, name)? else {
                    return Ok(None);
                };
                let entry = folder.lookup(&owner)?;
                entry.map_or(Ok(None), |entry| self.record(&owner, &entry))
            }
        }
    }

    /// Calls `each` with (position after the name, name, what it is) until it returns true.
    pub(super) fn list(
        &self,
        dir: &Dir,
        position: u64,
        each: &mut dyn FnMut(u64, &str, Found) -> bool,
    ) -> Result<(), FsError> {
        match &dir.view {
            View::Root => {
                let catalog = self.catalog();
                let from = usize::try_from(position).unwrap_or(usize::MAX);
                for (after, (name, item)) in (position + 1..).zip(catalog.listed_from(from)) {
                    if each(after, name, Found::Item(item.clone())) {
                        break;
                    }
                }
            }
            View::Tree(root) => {
                let folder = self.tree.folder(*root);
                folder.each_from(position, |at, name, entry| {
                    Ok(each(at + 1, name, Found::Entry(entry)))
                })?;
            }
            View::Hidden => {
                let names = [
                    (REPORT, self.report(dir)?),
                    (GRAPH, Some(Found::Records)),
                    (VERSIONS, Some(Found::Versions)),
                ];
                let from = usize::try_from(position).unwrap_or(usize::MAX);
                for (at, (name, found)) in (1..).zip(names).skip(from) {
                    if found.is_some_and(|found| each(at, name, found)) {
                        break;
                    }
                }
            }
            View::Versions(root) => {
                let folder = self.tree.folder(*root);
                folder.each_from(position, |at, name, entry| {
                    Ok(versions::of(entry).is_some_and(|found| each(at + 1, name, found)))
                })?;
            }
            View::Versioned(root) => {
                let folder = self.tree.folder(*root);
                folder.each_from(position, |at, name, entry| {
                    Ok(each(at + 1, name, versions::one(&dir.name, entry)))
                })?;
            }
            View::Version(version) => {
                let (name, entry) = &**version;
                if position == 0 {
                    each(1, name, Found::Entry(*entry));
                }
            }
            // Each entry has two places: its folder, then its record.
            View::Records(root) => {
                let folder = self.tree.folder(*root);
                folder.each_from(position / 2, |at, name, entry| {
                    if let EntryKind::Dir { root } = entry.kind
                        && position <= at * 2
                        && each(
                            at * 2 + 1,
                            name,
                            Found::RecordFolder {
                                root,
                                mtime: entry.mtime,
                            },
                        )
                    {
                        return Ok(true);
                    }
                    let Some(found) = self.record(name, &entry)? else {
                        return Ok(false);
                    };
                    let record = records::record_name(&folder, name)?;
                    Ok(each(at * 2 + 2, &record, found))
                })?;
            }
        }
        Ok(())
    }

    /// The report of a snapshot, in its hidden folder.
    fn report(&self, dir: &Dir) -> Result<Option<Found>, FsError> {
        let Some(snapshot) = &dir.snapshot else {
            return Ok(None);
        };
        let Some(report) = snapshot.manifest.report else {
            return Ok(None);
        };
        self.object(report, snapshot.manifest.time, None)
    }

    /// The record of an entry.
    fn record(&self, entry_name: &str, entry: &Entry) -> Result<Option<Found>, FsError> {
        entry.record.map_or(Ok(None), |record| {
            self.object(record, entry.mtime, Some(entry_name))
        })
    }

    fn object(
        &self,
        id: ObjectId,
        mtime: i64,
        account: Option<&str>,
    ) -> Result<Option<Found>, FsError> {
        let size = self.repo.size_of(&id)?;
        Ok(size.map(|size| Found::Object {
            id,
            size,
            mtime,
            account: account.map(str::to_owned),
        }))
    }
}
