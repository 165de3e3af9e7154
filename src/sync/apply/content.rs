//! Items whose content is needed: fetched, several at once, and stored in order.

use std::sync::Arc;

use futures::{StreamExt, stream};

use super::Session;
use super::failure::{fail, failure};
use crate::graph::{ErrorClass, GraphError};
use crate::sync::collection::{Collection, Payload};
use crate::sync::fetch::{Fetched, Job, Outcome, fetch, fetch_many};
use crate::sync::progress::Progress;
use crate::sync::report::Counts;
use crate::sync::{Shared, SyncError, spawn};
use crate::tree::Entry;
use crate::workload::{self, Account, Batch, EntryKind, SINCE, Workload};

/// This many items failing one after the other for reasons that aren't theirs end the capture.
const MAX_STREAK: u32 = 8;

impl Session {
    /// Fetches and stores items, neighbours next to each other.
    pub(super) async fn fetch_all(&mut self, mut jobs: Vec<Job>) -> Result<(), SyncError> {
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
                spawn(async move {
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
            self.store(chunk).await?;
            drop(rooms);
            if self.abort.is_some() {
                return Ok(());
            }
        }
    }

    /// Gives fetched items their places.
    async fn store(&mut self, chunk: Vec<Fetched>) -> Result<(), SyncError> {
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
        for (id, path, note) in kept.notes {
            self.note(id, path, &note);
        }
        self.counts.add(&kept.counts);
        Ok(())
    }

    /// Notices when it isn't single items that fail.
    fn watch(&mut self, chunk: &[Fetched]) {
        for item in chunk {
            if item.job.failing && !matches!(item.outcome, Outcome::Vanished) {
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
    let mut job = item.job;
    let counts = &mut kept.counts;
    match item.outcome {
        Outcome::Got(mut payload) => {
            let note = match &mut payload {
                Payload::Exported(item) => item.note.take(),
                _ => None,
            };
            let stored = c.put_payload(payload)?;
            if let Some(held) = &job.held
                && held.entry.content() == Some((stored.content, stored.size))
                && let Some(since) = job.record.get_mut(SINCE)
            {
                // It was fetched again and is the same: so it was all the time.
                *since = held.entry.mtime.into();
            }
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
        // Gone, or Graph says so too early. It is asked for once more at the end of this cycle, and stays on the
        // list unless it is gone then: what was told may not vanish without a word.
        Outcome::Vanished => {
            let why = "it was told, but Graph says that its content is not there".to_owned();
            let failed = failure(job.name, job.parent_id, ErrorClass::Transient, why, now);
            fail(c, &job.id, failed);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::ItemKey;

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
