//! `[mount]`: where the snapshots appear, and for whom.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// `[mount]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mount {
    /// Where the daemon mounts.
    pub path: Option<PathBuf>,
    /// Let other users in; the kernel checks modes and owners.
    pub allow_other: bool,
    /// Account (UPN) to local user name: who owns its folder.
    pub owners: BTreeMap<String, String>,
    /// Answer extended attributes. Makes `ls -l` several times slower.
    pub xattr: bool,
}
