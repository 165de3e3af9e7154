//! Addressing, listing, folders, renames, moves, deletion, copies, versions, names.

use std::collections::BTreeSet;

use graph_emulator::Quirk;
use reqwest::Method;
use serde_json::{Value, json};

use super::Graph;

#[tokio::test]
async fn one_item_by_every_address() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let id = graph.file(&drive, "a%20b/c%25d/%23e%20%2B.txt", b"x").await;
    let parent = graph
        .get(&format!("{drive}/root:/a%20b/c%25d"))
        .await
        .expect(200)
        .json();
    let parent_id = parent["id"].as_str().unwrap().to_owned();
    let user = "/users/alice%40contoso.com/drive";
    for address in [
        format!("{drive}/items/{id}"),
        format!("{drive}/root:/a%20b/c%25d/%23e%20+.txt"),
        format!("{drive}/root:/A%20B/C%25d/%23E%20%2B.TXT"),
        format!("{drive}/root:/a%20b/c%25d/%23e%20+.txt:"),
        format!("{drive}/items/root:/a%20b/c%25d/%23e%20+.txt"),
        format!("{drive}/items/root%3A%2Fa%20b%2Fc%25d%2F%23e%20%2B.txt%3A"),
        format!("{drive}/items/{parent_id}:/%23e%20%2B.txt"),
        format!("{drive}/items/{parent_id}/children/%23e%20%2B.txt"),
        format!("/{drive}/items('{id}')"),
        format!("{user}/items/{id}"),
        format!("{user}/root:/a%20b/c%25d/%23e%20%2B.txt"),
    ] {
        let item = graph.get(&address).await;
        assert_eq!(item.status, 200, "{address}");
        let item = item.json();
        assert_eq!(item["id"], id.as_str(), "{address}");
        assert_eq!(item["name"], "#e +.txt");
        let path = item["parentReference"]["path"].as_str().unwrap();
        assert!(path.ends_with("/root:/a%20b/c%25d"), "{path}");
    }
    let root = graph.get(&format!("{drive}/root")).await.expect(200).json();
    assert!(
        root["root"].is_object()
            && root["id"]
                .as_str()
                .unwrap()
                .ends_with("56Y2GOVW7725BZO354PWSELRRZ")
    );
    assert_eq!(root["size"], 1);
    assert_eq!(
        graph.get(&format!("{drive}/items/root")).await.json()["id"],
        root["id"]
    );
    assert_eq!(
        graph
            .get(&format!("{drive}/root:/nope.txt"))
            .await
            .expect(404)
            .codes()
            .0,
        "itemNotFound"
    );
    graph
        .get(&format!("{drive}/items/01AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
        .await
        .expect(404);
    graph.finish();
}

#[tokio::test]
async fn people_and_their_drives() {
    let graph = Graph::new();
    let list = graph
        .get("/users/alice@contoso.com/drives")
        .await
        .expect(200)
        .json();
    assert_eq!(list["value"].as_array().unwrap().len(), 1);
    let drive = &list["value"][0];
    assert_eq!(drive["driveType"], "business");
    assert_eq!(drive["id"].as_str().unwrap().len(), 66);
    assert!(drive["sharePointIds"].is_null());
    let selected = graph
        .get("/users/alice@contoso.com/drive?$select=id,sharePointIds")
        .await
        .json();
    assert!(selected["sharePointIds"]["siteUrl"].is_string() && selected["quota"].is_null());
    // The print service has no OneDrive.
    let none = graph
        .get("/users/print@contoso.com/drive")
        .await
        .expect(404);
    assert_eq!(none.codes().0, "ResourceNotFound");
    assert!(
        none.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("mysite not found")
    );
    graph
        .get("/users/nobody@contoso.com/drive")
        .await
        .expect(404);
    graph.get("/me/drive").await.expect(400);
    graph.finish();
}

#[tokio::test]
async fn listings_are_paged_and_ordered() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    for i in 0..23 {
        graph.file(&drive, &format!("f/{i:02}.txt"), b"abc").await;
    }
    let mut url = format!("{drive}/root:/f:/children?$top=10&$select=name,size");
    let (mut names, mut pages) = (Vec::new(), 0);
    loop {
        let page = graph.get(&url).await.expect(200).json();
        pages += 1;
        for item in page["value"].as_array().unwrap() {
            names.push(item["name"].as_str().unwrap().to_owned());
            assert_eq!(item["size"], 3);
            assert!(item["createdDateTime"].is_null(), "not selected");
        }
        match page["@odata.nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(
        names,
        (0..23).map(|i| format!("{i:02}.txt")).collect::<Vec<_>>()
    );
    let down = graph
        .get(&format!(
            "{drive}/root:/f:/children?$orderby=name%20desc&$top=2"
        ))
        .await
        .json();
    assert_eq!(down["value"][0]["name"], "22.txt");
    let next = graph
        .get(down["@odata.nextLink"].as_str().unwrap())
        .await
        .json();
    assert_eq!(next["value"][0]["name"], "20.txt");
    graph
        .get(&format!("{drive}/root:/f:/children?$orderby=size"))
        .await
        .expect(400);
    let refused = graph
        .get(&format!("{drive}/root:/f:/children?$expand=permissions"))
        .await
        .expect(400);
    assert_eq!(refused.codes().0, "notSupported");
    let expanded = graph
        .get(&format!("{drive}/root:/f?$expand=children"))
        .await
        .json();
    assert_eq!(expanded["children"].as_array().unwrap().len(), 23);
    let found = graph
        .get(&format!("{drive}/root/search(q='07')"))
        .await
        .expect(200)
        .json();
    assert_eq!(found["value"][0]["name"], "07.txt");
    graph.finish();
}

#[tokio::test]
async fn folders_and_taken_names() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let root = format!("{drive}/root");
    let make = |name: &'static str, behavior: &'static str| {
        let body =
            json!({"name": name, "folder": {}, "@microsoft.graph.conflictBehavior": behavior});
        (body, format!("{drive}/root/children"))
    };
    let id = graph.folder(&root, "Reports").await;
    let (body, url) = make("rePORTS", "fail");
    assert_eq!(
        graph.post(&url, body).await.expect(409).codes().0,
        "nameAlreadyExists"
    );
    let (body, url) = make("reports", "replace");
    let same = graph.post(&url, body).await;
    assert!(same.status < 300);
    assert_eq!(same.json()["id"], id.as_str(), "replace keeps a folder");
    let (body, url) = make("reports", "rename");
    assert_eq!(
        graph.post(&url, body).await.expect(201).json()["name"],
        "reports 1"
    );
    // A file of that name in the way, and the other way round.
    graph.file(&drive, "plan.txt", b"1").await;
    let (body, url) = make("PLAN.TXT", "replace");
    graph.post(&url, body).await.expect(409);
    graph
        .put(&format!("{drive}/root:/Reports:/content"), *b"x")
        .await
        .expect(409);
    // What PUT does with a taken name.
    let put = |behavior: &str| {
        format!("{drive}/root:/plan.txt:/content?@microsoft.graph.conflictBehavior={behavior}")
    };
    graph.put(&put("fail"), *b"2").await.expect(409);
    assert_eq!(
        graph.put(&put("rename"), *b"2").await.expect(201).json()["name"],
        "plan 1.txt"
    );
    graph.put(&put("replace"), *b"22").await.expect(200);
    graph
        .put(&format!("{drive}/root:/Plan.TXT:/content"), *b"333")
        .await
        .expect(200);
    assert_eq!(
        graph.get(&format!("{drive}/root:/plan.txt")).await.json()["name"],
        "plan.txt"
    );
    for name in [
        "a:b",
        "CON",
        "con.txt",
        "~$x",
        "x_vti_y",
        "desktop.ini",
        "a?",
        "forms",
    ] {
        let refused = graph
            .post(
                &format!("{drive}/root/children"),
                json!({"name": name, "folder": {}}),
            )
            .await;
        assert_eq!(refused.status, 400, "{name}");
    }
    let long = "x".repeat(200);
    graph.folder(&root, &long).await;
    let deep = format!("{drive}/root:/{long}:/children");
    graph
        .post(&deep, json!({"name": "y".repeat(199), "folder": {}}))
        .await
        .expect(201);
    let refused = graph
        .post(&deep, json!({"name": "y".repeat(200), "folder": {}}))
        .await
        .expect(400);
    assert_eq!(refused.codes().1, "pathIsTooLong");
    graph.finish();
}

