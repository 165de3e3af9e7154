//! How many files and bytes a snapshot has, from those of the one before: costs what changed.

use std::collections::HashMap;

use crate::repo::{ObjectId, Totals};
use crate::tree::{Entry, EntryKind, Map, MapRoot, Nodes, Shape, TreeError, view};

/// Counts of files and of their bytes; differences, so they may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    files: i64,
    bytes: i64,
}

impl Sums {
    fn add(&mut self, entry: &Entry, sign: i64) {
        if let EntryKind::File { size, .. } = entry.kind {
            self.files += sign;
            self.bytes = self.bytes.saturating_add(sign * size.min(1 << 60) as i64);
        }
    }
}

/// The totals of a tree, of which everything is looked at.
pub(super) fn count(nodes: &Nodes, tree: MapRoot) -> Result<Totals, TreeError> {
    advance(nodes, &Totals::default(), None, tree)
}

/// The totals of the tree `new`, given that `totals` are those of the tree `old`.
pub(crate) fn advance(
    nodes: &Nodes,
    totals: &Totals,
    old: MapRoot,
    new: MapRoot,
) -> Result<Totals, TreeError> {
    let mut sums = Sums::default();
    // A folder that was moved or renamed is gone here and new there with the same root: it is never
    // looked into.
    let mut folders: HashMap<ObjectId, i64> = HashMap::new();
    compare(nodes, old, new, &mut sums, &mut folders)?;
    for (root, times) in folders.into_iter().filter(|(_, times)| *times != 0) {
        for found in view::walk(nodes, Some(root)) {
            sums.add(&found?.1, times);
        }
    }
    let sum = |count: u64, change: i64| count.saturating_add_signed(change);
    Ok(Totals {
        files: sum(totals.files, sums.files),
        bytes: sum(totals.bytes, sums.bytes),
        ..Totals::default()
    })
}

fn compare(
    nodes: &Nodes,
    old: MapRoot,
    new: MapRoot,
    sums: &mut Sums,
    folders: &mut HashMap<ObjectId, i64>,
) -> Result<(), TreeError> {
    let map = |root| Map::new(nodes, root, Shape::Directory);
    for change in map(old).diff(&map(new))? {
        let change = change?;
        let name = String::from_utf8_lossy(&change.key);
        let decode = |bytes: Option<_>| -> Result<Option<Entry>, TreeError> {
            let bytes: Option<bytes::Bytes> = bytes;
            bytes.map(|bytes| Entry::decode(&name, &bytes)).transpose()
        };
        let (before, after) = (decode(change.old)?, decode(change.new)?);
        if let (Some(before), Some(after)) = (&before, &after)
            && before.is_dir()
            && after.is_dir()
        {
            compare(nodes, before.dir_root(), after.dir_root(), sums, folders)?;
            continue;
        }
        for (entry, sign) in [(before, -1), (after, 1)] {
            let Some(entry) = entry else { continue };
            sums.add(&entry, sign);
            if let Some(root) = entry.dir_root() {
                *folders.entry(root).or_default() += sign;
            }
        }
    }
    Ok(())
}
