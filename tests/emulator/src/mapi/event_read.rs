//! An event in Graph's form out of an appointment's properties: the reverse of [`super::event`].

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use super::event::{
    EXCEPTION_CLASS, Event, IS_EXCEPTION, IS_ORGANIZER, RESPONSES, SENSITIVITIES, SHOW_AS,
};
use super::names::{self, *};
use super::recurrence_blob::Blob;
use super::{attachment, global_id, restored, seconds, zone};
use crate::fasttransfer::{MessageContent, Properties, Value};
use crate::odata::{Object, field};

/// Reads an appointment; `None` when it does not say when it is.
pub fn read(content: &MessageContent, now: i64) -> Option<Event> {
    let all = &content.props;
    let series_zone = all.get(&names::appointment(0x8260));
    let zone_name = series_zone
        .or(all.get(&names::appointment(0x825E)))
        .and_then(Value::as_binary)
        .and_then(zone::name_of)
        .filter(|n| !n.is_empty())
        .unwrap_or_else(|| "UTC".to_owned());
    let mut event = single(content, &zone_name, now)?;
    let blob = all
        .get(&names::appointment(0x8216))
        .and_then(Value::as_binary)
        .and_then(Blob::read);
    event.props.insert("type".into(), json!("singleInstance"));
    event.props.insert("recurrence".into(), Json::Null);
    let Some(blob) = blob else {
        return Some(event);
    };
    event.props.insert("type".into(), json!("seriesMaster"));
    event
        .props
        .insert("recurrence".into(), blob.recurrence.to_graph(&zone_name));
    let zone = zone::zone(&zone_name);
    for exception in &blob.exceptions {
        let original = utc(&zone, exception.original);
        let attached = content.attachments.iter().find(|a| {
            let at = a.embedded.as_ref().and_then(|e| replaced(&e.props));
            at == Some(original.as_second())
        });
        let mut own = match attached.and_then(|a| a.embedded.as_ref()) {
            Some(embedded) => single(embedded, &zone_name, now)?,
            None => Event {
                props: event.props.clone(),
                ..Event::default()
            },
        };
        let all_day = field(&own.props, "isAllDay").as_bool().unwrap_or(false);
        let (start, end) = (utc(&zone, exception.start), utc(&zone, exception.end));
        for (name, value) in [
            ("start", shown(start, &zone, all_day)),
            ("end", shown(end, &zone, all_day)),
            ("type", json!("exception")),
            ("originalStart", json!(original.to_string())),
            ("recurrence", Json::Null),
        ] {
            own.props.insert(name.into(), value);
        }
        for (name, value) in [
            ("subject", exception.subject.as_ref().map(|s| json!(s))),
            ("location", exception.location.as_ref().map(|l| place(l))),
        ] {
            if let Some(value) = value {
                own.props.insert(name.into(), value);
            }
        }
        event.exceptions.push(own);
    }
    event.cancelled = blob.cancelled;
    Some(event)
}

fn replaced(props: &Properties) -> Option<i64> {
    let at = props.get(&names::appointment(0x8228))?.as_time()?;
    Some(seconds(at))
}

