//! How long to wait, and when to stop trying.

use std::time::Duration;

/// The patience of a client.
#[derive(Clone, Debug)]
pub struct Patience {
    /// First wait without a `Retry-After`; doubles each time, with jitter.
    pub base: Duration,
    /// Longest wait without a `Retry-After`.
    pub cap: Duration,
    /// Attempts at a request that the service fails (500, 502, 503, 504).
    pub attempts: u32,
    /// Attempts at a request whose connection breaks.
    pub network_attempts: u32,
    /// Attempts at a request that is throttled.
    pub throttled_attempts: u32,
    /// All waiting for one request together.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            attempts: 4,
            network_attempts: 6,
            throttled_attempts: 10,
            total: Duration::from_secs(900),
        }
    }
}

impl Patience {
    /// The wait before attempt number `attempt` (the first repetition is 1): half of it is fixed,
    /// half is drawn, so that many waiters do not come back at once.
    pub fn backoff(&self, attempt: u32) -> Duration {
        let full = self
            .base
            .saturating_mul(1 << attempt.saturating_sub(1).min(16))
            .min(self.cap);
        full.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

/// Reads `Retry-After`: whole seconds, decimals (Graph sends `2.128`), or an HTTP date (RFC 9110,
/// section 10.2.3), relative to `now` in Unix seconds.
pub fn retry_after(header: &str, now: i64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        // Anything beyond a day is a mistake, and infinities are not waited for.
        return (seconds.is_finite() && seconds >= 0.0)
            .then(|| Duration::from_secs_f64(seconds.min(86_400.0)));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(header)
        .ok()?;
    let seconds = date.as_second().saturating_sub(now).clamp(0, 86_400);
    Some(Duration::from_secs(seconds as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_three_forms() {
        assert_eq!(retry_after("7", 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(" 2.128 ", 0), Some(Duration::from_millis(2128)));
        let now = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after(date, now + 100), Some(Duration::ZERO));
        for bad in ["", "soon", "-1", "inf", "NaN"] {
            assert_eq!(retry_after(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn waits_grow_and_stay_below_the_cap() {
        let p = Patience::default();
        assert!(p.backoff(1) <= p.base && p.backoff(1) >= p.base / 2);
        assert!(p.backoff(40) <= p.cap);
    }

    proptest! {
        #[test]
        fn never_panics(s in ".*") {
            let _ = retry_after(&s, 0);
        }
    }
}
