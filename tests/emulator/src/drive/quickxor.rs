//! quickXorHash: the only hash that OneDrive for Business and SharePoint give.
//!
//! Byte number `i` is XORed into a ring of 160 bits, rotated left by `11 * i`; the length is XORed
//! into the last eight of its 20 bytes. The pattern repeats every 160 bytes, so the hasher XORs all
//! input into a buffer of 160 bytes and folds that once, at the end.
//!
//! The hash of a concatenation is the XOR of the parts' rings, each rotated by its place
//! ([`Ring::rotated`]): generated content, which is put together from a pool of blocks, is hashed
//! from the rings of the blocks without producing one byte of it.

use std::ops::BitXorAssign;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const SHIFT: u64 = 11;
const WIDTH: u64 = 160;

/// A finished hash, as its 20 bytes.
pub type QuickXorHash = [u8; 20];

/// The hash that a delta entry of a deleted file carries: that of nothing.
pub const ZERO: QuickXorHash = [0; 20];

/// Base64 of the 20 bytes: how `file.hashes.quickXorHash` spells it.
pub fn encode(hash: &QuickXorHash) -> String {
    STANDARD.encode(hash)
}

/// 160 bits before the length is mixed in; word 0 holds the lowest bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring([u32; 5]);

impl Ring {
    /// The same bytes `offset` bytes further into a file.
    pub fn rotated(self, offset: u64) -> Ring {
        // Reduced first: `11 * offset` would overflow for the longest files.
        let by = (SHIFT * (offset % WIDTH) % WIDTH) as usize;
        let (words, bits) = (by / 32, by % 32);
        let mut out = [0u32; 5];
        for (i, word) in self.0.iter().enumerate() {
            out[(i + words) % 5] |= word << bits;
            if bits > 0 {
                out[(i + words + 1) % 5] |= word >> (32 - bits);
            }
        }
        Ring(out)
    }

    /// The hash of a file of `length` bytes that has this ring.
    pub fn finish(self, length: u64) -> QuickXorHash {
        let mut out = [0u8; 20];
        for (bytes, word) in out.chunks_exact_mut(4).zip(self.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        for (byte, length) in out[12..].iter_mut().zip(length.to_le_bytes()) {
            *byte ^= length;
        }
        out
    }
}

impl BitXorAssign for Ring {
    fn bitxor_assign(&mut self, other: Ring) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a ^= b;
        }
    }
}

/// Hashes a stream of bytes.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    // 160 bytes as words, since the emulator runs unoptimised in tests and hashes whole files there.
    words: [u64; 20],
    length: u64,
}

impl Hasher {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let at = (self.length % WIDTH) as usize;
            if at == 0 && data.len() >= WIDTH as usize {
                let (block, rest) = data.split_at(WIDTH as usize);
                for (word, bytes) in self.words.iter_mut().zip(block.chunks_exact(8)) {
                    let mut eight = [0; 8];
                    eight.copy_from_slice(bytes);
                    *word ^= u64::from_le_bytes(eight);
                }
                self.length += WIDTH;
                data = rest;
            } else {
                self.words[at / 8] ^= u64::from(data[0]) << (8 * (at % 8));
                self.length += 1;
                data = &data[1..];
            }
        }
    }

    /// The ring of what came in so far.
    pub fn ring(&self) -> Ring {
        // One byte more than the ring has, for what the last byte shifts over its end.
        let mut bytes = [0u8; 21];
        for (i, word) in self.words.iter().enumerate() {
            for (j, byte) in word.to_le_bytes().into_iter().enumerate() {
                let at = (SHIFT as usize * (8 * i + j)) % WIDTH as usize;
                let shifted = u16::from(byte) << (at % 8);
                bytes[at / 8] ^= shifted as u8;
                bytes[at / 8 + 1] ^= (shifted >> 8) as u8;
            }
        }
        bytes[0] ^= bytes[20];
        let mut ring = Ring::default();
        for (word, four) in ring.0.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        }
        ring
    }

    pub fn finish(&self) -> QuickXorHash {
        self.ring().finish(self.length)
    }
}

/// The ring of one piece of memory.
pub fn ring_of(data: &[u8]) -> Ring {
    let mut hasher = Hasher::new();
    hasher.update(data);
    hasher.ring()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(data: &[u8]) -> String {
        let mut hasher = Hasher::new();
        hasher.update(data);
        encode(&hasher.finish())
    }

    #[test]
    fn published_vectors() {
        assert_eq!(hash(b""), "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        assert_eq!(hash(&[0x4a]), "SgAAAAAAAAAAAAAAAQAAAAAAAAA=");
        assert_eq!(hash(b"a"), "YQAAAAAAAAAAAAAAAQAAAAAAAAA=");
        assert_eq!(hash(b"hello world"), "aCgDG9jwBhDc4Q1yawMZAAAAAAA=");
        assert_eq!(
            hash(b"The quick brown fox jumps over the lazy dog"),
            "bMSlbysmxJL6S75XwfMcQZOpcr4="
        );
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(hash(&all), "QkGEfSisZcA7k+FCh71r2dbCayY=");
        assert_eq!(hash(&[0xff; 160]), "AAAAAAAAAAAAAAAAoAAAAAAAAAA=");
        let million: Vec<u8> = (0..1_048_576u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(hash(&million), "pVcWCkWK/HTa4DMyE2B1A1Y9XyM=");
        let five: Vec<u8> = (0..5_000_000u64)
            .map(|i| ((7 * i + 3) % 256) as u8)
            .collect();
        assert_eq!(hash(&five), "UDaz+YSVrQw+YhHrw8YgRPpkJxs=");
    }

    #[test]
    fn pieces_do_not_matter() {
        let data: Vec<u8> = (0..5000u32).map(|i| (i * i % 253) as u8).collect();
        let mut hasher = Hasher::new();
        for piece in data.chunks(77) {
            hasher.update(piece);
        }
        assert_eq!(encode(&hasher.finish()), hash(&data));
    }

    #[test]
    fn a_concatenation_is_hashed_from_its_parts() {
        let data: Vec<u8> = (0..9001u32).map(|i| (i * 31 % 255) as u8).collect();
        for cut in [0, 1, 63, 64, 159, 160, 161, 4096, 9001] {
            let mut ring = ring_of(&data[..cut]);
            ring ^= ring_of(&data[cut..]).rotated(cut as u64);
            assert_eq!(
                encode(&ring.finish(data.len() as u64)),
                hash(&data),
                "cut at {cut}"
            );
        }
    }
}
