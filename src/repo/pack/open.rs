//! A pack that grows.
//!
//! It has a temporary name until it is complete. Frames reserve their place under the pack's lock and
//! are sealed and written outside of it. A write that fails (disk full) keeps its sealed bytes and is
//! repeated later at the same place, so nothing that was accepted is lost. A pack that gets parity says
//! so in its flags, and the parity is durable before the pack has its name.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};

use super::{HEADER, PackSeal, flags, header, target, trailer};
use crate::repo::backend::{self, Backend};
use crate::repo::blocks::Blocks;
use crate::repo::error::{RepoError, Result};
use crate::repo::id::{Kind, ObjectId, PackClass, PackId, hex};
use crate::repo::key::{Keys, random};
use crate::repo::parity::{self, PackParity, Parity};
use crate::repo::seal::{RepoId, TAG};
use crate::repo::table::{self, FrameEntry, PackTable};

/// Objects at which a pack is closed, however small they are: bounds its footer, and what its writer keeps
/// in memory of it. It must not be small by its ids alone (see prune).
const MOST_OBJECTS: usize = 1 << 17;

/// A place in a pack that belongs to one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Which frame of the pack.
    pub number: u32,
    offset: u64,
    kind: Kind,
    raw: u32,
}

/// A pack that is being written, or was by this writer and is not in an index yet.
pub(crate) struct OpenPack {
    pub(crate) class: PackClass,
    /// Number of the master key.
    key: u8,
    seal: PackSeal,
    /// Makes the parity, and how much.
    parity: Option<(PackParity, Parity)>,
    path: PathBuf,
    file: File,
    state: Mutex<State>,
    written: Condvar,
}

struct State {
    len: u64,
    frames: Vec<FrameEntry>,
    /// Objects in these.
    objects: usize,
    /// Reserved and not on disk yet.
    writing: HashSet<u32>,
    /// Sealed bytes whose write failed, by frame.
    failed: BTreeMap<u32, Vec<u8>>,
    /// No more frames.
    closed: bool,
    /// Size of the durable file.
    finished: Option<u64>,
    /// Bytes of its parity.
    parity: u64,
}