fn utc(zone: &TimeZone, at: jiff::civil::DateTime) -> Timestamp {
    let found = zone.to_ambiguous_timestamp(at).compatible();
    found.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A time as Graph shows it: in UTC, but for days, which are those of the event's own zone.
fn shown(at: Timestamp, zone: &TimeZone, all_day: bool) -> Json {
    let wall = match all_day {
        true => zone.to_datetime(at),
        false => TimeZone::UTC.to_datetime(at),
    };
    json!({"dateTime": wall.strftime("%Y-%m-%dT%H:%M:%S.0000000").to_string(), "timeZone": "UTC"})
}

fn place(name: &str) -> Json {
    json!({"displayName": name, "locationType": "default", "uniqueIdType": "unknown"})
}

/// One event without what makes it a series.
fn single(content: &MessageContent, zone_name: &str, now: i64) -> Option<Event> {
    let all = &content.props;
    let zone = zone::zone(zone_name);
    let int = |lid: u32| all.get(&names::appointment(lid)).and_then(Value::as_int);
    let yes = |name: crate::fasttransfer::Name| all.get(&name).and_then(Value::as_bool);
    let time = |lid: u32| {
        let at = all.get(&names::appointment(lid))?.as_time()?;
        Timestamp::from_second(seconds(at)).ok()
    };
    let (start, end) = (time(0x820D)?, time(0x820E)?);
    let all_day = yes(names::appointment(0x8215)).unwrap_or(false);
    let state = int(0x8217).unwrap_or(0);
    let named = |list: &[&str], at: Option<i32>, or: usize| {
        let at = at.and_then(|n| usize::try_from(n).ok()).unwrap_or(or);
        json!(list.get(at).unwrap_or(&list[or]))
    };
    let parts = restored::parts(content, now);
    let mut props = Object::new();
    for name in ["subject", "importance", "categories", "hasAttachments"] {
        props.insert(name.into(), parts.props[name].clone());
    }
    for (name, tag) in [
        ("createdDateTime", CREATION_TIME),
        ("lastModifiedDateTime", LAST_MODIFICATION_TIME),
    ] {
        let at = all.tag(tag).and_then(Value::as_time);
        let at = at.unwrap_or_else(|| super::filetime(now));
        props.insert(name.into(), json!(super::time_text(at)));
    }
    let kind = if parts.text.html { "html" } else { "text" };
    let location = all
        .get(&names::appointment(0x8208))
        .and_then(Value::as_text)
        .unwrap_or_default();
    let reminder = all.get(&names::common(0x8501)).and_then(Value::as_int);
    let answered = time(0x8220).map_or("0001-01-01T00:00:00Z".to_owned(), |t| t.to_string());
    let organizer = parts.props.get("from").cloned().unwrap_or_default();
    for (name, value) in [
        (
            "body",
            json!({"contentType": kind, "content": parts.text.content}),
        ),
        (
            "sensitivity",
            named(&SENSITIVITIES, all.int(SENSITIVITY), 0),
        ),
        ("showAs", named(&SHOW_AS, int(0x8205), 2)),
        ("isAllDay", json!(all_day)),
        ("start", shown(start, &zone, all_day)),
        ("end", shown(end, &zone, all_day)),
        ("originalStartTimeZone", json!(zone_name)),
        ("originalEndTimeZone", json!(zone_name)),
        ("location", place(location)),
        (
            "isReminderOn",
            json!(yes(names::common(0x8503)).unwrap_or(false)),
        ),
        (
            "reminderMinutesBeforeStart",
            json!(reminder.unwrap_or(15).max(0)),
        ),
        ("isOrganizer", json!(state & 2 == 0)),
        ("isCancelled", json!(state & 4 != 0)),
        (
            "responseStatus",
            json!({"response": named(&RESPONSES, int(0x8218), 0), "time": answered}),
        ),
        (
            "responseRequested",
            json!(all.tag(0x0063).and_then(Value::as_bool).unwrap_or(true)),
        ),
        (
            "allowNewTimeProposals",
            json!(!yes(names::appointment(0x825A)).unwrap_or(false)),
        ),
        ("organizer", organizer),
        ("attendees", json!(attendees(content))),
    ] {
        props.insert(name.into(), value);
    }
    let id = all
        .get(&names::meeting(0x0023))
        .or(all.get(&names::meeting(0x0003)));
    if let Some(id) = id.and_then(Value::as_binary) {
        props.insert("iCalUId".into(), json!(global_id::to_uid(id)));
    }
    let url = crate::fasttransfer::Name::Text(*PUBLIC_STRINGS, "SkypeTeamsMeetingUrl".into());
    if let Some(url) = all.get(&url).and_then(Value::as_text) {
        props.insert("onlineMeeting".into(), json!({"joinUrl": url}));
    }
    let attachments: Vec<_> = content
        .attachments
        .iter()
        .filter(|a| a.props.int(ATTACHMENT_FLAGS).unwrap_or(0) & IS_EXCEPTION == 0)
        .filter(|a| {
            let class = a
                .embedded
                .as_ref()
                .and_then(|e| e.props.text(MESSAGE_CLASS));
            class != Some(EXCEPTION_CLASS)
        })
        .enumerate()
        .map(|(no, a)| attachment::read(a, no as u32, now))
        .collect();
    props.insert("hasAttachments".into(), json!(!attachments.is_empty()));
    Some(Event {
        props,
        attachments,
        ..Event::default()
    })
}

fn attendees(content: &MessageContent) -> Vec<Json> {
    content
        .recipients
        .iter()
        .filter(|r| r.int(RECIPIENT_FLAGS).unwrap_or(0) & IS_ORGANIZER == 0)
        .map(|r| {
            let address = r
                .text(SMTP_ADDRESS)
                .or(r.text(EMAIL_ADDRESS))
                .unwrap_or_default();
            let kind = match r.int(RECIPIENT_TYPE).unwrap_or(1) & 0xF {
                2 => "optional",
                3 => "resource",
                _ => "required",
            };
            let status = r
                .int(RECIPIENT_TRACK_STATUS)
                .and_then(|n| usize::try_from(n).ok());
            let at = r.tag(RECIPIENT_TRACK_TIME).and_then(Value::as_time);
            let at = at.map_or("0001-01-01T00:00:00Z".to_owned(), super::time_text);
            json!({"type": kind, "emailAddress": {"name": r.text(DISPLAY_NAME).unwrap_or(address), "address": address},
                "status": {"response": status.and_then(|n| RESPONSES.get(n)).unwrap_or(&"none"), "time": at}})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::event::write;
    use super::*;
    use crate::mail::content::{Attachment, AttachmentKind};

    fn event(value: Json) -> Event {
        Event {
            props: value.as_object().cloned().unwrap_or_default(),
            ..Event::default()
        }
    }

    fn series() -> Event {
        let person = |n: &str| json!({"name": n, "address": format!("{n}@x.test")});
        let props = json!({"subject": "Stand-up", "importance": "high", "sensitivity": "private", "categories": ["Red"], "showAs": "tentative",
            "isAllDay": false, "isReminderOn": true, "reminderMinutesBeforeStart": 5, "isOrganizer": false, "isCancelled": false,
            "start": {"dateTime": "2026-03-02T08:00:00.0000000", "timeZone": "UTC"}, "end": {"dateTime": "2026-03-02T08:15:00.0000000", "timeZone": "UTC"},
            "originalStartTimeZone": "W. Europe Standard Time", "location": {"displayName": "Room 1"}, "iCalUId": "abc@x.test",
            "body": {"contentType": "html", "content": "<p>x</p>"}, "createdDateTime": "2026-02-20T08:00:00.1234567Z",
            "organizer": {"emailAddress": person("ann")}, "responseStatus": {"response": "accepted", "time": "2026-02-20T09:00:00Z"},
            "attendees": [{"type": "optional", "emailAddress": person("bo"), "status": {"response": "declined", "time": "2026-02-20T09:00:00Z"}}],
            "recurrence": {"pattern": {"type": "weekly", "interval": 1, "month": 0, "dayOfMonth": 0, "daysOfWeek": ["monday"], "firstDayOfWeek": "sunday", "index": "first"},
                "range": {"type": "numbered", "startDate": "2026-03-02", "endDate": "0001-01-01", "recurrenceTimeZone": "W. Europe Standard Time", "numberOfOccurrences": 10}}});
        let mut out = event(props);
        let mut late = event(
            json!({"subject": "Später", "originalStart": "2026-04-06T07:00:00Z", "showAs": "tentative",
            "start": {"dateTime": "2026-04-07T09:00:00.0000000", "timeZone": "UTC"}, "end": {"dateTime": "2026-04-07T10:00:00.0000000", "timeZone": "UTC"},
            "location": {"displayName": "Room 1"}, "body": {"contentType": "text", "content": "late"}}),
        );
        late.attachments.push(Attachment {
            no: 0,
            kind: AttachmentKind::File(bytes::Bytes::from_static(b"hi")),
            name: "n.txt".into(),
            content_type: None,
            is_inline: false,
            content_id: None,
            content_location: None,
            modified: 0,
        });
        out.exceptions.push(late);
        out.cancelled.push(jiff::civil::date(2026, 3, 16));
        out
    }

    #[test]
    fn a_series_comes_back() {
        let given = series();
        let stream = crate::fasttransfer::write::write(&write(&given));
        let content = crate::fasttransfer::read::read(&stream).unwrap();
        let read = read(&content, 0).unwrap();
        for name in [
            "subject",
            "importance",
            "sensitivity",
            "categories",
            "showAs",
            "isAllDay",
            "start",
            "end",
            "iCalUId",
            "body",
            "recurrence",
            "attendees",
            "organizer",
            "isOrganizer",
            "isReminderOn",
            "reminderMinutesBeforeStart",
            "createdDateTime",
            "responseStatus",
        ] {
            assert_eq!(read.props[name], given.props[name], "{name}");
        }
        assert_eq!(read.cancelled, given.cancelled);
        let (own, told) = (&read.exceptions[0], &given.exceptions[0]);
        for name in ["subject", "start", "end", "originalStart", "body"] {
            assert_eq!(own.props[name], told.props[name], "{name}");
        }
        assert_eq!(own.attachments[0].name, "n.txt");
        assert!(read.attachments.is_empty());
        // Summer time began between the series' start and the exception: nine o'clock stays nine.
        let blob = content
            .props
            .get(&names::appointment(0x8216))
            .and_then(Value::as_binary);
        let blob = Blob::read(blob.unwrap()).unwrap();
        assert_eq!(blob.start_offset, 540);
        assert_eq!(
            blob.exceptions[0].original.to_string(),
            "2026-04-06T09:00:00"
        );
    }

    #[test]
    fn a_day_stays_that_day() {
        for zone in ["Pacific Standard Time", "New Zealand Standard Time", "UTC"] {
            let given = event(
                json!({"subject": "x", "isAllDay": true, "originalStartTimeZone": zone,
                "start": {"dateTime": "2026-12-24T00:00:00.0000000", "timeZone": "UTC"}, "end": {"dateTime": "2026-12-25T00:00:00.0000000", "timeZone": "UTC"}}),
            );
            let read = read(&write(&given), 0).unwrap();
            assert_eq!(read.props["start"], given.props["start"], "{zone}");
            assert_eq!(read.props["end"], given.props["end"], "{zone}");
        }
    }
}
