//! A sealed file that proves that its owner lives: a session, a claim.
//!
//! `<folder>/<32 hex>` is JSON with who holds it, a beat, and what it is there to say. The owner alone
//! rewrites it. On a directory the owner holds an flock on `<folder>/<32 hex>.lock`, which is taken
//! before the file appears and freed after it went: the kernel says who lives. In an object store a
//! thread rewrites the file with a beat that counts up; see [`watch`](super::watch).
//!
//! The fence: whoever acts on a death deletes the file first. The owner asks [`Beacon::check`] whether
//! the file is still there before and after each step that only the living may take, and never makes
//! it again: who took so long to rewrite it that it may have been deleted in between takes it back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::error::{RepoError, Result};
use super::id::hex;
use super::key::random;
use super::lock::holder;
use super::seal::{FileType, open_file, seal_file};
use super::watch::Moment;
use crate::lockfile::LockFile;

/// Longest file that is read, in bytes: a session names a few files and roots, a claim its accounts.
const MAX_SIZE: u64 = 64 << 20;
/// What the names of lock files end in.
const LOCK: &str = ".lock";

/// A folder of such files.
#[derive(Clone, Copy)]
pub(crate) struct Folder {
    pub name: &'static str,
    pub kind: FileType,
}

impl Folder {
    pub(crate) fn file(&self, id: &str) -> String {
        format!("{}/{id}", self.name)
    }

    /// The id in a file's name.
    fn id<'a>(&self, file: &'a str) -> Option<&'a str> {
        let id = file.strip_prefix(self.name)?.strip_prefix('/')?;
        let hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        (id.len() == 32 && id.bytes().all(hex)).then_some(id)
    }

    /// The lock beside a file; only on a directory.
    fn lock(&self, root: &Path, id: &str) -> PathBuf {
        root.join(format!("{}{LOCK}", self.file(id)))
    }
}

/// What a file says.
#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    holder: String,
    beat: u64,
    #[serde(flatten)]
    content: T,
}

/// Somebody's file.
pub(crate) struct Found<T> {
    pub id: String,
    /// Process and host.
    pub holder: String,
    /// Counts up while its owner lives; only in an object store.
    pub beat: u64,
    /// False: its owner is dead for sure.
    pub alive: bool,
    /// What it says, or why it cannot be read.
    pub content: Result<T>,
}

/// This process's own file; it goes when this is dropped.
pub(crate) struct Beacon<T: Content> {
    owner: Arc<Owner<T>>,
    beating: Option<(Sender<()>, JoinHandle<()>)>,
    /// Freed last.
    _lock: Option<LockFile>,
}

/// What a file can be there to say.
pub(crate) trait Content: Serialize + DeserializeOwned + Send + 'static {}
impl<T: Serialize + DeserializeOwned + Send + 'static> Content for T {}

struct Owner<T> {
    repo: Arc<Inner>,
    folder: Folder,
    id: String,
    own: Mutex<Own<T>>,
}

/// One write at a time: held while the file is written.
struct Own<T> {
    sealed: Sealed<T>,
    lost: bool,
}

impl<T: Content> Beacon<T> {
    /// Makes the file.
    pub(crate) fn light(repo: &Arc<Inner>, folder: Folder, content: T) -> Result<Self> {
        let sealed = Sealed {
            holder: holder(),
            beat: 0,
            content,
        };
        let (id, lock) = loop {
            let id = hex(&random::<16>()?);
            let Some(root) = repo.backend.root() else {
                break (id, None);
            };
            // Whoever finds a lock without its file and without an owner removes it: then once more.
            if let Some(lock) = lock_new(root, folder, &id)? {
                break (id, Some(lock));
            }
        };
        let owner = Arc::new(Owner {
            repo: repo.clone(),
            folder,
            id,
            own: Mutex::new(Own {
                sealed,
                lost: false,
            }),
        });
        owner.write(&owner.own.lock().sealed)?;
        let beating = match lock {
            Some(_) => None,
            None => Some(beat(&owner)?),
        };
        Ok(Beacon {
            owner,
            beating,
            _lock: lock,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.owner.id
    }

    /// Fails when somebody took this process for dead.
    pub(crate) fn check(&self) -> Result<()> {
        self.owner.check(&mut self.owner.own.lock())
    }

    /// What the file says.
    pub(crate) fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.owner.own.lock().sealed.content)
    }

    /// Changes what the file says, durably. Returns its bytes. When it fails, the next write says it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) -> Result<u64> {
        self.owner.rewrite(change)
    }

    /// Leaves the file for others to read what it says; its owner is gone.
    pub(crate) fn leave(self) {
        self.owner.own.lock().lost = true;
    }
}

impl<T: Content> Drop for Beacon<T> {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.beating.take() {
            drop(stop);
            let _ = thread.join();
        }
        if !self.owner.own.lock().lost {
            // What can't be deleted now is removed by others, as if this process had died.
            if let Err(e) = remove(&self.owner.repo, self.owner.folder, &self.owner.id) {
                tracing::warn!("{e}");
            }
        }
    }
}

impl<T: Content> Owner<T> {
    fn file(&self) -> String {
        self.folder.file(&self.id)
    }

    fn write(&self, sealed: &Sealed<T>) -> Result<u64> {
        let (repo, file) = (&self.repo, self.file());
        let plain = serde_json::to_vec(sealed)
            .map_err(|e| RepoError::Invalid(format!("{file} cannot be written: {e}")))?;
        let bytes = seal_file(&repo.keys, &repo.config.id, self.folder.kind, &file, &plain)?;
        repo.backend.put(&file, &bytes)?;
        Ok(bytes.len() as u64)
    }

