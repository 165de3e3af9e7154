//! Packs of an object store on the local disk, in blocks of 1 MiB.
//!
//! What is read of a remote pack is fetched in whole blocks and kept as files
//! `<local>/packs/<class>/<pack id>-<number>`: neighbours of a frame come with it, and what was read
//! once costs no request again, also after a restart and for other processes of this host. Who goes
//! on where the block before ended gets several blocks with one request.
//!
//! Blocks are bytes of the repository, sealed as there: a damaged or forged one fails its frame's
//! authentication, and is then fetched anew. The newest use decides what stays; data and meta packs
//! have half of the room each, so that reading large files does not push folders out. Nothing here is
//! needed: without room on the disk everything is read from the store.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::{Condvar, Mutex};

use super::backend::{Backend, pread};
use super::error::{RepoError, Result};
use super::id::{PackClass, PackId, hex};

/// Folder in the repository's local state.
pub(crate) const FOLDER: &str = "packs";
/// Bytes of a block.
const BLOCK: u64 = 1 << 20;
/// Blocks that one request fetches at most.
pub(crate) const RUN: u32 = 4;
/// The oldest blocks are removed when so many bytes, or an eighth of the room, were written since the last time.
const SWEEP_EVERY: u64 = 64 << 20;
/// So much of the disk is left to others.
const KEEP_FREE: u64 = 1 << 30;

/// The blocks of one repository.
pub(crate) struct Blocks {
    backend: Arc<Backend>,
    folder: PathBuf,
    /// Bytes that each class may take.
    limit: u64,
    /// Blocks that somebody fetches right now.
    fetching: Mutex<HashSet<(PackId, u32)>>,
    fetched: Condvar,
    /// Bytes written since the last sweep, of each class; at first as if there were many.
    unswept: [AtomicU64; 2],
    sweep_every: u64,
}

/// A range of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub class: PackClass,
    pub pack: PackId,
    pub offset: u64,
    pub len: u64,
}

impl Extent {
    fn first(&self) -> u32 {
        (self.offset / BLOCK) as u32
    }

    fn last(&self) -> u32 {
        ((self.offset + self.len.max(1) - 1) / BLOCK) as u32
    }
}

/// Takes blocks off the list of those being fetched, also when fetching failed.
struct Fetching<'a> {
    blocks: &'a Blocks,
    keys: Vec<(PackId, u32)>,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        let mut fetching = self.blocks.fetching.lock();
        for key in &self.keys {
            fetching.remove(key);
        }
        drop(fetching);
        self.blocks.fetched.notify_all();
    }
}

impl Blocks {
    /// Blocks below `local`, at most `limit` bytes of them.
    pub(crate) fn new(backend: Arc<Backend>, local: &Path, limit: u64) -> Self {
        let limit = limit / 2;
        let sweep_every = SWEEP_EVERY.min(limit / 8);
        Blocks {
            backend,
            folder: local.join(FOLDER),
            limit,
            fetching: Mutex::default(),
            fetched: Condvar::new(),
            unswept: [AtomicU64::new(sweep_every), AtomicU64::new(sweep_every)],
            sweep_every,
        }
    }

    /// The bytes of an extent, and whether some of them were on the disk already.
    pub(crate) fn read(&self, extent: &Extent) -> Result<(Vec<u8>, bool)> {
        if self.limit < BLOCK {
            let file = extent.pack.file(extent.class);
            let bytes = self.backend.get_range(&file, extent.offset, extent.len)?;
            return Ok((bytes, false));
        }
        let mut kept = false;
        let mut bytes = Vec::with_capacity(extent.len as usize);
        let end = extent.offset + extent.len;
        let mut number = extent.first();
        while (bytes.len() as u64) < extent.len {
            let at = extent.offset + bytes.len() as u64;
            let within = at % BLOCK;
            let take = (BLOCK - within).min(end - at);
            match self.kept(extent, number, within, take) {
                Some(part) => {
                    kept = true;
                    bytes.extend_from_slice(&part);
                }
                None => {
                    let Some(run) = self.fetch(extent, number)? else {
                        // Somebody else has just fetched it.
                        continue;
                    };
                    let from = within as usize;
                    let until = run.len().min(from + (end - at) as usize);
                    if until <= from || (until as u64) < within + take {
                        let file = extent.pack.file(extent.class);
                        return Err(RepoError::damaged(file, "it is shorter than it was"));
                    }
                    bytes.extend_from_slice(&run[from..until]);
                }
            }
            number = ((extent.offset + bytes.len() as u64) / BLOCK) as u32;
        }
        Ok((bytes, kept))
    }

