//! Calendars made of `.ics` files: what Graph can hold arrives, what it cannot is counted.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, Graph, id, starts};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("work")).unwrap();
    for (name, events) in files {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{}END:VCALENDAR\r\n",
            events.replace('\n', "\r\n")
        );
        std::fs::write(dir.path().join("work").join(name), text).unwrap();
    }
    dir
}

async fn calendar(graph: &Graph, user: &str, name: &str) -> Value {
    let all = graph.ok(&format!("{user}/calendars?$top=100")).await;
    let all = all["value"].as_array().unwrap();
    all.iter()
        .find(|c| c["name"] == name)
        .unwrap_or_else(|| panic!("{name}"))
        .clone()
}

#[tokio::test]
async fn events_arrive_with_all_that_graph_can_hold() {
    let dir = folder(&[
        (
            "series.ics",
            "BEGIN:VEVENT\nUID:s1\nSUMMARY:Stand-up\nDTSTART;TZID=Europe/Berlin:20261019T090000\nDTEND;TZID=Europe/Berlin:20261019T091500\nRRULE:FREQ=WEEKLY;COUNT=4\nEXDATE;TZID=Europe/Berlin:20261102T090000\nCLASS:PRIVATE\nCATEGORIES:Red,Blue\nATTENDEE;CN=Bo;PARTSTAT=ACCEPTED;ROLE=OPT-PARTICIPANT:mailto:bo@x.test\nORGANIZER;CN=Eve:mailto:eve@x.test\nBEGIN:VALARM\nACTION:DISPLAY\nTRIGGER:-PT10M\nEND:VALARM\nEND:VEVENT\nBEGIN:VEVENT\nUID:s1\nRECURRENCE-ID;TZID=Europe/Berlin:20261026T090000\nSUMMARY:Stand-up (late)\nDTSTART;TZID=Europe/Berlin:20261026T110000\nDTEND;TZID=Europe/Berlin:20261026T111500\nEND:VEVENT\n",
        ),
        (
            "allday.ics",
            "BEGIN:VEVENT\nUID:a1\nSUMMARY:Off\nDTSTART;VALUE=DATE:20260710\nDTEND;VALUE=DATE:20260712\nTRANSP:TRANSPARENT\nEND:VEVENT\n",
        ),
        (
            "month.ics",
            "BEGIN:VEVENT\nUID:m1\nSUMMARY:End of month\nDTSTART:20260131T100000Z\nDURATION:PT1H\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1;UNTIL=20260531T100000Z\nATTACH;FMTTYPE=text/plain;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=n.txt:aGkh\nEND:VEVENT\n",
        ),
        (
            "left.ics",
            "BEGIN:VEVENT\nUID:l1\nDTSTART:20260131T100000Z\nRRULE:FREQ=MONTHLY\nEND:VEVENT\nBEGIN:VEVENT\nUID:l2\nDTSTART:20260131T100000Z\nRRULE:FREQ=HOURLY\nEND:VEVENT\nBEGIN:VEVENT\nUID:l3\nDTSTART:20260131T100000Z\nRDATE:20260201T100000Z\nEND:VEVENT\nBEGIN:VTODO\nUID:t1\nSUMMARY:Not an event\nEND:VTODO\n",
        ),
    ]);
    let graph = Graph::with(|o| o.import_ics = vec![dir.path().to_owned()]);
    let work = calendar(&graph, ALICE, "work").await;
    let events = format!(
        "{ALICE}/calendars/{}/events?$top=50&$orderby=subject&$expand=exceptionOccurrences",
        id(&work)
    );
    let all = graph.ok(&events).await["value"].as_array().unwrap().clone();
    let subjects: Vec<&str> = all.iter().map(|e| e["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["End of month", "Off", "Stand-up"]);
    let (month, off, standup) = (&all[0], &all[1], &all[2]);

    assert_eq!(standup["iCalUId"], "s1");
    assert_eq!(standup["originalStartTimeZone"], "W. Europe Standard Time");
    assert_eq!(
        (&standup["sensitivity"], &standup["categories"]),
        (&json!("private"), &json!(["Red", "Blue"]))
    );
    assert_eq!(
        (
            &standup["isReminderOn"],
            &standup["reminderMinutesBeforeStart"]
        ),
        (&json!(true), &json!(10))
    );
    assert_eq!(
        (
            &standup["isOrganizer"],
            &standup["organizer"]["emailAddress"]["address"]
        ),
        (&json!(false), &json!("eve@x.test"))
    );
    assert_eq!(
        (
            &standup["attendees"][0]["status"]["response"],
            &standup["attendees"][0]["type"]
        ),
        (&json!("accepted"), &json!("optional"))
    );
    assert_eq!(
        standup["exceptionOccurrences"][0]["subject"],
        "Stand-up (late)"
    );
    let days = graph.ok(&format!("{ALICE}/events/{}/instances?startDateTime=2026-10-01T00:00:00Z&endDateTime=2027-01-01T00:00:00Z", id(standup))).await;
    assert_eq!(
        starts(days["value"].as_array().unwrap()),
        ["2026-10-19T07:00", "2026-10-26T10:00", "2026-11-09T08:00"]
    );

    assert_eq!(
        (&off["isAllDay"], &off["showAs"]),
        (&json!(true), &json!("free"))
    );
    assert_eq!(off["end"]["dateTime"], "2026-07-12T00:00:00.0000000");
    assert_eq!(month["recurrence"]["pattern"]["dayOfMonth"], 31);
    assert_eq!(month["hasAttachments"], true);
    let files = graph
        .ok(&format!("{ALICE}/events/{}/attachments", id(month)))
        .await;
    let file = &files["value"][0];
    assert_eq!(
        (&file["name"], &file["contentType"], &file["contentBytes"]),
        (&json!("n.txt"), &json!("text/plain"), &json!("aGkh"))
    );
    let days = graph.ok(&format!("{ALICE}/events/{}/instances?startDateTime=2026-01-01T00:00:00Z&endDateTime=2027-01-01T00:00:00Z", id(month))).await;
    assert_eq!(
        starts(days["value"].as_array().unwrap()).last().unwrap(),
        "2026-05-31T10:00"
    );

    let imports = graph.control(Method::GET, "imports").await["value"][0].clone();
    assert_eq!(
        (
            &imports["events"],
            &imports["exceptions"],
            &imports["cancelled"]
        ),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!(
        imports["left_out"].as_array().unwrap().len(),
        3,
        "{imports}"
    );
    graph.finish();
}

/// The folder of real calendars, where it is.
fn corpus() -> Option<PathBuf> {
    let found = |base: &Path| Some(base.join("ics")).filter(|p| p.is_dir());
    if let Some(corpus) = std::env::var_os("TENANTFS_CORPUS")
        && let Some(found) = found(Path::new(&corpus))
    {
        return Some(found);
    }
    let mut up = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    up.find_map(|up| found(&up.join("shared/corpus")))
}

#[tokio::test]
async fn real_calendars_are_taken_in_and_shown() {
    let Some(corpus) = corpus() else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the corpus is not here"
        );
        eprintln!("skipped: the corpus is not here");
        return;
    };
    let graph = Graph::with(|o| o.import_ics = vec![corpus.clone()]);
    let imports = graph.control(Method::GET, "imports").await["value"]
        .as_array()
        .unwrap()
        .clone();
    let folders = std::fs::read_dir(&corpus)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().path().is_dir())
        .count();
    assert_eq!(imports.len(), folders);
    let (mut taken, mut exceptions, mut cancelled) = (0, 0, 0);
    for import in &imports {
        taken += import["events"].as_u64().unwrap();
        exceptions += import["exceptions"].as_u64().unwrap();
        cancelled += import["cancelled"].as_u64().unwrap();
        let user = format!("/v1.0/users/{}", import["user"].as_str().unwrap());
        let one = calendar(&graph, &user, import["folder"].as_str().unwrap()).await;
        let path = format!(
            "{user}/calendars/{}/events?$top=999&$expand=exceptionOccurrences",
            id(&one)
        );
        let (all, _) = graph.all(&path, &[]).await;
        assert_eq!(
            all.len() as u64,
            import["events"].as_u64().unwrap(),
            "{import}"
        );
        let told: usize = all
            .iter()
            .filter_map(|e| e["exceptionOccurrences"].as_array())
            .map(Vec::len)
            .sum();
        assert_eq!(told as u64, import["exceptions"].as_u64().unwrap());
    }
    // 11,500 events, most of them in series of their own; the rest is told with its reason.
    assert!(taken > 8_000, "{taken}: {imports:?}");
    assert!(
        exceptions > 100 && cancelled > 50,
        "{exceptions} {cancelled}"
    );
    graph.finish();
}
