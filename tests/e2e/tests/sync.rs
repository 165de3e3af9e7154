//! Capture over real HTTP: an emulated tenant, the real client, a real repository. What is read
//! back comes from the repository, without a mount.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use e2e::{Recorded, corpus};
use graph_emulator::Options as Tenant;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use tenantfs::graph::{Client, ClientConfig, Credential, Endpoints};
use tenantfs::local::LocalState;
use tenantfs::repo::content::read_all;
use tenantfs::repo::{InitOptions, KdfCost, Kind, Location, Repository, Snapshot};
use tenantfs::sync::{self, CycleOutcome, Options, Scope, SyncContext};
use tenantfs::tree::{EntryKind, ItemKey, Nodes, view};
use tenantfs::workload::{self, Keyer, Workload, drive, mail};

struct Rig {
    emulator: Recorded,
    http: reqwest::blocking::Client,
    token: String,
    runtime: tokio::runtime::Runtime,
    cx: SyncContext,
    repo: Repository,
    dir: tempfile::TempDir,
}

impl Rig {
    fn start(tenant: Tenant) -> Rig {
        let emulator = Recorded::start(tenant).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Local(dir.path().join("repo"));
        let init = InitOptions {
            kdf: KdfCost::cheapest(),
            local: Some(dir.path().join("index")),
        };
        let repo = Repository::init(&location, &"secret".into(), &init).unwrap();
        let endpoint = || Url::parse(&emulator.url).unwrap();
        let credential = Credential::Secret {
            client_id: emulator.client_id.clone(),
            secret: emulator.client_secret.clone().into(),
        };
        let endpoints = Endpoints::custom(endpoint(), endpoint());
        let config = ClientConfig::new(endpoints, emulator.tenant.clone(), credential);
        let client = Client::new(config).unwrap();
        let keyer: Keyer = {
            let repo = repo.clone();
            Arc::new(move |id| workload::ItemKey(ItemKey::of(&repo, id).0))
        };
        let workloads: Vec<Arc<dyn Workload>> = vec![
            Arc::new(mail::Mail::new(
                client.clone(),
                keyer.clone(),
                mail::MailOptions::default(),
            )),
            Arc::new(drive::Drive::new(
                client.clone(),
                keyer,
                drive::DriveOptions::default(),
            )),
        ];
        let local = LocalState::open(&dir.path().join("state")).unwrap();
        let cx = SyncContext::new(
            repo.clone(),
            Arc::new(client),
            workloads,
            Some(local),
            Options::default(),
        );
        let http = reqwest::blocking::Client::new();
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            emulator.client_id, emulator.client_secret
        );
        let token = http
            .post(format!(
                "{}/{}/oauth2/v2.0/token",
                emulator.url, emulator.tenant
            ))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let token: Value = token.send().unwrap().json().unwrap();
        Rig {
            http,
            token: token["access_token"].as_str().unwrap().to_owned(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            emulator,
            cx,
            repo,
            dir,
        }
    }

    fn cycle(&self) -> CycleOutcome {
        let (scope, progress) = (Scope::default(), Arc::default());
        let cycle = sync::run(&self.cx, &scope, &progress);
        self.runtime.block_on(cycle).unwrap()
    }

    /// Asks the tenant as an application would.
    fn graph(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.try_graph(method, path, body);
        assert!(status.is_success(), "{path}: {status}: {answer}");
        answer
    }

