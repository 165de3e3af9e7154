//! How far each push is, so that a crash at any moment leads to each item restored exactly once.
//!
//! The truth is in two places: the ticket in the spool (what to push, and whether a request may have
//! gone out) and the marker that a push leaves on the item in Microsoft 365. What is kept in
//! [`LocalState`] on top of that makes things quicker and is rebuilt without loss:
//!
//! | key | value | when lost |
//! | --- | --- | --- |
//! | `t` + created + id | a line of the queue | rebuilt from the tickets |
//! | `p` + id + piece | what a workload saved between requests (an upload's URL, a made item's id) | the workload looks for its marker |
//! | `r` + key | an interrupted push that was completed afterwards | a repeated write is pushed like any other |

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::spool::{Spool, State, Ticket};
use crate::local::{LocalError, LocalState, MAX_VALUE, Table, now};

/// A refusal that nobody took back stays listed this long, seconds.
const KEEP_FAILED: i64 = 7 * 24 * 3600;
/// A completed push answers a repeated write this long, seconds.
const KEEP_SETTLED: i64 = 24 * 3600;
/// Longest reason in a line of the queue, bytes.
const MAX_REASON: usize = 1500;
/// Most pieces of a saved state.
const MAX_PIECES: usize = 32;

/// One line of `restore/.queue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueItem {
    /// The push.
    pub id: String,
    /// Where to, with its policy.
    pub target: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, Unix seconds.
    pub created: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// How far it is.
    pub status: QueueStatus,
    /// Why it was not done the last time.
    pub reason: Option<String>,
}

/// How far a line of the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueStatus {
    /// Not begun.
    Waiting,
    /// On its way.
    Pushing,
    /// Will be tried again.
    Retrying,
    /// Refused for good.
    Failed,
}

impl QueueItem {
    fn of(ticket: &Ticket) -> QueueItem {
        let (status, reason) = match &ticket.state {
            State::Waiting => (QueueStatus::Waiting, None),
            State::Pushing => (QueueStatus::Pushing, None),
            State::Failed { reason, .. } => (QueueStatus::Failed, Some(reason.clone())),
        };
        QueueItem {
            id: ticket.id.to_string(),
            target: ticket.target.clone(),
            size: ticket.size,
            created: ticket.created,
            attempts: 0,
            status,
            reason,
        }
    }
}

/// The journal of one service.
pub struct Journal {
    spool: Arc<Spool>,
    state: LocalState,
}

impl Journal {
    /// Takes the tickets that the spool has, drops those whose refusal is old, and rebuilds the queue's
    /// lines from the rest. Returns what is still to be done, oldest first.
    pub fn open(
        spool: Arc<Spool>,
        state: LocalState,
        tickets: Vec<Ticket>,
    ) -> io::Result<(Journal, Vec<Ticket>)> {
        let journal = Journal { spool, state };
        journal.sweep(&tickets);
        let mut open = Vec::new();
        for ticket in tickets {
            match &ticket.state {
                State::Failed { at, .. } if at + KEEP_FAILED < now() => {
                    journal.spool.remove(ticket.id)?;
                    continue;
                }
                State::Failed { .. } => journal.note(&ticket, |_| {}),
                State::Waiting | State::Pushing => {
                    journal.note(&ticket, |_| {});
                    open.push(ticket);
                }
            }
        }
        Ok((journal, open))
    }

    /// Removes every row that no ticket backs.
    fn sweep(&self, tickets: &[Ticket]) {
        let known: std::collections::HashSet<Uuid> = tickets.iter().map(|t| t.id).collect();
        let rows = match self.state.all(Table::Journal) {
            Ok(rows) => rows,
            Err(e) => return complain(&e),
        };
        let dead = rows.into_iter().filter_map(|(key, value)| {
            let dead = match key.first() {
                Some(b'p') => !id_at(&key, 1).is_some_and(|id| known.contains(&id)),
                Some(b'r') => !serde_json::from_slice::<Settled>(&value)
                    .is_ok_and(|s| s.at + KEEP_SETTLED > now()),
                // Lines are written anew.
                _ => true,
            };
            dead.then_some((key, None))
        });
        if let Err(e) = self.state.apply(Table::Journal, dead.collect::<Vec<_>>()) {
            complain(&e);
        }
    }

    /// The spool.
    pub fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// Makes a ticket's state durable.
    pub fn write(&self, ticket: &Ticket) -> io::Result<()> {
        self.spool.write(ticket)?;
        let fresh = QueueItem::of(ticket);
        self.note(ticket, |line| {
            line.status = fresh.status;
            line.reason.clone_from(&fresh.reason);
        });
        Ok(())
    }

