//! The maintenance lock in hand: what only one process at a time may do to a repository.
//!
//! Writers go on meanwhile. What is deleted is taken off the inventory first, durably, so that nobody
//! takes it for lost.

use std::collections::HashSet;

use super::error::{RepoError, Result, gone_is_fine};
use super::lock::MaintenanceLock;
use super::snapshot::{self, Snapshot};
use super::{Inner, Repository, index};

/// Forgets, tags, holds and prunes; the lock is free when it is dropped.
pub struct Maintenance {
    repo: Repository,
    lock: MaintenanceLock,
}

impl Repository {
    /// Takes the maintenance lock.
    ///
    /// # Errors
    /// [`RepoError::Locked`] names who has it.
    pub fn maintain(&self) -> Result<Maintenance> {
        // Who died with the lock left a session as well: both are watched at the same time.
        if !self.inner.backend.is_local() {
            self.inner.sessions().find()?;
        }
        let lock = MaintenanceLock::acquire(&self.inner.backend)?;
        self.inner.sessions().sweep(&lock)?;
        Ok(Maintenance {
            repo: self.clone(),
            lock,
        })
    }
}

impl Maintenance {
    /// The repository that is maintained.
    pub fn repository(&self) -> &Repository {
        &self.repo
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.repo.inner
    }

    pub(super) fn lock(&self) -> &MaintenanceLock {
        &self.lock
    }

    /// Deletes the manifests of these snapshots. What they alone needed stays until the next prune.
    pub fn forget(&self, names: &[String]) -> Result<()> {
        let files: Vec<String> = names
            .iter()
            .map(|name| snapshot::file_name(name))
            .collect::<Result<_>>()?;
        if files.is_empty() {
            return Ok(());
        }
        self.inner().change_inventory(&self.lock, [], &files)?;
        for name in names {
            self.lock.check()?;
            self.inner().delete_snapshot(name)?;
        }
        Ok(())
    }

    /// Replaces the manifest of a snapshot that is there, in one step. What the new one needs must be
    /// durable.
    pub fn replace(&self, snapshot: &Snapshot) -> Result<()> {
        self.lock.check()?;
        self.inner().replace_snapshot(snapshot)
    }
}

impl Inner {
    /// Fails when a file of this folder is in the inventory and not there, or the inventory cannot tell.
    pub(super) fn nothing_lost(&self, folder: &str) -> Result<()> {
        let listed = self.backend.list(folder)?;
        let there: HashSet<&str> = listed.iter().map(|info| info.name.as_str()).collect();
        for name in self.read_inventory()? {
            let within = name.split('/').next() == Some(folder);
            // Made or deleted since the listing, most of the time.
            if within && !there.contains(name.as_str()) && self.is_lost(&name)? {
                return Err(RepoError::FileMissing { file: name });
            }
        }
        Ok(())
    }

    /// Fails when an index file is lost or cannot be read: then an object may seem to be nowhere that is
    /// there.
    pub(super) fn index_is_whole(&self) -> Result<()> {
        self.nothing_lost(index::FOLDER)?;
        let known = self.index.files();
        for info in self.backend.list(index::FOLDER)? {
            if !known.iter().any(|(name, _)| *name == info.name) {
                gone_is_fine(self.index.read(&info.name).map(drop))?;
            }
        }
        Ok(())
    }
}
