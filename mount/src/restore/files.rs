//! Open files of the writable tree: reading back, writing, and what a close means.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::io::Errno;
use tenantfs::restore::policy::Policy;
use tenantfs::restore::{Code, RestoreError, TargetPath};

use super::holders::{Close, OpenFile, close_by};
use super::local::Local;
use super::nodes::{Key, Text, What};
use super::process::process_of;
use super::temporary::is_temporary;
use super::{Listed, RestoreFs};
use crate::attr::Attr;
use crate::error::FsError;

/// What an open descriptor refers to.
#[derive(Debug, Clone)]
pub(super) enum Handle {
    Text(Text),
    Folder(Arc<Vec<Listed>>),
    Read(Arc<Local>),
    /// With the process that opened it, if it is known.
    Write(Arc<Local>, Option<u32>),
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    pub write: bool,
    pub truncate: bool,
    /// O_EXCL: it must not be there yet.
    pub exclusive: bool,
    /// The thread that opens it.
    pub by: u32,
}

/// An open descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    pub handle: u64,
    /// The size shown says nothing: read until the end.
    pub unsized_text: bool,
}

/// How long is waited for files on their way when the mount goes down. Into the journal takes a local disk.
const JOURNALING: Duration = Duration::from_secs(60);

/// Most seconds a push may take: Graph's uploads go at some MiB/s at worst, and a full retry budget
/// of a throttled request is minutes.
pub(super) fn push_deadline(size: u64) -> Duration {
    Duration::from_secs(300 + (size >> 20))
}

impl RestoreFs {
    /// Opens a folder: what is listed stays the same until it is closed.
    pub fn opendir(&self, ino: u64) -> Result<u64, FsError> {
        let listed = self.list(ino)?;
        Ok(self.handle(Handle::Folder(Arc::new(listed))))
    }

    /// Does not wait.
    pub fn listed(&self, handle: u64) -> Result<Arc<Vec<Listed>>, FsError> {
        match self.handles.lock().get(&handle) {
            Some(Handle::Folder(listed)) => Ok(listed.clone()),
            _ => Err(FsError::Stale),
        }
    }

    pub fn open(&self, ino: u64, access: Access) -> Result<Opened, FsError> {
        let node = self.node(ino)?;
        let target = match node.key {
            Key::Text(_) if access.write => {
                return Err(FsError::refused(
                    Errno::ACCESS,
                    "this file is written by tenantfs",
                ));
            }
            Key::Text(text) => {
                return Ok(Opened {
                    handle: self.handle(Handle::Text(text)),
                    unsized_text: true,
                });
            }
            Key::Root | Key::Snapshots => return Err(FsError::IsDirectory),
            Key::Place(target) => target,
        };
        let local = match node.what {
            What::Folder { .. } | What::Other => return Err(FsError::IsDirectory),
            What::Local(local) if local.is_open() => local,
            What::Local(_) | What::Live(_) => self.rewrite(ino, &target, access)?,
        };
        if access.truncate {
            local.truncate(0)?;
        }
        Ok(self.opened(local, access))
    }

    /// Something live is replaced as a whole or, by policy, not at all.
    fn rewrite(
        &self,
        ino: u64,
        target: &TargetPath,
        access: Access,
    ) -> Result<Arc<Local>, FsError> {
        if !access.write {
            let e = FsError::refused(
                Errno::ACCESS,
                "restore/ does not read live items: read them in Microsoft 365, or in snapshots/",
            );
            return Err(self.refuse(target, e));
        }
        self.writable(target)?;
        if !access.truncate {
            let e = FsError::refused(
                Errno::ACCESS,
                "a live item can't be changed in place: write the whole file",
            );
            return Err(self.refuse(target, e));
        }
        let local = self.begin(target)?;
        self.nodes.lock().set(ino, What::Local(local.clone()));
        Ok(local)
    }

