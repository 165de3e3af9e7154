//! The FUSE file system of tenantfs: `snapshots/`, which is read-only and never changes, and
//! `restore/`, which is written.
//!
//! ```text
//! kernel <-> session 1 at MOUNT            restore::adapter   -> RestoreFs  -> restore service
//!        <-> session 2 at MOUNT/snapshots  snapshots::adapter -> SnapshotFs -> tree, repository
//! ```
//!
//! Two sessions, because they need opposite rules of caching: an `open` answered ENOSYS holds for a
//! whole FUSE connection and makes reading snapshots as fast as the page cache, while restoring
//! lives from its opens and closes. The adapters only translate; the file systems behind them are
//! plain types without FUSE in them.

#![warn(missing_docs)]

mod attr;
mod config;
mod error;
mod fuse;
mod mount;
mod mountinfo;
mod requests;
mod restore;
mod snapshots;
mod workers;

pub use attr::Owner;
pub use config::MountConfig;
pub use error::{FsError, MountError};
pub use mount::{Mount, MountHandle};
pub use requests::Requests;
pub use restore::backend::{LiveItem, Restorer};
