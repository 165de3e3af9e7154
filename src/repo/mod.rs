//! The repository: sealed, deduplicated, append-only storage of objects and snapshots.
//!
//! It knows nothing of Graph, mail or directories. Objects are byte strings of a [`Kind`],
//! addressed by a keyed hash; many share a compressed and sealed frame, many frames a pack; an
//! index says where each is; a snapshot is a small sealed manifest with the ids of tree roots.
//! `FORMAT.md` beside this file describes every byte.
//!
//! Invariants: a file, once it has its name, never changes. What a file points at was durable
//! before it. All of it is authenticated, together with its name and the repository's id.
//!
//! Everything here blocks; async callers use `spawn_blocking`.

mod adopt;
mod backend;
mod beacon;
mod blocks;
mod check;
mod claim;
mod codec;
mod condemned;
mod config;
pub mod content;
mod dictionary;
mod error;
mod frame;
mod hold;
mod id;
mod index;
mod inventory;
mod key;
mod lock;
mod maintain;
mod pack;
mod parity;
mod prune;
mod reader;
mod rebuild;
mod repair;
mod retain;
mod sample;
mod scrub;
mod seal;
mod session;
mod snapshot;
mod stats;
mod stream;
mod table;
mod verify;
mod watch;
mod wire;
mod writer;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use secrecy::SecretString;

pub use backend::{Access, AzureLocation, Location, LockMode, ObjectLock, Patience, S3Location};
pub use claim::Claim;
pub use error::{RepoError, Result};
pub use hold::{Hold, check_tag};
pub use id::{Kind, ObjectId};
pub use key::{
    KdfCost, KeyInfo, KeyKind, KeyList, MasterKeyInfo, NewKey, Rotation, key_file_secret,
};
pub use lock::host_name;
pub use maintain::Maintenance;
pub use parity::Parity;
pub use prune::{Mark, Packs, PruneOptions, PrunePhase, PruneReport, Reach, Unused};
pub use rebuild::RebuildReport;
pub use repair::RepairReport;
pub use retain::{LockState, Renewal};
pub use sample::ReadData;
pub use scrub::PackCheck;
pub(crate) use snapshot::MAX_ADVANCE;
pub use snapshot::{Roots, Snapshot, SnapshotManifest, Totals, snapshot_name};
pub use stats::RepoStats;
pub use stream::Stream;
pub use verify::{DamagedFile, VerifyReport};
pub use writer::{Writer, WriterStats};

use backend::Backend;
use blocks::Blocks;
use config::Config;
use dictionary::Dictionaries;
use index::Index;
use inventory::Names;
use key::{Keys, Ring};
use lock::MaintenanceLock;
use session::Session;

/// Choices at [`Repository::init`].
#[derive(Clone, Default)]
pub struct InitOptions {
    /// What opens it: a password, or a file of random bytes.
    pub kind: KeyKind,
    /// Cost of guessing the password.
    pub kdf: KdfCost,
    /// Objects get the ids that they have in this repository, so that its snapshots can be copied
    /// object by object. Every key that seals is its own all the same.
    pub copies_of: Option<Repository>,
    /// Local state folder (index copies). `None`: a temporary one that goes with the handle.
    pub local: Option<PathBuf>,
    /// How it is used.
    pub access: Access,
}

/// An open repository. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    location: Location,
    backend: Arc<Backend>,
    keys: Keys,
    config: Config,
    id_keys: [blake3::Hasher; 5],
    hash_key: zeroize::Zeroizing<[u8; 32]>,
    index: Index,
    dictionaries: Dictionaries,
    frames: reader::FrameCache,
    packs: reader::PackCache,
    /// Packs of a remote repository that are kept here.
    blocks: Option<Blocks>,
    recipes: content::RecipeCache,
    /// By name, each with the mark that its file had in a listing.
    manifests: Mutex<HashMap<String, (String, Snapshot)>>,
    /// Packs whose objects writers of this handle store again: see [`condemned`].
    condemned: RwLock<HashSet<id::PackId>>,
    /// Those of this handle.
    writers: RwLock<Vec<Weak<writer::Shared>>>,
    /// What packs get from now on.
    parity: RwLock<Parity>,
    /// Keeps a temporary state folder while the handle lives.
    _temporary: Option<tempfile::TempDir>,
}

