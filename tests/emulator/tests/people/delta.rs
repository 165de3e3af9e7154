//! Delta of contacts, contact folders, task lists and tasks.

use graph_emulator::Quirk;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, Graph, IMMUTABLE, id, ids};

fn sized(graph: &Graph, path: &str, size: usize) -> reqwest::RequestBuilder {
    let prefer = format!("{}, odata.maxpagesize={size}", IMMUTABLE.1);
    graph.request(Method::GET, path).header("Prefer", prefer)
}

#[tokio::test]
async fn rounds_of_contacts_tell_what_changed() {
    let graph = Graph::with(|o| o.contacts = 120);
    let start = format!("{ALICE}/contacts/delta?$select=displayName");
    let first = graph
        .send(sized(&graph, &start, 20))
        .await
        .expect(200)
        .json();
    assert_eq!(first["value"].as_array().unwrap().len(), 20);
    let contact = &first["value"][0];
    assert!(id(contact).starts_with("AAkALg"));
    assert!(contact["displayName"].is_string() && contact["surname"].is_null());
    let next = first["@odata.nextLink"].as_str().unwrap();
    assert!(next.contains("$skiptoken=") && !next.contains("select"));
    let (rest, link) = graph.all(next).await;
    let link = link.unwrap();
    assert!(link.contains("$deltatoken="));
    let (all, _) = graph.all(&format!("{ALICE}/contacts?$top=200")).await;
    assert_eq!(all.len(), 20 + rest.len());
    let (none, link) = graph.all(&link).await;
    assert!(none.is_empty());

    // Made, changed, deleted; in another folder.
    let made = graph
        .make(&format!("{ALICE}/contacts"), json!({"givenName": "New"}))
        .await;
    graph
        .patch(
            &format!("{ALICE}/contacts/{}", id(&all[3])),
            json!({"displayName": "Changed"}),
        )
        .await
        .expect(200);
    graph
        .delete(&format!("{ALICE}/contacts/{}", id(&all[4])))
        .await
        .expect(204);
    let folder = graph
        .make(
            &format!("{ALICE}/contactFolders"),
            json!({"displayName": "Other"}),
        )
        .await;
    let other = format!("{ALICE}/contactFolders/{}/contacts", id(&folder));
    let elsewhere = graph.make(&other, json!({"givenName": "There"})).await;
    let (changes, again) = graph.all(link.as_deref().unwrap()).await;
    assert_eq!(
        ids(&changes),
        [
            made["id"].as_str().unwrap(),
            all[3]["id"].as_str().unwrap(),
            all[4]["id"].as_str().unwrap()
        ]
    );
    assert_eq!(changes[1]["displayName"], "Changed");
    assert_eq!(changes[2]["@removed"]["reason"], "deleted");
    // A link can be used again, and shows the kind of ids that is asked for.
    let page = graph
        .get_immutable(link.as_deref().unwrap())
        .await
        .expect(200)
        .json();
    assert_eq!(page["value"].as_array().unwrap().len(), 3);
    assert!(id(&page["value"][2]).starts_with("AAkALg"));
    assert!(graph.all(again.as_deref().unwrap()).await.0.is_empty());
    let (there, _) = graph.all(&format!("{other}/delta")).await;
    assert_eq!(ids(&there), [elsewhere["id"].as_str().unwrap()]);

    // A photo moves the change key.
    let photo = graph
        .request(
            Method::PUT,
            &format!("{ALICE}/contacts/{}/photo/$value", id(&made)),
        )
        .header("content-type", "image/jpeg")
        .body("x");
    graph.send(photo).await.expect(200);
    assert_eq!(graph.all(again.as_deref().unwrap()).await.0.len(), 1);
    for refused in [
        "$filter=surname eq 'x'",
        "$search=x",
        "$orderby=surname",
        "$expand=photo",
    ] {
        graph
            .get(&format!("{ALICE}/contacts/delta?{refused}"))
            .await
            .expect(400);
    }
    let capped = graph
        .get(&format!("{ALICE}/contacts/delta?$top=5"))
        .await
        .expect(200)
        .json();
    assert_eq!(capped["value"].as_array().unwrap().len(), 5);
    assert!(capped["@odata.deltaLink"].is_string());
    graph.finish();
}

#[tokio::test]
async fn rounds_of_contact_folders() {
    let graph = Graph::with(|o| o.contacts = 50);
    let (all, link) = graph.all(&format!("{ALICE}/contactFolders/delta")).await;
    assert_eq!(
        all.len(),
        5,
        "nested ones too, without the default folder and the system's"
    );
    let customers = all
        .iter()
        .find(|f| f["displayName"] == "Customers")
        .unwrap();
    let nordics = all.iter().find(|f| f["displayName"] == "Nordics").unwrap();
    assert_eq!(nordics["parentFolderId"], customers["id"]);
    let made = graph
        .make(
            &format!("{ALICE}/contactFolders"),
            json!({"displayName": "New"}),
        )
        .await;
    let at = format!("{ALICE}/contactFolders/{}", id(customers));
    graph
        .patch(
            &format!("{at}/childFolders/{}", id(nordics)),
            json!({"displayName": "North"}),
        )
        .await
        .expect(200);
    let (changes, link) = graph.all(&link.unwrap()).await;
    assert_eq!(
        ids(&changes),
        [
            made["id"].as_str().unwrap(),
            nordics["id"].as_str().unwrap()
        ]
    );
    let contacts = format!("{at}/contacts/delta");
    let (_, inside) = graph.all(&contacts).await;
    graph.delete(&at).await.expect(204);
    let (changes, _) = graph.all(&link.unwrap()).await;
    assert_eq!(changes.len(), 3);
    assert!(changes.iter().all(|f| f["@removed"]["reason"] == "deleted"));
    assert_eq!(
        graph.get(&inside.unwrap()).await.expect(404).codes().0,
        "ErrorItemNotFound"
    );
    graph.finish();
}

