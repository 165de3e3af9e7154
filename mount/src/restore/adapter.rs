//! The writable tree as a FUSE session: ordinary opens, short lifetimes, waits on worker threads.
//!
//! Whatever may wait for the network is handed over with its reply, so the event loop goes on:
//! listings and lookups to one set of threads, pushes to another, so that many slow pushes never
//! stop an `ls`.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::OFlags;

use super::files::{Access, Opened, push_deadline};
use super::{Listed, RestoreFs};
use crate::attr::Attr;
use crate::error::FsError;
use crate::fuse::{GENERATION, errno, file_attr, no_entry, reply_xattr};
use crate::requests::{Op, Requests};
use crate::workers::{Fail, Watch, Workers};

/// Others change Microsoft 365 too.
const TTL: Duration = Duration::from_secs(1);
/// What is not there may be there in a moment.
const NEGATIVE_TTL: Duration = Duration::ZERO;
/// A long live listing is many pages.
const LIST_DEADLINE: Duration = Duration::from_secs(120);
/// The push itself has a deadline; its reply waits this much longer.
const GRACE: Duration = Duration::from_secs(10);
/// Largest write taken at once.
const MAX_WRITE: u32 = 1 << 20;

pub(crate) struct Adapter {
    pub fs: Arc<RestoreFs>,
    pub requests: Arc<Requests>,
    pub watch: Arc<Watch>,
    pub metadata: Workers,
    pub pushes: Workers,
}

impl Adapter {
    /// Does `work` on a worker and answers with what came of it. When its time is over, `answer` gets no reply:
    /// the kernel had EIO, and knows nothing of what was made for it.
    fn later<R: Fail, T: 'static>(
        &self,
        workers: &Workers,
        reply: R,
        limit: Duration,
        what: &'static str,
        work: impl FnOnce(&RestoreFs) -> Result<T, FsError> + Send + 'static,
        answer: impl FnOnce(&RestoreFs, Option<R>, T) + Send + 'static,
    ) {
        let guarded = self.watch.guard(reply, what, limit);
        let fs = self.fs.clone();
        workers.run(move || {
            let result = work(&fs);
            match (guarded.take(), result) {
                (reply, Ok(value)) => answer(&fs, reply, value),
                (Some(reply), Err(e)) => reply.fail(e.errno()),
                (None, Err(_)) => {}
            }
        });
    }

    fn meta<R: Fail, T: 'static>(
        &self,
        op: Op,
        reply: R,
        what: &'static str,
        work: impl FnOnce(&RestoreFs) -> Result<T, FsError> + Send + 'static,
        answer: impl FnOnce(&RestoreFs, Option<R>, T) + Send + 'static,
    ) {
        self.requests.count(op);
        self.later(&self.metadata, reply, LIST_DEADLINE, what, work, answer);
    }

    fn push(
        &self,
        op: Op,
        reply: ReplyEmpty,
        work: impl FnOnce(&RestoreFs) -> Result<(), FsError> + Send + 'static,
    ) {
        self.requests.count(op);
        // The size is not known here; the largest file that OneDrive takes is 250 GB.
        let limit = push_deadline(250 << 30) + GRACE;
        self.later(&self.pushes, reply, limit, "push", work, done);
    }

    fn refuse<R: Fail>(&self, op: Op, reply: R, errno: rustix::io::Errno) {
        self.requests.count(op);
        reply.fail(errno);
    }
}

fn access(req: &Request, flags: i32) -> Access {
    let bits = OFlags::from_bits_retain(flags.cast_unsigned());
    Access {
        write: OpenFlags(flags).acc_mode() != OpenAccMode::O_RDONLY,
        truncate: bits.contains(OFlags::TRUNC),
        exclusive: bits.contains(OFlags::EXCL),
        by: req.pid(),
    }
}

