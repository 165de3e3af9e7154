//! quickXorHash: the only hash OneDrive for Business gives.
//!
//! Byte number i is XORed into a 160-bit ring, rotated by 11 i bits; then the length goes into the
//! last 8 bytes. The rotation repeats every 160 bytes of input, so input is gathered by XOR in a
//! buffer of 160 bytes and folded once at the end. Not cryptographic: it finds broken transfers,
//! nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A running hash.
#[derive(Clone)]
pub struct QuickXor {
    gathered: [u8; 160],
    at: usize,
    length: u64,
}

impl Default for QuickXor {
    fn default() -> Self {
        Self {
            gathered: [0; 160],
            at: 0,
            length: 0,
        }
    }
}

impl QuickXor {
    /// Takes the next bytes.
    pub fn update(&mut self, mut data: &[u8]) {
        self.length = self.length.wrapping_add(data.len() as u64);
        while !data.is_empty() {
            let n = data.len().min(160 - self.at);
            let (now, rest) = data.split_at(n);
            for (have, byte) in self.gathered[self.at..self.at + n].iter_mut().zip(now) {
                *have ^= byte;
            }
            self.at = (self.at + n) % 160;
            data = rest;
        }
    }

    /// The 20 bytes.
    pub fn finish(&self) -> [u8; 20] {
        let mut ring = [0u8; 20];
        for (i, &byte) in self.gathered.iter().enumerate() {
            let bit = (11 * i) % 160;
            let (index, shift) = (bit / 8, bit % 8);
            let wide = u16::from(byte) << shift;
            ring[index] ^= wide as u8;
            ring[(index + 1) % 20] ^= (wide >> 8) as u8;
        }
        for (have, byte) in ring[12..].iter_mut().zip(self.length.to_le_bytes()) {
            *have ^= byte;
        }
        ring
    }

    /// The hash as Graph writes it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.finish())
    }
}

/// The hash of a whole buffer, as Graph writes it.
pub fn quick_xor(data: &[u8]) -> String {
    let mut hash = QuickXor::default();
    hash.update(data);
    hash.to_base64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn published_vectors() {
        let vectors: [(Vec<u8>, &str); 9] = [
            (vec![], "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            (vec![0x4a], "SgAAAAAAAAAAAAAAAQAAAAAAAAA="),
            (b"a".to_vec(), "YQAAAAAAAAAAAAAAAQAAAAAAAAA="),
            (b"hello world".to_vec(), "aCgDG9jwBhDc4Q1yawMZAAAAAAA="),
            (
                b"The quick brown fox jumps over the lazy dog".to_vec(),
                "bMSlbysmxJL6S75XwfMcQZOpcr4=",
            ),
            ((0..=255).collect(), "QkGEfSisZcA7k+FCh71r2dbCayY="),
            (vec![0xff; 160], "AAAAAAAAAAAAAAAAoAAAAAAAAAA="),
            (
                (0..1_048_576u32).map(|i| (i % 251) as u8).collect(),
                "pVcWCkWK/HTa4DMyE2B1A1Y9XyM=",
            ),
            (
                (0..5_000_000u32)
                    .map(|i| ((7 * i + 3) % 256) as u8)
                    .collect(),
                "UDaz+YSVrQw+YhHrw8YgRPpkJxs=",
            ),
        ];
        for (input, hash) in vectors {
            assert_eq!(quick_xor(&input), hash, "{} bytes", input.len());
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(data in proptest::collection::vec(any::<u8>(), 0..2000), cut in 0usize..2000) {
            let cut = cut.min(data.len());
            let mut hash = QuickXor::default();
            hash.update(&data[..cut]);
            hash.update(&data[cut..]);
            prop_assert_eq!(hash.to_base64(), quick_xor(&data));
        }
    }
}
