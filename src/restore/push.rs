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
//! push ([`key`]): while it is on its way the second write joins it, and when it is complete meanwhile,
//! the second write is answered with it.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::errno::{Code, RestoreError};
use super::journal::{Journal, PushJournal};
use super::listing::Listings;
use super::log::{Event, RestoreLog};
use super::place::{Place, Places};
use super::policy::Conflict;
use super::queue::{Next, Pending, Queue};
use super::recognise::Recognise;
use super::service::{folder_key, lookup};
use super::spool::{Origin, SpoolFile, State, Ticket};
use super::target::TargetPath;
use crate::local::now;
use crate::lockfile::LockFile;
use crate::workload::{ItemKey, LiveEntry, Original, Push, PushError, Pushed, Source};

/// A push in which nothing moved for so long is broken off, and found out about.
const STALLED: Duration = Duration::from_secs(900);

/// Everything that pushes need.
pub struct Pusher {
    pub(super) places: Places,
    pub(super) journal: Arc<Journal>,
    pub(super) listings: Listings,
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

/// A push that was handed over.
pub struct Submitted {
    pub id: Uuid,
    state: SubmittedState,
}

enum SubmittedState {
    Pending(Arc<Pending>),
    /// An earlier write of the same, which had failed for its writer, was completed meanwhile.
    Done(Pushed),
}

impl Submitted {
    /// Blocks until it is over, or nothing moved for `deadline`.
    pub fn wait(self, deadline: Duration) -> Result<Pushed, RestoreError> {
        match self.state {
            SubmittedState::Pending(pending) => pending.wait(deadline, false),
            SubmittedState::Done(pushed) => Ok(pushed),
        }
    }
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

    /// Takes a complete file: durable on return, and on its way.
    pub(super) async fn submit(
        self: Arc<Self>,
        file: SpoolFile,
    ) -> Result<Submitted, RestoreError> {
        let target = file.target().clone();
        let result = Arc::clone(&self).submit_file(file, &target).await;
        if let Err(e) = &result {
            self.log.add(Event::Failed, &target.to_string(), &e.reason);
        }
        result
    }

    async fn submit_file(
        self: Arc<Self>,
        file: SpoolFile,
        target: &TargetPath,
    ) -> Result<Submitted, RestoreError> {
        let place = self.places.resolve(target).await?;
        if place.path.is_empty() {
            return Err(RestoreError::new(
                Code::NotPermitted,
                format!("{target} is no place for a file"),
            ));
        }
        let (file, hash, origin) = self.examine(file, target).await?;
        let conflict = target.policy().conflict.unwrap_or(self.conflict);
        let queued = target.policy().queued;
        let ticket = Ticket {
            version: Ticket::VERSION,
            id: file.id(),
            target: target.to_string(),
            account: place.account.id.clone(),
            workload: place.workload.name().to_owned(),
            conflict,
            queued,
            created: now(),
            size: file.len().map_err(|e| spool_error(target, &e))?,
            hash: hash.to_hex().to_string(),
            mtime: file.mtime(),
            origin,
            // Whoever waits has nothing to say to a ticket that nobody began; so one write is enough.
            state: if queued {
                State::Waiting
            } else {
                State::Pushing
            },
        };
        let Some(key) = key_of(&ticket) else {
            return Err(RestoreError::new(
                Code::Invalid,
                format!("{target} is no target"),
            ));
        };
        if let Some(pushed) = self.settled(&key, target).await? {
            return Ok(Submitted {
                id: ticket.id,
                state: SubmittedState::Done(pushed),
            });
        }
        let (pending, new) = self
            .queue
            .register(ticket.id, key, &place.account.id, true, queued);
        if new {
            let journal = Arc::clone(&self.journal);
            let ticket = Arc::new(ticket);
            let written = Arc::clone(&ticket);
            if let Err(e) = blocking(move || journal.write(&written)).await {
                let e = spool_error(target, &e);
                pending.end(Err(e.clone()));
                self.queue.leave(&pending, false);
                return Err(e);
            }
            file.keep();
            if queued {
                self.log.add(Event::Queued, &ticket.target, "");
            }
            self.queue.enqueue(&pending, !queued);
        } else if !queued {
            pending.attend();
            self.queue.hurry(&pending);
        }
        self.work(&pending.lane);
        Ok(Submitted {
            id: pending.id,
            state: SubmittedState::Pending(pending),
        })
    }

