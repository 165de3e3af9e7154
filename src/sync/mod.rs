//! One cycle of backup: asks Microsoft 365 what changed, fetches that, and commits a snapshot.
//!
//! [`run`] goes through the accounts in scope, several at a time; each workload of an account is a
//! [`capture`](self::capture) that ends with a state (items and the cursors that belong to them) in
//! the [`ledger`](self::ledger). What is in the ledger is committed at the end, and as checkpoints
//! on the way (`complete: false`), so that a first sync that takes days goes on where it was.
//!
//! Invariants:
//! - A cursor is never committed ahead of its items. A crash anywhere costs requests, not items.
//! - Nothing changed: no snapshot, no content request.
//! - One item, folder or account that fails never fails the cycle: it is in the report, its last
//!   good state stays, and it is tried again. Only the repository and sign-in fail a cycle, and a
//!   service that can't be reached at all.
//! - An account that leaves the tenant stays in later snapshots as it was.
//!
//! Memory: per account that is being captured two pages of records, twice [`Options::fetches`]
//! mails, and the edits since the last checkpoint (at most 200,000, some 50 MB); over all
//! accounts [`Options::downloads`] files with two chunks of at most 4 MiB each.

mod apply;
mod capture;
mod collection;
mod fetch;
mod ledger;
mod local;
mod progress;
mod report;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

pub use collection::{FeedState, put_mail};
pub use progress::{Progress, ProgressNow};
pub use report::{
    AccountCounts, AccountLine, Counts, ItemLine, Report, RequestLine, Status, WorkloadLine,
};

use crate::graph::users::UsersRound;
use crate::graph::{Client, ErrorClass, GraphError};
use crate::local::LocalState;
use crate::repo::{RepoError, Repository, Snapshot, Stream, Writer};
use crate::tree::{Nodes, TreeError};
use crate::workload::{Account, Workload};
use ledger::Ledger;
use local::Local;

/// Where accounts come from: Graph, or a test.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Everybody, or what changed since `link`.
    async fn users(&self, link: Option<&str>) -> Result<UsersRound, GraphError>;

    /// Requests sent so far, of all kinds.
    fn requests(&self) -> Vec<RequestLine>;
}

#[async_trait]
impl Directory for Client {
    async fn users(&self, link: Option<&str>) -> Result<UsersRound, GraphError> {
        Client::users(self, link).await
    }

    fn requests(&self) -> Vec<RequestLine> {
        let all = self.stats().into_iter();
        all.map(|r| RequestLine {
            method: r.method,
            route: r.route.to_owned(),
            status: r.status,
            batched: r.batched,
            count: r.count,
        })
        .collect()
    }
}

/// How a cycle works. The defaults suit Graph's limits.
#[derive(Clone)]
pub struct Options {
    /// Shown in snapshots.
    pub host: String,
    /// Accounts captured at the same time.
    pub accounts: usize,
    /// Contents fetched at the same time per account (Graph: 4 requests per mailbox).
    pub fetches: usize,
    /// Files downloaded at the same time over all accounts.
    pub downloads: usize,
    /// How often a long cycle saves itself.
    pub checkpoint: Duration,
    /// Unix seconds now.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            host: crate::repo::host_name(),
            accounts: 8,
            fetches: 4,
            downloads: 16,
            checkpoint: Duration::from_secs(60),
            clock: Arc::new(|| jiff::Timestamp::now().as_second()),
        }
    }
}

/// What a cycle needs. Keep it from cycle to cycle: it remembers the directory of users.
#[derive(Clone)]
pub struct SyncContext {
    repo: Repository,
    directory: Arc<dyn Directory>,
    workloads: Vec<Arc<dyn Workload>>,
    options: Options,
    local: Local,
}

impl SyncContext {
    /// `local` saves requests; without it each cycle asks a little more.
    pub fn new(
        repo: Repository,
        directory: Arc<dyn Directory>,
        workloads: Vec<Arc<dyn Workload>>,
        local: Option<LocalState>,
        options: Options,
    ) -> SyncContext {
        SyncContext {
            repo,
            directory,
            workloads,
            options,
            local: Local::new(local),
        }
    }
}

/// Which accounts.
pub type AccountFilter = Arc<dyn Fn(&Account) -> bool + Send + Sync>;

/// What a cycle captures. What is not in scope stays in the snapshot as it was.
#[derive(Clone, Default)]
pub struct Scope {
    /// `None`: all. Guests have nothing to capture and are never asked.
    pub accounts: Option<AccountFilter>,
    /// By [`Workload::name`]; `None`: all.
    pub workloads: Option<Vec<String>>,
}

