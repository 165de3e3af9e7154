//! Events there and back: the cases of others by what they mean, the corpus, and what no case has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base64::Engine;
use jiff::civil::date;
use serde_json::json;

use super::rule::Rule;
use super::syntax::{Component, Line, parse};
use super::*;
use crate::format::eml::Body;
use crate::format::lines::Lines;

fn text(record: &Value) -> String {
    String::from_utf8(from_json(record, &[]).unwrap()).unwrap()
}

fn unfolded(record: &Value) -> String {
    text(record).replace("\r\n ", "").replace("\r\n", "\n")
}

fn at(time: &str) -> Value {
    json!({ "dateTime": format!("{time}.0000000"), "timeZone": "UTC" })
}

/// A weekly stand-up in Berlin, over the change of the clocks, with a moved and a cancelled day.
fn stand_up() -> Value {
    json!({
        "id": "AAkALg.M=", "iCalUId": "0400", "changeKey": "1", "type": "seriesMaster", "subject": "Stand-up",
        "createdDateTime": "2026-02-20T08:00:00.1234567Z", "lastModifiedDateTime": "2026-02-20T08:01:00.7654321Z",
        "originalStartTimeZone": "W. Europe Standard Time", "originalEndTimeZone": "W. Europe Standard Time",
        "isAllDay": false, "start": at("2026-03-16T08:00:00"), "end": at("2026-03-16T08:15:00"),
        "isReminderOn": true, "reminderMinutesBeforeStart": 15, "importance": "high", "sensitivity": "private",
        "showAs": "busy", "responseRequested": true,
        "body": { "contentType": "html", "content": "<html><body><p>Bring coffee, please</p></body></html>" },
        "organizer": { "emailAddress": { "name": "Lee, \"Ann\"", "address": "ann@contoso.test" } },
        "attendees": [
            { "type": "required", "status": { "response": "accepted" },
              "emailAddress": { "name": "Bo Ek", "address": "bo@contoso.test" } },
            { "type": "resource", "status": { "response": "none" },
              "emailAddress": { "name": "Room 1", "address": "room1@contoso.test" } },
            { "type": "optional", "emailAddress": { "name": "Old", "address": "/o=x/cn=old" } } ],
        "recurrence": {
            "pattern": { "type": "weekly", "interval": 1, "month": 0, "dayOfMonth": 0,
                         "daysOfWeek": ["monday"], "firstDayOfWeek": "sunday", "index": "first" },
            "range": { "type": "numbered", "startDate": "2026-03-16", "endDate": "0001-01-01",
                       "recurrenceTimeZone": "W. Europe Standard Time", "numberOfOccurrences": 10 } },
        "cancelledOccurrences": ["OID.AAkALg.M=.2026-03-30"],
        "exceptionOccurrences": [ {
            "id": "AAkALg.X=", "type": "exception", "originalStart": "2026-03-23T08:00:00Z",
            "subject": "Stand-up (late)", "isAllDay": false, "originalStartTimeZone": "Tokyo Standard Time",
            "start": at("2026-03-23T10:00:00"), "end": at("2026-03-23T10:15:00") } ],
    })
}

#[test]
fn a_series_is_written_in_its_own_zone() {
    let out = unfolded(&stand_up());
    for line in [
        "UID:0400",
        "RRULE:FREQ=WEEKLY;COUNT=10;BYDAY=MO;WKST=SU",
        "DTSTART;TZID=Europe/Berlin:20260316T090000",
        "EXDATE;TZID=Europe/Berlin:20260330T090000",
        "RECURRENCE-ID;TZID=Europe/Berlin:20260323T090000",
        "DTSTART;TZID=Asia/Tokyo:20260323T190000",
        "TZID:Asia/Tokyo",
        "TZID:Europe/Berlin",
        "DTSTAMP:20260220T080100Z",
        "DESCRIPTION:Bring coffee\\, please",
        "CLASS:PRIVATE",
        "PRIORITY:1",
        "TRIGGER:-PT15M",
        "ORGANIZER;CN=\"Lee, ^'Ann^'\":mailto:ann@contoso.test",
        "ATTENDEE;CN=Bo Ek;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;RSVP=TRUE:mailto:bo@contoso.test",
        "ATTENDEE;CN=Room 1;CUTYPE=RESOURCE;ROLE=NON-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:room1@contoso.test",
    ] {
        assert!(out.lines().any(|l| l == line), "{line}\n{out}");
    }
    assert_eq!(out.matches("BEGIN:VEVENT").count(), 2);
    assert!(!out.contains("/o=x"));
    assert!(text(&stand_up()).lines().all(|line| line.len() <= 75));
    assert_eq!(text(&stand_up()), text(&stand_up()));
}

