//! Kinds of mailboxes, permissions, throttling, counts, faults, the usage report.

use graph_emulator::Throttle;
use reqwest::Method;
use serde_json::json;

use super::{ALICE, Graph, id};

#[tokio::test]
async fn mailboxes_of_every_purpose() {
    let graph = Graph::with(|o| (o.accounts, o.contacts) = (4, 100));
    let (users, _) = graph
        .all("/users?$select=id,userPrincipalName,accountEnabled,userType,assignedLicenses")
        .await;
    let mut purposes = Vec::new();
    for user in &users {
        let upn = user["userPrincipalName"]
            .as_str()
            .unwrap()
            .replace('#', "%23");
        let answer = graph
            .get(&format!("/users/{upn}/mailboxSettings/userPurpose"))
            .await;
        let purpose = match answer.status {
            200 => answer.json()["value"].as_str().unwrap().to_owned(),
            404 => answer.codes().0,
            other => panic!("{other}"),
        };
        if matches!(purpose.as_str(), "shared" | "room" | "equipment") {
            assert_eq!(
                (&user["accountEnabled"], &user["assignedLicenses"]),
                (&json!(false), &json!([]))
            );
            for path in [
                "contacts",
                "contactFolders/contacts",
                "todo/lists",
                "outlook/masterCategories",
                "mailFolders/inbox/messageRules",
            ] {
                graph.get(&format!("/users/{upn}/{path}")).await.expect(200);
            }
        }
        purposes.push(purpose);
    }
    purposes.sort();
    assert_eq!(
        purposes,
        [
            "MailboxNotEnabledForRESTAPI",
            "MailboxNotEnabledForRESTAPI",
            "equipment",
            "room",
            "shared",
            "user",
            "user",
            "user",
            "user"
        ]
    );
    // The shared mailbox has contacts of its own.
    assert!(
        !graph
            .all("/users/info@contoso.com/contacts")
            .await
            .0
            .is_empty()
    );
    for path in [
        "contacts",
        "todo/lists",
        "mailboxSettings",
        "outlook/masterCategories",
        "inferenceClassification/overrides",
    ] {
        assert_eq!(
            graph
                .get(&format!("/users/print@contoso.com/{path}"))
                .await
                .expect(404)
                .codes()
                .0,
            "MailboxNotEnabledForRESTAPI",
            "{path}"
        );
    }
    assert_eq!(
        graph
            .get("/users/nobody@contoso.com/contacts")
            .await
            .expect(404)
            .codes()
            .0,
        "ErrorInvalidUser"
    );
    graph.finish();
}

#[tokio::test]
async fn a_user_made_later_begins_with_nothing() {
    let graph = Graph::with(|o| o.contacts = 50);
    graph.make("/users", json!({"userPrincipalName": "late@contoso.com", "displayName": "Late", "mailNickname": "late", "accountEnabled": true,
        "passwordProfile": {"password": "x", "forceChangePasswordNextSignIn": false}})).await;
    let late = "/users/late@contoso.com";
    assert!(graph.all(&format!("{late}/contacts")).await.0.is_empty());
    assert_eq!(graph.all(&format!("{late}/todo/lists")).await.0.len(), 2);
    assert!(
        graph
            .all(&format!("{late}/mailFolders/inbox/messageRules"))
            .await
            .0
            .is_empty()
    );
    graph
        .make(&format!("{late}/contacts"), json!({"givenName": "A"}))
        .await;
    graph.finish();
}

#[tokio::test]
async fn permissions_are_asked_for() {
    let app = |id: &str, roles: &str| format!("{id}:secret:{roles}");
    let mut graph = Graph::with(|o| {
        o.app = vec![
            app(
                "reader",
                "Contacts.Read+Tasks.Read.All+MailboxSettings.Read+Mail.Read",
            ),
            app("mailer", "Mail.ReadWrite"),
            app(
                "writer",
                "Contacts.ReadWrite+Tasks.ReadWrite.All+MailboxSettings.ReadWrite",
            ),
        ];
    });
    let list = id(&graph.all(&format!("{ALICE}/todo/lists")).await.0[0]);
    let paths = [
        (format!("{ALICE}/contacts"), json!({"givenName": "x"})),
        (
            format!("{ALICE}/contactFolders"),
            json!({"displayName": "x"}),
        ),
        (
            format!("{ALICE}/todo/lists/{list}/tasks"),
            json!({"title": "x"}),
        ),
        (
            format!("{ALICE}/outlook/masterCategories"),
            json!({"displayName": "x"}),
        ),
        (
            format!("{ALICE}/mailFolders/inbox/messageRules"),
            json!({"displayName": "x", "actions": {"markAsRead": true}}),
        ),
    ];
    graph.as_app("reader", "secret").await;
    for (path, body) in &paths {
        graph.get(path).await.expect(200);
        assert_eq!(
            graph.post(path, body.clone()).await.expect(403).codes().0,
            "ErrorAccessDenied",
            "{path}"
        );
    }
    graph
        .get(&format!("{ALICE}/mailboxSettings"))
        .await
        .expect(200);
    graph
        .patch(
            &format!("{ALICE}/mailboxSettings"),
            json!({"timeZone": "UTC"}),
        )
        .await
        .expect(403);
    graph
        .get(&format!("{ALICE}/inferenceClassification/overrides"))
        .await
        .expect(200);
    graph.as_app("mailer", "secret").await;
    for (path, _) in &paths {
        assert_eq!(
            graph.get(path).await.expect(403).codes().0,
            "ErrorAccessDenied",
            "{path}"
        );
    }
    graph
        .get(&format!("{ALICE}/mailboxSettings/userPurpose"))
        .await
        .expect(403);
    graph.as_app("writer", "secret").await;
    for (path, body) in &paths {
        graph.make(path, body.clone()).await;
    }
    graph
        .patch(
            &format!("{ALICE}/mailboxSettings"),
            json!({"timeZone": "UTC"}),
        )
        .await
        .expect(200);
    graph.finish();
}