#[tokio::test]
async fn renames_moves_and_times() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let root = format!("{drive}/root");
    let (a, b) = (
        graph.folder(&root, "a").await,
        graph.folder(&root, "b").await,
    );
    let file = graph.file(&drive, "a/f.txt", b"hello").await;
    let url = format!("{drive}/items/{file}");
    let before = graph.get(&url).await.json();
    let moved = graph
        .patch(&url, json!({"name": "g.txt", "parentReference": {"id": b}}))
        .await
        .expect(200)
        .json();
    assert_eq!(moved["id"], file.as_str());
    assert_ne!(moved["eTag"], before["eTag"]);
    assert_eq!(moved["cTag"], before["cTag"], "the content is the same");
    assert_eq!(
        graph.get(&format!("{drive}/root:/b/g.txt")).await.json()["id"],
        file.as_str()
    );
    assert_eq!(
        graph.get(&format!("{drive}/items/{a}")).await.json()["size"],
        0
    );
    assert_eq!(
        graph.get(&format!("{drive}/items/{b}")).await.json()["folder"]["childCount"],
        1
    );
    // Only the case changes: no collision with itself.
    graph
        .patch(&url, json!({"name": "G.TXT"}))
        .await
        .expect(200);
    // The word root, another drive, below itself.
    graph
        .patch(&url, json!({"parentReference": {"id": "root"}}))
        .await
        .expect(400);
    graph
        .patch(
            &url,
            json!({"parentReference": {"driveId": "b!other", "id": b}}),
        )
        .await
        .expect(400);
    let c = graph.folder(&format!("{drive}/items/{b}"), "c").await;
    graph
        .patch(
            &format!("{drive}/items/{b}"),
            json!({"parentReference": {"id": c}}),
        )
        .await
        .expect(400);
    // Times, to the second; on a file that is a new version.
    let times = json!({"createdDateTime": "2001-02-03T04:05:06Z", "lastModifiedDateTime": "2002-03-04T05:06:07.9Z"});
    let timed = graph
        .patch(&url, json!({"fileSystemInfo": times}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        timed["fileSystemInfo"]["lastModifiedDateTime"],
        "2002-03-04T05:06:07Z"
    );
    assert_eq!(timed["lastModifiedDateTime"], "2002-03-04T05:06:07Z");
    let versions = graph.get(&format!("{url}/versions")).await.json();
    assert_eq!(versions["value"].as_array().unwrap().len(), 2);
    // If-Match.
    let stale = before["eTag"].as_str().unwrap();
    let request = graph
        .request(Method::PATCH, &url)
        .header("if-match", stale)
        .json(&json!({"name": "h"}));
    assert_eq!(
        graph.send(request).await.expect(412).codes().0,
        "resourceModified"
    );
    let current = timed["eTag"].as_str().unwrap();
    let request = graph
        .request(Method::DELETE, &url)
        .header("if-match", current);
    graph.send(request).await.expect(204);
    graph.get(&url).await.expect(404);
    graph.delete(&format!("{drive}/root")).await.expect(403);
    let bin = graph.get(&drive).await.json();
    assert_eq!(bin["quota"]["deleted"], 5);
    graph
        .post(&format!("{drive}/items/{b}/permanentDelete"), Value::Null)
        .await
        .expect(204);
    graph.get(&format!("{drive}/items/{c}")).await.expect(404);
    graph.finish();
}

