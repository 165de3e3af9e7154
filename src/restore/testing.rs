//! A tenant in memory whose pushes can be stopped at any step: for the tests of restore.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;
use crate::graph::{ErrorClass, GraphError};
use crate::local::LocalState;
use crate::workload::{
    Account, Alive, Content, Described, EntryKind, FeedError, FeedId, ItemError, ItemKey, Journal,
    Page, Presence, Push, PushError, Source, Workload,
};

/// The steps of a push, in order. Each can be made to fail or to be the last thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing was sent.
    Begin,
    /// The item is there, half made; its id is not saved.
    Made,
    /// Its id is saved.
    Saved,
    /// All of it is there; the answer is on its way.
    Complete,
}

pub const STEPS: [Step; 4] = [Step::Begin, Step::Made, Step::Saved, Step::Complete];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens any more: the process is about to be killed.
    Hang,
    /// The request fails so.
    Fail(ErrorClass),
    /// The workload has a bug.
    Panic,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FakeItem {
    pub id: Uuid,
    pub marker: Option<Uuid>,
    pub complete: bool,
    pub is_dir: bool,
    pub bytes: Vec<u8>,
    pub record: Option<Value>,
    pub mtime: i64,
}

/// One folder tree for each account; a folder may hold several items of one name (as a mailbox does).
#[derive(Default)]
pub struct Tenant {
    pub items: Mutex<HashMap<String, BTreeMap<Vec<String>, Vec<FakeItem>>>>,
    pub faults: Mutex<HashMap<String, (Step, Fault, u32)>>,
    pub hung: Notify,
    pub calls: Mutex<HashMap<&'static str, usize>>,
}

impl Tenant {
    pub fn at(&self, account: &str, path: &[&str]) -> Vec<FakeItem> {
        let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
        self.items
            .lock()
            .get(account)
            .and_then(|t| t.get(&path))
            .cloned()
            .unwrap_or_default()
    }

    pub fn put(&self, account: &str, path: &[&str], is_dir: bool, bytes: &[u8]) {
        let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
        let item = FakeItem {
            id: Uuid::new_v4(),
            marker: None,
            complete: true,
            is_dir,
            bytes: bytes.to_vec(),
            record: None,
            mtime: 0,
        };
        self.items
            .lock()
            .entry(account.to_owned())
            .or_default()
            .entry(path)
            .or_default()
            .push(item);
    }

    /// A push whose name is `name` meets `fault` at `step`, `times` times.
    pub fn fault(&self, name: &str, step: Step, fault: Fault, times: u32) {
        self.faults
            .lock()
            .insert(name.to_owned(), (step, fault, times));
    }

    pub fn calls(&self, what: &'static str) -> usize {
        self.calls.lock().get(what).copied().unwrap_or_default()
    }

    fn called(&self, what: &'static str) {
        *self.calls.lock().entry(what).or_default() += 1;
    }

    async fn step(&self, name: &str, step: Step) -> Result<(), GraphError> {
        let fault = {
            let mut faults = self.faults.lock();
            match faults.get_mut(name) {
                Some((at, fault, times)) if *at == step && *times > 0 => {
                    *times -= 1;
                    Some(*fault)
                }
                _ => None,
            }
        };
        match fault {
            None => Ok(()),
            Some(Fault::Fail(class)) => Err(GraphError::local(class, "POST /fake", "said no")),
            Some(Fault::Panic) => panic!("a bug at {step:?}"),
            Some(Fault::Hang) => {
                self.hung.notify_one();
                std::future::pending().await
            }
        }
    }

    fn entry(item: &FakeItem, path: &[String]) -> LiveEntry {
        LiveEntry {
            id: item.id.to_string(),
            name: path.last().cloned().unwrap_or_default(),
            is_dir: item.is_dir,
            size: item.bytes.len() as u64,
            mtime: item.mtime,
            record: Value::Null,
        }
    }
}

/// A workload over a [`Tenant`].
pub struct FakeWorkload {
    pub tenant: Arc<Tenant>,
    pub name: &'static str,
    pub folder: &'static str,
}

impl FakeWorkload {
    fn full(push: &Push) -> Vec<String> {
        push.folder.iter().chain([&push.name]).cloned().collect()
    }
}

