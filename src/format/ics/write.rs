//! Graph's event as iCalendar.
//!
//! Lost: change key, transaction id, times of responses, proposed new times, who may see whom, what
//! applications put there, time zones of Exchange that have no name. The record keeps them.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use mail_parser::decoders::html::html_to_text;
use serde_json::Value;

use super::cancelled_day;
use super::rule::Rule;
use super::time::{When, all_day, instant, local, original, stamp};
use crate::format::eml::{Attachment, Body};
use crate::format::lines::Lines;
use crate::format::zones::{Zone, write_vtimezone};

/// Without a version: an event's file must not change with the program.
const PRODID: &str = "-//tenantfs//tenantfs//EN";

/// What is said of a series whose days in UTC no rule says.
const OTHER_DAYS: &str = "The time zone of this series has no name. The days of its rule are those of that zone, \
    and its times are in UTC, where they are on the day before or after.";

/// From when to when an event is.
pub(super) struct Span {
    pub start: Option<When>,
    pub end: Option<When>,
    /// The zone it was made in; for a series the one that its rule runs in.
    pub zone: Zone,
    /// Nothing tells the zone.
    pub is_guess: bool,
}

impl Span {
    /// Reads it off a record, whose times may be told in any zone. `fallback` is for events whose own
    /// zone has no name.
    pub fn of(event: &Value, fallback: &Zone) -> Self {
        let find = |value: &Value| value.as_str().and_then(Zone::find);
        let zone = find(&event["recurrence"]["range"]["recurrenceTimeZone"])
            .or_else(|| find(&event["originalStartTimeZone"]))
            // What was not read from Graph has its zone here.
            .or_else(|| find(&event["start"]["timeZone"]).filter(|zone| !zone.is_utc()));
        let is_guess = zone.is_none();
        let zone = zone.unwrap_or_else(|| fallback.clone());
        if event["isAllDay"] == true {
            let day = |name: &str| all_day(&event[name], &zone).map(When::Day);
            return Self {
                start: day("start"),
                end: day("end"),
                zone,
                is_guess,
            };
        }
        let at = |name: &str, zone: &Zone| {
            Some(When::At {
                local: local(&event[name], zone)?,
                zone: zone.clone(),
            })
        };
        let end_zone = find(&event["originalEndTimeZone"])
            .or_else(|| find(&event["end"]["timeZone"]).filter(|zone| !zone.is_utc()))
            .unwrap_or_else(|| zone.clone());
        Self {
            start: at("start", &zone),
            end: at("end", &end_zone),
            zone,
            is_guess,
        }
    }
}

/// The event as a file; `None` for what has no id.
///
/// `attachments`: those of the event first, then those of each of its `exceptionOccurrences`.
pub fn from_json(record: &Value, attachments: &[Vec<Attachment>]) -> Option<Vec<u8>> {
    let uid = filled(&record["iCalUId"]).or_else(|| filled(&record["id"]))?;
    let none = Vec::new();
    let of = |n: usize| attachments.get(n).unwrap_or(&none);
    let span = Span::of(record, &Zone::utc());
    let (rule, moved) = rule(record, &span);
    let is_all_day = matches!(span.start, Some(When::Day(_)));
    let exceptions: Vec<Exception> = record["exceptionOccurrences"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(n, event)| {
            let original = original(&event["originalStart"], is_all_day, &span.zone)?;
            Some(Exception {
                original: match (&rule, &span.start) {
                    (Some(_), Some(start)) => occurrence(start, original),
                    _ => original,
                },
                span: Span::of(event, &span.zone),
                attachments: of(n + 1),
                event,
            })
        })
        .collect();

    let mut lines = Lines::default();
    lines.begin("VCALENDAR");
    lines.put("VERSION", &[], "2.0");
    lines.put("PRODID", &[], PRODID);
    let mut zones = Zones::default();
    zones.add_span(&span, rule.as_ref());
    for exception in &exceptions {
        zones.add(Some(&exception.original));
        zones.add_span(&exception.span, None);
    }
    zones.write(&mut lines);

    lines.begin("VEVENT");
    lines.text("UID", &[], uid);
    if let (Some(rule), Some(start)) = (&rule, &span.start) {
        lines.put("RRULE", &[], &rule.to_ics(start));
        let cancelled = record["cancelledOccurrences"].as_array();
        for day in cancelled.into_iter().flatten().filter_map(cancelled_day) {
            let day = day.checked_add(moved.unwrap_or_default().days());
            moment(
                &mut lines,
                "EXDATE",
                day.ok().map(|day| start.on(day)).as_ref(),
            );
        }
        if moved.is_none() {
            lines.text("COMMENT", &[], OTHER_DAYS);
        }
    }
    event(&mut lines, record, &span, of(0));
    lines.end();
    for exception in exceptions {
        lines.begin("VEVENT");
        lines.text("UID", &[], uid);
        moment(&mut lines, "RECURRENCE-ID", Some(&exception.original));
        event(
            &mut lines,
            exception.event,
            &exception.span,
            exception.attachments,
        );
        lines.end();
    }
    Some(lines.finish())
}

