//! What the daemon does for the repository after a cycle: it forgets by the configured rules, prunes when
//! that is due, and renews the locks of what is kept.
//!
//! It runs in a thread of its own beside cycles, which forget and prune allow for, and which a stop does not
//! wait for: both can be killed at any moment.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use tenantfs::local::{LocalState, Table};
use tenantfs::repo::{PruneOptions, Renewal, RepoError, Repository};
use tenantfs::retention::{self, Action, Choice, RetentionError};
use tenantfs::tree::Nodes;

use crate::config::Retention;
use crate::output::bytes;

/// Where it is kept when this host pruned last (seconds since 1970).
const PRUNED: &[u8] = b"pruned";
/// The same for the locks.
const RENEWED: &[u8] = b"locks renewed";
/// How often locks are looked at, unless they are so short that it must be more often.
const RENEW_EVERY: Duration = Duration::from_secs(86_400);

/// The thread that is at it, if any.
#[derive(Default)]
pub struct Upkeep(Option<JoinHandle<()>>);

impl Upkeep {
    /// Begins, unless there is nothing to do or the last one is not done yet. `local` remembers what was
    /// done last; without it that is done after each start of the daemon.
    pub fn begin(
        &mut self,
        retention: &Retention,
        repository: &Repository,
        local: Option<&LocalState>,
    ) {
        let running = self.0.as_ref().is_some_and(|thread| !thread.is_finished());
        if running || (retention.policy.is_empty() && repository.lock().is_none()) {
            return;
        }
        let (retention, repository, local) =
            (retention.clone(), repository.clone(), local.cloned());
        let thread = std::thread::Builder::new()
            .name("tenantfs-upkeep".into())
            .spawn(move || {
                if !retention.policy.is_empty()
                    && let Err(error) = forget(&retention, &repository, local.as_ref())
                {
                    tracing::error!("forgetting old snapshots failed: {error:#}");
                }
                if let Err(error) = renew(&repository, local.as_ref()) {
                    tracing::error!("renewing locks failed: {error:#}");
                }
            });
        match thread {
            Ok(thread) => self.0 = Some(thread),
            Err(error) => tracing::error!("cannot start forgetting old snapshots: {error}"),
        }
    }
}

fn forget(
    retention: &Retention,
    repository: &Repository,
    local: Option<&LocalState>,
) -> Result<()> {
    let maintenance = match repository.maintain() {
        Ok(maintenance) => maintenance,
        Err(error @ RepoError::Locked { .. }) => {
            tracing::info!("nothing is forgotten now: {error}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let choice = Choice::Policy(retention.policy.clone());
    let now = Timestamp::now().as_second();
    let plan = retention::plan(repository, &Nodes::new(repository), &choice, now)?;
    retention::apply(&maintenance, &plan)?;
    let counted = |wanted: fn(&Action) -> bool| plan.iter().filter(|l| wanted(&l.action)).count();
    let forgotten = counted(|action| *action == Action::Forget);
    let trimmed = counted(|action| matches!(action, Action::Trim(_)));
    if forgotten + trimmed > 0 {
        tracing::info!(forgotten, trimmed, "forgot old snapshots");
    }
    if is_due(retention.prune_every, PRUNED, local) {
        prune(&maintenance)?;
        done(PRUNED, local)?;
        // With it the locks.
        done(RENEWED, local)?;
    }
    Ok(())
}

fn renew(repository: &Repository, local: Option<&LocalState>) -> Result<()> {
    let Some(lock) = repository.lock() else {
        return Ok(());
    };
    let every = RENEW_EVERY.min(lock.period / 4);
    if !is_due(Some(every), RENEWED, local) {
        return Ok(());
    }
    let Renewal { renewed, failed } = repository.renew_locks()?;
    tracing::info!(renewed, failed, "renewed locks");
    done(RENEWED, local)
}

fn done(what: &[u8], local: Option<&LocalState>) -> Result<()> {
    if let Some(local) = local {
        local.put_json(Table::Cursors, what, &Timestamp::now().as_second())?;
    }
    Ok(())
}

fn is_due(every: Option<Duration>, what: &[u8], local: Option<&LocalState>) -> bool {
    let Some(every) = every else { return false };
    let last: Option<i64> =
        local.and_then(|local| local.get_json(Table::Cursors, what).ok().flatten());
    let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX);
    last.is_none_or(|last| Timestamp::now().as_second() >= last.saturating_add(every))
}

fn prune(maintenance: &tenantfs::repo::Maintenance) -> Result<(), RetentionError> {
    let report = retention::prune(maintenance, &PruneOptions::default(), &|_, _, _| {})?;
    tracing::info!(
        deleted = %bytes(report.deleted.bytes),
        written = %bytes(report.written),
        waiting = %bytes(report.waiting.bytes),
        locked = %bytes(report.locked.bytes),
        "pruned the repository"
    );
    for file in &report.damaged {
        tracing::error!("{file} is damaged and stays as it is; run verify --read-data");
    }
    Ok(())
}
