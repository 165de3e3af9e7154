//! Which snapshots rules keep, and why. A pure function of times and tags.
//!
//! The rules are restic's: of the newest N hours (days, weeks, months, years) in which there is a
//! snapshot, the newest snapshot of each is kept; all that any rule keeps stays. Periods are those of
//! UTC, weeks those of ISO 8601 (from Monday on). `within` counts back from the newest snapshot, not
//! from now, so that a machine that was off for a year does not forget everything when it comes back.
//!
//! Only complete snapshots are given to rules: a checkpoint of a sync that goes on neither takes a
//! place nor is forgotten by a rule. The newest is always kept.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

/// What to keep. Nothing set: no rules at all, which is not the same as rules that keep nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// The newest N.
    pub keep_last: u32,
    /// The newest of each of the newest N hours that have one.
    pub keep_hourly: u32,
    /// The same of days.
    pub keep_daily: u32,
    /// The same of weeks.
    pub keep_weekly: u32,
    /// The same of months.
    pub keep_monthly: u32,
    /// The same of years.
    pub keep_yearly: u32,
    /// All that are at most this much older than the newest.
    pub keep_within: Option<Age>,
    /// All that carry one of these tags.
    pub keep_tags: BTreeSet<String>,
}

impl Rules {
    /// True when no rule is set.
    pub fn is_empty(&self) -> bool {
        *self == Rules::default()
    }

    /// True when a rule asks when snapshots were made, and not only for their order or tags.
    pub(super) fn counts_periods(&self) -> bool {
        let order = Rules {
            keep_last: self.keep_last,
            keep_tags: self.keep_tags.clone(),
            ..Rules::default()
        };
        *self != order
    }
}

/// A calendar span: `30d`, `6m`, `2y`, `1y6m`, in years, months, weeks, days and hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    years: u16,
    months: u16,
    weeks: u16,
    days: u16,
    hours: u16,
}

impl Age {
    /// The time this long before `time` (both seconds since 1970), by the calendar of UTC.
    fn before(self, time: i64) -> i64 {
        let span = || {
            Span::new()
                .try_years(self.years)
                .and_then(|span| span.try_months(self.months))
                .and_then(|span| span.try_weeks(self.weeks))
                .and_then(|span| span.try_days(self.days))
                .and_then(|span| span.try_hours(self.hours))
        };
        let start = Timestamp::from_second(time)
            .and_then(|time| time.to_zoned(TimeZone::UTC).checked_sub(span()?));
        // Before the calendar's beginning: nothing is that old.
        start.map_or(i64::MIN, |start| start.timestamp().as_second())
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an age; write 30d, 6m or 1y6m (years, months, weeks, days, hours: y m w d h)"
            )
        };
        let mut age = Age {
            years: 0,
            months: 0,
            weeks: 0,
            days: 0,
            hours: 0,
        };
        let mut digits = String::new();
        for c in text.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let field = match c {
                'y' => &mut age.years,
                'm' => &mut age.months,
                'w' => &mut age.weeks,
                'd' => &mut age.days,
                'h' => &mut age.hours,
                _ => return Err(wrong()),
            };
            let number: u16 = digits.parse().map_err(|_| wrong())?;
            if number == 0 || *field != 0 {
                return Err(wrong());
            }
            *field = number;
            digits.clear();
        }
        if text.is_empty() || !digits.is_empty() {
            return Err(wrong());
        }
        Ok(age)
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            (self.years, 'y'),
            (self.months, 'm'),
            (self.weeks, 'w'),
            (self.days, 'd'),
            (self.hours, 'h'),
        ];
        let mut set = fields.iter().filter(|(number, _)| *number > 0);
        set.try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a snapshot, or an account in it, is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is the newest that its rules look at, or the next cycle goes on from it.
    Newest,
    /// No rule applies to it.
    NoRule,
    /// `keep_last`.
    Last,
    /// `keep_hourly`.
    Hourly,
    /// `keep_daily`.
    Daily,
    /// `keep_weekly`.
    Weekly,
    /// `keep_monthly`.
    Monthly,
    /// `keep_yearly`.
    Yearly,
    /// `keep_within`.
    Within,
    /// `keep_tags`: this one.
    Tag(String),
    /// The legal hold of this name.
    Hold(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Newest => "newest",
            Reason::NoRule => "no rule",
            Reason::Last => "last",
            Reason::Hourly => "hourly",
            Reason::Daily => "daily",
            Reason::Weekly => "weekly",
            Reason::Monthly => "monthly",
            Reason::Yearly => "yearly",
            Reason::Within => "within",
            Reason::Tag(tag) => return write!(f, "tag {tag}"),
            Reason::Hold(name) => return write!(f, "hold {name}"),
        })
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Seconds since 1970.
    pub time: i64,
    /// Its tags.
    pub tags: &'a BTreeSet<String>,
}

