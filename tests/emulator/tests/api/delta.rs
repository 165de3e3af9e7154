//! Delta of folders and messages.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ALICE, Graph, IMMUTABLE, ids};

const SELECT: &str = "$select=subject,isRead,parentFolderId,changeKey,lastModifiedDateTime";

fn inbox() -> String {
    format!("{ALICE}/mailFolders/inbox/messages/delta?{SELECT}")
}

const PAGED: (&str, &str) = ("Prefer", "IdType=\"ImmutableId\", odata.maxpagesize=7");

#[tokio::test]
async fn a_first_round_tells_all_and_the_next_ones_what_changed() {
    let g = Graph::start(&["--messages", "120", "--accounts", "1"]).await;
    let (all, link) = g.all(&inbox(), &[PAGED]).await;
    let total = g.ok(&format!("{ALICE}/mailFolders/inbox")).await["totalItemCount"]
        .as_u64()
        .unwrap();
    assert_eq!(all.len() as u64, total);
    let (nothing, link) = g.all(&link.unwrap(), &[PAGED]).await;
    assert!(nothing.is_empty());

    let new = g.message("inbox", "new").await;
    let read = all[0]["id"].as_str().unwrap();
    let before = g
        .get_with(&format!("{ALICE}/messages/{read}"), &[IMMUTABLE])
        .await
        .1;
    g.patch(
        &format!("{ALICE}/messages/{read}"),
        json!({"isRead": before["isRead"] == false}),
    )
    .await;
    let gone = all[1]["id"].as_str().unwrap();
    assert_eq!(g.delete(&format!("{ALICE}/messages/{gone}")).await, 204);
    let moved = all[2]["id"].as_str().unwrap();
    g.post(
        &format!("{ALICE}/messages/{moved}/move"),
        json!({"destinationId": "archive"}),
    )
    .await;

    let (changed, link) = g.all(&link.unwrap(), &[PAGED]).await;
    let removed: HashSet<&str> = changed
        .iter()
        .filter(|m| m["@removed"]["reason"] == "deleted")
        .map(|m| m["id"].as_str().unwrap())
        .collect();
    assert_eq!(removed, HashSet::from([gone, moved]));
    let touched = changed.iter().find(|m| m["id"] == read).unwrap();
    assert_ne!(touched["changeKey"], before["changeKey"]);
    assert_eq!(
        touched["lastModifiedDateTime"],
        before["lastModifiedDateTime"]
    );
    assert!(changed.iter().any(|m| m["subject"] == "new") && changed.len() == 4);
    assert!(!new.is_empty());
    // Flags do change it.
    let (_, flagged) = g
        .patch(
            &format!("{ALICE}/messages/{read}"),
            json!({"flag": {"flagStatus": "flagged"}}),
        )
        .await;
    assert_ne!(
        flagged["lastModifiedDateTime"],
        before["lastModifiedDateTime"]
    );
    assert_eq!(g.all(&link.unwrap(), &[PAGED]).await.0.len(), 1);
}

#[tokio::test]
async fn reading_is_told_only_to_who_selected_it() {
    let g = Graph::start(&["--messages", "20", "--accounts", "1"]).await;
    let path = format!("{ALICE}/mailFolders/inbox/messages/delta?$select=subject");
    let (all, link) = g.all(&path, &[PAGED]).await;
    let id = all[0]["id"].as_str().unwrap();
    let is_read = g.ok(&format!("{ALICE}/messages/{id}")).await["isRead"] == true;
    g.patch(
        &format!("{ALICE}/messages/{id}"),
        json!({"isRead": !is_read}),
    )
    .await;
    let (changed, link) = g.all(&link.unwrap(), &[PAGED]).await;
    assert!(changed.is_empty());
    g.patch(
        &format!("{ALICE}/messages/{id}"),
        json!({"isRead": is_read, "categories": ["x"]}),
    )
    .await;
    assert_eq!(g.all(&link.unwrap(), &[PAGED]).await.0.len(), 1);
}

