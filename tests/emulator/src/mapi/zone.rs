//! Time zones as Exchange keeps them in an item: rules for one year, under the Windows name
//! (MS-OXOCAL 2.2.1.39 to 2.2.1.43).

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Windows names and the IANA names that stand for them (Unicode CLDR, territory 001).
const NAMES: &[(&str, &str)] = &[
    ("AUS Eastern Standard Time", "Australia/Sydney"),
    ("Alaskan Standard Time", "America/Anchorage"),
    ("Arabian Standard Time", "Asia/Dubai"),
    ("Argentina Standard Time", "America/Buenos_Aires"),
    ("Atlantic Standard Time", "America/Halifax"),
    ("Cen. Australia Standard Time", "Australia/Adelaide"),
    ("Central Europe Standard Time", "Europe/Budapest"),
    ("Central European Standard Time", "Europe/Warsaw"),
    ("Central Standard Time", "America/Chicago"),
    ("China Standard Time", "Asia/Shanghai"),
    ("E. Australia Standard Time", "Australia/Brisbane"),
    ("E. South America Standard Time", "America/Sao_Paulo"),
    ("Eastern Standard Time", "America/New_York"),
    ("Egypt Standard Time", "Africa/Cairo"),
    ("FLE Standard Time", "Europe/Kiev"),
    ("GMT Standard Time", "Europe/London"),
    ("GTB Standard Time", "Europe/Bucharest"),
    ("Greenwich Standard Time", "Atlantic/Reykjavik"),
    ("Hawaiian Standard Time", "Pacific/Honolulu"),
    ("India Standard Time", "Asia/Kolkata"),
    ("Israel Standard Time", "Asia/Jerusalem"),
    ("Korea Standard Time", "Asia/Seoul"),
    ("Mountain Standard Time", "America/Denver"),
    ("Nepal Standard Time", "Asia/Kathmandu"),
    ("New Zealand Standard Time", "Pacific/Auckland"),
    ("Newfoundland Standard Time", "America/St_Johns"),
    ("Pacific Standard Time", "America/Los_Angeles"),
    ("Romance Standard Time", "Europe/Paris"),
    ("Russian Standard Time", "Europe/Moscow"),
    ("SE Asia Standard Time", "Asia/Bangkok"),
    ("Singapore Standard Time", "Asia/Singapore"),
    ("South Africa Standard Time", "Africa/Johannesburg"),
    ("Tokyo Standard Time", "Asia/Tokyo"),
    ("Turkey Standard Time", "Europe/Istanbul"),
    ("US Mountain Standard Time", "America/Phoenix"),
    ("UTC", "UTC"),
    ("W. Australia Standard Time", "Australia/Perth"),
    ("W. Europe Standard Time", "Europe/Berlin"),
];

/// Zones that are named, by either name; UTC for what no one knows.
pub fn zone(name: &str) -> TimeZone {
    let iana = NAMES
        .iter()
        .find(|(windows, _)| windows.eq_ignore_ascii_case(name))
        .map_or(name, |(_, iana)| iana);
    TimeZone::get(iana).unwrap_or(TimeZone::UTC)
}

/// What a zone does in one year.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    /// Minutes to add to local standard time for UTC.
    bias: i32,
    /// Minutes to add to `bias` in summer.
    daylight_bias: i32,
    standard: [u8; 16],
    daylight: [u8; 16],
}

fn rule(zone: &TimeZone, year: i16) -> Rule {
    let first = DateTime::constant(year, 1, 1, 0, 0, 0, 0);
    let last = DateTime::constant(year, 12, 31, 23, 59, 59, 0);
    let at = |time: DateTime| {
        let time = zone.to_ambiguous_timestamp(time).compatible();
        time.unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    };
    let (begin, end) = (at(first), at(last));
    let changes: Vec<_> = zone
        .following(begin)
        .take_while(|t| t.timestamp() <= end)
        .collect();
    let mut out = Rule {
        bias: -zone.to_offset(begin).seconds() / 60,
        daylight_bias: 0,
        standard: [0; 16],
        daylight: [0; 16],
    };
    let [one, two] = changes.as_slice() else {
        return out;
    };
    let offsets = (one.offset().seconds() / 60, two.offset().seconds() / 60);
    let (summer, winter) = match offsets.0 > offsets.1 {
        true => (one, two),
        false => (two, one),
    };
    let (to_summer, to_winter) = (offsets.0.max(offsets.1), offsets.0.min(offsets.1));
    out.bias = -to_winter;
    out.daylight_bias = to_winter - to_summer;
    // Told in the local time before the change.
    let local = |change: &jiff::tz::TimeZoneTransition<'_>, minutes: i32| {
        let seconds = change.timestamp().as_second() + i64::from(minutes) * 60;
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        system_time(TimeZone::UTC.to_datetime(time))
    };
    out.daylight = local(summer, to_winter);
    out.standard = local(winter, to_summer);
    out
}

