//! The register: which key files there must be, and what is in them.
//!
//! A key file that was lost looks like one that was removed, and one that was put back after its password
//! was changed opens the repository as ever. So the inventory says of each what it has to be.
//!
//! Invariants, all under the maintenance lock: a key file is registered after it was made, and taken off
//! before it is deleted; while one replaces another, either is right. So an interruption leaves at most
//! a file that nobody registered, which says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{FOLDER, slot};
use crate::repo::Inner;
use crate::repo::backend::Backend;
use crate::repo::error::{RepoError, Result};
use crate::repo::id::hex;
use crate::repo::lock::MaintenanceLock;
use crate::repo::verify::DamagedFile;

/// By name of the key file: BLAKE3 of what it may be, in hexadecimal.
pub(crate) type Register = BTreeMap<String, BTreeSet<String>>;

/// Times that key files are looked at before they are called other ones than those registered, and the time
/// between: somebody may be changing one right now.
const LOOKS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(300);

fn digest(file: &[u8]) -> String {
    hex(blake3::hash(file).as_bytes())
}

/// The key files that are there, by name. One that is removed meanwhile is not.
pub(super) fn read_all(backend: &Backend) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for info in backend.list(FOLDER)? {
        match backend.get(&info.name) {
            Ok(file) => files.push((info.name, file)),
            Err(RepoError::FileMissing { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(files)
}

/// The register of the key files that are there.
pub(crate) fn of_what_is_there(backend: &Backend) -> Result<Register> {
    Ok(of(read_all(backend)?))
}

/// The register of these key files, each its name and what is in it.
pub(crate) fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Register {
    let files = files.into_iter();
    files
        .map(|(name, file)| (name, [digest(&file)].into()))
        .collect()
}

impl Inner {
    /// Replaces a key file.
    pub(super) fn replace_key_file(
        &self,
        lock: &MaintenanceLock,
        name: &str,
        file: &[u8],
    ) -> Result<()> {
        let new = digest(file);
        self.change_register(lock, |register| {
            let allowed = register.entry(name.to_owned()).or_default();
            allowed.insert(new.clone());
        })?;
        self.backend.put(name, file)?;
        self.register_key_file(lock, name, file)
    }

    /// Says that a key file has to be as it is now.
    pub(super) fn register_key_file(
        &self,
        lock: &MaintenanceLock,
        name: &str,
        file: &[u8],
    ) -> Result<()> {
        self.change_register(lock, |register| {
            register.insert(name.to_owned(), [digest(file)].into());
        })
    }

    /// Deletes a key file; one that is registered and lost is taken off only.
    pub(super) fn delete_key_file(&self, lock: &MaintenanceLock, name: &str) -> Result<()> {
        self.change_register(lock, |register| {
            register.remove(name);
        })?;
        match self.backend.delete(name) {
            Err(RepoError::FileMissing { .. }) => Ok(()),
            other => other,
        }
    }

    /// What is wrong with key files. Checks every bit of them, without their passwords.
    ///
    /// # Errors
    /// The store fails. An inventory that can't be read is not told: whoever checks it does.
    pub(crate) fn damaged_key_files(&self) -> Result<Vec<DamagedFile>> {
        let mut looks = 1;
        loop {
            let (mut damaged, unexpected) = self.look_at_key_files()?;
            if unexpected.is_empty() || looks == LOOKS {
                damaged.extend(unexpected);
                return Ok(damaged);
            }
            std::thread::sleep(BETWEEN);
            looks += 1;
        }
    }

    /// Key files that are damaged, and those that are whole and not what the register says.
    fn look_at_key_files(&self) -> Result<(Vec<DamagedFile>, Vec<DamagedFile>)> {
        let register = self.read_register().ok();
        let (mut damaged, mut unexpected) = (Vec::new(), Vec::new());
        let mut there = BTreeSet::new();
        for (name, file) in read_all(&self.backend)? {
            if let Err(e) = slot::inspect(&name, &file, &self.keys) {
                damaged.push(DamagedFile::new(&name, &e));
            } else if let Some(register) = &register
                && let Err(e) = as_registered(register, &name, &file)
            {
                unexpected.push(DamagedFile::new(&name, &e));
            }
            there.insert(name);
        }
        let names = register.iter().flat_map(Register::keys);
        for name in names.filter(|name| !there.contains(*name)) {
            let lost = "it is missing, and nobody removed it on purpose; bring it back from a copy of the \
                        repository, or take it off with `key remove`";
            unexpected.push(DamagedFile {
                file: name.clone(),
                reason: lost.to_owned(),
            });
        }
        Ok((damaged, unexpected))
    }
}

fn as_registered(register: &Register, name: &str, file: &[u8]) -> Result<()> {
    let wrong = match register.get(name) {
        Some(allowed) if allowed.contains(&digest(file)) => return Ok(()),
        Some(_) => {
            "it is not what was written last: an older one was put back, which opens with the password of \
             then; give it a new password with `key change`, or take it off with `key remove`"
        }
        None => {
            "it is not among the repository's keys: it was removed and put back, or its removal or addition \
             was interrupted; take it off with `key remove`, and add it again if it is wanted"
        }
    };
    Err(RepoError::damaged(name, wrong))
}
