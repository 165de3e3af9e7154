//! Making the index again from the packs' own footers.

use std::collections::{HashMap, HashSet};

use super::adopt::check_listing;
use super::error::{RepoError, Result};
use super::id::{PackClass, PackId};
use super::lock::MaintenanceLock;
use super::verify::DamagedFile;
use super::{Inner, Repository, index, inventory};

/// What a rebuild found.
#[derive(Clone, Debug, Default)]
pub struct RebuildReport {
    /// Packs in the new index.
    pub packs: u64,
    /// Objects in the new index.
    pub objects: u64,
    /// Packs and index files that could not be read. Packs whose footer is damaged stay in the
    /// index when the old index knew them.
    pub damaged: Vec<DamagedFile>,
}

impl Repository {
    /// Makes the index again from the packs alone, and the local copies and the inventory with it:
    /// index files that were lost are no longer missed. `progress` gets
    /// packs done and packs in all. Takes the maintenance lock; writers
    /// go on meanwhile. Interrupted, it leaves the old index.
    ///
    /// # Errors
    /// [`RepoError::ListingShrank`] when a readable index file names packs that are not there.
    pub fn rebuild_index(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<RebuildReport> {
        let lock = MaintenanceLock::acquire(&self.inner.backend)?;
        self.inner.sessions().sweep(&lock)?;
        self.inner.sessions().clear_staging()?;
        self.inner
            .remake_index(&lock, &Without::default(), progress)
    }
}

/// A pack in the old index.
struct Known<'a> {
    class: PackClass,
    size: u64,
    file: &'a str,
}

/// What a new index and inventory do not name.
#[derive(Default)]
pub(crate) struct Without {
    /// Packs, there or not.
    pub packs: HashSet<PackId>,
    /// Snapshots and dictionaries.
    pub files: inventory::Names,
}

impl Inner {
    /// Makes index files from the packs' footers, then the inventory, and deletes the index files there
    /// were.
    pub(crate) fn remake_index(
        &self,
        lock: &MaintenanceLock,
        without: &Without,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<RebuildReport> {
        let mut report = RebuildReport::default();
        // Read before the listing, so that what a writer adds meanwhile is in neither.
        let mut replaced = match self.read_inventory() {
            Ok(names) => names,
            Err(e @ (RepoError::Damaged { .. } | RepoError::FileMissing { .. })) => {
                report.damaged.push(DamagedFile::new(inventory::FILE, &e));
                self.new_inventory()?;
                inventory::Names::new()
            }
            Err(e) => return Err(e),
        };
        replaced.retain(|name| name.starts_with(index::FOLDER));
        // Where the old index has each pack. What it says of them would not fit in memory.
        let mut before: HashMap<PackId, Known<'_>> = HashMap::new();
        let old = self.backend.list(index::FOLDER)?;
        for info in &old {
            match self.index.read(&info.name) {
                Ok(tables) => before.extend(tables.iter().map(|table| {
                    let known = Known {
                        class: table.class,
                        size: table.size,
                        file: &info.name,
                    };
                    (table.id, known)
                })),
                Err(e @ RepoError::Damaged { .. }) => {
                    report.damaged.push(DamagedFile::new(&info.name, &e))
                }
                Err(e) => return Err(e),
            }
        }
        before.retain(|id, _| !without.packs.contains(id));
        let mut listed = self.listed_packs()?;
        listed.retain(|id, _| !without.packs.contains(id));
        let excused = self.excused_packs()?;
        let known: Vec<_> = before
            .iter()
            .filter(|(id, _)| !excused.contains(id))
            .map(|(id, known)| (known.class, *id, known.size))
            .collect();
        check_listing(&known, &listed)?;
        let mut fresh = Vec::new();
        let mut batch = Vec::new();
        let mut objects = 0;
        let total = listed.len() as u64;
        let mut packs: Vec<_> = listed.into_iter().collect();
        packs.sort_unstable();
        for (done, (id, (class, size))) in packs.into_iter().enumerate() {
            progress(done as u64, total);
            let table = match self.ends(class, id, size) {
                Ok(ends) => ends.table,
                Err(e @ RepoError::Damaged { .. }) => {
                    report.damaged.push(DamagedFile::new(&id.file(class), &e));
                    let known = before.get(&id).map(|known| self.index.read(known.file));
                    let tables = known.transpose()?.unwrap_or_default();
                    let Some(table) = tables.into_iter().find(|table| table.id == id) else {
                        continue;
                    };
                    table
                }
                Err(e) => return Err(e),
            };
            let count: usize = table.frames.iter().map(|frame| frame.objects.len()).sum();
            report.packs += 1;
            report.objects += count as u64;
            objects += count;
            batch.push(table);
            if objects >= index::OBJECTS_PER_FILE {
                fresh.push(self.index.store(&batch)?);
                batch.clear();
                objects = 0;
            }
        }
        if !batch.is_empty() {
            fresh.push(self.index.store(&batch)?);
        }
        replaced.extend(old.iter().map(|info| info.name.clone()));
        let added: Vec<_> = fresh.iter().map(|(named, _)| named.name.clone()).collect();
        let removed: Vec<_> = replaced.union(&without.files).cloned().collect();
        lock.check()?;
        self.change_inventory(lock, added, &removed)?;
        self.index
            .replace(fresh.into_iter().map(|(named, _)| named).collect());
        for info in &old {
            self.backend.delete(&info.name)?;
        }
        progress(total, total);
        Ok(report)
    }
}
