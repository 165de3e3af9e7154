//! A file of iCalendar as Graph's event.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time};
use serde_json::{Map, Value, json};

use super::properties::{
    after, attachment, attendee, body, importance, locations, person, sensitivity, show_as,
};
use super::rule::Rule;
use super::syntax::{Component, Line, parse};
use super::time::{When, parse_clock, parse_duration};
use super::tzid::Zones;
use super::{Exception, Foreign, Refusal, unsupported};
use crate::format::eml::Attachment;
use crate::format::zones::Zone;

/// Occurrences of one series that may be cancelled or changed: each costs requests.
const MAX_CHANGES: usize = 2_000;

/// Properties that an event loses, and that someone may miss.
const LOST: [&str; 9] = [
    "URL",
    "CONTACT",
    "COMMENT",
    "RESOURCES",
    "RELATED-TO",
    "GEO",
    "CONFERENCE",
    "IMAGE",
    "REQUEST-STATUS",
];

/// The event of a file.
///
/// # Errors
/// See [`Refusal`].
pub fn read(bytes: &[u8]) -> Result<Foreign, Refusal> {
    let roots = parse(bytes)?;
    let (calendar, events) = choose(&roots)?;
    let zones = Zones::new(calendar);
    let (masters, changed): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|event| event.get("RECURRENCE-ID").is_none());
    match (masters.as_slice(), changed.as_slice()) {
        ([master], changed) => series(master, changed, &zones),
        ([], [only]) => {
            let mut single = Reader::new(only, &zones)?.whole()?;
            single
                .notes
                .push("an occurrence without its series: restored as a single event".into());
            Ok(single)
        }
        ([], _) => Err(unsupported(
            "several occurrences, but not the series that they belong to",
        )),
        _ => Err(unsupported("the same event several times")),
    }
}

/// The attachments in a file, for each of its VEVENTs in order.
///
/// # Errors
/// [`Refusal::Syntax`].
pub fn attachments(bytes: &[u8]) -> Result<Vec<Vec<Attachment>>, Refusal> {
    let roots = parse(bytes)?;
    let events = roots
        .iter()
        .flat_map(|root| &root.children)
        .filter(|c| c.name == "VEVENT");
    Ok(events
        .map(|event| {
            event
                .all("ATTACH")
                .filter_map(|line| attachment(line).ok())
                .collect()
        })
        .collect())
}

/// The calendar and its VEVENTs, which are all of one event.
fn choose(roots: &[Component]) -> Result<(&Component, Vec<&Component>), Refusal> {
    let calendars: Vec<_> = roots
        .iter()
        .filter(|root| root.name == "VCALENDAR")
        .collect();
    let Some(first) = calendars.first() else {
        let found = roots.first().map_or("nothing", |root| root.name.as_str());
        return Err(Refusal::NoEvent(format!(
            "it holds {found}, not a VCALENDAR"
        )));
    };
    if first
        .get("VERSION")
        .is_some_and(|version| version.value.trim() == "1.0")
    {
        return Err(unsupported("it is a vCalendar 1.0, not an iCalendar 2.0"));
    }
    if let Some(scale) = first.word("CALSCALE").filter(|scale| scale != "GREGORIAN") {
        return Err(unsupported(format!("the calendar {scale}")));
    }
    if let Some(method) = first.word("METHOD")
        && ["CANCEL", "REPLY", "REFRESH", "COUNTER", "DECLINECOUNTER"].contains(&method.as_str())
    {
        return Err(Refusal::NoEvent(format!(
            "it is a message about one: METHOD:{method}"
        )));
    }
    let events: Vec<(usize, &Component)> = calendars
        .iter()
        .enumerate()
        .flat_map(|(n, calendar)| calendar.children.iter().map(move |child| (n, child)))
        .filter(|(_, child)| child.name == "VEVENT")
        .collect();
    let Some((n, _)) = events.first() else {
        let others: BTreeSet<&str> = calendars
            .iter()
            .flat_map(|c| &c.children)
            .map(|c| c.name.as_str())
            .collect();
        let others: Vec<&str> = others.into_iter().collect();
        let what = if others.is_empty() {
            "nothing".to_owned()
        } else {
            others.join(", ")
        };
        return Err(Refusal::NoEvent(format!("it holds {what}")));
    };
    // One without a UID is an event of its own.
    let uids: BTreeSet<String> = events
        .iter()
        .enumerate()
        .map(|(at, (_, event))| {
            event
                .text("UID")
                .map_or(format!("#{at}"), |uid| format!("={uid}"))
        })
        .collect();
    if uids.len() > 1 {
        return Err(Refusal::Several(uids.len()));
    }
    Ok((
        calendars[*n],
        events.into_iter().map(|(_, event)| event).collect(),
    ))
}