/// The rule of a series, and how many days later than Graph tells them its days are. Graph tells days of the series'
/// own zone; where that has no name times are in UTC, and may be on the day before or after. `None`: no rule
/// says these days.
pub(super) fn rule(record: &Value, span: &Span) -> (Option<Rule>, Option<i32>) {
    let Some(rule) = Rule::from_graph(&record["recurrence"]) else {
        return (None, Some(0));
    };
    let told = record["recurrence"]["range"]["startDate"].as_str();
    let told = told.and_then(|day| day.parse::<Date>().ok());
    let moved = match (&span.start, told) {
        (Some(start @ When::At { .. }), Some(told)) if span.is_guess => {
            let days = (start.date() - told).get_days();
            if (-1..=1).contains(&days) { days } else { 0 }
        }
        _ => 0,
    };
    match rule.moved(moved) {
        Some(rule) => (Some(rule), Some(moved)),
        None => (Some(rule), None),
    }
}

/// The occurrence that an exception takes the place of. All of a series begin at one time of day, and
/// readers go by it: where Graph does not tell the zone, or the clocks are put forward over that time,
/// the instant is that of another, and there would be both.
fn occurrence(start: &When, original: When) -> When {
    let day = original.date();
    let days = [Ok(day), day.yesterday(), day.tomorrow()];
    let off = |when: &When| {
        let seconds = |when: &When| when.instant().map(|at| at.as_second());
        Some(seconds(when)?.abs_diff(seconds(&original)?))
    };
    let near = days.into_iter().flatten().map(|day| start.on(day));
    near.min_by_key(|when| off(when).unwrap_or(u64::MAX))
        .unwrap_or(original)
}

struct Exception<'a> {
    event: &'a Value,
    original: When,
    span: Span,
    attachments: &'a [Attachment],
}

/// The zones of a file: from when they are needed, and until when (`None`: for ever).
#[derive(Default)]
struct Zones(BTreeMap<String, (Zone, Timestamp, Option<Timestamp>)>);

impl Zones {
    fn add(&mut self, when: Option<&When>) {
        let Some(When::At { zone, .. }) = when.filter(|when| !matches!(when, When::Day(_))) else {
            return;
        };
        let Some(at) = when.and_then(When::instant).filter(|_| !zone.is_utc()) else {
            return;
        };
        let known = self
            .0
            .entry(zone.name.clone())
            .or_insert_with(|| (zone.clone(), at, Some(at)));
        known.1 = known.1.min(at);
        known.2 = known.2.map(|until| until.max(at));
    }

    fn add_span(&mut self, span: &Span, rule: Option<&Rule>) {
        self.add(span.start.as_ref());
        self.add(span.end.as_ref());
        let (Some(rule), Some(start)) = (rule, &span.start) else {
            return;
        };
        // Whatever ends the series: a day more, for an occurrence that runs over midnight.
        let last = rule
            .last(start.date())
            .and_then(|day| start.on(day).instant());
        let until = last.and_then(|last| last.checked_add(48.hours()).ok());
        for (_, _, known) in self.0.values_mut() {
            *known = match (*known, until) {
                (Some(known), Some(until)) => Some(known.max(until)),
                _ => None,
            };
        }
    }

    fn write(&self, lines: &mut Lines) {
        for (zone, from, until) in self.0.values() {
            write_vtimezone(lines, zone, *from, *until);
        }
    }
}

/// What a VEVENT has whether it is a series, an exception or a single event.
fn event(lines: &mut Lines, event: &Value, span: &Span, attachments: &[Attachment]) {
    times(lines, event, span);
    lines.text(
        "SUMMARY",
        &[],
        event["subject"].as_str().unwrap_or_default(),
    );
    description(lines, event);
    place(lines, event);
    people(lines, event);
    state(lines, event);
    meeting(lines, event);
    if let Some(url) = filled(&event["webLink"]) {
        lines.put("URL", &[], url);
    }
    for attachment in attachments {
        attach(lines, attachment);
    }
    alarm(lines, event);
}

