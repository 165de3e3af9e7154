//! Who may do what, how much of it, and what administrators do to sites.

use graph_emulator::{STATIC_TOKEN, Throttle};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Graph, all, by, round, site, tenant, texts};

#[tokio::test]
async fn permissions_of_lists_and_items() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let assets = format!("{finance}/lists/Assets");
    let roles = |all: &[Value]| all.iter().map(|p| p["roles"].clone()).collect::<Vec<_>>();
    let inherited = all(&graph, &format!("{assets}/permissions")).await;
    assert_eq!(
        roles(&inherited),
        [json!(["owner"]), json!(["read"]), json!(["write"])]
    );
    assert_eq!(
        all(
            &graph,
            &format!("{finance}/lists/Announcements/permissions")
        )
        .await
        .len(),
        1
    );
    assert_eq!(
        roles(&all(&graph, &format!("{assets}/items/1/permissions")).await),
        roles(&inherited)
    );
    let shared = all(&graph, &format!("{assets}/items/3/permissions")).await;
    assert!(shared[3]["link"]["webUrl"].is_string());
    let own = all(&graph, &format!("{assets}/items/7/permissions")).await;
    assert!(own.len() == 2 && own[1]["grantedToV2"]["user"]["email"].is_string());
    // Links to items.
    let link =
        json!({"type": "view", "scope": "users", "recipients": [{"email": "bob@contoso.com"}]});
    let made = graph
        .post(&format!("{assets}/items/1/createLink"), link)
        .await
        .expect(201)
        .json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        made["grantedToIdentitiesV2"][0]["user"]["email"],
        "bob@contoso.com"
    );
    graph
        .get(&format!("{assets}/items/1/permissions/{id}"))
        .await
        .expect(200);
    let organization = json!({"type": "edit", "scope": "organization"});
    graph
        .post(
            &format!("{assets}/items/1/createLink"),
            organization.clone(),
        )
        .await
        .expect(201);
    graph
        .post(&format!("{assets}/items/1/createLink"), organization)
        .await
        .expect(200);
    graph
        .delete(&format!("{assets}/items/1/permissions/{id}"))
        .await
        .expect(204);
    let group = inherited[0]["id"].as_str().unwrap();
    graph
        .delete(&format!("{assets}/items/1/permissions/{group}"))
        .await
        .expect(403);
    // Those of files are those of the drive.
    let library = all(
        &graph,
        &format!("{finance}/lists/Media/items?$expand=driveItem"),
    )
    .await;
    let number = library[0]["id"].as_str().unwrap();
    let drive = library[0]["driveItem"]["parentReference"]["driveId"]
        .as_str()
        .unwrap();
    let file = library[0]["driveItem"]["id"].as_str().unwrap();
    let link = json!({"type": "edit", "scope": "organization"});
    graph
        .post(
            &format!("{finance}/lists/Media/items/{number}/createLink"),
            link,
        )
        .await
        .expect(201);
    assert_eq!(
        texts(
            &all(
                &graph,
                &format!("{finance}/lists/Media/items/{number}/permissions")
            )
            .await,
            "id"
        ),
        texts(
            &all(&graph, &format!("/drives/{drive}/items/{file}/permissions")).await,
            "id"
        )
    );
    graph.finish();
}

#[tokio::test]
async fn applications_are_let_into_single_sites() {
    let graph = Graph::with(|o| {
        (o.files, o.sites) = (0, 1);
        o.app = vec!["narrow:secret:Sites.Selected".into()];
    });
    let finance = site(&graph, "/sites/Finance").await;
    let form = "grant_type=client_credentials&client_id=narrow&client_secret=secret&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default";
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        graph.running.url, graph.running.tenant
    );
    let request = graph
        .raw(Method::POST, &url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let token = graph.send(request).await.expect(200).json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let as_narrow = async |method: Method, path: &str, body: Value| {
        let request = graph
            .raw(method, &format!("{}/v1.0{path}", graph.running.url))
            .bearer_auth(&token);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        graph.send(request).await.status
    };
    assert_eq!(
        as_narrow(Method::GET, &format!("{finance}/lists"), Value::Null).await,
        403
    );
    let grant = json!({"roles": ["read"], "grantedToIdentities": [{"application": {"id": "narrow", "displayName": "Narrow"}}]});
    let made = graph
        .post(&format!("{finance}/permissions"), grant)
        .await
        .expect(201)
        .json();
    assert_eq!(
        made["grantedToIdentitiesV2"][0]["application"]["id"],
        "narrow"
    );
    assert_eq!(
        as_narrow(Method::GET, &format!("{finance}/lists"), Value::Null).await,
        200
    );
    assert_eq!(
        as_narrow(Method::GET, &format!("{finance}/drives"), Value::Null).await,
        200
    );
    assert_eq!(
        as_narrow(Method::GET, "/sites/root/lists", Value::Null).await,
        403
    );
    assert_eq!(
        as_narrow(Method::GET, "/sites/getAllSites", Value::Null).await,
        403
    );
    let item = json!({"fields": {"Title": "x"}});
    assert_eq!(
        as_narrow(
            Method::POST,
            &format!("{finance}/lists/Assets/items"),
            item.clone()
        )
        .await,
        403
    );
    let permission = format!("{finance}/permissions/{}", made["id"].as_str().unwrap());
    graph
        .patch(&permission, json!({"roles": ["write"]}))
        .await
        .expect(200);
    assert_eq!(
        as_narrow(Method::POST, &format!("{finance}/lists/Assets/items"), item).await,
        201
    );
    assert_eq!(
        all(&graph, &format!("{finance}/permissions")).await.len(),
        1
    );
    graph.delete(&permission).await.expect(204);
    assert_eq!(
        as_narrow(Method::GET, &format!("{finance}/lists"), Value::Null).await,
        403
    );
    graph.finish();
}

