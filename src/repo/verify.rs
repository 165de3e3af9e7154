//! Verification: every file of the repository against what it must be.
//!
//! Without `read_data`: everything but the frames is read and authenticated (configuration, key
//! files, index files, dictionaries, manifests, the packs' headers and footers), and sizes are
//! compared. With it every frame is opened, decoded, and each object hashed again.
//!
//! Packs are missed when an index file names them, snapshots, index files and dictionaries when the
//! inventory does. What cannot be known: that one key file of several was deleted, or that the whole
//! repository was set back to what it once was. Packs that no index names are no damage (a writer died; the next one adopts them)
//! unless a snapshot needs them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::backend::FileInfo;
use super::error::{RepoError, Result};
use super::id::{Kind, ObjectId, PackClass, PackId};
use super::index::{FramePlace, IndexFile};
use super::table::{FrameEntry, PackTable};
use super::{
    Inner, KEYS, Repository, backend, claim, config, dictionary, index, inventory, lock, pack,
    session, snapshot,
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
    /// Files that are damaged, missing, or do not belong there.
    pub damaged: Vec<DamagedFile>,
    /// Objects that cannot be read because of that (without `read_data`: as far as known).
    pub lost: Vec<(Kind, ObjectId)>,
    /// Whole packs that no index names. The next writer takes them in.
    pub unindexed: Vec<String>,
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
    read_data: bool,
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
        read_data: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<VerifyReport> {
        let inner = self.inner.as_ref();
        inner.refresh_index()?;
        // Files that were replaced must not be read through handles of the old ones.
        inner.packs.clear();
        inner.dictionaries.forget();
        let inventory = inner.read_inventory();
        let listed = inner.backend.list("")?;
        let total = listed.iter().map(|info| info.size).sum();
        let report = VerifyReport {
            files: listed.len() as u64,
            bytes: total,
            ..VerifyReport::default()
        };
        let run = Run {
            inner,
            read_data,
            report: Mutex::new(report),
            done: AtomicU64::new(0),
            total,
            progress,
        };
        run.inventory(inventory, &listed)?;
        let mut packs = HashMap::new();
        let mut indexes = Vec::new();
        let mut snapshots = Vec::new();
        let mut keys = 0;
        for info in listed {
            let name = info.name.as_str();
            match name.split_once('/') {
                None if name == config::FILE => run.config(),
                None if name == lock::FILE || name == inventory::FILE => {}
                Some((backend::STAGING, _)) => {}
                // They come and go while this runs, and say nothing for long.
                Some((folder, _))
                    if [session::FOLDER.name, claim::FOLDER.name].contains(&folder) => {}
                Some((KEYS, _)) => {
                    keys += 1;
                    run.check(name, |inner| {
                        let whole = inner.master.vouches_for(&inner.backend.get(name)?);
                        if whole {
                            Ok(())
                        } else {
                            Err(RepoError::damaged(name, "it is not as it was written"))
                        }
                    });
                }
                Some((dictionary::FOLDER, _)) => {
                    run.check(name, |inner| inner.dictionaries.read(name).map(drop));
                }
                Some((index::FOLDER, _)) => indexes.push(info.name.clone()),
                Some((snapshot::FOLDER, rest)) => snapshots.push(rest.to_owned()),
                _ => match PackId::parse(name) {
                    Some((class, id)) => {
                        packs.insert(id, (class, info.size));
                        continue;
                    }
                    None => run.damaged(name, "it does not belong into a repository"),
                },
            }
            run.advance(info.size);
        }
        if keys == 0 {
            run.damaged(
                KEYS,
                "no key file is left: after this process nobody can open the repository",
            );
        }
        run.indexes(&indexes, &packs);
        for name in snapshots {
            run.snapshot(&name);
        }
        let mut report = run.report.into_inner();
        report.damaged.sort_by(|a, b| a.file.cmp(&b.file));
        report.lost.sort_unstable();
        report.lost.dedup();
        Ok(report)
    }
}

