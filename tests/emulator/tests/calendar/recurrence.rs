//! Series: the days they fall on, exceptions, cancelled dates. Expected days were counted in a calendar.

use serde_json::{Value, json};

use super::{ALICE, Graph, IMMUTABLE, at, id, starts};

fn series(start: &str, minutes: u32, zone: &str, pattern: Value, range: Value) -> Value {
    let end = format!("{}:{minutes:02}:00", &start[..13]);
    json!({"subject": "Series", "start": at(start, zone), "end": at(&end, zone), "recurrence": {"pattern": pattern, "range": range}})
}

fn window(from: &str, to: &str) -> String {
    format!("startDateTime={from}T00:00:00Z&endDateTime={to}T00:00:00Z&$top=200")
}

async fn instances(graph: &Graph, master: &Value, from: &str, to: &str) -> Vec<Value> {
    let path = format!(
        "{ALICE}/events/{}/instances?{}",
        id(master),
        window(from, to)
    );
    graph.ok(&path).await["value"].as_array().unwrap().clone()
}

/// Days of the first occurrences of a series at 09:00 UTC that begins on `start`.
async fn days(graph: &Graph, start: &str, pattern: Value, range: Value) -> Vec<String> {
    let body = series(&format!("{start}T09:00:00"), 30, "UTC", pattern, range);
    let made = graph.event(body).await;
    assert_eq!(made["type"], "seriesMaster");
    let found = instances(graph, &made, "2020-01-01", "2032-01-01").await;
    starts(&found)
        .into_iter()
        .map(|s| s[..10].to_owned())
        .take(6)
        .collect()
}

