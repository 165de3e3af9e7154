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
    /// Of what was restored since.
    added: HashSet<Fact>,
    until: Instant,
}

impl Known {
    /// Keeps a listing that was asked for at `asked`. What was added since then stays known even if the
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
        folders.retain(|_, folder| folder.until > now);
        let kept: usize = folders.values().map(|f| f.listed.len()).sum();
        let key = (account.id.clone(), folder.to_owned());
        let added = folders.remove(&key).map(|old| old.added);
        if kept + listed.len() > MAX_FACTS {
            return;
        }
        let folder = Folder {
            listed,
            added: added.unwrap_or_default(),
            until: now + believed(now - asked),
        };
        folders.insert(key, folder);
    }

    /// An item was put into a folder.
    pub fn add(&self, account: &Account, folder: &str, facts: impl IntoIterator<Item = Fact>) {
        let key = (account.id.clone(), folder.to_owned());
        if let Some(folder) = self.0.lock().get_mut(&key) {
            folder.added.extend(facts);
        }
    }

    /// True if the folder is known, and nothing in it has any of these facts.
    pub fn lacks(&self, account: &Account, folder: &str, facts: &[Fact]) -> bool {
        let key = (account.id.clone(), folder.to_owned());
        let folders = self.0.lock();
        let Some(folder) = folders.get(&key) else {
            return false;
        };
        let has = |fact| folder.listed.contains(fact) || folder.added.contains(fact);
        folder.until > Instant::now() && !facts.iter().any(has)
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
