//! Repair, as far as it concerns what was captured: names what is hit, and has it captured again.
//!
//! The repository mends itself first ([`Repository::repair`]). What is lost then is looked for in all
//! snapshots. The newest one is gone on from (or several are, where hosts committed at the same time), so
//! it gets a successor whose state says what the next cycle has to do:
//!
//! - A file whose content is lost is among the items that failed, with the class [`DAMAGED`]: the next
//!   cycle asks for it and fetches it again.
//! - Where names, places, records or cursors are lost, the workload of that account starts over: its
//!   cursors go, and of its files those stay that can still be found. What is stored as the service tells
//!   it is not fetched again.
//! - An account whose state is lost starts over altogether; its folder stays as it was.
//! - A checkpoint of which anything is lost goes: it is no more than a cycle's way to where it was.
//!
//! Content that is the same again has the same id, so older snapshots get it back as well. Repeating all
//! this does no harm: it rests on what is lost, and on nothing else.

use std::collections::{BTreeMap, HashSet};

use serde::de::DeserializeOwned;

use super::merge::{Newest, heads};
use super::report::{ItemLine, Report, rfc3339};
use super::{SyncError, totals};
use crate::repo::{
    Kind, ObjectId, RepairReport, Repository, Snapshot, SnapshotManifest, Stream, Totals, Writer,
    host_name,
};
use crate::tree::damage::{Hit, find_hits};
use crate::tree::mend::{Survey, is_lost, readable};
use crate::tree::state::{
    AccountState, Accounts, FailedItem, JsonMap, WorkloadState, set_accounts,
};
use crate::tree::{Entry, ItemKey, MapRoot, Nodes, TreeError};
use crate::workload::id_in;

/// Class of the failure of an item whose stored content was damaged.
pub const DAMAGED: &str = "damaged";
const REASON: &str = "what was stored of it was damaged; the next cycle fetches it again";

/// What a repair did.
#[derive(Clone, Debug, Default)]
pub struct Repaired {
    /// What became of the repository's files.
    pub repository: RepairReport,
    /// Every path of every snapshot that is hit.
    pub hits: Vec<Hit>,
    /// Hits beyond the number that was asked for.
    pub more_hits: u64,
    /// The snapshot that says what is to be captured again; the last one if there had to be several.
    pub snapshot: Option<String>,
    /// Checkpoints that were deleted.
    pub checkpoints: Vec<String>,
    /// Items of it whose content is fetched again.
    pub items: u64,
    /// Workloads that start over, each as `account/folder`; an account's name alone for all of it.
    pub restarted: Vec<String>,
}

/// Mends the repository, and makes the snapshot from which the next cycle fetches again what is lost.
/// `now` is Unix seconds; at most `max_hits` hits are named. A dry run changes nothing.
///
/// # Errors
/// The repository's. What was done until then is good, and doing it again goes on.
pub fn repair(
    repo: &Repository,
    dry_run: bool,
    now: i64,
    max_hits: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Repaired, SyncError> {
    let mut repaired = Repaired {
        repository: repo.repair(dry_run, progress)?,
        ..Repaired::default()
    };
    let snapshots = repo.snapshots()?;
    let nodes = Nodes::new(repo);
    let lost: HashSet<ObjectId> = repaired.repository.lost.iter().map(|(_, id)| *id).collect();
    find_hits(repo, &nodes, &lost, roots(&snapshots), |hit| {
        if repaired.hits.len() < max_hits {
            repaired.hits.push(hit);
        } else {
            repaired.more_hits += 1;
        }
    });
    if !dry_run {
        let writer = repo.writer()?;
        let newest = Newest::find(repo, &writer)?;
        for checkpoint in newest.checkpoints {
            if is_hit(repo, &nodes, &checkpoint) {
                writer.delete_snapshot(&checkpoint.name)?;
                repaired.checkpoints.push(checkpoint.name);
            }
        }
        for head in &newest.heads {
            Mending::new(repo, &nodes, now).snapshot(head, &writer, &mut repaired)?;
        }
    }
    Ok(repaired)
}

fn is_hit(repo: &Repository, nodes: &Nodes, snapshot: &Snapshot) -> bool {
    let mut hit = false;
    let roots = (
        snapshot.name.as_str(),
        snapshot.manifest.tree,
        snapshot.manifest.state,
    );
    find_hits(repo, nodes, &HashSet::new(), [roots], |_| hit = true);
    hit
}

/// Names and roots for [`find_hits`], the newest first. The state counts only of those that are gone on
/// from: nothing asks for that of others.
pub fn roots(snapshots: &[Snapshot]) -> impl Iterator<Item = (&str, MapRoot, MapRoot)> {
    let heads: HashSet<String> = heads(snapshots).into_iter().map(|s| s.name).collect();
    snapshots.iter().rev().map(move |s| {
        let needed = !s.manifest.complete || heads.contains(&s.name);
        let state = s.manifest.state.filter(|_| needed);
        (s.name.as_str(), s.manifest.tree, state)
    })
}

struct Mending<'a> {
    repo: &'a Repository,
    nodes: &'a Nodes,
    survey: Survey<'a>,
    now: i64,
    report: Report,
    restarted: Vec<String>,
}

