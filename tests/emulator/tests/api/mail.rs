//! Folders, messages, attachments, MIME.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;

use crate::support::{ALICE, Graph, IMMUTABLE, ids};

#[tokio::test]
async fn folders_are_listed_made_moved_and_deleted() {
    let g = Graph::start(&["--messages", "100", "--accounts", "1"]).await;
    let (visible, _) = g.all(&format!("{ALICE}/mailFolders?$top=3"), &[]).await;
    let (all, _) = g
        .all(
            &format!("{ALICE}/mailFolders?includeHiddenFolders=true"),
            &[],
        )
        .await;
    assert!(all.len() > visible.len() && visible.iter().all(|f| f["isHidden"] == false));
    assert!(
        all.iter()
            .any(|f| f["@odata.type"] == "#microsoft.graph.mailSearchFolder")
    );
    let root = g.ok(&format!("{ALICE}/mailFolders/msgfolderroot")).await;
    assert!(visible.iter().all(|f| f["parentFolderId"] == root["id"]));
    let (dumpster, _) = g
        .all(
            &format!(
                "{ALICE}/mailFolders/recoverableitemsroot/childFolders?includeHiddenFolders=true"
            ),
            &[],
        )
        .await;
    assert!(dumpster.iter().any(|f| f["displayName"] == "Deletions"));
    assert_eq!(g.get(&format!("{ALICE}/mailFolders/clutter")).await.0, 404);

    let (status, made) = g
        .post(
            &format!("{ALICE}/mailFolders"),
            json!({"displayName": "New/er", "isHidden": false}),
        )
        .await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap();
    let (status, body) = g
        .post(
            &format!("{ALICE}/mailFolders"),
            json!({"displayName": "new/ER"}),
        )
        .await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (409, Some("ErrorFolderExists"))
    );
    let found = g
        .ok(&format!(
            "{ALICE}/mailFolders?$filter=displayName eq 'New/er'"
        ))
        .await;
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    let (status, child) = g
        .post(
            &format!("{ALICE}/mailFolders/{id}/childFolders"),
            json!({"displayName": "x"}),
        )
        .await;
    assert_eq!((status, &child["parentFolderId"]), (201, &made["id"]));
    let (status, moved) = g
        .post(
            &format!("{ALICE}/mailFolders/{id}/move"),
            json!({"destinationId": "inbox"}),
        )
        .await;
    assert_eq!((status, &moved["id"]), (201, &made["id"]));
    g.message(id, "in it").await;
    let (status, copy) = g
        .post(
            &format!("{ALICE}/mailFolders/{id}/copy"),
            json!({"destinationId": "archive"}),
        )
        .await;
    assert_eq!((status, copy["totalItemCount"].as_u64()), (201, Some(1)));
    assert_eq!(
        g.patch(
            &format!("{ALICE}/mailFolders/{id}"),
            json!({"displayName": "Renamed"})
        )
        .await
        .1["displayName"],
        "Renamed"
    );
    assert_eq!(g.delete(&format!("{ALICE}/mailFolders/{id}")).await, 204);
    let bin = g
        .ok(&format!("{ALICE}/mailFolders/deleteditems/childFolders"))
        .await;
    assert_eq!(bin["value"][0]["displayName"], "Renamed");
    assert_eq!(g.delete(&format!("{ALICE}/mailFolders/inbox")).await, 400);
    let response = g
        .send(
            Method::POST,
            &format!("{ALICE}/mailFolders/{id}/permanentDelete"),
            &[],
            None,
        )
        .await;
    assert_eq!(response.status(), 204);
    assert_eq!(g.get(&format!("{ALICE}/mailFolders/{id}")).await.0, 404);
    let class = g.ok(&format!("{ALICE}/mailFolders/inbox?$expand=singleValueExtendedProperties($filter=id eq 'String 0x3613')")).await;
    assert_eq!(
        class["singleValueExtendedProperties"][0]["value"],
        "IPF.Note"
    );
}

