use graph_emulator::{Options, Quirk, Throttle};
use serde_json::json;
use tenantfs::workload::mail::MailOptions;
use tenantfs::workload::{NoJournal, Source, Workload};

use crate::workloads::support::{Mirror, Tenant, status};

fn small() -> Options {
    Options {
        accounts: 1,
        messages: 40,
        files: 30,
        ..Options::default()
    }
}

async fn whole(t: &Tenant) -> (Mirror, Mirror) {
    let (mut mail, mut drive) = (Mirror::default(), Mirror::default());
    mail.cycle(&t.mail, &t.account()).await;
    drive.cycle(&t.drive, &t.account()).await;
    (mail, drive)
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_trouble_is_survived() {
    let t = Tenant::start(small()).await;
    let (mail, drive) = whole(&t).await;
    let faults = [
        status(500),
        status(503),
        status(504),
        status(502),
        json!({ "status": 503, "retry_after": 1 }),
        json!({ "status": 429, "retry_after": "0.5" }),
        json!({ "status": 503, "empty": true }),
        json!("reset"),
        json!({ "truncate": 20 }),
        json!("expired_token"),
    ];
    for fault in faults {
        // A token is renewed once for a request: one that met the fault twice would rightly fail.
        let count = if fault == "expired_token" { 1 } else { 6 };
        t.faults(json!([{ "method": "GET", "every": 4, "count": count, "fault": fault }]))
            .await;
        let (mail2, drive2) = whole(&t).await;
        assert_eq!(mail2.skipped, mail.skipped, "{fault}");
        assert_eq!(mail2.items.len(), mail.items.len(), "{fault}");
        assert_eq!(drive2.contents, drive.contents, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_go_on_where_they_were_cut() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    let push = t.push(&[], "long.bin", Source::File, &bytes);
    let id = t
        .drive
        .push(&account, &push, &NoJournal)
        .await
        .unwrap()
        .entry
        .id;
    for fault in [
        json!({ "truncate": 1_000_000 }),
        json!("expired_url"),
        json!("reset"),
    ] {
        t.faults(
            json!([{ "method": "GET", "count": 2, "fault": fault, "route": "/_*" },
                        { "method": "GET", "count": 2, "fault": fault, "route": "*download*" },
                        { "method": "GET", "count": 1, "fault": fault, "route": "*/content" }]),
        )
        .await;
        let mut mirror = Mirror::default();
        mirror.cycle(&t.drive, &account).await;
        assert_eq!(
            mirror.contents.get(&id),
            Some(&bytes),
            "{fault}: {:?}",
            mirror.skipped
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mail_that_spoils_its_page_is_reported_and_the_others_are_captured() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let mut mirror = Mirror::default();
    mirror.cycle(&t.mail, &account).await;
    let all = mirror.items.len();
    let inbox = mirror.folder("Inbox");
    let bad = mirror.in_folder(&inbox)[0]["internetMessageId"]
        .as_str()
        .unwrap()
        .to_owned();
    t.faults(json!([{ "count": 0, "fault": { "poison": bad } }]))
        .await;
    let mut mirror = Mirror::default();
    mirror.cycle(&t.mail, &account).await;
    assert_eq!(mirror.items.len(), all - 1);
    assert_eq!(mirror.skipped.len(), 1, "{:?}", mirror.skipped);
    // The same folder can be followed from there, and nothing is fetched again.
    let fetched = mirror.fetched;
    mirror.cycle(&t.mail, &account).await;
    assert_eq!(mirror.fetched, fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_is_listed_instead() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let mut mirror = Mirror::default();
    mirror.cycle(&t.mail, &account).await;
    t.faults(json!([{ "count": 0, "route": "*/delta", "fault": { "status": 403, "code": "ErrorQuotaExceeded" } },
                    { "count": 0, "route": "*/delta?*", "fault": { "status": 403, "code": "ErrorQuotaExceeded" } }])).await;
    let fetched = mirror.fetched;
    let items = mirror.items.len();
    mirror.cycle(&t.mail, &account).await;
    assert_eq!(mirror.fetched, fetched);
    assert_eq!(mirror.items.len(), items);
    let mut anew = Mirror::default();
    anew.cycle(&t.mail, &account).await;
    assert_eq!(anew.items.len(), items);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_although_the_answer_said_otherwise_is_not_created_twice() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let mime = b"From: a@x.test\r\nSubject: once\r\nMessage-ID: <once@x.test>\r\nDate: Sun, 1 Mar 2026 09:00:00 +0000\r\n\r\nhi\r\n";
    t.faults(json!([{ "method": "POST", "route": "*/messages", "fault": { "status": 504, "after": true } },
                    { "method": "PUT", "count": 1, "fault": { "status": 504, "after": true } }])).await;
    let push = t.push(&["Inbox"], "once.eml", Source::File, mime);
    t.mail.push(&account, &push, &NoJournal).await.unwrap();
    let listed = t.mail.list(&account, &["Inbox".into()]).await.unwrap();
    let once = listed
        .iter()
        .filter(|e| e.record["internetMessageId"] == "<once@x.test>")
        .count();
    assert_eq!(once, 1);
    let push = t.push(&[], "once.bin", Source::File, b"once and never again");
    t.drive.push(&account, &push, &NoJournal).await.unwrap();
    let listed = t.drive.list(&account, &[]).await.unwrap();
    assert_eq!(
        listed.iter().filter(|e| e.name.starts_with("once")).count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn moods_of_exchange() {
    for quirk in [
        Quirk::MoveTrap,
        Quirk::DuplicateItems,
        Quirk::EmptyPages,
        Quirk::ControlCharacters,
        Quirk::PartialDelta,
        Quirk::SmimeFails,
        Quirk::ReadTouches,
    ] {
        let mail = MailOptions {
            recoverable_items: true,
            page_size: 7,
            ..MailOptions::default()
        };
        let t = Tenant::start_with(
            Options {
                quirk: vec![quirk],
                ..small()
            },
            mail,
        )
        .await;
        let account = t.account();
        let user = &account.id;
        let mut mirror = Mirror::default();
        mirror.cycle(&t.mail, &account).await;
        assert_eq!(mirror.skipped, Vec::<String>::new(), "{quirk:?}");
        let inbox = mirror.folder("Inbox");
        let id = mirror.in_folder(&inbox)[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let away = t
            .graph(
                "POST",
                &format!("/users/{user}/mailFolders"),
                Some(json!({ "displayName": "Away" })),
            )
            .await;
        for to in [away["id"].as_str().unwrap(), &inbox] {
            t.graph(
                "POST",
                &format!("/users/{user}/messages/{id}/move"),
                Some(json!({ "destinationId": to })),
            )
            .await;
        }
        let items = mirror.items.len();
        mirror.cycle(&t.mail, &account).await;
        assert_eq!(mirror.items.len(), items, "{quirk:?}");
        assert_eq!(
            mirror.parents[&id].as_deref(),
            Some(inbox.as_str()),
            "{quirk:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_limits_are_kept() {
    let t = Tenant::start(Options {
        throttle: Throttle::Real,
        ..small()
    })
    .await;
    let (mail, drive) = whole(&t).await;
    assert!(!mail.items.is_empty() && !drive.items.is_empty());
    let refused: u64 = t
        .client
        .stats()
        .iter()
        .filter(|c| c.status == 429)
        .map(|c| c.count)
        .sum();
    assert_eq!(refused, 0, "{:#?}", t.client.stats());
}