#[test]
fn a_series_comes_back_from_its_file() {
    let found = read(text(&stand_up()).as_bytes()).unwrap();
    assert_eq!(found.cancelled, [date(2026, 3, 30)]);
    assert_eq!(found.exceptions.len(), 1);
    assert_eq!(found.exceptions[0].day, date(2026, 3, 23));
    let event = &found.event;
    assert_eq!(event["start"]["timeZone"], "W. Europe Standard Time");
    assert_eq!(event["start"]["dateTime"], "2026-03-16T09:00:00.0000000");
    assert_eq!(event["body"]["contentType"], "html");
    assert_eq!(event["attendees"].as_array().unwrap().len(), 2);
    assert_eq!(event["sensitivity"], "private");
    assert_eq!(event["reminderMinutesBeforeStart"], 15);
    let series = Series::of(event).unwrap();
    assert_eq!(series.zone().name, "Europe/Berlin");
    // Monday 09:00 in Berlin, in summer time.
    assert_eq!(
        series.start_on(date(2026, 3, 30)).unwrap().to_string(),
        "2026-03-30T07:00:00Z"
    );
    assert_eq!(series.last_day(), Some(date(2026, 5, 18)));
    assert_eq!(
        series.day_of(&json!("2026-03-30T07:00:00Z")),
        Some(date(2026, 3, 30))
    );
    assert_eq!(found.notes, Vec::<String>::new());
}

#[test]
fn an_exception_takes_the_place_of_an_occurrence() {
    let changed = |start: &str, zone: &str, original: &str| {
        let mut record = stand_up();
        record["originalStartTimeZone"] = json!(zone);
        record["start"] = at(start);
        record["end"] = at(start);
        record["recurrence"]["range"]["recurrenceTimeZone"] = json!(zone);
        record["exceptionOccurrences"][0]["originalStart"] = json!(original);
        unfolded(&record)
    };
    // A zone that a file made up: Graph does not tell when its clocks change, so the series is in UTC. Its
    // occurrences in summer are an hour off, over midnight in the second case.
    let custom = "tzone://Microsoft/Custom";
    for (start, original, names) in [
        (
            "2026-03-16T08:00:00",
            "2026-03-30T07:00:00Z",
            "20260330T080000Z",
        ),
        (
            "2026-03-16T00:30:00",
            "2026-03-29T23:30:00Z",
            "20260330T003000Z",
        ),
    ] {
        let shown = changed(start, custom, original);
        let line = format!("\nRECURRENCE-ID:{names}\n");
        assert!(shown.contains(&line), "{shown}");
    }
    // In Berlin there is no 2:30 on the day on which the clocks are put forward.
    let shown = changed(
        "2026-03-15T01:30:00",
        "W. Europe Standard Time",
        "2026-03-29T01:30:00Z",
    );
    assert!(
        shown.contains("\nRECURRENCE-ID;TZID=Europe/Berlin:20260329T023000\n"),
        "{shown}"
    );
}

