//! A file on its way to Microsoft 365: written here, then pushed.
//!
//! States: *open* (has a spool file, takes writes), *pushing*, *done* (the result is known, the
//! spool file is gone). FLUSH arrives at every `close(2)` of every duplicate of a descriptor, so a
//! push happens once, at the first one after which nobody else can write; later ones get its result.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tenantfs::restore::{RestoreError, SpoolFile, TargetPath};

use super::temporary::is_temporary;
use crate::error::FsError;

/// A file that stays under a temporary name this long after its close is sent under that name.
pub const HOLD: Duration = Duration::from_secs(30);
/// How long the name that was written answers after the push: programs set times and modes after
/// closing, and a refused one must be found to read its `user.tenantfs.error`.
pub const LINGER: Duration = Duration::from_secs(30);
/// Shorter for a refused one, so that trying again with `cp -n` soon sees that nothing is there.
pub const LINGER_REFUSED: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum Phase {
    Open(SpoolFile),
    Pushing {
        size: u64,
        mtime: i64,
    },
    Done {
        result: Result<(), RestoreError>,
        size: u64,
        mtime: i64,
        at: Instant,
    },
    /// Removed by name before it was sent.
    Discarded,
}

#[derive(Debug)]
struct State {
    target: TargetPath,
    phase: Phase,
    /// Handles that may write.
    writers: usize,
    closed: Option<Instant>,
    /// A write failed, or the program was killed. What is in the file is not what the program wrote or meant
    /// to, so it is never sent, even if there is room again when it is closed.
    broken: Option<RestoreError>,
}

/// See the module's description.
#[derive(Debug)]
pub struct Local {
    state: Mutex<State>,
    done: Condvar,
}

/// What has to be done about a file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Nothing,
    /// Send it under the name it has.
    Push,
    /// Its name need not answer any more.
    Drop,
}

impl Local {
    pub fn new(file: SpoolFile) -> Self {
        let state = State {
            target: file.target().clone(),
            phase: Phase::Open(file),
            writers: 0,
            closed: None,
            broken: None,
        };
        Local {
            state: Mutex::new(state),
            done: Condvar::new(),
        }
    }

    pub fn target(&self) -> TargetPath {
        self.state.lock().target.clone()
    }

