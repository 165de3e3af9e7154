//! A local copy of one index file: decoded, sorted by id, memory-mapped.
//!
//! 64 bytes of header, then packs of 32 bytes, frames of 24, entries of 32, all little endian, no
//! pointers. It can be deleted at any time: the truth is the sealed index file in the repository,
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

const MAGIC: &[u8; 8] = b"tfsidx\x01\n";
const HEADER: usize = 64;
const PACK: usize = 32;
const FRAME: usize = 24;
const ENTRY: usize = 32;

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
    pub number: u32,
    pub kind: Kind,
    pub offset: u32,
    pub stored: u32,
    pub raw: u32,
}

/// One mapped index file.
pub(crate) struct IndexFile {
    map: Mmap,
    packs: usize,
    frames: usize,
    entries: usize,
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

    /// Looks an id up: interpolation first (ids are uniform), halving when that stalls.
    pub(crate) fn find(&self, id: &ObjectId) -> Option<Place> {
        let entries = self.entries_bytes();
        let at =
            |i: usize| ObjectId::from_slice(entries.get(i * ENTRY..i * ENTRY + ObjectId::LEN)?);
        let (mut low, mut high) = (0usize, self.entries);
        let (mut low_key, mut high_key) = (0u64, u64::MAX);
        let mut steps = 0;
        while low < high {
            let span = high_key.saturating_sub(low_key).max(1);
            let guess = if steps < 6 {
                let part = u128::from(id.prefix().saturating_sub(low_key)) * (high - low) as u128
                    / u128::from(span);
                low + (part as usize).min(high - low - 1)
            } else {
                low + (high - low) / 2
            };
            steps += 1;
            let found = at(guess)?;
            match found.cmp(id) {
                std::cmp::Ordering::Equal => return self.place(guess),
                std::cmp::Ordering::Less => (low, low_key) = (guess + 1, found.prefix()),
                std::cmp::Ordering::Greater => (high, high_key) = (guess, found.prefix()),
            }
        }
        None
    }

    /// The packs this file knows, with their sizes.
    pub(crate) fn packs(&self) -> impl Iterator<Item = (PackClass, PackId, u64)> + '_ {
        (0..self.packs).filter_map(|i| self.pack(i))
    }

    /// Kind and length of all objects, in order of their ids.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (ObjectId, Place)> + '_ {
        (0..self.entries).filter_map(|i| {
            let id = self
                .entries_bytes()
                .get(i * ENTRY..i * ENTRY + ObjectId::LEN)?;
            Some((ObjectId::from_slice(id)?, self.place(i)?))
        })
    }

    fn entries_bytes(&self) -> &[u8] {
        &self.map[HEADER + self.packs * PACK + self.frames * FRAME..]
    }

    fn pack(&self, i: usize) -> Option<(PackClass, PackId, u64)> {
        let bytes = self
            .map
            .get(HEADER + i * PACK..HEADER + (i + 1) * PACK)
            .filter(|_| i < self.packs)?;
        let size = u64::from_le_bytes(bytes[24..32].try_into().ok()?);
        Some((
            PackClass::from_u8(bytes[16])?,
            PackId(bytes[..16].try_into().ok()?),
            size,
        ))
    }

    fn place(&self, i: usize) -> Option<Place> {
        let entry = self.entries_bytes().get(i * ENTRY..(i + 1) * ENTRY)?;
        let frame_number = number(entry, 20)? as usize;
        let base = HEADER + self.packs * PACK;
        let frame = self.map.get(base..base + self.frames * FRAME)?;
        let frame = frame.get(frame_number * FRAME..(frame_number + 1) * FRAME)?;
        let (class, pack, _) = self.pack(number(frame, 0)? as usize)?;
        let frame = FramePlace {
            pack,
            class,
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
                assert_eq!(place.frame.pack, PackId([3; 16]));
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
            }
            fs::write(&path, &good[..at]).unwrap();
            assert!(IndexFile::open(&path).unwrap().is_none());
        }
    }
}