#[tokio::test]
async fn lost_tokens_lead_to_a_full_round() {
    let graph = Graph::with(|o| o.contacts = 30);
    let mut links = Vec::new();
    let (lists, _) = graph.all(&format!("{ALICE}/todo/lists")).await;
    let tasks = format!("{ALICE}/todo/lists/{}/tasks/delta", id(&lists[0]));
    for start in [
        format!("{ALICE}/contacts/delta"),
        format!("{ALICE}/contactFolders/delta"),
        format!("{ALICE}/todo/lists/delta"),
        tasks,
    ] {
        links.push(graph.all(&start).await.1.unwrap());
    }
    // The token of one collection is none of another.
    let token = links[0].split_once('?').unwrap().1;
    assert_eq!(
        graph
            .get(&format!("{ALICE}/contactFolders/delta?{token}"))
            .await
            .expect(400)
            .codes()
            .0,
        "SyncStateInvalid"
    );
    graph.control("expire-delta-tokens", json!({})).await;
    for link in links {
        let gone = graph.get(&link).await.expect(410);
        assert_eq!(gone.codes().0, "SyncStateNotFound");
        let location = gone.header("location");
        assert!(location.ends_with("?$deltatoken="), "{location}");
        let (all, again) = graph.all(&location).await;
        assert!(!all.is_empty() && again.is_some());
    }
    graph.finish();
}

#[tokio::test]
async fn quirks_of_pages() {
    let graph = Graph::quirk(Quirk::EmptyPages);
    for n in 0..25 {
        graph
            .make(
                &format!("{ALICE}/contacts"),
                json!({"givenName": n.to_string()}),
            )
            .await;
    }
    let (mut url, mut empty, mut seen) = (format!("{ALICE}/contacts/delta"), 0, 0);
    loop {
        let page = graph.get(&url).await.expect(200).json();
        let here = page["value"].as_array().unwrap().len();
        empty += usize::from(here == 0);
        seen += here;
        match page["@odata.nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((seen, empty), (25, 1));
    graph.finish();
    let graph = Graph::quirk(Quirk::DuplicateItems);
    graph
        .make(&format!("{ALICE}/contacts"), json!({"givenName": "x"}))
        .await;
    assert_eq!(
        graph.all(&format!("{ALICE}/contacts/delta")).await.0.len(),
        2
    );
    graph.finish();
}

#[tokio::test]
async fn rounds_of_lists_and_tasks() {
    let graph = Graph::new();
    let (lists, link) = graph.all(&format!("{ALICE}/todo/lists/delta")).await;
    assert_eq!(lists.len(), 5);
    let made = graph
        .make(
            &format!("{ALICE}/todo/lists"),
            json!({"displayName": "New"}),
        )
        .await;
    let tasks = format!("{ALICE}/todo/lists/{}/tasks", id(&made));
    let (changes, link) = graph.all(&link.unwrap()).await;
    assert_eq!(ids(&changes), [made["id"].as_str().unwrap()]);
    let start =
        format!("{tasks}/delta?$expand=checklistItems,linkedResources&$select=title,status");
    let (none, round) = graph.all(&start).await;
    assert!(none.is_empty());
    let one = graph.make(&tasks, json!({"title": "one"})).await;
    let two = graph.make(&tasks, json!({"title": "two"})).await;
    graph
        .make(
            &format!("{tasks}/{}/checklistItems", id(&one)),
            json!({"displayName": "step"}),
        )
        .await;
    let (changes, round) = graph.all(&round.unwrap()).await;
    assert_eq!(
        ids(&changes),
        [two["id"].as_str().unwrap(), one["id"].as_str().unwrap()]
    );
    assert_eq!(changes[1]["checklistItems"][0]["displayName"], "step");
    assert_eq!(
        (&changes[0]["linkedResources"], &changes[0]["importance"]),
        (&json!([]), &Value::Null)
    );
    graph
        .delete(&format!("{tasks}/{}", id(&two)))
        .await
        .expect(204);
    let (changes, round) = graph.all(&round.unwrap()).await;
    assert_eq!(
        (changes.len(), &changes[0]["@removed"]["reason"]),
        (1, &json!("deleted"))
    );
    graph
        .delete(&format!("{ALICE}/todo/lists/{}", id(&made)))
        .await
        .expect(204);
    let (changes, _) = graph.all(&link.unwrap()).await;
    assert_eq!(changes[0]["@removed"]["reason"], "deleted");
    graph.get(&round.unwrap()).await.expect(404);
    graph.finish();
}
