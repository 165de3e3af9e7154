//! Time zones by the names that Windows and Exchange have for them, and by those of the IANA
//! database; and what a calendar file must say of them.
//!
//! The database is the one that is compiled in, not the machine's: the same event gives the same
//! file on every machine.

mod table;
mod vtimezone;

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

pub use vtimezone::write as write_vtimezone;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone that the database knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// IANA name (`Europe/Berlin`).
    pub name: String,
    /// Its rules.
    pub rules: TimeZone,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            rules: TimeZone::UTC,
        }
    }

    /// The zone of a Windows name (`W. Europe Standard Time`) or an IANA name, in any letter case.
    /// `None` for a custom zone and for anything unknown.
    pub fn find(name: &str) -> Option<Self> {
        let name = name.trim();
        // What Exchange calls it where Windows has no name for it.
        let name = name.strip_prefix("tzone://Microsoft/").unwrap_or(name);
        if name.len() > 100 {
            return None;
        }
        let iana = look_up(&table::WINDOWS, name).unwrap_or(name);
        let rules = DATABASE.get(iana).ok()?;
        let name = rules.iana_name().unwrap_or(iana).to_owned();
        let utc = look_up(&table::IANA, &name) == Some("UTC");
        Some(if utc {
            Self::utc()
        } else {
            Self { name, rules }
        })
    }

    /// True for UTC by any of its names.
    pub fn is_utc(&self) -> bool {
        self.name == "UTC"
    }

    /// The Windows name, which Exchange takes everywhere; the IANA name for zones without one.
    pub fn windows_name(&self) -> &str {
        look_up(&table::IANA, &self.name).unwrap_or(&self.name)
    }

    /// The instant of a local time. A time that a change of the clocks leaves out is moved on by the
    /// gap, one that comes twice is its first (RFC 5545 section 3.3.5).
    pub fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let zoned: Zoned = self.rules.to_zoned(local).ok()?;
        Some(zoned.timestamp())
    }

    /// The local time of an instant.
    pub fn local(&self, instant: Timestamp) -> DateTime {
        self.rules.to_datetime(instant)
    }
}

/// Looks a name up in a table that is sorted without regard to letter case.
fn look_up(table: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    let lower = |s: &str| s.to_ascii_lowercase();
    let wanted = lower(name);
    table
        .binary_search_by(|(key, _)| lower(key).cmp(&wanted))
        .ok()
        .map(|at| table[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn tables_are_sorted_and_the_database_knows_every_zone() {
        for table in [&table::WINDOWS[..], &table::IANA[..]] {
            for pair in table.windows(2) {
                assert!(
                    pair[0].0.to_lowercase() < pair[1].0.to_lowercase(),
                    "{pair:?}"
                );
            }
        }
        for (windows, iana) in table::WINDOWS {
            let zone = Zone::find(windows).unwrap_or_else(|| panic!("{windows}: {iana}"));
            assert!(!zone.windows_name().contains('/'), "{windows}");
        }
        for (iana, windows) in table::IANA {
            assert!(Zone::find(windows).is_some(), "{iana}: {windows}");
        }
    }

    #[test]
    fn zones_go_by_several_names() {
        let name = |n| Zone::find(n).map(|z| z.name);
        let is = |n: &str| Some(n.to_owned());
        assert_eq!(name("W. Europe Standard Time"), is("Europe/Berlin"));
        assert_eq!(name("w. europe standard time "), is("Europe/Berlin"));
        assert_eq!(name("India Standard Time"), is("Asia/Kolkata"));
        assert_eq!(name("europe/stockholm"), is("Europe/Stockholm"));
        for utc in ["UTC", "Etc/UTC", "GMT", "tzone://Microsoft/Utc", "Zulu"] {
            assert_eq!(Zone::find(utc), Some(Zone::utc()), "{utc}");
        }
        for unknown in [
            "tzone://Microsoft/Custom",
            "",
            "../etc/passwd",
            "Mars/Olympus",
        ] {
            assert_eq!(name(unknown), None, "{unknown}");
        }
        let windows = |n| Zone::find(n).map(|z| z.windows_name().to_owned());
        assert_eq!(windows("Europe/Stockholm"), is("W. Europe Standard Time"));
        assert_eq!(windows("Etc/GMT"), is("UTC"));
        assert_eq!(windows("Asia/Calcutta"), is("India Standard Time"));
    }

    #[test]
    fn local_times_around_a_change_of_the_clocks() {
        let zone = Zone::find("Europe/Berlin").unwrap();
        let at = |d: i8, m: i8, h: i8| zone.instant(date(2026, m, d).at(h, 30, 0, 0)).unwrap();
        assert_eq!(at(29, 3, 2).to_string(), "2026-03-29T01:30:00Z"); // left out: 03:30 CEST
        assert_eq!(at(25, 10, 2).to_string(), "2026-10-25T00:30:00Z"); // comes twice: CEST
        assert_eq!(zone.local(at(1, 7, 12)), date(2026, 7, 1).at(12, 30, 0, 0));
    }
}
