//! The inventory: the names of all snapshots, index files and dictionaries that must be there.
//!
//! A listing cannot tell a file that was lost from one that never was. So whoever holds the writer's
//! lock keeps a sealed list of names beside the files, replaced in one step. Invariants: a file is in
//! the list soon after it was made (a writer that dies in between leaves it to the next one), and is
//! taken off the list, durably, before it is deleted. So what the list names and nobody finds was
//! lost, and stays named until [`Repository::rebuild_index`] or a deletion on purpose takes it off.
//! Packs are not in it: index files name them.
//!
//! [`Repository::rebuild_index`]: super::Repository::rebuild_index

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::backend::Backend;
use super::error::{RepoError, Result};
use super::key::Keys;
use super::seal::{FileType, RepoId, open_file, seal_file};
use super::{Inner, dictionary, index, snapshot};

/// Its file name.
pub(crate) const FILE: &str = "inventory";
/// Folders whose files it names.
const FOLDERS: [&str; 3] = [dictionary::FOLDER, index::FOLDER, snapshot::FOLDER];

/// Names of files, relative to the repository.
pub(crate) type Names = BTreeSet<String>;

/// The inventory in the hands of a writer.
pub(crate) struct Inventory(Mutex<State>);

struct State {
    /// `None`: the file is missing or damaged. It is left so, for `verify` to see, until the index
    /// is rebuilt; captures go on meanwhile.
    names: Option<Names>,
    /// The file says the same as `names`.
    saved: bool,
}

impl Inventory {
    /// Reads it, and adds what a writer that died made and did not get to add. Needs the lock.
    pub(crate) fn open(repo: &Inner) -> Result<Self> {
        let state = match repo.read_inventory() {
            Ok(saved) => {
                let mut names = saved.clone();
                names.extend(repo.listed_names()?);
                State {
                    saved: names == saved,
                    names: Some(names),
                }
            }
            Err(e @ (RepoError::Damaged { .. } | RepoError::FileMissing { .. })) => {
                tracing::error!("{e}; rebuild-index makes a new one");
                State {
                    names: None,
                    saved: true,
                }
            }
            Err(e) => return Err(e),
        };
        Ok(Inventory(Mutex::new(state)))
    }

    /// Adds and removes names, durably. Returns the bytes it took. When it fails, files must not be
    /// deleted; what was added is added by the next call.
    pub(crate) fn update(
        &self,
        repo: &Inner,
        added: impl IntoIterator<Item = String>,
        removed: &[String],
    ) -> Result<u64> {
        let mut state = self.0.lock();
        let State {
            names: Some(names),
            saved,
        } = &mut *state
        else {
            return Ok(0);
        };
        for name in added {
            *saved &= !names.insert(name);
        }
        for name in removed {
            *saved &= !names.remove(name);
        }
        if *saved {
            return Ok(0);
        }
        let bytes = write(&repo.backend, &repo.keys, &repo.config.id, names)?;
        *saved = true;
        Ok(bytes)
    }
}

/// Replaces the inventory. Returns its bytes.
pub(crate) fn write(backend: &Backend, keys: &Keys, repo: &RepoId, names: &Names) -> Result<u64> {
    let plain = serde_json::to_vec(names)
        .map_err(|e| RepoError::Invalid(format!("the inventory cannot be written: {e}")))?;
    let sealed = seal_file(keys, repo, FileType::Inventory, FILE, &plain)?;
    backend.put(FILE, &sealed)?;
    Ok(sealed.len() as u64)
}

impl Inner {
    /// What must be there.
    pub(crate) fn read_inventory(&self) -> Result<Names> {
        let sealed = self.backend.get(FILE)?;
        let plain = open_file(
            &self.keys,
            &self.config.id,
            FileType::Inventory,
            FILE,
            sealed,
        )?;
        serde_json::from_slice(&plain).map_err(|e| RepoError::damaged(FILE, e.to_string()))
    }

    /// What of its kind is there.
    pub(crate) fn listed_names(&self) -> Result<Names> {
        let mut names = Names::new();
        for folder in FOLDERS {
            names.extend(self.backend.list(folder)?.into_iter().map(|info| info.name));
        }
        Ok(names)
    }

    /// True when the inventory names a file that is not there. Deletions take the name off first, so
    /// the list has to be read after the file was looked for.
    pub(crate) fn is_lost(&self, file: &str) -> Result<bool> {
        Ok(self.backend.size(file)?.is_none() && self.read_inventory()?.contains(file))
    }
}
