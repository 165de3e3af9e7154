//! What to mount, and how.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tenantfs::repo::Repository;

use crate::attr::{Owner, Owners};
use crate::restore::backend::Restorer;

/// What to mount, where, and for whom. Start from [`MountConfig::new`].
pub struct MountConfig {
    /// An existing directory.
    pub mountpoint: PathBuf,
    /// The repository whose snapshots are shown.
    pub repo: Repository,
    /// `None`: `restore/` is read-only and says so.
    pub restore: Option<Arc<dyn Restorer>>,
    /// Let other users in. The kernel then checks permission bits.
    pub allow_other: bool,
    /// Whom everything belongs to that no account's owner has.
    pub owner: Owner,
    /// Local owners of accounts' folders, by the account's user principal name.
    pub owners: Vec<(String, Owner)>,
    /// Show `user.tenantfs.*` below `snapshots/`. Answering xattrs at all makes `ls -l` several
    /// times slower.
    pub xattr: bool,
    /// Event loops that read snapshots.
    pub threads: usize,
    /// Look for snapshots that other processes made this often; `None` leaves it to
    /// [`crate::MountHandle::refresh`].
    pub poll: Option<Duration>,
}

impl MountConfig {
    /// Only this user, no restoring, no xattrs, two event loops, no polling.
    pub fn new(mountpoint: impl Into<PathBuf>, repo: Repository) -> Self {
        MountConfig {
            mountpoint: mountpoint.into(),
            repo,
            restore: None,
            allow_other: false,
            owner: Owner::process(),
            owners: Vec::new(),
            xattr: false,
            threads: 2,
            poll: None,
        }
    }

    pub(crate) fn owners(&self) -> Owners {
        Owners::new(self.owner, self.owners.iter().cloned())
    }
}
