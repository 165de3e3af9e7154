//! VTIMEZONE components (RFC 5545 section 3.6.5), made from the rules of the database.
//!
//! A zone whose clocks change by one rule for ever is told by that rule. What came before the rule,
//! and zones that know none (Gaza), is told change by change, for the life of what is written.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Dst, Offset, TimeZone, TimeZoneTransition};
use jiff::{Timestamp, ToSpan};

use super::Zone;
use crate::format::lines::Lines;

/// Where a zone without a rule is not told any further.
const HORIZON: i16 = 2100;
/// The years that tell which rule holds in the end: each weekday falls on each date.
const SAMPLE: (i16, i16) = (2060, 2088);

/// One change of the clocks.
#[derive(Clone, Debug)]
struct Change {
    at: Timestamp,
    from: Offset,
    to: Offset,
    daylight: bool,
    name: String,
}

impl Change {
    fn new(rules: &TimeZone, change: &TimeZoneTransition<'_>) -> Self {
        let at = change.timestamp();
        let before = at.checked_sub(1.second()).unwrap_or(at);
        Self {
            at,
            from: rules.to_offset(before),
            to: change.offset(),
            daylight: change.dst() == Dst::Yes,
            name: change.abbreviation().to_owned(),
        }
    }

    /// What the clocks showed when they were changed.
    fn local(&self) -> DateTime {
        self.from.to_datetime(self.at)
    }

    /// Same but for the year.
    fn is_like(&self, other: &Self) -> bool {
        let is = |c: &Self| (c.from, c.to, c.daylight);
        is(self) == is(other)
            && self.name == other.name
            && self.local().time() == other.local().time()
    }
}

/// A change that comes every year.
struct Yearly {
    sample: Change,
    month: i8,
    /// Days of the month on one of which it falls.
    days: (i8, i8),
}

impl Yearly {
    fn holds(&self, change: &Change) -> bool {
        let local = change.local();
        change.is_like(&self.sample)
            && local.month() == self.month
            && local.weekday() == self.sample.local().weekday()
            && (self.days.0..=self.days.1).contains(&local.day())
    }

    fn rule(&self) -> String {
        let local = self.sample.local();
        let day = &local.weekday().to_monday_zero_offset();
        let day = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"][usize::from(day.unsigned_abs())];
        let (first, last) = self.days;
        let head = format!("FREQ=YEARLY;BYMONTH={}", self.month);
        if last == Date::constant(2061, self.month, 1).days_in_month() {
            format!("{head};BYDAY=-1{day}")
        } else if first % 7 == 1 {
            format!("{head};BYDAY={}{day}", first / 7 + 1)
        } else {
            let days: Vec<String> = (first..=last).map(|d| d.to_string()).collect();
            format!("{head};BYDAY={day};BYMONTHDAY={}", days.join(","))
        }
    }
}

/// Writes the zone as it is from `from` on; to the end of time, or as far as `until`.
pub fn write(lines: &mut Lines, zone: &Zone, from: Timestamp, until: Option<Timestamp>) {
    lines.begin("VTIMEZONE");
    lines.put("TZID", &[], &zone.name);
    let yearly = yearly(&zone.rules);
    let changes = changes(&zone.rules, from);
    if changes.is_empty() {
        fixed(lines, &zone.rules, from);
    }
    // From here on each change is one of the yearly ones.
    let regular = match changes
        .iter()
        .rposition(|c| !yearly.iter().any(|y| y.holds(c)))
    {
        Some(last) => last + 1,
        None => 0,
    };
    for (at, change) in changes.iter().enumerate().take(regular) {
        // The first is in force at `from`.
        if at > 0 && until.is_some_and(|until| change.at > until) {
            lines.end();
            return;
        }
        observance(lines, change, None);
    }
    for rule in &yearly {
        if let Some(first) = changes[regular..].iter().find(|c| rule.holds(c)) {
            observance(lines, first, Some(&rule.rule()));
        }
    }
    lines.end();
}