    /// Brings an extent onto the disk, a request for each run of blocks that are not there.
    pub(crate) fn prefetch(&self, extent: &Extent) -> Result<()> {
        if self.limit < BLOCK {
            return Ok(());
        }
        let mut number = extent.first();
        while number <= extent.last() {
            if !self.path(extent.class, extent.pack, number).exists() {
                self.fetch(extent, number)?;
            }
            number += 1;
        }
        Ok(())
    }

    /// Takes a pack of this host that was just uploaded: it need not be fetched.
    pub(crate) fn keep_pack(&self, class: PackClass, pack: PackId, file: &File, size: u64) {
        if self.limit < BLOCK {
            return;
        }
        for number in 0..size.div_ceil(BLOCK) {
            let at = number * BLOCK;
            let Ok(bytes) = pread(file, at, BLOCK.min(size - at)) else {
                return;
            };
            self.keep(class, pack, number as u32, &bytes);
        }
    }

    /// Forgets the blocks of an extent: they are not what the store has.
    pub(crate) fn forget(&self, extent: &Extent) {
        for number in extent.first()..=extent.last() {
            let _ = fs::remove_file(self.path(extent.class, extent.pack, number));
        }
    }

    /// Fetches the missing blocks from `first` on: all that the extent has from there, and more when
    /// the block before is here, because then somebody reads on. At most [`RUN`]. `None` when another
    /// thread fetched the first one meanwhile.
    fn fetch(&self, extent: &Extent, first: u32) -> Result<Option<Vec<u8>>> {
        let exists = |number| self.path(extent.class, extent.pack, number).exists();
        let mut fetching = self.fetching.lock();
        while fetching.contains(&(extent.pack, first)) {
            self.fetched.wait(&mut fetching);
            if exists(first) {
                return Ok(None);
            }
        }
        let reads_on = first > 0 && exists(first - 1);
        let wanted = if reads_on { u32::MAX } else { extent.last() };
        let keys: Vec<_> = (first..=wanted.min(first + RUN - 1))
            .take_while(|number| {
                *number == first || !(fetching.contains(&(extent.pack, *number)) || exists(*number))
            })
            .map(|number| (extent.pack, number))
            .collect();
        fetching.extend(keys.iter().copied());
        drop(fetching);
        let len = keys.len() as u64 * BLOCK;
        let _fetching = Fetching { blocks: self, keys };
        let file = extent.pack.file(extent.class);
        let bytes = self
            .backend
            .get_up_to(&file, u64::from(first) * BLOCK, len)?;
        for (number, block) in (first..).zip(bytes.chunks(BLOCK as usize)) {
            self.keep(extent.class, extent.pack, number, block);
        }
        Ok(Some(bytes))
    }

    /// A part of a block that is on the disk.
    fn kept(&self, extent: &Extent, number: u32, within: u64, len: u64) -> Option<Vec<u8>> {
        let file = File::open(self.path(extent.class, extent.pack, number)).ok()?;
        let bytes = pread(&file, within, len).ok()?;
        // Only its place in the order of leaving depends on it.
        let _ = file.set_modified(SystemTime::now());
        Some(bytes)
    }

