//! Index files, the packs that they name, and the packs that none names.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{DamagedFile, Run};
use crate::repo::error::RepoError;
use crate::repo::id::{PackClass, PackId};
use crate::repo::index::IndexFile;
use crate::repo::pack::Ends;
use crate::repo::parity;
use crate::repo::table::{FrameEntry, PackTable};

impl Run<'_> {
    /// Index files, and all packs they name; then the packs that none names.
    pub fn indexes(&self, names: &[String], packs: &HashMap<PackId, (PackClass, u64)>) {
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
                _ => match self.inner.backend.size(&table.file()) {
                    Ok(Some(size)) => self.pack(table, size, None),
                    _ if self.is_pruned(table) => {}
                    _ => {
                        self.damaged(&table.file(), "it is missing");
                        table.frames.iter().for_each(|frame| self.lose(frame));
                    }
                },
            });
        }
        self.unindexed(packs.iter().filter(|(id, _)| !seen.contains(*id)));
    }

    /// Packs that no index names.
    fn unindexed<'p>(&self, packs: impl Iterator<Item = (&'p PackId, &'p (PackClass, u64))>) {
        let mut rest: Vec<_> = packs.collect();
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

    /// Works on all of them with as many threads as there are cores.
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
        let read = self.read.contains(&table.id);
        self.count(table, size, read);
        let mut failure = None;
        let mut has_parity = ends.is_some_and(|ends| ends.has_parity);
        if ends.is_none() {
            match self.inner.ends(table.class, table.id, size) {
                Ok(ends) => {
                    has_parity = ends.has_parity;
                    failure = differs(&ends.table, table, size);
                }
                Err(e) => failure = Some(DamagedFile::new(&table.file(), &e).reason),
            }
        }
        let (lost, damage) = self.frames(table, size, read);
        if let Some(reason) = failure.or(damage)
            && !self.is_pruned(table)
        {
            lost.into_iter().for_each(|frame| self.lose(frame));
            self.damaged(&table.file(), &reason);
        }
        self.parity_file(table, has_parity, read);
    }

    fn count(&self, table: &PackTable, size: u64, read: bool) {
        let objects: usize = table.frames.iter().map(|frame| frame.objects.len()).sum();
        let mut report = self.report.lock();
        report.packs += 1;
        report.objects += objects as u64;
        if read {
            report.packs_read += 1;
            report.bytes_read += size;
        }
    }

    /// The frames of a pack that cannot be read, and what is wrong with the first of them.
    fn frames<'t>(
        &self,
        table: &'t PackTable,
        size: u64,
        read: bool,
    ) -> (Vec<&'t FrameEntry>, Option<String>) {
        let (mut lost, mut damage) = (Vec::new(), None);
        for (number, frame) in table.frames.iter().enumerate() {
            let checked = if read {
                self.inner.check_frame(table, number as u32)
            } else if u64::from(frame.offset) + u64::from(frame.stored) > size {
                Err(RepoError::damaged(table.file(), "it is too short"))
            } else {
                Ok(())
            };
            if let Err(e) = checked {
                lost.push(frame);
                damage.get_or_insert(DamagedFile::new(&table.file(), &e).reason);
            }
            if read {
                self.advance(frame.stored.into());
            }
        }
        if !read {
            self.advance(size);
        }
        (lost, damage)
    }

    /// The parity file of a pack, which says whether one was written with it.
    fn parity_file(&self, table: &PackTable, has_parity: bool, read: bool) {
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
        let is_there = inner.backend.size(&table.file());
        let named = || inner.index.packs().iter().any(|(_, id, _)| *id == table.id);
        matches!(is_there, Ok(None)) && inner.refresh_index().is_ok() && !named()
    }
}

/// What is wrong with a pack of `size` bytes whose footer says `own`, when the index says `table`.
fn differs(own: &PackTable, table: &PackTable, size: u64) -> Option<String> {
    if size != table.size {
        Some(format!("it has {size} bytes instead of {}", table.size))
    } else if own.frames != table.frames || own.key != table.key {
        Some("its footer is not what the index says".into())
    } else {
        None
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
