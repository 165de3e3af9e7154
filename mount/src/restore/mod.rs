//! The writable tree: what is live, and files on their way there. Plain methods, no FUSE.
//!
//! `restore/` behaves as a network file system does: closing a file sends it, and `close()` returns
//! what Microsoft 365 said. Invariants:
//! - Nothing here can delete or change a live item in place: those calls are refused.
//! - A file is sent once: at the close after which nobody can write it any more, or, when it was
//!   written under a temporary name, at the rename to a real one, or a while after its close.
//! - What a program did not finish is not sent: a file that a signal closed is refused.
//! - Whatever is refused has its reason in `restore/.log` and in xattr `user.tenantfs.error` of the
//!   file and of its folder.
//! - Methods may wait for the network unless their description says otherwise.

pub(crate) mod adapter;
pub mod backend;
mod files;
mod holders;
mod local;
mod nodes;
mod process;
mod reasons;
mod service;
mod temporary;

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::io::Errno;
use tenantfs::restore::TargetPath;
use tenantfs::restore::policy::COMPONENTS;

use crate::attr::{Attr, Kind, Owner, Owners};
use crate::error::FsError;
use backend::{LiveItem, Restorer};
use files::Handle;
use local::{Due, Local};
use nodes::{Key, Node, Nodes, Text, What};

pub(crate) const SNAPSHOTS_NAME: &str = "snapshots";
const RESTORE_NAME: &str = "restore";
const LOG_NAME: &str = ".log";
const QUEUE_NAME: &str = ".queue";
/// Hidden; counts of requests as JSON, for benchmarks.
const REQUESTS_NAME: &str = ".requests";

/// See the module's invariants.
pub struct RestoreFs {
    service: Arc<dyn Restorer>,
    nodes: Mutex<Nodes>,
    /// Files being written, held, pushed, or pushed a moment ago, by where they go.
    locals: Mutex<HashMap<TargetPath, Arc<Local>>>,
    handles: Mutex<HashMap<u64, Handle>>,
    next_handle: AtomicU64,
    /// Newest last; the place without its policy.
    errors: Mutex<VecDeque<(TargetPath, String)>>,
    owner: Owner,
    owners: Owners,
    started: i64,
    /// Text of `.requests`.
    requests: Box<dyn Fn() -> String + Send + Sync>,
    /// Major and minor number of this file system, once it is mounted.
    device: OnceLock<(u32, u32)>,
    /// The mount goes down: nothing waits for a rename any more.
    leaving: AtomicBool,
}

/// One name of a listing.
#[derive(Debug, Clone)]
pub struct Listed {
    pub name: String,
    key: Key,
    what: What,
}

