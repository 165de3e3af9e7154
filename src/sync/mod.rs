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
//! - Several hosts capture into one repository, each its own accounts: an account is claimed for the
//!   cycle, and one that somebody else has is left to them.
//! - An account that leaves the tenant stays in later snapshots as it was.
//! - What is dear and may wait (permissions) is asked for when all accounts are captured, within the
//!   budget of resource units; what is left waits for the next cycle, and is counted in the report.
//! - Delta is not trusted for ever: now and then a feed is enumerated anew, and what was missed is
//!   found (a [sweep](Options::sweep)).
//!
//! Memory: per account that is being captured two pages of records, twice [`Options::fetches`]
//! mails, and the edits since the last checkpoint (at most 200,000, some 50 MB); over all
//! accounts [`Options::downloads`] files with two chunks of at most 4 MiB each, and batches of
//! exported items that take [`Options::batches`] with all that is made of them.

mod apply;
mod capture;
mod collection;
mod cycle;
mod details;
mod fetch;
mod ledger;
mod local;
pub(crate) mod merge;
mod progress;
pub mod repair;
mod report;
mod sites;
pub(crate) mod totals;
mod versions;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

pub use collection::{FeedState, put_mail};
pub use progress::{Progress, ProgressNow};
pub use report::{
    AccountCounts, AccountLine, ClaimedLine, Counts, ItemLine, Report, RequestLine, Status,
    WorkloadLine,
};

use crate::graph::sites::SitesRound;
use crate::graph::users::UsersRound;
use crate::graph::{Client, ErrorClass, GraphError};
use crate::local::LocalState;
use crate::repo::{Claim, RepoError, Repository, Stream, Writer};
use crate::tree::{Nodes, TreeError};
use crate::workload::{Account, AccountKind, Workload};
use cycle::Cycle;
use ledger::Ledger;
use local::Local;
use merge::Newest;

/// Where accounts come from: Graph, or a test.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Everybody, or what changed since `link`.
    async fn users(&self, link: Option<&str>) -> Result<UsersRound, GraphError>;

    /// All site collections, or what changed since `link`.
    async fn sites(&self, link: Option<&str>) -> Result<SitesRound, GraphError>;

    /// The subsites of a site, at any depth.
    async fn subsites(&self, of: &Account) -> Result<Vec<Account>, GraphError>;

    /// Requests sent so far, of all kinds.
    fn requests(&self) -> Vec<RequestLine>;

    /// Resource units of drives and sites spent so far.
    fn drive_units(&self) -> u64;

    /// Resource units that may be spent on what can wait; `None`: as many as there is need for.
    fn spare_drive_units(&self) -> Option<u64> {
        None
    }

    /// Counts resource units that were spent before this began, by how long ago.
    fn drive_units_before(&self, _spent: &[(Duration, u64)]) {}
}

#[async_trait]
impl Directory for Client {
    async fn users(&self, link: Option<&str>) -> Result<UsersRound, GraphError> {
        Client::users(self, link).await
    }

    async fn sites(&self, link: Option<&str>) -> Result<SitesRound, GraphError> {
        Client::sites(self, link).await
    }

    async fn subsites(&self, of: &Account) -> Result<Vec<Account>, GraphError> {
        Client::subsites(self, of).await
    }

    fn drive_units(&self) -> u64 {
        Client::drive_units(self)
    }

    fn spare_drive_units(&self) -> Option<u64> {
        Client::spare_drive_units(self)
    }

    fn drive_units_before(&self, spent: &[(Duration, u64)]) {
        Client::drive_units_before(self, spent);
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
    /// Memory for batches of items on their way, over all accounts, in MiB.
    pub batches: u32,
    /// How often a long cycle saves itself.
    pub checkpoint: Duration,
    /// Seconds after which a feed is enumerated anew, to make sure that nothing was missed; `None`:
    /// never.
    pub sweep: Option<i64>,
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
            batches: 384,
            checkpoint: Duration::from_secs(60),
            sweep: Some(7 * 86_400),
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
        let local = Local::new(local);
        directory.drive_units_before(&local.units((options.clock)()));
        SyncContext {
            repo,
            directory,
            workloads,
            options,
            local,
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
    /// Site collections whose subsites are looked for, by name; `None`: all.
    pub sites: Option<Arc<dyn Fn(&str) -> bool + Send + Sync>>,
    /// By [`Workload::name`]; `None`: all.
    pub workloads: Option<Vec<String>>,
    /// Tags of the snapshot. With any there is a snapshot even if nothing changed.
    pub tags: BTreeSet<String>,
}

/// What a cycle did.
#[derive(Clone, Debug)]
pub struct CycleOutcome {
    /// Name of the new complete snapshot; `None` if nothing had changed, or it was cancelled.
    pub snapshot: Option<String>,
    /// It was cancelled, and what it had is kept for the next one.
    pub cancelled: bool,
    /// What was captured and what was not.
    pub report: Report,
    /// Bytes written to the repository.
    pub written: u64,
}

/// Why a cycle failed. What was committed before stays, and the next cycle goes on there.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // Each says in its message what it is.
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
    directory: Arc<dyn Directory>,
    options: Options,
    tags: BTreeSet<String>,
    local: Local,
    progress: Arc<Progress>,
    downloads: Semaphore,
    /// In MiB; see [`Options::batches`].
    room: Arc<Semaphore>,
    /// Streams for files, which have no neighbours worth keeping.
    streams: Mutex<Vec<Stream>>,
}

impl Shared {
    fn now(&self) -> i64 {
        (self.options.clock)()
    }

