//! The writer: streams, what is in flight, packs that fill, flush and commit.
//!
//! [`Stream::put`] hashes, drops what is known, and collects small objects in frames; encoding and
//! sealing happen on the calling thread, outside of all shared locks. What was put is readable at
//! once on the same repository handle, and durable after [`Writer::flush`]: packs first, then the
//! index file that names them. [`Writer::commit`] flushes and then creates the manifest: whatever
//! dies before that leaves only files nobody points at.
//!
//! An accepted object is never dropped: when the disk is full, its frame stays in memory (at most
//! one per thread, since every further put fails until the old ones are written) and the next put
//! or flush tries again.
//!
//! What is put between two flushes may be more than memory holds the places of: full packs go into an
//! index file as soon as there are many objects in them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};

use super::Inner;
use super::codec;
use super::dictionary::{self, Dictionary, Released, Samples, Training};
use super::error::Result;
use super::frame::OpenFrame;
use super::id::{Kind, ObjectId, PackClass, PackId};
use super::lock::MaintenanceLock;
use super::pack::OpenPack;
use super::session::Session;
use super::snapshot::{self, Snapshot, SnapshotManifest};
use super::stream::{Stream, StreamState};

const SHARDS: usize = 64;
/// Full packs that may wait for their fsync at the same time.
const FINISHING: usize = 3;
/// Objects in full packs that get an index file before anybody asks for a flush: some 40 MB of places.
const INDEX_AT: usize = 1 << 18;

/// Counts of a writer's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Bytes that reached the repository: packs, index files, dictionaries, manifests.
    pub bytes_written: u64,
    /// Objects stored.
    pub objects_new: u64,
    /// Objects that were there already.
    pub objects_known: u64,
    /// Plaintext bytes of the stored ones.
    pub bytes_new: u64,
    /// Plaintext bytes of the known ones.
    pub bytes_known: u64,
}

#[derive(Default)]
struct Counters {
    written: AtomicU64,
    objects_new: AtomicU64,
    objects_known: AtomicU64,
    bytes_new: AtomicU64,
    bytes_known: AtomicU64,
}

/// A writer of a repository; there may be others. Cheap to clone; its session ends when the last clone
/// and the last stream are gone.
#[derive(Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

/// Where an object of a running writer is.
#[derive(Clone)]
pub(crate) enum Pending {
    Open {
        frame: Arc<OpenFrame>,
        offset: u32,
        len: u32,
    },
    Packed {
        pack: Arc<OpenPack>,
        number: u32,
        offset: u32,
        len: u32,
    },
}

pub(crate) struct Shared {
    repo: Arc<Inner>,
    pending: Vec<RwLock<HashMap<ObjectId, Pending>>>,
    streams: Mutex<Vec<Arc<StreamState>>>,
    training: Vec<Training>,
    /// Full frames that found no place (no pack could be made): first thing to store next time.
    waiting: Mutex<Vec<Waiting>>,
    open: [Mutex<Option<Arc<OpenPack>>>; 2],
    closing: Mutex<Vec<Closing>>,
    /// Durable packs that no index file names yet.
    finished: Mutex<Vec<Arc<OpenPack>>>,
    /// Objects that have a place in a pack that no index file names yet.
    unindexed: AtomicUsize,
    flushing: Mutex<()>,
    /// Packs that hold objects which were put and are not committed yet, as far as is known: those of
    /// others that were found to have an object, and this session's own.
    relied: Mutex<HashSet<(PackClass, PackId)>>,
    /// Index files made since the last commit.
    indexed: Mutex<Vec<String>>,
    counters: Counters,
    /// Ends last: what is above leaves files in its staging folder.
    session: Session,
}

/// A frame and the dictionary it is to be compressed with.
type Waiting = (Arc<OpenFrame>, Option<Arc<Dictionary>>);

struct Closing {
    pack: Arc<OpenPack>,
    job: Option<JoinHandle<Result<u64>>>,
}

