//! Appointments and meetings as Graph's `event`, with exceptions and cancelled occurrences.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::mail;
use super::message::{Object, Properties};
use super::people::{Person, recipients, sender_and_from};
use super::properties::{self as prop, Prop, graph_day, graph_local, graph_time};
use super::recurrence::{Exception, Recurrence};
use super::zone::Zone;
use crate::format::{eml, ics, zones};

const DAY: i64 = 86_400;
/// Bytes of a series that are repeated in its exceptions.
const MAX_REPEATED: usize = 8 << 20;
/// Bytes of a property of a series that all of its exceptions have.
const MAX_SHORT: usize = 64;
/// What a global object id begins with when the rest is a foreign UID (MS-OXCICAL 2.1.3.1.1.20.26).
const FOREIGN_UID: &[u8] = b"vCal-Uid\x01\0\0\0";

/// An appointment.
pub(super) struct Event {
    pub json: Value,
    pub attachments: Vec<eml::Attachment>,
    pub notes: Vec<String>,
}

impl Event {
    /// The `.ics` file, with a UID that its content determines where it has none.
    pub fn to_ics(&self) -> Option<Vec<u8>> {
        let attachments = std::slice::from_ref(&self.attachments);
        if self.json["iCalUId"].is_string() {
            return ics::from_json(&self.json, attachments);
        }
        let mut json = self.json.clone();
        json["id"] = made_id(&self.json).into();
        ics::from_json(&json, attachments)
    }
}

/// An id for what has none: a hash of all that it says.
pub(super) fn made_id(json: &Value) -> String {
    let hash = blake3::hash(json.to_string().as_bytes());
    format!("{}@tenantfs", &hash.to_hex()[..32])
}

/// `around`: calendar files that it is attached within.
pub(super) fn event(object: &Object<'_>, around: usize) -> Event {
    let p = &object.properties;
    let mut notes = Vec::new();
    let recurrence = match p.binary(prop::RECURRENCE) {
        None => None,
        Some(blob) => match Recurrence::parse(&blob) {
            Ok(recurrence) => Some(recurrence),
            Err(e) => {
                notes.push(format!("the recurrence can't be read: {e}"));
                None
            }
        },
    };
    let zone = zone(p);
    let mut json = own(object, &zone);
    if let Some(recurrence) = &recurrence {
        series(&mut json, object, recurrence, &zone);
    }
    // Exceptions hang on the series as attachments, and are not attachments.
    let files = object
        .attachments
        .iter()
        .filter(|a| exception_flags(a) & 2 == 0);
    let attachments: Vec<_> = files
        .filter_map(|a| mail::attachment(a, &mut notes, around + 1))
        .collect();
    json.insert("hasAttachments".into(), (!attachments.is_empty()).into());
    json.insert("@odata.type".into(), "#microsoft.graph.event".into());
    Event {
        json: Value::Object(json),
        attachments,
        notes,
    }
}

fn exception_flags(attachment: &super::message::Attachment<'_>) -> i64 {
    let flags = attachment.properties.int(prop::ATTACH_EXCEPTION_FLAGS);
    flags.unwrap_or_default()
}

fn zone(p: &Properties<'_>) -> Option<Zone> {
    [prop::ZONE_RECUR, prop::ZONE_START, prop::ZONE_END]
        .into_iter()
        .find_map(|which| Zone::parse(&p.binary(which)?))
}

