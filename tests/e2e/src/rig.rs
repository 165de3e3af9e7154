//! Captures without the program and without a mount: an emulated tenant, the real client, a real
//! repository, and a clock that can be put forward. What is read back comes from the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use graph_emulator::Options as Tenant;
use reqwest::Url;
use serde_json::Value;
use tenantfs::graph::{Client, ClientConfig, Credential, Endpoints, Patience};
use tenantfs::local::LocalState;
use tenantfs::repo::content::read_all;
use tenantfs::repo::{InitOptions, KdfCost, Kind, Location, Repository, Snapshot};
use tenantfs::sync::{self, CycleOutcome, Options, Scope, SyncContext};
use tenantfs::tree::{EntryKind, ItemKey, Nodes, view};
use tenantfs::workload::{
    Keyer, Workload, archive, calendar, contacts, drive, mail, settings, todo,
};

use crate::Recorded;
use crate::graph::Graph;

/// What is captured: made from the client and the way to name things.
pub type Workloads = fn(&Client, &Keyer) -> Vec<Arc<dyn Workload>>;

/// Mail and drives.
pub fn mail_and_drive(client: &Client, keyer: &Keyer) -> Vec<Arc<dyn Workload>> {
    vec![
        Arc::new(mail::Mail::new(
            client.clone(),
            keyer.clone(),
            mail::MailOptions::default(),
        )),
        Arc::new(drive::Drive::new(
            client.clone(),
            keyer.clone(),
            drive::DriveOptions::default(),
        )),
    ]
}

/// Everything, in small pages.
pub fn everything(client: &Client, keyer: &Keyer) -> Vec<Arc<dyn Workload>> {
    let (client, keyer) = (|| client.clone(), || keyer.clone());
    let mail = mail::MailOptions {
        page_size: 7,
        ..mail::MailOptions::default()
    };
    let calendar = calendar::CalendarOptions {
        page_size: 7,
        ..calendar::CalendarOptions::default()
    };
    let contacts = contacts::ContactsOptions {
        page_size: 7,
        ..contacts::ContactsOptions::default()
    };
    vec![
        Arc::new(mail::Mail::new(client(), keyer(), mail)),
        Arc::new(archive::Archive::new(client(), keyer())),
        Arc::new(calendar::Calendar::new(client(), keyer(), calendar)),
        Arc::new(contacts::Contacts::new(client(), keyer(), contacts)),
        Arc::new(todo::Todo::new(client(), keyer())),
        Arc::new(settings::Settings::new(client(), keyer())),
        Arc::new(drive::Drive::new(
            client(),
            keyer(),
            drive::DriveOptions::default(),
        )),
    ]
}

/// A tenant, and captures of it.
pub struct Rig {
    pub emulator: Recorded,
    /// Talks to the tenant as an application would.
    pub graph: Graph,
    pub repo: Repository,
    pub dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    cx: SyncContext,
    /// Seconds that the captures' clock is ahead.
    ahead: Arc<AtomicI64>,
}

impl Rig {
    pub fn start(tenant: Tenant, workloads: Workloads) -> Result<Self> {
        let emulator = Recorded::start(tenant)?;
        let graph = Graph::sign_in(&emulator, None)?;
        let dir = tempfile::tempdir()?;
        let location = Location::Local(dir.path().join("repo"));
        let init = InitOptions {
            kdf: KdfCost::cheapest(),
            local: Some(dir.path().join("index")),
            ..InitOptions::default()
        };
        let repo = Repository::init(&location, &"secret".into(), &init)?;
        let url: Url = emulator.url.parse()?;
        let credential = Credential::Secret {
            client_id: emulator.client_id.clone(),
            secret: emulator.client_secret.clone().into(),
        };
        let endpoints = Endpoints::custom(url.clone(), url);
        let mut config = ClientConfig::new(endpoints, emulator.tenant.clone(), credential);
        config.patience = Patience {
            base: Duration::from_millis(10),
            ..Patience::default()
        };
        let client = Client::new(config)?;
        let keyer: Keyer = {
            let repo = repo.clone();
            Arc::new(move |id| ItemKey::of(&repo, id))
        };
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = ahead.clone();
        let options = Options {
            clock: Arc::new(move || now() + clock.load(Ordering::Relaxed)),
            ..Options::default()
        };
        let local = LocalState::open(&dir.path().join("state"))?;
        let workloads = workloads(&client, &keyer);
        let cx = SyncContext::new(
            repo.clone(),
            Arc::new(client),
            workloads,
            Some(local),
            options,
        );
        Ok(Self {
            emulator,
            graph,
            repo,
            dir,
            runtime: tokio::runtime::Runtime::new()?,
            cx,
            ahead,
        })
    }

