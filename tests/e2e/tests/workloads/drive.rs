use graph_emulator::{Options, Quirk};
use serde_json::json;
use tenantfs::graph::hash_of;
use tenantfs::graph::quickxor::quick_xor;
use tenantfs::workload::{
    Detail, EntryKind, NoJournal, Policy, Presence, PushError, Source, Workload,
};

use crate::workloads::support::{Mirror, Tenant, count, key, total};

const CONTENT: &str = "/drives/{drive}/items/{item}/content";

fn small() -> Options {
    Options {
        accounts: 2,
        messages: 0,
        files: 60,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drive_is_captured_and_an_idle_cycle_is_one_request() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    assert_eq!(t.drive.probe(&account).await.unwrap(), Presence::Present);
    let mut mirror = Mirror::default();
    t.client.reset_stats();
    mirror.cycle(&t.drive, &account).await;
    assert!(mirror.items.len() > 10, "{} items", mirror.items.len());
    for (id, record) in &mirror.items {
        let Some(bytes) = mirror.contents.get(id) else {
            continue;
        };
        if let Some(hash) = hash_of(record) {
            assert_eq!(quick_xor(bytes), hash, "{record}");
        }
        assert_eq!(
            t.drive.describe(EntryKind::Item, &key(id), record).name,
            record["name"].as_str().unwrap()
        );
    }
    assert!(count(&t.client, CONTENT) <= mirror.items.len() as u64);

    let fetched = mirror.fetched;
    t.client.reset_stats();
    mirror.cycle(&t.drive, &account).await;
    assert_eq!(total(&t.client), 1, "{:#?}", t.client.stats());
    assert_eq!(mirror.fetched, fetched);
    t.control("expire-delta-tokens").await;
    mirror.cycle(&t.drive, &account).await;
    assert_eq!(mirror.fetched, fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn quirks_change_nothing() {
    for quirk in [
        Quirk::ChildrenFirst,
        Quirk::DuplicateItems,
        Quirk::EmptyPages,
        Quirk::PackageOnly,
        Quirk::IgnoreRange,
    ] {
        let t = Tenant::start(Options {
            quirk: vec![quirk],
            ..small()
        })
        .await;
        let mut mirror = Mirror::default();
        mirror.cycle(&t.drive, &t.account()).await;
        for (id, parent) in &mirror.parents {
            if let Some(parent) = parent {
                assert!(mirror.folders.contains_key(parent), "{quirk:?}: {id}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_restored_with_their_times() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let path = |p: &str| p.split('/').map(str::to_owned).collect::<Vec<_>>();
    t.drive.make_folder(&account, &path("Back")).await.unwrap();
    t.drive
        .make_folder(&account, &path("Back/100% & 'more' #1"))
        .await
        .unwrap();
    t.drive.make_folder(&account, &path("Back")).await.unwrap();
    let folder = ["Back", "100% & 'more' #1"];
    let big: Vec<u8> = (0..23_000_000u32).map(|i| (i % 251) as u8).collect();
    for (name, bytes) in [
        ("empty.bin", &b""[..]),
        ("small.txt", b"hello"),
        ("big + 1.bin", &big),
    ] {
        let push = t.push(&folder, name, Source::File, bytes);
        assert!(
            t.drive
                .find_pushed(&account, &push)
                .await
                .unwrap()
                .is_none()
        );
        let pushed = t.drive.push(&account, &push, &NoJournal).await.unwrap();
        assert_eq!(pushed.entry.name, name);
        assert_eq!(pushed.entry.size, bytes.len() as u64);
        assert_eq!(pushed.entry.mtime, push.mtime);
        let found = t.drive.find_pushed(&account, &push).await.unwrap().unwrap();
        assert_eq!(found.entry.id, pushed.entry.id);
        let again = t.push(&folder, name, Source::File, bytes);
        let refused = t.drive.push(&account, &again, &NoJournal).await;
        assert!(
            matches!(refused, Err(PushError::Exists { .. })),
            "{refused:?}"
        );
    }
    let mut over = t.push(&folder, "small.txt", Source::File, b"other");
    over.policy = Policy::Overwrite;
    t.drive.push(&account, &over, &NoJournal).await.unwrap();
    let mut both = t.push(&folder, "small.txt", Source::File, b"third");
    both.policy = Policy::KeepBoth;
    let pushed = t.drive.push(&account, &both, &NoJournal).await.unwrap();
    assert!(
        pushed.entry.name.starts_with("small (restored "),
        "{}",
        pushed.entry.name
    );
    let listed = t
        .drive
        .list(&account, &folder.map(str::to_owned))
        .await
        .unwrap();
    assert_eq!(listed.len(), 4);
    for bad in ["a:b", "CON", "x.", "~$x.docx"] {
        let push = t.push(&folder, bad, Source::File, b"x");
        assert!(
            matches!(
                t.drive.push(&account, &push, &NoJournal).await,
                Err(PushError::Invalid(_))
            ),
            "{bad}"
        );
    }
    let push = t.push(&["No", "where"], "a", Source::File, b"x");
    assert!(matches!(
        t.drive.push(&account, &push, &NoJournal).await,
        Err(PushError::NoFolder { .. })
    ));
    // And all of it comes back.
    let mut mirror = Mirror::default();
    mirror.cycle(&t.drive, &account).await;
    let item = mirror
        .items
        .values()
        .find(|i| i["name"] == "big + 1.bin")
        .unwrap();
    assert_eq!(mirror.contents[item["id"].as_str().unwrap()], big);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_is_not_taken_for_what_a_push_made() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let first = t.push(&[], "plan.txt", Source::File, b"hello");
    let original = t.drive.push(&account, &first, &NoJournal).await.unwrap();
    let mut mirror = Mirror::default();
    mirror.cycle(&t.drive, &account).await;
    let id = original.entry.id;
    let source = Source::Record {
        record: mirror.items[&id].clone(),
        key: key(&id),
    };
    // As after an attempt of which nobody knows how far it came.
    for policy in [Policy::Skip, Policy::KeepBoth] {
        let mut push = t.push(&[], "plan.txt", source.clone(), b"hello");
        push.policy = policy;
        let found = t.drive.find_pushed(&account, &push).await.unwrap();
        assert!(found.is_none(), "{policy:?}: {found:?}");
    }
    let mut copy = t.push(&[], "plan.txt", source, b"hello");
    copy.policy = Policy::KeepBoth;
    let made = t.drive.push(&account, &copy, &NoJournal).await.unwrap();
    assert_ne!(made.entry.id, id);
    let found = t.drive.find_pushed(&account, &copy).await.unwrap().unwrap();
    assert_eq!(found.entry.id, made.entry.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_sharepoint_rewrites_are_no_failures() {
    let t = Tenant::start(Options {
        quirk: vec![Quirk::OfficeRewrite],
        ..small()
    })
    .await;
    let account = t.account();
    let push = t.push(&[], "report.docx", Source::File, b"PK not really");
    let pushed = t.drive.push(&account, &push, &NoJournal).await.unwrap();
    assert!(!pushed.notes.is_empty());
    assert!(
        t.drive
            .find_pushed(&account, &push)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_it_is_shared_with_is_in_the_record() {
    let t = Tenant::start(small()).await;
    let account = t.account();
    let push = t.push(&[], "shared.txt", Source::File, b"shared");
    let pushed = t.drive.push(&account, &push, &NoJournal).await.unwrap();
    let drive = t
        .graph("GET", &format!("/users/{}/drive", account.id), None)
        .await;
    let drive = drive["id"].as_str().unwrap();
    let other = t
        .accounts
        .iter()
        .find(|a| a.id != account.id && !a.guest)
        .unwrap();
    t.graph(
        "POST",
        &format!("/drives/{drive}/items/{}/invite", pushed.entry.id),
        Some(
            json!({ "recipients": [{ "email": other.upn }], "roles": ["read"],
                     "requireSignIn": true, "sendInvitation": false }),
        ),
    )
    .await;
    let mut mirror = Mirror::default();
    mirror.cycle(&t.drive, &account).await;
    // They come last, and only of what is shared.
    let asks = |record: &serde_json::Value| t.drive.needs_details(None, record);
    let record = &mirror.items[&pushed.entry.id];
    assert!(asks(record), "{record}");
    assert!(mirror.items.values().any(|record| !asks(record)));
    let mut item = [Detail {
        record: record.clone(),
        above: Vec::new(),
    }];
    let answers = t.drive.details(&account, &mut item).await.unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let record = &item[0].record;
    assert!(!t.drive.needs_details(Some(record), record), "{record}");
    assert!(
        record["permissions"]
            .as_array()
            .is_some_and(|p| !p.is_empty()),
        "{record}"
    );
    assert_eq!(mirror.notes, Vec::<String>::new());
}
