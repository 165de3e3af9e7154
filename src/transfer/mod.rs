//! Snapshots as tars: out of one repository, into another, or into anything that reads tars.
//!
//! The tar is in pax format (POSIX.1-2001). It has the snapshot's tree as the mount shows it, with what
//! is below `.tenantfs/` there: records, older versions, the report. What a tar has no place for is in
//! pax records of the form `SCHILY.xattr.user.tenantfs.*`, which tar programs take for extended
//! attributes:
//!
//! | name | on | value |
//! | --- | --- | --- |
//! | `tag` | everything in the tree | the tag of the item it is, in hex; 0: none |
//! | `content` | files | `mail` when it is stored as a mail |
//! | `role` | what is below `.tenantfs/` | `record`, `original`, `version`, `report`, `manifest` |
//! | `of` | record, original, version | path of the file or folder it belongs to |
//! | `version` | versions, and what belongs to one | name of the version |
//!
//! Order is part of the format, so that a tar of any size is read in one pass: a folder before what is in
//! it, names in byte order; record, original and versions right behind what they belong to; last
//! `.tenantfs/manifest.json` with counts, so that a tar that was cut off is recognised.

mod export;
mod import;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

pub use export::export;
pub use import::{Imported, import};

use crate::repo::RepoError;
use crate::tree::TreeError;

/// Version of the format, in the manifest.
const VERSION: u32 = 1;
const HIDDEN: &str = ".tenantfs";
const REPORT: &str = ".tenantfs/report.json";
const MANIFEST: &str = ".tenantfs/manifest.json";
const ATTRIBUTE: &str = "SCHILY.xattr.user.tenantfs.";

/// The last entry of a tar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub version: u32,
    /// Name of the snapshot.
    pub snapshot: String,
    /// When it was made, seconds since 1970.
    pub time: i64,
    /// Host that made it.
    pub host: String,
    /// Accounts in it.
    pub accounts: u64,
    /// Names of the workloads by their folders, which restores need.
    pub workloads: BTreeMap<String, String>,
    /// Files and folders of the tree in the tar.
    pub entries: u64,
    /// Files among them.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

/// Why a snapshot could not be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The tree failed, or the repository behind it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// There is nothing at this path.
    #[error("there is no {path:?} in the snapshot {snapshot}")]
    NoSuchPath {
        /// Path in the snapshot.
        path: String,
        /// The snapshot's name.
        snapshot: String,
    },
    /// The tar cannot be written.
    #[error("cannot write the tar: {0}")]
    Write(io::Error),
    /// The tar cannot be read.
    #[error("cannot read the tar: {0}")]
    Read(io::Error),
    /// The tar ends too early.
    #[error("the tar ends too early (cut off?); nothing was imported")]
    Truncated,
    /// The tar has what an export never writes.
    #[error(
        "{path:?} in the tar {reason}; nothing was imported (only tars that `tenantfs export` wrote can \
         be)"
    )]
    Refused {
        /// Path in the tar.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<RepoError> for TransferError {
    fn from(error: RepoError) -> Self {
        TransferError::Tree(TreeError::Repo(error))
    }
}
