//! Actions on events: calling a meeting off, answering an invitation, reminders, forwarding.

use serde_json::{Value, json};

use super::notices::{Kind, Notice};
use super::store::{Book, Which};
use super::write;
use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::odata::Object;
use crate::world::World;

fn refuse(message: &str) -> ApiResponse {
    ApiResponse::error(
        400,
        "ErrorInvalidRequest",
        &format!("Your request can't be completed. {message}"),
    )
}

/// `POST .../events/{id}/{action}`; `action` in lower case.
pub fn route(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    which: Which,
    action: &str,
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    let body = match request.json()? {
        Value::Object(body) => body,
        _ => Object::new(),
    };
    match action {
        "cancel" => cancel(world, book, which, &body, notices)?,
        "accept" => answer(world, book, which, ("accepted", "busy"), &body, notices)?,
        "tentativelyaccept" => answer(
            world,
            book,
            which,
            ("tentativelyAccepted", "tentative"),
            &body,
            notices,
        )?,
        "decline" => answer(world, book, which, ("declined", "free"), &body, notices)?,
        "forward" => forward(book, which, &body, notices)?,
        "dismissreminder" => {
            let now = world.clock.now();
            set(book, which, "isReminderOn", json!(false), now);
            return Ok(ApiResponse::empty(200));
        }
        "snoozereminder" => {
            let time = field(&body, "newReminderTime")
                .ok_or_else(|| refuse("newReminderTime is missing."))?;
            super::record::read_time(&time, "newReminderTime")?;
            return Ok(ApiResponse::empty(200));
        }
        _ => return Err(ApiResponse::no_such_segment(action)),
    }
    Ok(ApiResponse::empty(202))
}

/// Names of action parameters are read in any letter case.
fn field(body: &Object, name: &str) -> Option<Value> {
    let mut found = body.iter().filter(|(k, _)| k.eq_ignore_ascii_case(name));
    found
        .next()
        .map(|(_, v)| v.clone())
        .filter(|v| !v.is_null())
}

fn comment(body: &Object) -> String {
    let text = field(body, "comment");
    text.as_ref()
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn set(book: &mut Book, which: Which, name: &str, value: Value, now: i64) {
    book.change(which.no, |record| {
        let props = match which.day {
            None => &mut record.props,
            Some(day) => {
                let exception = record.exceptions.entry(day).or_default();
                exception.modified = now;
                &mut exception.props
            }
        };
        props.insert(name.to_owned(), value);
        record.modified = now;
    });
}

/// The organizer calls a meeting off: everybody hears of it, and it is gone.
fn cancel(
    world: &World,
    book: &mut Book,
    which: Which,
    body: &Object,
    notices: &mut Vec<Notice>,
) -> Result<(), ApiResponse> {
    if !book.record(which.no).notifies(which.day) {
        return Err(refuse("You need to be an organizer to cancel a meeting."));
    }
    write::delete(world, book, which, &comment(body), notices);
    Ok(())
}

/// An attendee answers. What was declined is taken out of the calendar.
fn answer(
    world: &World,
    book: &mut Book,
    which: Which,
    (response, show_as): (&'static str, &str),
    body: &Object,
    notices: &mut Vec<Notice>,
) -> Result<(), ApiResponse> {
    let record = book.record(which.no);
    let Some(organizer) = record.organizer.clone() else {
        return Err(refuse(
            "You can't respond to this meeting because you're the meeting organizer.",
        ));
    };
    let send = field(body, "sendResponse").is_none_or(|v| v != json!(false));
    if send && record.prop(which.day, "responseRequested") == Some(&json!(false)) {
        return Err(refuse("The meeting organizer hasn't requested a response."));
    }
    drop(record);
    if send {
        notices.push(Notice {
            comment: comment(body),
            response,
            ..write::notice(book, which, Kind::Response, vec![organizer.address])
        });
    }
    let now = world.clock.now();
    if response == "declined" {
        write::delete(world, book, which, "", notices);
        return Ok(());
    }
    let status = json!({"response": response, "time": rfc3339(now)});
    set(book, which, "responseStatus", status, now);
    set(book, which, "showAs", json!(show_as), now);
    Ok(())
}

fn forward(
    book: &Book,
    which: Which,
    body: &Object,
    notices: &mut Vec<Notice>,
) -> Result<(), ApiResponse> {
    let to = field(body, "ToRecipients").unwrap_or_default();
    let to = super::record::addresses(Some(&to));
    if to.is_empty() {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRecipients",
            "At least one recipient is not valid.",
        ));
    }
    notices.push(Notice {
        comment: comment(body),
        ..write::notice(book, which, Kind::Forward, to)
    });
    Ok(())
}
