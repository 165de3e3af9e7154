//! Items on their way into a folder of this machine: downloads.
//!
//! A file appears under its name whole or not at all, and only for its owner, with the time it has in
//! the snapshot.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::alive::Alive;
use super::run::{Destination, Job};
use super::{Options, Outcome, Repo, Tally, each_piece};
use crate::repo::ObjectId;
use crate::restore::errno::{Code, RestoreError};
use crate::restore::policy::Conflict;
use crate::restore::sources::{From, Root};

/// Other names that are tried for a copy beside one that is there.
const MAX_BESIDE: u32 = 10_000;
/// Longest name of a file.
const MAX_NAME: usize = 255;

pub(super) struct ToFolder<'a> {
    from: Repo<'a>,
    /// Tells what was deleted, if that is asked for.
    alive: Option<Alive<'a>>,
    target: &'a Path,
    /// Of several sources each has a folder of its own.
    several: bool,
    options: &'a Options,
    tally: &'a Tally<'a>,
    /// Folders of which a dry run has said that it would make them.
    told: Mutex<HashSet<PathBuf>>,
}

impl<'a> ToFolder<'a> {
    /// # Errors
    /// When something that is no folder is at `target`.
    pub fn new(
        from: Repo<'a>,
        alive: Option<Alive<'a>>,
        target: &'a Path,
        several: bool,
        options: &'a Options,
        tally: &'a Tally<'a>,
    ) -> Result<ToFolder<'a>, RestoreError> {
        if target.exists() && !target.is_dir() {
            return Err(no_folder(target));
        }
        Ok(ToFolder {
            from,
            alive,
            target,
            several,
            options,
            tally,
            told: Mutex::default(),
        })
    }

    /// Says that a folder would be made, with those above it.
    fn would_make(&self, source: &str, at: &Path) {
        if at.as_os_str().is_empty() || at.exists() || !self.told.lock().insert(at.to_owned()) {
            return;
        }
        if let Some(above) = at.parent() {
            self.would_make(source, above);
        }
        let outcome = Outcome::WouldMakeFolder;
        self.tally
            .decided(source, &self.show(&at.into()), 0, outcome);
    }

    /// Makes a folder with those above it.
    fn make(&self, source: &str, at: &Path) -> Result<(), RestoreError> {
        if at.as_os_str().is_empty() || at.is_dir() {
            return Ok(());
        }
        if fs::symlink_metadata(at).is_ok() {
            return Err(no_folder(at));
        }
        if let Some(above) = at.parent() {
            self.make(source, above)?;
        }
        match fs::create_dir(at) {
            Ok(()) => {
                let outcome = Outcome::MadeFolder;
                self.tally
                    .decided(source, &self.show(&at.into()), 0, outcome);
                Ok(())
            }
            // Another worker was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && at.is_dir() => Ok(()),
            Err(e) => Err(RestoreError::local(at.display(), &e)),
        }
    }

    /// Writes the file aside and gives it its name.
    fn write(&self, job: &Job<PathBuf>) -> Result<PathBuf, RestoreError> {
        let at = &job.target;
        let local = |e: io::Error| RestoreError::local(at.display(), &e);
        let folder = at.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut aside = tempfile::Builder::new()
            .prefix(".tenantfs-")
            .tempfile_in(folder)
            .map_err(local)?;
        each_piece(self.from.repo, &job.found, |offset, piece| {
            let file: &File = aside.as_file();
            file.write_all_at(piece, offset).map_err(local)
        })?;
        if let Ok(seconds) = u64::try_from(job.found.mtime) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            aside.as_file().set_modified(time).map_err(local)?;
        }
        if self.conflict() == Conflict::Overwrite {
            let written = aside.persist(at);
            return written.map(|_| at.clone()).map_err(|e| local(e.error));
        }
        for n in 0..MAX_BESIDE {
            let name = beside(at, n);
            match aside.persist_noclobber(&name) {
                Ok(_) => return Ok(name),
                Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                    if self.conflict() == Conflict::Skip {
                        return Err(exists(at));
                    }
                    aside = e.file;
                }
                Err(e) => return Err(local(e.error)),
            }
        }
        Err(exists(at))
    }

    fn conflict(&self) -> Conflict {
        self.options.conflict.unwrap_or_default()
    }
}