#[tokio::test]
async fn lists_page_select_filter_and_order() {
    let g = Graph::start(&["--messages", "300", "--accounts", "1"]).await;
    let inbox = g.ok(&format!("{ALICE}/mailFolders/inbox")).await;
    let total = inbox["totalItemCount"].as_u64().unwrap() as usize;
    let path =
        format!("{ALICE}/mailFolders/inbox/messages?$select=subject,receivedDateTime&$top=37");
    let (all, _) = g.all(&path, &[]).await;
    assert_eq!(all.len(), total);
    assert_eq!(ids(&all).into_iter().collect::<HashSet<_>>().len(), total);
    let times: Vec<&str> = all
        .iter()
        .map(|m| m["receivedDateTime"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b));
    assert!(all[0].as_object().unwrap().keys().all(|k| matches!(
        k.as_str(),
        "id" | "@odata.etag" | "subject" | "receivedDateTime"
    )));
    assert_eq!(
        g.ok(&format!("{ALICE}/messages")).await["value"]
            .as_array()
            .unwrap()
            .len(),
        10
    );

    let (status, body) = g.get(&format!("{ALICE}/messages?$select=@removed")).await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (400, Some("RequestBroker--ParseUri"))
    );
    let (status, body) = g
        .get(&format!(
            "{ALICE}/messages?$filter=isRead eq false&$orderby=receivedDateTime desc"
        ))
        .await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (400, Some("InefficientFilter"))
    );
    let (unread, _) = g
        .all(
            &format!("{ALICE}/mailFolders/inbox/messages?$filter=isRead eq false&$select=isRead"),
            &[],
        )
        .await;
    assert_eq!(
        unread.len() as u64,
        inbox["unreadItemCount"].as_u64().unwrap()
    );

    let one = g
        .ok(&format!(
            "{ALICE}/messages/{}?$select=internetMessageId",
            all[3]["id"].as_str().unwrap()
        ))
        .await;
    let filter = format!(
        "internetMessageId eq '{}'",
        one["internetMessageId"].as_str().unwrap()
    );
    let found = g
        .ok(&format!(
            "{ALICE}/messages?$filter={}",
            filter.replace('<', "%3C").replace('>', "%3E")
        ))
        .await;
    assert_eq!(
        ids(found["value"].as_array().unwrap()),
        [all[3]["id"].as_str().unwrap()]
    );
}

#[tokio::test]
async fn generated_mail_is_the_same_every_time_and_whole() {
    let g = Graph::start(&["--messages", "200", "--accounts", "2", "--seed", "9"]).await;
    let h = Graph::start(&["--messages", "200", "--accounts", "2", "--seed", "9"]).await;
    let path = format!("{ALICE}/mailFolders/inbox/messages?$top=50");
    let (a, b) = (g.ok(&path).await, h.ok(&path).await);
    assert_eq!(a["value"], b["value"]);
    let mut with_attachments = 0;
    for message in a["value"].as_array().unwrap() {
        let url = format!(
            "{ALICE}/messages/{}/$value",
            message["id"].as_str().unwrap()
        );
        let response = g.send(Method::GET, &url, &[], None).await;
        assert_eq!(response.headers()["content-type"], "text/plain");
        let mime = response.bytes().await.unwrap();
        assert_eq!(
            mime,
            h.send(Method::GET, &url, &[], None)
                .await
                .bytes()
                .await
                .unwrap()
        );
        assert!(mime.starts_with(b"Received: "));
        with_attachments += usize::from(message["hasAttachments"] == true);
    }
    assert!(with_attachments > 0);
}

