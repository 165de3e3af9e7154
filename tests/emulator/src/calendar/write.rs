//! Events: creating, changing, deleting; what each of it would send to people is collected.
//!
//! A change of one day of a series makes an exception, deleting a day a cancelled one; both are changes
//! of the series. When a series gets another rhythm or other times, its exceptions are gone.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::events::one;
use super::notices::{Kind, Notice};
use super::record::{Record, Span, Uid, addresses};
use super::recurrence::Recurrence;
use super::store::{Book, Which};
use super::validate::{self, SIGNIFICANT};
use crate::api::{ApiRequest, ApiResponse};
use crate::mail::ids::No;
use crate::mail::properties::{self, Extended};
use crate::mail::validate::object_of;
use crate::odata::Object;
use crate::world::World;

/// Days of a series that are remembered when it gets another rhythm.
const REMEMBERED: usize = 1_000;

/// `POST .../events`.
pub fn create(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    calendar: No,
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    let body = object_of(request)?;
    validate::names(&body, true)?;
    let kept = validate::kept(&body)?;
    // A create that is repeated is answered as it was the first time.
    let transaction = kept.get("transactionId").and_then(Value::as_str);
    let transaction = transaction.map(str::to_owned);
    if let Some(no) = transaction.as_ref().and_then(|t| book.transactions.get(t)) {
        return one(book, request, Which { no: *no, day: None }, 201);
    }
    let record = from_json(world, book, &body, kept)?;
    let attendees = record.attendees(None);
    let no = book.add(calendar, record);
    if let Some(transaction) = transaction {
        book.transactions.insert(transaction, no);
    }
    let which = Which { no, day: None };
    if !attendees.is_empty() {
        notices.push(notice(book, which, Kind::Request, attendees));
    }
    one(book, request, which, 201)
}

/// The event that `body` describes; `kept` are its checked properties.
fn from_json(
    world: &World,
    book: &Book,
    body: &Object,
    kept: Object,
) -> Result<Record, ApiResponse> {
    let mut span = validate::span(body, None)?;
    let recurrence = match body.get("recurrence") {
        None | Some(Value::Null) => None,
        Some(value) => Some(recurrence(value, &mut span)?),
    };
    let mut extended = Extended::default();
    properties::read(body, &mut extended)?;
    let mut props = validate::defaults(span.all_day);
    props.extend(kept);
    let now = world.clock.now();
    let mut rng = world.rng(&format!(
        "event {} {} {}",
        book.user.id,
        book.items.len(),
        world.clock.now_ms()
    ));
    if props["isOnlineMeeting"] == json!(true) {
        meet_online(&mut props, &rng.guid());
    }
    Ok(Record {
        props,
        span,
        recurrence,
        exceptions: Default::default(),
        cancelled: Default::default(),
        dropped: Default::default(),
        uid: Uid::Own(rng.bytes16(), now),
        created: now,
        modified: now,
        organizer: None,
        extended,
        attachments: Vec::new(),
        next_attachment: 0,
    })
}

/// Reads the recurrence of an event and puts the event on its first day.
pub fn recurrence(value: &Value, span: &mut Span) -> Result<Recurrence, ApiResponse> {
    let read = Recurrence::read(value, span)?;
    if span.all_day {
        // Days are days wherever they are; the series' zone says whose.
        *span = span.seen_in(&read.zone);
    }
    move_to(span, &read, read.start);
    Ok(read)
}

/// Moves a span to another day of its series, at the same local times.
fn move_to(span: &mut Span, recurrence: &Recurrence, day: Date) {
    let seen = span.seen_in(&recurrence.zone);
    if seen.start.date() == day {
        return;
    }
    let length = seen.start.until(seen.end).unwrap_or_default();
    let start = day.to_datetime(seen.start.time());
    let moved = Span {
        start,
        end: start.checked_add(length).unwrap_or(start),
        ..seen
    };
    let zones = (span.start_zone.clone(), span.end_zone.clone());
    *span = moved;
    if !span.all_day && zones.0 == zones.1 {
        *span = span.seen_in(&zones.0);
    }
}

