//! Single events: creating, reading in every form, changing, deleting, attachments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, Graph, IMMUTABLE, at, id, starts};

const MARK: &str = "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name mark";

fn simple(subject: &str, day: &str) -> Value {
    json!({"subject": subject, "start": at(&format!("{day}T09:00:00"), "W. Europe Standard Time"),
        "end": at(&format!("{day}T10:00:00"), "W. Europe Standard Time")})
}

#[tokio::test]
async fn an_event_is_what_was_written_and_what_the_service_adds() {
    let graph = Graph::new();
    let mut body = simple("Board", "2026-07-10");
    body["body"] = json!({"contentType": "HTML", "content": "<p>Bring the numbers</p>"});
    body["location"] = json!({"displayName": "Room 1", "address": {"city": "Aarhus"}});
    body["categories"] = json!(["Red category"]);
    body["sensitivity"] = json!("Private");
    body["showAs"] = json!("workingelsewhere");
    // Told, but the service's own: passed over.
    body["iCalUId"] = json!("mine");
    body["isOrganizer"] = json!(false);
    body["@odata.etag"] = json!("W/\"x\"");
    let made = graph.event(body).await;
    let one = graph.ok(&format!("{ALICE}/events/{}", id(&made))).await;
    assert_eq!(one["start"], at("2026-07-10T07:00:00.0000000", "UTC"));
    assert_eq!(one["originalStartTimeZone"], "W. Europe Standard Time");
    assert_eq!(
        (&one["sensitivity"], &one["showAs"]),
        (&json!("private"), &json!("workingElsewhere"))
    );
    assert_eq!(one["bodyPreview"], "Bring the numbers");
    assert_eq!(one["locations"][0]["address"]["city"], "Aarhus");
    assert_eq!(
        (&one["type"], &one["seriesMasterId"]),
        (&json!("singleInstance"), &Value::Null)
    );
    assert!(
        one["iCalUId"]
            .as_str()
            .unwrap()
            .starts_with("040000008200E00074C5B7101A82E008")
    );
    assert_eq!(one["isOrganizer"], true);
    assert_eq!(
        one["organizer"]["emailAddress"]["address"],
        "alice@contoso.com"
    );
    assert_eq!(one["responseStatus"]["response"], "organizer");
    assert_eq!(one["createdDateTime"].as_str().unwrap().len(), 28);
    assert_eq!(one["isReminderOn"], true);
    assert!(one["calendar@odata.navigationLink"].is_string());
    assert_eq!(one.get("cancelledOccurrences"), None);

    let berlin = [(
        "Prefer",
        "outlook.timezone=\"Europe/Berlin\", outlook.body-content-type=\"text\"",
    )];
    let (_, headers, shown) = graph
        .send(
            Method::GET,
            &format!("{ALICE}/events/{}", id(&made)),
            &berlin,
            None,
        )
        .await;
    assert_eq!(
        shown["start"],
        at("2026-07-10T09:00:00.0000000", "Europe/Berlin")
    );
    assert_eq!(shown["body"]["contentType"], "text");
    assert!(
        headers["preference-applied"]
            .to_str()
            .unwrap()
            .contains("outlook.timezone")
    );
    let (status, _, error) = graph
        .send(
            Method::GET,
            &format!("{ALICE}/events"),
            &[("Prefer", "outlook.timezone=\"Moon\"")],
            None,
        )
        .await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("TimeZoneNotSupportedException"))
    );

    let chosen = graph
        .ok(&format!(
            "{ALICE}/events/{}?$select=subject,start",
            id(&made)
        ))
        .await;
    let mut keys: Vec<&str> = chosen
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .filter(|k| !k.contains('@'))
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["id", "start", "subject"]);

    let immutable = graph
        .ok_with(&format!("{ALICE}/events/{}", id(&made)), &[IMMUTABLE])
        .await;
    assert_ne!(immutable["id"], made["id"]);
    assert_eq!(
        graph
            .ok(&format!("{ALICE}/events/{}", id(&immutable)))
            .await["id"],
        made["id"]
    );
    graph.finish();
}

