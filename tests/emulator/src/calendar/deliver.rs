//! Meetings between users of the tenant: the copies of attendees follow the organizer's event, and the
//! organizer's event learns what attendees answered.
//!
//! One user's calendars are held at a time: what is passed on is copied first.

use serde_json::{Value, json};

use super::notices::{Kind, Notice};
use super::record::{Organizer, Record};
use super::store::{Book, NOWHERE, Which};
use crate::clock::rfc3339;
use crate::mail::ids::No;
use crate::users::User;
use crate::world::World;

/// What a copy takes over from the organizer's event; the rest is the attendee's own.
const SHARED: &[&str] = &[
    "subject",
    "body",
    "importance",
    "sensitivity",
    "location",
    "locations",
    "attendees",
    "responseRequested",
    "allowNewTimeProposals",
    "hideAttendees",
    "isOnlineMeeting",
    "onlineMeetingProvider",
    "onlineMeeting",
];

/// Brings one notice to those of its recipients who are in the tenant.
pub fn deliver(world: &World, from: &User, notice: &Notice) {
    if notice.kind == Kind::Forward {
        return;
    }
    let Some(book) = world.calendars.get(&from.id) else {
        return;
    };
    let record = book.lock().record(notice.which.no).into_owned();
    for address in &notice.to {
        let target = world.user(address).filter(|u| u.id != from.id);
        let Some(book) = target.and_then(|u| world.calendars.get(&u.id)) else {
            continue;
        };
        let mut book = book.lock();
        if notice.kind == Kind::Response {
            answer(world, &mut book, from, notice, &record);
        } else {
            follow(world, &mut book, from, notice, &record);
        }
    }
}

/// The event of the same meeting, the user's own or a copy.
fn same(book: &Book, record: &Record, own: bool) -> Option<No> {
    let here = |no: &No| book.item(*no).calendar != NOWHERE && book.uid(*no) == record.uid;
    let mut found = (0..book.items.len() as No).filter(here);
    found.find(|no| book.record(*no).organizer.is_none() == own)
}

fn follow(world: &World, book: &mut Book, from: &User, notice: &Notice, record: &Record) {
    let now = world.clock.now();
    match (same(book, record, false), notice.kind, notice.which.day) {
        (Some(no), Kind::Cancellation, None) => book.change(no, |copy| {
            copy.props.insert("isCancelled".into(), json!(true));
            copy.props.insert("subject".into(), json!(notice.subject));
            copy.props.insert("showAs".into(), json!("free"));
            copy.modified = now;
        }),
        (Some(no), ..) => book.change(no, |copy| {
            for name in SHARED {
                copy.props.insert(
                    (*name).into(),
                    record.props.get(*name).cloned().unwrap_or_default(),
                );
            }
            copy.span = record.span.clone();
            copy.recurrence = record.recurrence.clone();
            copy.cancelled.extend(&record.cancelled);
            copy.dropped.extend(&record.dropped);
            copy.exceptions = copied(record).exceptions;
            copy.attachments = record.attachments.clone();
            copy.modified = now;
        }),
        (None, Kind::Request, None) => {
            let mut copy = copied(record);
            copy.organizer = Some(Organizer {
                name: from.display_name.clone(),
                address: from.upn.clone(),
            });
            copy.created = now;
            copy.modified = now;
            let calendar = book.default_calendar();
            book.add(calendar, copy);
        }
        // Who does not have the meeting has nothing that could change.
        (None, ..) => {}
    }
}

/// A meeting as an attendee gets it: nothing in it is the organizer's own.
fn copied(record: &Record) -> Record {
    let mut copy = record.clone();
    copy.extended.clear();
    for (name, value) in [
        ("categories", json!([])),
        ("transactionId", Value::Null),
        ("showAs", json!("tentative")),
        ("isReminderOn", json!(true)),
        (
            "responseStatus",
            json!({"response": "notResponded", "time": "0001-01-01T00:00:00Z"}),
        ),
    ] {
        copy.props.insert(name.into(), value);
    }
    for exception in copy.exceptions.values_mut() {
        exception.extended.clear();
        exception
            .props
            .retain(|name, _| SHARED.contains(&name.as_str()));
    }
    copy
}

/// What an attendee answered, in the organizer's list of attendees.
fn answer(world: &World, book: &mut Book, from: &User, notice: &Notice, record: &Record) {
    let Some(no) = same(book, record, true) else {
        return;
    };
    let now = world.clock.now();
    let status = json!({"response": notice.response, "time": rfc3339(now)});
    let Which { day, .. } = notice.which;
    book.change(no, |event| {
        let mut list = event.prop(day, "attendees").cloned().unwrap_or_default();
        for attendee in list.as_array_mut().into_iter().flatten() {
            let address = attendee["emailAddress"]["address"]
                .as_str()
                .unwrap_or_default();
            if address.eq_ignore_ascii_case(&from.upn) {
                attendee["status"] = status.clone();
            }
        }
        let props = match day {
            None => &mut event.props,
            Some(day) => &mut event.exceptions.entry(day).or_default().props,
        };
        props.insert("attendees".into(), list);
        event.modified = now;
    });
}