/// For each candidate (sorted by time, the oldest first) why `rules` keep it; no reason: they do not.
pub fn keep(candidates: &[Candidate<'_>], rules: &Rules) -> Vec<Vec<Reason>> {
    let mut reasons = vec![Vec::new(); candidates.len()];
    let Some(newest) = candidates.last() else {
        return reasons;
    };
    let oldest = rules.keep_within.map(|age| age.before(newest.time));
    for (candidate, reasons) in candidates.iter().zip(&mut reasons) {
        if oldest.is_some_and(|oldest| candidate.time >= oldest) {
            reasons.push(Reason::Within);
        }
        let tags = candidate.tags.intersection(&rules.keep_tags);
        reasons.extend(tags.map(|tag| Reason::Tag(tag.clone())));
    }
    // Each candidate is a period of its own for `keep_last`.
    let periods: [(Reason, u32, fn(usize, i64) -> i64); 6] = [
        (Reason::Last, rules.keep_last, |position, _| position as i64),
        (Reason::Hourly, rules.keep_hourly, |_, time| {
            time.div_euclid(3600)
        }),
        (Reason::Daily, rules.keep_daily, |_, time| day(time)),
        // The first of January 1970 was a Thursday.
        (Reason::Weekly, rules.keep_weekly, |_, time| {
            (day(time) + 3).div_euclid(7)
        }),
        (Reason::Monthly, rules.keep_monthly, |_, time| month(time)),
        (Reason::Yearly, rules.keep_yearly, |_, time| {
            month(time).div_euclid(12)
        }),
    ];
    for (reason, count, period) in periods {
        let mut left = count;
        let mut last = None;
        for (position, candidate) in candidates.iter().enumerate().rev() {
            if left == 0 {
                break;
            }
            let period = period(position, candidate.time);
            if last != Some(period) {
                last = Some(period);
                left -= 1;
                reasons[position].push(reason.clone());
            }
        }
    }
    if let Some(newest) = reasons.last_mut() {
        newest.push(Reason::Newest);
    }
    for reasons in &mut reasons {
        reasons.sort_unstable();
    }
    reasons
}

fn day(time: i64) -> i64 {
    time.div_euclid(86_400)
}

/// Months since the year 0.
fn month(time: i64) -> i64 {
    // Names of snapshots come from times that the calendar has.
    let time = Timestamp::from_second(time).unwrap_or_default();
    let date = time.to_zoned(TimeZone::UTC).date();
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    /// The times that are kept, with their reasons, oldest first.
    fn kept(times: &[&str], rules: &Rules) -> Vec<String> {
        let tags = BTreeSet::new();
        let candidates: Vec<_> = times
            .iter()
            .map(|time| Candidate {
                time: at(time),
                tags: &tags,
            })
            .collect();
        let lines = times.iter().zip(keep(&candidates, rules));
        lines
            .filter(|(_, reasons)| !reasons.is_empty())
            .map(|(time, reasons)| {
                let reasons: Vec<_> = reasons.iter().map(Reason::to_string).collect();
                format!("{time} {}", reasons.join(","))
            })
            .collect()
    }

    #[test]
    fn the_newest_of_each_period_is_kept() {
        let times = [
            "2024-12-31T23:00:00Z",
            "2025-06-30T12:00:00Z",
            "2025-12-28T23:59:59Z", // Sunday of week 52
            "2025-12-29T00:00:00Z", // Monday of week 1 of 2026
            "2026-01-04T10:00:00Z", // Sunday of the same week
            "2026-01-05T10:00:00Z", // Monday of week 2
            "2026-01-05T10:59:59Z",
            "2026-01-05T11:00:00Z",
        ];
        let rules = |change: fn(&mut Rules)| {
            let mut rules = Rules::default();
            change(&mut rules);
            kept(&times, &rules)
        };
        assert_eq!(
            rules(|r| r.keep_last = 2),
            [
                "2026-01-05T10:59:59Z last",
                "2026-01-05T11:00:00Z newest,last"
            ]
        );
        assert_eq!(
            rules(|r| r.keep_hourly = 3),
            [
                "2026-01-04T10:00:00Z hourly",
                "2026-01-05T10:59:59Z hourly",
                "2026-01-05T11:00:00Z newest,hourly"
            ]
        );
        assert_eq!(
            rules(|r| r.keep_daily = 3),
            [
                "2025-12-29T00:00:00Z daily",
                "2026-01-04T10:00:00Z daily",
                "2026-01-05T11:00:00Z newest,daily"
            ]
        );
        assert_eq!(
            rules(|r| r.keep_weekly = 3),
            [
                "2025-12-28T23:59:59Z weekly",
                "2026-01-04T10:00:00Z weekly",
                "2026-01-05T11:00:00Z newest,weekly"
            ]
        );
        assert_eq!(
            rules(|r| r.keep_monthly = 3),
            [
                "2025-06-30T12:00:00Z monthly",
                "2025-12-29T00:00:00Z monthly",
                "2026-01-05T11:00:00Z newest,monthly"
            ]
        );
        assert_eq!(
            rules(|r| r.keep_yearly = 10),
            [
                "2024-12-31T23:00:00Z yearly",
                "2025-12-29T00:00:00Z yearly",
                "2026-01-05T11:00:00Z newest,yearly"
            ]
        );
        assert_eq!(rules(|_| {}), ["2026-01-05T11:00:00Z newest"]);
    }

    #[test]
    fn within_counts_back_from_the_newest_by_the_calendar() {
        let times = [
            "2025-08-30T11:59:59Z",
            "2025-08-31T12:00:00Z",
            "2026-02-27T12:00:00Z",
            "2026-02-28T12:00:00Z",
        ];
        let within = |age: &str| {
            let rules = Rules {
                keep_within: Some(age.parse().unwrap()),
                ..Rules::default()
            };
            kept(&times, &rules).len()
        };
        assert_eq!(within("1d"), 2);
        assert_eq!(within("23h"), 1);
        // Six months before the 28th of February is the 28th of August.
        assert_eq!(within("6m"), 4);
        assert_eq!(within("5m4w"), 3);
        assert_eq!(within("2y"), 4);
        assert_eq!(within("60000y"), 4);
    }

    #[test]
    fn tags_keep_whatever_their_age() {
        let (none, some) = (
            BTreeSet::new(),
            BTreeSet::from(["audit".to_owned(), "x".to_owned()]),
        );
        let candidates = [(1, &some), (2, &none), (3, &none)];
        let candidates = candidates.map(|(time, tags)| Candidate { time, tags });
        let rules = Rules {
            keep_tags: BTreeSet::from(["audit".to_owned()]),
            ..Rules::default()
        };
        let reasons = keep(&candidates, &rules);
        let tag = Reason::Tag("audit".to_owned());
        assert_eq!(reasons, [vec![tag], vec![], vec![Reason::Newest]]);
    }

    #[test]
    fn ages_are_read_and_shown() {
        for text in ["30d", "6m", "2y", "1y6m", "3w", "1y2m3w4d5h"] {
            assert_eq!(text.parse::<Age>().unwrap().to_string(), text);
        }
        for text in [
            "", "d", "30", "0d", "1d1d", "3x", "-1d", "70000d", "1 d", "1y6",
        ] {
            assert!(text.parse::<Age>().is_err(), "{text}");
        }
    }

    #[test]
    fn rules_without_any_are_told_from_rules() {
        assert!(Rules::default().is_empty());
        let rules: Rules = serde_json::from_str(r#"{"keep_within": "7d"}"#).unwrap();
        assert!(!rules.is_empty());
        assert!(serde_json::from_str::<Rules>(r#"{"keep_weekley": 7}"#).is_err());
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let counts = proptest::array::uniform6(0u32..6);
        (counts, proptest::option::of(1u16..50)).prop_map(|(n, days)| Rules {
            keep_last: n[0],
            keep_hourly: n[1],
            keep_daily: n[2],
            keep_weekly: n[3],
            keep_monthly: n[4],
            keep_yearly: n[5],
            keep_within: days.map(|days| format!("{days}d").parse().unwrap()),
            keep_tags: BTreeSet::new(),
        })
    }

    proptest! {
        #[test]
        fn what_rules_keep_stays_kept(
            times in proptest::collection::btree_set(1_700_000_000i64..1_800_000_000, 0..60), rules in rules(),
        ) {
            let tags = BTreeSet::new();
            let candidates: Vec<_> = times.iter().map(|time| Candidate { time: *time, tags: &tags }).collect();
            let reasons = keep(&candidates, &rules);
            prop_assert_eq!(reasons.last().is_none_or(|r| r.contains(&Reason::Newest)), true);
            // Each rule keeps as many as it says, or one of every period there is.
            let periods: [(Reason, u32, fn(Timestamp) -> String); 5] = [
                (Reason::Hourly, rules.keep_hourly, |t| t.strftime("%F %H").to_string()),
                (Reason::Daily, rules.keep_daily, |t| t.strftime("%F").to_string()),
                (Reason::Weekly, rules.keep_weekly, |t| t.strftime("%G-%V").to_string()),
                (Reason::Monthly, rules.keep_monthly, |t| t.strftime("%Y-%m").to_string()),
                (Reason::Yearly, rules.keep_yearly, |t| t.strftime("%Y").to_string()),
            ];
            for (reason, count, period) in periods {
                let name = |time: i64| period(Timestamp::from_second(time).unwrap());
                let all: BTreeSet<_> = times.iter().map(|time| name(*time)).collect();
                let wanted: Vec<_> = all.iter().rev().take(count as usize).collect();
                for (candidate, reasons) in candidates.iter().zip(&reasons) {
                    let own = name(candidate.time);
                    let is_newest = !times.range(candidate.time + 1..).any(|time| name(*time) == own);
                    prop_assert_eq!(reasons.contains(&reason), is_newest && wanted.contains(&&own));
                }
            }
            let last = reasons.iter().filter(|r| r.contains(&Reason::Last)).count();
            prop_assert_eq!(last, times.len().min(rules.keep_last as usize));
            // Forgetting what is not kept, and asking again, forgets nothing more.
            let kept: Vec<_> = candidates.iter().zip(&reasons).filter(|(_, r)| !r.is_empty()).map(|(c, _)| *c).collect();
            prop_assert!(keep(&kept, &rules).iter().all(|reasons| !reasons.is_empty()));
        }
    }
}
