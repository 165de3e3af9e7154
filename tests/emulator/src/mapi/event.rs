//! Appointments and meetings, series with their exceptions and cancelled days (MS-OXOCAL).
//!
//! Works on events in Graph's form; [`super::event_read`] is the reverse.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::message::{address_type, body, person, recipient, subject};
use super::names::{self, *};
use super::recurrence::{Frequency, Recurrence};
use super::recurrence_blob::{Blob, Exception};
use super::zone::{self, definition, structure};
use super::{Builder, attachment, global_id};
use crate::clock::parse_rfc3339;
use crate::fasttransfer::{Attached, MessageContent, Properties, Value, kind};
use crate::mail::content::{Attachment, Text};
use crate::odata::{Object, field};

/// An event with all that belongs to it.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// A single event or the master of a series, in Graph's form.
    pub props: Object,
    /// Occurrences that differ, with `originalStart`.
    pub exceptions: Vec<Event>,
    /// Days, in the series' zone, of occurrences that do not take place.
    pub cancelled: Vec<Date>,
    pub attachments: Vec<Attachment>,
}

pub const CLASS: &str = "IPM.Appointment";
/// The class of an exception that is attached to its series.
pub const EXCEPTION_CLASS: &str = "IPM.OLE.CLASS.{00061055-0000-0000-C000-000000000046}";
/// In [`ATTACHMENT_FLAGS`]: an exception.
pub const IS_EXCEPTION: i32 = 2;
pub const SHOW_AS: [&str; 5] = ["free", "tentative", "busy", "oof", "workingElsewhere"];
pub const RESPONSES: [&str; 6] = [
    "none",
    "organizer",
    "tentativelyAccepted",
    "accepted",
    "declined",
    "notResponded",
];
pub const SENSITIVITIES: [&str; 4] = ["normal", "personal", "private", "confidential"];
/// In [`RECIPIENT_FLAGS`]: who invites.
pub const IS_ORGANIZER: i32 = 2;

pub fn index_of(names: &[&str], value: &Json) -> Option<i32> {
    let name = value.as_str()?;
    let at = names.iter().position(|n| n.eq_ignore_ascii_case(name))?;
    i32::try_from(at).ok()
}

/// An event as MAPI has it.
pub fn write(event: &Event) -> MessageContent {
    let times = Times::of(&event.props);
    let mut b = Builder::new();
    properties(&mut b, &event.props, CLASS, &times);
    let recurrence = Recurrence::from_graph(field(&event.props, "recurrence"));
    let year = times.start_local().year();
    b.bool(names::appointment(0x8223), recurrence.is_some())
        .binary(
            names::appointment(0x825E),
            definition(&times.zone_name, year, false),
        )
        .binary(
            names::appointment(0x825F),
            definition(&times.zone_name, year, false),
        );
    if let Some(recurrence) = recurrence {
        series(&mut b, event, recurrence, &times);
    }
    body(&mut b, &text(&event.props));
    let mut attachments: Vec<Attached> = event
        .attachments
        .iter()
        .enumerate()
        .map(|(no, a)| attachment::write(a, no as i32))
        .collect();
    for exception in &event.exceptions {
        let number = attachments.len() as i32;
        attachments.push(exception_attachment(exception, event, &times, number));
    }
    MessageContent {
        props: b.0,
        recipients: attendees(&event.props),
        attachments,
    }
}

/// When an event is, and in which zone that was said.
struct Times {
    start: Timestamp,
    end: Timestamp,
    zone: TimeZone,
    zone_name: String,
}

impl Times {
    fn of(props: &Object) -> Times {
        let named = [
            &field(props, "recurrence")["range"]["recurrenceTimeZone"],
            field(props, "originalStartTimeZone"),
            &field(props, "start")["timeZone"],
        ];
        let zone_name = named
            .into_iter()
            .filter_map(Json::as_str)
            .find(|n| !n.is_empty() && !n.starts_with("tzone:"))
            .unwrap_or("UTC")
            .to_owned();
        Times::in_zone(props, zone_name)
    }

