//! Reading local files, making a folder's changes durable, and taking away what writers that were killed
//! left behind.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::super::error::RepoError;

/// Reads exactly `len` bytes without zeroing the buffer first.
pub(crate) fn pread(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut buffer = Vec::with_capacity(len);
    while buffer.len() < len {
        let at = offset + buffer.len() as u64;
        let had = buffer.len();
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut buffer), at) {
            Ok(_) if buffer.len() == had => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    // The allocator may have given more than asked for, and pread fills what there is.
    buffer.truncate(len);
    Ok(buffer)
}

/// Makes renames and creations in a folder durable.
pub(crate) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Nobody takes so long to write a small file.
const ABANDONED: Duration = Duration::from_secs(86_400);

/// Removes what `object_store` had not renamed yet when its process died: files called `NAME#NUMBER` that
/// are older than a day, in the repository's directory and in the folders directly below. Listings do not
/// show them. One that cannot be looked at or removed stays: it takes room and does no harm.
pub(crate) fn remove_abandoned(root: &Path) {
    for entry in entries(root) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            entries(&entry.path()).for_each(|below| remove_if_abandoned(&below));
        } else {
            remove_if_abandoned(&entry);
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

fn remove_if_abandoned(entry: &fs::DirEntry) {
    let name = entry.file_name();
    let number = name.to_str().and_then(|name| name.rsplit_once('#'));
    let is_staged = number.is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let is_old = |told: fs::Metadata| {
        let age = told.modified().map(|time| time.elapsed());
        told.is_file() && age.is_ok_and(|age| age.is_ok_and(|age| age > ABANDONED))
    };
    if is_staged && entry.metadata().is_ok_and(is_old) {
        let _ = fs::remove_file(entry.path());
    }
}

/// What a failure to read means.
pub(super) fn read_error(file: &str, error: io::Error) -> RepoError {
    match error.kind() {
        io::ErrorKind::NotFound => RepoError::FileMissing { file: file.into() },
        io::ErrorKind::UnexpectedEof => RepoError::damaged(file, "it is shorter than it was"),
        _ => RepoError::io(format!("cannot read {file}"), error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_old_files_with_a_number_behind_them_are_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("sessions")).unwrap();
        let old = SystemTime::now() - 2 * ABANDONED;
        for (name, time) in [
            ("config", old),
            ("config#1", old),
            ("sessions/ab#12", old),
            ("sessions/ab#", old),
            ("sessions/ab#1x", old),
            ("sessions/cd#1", SystemTime::now()),
        ] {
            let file = File::create(root.join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        remove_abandoned(root);
        let mut left: Vec<_> = [root.to_owned(), root.join("sessions")]
            .iter()
            .flat_map(|dir| fs::read_dir(dir).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["ab#", "ab#1x", "cd#1", "config", "sessions"]);
    }
}