#[tokio::test]
async fn a_json_post_is_a_draft_unless_its_flags_say_otherwise() {
    let g = Graph::start(&["--messages", "0", "--accounts", "1"]).await;
    let marker = "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name tenantfs";
    let body = json!({
        "subject": "Quarter figures", "body": {"contentType": "HTML", "content": "<p>x</p><script>y</script>"}, "importance": "High",
        "from": {"emailAddress": {"name": "Ann", "address": "ann@contoso.test"}}, "toRecipients": [{"emailAddress": {"address": "bo@contoso.test"}}],
        "internetMessageId": "<orig@x>", "isRead": true, "categories": ["Red category"], "flag": {"flagStatus": "flagged"},
        "singleValueExtendedProperties": [{"id": "Integer 0x0E07", "value": "4"}, {"id": "SystemTime 0x0039", "value": "2026-03-01T09:00:00Z"},
            {"id": "SystemTime 0x0E06", "value": "2026-03-01T09:00:05Z"}, {"id": marker, "value": "u k"}]});
    let (status, made) = g
        .post(&format!("{ALICE}/mailFolders/inbox/messages"), body)
        .await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["isDraft"], false);
    assert_eq!(made["receivedDateTime"], "2026-03-01T09:00:05Z");
    assert_eq!(made["sentDateTime"], "2026-03-01T09:00:00Z");
    assert_eq!(made["body"]["content"], "<p>x</p>");
    assert_eq!(
        (&made["importance"], &made["internetMessageId"]),
        (&json!("high"), &json!("<orig@x>"))
    );
    let id = made["id"].as_str().unwrap();
    let expand = format!(
        "$expand=singleValueExtendedProperties($filter=id eq '{marker}' or id eq 'Integer 0x0E07')"
    );
    let read = g.ok(&format!("{ALICE}/messages/{id}?{expand}")).await;
    assert_eq!(
        read["singleValueExtendedProperties"][0],
        json!({"id": marker, "value": "u k"})
    );
    assert_eq!(
        read["singleValueExtendedProperties"][1],
        json!({"id": "Integer 0xe07", "value": "1"})
    );
    let filter =
        format!("singleValueExtendedProperties/Any(ep: ep/id eq '{marker}' and ep/value eq 'u k')");
    let found = g
        .ok(&format!(
            "{ALICE}/mailFolders/inbox/messages?$filter={filter}"
        ))
        .await;
    assert_eq!(ids(found["value"].as_array().unwrap()), [id]);
    let mime = g
        .send(
            Method::GET,
            &format!("{ALICE}/messages/{id}/$value"),
            &[],
            None,
        )
        .await
        .text()
        .await
        .unwrap();
    assert!(
        mime.contains("Subject: Quarter figures") && mime.contains("Message-ID: <orig@x>"),
        "{mime}"
    );

    // Without the flags: a draft of now.
    let (_, draft) = g
        .post(&format!("{ALICE}/messages"), json!({"subject": "later"}))
        .await;
    assert_eq!(draft["isDraft"], true);
    assert_ne!(draft["receivedDateTime"], "2026-03-01T09:00:05Z");
    assert_eq!(
        draft["parentFolderId"],
        g.ok(&format!("{ALICE}/mailFolders/drafts")).await["id"]
    );
    let draft_id = draft["id"].as_str().unwrap();
    assert_eq!(
        g.patch(
            &format!("{ALICE}/messages/{draft_id}"),
            json!({"subject": "now"})
        )
        .await
        .1["subject"],
        "now"
    );

    let (status, refused) = g
        .patch(&format!("{ALICE}/messages/{id}"), json!({"subject": "x"}))
        .await;
    assert_eq!(
        (status, refused["error"]["code"].as_str()),
        (400, Some("ErrorInvalidRequest"))
    );
    for (bad, code) in [
        (json!({"subjekt": "x"}), "RequestBodyRead"),
        (
            json!({"internetMessageHeaders": [{"name": "List-Id", "value": "x"}]}),
            "InvalidInternetMessageHeader",
        ),
        (
            json!({"internetMessageHeaders": []}),
            "InvalidInternetMessageHeaderCollection",
        ),
        (
            json!({"replyTo": [{"emailAddress": {"address": "nobody"}}]}),
            "ErrorInvalidReplyTo",
        ),
        (
            json!({"singleValueExtendedProperties": [{"id": "Nonsense", "value": "x"}]}),
            "ErrorInvalidProperty",
        ),
    ] {
        let (status, answer) = g.post(&format!("{ALICE}/messages"), bad).await;
        assert_eq!(
            (status, answer["error"]["code"].as_str()),
            (400, Some(code))
        );
    }
}

