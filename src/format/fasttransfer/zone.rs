//! Time zones as appointments carry them (MS-OXOCAL 2.2.1.41: TimeZoneDefinition).

use jiff::civil::{Date, DateTime, Weekday, date};

use super::text;

/// Bytes of one rule.
const RULE: usize = 66;
/// Rules that are kept.
const MAX_RULES: usize = 1024;

/// A zone with the rules it had over the years.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Windows' name: `W. Europe Standard Time`.
    pub name: String,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// From this year on.
    year: u16,
    /// Minutes west of UTC, in standard and in daylight time.
    standard: i32,
    daylight: i32,
    to_standard: Change,
    to_daylight: Change,
}

/// When the clock is changed: the `nth` (5: last) weekday of a month; no month: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Change {
    month: u16,
    weekday: u16,
    nth: u16,
    hour: u16,
    minute: u16,
}

impl Zone {
    /// Reads a definition; `None` when it is none.
    pub fn parse(blob: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_le_bytes([*blob.get(at)?, *blob.get(at + 1)?]));
        let name_end = 8 + 2 * usize::from(word(6)?);
        let name = text::decode(blob.get(8..name_end)?, u32::from(text::UTF16));
        let count = usize::from(word(name_end)?).min(MAX_RULES);
        let rules = blob.get(name_end + 2..)?;
        let mut rules: Vec<Rule> = rules
            .chunks_exact(RULE)
            .take(count)
            .filter_map(Rule::parse)
            .collect();
        rules.sort_by_key(|rule| rule.year);
        Some(Zone {
            name: name.trim_end_matches('\0').to_owned(),
            rules,
        })
    }

    /// Seconds east of UTC when the clocks of the zone show this (local seconds).
    pub fn offset(&self, local: i64) -> Option<i64> {
        let at = jiff::Timestamp::from_second(local).ok()?;
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let year = i64::from(at.year());
        let rule = self
            .rules
            .iter()
            .rev()
            .find(|rule| i64::from(rule.year) <= year)
            .or(self.rules.first())?;
        Some(i64::from(rule.offset(at)) * -60)
    }
}

impl Rule {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let long = |at: usize| {
            let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(i32::from_le_bytes(bytes).clamp(-1_500, 1_500))
        };
        let change = |at: usize| {
            Some(Change {
                month: word(at + 2)?,
                weekday: word(at + 4)?,
                nth: word(at + 6)?,
                hour: word(at + 8)?,
                minute: word(at + 10)?,
            })
        };
        let bias = long(22)?;
        Some(Rule {
            year: word(6)?,
            standard: bias + long(26)?,
            daylight: bias + long(30)?,
            to_standard: change(34)?,
            to_daylight: change(50)?,
        })
    }

    fn offset(&self, at: DateTime) -> i32 {
        let (Some(standard), Some(daylight)) = (
            self.to_standard.in_year(at.year()),
            self.to_daylight.in_year(at.year()),
        ) else {
            return self.standard;
        };
        let is_daylight = if daylight < standard {
            daylight <= at && at < standard
        } else {
            !(standard <= at && at < daylight)
        };
        if is_daylight {
            self.daylight
        } else {
            self.standard
        }
    }
}

impl Change {
    fn in_year(self, year: i16) -> Option<DateTime> {
        let month = i8::try_from(self.month)
            .ok()
            .filter(|m| (1..=12).contains(m))?;
        let weekday =
            Weekday::from_sunday_zero_offset(i8::try_from(self.weekday % 7).ok()?).ok()?;
        let first = date(year, month, 1);
        let nth = match self.nth {
            1..=4 => i8::try_from(self.nth).ok()?,
            _ => -1,
        };
        let day: Date = first.nth_weekday_of_month(nth, weekday).ok()?;
        let (hour, minute) = (self.hour.min(23) as i8, self.minute.min(59) as i8);
        Some(day.at(hour, minute, 0, 0))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Central Europe.
    pub fn definition() -> Vec<u8> {
        let name: Vec<u8> = "W. Europe Standard Time"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let mut out = vec![2, 1, 0, 0, 2, 0];
        out.extend_from_slice(&((name.len() / 2) as u16).to_le_bytes());
        out.extend_from_slice(&name);
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&[2, 1, 0x3E, 0, 2, 0, 0x41, 0x06]);
        out.extend_from_slice(&[0; 14]);
        for bias in [-60i32, 0, -60] {
            out.extend_from_slice(&bias.to_le_bytes());
        }
        for month_hour in [[10u16, 3], [3, 2]] {
            for word in [0, month_hour[0], 0, 5, month_hour[1], 0, 0, 0] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        out
    }

    #[test]
    fn summer_and_winter() {
        let zone = Zone::parse(&definition()).unwrap();
        assert_eq!(zone.name, "W. Europe Standard Time");
        let at = |text: &str| {
            let time: DateTime = text.parse().unwrap();
            time.to_zoned(jiff::tz::TimeZone::UTC)
                .unwrap()
                .timestamp()
                .as_second()
        };
        for (local, hours) in [
            ("2026-01-15T09:00", 1),
            ("2026-03-29T01:59", 1),
            ("2026-03-29T02:00", 2),
            ("2026-07-15T09:00", 2),
            ("2026-10-25T02:59", 2),
            ("2026-10-25T03:00", 1),
        ] {
            assert_eq!(zone.offset(at(local)), Some(hours * 3600), "{local}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_politely(bytes: Vec<u8>, at in 0usize..120, with: u8, when: i64) {
            let mut good = definition();
            let at = at % good.len();
            good[at] = with;
            for bytes in [&bytes[..], &good] {
                if let Some(zone) = Zone::parse(bytes) {
                    zone.offset(when);
                    zone.offset(when % 100_000_000_000);
                }
            }
        }
    }
}
