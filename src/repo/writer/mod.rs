//! The writer: streams, what is in flight, commit. How packs fill is in [`packing`], what makes them durable
//! in [`flush`].
//!
//! [`Stream::put`] hashes, drops what is known, and collects small objects in frames; encoding and
//! sealing happen on the calling thread, outside of all shared locks. What was put is readable at
//! once on the same repository handle, and durable after [`Writer::flush`]: packs first, then the
//! index file that names them. [`Writer::commit`] flushes and then creates the manifest: whatever
//! dies before that leaves only files nobody points at.
//!
//! What is put between two flushes may be more than memory holds the places of: full packs go into an
//! index file as soon as there are many objects in them.

mod flush;
mod packing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};

use super::Inner;
use super::dictionary::{self, Dictionary, Samples, Training};
use super::error::Result;
use super::frame::OpenFrame;
use super::id::{Kind, ObjectId, PackClass, PackId};
use super::pack::OpenPack;
use super::session::Session;
use super::snapshot::{self, Snapshot, SnapshotManifest};
use super::stream::{Stream, StreamState};

/// The map of what is in flight is in so many parts, each with its own lock.
const SHARDS: usize = 64;

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
    /// In a frame that takes more.
    Open {
        frame: Arc<OpenFrame>,
        offset: u32,
        len: u32,
    },
    /// In a frame of a pack that no index names yet.
    Packed {
        pack: Arc<OpenPack>,
        number: u32,
        offset: u32,
        len: u32,
    },
}

/// What all clones of a writer and all its streams have in common.
pub(crate) struct Shared {
    repo: Arc<Inner>,
    pending: Vec<RwLock<HashMap<ObjectId, Pending>>>,
    streams: Mutex<Vec<Arc<StreamState>>>,
    training: Vec<Training>,
    /// Full frames that found no place (no pack could be made): first thing to store next time.
    waiting: Mutex<Vec<Waiting>>,
    /// Shared by those who took frames from a list and have not placed them yet: see [`packing`].
    placing: RwLock<()>,
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

/// A pack that takes no more frames, and the thread that completes it.
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
            placing: RwLock::default(),
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
    /// [`RepoError::PackGone`]: a repair gave up what this writer took for stored. Another writer stores it.
    ///
    /// [`RepoError::SessionLost`]: super::RepoError::SessionLost
    /// [`RepoError::PackGone`]: super::RepoError::PackGone
    pub fn commit(&self, mut manifest: SnapshotManifest) -> Result<Snapshot> {
        let shared = &self.shared;
        shared.flush()?;
        shared.nothing_is_gone()?;
        shared.session.check()?;
        manifest.totals.added = self.bytes_written();
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
        shared.nothing_is_gone()?;
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
    /// The repository that is written.
    pub(crate) fn repository(&self) -> super::Repository {
        super::Repository::from_inner(self.repo.clone())
    }

    /// The id that an object gets.
    pub(crate) fn id_of(&self, kind: Kind, data: &[u8]) -> ObjectId {
        self.repo.id_of(kind, data)
    }

    /// Counts an object of so many bytes that was stored.
    pub(crate) fn count_new(&self, len: usize) {
        self.counters.objects_new.fetch_add(1, Ordering::Relaxed);
        self.counters
            .bytes_new
            .fetch_add(len as u64, Ordering::Relaxed);
    }

    /// Counts one that was there already.
    pub(crate) fn count_known(&self, len: usize) {
        self.counters.objects_known.fetch_add(1, Ordering::Relaxed);
        self.counters
            .bytes_known
            .fetch_add(len as u64, Ordering::Relaxed);
    }

    /// The part of the map of what is in flight that an object belongs to.
    pub(crate) fn shard(&self, id: &ObjectId) -> &RwLock<HashMap<ObjectId, Pending>> {
        &self.pending[id.0[19] as usize % SHARDS]
    }

    /// Where an object is that the index does not know yet.
    pub(crate) fn pending(&self, id: &ObjectId) -> Option<Pending> {
        self.shard(id).read().get(id).cloned()
    }

    /// True when the object is stored, or in flight here. A pack that has it is relied on from now on.
    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
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
