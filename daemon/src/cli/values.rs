//! Values with units, as they are typed: sizes, shares, spans and moments of time.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};

use tenantfs::repo::Unused;

use crate::schedule::parse_period;

/// A path, from where the program was started: what detaches goes on in `/`.
pub fn absolute_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// Bytes, with K, M, G or T for powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write 500M or 2G");
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        Some((at, 'T' | 't')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// A part of what is used, with `%`, or bytes.
pub fn unused(text: &str) -> Result<Unused, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return size(text).map(Unused::Bytes);
    };
    match percent.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Unused::Percent(percent)),
        _ => Err(format!("{text:?} is not between 0% and 100%")),
    }
}

/// A time span, or `0`.
pub fn grace(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        text => parse_period("grace", text),
    }
}

/// A moment, or the first second of a day; seconds since 1970, UTC.
pub fn since(text: &str) -> Result<i64, String> {
    moment(text, 0)
}

/// A moment, or the last second of a day; seconds since 1970, UTC.
pub fn until(text: &str) -> Result<i64, String> {
    moment(text, 86_399)
}

/// Seconds since 1970; a day counts from its first second.
fn moment(text: &str, into_day: i64) -> Result<i64, String> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_second());
    }
    let day = text.parse::<jiff::civil::Date>();
    let start = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    match start {
        Ok(start) => Ok(start.timestamp().as_second() + into_day),
        Err(_) => Err(format!(
            "{text:?} is not a day (2026-11-22) or moment (2026-11-22T10:00:00Z)"
        )),
    }
}

/// A number of per cent above 0 and up to 100, with or without the sign.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    match number {
        Ok(number) if number > 0.0 && number <= 100.0 => Ok(number),
        _ => Err("give a share such as 5%, above 0% and at most 100%".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parts_and_moments_are_read() {
        assert_eq!(size("2G"), Ok(2 << 30));
        assert_eq!(size("100"), Ok(100));
        assert_eq!(unused("2.5%"), Ok(Unused::Percent(2.5)));
        assert_eq!(unused("1M"), Ok(Unused::Bytes(1 << 20)));
        for wrong in ["", "G", "-1", "99999999999T", "1é"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(unused("101%").is_err());
        assert_eq!(grace("0"), Ok(Duration::ZERO));
        assert_eq!(grace("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(since("1970-01-02"), Ok(86_400));
        assert_eq!(until("1970-01-02"), Ok(2 * 86_400 - 1));
        assert_eq!(until("1970-01-02T00:00:10Z"), Ok(86_410));
        assert!(since("yesterday").is_err());
    }
}
