//! Capture over real HTTP: an emulated tenant, the real client, a real repository. What is read
//! back comes from the repository, without a mount.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use e2e::rig::mail_and_drive;
use e2e::{Rig, corpus};
use graph_emulator::Options as Tenant;
use serde_json::{Value, json};
use tenantfs::repo::{Location, Repository};

fn start(tenant: Tenant) -> Rig {
    Rig::start(tenant, mail_and_drive).unwrap()
}

fn users(rig: &Rig) -> Vec<String> {
    let users = rig.graph.list("/users?$top=999").unwrap();
    let name = |user: &Value| user["userPrincipalName"].as_str().unwrap().to_owned();
    users.iter().map(name).collect()
}

/// Ids of every message and every file there is, as another application sees them.
fn live(rig: &Rig) -> BTreeSet<String> {
    e2e::rig::live(&rig.graph, &rig.emulator.url, &["Mail", "OneDrive"]).unwrap()
}

fn tenant() -> Tenant {
    Tenant {
        accounts: 3,
        messages: 240,
        files: 60,
        ..Tenant::default()
    }
}

fn first<'a>(files: &'a BTreeMap<String, (Vec<u8>, Value)>, part: &str) -> (&'a str, &'a Value) {
    let found = files.iter().find(|(path, _)| path.contains(part));
    let (path, (_, record)) = found.unwrap();
    (path, record)
}

