//! The maintenance lock: for what only one may do at a time.
//!
//! Deleting (prune, forget), making the index again, merging index files and folding the inventory need
//! it. Writers do not; they try it, and do without.
//!
//! Local: an flock on the file `lock`; the kernel frees it when the holder dies, however it dies.
//! The file's text names the holder for the message others get.
//!
//! Object stores: an object `lock` that its holder rewrites every few seconds. Somebody else's
//! lock is taken over only after it was *seen* not to change for longer than that: correctness
//! hangs neither on clocks that agree nor on an age (locks that went stale that way cost other
//! programs' users their data). Where the store overwrites in spite of create-if-absent, the lock
//! is written and read back after a pause. The holder asks before each step that others would
//! see, and stops when the object is not its own any more.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::backend::Backend;
use super::error::{RepoError, Result};
use super::id::hex;
use super::key::random;
use super::watch::Moment;
use crate::lockfile::LockFile;

/// File (or object) that stands for the lock.
pub(crate) const FILE: &str = "lock";
/// How long a lock on a directory is waited for: writers that end hold it for a moment.
const PATIENCE: Duration = Duration::from_secs(3);

/// The maintenance lock; free when dropped.
pub(crate) enum MaintenanceLock {
    Local { _lock: LockFile },
    Object(ObjectLock),
}

impl MaintenanceLock {
    /// Takes the lock or says who has it.
    pub(crate) fn acquire(backend: &Arc<Backend>) -> Result<Self> {
        if backend.is_append_only() {
            return Err(RepoError::AppendOnly {
                action: "cannot take the maintenance lock".into(),
            });
        }
        let Some(root) = backend.root() else {
            return Ok(MaintenanceLock::Object(ObjectLock::acquire(backend)?));
        };
        let begin = Instant::now();
        loop {
            if let Some(lock) = Self::local(root)? {
                return Ok(lock);
            }
            if begin.elapsed() >= PATIENCE {
                let holder = LockFile::holder(&root.join(FILE));
                return Err(RepoError::Locked {
                    holder: holder.unwrap_or_else(|| "another process".into()),
                });
            }
            std::thread::sleep(PATIENCE / 100);
        }
    }

    /// Takes the lock if nobody has it; never on a host that only adds.
    pub(crate) fn try_acquire(backend: &Arc<Backend>) -> Result<Option<Self>> {
        if backend.is_append_only() {
            return Ok(None);
        }
        match backend.root() {
            Some(root) => Self::local(root),
            None => Ok(ObjectLock::try_acquire(backend)?.map(MaintenanceLock::Object)),
        }
    }

    /// Fails when the lock was lost meanwhile. The kernel's lock cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            MaintenanceLock::Local { .. } => Ok(()),
            MaintenanceLock::Object(lock) => lock.check(),
        }
    }

    fn local(root: &Path) -> Result<Option<Self>> {
        let path = root.join(FILE);
        let failed = |e| RepoError::io(format!("cannot lock {}", path.display()), e);
        let lock = LockFile::take(&path).map_err(failed)?;
        Ok(lock.map(|mut lock| {
            lock.note(&holder());
            MaintenanceLock::Local { _lock: lock }
        }))
    }
}

/// What the lock object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    holder: String,
    /// Random, one per acquisition.
    owner: String,
    /// Counts up with every refresh.
    beat: u64,
}

impl Claim {
    fn new() -> Result<Self> {
        Ok(Claim {
            holder: holder(),
            owner: hex(&random::<16>()?),
            beat: 0,
        })
    }
}

/// A lock object and the thread that keeps it alive.
pub(crate) struct ObjectLock {
    state: Arc<State>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    backend: Arc<Backend>,
    owner: String,
    lost: AtomicBool,
    /// When the object was last known to be ours.
    confirmed: Mutex<Moment>,
}

impl ObjectLock {
    /// Takes the lock, from a dead holder too: that takes as long as it takes to see that it is dead.
    fn acquire(backend: &Arc<Backend>) -> Result<Self> {
        let claim = Claim::new()?;
        if !backend.create(FILE, &encode(&claim)?)? {
            wait_until_dead(backend)?;
            backend.put(FILE, &encode(&claim)?)?;
        }
        Self::settle(backend, claim)
    }

