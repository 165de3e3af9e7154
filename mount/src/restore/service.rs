//! [`Restorer`] for the library's restore service.

use std::sync::Arc;
use std::time::Duration;

use tenantfs::restore::{Code, LiveEntry, Receipt, RestoreError, Service, SpoolFile, TargetPath};

use super::backend::{LiveItem, Restorer};

fn item(entry: &LiveEntry) -> LiveItem {
    LiveItem {
        name: entry.name.clone(),
        is_dir: entry.is_dir,
        size: entry.size,
        mtime: entry.mtime,
    }
}

impl Restorer for Service {
    fn writable(&self) -> Result<(), RestoreError> {
        Service::writable(self)
    }

    fn list(&self, place: &TargetPath) -> Result<Arc<Vec<LiveItem>>, RestoreError> {
        Ok(Arc::new(
            Service::list(self, place)?.iter().map(item).collect(),
        ))
    }

    fn lookup(&self, place: &TargetPath) -> Result<Option<LiveItem>, RestoreError> {
        match Service::lookup(self, place) {
            // The folder it would be in went away: then it is not there either.
            Err(e) if e.code == Code::NotFound => Ok(None),
            other => Ok(other?.as_ref().map(item)),
        }
    }

    fn mkdir(&self, place: &TargetPath) -> Result<(), RestoreError> {
        Service::mkdir(self, place).map(drop)
    }

    fn finish(&self, place: &TargetPath) -> Result<(), RestoreError> {
        Service::finish(self, place)
    }

    fn create(&self, place: &TargetPath) -> Result<SpoolFile, RestoreError> {
        Service::create(self, place)
    }

    fn push(&self, file: SpoolFile, wait: bool, deadline: Duration) -> Result<(), RestoreError> {
        match Service::push(self, file, deadline)? {
            Receipt::Queued(id) if wait => Service::wait(self, id, deadline),
            Receipt::Confirmed(_) | Receipt::Queued(_) => Ok(()),
        }
    }

    fn queue(&self) -> String {
        Service::queue_text(self)
    }

    fn log(&self) -> String {
        Service::log_text(self)
    }

    fn note(&self, place: &TargetPath, reason: &str) {
        Service::note(self, place, reason);
    }
}
