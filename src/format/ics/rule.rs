//! Recurrence: the six patterns that Graph has, and the rules of RFC 5545 section 3.3.10 that are
//! the same. A rule that Graph cannot hold exactly is refused: no series is ever changed in silence.
//!
//! In a month without the day, Exchange takes the month's last day, where RFC 5545 leaves the month
//! out. So day 31 is written as the last of the days 28 to 31, and a plain `BYMONTHDAY=31` is refused.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use serde_json::{Value, json};

use super::Refusal;
use super::rrule::Parts;
use super::time::When;
use crate::format::zones::Zone;

/// A series' rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub pattern: Pattern,
    /// In days, weeks, months or years; at least 1.
    pub interval: i32,
    /// On which day weeks begin.
    pub week_start: Weekday,
    pub range: Range,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Daily,
    Weekly(Vec<Weekday>),
    /// On this day of the month, or on the last one.
    Monthly(i8),
    /// On the nth (-1: last) of the days of the month that are one of these weekdays.
    MonthlyNth(i8, Vec<Weekday>),
    Yearly(i8, i8),
    YearlyNth(i8, i8, Vec<Weekday>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Forever,
    /// This day is in it.
    Until(Date),
    Count(u32),
}

pub(super) const DAYS: [(Weekday, &str, &str); 7] = [
    (Weekday::Monday, "monday", "MO"),
    (Weekday::Tuesday, "tuesday", "TU"),
    (Weekday::Wednesday, "wednesday", "WE"),
    (Weekday::Thursday, "thursday", "TH"),
    (Weekday::Friday, "friday", "FR"),
    (Weekday::Saturday, "saturday", "SA"),
    (Weekday::Sunday, "sunday", "SU"),
];

pub(super) const INDEXES: [(i8, &str); 5] = [
    (1, "first"),
    (2, "second"),
    (3, "third"),
    (4, "fourth"),
    (-1, "last"),
];

fn two_letters(day: Weekday) -> &'static str {
    DAYS.iter()
        .find(|(d, ..)| *d == day)
        .map_or("MO", |(.., short)| short)
}

fn graph_day(day: Weekday) -> &'static str {
    DAYS.iter()
        .find(|(d, ..)| *d == day)
        .map_or("monday", |(_, name, _)| name)
}

impl Rule {
    /// Reads Graph's `recurrence`. `None`: there is none, or it is of a kind that is not known.
    pub fn from_graph(recurrence: &Value) -> Option<Rule> {
        let pattern = &recurrence["pattern"];
        let number = |name: &str| i8::try_from(pattern[name].as_i64()?).ok();
        let weekday = |value: &Value| {
            let name = value.as_str()?;
            DAYS.iter()
                .find(|(_, n, _)| n.eq_ignore_ascii_case(name))
                .map(|(day, ..)| *day)
        };
        let days = || -> Option<Vec<Weekday>> {
            let days: Vec<_> = pattern["daysOfWeek"]
                .as_array()?
                .iter()
                .filter_map(weekday)
                .collect();
            (!days.is_empty()).then(|| sorted(days))
        };
        let index = || {
            let name = pattern["index"].as_str().unwrap_or("first");
            INDEXES
                .iter()
                .find(|(_, n)| n.eq_ignore_ascii_case(name))
                .map(|(n, _)| *n)
        };
        let day = || number("dayOfMonth").filter(|day| (1..=31).contains(day));
        let month = || number("month").filter(|month| (1..=12).contains(month));
        let kind = pattern["type"].as_str()?;
        let pattern_kind = match kind.to_ascii_lowercase().as_str() {
            "daily" => Pattern::Daily,
            "weekly" => Pattern::Weekly(days()?),
            "absolutemonthly" => Pattern::Monthly(day()?),
            "relativemonthly" => Pattern::MonthlyNth(index()?, days()?),
            "absoluteyearly" => Pattern::Yearly(month()?, day()?),
            "relativeyearly" => Pattern::YearlyNth(month()?, index()?, days()?),
            _ => return None,
        };
        let range = &recurrence["range"];
        let range = match range["type"].as_str()?.to_ascii_lowercase().as_str() {
            "enddate" => Range::Until(range["endDate"].as_str()?.parse().ok()?),
            "numbered" => Range::Count(u32::try_from(range["numberOfOccurrences"].as_u64()?).ok()?),
            _ => Range::Forever,
        };
        let interval = pattern["interval"].as_i64().unwrap_or(1);
        Some(Rule {
            pattern: pattern_kind,
            interval: i32::try_from(interval).ok()?.clamp(1, 10_000),
            week_start: weekday(&pattern["firstDayOfWeek"]).unwrap_or(Weekday::Sunday),
            range,
        })
    }