impl Writer {
    pub(crate) fn new(repo: Arc<Inner>, session: Session) -> Result<Self> {
        let listed: Vec<String> = repo
            .backend
            .list(dictionary::FOLDER)?
            .into_iter()
            .map(|info| info.name)
            .collect();
        let mut training = Vec::new();
        for kind in Kind::ALL {
            let existing = repo.dictionaries.of_kind(kind, &listed)?;
            let samples = if existing.is_none() {
                repo.samples(kind)
            } else {
                Samples::default()
            };
            training.push(Training::new(kind, existing, samples));
        }
        let shared = Arc::new(Shared {
            pending: (0..SHARDS).map(|_| RwLock::default()).collect(),
            streams: Mutex::default(),
            training,
            waiting: Mutex::default(),
            open: Default::default(),
            closing: Mutex::default(),
            finished: Mutex::default(),
            unindexed: AtomicUsize::new(0),
            flushing: Mutex::default(),
            relied: Mutex::default(),
            indexed: Mutex::default(),
            counters: Counters::default(),
            session,
            repo: repo.clone(),
        });
        let mut writers = repo.writers.write();
        writers.retain(|writer| writer.strong_count() > 0);
        writers.push(Arc::downgrade(&shared));
        drop(writers);
        Ok(Writer { shared })
    }

    /// A new stream. One per collection or worker.
    pub fn stream(&self) -> Stream {
        let state = Arc::new(StreamState::default());
        self.shared.streams.lock().push(state.clone());
        Stream::new(self.shared.clone(), state)
    }

    /// Makes everything that was put before this call durable, and known to the index.
    pub fn flush(&self) -> Result<()> {
        self.shared.flush()
    }

    /// Says that what is written from now on may refer to all that these snapshots need. False: one of
    /// them was deleted meanwhile, so it must not.
    pub fn go_on_from(&self, snapshots: &[&Snapshot]) -> Result<bool> {
        let shared = &self.shared;
        let roots = snapshots.iter().map(|s| s.manifest.roots()).collect();
        shared.session.set_roots(roots)?;
        for snapshot in snapshots {
            let file = snapshot::file_name(&snapshot.name)?;
            if shared.repo.backend.size(&file)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Flushes, then creates the snapshot's manifest: the one atomic step. The snapshot is named
    /// by its time; when that name is taken, it gets the next free second.
    ///
    /// # Errors
    /// [`RepoError::SessionLost`]: this process was taken for dead, and nothing is committed.
    ///
    /// [`RepoError::SessionLost`]: super::RepoError::SessionLost
    pub fn commit(&self, manifest: SnapshotManifest) -> Result<Snapshot> {
        let shared = &self.shared;
        shared.flush()?;
        shared.session.check()?;
        let (snapshot, bytes) = shared.repo.create_snapshot(manifest)?;
        self.committed(&snapshot, bytes)?;
        Ok(snapshot)
    }

    /// Flushes, then creates the manifest of a snapshot that was copied from another repository, under
    /// its own name. True when it was not there yet.
    ///
    /// # Errors
    /// [`RepoError::Invalid`] when another snapshot has the name.
    ///
    /// [`RepoError::Invalid`]: super::RepoError::Invalid
    pub fn commit_copy(&self, snapshot: &Snapshot) -> Result<bool> {
        let shared = &self.shared;
        shared.flush()?;
        shared.session.check()?;
        let Some(bytes) = shared.repo.create_copy(snapshot)? else {
            return Ok(false);
        };
        self.committed(snapshot, bytes)?;
        Ok(true)
    }

    /// What follows the creation of a manifest of so many bytes.
    fn committed(&self, snapshot: &Snapshot, bytes: u64) -> Result<()> {
        let shared = &self.shared;
        if let Err(e) = shared.session.check() {
            // Objects that it needs may have been deleted before it was there to be seen.
            shared.repo.delete_snapshot(&snapshot.name)?;
            return Err(e);
        }
        let listed = shared.take_stock(&snapshot.name).unwrap_or_else(|e| {
            // The snapshot is there, and the next one with the maintenance lock says so too.
            tracing::warn!("{e}");
            0
        });
        shared
            .counters
            .written
            .fetch_add(bytes + listed, Ordering::Relaxed);
        if let Err(e) = shared.notice_condemned() {
            // Until it is known what is condemned, nothing is deleted.
            tracing::warn!("{e}");
        }
        Ok(())
    }

    /// True when the object is stored, or was put by this writer.
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.shared.contains(id)
    }

    /// The session's id.
    pub(crate) fn session_id(&self) -> &str {
        self.shared.session.id()
    }

    /// Deletes a snapshot's manifest (for instance a checkpoint that a later one superseded). The
    /// objects stay.
    pub fn delete_snapshot(&self, name: &str) -> Result<()> {
        let shared = &self.shared;
        let file = snapshot::file_name(name)?;
        let bytes = shared.session.take_stock([], [file])?;
        shared.counters.written.fetch_add(bytes, Ordering::Relaxed);
        shared.repo.delete_snapshot(name)
    }

    /// Bytes that reached the repository so far.
    pub fn bytes_written(&self) -> u64 {
        self.shared.counters.written.load(Ordering::Relaxed)
    }

    /// Counts so far.
    pub fn stats(&self) -> WriterStats {
        let counters = &self.shared.counters;
        WriterStats {
            bytes_written: counters.written.load(Ordering::Relaxed),
            objects_new: counters.objects_new.load(Ordering::Relaxed),
            objects_known: counters.objects_known.load(Ordering::Relaxed),
            bytes_new: counters.bytes_new.load(Ordering::Relaxed),
            bytes_known: counters.bytes_known.load(Ordering::Relaxed),
        }
    }

    /// The repository that is written.
    pub fn repository(&self) -> super::Repository {
        self.shared.repository()
    }
}

impl Shared {
    pub(super) fn repository(&self) -> super::Repository {
        super::Repository::from_inner(self.repo.clone())
    }

