//! The recurrence of an appointment or a task as one binary property (MS-OXOCAL 2.2.1.44).
//!
//! All times in it are minutes since 1601 in the series' own zone.

use jiff::civil::{Date, DateTime};
use jiff::{Span, ToSpan as _};

use super::recurrence::{End, Frequency, Recurrence};

const DAILY: u16 = 0x200A;
const WEEKLY: u16 = 0x200B;
const MONTHLY: u16 = 0x200C;
const YEARLY: u16 = 0x200D;
const BY_DATE: u32 = 0x2021;
const BY_COUNT: u32 = 0x2022;
const NEVER: u32 = 0x2023;
/// The end of a series that has none.
const NO_END: u32 = 0x5AE9_80DF;

const EPOCH: Date = Date::constant(1601, 1, 1);

/// An occurrence that differs from its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    pub start: DateTime,
    pub end: DateTime,
    pub original: DateTime,
    pub subject: Option<String>,
    pub location: Option<String>,
    pub reminder_minutes: Option<u32>,
    pub reminder_set: Option<bool>,
    pub busy: Option<u32>,
    pub all_day: Option<bool>,
    pub attachments: bool,
    pub body: bool,
}

/// All that is in the property.
#[derive(Debug, Clone, PartialEq)]
pub struct Blob {
    pub recurrence: Recurrence,
    /// Minutes after midnight.
    pub start_offset: u32,
    pub end_offset: u32,
    /// Days of occurrences that do not take place, without those of exceptions.
    pub cancelled: Vec<Date>,
    pub exceptions: Vec<Exception>,
}

fn minutes(at: DateTime) -> u32 {
    let days = i64::from((at.date() - EPOCH).get_days().max(0));
    let all = days * 1440 + i64::from(at.hour()) * 60 + i64::from(at.minute());
    u32::try_from(all).unwrap_or(u32::MAX)
}

fn day_minutes(day: Date) -> u32 {
    minutes(day.to_datetime(jiff::civil::Time::midnight()))
}

fn date_time(minutes: u32) -> Option<DateTime> {
    let midnight = EPOCH.to_datetime(jiff::civil::Time::midnight());
    midnight.checked_add(i64::from(minutes).minutes()).ok()
}

/// The bytes up to the exceptions' details: what a task has. `deleted` and `modified` are sorted.
fn write_pattern(recurrence: &Recurrence, deleted: &[Date], modified: &[Date]) -> Vec<u8> {
    let mut out = Out::default();
    let interval = recurrence.interval.clamp(1, 999) as u32;
    let months = |period: u32| {
        let since = (i32::from(recurrence.start.year()) - 1601) * 12
            + i32::from(recurrence.start.month())
            - 1;
        let first = Span::new().months(since.max(0) as u32 % period);
        day_minutes(EPOCH.checked_add(first).unwrap_or(EPOCH))
    };
    let (frequency, kind, first, period) = match &recurrence.frequency {
        Frequency::Daily => {
            let period = interval * 1440;
            (DAILY, 0, day_minutes(recurrence.start) % period, period)
        }
        Frequency::Weekly(_) => {
            let first = day_minutes(recurrence.week_of(recurrence.start)) % (interval * 10_080);
            (WEEKLY, 1, first, interval)
        }
        Frequency::Monthly(_) => (MONTHLY, 2, months(interval), interval),
        Frequency::RelativeMonthly(..) => (MONTHLY, 3, months(interval), interval),
        Frequency::Yearly { .. } => (YEARLY, 2, months(12 * interval), 12 * interval),
        Frequency::RelativeYearly { .. } => (YEARLY, 3, months(12 * interval), 12 * interval),
    };
    for word in [0x3004, 0x3004, frequency, kind, 0] {
        out.u16(word);
    }
    for word in [first, period, 0] {
        out.u32(word);
    }
    match &recurrence.frequency {
        Frequency::Daily => {}
        Frequency::Weekly(mask) => out.u32(*mask),
        Frequency::Monthly(day) | Frequency::Yearly { day, .. } => out.u32(*day as u32),
        Frequency::RelativeMonthly(mask, nth)
        | Frequency::RelativeYearly {
            days: mask, nth, ..
        } => {
            out.u32(*mask);
            out.u32(*nth as u32);
        }
    }
    let (end, count, last) = match recurrence.end {
        End::Never => (NEVER, 10, NO_END),
        End::On(date) => (BY_DATE, recurrence.days().count() as u32, day_minutes(date)),
        End::After(count) => {
            let last = recurrence.days().last().unwrap_or(recurrence.start);
            (BY_COUNT, count, day_minutes(last))
        }
    };
    for word in [end, count, recurrence.first_day_of_week] {
        out.u32(word);
    }
    for list in [deleted, modified] {
        out.u32(list.len() as u32);
        list.iter().for_each(|day| out.u32(day_minutes(*day)));
    }
    out.u32(day_minutes(recurrence.start));
    out.u32(last);
    out.0
}

