//! `tenantfs restore SOURCE... TARGET`: the same push as through the mount, read straight from the
//! repository; and the same into a folder of this machine.
//!
//! A folder's content goes into TARGET; of several sources, each folder becomes one of that name in
//! TARGET. A file goes into TARGET under its own name. TARGET may be an account alone: then everything
//! goes to the place it has in the snapshot. TARGET may be a local folder, written so that it cannot be
//! taken for an account (`/srv/out`, `./out`). Folders are made as needed. What is there already is left
//! alone unless `--conflict` says otherwise, and that is no failure; so a restore that was interrupted is
//! simply repeated.
//!
//! `run` walks the sources and hands out the items, `to_service` and `to_folder` are what is done with
//! each, `alive` tells what was deleted.

mod alive;
mod run;
mod to_folder;
mod to_service;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

use super::errno::{Code, RestoreError};
use super::policy::Conflict;
use super::recognise::SnapshotRecogniser;
use super::service::{Service, open_state};
use super::sources::{Found, From, Root, failed};
use super::target::TargetPath;
use crate::local::{LocalError, LocalState};
use crate::repo::{Repository, content};
use crate::tree::Nodes;
use alive::Alive;
use run::run;
use to_folder::ToFolder;
use to_service::ToService;

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;
/// Items at a time: as many as one mailbox is pushed to at once, and two that are read.
const PARALLEL: usize = 8;
/// Failures that are listed by name.
const LISTED: usize = 10_000;
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
            parallel: PARALLEL,
        }
    }
}

/// What became, or would become, of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Restored, under this name, with these remarks.
    Restored {
        /// Of the new item.
        name: String,
        /// What could not be restored of it.
        notes: Vec<String>,
    },
    /// A folder was made.
    MadeFolder,
    /// It is there already and stays as it is.
    Exists,
    /// It is live (only what was deleted was asked for).
    Live,
    /// It only shows what the files beside it hold.
    OnlyShows,
    /// Would be restored: where nothing is, over what is there, or beside it.
    WouldRestore(Option<Conflict>),
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
    /// Left alone: there already, or live, or only showing what others hold.
    pub existing: u64,
    /// Refused.
    pub failed: u64,
    /// The first ten thousand refusals: source, and why.
    pub failures: Vec<(String, RestoreError)>,
    /// Why the rest was not tried.
    pub stopped: Option<String>,
}

/// What a restore reads from.
#[derive(Clone, Copy)]
pub struct Repo<'a> {
    /// Where snapshots are.
    pub repo: &'a Repository,
    /// What reads their trees.
    pub nodes: &'a Nodes,
}

/// Restores `sources` to `target`. Blocking; not on a worker of a runtime.
///
/// # Errors
/// When nothing can be restored at all: a source or the target is not there, nothing may be written. What
/// fails for single items is in the summary.
pub fn restore_sources(
    service: &Service,
    from: Repo<'_>,
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
    let roots = find_all(from, sources)?;
    let tally = Tally::new(observer);
    let alive = Alive {
        service,
        recogniser,
    };
    let several = roots.len() > 1;
    let to = ToService::new(from, alive, target, several, options, &tally);
    run(from, &roots, &to, options, &tally)?;
    to.finish_folders();
    Ok(tally.summary.into_inner())
}

/// The folder of this machine that a target names, if it names one: `/srv/out`, `./out`, `..`.
pub fn local_target(target: &str) -> Option<PathBuf> {
    let first = target.split('/').next().unwrap_or_default();
    let is_local = !target.is_empty() && ["", ".", ".."].contains(&first);
    is_local.then(|| PathBuf::from(target))
}

/// Copies `sources` out of their snapshots into the folder `target`. With `deleted_only` it takes the
/// service to tell what is live. Blocking; not on a worker of a runtime.
///
/// # Errors
/// As [`restore_sources`].
pub fn download_sources(
    from: Repo<'_>,
    live: Option<(&Service, &SnapshotRecogniser)>,
    sources: &[String],
    target: &Path,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Summary, RestoreError> {
    let roots = find_all(from, sources)?;
    if let Some(local) = roots.iter().find(|root| matches!(root, Root::Local(_))) {
        return Err(RestoreError::new(
            Code::Invalid,
            format!(
                "{} is no path in a snapshot: to copy local files, use cp",
                local.name()
            ),
        ));
    }
    let tally = Tally::new(observer);
    let alive = live.map(|(service, recogniser)| Alive {
        service,
        recogniser,
    });
    let several = roots.len() > 1;
    let to = ToFolder::new(from, alive, target, several, options, &tally)?;
    run(from, &roots, &to, options, &tally)?;
    Ok(tally.summary.into_inner())
}

fn find_all(from: Repo<'_>, sources: &[String]) -> Result<Vec<Root>, RestoreError> {
    sources
        .iter()
        .map(|source| Root::find(from.repo, from.nodes, source))
        .collect()
}

/// What became of everything so far.
struct Tally<'a> {
    observer: &'a dyn Observer,
    summary: Mutex<Summary>,
}

impl<'a> Tally<'a> {
    fn new(observer: &'a dyn Observer) -> Tally<'a> {
        Tally {
            observer,
            summary: Mutex::default(),
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
                Outcome::Exists | Outcome::Live | Outcome::OnlyShows => summary.existing += 1,
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

/// Hands the bytes of a found item over, piece by piece, each with its place.
fn each_piece(
    repo: &Repository,
    found: &Found,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    match &found.origin {
        From::Entry(entry) | From::Version { version: entry, .. } => {
            let Some((content, size)) = entry.content() else {
                return Ok(());
            };
            let reader = content::Reader::open(repo, content).map_err(|e| failed(&e.into()))?;
            let mut at = 0;
            while at < size {
                let piece = reader.read_at(at, PIECE).map_err(|e| failed(&e.into()))?;
                if piece.is_empty() {
                    return Err(RestoreError::new(Code::Io, "it ends too early"));
                }
                take(at, &piece)?;
                at += piece.len() as u64;
            }
            Ok(())
        }
        From::File(path) => {
            let local = |e: io::Error| RestoreError::local(path.display(), &e);
            let mut from = std::fs::File::open(path).map_err(local)?;
            let (mut buffer, mut at) = (vec![0; PIECE], 0);
            loop {
                match io::Read::read(&mut from, &mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(n) => {
                        take(at, &buffer[..n])?;
                        at += n as u64;
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(local(e)),
                }
            }
        }
    }
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