impl Run<'_> {
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
            let now = config::Config::open(&inner.master, inner.backend.get(config::FILE)?)?;
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

    /// What must be there and is not listed.
    fn inventory(&self, names: Result<inventory::Names>, listed: &[FileInfo]) -> Result<()> {
        let names = match names {
            Ok(names) => names,
            Err(e) => {
                let reason = match e {
                    RepoError::FileMissing { .. } => "it is missing".to_owned(),
                    e => DamagedFile::new(inventory::FILE, &e).reason,
                };
                self.damaged(
                    inventory::FILE,
                    &format!(
                        "{reason}; until rebuild-index makes a new one from what is there, lost \
                         snapshots and index files go unnoticed"
                    ),
                );
                return Ok(());
            }
        };
        let there: HashSet<&str> = listed.iter().map(|info| info.name.as_str()).collect();
        for name in names.iter().filter(|name| !there.contains(name.as_str())) {
            if self.inner.is_lost(name)? {
                let folder = name.split('/').next();
                let help = match folder {
                    Some(index::FOLDER) => "rebuild-index makes the index again from the packs",
                    _ => "bring it back from a copy of the repository",
                };
                self.damaged(
                    name,
                    &format!("it is missing, and nobody deleted it on purpose; {help}"),
                );
            }
        }
        Ok(())
    }

    /// Index files, and all packs they name; then the packs that none names.
    fn indexes(&self, names: &[String], packs: &HashMap<PackId, (PackClass, u64)>) {
        let copies: HashMap<_, _> = self.inner.index.files().into_iter().collect();
        let mut seen = HashSet::new();
        for name in names {
            // One index file at a time: that bounds the memory.
            let mut tables = match self.inner.index.read(name) {
                Ok(tables) => tables,
                // Merged away meanwhile; one that was lost is blamed for that already.
                Err(RepoError::FileMissing { .. }) => continue,
                Err(e) => {
                    self.report.lock().damaged.push(DamagedFile::new(name, &e));
                    continue;
                }
            };
            if copies.get(name).is_some_and(|copy| !agrees(copy, &tables)) {
                self.damaged(
                    name,
                    "the local copy of it is damaged: delete the local state folder",
                );
            }
            tables.retain(|table| seen.insert(table.id));
            self.parallel(&tables, |table| match packs.get(&table.id) {
                Some((class, size)) if *class == table.class => self.pack(table, *size, true),
                // It may have been made after the listing.
                _ => match self.inner.backend.size(&table.id.file(table.class)) {
                    Ok(Some(size)) => self.pack(table, size, true),
                    _ => {
                        self.damaged(&table.id.file(table.class), "it is missing");
                        table.frames.iter().for_each(|frame| self.lose(frame));
                    }
                },
            });
        }
        let mut rest: Vec<_> = packs.iter().filter(|(id, _)| !seen.contains(*id)).collect();
        rest.sort_unstable();
        self.parallel(&rest, |(id, (class, size))| {
            let (inner, file) = (self.inner, id.file(*class));
            match pack::read_footer(
                &inner.backend,
                &inner.master,
                &inner.config.id,
                *class,
                **id,
                *size,
            ) {
                Ok(table) => {
                    self.report.lock().unindexed.push(file);
                    self.pack(&table, *size, false);
                }
                Err(e) => {
                    self.advance(*size);
                    self.report.lock().damaged.push(DamagedFile::new(&file, &e));
                }
            }
        });
    }

    fn parallel<T: Sync>(&self, items: &[T], work: impl Fn(&T) + Sync) {
        let threads = std::thread::available_parallelism()
            .map_or(1, |n| n.get())
            .min(items.len());
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                        work(item);
                    }
                });
            }
        });
    }

    /// One pack against its table.
    fn pack(&self, table: &PackTable, size: u64, footer_too: bool) {
        let file = table.id.file(table.class);
        let objects: usize = table.frames.iter().map(|frame| frame.objects.len()).sum();
        {
            let mut report = self.report.lock();
            report.packs += 1;
            report.objects += objects as u64;
        }
        let mut failure = None;
        if footer_too {
            let inner = self.inner;
            let found = pack::read_footer(
                &inner.backend,
                &inner.master,
                &inner.config.id,
                table.class,
                table.id,
                size,
            );
            failure = match found {
                Ok(_) if size != table.size => {
                    Some(format!("it has {size} bytes instead of {}", table.size))
                }
                Ok(found) if found.frames != table.frames => {
                    Some("its footer is not what the index says".into())
                }
                Ok(_) => None,
                Err(e) => Some(DamagedFile::new(&file, &e).reason),
            };
        }
        for (number, frame) in table.frames.iter().enumerate() {
            let checked = if self.read_data {
                self.frame(table, number as u32, frame)
            } else if u64::from(frame.offset) + u64::from(frame.stored) > size {
                Err("it is too short".to_owned())
            } else {
                Ok(())
            };
            if let Err(reason) = checked {
                self.lose(frame);
                failure.get_or_insert(reason);
            }
            if self.read_data {
                self.advance(frame.stored.into());
            }
        }
        if !self.read_data {
            self.advance(size);
        }
        if let Some(reason) = failure {
            self.damaged(&file, &reason);
        }
    }

    fn frame(&self, table: &PackTable, number: u32, frame: &FrameEntry) -> Result<(), String> {
        let place = FramePlace {
            pack: table.id,
            class: table.class,
            number,
            kind: frame.kind,
            offset: frame.offset,
            stored: frame.stored,
            raw: frame.raw,
        };
        let bytes = self.inner.read_stored_frame(&place).map_err(|e| match e {
            RepoError::Damaged { reason, .. } => reason,
            other => other.to_string(),
        })?;
        let mut rest = &bytes[..];
        for (id, len) in &frame.objects {
            let Some((object, after)) = rest.split_at_checked(*len as usize) else {
                return Err(format!("frame {number} is shorter than its objects"));
            };
            if self.inner.id_of(frame.kind, object) != *id {
                return Err(format!("object {id} in frame {number} has another content"));
            }
            rest = after;
        }
        Ok(())
    }

    fn snapshot(&self, name: &str) {
        self.check(&format!("{}/{name}", snapshot::FOLDER), |inner| {
            let snapshot = inner.read_snapshot(name)?;
            let manifest = snapshot.manifest;
            for (what, root) in [
                ("tree", manifest.tree),
                ("state", manifest.state),
                ("report", manifest.report),
            ] {
                if let Some(root) = root.filter(|root| inner.index.find(root).is_none()) {
                    let reason =
                        format!("its {what} {root} is not in the index; run rebuild-index");
                    return Err(RepoError::damaged(
                        format!("{}/{name}", snapshot::FOLDER),
                        reason,
                    ));
                }
            }
            Ok(())
        });
    }
}

/// True when the local copy says what the index file says.
fn agrees(copy: &IndexFile, tables: &[PackTable]) -> bool {
    let mut count = 0;
    for table in tables {
        for (number, frame) in table.frames.iter().enumerate() {
            for (id, len) in &frame.objects {
                count += 1;
                let Some(place) = copy.find(id) else {
                    return false;
                };
                // An object may be in two packs; the copy names one of them.
                let here = place.frame.pack == table.id && place.frame.number == number as u32;
                let same = place.frame.offset == frame.offset
                    && place.frame.stored == frame.stored
                    && place.frame.raw == frame.raw;
                if place.len != *len || place.frame.kind != frame.kind || (here && !same) {
                    return false;
                }
            }
        }
    }
    count == copy.len()
}
