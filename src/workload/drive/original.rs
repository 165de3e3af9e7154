//! What a restored file gets of its original beside content, name and times: who that was shared with, and
//! its retention label.

use serde_json::Value;

use super::Drive;
use super::labels::is_labelled;
use super::sharing::is_home;
use super::target::Root;
use crate::graph::GraphError;
use crate::workload::{Push, Source};

/// What a file is to have of its original.
pub(super) struct Original<'a> {
    record: &'a Value,
    /// Who that is shared with.
    shared: bool,
    /// The retention label.
    labelled: bool,
}

impl Drive {
    /// What a file is to have of its original, if it had anything of that: who it is shared with, and its
    /// label.
    pub(super) fn original<'a>(&self, root: &Root, push: &'a Push) -> Option<Original<'a>> {
        let Source::Record { record, .. } = &push.source else {
            return None;
        };
        let (drive, site) = (&root.drive, root.site.as_deref());
        let when = self.options.restore_permissions;
        let original = Original {
            shared: record["shared"].is_object() && when.apply_in(drive, site, record),
            labelled: is_labelled(record) && is_home(drive, site, record),
            record,
        };
        (original.shared || original.labelled).then_some(original)
    }

    /// Gives an item that. Returns what it could not be given, for the log.
    ///
    /// # Errors
    /// What passes.
    pub(super) async fn like(
        &self,
        root: &Root,
        item: &str,
        original: Original<'_>,
    ) -> Result<Vec<String>, GraphError> {
        let mut notes = Vec::new();
        if original.shared {
            notes = self.share_again(&root.drive, item, original.record).await?;
        }
        // The last of all: it may lock the file.
        if original.labelled {
            notes.extend(self.label_again(&root.drive, item, original.record).await?);
        }
        Ok(notes)
    }
}
