//! `[restore]`: how items are put back.

use serde::Deserialize;
use tenantfs::workload::drive::RestorePermissions;

/// `[restore]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restore {
    /// What happens when the item is already there.
    pub conflict: Conflict,
    /// When restored files and folders get the permissions and links again that they had.
    pub permissions: RestorePermissions,
}

/// What a restore does with an item that is already there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// Leave it, and say so.
    #[default]
    Skip,
    /// Replace it.
    Overwrite,
    /// Make another beside it.
    KeepBoth,
}
