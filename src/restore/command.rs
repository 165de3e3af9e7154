//! `tenantfs restore SOURCE... TARGET`: the same push as through the mount, read straight from the
//! repository.
//!
//! A folder's content goes into TARGET; of several sources, each folder becomes one of that name in
//! TARGET. A file goes into TARGET under its own name. TARGET may be an account alone: then everything
//! goes to the place it has in the snapshot. Folders are made as needed. What is there already is left
//! alone unless `--conflict` says otherwise, and that is no failure; so a restore that was interrupted is
//! simply repeated.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;

use super::errno::{Code, RestoreError};
use super::policy::Conflict;
use super::recognise::SnapshotRecogniser;
use super::service::{Receipt, Service, open_state};
use super::sources::{Found, From, Root, failed, snapshot_named};
use super::spool::SpoolFile;
use super::target::TargetPath;
use crate::local::{LocalError, LocalState};
use crate::repo::{Repository, Snapshot, content};
use crate::tree::{Editor, ItemKey, Nodes};

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;
/// Items read ahead of the pushes.
const AHEAD: usize = 64;
/// Failures that are listed by name.
const LISTED: usize = 10_000;
/// So many refusals of one kind in a row, and the rest would fare no better.
const HOPELESS: u32 = 20;
/// Folders for commands that run at the same time.
const MAX_COMMANDS: usize = 64;

/// How to restore.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to do with what is there. `None`: as the target's path or the configuration says.
    pub conflict: Option<Conflict>,
    /// Only what is not live now, wherever it may have been moved to.
    pub deleted_only: bool,
    /// Say what would happen, and do nothing.
    pub dry_run: bool,
    /// Silence of the service that ends an item's restore with an error.
    pub deadline: Duration,
    /// Items at a time.
    pub parallel: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            conflict: None,
            deleted_only: false,
            dry_run: false,
            deadline: Duration::from_secs(300),
            parallel: 4,
        }
    }
}

/// What became, or would become, of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Restored, under this name, with these remarks.
    Restored { name: String, notes: Vec<String> },
    /// A folder was made.
    MadeFolder,
    /// It is there already and stays as it is.
    Exists,
    /// It is live (only what was deleted was asked for).
    Live,
    /// Would be restored; `true`: over or beside one that is there.
    WouldRestore(bool),
    /// A folder would be made.
    WouldMakeFolder,
    /// Refused.
    Failed(RestoreError),
}

/// Is told what happens, from several threads.
pub trait Observer: Sync {
    /// An item was found that will be restored: bytes.
    fn found(&self, _size: u64) {}
    /// Something is decided: where it is from, where it goes, bytes, what became of it.
    fn item(&self, source: &str, target: &str, size: u64, outcome: &Outcome);
}

/// The result in numbers, and the failures by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Items restored (or that would be).
    pub restored: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Folders made (or that would be).
    pub folders: u64,
    /// Left alone: there already, or live.
    pub existing: u64,
    /// Refused.
    pub failed: u64,
    /// The first ten thousand refusals: source, and why.
    pub failures: Vec<(String, RestoreError)>,
    /// Why the rest was not tried.
    pub stopped: Option<String>,
}

