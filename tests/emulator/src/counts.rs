//! Requests by method, route and status: what `/_emulator/requests` tells.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::{Value, json};

#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<(String, String, u16), u64>>);

impl Counts {
    pub fn add(&self, method: &str, route: &str, status: u16) {
        *self
            .0
            .lock()
            .entry((route.to_owned(), method.to_owned(), status))
            .or_default() += 1;
    }

    pub fn reset(&self) {
        self.0.lock().clear();
    }

    pub fn report(&self) -> Value {
        let counts = self.0.lock();
        let total: u64 = counts.values().sum();
        let by_route: Vec<Value> = counts
            .iter()
            .map(|((route, method, status), count)| json!({"method": method, "route": route, "status": status, "count": count}))
            .collect();
        json!({"total": total, "by_route": by_route})
    }
}
