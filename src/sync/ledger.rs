//! The state of all accounts while a cycle runs, and the commits that make it a snapshot.
//!
//! Captures put their states in when these are true and written; a commit takes what is there. So
//! whatever a commit sees, each workload's cursors belong to its items. Other hosts may commit
//! meanwhile: see [`merge`].

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::merge::{self, Newest};
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

#[derive(Default)]
struct Inner {
    /// By Graph id, as they are now.
    accounts: BTreeMap<String, AccountState>,
    /// Those that changed since the last commit, checkpoints among them.
    dirty: BTreeSet<String>,
    /// Those in which this is ahead of the newest complete snapshot.
    progress: BTreeSet<String>,
    /// Account and name of the workloads that changed since the last complete snapshot.
    revised: BTreeSet<(String, String)>,
    /// State of the newest complete snapshot that all this goes on from.
    state: MapRoot,
    /// Names of all that it goes on from.
    parents: Vec<String>,
}

impl Ledger {
    /// Goes on from the newest complete snapshots.
    pub fn open(nodes: &Nodes, newest: &Newest) -> Result<Ledger, SyncError> {
        let mut inner = Inner::default();
        inner.take_in(nodes, &newest.heads)?;
        Ok(Ledger {
            inner: Mutex::new(inner),
        })
    }

    /// Takes up what checkpoints have of the accounts that are captured now.
    pub fn resume(
        &self,
        nodes: &Nodes,
        checkpoints: &[Snapshot],
        captured: &BTreeSet<String>,
    ) -> Result<(), SyncError> {
        let mut inner = self.inner.lock();
        // The newest first: of two with the same revision it is ahead.
        for checkpoint in checkpoints.iter().rev() {
            for account in Accounts::new(nodes, checkpoint.manifest.state).iter()? {
                let (id, theirs) = account?;
                let own = inner.accounts.get(&id);
                if captured.contains(&id) && merge::is_ahead(&theirs, own) {
                    let merged = match own {
                        Some(own) => merge::merge(theirs, own),
                        None => theirs,
                    };
                    inner.accounts.insert(id.clone(), merged);
                    inner.progress.insert(id);
                }
            }
        }
        Ok(())
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

    pub fn put(&self, account: &Account, workload: &str, mut state: WorkloadState) {
        let mut inner = self.inner.lock();
        let first = (account.id.clone(), workload.to_owned());
        let first = inner.revised.insert(first);
        let entry = inner.accounts.entry(account.id.clone()).or_default();
        entry.upn.clone_from(&account.upn);
        entry.display_name.clone_from(&account.display_name);
        entry.departed = None;
        let before = entry.workloads.get(workload).map_or(0, |w| w.revision);
        state.revision = before.saturating_add(u64::from(first));
        entry.workloads.insert(workload.to_owned(), state);
        inner.touch(account.id.clone());
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
        for id in changed {
            inner.touch(id);
        }
    }

    /// Whether there is something that neither a snapshot nor a checkpoint has.
    pub fn is_dirty(&self) -> bool {
        !self.inner.lock().dirty.is_empty()
    }

    /// Whether there is something that no complete snapshot has.
    pub fn is_ahead(&self) -> bool {
        !self.inner.lock().progress.is_empty()
    }

    /// All accounts as they are now.
    pub fn accounts(&self) -> BTreeMap<String, AccountState> {
        self.inner.lock().accounts.clone()
    }

    /// Makes a complete snapshot of what is there and what others committed meanwhile; `None` when the
    /// newest one has it all, unless there must be one all the same. For the end of a cycle, when nothing changes any more. Blocking.
    pub fn commit(
        &self,
        cx: &Shared,
        report: &Report,
        always: bool,
    ) -> Result<Option<Snapshot>, SyncError> {
        let newest = Newest::find(&cx.repo, &cx.writer)?;
        let mut inner = self.inner.lock();
        inner.take_in(&cx.nodes, &newest.heads)?;
        inner.assign_folders(cx);
        let there = Accounts::new(&cx.nodes, inner.state);
        let mut edits = BTreeMap::new();
        let mut changes = Vec::new();
        for id in &inner.progress {
            let before = there.get(id)?;
            if let Some(account) = inner.accounts.get(id)
                && before.as_ref() != Some(account)
            {
                edits.insert(id.clone(), Some(account.clone()));
                changes.push((before.map(|before| before.folder), account));
            }
        }
        let snapshot = match edits.is_empty() && !always {
            true => None,
            false => {
                let mut stream = cx.writer.stream();
                let manifest = newest.heads.last().map(|head| &head.manifest);
                let old = manifest.and_then(|manifest| manifest.tree);
                let before = manifest.map(|m| m.totals).unwrap_or_default();
                let changes: Vec<_> = changes
                    .iter()
                    .map(|(old, now)| (old.as_deref(), Some(*now)))
                    .collect();
                let tree = set_accounts(&cx.nodes, &mut stream, old, &changes)?;
                let state = there.set(&mut stream, &edits)?.root();
                let json = serde_json::to_vec(report).map_err(SyncError::Json)?;
                Some(cx.writer.commit(SnapshotManifest {
                    time: time_after(cx, &newest),
                    host: cx.options.host.clone(),
                    complete: true,
                    tree,
                    state,
                    report: Some(stream.put(Kind::Record, &json)?),
                    parents: inner.parents.clone(),
                    tags: cx.tags.clone(),
                    forgotten: 0,
                    totals: Totals {
                        accounts: inner.accounts.len() as u64,
                        failed: report.totals.failed,
                        ..totals::advance(&cx.nodes, &before, old, tree)?
                    },
                    ..SnapshotManifest::default()
                })?)
            }
        };
        inner.dirty.clear();
        inner.progress.clear();
        inner.revised.clear();
        if let Some(snapshot) = &snapshot {
            inner.state = snapshot.manifest.state;
            inner.parents = vec![snapshot.name.clone()];
        }
        Ok(snapshot)
    }

    /// Saves what this cycle captured so far. Blocking; captures go on meanwhile.
    pub fn checkpoint(&self, cx: &Shared) -> Result<Snapshot, SyncError> {
        let newest = Newest::find(&cx.repo, &cx.writer)?;
        let (accounts, state, parents) = {
            let mut inner = self.inner.lock();
            inner.assign_folders(cx);
            let progress = inner.progress.iter();
            let accounts: BTreeMap<_, _> = progress
                .filter_map(|id| Some((id.clone(), inner.accounts.get(id)?.clone())))
                .collect();
            (accounts, inner.state, inner.parents.clone())
        };
        let there = Accounts::new(&cx.nodes, state);
        let before: Vec<AccountState> = accounts
            .keys()
            .filter_map(|id| there.get(id).transpose())
            .collect::<Result<_, _>>()?;
        let mut stream = cx.writer.stream();
        let mut tree_of = |accounts: &mut dyn Iterator<Item = &AccountState>| {
            let changes: Vec<_> = accounts.map(|account| (None, Some(account))).collect();
            set_accounts(&cx.nodes, &mut stream, None, &changes)
        };
        let old = tree_of(&mut before.iter())?;
        let tree = tree_of(&mut accounts.values())?;
        let edits = accounts.iter();
        let edits = edits.map(|(id, account)| (id.clone(), Some(account.clone())));
        let state = Accounts::new(&cx.nodes, None)
            .set(&mut stream, &edits.collect())?
            .root();
        let snapshot = cx.writer.commit(SnapshotManifest {
            time: time_after(cx, &newest),
            host: cx.options.host.clone(),
            complete: false,
            tree,
            state,
            report: None,
            parents,
            tags: BTreeSet::new(),
            forgotten: 0,
            totals: Totals {
                accounts: accounts.len() as u64,
                failed: 0,
                // What came to the accounts in it since the snapshot before.
                ..totals::advance(&cx.nodes, &Totals::default(), old, tree)?
            },
            ..SnapshotManifest::default()
        })?;
        let mut inner = self.inner.lock();
        for (id, account) in accounts {
            // It may have changed again.
            if inner.accounts.get(&id) == Some(&account) {
                inner.dirty.remove(&id);
            }
        }
        Ok(snapshot)
    }

    /// State of the newest complete snapshot.
    pub fn state(&self) -> MapRoot {
        self.inner.lock().state
    }
}

/// Later than all that is there, also where the clock of another host is ahead of this one's.
fn time_after(cx: &Shared, newest: &Newest) -> i64 {
    let after = newest.time.map_or(i64::MIN, |time| time.saturating_add(1));
    cx.now().max(after)
}

impl Inner {
    fn touch(&mut self, id: String) {
        self.progress.insert(id.clone());
        self.dirty.insert(id);
    }