#[tokio::test]
async fn every_pattern_falls_on_its_days() {
    let graph = Graph::new();
    let numbered = |n: u32| json!({"type": "numbered", "numberOfOccurrences": n});
    for (start, pattern, range, expected) in [
        // daily
        (
            "2026-02-26",
            json!({"type": "daily", "interval": 1}),
            numbered(4),
            vec!["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"],
        ),
        (
            "2026-02-26",
            json!({"type": "daily", "interval": 3}),
            json!({"type": "endDate", "endDate": "2026-03-07"}),
            vec!["2026-02-26", "2026-03-01", "2026-03-04", "2026-03-07"],
        ),
        // weekly
        (
            "2026-07-06",
            json!({"type": "weekly", "interval": 2, "daysOfWeek": ["wednesday", "monday"]}),
            numbered(5),
            vec![
                "2026-07-06",
                "2026-07-08",
                "2026-07-20",
                "2026-07-22",
                "2026-08-03",
            ],
        ),
        // A week that begins on Sunday, and one that begins on Monday: Sunday is in another one.
        (
            "2026-07-07",
            json!({"type": "weekly", "interval": 2, "daysOfWeek": ["tuesday", "sunday"], "firstDayOfWeek": "sunday"}),
            numbered(4),
            vec!["2026-07-07", "2026-07-19", "2026-07-21", "2026-08-02"],
        ),
        (
            "2026-07-07",
            json!({"type": "weekly", "interval": 2, "daysOfWeek": ["tuesday", "sunday"], "firstDayOfWeek": "monday"}),
            numbered(4),
            vec!["2026-07-07", "2026-07-12", "2026-07-21", "2026-07-26"],
        ),
        // The start is not a day of the pattern: the first day after it is the first.
        (
            "2026-07-07",
            json!({"type": "weekly", "interval": 1, "daysOfWeek": ["friday"]}),
            numbered(2),
            vec!["2026-07-10", "2026-07-17"],
        ),
        // absoluteMonthly: the 31st is the last day of shorter months
        (
            "2026-01-31",
            json!({"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}),
            numbered(6),
            vec![
                "2026-01-31",
                "2026-02-28",
                "2026-03-31",
                "2026-04-30",
                "2026-05-31",
                "2026-06-30",
            ],
        ),
        (
            "2026-01-15",
            json!({"type": "absoluteMonthly", "interval": 5, "dayOfMonth": 15}),
            numbered(3),
            vec!["2026-01-15", "2026-06-15", "2026-11-15"],
        ),
        // relativeMonthly
        (
            "2026-07-06",
            json!({"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["monday"], "index": "first"}),
            numbered(3),
            vec!["2026-07-06", "2026-08-03", "2026-09-07"],
        ),
        (
            "2026-07-31",
            json!({"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["friday"], "index": "last"}),
            numbered(3),
            vec!["2026-07-31", "2026-08-28", "2026-09-25"],
        ),
        (
            "2026-07-31",
            json!({"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"], "index": "last"}),
            numbered(3),
            vec!["2026-07-31", "2026-08-31", "2026-09-30"],
        ),
        (
            "2026-07-04",
            json!({"type": "relativeMonthly", "interval": 2, "daysOfWeek": ["saturday", "sunday"], "index": "second"}),
            numbered(3),
            vec!["2026-07-05", "2026-09-06", "2026-11-07"],
        ),
        // absoluteYearly: the 29th of February
        (
            "2024-02-29",
            json!({"type": "absoluteYearly", "interval": 1, "dayOfMonth": 29, "month": 2}),
            numbered(5),
            vec![
                "2024-02-29",
                "2025-02-28",
                "2026-02-28",
                "2027-02-28",
                "2028-02-29",
            ],
        ),
        (
            "2026-03-15",
            json!({"type": "absoluteYearly", "interval": 2, "dayOfMonth": 15, "month": 3}),
            json!({"type": "endDate", "endDate": "2030-03-14"}),
            vec!["2026-03-15", "2028-03-15"],
        ),
        // relativeYearly: the last Thursday of November
        (
            "2026-11-26",
            json!({"type": "relativeYearly", "interval": 1, "daysOfWeek": ["thursday"], "index": "last", "month": 11}),
            numbered(3),
            vec!["2026-11-26", "2027-11-25", "2028-11-30"],
        ),
        (
            "2026-11-26",
            json!({"type": "relativeYearly", "interval": 1, "daysOfWeek": ["thursday"], "index": "fourth", "month": 11}),
            json!({"type": "noEnd"}),
            vec![
                "2026-11-26",
                "2027-11-25",
                "2028-11-23",
                "2029-11-22",
                "2030-11-28",
                "2031-11-27",
            ],
        ),
    ] {
        assert_eq!(
            days(&graph, start, pattern.clone(), range.clone()).await,
            expected,
            "{pattern} {range}"
        );
    }
    graph.finish();
}

#[tokio::test]
async fn a_series_keeps_its_local_time_when_clocks_change() {
    let graph = Graph::new();
    let weekly = json!({"type": "weekly", "interval": 1, "daysOfWeek": ["monday"]});
    for (zone, expected) in [
        (
            "W. Europe Standard Time",
            ["2026-10-19T07:00", "2026-10-26T08:00", "2026-11-02T08:00"],
        ),
        (
            "America/New_York",
            ["2026-10-19T13:00", "2026-10-26T13:00", "2026-11-02T14:00"],
        ),
        (
            "India Standard Time",
            ["2026-10-19T03:30", "2026-10-26T03:30", "2026-11-02T03:30"],
        ),
    ] {
        let body = series(
            "2026-10-19T09:00:00",
            30,
            zone,
            weekly.clone(),
            json!({"type": "numbered", "numberOfOccurrences": 3}),
        );
        let made = graph.event(body).await;
        assert_eq!(
            starts(&instances(&graph, &made, "2026-10-01", "2026-12-01").await),
            expected,
            "{zone}"
        );
        let range = &made["recurrence"]["range"];
        assert_ne!(
            range["recurrenceTimeZone"], "America/New_York",
            "shown by its Windows name"
        );
        assert_eq!(
            (&range["startDate"], &range["endDate"]),
            (&json!("2026-10-19"), &json!("0001-01-01"))
        );
    }
    // Times in UTC, a rhythm in another zone.
    let mut body = series(
        "2026-10-19T07:00:00",
        30,
        "UTC",
        weekly,
        json!({"type": "numbered", "numberOfOccurrences": 2, "recurrenceTimeZone": "W. Europe Standard Time"}),
    );
    body["end"] = at("2026-10-19T07:30:00", "UTC");
    let made = graph.event(body).await;
    let found = instances(&graph, &made, "2026-10-01", "2026-12-01").await;
    assert_eq!(starts(&found), ["2026-10-19T07:00", "2026-10-26T08:00"]);
    assert_eq!(found[1]["end"]["dateTime"], "2026-10-26T08:30:00.0000000");
    graph.finish();
}

#[tokio::test]
async fn all_day_series_fall_on_their_own_days() {
    let graph = Graph::new();
    for (zone, original) in [
        ("Pacific Standard Time", "2026-09-04T07:00:00Z"),
        ("Tokyo Standard Time", "2026-09-03T15:00:00Z"),
    ] {
        let made = graph.event(json!({"subject": "Off", "isAllDay": true,
            "start": at("2026-09-04T00:00:00", zone), "end": at("2026-09-05T00:00:00", zone),
            "recurrence": {"pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["friday"]}, "range": {"type": "numbered", "numberOfOccurrences": 2}}})).await;
        let found = instances(&graph, &made, "2026-09-01", "2026-10-01").await;
        assert_eq!(
            starts(&found),
            ["2026-09-04T00:00", "2026-09-11T00:00"],
            "{zone}"
        );
        assert_eq!(found[0]["originalStart"], original);
        assert_eq!(made["recurrence"]["range"]["recurrenceTimeZone"], zone);
    }
    graph.finish();
}

async fn standup(graph: &Graph) -> Value {
    let pattern = json!({"type": "weekly", "interval": 1, "daysOfWeek": ["monday"]});
    let range = json!({"type": "numbered", "numberOfOccurrences": 5});
    graph
        .event(series(
            "2026-03-02T09:00:00",
            15,
            "W. Europe Standard Time",
            pattern,
            range,
        ))
        .await
}

#[tokio::test]
async fn a_changed_day_is_an_exception_and_a_deleted_one_is_cancelled() {
    let graph = Graph::new();
    let master = standup(&graph).await;
    let path = format!("{ALICE}/events/{}", id(&master));
    let found = instances(&graph, &master, "2026-03-01", "2026-05-01").await;
    assert_eq!(
        starts(&found),
        [
            "2026-03-02T08:00",
            "2026-03-09T08:00",
            "2026-03-16T08:00",
            "2026-03-23T08:00",
            "2026-03-30T07:00"
        ]
    );
    assert!(
        found
            .iter()
            .all(|o| o["type"] == "occurrence" && o["seriesMasterId"] == master["id"])
    );
    let uids: std::collections::BTreeSet<&str> = found
        .iter()
        .map(|o| o["iCalUId"].as_str().unwrap())
        .collect();
    assert_eq!(uids.len(), 5);

    // One day, found as a restore finds it.
    let day = instances(&graph, &master, "2026-03-09", "2026-03-10").await;
    assert_eq!(day.len(), 1);
    let (status, late) = graph.patch(&format!("{ALICE}/events/{}", id(&day[0])), json!({"subject": "Late",
        "start": at("2026-03-09T11:00:00", "W. Europe Standard Time"), "end": at("2026-03-09T11:30:00", "W. Europe Standard Time")})).await;
    assert_eq!((status, &late["type"]), (200, &json!("exception")));
    assert_eq!(late["id"], day[0]["id"]);
    assert_eq!(late["originalStart"], "2026-03-09T08:00:00Z");
    let changed = graph.ok(&path).await;
    assert_ne!(changed["changeKey"], master["changeKey"]);

    assert_eq!(
        graph
            .delete(&format!("{ALICE}/events/{}", id(&found[2])))
            .await,
        204
    );
    assert_eq!(
        graph
            .get(&format!("{ALICE}/events/{}", id(&found[2])))
            .await
            .0,
        404
    );
    let whole = graph
        .ok_with(
            &format!("{path}?$select=cancelledOccurrences,subject&$expand=exceptionOccurrences"),
            &[IMMUTABLE],
        )
        .await;
    assert_eq!(
        whole["cancelledOccurrences"],
        json!([format!("OID.{}.2026-03-16", id(&whole))])
    );
    let exceptions = whole["exceptionOccurrences"].as_array().unwrap();
    assert_eq!(exceptions.len(), 1);
    assert_eq!(
        (&exceptions[0]["subject"], &exceptions[0]["seriesMasterId"]),
        (&json!("Late"), &whole["id"])
    );
    assert_ne!(whole["changeKey"], changed["changeKey"]);
    let left = instances(&graph, &master, "2026-03-01", "2026-05-01").await;
    assert_eq!(
        starts(&left),
        [
            "2026-03-02T08:00",
            "2026-03-09T10:00",
            "2026-03-23T08:00",
            "2026-03-30T07:00"
        ]
    );
    let beta = graph
        .ok(&format!(
            "/beta/users/alice@contoso.com/events/{}",
            id(&late)
        ))
        .await;
    assert_eq!(
        beta["occurrenceId"],
        format!("OID.{}.2026-03-09", id(&master))
    );

    // Lists have masters, views what takes place.
    let list = graph.ok(&format!("{ALICE}/events")).await;
    assert_eq!(list["value"].as_array().unwrap().len(), 1);
    let view = graph
        .ok(&format!(
            "{ALICE}/calendar/calendarView?{}",
            window("2026-03-08", "2026-03-24")
        ))
        .await;
    let kinds: Vec<&str> = view["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["exception", "occurrence"]);

    // What the master changes, other days show; the exception keeps what it has of its own.
    assert_eq!(
        graph
            .patch(&path, json!({"subject": "Stand-up", "showAs": "free"}))
            .await
            .0,
        200
    );
    let left = instances(&graph, &master, "2026-03-01", "2026-05-01").await;
    assert_eq!(
        (&left[1]["subject"], &left[1]["showAs"]),
        (&json!("Late"), &json!("free"))
    );
    assert_eq!(left[2]["subject"], "Stand-up");
    graph.finish();
}

#[tokio::test]
async fn an_exception_cannot_cross_its_neighbours() {
    let graph = Graph::new();
    let master = standup(&graph).await;
    let found = instances(&graph, &master, "2026-03-01", "2026-05-01").await;
    let path = format!("{ALICE}/events/{}", id(&found[1]));
    for (day, fits) in [
        ("2026-03-16", false),
        ("2026-03-20", false),
        ("2026-03-02", false),
        ("2026-03-15", true),
        ("2026-03-03", true),
    ] {
        let body = json!({"start": at(&format!("{day}T09:00:00"), "UTC"), "end": at(&format!("{day}T10:00:00"), "UTC")});
        let (status, answer) = graph.patch(&path, body).await;
        assert_eq!(status == 200, fits, "{day}: {answer}");
        if !fits {
            assert_eq!(answer["error"]["code"], "ErrorOccurrenceCrossingBoundary");
        }
    }
    graph.finish();
}

#[tokio::test]
async fn a_new_rhythm_drops_exceptions() {
    let graph = Graph::new();
    let master = standup(&graph).await;
    let found = instances(&graph, &master, "2026-03-01", "2026-05-01").await;
    graph
        .patch(
            &format!("{ALICE}/events/{}", id(&found[1])),
            json!({"subject": "Late"}),
        )
        .await;
    graph
        .delete(&format!("{ALICE}/events/{}", id(&found[2])))
        .await;
    let path = format!("{ALICE}/events/{}", id(&master));
    let mut recurrence = master["recurrence"].clone();
    recurrence["pattern"]["interval"] = json!(2);
    let (status, changed) = graph.patch(&path, json!({"recurrence": recurrence})).await;
    assert_eq!(
        (status, &changed["recurrence"]["pattern"]["interval"]),
        (200, &json!(2))
    );
    let after = instances(&graph, &master, "2026-03-01", "2026-06-01").await;
    assert_eq!(
        starts(&after),
        [
            "2026-03-02T08:00",
            "2026-03-16T08:00",
            "2026-03-30T07:00",
            "2026-04-13T07:00",
            "2026-04-27T07:00"
        ]
    );
    assert!(after.iter().all(|o| o["type"] == "occurrence"));
    let (status, single) = graph.patch(&path, json!({"recurrence": null})).await;
    assert_eq!((status, &single["type"]), (200, &json!("singleInstance")));
    graph.finish();
}

#[tokio::test]
async fn what_is_no_recurrence_is_refused() {
    let graph = Graph::new();
    let end = json!({"type": "noEnd"});
    for (pattern, range) in [
        (json!({"type": "hourly", "interval": 1}), end.clone()),
        (json!({"type": "daily", "interval": 0}), end.clone()),
        (json!({"type": "weekly", "interval": 1}), end.clone()),
        (
            json!({"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 32}),
            end.clone(),
        ),
        (
            json!({"type": "absoluteYearly", "interval": 1, "dayOfMonth": 1}),
            end.clone(),
        ),
        (
            json!({"type": "daily", "interval": 1}),
            json!({"type": "endDate", "endDate": "2026-01-01"}),
        ),
        (
            json!({"type": "daily", "interval": 1}),
            json!({"type": "numbered", "numberOfOccurrences": 0}),
        ),
    ] {
        let body = series("2026-07-06T09:00:00", 30, "UTC", pattern.clone(), range);
        assert_eq!(
            graph.post(&format!("{ALICE}/events"), body).await.0,
            400,
            "{pattern}"
        );
    }
    let single = graph.event(json!({"subject": "x", "start": at("2026-07-10T09:00:00", "UTC"), "end": at("2026-07-10T10:00:00", "UTC")})).await;
    assert_eq!(
        graph
            .get(&format!(
                "{ALICE}/events/{}/instances?{}",
                id(&single),
                window("2026-01-01", "2027-01-01")
            ))
            .await
            .0,
        400
    );
    assert_eq!(
        graph
            .get(&format!("{ALICE}/events/{}/instances", id(&single)))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn attachments_of_one_day_are_its_own_once_they_change() {
    let graph = Graph::new();
    let master = standup(&graph).await;
    let file = |name: &str| json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": name, "contentBytes": "aGkh"});
    let of = |event: &Value| format!("{ALICE}/events/{}/attachments", id(event));
    assert_eq!(graph.post(&of(&master), file("all.txt")).await.0, 201);
    let found = instances(&graph, &master, "2026-03-01", "2026-05-01").await;
    let inherited = graph.ok(&of(&found[1])).await;
    assert_eq!(inherited["value"][0]["name"], "all.txt");
    assert_eq!(graph.post(&of(&found[1]), file("once.txt")).await.0, 201);
    assert_eq!(
        graph
            .delete(&format!("{}/{}", of(&found[1]), id(&inherited["value"][0])))
            .await,
        204
    );
    assert_eq!(
        graph.ok(&of(&found[1])).await["value"][0]["name"],
        "once.txt"
    );
    assert_eq!(
        graph.ok(&of(&found[2])).await["value"][0]["name"],
        "all.txt"
    );
    let day = graph.ok(&format!("{ALICE}/events/{}", id(&found[1]))).await;
    assert_eq!(day["type"], "exception");
    let whole = graph.ok(&format!("{ALICE}/events/{}?$expand=exceptionOccurrences($select=subject;$expand=attachments($select=name))", id(&master))).await;
    assert_eq!(
        whole["exceptionOccurrences"][0]["attachments"][0]["name"],
        "once.txt"
    );
    graph.finish();
}
