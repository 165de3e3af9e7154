//! A local copy of one index file: decoded, sorted by id, memory-mapped.
//!
//! 64 bytes of header, then packs of 32 bytes, frames of 24, entries of 32, and a directory of 8, all
//! little endian, no pointers. Ids are uniform, so the directory has a slot for each value of their first
//! bits: where the entries begin that have it, some four of them, and which values the next five bits have
//! among these. So a lookup that finds nothing mostly touches one place, and one that finds something three.
//! It can be deleted at any time: the truth is the sealed index file in the repository,
//! and behind that the packs. All reads are bounds checked, so a damaged copy gives wrong answers
//! (which the seals of the packs catch), never a crash.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use memmap2::Mmap;

use super::super::error::{RepoError, Result};
use super::super::id::{Kind, ObjectId, PackClass, PackId};
use super::super::table::PackTable;

const MAGIC: &[u8; 8] = b"tfsidx\x03\n";
const HEADER: usize = 64;
const PACK: usize = 32;
const FRAME: usize = 24;
const ENTRY: usize = 32;
const SLOT: usize = 8;

/// What the names of copies begin with that are being written.
const UNFINISHED: &str = ".unfinished-";
/// Nobody writes one for longer.
const WRITTEN_WITHIN: Duration = Duration::from_secs(86_400);

/// Whether this is a copy that a process may be about to finish. Goes by its age, since taking away one
/// that is needed costs that process no more than another try.
pub(crate) fn is_being_written(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let age = || path.metadata().ok()?.modified().ok()?.elapsed().ok();
    name.is_some_and(|name| name.starts_with(UNFINISHED))
        && age().is_none_or(|age| age < WRITTEN_WITHIN)
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub frame: FramePlace,
    /// Where it begins in its decoded frame, and its length.
    pub offset: u32,
    pub len: u32,
}

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FramePlace {
    pub pack: PackId,
    pub class: PackClass,
    /// Number of the pack's master key.
    pub key: u8,
    pub number: u32,
    pub kind: Kind,
    pub offset: u32,
    pub stored: u32,
    pub raw: u32,
}

/// A pack that an index file names.
struct Pack {
    id: PackId,
    class: PackClass,
    key: u8,
    size: u64,
}

/// One mapped index file.
pub(crate) struct IndexFile {
    map: Mmap,
    packs: usize,
    frames: usize,
    entries: usize,
}

/// How many of an id's first bits the directory of so many entries goes by.
fn directory_bits(entries: usize) -> u32 {
    (entries / 4).checked_ilog2().unwrap_or(0).min(31)
}

/// Slots of the directory: one for each value of these bits, and one for the end.
fn directory_len(entries: usize) -> usize {
    (1 << directory_bits(entries)) + 1
}

/// The slot of an id, and the bit that stands for it there.
fn directory_slot(id: &ObjectId, bits: u32) -> (usize, u32) {
    let slot = id.prefix().checked_shr(64 - bits).unwrap_or(0);
    let next = (id.prefix() << bits) >> (64 - 5);
    (slot as usize, 1 << next)
}

/// The directory of entries with these ids, which are sorted: where each slot begins, and its bits.
fn directory(ids: &[(ObjectId, u32, u32, u32)]) -> Vec<(u32, u32)> {
    let bits = directory_bits(ids.len());
    let mut slots = vec![(0u32, 0u32); directory_len(ids.len())];
    for (id, ..) in ids {
        let (slot, bit) = directory_slot(id, bits);
        slots[slot].1 |= bit;
        // Counted one slot on, so that the sums are where they begin.
        slots[slot + 1].0 += 1;
    }
    let mut start = 0;
    for slot in &mut slots {
        start += slot.0;
        slot.0 = start;
    }
    slots
}

