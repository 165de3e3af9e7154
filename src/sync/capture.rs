//! Captures one workload of one account: all of its feeds, then what to remove, then the retries.
//!
//! Additions are applied as their pages come. Removals wait until every feed had its round, since
//! a moved item is removed here and added there; those that a feed can't be trusted with (Graph:
//! an item that moved away and back is only reported as removed) are asked for first. Until its
//! removals are settled, a feed's new cursor isn't saved, so a crash makes it tell them again.
//!
//! Memory: one page of records per feed in the first-page pipeline (at most [`Options::fetches`]
//! feeds), at most twice as many mails, and one chunker per download.
//!
//! [`Options::fetches`]: super::Options::fetches

mod settle;
mod sweep;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, stream};

use self::sweep::{Start, Sweep};
use super::apply::{Removal, Session};
use super::collection::{Collection, FeedState};
use super::ledger::Ledger;
use super::local::Absent;
use super::report::{Status, WorkloadLine};
use super::{Shared, SyncError};
use crate::graph::{ErrorClass, GraphError};
use crate::tree::ItemKey;
use crate::tree::state::WorkloadState;
use crate::workload::{Account, Cursor, FeedError, FeedId, Page, Presence, Workload};

/// Seconds for which an account without a mailbox or drive isn't asked again, and for which an item
/// that fails for good isn't tried again.
const DAY: i64 = 86_400;

/// A feed may lose its history this often in a cycle before it counts as failed.
const MAX_RESETS: u32 = 3;

/// Pages without any change in a row after which a feed counts as endless.
const MAX_EMPTY_PAGES: u32 = 1_000;

/// Edits in memory after which they are written, whatever the time.
const MAX_PENDING: usize = 200_000;

/// How a capture ended.
pub(super) struct Captured {
    pub line: WorkloadLine,
    /// Why something of it could not be done.
    pub error: Option<GraphError>,
    pub notes: Vec<super::report::ItemLine>,
}

type Feeds = Vec<(FeedId, FeedState)>;

/// What came of one feed.
struct Round {
    id: FeedId,
    /// As in the snapshot.
    stored: FeedState,
    /// The same, or what this host remembers beyond it.
    from: FeedState,
    /// The newest cursor whose changes are all applied, but for pending removals.
    reached: Option<Cursor>,
    /// It told anything at all.
    told: bool,
    /// It enumerated everything anew: what it did not tell is gone.
    seen: Option<HashSet<ItemKey>>,
    /// It makes sure of a feed whose cursor is good.
    sweep: Option<Sweep>,
    /// It told all that there is.
    whole: bool,
    /// See [`FeedState::swept`].
    swept: Option<i64>,
    done: bool,
}

impl Round {
    fn new(id: FeedId, stored: FeedState, from: FeedState, sweep: Option<Sweep>) -> Self {
        Self {
            id,
            swept: from.swept,
            stored,
            from,
            reached: None,
            told: false,
            seen: None,
            sweep,
            whole: false,
            done: false,
        }
    }
}

/// A feed while its pages are asked for.
struct Reading {
    id: FeedId,
    /// Index of its round.
    number: usize,
    /// It enumerates for the first time, which goes on after a crash; an enumeration that replaces an
    /// older state starts again, since what it had seen is lost.
    initial: bool,
    /// Where the next page is; `None`: at the beginning.
    at: Option<String>,
    /// How often its history was lost.
    resets: u32,
    /// Pages without any change in a row.
    empty: u32,
}

impl Reading {
    /// The service does something that makes no sense to go on with.
    fn failure(&self, why: &str) -> GraphError {
        GraphError::local(ErrorClass::Transient, self.id.0.clone(), why)
    }
}

struct Capture<'a> {
    cx: &'a Arc<Shared>,
    ledger: &'a Ledger,
    account: &'a Account,
    workload: &'a Arc<dyn Workload>,
    session: Session,
    /// The index is the feed's number in the session.
    rounds: Vec<Round>,
    /// Feeds whose folder does not exist any more.
    gone: Vec<(FeedId, FeedState)>,
    saved: WorkloadState,
    saved_at: Instant,
    /// The ledger has something of this capture that no snapshot may ever have: what was reached
    /// from there must not be remembered without it.
    put: bool,
    error: Option<GraphError>,
}

