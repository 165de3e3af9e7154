//! Applies what feeds tell to a collection: folders and light changes at once, items whose content
//! is needed through [`fetch`](super::fetch), removals later.
//!
//! A change that is told again changes nothing: what is stored is compared first.

mod content;
mod failure;
mod plan;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::collection::Collection;
use super::progress::Progress;
use super::report::{Counts, ItemLine};
use super::{Shared, SyncError};
use crate::graph::GraphError;
use crate::tree::ItemKey;
use crate::workload::{Account, Change, Workload};

pub(super) use failure::{class_of, fail, failure};
use plan::{Context, Plan};

/// Added items that are remembered, to know moved ones from removed ones without asking.
const MAX_ADDED: usize = 500_000;

/// Something that left a feed, and may have moved.
#[derive(Clone, Debug)]
pub(super) struct Removal {
    pub id: String,
    pub key: ItemKey,
    pub parent: Option<String>,
    pub verify: bool,
    /// Which feed said so; see [`Session::feed`].
    pub feed: u32,
    /// Nothing said so, but a sweep did not meet it.
    pub sweep: bool,
}

/// An item that is not stored as it is told: key and id.
pub(super) type News = (ItemKey, String);

/// What applying changes came to.
#[derive(Default)]
pub(super) struct Told {
    /// All that they named.
    pub keys: Vec<ItemKey>,
    /// Of these, what was not known so. Not what failed before: that is known to be missing.
    pub news: Vec<News>,
}

/// The capture of one collection: what is known, what was told, what came of it.
pub(super) struct Session {
    cx: Arc<Shared>,
    account: Account,
    workload: Arc<dyn Workload>,
    /// `<account id>/<workload>`.
    pub owner: String,
    /// `None` only while a blocking thread has it.
    collection: Option<Collection>,
    /// Number of the feed that is being applied.
    pub feed: u32,
    pub counts: Counts,
    pub notes: Vec<ItemLine>,
    /// Removals that wait for the end of all rounds, by item and feed: an item that moved and was
    /// deleted then is removed by several.
    pub removals: HashMap<(ItemKey, u32), Removal>,
    /// Items that a feed added in this cycle, and which one was the last.
    pub added: HashMap<ItemKey, u32>,
    /// Failed items that had their attempt in this cycle.
    pub tried: HashSet<String>,
    /// Too much failed in a row.
    pub abort: Option<GraphError>,
    streak: u32,
}

impl Session {
    pub fn new(
        cx: &Arc<Shared>,
        account: &Account,
        workload: &Arc<dyn Workload>,
        owner: String,
        collection: Collection,
    ) -> Session {
        Session {
            cx: cx.clone(),
            account: account.clone(),
            workload: workload.clone(),
            owner,
            collection: Some(collection),
            feed: 0,
            counts: Counts::default(),
            notes: Vec::new(),
            removals: HashMap::new(),
            added: HashMap::new(),
            tried: HashSet::new(),
            abort: None,
            streak: 0,
        }
    }

    /// Does blocking work on the collection.
    pub async fn with<T, F>(&mut self, work: F) -> Result<T, SyncError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Collection) -> Result<T, SyncError> + Send + 'static,
    {
        let mut collection = self.collection.take().ok_or(SyncError::Interrupted)?;
        let work = super::blocking(move || {
            let result = work(&mut collection)?;
            Ok((collection, result))
        });
        let (collection, result) = work.await?;
        self.collection = Some(collection);
        Ok(result)
    }

    /// Applies the changes of one page.
    pub async fn apply(&mut self, changes: Vec<Change>) -> Result<Told, SyncError> {
        Progress::add(&self.cx.progress.items, changes.len() as u64);
        let (workload, feed) = (self.workload.clone(), self.feed);
        let (now, account) = (self.cx.now(), self.account.upn.clone());
        let plan = self.with(move |c| {
            let context = Context {
                workload: &*workload,
                account: &account,
                feed,
                now,
            };
            Plan::of(c, changes, &context)
        });
        let plan = plan.await?;
        self.counts.add(&plan.counts);
        self.notes.extend(plan.notes);
        self.tried.extend(plan.skipped);
        for key in plan.added {
            // Told again where it was told to be removed: the last word counts.
            self.removals.remove(&(key, feed));
            if self.added.len() < MAX_ADDED {
                self.added.insert(key, feed);
            }
        }
        for removal in plan.removals {
            self.removals.insert((removal.key, feed), removal);
        }
        self.fetch_all(plan.jobs).await?;
        Ok(plan.told)
    }

    /// A line for the report.
    pub fn note(&mut self, id: String, path: String, note: &str) {
        let (account, workload) = (&self.account.upn, self.workload.name());
        let line = ItemLine::note(account, workload, id, path, note.to_owned());
        self.notes.push(line);
    }

    /// Brings items that were asked for singly: moved ones, and failed ones again.
    pub async fn apply_alive(&mut self, found: Vec<Change>) -> Result<Told, SyncError> {
        self.feed = u32::MAX;
        self.apply(found).await
    }
}