impl IndexFile {
    /// Writes the local copy of these tables, whole or not at all.
    pub(crate) fn write(path: &Path, tables: &[PackTable]) -> Result<()> {
        let failed = |e| RepoError::io(format!("cannot write {}", path.display()), e);
        let frames: usize = tables.iter().map(|table| table.frames.len()).sum();
        let objects: usize = tables
            .iter()
            .flat_map(|t| &t.frames)
            .map(|f| f.objects.len())
            .sum();
        let mut entries: Vec<(ObjectId, u32, u32, u32)> = Vec::with_capacity(objects);
        for (number, frame) in tables.iter().flat_map(|table| &table.frames).enumerate() {
            let mut offset = 0u32;
            for (id, len) in &frame.objects {
                entries.push((*id, number as u32, offset, *len));
                offset = offset.saturating_add(*len);
            }
        }
        entries.sort_unstable();
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let mut temporary = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder)
            .map_err(failed)?;
        let mut out = BufWriter::with_capacity(256 << 10, temporary.as_file_mut());
        let write = |out: &mut BufWriter<&mut File>| -> std::io::Result<()> {
            let mut header = [0u8; HEADER];
            header[..8].copy_from_slice(MAGIC);
            for (i, n) in [tables.len(), frames, objects].into_iter().enumerate() {
                header[8 + i * 8..16 + i * 8].copy_from_slice(&(n as u64).to_le_bytes());
            }
            out.write_all(&header)?;
            for table in tables {
                let mut pack = [0u8; PACK];
                pack[..16].copy_from_slice(&table.id.0);
                pack[16] = table.class as u8;
                pack[17] = table.key;
                pack[24..].copy_from_slice(&table.size.to_le_bytes());
                out.write_all(&pack)?;
            }
            for (pack, table) in tables.iter().enumerate() {
                for (number, frame) in table.frames.iter().enumerate() {
                    let fields = [
                        pack as u32,
                        number as u32,
                        frame.offset,
                        frame.stored,
                        frame.raw,
                        frame.kind as u32,
                    ];
                    for field in fields {
                        out.write_all(&field.to_le_bytes())?;
                    }
                }
            }
            for (id, frame, offset, len) in &entries {
                out.write_all(id.as_bytes())?;
                for field in [frame, offset, len] {
                    out.write_all(&field.to_le_bytes())?;
                }
            }
            for (start, bits) in directory(&entries) {
                out.write_all(&start.to_le_bytes())?;
                out.write_all(&bits.to_le_bytes())?;
            }
            out.flush()
        };
        write(&mut out).map_err(failed)?;
        drop(out);
        // After a power cut a renamed but empty copy would cost a rebuild at best.
        temporary.as_file().sync_data().map_err(failed)?;
        temporary.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// Maps a local copy; `None` when there is none, or it is not whole.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let failed = |e| RepoError::io(format!("cannot read {}", path.display()), e);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        // SAFETY: the file is private to this program (in its state folder, mode of the folder),
        // created under another name and never written after the rename that gave it this one;
        // it is replaced only by renames, which leave the mapped inode alone. So the mapped bytes
        // neither change nor shrink while the map lives.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let number = |at: usize| -> Option<usize> {
            usize::try_from(u64::from_le_bytes(map.get(at..at + 8)?.try_into().ok()?)).ok()
        };
        let (Some(packs), Some(frames), Some(entries)) = (number(8), number(16), number(24)) else {
            return Ok(None);
        };
        let size = (|| {
            let packs = packs.checked_mul(PACK)?;
            let frames = frames.checked_mul(FRAME)?;
            entries
                .checked_mul(ENTRY)?
                .checked_add(packs)?
                .checked_add(frames)?
                .checked_add(directory_len(entries) * SLOT)?
                .checked_add(HEADER)
        })();
        if !map.starts_with(MAGIC) || size != Some(map.len()) {
            return Ok(None);
        }
        Ok(Some(IndexFile {
            map,
            packs,
            frames,
            entries,
        }))
    }

    /// Number of objects.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// Looks an id up.
    pub(crate) fn find(&self, id: &ObjectId) -> Option<Place> {
        self.place(self.search(id)?)
    }

    /// All places of an object in this file, with the numbers of their entries; in every pack that holds
    /// it there is one.
    pub(crate) fn find_all(&self, id: &ObjectId) -> impl Iterator<Item = (usize, Place)> + '_ {
        let id = *id;
        let is_same = move |at: usize| self.id(at) == Some(id);
        let found = self.search(&id);
        let first = found.map(|found| {
            let before = (0..found).rev().take_while(|at| is_same(*at));
            before.last().unwrap_or(found)
        });
        let all = first.into_iter().flat_map(|first| first..self.entries);
        all.take_while(move |at| is_same(*at))
            .filter_map(|at| Some((at, self.place(at)?)))
    }

    /// For each entry its number, that of its pack in this file, and how many bytes of the pack it
    /// accounts for: its share of its frame.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (usize, usize, u64)> + '_ {
        (0..self.entries).filter_map(|at| {
            let (frame, pack) = self.frame_of(at)?;
            let (stored, raw) = (u64::from(number(frame, 12)?), u64::from(number(frame, 16)?));
            let len = u64::from(number(self.entry(at)?, 28)?);
            Some((at, pack, stored * len / raw.max(1)))
        })
    }

    fn id(&self, at: usize) -> Option<ObjectId> {
        ObjectId::from_slice(self.entry(at)?.get(..ObjectId::LEN)?)
    }

    fn entry(&self, at: usize) -> Option<&[u8]> {
        let base = self.entries_at();
        let entry = base + at * ENTRY..base + (at + 1) * ENTRY;
        self.map.get(entry).filter(|_| at < self.entries)
    }

    /// The frame of an entry, and the number of its pack.
    fn frame_of(&self, at: usize) -> Option<(&[u8], usize)> {
        let frame = number(self.entry(at)?, 20)? as usize;
        let base = HEADER + self.packs * PACK;
        let frames = self.map.get(base..base + self.frames * FRAME)?;
        let frame = frames.get(frame * FRAME..(frame + 1) * FRAME)?;
        Some((frame, number(frame, 0)? as usize))
    }

    /// The number of an entry of this id.
    fn search(&self, id: &ObjectId) -> Option<usize> {
        let (slot, bit) = directory_slot(id, directory_bits(self.entries));
        let directory = self.entries_at() + self.entries * ENTRY;
        let slot = self.map.get(directory + slot * SLOT..)?;
        if number(slot, 4)? & bit == 0 {
            return None;
        }
        let (mut low, mut high) = (number(slot, 0)? as usize, number(slot, SLOT)? as usize);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle)?[..ObjectId::LEN].cmp(id.as_bytes()) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The packs this file knows, with their sizes.
    pub(crate) fn packs(&self) -> impl Iterator<Item = (PackClass, PackId, u64)> + '_ {
        (0..self.packs).filter_map(|i| {
            let pack = self.pack(i)?;
            Some((pack.class, pack.id, pack.size))
        })
    }

    /// The same with the number of their master key.
    pub(crate) fn sealed_packs(&self) -> impl Iterator<Item = (PackId, u8, u64)> + '_ {
        (0..self.packs).filter_map(|i| {
            let pack = self.pack(i)?;
            Some((pack.id, pack.key, pack.size))
        })
    }

    /// Whether there are objects of a kind. Looks at frames only, of which there are few.
    pub(crate) fn has_kind(&self, kind: Kind) -> bool {
        let base = HEADER + self.packs * PACK;
        let frames = self.map.get(base..base + self.frames * FRAME);
        let mut frames = frames.unwrap_or_default().chunks_exact(FRAME);
        frames.any(|frame| number(frame, 20) == Some(kind as u32))
    }

    /// Kind and length of all objects, in order of their ids.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (ObjectId, Place)> + '_ {
        (0..self.entries).filter_map(|i| Some((self.id(i)?, self.place(i)?)))
    }

    /// Where the entries begin.
    fn entries_at(&self) -> usize {
        HEADER + self.packs * PACK + self.frames * FRAME
    }

    fn pack(&self, i: usize) -> Option<Pack> {
        let bytes = self
            .map
            .get(HEADER + i * PACK..HEADER + (i + 1) * PACK)
            .filter(|_| i < self.packs)?;
        let size = u64::from_le_bytes(bytes[24..32].try_into().ok()?);
        Some(Pack {
            class: PackClass::from_u8(bytes[16])?,
            id: PackId(bytes[..16].try_into().ok()?),
            key: bytes[17],
            size,
        })
    }

    fn place(&self, i: usize) -> Option<Place> {
        let entry = self.entry(i)?;
        let (frame, pack) = self.frame_of(i)?;
        let pack = self.pack(pack)?;
        let frame = FramePlace {
            pack: pack.id,
            class: pack.class,
            key: pack.key,
            number: number(frame, 4)?,
            offset: number(frame, 8)?,
            stored: number(frame, 12)?,
            raw: number(frame, 16)?,
            kind: Kind::from_u8(u8::try_from(number(frame, 20)?).ok()?)?,
        };
        Some(Place {
            frame,
            offset: number(entry, 24)?,
            len: number(entry, 28)?,
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::super::table::FrameEntry;
    use super::*;

    fn id(n: u64) -> ObjectId {
        let hash = blake3::hash(&n.to_le_bytes());
        ObjectId::from_slice(&hash.as_bytes()[..20]).unwrap()
    }

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0u64, 1, 2, 3, 1000] {
            let path = folder.path().join(format!("{count}"));
            let frame = |n: u64| FrameEntry {
                kind: Kind::Record,
                offset: n as u32 * 100,
                stored: 100,
                raw: 7,
                objects: vec![(id(2 * n), 3), (id(2 * n + 1), 4)],
            };
            let table = PackTable {
                id: PackId([3; 16]),
                class: PackClass::Meta,
                key: 5,
                size: 99,
                frames: (0..count).map(frame).collect(),
            };
            IndexFile::write(&path, &[table]).unwrap();
            let index = IndexFile::open(&path).unwrap().unwrap();
            assert_eq!(index.len() as u64, count * 2);
            for n in 0..count * 2 {
                let place = index.find(&id(n)).unwrap();
                assert_eq!(u64::from(place.frame.number), n / 2);
                assert_eq!(
                    (place.offset, place.len),
                    if n % 2 == 0 { (0, 3) } else { (3, 4) }
                );
                assert_eq!((place.frame.pack, place.frame.key), (PackId([3; 16]), 5));
            }
            for n in count * 2..count * 2 + 500 {
                assert_eq!(index.find(&id(n)), None);
            }
            assert_eq!(index.find(&ObjectId([0; 20])), None);
            assert_eq!(index.find(&ObjectId([255; 20])), None);
        }
    }

    #[test]
    fn a_damaged_copy_never_panics() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let frame = FrameEntry {
            kind: Kind::Mail,
            offset: 24,
            stored: 30,
            raw: 3,
            objects: vec![(id(1), 3)],
        };
        let table = PackTable {
            id: PackId([3; 16]),
            class: PackClass::Data,
            key: 0,
            size: 99,
            frames: vec![frame],
        };
        IndexFile::write(&path, &[table]).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] = 0xff;
            fs::write(&path, &bad).unwrap();
            if let Some(index) = IndexFile::open(&path).unwrap() {
                let _ = index.find(&id(1));
                let _ = index.packs().count() + index.objects().count();
                let _ = index.find_all(&id(1)).count() + index.shares().count();
            }
            fs::write(&path, &good[..at]).unwrap();
            assert!(IndexFile::open(&path).unwrap().is_none());
        }
    }
}
