//! The state of all accounts while a cycle runs, and the commits that make it a snapshot.
//!
//! Captures put their states in when these are true and written; a commit takes what is there. So
//! whatever a commit sees, each workload's cursors belong to its items.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;

use super::report::Report;
use super::{Shared, SyncError};
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
    pub fn meet(&self, directory: &BTreeMap<String, Account>, now: i64) {
        let mut inner = self.inner.lock();
        let mut changed = Vec::new();
        for (id, state) in &mut inner.accounts {
            let before = state.clone();
            match directory.get(id) {
                Some(account) => {
                    state.upn.clone_from(&account.upn);
                    state.display_name.clone_from(&account.display_name);
                    state.departed = None;
                }
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

    /// Makes a snapshot of what is there. Blocking.
    pub fn commit(
        &self,
        cx: &Shared,
        complete: bool,
        report: Option<&Report>,
    ) -> Result<Snapshot, SyncError> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        assign_folders(cx, inner);
        let mut stream = cx.writer.stream();
        let changes: Vec<_> = inner
            .dirty
            .iter()
            .map(|id| {
                (
                    inner.folders.get(id).map(String::as_str),
                    inner.accounts.get(id),
                )
            })
            .collect();
        let tree = set_accounts(&cx.nodes, &mut stream, inner.tree, &changes)?;
        let edits = inner.dirty.iter();
        let edits = edits
            .map(|id| (id.clone(), inner.accounts.get(id).cloned()))
            .collect();
        let state = Accounts::new(&cx.nodes, inner.state)
            .set(&mut stream, &edits)?
            .root();
        let report_id = match report {
            Some(report) => {
                let json = serde_json::to_vec(report).map_err(SyncError::Json)?;
                Some(stream.put(Kind::Record, &json)?)
            }
            None => None,
        };
        let snapshot = cx.writer.commit(SnapshotManifest {
            time: cx.now(),
            host: cx.options.host.clone(),
            complete,
            tree,
            state,
            report: report_id,
            parent: inner.base.as_ref().map(|base| base.name.clone()),
            totals: Totals {
                accounts: inner.accounts.len() as u64,
                failed: report.map_or(0, |report| report.totals.failed),
                added: cx.writer.bytes_written(),
                ..count(cx, inner)?
            },
        })?;
        for id in std::mem::take(&mut inner.dirty) {
            if let Some(account) = inner.accounts.get(&id) {
                inner.folders.insert(id, account.folder.clone());
            }
        }
        (inner.tree, inner.state) = (tree, state);
        inner.base = Some(snapshot.clone());
        Ok(snapshot)
    }
}

/// Counts of items, as far as they cost nothing: the folders of a mailbox are among them.
fn count(cx: &Shared, inner: &Inner) -> Result<Totals, SyncError> {
    let mut totals = Totals::default();
    for workload in inner.accounts.values().flat_map(|a| a.workloads.values()) {
        let ids = crate::tree::Map::new(
            &cx.nodes,
            workload.collection.ids,
            crate::tree::Shape::Hashed,
        );
        totals.files += ids.len()?;
    }
    Ok(totals)
}

/// Gives each account its folder: its user principal name. Where two have the same one, the one
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
        let mut folder = names::account_name(&account.upn, &key);
        if !taken.insert(folder.clone()) {
            folder = names::with_suffix(&account.upn, &key);
            taken.insert(folder.clone());
        }
        if account.folder != folder {
            account.folder = folder;
            inner.dirty.insert(id);
        }
    }
}
