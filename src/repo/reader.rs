//! Reading objects: id -> place -> frame -> slice.
//!
//! Decoded frames are kept in a bounded cache, so neighbours cost one decode; opened packs (file
//! and key) are kept too. A raw chunk is read with one pread, opened in place and handed out
//! without a copy.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;

use super::Inner;
use super::backend::pread;
use super::blocks::Extent;
use super::codec;
use super::error::{RepoError, Result};
use super::id::{Kind, ObjectId, PackId};
use super::index::{FramePlace, Place};
use super::pack::PackSeal;
use super::writer::Pending;

/// Bytes of decoded frames that are kept.
pub(crate) const FRAME_CACHE: u64 = 32 << 20;
/// Opened packs that are kept: each costs a file descriptor.
pub(crate) const PACK_CACHE: usize = 128;

#[derive(Clone)]
pub(crate) struct ByLength;

impl<K> Weighter<K, Bytes> for ByLength {
    fn weight(&self, _: &K, frame: &Bytes) -> u64 {
        frame.len() as u64 + 64
    }
}

pub(crate) type FrameCache = quick_cache::sync::Cache<(PackId, u32), Bytes, ByLength>;
/// The cache of decoded frames.
///
/// One shard, half of it for frames seen once. By default it would be divided into shards, each
/// with a few per cent for newcomers: less than one frame of a large file, which then is thrown
/// away between the reads that want it, and decoded two or three times.
pub(crate) fn frame_cache() -> FrameCache {
    let options = quick_cache::OptionsBuilder::new()
        .estimated_items_capacity(1024)
        .weight_capacity(FRAME_CACHE)
        .shards(1)
        .hot_allocation(0.5)
        .build();
    match options {
        Ok(options) => FrameCache::with_options(
            options,
            ByLength,
            quick_cache::DefaultHashBuilder::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        ),
        Err(_) => FrameCache::with_weighter(1024, FRAME_CACHE, ByLength),
    }
}

pub(crate) type PackCache = quick_cache::sync::Cache<PackId, Arc<ReadPack>>;

/// A pack that frames are read from.
pub(crate) struct ReadPack {
    seal: PackSeal,
    /// Local packs only.
    file: Option<File>,
}

impl FramePlace {
    fn extent(&self) -> Extent {
        Extent {
            class: self.class,
            pack: self.pack,
            offset: self.offset.into(),
            len: self.stored.into(),
        }
    }
}

impl Inner {
    /// Where an object is, looking again for index files of others before giving up.
    pub(crate) fn place(&self, id: &ObjectId) -> Result<Option<Place>> {
        if let Some(place) = self.index.find(id) {
            return Ok(Some(place));
        }
        Ok(if self.refresh_index()? {
            self.index.find(id)
        } else {
            None
        })
    }

    /// The object's bytes.
    pub(crate) fn get(&self, kind: Kind, id: &ObjectId) -> Result<Bytes> {
        let check = |found: Kind| {
            if found == kind {
                Ok(())
            } else {
                Err(RepoError::WrongKind {
                    id: *id,
                    asked: kind,
                    found,
                })
            }
        };
        match self.pending(id) {
            Some(Pending::Open { frame, offset, len }) => {
                check(frame.kind)?;
                return frame
                    .read(offset, len)
                    .ok_or(RepoError::ObjectMissing { kind, id: *id });
            }
            Some(Pending::Packed {
                pack,
                number,
                offset,
                len,
            }) => {
                let missing = || RepoError::ObjectMissing { kind, id: *id };
                let (found, raw) = pack.shape(number).ok_or_else(missing)?;
                check(found)?;
                let key = (pack.id(), number);
                let frame = match self.frames.get(&key) {
                    Some(frame) => frame,
                    None => {
                        let encoded = pack.read(number)?;
                        let file = || pack.id().file(pack.class);
                        let frame = codec::decode(encoded, raw as usize, &self.dictionaries)?
                            .ok_or_else(|| {
                                RepoError::damaged(
                                    file(),
                                    format!("frame {number} does not decode"),
                                )
                            })?;
                        self.frames.insert(key, frame.clone());
                        frame
                    }
                };
                return slice(&frame, offset, len).ok_or_else(missing);
            }
            None => {}
        }
        let place = self
            .place(id)?
            .ok_or(RepoError::ObjectMissing { kind, id: *id })?;
        check(place.frame.kind)?;
        let (place, frame) = match self.frame(&place.frame) {
            // Deleted since the index was read; where the object is now is in a newer one.
            Err(e @ RepoError::FileMissing { .. }) => {
                self.refresh_index()?;
                match self.index.find(id) {
                    Some(moved) if moved.frame.pack != place.frame.pack => {
                        (moved, self.frame(&moved.frame)?)
                    }
                    _ => return Err(e),
                }
            }
            frame => (place, frame?),
        };
        slice(&frame, place.offset, place.len).ok_or_else(|| {
            RepoError::damaged(
                place.frame.pack.file(place.frame.class),
                "an object is outside its frame",
            )
        })
    }

