//! What an earlier process left behind, and what was refused: taken up again.
//!
//! A process can die at any point. What the spool then holds, and what follows:
//!
//! | found | means | done |
//! | --- | --- | --- |
//! | data without a ticket | the writer never closed it, or it is done | removed |
//! | ticket `waiting` | queued, not begun | pushed |
//! | ticket `pushing` | a request may have gone out | the service is asked for the push's marker: there and complete, done; half made, completed; not there, pushed |
//! | ticket `failed` | refused while nobody waited | stays listed for a week |
//!
//! So every write whose `close()` had begun ends as exactly one item, whether or not its writer waited:
//! the writer saw an error (the mount was gone), and a repetition of the same write meets the push that
//! was taken up here. Asking first, and one push at a time to one place, is what makes it one item.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::errno::{Code, RestoreError};
use super::journal::QueueStatus;
use super::log::Event;
use super::push::{Pusher, key_of};
use super::spool::{Spool, State, Ticket};
use crate::local::LocalState;

impl Pusher {
    /// Takes up pushes that are not over.
    pub(super) fn recover(self: Arc<Self>, tickets: Vec<Ticket>) {
        let mut lanes = std::collections::BTreeSet::new();
        // What was on its way goes first: it may be half made.
        let (begun, waiting): (Vec<_>, Vec<_>) =
            tickets.into_iter().partition(|t| t.state == State::Pushing);
        for ticket in begun.into_iter().chain(waiting) {
            if ticket.state == State::Pushing {
                let text = "was on its way when tenantfs ended; finding out what became of it";
                self.log.add(Event::Recovered, &ticket.target, text);
            }
            if self.take_up(&ticket) {
                lanes.insert(ticket.account);
            }
        }
        for lane in lanes {
            self.work(&lane);
        }
    }

    fn take_up(&self, ticket: &Ticket) -> bool {
        let Some(key) = key_of(ticket) else {
            tracing::warn!(id = %ticket.id, target = %ticket.target, "the ticket of a spooled restore makes no sense; it is left alone");
            return false;
        };
        let fresh = ticket.state == State::Waiting;
        let (mut pending, new) = self
            .queue
            .register(ticket.id, key, &ticket.account, fresh, true);
        if !new {
            // A second ticket for the same: a crash while one was registered and the other written. Its
            // turn comes after, and the policy decides.
            let key = *blake3::hash(ticket.id.as_bytes()).as_bytes();
            pending = self
                .queue
                .register(ticket.id, key, &ticket.account, fresh, true)
                .0;
        }
        self.queue.enqueue(&pending, false);
        true
    }

    /// Tries everything again that was refused.
    pub(super) fn retry_failed(self: &Arc<Self>) -> Result<usize, RestoreError> {
        let mut count = 0;
        for line in self.journal.queue(usize::MAX) {
            if line.status != QueueStatus::Failed {
                continue;
            }
            let Ok(id) = line.id.parse() else { continue };
            let Ok(mut ticket) = self.journal.spool().read(id) else {
                continue;
            };
            ticket.state = State::Pushing;
            self.journal
                .write(&ticket)
                .map_err(|e| RestoreError::local("the restore spool", &e))?;
            if self.take_up(&ticket) {
                count += 1;
                self.work(&ticket.account);
            }
        }
        Ok(count)
    }

    /// Why a queued push was refused, if it was.
    pub(super) fn refusal(&self, id: uuid::Uuid) -> Option<RestoreError> {
        match self.journal.spool().read(id).ok()?.state {
            State::Failed { errno, reason, .. } => Some(RestoreError {
                errno,
                ..RestoreError::new(Code::of_errno(errno), reason)
            }),
            State::Waiting | State::Pushing => None,
        }
    }
}

/// Moves what killed commands left in their spools (`<commands>/<n>/spool`) into `spool`, before that is
/// opened. Those of commands that still run are left alone.
///
/// A crash in here loses nothing: data is linked before its ticket moves, and what has no ticket goes.
pub(super) fn adopt(spool: &Path, commands: &Path) -> io::Result<()> {
    let folders = match fs::read_dir(commands) {
        Ok(folders) => folders,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for folder in folders {
        let folder = folder?.path();
        // Holds the folder while we look: a new command takes another one.
        let Ok(_state) = LocalState::open(&folder.join("state")) else {
            continue;
        };
        let (theirs, tickets) = Spool::open(&folder.join("spool"))?;
        for ticket in tickets {
            let data = theirs.data_path(ticket.id);
            let Some(name) = data.file_name() else {
                continue;
            };
            let ours = spool.join(name);
            match fs::hard_link(&data, &ours) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => {}
            }
            let ticket = data.with_extension("json");
            fs::rename(&ticket, ours.with_extension("json"))?;
            fs::remove_file(&data)?;
        }
    }
    fs::File::open(spool)?.sync_all()
}