    /// Writes a block, whole or not at all. What cannot be written is read from the store again.
    fn keep(&self, class: PackClass, pack: PackId, number: u32, bytes: &[u8]) {
        let folder = self.folder.join(class.folder());
        let unswept = &self.unswept[class.slot()];
        let len = bytes.len() as u64;
        if unswept.fetch_add(len, Ordering::Relaxed) + len > self.sweep_every {
            unswept.store(len, Ordering::Relaxed);
            if let Err(e) = self.sweep(&folder) {
                tracing::warn!("cannot tidy {}: {e}", folder.display());
            }
        }
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            file.write_all(bytes)?;
            file.persist(self.path(class, pack, number))?;
            Ok(())
        };
        if let Err(e) = write() {
            tracing::debug!("a block of {} is not kept: {e}", pack.file(class));
        }
    }

    /// Removes the blocks that were not used for longest until the rest fits.
    fn sweep(&self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut blocks = Vec::new();
        let mut total = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // Another process may remove blocks at the same time.
            if let Ok(meta) = entry.metadata() {
                total += meta.len();
                blocks.push((meta.modified()?, meta.len(), entry.path()));
            }
        }
        let disk = rustix::fs::statvfs(folder)?;
        let free = disk.f_bavail * disk.f_frsize;
        let room = (total + free).saturating_sub(KEEP_FREE);
        let limit = (self.limit - self.sweep_every).min(room);
        blocks.sort_unstable();
        for (_, len, path) in blocks {
            if total <= limit {
                break;
            }
            let _ = fs::remove_file(path);
            total -= len;
        }
        Ok(())
    }

    fn path(&self, class: PackClass, pack: PackId, number: u32) -> PathBuf {
        self.folder
            .join(class.folder())
            .join(format!("{}-{number}", hex(&pack.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: PackId = PackId([7; 16]);

    fn extent(offset: u64, len: u64) -> Extent {
        Extent {
            class: PackClass::Data,
            pack: PACK,
            offset,
            len,
        }
    }

    /// A pack of 6.5 MiB in a store, and blocks of it.
    fn stage(limit: u64) -> (tempfile::TempDir, Vec<u8>, Arc<Backend>, Blocks) {
        let folder = tempfile::tempdir().unwrap();
        let backend = Arc::new(Backend::in_memory(folder.path(), Default::default()).unwrap());
        let bytes = super::super::tests::noise(1, 13 << 19);
        backend.put(&PACK.file(PackClass::Data), &bytes).unwrap();
        let blocks = Blocks::new(backend.clone(), folder.path(), limit);
        (folder, bytes, backend, blocks)
    }

    #[test]
    fn what_was_read_once_is_read_without_the_store() {
        let (_folder, bytes, backend, blocks) = stage(1 << 30);
        let read = |offset: u64, len: u64| {
            let (got, kept) = blocks.read(&extent(offset, len)).unwrap();
            assert!(got == bytes[offset as usize..(offset + len) as usize]);
            kept
        };
        assert!(!read(100, 1000), "nothing was there");
        assert!(read(1 << 19, 1 << 19), "the rest of its block came with it");
        assert!(read((1 << 20) - 10, 20), "a part of it was there");
        // Who reads on gets several blocks at once.
        backend.delete(&PACK.file(PackClass::Data)).unwrap();
        assert!(read(2 << 20, 2 << 20));
        assert!(blocks.read(&extent(5 << 20, 100)).is_err());
    }

    #[test]
    fn blocks_that_were_fetched_ahead_and_the_last_short_one_are_whole() {
        let (_folder, bytes, backend, blocks) = stage(1 << 30);
        blocks.prefetch(&extent(0, bytes.len() as u64)).unwrap();
        backend.delete(&PACK.file(PackClass::Data)).unwrap();
        let (got, kept) = blocks.read(&extent(0, bytes.len() as u64)).unwrap();
        assert!(kept && got == bytes);
        let beyond = blocks.read(&extent(bytes.len() as u64 - 5, 10));
        assert!(beyond.is_err(), "the pack ends before");
    }

    #[test]
    fn a_pack_that_is_too_short_is_told_and_does_not_hang() {
        let (_folder, bytes, _backend, blocks) = stage(1 << 30);
        let beyond = blocks.read(&extent(bytes.len() as u64 - 5, 10));
        assert!(matches!(beyond, Err(RepoError::Damaged { .. })));
    }

    #[test]
    fn the_oldest_blocks_make_room() {
        let (folder, bytes, _backend, blocks) = stage(8 << 20);
        for number in 0..12u8 {
            blocks.keep(PackClass::Data, PackId([number; 16]), 0, &bytes[..1 << 20]);
        }
        let kept: Vec<_> = fs::read_dir(folder.path().join(FOLDER).join("data"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!((1..=4).contains(&kept.len()), "{kept:?}");
        assert!(
            kept.contains(&format!("{}-0", hex(&[11; 16]))),
            "the newest stays"
        );
    }

    #[test]
    fn without_room_everything_comes_from_the_store() {
        let (folder, bytes, _backend, blocks) = stage(0);
        let (got, kept) = blocks.read(&extent(5, 2 << 20)).unwrap();
        assert!(!kept && got == bytes[5..5 + (2 << 20)]);
        assert!(!folder.path().join(FOLDER).exists());
    }
}
