//! Permissions, what delta says of them, and what requests cost.

use graph_emulator::Throttle;
use reqwest::Method;
use serde_json::{Value, json};

use super::Graph;

const SCAN: &str = "deltashowremovedasdeleted,deltatraversepermissiongaps,deltashowsharingchanges,hierarchicalsharing";

async fn permissions(graph: &Graph, item: &str) -> Vec<Value> {
    let list = graph
        .get(&format!("{item}/permissions"))
        .await
        .expect(200)
        .json();
    for permission in list["value"].as_array().unwrap() {
        assert!(
            permission["inheritedFrom"].is_null(),
            "OneDrive for Business does not tell"
        );
    }
    list["value"].as_array().unwrap().clone()
}

#[tokio::test]
async fn grants_links_and_inheritance() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let folder = graph.folder(&format!("{drive}/root"), "shared").await;
    let file = graph.file(&drive, "shared/f.txt", b"x").await;
    let (folder, file) = (
        format!("{drive}/items/{folder}"),
        format!("{drive}/items/{file}"),
    );
    let own = permissions(&graph, &file).await;
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["roles"], json!(["owner"]));
    let invite = |who: &str| json!({"recipients": [{"email": who}], "roles": ["write"], "requireSignIn": true, "sendInvitation": false});
    let granted = graph
        .post(&format!("{folder}/invite"), invite("bob@contoso.com"))
        .await
        .expect(200)
        .json();
    let grant = granted["value"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        granted["value"][0]["grantedToV2"]["user"]["email"],
        "bob@contoso.com"
    );
    let link = json!({"type": "view", "scope": "organization"});
    graph
        .post(&format!("{folder}/createLink"), link.clone())
        .await
        .expect(201);
    graph
        .post(&format!("{folder}/createLink"), link)
        .await
        .expect(200);
    assert_eq!(
        permissions(&graph, &file).await.len(),
        3,
        "owner, bob and the link, inherited"
    );
    // Inherited ones can't be changed down here.
    graph
        .delete(&format!("{file}/permissions/{grant}"))
        .await
        .expect(403);
    let changed = graph
        .patch(
            &format!("{folder}/permissions/{grant}"),
            json!({"roles": ["read"]}),
        )
        .await
        .expect(200);
    assert_eq!(changed.json()["roles"], json!(["read"]));
    // Broken inheritance without links: a link that takes nothing over, and away with it.
    let alone = json!({"type": "view", "scope": "users", "retainInheritedPermissions": false});
    let made = graph
        .post(&format!("{file}/createLink"), alone)
        .await
        .expect(201)
        .json();
    graph
        .delete(&format!(
            "{file}/permissions/{}",
            made["id"].as_str().unwrap()
        ))
        .await
        .expect(204);
    let left = permissions(&graph, &file).await;
    assert!(
        left.iter()
            .all(|p| p["grantedToV2"]["user"]["email"] != "bob@contoso.com")
    );
    // Nobody, somebody outside, somewhere forbidden.
    let nobody = graph
        .post(&format!("{folder}/invite"), invite("nobody@contoso.com"))
        .await
        .expect(400);
    assert_eq!(nobody.codes().1, "noResolvedUsers");
    let outside = graph
        .post(&format!("{folder}/invite"), invite("x@fabrikam.example"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        outside["value"][0]["invitation"]["email"],
        "x@fabrikam.example"
    );
    let forbidden = graph
        .post(&format!("{folder}/invite"), invite("x@blocked.example"))
        .await
        .expect(403);
    assert_eq!(forbidden.codes().1, "sharingDisabled");
    let owner = own[0]["id"].as_str().unwrap();
    graph
        .delete(&format!("{folder}/permissions/{owner}"))
        .await
        .expect(403);
    graph.finish();
}

#[tokio::test]
async fn delta_shows_sharing() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let folder = graph.folder(&format!("{drive}/root"), "shared").await;
    let file = graph.file(&drive, "shared/f.txt", b"x").await;
    let scan = async |url: &str| {
        let page = graph
            .send(graph.request(Method::GET, url).header("prefer", SCAN))
            .await
            .expect(200)
            .json();
        let find = |id: &str| {
            page["value"]
                .as_array()
                .unwrap()
                .iter()
                .find(|i| i["id"] == id)
                .cloned()
        };
        (
            find(&folder),
            find(&file),
            page["@odata.deltaLink"].as_str().unwrap().to_owned(),
            page,
        )
    };
    let (f, _, link, page) = scan(&format!("{drive}/root/delta")).await;
    assert!(f.unwrap()["shared"].is_null());
    assert_eq!(
        page["value"][0]["shared"],
        json!({}),
        "the unshared root of the hierarchy"
    );
    let before = graph.get(&format!("{drive}/items/{folder}")).await.json();
    let body = json!({"type": "edit", "scope": "organization"});
    graph
        .post(&format!("{drive}/items/{folder}/createLink"), body)
        .await
        .expect(201);
    let (f, inside, next, _) = scan(&link).await;
    let f = f.unwrap();
    assert_eq!(f["shared"]["scope"], "organization");
    assert_eq!(f["@microsoft.graph.sharedChanged"], "True");
    assert_eq!(f["lastModifiedDateTime"], before["lastModifiedDateTime"]);
    assert!(inside.is_none(), "what is below has not changed");
    // Without the header inherited sharing shows on everything.
    let all = graph.get(&format!("{drive}/root/delta")).await.json();
    let plain = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|i| i["id"] == file.as_str())
        .unwrap()
        .clone();
    assert_eq!(plain["shared"]["scope"], "organization");
    // Permissions of its own, without links: an empty facet.
    let alone = json!({"type": "view", "scope": "users", "retainInheritedPermissions": false});
    let made = graph
        .post(&format!("{drive}/items/{file}/createLink"), alone)
        .await
        .expect(201)
        .json();
    graph
        .delete(&format!(
            "{drive}/items/{file}/permissions/{}",
            made["id"].as_str().unwrap()
        ))
        .await
        .expect(204);
    let (_, inside, _, _) = scan(&next).await;
    assert_eq!(inside.unwrap()["shared"], json!({}));
    graph.finish();
}

