//! Recurrences: reading them as Graph writes them, and the days they fall on.
//!
//! A series is a sequence of periods (day, week, month, year), each with no, one or several days. Days
//! are dates in the series' zone; what time it is on them is [`super::record`]'s. A day that a month
//! does not have is its last one, as in Exchange (RFC 5545 leaves such months out).

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use serde_json::{Value, json};

use super::record::{Span, unknown_zone};
use super::zone::Zone;
use crate::api::ApiResponse;

/// The last day Exchange counts (MS-OXOCAL 2.2.1.44.1).
const LAST: Date = jiff::civil::date(4500, 8, 31);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Daily,
    Weekly,
    AbsoluteMonthly,
    RelativeMonthly,
    AbsoluteYearly,
    RelativeYearly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Never,
    /// The last day an occurrence may fall on.
    On(Date),
    /// Number of occurrences.
    After(u32),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Recurrence {
    pub kind: Kind,
    pub interval: i32,
    /// 1 to 12; 0 unless yearly.
    pub month: i8,
    /// 1 to 31; 0 unless absolute.
    pub day: i8,
    pub days: Vec<Weekday>,
    pub first: Weekday,
    /// 1 to 4, or 5 for the last.
    pub index: u8,
    /// The day of the first occurrence.
    pub start: Date,
    pub end: End,
    pub zone: Zone,
}

const KINDS: &[(&str, Kind)] = &[
    ("daily", Kind::Daily),
    ("weekly", Kind::Weekly),
    ("absoluteMonthly", Kind::AbsoluteMonthly),
    ("relativeMonthly", Kind::RelativeMonthly),
    ("absoluteYearly", Kind::AbsoluteYearly),
    ("relativeYearly", Kind::RelativeYearly),
];
const DAYS: &[(&str, Weekday)] = &[
    ("sunday", Weekday::Sunday),
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
];
const INDEXES: &[(&str, u8)] = &[
    ("first", 1),
    ("second", 2),
    ("third", 3),
    ("fourth", 4),
    ("last", 5),
];

fn invalid(message: &str) -> ApiResponse {
    ApiResponse::error(400, "ErrorInvalidRecurrencePattern", message)
}

fn named<T: Copy>(value: &Value, table: &[(&str, T)]) -> Option<T> {
    let text = value.as_str()?;
    let row = table.iter().find(|(n, _)| n.eq_ignore_ascii_case(text))?;
    Some(row.1)
}