fn series(master: &Component, changed: &[&Component], zones: &Zones) -> Result<Foreign, Refusal> {
    let zones = &zones.of(master);
    let reader = Reader::new(master, zones)?;
    let mut found = reader.whole()?;
    let rule = match master.all("RRULE").collect::<Vec<_>>().as_slice() {
        [] => None,
        [rule] => Some(Rule::from_ics(&rule.value, &reader.told)?),
        _ => return Err(unsupported("several rules of recurrence")),
    };
    if master.get("EXRULE").is_some() {
        return Err(unsupported("a rule of exceptions (EXRULE)"));
    }
    for line in master.all("RDATE") {
        let again = line
            .value
            .split(',')
            .all(|v| zones.when(line, v).is_ok_and(|w| w == reader.told));
        if !again {
            return Err(unsupported("dates outside of its rule (RDATE)"));
        }
    }
    let Some(rule) = rule else {
        if !changed.is_empty() {
            return Err(unsupported(
                "changed occurrences of an event that does not recur",
            ));
        }
        return Ok(found);
    };
    let zone = reader.zone();
    found.event["recurrence"] = rule.to_graph(reader.start.date(), &zone);

    let mut excluded = BTreeSet::new();
    for line in master.all("EXDATE") {
        for value in line
            .value
            .split(',')
            .filter(|value| !value.trim().is_empty())
        {
            // What is no occurrence excludes nothing.
            excluded.extend(reader.occurrence(&zones.when(line, value)?));
        }
    }
    let mut given = BTreeSet::new();
    for component in changed {
        let Some(line) = component.get("RECURRENCE-ID") else {
            continue;
        };
        if line.param("RANGE").is_some() {
            return Err(unsupported(
                "a change of this and all later occurrences (RANGE)",
            ));
        }
        let when = zones.when(line, &line.value)?;
        let day = reader.occurrence(&when);
        let Some(day) = day.filter(|day| !excluded.contains(day) && given.insert(*day)) else {
            return Err(unsupported(format!(
                "a changed occurrence where the series has none: {}",
                line.value
            )));
        };
        if component.word("STATUS").as_deref() == Some("CANCELLED") {
            excluded.insert(day);
            continue;
        }
        let change = Reader::new(component, zones)?.whole()?;
        found.notes.extend(change.notes);
        found.exceptions.push(Exception {
            day,
            event: change.event,
            attachments: change.attachments,
        });
    }
    if excluded.len() + found.exceptions.len() > MAX_CHANGES {
        return Err(unsupported(format!(
            "more than {MAX_CHANGES} cancelled and changed occurrences"
        )));
    }
    let there = days_of(&rule, reader.start.date(), &excluded, &given)?;
    found.cancelled = excluded
        .into_iter()
        .filter(|day| there.contains(day))
        .collect();
    found.exceptions.sort_by_key(|exception| exception.day);
    Ok(found)
}

/// Which of these days the series has. Every changed occurrence must be one of its own.
fn days_of(
    rule: &Rule,
    start: Date,
    excluded: &BTreeSet<Date>,
    given: &BTreeSet<Date>,
) -> Result<BTreeSet<Date>, Refusal> {
    let asked = || excluded.iter().chain(given);
    let Some(last) = asked().max() else {
        return Ok(BTreeSet::new());
    };
    let mut there = BTreeSet::new();
    let mut remains = false;
    for day in rule.dates(start) {
        remains |= !excluded.contains(&day);
        if day > *last {
            break;
        }
        if excluded.contains(&day) || given.contains(&day) {
            there.insert(day);
        }
    }
    if let Some(stray) = given.iter().find(|day| !there.contains(day)) {
        return Err(unsupported(format!(
            "a changed occurrence where the series has none: {stray}"
        )));
    }
    if !remains {
        return Err(unsupported(
            "a series of which every occurrence is cancelled",
        ));
    }
    Ok(there)
}