#[tokio::test]
async fn what_an_event_cannot_be_is_refused() {
    let graph = Graph::new();
    let events = format!("{ALICE}/events");
    let foreign = "Requests must contain extension changes exclusively.";
    for (name, value) in [
        ("iCalUId_v2", json!("x")),
        ("uid", json!("x")),
        ("nonsense", json!(1)),
        ("calendar@odata.navigationLink", json!("x")),
    ] {
        let mut body = simple("x", "2026-07-10");
        body[name] = value;
        let (status, _, error) = graph
            .send(Method::POST, &events, &[("x-unchecked", "1")], Some(body))
            .await;
        assert_eq!(
            (status, &error["error"]["message"]),
            (400, &json!(foreign)),
            "{name}"
        );
    }
    for (field, value, code) in [
        (
            "end",
            at("2026-07-09T09:00:00", "UTC"),
            "ErrorPropertyValidationFailure",
        ),
        ("isAllDay", json!(true), "ErrorPropertyValidationFailure"),
        (
            "start",
            at("2026-07-10T09:00:00", "Nowhere"),
            "TimeZoneNotSupportedException",
        ),
        ("showAs", json!("asleep"), "RequestBodyRead"),
        (
            "attendees",
            json!([{"emailAddress": {"name": "x"}}]),
            "ErrorInvalidRecipients",
        ),
    ] {
        let mut body = simple("x", "2026-07-10");
        body[field] = value;
        let (status, error) = graph.post(&events, body).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (400, &json!(code)),
            "{field}"
        );
    }
    let (status, error) = graph.post(&events, json!({"subject": "x"})).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("ErrorPropertyValidationFailure"))
    );
    let many: Vec<Value> = (0..501)
        .map(|n| json!({"emailAddress": {"address": format!("p{n}@x.test")}}))
        .collect();
    let mut body = simple("x", "2026-07-10");
    body["attendees"] = json!(many);
    assert_eq!(graph.post(&events, body).await.0, 400);
    assert_eq!(graph.get(&format!("{events}/nonsense")).await.0, 400);
}

#[tokio::test]
async fn a_repeated_create_makes_one_event() {
    let graph = Graph::new();
    let mut body = simple("Once", "2026-07-10");
    body["transactionId"] = json!("0d3b3a4c-7b55-4d4c-9f4e-000000000001");
    let first = graph.event(body.clone()).await;
    let again = graph.event(body.clone()).await;
    assert_eq!(first["id"], again["id"]);
    assert_eq!(
        graph.ok(&format!("{ALICE}/events?$count=true")).await["@odata.count"],
        1
    );
    let (status, _) = graph
        .patch(
            &format!("{ALICE}/events/{}", id(&first)),
            json!({"transactionId": "y"}),
        )
        .await;
    assert_eq!(status, 400);
    // Deleted, the name is free again.
    assert_eq!(
        graph
            .delete(&format!("{ALICE}/events/{}", id(&first)))
            .await,
        204
    );
    assert_ne!(graph.event(body).await["id"], first["id"]);
    graph.finish();
}

#[tokio::test]
async fn events_are_found_by_mark_by_uid_and_by_property() {
    let graph = Graph::with(|o| o.events = 40);
    let events = format!("{ALICE}/events");
    let mut body = simple("Marked", "2027-07-10");
    body["singleValueExtendedProperties"] = json!([{"id": MARK, "value": "k1"}]);
    let made = graph.event(body).await;
    let found = |filter: String| {
        let graph = &graph;
        let path = format!("{events}?$top=50&$filter={filter}");
        async move { graph.ok(&path).await["value"].as_array().unwrap().clone() }
    };
    let marked = found(format!(
        "singleValueExtendedProperties/Any(ep: ep/id eq '{MARK}' and ep/value eq 'k1')"
    ))
    .await;
    assert_eq!(marked.len(), 1);
    assert_eq!(marked[0]["id"], made["id"]);
    assert!(
        found(format!(
            "singleValueExtendedProperties/Any(ep: ep/id eq '{MARK}' and ep/value eq 'k2')"
        ))
        .await
        .is_empty()
    );
    let uid = made["iCalUId"].as_str().unwrap();
    assert_eq!(found(format!("iCalUId eq '{uid}'")).await.len(), 1);
    let generated = graph.ok(&format!("{events}?$top=999")).await["value"]
        .as_array()
        .unwrap()
        .clone();
    let other = generated[0]["iCalUId"].as_str().unwrap();
    assert_eq!(
        found(format!("iCalUId eq '{other}'")).await[0]["id"],
        generated[0]["id"]
    );
    assert_eq!(found("subject eq 'Marked'".to_owned()).await.len(), 1);
    // Generated events reach into the new year, too.
    let late = found("start/dateTime ge '2027-01-01T00:00'".to_owned()).await;
    let expected: Vec<&str> = generated
        .iter()
        .filter(|e| e["start"]["dateTime"].as_str().unwrap() >= "2027-01-01T00:00")
        .map(id)
        .collect();
    assert!(expected.contains(&id(&made)) && expected.len() < generated.len());
    assert_eq!(late.iter().map(id).collect::<Vec<_>>(), expected);
    let shown = graph
        .ok(&format!(
            "{events}/{}?$expand=singleValueExtendedProperties($filter=id eq '{MARK}')",
            id(&made)
        ))
        .await;
    assert_eq!(shown["singleValueExtendedProperties"][0]["value"], "k1");
    // A mark can be written later, and taken away.
    let (status, _) = graph
        .patch(
            &format!("{events}/{}", id(&made)),
            json!({"singleValueExtendedProperties": [{"id": MARK, "value": "k2"}]}),
        )
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        found(format!(
            "singleValueExtendedProperties/Any(ep: ep/id eq '{MARK}' and ep/value eq 'k2')"
        ))
        .await
        .len(),
        1
    );
    graph.finish();
}