/// The change before `from`, and all after it up to the horizon.
fn changes(rules: &TimeZone, from: Timestamp) -> Vec<Change> {
    let before = rules
        .preceding(from.checked_add(1.second()).unwrap_or(from))
        .next();
    let Some(before) = before else {
        // No change yet: what holds now began at the beginning of time.
        let mut all: Vec<Change> = following(rules, from);
        if let Some(first) = all.first() {
            let offset = rules.to_offset_info(from);
            let began = Change {
                at: from,
                from: first.from,
                to: first.from,
                daylight: offset.dst() == Dst::Yes,
                name: offset.abbreviation().to_owned(),
            };
            all.insert(0, began);
        }
        return all;
    };
    let mut all = vec![Change::new(rules, &before)];
    all.extend(following(rules, from));
    all
}

fn following(rules: &TimeZone, from: Timestamp) -> Vec<Change> {
    rules
        .following(from)
        .take_while(|c| c.offset().to_datetime(c.timestamp()).year() < HORIZON)
        .map(|c| Change::new(rules, &c))
        .collect()
}

/// The rules by which clocks change in the end.
fn yearly(rules: &TimeZone) -> Vec<Yearly> {
    let Ok(start) = Offset::UTC.to_timestamp(Date::constant(SAMPLE.0, 1, 1).at(0, 0, 0, 0)) else {
        return Vec::new();
    };
    let sample: Vec<Change> = following(rules, start)
        .into_iter()
        .take_while(|c| c.local().year() < SAMPLE.1)
        .collect();
    let mut found: Vec<Yearly> = Vec::new();
    for change in &sample {
        let (month, day) = (change.local().month(), change.local().day());
        let weekday = change.local().weekday();
        let known = found.iter_mut().find(|y| {
            y.month == month && change.is_like(&y.sample) && y.sample.local().weekday() == weekday
        });
        match known {
            Some(y) => y.days = (y.days.0.min(day), y.days.1.max(day)),
            None => found.push(Yearly {
                sample: change.clone(),
                month,
                days: (day, day),
            }),
        }
    }
    // Once a year each, within one week of the month: otherwise it is no rule that can be written.
    let years = usize::from((SAMPLE.1 - SAMPLE.0).unsigned_abs());
    let each_year = found
        .iter()
        .all(|y| sample.iter().filter(|c| y.holds(c)).count() == years);
    let one_week = found.iter().all(|y| y.days.1 - y.days.0 == 6);
    if each_year && one_week {
        found
    } else {
        Vec::new()
    }
}

fn fixed(lines: &mut Lines, rules: &TimeZone, from: Timestamp) {
    let info = rules.to_offset_info(from);
    let change = Change {
        at: Timestamp::UNIX_EPOCH,
        from: info.offset(),
        to: info.offset(),
        daylight: false,
        name: info.abbreviation().to_owned(),
    };
    let epoch = Change {
        at: info
            .offset()
            .to_timestamp(Date::constant(1970, 1, 1).at(0, 0, 0, 0))
            .unwrap_or(change.at),
        ..change
    };
    observance(lines, &epoch, None);
}

fn observance(lines: &mut Lines, change: &Change, rule: Option<&str>) {
    lines.begin(if change.daylight {
        "DAYLIGHT"
    } else {
        "STANDARD"
    });
    lines.put(
        "DTSTART",
        &[],
        &change.local().strftime("%Y%m%dT%H%M%S").to_string(),
    );
    lines.put("TZOFFSETFROM", &[], &offset(change.from));
    lines.put("TZOFFSETTO", &[], &offset(change.to));
    lines.text("TZNAME", &[], &change.name);
    if let Some(rule) = rule {
        lines.put("RRULE", &[], rule);
    }
    lines.end();
}

