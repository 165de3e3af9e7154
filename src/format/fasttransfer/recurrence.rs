//! The recurrence of appointments and tasks: the blob of MS-OXOCAL 2.2.1.44, and what Graph says of
//! it.
//!
//! Dates are days in the series' own zone, as seconds since 1970 without a zone ("local seconds").

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Error;
use super::blob::Blob;
use super::properties::graph_day;

const DAY: i64 = 86_400;
/// Minutes from 1601 to 1970.
const EPOCH: i64 = 194_074_560;
/// A series without an end ends in 4500 (MS-OXOCAL: 0x5AE980DF).
const NO_END: u32 = 0x5AE9_80DF;

/// How often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Every so many days.
    Daily { days: u32 },
    /// Every so many weeks on these days: bit 0 is Sunday.
    Weekly { weeks: u32, days: u32 },
    /// Every so many months on this day; 31 is the last one.
    Monthly { months: u32, day: u32 },
    /// Every so many months on the `nth` (5: last) of these days.
    MonthlyNth { months: u32, days: u32, nth: u32 },
}

/// Until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Never,
    /// The last day, local seconds.
    On(i64),
    After(u32),
}

/// An occurrence that is not like the others. Times are local seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    pub start: i64,
    pub end: i64,
    /// When it would have been.
    pub original: i64,
    pub subject: Option<String>,
    pub location: Option<String>,
    /// Minutes before.
    pub reminder_minutes: Option<u32>,
    pub reminder: Option<bool>,
    pub busy: Option<u32>,
    pub all_day: Option<bool>,
}

/// A series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence {
    /// How it recurs.
    pub pattern: Pattern,
    /// How long.
    pub end: End,
    /// 0 is Sunday.
    pub first_day_of_week: u32,
    /// The first day.
    pub start: i64,
    /// Days that are different or were cancelled.
    pub deleted: Vec<i64>,
    /// Days that occurrences were moved to.
    pub modified: Vec<i64>,
    /// Seconds from midnight to start and end; of appointments.
    pub times: Option<(i64, i64)>,
    /// Occurrences that are not as the others.
    pub exceptions: Vec<Exception>,
}

impl Recurrence {
    /// Reads the blob of an appointment or a task.
    ///
    /// # Errors
    /// When it is damaged before the exceptions; damage there costs the exceptions' details.
    pub fn parse(blob: &[u8]) -> Result<Self, Error> {
        let mut r = Blob::new(blob);
        r.u16()?;
        r.u16()?;
        let frequency = r.u16()?;
        let kind = r.u16()?;
        r.u16()?;
        r.u32()?;
        let period = r.u32()?;
        r.u32()?;
        let yearly = frequency == 0x200D;
        let pattern = match kind {
            0 => Pattern::Daily {
                days: (period / 1440).max(1),
            },
            1 => Pattern::Weekly {
                weeks: period.max(1),
                days: r.u32()?,
            },
            2 | 4 | 0xA | 0xC => Pattern::Monthly {
                months: period.max(1),
                day: r.u32()?,
            },
            3 | 0xB => Pattern::MonthlyNth {
                months: period.max(1),
                days: r.u32()?,
                nth: r.u32()?,
            },
            _ => return Err(r.malformed()),
        };
        let end = r.u32()?;
        let count = r.u32()?;
        let first_day_of_week = r.u32()?;
        let deleted = r.days()?;
        let modified = r.days()?;
        let start = local(r.u32()?);
        let last = r.u32()?;
        let end = match end {
            0x2021 => End::On(local(last)),
            0x2022 => End::After(count),
            _ if last == NO_END || end == 0x2023 || end == u32::MAX => End::Never,
            _ => End::On(local(last)),
        };
        let mut recurrence = Recurrence {
            pattern: if yearly { pattern.yearly() } else { pattern },
            end,
            first_day_of_week,
            start,
            deleted,
            modified,
            times: None,
            exceptions: Vec::new(),
        };
        // A task ends here.
        if recurrence.appointment(&mut r).is_err() {
            recurrence.exceptions.clear();
        }
        Ok(recurrence)
    }