    /// Waits until there is room for a batch of so many bytes.
    async fn room(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        // The answer, in base64; what is in it; what is made of it.
        let mib = u32::try_from((bytes >> 20) * 4 + 1).unwrap_or(u32::MAX);
        let mib = mib.min(self.options.batches.max(1));
        self.room.clone().acquire_many_owned(mib).await.ok()
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
/// See [`SyncError`]. That another process captures an account already is none: it is in the report.
pub async fn run(
    cx: &SyncContext,
    scope: &Scope,
    progress: &Arc<Progress>,
) -> Result<CycleOutcome, SyncError> {
    let started = (cx.options.clock)();
    let requests = cx.directory.requests();
    let units = cx.directory.drive_units();
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
    let directory = meet(cx).await?;
    let sites = match workloads.iter().any(|w| w.of() == AccountKind::Site) {
        true => sites::meet(cx, scope).await?,
        false => sites::Met::default(),
    };
    let accounts: Vec<Account> = directory
        .values()
        .chain(sites.accounts.values())
        .filter(|account| !account.guest && scope.accounts.as_ref().is_none_or(|f| f(account)))
        .cloned()
        .collect();
    // Before the newest snapshot is looked for: whoever had an account before has committed it then.
    let claim = claim(cx, &accounts).await?;
    let refused = claim.refused();
    let (others, accounts): (Vec<Account>, Vec<Account>) = accounts
        .into_iter()
        .partition(|account| refused.contains_key(&account.id));
    let (shared, ledger) = {
        let (cx, tags, progress) = (cx.clone(), scope.tags.clone(), progress.clone());
        let captured = accounts.iter().map(|account| account.id.clone()).collect();
        blocking(move || open(&cx, tags, progress, &captured)).await?
    };
    ledger.meet(&directory, &sites, shared.now());
    progress
        .accounts_total
        .store(accounts.len() as u64, Relaxed);
    progress.accounts_done.store(0, Relaxed);

    let mut cycle = Cycle::new(shared, ledger, started);
    for note in sites.notes {
        cycle.report.add_note(note);
    }
    for account in others {
        if let Some(holder) = refused.get(&account.id) {
            tracing::info!(account = %account.upn, "left out: {holder} captures it");
            cycle.report.add_claimed(account.upn, account.id, holder);
        }
    }
    let mut captured = cycle.captures(accounts.clone(), &workloads).await;
    if captured.is_ok() {
        captured = cycle.details(&accounts, &workloads).await;
    }
    let units = cx.directory.drive_units().saturating_sub(units);
    cx.local.add_units((cx.options.clock)(), units);
    cx.local.flush();
    if let Err(e) = captured {
        // What is in the ledger is good, whatever happened to the rest.
        if !matches!(e, SyncError::Repo(_) | SyncError::Tree(_)) && cycle.ledger.is_dirty() {
            cycle.checkpoint().await?;
        }
        return Err(e);
    }
    if let (Some(e), false) = (cycle.unreachable.take(), cycle.reached) {
        return Err(SyncError::Unreachable(e));
    }
    cycle.report.requests = since(&requests, cx.directory.requests());
    cycle.report.drive_units = units;
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

/// Claims these accounts for this cycle.
async fn claim(cx: &SyncContext, accounts: &[Account]) -> Result<Claim, SyncError> {
    let (repo, ids) = (cx.repo.clone(), accounts.iter().map(|a| a.id.clone()));
    let ids = ids.collect();
    blocking(move || Ok(repo.claim(ids)?)).await
}

fn open(
    cx: &SyncContext,
    tags: BTreeSet<String>,
    progress: Arc<Progress>,
    captured: &BTreeSet<String>,
) -> Result<(Arc<Shared>, Arc<Ledger>), SyncError> {
    let repo = cx.repo.clone();
    let writer = repo.writer()?;
    let nodes = Nodes::new(&repo);
    let newest = Newest::find(&repo, &writer)?;
    let ledger = Ledger::open(&nodes, &newest)?;
    ledger.resume(&nodes, &newest.checkpoints, captured)?;
    let shared = Shared {
        repo,
        writer,
        nodes,
        directory: cx.directory.clone(),
        options: cx.options.clone(),
        tags,
        local: cx.local.clone(),
        progress,
        downloads: Semaphore::new(cx.options.downloads.max(1)),
        room: Arc::new(Semaphore::new(cx.options.batches.max(1) as usize)),
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
