//! What may be written to an event, and the form in which it is kept.

use serde_json::{Value, json};

use super::record::{Span, read_time};
use super::zone::Zone;
use crate::api::ApiResponse;
use crate::odata::Object;

/// What a client writes and the record's properties hold.
pub const KEPT: &[&str] = &[
    "subject",
    "body",
    "importance",
    "sensitivity",
    "categories",
    "showAs",
    "isReminderOn",
    "reminderMinutesBeforeStart",
    "location",
    "locations",
    "attendees",
    "responseRequested",
    "allowNewTimeProposals",
    "hideAttendees",
    "isOnlineMeeting",
    "onlineMeetingProvider",
    "transactionId",
];
/// What a client writes and the record keeps apart.
const APART: &[&str] = &[
    "start",
    "end",
    "isAllDay",
    "recurrence",
    "singleValueExtendedProperties",
    "multiValueExtendedProperties",
];
/// Set by the service; told at creation, they are passed over.
const SERVICE: &[&str] = &[
    "id",
    "createdDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "iCalUId",
    "bodyPreview",
    "hasAttachments",
    "isCancelled",
    "isDraft",
    "isOrganizer",
    "organizer",
    "responseStatus",
    "seriesMasterId",
    "type",
    "webLink",
    "onlineMeeting",
    "onlineMeetingUrl",
    "originalStart",
    "originalStartTimeZone",
    "originalEndTimeZone",
    "cancelledOccurrences",
];
/// Attendees see these: changing them sends updates.
pub const SIGNIFICANT: &[&str] = &[
    "subject",
    "body",
    "start",
    "end",
    "isAllDay",
    "recurrence",
    "location",
    "locations",
    "importance",
    "sensitivity",
    "isOnlineMeeting",
    "onlineMeetingProvider",
    "responseRequested",
    "allowNewTimeProposals",
    "hideAttendees",
];

/// People one event can be with.
const MAX_ATTENDEES: usize = 500;

const IMPORTANCE: &[&str] = &["low", "normal", "high"];
const SENSITIVITY: &[&str] = &["normal", "personal", "private", "confidential"];
const SHOW_AS: &[&str] = &[
    "free",
    "tentative",
    "busy",
    "oof",
    "workingElsewhere",
    "unknown",
];
const PROVIDERS: &[&str] = &[
    "unknown",
    "skypeForBusiness",
    "skypeForConsumer",
    "teamsForBusiness",
];
const ATTENDEE: &[&str] = &["required", "optional", "resource"];
const PLACES: &[&str] = &[
    "default",
    "conferenceRoom",
    "homeAddress",
    "businessAddress",
    "geoCoordinates",
    "streetAddress",
    "hotel",
    "restaurant",
    "localBusiness",
    "postalAddress",
];
const PLACE_IDS: &[&str] = &["unknown", "locationStore", "directory", "private", "bing"];

fn invalid(name: &str) -> ApiResponse {
    ApiResponse::error(
        400,
        "RequestBodyRead",
        &format!("The value of property '{name}' is not valid."),
    )
}

/// The one refusal of Exchange for anything that an event does not have.
pub fn foreign() -> ApiResponse {
    ApiResponse::error(
        400,
        "ErrorInvalidRequest",
        "Requests must contain extension changes exclusively.",
    )
}

/// At least one of the times is impossible.
pub fn failed_validation() -> ApiResponse {
    ApiResponse::error(
        400,
        "ErrorPropertyValidationFailure",
        "At least one property failed validation.",
    )
}

/// Refuses names that may not be written. `creating`: what the service sets is passed over.
pub fn names(body: &Object, creating: bool) -> Result<(), ApiResponse> {
    for name in body.keys() {
        let name = name.as_str();
        if name.starts_with("@odata.") || KEPT.contains(&name) || APART.contains(&name) {
            continue;
        }
        if !SERVICE.contains(&name) {
            return Err(foreign());
        }
        if !creating {
            return Err(ApiResponse::error(
                400,
                "ErrorInvalidPropertySet",
                &format!("Set action is invalid for property '{name}'."),
            ));
        }
    }
    if !creating && body.contains_key("transactionId") {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidPropertySet",
            "Set action is invalid for property 'transactionId'.",
        ));
    }
    Ok(())
}

/// The written properties of `body` in the form they are kept in. A null takes a property back to what
/// it is without being written.
pub fn kept(body: &Object) -> Result<Object, ApiResponse> {
    let mut out = Object::new();
    for (name, value) in body.iter().filter(|(n, _)| KEPT.contains(&n.as_str())) {
        let value = match value {
            Value::Null => defaults(false).remove(name).unwrap_or_default(),
            value => one(name, value)?,
        };
        out.insert(name.clone(), value);
    }
    // One place is told as several and several as one: the last written decides.
    let (place, places) = (body.get("location"), body.get("locations"));
    match (place, places) {
        (_, Some(Value::Array(list))) if !list.is_empty() || place.is_none() => {
            let first = out["locations"].get(0).cloned();
            let none = json!({"displayName": ""});
            let value = first.unwrap_or_else(|| location(&none).unwrap_or_default());
            out.insert("location".into(), value);
        }
        (Some(_), _) => {
            let value = out["location"].clone();
            let named = value["displayName"].as_str().is_some_and(|n| !n.is_empty());
            let list = if named { vec![value] } else { Vec::new() };
            out.insert("locations".into(), Value::Array(list));
        }
        _ => {}
    }
    Ok(out)
}

