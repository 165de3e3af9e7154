//! Verification: every file of the repository against what it must be.
//!
//! Always: everything but the frames is read and authenticated (configuration, key files, index files,
//! dictionaries, manifests, the packs' headers and footers), and sizes are compared. Of the packs that
//! [`ReadData`] chooses every frame is opened, decoded, and each object hashed again.
//!
//! Packs are missed when an index file names them, everything else that [`inventory`] names when it does.
//! What cannot be known: that the whole repository was set back to what it once was. Packs that no index
//! names are no damage (a writer died; the next one adopts them) unless a snapshot needs them. What `repair` put aside below `damaged/` is not looked at.
//!
//! A pack says itself whether a parity file was written with it, so a lost one is missed; parity that a
//! repair made later is checked while it is there. Its head is looked at always, all of it with the
//! pack.

mod listing;
mod packs;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::backend::FileInfo;
use super::error::{RepoError, Result, gone_is_fine};
use super::id::{Kind, ObjectId, PackClass, PackId};
use super::sample::ReadData;
use super::table::FrameEntry;
use super::{
    Inner, Repository, backend, claim, condemned, config, dictionary, hold, index, inventory, key,
    lock, parity, repair, session, snapshot,
};

/// A file that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// Name relative to the repository.
    pub file: String,
    /// What does not fit.
    pub reason: String,
}