#[async_trait]
impl Workload for FakeWorkload {
    fn name(&self) -> &'static str {
        self.name
    }
    fn folder(&self) -> &'static str {
        self.folder
    }
    async fn probe(&self, _: &Account) -> Result<Presence, GraphError> {
        Ok(Presence::Present)
    }
    fn root_feed(&self) -> FeedId {
        FeedId("root".to_owned())
    }
    async fn page(&self, _: &Account, _: &FeedId, _: Option<&str>) -> Result<Page, FeedError> {
        Err(FeedError::Gone)
    }
    fn describe(&self, _: EntryKind, _: &ItemKey, _: &Value) -> Described {
        Described {
            name: String::new(),
            mtime: 0,
        }
    }
    fn needs_content(&self, _: &Value, _: &Value) -> bool {
        false
    }
    async fn fetch(&self, _: &Account, _: &mut Value) -> Result<Content, ItemError> {
        Ok(Content::None)
    }
    async fn verify_removed(&self, _: &Account, _: &[String]) -> Result<Vec<Alive>, GraphError> {
        Ok(Vec::new())
    }

    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        self.tenant.called("list");
        let items = self.tenant.items.lock();
        let tree = items.get(&account.id);
        let found = tree.and_then(|t| t.get(path));
        if !path.is_empty() && !found.is_some_and(|items| items.iter().any(|i| i.is_dir)) {
            return Err(GraphError::local(
                ErrorClass::NotFound,
                "GET /fake",
                "no such folder",
            ));
        }
        let below = tree
            .into_iter()
            .flatten()
            .filter(|(at, _)| at.len() == path.len() + 1 && at.starts_with(path));
        Ok(below
            .flat_map(|(at, items)| items.iter().map(|i| Tenant::entry(i, at)))
            .collect())
    }

    async fn make_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        self.tenant.called("make_folder");
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        if let Some(there) = self.tenant.at(&account.id, &parts).first() {
            return Ok(Tenant::entry(there, path));
        }
        self.tenant.put(&account.id, &parts, true, b"");
        Ok(Tenant::entry(&self.tenant.at(&account.id, &parts)[0], path))
    }

    async fn push(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        self.tenant.called("push");
        let path = Self::full(push);
        let bytes = std::fs::read(&push.file)?;
        self.tenant.step(&push.name, Step::Begin).await?;
        let mut replaced = None;
        let id = {
            let mut items = self.tenant.items.lock();
            let tree = items.entry(account.id.clone()).or_default();
            if !push.folder.is_empty() && !tree.contains_key(&push.folder) {
                return Err(PushError::NoFolder {
                    path: push.folder.join("/"),
                });
            }
            let there = tree.entry(path.clone()).or_default();
            if let Some(half) = there
                .iter()
                .find(|i| journal.repeated() && i.marker == Some(push.id))
            {
                half.id
            } else {
                if !there.is_empty() {
                    match push.policy {
                        Conflict::Skip => {
                            return Err(PushError::Exists {
                                name: push.name.clone(),
                            });
                        }
                        Conflict::Overwrite => {
                            replaced = there.pop().map(|i| i.id.to_string());
                        }
                        Conflict::KeepBoth => {}
                    }
                }
                let record = match &push.source {
                    Source::Record { record, .. } => Some(record.clone()),
                    Source::File => None,
                };
                let item = FakeItem {
                    id: Uuid::new_v4(),
                    marker: Some(push.id),
                    complete: false,
                    is_dir: false,
                    bytes,
                    record,
                    mtime: push.mtime,
                };
                there.push(item.clone());
                item.id
            }
        };
        self.tenant.step(&push.name, Step::Made).await?;
        journal.save(&id.to_string())?;
        self.tenant.step(&push.name, Step::Saved).await?;
        let entry = {
            let mut items = self.tenant.items.lock();
            let there = items
                .get_mut(&account.id)
                .and_then(|t| t.get_mut(&path))
                .unwrap();
            let item = there.iter_mut().find(|i| i.id == id).unwrap();
            item.complete = true;
            Tenant::entry(item, &path)
        };
        self.tenant.step(&push.name, Step::Complete).await?;
        Ok(Pushed {
            entry,
            replaced,
            notes: Vec::new(),
        })
    }

    /// An item is the same as another by its bytes; some are refused.
    async fn plan(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        self.tenant.called("plan");
        let bytes = std::fs::read(&push.file)?;
        if bytes.starts_with(b"no good") {
            return Err(PushError::Invalid("no good".to_owned()));
        }
        let items = self.tenant.items.lock();
        let here = items.get(&account.id).into_iter().flatten();
        let mut here = here.filter(|(at, _)| at.starts_with(&push.folder));
        let same = here.find_map(|(_, items)| items.iter().find(|i| !i.is_dir && i.bytes == bytes));
        Ok(same.map(|i| i.id.to_string()))
    }

    async fn find_pushed(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        self.tenant.called("find_pushed");
        let path = Self::full(push);
        let items = self.tenant.items.lock();
        let there = items.get(&account.id).and_then(|t| t.get(&path));
        let found = there
            .into_iter()
            .flatten()
            .find(|i| i.marker == Some(push.id) && i.complete);
        Ok(found.map(|i| Pushed {
            entry: Tenant::entry(i, &path),
            replaced: None,
            notes: Vec::new(),
        }))
    }
}

