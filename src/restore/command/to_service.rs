//! Items on their way into Microsoft 365, and what a dry run says of them.

use std::collections::{HashMap, HashSet};
use std::io;

use parking_lot::Mutex;

use super::alive::Alive;
use super::run::{Destination, Job};
use super::{Options, Outcome, Repo, Tally, each_piece};
use crate::repo::ObjectId;
use crate::restore::errno::{Code, RestoreError};
use crate::restore::policy::Conflict;
use crate::restore::service::Receipt;
use crate::restore::sources::{From, Root};
use crate::restore::spool::SpoolFile;
use crate::restore::target::TargetPath;
use crate::workload::LiveEntry;

pub(super) struct ToService<'a> {
    from: Repo<'a>,
    alive: Alive<'a>,
    target: TargetPath,
    /// Of several sources each has a folder of its own.
    several: bool,
    options: &'a Options,
    tally: &'a Tally<'a>,
    conflict: Conflict,
    /// Folders that are there; with a dry run also those that would be (`false`).
    folders: Mutex<HashMap<TargetPath, bool>>,
    /// Folders that were made, in that order, with the records of their originals.
    made: Mutex<Vec<(TargetPath, LiveEntry, ObjectId)>>,
    /// Of those that were put off, the ones of which a dry run has spoken.
    told: Mutex<HashSet<TargetPath>>,
}

