//! Items: what is listed of them, and what changed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ALICE, Graph, IMMUTABLE, ids};

#[tokio::test]
async fn items_are_the_messages_of_the_folder() {
    let g = Graph::start(&["--accounts", "1", "--messages", "90"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let items = format!("{mailbox}/folders/inbox/items");
    let (all, _) = g.all(&items).await;
    for headers in [&[][..], &[IMMUTABLE]] {
        let (items, _) = g.all_with(&format!("{items}?$top=7"), headers).await;
        let (mail, _) = g
            .all_with(&format!("{ALICE}/mailFolders/inbox/messages"), headers)
            .await;
        assert_eq!(ids(&items), ids(&mail));
        for (item, message) in items.iter().zip(&mail) {
            for name in [
                "changeKey",
                "categories",
                "createdDateTime",
                "lastModifiedDateTime",
            ] {
                assert_eq!(item[name], message[name], "{name}");
            }
            assert!(item["size"].as_u64().unwrap() > 1000);
        }
    }
    let keys: Vec<&String> = all[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "@odata.etag",
            "categories",
            "changeKey",
            "createdDateTime",
            "id",
            "lastModifiedDateTime",
            "size",
            "type"
        ]
    );
    let id = all[0]["id"].as_str().unwrap();
    let mut one = g.ok(&format!("{items}/{id}")).await;
    one.as_object_mut().unwrap().remove("@odata.context");
    assert_eq!(one, all[0]);

    // What is not shown by itself comes as extended properties.
    let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x0037' or id eq 'SystemTime 0x0E06' or id eq 'String 0x0C1A' or id eq 'Integer 0x7777')";
    let page = g
        .ok(&format!(
            "{items}?$select=id,type&$top=3&$count=true&{expand}"
        ))
        .await;
    assert_eq!(page["@odata.count"], all.len());
    for item in page["value"].as_array().unwrap() {
        let id = item["id"].as_str().unwrap();
        let message = g.ok(&format!("{ALICE}/messages/{id}")).await;
        let values: Vec<&Value> = item["singleValueExtendedProperties"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| &p["value"])
            .collect();
        assert_eq!(
            values,
            [
                &message["subject"],
                &message["receivedDateTime"],
                &message["from"]["emailAddress"]["name"]
            ]
        );
        assert!(item.get("size").is_none());
    }

    let middle = all[all.len() / 2]["createdDateTime"].as_str().unwrap();
    let (newer, _) = g
        .all(&format!(
            "{items}?$filter=createdDateTime ge {middle}&$top=5"
        ))
        .await;
    assert!(!newer.is_empty() && newer.len() < all.len());
    assert!(
        newer
            .iter()
            .all(|i| i["createdDateTime"].as_str().unwrap() >= middle)
    );
    let (sorted, _) = g.all(&format!("{items}?$orderby=size&$top=9")).await;
    assert!(sorted.is_sorted_by_key(|i| i["size"].as_u64()));
    assert_eq!(sorted.len(), all.len());
    g.finish();
}

#[tokio::test]
async fn an_archive_holds_every_kind_of_item() {
    let g = Graph::start(&["--archives", "1", "--archive-messages", "20"]).await;
    let archive = g.archive().await;
    for (folder, classes) in [
        ("Calendar", &["IPM.Appointment"][..]),
        ("Contacts", &["IPM.Contact", "IPM.DistList"]),
        ("Tasks", &["IPM.Task"]),
        ("Notes", &["IPM.StickyNote"]),
    ] {
        let id = g.folder(&archive, "msgfolderroot", folder).await;
        let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x0037')";
        let (items, _) = g
            .all(&format!("{archive}/folders/{id}/items?{expand}"))
            .await;
        assert!(!items.is_empty());
        for item in &items {
            assert!(classes.contains(&item["type"].as_str().unwrap()), "{item}");
            assert!(item["singleValueExtendedProperties"][0]["value"].is_string());
        }
        for class in classes {
            let (found, _) = g
                .all(&format!(
                    "{archive}/folders/{id}/items?$filter=type eq '{class}'"
                ))
                .await;
            assert!(!found.is_empty(), "{class}");
        }
    }
    g.finish();
}

#[tokio::test]
async fn changes_of_items_are_told() {
    let g = Graph::start(&["--accounts", "1", "--messages", "90", "--archives", "1"]).await;
    let primary = g.primary("alice@contoso.com").await;
    let archive = g.archive().await;
    for mailbox in [primary.as_str(), archive.as_str()] {
        let items = format!("{mailbox}/folders/inbox/items");
        let pages = ("Prefer", "odata.maxpagesize=4, IdType=\"ImmutableId\"");
        let (first, link) = g.all_with(&format!("{items}/delta"), &[pages]).await;
        let (listed, _) = g.all_with(&format!("{items}?$top=100"), &[pages]).await;
        let (mut told, mut there) = (ids(&first), ids(&listed));
        told.sort();
        there.sort();
        assert_eq!(told, there);
        let (none, link) = g.all_with(&link.unwrap(), &[pages]).await;
        assert!(none.is_empty());
        assert_eq!(g.delete(&format!("{items}/{}", told[0])).await, 204);
        assert_eq!(g.delete(&format!("{items}/{}", told[0])).await, 404);
        let (gone, link) = g.all_with(&link.unwrap(), &[pages]).await;
        assert_eq!(
            gone,
            [
                json!({"@odata.type": "#microsoft.graph.mailboxItem", "id": told[0], "@removed": {"reason": "deleted"}})
            ]
        );
        let (deleted, _) = g
            .all_with(
                &format!("{mailbox}/folders/recoverableitemsdeletions/items"),
                &[pages],
            )
            .await;
        assert!(ids(&deleted).contains(&told[0]));
        if mailbox == primary {
            let read = json!({"isRead": true, "categories": ["Red category"]});
            g.patch(&format!("{ALICE}/messages/{}", told[1]), read)
                .await;
            let (changed, _) = g.all_with(&link.unwrap(), &[pages]).await;
            assert_eq!(ids(&changed), [told[1].as_str()]);
            assert_eq!(changed[0]["categories"], json!(["Red category"]));
        }
        let (some, _) = g
            .all(&format!(
                "{items}/delta?$select=type&$filter=receivedDateTime ge 2100-01-01T00:00:00Z"
            ))
            .await;
        assert!(some.is_empty());
        let capped = g.all(&format!("{items}/delta?$top=3")).await;
        assert_eq!(capped.0.len(), 3);
    }
    g.finish();
}

#[tokio::test]
async fn tokens_are_lost_and_say_so() {
    let g = Graph::start(&["--messages", "30", "--archives", "1"]).await;
    let archive = g.archive().await;
    let (_, items) = g.all(&format!("{archive}/folders/inbox/items/delta")).await;
    let (_, folders) = g.all(&format!("{archive}/folders/delta")).await;
    let items = items.unwrap();
    let (status, body) = g.get(&items.replace("inbox", "sentitems")).await;
    let code = body["error"]["code"].as_str();
    assert_eq!((status, code), (400, Some("SyncStateInvalid")));
    g.control("expire-delta-tokens", Value::Null).await;
    for link in [items, folders.unwrap()] {
        let response = g.send(Method::GET, &link, &[], None).await;
        assert_eq!(response.status(), 410);
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        assert!(location.ends_with("/delta?$deltatoken="));
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "SyncStateNotFound");
        let (all, again) = g.all(&location).await;
        assert!(!all.is_empty() && again.is_some());
    }
}

