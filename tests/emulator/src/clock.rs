//! The emulator's own clock: the machine's, plus what `/_emulator/clock` has advanced it by.
//!
//! Nothing in the tenant reads the machine's clock directly, so a test can let a token expire or a
//! throttling window pass without waiting.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// Milliseconds since 1970, UTC.
    pub fn now_ms(&self) -> i64 {
        let real = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as i64);
        real + self.offset_ms.load(Ordering::Relaxed)
    }

    /// Seconds since 1970, UTC.
    pub fn now(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// Moves the tenant's time forward (or back) from now on.
    pub fn advance(&self, seconds: i64) {
        self.offset_ms
            .fetch_add(seconds.saturating_mul(1000), Ordering::Relaxed);
    }
}

/// `2026-03-01T09:00:05Z`: whole seconds, as Exchange and OneDrive write times.
pub fn rfc3339(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(t) => t.to_string(),
        Err(_) => "0001-01-01T00:00:00Z".to_owned(),
    }
}

/// Seconds since 1970 of an RFC 3339 time with any offset and any number of decimals.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|t| t.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_with_z() {
        assert_eq!(rfc3339(1_772_355_605), "2026-03-01T09:00:05Z");
        assert_eq!(
            parse_rfc3339("2026-03-01T10:00:05.1234567+01:00"),
            Some(1_772_355_605)
        );
        let clock = Clock::default();
        let before = clock.now();
        clock.advance(3600);
        assert!(clock.now() >= before + 3600);
    }
}