    fn appointment(&mut self, r: &mut Blob<'_>) -> Result<(), Error> {
        r.u32()?;
        let version = r.u32()?;
        let (start, end) = (r.u32()?, r.u32()?);
        self.times = Some((i64::from(start) * 60, i64::from(end) * 60));
        let count = usize::from(r.u16()?);
        let mut flags = Vec::new();
        for _ in 0..count {
            let mut exception = Exception {
                start: local(r.u32()?),
                end: local(r.u32()?),
                original: local(r.u32()?),
                ..Exception::default()
            };
            flags.push(exception.overrides(r)?);
            self.exceptions.push(exception);
        }
        r.skip_block()?;
        for (exception, flags) in self.exceptions.iter_mut().zip(flags) {
            if version >= 0x3009 {
                r.skip_block()?;
            }
            r.skip_block()?;
            if flags & (SUBJECT | LOCATION) == 0 {
                continue;
            }
            // The same again, but in Unicode.
            for _ in 0..3 {
                r.u32()?;
            }
            if flags & SUBJECT != 0 {
                exception.subject = Some(r.wide()?);
            }
            if flags & LOCATION != 0 {
                exception.location = Some(r.wide()?);
            }
            r.skip_block()?;
        }
        Ok(())
    }

    /// Days without an occurrence: those that were deleted and not moved to another day.
    pub fn cancelled(&self) -> Vec<i64> {
        let moved: HashSet<i64> = if self.exceptions.is_empty() {
            // Without exceptions' details all that is known is which days have one.
            self.modified.iter().copied().collect()
        } else {
            let originals = self.exceptions.iter().map(|e| e.original);
            originals.map(|time| time.div_euclid(DAY) * DAY).collect()
        };
        let days = self.deleted.iter().copied();
        days.filter(|day| !moved.contains(day)).collect()
    }

    /// Graph's `patternedRecurrence`; `zone` is the Windows name of the series' zone.
    pub fn to_graph(&self, zone: Option<&str>) -> Value {
        let start = graph_day(self.start).unwrap_or_else(|| "0001-01-01".into());
        let (kind, end, count) = match self.end {
            End::Never => ("noEnd", None, 0),
            End::On(day) => ("endDate", graph_day(day), 0),
            End::After(count) => ("numbered", None, count),
        };
        json!({
            "pattern": self.pattern(),
            "range": {
                "type": kind,
                "startDate": start,
                "endDate": end.unwrap_or_else(|| "0001-01-01".into()),
                "recurrenceTimeZone": zone,
                "numberOfOccurrences": count,
            },
        })
    }

    fn pattern(&self) -> Value {
        let first = day_name(self.first_day_of_week % 7);
        let date = jiff::Timestamp::from_second(self.start).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let month = date.to_zoned(jiff::tz::TimeZone::UTC).month();
        let graph = |kind: &str, interval: u32, month: i8, day: u32, days: u32, nth: u32| {
            let index = ["first", "first", "second", "third", "fourth", "last"];
            json!({
                "type": kind, "interval": interval, "month": month, "dayOfMonth": day,
                "daysOfWeek": days_of(days), "firstDayOfWeek": first,
                "index": index.get(nth as usize).copied().unwrap_or("last"),
            })
        };
        match self.pattern {
            Pattern::Daily { days } => graph("daily", days, 0, 0, 0, 1),
            Pattern::Weekly { weeks, days } => graph("weekly", weeks, 0, 0, days, 1),
            Pattern::Monthly { months, day } if months % 12 == 0 => {
                graph("absoluteYearly", months / 12, month, day, 0, 1)
            }
            Pattern::Monthly { months, day } => graph("absoluteMonthly", months, 0, day, 0, 1),
            Pattern::MonthlyNth { months, days, nth } if months % 12 == 0 => {
                graph("relativeYearly", months / 12, month, 0, days, nth)
            }
            Pattern::MonthlyNth { months, days, nth } => {
                graph("relativeMonthly", months, 0, 0, days, nth)
            }
        }
    }
}

impl Pattern {
    /// A yearly pattern's period is in months; a writer that means years says 1.
    fn yearly(self) -> Self {
        let years = |months: u32| {
            if months.is_multiple_of(12) {
                months
            } else {
                12
            }
        };
        match self {
            Pattern::Monthly { months, day } => Pattern::Monthly {
                months: years(months),
                day,
            },
            Pattern::MonthlyNth { months, days, nth } => Pattern::MonthlyNth {
                months: years(months),
                days,
                nth,
            },
            other => other,
        }
    }
}

