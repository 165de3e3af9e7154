//! `$batch` and the limits.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ALICE, Graph};

async fn batch(g: &Graph, requests: Value) -> (u16, HashMap<String, Value>) {
    let (status, body) = g.post("/v1.0/$batch", json!({"requests": requests})).await;
    let list = body["responses"].as_array().cloned().unwrap_or_default();
    (
        status,
        list.into_iter()
            .map(|r| (r["id"].as_str().unwrap().to_owned(), r))
            .collect(),
    )
}

#[tokio::test]
async fn members_are_answered_each_for_itself() {
    let g = Graph::start(&["--messages", "20", "--accounts", "1"]).await;
    let id = g.message("inbox", "m").await;
    let user = "/users/alice@contoso.com";
    let (status, answers) = batch(&g, json!([
        {"id": "mime", "method": "GET", "url": format!("{user}/messages/{id}/$value")},
        {"id": "gone", "method": "GET", "url": format!("{user}/messages/{id}x")},
        {"id": "after", "method": "GET", "url": user, "dependsOn": ["gone"]},
        {"id": "list", "method": "GET", "url": format!("{user}/messages?$top=2"), "headers": {"Prefer": "IdType=\"ImmutableId\""}},
        {"id": "patch", "method": "PATCH", "url": format!("{user}/messages/{id}"), "body": {"isRead": true}, "headers": {"Content-Type": "application/json"}},
    ]))
    .await;
    assert_eq!(status, 200);
    assert!(answers["mime"]["body"].is_string());
    assert_eq!(
        (
            answers["gone"]["status"].as_u64(),
            answers["after"]["status"].as_u64()
        ),
        (Some(404), Some(424))
    );
    assert!(
        answers["list"]["body"]["value"][0]["id"]
            .as_str()
            .unwrap()
            .starts_with("AAkA")
    );
    assert_eq!(answers["patch"]["body"]["isRead"], true);
    let counts = g.control(Method::GET, "requests", json!({})).await;
    let route = |r: &str| {
        counts["by_route"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|c| c["route"] == r)
            .map(|c| c["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(route("/v1.0/$batch"), 1);
    assert_eq!(route("/v1.0/users/{id}/messages/{id}/$value"), 1);
}

#[tokio::test]
async fn envelopes_are_checked() {
    let g = Graph::start(&["--messages", "0", "--accounts", "1"]).await;
    let get = |id: String| json!({"id": id, "method": "GET", "url": "/users"});
    let many: Vec<Value> = (0..21).map(|n| get(n.to_string())).collect();
    for bad in [
        json!(many),
        json!([get("a".into()), get("A".into())]),
        json!([]),
        json!([{"id": "1", "method": "POST", "url": "/users", "body": {}}]),
        json!([{"id": "1", "method": "GET", "url": "/users", "dependsOn": ["9"]}]),
        json!([{"id": "1", "method": "GET", "url": "/users", "dependsOn": ["2"]}, {"id": "2", "method": "GET", "url": "/users", "dependsOn": ["1"]}]),
    ] {
        assert_eq!(batch(&g, bad).await.0, 400);
    }
}

#[tokio::test]
async fn a_fifth_request_at_once_is_refused() {
    let g = Graph::start(&[
        "--messages",
        "10",
        "--accounts",
        "2",
        "--throttle",
        "real",
        "--latency-ms",
        "200",
    ])
    .await;
    let path = format!("{ALICE}/messages");
    let all =
        futures::future::join_all((0..7).map(|_| g.send(Method::GET, &path, &[], None))).await;
    let refused: Vec<_> = all.iter().filter(|r| r.status() == 429).collect();
    assert_eq!(refused.len(), 3);
    assert!(refused[0].headers().contains_key("retry-after"));
    // Another mailbox is not slowed, and a batch runs four wide.
    assert_eq!(g.get("/v1.0/users/bob@contoso.com/messages").await.0, 200);
    let members: Vec<Value> = (0..8).map(|n| json!({"id": n.to_string(), "method": "GET", "url": "/users/alice@contoso.com/messages"})).collect();
    let start = std::time::Instant::now();
    let (_, answers) = batch(&g, json!(members)).await;
    assert!(answers.values().all(|r| r["status"] == 200));
    assert!(start.elapsed().as_millis() >= 400);
    let busy = futures::future::join(
        futures::future::join_all((0..4).map(|_| g.send(Method::GET, &path, &[], None))),
        async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            batch(&g, json!(members[..1])).await
        },
    )
    .await;
    let (status, inner) = busy.1;
    assert_eq!((status, inner["0"]["status"].as_u64()), (200, Some(429)));
    assert!(inner["0"]["headers"]["Retry-After"].is_string());
}

#[tokio::test]
async fn ten_thousand_requests_in_ten_minutes() {
    let g = Graph::start(&[
        "--messages",
        "0",
        "--accounts",
        "1",
        "--throttle",
        "real",
        "--token-lifetime",
        "100000",
    ])
    .await;
    let members: Vec<Value> = (0..20).map(|n| json!({"id": n.to_string(), "method": "GET", "url": "/users/alice@contoso.com/mailFolders/inbox"})).collect();
    for _ in 0..500 {
        batch(&g, json!(members)).await;
    }
    let response = g
        .send(Method::GET, &format!("{ALICE}/mailFolders"), &[], None)
        .await;
    assert_eq!(response.status(), 429);
    let wait: i64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    g.control(Method::POST, "clock", json!({"advance_seconds": wait + 60}))
        .await;
    assert_eq!(g.get(&format!("{ALICE}/mailFolders")).await.0, 200);
}

#[tokio::test]
async fn drives_draw_on_resource_units() {
    let g = Graph::start(&[
        "--messages",
        "0",
        "--files",
        "20",
        "--accounts",
        "1",
        "--throttle",
        "real",
    ])
    .await;
    let drive = g.ok(&format!("{ALICE}/drive")).await;
    let path = format!(
        "/v1.0/drives/{}/root/children",
        drive["id"].as_str().unwrap()
    );
    let mut told = None;
    let mut refused = None;
    for n in 0..700 {
        let response = g.send(Method::GET, &path, &[], None).await;
        if response.headers().contains_key("ratelimit-remaining") && told.is_none() {
            told = Some(n);
        }
        if response.status() == 429 {
            refused = Some((
                n,
                response.headers()["retry-after"]
                    .to_str()
                    .unwrap()
                    .to_owned(),
                response.json::<Value>().await.unwrap(),
            ));
            break;
        }
    }
    // 2 units each of 1,250 a minute: told from 1,000 on, refused beyond. A slow machine sees the
    // window slide.
    let (Some(told), Some((at, wait, body))) = (told, refused) else {
        return;
    };
    assert!(told >= 490 && at > told, "{told} {at}");
    assert_eq!(
        (
            body["error"]["code"].as_str(),
            body["error"]["innerError"]["code"].as_str()
        ),
        (Some("activityLimitReached"), Some("throttledRequest"))
    );
    g.control(
        Method::POST,
        "clock",
        json!({"advance_seconds": wait.parse::<i64>().unwrap() + 60}),
    )
    .await;
    assert_eq!(g.get(&path).await.0, 200);
}