    fn check(&self, own: &mut Own<T>) -> Result<()> {
        let file = self.file();
        own.lost = own.lost || self.repo.backend.size(&file)?.is_none();
        match own.lost {
            true => Err(RepoError::SessionLost { file }),
            false => Ok(()),
        }
    }

    /// Writes the file anew with what is changed in it, unless this process was held for dead.
    fn rewrite(&self, change: impl FnOnce(&mut T)) -> Result<u64> {
        let mut own = self.own.lock();
        let begin = Moment::now();
        self.check(&mut own)?;
        change(&mut own.sealed.content);
        own.sealed.beat += 1;
        let written = self.write(&own.sealed);
        // Between looking and writing the process may have been stopped for as long as it takes to be
        // held for dead. What was written then is not to be believed. On a directory the lock tells.
        let watch = &self.repo.backend.watch;
        if !self.repo.backend.is_local() && begin.elapsed() >= watch.timing.dead {
            own.lost = true;
            if let Err(e) = remove(&self.repo, self.folder, &self.id) {
                tracing::warn!("{e}");
            }
            return Err(RepoError::SessionLost { file: self.file() });
        }
        written
    }
}

fn beat<T: Content>(owner: &Arc<Owner<T>>) -> Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = channel();
    let owner = owner.clone();
    let every = owner.repo.backend.watch.timing.refresh;
    let thread = std::thread::Builder::new()
        .name("tenantfs-beat".into())
        .spawn(move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                // Says that this process lives.
                if let Err(e) = owner.rewrite(|_| {}) {
                    tracing::warn!("{e}");
                }
            }
        })
        .map_err(|e| RepoError::io("cannot start a thread", e))?;
    Ok((stop, thread))
}

fn lock_new(root: &Path, folder: Folder, id: &str) -> Result<Option<LockFile>> {
    let path = folder.lock(root, id);
    let failed = |e| RepoError::io(format!("cannot lock {}", path.display()), e);
    std::fs::create_dir_all(root.join(folder.name)).map_err(failed)?;
    let lock = LockFile::take(&path).map_err(failed)?;
    Ok(lock.filter(|lock| lock.is_at(&path)))
}

/// All files of a folder.
pub(crate) fn find<T: Content>(repo: &Inner, folder: Folder) -> Result<Vec<Found<T>>> {
    let mut found = Vec::new();
    let listed = repo.backend.list(folder.name)?;
    repo.backend.watch.retain(|file| {
        folder.id(file).is_none()
            || listed
                .binary_search_by(|i| i.name.as_str().cmp(file))
                .is_ok()
    });
    for info in listed {
        let Some(id) = folder.id(&info.name) else {
            continue;
        };
        if info.size > MAX_SIZE {
            return Err(RepoError::damaged(info.name, "it is absurdly long"));
        }
        let bytes = match repo.backend.get(&info.name) {
            Ok(bytes) => bytes,
            // It ended meanwhile.
            Err(RepoError::FileMissing { .. }) => continue,
            Err(e) => return Err(e),
        };
        let dead = match repo.backend.root() {
            Some(root) => {
                let path = folder.lock(root, id);
                let failed = |e| RepoError::io(format!("cannot read {}", path.display()), e);
                let held = LockFile::is_held(&path).map_err(failed)?;
                if !held && repo.backend.size(&info.name)?.is_none() {
                    continue;
                }
                !held
            }
            None => repo.backend.watch.is_dead(&info.name, &bytes),
        };
        let sealed = read(repo, folder, &info.name, bytes);
        let (holder, beat) = match &sealed {
            Ok(sealed) => (sealed.holder.clone(), sealed.beat),
            Err(_) => ("an unknown process".to_owned(), 0),
        };
        found.push(Found {
            id: id.to_owned(),
            holder,
            beat,
            alive: !dead,
            content: sealed.map(|sealed: Sealed<T>| sealed.content),
        });
    }
    Ok(found)
}

fn read<T: Content>(repo: &Inner, folder: Folder, file: &str, bytes: Vec<u8>) -> Result<Sealed<T>> {
    let plain = open_file(&repo.keys, &repo.config.id, folder.kind, file, bytes)?;
    serde_json::from_slice(&plain).map_err(|e| RepoError::damaged(file, e.to_string()))
}

/// Removes the file of one that is dead, or one's own.
pub(crate) fn remove(repo: &Inner, folder: Folder, id: &str) -> Result<()> {
    repo.backend.delete(&folder.file(id))?;
    if let Some(root) = repo.backend.root() {
        remove_lock(&folder.lock(root, id))?;
    }
    Ok(())
}

fn remove_lock(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            let action = format!("cannot remove {}", path.display());
            Err(RepoError::io(action, e))
        }
        _ => Ok(()),
    }
}

/// Removes locks that nobody holds and that have no file: their owner died in between.
pub(crate) fn remove_stale_locks(repo: &Inner, folder: Folder) -> Result<()> {
    let Some(root) = repo.backend.root() else {
        return Ok(());
    };
    for info in repo.backend.list(folder.name)? {
        let id = info.name.strip_suffix(LOCK).and_then(|f| folder.id(f));
        let Some(id) = id else { continue };
        let path = folder.lock(root, id);
        let failed = |e| RepoError::io(format!("cannot lock {}", path.display()), e);
        if repo.backend.size(&folder.file(id))?.is_none()
            && let Some(_ours) = LockFile::take(&path).map_err(failed)?
        {
            remove_lock(&path)?;
        }
    }
    Ok(())
}
