//! The members of a collection in the order they last changed, and what left it: what a delta round
//! is read from.
//!
//! Numbers come from the sequence of changes of the mailbox that holds the collection, so that a round
//! from number S is a range here, and costs what changed and not what exists.

use std::collections::BTreeMap;

use crate::mail::ids::No;

/// One change, as a delta round tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub seq: u64,
    pub no: No,
    /// The item left the collection.
    pub gone: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Feed {
    members: BTreeMap<u64, No>,
    gone: BTreeMap<u64, No>,
}

impl Feed {
    /// Fills an empty feed with what is there from the start; `members` by number of change.
    pub fn fill(&mut self, members: Vec<(u64, No)>) {
        self.members = members.into_iter().collect();
    }

    /// An item comes in, or changes: `before` is the number of its last change.
    pub fn put(&mut self, before: Option<u64>, seq: u64, no: No) {
        if let Some(before) = before {
            self.members.remove(&before);
        }
        self.members.insert(seq, no);
    }

    pub fn remove(&mut self, before: u64, seq: u64, no: No) {
        self.members.remove(&before);
        self.gone.insert(seq, no);
    }

    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Members in the order they were made.
    pub fn members(&self) -> Vec<No> {
        let mut all: Vec<No> = self.members.values().copied().collect();
        all.sort_unstable();
        all
    }

    /// At most `limit` changes after `after`, and whether there are more. What left before `base` is
    /// not told: the round began without knowing it.
    pub fn after(&self, after: u64, base: u64, limit: usize) -> (Vec<Change>, bool) {
        let change = |gone| {
            move |(seq, no): (&u64, &No)| Change {
                seq: *seq,
                no: *no,
                gone,
            }
        };
        let changed = self.members.range(after.saturating_add(1)..);
        let gone = self.gone.range(after.max(base).saturating_add(1)..);
        let mut all: Vec<Change> = changed
            .take(limit + 1)
            .map(change(false))
            .chain(gone.take(limit + 1).map(change(true)))
            .collect();
        all.sort_unstable_by_key(|c| c.seq);
        let more = all.len() > limit;
        all.truncate(limit);
        (all, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_tells_each_change_once_in_order() {
        let mut feed = Feed::default();
        feed.fill(vec![(1, 0), (2, 1), (3, 2)]);
        feed.put(Some(1), 4, 0);
        feed.remove(2, 5, 1);
        let told = |after, base, limit| {
            let (changes, more) = feed.after(after, base, limit);
            (
                changes.iter().map(|c| (c.no, c.gone)).collect::<Vec<_>>(),
                more,
            )
        };
        assert_eq!(told(0, 5, 9), (vec![(2, false), (0, false)], false));
        assert_eq!(told(3, 3, 1), (vec![(0, false)], true));
        assert_eq!(told(4, 3, 1), (vec![(1, true)], false));
        assert_eq!(feed.members(), [0, 2]);
    }
}
