//! Listing, adding, removing, changing and rotating keys.
//!
//! All of it under the maintenance lock, and each change one file at a time in one step, so that every
//! password that worked still works whenever the process dies. A rotation takes two rounds over the
//! key files: the first gives each the new key, and only when all have it the second says that it is
//! the current one. Interrupted in the first, the new key was never used and the next rotation makes
//! another; interrupted in the second, the next rotation goes on with it.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde::Serialize;

use super::ring::{Own, Ring};
use super::slot::{self, Inspected};
use super::{FOLDER, KdfCost, KeyKind, random, register};
use crate::repo::backend::Backend;
use crate::repo::error::{RepoError, Result};
use crate::repo::id::hex;
use crate::repo::lock::MaintenanceLock;
use crate::repo::verify::DamagedFile;
use crate::repo::{Inner, Repository};

/// A key to be made.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// Password, or a file of random bytes.
    pub kind: KeyKind,
    /// For people: whose or what for. May be empty.
    pub label: String,
    /// Cost of guessing a password. Random bytes need none.
    pub kdf: KdfCost,
}

/// A key that opens the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Name of its key file, without the folder.
    pub id: String,
    /// Password or key file.
    pub kind: KeyKind,
    /// What it was called.
    pub label: String,
    /// Host it was made on.
    pub host: String,
    /// Seconds since 1970.
    pub created: i64,
    /// This process opened the repository with it.
    pub in_use: bool,
}

/// A master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MasterKeyInfo {
    /// Its number, from 0.
    pub number: u8,
    /// Seconds since 1970.
    pub created: i64,
    /// It seals what is written now.
    pub current: bool,
    /// Packs that are sealed with it, as far as the index knows.
    pub packs: u64,
    /// Bytes of these packs.
    pub bytes: u64,
}

/// All keys.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KeyList {
    /// Keys that open the repository, by id.
    pub keys: Vec<KeyInfo>,
    /// Master keys, oldest first.
    pub master_keys: Vec<MasterKeyInfo>,
    /// A rotation did not get to its end; the next one finishes it.
    pub rotation_interrupted: bool,
    /// Key files that are not what was written.
    #[serde(skip)]
    pub damaged: Vec<DamagedFile>,
}

/// What a rotation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// Number of the master key that seals from now on.
    pub number: u8,
    /// Key files that have it.
    pub keys: usize,
    /// It finished one that was interrupted.
    pub resumed: bool,
}

/// A key file as it is now.
struct KeyFile {
    name: String,
    bytes: Vec<u8>,
    inspected: Inspected,
}

impl Repository {
    /// All keys that open the repository, and all master keys with what is sealed under them.
    pub fn keys(&self) -> Result<KeyList> {
        let inner = &self.inner;
        inner.keys.reload()?;
        inner.refresh_index()?;
        let own = inner.keys.own();
        let mut list = KeyList::default();
        for (name, file) in register::read_all(&inner.backend)? {
            // What is wrong with one is told below.
            if let Ok(found) = slot::inspect(&name, &file, &inner.keys) {
                list.rotation_interrupted |= found.current != inner.keys.ring().current();
                list.keys.push(KeyInfo {
                    id: id_of(&name).to_owned(),
                    kind: found.kind,
                    label: found.facts.label,
                    host: found.facts.host,
                    created: found.facts.created,
                    in_use: own.as_ref().is_some_and(|own| own.file == name),
                });
            }
        }
        list.damaged = inner.damaged_key_files()?;
        list.master_keys = inner.master_keys();
        Ok(list)
    }

    /// Adds a key: the repository opens with `secret` too from now on. Returns its id.
    pub fn add_key(&self, secret: &SecretString, new: &NewKey) -> Result<String> {
        let inner = &self.inner;
        let lock = MaintenanceLock::acquire(&inner.backend)?;
        inner.keys.reload()?;
        let (name, file) = create(&inner.backend, secret, new, &inner.keys.ring())?;
        inner.register_key_file(&lock, &name, &file)?;
        Ok(id_of(&name).to_owned())
    }

    /// Removes the key with this id, or the only one whose id begins so. The key in use is removed only
    /// when `other` opens another one. Returns the id.
    ///
    /// Who had the removed key can keep what he copied. [`Repository::rotate_keys`] makes what is
    /// written from then on unreadable for him.
    pub fn remove_key(&self, id: &str, other: Option<&SecretString>) -> Result<String> {
        let inner = &self.inner;
        let lock = MaintenanceLock::acquire(&inner.backend)?;
        let listed = inner.backend.list(FOLDER)?.into_iter();
        let names: Vec<String> = listed.map(|info| info.name).collect();
        // One that was lost can be taken off.
        let mut known: BTreeSet<String> = inner.read_register()?.into_keys().collect();
        known.extend(names.iter().cloned());
        let mut chosen = known.iter().filter(|name| id_of(name).starts_with(id));
        let invalid = |text: String| Err(RepoError::Invalid(text));
        let (Some(name), None) = (chosen.next(), chosen.next()) else {
            return invalid(format!("{id:?} is not the beginning of one key's id"));
        };
        let own = inner.keys.own().map(|own| own.file.clone());
        let left = names.iter().filter(|other| *other != name);
        match other {
            _ if names == [name.clone()] => {
                return invalid("the last key stays: nobody could open the repository".into());
            }
            Some(secret) if !inner.any_opens(left, secret)? => {
                return invalid(format!(
                    "the other secret opens none of the keys beside {}",
                    id_of(name)
                ));
            }
            None if own.as_ref() == Some(name) => {
                return invalid(format!(
                    "{} is the key in use; name another secret that opens the repository",
                    id_of(name)
                ));
            }
            None if own.is_none_or(|own| !names.contains(&own)) => {
                return invalid(
                    "the key that opened the repository is gone; open it with another first".into(),
                );
            }
            _ => {}
        }
        inner.delete_key_file(&lock, name)?;
        Ok(id_of(name).to_owned())
    }

