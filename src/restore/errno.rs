//! The one place where a refusal becomes an error number.
//!
//! A program that writes into `restore/` sees nothing but `errno`; a person reads the reason, which is
//! kept whole for `restore/.log` and for xattr `user.tenantfs.error`. Every class of failure is named
//! here, so a new one does not compile before someone has decided what it means to `cp`.

use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::graph::{ErrorClass, GraphError};
use crate::workload::PushError;

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// EACCES: a permission is missing, or sign-in failed.
    Denied,
    /// EROFS: there is no identity that may restore.
    ReadOnly,
    /// EPERM: `restore/` never does this (deleting, renaming live items).
    NotPermitted,
    /// EDQUOT: the mailbox or drive is full.
    Quota,
    /// ENOSPC: the disk with the spool is full.
    NoSpace,
    /// EEXIST: it is there already and the policy is skip.
    Exists,
    /// ENOENT: no such account, workload, or folder.
    NotFound,
    /// EINVAL: a path outside the contract, a name or form the service can't hold.
    Invalid,
    /// ENAMETOOLONG.
    NameTooLong,
    /// EFBIG: larger than the service takes.
    TooLarge,
    /// EISDIR: a folder of that name is there.
    IsFolder,
    /// ENOTDIR: a file is where a folder should be.
    NotFolder,
    /// EOPNOTSUPP: the service cannot do this.
    Unsupported,
    /// EIO: the service, the network or this machine failed, or time ran out.
    Io,
}

impl Code {
    /// The number.
    pub fn errno(self) -> i32 {
        match self {
            Code::Denied => Errno::ACCESS,
            Code::ReadOnly => Errno::ROFS,
            Code::NotPermitted => Errno::PERM,
            Code::Quota => Errno::DQUOT,
            Code::NoSpace => Errno::NOSPC,
            Code::Exists => Errno::EXIST,
            Code::NotFound => Errno::NOENT,
            Code::Invalid => Errno::INVAL,
            Code::NameTooLong => Errno::NAMETOOLONG,
            Code::TooLarge => Errno::FBIG,
            Code::IsFolder => Errno::ISDIR,
            Code::NotFolder => Errno::NOTDIR,
            Code::Unsupported => Errno::OPNOTSUPP,
            Code::Io => Errno::IO,
        }
        .raw_os_error()
    }

    /// The kind behind a number that was written down; EIO for one that is none of ours.
    pub fn of_errno(errno: i32) -> Code {
        Code::ALL
            .into_iter()
            .find(|code| code.errno() == errno)
            .unwrap_or(Code::Io)
    }

    const ALL: [Code; 14] = [
        Code::Denied,
        Code::ReadOnly,
        Code::NotPermitted,
        Code::Quota,
        Code::NoSpace,
        Code::Exists,
        Code::NotFound,
        Code::Invalid,
        Code::NameTooLong,
        Code::TooLarge,
        Code::IsFolder,
        Code::NotFolder,
        Code::Unsupported,
        Code::Io,
    ];

    fn of_class(class: ErrorClass) -> Code {
        match class {
            ErrorClass::Denied | ErrorClass::Auth => Code::Denied,
            ErrorClass::Quota => Code::Quota,
            ErrorClass::Conflict => Code::Exists,
            ErrorClass::Gone | ErrorClass::NotFound => Code::NotFound,
            ErrorClass::TooLarge => Code::TooLarge,
            ErrorClass::Unsupported => Code::Unsupported,
            ErrorClass::Ours => Code::Invalid,
            ErrorClass::Transient
            | ErrorClass::Throttled
            | ErrorClass::Network
            | ErrorClass::Reset
            | ErrorClass::Corrupt => Code::Io,
        }
    }

    fn of_io(e: &io::Error) -> Code {
        match Errno::from_io_error(e) {
            Some(Errno::NOSPC) => Code::NoSpace,
            Some(Errno::DQUOT) => Code::Quota,
            Some(Errno::FBIG) => Code::TooLarge,
            _ => Code::Io,
        }
    }
}

/// Why a restore was refused: a number for programs, a reason for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RestoreError {
    /// What `close()`, `mkdir()`, ... return.
    pub errno: i32,
    /// What kind of refusal it is.
    pub code: Code,
    /// What failed, on what, and what to do; never a secret.
    pub reason: String,
    /// The same push may succeed later without anyone changing anything.
    pub temporary: bool,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl RestoreError {
    /// A refusal that stays one until something changes.
    pub fn new(code: Code, reason: impl Into<String>) -> RestoreError {
        RestoreError {
            errno: code.errno(),
            code,
            reason: reason.into(),
            temporary: false,
        }
    }

    /// A failure that may go away by itself.
    pub fn temporary(reason: impl Into<String>) -> RestoreError {
        RestoreError {
            temporary: true,
            ..RestoreError::new(Code::Io, reason)
        }
    }

    /// A failure of this machine's disk.
    pub fn local(what: impl fmt::Display, e: &io::Error) -> RestoreError {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        let help = match e.kind() {
            StorageFull | QuotaExceeded => "; make room on the disk of state_dir and copy it again",
            _ => "",
        };
        RestoreError::new(Code::of_io(e), format!("{what}: {e}{help}"))
    }

    /// The same refusal, with what it is about in front.
    pub fn about(mut self, what: impl fmt::Display) -> RestoreError {
        self.reason = format!("{what}: {}", self.reason);
        self
    }
}

impl From<GraphError> for RestoreError {
    fn from(e: GraphError) -> RestoreError {
        let code = Code::of_class(e.class);
        RestoreError {
            temporary: e.class.is_temporary(),
            ..RestoreError::new(code, e.to_string())
        }
    }
}

impl From<PushError> for RestoreError {
    fn from(e: PushError) -> RestoreError {
        let code = match e {
            PushError::Graph(e) => return e.into(),
            PushError::Exists { .. } => Code::Exists,
            PushError::NoFolder { .. } => Code::NotFound,
            PushError::Invalid(_) => Code::Invalid,
            PushError::Local(ref e) => Code::of_io(e),
        };
        RestoreError::new(code, e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_numbers() {
        for (class, errno, temporary) in [
            (ErrorClass::Denied, Errno::ACCESS, false),
            (ErrorClass::Auth, Errno::ACCESS, false),
            (ErrorClass::Quota, Errno::DQUOT, false),
            (ErrorClass::Conflict, Errno::EXIST, false),
            (ErrorClass::NotFound, Errno::NOENT, false),
            (ErrorClass::TooLarge, Errno::FBIG, false),
            (ErrorClass::Ours, Errno::INVAL, false),
            (ErrorClass::Transient, Errno::IO, true),
            (ErrorClass::Throttled, Errno::IO, true),
            (ErrorClass::Network, Errno::IO, true),
        ] {
            let e = RestoreError::from(GraphError::local(class, "POST /x", "said so"));
            assert_eq!(
                (e.errno, e.temporary),
                (errno.raw_os_error(), temporary),
                "{class:?}"
            );
            assert!(e.reason.contains("said so"));
        }
        let e = RestoreError::from(PushError::Exists {
            name: "a".to_owned(),
        });
        assert_eq!(e.errno, Errno::EXIST.raw_os_error());
        let full = io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error());
        assert_eq!(RestoreError::local("spool", &full).code, Code::NoSpace);
    }
}
