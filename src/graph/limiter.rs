//! Keeps this client inside Microsoft's limits, and out of the way when it hit one.
//!
//! A [`Gate`] guards one budget: a mailbox, the drives of the tenant, the directory. It admits in
//! order of arrival, at most so many at once (additive increase, halved when throttled), within
//! sliding windows of requests or resource units and of uploaded bytes. A 429 raises a fence:
//! nobody of that gate sends anything until it falls, because calls made meanwhile count too. Where
//! a day's budget is used up, there is nothing to wait for: the request is refused here.
//!
//! Invariants: a waiter that is dropped leaves the queue; a permit that is dropped gives its slots
//! back; units are spent when admitted, also for requests that then fail (the service counts them).
//!
//! Sources: Graph throttling limits (Outlook service: per app and mailbox; SharePoint: resource
//! units per app and tenant; directory: units per 10 s).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::{ErrorClass, GraphError};

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

/// The budgets. `None` means: not paced from the start, only adapted to what the service says.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests in flight per mailbox (the service allows 4).
    pub mailbox_in_flight: u32,
    /// Requests per mailbox in 10 minutes (the service allows 10,000).
    pub mailbox_requests: Option<u64>,
    /// Bytes written to a mailbox in 5 minutes (the service allows 150 MB).
    pub mailbox_upload: Option<u64>,
    /// Requests in flight for all drives and sites.
    pub drives_in_flight: u32,
    /// Resource units per minute for all drives and sites.
    pub drive_units_minute: Option<u64>,
    /// Resource units in 24 hours for all drives and sites.
    pub drive_units_day: Option<u64>,
    /// Directory units in 10 seconds.
    pub directory_units: Option<u64>,
}

impl Limits {
    /// The published limits of a tenant with so many licences, with a margin of 4-5 %.
    pub fn for_licences(licences: u32) -> Self {
        let units: u64 = match licences {
            0..=1_000 => 1_250,
            1_001..=5_000 => 2_500,
            5_001..=15_000 => 3_750,
            15_001..=50_000 => 5_000,
            _ => 6_250,
        };
        Self {
            mailbox_in_flight: 4,
            mailbox_requests: Some(9_600),
            mailbox_upload: Some(140_000_000),
            drives_in_flight: 16,
            drive_units_minute: Some(units * 95 / 100),
            drive_units_day: Some(units * 960 * 95 / 100),
            directory_units: Some(3_300),
        }
    }

    /// No pace of our own: only what answers say (429, `Retry-After`, `RateLimit-*`) slows down.
    /// For services that are not Microsoft's own clouds.
    pub fn adaptive() -> Self {
        Self {
            mailbox_in_flight: 4,
            mailbox_requests: None,
            mailbox_upload: None,
            drives_in_flight: 16,
            drive_units_minute: None,
            drive_units_day: None,
            directory_units: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_licences(0)
    }
}

/// A sum over the last `slots x slot` of time, kept in slots.
#[derive(Debug)]
struct Window {
    limit: u64,
    slot: Duration,
    slots: usize,
    /// Start of a slot, sum in it; oldest first.
    spent: VecDeque<(Instant, u64)>,
    sum: u64,
}

impl Window {
    fn new(limit: u64, span: Duration, slots: u32) -> Self {
        Self {
            limit,
            slot: span / slots,
            slots: slots as usize,
            spent: VecDeque::new(),
            sum: 0,
        }
    }

    fn forget_old(&mut self, now: Instant) {
        let span = self.slot * (self.slots as u32 + 1);
        while let Some(&(start, n)) = self.spent.front() {
            if now.duration_since(start) < span {
                break;
            }
            self.sum = self.sum.saturating_sub(n);
            self.spent.pop_front();
        }
    }

    /// When there is room for `n`, or `None` for now. Something larger than the whole limit passes
    /// when the window is empty: it can't be made smaller here.
    fn room_at(&mut self, n: u64, now: Instant) -> Option<Instant> {
        self.forget_old(now);
        if n == 0 || self.sum == 0 || self.sum + n <= self.limit {
            return None;
        }
        self.spent
            .front()
            .map(|&(start, _)| start + self.slot * (self.slots as u32 + 1))
    }

