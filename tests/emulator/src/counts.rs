//! Requests by method, route and status, and SharePoint's resource units: what `/_emulator/requests` tells.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::{Value, json};

#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<(String, String, u16), Count>>);

#[derive(Clone, Copy, Default)]
struct Count {
    requests: u64,
    units: u64,
}

impl Counts {
    pub fn add(&self, method: &str, route: &str, status: u16, units: u64) {
        let mut counts = self.0.lock();
        let count = counts
            .entry((route.to_owned(), method.to_owned(), status))
            .or_default();
        count.requests += 1;
        count.units += units;
    }

    pub fn reset(&self) {
        self.0.lock().clear();
    }

    pub fn report(&self) -> Value {
        let counts = self.0.lock();
        let total: u64 = counts.values().map(|count| count.requests).sum();
        let units: u64 = counts.values().map(|count| count.units).sum();
        let by_route: Vec<Value> = counts
            .iter()
            .map(|((route, method, status), count)| {
                json!({
                    "method": method,
                    "route": route,
                    "status": status,
                    "count": count.requests,
                    "units": count.units,
                })
            })
            .collect();
        json!({"total": total, "units": units, "by_route": by_route})
    }
}