    /// Makes the bytes durable, hashes and recognises them.
    async fn examine(
        &self,
        file: SpoolFile,
        target: &TargetPath,
    ) -> Result<(SpoolFile, blake3::Hash, Option<Origin>), RestoreError> {
        let path = file.path();
        let (file, hashed) = blocking(move || {
            let hashed = file.sync().and_then(|()| hash_file(&path));
            (file, hashed)
        })
        .await;
        let hash = hashed.map_err(|e| spool_error(target, &e))?;
        let (file, origin) = self.recognise(file, target).await;
        Ok((file, hash, origin))
    }

    /// What a snapshot knows about the bytes.
    pub(super) async fn recognise(
        &self,
        file: SpoolFile,
        target: &TargetPath,
    ) -> (SpoolFile, Option<Origin>) {
        if file.origin().is_some() {
            let origin = file.origin().cloned();
            return (file, origin);
        }
        let Some(recogniser) = self.recogniser.clone() else {
            return (file, None);
        };
        let folder = target.folder().last().into_iter();
        let hint: Vec<&str> = folder.map(String::as_str).chain(target.name()).collect();
        let (path, hint) = (file.path(), hint.join("/"));
        let origin = blocking(move || recogniser.recognise(&path, &hint)).await;
        // Not knowing what it was is no reason not to restore it; the log says what was lost.
        let origin = origin.unwrap_or_else(|e| {
            let text = format!(
                "not looked up in the snapshots ({}); restored as a plain file",
                e.reason
            );
            self.log.add(Event::Retry, &target.to_string(), &text);
            None
        });
        (file, origin)
    }

    /// The item of an earlier write of the same that was completed after its writer had been told of an
    /// error, if it is still there.
    async fn settled(
        &self,
        key: &[u8; 32],
        target: &TargetPath,
    ) -> Result<Option<Pushed>, RestoreError> {
        let Some(name) = self.journal.take_settled(key) else {
            return Ok(None);
        };
        let Some(parent) = target.parent() else {
            return Ok(None);
        };
        let Ok(at) = parent.child(&name) else {
            return Ok(None);
        };
        let live = lookup(self, &at).await.unwrap_or_default();
        Ok(live.map(|entry| Pushed {
            entry,
            replaced: None,
            notes: Vec::new(),
        }))
    }

    /// Starts workers for a lane as far as it has work for them.
    pub(super) fn work(self: &Arc<Self>, lane: &str) {
        while self.queue.hire(lane, self.per_mailbox) {
            let pusher = Arc::clone(self);
            let lane = lane.to_owned();
            self.runtime.spawn(async move {
                loop {
                    match pusher.queue.next(&lane) {
                        Next::Push(pending) => pusher.attempt(&pending).await,
                        Next::Rest(rest) => {
                            let later = Arc::clone(&pusher);
                            tokio::spawn(async move {
                                tokio::time::sleep(rest).await;
                                later.work(&lane);
                            });
                            return;
                        }
                        Next::Done => return,
                    }
                }
            });
        }
    }