#[tokio::test]
async fn a_mime_post_is_always_a_draft_and_keeps_its_bytes() {
    let g = Graph::start(&["--messages", "0", "--accounts", "1"]).await;
    let mime = b"From: a@x.test\nSubject: raw\nMessage-ID: <m@x>\nDate: Mon, 2 Mar 2020 10:00:00 +0000\n\nbody \xff\n";
    let post = |body: String| {
        g.http
            .post(g.url(&format!("{ALICE}/messages")))
            .bearer_auth(&g.token)
            .header("content-type", "text/plain")
            .body(body)
            .send()
    };
    let made: serde_json::Value = post(STANDARD.encode(mime))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (
            &made["isDraft"],
            &made["subject"],
            &made["internetMessageId"]
        ),
        (&json!(true), &json!("raw"), &json!("<m@x>"))
    );
    assert_ne!(made["sentDateTime"], "2020-03-02T10:00:00Z");
    let url = format!("{ALICE}/messages/{}/$value", made["id"].as_str().unwrap());
    assert_eq!(
        &g.send(Method::GET, &url, &[], None)
            .await
            .bytes()
            .await
            .unwrap()[..],
        mime
    );
    let bad = post("!!!".into()).await.unwrap();
    assert_eq!(bad.status(), 400);
    assert_eq!(
        bad.json::<serde_json::Value>().await.unwrap()["error"]["code"],
        "ErrorMimeContentInvalidBase64String"
    );
    let large = post("A".repeat(5 << 20)).await.unwrap();
    assert_eq!(large.status(), 413);
    assert!(large.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn ids_follow_moves_unless_immutable() {
    let g = Graph::start(&["--messages", "0", "--accounts", "1"]).await;
    let id = g.message("inbox", "m").await;
    let (_, body) = g
        .get_with(&format!("{ALICE}/messages/{id}"), &[IMMUTABLE])
        .await;
    let immutable = body["id"].as_str().unwrap().to_owned();
    assert_ne!(id, immutable);
    let response = g
        .send(
            Method::GET,
            &format!("{ALICE}/messages/{id}"),
            &[IMMUTABLE],
            None,
        )
        .await;
    assert_eq!(
        response.headers()["preference-applied"],
        "IdType=\"ImmutableId\""
    );
    let (_, moved) = g
        .post(
            &format!("{ALICE}/messages/{id}/move"),
            json!({"destinationId": "archive"}),
        )
        .await;
    assert_ne!(moved["id"], json!(id));
    assert_eq!(
        g.get(&format!("{ALICE}/messages/{id}")).await.1["error"]["code"],
        "ErrorItemNotFound"
    );
    assert_eq!(g.get(&format!("{ALICE}/messages/{immutable}")).await.0, 200);
    let (_, translated) = g
        .post(&format!("{ALICE}/translateExchangeIds"), json!({"inputIds": [moved["id"], "x"], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"}))
        .await;
    assert_eq!(translated["value"][0]["targetId"], json!(immutable));
    assert!(translated["value"][1]["errorDetails"].is_object());
    assert_eq!(
        g.get(&format!("{ALICE}/messages/nonsense")).await.1["error"]["code"],
        "ErrorInvalidIdMalformed"
    );

    // Deleting: into Recoverable Items, where it can only be read and moved out.
    assert_eq!(
        g.delete(&format!("{ALICE}/messages/{immutable}")).await,
        204
    );
    let deletions = g
        .ok(&format!(
            "{ALICE}/mailFolders/recoverableitemsdeletions/messages"
        ))
        .await;
    assert_eq!(deletions["value"].as_array().unwrap().len(), 1);
    assert_eq!(
        g.delete(&format!("{ALICE}/messages/{immutable}")).await,
        403
    );
    assert_eq!(g.delete(&format!("{ALICE}/messages/{id}")).await, 404);
    let response = g
        .send(
            Method::POST,
            &format!("{ALICE}/messages/{immutable}/permanentDelete"),
            &[],
            None,
        )
        .await;
    assert_eq!(response.status(), 204);
}

#[tokio::test]
async fn attachments_of_all_kinds() {
    let g = Graph::start(&["--messages", "0", "--accounts", "1"]).await;
    let id = g.message("inbox", "with").await;
    let base = format!("{ALICE}/messages/{id}/attachments");
    let (status, file) = g.post(&base, json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "n.txt", "contentBytes": "aGkh", "contentType": "text/plain"})).await;
    assert_eq!((status, &file["contentBytes"]), (201, &json!("aGkh")));
    let (status, item) = g.post(&base, json!({"@odata.type": "#microsoft.graph.itemAttachment", "name": "in",
        "item": {"@odata.type": "#microsoft.graph.message", "subject": "inner", "body": {"contentType": "text", "content": "deep"}}})).await;
    assert_eq!(status, 201, "{item}");
    let (status, reference) = g
        .post(
            &base,
            json!({"@odata.type": "#microsoft.graph.referenceAttachment", "name": "link"}),
        )
        .await;
    assert_eq!(status, 201);
    let (status, refused) = g
        .post(
            &base,
            json!({"@odata.type": "#microsoft.graph.itemAttachment", "name": "in"}),
        )
        .await;
    assert_eq!(
        (status, refused["error"]["code"].as_str()),
        (400, Some("ErrorInvalidProperty"))
    );

    let value = |a: &serde_json::Value| format!("{base}/{}/$value", a["id"].as_str().unwrap());
    assert_eq!(
        g.send(Method::GET, &value(&file), &[], None)
            .await
            .text()
            .await
            .unwrap(),
        "hi!"
    );
    assert!(
        g.send(Method::GET, &value(&item), &[], None)
            .await
            .text()
            .await
            .unwrap()
            .contains("Subject: inner")
    );
    assert_eq!(
        g.send(Method::GET, &value(&reference), &[], None)
            .await
            .status(),
        405
    );
    let expanded = g
        .ok(&format!(
            "{base}?$expand=microsoft.graph.itemattachment/item"
        ))
        .await;
    assert_eq!(expanded["value"][1]["item"]["subject"], "inner");
    let message = g
        .ok(&format!(
            "{ALICE}/messages/{id}?$expand=attachments($select=id,name)"
        ))
        .await;
    assert_eq!(
        (
            message["attachments"].as_array().unwrap().len(),
            &message["hasAttachments"]
        ),
        (3, &json!(true))
    );
    let mime = g
        .send(
            Method::GET,
            &format!("{ALICE}/messages/{id}/$value"),
            &[],
            None,
        )
        .await
        .text()
        .await
        .unwrap();
    assert!(
        mime.contains("aGkh") && mime.contains("message/rfc822"),
        "{mime}"
    );
    assert_eq!(
        g.delete(&format!("{base}/{}", file["id"].as_str().unwrap()))
            .await,
        204
    );
    assert_eq!(g.ok(&base).await["value"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn large_attachments_go_through_a_session() {
    let g = Graph::start(&["--messages", "0", "--accounts", "1"]).await;
    let id = g.message("inbox", "big").await;
    let bytes: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    let (status, session) = g
        .post(&format!("{ALICE}/messages/{id}/attachments/createUploadSession"), json!({"AttachmentItem": {"attachmentType": "file", "name": "big.bin", "size": bytes.len()}}))
        .await;
    assert_eq!(
        (status, &session["nextExpectedRanges"]),
        (201, &json!(["0-"]))
    );
    let url = session["uploadUrl"].as_str().unwrap().to_owned();
    let put = |from: usize, to: usize| {
        let range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
        g.http
            .put(&url)
            .header("content-range", range)
            .body(bytes[from..to].to_vec())
            .send()
    };
    let first = put(0, 2_000_000).await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(
        first.json::<serde_json::Value>().await.unwrap()["nextExpectedRanges"],
        json!(["2000000"])
    );
    assert_eq!(put(3_000_000, 4_000_000).await.unwrap().status(), 416);
    let last = put(2_000_000, 5_000_000).await.unwrap();
    assert_eq!(last.status(), 201);
    assert!(
        last.headers()["location"]
            .to_str()
            .unwrap()
            .contains("Attachments('")
    );
    let list = g
        .ok(&format!(
            "{ALICE}/messages/{id}/attachments?$select=id,name,size"
        ))
        .await;
    let attachment = list["value"][0]["id"].as_str().unwrap();
    let got = g
        .send(
            Method::GET,
            &format!("{ALICE}/messages/{id}/attachments/{attachment}/$value"),
            &[],
            None,
        )
        .await;
    assert_eq!(got.bytes().await.unwrap(), bytes);
    assert_eq!(put(0, 10).await.unwrap().status(), 404);
}

#[tokio::test]
async fn imported_mail_comes_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let nested = dir.path().join("lists/deep");
    std::fs::create_dir_all(&nested).unwrap();
    let mail = b"Received: from a by b; Mon, 2 Mar 2026 10:00:05 +0100\nFrom: x@y.z\r\nSubject: odd\n\n\x00\xff lone \r cr".to_vec();
    std::fs::write(
        dir.path().join("lists/1.eml"),
        [b"From x@y.z Mon Mar  2 10:00:05 2026\n".as_slice(), &mail].concat(),
    )
    .unwrap();
    std::fs::write(nested.join("2.eml"), b"").unwrap();
    let g = Graph::start(&[
        "--messages",
        "0",
        "--accounts",
        "1",
        "--import-mail",
        dir.path().to_str().unwrap(),
    ])
    .await;
    let lists = g
        .ok(&format!(
            "{ALICE}/mailFolders?$filter=displayName eq 'lists'"
        ))
        .await;
    let folder = lists["value"][0]["id"].as_str().unwrap();
    let page = g
        .ok(&format!("{ALICE}/mailFolders/{folder}/messages"))
        .await;
    let message = &page["value"][0];
    assert_eq!(
        (
            &message["subject"],
            &message["receivedDateTime"],
            &message["isDraft"]
        ),
        (&json!("odd"), &json!("2026-03-02T09:00:05Z"), &json!(false))
    );
    let url = format!(
        "{ALICE}/messages/{}/$value",
        message["id"].as_str().unwrap()
    );
    assert_eq!(
        &g.send(Method::GET, &url, &[], None)
            .await
            .bytes()
            .await
            .unwrap()[..],
        &mail[..]
    );
    let headers = g
        .ok(&format!(
            "{ALICE}/messages/{}?$select=internetMessageHeaders",
            message["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(headers["internetMessageHeaders"][0]["name"], "Received");
    let child = g
        .ok(&format!("{ALICE}/mailFolders/{folder}/childFolders"))
        .await;
    let empty = g
        .ok(&format!(
            "{ALICE}/mailFolders/{}/messages",
            child["value"][0]["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(empty["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn sent_mail_is_in_the_outbox_and_arrives() {
    let g = Graph::start(&["--messages", "0", "--accounts", "2"]).await;
    let response = g
        .send(Method::POST, &format!("{ALICE}/sendMail"), &[], Some(json!({"message": {"subject": "hello", "body": {"contentType": "text", "content": "x"},
            "toRecipients": [{"emailAddress": {"address": "bob@contoso.com"}}]}})))
        .await;
    assert_eq!(response.status(), 202);
    assert_eq!(
        g.control(Method::GET, "outbox", json!({})).await["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let inbox = g
        .ok("/v1.0/users/bob@contoso.com/mailFolders/inbox/messages")
        .await;
    assert_eq!(
        (&inbox["value"][0]["subject"], &inbox["value"][0]["isDraft"]),
        (&json!("hello"), &json!(false))
    );
    let sent = g
        .ok(&format!("{ALICE}/mailFolders/sentitems/messages"))
        .await;
    assert_eq!(sent["value"].as_array().unwrap().len(), 1);
}
