//! Parity: what heals the flipped bits of a pack.
//!
//! `parity/xx/<pack id>` belongs to the pack of that name. The pack's bytes are cut into equal shards (the
//! last one filled up with zeros), and the file holds further shards made of them with a Reed-Solomon
//! code: as many shards as those can be lost or damaged, of the pack and of the parity together, and
//! the rest gives them all back. Which shards are damaged, keyed hashes tell. The file:
//!
//! ```text
//! head ‖ recovery shards ‖ head ‖ length of a head u32
//! head = "tfsR", version, class of the pack, 0, 0, pack id 16, size of the pack u64,
//!        bytes of a shard u32, shards of the pack u32, recovery shards u32,
//!        hash 16 of each shard (the pack's, then the recovery shards), hash 32 of the head so far
//! ```
//!
//! So each part stands for itself: a head is whole or is not believed, and there are two; a damaged
//! recovery shard is one that is missing. Invariants: the parity is durable before its pack has its
//! name, and what is healed is authenticated as a whole, frame by frame, before it replaces anything.

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::error::{RepoError, Result};
use super::id::{PackClass, PackId, from_hex, hex};
use super::key::MasterKey;
use super::seal::{FORMAT_VERSION, RepoId};
use super::wire::{Input, Malformed};

/// Folder of parity files.
pub(crate) const FOLDER: &str = "parity";
/// Head of the longest file that is made: a look at so many bytes sees it whole.
pub(crate) const LONGEST_HEAD: u64 = 72 << 10;

const MAGIC: &[u8; 4] = b"tfsR";
/// Bytes of a head before the hashes.
const FIXED: usize = 44;
/// Bytes of a shard's hash.
const HASH: usize = 16;
/// Bytes of a head's own hash.
const SEAL: usize = 32;
/// Shards of a pack, unless these would be shorter than [`SHORTEST`].
const SHARDS: u64 = 2048;
/// Bytes of the shortest shard.
const SHORTEST: u64 = 1024;
/// The code works on multiples of so many bytes, the same in all versions of it.
const STEP: u64 = 64;
/// More shards than this, of either sort, are damage or malice.
const MOST: u32 = 1 << 15;

/// How much parity packs get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parity {
    /// Hundredths of a per cent; 0: none.
    pub(crate) share: u32,
}

impl Parity {
    /// No parity.
    pub const OFF: Parity = Parity { share: 0 };
    /// What a pack gets whose parity was lost when nobody says how much.
    pub(crate) const USUAL: Parity = Parity { share: 500 };

    /// Parity of this share of the packs' bytes; `None` unless it is from 0.01 to 100 per cent.
    pub fn percent(percent: f64) -> Option<Parity> {
        let share = (percent * 100.0).round();
        (1.0..=10_000.0).contains(&share).then_some(Parity {
            share: share as u32,
        })
    }

    /// True without parity.
    pub fn is_off(self) -> bool {
        self.share == 0
    }
}

/// File name of a pack's parity, relative to the repository.
pub(crate) fn file(id: PackId) -> String {
    let name = hex(&id.0);
    format!("{FOLDER}/{}/{name}", &name[..2])
}

/// The pack whose parity a listed file name stands for.
pub(crate) fn parse(file: &str) -> Option<PackId> {
    let name = file.rsplit('/').next()?;
    let mut id = [0; 16];
    let id = from_hex(name, &mut id).then_some(PackId(id))?;
    (self::file(id) == file).then_some(id)
}

/// Into how many shards of how many bytes a pack is cut, and how many are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    size: u64,
    shard: u32,
    data: u32,
    recovery: u32,
}

impl Layout {
    /// One shard more than the share, since a run of damaged bytes begins and ends within shards.
    fn new(size: u64, parity: Parity) -> Self {
        let shard = size.div_ceil(SHARDS).max(SHORTEST).next_multiple_of(STEP);
        let data = size.div_ceil(shard);
        let recovery = (data * u64::from(parity.share)).div_ceil(10_000) + 1;
        Layout {
            size,
            shard: shard as u32,
            data: data as u32,
            recovery: recovery as u32,
        }
    }

