//! Bringing both sessions up, telling the kernel of new snapshots, and taking them down.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use fuser::{BackgroundSession, Config, Filesystem, INodeNo, MountOption, Session, SessionACL};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::config::MountConfig;
use crate::error::{FsError, MountError};
use crate::mountinfo::{self, FS_NAME};
use crate::requests::Requests;
use crate::restore::backend::Disabled;
use crate::restore::{self, RestoreFs, SNAPSHOTS_NAME};
use crate::snapshots::{self, ROOT, SnapshotFs};
use crate::workers::{Watch, Workers};

/// How far the kernel reads ahead in a snapshot's file. Large enough that several chunks are decoded
/// at the same time.
const READ_AHEAD_KIB: u32 = 8 << 10;
/// Threads that wait for a remote repository.
const REMOTE_READERS: usize = 32;
/// Threads that wait for live listings, and for pushes.
const LISTERS: usize = 16;
const PUSHERS: usize = 64;
/// How long stopping waits for requests that are being answered.
const DRAIN: Duration = Duration::from_secs(5);
/// How often files held for a rename are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Starts mounts.
pub struct Mount;

impl Mount {
    /// Mounts. When this returns, everything below the mountpoint can be used.
    ///
    /// A dead mount that a killed process left at the mountpoint is cleared first; a living one is
    /// an error. Wherever this fails, nothing stays mounted.
    pub fn start(config: MountConfig) -> Result<MountHandle, MountError> {
        let path = mountpoint(&config.mountpoint)?;
        let fs = SnapshotFs::new(config.repo.clone(), config.owners(), config.xattr)
            .map_err(MountError::Snapshots)?;
        let watch = Watch::start().map_err(|reason| MountError::Mount {
            path: path.clone(),
            reason,
        })?;

        let fs = Arc::new(fs);
        let requests = Arc::new(Requests::default());
        let outer_requests = Arc::new(Requests::default());
        let counted = [
            ("snapshots", requests.clone()),
            ("restore", outer_requests.clone()),
        ];
        let service = config.restore.clone().unwrap_or_else(|| Arc::new(Disabled));
        let restore = Arc::new(RestoreFs::new(
            service,
            config.owner,
            config.owners(),
            move || {
                let counts = counted.iter().map(|(name, r)| (*name, r.by_operation()));
                let counts: std::collections::BTreeMap<_, _> = counts.collect();
                serde_json::to_string(&counts).unwrap_or_default() + "\n"
            },
        ));
        let pushes = Workers::new("restore-push", PUSHERS);
        let outer = restore::adapter::Adapter {
            fs: restore.clone(),
            requests: outer_requests.clone(),
            watch: watch.clone(),
            metadata: Workers::new("restore-list", LISTERS),
            pushes: pushes.clone(),
        };
        let inner = snapshots::adapter::Adapter {
            fs: fs.clone(),
            requests: requests.clone(),
            watch: watch.clone(),
            workers: (!config.repo.location().is_local())
                .then(|| Workers::new("snapshot-read", REMOTE_READERS)),
            xattr: config.xattr,
        };

        // Dropping the handle takes down whatever is up.
        let mut handle = MountHandle {
            path: path.clone(),
            sessions: Vec::new(),
            fs,
            restore: restore.clone(),
            notifier: None,
            requests,
            outer_requests,
            watch,
            stop: Vec::new(),
        };
        handle.mount(outer, &path, &session_config(&config, MountOption::RW, 2))?;
        if let Some((major, minor)) = handle.sessions[0].device.split_once(':')
            && let (Ok(major), Ok(minor)) = (major.parse(), minor.parse())
        {
            restore.set_device(major, minor);
        }
        let inner_path = path.join(SNAPSHOTS_NAME);
        handle.mount(
            inner,
            &inner_path,
            &session_config(&config, MountOption::RO, config.threads.max(1)),
        )?;
        handle.notifier = handle
            .sessions
            .last()
            .and_then(|s| s.session.as_ref())
            .map(BackgroundSession::notifier);
        mountinfo::raise_read_ahead(&inner_path, READ_AHEAD_KIB);

        handle.look_after(pushes, config.poll);
        Ok(handle)
    }
}

/// The directory to mount on, by its one true name, without a dead mount of this program.
fn mountpoint(configured: &Path) -> Result<PathBuf, MountError> {
    let refused = |path: &Path, reason| MountError::Mountpoint {
        path: path.to_owned(),
        reason,
    };
    let path = mountinfo::canonical(configured).map_err(|reason| refused(configured, reason))?;
    mountinfo::clear_stale(&path)?;
    match path.metadata() {
        Ok(meta) if meta.is_dir() => Ok(path),
        Ok(_) => Err(refused(&path, io::ErrorKind::NotADirectory.into())),
        Err(reason) => Err(refused(&path, reason)),
    }
}

fn session_config(config: &MountConfig, access: MountOption, threads: usize) -> Config {
    let mut session = Config::default();
    session.mount_options = vec![
        MountOption::FSName(FS_NAME.into()),
        access,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
    ];
    session.acl = if config.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    session.n_threads = Some(threads);
    session
}

/// One FUSE connection and where it is mounted.
struct Mounted {
    path: PathBuf,
    /// As in mountinfo: tells our mount from one that someone put there later.
    device: String,
    session: Option<BackgroundSession>,
}

/// Looks for new snapshots and tells the kernel.
#[derive(Clone)]
struct Refresher {
    fs: Arc<SnapshotFs>,
    notifier: Option<fuser::Notifier>,
}

