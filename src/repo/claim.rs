//! Claims: who captures which account at this moment, in sealed files `claims/<32 hex>`.
//!
//! Two that capture one account at once would both be right and do all work twice. So whoever
//! captures says first which accounts it wants, then reads what all others say, and then holds those that
//! nobody else has. Of two that want the same at the same moment the one with the smaller id gets it:
//! the other sees it and refuses; and it waits until the other has decided, who may not have seen it.
//! A claim goes with its owner; see [`beacon`](super::beacon).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::beacon::{self, Beacon, Folder};
use super::error::Result;
use super::seal::{FileType, RepoId};
use super::{Inner, Repository, lock};

/// Where the files of claims are.
pub(crate) const FOLDER: Folder = Folder {
    name: "claims",
    kind: FileType::Claim,
};

/// How long to wait before others' claims on a directory are read again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a claim of this very process is waited for: a capture that was cancelled lets go of it when the
/// last of its tasks has ended.
const OWN_PATIENCE: Duration = Duration::from_secs(20);

/// What a claim's file says: ids of accounts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Content {
    wanted: BTreeSet<String>,
    held: BTreeSet<String>,
}

/// Accounts that this process alone captures; free when it is dropped.
pub struct Claim {
    _beacon: Beacon<Content>,
    refused: BTreeMap<String, String>,
}

impl Claim {
    /// Accounts that were asked for and that somebody else has, and who that is.
    pub fn refused(&self) -> &BTreeMap<String, String> {
        &self.refused
    }

    /// As if this process had died.
    #[cfg(test)]
    pub(super) fn fall_silent(self) {
        self._beacon.leave();
    }
}

impl Repository {
    /// Claims those of these accounts (by id) that nobody else has. In an object store it may take as long
    /// as it takes to see whether another's claim is alive.
    pub fn claim(&self, accounts: BTreeSet<String>) -> Result<Claim> {
        let repo = &self.inner;
        let begin = Instant::now();
        let turn = turn(&repo.config.id);
        let _turn = turn.lock();
        let own = Content {
            wanted: accounts.clone(),
            held: BTreeSet::new(),
        };
        let beacon = Beacon::light(repo, FOLDER, own)?;
        beacon::remove_stale_locks(repo, FOLDER)?;
        let mut beats = HashMap::new();
        let refused = loop {
            if let Some(refused) = look(repo, beacon.id(), &accounts, &mut beats)? {
                let ours = refused.values().any(|of| *of == lock::holder());
                if !ours || begin.elapsed() >= OWN_PATIENCE {
                    break refused;
                }
            }
            std::thread::sleep(match repo.backend.is_local() {
                true => PAUSE,
                false => repo.backend.watch.timing.refresh / 4,
            });
        };
        beacon.change(|own| {
            own.wanted.clear();
            own.held = accounts;
            own.held.retain(|id| !refused.contains_key(id));
        })?;
        Ok(Claim {
            _beacon: beacon,
            refused,
        })
    }
}

/// Held while a claim of this process on a repository is decided. Two of them that want the same would wait
/// for each other, as each is patient with its own process.
fn turn(repository: &RepoId) -> Arc<Mutex<()>> {
    static TURNS: Mutex<BTreeMap<RepoId, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());
    TURNS.lock().entry(*repository).or_default().clone()
}

/// Which of these accounts others have; `None` when that is not decided yet. `beats` keeps what was seen
/// of others at first.
fn look(
    repo: &Inner,
    own: &str,
    accounts: &BTreeSet<String>,
    beats: &mut HashMap<String, u64>,
) -> Result<Option<BTreeMap<String, String>>> {
    let mut refused = BTreeMap::new();
    let mut decided = true;
    for other in beacon::find::<Content>(repo, FOLDER)? {
        if other.id == own {
            continue;
        }
        if !other.alive {
            beacon::remove(repo, FOLDER, &other.id)?;
            continue;
        }
        let content = other.content?;
        let first = *beats.entry(other.id.clone()).or_insert(other.beat);
        let beats = repo.backend.is_local() || other.beat != first;
        for id in accounts {
            let held = content.held.contains(id);
            let wanted = content.wanted.contains(id);
            if held || (wanted && other.id.as_str() < own) {
                refused.insert(id.clone(), other.holder.clone());
                // What is silent may be dead; then it is gone next time.
                decided &= beats;
            } else if wanted {
                decided = false;
            }
        }
    }
    Ok(decided.then_some(refused))
}
