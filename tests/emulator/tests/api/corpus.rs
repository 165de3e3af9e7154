//! The corpus of real mail, imported as it is, and every exchange held against Microsoft's schema.

use std::collections::HashMap;

use fixtures::corpus;
use reqwest::Method;
use serde_json::json;

use crate::support::{ALICE, Graph, IMMUTABLE};

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_comes_back_byte_for_byte() {
    let Some(corpus) = corpus::folder("mail") else {
        return;
    };
    let g = Graph::start(&[
        "--messages",
        "0",
        "--accounts",
        "2",
        "--import-mail",
        corpus.to_str().unwrap(),
    ])
    .await;
    let mut expected: HashMap<Vec<u8>, i64> = HashMap::new();
    for path in corpus::files(&corpus)
        .iter()
        .filter(|p| p.extension().is_none_or(|e| e != "md"))
    {
        let bytes = std::fs::read(path).unwrap();
        let from_line = bytes
            .starts_with(b"From ")
            .then(|| bytes.iter().position(|b| *b == b'\n'))
            .flatten();
        *expected
            .entry(bytes[from_line.map_or(0, |at| at + 1)..].to_vec())
            .or_default() += 1;
    }
    for user in ["alice@contoso.com", "bob@contoso.com"] {
        let (folders, _) = g
            .all(&format!("/v1.0/users/{user}/mailFolders?$top=100"), &[])
            .await;
        for folder in folders {
            let path = format!(
                "/v1.0/users/{user}/mailFolders/{}/messages/delta?$select=subject",
                folder["id"].as_str().unwrap()
            );
            let (messages, _) = g
                .all(
                    &path,
                    &[("Prefer", "IdType=\"ImmutableId\", odata.maxpagesize=1000")],
                )
                .await;
            for message in messages {
                let url = format!(
                    "/v1.0/users/{user}/messages/{}",
                    message["id"].as_str().unwrap()
                );
                let mime = g
                    .send(Method::GET, &format!("{url}/$value"), &[], None)
                    .await
                    .bytes()
                    .await
                    .unwrap();
                *expected.entry(mime.to_vec()).or_default() -= 1;
            }
        }
    }
    assert_eq!(expected.values().filter(|n| **n != 0).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_fits_the_schema() {
    let Some(corpus) = corpus::folder("mail") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.jsonl");
    let imports: Vec<String> = ["enmime", "mimekit-messages", "mime4j-testmsgs", "roundcube"]
        .iter()
        .map(|f| corpus.join(f).display().to_string())
        .collect();
    let mut arguments = vec![
        "--messages",
        "1500",
        "--accounts",
        "2",
        "--log",
        log.to_str().unwrap(),
    ];
    for import in &imports {
        arguments.extend(["--import-mail", import]);
    }
    let g = Graph::start(&arguments).await;
    g.all("/v1.0/users?$top=2", &[]).await;
    g.all(
        "/v1.0/users/delta?$select=displayName,accountEnabled,userType,proxyAddresses",
        &[],
    )
    .await;
    g.ok("/v1.0/organization").await;
    g.get("/v1.0/users/nobody").await;
    g.ok(&format!("{ALICE}/mailboxSettings")).await;
    g.ok(&format!("{ALICE}/mailboxSettings/userPurpose")).await;
    g.ok(&format!("{ALICE}/settings/exchange")).await;
    for user in ["alice@contoso.com", "bob@contoso.com"] {
        let root = format!("/v1.0/users/{user}");
        g.all(
            &format!("{root}/mailFolders/delta?includeHiddenFolders=true"),
            &[],
        )
        .await;
        let (folders, _) = g
            .all(
                &format!("{root}/mailFolders?includeHiddenFolders=true&$top=5"),
                &[],
            )
            .await;
        for folder in folders {
            let base = format!("{root}/mailFolders/{}", folder["id"].as_str().unwrap());
            g.all(
                &format!("{base}/messages/delta"),
                &[("Prefer", "odata.maxpagesize=100")],
            )
            .await;
            g.all(&format!("{base}/childFolders"), &[]).await;
            let (messages, _) = g
                .all(
                    &format!("{base}/messages?$top=200&$expand=attachments"),
                    &[IMMUTABLE],
                )
                .await;
            for message in messages
                .iter()
                .filter(|m| m["hasAttachments"] == true)
                .take(20)
            {
                let message = format!("{root}/messages/{}", message["id"].as_str().unwrap());
                let list = g
                    .ok(&format!(
                        "{message}/attachments?$expand=microsoft.graph.itemattachment/item"
                    ))
                    .await;
                for attachment in list["value"].as_array().unwrap() {
                    g.get(&format!(
                        "{message}/attachments/{}/$value",
                        attachment["id"].as_str().unwrap()
                    ))
                    .await;
                }
                g.ok(&format!("{message}?$select=internetMessageHeaders,body"))
                    .await;
                g.get(&format!("{message}/$value")).await;
            }
        }
    }
    let id = g.message("inbox", "made").await;
    g.patch(
        &format!("{ALICE}/messages/{id}"),
        json!({"isRead": true, "categories": ["a"]}),
    )
    .await;
    g.post(&format!("{ALICE}/messages/{id}/attachments"), json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "n", "contentBytes": "aGkh"})).await;
    g.post(
        &format!("{ALICE}/messages/{id}/attachments/createUploadSession"),
        json!({"AttachmentItem": {"attachmentType": "file", "name": "b", "size": 10}}),
    )
    .await;
    g.post(
        &format!("{ALICE}/translateExchangeIds"),
        json!({"inputIds": [id], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"}),
    )
    .await;
    g.post(
        &format!("{ALICE}/messages/{id}/copy"),
        json!({"destinationId": "archive"}),
    )
    .await;
    g.post(
        &format!("{ALICE}/messages/{id}/move"),
        json!({"destinationId": "archive"}),
    )
    .await;
    g.post(&format!("{ALICE}/mailFolders"), json!({"displayName": "F"}))
        .await;
    g.post("/v1.0/$batch", json!({"requests": [{"id": "1", "method": "GET", "url": "/users/alice@contoso.com/messages?$top=1"},
        {"id": "2", "method": "GET", "url": "/users/alice@contoso.com/messages/x"}]})).await;
    g.emulator.stop();
    if let Some(exchanges) = fixtures::schema::check(&log) {
        // The tenant is the same every time: fewer exchanges would be a part that is not asked for.
        assert!(exchanges.graph > 1100, "{exchanges:?}");
    }
}