impl Repository {
    /// Makes a repository. The configuration is written last: an interrupted init leaves nothing
    /// that looks like a repository.
    pub fn init(
        location: &Location,
        password: &SecretString,
        options: &InitOptions,
    ) -> Result<Repository> {
        if let Location::Local(root) = location {
            std::fs::create_dir_all(root)
                .map_err(|e| RepoError::io(format!("cannot make {}", root.display()), e))?;
        }
        let (local, temporary) = match &options.local {
            Some(local) => (local.clone(), None),
            None => {
                let folder = tempfile::tempdir()
                    .map_err(|e| RepoError::io("cannot make a temporary folder", e))?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let backend = Arc::new(Backend::connect(location, &local, &options.access)?);
        Self::init_on(backend, location, password, options, &local, temporary)
    }

    fn init_on(
        backend: Arc<Backend>,
        location: &Location,
        password: &SecretString,
        options: &InitOptions,
        local: &Path,
        temporary: Option<tempfile::TempDir>,
    ) -> Result<Repository> {
        if backend.size(config::FILE)?.is_some() {
            return Err(RepoError::AlreadyExists {
                location: location.to_string(),
            });
        }
        if backend.root().is_some() && !options.access.append_only {
            // Two at once: the second waits for nothing and is told so.
            let _lock = MaintenanceLock::acquire(&backend)?;
            Self::write_new(&backend, location, password, options)?;
        } else {
            Self::write_new(&backend, location, password, options)?;
        }
        let cache_size = options.access.cache_size;
        Self::open_with(location, password, backend, local, cache_size, temporary)
    }

    fn write_new(
        backend: &Backend,
        location: &Location,
        password: &SecretString,
        options: &InitOptions,
    ) -> Result<()> {
        let exists = || RepoError::AlreadyExists {
            location: location.to_string(),
        };
        // Another one may have got here first while this one waited for the lock.
        if backend.size(config::FILE)?.is_some() {
            return Err(exists());
        }
        for folder in ["data", "meta", index::FOLDER, snapshot::FOLDER] {
            if !backend.list(folder)?.is_empty() {
                return Err(exists());
            }
        }
        let before = backend.list(key::FOLDER)?;
        let now = jiff::Timestamp::now().as_second();
        let ring = match &options.copies_of {
            Some(source) => Ring::with_ids_of(&source.inner.keys, now)?,
            None => Ring::generate(now)?,
        };
        let first = NewKey {
            kind: options.kind,
            kdf: options.kdf,
            label: String::new(),
        };
        let own = key::create(backend, password, &first, &ring)?;
        let keys = Keys::new(ring);
        let config = Config {
            id: key::random()?,
            created: now,
            chunker: config::Chunker::default(),
            conditional_create: backend.probe_create()?,
        };
        // Where there is no lock several may be at it. The configuration says whose the repository is: who
        // comes too late for that takes back its own key file and no other, and who does not removes those
        // that it found at first, of which none can be of this repository.
        let inventory = inventory::first(&keys, &config.id, &own)?;
        let sealed = config.seal(&keys)?;
        let mut ours = backend.size(config::FILE)?.is_none() && {
            backend.put(inventory::FILE, &inventory)?;
            backend.create(config::FILE, &sealed)?
        };
        if ours && !config.conditional_create {
            std::thread::sleep(backend.watch.timing.settle);
            ours = backend.get(config::FILE)? == sealed;
        }
        if ours && !backend.is_local() && backend.get(inventory::FILE)? != inventory {
            backend.put(inventory::FILE, &inventory)?;
        }
        let stale = match ours {
            true => before.into_iter().map(|info| info.name).collect(),
            false => vec![own.0],
        };
        for file in stale {
            if let Err(e) = backend.delete(&file) {
                tracing::warn!("{e}; {file} opens nothing and can be removed");
            }
        }
        ours.then_some(()).ok_or_else(exists)
    }

    /// Opens a repository. `local` holds copies of its index; it can be shared by several
    /// repositories, and deleted at any time while none is open.
    pub fn open(location: &Location, password: &SecretString, local: &Path) -> Result<Repository> {
        Self::open_as(location, password, local, &Access::default())
    }

    /// The same, used in another way than the default.
    pub fn open_as(
        location: &Location,
        password: &SecretString,
        local: &Path,
        access: &Access,
    ) -> Result<Repository> {
        if let Location::Local(root) = location
            && !root.join(config::FILE).is_file()
        {
            return Err(RepoError::NotARepository {
                location: location.to_string(),
            });
        }
        let backend = Arc::new(Backend::connect(location, local, access)?);
        Self::open_with(location, password, backend, local, access.cache_size, None)
    }

    fn open_with(
        location: &Location,
        password: &SecretString,
        backend: Arc<Backend>,
        local: &Path,
        cache_size: u64,
        temporary: Option<tempfile::TempDir>,
    ) -> Result<Repository> {
        let sealed = backend.get(config::FILE).map_err(|e| match e {
            RepoError::FileMissing { .. } => RepoError::NotARepository {
                location: location.to_string(),
            },
            other => other,
        })?;
        seal::check_version(config::FILE, &sealed)?;
        let (keys, config) = key::unlock(&backend, password, |keys| {
            Config::open(keys, sealed.clone())
        })?;
        let local = local.join(id::hex(&config.id));
        std::fs::create_dir_all(&local)
            .map_err(|e| RepoError::io(format!("cannot make {}", local.display()), e))?;
        let index = Index::new(
            backend.clone(),
            keys.clone(),
            config.id,
            local.join(index::FOLDER),
        );
        index.refresh(|| None)?;
        let ids = keys.ids();
        let id_keys = Kind::ALL.map(|kind| {
            blake3::Hasher::new_keyed(&ids.derive("tenantfs 2026-11-22 object id", &[kind as u8]))
        });
        let blocks =
            (!backend.is_local()).then(|| Blocks::new(backend.clone(), &local, cache_size));
        let inner = Inner {
            blocks,
            location: location.clone(),
            hash_key: ids.derive("tenantfs 2026-11-22 keyed hash", &[]),
            dictionaries: Dictionaries::new(backend.clone(), keys.clone(), config.id),
            frames: reader::frame_cache(),
            packs: quick_cache::sync::Cache::new(reader::PACK_CACHE),
            recipes: content::recipe_cache(),
            manifests: Mutex::default(),
            condemned: RwLock::default(),
            writers: RwLock::default(),
            parity: RwLock::default(),
            _temporary: temporary,
            backend,
            keys,
            config,
            id_keys,
            index,
        };
        Ok(Repository {
            inner: Arc::new(inner),
        })
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Repository { inner }
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.inner.location
    }

    /// True when this host only adds to it.
    pub fn is_append_only(&self) -> bool {
        self.inner.backend.is_append_only()
    }

    /// Its random id, in hex: names its state in a local folder.
    pub fn id(&self) -> String {
        id::hex(&self.inner.config.id)
    }

    /// The id this object has, stored or not.
    pub fn id_of(&self, kind: Kind, data: &[u8]) -> ObjectId {
        self.inner.id_of(kind, data)
    }

    /// A hash under the repository's own key, for one purpose named by `context`.
    pub fn keyed_hash(&self, context: &str, data: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.inner.hash_key);
        hasher.update(&(context.len() as u64).to_le_bytes());
        hasher.update(context.as_bytes());
        hasher.update(data);
        *hasher.finalize().as_bytes()
    }

    /// True when both give the same objects the same ids, so that objects can be copied as they are:
    /// one was made for copies of the other ([`InitOptions::copies_of`]).
    pub fn shares_ids_with(&self, other: &Repository) -> bool {
        let hash = |repo: &Repository| repo.keyed_hash("shared ids", b"");
        hash(self) == hash(other)
    }

    /// True when the object is stored, or was put by a writer of this handle.
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.inner.pending(id).is_some() || self.inner.index.find(id).is_some()
    }

