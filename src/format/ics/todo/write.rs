//! Graph's JSON to a calendar with one task.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use super::super::rule::Rule;
use super::super::time::When;
use super::{APPLICATION, EXTERNAL_ID, FILE_NAME, File, STATUS, STATUSES, ZONE};
use crate::format::lines::Lines;
use crate::format::zones::{Zone, write_vtimezone};

/// A task as an iCalendar file.
pub fn write(task: &Value, files: &[File]) -> Vec<u8> {
    let mut out = Lines::default();
    out.begin("VCALENDAR");
    out.put("VERSION", &[], "2.0");
    out.text("PRODID", &[], "-//tenantfs//Task//EN");
    let [start, due] = ["startDateTime", "dueDateTime"].map(|name| Moment::of(&task[name]));
    zones(&mut out, [&start, &due], !task["recurrence"].is_null());
    let id = text(&task["id"]);
    let stamp = stamp(&task["lastModifiedDateTime"]);
    out.begin("VTODO");
    out.text("UID", &[], id);
    out.put("DTSTAMP", &[], &stamp);
    for (name, property) in [
        ("CREATED", "createdDateTime"),
        ("LAST-MODIFIED", "lastModifiedDateTime"),
    ] {
        if let Some(time) = instant(&task[property]) {
            out.put(name, &[], &utc(time));
        }
    }
    out.text("SUMMARY", &[], text(&task["title"]));
    body(&mut out, &task["body"]);
    // Both are dates or both are times (RFC 5545 section 3.8.2.3).
    let dates = [&start, &due]
        .iter()
        .all(|m| m.as_ref().is_none_or(Moment::is_date));
    for (name, moment) in [("DTSTART", &start), ("DUE", &due)] {
        if let Some(moment) = moment {
            moment.write(&mut out, name, dates);
        }
    }
    status(&mut out, task);
    match text(&task["importance"]) {
        "high" => out.put("PRIORITY", &[], "1"),
        "low" => out.put("PRIORITY", &[], "9"),
        _ => {}
    }
    let categories = list(task, "categories").map(text);
    out.texts("CATEGORIES", categories.filter(|name| !name.is_empty()));
    if let (Some(rule), Some(first)) = (rule(&task["recurrence"]), start.as_ref().or(due.as_ref()))
    {
        out.put("RRULE", &[], &rule.to_ics(&first.when()));
    }
    for link in list(task, "linkedResources") {
        linked(&mut out, link);
    }
    for file in files {
        attached(&mut out, file);
    }
    reminder(&mut out, task);
    out.end();
    for (at, step) in list(task, "checklistItems").enumerate() {
        checklist(&mut out, id, at, step, &stamp);
    }
    out.finish()
}

fn body(out: &mut Lines, body: &Value) {
    let content = text(&body["content"]);
    if content.trim().is_empty() {
        return;
    }
    if body["contentType"] != "html" {
        return out.text("DESCRIPTION", &[], content);
    }
    let plain = mail_parser::decoders::html::html_to_text(content);
    out.text("DESCRIPTION", &[], plain.trim());
    out.text("X-ALT-DESC", &[("FMTTYPE", "text/html")], content);
}

fn status(out: &mut Lines, task: &Value) {
    let told = match text(&task["status"]) {
        "" => "notStarted",
        told => told,
    };
    let known = STATUSES.iter().find(|(name, _)| *name == told);
    let (_, status) = known.unwrap_or(&STATUSES[0]);
    out.put("STATUS", &[], status);
    if STATUSES
        .iter()
        .find(|(_, s)| s == status)
        .is_some_and(|(first, _)| *first != told)
    {
        out.text(STATUS, &[], told);
    }
    if told == "completed" {
        if let Some(done) = Moment::of(&task["completedDateTime"]) {
            out.put("COMPLETED", &[], &utc(done.instant()));
        }
        out.put("PERCENT-COMPLETE", &[], "100");
    }
}

fn linked(out: &mut Lines, link: &Value) {
    let (url, label) = (text(&link["webUrl"]), text(&link["displayName"]));
    let (application, id) = (text(&link["applicationName"]), text(&link["externalId"]));
    let kind = if url.is_empty() { "TEXT" } else { "URI" };
    let mut params = vec![("LINKREL", "related"), ("VALUE", kind)];
    for (name, value) in [
        ("LABEL", label),
        (APPLICATION, application),
        (EXTERNAL_ID, id),
    ] {
        if !value.is_empty() {
            params.push((name, value));
        }
    }
    match url {
        "" => out.text("LINK", &params, label),
        url => out.put("LINK", &params, url),
    }
}

fn attached(out: &mut Lines, file: &File) {
    let params = [
        ("FMTTYPE", file.content_type()),
        ("ENCODING", "BASE64"),
        ("VALUE", "BINARY"),
        (FILE_NAME, file.name.as_str()),
    ];
    out.put("ATTACH", &params, &STANDARD.encode(&file.bytes));
}

