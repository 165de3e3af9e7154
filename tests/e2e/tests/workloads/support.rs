//! An emulator of its own for each test, clients of both workloads, and a collection followed the
//! way a capture follows it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use e2e::Recorded;
use futures::StreamExt;
use graph_emulator::Options;
use serde_json::{Value, json};
use tenantfs::graph::{Client, ClientConfig, Credential, Endpoints, Patience};
use tenantfs::tree::ItemKey;
use tenantfs::workload::drive::{Drive, DriveOptions};
use tenantfs::workload::mail::{Mail, MailOptions};
use tenantfs::workload::{
    Account, Alive, Change, Content, Cursor, FeedError, FeedId, Keyer, Policy, Push, Source, View,
    Workload, merge,
};

pub struct Tenant {
    pub emulator: Recorded,
    pub client: Client,
    pub mail: Mail,
    pub drive: Drive,
    pub accounts: Vec<Account>,
    pub http: reqwest::Client,
    pub dir: tempfile::TempDir,
}

pub fn key(id: &str) -> ItemKey {
    // Any stable function will do here; the real one is keyed by the repository.
    let mut key = [0u8; 16];
    for (i, b) in id.bytes().enumerate() {
        let at = i % 16;
        key[at] = key[at].wrapping_mul(31).wrapping_add(b) ^ (i as u8);
    }
    ItemKey(key)
}

impl Tenant {
    pub async fn start(options: Options) -> Self {
        Self::start_with(options, MailOptions::default()).await
    }

    pub async fn start_with(options: Options, mail: MailOptions) -> Self {
        let emulator = Recorded::start(options).unwrap();
        let url = emulator.url.parse::<reqwest::Url>().unwrap();
        let credential = Credential::Secret {
            client_id: emulator.client_id.clone(),
            secret: emulator.client_secret.clone().into(),
        };
        let endpoints = Endpoints::custom(url.clone(), url);
        let mut config = ClientConfig::new(endpoints, emulator.tenant.clone(), credential);
        config.patience = Patience {
            base: std::time::Duration::from_millis(10),
            ..Patience::default()
        };
        let client = Client::new(config).unwrap();
        let keyer: Keyer = Arc::new(key);
        let mail = Mail::new(client.clone(), Arc::clone(&keyer), mail);
        let drive = Drive::new(client.clone(), keyer, DriveOptions::default());
        let round = client.users(None).await.unwrap();
        let accounts = round
            .users
            .iter()
            .filter_map(Account::from_record)
            .collect();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self {
            emulator,
            client,
            mail,
            drive,
            accounts,
            http,
            dir,
        }
    }

    /// The first account with a mailbox and a drive.
    pub fn account(&self) -> Account {
        self.accounts
            .iter()
            .find(|a| !a.guest && a.enabled)
            .unwrap()
            .clone()
    }

    pub async fn faults(&self, rules: Value) {
        let url = format!("{}/_emulator/faults", self.emulator.url);
        let answer = self
            .http
            .post(url)
            .body(rules.to_string())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    pub async fn control(&self, path: &str) {
        let url = format!("{}/_emulator/{path}", self.emulator.url);
        let answer = self.http.post(url).body("{}").send().await.unwrap();
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    /// A call as some other application would make it.
    pub async fn graph(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            self.emulator.client_id, self.emulator.client_secret
        );
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            self.emulator.url, self.emulator.tenant
        );
        let request = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded");
        let token: Value = answer_json(request.body(form)).await;
        let url = format!("{}/v1.0{path}", self.emulator.url);
        let mut request = self
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(token["access_token"].as_str().unwrap())
            .header("prefer", "IdType=\"ImmutableId\"");
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        answer_json(request).await
    }

    pub fn push(&self, folder: &[&str], name: &str, source: Source, bytes: &[u8]) -> Push {
        let file: PathBuf = self.dir.path().join(uuid::Uuid::new_v4().to_string());
        std::fs::write(&file, bytes).unwrap();
        Push {
            id: uuid::Uuid::new_v4(),
            folder: folder.iter().map(|f| (*f).to_owned()).collect(),
            name: name.to_owned(),
            policy: Policy::Skip,
            source,
            original: None,
            file,
            mtime: 1_700_000_000,
        }
    }
}

