//! Reading local files, and making a folder's changes durable.

use std::fs::File;
use std::io;
use std::path::Path;

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

/// What a failure to read means.
pub(super) fn read_error(file: &str, error: io::Error) -> RepoError {
    match error.kind() {
        io::ErrorKind::NotFound => RepoError::FileMissing { file: file.into() },
        io::ErrorKind::UnexpectedEof => RepoError::damaged(file, "it is shorter than it was"),
        _ => RepoError::io(format!("cannot read {file}"), error),
    }
}