#[tokio::test]
async fn they_are_counted_throttled_and_faulty_as_mail_is() {
    let graph = Graph::with(|o| (o.throttle, o.contacts) = (Throttle::Real, 20));
    let contact = id(&graph.all(&format!("{ALICE}/contacts")).await.0[0]);
    graph
        .get(&format!("{ALICE}/contacts/{contact}/photo/$value"))
        .await;
    graph
        .get(&format!("{ALICE}/outlook/masterCategories"))
        .await
        .expect(200);
    let told = graph.told("requests").await;
    let routes: Vec<&str> = told["by_route"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["route"].as_str().unwrap())
        .collect();
    for route in [
        "/v1.0/users/{id}/contacts",
        "/v1.0/users/{id}/contacts/{id}/photo/$value",
        "/v1.0/users/{id}/outlook/masterCategories",
    ] {
        assert!(routes.contains(&route), "{routes:?}");
    }
    graph.control("faults", json!([{"route": "/v1.0/users/{id}/contacts/delta", "fault": {"status": 503, "retry_after": 1}},
        {"method": "POST", "route": "*/contacts", "fault": {"status": 500, "after": true}}])).await;
    graph
        .get(&format!("{ALICE}/contacts/delta"))
        .await
        .expect(503);
    graph
        .get(&format!("{ALICE}/contacts/delta"))
        .await
        .expect(200);
    graph
        .post(&format!("{ALICE}/contacts"), json!({"givenName": "Twice"}))
        .await
        .expect(500);
    assert_eq!(
        graph
            .all(&format!("{ALICE}/contacts?$filter=givenName eq 'Twice'"))
            .await
            .0
            .len(),
        1,
        "it was carried out"
    );

    // Ten thousand requests in ten minutes, in batches of twenty.
    let members: Vec<_> = (0..20).map(|n| json!({"id": n.to_string(), "method": "GET", "url": format!("{ALICE}/todo/lists?$top=1&$select=id")})).collect();
    let mut refused = 0;
    for _ in 0..501 {
        let request = graph
            .request(Method::POST, "/$batch")
            .json(&json!({"requests": members}));
        let answer = graph.send(request).await.expect(200).json();
        refused += answer["responses"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["status"] == 429)
            .count();
    }
    assert!(refused > 0);
    let one = graph.get(&format!("{ALICE}/contacts")).await.expect(429);
    assert!(one.header("retry-after").parse::<u32>().unwrap() > 0);
    graph
        .control("clock", json!({"advance_seconds": 601}))
        .await;
    graph.get(&format!("{ALICE}/contacts")).await.expect(200);
    graph.finish();
}

#[tokio::test]
async fn the_usage_report_is_a_csv_behind_a_redirect() {
    let mut graph = Graph::with(|o| {
        (o.accounts, o.messages, o.archives) = (2, 60, 1);
        o.app = vec!["reader:secret:Mail.Read".into()];
    });
    let answer = graph
        .get("/reports/getMailboxUsageDetail(period='D7')")
        .await
        .expect(302);
    let csv = graph
        .send(graph.raw(Method::GET, &answer.header("location")))
        .await
        .expect(200);
    let text = String::from_utf8(csv.bytes).unwrap();
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(columns.len(), 17);
    let at = |name: &str| columns.iter().position(|c| *c == name).unwrap();
    let rows: Vec<Vec<&str>> = lines.map(|l| l.split(',').collect()).collect();
    assert_eq!(rows.len(), 3, "two users and the shared mailbox: {text}");
    let row = |upn: &str| {
        let of = |r: &&Vec<&str>| r[at("User Principal Name")] == upn;
        rows.iter().find(of).unwrap()
    };
    let alice = row("alice@contoso.com");
    assert_eq!(
        (alice[at("Has Archive")], alice[at("Report Period")]),
        ("True", "7")
    );
    assert_eq!(row("bob@contoso.com")[at("Has Archive")], "False");
    assert!(alice[at("Item Count")].parse::<u32>().unwrap() > 10);
    graph
        .control("clock", json!({"advance_seconds": 600}))
        .await;
    graph
        .send(graph.raw(Method::GET, &answer.header("location")))
        .await
        .expect(403);
    graph
        .get("/reports/getMailboxUsageDetail(period='D8')")
        .await
        .expect(400);
    graph.as_app("reader", "secret").await;
    let refused = graph
        .get("/reports/getMailboxUsageDetail(period='D7')")
        .await
        .expect(403);
    assert_eq!(refused.codes().0, "Authorization_RequestDenied");
    // The schema at hand has no reports: nothing of this could be held against it.
}