    /// Takes in what these snapshots have that is newer than what is here. The last of them is what a
    /// commit goes on from; what others have beyond it is due in that commit.
    fn take_in(&mut self, nodes: &Nodes, heads: &[Snapshot]) -> Result<(), SyncError> {
        let known = Accounts::new(nodes, self.state);
        for head in heads {
            for difference in known.diff(&Accounts::new(nodes, head.manifest.state))? {
                if let (id, _, Some(theirs)) = difference? {
                    self.absorb(id, theirs);
                }
            }
        }
        let Some((newest, others)) = heads.split_last() else {
            return Ok(());
        };
        let last = Accounts::new(nodes, newest.manifest.state);
        for other in others {
            for difference in last.diff(&Accounts::new(nodes, other.manifest.state))? {
                let (id, in_newest, _) = difference?;
                if self.accounts.get(&id) != in_newest.as_ref() {
                    self.progress.insert(id);
                }
            }
        }
        self.state = newest.manifest.state;
        self.parents = heads.iter().map(|head| head.name.clone()).collect();
        Ok(())
    }

    fn absorb(&mut self, id: String, theirs: AccountState) {
        let merged = match self.accounts.remove(&id) {
            Some(own) if self.progress.contains(&id) => merge::merge(theirs, &own),
            Some(own) => merge::merge(own, &theirs),
            None => theirs,
        };
        self.accounts.insert(id, merged);
    }

    /// Gives each account its folder: its user principal name, or the path of a site. Where two have the
    /// same one, the one that is there has it and departed ones get a suffix, so neither can take the
    /// other's place.
    fn assign_folders(&mut self, cx: &Shared) {
        let mut ids: Vec<String> = self.accounts.keys().cloned().collect();
        ids.sort_by_key(|id| self.accounts[id].departed.is_some());
        let mut taken = BTreeSet::new();
        for id in ids {
            let key = ItemKey::of(&cx.repo, &id);
            let Some(account) = self.accounts.get_mut(&id) else {
                continue;
            };
            let mut folder = folder_of(&account.upn, |name| names::account_name(name, &key));
            if !taken.insert(folder.clone()) {
                folder = folder_of(&account.upn, |name| names::with_suffix(name, &key));
                taken.insert(folder.clone());
            }
            if account.folder != folder {
                account.folder = folder;
                self.touch(id);
            }
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
