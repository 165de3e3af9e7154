//! An RRULE as one of Graph's patterns, or why it is none.

use jiff::civil::{Date, Weekday};

use super::rule::{DAYS, INDEXES, Pattern, Range, Rule, shortest, sorted};
use super::time::{When, parse_clock, parse_day};
use super::{Refusal, unsupported};
use crate::format::zones::Zone;

/// The parts of an RRULE.
#[derive(Default)]
pub(super) struct Parts<'a> {
    parts: Vec<(String, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Takes an RRULE apart; a part that RFC 5545 does not have is refused.
    pub fn read(value: &'a str) -> Result<Self, Refusal> {
        const KNOWN: [&str; 16] = [
            "FREQ",
            "UNTIL",
            "COUNT",
            "INTERVAL",
            "BYSECOND",
            "BYMINUTE",
            "BYHOUR",
            "BYDAY",
            "BYMONTHDAY",
            "BYYEARDAY",
            "BYWEEKNO",
            "BYMONTH",
            "BYSETPOS",
            "WKST",
            "RSCALE",
            "SKIP",
        ];
        let mut parts = Parts::default();
        for part in value
            .trim()
            .split(';')
            .filter(|part| !part.trim().is_empty())
        {
            let bad = || {
                unsupported(format!(
                    "the rule {value:?} has a part that is not known: {part:?}"
                ))
            };
            let (name, value) = part.split_once('=').ok_or_else(bad)?;
            let name = name.trim().to_ascii_uppercase();
            if !KNOWN.contains(&name.as_str()) || parts.get(&name).is_some() {
                return Err(bad());
            }
            parts.parts.push((name, value.trim()));
        }
        Ok(parts)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.parts
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| *value)
    }

    fn numbers(&self, name: &str) -> Result<Vec<i32>, Refusal> {
        let Some(list) = self.get(name) else {
            return Ok(Vec::new());
        };
        list.split(',')
            .map(|n| {
                n.trim()
                    .parse()
                    .map_err(|_| unsupported(format!("{name}={list} in its rule")))
            })
            .collect()
    }

    fn number(&self, name: &str) -> Result<Option<i32>, Refusal> {
        match self.numbers(name)?.as_slice() {
            [] => Ok(None),
            [n] => Ok(Some(*n)),
            _ => Err(unsupported(format!("several values of {name} in its rule"))),
        }
    }

    /// The weekdays with their numbers.
    fn days(&self) -> Result<Vec<(Option<i8>, Weekday)>, Refusal> {
        let Some(list) = self.get("BYDAY") else {
            return Ok(Vec::new());
        };
        list.split(',')
            .map(|day| {
                let bad = || unsupported(format!("BYDAY={list} in its rule"));
                let day = day.trim();
                let (n, name) = day
                    .split_at_checked(day.len().saturating_sub(2))
                    .ok_or_else(bad)?;
                let known = DAYS
                    .iter()
                    .find(|(.., short)| short.eq_ignore_ascii_case(name));
                let n = match n.trim() {
                    "" => None,
                    n => Some(n.trim_start_matches('+').parse().map_err(|_| bad())?),
                };
                known.map(|(day, ..)| (n, *day)).ok_or_else(bad)
            })
            .collect()
    }

    pub fn rule(&self, start: &When) -> Result<Rule, Refusal> {
        let freq = self.get("FREQ").unwrap_or_default().to_ascii_uppercase();
        self.refuse_what_graph_has_not(&freq, start)?;
        let interval = self.number("INTERVAL")?.unwrap_or(1);
        if !(1..=10_000).contains(&interval) {
            return Err(unsupported(format!("INTERVAL={interval} in its rule")));
        }
        let week_start = match self.get("WKST") {
            None => Weekday::Monday,
            Some(name) => DAYS
                .iter()
                .find(|(.., short)| short.eq_ignore_ascii_case(name))
                .map(|(day, ..)| *day)
                .ok_or_else(|| unsupported(format!("WKST={name} in its rule")))?,
        };
        let pattern = match freq.as_str() {
            "DAILY" => self.daily(interval)?,
            "WEEKLY" => self.weekly(start)?,
            "MONTHLY" => self.monthly(start)?,
            "YEARLY" => self.yearly(start)?,
            other => return Err(unsupported(format!("a rule with FREQ={other}"))),
        };
        let rule = Rule {
            pattern,
            interval,
            week_start,
            range: self.range(start)?,
        };
        if rule.dates(start.date()).next() != Some(start.date()) {
            return Err(unsupported(
                "a rule that does not hold for its own start (the start would be moved)",
            ));
        }
        Ok(rule)
    }

    fn refuse_what_graph_has_not(&self, freq: &str, start: &When) -> Result<(), Refusal> {
        if self
            .get("RSCALE")
            .is_some_and(|scale| !scale.eq_ignore_ascii_case("GREGORIAN"))
        {
            return Err(unsupported("a rule in another calendar than the Gregorian"));
        }
        if self
            .get("SKIP")
            .is_some_and(|skip| !skip.eq_ignore_ascii_case("OMIT"))
        {
            return Err(unsupported("SKIP in its rule"));
        }
        for name in ["BYYEARDAY", "BYWEEKNO"] {
            if self.get(name).is_some() {
                return Err(unsupported(format!("{name} in its rule")));
            }
        }
        // The time of day may be said again, not changed.
        let time = match start {
            When::Day(_) => None,
            When::At { local, .. } => Some(local.time()),
        };
        for (name, is) in [
            ("BYHOUR", time.map(|t| t.hour())),
            ("BYMINUTE", time.map(|t| t.minute())),
            ("BYSECOND", time.map(|t| t.second())),
        ] {
            let told = self.numbers(name)?;
            if !told.is_empty() && (told.len() > 1 || Some(told[0]) != is.map(i32::from)) {
                return Err(unsupported(format!("{name} in its rule")));
            }
        }
        let allowed: &[&str] = match freq {
            "DAILY" | "WEEKLY" => &["BYDAY"],
            "MONTHLY" => &["BYDAY", "BYMONTHDAY", "BYSETPOS"],
            _ => &["BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS"],
        };
        for name in ["BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS"] {
            if self.get(name).is_some() && !allowed.contains(&name) {
                return Err(unsupported(format!("{name} in a rule with FREQ={freq}")));
            }
        }
        Ok(())
    }

    fn plain_days(&self) -> Result<Vec<Weekday>, Refusal> {
        let days = self.days()?;
        if days.iter().any(|(n, _)| n.is_some()) {
            return Err(unsupported(
                "numbered weekdays in a rule that counts no months",
            ));
        }
        Ok(sorted(days.into_iter().map(|(_, day)| day).collect()))
    }

    fn daily(&self, interval: i32) -> Result<Pattern, Refusal> {
        match self.plain_days()? {
            days if days.is_empty() => Ok(Pattern::Daily),
            // Every day that is one of these: the same as every week on these.
            days if interval == 1 => Ok(Pattern::Weekly(days)),
            _ => Err(unsupported("every few days, but on some weekdays only")),
        }
    }

    fn weekly(&self, start: &When) -> Result<Pattern, Refusal> {
        let days = self.plain_days()?;
        Ok(Pattern::Weekly(match days.is_empty() {
            true => vec![start.date().weekday()],
            false => days,
        }))
    }

    fn monthly(&self, start: &When) -> Result<Pattern, Refusal> {
        match self.nth()? {
            Some((n, days)) => Ok(Pattern::MonthlyNth(n, days)),
            None => Ok(Pattern::Monthly(self.day_of_month(start, 28, 31)?)),
        }
    }

    fn yearly(&self, start: &When) -> Result<Pattern, Refusal> {
        let month = self.number("BYMONTH")?;
        if month.is_none() && (self.get("BYDAY").is_some() || self.get("BYMONTHDAY").is_some()) {
            return Err(unsupported("a yearly rule with days but no month"));
        }
        let month = match month {
            None => start.date().month(),
            Some(month) => i8::try_from(month)
                .ok()
                .filter(|month| (1..=12).contains(month))
                .ok_or_else(|| unsupported(format!("BYMONTH={month} in its rule")))?,
        };
        if let Some((n, days)) = self.nth()? {
            return Ok(Pattern::YearlyNth(month, n, days));
        }
        let longest = Date::new(2028, month, 1).map_or(31, Date::days_in_month);
        let day = self.day_of_month(start, shortest(month), longest)?;
        Ok(Pattern::Yearly(month, day))
    }

    /// The nth weekday of a month, in either of its two spellings.
    fn nth(&self) -> Result<Option<(i8, Vec<Weekday>)>, Refusal> {
        let days = self.days()?;
        if days.is_empty() {
            return Ok(None);
        }
        if self.get("BYMONTHDAY").is_some() {
            return Err(unsupported("weekdays and days of the month in one rule"));
        }
        let position = self.number("BYSETPOS")?;
        let n = match (days.as_slice(), position) {
            ([(Some(n), _)], None | Some(1)) => *n,
            (days, Some(n)) if days.iter().all(|(n, _)| n.is_none()) => {
                i8::try_from(n).unwrap_or_default()
            }
            _ => return Err(unsupported("several weekdays of a month in its rule")),
        };
        if !INDEXES.iter().any(|(index, _)| *index == n) {
            return Err(unsupported(format!("number {n} of a weekday in its rule")));
        }
        Ok(Some((
            n,
            sorted(days.into_iter().map(|(_, day)| day).collect()),
        )))
    }

    /// The day of the month, where Exchange's way with short months is the rule's.
    fn day_of_month(&self, start: &When, shortest: i8, longest: i8) -> Result<i8, Refusal> {
        let mut days = self.numbers("BYMONTHDAY")?;
        days.sort_unstable();
        days.dedup();
        let position = self.number("BYSETPOS")?;
        let short = || {
            unsupported("a day that some months do not have (Exchange would take their last day)")
        };
        match (days.as_slice(), position) {
            ([], None) if start.date().day() <= shortest => Ok(start.date().day()),
            ([], None) => Err(short()),
            ([-1], None | Some(1 | -1)) => Ok(longest),
            ([day], None | Some(1 | -1)) if (1..=i32::from(shortest)).contains(day) => {
                Ok(*day as i8)
            }
            ([29..=31], None | Some(1 | -1)) => Err(short()),
            // The last of these days that there is.
            ([first, .., last], Some(-1)) => {
                let contiguous = days.windows(2).all(|pair| pair[1] == pair[0] + 1);
                let good = contiguous
                    && (1..=i32::from(shortest)).contains(first)
                    && *last <= i32::from(longest);
                match good {
                    true => Ok(*last as i8),
                    false => Err(unsupported("BYSETPOS over days of the month in its rule")),
                }
            }
            _ => Err(unsupported("several days of the month in its rule")),
        }
    }

    fn range(&self, start: &When) -> Result<Range, Refusal> {
        let count = self.number("COUNT")?;
        let Some(until) = self.get("UNTIL") else {
            return match count {
                None => Ok(Range::Forever),
                Some(n) if n > 0 => Ok(Range::Count(n.unsigned_abs())),
                Some(n) => Err(unsupported(format!("COUNT={n} in its rule"))),
            };
        };
        if count.is_some() {
            return Err(unsupported("both COUNT and UNTIL in its rule"));
        }
        let bad = || unsupported(format!("UNTIL={until} in its rule"));
        let last = match (parse_day(until), parse_clock(until), start) {
            (Some(day), ..) => day,
            (None, Some((local, _)), When::Day(_)) => local.date(),
            (None, Some((told, utc)), When::At { local, zone }) => {
                let end = match utc {
                    true => zone.local(Zone::utc().instant(told).ok_or_else(bad)?),
                    false => told,
                };
                match end.time() >= local.time() {
                    true => end.date(),
                    false => end.date().yesterday().map_err(|_| bad())?,
                }
            }
            (None, None, _) => return Err(bad()),
        };
        if last < start.date() {
            return Err(unsupported("a rule that ends before its start"));
        }
        Ok(Range::Until(last))
    }
}
