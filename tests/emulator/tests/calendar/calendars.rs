//! Groups, calendars, permissions, time zones, who may do what.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, BOB, Graph, at, id};

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let all = list["value"].as_array().unwrap();
    all.iter()
        .find(|c| c["name"] == name)
        .unwrap_or_else(|| panic!("{name} in {list}"))
}

#[tokio::test]
async fn a_mailbox_has_groups_and_calendars() {
    let graph = Graph::new();
    let groups = graph.ok(&format!("{ALICE}/calendarGroups")).await;
    let mine = named(&groups, "My Calendars");
    assert_eq!(mine["classId"], "0006f0b7-0000-0000-c000-000000000046");
    let all = graph.ok(&format!("{ALICE}/calendars?$top=100")).await;
    let names: Vec<&str> = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let default = named(&all, "Calendar");
    assert_eq!(default["isDefaultCalendar"], true);
    assert_eq!(default["owner"]["address"], "alice@contoso.com");
    assert_eq!(named(&all, "Birthdays")["canEdit"], false);
    let shared = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["owner"]["address"] != "alice@contoso.com")
        .unwrap();
    assert_eq!(shared["owner"]["address"], "bob@contoso.com");

    // The default calendar has several names.
    for path in [
        "calendar",
        "calendars/Calendar",
        &format!("calendars/{}", id(default)),
    ] {
        let one = graph.ok(&format!("{ALICE}/{path}")).await;
        assert_eq!(one["id"], default["id"], "{path}");
    }
    let grouped = graph
        .ok(&format!("{ALICE}/calendarGroups/{}/calendars", id(mine)))
        .await;
    assert_eq!(grouped["value"].as_array().unwrap().len(), 2);
    let beta = graph.ok("/beta/users/alice@contoso.com/calendar").await;
    assert_eq!(beta["calendarGroupId"], mine["id"]);

    // What others share is not read from here, what the service fills is not written.
    let (status, error) = graph
        .get(&format!("{ALICE}/calendars/{}/events", id(shared)))
        .await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (403, &json!("ErrorAccessDenied"))
    );
    let event = json!({"subject": "x", "start": at("2026-07-10T09:00:00", "UTC"), "end": at("2026-07-10T10:00:00", "UTC")});
    let (status, _) = graph
        .post(
            &format!("{ALICE}/calendars/{}/events", id(named(&all, "Birthdays"))),
            event,
        )
        .await;
    assert_eq!(status, 403);
    graph.finish();
}

#[tokio::test]
async fn calendars_are_made_renamed_and_deleted() {
    let graph = Graph::new();
    let calendars = format!("{ALICE}/calendars");
    let marker = "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name mark";
    let body = json!({"name": "Travel", "color": "lightBlue", "singleValueExtendedProperties": [{"id": marker, "value": "x"}]});
    let (status, made) = graph.post(&calendars, body.clone()).await;
    assert_eq!((status, &made["hexColor"]), (201, &json!("#a6d1f5")));
    let (status, error) = graph.post(&calendars, json!({"name": "travel"})).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (409, &json!("ErrorFolderExists"))
    );
    let one = format!("{calendars}/{}", id(&made));
    let expanded = graph
        .ok(&format!(
            "{one}?$expand=singleValueExtendedProperties($filter=id eq '{marker}')"
        ))
        .await;
    assert_eq!(expanded["singleValueExtendedProperties"][0]["value"], "x");
    let (status, renamed) = graph.patch(&one, json!({"name": "Trips"})).await;
    assert_eq!((status, &renamed["name"]), (200, &json!("Trips")));
    assert_ne!(renamed["changeKey"], made["changeKey"]);
    let event = json!({"subject": "x", "start": at("2026-07-10T09:00:00", "UTC"), "end": at("2026-07-10T10:00:00", "UTC")});
    let (_, event) = graph.post(&format!("{one}/events"), event).await;
    assert_eq!(graph.delete(&one).await, 204);
    assert_eq!(graph.delete(&one).await, 404);
    assert_eq!(
        graph.get(&format!("{ALICE}/events/{}", id(&event))).await.0,
        404
    );

    let (_, other) = graph.post(&calendars, json!({"name": "Other"})).await;
    let path = format!("{calendars}/{}/permanentDelete", id(&other));
    assert_eq!(graph.send(Method::POST, &path, &[], None).await.0, 204);
    let (status, error) = graph.get(&format!("{calendars}/nonsense")).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("ErrorInvalidIdMalformed"))
    );
    assert_eq!(graph.delete(&format!("{ALICE}/calendar")).await, 400);

    let (status, group) = graph
        .post(&format!("{ALICE}/calendarGroups"), json!({"name": "Mine"}))
        .await;
    assert_eq!(status, 201);
    let inside = format!("{ALICE}/calendarGroups/{}/calendars", id(&group));
    assert_eq!(graph.post(&inside, json!({"name": "Inside"})).await.0, 201);
    assert_eq!(graph.ok(&inside).await["value"][0]["name"], "Inside");
    graph.finish();
}