    /// Tries one push once, and does what follows from the result.
    async fn attempt(self: &Arc<Self>, pending: &Arc<Pending>) {
        let journal = Arc::clone(&self.journal);
        let id = pending.id;
        let ticket = match blocking(move || journal.spool().read(id)).await {
            Ok(ticket) => ticket,
            Err(e) => {
                let e = RestoreError::local("the ticket of a spooled restore", &e);
                self.log.add(Event::Failed, &id.to_string(), &e.reason);
                pending.end(Err(e));
                self.queue.leave(pending, false);
                return;
            }
        };
        // A task of its own: a panic in a workload costs this push, not the worker.
        let (pusher, p, t) = (Arc::clone(self), Arc::clone(pending), ticket.clone());
        let first = pending.begin();
        let task = tokio::spawn(async move { pusher.run(&p, t, first).await });
        let result = task.await.unwrap_or_else(|e| {
            Err(RestoreError::new(
                Code::Io,
                format!("an internal error ended this push: {e}"),
            ))
        });
        match result {
            Ok((pushed, place)) => self.confirmed(pending, ticket, pushed, &place).await,
            Err(e) if e.temporary => {
                self.journal.note_retry(&ticket, &e.reason);
                self.log.add(Event::Retry, &ticket.target, &e.reason);
                self.queue.set_back(pending);
                pending.set_back(e);
            }
            Err(e) => self.refused(pending, ticket, e, !first).await,
        }
    }

    async fn run(
        self: &Arc<Self>,
        pending: &Arc<Pending>,
        mut ticket: Ticket,
        first: bool,
    ) -> Result<(Pushed, Place), RestoreError> {
        let target = TargetPath::parse(&ticket.target)?;
        let name = target.account().unwrap_or_default();
        let account = self.places.account_by_id(&ticket.account, &name).await?;
        let Some(workload) = self.places.workload_named(&ticket.workload) else {
            return Err(RestoreError::new(
                Code::NotFound,
                format!(
                    "nothing can be restored to {:?} in this version",
                    ticket.workload
                ),
            ));
        };
        let place = Place {
            account,
            workload,
            path: target.path().to_vec(),
        };
        let lock = self.lock(&ticket);
        let _guard = lock.lock().await;
        pending.moved();
        let (source, original) = self.source(ticket.origin.as_ref(), &place).await?;
        let push = Push {
            id: ticket.id,
            folder: target.folder().to_vec(),
            name: name_at(&place, &target, ticket.origin.as_ref()),
            policy: ticket.conflict,
            source,
            original,
            file: self.journal.spool().data_path(ticket.id),
            mtime: ticket.mtime,
        };
        if ticket.state == State::Waiting {
            ticket.state = State::Pushing;
            let journal = Arc::clone(&self.journal);
            blocking(move || journal.write(&ticket))
                .await
                .map_err(|e| spool_error(&target, &e))?;
        }
        let moving = Arc::clone(pending);
        let journal = PushJournal::new(Arc::clone(&self.journal), push.id, !first, move |_, _| {
            moving.moved()
        });
        let work = async {
            if !first
                && let Some(pushed) = place.workload.find_pushed(&place.account, &push).await?
            {
                return Ok(pushed);
            }
            place.workload.push(&place.account, &push, &journal).await
        };
        tokio::select! {
            result = work => Ok((result?, place)),
            () = stalled(pending) => Err(RestoreError::temporary(format!(
                "nothing moved for {} minutes", STALLED.as_secs() / 60
            ))),
        }
    }

    /// What the workload makes the item from.
    pub(super) async fn source(
        &self,
        origin: Option<&Origin>,
        place: &Place,
    ) -> Result<(Source, Option<Original>), RestoreError> {
        let file = (Source::File, None);
        let (Some(origin), Some(recogniser)) = (origin, &self.recogniser) else {
            return Ok(file);
        };
        let Some(key) = ItemKey::from_hex(&origin.key) else {
            return Ok(file);
        };
        let (reader, origin) = (Arc::clone(recogniser), origin.clone());
        let record = {
            let (reader, origin) = (Arc::clone(&reader), origin.clone());
            blocking(move || reader.record(&origin)).await
        };
        let record = match origin.workload == place.workload.name() {
            true => record?,
            // A mail below OneDrive is a file; an archived mail below Mail is a mail.
            false => {
                let adopt = |record| place.workload.adopt(&origin.workload, &record);
                match record.ok().and_then(adopt) {
                    Some(record) => record,
                    None => return Ok(file),
                }
            }
        };
        let original = origin.original.is_some().then(|| {
            Original::new(move || {
                let read = reader.original(&origin).map_err(io::Error::other)?;
                read.ok_or_else(|| io::Error::other("the exported original is not there"))
            })
        });
        Ok((Source::Record { record, key }, original))
    }