/// The property of a task.
pub fn write_task(recurrence: &Recurrence) -> Vec<u8> {
    write_pattern(recurrence, &[], &[])
}

impl Blob {
    /// The property of an appointment.
    pub fn write(&self) -> Vec<u8> {
        let mut exceptions: Vec<&Exception> = self.exceptions.iter().collect();
        exceptions.sort_by_key(|e| e.original);
        let mut deleted = self.cancelled.clone();
        deleted.extend(exceptions.iter().map(|e| e.original.date()));
        deleted.sort();
        let mut modified: Vec<Date> = exceptions.iter().map(|e| e.start.date()).collect();
        modified.sort();
        let mut out = Out(write_pattern(&self.recurrence, &deleted, &modified));
        for word in [0x3006, 0x3009, self.start_offset, self.end_offset] {
            out.u32(word);
        }
        out.u16(exceptions.len() as u16);
        exceptions.iter().for_each(|e| e.write(&mut out));
        out.u32(0);
        exceptions.iter().for_each(|e| e.write_extended(&mut out));
        out.u32(0);
        out.0
    }

    /// Reads the property of an appointment.
    pub fn read(bytes: &[u8]) -> Option<Blob> {
        let mut input = In(bytes);
        let (recurrence, deleted) = read_pattern(&mut input)?;
        let _versions = (input.u32()?, input.u32()?);
        let (start_offset, end_offset) = (input.u32()?, input.u32()?);
        let count = input.u16()?;
        let mut exceptions = Vec::new();
        for _ in 0..count {
            exceptions.push(Exception::read(&mut input)?);
        }
        // What follows repeats subjects and places in Unicode; without it they are as they were.
        let _ = extended(&mut input, &mut exceptions);
        let cancelled = deleted
            .into_iter()
            .filter(|day| !exceptions.iter().any(|e| e.original.date() == *day))
            .collect();
        Some(Blob {
            recurrence,
            start_offset,
            end_offset,
            cancelled,
            exceptions,
        })
    }
}

fn read_pattern(input: &mut In<'_>) -> Option<(Recurrence, Vec<Date>)> {
    let _versions = (input.u16()?, input.u16()?);
    let (frequency, kind, _calendar) = (input.u16()?, input.u16()?, input.u16()?);
    let (_first, period, _sliding) = (input.u32()?, input.u32()?, input.u32()?);
    let (mut mask, mut number) = (0, 0);
    match kind {
        0 => {}
        1 => mask = input.u32()?,
        2 | 4 => number = i64::from(input.u32()?),
        3 => {
            mask = input.u32()?;
            number = i64::from(input.u32()?);
        }
        _ => return None,
    }
    let (end, count, first_day_of_week) = (input.u32()?, input.u32()?, input.u32()?);
    let deleted = input.dates()?;
    let _modified = input.dates()?;
    let start = date_time(input.u32()?)?.date();
    let last = input.u32()?;
    let month = start.month();
    let (frequency, interval) = match (frequency, kind) {
        (DAILY, 0) => (Frequency::Daily, period / 1440),
        // Every weekday is daily to its maker, and weekly in what it does.
        (DAILY | WEEKLY, 1) => (Frequency::Weekly(mask), period),
        (MONTHLY, 2) => (Frequency::Monthly(number), period),
        (MONTHLY, 4) => (Frequency::Monthly(31), period),
        (MONTHLY, 3) => (Frequency::RelativeMonthly(mask, number), period),
        (YEARLY, 2) => (Frequency::Yearly { month, day: number }, period / 12),
        (YEARLY, 4) => (Frequency::Yearly { month, day: 31 }, period / 12),
        (YEARLY, 3) => {
            let relative = Frequency::RelativeYearly {
                month,
                days: mask,
                nth: number,
            };
            (relative, period / 12)
        }
        _ => return None,
    };
    let recurrence = Recurrence {
        frequency,
        interval: i64::from(interval.max(1)),
        first_day_of_week: first_day_of_week % 7,
        start,
        end: match end {
            BY_DATE => End::On(date_time(last)?.date()),
            BY_COUNT => End::After(count),
            _ => End::Never,
        },
    };
    Some((recurrence, deleted))
}

