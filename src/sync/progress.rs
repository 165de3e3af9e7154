//! How far a cycle is, and how to end it early. Shared by the cycle and whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Counters of a running cycle. They only grow; reading them costs nothing.
#[derive(Debug, Default)]
pub struct Progress {
    /// Accounts in scope; 0 until they are known.
    pub accounts_total: AtomicU64,
    /// Accounts that are over, captured or not.
    pub accounts_done: AtomicU64,
    /// Items that were told about, whether or not they had changed.
    pub items: AtomicU64,
    /// Items whose content was fetched.
    pub fetched: AtomicU64,
    /// Bytes of content fetched.
    pub bytes: AtomicU64,
    /// Items that failed.
    pub failed: AtomicU64,
    current: Mutex<String>,
    stop: CancellationToken,
}

/// The counters at one moment, for a status answer.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ProgressNow {
    /// As [`Progress::accounts_total`].
    pub accounts_total: u64,
    /// As [`Progress::accounts_done`].
    pub accounts_done: u64,
    /// As [`Progress::items`].
    pub items: u64,
    /// As [`Progress::fetched`].
    pub fetched: u64,
    /// As [`Progress::bytes`].
    pub bytes: u64,
    /// As [`Progress::failed`].
    pub failed: u64,
    /// What is being worked on, for a person.
    pub current: String,
}

impl Progress {
    /// The counters as they are.
    pub fn now(&self) -> ProgressNow {
        ProgressNow {
            accounts_total: self.accounts_total.load(Relaxed),
            accounts_done: self.accounts_done.load(Relaxed),
            items: self.items.load(Relaxed),
            fetched: self.fetched.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            failed: self.failed.load(Relaxed),
            current: self.current.lock().clone(),
        }
    }

    /// Asks the cycle to end soon: it stops at the next page, keeps what it has as a checkpoint,
    /// and returns with [`CycleOutcome::cancelled`](super::CycleOutcome::cancelled).
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// True once the cycle was asked to end.
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits for the future, or for the cancellation: a request may wait long for its turn.
    pub(super) async fn unless_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            output = future => Some(output),
            () = self.stop.cancelled() => None,
        }
    }

    pub(super) fn token(&self) -> &CancellationToken {
        &self.stop
    }

    pub(super) fn set_current(&self, text: String) {
        *self.current.lock() = text;
    }

    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }
}