/// What an appointment says of itself, whether single, a series or an exception.
fn own(object: &Object<'_>, zone: &Option<Zone>) -> Map<String, Value> {
    let p = &object.properties;
    let mut json = Map::new();
    let mut say = |name: &str, value: Value| json.insert(name.to_owned(), value);
    say("type", "singleInstance".into());
    say("subject", mail::subject(p).into());
    say("body", mail::body(p));
    say("importance", mail::importance(p).into());
    say("sensitivity", mail::sensitivity(p).into());
    say("categories", p.texts(prop::KEYWORDS).into());
    for (name, which) in [
        ("createdDateTime", prop::CREATION_TIME),
        ("lastModifiedDateTime", prop::LAST_MODIFICATION_TIME),
    ] {
        if let Some(time) = p.time(which).and_then(graph_time) {
            say(name, time.into());
        }
    }
    let all_day = p.bool(prop::ALL_DAY) == Some(true);
    say("isAllDay", all_day.into());
    for (name, which) in [("start", prop::START_WHOLE), ("end", prop::END_WHOLE)] {
        if let Some(time) = p.time(which) {
            say(name, time_of(time, all_day, zone));
        }
    }
    if let Some(zone) = zone.as_ref().filter(|zone| !zone.name.is_empty()) {
        say("originalStartTimeZone", zone.name.as_str().into());
        say("originalEndTimeZone", zone.name.as_str().into());
    }
    say(
        "showAs",
        show_as(p.int(prop::BUSY_STATUS).unwrap_or(2)).into(),
    );
    say(
        "isReminderOn",
        (p.bool(prop::REMINDER_SET) == Some(true)).into(),
    );
    say(
        "reminderMinutesBeforeStart",
        p.int(prop::REMINDER_MINUTES).unwrap_or(15).into(),
    );
    let place = p.text(prop::LOCATION).unwrap_or_default();
    say("location", json!({ "displayName": place }));
    let places = if place.is_empty() {
        json!([])
    } else {
        json!([{ "displayName": place }])
    };
    say("locations", places);
    if let Some(uid) = uid(p) {
        say("iCalUId", uid.into());
    }
    people(object, &mut json);
    json
}

/// Organizer, attendees, and what the meeting's state is.
fn people(object: &Object<'_>, json: &mut Map<String, Value>) {
    let p = &object.properties;
    let state = p.int(prop::STATE).unwrap_or_default();
    // Bits of PidLidAppointmentStateFlags: 1 a meeting, 2 received, 4 cancelled.
    let (meeting, received, cancelled) = (state & 1 != 0, state & 2 != 0, state & 4 != 0);
    let mut say = |name: &str, value: Value| json.insert(name.to_owned(), value);
    say("isCancelled", cancelled.into());
    say("isOrganizer", (!received).into());
    let response = match p.int(prop::RESPONSE) {
        Some(1) => "organizer",
        Some(2) => "tentativelyAccepted",
        Some(3) => "accepted",
        Some(4) => "declined",
        Some(5) => "notResponded",
        _ if meeting && !received => "organizer",
        _ => "none",
    };
    say(
        "responseStatus",
        json!({ "response": response, "time": "0001-01-01T00:00:00Z" }),
    );
    let mut attendees = Vec::new();
    let mut organizer = sender_and_from(p).1;
    for (kind, name) in [(1, "required"), (2, "optional"), (3, "resource")] {
        for (person, properties) in recipients(object, kind) {
            // Of the recipient flags, 2 tells the organizer.
            if properties.int(prop::RECIPIENT_FLAGS).unwrap_or_default() & 2 != 0 {
                organizer = Some(person);
            } else {
                attendees.push(attendee(&person, properties, name));
            }
        }
    }
    if let Some(organizer) = organizer.filter(|_| meeting || !attendees.is_empty()) {
        say("organizer", organizer.to_graph());
    }
    say("attendees", attendees.into());
}

fn attendee(person: &Person, p: &Properties<'_>, kind: &str) -> Value {
    let response = match p.int(prop::RECIPIENT_TRACK_STATUS) {
        Some(1) => "organizer",
        Some(2) => "tentativelyAccepted",
        Some(3) => "accepted",
        Some(4) => "declined",
        Some(5) => "notResponded",
        _ => "none",
    };
    let time = p.time(prop::RECIPIENT_TRACK_TIME).and_then(graph_time);
    let mut attendee = person.to_graph();
    attendee["type"] = kind.into();
    attendee["status"] = json!({
        "response": response,
        "time": time.unwrap_or_else(|| "0001-01-01T00:00:00Z".into()),
    });
    attendee
}

fn show_as(busy: i64) -> &'static str {
    match busy {
        0 => "free",
        1 => "tentative",
        3 => "oof",
        4 => "workingElsewhere",
        _ => "busy",
    }
}

