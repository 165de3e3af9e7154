//! What was put becomes durable, then known: packs first, then the index file that names them, and with
//! a snapshot the inventory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Pending, Shared};
use crate::repo::dictionary::Training;
use crate::repo::error::{RepoError, Result};
use crate::repo::id::{PackClass, PackId};
use crate::repo::lock::MaintenanceLock;
use crate::repo::snapshot;

/// Objects in full packs that get an index file before anybody asks for a flush: some 40 MB of places.
const INDEX_AT: usize = 1 << 18;

impl Shared {
    /// Makes full packs known when there are many objects in them, and forgets the places of these here.
    pub(super) fn index_full_packs(&self) {
        if self.unindexed.load(Ordering::Relaxed) < INDEX_AT {
            return;
        }
        // Who flushes does it anyway.
        let Some(_one) = self.flushing.try_lock() else {
            return;
        };
        let done = self
            .session
            .check()
            .and_then(|()| self.finish_all())
            .and_then(|()| self.write_index());
        if let Err(e) = done {
            // Nothing is lost: the next flush tries again, and reports it.
            tracing::debug!("{e}");
        }
    }

    /// Makes everything that was put durable, and known to the index.
    pub(super) fn flush(&self) -> Result<()> {
        let _one = self.flushing.lock();
        self.session.check()?;
        self.store_waiting()?;
        self.close_frames()?;
        for training in &self.training {
            let released = training.settle(&self.repo.dictionaries)?;
            self.store_released(released)?;
        }
        {
            // What others took before is in a pack after this, or waits again.
            let _all = self.placing.write();
            self.place_waiting()?;
        }
        self.forget_streams();
        for class in PackClass::ALL {
            let current = self.open[class.slot()].lock().clone();
            if let Some(pack) = current {
                self.detach(&pack);
            }
        }
        self.finish_all()?;
        self.write_index()
    }

