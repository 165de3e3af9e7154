//! Snapshots: sealed manifests, `snapshots/<UTC time>`. One is replaced only by one that is the same but for
//! its tags, or has less in it (see [`Maintenance::replace`](super::Maintenance::replace)).
//!
//! Creating the manifest is the commit. The name is the commit time to the second, so names sort
//! by time; two commits in one second give the later one the next free second.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::error::{RepoError, Result};
use super::id::ObjectId;
use super::seal::{FileType, open_file, seal_file};

/// Folder of manifests.
pub(crate) const FOLDER: &str = "snapshots";
const NAME_FORMAT: &str = "%Y-%m-%dT%H%M%SZ";
/// How far the name may run ahead of the clock (in seconds) before something is wrong.
pub(crate) const MAX_ADVANCE: i64 = 3600;

/// What a snapshot is: the roots of its trees and some facts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotManifest {
    /// Commit time, seconds since 1970 UTC. May be advanced by [`Writer::commit`] to be unique.
    ///
    /// [`Writer::commit`]: super::Writer::commit
    pub time: i64,
    /// Host that made it.
    pub host: String,
    /// False for a checkpoint: it holds only what a cycle that still goes on has captured so far.
    pub complete: bool,
    /// Root of the directory tree; `None`: empty.
    pub tree: Option<ObjectId>,
    /// Root of the state (cursors and such) that produced the tree.
    pub state: Option<ObjectId>,
    /// What was captured and what failed: a record.
    pub report: Option<ObjectId>,
    /// Names of the snapshots this one goes on from: more than one where several hosts committed at
    /// the same time.
    #[serde(default)]
    pub parents: Vec<String>,
    /// Given by people.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Accounts that were taken out of it since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgotten: u64,
    /// Names of the workloads by their folders (`Mail`: `mail`), where there is no state to say so: in
    /// snapshots that were imported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workloads: BTreeMap<String, String>,
    /// Counts, for listings.
    #[serde(default)]
    pub totals: Totals,
}

/// What hangs on a snapshot: all it needs can be reached from these.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Roots {
    /// Root of the directory tree.
    pub tree: Option<ObjectId>,
    /// Root of the state.
    pub state: Option<ObjectId>,
    /// The report, a record.
    pub report: Option<ObjectId>,
}

impl SnapshotManifest {
    /// The objects that it names.
    pub fn roots(&self) -> Roots {
        Roots {
            tree: self.tree,
            state: self.state,
            report: self.report,
        }
    }
}

/// Counts of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Accounts in it.
    pub accounts: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Items that could not be captured.
    pub failed: u64,
    /// Bytes that its writer had added to the repository before the manifest itself; set by the commit.
    pub added: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A committed snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Name: the commit time, `2026-11-22T020000Z`.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub manifest: SnapshotManifest,
}

impl Snapshot {
    /// Whether both are of the same commit, whatever tags either was given since and whoever was taken out of
    /// it.
    pub fn is_same(&self, other: &Snapshot) -> bool {
        let (own, others) = (&self.manifest, &other.manifest);
        self.name == other.name
            && own.host == others.host
            && own.complete == others.complete
            && own.parents == others.parents
            && own.totals.added == others.totals.added
    }
}

/// The name of a snapshot made at `time` (seconds since 1970).
pub fn snapshot_name(time: i64) -> Result<String> {
    let invalid =
        |e: jiff::Error| RepoError::Invalid(format!("{time} is no time for a snapshot: {e}"));
    let time = Timestamp::from_second(time).map_err(invalid)?;
    Ok(time
        .to_zoned(TimeZone::UTC)
        .strftime(NAME_FORMAT)
        .to_string())
}

/// The file of a snapshot's manifest.
pub(crate) fn file_name(name: &str) -> Result<String> {
    if name.contains('/') {
        return Err(RepoError::Invalid(format!(
            "{name:?} is no name of a snapshot"
        )));
    }
    Ok(format!("{FOLDER}/{name}"))
}

impl Inner {
    /// Creates the manifest; returns the snapshot and the bytes it took.
    pub(crate) fn create_snapshot(
        &self,
        mut manifest: SnapshotManifest,
    ) -> Result<(Snapshot, u64)> {
        let latest = manifest.time.saturating_add(MAX_ADVANCE);
        loop {
            let name = snapshot_name(manifest.time)?;
            let snapshot = Snapshot { name, manifest };
            if let Some(bytes) = self.try_create(&snapshot)? {
                return Ok((snapshot, bytes));
            }
            manifest = snapshot.manifest;
            manifest.time += 1;
            if manifest.time > latest {
                return Err(RepoError::Invalid(format!(
                    "no free name for a snapshot within an hour of {}; is the clock right?",
                    snapshot.name
                )));
            }
        }
    }