    fn in_zone(props: &Object, zone_name: String) -> Times {
        let zone = zone::zone(&zone_name);
        let all_day = field(props, "isAllDay").as_bool().unwrap_or(false);
        let at = |value: &Json| {
            let text = value["dateTime"].as_str()?;
            let local: DateTime = text.parse().ok()?;
            // A day is a day wherever it is: its midnight is that of the event's own zone.
            let told = match all_day {
                true => zone.clone(),
                false => zone::zone(value["timeZone"].as_str().unwrap_or("UTC")),
            };
            told.to_ambiguous_timestamp(local).compatible().ok()
        };
        let start = at(field(props, "start")).unwrap_or(Timestamp::UNIX_EPOCH);
        Times {
            end: at(field(props, "end")).unwrap_or(start),
            start,
            zone,
            zone_name,
        }
    }

    fn start_local(&self) -> DateTime {
        self.zone.to_datetime(self.start)
    }

    fn end_local(&self) -> DateTime {
        self.zone.to_datetime(self.end)
    }

    fn minutes(&self) -> i64 {
        (self.end.as_second() - self.start.as_second()) / 60
    }
}

pub fn text(props: &Object) -> Text {
    let body = field(props, "body");
    Text {
        html: body["contentType"]
            .as_str()
            .is_some_and(|t| t.eq_ignore_ascii_case("html")),
        content: body["content"].as_str().unwrap_or_default().to_owned(),
    }
}

/// What an event and an exception both have.
fn properties(b: &mut Builder, props: &Object, class: &str, times: &Times) {
    let yes = |name: &str| props.get(name).and_then(Json::as_bool);
    let string = |name: &str| props.get(name).and_then(Json::as_str);
    b.text(MESSAGE_CLASS, class);
    subject(b, string("subject").unwrap_or_default());
    let importance = index_of(&["low", "normal", "high"], field(props, "importance")).unwrap_or(1);
    b.int(IMPORTANCE, importance).int(
        SENSITIVITY,
        index_of(&SENSITIVITIES, field(props, "sensitivity")).unwrap_or(0),
    );
    for (tag, name) in [
        (CREATION_TIME, "createdDateTime"),
        (LAST_MODIFICATION_TIME, "lastModifiedDateTime"),
    ] {
        if let Some(time) = string(name).and_then(super::filetime_of) {
            b.add(tag, Value::Time(time));
        }
    }
    let categories: Vec<Value> = field(props, "categories")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| Some(Value::Text(c.as_str()?.to_owned())))
        .collect();
    if !categories.is_empty() {
        b.add(names::keywords(), Value::Many(kind::UNICODE, categories));
    }
    when(b, props, times);
    who(b, props);
    let reminder = field(props, "reminderMinutesBeforeStart")
        .as_i64()
        .unwrap_or(15)
        .clamp(0, 1 << 30);
    b.int(names::common(0x8501), reminder as i32)
        .bool(names::common(0x8503), yes("isReminderOn").unwrap_or(false))
        .time(names::common(0x8502), times.start.as_second())
        .time(
            names::common(0x8560),
            times.start.as_second() - reminder * 60,
        )
        .int(MESSAGE_FLAGS, 1);
    if let Some(url) = field(props, "onlineMeeting")["joinUrl"].as_str() {
        let name = crate::fasttransfer::Name::Text(*PUBLIC_STRINGS, "SkypeTeamsMeetingUrl".into());
        b.text(name, url);
    }
}

fn when(b: &mut Builder, props: &Object, times: &Times) {
    let (start, end) = (times.start.as_second(), times.end.as_second());
    let place = field(props, "location")["displayName"]
        .as_str()
        .unwrap_or_default();
    b.time(names::appointment(0x820D), start)
        .time(names::appointment(0x820E), end)
        .time(names::common(0x8516), start)
        .time(names::common(0x8517), end)
        .int(names::appointment(0x8213), times.minutes() as i32)
        .bool(
            names::appointment(0x8215),
            field(props, "isAllDay").as_bool().unwrap_or(false),
        )
        .int(
            names::appointment(0x8205),
            index_of(&SHOW_AS, field(props, "showAs")).unwrap_or(2),
        )
        .text(names::appointment(0x8208), place);
}

