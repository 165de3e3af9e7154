//! What is created in Exchange for an event: everything from the record, where there is one, with the
//! attachments from the file; else all of it from the file.
//!
//! Nobody is invited: attendees become a readable block at the top of the body. No online meeting is
//! made: its link stays in the body. Reminders of what is over are off.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::people::People;
use crate::format::eml::{Attachment, Body};
use crate::format::ics::{self, Foreign, Series};
use crate::workload::{Marker, Policy, Push, PushError, Source};

/// Bytes of a creating request: 4 MB are allowed.
const MAX_REQUEST: usize = 3_900_000;

/// Properties that are taken from the record as they are.
const FROM_RECORD: [&str; 13] = [
    "subject",
    "body",
    "importance",
    "sensitivity",
    "showAs",
    "categories",
    "isAllDay",
    "isReminderOn",
    "reminderMinutesBeforeStart",
    "location",
    "responseRequested",
    "allowNewTimeProposals",
    "hideAttendees",
];

/// An event ready to be created.
pub(in crate::workload) struct Composed {
    /// The body of the creating request.
    pub json: Value,
    pub attachments: Vec<Attachment>,
    /// If it is a series.
    pub series: Option<Series>,
    pub exceptions: Vec<Changed>,
    pub cancelled: Vec<Date>,
    pub marker: Marker,
    /// The iCalUId of the original, to find it by.
    pub uid: Option<String>,
    /// What can't be restored.
    pub notes: Vec<String>,
}

/// An occurrence that is not as the others.
pub(in crate::workload) struct Changed {
    pub day: Date,
    /// What is different.
    pub patch: Value,
    pub attachments: Vec<Attachment>,
}

/// Reads the file of a push.
pub(super) async fn compose(push: &Push) -> Result<Composed, PushError> {
    let size = tokio::fs::metadata(&push.file).await?.len();
    if size > ics::MAX_FILE as u64 {
        return Err(PushError::Invalid(format!(
            "{}: {size} bytes are too many for an event",
            push.name
        )));
    }
    if !push.name.to_ascii_lowercase().ends_with(".ics") && matches!(push.source, Source::File) {
        return Err(PushError::Invalid(format!(
            "{}: only events (files that end in .ics) can be put below Calendar",
            push.name
        )));
    }
    let file = tokio::fs::read(&push.file).await?;
    let push = push.clone();
    let now = Timestamp::now();
    // Parsing tens of megabytes is no work for a thread that serves connections.
    let composed = tokio::task::spawn_blocking(move || build(&push, &file, now)).await;
    composed.map_err(|e| PushError::Invalid(format!("the event could not be read: {e}")))?
}

fn build(push: &Push, file: &[u8], now: Timestamp) -> Result<Composed, PushError> {
    let refuse = |e: ics::Refusal| PushError::Invalid(format!("{}: {e}", push.name));
    let mut composed = match &push.source {
        Source::Record { record, .. } => {
            from_record(record, ics::attachments(file).map_err(refuse)?)
        }
        Source::File => from_foreign(ics::read(file).map_err(refuse)?),
    };
    composed.marker = Marker {
        push: push.id,
        origin: match &push.source {
            Source::Record { key, .. } if push.policy != Policy::KeepBoth => Some(*key),
            _ => None,
        },
        created: None,
    };
    if is_over(&composed, now) {
        composed.json["isReminderOn"] = json!(false);
    }
    composed.json["transactionId"] = json!(push.id.to_string());
    composed.json["singleValueExtendedProperties"] = json!([composed.marker.property()]);
    if composed.json.to_string().len() > MAX_REQUEST {
        return Err(PushError::Invalid(format!(
            "{}: its text is too long for Exchange to take ({MAX_REQUEST} bytes)",
            push.name
        )));
    }
    Ok(composed)
}