    /// As [`Window::spend`], for what was spent before anything else that is in it.
    fn spent_before(&mut self, n: u64, age: Duration) {
        let span = self.slot * (self.slots as u32 + 1);
        if age < span
            && let Some(at) = Instant::now().checked_sub(age)
        {
            self.spent.push_front((at, n));
            self.sum += n;
        }
    }

    /// What may still be spent now.
    fn left(&mut self, now: Instant) -> u64 {
        self.forget_old(now);
        self.limit.saturating_sub(self.sum)
    }

    fn spend(&mut self, n: u64, now: Instant) {
        if n == 0 {
            return;
        }
        match self.spent.back_mut() {
            Some((start, sum)) if now.duration_since(*start) < self.slot => *sum += n,
            _ => self.spent.push_back((now, n)),
        }
        self.sum += n;
    }
}

#[derive(Debug)]
struct GateState {
    limit: u32,
    ceiling: u32,
    in_flight: u32,
    queue: VecDeque<u64>,
    next_ticket: u64,
    fence: Option<Instant>,
    changed: Instant,
    /// Requests or resource units.
    units: Vec<Window>,
    bytes: Vec<Window>,
    /// Units since the start.
    spent: u64,
    used: Instant,
}

/// The guard of one budget.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<GateState>,
    freed: Notify,
}

/// Why a ticket does not get in.
enum Closed {
    /// It may, then; or when something changes.
    Until(Option<Instant>),
    UsedUp(UsedUp),
}

/// A budget is used up, and has no room for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp(pub Duration);

impl UsedUp {
    /// As the error of a request that was not sent.
    pub fn refuse(self, route: impl Into<String>) -> GraphError {
        let minutes = self.0.as_secs().div_ceil(60);
        let what = format!(
            "the budget of resource units for 24 hours is used up; there is room again in {} h {} min",
            minutes / 60,
            minutes % 60
        );
        GraphError::local(ErrorClass::Throttled, route, what)
    }
}

/// The longest time that a request waits for room in a budget.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// How long without throttling until one more request may be in flight.
const CLEAN: Duration = Duration::from_secs(60);

