//! Walks what is to be restored and hands it out: folders in order, items to several workers.
//!
//! What fails is told and does not end the run, except where the rest would fare no better.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;

use parking_lot::Mutex;

use super::{Options, Outcome, Repo, Tally};
use crate::repo::{ObjectId, Snapshot};
use crate::restore::errno::{Code, RestoreError};
use crate::restore::sources::{Found, From, Root};

/// Items read ahead of the workers.
const AHEAD: usize = 64;
/// So many refusals of one kind in a row, and the rest would fare no better.
const HOPELESS: u32 = 20;

/// One item on its way to a place.
pub(super) struct Job<P> {
    /// Where it is from, for people.
    pub source: String,
    pub target: P,
    pub found: Found,
    /// Snapshot, and path in it.
    pub place: Option<(Snapshot, String)>,
}

/// Where things go.
pub(super) trait Destination: Sync {
    /// A folder or item there.
    type Place: Clone + Send;

    /// Where the root itself goes: what is in a folder goes into it.
    fn base(&self, root: &Root) -> Result<Self::Place, RestoreError>;
    /// The place of that name in another.
    fn child(&self, at: &Self::Place, name: &str) -> Result<Self::Place, RestoreError>;
    /// As people write it.
    fn show(&self, at: &Self::Place) -> String;
    /// Makes a folder, or says what would be done. `record`: that of its original.
    fn folder(
        &self,
        source: &str,
        at: &Self::Place,
        record: Option<ObjectId>,
    ) -> Result<(), RestoreError>;
    /// Puts an item there, or says what would be done.
    fn item(&self, job: &Job<Self::Place>) -> Result<Outcome, RestoreError>;
}

/// Brings everything in `roots` to its destination.
///
/// # Errors
/// When a root has no place there, or the repository can't be read.
pub(super) fn run<D: Destination>(
    from: Repo<'_>,
    roots: &[Root],
    to: &D,
    options: &Options,
    tally: &Tally<'_>,
) -> Result<(), RestoreError> {
    let run = Run {
        from,
        to,
        tally,
        refusals: AtomicU32::new(0),
        stop: AtomicBool::new(false),
    };
    let (send, receive) = mpsc::sync_channel(AHEAD);
    let receive = Mutex::new(receive);
    std::thread::scope(|scope| {
        for _ in 0..options.parallel.max(1) {
            scope.spawn(|| {
                loop {
                    let job = receive.lock().recv();
                    let Ok(job) = job else { return };
                    run.item(&job);
                }
            });
        }
        let result = roots.iter().try_for_each(|root| run.walk(root, &send));
        drop(send);
        result
    })
}

struct Run<'a, D> {
    from: Repo<'a>,
    to: &'a D,
    tally: &'a Tally<'a>,
    refusals: AtomicU32,
    stop: AtomicBool,
}

impl<D: Destination> Run<'_, D> {
    fn walk(
        &self,
        root: &Root,
        jobs: &mpsc::SyncSender<Job<D::Place>>,
    ) -> Result<(), RestoreError> {
        let base = self.to.base(root)?;
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
            let decided = |outcome| self.tally.decided(&source, "", found.size, outcome);
            if (0..found.below.len()).any(|n| bad_folders.contains(&found.below[..n])) {
                let e = RestoreError::new(Code::NotFound, "its folder could not be made");
                decided(Outcome::Failed(e));
                return true;
            }
            let mut names = found.below.iter();
            let target = match names.try_fold(base.clone(), |at, name| self.to.child(&at, name)) {
                Ok(target) => target,
                Err(e) => {
                    decided(Outcome::Failed(e));
                    return true;
                }
            };
            if found.is_dir {
                let record = match &found.origin {
                    From::Entry(entry) => entry.record,
                    From::Version { .. } | From::File(_) => None,
                };
                if let Err(e) = self.to.folder(&source, &target, record) {
                    bad_folders.insert(found.below.clone());
                    let target = self.to.show(&target);
                    self.tally.decided(&source, &target, 0, Outcome::Failed(e));
                }
                return true;
            }
            self.tally.observer.found(found.size);
            jobs.send(Job {
                place: place_of(root, &found),
                source,
                target,
                found,
            })
            .is_ok()
        };
        let mut trouble = |path: &Path, why: &str| {
            let path = path.display().to_string();
            let e = RestoreError::new(Code::Io, format!("{path}: {why}"));
            self.tally.decided(&path, "", 0, Outcome::Failed(e));
        };
        root.walk(self.from.nodes, &mut visit, &mut trouble)
    }

    fn item(&self, job: &Job<D::Place>) {
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        let outcome = self.to.item(job).unwrap_or_else(Outcome::Failed);
        match &outcome {
            Outcome::Failed(e) => {
                let refusals = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
                let hopeless =
                    matches!(e.code, Code::Denied | Code::NoSpace) && refusals >= HOPELESS;
                if e.code == Code::Quota || hopeless {
                    self.stop.store(true, Ordering::Relaxed);
                    let mut summary = self.tally.summary.lock();
                    summary.stopped.get_or_insert_with(|| e.reason.clone());
                }
            }
            _ => self.refusals.store(0, Ordering::Relaxed),
        }
        let target = self.to.show(&job.target);
        self.tally
            .decided(&job.source, &target, job.found.size, outcome);
    }
}

/// Snapshot, and path in it, of what was found below a root.
fn place_of(root: &Root, found: &Found) -> Option<(Snapshot, String)> {
    let Root::Snapshot { snapshot, path, .. } = root else {
        return None;
    };
    let all: Vec<&str> = path
        .iter()
        .chain(&found.below)
        .map(String::as_str)
        .collect();
    Some((snapshot.clone(), all.join("/")))
}
