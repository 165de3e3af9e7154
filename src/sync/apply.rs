//! Applies what feeds tell to a collection: folders and light changes at once, items whose content
//! is needed through [`fetch`](super::fetch), removals later.
//!
//! A change that is told again changes nothing: what is stored is compared first.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, stream};

use super::collection::{Collection, FeedState, Payload};
use super::fetch::{Fetched, Job, Outcome, fetch, fetch_many};
use super::progress::Progress;
use super::report::{Counts, ItemLine};
use super::{Shared, SyncError};
use crate::graph::{ErrorClass, GraphError};
use crate::tree::state::FailedItem;
use crate::tree::{Entry, ItemKey, Scope};
use crate::workload::{self, Account, Batch, Change, EntryKind, FeedId, Workload, merge};

/// This many items failing one after the other for reasons that aren't theirs end the capture.
const MAX_STREAK: u32 = 8;

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

/// What a page comes to.
#[derive(Default)]
struct Plan {
    jobs: Vec<Job>,
    added: Vec<ItemKey>,
    removals: Vec<Removal>,
    notes: Vec<ItemLine>,
    counts: Counts,
    told: Told,
    skipped: Vec<String>,
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
            let mut plan = Plan::default();
            let mut last: HashMap<String, usize> = HashMap::new();
            for (i, change) in changes.iter().enumerate() {
                if let Some(id) = id_of(change) {
                    last.insert(id.to_owned(), i);
                }
            }
            for (i, change) in changes.into_iter().enumerate() {
                if id_of(&change).is_none_or(|id| last.get(id) == Some(&i)) {
                    plan.add(c, &*workload, change, feed, now, &account)?;
                }
            }
            Ok(plan)
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

    /// Fetches and stores items, neighbours next to each other.
    async fn fetch_all(&mut self, mut jobs: Vec<Job>) -> Result<(), SyncError> {
        jobs.sort_by(|a, b| (a.parent, &a.name).cmp(&(b.parent, &b.name)));
        let cx = self.cx.clone();
        let (workload, account) = (self.workload.clone(), self.account.clone());
        let slots = Arc::new(tokio::sync::Semaphore::new(cx.options.fetches.max(1)));
        let batch = workload.batch();
        let groups = grouped(jobs, batch, &|job| workload.content_size(&job.record));
        let fetches = stream::iter(groups)
            // Room is taken in the order in which groups are stored, so the first always has it.
            .then(|(jobs, bytes)| {
                let cx = cx.clone();
                async move {
                    let room = match batch {
                        Some(_) => cx.room(bytes).await,
                        None => None,
                    };
                    (jobs, room)
                }
            })
            .map(|(jobs, room)| {
                let (cx, slots) = (cx.clone(), slots.clone());
                let (workload, account) = (workload.clone(), account.clone());
                super::spawn(async move {
                    let _slot = slots.acquire().await;
                    let fetched = fetch_group(&cx, &*workload, &account, jobs).await?;
                    Ok::<_, SyncError>((fetched, room))
                })
            });
        // Tasks start when they are taken in here, so at most so many are alive; twice the slots,
        // so that the next ones are on their way while some are being stored.
        let at_once = 2 * cx.options.fetches.max(1);
        let fetched = fetches.buffered(at_once).ready_chunks(at_once);
        tokio::pin!(fetched);
        let stop = cx.progress.token().clone();
        loop {
            let chunk = tokio::select! {
                chunk = fetched.next() => chunk,
                () = stop.cancelled() => None,
            };
            let Some(fetched_groups) = chunk else {
                return Ok(());
            };
            let (mut chunk, mut rooms) = (Vec::new(), Vec::new());
            for joined in fetched_groups {
                let (items, room) = joined.map_err(SyncError::Panicked)??;
                chunk.extend(items);
                rooms.push(room);
            }
            self.watch(&chunk);
            let (workload, now) = (self.workload.clone(), self.cx.now());
            let kept = self.with(move |c| {
                let mut kept = Kept::default();
                for item in chunk {
                    keep(c, &*workload, item, now, &mut kept)?;
                }
                Ok(kept)
            });
            let kept = kept.await?;
            drop(rooms);
            for (id, path, note) in kept.notes {
                self.note(id, path, &note);
            }
            let counts = kept.counts;
            self.counts.add(&counts);
            if self.abort.is_some() {
                return Ok(());
            }
        }
    }

