//! What is asked for last: details of items that are dear and may wait (permissions of shared ones).
//!
//! Which items wait for theirs is part of the snapshot's state, so neither a crash nor a budget that is
//! used up loses any. Folders come before what is in them: what an item inherits is judged by what the
//! folders above it have.
//!
//! Memory: ids and depths of all that wait in one collection, and the records of one chunk with those
//! of its folders.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::collection::Collection;
use super::ledger::Ledger;
use super::report::ItemLine;
use super::{Shared, SyncError, blocking};
use crate::tree::{Entry, ItemKey};
use crate::workload::{Account, Detail, ItemError, Workload};

/// Items that are asked about in one call.
const CHUNK: usize = 100;
/// Resource units of one item: what SharePoint takes for anything about permissions.
const COST: u64 = 5;
/// Folders above an item: a path of SharePoint has at most 400 characters.
const MAX_DEPTH: usize = 400;
/// Records of folders that are remembered.
const MAX_KNOWN: usize = 4_096;

/// Asks for what waits in one workload of one account. What it returns is for the report.
///
/// # Errors
/// What ends the whole cycle.
pub(super) async fn details(
    cx: &Arc<Shared>,
    ledger: &Ledger,
    account: &Account,
    workload: &Arc<dyn Workload>,
) -> Result<Vec<ItemLine>, SyncError> {
    let before = match ledger.workload(&account.id, workload.name()) {
        Some(state) if state.waiting.is_some() => state,
        _ => return Ok(Vec::new()),
    };
    let (collection, mut queue) = {
        let (cx, state) = (cx.clone(), before.clone());
        blocking(move || {
            let mut collection = Collection::open(&cx.writer, &cx.nodes, &state)?;
            let queue = Queue::of(&mut collection)?;
            Ok((collection, queue))
        })
        .await?
    };
    let whose = format!("{}, permissions in {}", account.upn, workload.folder());
    cx.progress.set_current(whose);
    let line = |id: String, path: String, reason: String| {
        ItemLine::note(&account.upn, workload.name(), id, path, reason)
    };
    let (mut collection, mut notes, mut stopped) = (collection, Vec::new(), None);
    while !queue.is_empty() && !cx.progress.is_cancelled() {
        let room = match cx.directory.spare_drive_units() {
            Some(units) => usize::try_from(units / COST).unwrap_or(CHUNK).min(CHUNK),
            None => CHUNK,
        };
        if room == 0 {
            stopped = Some("the budget of resource units leaves no room now".to_owned());
            break;
        }
        let chunk = queue.take(room);
        let (back, mut items, waiting) = blocking(move || {
            let (mut collection, mut items, mut waiting) = (collection, Vec::new(), Vec::new());
            let mut known = HashMap::new();
            for id in chunk {
                match read(&mut collection, &id, &mut known)? {
                    Some((key, detail)) => {
                        items.push(detail);
                        waiting.push((id, key));
                    }
                    None => collection.set_waiting(&id, false),
                }
            }
            Ok((collection, items, waiting))
        })
        .await?;
        collection = back;
        let asked = workload.details(account, &mut items);
        let answers = match cx.progress.unless_cancelled(asked).await {
            Some(Ok(answers)) => answers,
            Some(Err(e)) => {
                stopped = Some(SyncError::unless_fatal(e)?.to_string());
                break;
            }
            None => break,
        };
        let (back, failed) = blocking(move || {
            let mut collection = collection;
            let failed = keep(&mut collection, waiting, items, answers)?;
            Ok((collection, failed))
        })
        .await?;
        collection = back;
        for (id, path, e) in failed {
            notes.push(line(id, path, e.reason));
        }
    }
    let now = cx.now();
    let (state, left) = blocking(move || {
        let left = collection.waiting().len();
        let state = collection.save(&before, now)?;
        Ok(((state != before).then_some(state), left))
    })
    .await?;
    if let Some(state) = state {
        ledger.put(account, workload.name(), state);
    }
    if left > 0 {
        notes.push(line(
            account.id.clone(),
            workload.folder().to_owned(),
            left_over(left, stopped),
        ));
    }
    Ok(notes)
}

