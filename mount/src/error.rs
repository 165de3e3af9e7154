//! What can go wrong, and the errno that a program sees for it: the one place where that is decided.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use tenantfs::repo::RepoError;
use tenantfs::restore::RestoreError;
use tenantfs::tree::TreeError;

/// Why a mount did not come up or go down.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // Each says in its message what it is.
pub enum MountError {
    #[error("{path} can't be a mountpoint: {reason}. Make the directory first, or name another")]
    Mountpoint { path: PathBuf, reason: io::Error },
    #[error("{path} is already mounted (by {source_name}). Unmount it first, or mount elsewhere")]
    AlreadyMounted { path: PathBuf, source_name: String },
    #[error(
        "{path} is a dead mount of another program ({source_name}). Clear it with: umount -l {path}"
    )]
    ForeignStale { path: PathBuf, source_name: String },
    #[error("can't mount at {path}: {reason}. FUSE needs /dev/fuse, and root or fusermount3")]
    Mount { path: PathBuf, reason: io::Error },
    #[error("can't unmount {path}: {reason}. Clear it with: umount -l {path}")]
    Unmount { path: PathBuf, reason: io::Error },
    #[error("can't read /proc/self/mountinfo: {0}. Is /proc mounted?")]
    MountInfo(#[source] io::Error),
    #[error("can't list the snapshots to mount: {0}")]
    Snapshots(#[source] FsError),
}

impl MountError {
    pub(crate) fn mountinfo(reason: io::Error) -> Self {
        MountError::MountInfo(reason)
    }
}

/// Why one file system operation failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // Each says in its message what it is.
pub enum FsError {
    #[error("no such name")]
    NotFound,
    #[error("not a directory")]
    NotDirectory,
    #[error("is a directory")]
    IsDirectory,
    #[error("not a symbolic link")]
    NotSymlink,
    #[error("the inode is not known any more")]
    Stale,
    #[error("the name is not valid UTF-8 or too long")]
    BadName,
    #[error("no such attribute")]
    NoAttribute,
    #[error("the repository failed: {0}")]
    Repository(#[from] RepoError),
    #[error("the snapshot's tree failed: {0}")]
    Tree(#[from] TreeError),
    #[error("no answer within the deadline")]
    Deadline,
    /// `restore/` refuses; `reason` is what `restore/.log` says too.
    #[error("{reason}")]
    Refused { errno: Errno, reason: String },
    #[error("{}", RestoreError::local("the restore spool on this machine", .0).reason)]
    Io(#[from] io::Error),
}

impl FsError {
    pub(crate) fn refused(errno: Errno, reason: impl Into<String>) -> Self {
        FsError::Refused {
            errno,
            reason: reason.into(),
        }
    }

    /// The errno a program sees. Exhaustive on purpose: a new error has to decide.
    pub fn errno(&self) -> Errno {
        match self {
            FsError::NotFound => Errno::NOENT,
            FsError::NotDirectory => Errno::NOTDIR,
            FsError::IsDirectory => Errno::ISDIR,
            FsError::NotSymlink | FsError::BadName => Errno::INVAL,
            FsError::Stale => Errno::STALE,
            FsError::NoAttribute => Errno::NODATA,
            FsError::Repository(_) | FsError::Tree(_) | FsError::Deadline => Errno::IO,
            FsError::Refused { errno, .. } => *errno,
            FsError::Io(e) => Errno::from_io_error(e).unwrap_or(Errno::IO),
        }
    }
}

impl From<RestoreError> for FsError {
    fn from(error: RestoreError) -> Self {
        FsError::Refused {
            errno: Errno::from_raw_os_error(error.errno),
            reason: error.reason,
        }
    }
}