impl RestoreFs {
    pub fn new(
        service: Arc<dyn Restorer>,
        owner: Owner,
        owners: Owners,
        requests: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        RestoreFs {
            service,
            nodes: Mutex::default(),
            locals: Mutex::default(),
            handles: Mutex::default(),
            next_handle: AtomicU64::new(1),
            errors: Mutex::default(),
            owner,
            owners,
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_secs() as i64),
            requests: Box::new(requests),
            device: OnceLock::new(),
            leaving: AtomicBool::new(false),
        }
    }

    pub fn set_device(&self, major: u32, minor: u32) {
        let _ = self.device.set((major, minor));
    }

    /// Finds a name and counts a reference to what it is.
    pub fn lookup(&self, parent: u64, name: &OsStr) -> Result<Option<Attr>, FsError> {
        let Some(name) = name.to_str() else {
            return Ok(None);
        };
        let found = match self.node(parent)?.key {
            Key::Root => match name {
                SNAPSHOTS_NAME => Some((Key::Snapshots, What::Other)),
                RESTORE_NAME => Some((Key::Place(TargetPath::root()), What::Other)),
                REQUESTS_NAME => Some((Key::Text(Text::Requests), What::Other)),
                _ => None,
            },
            Key::Place(place) => self.find(&place, name)?,
            Key::Snapshots => None,
            Key::Text(_) => return Err(FsError::NotDirectory),
        };
        Ok(found.map(|(key, what)| self.remember(key, what)))
    }

    fn find(&self, place: &TargetPath, name: &str) -> Result<Option<(Key, What)>, FsError> {
        if *place == TargetPath::root() {
            match name {
                LOG_NAME => return Ok(Some((Key::Text(Text::Log), What::Other))),
                QUEUE_NAME => return Ok(Some((Key::Text(Text::Queue), What::Other))),
                _ => {}
            }
        }
        // A name that can't be a target's does not exist.
        let target = match place.child(name) {
            Ok(target) => target,
            Err(e) => {
                // A misspelled policy is worth a word, and no tool asks for one by itself.
                if place.is_root() && name.starts_with('@') {
                    self.service.note(place, &e.reason);
                }
                return Ok(None);
            }
        };
        if target.is_root() {
            return Ok(Some((
                Key::Place(target),
                What::Folder {
                    mtime: self.started,
                },
            )));
        }
        let local = self.local(&target);
        if let Some(local) = local.as_ref().filter(|l| !l.is_done()) {
            return Ok(Some((Key::Place(target), What::Local(local.clone()))));
        }
        let live = self
            .service
            .lookup(&target)
            .map_err(|e| self.refuse(&target, e.into()))?;
        let what = live.map(What::of_live).or(local.map(What::Local));
        Ok(what.map(|what| (Key::Place(target), what)))
    }

    fn exists(&self, target: &TargetPath) -> Result<bool, FsError> {
        Ok(self.local(target).is_some_and(|l| !l.is_done())
            || self.service.lookup(target)?.is_some())
    }

    /// Does not wait.
    pub fn getattr(&self, ino: u64) -> Result<Attr, FsError> {
        Ok(self.attr(ino, &self.node(ino)?))
    }

    /// Does not wait.
    pub fn forget(&self, ino: u64, count: u64) {
        self.nodes.lock().forget(ino, count);
    }

    /// What a folder lists now: what is live, and what is on its way.
    pub fn list(&self, ino: u64) -> Result<Vec<Listed>, FsError> {
        let listed = |name: &str, key, what| Listed {
            name: name.to_owned(),
            key,
            what,
        };
        let place = match self.node(ino)?.key {
            Key::Root => {
                return Ok(vec![
                    listed(SNAPSHOTS_NAME, Key::Snapshots, What::Other),
                    listed(RESTORE_NAME, Key::Place(TargetPath::root()), What::Other),
                ]);
            }
            Key::Snapshots => return Ok(Vec::new()),
            Key::Text(_) => return Err(FsError::NotDirectory),
            Key::Place(place) => place,
        };
        let mut names = Vec::new();
        if place == TargetPath::root() {
            names.push(listed(LOG_NAME, Key::Text(Text::Log), What::Other));
            names.push(listed(QUEUE_NAME, Key::Text(Text::Queue), What::Other));
            // Once is enough: below a policy the others are found by name.
            for (policy, _) in COMPONENTS {
                if let Ok(target) = place.child(policy) {
                    names.push(listed(
                        policy,
                        Key::Place(target),
                        What::Folder {
                            mtime: self.started,
                        },
                    ));
                }
            }
        }
        let mut pending: HashMap<TargetPath, Arc<Local>> = {
            let locals = self.locals.lock();
            let here = locals
                .iter()
                .filter(|(t, l)| t.parent().as_ref() == Some(&place) && !l.is_done());
            here.map(|(t, l)| (t.clone(), l.clone())).collect()
        };
        let live = self
            .service
            .list(&place)
            .map_err(|e| self.refuse(&place, e.into()))?;
        for item in live.iter() {
            let Ok(target) = place.child(&item.name) else {
                continue;
            };
            let what = match pending.remove(&target) {
                Some(local) => What::Local(local),
                None => What::of_live(item.clone()),
            };
            names.push(Listed {
                name: item.name.clone(),
                key: Key::Place(target),
                what,
            });
        }
        for (target, local) in pending {
            if let Some(name) = target.name() {
                names.push(listed(name, Key::Place(target.clone()), What::Local(local)));
            }
        }
        Ok(names)
    }

    /// Counts a reference to a listed name, as READDIRPLUS has it. Does not wait.
    pub fn remember_listed(&self, listed: &Listed) -> Attr {
        self.remember(listed.key.clone(), listed.what.clone())
    }

    /// (number, kind) of a listed name that READDIR shows without a reference. Does not wait.
    pub fn peek_listed(&self, listed: &Listed) -> Attr {
        let attr = self.remember_listed(listed);
        self.forget(attr.ino, 1);
        attr
    }

    pub fn mkdir(&self, parent: u64, name: &OsStr) -> Result<Attr, FsError> {
        let target = self.target(parent, name)?;
        self.writable(&target)?;
        let made = if target.is_root() {
            Err(FsError::refused(Errno::EXIST, "policies are there already"))
        } else {
            self.service.mkdir(&target).map_err(FsError::from)
        };
        made.map_err(|e| self.refuse(&target, e))?;
        Ok(self.remember(Key::Place(target), What::Folder { mtime: now() }))
    }

    /// Nothing in `restore/` deletes a live item; a file that is not sent yet is simply dropped.
    pub fn unlink(&self, parent: u64, name: &OsStr) -> Result<(), FsError> {
        let target = self.target(parent, name)?;
        if let Some(local) = self.local(&target).filter(|l| !l.is_live()) {
            local.discard();
            self.locals.lock().remove(&target);
            self.nodes.lock().unlink(&Key::Place(target));
            return Ok(());
        }
        self.writable(&target)?;
        let e = FsError::refused(
            Errno::ACCESS,
            "restore/ never deletes: remove the item in Microsoft 365",
        );
        Err(self.refuse(&target, e))
    }

    pub fn rmdir(&self, parent: u64, name: &OsStr) -> Result<(), FsError> {
        let target = self.target(parent, name)?;
        self.writable(&target)?;
        let e = FsError::refused(
            Errno::ACCESS,
            "restore/ never deletes: remove the folder in Microsoft 365",
        );
        Err(self.refuse(&target, e))
    }

    /// Only files that were not sent yet change their names. Under a real name the file is sent, and
    /// the rename's result is what Microsoft 365 said.
    pub fn rename(
        &self,
        parent: u64,
        name: &OsStr,
        new_parent: u64,
        new_name: &OsStr,
        no_replace: bool,
    ) -> Result<(), FsError> {
        let from = self.target(parent, name)?;
        let to = self.target(new_parent, new_name)?;
        self.writable(&to)?;
        let Some(local) = self.local(&from).filter(|l| l.is_open()) else {
            let e = FsError::refused(
                Errno::ACCESS,
                "restore/ never renames or moves a live item: do it in Microsoft 365, or copy it from a snapshot",
            );
            return Err(self.refuse(&from, e));
        };
        if to.name().is_none() {
            let e = FsError::refused(
                Errno::INVAL,
                "a file goes into a workload's folder, as in restore/account/Mail/",
            );
            return Err(self.refuse(&to, e));
        }
        if no_replace && self.exists(&to)? {
            return Err(self.refuse(&to, FsError::refused(Errno::EXIST, "it is there already")));
        }
        local.rename(to.clone());
        {
            let mut locals = self.locals.lock();
            locals.remove(&from);
            if let Some(replaced) = locals.insert(to.clone(), local.clone()) {
                replaced.discard();
            }
            self.nodes
                .lock()
                .rename(&Key::Place(from.clone()), Key::Place(to.clone()));
        }
        if self.waits_for_rename(&to) || local.is_being_written() {
            return Ok(());
        }
        let sent = self.push(&local, false);
        if sent.is_err() {
            // To the program nothing was renamed, and it will remove the old name.
            self.nodes
                .lock()
                .rename(&Key::Place(to), Key::Place(from.clone()));
            self.locals.lock().insert(from, local);
        }
        sent
    }

    pub(crate) fn push(&self, local: &Arc<Local>, wait: bool) -> Result<(), FsError> {
        let deadline = files::push_deadline(local.stat().0);
        let sent = local.send(deadline, |file| self.service.push(file, wait, deadline));
        // The service has logged it.
        sent.inspect_err(|e| self.remember_error(&local.target(), e))
    }

    /// Files whose hold is over and that must be sent; also forgets names that need not answer any
    /// more. To be called now and then. Does not wait.
    pub fn tick(&self, now: Instant) -> Vec<Arc<Local>> {
        let mut push = Vec::new();
        self.locals.lock().retain(|_, local| match local.due(now) {
            Due::Nothing => true,
            Due::Push => {
                push.push(local.clone());
                true
            }
            Due::Drop => false,
        });
        push
    }

    fn text(&self, text: Text) -> String {
        match text {
            Text::Log => self.service.log(),
            Text::Requests => (self.requests)(),
            Text::Queue => {
                let mut queue = self.service.queue();
                let locals = self.locals.lock();
                let mut held: Vec<_> = locals.iter().filter(|(_, l)| l.is_held()).collect();
                held.sort_by_key(|(target, _)| target.to_string());
                for (target, local) in held {
                    let (size, _) = local.stat();
                    let hold = local::HOLD.as_secs();
                    queue +=
                        &format!("held  {target}  {size} bytes  waits {hold} s for its rename\n");
                }
                queue
            }
        }
    }

    fn writable(&self, place: &TargetPath) -> Result<(), FsError> {
        self.service
            .writable()
            .map_err(|e| self.refuse(place, e.into()))
    }

    /// Where a new name would be.
    fn target(&self, parent: u64, name: &OsStr) -> Result<TargetPath, FsError> {
        let Key::Place(place) = self.node(parent)?.key else {
            return Err(FsError::refused(
                Errno::ROFS,
                "only what is below restore/ can be written, as in restore/account/Mail/",
            ));
        };
        let name = name.to_str().ok_or(FsError::BadName)?;
        place.child(name).map_err(|e| self.refuse(&place, e.into()))
    }

    fn local(&self, target: &TargetPath) -> Option<Arc<Local>> {
        self.locals.lock().get(target).cloned()
    }

    fn node(&self, ino: u64) -> Result<Node, FsError> {
        self.nodes.lock().get(ino).cloned().ok_or(FsError::Stale)
    }

    fn remember(&self, key: Key, what: What) -> Attr {
        let mut nodes = self.nodes.lock();
        let ino = nodes.remember(key, what);
        let node = nodes.get(ino).cloned();
        drop(nodes);
        match node {
            Some(node) => self.attr(ino, &node),
            None => self.folder_attr(ino, self.owner, 0o755, self.started),
        }
    }

    fn attr(&self, ino: u64, node: &Node) -> Attr {
        let place = match &node.key {
            Key::Root | Key::Snapshots => {
                return self.folder_attr(ino, self.owner, 0o755, self.started);
            }
            Key::Text(text) => {
                let Owner { uid, gid } = self.owner;
                let size = self.text(*text).len() as u64;
                return Attr {
                    ino,
                    kind: Kind::File,
                    size,
                    mtime: now(),
                    mode: 0o400,
                    uid,
                    gid,
                };
            }
            Key::Place(place) => place,
        };
        let Some(account) = place.top() else {
            return self.folder_attr(ino, self.owner, 0o755, self.started);
        };
        let owner = self.owners.get(self.owners.of_account(account));
        let (size, mtime) = match &node.what {
            What::Folder { mtime } => return self.folder_attr(ino, owner, 0o700, *mtime),
            What::Other => return self.folder_attr(ino, owner, 0o700, self.started),
            What::Live(item) => (item.size, item.mtime),
            What::Local(local) => local.stat(),
        };
        Attr {
            ino,
            kind: Kind::File,
            size,
            mtime,
            mode: 0o600,
            uid: owner.uid,
            gid: owner.gid,
        }
    }

    fn folder_attr(&self, ino: u64, owner: Owner, mode: u16, mtime: i64) -> Attr {
        Attr {
            ino,
            kind: Kind::Dir,
            size: 0,
            mtime,
            mode,
            uid: owner.uid,
            gid: owner.gid,
        }
    }
}

impl What {
    fn of_live(item: LiveItem) -> Self {
        if item.is_dir {
            What::Folder { mtime: item.mtime }
        } else {
            What::Live(item)
        }
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64)
}