    fn is_sound(&self) -> bool {
        let Layout {
            size,
            shard,
            data,
            recovery,
        } = *self;
        shard > 0
            && u64::from(shard).is_multiple_of(STEP)
            && size <= u64::from(u32::MAX)
            && size.div_ceil(shard.into()) == u64::from(data)
            && (1..=MOST).contains(&data)
            && (1..=MOST).contains(&recovery)
    }

    fn head_len(&self) -> usize {
        FIXED + (self.data + self.recovery) as usize * HASH + SEAL
    }

    fn file_len(&self) -> u64 {
        2 * self.head_len() as u64 + u64::from(self.recovery) * u64::from(self.shard) + 4
    }
}

/// Makes and reads the parity of one pack.
pub(crate) struct PackParity {
    key: [u8; 32],
    class: PackClass,
    id: PackId,
}

/// A head that is as it was written.
struct Head {
    layout: Layout,
    hashes: Vec<[u8; HASH]>,
}

impl PackParity {
    pub(crate) fn new(master: &MasterKey, repo: &RepoId, class: PackClass, id: PackId) -> Self {
        let salt = [repo.as_slice(), &id.0].concat();
        PackParity {
            key: *master.derive("tenantfs 2026-11-26 parity", &salt),
            class,
            id,
        }
    }

    /// The parity file of a pack.
    pub(crate) fn make(&self, pack: &[u8], parity: Parity) -> Result<Vec<u8>> {
        let refused = |e: reed_solomon_simd::Error| {
            RepoError::Invalid(format!("no parity for a pack of {} bytes: {e}", pack.len()))
        };
        let layout = Layout::new(pack.len() as u64, parity);
        let (data, recovery) = (layout.data as usize, layout.recovery as usize);
        let mut encoder =
            ReedSolomonEncoder::new(data, recovery, layout.shard as usize).map_err(refused)?;
        let mut head = self.begin_head(&layout);
        for (index, shard) in shards(pack, &layout).enumerate() {
            head.extend_from_slice(&self.hash(index, &shard));
            encoder.add_original_shard(&shard).map_err(refused)?;
        }
        let made = encoder.encode().map_err(refused)?;
        for (index, shard) in made.recovery_iter().enumerate() {
            head.extend_from_slice(&self.hash(data + index, shard));
        }
        head.extend_from_slice(blake3::keyed_hash(&self.key, &head).as_bytes());
        let mut file = Vec::with_capacity(layout.file_len() as usize);
        file.extend_from_slice(&head);
        made.recovery_iter()
            .for_each(|shard| file.extend_from_slice(shard));
        file.extend_from_slice(&head);
        file.extend_from_slice(&(head.len() as u32).to_le_bytes());
        Ok(file)
    }

    fn begin_head(&self, layout: &Layout) -> Vec<u8> {
        let mut head = Vec::with_capacity(layout.head_len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[FORMAT_VERSION, self.class as u8, 0, 0]);
        head.extend_from_slice(&self.id.0);
        head.extend_from_slice(&layout.size.to_le_bytes());
        for number in [layout.shard, layout.data, layout.recovery] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head
    }

