//! Which objects are in use: a bit for each entry of the index, so 10,000,000 objects take 1.2 MB a
//! bitmap.
//!
//! The layer above walks what it has written and tells each object it meets. An object that is in
//! several packs is marked in one of them only, the same whenever it is asked for: the first whose pack is
//! not condemned. So what is stored twice by chance goes away again, and a condemned pack has a mark only
//! when it alone has the object.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::super::Inner;
use super::super::error::{RepoError, Result};
use super::super::id::{Kind, ObjectId, PackClass, PackId};
use super::super::index::IndexFile;

/// Bits by number.
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn new(bits: usize) -> Self {
        Bitmap(vec![0; bits.div_ceil(64)])
    }

    /// As many bits, none of them set.
    fn empty(&self) -> Self {
        Bitmap(vec![0; self.0.len()])
    }

    /// Sets a bit; true when it was not set.
    fn set(&mut self, at: usize) -> bool {
        let (word, bit) = (&mut self.0[at / 64], 1 << (at % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    fn get(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }
}

/// What was met so far.
pub struct Mark {
    files: Vec<Numbered>,
    live: Bitmap,
    /// For each way in which objects are read, those that were met so.
    entered: Vec<Bitmap>,
    condemned: HashSet<PackId>,
    count: u64,
    lost: BTreeSet<ObjectId>,
}

/// An index file, and the number of its first entry.
struct Numbered {
    file: Arc<IndexFile>,
    first: usize,
}

/// What of a pack is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PackUse {
    pub id: PackId,
    pub class: PackClass,
    /// Bytes of its file.
    pub size: u64,
    pub objects: u64,
    pub live_objects: u64,
    /// Bytes of its file that its objects account for, their share of their frames; the rest is header,
    /// footer and what rounding loses.
    pub object_bytes: u64,
    /// Of these those of objects in use.
    pub live_bytes: u64,
}

impl PackUse {
    /// A pack that no index names, hence nothing needs.
    pub(super) fn unindexed(id: PackId, class: PackClass, size: u64) -> Self {
        PackUse {
            id,
            class,
            size,
            objects: 0,
            live_objects: 0,
            object_bytes: 0,
            live_bytes: 0,
        }
    }
}

impl Mark {
    /// Nothing is marked yet. Knows the index as it is now; `condemned` are the packs on lists.
    pub(super) fn new(repo: &Inner, condemned: HashSet<PackId>) -> Self {
        let files = repo.index.files().into_iter().map(|(_, file)| file);
        Self::over(files, condemned)
    }

    fn over(index: impl Iterator<Item = Arc<IndexFile>>, condemned: HashSet<PackId>) -> Self {
        let mut first = 0;
        let mut files = Vec::new();
        for file in index {
            let len = file.len();
            files.push(Numbered { file, first });
            first += len;
        }
        Mark {
            files,
            live: Bitmap::new(first),
            entered: Vec::new(),
            condemned,
            count: 0,
            lost: BTreeSet::new(),
        }
    }

    /// Objects marked.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Objects that were met and are nowhere.
    pub fn lost(&self) -> u64 {
        self.lost.len() as u64
    }

    /// Marks an object. True when it was not met in this way before, so that what it refers to has to be
    /// marked, too: the layer above numbers, from 0, the ways in which it reads one and the same object, each
    /// with other consequences. One that a repair gave up has nothing to be marked, and leads nowhere.
    ///
    /// # Errors
    /// [`RepoError::WrongKind`].
    pub fn see(&mut self, kind: Kind, id: &ObjectId, way: usize) -> Result<bool> {
        let Some((at, found, _)) = self.position(id) else {
            self.lost.insert(*id);
            return Ok(false);
        };
        if found != kind {
            return Err(RepoError::WrongKind {
                id: *id,
                asked: kind,
                found,
            });
        }
        if self.live.set(at) {
            self.count += 1;
        }
        if self.entered.len() <= way {
            self.entered.resize_with(way + 1, || self.live.empty());
        }
        Ok(self.entered[way].set(at))
    }

    /// Whether this pack's copy of an object is the one that is in use.
    pub(super) fn keeps(&self, id: &ObjectId, pack: PackId) -> bool {
        self.position(id)
            .is_some_and(|(at, _, found)| found == pack && self.live.get(at))
    }

    /// The entry that stands for an object: its number, kind and pack.
    fn position(&self, id: &ObjectId) -> Option<(usize, Kind, PackId)> {
        let all = self.files.iter().flat_map(|numbered| {
            let places = numbered.file.find_all(id);
            places.map(|(at, place)| (numbered.first + at, place.frame.kind, place.frame.pack))
        });
        let mut condemned = None;
        for found in all {
            if !self.condemned.contains(&found.2) {
                return Some(found);
            }
            condemned.get_or_insert(found);
        }
        condemned
    }

    /// What of each pack is in use, sorted by id.
    pub(super) fn packs(&self) -> Vec<PackUse> {
        let mut all = Vec::new();
        let mut known = HashSet::new();
        for numbered in &self.files {
            let file = &numbered.file;
            // By their number in this file; what another file named before has its marks there.
            let mut places = Vec::new();
            for (class, id, size) in file.packs() {
                places.push(known.insert(id).then_some(all.len()));
                if places.last().is_some_and(Option::is_some) {
                    all.push(PackUse::unindexed(id, class, size));
                }
            }
            for (at, pack, share) in file.shares() {
                let Some(pack) = places.get(pack).copied().flatten() else {
                    continue;
                };
                let pack = &mut all[pack];
                pack.objects += 1;
                pack.object_bytes += share;
                if self.live.get(numbered.first + at) {
                    pack.live_objects += 1;
                    pack.live_bytes += share;
                }
            }
        }
        all.sort_unstable_by_key(|pack| pack.id);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::table::{FrameEntry, PackTable};
    use super::*;

    fn id(n: u8) -> ObjectId {
        ObjectId::from_slice(&blake3::hash(&[n]).as_bytes()[..20]).unwrap()
    }

    /// A pack with these records, of 100 bytes each.
    fn pack(n: u8, objects: &[u8]) -> PackTable {
        let frame = FrameEntry {
            kind: Kind::Record,
            offset: 24,
            stored: 50 * objects.len() as u32,
            raw: 100 * objects.len() as u32,
            objects: objects.iter().map(|n| (id(*n), 100)).collect(),
        };
        PackTable {
            id: PackId([n; 16]),
            class: PackClass::Meta,
            key: 1,
            size: 1000,
            frames: vec![frame],
        }
    }

    fn index(folder: &std::path::Path, name: &str, packs: &[PackTable]) -> Arc<IndexFile> {
        let path = folder.join(name);
        IndexFile::write(&path, packs).unwrap();
        Arc::new(IndexFile::open(&path).unwrap().unwrap())
    }

    #[test]
    fn one_copy_is_marked_and_that_of_a_condemned_pack_last() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b, c) = (pack(1, &[1, 2, 3]), pack(2, &[2, 3, 4]), pack(3, &[4, 5]));
        // The second file names a pack of the first once more, as after a merge that was interrupted.
        let files = [
            index(folder.path(), "x", &[a.clone(), b.clone()]),
            index(folder.path(), "y", &[b.clone(), c.clone()]),
        ];
        let mut mark = Mark::over(files.into_iter(), HashSet::from([a.id]));
        let mut see = |n, way| mark.see(Kind::Record, &id(n), way);
        assert!(see(1, 0).unwrap() && !see(1, 0).unwrap());
        assert!(see(1, 1).unwrap(), "another way to read it");
        assert!(see(2, 0).unwrap() && see(4, 0).unwrap());
        assert!(!see(9, 0).unwrap() && !see(9, 0).unwrap());
        let wrong = mark.see(Kind::Node, &id(1), 0);
        assert!(matches!(wrong, Err(RepoError::WrongKind { .. })));
        assert_eq!((mark.count(), mark.lost()), (3, 1));
        // Only the condemned pack has the first; the second has a copy elsewhere.
        assert!(mark.keeps(&id(1), a.id) && !mark.keeps(&id(2), a.id));
        assert!(mark.keeps(&id(2), b.id) && !mark.keeps(&id(3), b.id));
        assert!(mark.keeps(&id(4), b.id) && !mark.keeps(&id(4), c.id));
        let used = mark.packs();
        let counts = used
            .iter()
            .map(|p| (p.objects, p.live_objects, p.live_bytes));
        assert_eq!(
            counts.collect::<Vec<_>>(),
            [(3, 1, 50), (3, 2, 100), (2, 0, 0)]
        );
    }
}