/// Start and end of what is an all-day event to Exchange, although the file tells times (MS-OXCICAL
/// 2.1.3.1.1.20.28): from a midnight to a midnight.
fn whole_days(component: &Component, start: &When, end: &When) -> Option<(When, When)> {
    let said = component.word("X-MICROSOFT-CDO-ALLDAYEVENT");
    let midnight = |when: &When| match when {
        When::At { local, .. } => (local.time() == Time::midnight()).then(|| local.date()),
        When::Day(_) => None,
    };
    let (from, to) = (midnight(start)?, midnight(end)?);
    (said.as_deref() == Some("TRUE") && from < to).then_some((When::Day(from), When::Day(to)))
}

/// Reads one VEVENT.
struct Reader<'a> {
    component: &'a Component,
    /// The start as it stands in the file, which its rule and its days go by.
    told: When,
    start: When,
    end: When,
    floating: bool,
}

impl<'a> Reader<'a> {
    fn new(component: &'a Component, zones: &Zones) -> Result<Self, Refusal> {
        let zones = zones.of(component);
        let line = component
            .get("DTSTART")
            .ok_or_else(|| unsupported("it has no start"))?;
        let start = zones.when(line, &line.value)?;
        let floating = zones.floating.is_none()
            && line.param("TZID").is_none()
            && matches!(&start, When::At { .. })
            && !line.value.trim().ends_with(['Z', 'z']);
        let end = match (component.get("DTEND"), component.get("DURATION")) {
            (Some(line), _) => zones.when(line, &line.value)?,
            (None, Some(line)) => after(&start, &line.value)?,
            (None, None) => match &start {
                When::Day(day) => When::Day(day.tomorrow().map_err(|_| unsupported("its time"))?),
                at => at.clone(),
            },
        };
        let end = match (&start, end) {
            // A day that ends when it begins is one day long to everyone.
            (When::Day(from), When::Day(to)) if to == *from => {
                When::Day(from.tomorrow().map_err(|_| unsupported("its time"))?)
            }
            (When::Day(_), When::Day(to)) => When::Day(to),
            (When::At { .. }, end @ When::At { .. }) => end,
            _ => {
                return Err(unsupported(
                    "a start that is a day and an end that is a time, or the reverse",
                ));
            }
        };
        let (Some(from), Some(to)) = (start.instant(), end.instant()) else {
            return Err(unsupported("a time outside of all calendars"));
        };
        if to < from {
            return Err(unsupported("an end before its start"));
        }
        let told = start.clone();
        let (start, end) = whole_days(component, &start, &end).unwrap_or((start, end));
        Ok(Self {
            component,
            told,
            start,
            end,
            floating,
        })
    }

    fn zone(&self) -> Zone {
        match &self.start {
            When::Day(_) => Zone::utc(),
            When::At { zone, .. } => zone.clone(),
        }
    }

    /// The day of the series on which an occurrence starts at that time, if the time of day fits.
    fn occurrence(&self, when: &When) -> Option<Date> {
        match (&self.told, when) {
            (_, When::Day(day)) => Some(*day),
            // Days of an all-day series are named by times now and then.
            (When::Day(_), When::At { local, .. }) => Some(local.date()),
            (When::At { zone, .. }, at) => {
                let instant = at.instant()?;
                let day = zone.local(instant).date();
                (self.told.on(day).instant()? == instant).then_some(day)
            }
        }
    }

