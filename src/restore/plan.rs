//! Questions before a push: what it would meet, and whether what it would bring back is live.
//!
//! Nothing is made, and nothing is written down.

use std::sync::Arc;

use super::errno::{Code, RestoreError};
use super::push::{Pusher, name_at};
use super::service::Service;
use super::spool::SpoolFile;
use super::target::TargetPath;
use crate::graph::sites::SITES;
use crate::workload::{AccountKind, Push, Workload};

/// A plan asks what a push asks first; the service waits this long for the answers.
const CALL: std::time::Duration = std::time::Duration::from_secs(180);

impl Service {
    /// What a push of this file would meet: the id of the item that is the same and is there already.
    ///
    /// # Errors
    /// What the push would be refused for before anything is sent.
    pub(super) fn plan(&self, file: SpoolFile) -> Result<Option<String>, RestoreError> {
        let pusher = Arc::clone(self.pusher());
        self.wait_for(CALL, async move { pusher.plan(file).await })
    }

    /// What making a folder would be refused for before anything is sent.
    ///
    /// # Errors
    /// That, or the service's.
    pub(super) fn plan_folder(&self, target: &TargetPath) -> Result<(), RestoreError> {
        let (pusher, target) = (self.pusher().clone(), target.clone());
        self.wait_for(CALL, async move {
            let place = pusher.places.resolve(&target).await?;
            Ok(place
                .workload
                .plan_folder(&place.account, &place.path)
                .await?)
        })
    }

    /// Whether it takes the bytes of a file to plan its push.
    pub(super) fn plans_by_content(&self, target: &TargetPath) -> Result<bool, RestoreError> {
        Ok(self.workload_of(target)?.plans_by_content())
    }

    /// Whether a file of the same service only shows what the files beside it hold.
    pub(super) fn only_shows(&self, target: &TargetPath) -> Result<bool, RestoreError> {
        let name = target.name().unwrap_or_default();
        let workload = self.workload_of(target)?;
        Ok(workload.only_shows(target.folder(), name))
    }

    fn workload_of(&self, target: &TargetPath) -> Result<Arc<dyn Workload>, RestoreError> {
        let kind = match target.top() == Some(SITES) {
            true => AccountKind::Site,
            false => AccountKind::User,
        };
        let folder = target.workload().unwrap_or_default();
        self.pusher().places.workload(kind, folder)
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