const SUBJECT: u16 = 0x0001;
const LOCATION: u16 = 0x0010;

impl Exception {
    /// Reads the fields that the flags name (MS-OXOCAL 2.2.1.44.2).
    fn overrides(&mut self, r: &mut Blob<'_>) -> Result<u16, Error> {
        let flags = r.u16()?;
        if flags & SUBJECT != 0 {
            self.subject = Some(r.narrow()?);
        }
        if flags & 0x0002 != 0 {
            r.u32()?;
        }
        if flags & 0x0004 != 0 {
            self.reminder_minutes = Some(r.u32()?);
        }
        if flags & 0x0008 != 0 {
            self.reminder = Some(r.u32()? != 0);
        }
        if flags & LOCATION != 0 {
            self.location = Some(r.narrow()?);
        }
        if flags & 0x0020 != 0 {
            self.busy = Some(r.u32()?);
        }
        if flags & 0x0040 != 0 {
            r.u32()?;
        }
        if flags & 0x0080 != 0 {
            self.all_day = Some(r.u32()? != 0);
        }
        if flags & 0x0100 != 0 {
            r.u32()?;
        }
        Ok(flags)
    }
}

/// Local seconds of minutes since 1601.
pub(super) fn local(minutes: u32) -> i64 {
    (i64::from(minutes) - EPOCH) * 60
}

const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

fn day_name(day: u32) -> &'static str {
    DAYS[day as usize % 7]
}

