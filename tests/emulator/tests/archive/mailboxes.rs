//! Which mailboxes there are, who may reach them, and under which version.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ALICE, BOB, Graph};

#[tokio::test]
async fn archives_are_told_in_beta_alone() {
    let g = Graph::start(&["--accounts", "2", "--archives", "1", "--messages", "20"]).await;
    let v1 = g.ok(&format!("{ALICE}/settings/exchange")).await;
    let primary = v1["primaryMailboxId"].as_str().unwrap();
    assert!(primary.starts_with("MBX:") && primary.ends_with(&g.emulator.tenant));
    assert_eq!(v1.get("inPlaceArchiveMailboxId"), None);
    let beta = |user: &'static str| g.ok(user);
    let alice = beta("/beta/users/alice@contoso.com/settings/exchange").await;
    let archive = alice["inPlaceArchiveMailboxId"].as_str().unwrap();
    assert_eq!(alice["primaryMailboxId"], primary);
    assert_ne!(archive, primary);
    let bob = beta("/beta/users/bob@contoso.com/settings/exchange").await;
    assert!(bob["inPlaceArchiveMailboxId"].is_null());

    // Escaped or not, or as a key.
    let escaped = primary.replace(':', "%3A").replace('@', "%40");
    let mut answers = Vec::new();
    for path in [
        format!("/v1.0/admin/exchange/mailboxes/{primary}/folders/Inbox"),
        format!("/v1.0/admin/exchange/mailboxes/{escaped}/folders/inbox"),
        format!("/v1.0/admin/exchange/mailboxes('{primary}')/folders('inbox')"),
        format!("/beta/admin/exchange/mailboxes/{primary}/folders/inbox"),
    ] {
        answers.push(g.ok(&path).await["id"].clone());
    }
    assert!(answers.iter().all(|id| *id == answers[0]));
    let one = g
        .ok(&format!("/v1.0/admin/exchange/mailboxes/{primary}"))
        .await;
    assert_eq!(one["id"], primary);

    g.ok(&format!("/beta/admin/exchange/mailboxes/{archive}/folders"))
        .await;
    for path in [
        format!("/v1.0/admin/exchange/mailboxes/{archive}/folders"),
        "/v1.0/admin/exchange/mailboxes/MBX:0@1/folders".to_owned(),
    ] {
        let (status, body) = g.get(&path).await;
        let code = body["error"]["code"].as_str();
        assert_eq!((status, code), (404, Some("ErrorNonExistentMailbox")));
    }
    g.finish();
}

#[tokio::test]
async fn v1_takes_archives_where_it_is_told_to() {
    let g = Graph::start(&["--archives", "1", "--quirk", "archive-in-v1"]).await;
    let archive = g.archive().await.replace("/beta/", "/v1.0/");
    let folders = g.ok(&format!("{archive}/folders")).await;
    assert!(!folders["value"].as_array().unwrap().is_empty());
    g.finish();
}

#[tokio::test]
async fn an_archive_needs_a_mailbox_and_guests_have_none() {
    let g = Graph::start(&[
        "--accounts",
        "1",
        "--archives",
        "9",
        "--archive-messages",
        "30",
    ])
    .await;
    let (status, body) = g
        .get("/v1.0/users/print@contoso.com/settings/exchange")
        .await;
    let code = body["error"]["code"].as_str();
    assert_eq!((status, code), (404, Some("MailboxNotEnabledForRESTAPI")));
    // The one user and the shared mailbox.
    let mut items = 0;
    for user in ["alice", "info"] {
        let settings = g
            .ok(&format!("/beta/users/{user}@contoso.com/settings/exchange"))
            .await;
        let id = settings["inPlaceArchiveMailboxId"].as_str().unwrap();
        let path = format!("/beta/admin/exchange/mailboxes/{id}");
        items += mail_below(&g, &path, "msgfolderroot").await;
    }
    // One of each archive's is there besides the generated ones.
    assert_eq!(items, 30 + 2);
    g.finish();
}

