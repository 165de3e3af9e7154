//! root/delta.

use graph_emulator::Quirk;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Graph};

/// All pages of a round: the items and the deltaLink.
async fn round(graph: &Graph, start: &str) -> (Vec<Value>, String) {
    let (mut url, mut items) = (start.to_owned(), Vec::new());
    for _ in 0..1000 {
        let page = graph.get(&url).await.expect(200).json();
        items.extend(page["value"].as_array().unwrap().iter().cloned());
        match (
            page["@odata.nextLink"].as_str(),
            page["@odata.deltaLink"].as_str(),
        ) {
            (Some(next), None) => url = next.to_owned(),
            (None, Some(link)) => return (items, link.to_owned()),
            _ => panic!("not exactly one link"),
        }
    }
    panic!("the round does not end");
}

fn by_id<'a>(items: &'a [Value], id: &str) -> Option<&'a Value> {
    items.iter().rev().find(|i| i["id"] == id)
}

#[tokio::test]
async fn increments_tell_what_changed_and_what_is_above_it() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let file = graph.file(&drive, "a/b/one.txt", b"1").await;
    let other = graph.file(&drive, "c/two.txt", b"2").await;
    let id_of = async |path: &str| {
        let item = graph
            .get(&format!("{drive}/root:/{path}"))
            .await
            .expect(200)
            .json();
        item["id"].as_str().unwrap().to_owned()
    };
    let (a, b, c) = (id_of("a").await, id_of("a/b").await, id_of("c").await);
    let (all, link) = round(&graph, &format!("{drive}/root/delta")).await;
    assert_eq!(all.len(), 6, "root, three folders, two files");
    assert!(all[0]["root"].is_object());
    let one = by_id(&all, &file).unwrap();
    assert!(one["cTag"].is_null() && one["parentReference"]["path"].is_null());
    assert_eq!(one["parentReference"]["id"], b.as_str());
    assert_eq!(one["@odata.type"], "#microsoft.graph.driveItem");
    assert!(one["eTag"].is_string() && one["file"]["hashes"]["quickXorHash"].is_string());

    // Nothing changed.
    let (none, link) = round(&graph, &link).await;
    assert!(none.is_empty());

    // Content: the file, and all above it up to the root.
    graph.file(&drive, "a/b/one.txt", b"1 again").await;
    let (changes, next) = round(&graph, &link).await;
    let ids: Vec<&str> = changes.iter().map(|i| i["id"].as_str().unwrap()).collect();
    assert_eq!(ids[1..], [a.as_str(), b.as_str(), file.as_str()]);
    assert!(changes[0]["root"].is_object());
    // The same without parents, from the same link: links can be used again.
    let request = graph
        .request(Method::GET, &link)
        .header("deltaExcludeParent", "true");
    let page: Answer = graph.send(request).await.expect(200);
    assert_eq!(page.json()["value"].as_array().unwrap().len(), 1);

    // A folder's move and rename tells nothing of what is in it; twice is once.
    graph
        .patch(&format!("{drive}/items/{b}"), json!({"name": "x"}))
        .await
        .expect(200);
    graph
        .patch(
            &format!("{drive}/items/{b}"),
            json!({"name": "y", "parentReference": {"id": c}}),
        )
        .await
        .expect(200);
    let (changes, next) = round(&graph, &next).await;
    let moved: Vec<&Value> = changes.iter().filter(|i| i["id"] == b.as_str()).collect();
    assert_eq!(moved.len(), 1);
    assert_eq!(
        (&moved[0]["name"], &moved[0]["parentReference"]["id"]),
        (&json!("y"), &json!(c))
    );
    assert!(by_id(&changes, &file).is_none());

    // A deletion takes everything below along; tombstones have no name, and the hash of nothing.
    graph
        .delete(&format!("{drive}/items/{c}"))
        .await
        .expect(204);
    let (changes, next) = round(&graph, &next).await;
    for id in [&c, &b, &file, &other] {
        let gone = by_id(&changes, id).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(gone["deleted"]["state"], "deleted");
        assert!(gone["name"].is_null() && gone["cTag"].is_null());
    }
    assert_eq!(
        by_id(&changes, &file).unwrap()["file"]["hashes"]["quickXorHash"],
        "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    );

    // Made and deleted in between: a lone tombstone. Deleted and made again: another id.
    let short = graph.file(&drive, "short.txt", b"x").await;
    graph
        .delete(&format!("{drive}/items/{short}"))
        .await
        .expect(204);
    let again = graph.file(&drive, "short.txt", b"x").await;
    assert_ne!(short, again);
    let (changes, _) = round(&graph, &next).await;
    assert!(by_id(&changes, &short).unwrap()["deleted"].is_object());
    assert_eq!(by_id(&changes, &again).unwrap()["name"], "short.txt");
    // A full enumeration knows only what is there.
    let (all, _) = round(&graph, &format!("{drive}/root/delta")).await;
    assert!(all.iter().all(|i| i["deleted"].is_null()));
    assert_eq!(all.len(), 3);
    graph.finish();
}

