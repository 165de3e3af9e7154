//! Who hears of what: the outbox, copies of attendees, answers.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, BOB, Graph, at, id};

fn meeting(attendees: &[&str]) -> Value {
    let attendees: Vec<Value> = attendees
        .iter()
        .map(|a| json!({"type": "required", "emailAddress": {"address": a}}))
        .collect();
    json!({"subject": "Plan", "start": at("2027-07-05T09:00:00", "W. Europe Standard Time"), "end": at("2027-07-05T10:00:00", "W. Europe Standard Time"), "attendees": attendees})
}

fn said(kind: &str, to: &[&str]) -> (String, Vec<String>) {
    (
        kind.to_owned(),
        to.iter().map(|a| (*a).to_owned()).collect(),
    )
}

async fn cleared(graph: &Graph) {
    graph.control(Method::DELETE, "outbox").await;
}

#[tokio::test]
async fn what_concerns_nobody_is_silent() {
    let graph = Graph::with(|o| o.events = 40);
    let mut body = meeting(&[]);
    body["recurrence"] = json!({"pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["monday"]}, "range": {"type": "numbered", "numberOfOccurrences": 4}});
    let made = graph.event(body).await;
    let path = format!("{ALICE}/events/{}", id(&made));
    graph
        .patch(
            &path,
            json!({"subject": "Other", "categories": ["Red category"]}),
        )
        .await;
    let days = graph
        .ok(&format!(
            "{path}/instances?startDateTime=2027-07-01T00:00:00Z&endDateTime=2027-08-01T00:00:00Z"
        ))
        .await;
    graph
        .patch(
            &format!("{ALICE}/events/{}", id(&days["value"][1])),
            json!({"subject": "Late"}),
        )
        .await;
    graph
        .delete(&format!("{ALICE}/events/{}", id(&days["value"][2])))
        .await;
    let file = json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "n.txt", "contentBytes": "aGkh"});
    graph.post(&format!("{path}/attachments"), file).await;
    graph.delete(&path).await;
    // Deleting an attendee's copy tells nobody either.
    let all = graph.ok(&format!("{ALICE}/events?$top=999")).await;
    let copy = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["isOrganizer"] == false)
        .unwrap();
    assert_eq!(
        graph.delete(&format!("{ALICE}/events/{}", id(copy))).await,
        204
    );
    assert!(graph.outbox().await.is_empty());
    graph.finish();
}