    /// As Graph's `recurrence`.
    pub fn to_graph(&self, start: Date, zone: &Zone) -> Value {
        let names =
            |days: &[Weekday]| -> Vec<&str> { days.iter().map(|d| graph_day(*d)).collect() };
        let index = |n: i8| {
            INDEXES
                .iter()
                .find(|(i, _)| *i == n)
                .map_or("first", |(_, name)| name)
        };
        let mut pattern = match &self.pattern {
            Pattern::Daily => json!({ "type": "daily" }),
            Pattern::Weekly(days) => json!({
                "type": "weekly", "daysOfWeek": names(days),
                "firstDayOfWeek": graph_day(self.week_start),
            }),
            Pattern::Monthly(day) => json!({ "type": "absoluteMonthly", "dayOfMonth": day }),
            Pattern::MonthlyNth(n, days) => json!({
                "type": "relativeMonthly", "daysOfWeek": names(days), "index": index(*n),
            }),
            Pattern::Yearly(month, day) => json!({
                "type": "absoluteYearly", "month": month, "dayOfMonth": day,
            }),
            Pattern::YearlyNth(month, n, days) => json!({
                "type": "relativeYearly", "month": month, "daysOfWeek": names(days), "index": index(*n),
            }),
        };
        pattern["interval"] = json!(self.interval);
        let mut range = match self.range {
            Range::Forever => json!({ "type": "noEnd" }),
            Range::Until(end) => json!({ "type": "endDate", "endDate": end.to_string() }),
            Range::Count(n) => json!({ "type": "numbered", "numberOfOccurrences": n }),
        };
        range["startDate"] = json!(start.to_string());
        range["recurrenceTimeZone"] = json!(zone.windows_name());
        json!({ "pattern": pattern, "range": range })
    }

    /// The same days, each so many days later. `None`: no rule says that.
    pub fn moved(&self, days: i32) -> Option<Rule> {
        let moved = |week: &[Weekday]| sorted(week.iter().map(|d| d.wrapping_add(days)).collect());
        let pattern = match (&self.pattern, days) {
            (pattern, 0) => pattern.clone(),
            (Pattern::Daily, _) => Pattern::Daily,
            (Pattern::Weekly(week), _) => Pattern::Weekly(moved(week)),
            // From the first day to the last one of the month before, and back.
            (Pattern::Monthly(1), -1) => Pattern::Monthly(31),
            (Pattern::Monthly(31), 1) => Pattern::Monthly(1),
            (Pattern::Monthly(day), _) => {
                let moved = i32::from(*day).checked_add(days)?;
                let everywhere = *day <= 28 && (1..=28).contains(&moved);
                Pattern::Monthly(i8::try_from(moved).ok().filter(|_| everywhere)?)
            }
            (Pattern::Yearly(3, 1), -1) => Pattern::Yearly(2, 29),
            (Pattern::Yearly(2, 29), 1) => Pattern::Yearly(3, 1),
            (Pattern::Yearly(2, 28), 1) => return None,
            (Pattern::Yearly(month, day), _) => {
                let date = on_day(Date::new(2027, *month, 1).ok()?, *day);
                let date = date.checked_add(days.days()).ok()?;
                let everywhere = *day <= shortest(*month);
                everywhere.then(|| Pattern::Yearly(date.month(), date.day()))?
            }
            (Pattern::MonthlyNth(..) | Pattern::YearlyNth(..), _) => return None,
        };
        let range = match self.range {
            Range::Until(end) => Range::Until(end.checked_add(days.days()).ok()?),
            range => range,
        };
        Some(Rule {
            pattern,
            week_start: self.week_start.wrapping_add(days),
            range,
            interval: self.interval,
        })
    }

    /// As the value of RRULE for a series that begins at `start`.
    pub fn to_ics(&self, start: &When) -> String {
        let list = |days: &[Weekday]| {
            let days: Vec<&str> = days.iter().map(|d| two_letters(*d)).collect();
            days.join(",")
        };
        let nth = |n: i8, days: &[Weekday]| match days {
            [day] => format!("BYDAY={n}{}", two_letters(*day)),
            days => format!("BYDAY={};BYSETPOS={n}", list(days)),
        };
        // The last day there is, up to this one.
        let day = |day: i8, shortest: i8| {
            if day <= shortest {
                return format!("BYMONTHDAY={day}");
            }
            let days: Vec<String> = (shortest..=day).map(|d| d.to_string()).collect();
            format!("BYMONTHDAY={};BYSETPOS=-1", days.join(","))
        };
        let (freq, by) = match &self.pattern {
            Pattern::Daily => ("DAILY", String::new()),
            Pattern::Weekly(days) => ("WEEKLY", format!("BYDAY={}", list(days))),
            Pattern::Monthly(d) => ("MONTHLY", day(*d, 28)),
            Pattern::MonthlyNth(n, days) => ("MONTHLY", nth(*n, days)),
            Pattern::Yearly(month, d) => {
                let by = day(*d, shortest(*month));
                ("YEARLY", format!("BYMONTH={month};{by}"))
            }
            Pattern::YearlyNth(month, n, days) => {
                ("YEARLY", format!("BYMONTH={month};{}", nth(*n, days)))
            }
        };
        let mut rule = format!("FREQ={freq}");
        match self.range {
            Range::Forever => {}
            Range::Count(n) => rule.push_str(&format!(";COUNT={n}")),
            Range::Until(end) => rule.push_str(&format!(";UNTIL={}", until(end, start))),
        }
        if self.interval > 1 {
            rule.push_str(&format!(";INTERVAL={}", self.interval));
        }
        if !by.is_empty() {
            rule.push_str(&format!(";{by}"));
        }
        if matches!(self.pattern, Pattern::Weekly(_)) {
            rule.push_str(&format!(";WKST={}", two_letters(self.week_start)));
        }
        rule
    }

