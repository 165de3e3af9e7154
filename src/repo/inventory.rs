//! The inventory: the names of all snapshots, index files, dictionaries, holds and lists of condemned packs
//! that must be there, and the register of key files.
//!
//! A listing cannot tell a file that was lost from one that never was. So a sealed list of names is kept
//! beside the files. Its base, the file `inventory`, is replaced only by whoever has the maintenance
//! lock; what sessions added and removed is in their own files until it is folded into the base.
//! What must be there: the base and all that sessions added, without what any of them removed and
//! without what is *gone*.
//!
//! Gone is what was deleted on purpose while sessions were running that may have made it, or may say
//! so later: it stays on that list until none of these is left. *Folded* is what sessions said whose files are
//! still to be deleted: who dies before that must not have it taken in again, long after some of it went.
//!
//! Invariants: a file is in the inventory soon after it was made (what a writer that dies in between
//! made is added from the listing), and is taken off, durably, before it is deleted. So what the inventory
//! names and nobody finds was lost, and stays named until [`Repository::rebuild_index`] or a
//! deletion on purpose takes it off. Packs are not in it: index files name them.
//!
//! [`Repository::rebuild_index`]: super::Repository::rebuild_index

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::backend::Backend;
use super::beacon::Found;
use super::error::{RepoError, Result};
use super::key::{Keys, Register, register};
use super::lock::MaintenanceLock;
use super::seal::{FileType, RepoId, open_file, seal_file};
use super::session::Content;
use super::{Inner, beacon, condemned, dictionary, hold, index, session, snapshot};

/// Its file name.
pub(crate) const FILE: &str = "inventory";
/// Folders whose files it names.
const FOLDERS: [&str; 5] = [
    condemned::FOLDER,
    dictionary::FOLDER,
    hold::FOLDER,
    index::FOLDER,
    snapshot::FOLDER,
];

/// Names of files, relative to the repository.
pub(crate) type Names = BTreeSet<String>;

/// What the file `inventory` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// What must be there.
    names: Names,
    /// What must not be missed although a session may name it, and the sessions that may.
    gone: BTreeMap<String, BTreeSet<String>>,
    /// Sessions whose files may still be there, and all that they said until this beat is in here.
    folded: BTreeMap<String, u64>,
    /// What key files there must be.
    keys: Register,
}

impl Base {
    /// Takes in what was made and what was deleted on purpose while these sessions run.
    fn change(&mut self, added: Names, removed: Names, running: &BTreeSet<String>) {
        self.names.extend(added);
        for name in removed {
            self.gone.entry(name).or_default().extend(running.clone());
        }
        let Base { names, gone, .. } = self;
        gone.retain(|name, sessions| {
            names.remove(name);
            sessions.retain(|id| running.contains(id));
            !sessions.is_empty()
        });
    }

    /// True when this took in already what a session's file says.
    fn has(&self, session: &Found<Content>) -> bool {
        self.folded.get(&session.id) == Some(&session.beat)
    }

    /// True when this says nothing that the other does not say.
    fn is_in(&self, other: &Base) -> bool {
        let mut folded = self.folded.iter();
        self.names == other.names
            && self.gone == other.gone
            && folded.all(|(id, beat)| other.folded.get(id) == Some(beat))
    }
}

/// The inventory, sealed, of a repository that has nothing yet but this key file (its name, and what is in
/// it).
pub(crate) fn first(keys: &Keys, repo: &RepoId, key: &(String, Vec<u8>)) -> Result<Vec<u8>> {
    let base = Base {
        keys: register::of([key.clone()]),
        ..Base::default()
    };
    seal(keys, repo, &base)
}

/// Replaces the base. Returns its bytes.
fn write(backend: &Backend, keys: &Keys, repo: &RepoId, base: &Base) -> Result<u64> {
    let sealed = seal(keys, repo, base)?;
    backend.put(FILE, &sealed)?;
    Ok(sealed.len() as u64)
}

fn seal(keys: &Keys, repo: &RepoId, base: &Base) -> Result<Vec<u8>> {
    let plain = serde_json::to_vec(base)
        .map_err(|e| RepoError::Invalid(format!("the inventory cannot be written: {e}")))?;
    seal_file(keys, repo, FileType::Inventory, FILE, &plain)
}

