//! Tests of the repository as a whole.

mod basics;

use std::path::Path;

use secrecy::SecretString;

use super::*;

pub(crate) fn password() -> SecretString {
    SecretString::from("correct horse battery staple")
}

pub(crate) fn options() -> InitOptions {
    InitOptions {
        kdf: KdfCost::cheapest(),
        local: None,
    }
}

/// A repository in a temporary directory, with its local state folder.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Place {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("repo")
    }

    pub(crate) fn local(&self) -> std::path::PathBuf {
        self.folder.path().join("local")
    }

    pub(crate) fn location(&self) -> Location {
        Location::Local(self.root())
    }

    pub(crate) fn init(&self) -> Repository {
        let options = InitOptions {
            local: Some(self.local()),
            ..options()
        };
        Repository::init(&self.location(), &password(), &options).unwrap()
    }

    pub(crate) fn open(&self) -> Repository {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Repository> {
        Repository::open(&self.location(), &password(), &self.local())
    }
}

/// Pseudo-random bytes, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut out);
    out
}

/// All files below a folder, relative, sorted.
pub(crate) fn files(root: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, out);
            } else {
                out.push(
                    path.strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    let mut out = Vec::new();
    walk(root, root, &mut out);
    out.sort();
    out
}