#[test]
fn days_are_days_in_every_zone() {
    for zone in ["Pacific Standard Time", "Tokyo Standard Time", "UTC"] {
        let record = json!({
            "id": "x", "isAllDay": true, "subject": "Fair", "originalStartTimeZone": zone,
            "start": at("2026-07-10T00:00:00"), "end": at("2026-07-12T00:00:00"),
            "recurrence": {
                "pattern": { "type": "absoluteMonthly", "interval": 1, "dayOfMonth": 10 },
                "range": { "type": "endDate", "startDate": "2026-07-10", "endDate": "2026-12-31",
                           "recurrenceTimeZone": "" } },
            "cancelledOccurrences": ["OID.x.2026-09-10"],
            "exceptionOccurrences": [ { "id": "e", "originalStart": "2026-08-10T00:00:00Z", "isAllDay": true,
                "subject": "Late", "start": at("2026-08-11T00:00:00"), "end": at("2026-08-12T00:00:00") } ],
        });
        let out = unfolded(&record);
        for line in [
            "DTSTART;VALUE=DATE:20260710",
            "DTEND;VALUE=DATE:20260712",
            "EXDATE;VALUE=DATE:20260910",
            "RRULE:FREQ=MONTHLY;UNTIL=20261231;BYMONTHDAY=10",
            "RECURRENCE-ID;VALUE=DATE:20260810",
            "DTSTART;VALUE=DATE:20260811",
        ] {
            assert!(out.lines().any(|l| l == line), "{zone} {line}\n{out}");
        }
        assert!(!out.contains("VTIMEZONE"));
        let found = read(out.as_bytes()).unwrap();
        assert_eq!(found.cancelled, [date(2026, 9, 10)]);
        assert_eq!(found.exceptions[0].day, date(2026, 8, 10));
        let (start, ..) = times(&record).unwrap();
        assert_eq!(start["dateTime"], "2026-07-10T00:00:00.0000000");
        assert_eq!(start["timeZone"], zone);
    }
}

#[test]
fn attachments_are_in_the_file() {
    let file = |name: &str, inline: bool| Attachment {
        name: name.into(),
        content_type: Some("text/plain".into()),
        content_id: inline.then(|| "logo@01".into()),
        inline,
        body: Body::File(vec![0, 1, 2, 255]),
    };
    let message = Attachment {
        body: Body::Message(b"Subject: x\r\n\r\ny".to_vec()),
        content_type: Some("message/rfc822".into()),
        ..file("mail.eml", false)
    };
    let all = vec![
        vec![file("a;\"b\".txt", false), message],
        vec![file("c.txt", true)],
    ];
    let bytes = from_json(&stand_up(), &all).unwrap();
    assert_eq!(attachments(&bytes).unwrap(), all);
    let found = read(&bytes).unwrap();
    assert_eq!(found.attachments, all[0]);
    assert_eq!(found.exceptions[0].attachments, all[1]);
}

#[test]
fn nothing_in_a_record_breaks_out_of_its_line() {
    let evil = "a\r\nEND:VEVENT\r\nBEGIN:VEVENT\u{1}";
    let mut record = stand_up();
    for name in [
        "subject",
        "iCalUId",
        "webLink",
        "showAs",
        "onlineMeetingUrl",
    ] {
        record[name] = json!(evil);
    }
    record["body"]["content"] = json!(evil);
    record["categories"] = json!([evil, 5, null]);
    record["location"] = json!({ "displayName": evil });
    record["attendees"][0]["emailAddress"] =
        json!({ "name": evil, "address": format!("{evil}@x") });
    record["onlineMeeting"] = json!({ "joinUrl": format!("https://x {evil}") });
    let calendar = parse(text(&record).as_bytes()).unwrap();
    assert_eq!(
        calendar[0]
            .children
            .iter()
            .filter(|c| c.name == "VEVENT")
            .count(),
        2
    );
    for odd in [
        json!({"id": 5}),
        json!(null),
        json!([]),
        json!({"iCalUId": ""}),
    ] {
        assert_eq!(from_json(&odd, &[]), None);
    }
    let nothing = json!({ "id": "x", "start": 5, "recurrence": [], "attendees": {}, "exceptionOccurrences": [7] });
    assert!(text(&nothing).contains("UID:x"));
}

