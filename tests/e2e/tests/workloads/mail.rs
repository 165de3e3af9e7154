use graph_emulator::Options;
use serde_json::json;
use tenantfs::workload::{EntryKind, NoJournal, Policy, PushError, Source, Workload};

use crate::workloads::support::{Mirror, Tenant, count, fetch, key, total};

const VALUE: &str = "/users/{user}/messages/{message}/$value";

fn small() -> Options {
    Options {
        accounts: 2,
        messages: 60,
        files: 0,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_captured_and_an_idle_cycle_asks_for_nothing() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let mut mirror = Mirror::default();
    t.client.reset_stats();
    mirror.cycle(&t.mail, &account).await;
    assert!(mirror.items.len() > 10, "{} items", mirror.items.len());
    assert_eq!(mirror.skipped, Vec::<String>::new());
    assert_eq!(count(&t.client, VALUE), mirror.items.len() as u64);
    assert_eq!(mirror.contents.len(), mirror.items.len());
    for (id, record) in &mirror.items {
        let parent = mirror.parents[id].as_ref().unwrap();
        assert!(mirror.folders.contains_key(parent), "{record}");
        let named = t.mail.describe(EntryKind::Item, &key(id), record);
        assert!(named.name.ends_with(".eml") && named.mtime > 0, "{named:?}");
    }
    assert!(
        mirror
            .folders
            .values()
            .any(|f| f["wellKnownName"] == "inbox")
    );

    let fetched = mirror.fetched;
    t.client.reset_stats();
    mirror.cycle(&t.mail, &account).await;
    assert_eq!(mirror.fetched, fetched);
    let least = 1 + mirror.folders.len() as u64;
    assert_eq!(total(&t.client), least, "{:#?}", t.client.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_moves_and_deletions_are_followed() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let user = &account.id;
    let mut mirror = Mirror::default();
    mirror.cycle(&t.mail, &account).await;
    let inbox = mirror.folder("Inbox");
    let ids: Vec<String> = mirror
        .in_folder(&inbox)
        .iter()
        .map(|m| m["id"].as_str().unwrap().to_owned())
        .collect();
    let (read, moved, deleted) = (&ids[0], &ids[1], &ids[2]);
    let was = mirror.items[read]["isRead"].as_bool().unwrap();
    t.graph(
        "PATCH",
        &format!("/users/{user}/messages/{read}"),
        Some(json!({ "isRead": !was, "categories": ["Red"] })),
    )
    .await;
    let made = t
        .graph(
            "POST",
            &format!("/users/{user}/mailFolders"),
            Some(json!({ "displayName": "New / one" })),
        )
        .await;
    let folder = made["id"].as_str().unwrap();
    t.graph(
        "POST",
        &format!("/users/{user}/messages/{moved}/move"),
        Some(json!({ "destinationId": folder })),
    )
    .await;
    t.graph("DELETE", &format!("/users/{user}/messages/{deleted}"), None)
        .await;

    let fetched = mirror.fetched;
    mirror.cycle(&t.mail, &account).await;
    assert_eq!(mirror.items[read]["isRead"], !was);
    assert_eq!(mirror.items[read]["categories"], json!(["Red"]));
    assert_eq!(mirror.parents[moved].as_deref(), Some(folder));
    assert_eq!(mirror.fetched, fetched, "neither needs its content again");
    let shown = |id: &String| {
        let parent = mirror.parents.get(id).cloned().flatten();
        parent.is_some_and(|p| mirror.folders.contains_key(&p))
    };
    assert!(shown(moved));
    assert!(!shown(deleted) || mirror.parents[deleted].as_deref() != Some(inbox.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_history_fetches_nothing_twice() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let mut mirror = Mirror::default();
    mirror.cycle(&t.mail, &account).await;
    let (items, fetched) = (mirror.items.clone(), mirror.fetched);
    t.control("expire-delta-tokens").await;
    mirror.cycle(&t.mail, &account).await;
    assert_eq!(
        mirror.items.keys().collect::<Vec<_>>(),
        items.keys().collect::<Vec<_>>()
    );
    assert_eq!(mirror.fetched, fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_mail_is_restored_as_it_was() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let mut mirror = Mirror::default();
    mirror.cycle(&t.mail, &account).await;
    let inbox = mirror.folder("Inbox");
    let all: Vec<_> = mirror
        .in_folder(&inbox)
        .into_iter()
        .filter(|m| m["isDraft"] == false)
        .cloned()
        .collect();
    for record in all.iter().take(8) {
        let id = record["id"].as_str().unwrap();
        let name = t.mail.describe(EntryKind::Item, &key(id), record).name;
        let bytes = mirror.contents[id].clone();
        let source = Source::Record {
            record: record.clone(),
            key: key(id),
        };
        let push = t.push(&["Inbox"], &name, source, &bytes);
        // It is there: skip refuses.
        let refused = t.mail.push(&account, &push, &NoJournal).await;
        assert!(
            matches!(refused, Err(PushError::Exists { .. })),
            "{refused:?}"
        );
        assert!(t.mail.find_pushed(&account, &push).await.unwrap().is_none());

        t.graph(
            "DELETE",
            &format!("/users/{}/messages/{id}", account.id),
            None,
        )
        .await;
        let pushed = t.mail.push(&account, &push, &NoJournal).await.unwrap();
        assert_eq!(pushed.entry.name, name, "the same name as before");
        assert_ne!(pushed.entry.id, id);
        let found = t.mail.find_pushed(&account, &push).await.unwrap().unwrap();
        assert_eq!(found.entry.id, pushed.entry.id);
        // A second restore of the same finds it.
        let again = t.push(&["Inbox"], &name, push.source.clone(), &bytes);
        assert!(matches!(
            t.mail.push(&account, &again, &NoJournal).await,
            Err(PushError::Exists { .. })
        ));

        let live = t
            .graph(
                "GET",
                &format!("/users/{}/messages/{}", account.id, pushed.entry.id),
                None,
            )
            .await;
        for same in [
            "subject",
            "isRead",
            "isDraft",
            "receivedDateTime",
            "sentDateTime",
            "flag",
            "categories",
            "importance",
            "internetMessageId",
            "hasAttachments",
            "from",
            "toRecipients",
            "ccRecipients",
        ] {
            assert_eq!(live[same], record[same], "{same} of {name}");
        }
        let mut restored = live.clone();
        let mime = fetch(&t.mail, &account, &mut restored).await.unwrap();
        assert!(!mime.is_empty());
    }
    // The next cycle names the restored ones as the originals were named.
    mirror.cycle(&t.mail, &account).await;
    let names = |m: &Mirror| -> Vec<String> {
        let mut names: Vec<_> = m
            .in_folder(&inbox)
            .iter()
            .map(|r| {
                t.mail
                    .describe(EntryKind::Item, &key(r["id"].as_str().unwrap()), r)
                    .name
            })
            .collect();
        names.sort();
        names
    };
    let mut before: Vec<String> = all
        .iter()
        .map(|r| {
            t.mail
                .describe(EntryKind::Item, &key(r["id"].as_str().unwrap()), r)
                .name
        })
        .collect();
    before.sort();
    let now = names(&mirror);
    assert!(
        before.iter().all(|n| now.contains(n)),
        "{before:#?}\n{now:#?}"
    );
    let mut listed: Vec<_> = t
        .mail
        .list(&account, &["Inbox".into()])
        .await
        .unwrap()
        .into_iter()
        .filter(|e| !e.is_dir)
        .map(|e| e.name)
        .collect();
    listed.sort();
    assert_eq!(listed, now);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let mut mirror = Mirror::default();
    mirror.cycle(&t.mail, &account).await;
    let inbox = mirror.folder("Inbox");
    let record = (*mirror
        .in_folder(&inbox)
        .iter()
        .find(|m| m["isDraft"] == false)
        .unwrap())
    .clone();
    let id = record["id"].as_str().unwrap();
    let name = t.mail.describe(EntryKind::Item, &key(id), &record).name;
    let before = t
        .mail
        .list(&account, &["Inbox".into()])
        .await
        .unwrap()
        .len();
    let source = Source::Record {
        record: record.clone(),
        key: key(id),
    };
    let mut push = t.push(&["Inbox"], &name, source.clone(), &mirror.contents[id]);
    push.policy = Policy::Overwrite;
    let pushed = t.mail.push(&account, &push, &NoJournal).await.unwrap();
    assert_eq!(pushed.replaced.as_deref(), Some(id));
    assert_eq!(
        t.mail
            .list(&account, &["Inbox".into()])
            .await
            .unwrap()
            .len(),
        before
    );
    let mut push = t.push(&["Inbox"], &name, source, &mirror.contents[id]);
    push.policy = Policy::KeepBoth;
    let pushed = t.mail.push(&account, &push, &NoJournal).await.unwrap();
    assert_ne!(pushed.entry.name, name);
    assert_eq!(
        t.mail
            .list(&account, &["Inbox".into()])
            .await
            .unwrap()
            .len(),
        before + 1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_made_and_foreign_mails_put_into_them() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let path = |p: &str| p.split('/').map(str::to_owned).collect::<Vec<_>>();
    let made = t
        .mail
        .make_folder(&account, &path("From Alice"))
        .await
        .unwrap();
    assert!(made.is_dir && made.name == "From Alice");
    let again = t
        .mail
        .make_folder(&account, &path("From Alice"))
        .await
        .unwrap();
    assert_eq!(again.id, made.id);
    t.mail
        .make_folder(&account, &path("From Alice/2026"))
        .await
        .unwrap();
    let no = t.mail.make_folder(&account, &path("Nowhere/2026")).await;
    assert!(matches!(no, Err(PushError::NoFolder { .. })), "{no:?}");

    let big = "A".repeat(76);
    let mut mime = b"From: a@x.test\r\nTo: b@x.test\r\nSubject: foreign\r\nDate: Sun, 1 Mar 2026 09:00:00 +0000\r\n\
        Message-ID: <f1@x.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: application/pdf; name=\"small.pdf\"\r\n\
        Content-Disposition: attachment; filename=\"small.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b\r\n\
        Content-Type: application/octet-stream; name=\"big.bin\"\r\nContent-Disposition: attachment; filename=\"big.bin\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n".to_vec();
    for _ in 0..120_000 {
        mime.extend_from_slice(big.as_bytes());
        mime.extend_from_slice(b"\r\n");
    }
    mime.extend_from_slice(b"--b--\r\n");
    let push = t.push(&["From Alice", "2026"], "old.eml", Source::File, &mime);
    let pushed = t.mail.push(&account, &push, &NoJournal).await.unwrap();
    let live = t
        .graph(
            "GET",
            &format!(
                "/users/{}/messages/{}?$expand=attachments",
                account.id, pushed.entry.id
            ),
            None,
        )
        .await;
    assert_eq!(live["receivedDateTime"], "2026-03-01T09:00:00Z");
    assert_eq!(live["isDraft"], false);
    assert_eq!(live["attachments"].as_array().unwrap().len(), 2);
    let listed = t
        .mail
        .list(&account, &path("From Alice/2026"))
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, pushed.entry.name);

    // What is no mail comes attached to one; at the root of a mailbox there is no place for it.
    let other = t.push(&["From Alice"], "x.docx", Source::File, b"zip");
    let made = t.mail.push(&account, &other, &NoJournal).await.unwrap();
    assert_eq!(made.entry.record["subject"], "x.docx");
    let wrong = t.push(&[], "x.docx", Source::File, b"zip");
    assert!(matches!(
        t.mail.push(&account, &wrong, &NoJournal).await,
        Err(PushError::Invalid(_))
    ));
    let nowhere = t.push(&["Nowhere"], "x.eml", Source::File, &mime);
    assert!(matches!(
        t.mail.push(&account, &nowhere, &NoJournal).await,
        Err(PushError::NoFolder { .. })
    ));
}