#[tokio::test]
async fn moves_there_and_back() {
    for (arguments, told) in [(vec![], 1), (vec!["--quirk", "move-trap"], 0)] {
        let g =
            Graph::start(&[["--messages", "0", "--accounts", "1"].to_vec(), arguments].concat())
                .await;
        g.message("inbox", "wanderer").await;
        let (all, link) = g.all(&inbox(), &[IMMUTABLE]).await;
        let id = all[0]["id"].as_str().unwrap();
        for to in ["archive", "inbox"] {
            g.post(
                &format!("{ALICE}/messages/{id}/move"),
                json!({"destinationId": to}),
            )
            .await;
        }
        let (changed, link) = g.all(&link.unwrap(), &[IMMUTABLE]).await;
        assert_eq!(changed.len(), 1);
        assert_eq!(
            changed.iter().filter(|m| m["@removed"].is_null()).count(),
            told
        );
        assert!(g.all(&link.unwrap(), &[IMMUTABLE]).await.0.is_empty());
        assert_eq!(g.get(&format!("{ALICE}/messages/{id}")).await.0, 200);
    }
    // Default ids: the old one leaves, a new one comes.
    let g = Graph::start(&["--messages", "0", "--accounts", "1"]).await;
    let id = g.message("inbox", "wanderer").await;
    let (_, link) = g.all(&inbox(), &[]).await;
    let (_, away) = g
        .post(
            &format!("{ALICE}/messages/{id}/move"),
            json!({"destinationId": "archive"}),
        )
        .await;
    g.post(
        &format!("{ALICE}/messages/{}/move", away["id"].as_str().unwrap()),
        json!({"destinationId": "inbox"}),
    )
    .await;
    let (changed, _) = g.all(&link.unwrap(), &[]).await;
    assert_eq!(changed.len(), 2);
    assert!(
        changed
            .iter()
            .any(|m| m["id"] == id && m["@removed"].is_object())
    );
}

#[tokio::test]
async fn what_delta_loses_only_an_enumeration_tells() {
    let select = "$select=subject";
    let feed = |folder: &str| format!("{ALICE}/mailFolders/{folder}/messages/delta?{select}");
    for (quirk, left) in [("delta-loses-arrivals", 1), ("delta-loses-moves", 0)] {
        let g = Graph::start(&["--messages", "0", "--accounts", "1", "--quirk", quirk]).await;
        g.message("inbox", "wanderer").await;
        let (all, from) = g.all(&feed("inbox"), &[IMMUTABLE]).await;
        let (_, to) = g.all(&feed("archive"), &[IMMUTABLE]).await;
        let id = all[0]["id"].as_str().unwrap();
        g.post(
            &format!("{ALICE}/messages/{id}/move"),
            json!({"destinationId": "archive"}),
        )
        .await;
        let (told, _) = g.all(&from.unwrap(), &[IMMUTABLE]).await;
        assert_eq!(told.len(), left, "{quirk}");
        let (told, to) = g.all(&to.unwrap(), &[IMMUTABLE]).await;
        assert!(told.is_empty(), "{quirk}");
        let (all, _) = g.all(&feed("archive"), &[IMMUTABLE]).await;
        assert!(all.iter().any(|m| m["id"] == id), "{quirk}");
        g.patch(
            &format!("{ALICE}/messages/{id}"),
            json!({"categories": ["c"]}),
        )
        .await;
        let (told, _) = g.all(&to.unwrap(), &[IMMUTABLE]).await;
        assert_eq!(told.len(), 1, "{quirk}: it changed again");
    }

    let quirk = "delta-loses-changes";
    let g = Graph::start(&["--messages", "0", "--accounts", "1", "--quirk", quirk]).await;
    let (_, link) = g.all(&feed("inbox"), &[IMMUTABLE]).await;
    for n in 0..9 {
        g.message("inbox", &n.to_string()).await;
    }
    let (told, link) = g.all(&link.unwrap(), &[IMMUTABLE]).await;
    assert!((1..9).contains(&told.len()), "{} told", told.len());
    assert!(g.all(&link.unwrap(), &[IMMUTABLE]).await.0.is_empty());
    assert_eq!(g.all(&feed("inbox"), &[IMMUTABLE]).await.0.len(), 9);
}