#[tokio::test]
async fn links_come_in_both_forms_and_keep_their_options() {
    let graph = Graph::with(|o| o.files = 1200);
    let drive = graph.drive().await;
    let page = graph
        .get(&format!("{drive}/root/delta"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        page["value"].as_array().unwrap().len(),
        200,
        "the service's page"
    );
    let page = graph
        .get(&format!(
            "{drive}/root/delta()?$top=500&$select=id,name,deleted"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(page["value"].as_array().unwrap().len(), 500);
    let next = page["@odata.nextLink"].as_str().unwrap();
    assert!(next.contains("delta(token='"), "{next}");
    let (rest, link) = round(&graph, next).await;
    for item in &rest {
        assert!(
            item["size"].is_null() && item["name"].is_string(),
            "$select is baked in: {item}"
        );
    }
    assert!(link.contains("delta(token='"));
    // In the other form the same token means the same.
    let token = link.split('\'').nth(1).unwrap();
    let (none, _) = round(&graph, &format!("{drive}/root/delta?token={token}")).await;
    assert!(none.is_empty());
    graph
        .get(&format!("{drive}/root/delta?token=nonsense"))
        .await
        .expect(400);
    let refused = graph
        .get(&format!("{drive}/root/delta?$expand=permissions"))
        .await
        .expect(400);
    assert_eq!(refused.codes().0, "notSupported");
    graph
        .get(&format!("{drive}/root:/Documents:/delta"))
        .await
        .expect(400);
    let selected = graph
        .get(&format!(
            "{drive}/root/delta?$top=3&$select=*,sharepointIds"
        ))
        .await
        .json();
    assert!(selected["value"][1]["sharepointIds"]["listItemUniqueId"].is_string());
    graph.finish();
}

#[tokio::test]
async fn from_now_and_from_a_time() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    graph.file(&drive, "old.txt", b"x").await;
    let (none, link) = round(&graph, &format!("{drive}/root/delta?token=latest")).await;
    assert!(none.is_empty());
    graph
        .control("clock", json!({"advance_seconds": 3600}))
        .await;
    let new = graph.file(&drive, "new.txt", b"x").await;
    let (changes, _) = round(&graph, &link).await;
    assert!(by_id(&changes, &new).is_some() && changes.len() == 2);
    let item = graph.get(&format!("{drive}/items/{new}")).await.json();
    let time = item["createdDateTime"].as_str().unwrap().to_owned();
    let (at, _) = round(
        &graph,
        &format!("{drive}/root/delta?token={}", time.replace(':', "%3A")),
    )
    .await;
    assert!(by_id(&at, &new).is_none(), "what changed after that time");
    // Half an hour before, written as a time of another zone.
    let earlier = time.replace('Z', ".0+00:30");
    let (since, link) = round(
        &graph,
        &format!(
            "{drive}/root/delta?token={}",
            earlier.replace(':', "%3A").replace('+', "%2B")
        ),
    )
    .await;
    assert!(by_id(&since, &new).is_some());
    assert_eq!(since.len(), 2, "the root and the new file");
    let (none, _) = round(&graph, &link).await;
    assert!(none.is_empty());
    graph.finish();
}

#[tokio::test]
async fn lost_state_begins_again() {
    let graph = Graph::with(|o| o.files = 1000);
    let drive = graph.drive().await;
    let mut inner = Vec::new();
    for _ in 0..3 {
        let (_, link) = round(&graph, &format!("{drive}/root/delta?token=latest")).await;
        graph.control("expire-delta-tokens", Value::Null).await;
        let lost = graph.get(&link).await.expect(410);
        assert!(lost.codes().0.eq_ignore_ascii_case("resyncRequired"));
        inner.push(lost.codes().1);
        let (all, link) = round(&graph, &lost.header("location")).await;
        assert!(all.len() > 500, "everything again");
        assert!(round(&graph, &link).await.0.is_empty());
    }
    inner.dedup();
    assert_eq!(inner.len(), 3, "each flavour: {inner:?}");
    // In the middle of paging too.
    let page = graph.get(&format!("{drive}/root/delta")).await.json();
    graph.control("expire-delta-tokens", Value::Null).await;
    graph
        .get(page["@odata.nextLink"].as_str().unwrap())
        .await
        .expect(410);
    graph.finish();
}

#[tokio::test]
async fn what_changes_while_a_client_pages_is_met_again() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let mut ids = Vec::new();
    for i in 0..12 {
        ids.push(graph.file(&drive, &format!("f{i}.txt"), b"x").await);
    }
    let page = graph
        .get(&format!("{drive}/root/delta?$top=5"))
        .await
        .json();
    graph.file(&drive, "f0.txt", b"changed").await;
    graph
        .delete(&format!("{drive}/items/{}", ids[1]))
        .await
        .expect(204);
    graph
        .delete(&format!("{drive}/items/{}", ids[11]))
        .await
        .expect(204);
    let (rest, link) = round(&graph, page["@odata.nextLink"].as_str().unwrap()).await;
    assert_eq!(by_id(&rest, &ids[0]).unwrap()["size"], 7);
    assert!(by_id(&rest, &ids[11]).is_none());
    assert!(round(&graph, &link).await.0.is_empty());
    graph.finish();
}

#[tokio::test]
async fn the_service_at_its_worst() {
    let graph = Graph::with(|o| {
        o.files = 900;
        o.quirk = vec![
            Quirk::EmptyPages,
            Quirk::DuplicateItems,
            Quirk::ChildrenFirst,
        ];
    });
    let drive = graph.drive().await;
    let (mut url, mut empty, mut ids) = (format!("{drive}/root/delta?$top=50"), 0, Vec::new());
    let mut children_first = false;
    loop {
        let page = graph.get(&url).await.expect(200).json();
        let value = page["value"].as_array().unwrap();
        empty += usize::from(value.is_empty());
        for item in value {
            let parent = item["parentReference"]["id"].as_str().map(str::to_owned);
            children_first |= parent.is_some_and(|p| !ids.contains(&p));
            ids.push(item["id"].as_str().unwrap().to_owned());
        }
        match page["@odata.nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert!(empty > 2 && ids.len() < count && children_first);
    assert!(ids.len() > 450);
    graph.finish();
}