fn from_record(record: &Value, attachments: Vec<Vec<Attachment>>) -> Composed {
    let mut attachments = attachments.into_iter();
    let mut notes = missing(record);
    let series = Series::of(record);
    let mut json = event(record);
    match (&series, &record["recurrence"]) {
        (Some(series), recurrence) => {
            json["recurrence"] = series.recurrence();
            // Only rules of weeks depend on it, but Graph tells it of each.
            let first = &recurrence["pattern"]["firstDayOfWeek"];
            if first.is_string() {
                json["recurrence"]["pattern"]["firstDayOfWeek"] = first.clone();
            }
        }
        (None, recurrence @ Value::Object(_)) => {
            json["recurrence"] = recurrence.clone();
            notes.push(
                "a recurrence of a kind that is not known: its exceptions are not restored".into(),
            );
        }
        _ => {}
    }
    if record["isCancelled"] == true {
        notes.push("it was cancelled: restored as an event that is not".into());
    }
    let own = as_told(attachments.next().unwrap_or_default(), record);
    let mut exceptions = Vec::new();
    for exception in record["exceptionOccurrences"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let attachments = as_told(attachments.next().unwrap_or_default(), exception);
        notes.extend(missing(exception));
        let day = series
            .as_ref()
            .and_then(|s| s.day_of(&exception["originalStart"]));
        match day {
            Some(day) => exceptions.push(Changed {
                day,
                patch: difference(&json, event(exception)),
                attachments,
            }),
            None => notes.push("a changed occurrence that does not tell which one it is".into()),
        }
    }
    let cancelled = record["cancelledOccurrences"].as_array();
    Composed {
        cancelled: cancelled
            .into_iter()
            .flatten()
            .filter_map(|entry| series.as_ref()?.cancelled(entry))
            .collect(),
        uid: record["iCalUId"].as_str().map(str::to_owned),
        attachments: own,
        exceptions,
        series,
        json,
        notes,
        marker: no_marker(),
    }
}

/// Attachments as their record tells them: in the file, an attached item is a file of its type.
fn as_told(mut attachments: Vec<Attachment>, record: &Value) -> Vec<Attachment> {
    let told = record["attachments"].as_array();
    let items: Vec<&str> = told
        .into_iter()
        .flatten()
        .filter(|told| told["@odata.type"] == "#microsoft.graph.itemAttachment")
        .filter_map(|told| told["name"].as_str())
        .collect();
    for attachment in &mut attachments {
        let bytes = attachment.bytes().to_vec();
        let of_item = [Body::Message, Body::Event, Body::Contact]
            .into_iter()
            .find_map(|kind| {
                let item = |name: &&str| Attachment {
                    name: (*name).to_owned(),
                    body: kind(bytes.clone()),
                    ..attachment.clone()
                };
                let mut items = items.iter().map(item);
                items.find(|item| {
                    item.file_name() == attachment.name
                        && item.mime_type().split(';').next() == attachment.content_type.as_deref()
                })
            });
        match of_item {
            Some(item) => *attachment = item,
            None => attachment.body = Body::File(bytes),
        }
    }
    attachments
}

fn from_foreign(foreign: Foreign) -> Composed {
    let series = Series::of(&foreign.event);
    let mut json = event(&foreign.event);
    if series.is_some() {
        json["recurrence"] = foreign.event["recurrence"].clone();
    }
    let exceptions = foreign.exceptions.into_iter().map(|exception| Changed {
        day: exception.day,
        patch: difference(&json, event(&exception.event)),
        attachments: exception.attachments,
    });
    Composed {
        exceptions: exceptions.collect(),
        cancelled: foreign.cancelled,
        uid: None,
        attachments: foreign.attachments,
        series,
        json,
        notes: foreign.notes,
        marker: no_marker(),
    }
}

fn no_marker() -> Marker {
    Marker {
        push: uuid::Uuid::nil(),
        origin: None,
        created: None,
    }
}

/// What of an event is written: what Graph takes, without anybody to invite.
fn event(record: &Value) -> Value {
    let mut json = Map::new();
    for name in FROM_RECORD {
        if !record[name].is_null() {
            json.insert(name.into(), record[name].clone());
        }
    }
    if let Some(places) = record["locations"]
        .as_array()
        .filter(|places| !places.is_empty())
    {
        json.insert("locations".into(), json!(places));
        json.remove("location");
    }
    if let Some((start, end, _)) = ics::times(record) {
        json.insert("start".into(), start);
        json.insert("end".into(), end);
    }
    if let Some(people) = People::of(record) {
        json.insert("body".into(), people.above(&record["body"]));
    }
    Value::Object(json)
}