fn one(name: &str, value: &Value) -> Result<Value, ApiResponse> {
    let refuse = || invalid(name);
    let choice = |of: &[&str]| {
        let text = value.as_str().ok_or_else(refuse)?;
        let found = of.iter().find(|c| c.eq_ignore_ascii_case(text));
        found.map(|c| json!(c)).ok_or_else(refuse)
    };
    match name {
        "subject" | "transactionId" => value.as_str().map(|t| json!(t)).ok_or_else(refuse),
        "isReminderOn"
        | "responseRequested"
        | "allowNewTimeProposals"
        | "hideAttendees"
        | "isOnlineMeeting" => value.as_bool().map(|b| json!(b)).ok_or_else(refuse),
        "reminderMinutesBeforeStart" => {
            let minutes = value.as_i64().and_then(|n| i32::try_from(n).ok());
            minutes.map(|n| json!(n)).ok_or_else(refuse)
        }
        "importance" => choice(IMPORTANCE),
        "sensitivity" => choice(SENSITIVITY),
        "showAs" => choice(SHOW_AS),
        "onlineMeetingProvider" => choice(PROVIDERS),
        "categories" => {
            let list = value.as_array().ok_or_else(refuse)?;
            list.iter()
                .all(Value::is_string)
                .then(|| value.clone())
                .ok_or_else(refuse)
        }
        "body" => {
            let kind = value["contentType"]
                .as_str()
                .unwrap_or("text")
                .to_ascii_lowercase();
            let content = match &value["content"] {
                Value::Null => "",
                content => content.as_str().ok_or_else(refuse)?,
            };
            if kind != "text" && kind != "html" {
                return Err(refuse());
            }
            Ok(json!({"contentType": kind, "content": content}))
        }
        "location" => location(value),
        "locations" => {
            let list = value.as_array().ok_or_else(refuse)?;
            list.iter()
                .map(location)
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array)
        }
        "attendees" => {
            let list = value.as_array().ok_or_else(refuse)?;
            if list.len() > MAX_ATTENDEES {
                return Err(ApiResponse::error(
                    400,
                    "ErrorExceededMaxRecipientLimit",
                    "The maximum number of attendees of an event is 500.",
                ));
            }
            list.iter()
                .map(attendee)
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array)
        }
        _ => Ok(value.clone()),
    }
}

/// Responses are not the organizer's to write.
fn attendee(value: &Value) -> Result<Value, ApiResponse> {
    let refuse = || invalid("attendees");
    let address = value["emailAddress"]["address"]
        .as_str()
        .unwrap_or_default();
    if address.is_empty() {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRecipients",
            "At least one recipient is not valid.",
        ));
    }
    let name = value["emailAddress"]["name"]
        .as_str()
        .filter(|n| !n.is_empty());
    let kind = value["type"].as_str().unwrap_or("required");
    let kind = ATTENDEE
        .iter()
        .find(|k| k.eq_ignore_ascii_case(kind))
        .ok_or_else(refuse)?;
    Ok(json!({
        "type": kind, "status": {"response": "none", "time": "0001-01-01T00:00:00Z"},
        "emailAddress": {"name": name.unwrap_or(address), "address": address},
    }))
}

fn location(value: &Value) -> Result<Value, ApiResponse> {
    let refuse = || invalid("location");
    let given = value.as_object().ok_or_else(refuse)?;
    let mut out = given.clone();
    out.retain(|name, value| !name.contains('@') && !value.is_null());
    let known = [
        "displayName",
        "locationType",
        "uniqueId",
        "uniqueIdType",
        "locationEmailAddress",
        "locationUri",
        "address",
        "coordinates",
    ];
    if out.keys().any(|name| !known.contains(&name.as_str())) {
        return Err(refuse());
    }
    let name = out
        .get("displayName")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let mut choice = |key: &str, of: &[&str], other: &str| {
        let text = out
            .get(key)
            .map_or(Some(other), Value::as_str)
            .ok_or_else(refuse)?;
        let found = of
            .iter()
            .find(|c| c.eq_ignore_ascii_case(text))
            .ok_or_else(refuse)?;
        out.insert(key.to_owned(), json!(found));
        Ok::<(), ApiResponse>(())
    };
    choice("locationType", PLACES, "default")?;
    choice(
        "uniqueIdType",
        PLACE_IDS,
        if name.is_empty() {
            "unknown"
        } else {
            "private"
        },
    )?;
    if !name.is_empty() {
        out.entry("uniqueId").or_insert_with(|| json!(name));
    }
    out.insert("displayName".into(), json!(name));
    for part in ["address", "coordinates"] {
        let empty = out.entry(part).or_insert_with(|| json!({}));
        if !empty.is_object() {
            return Err(refuse());
        }
    }
    Ok(Value::Object(out))
}