/// A meeting that takes place online gets a link of its own, in the text too.
pub fn meet_online(props: &mut Object, key: &str) {
    let url = format!("https://teams.microsoft.com/l/meetup-join/19%3ameeting_{key}%40thread.v2/0");
    props.insert("isOnlineMeeting".into(), json!(true));
    props.insert("onlineMeetingProvider".into(), json!("teamsForBusiness"));
    let number: String = key.chars().filter(char::is_ascii_digit).take(9).collect();
    props.insert(
        "onlineMeeting".into(),
        json!({"joinUrl": url, "conferenceId": number, "tollNumber": null}),
    );
    let text = super::json::text(props.get("body"));
    let block = if text.html {
        format!(
            "{}<div>________________<br><a href=\"{url}\">Join the meeting now</a></div>",
            text.content
        )
    } else {
        format!(
            "{}\r\n________________\r\nJoin the meeting now: {url}\r\n",
            text.content
        )
    };
    let kind = if text.html { "html" } else { "text" };
    props.insert(
        "body".into(),
        json!({"contentType": kind, "content": block}),
    );
}

pub fn notice(book: &Book, which: Which, kind: Kind, to: Vec<String>) -> Notice {
    let record = book.record(which.no);
    let subject = record
        .prop(which.day, "subject")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let subject = match kind {
        Kind::Cancellation => format!("Canceled: {subject}"),
        _ => subject.to_owned(),
    };
    Notice {
        kind,
        to,
        subject,
        which,
        uid: record.uid.show(which.day),
        comment: String::new(),
        response: "",
    }
}

pub fn conflict(book: &Book, request: &ApiRequest, which: Which) -> Result<(), ApiResponse> {
    let Some(wanted) = request.header("if-match").filter(|v| *v != "*") else {
        return Ok(());
    };
    if wanted == format!("W/\"{}\"", book.ids.change_key(book.item(which.no).seq)) {
        return Ok(());
    }
    Err(ApiResponse::error(
        412,
        "ErrorIrresolvableConflict",
        "The send or update operation could not be performed because the change key passed in the request does not match the current change key for the item.",
    ))
}

/// `PATCH .../events/{id}`.
pub fn patch(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    which: Which,
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    conflict(book, request, which)?;
    let body = object_of(request)?;
    validate::names(&body, false)?;
    let mut kept = validate::kept(&body)?;
    let mut extended = Extended::default();
    properties::read(&body, &mut extended)?;
    let record = book.record(which.no);
    let before = record.attendees(which.day);
    let timed = ["start", "end", "isAllDay"]
        .iter()
        .any(|n| body.contains_key(*n));
    let span = match timed {
        true => Some(validate::span(&body, Some(&record.span_on(which.day)))?),
        false => None,
    };
    if kept.get("isOnlineMeeting") == Some(&json!(true))
        && record.prop(which.day, "isOnlineMeeting") != Some(&json!(true))
    {
        let mut all = record.props.clone();
        all.extend(kept.clone());
        meet_online(
            &mut all,
            &world
                .rng(&format!("meeting {} {}", book.user.id, book.seq()))
                .guid(),
        );
        for name in [
            "isOnlineMeeting",
            "onlineMeetingProvider",
            "onlineMeeting",
            "body",
        ] {
            kept.insert(name.into(), all[name].clone());
        }
    }
    let called = record.organizer.is_none();
    drop(record);
    let now = world.clock.now();
    let after = kept.get("attendees").map(|list| addresses(Some(list)));
    match which.day {
        None => patch_event(book, which.no, &body, kept, extended, span, now)?,
        Some(day) => patch_day(book, which.no, day, &body, (kept, extended, span), now)?,
    }
    if called {
        announce(book, which, &body, before, after, notices);
    }
    one(book, request, which, 200)
}

/// Who hears of a change: who is new gets an invitation, who is left out a cancellation, all others an
/// update when something changed that they see.
fn announce(
    book: &Book,
    which: Which,
    body: &Object,
    before: Vec<String>,
    after: Option<Vec<String>>,
    notices: &mut Vec<Notice>,
) {
    let significant = SIGNIFICANT.iter().any(|n| body.contains_key(*n));
    let after = after.unwrap_or_else(|| before.clone());
    let has = |list: &[String], who: &String| list.iter().any(|a| a.eq_ignore_ascii_case(who));
    let (stay, new): (Vec<String>, Vec<String>) =
        after.iter().cloned().partition(|a| has(&before, a));
    let left: Vec<String> = before.iter().filter(|a| !has(&after, a)).cloned().collect();
    for (kind, to) in [
        (Kind::Request, new),
        (Kind::Cancellation, left),
        (Kind::Update, if significant { stay } else { Vec::new() }),
    ] {
        if !to.is_empty() {
            notices.push(notice(book, which, kind, to));
        }
    }
}