#[test]
fn what_a_file_loses_is_told_and_what_would_change_is_refused() {
    let event = |lines: &str| {
        let text = format!(
            "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:u\nDTSTART:20260302T080000Z\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n"
        );
        read(text.as_bytes()).map_err(|e| e.to_string())
    };
    for (lines, says) in [
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "several rules"),
        ("RRULE:FREQ=DAILY\nEXRULE:FREQ=WEEKLY", "EXRULE"),
        ("RDATE:20260305T080000Z", "RDATE"),
        (
            "RRULE:FREQ=DAILY;COUNT=1\nEXDATE:20260302T080000Z",
            "every occurrence is cancelled",
        ),
        ("DTEND:20260301T080000Z", "an end before its start"),
        ("DTEND;VALUE=DATE:20260303", "a start that is a day"),
        ("DURATION:P1", "its duration"),
        (
            "RECURRENCE-ID:20260302T080000Z\nEND:VEVENT\nBEGIN:VEVENT\nUID:v\nDTSTART:20260302T080000Z",
            "holds 2 events",
        ),
        (
            "END:VEVENT\nBEGIN:VEVENT\nUID:u\nDTSTART:20260302T080000Z",
            "several times",
        ),
        (
            "END:VEVENT\nBEGIN:VEVENT\nUID:u\nDTSTART:20260303T080000Z\nRECURRENCE-ID:20260303T080000Z",
            "does not recur",
        ),
        (
            "RRULE:FREQ=DAILY\nEND:VEVENT\nBEGIN:VEVENT\nUID:u\nDTSTART:20260303T080000Z\nRECURRENCE-ID:20260303T090000Z",
            "has none",
        ),
        (
            "RRULE:FREQ=DAILY\nEND:VEVENT\nBEGIN:VEVENT\nUID:u\nDTSTART:20260303T080000Z\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260303T080000Z",
            "RANGE",
        ),
    ] {
        let e = event(lines).expect_err(lines);
        assert!(e.contains(says), "{lines}: {e}");
    }
    for (text, says) in [
        (
            "BEGIN:VCALENDAR\nBEGIN:VTODO\nEND:VTODO\nEND:VCALENDAR",
            "it holds VTODO",
        ),
        (
            "BEGIN:VCALENDAR\nVERSION:1.0\nEND:VCALENDAR",
            "vCalendar 1.0",
        ),
        (
            "BEGIN:VCALENDAR\nMETHOD:CANCEL\nEND:VCALENDAR",
            "METHOD:CANCEL",
        ),
        ("", "it holds nothing"),
        (
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;TZID=Mars/Olympus:20260302T080000\nEND:VEVENT\nEND:VCALENDAR",
            "Mars/Olympus",
        ),
    ] {
        let e = read(text.as_bytes()).unwrap_err().to_string();
        assert!(e.contains(says), "{text}: {e}");
    }
    let notes = event(
        "URL:http://x\nATTACH:http://y\nSTATUS:CANCELLED\nBEGIN:VALARM\nACTION:EMAIL\nTRIGGER:-PT5M\nEND:VALARM",
    );
    assert_eq!(notes.unwrap().notes.len(), 4);
    let floating =
        read(b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260302T080000\nEND:VEVENT\nEND:VCALENDAR");
    assert!(floating.unwrap().notes[0].contains("no time zone"));
}

#[test]
fn times_without_a_zone_are_in_that_of_their_event() {
    let event = |lines: &str| {
        let file = format!(
            "BEGIN:VCALENDAR\nX-WR-TIMEZONE:Asia/Tokyo\nBEGIN:VEVENT\n{lines}\nEND:VEVENT\nEND:VCALENDAR"
        );
        read(file.as_bytes()).unwrap()
    };
    let berlin = |time: &str| json!({ "dateTime": format!("2026-03-{time}.0000000"), "timeZone": "W. Europe Standard Time" });
    // The end, the excluded and the changed days of a series.
    let start = "DTSTART;TZID=Europe/Berlin:20260302T090000\nDTEND:20260302T100000";
    let made = event(&format!(
        "UID:1\n{start}\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE:20260303T090000\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:1\nRECURRENCE-ID:20260304T090000\nDTSTART:20260304T110000\nDTEND:20260304T120000"
    ));
    assert_eq!(made.event["end"], berlin("02T10:00:00"));
    assert_eq!(made.cancelled, [date(2026, 3, 3)]);
    assert_eq!(made.exceptions[0].day, date(2026, 3, 4));
    assert_eq!(made.exceptions[0].event["start"], berlin("04T11:00:00"));
    // The start.
    let made = event("DTSTART:20260302T090000\nDTEND;TZID=Europe/Berlin:20260302T100000");
    assert_eq!(made.event["start"], berlin("02T09:00:00"));
    assert_eq!(made.notes, Vec::<String>::new());
}