#[tokio::test]
async fn lists_come_in_pages_and_in_order() {
    let graph = Graph::new();
    for day in 10..25 {
        graph
            .event(simple(&format!("Day {day}"), &format!("2026-07-{day}")))
            .await;
    }
    let first = graph.ok(&format!("{ALICE}/calendar/events")).await;
    assert_eq!(first["value"].as_array().unwrap().len(), 10);
    let (all, _) = graph.all(&format!("{ALICE}/events?$top=4"), &[]).await;
    assert_eq!(all.len(), 15);
    let (ordered, _) = graph
        .all(&format!("{ALICE}/events?$orderby=start/dateTime desc"), &[])
        .await;
    assert_eq!(starts(&ordered)[0], "2026-07-24T07:00");
    let changed = graph
        .ok(&format!(
            "{ALICE}/events?$select=id,changeKey,lastModifiedDateTime&$top=999"
        ))
        .await;
    assert_eq!(changed["value"].as_array().unwrap().len(), 15);
    graph.finish();
}

#[tokio::test]
async fn changes_bump_the_change_key_and_deletes_are_final() {
    let graph = Graph::new();
    let made = graph.event(simple("Before", "2026-07-10")).await;
    let path = format!("{ALICE}/events/{}", id(&made));
    let (status, changed) = graph
        .patch(
            &path,
            json!({"subject": "After", "isReminderOn": false, "categories": ["Blue category"],
        "start": at("2026-07-10T10:00:00", "UTC"), "end": at("2026-07-10T11:00:00", "UTC")}),
        )
        .await;
    assert_eq!((status, &changed["subject"]), (200, &json!("After")));
    assert_ne!(changed["changeKey"], made["changeKey"]);
    assert_eq!(changed["iCalUId"], made["iCalUId"]);
    assert_eq!(changed["start"], at("2026-07-10T10:00:00.0000000", "UTC"));
    for (name, value) in [
        ("iCalUId", json!("x")),
        ("organizer", json!({"emailAddress": {"address": "x@y.z"}})),
        ("type", json!("occurrence")),
    ] {
        let (status, error) = graph.patch(&path, json!({name: value})).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (400, &json!("ErrorInvalidPropertySet")),
            "{name}"
        );
    }
    let stale = [("If-Match", made["@odata.etag"].as_str().unwrap())];
    assert_eq!(
        graph
            .send(Method::PATCH, &path, &stale, Some(json!({"subject": "x"})))
            .await
            .0,
        412
    );
    assert_eq!(graph.delete(&path).await, 204);
    assert_eq!(graph.delete(&path).await, 404);
    let other = graph.event(simple("Gone", "2026-07-10")).await;
    let path = format!("{ALICE}/events/{}", id(&other));
    assert_eq!(
        graph
            .send(Method::POST, &format!("{path}/permanentDelete"), &[], None)
            .await
            .0,
        204
    );
    assert_eq!(graph.get(&path).await.0, 404);
    graph.finish();
}