/// What a cycle did.
#[derive(Clone, Debug)]
pub struct CycleOutcome {
    /// Name of the new complete snapshot; `None` if nothing had changed, or it was cancelled.
    pub snapshot: Option<String>,
    /// It was cancelled, and what it had is kept for the next one.
    pub cancelled: bool,
    pub report: Report,
    /// Bytes written to the repository.
    pub written: u64,
}

/// Why a cycle failed. What was committed before stays, and the next cycle goes on there.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Repo(#[from] RepoError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("signing in to Microsoft 365 failed: {0}")]
    SignIn(String),
    #[error("Microsoft 365 can't be reached: {0}")]
    Unreachable(GraphError),
    #[error("the users of the tenant can't be listed: {0}")]
    Directory(GraphError),
    #[error("stored JSON can't be read or written: {0}")]
    Json(serde_json::Error),
    #[error("a part of the capture failed; this is a fault of tenantfs, please report it: {0}")]
    Panicked(tokio::task::JoinError),
    #[error("the capture was interrupted")]
    Interrupted,
}

impl SyncError {
    /// The error back, unless it ends the cycle.
    fn unless_fatal(e: GraphError) -> Result<GraphError, SyncError> {
        match e.class {
            ErrorClass::Auth => Err(SyncError::SignIn(e.to_string())),
            _ => Ok(e),
        }
    }
}

/// What all captures of a cycle share.
struct Shared {
    repo: Repository,
    writer: Writer,
    nodes: Nodes,
    options: Options,
    local: Local,
    progress: Arc<Progress>,
    downloads: Semaphore,
    /// Streams for files, which have no neighbours worth keeping.
    streams: Mutex<Vec<Stream>>,
}

impl Shared {
    fn now(&self) -> i64 {
        (self.options.clock)()
    }

    fn take_stream(&self) -> Stream {
        let free = self.streams.lock().pop();
        free.unwrap_or_else(|| self.writer.stream())
    }

    fn return_stream(&self, stream: Stream) {
        self.streams.lock().push(stream);
    }
}

/// Runs work that blocks (the repository) where blocking is allowed.
async fn blocking<T, F>(work: F) -> Result<T, SyncError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, SyncError> + Send + 'static,
{
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(SyncError::Panicked)?
}

/// A task that ends when its handle is dropped.
fn spawn<T, F>(future: F) -> AbortOnDropHandle<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(future))
}

/// Runs one cycle.
///
/// Dropping the future is like a crash: nothing is lost, the next cycle goes on from the last
/// checkpoint. To end it early but cleanly use [`Progress::cancel`].
///
/// # Errors
/// See [`SyncError`]. Another writer on the repository is [`RepoError`]'s.
pub async fn run(
    cx: &SyncContext,
    scope: &Scope,
    progress: &Arc<Progress>,
) -> Result<CycleOutcome, SyncError> {
    let started = (cx.options.clock)();
    let requests = cx.directory.requests();
    let directory = meet(cx).await?;
    let (shared, ledger) = {
        let (repo, cx, progress) = (cx.repo.clone(), cx.clone(), progress.clone());
        blocking(move || open(repo, &cx, progress)).await?
    };
    ledger.meet(&directory, shared.now());
    let accounts: Vec<Account> = directory
        .into_values()
        .filter(|account| !account.guest && scope.accounts.as_ref().is_none_or(|f| f(account)))
        .collect();
    let workloads: Vec<_> = cx
        .workloads
        .iter()
        .filter(|w| {
            scope
                .workloads
                .as_ref()
                .is_none_or(|s| s.iter().any(|n| n == w.name()))
        })
        .cloned()
        .collect();
    progress
        .accounts_total
        .store(accounts.len() as u64, Relaxed);
    progress.accounts_done.store(0, Relaxed);

    let mut cycle = Cycle {
        shared,
        ledger,
        report: Report {
            version: 1,
            host: cx.options.host.clone(),
            started: report::rfc3339(started),
            ..Report::default()
        },
        unreachable: None,
        reached: false,
    };
    let captured = cycle.captures(accounts, &workloads).await;
    cx.local.flush();
    if let Err(e) = captured {
        // What is in the ledger is good, whatever happened to the rest.
        if !matches!(e, SyncError::Repo(_) | SyncError::Tree(_)) && cycle.ledger.is_dirty() {
            cycle.commit(false).await?;
        }
        return Err(e);
    }
    if let (Some(e), false) = (cycle.unreachable.take(), cycle.reached) {
        return Err(SyncError::Unreachable(e));
    }
    cycle.report.requests = since(&requests, cx.directory.requests());
    cycle.end().await
}

