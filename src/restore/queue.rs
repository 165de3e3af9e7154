//! Which push is next, and who waits for it.
//!
//! Each mailbox has a lane with a few workers. What somebody waits for goes before what was queued; a
//! lane whose queued work met trouble rests for a while, but never makes a waiting person wait for that.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use super::errno::RestoreError;
use super::journal::backoff;
use crate::workload::Pushed;

/// A push that is not over, as seen by who waits for it.
pub struct Pending {
    /// The push.
    pub id: Uuid,
    /// What makes another write the same push: see [`super::push::key_of`].
    pub key: [u8; 32],
    /// Lane: Graph id of the account.
    pub lane: String,
    activity: Arc<Mutex<Instant>>,
    state: Mutex<PendingState>,
    changed: Condvar,
}

struct PendingState {
    outcome: Option<Result<Pushed, RestoreError>>,
    /// The last attempt failed, and it will be tried again.
    setback: Option<RestoreError>,
    last: Instant,
    started: bool,
    /// No request went out in this process or an earlier one.
    fresh: bool,
    /// Nobody waits: told of an error, or queued.
    unattended: bool,
}

impl Pending {
    /// `fresh`: no request can have gone out. `unattended`: nobody waits.
    pub fn new(
        id: Uuid,
        key: [u8; 32],
        lane: &str,
        activity: Arc<Mutex<Instant>>,
        fresh: bool,
        unattended: bool,
    ) -> Pending {
        let state = PendingState {
            outcome: None,
            setback: None,
            last: Instant::now(),
            started: false,
            fresh,
            unattended,
        };
        Pending {
            id,
            key,
            lane: lane.to_owned(),
            activity,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// It moved: bytes were sent, a step was done.
    pub fn moved(&self) {
        let now = Instant::now();
        self.state.lock().last = now;
        *self.activity.lock() = now;
    }

    /// How long nothing has moved.
    pub fn silence(&self) -> Duration {
        self.state.lock().last.elapsed()
    }

    /// An attempt begins; returns whether it is the first one ever.
    pub fn begin(&self) -> bool {
        self.moved();
        let mut state = self.state.lock();
        state.started = true;
        std::mem::replace(&mut state.fresh, false)
    }

    /// An attempt failed and there will be another. Returns whether nobody was waiting.
    pub fn set_back(&self, e: RestoreError) -> bool {
        let mut state = self.state.lock();
        state.setback = Some(e);
        state.started = false;
        let unattended = state.unattended;
        self.changed.notify_all();
        unattended
    }

    /// It is over. Returns whether nobody was waiting.
    pub fn end(&self, outcome: Result<Pushed, RestoreError>) -> bool {
        let mut state = self.state.lock();
        state.outcome = Some(outcome);
        let unattended = state.unattended;
        self.changed.notify_all();
        unattended
    }

    /// Whether nobody waits.
    pub fn is_unattended(&self) -> bool {
        self.state.lock().unattended
    }

    /// Somebody waits for it (again).
    pub fn attend(&self) {
        let mut state = self.state.lock();
        state.setback = None;
        state.unattended = false;
        state.last = Instant::now();
    }

    /// Blocks until it is over. A failed attempt ends the waiting too, unless `patient`; and silence for
    /// `deadline` does.
    pub fn wait(&self, deadline: Duration, patient: bool) -> Result<Pushed, RestoreError> {
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            if !patient && let Some(e) = &state.setback {
                let e = e.clone();
                state.unattended = true;
                return Err(e);
            }
            // While it waits for its turn, what counts is that the lane moves.
            let last = if state.started {
                state.last
            } else {
                state.last.max(*self.activity.lock())
            };
            let Some(left) = deadline.checked_sub(last.elapsed()) else {
                state.unattended = true;
                let mut e = RestoreError::temporary(format!(
                    "Microsoft 365 has not confirmed it, and nothing moved for {} s; the push goes on in the background, see .queue",
                    deadline.as_secs()
                ));
                if let Some(setback) = &state.setback {
                    e.reason = format!("{} ({})", e.reason, setback.reason);
                }
                return Err(e);
            };
            self.changed
                .wait_for(&mut state, left + Duration::from_millis(1));
        }
    }
}

/// The pushes of one mailbox.
struct Lane {
    /// Somebody waits.
    now: VecDeque<Uuid>,
    /// Nobody does.
    later: VecDeque<Uuid>,
    workers: usize,
    troubles: u32,
    rests_until: Option<Instant>,
    activity: Arc<Mutex<Instant>>,
}

impl Lane {
    fn new() -> Lane {
        Lane {
            now: VecDeque::new(),
            later: VecDeque::new(),
            workers: 0,
            troubles: 0,
            rests_until: None,
            activity: Arc::new(Mutex::new(Instant::now())),
        }
    }

    fn rest(&self) -> Option<Duration> {
        self.rests_until?
            .checked_duration_since(Instant::now())
            .filter(|d| !d.is_zero())
    }
}

/// All lanes, and every push that is not over.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    lanes: HashMap<String, Lane>,
    pending: HashMap<Uuid, Arc<Pending>>,
    by_key: HashMap<[u8; 32], Uuid>,
    stopping: bool,
}