fn times(lines: &mut Lines, event: &Value, span: &Span) {
    let created = instant(&event["createdDateTime"]);
    let modified = instant(&event["lastModifiedDateTime"]);
    let known = modified
        .or(created)
        .or_else(|| span.start.as_ref()?.instant());
    lines.put(
        "DTSTAMP",
        &[],
        &stamp(known.unwrap_or(Timestamp::UNIX_EPOCH)),
    );
    for (name, time) in [("CREATED", created), ("LAST-MODIFIED", modified)] {
        if let Some(time) = time {
            lines.put(name, &[], &stamp(time));
        }
    }
    moment(lines, "DTSTART", span.start.as_ref());
    // An event without length has no end (RFC 5545 section 3.6.1).
    let instant = |when: &Option<When>| when.as_ref().and_then(When::instant);
    if instant(&span.end) > instant(&span.start) {
        moment(lines, "DTEND", span.end.as_ref());
    }
}

fn moment(lines: &mut Lines, name: &str, when: Option<&When>) {
    if let Some(when) = when {
        let (params, value) = when.ics();
        lines.put(name, &params, &value);
    }
}

fn description(lines: &mut Lines, event: &Value) {
    let body = &event["body"];
    let content = body["content"].as_str().unwrap_or_default();
    let html = body["contentType"]
        .as_str()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("html"));
    let text = match html {
        true => html_to_text(content).trim().to_owned(),
        false => content.to_owned(),
    };
    if !text.trim().is_empty() {
        lines.text("DESCRIPTION", &[], &text);
    }
    if html && !content.trim().is_empty() {
        lines.text("X-ALT-DESC", &[("FMTTYPE", "text/html")], content);
    }
}

