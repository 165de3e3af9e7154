//! Libraries: drives of sites.

use serde_json::json;

use super::{Graph, all, by, round, site, tenant, texts};

#[tokio::test]
async fn libraries_are_drives() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let drives = all(&graph, &format!("{finance}/drives")).await;
    assert_eq!(texts(&drives, "name"), ["Documents", "Media"]);
    for drive in &drives {
        assert_eq!(drive["driveType"], "documentLibrary");
        assert!(drive["id"].as_str().unwrap().starts_with("b!"));
    }
    assert_eq!(
        drives[0]["webUrl"],
        "https://contoso.sharepoint.com/sites/Finance/Shared%20Documents"
    );
    let hidden = all(&graph, &format!("{finance}/drives?$select=id,name,system")).await;
    assert_eq!(
        texts(&hidden, "name"),
        ["Documents", "Site Assets", "Style Library", "Media"]
    );
    assert!(by(&hidden, "name", "Site Assets")["system"].is_object());
    let usual = graph
        .get(&format!("{finance}/drive"))
        .await
        .expect(200)
        .json();
    assert_eq!(usual["id"], drives[0]["id"]);
    // All that drives can do works from every address.
    let id = drives[0]["id"].as_str().unwrap();
    let (items, link) = round(&graph, &format!("/drives/{id}/root/delta")).await;
    assert!(items.len() > 5);
    let same = round(&graph, &format!("{finance}/drive/root/delta"))
        .await
        .0;
    assert_eq!(same.len(), items.len());
    let upload = format!("{finance}/drives/{id}/root:/new%20folder/hello.txt:/content");
    let file = graph.put(&upload, "hello").await.expect(201).json();
    assert_eq!(
        graph
            .download(&format!(
                "/drives/{id}/items/{}/content",
                file["id"].as_str().unwrap()
            ))
            .await,
        b"hello"
    );
    assert_eq!(file["parentReference"]["driveType"], "documentLibrary");
    let by_path = graph
        .get("/sites/contoso.sharepoint.com:/sites/Finance:/drive/root:/new folder/hello.txt")
        .await
        .expect(200)
        .json();
    assert_eq!(by_path["id"], file["id"]);
    assert_eq!(
        by_path["webUrl"],
        "https://contoso.sharepoint.com/sites/Finance/Shared%20Documents/new%20folder/hello.txt"
    );
    let changes = round(&graph, &link).await.0;
    assert!(changes.iter().any(|i| i["id"] == file["id"]));
    // The groups of the site have the say.
    let permissions = all(
        &graph,
        &format!(
            "/drives/{id}/items/{}/permissions",
            file["id"].as_str().unwrap()
        ),
    )
    .await;
    let groups: Vec<&str> = permissions
        .iter()
        .filter_map(|p| p["grantedToV2"]["siteGroup"]["displayName"].as_str())
        .collect();
    assert_eq!(
        groups,
        ["Finance Owners", "Finance Visitors", "Finance Members"]
    );
    graph.finish();
}