/// Who is there.
async fn meet(cx: &SyncContext) -> Result<BTreeMap<String, Account>, SyncError> {
    let link = cx.local.directory.lock().link.clone();
    let round = match cx.directory.users(link.as_deref()).await {
        Ok(round) => round,
        Err(e) if e.class == ErrorClass::Network => return Err(SyncError::Unreachable(e)),
        Err(e) => return Err(SyncError::Directory(SyncError::unless_fatal(e)?)),
    };
    let mut directory = cx.local.directory.lock();
    if round.full {
        directory.accounts.clear();
    }
    for user in &round.users {
        let Some(id) = user["id"].as_str() else {
            continue;
        };
        match directory.accounts.get_mut(id) {
            Some(account) => account.update(user),
            None => {
                let account = Account::from_record(user);
                directory
                    .accounts
                    .extend(account.map(|a| (a.id.clone(), a)));
            }
        }
    }
    for id in &round.removed {
        directory.accounts.remove(id);
    }
    directory.link = Some(round.link);
    Ok(directory.accounts.clone())
}

fn open(
    repo: Repository,
    cx: &SyncContext,
    progress: Arc<Progress>,
) -> Result<(Arc<Shared>, Arc<Ledger>), SyncError> {
    let writer = repo.writer()?;
    let nodes = Nodes::new(&repo);
    let ledger = Ledger::open(&nodes, repo.snapshots()?.pop())?;
    let shared = Shared {
        repo,
        writer,
        nodes,
        options: cx.options.clone(),
        local: cx.local.clone(),
        progress,
        downloads: Semaphore::new(cx.options.downloads.max(1)),
        streams: Mutex::new(Vec::new()),
    };
    Ok((Arc::new(shared), Arc::new(ledger)))
}

fn since(before: &[RequestLine], now: Vec<RequestLine>) -> Vec<RequestLine> {
    let earlier = |line: &RequestLine| {
        let same = |b: &&RequestLine| {
            RequestLine {
                count: line.count,
                ..(*b).clone()
            } == *line
        };
        before.iter().find(same).map_or(0, |b| b.count)
    };
    now.into_iter()
        .map(|line| RequestLine {
            count: line.count.saturating_sub(earlier(&line)),
            ..line
        })
        .filter(|line| line.count > 0)
        .collect()
}

/// A cycle while it runs.
struct Cycle {
    shared: Arc<Shared>,
    ledger: Arc<Ledger>,
    report: Report,
    /// A capture that met no service at all.
    unreachable: Option<GraphError>,
    /// Another that did.
    reached: bool,
}

impl Cycle {
    async fn captures(
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
                        self.commit(false).await?;
                    }
                }
            }
        }
    }

    fn add(&mut self, done: AccountDone) {
        let mut line = done.line;
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

    async fn commit(&self, complete: bool) -> Result<Snapshot, SyncError> {
        let (shared, ledger) = (self.shared.clone(), self.ledger.clone());
        let report = complete.then(|| self.report.clone());
        blocking(move || {
            let snapshot = ledger.commit(&shared, complete, report.as_ref())?;
            // Checkpoints that this one goes beyond.
            for old in shared.repo.snapshots()? {
                if !old.manifest.complete && old.name < snapshot.name {
                    shared.writer.delete_snapshot(&old.name)?;
                }
            }
            Ok(snapshot)
        })
        .await
    }

    async fn end(mut self) -> Result<CycleOutcome, SyncError> {
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
        let due = self.ledger.is_dirty() || (self.ledger.is_incomplete() && !cancelled);
        let snapshot = match due && !self.ledger.is_empty() {
            true => Some(self.commit(!cancelled).await?),
            false => None,
        };
        Ok(CycleOutcome {
            snapshot: snapshot.filter(|_| !cancelled).map(|s| s.name),
            cancelled,
            report: self.report,
            written: self.shared.writer.bytes_written(),
        })
    }
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
    captured: Vec<(String, capture::Captured)>,
}

async fn capture_account(
    shared: &Arc<Shared>,
    ledger: &Ledger,
    account: Account,
    workloads: &[Arc<dyn Workload>],
) -> Result<AccountDone, SyncError> {
    let mut captured = Vec::new();
    for workload in workloads {
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
        captured,
    })
}