/// What an event is that says nothing of itself.
pub fn defaults(all_day: bool) -> Object {
    let value = json!({
        "subject": "", "body": {"contentType": "html", "content": ""}, "importance": "normal", "sensitivity": "normal",
        "categories": [], "showAs": if all_day { "free" } else { "busy" }, "isReminderOn": true,
        "reminderMinutesBeforeStart": if all_day { 1080 } else { 15 }, "locations": [], "attendees": [],
        "location": {"displayName": "", "locationType": "default", "uniqueIdType": "unknown", "address": {}, "coordinates": {}},
        "responseRequested": true, "allowNewTimeProposals": true, "hideAttendees": false, "isOnlineMeeting": false,
        "onlineMeetingProvider": "unknown", "onlineMeeting": null, "onlineMeetingUrl": null, "transactionId": null,
        "isCancelled": false, "isDraft": false, "responseStatus": {"response": "organizer", "time": "0001-01-01T00:00:00Z"},
    });
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// The times that `body` gives; what it leaves out is as in `before`.
pub fn span(body: &Object, before: Option<&Span>) -> Result<Span, ApiResponse> {
    let time = |name: &str, old: Option<(jiff::civil::DateTime, Zone)>| match body.get(name) {
        Some(value @ Value::Object(_)) => read_time(value, name).map(Some),
        None => Ok(old),
        Some(_) => Err(invalid(name)),
    };
    let start = time("start", before.map(|s| (s.start, s.start_zone.clone())))?;
    let end = time("end", before.map(|s| (s.end, s.end_zone.clone())))?;
    let all_day = match body.get("isAllDay") {
        None | Some(Value::Null) => before.is_some_and(|s| s.all_day),
        Some(value) => value.as_bool().ok_or_else(|| invalid("isAllDay"))?,
    };
    let (Some((start, start_zone)), Some((end, end_zone))) = (start, end) else {
        return Err(failed_validation());
    };
    let span = Span {
        start,
        end,
        start_zone,
        end_zone,
        all_day,
    };
    let midnight = |at: jiff::civil::DateTime| at.time() == jiff::civil::Time::midnight();
    let whole = midnight(start) && midnight(end) && start < end && span.start_zone == span.end_zone;
    let (from, to) = span.instants();
    if (all_day && !whole) || from > to {
        return Err(failed_validation());
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn names_decide_what_may_be_written() {
        assert!(
            names(
                &object(json!({"subject": "x", "iCalUId": "y", "@odata.etag": "z"})),
                true
            )
            .is_ok()
        );
        assert!(names(&object(json!({"iCalUId": "y"})), false).is_err());
        for foreign in [
            "uid",
            "iCalUId_v2",
            "calendar@odata.navigationLink",
            "nonsense",
            "exceptionOccurrences",
        ] {
            assert!(
                names(&object(json!({foreign: 1})), true).is_err(),
                "{foreign}"
            );
        }
    }

    #[test]
    fn one_place_and_several_are_the_same() {
        let kept = |v: Value| kept(&object(v)).unwrap();
        let one = kept(json!({"location": {"displayName": "Room 1"}}));
        assert_eq!(one["locations"][0], one["location"]);
        assert_eq!(one["location"]["uniqueIdType"], "private");
        let many = kept(
            json!({"locations": [{"displayName": "A", "locationType": "HOTEL"}, {"displayName": "B"}]}),
        );
        assert_eq!(many["location"]["displayName"], "A");
        assert_eq!(many["location"]["locationType"], "hotel");
        assert_eq!(
            kept(json!({"location": {"displayName": ""}}))["locations"],
            json!([])
        );
    }

    #[test]
    fn times_have_to_be_possible() {
        let at = |text: &str| json!({"dateTime": text, "timeZone": "UTC"});
        let read = |start: &str, end: &str, all_day: bool| {
            span(
                &object(json!({"start": at(start), "end": at(end), "isAllDay": all_day})),
                None,
            )
            .is_ok()
        };
        assert!(read("2026-07-10T09:00:00", "2026-07-10T09:00:00", false));
        assert!(!read("2026-07-10T09:00:00", "2026-07-10T08:00:00", false));
        assert!(read("2026-07-10", "2026-07-11", true));
        assert!(!read("2026-07-10", "2026-07-10", true));
        assert!(!read("2026-07-10T01:00:00", "2026-07-11T00:00:00", true));
    }
}