/// Restores `sources` to `target`. Blocking; not on a worker of a runtime.
///
/// # Errors
/// When nothing can be restored at all: a source or the target is not there, nothing may be written. What
/// fails for single items is in the summary.
#[allow(clippy::too_many_arguments)]
pub fn restore_sources(
    service: &Service,
    repo: &Repository,
    nodes: &Nodes,
    recogniser: &SnapshotRecogniser,
    sources: &[String],
    target: &str,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Summary, RestoreError> {
    let target = target_of(target, options)?;
    if !options.dry_run {
        service.writable()?;
    }
    // Account and workload are there, before anything is read.
    service.list(&account_or_workload(&target)?)?;
    let roots = sources
        .iter()
        .map(|source| Root::find(repo, nodes, source))
        .collect::<Result<Vec<_>, _>>()?;
    let snapshots = repo.snapshots().map_err(|e| failed(&e.into()))?;
    let run = Run {
        service,
        repo,
        nodes,
        recogniser,
        options,
        observer,
        newest: snapshot_named(&snapshots, "latest"),
        several: roots.len() > 1,
        conflict: options
            .conflict
            .or(target.policy().conflict)
            .unwrap_or(service.pusher().conflict),
        summary: Mutex::default(),
        folders: Mutex::default(),
        refusals: AtomicU32::new(0),
        stop: AtomicBool::new(false),
    };
    let (send, receive) = mpsc::sync_channel::<Job>(AHEAD);
    let receive = Mutex::new(receive);
    std::thread::scope(|scope| {
        for _ in 0..options.parallel.max(1) {
            scope.spawn(|| {
                loop {
                    let job = receive.lock().recv();
                    let Ok(job) = job else { return };
                    run.restore(&job);
                }
            });
        }
        let result = roots
            .iter()
            .try_for_each(|root| run.walk(root, &target, &send));
        drop(send);
        result
    })?;
    Ok(run.summary.into_inner())
}

/// A folder and local state for the service of a command: the daemon has its own. What a killed command
/// left in it is taken up by the next one that gets it, or by the daemon
/// ([`super::recover::adopt`]).
///
/// # Errors
/// When the disk fails, or 64 commands run.
pub fn command_folder(local: &Path) -> Result<(PathBuf, LocalState), RestoreError> {
    for n in 0..MAX_COMMANDS {
        let dir = commands_folder(local).join(n.to_string());
        match LocalState::open(&dir.join("state")) {
            Ok(state) => return Ok((dir, state)),
            Err(LocalError::Busy { .. }) => {}
            Err(_) => return open_state(&dir.join("state")).map(|state| (dir, state)),
        }
    }
    Err(RestoreError::new(
        Code::Io,
        format!("{MAX_COMMANDS} restores run at the same time; wait for one to end"),
    ))
}

/// Where the folders of commands are.
pub fn commands_folder(local: &Path) -> PathBuf {
    local.join("restore-commands")
}

fn target_of(target: &str, options: &Options) -> Result<TargetPath, RestoreError> {
    let target = TargetPath::parse(target)?;
    let mut policy = target.policy();
    if policy.queued {
        return Err(RestoreError::new(
            Code::Invalid,
            "@queued is for the mount: this command waits for every item",
        ));
    }
    if let (Some(said), Some(path)) = (options.conflict, policy.conflict)
        && said != path
    {
        return Err(RestoreError::new(
            Code::Invalid,
            format!(
                "--conflict {} and @{} in the target",
                super::policy::word(said),
                super::policy::word(path)
            ),
        ));
    }
    policy.conflict = options.conflict.or(policy.conflict);
    Ok(target.with_policy(policy))
}

/// The account, or the workload if the target names one.
fn account_or_workload(target: &TargetPath) -> Result<TargetPath, RestoreError> {
    let Some(account) = target.account() else {
        return Err(RestoreError::new(
            Code::Invalid,
            "the target names no account: restore to ACCOUNT or ACCOUNT/Mail/...",
        ));
    };
    let place = TargetPath::parse(&account)?;
    match target.workload() {
        Some(workload) => place.child(workload),
        None => Ok(place),
    }
}

struct Job {
    source: String,
    target: TargetPath,
    found: Found,
    /// Snapshot, and path in it.
    place: Option<(Snapshot, String)>,
}

struct Run<'a> {
    service: &'a Service,
    repo: &'a Repository,
    nodes: &'a Nodes,
    recogniser: &'a SnapshotRecogniser,
    options: &'a Options,
    observer: &'a dyn Observer,
    newest: Option<&'a Snapshot>,
    several: bool,
    conflict: Conflict,
    summary: Mutex<Summary>,
    /// Folders that are there; with a dry run also those that would be (`false`).
    folders: Mutex<std::collections::HashMap<TargetPath, bool>>,
    refusals: AtomicU32,
    stop: AtomicBool,
}

