//! Packs: many frames in one file, sealed under one key.
//!
//! Header of 24 bytes (`"tfsP"`, version, class, number of the master key, flags, pack id 16), sealed frames one after the other,
//! sealed footer (the pack's table), trailer of 8 bytes (footer's length u32, `"tfsE"`). The key is
//! derived from the pack's random id; frame n is sealed with nonce (0, n), the footer with (1, 0),
//! and a pack that has begun its footer takes no more frames, so no nonce is used for two
//! plaintexts. Every byte is authenticated: header and trailer as associated data of the footer.
//!
//! A pack grows under a temporary name. Frames reserve their place under the pack's lock and are
//! sealed and written outside of it. A write that fails (disk full) keeps its sealed bytes and is
//! repeated later at the same place, so nothing that was accepted is lost. A pack that gets parity says
//! so in its flags, and the parity is durable before the pack has its name.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};

use super::backend::{self, Backend};
use super::blocks::Blocks;
use super::error::{RepoError, Result};
use super::id::{Kind, ObjectId, PackClass, PackId};
use super::key::{Keys, MasterKey, random};
use super::parity::{self, PackParity, Parity};
use super::seal::{FORMAT_VERSION, RepoId, SealKey, TAG};
use super::table::{self, FrameEntry, MAX_FRAME, PackTable};

/// Bytes before the first frame.
pub(crate) const HEADER: usize = 24;
const TRAILER: usize = 8;
const MAGIC: &[u8; 4] = b"tfsP";
const END: &[u8; 4] = b"tfsE";
/// Where a header has its flags.
const FLAGS: usize = 7;
/// A parity file was written before the pack got its name.
const HAS_PARITY: u8 = 1;

/// Size at which a pack is closed.
pub(crate) fn target(class: PackClass) -> u64 {
    match class {
        PackClass::Data => 32 << 20,
        PackClass::Meta => 8 << 20,
    }
}

/// Objects at which a pack is closed, however small they are: bounds its footer, and what its writer keeps
/// in memory of it. It must not be small by its ids alone (see prune).
const MOST_OBJECTS: usize = 1 << 17;

/// What is needed to open frames of one pack.
pub(crate) struct PackSeal {
    key: SealKey,
    id: PackId,
    aad: [u8; 32],
}

impl PackSeal {
    pub(crate) fn new(master: &MasterKey, repo: &RepoId, id: PackId) -> Self {
        let key = SealKey::new(&master.derive(
            "tenantfs 2026-11-22 pack",
            &[repo.as_slice(), &id.0].concat(),
        ));
        let mut aad = [0; 32];
        aad[..16].copy_from_slice(repo);
        aad[16..].copy_from_slice(&id.0);
        PackSeal { key, id, aad }
    }

    pub(crate) fn id(&self) -> PackId {
        self.id
    }

    /// Associated data of a frame: repository, pack, number, kind, raw length.
    fn frame_aad(&self, number: u32, kind: Kind, raw: u32) -> [u8; 41] {
        let mut aad = [0; 41];
        aad[..32].copy_from_slice(&self.aad);
        aad[32..36].copy_from_slice(&number.to_le_bytes());
        aad[36] = kind as u8;
        aad[37..].copy_from_slice(&raw.to_le_bytes());
        aad
    }

    fn seal_frame(&self, number: u32, kind: Kind, raw: u32, encoded: &mut Vec<u8>) -> Result<()> {
        self.key.seal_with(
            nonce(0, number),
            &self.frame_aad(number, kind, raw),
            encoded,
            0,
        )
    }

    /// Opens a sealed frame in place: its encoded bytes, or `None` when they were changed.
    pub(crate) fn open_frame(
        &self,
        number: u32,
        kind: Kind,
        raw: u32,
        mut sealed: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let len = self
            .key
            .open_with(
                nonce(0, number),
                &self.frame_aad(number, kind, raw),
                &mut sealed,
            )?
            .len();
        sealed.truncate(len);
        Some(sealed)
    }

    fn footer_aad(&self, header: &[u8], trailer: &[u8]) -> Vec<u8> {
        [self.aad.as_slice(), header, trailer].concat()
    }
}

fn nonce(domain: u32, number: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&domain.to_le_bytes());
    nonce[4..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

fn header(class: PackClass, key: u8, id: PackId, flags: u8) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(MAGIC);
    header[4] = FORMAT_VERSION;
    header[5] = class as u8;
    header[6] = key;
    header[FLAGS] = flags;
    header[8..].copy_from_slice(&id.0);
    header
}

