//! Reading files: whole small ones at once, large ones with the next chunks decoded ahead, those of
//! a remote repository with more of them, and fetched ahead onto the local disk.
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
/// The same in an object store: what comes in the time of a few requests.
const REMOTE_AHEAD: u64 = 16 << 20;
/// What one request of those fetches ahead, and how many of them are on their way at a time.
const REMOTE_STEP: u64 = 4 << 20;
const REMOTE_LOADS: usize = 4;
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
    /// Loads under way.
    loading: Arc<AtomicUsize>,
    /// Most of them at a time: no more than there are cores to decode on, or requests worth having.
    loads: usize,
    remote: bool,
    /// How far is read ahead.
    ahead: u64,
}

impl Reading {
    pub fn new(repo: Repository) -> Self {
        let remote = !repo.location().is_local();
        let (ahead, loads) = if remote {
            (REMOTE_AHEAD, REMOTE_LOADS)
        } else {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (AHEAD, cores)
        };
        Reading {
            repo,
            streams: Mutex::default(),
            workers: Workers::new("read-ahead", loads),
            loading: Arc::default(),
            loads,
            remote,
            ahead,
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
        if content.shape == Shape::Recipe && file.size > self.ahead {
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
        let sequential = offset <= stream.read + self.ahead && offset + self.ahead >= stream.read;
        if !sequential {
            *stream = Stream {
                ino,
                read: end,
                ahead: end,
            };
            return;
        }
        stream.read = stream.read.max(end);
        let until = (stream.read + self.ahead).min(size);
        let step = if self.remote { REMOTE_STEP } else { self.ahead };
        loop {
            let from = stream.ahead.max(stream.read);
            let to = until.min(from + step);
            // Worth a thread's time only when it is at least a chunk.
            if to < from + STEP * 4 && to < size || from >= to {
                return;
            }
            if self.loading.load(Ordering::Relaxed) >= self.loads {
                return;
            }
            stream.ahead = to;
            self.loading.fetch_add(1, Ordering::Relaxed);
            let (repo, loading, remote) = (self.repo.clone(), self.loading.clone(), self.remote);
            self.workers.run(move || {
                if remote {
                    fetch(&repo, content, from, to);
                } else {
                    load(&repo, content, from, to);
                }
                loading.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

/// Brings a range of a remote repository onto the local disk. What fails here fails again, and is told,
/// when it is read.
fn fetch(repo: &Repository, content: ContentId, from: u64, until: u64) {
    let fetched = Reader::open(repo, content).and_then(|reader| reader.prefetch(from, until));
    if let Err(e) = fetched {
        tracing::debug!("nothing was fetched ahead: {e}");
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