    fn try_graph(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self
            .http
            .request(method, format!("{}{path}", self.emulator.url))
            .bearer_auth(&self.token)
            .header("prefer", "IdType=\"ImmutableId\"")
            .json(&body)
            .send()
            .unwrap();
        let status = answer.status();
        let text = answer.text().unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    fn get(&self, path: &str) -> Value {
        self.graph(Method::GET, path, json!({}))
    }

    fn users(&self) -> Vec<String> {
        let users = self.get("/v1.0/users?$top=999");
        let all = users["value"].as_array().unwrap().iter();
        all.map(|user| user["userPrincipalName"].as_str().unwrap().to_owned())
            .collect()
    }

    /// All pages of a collection, which may not exist (no mailbox, no drive).
    fn list(&self, path: &str) -> Vec<Value> {
        let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(path) = next {
            let path = path.strip_prefix(&self.emulator.url).unwrap_or(&path);
            let (status, mut page) = self.try_graph(Method::GET, path, json!({}));
            if status == StatusCode::NOT_FOUND {
                break;
            }
            all.append(page["value"].as_array_mut().unwrap());
            next = page["@odata.nextLink"].as_str().map(str::to_owned);
        }
        all
    }

    /// Ids of every message and every file there is, as another application sees them.
    fn live(&self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for user in self.users() {
            let messages = self.list(&format!("/v1.0/users/{user}/messages?$select=id&$top=500"));
            let items = self.list(&format!("/v1.0/users/{user}/drive/root/delta"));
            let files = items
                .into_iter()
                .filter(|item| item.get("folder").is_none());
            let all = messages.into_iter().chain(files);
            ids.extend(all.map(|item| item["id"].as_str().unwrap().to_owned()));
        }
        ids
    }

    fn captured(&self) -> BTreeSet<String> {
        let files = self.files().into_values();
        files
            .map(|(_, record)| record["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Requests whose route holds `part` since the last reset.
    fn requests(&self, part: &str) -> u64 {
        let all = self.get("/_emulator/requests");
        let routes = all["by_route"].as_array().unwrap().iter();
        routes
            .filter(|line| line["route"].as_str().unwrap().contains(part))
            .map(|line| line["count"].as_u64().unwrap())
            .sum()
    }

    fn reset_requests(&self) {
        self.graph(Method::DELETE, "/_emulator/requests", json!({}));
    }

    fn latest(&self) -> Snapshot {
        let snapshot = self.repo.snapshots().unwrap().pop().unwrap();
        assert!(snapshot.manifest.complete);
        snapshot
    }

    /// Path to bytes and record of every file.
    fn files(&self) -> BTreeMap<String, (Vec<u8>, Value)> {
        let nodes = Nodes::new(&self.repo);
        let mut files = BTreeMap::new();
        for found in view::walk(&nodes, self.latest().manifest.tree) {
            let (path, entry) = found.unwrap();
            if let EntryKind::File { content, size } = entry.kind {
                let bytes = read_all(&self.repo, content, 1 << 30).unwrap();
                assert_eq!(bytes.len() as u64, size, "{path}");
                let record = self.repo.get(Kind::Record, &entry.record.unwrap()).unwrap();
                files.insert(
                    path,
                    (bytes.to_vec(), serde_json::from_slice(&record).unwrap()),
                );
            }
        }
        files
    }
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
    let rig = Rig::start(tenant());
    let outcome = rig.cycle();
    assert!(outcome.snapshot.is_some());
    assert!(
        !outcome.report.has_failures(),
        "{:#?}",
        outcome.report.failed
    );
    let files = rig.files();
    let mails = files.keys().filter(|path| path.contains("/Mail/")).count();
    assert_eq!(rig.requests("/$value"), mails as u64);
    assert_eq!(rig.captured(), rig.live());

    // Everything is what Graph says it is.
    let user = &rig.users()[0];
    for (path, (bytes, record)) in files
        .iter()
        .filter(|(path, _)| path.starts_with(user.as_str()))
    {
        let id = record["id"].as_str().unwrap();
        if path.contains("/Mail/") {
            let live = rig
                .http
                .get(format!(
                    "{}/v1.0/users/{user}/messages/{id}/$value",
                    rig.emulator.url
                ))
                .bearer_auth(&rig.token)
                .header("prefer", "IdType=\"ImmutableId\"");
            assert_eq!(live.send().unwrap().bytes().unwrap(), bytes, "{path}");
        } else {
            assert_eq!(record["size"], bytes.len(), "{path}");
        }
    }

    rig.reset_requests();
    let idle = rig.cycle();
    assert_eq!((idle.snapshot, idle.written), (None, 0));
    assert_eq!(rig.requests("/$value") + rig.requests("content"), 0);
    let feeds = rig.requests("delta");
    let total = rig.get("/_emulator/requests")["total"].as_u64().unwrap();
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
    let message = |n: usize| format!("/v1.0/users/{user}/messages/{}", inbox[n]);
    let was_read = rig.get(&message(0))["isRead"].as_bool().unwrap();
    rig.graph(Method::PATCH, &message(0), json!({ "isRead": !was_read }));
    rig.graph(
        Method::POST,
        &format!("{}/move", message(1)),
        json!({ "destinationId": "archive" }),
    );
    rig.graph(Method::DELETE, &message(2), json!({}));
    rig.graph(
        Method::POST,
        &format!("/v1.0/users/{user}/mailFolders/inbox/messages"),
        json!({ "subject": "fresh", "body": { "contentType": "text", "content": "new" } }),
    );
    rig.reset_requests();
    let changed = rig.cycle();
    assert!(!changed.report.has_failures());
    assert_eq!(rig.requests("/$value"), 1);
    assert!(changed.written < 100_000, "{} bytes", changed.written);
    let now = rig.files();
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
    rig.graph(Method::POST, "/_emulator/expire-delta-tokens", json!({}));
    rig.reset_requests();
    let renewed = rig.cycle();
    assert!(!renewed.report.has_failures(), "{:#?}", renewed.report);
    assert_eq!(rig.requests("/$value") + rig.requests("/content"), 0);
    assert_eq!(rig.files(), now);
}

#[test]
fn moved_and_renamed_folders_and_files_of_a_drive() {
    let rig = Rig::start(tenant());
    rig.cycle();
    let user = &rig.users()[0];
    let drive = format!("/v1.0/users/{user}/drive");
    let folder = rig.graph(
        Method::POST,
        &format!("{drive}/root/children"),
        json!({ "name": "Project", "folder": {} }),
    );
    let inner = rig.graph(
        Method::POST,
        &format!("{drive}/items/{}/children", folder["id"].as_str().unwrap()),
        json!({ "name": "Deep", "folder": {} }),
    );
    let inner = inner["id"].as_str().unwrap();
    let upload = rig
        .http
        .put(format!(
            "{}{drive}/items/{inner}:/a.txt:/content",
            rig.emulator.url
        ))
        .bearer_auth(&rig.token)
        .body("hello");
    let file: Value = upload.send().unwrap().json().unwrap();
    rig.cycle();
    let path = |name: &str| format!("{user}/OneDrive/{name}");
    assert_eq!(rig.files()[&path("Project/Deep/a.txt")].0, b"hello");

    rig.reset_requests();
    rig.graph(
        Method::PATCH,
        &format!("{drive}/items/{}", folder["id"].as_str().unwrap()),
        json!({ "name": "Project X" }),
    );
    rig.cycle();
    assert_eq!(rig.files()[&path("Project X/Deep/a.txt")].0, b"hello");
    assert_eq!(rig.requests("/content"), 0);

    let file = format!("{drive}/items/{}", file["id"].as_str().unwrap());
    rig.graph(
        Method::PATCH,
        &file,
        json!({ "parentReference": { "id": folder["id"] }, "name": "b.txt" }),
    );
    rig.graph(Method::DELETE, &format!("{drive}/items/{inner}"), json!({}));
    rig.cycle();
    let files = rig.files();
    assert_eq!(files[&path("Project X/b.txt")].0, b"hello");
    assert!(!files.contains_key(&path("Project X/Deep/a.txt")));
}

#[test]
fn scripted_faults_lose_nothing() {
    let rig = Rig::start(tenant());
    let faults = json!([
        { "route": "/v1.0/users/{id}/messages/{id}/$value", "count": 5, "every": 7, "fault": { "status": 503, "retry_after": 0 } },
        { "route": "/v1.0/users/{id}/messages/{id}/$value", "skip": 60, "count": 2, "fault": "reset" },
        { "route": "/v1.0/users/{id}/messages/{id}/$value", "skip": 80, "count": 2, "fault": { "truncate": 50 } },
        { "route": "*delta*", "count": 2, "every": 3, "fault": { "status": 429, "retry_after": 1 } },
        { "method": "GET", "route": "*", "skip": 150, "count": 1, "fault": "expired_token" },
    ]);
    rig.graph(Method::POST, "/_emulator/faults", faults);
    let mut outcome = rig.cycle();
    for _ in 0..3 {
        if outcome.report.has_failures() {
            outcome = rig.cycle();
        }
    }
    assert!(!outcome.report.has_failures(), "{:#?}", outcome.report);
    assert_eq!(rig.captured(), rig.live());
}

#[test]
fn a_mail_that_always_fails_is_in_the_report_by_name() {
    let rig = Rig::start(tenant());
    let user = &rig.users()[0];
    let inbox = rig.get(&format!(
        "/v1.0/users/{user}/mailFolders/inbox/messages?$top=1"
    ));
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
    rig.graph(Method::POST, "/_emulator/faults", faults);
    let outcome = rig.cycle();
    assert!(outcome.snapshot.is_some());
    let [line] = &outcome.report.failed[..] else {
        panic!("{:#?}", outcome.report.failed);
    };
    assert_eq!(
        (line.id.as_str(), line.account.as_str()),
        (id, user.as_str())
    );
    assert!(line.path.starts_with("Inbox/"), "{line:?}");
    let (captured, live) = (rig.captured(), rig.live());
    assert_eq!(live.difference(&captured).collect::<Vec<_>>(), [id]);
    assert_eq!(rig.latest().manifest.totals.failed, 1);
    rig.graph(Method::POST, "/_emulator/faults", json!([]));
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
    let rig = Rig::start(Tenant {
        accounts: 2,
        messages: 0,
        files: 0,
        import_mail: vec![mail],
        import_files: vec![drive],
        ..Tenant::default()
    });
    let outcome = rig.cycle();
    assert!(
        !outcome.report.has_failures(),
        "{:#?}",
        outcome.report.failed
    );
    let files = rig.files();
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