/// A place in a pack that belongs to one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
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
        let path = folder.join(super::id::hex(&id.0));
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
        let mut footer = table::encode_footer(&state.frames);
        let mut trailer = [0; TRAILER];
        trailer[..4].copy_from_slice(&((footer.len() + TAG) as u32).to_le_bytes());
        trailer[4..].copy_from_slice(END);
        let flags = flags(self.parity.is_some());
        let aad = self
            .seal
            .footer_aad(&header(self.class, self.key, self.id(), flags), &trailer);
        self.seal.key.seal_with(nonce(1, 0), &aad, &mut footer, 0)?;
        footer.extend_from_slice(&trailer);
        let size = state.len + footer.len() as u64;
        if let Err(e) = backend
            .step()
            .and_then(|()| self.file.write_all_at(&footer, state.len))
        {
            return Err(self.write_error(e));
        }
        state.parity = self.put_parity(backend, size)?;
        backend.put_file(&self.path, &self.file, &self.id().file(self.class))?;
        state.finished = Some(size);
        Ok(size + state.parity)
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

fn flags(has_parity: bool) -> u8 {
    if has_parity { HAS_PARITY } else { 0 }
}

/// What a pack says of itself.
pub(crate) struct Ends {
    pub table: PackTable,
    /// A parity file was written with it.
    pub has_parity: bool,
}

/// Reads what a pack says of itself: its table, from its own footer, and what the header says. Authenticates
/// header, footer and trailer.
pub(crate) fn read_ends(
    backend: &Backend,
    keys: &Keys,
    repo: &RepoId,
    class: PackClass,
    id: PackId,
    size: u64,
) -> Result<Ends> {
    let file = id.file(class);
    open_ends(keys, repo, class, id, size, |offset, len| {
        backend.get_range(&file, offset, len)
    })
}

/// Authenticates the whole of a pack that is in memory, frame by frame, and returns what is in it.
pub(crate) fn open_whole(
    keys: &Keys,
    repo: &RepoId,
    class: PackClass,
    id: PackId,
    bytes: &[u8],
) -> Result<PackTable> {
    let range = |offset: u64, len: u64| bytes[offset as usize..(offset + len) as usize].to_vec();
    let ends = open_ends(keys, repo, class, id, bytes.len() as u64, |offset, len| {
        Ok(range(offset, len))
    })?;
    let master = keys.get(ends.table.key, &id.file(class))?;
    let seal = PackSeal::new(&master, repo, id);
    for (number, frame) in ends.table.frames.iter().enumerate() {
        let sealed = range(frame.offset.into(), frame.stored.into());
        if seal
            .open_frame(number as u32, frame.kind, frame.raw, sealed)
            .is_none()
        {
            let reason = format!("frame {number} fails its authentication");
            return Err(RepoError::damaged(id.file(class), reason));
        }
    }
    Ok(ends.table)
}

/// Reads header, footer and trailer with `range` (offset and length, always within `size`).
fn open_ends(
    keys: &Keys,
    repo: &RepoId,
    class: PackClass,
    id: PackId,
    size: u64,
    range: impl Fn(u64, u64) -> Result<Vec<u8>>,
) -> Result<Ends> {
    let file = id.file(class);
    let damaged = |reason: &str| RepoError::damaged(&file, reason);
    let smallest = (HEADER + TAG + TRAILER) as u64;
    if size < smallest || size > u64::from(u32::MAX) {
        return Err(damaged("it is too short or too long for a pack"));
    }
    let head = range(0, HEADER as u64)?;
    if head[..4] == *MAGIC && head[4] > FORMAT_VERSION {
        return Err(RepoError::NewerVersion {
            found: head[4],
            supported: FORMAT_VERSION,
        });
    }
    let trailer = range(size - TRAILER as u64, TRAILER as u64)?;
    let (len, end) = trailer.split_at(4);
    let len = u64::from(u32::from_le_bytes([len[0], len[1], len[2], len[3]]));
    if end != END || len < TAG as u64 || len > size - (HEADER + TRAILER) as u64 {
        return Err(damaged("it does not end as a pack does (truncated?)"));
    }
    let key = head.get(6).copied().unwrap_or_default();
    let has_parity = head[FLAGS] == HAS_PARITY;
    if head != header(class, key, id, flags(has_parity)) {
        return Err(damaged("its header is not the one of this pack"));
    }
    let begin = size - TRAILER as u64 - len;
    let mut footer = range(begin, len)?;
    let seal = PackSeal::new(&keys.get(key, &file)?, repo, id);
    let aad = seal.footer_aad(&head, &trailer);
    let plain = seal
        .key
        .open_with(nonce(1, 0), &aad, &mut footer)
        .ok_or_else(|| {
            damaged("its footer fails its authentication (changed, or of another repository)")
        })?;
    let frames = table::decode_footer(plain).map_err(|e| damaged(e.0))?;
    let end = frames.last().map_or(HEADER as u64, |frame| {
        u64::from(frame.offset) + u64::from(frame.stored)
    });
    if end != begin {
        return Err(damaged("its footer does not fit its length"));
    }
    let table = PackTable {
        id,
        class,
        key,
        size,
        frames,
    };
    Ok(Ends { table, has_parity })
}

/// Refuses objects that no frame can hold.
pub(crate) fn check_size(len: usize) -> Result<()> {
    if len > MAX_FRAME as usize {
        return Err(RepoError::ObjectTooLarge {
            size: len as u64,
            limit: MAX_FRAME.into(),
        });
    }
    Ok(())
}