/// A yearly date as SYSTEMTIME: month, weekday, which of them in the month (5: the last), time.
fn system_time(at: DateTime) -> [u8; 16] {
    let last = i16::from(at.day()) + 7 > i16::from(at.days_in_month());
    let nth = if last {
        5
    } else {
        (at.day() as u16 - 1) / 7 + 1
    };
    let fields = [
        0,
        at.month() as u16,
        at.weekday().to_sunday_zero_offset() as u16,
        nth,
        at.hour() as u16,
        at.minute() as u16,
        0,
        0,
    ];
    let mut out = [0; 16];
    for (place, field) in out.chunks_exact_mut(2).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    out
}

/// PidLidTimeZoneStruct.
pub fn structure(name: &str, year: i16) -> Vec<u8> {
    let rule = rule(&zone(name), year);
    let mut out = Vec::with_capacity(48);
    for bias in [rule.bias, 0, rule.daylight_bias] {
        out.extend_from_slice(&bias.to_le_bytes());
    }
    for date in [rule.standard, rule.daylight] {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&date);
    }
    out
}

/// PidLidAppointmentTimeZoneDefinition*. `recurring`: it is the zone a series recurs in.
pub fn definition(name: &str, year: i16, recurring: bool) -> Vec<u8> {
    let rule = rule(&zone(name), year);
    let key: Vec<u16> = name.encode_utf16().take(260).collect();
    let mut out = vec![2, 1];
    out.extend_from_slice(&(6 + 2 * key.len() as u16).to_le_bytes());
    out.extend_from_slice(&2u16.to_le_bytes());
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    key.iter()
        .for_each(|u| out.extend_from_slice(&u.to_le_bytes()));
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&[2, 1, 0x3E, 0]);
    let flags: u16 = if recurring { 3 } else { 2 };
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&(year as u16).to_le_bytes());
    out.extend_from_slice(&[0; 14]);
    for bias in [rule.bias, 0, rule.daylight_bias] {
        out.extend_from_slice(&bias.to_le_bytes());
    }
    out.extend_from_slice(&rule.standard);
    out.extend_from_slice(&rule.daylight);
    out
}

/// The Windows name in a definition.
pub fn name_of(definition: &[u8]) -> Option<String> {
    let count = u16::from_le_bytes([*definition.get(6)?, *definition.get(7)?]);
    let key = definition.get(8..8 + usize::from(count) * 2)?;
    Some(crate::fasttransfer::read::text(key, 1200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_the_zone() {
        let s = structure("W. Europe Standard Time", 2026);
        assert_eq!(s.len(), 48);
        assert_eq!(
            s[..12],
            [0xC4, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xC4, 0xFF, 0xFF, 0xFF]
        );
        // To winter: last Sunday of October at 3; to summer: last Sunday of March at 2.
        assert_eq!(s[14..30], [0, 0, 10, 0, 0, 0, 5, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(s[32..48], [0, 0, 3, 0, 0, 0, 5, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        // Second Sunday of March, first of November; south of the equator summer is in January.
        let s = structure("Pacific Standard Time", 2026);
        assert_eq!((s[16], s[20], s[34], s[38]), (11, 1, 3, 2));
        let s = structure("AUS Eastern Standard Time", 2026);
        assert_eq!(i32::from_le_bytes([s[0], s[1], s[2], s[3]]), -600);
        assert_eq!((s[16], s[34]), (4, 10));
        assert!(
            structure("Tokyo Standard Time", 2026)[12..]
                .iter()
                .all(|b| *b == 0)
        );
        let d = definition("W. Europe Standard Time", 2026, true);
        assert_eq!(name_of(&d).as_deref(), Some("W. Europe Standard Time"));
        assert_eq!(name_of(&d[..9]), None);
    }
}
