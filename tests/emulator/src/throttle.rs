//! The service's limits, counted as the service counts them.
//!
//! Exchange, per application and mailbox: 4 requests at once, 10,000 in 10 minutes, 150 MB uploaded in
//! 5 minutes. SharePoint and OneDrive, per application: resource units a minute and a day, and how often
//! something is shared. Refused requests count too. Windows follow the emulator's clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use parking_lot::Mutex;

use crate::api::{ApiRequest, ApiResponse};
use crate::options::Throttle;
use crate::world::World;
use crate::{drive, exchange_admin, sites};

/// Requests of an application to one mailbox at once.
pub const MAILBOX_CONCURRENT: usize = 4;
const MAILBOX_REQUESTS: u64 = 10_000;
const MAILBOX_WINDOW: i64 = 600;
const MAILBOX_BYTES: u64 = 150 << 20;
const MAILBOX_BYTES_WINDOW: i64 = 300;
/// Resource units of the smallest tenants.
const UNITS_MINUTE: u64 = 1_250;
const UNITS_DAY: u64 = 1_200_000;
/// Calls that share something, per application.
const SHARING_REQUESTS: u64 = 300;
const SHARING_WINDOW: i64 = 300;

/// Which budget a request draws on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Mailbox { app: String, user: String },
    SharePoint { app: String },
}

/// Sum over a sliding window, kept by the second.
#[derive(Debug, Default)]
struct Window {
    entries: VecDeque<(i64, u64)>,
    sum: u64,
}

impl Window {
    fn at(&mut self, now: i64, length: i64) -> u64 {
        while let Some((second, amount)) = self
            .entries
            .front()
            .copied()
            .filter(|(s, _)| *s <= now - length)
        {
            let _ = second;
            self.sum -= amount;
            self.entries.pop_front();
        }
        self.sum
    }

    fn add(&mut self, now: i64, amount: u64) {
        match self.entries.back_mut() {
            Some((second, sum)) if *second == now => *sum += amount,
            _ => self.entries.push_back((now, amount)),
        }
        self.sum += amount;
    }

    /// Seconds until something leaves the window.
    fn wait(&self, now: i64, length: i64) -> u64 {
        self.entries
            .front()
            .map_or(1, |(second, _)| (second + length - now).max(1) as u64)
    }
}

#[derive(Debug, Default)]
struct Budget {
    short: Window,
    long: Window,
    /// Requests that share something.
    sharing: Window,
}

#[derive(Default)]
pub struct Limits {
    budgets: Mutex<HashMap<Key, Budget>>,
    running: Mutex<HashMap<Key, Arc<AtomicUsize>>>,
}

/// Holds a place among the requests at once; gives it back when dropped.
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// SharePoint's resource units that a request costs, whether a limit is kept or not; 0 for one that is not
/// SharePoint's.
pub fn units(world: &World, request: &ApiRequest) -> u64 {
    match budget(world, request) {
        Some(Key::SharePoint { .. }) => {
            let units = sites::resource_units(request);
            units
                .unwrap_or_else(|| drive::resource_units(request))
                .max(1)
        }
        _ => 0,
    }
}

/// The budget of a request; `None` when no limit is kept for it.
pub fn key(world: &World, request: &ApiRequest) -> Option<Key> {
    match world.options.throttle {
        Throttle::Off => None,
        Throttle::Real => budget(world, request),
    }
}

fn budget(world: &World, request: &ApiRequest) -> Option<Key> {
    let app = request.caller.app_id.clone();
    let first = request.segment(0).to_ascii_lowercase();
    let (user, below) = match first.as_str() {
        "me" => (
            request.caller.user.as_deref().unwrap_or_default(),
            request.segment(1),
        ),
        "users" => (request.segment(1), request.segment(2)),
        "admin" if request.segment(2).eq_ignore_ascii_case("mailboxes") => {
            return exchange_admin::throttle_key(world, app, request.segment(3));
        }
        "drives" | "shares" | "sites" => return Some(Key::SharePoint { app }),
        _ => return None,
    };
    match below.to_ascii_lowercase().as_str() {
        "drive" | "drives" => Some(Key::SharePoint { app }),
        "messages"
        | "mailfolders"
        | "sendmail"
        | "mailboxsettings"
        | "calendar"
        | "calendars"
        | "calendargroups"
        | "calendarview"
        | "events"
        | "contacts"
        | "contactfolders"
        | "todo"
        | "outlook"
        | "inferenceclassification" => {
            let user = world
                .user(user)
                .map_or_else(|| user.to_owned(), |u| u.id.clone());
            Some(Key::Mailbox { app, user })
        }
        _ => None,
    }
}