async fn answer_json(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// A collection as a capture would have it: records and content by id.
#[derive(Default)]
pub struct Mirror {
    pub folders: BTreeMap<String, Value>,
    pub items: BTreeMap<String, Value>,
    pub contents: BTreeMap<String, Vec<u8>>,
    pub parents: BTreeMap<String, Option<String>>,
    pub cursors: BTreeMap<FeedId, String>,
    pub skipped: Vec<String>,
    pub notes: Vec<String>,
    pub fetched: usize,
}

impl Mirror {
    /// One cycle over all feeds, with content.
    pub async fn cycle(&mut self, w: &dyn Workload, account: &Account) {
        let mut feeds = VecDeque::from([w.root_feed()]);
        feeds.extend(
            self.cursors
                .keys()
                .filter(|f| **f != w.root_feed())
                .cloned(),
        );
        let mut done = BTreeSet::new();
        let mut added = BTreeSet::new();
        let mut doubtful = Vec::new();
        self.skipped.clear();
        self.notes.clear();
        while let Some(feed) = feeds.pop_front() {
            if done.insert(feed.clone()) {
                self.feed(w, account, &feed, &mut feeds, &mut added, &mut doubtful)
                    .await;
            }
        }
        doubtful.retain(|id| !added.contains(id));
        for (id, alive) in doubtful
            .iter()
            .zip(w.verify_removed(account, &doubtful).await.unwrap())
        {
            match alive {
                Alive::Gone => self.remove(id),
                Alive::Here { parent, record } => self.take(w, account, id, parent, record).await,
                Alive::Unknown(e) => panic!("{e}"),
            }
        }
    }

    async fn feed(
        &mut self,
        w: &dyn Workload,
        account: &Account,
        feed: &FeedId,
        feeds: &mut VecDeque<FeedId>,
        added: &mut BTreeSet<String>,
        doubtful: &mut Vec<String>,
    ) {
        let mut cursor = self.cursors.get(feed).cloned();
        let mut told = BTreeSet::new();
        loop {
            let page = match w.page(account, feed, cursor.as_deref()).await {
                Ok(page) => page,
                Err(FeedError::Reset { start }) => {
                    cursor = start;
                    told.clear();
                    continue;
                }
                Err(FeedError::Gone) => {
                    self.cursors.remove(feed);
                    return;
                }
                Err(FeedError::Failed(e)) => panic!("{feed}: {e}"),
            };
            for change in page.changes {
                match change {
                    Change::Folder {
                        id,
                        parent,
                        record,
                        feed,
                    } => {
                        told.insert(id.clone());
                        self.folders.insert(id.clone(), record);
                        self.parents.insert(id, parent);
                        feeds.extend(feed);
                    }
                    Change::Item { id, parent, record } => {
                        told.insert(id.clone());
                        added.insert(id.clone());
                        self.take(w, account, &id, parent, record).await;
                    }
                    Change::Removed {
                        id, verify: true, ..
                    } => doubtful.push(id),
                    Change::Removed { id, .. } => self.remove(&id),
                    Change::Skipped { id, reason, .. } => {
                        told.insert(id.clone());
                        self.skipped.push(reason);
                    }
                    Change::Holds { .. } => panic!("only lists tell that"),
                    Change::Noted { note, .. } => self.notes.push(note),
                }
            }
            match page.cursor {
                Cursor::More(next) => cursor = Some(next),
                Cursor::Done(next) => {
                    if page.full {
                        self.retain(w, feed, &told);
                    }
                    self.cursors.insert(feed.clone(), next);
                    return;
                }
            }
        }
    }

    fn retain(&mut self, w: &dyn Workload, feed: &FeedId, told: &BTreeSet<String>) {
        let folder = feed.0.strip_prefix("messages/").map(str::to_owned);
        let concerned: Vec<String> = match (&folder, w.name()) {
            (Some(folder), _) => {
                let here = |id: &&String| self.parents.get(*id) == Some(&Some(folder.clone()));
                self.items.keys().filter(here).cloned().collect()
            }
            (None, "mail") => self.folders.keys().cloned().collect(),
            (None, _) => self
                .items
                .keys()
                .chain(self.folders.keys())
                .cloned()
                .collect(),
        };
        for id in concerned {
            if !told.contains(&id) {
                self.remove(&id);
            }
        }
    }

    async fn take(
        &mut self,
        w: &dyn Workload,
        account: &Account,
        id: &str,
        parent: Option<String>,
        told: Value,
    ) {
        let old = self.items.get(id).cloned();
        let mut record = old.clone().unwrap_or_default();
        merge(&mut record, &told);
        if old.is_none_or(|old| w.needs_content(&old, &record)) {
            match fetch(w, account, &mut record).await {
                Ok(bytes) => {
                    self.fetched += 1;
                    self.contents.insert(id.to_owned(), bytes);
                }
                Err(reason) => self.skipped.push(reason),
            }
        }
        self.items.insert(id.to_owned(), record);
        self.parents.insert(id.to_owned(), parent);
    }

    fn remove(&mut self, id: &str) {
        self.folders.remove(id);
        self.items.remove(id);
        self.contents.remove(id);
        self.parents.remove(id);
    }

    /// The id of a folder by the name it has in the mount.
    pub fn folder(&self, name: &str) -> String {
        let named = |r: &&Value| r["displayName"] == *name || r["name"] == *name;
        let found = self.folders.values().find(named);
        found.unwrap_or_else(|| panic!("no folder {name}"))["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub fn in_folder(&self, folder: &str) -> Vec<&Value> {
        let here = |id: &str| self.parents.get(id) == Some(&Some(folder.to_owned()));
        self.items
            .iter()
            .filter(|(id, _)| here(id))
            .map(|(_, r)| r)
            .collect()
    }
}

pub async fn fetch(
    w: &dyn Workload,
    account: &Account,
    record: &mut Value,
) -> Result<Vec<u8>, String> {
    match w.fetch(account, record).await.map_err(|e| e.to_string())? {
        Content::Mail(bytes) | Content::File(bytes) => Ok(bytes.to_vec()),
        Content::Exported(item) => Ok(match item.view {
            View::Mail(bytes) | View::File(bytes) => bytes.to_vec(),
            View::Stream => item.stream.to_vec(),
        }),
        Content::None => Ok(Vec::new()),
        Content::Stream(mut stream) => {
            let mut all = Vec::new();
            while let Some(piece) = stream.next().await {
                all.extend_from_slice(&piece.map_err(|e| e.to_string())?);
            }
            Ok(all)
        }
    }
}

/// Requests of a client since it began counting, by route.
pub fn count(client: &Client, route: &str) -> u64 {
    let all = client.stats();
    all.iter()
        .filter(|c| c.route == route && !c.batched)
        .map(|c| c.count)
        .sum()
}

pub fn total(client: &Client) -> u64 {
    client
        .stats()
        .iter()
        .filter(|c| !c.batched)
        .map(|c| c.count)
        .sum()
}

pub fn status(status: u16) -> Value {
    json!({ "status": status })
}