impl Inner {
    fn read_base(&self) -> Result<Base> {
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

    /// Replaces an inventory that is missing or damaged by an empty one, which the next change fills from
    /// what is there. Needs the maintenance lock.
    pub(crate) fn new_inventory(&self) -> Result<()> {
        let base = Base {
            keys: register::of_what_is_there(&self.backend)?,
            ..Base::default()
        };
        write(&self.backend, &self.keys, &self.config.id, &base).map(drop)
    }

    /// What key files there must be.
    pub(crate) fn read_register(&self) -> Result<Register> {
        Ok(self.read_base()?.keys)
    }

    /// Changes what key files there must be, durably.
    ///
    /// # Errors
    /// Of an inventory that is missing or damaged: [`Repository::rebuild_index`] comes first.
    ///
    /// [`Repository::rebuild_index`]: super::Repository::rebuild_index
    pub(crate) fn change_register(
        &self,
        lock: &MaintenanceLock,
        change: impl FnOnce(&mut Register),
    ) -> Result<()> {
        lock.check()?;
        let mut base = self.read_base()?;
        change(&mut base.keys);
        write(&self.backend, &self.keys, &self.config.id, &base).map(drop)
    }

    /// What must be there.
    pub(crate) fn read_inventory(&self) -> Result<Names> {
        // The base last: what is folded meanwhile is in both then, and not in neither.
        let sessions = self.sessions().find()?;
        let mut base = self.read_base()?;
        let mut names = std::mem::take(&mut base.names);
        let mut removed = Names::new();
        let news = sessions.into_iter().filter(|found| !base.has(found));
        for content in news.filter_map(|found| found.content.ok()) {
            names.extend(content.added);
            removed.extend(content.removed);
        }
        names.retain(|name| !removed.contains(name) && !base.gone.contains_key(name));
        Ok(names)
    }

    /// Adds and removes names, and folds in what sessions did that ended or died; their files go then.
    /// Returns the bytes it took. When it fails, files must not be deleted.
    ///
    /// An inventory that is missing or damaged is left so, for `verify` to see, until the index is
    /// rebuilt.
    pub(crate) fn change_inventory(
        &self,
        lock: &MaintenanceLock,
        added: impl IntoIterator<Item = String>,
        removed: &[String],
    ) -> Result<u64> {
        lock.check()?;
        // Before the sessions are read: what they deleted by then is taken off again below.
        let listed = self.listed_names()?;
        let (over, running): (Vec<_>, Vec<_>) = self
            .sessions()
            .find()?
            .into_iter()
            .partition(session::is_over);
        let running = running.into_iter().map(|found| found.id).collect();
        let mut bytes = 0;
        match self.read_base() {
            Ok(before) => {
                let mut base = before.clone();
                let mut made: Names = added.into_iter().collect();
                let mut deleted: Names = removed.iter().cloned().collect();
                for found in over.iter().filter(|found| !before.has(found)) {
                    if let Ok(content) = &found.content {
                        made.extend(content.added.iter().cloned());
                        deleted.extend(content.removed.iter().cloned());
                    }
                }
                for name in listed {
                    let known = base.names.contains(&name) || made.contains(&name);
                    if !known && self.is_really_there(&name)? {
                        made.insert(name);
                    }
                }
                base.folded = over.iter().map(|s| (s.id.clone(), s.beat)).collect();
                base.change(made, deleted, &running);
                if !base.is_in(&before) {
                    bytes = write(&self.backend, &self.keys, &self.config.id, &base)?;
                }
            }
            Err(e @ (RepoError::Damaged { .. } | RepoError::FileMissing { .. })) => {
                tracing::error!("{e}; rebuild-index makes a new one");
            }
            Err(e) => return Err(e),
        }
        for found in over {
            beacon::remove(self, session::FOLDER, &found.id)?;
        }
        Ok(bytes)
    }

    /// Looks at a file that is listed and that nobody told of. Listings of a replicated store may show for a
    /// while what was deleted (Garage leaves out what is deleted before it compares its nodes' answers);
    /// what is asked for by its name is what all agreed on.
    fn is_really_there(&self, name: &str) -> Result<bool> {
        Ok(self.backend.is_local() || self.backend.size(name)?.is_some())
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
