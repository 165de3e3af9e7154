//! A cycle while it runs: captures account after account, commits, and writes the report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};

use super::ledger::Ledger;
use super::{
    AccountLine, CycleOutcome, ItemLine, Progress, Report, Shared, Status, SyncError, apply,
    blocking, capture, collection, details, merge, report, spawn,
};
use crate::graph::{ErrorClass, GraphError};
use crate::repo::Snapshot;
use crate::tree::MapRoot;
use crate::workload::{Account, Workload};

pub(super) struct Cycle {
    pub shared: Arc<Shared>,
    pub ledger: Arc<Ledger>,
    pub report: Report,
    /// A capture that met no service at all.
    pub unreachable: Option<GraphError>,
    /// Another that did.
    pub reached: bool,
}

impl Cycle {
    pub fn new(shared: Arc<Shared>, ledger: Arc<Ledger>, started: i64) -> Cycle {
        let report = Report {
            version: 1,
            host: shared.options.host.clone(),
            started: report::rfc3339(started),
            ..Report::default()
        };
        Cycle {
            shared,
            ledger,
            report,
            unreachable: None,
            reached: false,
        }
    }

    pub async fn captures(
        &mut self,
        accounts: Vec<Account>,
        workloads: &[Arc<dyn Workload>],
    ) -> Result<(), SyncError> {
        let (shared, ledger) = (self.shared.clone(), self.ledger.clone());
        let mut captures = stream::iter(accounts)
            .map(|account| {
                let (shared, ledger) = (shared.clone(), ledger.clone());
                let workloads = workloads.to_vec();
                spawn(async move { capture_account(&shared, &ledger, account, &workloads).await })
            })
            .buffer_unordered(self.shared.options.accounts.max(1));
        let every = self
            .shared
            .options
            .checkpoint
            .max(Duration::from_millis(10));
        let mut checkpoint = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        loop {
            tokio::select! {
                done = captures.next() => match done {
                    Some(done) => self.add(done.map_err(SyncError::Panicked)??),
                    None => return Ok(()),
                },
                _ = checkpoint.tick() => {
                    if self.ledger.is_dirty() {
                        self.checkpoint().await?;
                    }
                }
            }
        }
    }

    /// Asks for what may wait, now that all else is there.
    pub async fn details(
        &mut self,
        accounts: &[Account],
        workloads: &[Arc<dyn Workload>],
    ) -> Result<(), SyncError> {
        let (shared, ledger) = (self.shared.clone(), self.ledger.clone());
        let waits = |account: &Account| {
            let state =
                |workload: &Arc<dyn Workload>| ledger.workload(&account.id, workload.name());
            let mut states = workloads.iter().filter_map(state);
            account.closed.is_none() && states.any(|state| state.waiting.is_some())
        };
        let due: Vec<Account> = accounts.iter().filter(|a| waits(a)).cloned().collect();
        let mut asked = stream::iter(due)
            .map(|account| {
                let (shared, ledger) = (shared.clone(), ledger.clone());
                let workloads = workloads.to_vec();
                spawn(async move {
                    let mut notes = Vec::new();
                    for workload in &workloads {
                        let told = details::details(&shared, &ledger, &account, workload).await?;
                        notes.extend(told);
                    }
                    Ok::<_, SyncError>(notes)
                })
            })
            .buffer_unordered(self.shared.options.accounts.max(1));
        while let Some(notes) = asked.next().await {
            for note in notes.map_err(SyncError::Panicked)?? {
                self.report.add_note(note);
            }
        }
        Ok(())
    }

    fn add(&mut self, done: AccountDone) {
        let mut line = done.line;
        for note in done.notes {
            self.report.add_note(note);
        }
        for captured in done.captured {
            let (workload, captured) = captured;
            match captured.error {
                Some(e) if e.class == ErrorClass::Network => self.unreachable = Some(e),
                _ => self.reached = true,
            }
            self.report.totals.add(&captured.line.counts);
            for note in captured.notes {
                self.report.add_note(note);
            }
            line.workloads.insert(workload, captured.line);
        }
        let has = |status| line.workloads.values().any(|w| w.status == status);
        line.status = if has(Status::Failed) {
            self.report.accounts.failed += 1;
            Status::Failed
        } else if has(Status::Captured) || line.workloads.is_empty() {
            Status::Captured
        } else {
            self.report.accounts.absent += 1;
            Status::Absent
        };
        let changed = line.workloads.values().any(|w| !w.counts.is_zero());
        if changed || line.status == Status::Failed {
            self.report.add_account(line);
        }
        Progress::add(&self.shared.progress.accounts_done, 1);
    }

    /// Saves what there is so far.
    pub async fn checkpoint(&self) -> Result<(), SyncError> {
        let (shared, ledger) = (self.shared.clone(), self.ledger.clone());
        blocking(move || {
            let snapshot = ledger.checkpoint(&shared)?;
            tidy(&shared, snapshot.manifest.state, &snapshot.name)
        })
        .await
    }

