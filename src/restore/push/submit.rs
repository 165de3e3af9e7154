//! How a push begins: the bytes are made durable, hashed and recognised, a ticket makes the push durable,
//! and the queue has it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Pusher, blocking, key_of, spool_error};
use crate::local::now;
use crate::restore::errno::{Code, RestoreError};
use crate::restore::live::lookup;
use crate::restore::log::Event;
use crate::restore::place::Place;
use crate::restore::queue::Pending;
use crate::restore::spool::{Origin, SpoolFile, State, Ticket};
use crate::restore::target::TargetPath;
use crate::workload::Pushed;

/// A push that was handed over.
pub struct Submitted {
    /// Its ticket's.
    pub id: Uuid,
    state: SubmittedState,
}

enum SubmittedState {
    /// On its way.
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
    /// Takes a complete file: durable on return, and on its way.
    pub(in crate::restore) async fn submit(
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
        let ticket = self.ticket(&place, &file, target, hash, origin)?;
        let queued = ticket.queued;
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
            self.begin(file, ticket, &pending, target).await?;
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

    /// What is written down of a push before anything else is done for it.
    fn ticket(
        &self,
        place: &Place,
        file: &SpoolFile,
        target: &TargetPath,
        hash: blake3::Hash,
        origin: Option<Origin>,
    ) -> Result<Ticket, RestoreError> {
        let queued = target.policy().queued;
        Ok(Ticket {
            version: Ticket::VERSION,
            id: file.id(),
            target: target.to_string(),
            account: place.account.id.clone(),
            workload: place.workload.name().to_owned(),
            conflict: target.policy().conflict.unwrap_or(self.conflict),
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
        })
    }

    /// Makes a push durable, and has it pushed.
    async fn begin(
        &self,
        file: SpoolFile,
        ticket: Ticket,
        pending: &Arc<Pending>,
        target: &TargetPath,
    ) -> Result<(), RestoreError> {
        let journal = Arc::clone(&self.journal);
        let ticket = Arc::new(ticket);
        let written = Arc::clone(&ticket);
        if let Err(e) = blocking(move || journal.write(&written)).await {
            let e = spool_error(target, &e);
            pending.end(Err(e.clone()));
            self.queue.leave(pending, false);
            return Err(e);
        }
        file.keep();
        if ticket.queued {
            self.log.add(Event::Queued, &ticket.target, "");
        }
        self.queue.enqueue(pending, !ticket.queued);
        Ok(())
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
    pub(in crate::restore) async fn recognise(
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