    /// (size, mtime) as `stat` shows them.
    pub fn stat(&self) -> (u64, i64) {
        stat(&self.state.lock().phase)
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Open(_))
    }

    /// Nothing will happen to it any more.
    pub fn is_done(&self) -> bool {
        matches!(
            self.state.lock().phase,
            Phase::Done { .. } | Phase::Discarded
        )
    }

    /// Was pushed, and is a live item now.
    pub fn is_live(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Done { result: Ok(()), .. })
    }

    pub fn is_discarded(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Discarded)
    }

    /// One more handle that may write.
    pub fn add_writer(&self) {
        let mut state = self.state.lock();
        state.writers += 1;
        state.closed = None;
    }

    /// A handle that may write is gone. True when it was the last and nothing was pushed.
    pub fn remove_writer(&self) -> bool {
        let mut state = self.state.lock();
        state.writers = state.writers.saturating_sub(1);
        if state.writers == 0 && state.closed.is_none() {
            state.closed = Some(Instant::now());
        }
        state.writers == 0 && matches!(state.phase, Phase::Open(_))
    }

    /// Some program has it open and did not close it yet. Its RELEASE may come late, its FLUSH does not.
    pub fn is_being_written(&self) -> bool {
        let state = self.state.lock();
        state.writers > 0 && state.closed.is_none()
    }

    /// Handles that may write.
    pub fn writers(&self) -> usize {
        self.state.lock().writers
    }

    /// A program closed it under its temporary name: the time it is held begins.
    pub fn hold(&self) {
        self.state.lock().closed = Some(Instant::now());
    }

    /// It will not be complete. False when that is known already, or too late.
    pub fn give_up(&self, why: RestoreError) -> bool {
        let mut state = self.state.lock();
        let news = matches!(state.phase, Phase::Open(_)) && state.broken.is_none();
        if news {
            state.broken = Some(why);
        }
        news
    }

    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, FsError> {
        match &self.state.lock().phase {
            Phase::Open(file) => Ok(file.read_at(offset, len)?),
            Phase::Pushing { .. } | Phase::Done { .. } | Phase::Discarded => Err(sent()),
        }
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), FsError> {
        self.change(|file| file.write_at(offset, bytes))
    }

    pub fn truncate(&self, len: u64) -> Result<(), FsError> {
        self.change(|file| file.truncate(len))?;
        if len == 0 {
            // It is written anew.
            self.state.lock().broken = None;
        }
        Ok(())
    }

    fn change(&self, f: impl FnOnce(&SpoolFile) -> std::io::Result<()>) -> Result<(), FsError> {
        let mut state = self.state.lock();
        let Phase::Open(file) = &state.phase else {
            return Err(sent());
        };
        if let Err(e) = f(file) {
            let error = RestoreError::local("the restore spool on this machine", &e);
            state.broken = Some(error);
            return Err(e.into());
        }
        if state.writers > 0 {
            state.closed = None;
        }
        Ok(())
    }

    /// Kept for the push. Of something already sent, it is accepted and means nothing.
    pub fn set_mtime(&self, mtime: i64) {
        if let Phase::Open(file) = &self.state.lock().phase {
            file.set_mtime(mtime);
        }
    }

    /// Gives it another name before it is sent.
    pub fn rename(&self, target: TargetPath) {
        let mut state = self.state.lock();
        if let Phase::Open(file) = &mut state.phase {
            file.set_target(target.clone());
        }
        state.target = target;
    }

    /// Sends it once, by `push`; whoever comes meanwhile or later gets the same result.
    pub fn send(
        &self,
        deadline: Duration,
        push: impl FnOnce(SpoolFile) -> Result<(), RestoreError>,
    ) -> Result<(), FsError> {
        let until = Instant::now() + deadline;
        let mut state = self.state.lock();
        loop {
            match &state.phase {
                Phase::Done { result: Ok(()), .. } | Phase::Discarded => return Ok(()),
                Phase::Done { result: Err(e), .. } => return Err(e.clone().into()),
                Phase::Pushing { .. } => {
                    if self.done.wait_until(&mut state, until).timed_out() {
                        return Err(FsError::Deadline);
                    }
                }
                Phase::Open(_) => break,
            }
        }
        let (size, mtime) = stat(&state.phase);
        let Phase::Open(file) = std::mem::replace(&mut state.phase, Phase::Pushing { size, mtime })
        else {
            return Err(FsError::Stale);
        };
        let broken = state.broken.take();
        drop(state);
        let result = match broken {
            Some(error) => Err(error),
            // Whatever happens in there, nobody may wait for ever.
            None => std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| push(file)))
                .unwrap_or_else(|_| Err(internal())),
        };
        let mut state = self.state.lock();
        state.phase = Phase::Done {
            result: result.clone(),
            size,
            mtime,
            at: Instant::now(),
        };
        self.done.notify_all();
        Ok(result?)
    }

    /// Takes it out of the way without sending it; dropping the spool file discards it.
    pub fn discard(&self) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Open(_)) {
            state.phase = Phase::Discarded;
        }
    }

    pub fn due(&self, now: Instant) -> Due {
        let state = self.state.lock();
        let past = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        match &state.phase {
            Phase::Open(_) => match state.closed {
                Some(closed) if state.writers == 0 && past(closed, HOLD) => Due::Push,
                _ => Due::Nothing,
            },
            Phase::Pushing { .. } => Due::Nothing,
            Phase::Discarded => Due::Drop,
            Phase::Done { result, at, .. } => {
                let limit = if result.is_ok() {
                    LINGER
                } else {
                    LINGER_REFUSED
                };
                if state.writers == 0 && past(*at, limit) {
                    Due::Drop
                } else {
                    Due::Nothing
                }
            }
        }
    }

    /// Every program has closed it, and what becomes of it is not known yet.
    pub fn is_left(&self) -> bool {
        let state = self.state.lock();
        matches!(state.phase, Phase::Open(_) | Phase::Pushing { .. }) && state.closed.is_some()
    }

    /// Closed under a temporary name, waiting for the rename.
    pub fn is_held(&self) -> bool {
        let state = self.state.lock();
        matches!(state.phase, Phase::Open(_))
            && state.closed.is_some()
            && is_temporary(&state.target)
    }
}

fn stat(phase: &Phase) -> (u64, i64) {
    match phase {
        Phase::Open(file) => (file.len().unwrap_or(0), file.mtime()),
        Phase::Pushing { size, mtime } | Phase::Done { size, mtime, .. } => (*size, *mtime),
        Phase::Discarded => (0, 0),
    }
}

fn sent() -> FsError {
    FsError::refused(
        rustix::io::Errno::IO,
        "the file was already sent when it was closed; write it again as a whole",
    )
}

fn internal() -> RestoreError {
    RestoreError::new(
        tenantfs::restore::Code::Io,
        "tenantfs failed while sending the file; this is a fault of tenantfs, please report it"
            .to_owned(),
    )
}
