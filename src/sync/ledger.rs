//! The state of all accounts while a cycle runs, and the commits that make it a snapshot.
//!
//! Captures put their states in when these are true and written; a commit takes what is there. So
//! whatever a commit sees, each workload's cursors belong to its items.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;

use super::report::Report;
use super::sites::Met;
use super::{Shared, SyncError, totals};
use crate::graph::sites::collection_of;
use crate::repo::{Kind, Snapshot, SnapshotManifest, Totals};
use crate::tree::state::{AccountState, Accounts, WorkloadState, set_accounts};
use crate::tree::{ItemKey, MapRoot, Nodes, names};
use crate::workload::Account;

pub(super) struct Ledger {
    inner: Mutex<Inner>,
}

struct Inner {
    /// By Graph id, as they are now.
    accounts: BTreeMap<String, AccountState>,
    /// Those that changed since the last commit.
    dirty: BTreeSet<String>,
    /// Their folders as of the last commit.
    folders: HashMap<String, String>,
    tree: MapRoot,
    state: MapRoot,
    /// The snapshot that all this goes on from.
    base: Option<Snapshot>,
}

impl Ledger {
    /// Goes on from the newest snapshot, complete or not.
    pub fn open(nodes: &Nodes, base: Option<Snapshot>) -> Result<Ledger, SyncError> {
        let manifest = base.as_ref().map(|base| &base.manifest);
        let (tree, state) = manifest.map_or((None, None), |m| (m.tree, m.state));
        let accounts: BTreeMap<_, _> = Accounts::new(nodes, state)
            .iter()?
            .collect::<Result<_, _>>()?;
        let folders = accounts.iter();
        let folders = folders
            .map(|(id, a)| (id.clone(), a.folder.clone()))
            .collect();
        Ok(Ledger {
            inner: Mutex::new(Inner {
                accounts,
                dirty: BTreeSet::new(),
                folders,
                tree,
                state,
                base,
            }),
        })
    }

    pub fn workload(&self, account: &str, workload: &str) -> Option<WorkloadState> {
        let inner = self.inner.lock();
        inner
            .accounts
            .get(account)?
            .workloads
            .get(workload)
            .cloned()
    }

    pub fn put(&self, account: &Account, workload: &str, state: WorkloadState) {
        let mut inner = self.inner.lock();
        let entry = inner.accounts.entry(account.id.clone()).or_default();
        entry.upn.clone_from(&account.upn);
        entry.display_name.clone_from(&account.display_name);
        entry.departed = None;
        entry.workloads.insert(workload.to_owned(), state);
        inner.dirty.insert(account.id.clone());
    }

    /// Takes in who is there now: renames, departures, returns. `now` is Unix seconds.
    pub fn meet(&self, directory: &BTreeMap<String, Account>, sites: &Met, now: i64) {
        let mut inner = self.inner.lock();
        let mut changed = Vec::new();
        for (id, state) in &mut inner.accounts {
            let before = state.clone();
            match directory.get(id).or_else(|| sites.accounts.get(id)) {
                Some(account) => {
                    state.upn.clone_from(&account.upn);
                    state.display_name.clone_from(&account.display_name);
                    state.departed = None;
                }
                // Nobody asked, or the answer does not tell.
                None if collection_of(&state.upn).is_some() && !sites.is_gone(&state.upn) => {}
                None => {
                    state.departed.get_or_insert(now);
                }
            }
            if *state != before {
                changed.push(id.clone());
            }
        }
        inner.dirty.extend(changed);
    }

    pub fn is_dirty(&self) -> bool {
        !self.inner.lock().dirty.is_empty()
    }

    /// Whether the newest snapshot is only a checkpoint.
    pub fn is_incomplete(&self) -> bool {
        let inner = self.inner.lock();
        inner
            .base
            .as_ref()
            .is_some_and(|base| !base.manifest.complete)
    }

    pub fn is_empty(&self) -> bool {
        self.inner.lock().accounts.is_empty()
    }

    /// All accounts as they are now.
    pub fn accounts(&self) -> BTreeMap<String, AccountState> {
        self.inner.lock().accounts.clone()
    }

