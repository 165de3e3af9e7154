//! The index: from object id to place in a pack.
//!
//! Immutable sealed files `index/<name>` in the repository, each the tables of some packs; beside
//! them, in the local state folder, decoded and sorted copies that are memory-mapped. Nothing of
//! the index is held in RAM, and opening costs one `mmap` per file. A pack is durable before an
//! index file names it. Files are merged when there are many; a merged file is durable before the
//! ones it replaces are deleted, so every listing at every moment names every pack.

mod file;

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

pub(crate) use file::{FramePlace, IndexFile, Place};

use super::backend::Backend;
use super::error::{RepoError, Result};
use super::id::{ObjectId, PackClass, PackId, hex};
use super::inventory::Names;
use super::key::{Keys, random};
use super::seal::{FileType, RepoId, open_file, seal_file};
use super::table::{self, PackTable};

/// Folder of index files.
pub(crate) const FOLDER: &str = "index";
/// More files than this are merged.
const MERGE_ABOVE: usize = 16;
/// Objects in one index file that is made anew: bounds the memory of making and merging it.
pub(crate) const OBJECTS_PER_FILE: usize = 1 << 20;
/// Sealed bytes up to which a file takes part in merging: bounds the memory and the cost of it.
const MERGE_LARGEST: u64 = 48 << 20;

/// All index files of a repository.
pub(crate) struct Index {
    backend: Arc<Backend>,
    keys: Keys,
    repo: RepoId,
    local: PathBuf,
    files: RwLock<Arc<Vec<Named>>>,
    /// One refresh at a time.
    refreshing: Mutex<()>,
}

#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    file: Arc<IndexFile>,
}

/// In the order in which they are asked: what is sought is most probably in the largest.
fn ordered(mut files: Vec<Named>) -> Arc<Vec<Named>> {
    files.sort_by_key(|named| std::cmp::Reverse(named.file.len()));
    Arc::new(files)
}

impl Index {
    pub(crate) fn new(backend: Arc<Backend>, keys: Keys, repo: RepoId, local: PathBuf) -> Self {
        Index {
            backend,
            keys,
            repo,
            local,
            files: RwLock::default(),
            refreshing: Mutex::default(),
        }
    }

    /// Takes in index files that appeared, drops those that were deleted on purpose (merged, most of the
    /// time by others). `inventory` tells, if it can be read, what must be there; a file that is named
    /// there and vanished was lost, and what is known of it stays in use. True when anything changed.
    pub(crate) fn refresh(&self, inventory: impl FnOnce() -> Option<Names>) -> Result<bool> {
        let _one = self.refreshing.lock();
        let copies = self.copies();
        let listed = self.backend.list(FOLDER)?;
        let old = self.files.read().clone();
        let is_listed = |name: &str| listed.iter().any(|info| info.name == name);
        let is_new = |name: &str| !old.iter().any(|file| file.name == name);
        let appeared = listed.iter().any(|info| is_new(&info.name));
        let vanished = old.iter().any(|file| !is_listed(&file.name));
        if !appeared && !vanished {
            return Ok(false);
        }
        let mut files = Vec::with_capacity(listed.len());
        for info in &listed {
            match old.iter().find(|file| file.name == info.name) {
                Some(known) => files.push(known.clone()),
                None => match self.load(&info.name) {
                    Ok(file) => files.push(Named {
                        name: info.name.clone(),
                        file: Arc::new(file),
                    }),
                    // Merged away between the listing and now: its successor was listed or comes next time.
                    Err(RepoError::FileMissing { .. }) => {}
                    // The rest stays usable, verify and rebuild-index among it; what is missed
                    // says so when it is asked for, and the next writer adopts its packs again.
                    Err(e @ RepoError::Damaged { .. }) => tracing::error!("{e}"),
                    Err(e) => return Err(e),
                },
            }
        }
        if vanished {
            // Read after the listing: a name is taken off before its file goes.
            let names = inventory();
            let gone = old.iter().filter(|file| !is_listed(&file.name));
            for file in gone {
                // Merging adds before it deletes, so without an inventory a listing that only shrank
                // is not believed.
                let lost = |names: &Names| names.contains(&file.name);
                if names.as_ref().map_or(!appeared, lost) {
                    tracing::warn!("{} vanished; what is known of it is kept", file.name);
                    files.push(file.clone());
                }
            }
        }
        // What this process made while this went on.
        let mut current = self.files.write();
        for file in current.iter().filter(|file| is_new(&file.name)) {
            if !files.iter().any(|known| known.name == file.name) {
                files.push(file.clone());
            }
        }
        *current = ordered(files);
        drop(current);
        self.remove_stale_copies(&copies, |name| is_listed(name));
        Ok(true)
    }