/// Reads the property of a task.
pub fn read_task(bytes: &[u8]) -> Option<Recurrence> {
    read_pattern(&mut In(bytes)).map(|(recurrence, _)| recurrence)
}

const SUBJECT: u16 = 0x0001;
const MEETING_TYPE: u16 = 0x0002;
const REMINDER_DELTA: u16 = 0x0004;
const REMINDER: u16 = 0x0008;
const LOCATION: u16 = 0x0010;
const BUSY: u16 = 0x0020;
const ATTACHMENT: u16 = 0x0040;
const SUB_TYPE: u16 = 0x0080;
const COLOR: u16 = 0x0100;
const BODY: u16 = 0x0200;

impl Exception {
    fn flags(&self) -> u16 {
        let bit = |there: bool, bit: u16| if there { bit } else { 0 };
        bit(self.subject.is_some(), SUBJECT)
            | bit(self.reminder_minutes.is_some(), REMINDER_DELTA)
            | bit(self.reminder_set.is_some(), REMINDER)
            | bit(self.location.is_some(), LOCATION)
            | bit(self.busy.is_some(), BUSY)
            | bit(self.attachments, ATTACHMENT)
            | bit(self.all_day.is_some(), SUB_TYPE)
            | bit(self.body, BODY)
    }

    fn times(&self, out: &mut Out) {
        for at in [self.start, self.end, self.original] {
            out.u32(minutes(at));
        }
    }

    fn write(&self, out: &mut Out) {
        self.times(out);
        out.u16(self.flags());
        if let Some(subject) = &self.subject {
            out.narrow(subject);
        }
        if let Some(before) = self.reminder_minutes {
            out.u32(before);
        }
        if let Some(set) = self.reminder_set {
            out.u32(u32::from(set));
        }
        if let Some(location) = &self.location {
            out.narrow(location);
        }
        if let Some(busy) = self.busy {
            out.u32(busy);
        }
        if self.attachments {
            out.u32(1);
        }
        if let Some(all_day) = self.all_day {
            out.u32(u32::from(all_day));
        }
    }

    fn write_extended(&self, out: &mut Out) {
        // ChangeHighlight, empty; a reserved block, empty.
        for word in [4, 0, 0] {
            out.u32(word);
        }
        if self.subject.is_none() && self.location.is_none() {
            return;
        }
        self.times(out);
        for text in [&self.subject, &self.location].into_iter().flatten() {
            out.wide(text);
        }
        out.u32(0);
    }

    fn read(input: &mut In<'_>) -> Option<Exception> {
        let mut time = || date_time(input.u32()?);
        let (start, end, original) = (time()?, time()?, time()?);
        let flags = input.u16()?;
        let has = |bit: u16| flags & bit != 0;
        let subject = has(SUBJECT).then(|| input.narrow());
        if has(MEETING_TYPE) {
            input.u32()?;
        }
        let reminder_minutes = has(REMINDER_DELTA).then(|| input.u32());
        let reminder_set = has(REMINDER).then(|| input.u32());
        let location = has(LOCATION).then(|| input.narrow());
        let busy = has(BUSY).then(|| input.u32());
        let attachments = has(ATTACHMENT).then(|| input.u32());
        let all_day = has(SUB_TYPE).then(|| input.u32());
        if has(COLOR) {
            input.u32()?;
        }
        // What the flags promise must be there.
        let kept = |value: Option<Option<u32>>| match value {
            Some(None) => None,
            Some(value) => Some(value),
            None => Some(None),
        };
        Some(Exception {
            start,
            end,
            original,
            subject: match subject {
                Some(text) => Some(text?),
                None => None,
            },
            location: match location {
                Some(text) => Some(text?),
                None => None,
            },
            reminder_minutes: kept(reminder_minutes)?,
            reminder_set: kept(reminder_set)?.map(|v| v != 0),
            busy: kept(busy)?,
            attachments: kept(attachments)?.is_some_and(|v| v != 0),
            all_day: kept(all_day)?.map(|v| v != 0),
            body: has(BODY),
        })
    }
}

/// The part with subjects and places in Unicode.
fn extended(input: &mut In<'_>, exceptions: &mut [Exception]) -> Option<()> {
    let size = input.u32()?;
    input.take(size as usize)?;
    for exception in exceptions {
        let size = input.u32()?;
        input.take(size as usize)?;
        let size = input.u32()?;
        input.take(size as usize)?;
        if exception.subject.is_none() && exception.location.is_none() {
            continue;
        }
        input.take(12)?;
        for text in [&mut exception.subject, &mut exception.location]
            .into_iter()
            .flatten()
        {
            *text = input.wide()?;
        }
        let size = input.u32()?;
        input.take(size as usize)?;
    }
    Some(())
}