fn days_of(mask: u32) -> Vec<&'static str> {
    (0..7)
        .filter(|day| mask >> day & 1 == 1)
        .map(day_name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(parts: &[(u32, usize)]) -> Vec<u8> {
        parts
            .iter()
            .flat_map(|(value, size)| value.to_le_bytes()[..*size].to_vec())
            .collect()
    }

    fn minutes(day: i64) -> u32 {
        u32::try_from(day * 1440 + EPOCH).unwrap()
    }

    /// 2026-03-02, a Monday.
    const MONDAY: i64 = 20_514;

    fn weekly() -> Vec<u8> {
        let mut blob = words(&[
            (0x3004, 2),
            (0x3004, 2),
            (0x200B, 2),
            (1, 2),
            (0, 2),
            (0, 4),
            (2, 4),
            (0, 4),
            (0b0001010, 4),
            (0x2022, 4),
            (10, 4),
            (0, 4),
            (2, 4),
            (minutes(MONDAY + 14), 4),
            (minutes(MONDAY + 28), 4),
            (1, 4),
            (minutes(MONDAY + 15), 4),
            (minutes(MONDAY), 4),
            (minutes(MONDAY + 100), 4),
            (0x3006, 4),
            (0x3009, 4),
            (540, 4),
            (555, 4),
            (1, 2),
            (minutes(MONDAY + 15) + 600, 4),
            (minutes(MONDAY + 15) + 660, 4),
            (minutes(MONDAY + 14) + 540, 4),
            (0x0011, 2),
            (5, 2),
            (4, 2),
        ]);
        blob.extend_from_slice(b"Late");
        blob.extend_from_slice(&words(&[(3, 2), (2, 2)]));
        blob.extend_from_slice(b"B1");
        blob.extend_from_slice(&words(&[(0, 4), (4, 4), (0, 4), (0, 4)]));
        blob.extend_from_slice(&words(&[(1, 4), (1, 4), (1, 4), (4, 2)]));
        blob.extend("L\u{e4}te".encode_utf16().flat_map(u16::to_le_bytes));
        blob.extend_from_slice(&words(&[(2, 2)]));
        blob.extend("B2".encode_utf16().flat_map(u16::to_le_bytes));
        blob.extend_from_slice(&words(&[(0, 4), (0, 4)]));
        blob
    }

    #[test]
    fn a_weekly_series_with_an_exception() {
        let recurrence = Recurrence::parse(&weekly()).unwrap();
        assert_eq!(recurrence.times, Some((32_400, 33_300)));
        assert_eq!(recurrence.end, End::After(10));
        let [exception] = &recurrence.exceptions[..] else {
            panic!("{recurrence:?}")
        };
        assert_eq!(exception.subject.as_deref(), Some("L\u{e4}te"));
        assert_eq!(exception.location.as_deref(), Some("B2"));
        assert_eq!(exception.original, (MONDAY + 14) * 86_400 + 32_400);
        assert_eq!(exception.start, (MONDAY + 15) * 86_400 + 36_000);
        assert_eq!(recurrence.cancelled(), [(MONDAY + 28) * 86_400]);
        assert_eq!(
            recurrence.to_graph(Some("W. Europe Standard Time")),
            json!({
                "pattern": { "type": "weekly", "interval": 2, "month": 0, "dayOfMonth": 0,
                    "daysOfWeek": ["monday", "wednesday"], "firstDayOfWeek": "sunday", "index": "first" },
                "range": { "type": "numbered", "startDate": "2026-03-02", "endDate": "0001-01-01",
                    "recurrenceTimeZone": "W. Europe Standard Time", "numberOfOccurrences": 10 },
            })
        );
    }

    #[test]
    fn the_other_patterns() {
        let parse =
            |frequency: u32, kind: u32, period: u32, specific: &[(u32, usize)], end: u32| {
                let mut blob = words(&[
                    (0x3004, 2),
                    (0x3004, 2),
                    (frequency, 2),
                    (kind, 2),
                    (0, 2),
                    (0, 4),
                    (period, 4),
                    (0, 4),
                ]);
                blob.extend_from_slice(&words(specific));
                blob.extend_from_slice(&words(&[
                    (end, 4),
                    (0, 4),
                    (1, 4),
                    (0, 4),
                    (0, 4),
                    (minutes(MONDAY), 4),
                    (
                        if end == 0x2021 {
                            minutes(MONDAY + 9)
                        } else {
                            NO_END
                        },
                        4,
                    ),
                ]));
                Recurrence::parse(&blob).unwrap()
            };
        let daily = parse(0x200A, 0, 2880, &[], 0x2021);
        assert_eq!(daily.pattern, Pattern::Daily { days: 2 });
        assert_eq!(daily.to_graph(None)["range"]["endDate"], "2026-03-11");
        let monthly = parse(0x200C, 2, 1, &[(31, 4)], 0x2023).to_graph(None);
        assert_eq!(monthly["pattern"]["type"], "absoluteMonthly");
        assert_eq!(monthly["pattern"]["dayOfMonth"], 31);
        assert_eq!(monthly["range"]["type"], "noEnd");
        let nth = parse(0x200C, 3, 3, &[(0b100, 4), (5, 4)], 0x2023).to_graph(None);
        assert_eq!(nth["pattern"]["type"], "relativeMonthly");
        assert_eq!(nth["pattern"]["index"], "last");
        assert_eq!(nth["pattern"]["daysOfWeek"], json!(["tuesday"]));
        assert_eq!(nth["pattern"]["firstDayOfWeek"], "monday");
        let yearly = parse(0x200D, 2, 12, &[(2, 4)], 0x2023).to_graph(None);
        assert_eq!(yearly["pattern"]["type"], "absoluteYearly");
        assert_eq!(yearly["pattern"]["month"], 3);
        assert_eq!(yearly["pattern"]["interval"], 1);
        let relative = parse(0x200D, 3, 12, &[(0b10, 4), (1, 4)], 0x2023).to_graph(None);
        assert_eq!(relative["pattern"]["type"], "relativeYearly");
    }

    #[test]
    fn a_blob_that_is_cut_off_anywhere() {
        let blob = weekly();
        for len in 0..blob.len() {
            if let Ok(read) = Recurrence::parse(&blob[..len]) {
                read.to_graph(None);
                read.cancelled();
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_politely(bytes: Vec<u8>, at in 0usize..200, with: u8) {
            let mut blob = weekly();
            let at = at % blob.len();
            blob[at] = with;
            for bytes in [&bytes[..], &blob] {
                if let Ok(read) = Recurrence::parse(bytes) {
                    read.to_graph(None);
                    read.cancelled();
                }
            }
        }
    }
}
