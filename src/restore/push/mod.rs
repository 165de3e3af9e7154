//! One push from beginning to end.
//!
//! 1. **Submit**: the bytes are made durable, hashed, recognised; a ticket makes the push durable.
//! 2. **Attempt**: if a request may have gone out before, the service is asked what became of it
//!    ([`crate::workload::Workload::find_pushed`]); only then is it pushed (again).
//! 3. **End**: confirmed, or refused for good: the ticket goes. In trouble (throttled, unreachable): it
//!    stays, whoever waited gets EIO, and the push is brought to its end in the background.
//!
//! Why is a push that failed with EIO not given up? Its request may have arrived, whole or in part, and
//! nothing but finishing it leads to exactly one item. A person who repeats the command meets the same
//! push ([`key_of`]): while it is on its way the second write joins it, and when it is complete meanwhile,
//! the second write is answered with it.

mod attempt;
mod submit;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::errno::{Code, RestoreError};
use super::journal::Journal;
use super::listing::Listings;
use super::live::folder_key;
use super::log::{Event, RestoreLog};
use super::made::MadeFolders;
use super::place::Places;
use super::policy::Conflict;
use super::queue::{Pending, Queue};
use super::recognise::Recognise;
use super::spool::Ticket;
use super::target::TargetPath;
use crate::lockfile::LockFile;
use crate::workload::{LiveEntry, PushError, Pushed};

pub(super) use attempt::name_at;
pub use submit::Submitted;

/// Everything that pushes need.
pub struct Pusher {
    pub(super) places: Places,
    pub(super) journal: Arc<Journal>,
    pub(super) listings: Listings,
    pub(super) made: MadeFolders,
    pub(super) log: RestoreLog,
    pub(super) conflict: Conflict,
    pub(super) recogniser: Option<Arc<dyn Recognise>>,
    pub(super) queue: Queue,
    per_mailbox: usize,
    runtime: Handle,
    locks: Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>,
    /// On the spool's folder: held as long as anything can still be pushed from it.
    _folder: LockFile,
}

impl Pusher {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        places: Places,
        journal: Journal,
        listings: Listings,
        log: RestoreLog,
        recogniser: Option<Arc<dyn Recognise>>,
        conflict: Conflict,
        per_mailbox: usize,
        runtime: Handle,
        folder: LockFile,
    ) -> Pusher {
        Pusher {
            places,
            journal: Arc::new(journal),
            listings,
            made: MadeFolders::default(),
            log,
            conflict,
            recogniser,
            queue: Queue::default(),
            per_mailbox: per_mailbox.max(1),
            runtime,
            locks: Mutex::default(),
            _folder: folder,
        }
    }

    /// One push at a time to one place: the second sees what the first made.
    fn lock(&self, ticket: &Ticket) -> Arc<tokio::sync::Mutex<()>> {
        let target = TargetPath::parse(&ticket.target).unwrap_or_default();
        let place = *place_hasher(ticket, &target).finalize().as_bytes();
        let mut locks = self.locks.lock();
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(place).or_default())
    }

    /// Makes one folder and lays it over the listing.
    pub(super) async fn make_folder(&self, target: &TargetPath) -> Result<LiveEntry, RestoreError> {
        let place = self.places.resolve(target).await?;
        let Some((name, parent)) = place.path.split_last() else {
            return Err(RestoreError::new(
                Code::Exists,
                format!("{target} is there already"),
            ));
        };
        let made = place
            .workload
            .make_folder(&place.account, &place.path)
            .await;
        let entry = made.map_err(|e: PushError| {
            let e = RestoreError::from(e).about(target);
            self.log.add(Event::Failed, &target.to_string(), &e.reason);
            e
        })?;
        self.listings
            .add(&folder_key(&place, parent), entry.clone(), name);
        Ok(entry)
    }

    /// Puts into the log what a folder lacks that its original had.
    pub(super) fn folder_differs(&self, folder: &TargetPath, what: &str) {
        let text = format!("the folder is there, but not as it was: {what}");
        self.log.add(Event::Failed, &folder.to_string(), &text);
    }

    /// The push, if it is not over: for who waits for a queued one.
    pub(super) fn pending(&self, id: Uuid) -> Option<Waiting> {
        self.queue.pending(id).map(Waiting)
    }

    /// Stops taking pushes and waits for what is on its way.
    pub(super) fn stop(&self, deadline: Duration) -> bool {
        self.queue.stop();
        let until = Instant::now() + deadline;
        while !self.queue.is_idle() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

/// A queued push that someone waits for after all (`fsync`).
pub struct Waiting(Arc<Pending>);

impl Waiting {
    /// Blocks until it is over, through failed attempts, or until nothing moved for `deadline`.
    pub fn wait(&self, deadline: Duration) -> Result<Pushed, RestoreError> {
        self.0.wait(deadline, true)
    }
}

/// What makes two writes the same push: same bytes, same place, same policy. Only what asks for another
/// copy, and does not wait, is a push of its own each time. `None`: the ticket makes no sense.
pub(super) fn key_of(ticket: &Ticket) -> Option<[u8; 32]> {
    let target = TargetPath::parse(&ticket.target).ok()?;
    let mut hasher = place_hasher(ticket, &target);
    hasher.update(super::policy::word(ticket.conflict).as_bytes());
    hasher.update(&[0]);
    hasher.update(ticket.hash.as_bytes());
    if ticket.queued && ticket.conflict == Conflict::KeepBoth {
        hasher.update(ticket.id.as_bytes());
    }
    Some(*hasher.finalize().as_bytes())
}

fn place_hasher(ticket: &Ticket, target: &TargetPath) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    let path = target.path().iter().map(String::as_str);
    for part in [ticket.account.as_str(), &ticket.workload]
        .into_iter()
        .chain(path)
    {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher
}

fn spool_error(target: &TargetPath, e: &io::Error) -> RestoreError {
    RestoreError::local(format!("{target}: the restore spool on this machine"), e)
}

/// Runs disk work where it may block. A panic there is passed on.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going away: this future goes with it.
            Err(_) => std::future::pending().await,
        },
    }
}