#[tokio::test]
async fn every_write_to_a_meeting_tells_those_it_concerns() {
    let graph = Graph::new();
    let made = graph
        .event(meeting(&["bob@contoso.com", "eve@fabrikam.com"]))
        .await;
    assert_eq!(
        graph.outbox().await,
        [said(
            "meetingRequest",
            &["bob@contoso.com", "eve@fabrikam.com"]
        )]
    );
    let entry = graph.control(Method::GET, "outbox").await["value"][0].clone();
    assert_eq!(
        (&entry["from"], &entry["subject"], &entry["iCalUId"]),
        (
            &json!("alice@contoso.com"),
            &json!("Plan"),
            &made["iCalUId"]
        )
    );
    let path = format!("{ALICE}/events/{}", id(&made));

    cleared(&graph).await;
    graph
        .patch(
            &path,
            json!({"categories": ["Red category"], "isReminderOn": false, "showAs": "oof"}),
        )
        .await;
    assert!(graph.outbox().await.is_empty(), "one's own properties");
    graph.patch(&path, json!({"subject": "Plan B"})).await;
    assert_eq!(
        graph.outbox().await,
        [said(
            "meetingUpdate",
            &["bob@contoso.com", "eve@fabrikam.com"]
        )]
    );

    cleared(&graph).await;
    let (status, _) = graph.patch(&path, json!({"attendees": [{"emailAddress": {"address": "bob@contoso.com"}}, {"emailAddress": {"address": "mal@fabrikam.com"}}]})).await;
    assert_eq!(status, 200);
    assert_eq!(
        graph.outbox().await,
        [
            said("meetingRequest", &["mal@fabrikam.com"]),
            said("meetingCancellation", &["eve@fabrikam.com"])
        ]
    );

    cleared(&graph).await;
    let file = json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "n.txt", "contentBytes": "aGkh"});
    graph.post(&format!("{path}/attachments"), file).await;
    assert_eq!(
        graph.outbox().await,
        [said(
            "meetingUpdate",
            &["bob@contoso.com", "mal@fabrikam.com"]
        )]
    );

    cleared(&graph).await;
    assert_eq!(graph.delete(&path).await, 204);
    assert_eq!(
        graph.outbox().await,
        [said(
            "meetingCancellation",
            &["bob@contoso.com", "mal@fabrikam.com"]
        )]
    );

    // One day of a series, and calling off with a word.
    cleared(&graph).await;
    let mut body = meeting(&["eve@fabrikam.com"]);
    body["recurrence"] = json!({"pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["monday"]}, "range": {"type": "numbered", "numberOfOccurrences": 4}});
    let series = graph.event(body).await;
    let path = format!("{ALICE}/events/{}", id(&series));
    let days = graph
        .ok(&format!(
            "{path}/instances?startDateTime=2027-07-01T00:00:00Z&endDateTime=2027-08-01T00:00:00Z"
        ))
        .await;
    assert_eq!(
        graph
            .delete(&format!("{ALICE}/events/{}", id(&days["value"][1])))
            .await,
        204
    );
    assert_eq!(
        graph
            .post(&format!("{path}/cancel"), json!({"Comment": "Sorry"}))
            .await
            .0,
        202
    );
    assert_eq!(graph.get(&path).await.0, 404);
    assert_eq!(
        graph.outbox().await,
        [
            said("meetingRequest", &["eve@fabrikam.com"]),
            said("meetingCancellation", &["eve@fabrikam.com"]),
            said("meetingCancellation", &["eve@fabrikam.com"])
        ]
    );
    let last = graph.control(Method::GET, "outbox").await["value"][2].clone();
    assert_eq!(last["comment"], "Sorry");
    graph.finish();
}

#[tokio::test]
async fn attendees_of_the_tenant_have_copies_and_answer() {
    let graph = Graph::new();
    let made = graph.event(meeting(&["bob@contoso.com"])).await;
    let copies = format!(
        "{BOB}/events?$filter=iCalUId eq '{}'",
        made["iCalUId"].as_str().unwrap()
    );
    let copy = graph.ok(&copies).await["value"][0].clone();
    assert_eq!(copy["isOrganizer"], false);
    assert_eq!(
        copy["organizer"]["emailAddress"]["address"],
        "alice@contoso.com"
    );
    assert_eq!(
        (&copy["responseStatus"]["response"], &copy["showAs"]),
        (&json!("notResponded"), &json!("tentative"))
    );
    assert_eq!(copy["start"], made["start"]);

    // Not the organizer's to do, and not the attendee's.
    let bobs = format!("{BOB}/events/{}", id(&copy));
    let (status, error) = graph.post(&format!("{bobs}/cancel"), json!({})).await;
    assert_eq!(status, 400);
    assert_eq!(
        error["error"]["message"],
        "Your request can't be completed. You need to be an organizer to cancel a meeting."
    );
    let alices = format!("{ALICE}/events/{}", id(&made));
    assert_eq!(
        graph.post(&format!("{alices}/accept"), json!({})).await.0,
        400
    );

    cleared(&graph).await;
    assert_eq!(
        graph
            .post(
                &format!("{bobs}/accept"),
                json!({"comment": "Fine", "sendResponse": true})
            )
            .await
            .0,
        202
    );
    assert_eq!(
        graph.outbox().await,
        [said("meetingResponse", &["alice@contoso.com"])]
    );
    assert_eq!(
        graph.ok(&bobs).await["responseStatus"]["response"],
        "accepted"
    );
    assert_eq!(
        graph.ok(&alices).await["attendees"][0]["status"]["response"],
        "accepted"
    );

    graph.patch(&alices, json!({"subject": "Plan B"})).await;
    assert_eq!(graph.ok(&bobs).await["subject"], "Plan B");
    graph.delete(&alices).await;
    assert_eq!(graph.ok(&bobs).await["isCancelled"], true);

    let other = graph.event(meeting(&["bob@contoso.com"])).await;
    let copies = format!(
        "{BOB}/events?$filter=iCalUId eq '{}'",
        other["iCalUId"].as_str().unwrap()
    );
    let copy = graph.ok(&copies).await["value"][0].clone();
    cleared(&graph).await;
    assert_eq!(
        graph
            .post(
                &format!("{BOB}/events/{}/decline", id(&copy)),
                json!({"sendResponse": false})
            )
            .await
            .0,
        202
    );
    assert!(graph.outbox().await.is_empty());
    assert_eq!(graph.ok(&copies).await["value"], json!([]));
    graph.finish();
}

#[tokio::test]
async fn an_online_meeting_is_a_new_one_each_time() {
    let graph = Graph::new();
    let mut body = meeting(&[]);
    body["isOnlineMeeting"] = json!(true);
    body["onlineMeeting"] = json!({"joinUrl": "https://teams.microsoft.com/l/meetup-join/old"});
    let first = graph.event(body.clone()).await;
    let second = graph.event(body).await;
    assert_eq!(first["onlineMeetingProvider"], "teamsForBusiness");
    let url = |e: &Value| e["onlineMeeting"]["joinUrl"].as_str().unwrap().to_owned();
    assert!(!url(&first).ends_with("old"));
    assert_ne!(url(&first), url(&second));
    assert!(
        first["body"]["content"]
            .as_str()
            .unwrap()
            .contains(&url(&first))
    );
    let plain = graph.event(meeting(&[])).await;
    assert_eq!(
        (&plain["isOnlineMeeting"], &plain["onlineMeeting"]),
        (&json!(false), &Value::Null)
    );
    graph.finish();
}

#[tokio::test]
async fn reminders_are_dismissed_and_events_forwarded() {
    let graph = Graph::new();
    let made = graph.event(meeting(&[])).await;
    let path = format!("{ALICE}/events/{}", id(&made));
    assert_eq!(
        graph
            .send(Method::POST, &format!("{path}/dismissReminder"), &[], None)
            .await
            .0,
        200
    );
    assert_eq!(graph.ok(&path).await["isReminderOn"], false);
    let to = json!({"ToRecipients": [{"emailAddress": {"address": "eve@fabrikam.com"}}], "Comment": "See"});
    assert_eq!(graph.post(&format!("{path}/forward"), to).await.0, 202);
    assert_eq!(
        graph.outbox().await,
        [said("meetingForward", &["eve@fabrikam.com"])]
    );
    graph.finish();
}