#[tokio::test]
async fn permissions_to_read_and_to_write() {
    let graph = Graph::with(|o| {
        o.files = 30;
        o.roles = vec!["User.Read.All".into(), "Files.Read.All".into()];
    });
    let drive = graph.drive().await;
    graph
        .get(&format!("{drive}/root/children"))
        .await
        .expect(200);
    let refused = graph
        .put(&format!("{drive}/root:/x.txt:/content"), *b"x")
        .await
        .expect(403);
    assert_eq!(refused.codes().0, "accessDenied");
    graph.finish();
}

#[tokio::test]
async fn resource_units() {
    let graph = Graph::with(|o| {
        o.files = 0;
        o.throttle = Throttle::Real;
    });
    let drive = graph.drive().await;
    // 1,250 a minute; permissions cost 5 each.
    let mut passed = 0;
    let refused = loop {
        let answer = graph.get(&format!("{drive}/root/permissions")).await;
        if answer.status != 200 {
            break answer;
        }
        passed += 1;
        assert!(passed < 260);
    };
    assert!(passed > 240, "{passed}");
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.codes(),
        ("activityLimitReached".into(), "throttledRequest".into())
    );
    assert!(refused.header("retry-after").parse::<f64>().unwrap() > 0.0);
    graph.finish();
}

#[tokio::test]
async fn a_batch_gives_redirects_and_items() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let id = graph.file(&drive, "b.txt", b"batched").await;
    let answer = graph
        .post(
            "/$batch",
            json!({"requests": [
                {"id": "1", "method": "GET", "url": format!("{drive}/items/{id}/content")},
                {"id": "2", "method": "GET", "url": format!("{drive}/items/{id}/permissions")},
                {"id": "3", "method": "GET", "url": format!("{drive}/root:/nope")},
            ]}),
        )
        .await
        .expect(200)
        .json();
    let find = |id: &str| {
        answer["responses"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(find("1")["status"], 302);
    let location = find("1")["headers"]["Location"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        graph
            .send(graph.raw(Method::GET, &location))
            .await
            .expect(200)
            .bytes,
        b"batched"
    );
    assert_eq!(find("2")["body"]["value"].as_array().unwrap().len(), 1);
    assert_eq!(find("3")["body"]["error"]["code"], "itemNotFound");
    graph.finish();
}

#[tokio::test]
async fn people_are_told_by_mail_unless_the_request_says_no() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let file = graph.file(&drive, "told.txt", b"x").await;
    let file = format!("{drive}/items/{file}");
    let some = json!([{ "email": "bob@contoso.com" }]);
    let invite = |send: Value| json!({ "recipients": some, "roles": ["read"], "requireSignIn": true, "sendInvitation": send });
    let link = |send: Value| json!({ "recipients": some, "type": "view", "scope": "users", "sendNotification": send });
    let post = async |what: &str, body: Value| {
        let answer = graph.post(&format!("{file}/{what}"), body).await;
        assert!(answer.status < 300, "{what}");
        let outbox = format!("{}/_emulator/outbox", graph.running.url);
        let outbox = graph.send(graph.raw(Method::GET, &outbox)).await.json();
        outbox["value"].as_array().unwrap().len()
    };
    assert_eq!(post("invite", invite(json!(false))).await, 0);
    assert_eq!(post("createLink", link(json!(false))).await, 0);
    assert_eq!(post("invite", invite(json!(true))).await, 1);
    assert_eq!(post("createLink", link(Value::Null)).await, 2);
    graph.finish();
}

#[tokio::test]
async fn labelled_files_are_neither_replaced_nor_deleted() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let id = graph.file(&drive, "contract.txt", b"signed").await;
    let file = format!("{drive}/items/{id}");
    let label = format!("{file}/retentionLabel");
    graph.get(&label).await.expect(404);
    graph
        .patch(&label, json!({ "name": "Nothing" }))
        .await
        .expect(400);
    let keep = graph
        .patch(&label, json!({ "name": "Keep 7 years" }))
        .await
        .expect(200)
        .json();
    assert_eq!(keep["retentionSettings"]["isDeleteAllowed"], false);
    graph
        .patch(&file, json!({ "name": "renamed.txt" }))
        .await
        .expect(200);
    graph.delete(&file).await.expect(403);
    // A record is locked as well.
    graph
        .patch(&label, json!({ "name": "Records" }))
        .await
        .expect(200);
    let locked = graph
        .patch(&file, json!({ "name": "again.txt" }))
        .await
        .expect(423);
    assert_eq!(locked.codes().1, "resourceLocked");
    let shown = graph
        .get(&format!("{file}?$expand=retentionLabel"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        shown["retentionLabel"]["retentionSettings"]["isRecordLocked"],
        true
    );
    let unlock = json!({ "retentionSettings": { "isRecordLocked": false } });
    graph.patch(&label, unlock).await.expect(200);
    graph
        .patch(&file, json!({ "name": "again.txt" }))
        .await
        .expect(200);
    graph.delete(&label).await.expect(204);
    graph.delete(&file).await.expect(204);
    graph.finish();
}
