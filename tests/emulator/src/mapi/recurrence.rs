//! Recurrence: Graph's `patternedRecurrence`, and the days it means.

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value as Json, json};

/// Days a series is followed for when its last is looked for.
const MAX_DAYS: i64 = 400 * 366;

const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "last"];

/// A pattern and its range, as Graph's `patternedRecurrence` says them.
#[derive(Debug, Clone, PartialEq)]
pub struct Recurrence {
    pub frequency: Frequency,
    pub interval: i64,
    pub first_day_of_week: u32,
    pub start: Date,
    pub end: End,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Frequency {
    Daily,
    /// One bit for each weekday, Sunday the lowest.
    Weekly(u32),
    /// Day of the month; in shorter months the last.
    Monthly(i64),
    /// Weekdays, and which of them in the month (5: the last).
    RelativeMonthly(u32, i64),
    Yearly {
        month: i8,
        day: i64,
    },
    RelativeYearly {
        month: i8,
        days: u32,
        nth: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    Never,
    On(Date),
    After(u32),
}

/// 0 for Sunday.
pub fn weekday_number(day: Date) -> u32 {
    day.weekday().to_sunday_zero_offset() as u32
}

impl Recurrence {
    /// Reads a `patternedRecurrence`.
    pub fn from_graph(value: &Json) -> Option<Recurrence> {
        let (pattern, range) = (&value["pattern"], &value["range"]);
        let index_of = |names: &[&str], name: &Json| {
            let name = name.as_str()?;
            names.iter().position(|n| n.eq_ignore_ascii_case(name))
        };
        let days = pattern["daysOfWeek"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|d| index_of(&WEEKDAYS, d))
            .fold(0, |mask, day| mask | 1 << day);
        let number = |name: &str| pattern[name].as_i64().unwrap_or(0);
        let nth = index_of(&ORDINALS, &pattern["index"]).unwrap_or(0) as i64 + 1;
        let month = i8::try_from(number("month")).ok();
        let frequency = match pattern["type"].as_str()?.to_ascii_lowercase().as_str() {
            "daily" => Frequency::Daily,
            "weekly" => Frequency::Weekly(days),
            "absolutemonthly" => Frequency::Monthly(number("dayOfMonth")),
            "relativemonthly" => Frequency::RelativeMonthly(days, nth),
            "absoluteyearly" => Frequency::Yearly {
                month: month?,
                day: number("dayOfMonth"),
            },
            "relativeyearly" => Frequency::RelativeYearly {
                month: month?,
                days,
                nth,
            },
            _ => return None,
        };
        let date = |name: &str| range[name].as_str()?.parse::<Date>().ok();
        Some(Recurrence {
            frequency,
            interval: number("interval").max(1),
            first_day_of_week: index_of(&WEEKDAYS, &pattern["firstDayOfWeek"]).unwrap_or(0) as u32,
            start: date("startDate")?,
            end: match range["type"].as_str()?.to_ascii_lowercase().as_str() {
                "enddate" => End::On(date("endDate")?),
                "numbered" => End::After(range["numberOfOccurrences"].as_u64()?.min(999) as u32),
                _ => End::Never,
            },
        })
    }

    /// The same as a `patternedRecurrence`; `zone` is what the days are in.
    pub fn to_graph(&self, zone: &str) -> Json {
        let days = |mask: u32| -> Vec<&str> {
            (0..7)
                .filter(|n| mask & (1 << n) != 0)
                .map(|n| WEEKDAYS[n])
                .collect()
        };
        let ordinal = |nth: i64| ORDINALS[(nth.clamp(1, 5) - 1) as usize];
        let (kind, month, day, week, index) = match &self.frequency {
            Frequency::Daily => ("daily", 0, 0, Vec::new(), "first"),
            Frequency::Weekly(mask) => ("weekly", 0, 0, days(*mask), "first"),
            Frequency::Monthly(day) => ("absoluteMonthly", 0, *day, Vec::new(), "first"),
            Frequency::RelativeMonthly(mask, nth) => {
                ("relativeMonthly", 0, 0, days(*mask), ordinal(*nth))
            }
            Frequency::Yearly { month, day } => {
                ("absoluteYearly", *month, *day, Vec::new(), "first")
            }
            Frequency::RelativeYearly {
                month,
                days: mask,
                nth,
            } => ("relativeYearly", *month, 0, days(*mask), ordinal(*nth)),
        };
        let (range, end, count) = match self.end {
            End::Never => ("noEnd", "0001-01-01".to_owned(), 0),
            End::On(date) => ("endDate", date.to_string(), 0),
            End::After(count) => ("numbered", "0001-01-01".to_owned(), count),
        };
        json!({
            "pattern": {"type": kind, "interval": self.interval, "month": month, "dayOfMonth": day, "daysOfWeek": week,
                "firstDayOfWeek": WEEKDAYS[(self.first_day_of_week % 7) as usize], "index": index},
            "range": {"type": range, "startDate": self.start.to_string(), "endDate": end,
                "recurrenceTimeZone": zone, "numberOfOccurrences": count},
        })
    }

    /// The days of the series, in order, at most [`MAX_DAYS`] on.
    pub fn days(&self) -> impl Iterator<Item = Date> + '_ {
        let limit = match self.end {
            End::After(count) => count as usize,
            _ => usize::MAX,
        };
        let end = match self.end {
            End::On(end) => end,
            _ => Date::MAX,
        };
        (0..MAX_DAYS)
            .map_while(|n| self.start.checked_add(n.days()).ok())
            .take_while(move |day| *day <= end)
            .filter(|day| self.falls_on(*day))
            .take(limit)
    }

    fn falls_on(&self, day: Date) -> bool {
        let months = |day: Date| i64::from(day.year()) * 12 + i64::from(day.month());
        let apart = months(day) - months(self.start);
        let on_day =
            |wanted: i64| i64::from(day.day()) == wanted.min(i64::from(day.days_in_month()));
        let nth = |mask: u32, nth: i64| {
            let first = day.first_of_month();
            let fitting: Vec<i8> = (0..day.days_in_month())
                .filter(|n| mask & (1 << ((weekday_number(first) + *n as u32) % 7)) != 0)
                .map(|n| n + 1)
                .collect();
            let wanted = match nth {
                5 => fitting.last(),
                nth => usize::try_from(nth - 1).ok().and_then(|n| fitting.get(n)),
            };
            wanted == Some(&day.day())
        };
        let in_year = |month: i8| {
            let years = i64::from(day.year()) - i64::from(self.start.year());
            day.month() == month && years % self.interval == 0
        };
        match &self.frequency {
            Frequency::Daily => i64::from((day - self.start).get_days()) % self.interval == 0,
            Frequency::Weekly(mask) => {
                let weeks = (self.week_of(day) - self.week_of(self.start)).get_days() / 7;
                mask & (1 << weekday_number(day)) != 0 && i64::from(weeks) % self.interval == 0
            }
            Frequency::Monthly(wanted) => apart % self.interval == 0 && on_day(*wanted),
            Frequency::RelativeMonthly(mask, n) => apart % self.interval == 0 && nth(*mask, *n),
            Frequency::Yearly { month, day } => in_year(*month) && on_day(*day),
            Frequency::RelativeYearly {
                month,
                days,
                nth: n,
            } => in_year(*month) && nth(*days, *n),
        }
    }

    /// The first day of the week that a day is in.
    pub fn week_of(&self, day: Date) -> Date {
        let back = (weekday_number(day) + 7 - self.first_day_of_week % 7) % 7;
        day.checked_sub(i64::from(back).days()).unwrap_or(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: Json, range: Json) -> Recurrence {
        Recurrence::from_graph(&json!({"pattern": pattern, "range": range})).unwrap()
    }

    #[test]
    fn days_follow_the_pattern() {
        let days = |r: &Recurrence, n: usize| -> Vec<String> {
            r.days().take(n).map(|d| d.to_string()).collect()
        };
        let r = of(
            json!({"type": "weekly", "interval": 2, "daysOfWeek": ["monday", "sunday"], "firstDayOfWeek": "monday"}),
            json!({"type": "noEnd", "startDate": "2026-03-02"}),
        );
        assert_eq!(
            days(&r, 4),
            ["2026-03-02", "2026-03-08", "2026-03-16", "2026-03-22"]
        );
        let r = of(
            json!({"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}),
            json!({"type": "numbered", "startDate": "2026-01-31", "numberOfOccurrences": 3}),
        );
        assert_eq!(days(&r, 9), ["2026-01-31", "2026-02-28", "2026-03-31"]);
        let r = of(
            json!({"type": "relativeYearly", "interval": 1, "month": 10, "index": "last", "daysOfWeek": ["sunday"]}),
            json!({"type": "endDate", "startDate": "2026-10-25", "endDate": "2028-01-01"}),
        );
        assert_eq!(days(&r, 9), ["2026-10-25", "2027-10-31"]);
        assert_eq!(Recurrence::from_graph(&r.to_graph("UTC")), Some(r));
    }
}
