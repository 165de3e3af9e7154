//! A lock on this machine: an exclusive flock on a file, freed when its holder drops it or dies.
//!
//! It is unlocked by name and not just closed. A program that this process is starting holds copies of
//! all descriptors between fork(2) and execve(2), and a lock that only its last copy frees would be seen
//! as held for that moment by whoever takes it next.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Longest note that is read of a holder, in bytes.
const MAX_NOTE: u64 = 300;

/// A lock that is held.
pub(crate) struct LockFile(File);

impl LockFile {
    /// Locks the file at `path`, which is made if it is not there; `None`: somebody has it.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn take(path: &Path) -> io::Result<Option<LockFile>> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(LockFile(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether somebody holds the lock at `path`. Asking keeps nobody else from asking.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                drop(LockFile(file));
                Ok(false)
            }
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether the file at `path` still is the one that is locked here: not so when somebody removed it
    /// between its making and its locking.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        match (self.0.metadata(), path.metadata()) {
            (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }

    /// Says in the file who holds it. A hint for people only: a full disk keeps nobody from locking.
    pub(crate) fn note(&mut self, holder: &str) {
        let _ = self.0.set_len(0);
        let _ = self.0.write_all(holder.as_bytes());
    }

    /// What the holder of the lock at `path` said.
    pub(crate) fn holder(path: &Path) -> Option<String> {
        let mut text = String::new();
        let file = File::open(path).ok()?;
        file.take(MAX_NOTE).read_to_string(&mut text).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // It can't fail on a descriptor that is locked; closing would free it anyway.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_who_can_be_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut held = LockFile::take(&path).unwrap().unwrap();
        held.note("process 1");
        assert!(LockFile::take(&path).unwrap().is_none());
        assert_eq!(LockFile::holder(&path).as_deref(), Some("process 1"));
        assert!(LockFile::is_held(&path).unwrap() && held.is_at(&path));
        std::fs::rename(&path, dir.path().join("away")).unwrap();
        assert!(!held.is_at(&path) && !LockFile::is_held(&path).unwrap());
        std::fs::rename(dir.path().join("away"), &path).unwrap();
        drop(held);
        assert!(!LockFile::is_held(&path).unwrap());
        assert!(LockFile::take(&path).unwrap().is_some());
    }

    #[test]
    fn a_copy_of_the_descriptor_keeps_nothing_locked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = LockFile::take(&path).unwrap().unwrap();
        let copy = held.0.try_clone().unwrap();
        drop(held);
        assert!(LockFile::take(&path).unwrap().is_some());
        drop(copy);
    }
}