    pub(super) fn id_of(&self, kind: Kind, data: &[u8]) -> ObjectId {
        self.repo.id_of(kind, data)
    }

    pub(super) fn count_new(&self, len: usize) {
        self.counters.objects_new.fetch_add(1, Ordering::Relaxed);
        self.counters
            .bytes_new
            .fetch_add(len as u64, Ordering::Relaxed);
    }

    pub(super) fn count_known(&self, len: usize) {
        self.counters.objects_known.fetch_add(1, Ordering::Relaxed);
        self.counters
            .bytes_known
            .fetch_add(len as u64, Ordering::Relaxed);
    }

    pub(super) fn shard(&self, id: &ObjectId) -> &RwLock<HashMap<ObjectId, Pending>> {
        &self.pending[id.0[19] as usize % SHARDS]
    }

    pub(crate) fn pending(&self, id: &ObjectId) -> Option<Pending> {
        self.shard(id).read().get(id).cloned()
    }

    pub(super) fn contains(&self, id: &ObjectId) -> bool {
        if self.shard(id).read().contains_key(id) {
            return true;
        }
        // Held until the pack is noted: who condemns packs sees it then.
        let condemned = self.repo.condemned.read();
        let Some(place) = self.repo.index.find_outside(id, &condemned) else {
            return false;
        };
        let pack = (place.frame.class, place.frame.pack);
        self.relied.lock().insert(pack);
        true
    }

    /// A frame is full: encode and store it, or hold it back for training.
    pub(super) fn full(&self, frame: Arc<OpenFrame>) -> Result<()> {
        let released = self.training[frame.kind.slot()].offer(frame, &self.repo.dictionaries)?;
        self.store_released(released)
    }

