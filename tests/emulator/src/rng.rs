//! Numbers that look random and are the same for the same seed on every machine and release.
//!
//! SplitMix64: a tenant is generated lazily, item by item and in any order, so each item has a
//! generator of its own, keyed by the seed and the item's name.

/// A stream of numbers; see the module.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `label` in the tenant with this seed.
    pub fn new(seed: u64, label: &str) -> Rng {
        let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in label.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Rng::at(hash, 0)
    }

    /// The stream of item `index` below `key`: cheap, for millions of items.
    pub fn at(key: u64, index: u64) -> Rng {
        let mut rng = Rng(key ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93));
        rng.next();
        rng
    }

    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
        }
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A version 4 GUID in lower case.
    pub fn guid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.bytes16())
            .into_uuid()
            .to_string()
    }

    pub fn bytes16(&mut self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.next().to_le_bytes());
        out[8..].copy_from_slice(&self.next().to_le_bytes());
        out
    }

    /// Fills `out`; what compresses badly is made of this.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_label_alone() {
        assert_eq!(Rng::new(7, "a").guid(), Rng::new(7, "a").guid());
        assert_ne!(Rng::new(7, "a").guid(), Rng::new(8, "a").guid());
        assert_ne!(Rng::new(7, "a").guid(), Rng::new(7, "b").guid());
        let mut rng = Rng::new(1, "x");
        assert!((0..1000).all(|_| rng.range(3, 5) >= 3 && rng.below(9) < 9));
    }
}
