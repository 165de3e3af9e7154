//! One attempt, and what follows from it: confirmed, refused for good, or set back to be tried again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Pusher, blocking, spool_error};
use crate::local::now;
use crate::restore::errno::{Code, RestoreError};
use crate::restore::journal::PushJournal;
use crate::restore::live::folder_key;
use crate::restore::log::Event;
use crate::restore::place::Place;
use crate::restore::queue::{Next, Pending};
use crate::restore::spool::{Origin, State, Ticket};
use crate::restore::target::TargetPath;
use crate::workload::{ItemKey, Original, Push, Pushed, Source};

/// A push in which nothing moved for so long is broken off, and found out about.
const STALLED: Duration = Duration::from_secs(900);

impl Pusher {
    /// Starts workers for a lane as far as it has work for them.
    pub(in crate::restore) fn work(self: &Arc<Self>, lane: &str) {
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

    /// Pushes, or finds what an earlier attempt pushed.
    async fn run(
        self: &Arc<Self>,
        pending: &Arc<Pending>,
        mut ticket: Ticket,
        first: bool,
    ) -> Result<(Pushed, Place), RestoreError> {
        let target = TargetPath::parse(&ticket.target)?;
        let place = self.place(&ticket, &target).await?;
        let lock = self.lock(&ticket);
        let _guard = lock.lock().await;
        pending.moved();
        self.adopt_folders(&place, &target, ticket.origin.as_ref())
            .await?;
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

    /// Where a ticket goes.
    async fn place(&self, ticket: &Ticket, target: &TargetPath) -> Result<Place, RestoreError> {
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
        Ok(Place {
            account,
            workload,
            path: target.path().to_vec(),
        })
    }

    /// What the workload makes the item from.
    pub(in crate::restore) async fn source(
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

    /// It is there: whoever waits is told, and the ticket goes.
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
        let text = remarks(&pushed, written_as);
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

    /// It will never be there: whoever waits is told, and a queued one is kept as failed.
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
}

/// What the log says beside that an item is restored.
fn remarks(pushed: &Pushed, written_as: &str) -> String {
    let name = &pushed.entry.name;
    let renamed = (name != written_as).then(|| format!("as {name}"));
    let remarks: Vec<String> = renamed.into_iter().chain(pushed.notes.clone()).collect();
    remarks.join("; ")
}

/// Returns when nothing moved for too long.
async fn stalled(pending: &Pending) {
    loop {
        let silence = pending.silence();
        match STALLED.checked_sub(silence) {
            Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
            _ => return,
        }
    }
}

/// The name of the item to be made: one that only shows something of another service gets a name that
/// is taken where it goes.
pub(in crate::restore) fn name_at(
    place: &Place,
    target: &TargetPath,
    origin: Option<&Origin>,
) -> String {
    let name = target.name().unwrap_or_default();
    match origin {
        Some(origin) if origin.workload != place.workload.name() => place.workload.name_for(name),
        _ => name.to_owned(),
    }
}