#[tokio::test]
async fn permissions_and_zones_are_listed() {
    let graph = Graph::new();
    let list = graph
        .ok(&format!("{ALICE}/calendar/calendarPermissions"))
        .await;
    assert_eq!(list["value"][0]["isRemovable"], false);
    assert_eq!(list["value"][0]["emailAddress"]["name"], "My Organization");
    let zones = format!("{ALICE}/outlook/supportedTimeZones");
    let windows = graph.ok(&zones).await;
    assert!(
        windows["value"]
            .as_array()
            .unwrap()
            .iter()
            .any(|z| z["alias"] == "W. Europe Standard Time")
    );
    let iana = graph
        .ok(&format!(
            "{zones}(TimeZoneStandard=microsoft.graph.timeZoneStandard'Iana')"
        ))
        .await;
    assert!(
        iana["value"]
            .as_array()
            .unwrap()
            .iter()
            .any(|z| z["alias"] == "Europe/Berlin")
    );
    graph.finish();
}

#[tokio::test]
async fn roles_decide_what_is_shown_and_done() {
    let app = |id: &str, role: &str| format!("{id}:secret:{role}");
    let mut graph = Graph::with(|o| {
        o.app = vec![
            app("basic", "Calendars.ReadBasic"),
            app("read", "Calendars.Read"),
            app("mail", "Mail.Read"),
        ];
    });
    let body = json!({"subject": "Secret", "body": {"contentType": "text", "content": "the text"},
        "start": at("2026-07-10T09:00:00", "UTC"), "end": at("2026-07-10T10:00:00", "UTC")});
    let made = graph.event(body.clone()).await;
    let path = format!("{ALICE}/events/{}", id(&made));
    for (app, reads, text, writes) in [
        ("basic", 200, false, 403),
        ("read", 200, true, 403),
        ("mail", 403, false, 403),
    ] {
        let form = format!(
            "grant_type=client_credentials&client_id={app}&client_secret=secret&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            graph.running.url, graph.running.tenant
        );
        let request = graph
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let token: Value = request.send().await.unwrap().json().await.unwrap();
        graph.token = token["access_token"].as_str().unwrap().to_owned();
        let (status, event) = graph.get(&path).await;
        assert_eq!(status, reads, "{app}");
        assert_eq!(event["body"].is_object(), text, "{app}");
        assert_eq!(
            graph.get(&format!("{path}/attachments")).await.0 == 200,
            text,
            "{app}"
        );
        assert_eq!(
            graph.post(&format!("{ALICE}/events"), body.clone()).await.0,
            writes,
            "{app}"
        );
        assert_eq!(graph.delete(&path).await, writes, "{app}");
    }
    graph.finish();
}

#[tokio::test]
async fn a_signed_in_user_has_me() {
    let mut graph = Graph::new();
    let form = format!(
        "grant_type=password&client_id={}&client_secret={}&username=bob%40contoso.com&password=x&scope=User.Read",
        graph.running.client_id, graph.running.client_secret
    );
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        graph.running.url, graph.running.tenant
    );
    let request = graph
        .http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let token: Value = request.send().await.unwrap().json().await.unwrap();
    graph.token = token["access_token"].as_str().unwrap().to_owned();
    let mine = graph.ok("/v1.0/me/calendar").await;
    assert_eq!(mine["owner"]["address"], "bob@contoso.com");
    assert_eq!(graph.ok(&format!("{BOB}/calendar")).await["id"], mine["id"]);
    graph.finish();
}

#[tokio::test]
async fn users_without_a_mailbox_have_no_calendar() {
    let graph = Graph::new();
    let (status, error) = graph.get("/v1.0/users/print@contoso.com/calendars").await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (404, &json!("MailboxNotEnabledForRESTAPI"))
    );
    let (status, error) = graph.get("/v1.0/users/nobody@contoso.com/events").await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (404, &json!("ErrorInvalidUser"))
    );
    assert_eq!(
        graph.ok("/v1.0/users/info@contoso.com/calendar").await["isDefaultCalendar"],
        true
    );
    graph.finish();
}

#[tokio::test]
async fn a_batch_and_the_counts_know_calendars() {
    let graph = Graph::new();
    let body = json!({"requests": [
        {"id": "1", "method": "GET", "url": "/users/alice@contoso.com/calendar"},
        {"id": "2", "method": "GET", "url": "/users/alice@contoso.com/events?$top=5"},
        {"id": "3", "method": "GET", "url": "/users/alice@contoso.com/calendars/nonsense"}]});
    let (status, answer) = graph.post("/v1.0/$batch", body).await;
    assert_eq!(status, 200);
    let mut all: Vec<u64> = answer["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["status"].as_u64().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all, [200, 200, 400]);
    let counts = graph.control(Method::GET, "requests").await.to_string();
    assert!(
        counts.contains("/v1.0/users/{id}/calendars/{id}"),
        "{counts}"
    );
    graph.finish();
}