    fn hash(&self, index: usize, shard: &[u8]) -> [u8; HASH] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(index as u32).to_le_bytes());
        hasher.update(shard);
        let mut hash = [0; HASH];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..HASH]);
        hash
    }

    /// The head that these bytes begin with.
    fn head(&self, bytes: &[u8]) -> Option<Head> {
        let layout = read_layout(bytes).ok().filter(Layout::is_sound)?;
        let head = bytes.get(..layout.head_len())?;
        let (signed, seal) = head.split_at(head.len() - SEAL);
        let known = self.begin_head(&layout);
        // Comparing BLAKE3's hashes takes the same time whatever they are.
        let good = blake3::keyed_hash(&self.key, signed) == *<&[u8; SEAL]>::try_from(seal).ok()?;
        if !good || signed[..FIXED] != known {
            return None;
        }
        let hashes = signed[FIXED..].as_chunks().0.to_vec();
        Some(Head { layout, hashes })
    }

    /// Whether a file of `len` bytes that begins so may be the whole parity of a pack of `size` bytes.
    ///
    /// # Errors
    /// What does not fit.
    pub(crate) fn check_head(&self, begin: &[u8], len: u64, size: u64) -> Result<(), &'static str> {
        let head = self.head(begin).ok_or("its head is damaged")?;
        if head.layout.size != size {
            return Err("it belongs to a pack of another size");
        }
        if head.layout.file_len() != len {
            return Err("it is too short or too long");
        }
        Ok(())
    }

    /// Whether a file is as it was written, for a pack of `size` bytes.
    ///
    /// # Errors
    /// What does not fit.
    pub(crate) fn check(&self, file: &[u8], size: u64) -> Result<(), &'static str> {
        self.check_head(file, file.len() as u64, size)?;
        let head = self.head(file).ok_or("its head is damaged")?;
        let len = head.layout.head_len();
        let (rest, end) = file.split_at(file.len() - 4);
        if rest[rest.len() - len..] != file[..len] || end != (len as u32).to_le_bytes() {
            return Err("its second head is damaged");
        }
        let shards = rest[len..rest.len() - len].chunks(head.layout.shard as usize);
        let hashes = &head.hashes[head.layout.data as usize..];
        for (index, (shard, hash)) in shards.zip(hashes).enumerate() {
            if self.hash(head.layout.data as usize + index, shard) != *hash {
                return Err("a shard of it is damaged");
            }
        }
        Ok(())
    }

    /// The pack as it was written, from what is left of it and of its parity.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub(crate) fn heal(&self, pack: &[u8], file: &[u8]) -> Result<Vec<u8>, String> {
        let (head, recovery) = self
            .find(file)
            .ok_or("both heads of its parity are damaged")?;
        let Head { layout, hashes } = head;
        let (data, shard) = (layout.data as usize, layout.shard as usize);
        let mut healed = pack[..pack.len().min(layout.size as usize)].to_vec();
        healed.resize(data * shard, 0);
        let bad: Vec<usize> = healed
            .chunks(shard)
            .enumerate()
            .filter(|(index, shard)| self.hash(*index, shard) != hashes[*index])
            .map(|(index, _)| index)
            .collect();
        let good: Vec<(usize, &[u8])> = recovery
            .chunks_exact(shard)
            .take(layout.recovery as usize)
            .enumerate()
            .filter(|(index, shard)| self.hash(data + index, shard) == hashes[data + index])
            .collect();
        if bad.len() > good.len() {
            return Err(format!(
                "{} of its {data} shards are damaged, and its parity heals {}",
                bad.len(),
                good.len()
            ));
        }
        if !bad.is_empty() {
            let refused = |e: reed_solomon_simd::Error| format!("the code refuses: {e}");
            let mut decoder =
                ReedSolomonDecoder::new(data, layout.recovery as usize, shard).map_err(refused)?;
            for (index, bytes) in healed.chunks(shard).enumerate() {
                if bad.binary_search(&index).is_err() {
                    decoder.add_original_shard(index, bytes).map_err(refused)?;
                }
            }
            for (index, bytes) in &good[..bad.len()] {
                decoder.add_recovery_shard(*index, bytes).map_err(refused)?;
            }
            let restored = decoder.decode().map_err(refused)?;
            for (index, bytes) in restored.restored_original_iter() {
                healed[index * shard..][..shard].copy_from_slice(bytes);
            }
        }
        healed.truncate(layout.size as usize);
        Ok(healed)
    }

    /// A head that is whole, and where the recovery shards are, as far as they are there.
    fn find<'a>(&self, file: &'a [u8]) -> Option<(Head, &'a [u8])> {
        if let Some(head) = self.head(file) {
            let shards = &file[head.layout.head_len()..];
            return Some((head, shards));
        }
        let (rest, end) = file.split_last_chunk::<4>()?;
        let at = rest.len().checked_sub(u32::from_le_bytes(*end) as usize)?;
        let head = self.head(&rest[at..])?;
        let len = head.layout.recovery as usize * head.layout.shard as usize;
        Some((head, &rest[at.checked_sub(len)?..at]))
    }
}