    async fn commit(&self) -> Result<Option<Snapshot>, SyncError> {
        let (shared, ledger) = (self.shared.clone(), self.ledger.clone());
        let report = self.report.clone();
        blocking(move || {
            let mut snapshot = ledger.commit(&shared, &report, !shared.tags.is_empty())?;
            // Another host may have committed at the same moment, and not seen this one.
            if snapshot.is_some() && merge::heads(&shared.repo.snapshots()?).len() > 1 {
                snapshot = ledger.commit(&shared, &report, false)?.or(snapshot);
            }
            tidy(&shared, ledger.state(), "")?;
            Ok(snapshot)
        })
        .await
    }

    pub async fn end(mut self) -> Result<CycleOutcome, SyncError> {
        let cancelled = self.shared.progress.is_cancelled();
        let (shared, ledger) = (self.shared.clone(), self.ledger.clone());
        let mut report = std::mem::take(&mut self.report);
        report = blocking(move || {
            remaining(&shared, &ledger, &mut report)?;
            report.finished = report::rfc3339(shared.now());
            report.complete = !cancelled;
            Ok(report)
        })
        .await?;
        self.report = report;
        let mut snapshot = None;
        if cancelled {
            if self.ledger.is_dirty() {
                self.checkpoint().await?;
            }
        } else if self.ledger.is_ahead() || !self.shared.tags.is_empty() {
            snapshot = self.commit().await?;
        }
        Ok(CycleOutcome {
            snapshot: snapshot.map(|s| s.name),
            cancelled,
            report: self.report,
            written: self.shared.writer.bytes_written(),
        })
    }
}

/// Deletes checkpoints in which nothing is ahead of the accounts in `state`, but for the one named
/// `keep`. A host that only adds leaves them to others.
fn tidy(shared: &Shared, state: MapRoot, keep: &str) -> Result<(), SyncError> {
    if shared.repo.is_append_only() {
        return Ok(());
    }
    for old in shared.repo.snapshots()? {
        if old.manifest.complete || old.name == keep {
            continue;
        }
        match merge::is_obsolete(&shared.nodes, &old, state) {
            Ok(true) => shared.writer.delete_snapshot(&old.name)?,
            Ok(false) => {}
            // Its owner may have deleted it meanwhile.
            Err(e) => tracing::debug!("checkpoint {}: {e}", old.name),
        }
    }
    Ok(())
}

/// What the report says about all accounts of the snapshot: who left, what still fails.
fn remaining(shared: &Shared, ledger: &Ledger, report: &mut Report) -> Result<(), SyncError> {
    report.totals.failed = 0;
    for (id, account) in ledger.accounts() {
        report.accounts.captured += 1;
        if account.departed.is_some() {
            report.accounts.departed += 1;
            report.add_account(AccountLine {
                account: account.upn.clone(),
                id: id.clone(),
                status: Status::Departed,
                workloads: BTreeMap::new(),
            });
        }
        for (name, workload) in &account.workloads {
            if workload.failed.is_none() {
                continue;
            }
            let mut collection =
                collection::Collection::open(&shared.writer, &shared.nodes, workload)?;
            for (id, failed) in collection.failures().clone() {
                report.totals.failed += 1;
                let held = collection.held(&collection.key(&id))?;
                let path = match (&held, &failed.parent) {
                    (Some(held), _) if held.path.is_some() => held.path.clone(),
                    (_, Some(parent)) => {
                        let parent = collection.held(&collection.key(parent))?;
                        let folder = parent.and_then(|parent| parent.path);
                        folder.map(|folder| format!("{folder}/{}", failed.name))
                    }
                    _ => None,
                };
                report.add_failed(ItemLine {
                    account: account.upn.clone(),
                    workload: name.clone(),
                    path: path.unwrap_or(failed.name),
                    id,
                    reason: failed.reason,
                    class: apply::class_of(&failed.class),
                    since: Some(report::rfc3339(failed.last)),
                    older_version: held.is_some(),
                });
            }
        }
    }
    Ok(())
}

struct AccountDone {
    line: AccountLine,
    notes: Vec<ItemLine>,
    captured: Vec<(String, capture::Captured)>,
}

async fn capture_account(
    shared: &Arc<Shared>,
    ledger: &Ledger,
    account: Account,
    workloads: &[Arc<dyn Workload>],
) -> Result<AccountDone, SyncError> {
    let mut captured = Vec::new();
    let mut notes = Vec::new();
    if let Some(reason) = &account.closed {
        let path = account.upn.clone();
        let reason = format!("{reason}; what was captured before stays");
        notes.push(ItemLine::note(
            &account.upn,
            "sites",
            account.id.clone(),
            path,
            reason,
        ));
    }
    let own = workloads
        .iter()
        .filter(|w| w.of() == account.kind && account.closed.is_none());
    for workload in own {
        if shared.progress.is_cancelled() {
            break;
        }
        let done = capture::capture(shared, ledger, &account, workload).await?;
        captured.push((workload.name().to_owned(), done));
    }
    Ok(AccountDone {
        line: AccountLine {
            account: account.upn,
            id: account.id,
            status: Status::Captured,
            workloads: BTreeMap::new(),
        },
        notes,
        captured,
    })
}
