//! One writer at a time.
//!
//! Local: an flock on the file `lock`; the kernel frees it when the holder dies, however it dies.
//! The file's text names the holder for the message others get.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::backend::Backend;
use super::error::{RepoError, Result};

/// File (or object) that stands for the lock.
pub(crate) const FILE: &str = "lock";

/// The writer's lock; free when dropped.
pub(crate) enum WriterLock {
    Local { _file: File },
}

impl WriterLock {
    /// Takes the lock or says who has it.
    pub(crate) fn acquire(backend: &Arc<Backend>) -> Result<Self> {
        match backend.root() {
            Some(root) => Self::local(root),
            None => Err(RepoError::Invalid(
                "object stores cannot be locked yet".into(),
            )),
        }
    }

    /// Fails when the lock was lost meanwhile. The kernel's lock cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            WriterLock::Local { .. } => Ok(()),
        }
    }

    fn local(root: &std::path::Path) -> Result<Self> {
        let path = root.join(FILE);
        let failed = |e| RepoError::io(format!("cannot lock {}", path.display()), e);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // A hint for people only; a full disk must not keep anybody from locking.
                let _ = file.set_len(0);
                let _ = file.write_all(holder().as_bytes());
                Ok(WriterLock::Local { _file: file })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = Read::by_ref(&mut file).take(300).read_to_string(&mut text);
                let text = text.trim();
                let holder = if text.is_empty() {
                    "another process".into()
                } else {
                    text.to_owned()
                };
                Err(RepoError::Locked { holder })
            }
            Err(e) => Err(failed(e.into())),
        }
    }
}

/// This process, for messages.
pub(crate) fn holder() -> String {
    format!("process {} on {}", std::process::id(), host_name())
}

/// This machine's name.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
