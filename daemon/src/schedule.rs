//! When the daemon captures: every so often, or at times of day.

use std::time::Duration;

use jiff::civil::Time;
use jiff::{Span, SpanRelativeTo, Timestamp, ToSpan, tz::TimeZone};
use serde::{Deserialize, Deserializer};

/// A schedule. Times of day are UTC, so that daylight saving neither skips nor repeats one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// A cycle starts this long after the last one started.
    Every(Duration),
    /// Cycles start at these times of day, sorted.
    At(Vec<Time>),
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Every(Duration::from_secs(3600))
    }
}

impl Schedule {
    /// The first start after `now`, given when the last cycle started (`None`: never, so at once).
    pub fn next(&self, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
        match (self, last) {
            (_, None) => now,
            (Self::Every(period), Some(last)) => {
                let seconds = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
                let due = last.as_second().saturating_add(seconds);
                Timestamp::from_second(due).map_or(Timestamp::MAX, |due| due.max(now))
            }
            (Self::At(times), Some(last)) => next_time_of_day(times, last).max(now),
        }
    }
}

/// The first of `times` that comes after `last`, today or tomorrow.
fn next_time_of_day(times: &[Time], last: Timestamp) -> Timestamp {
    let date = last.to_zoned(TimeZone::UTC).date();
    let days = [Some(date), date.checked_add(1.day()).ok()];
    days.into_iter()
        .flatten()
        .flat_map(|day| times.iter().map(move |time| day.to_datetime(*time)))
        .filter_map(|due| due.to_zoned(TimeZone::UTC).ok())
        .map(|due| due.timestamp())
        .find(|due| *due > last)
        .unwrap_or(Timestamp::MAX)
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Every(String),
            At(Vec<String>),
        }
        let written = Written::deserialize(input)
            .map_err(|_| serde::de::Error::custom("a schedule is \"1h\" or [\"02:00\", ...]"))?;
        match written {
            Written::Every(text) => parse_period("schedule", &text).map(Self::Every),
            Written::At(texts) => parse_times(&texts).map(Self::At),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// A time span such as `30m` or `7d`, of which a day has 24 hours; `key` is what it is given for.
pub fn parse_period(key: &str, text: &str) -> Result<Duration, String> {
    let period = text
        .parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .map_err(|e| format!("{key} {text:?} is not a time span: {e}"))?;
    let period =
        Duration::try_from(period).map_err(|_| format!("{key} {text:?} goes back in time"))?;
    if period < Duration::from_secs(1) {
        return Err(format!("{key} {text:?} is shorter than a second"));
    }
    Ok(period)
}

fn parse_times(texts: &[String]) -> Result<Vec<Time>, String> {
    if texts.is_empty() {
        return Err("a schedule of no times never captures anything".into());
    }
    let mut times = texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|e| format!("schedule {text:?} is not a time of day: {e}"))
        })
        .collect::<Result<Vec<Time>, String>>()?;
    times.sort();
    times.dedup();
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Wrapper {
        schedule: Schedule,
    }

    fn parse(text: &str) -> Result<Schedule, toml::de::Error> {
        toml::from_str::<Wrapper>(&format!("schedule = {text}")).map(|w| w.schedule)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_counts_from_the_last_start() {
        let schedule = parse("\"30m\"").unwrap();
        let last = at("2026-11-22T10:00:00Z");
        assert_eq!(schedule.next(Some(last), last), at("2026-11-22T10:30:00Z"));
        let late = at("2026-11-22T12:00:00Z");
        assert_eq!(schedule.next(Some(last), late), late);
        assert_eq!(schedule.next(None, late), late);
        let day = Duration::from_secs(86_400);
        assert_eq!(parse("\"1d\"").unwrap(), Schedule::Every(day));
    }

    #[test]
    fn times_of_day_go_over_midnight() {
        let schedule = parse("[\"14:00\", \"02:00\"]").unwrap();
        let noon = at("2026-11-22T12:00:00Z");
        assert_eq!(schedule.next(Some(noon), noon), at("2026-11-22T14:00:00Z"));
        let evening = at("2026-11-22T14:00:00Z");
        assert_eq!(
            schedule.next(Some(evening), evening),
            at("2026-11-23T02:00:00Z")
        );
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for text in ["\"soon\"", "[]", "[\"25:00\"]", "\"0s\"", "7", "\"-1h\""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