impl Refresher {
    fn refresh(&self) -> Result<(), FsError> {
        let changed = self.fs.refresh()?;
        let Some(notifier) = self.notifier.as_ref().filter(|_| !changed.is_empty()) else {
            return Ok(());
        };
        // The listing and the root's own attributes, then each name: what was found and what was not
        // found are both cached. The kernel takes a name out only when no lookup in the root is under
        // way, so an answer from before the change can't come in after it.
        notifier.inval_inode(INodeNo(ROOT), 0, 0)?;
        for name in changed {
            notifier.inval_entry(INodeNo(ROOT), OsStr::new(&name))?;
        }
        Ok(())
    }
}

/// A mount that is up. Dropping it unmounts.
pub struct MountHandle {
    path: PathBuf,
    /// The outer one first.
    sessions: Vec<Mounted>,
    fs: Arc<SnapshotFs>,
    restore: Arc<RestoreFs>,
    notifier: Option<fuser::Notifier>,
    requests: Arc<Requests>,
    outer_requests: Arc<Requests>,
    watch: Arc<Watch>,
    /// Dropped to end the threads that do something now and then.
    stop: Vec<Sender<()>>,
}

impl MountHandle {
    /// Pushes what was written and never closed, and shows new snapshots, while it is mounted.
    fn look_after(&mut self, pushes: Workers, poll: Option<Duration>) {
        let restore = self.restore.clone();
        self.every(TICK, "restore-tick", move || {
            for local in restore.tick(Instant::now()) {
                let restore = restore.clone();
                // Nobody waits for it; the service logs what becomes of it.
                pushes.run(move || drop(restore.push(&local, false)));
            }
        });
        if let Some(interval) = poll {
            let refresh = self.refresher();
            self.every(interval, "snapshot-poll", move || {
                if let Err(e) = refresh.refresh() {
                    tracing::warn!("can't look for new snapshots: {e}");
                }
            });
        }
    }

    fn mount(
        &mut self,
        fs: impl Filesystem,
        path: &Path,
        config: &Config,
    ) -> Result<(), MountError> {
        let failed = |reason| MountError::Mount {
            path: path.to_owned(),
            reason,
        };
        let session = Session::new(fs, path, config)
            .and_then(Session::spawn)
            .map_err(failed)?;
        let mounted = Mounted {
            path: path.to_owned(),
            device: String::new(),
            session: Some(session),
        };
        self.sessions.push(mounted);
        let found = mountinfo::at(path).map_err(MountError::mountinfo)?;
        if let (Some(found), Some(mounted)) = (found, self.sessions.last_mut()) {
            mounted.device = found.device;
        }
        Ok(())
    }

    /// Calls `work` every `interval` until the mount is stopped.
    fn every(&mut self, interval: Duration, name: &str, mut work: impl FnMut() + Send + 'static) {
        let (stop, stopped): (Sender<()>, Receiver<()>) = mpsc::channel();
        let run = move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                work();
            }
        };
        match thread::Builder::new().name(name.to_owned()).spawn(run) {
            Ok(_) => self.stop.push(stop),
            Err(e) => tracing::error!("can't start thread {name}: {e}"),
        }
    }

    fn refresher(&self) -> Refresher {
        Refresher {
            fs: self.fs.clone(),
            notifier: self.notifier.clone(),
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shows the snapshots that the repository has now; when it returns, the kernel sees them too.
    pub fn refresh(&self) -> Result<(), FsError> {
        self.refresher().refresh()
    }

    /// Requests that the kernel sent for `snapshots/`.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Requests that the kernel sent for everything else.
    pub fn outer_requests(&self) -> &Requests {
        &self.outer_requests
    }

    /// Inodes of `snapshots/` that the kernel holds.
    pub fn known_inodes(&self) -> usize {
        self.fs.known_inodes()
    }

    /// Whether someone unmounted it from outside.
    pub fn is_mounted(&self) -> bool {
        self.sessions
            .iter()
            .all(|s| s.session.as_ref().is_some_and(|s| !s.guard.is_finished()))
    }

    /// Unmounts, `snapshots/` first. What is in use is detached: it is gone from the tree at once, and
    /// its users are served until this process ends. What was closed and not sent yet is in the journal then.
    pub fn stop(mut self) -> Result<(), MountError> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), MountError> {
        self.stop.clear();
        let mut result = Ok(());
        while let Some(mounted) = self.sessions.pop() {
            result = result.and(mounted.take_down());
        }
        self.restore.leave();
        self.watch.stop();
        result
    }
}

impl Drop for MountHandle {
    fn drop(&mut self) {
        if let Err(e) = self.take_down() {
            tracing::error!("{e}");
        }
    }
}

impl Mounted {
    fn take_down(mut self) -> Result<(), MountError> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let failed = |reason: io::Error| MountError::Unmount {
            path: self.path.clone(),
            reason,
        };
        // Our device number is free for the next file system once ours is gone, and then the session
        // has ended too.
        let ours = |found: &mountinfo::MountPoint| {
            found.device == self.device && !session.guard.is_finished()
        };
        let still_there = mountinfo::at(&self.path)
            .map_err(MountError::mountinfo)?
            .is_some_and(|m| ours(&m));
        let unmounted = match still_there.then(|| unmount(&self.path, UnmountFlags::NOFOLLOW)) {
            // Somebody unmounted it before us.
            None => Ok(()),
            Some(Err(Errno::BUSY)) => {
                tracing::info!(path = %self.path.display(), "in use: detached, users are served until the end");
                mountinfo::detach(&self.path).map_err(|e| failed(e.into()))
            }
            // Not root: fusermount3 does it, lazily.
            Some(Err(Errno::PERM)) => return session.umount_and_join().map_err(failed),
            Some(other) => other.map_err(|e| failed(e.into())),
        };
        let until = Instant::now() + DRAIN;
        while unmounted.is_ok() && !session.guard.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        // fuser would unmount the path again, and hit whatever is mounted there now.
        mem::forget(session);
        unmounted
    }
}
