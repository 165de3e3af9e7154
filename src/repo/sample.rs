//! How much of the packs a verification reads.
//!
//! A share is counted in packs and rounded up, so that a small repository has at least one read. Which
//! ones depends on a seed and their names alone: the same seed reads the same packs again, and every
//! pack is as likely as any other.

use std::collections::HashSet;

use super::id::PackId;

/// What of the packs [`Repository::verify`] reads beside headers and footers.
///
/// [`Repository::verify`]: super::Repository::verify
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadData {
    /// Nothing: structure only.
    Nothing,
    /// Packs chosen at random.
    Share {
        /// Of a hundred packs; what is outside of 0 to 100 counts as the nearer of the two.
        percent: f64,
        /// Chooses them.
        seed: u64,
    },
    /// Every byte.
    All,
}

impl From<bool> for ReadData {
    /// All or nothing.
    fn from(all: bool) -> Self {
        if all {
            ReadData::All
        } else {
            ReadData::Nothing
        }
    }
}

impl ReadData {
    /// Which of these packs are to be read.
    pub(crate) fn choose(self, packs: impl Iterator<Item = PackId>) -> HashSet<PackId> {
        match self {
            ReadData::Nothing => HashSet::new(),
            ReadData::All => packs.collect(),
            ReadData::Share { percent, seed } => {
                let mut ranked: Vec<_> = packs.map(|pack| (rank(seed, pack), pack)).collect();
                ranked.sort_unstable();
                let share = percent.clamp(0.0, 100.0) / 100.0 * ranked.len() as f64;
                ranked.truncate(share.ceil() as usize);
                ranked.into_iter().map(|(_, pack)| pack).collect()
            }
        }
    }
}

fn rank(seed: u64, pack: PackId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&pack.0);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_repeatable_and_fair() {
        let packs = || (0..40u8).map(|n| PackId([n; 16]));
        let share = |percent, seed| ReadData::Share { percent, seed }.choose(packs());
        for (percent, count) in [
            (0.0, 0),
            (0.1, 1),
            (10.0, 4),
            (10.1, 5),
            (100.0, 40),
            (900.0, 40),
        ] {
            assert_eq!(share(percent, 7).len(), count, "{percent} %");
        }
        assert_eq!(share(10.0, 7), share(10.0, 7));
        // Larger shares of a seed go on from smaller ones, and in time every pack has its turn.
        assert!(share(10.0, 7).is_subset(&share(20.0, 7)));
        let seen: HashSet<_> = (0..200).flat_map(|seed| share(10.0, seed)).collect();
        assert_eq!(seen.len(), 40);
        assert_eq!(ReadData::from(false).choose(packs()).len(), 0);
        assert_eq!(ReadData::from(true).choose(packs()).len(), 40);
    }
}
