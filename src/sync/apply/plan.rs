//! What the changes of a page come to: folders and light changes are applied at once, the rest is written
//! down for later.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::failure::{fail, failure};
use super::{Removal, Told};
use crate::graph::ErrorClass;
use crate::sync::SyncError;
use crate::sync::collection::{Collection, FeedState, Held};
use crate::sync::fetch::Job;
use crate::sync::report::{Counts, ItemLine};
use crate::tree::{Entry, ItemKey, Scope};
use crate::workload::{self, Change, EntryKind, FeedId, Workload, merge};

/// Whose page it is.
pub(super) struct Context<'a> {
    pub workload: &'a dyn Workload,
    /// UPN of the account.
    pub account: &'a str,
    /// Number of the feed.
    pub feed: u32,
    /// Seconds since 1970.
    pub now: i64,
}

/// What a page comes to.
#[derive(Default)]
pub(super) struct Plan {
    /// Items whose content is needed.
    pub jobs: Vec<Job>,
    /// What was told to be there.
    pub added: Vec<ItemKey>,
    /// What was told to be gone.
    pub removals: Vec<Removal>,
    /// Lines for the report.
    pub notes: Vec<ItemLine>,
    pub counts: Counts,
    pub told: Told,
    /// Items that cannot be had.
    pub skipped: Vec<String>,
}

impl Plan {
    /// What the changes of one page come to. Of an item that is told several times, the last word counts.
    pub fn of(
        c: &mut Collection,
        changes: Vec<Change>,
        context: &Context<'_>,
    ) -> Result<Plan, SyncError> {
        let mut plan = Plan::default();
        let mut last: HashMap<String, usize> = HashMap::new();
        for (i, change) in changes.iter().enumerate() {
            if let Some(id) = id_of(change) {
                last.insert(id.to_owned(), i);
            }
        }
        for (i, change) in changes.into_iter().enumerate() {
            if id_of(&change).is_none_or(|id| last.get(id) == Some(&i)) {
                plan.add(c, change, context)?;
            }
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        c: &mut Collection,
        change: Change,
        context: &Context<'_>,
    ) -> Result<(), SyncError> {
        let Context {
            workload,
            account,
            feed,
            now,
        } = *context;
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
                if class == ErrorClass::NotFound {
                    // Gone since it was listed, or not: asked for once more at the end of this cycle.
                    fail(
                        c,
                        &id,
                        failure(name, parent, ErrorClass::Transient, reason, now),
                    );
                    return Ok(());
                }
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

    /// A folder is stored at once, from its record.
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
        let (old, record) = merged(c, workload, id, held.as_ref(), &told)?;
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

    /// An item is stored at once when its content is there already, and fetched otherwise.
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
        let (old, record) = merged(c, workload, &id, held.as_ref(), &told)?;
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

/// The record that is stored of an item or folder, and what it becomes by what was told. One whose details
/// are to be asked for waits from now on.
fn merged(
    c: &mut Collection,
    workload: &dyn Workload,
    id: &str,
    held: Option<&Held>,
    told: &serde_json::Value,
) -> Result<(Option<serde_json::Value>, serde_json::Value), SyncError> {
    let old = held.map(|h| c.record(&h.entry)).transpose()?.flatten();
    let mut record = old.clone().unwrap_or_default();
    merge(&mut record, told);
    if workload.needs_details(old.as_ref(), &record) {
        c.set_waiting(id, true);
    }
    Ok((old, record))
}

/// The item or folder that a change is about.
fn id_of(change: &Change) -> Option<&str> {
    match change {
        Change::Folder { id, .. }
        | Change::Item { id, .. }
        | Change::Removed { id, .. }
        | Change::Skipped { id, .. } => Some(id),
        Change::Holds { .. } | Change::Noted { .. } => None,
    }
}