struct FakeDirectory;

#[async_trait]
impl Directory for FakeDirectory {
    async fn accounts(&self) -> Result<Vec<Account>, GraphError> {
        Ok(["Bob@contoso.com", "alice@contoso.com"]
            .map(|upn| Account {
                id: format!(
                    "id-{}",
                    upn.split('@').next().unwrap_or_default().to_lowercase()
                ),
                upn: upn.to_owned(),
                display_name: upn.to_owned(),
                enabled: true,
                ..Account::default()
            })
            .to_vec())
    }

    async fn sites(&self) -> Result<Vec<Account>, GraphError> {
        Ok(Vec::new())
    }

    async fn subsites(&self, _: &Account) -> Result<Vec<Account>, GraphError> {
        Ok(Vec::new())
    }
}

/// Recognises files that begin with `known:` as a mail.
pub struct FakeRecogniser;

impl Recognise for FakeRecogniser {
    fn recognise(&self, file: &Path, _: &str) -> Result<Option<spool::Origin>, RestoreError> {
        let bytes = std::fs::read(file).unwrap();
        Ok(bytes.starts_with(b"known:").then(|| spool::Origin {
            record: "aa".to_owned(),
            key: "0".repeat(32),
            workload: "mail".to_owned(),
            path: "s/alice/Mail/x".to_owned(),
            original: None,
            version: None,
        }))
    }

    fn record(&self, _: &spool::Origin) -> Result<Value, RestoreError> {
        Ok(serde_json::json!({"isRead": true}))
    }
}

/// A service over `tenant` with its folder at `local`.
pub fn service(tenant: &Arc<Tenant>, local: &Path, runtime: &tokio::runtime::Runtime) -> Service {
    service_with(tenant, local, runtime, Arc::new(FakeRecogniser))
}

pub fn service_with(
    tenant: &Arc<Tenant>,
    local: &Path,
    runtime: &tokio::runtime::Runtime,
    recogniser: Arc<dyn Recognise>,
) -> Service {
    Service::start(ServiceConfig {
        recogniser: Some(recogniser),
        ..config(tenant, local, runtime)
    })
    .unwrap()
}

/// As the daemon has it: with the folder of commands that may have been killed.
pub fn service_in(
    tenant: &Arc<Tenant>,
    local: &Path,
    adopt: Option<std::path::PathBuf>,
    runtime: &tokio::runtime::Runtime,
) -> Service {
    Service::start(ServiceConfig {
        adopt,
        ..config(tenant, local, runtime)
    })
    .unwrap()
}

fn config(tenant: &Arc<Tenant>, local: &Path, runtime: &tokio::runtime::Runtime) -> ServiceConfig {
    let fake = |name, folder| -> Arc<dyn Workload> {
        Arc::new(FakeWorkload {
            tenant: Arc::clone(tenant),
            name,
            folder,
        })
    };
    ServiceConfig {
        workloads: vec![fake("mail", "Mail"), fake("drive", "OneDrive")],
        directory: Arc::new(FakeDirectory),
        read_only: None,
        recogniser: Some(Arc::new(FakeRecogniser)),
        local: local.to_owned(),
        adopt: None,
        state: LocalState::open(&local.join("state")).unwrap(),
        runtime: runtime.handle().clone(),
        conflict: Conflict::Skip,
        per_mailbox: 4,
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// What a process that is killed now leaves on the disk.
pub fn killed(local: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                // A file may be renamed while we look.
                let _ = std::fs::copy(entry.path(), to);
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(local, dir.path());
    dir
}
