//! Generated file content: any range of it on demand, and its hash without producing it.
//!
//! A file is 64 bytes of its own (a magic number of its format and a line no other file has), then
//! blocks of 4 KiB. A text block is one block of a pool of prose; a binary block is the XOR of two
//! blocks of a pool of noise, so 64 Ki different ones that do not compress, as packed formats don't.
//! quickXorHash is linear: XOR of blocks is XOR of their rings.

use std::sync::OnceLock;

use super::quickxor::{self, QuickXorHash, Ring};

const HEAD: usize = 64;
const BLOCK: usize = 4096;
const POOL: usize = 256;

/// What a generated file pretends to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Html,
    Pdf,
    Zip,
    Jpeg,
    Png,
    Ole,
    Noise,
}

impl Format {
    /// The format that a name's extension promises.
    pub fn of_name(name: &str) -> Format {
        let extension = name
            .rsplit_once('.')
            .map(|(_, e)| e.to_ascii_lowercase())
            .unwrap_or_default();
        match extension.as_str() {
            "txt" | "md" | "csv" | "log" | "json" | "eml" => Format::Text,
            "html" | "htm" | "xml" | "svg" => Format::Html,
            "pdf" => Format::Pdf,
            "docx" | "xlsx" | "pptx" | "zip" => Format::Zip,
            "jpg" | "jpeg" => Format::Jpeg,
            "png" => Format::Png,
            "doc" | "xls" | "ppt" | "msg" => Format::Ole,
            _ => Format::Noise,
        }
    }

    fn magic(self) -> &'static [u8] {
        match self {
            Format::Text => b"",
            Format::Html => b"<!DOCTYPE html>\n<html><!-- ",
            Format::Pdf => b"%PDF-1.7\n%",
            Format::Zip => b"PK\x03\x04\x14\x00\x06\x00",
            Format::Jpeg => b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
            Format::Png => b"\x89PNG\r\n\x1a\n",
            Format::Ole => b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            Format::Noise => b"",
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Format::Text | Format::Html)
    }
}

/// Content that is known by its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeded {
    seed: u64,
    length: u64,
    format: Format,
}

impl Seeded {
    pub fn new(seed: u64, length: u64, format: Format) -> Seeded {
        Seeded {
            seed,
            length,
            format,
        }
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    /// `length` bytes from `offset`; the caller keeps within the file.
    pub fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length);
        let (mut at, end) = (offset, offset + length as u64);
        while at < end {
            if at < HEAD as u64 {
                let stop = end.min(HEAD as u64) as usize;
                out.extend_from_slice(&self.head()[at as usize..stop]);
                at = stop as u64;
                continue;
            }
            let (number, within) = (
                (at - HEAD as u64) / BLOCK as u64,
                ((at - HEAD as u64) % BLOCK as u64) as usize,
            );
            let take = (BLOCK - within).min((end - at) as usize);
            self.block(number, within, take, &mut out);
            at += take as u64;
        }
        out
    }

    /// The quickXorHash, from the rings of the pool's blocks.
    pub fn hash(&self) -> QuickXorHash {
        let head = self.read(0, self.length.min(HEAD as u64) as usize);
        let mut ring = quickxor::ring_of(&head);
        let body = self.length.saturating_sub(HEAD as u64);
        let whole = body / BLOCK as u64;
        let pool = pool();
        for number in 0..whole {
            let (a, b) = self.pair(number);
            let mut block = if self.format.is_text() {
                pool.text[a].1
            } else {
                pool.noise[a].1
            };
            if !self.format.is_text() {
                block ^= pool.noise[b].1;
            }
            ring ^= block.rotated(HEAD as u64 + number * BLOCK as u64);
        }
        let at = HEAD as u64 + whole * BLOCK as u64;
        if at < self.length {
            ring ^= quickxor::ring_of(&self.read(at, (self.length - at) as usize)).rotated(at);
        }
        ring.finish(self.length)
    }

    fn head(&self) -> [u8; HEAD] {
        let mut head = [b'.'; HEAD];
        let line = format!(
            "document {:016x} of {} bytes",
            mix(self.seed ^ 0x6865_6164),
            self.length
        );
        let text = self.format.magic().iter().chain(line.as_bytes());
        for (to, from) in head.iter_mut().zip(text) {
            *to = *from;
        }
        head[HEAD - 1] = b'\n';
        head
    }

    fn pair(&self, number: u64) -> (usize, usize) {
        let x = mix(self
            .seed
            .wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        (
            (x % POOL as u64) as usize,
            ((x >> 32) % POOL as u64) as usize,
        )
    }

    fn block(&self, number: u64, within: usize, take: usize, out: &mut Vec<u8>) {
        let (a, b) = self.pair(number);
        let pool = pool();
        if self.format.is_text() {
            out.extend_from_slice(&pool.text[a].0[within..within + take]);
        } else {
            let (a, b) = (
                &pool.noise[a].0[within..within + take],
                &pool.noise[b].0[within..within + take],
            );
            out.extend(a.iter().zip(b).map(|(a, b)| a ^ b));
        }
    }
}

