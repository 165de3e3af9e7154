//! One writer at a time.
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
use crate::lockfile::LockFile;

/// File (or object) that stands for the lock.
pub(crate) const FILE: &str = "lock";

/// How often a lock object is rewritten, and how long it must be seen unchanged to be dead.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    refresh: Duration,
    dead: Duration,
    settle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            refresh: Duration::from_secs(15),
            dead: Duration::from_secs(60),
            settle: Duration::from_secs(2),
        }
    }
}

/// The writer's lock; free when dropped.
pub(crate) enum WriterLock {
    Local { _lock: LockFile },
    Object(ObjectLock),
}

impl WriterLock {
    /// Takes the lock or says who has it.
    pub(crate) fn acquire(backend: &Arc<Backend>) -> Result<Self> {
        match backend.root() {
            Some(root) => Self::local(root),
            None => Ok(WriterLock::Object(ObjectLock::acquire(
                backend,
                Timing::default(),
            )?)),
        }
    }

    /// Fails when the lock was lost meanwhile. The kernel's lock cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            WriterLock::Local { .. } => Ok(()),
            WriterLock::Object(lock) => lock.check(),
        }
    }

    fn local(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        let failed = |e| RepoError::io(format!("cannot lock {}", path.display()), e);
        let Some(mut lock) = LockFile::take(&path).map_err(failed)? else {
            let holder = LockFile::holder(&path);
            return Err(RepoError::Locked {
                holder: holder.unwrap_or_else(|| "another process".into()),
            });
        };
        lock.note(&holder());
        Ok(WriterLock::Local { _lock: lock })
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
    confirmed: Mutex<Instant>,
    timing: Timing,
}

impl ObjectLock {
    pub(crate) fn acquire(backend: &Arc<Backend>, timing: Timing) -> Result<Self> {
        let owner = hex(&random::<16>()?);
        let claim = Claim {
            holder: holder(),
            owner: owner.clone(),
            beat: 0,
        };
        let bytes = encode(&claim)?;
        if !backend.create(FILE, &bytes)? {
            wait_until_dead(backend, timing)?;
            backend.put(FILE, &bytes)?;
        }
        // Two may have got here together: the last to write wins, and both look after a pause.
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
            confirmed: Mutex::new(Instant::now()),
            timing,
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
            return lost("another writer has it");
        }
        if self.state.confirmed.lock().elapsed() >= self.state.timing.dead {
            return lost("the store did not answer for too long, so another writer may have it");
        }
        Ok(())
    }
}

impl State {
    fn refresh(&self, claim: &Claim) {
        let begin = Instant::now();
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
            Ok(()) => *self.confirmed.lock() = begin,
            Err(e) => tracing::warn!("the writer's lock was not refreshed: {e}"),
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
fn wait_until_dead(backend: &Backend, timing: Timing) -> Result<()> {
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
    use super::*;

    const FAST: Timing = Timing {
        refresh: Duration::from_millis(20),
        dead: Duration::from_millis(400),
        settle: Duration::from_millis(5),
    };

    #[test]
    fn a_lock_object_is_held_freed_and_taken_over_only_from_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let backend = Arc::new(Backend::in_memory(folder.path()).unwrap());
        let lock = ObjectLock::acquire(&backend, FAST).unwrap();
        lock.check().unwrap();
        let error = ObjectLock::acquire(&backend, FAST).err().unwrap();
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
        let lock = ObjectLock::acquire(&backend, FAST).unwrap();
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