    /// Says in the queue that a push did not work now, and why.
    pub fn note_retry(&self, ticket: &Ticket, reason: &str) {
        self.note(ticket, |line| {
            line.status = QueueStatus::Retrying;
            line.attempts = line.attempts.saturating_add(1);
            let mut reason = reason.to_owned();
            while reason.len() > MAX_REASON {
                reason.pop();
            }
            line.reason = Some(reason);
        });
    }

    fn note(&self, ticket: &Ticket, change: impl FnOnce(&mut QueueItem)) {
        let key = line_key(ticket);
        let mut line = self
            .state
            .get_json::<QueueItem>(Table::Journal, &key)
            .ok()
            .flatten()
            .unwrap_or_else(|| QueueItem::of(ticket));
        change(&mut line);
        match self.state.put_json(Table::Journal, &key, &line) {
            Ok(()) => {}
            // Names that are too long for a line are still in the ticket.
            Err(LocalError::TooLarge { .. }) => {
                line.reason = None;
                line.target = line
                    .target
                    .chars()
                    .rev()
                    .take(500)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect();
                if let Err(e) = self.state.put_json(Table::Journal, &key, &line) {
                    complain(&e);
                }
            }
            Err(e) => complain(&e),
        }
    }

    /// The push is over: nothing of it stays.
    pub fn remove(&self, ticket: &Ticket) -> io::Result<()> {
        self.spool.remove(ticket.id)?;
        let pieces = (0..MAX_PIECES).map(|i| (piece_key(ticket.id, i), None));
        let rows = pieces.chain([(line_key(ticket), None)]);
        if let Err(e) = self.state.apply(Table::Journal, rows) {
            complain(&e);
        }
        Ok(())
    }

    /// The lines of the queue, oldest first, at most `limit`.
    pub fn queue(&self, limit: usize) -> Vec<QueueItem> {
        let rows = self.state.all(Table::Journal).unwrap_or_default();
        let lines = rows
            .into_iter()
            .filter(|(key, _)| key.first() == Some(&b't'));
        lines
            .filter_map(|(_, value)| serde_json::from_slice(&value).ok())
            .take(limit)
            .collect()
    }

    /// Remembers that a push whose writer had been told of an error is complete after all.
    pub fn settle(&self, key: &[u8; 32], name: &str) {
        let settled = Settled {
            name: name.to_owned(),
            at: now(),
        };
        if let Err(e) = self
            .state
            .put_json(Table::Journal, &settled_key(key), &settled)
        {
            complain(&e);
        }
    }

    /// Whether such a push was completed lately: then the name its item has. Asked once: the answer is for
    /// the one repetition of the write that failed.
    pub fn take_settled(&self, key: &[u8; 32]) -> Option<String> {
        let key = settled_key(key);
        let settled = self
            .state
            .get_json::<Settled>(Table::Journal, &key)
            .ok()??;
        if let Err(e) = self.state.remove(Table::Journal, &key) {
            complain(&e);
        }
        (settled.at + KEEP_SETTLED > now()).then_some(settled.name)
    }

