//! An event as it is kept: when it is, what it says, and what differs on single days of a series.
//!
//! The properties are in Graph's form and complete; times, recurrence and what the service counts are
//! kept apart from them. A series is one record: occurrences are computed, an exception is what its
//! day has else than the series, and days on which nothing takes place are listed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use serde_json::{Value, json};

use super::recurrence::Recurrence;
use super::zone::Zone;
use crate::api::ApiResponse;
use crate::attachments::Attachment;
use crate::mail::properties::Extended;
use crate::odata::Object;

/// From when until when.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Local times; at midnight when all-day, the end exclusive.
    pub start: DateTime,
    pub end: DateTime,
    pub start_zone: Zone,
    pub end_zone: Zone,
    pub all_day: bool,
}

/// Who called a meeting, when it was not the mailbox's user.
#[derive(Debug, Clone, PartialEq)]
pub struct Organizer {
    pub name: String,
    pub address: String,
}

#[derive(Debug, Clone)]
pub struct Record {
    /// Properties in Graph's form; see [`super::validate::KEPT`].
    pub props: Object,
    pub span: Span,
    pub recurrence: Option<Recurrence>,
    pub exceptions: BTreeMap<Date, Exception>,
    /// Days of the series that were deleted.
    pub cancelled: BTreeSet<Date>,
    /// Days the series once fell on and, with another rhythm, does not.
    pub dropped: BTreeSet<Date>,
    pub uid: Uid,
    /// Seconds since 1970.
    pub created: i64,
    pub modified: i64,
    pub organizer: Option<Organizer>,
    pub extended: Extended,
    pub attachments: Vec<Attachment>,
    /// Raises the number of the next attachment, of exceptions too.
    pub next_attachment: u32,
}

/// What is different on one day of a series.
#[derive(Debug, Clone, Default)]
pub struct Exception {
    /// Only the properties that differ.
    pub props: Object,
    pub span: Option<Span>,
    /// All attachments of the day, once they were changed.
    pub attachments: Option<Vec<Attachment>>,
    pub extended: Extended,
    pub modified: i64,
}

/// What all copies of one meeting share (MS-OXOCAL 2.2.1.27).
#[derive(Debug, Clone, PartialEq)]
pub enum Uid {
    /// Made by Exchange: a GUID and the time of creation.
    Own([u8; 16], i64),
    /// From elsewhere, shown as it came.
    Foreign(String),
}

impl Uid {
    /// `iCalUId`. Each occurrence has its own: the day is in it.
    pub fn show(&self, day: Option<Date>) -> String {
        let (guid, created) = match self {
            Uid::Foreign(text) => return text.clone(),
            Uid::Own(guid, created) => (guid, created),
        };
        let day = day.map_or_else(
            || "00000000".to_owned(),
            |d| format!("{:04X}{:02X}{:02X}", d.year(), d.month(), d.day()),
        );
        // FILETIME: tenths of microseconds since 1601, least significant byte first.
        let filetime = (created + 11_644_473_600)
            .saturating_mul(10_000_000)
            .to_le_bytes();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02X}")).collect::<String>();
        format!(
            "040000008200E00074C5B7101A82E008{day}{}000000000000000010000000{}",
            hex(&filetime),
            hex(guid)
        )
    }
}

/// Number of a day, as ids carry it.
pub fn day_number(day: Date) -> u32 {
    let year = u32::try_from(day.year()).unwrap_or(0);
    year * 10_000
        + u32::from(day.month().unsigned_abs()) * 100
        + u32::from(day.day().unsigned_abs())
}

pub fn day_of(number: u32) -> Option<Date> {
    let part = |n: u32| i8::try_from(n % 100).ok();
    Date::new(
        i16::try_from(number / 10_000).ok()?,
        part(number / 100)?,
        part(number)?,
    )
    .ok()
}

impl Span {
    /// Seconds since 1970 of start and end.
    pub fn instants(&self) -> (i64, i64) {
        (
            self.start_zone.instant(self.start),
            self.end_zone.instant(self.end),
        )
    }

