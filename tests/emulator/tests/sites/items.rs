//! Items of lists: reading, writing, versions, delta.

use graph_emulator::Quirk;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Graph, all, by, round, site, tenant, texts};

async fn assets(graph: &Graph) -> String {
    format!("{}/lists/Assets", site(graph, "/sites/Finance").await)
}

#[tokio::test]
async fn items_come_in_pages_with_their_values() {
    let graph = tenant();
    let assets = assets(&graph).await;
    let bare = all(&graph, &format!("{assets}/items?$top=3")).await;
    assert!(bare.len() > 5);
    assert!(
        bare.iter().all(|i| i["fields"].is_null()),
        "only when they are asked for"
    );
    let items = all(&graph, &format!("{assets}/items?$expand=fields&$top=4")).await;
    assert_eq!(items.len(), bare.len());
    let fields = |name: &str| {
        items
            .iter()
            .map(|i| &i["fields"][name])
            .find(|v| !v.is_null())
            .unwrap_or(&Value::Null)
    };
    assert!(
        fields("VendorLookupId").is_string(),
        "one reference is its number, as text"
    );
    assert!(
        fields("Bidders")[0]["LookupId"].is_u64()
            && fields("Bidders")[0]["LookupValue"].is_string()
    );
    assert!(fields("HolderLookupId").is_string());
    assert!(
        fields("Reviewers")[0]["Email"]
            .as_str()
            .unwrap()
            .contains('@')
    );
    assert!(fields("Website")["Url"].is_string() && fields("Office")["address"]["city"] == "Oslo");
    assert!(fields("Topic")["TermGuid"].is_string() && fields("Subjects")[1]["Label"].is_string());
    assert!(
        fields("Photo").is_string() && fields("Tags").is_array() && fields("Total").is_number()
    );
    assert!(
        fields("Bought").as_str().unwrap().ends_with("T23:00:00Z"),
        "a day is a midnight of the site"
    );
    let first = &items[0]["fields"];
    for name in [
        "AuthorLookupId",
        "EditorLookupId",
        "_UIVersionString",
        "LinkTitle",
        "ContentType",
        "id",
        "Attachments",
    ] {
        assert!(!first[name].is_null(), "{name}");
    }
    assert!(items.iter().any(|i| i["fields"]["Attachments"] == true));
    let some = all(
        &graph,
        &format!("{assets}/items?expand=fields(select=Title,Vendor,HolderLookupId)"),
    )
    .await;
    assert!(some[0]["fields"]["Title"].is_string() && some[0]["fields"]["Price"].is_null());
    assert!(
        some.iter().any(|i| i["fields"]["Vendor"].is_string()),
        "named, it tells what it leads to"
    );
    let unknown = graph
        .get(&format!("{assets}/items?$expand=fields($select=Nope)"))
        .await
        .expect(400);
    assert_eq!(unknown.codes().0, "invalidRequest");
    graph.finish();
}

#[tokio::test]
async fn people_are_numbers_of_a_hidden_list() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let items = all(
        &graph,
        &format!("{finance}/lists/Assets/items?$expand=fields"),
    )
    .await;
    let number = items
        .iter()
        .find_map(|i| i["fields"]["HolderLookupId"].as_str())
        .unwrap();
    let person = graph
        .get(&format!(
            "{finance}/lists/User Information List/items/{number}?$expand=fields"
        ))
        .await
        .expect(200)
        .json();
    assert!(
        person["fields"]["EMail"]
            .as_str()
            .unwrap()
            .ends_with("@contoso.com")
    );
    assert!(
        person["fields"]["Name"]
            .as_str()
            .unwrap()
            .starts_with("i:0#.f|membership|")
    );
    // Each collection counts on its own.
    let number_of = async |site: &str| {
        let people = all(
            &graph,
            &format!("{site}/lists/User Information List/items?$expand=fields"),
        )
        .await;
        people
            .iter()
            .find(|p| p["fields"]["EMail"] == "alice@contoso.com")
            .unwrap()["id"]
            .clone()
    };
    assert_ne!(number_of(&finance).await, number_of("/sites/root").await);
    let refused = graph
        .post(
            &format!("{finance}/lists/User Information List/items"),
            json!({"fields": {"Title": "x"}}),
        )
        .await;
    refused.expect(403);
    graph.finish();
}