    /// Where an object is.
    pub(crate) fn find(&self, id: &ObjectId) -> Option<Place> {
        let files = self.files.read().clone();
        files.iter().find_map(|named| named.file.find(id))
    }

    /// Where an object is that is not only in these packs.
    pub(crate) fn find_outside(&self, id: &ObjectId, packs: &HashSet<PackId>) -> Option<Place> {
        if packs.is_empty() {
            return self.find(id);
        }
        let files = self.files.read().clone();
        let mut all = files.iter().flat_map(|named| named.file.find_all(id));
        let found = all.find(|(_, place)| !packs.contains(&place.frame.pack));
        found.map(|(_, place)| place)
    }

    /// All packs that any index file names, with their sizes; may name one twice.
    pub(crate) fn packs(&self) -> Vec<(PackClass, PackId, u64)> {
        let files = self.files.read().clone();
        files
            .iter()
            .flat_map(|named| named.file.packs().collect::<Vec<_>>())
            .collect()
    }

    /// All packs that any index file names, with the number of their master key and their size; may
    /// name one twice.
    pub(crate) fn sealed_packs(&self) -> Vec<(PackId, u8, u64)> {
        let files = self.files.read().clone();
        files
            .iter()
            .flat_map(|named| named.file.sealed_packs().collect::<Vec<_>>())
            .collect()
    }

    /// Number of entries over all files.
    pub(crate) fn len(&self) -> usize {
        self.files.read().iter().map(|named| named.file.len()).sum()
    }

    /// The mapped files, by name.
    pub(crate) fn files(&self) -> Vec<(String, Arc<IndexFile>)> {
        self.files
            .read()
            .iter()
            .map(|named| (named.name.clone(), named.file.clone()))
            .collect()
    }

    /// Makes an index file for durable packs, durably. Returns its name and bytes.
    pub(crate) fn add(&self, tables: &[PackTable]) -> Result<(String, u64)> {
        let (named, written) = self.store(tables)?;
        let name = named.name.clone();
        let mut files = self.files.write();
        let mut list = files.as_ref().clone();
        list.push(named);
        *files = ordered(list);
        Ok((name, written))
    }

    /// Knows these files from now on, and no others.
    pub(crate) fn replace(&self, files: Vec<Named>) {
        *self.files.write() = ordered(files);
    }

    /// Whether there are so many files that they should be merged.
    pub(crate) fn is_crowded(&self) -> bool {
        self.files.read().len() > MERGE_ABOVE
    }

    /// Merges small files when there are many. Needs the maintenance lock. `retire` gets the name of the
    /// new file and those of the replaced ones, before these are deleted. Returns bytes written.
    pub(crate) fn merge(
        &self,
        retire: impl FnOnce(String, &[String]) -> Result<u64>,
    ) -> Result<u64> {
        let mut candidates = self.backend.list(FOLDER)?;
        if candidates.len() <= MERGE_ABOVE {
            return Ok(0);
        }
        candidates.retain(|info| info.size <= MERGE_LARGEST);
        candidates.sort_by_key(|info| info.size);
        // From the smallest on, as long as the next is not much larger than all so far: each entry
        // is rewritten a logarithmic number of times, and small commits stay small.
        let mut sum = 0;
        let mut take = 0;
        for (i, info) in candidates.iter().enumerate() {
            if (i >= 2 && info.size > 2 * sum) || sum + info.size > MERGE_LARGEST {
                break;
            }
            sum += info.size;
            take = i + 1;
        }
        candidates.truncate(take);
        if candidates.len() < 2 {
            return Ok(0);
        }
        let mut tables = Vec::new();
        for info in &candidates {
            tables.extend(self.read(&info.name)?);
        }
        tables.sort_by_key(|table: &PackTable| table.id);
        tables.dedup_by_key(|table| table.id);
        let (named, mut written) = self.store(&tables)?;
        let replaced: Vec<String> = candidates.into_iter().map(|info| info.name).collect();
        let name = named.name.clone();
        {
            let mut files = self.files.write();
            let mut list = files.as_ref().clone();
            list.retain(|file| !replaced.contains(&file.name));
            list.push(named);
            *files = ordered(list);
        }
        written += retire(name, &replaced)?;
        for file in &replaced {
            self.backend.delete(file)?;
        }
        Ok(written)
    }