#[test]
fn zones_by_other_names() {
    for (tzid, expected) in [
        (
            "/mozilla.org/20070129_1/Europe/Berlin",
            "W. Europe Standard Time",
        ),
        ("Eastern Standard Time", "Eastern Standard Time"),
        ("Home", "Tokyo Standard Time"),
        ("Nine", "Tokyo Standard Time"),
        // The first that has these rules.
        ("(UTC+01:00) Amsterdam", "Central Europe Standard Time"),
    ] {
        let text = format!(
            "BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:Home\nX-LIC-LOCATION:Asia/Tokyo\nEND:VTIMEZONE\n\
             BEGIN:VTIMEZONE\nTZID:Nine\nBEGIN:STANDARD\nTZOFFSETTO:+0900\nEND:STANDARD\nEND:VTIMEZONE\n\
             BEGIN:VTIMEZONE\nTZID:(UTC+01:00) Amsterdam\nBEGIN:STANDARD\nDTSTART:16011028T030000\n\
             RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nEND:STANDARD\n\
             BEGIN:DAYLIGHT\nDTSTART:16010325T020000\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\n\
             TZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nEND:DAYLIGHT\nEND:VTIMEZONE\n\
             BEGIN:VEVENT\nDTSTART;TZID=\"{tzid}\":20260302T080000\nDURATION:PT1H\nEND:VEVENT\nEND:VCALENDAR"
        );
        let event = read(text.as_bytes()).unwrap().event;
        assert_eq!(event["start"]["timeZone"], expected, "{tzid}");
        assert_eq!(event["end"]["dateTime"], "2026-03-02T09:00:00.0000000");
    }
}

// The cases of others.

fn shared(dir: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TENANTFS_CORPUS").map(|c| PathBuf::from(c).join(".."));
    let root = root.or_else(|| {
        let above = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        above
            .map(|dir| dir.join("../shared"))
            .find(|dir| dir.is_dir())
    });
    let found = root.map(|root| root.join(dir)).filter(|dir| dir.is_dir());
    if found.is_none() {
        assert!(!std::env::var("CI").is_ok_and(|v| v == "true"), "no {dir}");
        println!("skipped: {dir} is not here");
    }
    found
}