    /// Makes a snapshot of what is there. Blocking; captures go on meanwhile.
    pub fn commit(
        &self,
        cx: &Shared,
        complete: bool,
        report: Option<&Report>,
    ) -> Result<Snapshot, SyncError> {
        let work = {
            let mut inner = self.inner.lock();
            assign_folders(cx, &mut inner);
            let dirty = inner.dirty.iter();
            let dirty = dirty.filter_map(|id| {
                let account = inner.accounts.get(id)?.clone();
                Some((id.clone(), inner.folders.get(id).cloned(), account))
            });
            Work {
                accounts: inner.accounts.len() as u64,
                dirty: dirty.collect(),
                tree: inner.tree,
                state: inner.state,
                base: inner.base.clone(),
            }
        };
        let snapshot = work.commit(cx, complete, report)?;
        let mut inner = self.inner.lock();
        for (id, _, account) in work.dirty {
            // It may have changed again.
            if inner.accounts.get(&id) == Some(&account) {
                inner.dirty.remove(&id);
            }
            inner.folders.insert(id, account.folder);
        }
        (inner.tree, inner.state) = (snapshot.manifest.tree, snapshot.manifest.state);
        inner.base = Some(snapshot.clone());
        Ok(snapshot)
    }
}

/// What one commit needs, taken at one moment.
struct Work {
    /// All in the snapshot.
    accounts: u64,
    /// Id, folder as of the last commit, and the account.
    dirty: Vec<(String, Option<String>, AccountState)>,
    tree: MapRoot,
    state: MapRoot,
    base: Option<Snapshot>,
}

impl Work {
    fn commit(
        &self,
        cx: &Shared,
        complete: bool,
        report: Option<&Report>,
    ) -> Result<Snapshot, SyncError> {
        let mut stream = cx.writer.stream();
        let dirty = self.dirty.iter();
        let changes: Vec<_> = dirty
            .map(|(_, old, now)| (old.as_deref(), Some(now)))
            .collect();
        let tree = set_accounts(&cx.nodes, &mut stream, self.tree, &changes)?;
        let dirty = self.dirty.iter();
        let edits = dirty
            .map(|(id, _, now)| (id.clone(), Some(now.clone())))
            .collect();
        let state = Accounts::new(&cx.nodes, self.state)
            .set(&mut stream, &edits)?
            .root();
        let report_id = match report {
            Some(report) => {
                let json = serde_json::to_vec(report).map_err(SyncError::Json)?;
                Some(stream.put(Kind::Record, &json)?)
            }
            None => None,
        };
        let before = self.base.as_ref().map(|base| base.manifest.totals);
        let totals = totals::advance(&cx.nodes, &before.unwrap_or_default(), self.tree, tree)?;
        Ok(cx.writer.commit(SnapshotManifest {
            time: cx.now(),
            host: cx.options.host.clone(),
            complete,
            tree,
            state,
            report: report_id,
            parent: self.base.as_ref().map(|base| base.name.clone()),
            tags: match complete {
                true => cx.tags.clone(),
                false => BTreeSet::new(),
            },
            forgotten: 0,
            totals: Totals {
                accounts: self.accounts,
                failed: report.map_or(0, |report| report.totals.failed),
                added: cx.writer.bytes_written(),
                ..totals
            },
        })?)
    }
}

/// Gives each account its folder: its user principal name, or the path of a site. Where two have the same one, the one
/// that is there has it and departed ones get a suffix, so neither can take the other's place.
fn assign_folders(cx: &Shared, inner: &mut Inner) {
    let mut ids: Vec<String> = inner.accounts.keys().cloned().collect();
    ids.sort_by_key(|id| inner.accounts[id].departed.is_some());
    let mut taken = BTreeSet::new();
    for id in ids {
        let key = ItemKey::of(&cx.repo, &id);
        let Some(account) = inner.accounts.get_mut(&id) else {
            continue;
        };
        let mut folder = folder_of(&account.upn, |name| names::account_name(name, &key));
        if !taken.insert(folder.clone()) {
            folder = folder_of(&account.upn, |name| names::with_suffix(name, &key));
            taken.insert(folder.clone());
        }
        if account.folder != folder {
            account.folder = folder;
            inner.dirty.insert(id);
        }
    }
}

/// The folder of an account whose last component is named by `name`; those above it, of a site, are as
/// they are.
fn folder_of(upn: &str, name: impl Fn(&str) -> String) -> String {
    match (collection_of(upn), upn.rsplit_once('/')) {
        (Some(_), Some((above, last))) => format!("{above}/{}", name(last)),
        _ => name(upn),
    }
}