    /// Takes the open frames out of all streams.
    fn close_frames(&self) -> Result<()> {
        let streams: Vec<_> = self.streams.lock().clone();
        for stream in streams {
            // Held over the encoding: a put on this stream waits, others do not.
            let mut open = stream.open.lock();
            for slot in open.iter_mut() {
                if let Some(frame) = slot.take_if(|frame| frame.fill().0 > 0) {
                    self.full(frame)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets streams that were dropped and have nothing open.
    fn forget_streams(&self) {
        // One that was dropped has one owner left: the list.
        self.streams.lock().retain(|s| {
            Arc::strong_count(s) > 1
                || s.open
                    .lock()
                    .iter()
                    .flatten()
                    .any(|frame| frame.fill().0 > 0)
        });
    }

    /// Fails when a pack that is relied on is in the index no more: objects that it has were taken for stored.
    /// Prune deletes no such pack; a repair does, when it is lost or damaged. Costs a listing of index files.
    pub(super) fn nothing_is_gone(&self) -> Result<()> {
        // A listing that was made while files were replaced may have lacked both: then once more.
        let mut gone = HashSet::new();
        for _ in 0..2 {
            self.repo.refresh_index()?;
            gone.clone_from(&self.relied.lock());
            {
                let condemned = self.repo.condemned.read();
                gone.retain(|(_, id)| !condemned.contains(id));
            }
            for (class, id, _) in self.repo.index.packs() {
                gone.remove(&(class, id));
            }
            if gone.is_empty() {
                return Ok(());
            }
        }
        gone.iter().next().map_or(Ok(()), |(class, id)| {
            let pack = id.file(*class);
            Err(RepoError::PackGone { pack })
        })
    }

    /// Learns which packs are about to be deleted, and says so.
    pub(super) fn notice_condemned(&self) -> Result<()> {
        let generation = self.repo.learn_condemned()?;
        let needs = {
            let condemned = self.repo.condemned.read();
            let relied = self.relied.lock();
            let needed = relied.iter().filter(|(_, id)| condemned.contains(id));
            needed.map(|(class, id)| id.file(*class)).collect()
        };
        self.session.saw_generation(generation, needs)
    }

    /// Puts a new snapshot, and what was made for it, into the inventory. Returns the bytes that took.
    pub(super) fn take_stock(&self, snapshot: &str) -> Result<u64> {
        let mut indexed = self.indexed.lock();
        let dictionaries = self.training.iter().filter_map(Training::dictionary_file);
        let new = [snapshot::file_name(snapshot)?];
        let added = indexed.iter().cloned().chain(dictionaries).chain(new);
        let bytes = self.session.take_stock(added, [])?;
        indexed.clear();
        Ok(bytes)
    }

    /// Waits for all closed packs; tries again those that failed.
    fn finish_all(&self) -> Result<()> {
        loop {
            let Some(mut entry) = self.closing.lock().pop() else {
                return Ok(());
            };
            if let Some(job) = entry.job.take() {
                // Its outcome is asked for again below, with the error if it failed.
                let _ = job.join();
            }
            match entry.pack.finish(&self.repo.backend) {
                Ok(size) => {
                    self.counters.written.fetch_add(size, Ordering::Relaxed);
                    if let Some(blocks) = &self.repo.blocks {
                        entry.pack.keep(blocks, size);
                    }
                    self.finished.lock().push(entry.pack);
                }
                Err(e) => {
                    self.closing.lock().push(entry);
                    return Err(e);
                }
            }
        }
    }

    /// Makes the finished packs known, then forgets them here.
    fn write_index(&self) -> Result<()> {
        let finished = std::mem::take(&mut *self.finished.lock());
        if finished.is_empty() {
            return Ok(());
        }
        let tables: Vec<_> = finished.iter().filter_map(|pack| pack.table()).collect();
        // Before others see them, who may condemn what no manifest needs yet.
        let own = finished.iter().map(|pack| (pack.class, pack.id()));
        self.relied.lock().extend(own);
        match self.repo.index.add(&tables) {
            Ok((name, bytes)) => {
                self.indexed.lock().push(name);
                self.counters.written.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(e) => {
                self.finished.lock().extend(finished);
                return Err(e);
            }
        }
        let indexed = tables.iter().flat_map(|table| &table.frames);
        let indexed = indexed.map(|frame| frame.objects.len()).sum();
        self.unindexed.fetch_sub(indexed, Ordering::Relaxed);
        let done: Vec<PackId> = finished.iter().map(|pack| pack.id()).collect();
        for shard in &self.pending {
            let mut shard = shard.write();
            shard.retain(|_, place| !matches!(place, Pending::Packed { pack, .. } if done.contains(&pack.id())));
        }
        match self.merge_index() {
            Ok(bytes) => self.counters.written.fetch_add(bytes, Ordering::Relaxed),
            // Merging only saves work later; what was flushed is durable without it.
            Err(e) => {
                tracing::warn!("index files were not merged: {e}");
                0
            }
        };
        Ok(())
    }

    /// Merges index files when there are many, unless somebody else maintains the repository.
    fn merge_index(&self) -> Result<u64> {
        let repo = &self.repo;
        if !repo.index.is_crowded() {
            return Ok(0);
        }
        let Some(lock) = MaintenanceLock::try_acquire(&repo.backend)? else {
            return Ok(0);
        };
        repo.refresh_index()?;
        repo.index
            .merge(|new, old| repo.change_inventory(&lock, [new], old))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::Shared;
    use crate::repo::frame::OpenFrame;
    use crate::repo::id::Kind;
    use crate::repo::tests::Place;

    /// Takes the one frame that a writer's streams have open, as a thread does that finds it full.
    fn take(shared: &Shared) -> Arc<OpenFrame> {
        let streams = shared.streams.lock();
        let frames = streams.iter().flat_map(|stream| {
            let mut open = stream.open.lock();
            open.each_mut().map(Option::take)
        });
        frames.flatten().next().unwrap()
    }

    /// Long enough to see that somebody waits.
    const MOMENT: Duration = Duration::from_millis(200);

    #[test]
    fn a_flush_waits_for_frames_that_others_have_in_hand() {
        let place = Place::new();
        let repo = place.init();
        let writer = repo.writer().unwrap();
        let shared = &writer.shared;
        let mut stream = writer.stream();
        let id = stream.put(Kind::Record, b"in hand").unwrap();
        let frame = take(shared);
        std::thread::scope(|scope| {
            let placing = shared.placing.read();
            let flush = scope.spawn(|| writer.flush());
            std::thread::sleep(MOMENT);
            assert!(!flush.is_finished());
            // It found no place for it.
            shared.waiting.lock().push((frame, None));
            drop(placing);
            flush.join().unwrap().unwrap();
        });
        assert!(place.open().contains(&id));
        // And who takes a frame says so.
        let id = stream.put(Kind::Record, b"full").unwrap();
        let frame = take(shared);
        std::thread::scope(|scope| {
            let all = shared.placing.write();
            let full = scope.spawn(|| shared.full(frame));
            std::thread::sleep(MOMENT);
            assert!(!full.is_finished());
            drop(all);
            full.join().unwrap().unwrap();
        });
        writer.flush().unwrap();
        assert!(place.open().contains(&id));
    }
}