    /// Puts the captures' clock forward; the service's stays.
    pub fn advance(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    pub fn cycle(&self) -> Result<CycleOutcome> {
        let (scope, progress) = (Scope::default(), Arc::default());
        let cycle = sync::run(&self.cx, &scope, &progress);
        Ok(self.runtime.block_on(cycle)?)
    }

    /// A cycle in which nothing fails.
    pub fn good_cycle(&self) -> Result<CycleOutcome> {
        let outcome = self.cycle()?;
        let report = &outcome.report;
        ensure!(
            !report.has_failures(),
            "{:#?}",
            (&report.failed, &report.changed)
        );
        Ok(outcome)
    }

    /// Scripts the emulator's faults; an empty list ends them.
    pub fn faults(&self, rules: Value) -> Result<()> {
        self.graph.control("faults", &rules)
    }

    /// Requests whose route holds `part` since the last reset.
    pub fn requests(&self, part: &str) -> Result<u64> {
        let all = self.graph.requests()?;
        let routes = all["by_route"].as_array().context("no routes")?.iter();
        let counts = routes
            .filter(|line| line["route"].as_str().is_some_and(|r| r.contains(part)))
            .filter_map(|line| line["count"].as_u64());
        Ok(counts.sum())
    }

    /// Requests for contents since the last reset, of all kinds.
    pub fn contents(&self) -> Result<u64> {
        let mut sum = 0;
        for part in [
            "/$value",
            "/content",
            "exportItems",
            "/events/{id}",
            "/attachments",
        ] {
            sum += self.requests(part)?;
        }
        Ok(sum)
    }

    /// The newest snapshot, which must be a complete one.
    pub fn latest(&self) -> Result<Snapshot> {
        let snapshot = self.repo.snapshots()?.pop().context("no snapshot")?;
        ensure!(snapshot.manifest.complete, "only a checkpoint");
        Ok(snapshot)
    }

    /// Path to bytes and record of every file of the newest snapshot.
    pub fn files(&self) -> Result<BTreeMap<String, (Vec<u8>, Value)>> {
        let nodes = Nodes::new(&self.repo);
        let mut files = BTreeMap::new();
        for found in view::walk(&nodes, self.latest()?.manifest.tree) {
            let (path, entry) = found?;
            if let EntryKind::File { content, size } = entry.kind {
                let bytes = read_all(&self.repo, content, 1 << 30)?.to_vec();
                ensure!(bytes.len() as u64 == size, "{path}");
                let record = entry.record.context("no record")?;
                let record = self.repo.get(Kind::Record, &record)?;
                files.insert(path, (bytes, serde_json::from_slice(&record)?));
            }
        }
        Ok(files)
    }

    /// Ids of all files in it, but for those of settings, which have none.
    pub fn captured(&self) -> Result<BTreeSet<String>> {
        let files = self.files()?.into_iter();
        Ok(files
            .filter(|(path, _)| path.split('/').nth(1) != Some("Settings"))
            .filter_map(|(_, (_, record))| Some(record["id"].as_str()?.to_owned()))
            .collect())
    }
}

fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Ids of everything there is in the folders of the mount named (`Mail`, `Archive`, ...), as another
/// application sees it.
pub fn live(graph: &Graph, url: &str, folders: &[&str]) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for user in graph.list("/users?$top=999")? {
        let upn = user["userPrincipalName"].as_str().context("no name")?;
        let found = records(graph, url, upn, folders)?;
        ids.extend(found.iter().map(|(_, record)| id(record)));
    }
    Ok(ids)
}

/// The same of one account, as records, each with its address.
pub fn records(
    graph: &Graph,
    url: &str,
    upn: &str,
    folders: &[&str],
) -> Result<Vec<(String, Value)>> {
    let has = |name: &str| folders.contains(&name);
    let mut all = Vec::new();
    let of = format!("/users/{upn}");
    let mut add = |items: Vec<Value>, below: &str| {
        let addressed = |item: Value| (format!("{below}/{}", id(&item)), item);
        all.extend(items.into_iter().map(addressed));
    };
    if has("OneDrive") && graph.get(&format!("{of}/drive")).is_ok() {
        let mut items = graph.list(&format!("{of}/drive/root/delta"))?;
        items.retain(|item| item.get("folder").is_none());
        add(items, &format!("{of}/drive/items"));
    }
    if graph.get(&format!("{of}/mailFolders/inbox")).is_err() {
        return Ok(all);
    }
    if has("Mail") {
        let messages = format!("{of}/messages");
        add(
            graph.list(&format!("{messages}?$select=id&$top=500"))?,
            &messages,
        );
    }
    if has("Calendar") {
        for calendar in graph.list(&format!("{of}/calendars?$top=100"))? {
            if calendar["owner"]["address"] == upn {
                let events = format!("{of}/calendars/{}/events", id(&calendar));
                add(graph.list(&format!("{events}?$top=500"))?, &events);
            }
        }
    }
    if has("Contacts") {
        let mut folders = vec![graph.get(&format!("{of}/contactFolders/contacts"))?];
        while let Some(folder) = folders.pop() {
            let folder = format!("{of}/contactFolders/{}", id(&folder));
            let contacts = format!("{folder}/contacts");
            add(graph.list(&format!("{contacts}?$top=500"))?, &contacts);
            folders.extend(graph.list(&format!("{folder}/childFolders"))?);
        }
    }
    if has("Tasks") {
        for list in graph.list(&format!("{of}/todo/lists"))? {
            if list["wellknownListName"] != "flaggedEmails" {
                let tasks = format!("{of}/todo/lists/{}/tasks", id(&list));
                add(graph.list(&format!("{tasks}?$top=500"))?, &tasks);
            }
        }
    }
    let settings = graph.get(&format!("{url}/beta{of}/settings/exchange"))?;
    if let (true, Some(archive)) = (has("Archive"), settings["inPlaceArchiveMailboxId"].as_str()) {
        let archive = format!("{url}/beta/admin/exchange/mailboxes/{archive}");
        let mut folders = graph.list(&format!("{archive}/folders?$top=100"))?;
        while let Some(folder) = folders.pop() {
            let folder = format!("{archive}/folders/{}", id(&folder));
            let items = format!("{folder}/items");
            add(graph.list(&format!("{items}?$top=500"))?, &items);
            folders.extend(graph.list(&format!("{folder}/childFolders?$top=100"))?);
        }
    }
    Ok(all)
}

/// Id of a record.
pub fn id(record: &Value) -> String {
    record["id"].as_str().unwrap_or_default().to_owned()
}
