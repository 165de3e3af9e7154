//! What is exported, and what happens to the items that cannot be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stream::{read, text, unframe};
use crate::support::{ALICE, Graph, ids};

const MAIL: &str = "From: Ann Lee <ann@x.test>\r\nTo: Bo <bo@x.test>, c@x.test\r\nCc: d@x.test\r\nSubject: Re: H=C3=A9\r\n\
Message-ID: <2@x.test>\r\nIn-Reply-To: <1@x.test>\r\nReferences: <0@x.test>\r\n <1@x.test>\r\nImportance: high\r\n\
Received: from a by b; Mon, 2 Mar 2026 10:00:05 +0100\r\nDate: Mon, 2 Mar 2026 10:00:00 +0100\r\nX-Own: yes\r\n\
Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>h\u{e5}</p>\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: e@x.test\r\nSubject: inner\r\n\r\ninside\r\n\
--b\r\nContent-Type: text/csv; name=a.csv\r\nContent-Disposition: attachment; filename=a.csv\r\nContent-Transfer-Encoding: base64\r\n\r\nYSxi\r\n--b--\r\n";
const SEALED: &str = "From: ann@x.test\r\nSubject: Sealed\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\
Content-Disposition: attachment; filename=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n";

#[tokio::test]
async fn a_mail_is_exported_with_all_it_has() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("Old")).unwrap();
    std::fs::write(dir.path().join("Old/1.eml"), MAIL).unwrap();
    std::fs::write(dir.path().join("Old/2.eml"), SEALED).unwrap();
    let path = dir.path().to_str().unwrap();
    let g = Graph::start(&[
        "--accounts",
        "1",
        "--messages",
        "0",
        "--import-mail",
        path,
        "--import-archive",
        path,
        "--archives",
        "1",
        "--archive-messages",
        "0",
        "--quirk",
        "smime-fails",
    ])
    .await;
    for mailbox in [g.primary("alice@contoso.com").await, g.archive().await] {
        let folder = g.folder(&mailbox, "msgfolderroot", "Old").await;
        let (items, _) = g.all(&format!("{mailbox}/folders/{folder}/items")).await;
        let sealed = items
            .iter()
            .find(|i| i["type"] == "IPM.Note.SMIME")
            .unwrap();
        let plain = items.iter().find(|i| i["type"] == "IPM.Note").unwrap();

        let message = read(&g.export(&mailbox, plain["id"].as_str().unwrap()).await);
        let tag = |name: &str| text(&message.props[name]);
        assert_eq!(tag("001A"), "IPM.Note");
        assert_eq!(tag("1035"), "<2@x.test>");
        assert_eq!(tag("1042"), "<1@x.test>");
        assert_eq!(tag("1039"), "<0@x.test> <1@x.test>");
        assert_eq!(
            (tag("0C1A"), tag("0C1F"), tag("5D01")),
            ("Ann Lee".into(), "ann@x.test".into(), "ann@x.test".into())
        );
        assert_eq!(
            (tag("003D"), tag("0037")),
            ("Re: ".into(), format!("Re: {}", tag("0E1D")))
        );
        // The header block is there as it came.
        let block = MAIL.split("\r\n\r\n").next().unwrap();
        assert_eq!(tag("007D"), format!("{block}\r\n"));
        assert_eq!(message.props["1013"], "<p>h\u{e5}</p>".as_bytes());
        assert_eq!(message.props["0017"], 2u32.to_le_bytes());
        // 2026-03-02T09:00:05Z.
        assert_eq!(
            message.props["0E06"],
            134_169_156_050_000_000u64.to_le_bytes()
        );
        let people: Vec<(u8, String)> = message
            .recipients
            .iter()
            .map(|r| (r["0C15"][0], text(&r["39FE"])))
            .collect();
        assert_eq!(
            people,
            [
                (1, "bo@x.test".into()),
                (1, "c@x.test".into()),
                (2, "d@x.test".into())
            ]
        );
        let [(outer, Some(inner)), (file, None)] = message.attachments.as_slice() else {
            panic!("{:?}", message.attachments);
        };
        assert_eq!(
            (outer["3705"][0], text(&inner.props["0037"])),
            (5, "inner".into())
        );
        assert_eq!(text(&inner.props["1000"]).trim(), "inside");
        assert_eq!(
            (text(&file["3707"]), &file["3701"][..]),
            ("a.csv".into(), &b"a,b"[..])
        );

        let message = read(&g.export(&mailbox, sealed["id"].as_str().unwrap()).await);
        assert_eq!(text(&message.props["001A"]), "IPM.Note.SMIME");
        let (file, _) = &message.attachments[0];
        assert_eq!(
            (text(&file["3707"]), text(&file["370E"])),
            ("smime.p7m".into(), "application/pkcs7-mime".into())
        );
        assert_eq!(file["3701"], STANDARD.decode("MIIB").unwrap());
    }
    g.finish();
}