/// What is different of an occurrence; when it is, always.
fn difference(series: &Value, occurrence: Value) -> Value {
    let mut patch = Map::new();
    if let Value::Object(occurrence) = occurrence {
        for (name, value) in occurrence {
            let always = name == "start" || name == "end";
            if name != "recurrence" && (always || series[&name] != value) {
                patch.insert(name, value);
            }
        }
    }
    Value::Object(patch)
}

fn missing(event: &Value) -> Vec<String> {
    let missing = event["tenantfsContent"]["missingAttachments"].as_array();
    missing
        .into_iter()
        .flatten()
        .filter_map(|m| m.as_str().map(str::to_owned))
        .collect()
}

/// Nobody wants to be reminded of what is over.
fn is_over(composed: &Composed, now: Timestamp) -> bool {
    let Some((_, _, end)) = ics::times(&composed.json) else {
        return false;
    };
    let length = ics::schedule(&composed.json).map(|s| s.length());
    let end = match &composed.series {
        None if composed.json["recurrence"].is_object() => return false,
        None => end,
        Some(series) => match series.last_day().and_then(|day| series.start_on(day)) {
            Some(last) => last
                .checked_add(length.unwrap_or_default())
                .unwrap_or(Timestamp::MAX),
            None => return false,
        },
    };
    end < now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::ItemKey;
    use jiff::civil::date;

    fn meeting() -> Value {
        json!({
            "id": "e", "iCalUId": "u", "changeKey": "1", "subject": "Plan", "type": "seriesMaster",
            "originalStartTimeZone": "W. Europe Standard Time", "isOrganizer": false, "isOnlineMeeting": true,
            "onlineMeetingProvider": "teamsForBusiness", "webLink": "https://x", "isReminderOn": true,
            "start": { "dateTime": "2026-03-16T08:00:00.0000000", "timeZone": "UTC" },
            "end": { "dateTime": "2026-03-16T09:00:00.0000000", "timeZone": "UTC" },
            "body": { "contentType": "html", "content": "<html><body class=x>Hi</body></html>" },
            "locations": [ { "displayName": "A" } ], "location": { "displayName": "A" },
            "organizer": { "emailAddress": { "name": "Ann <b>", "address": "ann@contoso.test" } },
            "attendees": [ { "type": "optional", "status": { "response": "declined" },
                             "emailAddress": { "name": "Bo", "address": "bo@contoso.test" } } ],
            "recurrence": {
                "pattern": { "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "sunday" },
                "range": { "type": "numbered", "startDate": "2026-03-16", "numberOfOccurrences": 4,
                           "recurrenceTimeZone": "" } },
            "cancelledOccurrences": ["OID.e.x.2026-03-30"],
            "exceptionOccurrences": [ { "id": "x", "originalStart": "2026-03-23T08:00:00Z", "subject": "Plan B",
                "body": { "contentType": "html", "content": "<html><body class=x>Hi</body></html>" },
                "attendees": [ { "type": "optional", "status": { "response": "declined" },
                             "emailAddress": { "name": "Bo", "address": "bo@contoso.test" } } ],
                "organizer": { "emailAddress": { "name": "Ann <b>", "address": "ann@contoso.test" } },
                "start": { "dateTime": "2026-03-23T10:00:00.0000000", "timeZone": "UTC" },
                "end": { "dateTime": "2026-03-23T11:00:00.0000000", "timeZone": "UTC" } } ],
        })
    }

    fn push(source: Source) -> Push {
        Push {
            id: uuid::Uuid::from_u128(7),
            folder: vec!["Calendar".into()],
            name: "x.ics".into(),
            policy: Policy::Skip,
            source,
            original: None,
            file: "/nowhere".into(),
            mtime: 0,
        }
    }

    fn built(record: Value, now: &str) -> Composed {
        let source = Source::Record {
            record,
            key: ItemKey([3; 16]),
        };
        let file = b"BEGIN:VCALENDAR\nEND:VCALENDAR";
        build(&push(source), file, now.parse().unwrap()).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn nobody_is_invited_and_nothing_is_made_that_was_not_there() {
        let made = built(meeting(), "2026-03-01T00:00:00Z");
        let names: Vec<&String> = made.json.as_object().unwrap().keys().collect();
        for never in [
            "attendees",
            "organizer",
            "isOnlineMeeting",
            "onlineMeetingProvider",
            "id",
            "type",
            "webLink",
        ] {
            assert!(!names.iter().any(|n| *n == never), "{never} in {names:?}");
        }
        let body = made.json["body"]["content"].as_str().unwrap();
        assert_eq!(
            body,
            "<html><body class=x><p>Organizer: Ann &lt;b&gt; &lt;ann@contoso.test&gt;<br>Optional:<br>\
             - Bo &lt;bo@contoso.test&gt;, declined</p><hr>Hi</body></html>"
        );
        assert_eq!(made.json["start"]["timeZone"], "W. Europe Standard Time");
        assert_eq!(
            made.json["start"]["dateTime"],
            "2026-03-16T09:00:00.0000000"
        );
        assert_eq!(
            made.json["recurrence"]["range"]["recurrenceTimeZone"],
            "W. Europe Standard Time"
        );
        assert_eq!(
            made.json["transactionId"],
            uuid::Uuid::from_u128(7).to_string()
        );
        assert_eq!(Marker::of(&made.json), Some(made.marker.clone()));
        assert_eq!(made.cancelled, [date(2026, 3, 30)]);
    }

    #[test]
    fn an_exception_is_what_is_different() {
        let made = built(meeting(), "2026-03-01T00:00:00Z");
        assert_eq!(made.exceptions.len(), 1);
        assert_eq!(made.exceptions[0].day, date(2026, 3, 23));
        let patch = made.exceptions[0].patch.as_object().unwrap();
        let names: Vec<&str> = patch.keys().map(String::as_str).collect();
        assert_eq!(names, ["end", "start", "subject"]);
    }

    #[test]
    fn reminders_are_for_what_is_to_come() {
        let on = |record: Value, now: &str| built(record, now).json["isReminderOn"] == true;
        assert!(on(meeting(), "2026-04-06T07:59:00Z"));
        assert!(!on(meeting(), "2026-04-06T08:01:00Z"));
        let mut endless = meeting();
        endless["recurrence"]["range"] = json!({ "type": "noEnd", "startDate": "2026-03-16" });
        assert!(on(endless, "2046-01-01T00:00:00Z"));
        let mut single = meeting();
        single["recurrence"] = Value::Null;
        assert!(!on(single, "2026-03-16T09:00:01Z"));
    }

    #[test]
    fn a_file_is_its_own_source() {
        let text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:u\nDTSTART:20260302T080000Z\nSUMMARY:Hi\n\
            ATTENDEE;CN=Bo:mailto:bo@contoso.test\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260303T080000Z\n\
            END:VEVENT\nEND:VCALENDAR\n";
        let made = build(&push(Source::File), text.as_bytes(), Timestamp::UNIX_EPOCH);
        let made = made.unwrap_or_else(|e| panic!("{e}"));
        assert!(made.json.get("attendees").is_none());
        assert!(
            made.json["body"]["content"]
                .as_str()
                .unwrap()
                .starts_with("Required:\n- Bo <bo@contoso.test>")
        );
        assert_eq!(made.json["recurrence"]["pattern"]["type"], "daily");
        assert_eq!(made.cancelled.len(), 1);
        assert_eq!(made.marker.origin, None);
        let bad = build(
            &push(Source::File),
            b"BEGIN:VCALENDAR\nEND:VCALENDAR",
            Timestamp::UNIX_EPOCH,
        );
        assert!(matches!(bad, Err(PushError::Invalid(why)) if why.contains("no event")));
    }
}