fn files(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn cases_checked_against_a_real_tenant_hold() {
    let Some(dir) = shared("graph/pim-fixtures/events") else {
        return;
    };
    let cases = files(&dir);
    assert_eq!(cases.len(), 12);
    for path in cases {
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let item = case["item"].as_array().map(|lines| {
            let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
            lines.join("\r\n")
        });
        if case["direction"] != "write" {
            let made = from_json(&case["graph"], &[]);
            match &item {
                None => assert_eq!(made, None, "{name}"),
                Some(item) => means(&name, item, &made.unwrap()),
            }
        }
        if case["direction"] != "read" {
            let event = read(item.unwrap().as_bytes()).unwrap().event;
            holds(&name, &case["expect_write"], &event);
            for absent in case["expect_absent"].as_array().into_iter().flatten() {
                assert!(event.get(absent.as_str().unwrap()).is_none(), "{name}");
            }
        }
    }
}

fn the_event(bytes: &[u8]) -> Component {
    let calendar = parse(bytes).unwrap().remove(0);
    calendar
        .children
        .into_iter()
        .find(|c| c.name == "VEVENT")
        .unwrap()
}

/// Every property of the expected text is there, and says the same.
fn means(name: &str, expected: &str, made: &[u8]) {
    let (expected, made) = (the_event(expected.as_bytes()), the_event(made));
    for line in &expected.lines {
        let same = |other: &&Line| match line.name.as_str() {
            "RRULE" => {
                let start = parse_start(&expected);
                let days = |line: &Line| -> Vec<_> {
                    let rule = Rule::from_ics(&line.value, &start).unwrap();
                    rule.dates(start.date()).take(100).collect()
                };
                days(line) == days(other)
            }
            _ => {
                line.value == other.value
                    && line
                        .params
                        .iter()
                        .all(|(name, _)| line.param(name) == other.param(name))
            }
        };
        assert!(
            made.all(&line.name).any(|l| same(&l)),
            "{name}: {line:?}\n{made:?}"
        );
    }
}

fn parse_start(event: &Component) -> time::When {
    let line = event.get("DTSTART").unwrap();
    match time::parse_day(&line.value) {
        Some(day) => time::When::Day(day),
        None => time::When::At {
            local: time::parse_clock(&line.value).unwrap().0,
            zone: Zone::utc(),
        },
    }
}

/// Everything expected is in what was made; times may be told in another zone.
fn holds(name: &str, expected: &Value, made: &Value) {
    match expected {
        Value::Object(properties) if properties.contains_key("timeZone") => {
            let instant = |v: &Value| {
                let zone = Zone::find(v["timeZone"].as_str().unwrap()).unwrap();
                zone.instant(v["dateTime"].as_str().unwrap().parse().unwrap())
            };
            assert_eq!(instant(expected), instant(made), "{name}");
        }
        Value::Object(properties) => {
            for (key, value) in properties {
                holds(&format!("{name}.{key}"), value, &made[key]);
            }
        }
        _ => assert_eq!(expected, made, "{name}"),
    }
}

/// Each event of a file as a file of its own.
fn split(roots: &[Component]) -> Vec<Vec<u8>> {
    fn write(out: &mut String, component: &Component) {
        out.push_str(&format!("BEGIN:{}\n", component.name));
        for line in &component.lines {
            out.push_str(&line.name);
            for (name, values) in &line.params {
                let values: Vec<String> = values
                    .iter()
                    .map(|v| format!("\"{}\"", v.replace('"', "^'").replace('\n', "^n")))
                    .collect();
                out.push_str(&format!(";{name}={}", values.join(",")));
            }
            out.push_str(&format!(":{}\n", line.value));
        }
        for child in &component.children {
            write(out, child);
        }
        out.push_str(&format!("END:{}\n", component.name));
    }
    let mut all = Vec::new();
    for root in roots.iter().filter(|root| root.name == "VCALENDAR") {
        let (events, others): (Vec<_>, Vec<_>) =
            root.children.iter().partition(|c| c.name == "VEVENT");
        let mut by_uid: BTreeMap<String, Vec<Component>> = BTreeMap::new();
        for (n, event) in events.into_iter().enumerate() {
            let uid = event.text("UID").unwrap_or_else(|| format!("#{n}"));
            by_uid.entry(uid).or_default().push(event.clone());
        }
        for events in by_uid.into_values() {
            let zones = others
                .iter()
                .filter(|c| c.name == "VTIMEZONE")
                .map(|c| (*c).clone());
            let calendar = Component {
                children: zones.chain(events).collect(),
                ..root.clone()
            };
            let mut out = String::new();
            write(&mut out, &calendar);
            all.push(out.into_bytes());
        }
    }
    all
}

/// What Graph would tell of an event that was created from a file.
fn created(foreign: &Foreign) -> Value {
    let mut record = foreign.event.clone();
    record["id"] = json!("id");
    let zoned = |event: &mut Value| {
        event["originalStartTimeZone"] = event["start"]["timeZone"].clone();
        event["originalEndTimeZone"] = event["end"]["timeZone"].clone();
    };
    zoned(&mut record);
    let Some(series) = Series::of(&foreign.event) else {
        return record;
    };
    record["cancelledOccurrences"] = foreign
        .cancelled
        .iter()
        .map(|day| json!(format!("OID.id.{day}")))
        .collect();
    record["exceptionOccurrences"] = foreign
        .exceptions
        .iter()
        .map(|exception| {
            let mut event = exception.event.clone();
            zoned(&mut event);
            event["originalStart"] = json!(series.start_on(exception.day).unwrap().to_string());
            event
        })
        .collect();
    record
}

#[test]
fn every_event_of_the_corpus_comes_back_or_is_refused() {
    let Some(dir) = shared("corpus/ics") else {
        return;
    };
    let (mut kept, mut refused) = (0, BTreeMap::<String, usize>::new());
    for path in files(&dir) {
        let bytes = std::fs::read(&path).unwrap();
        let roots = match parse(&bytes) {
            Ok(roots) => roots,
            Err(e) => {
                *refused.entry(format!("(file) {}", short(&e))).or_default() += 1;
                continue;
            }
        };
        for one in split(&roots) {
            let foreign = match read(&one) {
                Ok(foreign) => foreign,
                Err(e) => {
                    *refused.entry(short(&e)).or_default() += 1;
                    continue;
                }
            };
            let record = created(&foreign);
            let files: Vec<Vec<Attachment>> = std::iter::once(foreign.attachments.clone())
                .chain(foreign.exceptions.iter().map(|e| e.attachments.clone()))
                .collect();
            let out = from_json(&record, &files).unwrap();
            let again = read(&out).unwrap_or_else(|e| {
                panic!("{}: {e}\n{}", path.display(), String::from_utf8_lossy(&out))
            });
            let differences = differences(&essence(&again), &essence(&foreign));
            assert!(
                differences.is_empty(),
                "{}: {differences:#?}",
                path.display()
            );
            kept += 1;
        }
    }
    println!("{kept} events kept; refused: {refused:#?}");
    let refused: usize = refused.values().sum();
    assert!(kept > 8_000, "{kept} kept");
    assert!(refused * 5 < kept, "{refused} refused, {kept} kept");
}

/// What is not the same, in short.
fn differences(made: &[Essence], expected: &[Essence]) -> Vec<String> {
    let mut out = Vec::new();
    if made.len() != expected.len() {
        out.push(format!("{} parts, not {}", made.len(), expected.len()));
    }
    for (a, b) in made.iter().zip(expected) {
        if (a.0, a.2) != (b.0, b.2) {
            out.push(format!("{:?}, not {:?}", (a.0, a.2), (b.0, b.2)));
        }
        let names: BTreeSet<&String> = [&a.1, &b.1]
            .iter()
            .filter_map(|v| v.as_object())
            .flatten()
            .map(|(name, _)| name)
            .collect();
        for name in names.into_iter().filter(|name| a.1[*name] != b.1[*name]) {
            let short = |v: &Value| v.to_string().chars().take(300).collect::<String>();
            out.push(format!(
                "{name}: {} not {}",
                short(&a.1[name]),
                short(&b.1[name])
            ));
        }
    }
    out
}

fn short(e: &Refusal) -> String {
    let text = e.to_string();
    text.split(['"', '='])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_ascii_digit())
        .collect()
}