    fn store_released(&self, released: Released) -> Result<()> {
        self.counters
            .written
            .fetch_add(released.written, Ordering::Relaxed);
        let dictionary = released.dictionary.as_ref();
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        if released.frames.len() <= 2 || cores == 1 {
            return self.store_frames(released.frames, dictionary);
        }
        // Many at once only when training ends at a flush: nobody else shares the work then.
        let share = released.frames.len().div_ceil(cores);
        std::thread::scope(|scope| {
            let jobs: Vec<_> = released
                .frames
                .chunks(share)
                .map(|frames| scope.spawn(|| self.store_frames(frames.to_vec(), dictionary)))
                .collect();
            jobs.into_iter().try_for_each(|job| {
                job.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }

    /// Stores frames; those after a failure are only kept.
    fn store_frames(
        &self,
        frames: Vec<Arc<OpenFrame>>,
        dictionary: Option<&Arc<Dictionary>>,
    ) -> Result<()> {
        let mut result = Ok(());
        for frame in frames {
            if result.is_ok() {
                result = self.store_frame(&frame, dictionary.map(|d| d.as_ref()));
                if result.is_ok() {
                    continue;
                }
            }
            self.waiting.lock().push((frame, dictionary.cloned()));
        }
        result
    }

    /// Stores what found no place before.
    pub(super) fn store_waiting(&self) -> Result<()> {
        loop {
            let Some((frame, dictionary)) = self.waiting.lock().pop() else {
                break;
            };
            if let Err(e) = self.store_frame(&frame, dictionary.as_deref()) {
                self.waiting.lock().push((frame, dictionary));
                return Err(e);
            }
        }
        Ok(())
    }

    fn store_frame(&self, frame: &OpenFrame, dictionary: Option<&Dictionary>) -> Result<()> {
        let (encoded, raw, objects) = frame.with(|bytes, objects| {
            let encoded = codec::encode(bytes, dictionary);
            (encoded, bytes.len() as u32, objects.to_vec())
        });
        self.place(frame.kind, raw, objects, encoded)
    }

    /// Gives an encoded frame its place in a pack. An error means it has none; a failed write of
    /// one that has is kept by the pack and reported by the next put or flush.
    pub(super) fn place(
        &self,
        kind: Kind,
        raw: u32,
        objects: Vec<(ObjectId, u32)>,
        encoded: Vec<u8>,
    ) -> Result<()> {
        let class = kind.class();
        let (pack, slot, full) = loop {
            let pack = self.open_pack(class)?;
            if let Some((slot, full)) = pack.reserve(kind, raw, encoded.len(), objects.clone()) {
                break (pack, slot, full);
            }
            self.detach(&pack);
        };
        self.unindexed.fetch_add(objects.len(), Ordering::Relaxed);
        let mut offset = 0;
        for (id, len) in objects {
            let place = Pending::Packed {
                pack: pack.clone(),
                number: slot.number,
                offset,
                len,
            };
            self.shard(&id).write().insert(id, place);
            offset += len;
        }
        let written = pack.write(&self.repo.backend, slot, encoded);
        if full && self.detach(&pack) {
            self.finish_soon(pack);
            self.index_full_packs();
        }
        if let Err(e) = written {
            // The pack keeps the frame, so the objects are accepted; the error is seen by the
            // next put, which first tries to write what is kept.
            tracing::debug!("{e}");
        }
        Ok(())
    }

    /// The pack that frames of a class go to. Also where a full disk is noticed before anything
    /// new is accepted.
    fn open_pack(&self, class: PackClass) -> Result<Arc<OpenPack>> {
        let mut open = self.open[class.slot()].lock();
        if let Some(pack) = open.as_ref() {
            pack.retry(&self.repo.backend)?;
            return Ok(pack.clone());
        }
        self.session.check()?;
        let pack = Arc::new(self.repo.new_pack(class, self.session.staging())?);
        *open = Some(pack.clone());
        Ok(pack)
    }

    /// Takes a pack out of service; true for the one caller who did.
    fn detach(&self, pack: &Arc<OpenPack>) -> bool {
        let mut open = self.open[pack.class.slot()].lock();
        let ours = open
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, pack));
        if ours {
            *open = None;
            pack.close();
            self.closing.lock().push(Closing {
                pack: pack.clone(),
                job: None,
            });
        }
        ours
    }

    /// Completes a full pack in the background, so that nobody waits for its fsync.
    fn finish_soon(&self, pack: Arc<OpenPack>) {
        let mut closing = self.closing.lock();
        if closing
            .iter()
            .filter(|c| c.job.as_ref().is_some_and(|job| !job.is_finished()))
            .count()
            >= FINISHING
        {
            return;
        }
        if let Some(entry) = closing.iter_mut().find(|c| Arc::ptr_eq(&c.pack, &pack)) {
            let backend = self.repo.backend.clone();
            entry.job = Some(std::thread::spawn(move || pack.finish(&backend)));
        }
    }

    /// Makes full packs known when there are many objects in them, and forgets the places of these here.
    fn index_full_packs(&self) {
        if self.unindexed.load(Ordering::Relaxed) < INDEX_AT {
            return;
        }
        // Who flushes does it anyway.
        let Some(_one) = self.flushing.try_lock() else {
            return;
        };
        let done = self
            .session
            .check()
            .and_then(|()| self.finish_all())
            .and_then(|()| self.write_index());
        if let Err(e) = done {
            // Nothing is lost: the next flush tries again, and reports it.
            tracing::debug!("{e}");
        }
    }

    fn flush(&self) -> Result<()> {
        let _one = self.flushing.lock();
        self.session.check()?;
        self.store_waiting()?;
        let streams: Vec<_> = self.streams.lock().clone();
        for stream in streams {
            // Held over the encoding: a put on this stream waits, others do not.
            let mut open = stream.open.lock();
            for slot in open.iter_mut() {
                if let Some(frame) = slot.take_if(|frame| frame.fill().0 > 0) {
                    self.full(frame)?;
                }
            }
        }
        for training in &self.training {
            let released = training.settle(&self.repo.dictionaries)?;
            self.store_released(released)?;
        }
        // A stream that was dropped has one owner left: the list.
        self.streams.lock().retain(|s| {
            Arc::strong_count(s) > 1
                || s.open
                    .lock()
                    .iter()
                    .flatten()
                    .any(|frame| frame.fill().0 > 0)
        });
        for class in PackClass::ALL {
            let current = self.open[class.slot()].lock().clone();
            if let Some(pack) = current {
                self.detach(&pack);
            }
        }
        self.finish_all()?;
        self.write_index()
    }

    /// Learns which packs are about to be deleted, and says so.
    fn notice_condemned(&self) -> Result<()> {
        let generation = self.repo.learn_condemned()?;
        let needs = {
            let condemned = self.repo.condemned.read();
            let relied = self.relied.lock();
            let needed = relied.iter().filter(|(_, id)| condemned.contains(id));
            needed.map(|(class, id)| id.file(*class)).collect()
        };
        self.session.saw_generation(generation, needs)
    }

    /// Puts a new snapshot, and what was made for it, into the inventory. Returns the bytes that took.
    fn take_stock(&self, snapshot: &str) -> Result<u64> {
        let mut indexed = self.indexed.lock();
        let dictionaries = self.training.iter().filter_map(Training::dictionary_file);
        let new = [snapshot::file_name(snapshot)?];
        let added = indexed.iter().cloned().chain(dictionaries).chain(new);
        let bytes = self.session.take_stock(added, [])?;
        indexed.clear();
        Ok(bytes)
    }

    /// Waits for all closed packs; tries again those that failed.
    fn finish_all(&self) -> Result<()> {
        loop {
            let Some(mut entry) = self.closing.lock().pop() else {
                return Ok(());
            };
            if let Some(job) = entry.job.take() {
                // Its outcome is asked for again below, with the error if it failed.
                let _ = job.join();
            }
            match entry.pack.finish(&self.repo.backend) {
                Ok(size) => {
                    self.counters.written.fetch_add(size, Ordering::Relaxed);
                    if let Some(blocks) = &self.repo.blocks {
                        entry.pack.keep(blocks, size);
                    }
                    self.finished.lock().push(entry.pack);
                }
                Err(e) => {
                    self.closing.lock().push(entry);
                    return Err(e);
                }
            }
        }
    }

    /// Makes the finished packs known, then forgets them here.
    fn write_index(&self) -> Result<()> {
        let finished = std::mem::take(&mut *self.finished.lock());
        if finished.is_empty() {
            return Ok(());
        }
        let tables: Vec<_> = finished.iter().filter_map(|pack| pack.table()).collect();
        // Before others see them, who may condemn what no manifest needs yet.
        let own = finished.iter().map(|pack| (pack.class, pack.id()));
        self.relied.lock().extend(own);
        match self.repo.index.add(&tables) {
            Ok((name, bytes)) => {
                self.indexed.lock().push(name);
                self.counters.written.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(e) => {
                self.finished.lock().extend(finished);
                return Err(e);
            }
        }
        let indexed = tables.iter().flat_map(|table| &table.frames);
        let indexed = indexed.map(|frame| frame.objects.len()).sum();
        self.unindexed.fetch_sub(indexed, Ordering::Relaxed);
        let done: Vec<PackId> = finished.iter().map(|pack| pack.id()).collect();
        for shard in &self.pending {
            shard.write().retain(|_, place| !matches!(place, Pending::Packed { pack, .. } if done.contains(&pack.id())));
        }
        match self.merge_index() {
            Ok(bytes) => self.counters.written.fetch_add(bytes, Ordering::Relaxed),
            // Merging only saves work later; what was flushed is durable without it.
            Err(e) => {
                tracing::warn!("index files were not merged: {e}");
                0
            }
        };
        Ok(())
    }

    /// Merges index files when there are many, unless somebody else maintains the repository.
    fn merge_index(&self) -> Result<u64> {
        let repo = &self.repo;
        if !repo.index.is_crowded() {
            return Ok(0);
        }
        let Some(lock) = MaintenanceLock::try_acquire(&repo.backend)? else {
            return Ok(0);
        };
        repo.refresh_index()?;
        repo.index
            .merge(|new, old| repo.change_inventory(&lock, [new], old))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for entry in self.closing.get_mut() {
            if let Some(job) = entry.job.take() {
                let _ = job.join();
            }
        }
        // What no commit named is there nevertheless.
        let made = std::mem::take(self.indexed.get_mut());
        if !made.is_empty() {
            let dictionaries = self.training.iter().filter_map(Training::dictionary_file);
            let made = made.into_iter().chain(dictionaries);
            if let Err(e) = self.session.take_stock(made, []) {
                tracing::warn!("{e}");
            }
        }
    }
}
