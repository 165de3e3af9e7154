use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::format::corpus;

fn whole() -> Value {
    let utc = |time: &str| json!({ "dateTime": format!("{time}.0000000"), "timeZone": "UTC" });
    json!({
        "@odata.etag": "W/\"1\"", "id": "AAMk=", "title": "Pay; rent, \"now\"",
        "body": { "contentType": "html", "content": "<p>one<br>two &amp; three</p>" },
        "status": "waitingOnOthers", "importance": "high", "categories": ["A,b", "C"],
        "createdDateTime": "2026-01-05T10:00:00.1230000Z", "lastModifiedDateTime": "2026-01-06T10:00:00Z",
        "isReminderOn": true, "reminderDateTime": utc("2026-07-01T09:00:00"), "hasAttachments": true,
        "startDateTime": { "dateTime": "2026-07-10T08:00:00.0000000", "timeZone": "W. Europe Standard Time" },
        "dueDateTime": { "dateTime": "2026-07-10T12:00:00.0000000", "timeZone": "W. Europe Standard Time" },
        "recurrence": { "pattern": { "type": "weekly", "interval": 2, "month": 0, "dayOfMonth": 0,
                "daysOfWeek": ["friday"], "firstDayOfWeek": "sunday", "index": "first" },
            "range": { "type": "numbered", "startDate": "2026-07-10", "endDate": "0001-01-01",
                "recurrenceTimeZone": "UTC", "numberOfOccurrences": 5 } },
        "checklistItems": [
            { "id": "s1", "displayName": "first", "isChecked": true, "createdDateTime": "2026-01-05T10:00:01Z",
              "checkedDateTime": "2026-01-05T11:00:00Z" },
            { "id": "s2", "displayName": "second\nline", "isChecked": false, "createdDateTime": "2026-01-05T10:00:02Z" }],
        "linkedResources": [
            { "id": "l1", "webUrl": "https://x.test/a,b;c", "applicationName": "App \"x\"", "displayName": "Order 5", "externalId": "e:1" },
            { "id": "l2", "displayName": "no link", "webUrl": null }],
    })
}

fn files() -> Vec<File> {
    vec![
        File {
            name: "ö;1.txt".into(),
            content_type: Some("text/plain".into()),
            bytes: b"hello".repeat(50),
        },
        File {
            name: "empty".into(),
            content_type: None,
            bytes: Vec::new(),
        },
    ]
}

#[test]
fn a_whole_task_survives_its_own_file() {
    let bytes = write(&whole(), &files());
    assert_eq!(bytes, write(&whole(), &files()));
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.lines().all(|line| line.len() <= 75), "{text}");
    for line in [
        "BEGIN:VTIMEZONE\r\n",
        "DUE;TZID=Europe/Berlin:20260710T120000\r\n",
        "DTSTAMP:20260106T100000Z\r\n",
        "CREATED:20260105T100000Z\r\n",
        "PRIORITY:1\r\n",
        "TRIGGER;VALUE=DATE-TIME:20260701T090000Z\r\n",
        "RELATED-TO;RELTYPE=PARENT:AAMk=\r\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let back = read(&bytes).unwrap();
    assert_eq!(back.notes, Vec::<String>::new());
    assert_eq!(back.json["title"], whole()["title"]);
    assert_eq!(back.json["body"], whole()["body"]);
    assert_eq!(back.json["status"], "waitingOnOthers");
    assert_eq!(back.json["importance"], "high");
    assert_eq!(back.json["categories"], whole()["categories"]);
    assert_eq!(back.json["reminderDateTime"], whole()["reminderDateTime"]);
    assert_eq!(
        back.json["dueDateTime"]["dateTime"],
        "2026-07-10T10:00:00.0000000"
    );
    let series = &back.json["recurrence"];
    assert_eq!(series["pattern"]["daysOfWeek"], json!(["friday"]));
    assert_eq!(series["range"]["startDate"], "2026-07-10");
    assert_eq!(series["range"]["numberOfOccurrences"], 5);
    assert_eq!(back.steps.len(), 2);
    assert_eq!(back.steps[0]["isChecked"], true);
    assert_eq!(back.steps[1]["displayName"], "second\nline");
    let mut link = whole()["linkedResources"][0].clone();
    link.as_object_mut().unwrap().remove("id");
    assert_eq!(back.links, [link, json!({ "displayName": "no link" })]);
    assert_eq!(back.files[0], files()[0]);
    assert_eq!(back.files[1].bytes, b"");
}