impl<'a> Mending<'a> {
    fn new(repo: &'a Repository, nodes: &'a Nodes, now: i64) -> Self {
        Mending {
            repo,
            nodes,
            survey: Survey::new(repo, nodes),
            now,
            report: Report {
                version: 1,
                host: host_name(),
                started: rfc3339(now),
                ..Report::default()
            },
            restarted: Vec::new(),
        }
    }

    /// Makes the successor of a snapshot, if it needs one.
    fn snapshot(
        mut self,
        newest: &Snapshot,
        writer: &Writer,
        repaired: &mut Repaired,
    ) -> Result<(), SyncError> {
        let mut stream = writer.stream();
        let before = &newest.manifest;
        let (accounts, whole) = self.table::<AccountState>(before.state)?;
        let mut changed: BTreeMap<String, Option<AccountState>> = BTreeMap::new();
        for (id, account) in &accounts {
            if let Some(mended) = self.account(account, &mut stream)? {
                changed.insert(id.clone(), Some(mended));
            }
        }
        let now = |id: &String| changed.get(id).and_then(Option::as_ref);
        let all: Vec<&AccountState> = accounts
            .iter()
            .map(|(id, account)| now(id).unwrap_or(account))
            .collect();
        let edits = changed.iter().filter_map(|(id, account)| {
            let folder = accounts.get(id).map(|before| before.folder.as_str());
            Some((folder, Some(account.as_ref()?)))
        });
        let edits: Vec<_> = edits.collect();
        let (tree, totals) = self.tree(before.tree, &edits, &all, &mut stream)?;
        let state = match whole {
            true => Accounts::new(self.nodes, before.state).set(&mut stream, &changed)?,
            false => {
                self.restarted.push("accounts whose state is lost".into());
                let left = accounts.clone().into_iter();
                let mut left: BTreeMap<_, _> = left.map(|(id, a)| (id, Some(a))).collect();
                left.extend(changed.clone());
                Accounts::new(self.nodes, None).set(&mut stream, &left)?
            }
        };
        if (tree, state.root()) == (before.tree, before.state) {
            return Ok(());
        }
        self.report.complete = before.complete;
        self.report.finished = self.report.started.clone();
        let report = serde_json::to_vec(&self.report).map_err(SyncError::Json)?;
        let made = writer.commit(SnapshotManifest {
            time: self.now.max(before.time.saturating_add(1)),
            host: host_name(),
            complete: before.complete,
            tree,
            state: state.root(),
            report: Some(stream.put(Kind::Record, &report)?),
            parents: vec![newest.name.clone()],
            totals: Totals {
                accounts: all.len() as u64,
                failed: self.report.totals.failed,
                ..totals
            },
            ..SnapshotManifest::default()
        })?;
        repaired.snapshot = Some(made.name);
        repaired.items += self.report.totals.failed;
        repaired.restarted.extend(self.restarted);
        Ok(())
    }

    /// The snapshot's directory and what it holds: the old one with what changed, or if that cannot be
    /// read, one made of all accounts that are left.
    fn tree(
        &self,
        before: MapRoot,
        changed: &[(Option<&str>, Option<&AccountState>)],
        all: &[&AccountState],
        stream: &mut Stream,
    ) -> Result<(MapRoot, Totals), SyncError> {
        let counted = |tree| Ok((tree, totals::count(self.nodes, tree)?));
        match set_accounts(self.nodes, stream, before, changed).and_then(counted) {
            Err(e) if is_lost(&e) => {
                let all: Vec<_> = all.iter().map(|account| (None, Some(*account))).collect();
                let made = set_accounts(self.nodes, stream, None, &all).and_then(counted);
                Ok(made?)
            }
            made => Ok(made?),
        }
    }