impl Limits {
    /// A place among the mailbox's requests at once; `None` when all are taken.
    pub fn enter(&self, key: &Key) -> Option<Place> {
        let counter = self.running.lock().entry(key.clone()).or_default().clone();
        let taken = counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
            (n < MAILBOX_CONCURRENT).then_some(n + 1)
        });
        taken.ok().map(|_| Place(counter))
    }

    /// Counts a request; the refusal it gets when a budget is used up.
    pub fn admit(
        &self,
        world: &World,
        request: &ApiRequest,
        key: &Key,
    ) -> Result<Admitted, ApiResponse> {
        match key {
            Key::Mailbox { .. } => {
                let size = match request.method {
                    Method::GET => 0,
                    _ => request.body.len() as u64,
                };
                self.admit_mailbox(world, key, size)
            }
            Key::SharePoint { .. } => {
                if is_sharing(request) {
                    self.admit_sharing(world, key)?;
                }
                self.admit_units(world, key, units(world, request))
            }
        }
    }

    /// Counts so many of SharePoint's resource units.
    pub fn admit_units(
        &self,
        world: &World,
        key: &Key,
        cost: u64,
    ) -> Result<Admitted, ApiResponse> {
        let now = world.clock.now();
        let mut budgets = self.budgets.lock();
        let budget = budgets.entry(key.clone()).or_default();
        let minute = budget.short.at(now, 60);
        let day = budget.long.at(now, 86_400);
        budget.short.add(now, cost);
        budget.long.add(now, cost);
        let reset = budget.short.wait(now, 60);
        if day + cost > UNITS_DAY {
            return Err(too_active().retry_after(budget.long.wait(now, 86_400)));
        }
        let used = minute + cost;
        let headers = rate_headers(used, reset);
        if used > UNITS_MINUTE {
            return Err(headers.apply(too_active().retry_after(reset)));
        }
        Ok(headers)
    }

    /// Counts a request that shares something.
    fn admit_sharing(&self, world: &World, key: &Key) -> Result<(), ApiResponse> {
        let now = world.clock.now();
        let mut budgets = self.budgets.lock();
        let budget = budgets.entry(key.clone()).or_default();
        let before = budget.sharing.at(now, SHARING_WINDOW);
        budget.sharing.add(now, 1);
        match before < SHARING_REQUESTS {
            true => Ok(()),
            false => Err(too_active().retry_after(budget.sharing.wait(now, SHARING_WINDOW))),
        }
    }

    /// Counts a request to a mailbox that brings so many bytes.
    pub fn admit_mailbox(
        &self,
        world: &World,
        key: &Key,
        size: u64,
    ) -> Result<Admitted, ApiResponse> {
        let now = world.clock.now();
        let mut budgets = self.budgets.lock();
        let budget = budgets.entry(key.clone()).or_default();
        let requests = budget.short.at(now, MAILBOX_WINDOW);
        let bytes = budget.long.at(now, MAILBOX_BYTES_WINDOW);
        budget.short.add(now, 1);
        if requests >= MAILBOX_REQUESTS {
            let wait = budget.short.wait(now, MAILBOX_WINDOW);
            return Err(throttled(
                "TooManyRequests",
                "Application is over its request limit for this mailbox.",
                wait,
            ));
        }
        if size > 0 && bytes + size > MAILBOX_BYTES {
            let wait = budget.long.wait(now, MAILBOX_BYTES_WINDOW);
            return Err(throttled(
                "ApplicationThrottled",
                "Application is over its upload limit for this mailbox.",
                wait,
            ));
        }
        budget.long.add(now, size);
        Ok(Admitted::default())
    }
}

/// Grants, links, and people added to links.
fn is_sharing(request: &ApiRequest) -> bool {
    let last = request.path.last().map_or("", String::as_str);
    request.method == Method::POST
        && ["invite", "createLink", "grant"]
            .iter()
            .any(|s| last.eq_ignore_ascii_case(s))
}

/// SharePoint's refusal.
fn too_active() -> ApiResponse {
    ApiResponse::error_inner(
        429,
        "activityLimitReached",
        "The request has been throttled",
        "throttledRequest",
    )
}

fn throttled(code: &str, message: &str, wait: u64) -> ApiResponse {
    ApiResponse::error(429, code, message).retry_after(wait)
}

/// 429 for a fifth request at once.
pub fn over_concurrency() -> ApiResponse {
    throttled(
        "ApplicationThrottled",
        "Application is over its MailboxConcurrency limit.",
        1,
    )
}

/// Headers an admitted request's answer carries.
#[derive(Debug, Default)]
pub struct Admitted(Option<(u64, u64)>);

/// `RateLimit-*` are told once four fifths of the minute's units are used.
fn rate_headers(used: u64, reset: u64) -> Admitted {
    Admitted((used * 5 >= UNITS_MINUTE * 4).then(|| (UNITS_MINUTE.saturating_sub(used), reset)))
}

impl Admitted {
    pub fn apply(&self, response: ApiResponse) -> ApiResponse {
        let Some((remaining, reset)) = self.0 else {
            return response;
        };
        response
            .with_header("ratelimit-limit", &UNITS_MINUTE.to_string())
            .with_header("ratelimit-remaining", &remaining.to_string())
            .with_header("ratelimit-reset", &reset.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets() {
        let mut window = Window::default();
        window.add(100, 3);
        window.add(100, 1);
        window.add(105, 2);
        assert_eq!(window.at(109, 10), 6);
        assert_eq!(window.wait(109, 10), 1);
        assert_eq!(window.at(110, 10), 2);
        assert_eq!(window.at(200, 10), 0);
    }

    #[test]
    fn a_mailbox_takes_four_at_once() {
        let limits = Limits::default();
        let key = Key::Mailbox {
            app: "a".into(),
            user: "u".into(),
        };
        let mut places: Vec<_> = (0..4).map(|_| limits.enter(&key).unwrap()).collect();
        assert!(limits.enter(&key).is_none());
        places.pop();
        assert!(limits.enter(&key).is_some());
    }
}