    /// Adds one to a counter. Counters may be lost; restores may not wait for them.
    pub fn count(&self, name: &str) {
        if let Err(e) = self.state.count(name, 1) {
            complain(&e);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Settled {
    name: String,
    at: i64,
}

fn complain(e: &LocalError) {
    tracing::warn!(reason = %e, "the restore journal's local state");
}

fn line_key(ticket: &Ticket) -> Vec<u8> {
    // Times before 1970 don't happen; they would sort last.
    let mut key = vec![b't'];
    key.extend_from_slice(&ticket.created.to_be_bytes());
    key.extend_from_slice(ticket.id.as_bytes());
    key
}

fn piece_key(id: Uuid, piece: usize) -> Vec<u8> {
    let mut key = vec![b'p'];
    key.extend_from_slice(id.as_bytes());
    key.push(piece as u8);
    key
}

fn settled_key(key: &[u8; 32]) -> Vec<u8> {
    [&b"r"[..], &key[..]].concat()
}

fn id_at(key: &[u8], at: usize) -> Option<Uuid> {
    Uuid::from_slice(key.get(at..at + 16)?).ok()
}

/// What one push may keep between its requests.
pub struct PushJournal {
    journal: Arc<Journal>,
    id: Uuid,
    repeated: bool,
    progressed: Box<dyn Fn(u64, u64) + Send + Sync>,
}

impl PushJournal {
    /// For the push `id`, `repeated` if it was begun before; `progressed` is told of every step and of bytes (sent, of how many).
    pub fn new(
        journal: Arc<Journal>,
        id: Uuid,
        repeated: bool,
        progressed: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> PushJournal {
        PushJournal {
            journal,
            id,
            repeated,
            progressed: Box::new(progressed),
        }
    }
}

impl crate::workload::Journal for PushJournal {
    fn load(&self) -> Option<String> {
        let mut bytes = Vec::new();
        for i in 0..MAX_PIECES {
            match self
                .journal
                .state
                .get(Table::Journal, &piece_key(self.id, i))
            {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => break,
                Err(e) => {
                    complain(&e);
                    return None;
                }
            }
        }
        if bytes.is_empty() {
            return None;
        }
        String::from_utf8(bytes).ok()
    }

    fn save(&self, state: &str) -> io::Result<()> {
        let pieces: Vec<&[u8]> = state.as_bytes().chunks(MAX_VALUE).collect();
        if pieces.len() >= MAX_PIECES {
            return Err(io::Error::other(format!(
                "a push wants to keep {} bytes between its requests, too many",
                state.len()
            )));
        }
        // One batch, so all of it or nothing; the pieces of a longer state before are removed.
        let rows = (0..MAX_PIECES).map(|i| {
            (
                piece_key(self.id, i),
                pieces.get(i).map(|piece| piece.to_vec()),
            )
        });
        let state = &self.journal.state;
        let saved = state
            .apply(Table::Journal, rows)
            .and_then(|()| state.flush());
        if let Err(e) = saved {
            // Without it the push goes on; after a crash its marker is looked for.
            complain(&e);
        }
        (self.progressed)(0, 0);
        Ok(())
    }

    fn repeated(&self) -> bool {
        self.repeated
    }

    fn progress(&self, sent: u64, total: u64) {
        (self.progressed)(sent, total);
    }
}

/// How long to wait before a push is tried for the `n`th time again.
pub fn backoff(n: u32) -> Duration {
    Duration::from_secs(5 << n.min(7)).min(Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use super::super::spool::tests::ticket;
    use super::*;
    use crate::workload::Journal as _;

    fn open(dir: &std::path::Path) -> (Journal, Vec<Ticket>) {
        let state = LocalState::open(&dir.join("state")).unwrap();
        let (spool, tickets) = Spool::open(&dir.join("spool")).unwrap();
        Journal::open(spool, state, tickets).unwrap()
    }

    #[test]
    fn the_queue_is_rebuilt_from_the_spool_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut pushing = ticket("bob/Mail/b.eml");
        pushing.state = State::Pushing;
        pushing.created = 2;
        let waiting = ticket("bob/Mail/a.eml");
        let mut failed = ticket("bob/Mail/c.eml");
        failed.state = State::Failed {
            errno: 13,
            reason: "denied".to_owned(),
            at: now(),
        };
        failed.created = 3;
        let mut old = ticket("bob/Mail/d.eml");
        old.state = State::Failed {
            errno: 13,
            reason: "denied".to_owned(),
            at: 5,
        };
        {
            let (journal, _) = open(dir.path());
            for t in [&pushing, &waiting, &failed, &old] {
                journal.write(t).unwrap();
            }
            journal.note_retry(&pushing, "busy");
            assert_eq!(journal.queue(9).len(), 4);
        }
        for damage in [false, true] {
            if damage {
                std::fs::remove_dir_all(dir.path().join("state")).unwrap();
            }
            let (journal, open) = open(dir.path());
            assert_eq!(open, [waiting.clone(), pushing.clone()]);
            let lines = journal.queue(9);
            let states: Vec<_> = lines.iter().map(|l| l.status).collect();
            assert_eq!(
                states,
                [
                    QueueStatus::Waiting,
                    QueueStatus::Pushing,
                    QueueStatus::Failed
                ]
            );
            assert_eq!(lines[2].reason.as_deref(), Some("denied"));
        }
        let (journal, _) = open(dir.path());
        for t in [&pushing, &waiting, &failed] {
            journal.remove(t).unwrap();
        }
        assert!(journal.queue(9).is_empty());
        assert!(journal.state.all(Table::Journal).unwrap().is_empty());
    }

    #[test]
    fn long_states_of_a_push_are_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path());
        let t = ticket("bob/Mail/a.eml");
        journal.write(&t).unwrap();
        let journal = Arc::new(journal);
        let push = PushJournal::new(Arc::clone(&journal), t.id, false, |_, _| {});
        assert_eq!(push.load(), None);
        let long = "x".repeat(MAX_VALUE * 3 + 5);
        push.save(&long).unwrap();
        assert_eq!(push.load().unwrap(), long);
        push.save("short").unwrap();
        assert_eq!(push.load().unwrap(), "short");
        assert!(push.save(&"x".repeat(MAX_VALUE * MAX_PIECES)).is_err());
        journal.remove(&t).unwrap();
        assert_eq!(push.load(), None);
    }

    #[test]
    fn a_settled_push_answers_once() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path());
        let key = [7; 32];
        assert_eq!(journal.take_settled(&key), None);
        journal.settle(&key, "a.eml");
        assert_eq!(journal.take_settled(&key).as_deref(), Some("a.eml"));
        assert_eq!(journal.take_settled(&key), None);
    }
}
