//! Counts for people.

use serde::Serialize;

use super::error::Result;
use super::{Repository, backend, dictionary, index, snapshot};

/// What a repository holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepoStats {
    /// All bytes.
    pub bytes: u64,
    /// Packs of contents, and their bytes.
    pub data_packs: u64,
    /// Bytes of these packs.
    pub data_bytes: u64,
    /// Packs of records and tree nodes.
    pub meta_packs: u64,
    /// Bytes of these packs.
    pub meta_bytes: u64,
    /// Index files.
    pub index_files: u64,
    /// Bytes of index files.
    pub index_bytes: u64,
    /// Dictionaries.
    pub dictionaries: u64,
    /// Bytes of dictionaries.
    pub dictionary_bytes: u64,
    /// Snapshots, complete or not.
    pub snapshots: u64,
    /// Objects in the index (one stored twice by chance counts twice).
    pub objects: u64,
}

impl Repository {
    /// Counts files and bytes of the repository. Costs a listing.
    pub fn stats(&self) -> Result<RepoStats> {
        let inner = &self.inner;
        inner.refresh_index()?;
        let mut stats = RepoStats {
            objects: inner.index.len() as u64,
            ..RepoStats::default()
        };
        for info in inner.backend.list("")? {
            let folder = info.name.split('/').next().unwrap_or_default();
            stats.bytes += info.size;
            let (count, bytes) = match folder {
                "data" => (&mut stats.data_packs, &mut stats.data_bytes),
                "meta" => (&mut stats.meta_packs, &mut stats.meta_bytes),
                index::FOLDER => (&mut stats.index_files, &mut stats.index_bytes),
                dictionary::FOLDER => (&mut stats.dictionaries, &mut stats.dictionary_bytes),
                snapshot::FOLDER => {
                    stats.snapshots += 1;
                    continue;
                }
                backend::STAGING => {
                    stats.bytes -= info.size;
                    continue;
                }
                _ => continue,
            };
            *count += 1;
            *bytes += info.size;
        }
        Ok(stats)
    }
}
