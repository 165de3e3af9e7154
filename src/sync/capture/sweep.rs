//! Making sure that delta missed nothing: a sweep enumerates a feed anew although its cursor is good,
//! and compares what it tells with what is stored.
//!
//! Delta loses things now and then: an item that moved away and back, a change that is told late or
//! never. Nothing but an enumeration finds them. Behind it comes the ordinary round, from the cursor
//! that was good: what this tells too was not missed, so only the rest is named in the report. The
//! sweep's own cursor takes the old one's place together with what was found.
//!
//! Invariants:
//! - What is stored as it is told is not fetched again.
//! - What is stored and not told any more is asked for, and removed only if it does not exist. Of a
//!   folder that has a feed of its own this feed tells.
//! - A sweep that fails costs nothing but a line: the ordinary round goes on.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use super::{Capture, DAY, Round};
use crate::graph::{ErrorClass, GraphError};
use crate::sync::apply::{News, Removal, Told};
use crate::sync::collection::FeedState;
use crate::sync::{Shared, SyncError};
use crate::tree::{ItemKey, Scope};
use crate::workload::{Cursor, FeedId, Workload, id_in};

/// What the report says of an item.
const FOUND: &str = "found by the sweep: no change had told of it";
/// And of one that does not exist any more.
const GONE: &str = "found by the sweep: it is gone, and no change had told so";

/// Found items that are named; more are only stored.
const MAX_FOUND: usize = 10_000;

/// A sweep of one feed.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Where the ordinary round begins that comes behind it; `None` while that is on its way.
    behind: Option<String>,
    /// What was not known, and was not told by the ordinary round.
    found: HashMap<ItemKey, String>,
}

/// Where a round begins.
#[derive(Debug)]
pub(super) struct Start {
    pub at: Option<String>,
    pub sweep: Option<Sweep>,
}

impl Start {
    /// From a feed's state: with a sweep when that is due.
    pub fn of(cx: &Shared, workload: &dyn Workload, id: &FeedId, from: &FeedState) -> Self {
        let link = match &from.cursor {
            None => None,
            Some(Cursor::More(link) | Cursor::Done(link)) => Some(link.clone()),
        };
        let ordinary = |at| Self { at, sweep: None };
        let (Some(every), Some(Cursor::Done(good))) = (cx.options.sweep, &from.cursor) else {
            return ordinary(link);
        };
        let due = from.swept.unwrap_or_default().saturating_add(every);
        match workload.sweep(id, good) {
            Some(anew) if cx.now() >= due => Self {
                at: Some(anew),
                sweep: Some(Sweep {
                    behind: link,
                    found: HashMap::new(),
                }),
            },
            _ => ordinary(link),
        }
    }
}

impl Round {
    /// The ordinary round behind a sweep is on its way.
    pub(super) fn is_behind(&self) -> bool {
        self.sweep
            .as_ref()
            .is_some_and(|sweep| sweep.behind.is_none())
    }

    /// Takes in what a page told.
    pub(super) fn hear(&mut self, told: Told) {
        let behind = self.is_behind();
        if let Some(sweep) = &mut self.sweep {
            if behind {
                told.keys
                    .iter()
                    .for_each(|key| drop(sweep.found.remove(key)));
            } else {
                let room = MAX_FOUND.saturating_sub(sweep.found.len());
                sweep.found.extend(told.news.into_iter().take(room));
            }
        }
        if let Some(seen) = &mut self.seen {
            seen.extend(told.keys);
        }
    }

    /// All pages were told. Where to go on, if the ordinary round comes now.
    pub(super) fn ends(&mut self, link: String) -> Option<String> {
        if !self.is_behind() {
            self.reached = Some(Cursor::Done(link));
        }
        self.sweep.as_mut()?.behind.take()
    }

    /// What the ordinary round would have told can't be known.
    pub(super) fn forget_found(&mut self) {
        if let Some(sweep) = &mut self.sweep {
            sweep.found.clear();
        }
    }
}