    /// The same times as the clocks of `zone` show them. All-day events keep their dates.
    pub fn seen_in(&self, zone: &Zone) -> Span {
        if self.all_day {
            return Span {
                start_zone: zone.clone(),
                end_zone: zone.clone(),
                ..self.clone()
            };
        }
        let (start, end) = self.instants();
        Span {
            start: zone.local(start),
            end: zone.local(end),
            start_zone: zone.clone(),
            end_zone: zone.clone(),
            all_day: false,
        }
    }

    /// True when it takes place at least in part between `from` and `to`.
    pub fn overlaps(&self, from: i64, to: i64) -> bool {
        let (start, end) = self.instants();
        start < to && (end > from || (start == end && start >= from))
    }
}

impl Record {
    pub fn is_series(&self) -> bool {
        self.recurrence.is_some()
    }

    /// When the event is, or the series' occurrence of `day`.
    pub fn span_on(&self, day: Option<Date>) -> Span {
        match day {
            None => self.span.clone(),
            Some(day) => match self.exceptions.get(&day).and_then(|e| e.span.clone()) {
                Some(span) => span,
                None => self.planned_on(day),
            },
        }
    }

    /// When the series' occurrence of `day` is if nothing was changed: the same local times.
    pub fn planned_on(&self, day: Date) -> Span {
        let Some(recurrence) = &self.recurrence else {
            return self.span.clone();
        };
        let first = self.span.seen_in(&recurrence.zone);
        let length = first.start.until(first.end).unwrap_or_default();
        let start = day.to_datetime(first.start.time());
        let end = start.checked_add(length).unwrap_or(start);
        Span {
            start,
            end,
            ..first
        }
    }

    /// True when the series has an occurrence on `day`, an exception or not.
    pub fn has_day(&self, day: Date) -> bool {
        let falls = self.recurrence.as_ref().is_some_and(|r| r.falls_on(day));
        falls && !self.cancelled.contains(&day)
    }

    /// Days of the series whose occurrences, as they are, touch the time between two instants.
    pub fn days_between(&self, from: i64, to: i64) -> Vec<Date> {
        let Some(recurrence) = &self.recurrence else {
            return Vec::new();
        };
        let first = self.span.seen_in(&recurrence.zone);
        let length = i64::from(
            first
                .start
                .date()
                .until(first.end.date())
                .map_or(0, |s| s.get_days()),
        );
        let zone = &recurrence.zone;
        let begin = zone.local(from).date();
        let begin = begin
            .checked_sub(jiff::Span::new().days(length.min(4_000) + 1))
            .unwrap_or(begin);
        let end = zone.local(to).date();
        let mut out: Vec<Date> = recurrence
            .days(Some(begin))
            .take_while(|day| *day <= end)
            .filter(|day| !self.cancelled.contains(day) && !self.exceptions.contains_key(day))
            .filter(|day| self.planned_on(*day).overlaps(from, to))
            .collect();
        let moved = self
            .exceptions
            .keys()
            .filter(|day| !self.cancelled.contains(day));
        out.extend(moved.filter(|day| self.span_on(Some(**day)).overlaps(from, to)));
        out.sort_by_key(|day| self.span_on(Some(*day)).instants());
        out
    }

    /// Instants between which the event, or all of the series, takes place.
    pub fn extent(&self) -> (i64, i64) {
        let (start, end) = self.span.instants();
        match &self.recurrence {
            None => (start, end),
            // What was moved may be earlier than the first; the end is not worth looking for.
            Some(_) => {
                let moved = self.exceptions.values().filter_map(|e| e.span.as_ref());
                let first = moved.map(|s| s.instants().0).min();
                (first.unwrap_or(start).min(start), i64::MAX)
            }
        }
    }

    /// Value of a property on a day.
    pub fn prop(&self, day: Option<Date>, name: &str) -> Option<&Value> {
        day.and_then(|d| self.exceptions.get(&d))
            .and_then(|e| e.props.get(name))
            .or_else(|| self.props.get(name))
    }

    pub fn attachments_on(&self, day: Option<Date>) -> &[Attachment] {
        day.and_then(|d| self.exceptions.get(&d))
            .and_then(|e| e.attachments.as_deref())
            .unwrap_or(&self.attachments)
    }