/// A `dateTimeTimeZone`. Of an all-day event Graph tells the day, at midnight, whatever the zone.
fn time_of(utc: i64, all_day: bool, zone: &Option<Zone>) -> Value {
    let shown = if all_day { midnight(utc, zone) } else { utc };
    json!({ "dateTime": graph_local(shown), "timeZone": "UTC" })
}

/// The day (local seconds) that began at `utc` where the appointment was made.
fn midnight(utc: i64, zone: &Option<Zone>) -> i64 {
    let offset = zone.as_ref().and_then(|zone| zone.offset(utc));
    // Rounding makes good for the hour in which clocks are changed, and for an unknown zone.
    (utc + offset.unwrap_or_default() + DAY / 2).div_euclid(DAY) * DAY
}

/// Graph's `iCalUId`: the global object id in hex, or the foreign UID that it wraps.
fn uid(p: &Properties<'_>) -> Option<String> {
    let id = [prop::GLOBAL_OBJECT_ID, prop::CLEAN_GLOBAL_OBJECT_ID]
        .into_iter()
        .find_map(|which: Prop| p.binary(which))?;
    let data = id.get(40..).unwrap_or_default();
    if let Some(foreign) = data.strip_prefix(FOREIGN_UID) {
        let end = foreign
            .iter()
            .position(|b| *b == 0)
            .unwrap_or(foreign.len());
        return Some(String::from_utf8_lossy(&foreign[..end]).into_owned());
    }
    // The instance's date is not part of it.
    let mut id = id.into_owned();
    if let Some(date) = id.get_mut(16..20) {
        date.fill(0);
    }
    Some(id.iter().map(|byte| format!("{byte:02X}")).collect())
}

