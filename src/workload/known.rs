//! What is in a mailbox's folders, as a listing told a moment ago: a restore of many items asks once for
//! all of them whether they are there already, not once for each.
//!
//! Only "nothing like it is there" is believed, and only as long as the listing is; what seems to be there
//! is asked for. So hashes are enough: two that are the same by chance cost a request, and nothing else.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::{Account, ItemKey, Keyer, Marker};

/// A listing is believed at least this long.
const MIN_AGE: Duration = Duration::from_secs(5);
/// And at most this long.
const MAX_AGE: Duration = Duration::from_secs(120);
/// A listing that took a second is believed this many seconds.
const COST: u32 = 20;
/// What was added is kept at least this long: longer than any listing takes that does not have it yet.
const ADDED: Duration = Duration::from_secs(240);
/// Facts that are kept in all: 16 bytes each.
const MAX_FACTS: usize = 1_000_000;

/// How long a listing is believed that took so long to get.
pub(crate) fn believed(took: Duration) -> Duration {
    (took * COST).clamp(MIN_AGE, MAX_AGE)
}

/// Something that an item can be told again by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fact(u64);

impl Fact {
    pub fn of(what: &(impl Hash + ?Sized)) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// What a live item is known by: its key, that of the item it restored, and what it is `like`.
    pub fn all_of(keyer: &Keyer, record: &Value, like: Option<Self>) -> Vec<Self> {
        let own = record["id"].as_str().map(|id| keyer(id));
        let origin = Marker::of(record).and_then(|marker| marker.origin);
        let keys = [own, origin].into_iter().flatten();
        keys.map(|key| Self::of(&key)).chain(like).collect()
    }

    /// What an item to be restored would be known by, if it were there.
    pub fn all_of_push(origin: Option<ItemKey>, like: Option<Self>) -> Vec<Self> {
        let key = origin.map(|key| Self::of(&key));
        key.into_iter().chain(like).collect()
    }
}

/// Folders, by user and id.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<(String, String), Folder>>);

struct Folder {
    listed: HashSet<Fact>,
    /// Until when the listing is believed; `None`: there was none.
    until: Option<Instant>,
    /// Of what is being restored, or was.
    added: HashSet<Fact>,
    /// When the last of it was added.
    last: Instant,
}

impl Folder {
    fn is_believed(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}

impl Known {
    /// Keeps a listing that was asked for at `asked`. What was added meanwhile stays known even if the
    /// answer does not have it.
    pub fn told(
        &self,
        account: &Account,
        folder: &str,
        asked: Instant,
        facts: impl IntoIterator<Item = Fact>,
    ) {
        let listed: HashSet<Fact> = facts.into_iter().collect();
        let now = Instant::now();
        let mut folders = self.0.lock();
        folders.retain(|_, folder| folder.is_believed(now) || now - folder.last < ADDED);
        let kept: usize = folders.values().map(|f| f.listed.len()).sum();
        let fits = kept + listed.len() <= MAX_FACTS;
        let until = fits.then(|| now + believed(now - asked));
        let listed = if fits { listed } else { HashSet::new() };
        let key = (account.id.clone(), folder.to_owned());
        let old = folders.remove(&key);
        let (added, last) = old.map_or((HashSet::new(), now), |old| (old.added, old.last));
        let folder = Folder {
            listed,
            until,
            added,
            last,
        };
        folders.insert(key, folder);
    }

    /// An item goes into a folder. Said before it is there, and again with what is known of it then.
    pub fn add(&self, account: &Account, folder: &str, facts: impl IntoIterator<Item = Fact>) {
        let key = (account.id.clone(), folder.to_owned());
        let now = Instant::now();
        let mut folders = self.0.lock();
        let folder = folders.entry(key).or_insert_with(|| Folder {
            listed: HashSet::new(),
            until: None,
            added: HashSet::new(),
            last: now,
        });
        if folder.added.len() >= MAX_FACTS {
            // The next listing has it all.
            folder.added.clear();
            folder.until = None;
        }
        folder.last = now;
        folder.added.extend(facts);
    }

    /// True if the folder is known, and nothing in it has any of these facts.
    pub fn lacks(&self, account: &Account, folder: &str, facts: &[Fact]) -> bool {
        let key = (account.id.clone(), folder.to_owned());
        let folders = self.0.lock();
        let Some(folder) = folders.get(&key) else {
            return false;
        };
        let has = |fact| folder.listed.contains(fact) || folder.added.contains(fact);
        folder.is_believed(Instant::now()) && !facts.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::MARKER_ID;
    use serde_json::json;
    use std::sync::Arc;

    fn account() -> Account {
        Account {
            id: "u".into(),
            ..Account::default()
        }
    }

    #[test]
    fn only_what_was_listed_is_known() {
        let (known, account) = (Known::default(), account());
        let (a, b, c) = (Fact::of("a"), Fact::of("b"), Fact::of("c"));
        assert!(!known.lacks(&account, "f", &[a]));
        known.told(&account, "f", Instant::now(), [a]);
        assert!(!known.lacks(&account, "f", &[b, a]));
        assert!(known.lacks(&account, "f", &[b]));
        assert!(!known.lacks(&account, "g", &[b]));
        known.add(&account, "f", [b]);
        assert!(!known.lacks(&account, "f", &[b]));
        // An answer that was on its way while something was restored does not hide it.
        known.told(&account, "f", Instant::now(), [c]);
        assert!(!known.lacks(&account, "f", &[b]));
        assert!(known.lacks(&account, "f", &[a]));
        // Nor does the first one.
        known.add(&account, "h", [b]);
        assert!(!known.lacks(&account, "h", &[a]));
        known.told(&account, "h", Instant::now(), [c]);
        assert!(!known.lacks(&account, "h", &[b]));
        assert!(known.lacks(&account, "h", &[a]));
    }

    #[test]
    fn an_item_is_known_by_itself_and_by_what_it_restored() {
        let keyer: Keyer = Arc::new(|id| ItemKey([id.len() as u8; 16]));
        let origin = ItemKey([9; 16]);
        let marker = Marker {
            push: uuid::Uuid::from_u128(1),
            origin: Some(origin),
            created: None,
        };
        let record = json!({ "id": "xyz", "singleValueExtendedProperties":
            [{ "id": MARKER_ID, "value": marker.value() }] });
        let like = Fact::of("like");
        let facts = Fact::all_of(&keyer, &record, Some(like));
        assert_eq!(
            facts,
            [Fact::of(&ItemKey([3; 16])), Fact::of(&origin), like]
        );
        assert_eq!(Fact::all_of_push(Some(origin), None), [Fact::of(&origin)]);
    }
}
