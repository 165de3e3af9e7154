//! Modern pages.

use serde_json::{Value, json};

use super::{all, by, round, site, tenant, texts};

const CAST: &str = "microsoft.graph.sitePage";

fn text(html: &str) -> Value {
    json!({"@odata.type": "#microsoft.graph.textWebPart", "innerHtml": html})
}

fn page(name: &str, parts: Value) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.sitePage", "name": name, "title": "A page", "pageLayout": "article",
        "canvasLayout": {"horizontalSections": [
            {"layout": "oneColumn", "id": "1", "emphasis": "none", "columns": [{"id": "1", "width": 12, "webparts": parts}]},
        ]},
    })
}

#[tokio::test]
async fn pages_show_their_canvas_when_asked() {
    let graph = tenant();
    let pages = format!("{}/pages", site(&graph, "/sites/Finance").await);
    let base = all(&graph, &pages).await;
    assert_eq!(
        texts(&base, "name"),
        ["Home.aspx", "Welcome.aspx", "Handbook.aspx", "Not-yet.aspx"]
    );
    assert!(
        base.iter().all(|p| p["promotionKind"].is_null()),
        "that needs the cast"
    );
    let cast = all(&graph, &format!("{pages}/{CAST}?$top=3")).await;
    assert!(
        cast.iter()
            .all(|p| p["canvasLayout"].is_null() && p["promotionKind"].is_string())
    );
    assert_eq!(
        by(&cast, "name", "Welcome.aspx")["promotionKind"],
        "newsPost"
    );
    assert_eq!(
        by(&cast, "name", "Not-yet.aspx")["publishingState"]["level"],
        "checkout"
    );
    let handbook = by(&cast, "name", "Handbook.aspx")["id"].as_str().unwrap();
    graph
        .get(&format!("{pages}/{handbook}?$expand=canvasLayout"))
        .await
        .expect(400);
    let whole = graph
        .get(&format!("{pages}/{handbook}/{CAST}?$expand=canvasLayout"))
        .await
        .expect(200)
        .json();
    let parts = &whole["canvasLayout"]["horizontalSections"][0]["columns"][1]["webparts"];
    assert_eq!(parts[0]["@odata.type"], "#microsoft.graph.textWebPart");
    let foreign = parts[1].clone();
    assert_eq!(
        foreign["data"]["properties"]["nested"]["a"],
        json!([1, 2.5, null])
    );
    assert!(whole["canvasLayout"]["verticalSection"]["webparts"][0]["innerHtml"].is_string());
    let flat = all(&graph, &format!("{pages}/{handbook}/{CAST}/webparts")).await;
    assert_eq!(flat.len(), 4);
    let deep =
        format!("{pages}/{handbook}/{CAST}/canvasLayout/horizontalSections/1/columns/2/webparts");
    assert_eq!(&all(&graph, &deep).await[1], &foreign);
    // What Graph shows it does not always make.
    let refused = graph
        .post(&pages, page("Copy.aspx", json!([foreign])))
        .await
        .expect(400);
    assert_eq!(refused.codes().0, "invalidRequest");
    graph.finish();
}

