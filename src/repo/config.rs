//! The repository's configuration: written once at `init`, authenticated, read at every open.

use serde::{Deserialize, Serialize};

use super::error::{RepoError, Result};
use super::key::Keys;
use super::seal::{FileType, RepoId, open_file, seal_file};

/// Its file name.
pub(crate) const FILE: &str = "config";
/// What the configuration is sealed for: the repository's id is inside it.
const NO_REPO: RepoId = [0; 16];

/// Facts that hold for the repository's whole life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Random id; part of what every file authenticates.
    pub id: RepoId,
    /// Seconds since 1970.
    pub created: i64,
    /// How files are cut.
    pub chunker: Chunker,
    /// The store honours create-if-absent (probed at init; some S3 stores silently overwrite).
    pub conditional_create: bool,
}

/// Parameters of the chunker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunker {
    pub algorithm: String,
    pub min: u32,
    pub average: u32,
    pub max: u32,
}

impl Default for Chunker {
    fn default() -> Self {
        Chunker {
            algorithm: "fastcdc-v2020-level1".into(),
            min: 256 << 10,
            average: 1 << 20,
            max: 4 << 20,
        }
    }
}

impl Config {
    pub(crate) fn seal(&self, keys: &Keys) -> Result<Vec<u8>> {
        let plain = serde_json::to_vec(self)
            .map_err(|e| RepoError::Invalid(format!("the configuration cannot be written: {e}")))?;
        seal_file(keys, &NO_REPO, FileType::Config, FILE, &plain)
    }

    pub(crate) fn open(keys: &Keys, sealed: Vec<u8>) -> Result<Self> {
        let plain = open_file(keys, &NO_REPO, FileType::Config, FILE, sealed)?;
        let config: Config =
            serde_json::from_slice(&plain).map_err(|e| RepoError::damaged(FILE, e.to_string()))?;
        if config.chunker != Chunker::default() {
            return Err(RepoError::Invalid(
                "the repository was made with another chunker; use the program that made it, or a newer one".into(),
            ));
        }
        Ok(config)
    }
}