/// Captures, and puts what it has into the ledger on the way.
///
/// # Errors
/// What ends the whole cycle: the repository's errors, a sign-in that fails.
pub(super) async fn capture(
    cx: &Arc<Shared>,
    ledger: &Ledger,
    account: &Account,
    workload: &Arc<dyn Workload>,
) -> Result<Captured, SyncError> {
    let owner = format!("{}/{}", account.id, workload.name());
    let state = ledger.workload(&account.id, workload.name());
    if state.is_none()
        && let Some(ended) = probe(cx, account, workload, &owner).await?
    {
        return Ok(ended);
    }
    let state = state.unwrap_or_else(|| WorkloadState {
        folder: workload.folder().to_owned(),
        ..WorkloadState::default()
    });
    let collection = {
        let (cx, state) = (cx.clone(), state.clone());
        super::blocking(move || Collection::open(&cx.writer, &cx.nodes, &state)).await?
    };
    let mut capture = Capture {
        cx,
        ledger,
        account,
        workload,
        session: Session::new(cx, account, workload, owner, collection),
        rounds: Vec::new(),
        gone: Vec::new(),
        saved: state,
        saved_at: Instant::now(),
        put: false,
        error: None,
    };
    capture.run().await
}

/// Whether the account has this workload; `None`: yes.
async fn probe(
    cx: &Shared,
    account: &Account,
    workload: &Arc<dyn Workload>,
    owner: &str,
) -> Result<Option<Captured>, SyncError> {
    let ended = |status, reason, error| {
        let line = WorkloadLine {
            status,
            reason: Some(reason),
            ..WorkloadLine::default()
        };
        Ok(Some(Captured {
            line,
            error,
            notes: Vec::new(),
        }))
    };
    let known = cx.local.absent(owner);
    if let Some(absent) = known.filter(|absent| cx.now() < absent.asked + DAY) {
        return ended(Status::Absent, absent.reason, None);
    }
    match workload.probe(account).await {
        Ok(Presence::Present) => Ok(None),
        Ok(Presence::Absent { reason }) => {
            let absent = Absent {
                reason: reason.clone(),
                asked: cx.now(),
            };
            cx.local.set_absent(owner, &absent);
            ended(Status::Absent, reason, None)
        }
        Err(e) => {
            let e = SyncError::unless_fatal(e)?;
            ended(Status::Failed, e.to_string(), Some(e))
        }
    }
}

