//! Every wait has an end: replies under a deadline, and threads to wait in.
//!
//! fuser answers FUSE_INTERRUPT with ENOSYS, so a process that waits for this mount cannot be
//! killed. Therefore every reply that depends on a disk or a network is put under [`Watch`]: past
//! its deadline the kernel gets EIO, whatever the work is still doing. And work that may wait for
//! long runs in [`Workers`], so that it never stops the event loop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

/// A reply that can be turned into an error.
pub trait Fail: Send + 'static {
    fn fail(self, errno: Errno);
}

/// Something waiting whose time can run out.
trait Expire: Send + Sync {
    fn expire(&self);
}

struct Slot<R>(Mutex<Option<R>>);

impl<R: Fail> Expire for Slot<R> {
    fn expire(&self) {
        if let Some(reply) = self.0.lock().take() {
            reply.fail(Errno::IO);
        }
    }
}

struct Waiting {
    until: Instant,
    what: &'static str,
    slot: Arc<dyn Expire>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    next: u64,
    stopped: bool,
}

/// All replies that are being worked on. One thread looks at them every [`Watch::TICK`].
pub struct Watch {
    state: Mutex<State>,
    wake: Condvar,
}

impl Watch {
    const TICK: Duration = Duration::from_millis(500);

    /// Starts the watching thread; it ends with [`Watch::stop`].
    pub fn start() -> std::io::Result<Arc<Watch>> {
        let watch = Arc::new(Watch {
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let watching = watch.clone();
        thread::Builder::new()
            .name("mount-deadline".into())
            .spawn(move || watching.run())?;
        Ok(watch)
    }

    fn run(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            self.wake.wait_for(&mut state, Self::TICK);
            let now = Instant::now();
            let late: Vec<Waiting> = {
                let ids: Vec<u64> = state
                    .waiting
                    .iter()
                    .filter(|(_, w)| w.until <= now)
                    .map(|(id, _)| *id)
                    .collect();
                ids.iter()
                    .filter_map(|id| state.waiting.remove(id))
                    .collect()
            };
            if !late.is_empty() {
                parking_lot::MutexGuard::unlocked(&mut state, || {
                    for waiting in late {
                        tracing::error!(
                            operation = waiting.what,
                            "no answer within the deadline: EIO"
                        );
                        waiting.slot.expire();
                    }
                });
            }
        }
    }

    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.wake.notify_all();
    }

    /// Puts a reply under a deadline. Take it back with [`Guarded::take`] when the answer is there.
    pub fn guard<R: Fail>(
        self: &Arc<Self>,
        reply: R,
        what: &'static str,
        limit: Duration,
    ) -> Guarded<R> {
        let slot = Arc::new(Slot(Mutex::new(Some(reply))));
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.waiting.insert(
            id,
            Waiting {
                until: Instant::now() + limit,
                what,
                slot: slot.clone(),
            },
        );
        Guarded {
            slot,
            id,
            watch: self.clone(),
        }
    }
}

/// A reply under a deadline. Dropped without an answer (a panic), it becomes EIO.
pub struct Guarded<R: Fail> {
    slot: Arc<Slot<R>>,
    id: u64,
    watch: Arc<Watch>,
}

impl<R: Fail> Guarded<R> {
    /// Works on the reply where it is, unless its time ran out.
    pub fn with<T>(&self, f: impl FnOnce(&mut R) -> T) -> Option<T> {
        self.slot.0.lock().as_mut().map(f)
    }

    /// The reply, unless its time ran out.
    pub fn take(self) -> Option<R> {
        self.slot.0.lock().take()
    }
}

impl<R: Fail> Drop for Guarded<R> {
    fn drop(&mut self) {
        self.watch.state.lock().waiting.remove(&self.id);
        self.slot.expire();
    }
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// Threads for work that waits: started when needed, up to a limit, gone again when idle.
#[derive(Clone)]
pub struct Workers {
    shared: Arc<(Mutex<Queue>, Condvar)>,
    name: &'static str,
    limit: usize,
}

impl Workers {
    const LINGER: Duration = Duration::from_secs(10);

    pub fn new(name: &'static str, limit: usize) -> Self {
        Workers {
            shared: Arc::default(),
            name,
            limit: limit.max(1),
        }
    }

    /// Runs `job` on some thread, in order of arrival as far as threads are free.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        let (queue, wake) = &*self.shared;
        let mut queue = queue.lock();
        queue.jobs.push_back(Box::new(job));
        if queue.idle >= queue.jobs.len() || queue.threads >= self.limit {
            wake.notify_one();
            return;
        }
        queue.threads += 1;
        let shared = self.shared.clone();
        let spawned = thread::Builder::new()
            .name(self.name.into())
            .spawn(move || Self::work(&shared));
        if let Err(e) = spawned {
            queue.threads -= 1;
            tracing::error!("can't start a thread for {}: {e}", self.name);
            if queue.threads == 0 {
                // Nobody would ever run it. Dropping a job answers its request with EIO.
                queue.jobs.clear();
            }
        }
    }

    fn work((queue, wake): &(Mutex<Queue>, Condvar)) {
        let mut queue = queue.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                parking_lot::MutexGuard::unlocked(&mut queue, || {
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                        tracing::error!(
                            "a request failed inside the mount; it was answered with EIO"
                        );
                    }
                });
                continue;
            }
            queue.idle += 1;
            let timed_out = wake.wait_for(&mut queue, Self::LINGER).timed_out();
            queue.idle -= 1;
            if timed_out && queue.jobs.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Reply(Sender<Result<u32, Errno>>);

    impl Fail for Reply {
        fn fail(self, errno: Errno) {
            self.0.send(Err(errno)).unwrap();
        }
    }

    #[test]
    fn answered_in_time() {
        let watch = Watch::start().unwrap();
        let (tx, rx) = channel();
        let guarded = watch.guard(Reply(tx), "test", Duration::from_secs(60));
        guarded.take().unwrap().0.send(Ok(1)).unwrap();
        assert_eq!(rx.recv().unwrap(), Ok(1));
        assert!(watch.state.lock().waiting.is_empty());
        watch.stop();
    }

    #[test]
    fn late_and_abandoned_become_eio() {
        let watch = Watch::start().unwrap();
        let (tx, rx) = channel();
        let late = watch.guard(Reply(tx.clone()), "test", Duration::ZERO);
        assert_eq!(rx.recv().unwrap(), Err(Errno::IO));
        assert!(late.take().is_none());
        drop(watch.guard(Reply(tx), "test", Duration::from_secs(60)));
        assert_eq!(rx.recv().unwrap(), Err(Errno::IO));
        watch.stop();
    }

    #[test]
    fn workers_run_at_once_up_to_the_limit_and_survive_a_panic() {
        let workers = Workers::new("test", 2);
        let (tx, rx) = channel();
        let barrier = Arc::new(std::sync::Barrier::new(2));
        workers.run(|| panic!("on purpose"));
        for _ in 0..2 {
            let (tx, barrier) = (tx.clone(), barrier.clone());
            workers.run(move || {
                barrier.wait();
                tx.send(()).unwrap();
            });
        }
        for _ in 0..2 {
            rx.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        assert!(workers.shared.0.lock().threads <= 2);
    }
}