#[test]
fn almost_nothing_is_a_task_too() {
    for task in [
        json!({}),
        json!(null),
        json!({ "dueDateTime": "soon", "recurrence": 5 }),
    ] {
        let text = String::from_utf8(write(&task, &[])).unwrap();
        assert!(text.contains("DTSTAMP:19700101T000000Z\r\n"), "{text}");
        assert_eq!(read(text.as_bytes()).unwrap().json["status"], "notStarted");
    }
}

#[test]
fn one_task_is_read_and_others_are_refused() {
    let todo =
        |uid: &str, more: &str| format!("BEGIN:VTODO\nUID:{uid}\nSUMMARY:{uid}\n{more}END:VTODO\n");
    let file = |inside: &str| format!("BEGIN:VCALENDAR\nVERSION:2.0\n{inside}END:VCALENDAR\n");
    let several = read(file(&(todo("a", "") + &todo("b", ""))).as_bytes()).unwrap_err();
    assert!(several.to_string().contains("split"), "{several}");
    let event = file("BEGIN:VEVENT\nEND:VEVENT\n");
    assert!(
        read(event.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("Calendar")
    );
    assert!(matches!(read(file("").as_bytes()), Err(Refused::NoTask)));
    assert!(matches!(read(b"hello"), Err(Refused::Syntax(_))));
    let family =
        file(&(todo("a", "") + &todo("b", "RELATED-TO:a\n") + &todo("c", "RELATED-TO:b\n")));
    assert_eq!(read(family.as_bytes()).unwrap().steps.len(), 2);
}

#[test]
fn what_has_no_place_is_named() {
    let text = "BEGIN:VCALENDAR\nBEGIN:VTODO\nSUMMARY:A\nDUE;TZID=Nowhere/Town:20260710T100000\n\
        RRULE:FREQ=HOURLY\nLOCATION:Here\nX-APPLE-SORT-ORDER:5\nATTACH:https://x.test/f\nSTATUS:CANCELLED\n\
        BEGIN:VALARM\nTRIGGER:-P1D\nEND:VALARM\nBEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM\n\
        END:VTODO\nEND:VCALENDAR\n";
    let task = read(text.as_bytes()).unwrap();
    let notes = task.notes.join("\n");
    for what in [
        "the time zone Nowhere/Town is unknown",
        "the recurrence (FREQ=HOURLY) is not restored",
        "the property LOCATION (Here)",
        "a cancelled task",
        "a second reminder (-PT5M)",
    ] {
        assert!(notes.contains(what), "{what}: {notes}");
    }
    assert_eq!(task.notes.len(), 5, "{notes}");
    assert_eq!(
        task.json["reminderDateTime"]["dateTime"],
        "2026-07-09T10:00:00.0000000"
    );
    assert_eq!(task.links[0]["webUrl"], "https://x.test/f");
}

/// Cases that their author checked against a real tenant. Compared by meaning: both files are read.
#[test]
fn the_fixtures_of_another_mapping_hold() {
    let Some(root) = corpus::root() else {
        return;
    };
    let dir = root.join("../graph/pim-fixtures/todos");
    if !dir.is_dir() {
        return;
    }
    let mut seen = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.display();
        let lines: Vec<&str> = case["item"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l.as_str().unwrap())
            .collect();
        let theirs = read(lines.join("\r\n").as_bytes()).unwrap();
        if case["direction"] != "write" {
            assert_eq!(read(&write(&case["graph"], &[])).unwrap(), theirs, "{name}");
        }
        for (property, value) in case["expect_write"].as_object().into_iter().flatten() {
            assert!(
                covers(&theirs.json[property], value),
                "{property} of {name}: {}",
                theirs.json
            );
        }
        for absent in case["expect_absent"].as_array().into_iter().flatten() {
            assert!(
                theirs.json.get(absent.as_str().unwrap()).is_none(),
                "{absent} of {name}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 10);
}

/// Whether all of `part` is in `whole`.
fn covers(whole: &Value, part: &Value) -> bool {
    match part.as_object() {
        Some(part) => part.iter().all(|(name, value)| covers(&whole[name], value)),
        None => whole == part,
    }
}

#[test]
fn zones_are_found_as_those_of_events() {
    let due = |calendar: &str, lines: &str| {
        let text = format!(
            "BEGIN:VCALENDAR\nVERSION:2.0\n{calendar}BEGIN:VTODO\nSUMMARY:A\n{lines}END:VTODO\nEND:VCALENDAR\n"
        );
        let task = read(text.as_bytes()).unwrap();
        assert_eq!(task.notes, [""; 0]);
        task.json["dueDateTime"]["dateTime"].clone()
    };
    let defined = |id: &str, more: &str| {
        format!(
            "BEGIN:VTIMEZONE\nTZID:{id}\n{more}BEGIN:DAYLIGHT\nDTSTART:19700329T020000\n\
             RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nEND:DAYLIGHT\n\
             BEGIN:STANDARD\nDTSTART:19701025T030000\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\n\
             TZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nEND:STANDARD\nEND:VTIMEZONE\n"
        )
    };
    let eight = "2026-07-10T08:00:00.0000000";
    let long = "/freeassociation.sourceforge.net/Tzfile/Europe/Berlin";
    assert_eq!(
        due("", &format!("DUE;TZID={long}:20260710T100000\n")),
        eight
    );
    let mine = "DUE;TZID=Mine:20260710T100000\n";
    assert_eq!(due(&defined("Mine", ""), mine), eight);
    let named = defined("Mine", "X-LIC-LOCATION:Europe/Berlin\n");
    assert_eq!(due(&named, mine), eight);
    // Without a zone: that of the other time, that of the calendar, or none.
    let start = "DTSTART;TZID=Europe/Berlin:20260709T100000\n";
    assert_eq!(due("", &format!("DUE:20260710T100000\n{start}")), eight);
    assert_eq!(
        due("X-WR-TIMEZONE:Europe/Berlin\n", "DUE:20260710T100000\n"),
        eight
    );
    assert_eq!(due("", "DUE:20260710T080000\n"), eight);
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(lines in prop::collection::vec("[A-Z-]{1,12}(;[A-Z-]{1,9}=[a-zA-Z/]{0,9})?:[ -~]{0,20}", 0..9)) {
        let text = format!("BEGIN:VTODO\nDTSTART:20260101\n{}\nEND:VTODO\n", lines.join("\n"));
        let _ = read(text.as_bytes());
    }

    #[test]
    fn times_are_read_or_not(value in "[0-9TZ-]{0,18}", rule in "(FREQ=[A-Z]{5,7};)?[A-Z]{2,9}=[-0-9A-Z,]{0,9}") {
        let text = format!("BEGIN:VTODO\nDUE:{value}\nRRULE:{rule}\nBEGIN:VALARM\nTRIGGER:{value}\nEND:VALARM\nEND:VTODO\n");
        let _ = read(text.as_bytes());
    }

    #[test]
    fn no_text_leaves_its_property(text in "\\PC*|[\u{0}-\u{1f};,:\\\\nN\"^A-C]*") {
        let task = json!({
            "id": text, "title": text, "body": { "content": text }, "categories": [text],
            "linkedResources": [{ "webUrl": text, "displayName": text }], "status": text,
            "dueDateTime": { "dateTime": "2026-01-01T10:00:00", "timeZone": text },
        });
        let file = File { name: text.clone(), content_type: Some(text.clone()), bytes: vec![1] };
        let bytes = write(&task, &[file]);
        let written = String::from_utf8(bytes.clone()).unwrap();
        prop_assert_eq!(written.matches("END:VTODO\r\n").count(), 1, "{}", written);
        prop_assert!(read(&bytes).is_ok());
    }
}