fn place(lines: &mut Lines, event: &Value) {
    let locations: Vec<&Value> = event["locations"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let mut names: Vec<&str> = locations
        .iter()
        .filter_map(|l| filled(&l["displayName"]))
        .collect();
    if names.is_empty() {
        names.extend(filled(&event["location"]["displayName"]));
    }
    if !names.is_empty() {
        lines.text("LOCATION", &[], &names.join("; "));
    }
    let at = &event["location"]["coordinates"];
    if let (Some(latitude), Some(longitude)) = (at["latitude"].as_f64(), at["longitude"].as_f64()) {
        lines.put("GEO", &[], &format!("{latitude};{longitude}"));
    }
    if !locations.is_empty() {
        lines.text(
            "X-MICROSOFT-LOCATIONS",
            &[],
            &event["locations"].to_string(),
        );
    }
}

fn people(lines: &mut Lines, event: &Value) {
    let (name, address) = person(&event["organizer"]);
    if let Some(address) = address {
        lines.put("ORGANIZER", &name_param(name), &address);
    }
    for attendee in event["attendees"].as_array().into_iter().flatten() {
        let (name, Some(address)) = person(attendee) else {
            continue; // A distinguished name of Exchange's own: the record has it.
        };
        let mut params = name_param(name);
        params.extend(match attendee["type"].as_str().unwrap_or_default() {
            "required" => vec![("ROLE", "REQ-PARTICIPANT")],
            "optional" => vec![("ROLE", "OPT-PARTICIPANT")],
            "resource" => vec![("CUTYPE", "RESOURCE"), ("ROLE", "NON-PARTICIPANT")],
            _ => Vec::new(),
        });
        let response = match attendee["status"]["response"].as_str().unwrap_or_default() {
            "accepted" | "organizer" => "ACCEPTED",
            "declined" => "DECLINED",
            "tentativelyAccepted" => "TENTATIVE",
            _ => "NEEDS-ACTION",
        };
        params.push(("PARTSTAT", response));
        if let Some(asked) = event["responseRequested"].as_bool() {
            params.push(("RSVP", if asked { "TRUE" } else { "FALSE" }));
        }
        lines.put("ATTENDEE", &params, &address);
    }
}

/// Name and `mailto:` address of someone who has an SMTP address.
fn person(value: &Value) -> (Option<&str>, Option<String>) {
    let address = filled(&value["emailAddress"]["address"]).filter(|a| a.contains('@'));
    let clean = |a: &str| -> String { a.chars().filter(|c| !c.is_whitespace()).collect() };
    (
        filled(&value["emailAddress"]["name"]),
        address.map(|address| format!("mailto:{}", clean(address))),
    )
}

fn name_param(name: Option<&str>) -> Vec<(&'static str, &str)> {
    name.map(|name| ("CN", name)).into_iter().collect()
}

fn state(lines: &mut Lines, event: &Value) {
    let shown = event["showAs"].as_str().unwrap_or_default();
    let status = match (event["isCancelled"] == true, shown) {
        (true, _) => "CANCELLED",
        (false, "tentative") => "TENTATIVE",
        _ => "CONFIRMED",
    };
    lines.put("STATUS", &[], status);
    let free = matches!(shown, "free" | "unknown");
    lines.put("TRANSP", &[], if free { "TRANSPARENT" } else { "OPAQUE" });
    match event["sensitivity"].as_str().unwrap_or_default() {
        "personal" | "private" => lines.put("CLASS", &[], "PRIVATE"),
        "confidential" => lines.put("CLASS", &[], "CONFIDENTIAL"),
        "normal" => lines.put("CLASS", &[], "PUBLIC"),
        _ => {}
    }
    let importance = match event["importance"].as_str().unwrap_or_default() {
        "high" => Some(("1", "2")),
        "normal" => Some(("5", "1")),
        "low" => Some(("9", "0")),
        _ => None,
    };
    if let Some((priority, importance)) = importance {
        lines.put("PRIORITY", &[], priority);
        lines.put("X-MICROSOFT-CDO-IMPORTANCE", &[], importance);
    }
    let categories = event["categories"].as_array();
    lines.texts(
        "CATEGORIES",
        categories.into_iter().flatten().filter_map(filled),
    );
    if !shown.is_empty() && shown != "unknown" {
        lines.text(
            "X-MICROSOFT-CDO-BUSYSTATUS",
            &[],
            &shown.to_ascii_uppercase(),
        );
    }
    if event["isAllDay"] == true {
        lines.put("X-MICROSOFT-CDO-ALLDAYEVENT", &[], "TRUE");
    }
    if event["allowNewTimeProposals"] == false {
        lines.put("X-MICROSOFT-DISALLOW-COUNTER", &[], "TRUE");
    }
}

fn meeting(lines: &mut Lines, event: &Value) {
    let url =
        filled(&event["onlineMeeting"]["joinUrl"]).or_else(|| filled(&event["onlineMeetingUrl"]));
    // A URI only: a line of anything else would not be one.
    let Some(url) =
        url.filter(|url| url.starts_with("https://") && !url.contains(char::is_whitespace))
    else {
        return;
    };
    lines.put("CONFERENCE", &[("VALUE", "URI"), ("FEATURE", "VIDEO")], url);
    lines.put("X-MICROSOFT-SKYPETEAMSMEETINGURL", &[], url);
}

fn attach(lines: &mut Lines, attachment: &Attachment) {
    if let Body::Reference(url) = &attachment.body {
        // Graph v1.0 does not tell where a link goes: the record has its name.
        if let Some(url) = url {
            lines.put("ATTACH", &[("X-FILENAME", &attachment.name)], url);
        }
        return;
    }
    let name = attachment.file_name();
    let mut params = vec![
        (
            "FMTTYPE",
            attachment.mime_type().split(';').next().unwrap_or_default(),
        ),
        ("ENCODING", "BASE64"),
        ("VALUE", "BINARY"),
        ("X-FILENAME", &name),
    ];
    if let Some(id) = &attachment.content_id {
        params.push(("X-CONTENT-ID", id));
    }
    if attachment.inline {
        params.push(("X-INLINE", "TRUE"));
    }
    lines.put("ATTACH", &params, &STANDARD.encode(attachment.bytes()));
}

fn alarm(lines: &mut Lines, event: &Value) {
    if event["isReminderOn"] != true {
        return;
    }
    let minutes = event["reminderMinutesBeforeStart"].as_i64().unwrap_or(15);
    let sign = if minutes > 0 { "-" } else { "" };
    lines.begin("VALARM");
    lines.put("ACTION", &[], "DISPLAY");
    lines.text("DESCRIPTION", &[], "Reminder");
    lines.put(
        "TRIGGER",
        &[],
        &format!("{sign}PT{}M", minutes.unsigned_abs()),
    );
    lines.end();
}

/// A text that says something.
fn filled(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.trim().is_empty())
}