#[tokio::test]
async fn a_move_there_and_back_can_look_like_a_removal() {
    for (quirk, told) in [(&[][..], false), (&["--quirk", "move-trap"], true)] {
        let mut arguments = vec!["--accounts", "1", "--messages", "60"];
        arguments.extend(quirk);
        let g = Graph::start(&arguments).await;
        let mailbox = g.primary("alice@contoso.com").await;
        let path = format!("{mailbox}/folders/inbox/items/delta");
        let (items, link) = g.all_with(&path, &[IMMUTABLE]).await;
        let id = items[0]["id"].as_str().unwrap();
        for to in ["archive", "inbox"] {
            let (status, _) = g
                .post(
                    &format!("{ALICE}/messages/{id}/move"),
                    json!({"destinationId": to}),
                )
                .await;
            assert_eq!(status, 201);
        }
        let (changed, _) = g.all_with(&link.unwrap(), &[IMMUTABLE]).await;
        assert_eq!(ids(&changed), [id]);
        assert_eq!(changed[0].get("@removed").is_some(), told);
    }
}

#[tokio::test]
async fn wrong_questions_are_refused() {
    let g = Graph::start(&["--messages", "10"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    for (path, status) in [
        ("folders/inbox/items?$select=subject", 400),
        ("folders/inbox/items?$filter=subject", 400),
        ("folders/inbox/items/delta?$filter=type eq 'IPM.Note'", 400),
        ("folders/inbox/items/delta?$orderby=size", 400),
        ("folders/nowhere/items", 404),
        ("folders/inbox/items/AAMk", 400),
        ("folders/inbox/messages", 400),
        ("exportItems", 405),
        ("createImportSession", 405),
    ] {
        assert_eq!(
            g.get(&format!("{mailbox}/{path}")).await.0,
            status,
            "{path}"
        );
    }
    assert_eq!(g.get("/v1.0/admin/exchange/mailboxes").await.0, 405);
}