#[tokio::test]
async fn a_page_is_a_draft_until_it_is_published() {
    let graph = tenant();
    let site = site(&graph, "/sites/Finance").await;
    let pages = format!("{site}/pages");
    let (_, link) = round(
        &graph,
        &format!("{site}/lists/Site Pages/items/delta?$expand=fields"),
    )
    .await;
    let made = graph
        .post(&pages, page("New.aspx", json!([text("<p>one</p>")])))
        .await
        .expect(201)
        .json();
    assert!(made["canvasLayout"].is_null());
    assert_eq!(
        (
            &made["publishingState"]["level"],
            &made["publishingState"]["versionId"]
        ),
        (&json!("checkout"), &json!("0.1"))
    );
    let id = made["id"].as_str().unwrap();
    let path = format!("{pages}/{id}/{CAST}");
    graph
        .post(&format!("{path}/publish"), Value::Null)
        .await
        .expect(204);
    let state = graph.get(&path).await.expect(200).json()["publishingState"].clone();
    assert_eq!(
        (&state["level"], &state["versionId"]),
        (&json!("published"), &json!("1.0"))
    );
    // The canvas is replaced as a whole, and the page is a draft again.
    let mut body = page(
        "New.aspx",
        json!([text("<p>two</p>"), text("<p>three</p>")]),
    );
    body["title"] = "Another title".into();
    let patched = graph.patch(&path, body).await.expect(200).json();
    assert_eq!(
        (&patched["title"], &patched["publishingState"]["versionId"]),
        (&json!("Another title"), &json!("1.1"))
    );
    let parts = all(&graph, &format!("{path}/webparts")).await;
    assert_eq!(texts(&parts, "innerHtml"), ["<p>two</p>", "<p>three</p>"]);
    // Pages have no delta; the list they are items of does, and the ids are the same.
    let (changes, next) = round(&graph, &link).await;
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (
            &changes[0]["fields"]["Title"],
            &changes[0]["contentType"]["name"]
        ),
        (&json!("Another title"), &json!("Site Page"))
    );
    let number = changes[0]["id"].as_str().unwrap();
    let item = graph
        .get(&format!(
            "{site}/lists/Site Pages/items/{number}?$select=id,sharepointIds"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(item["sharepointIds"]["listItemUniqueId"], id);
    let raw = graph
        .get(&format!(
            "{site}/lists/Site Pages/items/{number}?$expand=fields($select=Title,CanvasContent1)"
        ))
        .await
        .expect(200)
        .json();
    assert!(
        raw["fields"]["CanvasContent1"]
            .as_str()
            .unwrap()
            .contains("three")
    );
    assert!(changes[0]["fields"]["CanvasContent1"].is_null());
    graph.delete(&format!("{pages}/{id}")).await.expect(204);
    graph.get(&path).await.expect(404);
    assert_eq!(
        round(&graph, &next).await.0[0]["deleted"]["state"],
        "deleted"
    );
    graph.finish();
}

#[tokio::test]
async fn what_no_page_can_be() {
    let graph = tenant();
    let pages = format!("{}/pages", site(&graph, "/sites/Finance").await);
    let good = page("x.aspx", json!([text("x")]));
    let without = |key: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(key);
        body
    };
    for bad in [
        without("name"),
        page("x.html", json!([])),
        page(
            "x.aspx",
            json!([{"@odata.type": "#microsoft.graph.standardWebPart", "webPartType": "7a3f0c52-9a1b-4f2e-8c6d-0b5e4d3a2c19", "data": {}}]),
        ),
        page(
            "x.aspx",
            json!([{"@odata.type": "#microsoft.graph.textWebPart"}]),
        ),
    ] {
        graph.post(&pages, bad).await.expect(400);
    }
    graph
        .post(&pages, page("home.aspx", json!([])))
        .await
        .expect(409);
    graph.post(&pages, good).await.expect(201);
    graph.finish();
}

#[tokio::test]
async fn the_library_of_pages_is_a_drive_too() {
    let graph = super::Graph::with(|o| {
        (o.files, o.sites) = (0, 1);
        o.quirk = vec![graph_emulator::Quirk::SitePagesDrive];
    });
    let site = site(&graph, "/sites/Finance").await;
    let drives = all(&graph, &format!("{site}/drives")).await;
    let drive = format!(
        "/drives/{}",
        by(&drives, "name", "Site Pages")["id"].as_str().unwrap()
    );
    let files = all(&graph, &format!("{drive}/root/children")).await;
    assert!(texts(&files, "name").contains(&"Classic.aspx".to_owned()));
    let bytes = graph
        .download(&format!("{drive}/root:/Home.aspx:/content"))
        .await;
    assert!(
        String::from_utf8(bytes)
            .unwrap()
            .contains("Welcome to Finance")
    );
    let pages = all(&graph, &format!("{site}/pages")).await;
    assert!(!texts(&pages, "name").contains(&"Classic.aspx".to_owned()));
    graph.finish();
}

#[tokio::test]
async fn web_parts_have_two_names() {
    let graph = super::Graph::with(|o| {
        (o.files, o.sites) = (0, 1);
        o.quirk = vec![graph_emulator::Quirk::OneDriveTypes];
    });
    let pages = format!("{}/pages", site(&graph, "/sites/Finance").await);
    let home = by(&all(&graph, &pages).await, "name", "Home.aspx")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let whole = graph
        .get(&format!("{pages}/{home}/{CAST}?$expand=canvasLayout"))
        .await
        .expect(200)
        .json();
    assert_eq!(whole["@odata.type"], "#microsoft.graph.sitePage");
    let part = &whole["canvasLayout"]["horizontalSections"][0]["columns"][0]["webparts"][0];
    assert_eq!(part["@odata.type"], "#oneDrive.textWebPart");
    // A name that the model does not have: nothing to hold against it.
    graph.running.stop();
}