impl Capture<'_> {
    /// Whether a round that can't go on was a sweep: then where the ordinary one begins, which comes
    /// in its place. The sweep is tried again tomorrow.
    pub(super) fn give_up_sweep(&mut self, number: usize, e: &GraphError) -> Option<String> {
        let lost = matches!(
            e.class,
            ErrorClass::Auth | ErrorClass::Network | ErrorClass::Throttled
        );
        let (every, now) = (self.cx.options.sweep?, self.cx.now());
        let round = &mut self.rounds[number];
        let behind = match lost {
            true => None,
            false => round.sweep.as_mut()?.behind.take(),
        }?;
        (round.sweep, round.seen, round.reached) = (None, None, None);
        round.swept = Some(now.saturating_sub(every).saturating_add(DAY.min(every)));
        let (id, name) = (round.id.to_string(), self.workload.folder().to_owned());
        let note = format!("the sweep failed, and is tried again tomorrow: {e}");
        self.session.note(id, name, &note);
        Some(behind)
    }

    /// A round is complete.
    pub(super) async fn done(&mut self, number: usize) -> Result<(), SyncError> {
        let now = self.cx.now();
        let round = &mut self.rounds[number];
        round.done = true;
        // What was told before a break is as old as the break: that feed is swept in the next cycle.
        let in_one_go = !matches!(round.from.cursor, Some(Cursor::More(_)));
        if let Some(Cursor::Done(link)) = &round.reached
            && round.whole
            && in_one_go
            && self.workload.sweep(&round.id, link).is_some()
        {
            round.swept = Some(now);
        }
        let found = round.sweep.as_mut().map(|s| std::mem::take(&mut s.found));
        self.unseen(number).await?;
        self.name(found.into_iter().flatten().collect()).await?;
        self.save_if_due().await
    }

    /// What an enumeration did not tell has left the folder, or is gone. Where a folder's feed tells all
    /// that is below it, that is all there is to know; else it may have moved.
    async fn unseen(&mut self, number: usize) -> Result<(), SyncError> {
        let round = &mut self.rounds[number];
        let (folder, sweep) = (round.stored.folder.clone(), round.sweep.is_some());
        if folder.is_none() && !sweep {
            return Ok(()); // After a lost history it is believed; see `remove`.
        }
        let Some(seen) = round.seen.take() else {
            return Ok(());
        };
        let whole = folder.is_some() && self.workload.feeds_tell_trees();
        let left = self.session.with(move |c| {
            let scope = match &folder {
                Some(folder) if whole => Scope::Below(c.key(folder)),
                Some(folder) => Scope::FilesIn(c.key(folder)),
                None if c.feeds().iter().any(|(_, feed)| feed.folder.is_some()) => {
                    return Ok(Vec::new());
                }
                None => Scope::All,
            };
            let unseen = RefCell::new(BTreeSet::new());
            c.retain(scope, |key| {
                if !seen.contains(key) {
                    unseen.borrow_mut().insert(*key);
                }
                true // Nothing is removed before it was asked for.
            })?;
            let mut left = Vec::new();
            for key in unseen.into_inner() {
                let Some(held) = c.held(&key)? else { continue };
                let record = c.record(&held.entry)?.unwrap_or_default();
                match id_in(&record) {
                    Some(id) => left.push(Removal {
                        id: id.to_owned(),
                        key,
                        parent: folder.clone(),
                        verify: sweep || !whole,
                        feed: number as u32,
                        sweep,
                    }),
                    None => c.remove(key)?,
                }
            }
            Ok(left)
        });
        for removal in left.await? {
            let of = (removal.key, removal.feed);
            self.session.removals.entry(of).or_insert(removal);
        }
        Ok(())
    }

    /// Names what was found.
    pub(super) async fn name(&mut self, found: Vec<News>) -> Result<(), SyncError> {
        if found.is_empty() {
            return Ok(());
        }
        let named = self.session.with(move |c| {
            let mut named = Vec::with_capacity(found.len());
            for (key, id) in found {
                if let Some(held) = c.held(&key)? {
                    named.push((id, held.path.unwrap_or(held.name)));
                }
            }
            Ok(named)
        });
        let named = named.await?;
        self.note_found(named, FOUND);
        Ok(())
    }

    /// Ids with the paths that items had.
    pub(super) fn name_gone(&mut self, mut gone: Vec<(String, String)>) {
        gone.truncate(MAX_FOUND);
        self.note_found(gone, GONE);
    }

    fn note_found(&mut self, mut named: Vec<(String, String)>, how: &str) {
        named.sort_by(|a, b| a.1.cmp(&b.1));
        self.session.counts.found += named.len() as u64;
        for (id, path) in named {
            self.session.note(id, path, how);
        }
    }
}