/// `+0100`; seconds only where there are some (RFC 5545 section 3.3.14).
fn offset(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let all = seconds.unsigned_abs();
    let (h, m, s) = (all / 3600, all / 60 % 60, all % 60);
    if s == 0 {
        format!("{sign}{h:02}{m:02}")
    } else {
        format!("{sign}{h:02}{m:02}{s:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, from: &str, until: Option<&str>) -> String {
        let mut lines = Lines::default();
        let time = |t: &str| t.parse::<Timestamp>().unwrap();
        write(
            &mut lines,
            &Zone::find(name).unwrap(),
            time(from),
            until.map(time),
        );
        String::from_utf8(lines.finish())
            .unwrap()
            .replace("\r\n", "\n")
    }

    #[test]
    fn a_zone_with_rules_is_told_by_its_rules() {
        let berlin = "BEGIN:VTIMEZONE\nTZID:Europe/Berlin\n\
            BEGIN:DAYLIGHT\nDTSTART:20260329T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\n\
            TZNAME:CEST\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\nEND:DAYLIGHT\n\
            BEGIN:STANDARD\nDTSTART:20251026T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\n\
            TZNAME:CET\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\nEND:STANDARD\n\
            END:VTIMEZONE\n";
        assert_eq!(
            written("Europe/Berlin", "2026-03-02T08:00:00Z", None),
            berlin
        );
    }

    #[test]
    fn rules_that_are_not_a_numbered_weekday() {
        let rules = |name| -> Vec<String> {
            written(name, "2026-01-02T08:00:00Z", None)
                .lines()
                .filter_map(|l| Some(l.strip_prefix("RRULE:FREQ=YEARLY;")?.to_owned()))
                .collect()
        };
        assert_eq!(
            rules("Asia/Jerusalem"),
            [
                "BYMONTH=3;BYDAY=FR;BYMONTHDAY=23,24,25,26,27,28,29",
                "BYMONTH=10;BYDAY=-1SU"
            ]
        );
        assert_eq!(
            rules("America/New_York"),
            ["BYMONTH=3;BYDAY=2SU", "BYMONTH=11;BYDAY=1SU"]
        );
    }

    #[test]
    fn zones_without_rules_are_told_change_by_change() {
        let tokyo = written("Asia/Tokyo", "2026-03-02T08:00:00Z", None);
        assert_eq!(tokyo.matches("BEGIN:STANDARD").count(), 1, "{tokyo}");
        assert!(tokyo.contains("TZOFFSETTO:+0900\n"));
        let gmt5 = written("Etc/GMT+5", "2026-03-02T08:00:00Z", None);
        assert!(gmt5.contains("DTSTART:19700101T000000\nTZOFFSETFROM:-0500\nTZOFFSETTO:-0500\n"));
        let once = written(
            "Asia/Gaza",
            "2026-03-02T08:00:00Z",
            Some("2026-03-02T09:00:00Z"),
        );
        assert_eq!(
            once.matches("BEGIN:STANDARD").count() + once.matches("BEGIN:DAYLIGHT").count(),
            1
        );
        let ever = written("Asia/Gaza", "2026-03-02T08:00:00Z", None);
        assert!(ever.matches("DTSTART:").count() > 100, "{ever}");
        assert!(ever.len() < 40_000);
    }

    #[test]
    fn the_changes_before_the_rule_come_one_by_one() {
        let berlin = written("Europe/Berlin", "1979-06-01T00:00:00Z", None);
        assert!(berlin.contains("DTSTART:19800406T020000"), "{berlin}");
        assert_eq!(berlin.matches("RRULE:").count(), 2);
        let local = written(
            "Europe/Berlin",
            "1850-06-01T00:00:00Z",
            Some("1850-06-02T00:00:00Z"),
        );
        assert!(local.contains("TZOFFSETTO:+005328\n"), "{local}");
    }

    #[test]
    fn every_zone_can_be_written() {
        for (name, _) in super::super::table::IANA {
            for from in [
                "1901-01-01T00:00:00Z",
                "2026-03-02T08:00:00Z",
                "2099-12-31T00:00:00Z",
            ] {
                let out = written(name, from, None);
                assert!(out.contains("TZOFFSETTO:"), "{name} {from} {out}");
                assert!(out.len() < 100_000, "{name} {from} {}", out.len());
            }
        }
    }
}