    async fn confirmed(
        self: &Arc<Self>,
        pending: &Pending,
        ticket: Ticket,
        pushed: Pushed,
        place: &Place,
    ) {
        let written_as = place.path.last().map_or("", String::as_str);
        let folder = &place.path[..place.path.len().saturating_sub(1)];
        self.listings
            .add(&folder_key(place, folder), pushed.entry.clone(), written_as);
        let mut text = String::new();
        if pushed.entry.name != written_as {
            text = format!("as {}", pushed.entry.name);
        }
        for note in &pushed.notes {
            text.push_str(if text.is_empty() { "" } else { "; " });
            text.push_str(note);
        }
        self.log.add(Event::Restored, &ticket.target, &text);
        self.journal.count("restored");
        // Whoever was told of an error and repeats the write is answered with this item.
        let key = (!ticket.queued).then_some(pending.key);
        let name = pushed.entry.name.clone();
        if let Some(key) = key.filter(|_| pending.is_unattended()) {
            self.journal.settle(&key, &name);
        }
        let journal = Arc::clone(&self.journal);
        blocking(move || {
            if let Err(e) = journal.remove(&ticket) {
                tracing::warn!(reason = %e, "cannot remove a ticket that is done; the next start will ask about it");
            }
        })
        .await;
        self.queue.leave(pending, true);
        let was_unattended = pending.is_unattended();
        if pending.end(Ok(pushed))
            && !was_unattended
            && let Some(key) = key
        {
            self.journal.settle(&key, &name);
        }
    }

    async fn refused(
        self: &Arc<Self>,
        pending: &Pending,
        mut ticket: Ticket,
        e: RestoreError,
        again: bool,
    ) {
        let event = if e.code == Code::Exists {
            Event::Exists
        } else {
            Event::Failed
        };
        let text = if again && !ticket.queued {
            format!(
                "{} (this push was interrupted before; it is given up)",
                e.reason
            )
        } else {
            e.reason.clone()
        };
        self.log.add(event, &ticket.target, &text);
        self.journal.count("refused");
        let journal = Arc::clone(&self.journal);
        let (errno, reason) = (e.errno, e.reason.clone());
        blocking(move || {
            let done = if ticket.queued {
                ticket.state = State::Failed {
                    errno,
                    reason,
                    at: now(),
                };
                journal.write(&ticket)
            } else {
                journal.remove(&ticket)
            };
            if let Err(e) = done {
                tracing::warn!(reason = %e, "cannot write down that a restore was refused");
            }
        })
        .await;
        self.queue.leave(pending, false);
        pending.end(Err(e));
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

async fn stalled(pending: &Pending) {
    loop {
        let silence = pending.silence();
        match STALLED.checked_sub(silence) {
            Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
            _ => return,
        }
    }
}

fn hash_file(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut file = std::fs::File::open(path)?;
    let mut buf = vec![0; 256 << 10];
    loop {
        match io::Read::read(&mut file, &mut buf) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(n) => hasher.update(&buf[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
    }
}

/// The name of the item to be made: one that only shows something of another service gets a name that
/// is taken where it goes.
pub(super) fn name_at(place: &Place, target: &TargetPath, origin: Option<&Origin>) -> String {
    let name = target.name().unwrap_or_default();
    match origin {
        Some(origin) if origin.workload != place.workload.name() => place.workload.name_for(name),
        _ => name.to_owned(),
    }
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