/// What a worker does next.
pub enum Next {
    /// This push.
    Push(Arc<Pending>),
    /// Nothing now; look again after so long.
    Rest(Duration),
    /// Nothing.
    Done,
}

impl Queue {
    /// Registers a push, or finds the one that is the same. `true`: it is new.
    pub fn register(
        &self,
        id: Uuid,
        key: [u8; 32],
        lane: &str,
        fresh: bool,
        unattended: bool,
    ) -> (Arc<Pending>, bool) {
        let mut inner = self.inner.lock();
        if let Some(same) = inner.by_key.get(&key).and_then(|id| inner.pending.get(id)) {
            return (Arc::clone(same), false);
        }
        let activity = Arc::clone(
            &inner
                .lanes
                .entry(lane.to_owned())
                .or_insert_with(Lane::new)
                .activity,
        );
        let pending = Arc::new(Pending::new(id, key, lane, activity, fresh, unattended));
        inner.pending.insert(id, Arc::clone(&pending));
        inner.by_key.insert(key, id);
        (pending, true)
    }

    /// Puts a registered push in line.
    pub fn enqueue(&self, pending: &Pending, waited_for: bool) {
        let mut inner = self.inner.lock();
        let lane = inner
            .lanes
            .entry(pending.lane.clone())
            .or_insert_with(Lane::new);
        if waited_for {
            lane.now.push_back(pending.id);
        } else {
            lane.later.push_back(pending.id);
        }
    }

    /// Somebody waits for a push that was in line for later, if it still is.
    pub fn hurry(&self, pending: &Pending) {
        let mut inner = self.inner.lock();
        if let Some(lane) = inner.lanes.get_mut(&pending.lane)
            && let Some(at) = lane.later.iter().position(|id| *id == pending.id)
        {
            lane.later.remove(at);
            lane.now.push_back(pending.id);
        }
    }

    /// A push met trouble: it is first in line again, and its lane rests, the longer the more often.
    pub fn set_back(&self, pending: &Pending) {
        let mut inner = self.inner.lock();
        let lane = inner
            .lanes
            .entry(pending.lane.clone())
            .or_insert_with(Lane::new);
        lane.rests_until = Some(Instant::now() + backoff(lane.troubles));
        lane.troubles = lane.troubles.saturating_add(1);
        lane.later.push_back(pending.id);
    }

    /// A push is over: it leaves, and trouble in its lane is forgotten if it went well.
    pub fn leave(&self, pending: &Pending, went_well: bool) {
        let mut inner = self.inner.lock();
        inner.pending.remove(&pending.id);
        if inner.by_key.get(&pending.key) == Some(&pending.id) {
            inner.by_key.remove(&pending.key);
        }
        if went_well && let Some(lane) = inner.lanes.get_mut(&pending.lane) {
            lane.troubles = 0;
            lane.rests_until = None;
        }
    }

    /// The push, if it is not over.
    pub fn pending(&self, id: Uuid) -> Option<Arc<Pending>> {
        self.inner.lock().pending.get(&id).cloned()
    }

    /// Whether a worker should be started for the lane: then it counts as started.
    pub fn hire(&self, lane: &str, most: usize) -> bool {
        let mut inner = self.inner.lock();
        if inner.stopping {
            return false;
        }
        let Some(lane) = inner.lanes.get_mut(lane) else {
            return false;
        };
        let work = lane.now.len()
            + if lane.rest().is_none() {
                lane.later.len()
            } else {
                0
            };
        let hire = lane.workers < most && work > 0;
        lane.workers += usize::from(hire);
        hire
    }

    /// What a worker does next. [`Next::Done`] and [`Next::Rest`] let it go.
    pub fn next(&self, lane_name: &str) -> Next {
        let mut inner = self.inner.lock();
        let stopping = inner.stopping;
        let Lanes { lanes, pending, .. } = &mut *inner;
        let Some(lane) = lanes.get_mut(lane_name) else {
            return Next::Done;
        };
        loop {
            if stopping {
                break;
            }
            let id = match (lane.now.pop_front(), lane.rest()) {
                (Some(id), _) => id,
                (None, Some(rest)) if !lane.later.is_empty() => {
                    lane.workers -= 1;
                    return Next::Rest(rest);
                }
                (None, _) => match lane.later.pop_front() {
                    Some(id) => id,
                    None => break,
                },
            };
            if let Some(pending) = pending.get(&id) {
                return Next::Push(Arc::clone(pending));
            }
        }
        lane.workers -= 1;
        if lane.workers == 0 && lane.now.is_empty() && lane.later.is_empty() && lane.troubles == 0 {
            lanes.remove(lane_name);
        }
        Next::Done
    }

    /// Workers take nothing any more.
    pub fn stop(&self) {
        self.inner.lock().stopping = true;
    }

    /// Whether no worker is at work.
    pub fn is_idle(&self) -> bool {
        self.inner
            .lock()
            .lanes
            .values()
            .all(|lane| lane.workers == 0)
    }
}
