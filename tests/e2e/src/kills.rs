//! `kill -9` in the middle of a command, at moments that are spread over its whole run.
//!
//! `TENANTFS_CRASH_SEED` (default 1) chooses the moments, `TENANTFS_CRASH_ROUNDS` how many kills of each
//! kind there are.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::text;

/// Steps of this part of a whole fall everywhere evenly, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_895;
/// How far behind the end, as it is known, a moment may be: runs differ.
const LATE: f64 = 1.1;

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How many kills of each kind there are.
pub fn rounds(default: u64) -> u64 {
    setting("TENANTFS_CRASH_ROUNDS", default)
}

/// The dice of a kind of kills.
pub fn dice(kind: u64) -> StdRng {
    StdRng::seed_from_u64(setting("TENANTFS_CRASH_SEED", 1) * 1000 + kind)
}

/// Kills one command again and again.
pub struct Killer {
    /// How long the command takes when nobody kills it, as far as that is known.
    whole: Duration,
    /// Where the last moment was, as a part of it.
    at: f64,
    /// How often it was killed on its way.
    pub kills: u64,
}

impl Killer {
    /// `whole` is how long the command takes.
    pub fn new(dice: &mut StdRng, whole: Duration) -> Self {
        Self {
            whole,
            at: dice.random_range(0.0..1.0),
            kills: 0,
        }
    }

    /// Starts a command and kills it at the next moment. False: it had ended before, and well.
    pub fn strike(&mut self, mut command: Command) -> Result<bool> {
        self.at = (self.at + GOLDEN).fract();
        let moment = self.whole.mul_f64(self.at * LATE);
        let begin = Instant::now();
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = quiet.stderr(Stdio::piped()).spawn()?;
        while begin.elapsed() < moment && child.try_wait()?.is_none() {
            let left = moment.saturating_sub(begin.elapsed());
            std::thread::sleep(left.min(Duration::from_millis(2)));
        }
        child.kill()?;
        let ended = child.wait_with_output()?;
        let killed = ended.status.code().is_none();
        ensure!(
            killed || matches!(ended.status.code(), Some(0 | 3)),
            "{command:?}: {}",
            text(&ended.stderr)
        );
        // It took less time than the others, or takes more.
        if !killed || moment > self.whole {
            self.whole = begin.elapsed();
        }
        self.kills += u64::from(killed);
        Ok(killed)
    }
}

/// How long a command takes when nobody kills it.
pub fn timed(mut command: Command) -> Result<Duration> {
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", text(&output.stderr));
    Ok(begin.elapsed())
}
