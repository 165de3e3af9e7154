//! When things are: Graph's `dateTimeTimeZone`, iCalendar's DATE and DATE-TIME, and between them a
//! local time in a zone.
//!
//! A day of an all-day event is a day wherever one is: it never goes through a zone.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::format::zones::Zone;

/// A moment of an event, as the event has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    Day(Date),
    At { local: DateTime, zone: Zone },
}

impl When {
    /// The day it is on, in its own zone.
    pub fn date(&self) -> Date {
        match self {
            Self::Day(date) => *date,
            Self::At { local, .. } => local.date(),
        }
    }

    /// The instant; a day begins at midnight UTC.
    pub fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Day(date) => Zone::utc().instant(date.at(0, 0, 0, 0)),
            Self::At { local, zone } => zone.instant(*local),
        }
    }

    /// The same time of day on another day.
    pub fn on(&self, date: Date) -> Self {
        match self {
            Self::Day(_) => Self::Day(date),
            Self::At { local, zone } => Self::At {
                local: date.to_datetime(local.time()),
                zone: zone.clone(),
            },
        }
    }

    /// As a value of iCalendar: parameters and text.
    pub fn ics(&self) -> (Vec<(&'static str, &str)>, String) {
        match self {
            Self::Day(date) => (vec![("VALUE", "DATE")], day(*date)),
            Self::At { local, zone } if zone.is_utc() => {
                (Vec::new(), format!("{}Z", clock(*local)))
            }
            Self::At { local, zone } => (vec![("TZID", &zone.name)], clock(*local)),
        }
    }

    /// As Graph wants it. A day is midnight in `day_zone`.
    pub fn graph(&self, day_zone: &Zone) -> Value {
        let (local, zone) = match self {
            Self::Day(date) => (date.at(0, 0, 0, 0), day_zone),
            Self::At { local, zone } => (*local, zone),
        };
        json!({
            "dateTime": format!("{}.0000000", local.strftime("%Y-%m-%dT%H:%M:%S")),
            "timeZone": zone.windows_name(),
        })
    }
}

/// `20260302`.
pub(super) fn day(date: Date) -> String {
    date.strftime("%Y%m%d").to_string()
}

/// `20260302T090000`.
pub(super) fn clock(local: DateTime) -> String {
    local.strftime("%Y%m%dT%H%M%S").to_string()
}

/// An instant of Graph (`2026-03-01T09:00:05.1234567Z`); "never" is none.
pub(super) fn instant(value: &Value) -> Option<Timestamp> {
    let instant: Timestamp = value.as_str()?.parse().ok()?;
    (instant > Timestamp::from_second(-60_000_000_000).ok()?).then_some(instant)
}

/// `20260301T090005Z`.
pub(super) fn stamp(instant: Timestamp) -> String {
    format!("{}Z", clock(Zone::utc().local(instant)))
}

/// A `dateTimeTimeZone` as local time in `zone`.
pub(super) fn local(value: &Value, zone: &Zone) -> Option<DateTime> {
    let told: DateTime = value["dateTime"]
        .as_str()?
        .trim_end_matches('Z')
        .parse()
        .ok()?;
    let told = told.round(jiff::Unit::Second).ok()?;
    let told_in = value["timeZone"]
        .as_str()
        .and_then(Zone::find)
        .unwrap_or_else(Zone::utc);
    if told_in == *zone {
        return Some(told);
    }
    Some(zone.local(told_in.instant(told)?))
}

/// The day of a `dateTimeTimeZone` that belongs to an all-day event. Graph tells such days at
/// midnight, as they are; what is not at midnight was moved through a zone, and is moved back.
pub(super) fn all_day(value: &Value, zone: &Zone) -> Option<Date> {
    let told: DateTime = value["dateTime"]
        .as_str()?
        .trim_end_matches('Z')
        .parse()
        .ok()?;
    if told.time() == Time::midnight() {
        return Some(told.date());
    }
    local(value, zone).map(|local| local.date())
}

/// Where an exception stood in its series: Graph tells an instant in UTC.
pub(super) fn original(value: &Value, all_day: bool, zone: &Zone) -> Option<When> {
    let instant: Timestamp = value.as_str()?.parse().ok()?;
    let utc = Zone::utc().local(instant);
    Some(match all_day {
        true if utc.time() == Time::midnight() => When::Day(utc.date()),
        true => When::Day(zone.local(instant).date()),
        false => When::At {
            local: zone.local(instant),
            zone: zone.clone(),
        },
    })
}

