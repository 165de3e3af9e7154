//! Verification: every file of the repository against what it must be.
//!
//! Always: everything but the frames is read and authenticated (configuration, key files, index files,
//! dictionaries, manifests, the packs' headers and footers), and sizes are compared. Of the packs that
//! [`ReadData`] chooses every frame is opened, decoded, and each object hashed again.
//!
//! Packs are missed when an index file names them, snapshots, index files, dictionaries and key files when the
//! inventory does. What cannot be known: that the whole repository was set back to what it once was. Packs that no index names are no damage (a writer died; the next one adopts them)
//! unless a snapshot needs them. What `repair` put aside below `damaged/` is not looked at.
//!
//! A pack says itself whether a parity file was written with it, so a lost one is missed; parity that a
//! repair made later is checked while it is there. Its head is looked at always, all of it with the
//! pack.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::backend::FileInfo;
use super::error::{RepoError, Result};
use super::id::{Kind, ObjectId, PackClass, PackId};
use super::index::{FramePlace, IndexFile};
use super::pack::Ends;
use super::parity::PackParity;
use super::sample::ReadData;
use super::table::{FrameEntry, PackTable};
use super::{
    Inner, Repository, backend, claim, condemned, config, dictionary, hold, index, inventory, key,
    lock, pack, parity, repair, session, snapshot,
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
        let mut packs = HashMap::new();
        let mut indexes = Vec::new();
        let mut snapshots = Vec::new();
        let mut keys = 0;
        for info in listed {
            let name = info.name.as_str();
            match name.split_once('/') {
                None if name == config::FILE => run.config(),
                None if name == lock::FILE || name == inventory::FILE => {}
                Some((backend::STAGING | repair::FOLDER, _)) => {}
                Some((parity::FOLDER, _)) if parity::parse(name).is_some() => {
                    run.report.lock().parity += 1;
                }
                // They come and go while this runs, and say nothing for long.
                Some((folder, _))
                    if [session::FOLDER.name, claim::FOLDER.name].contains(&folder) => {}
                Some((key::FOLDER, _)) => keys += 1,
                // Either may have been removed meanwhile; one that was lost is blamed for that already.
                Some((hold::FOLDER, _)) => {
                    run.check(name, |inner| gone_is_fine(inner.read_hold(name).map(drop)));
                }
                Some((condemned::FOLDER, _)) => {
                    run.check(name, |inner| {
                        gone_is_fine(inner.read_condemned(name).map(drop))
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
        run.report.lock().damaged.extend(inner.damaged_key_files()?);
        if keys == 0 {
            run.damaged(
                key::FOLDER,
                "no key file is left: after this process nobody can open the repository",
            );
        }
        run.indexes(&indexes, &packs);
        let newest = snapshots.iter().max().cloned();
        for name in snapshots {
            run.snapshot(&name, newest.as_ref() == Some(&name));
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
        self.unnamed(&names, listed)
    }

    /// What is there and the inventory does not name. While anybody writes, or died writing, that is as it
    /// should be, and so it is with what somebody died deleting: older snapshots, and index files whose
    /// packs others name too. Otherwise the inventory is an older one than the last.
    fn unnamed(&self, names: &inventory::Names, listed: &[FileInfo]) -> Result<()> {
        let is_session =
            |info: &FileInfo| info.name.split('/').next() == Some(session::FOLDER.name);
        if listed.iter().any(is_session) || self.younger(names, listed).is_none() {
            return Ok(());
        }
        // A session may have ended between the inventory and the listing.
        let Some(file) = self.younger(&self.inner.read_inventory()?, listed) else {
            return Ok(());
        };
        if self.inner.backend.size(&file)?.is_some() {
            self.damaged(
                inventory::FILE,
                &format!(
                    "it does not name {file}, which is there, and nobody writes: it was set back to \
                     an older one, and what is younger may be lost unnoticed; rebuild-index makes a \
                     new one from what is there"
                ),
            );
        }
        Ok(())
    }

    /// A file that is younger than an inventory of these names.
    fn younger(&self, names: &inventory::Names, listed: &[FileInfo]) -> Option<String> {
        let snapshots = listed
            .iter()
            .filter(|info| info.name.starts_with("snapshots/"));
        let newest = snapshots.map(|info| &info.name).max();
        if let Some(newest) = newest.filter(|name| !names.contains(*name)) {
            return Some(newest.clone());
        }
        let (named, others): (Vec<_>, Vec<_>) = self
            .inner
            .index
            .files()
            .into_iter()
            .partition(|(name, _)| names.contains(name));
        let packs = named.iter().flat_map(|(_, file)| file.packs());
        let known: HashSet<PackId> = packs.map(|(_, id, _)| id).collect();
        let mut others = others.into_iter();
        let found = others.find(|(_, file)| file.packs().any(|(_, id, _)| !known.contains(&id)));
        found.map(|(name, _)| name)
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
                Some((class, size)) if *class == table.class => self.pack(table, *size, None),
                // It may have been made after the listing.
                _ => match self.inner.backend.size(&table.id.file(table.class)) {
                    Ok(Some(size)) => self.pack(table, size, None),
                    _ if self.is_pruned(table) => {}
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
            match inner.ends(*class, **id, *size) {
                Ok(ends) => {
                    self.report.lock().unindexed.push(file);
                    self.pack(&ends.table, *size, Some(&ends));
                }
                // Deleted meanwhile: no index names it, so nothing needs it.
                Err(RepoError::FileMissing { .. }) => self.advance(*size),
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

    /// One pack against its table; `ends` when they were read already.
    fn pack(&self, table: &PackTable, size: u64, ends: Option<&Ends>) {
        let file = table.id.file(table.class);
        let objects: usize = table.frames.iter().map(|frame| frame.objects.len()).sum();
        let read = self.read.contains(&table.id);
        {
            let mut report = self.report.lock();
            report.packs += 1;
            report.objects += objects as u64;
            if read {
                report.packs_read += 1;
                report.bytes_read += size;
            }
        }
        let mut failure = None;
        let mut has_parity = ends.is_some_and(|ends| ends.has_parity);
        if ends.is_none() {
            match self.inner.ends(table.class, table.id, size) {
                Ok(ends) => {
                    has_parity = ends.has_parity;
                    if size != table.size {
                        failure = Some(format!("it has {size} bytes instead of {}", table.size));
                    } else if ends.table.frames != table.frames || ends.table.key != table.key {
                        failure = Some("its footer is not what the index says".into());
                    }
                }
                Err(e) => failure = Some(DamagedFile::new(&file, &e).reason),
            }
        }
        let mut lost = Vec::new();
        for (number, frame) in table.frames.iter().enumerate() {
            let checked = if read {
                self.inner.check_frame(table, number as u32)
            } else if u64::from(frame.offset) + u64::from(frame.stored) > size {
                Err(RepoError::damaged(&file, "it is too short"))
            } else {
                Ok(())
            };
            if let Err(e) = checked {
                lost.push(frame);
                failure.get_or_insert(DamagedFile::new(&file, &e).reason);
            }
            if read {
                self.advance(frame.stored.into());
            }
        }
        if !read {
            self.advance(size);
        }
        if let Some(reason) = failure
            && !self.is_pruned(table)
        {
            lost.into_iter().for_each(|frame| self.lose(frame));
            self.damaged(&file, &reason);
        }
        match self.parity.get(&table.id) {
            Some(len) => self.check(&parity::file(table.id), |inner| {
                inner.check_parity(table, *len, read)
            }),
            None if has_parity => self.damaged(
                &parity::file(table.id),
                "it is missing, and its pack had one; repair makes it again",
            ),
            None => self.report.lock().without_parity += 1,
        }
    }

    /// True when a pack was deleted on purpose since this began: the index does not name it any more.
    fn is_pruned(&self, table: &PackTable) -> bool {
        let inner = self.inner;
        let is_there = inner.backend.size(&table.id.file(table.class));
        let named = || inner.index.packs().iter().any(|(_, id, _)| *id == table.id);
        matches!(is_there, Ok(None)) && inner.refresh_index().is_ok() && !named()
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

impl Inner {
    /// What a pack says of itself.
    pub(crate) fn ends(&self, class: PackClass, id: PackId, size: u64) -> Result<Ends> {
        pack::read_ends(&self.backend, &self.keys, &self.config.id, class, id, size)
    }

    /// Reads a frame, and each object in it, against the table.
    pub(crate) fn check_frame(&self, table: &PackTable, number: u32) -> Result<()> {
        let damaged = |reason: String| Err(RepoError::damaged(table.id.file(table.class), reason));
        let Some(frame) = table.frames.get(number as usize) else {
            return damaged(format!("it has no frame {number}"));
        };
        let bytes = self.read_stored_frame(&place_of(table, number, frame))?;
        let mut rest = &bytes[..];
        for (id, len) in &frame.objects {
            let Some((object, after)) = rest.split_at_checked(*len as usize) else {
                return damaged(format!("frame {number} is shorter than its objects"));
            };
            if self.id_of(frame.kind, object) != *id {
                return damaged(format!("object {id} in frame {number} has another content"));
            }
            rest = after;
        }
        Ok(())
    }

    /// Checks the parity file of a pack, of `len` bytes: its head, or all of it.
    pub(crate) fn check_parity(&self, table: &PackTable, len: u64, whole: bool) -> Result<()> {
        let file = parity::file(table.id);
        let maker = PackParity::new(&self.keys.ids(), &self.config.id, table.class, table.id);
        let checked = if whole {
            maker.check(&self.backend.get(&file)?, table.size)
        } else {
            let begin = self
                .backend
                .get_range(&file, 0, len.min(parity::LONGEST_HEAD))?;
            maker.check_head(&begin, len, table.size)
        };
        checked
            .map_err(|reason| RepoError::damaged(&file, format!("{reason}; repair makes it again")))
    }
}

/// Where a frame of a pack is.
pub(crate) fn place_of(table: &PackTable, number: u32, frame: &FrameEntry) -> FramePlace {
    FramePlace {
        pack: table.id,
        class: table.class,
        key: table.key,
        number,
        kind: frame.kind,
        offset: frame.offset,
        stored: frame.stored,
        raw: frame.raw,
    }
}

/// What was deleted on purpose meanwhile need not be read.
pub(super) fn gone_is_fine(read: Result<()>) -> Result<()> {
    match read {
        Err(RepoError::FileMissing { .. }) => Ok(()),
        read => read,
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
