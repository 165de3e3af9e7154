//! The next day of a series of tasks.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Weekday};
use serde_json::{Value, json};

pub const PATTERNS: &[&str] = &[
    "daily",
    "weekly",
    "absoluteMonthly",
    "relativeMonthly",
    "absoluteYearly",
    "relativeYearly",
];
pub const DAYS: &[&str] = &[
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
pub const INDEXES: &[&str] = &["first", "second", "third", "fourth", "last"];

/// The day of a date or of a date and time without zone.
pub fn day(value: &Value) -> Option<Date> {
    let day: Date = value.as_str()?.get(..10)?.parse().ok()?;
    (day.year() > 1).then_some(day)
}

/// Moves a time by as many days as `to` is after `from`.
pub fn shift(time: &mut Value, from: Date, to: Date) {
    let moved = || {
        let old: DateTime = time.as_str()?.parse().ok()?;
        let new = old.checked_add(from.until(to).ok()?).ok()?;
        Some(format!("{}.0000000", new.strftime("%Y-%m-%dT%H:%M:%S")))
    };
    if let Some(moved) = moved() {
        *time = json!(moved);
    }
}

/// The day after `from` in a series, and the series as it is from then on. `None` after the last.
pub fn next(series: &Value, from: Date) -> Option<(Date, Value)> {
    let pattern = &series["pattern"];
    let interval = pattern["interval"].as_i64().unwrap_or(1).clamp(1, 9999);
    let after = match pattern["type"].as_str()? {
        "daily" => from.checked_add(interval.days()).ok()?,
        "weekly" => weekly(pattern, from, interval)?,
        kind => {
            let years = kind.ends_with("Yearly");
            let step = if years { interval * 12 } else { interval };
            let month = from.first_of_month().checked_add(step.months()).ok()?;
            let wanted = pattern["month"].as_i64().filter(|m| (1..=12).contains(m));
            let month = match wanted.filter(|_| years) {
                Some(wanted) => Date::new(month.year(), wanted as i8, 1).ok()?,
                None => month,
            };
            match kind.starts_with("relative") {
                true => relative(pattern, month)?,
                false => {
                    // The 31st is the last day of a shorter month.
                    let wanted = pattern["dayOfMonth"].as_i64().filter(|d| *d > 0);
                    let wanted = wanted.unwrap_or(i64::from(from.day()));
                    let last = i64::from(month.days_in_month());
                    Date::new(month.year(), month.month(), wanted.min(last) as i8).ok()?
                }
            }
        }
    };
    let mut rest = series.clone();
    match series["range"]["type"].as_str() {
        Some("endDate") if day(&series["range"]["endDate"]).is_some_and(|end| after > end) => {
            return None;
        }
        Some("numbered") => {
            let left = series["range"]["numberOfOccurrences"].as_i64()? - 1;
            if left < 1 {
                return None;
            }
            rest["range"]["numberOfOccurrences"] = json!(left);
        }
        _ => {}
    }
    rest["range"]["startDate"] = json!(after.to_string());
    Some((after, rest))
}

fn days(pattern: &Value) -> Vec<Weekday> {
    let number = |day: &Value| DAYS.iter().position(|d| day == d);
    let list = pattern["daysOfWeek"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(|day| Weekday::from_sunday_zero_offset(number(day)? as i8).ok())
        .collect()
}

fn weekly(pattern: &Value, from: Date, interval: i64) -> Option<Date> {
    let days = days(pattern);
    if days.is_empty() {
        return from.checked_add(interval.weeks()).ok();
    }
    let first = DAYS.iter().position(|d| pattern["firstDayOfWeek"] == *d);
    let first = Weekday::from_sunday_zero_offset(first.unwrap_or(0) as i8).ok()?;
    let into_week = |date: Date| i64::from(date.weekday().since(first));
    // Later in the same week, else the first of the days `interval` weeks on.
    for ahead in 1..7 - into_week(from) {
        let date = from.checked_add(ahead.days()).ok()?;
        if days.contains(&date.weekday()) {
            return Some(date);
        }
    }
    let week = from.checked_sub(into_week(from).days()).ok()?;
    let week = week.checked_add(interval.weeks()).ok()?;
    (0..7).find_map(|ahead: i64| {
        let date = week.checked_add(ahead.days()).ok()?;
        days.contains(&date.weekday()).then_some(date)
    })
}

/// The n-th of some weekdays in a month.
fn relative(pattern: &Value, month: Date) -> Option<Date> {
    let days = days(pattern);
    let all: Vec<Date> = (1..=month.days_in_month())
        .filter_map(|day| Date::new(month.year(), month.month(), day).ok())
        .filter(|date| days.is_empty() || days.contains(&date.weekday()))
        .collect();
    let index = INDEXES.iter().position(|i| pattern["index"] == *i);
    match index.unwrap_or(0) {
        4 => all.last().copied(),
        n => all.get(n).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pattern: Value, from: &str) -> String {
        let series = json!({"pattern": pattern, "range": {"type": "noEnd", "startDate": from}});
        let next = next(&series, from.parse().unwrap());
        next.map_or_else(|| "none".into(), |(day, _)| day.to_string())
    }

    #[test]
    fn every_pattern_has_its_next_day() {
        assert_eq!(
            after(json!({"type": "daily", "interval": 3}), "2026-02-27"),
            "2026-03-02"
        );
        let twice = json!({"type": "weekly", "interval": 2, "daysOfWeek": ["monday", "thursday"], "firstDayOfWeek": "monday"});
        assert_eq!(after(twice.clone(), "2026-11-02"), "2026-11-05");
        assert_eq!(after(twice, "2026-11-05"), "2026-11-16");
        let last = json!({"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31});
        assert_eq!(after(last, "2026-01-31"), "2026-02-28");
        let friday = json!({"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["friday"], "index": "last"});
        assert_eq!(after(friday, "2026-01-30"), "2026-02-27");
        let leap = json!({"type": "absoluteYearly", "interval": 1, "month": 2, "dayOfMonth": 29});
        assert_eq!(after(leap, "2024-02-29"), "2025-02-28");
        let second = json!({"type": "relativeYearly", "interval": 1, "month": 5, "daysOfWeek": ["sunday"], "index": "second"});
        assert_eq!(after(second, "2026-05-10"), "2027-05-09");
    }

    #[test]
    fn a_series_ends() {
        let daily = json!({"type": "daily", "interval": 1});
        let until = json!({"pattern": daily, "range": {"type": "endDate", "startDate": "2026-01-01", "endDate": "2026-01-02"}});
        let (day, rest) = next(&until, "2026-01-01".parse().unwrap()).unwrap();
        assert!(next(&rest, day).is_none());
        let two = json!({"pattern": daily, "range": {"type": "numbered", "startDate": "2026-01-01", "numberOfOccurrences": 2}});
        let (day, rest) = next(&two, "2026-01-01".parse().unwrap()).unwrap();
        assert_eq!(rest["range"]["numberOfOccurrences"], 1);
        assert!(next(&rest, day).is_none());
    }
}