/// Day of an exception, the event, its attachments.
type Essence = (Option<Date>, Value, usize);

/// What must survive: all but what has no form of its own in a calendar file.
fn essence(foreign: &Foreign) -> Vec<Essence> {
    let clean = |event: &Value| {
        let mut event = event.clone();
        for name in ["attendees", "organizer", "locations"] {
            if let Some(event) = event.as_object_mut() {
                event.remove(name);
            }
        }
        // Line breaks have one form.
        if let Some(content) = event["body"]["content"].as_str() {
            event["body"]["content"] = json!(content.replace('\r', ""));
        }
        event
    };
    let mut all = vec![(None, clean(&foreign.event), foreign.attachments.len())];
    all.extend(
        foreign
            .exceptions
            .iter()
            .map(|e| (Some(e.day), clean(&e.event), e.attachments.len())),
    );
    let cancelled: BTreeSet<Date> = foreign.cancelled.iter().copied().collect();
    all.extend(cancelled.into_iter().map(|day| (Some(day), Value::Null, 0)));
    all
}

#[test]
fn another_parser_reads_what_is_written() {
    let file = Attachment {
        name: "a.bin".into(),
        content_type: None,
        content_id: None,
        inline: false,
        body: Body::File((0..=255).collect()),
    };
    let bytes = from_json(&stand_up(), &[vec![file]]).unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    let calendar = calcard::icalendar::ICalendar::parse(text).unwrap();
    let kinds: Vec<String> = calendar
        .components
        .iter()
        .map(|c| format!("{:?}", c.component_type))
        .collect();
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "VEvent").count(),
        2,
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "VTimezone").count(),
        2,
        "{kinds:?}"
    );
    assert!(text.replace("\r\n ", "").contains(
        &base64::engine::general_purpose::STANDARD.encode((0..=255).collect::<Vec<u8>>())
    ));
    let mut lines = Lines::default();
    lines.begin("VCALENDAR");
    assert!(read(&lines.finish()).is_err());
}

