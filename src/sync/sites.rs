//! Which sites there are: one list of all, then what changed; subsites by asking each collection.
//!
//! A tenant that does not let this application list sites is a line in the report, and its captured
//! sites stay as they were. The same holds for the subsites of one site.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};

use super::local::Sites;
use super::report::ItemLine;
use super::{Scope, SyncContext, SyncError};
use crate::graph::sites::{SITES, collection_of, collections};
use crate::graph::{ErrorClass, GraphError};
use crate::workload::{Account, merge};

/// Seconds for which a collection's subsites are believed, unless the collection itself changes.
const SUBSITES_AGE: i64 = 3600;
/// Collections asked at the same time.
const AT_ONCE: usize = 8;

/// The sites of a cycle.
#[derive(Default)]
pub(super) struct Met {
    /// By id.
    pub accounts: BTreeMap<String, Account>,
    /// For the report.
    pub notes: Vec<ItemLine>,
    /// Paths of all collections there are; `None`: not known.
    collections: Option<BTreeSet<String>>,
    /// Paths of those whose subsites are all known.
    walked: BTreeSet<String>,
}

impl Met {
    /// Whether a site of this path, which is not among the accounts, is certain not to exist.
    pub fn is_gone(&self, path: &str) -> bool {
        let (Some(collections), Some(name)) = (&self.collections, collection_of(path)) else {
            return false;
        };
        let collection = format!("{SITES}/{name}");
        collection == path
            || !collections.contains(&collection)
            || self.walked.contains(&collection)
    }
}

/// Asks.
///
/// # Errors
/// When signing in fails, or nobody answers.
pub(super) async fn meet(cx: &SyncContext, scope: &Scope) -> Result<Met, SyncError> {
    let mut met = Met::default();
    let mut known = cx.local.sites.lock().clone();
    if let Err(e) = refresh(cx, &mut known).await {
        if e.class == ErrorClass::Network {
            return Err(SyncError::Unreachable(e));
        }
        let e = SyncError::unless_fatal(e)?;
        note(
            &mut met,
            SITES,
            format!("the sites of the tenant can't be listed: {e}"),
        );
        return Ok(met);
    }
    let all = collections(known.collections.values());
    met.collections = Some(all.iter().map(|site| site.upn.clone()).collect());
    let now = (cx.options.clock)();
    let asked = |site: &Account| {
        let name = collection_of(&site.upn).unwrap_or_default();
        scope.sites.as_ref().is_none_or(|chosen| chosen(name))
    };
    let fresh = |site: &Account| {
        let at = known.below.get(&site.id).map(|(at, _)| *at);
        at.is_some_and(|at| now < at + SUBSITES_AGE)
    };
    let due = all
        .iter()
        .filter(|site| asked(site) && site.closed.is_none() && !fresh(site));
    let answers: Vec<_> = stream::iter(due.cloned().collect::<Vec<_>>())
        .map(|site| {
            let directory = cx.directory.clone();
            async move {
                let answer = directory.subsites(&site).await;
                (site, answer)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for (site, answer) in answers {
        match answer {
            Ok(below) => {
                known.below.insert(site.id, (now, below));
            }
            Err(e) if e.class == ErrorClass::Network => return Err(SyncError::Unreachable(e)),
            Err(e) => {
                let e = SyncError::unless_fatal(e)?;
                known.below.remove(&site.id);
                note(
                    &mut met,
                    &site.upn,
                    format!("its subsites can't be listed: {e}"),
                );
            }
        }
    }
    for site in all.into_iter().filter(|site| asked(site)) {
        if let Some((_, below)) = known.below.get(&site.id) {
            met.walked.insert(site.upn.clone());
            let below = below.iter().cloned().map(|mut sub| {
                sub.closed.clone_from(&site.closed);
                (sub.id.clone(), sub)
            });
            met.accounts.extend(below);
        }
        met.accounts.insert(site.id.clone(), site);
    }
    *cx.local.sites.lock() = known;
    Ok(met)
}

/// Brings the list of collections up to date. What was told anew is asked for its subsites again.
async fn refresh(cx: &SyncContext, known: &mut Sites) -> Result<(), GraphError> {
    let round = cx.directory.sites(known.link.as_deref()).await?;
    if round.full {
        known.collections.clear();
    }
    let ids = round.sites.iter().filter_map(|site| site["id"].as_str());
    let told: BTreeSet<String> = ids
        .chain(round.removed.iter().map(String::as_str))
        .map(|id| collection_guid(id).to_owned())
        .collect();
    if !round.full {
        // What happens to a subsite may be told of it, or of its collection.
        known
            .below
            .retain(|id, _| !told.contains(collection_guid(id)));
    }
    for site in round.sites {
        if let Some(id) = site["id"].as_str() {
            let stored = known.collections.entry(id.to_owned()).or_default();
            merge(stored, &site);
        }
    }
    for id in &round.removed {
        known.collections.remove(id);
    }
    known.link = round.link;
    Ok(())
}

/// The part of a site's id that all sites of a collection share: `host,collection,web`.
fn collection_guid(id: &str) -> &str {
    id.split(',').nth(1).unwrap_or(id)
}

fn note(met: &mut Met, path: &str, reason: String) {
    let path = path.to_owned();
    let line = ItemLine::note(&path, "sites", path.clone(), path.clone(), reason);
    met.notes.push(line);
}
