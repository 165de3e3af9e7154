//! Who is dead in an object store: what others keep rewriting, and was not seen to change.
//!
//! A bucket frees nothing when a process dies, and clocks of two machines need not agree. So whoever lives
//! rewrites its file now and then with a number that counts up, and is dead for somebody only after
//! that one *saw* the file unchanged, by its own monotonic clock, for longer than any living process
//! would leave it so. Nothing is concluded from the age of a file.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// How often a living process rewrites its files, and when it counts as dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Between two rewrites.
    pub refresh: Duration,
    /// How long a file must be seen unchanged.
    pub dead: Duration,
    /// How long two that write the same file at once wait before they look who was last.
    pub settle: Duration,
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

/// A moment, for telling whether this process did nothing for too long since. The monotonic clock of a
/// machine that slept slept as well, so the wall clock counts too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Instant, SystemTime);

impl Moment {
    pub(crate) fn now() -> Self {
        Moment(Instant::now(), SystemTime::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        let Moment(monotonic, wall) = self;
        monotonic.elapsed().max(wall.elapsed().unwrap_or_default())
    }
}

/// What this process saw of files that others rewrite.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) timing: Timing,
    /// By name: a hash of the content, and since when it is the same.
    seen: Mutex<HashMap<String, (blake3::Hash, Instant)>>,
}

impl Watch {
    #[cfg(test)]
    pub(crate) fn with(timing: Timing) -> Self {
        Watch {
            timing,
            ..Watch::default()
        }
    }

    /// Takes in what a file says now. True when it has said the same for so long that its owner is
    /// dead.
    pub(crate) fn is_dead(&self, file: &str, content: &[u8]) -> bool {
        let hash = blake3::hash(content);
        let now = Instant::now();
        let mut seen = self.seen.lock();
        let (known, since) = seen.entry(file.to_owned()).or_insert((hash, now));
        if *known != hash {
            (*known, *since) = (hash, now);
        }
        now.duration_since(*since) >= self.timing.dead
    }

    /// Forgets files that are not there any more. `is_there` is asked for all that were seen.
    pub(crate) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.seen.lock().retain(|file, _| is_there(file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_a_machine_slept_counts() {
        let hour = Duration::from_secs(3600);
        let before = Moment(Instant::now(), SystemTime::now() - hour);
        assert!(before.elapsed() >= hour);
        // A clock that was set back takes nothing away.
        let ahead = Moment(Instant::now(), SystemTime::now() + hour);
        assert!(ahead.elapsed() < hour);
    }

    #[test]
    fn only_what_was_seen_unchanged_is_dead() {
        let watch = Watch::with(Timing {
            dead: Duration::from_millis(50),
            ..Timing::default()
        });
        assert!(!watch.is_dead("a", b"1"), "seen for the first time");
        std::thread::sleep(watch.timing.dead);
        assert!(watch.is_dead("a", b"1"));
        assert!(!watch.is_dead("a", b"2"), "it beats");
        assert!(!watch.is_dead("b", b"1"));
        std::thread::sleep(watch.timing.dead);
        watch.retain(|file| file == "b");
        assert!(watch.is_dead("b", b"1"));
        assert!(!watch.is_dead("a", b"2"), "it was away meanwhile");
    }
}