impl Capture<'_> {
    async fn run(&mut self) -> Result<Captured, SyncError> {
        let root = self.workload.root_feed();
        let known = self.session.with(|c| Ok(c.feeds())).await?;
        let stored = known.into_iter().find(|(id, _)| *id == root);
        let first = stored.unwrap_or_else(|| (root.clone(), FeedState::default()));
        self.feeds(vec![first]).await?;
        if !self.must_stop() {
            // Folders that were told just now brought feeds. One that was removed keeps its own for
            // this round: it may tell where its items are.
            let others = self.session.with(|c| Ok(c.feeds())).await?;
            let others = others.into_iter().filter(|(id, _)| *id != root);
            self.feeds(others.collect()).await?;
        }
        if !self.must_stop() {
            self.retry_failures().await?;
        }
        let settled = !self.must_stop() && self.settle().await?;
        self.finish(settled).await
    }

    /// Nothing more can be asked now.
    fn must_stop(&self) -> bool {
        let lost = |class| matches!(class, ErrorClass::Network | ErrorClass::Throttled);
        self.error.as_ref().is_some_and(|e| lost(e.class))
            || self.session.abort.is_some()
            || self.cx.progress.is_cancelled()
    }

    /// Runs feeds one after the other, while the first pages of the next ones are on their way.
    async fn feeds(&mut self, feeds: Vec<(FeedId, FeedState)>) -> Result<(), SyncError> {
        let (cx, owner) = (self.cx.clone(), self.session.owner.clone());
        let (workload, account) = (self.workload.clone(), self.account.clone());
        let first_pages = feeds.into_iter().map(move |(id, stored)| {
            let (workload, account) = (workload.clone(), account.clone());
            let from = cx.local.feed(&owner, &id, &stored);
            let start = Start::of(&cx, &*workload, &id, &from);
            super::spawn(async move {
                let page = workload.page(&account, &id, start.at.as_deref()).await;
                (Round::new(id, stored, from, start.sweep), start.at, page)
            })
        });
        let at_once = self.cx.options.fetches.max(1);
        let mut first_pages = stream::iter(first_pages).buffered(at_once);
        let progress = self.cx.progress.clone();
        while !self.must_stop()
            && let Some(Some(first)) = progress.unless_cancelled(first_pages.next()).await
        {
            let (round, start, page) = first.map_err(SyncError::Panicked)?;
            self.feed(round, start, page).await?;
        }
        Ok(())
    }

    /// One round of one feed.
    async fn feed(
        &mut self,
        round: Round,
        at: Option<String>,
        first: Result<Page, FeedError>,
    ) -> Result<(), SyncError> {
        let whose = format!("{}, {}", self.account.upn, self.workload.folder());
        self.cx.progress.set_current(whose);
        let mut reading = Reading {
            id: round.id.clone(),
            number: self.rounds.len(),
            initial: !matches!(round.stored.cursor, Some(Cursor::Done(_))),
            at,
            resets: 0,
            empty: 0,
        };
        self.session.feed = reading.number as u32;
        self.rounds.push(round);
        let mut next = first;
        loop {
            let goes_on = match next {
                Ok(page) => self.take(&mut reading, page).await?,
                Err(e) => self.recover(&mut reading, e).await?,
            };
            if !goes_on {
                return Ok(());
            }
            let Some(page) = self.page(&reading.id, reading.at.as_deref()).await else {
                return Ok(());
            };
            next = page;
        }
    }

    /// Applies a page. True when there is another one, at `reading.at`.
    async fn take(&mut self, reading: &mut Reading, page: Page) -> Result<bool, SyncError> {
        let round = &mut self.rounds[reading.number];
        if !round.is_behind() {
            round.whole = page.full;
            if page.full && !reading.initial && round.seen.is_none() {
                round.seen = Some(HashSet::new());
            }
        }
        reading.empty = match page.changes.is_empty() {
            true => reading.empty + 1,
            false => 0,
        };
        round.told |= !page.changes.is_empty();
        let told = self.session.apply(page.changes).await?;
        self.rounds[reading.number].hear(told);
        if self.must_stop() {
            return Ok(false); // Not all of this page is stored.
        }
        match page.cursor {
            Cursor::Done(link) => match self.rounds[reading.number].ends(link) {
                Some(behind) => reading.at = Some(behind),
                None => return self.done(reading.number).await.map(|()| false),
            },
            Cursor::More(link) => {
                if reading.at.as_ref() == Some(&link) || reading.empty > MAX_EMPTY_PAGES {
                    let why = "the service gives pages without end";
                    return self.feed_failed(reading.failure(why));
                }
                if reading.initial {
                    self.rounds[reading.number].reached = Some(Cursor::More(link.clone()));
                }
                reading.at = Some(link);
            }
        }
        self.save_if_due().await?;
        Ok(true)
    }

    /// What to do when there is no page. True when one is to be asked for at `reading.at`.
    async fn recover(&mut self, reading: &mut Reading, e: FeedError) -> Result<bool, SyncError> {
        match e {
            FeedError::Reset { .. } if self.rounds[reading.number].is_behind() => {
                self.rounds[reading.number].forget_found();
                self.done(reading.number).await?;
                Ok(false)
            }
            FeedError::Reset { start } if reading.resets < MAX_RESETS => {
                tracing::info!(feed = %reading.id, account = %self.account.upn, "enumerating anew");
                reading.resets += 1;
                reading.initial &= reading.at.is_none();
                reading.at = start;
                let feed = reading.number as u32;
                self.session.removals.retain(|_, r| r.feed != feed);
                let round = &mut self.rounds[reading.number];
                round.seen = (!reading.initial).then(HashSet::new);
                round.reached = None;
                Ok(true)
            }
            FeedError::Reset { .. } => {
                let why = "the service loses the history of this feed again and again";
                self.feed_failed(reading.failure(why))
            }
            FeedError::Gone => {
                let stored = &self.rounds[reading.number].stored;
                if stored.folder.is_some() {
                    self.gone.push((reading.id.clone(), stored.clone()));
                    return Ok(false);
                }
                let why = "it does not exist any more; what was captured stays";
                let e = GraphError::local(ErrorClass::Gone, reading.id.0.clone(), why);
                self.feed_failed(e)
            }
            FeedError::Failed(e) => match self.give_up_sweep(reading.number, &e) {
                Some(behind) => {
                    reading.at = Some(behind);
                    Ok(true)
                }
                None => self.feed_failed(e),
            },
        }
    }

    /// `None` when the cycle was cancelled.
    async fn page(&self, feed: &FeedId, at: Option<&str>) -> Option<Result<Page, FeedError>> {
        let page = self.workload.page(self.account, feed, at);
        self.cx.progress.unless_cancelled(page).await
    }

    /// Keeps the error that ends a feed for this cycle. False: no page follows.
    fn feed_failed(&mut self, e: GraphError) -> Result<bool, SyncError> {
        let e = SyncError::unless_fatal(e)?;
        tracing::warn!(account = %self.account.upn, workload = self.workload.name(), "{e}");
        self.error.get_or_insert(e);
        Ok(false)
    }

    /// Feeds whose removals are not settled keep their old cursors.
    fn may_advance(&self, number: usize) -> bool {
        let round = &self.rounds[number];
        let waits = |r: &Removal| r.feed == number as u32;
        round.seen.is_none() && !self.session.removals.values().any(waits)
    }

    /// Cursors that belong to what is applied so far: to be stored, and only to be remembered.
    fn cursors(&self) -> (Feeds, Feeds) {
        let (mut stored, mut idle) = (Vec::new(), Vec::new());
        for (number, round) in self.rounds.iter().enumerate() {
            let Some(reached) = &round.reached else {
                continue;
            };
            let state = FeedState {
                folder: round.stored.folder.clone(),
                cursor: Some(reached.clone()),
                swept: round.swept,
            };
            if !self.may_advance(number) || state == round.from {
                continue;
            }
            let initial = !matches!(round.stored.cursor, Some(Cursor::Done(_)));
            let list = match round.told || initial {
                true => &mut stored,
                false => &mut idle,
            };
            list.push((round.id.clone(), state));
        }
        (stored, idle)
    }

    /// Writes what there is, at page borders, so that neither a crash nor memory costs much.
    async fn save_if_due(&mut self) -> Result<(), SyncError> {
        let due = self.saved_at.elapsed() >= self.cx.options.checkpoint;
        let full = self.session.with(|c| Ok(c.pending() > MAX_PENDING)).await?;
        if due || full {
            self.save(false).await?;
        }
        Ok(())
    }

    async fn save(&mut self, at_end: bool) -> Result<(), SyncError> {
        let (cursors, idle) = self.cursors();
        let (before, now, put) = (self.saved.clone(), self.cx.now(), self.put);
        let state = self.session.with(move |c| {
            let items = c.save_items()?;
            let same = items == before.collection && !c.is_changed();
            let initial = |(id, _): &(FeedId, FeedState)| {
                !matches!(
                    c.feed(id),
                    Some(FeedState {
                        cursor: Some(Cursor::Done(_)),
                        ..
                    })
                )
            };
            // Nothing came of it: newer cursors are no reason for a snapshot.
            if same && !put && !cursors.iter().any(initial) {
                return Ok((None, cursors));
            }
            for (id, state) in &cursors {
                if state.folder.is_none() || c.feed(id).is_some() {
                    c.set_feed(id, Some(state.clone()));
                }
            }
            Ok((Some(c.save(&before, now)?), Vec::new()))
        });
        let (state, unchanged) = state.await?;
        self.saved_at = Instant::now();
        if let Some(state) = state {
            self.ledger
                .put(self.account, self.workload.name(), state.clone());
            self.saved = state;
            self.put = true;
        }
        if at_end {
            for (id, state) in idle.into_iter().chain(unchanged) {
                let round = self.rounds.iter().find(|round| round.id == id);
                if let Some(round) = round {
                    let owner = &self.session.owner;
                    self.cx.local.set_feed(owner, &id, &round.stored, &state);
                }
            }
        }
        Ok(())
    }

    async fn finish(&mut self, settled: bool) -> Result<Captured, SyncError> {
        self.save(true).await?;
        if !settled && self.error.is_none() {
            self.error = self.session.abort.take();
        }
        let line = WorkloadLine {
            status: match self.error {
                Some(_) => Status::Failed,
                None => Status::Captured,
            },
            counts: self.session.counts,
            reason: self.error.as_ref().map(ToString::to_string),
        };
        Ok(Captured {
            line,
            error: self.error.take(),
            notes: std::mem::take(&mut self.session.notes),
        })
    }
}