#[tokio::test]
async fn all_day_events_are_at_midnight_everywhere() {
    let graph = Graph::new();
    let made = graph.event(json!({"subject": "Free", "isAllDay": true,
        "start": at("2026-07-10T00:00:00", "Pacific Standard Time"), "end": at("2026-07-11T00:00:00", "Pacific Standard Time")})).await;
    assert_eq!(made["start"], at("2026-07-10T00:00:00.0000000", "UTC"));
    assert_eq!(
        (&made["originalStartTimeZone"], &made["showAs"]),
        (&json!("Pacific Standard Time"), &json!("free"))
    );
    let tokyo = graph
        .ok_with(
            &format!("{ALICE}/events/{}", id(&made)),
            &[("Prefer", "outlook.timezone=\"Tokyo Standard Time\"")],
        )
        .await;
    assert_eq!(
        tokyo["start"],
        at("2026-07-10T00:00:00.0000000", "Tokyo Standard Time")
    );
    // But it takes place from seven to seven.
    let view = |from: &str, to: &str| {
        format!("{ALICE}/calendarView?startDateTime={from}&endDateTime={to}")
    };
    let before = graph
        .ok(&view("2026-07-10T00:00:00Z", "2026-07-10T06:00:00Z"))
        .await;
    assert_eq!(before["value"], json!([]));
    let after = graph
        .ok(&view("2026-07-11T06:00:00Z", "2026-07-11T08:00:00Z"))
        .await;
    assert_eq!(after["value"].as_array().unwrap().len(), 1);
    graph.finish();
}

#[tokio::test]
async fn attachments_of_events_are_those_of_messages() {
    let graph = Graph::new();
    let made = graph.event(simple("With files", "2026-07-10")).await;
    let path = format!("{ALICE}/events/{}/attachments", id(&made));
    let file = json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "n.txt", "contentType": "text/plain", "contentBytes": STANDARD.encode("hi!")});
    let (status, first) = graph.post(&path, file).await;
    assert_eq!(
        (status, &first["contentBytes"]),
        (201, &json!(STANDARD.encode("hi!")))
    );
    let item = json!({"@odata.type": "#microsoft.graph.itemAttachment", "name": "Inner",
        "item": {"@odata.type": "#microsoft.graph.event", "subject": "Inner", "start": at("2026-07-10T09:00:00", "UTC"), "end": at("2026-07-10T10:00:00", "UTC")}});
    let (status, inner) = graph.post(&path, item).await;
    assert_eq!(status, 201, "{inner}");
    let event = graph.ok(&format!("{ALICE}/events/{}", id(&made))).await;
    assert_eq!(event["hasAttachments"], true);
    assert_ne!(event["changeKey"], made["changeKey"]);
    let list = graph
        .ok(&format!(
            "{path}?$expand=microsoft.graph.itemattachment/item"
        ))
        .await;
    assert_eq!(list["value"][1]["item"]["subject"], "Inner");
    let request = graph
        .http
        .get(format!("{}{path}/{}/$value", graph.running.url, id(&first)))
        .bearer_auth(&graph.token);
    assert_eq!(request.send().await.unwrap().bytes().await.unwrap(), "hi!");
    let request = graph
        .http
        .get(format!("{}{path}/{}/$value", graph.running.url, id(&inner)))
        .bearer_auth(&graph.token);
    let calendar = request.send().await.unwrap();
    assert_eq!(calendar.headers()["content-type"], "text/calendar");
    assert!(calendar.text().await.unwrap().contains("SUMMARY:Inner"));
    let expanded = graph
        .ok(&format!(
            "{ALICE}/events/{}?$select=id&$expand=attachments($select=name)",
            id(&made)
        ))
        .await;
    assert_eq!(expanded["attachments"][0]["name"], "n.txt");
    assert_eq!(graph.delete(&format!("{path}/{}", id(&first))).await, 204);
    assert_eq!(graph.get(&format!("{path}/{}", id(&first))).await.0, 404);
    graph.finish();
}

