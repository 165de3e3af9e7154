//! Which zone a TZID of a file means: by its name, else by what the file says of it.

use std::collections::BTreeSet;

use jiff::civil::DateTime;

use super::Refusal;
use super::syntax::{Component, Line, parse};
use super::time::{When, parse_clock, parse_day};
use crate::format::lines::Lines;
use crate::format::zones::{Zone, write_vtimezone};

/// The time zones of a file.
pub(super) struct Zones<'a> {
    calendar: &'a Component,
    /// For times without a zone.
    pub floating: Option<Zone>,
}

impl<'a> Zones<'a> {
    pub fn new(calendar: &'a Component) -> Self {
        let floating = calendar
            .get("X-WR-TIMEZONE")
            .and_then(|line| Zone::find(&line.value));
        Self { calendar, floating }
    }

    /// The same for the lines of one event or task: its times without a zone are in that of its start, or else
    /// of its end.
    pub fn of(&self, event: &Component) -> Self {
        let lines = ["DTSTART", "DTEND", "DUE"].into_iter();
        let mut lines = lines.filter_map(|name| event.get(name));
        let told = lines.find(|line| line.param("TZID").is_some());
        let zone = match told.map(|line| self.when(line, &line.value)) {
            Some(Ok(When::At { zone, .. })) => Some(zone),
            _ => self.floating.clone(),
        };
        Self {
            calendar: self.calendar,
            floating: zone,
        }
    }

    /// A DATE or DATE-TIME.
    pub fn when(&self, line: &Line, value: &str) -> Result<When, Refusal> {
        let bad = || Refusal::Unsupported(format!("{} is no date or time: {value:?}", line.name));
        if let Some(day) = parse_day(value) {
            return Ok(When::Day(day));
        }
        let (local, utc) = parse_clock(value).ok_or_else(bad)?;
        let zone = match (utc, line.param("TZID")) {
            (true, _) => Zone::utc(),
            (false, Some(tzid)) => self.find(tzid, local)?,
            (false, None) => self.floating.clone().unwrap_or_else(Zone::utc),
        };
        Ok(When::At { local, zone })
    }

    /// The zone that a TZID means at that time.
    pub fn find(&self, tzid: &str, local: DateTime) -> Result<Zone, Refusal> {
        if let Some(zone) = by_name(tzid) {
            return Ok(zone);
        }
        let is_it = |c: &&Component| {
            c.name == "VTIMEZONE" && c.get("TZID").is_some_and(|line| line.text() == tzid)
        };
        let mut defined = self.calendar.children.iter().filter(is_it);
        defined
            .find_map(|zone| by_definition(zone, local))
            .ok_or_else(|| {
                Refusal::Unsupported(format!(
                    "the time zone {tzid:?}, which is neither a Windows nor an IANA zone"
                ))
            })
    }
}

/// Also by the end of names like `/freeassociation.sourceforge.net/Europe/Berlin`.
fn by_name(tzid: &str) -> Option<Zone> {
    let tzid = tzid.trim();
    Zone::find(tzid).or_else(|| {
        let starts = tzid.match_indices('/').map(|(at, _)| at + 1);
        starts.filter_map(|at| Zone::find(&tzid[at..])).next()
    })
}

/// By another name that the definition has, or by being the same as a zone that is known.
fn by_definition(zone: &Component, local: DateTime) -> Option<Zone> {
    let named = ["X-LIC-LOCATION", "TZID-ALIAS-OF"];
    if let Some(line) = named.iter().find_map(|name| zone.get(name)) {
        return by_name(&line.text());
    }
    let value = |name: &str| -> BTreeSet<&str> {
        let lines = zone.children.iter().filter_map(|c| c.get(name));
        lines.map(|line| line.value.trim()).collect()
    };
    let offsets: Vec<&str> = value("TZOFFSETTO").into_iter().collect();
    match offsets.as_slice() {
        [offset] => fixed(offset),
        _ => by_rules(&observances(zone)?, local),
    }
}

/// The zone of a fixed offset of whole hours.
fn fixed(offset: &str) -> Option<Zone> {
    let (hours, rest) = offset.split_at_checked(3)?;
    if !rest.bytes().all(|b| b == b'0') {
        return None;
    }
    // POSIX counts the other way.
    match hours.parse::<i8>().ok()? {
        0 => Some(Zone::utc()),
        hours => Zone::find(&format!("Etc/GMT{:+}", -hours)),
    }
}

/// A zone that has exactly these rules at that time, and ever since.
fn by_rules(told: &BTreeSet<Observance>, local: DateTime) -> Option<Zone> {
    let from = Zone::utc().instant(local)?;
    Zone::all_of_windows().find(|zone| {
        let mut lines = Lines::default();
        write_vtimezone(&mut lines, zone, from, None);
        let own = parse(&lines.finish()).ok();
        let own = own.and_then(|own| observances(own.first()?));
        own.as_ref() == Some(told)
    })
}

/// One change of the clocks that comes every year: kind, offsets, rule, time of day.
type Observance = (String, String, String, String, String);

/// `None` if a change does not come for ever, or nothing changes.
fn observances(zone: &Component) -> Option<BTreeSet<Observance>> {
    let mut all = BTreeSet::new();
    for change in &zone.children {
        let value = |name: &str| Some(change.get(name)?.value.trim().to_ascii_uppercase());
        let rule = value("RRULE")?;
        let mut parts: Vec<&str> = rule
            .split(';')
            .filter(|part| !part.starts_with("WKST=") && *part != "INTERVAL=1")
            .collect();
        parts.sort_unstable();
        if parts
            .iter()
            .any(|part| part.starts_with("UNTIL=") || part.starts_with("COUNT="))
        {
            return None;
        }
        let start = value("DTSTART")?;
        all.insert((
            change.name.clone(),
            value("TZOFFSETFROM")?,
            value("TZOFFSETTO")?,
            parts.join(";"),
            start.split_once('T')?.1.to_owned(),
        ));
    }
    (!all.is_empty()).then_some(all)
}
