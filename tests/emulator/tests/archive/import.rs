//! What is imported is there as it was; what is wrong is refused; nobody is ever told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stream::{read, text, unframe};
use crate::support::{ALICE, BOB, Graph, ids};

/// A message by another writer, made to the rules: one recipient, one attachment, one category.
const VECTOR: &str = "\
AQAAAAgAAAAAAAAAAQAAAAMAAAAYAAAAAQAAAAcDAgAAAAAAwAAAAAAAAEYAJACABAAAAAYAAAAUD9aRhhcCAAAATgEAAAMAFwAB\
AAAAsIQaABIAAABJAFAATQAuAE4AbwB0AGUAAACwhDcABgAAAEgAaQAAAEAAOQAA6MfIWancAbCEAV0UAAAAYQBAAGUAeAAuAHQA\
ZQBzAHQAAABAAAYOgNjCy1mp3AEDAAcOAQAAALCEABAKAAAAQgBvAGQAeQAAALCENRAYAAAAPAAxAEAAZQB4AC4AdABlAHMAdAA+\
AAAAHxAAgCkDAgAAAAAAwAAAAAAAAEYBSwBlAHkAdwBvAHIAZABzAAAAAQAAAAgAAABSAGUAZAAAAAMAA0ADAAAwAAAAAAMAFQwB\
AAAAsIQBMAYAAABCAG8AAACwhP45FAAAAGIAQABlAHgALgB0AGUAcwB0AAAAAwAEQAMAAEADACEOAAAAAAMABTcBAAAAsIQHNwwA\
AABuAC4AdAB4AHQAAAACAQE3AwAAAGhpIQMADkA=";

