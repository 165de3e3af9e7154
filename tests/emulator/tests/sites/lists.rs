//! Lists, their columns and content types.

use serde_json::{Value, json};

use super::{all, by, site, tenant, texts};

#[tokio::test]
async fn lists_of_a_site() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let lists = all(&graph, &format!("{finance}/lists")).await;
    assert_eq!(
        texts(&lists, "displayName"),
        [
            "Documents",
            "Site Pages",
            "Media",
            "Vendors",
            "Assets",
            "Calendar",
            "Announcements"
        ]
    );
    assert!(lists.iter().all(|l| l["system"].is_null()));
    let system = all(
        &graph,
        &format!("{finance}/lists?$select=id,displayName,system,list&$top=3"),
    )
    .await;
    assert!(by(&system, "displayName", "User Information List")["list"]["hidden"] == true);
    assert!(by(&system, "displayName", "Site Assets")["system"].is_object());
    let assets = by(&lists, "displayName", "Assets");
    assert_eq!(
        assets["webUrl"],
        "https://contoso.sharepoint.com/sites/Finance/Lists/Assets"
    );
    let id = assets["id"].as_str().unwrap();
    for key in [id, "Assets", "assets", &id.to_uppercase()] {
        let one = graph
            .get(&format!("{finance}/lists/{key}"))
            .await
            .expect(200)
            .json();
        assert_eq!(one["id"], id);
    }
    let whole = graph
        .get(&format!("{finance}/lists/{id}?select=id,name,lastModifiedDateTime&expand=columns(select=name,description),items(expand=fields(select=Title,State))"))
        .await
        .expect(200)
        .json();
    assert!(whole["webUrl"].is_null() && whole["name"] == "Assets");
    assert!(
        whole["columns"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["name"] == "Price")
    );
    assert!(
        whole["items"][0]["fields"]["Title"].is_string()
            && whole["items"][0]["fields"]["Price"].is_null()
    );
    let generic = all(
        &graph,
        &format!("{finance}/lists?$filter=list/template eq 'events'"),
    )
    .await;
    assert_eq!(texts(&generic, "displayName"), ["Calendar"]);
    assert_eq!(
        graph
            .get(&format!("{finance}/lists/Nope"))
            .await
            .expect(404)
            .codes()
            .0,
        "itemNotFound"
    );
    graph.finish();
}

