//! Tests of the repository as a whole.

mod basics;
mod corpus;
mod crash;
mod damage;
mod golden;
mod remote;
mod sessions;

use std::path::Path;
use std::sync::atomic::Ordering;

use secrecy::SecretString;

use super::*;

pub(crate) fn password() -> SecretString {
    SecretString::from("correct horse battery staple")
}

pub(crate) fn options() -> InitOptions {
    InitOptions {
        kdf: KdfCost::cheapest(),
        local: None,
        ..InitOptions::default()
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
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
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

/// What goes wrong, and when.
#[derive(Default)]
pub(crate) struct Faults {
    /// Steps that still work; negative: all.
    left: std::sync::atomic::AtomicI64,
    armed: std::sync::atomic::AtomicU8,
    /// Steps so far.
    pub(crate) taken: std::sync::atomic::AtomicU64,
}

impl Faults {
    /// After `steps` more steps the process is dead: nothing works any more.
    pub(crate) fn die_after(&self, steps: u64) {
        self.arm(1, steps);
    }

    /// After `steps` more steps the disk is full, until [`Faults::mend`].
    pub(crate) fn fill_after(&self, steps: u64) {
        self.arm(2, steps);
    }

    pub(crate) fn mend(&self) {
        self.arm(0, 0);
    }

    fn arm(&self, fault: u8, steps: u64) {
        self.left.store(steps as i64, Ordering::SeqCst);
        self.armed.store(fault, Ordering::SeqCst);
    }

    pub(crate) fn step(&self) -> std::io::Result<()> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        let fault = self.armed.load(Ordering::SeqCst);
        if fault == 0 || self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        Err(match fault {
            1 => std::io::Error::other("the process is dead"),
            _ => std::io::ErrorKind::StorageFull.into(),
        })
    }

    pub(crate) fn dead(&self) -> bool {
        self.armed.load(Ordering::SeqCst) == 1
    }
}
