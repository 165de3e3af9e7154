//! Object Lock as the repository sees it: which files the store keeps, and keeping those longer that are
//! still of use.
//!
//! A lock is for a time, a snapshot may be kept for ever. So locks are renewed when half of their time is
//! over: of all that opens and reads snapshots, but not of packs that are condemned. Those wait for their
//! locks to run out, and a later prune deletes them.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;

use super::backend::{LockMode, ObjectLock, is_lockable};
use super::error::{RepoError, Result};
use super::id::PackClass;
use super::{Inner, Repository, parity};

/// Files that are asked about before the next ones are.
const AT_ONCE: usize = 1000;

/// What the store locks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LockState {
    /// How many seconds files are locked for, by what this host wants or else by what the bucket does;
    /// `None`: nobody asks for locks.
    pub period: Option<u64>,
    /// Who may delete them before.
    pub mode: Option<LockMode>,
    /// Whether locks are renewed that run out.
    pub renewed: bool,
    /// Files that open and read snapshots.
    pub files: u64,
    /// Of these the locked ones.
    pub locked: u64,
    /// Of these the ones of which the store does not say.
    pub unknown: u64,
    /// When the first of these locks runs out; `None` without a locked file.
    pub until: Option<Timestamp>,
}

/// What became of locks that run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Renewal {
    /// Files that are locked for the whole time again.
    pub renewed: u64,
    /// Files of which the store refused it.
    pub failed: u64,
}

impl Repository {
    /// How this host locks what it writes; `None`: not at all.
    pub fn lock(&self) -> Option<ObjectLock> {
        self.inner.backend.lock_wanted()
    }

    /// What the store locks; `None` when it locks nothing. Costs a listing and a request for each file.
    pub fn lock_state(&self) -> Result<Option<LockState>> {
        let backend = &self.inner.backend;
        let Some(bucket) = backend.locking()? else {
            return Ok(None);
        };
        let wanted = backend.lock_wanted();
        let lock: Option<ObjectLock> = wanted.or(bucket.default);
        let mut state = LockState {
            period: lock.map(|lock| lock.period.as_secs()),
            mode: lock.map(|lock| lock.mode),
            renewed: wanted.is_some(),
            ..LockState::default()
        };
        let now = Timestamp::now();
        for files in self.inner.lockable()?.chunks(AT_ONCE) {
            for kept in backend.kept(files.to_vec()) {
                match kept {
                    Ok(kept) if kept.is_locked(now) => {
                        state.locked += 1;
                        let until = kept.retained.map(|(until, _)| until);
                        state.until = state.until.into_iter().chain(until).min();
                    }
                    Ok(_) => {}
                    // Deleted meanwhile.
                    Err(RepoError::FileMissing { .. }) => continue,
                    Err(error) => {
                        tracing::debug!("{error}");
                        state.unknown += 1;
                    }
                }
                state.files += 1;
            }
        }
        Ok(Some(state))
    }

    /// Locks again what is of use and has less than half of its time left. Nothing where this host locks
    /// nothing.
    pub fn renew_locks(&self) -> Result<Renewal> {
        let mut renewal = Renewal::default();
        if self.lock().is_none() {
            return Ok(renewal);
        }
        for files in self.inner.lockable()?.chunks(AT_ONCE) {
            for renewed in self.inner.backend.renew(files.to_vec()) {
                match renewed {
                    Ok(renewed) => renewal.renewed += u64::from(renewed),
                    Err(RepoError::FileMissing { .. }) => {}
                    Err(error) => {
                        if renewal.failed == 0 {
                            tracing::error!("{error}");
                        }
                        renewal.failed += 1;
                    }
                }
            }
        }
        Ok(renewal)
    }
}

impl Inner {
    /// The files that are worth a lock: those of use, without condemned packs.
    fn lockable(&self) -> Result<Vec<String>> {
        let condemned: HashSet<String> = self
            .excused_packs()?
            .into_iter()
            .flat_map(|id| {
                let packs = PackClass::ALL.map(|class| id.file(class));
                packs.into_iter().chain([parity::file(id)])
            })
            .collect();
        let listed = self.backend.list("")?.into_iter().map(|info| info.name);
        Ok(listed
            .filter(|name| is_lockable(name) && !condemned.contains(name))
            .collect())
    }
}