fn name_of<T: PartialEq>(value: &T, table: &[(&'static str, T)]) -> &'static str {
    table
        .iter()
        .find(|(_, v)| v == value)
        .map_or("", |(name, _)| name)
}

impl Recurrence {
    /// Reads a `patternedRecurrence` of an event that is at `span`; the range may name another zone and
    /// another start. The first occurrence is the first day of the pattern from the start on.
    pub fn read(value: &Value, span: &Span) -> Result<Recurrence, ApiResponse> {
        let (pattern, range) = (&value["pattern"], &value["range"]);
        let kind = named(&pattern["type"], KINDS)
            .ok_or_else(|| invalid("The type of the recurrence pattern is not valid."))?;
        let whole = |v: &Value, name: &str, low: i64, high: i64| match v.as_i64() {
            Some(n) if (low..=high).contains(&n) => Ok(n),
            _ => Err(invalid(&format!(
                "The {name} of the recurrence is not valid."
            ))),
        };
        let date = |v: &Value| v.as_str().and_then(|t| t.parse::<Date>().ok());
        let yearly = matches!(kind, Kind::AbsoluteYearly | Kind::RelativeYearly);
        let absolute = matches!(kind, Kind::AbsoluteMonthly | Kind::AbsoluteYearly);
        let relative = matches!(kind, Kind::RelativeMonthly | Kind::RelativeYearly);
        let mut days = Vec::new();
        for day in pattern["daysOfWeek"].as_array().into_iter().flatten() {
            let day = named(day, DAYS).ok_or_else(|| invalid("daysOfWeek is not valid."))?;
            if !days.contains(&day) {
                days.push(day);
            }
        }
        if days.is_empty() && (relative || kind == Kind::Weekly) {
            return Err(invalid("This recurrence pattern needs daysOfWeek."));
        }
        if absolute || kind == Kind::Daily {
            days.clear();
        }
        let zone = match range["recurrenceTimeZone"].as_str() {
            None | Some("") => span.start_zone.clone(),
            Some(name) => Zone::find(name).ok_or_else(|| unknown_zone(name))?,
        };
        let start = span.seen_in(&zone).start.date();
        let end = match range["type"]
            .as_str()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("noend") => End::Never,
            Some("enddate") => End::On(
                date(&range["endDate"]).ok_or_else(|| invalid("The endDate is not valid."))?,
            ),
            Some("numbered") => End::After(whole(
                &range["numberOfOccurrences"],
                "numberOfOccurrences",
                1,
                999_999,
            )? as u32),
            _ => return Err(invalid("The type of the recurrence range is not valid.")),
        };
        let mut out = Recurrence {
            kind,
            interval: whole(&pattern["interval"], "interval", 1, 9_999)? as i32,
            month: if yearly {
                whole(&pattern["month"], "month", 1, 12)? as i8
            } else {
                0
            },
            day: if absolute {
                whole(&pattern["dayOfMonth"], "dayOfMonth", 1, 31)? as i8
            } else {
                0
            },
            days,
            first: named(&pattern["firstDayOfWeek"], DAYS).unwrap_or(Weekday::Sunday),
            index: named(&pattern["index"], INDEXES).unwrap_or(1),
            start: date(&range["startDate"])
                .filter(|d| d.year() > 1)
                .unwrap_or(start),
            end,
            zone,
        };
        let first = out.days(None).next();
        out.start =
            first.ok_or_else(|| invalid("The recurrence has no occurrence in its range."))?;
        Ok(out)
    }

    pub fn show(&self) -> Value {
        let (kind, end, count) = match self.end {
            End::Never => ("noEnd", None, 0),
            End::On(day) => ("endDate", Some(day), 0),
            End::After(n) => ("numbered", None, n),
        };
        let days: Vec<&str> = self.days.iter().map(|d| name_of(d, DAYS)).collect();
        json!({
            "pattern": {
                "type": name_of(&self.kind, KINDS), "interval": self.interval, "month": self.month, "dayOfMonth": self.day,
                "daysOfWeek": days, "firstDayOfWeek": name_of(&self.first, DAYS), "index": name_of(&self.index, INDEXES),
            },
            "range": {
                "type": kind, "startDate": self.start.to_string(),
                "endDate": end.map_or_else(|| "0001-01-01".to_owned(), |d| d.to_string()),
                "recurrenceTimeZone": &*self.zone.name, "numberOfOccurrences": count,
            },
        })
    }

    /// The days of the series in order, those before `from` left out.
    pub fn days(&self, from: Option<Date>) -> impl Iterator<Item = Date> + '_ {
        let last = match self.end {
            End::On(day) => day.min(LAST),
            _ => LAST,
        };
        let count = match self.end {
            End::After(n) => n as usize,
            _ => usize::MAX,
        };
        // Counted series are counted from their start.
        let skip = match (from, self.end) {
            (Some(from), End::Never | End::On(_)) => self.period_before(from),
            _ => 0,
        };
        (skip..)
            .map_while(move |k| self.period(k).filter(|(begin, _)| *begin <= last))
            .flat_map(|(_, days)| days)
            .filter(move |day| *day >= self.start)
            .take(count)
            .take_while(move |day| *day <= last)
            .skip_while(move |day| from.is_some_and(|f| *day < f))
    }

    pub fn falls_on(&self, day: Date) -> bool {
        self.days(Some(day)).next() == Some(day)
    }

    /// A period that is not after the one `from` is in.
    fn period_before(&self, from: Date) -> i64 {
        let days = self
            .start
            .until(from)
            .map_or(0, |s| i64::from(s.get_days()));
        let length = match self.kind {
            Kind::Daily => 1,
            Kind::Weekly => 7,
            Kind::AbsoluteMonthly | Kind::RelativeMonthly => 31,
            Kind::AbsoluteYearly | Kind::RelativeYearly => 366,
        };
        (days / (length * i64::from(self.interval)) - 1).max(0)
    }

    /// First day and days of period `k`; `None` beyond the end of time.
    fn period(&self, k: i64) -> Option<(Date, Vec<Date>)> {
        let step = k.checked_mul(i64::from(self.interval))?;
        match self.kind {
            Kind::Daily => {
                let day = self
                    .start
                    .checked_add(jiff::Span::new().try_days(step).ok()?)
                    .ok()?;
                Some((day, vec![day]))
            }
            Kind::Weekly => {
                let back = self.start.weekday().since(self.first);
                let anchor = self.start.checked_sub(i64::from(back).days()).ok()?;
                let begin = anchor
                    .checked_add(jiff::Span::new().try_weeks(step).ok()?)
                    .ok()?;
                let mut days: Vec<Date> = self
                    .days
                    .iter()
                    .filter_map(|d| {
                        begin
                            .checked_add(i64::from(d.since(self.first)).days())
                            .ok()
                    })
                    .collect();
                days.sort_unstable();
                Some((begin, days))
            }
            Kind::AbsoluteMonthly | Kind::RelativeMonthly => {
                let anchor = self.start.first_of_month();
                self.month(
                    anchor
                        .checked_add(jiff::Span::new().try_months(step).ok()?)
                        .ok()?,
                )
            }
            Kind::AbsoluteYearly | Kind::RelativeYearly => {
                let anchor = Date::new(self.start.year(), self.month, 1).ok()?;
                self.month(
                    anchor
                        .checked_add(jiff::Span::new().try_years(step).ok()?)
                        .ok()?,
                )
            }
        }
    }

    fn month(&self, begin: Date) -> Option<(Date, Vec<Date>)> {
        let length = begin.days_in_month();
        let on = |day: i8| Date::new(begin.year(), begin.month(), day).ok();
        let day = if self.day > 0 {
            on(self.day.min(length))
        } else {
            let fits: Vec<Date> = (1..=length)
                .filter_map(on)
                .filter(|d| self.days.contains(&d.weekday()))
                .collect();
            match self.index {
                5 => fits.last().copied(),
                nth => fits.get(usize::from(nth) - 1).copied(),
            }
        };
        Some((begin, day.into_iter().collect()))
    }
}
