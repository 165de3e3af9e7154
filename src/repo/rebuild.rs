//! Making the index again from the packs' own footers.

use std::collections::HashMap;

use super::adopt::check_listing;
use super::error::{RepoError, Result};
use super::id::PackId;
use super::lock::MaintenanceLock;
use super::pack;
use super::table::PackTable;
use super::verify::DamagedFile;
use super::{Repository, index, inventory};

/// Objects in one index file: bounds the memory of making and merging it.
const OBJECTS_PER_FILE: usize = 1 << 20;

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
        let inner = &self.inner;
        let lock = MaintenanceLock::acquire(&inner.backend)?;
        inner.sessions().sweep(&lock)?;
        inner.sessions().clear_staging()?;
        let mut report = RebuildReport::default();
        // Read before the listing, so that what a writer adds meanwhile is in neither.
        let mut replaced = match inner.read_inventory() {
            Ok(names) => names,
            Err(e @ (RepoError::Damaged { .. } | RepoError::FileMissing { .. })) => {
                report.damaged.push(DamagedFile::new(inventory::FILE, &e));
                inner.new_inventory()?;
                inventory::Names::new()
            }
            Err(e) => return Err(e),
        };
        replaced.retain(|name| name.starts_with(index::FOLDER));
        let mut before: HashMap<PackId, PackTable> = HashMap::new();
        let old = inner.backend.list(index::FOLDER)?;
        for info in &old {
            match inner.index.read(&info.name) {
                Ok(tables) => before.extend(tables.into_iter().map(|table| (table.id, table))),
                Err(e @ RepoError::Damaged { .. }) => {
                    report.damaged.push(DamagedFile::new(&info.name, &e))
                }
                Err(e) => return Err(e),
            }
        }
        let listed = inner.listed_packs()?;
        let known: Vec<_> = before
            .values()
            .map(|table| (table.class, table.id, table.size))
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
            let table = match pack::read_footer(
                &inner.backend,
                &inner.master,
                &inner.config.id,
                class,
                id,
                size,
            ) {
                Ok(table) => table,
                Err(e @ RepoError::Damaged { .. }) => {
                    report.damaged.push(DamagedFile::new(&id.file(class), &e));
                    let Some(table) = before.remove(&id) else {
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
            if objects >= OBJECTS_PER_FILE {
                fresh.push(inner.index.store(&batch)?);
                batch.clear();
                objects = 0;
            }
        }
        if !batch.is_empty() {
            fresh.push(inner.index.store(&batch)?);
        }
        replaced.extend(old.iter().map(|info| info.name.clone()));
        let added: Vec<_> = fresh.iter().map(|(named, _)| named.name.clone()).collect();
        let replaced: Vec<_> = replaced.into_iter().collect();
        inner.change_inventory(&lock, added, &replaced)?;
        inner
            .index
            .replace(fresh.into_iter().map(|(named, _)| named).collect());
        for info in &old {
            inner.backend.delete(&info.name)?;
        }
        progress(total, total);
        Ok(report)
    }
}
