//! Keeps this client inside Microsoft's limits, and out of the way when it hit one.
//!
//! A [`Gate`] guards one budget: a mailbox, the drives of the tenant, the directory. It admits in
//! order of arrival, at most so many at once (additive increase, halved when throttled), within
//! sliding windows of requests or resource units and of uploaded bytes. A 429 raises a fence:
//! nobody of that gate sends anything until it falls, because calls made meanwhile count too. Where
//! a day's budget is used up, there is nothing to wait for: the request is refused here.
//!
//! Sources: Graph throttling limits (Outlook service: per app and mailbox; SharePoint: resource
//! units per app and tenant; directory: units per 10 s).

mod gate;
mod limits;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

pub use gate::{Gate, Permit, UsedUp};
pub use limits::Limits;
use window::Window;

/// Which budget a request is counted against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A mailbox, by user id: requests, concurrency, uploaded bytes.
    Mailbox(String),
    /// All drives and sites of the tenant: resource units.
    Drives,
    /// Users and groups: directory units.
    Directory,
    /// Pre-authenticated URLs and sign-in: no budget of their own.
    Free,
}

/// All gates of a client.
#[derive(Debug)]
pub struct Limiters {
    limits: Limits,
    mailboxes: Mutex<HashMap<String, Arc<Gate>>>,
    drives: Arc<Gate>,
    directory: Arc<Gate>,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// From here on the gates of mailboxes that are not in use are forgotten.
const MANY_MAILBOXES: usize = 1_000;

impl Limiters {
    /// Gates with these budgets, all unused.
    pub fn new(limits: Limits) -> Self {
        let mut drive_units = Vec::new();
        if let Some(n) = limits.drive_units_minute {
            drive_units.push(Window::new(n, MINUTE, 60));
        }
        if let Some(n) = limits.drive_units_day {
            drive_units.push(Window::new(n, DAY, 144));
        }
        let directory = limits
            .directory_units
            .map(|n| Window::new(n, Duration::from_secs(10), 20));
        Self {
            mailboxes: Mutex::default(),
            drives: Arc::new(Gate::new(limits.drives_in_flight, drive_units, Vec::new())),
            directory: Arc::new(Gate::new(8, directory.into_iter().collect(), Vec::new())),
            limits,
        }
    }

    /// Resource units spent on drives and sites since the start.
    pub fn drive_units(&self) -> u64 {
        self.drives.spent()
    }

    /// Counts units of drives and sites that were spent earlier, by how long ago.
    pub fn drive_units_before(&self, spent: &[(Duration, u64)]) {
        // The youngest first, so that the oldest stands in front.
        let mut spent = spent.to_vec();
        spent.sort();
        for (age, units) in spent {
            self.drives.spent_before(units, age);
        }
    }

    /// Units of drives and sites that may be spent on what can wait: a fifth of a day's budget is kept
    /// for what changes later. `None`: as many as there is need for.
    pub fn spare_drive_units(&self) -> Option<u64> {
        let (limit, left) = self.drives.budget()?;
        Some(left.saturating_sub(limit / 5))
    }

    /// The gate of a scope; `None` for [`Scope::Free`].
    pub fn gate(&self, scope: &Scope) -> Option<Arc<Gate>> {
        match scope {
            Scope::Free => None,
            Scope::Drives => Some(Arc::clone(&self.drives)),
            Scope::Directory => Some(Arc::clone(&self.directory)),
            Scope::Mailbox(user) => Some(self.mailbox(user)),
        }
    }

    fn mailbox(&self, user: &str) -> Arc<Gate> {
        let mut mailboxes = self.mailboxes.lock();
        if let Some(gate) = mailboxes.get(user) {
            return Arc::clone(gate);
        }
        if mailboxes.len() >= MANY_MAILBOXES {
            let now = Instant::now();
            // What was spent by then is in no window any more.
            mailboxes.retain(|_, gate| {
                gate.idle_since()
                    .is_none_or(|t| now.duration_since(t) < 11 * MINUTE)
            });
        }
        let requests = self.limits.mailbox_requests;
        let requests = requests.map(|n| Window::new(n, 10 * MINUTE, 60));
        let bytes = self.limits.mailbox_upload;
        let bytes = bytes.map(|n| Window::new(n, 5 * MINUTE, 30));
        let gate = Arc::new(Gate::new(
            self.limits.mailbox_in_flight,
            requests.into_iter().collect(),
            bytes.into_iter().collect(),
        ));
        mailboxes.insert(user.to_owned(), Arc::clone(&gate));
        gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ErrorClass;

    #[tokio::test]
    async fn a_day_that_is_used_up_refuses_instead_of_waiting() {
        let limiters = Limiters::new(Limits {
            drive_units_day: Some(100),
            ..Limits::adaptive()
        });
        let hour = Duration::from_secs(3600);
        limiters.drive_units_before(&[(hour, 10), (30 * hour, 1_000), (2 * hour, 20)]);
        assert_eq!(limiters.spare_drive_units(), Some(50));
        let gate = limiters.gate(&Scope::Drives).unwrap();
        drop(gate.enter(1, 65, 0).await.unwrap());
        assert_eq!(limiters.spare_drive_units(), Some(0));
        assert!(gate.enter(1, 5, 0).await.is_ok());
        let refused = gate.enter(1, 5, 0).await.unwrap_err();
        // What was spent two hours ago is the first to be forgotten.
        assert!(
            refused.0 > 21 * hour && refused.0 < 23 * hour,
            "{refused:?}"
        );
        let error = refused.refuse("GET /x");
        assert_eq!(error.class, ErrorClass::Throttled);
        assert!(error.to_string().contains("is used up"), "{error}");
        // The others go on.
        let directory = limiters.gate(&Scope::Directory).unwrap();
        assert!(directory.enter(1, 50, 0).await.is_ok());
        assert_eq!(Limiters::new(Limits::adaptive()).spare_drive_units(), None);
    }
}