    /// A decoded frame, from the cache or the pack.
    pub(crate) fn frame(&self, place: &FramePlace) -> Result<Bytes> {
        // Who comes while a frame is being decoded waits for it: readers of neighbours come together.
        self.frames
            .get_or_insert_with(&(place.pack, place.number), || self.read_frame(place))
    }

    /// A decoded frame from the pack; of a remote one, from the blocks kept here.
    pub(crate) fn read_frame(&self, place: &FramePlace) -> Result<Bytes> {
        if let Some(blocks) = &self.blocks {
            let extent = place.extent();
            let (sealed, kept) = blocks.read(&extent)?;
            match self.decoded(place, sealed) {
                // Perhaps it is only the local disk's fault.
                Err(RepoError::Damaged { .. }) if kept => blocks.forget(&extent),
                decoded => return decoded,
            }
        }
        self.read_stored_frame(place)
    }

    /// A decoded frame as the repository has it, whatever is kept here.
    pub(crate) fn read_stored_frame(&self, place: &FramePlace) -> Result<Bytes> {
        self.decoded(place, self.sealed_frame(place)?)
    }

    /// The same, opened and still compressed.
    pub(crate) fn encoded_frame(&self, place: &FramePlace) -> Result<Vec<u8>> {
        self.opened(place, self.sealed_frame(place)?)
    }

    fn sealed_frame(&self, place: &FramePlace) -> Result<Vec<u8>> {
        let name = || place.pack.file(place.class);
        let (offset, len) = (place.offset.into(), place.stored.into());
        match &self.pack(place)?.file {
            Some(file) => pread(file, offset, len).map_err(|e| match e.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    RepoError::damaged(name(), "it is shorter than it was")
                }
                _ => RepoError::io(format!("cannot read {}", name()), e),
            }),
            None => self.backend.get_range(&name(), offset, len),
        }
    }

    fn opened(&self, place: &FramePlace, sealed: Vec<u8>) -> Result<Vec<u8>> {
        self.pack(place)?
            .seal
            .open_frame(place.number, place.kind, place.raw, sealed)
            .ok_or_else(|| {
                // A repair may put a healed file in its place, which this handle would never see.
                self.packs.remove(&place.pack);
                RepoError::damaged(
                    place.pack.file(place.class),
                    format!("frame {} fails its authentication", place.number),
                )
            })
    }

    fn decoded(&self, place: &FramePlace, sealed: Vec<u8>) -> Result<Bytes> {
        let encoded = self.opened(place, sealed)?;
        codec::decode(encoded, place.raw as usize, &self.dictionaries)?.ok_or_else(|| {
            RepoError::damaged(
                place.pack.file(place.class),
                format!("frame {} does not decode", place.number),
            )
        })
    }

    /// Brings objects of a remote repository onto the local disk, a request for each run of
    /// neighbours, so that reading them does not wait. Those that are not known are left out.
    pub(crate) fn prefetch(&self, ids: &[ObjectId]) -> Result<()> {
        let Some(blocks) = &self.blocks else {
            return Ok(());
        };
        let places = ids.iter().filter_map(|id| self.index.find(id));
        let mut extents: Vec<Extent> = places.map(|place| place.frame.extent()).collect();
        extents.sort_unstable_by_key(|extent| (extent.pack, extent.offset));
        let mut runs: Vec<Extent> = Vec::new();
        for extent in extents {
            match runs.last_mut() {
                Some(run) if run.pack == extent.pack && extent.offset <= run.offset + run.len => {
                    let end = extent.offset + extent.len;
                    run.len = run.len.max(end - run.offset);
                }
                _ => runs.push(extent),
            }
        }
        runs.iter().try_for_each(|run| blocks.prefetch(run))
    }

    fn pack(&self, place: &FramePlace) -> Result<Arc<ReadPack>> {
        if let Some(pack) = self.packs.get(&place.pack) {
            return Ok(pack);
        }
        let file = if self.backend.is_local() {
            Some(self.backend.open_local(&place.pack.file(place.class))?)
        } else {
            None
        };
        let master = self.keys.get(place.key, &place.pack.file(place.class))?;
        let seal = PackSeal::new(&master, &self.config.id, place.pack);
        let pack = Arc::new(ReadPack { seal, file });
        self.packs.insert(place.pack, pack.clone());
        Ok(pack)
    }
}

fn slice(frame: &Bytes, offset: u32, len: u32) -> Option<Bytes> {
    let start = offset as usize;
    let end = start.checked_add(len as usize)?;
    (end <= frame.len()).then(|| frame.slice(start..end))
}