fn series(
    json: &mut Map<String, Value>,
    object: &Object<'_>,
    recurrence: &Recurrence,
    zone: &Option<Zone>,
) {
    let fixed = fixed_offset(object, recurrence);
    // A zone that nobody knows by its name: the days are right in one that has its offset.
    let name = zone.as_ref().map(|zone| zone.name.as_str());
    let name = name.filter(|name| !name.is_empty());
    let is_known = name.is_some_and(|name| zones::Zone::find(name).is_some());
    let stand_in = fixed.filter(|_| !is_known && json["isAllDay"] != true);
    let stand_in = stand_in.and_then(zone_of);
    json.insert("type".into(), "seriesMaster".into());
    json.insert(
        "recurrence".into(),
        recurrence.to_graph(stand_in.as_deref().or(name)),
    );
    let cancelled = recurrence.cancelled().into_iter().filter_map(graph_day);
    // Graph puts the series' id between; it is not known here, and only the date means anything.
    let cancelled: Vec<Value> = cancelled.map(|day| format!("OID..{day}").into()).collect();
    json.insert("cancelledOccurrences".into(), cancelled.into());
    let fixed = fixed.unwrap_or_default();
    let to_utc = |local: i64| match zone.as_ref().and_then(|zone| zone.offset(local)) {
        Some(offset) => local - offset,
        None => local - fixed,
    };
    let embedded = embedded_exceptions(object);
    // The series is laid under every exception: as long as that stays within bounds with its body and
    // its people, then without, and at last with what is short.
    let whole = json.clone();
    let only = |keep: &dyn Fn(&str, &Value) -> bool| -> Map<String, Value> {
        json.iter()
            .filter(|(name, value)| keep(name, value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let slim = only(&|name, _| !["body", "attendees"].contains(&name));
    let short = only(&|_, value| value.to_string().len() <= MAX_SHORT);
    let fitting = |map: &Map<String, Value>| {
        let size = Value::Object(map.clone()).to_string().len();
        MAX_REPEATED / size.max(1)
    };
    let (whole_ones, slim_ones) = (fitting(&whole), fitting(&slim));
    let exceptions: Vec<Value> = recurrence
        .exceptions
        .iter()
        .enumerate()
        .map(|(n, exception)| {
            let under = match n {
                n if n < whole_ones => &whole,
                n if n < slim_ones => &slim,
                _ => &short,
            };
            let original = to_utc(exception.original);
            let embedded = embedded.get(&original).copied();
            exception_of(under, exception, original, embedded, zone, &to_utc)
        })
        .collect();
    json.insert("exceptionOccurrences".into(), exceptions.into());
}

/// The items that hold what differs in an exception, by the time (Unix seconds) they replace.
fn embedded_exceptions<'o, 'a>(object: &'o Object<'a>) -> HashMap<i64, &'o Object<'a>> {
    object
        .attachments
        .iter()
        .filter(|a| exception_flags(a) & 2 != 0)
        .filter_map(|a| a.embedded.as_deref())
        .filter_map(|item| Some((item.properties.time(prop::EXCEPTION_REPLACE_TIME)?, item)))
        .collect()
}

/// Seconds east of UTC of the first occurrence, for a series that does not tell its zone.
fn fixed_offset(object: &Object<'_>, recurrence: &Recurrence) -> Option<i64> {
    let utc = object.properties.time(prop::START_WHOLE)?;
    let (start, _) = recurrence.times?;
    let offset = (recurrence.start + start - utc).rem_euclid(DAY);
    Some(if offset > 14 * 3600 {
        offset - DAY
    } else {
        offset
    })
}

/// The zone of a fixed offset of whole hours. Its name counts the other way, as POSIX does.
fn zone_of(offset: i64) -> Option<String> {
    let hours = offset / 3600;
    let name = match hours {
        0 => "UTC".to_owned(),
        hours => format!("Etc/GMT{:+}", -hours),
    };
    (offset % 3600 == 0 && zones::Zone::find(&name).is_some()).then_some(name)
}

/// An exception: the series, with what differs laid over it. `original` is when it would have been,
/// Unix seconds.
fn exception_of(
    series: &Map<String, Value>,
    exception: &Exception,
    original: i64,
    embedded: Option<&Object<'_>>,
    zone: &Option<Zone>,
    to_utc: &dyn Fn(i64) -> i64,
) -> Value {
    let mut json = series.clone();
    for name in [
        "recurrence",
        "cancelledOccurrences",
        "exceptionOccurrences",
        "@odata.type",
    ] {
        json.remove(name);
    }
    let all_day = exception.all_day.unwrap_or(json["isAllDay"] == true);
    if let Some(embedded) = embedded {
        // An exception says only what differs.
        let its = own(embedded, zone);
        let p = &embedded.properties;
        let mut lay = |name: &str, told: bool| {
            if told && let Some(value) = its.get(name) {
                json.insert(name.to_owned(), value.clone());
            }
        };
        let bodies = [prop::BODY, prop::HTML, prop::RTF];
        lay(
            "body",
            bodies.into_iter().any(|which| p.get(which).is_some()),
        );
        lay("sensitivity", p.get(prop::SENSITIVITY).is_some());
        lay("categories", p.get(prop::KEYWORDS).is_some());
        lay("attendees", !embedded.recipients.is_empty());
        lay("subject", p.get(prop::SUBJECT).is_some());
        lay("isCancelled", p.get(prop::STATE).is_some());
    }
    let mut say = |name: &str, value: Value| json.insert(name.to_owned(), value);
    say("type", "exception".into());
    say("isAllDay", all_day.into());
    let time = |local: i64| {
        let shown = if all_day { local } else { to_utc(local) };
        json!({ "dateTime": graph_local(shown), "timeZone": "UTC" })
    };
    say("start", time(exception.start));
    say("end", time(exception.end));
    if let Some(original) = graph_time(if all_day {
        exception.original
    } else {
        original
    }) {
        say("originalStart", original.into());
    }
    if let Some(subject) = &exception.subject {
        say("subject", subject.as_str().into());
    }
    if let Some(place) = &exception.location {
        say("location", json!({ "displayName": place }));
        say("locations", json!([{ "displayName": place }]));
    }
    if let Some(minutes) = exception.reminder_minutes {
        say("reminderMinutesBeforeStart", minutes.into());
    }
    if let Some(reminder) = exception.reminder {
        say("isReminderOn", reminder.into());
    }
    if let Some(busy) = exception.busy {
        say("showAs", show_as(i64::from(busy)).into());
    }
    Value::Object(json)
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