    /// Everything but the recurrence.
    fn whole(&self) -> Result<Foreign, Refusal> {
        let c = self.component;
        let utc = Zone::utc();
        let mut event = Map::new();
        let mut notes = Vec::new();
        let mut put = |name: &str, value: Value| {
            event.insert(name.to_owned(), value);
        };
        let text = |name: &str| c.text(name);
        put(
            "subject",
            json!(text("SUMMARY").unwrap_or_default().replace('\n', " ")),
        );
        put("isAllDay", json!(matches!(self.start, When::Day(_))));
        put("start", self.start.graph(&utc));
        put("end", self.end.graph(&utc));
        if let Some(body) = body(c) {
            put("body", body);
        }
        if let Some(place) = text("LOCATION") {
            put("location", json!({ "displayName": place }));
            if let Some(places) = locations(c, &place) {
                put("locations", places);
            }
        }
        let categories: Vec<String> = c.all("CATEGORIES").flat_map(Line::texts).collect();
        let categories: Vec<&String> = categories.iter().filter(|c| !c.trim().is_empty()).collect();
        if !categories.is_empty() {
            put("categories", json!(categories));
        }
        put("showAs", json!(show_as(c)));
        put("sensitivity", json!(sensitivity(c)));
        put("importance", json!(importance(c)));
        if c.word("X-MICROSOFT-DISALLOW-COUNTER").as_deref() == Some("TRUE") {
            put("allowNewTimeProposals", json!(false));
        }
        let (minutes, more) = self.reminder();
        put("isReminderOn", json!(minutes.is_some()));
        if let Some(minutes) = minutes {
            put("reminderMinutesBeforeStart", json!(minutes));
        }
        notes.extend(more);
        if let Some(organizer) = c.get("ORGANIZER").and_then(person) {
            put("organizer", organizer);
        }
        let attendees: Vec<Value> = c.all("ATTENDEE").filter_map(attendee).collect();
        if !attendees.is_empty() {
            put("attendees", json!(attendees));
        }
        if self.floating {
            notes.push("its times have no time zone: taken as UTC".to_owned());
        }
        if c.word("STATUS").as_deref() == Some("CANCELLED") {
            notes.push("it was cancelled: restored as an event that is not".to_owned());
        }
        let mut attachments = Vec::new();
        for line in c.all("ATTACH") {
            match attachment(line) {
                Ok(attachment) => attachments.push(attachment),
                Err(why) => notes.push(why),
            }
        }
        let lost: Vec<&str> = LOST
            .iter()
            .copied()
            .filter(|name| self.loses(name))
            .collect();
        if !lost.is_empty() {
            notes.push(format!("Exchange has no place for {}", lost.join(", ")));
        }
        Ok(Foreign {
            event: Value::Object(event),
            attachments,
            notes,
            ..Foreign::default()
        })
    }

    /// What this program writes of what Graph tells is no loss.
    fn loses(&self, name: &str) -> bool {
        let own = match name {
            "URL" => self
                .component
                .get("URL")
                .is_some_and(|l| l.value.starts_with("https://outlook.")),
            "CONFERENCE" => self
                .component
                .get("X-MICROSOFT-SKYPETEAMSMEETINGURL")
                .is_some(),
            "GEO" => self.component.get("X-MICROSOFT-LOCATIONS").is_some(),
            _ => false,
        };
        !own && self.component.text(name).is_some()
    }

    /// Minutes before the start, and what cannot be kept of the alarms.
    fn reminder(&self) -> (Option<i64>, Option<String>) {
        let alarms: Vec<&Component> = self
            .component
            .children
            .iter()
            .filter(|c| c.name == "VALARM")
            .collect();
        let good = alarms
            .iter()
            .filter_map(|alarm| self.minutes_before(alarm))
            .next();
        let note = match (alarms.len(), good) {
            (0, _) | (1, Some(_)) => None,
            (1, None) => Some("its alarm is of a kind that Exchange does not have"),
            (_, _) => Some("Exchange keeps one alarm of several"),
        };
        (good, note.map(str::to_owned))
    }

    fn minutes_before(&self, alarm: &Component) -> Option<i64> {
        if !["DISPLAY", "AUDIO"].contains(&alarm.word("ACTION")?.as_str()) {
            return None;
        }
        let trigger = alarm.get("TRIGGER")?;
        let start = self.start.instant()?;
        let rings = match parse_clock(&trigger.value) {
            Some((at, _)) => Zone::utc().instant(at)?,
            None => {
                let related = trigger.param("RELATED").unwrap_or_default();
                let from = match related.eq_ignore_ascii_case("END") {
                    true => self.end.instant()?,
                    false => start,
                };
                let span = parse_duration(&trigger.value)?;
                from.to_zoned(jiff::tz::TimeZone::UTC)
                    .checked_add(span)
                    .ok()?
                    .timestamp()
            }
        };
        let minutes = (start.as_second() - rings.as_second()) / 60;
        (0..=10_000_000).contains(&minutes).then_some(minutes)
    }
}