impl DamagedFile {
    pub(crate) fn new(file: &str, error: &RepoError) -> Self {
        let reason = match error {
            RepoError::Damaged {
                file: named,
                reason,
            } if named == file => reason.clone(),
            other => other.to_string(),
        };
        DamagedFile {
            file: file.to_owned(),
            reason,
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Files looked at.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packs among them.
    pub packs: u64,
    /// Objects in the packs.
    pub objects: u64,
    /// Packs whose every byte was read.
    pub packs_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// Parity files.
    pub parity: u64,
    /// Packs that have none, and never had.
    pub without_parity: u64,
    /// Files that are damaged, missing, or do not belong there.
    pub damaged: Vec<DamagedFile>,
    /// Objects that cannot be read because of that (of packs that were not read: as far as known).
    pub lost: Vec<(Kind, ObjectId)>,
    /// Whole packs that no index names. The next writer takes them in.
    pub unindexed: Vec<String>,
    /// What old snapshots have lost that only the newest one is asked for, their state, and their
    /// reports. No damage any more: nothing can bring it back and nothing needs it.
    pub given_up: Vec<String>,
}

impl VerifyReport {
    /// True when nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.lost.is_empty()
    }
}

/// One run.
struct Run<'a> {
    inner: &'a Inner,
    /// Packs whose frames are read.
    read: HashSet<PackId>,
    /// Parity files and their sizes.
    parity: HashMap<PackId, u64>,
    report: Mutex<VerifyReport>,
    done: AtomicU64,
    total: u64,
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl Repository {
    /// Checks the repository. `progress` gets bytes done and bytes in all. Damage is in the
    /// report; an error means that checking itself was impossible.
    pub fn verify(
        &self,
        read_data: impl Into<ReadData>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<VerifyReport> {
        let inner = self.inner.as_ref();
        inner.refresh_index()?;
        // Files that were replaced must not be read through handles of the old ones.
        inner.packs.clear();
        inner.keys.reload()?;
        inner.dictionaries.forget();
        let inventory = inner.read_inventory();
        let listed = inner.backend.list("")?;
        let total = listed.iter().map(|info| info.size).sum();
        let report = VerifyReport {
            files: listed.len() as u64,
            bytes: total,
            ..VerifyReport::default()
        };
        let packs = listed.iter().filter_map(|info| PackId::parse(&info.name));
        let run = Run {
            inner,
            read: read_data.into().choose(packs.map(|(_, id)| id)),
            parity: listed
                .iter()
                .filter_map(|info| Some((parity::parse(&info.name)?, info.size)))
                .collect(),
            report: Mutex::new(report),
            done: AtomicU64::new(0),
            total,
            progress,
        };
        run.inventory(inventory, &listed)?;
        run.files(listed)?;
        let mut report = run.report.into_inner();
        report.damaged.sort_by(|a, b| a.file.cmp(&b.file));
        report.lost.sort_unstable();
        report.lost.dedup();
        Ok(report)
    }
}

/// What is looked at when everything else was.
#[derive(Default)]
struct Later {
    keys: usize,
    indexes: Vec<String>,
    snapshots: Vec<String>,
    packs: HashMap<PackId, (PackClass, u64)>,
}

impl Run<'_> {
    /// Every file that is listed: small ones first, then index files with their packs, then snapshots.
    fn files(&self, listed: Vec<FileInfo>) -> Result<()> {
        let mut later = Later::default();
        for info in listed {
            self.file(info, &mut later);
        }
        let damaged = self.inner.damaged_key_files()?;
        self.report.lock().damaged.extend(damaged);
        if later.keys == 0 {
            self.damaged(
                key::FOLDER,
                "no key file is left: after this process nobody can open the repository",
            );
        }
        self.indexes(&later.indexes, &later.packs);
        let newest = later.snapshots.iter().max().cloned();
        for name in later.snapshots {
            self.snapshot(&name, newest.as_ref() == Some(&name));
        }
        Ok(())
    }

    /// One file, by what its name says it is.
    fn file(&self, info: FileInfo, later: &mut Later) {
        let name = info.name.as_str();
        match name.split_once('/') {
            None if name == config::FILE => self.config(),
            None if name == lock::FILE || name == inventory::FILE => {}
            Some((backend::STAGING | repair::FOLDER, _)) => {}
            Some((parity::FOLDER, _)) if parity::parse(name).is_some() => {
                self.report.lock().parity += 1;
            }
            // They come and go while this runs, and say nothing for long.
            Some((folder, _)) if [session::FOLDER.name, claim::FOLDER.name].contains(&folder) => {}
            Some((key::FOLDER, _)) => later.keys += 1,
            // Either may have been removed meanwhile; one that was lost is blamed for that already.
            Some((hold::FOLDER, _)) => {
                self.check(name, |inner| gone_is_fine(inner.read_hold(name).map(drop)));
            }
            Some((condemned::FOLDER, _)) => {
                self.check(name, |inner| {
                    gone_is_fine(inner.read_condemned(name).map(drop))
                });
            }
            Some((dictionary::FOLDER, _)) => {
                self.check(name, |inner| inner.dictionaries.read(name).map(drop));
            }
            Some((index::FOLDER, _)) => later.indexes.push(info.name.clone()),
            Some((snapshot::FOLDER, rest)) => later.snapshots.push(rest.to_owned()),
            _ => match PackId::parse(name) {
                Some((class, id)) => {
                    // What is read of it counts when it is looked at.
                    later.packs.insert(id, (class, info.size));
                    return;
                }
                None => self.damaged(name, "it does not belong into a repository"),
            },
        }
        self.advance(info.size);
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(done.min(self.total), self.total);
    }

    fn damaged(&self, file: &str, reason: &str) {
        self.report.lock().damaged.push(DamagedFile {
            file: file.to_owned(),
            reason: reason.to_owned(),
        });
    }

    fn check(&self, file: &str, check: impl FnOnce(&Inner) -> Result<()>) {
        if let Err(e) = check(self.inner) {
            self.report.lock().damaged.push(DamagedFile::new(file, &e));
        }
    }

    fn lose(&self, frame: &FrameEntry) {
        self.report
            .lock()
            .lost
            .extend(frame.objects.iter().map(|(id, _)| (frame.kind, *id)));
    }

    fn config(&self) {
        self.check(config::FILE, |inner| {
            let now = config::Config::open(&inner.keys, inner.backend.get(config::FILE)?)?;
            if now == inner.config {
                Ok(())
            } else {
                Err(RepoError::damaged(
                    config::FILE,
                    "it is another repository's than when it was opened",
                ))
            }
        });
    }

    fn snapshot(&self, name: &str, newest: bool) {
        let file = format!("{}/{name}", snapshot::FOLDER);
        self.check(&file, |inner| {
            let manifest = match inner.read_snapshot(name) {
                Ok(snapshot) => snapshot.manifest,
                // Forgotten since the listing; one that was lost is blamed for that already.
                Err(RepoError::FileMissing { .. }) => return Ok(()),
                Err(e) => return Err(e),
            };
            let lost =
                |root: Option<ObjectId>| root.filter(|root| inner.index.find(root).is_none());
            for (what, root, needed) in [
                ("tree", manifest.tree, true),
                ("state", manifest.state, newest),
                ("report", manifest.report, false),
            ] {
                let Some(root) = lost(root) else { continue };
                if needed {
                    let reason =
                        format!("its {what} {root} is not in the index; run rebuild-index");
                    return Err(RepoError::damaged(&file, reason));
                }
                let given_up = format!("{file}: its {what} is lost");
                self.report.lock().given_up.push(given_up);
            }
            Ok(())
        });
    }
}