    /// Creates the manifest of a snapshot of another repository. Returns the bytes it took; `None` when
    /// it is there already, in whatever state.
    pub(crate) fn create_copy(&self, snapshot: &Snapshot) -> Result<Option<u64>> {
        let invalid = |why: &str| {
            Err(RepoError::Invalid(format!(
                "the snapshot {} cannot be copied: {why}",
                snapshot.name
            )))
        };
        if snapshot_name(snapshot.manifest.time)? != snapshot.name {
            return invalid("its name is not its time");
        }
        let bytes = self.try_create(snapshot)?;
        if bytes.is_none() && !self.read_snapshot(&snapshot.name)?.is_same(snapshot) {
            return invalid("another one has that name there");
        }
        Ok(bytes)
    }

    /// Creates a manifest. Returns the bytes it took; `None` when there is one of its name.
    fn try_create(&self, snapshot: &Snapshot) -> Result<Option<u64>> {
        let file = format!("{FOLDER}/{}", snapshot.name);
        let sealed = self.seal_manifest(&file, &snapshot.manifest)?;
        if !self.backend.create(&file, &sealed)? {
            return Ok(None);
        }
        if !self.config.conditional_create {
            // Two may have got here together: the last to write has it, and both look after a pause.
            std::thread::sleep(self.backend.watch.timing.settle);
            if self.backend.get(&file)? != sealed {
                return Ok(None);
            }
        }
        Ok(Some(sealed.len() as u64))
    }

    /// All snapshots, sorted by name, and why others cannot be read.
    pub(crate) fn snapshots(&self) -> Result<(Vec<Snapshot>, Vec<RepoError>)> {
        let listed = self.backend.list(FOLDER)?;
        let mut snapshots = Vec::with_capacity(listed.len());
        let mut new = Vec::new();
        {
            let known = self.manifests.lock();
            for info in listed {
                let Some(name) = info.name.strip_prefix("snapshots/") else {
                    continue;
                };
                match known.get(name) {
                    Some((mark, snapshot)) if *mark == info.mark => {
                        snapshots.push(snapshot.clone());
                    }
                    // Another mark: it was replaced.
                    _ => new.push((info.name, info.mark)),
                }
            }
        }
        let files: Vec<String> = new.iter().map(|(file, _)| file.clone()).collect();
        let mut damaged = Vec::new();
        for ((file, mark), sealed) in new.into_iter().zip(self.backend.get_each(&files)) {
            match sealed.and_then(|sealed| self.open_manifest(&file, sealed)) {
                Ok(snapshot) => {
                    let known = (mark, snapshot.clone());
                    self.manifests.lock().insert(snapshot.name.clone(), known);
                    snapshots.push(snapshot);
                }
                // Deleted since the listing.
                Err(RepoError::FileMissing { .. }) => {}
                Err(e @ (RepoError::Damaged { .. } | RepoError::NewerVersion { .. })) => {
                    damaged.push(e)
                }
                Err(e) => return Err(e),
            }
        }
        snapshots.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.manifests
            .lock()
            .retain(|name, _| snapshots.binary_search_by(|s| s.name.cmp(name)).is_ok());
        Ok((snapshots, damaged))
    }

    /// Reads one manifest from the repository.
    pub(crate) fn read_snapshot(&self, name: &str) -> Result<Snapshot> {
        let file = format!("{FOLDER}/{name}");
        self.open_manifest(&file, self.backend.get(&file)?)
    }

    fn open_manifest(&self, file: &str, sealed: Vec<u8>) -> Result<Snapshot> {
        let plain = open_file(
            &self.keys,
            &self.config.id,
            FileType::Snapshot,
            file,
            sealed,
        )?;
        let manifest: SnapshotManifest =
            serde_json::from_slice(&plain).map_err(|e| RepoError::damaged(file, e.to_string()))?;
        let name = snapshot_name(manifest.time)?;
        if file_name(&name)? != file {
            return Err(RepoError::damaged(file, "its name is not its time"));
        }
        Ok(Snapshot { name, manifest })
    }

    fn seal_manifest(&self, file: &str, manifest: &SnapshotManifest) -> Result<Vec<u8>> {
        let plain = serde_json::to_vec(manifest)
            .map_err(|e| RepoError::Invalid(format!("the manifest cannot be written: {e}")))?;
        let kind = FileType::Snapshot;
        seal_file(&self.keys, &self.config.id, kind, file, &plain)
    }

    /// Replaces a manifest that is there, in one step. Needs the maintenance lock.
    pub(crate) fn replace_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        let file = file_name(&snapshot.name)?;
        if snapshot_name(snapshot.manifest.time)? != snapshot.name {
            return Err(RepoError::Invalid(format!(
                "{file} cannot get the manifest of another time"
            )));
        }
        let sealed = self.seal_manifest(&file, &snapshot.manifest)?;
        if self.backend.size(&file)?.is_none() {
            return Err(RepoError::FileMissing { file });
        }
        self.backend.put(&file, &sealed)
    }

    pub(crate) fn delete_snapshot(&self, name: &str) -> Result<()> {
        self.backend.delete(&file_name(name)?)?;
        self.manifests.lock().remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_utc_times() {
        assert_eq!(snapshot_name(1_795_312_800).unwrap(), "2026-11-22T020000Z");
        assert!(snapshot_name(i64::MAX).is_err());
    }
}
