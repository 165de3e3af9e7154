//! From full frames to packs: encode, find a place, write, complete packs that are full.
//!
//! An accepted object is never dropped: when the disk is full, its frame stays in memory (at most one
//! per thread, since every further put fails until the old ones are written) and the next put or flush
//! tries again.
//!
//! While one thread encodes a frame that it took from a list, the frame is in no list. Others may have been
//! told that its objects are there, and a flush must not miss them. So whoever takes frames holds `placing`
//! (shared) until each has its place or is back in a list, and a flush waits for all of these.
//!
//! Order of locks: `flushing`; then a stream's `open`; then `placing`; then those of training; then `waiting`,
//! `open` (a pack's place), `closing`, the pack's own. What a flush holds exclusively it takes when it needs no
//! more stream, and `flushing` is only tried for by who has one of the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Closing, Pending, Shared};
use crate::repo::codec;
use crate::repo::dictionary::{Dictionary, Released};
use crate::repo::error::Result;
use crate::repo::frame::OpenFrame;
use crate::repo::id::{Kind, ObjectId, PackClass};
use crate::repo::pack::OpenPack;

/// Full packs that may wait for their fsync at the same time.
const FINISHING: usize = 3;

impl Shared {
    /// A frame is full: encode and store it, or hold it back for training.
    pub(crate) fn full(&self, frame: Arc<OpenFrame>) -> Result<()> {
        let _placing = self.placing.read();
        let released = self.training[frame.kind.slot()].offer(frame, &self.repo.dictionaries)?;
        self.store_released(released)
    }

    /// Stores the frames that training let go of.
    pub(super) fn store_released(&self, released: Released) -> Result<()> {
        self.counters
            .written
            .fetch_add(released.written, Ordering::Relaxed);
        let dictionary = released.dictionary.as_ref();
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        if released.frames.len() <= 2 || cores == 1 {
            return self.store_frames(released.frames, dictionary);
        }
        // Many at once only when training ends at a flush: nobody else shares the work then.
        let share = released.frames.len().div_ceil(cores);
        std::thread::scope(|scope| {
            let jobs: Vec<_> = released
                .frames
                .chunks(share)
                .map(|frames| scope.spawn(|| self.store_frames(frames.to_vec(), dictionary)))
                .collect();
            jobs.into_iter().try_for_each(|job| {
                job.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }

    /// Stores frames; those after a failure are only kept.
    fn store_frames(
        &self,
        frames: Vec<Arc<OpenFrame>>,
        dictionary: Option<&Arc<Dictionary>>,
    ) -> Result<()> {
        let mut result = Ok(());
        for frame in frames {
            if result.is_ok() {
                result = self.store_frame(&frame, dictionary.map(|d| d.as_ref()));
                if result.is_ok() {
                    continue;
                }
            }
            self.waiting.lock().push((frame, dictionary.cloned()));
        }
        result
    }

    /// Stores what found no place before.
    pub(crate) fn store_waiting(&self) -> Result<()> {
        if self.waiting.lock().is_empty() {
            return Ok(());
        }
        let _placing = self.placing.read();
        self.place_waiting()
    }

    /// The same for who holds `placing`.
    pub(super) fn place_waiting(&self) -> Result<()> {
        loop {
            let Some((frame, dictionary)) = self.waiting.lock().pop() else {
                break;
            };
            if let Err(e) = self.store_frame(&frame, dictionary.as_deref()) {
                self.waiting.lock().push((frame, dictionary));
                return Err(e);
            }
        }
        Ok(())
    }

    fn store_frame(&self, frame: &OpenFrame, dictionary: Option<&Dictionary>) -> Result<()> {
        let (encoded, raw, objects) = frame.with(|bytes, objects| {
            let encoded = codec::encode(bytes, dictionary);
            (encoded, bytes.len() as u32, objects.to_vec())
        });
        self.place(frame.kind, raw, objects, encoded)
    }

    /// Gives an encoded frame its place in a pack. An error means it has none; a failed write of
    /// one that has is kept by the pack and reported by the next put or flush.
    pub(crate) fn place(
        &self,
        kind: Kind,
        raw: u32,
        objects: Vec<(ObjectId, u32)>,
        encoded: Vec<u8>,
    ) -> Result<()> {
        let class = kind.class();
        let (pack, slot, full) = loop {
            let pack = self.open_pack(class)?;
            if let Some((slot, full)) = pack.reserve(kind, raw, encoded.len(), objects.clone()) {
                break (pack, slot, full);
            }
            self.detach(&pack);
        };
        self.unindexed.fetch_add(objects.len(), Ordering::Relaxed);
        let mut offset = 0;
        for (id, len) in objects {
            let place = Pending::Packed {
                pack: pack.clone(),
                number: slot.number,
                offset,
                len,
            };
            self.shard(&id).write().insert(id, place);
            offset += len;
        }
        let written = pack.write(&self.repo.backend, slot, encoded);
        if full && self.detach(&pack) {
            self.finish_soon(pack);
            self.index_full_packs();
        }
        if let Err(e) = written {
            // The pack keeps the frame, so the objects are accepted; the error is seen by the
            // next put, which first tries to write what is kept.
            tracing::debug!("{e}");
        }
        Ok(())
    }

    /// The pack that frames of a class go to. Also where a full disk is noticed before anything
    /// new is accepted.
    fn open_pack(&self, class: PackClass) -> Result<Arc<OpenPack>> {
        let mut open = self.open[class.slot()].lock();
        if let Some(pack) = open.as_ref() {
            pack.retry(&self.repo.backend)?;
            return Ok(pack.clone());
        }
        self.session.check()?;
        let pack = Arc::new(self.repo.new_pack(class, self.session.staging())?);
        *open = Some(pack.clone());
        Ok(pack)
    }

    /// Takes a pack out of service; true for the one caller who did.
    pub(super) fn detach(&self, pack: &Arc<OpenPack>) -> bool {
        let mut open = self.open[pack.class.slot()].lock();
        let ours = open
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, pack));
        if ours {
            *open = None;
            pack.close();
            self.closing.lock().push(Closing {
                pack: pack.clone(),
                job: None,
            });
        }
        ours
    }

    /// Completes a full pack in the background, so that nobody waits for its fsync.
    fn finish_soon(&self, pack: Arc<OpenPack>) {
        let mut closing = self.closing.lock();
        if closing
            .iter()
            .filter(|c| c.job.as_ref().is_some_and(|job| !job.is_finished()))
            .count()
            >= FINISHING
        {
            return;
        }
        if let Some(entry) = closing.iter_mut().find(|c| Arc::ptr_eq(&c.pack, &pack)) {
            let backend = self.repo.backend.clone();
            entry.job = Some(std::thread::spawn(move || pack.finish(&backend)));
        }
    }
}
