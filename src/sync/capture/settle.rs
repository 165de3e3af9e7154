//! The end of a capture: tries failed items again, tells moved items from removed ones, removes.

use std::collections::HashSet;

use super::{Capture, DAY, Removal};
use crate::graph::{ErrorClass, GraphError};
use crate::sync::SyncError;
use crate::sync::apply::{class_of, fail, failure};
use crate::sync::repair::DAMAGED;
use crate::tree::{ItemKey, Scope};
use crate::workload::{Alive, Change, ItemError};

/// Ids that are asked for in one call.
const VERIFY_AT_ONCE: usize = 200;

impl Capture<'_> {
    /// Asks again for what failed before and was not told in this cycle.
    pub(super) async fn retry_failures(&mut self) -> Result<(), SyncError> {
        let failed = self.session.with(|c| Ok(c.failures().clone())).await?;
        let (now, owner) = (self.cx.now(), &self.session.owner);
        let due: Vec<String> = failed
            .into_iter()
            .filter(|(id, item)| {
                // What was damaged did not fail here: when it was asked for last says nothing.
                let at_once = item.class == DAMAGED
                    || class_of(&item.class).is_some_and(ErrorClass::is_temporary);
                let last = || self.cx.local.tried(owner, id).unwrap_or(item.last);
                !self.session.tried.contains(id) && (at_once || now >= last() + DAY)
            })
            .map(|(id, _)| id)
            .collect();
        for id in &due {
            self.cx.local.set_tried(owner, id, now);
        }
        let Some(answers) = self.ask(&due).await? else {
            return Ok(());
        };
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for (id, answer) in due.into_iter().zip(answers) {
            match answer {
                Alive::Here { parent, record } => found.push((id, parent, record)),
                Alive::Gone => gone.push(id),
                Alive::Unknown(_) => {}
            }
        }
        let found = self.session.with(move |c| {
            let mut inside = Vec::new();
            for (id, parent, record) in found {
                if parent.is_none() || c.held(&c.parent_key(parent.as_deref()))?.is_some() {
                    inside.push(Change::Item { id, parent, record });
                } else {
                    gone.push(id); // It left for a folder that isn't captured.
                }
            }
            for id in gone {
                c.set_failure(&id, None);
                c.remove_if_held(&id)?;
            }
            Ok(inside)
        });
        let found = found.await?;
        self.session.apply_alive(found).await.map(drop)
    }

    /// What became of these ids, or `None` (and the error is kept) when that can't be known now.
    async fn ask(&mut self, ids: &[String]) -> Result<Option<Vec<Alive>>, SyncError> {
        let mut answers = Vec::with_capacity(ids.len());
        for some in ids.chunks(VERIFY_AT_ONCE) {
            match self.workload.verify_removed(self.account, some).await {
                Ok(all) if all.len() == some.len() => answers.extend(all),
                Ok(_) => {
                    let why = "the answer does not fit the question";
                    self.feed_failed(GraphError::local(ErrorClass::Ours, "verify", why))?;
                    return Ok(None);
                }
                Err(e) => {
                    self.feed_failed(e)?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(answers))
    }

    /// Removes what left, now that all arrivals are known. False if that can't be known.
    pub(super) async fn settle(&mut self) -> Result<bool, SyncError> {
        let added = std::mem::take(&mut self.session.added);
        let left = std::mem::take(&mut self.session.removals);
        // Added by another feed: it moved.
        let left: Vec<Removal> = left
            .into_values()
            .filter(|r| added.get(&r.key).is_none_or(|feed| *feed == r.feed))
            .collect();
        let left = self.session.with(move |c| {
            let mut still = Vec::new();
            for removal in left {
                // Known to lie elsewhere since an earlier cycle, or never known.
                let held = c.held(&removal.key)?;
                let elsewhere = |parent: ItemKey| {
                    let from = removal.parent.as_deref();
                    removal.verify && from.is_some_and(|id| c.key(id) != parent)
                };
                match held {
                    Some(held) if !elsewhere(held.parent) => still.push(removal),
                    Some(_) => {}
                    None if c.failures().contains_key(&removal.id) => still.push(removal),
                    None => {}
                }
            }
            Ok(still)
        });
        let mut left = left.await?;
        // Until they are settled, the feeds that told them must not go on.
        self.session.removals = left.iter().map(|r| ((r.key, r.feed), r.clone())).collect();
        let mut known = HashSet::new();
        left.retain(|removal| known.insert(removal.key));
        let (doubtful, mut gone): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|removal| removal.verify);
        let ids: Vec<String> = doubtful.iter().map(|removal| removal.id.clone()).collect();
        let Some(answers) = self.ask(&ids).await? else {
            return Ok(false);
        };
        let (mut alive, mut unknown) = (Vec::new(), Vec::new());
        for (removal, answer) in doubtful.into_iter().zip(answers) {
            match answer {
                Alive::Gone => gone.push(removal),
                Alive::Here { parent, record } => alive.push((removal, parent, record)),
                Alive::Unknown(e) => unknown.push((removal, e)),
            }
        }
        let swept: HashSet<ItemKey> = alive
            .iter()
            .filter(|(removal, ..)| removal.sweep)
            .map(|(removal, ..)| removal.key)
            .collect();
        let (found, outside) = self.inside(alive).await?;
        gone.extend(outside);
        let mut news = self.session.apply_alive(found).await?.news;
        if self.must_stop() {
            return Ok(false);
        }
        news.retain(|(key, _)| swept.contains(key));
        self.name(news).await?;
        self.remove(gone, unknown).await?;
        self.session.removals.clear();
        Ok(true)
    }

    /// Parts what lives in a folder that is captured from what lives in one that is not (Recoverable
    /// Items, unless they are captured too): that has left the collection.
    async fn inside(
        &mut self,
        alive: Vec<(Removal, Option<String>, serde_json::Value)>,
    ) -> Result<(Vec<Change>, Vec<Removal>), SyncError> {
        let parted = self.session.with(move |c| {
            let (mut inside, mut outside) = (Vec::new(), Vec::new());
            for (removal, parent, record) in alive {
                let held = c.held(&removal.key)?;
                if held.is_some_and(|held| held.entry.is_dir()) {
                    continue; // A folder that lives stays as it is.
                }
                let folder = c.parent_key(parent.as_deref());
                if parent.is_none() || c.held(&folder)?.is_some() {
                    let id = removal.id;
                    inside.push(Change::Item { id, parent, record });
                } else {
                    outside.push(removal);
                }
            }
            Ok((inside, outside))
        });
        parted.await
    }

    async fn remove(
        &mut self,
        gone: Vec<Removal>,
        unknown: Vec<(Removal, ItemError)>,
    ) -> Result<(), SyncError> {
        let now = self.cx.now();
        let dead = std::mem::take(&mut self.gone);
        let per_folder = self
            .rounds
            .iter()
            .any(|round| round.stored.folder.is_some());
        let unseen: Vec<_> = self
            .rounds
            .iter_mut()
            .filter(|round| round.done)
            .filter_map(|round| round.seen.take())
            .collect();
        let mut swept = Vec::new();
        let workload = self.workload.clone();
        let removed = self.session.with(move |c| {
            for (removal, e) in unknown {
                let name = c
                    .held(&removal.key)?
                    .map_or_else(String::new, |held| held.name);
                fail(
                    c,
                    &removal.id,
                    failure(name, removal.parent, e.class, e.reason, now),
                );
            }
            for removal in gone {
                if removal.sweep
                    && let Some(held) = c.held(&removal.key)?
                {
                    swept.push((removal.id.clone(), held.path.unwrap_or(held.name)));
                }
                c.set_failure(&removal.id, None);
                c.remove(removal.key)?;
                if let Some(folder) = workload.belongings(&removal.id) {
                    c.remove_if_held(&folder)?;
                }
            }
            for (feed, state) in dead {
                c.set_feed(&feed, None);
                if let Some(folder) = &state.folder {
                    c.remove_if_held(folder)?;
                }
            }
            // What the feed of folders (or the only feed) did not tell in a full enumeration.
            for seen in unseen {
                let scope = if per_folder {
                    Scope::Folders
                } else {
                    Scope::All
                };
                c.retain(scope, |key| seen.contains(key))?;
            }
            let round = c.finish_round()?;
            if round.removed > 0 {
                c.drop_dead_feeds()?;
            }
            Ok((round, swept))
        });
        let (round, swept) = removed.await?;
        self.name_gone(swept);
        self.session.counts.removed += round.removed;
        for item in round.named {
            let reason = "its folder is not known yet, so it is in no folder of the snapshot";
            self.session.note(item.key.to_string(), item.name, reason);
        }
        Ok(())
    }
}
