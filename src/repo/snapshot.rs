//! Snapshots: sealed manifests, `snapshots/<UTC time>`, created once and never changed.
//!
//! Creating the manifest is the commit. The name is the commit time to the second, so names sort
//! by time; two commits in one second give the later one the next free second.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::error::{RepoError, Result};
use super::id::{Kind, ObjectId};
use super::seal::{FileType, open_file, seal_file};

/// Folder of manifests.
pub(crate) const FOLDER: &str = "snapshots";
const NAME_FORMAT: &str = "%Y-%m-%dT%H%M%SZ";
/// How far the name may run ahead of the clock before something is wrong.
const MAX_ADVANCE: i64 = 3600;

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
    /// Counts, for listings.
    #[serde(default)]
    pub totals: Totals,
}

impl SnapshotManifest {
    /// The objects that it names.
    pub fn roots(&self) -> impl Iterator<Item = (Kind, ObjectId)> {
        let roots = [
            (Kind::Node, self.tree),
            (Kind::Node, self.state),
            (Kind::Record, self.report),
        ];
        roots
            .into_iter()
            .filter_map(|(kind, root)| Some((kind, root?)))
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
    /// Bytes the commit added to the repository, as far as known when it was made.
    pub added: u64,
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
            let file = format!("{FOLDER}/{name}");
            let plain = serde_json::to_vec(&manifest)
                .map_err(|e| RepoError::Invalid(format!("the manifest cannot be written: {e}")))?;
            let sealed = seal_file(
                &self.master,
                &self.config.id,
                FileType::Snapshot,
                &file,
                &plain,
            )?;
            if self.backend.create(&file, &sealed)? {
                let snapshot = Snapshot { name, manifest };
                self.manifests
                    .lock()
                    .insert(snapshot.name.clone(), snapshot.clone());
                return Ok((snapshot, sealed.len() as u64));
            }
            manifest.time += 1;
            if manifest.time > latest {
                return Err(RepoError::Invalid(format!(
                    "no free name for a snapshot within an hour of {name}; is the clock right?"
                )));
            }
        }
    }

    /// All snapshots, sorted by name, and why others cannot be read.
    pub(crate) fn snapshots(&self) -> Result<(Vec<Snapshot>, Vec<RepoError>)> {
        let listed = self.backend.list(FOLDER)?;
        let names = listed
            .iter()
            .filter_map(|info| info.name.strip_prefix("snapshots/"));
        let mut snapshots = Vec::with_capacity(listed.len());
        let mut new = Vec::new();
        {
            let known = self.manifests.lock();
            for name in names {
                match known.get(name) {
                    Some(snapshot) => snapshots.push(snapshot.clone()),
                    None => new.push(format!("{FOLDER}/{name}")),
                }
            }
        }
        let mut damaged = Vec::new();
        for (file, sealed) in new.iter().zip(self.backend.get_each(&new)) {
            match sealed.and_then(|sealed| self.open_manifest(file, sealed)) {
                Ok(snapshot) => {
                    self.manifests
                        .lock()
                        .insert(snapshot.name.clone(), snapshot.clone());
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
            &self.master,
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