#[tokio::test]
async fn every_kind_of_value_is_written_its_way() {
    let graph = tenant();
    let assets = assets(&graph).await;
    let columns = all(
        &graph,
        &format!("{assets}/columns?$select=name,displayName,hidden"),
    )
    .await;
    let note = by(&columns, "displayName", "Topic_0")["name"]
        .as_str()
        .unwrap();
    let people = all(&graph, &format!("{assets}/items?$expand=fields")).await;
    let reviewers = people
        .iter()
        .find_map(|i| i["fields"]["Reviewers"].as_array())
        .unwrap()
        .clone();
    let (a, b) = (
        reviewers[0]["LookupId"].clone(),
        reviewers[1]["LookupId"].clone(),
    );
    let mut body = json!({"fields": {
        "Title": "New", "Serial": "SN-new", "Notes": "two\nlines", "Price": 10, "Count": 3.0, "Insured": true,
        "Bought": "2026-03-04", "Checked": "2026-03-04T05:06:07+02:00", "State": "Repair",
        "Tags@odata.type": "Collection(Edm.String)", "Tags": ["red", "fast"],
        "VendorLookupId": 2, "BiddersLookupId@odata.type": "Collection(Edm.Int32)", "BiddersLookupId": [1, 3],
        "HolderLookupId": a, "ReviewersLookupId@odata.type": "Collection(Edm.Int32)", "ReviewersLookupId": [a, b],
    }});
    body["fields"][note] = json!("-1;#IT|b8120a31-6f0c-4d1c-9a55-0d1f6a0e4c11");
    let made = graph
        .post(&format!("{assets}/items"), body)
        .await
        .expect(201)
        .json();
    let item = format!("{assets}/items/{}", made["id"].as_str().unwrap());
    let fields = graph
        .get(&format!("{item}/fields"))
        .await
        .expect(200)
        .json();
    for (name, value) in [
        ("Title", json!("New")),
        ("Price", json!(10.0)),
        ("Total", json!(30.0)),
        ("Insured", json!(true)),
        ("Bought", json!("2026-03-03T23:00:00Z")),
        ("Checked", json!("2026-03-04T03:06:07Z")),
        ("Tags", json!(["red", "fast"])),
        ("VendorLookupId", json!("2")),
        (
            "Topic",
            json!({"Label": "IT", "TermGuid": "b8120a31-6f0c-4d1c-9a55-0d1f6a0e4c11", "WssId": 1}),
        ),
        ("_UIVersionString", json!("1.0")),
        ("Attachments", json!(false)),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    assert_eq!(fields["Bidders"][1]["LookupId"], 3);
    // Defaults.
    let plain = graph
        .post(
            &format!("{assets}/items"),
            json!({"fields": {"Title": "Plain"}}),
        )
        .await
        .expect(201)
        .json();
    assert_eq!(plain["fields"]["State"], "Ordered");
    assert_eq!(plain["createdBy"]["user"]["displayName"], "SharePoint App");
    for bad in [
        json!({"Nope": 1}),
        json!({"Created": "2020-01-01T00:00:00Z"}),
        json!({"AuthorLookupId": 6}),
        json!({"Attachments": true}),
        json!({"Total": 5}),
        json!({"Tags": ["red"]}),
        json!({"Tags@odata.type": "Collection(Edm.Int32)", "Tags": ["red"]}),
        json!({"BiddersLookupId": [1]}),
        json!({"VendorLookupId": 99}),
        json!({"Vendor": "Northwind"}),
        json!({"HolderLookupId": 9999}),
        json!({"Price": "ten"}),
        json!({"Checked": "soon"}),
        json!({"Website": {"Url": "https://example.org", "Description": "x"}}),
        json!({"Website": "https://example.org"}),
        json!({"Office": {"displayName": "x"}}),
        json!({"Topic": {"Label": "x"}}),
        json!({"Photo": "{}"}),
        json!({"Insured": "yes"}),
        json!({"Serial": "SN-000008"}),
        json!({"Title": "x".repeat(256)}),
    ] {
        let refused = graph.patch(&format!("{item}/fields"), bad.clone()).await;
        assert_eq!(
            (refused.status, refused.codes().0),
            (400, "invalidRequest".into()),
            "{bad}"
        );
    }
    assert_eq!(
        graph
            .get(&format!("{item}/fields"))
            .await
            .expect(200)
            .json()["_UIVersionString"],
        "1.0",
        "nothing was changed"
    );
    graph.finish();
}

#[tokio::test]
async fn items_change_with_versions_and_are_deleted() {
    let graph = tenant();
    let assets = assets(&graph).await;
    let made = graph
        .post(
            &format!("{assets}/items"),
            json!({"fields": {"Title": "One", "Price": 1}}),
        )
        .await
        .expect(201);
    let etag = made.header("etag");
    let item = format!("{assets}/items/{}", made.json()["id"].as_str().unwrap());
    let request = |tag: &str| {
        graph
            .request(Method::PATCH, &format!("{item}/fields"))
            .header("if-match", tag)
            .json(&json!({"Title": "Two"}))
    };
    graph.send(request(&etag)).await.expect(200);
    assert_eq!(
        graph.send(request(&etag)).await.expect(412).codes().0,
        "resourceModified"
    );
    graph
        .patch(
            &format!("{item}/fields"),
            json!({"Title": "Three", "Price": null}),
        )
        .await
        .expect(200);
    let versions = all(&graph, &format!("{item}/versions?$expand=fields")).await;
    assert_eq!(texts(&versions, "id"), ["3.0", "2.0", "1.0"]);
    let titles: Vec<&str> = versions
        .iter()
        .filter_map(|v| v["fields"]["Title"].as_str())
        .collect();
    assert_eq!(titles, ["Three", "Two", "One"]);
    assert!(versions[0]["fields"]["Price"].is_null() && versions[1]["fields"]["Price"] == 1.0);
    let bare = all(&graph, &format!("{item}/versions")).await;
    assert!(bare[0]["fields"].is_null() && bare[0]["publication"]["level"] == "published");
    let one = graph
        .get(&format!("{item}/versions/1.0?$expand=fields"))
        .await
        .expect(200)
        .json();
    assert_eq!(one["fields"]["Title"], "One");
    graph
        .post(&format!("{item}/versions/1.0/restoreVersion"), Value::Null)
        .await
        .expect(204);
    let now = graph
        .get(&format!("{item}?$expand=fields"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&now["fields"]["Title"], &now["fields"]["_UIVersionString"]),
        (&json!("One"), &json!("4.0"))
    );
    graph.delete(&item).await.expect(204);
    graph.get(&item).await.expect(404);
    let next = graph
        .post(
            &format!("{assets}/items"),
            json!({"fields": {"Title": "Next"}}),
        )
        .await
        .expect(201)
        .json();
    assert_ne!(next["id"], now["id"], "ids are never used again");
    graph.finish();
}

#[tokio::test]
async fn at_most_twelve_references_at_once() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let vendors = graph
        .get(&format!("{finance}/lists/Vendors"))
        .await
        .expect(200)
        .json()["id"]
        .clone();
    let columns: Vec<Value> = (0..13).map(|n| json!({"name": format!("L{n}"), "lookup": {"listId": vendors, "columnName": "Title"}})).collect();
    graph
        .post(
            &format!("{finance}/lists"),
            json!({"displayName": "Wide", "columns": columns, "list": {"template": "genericList"}}),
        )
        .await
        .expect(201);
    let values: serde_json::Map<String, Value> = (0..13)
        .map(|n| (format!("L{n}LookupId"), json!(1)))
        .collect();
    graph
        .post(
            &format!("{finance}/lists/Wide/items"),
            json!({"fields": values}),
        )
        .await
        .expect(201);
    let names = |count: usize| {
        (0..count)
            .map(|n| format!("L{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    graph
        .get(&format!(
            "{finance}/lists/Wide/items?$expand=fields($select={})",
            names(12)
        ))
        .await
        .expect(200);
    let refused = graph
        .get(&format!(
            "{finance}/lists/Wide/items?$expand=fields($select={})",
            names(13)
        ))
        .await
        .expect(400);
    assert_eq!(refused.codes().0, "invalidRequest");
    graph.finish();
}

#[tokio::test]
async fn filters_want_an_index_or_a_promise() {
    let graph = tenant();
    let assets = assets(&graph).await;
    let indexed = all(
        &graph,
        &format!("{assets}/items?$filter=fields/Serial eq 'SN-000008'&$expand=fields"),
    )
    .await;
    assert_eq!(indexed.len(), 1);
    let wanted = format!("{assets}/items?$filter=fields/State eq 'Repair'&$top=2");
    let refused = graph.get(&wanted).await.expect(400);
    assert!(
        refused.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("HonorNonIndexedQueriesWarningMayFailRandomly")
    );
    let request = graph
        .request(Method::GET, &wanted)
        .header("prefer", "HonorNonIndexedQueriesWarningMayFailRandomly");
    graph.send(request).await.expect(200);
    let ordered = all(
        &graph,
        &format!("{assets}/items?$orderby=fields/Modified desc&$top=3"),
    )
    .await;
    let times = texts(&ordered, "lastModifiedDateTime");
    assert!(times.windows(2).all(|w| w[0] >= w[1]) && times.len() > 5);
    graph.finish();
}

#[tokio::test]
async fn delta_tells_what_changed() {
    let graph = tenant();
    let assets = assets(&graph).await;
    let (items, link) = round(
        &graph,
        &format!("{assets}/items/delta?$expand=fields&$top=4"),
    )
    .await;
    assert_eq!(
        items.len(),
        all(&graph, &format!("{assets}/items")).await.len()
    );
    assert!(items.iter().all(|i| i["fields"]["Title"].is_string()));
    assert!(round(&graph, &link).await.0.is_empty());
    let (none, latest) = round(&graph, &format!("{assets}/items/delta?token=latest")).await;
    assert!(none.is_empty());
    let (first, second) = (
        items[0]["id"].as_str().unwrap(),
        items[1]["id"].as_str().unwrap(),
    );
    graph
        .patch(
            &format!("{assets}/items/{first}/fields"),
            json!({"Title": "a"}),
        )
        .await
        .expect(200);
    graph
        .patch(
            &format!("{assets}/items/{first}/fields"),
            json!({"Title": "b"}),
        )
        .await
        .expect(200);
    graph
        .delete(&format!("{assets}/items/{second}"))
        .await
        .expect(204);
    let short = graph
        .post(
            &format!("{assets}/items"),
            json!({"fields": {"Title": "short"}}),
        )
        .await
        .expect(201)
        .json();
    graph
        .delete(&format!("{assets}/items/{}", short["id"].as_str().unwrap()))
        .await
        .expect(204);
    let (changes, next) = round(&graph, &link).await;
    assert_eq!(
        changes.len(),
        3,
        "the latest state of each, and a lone tombstone"
    );
    assert_eq!(
        changes[0]["fields"]["Title"], "b",
        "the options of the first call hold"
    );
    let gone = by(&changes, "id", second);
    assert_eq!(gone["deleted"]["state"], "deleted");
    assert!(
        gone["parentReference"]["siteId"].is_string()
            && gone["contentType"]["name"] == "Item"
            && gone["eTag"].is_null()
    );
    assert_eq!(round(&graph, &latest).await.0.len(), 3);
    assert!(round(&graph, &next).await.0.is_empty());
    let malformed = graph
        .get(&format!("{assets}/items/delta?token=rubbish"))
        .await
        .expect(400);
    assert_eq!(malformed.codes().1, "invalidParameterFormat");
    graph.control("expire-delta-tokens", json!({})).await;
    let lost = graph.get(&next).await.expect(410);
    let (again, _) = round(&graph, &lost.header("location")).await;
    assert_eq!(
        again.len(),
        items.len() - 1,
        "tombstones are no part of a full enumeration"
    );
    graph.finish();
}

#[tokio::test]
async fn delta_repeats_items_and_has_empty_pages() {
    let graph = Graph::with(|o| {
        (o.files, o.sites, o.site_items) = (0, 1, 40);
        o.quirk = vec![Quirk::DuplicateItems, Quirk::EmptyPages];
    });
    let assets = assets(&graph).await;
    let (items, _) = round(&graph, &format!("{assets}/items/delta?$top=2")).await;
    let mut ids = texts(&items, "id");
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() < items.len());
    assert_eq!(
        ids.len(),
        all(&graph, &format!("{assets}/items")).await.len()
    );
    graph.finish();
}
