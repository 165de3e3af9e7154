//! What can go wrong in a repository, and what to do about it.
//!
//! Each message says what failed, on what, and what helps. No variant carries a secret.

use std::io;

use super::id::{Kind, ObjectId};

/// Failure of a repository operation.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// The operating system refused a file operation.
    #[error("{action}: {source}")]
    Io {
        /// What was tried, on which file.
        action: String,
        /// The system's reason.
        source: io::Error,
    },
    /// ENOSPC or EDQUOT.
    #[error(
        "{action}: no space left (ENOSPC). Nothing that was committed is lost; make room on the \
         repository's or the state folder's disk and the work goes on"
    )]
    DiskFull {
        /// What was being written.
        action: String,
    },
    /// The object store does not let this key do it.
    #[error(
        "{action}: the object store refused it ({reason}); check the access key in [repository] and what \
         it may do there"
    )]
    StoreRefused {
        /// What was tried, on which object.
        action: String,
        /// The store's reason.
        reason: String,
    },
    /// The object store is down, overloaded or out of reach, and stayed so for as long as it was waited for.
    #[error(
        "{action}: the object store does not work ({reason}). Nothing that was committed is lost, and the \
         work goes on when the store is back"
    )]
    StoreFailed {
        /// What was tried, on which object.
        action: String,
        /// The last reason.
        reason: String,
    },
    /// This host only adds to the repository.
    #[error(
        "{action}: this host may only add to the repository (append_only in [repository]); do it on a \
         host that may delete"
    )]
    AppendOnly {
        /// What was tried.
        action: String,
    },
    /// Files are to be locked, and the store cannot do that.
    #[error(
        "{location} cannot lock files ({reason}), and [repository] has lock: take a bucket with Object Lock, \
         or take lock out"
    )]
    NoObjectLock {
        /// Where.
        location: String,
        /// What the store said.
        reason: String,
    },
    /// A directory refused an operation.
    #[error("{action}: {source}")]
    Store {
        /// What was tried, on which object.
        action: String,
        /// The reason.
        source: Box<object_store::Error>,
    },
    /// A file that must be there is not.
    #[error(
        "{file} is missing from the repository; run verify, and restore it from a copy of the repository"
    )]
    FileMissing {
        /// Name relative to the repository.
        file: String,
    },
    /// `init` on a place that already holds a repository.
    #[error("{location} already holds a repository; choose another place or remove it first")]
    AlreadyExists {
        /// Where.
        location: String,
    },
    /// `open` on a place that holds none.
    #[error(
        "{location} holds no repository (no file named config); check the location, or run init"
    )]
    NotARepository {
        /// Where.
        location: String,
    },
    /// No key file opens with this password.
    #[error(
        "wrong password: none of the {keys} key file(s) in keys/ opens with it; check what \
         password_file (or key_file, password_command, password_credential) gives"
    )]
    WrongPassword {
        /// Number of key files tried.
        keys: usize,
    },
    /// Written by a newer program.
    #[error(
        "the repository has format version {found}, this program knows up to {supported}; \
         install a newer tenantfs (nothing was changed)"
    )]
    NewerVersion {
        /// Version in the repository.
        found: u8,
        /// Newest version this program reads.
        supported: u8,
    },
    /// A file is not what was written.
    #[error("{file} is damaged: {reason}; run verify to see what is affected")]
    Damaged {
        /// Name relative to the repository.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// Nothing with this id is known.
    #[error(
        "{kind} object {id} is not in the repository; run verify, then rebuild-index if its packs are there"
    )]
    ObjectMissing {
        /// Kind asked for.
        kind: Kind,
        /// Id asked for.
        id: ObjectId,
    },
    /// The id belongs to an object of another kind.
    #[error("object {id} is a {found}, not a {asked}")]
    WrongKind {
        /// Id asked for.
        id: ObjectId,
        /// Kind asked for.
        asked: Kind,
        /// Kind stored.
        found: Kind,
    },
    /// The listing lacks packs that an index names.
    #[error(
        "{missing} of {known} packs that the index names are not in the listing (first: {first}). \
         A listing that shrank is not believed: check the disk or bucket; if the packs are lost for \
         good, run repair"
    )]
    ListingShrank {
        /// How many are missing.
        missing: usize,
        /// How many are known.
        known: usize,
        /// One of them.
        first: String,
    },
    /// Somebody else maintains the repository (prunes, forgets, rebuilds the index).
    #[error(
        "the repository is being maintained by {holder}; wait for it to end (the lock is freed when that process dies)"
    )]
    Locked {
        /// Host and process id, as the holder wrote them.
        holder: String,
    },
    /// The maintenance lock was lost while it was needed (object stores only).
    #[error("the maintenance lock was lost: {reason}; start again")]
    LockLost {
        /// What was found.
        reason: String,
    },
    /// Another process held this one for dead.
    #[error(
        "{file} is gone: this process was silent for too long and was taken for dead; nothing was \
         committed since, start again"
    )]
    SessionLost {
        /// The file that said that this process lives.
        file: String,
    },
    /// Packs with objects that a commit may need went out of the index meanwhile.
    #[error(
        "{pack} is in the index no more, since a repair gave it up, and what was captured meanwhile may need \
         it; nothing was committed, start again"
    )]
    PackGone {
        /// One of them.
        pack: String,
    },
    /// It cannot be told what a snapshot needs.
    #[error(
        "it cannot be told which objects are in use: {reason}; nothing more was deleted, run verify"
    )]
    Unknowable {
        /// What could not be read.
        reason: String,
    },
    /// One object is larger than the format allows.
    #[error("an object of {size} bytes is larger than the format's limit of {limit}")]
    ObjectTooLarge {
        /// Bytes offered.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A location, option or manifest that makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl RepoError {
    /// Wraps an I/O error; ENOSPC and EDQUOT become [`RepoError::DiskFull`].
    pub fn io(action: impl Into<String>, source: io::Error) -> Self {
        let action = action.into();
        if is_disk_full(&source) {
            RepoError::DiskFull { action }
        } else {
            RepoError::Io { action, source }
        }
    }

    /// Wraps a directory's error; finds ENOSPC below it.
    pub fn store(action: impl Into<String>, source: object_store::Error) -> Self {
        let action = action.into();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            if error.downcast_ref::<io::Error>().is_some_and(is_disk_full) {
                return RepoError::DiskFull { action };
            }
            cause = error.source();
        }
        RepoError::Store {
            action,
            source: Box::new(source),
        }
    }

    /// A damaged file.
    pub fn damaged(file: impl Into<String>, reason: impl Into<String>) -> Self {
        RepoError::Damaged {
            file: file.into(),
            reason: reason.into(),
        }
    }
}

pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Result of a repository operation.
pub type Result<T, E = RepoError> = std::result::Result<T, E>;

/// What was deleted on purpose meanwhile need not be read.
pub(super) fn gone_is_fine(read: Result<()>) -> Result<()> {
    match read {
        Err(RepoError::FileMissing { .. }) => Ok(()),
        read => read,
    }
}