#[tokio::test]
async fn lists_are_made_changed_and_deleted() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let lists = format!("{finance}/lists");
    let body = json!({
        "displayName": "Books", "description": "All of them",
        "columns": [
            {"name": "Author", "text": {}}, {"name": "PageCount", "number": {}},
            {"name": "Total", "calculated": {"formula": "=[PageCount]*2", "outputType": "number"}},
        ],
        "list": {"template": "genericList"},
    });
    let made = graph.post(&lists, body.clone()).await.expect(201).json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["name"], "Books");
    let columns = all(&graph, &format!("{lists}/{id}/columns")).await;
    // The name of the service's own column stays its own.
    assert!(by(&columns, "name", "Author0")["text"].is_object());
    assert!(by(&columns, "name", "Author")["personOrGroup"].is_object());
    assert_eq!(
        graph.post(&lists, body).await.expect(409).codes().0,
        "nameAlreadyExists"
    );
    graph
        .post(&lists, json!({"displayName": "documents"}))
        .await
        .expect(409);
    graph
        .post(&lists, json!({"displayName": "x", "id": id}))
        .await
        .expect(400);
    graph
        .post(
            &lists,
            json!({"displayName": "x", "list": {"template": "sharingLinks"}}),
        )
        .await
        .expect(400);
    graph
        .post(&lists, json!({"displayName": ""}))
        .await
        .expect(400);
    let patched = graph
        .patch(
            &format!("{lists}/{id}"),
            json!({"displayName": "Our books"}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&patched["displayName"], &patched["name"]),
        (&json!("Our books"), &json!("Books"))
    );
    graph.get(&format!("{lists}/Our books")).await.expect(200);
    graph.delete(&format!("{lists}/{id}")).await.expect(204);
    graph.get(&format!("{lists}/{id}")).await.expect(404);
    // A library does not tell its drive when it is made.
    let library = graph
        .post(
            &lists,
            json!({"displayName": "Plans", "list": {"template": "documentLibrary"}}),
        )
        .await
        .expect(201)
        .json();
    let drive = graph
        .get(&format!(
            "{lists}/{}/drive",
            library["id"].as_str().unwrap()
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(drive["name"], "Plans");
    let drive = format!("/drives/{}", drive["id"].as_str().unwrap());
    graph.file(&drive, "a.txt", b"a").await;
    graph.delete(&format!("{lists}/Plans")).await.expect(204);
    graph.get(&drive).await.expect(404);
    assert_eq!(
        graph
            .delete(&format!("{lists}/Site Pages"))
            .await
            .expect(403)
            .codes()
            .0,
        "accessDenied"
    );
    graph.finish();
}

#[tokio::test]
async fn every_kind_of_column() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let columns = all(&graph, &format!("{finance}/lists/Assets/columns")).await;
    for (name, facet) in [
        ("Serial", "text"),
        ("Notes", "text"),
        ("Price", "currency"),
        ("Count", "number"),
        ("Insured", "boolean"),
        ("Bought", "dateTime"),
        ("State", "choice"),
        ("Tags", "choice"),
        ("Vendor", "lookup"),
        ("Bidders", "lookup"),
        ("Holder", "personOrGroup"),
        ("Reviewers", "personOrGroup"),
        ("Website", "hyperlinkOrPicture"),
        ("Total", "calculated"),
        ("Photo", "thumbnail"),
    ] {
        assert!(by(&columns, "name", name)[facet].is_object(), "{name}");
    }
    // Some come without a facet, and hidden ones only when asked for.
    let facets = |column: &Value| {
        let names = [
            "text",
            "choice",
            "number",
            "currency",
            "dateTime",
            "lookup",
            "boolean",
            "personOrGroup",
            "hyperlinkOrPicture",
            "calculated",
            "thumbnail",
            "term",
        ];
        names.iter().filter(|f| column[**f].is_object()).count()
    };
    for name in ["Office", "Topic", "Subjects", "Legacy"] {
        assert_eq!(facets(by(&columns, "name", name)), 0, "{name}");
    }
    assert!(!texts(&columns, "displayName").contains(&"Topic_0".to_owned()));
    let hidden = all(
        &graph,
        &format!("{finance}/lists/Assets/columns?$select=name,displayName,hidden"),
    )
    .await;
    let note = by(&hidden, "displayName", "Topic_0");
    assert!(note["hidden"] == true && note["name"].as_str().unwrap().len() == 32);
    assert_eq!(
        by(&columns, "name", "Tags")["choice"]["displayAs"],
        "checkBoxes"
    );
    assert!(
        by(&columns, "name", "Tags")["type"].is_null(),
        "lists do not tell"
    );
    let of_site = all(&graph, &format!("{finance}/columns")).await;
    assert_eq!(by(&of_site, "name", "Title")["type"], "text");
    graph.finish();
}

