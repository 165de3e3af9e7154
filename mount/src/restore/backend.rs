//! What the mount needs of the restore service. The seam lets tests put another behind it.

use std::sync::Arc;
use std::time::Duration;

use tenantfs::restore::{Code, RestoreError, SpoolFile, TargetPath};

/// A live item or folder, as far as a file system shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveItem {
    /// As a snapshot would name it.
    pub name: String,
    /// It is a folder.
    pub is_dir: bool,
    /// Bytes; of mail what Exchange counts.
    pub size: u64,
    /// Unix seconds.
    pub mtime: i64,
}

/// Restores items: [`tenantfs::restore::Service`], or what a test puts in its place.
///
/// Every method may wait for the network, and is called from threads that may.
pub trait Restorer: Send + Sync + 'static {
    /// Whether anything can be restored at all; the reason when not.
    fn writable(&self) -> Result<(), RestoreError>;
    /// What is live at `place`: accounts at the root, then workloads, then folders and items.
    fn list(&self, place: &TargetPath) -> Result<Arc<Vec<LiveItem>>, RestoreError>;
    /// One live item or folder; `None`: there is nothing.
    fn lookup(&self, place: &TargetPath) -> Result<Option<LiveItem>, RestoreError>;
    /// Makes a folder in Microsoft 365.
    fn mkdir(&self, place: &TargetPath) -> Result<(), RestoreError>;
    /// Everything is in a folder that was made here: what changed with each item is put right.
    fn finish(&self, _place: &TargetPath) -> Result<(), RestoreError> {
        Ok(())
    }
    /// A local file to write what will be pushed to `place`.
    fn create(&self, place: &TargetPath) -> Result<SpoolFile, RestoreError>;
    /// Restores what was written: returns when Microsoft 365 has confirmed it, or, under `@queued`,
    /// when it is journaled; `wait` then waits for the confirmation too.
    fn push(&self, file: SpoolFile, wait: bool, deadline: Duration) -> Result<(), RestoreError>;
    /// One line for each push that waits.
    fn queue(&self) -> String;
    /// What was refused, and why; the newest last.
    fn log(&self) -> String;
    /// Adds a refusal of the mount itself to the log.
    fn note(&self, place: &TargetPath, reason: &str);
}

/// Stands in when there is nothing to restore with: lists nothing, refuses everything, says why.
#[derive(Debug)]
pub struct Disabled;

const DISABLED: &str = "restore/ is read-only: there is no identity to restore with. Set [tenant.restore] in the \
                        configuration, see: tenantfs doctor";

fn disabled() -> RestoreError {
    RestoreError::new(Code::ReadOnly, DISABLED)
}

impl Restorer for Disabled {
    fn writable(&self) -> Result<(), RestoreError> {
        Err(disabled())
    }
    fn list(&self, _place: &TargetPath) -> Result<Arc<Vec<LiveItem>>, RestoreError> {
        Ok(Arc::default())
    }
    fn lookup(&self, _place: &TargetPath) -> Result<Option<LiveItem>, RestoreError> {
        Ok(None)
    }
    fn mkdir(&self, _place: &TargetPath) -> Result<(), RestoreError> {
        Err(disabled())
    }
    fn create(&self, _place: &TargetPath) -> Result<SpoolFile, RestoreError> {
        Err(disabled())
    }
    fn push(&self, _file: SpoolFile, _wait: bool, _deadline: Duration) -> Result<(), RestoreError> {
        Err(disabled())
    }
    fn queue(&self) -> String {
        String::new()
    }
    fn log(&self) -> String {
        format!("{DISABLED}\n")
    }
    fn note(&self, _place: &TargetPath, _reason: &str) {}
}