fn reminder(out: &mut Lines, task: &Value) {
    if task["isReminderOn"].as_bool() != Some(true) {
        return;
    }
    let Some(moment) = Moment::of(&task["reminderDateTime"]) else {
        return;
    };
    out.begin("VALARM");
    out.put("ACTION", &[], "DISPLAY");
    out.text("DESCRIPTION", &[], text(&task["title"]));
    out.put("TRIGGER", &[("VALUE", "DATE-TIME")], &utc(moment.instant()));
    out.end();
}

fn checklist(out: &mut Lines, task: &str, at: usize, step: &Value, stamp: &str) {
    let id = match text(&step["id"]) {
        "" => at.to_string(),
        id => id.to_owned(),
    };
    out.begin("VTODO");
    out.text("UID", &[], &format!("{task}/{id}"));
    out.put("DTSTAMP", &[], stamp);
    if let Some(created) = instant(&step["createdDateTime"]) {
        out.put("CREATED", &[], &utc(created));
    }
    out.text("SUMMARY", &[], text(&step["displayName"]));
    out.text("RELATED-TO", &[("RELTYPE", "PARENT")], task);
    match step["isChecked"].as_bool() {
        Some(true) => {
            out.put("STATUS", &[], "COMPLETED");
            if let Some(checked) = instant(&step["checkedDateTime"]) {
                out.put("COMPLETED", &[], &utc(checked));
            }
        }
        _ => out.put("STATUS", &[], "NEEDS-ACTION"),
    }
    out.end();
}

/// Tells the zones that times name.
fn zones(out: &mut Lines, moments: [&Option<Moment>; 2], series: bool) {
    let timed = moments.into_iter().flatten();
    let timed: Vec<(&Zone, Timestamp)> = timed
        .filter(|moment| !moment.is_date())
        .filter_map(|moment| Some((moment.zone.as_ref().ok()?, moment.instant())))
        .filter(|(zone, _)| !zone.is_utc())
        .collect();
    let mut written: Vec<&str> = Vec::new();
    for (zone, _) in &timed {
        if written.contains(&zone.name.as_str()) {
            continue;
        }
        written.push(&zone.name);
        let instants = || timed.iter().filter(|(other, _)| other.name == zone.name);
        let first = instants().map(|(_, at)| *at).min().unwrap_or_default();
        let last = instants().map(|(_, at)| *at).max();
        write_vtimezone(out, zone, first, last.filter(|_| !series));
    }
}

/// The rule of a series. To Do may leave out that it never ends.
fn rule(recurrence: &Value) -> Option<Rule> {
    let mut recurrence = recurrence.clone();
    if recurrence.is_object() && recurrence["range"]["type"].is_null() {
        recurrence["range"]["type"] = "noEnd".into();
    }
    Rule::from_graph(&recurrence)
}

/// A `dateTimeTimeZone`.
struct Moment {
    local: DateTime,
    /// The zone, or its name if nobody knows it.
    zone: Result<Zone, String>,
}

impl Moment {
    fn of(value: &Value) -> Option<Self> {
        let local = text(&value["dateTime"])
            .trim_end_matches('Z')
            .parse()
            .ok()?;
        let name = match text(&value["timeZone"]) {
            "" => "UTC",
            name => name,
        };
        let zone = Zone::find(name).ok_or_else(|| name.to_owned());
        Some(Self { local, zone })
    }

    /// To Do keeps the day a task is due as midnight in some zone.
    fn is_date(&self) -> bool {
        self.local.time() == Time::midnight()
    }

    /// Local time is taken for UTC where the zone is unknown.
    fn instant(&self) -> Timestamp {
        let zone = self.zone.as_ref().ok();
        let known = zone.and_then(|zone| zone.instant(self.local));
        let utc = || self.local.to_zoned(TimeZone::UTC).map(|z| z.timestamp());
        known.or_else(|| utc().ok()).unwrap_or_default()
    }

    fn when(&self) -> When {
        match &self.zone {
            _ if self.is_date() => When::Day(self.local.date()),
            Ok(zone) => When::At {
                local: self.local,
                zone: zone.clone(),
            },
            Err(_) => When::At {
                local: self.local,
                zone: Zone::utc(),
            },
        }
    }

    fn write(&self, out: &mut Lines, name: &str, date: bool) {
        let local = self.local.strftime("%Y%m%dT%H%M%S").to_string();
        match &self.zone {
            _ if date => out.put(name, &[("VALUE", "DATE")], &local[..8]),
            Ok(zone) if zone.is_utc() => out.put(name, &[], &format!("{local}Z")),
            Ok(zone) => out.put(name, &[("TZID", &zone.name)], &local),
            Err(unknown) => out.put(name, &[(ZONE, unknown)], &local),
        }
    }
}

fn instant(value: &Value) -> Option<Timestamp> {
    text(value).parse().ok()
}

/// A task that nothing is known of was made at the beginning of time: no clock is asked.
fn stamp(value: &Value) -> String {
    utc(instant(value).unwrap_or_default())
}

fn utc(time: Timestamp) -> String {
    // Whole seconds: a fraction is cut off, also before 1970.
    let whole = time.checked_sub(i64::from(time.subsec_nanosecond()).nanoseconds());
    let zoned = whole.unwrap_or(time).to_zoned(TimeZone::UTC);
    zoned.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list<'a>(task: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    task[name].as_array().into_iter().flatten()
}