    pub fn create(
        &self,
        parent: u64,
        name: &std::ffi::OsStr,
        access: Access,
    ) -> Result<(Attr, Opened), FsError> {
        let target = self.target(parent, name)?;
        self.writable(&target)?;
        let local = match self.local(&target).filter(|l| !l.is_done()) {
            Some(_) if access.exclusive => {
                return Err(FsError::refused(
                    Errno::EXIST,
                    "it is being written already",
                ));
            }
            Some(local) => {
                if access.truncate {
                    local.truncate(0)?;
                }
                local
            }
            None => self.begin(&target)?,
        };
        let attr = self.remember(Key::Place(target), What::Local(local.clone()));
        Ok((attr, self.opened(local, access)))
    }

    /// A new file on its way to `target`.
    fn begin(&self, target: &TargetPath) -> Result<Arc<Local>, FsError> {
        let file = self
            .service
            .create(target)
            .map_err(|e| self.refuse(target, e.into()))?;
        let local = Arc::new(Local::new(file));
        self.locals.lock().insert(target.clone(), local.clone());
        Ok(local)
    }

    fn opened(&self, local: Arc<Local>, access: Access) -> Opened {
        let handle = if access.write {
            local.add_writer();
            Handle::Write(local, process_of(access.by))
        } else {
            Handle::Read(local)
        };
        Opened {
            handle: self.handle(handle),
            unsized_text: false,
        }
    }

    fn handle(&self, handle: Handle) -> u64 {
        let number = self.next_handle.fetch_add(1, Ordering::Relaxed);
        self.handles.lock().insert(number, handle);
        number
    }

    fn get(&self, handle: u64) -> Result<Handle, FsError> {
        self.handles
            .lock()
            .get(&handle)
            .cloned()
            .ok_or(FsError::Stale)
    }

    /// Waits for the local disk only.
    pub fn read(&self, handle: u64, offset: u64, size: u32) -> Result<Bytes, FsError> {
        let size = size as usize;
        match self.get(handle)? {
            Handle::Read(local) | Handle::Write(local, _) => Ok(local.read(offset, size)?.into()),
            Handle::Folder(_) => Err(FsError::IsDirectory),
            Handle::Text(text) => {
                let text = Bytes::from(self.text(text));
                let from = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(text.len());
                let to = from.saturating_add(size).min(text.len());
                Ok(text.slice(from..to))
            }
        }
    }

    /// Waits for the local disk only.
    pub fn write(&self, handle: u64, offset: u64, bytes: &[u8]) -> Result<(), FsError> {
        match self.get(handle)? {
            Handle::Write(local, _) => local
                .write(offset, bytes)
                .map_err(|e| self.refuse(&local.target(), e)),
            Handle::Read(_) | Handle::Folder(_) | Handle::Text(_) => {
                Err(FsError::refused(Errno::BADF, "not open for writing"))
            }
        }
    }

    /// `close()` of one descriptor by process `pid`: sends the file when nobody else can write it.
    pub fn flush(&self, ino: u64, handle: u64, pid: u32) -> Result<(), FsError> {
        let Ok(Handle::Write(local, opener)) = self.get(handle) else {
            return Ok(());
        };
        if local.is_open() {
            let shared = local.writers() > 1;
            let file = self.device.get().map(|device| OpenFile {
                device: *device,
                ino,
                opener,
            });
            match close_by(pid, file.filter(|_| !shared)) {
                Close::Killed => {
                    self.cut_short(&local, pid);
                    return Ok(());
                }
                Close::Early => return Ok(()),
                Close::Last => {}
            }
            if self.waits_for_rename(&local.target()) {
                local.hold();
                return Ok(());
            }
        } else if local.is_discarded() {
            return Ok(());
        }
        self.push(&local, false)
    }