impl OpenPack {
    /// A new pack that grows in `folder`.
    pub(crate) fn create(
        backend: &Backend,
        keys: &Keys,
        repo: &RepoId,
        class: PackClass,
        folder: &Path,
        parity: Parity,
    ) -> Result<Self> {
        let id = PackId(random()?);
        let (key, master) = keys.current();
        let path = folder.join(hex(&id.0));
        let failed = |e| RepoError::io(format!("cannot write {}", path.display()), e);
        backend.step().map_err(failed)?;
        fs::create_dir_all(folder).map_err(failed)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed)?;
        let parity =
            (!parity.is_off()).then(|| (PackParity::new(&keys.ids(), repo, class, id), parity));
        let flags = flags(parity.is_some());
        if let Err(e) = file.write_all_at(&header(class, key, id, flags), 0) {
            let _ = fs::remove_file(&path);
            return Err(failed(e));
        }
        let state = State {
            len: HEADER as u64,
            frames: Vec::new(),
            objects: 0,
            writing: HashSet::new(),
            failed: BTreeMap::new(),
            closed: false,
            finished: None,
            parity: 0,
        };
        let seal = PackSeal::new(&master, repo, id);
        Ok(OpenPack {
            class,
            key,
            seal,
            parity,
            path,
            file,
            state: Mutex::new(state),
            written: Condvar::new(),
        })
    }

    /// Its id, which is random.
    pub(crate) fn id(&self) -> PackId {
        self.seal.id()
    }

    /// Reserves a place for a frame of `encoded` bytes; `None` when the pack is closed. Says
    /// whether the pack is full now.
    pub(crate) fn reserve(
        &self,
        kind: Kind,
        raw: u32,
        encoded: usize,
        objects: Vec<(ObjectId, u32)>,
    ) -> Option<(Slot, bool)> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let number = state.frames.len() as u32;
        let (offset, stored) = (state.len, (encoded + TAG) as u32);
        state.objects += objects.len();
        state.frames.push(FrameEntry {
            kind,
            offset: offset as u32,
            stored,
            raw,
            objects,
        });
        state.len += u64::from(stored);
        state.writing.insert(number);
        state.closed = state.len >= target(self.class) || state.objects >= MOST_OBJECTS;
        Some((
            Slot {
                number,
                offset,
                kind,
                raw,
            },
            state.closed,
        ))
    }

    /// Seals an encoded frame and writes it to its place. On failure the pack keeps it.
    pub(crate) fn write(&self, backend: &Backend, slot: Slot, mut encoded: Vec<u8>) -> Result<()> {
        let sealed = self
            .seal
            .seal_frame(slot.number, slot.kind, slot.raw, &mut encoded);
        let done = match sealed {
            Ok(()) => backend
                .step()
                .and_then(|()| self.file.write_all_at(&encoded, slot.offset))
                .map_err(|e| self.write_error(e)),
            Err(e) => Err(e),
        };
        let mut state = self.state.lock();
        state.writing.remove(&slot.number);
        if done.is_err() {
            state.failed.insert(slot.number, encoded);
        }
        drop(state);
        self.written.notify_all();
        done
    }

    /// Writes again what failed before.
    pub(crate) fn retry(&self, backend: &Backend) -> Result<()> {
        let mut state = self.state.lock();
        while let Some((number, sealed)) = state.failed.pop_first() {
            let offset = state.frames[number as usize].offset;
            if let Err(e) = backend
                .step()
                .and_then(|()| self.file.write_all_at(&sealed, offset.into()))
            {
                state.failed.insert(number, sealed);
                return Err(self.write_error(e));
            }
        }
        Ok(())
    }

    /// The encoded bytes of a frame, wherever it is on its way.
    pub(crate) fn read(&self, number: u32) -> Result<Vec<u8>> {
        let damaged = || {
            RepoError::damaged(
                self.id().file(self.class),
                format!("frame {number} fails its authentication"),
            )
        };
        let mut state = self.state.lock();
        while state.writing.contains(&number) {
            self.written.wait(&mut state);
        }
        let Some(frame) = state.frames.get(number as usize) else {
            return Err(damaged());
        };
        let (kind, raw, offset, stored) = (frame.kind, frame.raw, frame.offset, frame.stored);
        let kept = state.failed.get(&number).cloned();
        drop(state);
        let sealed = match kept {
            Some(sealed) => sealed,
            None => backend::pread(&self.file, offset.into(), stored.into())
                .map_err(|e| RepoError::io(format!("cannot read {}", self.path.display()), e))?,
        };
        self.seal
            .open_frame(number, kind, raw, sealed)
            .ok_or_else(damaged)
    }

    /// Raw length and kind of a frame.
    pub(crate) fn shape(&self, number: u32) -> Option<(Kind, u32)> {
        self.state
            .lock()
            .frames
            .get(number as usize)
            .map(|frame| (frame.kind, frame.raw))
    }

    /// Takes no more frames from now on.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Completes the pack: all frames on disk, footer, parity, fsync, its final name. May be called
    /// again after a failure, and does nothing after a success. Returns the bytes that reached the
    /// repository.
    pub(crate) fn finish(&self, backend: &Backend) -> Result<u64> {
        let mut state = self.state.lock();
        state.closed = true;
        while !state.writing.is_empty() {
            self.written.wait(&mut state);
        }
        if let Some(size) = state.finished {
            return Ok(size + state.parity);
        }
        drop(state);
        self.retry(backend)?;
        // Closed, so nobody reserves: the state does not change while the lock is free.
        let mut state = self.state.lock();
        let end = self.end(&state.frames)?;
        let size = state.len + end.len() as u64;
        if let Err(e) = backend
            .step()
            .and_then(|()| self.file.write_all_at(&end, state.len))
        {
            return Err(self.write_error(e));
        }
        state.parity = self.put_parity(backend, size)?;
        backend.put_file(&self.path, &self.file, &self.id().file(self.class))?;
        state.finished = Some(size);
        Ok(size + state.parity)
    }

    /// The sealed footer and the trailer behind these frames.
    fn end(&self, frames: &[FrameEntry]) -> Result<Vec<u8>> {
        let header = header(
            self.class,
            self.key,
            self.id(),
            flags(self.parity.is_some()),
        );
        let mut footer = table::encode_footer(frames);
        let trailer = trailer((footer.len() + TAG) as u32);
        self.seal.seal_footer(&header, &trailer, &mut footer)?;
        footer.extend_from_slice(&trailer);
        Ok(footer)
    }

    /// Writes the parity of the whole file. Returns its bytes.
    fn put_parity(&self, backend: &Backend, size: u64) -> Result<u64> {
        let Some((maker, share)) = &self.parity else {
            return Ok(0);
        };
        let whole = backend::pread(&self.file, 0, size)
            .map_err(|e| RepoError::io(format!("cannot read {}", self.path.display()), e))?;
        let made = maker.make(&whole, *share)?;
        backend.put(&parity::file(self.id()), &made)?;
        Ok(made.len() as u64)
    }

    /// Keeps a finished pack of trees and records here when it went to an object store: whoever looks
    /// at the snapshot needs it.
    pub(crate) fn keep(&self, blocks: &Blocks, size: u64) {
        if self.class == PackClass::Meta {
            blocks.keep_pack(self.class, self.id(), &self.file, size);
        }
    }

    /// The finished pack's table, for an index file.
    pub(crate) fn table(&self) -> Option<PackTable> {
        let state = self.state.lock();
        let size = state.finished?;
        Some(PackTable {
            id: self.id(),
            class: self.class,
            key: self.key,
            size,
            frames: state.frames.clone(),
        })
    }

    fn write_error(&self, error: std::io::Error) -> RepoError {
        RepoError::io(format!("cannot write {}", self.path.display()), error)
    }
}

impl Drop for OpenPack {
    fn drop(&mut self) {
        if self.state.get_mut().finished.is_none() {
            // Nothing points at it. The next writer would remove it too.
            let _ = fs::remove_file(&self.path);
        }
    }
}
