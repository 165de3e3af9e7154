//! Between fuser's types and ours: conversions and the replies that have a deadline.
//!
//! Only this module, the two adapters and [`crate::mount`] name fuser: its API moves with every
//! release.

use std::time::{Duration, SystemTime};

use fuser::{Errno, FileAttr, FileType, Generation, INodeNo};

use crate::attr::{Attr, Kind};
use crate::error::FsError;
use crate::workers::Fail;

/// Numbers are never used again for something else, so there is one generation.
pub const GENERATION: Generation = Generation(0);

/// For what never changes.
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Most seconds a wait for the repository may take.
pub const READ_DEADLINE: Duration = Duration::from_secs(30);

pub fn errno(error: &FsError) -> Errno {
    Errno::from_i32(error.errno().raw_os_error())
}

/// `blocks` counts 512 bytes, as if every file had room of its own: `du` shows what a copy takes.
pub fn file_attr(attr: &Attr) -> FileAttr {
    let time = match u64::try_from(attr.mtime) {
        Ok(after) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(after)),
        Err(_) => {
            SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(attr.mtime.unsigned_abs()))
        }
    }
    .unwrap_or(SystemTime::UNIX_EPOCH);
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: match attr.kind {
            Kind::File => FileType::RegularFile,
            Kind::Dir => FileType::Directory,
            Kind::Link => FileType::Symlink,
        },
        perm: attr.mode,
        // Directories too: 1 says that the number of subfolders is not counted (as btrfs does).
        nlink: 1,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// Says that a name does not exist, in a way that the kernel may cache.
pub fn no_entry() -> FileAttr {
    file_attr(&Attr {
        ino: 0,
        kind: Kind::File,
        size: 0,
        mtime: 0,
        mode: 0,
        uid: 0,
        gid: 0,
    })
}

macro_rules! fail {
    ($($reply:ty),* $(,)?) => {
        $(impl Fail for $reply {
            fn fail(self, errno: rustix::io::Errno) {
                self.error(Errno::from_i32(errno.raw_os_error()));
            }
        })*
    };
}

fail!(
    fuser::ReplyAttr,
    fuser::ReplyCreate,
    fuser::ReplyData,
    fuser::ReplyDirectory,
    fuser::ReplyDirectoryPlus,
    fuser::ReplyEmpty,
    fuser::ReplyEntry,
    fuser::ReplyLseek,
    fuser::ReplyOpen,
    fuser::ReplyWrite,
    fuser::ReplyXattr,
);

/// The xattr protocol: size 0 asks how long the value is, a buffer too short gets ERANGE.
pub fn reply_xattr(reply: fuser::ReplyXattr, size: u32, value: Result<Vec<u8>, FsError>) {
    match value {
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(e) => reply.error(errno(&e)),
    }
}