#[test]
fn a_generated_tenant_then_nothing_then_changes() {
    let rig = start(tenant());
    let outcome = rig.cycle().unwrap();
    assert!(outcome.snapshot.is_some());
    assert!(
        !outcome.report.has_failures(),
        "{:#?}",
        outcome.report.failed
    );
    let files = rig.files().unwrap();
    let mails = files.keys().filter(|path| path.contains("/Mail/")).count();
    assert_eq!(rig.requests("/$value").unwrap(), mails as u64);
    assert_eq!(rig.captured().unwrap(), live(&rig));

    // Everything is what Graph says it is.
    let user = &users(&rig)[0];
    for (path, (bytes, record)) in files
        .iter()
        .filter(|(path, _)| path.starts_with(user.as_str()))
    {
        let id = record["id"].as_str().unwrap();
        if path.contains("/Mail/") {
            let live = rig
                .graph
                .bytes(&format!("/users/{user}/messages/{id}/$value"));
            assert_eq!(live.unwrap(), *bytes, "{path}");
        } else {
            assert_eq!(record["size"], bytes.len(), "{path}");
        }
    }

    rig.graph.reset_requests().unwrap();
    let idle = rig.cycle().unwrap();
    assert_eq!((idle.snapshot, idle.written), (None, 0));
    assert_eq!(
        rig.requests("/$value").unwrap() + rig.requests("content").unwrap(),
        0
    );
    let feeds = rig.requests("delta").unwrap();
    let total = rig.graph.requests().unwrap()["total"].as_u64().unwrap();
    // Nothing but the feeds themselves, and perhaps a token.
    assert!(total <= feeds + 2, "{total} requests for {feeds} feeds");

    // Read state, a move, a deletion, a new mail.
    let in_mail = |user: &str| {
        let mine = files
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("{user}/Mail/Inbox/")));
        mine.map(|(_, (_, record))| record["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let inbox = in_mail(user);
    let message = |n: usize| format!("/users/{user}/messages/{}", inbox[n]);
    let was_read = rig.graph.get(&message(0)).unwrap()["isRead"]
        .as_bool()
        .unwrap();
    rig.graph
        .patch(&message(0), &json!({ "isRead": !was_read }))
        .unwrap();
    rig.graph
        .post(
            &format!("{}/move", message(1)),
            &json!({ "destinationId": "archive" }),
        )
        .unwrap();
    rig.graph.delete(&message(2)).unwrap();
    rig.graph
        .post(
            &format!("/users/{user}/mailFolders/inbox/messages"),
            &json!({ "subject": "fresh", "body": { "contentType": "text", "content": "new" } }),
        )
        .unwrap();
    rig.graph.reset_requests().unwrap();
    let changed = rig.cycle().unwrap();
    assert!(!changed.report.has_failures());
    assert_eq!(rig.requests("/$value").unwrap(), 1);
    assert!(changed.written < 100_000, "{} bytes", changed.written);
    let now = rig.files().unwrap();
    let find = |id: &str| now.iter().find(|(_, (_, record))| record["id"] == id);
    assert_eq!(find(&inbox[0]).unwrap().1.1["isRead"], !was_read);
    let (path, (bytes, _)) = find(&inbox[1]).unwrap();
    let before = files
        .iter()
        .find(|(_, (_, record))| record["id"] == inbox[1].as_str())
        .unwrap();
    assert!(path.contains("/Archive/"), "{path}");
    assert_eq!(path.rsplit('/').next(), before.0.rsplit('/').next());
    assert_eq!(*bytes, before.1.0);
    assert!(find(&inbox[2]).is_none());
    assert!(first(&now, "/Inbox/").0.contains("/Mail/"));
    assert_eq!(now.len(), files.len());

    // Expired tokens: all is listed, nothing is fetched.
    rig.graph
        .control("expire-delta-tokens", &json!({}))
        .unwrap();
    rig.graph.reset_requests().unwrap();
    let renewed = rig.cycle().unwrap();
    assert!(!renewed.report.has_failures(), "{:#?}", renewed.report);
    assert_eq!(
        rig.requests("/$value").unwrap() + rig.requests("/content").unwrap(),
        0
    );
    assert_eq!(rig.files().unwrap(), now);
}

#[test]
fn moved_and_renamed_folders_and_files_of_a_drive() {
    let rig = start(tenant());
    rig.cycle().unwrap();
    let user = &users(&rig)[0];
    let drive = format!("/users/{user}/drive");
    let folder = rig
        .graph
        .post(
            &format!("{drive}/root/children"),
            &json!({ "name": "Project", "folder": {} }),
        )
        .unwrap();
    let inner = rig
        .graph
        .post(
            &format!("{drive}/items/{}/children", folder["id"].as_str().unwrap()),
            &json!({ "name": "Deep", "folder": {} }),
        )
        .unwrap();
    let inner = inner["id"].as_str().unwrap();
    let upload = format!("{drive}/items/{inner}:/a.txt:/content");
    let file = rig.graph.put(&upload, b"hello".to_vec()).unwrap();
    rig.cycle().unwrap();
    let path = |name: &str| format!("{user}/OneDrive/{name}");
    assert_eq!(
        rig.files().unwrap()[&path("Project/Deep/a.txt")].0,
        b"hello"
    );

    rig.graph.reset_requests().unwrap();
    rig.graph
        .patch(
            &format!("{drive}/items/{}", folder["id"].as_str().unwrap()),
            &json!({ "name": "Project X" }),
        )
        .unwrap();
    rig.cycle().unwrap();
    assert_eq!(
        rig.files().unwrap()[&path("Project X/Deep/a.txt")].0,
        b"hello"
    );
    assert_eq!(rig.requests("/content").unwrap(), 0);

    let file = format!("{drive}/items/{}", file["id"].as_str().unwrap());
    rig.graph
        .patch(
            &file,
            &json!({ "parentReference": { "id": folder["id"] }, "name": "b.txt" }),
        )
        .unwrap();
    rig.graph.delete(&format!("{drive}/items/{inner}")).unwrap();
    rig.cycle().unwrap();
    let files = rig.files().unwrap();
    assert_eq!(files[&path("Project X/b.txt")].0, b"hello");
    assert!(!files.contains_key(&path("Project X/Deep/a.txt")));
}

#[test]
fn scripted_faults_lose_nothing() {
    let rig = start(tenant());
    let faults = json!([
        { "route": "/v1.0/users/{id}/messages/{id}/$value", "count": 5, "every": 7, "fault": { "status": 503, "retry_after": 0 } },
        { "route": "/v1.0/users/{id}/messages/{id}/$value", "skip": 60, "count": 2, "fault": "reset" },
        { "route": "/v1.0/users/{id}/messages/{id}/$value", "skip": 80, "count": 2, "fault": { "truncate": 50 } },
        { "route": "*delta*", "count": 2, "every": 3, "fault": { "status": 429, "retry_after": 1 } },
        { "method": "GET", "route": "*", "skip": 150, "count": 1, "fault": "expired_token" },
    ]);
    rig.faults(faults).unwrap();
    let mut outcome = rig.cycle().unwrap();
    for _ in 0..3 {
        if outcome.report.has_failures() {
            outcome = rig.cycle().unwrap();
        }
    }
    assert!(!outcome.report.has_failures(), "{:#?}", outcome.report);
    assert_eq!(rig.captured().unwrap(), live(&rig));
}

#[test]
fn a_mail_that_always_fails_is_in_the_report_by_name() {
    let rig = start(tenant());
    let user = &users(&rig)[0];
    let inbox = rig
        .graph
        .get(&format!("/users/{user}/mailFolders/inbox/messages?$top=1"))
        .unwrap();
    let message = &inbox["value"][0];
    let id = message["id"].as_str().unwrap();
    let route = format!("/v1.0/users/*/messages/{id}/$value");
    let broken = json!({ "status": 500, "code": "ErrorCorruptData", "message": "broken" });
    let attachments = format!("/v1.0/users/*/messages/{id}*");
    let faults = json!([
        { "route": route, "count": 0, "fault": broken },
        { "route": attachments, "count": 0, "fault": broken },
        // Else it would be exported.
        { "route": "/v1.0/admin/exchange/mailboxes/*/exportItems", "count": 0,
          "fault": { "status": 403, "code": "ErrorAccessDenied", "message": "no" } },
    ]);
    rig.faults(faults).unwrap();
    let outcome = rig.cycle().unwrap();
    assert!(outcome.snapshot.is_some());
    let [line] = &outcome.report.failed[..] else {
        panic!("{:#?}", outcome.report.failed);
    };
    assert_eq!(
        (line.id.as_str(), line.account.as_str()),
        (id, user.as_str())
    );
    assert!(line.path.starts_with("Inbox/"), "{line:?}");
    let (captured, live) = (rig.captured().unwrap(), live(&rig));
    assert_eq!(live.difference(&captured).collect::<Vec<_>>(), [id]);
    assert_eq!(rig.latest().unwrap().manifest.totals.failed, 1);
    rig.faults(json!([])).unwrap();
}

/// A folder of the corpus, with its files.
fn corpus(name: &str) -> Option<(PathBuf, Vec<PathBuf>)> {
    let root = corpus::folder(name)?;
    let files = corpus::files(&root);
    Some((root, files))
}

/// How often each content is there.
fn tally(contents: impl Iterator<Item = Vec<u8>>) -> BTreeMap<Vec<u8>, usize> {
    let mut tally = BTreeMap::new();
    for content in contents {
        *tally.entry(content).or_default() += 1;
    }
    tally
}

#[test]
fn the_corpus_comes_back_byte_for_byte() {
    let (Some((mail, mails)), Some((drive, documents))) = (corpus("mail"), corpus("files")) else {
        return;
    };
    let rig = start(Tenant {
        accounts: 2,
        messages: 0,
        files: 0,
        import_mail: vec![mail],
        import_files: vec![drive],
        ..Tenant::default()
    });
    let outcome = rig.cycle().unwrap();
    assert!(
        !outcome.report.has_failures(),
        "{:#?}",
        outcome.report.failed
    );
    let files = rig.files().unwrap();
    let captured = |folder: &'static str| {
        let all = files
            .iter()
            .filter(move |(path, _)| path.split('/').nth(1) == Some(folder));
        tally(all.map(|(_, (bytes, _))| bytes.clone()))
    };
    let read = |paths: Vec<PathBuf>| paths.into_iter().map(|path| std::fs::read(path).unwrap());
    // The separator of an mbox file is no part of a mail.
    let mails = read(mails).map(|bytes| match bytes.starts_with(b"From ") {
        // Where lines end with a lone CR there is none that could be told from the rest.
        true => {
            let line = bytes.iter().position(|b| *b == b'\n');
            bytes[line.map_or(0, |at| at + 1)..].to_vec()
        }
        false => bytes,
    });
    assert!(captured("Mail") == tally(mails), "mails differ");
    assert!(
        captured("OneDrive") == tally(read(documents)),
        "documents differ"
    );

    // And all of it is on disk, authenticated.
    let size = |dir: &Path| -> u64 {
        let files = corpus::files(dir);
        files
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .sum()
    };
    println!("repository: {} bytes", size(&rig.dir.path().join("repo")));
    let location = Location::Local(rig.dir.path().join("repo"));
    let again =
        Repository::open(&location, &"secret".into(), &rig.dir.path().join("other")).unwrap();
    assert_eq!(again.snapshots().unwrap().len(), 1);
}