/// How many messages are in the mail folders below one.
async fn mail_below(g: &Graph, mailbox: &str, folder: &str) -> u64 {
    let (folders, _) = g
        .all(&format!("{mailbox}/folders/{folder}/childFolders"))
        .await;
    let mut count = 0;
    for folder in folders.iter().filter(|f| f["type"] == "IPF.Note") {
        count += folder["totalItemCount"].as_u64().unwrap();
        let id = folder["id"].as_str().unwrap();
        count += Box::pin(mail_below(g, mailbox, id)).await;
    }
    count
}

#[tokio::test]
async fn each_operation_needs_its_own_permission() {
    let apps = [
        ("readfolders", "MailboxFolder.Read.All"),
        ("writefolders", "MailboxFolder.ReadWrite.All"),
        ("readitems", "MailboxItem.Read.All"),
        ("writeitems", "MailboxItem.ReadWrite.All"),
        ("export", "MailboxItem.Export.All"),
        ("import", "MailboxItem.ImportExport.All"),
        ("user", "User.Read.All"),
    ];
    let given: Vec<String> = apps
        .iter()
        .map(|(id, role)| format!("{id}:secret:{role}"))
        .collect();
    let mut arguments = vec!["--accounts", "2", "--messages", "40"];
    given
        .iter()
        .for_each(|a| arguments.extend(["--app", a.as_str()]));
    let mut g = Graph::start(&arguments).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let page = g.ok(&format!("{mailbox}/folders/inbox/items?$top=2")).await;
    let item = page["value"][0]["id"].as_str().unwrap().to_owned();
    let gone = page["value"][1]["id"].as_str().unwrap().to_owned();
    let made = g
        .post(
            &format!("{mailbox}/folders"),
            json!({"displayName": "Mine", "type": "IPF.Note"}),
        )
        .await
        .1;
    let mine = made["id"].as_str().unwrap().to_owned();

    let folder = json!({"displayName": "New", "type": "IPF.Note"});
    let operations: Vec<(Method, String, Option<Value>, &[&str])> = vec![
        (
            Method::GET,
            "/folders".into(),
            None,
            &["readfolders", "writefolders"],
        ),
        (
            Method::GET,
            "/folders/inbox".into(),
            None,
            &["readfolders", "writefolders"],
        ),
        (
            Method::GET,
            "/folders/delta".into(),
            None,
            &["readfolders", "writefolders"],
        ),
        (
            Method::POST,
            "/folders".into(),
            Some(folder),
            &["writefolders"],
        ),
        (
            Method::PATCH,
            format!("/folders/{mine}"),
            Some(json!({"displayName": "Still mine"})),
            &["writefolders"],
        ),
        (
            Method::GET,
            "/folders/inbox/items".into(),
            None,
            &["readitems", "writeitems"],
        ),
        (
            Method::GET,
            "/folders/inbox/items/delta".into(),
            None,
            &["readitems", "writeitems"],
        ),
        (
            Method::GET,
            format!("/folders/inbox/items/{item}"),
            None,
            &["readitems", "writeitems"],
        ),
        (
            Method::POST,
            "/exportItems".into(),
            Some(json!({"itemIds": [item]})),
            &["export", "import"],
        ),
        (
            Method::POST,
            "/createImportSession".into(),
            None,
            &["import"],
        ),
        (
            Method::DELETE,
            format!("/folders/inbox/items/{gone}"),
            None,
            &["writeitems"],
        ),
        (
            Method::DELETE,
            format!("/folders/{mine}"),
            None,
            &["writefolders"],
        ),
    ];
    for (app, _) in apps {
        g.become_app(app, "secret").await;
        for (method, path, body, allowed) in &operations {
            let (status, answer) = g
                .call(method.clone(), &format!("{mailbox}{path}"), body.clone())
                .await;
            if allowed.contains(&app) {
                assert!(status < 300, "{app} {method} {path}: {answer}");
            } else {
                let code = answer["error"]["code"].as_str();
                assert_eq!(
                    (status, code),
                    (403, Some("Authorization_RequestDenied")),
                    "{app} {method} {path}"
                );
            }
        }
        let (status, _) = g.get(&format!("{BOB}/settings/exchange")).await;
        assert_eq!(status, if app == "user" { 200 } else { 403 });
    }
    g.finish();
}

