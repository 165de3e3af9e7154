//! Where the files are: a local directory, an S3 bucket or an Azure container, all through
//! `object_store`.
//!
//! A blocking facade with few calls. What it promises: a file appears whole or not at all, is
//! durable when the call returns (local: fsync of file and folder), and [`Backend::create`] never
//! replaces anything. Local packs bypass the store on the way in (a pack is written while it
//! grows, then fsynced and renamed) and out (pread).

mod disk;
mod location;
mod remote;
mod retain;
mod signed;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::error::{RepoError, Result};
use super::id::hex;
use super::key::random;
use super::watch::Watch;
use disk::read_error;
use remote::Runtime;
use retain::Locks;

pub(crate) use disk::{pread, remove_abandoned, sync_dir};
pub use location::{Access, AzureLocation, Location, LockMode, ObjectLock, Patience, S3Location};
pub(crate) use retain::is_lockable;

/// A file in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileInfo {
    /// Name relative to the repository.
    pub name: String,
    pub size: u64,
    /// Changes when the file is replaced.
    pub mark: String,
}

/// Small files that are read from a remote store at the same time.
const AT_A_TIME: usize = 16;

/// Where a host that only adds may replace and delete: what it says of itself, and files being written.
const OWN_FOLDERS: [&str; 3] = ["sessions", "claims", STAGING];

/// Tries to create a file whose answers are lost.
const CREATE_TRIES: u32 = 3;

/// Folder for files that are still being written, each session's in a folder of its own.
pub(crate) const STAGING: &str = "tmp";

pub(crate) struct Backend {
    store: Arc<dyn ObjectStore>,
    prefix: StorePath,
    root: Option<PathBuf>,
    /// Runs the HTTP client of a remote store; a directory needs none.
    runtime: Option<Runtime>,
    /// Where packs grow, below a folder a session: in the repository itself, or in the local state folder.
    staging: PathBuf,
    /// Nothing is deleted or replaced, see [`Access::append_only`].
    append_only: bool,
    /// An S3 store's, which can keep files from being deleted.
    locks: Option<Arc<Locks>>,
    /// Who else lives.
    pub(crate) watch: Watch,
    #[cfg(test)]
    pub(crate) faults: super::tests::Faults,
}

impl Backend {
    /// Connects. `local` is where a remote repository's packs grow before they are uploaded.
    pub(crate) fn connect(location: &Location, local: &Path, access: &Access) -> Result<Self> {
        if access.lock.is_some() && !matches!(location, Location::S3(_)) {
            return Err(RepoError::NoObjectLock {
                location: location.to_string(),
                reason: "only S3 stores have it".into(),
            });
        }
        let (store, prefix) = match location {
            Location::Local(root) => return Self::connect_directory(root, access),
            Location::S3(s3) => (
                remote::s3(s3, access).map(|(store, locks)| (store, Some(Arc::new(locks)))),
                &s3.prefix,
            ),
            Location::Azure(azure) => (
                remote::azure(azure, access.patience).map(|store| (store, None)),
                &azure.prefix,
            ),
        };
        let (store, locks) =
            store.map_err(|e| remote::failure(format!("cannot use {location}"), e))?;
        // Several repositories may share a state folder.
        let place = format!("{location} {}", location.endpoint().unwrap_or_default());
        let backend = Backend {
            store,
            locks,
            prefix: StorePath::parse(prefix)
                .map_err(|e| RepoError::Invalid(format!("prefix {prefix:?}: {e}")))?,
            root: None,
            runtime: Some(Runtime::start()?),
            staging: local
                .join(STAGING)
                .join(&blake3::hash(place.as_bytes()).to_hex()[..16]),
            append_only: access.append_only,
            watch: Watch::default(),
            #[cfg(test)]
            faults: Default::default(),
        };
        backend.check_lock(location)?;
        Ok(backend)
    }

    fn connect_directory(root: &Path, access: &Access) -> Result<Self> {
        let failed = |e| RepoError::store(format!("cannot use {}", root.display()), e);
        let root = root
            .canonicalize()
            .map_err(|e| RepoError::io(format!("cannot use {}", root.display()), e))?;
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(failed)?
            .with_fsync(true);
        Ok(Backend {
            store: Arc::new(store),
            prefix: StorePath::default(),
            staging: root.join(STAGING),
            root: Some(root),
            runtime: None,
            locks: None,
            append_only: access.append_only,
            watch: Watch::default(),
            #[cfg(test)]
            faults: Default::default(),
        })
    }