    pub fn extended_on(
        &self,
        day: Option<Date>,
        id: &str,
    ) -> Option<&crate::mail::properties::PropertyValue> {
        day.and_then(|d| self.exceptions.get(&d))
            .and_then(|e| e.extended.get(id))
            .or_else(|| self.extended.get(id))
    }

    /// Addresses of those the meeting is with.
    pub fn attendees(&self, day: Option<Date>) -> Vec<String> {
        addresses(self.prop(day, "attendees"))
    }

    /// The mailbox's user called this meeting, and there is someone to tell about it.
    pub fn notifies(&self, day: Option<Date>) -> bool {
        self.organizer.is_none() && !self.attendees(day).is_empty()
    }
}

pub fn addresses(attendees: Option<&Value>) -> Vec<String> {
    let list = attendees.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|a| a["emailAddress"]["address"].as_str())
        .map(str::to_owned)
        .collect()
}

pub fn unknown_zone(name: &str) -> ApiResponse {
    ApiResponse::error(
        400,
        "TimeZoneNotSupportedException",
        &format!(
            "A valid TimeZone value must be specified. The following TimeZone value is not supported: '{name}'."
        ),
    )
}

/// Reads a `dateTimeTimeZone`.
pub fn read_time(value: &Value, name: &str) -> Result<(DateTime, Zone), ApiResponse> {
    let refuse = || {
        ApiResponse::error(
            400,
            "RequestBodyRead",
            &format!("The value of property '{name}' is not a date and time with a time zone."),
        )
    };
    let text = value["dateTime"].as_str().ok_or_else(refuse)?.trim();
    let zone = match value["timeZone"].as_str() {
        None | Some("") => Zone::utc(),
        Some(zone) => Zone::find(zone).ok_or_else(|| unknown_zone(zone))?,
    };
    let seconds = |at: DateTime| at.with().subsec_nanosecond(0).build().map_err(|_| refuse());
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok((seconds(zone.local(at.as_second()))?, zone));
    }
    let at: DateTime = text.parse().map_err(|_| refuse())?;
    Ok((seconds(at)?, zone))
}

/// A `dateTimeTimeZone`: seven decimals, no offset.
pub fn show_time(at: DateTime, zone: &str) -> Value {
    json!({"dateTime": format!("{}.0000000", at.strftime("%Y-%m-%dT%H:%M:%S")), "timeZone": zone})
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn days_have_numbers() {
        assert_eq!(day_number(date(2026, 3, 16)), 20_260_316);
        assert_eq!(day_of(20_260_316), Some(date(2026, 3, 16)));
        assert_eq!(day_of(20_260_230), None);
    }

    #[test]
    fn a_uid_carries_the_day_of_an_occurrence() {
        let uid = Uid::Own([0xab; 16], 1_793_491_200);
        let whole = uid.show(None);
        let one = uid.show(Some(date(2026, 3, 16)));
        assert!(
            whole.starts_with("040000008200E00074C5B7101A82E00800000000"),
            "{whole}"
        );
        assert_eq!(&one[32..40], "07EA0310");
        assert_eq!(whole.len(), 112);
        assert_eq!(whole[40..], one[40..]);
    }

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        let read = |text: &str, zone: &str| {
            read_time(&json!({"dateTime": text, "timeZone": zone}), "start")
                .map(|(t, _)| t.to_string())
                .ok()
        };
        let berlin = "W. Europe Standard Time";
        assert_eq!(
            read("2026-07-10T09:30:00.0000000", berlin).as_deref(),
            Some("2026-07-10T09:30:00")
        );
        assert_eq!(
            read("2026-07-10T09:30:00Z", berlin).as_deref(),
            Some("2026-07-10T11:30:00")
        );
        assert_eq!(
            read("2026-07-10", "UTC").as_deref(),
            Some("2026-07-10T00:00:00")
        );
        assert_eq!(read("tomorrow", "UTC"), None);
        assert_eq!(read("2026-07-10T09:30:00", "Nowhere"), None);
    }
}