fn who(b: &mut Builder, props: &Object) {
    let yes = |name: &str| props.get(name).and_then(Json::as_bool);
    let meeting = field(props, "attendees")
        .as_array()
        .is_some_and(|a| !a.is_empty());
    let own = yes("isOrganizer").unwrap_or(true);
    let state = i32::from(meeting || !own)
        | i32::from(!own) << 1
        | i32::from(yes("isCancelled").unwrap_or(false)) << 2;
    let response = index_of(&RESPONSES, &field(props, "responseStatus")["response"]).unwrap_or(0);
    b.int(names::appointment(0x8217), state)
        .int(names::appointment(0x8218), response)
        .bool(0x0063, yes("responseRequested").unwrap_or(true))
        .bool(0x0C17, yes("responseRequested").unwrap_or(true))
        .bool(
            names::appointment(0x825A),
            !yes("allowNewTimeProposals").unwrap_or(true),
        );
    let answered = field(props, "responseStatus")["time"]
        .as_str()
        .and_then(parse_rfc3339)
        .filter(|t| *t > 0);
    b.some_time(names::appointment(0x8220), answered);
    if let Some(organizer) = props.get("organizer").filter(|o| o.is_object()) {
        let (name, address) = person(organizer);
        for [name_tag, kind, address_tag, smtp] in [
            [
                SENDER_NAME,
                SENDER_ADDRESS_TYPE,
                SENDER_ADDRESS,
                SENDER_SMTP,
            ],
            [
                SENT_REPRESENTING_NAME,
                SENT_REPRESENTING_ADDRESS_TYPE,
                SENT_REPRESENTING_ADDRESS,
                SENT_REPRESENTING_SMTP,
            ],
        ] {
            b.text(name_tag, name)
                .text(kind, address_type(address))
                .text(address_tag, address)
                .text(smtp, address);
        }
    }
    if let Some(uid) = props.get("iCalUId").and_then(Json::as_str) {
        let id = global_id::from_uid(uid);
        b.binary(names::meeting(0x0003), id.clone())
            .binary(names::meeting(0x0023), id);
    }
}

fn attendees(props: &Object) -> Vec<Properties> {
    let mut out = Vec::new();
    let list = field(props, "attendees").as_array();
    if let (Some(organizer), true) = (
        props.get("organizer").filter(|o| o.is_object()),
        list.is_some_and(|l| !l.is_empty()),
    ) {
        let (name, address) = person(organizer);
        let mut b = recipient(0, 1, name, address);
        b.int(RECIPIENT_FLAGS, IS_ORGANIZER | 1)
            .int(RECIPIENT_TRACK_STATUS, 1);
        out.push(b.0);
    }
    for attendee in list.into_iter().flatten() {
        let (name, address) = person(attendee);
        let kind = index_of(&["required", "optional", "resource"], &attendee["type"]);
        let mut b = recipient(out.len(), kind.unwrap_or(0) + 1, name, address);
        let status = &attendee["status"];
        b.int(
            RECIPIENT_TRACK_STATUS,
            index_of(&RESPONSES, &status["response"]).unwrap_or(0),
        );
        let answered = status["time"].as_str().and_then(parse_rfc3339);
        b.some_time(RECIPIENT_TRACK_TIME, answered.filter(|t| *t > 0));
        out.push(b.0);
    }
    out
}