#[test]
fn an_all_day_event_may_be_told_as_times() {
    let file = |start: &str, end: &str, more: &str| {
        let text = format!(
            "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:a\nDTSTART;TZID=Europe/Berlin:{start}\n\
             DTEND;TZID=Europe/Berlin:{end}\nX-MICROSOFT-CDO-ALLDAYEVENT:TRUE\n{more}END:VEVENT\nEND:VCALENDAR\n"
        );
        read(text.as_bytes()).unwrap()
    };
    let read = file("20260701T000000", "20260703T000000", "");
    assert_eq!(read.event["isAllDay"], true);
    assert_eq!(read.event["start"], at("2026-07-01T00:00:00"));
    assert_eq!(read.event["end"], at("2026-07-03T00:00:00"));
    // Its rule and its days go by the times: these are the second and the fourth of July.
    let series = "RRULE:FREQ=DAILY;UNTIL=20260703T220000Z\nEXDATE:20260701T220000Z\n";
    let read = file("20260701T000000", "20260702T000000", series);
    assert_eq!(read.event["recurrence"]["range"]["endDate"], "2026-07-04");
    assert_eq!(read.cancelled, [date(2026, 7, 2)]);
    // Not a day, whatever it says.
    let read = file("20260701T090000", "20260702T000000", "");
    assert_eq!(read.event["isAllDay"], false);
}

#[test]
fn a_series_in_a_zone_without_a_name_keeps_its_days() {
    let mut series = stand_up();
    for name in ["originalStartTimeZone", "originalEndTimeZone"] {
        series[name] = json!("tzone://Microsoft/Custom");
    }
    series["recurrence"]["range"]["recurrenceTimeZone"] = json!("tzone://Microsoft/Custom");
    series["start"] = at("2026-03-15T23:00:00");
    series["end"] = at("2026-03-15T23:15:00");
    series["exceptionOccurrences"][0]["originalStart"] = json!("2026-03-22T23:00:00Z");
    let out = unfolded(&series);
    for line in [
        "DTSTART:20260315T230000Z",
        "RRULE:FREQ=WEEKLY;COUNT=10;BYDAY=SU;WKST=SA",
        "EXDATE:20260329T230000Z",
        "RECURRENCE-ID:20260322T230000Z",
    ] {
        assert!(out.lines().any(|l| l == line), "{line}\n{out}");
    }
    assert!(!out.contains("COMMENT"));
    // So it is restored, too.
    let restored = Series::of(&series).unwrap();
    let recurrence = restored.recurrence();
    assert_eq!(recurrence["pattern"]["daysOfWeek"], json!(["sunday"]));
    assert_eq!(recurrence["range"]["startDate"], "2026-03-15");
    let cancelled = restored.cancelled(&series["cancelledOccurrences"][0]);
    assert_eq!(cancelled, Some(date(2026, 3, 29)));
    // No rule says "the day before the third Monday".
    series["recurrence"]["pattern"] = json!({
        "type": "relativeMonthly", "interval": 1, "daysOfWeek": ["monday"], "index": "third",
    });
    let out = unfolded(&series);
    assert!(
        out.contains("\nCOMMENT:The time zone of this series has no name."),
        "{out}"
    );
    assert!(out.lines().any(|l| l == "EXDATE:20260330T230000Z"), "{out}");
}
