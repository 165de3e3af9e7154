//! Whether an item of a snapshot is live: at its place, or anywhere else that its owner would look.

use crate::repo::Snapshot;
use crate::restore::errno::{Code, RestoreError};
use crate::restore::recognise::{Recognise, SnapshotRecogniser};
use crate::restore::service::Service;
use crate::restore::target::TargetPath;
use crate::tree::Entry;
use crate::workload::id_in;

/// Who can tell.
#[derive(Clone, Copy)]
pub(super) struct Alive<'a> {
    pub service: &'a Service,
    pub recogniser: &'a SnapshotRecogniser,
}

impl Alive<'_> {
    /// True unless it was deleted. What lies in a bin was.
    pub fn is_live(
        &self,
        snapshot: &Snapshot,
        path: &str,
        entry: &Entry,
    ) -> Result<bool, RestoreError> {
        let at = path
            .split('/')
            .try_fold(TargetPath::root(), |at, name| at.child(name))?;
        match self.service.lookup(&at) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            // Its folder, or the account, is gone.
            Err(e) if e.code == Code::NotFound => {}
            Err(e) => return Err(e),
        }
        let Some(origin) = self.recogniser.origin_at(snapshot, path, entry)? else {
            return Ok(false);
        };
        let record = self.recogniser.record(&origin)?;
        let Some(id) = id_in(&record) else {
            return Ok(false);
        };
        match self.service.lives(&at, id) {
            // The account is gone; or this identity may restore, but not look for items.
            Err(e) if matches!(e.code, Code::NotFound | Code::Denied | Code::Unsupported) => {
                Ok(false)
            }
            other => other,
        }
    }
}