#[tokio::test]
async fn copies_are_jobs() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let target = graph.folder(&format!("{drive}/root"), "target").await;
    graph.file(&drive, "src/one.txt", b"one").await;
    graph.file(&drive, "src/sub/two.txt", b"two").await;
    let source = graph.get(&format!("{drive}/root:/src")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = json!({"parentReference": {"driveId": drive.trim_start_matches("/drives/"), "id": target}, "name": "copy"});
    let monitor = graph
        .post(&format!("{drive}/items/{source}/copy"), body.clone())
        .await
        .expect(202)
        .header("location");
    let first = graph
        .send(graph.raw(Method::GET, &monitor))
        .await
        .expect(202)
        .json();
    assert_eq!(first["status"], "inProgress");
    let done = graph
        .send(graph.raw(Method::GET, &monitor))
        .await
        .expect(200)
        .json();
    assert_eq!(done["status"], "completed");
    assert_eq!(
        graph
            .download(&format!("{drive}/root:/target/copy/sub/two.txt:/content"))
            .await,
        b"two"
    );
    let monitor = graph
        .post(&format!("{drive}/items/{source}/copy"), body)
        .await
        .expect(202)
        .header("location");
    graph
        .send(graph.raw(Method::GET, &monitor))
        .await
        .expect(202);
    let failed = graph
        .send(graph.raw(Method::GET, &monitor))
        .await
        .expect(200)
        .json();
    assert_eq!(failed["error"]["code"], "nameAlreadyExists");
    // To the other account's drive.
    let other = graph.get("/users/bob@contoso.com/drive/root").await.json();
    let to = json!({"parentReference": {"driveId": other["parentReference"]["driveId"], "id": other["id"]}});
    graph
        .post(&format!("{drive}/items/{source}/copy"), to)
        .await
        .expect(202);
    assert_eq!(
        graph
            .download("/users/bob@contoso.com/drive/root:/src/one.txt:/content")
            .await,
        b"one"
    );
    graph.finish();
}