    /// Reads the value of an RRULE of a series that begins at `start`.
    pub fn from_ics(value: &str, start: &When) -> Result<Rule, Refusal> {
        let parts = Parts::read(value)?;
        parts.rule(start)
    }

    /// The days of the series, the first being `start` if the rule holds for it.
    pub fn dates(&self, start: Date) -> impl Iterator<Item = Date> + '_ {
        let count = match self.range {
            Range::Count(n) => n as usize,
            _ => usize::MAX,
        };
        let end = match self.range {
            Range::Until(end) => end,
            _ => Date::MAX,
        };
        (0..)
            .map_while(move |period| self.period(start, period))
            .flatten()
            .skip_while(move |date| *date < start)
            .take_while(move |date| *date <= end)
            .take(count)
    }

    /// The last day of the series, if it has one.
    pub fn last(&self, start: Date) -> Option<Date> {
        match self.range {
            Range::Forever => None,
            _ => self.dates(start).last(),
        }
    }

    /// The days in one period of the rule; `None` after the end of time.
    fn period(&self, start: Date, period: i32) -> Option<Vec<Date>> {
        let steps = self.interval.checked_mul(period)?;
        let month = |months: i32| start.first_of_month().checked_add(months.months()).ok();
        Some(match &self.pattern {
            Pattern::Daily => vec![start.checked_add(steps.days()).ok()?],
            Pattern::Weekly(days) => {
                let back = start.weekday().since(self.week_start);
                let first = start.checked_sub(i32::from(back).days()).ok()?;
                let first = first.checked_add(steps.checked_mul(7)?.days()).ok()?;
                let mut dates: Vec<Date> = days
                    .iter()
                    .filter_map(|day| {
                        let ahead = i32::from(day.since(self.week_start));
                        first.checked_add(ahead.days()).ok()
                    })
                    .collect();
                dates.sort();
                dates
            }
            Pattern::Monthly(day) => vec![on_day(month(steps)?, *day)],
            Pattern::MonthlyNth(n, days) => nth_day(month(steps)?, *n, days).into_iter().collect(),
            Pattern::Yearly(in_month, day) => {
                vec![on_day(month_of(start, steps, *in_month)?, *day)]
            }
            Pattern::YearlyNth(in_month, n, days) => {
                let month = month_of(start, steps, *in_month)?;
                nth_day(month, *n, days).into_iter().collect()
            }
        })
    }
}

pub(super) fn sorted(mut days: Vec<Weekday>) -> Vec<Weekday> {
    days.sort_by_key(|day| day.to_monday_zero_offset());
    days.dedup();
    days
}

/// Days that a month has at least.
pub(super) fn shortest(month: i8) -> i8 {
    Date::new(2027, month, 1).map_or(28, Date::days_in_month)
}

fn month_of(start: Date, years: i32, month: i8) -> Option<Date> {
    let year = i32::from(start.year()).checked_add(years)?;
    Date::new(i16::try_from(year).ok()?, month, 1).ok()
}

/// A day of a month, or its last one.
fn on_day(month: Date, day: i8) -> Date {
    let day = day.min(month.days_in_month());
    month.with().day(day).build().unwrap_or(month)
}

fn nth_day(month: Date, n: i8, days: &[Weekday]) -> Option<Date> {
    let fitting: Vec<Date> = (1..=month.days_in_month())
        .map(|day| on_day(month, day))
        .filter(|date| days.contains(&date.weekday()))
        .collect();
    match n {
        -1 => fitting.last().copied(),
        n => fitting
            .get(usize::try_from(n).ok()?.checked_sub(1)?)
            .copied(),
    }
}

/// The end of a day, in the form that the start asks for.
fn until(end: Date, start: &When) -> String {
    match start {
        When::Day(_) => super::time::day(end),
        When::At { zone, .. } => match zone.instant(end.at(23, 59, 59, 0)) {
            Some(instant) => super::time::stamp(instant),
            None => super::time::day(end),
        },
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
