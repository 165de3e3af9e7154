//! The snapshots as a FUSE session that the kernel need not ask twice.
//!
//! `open`, `opendir`, `flush`, `access` and the xattr calls are answered ENOSYS once: the kernel
//! then never sends them again on this connection, keeps pages and listings in its cache, and a
//! second pass over the same files sends nothing at all. Everything has a lifetime of a year; the
//! root's changes are announced by [`fuser::Notifier`].

use std::ffi::OsStr;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuser::{
    AccessFlags, Errno, FileHandle, Filesystem, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::{DOTS, SnapshotFs};
use crate::fuse::{GENERATION, READ_DEADLINE, YEAR, errno, file_attr, no_entry};
use crate::requests::{Op, Requests};
use crate::workers::{Fail, Guarded, Watch, Workers};

/// Requests that the kernel may have in flight for read-ahead.
const MAX_BACKGROUND: u16 = 64;

pub(crate) struct Adapter {
    pub fs: Arc<SnapshotFs>,
    pub requests: Arc<Requests>,
    pub watch: Arc<Watch>,
    /// Where requests wait for a remote repository. `None`: local, answered on the event loop,
    /// which saves two context switches per file.
    pub workers: Option<Workers>,
    pub xattr: bool,
}

impl Adapter {
    /// Counts, puts the reply under its deadline, and does the work here or on a worker.
    fn answer<R: Fail>(
        &self,
        op: Op,
        reply: R,
        what: &'static str,
        work: impl FnOnce(&SnapshotFs, Guarded<R>) + Send + 'static,
    ) {
        self.requests.count(op);
        let guarded = self.watch.guard(reply, what, READ_DEADLINE);
        match &self.workers {
            None => {
                // A fault of ours costs one request, not an event loop: the dropped reply says EIO.
                if catch_unwind(AssertUnwindSafe(|| work(&self.fs, guarded))).is_err() {
                    tracing::error!(
                        operation = what,
                        "a request failed inside the mount; it was answered with EIO"
                    );
                }
            }
            Some(workers) => {
                let fs = self.fs.clone();
                workers.run(move || work(&fs, guarded));
            }
        }
    }

    /// An operation that this session never supports, so that the kernel stops asking.
    fn unsupported<R: Fail>(&self, op: Op, reply: R) {
        self.requests.count(op);
        reply.fail(rustix::io::Errno::NOSYS);
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_NO_OPEN_SUPPORT,
            InitFlags::FUSE_NO_OPENDIR_SUPPORT,
            // Always, never AUTO: who lists a folder of mails stats them next.
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        ];
        for flag in wanted {
            if config.add_capabilities(flag).is_err() {
                tracing::info!(
                    ?flag,
                    "this kernel lacks a FUSE capability; the mount is slower without it"
                );
            }
        }
        // Refused above what the kernel offers; then the answer is the most there is.
        if let Err(most) = config.set_max_readahead(u32::MAX) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.answer(Op::lookup, reply, "lookup", move |fs, reply| {
            let found = fs.lookup(parent.0, &name);
            let Some(reply) = reply.take() else {
                // The kernel got EIO and holds no reference.
                if let Ok(Some(attr)) = found {
                    fs.forget(attr.ino, 1);
                }
                return;
            };
            match found {
                Ok(Some(attr)) => reply.entry(&YEAR, &file_attr(&attr), GENERATION),
                Ok(None) => reply.entry(&YEAR, &no_entry(), GENERATION),
                Err(e) => reply.error(errno(&e)),
            }
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.requests.count(Op::forget);
        self.fs.forget(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.requests.count(Op::getattr);
        match self.fs.getattr(ino.0) {
            Ok(attr) => reply.attr(&YEAR, &file_attr(&attr)),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        self.requests.count(Op::readlink);
        match self.fs.readlink(ino.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.unsupported(Op::open, reply);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.answer(Op::read, reply, "read", move |fs, reply| {
            let bytes = fs.read(ino.0, offset, size);
            let Some(reply) = reply.take() else { return };
            match bytes {
                Ok(bytes) => reply.data(&bytes),
                Err(e) => reply.error(errno(&e)),
            }
        });
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.unsupported(Op::flush, reply);
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.unsupported(Op::fsync, reply);
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.unsupported(Op::opendir, reply);
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        self.answer(Op::readdir, reply, "readdir", move |fs, reply| {
            let result = fs.readdir(ino.0, offset, &mut |attr, after, name| {
                let full = reply
                    .with(|reply| reply.add(INodeNo(attr.ino), after, file_attr(attr).kind, name))
                    .unwrap_or(true);
                if !full && after > DOTS {
                    // A plain listing gives the kernel no reference.
                    fs.forget(attr.ino, 1);
                }
                full
            });
            let Some(reply) = reply.take() else { return };
            match result {
                Ok(()) => reply.ok(),
                Err(e) => reply.error(errno(&e)),
            }
        });
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.answer(Op::readdirplus, reply, "readdirplus", move |fs, reply| {
            let mut referenced = Vec::new();
            let result = fs.readdir(ino.0, offset, &mut |attr, after, name| {
                let full = reply
                    .with(|reply| {
                        reply.add(
                            INodeNo(attr.ino),
                            after,
                            name,
                            &YEAR,
                            &file_attr(attr),
                            GENERATION,
                        )
                    })
                    .unwrap_or(true);
                if !full && after > DOTS {
                    referenced.push(attr.ino);
                }
                full
            });
            let reply = reply.take();
            if reply.is_none() || result.is_err() {
                // The kernel gets an error instead, and with it no reference.
                referenced.iter().for_each(|ino| fs.forget(*ino, 1));
            }
            let Some(reply) = reply else { return };
            match result {
                Ok(()) => reply.ok(),
                Err(e) => reply.error(errno(&e)),
            }
        });
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        self.unsupported(Op::access, reply);
    }

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: fuser::ReplyLseek,
    ) {
        // No holes: the kernel then finds data and end by itself.
        self.unsupported(Op::lseek, reply);
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: fuser::IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: fuser::ReplyIoctl,
    ) {
        // Programs ask so whether a file is a terminal.
        self.requests.count(Op::ioctl);
        reply.error(Errno::ENOTTY);
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.requests.count(Op::statfs);
        let (bytes, files) = self.fs.totals();
        reply.statfs(bytes.div_ceil(4096), 0, 0, files, 0, 4096, 255, 4096);
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if !self.xattr {
            return self.unsupported(Op::getxattr, reply);
        }
        let name = name.to_owned();
        self.answer(Op::getxattr, reply, "getxattr", move |fs, reply| {
            let value = fs.xattr(ino.0, &name);
            let Some(reply) = reply.take() else { return };
            crate::fuse::reply_xattr(reply, size, value);
        });
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        if !self.xattr {
            return self.unsupported(Op::listxattr, reply);
        }
        self.answer(Op::listxattr, reply, "listxattr", move |fs, reply| {
            let names = fs.xattr_names(ino.0);
            let Some(reply) = reply.take() else { return };
            crate::fuse::reply_xattr(reply, size, names);
        });
    }

    // The session is mounted read-only: the kernel answers EROFS to everything that writes, and
    // these are never asked. Should one be, the answer is the same.
    fn setxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.requests.count(Op::setxattr);
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        self.requests.count(Op::removexattr);
        reply.error(Errno::EROFS);
    }
}