    /// An account whose workloads are mended; `None` when nothing of it is hit.
    fn account(
        &mut self,
        account: &AccountState,
        stream: &mut Stream,
    ) -> Result<Option<AccountState>, SyncError> {
        let mut mended = account.clone();
        for (name, workload) in &account.workloads {
            if let Some(state) = self.workload(account, name, workload, stream)? {
                mended.workloads.insert(name.clone(), state);
            }
        }
        Ok((mended != *account).then_some(mended))
    }

    fn workload(
        &mut self,
        account: &AccountState,
        name: &str,
        before: &WorkloadState,
        stream: &mut Stream,
    ) -> Result<Option<WorkloadState>, SyncError> {
        let mut lost: Vec<(String, Entry)> = Vec::new();
        let sound = self
            .survey
            .collection(&before.collection, &mut |path, entry| {
                lost.push((path.to_owned(), *entry));
            })?;
        let (mut failed, failed_is_whole) = self.table::<FailedItem>(before.failed)?;
        let (waiting, waiting_is_whole) = self.table::<bool>(before.waiting)?;
        let cursors_are_whole = readable(self.nodes, before.cursors, &mut |_, _| Ok(()))?;
        let starts_over = !(sound && failed_is_whole && waiting_is_whole && cursors_are_whole);
        for (path, entry) in lost {
            self.fail(account, name, path, &entry, &mut failed)?;
        }
        let mut state = before.clone();
        if starts_over {
            self.restarted
                .push(format!("{}/{}", account.upn, before.folder));
            let id_of = |record: &[u8]| {
                let record: serde_json::Value = serde_json::from_slice(record).ok()?;
                Some(ItemKey::of(self.repo, id_in(&record)?))
            };
            state.collection = self.survey.rebuild(&before.collection, &id_of, stream)?;
            state.cursors = None;
            state.waiting = self.write(waiting, stream)?;
            if state.collection.dir != before.collection.dir {
                state.changed = self.now;
            }
        }
        state.failed = self.write(failed, stream)?;
        if state == *before {
            return Ok(None);
        }
        state.revision = before.revision.saturating_add(1);
        Ok(Some(state))
    }

    /// Puts a file among those that the next cycle fetches again.
    fn fail(
        &mut self,
        account: &AccountState,
        workload: &str,
        path: String,
        entry: &Entry,
        failed: &mut BTreeMap<String, FailedItem>,
    ) -> Result<(), SyncError> {
        let Some(record) = &entry.record else {
            return Ok(());
        };
        let record = self.repo.get(Kind::Record, record)?;
        let record: serde_json::Value = serde_json::from_slice(&record).map_err(SyncError::Json)?;
        let Some(id) = id_in(&record) else {
            return Ok(());
        };
        self.report.totals.failed += 1;
        self.report.add_failed(ItemLine {
            account: account.upn.clone(),
            workload: workload.to_owned(),
            path: path.clone(),
            id: id.to_owned(),
            reason: REASON.to_owned(),
            class: None,
            since: Some(rfc3339(self.now)),
            older_version: false,
        });
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        // The time of the last try is the beginning of time: the next cycle does not wait.
        failed.entry(id.to_owned()).or_insert(FailedItem {
            reason: REASON.to_owned(),
            class: DAMAGED.to_owned(),
            name,
            ..FailedItem::default()
        });
        Ok(())
    }

    /// What can be read of a map of JSON values, and whether that is all.
    fn table<T: DeserializeOwned>(
        &self,
        root: MapRoot,
    ) -> Result<(BTreeMap<String, T>, bool), TreeError> {
        let mut table = BTreeMap::new();
        let mut sound = true;
        let whole = readable(self.nodes, root, &mut |key, value| {
            let key = String::from_utf8(key.to_vec()).ok();
            match (key, serde_json::from_slice(value).ok()) {
                (Some(key), Some(value)) => drop(table.insert(key, value)),
                _ => sound = false,
            }
            Ok(())
        })?;
        Ok((table, whole && sound))
    }

    /// Writes a map; the same entries give the same root.
    fn write<T: serde::Serialize + DeserializeOwned>(
        &self,
        table: BTreeMap<String, T>,
        stream: &mut Stream,
    ) -> Result<MapRoot, TreeError> {
        let edits = table
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        Ok(JsonMap::new(self.nodes, None).set(stream, &edits)?.root())
    }
}