    /// Replaces the files that name any of these packs by some that do not. Needs the maintenance lock.
    /// `retire` gets the names of the new files and of the replaced ones, before these are deleted.
    pub(crate) fn without(
        &self,
        packs: &HashSet<PackId>,
        retire: impl FnOnce(Vec<String>, &[String]) -> Result<()>,
    ) -> Result<()> {
        let files = self.files.read().clone();
        let (old, kept): (Vec<Named>, Vec<Named>) = files.iter().cloned().partition(|named| {
            let mut named = named.file.packs();
            named.any(|(_, id, _)| packs.contains(&id))
        });
        if old.is_empty() {
            return Ok(());
        }
        // What another file says already is not said again.
        let mut known: HashSet<PackId> = packs.clone();
        known.extend(
            kept.iter()
                .flat_map(|n| n.file.packs().map(|(_, id, _)| id)),
        );
        let (mut fresh, mut batch, mut objects) = (Vec::new(), Vec::new(), 0);
        for named in &old {
            for table in self.read(&named.name)? {
                if !known.insert(table.id) {
                    continue;
                }
                objects += table.frames.iter().map(|f| f.objects.len()).sum::<usize>();
                batch.push(table);
                if objects >= OBJECTS_PER_FILE {
                    fresh.push(self.store(&std::mem::take(&mut batch))?.0);
                    objects = 0;
                }
            }
        }
        if !batch.is_empty() {
            fresh.push(self.store(&batch)?.0);
        }
        let replaced: Vec<String> = old.into_iter().map(|named| named.name).collect();
        let added = fresh.iter().map(|named| named.name.clone()).collect();
        {
            let mut files = self.files.write();
            let mut list = files.as_ref().clone();
            list.retain(|file| !replaced.contains(&file.name));
            list.extend(fresh);
            *files = ordered(list);
        }
        retire(added, &replaced)?;
        for file in &replaced {
            self.backend.delete(file)?;
        }
        Ok(())
    }

    /// Reads and authenticates one index file.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<PackTable>> {
        let sealed = self.backend.get(name)?;
        let plain = open_file(&self.keys, &self.repo, FileType::Index, name, sealed)?;
        table::decode_index(&plain).map_err(|e| RepoError::damaged(name, e.0))
    }

    /// Makes an index file and its local copy, known to nobody yet. Returns its bytes.
    pub(crate) fn store(&self, tables: &[PackTable]) -> Result<(Named, u64)> {
        let body = table::encode_index(tables);
        loop {
            let name = format!("{FOLDER}/{}", hex(&random::<12>()?));
            let sealed = seal_file(&self.keys, &self.repo, FileType::Index, &name, &body)?;
            if self.backend.create(&name, &sealed)? {
                let file = self.copy(&name, tables)?;
                return Ok((
                    Named {
                        name,
                        file: Arc::new(file),
                    },
                    sealed.len() as u64,
                ));
            }
        }
    }

    fn load(&self, name: &str) -> Result<IndexFile> {
        if let Some(file) = IndexFile::open(&self.local_path(name))? {
            return Ok(file);
        }
        let tables = self.read(name)?;
        self.copy(name, &tables)
    }

    fn copy(&self, name: &str, tables: &[PackTable]) -> Result<IndexFile> {
        let path = self.local_path(name);
        IndexFile::write(&path, tables)?;
        IndexFile::open(&path)?.ok_or_else(|| {
            RepoError::damaged(
                path.display().to_string(),
                "the local copy was changed by somebody",
            )
        })
    }

    fn local_path(&self, name: &str) -> PathBuf {
        self.local.join(name.rsplit('/').next().unwrap_or(name))
    }

    /// Paths of the local copies.
    fn copies(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.local).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Removes those of these copies whose index file is neither listed nor in use. They were found
    /// before the listing was made: other processes make copies of what they have just created.
    fn remove_stale_copies(&self, copies: &[PathBuf], is_listed: impl Fn(&str) -> bool) {
        let files = self.files.read().clone();
        for path in copies {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let file = format!("{FOLDER}/{name}");
            let used = is_listed(&file) || files.iter().any(|named| named.name == file);
            if !used && !file::is_being_written(path) {
                // Only a cache: what cannot be removed now is removed another time.
                let _ = fs::remove_file(path);
            }
        }
    }
}