#[tokio::test]
async fn lists_are_made_with_more_than_write() {
    let graph = Graph::with(|o| {
        (o.files, o.sites) = (0, 1);
        o.roles = vec!["Sites.ReadWrite.All".into()];
    });
    graph
        .post("/sites/root/lists", json!({"displayName": "x"}))
        .await
        .expect(403);
    graph
        .post(
            "/sites/root/lists/Vendors/items",
            json!({"fields": {"Title": "x"}}),
        )
        .await
        .expect(201);
    graph.get("/sites/root/permissions").await.expect(403);
    graph.finish();
}

#[tokio::test]
async fn limits_are_told_before_they_are_met() {
    let graph = Graph::with(|o| {
        (o.files, o.sites, o.throttle) = (0, 1, Throttle::Real);
    });
    let list = "/sites/root/lists/Assets";
    let (mut used, mut told) = (0, None);
    // 5 units each, of 1,250 a minute.
    let refused = loop {
        let answer = graph.get(&format!("{list}/permissions")).await;
        if answer.status != 200 {
            break answer;
        }
        used += 5;
        if answer.headers.contains_key("ratelimit-remaining") && told.is_none() {
            assert_eq!(answer.header("ratelimit-limit"), "1250");
            assert!(answer.header("ratelimit-reset").parse::<u64>().unwrap() <= 60);
            told = Some((used, answer.header("ratelimit-remaining")));
        }
        assert!(used <= 1_250);
    };
    assert_eq!(told, Some((1_000, "250".into())), "from 80 % on");
    assert_eq!(used, 1_250);
    assert_eq!(
        (refused.status, refused.codes().0),
        (429, "activityLimitReached".into())
    );
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    // A member of a batch is counted, and refused, by itself.
    let batch = json!({"requests": [{"id": "1", "method": "GET", "url": "/sites/root"}]});
    let answer = graph.post("/$batch", batch).await.expect(200).json();
    assert_eq!(answer["responses"][0]["status"], 429);
    graph.control("clock", json!({"advance_seconds": 61})).await;
    graph.get("/sites/root").await.expect(200);
    graph.finish();
}

#[tokio::test]
async fn sharing_has_a_limit_of_its_own() {
    let graph = Graph::with(|o| {
        (o.files, o.sites, o.throttle) = (0, 1, Throttle::Real);
    });
    let link = json!({"type": "view", "scope": "organization"});
    let mut passed = 0;
    let refused = loop {
        let answer = graph
            .post("/sites/root/lists/Vendors/items/1/createLink", link.clone())
            .await;
        if answer.status > 201 {
            break answer;
        }
        passed += 1;
        assert!(passed <= 300);
        if passed % 200 == 0 {
            graph.control("clock", json!({"advance_seconds": 61})).await;
        }
    };
    assert_eq!((passed, refused.status), (300, 429));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 60);
    graph.finish();
}

#[tokio::test]
async fn administrators_make_and_close_and_delete_sites() {
    let graph = tenant();
    let (every, link) = round(&graph, "/sites/delta").await;
    let act = async |what: Value| graph.control("sites", what).await;
    act(json!({"do": "create", "url": "https://contoso.sharepoint.com/sites/New", "title": "New"}))
        .await;
    let new = site(&graph, "/sites/New").await;
    assert_eq!(
        texts(&all(&graph, &format!("{new}/drives")).await, "name"),
        ["Documents"]
    );
    let finance = site(&graph, "/sites/Finance").await;
    let payroll = site(&graph, "/sites/Finance/payroll").await;
    act(json!({"do": "rename", "url": "https://contoso.sharepoint.com/sites/New", "title": "Newer"})).await;
    act(json!({"do": "lock", "url": "https://contoso.sharepoint.com/sites/Finance"})).await;
    graph.get(&finance).await.expect(423);
    graph.get(&format!("{payroll}/lists")).await.expect(423);
    act(json!({"do": "open", "url": "https://contoso.sharepoint.com/sites/Finance"})).await;
    graph.get(&format!("{payroll}/lists")).await.expect(200);
    act(json!({"do": "delete", "url": "https://contoso.sharepoint.com/sites/Finance"})).await;
    for gone in [&finance, &payroll] {
        let missing = graph.get(gone).await.expect(404);
        assert!(
            missing.json()["error"]["message"]
                .as_str()
                .unwrap()
                .contains("Requested site could not be found")
        );
    }
    let (changes, next) = round(&graph, &link).await;
    assert_eq!(
        by(&changes, "displayName", "Newer")["webUrl"],
        "https://contoso.sharepoint.com/sites/New"
    );
    let deleted: Vec<&Value> = changes
        .iter()
        .filter(|s| s["deleted"].is_object())
        .collect();
    assert_eq!(deleted.len(), 3, "the site and the two below it");
    assert!(deleted.iter().all(|s| s["webUrl"].is_null()));
    assert!(round(&graph, &next).await.0.is_empty());
    assert_eq!(round(&graph, "/sites/delta").await.0.len(), every.len() - 2);
    // The fixed token of the tests is an application's like any other.
    let request = graph
        .raw(
            Method::GET,
            &format!("{}/v1.0/sites/root", graph.running.url),
        )
        .bearer_auth(STATIC_TOKEN);
    graph.send(request).await.expect(200);
    graph.finish();
}