#[tokio::test]
async fn large_attachments_come_in_sessions() {
    let graph = Graph::new();
    let made = graph.event(simple("With a large file", "2026-07-10")).await;
    let path = format!("{ALICE}/events/{}/attachments", id(&made));
    let content = vec![7u8; 5 << 20];
    let item = json!({"AttachmentItem": {"attachmentType": "file", "name": "big.bin", "size": content.len(), "contentType": "application/octet-stream"}});
    let (status, session) = graph
        .post(&format!("{path}/createUploadSession"), item)
        .await;
    assert_eq!(status, 201, "{session}");
    let url = session["uploadUrl"].as_str().unwrap();
    assert!(url.contains("/Events('"), "{url}");
    let put = |from: usize, to: usize| {
        let range = format!("bytes {from}-{}/{}", to - 1, content.len());
        graph
            .http
            .put(url)
            .header("content-range", range)
            .body(content[from..to].to_vec())
            .send()
    };
    let half = 3 << 20;
    assert_eq!(put(half, content.len()).await.unwrap().status(), 416);
    let first = put(0, half).await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(
        first.json::<Value>().await.unwrap()["nextExpectedRanges"],
        json!([half.to_string()])
    );
    let last = put(half, content.len()).await.unwrap();
    assert_eq!(last.status(), 201);
    assert!(
        last.headers()["location"]
            .to_str()
            .unwrap()
            .contains("/Attachments('")
    );
    let list = graph.ok(&format!("{path}?$select=id,name,size")).await;
    assert!(list["value"][0]["size"].as_u64().unwrap() >= content.len() as u64);
    let request = graph
        .http
        .get(format!(
            "{}{path}/{}/$value",
            graph.running.url,
            id(&list["value"][0])
        ))
        .bearer_auth(&graph.token);
    assert_eq!(
        request.send().await.unwrap().bytes().await.unwrap(),
        content
    );
    graph.finish();
}

#[tokio::test]
async fn a_generated_tenant_has_one_of_each_kind() {
    let graph = Graph::with(|o| o.events = 60);
    let events = format!("{ALICE}/events?$top=999&$expand=exceptionOccurrences");
    let all = graph.ok(&events).await["value"].as_array().unwrap().clone();
    let some = |test: &dyn Fn(&Value) -> bool| all.iter().any(test);
    assert!(some(&|e| e["exceptionOccurrences"]
        .as_array()
        .is_some_and(|x| x.len() == 1)));
    assert!(some(&|e| e["recurrence"]["pattern"]["dayOfMonth"] == 31));
    for zone in ["Pacific Standard Time", "Tokyo Standard Time"] {
        assert!(
            some(&|e| e["isAllDay"] == true
                && e["recurrence"]["range"]["recurrenceTimeZone"] == zone),
            "{zone}"
        );
    }
    assert!(some(
        &|e| e["isOrganizer"] == false && e["isOnlineMeeting"] == true
    ));
    assert!(some(
        &|e| e["isOrganizer"] == true && e["onlineMeeting"]["joinUrl"].is_string()
    ));
    assert!(some(&|e| e["hasAttachments"] == true));
    assert!(some(&|e| e["sensitivity"] == "private"));
    assert!(some(&|e| e["categories"]
        .as_array()
        .is_some_and(|c| !c.is_empty())));
    // The organizer's event and the attendee's copy are one meeting.
    let mine = all
        .iter()
        .find(|e| e["isOrganizer"] == true && e["isOnlineMeeting"] == true)
        .unwrap();
    let copies = graph
        .ok(&format!(
            "{}/events?$filter=iCalUId eq '{}'",
            super::BOB,
            mine["iCalUId"].as_str().unwrap()
        ))
        .await;
    assert_eq!(copies["value"][0]["subject"], mine["subject"]);
    assert_eq!(copies["value"][0]["start"], mine["start"]);
    assert_eq!(copies["value"][0]["isOrganizer"], false);
    // The same seed, the same tenant; and each event is on its own what it is in the list.
    let again = Graph::with(|o| o.events = 60);
    assert_eq!(again.ok(&events).await["value"], json!(all));
    for event in all.iter().take(12) {
        let one = again
            .ok(&format!(
                "{ALICE}/events/{}?$select=subject,start,hasAttachments",
                id(event)
            ))
            .await;
        assert_eq!(
            (&one["subject"], &one["start"]),
            (&event["subject"], &event["start"])
        );
    }
    again.finish();
    graph.finish();
}