fn left_over(left: usize, stopped: Option<String>) -> String {
    // An answer that was no refusal of all of them.
    let why = stopped.unwrap_or_else(|| "they could not be asked now".to_owned());
    format!("permissions of {left} items are asked in a later cycle: {why}")
}

/// What waits, folders before what is in them.
struct Queue {
    /// By depth, the deepest first: taken from the end.
    levels: Vec<(usize, Vec<String>)>,
}

impl Queue {
    /// Of what is not there any more nothing is asked.
    fn of(collection: &mut Collection) -> Result<Self, SyncError> {
        let mut levels: HashMap<usize, Vec<String>> = HashMap::new();
        for id in collection.waiting() {
            match collection.held(&collection.key(&id))? {
                Some(held) => {
                    let path = held.path.unwrap_or_default();
                    let depth = path.matches('/').count();
                    levels.entry(depth).or_default().push(id);
                }
                None => collection.set_waiting(&id, false),
            }
        }
        let mut levels: Vec<_> = levels.into_iter().collect();
        levels.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
        Ok(Self { levels })
    }

    fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// At most `room` of the same depth.
    fn take(&mut self, room: usize) -> Vec<String> {
        let Some((_, level)) = self.levels.last_mut() else {
            return Vec::new();
        };
        let chunk = level.split_off(level.len().saturating_sub(room));
        if level.is_empty() {
            self.levels.pop();
        }
        chunk
    }
}

/// What is stored of an item, and of the folders above it.
fn read(
    collection: &mut Collection,
    id: &str,
    known: &mut HashMap<ItemKey, (ItemKey, Arc<Value>)>,
) -> Result<Option<(ItemKey, Detail)>, SyncError> {
    let key = collection.key(id);
    let Some(held) = collection.held(&key)? else {
        return Ok(None);
    };
    let Some(record) = collection.record(&held.entry)? else {
        return Ok(None);
    };
    let (mut above, mut at) = (Vec::new(), held.parent);
    while at != ItemKey::ROOT && above.len() < MAX_DEPTH {
        let (parent, record) = match known.get(&at) {
            Some(known) => known.clone(),
            None => {
                let Some(folder) = collection.held(&at)? else {
                    break;
                };
                let record = collection.record(&folder.entry)?.unwrap_or_default();
                let found = (folder.parent, Arc::new(record));
                if known.len() < MAX_KNOWN {
                    known.insert(at, found.clone());
                }
                found
            }
        };
        above.push(record);
        at = parent;
    }
    Ok(Some((key, Detail { record, above })))
}

/// Stores what was answered. What may be answered later goes on waiting.
fn keep(
    collection: &mut Collection,
    waiting: Vec<(String, ItemKey)>,
    items: Vec<Detail>,
    answers: Vec<Result<(), ItemError>>,
) -> Result<Vec<(String, String, ItemError)>, SyncError> {
    let mut failed = Vec::new();
    for (((id, key), item), answer) in waiting.into_iter().zip(items).zip(answers) {
        let Some(held) = collection.held(&key)? else {
            continue;
        };
        match answer {
            Err(e) if e.class.is_temporary() => continue,
            // It is gone meanwhile, and its feed will tell.
            Err(e) if e.class.is_gone() => {}
            Err(e) => failed.push((id.clone(), held.path.unwrap_or(held.name.clone()), e)),
            Ok(()) => {}
        }
        collection.set_waiting(&id, false);
        if held.entry.is_dir() {
            let mtime = held.entry.mtime;
            collection.upsert_dir(key, held.parent, &held.name, mtime, &item.record)?;
        } else {
            let entry = Entry {
                record: Some(collection.put_record(&item.record)?),
                ..held.entry
            };
            collection.upsert_file(key, held.parent, &held.name, entry)?;
        }
    }
    Ok(failed)
}