fn patch_event(
    book: &mut Book,
    no: No,
    body: &Object,
    kept: Object,
    extended: Extended,
    span: Option<Span>,
    now: i64,
) -> Result<(), ApiResponse> {
    let record = book.record(no);
    let mut new = span.clone().unwrap_or_else(|| record.span.clone());
    let changed = match body.get("recurrence") {
        Some(Value::Null) => Some(None),
        Some(value) => Some(Some(recurrence(value, &mut new)?)),
        // Other times: the same rhythm, from the new day on.
        None => match (&record.recurrence, &span) {
            (Some(old), Some(_)) => Some(Some(recurrence(&shifted(old, &new), &mut new)?)),
            _ => None,
        },
    };
    drop(record);
    book.change(no, |record| {
        if let Some(recurrence) = changed {
            let same = recurrence == record.recurrence && new == record.span;
            if !same {
                record.exceptions.clear();
                record.cancelled.clear();
                let before = record
                    .recurrence
                    .iter()
                    .flat_map(|r| r.days(None).take(REMEMBERED));
                let before: Vec<Date> = before.collect();
                record.dropped.extend(before);
            }
            record.recurrence = recurrence;
        }
        record.span = new;
        record.props.extend(kept);
        record.extended.extend(extended);
        record.modified = now;
    });
    Ok(())
}

/// A recurrence as it is written when its event begins at another time.
fn shifted(old: &Recurrence, span: &Span) -> Value {
    let mut value = old.show();
    let seen = span.seen_in(&old.zone);
    value["range"]["startDate"] = json!(seen.start.date().to_string());
    value
}

fn patch_day(
    book: &mut Book,
    no: No,
    day: Date,
    body: &Object,
    (kept, extended, span): (Object, Extended, Option<Span>),
    now: i64,
) -> Result<(), ApiResponse> {
    if body.get("recurrence").is_some_and(|r| !r.is_null()) {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidPropertySet",
            "Set action is invalid for property 'recurrence'.",
        ));
    }
    if let Some(span) = &span {
        stays_between(&book.record(no), day, span)?;
    }
    book.change(no, |record| {
        let exception = record.exceptions.entry(day).or_default();
        exception.props.extend(kept);
        exception.extended.extend(extended);
        if span.is_some() {
            exception.span = span;
        }
        exception.modified = now;
        record.modified = now;
    });
    Ok(())
}

/// An occurrence can be moved, but neither to the day of one of its neighbours nor past it.
fn stays_between(record: &Record, day: Date, span: &Span) -> Result<(), ApiResponse> {
    let Some(recurrence) = &record.recurrence else {
        return Ok(());
    };
    let living = |d: &Date| !record.cancelled.contains(d);
    let seen = span.seen_in(&recurrence.zone);
    let on = |d: Date| record.span_on(Some(d)).seen_in(&recurrence.zone);
    let before = recurrence
        .days(None)
        .take_while(|d| *d < day)
        .filter(living)
        .last();
    let after = recurrence.days(Some(day)).filter(|d| *d > day).find(living);
    let crosses = before
        .map(on)
        .is_some_and(|b| b.start.date() >= seen.start.date() || b.end > seen.start)
        || after
            .map(on)
            .is_some_and(|a| a.start.date() <= seen.start.date() || a.start < seen.end);
    if crosses {
        return Err(ApiResponse::error(
            400,
            "ErrorOccurrenceCrossingBoundary",
            "Modified occurrence is crossing or overlapping adjacent occurrence.",
        ));
    }
    Ok(())
}

/// `DELETE .../events/{id}`.
pub fn delete(
    world: &World,
    book: &mut Book,
    which: Which,
    comment: &str,
    notices: &mut Vec<Notice>,
) {
    let record = book.record(which.no);
    if record.notifies(which.day) {
        let to = record.attendees(which.day);
        drop(record);
        notices.push(Notice {
            comment: comment.to_owned(),
            ..notice(book, which, Kind::Cancellation, to)
        });
    }
    match which.day {
        None => book.remove(which.no),
        Some(day) => {
            let now = world.clock.now();
            book.change(which.no, |record| {
                record.exceptions.remove(&day);
                record.cancelled.insert(day);
                record.modified = now;
            });
        }
    }
}