#[tokio::test]
async fn versions_come_and_go() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let id = graph.file(&drive, "v.txt", b"first").await;
    graph.file(&drive, "v.txt", b"second!").await;
    graph.file(&drive, "v.txt", b"third").await;
    let versions = format!("{drive}/items/{id}/versions");
    let list = graph.get(&versions).await.expect(200).json();
    let ids: Vec<&str> = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["3.0", "2.0", "1.0"]);
    assert_eq!(list["value"][1]["size"], 7);
    assert_eq!(
        graph.download(&format!("{versions}/1.0/content")).await,
        b"first"
    );
    graph
        .get(&format!("{versions}/3.0/content"))
        .await
        .expect(400);
    graph
        .post(&format!("{versions}/1.0/restoreVersion"), Value::Null)
        .await
        .expect(204);
    assert_eq!(
        graph.download(&format!("{drive}/items/{id}/content")).await,
        b"first"
    );
    let list = graph.get(&versions).await.json();
    assert_eq!(
        list["value"].as_array().unwrap().len(),
        4,
        "nothing is removed"
    );
    graph.delete(&format!("{versions}/2.0")).await.expect(204);
    graph.get(&format!("{versions}/2.0")).await.expect(404);
    graph.delete(&format!("{versions}/4.0")).await.expect(400);
    graph.finish();
}

#[tokio::test]
async fn a_generated_tenant_has_what_real_ones_have() {
    let graph = Graph::with(|o| o.files = 400);
    let drive = graph.drive().await;
    let mut url = format!("{drive}/root/delta?$top=150");
    let mut items = Vec::new();
    let mut parents = BTreeSet::new();
    loop {
        let page = graph.get(&url).await.expect(200).json();
        for item in page["value"].as_array().unwrap() {
            let parent = item["parentReference"]["id"].as_str();
            assert!(
                item["root"].is_object() || parents.contains(parent.unwrap()),
                "child before parent: {item}"
            );
            parents.insert(item["id"].as_str().unwrap().to_owned());
            items.push(item.clone());
        }
        match page["@odata.nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    let files: Vec<&Value> = items.iter().filter(|i| i["file"].is_object()).collect();
    assert_eq!(files.len(), 200, "half of them: two accounts");
    assert_eq!(files.iter().filter(|f| f["malware"].is_object()).count(), 1);
    assert!(
        items
            .iter()
            .any(|i| i["package"]["type"] == "oneNote" && i["folder"].is_object())
    );
    let shortcut = items
        .iter()
        .find(|i| i["remoteItem"].is_object())
        .expect("a shortcut");
    let (target, id) = (
        &shortcut["remoteItem"]["parentReference"]["driveId"],
        &shortcut["remoteItem"]["id"],
    );
    graph
        .get(&format!(
            "/drives/{}/items/{}",
            target.as_str().unwrap(),
            id.as_str().unwrap()
        ))
        .await
        .expect(200);
    let section = files
        .iter()
        .find(|f| f["name"] == "Meetings.one")
        .expect("a section");
    assert!(section["file"]["hashes"].is_null());
    let infected = files.iter().find(|f| f["malware"].is_object()).unwrap();
    let refused = graph
        .get(&format!(
            "{drive}/items/{}/content",
            infected["id"].as_str().unwrap()
        ))
        .await
        .expect(403);
    assert_eq!(refused.codes().0, "malwareDetected");
    assert_eq!(refused.header("x-virus-infected"), "true");
    // Sizes and hashes are those of the bytes.
    for file in files.iter().filter(|f| f["malware"].is_null()).take(40) {
        let bytes = graph
            .download(&format!(
                "{drive}/items/{}/content",
                file["id"].as_str().unwrap()
            ))
            .await;
        assert_eq!(file["size"].as_u64().unwrap(), bytes.len() as u64);
        if let Some(hash) = file["file"]["hashes"]["quickXorHash"].as_str() {
            assert_eq!(hash, super::content::quick_xor(&bytes), "{}", file["name"]);
        }
    }
    graph.finish();
    let graph = Graph::with(|o| {
        o.files = 100;
        o.quirk = vec![Quirk::PackageOnly];
    });
    let drive = graph.drive().await;
    let notebooks = graph
        .get(&format!("{drive}/root:/Notebooks:/children"))
        .await
        .json();
    assert!(
        notebooks["value"][0]["package"].is_object() && notebooks["value"][0]["folder"].is_null()
    );
    graph.finish();
}
