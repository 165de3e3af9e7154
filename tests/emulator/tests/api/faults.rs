//! Scripted faults, quirks, and the log of exchanges.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use crate::support::{ALICE, Graph};

#[tokio::test]
async fn faults_come_as_scripted() {
    let g = Graph::start(&["--messages", "30", "--accounts", "1"]).await;
    let id = g.message("inbox", "Corrupt one").await;
    let mime = format!("{ALICE}/messages/{id}/$value");
    let whole = g
        .send(Method::GET, &mime, &[], None)
        .await
        .bytes()
        .await
        .unwrap();

    g.faults(json!([{"route": "*/$value", "skip": 1, "count": 1, "fault": {"status": 503, "retry_after": 7, "empty": true}}])).await;
    assert_eq!(g.send(Method::GET, &mime, &[], None).await.status(), 200);
    let spoilt = g.send(Method::GET, &mime, &[], None).await;
    assert_eq!(
        (
            spoilt.status().as_u16(),
            spoilt.headers()["retry-after"].to_str().unwrap()
        ),
        (503, "7")
    );
    assert!(spoilt.bytes().await.unwrap().is_empty());
    assert_eq!(g.send(Method::GET, &mime, &[], None).await.status(), 200);

    let get = || g.http.get(g.url(&mime)).bearer_auth(&g.token).send();
    g.faults(json!([{"route": "*/$value", "fault": "go_away"}]))
        .await;
    let farewell = get().await.unwrap();
    assert_eq!(farewell.headers()["connection"], "close");
    assert_eq!(farewell.bytes().await.unwrap(), whole);
    assert!(!get().await.unwrap().headers().contains_key("connection"));
    g.faults(json!([{"route": "*/$value", "fault": "reset"}]))
        .await;
    assert!(get().await.is_err());
    g.faults(json!([{"route": "*/$value", "fault": {"truncate": 20}}]))
        .await;
    assert!(get().await.unwrap().bytes().await.is_err());
    g.faults(json!([{"route": "*/$value", "fault": "corrupt"}]))
        .await;
    let corrupt = get().await.unwrap().bytes().await.unwrap();
    assert_eq!(corrupt.len(), whole.len());
    assert_ne!(corrupt, whole);
    g.faults(json!([{"route": "*/$value", "fault": {"slow": 1000}}]))
        .await;
    let start = Instant::now();
    assert_eq!(get().await.unwrap().bytes().await.unwrap(), whole);
    assert!(start.elapsed().as_millis() as usize >= whole.len() / 2);
    g.faults(json!([{"method": "GET", "route": "/v1.0/users/{id}", "fault": "expired_token"}]))
        .await;
    assert_eq!(g.get(ALICE).await.0, 401);

    // An item that breaks every page it is on.
    g.faults(json!([{"count": 0, "fault": {"poison": "Corrupt one"}}]))
        .await;
    let list = format!("{ALICE}/mailFolders/inbox/messages?$top=1000");
    assert_eq!(g.get(&list).await.0, 500);
    assert_eq!(g.get(&format!("{list}&$select=id")).await.0, 200);
    assert_eq!(g.get(&format!("{ALICE}/messages/{id}")).await.0, 500);

    // Made, but the answer is lost: the retry meets what is there.
    g.faults(json!([{"method": "POST", "fault": {"status": 504, "after": true}}]))
        .await;
    let folder = json!({"displayName": "Once"});
    assert_eq!(
        g.post(&format!("{ALICE}/mailFolders"), folder.clone())
            .await
            .0,
        504
    );
    assert_eq!(g.post(&format!("{ALICE}/mailFolders"), folder).await.0, 409);
    let answer = g
        .control(Method::POST, "faults", json!([{"fault": "nonsense"}]))
        .await;
    assert!(answer["error"].is_object());
}

#[tokio::test]
async fn quirks_are_played() {
    let g = Graph::start(&[
        "--messages",
        "30",
        "--accounts",
        "1",
        "--quirk",
        "vary-boundaries",
        "--quirk",
        "control-characters",
    ])
    .await;
    let (all, _) = g.all(&format!("{ALICE}/messages?$select=id"), &[]).await;
    let mut varied = false;
    for message in &all {
        let url = format!(
            "{ALICE}/messages/{}/$value",
            message["id"].as_str().unwrap()
        );
        let first = g
            .send(Method::GET, &url, &[], None)
            .await
            .bytes()
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let second = g
            .send(Method::GET, &url, &[], None)
            .await
            .bytes()
            .await
            .unwrap();
        assert_eq!(first.len(), second.len());
        varied |= first != second;
    }
    assert!(varied);
    let post = g
        .post(
            &format!("{ALICE}/mailFolders/inbox/messages"),
            json!({"subject": "bell \u{7} rings"}),
        )
        .await;
    assert_eq!(post.0, 201);
    let list = format!("{ALICE}/mailFolders/inbox/messages?$select=subject&$top=1");
    let raw = g
        .send(Method::GET, &list, &[], None)
        .await
        .bytes()
        .await
        .unwrap();
    assert!(raw.contains(&7) && serde_json::from_slice::<serde_json::Value>(&raw).is_err());
}

#[tokio::test]
async fn every_exchange_is_logged_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    let g = Graph::start(&[
        "--messages",
        "5",
        "--accounts",
        "1",
        "--client-secret",
        "hush-hush",
        "--log",
        path.to_str().unwrap(),
    ])
    .await;
    let id = g.message("inbox", "logged").await;
    g.send(
        Method::GET,
        &format!("{ALICE}/messages/{id}/$value"),
        &[],
        None,
    )
    .await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (
            &lines[1]["method"],
            &lines[1]["status"],
            &lines[1]["response_body"]["subject"]
        ),
        (&json!("POST"), &json!(201), &json!("logged"))
    );
    assert!(lines[2]["response_body"]["$binary"].is_number());
    assert!(!text.contains("hush-hush") && !text.contains(&g.token));
}

#[tokio::test]
async fn opaque_smime_has_no_mime_but_its_attachment() {
    let dir = tempfile::tempdir().unwrap();
    let mail = "From: a@b.c\r\nSubject: sealed\r\nMIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\
Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=smime.p7m\r\n\r\nMIAGCSqGSIb3DQEHA6CAMIACAQAx\r\n";
    std::fs::write(dir.path().join("1.eml"), mail).unwrap();
    let import = [
        "--messages",
        "0",
        "--accounts",
        "1",
        "--import-mail",
        dir.path().to_str().unwrap(),
    ];
    for (quirk, status) in [(&[][..], 200), (&["--quirk", "smime-fails"][..], 500)] {
        let g = Graph::start(&[&import[..], quirk].concat()).await;
        let page = g.ok(&format!("{ALICE}/messages?$expand=attachments")).await;
        let message = &page["value"][0];
        assert_eq!(message["attachments"][0]["name"], "smime.p7m", "{message}");
        let url = format!(
            "{ALICE}/messages/{}/$value",
            message["id"].as_str().unwrap()
        );
        let (got, body) = g.get(&url).await;
        assert_eq!(got, status);
        if status == 500 {
            assert_eq!(body["error"]["code"], "ErrorMimeContentConversionFailed");
        }
    }
}
