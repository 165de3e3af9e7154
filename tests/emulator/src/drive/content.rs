//! What a file's bytes are: generated, on disk, or uploaded.
//!
//! Nothing of a generated or an imported file is kept in memory: a read makes or fetches just the
//! bytes asked for, and 100,000 files cost what their descriptions do. A [`Content`] is cheap to
//! copy, so versions, copies and downloads that are under way share it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::quickxor::{Hasher, QuickXorHash};
use super::seeded::Seeded;

/// Uploads larger than this are kept in a nameless temporary file.
const RESIDENT: usize = 256 * 1024;
/// How much of a file is in memory at a time while it is hashed.
const WINDOW: usize = 1 << 20;

/// The bytes of one version of a file.
#[derive(Clone, Debug)]
pub enum Content {
    Seeded(Seeded),
    /// A file of the machine the emulator runs on, read when asked for.
    Disk(Arc<Disk>),
    Memory(Arc<Memory>),
    Spooled(Arc<Spooled>),
}

#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    length: u64,
    hash: OnceLock<QuickXorHash>,
}

#[derive(Debug)]
pub struct Memory {
    bytes: Bytes,
    hash: OnceLock<QuickXorHash>,
}

#[derive(Debug)]
pub struct Spooled {
    file: File,
    length: u64,
    hash: OnceLock<QuickXorHash>,
}

impl Content {
    pub fn empty() -> Content {
        Content::memory(Bytes::new())
    }

    /// An imported file; `length` is what its directory entry said.
    pub fn disk(path: PathBuf, length: u64) -> Content {
        Content::Disk(Arc::new(Disk {
            path,
            length,
            hash: OnceLock::new(),
        }))
    }

    fn memory(bytes: Bytes) -> Content {
        Content::Memory(Arc::new(Memory {
            bytes,
            hash: OnceLock::new(),
        }))
    }

    /// Keeps uploaded bytes, in memory or in a temporary file.
    pub fn store(bytes: Bytes) -> io::Result<Content> {
        if bytes.len() <= RESIDENT {
            return Ok(Content::memory(bytes));
        }
        let mut spool = Spool::new()?;
        spool.append(&bytes)?;
        Ok(spool.finish())
    }

    pub fn len(&self) -> u64 {
        match self {
            Content::Seeded(seeded) => seeded.len(),
            Content::Disk(disk) => disk.length,
            Content::Memory(memory) => memory.bytes.len() as u64,
            Content::Spooled(spooled) => spooled.length,
        }
    }

    /// `length` bytes from `offset`, less at the end of the file.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let length = (self.len().saturating_sub(offset)).min(length as u64) as usize;
        if length == 0 {
            return Ok(Bytes::new());
        }
        match self {
            Content::Seeded(seeded) => Ok(seeded.read(offset, length).into()),
            Content::Disk(disk) => {
                let mut bytes = vec![0; length];
                File::open(&disk.path)?.read_exact_at(&mut bytes, offset)?;
                Ok(bytes.into())
            }
            Content::Memory(memory) => Ok(memory
                .bytes
                .slice(offset as usize..offset as usize + length)),
            Content::Spooled(spooled) => {
                let mut bytes = vec![0; length];
                spooled.file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes.into())
            }
        }
    }

    /// The quickXorHash, worked out the first time it is asked for.
    pub fn hash(&self) -> io::Result<QuickXorHash> {
        let kept = match self {
            Content::Seeded(seeded) => return Ok(seeded.hash()),
            Content::Disk(disk) => &disk.hash,
            Content::Memory(memory) => &memory.hash,
            Content::Spooled(spooled) => &spooled.hash,
        };
        if let Some(hash) = kept.get() {
            return Ok(*hash);
        }
        let mut hasher = Hasher::new();
        let mut at = 0;
        while at < self.len() {
            let piece = self.read(at, WINDOW)?;
            hasher.update(&piece);
            at += piece.len() as u64;
        }
        Ok(*kept.get_or_init(|| hasher.finish()))
    }

    /// The same bytes with `tail` after them: what promotion of properties makes of an Office file.
    pub fn appended(&self, tail: &[u8]) -> io::Result<Content> {
        let mut spool = Spool::new()?;
        let mut at = 0;
        while at < self.len() {
            let piece = self.read(at, WINDOW)?;
            spool.append(&piece)?;
            at += piece.len() as u64;
        }
        spool.append(tail)?;
        Ok(spool.finish())
    }
}

/// A temporary file that grows: an upload session's bytes.
#[derive(Debug)]
pub struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    pub fn new() -> io::Result<Spool> {
        let path = std::env::temp_dir().join(format!("graph-emulator-{}", uuid::Uuid::new_v4()));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        // Nameless from here on: it goes away with its last user, however the process ends.
        std::fs::remove_file(&path)?;
        Ok(Spool { file, length: 0 })
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub fn finish(self) -> Content {
        Content::Spooled(Arc::new(Spooled {
            file: self.file,
            length: self.length,
            hash: OnceLock::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::quickxor;
    use super::*;

    #[test]
    fn every_kind_reads_ranges_and_hashes_alike() {
        let bytes: Vec<u8> = (0..700_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let path = std::env::temp_dir().join(format!("content-test-{}", std::process::id()));
        std::fs::write(&path, &bytes).unwrap();
        let expected = quickxor::ring_of(&bytes).finish(bytes.len() as u64);
        let spooled = Content::store(Bytes::from(bytes.clone())).unwrap();
        assert!(matches!(spooled, Content::Spooled(_)));
        for content in [
            spooled,
            Content::memory(bytes.clone().into()),
            Content::disk(path.clone(), bytes.len() as u64),
            Content::memory(bytes[..650_000].to_vec().into())
                .appended(&bytes[650_000..])
                .unwrap(),
        ] {
            assert_eq!(content.len(), 700_000);
            assert_eq!(content.hash().unwrap(), expected);
            assert_eq!(content.read(5, 10).unwrap(), &bytes[5..15]);
            assert_eq!(content.read(699_990, 100).unwrap(), &bytes[699_990..]);
            assert!(content.read(700_000, 1).unwrap().is_empty());
            assert!(content.read(u64::MAX, 1).unwrap().is_empty());
        }
        std::fs::remove_file(&path).unwrap();
    }
}