/// A good enough stream of numbers from one seed (splitmix64).
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Pool {
    text: Vec<(Vec<u8>, Ring)>,
    noise: Vec<(Vec<u8>, Ring)>,
}

/// Two megabytes that all generated files are made of; the same in every process.
fn pool() -> &'static Pool {
    static POOL_OF_BLOCKS: OnceLock<Pool> = OnceLock::new();
    POOL_OF_BLOCKS.get_or_init(|| {
        let with_ring = |block: Vec<u8>| {
            let ring = quickxor::ring_of(&block);
            (block, ring)
        };
        Pool {
            text: (0..POOL as u64).map(|i| with_ring(prose(i))).collect(),
            noise: (0..POOL as u64).map(|i| with_ring(noise(i))).collect(),
        }
    })
}

fn noise(seed: u64) -> Vec<u8> {
    (0..(BLOCK / 8) as u64)
        .flat_map(|i| mix(mix(seed) ^ i).to_le_bytes())
        .collect()
}

fn prose(seed: u64) -> Vec<u8> {
    const WORDS: &str = "the of to and in for is on that by with from at as budget quarter customer contract delivery \
        invoice project meeting summary review plan schedule supplier order price change risk office travel report \
        system release test account payment team next week month should will has been agreed open question answer \
        please find attached draft version final approved notes minutes agenda decision follow up before after about \
        between without number date total amount percent increase decrease region market product service support";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut out = Vec::with_capacity(BLOCK + 16);
    let mut n = mix(seed ^ 0x7465_7874);
    let mut line = 0;
    while out.len() < BLOCK {
        n = mix(n);
        let word = words[(n % words.len() as u64) as usize];
        out.extend_from_slice(word.as_bytes());
        line += word.len() + 1;
        if n >> 40 & 0xf == 0 {
            out.push(b'.');
        }
        out.push(if line > 72 { b'\n' } else { b' ' });
        if line > 72 {
            line = 0;
        }
        if n >> 48 & 0x3f == 0 {
            out.extend_from_slice(format!("{} ", n >> 54).as_bytes());
        }
    }
    out.truncate(BLOCK);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        for format in [
            Format::Text,
            Format::Zip,
            Format::Jpeg,
            Format::Noise,
            Format::Html,
        ] {
            for length in [0, 1, 63, 64, 65, 4096, 4160, 4161, 100_000] {
                let seeded = Seeded::new(length + 7, length, format);
                let bytes = seeded.read(0, length as usize);
                assert_eq!(bytes.len() as u64, length);
                assert_eq!(
                    seeded.hash(),
                    quickxor::ring_of(&bytes).finish(length),
                    "{format:?} {length}"
                );
            }
        }
    }

    #[test]
    fn any_range_is_a_piece_of_the_whole() {
        let seeded = Seeded::new(42, 50_000, Format::Pdf);
        let whole = seeded.read(0, 50_000);
        assert!(whole.starts_with(b"%PDF-"));
        for (offset, length) in [
            (0, 1),
            (60, 10),
            (4159, 2),
            (4160, 4096),
            (49_999, 1),
            (10_000, 20_000),
        ] {
            assert_eq!(
                seeded.read(offset, length),
                &whole[offset as usize..offset as usize + length]
            );
        }
        assert_ne!(whole, Seeded::new(43, 50_000, Format::Pdf).read(0, 50_000));
    }
}