impl Gate {
    fn new(ceiling: u32, units: Vec<Window>, bytes: Vec<Window>) -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(GateState {
                limit: ceiling.max(1),
                ceiling: ceiling.max(1),
                in_flight: 0,
                queue: VecDeque::new(),
                next_ticket: 0,
                fence: None,
                changed: now,
                units,
                bytes,
                spent: 0,
                used: now,
            }),
            freed: Notify::new(),
        }
    }

    /// Waits for `slots` of the concurrency (fewer, if that is all there is now), `units`, and
    /// `bytes` to send.
    ///
    /// # Errors
    /// When a budget has no room for longer than anybody would wait.
    pub async fn enter(
        self: &Arc<Self>,
        slots: u32,
        units: u64,
        bytes: u64,
    ) -> Result<Permit, UsedUp> {
        let ticket = Ticket {
            gate: self,
            number: self.draw(),
        };
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let wait_until = match self.try_enter(ticket.number, slots, units, bytes) {
                Ok(taken) => {
                    return Ok(Permit {
                        gate: Arc::clone(self),
                        slots: taken,
                    });
                }
                Err(Closed::Until(until)) => until,
                Err(Closed::UsedUp(used_up)) => return Err(used_up),
            };
            // The deadline also covers a wake-up that went to somebody who then gave up.
            let until = wait_until.unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
            let _ = tokio::time::timeout_at(until, freed).await;
        }
    }

    fn draw(&self) -> u64 {
        let mut state = self.state.lock();
        let number = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back(number);
        number
    }

    fn try_enter(&self, ticket: u64, slots: u32, units: u64, bytes: u64) -> Result<u32, Closed> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if let Some(fence) = state.fence {
            if now < fence {
                return Err(Closed::Until(Some(fence)));
            }
            state.fence = None;
        }
        let slots = slots.clamp(1, state.limit);
        if state.queue.front() != Some(&ticket) || state.in_flight + slots > state.limit {
            return Err(Closed::Until(None));
        }
        let mut until = None;
        for (windows, n) in [(0, units), (1, bytes)] {
            let windows = if windows == 0 {
                &mut state.units
            } else {
                &mut state.bytes
            };
            for window in windows.iter_mut() {
                until = until.max(window.room_at(n, now));
            }
        }
        if let Some(until) = until {
            let wait = until.saturating_duration_since(now);
            return Err(match wait > LONGEST_WAIT {
                true => Closed::UsedUp(UsedUp(wait)),
                false => Closed::Until(Some(until)),
            });
        }
        state.units.iter_mut().for_each(|w| w.spend(units, now));
        state.bytes.iter_mut().for_each(|w| w.spend(bytes, now));
        state.in_flight += slots;
        state.spent += units;
        state.used = now;
        Ok(slots)
    }

    /// The service said no: nobody sends before `wait` is over, and fewer at once afterwards.
    pub fn throttled(&self, wait: Duration) {
        self.pause(wait);
        let mut state = self.state.lock();
        let now = Instant::now();
        // One burst of refusals is one lesson, not four.
        if now.duration_since(state.changed) > Duration::from_secs(2)
            || state.limit == state.ceiling
        {
            state.limit = (state.limit / 2).max(1);
            state.changed = now;
        }
    }

    /// The service will say no soon: nobody sends before `wait` is over.
    pub fn pause(&self, wait: Duration) {
        let mut state = self.state.lock();
        let until = Instant::now() + wait;
        if state.fence.is_none_or(|fence| fence < until) {
            state.fence = Some(until);
        }
    }

    /// The service told its budget (`RateLimit-Limit`): pace to it from now on.
    pub fn learn(&self, units: u64, span: Duration) {
        let mut state = self.state.lock();
        if state.units.is_empty() {
            let now = Instant::now();
            let mut window = Window::new((units * 95 / 100).max(1), span, 60);
            // What was spent before is not known; the header comes at 80 % of the budget.
            window.spend(units * 80 / 100, now);
            state.units.push(window);
        }
    }

    /// The true cost of a request, told by its answer, in place of the one assumed.
    pub fn correct(&self, assumed: u64, told: u64) {
        if told > assumed {
            let now = Instant::now();
            let mut state = self.state.lock();
            state.spent += told - assumed;
            let windows = state.units.iter_mut();
            windows.for_each(|w| w.spend(told - assumed, now));
        }
    }

    /// Units spent since the start.
    pub fn spent(&self) -> u64 {
        self.state.lock().spent
    }

    /// Counts units that were spent so long ago, before this gate was there.
    fn spent_before(&self, units: u64, age: Duration) {
        let mut state = self.state.lock();
        let windows = state.units.iter_mut();
        windows.for_each(|window| window.spent_before(units, age));
    }

    /// Limit and rest of the longest budget of units; `None`: there is none.
    fn budget(&self) -> Option<(u64, u64)> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let longest = state
            .units
            .iter_mut()
            .max_by_key(|window| window.slot * window.slots as u32)?;
        (longest.slot * longest.slots as u32 >= DAY).then(|| (longest.limit, longest.left(now)))
    }

    fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.in_flight == 0 && state.queue.is_empty()).then_some(state.used)
    }
}

/// A place in the queue; leaves it when dropped.
struct Ticket<'a> {
    gate: &'a Gate,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().queue.retain(|&n| n != self.number);
        self.gate.freed.notify_waiters();
    }
}

/// The right to have a request in flight.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    slots: u32,
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut state = self.gate.state.lock();
            state.in_flight -= self.slots.min(state.in_flight);
            let now = Instant::now();
            if state.limit < state.ceiling && now.duration_since(state.changed) > CLEAN {
                state.limit += 1;
                state.changed = now;
            }
        }
        self.gate.freed.notify_waiters();
    }
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