impl Run<'_> {
    fn walk(
        &self,
        root: &Root,
        target: &TargetPath,
        jobs: &mpsc::SyncSender<Job>,
    ) -> Result<(), RestoreError> {
        let base = self.base(root, target)?;
        let label = match root {
            Root::Snapshot { snapshot, path, .. } => {
                format!("{}/{}", snapshot.name, path.join("/"))
            }
            Root::Local(path) => path.display().to_string(),
        };
        let mut bad_folders: HashSet<Vec<String>> = HashSet::new();
        let mut visit = |found: Found| {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let source = [&label[..], &found.below.join("/")[..]]
                .into_iter()
                .filter(|s| !s.is_empty())
                .collect::<Vec<_>>()
                .join("/");
            if (0..found.below.len()).any(|n| bad_folders.contains(&found.below[..n])) {
                let e = RestoreError::new(Code::NotFound, "its folder could not be made");
                self.decided(&source, "", found.size, Outcome::Failed(e));
                return true;
            }
            let target = match found
                .below
                .iter()
                .try_fold(base.clone(), |at, name| at.child(name))
            {
                Ok(target) => target,
                Err(e) => {
                    self.decided(&source, "", found.size, Outcome::Failed(e));
                    return true;
                }
            };
            if found.is_dir {
                // An account's own folder, or a workload's, is always there.
                if let Err(e) = self.folder(&source, &target) {
                    bad_folders.insert(found.below.clone());
                    self.decided(&source, &target.to_string(), 0, Outcome::Failed(e));
                }
                return true;
            }
            let place = match root {
                Root::Snapshot { snapshot, path, .. } => {
                    let all: Vec<&str> = path
                        .iter()
                        .chain(&found.below)
                        .map(String::as_str)
                        .collect();
                    Some((snapshot.clone(), all.join("/")))
                }
                Root::Local(_) => None,
            };
            self.observer.found(found.size);
            jobs.send(Job {
                source,
                target,
                found,
                place,
            })
            .is_ok()
        };
        let mut trouble = |path: &Path, why: &str| {
            let e = RestoreError::new(Code::Io, format!("{}: {why}", path.display()));
            self.decided(&path.display().to_string(), "", 0, Outcome::Failed(e));
        };
        root.walk(self.nodes, &mut visit, &mut trouble)
    }

    /// Where the root itself goes: what is in a folder goes into it.
    fn base(&self, root: &Root, target: &TargetPath) -> Result<TargetPath, RestoreError> {
        let mut base = target.clone();
        match (root, target.workload()) {
            (Root::Snapshot { path, .. }, None) => {
                let source = TargetPath::parse(&path.join("/"))?;
                if source.account().is_none() || source.is_site_folder() {
                    let what = format!("{source} holds several sites: name one of them");
                    return Err(RestoreError::new(Code::Invalid, what));
                }
                let below = source.path().iter().map(String::as_str);
                for name in source.workload().into_iter().chain(below) {
                    base = base.child(name)?;
                }
            }
            (Root::Local(path), None) => {
                return Err(RestoreError::new(
                    Code::NotPermitted,
                    format!(
                        "{} needs a target with a service: {target}/Mail/... or {target}/OneDrive/...",
                        path.display()
                    ),
                ));
            }
            (root, Some(_)) => {
                if !root.is_dir() || self.several {
                    base = base.child(&root.name())?;
                }
            }
        }
        if !root.is_dir()
            && let Some(parent) = base.parent()
        {
            self.folder(&parent.to_string(), &parent)?;
        }
        Ok(base)
    }

    /// Makes a folder with those above it, unless they are there. Returns whether it is there (a dry run
    /// makes none).
    fn folder(&self, source: &str, target: &TargetPath) -> Result<bool, RestoreError> {
        if target.path().is_empty() {
            return Ok(true);
        }
        if let Some(there) = self.folders.lock().get(target) {
            return Ok(*there);
        }
        let above = match target.parent() {
            Some(parent) => self.folder(source, &parent)?,
            None => true,
        };
        let live = if above {
            self.service.lookup(target)?
        } else {
            None
        };
        let there = match live {
            Some(live) if live.is_dir => true,
            Some(_) => {
                return Err(RestoreError::new(
                    Code::NotFolder,
                    format!("{target} is there already and is no folder"),
                ));
            }
            None if self.options.deleted_only || self.options.dry_run => {
                // With --deleted-only a folder is made when something goes into it.
                if self.options.dry_run {
                    self.decided(source, &target.to_string(), 0, Outcome::WouldMakeFolder);
                }
                false
            }
            None => {
                self.make(source, target)?;
                true
            }
        };
        self.folders.lock().insert(target.clone(), there);
        Ok(there)
    }

    fn make(&self, source: &str, target: &TargetPath) -> Result<(), RestoreError> {
        match self.service.mkdir(target) {
            Ok(_) => self.decided(source, &target.to_string(), 0, Outcome::MadeFolder),
            Err(e) if e.code == Code::Exists => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Makes the folders that were put off.
    fn make_all(&self, source: &str, target: &TargetPath) -> Result<(), RestoreError> {
        if target.path().is_empty() || self.folders.lock().get(target) == Some(&true) {
            return Ok(());
        }
        if let Some(parent) = target.parent() {
            self.make_all(source, &parent)?;
        }
        self.make(source, target)?;
        self.folders.lock().insert(target.clone(), true);
        Ok(())
    }

    fn restore(&self, job: &Job) {
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        let outcome = self.one(job).unwrap_or_else(Outcome::Failed);
        let target = job.target.to_string();
        match &outcome {
            Outcome::Failed(e) => {
                let refusals = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
                let hopeless =
                    matches!(e.code, Code::Denied | Code::NoSpace) && refusals >= HOPELESS;
                if e.code == Code::Quota || hopeless {
                    self.stop.store(true, Ordering::Relaxed);
                    self.summary
                        .lock()
                        .stopped
                        .get_or_insert_with(|| e.reason.clone());
                }
            }
            _ => self.refusals.store(0, Ordering::Relaxed),
        }
        self.decided(&job.source, &target, job.found.size, outcome);
    }

    fn one(&self, job: &Job) -> Result<Outcome, RestoreError> {
        let folder = job.target.parent().unwrap_or_default();
        let folder_there = self.folders.lock().get(&folder).copied().unwrap_or(true);
        let live = if folder_there {
            self.service.lookup(&job.target)?
        } else {
            None
        };
        if live.as_ref().is_some_and(|l| l.is_dir) {
            return Err(RestoreError::new(
                Code::IsFolder,
                format!("{} is a folder", job.target),
            ));
        }
        if live.is_some() && self.conflict == Conflict::Skip {
            return Ok(Outcome::Exists);
        }
        if self.options.deleted_only && self.is_live(job)? {
            return Ok(Outcome::Live);
        }
        if self.options.dry_run {
            return Ok(Outcome::WouldRestore(live.is_some()));
        }
        if !folder_there {
            self.make_all(&job.source, &folder)?;
        }
        let file = self.spool(job)?;
        match self.service.push(file, self.options.deadline) {
            Ok(Receipt::Confirmed(pushed)) => Ok(Outcome::Restored {
                name: pushed.entry.name,
                notes: pushed.notes,
            }),
            Ok(Receipt::Queued(_)) => Ok(Outcome::Restored {
                name: String::new(),
                notes: Vec::new(),
            }),
            // It goes by another name there (a mail restored from its own bytes).
            Err(e) if e.code == Code::Exists && self.conflict == Conflict::Skip => {
                Ok(Outcome::Exists)
            }
            Err(e) => Err(e),
        }
    }

    /// Copies the bytes into the spool, with what is known about them.
    fn spool(&self, job: &Job) -> Result<SpoolFile, RestoreError> {
        let spooled = |e: io::Error| RestoreError::local("the restore spool", &e);
        let mut file = self.service.spool_file(&job.target)?;
        match &job.found.origin {
            From::Entry(entry) => {
                if let Some((content, size)) = entry.content() {
                    let reader =
                        content::Reader::open(self.repo, content).map_err(|e| failed(&e.into()))?;
                    let mut at = 0;
                    while at < size {
                        let piece = reader.read_at(at, PIECE).map_err(|e| failed(&e.into()))?;
                        if piece.is_empty() {
                            return Err(RestoreError::new(
                                Code::Io,
                                format!("{} ends too early", job.source),
                            ));
                        }
                        file.write_at(at, &piece).map_err(spooled)?;
                        at += piece.len() as u64;
                    }
                }
                if let Some((snapshot, path)) = &job.place {
                    file.set_origin(self.recogniser.origin_at(snapshot, path, entry)?);
                }
            }
            From::File(path) => {
                let local = |e: io::Error| RestoreError::local(path.display(), &e);
                let mut from = File::open(path).map_err(local)?;
                let (mut buffer, mut at) = (vec![0; PIECE], 0);
                loop {
                    match from.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(n) => {
                            file.write_at(at, &buffer[..n]).map_err(spooled)?;
                            at += n as u64;
                        }
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(local(e)),
                    }
                }
            }
        }
        file.set_mtime(job.found.mtime);
        Ok(file)
    }

    /// Whether the item is live: where it was, or where the newest snapshot has it.
    fn is_live(&self, job: &Job) -> Result<bool, RestoreError> {
        let Some((snapshot, path)) = &job.place else {
            return Ok(false);
        };
        if self.live_at(path)? {
            return Ok(true);
        }
        let From::Entry(entry) = &job.found.origin else {
            return Ok(false);
        };
        let Some(origin) = self.recogniser.origin_at(snapshot, path, entry)? else {
            return Ok(false);
        };
        let (Some(key), Some(newest)) = (ItemKey::from_hex(&origin.key), self.newest) else {
            return Ok(false);
        };
        let account = TargetPath::parse(path)?.account().unwrap_or_default();
        let Some(state) = self.recogniser.account(newest, &account)? else {
            return Ok(false);
        };
        let Some(workload) = state.workloads.get(&origin.workload) else {
            return Ok(false);
        };
        let item = Editor::new(self.nodes, workload.collection)
            .get(&key)
            .map_err(|e| failed(&e))?;
        match item.and_then(|item| item.path) {
            Some(now) => self.live_at(&format!("{}/{}/{now}", state.folder, workload.folder)),
            None => Ok(false),
        }
    }

    fn live_at(&self, path: &str) -> Result<bool, RestoreError> {
        let target = path
            .split('/')
            .try_fold(TargetPath::root(), |at, name| at.child(name))?;
        match self.service.lookup(&target) {
            Ok(live) => Ok(live.is_some()),
            // Its folder, or the account, is gone.
            Err(e) if e.code == Code::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn decided(&self, source: &str, target: &str, size: u64, outcome: Outcome) {
        {
            let mut summary = self.summary.lock();
            match &outcome {
                Outcome::Restored { .. } | Outcome::WouldRestore(_) => {
                    summary.restored += 1;
                    summary.bytes += size;
                }
                Outcome::MadeFolder | Outcome::WouldMakeFolder => summary.folders += 1,
                Outcome::Exists | Outcome::Live => summary.existing += 1,
                Outcome::Failed(e) => {
                    summary.failed += 1;
                    if summary.failures.len() < LISTED {
                        summary.failures.push((source.to_owned(), e.clone()));
                    }
                }
            }
        }
        self.observer.item(source, target, size, &outcome);
    }
}