#[tokio::test]
async fn columns_are_made_changed_and_deleted() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let columns = format!("{finance}/lists/Assets/columns");
    let vendors = graph
        .get(&format!("{finance}/lists/Vendors"))
        .await
        .expect(200)
        .json()["id"]
        .clone();
    let made = graph
        .post(
            &columns,
            json!({"displayName": "Due date", "dateTime": {"format": "dateOnly"}, "indexed": true}),
        )
        .await
        .expect(201)
        .json();
    assert_eq!(
        (&made["name"], &made["indexed"]),
        (&json!("Due_x0020_date"), &json!(true))
    );
    let id = made["id"].as_str().unwrap();
    for body in [
        json!({"name": "A1", "text": {}}),
        json!({"name": "A2", "text": {"allowMultipleLines": true}}),
        json!({"name": "A3", "number": {"decimalPlaces": "two"}}),
        json!({"name": "A4", "currency": {"locale": "nb-no"}}),
        json!({"name": "A5", "boolean": {}}),
        json!({"name": "A6", "choice": {"choices": ["a", "b"]}}),
        json!({"name": "A7", "lookup": {"listId": vendors, "columnName": "Title"}}),
        json!({"name": "A8", "personOrGroup": {"allowMultipleSelection": true}}),
        json!({"name": "A9", "hyperlinkOrPicture": {"isPicture": false}}),
        json!({"name": "A10", "thumbnail": {}}),
        json!({"name": "A11", "calculated": {"formula": "=[A3]+1", "outputType": "number"}}),
    ] {
        let made = graph.post(&columns, body.clone()).await.expect(201).json();
        assert_eq!(made["name"], body["name"]);
        let facet = body
            .as_object()
            .unwrap()
            .keys()
            .find(|k| *k != "name")
            .unwrap();
        for (key, value) in body[facet].as_object().unwrap() {
            assert_eq!(&made[facet][key], value, "{body}");
        }
    }
    for bad in [
        json!({"name": "B"}),
        json!({"name": "B", "text": {}, "number": {}}),
        json!({"name": "B", "geolocation": {}}),
        json!({"name": "B", "term": {}}),
        json!({"name": "B", "lookup": {"listId": "6d736fd3-859a-4771-9a99-e638e691fb15"}}),
        json!({"text": {}}),
        json!({"name": "B", "calculated": {"formula": "=[Nope]*2"}}),
        json!({"name": "B", "calculated": {"formula": "=IF("}}),
    ] {
        assert_eq!(
            graph
                .post(&columns, bad.clone())
                .await
                .expect(400)
                .codes()
                .0,
            "invalidRequest",
            "{bad}"
        );
    }
    graph
        .post(&columns, json!({"name": "A1", "text": {}}))
        .await
        .expect(409);
    graph
        .post(&columns, json!({"name": "Title", "text": {}}))
        .await
        .expect(409);
    let patched = graph
        .patch(
            &format!("{columns}/{id}"),
            json!({"displayName": "Due", "description": "when"}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&patched["name"], &patched["displayName"]),
        (&json!("Due_x0020_date"), &json!("Due"))
    );
    graph.delete(&format!("{columns}/{id}")).await.expect(204);
    graph.get(&format!("{columns}/{id}")).await.expect(404);
    let title = graph
        .get(&format!("{columns}/Title"))
        .await
        .expect(200)
        .json();
    graph
        .delete(&format!("{columns}/{}", title["id"].as_str().unwrap()))
        .await
        .expect(403);
    graph.finish();
}

#[tokio::test]
async fn content_types() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let of_site = all(&graph, &format!("{finance}/contentTypes")).await;
    let task = by(&of_site, "name", "Task")["id"].clone();
    let types = format!("{finance}/lists/Assets/contentTypes");
    let own = all(&graph, &types).await;
    assert_eq!(texts(&own, "name"), ["Item", "Folder"]);
    assert!(
        own[0]["id"].as_str().unwrap().starts_with("0x0100") && own[0]["order"]["default"] == true
    );
    let added = graph
        .post(&format!("{types}/addCopy"), json!({"contentType": task}))
        .await
        .expect(201)
        .json();
    assert!(added["id"].as_str().unwrap().starts_with("0x010800"));
    graph
        .post(&format!("{types}/addCopy"), json!({"contentType": task}))
        .await
        .expect(409);
    let item = graph
        .post(
            &format!("{finance}/lists/Assets/items"),
            json!({"contentType": {"id": added["id"]}, "fields": {"Title": "do it"}}),
        )
        .await
        .expect(201)
        .json();
    assert_eq!(item["contentType"]["name"], "Task");
    assert_eq!(item["fields"]["ContentType"], "Task");
    graph
        .post(
            &format!("{finance}/lists/Assets/items"),
            json!({"contentType": {"id": "0x0199"}}),
        )
        .await
        .expect(400);
    graph.finish();
}
