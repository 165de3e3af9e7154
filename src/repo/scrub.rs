//! One pack at a time, for those who read everything little by little.

use super::error::{RepoError, Result};
use super::id::{PackClass, PackId};
use super::verify::DamagedFile;
use super::{Inner, Repository, parity};

/// What reading a pack found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackCheck {
    /// Bytes of the pack.
    pub bytes: u64,
    /// The pack, its parity file, or both, if they are not as they were written.
    pub damaged: Vec<DamagedFile>,
}

impl Repository {
    /// Reads every byte of a pack (named as [`Repository::packs`] does) and of its parity file.
    ///
    /// # Errors
    /// That it could not be read, for a reason that says nothing about it: a store that does not answer.
    pub fn check_pack(&self, name: &str) -> Result<PackCheck> {
        let (class, id) = PackId::parse(name)
            .ok_or_else(|| RepoError::Invalid(format!("{name:?} is no pack's name")))?;
        let inner = &self.inner;
        let mut check = PackCheck::default();
        let Some(size) = inner.backend.size(name)? else {
            inner.refresh_index()?;
            if !inner.index.packs().iter().any(|(_, known, _)| *known == id) {
                return Ok(check); // It was deleted on purpose.
            }
            let missing = DamagedFile {
                file: name.to_owned(),
                reason: "it is missing".to_owned(),
            };
            check.damaged.push(missing);
            return Ok(check);
        };
        check.bytes = size;
        // A file that was replaced must not be read through a handle of the old one.
        inner.packs.remove(&id);
        let file = parity::file(id);
        let parts = [
            (name, inner.read_whole(class, id, size)),
            (file.as_str(), inner.parity_of(class, id, size)),
        ];
        for (file, checked) in parts {
            match checked {
                Ok(()) => {}
                Err(e) if is_damage(&e) => check.damaged.push(DamagedFile::new(file, &e)),
                Err(e) => return Err(e),
            }
        }
        Ok(check)
    }
}

/// True for errors that tell of the file and not of the way to it. A directory's disk that cannot read
/// a sector (EIO) has lost it.
pub(crate) fn is_damage(error: &RepoError) -> bool {
    match error {
        RepoError::Damaged { .. }
        | RepoError::FileMissing { .. }
        | RepoError::NewerVersion { .. } => true,
        RepoError::Io { source, .. } => {
            source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        }
        _ => false,
    }
}

impl Inner {
    fn read_whole(&self, class: PackClass, id: PackId, size: u64) -> Result<()> {
        let table = self.ends(class, id, size)?.table;
        (0..table.frames.len()).try_for_each(|number| self.check_frame(&table, number as u32))
    }

    fn parity_of(&self, class: PackClass, id: PackId, size: u64) -> Result<()> {
        let file = parity::file(id);
        let len = self.backend.size(&file)?;
        // What is wrong with the pack itself is told of the pack.
        let ends = match self.ends(class, id, size) {
            Ok(ends) => ends,
            Err(e) if is_damage(&e) => return Ok(()),
            Err(e) => return Err(e),
        };
        match len {
            Some(len) => self.check_parity(&ends.table, len, true),
            None if ends.has_parity => Err(RepoError::damaged(&file, "it is missing")),
            None => Ok(()),
        }
    }
}