    /// Changes the secret this handle was opened with: replaces its key file, in one step. The label
    /// stays when the new one is empty.
    pub fn change_key(&self, secret: &SecretString, new: &NewKey) -> Result<()> {
        let inner = &self.inner;
        let lock = MaintenanceLock::acquire(&inner.backend)?;
        inner.keys.reload()?;
        let gone = || {
            RepoError::Invalid(
                "the key that opened the repository is gone; open it with another".into(),
            )
        };
        let own = inner.keys.own().ok_or_else(gone)?;
        let before = slot::inspect(&own.file, &inner.backend.get(&own.file)?, &inner.keys)?;
        let mut new = new.clone();
        if new.label.is_empty() {
            new.label = before.facts.label;
        }
        let (file, key) = slot::create(&own.file, secret, &new, &inner.keys.ring())?;
        inner.replace_key_file(&lock, &own.file, &file)?;
        inner.keys.set_own(Own {
            backend: inner.backend.clone(),
            file: own.file.clone(),
            key,
        });
        Ok(())
    }

    /// Makes a new master key, which seals everything that is written from now on, and gives it to all
    /// keys without their passwords. What was written stays as it is and readable. A rotation that
    /// was interrupted is finished instead.
    ///
    /// # Errors
    /// A damaged key file cannot be given the new key, so nothing is done until it is removed.
    pub fn rotate_keys(&self) -> Result<Rotation> {
        let inner = &self.inner;
        let lock = MaintenanceLock::acquire(&inner.backend)?;
        inner.keys.reload()?;
        let files = inner.key_files()?;
        let ring = inner.keys.ring();
        let newest = files.iter().map(|file| file.inspected.current).max();
        let newest = newest.unwrap_or_default().max(ring.current());
        let resumed = files.iter().any(|file| file.inspected.current != newest);
        let next = if resumed {
            // Some say already that the last key is the current one, so all have it.
            if ring.current() == newest {
                ring.as_ref().clone()
            } else {
                ring.activated()
            }
        } else {
            let pending = ring.with_pending(jiff::Timestamp::now().as_second())?;
            for file in &files {
                inner.rewrap(&lock, file, &ring, &pending)?;
            }
            pending.activated()
        };
        for file in inner.key_files()? {
            if file.inspected.current != next.current() {
                inner.rewrap(&lock, &file, &next, &next)?;
            }
        }
        inner.keys.reload()?;
        Ok(Rotation {
            number: next.current(),
            keys: files.len(),
            resumed,
        })
    }
}

impl Inner {
    /// All key files, whole.
    fn key_files(&self) -> Result<Vec<KeyFile>> {
        let mut files = Vec::new();
        for info in self.backend.list(FOLDER)? {
            let bytes = self.backend.get(&info.name)?;
            let inspected = slot::inspect(&info.name, &bytes, &self.keys)?;
            files.push(KeyFile {
                name: info.name,
                bytes,
                inspected,
            });
        }
        Ok(files)
    }

    fn rewrap(
        &self,
        lock: &MaintenanceLock,
        file: &KeyFile,
        known: &Ring,
        ring: &Ring,
    ) -> Result<()> {
        let bytes = slot::rewrap(&file.name, &file.bytes, known, ring)?;
        self.replace_key_file(lock, &file.name, &bytes)
    }

    fn any_opens<'a>(
        &self,
        mut names: impl Iterator<Item = &'a String>,
        secret: &SecretString,
    ) -> Result<bool> {
        names.try_fold(false, |found, name| {
            Ok(found || slot::open(name, &self.backend.get(name)?, secret)?.is_some())
        })
    }

    fn master_keys(&self) -> Vec<MasterKeyInfo> {
        let ring = self.keys.ring();
        let mut keys: Vec<_> = ring
            .created()
            .zip(0..)
            .map(|(created, number)| MasterKeyInfo {
                number,
                created,
                current: number == ring.current(),
                packs: 0,
                bytes: 0,
            })
            .collect();
        let mut packs = self.index.sealed_packs();
        packs.sort_unstable();
        packs.dedup();
        for (_, key, size) in packs {
            if let Some(info) = keys.get_mut(usize::from(key)) {
                info.packs += 1;
                info.bytes += size;
            }
        }
        keys
    }
}

/// Makes a key file that opens `ring` with `secret`. Returns its name, and what is in it.
pub(crate) fn create(
    backend: &Backend,
    secret: &SecretString,
    new: &NewKey,
    ring: &Ring,
) -> Result<(String, Vec<u8>)> {
    loop {
        let name = format!("{FOLDER}/{}", hex(&random::<8>()?));
        let (file, _) = slot::create(&name, secret, new, ring)?;
        if backend.create(&name, &file)? {
            return Ok((name, file));
        }
    }
}

fn id_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