#[tokio::test]
async fn files_are_list_items() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let drives = all(&graph, &format!("{finance}/drives")).await;
    let drive = format!(
        "/drives/{}",
        by(&drives, "name", "Media")["id"].as_str().unwrap()
    );
    let file = graph.file(&drive, "a/plan.txt", b"x").await;
    let list = graph.get(&format!("{drive}/list")).await.expect(200).json();
    assert_eq!(
        (&list["displayName"], &list["list"]["template"]),
        (&json!("Media"), &json!("documentLibrary"))
    );
    let through = graph
        .get(&format!("{drive}/items/{file}/listItem?$expand=fields"))
        .await
        .expect(200)
        .json();
    assert_eq!(through["fields"]["FileLeafRef"], "plan.txt");
    assert_eq!(through["contentType"]["name"], "Document");
    let number = through["id"].as_str().unwrap();
    let list_path = format!("{finance}/lists/Media");
    let back = graph
        .get(&format!("{list_path}/items/{number}/driveItem"))
        .await
        .expect(200)
        .json();
    assert_eq!(back["id"], file.as_str());
    // Values of the library's columns make a version, which has them.
    let fields = format!("{drive}/items/{file}/listItem/fields");
    let set = graph
        .patch(&fields, json!({"Reviewed": true, "Amount": 12.5}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&set["Reviewed"], &set["Amount"]),
        (&json!(true), &json!(12.5))
    );
    graph
        .patch(&fields, json!({"Amount": 13}))
        .await
        .expect(200);
    let versions = all(
        &graph,
        &format!("{list_path}/items/{number}/versions?$expand=fields"),
    )
    .await;
    assert_eq!(texts(&versions, "id"), ["3.0", "2.0", "1.0"]);
    assert_eq!(versions[1]["fields"]["Amount"], 12.5);
    assert!(versions[2]["fields"]["Amount"].is_null());
    assert_eq!(
        all(&graph, &format!("{drive}/items/{file}/versions"))
            .await
            .len(),
        3
    );
    // A name is a value too.
    graph
        .patch(&fields, json!({"FileLeafRef": "renamed.txt"}))
        .await
        .expect(200);
    let renamed = graph
        .get(&format!(
            "{drive}/items/{file}?$expand=listItem($expand=fields)"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&renamed["name"], &renamed["listItem"]["fields"]["Amount"]),
        (&json!("renamed.txt"), &json!(13.0))
    );
    // What changed is told by the list as by the drive.
    let (items, link) = round(
        &graph,
        &format!("{list_path}/items/delta?$expand=fields&$top=3"),
    )
    .await;
    let item = items.iter().rev().find(|i| i["id"] == number).unwrap();
    assert_eq!(item["fields"]["FileLeafRef"], "renamed.txt");
    assert!(items.iter().any(|i| i["contentType"]["name"] == "Folder"));
    graph
        .delete(&format!("{drive}/items/{file}"))
        .await
        .expect(204);
    let (gone, _) = round(&graph, &link).await;
    assert_eq!(
        (gone.len(), &gone[0]["deleted"]["state"]),
        (1, &json!("deleted"))
    );
    graph
        .get(&format!("{list_path}/items/{number}"))
        .await
        .expect(404);
    graph
        .post(
            &format!("{list_path}/items"),
            json!({"fields": {"Title": "x"}}),
        )
        .await
        .expect(400);
    graph.finish();
}

#[tokio::test]
async fn files_of_this_machine_come_into_libraries() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/real.txt"), "real").unwrap();
    let graph = Graph::with(|o| {
        o.sites = 1;
        o.files = 0;
        o.site_files = 0;
        o.import_site_files = vec![dir.path().to_owned()];
    });
    let file = graph
        .get("/sites/root/drive/root:/sub/real.txt")
        .await
        .expect(200)
        .json();
    assert_eq!(file["size"], 4);
    graph.finish();
}

#[tokio::test]
async fn office_files_are_rewritten_in_libraries_too() {
    let graph = Graph::with(|o| {
        (o.files, o.sites) = (0, 1);
        o.quirk = vec![graph_emulator::Quirk::OfficeRewrite];
    });
    let upload = async |name: &str| {
        let path = format!("/sites/root/drive/root:/{name}:/content");
        graph.put(&path, "0123456789").await.expect(201).json()["size"]
            .as_u64()
            .unwrap()
    };
    assert!(upload("a.docx").await > 10);
    assert_eq!(upload("a.txt").await, 10);
    graph.finish();
}

#[tokio::test]
async fn what_goes_wrong_by_script() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let items = format!("{finance}/lists/Assets/items");
    let route = "/v1.0/sites/{id}/lists/{id}/items";
    graph
        .control(
            "faults",
            json!([
                {"route": route, "fault": {"status": 400, "code": "invalidRequest"}},
                {"route": route, "fault": {"status": 404, "empty": true}},
                {"route": route, "fault": {"status": 503, "empty": true, "retry_after": 1}},
                {"route": route, "fault": "reset"},
                {"route": format!("{route}/delta"), "fault": {"slow": 20_000}},
            ]),
        )
        .await;
    assert_eq!(
        graph.get(&items).await.expect(400).codes().0,
        "invalidRequest"
    );
    assert!(graph.get(&items).await.expect(404).bytes.is_empty());
    assert_eq!(
        graph.get(&items).await.expect(503).header("retry-after"),
        "1"
    );
    assert!(
        graph
            .request(reqwest::Method::GET, &items)
            .send()
            .await
            .is_err()
    );
    assert!(!all(&graph, &items).await.is_empty());
    assert!(
        !round(&graph, &format!("{items}/delta?$top=5"))
            .await
            .0
            .is_empty()
    );
    // Answers without a body are not in the model: nothing to hold against it.
    graph.running.stop();
}