fn read_layout(bytes: &[u8]) -> Result<Layout, Malformed> {
    let mut input = Input::new(bytes);
    input.bytes(FIXED - 20)?;
    Ok(Layout {
        size: u64::from_le_bytes(input.array()?),
        shard: u32::from_le_bytes(input.array()?),
        data: u32::from_le_bytes(input.array()?),
        recovery: u32::from_le_bytes(input.array()?),
    })
}

/// The shards of a pack, the last one filled up.
fn shards(pack: &[u8], layout: &Layout) -> impl Iterator<Item = Vec<u8>> {
    let shard = layout.shard as usize;
    pack.chunks(shard).map(move |bytes| {
        let mut bytes = bytes.to_vec();
        bytes.resize(shard, 0);
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::tests::noise;

    fn parity() -> PackParity {
        PackParity {
            key: [7; 32],
            class: PackClass::Data,
            id: PackId([9; 16]),
        }
    }

    #[test]
    fn names_are_canonical() {
        let id = PackId([0xab; 16]);
        assert_eq!(parse(&file(id)), Some(id));
        assert_eq!(parse(&format!("parity/ac/{}", "ab".repeat(16))), None);
        assert_eq!(parse("parity/notes.txt"), None);
        let sound = [0.01, 5.0, 100.0].map(|share| Parity::percent(share).is_some());
        assert_eq!(sound, [true; 3]);
        assert!(
            [0.0, -1.0, 101.0, f64::NAN]
                .iter()
                .all(|n| Parity::percent(*n).is_none())
        );
    }

    #[test]
    fn bursts_up_to_the_share_heal_and_larger_ones_are_refused() {
        let parity = parity();
        for (size, share) in [(300, 5.0), (100_000, 5.0), (1_000_001, 5.0), (3 << 20, 1.0)] {
            let pack = noise(size as u64, size);
            let file = parity.make(&pack, Parity::percent(share).unwrap()).unwrap();
            parity.check(&file, size as u64).unwrap();
            let burst = (size as f64 * share / 100.0) as usize;
            for at in [0, 1, size / 3, size - burst] {
                let mut bad = pack.clone();
                bad[at..at + burst]
                    .iter_mut()
                    .for_each(|byte| *byte ^= 0x55);
                assert!(parity.heal(&bad, &file).unwrap() == pack, "{size} at {at}");
            }
            let short = &pack[..size - burst];
            assert!(parity.heal(short, &file).unwrap() == pack);
            assert!(
                parity
                    .heal(&[pack.as_slice(), b"xyz"].concat(), &file)
                    .unwrap()
                    == pack
            );
            if size > 50_000 {
                let error = parity.heal(&pack[..size / 2], &file).unwrap_err();
                assert!(error.contains("damaged"), "{error}");
            }
        }
    }

    #[test]
    fn damaged_parity_heals_as_far_as_it_goes_and_never_lies() {
        let parity = parity();
        let pack = noise(1, 60_000);
        let file = parity.make(&pack, Parity::percent(5.0).unwrap()).unwrap();
        let mut bad_pack = pack.clone();
        bad_pack[17] ^= 1;
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(parity.check(&bad, 60_000).is_err(), "byte {at}");
            if at % 7 == 0 {
                assert!(parity.heal(&bad_pack, &bad).unwrap() == pack, "byte {at}");
            }
        }
        for len in (0..file.len()).step_by(61) {
            assert!(parity.check(&file[..len], 60_000).is_err());
            if let Ok(healed) = parity.heal(&bad_pack, &file[..len]) {
                assert!(healed == pack, "{len} bytes of parity");
            }
        }
        // Its beginning is lost: the second head serves.
        assert!(parity.heal(&bad_pack, &file[40..]).unwrap() == pack);
        assert!(parity.check(&file, 60_001).is_err());
        let other = PackParity {
            id: PackId([8; 16]),
            ..self::parity()
        };
        assert!(other.check(&file, 60_000).is_err() && other.heal(&pack, &file).is_err());
    }

    #[test]
    fn the_code_stays_what_it_is() {
        let file = parity().make(&noise(3, 5000), Parity::USUAL).unwrap();
        assert_eq!(
            blake3::hash(&file).to_hex().as_str(),
            "b542154b0d9ce3c71f2fd1fd5868fea6cb0f6c924d9fa6e1c96e1b0f6f81c55f"
        );
    }
}
