//! One item on its way back into Microsoft 365: what is to be done, how far it is, what came of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::ItemKey;
#[cfg(doc)]
use super::Workload;
use crate::graph::{ErrorClass, GraphError};

/// A live item or folder in Microsoft 365, named as the mount would name it.
#[derive(Clone, Debug, Default)]
pub struct LiveEntry {
    /// Graph's.
    pub id: String,
    /// As the mount would name it.
    pub name: String,
    /// It is a folder.
    pub is_dir: bool,
    /// Bytes; for mail the size Exchange keeps, which is not the exact size of the `.eml`.
    pub size: u64,
    /// Unix seconds.
    pub mtime: i64,
    /// What Graph said about it (not every property).
    pub record: Value,
}

/// What to do when the target is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Refuse with [`PushError::Exists`].
    #[default]
    Skip,
    /// Put the new one there, then remove the old one.
    Overwrite,
    /// Put another one beside it.
    KeepBoth,
}

/// Where the truth about an item to be restored comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The file came out of a snapshot: `record` is the full Graph record kept with it, `key` the
    /// original's item key (so that the restored item gets the same file name).
    Record {
        /// What Graph said of the original.
        record: Value,
        /// The original's.
        key: ItemKey,
    },
    /// Any other file: only its own bytes say what it is.
    File,
}

/// What restores an item exactly (an export's stream); read only when it is needed.
#[derive(Clone)]
pub struct Original(Arc<dyn Fn() -> std::io::Result<Bytes> + Send + Sync>);

impl Original {
    /// Something that is read by `read`, which may block.
    pub fn new(read: impl Fn() -> std::io::Result<Bytes> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The bytes.
    ///
    /// # Errors
    /// The repository's.
    pub async fn read(&self) -> std::io::Result<Bytes> {
        let read = Arc::clone(&self.0);
        let joined = tokio::task::spawn_blocking(move || read()).await;
        joined.map_err(std::io::Error::other)?
    }
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Original")
    }
}

/// One item to put into Microsoft 365.
#[derive(Clone, Debug)]
pub struct Push {
    /// Fresh for each restore, the same when it is tried again after a crash.
    pub id: Uuid,
    /// Folder below the workload's folder, component by component, as the mount names them.
    pub folder: Vec<String>,
    /// The file's name.
    pub name: String,
    /// What happens when something is there already.
    pub policy: Policy,
    /// What the item is made from.
    pub source: Source,
    /// With a [`Source::Record`]: what restores it exactly, if the snapshot has that.
    pub original: Option<Original>,
    /// A local file with the bytes, complete and unchanging while the push runs.
    pub file: PathBuf,
    /// Unix seconds.
    pub mtime: i64,
}

/// Keeps how far a push is, durably, so that it goes on after a crash.
pub trait Journal: Send + Sync {
    /// What was saved last for this push, if anything.
    fn load(&self) -> Option<String>;
    /// Replaces what is saved. Called between requests, not for every byte.
    ///
    /// # Errors
    /// The local disk's.
    fn save(&self, state: &str) -> std::io::Result<()>;
    /// Whether a request of this push may have gone out before, even if nothing was saved: then what it
    /// made is looked for before anything is made.
    fn repeated(&self) -> bool {
        self.load().is_some()
    }
    /// Bytes sent so far, of how many.
    fn progress(&self, _sent: u64, _total: u64) {}
}

/// A [`Journal`] for pushes that need none (tests, and callers that only look).
pub struct NoJournal;

impl Journal for NoJournal {
    fn load(&self) -> Option<String> {
        None
    }
    fn save(&self, _state: &str) -> std::io::Result<()> {
        Ok(())
    }
}

/// A push that Microsoft 365 has confirmed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The item that is there now.
    pub entry: LiveEntry,
    /// Id of the item it replaced.
    pub replaced: Option<String>,
    /// What could not be restored of it (an attachment kind that Graph does not write, ...); the
    /// item itself is there. For the log.
    pub notes: Vec<String>,
}

/// Why an item could not be put there. `Display` is what `restore/.log` shows.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The policy is skip and the item is there: EEXIST.
    #[error("{name} is there already (use @overwrite or @keep-both)")]
    Exists {
        /// As the mount names it.
        name: String,
    },
    /// The target's folder does not exist: ENOENT.
    #[error("there is no folder {path}: make it first")]
    NoFolder {
        /// Below the workload's folder.
        path: String,
    },
    /// The service can't hold an item of this name or form: EINVAL. Nothing was sent.
    #[error("{0}")]
    Invalid(String),
    /// Microsoft 365 refused, or could not be reached.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The local copy or the journal could not be read or written.
    #[error("the local copy of the file to restore: {0}")]
    Local(#[from] std::io::Error),
}

impl PushError {
    /// The error number that tells it best to a program that called `close()`.
    pub fn errno(&self) -> i32 {
        use rustix::io::Errno;
        let errno = match self {
            Self::Exists { .. } => Errno::EXIST,
            Self::NoFolder { .. } => Errno::NOENT,
            Self::Invalid(_) => Errno::INVAL,
            Self::Local(e) => return e.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
            Self::Graph(e) => match e.class {
                ErrorClass::Denied | ErrorClass::Auth => Errno::ACCESS,
                ErrorClass::Gone | ErrorClass::NotFound => Errno::NOENT,
                ErrorClass::Conflict => Errno::EXIST,
                ErrorClass::Quota => Errno::DQUOT,
                ErrorClass::TooLarge => Errno::FBIG,
                ErrorClass::Ours | ErrorClass::Unsupported => Errno::INVAL,
                _ => Errno::IO,
            },
        };
        errno.raw_os_error()
    }

    /// True when the same push may succeed later without anyone changing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Graph(e) if e.class.is_temporary())
    }
}
