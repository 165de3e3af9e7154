//! Reading files: whole small ones at once, large ones with the next chunks decoded ahead.
//!
//! The repository caches what it decodes, so what is decoded here for one reader serves the next,
//! and neighbours of a small mail come with it. Memory is bounded by those caches and does not grow
//! with the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tenantfs::repo::content::{ContentId, Reader, Shape};
use tenantfs::repo::{Kind, RepoError, Repository};

use super::inodes::{Body, File};
use crate::error::FsError;
use crate::workers::Workers;

/// How far a sequential reader is read ahead of, in bytes: some average chunks.
const AHEAD: u64 = 6 << 20;
/// Distance of the touches that load what lies ahead: the smallest chunk.
const STEP: u64 = 256 << 10;
/// Sequential readers that are told apart.
const STREAMS: usize = 8;

/// Where one sequential reader is.
#[derive(Debug, Clone, Copy)]
struct Stream {
    ino: u64,
    /// Highest offset read so far.
    read: u64,
    /// Loaded, or being loaded, up to here.
    ahead: u64,
}

/// Reads files of one repository.
pub struct Reading {
    repo: Repository,
    streams: Mutex<Vec<Stream>>,
    workers: Workers,
    /// Loads under way: no more than there are cores to decode on.
    loading: Arc<AtomicUsize>,
    cores: usize,
}

impl Reading {
    pub fn new(repo: Repository) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Reading {
            repo,
            streams: Mutex::default(),
            workers: Workers::new("read-ahead", cores),
            loading: Arc::default(),
            cores,
        }
    }

    /// Bytes of `file` from `offset` on, `size` of them unless it ends before.
    pub fn read(&self, ino: u64, file: &File, offset: u64, size: usize) -> Result<Bytes, FsError> {
        let content = match file.body {
            Body::Content(content) => content,
            Body::Record(id) => {
                let bytes = self.repo.get(Kind::Record, &id)?;
                return Ok(slice(bytes, offset, size));
            }
        };
        if content.shape == Shape::Recipe && file.size > AHEAD {
            self.read_ahead(ino, content, file.size, offset, size as u64);
        }
        let reader = Reader::open(&self.repo, content)?;
        if reader.size() != file.size {
            // `stat` has promised another size: short data would be silent corruption.
            let what = format!(
                "content {} has {} bytes, its entry says {}",
                content.object,
                reader.size(),
                file.size
            );
            return Err(RepoError::Invalid(what).into());
        }
        Ok(reader.read_at(offset, size)?)
    }

    /// Loads what a sequential reader will ask for next.
    fn read_ahead(&self, ino: u64, content: ContentId, size: u64, offset: u64, len: u64) {
        let end = (offset + len).min(size);
        let mut streams = self.streams.lock();
        let stream = match streams.iter().position(|s| s.ino == ino) {
            Some(at) => {
                let stream = streams.remove(at);
                streams.push(stream);
                streams.last_mut()
            }
            None => {
                if streams.len() >= STREAMS {
                    streams.remove(0);
                }
                streams.push(Stream {
                    ino,
                    read: 0,
                    ahead: 0,
                });
                streams.last_mut()
            }
        };
        let Some(stream) = stream else { return };
        // The kernel has several reads in flight, in any order, so "sequential" has some slack.
        let sequential = offset <= stream.read + AHEAD && offset + AHEAD >= stream.read;
        if !sequential {
            *stream = Stream {
                ino,
                read: end,
                ahead: end,
            };
            return;
        }
        stream.read = stream.read.max(end);
        let from = stream.ahead.max(stream.read);
        let until = (stream.read + AHEAD).min(size);
        // Worth a thread's time only when it is at least a chunk.
        if until < from + STEP * 4 && until < size || from >= until {
            return;
        }
        if self.loading.load(Ordering::Relaxed) >= self.cores {
            return;
        }
        stream.ahead = until;
        drop(streams);
        self.loading.fetch_add(1, Ordering::Relaxed);
        let (repo, loading) = (self.repo.clone(), self.loading.clone());
        self.workers.run(move || {
            load(&repo, content, from, until);
            loading.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Brings a range into the repository's cache. What fails here fails again, and is told, when it is read.
fn load(repo: &Repository, content: ContentId, from: u64, until: u64) {
    let Ok(reader) = Reader::open(repo, content) else {
        return;
    };
    let mut at = from;
    while at < until && reader.read_at(at, 1).is_ok() {
        at += STEP;
    }
}

fn slice(bytes: Bytes, offset: u64, size: usize) -> Bytes {
    let from = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let to = from.saturating_add(size).min(bytes.len());
    bytes.slice(from..to)
}