/// What a series has besides.
fn series(b: &mut Builder, event: &Event, recurrence: Recurrence, times: &Times) {
    let local = times.start_local();
    let start_offset = local.hour() as u32 * 60 + local.minute() as u32;
    let kind = match recurrence.frequency {
        Frequency::Daily => 1,
        Frequency::Weekly(_) => 2,
        Frequency::Monthly(_) | Frequency::RelativeMonthly(..) => 3,
        Frequency::Yearly { .. } | Frequency::RelativeYearly { .. } => 4,
    };
    let year = local.year();
    let blob = Blob {
        start_offset,
        end_offset: start_offset.saturating_add(times.minutes().clamp(0, 1 << 30) as u32),
        cancelled: event.cancelled.clone(),
        exceptions: event
            .exceptions
            .iter()
            .map(|e| difference(e, event, times))
            .collect(),
        recurrence,
    };
    b.binary(names::appointment(0x8216), blob.write())
        .int(names::appointment(0x8231), kind)
        .binary(
            names::appointment(0x8233),
            structure(&times.zone_name, year),
        )
        .text(names::appointment(0x8234), &times.zone_name)
        .binary(
            names::appointment(0x8260),
            definition(&times.zone_name, year, true),
        );
}

/// The original start of an exception, in its series' zone.
fn original(exception: &Event, times: &Times) -> Timestamp {
    let told = field(&exception.props, "originalStart").as_str();
    told.and_then(|t| t.parse().ok())
        .unwrap_or_else(|| Times::in_zone(&exception.props, times.zone_name.clone()).start)
}

/// In what an exception differs.
fn difference(exception: &Event, master: &Event, times: &Times) -> Exception {
    let own = Times::in_zone(&exception.props, times.zone_name.clone());
    let differs = |name: &str| {
        let (own, theirs) = (exception.props.get(name), master.props.get(name));
        own.filter(|v| Some(*v) != theirs)
    };
    let place = |props: &Object| {
        let name = field(props, "location")["displayName"].as_str();
        name.unwrap_or_default().to_owned()
    };
    Exception {
        start: own.start_local(),
        end: own.end_local(),
        original: times.zone.to_datetime(original(exception, times)),
        subject: differs("subject").and_then(|s| Some(s.as_str()?.to_owned())),
        location: Some(place(&exception.props)).filter(|p| *p != place(&master.props)),
        reminder_minutes: differs("reminderMinutesBeforeStart")
            .and_then(|n| u32::try_from(n.as_i64()?).ok()),
        reminder_set: differs("isReminderOn").and_then(Json::as_bool),
        busy: differs("showAs")
            .and_then(|s| index_of(&SHOW_AS, s))
            .map(|n| n as u32),
        all_day: differs("isAllDay").and_then(Json::as_bool),
        attachments: !exception.attachments.is_empty(),
        body: differs("body").is_some(),
    }
}

/// An exception as it is attached to its series.
fn exception_attachment(exception: &Event, master: &Event, times: &Times, number: i32) -> Attached {
    let own = Times::in_zone(&exception.props, times.zone_name.clone());
    let replaced = original(exception, times);
    let mut inner = Builder::new();
    properties(&mut inner, &exception.props, EXCEPTION_CLASS, &own);
    inner.time(names::appointment(0x8228), replaced.as_second());
    if let Some(uid) = field(&master.props, "iCalUId").as_str() {
        let clean = global_id::from_uid(uid);
        let day = times.zone.to_datetime(replaced).date();
        inner
            .binary(names::meeting(0x0003), global_id::of_day(&clean, day))
            .binary(names::meeting(0x0023), clean);
    }
    body(&mut inner, &text(&exception.props));
    let local = |at: Timestamp| {
        let wall = times.zone.to_datetime(at);
        TimeZone::UTC
            .to_timestamp(wall)
            .map_or(0, |t| t.as_second())
    };
    let mut b = Builder::new();
    b.int(ATTACH_NUMBER, number)
        .int(ATTACH_METHOD, 5)
        .int(RENDERING_POSITION, -1)
        .text(DISPLAY_NAME, "Untitled")
        .int(ATTACHMENT_FLAGS, IS_EXCEPTION)
        .bool(ATTACHMENT_HIDDEN, true)
        .time(EXCEPTION_START, local(own.start))
        .time(EXCEPTION_END, local(own.end));
    Attached {
        props: b.0,
        embedded: Some(Box::new(MessageContent {
            props: inner.0,
            recipients: attendees(&exception.props),
            attachments: exception
                .attachments
                .iter()
                .enumerate()
                .map(|(no, a)| attachment::write(a, no as i32))
                .collect(),
        })),
    }
}