    /// The kernel closes what a dying process has open, and nothing tells that from its own `close()` but how
    /// it dies: half a file must not take the place of a whole one.
    fn cut_short(&self, local: &Local, pid: u32) {
        let why = format!(
            "a signal ended the program that was writing it (process {pid}): the file is not complete, and \
             nothing of it is sent; write it again"
        );
        if local.give_up(RestoreError::new(Code::Io, why.as_str())) {
            // Whoever would be told is dead.
            let _ = self.refuse(&local.target(), FsError::refused(Errno::IO, why));
        }
    }

    /// Is it kept until it gets its real name?
    pub(super) fn waits_for_rename(&self, target: &TargetPath) -> bool {
        is_temporary(target) && !self.leaving.load(Ordering::Relaxed)
    }

    /// Under `@queued`, waits until Microsoft 365 has it. Elsewhere `close()` does, and a file that
    /// is not complete must not be sent.
    pub fn fsync(&self, handle: u64) -> Result<(), FsError> {
        match self.get(handle)? {
            Handle::Write(local, _)
                if local.target().policy().queued && !self.waits_for_rename(&local.target()) =>
            {
                self.push(&local, true)
            }
            _ => Ok(()),
        }
    }

    /// The last duplicate of a descriptor is closed. A file to be sent now, when no close sent it:
    /// somebody else seemed to hold it. Does not wait.
    pub fn release(&self, handle: u64) -> Option<Arc<Local>> {
        match self.handles.lock().remove(&handle) {
            Some(Handle::Write(local, _)) => {
                (local.remove_writer() && !self.waits_for_rename(&local.target())).then_some(local)
            }
            _ => None,
        }
    }

    /// A descriptor that no program got, since the answer came too late. What was begun for it alone is
    /// nothing to send.
    pub fn abandon(&self, handle: u64) {
        if let Some(Handle::Write(local, _)) = self.handles.lock().remove(&handle)
            && local.remove_writer()
            && local.stat().0 == 0
        {
            local.discard();
        }
    }

    /// The mount goes down: what programs have closed, and was not sent yet, goes into the journal, and from
    /// there to Microsoft 365 at the next start.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        let locals = self.locals.lock();
        let left: Vec<_> = locals.values().filter(|l| l.is_left()).cloned().collect();
        drop(locals);
        let until = Instant::now() + JOURNALING;
        for local in left {
            let target = local.target();
            let queued = Policy {
                queued: true,
                ..target.policy()
            };
            local.rename(target.clone().with_policy(queued));
            let wait = until.saturating_duration_since(Instant::now());
            let sent = local.send(wait, |file| self.service.push(file, false, JOURNALING));
            if let Err(e) = sent {
                let reason = format!("when the mount went down it was not done: {e}");
                self.service.note(&target, &reason);
            }
        }
    }

    /// Size and time of a file on its way. What is live takes modes, owners and times silently, since
    /// every copying program sets them, but no size. The time of a folder is set by who has filled it:
    /// that one may wait for the network.
    pub fn setattr(
        &self,
        ino: u64,
        size: Option<u64>,
        mtime: Option<i64>,
    ) -> Result<Attr, FsError> {
        let node = self.node(ino)?;
        if let Key::Place(target) = &node.key {
            match (&node.what, size) {
                (What::Local(local), Some(size)) => {
                    local.truncate(size).map_err(|e| self.refuse(target, e))?
                }
                (What::Live(_), Some(_)) => {
                    let e = FsError::refused(
                        Errno::ACCESS,
                        "a live item can't be changed in place: write the whole file",
                    );
                    return Err(self.refuse(target, e));
                }
                _ => {}
            }
            match (&node.what, mtime) {
                (What::Local(local), Some(mtime)) => local.set_mtime(mtime),
                (What::Folder { .. }, Some(_)) => self.finish(target),
                _ => {}
            }
        }
        Ok(self.attr(ino, &node))
    }

    /// A folder whose time could not be put right is there all the same.
    fn finish(&self, folder: &TargetPath) {
        if let Err(e) = self.service.finish(folder) {
            let text = format!(
                "the folder is there, but its time is another one: {}",
                e.reason
            );
            self.service.note(folder, &text);
        }
    }
}
