//! What several hosts captured into one repository, put together.
//!
//! A complete snapshot holds all accounts, also those that other hosts capture: it goes on from the
//! newest ones (its `parents`) and has its host's accounts on top. Two that were made at the same
//! moment have neither the other's; whoever opens or commits next goes on from both. Who is newer is
//! told workload by workload, by a revision that counts up with each snapshot that changes it. So
//! putting together needs no common ancestor, works in any order, and costs what differs.
//!
//! A checkpoint holds only what its cycle captured so far beyond the snapshots it goes on from. It never
//! goes into another host's snapshot: whoever captures an account next takes up what checkpoints have of
//! it. It is deleted when nothing in it is ahead of a newer snapshot or checkpoint.

use std::collections::HashSet;

use super::SyncError;
use crate::repo::{Repository, Snapshot, Writer};
use crate::tree::state::{AccountState, Accounts};
use crate::tree::{MapRoot, Nodes};

/// What a cycle goes on from.
pub(super) struct Newest {
    /// The complete snapshots that no other goes on from; the newest last.
    pub heads: Vec<Snapshot>,
    pub checkpoints: Vec<Snapshot>,
    /// Unix seconds of the newest of all.
    pub time: Option<i64>,
}

impl Newest {
    /// Finds them, and keeps what they need from being deleted while this writer goes on from them.
    pub fn find(repo: &Repository, writer: &Writer) -> Result<Newest, SyncError> {
        loop {
            let all = repo.snapshots()?;
            let newest = Newest {
                heads: heads(&all),
                time: all.last().map(|snapshot| snapshot.manifest.time),
                checkpoints: all.into_iter().filter(|s| !s.manifest.complete).collect(),
            };
            let needed: Vec<_> = newest.heads.iter().chain(&newest.checkpoints).collect();
            // Once more if somebody deleted one meanwhile.
            if writer.go_on_from(&needed)? {
                return Ok(newest);
            }
        }
    }
}

/// The complete ones among these snapshots (sorted by name) that no other goes on from.
pub(crate) fn heads(snapshots: &[Snapshot]) -> Vec<Snapshot> {
    let complete = || snapshots.iter().filter(|s| s.manifest.complete);
    let names: HashSet<&str> = complete().map(|s| s.name.as_str()).collect();
    let parents = || complete().flat_map(|s| &s.manifest.parents);
    let reached: HashSet<&str> = parents().map(String::as_str).collect();
    // What a forgotten snapshot went on from can't be asked any more; it was all that was older.
    let forgotten = parents()
        .filter(|name| !names.contains(name.as_str()))
        .max();
    let mut heads: Vec<_> = complete()
        .filter(|s| !reached.contains(s.name.as_str()))
        .filter(|s| forgotten.is_none_or(|forgotten| s.name > *forgotten))
        .cloned()
        .collect();
    if heads.is_empty() {
        heads.extend(complete().next_back().cloned());
    }
    heads
}

/// An account of which there are two states: what it is called is taken from the newer one, each
/// workload from the one that has captured more of it.
pub(super) fn merge(older: AccountState, newer: &AccountState) -> AccountState {
    let mut merged = newer.clone();
    for (name, workload) in older.workloads {
        let known = merged.workloads.get(&name);
        if known.is_none_or(|known| known.revision < workload.revision) {
            merged.workloads.insert(name, workload);
        }
    }
    merged
}

/// Whether the first has something captured that the second has not.
pub(super) fn is_ahead(account: &AccountState, of: Option<&AccountState>) -> bool {
    account.workloads.iter().any(|(name, workload)| {
        let known = of.and_then(|of| of.workloads.get(name));
        known.is_none_or(|known| known.revision < workload.revision)
    })
}

/// Whether nothing in a checkpoint is ahead of the accounts in `state`.
pub(super) fn is_obsolete(
    nodes: &Nodes,
    checkpoint: &Snapshot,
    state: MapRoot,
) -> Result<bool, SyncError> {
    let there = Accounts::new(nodes, state);
    for account in Accounts::new(nodes, checkpoint.manifest.state).iter()? {
        let (id, account) = account?;
        if is_ahead(&account, there.get(&id)?.as_ref()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::SnapshotManifest;
    use crate::tree::state::WorkloadState;

    fn snapshot(name: &str, complete: bool, parents: &[&str]) -> Snapshot {
        Snapshot {
            name: name.into(),
            manifest: SnapshotManifest {
                complete,
                parents: parents.iter().map(|&p| p.into()).collect(),
                ..SnapshotManifest::default()
            },
        }
    }

    fn names(snapshots: &[Snapshot]) -> Vec<String> {
        let heads = heads(snapshots);
        heads.into_iter().map(|s| s.name).collect()
    }

    #[test]
    fn heads_are_what_nobody_goes_on_from() {
        assert!(names(&[snapshot("1", false, &[])]).is_empty());
        let mut all = vec![
            snapshot("1", true, &[]),
            snapshot("2", true, &["1"]),
            snapshot("3", true, &["1"]),
            snapshot("4", false, &["3"]),
        ];
        assert_eq!(names(&all), ["2", "3"]);
        all.push(snapshot("5", true, &["2", "3"]));
        assert_eq!(names(&all), ["5"]);
        // 2 and 3 are forgotten; 1 is not taken for a head because of that.
        all.retain(|s| s.name != "2" && s.name != "3");
        assert_eq!(names(&all), ["5"]);
        all.retain(|s| s.name != "5");
        assert_eq!(names(&all), ["1"]);
    }

    #[test]
    fn each_workload_is_taken_from_who_captured_more_of_it() {
        let account = |upn: &str, revisions: &[(&str, u64, i64)]| AccountState {
            upn: upn.into(),
            workloads: revisions
                .iter()
                .map(|&(name, revision, changed)| {
                    let state = WorkloadState {
                        revision,
                        changed,
                        ..WorkloadState::default()
                    };
                    (name.to_owned(), state)
                })
                .collect(),
            ..AccountState::default()
        };
        let older = account("before", &[("mail", 3, 1), ("drive", 1, 1), ("list", 2, 1)]);
        let newer = account("after", &[("mail", 2, 2), ("drive", 1, 2), ("page", 1, 2)]);
        let merged = account(
            "after",
            &[
                ("mail", 3, 1),
                ("drive", 1, 2),
                ("list", 2, 1),
                ("page", 1, 2),
            ],
        );
        assert_eq!(merge(older.clone(), &newer), merged);
        assert!(is_ahead(&older, Some(&newer)) && is_ahead(&newer, Some(&older)));
        assert!(!is_ahead(&older, Some(&merged)) && !is_ahead(&newer, Some(&merged)));
        assert!(is_ahead(&newer, None));
    }
}