#[tokio::test]
async fn an_auto_expanding_archive_is_two_mailboxes() {
    let g = Graph::start(&[
        "--archives",
        "1",
        "--archive-messages",
        "80",
        "--quirk",
        "auto-expanding-archive",
    ])
    .await;
    let archive = g.archive().await;
    let (folders, _) = g.all(&format!("{archive}/folders")).await;
    let (there, here): (Vec<_>, Vec<_>) = folders
        .iter()
        .partition(|f| f["parentMailboxUrl"].is_string());
    assert!(there.len() == 1 && here.len() > 3);
    let id = there[0]["id"].as_str().unwrap();
    let url = there[0]["parentMailboxUrl"].as_str().unwrap();
    assert!(url.starts_with(&g.emulator.url) && !url.ends_with(&archive));

    let (status, _) = g.get(&format!("{archive}/folders/{id}/items")).await;
    assert_eq!(status, 404);
    let (items, link) = g.all(&format!("{url}/folders/{id}/items/delta")).await;
    assert_eq!(json!(items.len()), there[0]["totalItemCount"]);
    assert!(!items.is_empty());
    assert_eq!(g.all(&link.unwrap()).await.0, Vec::<Value>::new());
    let item = items[0]["id"].as_str().unwrap();
    g.export(url, item).await;
    let (_, refused) = g
        .post(
            &format!("{archive}/exportItems"),
            json!({"itemIds": [item]}),
        )
        .await;
    assert_eq!(refused["value"][0]["error"]["code"], "ErrorItemNotFound");
    // What is below is in the same mailbox.
    let (below, _) = g.all(&format!("{archive}/folders/{id}/childFolders")).await;
    assert!(!below.is_empty());
    assert!(below.iter().all(|f| f["parentMailboxUrl"] == url));
    let data = g.export(url, item).await;
    let session = g.session(url).await;
    let body = json!({"FolderId": id, "Mode": "create", "Data": data});
    assert_eq!(g.import(&session, body).await.0, 200);
    g.finish();
}

#[tokio::test]
async fn imports_draw_on_the_budget_of_their_mailbox() {
    let g = Graph::start(&["--throttle", "real", "--accounts", "2", "--messages", "10"]).await;
    let (alice, bob) = (
        g.primary("alice@contoso.com").await,
        g.primary("bob@contoso.com").await,
    );
    let url = g.session(&alice).await;
    // 150 MB in five minutes, of whatever kind.
    assert_eq!(g.import_raw(&url, &[], vec![b'x'; 100 << 20]).await, 400);
    assert_eq!(g.import_raw(&url, &[], vec![b'x'; 60 << 20]).await, 429);
    let big =
        json!({"subject": "x", "body": {"contentType": "text", "content": "x".repeat(3 << 20)}});
    let mut refused = 0;
    for _ in 0..18 {
        let (status, _) = g.post(&format!("{ALICE}/messages"), big.clone()).await;
        refused += u32::from(status == 429);
    }
    assert!(refused > 0);
    assert_eq!(g.get(&format!("{alice}/folders")).await.0, 200);
    let other = g.session(&bob).await;
    assert_eq!(g.import_raw(&other, &[], vec![b'x'; 60 << 20]).await, 400);
    g.control("clock", json!({"advance_seconds": 301})).await;
    assert_eq!(g.import_raw(&url, &[], vec![b'x'; 60 << 20]).await, 400);
}
