//! Which item of a snapshot some bytes are.

use std::path::Path;

use serde_json::Value;

use super::errno::RestoreError;
use super::spool::Origin;

/// Knows what the snapshots know about bytes. Blocking.
pub trait Recognise: Send + Sync {
    /// The item whose content is exactly that of the file, if any snapshot has one. `name` is what the
    /// file is called: a hint.
    ///
    /// # Errors
    /// When it can't be known now.
    fn recognise(&self, file: &Path, name: &str) -> Result<Option<Origin>, RestoreError>;

    /// The full Graph record of an item.
    ///
    /// # Errors
    /// When it can't be read.
    fn record(&self, origin: &Origin) -> Result<Value, RestoreError>;
}