#[tokio::test]
async fn a_series_is_exported_with_its_exceptions() {
    let g = Graph::start(&["--archives", "1", "--archive-messages", "0"]).await;
    let archive = g.archive().await;
    let folder = g.folder(&archive, "msgfolderroot", "Calendar").await;
    let (items, _) = g.all(&format!("{archive}/folders/{folder}/items")).await;
    let mut found = 0;
    for id in ids(&items) {
        let message = read(&g.export(&archive, &id).await);
        let set = "00062002-0000-0000-c000-000000000046";
        let Some(blob) = message.props.get(&format!("{set}/8216")) else {
            continue;
        };
        assert_eq!(blob[..4], [0x04, 0x30, 0x04, 0x30]);
        assert_eq!(message.props[&format!("{set}/8233")].len(), 48);
        if text(&message.props["0037"]) != "Stand-up" {
            continue;
        }
        found += 1;
        // Weekly, on Mondays; two days are taken out, one of them comes back on another.
        let word = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().unwrap());
        assert_eq!((blob[4], word(14), word(22)), (0x0B, 1, 2));
        assert_eq!((word(26), word(30)), (0x2022, 10));
        assert_eq!((word(38), word(50)), (2, 1));
        let day = |minutes: u32| minutes / 1440;
        assert_eq!(
            (day(word(42)) % 7, day(word(46)) % 7, day(word(54)) % 7),
            (0, 0, 1)
        );
        let (attached, Some(inner)) = &message.attachments[0] else {
            panic!("no exception");
        };
        assert_eq!(attached["7FFD"], 2u32.to_le_bytes());
        assert_eq!(text(&inner.props["0037"]), "Stand-up (late)");
        assert_eq!(text(&inner.attachments[0].0["3707"]), "agenda.txt");
        assert_eq!(text(&message.recipients[1]["39FE"]), "ola@northwind.test");
        let uid = &message.props["6ed8da90-450b-101b-98da-00aa003f1305/0023"];
        assert!(String::from_utf8_lossy(uid).contains("standup@northwind.test"));
    }
    assert_eq!(found, 1);
    g.finish();
}

#[tokio::test]
async fn a_stream_depends_on_its_change_key_alone() {
    let start = |more: &'static [&'static str]| {
        let mut arguments = vec!["--accounts", "1", "--messages", "400"];
        arguments.extend(more);
        async move { Graph::start(&arguments).await }
    };
    let g = start(&[]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let (items, _) = g
        .all(&format!("{mailbox}/folders/inbox/items?$orderby=size desc"))
        .await;
    let id = items[0]["id"].as_str().unwrap();
    let first = g.export(&mailbox, id).await;
    // The largest has more than one piece.
    assert!(unframe(&first).len() > 31_680);
    assert_eq!(first, g.export(&mailbox, id).await);
    let read_now = json!({"isRead": false, "flag": {"flagStatus": "flagged"}});
    g.patch(&format!("{ALICE}/messages/{id}"), read_now).await;
    let later = read(&g.export(&mailbox, id).await);
    let first = read(&first);
    assert_ne!(first.props["65E2"], later.props["65E2"]);
    assert_eq!((later.props["0E07"][0] & 1, later.props["1090"][0]), (0, 2));
    assert_eq!(first.attachments, later.attachments);
    g.finish();

    let g = start(&["--quirk", "vary-server-build"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let (one, two) = (g.export(&mailbox, id).await, {
        g.control("clock", json!({"advance_seconds": 60})).await;
        g.export(&mailbox, id).await
    });
    assert_ne!(one, two);
    assert_eq!(unframe(&one), unframe(&two));
}

#[tokio::test]
async fn a_bad_item_fails_alone() {
    let g = Graph::start(&["--accounts", "1", "--messages", "120", "--archives", "1"]).await;
    for mailbox in [g.primary("alice@contoso.com").await, g.archive().await] {
        let (items, _) = g
            .all(&format!("{mailbox}/folders/inbox/items?$top=100"))
            .await;
        let mut wanted = ids(&items);
        wanted.truncate(20);
        let path = format!("{mailbox}/exportItems");
        let (status, all) = g.post(&path, json!({"itemIds": wanted})).await;
        assert_eq!(status, 200);
        let all = all["value"].as_array().unwrap();
        for (id, answer) in wanted.iter().zip(all) {
            assert_eq!(answer["itemId"], *id);
            let listed = items.iter().find(|i| i["id"] == *id).unwrap();
            assert_eq!(answer["changeKey"], listed["changeKey"]);
            assert!(answer.get("error").is_none() && answer["data"].is_string());
        }

        // One was deleted for good since it was listed, one is corrupt, one was never there.
        let gone = format!("{mailbox}/folders/inbox/items/{}", wanted[3]);
        assert_eq!(g.delete(&gone).await, 204);
        g.control(
            "faults",
            json!([{"route": "*/exportItems", "count": 0, "fault": {"item": wanted[7]}}]),
        )
        .await;
        let bad = wanted[11].replace(['a', 'b', 'c'], "d");
        let asked = [&wanted[3], &wanted[7], &bad, &wanted[8]];
        let (status, answer) = g.post(&path, json!({"itemIds": asked})).await;
        assert_eq!(status, 200);
        let codes: Vec<&Value> = answer["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| &v["error"]["code"])
            .collect();
        assert_eq!(
            codes,
            [
                &json!("ErrorItemNotFound"),
                &json!("ErrorCorruptData"),
                &json!("ErrorItemNotFound"),
                &Value::Null
            ]
        );
        assert!(answer["value"][3]["data"].is_string());
    }
    g.finish();
}

#[tokio::test]
async fn at_most_twenty_at_once() {
    let g = Graph::start(&["--accounts", "1", "--messages", "100"]).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let (items, _) = g.all(&format!("{mailbox}/folders/inbox/items")).await;
    let path = format!("{mailbox}/exportItems");
    let mut many = ids(&items);
    many.truncate(21);
    assert_eq!(many.len(), 21);
    for body in [
        json!({"itemIds": many}),
        json!({"itemIds": []}),
        json!({"itemIds": "x"}),
        json!({}),
    ] {
        assert_eq!(g.post(&path, body).await.0, 400);
    }
}