/// A DATE of iCalendar.
pub(super) fn parse_day(text: &str) -> Option<Date> {
    let text = text.trim();
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (month, day) = (number(4..6)?, number(6..8)?);
    Date::new(
        number(0..4)?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    )
    .ok()
}

/// A DATE-TIME of iCalendar, and whether it is in UTC.
pub(super) fn parse_clock(text: &str) -> Option<(DateTime, bool)> {
    let text = text.trim();
    let (text, utc) = match text.strip_suffix(['Z', 'z']) {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (date, time) = text.split_once(['T', 't'])?;
    if time.len() != 6 || !time.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i8>().ok();
    // A leap second is the second before it (RFC 5545 section 3.3.12).
    let second = number(4..6)?.min(59);
    let time = Time::new(number(0..2)?, number(2..4)?, second, 0).ok()?;
    Some((parse_day(date)?.to_datetime(time), utc))
}

/// A DURATION of iCalendar: nominal days, exact seconds.
pub(super) fn parse_duration(text: &str) -> Option<jiff::Span> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mut days, mut seconds): (i64, i64) = (0, 0);
    let (mut number, mut any) = (String::new(), false);
    for c in text.strip_prefix(['P', 'p'])?.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        if matches!(c, 'T' | 't') && number.is_empty() {
            continue;
        }
        let n: i64 = std::mem::take(&mut number)
            .parse()
            .ok()
            .filter(|n| *n < 1_000_000)?;
        any = true;
        match c.to_ascii_uppercase() {
            'W' => days += 7 * n,
            'D' => days += n,
            'H' => seconds += 3600 * n,
            'M' => seconds += 60 * n,
            'S' => seconds += n,
            _ => return None,
        }
    }
    if !any || !number.is_empty() {
        return None;
    }
    let span = days.days().seconds(seconds);
    Some(if negative { span.negate() } else { span })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn told(text: &str, zone: &str) -> Value {
        json!({ "dateTime": text, "timeZone": zone })
    }

    #[test]
    fn times_of_graph_come_back_in_their_zone() {
        let berlin = Zone::find("W. Europe Standard Time").unwrap();
        let value = told("2026-03-02T08:00:00.0000000", "UTC");
        let start = local(&value, &berlin).unwrap();
        assert_eq!(start, date(2026, 3, 2).at(9, 0, 0, 0));
        let when = When::At {
            local: start,
            zone: berlin.clone(),
        };
        assert_eq!(
            when.ics(),
            (vec![("TZID", "Europe/Berlin")], "20260302T090000".into())
        );
        assert_eq!(
            when.graph(&berlin),
            told("2026-03-02T09:00:00.0000000", "W. Europe Standard Time")
        );
        let utc = When::At {
            local: start,
            zone: Zone::utc(),
        };
        assert_eq!(utc.ics(), (vec![], "20260302T090000Z".into()));
    }

    #[test]
    fn days_stay_days() {
        let (west, east) = (Zone::find("America/Los_Angeles"), Zone::find("Asia/Tokyo"));
        for zone in [west.unwrap(), east.unwrap()] {
            let day = date(2026, 7, 10);
            assert_eq!(
                all_day(&told("2026-07-10T00:00:00.0000000", "UTC"), &zone),
                Some(day)
            );
            // Told through the zone all the same.
            let moved = zone.instant(day.at(0, 0, 0, 0)).unwrap();
            let moved = Zone::utc().local(moved).to_string();
            assert_eq!(all_day(&told(&moved, "UTC"), &zone), Some(day));
            let moved = json!(format!("{moved}Z"));
            assert_eq!(original(&moved, true, &zone), Some(When::Day(day)));
        }
    }

    #[test]
    fn values_of_icalendar_are_read_strictly() {
        assert_eq!(parse_day("20260229"), None);
        assert_eq!(parse_day("2026022"), None);
        assert_eq!(parse_day("+2260228"), None);
        assert_eq!(
            parse_clock("20260228T235960Z").unwrap().0,
            date(2026, 2, 28).at(23, 59, 59, 0)
        );
        assert_eq!(parse_clock("20260228T2400"), None);
        assert_eq!(
            parse_duration("P1W2DT3H4M5S").unwrap().to_string(),
            "P9DT11045S"
        );
        assert_eq!(parse_duration("-PT15M").unwrap().to_string(), "-PT900S");
        for bad in ["", "P", "PT", "P1", "1D", "P99999999999D", "P1X"] {
            assert!(parse_duration(bad).is_none(), "{bad}");
        }
    }
}