    /// Notices when it isn't single items that fail.
    fn watch(&mut self, chunk: &[Fetched]) {
        for item in chunk {
            if item.job.failing {
                self.tried.insert(item.job.id.clone());
                let now = self.cx.now();
                self.cx.local.set_tried(&self.owner, &item.job.id, now);
            }
            let Outcome::Failed(e) = &item.outcome else {
                self.streak = 0;
                continue;
            };
            Progress::add(&self.cx.progress.failed, 1);
            self.tried.insert(item.job.id.clone());
            let outside = e.class.is_temporary() || e.class == ErrorClass::Denied;
            self.streak = if outside { self.streak + 1 } else { 0 };
            if self.streak >= MAX_STREAK && self.abort.is_none() {
                self.abort = Some(GraphError::local(e.class, "content", e.reason.clone()));
            }
        }
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

/// Jobs in groups that one request may bring, with the bytes that each is expected to take. Without a
/// batch each is a group.
fn grouped(
    jobs: Vec<Job>,
    batch: Option<Batch>,
    size: &dyn Fn(&Job) -> u64,
) -> Vec<(Vec<Job>, u64)> {
    let batch = batch.unwrap_or(Batch { items: 1, bytes: 0 });
    let mut groups: Vec<(Vec<Job>, u64)> = Vec::new();
    for job in jobs {
        let bytes = size(&job);
        match groups.last_mut() {
            Some((group, sum)) if group.len() < batch.items && *sum + bytes <= batch.bytes => {
                group.push(job);
                *sum += bytes;
            }
            _ => groups.push((vec![job], bytes)),
        }
    }
    groups
}

/// Fetches what belongs together.
async fn fetch_group(
    cx: &Shared,
    workload: &dyn Workload,
    account: &Account,
    mut jobs: Vec<Job>,
) -> Result<Vec<Fetched>, SyncError> {
    match workload.batch() {
        Some(_) => fetch_many(cx, workload, account, jobs).await,
        None => match jobs.pop() {
            Some(job) => Ok(vec![fetch(cx, workload, account, job).await?]),
            None => Ok(Vec::new()),
        },
    }
}

fn id_of(change: &Change) -> Option<&str> {
    match change {
        Change::Folder { id, .. }
        | Change::Item { id, .. }
        | Change::Removed { id, .. }
        | Change::Skipped { id, .. } => Some(id),
        Change::Holds { .. } | Change::Noted { .. } => None,
    }
}

impl Plan {
    fn add(
        &mut self,
        c: &mut Collection,
        workload: &dyn Workload,
        change: Change,
        feed: u32,
        now: i64,
        account: &str,
    ) -> Result<(), SyncError> {
        match change {
            Change::Folder {
                id,
                parent,
                record,
                feed,
            } => self.folder(c, workload, &id, parent.as_deref(), record, feed),
            Change::Item { id, parent, record } => self.item(c, workload, id, parent, record),
            Change::Removed { id, parent, verify } => {
                let key = c.key(&id);
                self.removals.push(Removal {
                    id,
                    key,
                    parent,
                    verify,
                    feed,
                    sweep: false,
                });
                Ok(())
            }
            Change::Skipped {
                id,
                parent,
                name,
                class,
                reason,
            } => {
                self.told.keys.push(c.key(&id));
                fail(c, &id, failure(name, parent, class, reason, now));
                self.counts.failed += 1;
                self.skipped.push(id);
                Ok(())
            }
            Change::Holds {
                folder,
                parent,
                items,
            } => self.holds(c, folder, parent, &items, feed),
            Change::Noted { id, name, note } => {
                let workload = workload.name();
                self.notes
                    .push(ItemLine::note(account, workload, id, name, note));
                Ok(())
            }
        }
    }

    /// Removes what is in a folder and not named, or the folder if nothing is.
    fn holds(
        &mut self,
        c: &mut Collection,
        folder: String,
        parent: Option<String>,
        items: &[String],
        feed: u32,
    ) -> Result<(), SyncError> {
        let key = c.key(&folder);
        if c.held(&key)?.is_none() {
            return Ok(());
        }
        let mut remove = |id: String, key: ItemKey, parent: Option<String>| {
            self.removals.push(Removal {
                id,
                key,
                parent,
                verify: false,
                feed,
                sweep: false,
            });
        };
        if items.is_empty() {
            remove(folder, key, parent);
            return Ok(());
        }
        let named: HashSet<ItemKey> = items.iter().map(|id| c.key(id)).collect();
        let others = RefCell::new(Vec::new());
        c.retain(Scope::FilesIn(key), |key| {
            if !named.contains(key) {
                others.borrow_mut().push(*key);
            }
            true // Removals have their time.
        })?;
        for key in others.into_inner() {
            let Some(held) = c.held(&key)? else { continue };
            let record = c.record(&held.entry)?.unwrap_or_default();
            if let Some(id) = workload::id_in(&record) {
                remove(id.to_owned(), key, Some(folder.clone()));
            }
        }
        Ok(())
    }

    fn folder(
        &mut self,
        c: &mut Collection,
        workload: &dyn Workload,
        id: &str,
        parent: Option<&str>,
        told: serde_json::Value,
        feed: Option<FeedId>,
    ) -> Result<(), SyncError> {
        let (key, parent) = (c.key(id), c.parent_key(parent));
        self.told.keys.push(key);
        self.added.push(key);
        if let Some(feed) = feed
            && c.feed(&feed).is_none()
        {
            let state = FeedState {
                folder: Some(id.to_owned()),
                ..FeedState::default()
            };
            c.set_feed(&feed, Some(state));
        }
        let held = c.held(&key)?;
        let old = held
            .as_ref()
            .map(|h| c.record(&h.entry))
            .transpose()?
            .flatten();
        let mut record = old.clone().unwrap_or_default();
        merge(&mut record, &told);
        if workload.needs_details(old.as_ref(), &record) {
            c.set_waiting(id, true);
        }
        let as_told = workload.describe(EntryKind::Folder, &workload::ItemKey(key.0), &record);
        let same = held.as_ref().is_some_and(|h| {
            h.parent == parent && h.name == as_told.name && h.entry.mtime == as_told.mtime
        });
        if same && old.as_ref() == Some(&record) {
            return Ok(());
        }
        match held {
            Some(_) => self.counts.updated += 1,
            None => self.counts.added += 1,
        }
        self.told.news.push((key, id.to_owned()));
        c.upsert_dir(key, parent, &as_told.name, as_told.mtime, &record)
    }

    fn item(
        &mut self,
        c: &mut Collection,
        workload: &dyn Workload,
        id: String,
        parent_id: Option<String>,
        told: serde_json::Value,
    ) -> Result<(), SyncError> {
        let (key, parent) = (c.key(&id), c.parent_key(parent_id.as_deref()));
        self.told.keys.push(key);
        self.added.push(key);
        let held = c.held(&key)?.filter(|h| !h.entry.is_dir());
        let old = held
            .as_ref()
            .map(|h| c.record(&h.entry))
            .transpose()?
            .flatten();
        let mut record = old.clone().unwrap_or_default();
        merge(&mut record, &told);
        if workload.needs_details(old.as_ref(), &record) {
            c.set_waiting(&id, true);
        }
        let as_told = workload.describe(EntryKind::Item, &workload::ItemKey(key.0), &record);
        let failing = c.failures().contains_key(&id);
        if let (Some(held), Some(old), false) = (&held, &old, failing)
            && !workload.needs_content(old, &record)
        {
            let same = held.parent == parent
                && held.name == as_told.name
                && held.entry.mtime == as_told.mtime;
            if !same || *old != record {
                let entry = Entry {
                    mtime: as_told.mtime,
                    record: Some(c.put_record(&record)?),
                    ..held.entry
                };
                c.upsert_file(key, parent, &as_told.name, entry)?;
                self.counts.updated += 1;
                self.told.news.push((key, id));
            }
            return Ok(());
        }
        if !failing {
            self.told.news.push((key, id.clone()));
        }
        let name = as_told.name;
        self.jobs.push(Job {
            id,
            key,
            parent,
            parent_id,
            name,
            record,
            held,
            failing,
        });
        Ok(())
    }
}

/// What came of storing items.
#[derive(Default)]
struct Kept {
    counts: Counts,
    /// Id, name, and a line for the report.
    notes: Vec<(String, String, String)>,
}

/// Gives a fetched item its place.
fn keep(
    c: &mut Collection,
    workload: &dyn Workload,
    item: Fetched,
    now: i64,
    kept: &mut Kept,
) -> Result<(), SyncError> {
    let job = item.job;
    let counts = &mut kept.counts;
    match item.outcome {
        Outcome::Got(mut payload) => {
            let note = match &mut payload {
                Payload::Exported(item) => item.note.take(),
                _ => None,
            };
            let stored = c.put_payload(payload)?;
            let record = c.put_record(&job.record)?;
            let mut versions = job.held.as_ref().and_then(|held| held.entry.versions);
            if let Some(mut changed) = item.versions {
                counts.fetched += changed.fetched.len() as u64;
                counts.bytes += changed.bytes();
                let line = changed.note.take();
                let line = line.map(|note| (job.id.clone(), job.name.clone(), note));
                kept.notes.extend(line);
                versions = c.put_versions(versions, changed)?;
            }
            let told =
                workload.describe(EntryKind::Item, &workload::ItemKey(job.key.0), &job.record);
            let entry = Entry {
                original: stored.original,
                versions,
                ..Entry::file(stored.content, stored.size, told.mtime, Some(record))
            };
            c.upsert_file(job.key, job.parent, &told.name, entry)?;
            c.set_failure(&job.id, None);
            counts.fetched += 1;
            counts.bytes += stored.size;
            let note = note.map(|note| (job.id, told.name, note));
            kept.notes.extend(note);
            match job.held {
                Some(_) => counts.updated += 1,
                None => counts.added += 1,
            }
        }
        Outcome::Vanished => c.set_failure(&job.id, None),
        Outcome::Failed(e) => {
            counts.failed += 1;
            let failed = failure(job.name.clone(), job.parent_id, e.class, e.reason, now);
            fail(c, &job.id, failed);
            // What is stored of it stays, where it is now. Its record stays the old one, so the
            // next attempt sees the difference.
            if let Some(held) = job.held
                && (held.parent != job.parent || held.name != job.name)
            {
                c.upsert_file(job.key, job.parent, &job.name, held.entry)?;
            }
        }
    }
    Ok(())
}

pub(super) fn failure(
    name: String,
    parent: Option<String>,
    class: ErrorClass,
    reason: String,
    now: i64,
) -> FailedItem {
    FailedItem {
        reason,
        class: class_name(class),
        name,
        parent,
        attempts: 1,
        last: now,
    }
}

/// Puts an item on the list of failed ones. One that is there for the same reason stays as it is:
/// failing once more is no change, and must not make a snapshot.
pub(super) fn fail(c: &mut Collection, id: &str, new: FailedItem) {
    let known = c.failures().get(id);
    let same = known.is_some_and(|old| {
        old.class == new.class && old.name == new.name && old.parent == new.parent
    });
    if !same {
        let attempts = known.map_or(1, |old| old.attempts + 1);
        c.set_failure(id, Some(FailedItem { attempts, ..new }));
    }
}

pub(super) fn class_name(class: ErrorClass) -> String {
    let json = serde_json::to_value(class).unwrap_or_default();
    json.as_str().unwrap_or("unknown").to_owned()
}

pub(super) fn class_of(name: &str) -> Option<ErrorClass> {
    serde_json::from_value(name.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: u64) -> Job {
        Job {
            id: n.to_string(),
            key: ItemKey([0; 16]),
            parent: ItemKey::ROOT,
            parent_id: None,
            name: String::new(),
            record: n.into(),
            held: None,
            failing: false,
        }
    }

    #[test]
    fn groups_hold_to_number_and_size() {
        let lens = |sizes: &[u64], batch: Option<Batch>| -> Vec<usize> {
            let jobs = sizes.iter().map(|n| job(*n)).collect();
            let size = |job: &Job| job.record.as_u64().unwrap_or_default();
            let groups = grouped(jobs, batch, &size);
            let told: u64 = groups.iter().map(|(_, bytes)| bytes).sum();
            assert_eq!(told, sizes.iter().sum::<u64>());
            groups.iter().map(|(jobs, _)| jobs.len()).collect()
        };
        let batch = Some(Batch {
            items: 3,
            bytes: 10,
        });
        assert_eq!(lens(&[1, 1, 1, 1, 1], batch), [3, 2]);
        assert_eq!(lens(&[6, 6, 4, 1], batch), [1, 2, 1]);
        // One that is too large alone goes alone.
        assert_eq!(lens(&[50, 1], batch), [1, 1]);
        assert_eq!(lens(&[0, 0, 0], None), [1, 1, 1]);
        assert_eq!(lens(&[], batch), [0; 0]);
    }
}