impl<'a> ToService<'a> {
    pub fn new(
        from: Repo<'a>,
        alive: Alive<'a>,
        target: TargetPath,
        several: bool,
        options: &'a Options,
        tally: &'a Tally<'a>,
    ) -> ToService<'a> {
        let conflict = target.policy().conflict;
        ToService {
            from,
            alive,
            several,
            options,
            tally,
            conflict: conflict.unwrap_or(alive.service.pusher().conflict),
            target,
            folders: Mutex::default(),
            made: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Makes a folder with those above it, unless they are there. Returns whether it is there (a dry run
    /// makes none). `record`: that of its original.
    fn made(
        &self,
        source: &str,
        target: &TargetPath,
        record: Option<ObjectId>,
    ) -> Result<bool, RestoreError> {
        // An account's own folder, or a workload's, is always there.
        if target.path().is_empty() {
            return Ok(true);
        }
        if let Some(there) = self.folders.lock().get(target) {
            return Ok(*there);
        }
        let above = match target.parent() {
            Some(parent) => self.made(source, &parent, None)?,
            None => true,
        };
        let live = if above {
            self.alive.service.lookup(target)?
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
            // Made when something goes into it.
            None if self.options.deleted_only => false,
            None if self.options.dry_run => {
                self.alive.service.plan_folder(target)?;
                self.would_make(source, target);
                false
            }
            None => {
                self.make(source, target, record)?;
                true
            }
        };
        self.folders.lock().insert(target.clone(), there);
        Ok(there)
    }

    fn make(
        &self,
        source: &str,
        target: &TargetPath,
        record: Option<ObjectId>,
    ) -> Result<(), RestoreError> {
        let service = &self.alive.service;
        let made = match record {
            Some(record) => {
                let record = self.alive.recogniser.read(&record)?;
                service.mkdir_as(target, record)
            }
            None => service.mkdir(target),
        };
        match made {
            Ok(made) => {
                let outcome = Outcome::MadeFolder;
                self.tally.decided(source, &target.to_string(), 0, outcome);
                if let Some(record) = record {
                    self.made.lock().push((target.clone(), made, record));
                }
            }
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
        self.make(source, target, None)?;
        self.folders.lock().insert(target.clone(), true);
        Ok(())
    }

    /// Gives the folders that were made what else their originals had: the inner ones first, for a
    /// folder's time is that of the last change in it.
    pub fn finish_folders(&self) {
        for (target, made, record) in self.made.lock().drain(..).rev() {
            let record = self.alive.recogniser.read(&record);
            let finished =
                record.and_then(|record| self.alive.service.finish_folder(&target, made, record));
            let notes = finished.unwrap_or_else(|e| vec![e.reason]);
            for note in notes {
                self.alive.service.pusher().folder_differs(&target, &note);
            }
        }
    }

    fn would_make(&self, source: &str, target: &TargetPath) {
        let outcome = Outcome::WouldMakeFolder;
        self.tally.decided(source, &target.to_string(), 0, outcome);
    }

    /// Says that the folders that were put off would be made, once.
    fn would_make_all(&self, source: &str, target: &TargetPath) {
        if target.path().is_empty()
            || self.folders.lock().get(target) == Some(&true)
            || !self.told.lock().insert(target.clone())
        {
            return;
        }
        if let Some(parent) = target.parent() {
            self.would_make_all(source, &parent);
        }
        self.would_make(source, target);
    }

    fn is_live(&self, job: &Job<TargetPath>) -> Result<bool, RestoreError> {
        match (&job.place, &job.found.origin) {
            (Some((snapshot, path)), From::Entry(entry) | From::Version { file: entry, .. }) => {
                self.alive.is_live(snapshot, path, entry)
            }
            _ => Ok(false),
        }
    }

    /// Whether an item came from the same service and only shows what the items beside it hold.
    fn only_shows(&self, job: &Job<TargetPath>) -> Result<bool, RestoreError> {
        Ok(self.is_at_home(job) && self.alive.service.only_shows(&job.target)?)
    }

    /// Whether an item stays in the service that it was captured from.
    fn is_at_home(&self, job: &Job<TargetPath>) -> bool {
        let source = job.place.as_ref();
        let source = source.and_then(|(_, path)| TargetPath::parse(path).ok());
        let service = source.as_ref().and_then(TargetPath::workload);
        service == job.target.workload()
    }

    /// What would become of an item. Its name tells if it is there, where it is of that service;
    /// otherwise, and for what is refused, the service's own rules are asked.
    fn preview(
        &self,
        job: &Job<TargetPath>,
        live: bool,
        folder_there: bool,
    ) -> Result<Outcome, RestoreError> {
        let at_home = self.is_at_home(job);
        let beside = live && self.conflict == Conflict::KeepBoth;
        let there = match at_home && (beside || !folder_there) {
            true => live,
            false => {
                let with_bytes = self.alive.service.plans_by_content(&job.target)?;
                let file = self.spool(job, with_bytes)?;
                self.alive.service.plan(file)?.is_some() || live
            }
        };
        Ok(match (there, self.conflict) {
            (true, Conflict::Skip) => Outcome::Exists,
            (true, conflict) => Outcome::WouldRestore(Some(conflict)),
            (false, _) => Outcome::WouldRestore(None),
        })
    }

    /// Copies the bytes into the spool, with what is known about them.
    fn spool(&self, job: &Job<TargetPath>, with_bytes: bool) -> Result<SpoolFile, RestoreError> {
        let spooled = |e: io::Error| RestoreError::local("the restore spool", &e);
        let mut file = self.alive.service.spool_file(&job.target)?;
        if with_bytes {
            each_piece(self.from.repo, &job.found, |at, piece| {
                file.write_at(at, piece).map_err(spooled)
            })?;
        }
        if let Some((snapshot, path)) = &job.place {
            let recogniser = self.alive.recogniser;
            file.set_origin(match &job.found.origin {
                From::Entry(entry) => recogniser.origin_at(snapshot, path, entry)?,
                From::Version {
                    time,
                    file: now,
                    version,
                } => {
                    let origin = recogniser.origin_at(snapshot, path, now)?;
                    origin.map(|origin| origin.as_version(time, version))
                }
                From::File(_) => None,
            });
        }
        file.set_mtime(job.found.mtime);
        Ok(file)
    }
}

impl Destination for ToService<'_> {
    type Place = TargetPath;

    fn base(&self, root: &Root) -> Result<TargetPath, RestoreError> {
        let target = &self.target;
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
            self.made(&parent.to_string(), &parent, None)?;
        }
        Ok(base)
    }

    fn child(&self, at: &TargetPath, name: &str) -> Result<TargetPath, RestoreError> {
        at.child(name)
    }

    fn show(&self, at: &TargetPath) -> String {
        at.to_string()
    }

    fn folder(
        &self,
        source: &str,
        at: &TargetPath,
        record: Option<ObjectId>,
    ) -> Result<(), RestoreError> {
        self.made(source, at, record).map(drop)
    }

    fn item(&self, job: &Job<TargetPath>) -> Result<Outcome, RestoreError> {
        let folder = job.target.parent().unwrap_or_default();
        let folder_there = self.folders.lock().get(&folder).copied().unwrap_or(true);
        let live = if folder_there {
            self.alive.service.lookup(&job.target)?
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
        if self.only_shows(job)? {
            return Ok(Outcome::OnlyShows);
        }
        if self.options.dry_run {
            let outcome = self.preview(job, live.is_some(), folder_there)?;
            if self.options.deleted_only && matches!(outcome, Outcome::WouldRestore(_)) {
                self.would_make_all(&job.source, &folder);
            }
            return Ok(outcome);
        }
        if !folder_there {
            self.make_all(&job.source, &folder)?;
        }
        let file = self.spool(job, true)?;
        match self.alive.service.push(file, self.options.deadline) {
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
}
