//! Why something was refused, where programs find it: in an extended attribute of the place and of its folder, as
//! an errno says little.

use std::ffi::OsStr;

use tenantfs::restore::TargetPath;

use super::RestoreFs;
use super::nodes::Key;
use crate::error::FsError;

/// Why a place was refused, in full.
const ERROR_XATTR: &str = "user.tenantfs.error";
/// Refusals remembered for [`ERROR_XATTR`].
const MAX_ERRORS: usize = 1000;

impl RestoreFs {
    /// Value of an xattr. Does not wait.
    pub fn xattr(&self, ino: u64, name: &OsStr) -> Result<Vec<u8>, FsError> {
        if name != ERROR_XATTR {
            return Err(FsError::NoAttribute);
        }
        self.error_of(ino)?
            .map(String::into_bytes)
            .ok_or(FsError::NoAttribute)
    }

    /// Names of xattrs, each ended by NUL. Does not wait.
    pub fn xattr_names(&self, ino: u64) -> Result<Vec<u8>, FsError> {
        let names = self
            .error_of(ino)?
            .map(|_| format!("{ERROR_XATTR}\0").into_bytes());
        Ok(names.unwrap_or_default())
    }

    /// The newest refusal at a place, or, for a folder, directly in it.
    fn error_of(&self, ino: u64) -> Result<Option<String>, FsError> {
        let Key::Place(place) = self.node(ino)?.key else {
            return Ok(None);
        };
        let place = place.with_policy(Default::default());
        let errors = self.errors.lock();
        let newest = |here: &dyn Fn(&TargetPath) -> bool| errors.iter().rfind(|(at, _)| here(at));
        let at_itself = newest(&|at| *at == place);
        let found = at_itself.or_else(|| newest(&|at| at.parent().as_ref() == Some(&place)));
        Ok(found.map(|(_, reason)| reason.clone()))
    }

    /// Writes down why something was refused, and passes it on.
    pub(super) fn refuse(&self, place: &TargetPath, error: FsError) -> FsError {
        self.service.note(place, &error.to_string());
        self.remember_error(place, &error);
        error
    }

    pub(super) fn remember_error(&self, place: &TargetPath, error: &FsError) {
        let mut errors = self.errors.lock();
        if errors.len() >= MAX_ERRORS {
            errors.pop_front();
        }
        errors.push_back((
            place.clone().with_policy(Default::default()),
            error.to_string(),
        ));
    }
}