impl Destination for ToFolder<'_> {
    type Place = PathBuf;

    fn base(&self, root: &Root) -> Result<PathBuf, RestoreError> {
        match !root.is_dir() || self.several {
            true => self.child(&self.target.to_owned(), &root.name()),
            false => Ok(self.target.to_owned()),
        }
    }

    fn child(&self, at: &PathBuf, name: &str) -> Result<PathBuf, RestoreError> {
        // A name of a snapshot is one a file can have; this holds whatever the repository says.
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(RestoreError::new(
                Code::Invalid,
                format!("{name:?} is no name for a file"),
            ));
        }
        Ok(at.join(name))
    }

    fn show(&self, at: &PathBuf) -> String {
        at.display().to_string()
    }

    fn folder(
        &self,
        source: &str,
        at: &PathBuf,
        _record: Option<ObjectId>,
    ) -> Result<(), RestoreError> {
        if at.exists() && !at.is_dir() {
            return Err(no_folder(at));
        }
        match (self.options.dry_run, self.options.deleted_only) {
            // Made when something goes into it.
            (_, true) => Ok(()),
            (true, false) => {
                self.would_make(source, at);
                Ok(())
            }
            (false, false) => self.make(source, at),
        }
    }

    fn item(&self, job: &Job<PathBuf>) -> Result<Outcome, RestoreError> {
        let at = &job.target;
        if at.is_dir() {
            return Err(RestoreError::new(
                Code::IsFolder,
                format!("{} is a folder", at.display()),
            ));
        }
        let there = fs::symlink_metadata(at).is_ok();
        if there && self.conflict() == Conflict::Skip {
            return Ok(Outcome::Exists);
        }
        if let (
            Some(alive),
            Some((snapshot, path)),
            From::Entry(entry) | From::Version { file: entry, .. },
        ) = (&self.alive, &job.place, &job.found.origin)
            && alive.is_live(snapshot, path, entry)?
        {
            return Ok(Outcome::Live);
        }
        let folder = at.parent().unwrap_or(Path::new(""));
        if self.options.dry_run {
            self.would_make(&job.source, folder);
            return Ok(Outcome::WouldRestore(there.then(|| self.conflict())));
        }
        self.make(&job.source, folder)?;
        match self.write(job) {
            Ok(written) => Ok(Outcome::Restored {
                name: name_of(&written),
                notes: Vec::new(),
            }),
            Err(e) if e.code == Code::Exists => Ok(Outcome::Exists),
            Err(e) => Err(e),
        }
    }
}

fn no_folder(at: &Path) -> RestoreError {
    let what = format!("{} is there already and is no folder", at.display());
    RestoreError::new(Code::NotFolder, what)
}

fn exists(at: &Path) -> RestoreError {
    RestoreError::new(Code::Exists, format!("{} is there already", at.display()))
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The name itself, or another one: `budget (2).xlsx`.
fn beside(at: &Path, n: u32) -> PathBuf {
    if n == 0 {
        return at.to_owned();
    }
    let name = name_of(at);
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (&name[..], ""),
    };
    let mark = format!(" ({})", n + 1);
    let room = MAX_NAME.saturating_sub(mark.len() + extension.len());
    let stem = &stem[..stem.floor_char_boundary(room)];
    at.with_file_name(format!("{stem}{mark}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_fits() {
        let name = |at: &str, n| beside(Path::new(at), n).display().to_string();
        assert_eq!(name("/a/b.txt", 0), "/a/b.txt");
        assert_eq!(name("/a/b.txt", 1), "/a/b (2).txt");
        assert_eq!(name("/a/.profile", 2), "/a/.profile (3)");
        let long = format!("/a/{}.txt", "ä".repeat(125));
        assert!(name_of(Path::new(&name(&long, 1))).len() <= MAX_NAME);
    }
}
