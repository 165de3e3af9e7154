//! What a cycle keeps on this host to save requests: newer cursors of idle feeds, accounts that
//! have nothing to capture, when a failing item was tried last, the resource units of a day.
//!
//! All of it may be lost at any time: the next cycle asks a little more. Nothing here is believed
//! if it doesn't fit the snapshot: an idle cursor counts only while the snapshot's own is the one
//! it was reached from, and so does a sweep that found nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::collection::FeedState;
use crate::local::{LocalState, Table};
use crate::workload::{Account, Cursor, FeedId};

/// Where the resource units are kept that were spent, by the hour.
const UNITS: &str = "units";
const HOUR: i64 = 3_600;
/// Seconds.
const DAY: u64 = 86_400;

/// The users of the tenant as of the last round.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    /// Where the next round of `/users/delta` begins.
    pub link: Option<String>,
    /// By id.
    pub accounts: BTreeMap<String, Account>,
}

/// The sites of the tenant as of the last round.
#[derive(Clone, Debug, Default)]
pub(super) struct Sites {
    /// Where the next round of `/sites/delta` begins.
    pub link: Option<String>,
    /// Site collections as Graph tells them, by id.
    pub collections: BTreeMap<String, Value>,
    /// By id of the collection: when it was asked for its subsites (Unix seconds), and which it has.
    pub below: BTreeMap<String, (i64, Vec<Account>)>,
}

/// A cursor reached without any change since the snapshot's.
#[derive(Serialize, Deserialize)]
struct Idle {
    /// Hash of the snapshot's.
    from: String,
    to: Cursor,
    /// See [`FeedState::swept`].
    #[serde(default)]
    swept: Option<i64>,
}

/// An account without this workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Absent {
    pub reason: String,
    /// Unix seconds.
    pub asked: i64,
}

/// Local state of captures. Every failure is only logged: it costs requests, not data.
#[derive(Clone, Default)]
pub(super) struct Local {
    state: Option<LocalState>,
    /// Lives as long as the process: asking for everybody costs one request per page of users.
    pub directory: Arc<Mutex<Directory>>,
    /// The same for sites.
    pub sites: Arc<Mutex<Sites>>,
}

impl Local {
    pub fn new(state: Option<LocalState>) -> Local {
        Local {
            state,
            ..Local::default()
        }
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let state = self.state.as_ref()?;
        state.get_json(Table::Cursors, key.as_bytes()).ok()?
    }

    fn put<T: Serialize>(&self, key: &str, value: &T) {
        if let Some(state) = &self.state
            && let Err(e) = state.put_json(Table::Cursors, key.as_bytes(), value)
        {
            tracing::warn!("what a capture learned is not kept: {e}");
        }
    }

    /// Where to go on with a feed that is `stored` in the snapshot.
    pub fn feed(&self, owner: &str, feed: &FeedId, stored: &FeedState) -> FeedState {
        let idle: Option<Idle> = self.get(&format!("idle/{owner}/{feed}"));
        match idle.filter(|idle| idle.from == digest(stored)) {
            Some(idle) => FeedState {
                folder: stored.folder.clone(),
                cursor: Some(idle.to),
                swept: idle.swept.max(stored.swept),
            },
            None => stored.clone(),
        }
    }

    /// Remembers what a feed came to without any change since it was `stored`.
    pub fn set_feed(&self, owner: &str, feed: &FeedId, stored: &FeedState, to: &FeedState) {
        if let Some(cursor) = &to.cursor {
            let idle = Idle {
                from: digest(stored),
                to: cursor.clone(),
                swept: to.swept,
            };
            self.put(&format!("idle/{owner}/{feed}"), &idle);
        }
    }

    pub fn absent(&self, owner: &str) -> Option<Absent> {
        self.get(&format!("absent/{owner}"))
    }

    pub fn set_absent(&self, owner: &str, absent: &Absent) {
        self.put(&format!("absent/{owner}"), absent);
    }

    /// Unix seconds of the last attempt at an item that fails.
    pub fn tried(&self, owner: &str, id: &str) -> Option<i64> {
        self.get(&format!("tried/{owner}/{id}"))
    }

    pub fn set_tried(&self, owner: &str, id: &str, at: i64) {
        self.put(&format!("tried/{owner}/{id}"), &at);
    }

    /// Resource units spent in the last 24 hours, by how long ago. `now` is Unix seconds.
    pub fn units(&self, now: i64) -> Vec<(Duration, u64)> {
        let hours: BTreeMap<i64, u64> = self.get(UNITS).unwrap_or_default();
        let age = |hour: i64| u64::try_from(now - hour * HOUR).unwrap_or_default();
        hours
            .into_iter()
            .map(|(hour, units)| (Duration::from_secs(age(hour)), units))
            .filter(|(age, _)| age.as_secs() < DAY)
            .collect()
    }

    pub fn add_units(&self, now: i64, units: u64) {
        if units == 0 {
            return;
        }
        let mut hours: BTreeMap<i64, u64> = self.get(UNITS).unwrap_or_default();
        let hour = now.div_euclid(HOUR);
        hours.retain(|at, _| hour - at <= 24);
        *hours.entry(hour).or_default() += units;
        self.put(UNITS, &hours);
    }

    /// Makes it durable. Worth one call a cycle.
    pub fn flush(&self) {
        if let Some(state) = &self.state
            && let Err(e) = state.flush()
        {
            tracing::warn!("what a capture learned is not kept: {e}");
        }
    }
}

fn digest(state: &FeedState) -> String {
    let text = match &state.cursor {
        None => String::new(),
        Some(Cursor::More(link)) => format!("more {link}"),
        Some(Cursor::Done(link)) => format!("done {link}"),
    };
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_cursors_belong_to_the_snapshots_own() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(Some(LocalState::open(dir.path()).unwrap()));
        let feed = FeedId("messages/f".into());
        let state = |cursor: &str, swept| FeedState {
            folder: Some("f".into()),
            cursor: Some(Cursor::Done(cursor.into())),
            swept,
        };
        let (a, b, c) = (state("a", Some(1)), state("b", Some(2)), state("c", None));
        assert_eq!(local.feed("u/mail", &feed, &a), a);
        local.set_feed("u/mail", &feed, &a, &b);
        assert_eq!(local.feed("u/mail", &feed, &a), b);
        assert_eq!(local.feed("u/mail", &feed, &c), c);
        let none = FeedState::default();
        assert_eq!(local.feed("u/mail", &feed, &none), none);
        assert_eq!(local.feed("v/mail", &feed, &a), a);
        let none = Local::new(None);
        none.set_tried("u/mail", "i", 3);
        assert_eq!(none.tried("u/mail", "i"), None);
    }

    #[test]
    fn units_are_remembered_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(Some(LocalState::open(dir.path()).unwrap()));
        local.add_units(100 * HOUR, 5);
        local.add_units(110 * HOUR, 7);
        local.add_units(110 * HOUR + 60, 8);
        let sum = |hour: i64| -> u64 { local.units(hour * HOUR).iter().map(|(_, n)| n).sum() };
        assert_eq!((sum(111), sum(124), sum(133), sum(140)), (20, 15, 15, 0));
        local.add_units(140 * HOUR, 1);
        assert_eq!(local.units(140 * HOUR), [(Duration::ZERO, 1)]);
    }
}
