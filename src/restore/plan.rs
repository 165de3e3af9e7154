//! Questions before a push: what it would meet, and whether what it would bring back is live.
//!
//! Nothing is made, and nothing is written down.

use super::errno::{Code, RestoreError};
use super::push::{Pusher, name_at};
use super::service::Service;
use super::spool::SpoolFile;
use super::target::TargetPath;
use crate::graph::sites::SITES;
use crate::workload::{AccountKind, Push};

/// A plan asks what a push asks first; the service waits this long for the answers.
const CALL: std::time::Duration = std::time::Duration::from_secs(180);

impl Service {
    /// What a push of this file would meet: the id of the item that is the same and is there already.
    ///
    /// # Errors
    /// What the push would be refused for before anything is sent.
    pub(super) fn plan(&self, file: SpoolFile) -> Result<Option<String>, RestoreError> {
        let pusher = std::sync::Arc::clone(self.pusher());
        self.wait_for(CALL, async move { pusher.plan(file).await })
    }

    /// Whether it takes the bytes of a file to plan its push.
    pub(super) fn plans_by_content(&self, target: &TargetPath) -> Result<bool, RestoreError> {
        let kind = match target.top() == Some(SITES) {
            true => AccountKind::Site,
            false => AccountKind::User,
        };
        let folder = target.workload().unwrap_or_default();
        let workload = self.pusher().places.workload(kind, folder)?;
        Ok(workload.plans_by_content())
    }

    /// Whether the item with this id, of the account and service of `at`, is where its owner would look
    /// for it.
    ///
    /// # Errors
    /// ENOENT when there is no such account; what the service says.
    pub(super) fn lives(&self, at: &TargetPath, id: &str) -> Result<bool, RestoreError> {
        let (pusher, at, id) = (self.pusher().clone(), at.clone(), id.to_owned());
        self.wait_for(CALL, async move {
            let place = pusher.places.resolve(&at).await?;
            Ok(place.workload.lives(&place.account, &id).await?)
        })
    }
}

impl Pusher {
    async fn plan(&self, file: SpoolFile) -> Result<Option<String>, RestoreError> {
        let target = file.target().clone();
        let place = self.places.resolve(&target).await?;
        if place.path.is_empty() {
            return Err(RestoreError::new(
                Code::NotPermitted,
                format!("{target} is no place for a file"),
            ));
        }
        let (file, origin) = self.recognise(file, &target).await;
        let (source, original) = self.source(origin.as_ref(), &place).await?;
        let push = Push {
            id: file.id(),
            folder: target.folder().to_vec(),
            name: name_at(&place, &target, origin.as_ref()),
            policy: target.policy().conflict.unwrap_or(self.conflict),
            source,
            original,
            file: file.path(),
            mtime: file.mtime(),
        };
        Ok(place.workload.plan(&place.account, &push).await?)
    }
}
