//! The guard of one budget: who may send now, who waits, who is refused.
//!
//! Invariants: a waiter that is dropped leaves the queue; a permit that is dropped gives its slots
//! back; units are spent when admitted, also for requests that then fail (the service counts them).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::DAY;
use super::window::Window;
use crate::graph::error::{ErrorClass, GraphError};

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

impl GateState {
    /// When all windows have room for so much, or `None` for now.
    fn room_at(&mut self, units: u64, bytes: u64, now: Instant) -> Option<Instant> {
        let units = self.units.iter_mut().map(|window| (window, units));
        let bytes = self.bytes.iter_mut().map(|window| (window, bytes));
        units
            .chain(bytes)
            .filter_map(|(window, n)| window.room_at(n, now))
            .max()
    }
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
    /// A gate for at most `ceiling` requests at once, within windows of units and of bytes to send.
    pub(super) fn new(ceiling: u32, units: Vec<Window>, bytes: Vec<Window>) -> Self {
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
        if let Some(until) = state.room_at(units, bytes, now) {
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
    pub(super) fn spent_before(&self, units: u64, age: Duration) {
        let mut state = self.state.lock();
        let windows = state.units.iter_mut();
        windows.for_each(|window| window.spent_before(units, age));
    }

    /// Limit and rest of the longest budget of units; `None`: there is none.
    pub(super) fn budget(&self) -> Option<(u64, u64)> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let longest = state.units.iter_mut().max_by_key(|window| window.span())?;
        (longest.span() >= DAY).then(|| (longest.limit, longest.left(now)))
    }

    /// When it was used last; `None`: it is in use.
    pub(super) fn idle_since(&self) -> Option<Instant> {
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

#[cfg(test)]
mod tests {
    use super::super::MINUTE;
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
}
