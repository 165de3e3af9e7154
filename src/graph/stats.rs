//! Counts requests, because requests are the scarce resource.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::Serialize;

/// How often a request of one kind was answered in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteCount {
    /// HTTP's.
    pub method: String,
    /// Path with its ids left out.
    pub route: &'static str,
    /// HTTP status; 0 when there was no answer.
    pub status: u16,
    /// True for requests that travelled inside a `$batch` (which is counted itself, too).
    pub batched: bool,
    /// How often.
    pub count: u64,
}

/// The requests of a client.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    counts: Mutex<BTreeMap<(&'static str, String, u16, bool), u64>>,
}

impl Stats {
    /// Counts one answer.
    pub fn count(&self, method: &str, route: &'static str, status: u16, batched: bool) {
        *self
            .counts
            .lock()
            .entry((route, method.to_owned(), status, batched))
            .or_default() += 1;
    }

    /// All counts, by route.
    pub fn all(&self) -> Vec<RouteCount> {
        self.counts
            .lock()
            .iter()
            .map(|((route, method, status, batched), count)| RouteCount {
                method: method.clone(),
                route,
                status: *status,
                batched: *batched,
                count: *count,
            })
            .collect()
    }

    /// Begins at zero.
    pub fn reset(&self) {
        self.counts.lock().clear();
    }
}