    /// Takes the lock if it is free, or if its holder was seen to be dead by now.
    fn try_acquire(backend: &Arc<Backend>) -> Result<Option<Self>> {
        let claim = Claim::new()?;
        if !backend.create(FILE, &encode(&claim)?)? {
            let Some(other) = read(backend)? else {
                return Ok(None);
            };
            if !backend.watch.is_dead(FILE, &encode(&other)?) {
                return Ok(None);
            }
            backend.put(FILE, &encode(&claim)?)?;
        }
        match Self::settle(backend, claim) {
            Ok(lock) => Ok(Some(lock)),
            Err(RepoError::Locked { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Two may have written the lock at once: the last one wins, and both look after a pause.
    fn settle(backend: &Arc<Backend>, claim: Claim) -> Result<Self> {
        let timing = backend.watch.timing;
        let owner = claim.owner.clone();
        std::thread::sleep(timing.settle);
        match read(backend)? {
            Some(now) if now.owner == owner => {}
            Some(now) => return Err(RepoError::Locked { holder: now.holder }),
            None => {
                return Err(RepoError::Locked {
                    holder: "another process".into(),
                });
            }
        }
        let state = Arc::new(State {
            backend: backend.clone(),
            owner,
            lost: AtomicBool::new(false),
            confirmed: Mutex::new(Moment::now()),
        });
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("tenantfs-lock".into())
            .spawn({
                let state = state.clone();
                move || {
                    let mut claim = claim;
                    while stopped.recv_timeout(timing.refresh) == Err(RecvTimeoutError::Timeout) {
                        claim.beat += 1;
                        state.refresh(&claim);
                    }
                }
            })
            .map_err(|e| RepoError::io("cannot start the lock's thread", e))?;
        Ok(ObjectLock {
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn check(&self) -> Result<()> {
        let lost = |reason: &str| {
            Err(RepoError::LockLost {
                reason: reason.into(),
            })
        };
        if self.state.lost.load(Ordering::Acquire) {
            return lost("another process has it");
        }
        if self.state.confirmed.lock().elapsed() >= self.state.backend.watch.timing.dead {
            return lost("the store did not answer for too long, so another process may have it");
        }
        Ok(())
    }
}

impl State {
    fn refresh(&self, claim: &Claim) {
        let begin = Moment::now();
        let done = match read(&self.backend) {
            Ok(Some(now)) if now.owner == self.owner => {
                encode(claim).and_then(|bytes| self.backend.put(FILE, &bytes))
            }
            Ok(_) => {
                self.lost.store(true, Ordering::Release);
                return;
            }
            Err(e) => Err(e),
        };
        match done {
            // Between looking and writing it may have been taken over.
            Ok(()) if begin.elapsed() >= self.backend.watch.timing.dead => {
                self.lost.store(true, Ordering::Release);
            }
            Ok(()) => *self.confirmed.lock() = begin,
            Err(e) => tracing::warn!("the maintenance lock was not refreshed: {e}"),
        }
    }
}

impl Drop for ObjectLock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Ok(Some(now)) = read(&self.state.backend)
            && now.owner == self.state.owner
        {
            let _ = self.state.backend.delete(FILE);
        }
    }
}

/// Returns when the present lock was not refreshed for so long that its holder is dead.
fn wait_until_dead(backend: &Backend) -> Result<()> {
    let timing = backend.watch.timing;
    let Some(first) = read(backend)? else {
        return Ok(());
    };
    let begin = Instant::now();
    while begin.elapsed() < timing.dead {
        std::thread::sleep(
            timing
                .refresh
                .min(timing.dead - begin.elapsed().min(timing.dead)),
        );
        match read(backend)? {
            Some(now) if now == first => {}
            Some(now) => return Err(RepoError::Locked { holder: now.holder }),
            None => return Ok(()),
        }
    }
    tracing::warn!(
        "taking over the lock of {}, which does not refresh it any more",
        first.holder
    );
    Ok(())
}

/// The lock object; one that cannot be understood counts as somebody's.
fn read(backend: &Backend) -> Result<Option<Claim>> {
    match backend.get(FILE) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            Claim {
                holder: "an unknown process".into(),
                owner: String::new(),
                beat: 0,
            }
        }))),
        Err(RepoError::FileMissing { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

fn encode(claim: &Claim) -> Result<Vec<u8>> {
    serde_json::to_vec(claim)
        .map_err(|e| RepoError::Invalid(format!("the lock cannot be written: {e}")))
}

/// This process, for messages.
pub(crate) fn holder() -> String {
    format!("process {} on {}", std::process::id(), host_name())
}

/// This machine's name.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::watch::Timing;
    use super::*;

    const FAST: Timing = Timing {
        refresh: Duration::from_millis(20),
        dead: Duration::from_millis(400),
        settle: Duration::from_millis(5),
    };

    #[test]
    fn who_slept_does_not_believe_in_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        // Every moment is too long.
        let timing = Timing {
            refresh: Duration::from_secs(3600),
            dead: Duration::ZERO,
            settle: Duration::ZERO,
        };
        let backend = Arc::new(Backend::in_memory(folder.path(), timing).unwrap());
        let lock = ObjectLock::acquire(&backend).unwrap();
        assert!(matches!(lock.check(), Err(RepoError::LockLost { .. })));
        assert!(!lock.state.lost.load(Ordering::Acquire));
        lock.state.refresh(&read(&backend).unwrap().unwrap());
        assert!(lock.state.lost.load(Ordering::Acquire));
    }

    #[test]
    fn a_lock_object_is_held_freed_and_taken_over_only_from_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let backend = Arc::new(Backend::in_memory(folder.path(), FAST).unwrap());
        let lock = ObjectLock::acquire(&backend).unwrap();
        lock.check().unwrap();
        assert!(ObjectLock::try_acquire(&backend).unwrap().is_none());
        let error = ObjectLock::acquire(&backend).err().unwrap();
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(lock);
        assert!(backend.size(FILE).unwrap().is_none());
        // A holder that died leaves the object and refreshes it no more.
        let dead = Claim {
            holder: "process 1 on elsewhere".into(),
            owner: "x".into(),
            beat: 3,
        };
        backend.put(FILE, &encode(&dead).unwrap()).unwrap();
        let begin = Instant::now();
        assert!(ObjectLock::try_acquire(&backend).unwrap().is_none());
        let lock = ObjectLock::acquire(&backend).unwrap();
        assert!(begin.elapsed() >= FAST.dead);
        drop(lock);
        let other = Claim {
            beat: 4,
            ..dead.clone()
        };
        backend.put(FILE, &encode(&other).unwrap()).unwrap();
        let begin = Instant::now();
        let lock = loop {
            match ObjectLock::try_acquire(&backend).unwrap() {
                Some(lock) => break lock,
                None => std::thread::sleep(FAST.refresh),
            }
        };
        assert!(begin.elapsed() >= FAST.dead);
        // A holder that only slept finds out before it does harm.
        backend.put(FILE, &encode(&dead).unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while lock.check().is_ok() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(FAST.refresh);
        }
        drop(lock);
        assert!(
            backend.size(FILE).unwrap().is_some(),
            "another's lock is not removed"
        );
    }
}