async fn inbox(g: &Graph, mailbox: &str) -> String {
    let folder = g.ok(&format!("{mailbox}/folders/inbox")).await;
    folder["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn another_writers_message_is_read_and_written_again() {
    let g = Graph::start(&["--accounts", "1", "--messages", "0"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let inbox = inbox(&g, &mailbox).await;
    let id = g.put(&mailbox, &inbox, VECTOR).await;
    let message = g
        .ok(&format!("{ALICE}/messages/{id}?$expand=attachments"))
        .await;
    for (name, value) in [
        ("subject", json!("Hi")),
        ("importance", json!("normal")),
        ("sentDateTime", json!("2026-03-01T09:00:00Z")),
        ("receivedDateTime", json!("2026-03-01T09:00:05Z")),
        ("isRead", json!(true)),
        ("isDraft", json!(false)),
        ("hasAttachments", json!(true)),
        ("internetMessageId", json!("<1@ex.test>")),
        ("categories", json!(["Red"])),
        ("parentFolderId", json!(inbox)),
        ("body", json!({"contentType": "text", "content": "Body"})),
        (
            "toRecipients",
            json!([{"emailAddress": {"name": "Bo", "address": "b@ex.test"}}]),
        ),
    ] {
        assert_eq!(message[name], value, "{name}");
    }
    assert_eq!(message["sender"]["emailAddress"]["address"], "a@ex.test");
    let attachment = &message["attachments"][0];
    assert_eq!(
        (&attachment["name"], &attachment["contentBytes"]),
        (&json!("n.txt"), &json!("aGkh"))
    );
    let mime = g
        .send(
            Method::GET,
            &format!("{ALICE}/messages/{id}/$value"),
            &[],
            None,
        )
        .await;
    let mime = mime.text().await.unwrap();
    assert!(mime.contains("Subject: Hi\r\n") && mime.contains("Message-ID: <1@ex.test>\r\n"));

    let (given, written) = (read(VECTOR), read(&g.export(&mailbox, &id).await));
    for (name, value) in &given.props {
        // The attachment is told of in the flags too.
        if name != "0E07" {
            assert_eq!(&written.props[name], value, "{name}");
        }
    }
    assert_eq!(written.props["0E07"], 0x11u32.to_le_bytes());
    for (given, written) in [
        (&given.recipients[0], &written.recipients[0]),
        (&given.attachments[0].0, &written.attachments[0].0),
    ] {
        for (name, value) in given {
            assert_eq!(&written[name], value, "{name}");
        }
    }
    assert_eq!(
        (written.recipients.len(), written.attachments.len()),
        (1, 1)
    );
    g.finish();
}

#[tokio::test]
async fn messages_come_back_with_every_property() {
    let g = Graph::start(&["--accounts", "2", "--messages", "400"]).await;
    let (alice, bob) = (
        g.primary("alice@contoso.com").await,
        g.primary("bob@contoso.com").await,
    );
    let target = json!({"displayName": "Restored", "type": "IPF.Note"});
    let target = g.post(&format!("{bob}/folders"), target).await.1;
    let target = target["id"].as_str().unwrap();
    let session = g.session(&bob).await;
    let expand = "$expand=attachments($expand=microsoft.graph.itemattachment/item)";
    let mut kinds = [0; 4];
    for folder in ["inbox", "drafts", "archive"] {
        let (items, _) = g
            .all(&format!("{alice}/folders/{folder}/items?$top=100"))
            .await;
        for item in items {
            let id = item["id"].as_str().unwrap();
            let data = g.export(&alice, id).await;
            let body = json!({"FolderId": target, "Mode": "create", "Data": data});
            let (status, made) = g.import(&session, body).await;
            assert_eq!(status, 200, "{made}");
            let new = made["itemId"].as_str().unwrap();
            let mut given = g.ok(&format!("{ALICE}/messages/{id}?{expand}")).await;
            let mut found = g.ok(&format!("{BOB}/messages/{new}?{expand}")).await;
            assert_eq!(found["parentFolderId"], target);
            assert_eq!(found["changeKey"], made["changeKey"]);
            for message in [&mut given, &mut found] {
                let message = message.as_object_mut().unwrap();
                for own in [
                    "id",
                    "@odata.etag",
                    "@odata.context",
                    "changeKey",
                    "parentFolderId",
                    "webLink",
                    "conversationId",
                    "attachments@odata.context",
                ] {
                    message.remove(own);
                }
                for attachment in message["attachments"].as_array_mut().unwrap() {
                    for own in ["id", "size"] {
                        attachment.as_object_mut().unwrap().remove(own);
                    }
                    let own = attachment["@odata.type"] == "#microsoft.graph.itemAttachment";
                    kinds[usize::from(own)] += 1;
                }
            }
            kinds[2] += usize::from(given["isDraft"] == true);
            kinds[3] += usize::from(given["@odata.type"].is_string());
            assert_eq!(found, given);
        }
    }
    // Files, attached messages, drafts and meeting requests were among them.
    assert!(kinds.iter().all(|n| *n > 0), "{kinds:?}");
    assert_eq!(g.outbox().await, json!([]));
    g.finish();
}

#[tokio::test]
async fn every_kind_goes_through_an_archive_unchanged() {
    let g = Graph::start(&["--archives", "1", "--archive-messages", "40"]).await;
    let archive = g.archive().await;
    let (folders, _) = g.all(&format!("{archive}/folders")).await;
    let session = g.session(&archive).await;
    assert!(session.contains("/api/gbeta/"));
    let mut classes = std::collections::BTreeSet::new();
    for folder in folders {
        let folder = folder["id"].as_str().unwrap();
        let (items, _) = g.all(&format!("{archive}/folders/{folder}/items")).await;
        for item in items {
            let data = g.export(&archive, item["id"].as_str().unwrap()).await;
            let body = json!({"FolderId": folder, "Mode": "create", "Data": data});
            let (status, made) = g.import(&session, body).await;
            assert_eq!(status, 200, "{made}");
            let id = made["itemId"].as_str().unwrap();
            let listed = g
                .ok(&format!("{archive}/folders/{folder}/items/{id}"))
                .await;
            for name in [
                "type",
                "categories",
                "createdDateTime",
                "lastModifiedDateTime",
            ] {
                assert_eq!(listed[name], item[name], "{name}");
            }
            let (mut given, mut again) = (read(&data), read(&g.export(&archive, id).await));
            for message in [&mut given, &mut again] {
                // What tells one stored copy from another.
                message
                    .props
                    .retain(|name, _| !matches!(name.as_str(), "65E2" | "65E3"));
                // A message that is attached to a message is kept as MIME.
                for (_, embedded) in &mut message.attachments {
                    if listed["type"] == "IPM.Note"
                        && let Some(embedded) = embedded
                    {
                        embedded.props.retain(|name, _| {
                            matches!(
                                name.as_str(),
                                "001A" | "0037" | "0039" | "0E06" | "0C1F" | "1035" | "1013"
                            )
                        });
                    }
                }
            }
            for (name, value) in &given.props {
                assert_eq!(again.props.get(name), Some(value), "{name}");
            }
            assert_eq!(again, given);
            classes.insert(listed["type"].as_str().unwrap().to_owned());
        }
    }
    let wanted = [
        "IPM.Appointment",
        "IPM.Contact",
        "IPM.DistList",
        "IPM.Note",
        "IPM.StickyNote",
        "IPM.Task",
    ];
    assert!(wanted.iter().all(|c| classes.contains(*c)), "{classes:?}");
    assert_eq!(g.outbox().await, json!([]));
    g.finish();
}

#[tokio::test]
async fn attached_events_and_contacts_stay_what_they_are() {
    let g = Graph::start(&["--accounts", "1", "--messages", "0"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let event = json!({"@odata.type": "#microsoft.graph.event", "subject": "Visit", "location": {"displayName": "Oslo"},
        "start": {"dateTime": "2026-03-02T08:00:00.0000000", "timeZone": "UTC"}, "end": {"dateTime": "2026-03-02T09:00:00.0000000", "timeZone": "UTC"}});
    let contact = json!({"@odata.type": "#microsoft.graph.contact", "displayName": "Jane Roe", "mobilePhone": "+46 70"});
    let attached = |name: &str, item: &Value| json!({"@odata.type": "#microsoft.graph.itemAttachment", "name": name, "item": item});
    let body = json!({"subject": "See these", "attachments": [attached("a", &event), attached("b", &contact)]});
    let made = g
        .post(&format!("{ALICE}/mailFolders/inbox/messages"), body)
        .await
        .1;
    let data = g.export(&mailbox, made["id"].as_str().unwrap()).await;
    let classes: Vec<String> = read(&data)
        .attachments
        .iter()
        .map(|(_, embedded)| text(&embedded.as_ref().unwrap().props["001A"]))
        .collect();
    assert_eq!(classes, ["IPM.Appointment", "IPM.Contact"]);
    let id = g.put(&mailbox, &inbox(&g, &mailbox).await, &data).await;
    let path =
        format!("{ALICE}/messages/{id}/attachments?$expand=microsoft.graph.itemattachment/item");
    let found = g.ok(&path).await;
    for (n, given) in [event, contact].iter().enumerate() {
        let item = &found["value"][n]["item"];
        for (name, value) in given.as_object().unwrap() {
            match value.as_object() {
                Some(parts) => parts
                    .iter()
                    .for_each(|(k, v)| assert_eq!(&item[name][k], v, "{name}")),
                None => assert_eq!(&item[name], value, "{name}"),
            }
        }
    }
    g.finish();
}

#[tokio::test]
async fn an_rtf_body_is_read_and_kept() {
    let g = Graph::start(&[
        "--accounts",
        "1",
        "--archives",
        "1",
        "--archive-messages",
        "0",
    ])
    .await;
    let (archive, primary) = (g.archive().await, g.primary("alice@contoso.com").await);
    let (items, _) = g.all(&format!("{archive}/folders/inbox/items")).await;
    let data = g.export(&archive, items[0]["id"].as_str().unwrap()).await;
    let message = read(&data);
    assert!(!message.props.contains_key("1000") && !message.props.contains_key("1013"));
    assert_eq!(message.props["1016"], 2u32.to_le_bytes());
    let packed = &message.props["1009"][4..];
    assert_eq!(packed[4..8], *b"LZFu");
    let inbox = inbox(&g, &primary).await;
    let id = g.put(&primary, &inbox, &data).await;
    let found = g.ok(&format!("{ALICE}/messages/{id}")).await;
    assert_eq!(
        found["body"],
        json!({"contentType": "text", "content": "Dear all,\r\n\r\nthe lease – {clause 7} – ends in June.\r\n"})
    );
    assert_eq!(found["sentDateTime"], found["receivedDateTime"]);
    let again = read(&g.export(&primary, &id).await);
    assert_eq!(again.props["1009"], message.props["1009"]);
    g.finish();
}

#[tokio::test]
async fn an_item_is_replaced_only_as_it_was_seen() {
    let g = Graph::start(&["--accounts", "1", "--messages", "60"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let inbox = inbox(&g, &mailbox).await;
    let (items, _) = g.all(&format!("{mailbox}/folders/inbox/items")).await;
    let (id, key) = (items[0]["id"].clone(), items[0]["changeKey"].clone());
    let (_, link) = g.all(&format!("{mailbox}/folders/inbox/items/delta")).await;
    let session = g.session(&mailbox).await;
    let update = |id: &Value, key: &Value| json!({"FolderId": inbox, "Mode": "update", "ItemId": id, "ChangeKey": key, "Data": VECTOR});

    let (status, made) = g.import(&session, update(&id, &key)).await;
    assert_eq!((status, &made["itemId"]), (200, &id), "{made}");
    assert_ne!(made["changeKey"], key);
    let found = g
        .ok(&format!("{ALICE}/messages/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(
        (&found["subject"], &found["changeKey"]),
        (&json!("Hi"), &made["changeKey"])
    );
    let (changed, _) = g.all(&link.unwrap()).await;
    assert_eq!(ids(&changed), [id.as_str().unwrap()]);
    let (status, refused) = g.import(&session, update(&id, &key)).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("ErrorIrresolvableConflict"))
    );
    let elsewhere = g.ok(&format!("{mailbox}/folders/archive")).await;
    let mut body = update(&id, &made["changeKey"]);
    body["FolderId"] = elsewhere["id"].clone();
    assert_eq!(g.import(&session, body).await.0, 404);

    // The same import twice makes two items.
    for _ in 0..2 {
        g.put(&mailbox, &inbox, VECTOR).await;
    }
    let filter = "$filter=internetMessageId eq '<1@ex.test>'";
    let found = g
        .ok(&format!("{ALICE}/mailFolders/inbox/messages?{filter}"))
        .await;
    assert_eq!(found["value"].as_array().unwrap().len(), 3);
    g.finish();
}

#[tokio::test]
async fn wrong_imports_are_refused() {
    let mut g = Graph::start(&["--accounts", "1", "--messages", "20"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let inbox = inbox(&g, &mailbox).await;
    let url = g.session(&mailbox).await;
    assert!(url.contains("/api/gv1.0/Mailboxes('MBX:") && url.contains("/importItem?authtoken="));
    let good = json!({"FolderId": inbox, "Mode": "create", "Data": VECTOR});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let mut raw = STANDARD.decode(VECTOR).unwrap();
    raw[0] = 9;
    let bad_frame = STANDARD.encode(&raw);
    raw[0] = 1;
    raw.truncate(60);
    let cut_off = STANDARD.encode(&raw);
    for (body, status) in [
        (with("ItemId", json!("x")), 400),
        (with("ChangeKey", json!("x")), 400),
        (with("Mode", json!("update")), 400),
        (with("Mode", json!("merge")), 400),
        (with("Data", json!("?")), 400),
        (with("Data", json!(bad_frame)), 400),
        (with("Data", json!(cut_off)), 400),
        (with("Data", json!("")), 400),
        (with("FolderId", json!("nowhere")), 404),
        (with("folderId", json!(inbox)), 400),
        (
            json!({"folderId": inbox, "mode": "create", "data": VECTOR}),
            400,
        ),
        (json!([]), 400),
    ] {
        let (found, answer) = g.import(&url, body.clone()).await;
        assert_eq!(found, status, "{body} {answer}");
        assert!(answer["error"]["code"].is_string());
    }
    let body = serde_json::to_vec(&good).unwrap();
    let token = [("authorization", "Bearer emulator-token")];
    assert_eq!(g.import_raw(&url, &token, body.clone()).await, 401);
    let broken = url.replace("authtoken=", "authtoken=x");
    assert_eq!(g.import_raw(&broken, &[], body.clone()).await, 401);
    assert_eq!(g.import_raw(&url, &[], body.clone()).await, 200);

    g.control("clock", json!({"advance_seconds": 3601})).await;
    assert_eq!(g.import_raw(&url, &[], body.clone()).await, 401);
    // The access token has expired as well.
    let (id, secret) = (
        g.emulator.client_id.clone(),
        g.emulator.client_secret.clone(),
    );
    g.become_app(&id, &secret).await;
    g.control(
        "faults",
        json!([{"route": "*/createImportSession", "fault": "expired_url"}]),
    )
    .await;
    let dead = g.session(&mailbox).await;
    assert_eq!(g.import_raw(&dead, &[], body.clone()).await, 401);
    let fresh = g.session(&mailbox).await;
    assert_eq!(g.import_raw(&fresh, &[], body).await, 200);
}

#[tokio::test]
async fn what_cannot_be_read_is_kept() {
    let g = Graph::start(&["--accounts", "1", "--messages", "0"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let inbox = inbox(&g, &mailbox).await;
    let mut raw = STANDARD.decode(VECTOR).unwrap();
    // A property of a type that does not exist.
    raw[70] = 0x77;
    let strange = STANDARD.encode(&raw);
    let id = g.put(&mailbox, &inbox, &strange).await;
    let listed = g.ok(&format!("{mailbox}/folders/inbox/items/{id}")).await;
    assert_eq!(listed["id"], id);
    assert_eq!(unframe(&g.export(&mailbox, &id).await), unframe(&strange));
    // It counts, but mail does not show it.
    let folder = g.ok(&format!("{ALICE}/mailFolders/inbox")).await;
    assert_eq!(folder["totalItemCount"], 1);
    let (mail, _) = g.all(&format!("{ALICE}/mailFolders/inbox/messages")).await;
    assert!(mail.is_empty());
    let (mail, _) = g
        .all(&format!("{ALICE}/mailFolders/inbox/messages/delta"))
        .await;
    assert!(mail.is_empty());
    assert_eq!(g.get(&format!("{ALICE}/messages/{id}")).await.0, 404);
    assert_eq!(
        g.delete(&format!("{mailbox}/folders/inbox/items/{id}"))
            .await,
        204
    );
}

#[tokio::test]
async fn properties_that_graph_has_no_name_for_stay() {
    let g = Graph::start(&["--accounts", "1", "--messages", "0"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let set = "{8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42}";
    let mine = format!("String {set} Name marker");
    let body = json!({"subject": "x", "body": {"contentType": "html", "content": "<p>x</p>"}, "importance": "low",
        "replyTo": [{"emailAddress": {"name": "Ø", "address": "o@x.test"}}], "isReadReceiptRequested": true,
        "flag": {"flagStatus": "flagged", "startDateTime": {"dateTime": "2026-03-01T00:00:00.0000000", "timeZone": "UTC"},
            "dueDateTime": {"dateTime": "2026-03-02T00:00:00.0000000", "timeZone": "UTC"}},
        "internetMessageHeaders": [{"name": "x-own", "value": "yes"}],
        "singleValueExtendedProperties": [{"id": "Integer 0x0E07", "value": "4"}, {"id": mine, "value": "m 1"},
            {"id": "SystemTime 0x1082", "value": "2026-03-01T09:00:00.125Z"}, {"id": "Binary 0x300B", "value": "AAEC"},
            {"id": "SystemTime 0x0039", "value": "2026-03-01T09:00:00.5Z"}]});
    let (status, made) = g
        .post(&format!("{ALICE}/mailFolders/inbox/messages"), body)
        .await;
    assert_eq!(status, 201, "{made}");
    let data = g.export(&mailbox, made["id"].as_str().unwrap()).await;
    let message = read(&data);
    assert_eq!(
        text(&message.props["00020386-0000-0000-c000-000000000046/x-own"]),
        "yes"
    );
    assert_eq!(
        text(&message.props["8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42/marker"]),
        "m 1"
    );
    assert_eq!(message.props["300B"], [0, 1, 2]);
    // To the last decimal, which Graph does not show.
    assert_eq!(
        message.props["0039"],
        134_168_292_005_000_000u64.to_le_bytes()
    );

    let inbox = inbox(&g, &mailbox).await;
    let id = g.put(&mailbox, &inbox, &data).await;
    let query = format!(
        "$select=replyTo,flag,importance,internetMessageHeaders,isReadReceiptRequested,sentDateTime&$expand=singleValueExtendedProperties($filter=id eq '{mine}' or id eq 'SystemTime 0x1082' or id eq 'Binary 0x300B')"
    );
    let found = g.ok(&format!("{ALICE}/messages/{id}?{query}")).await;
    let given = g
        .ok(&format!(
            "{ALICE}/messages/{}?{query}",
            made["id"].as_str().unwrap()
        ))
        .await;
    for name in [
        "replyTo",
        "flag",
        "importance",
        "internetMessageHeaders",
        "isReadReceiptRequested",
        "sentDateTime",
        "singleValueExtendedProperties",
    ] {
        assert!(!given[name].is_null(), "{name}");
        assert_eq!(found[name], given[name], "{name}");
    }
    let again = read(&g.export(&mailbox, &id).await);
    assert_eq!(again.props["0039"], message.props["0039"]);
    g.finish();
}
