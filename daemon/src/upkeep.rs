//! What the daemon does for the repository after a cycle: it forgets by the configured rules, and
//! prunes when that is due.
//!
//! It runs in a thread of its own beside cycles, which forget and prune allow for, and which a stop does not
//! wait for: both can be killed at any moment.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use tenantfs::local::{LocalState, Table};
use tenantfs::repo::{PruneOptions, RepoError, Repository};
use tenantfs::retention::{self, Action, Choice, RetentionError};
use tenantfs::tree::Nodes;

use crate::config::Retention;
use crate::output::bytes;

/// Where it is kept when this host pruned last (seconds since 1970).
const PRUNED: &[u8] = b"pruned";

/// The thread that is at it, if any.
#[derive(Default)]
pub struct Upkeep(Option<JoinHandle<()>>);

impl Upkeep {
    /// Begins, unless there are no rules or the last one is not done yet. `local` remembers the last
    /// prune; without it there is one after each start of the daemon.
    pub fn begin(
        &mut self,
        retention: &Retention,
        repository: &Repository,
        local: Option<&LocalState>,
    ) {
        let running = self.0.as_ref().is_some_and(|thread| !thread.is_finished());
        if retention.policy.is_empty() || running {
            return;
        }
        let (retention, repository, local) =
            (retention.clone(), repository.clone(), local.cloned());
        let thread = std::thread::Builder::new()
            .name("tenantfs-upkeep".into())
            .spawn(move || {
                if let Err(error) = run(&retention, &repository, local.as_ref()) {
                    tracing::error!("forgetting old snapshots failed: {error:#}");
                }
            });
        match thread {
            Ok(thread) => self.0 = Some(thread),
            Err(error) => tracing::error!("cannot start forgetting old snapshots: {error}"),
        }
    }
}

fn run(retention: &Retention, repository: &Repository, local: Option<&LocalState>) -> Result<()> {
    let maintenance = match repository.maintain() {
        Ok(maintenance) => maintenance,
        Err(error @ RepoError::Locked { .. }) => {
            tracing::info!("nothing is forgotten now: {error}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let choice = Choice::Policy(retention.policy.clone());
    let plan = retention::plan(repository, &Nodes::new(repository), &choice)?;
    retention::apply(&maintenance, &plan)?;
    let counted = |wanted: fn(&Action) -> bool| plan.iter().filter(|l| wanted(&l.action)).count();
    let forgotten = counted(|action| *action == Action::Forget);
    let trimmed = counted(|action| matches!(action, Action::Trim(_)));
    if forgotten + trimmed > 0 {
        tracing::info!(forgotten, trimmed, "forgot old snapshots");
    }
    if is_due(retention.prune_every, local) {
        prune(&maintenance)?;
        if let Some(local) = local {
            local.put_json(Table::Cursors, PRUNED, &Timestamp::now().as_second())?;
        }
    }
    Ok(())
}

fn is_due(every: Option<Duration>, local: Option<&LocalState>) -> bool {
    let Some(every) = every else { return false };
    let last: Option<i64> =
        local.and_then(|local| local.get_json(Table::Cursors, PRUNED).ok().flatten());
    let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX);
    last.is_none_or(|last| Timestamp::now().as_second() >= last.saturating_add(every))
}

fn prune(maintenance: &tenantfs::repo::Maintenance) -> Result<(), RetentionError> {
    let report = retention::prune(maintenance, &PruneOptions::default(), &|_, _, _| {})?;
    tracing::info!(
        deleted = %bytes(report.deleted.bytes),
        written = %bytes(report.written),
        waiting = %bytes(report.waiting.bytes),
        "pruned the repository"
    );
    for file in &report.damaged {
        tracing::error!("{file} is damaged and stays as it is; run verify --read-data");
    }
    Ok(())
}
