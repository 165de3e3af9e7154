//! What lies in the root of `snapshots/`: the complete snapshots, `latest`, and a link per day.
//!
//! A catalog never changes; a refresh makes a new one and tells which names differ, so that the
//! kernel can be told to forget exactly those.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenantfs::repo::Snapshot;

/// Name of the link to the newest snapshot.
pub const LATEST: &str = "latest";

/// One name in the root.
#[derive(Debug, Clone)]
pub enum Item {
    Snapshot(Arc<Snapshot>),
    /// A relative link to the snapshot of this name, and that snapshot's time (unix seconds).
    Link {
        target: String,
        time: i64,
    },
}

impl Item {
    fn same(&self, other: &Item) -> bool {
        match (self, other) {
            // Retention may replace a manifest by one that shows less.
            (Item::Snapshot(a), Item::Snapshot(b)) => {
                let shown = |s: &Snapshot| (s.manifest.tree, s.manifest.report);
                a.name == b.name && shown(a) == shown(b)
            }
            (Item::Link { target: a, .. }, Item::Link { target: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// The root's names, sorted; a position in it is a readdir offset.
#[derive(Debug, Default)]
pub struct Catalog {
    names: Vec<(String, Item)>,
    /// Time of the newest snapshot: the root's mtime.
    pub newest: i64,
}

impl Catalog {
    /// Snapshots that are incomplete (checkpoints of a first sync) are not shown.
    pub fn new(snapshots: impl IntoIterator<Item = Snapshot>) -> Self {
        let mut names = BTreeMap::new();
        let mut newest: Option<Arc<Snapshot>> = None;
        let mut days: BTreeMap<String, Arc<Snapshot>> = BTreeMap::new();
        for snapshot in snapshots.into_iter().filter(|s| s.manifest.complete) {
            let snapshot = Arc::new(snapshot);
            let later = |than: &Arc<Snapshot>| {
                (snapshot.manifest.time, &snapshot.name) > (than.manifest.time, &than.name)
            };
            if newest.as_ref().is_none_or(later) {
                newest = Some(snapshot.clone());
            }
            if let Some((day, _)) = snapshot.name.split_once('T')
                && days.get(day).is_none_or(later)
            {
                days.insert(day.to_owned(), snapshot.clone());
            }
            names.insert(snapshot.name.clone(), Item::Snapshot(snapshot));
        }
        let link = |to: &Snapshot| Item::Link {
            target: to.name.clone(),
            time: to.manifest.time,
        };
        for (day, snapshot) in &days {
            names.entry(day.clone()).or_insert_with(|| link(snapshot));
        }
        if let Some(newest) = &newest {
            names
                .entry(LATEST.to_owned())
                .or_insert_with(|| link(newest));
        }
        Catalog {
            names: names.into_iter().collect(),
            newest: newest.map_or(0, |s| s.manifest.time),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Item> {
        let at = self
            .names
            .binary_search_by(|(n, _)| n.as_str().cmp(name))
            .ok()?;
        Some(&self.names[at].1)
    }

    pub fn listed_from(&self, position: usize) -> impl Iterator<Item = &(String, Item)> {
        self.names.iter().skip(position)
    }

    /// Snapshots shown, without the links.
    pub fn snapshots(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.names.iter().filter_map(|(_, item)| match item {
            Item::Snapshot(snapshot) => Some(snapshot),
            Item::Link { .. } => None,
        })
    }

    /// Names that appeared, vanished or point elsewhere.
    pub fn changed(&self, new: &Catalog) -> Vec<String> {
        let gone = self
            .names
            .iter()
            .filter(|(name, item)| !new.get(name).is_some_and(|i| i.same(item)));
        let added = new
            .names
            .iter()
            .filter(|(name, _)| self.get(name).is_none());
        gone.chain(added).map(|(name, _)| name.clone()).collect()
    }
}