    /// Length of an object; `None` when it is not known.
    pub fn size_of(&self, id: &ObjectId) -> Result<Option<u64>> {
        use writer::Pending::{Open, Packed};
        if let Some(Open { len, .. } | Packed { len, .. }) = self.inner.pending(id) {
            return Ok(Some(len.into()));
        }
        Ok(self.inner.place(id)?.map(|place| place.len.into()))
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// [`RepoError::ObjectMissing`], [`RepoError::WrongKind`], or that its pack is missing or
    /// damaged.
    pub fn get(&self, kind: Kind, id: &ObjectId) -> Result<Bytes> {
        self.inner.get(kind, id)
    }

    /// How much parity packs get that this handle begins from now on, and that
    /// [`Repository::repair`] gives to those without. None unless it is set.
    pub fn set_parity(&self, parity: Parity) {
        *self.inner.parity.write() = parity;
    }

    /// The packs that the index names, by their files' names, sorted. Costs no request.
    pub fn packs(&self) -> Vec<String> {
        let packs = self.inner.index.packs().into_iter();
        let mut names: Vec<_> = packs.map(|(class, id, _)| id.file(class)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A new writer; any number can write at once, here and elsewhere.
    ///
    /// # Errors
    /// [`RepoError::ListingShrank`], among others of the disk or store.
    pub fn writer(&self) -> Result<Writer> {
        // Keys that were rotated meanwhile seal what is written from here on.
        self.inner.keys.reload()?;
        let session = Session::begin(&self.inner)?;
        session.saw_generation(self.inner.learn_condemned()?, Names::new())?;
        self.inner.adopt(&session)?;
        Writer::new(self.inner.clone(), session)
    }

    /// All snapshots, complete or not, sorted by time. Call it again to see new ones. One that is
    /// damaged is left out and logged; [`Repository::verify`] reports it.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let (snapshots, damaged) = self.inner.snapshots()?;
        for error in damaged {
            tracing::error!("{error}");
        }
        Ok(snapshots)
    }

    /// The same when it must not be that one is left out.
    ///
    /// # Errors
    /// [`RepoError::Damaged`] and [`RepoError::FileMissing`]: one cannot be read, or was lost.
    pub fn all_snapshots(&self) -> Result<Vec<Snapshot>> {
        let (snapshots, damaged) = self.inner.snapshots()?;
        if let Some(error) = damaged.into_iter().next() {
            return Err(error);
        }
        self.inner.nothing_lost(snapshot::FOLDER)?;
        Ok(snapshots)
    }

    /// What is to go wrong.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> &tests::Faults {
        &self.inner.backend.faults
    }
}

impl Inner {
    pub(crate) fn id_of(&self, kind: Kind, data: &[u8]) -> ObjectId {
        let mut hasher = self.id_keys[kind.slot()].clone();
        hasher.update(data);
        let hash = hasher.finalize();
        let mut id = [0; 20];
        id.copy_from_slice(&hash.as_bytes()[..20]);
        ObjectId(id)
    }

    /// Where an object is that a writer of this handle has, and the index not yet.
    pub(crate) fn pending(&self, id: &ObjectId) -> Option<writer::Pending> {
        let writers = self.writers.read();
        writers
            .iter()
            .filter_map(Weak::upgrade)
            .find_map(|writer| writer.pending(id))
    }

    /// Takes in index files that appeared, drops those that are gone. True when anything changed.
    pub(crate) fn refresh_index(&self) -> Result<bool> {
        self.index.refresh(|| self.read_inventory().ok())
    }
}

#[cfg(test)]
pub(crate) mod tests;