    /// A remote store in memory, with create-if-absent, reached as a bucket would be.
    #[cfg(test)]
    pub(crate) fn in_memory(local: &Path, timing: super::watch::Timing) -> Result<Self> {
        Ok(Backend {
            store: Arc::new(object_store::memory::InMemory::new()),
            prefix: StorePath::from("some/prefix"),
            root: None,
            runtime: Some(Runtime::start()?),
            locks: None,
            staging: local.join(STAGING),
            append_only: false,
            watch: Watch::with(timing),
            faults: Default::default(),
        })
    }

    /// The directory of a local repository.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Where the folders are that packs grow in, one a session.
    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }

    /// A whole file.
    pub(crate) fn get(&self, file: &str) -> Result<Vec<u8>> {
        if let Some(root) = &self.root {
            return fs::read(root.join(file)).map_err(|e| read_error(file, e));
        }
        let (store, path) = (self.store.clone(), self.path(file));
        self.run(async move { store.get(&path).await?.bytes().await })
            .map(Vec::from)
            .map_err(|e| self.read_failure(file, e))
    }

    /// Several whole files, a remote store's at the same time.
    pub(crate) fn get_each(&self, files: &[String]) -> Vec<Result<Vec<u8>>> {
        if self.root.is_some() || files.len() < 2 {
            return files.iter().map(|file| self.get(file)).collect();
        }
        let store = self.store.clone();
        let paths: Vec<StorePath> = files.iter().map(|file| self.path(file)).collect();
        let got: Vec<_> = self.run(async move {
            let one = |path| {
                let store = store.clone();
                async move { store.get(&path).await?.bytes().await }
            };
            futures::stream::iter(paths.into_iter().map(one))
                .buffered(AT_A_TIME)
                .collect()
                .await
        });
        got.into_iter()
            .zip(files)
            .map(|(got, file)| got.map(Vec::from).map_err(|e| self.read_failure(file, e)))
            .collect()
    }

    /// A range of a remote file; local files are opened and pread.
    pub(crate) fn get_range(&self, file: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        if self.root.is_some() {
            let handle = self.open_local(file)?;
            return pread(&handle, offset, len).map_err(|e| read_error(file, e));
        }
        let bytes = self.get_up_to(file, offset, len)?;
        if (bytes.len() as u64) < len {
            return Err(RepoError::damaged(file, "it is shorter than it was"));
        }
        Ok(bytes)
    }

    /// The same, fewer bytes where the file ends before, none where it does not even reach the offset.
    pub(crate) fn get_up_to(&self, file: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        let (store, path) = (self.store.clone(), self.path(file));
        match self.run(async move { store.get_range(&path, offset..offset + len).await }) {
            Ok(bytes) => Ok(Vec::from(bytes)),
            Err(e) if remote::is_behind_the_end(&e) => Ok(Vec::new()),
            Err(e) => Err(self.read_failure(file, e)),
        }
    }

    /// A local repository's file, open for reading.
    pub(crate) fn open_local(&self, file: &str) -> Result<File> {
        let root = self.root.as_deref().unwrap_or(&self.staging);
        File::open(root.join(file)).map_err(|e| read_error(file, e))
    }

    /// True when this host only adds.
    pub(crate) fn is_append_only(&self) -> bool {
        self.append_only
    }

    /// Fails when this host only adds and the file is not one of its own.
    fn may_change(&self, action: String, file: &str) -> Result<()> {
        let own = OWN_FOLDERS.iter().any(|folder| {
            file.strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        if self.append_only && !own {
            return Err(RepoError::AppendOnly { action });
        }
        Ok(())
    }

    /// True when files are read with pread rather than through the store.
    pub(crate) fn is_local(&self) -> bool {
        self.root.is_some()
    }

    /// Bytes of a file, `None` when there is none.
    pub(crate) fn size(&self, file: &str) -> Result<Option<u64>> {
        let (store, path) = (self.store.clone(), self.path(file));
        match self.run(async move { store.head(&path).await }) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failure(format!("cannot look at {file}"), e)),
        }
    }

    /// All files below a folder (all of the repository's with ""), sorted by name.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<FileInfo>> {
        let (store, path) = (self.store.clone(), self.path(folder));
        let metas: Vec<_> = self
            .run(async move { store.list(Some(&path)).try_collect().await })
            .map_err(|e| self.failure(format!("cannot list {folder}/"), e))?;
        let mut files = Vec::with_capacity(metas.len());
        for meta in metas {
            if let Some(parts) = meta.location.prefix_match(&self.prefix) {
                let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
                files.push(FileInfo {
                    name: parts.join("/"),
                    size: meta.size,
                    mark: meta.e_tag.unwrap_or_else(|| meta.last_modified.to_string()),
                });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Creates a file; false when one of that name is there already (it stays as it is).
    ///
    /// No two writers have the same bytes: what is created has a random salt or owner in it. So where
    /// an object store's answer was lost, or a retry found the first try's file, reading it back tells
    /// whose it is. Stores that do not honour create-if-absent are asked for the file first, which
    /// leaves them a moment in which two may create the same name.
    pub(crate) fn create(&self, file: &str, bytes: &[u8]) -> Result<bool> {
        let made = self.make(file, bytes)?;
        if made {
            self.retain(file)?;
        }
        Ok(made)
    }

    fn make(&self, file: &str, bytes: &[u8]) -> Result<bool> {
        if self.is_local() {
            return match self.write(file, bytes, PutMode::Create) {
                Ok(()) => Ok(true),
                Err(e) if is_there(&e) => Ok(false),
                Err(e) => Err(self.failure(format!("cannot write {file}"), e)),
            };
        }
        if self.size(file)?.is_some() {
            return Ok(false);
        }
        let mut tries = 0;
        loop {
            let failed = match self.write(file, bytes, PutMode::Create) {
                Ok(()) => return Ok(true),
                Err(e) => e,
            };
            tries += 1;
            match self.get(file) {
                Ok(there) => return Ok(there == bytes),
                // The answer was lost, and the file too: a store retries no such request by itself.
                Err(RepoError::FileMissing { .. }) if tries < CREATE_TRIES && is_lost(&failed) => {}
                Err(_) => return Err(self.failure(format!("cannot write {file}"), failed)),
            }
        }
    }

    /// Creates or replaces a file.
    pub(crate) fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        if self.append_only && self.size(file)?.is_some() {
            self.may_change(format!("cannot replace {file}"), file)?;
        }
        self.write(file, bytes, PutMode::Overwrite)
            .map_err(|e| self.failure(format!("cannot write {file}"), e))?;
        self.retain(file)
    }

    /// Moves a finished local file to its name in the repository, durably. The file is synced here.
    pub(crate) fn put_file(&self, from: &Path, handle: &File, file: &str) -> Result<()> {
        let failed = |e| RepoError::io(format!("cannot write {file}"), e);
        let Some(root) = &self.root else {
            let (store, path, staged) = (self.writing(), self.path(file), from.to_owned());
            self.run(async move { remote::upload(store, path, &staged).await })
                .map_err(|e| self.failure(format!("cannot write {file}"), e))?;
            self.retain(file)?;
            return fs::remove_file(from)
                .map_err(|e| RepoError::io(format!("cannot remove {}", from.display()), e));
        };
        self.step().map_err(failed)?;
        handle.sync_data().map_err(failed)?;
        self.step().map_err(failed)?;
        let to = root.join(file);
        if let Some(folder) = to.parent() {
            if !folder.is_dir() {
                fs::create_dir_all(folder).map_err(failed)?;
                if let Some(above) = folder.parent() {
                    sync_dir(above).map_err(failed)?;
                }
            }
            match fs::rename(from, &to) {
                // An earlier try got this far and failed afterwards.
                Err(e) if e.kind() == io::ErrorKind::NotFound && to.is_file() => {}
                renamed => renamed.map_err(failed)?,
            }
            self.step().map_err(failed)?;
            sync_dir(folder).map_err(failed)?;
        }
        Ok(())
    }

    /// A moment at which the process may die or the disk be full; tests choose which.
    pub(crate) fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.step()?;
        Ok(())
    }

    /// Makes a second name for a file, durably: `<folder>/<its name>`. One that is there stays.
    pub(crate) fn set_aside(&self, file: &str, folder: &str) -> Result<()> {
        let to = format!("{folder}/{file}");
        let failed = |e| RepoError::io(format!("cannot keep {file} as {to}"), e);
        self.step().map_err(failed)?;
        let Some(root) = &self.root else {
            let (store, from, to_path) = (self.store.clone(), self.path(file), self.path(&to));
            return self
                .run(async move { store.copy(&from, &to_path).await })
                .map_err(|e| RepoError::store(format!("cannot keep {file} as {to}"), e));
        };
        let path = root.join(&to);
        let folders = path.ancestors().skip(1).take_while(|path| path != root);
        let folders: Vec<_> = folders.map(Path::to_owned).collect();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        match fs::hard_link(root.join(file), &path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            // Not every file system has links.
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                let bytes = self.get(file)?;
                self.put(&to, &bytes)?;
            }
            linked => linked.map_err(failed)?,
        }
        self.step().map_err(failed)?;
        for folder in folders.iter().map(PathBuf::as_path).chain([root.as_path()]) {
            sync_dir(folder).map_err(failed)?;
        }
        Ok(())
    }

    /// True when the store honours create-if-absent. Some S3 stores answer 200 and overwrite.
    pub(crate) fn probe_create(&self) -> Result<bool> {
        if self.is_local() {
            return Ok(true);
        }
        // Others may be at it.
        let file = &format!("{STAGING}/probe-{}", hex(&random::<8>()?));
        self.put(file, b"first")?;
        let refused = match self.write(file, b"second", PutMode::Create) {
            Ok(()) => false,
            Err(e) if is_there(&e) => true,
            Err(e) => return Err(self.failure(format!("cannot write {file}"), e)),
        };
        let honoured = refused && self.get(file)? == b"first";
        self.delete(file)?;
        Ok(honoured)
    }

    /// Deletes a file; fine when there is none.
    pub(crate) fn delete(&self, file: &str) -> Result<()> {
        self.may_change(format!("cannot delete {file}"), file)?;
        self.step()
            .map_err(|e| RepoError::io(format!("cannot delete {file}"), e))?;
        let (store, path) = (self.store.clone(), self.path(file));
        match self.run(async move { store.delete(&path).await }) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            // Its own file, and the key may not delete. Others see that it is written no more.
            Err(object_store::Error::PermissionDenied { .. }) if self.append_only => Ok(()),
            Err(e) => Err(self.failure(format!("cannot delete {file}"), e)),
        }
    }

    fn write(&self, file: &str, bytes: &[u8], mode: PutMode) -> Result<(), object_store::Error> {
        let fault = |e: io::Error| object_store::Error::Generic {
            store: "step",
            source: Box::new(e),
        };
        self.step().map_err(fault)?;
        let (store, path) = (self.writing(), self.path(file));
        let payload = PutPayload::from(bytes.to_vec());
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        self.run(async move { store.put_opts(&path, payload, options).await.map(drop) })?;
        self.step().map_err(fault)
    }

    fn path(&self, file: &str) -> StorePath {
        let mut path = self.prefix.clone();
        for part in file.split('/').filter(|part| !part.is_empty()) {
            path = path.join(part);
        }
        path
    }

    /// Waits for a future.
    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        match &self.runtime {
            Some(runtime) => runtime.run(future),
            None => futures::executor::block_on(future),
        }
    }

    fn failure(&self, action: String, error: object_store::Error) -> RepoError {
        if self.is_local() {
            RepoError::store(action, error)
        } else {
            remote::failure(action, error)
        }
    }

    fn read_failure(&self, file: &str, error: object_store::Error) -> RepoError {
        match error {
            object_store::Error::NotFound { .. } => RepoError::FileMissing { file: file.into() },
            other => self.failure(format!("cannot read {file}"), other),
        }
    }
}

/// A file of that name is there already.
fn is_there(error: &object_store::Error) -> bool {
    matches!(
        error,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }
    )
}

/// No answer came that says why.
fn is_lost(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Generic { .. })
}