impl Limiters {
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
            Scope::Mailbox(user) => {
                let mut mailboxes = self.mailboxes.lock();
                if let Some(gate) = mailboxes.get(user) {
                    return Some(Arc::clone(gate));
                }
                if mailboxes.len() >= 1_000 {
                    let now = Instant::now();
                    mailboxes.retain(|_, gate| {
                        gate.idle_since()
                            .is_none_or(|t| now.duration_since(t) < 11 * MINUTE)
                    });
                }
                let requests = self
                    .limits
                    .mailbox_requests
                    .map(|n| Window::new(n, 10 * MINUTE, 60));
                let bytes = self
                    .limits
                    .mailbox_upload
                    .map(|n| Window::new(n, 5 * MINUTE, 30));
                let gate = Arc::new(Gate::new(
                    self.limits.mailbox_in_flight,
                    requests.into_iter().collect(),
                    bytes.into_iter().collect(),
                ));
                mailboxes.insert(user.clone(), Arc::clone(&gate));
                Some(gate)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn gate(ceiling: u32, units: Option<(u64, Duration)>) -> Arc<Gate> {
        let windows = units.map(|(n, span)| Window::new(n, span, 10));
        Arc::new(Gate::new(
            ceiling,
            windows.into_iter().collect(),
            Vec::new(),
        ))
    }

    #[tokio::test]
    async fn no_more_than_the_ceiling_in_flight() {
        let gate = gate(4, None);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(gate.enter(1, 1, 0).await);
        }
        assert!(
            tokio::time::timeout(50 * MS, gate.enter(1, 1, 0))
                .await
                .is_err()
        );
        held.pop();
        assert!(
            tokio::time::timeout(50 * MS, gate.enter(1, 1, 0))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_dropped_waiter_leaves_the_queue() {
        let gate = gate(1, None);
        let held = gate.enter(1, 1, 0).await;
        assert!(
            tokio::time::timeout(20 * MS, gate.enter(1, 1, 0))
                .await
                .is_err()
        );
        drop(held);
        assert!(
            tokio::time::timeout(50 * MS, gate.enter(1, 1, 0))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_wide_request_is_not_starved_by_narrow_ones() {
        let gate = gate(4, None);
        let first = gate.enter(1, 1, 0).await;
        let wide = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(4, 20, 0).await }
        });
        tokio::time::sleep(20 * MS).await;
        let narrow = gate.enter(1, 1, 0);
        tokio::pin!(narrow);
        assert!(tokio::time::timeout(20 * MS, &mut narrow).await.is_err());
        drop(first);
        drop(wide.await.unwrap());
        assert!(narrow.await.is_ok());
    }

    #[tokio::test]
    async fn the_window_never_holds_more_than_its_limit() {
        let span = 300 * MS;
        let gate = gate(100, Some((50, span)));
        let mut times = Vec::new();
        for _ in 0..170 {
            drop(gate.enter(1, 1, 0).await);
            times.push(Instant::now());
        }
        for (i, t) in times.iter().enumerate() {
            let within = times[..i].iter().filter(|u| *t - **u < span).count();
            assert!(within < 50, "{within} before number {i}");
        }
    }

    #[tokio::test]
    async fn what_is_larger_than_the_window_passes_alone() {
        let gate = gate(4, Some((10, 100 * MS)));
        drop(gate.enter(1, 50, 0).await);
        let start = Instant::now();
        drop(gate.enter(1, 1, 0).await);
        assert!(start.elapsed() >= 90 * MS);
    }

    #[tokio::test]
    async fn a_fence_holds_all_and_halves_concurrency() {
        let gate = gate(4, None);
        gate.throttled(100 * MS);
        let start = Instant::now();
        let _a = gate.enter(1, 1, 0).await;
        assert!(start.elapsed() >= 100 * MS);
        let b = gate.enter(1, 1, 0).await;
        assert!(
            tokio::time::timeout(50 * MS, gate.enter(1, 1, 0))
                .await
                .is_err()
        );
        // A clean minute brings one back.
        gate.state.lock().changed = Instant::now() - CLEAN - 10 * MS;
        drop(b);
        let _b = gate.enter(1, 1, 0).await;
        assert!(
            tokio::time::timeout(50 * MS, gate.enter(1, 1, 0))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn what_the_service_tells_of_its_budget_is_heeded() {
        let gate = gate(4, None);
        assert!(gate.enter(1, 100_000, 0).await.is_ok());
        gate.learn(1_250, MINUTE);
        // Four fifths are used when it tells; a twentieth is never used.
        assert!(gate.enter(1, 187, 0).await.is_ok());
        assert!(
            tokio::time::timeout(50 * MS, gate.enter(1, 1, 0))
                .await
                .is_err()
        );
        let other = Arc::new(Gate::new(4, Vec::new(), Vec::new()));
        other.pause(80 * MS);
        assert!(
            tokio::time::timeout(30 * MS, other.enter(1, 1, 0))
                .await
                .is_err()
        );
        assert!(other.enter(4, 1, 0).await.is_ok());
    }

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
