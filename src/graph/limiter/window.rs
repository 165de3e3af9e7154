//! A budget over a sliding span of time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A sum over the last `slots x slot` of time, kept in slots.
#[derive(Debug)]
pub(super) struct Window {
    /// The most that may be spent in the span.
    pub limit: u64,
    slot: Duration,
    slots: u32,
    /// Start of a slot, sum in it; oldest first.
    spent: VecDeque<(Instant, u64)>,
    sum: u64,
}

impl Window {
    /// A budget of `limit` in `span`, which is kept in so many slots.
    pub fn new(limit: u64, span: Duration, slots: u32) -> Self {
        Self {
            limit,
            slot: span / slots,
            slots,
            spent: VecDeque::new(),
            sum: 0,
        }
    }

    /// The span of the budget.
    pub fn span(&self) -> Duration {
        self.slot * self.slots
    }

    /// How long a slot counts, from its start: until all of it is older than the span.
    fn reach(&self) -> Duration {
        self.slot * (self.slots + 1)
    }

    fn forget_old(&mut self, now: Instant) {
        let span = self.reach();
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
    pub fn room_at(&mut self, n: u64, now: Instant) -> Option<Instant> {
        self.forget_old(now);
        if n == 0 || self.sum == 0 || self.sum + n <= self.limit {
            return None;
        }
        self.spent.front().map(|&(start, _)| start + self.reach())
    }

    /// As [`Window::spend`], for what was spent before anything else that is in it.
    pub fn spent_before(&mut self, n: u64, age: Duration) {
        let span = self.reach();
        if age < span
            && let Some(at) = Instant::now().checked_sub(age)
        {
            self.spent.push_front((at, n));
            self.sum += n;
        }
    }

    /// What may still be spent now.
    pub fn left(&mut self, now: Instant) -> u64 {
        self.forget_old(now);
        self.limit.saturating_sub(self.sum)
    }

    /// Counts what is spent now.
    pub fn spend(&mut self, n: u64, now: Instant) {
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