#[tokio::test]
async fn tokens_are_opaque_and_expire() {
    let g = Graph::start(&["--messages", "30", "--accounts", "1"]).await;
    let (_, link) = g.all(&inbox(), &[PAGED]).await;
    let link = link.unwrap();
    assert!(!link.contains("select") && link.contains("$deltatoken="));
    let (status, body) = g.get(&format!("{}x", link)).await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (400, Some("SyncStateInvalid"))
    );
    g.control(Method::POST, "expire-delta-tokens", json!({}))
        .await;
    let response = g.send(Method::GET, &link, &[], None).await;
    assert_eq!(response.status(), 410);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.ends_with("$deltatoken="), "{location}");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "SyncStateNotFound");
    assert!(!g.all(&location, &[PAGED]).await.0.is_empty());
}

#[tokio::test]
async fn options_of_a_round() {
    let g = Graph::start(&["--messages", "200", "--accounts", "1"]).await;
    let (capped, link) = g.all(&format!("{}&$top=5", inbox()), &[PAGED]).await;
    assert_eq!(capped.len(), 5);
    assert!(link.is_some());
    let (new, _) = g
        .all(
            &format!(
                "{}&$filter=receivedDateTime ge 2026-01-01T00:00:00Z",
                inbox()
            ),
            &[PAGED],
        )
        .await;
    let (all, _) = g.all(&inbox(), &[PAGED]).await;
    assert!(!new.is_empty() && new.len() < all.len());
    assert_eq!(g.get(&format!("{}&$search=x", inbox())).await.0, 400);
    let (_, link) = g
        .all(&format!("{}&changeType=created", inbox()), &[PAGED])
        .await;
    g.message("inbox", "fresh").await;
    g.patch(
        &format!("{ALICE}/messages/{}", all[0]["id"].as_str().unwrap()),
        json!({"categories": ["c"]}),
    )
    .await;
    let (created, _) = g.all(&link.unwrap(), &[PAGED]).await;
    assert_eq!(created.len(), 1);
    assert_eq!(created[0]["subject"], "fresh");

    let g = Graph::start(&[
        "--messages",
        "200",
        "--accounts",
        "1",
        "--quirk",
        "empty-pages",
        "--quirk",
        "duplicate-items",
    ])
    .await;
    let (all_again, _) = g.all(&inbox(), &[PAGED]).await;
    let unique: HashSet<String> = ids(&all_again).into_iter().collect();
    assert!(unique.len() < all_again.len());
    assert_eq!(unique.len(), all.len());
}

#[tokio::test]
async fn folders_have_a_delta_of_their_own() {
    let g = Graph::start(&["--messages", "50", "--accounts", "1"]).await;
    let path = format!("{ALICE}/mailFolders/delta");
    let (all, link) = g.all(&path, &[]).await;
    assert!(all.iter().any(|f| f["displayName"] == "Projects 2026"));
    assert!(all.iter().all(|f| f["isHidden"] == false));
    assert!(
        g.all(&format!("{path}?includeHiddenFolders=true"), &[])
            .await
            .0
            .len()
            > all.len()
    );
    let (_, made) = g
        .post(
            &format!("{ALICE}/mailFolders"),
            json!({"displayName": "Fresh"}),
        )
        .await;
    let projects = all.iter().find(|f| f["displayName"] == "Projects").unwrap()["id"]
        .as_str()
        .unwrap();
    let response = g
        .send(
            Method::POST,
            &format!("{ALICE}/mailFolders/{projects}/permanentDelete"),
            &[],
            None,
        )
        .await;
    assert_eq!(response.status(), 204);
    let (changed, link) = g.all(&link.unwrap(), &[]).await;
    assert_eq!(
        changed.iter().filter(|f| f["@removed"].is_object()).count(),
        2
    );
    assert!(changed.iter().any(|f| f["id"] == made["id"]));
    assert!(g.all(&link.unwrap(), &[]).await.0.is_empty());
    assert_eq!(
        g.get(&format!("{ALICE}/mailFolders/{projects}/messages/delta"))
            .await
            .0,
        404
    );
}