#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u16(&mut self, n: u16) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    fn u32(&mut self, n: u32) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    /// A string in the code page of the client: its length twice, once with a NUL that is not there.
    fn narrow(&mut self, text: &str) {
        let bytes: Vec<u8> = text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
            .take(0xFFFE)
            .collect();
        self.u16(bytes.len() as u16 + 1);
        self.u16(bytes.len() as u16);
        self.0.extend_from_slice(&bytes);
    }

    fn wide(&mut self, text: &str) {
        let units: Vec<u16> = text.encode_utf16().take(0xFFFE).collect();
        self.u16(units.len() as u16);
        units.into_iter().for_each(|u| self.u16(u));
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn dates(&mut self) -> Option<Vec<Date>> {
        let count = self.u32()? as usize;
        if count > self.0.len() / 4 {
            return None;
        }
        (0..count)
            .map(|_| Some(date_time(self.u32()?)?.date()))
            .collect()
    }

    fn narrow(&mut self) -> Option<String> {
        self.u16()?;
        let length = self.u16()?;
        let bytes = self.take(usize::from(length))?;
        Some(crate::fasttransfer::read::text(bytes, 1252))
    }

    fn wide(&mut self) -> Option<String> {
        let length = self.u16()?;
        let bytes = self.take(usize::from(length) * 2)?;
        Some(crate::fasttransfer::read::text(bytes, 1200))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::recurrence::weekday_number;
    use super::*;

    fn of(pattern: Json, range: Json) -> Recurrence {
        Recurrence::from_graph(&json!({"pattern": pattern, "range": range})).unwrap()
    }

    #[test]
    fn a_blob_comes_back() {
        let at = |text: &str| text.parse::<DateTime>().unwrap();
        for recurrence in [
            of(
                json!({"type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "sunday"}),
                json!({"type": "numbered", "startDate": "2026-03-02", "numberOfOccurrences": 10}),
            ),
            of(
                json!({"type": "daily", "interval": 3}),
                json!({"type": "noEnd", "startDate": "2026-03-02"}),
            ),
            of(
                json!({"type": "absoluteYearly", "interval": 2, "month": 3, "dayOfMonth": 2}),
                json!({"type": "endDate", "startDate": "2026-03-02", "endDate": "2040-01-01"}),
            ),
            of(
                json!({"type": "relativeMonthly", "interval": 1, "index": "first", "daysOfWeek": ["monday"]}),
                json!({"type": "noEnd", "startDate": "2026-03-02"}),
            ),
        ] {
            let blob = Blob {
                recurrence,
                start_offset: 540,
                end_offset: 600,
                cancelled: vec![jiff::civil::date(2026, 3, 16)],
                exceptions: vec![Exception {
                    start: at("2026-03-10T11:00"),
                    end: at("2026-03-10T12:00"),
                    original: at("2026-03-09T09:00"),
                    subject: Some("Später – 数字".into()),
                    location: Some("Room".into()),
                    reminder_minutes: Some(5),
                    reminder_set: Some(true),
                    busy: Some(0),
                    all_day: None,
                    attachments: true,
                    body: true,
                }],
            };
            let bytes = blob.write();
            assert_eq!(Blob::read(&bytes).as_ref(), Some(&blob));
            for end in 0..bytes.len() {
                let _ = Blob::read(&bytes[..end]);
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        // Weekly on Mondays, ten times, from 2026-03-02.
        let r = of(
            json!({"type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "sunday"}),
            json!({"type": "numbered", "startDate": "2026-03-02", "numberOfOccurrences": 10}),
        );
        let bytes = write_task(&r);
        assert_eq!(
            bytes[..10],
            [0x04, 0x30, 0x04, 0x30, 0x0B, 0x20, 0x01, 0, 0, 0]
        );
        // 1601-01-01 was a Monday: weeks that begin on Sunday begin six days after.
        assert_eq!(
            u32::from_le_bytes(bytes[10..14].try_into().unwrap()),
            6 * 1440
        );
        assert_eq!(
            weekday_number(EPOCH),
            jiff::civil::Weekday::Monday.to_sunday_zero_offset() as u32
        );
        assert_eq!(bytes[22..30], [2, 0, 0, 0, 0x22, 0x20, 0, 0]);
    }
}