fn open_flags(opened: &Opened) -> FopenFlags {
    if opened.unsized_text {
        FopenFlags::FOPEN_DIRECT_IO
    } else {
        FopenFlags::empty()
    }
}

fn entry(fs: &RestoreFs, reply: Option<ReplyEntry>, found: Option<Attr>) {
    match (reply, found) {
        (Some(reply), Some(attr)) => reply.entry(&TTL, &file_attr(&attr), GENERATION),
        (Some(reply), None) => reply.entry(&NEGATIVE_TTL, &no_entry(), GENERATION),
        // The kernel holds no reference.
        (None, Some(attr)) => fs.forget(attr.ino, 1),
        (None, None) => {}
    }
}

fn done(_fs: &RestoreFs, reply: Option<ReplyEmpty>, (): ()) {
    if let Some(reply) = reply {
        reply.ok();
    }
}

fn unix_seconds(time: TimeOrNow) -> i64 {
    let time = match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            // Tells a replacement from a change in place.
            InitFlags::FUSE_ATOMIC_O_TRUNC,
        ];
        for flag in wanted {
            if config.add_capabilities(flag).is_err() {
                tracing::info!(?flag, "this kernel lacks a FUSE capability");
            }
        }
        let _ = config.set_max_write(MAX_WRITE);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.meta(
            Op::lookup,
            reply,
            "lookup",
            move |fs| fs.lookup(parent.0, &name),
            entry,
        );
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.requests.count(Op::forget);
        self.fs.forget(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.requests.count(Op::getattr);
        match self.fs.getattr(ino.0) {
            Ok(attr) => reply.attr(&TTL, &file_attr(&attr)),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mtime = mtime.map(unix_seconds);
        self.meta(
            Op::setattr,
            reply,
            "setattr",
            move |fs| fs.setattr(ino.0, size, mtime),
            |_, reply, attr| {
                if let Some(reply) = reply {
                    reply.attr(&TTL, &file_attr(&attr));
                }
            },
        );
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let name = name.to_owned();
        self.meta(
            Op::mkdir,
            reply,
            "mkdir",
            move |fs| fs.mkdir(parent.0, &name),
            |fs, reply, attr| entry(fs, reply, Some(attr)),
        );
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.meta(
            Op::unlink,
            reply,
            "unlink",
            move |fs| fs.unlink(parent.0, &name),
            done,
        );
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.meta(
            Op::rmdir,
            reply,
            "rmdir",
            move |fs| fs.rmdir(parent.0, &name),
            done,
        );
    }

    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        self.refuse(Op::symlink, reply, rustix::io::Errno::PERM);
    }

    fn link(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _parent: INodeNo,
        _name: &OsStr,
        reply: ReplyEntry,
    ) {
        self.refuse(Op::link, reply, rustix::io::Errno::PERM);
    }

    fn mknod(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        self.refuse(Op::other, reply, rustix::io::Errno::PERM);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return self.refuse(Op::rename, reply, rustix::io::Errno::INVAL);
        }
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        self.push(Op::rename, reply, move |fs| {
            fs.rename(parent.0, &name, new_parent.0, &new_name, no_replace)
        });
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let access = access(req, flags.0);
        self.meta(
            Op::open,
            reply,
            "open",
            move |fs| fs.open(ino.0, access),
            |fs, reply, opened| match reply {
                Some(reply) => reply.opened(FileHandle(opened.handle), open_flags(&opened)),
                None => fs.abandon(opened.handle),
            },
        );
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let name = name.to_owned();
        let access = access(req, flags);
        self.meta(
            Op::create,
            reply,
            "create",
            move |fs| fs.create(parent.0, &name, access),
            |fs, reply, (attr, opened)| {
                let handle = FileHandle(opened.handle);
                let Some(reply) = reply else {
                    fs.forget(attr.ino, 1);
                    return fs.abandon(opened.handle);
                };
                reply.created(
                    &TTL,
                    &file_attr(&attr),
                    GENERATION,
                    handle,
                    open_flags(&opened),
                );
            },
        );
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.requests.count(Op::read);
        match self.fs.read(fh.0, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.requests.count(Op::write);
        match self.fs.write(fh.0, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn flush(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let pid = req.pid();
        self.push(Op::flush, reply, move |fs| fs.flush(ino.0, fh.0, pid));
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.push(Op::fsync, reply, move |fs| fs.fsync(fh.0));
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.requests.count(Op::release);
        if let Some(local) = self.fs.release(fh.0) {
            let fs = self.fs.clone();
            // Nobody waits for it any more; the service logs what becomes of it.
            self.pushes.run(move || drop(fs.push(&local, false)));
        }
        reply.ok();
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.meta(
            Op::opendir,
            reply,
            "opendir",
            move |fs| fs.opendir(ino.0),
            |fs, reply, handle| match reply {
                Some(reply) => reply.opened(FileHandle(handle), FopenFlags::empty()),
                None => fs.abandon(handle),
            },
        );
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.requests.count(Op::readdir);
        let fs = &self.fs;
        let result = each_listed(fs, fh.0, offset, |after, name, listed| {
            let attr =
                listed.map_or_else(|| fs.getattr(ino.0), |listed| Ok(fs.peek_listed(listed)))?;
            Ok(reply.add(INodeNo(attr.ino), after, file_attr(&attr).kind, name))
        });
        match result {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.requests.count(Op::readdirplus);
        let fs = &self.fs;
        let result = each_listed(fs, fh.0, offset, |after, name, listed| {
            let attr = match listed {
                None => fs.getattr(ino.0)?,
                Some(listed) => fs.remember_listed(listed),
            };
            let full = reply.add(
                INodeNo(attr.ino),
                after,
                name,
                &TTL,
                &file_attr(&attr),
                GENERATION,
            );
            if full && listed.is_some() {
                fs.forget(attr.ino, 1);
            }
            Ok(full)
        });
        match result {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.requests.count(Op::releasedir);
        self.fs.release(fh.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.requests.count(Op::fsync);
        reply.ok();
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
        self.refuse(Op::lseek, reply, rustix::io::Errno::NOSYS);
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        self.refuse(Op::fallocate, reply, rustix::io::Errno::OPNOTSUPP);
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
        // How much room an account has is said by its own errors (EDQUOT); programs that look first
        // are not to be stopped.
        const TIB_BLOCKS: u64 = (1 << 40) / 4096;
        reply.statfs(TIB_BLOCKS, TIB_BLOCKS, TIB_BLOCKS, 0, 0, 4096, 255, 4096);
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        self.refuse(Op::access, reply, rustix::io::Errno::NOSYS);
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.requests.count(Op::getxattr);
        reply_xattr(reply, size, self.fs.xattr(ino.0, name));
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.requests.count(Op::listxattr);
        reply_xattr(reply, size, self.fs.xattr_names(ino.0));
    }

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
        reply.error(Errno::EOPNOTSUPP);
    }

    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        self.requests.count(Op::removexattr);
        reply.error(Errno::EOPNOTSUPP);
    }
}

/// Calls `add` with (offset after it, name, entry) from `offset` on until it is full. `.` and `..`
/// have no entry.
fn each_listed(
    fs: &RestoreFs,
    handle: u64,
    offset: u64,
    mut add: impl FnMut(u64, &str, Option<&Listed>) -> Result<bool, FsError>,
) -> Result<(), FsError> {
    let listed = fs.listed(handle)?;
    let dots = [".", ".."].into_iter().map(|name| (name, None));
    let names = dots.chain(
        listed
            .iter()
            .map(|listed| (listed.name.as_str(), Some(listed))),
    );
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    for (after, (name, listed)) in (1..).zip(names).skip(from) {
        if add(after, name, listed)? {
            break;
        }
    }
    Ok(())
}
