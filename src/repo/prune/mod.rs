//! Prune: deletes what no snapshot needs, while others write.
//!
//! 1. *Mark* what is in use: all that the manifests need, and the roots that live sessions go on from.
//!    An object that is missing, a manifest that cannot be read or was lost, a listing that lacks a pack
//!    the index names: nothing is deleted.
//! 2. *Judge* the packs on earlier lists (see [`condemned`](super::condemned)) by this mark: those that
//!    every session knows of, that none relies on and nothing needs, are *deleted*; those that are needed
//!    after all come off their list.
//! 3. *Select* the packs in which nothing is in use, and those in which so little is that their objects
//!    are stored again in new packs, durable and indexed. They go on a new list.
//! 4. Judge that list as well. When nobody else writes, that ends it; else the next run does.
//!
//! Deleting is: new index files without the packs, durable; the inventory; the old index files go; the
//! packs go. Whoever dies in between leaves the list, and the next run goes on from there. Dictionaries
//! are never deleted. A pack that the store has locked stays on its list until its lock is over; locks of
//! what stays are renewed in the end.
//!
//! Memory: six bits an object of the index, and the tables of a million objects at a time.

mod locked;
mod mark;
mod repack;
mod select;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

pub use mark::Mark;

use super::adopt::check_listing;
use super::condemned::{self, List};
use super::error::{RepoError, Result};
use super::id::{PackClass, PackId};
use super::maintain::Maintenance;
use super::parity;
use super::retain::Renewal;
use super::session::SessionInfo;
use super::snapshot::Roots;
use super::writer::Writer;
use mark::PackUse;
use select::{Selection, select};

/// The margin that object stores get unless told otherwise.
const GRACE: Duration = Duration::from_secs(86_400);

/// How much may stay that nothing uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unused {
    /// Of what is in use.
    Percent(f64),
    /// In bytes.
    Bytes(u64),
}

/// How a prune works.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneOptions {
    /// Only says what it would do.
    pub dry_run: bool,
    /// Bytes of packs that are stored again at most; `None`: as many as there is need for.
    pub max_repack: Option<u64>,
    /// What may stay.
    pub max_unused: Unused,
    /// How long a pack stays on its list at least. `None`: not at all in a directory, a day in an object
    /// store.
    pub grace: Option<Duration>,
}

impl Default for PruneOptions {
    fn default() -> Self {
        PruneOptions {
            dry_run: false,
            max_repack: None,
            max_unused: Unused::Percent(5.0),
            grace: None,
        }
    }
}

/// What a prune is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrunePhase {
    /// Counts snapshots.
    Marking,
    /// Counts packs.
    Repacking,
    /// Counts packs.
    Deleting,
}

/// Some packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packs {
    /// How many.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects in them that nothing uses.
    pub objects: u64,
}

impl Packs {
    fn add(&mut self, pack: &PackUse) {
        self.packs += 1;
        self.bytes += pack.size;
        self.objects += pack.objects - pack.live_objects;
    }
}

/// What a prune did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PruneReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// Objects in use.
    pub live_objects: u64,
    /// Objects in the index.
    pub objects: u64,
    /// Objects that snapshots need and that are nowhere, since a repair gave them up; `verify` says what
    /// lacks them.
    pub lost: u64,
    /// Deleted: dead ones, and those that were stored again. Of this and earlier runs.
    pub deleted: Packs,
    /// What was in use of these was stored again.
    pub repacked: Packs,
    /// Bytes that took, with the index files.
    pub written: u64,
    /// Condemned, and deleted by a later run.
    pub waiting: Packs,
    /// Who has to notice before.
    pub waiting_for: Vec<String>,
    /// Seconds until the grace period of these is over.
    pub grace_left: u64,
    /// Condemned, and locked by the store (S3 Object Lock): deleted by a run after that.
    pub locked: Packs,
    /// When the last of these locks is over; `None` while nobody can tell, as with a legal hold.
    pub locked_until: Option<Timestamp>,
    /// Locks of files that are needed and whose time ran out.
    pub locks: Renewal,
    /// Were condemned and are needed after all.
    pub kept: u64,
    /// Bytes that nothing uses and that stay.
    pub unused: u64,
    /// Packs that should have been stored again and cannot be read; they stay.
    pub damaged: Vec<String>,
}

/// Walks all that a snapshot needs, and tells the mark.
pub type Reach<'a> = &'a dyn Fn(&Roots, &mut Mark) -> Result<()>;

/// What must stay, read in an order that misses nothing: who commits and ends meanwhile is seen by its
/// session or by its manifest.
struct Needed {
    sessions: Vec<SessionInfo>,
    roots: BTreeSet<Roots>,
}

struct Prune<'a> {
    maintenance: &'a Maintenance,
    options: &'a PruneOptions,
    reach: Reach<'a>,
    progress: &'a dyn Fn(PrunePhase, u64, u64),
    report: PruneReport,
}

impl Maintenance {
    /// Deletes what nothing needs. `reach` knows what a snapshot's roots lead to.
    ///
    /// # Errors
    /// [`RepoError::ListingShrank`], [`RepoError::FileMissing`], [`RepoError::Damaged`] and the like:
    /// then it cannot be known what is needed, and nothing more is deleted.
    ///
    /// [`RepoError::ListingShrank`]: super::RepoError::ListingShrank
    /// [`RepoError::FileMissing`]: super::RepoError::FileMissing
    /// [`RepoError::Damaged`]: super::RepoError::Damaged
    pub fn prune(
        &self,
        options: &PruneOptions,
        reach: Reach<'_>,
        progress: &dyn Fn(PrunePhase, u64, u64),
    ) -> Result<PruneReport> {
        let prune = Prune {
            maintenance: self,
            options,
            reach,
            progress,
            report: PruneReport {
                dry_run: options.dry_run,
                ..PruneReport::default()
            },
        };
        prune.run()
    }
}

impl Prune<'_> {
    fn run(mut self) -> Result<PruneReport> {
        let inner = self.maintenance.inner();
        if !self.options.dry_run {
            // What the dead relied on need not stay.
            inner.sessions().settle(self.maintenance.lock())?;
        }
        // Takes in, too, what writers that died left behind.
        let writer = match self.options.dry_run {
            true => None,
            false => Some(self.maintenance.repository().writer()?),
        };
        inner.refresh_index()?;
        match self.options.dry_run {
            true => inner.nothing_lost(condemned::FOLDER)?,
            false => inner.mend_condemned()?,
        }
        let mut lists = inner.condemned_lists()?;
        inner.learn_condemned()?;
        let listed = inner.listed_packs()?;
        let mut known = inner.index.packs();
        let condemned = ids(&lists);
        known.retain(|(_, id, _)| !condemned.contains(id));
        check_listing(&known, &listed)?;

        let needed = self.needed(writer.as_ref())?;
        let mark = self.mark(&needed, condemned.clone())?;
        let packs = mark.packs();
        self.report.objects = packs.iter().map(|pack| pack.objects).sum();
        self.report.live_objects = mark.count();
        self.report.lost = mark.lost();
        let (condemned, rest): (Vec<_>, Vec<_>) = packs
            .into_iter()
            .partition(|pack| condemned.contains(&pack.id));
        let selection = select(rest, self.options);
        self.report.unused = selection.unused;
        let Some(writer) = writer else {
            self.foresee(&condemned, &selection)?;
            return Ok(self.report);
        };
        self.drop_old_lists(&mut lists, &needed, &listed)?;
        self.judge(
            &mut lists,
            &needed,
            &in_use(&condemned),
            &condemned,
            &listed,
        )?;
        self.sentence(&mut lists, &writer, &needed, mark, selection)?;
        self.report.written = writer.bytes_written();
        self.report.locks = self.maintenance.repository().renew_locks()?;
        Ok(self.report)
    }

    /// What a dry run says: as if nobody else wrote.
    fn foresee(&mut self, condemned: &[PackUse], selection: &Selection) -> Result<()> {
        let dead = condemned.iter().filter(|pack| pack.live_objects == 0);
        let doomed = dead.chain(&selection.dead).chain(&selection.repack);
        for pack in self.without_locked(doomed.cloned().collect())? {
            self.report.deleted.add(&pack);
        }
        for pack in &selection.repack {
            self.report.repacked.add(pack);
        }
        Ok(())
    }

    /// What must stay as of now. `own` is this prune's session, which relies on nothing.
    fn needed(&self, own: Option<&Writer>) -> Result<Needed> {
        let inner = self.maintenance.inner();
        let others = || -> Result<Vec<SessionInfo>> {
            let mut sessions = inner.sessions().live()?;
            sessions.retain(|session| own.is_none_or(|own| own.session_id() != session.id));
            Ok(sessions)
        };
        let mut sessions = others()?;
        let snapshots = self.maintenance.repository().all_snapshots()?;
        let mut roots: BTreeSet<Roots> = snapshots.iter().map(|s| s.manifest.roots()).collect();
        roots.extend(sessions.iter().flat_map(|session| session.roots.clone()));
        // Once more: a session names its roots, then looks whether their manifests are still there. So
        // those that were deleted before they were listed here are named by now, or never used.
        for session in others()? {
            roots.extend(session.roots.iter().copied());
            if !sessions.iter().any(|known| known.id == session.id) {
                sessions.push(session);
            }
        }
        Ok(Needed { sessions, roots })
    }

    fn mark(&self, needed: &Needed, condemned: HashSet<PackId>) -> Result<Mark> {
        // After the manifests were read: what they need is in an index file that was there before them.
        self.maintenance.inner().refresh_index()?;
        self.maintenance.inner().index_is_whole()?;
        let mut mark = Mark::new(self.maintenance.inner(), condemned);
        let total = needed.roots.len() as u64;
        for (done, roots) in (0..).zip(&needed.roots) {
            (self.progress)(PrunePhase::Marking, done, total);
            (self.reach)(roots, &mut mark)?;
        }
        (self.progress)(PrunePhase::Marking, total, total);
        Ok(mark)
    }

    /// Puts what was selected on a new list, and judges it.
    fn sentence(
        &mut self,
        lists: &mut BTreeMap<u64, List>,
        writer: &Writer,
        needed: &Needed,
        mark: Mark,
        selection: Selection,
    ) -> Result<()> {
        let inner = self.maintenance.inner();
        // From now on this process stores what any of them holds as if it were not there: what is in two
        // of them would be lost with both.
        let chosen = selection.dead.iter().chain(&selection.repack);
        inner.condemn(chosen.map(|pack| pack.id));
        let repacked = self.repack(writer, &mark, selection.repack)?;
        drop(mark);
        let packs: Vec<_> = selection.dead.into_iter().chain(repacked).collect();
        if packs.is_empty() {
            return Ok(());
        }
        let last = lists.keys().next_back().copied().unwrap_or(0);
        let seen = needed.sessions.iter().map(|session| session.generation);
        let generation = seen.fold(last, u64::max) + 1;
        let list = List {
            made: jiff::Timestamp::now().as_second(),
            packs: packs.iter().map(|pack| pack.id.file(pack.class)).collect(),
        };
        self.maintenance.lock().check()?;
        inner.create_condemned(generation, &list)?;
        inner.change_inventory(
            self.maintenance.lock(),
            [condemned::file_name(generation)],
            &[],
        )?;
        lists.insert(generation, list);
        // Who came, committed or went since the mark?
        let now = self.needed(Some(writer))?;
        let in_use = match now.roots.is_subset(&needed.roots) {
            // What is in use of them has its copy elsewhere.
            true => HashSet::new(),
            false => in_use(&self.mark(&now, ids(lists))?.packs()),
        };
        let listed = inner.listed_packs()?;
        // The others were judged before.
        lists.retain(|other, _| *other == generation);
        self.judge(lists, &now, &in_use, &packs, &listed)
    }

    /// Decides about the packs on `lists`: those in `in_use` come off their list, of the others those that
    /// can be deleted are. `packs` says what is in them, as far as they are in the index.
    fn judge(
        &mut self,
        lists: &mut BTreeMap<u64, List>,
        needed: &Needed,
        in_use: &HashSet<PackId>,
        packs: &[PackUse],
        listed: &HashMap<PackId, (PackClass, u64)>,
    ) -> Result<()> {
        let inner = self.maintenance.inner();
        let uses: HashMap<PackId, &PackUse> = packs.iter().map(|pack| (pack.id, pack)).collect();
        let relied: HashSet<&String> = needed.sessions.iter().flat_map(|s| &s.needs).collect();
        let grace = self.grace();
        let now = jiff::Timestamp::now().as_second();
        let mut doomed = Vec::new();
        for (generation, list) in lists.iter_mut() {
            let rescued: Vec<_> = list.ids().filter(|(_, id)| in_use.contains(id)).collect();
            for (class, id) in &rescued {
                list.packs.remove(&id.file(*class));
            }
            if !rescued.is_empty() {
                self.report.kept += rescued.len() as u64;
                self.maintenance.lock().check()?;
                inner.replace_condemned(*generation, list)?;
                inner.pardon(rescued.iter().map(|(_, id)| *id));
            }
            let blind = needed
                .sessions
                .iter()
                .filter(|s| s.generation < *generation);
            let blind: Vec<_> = blind.map(|session| session.holder.clone()).collect();
            let left = list.made.min(now).saturating_add(grace).saturating_sub(now);
            for (class, id) in list.ids() {
                let Some((_, size)) = listed.get(&id) else {
                    continue;
                };
                let pack = uses.get(&id).map_or_else(
                    || PackUse::unindexed(id, class, *size),
                    |pack| (*pack).clone(),
                );
                let is_relied = relied.contains(&id.file(class));
                if blind.is_empty() && left <= 0 && !is_relied {
                    doomed.push(pack);
                    continue;
                }
                self.report.waiting.add(&pack);
                self.report.grace_left = self.report.grace_left.max(left.try_into().unwrap_or(0));
                let who = needed.sessions.iter();
                let who = who.filter(|s| s.needs.contains(&id.file(class)));
                let who = who.map(|session| session.holder.clone());
                for holder in blind.iter().cloned().chain(who) {
                    if !self.report.waiting_for.contains(&holder) {
                        self.report.waiting_for.push(holder);
                    }
                }
            }
        }
        let doomed = self.without_locked(doomed)?;
        self.delete(&doomed)
    }

    fn grace(&self) -> i64 {
        let local = self.maintenance.inner().backend.is_local();
        let usual = if local { Duration::ZERO } else { GRACE };
        let grace = self.options.grace.unwrap_or(usual);
        i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)
    }

    /// Takes packs out of the index, then out of the repository.
    fn delete(&mut self, packs: &[PackUse]) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let (inner, lock) = (self.maintenance.inner(), self.maintenance.lock());
        let is_locking = inner.backend.locking()?.is_some();
        let ids: HashSet<PackId> = packs.iter().map(|pack| pack.id).collect();
        inner.index.without(&ids, |new, old| {
            inner.change_inventory(lock, new, old).map(drop)
        })?;
        let total = packs.len() as u64;
        for (done, pack) in (0..).zip(packs) {
            (self.progress)(PrunePhase::Deleting, done, total);
            lock.check()?;
            // Last the pack: without it nobody looks for the parity.
            let files = [parity::file(pack.id), pack.id.file(pack.class)];
            match files.iter().try_for_each(|file| inner.backend.delete(file)) {
                Ok(()) => self.report.deleted.add(pack),
                // It may be locked without saying so. The next run tries again.
                Err(error @ RepoError::StoreRefused { .. }) if is_locking => {
                    tracing::warn!("{error}");
                    self.add_locked(pack, None);
                }
                Err(error) => return Err(error),
            }
        }
        (self.progress)(PrunePhase::Deleting, total, total);
        Ok(())
    }

    /// Removes lists whose packs an earlier run deleted and that all sessions know; but never the newest,
    /// whose number must not be used again.
    fn drop_old_lists(
        &self,
        lists: &mut BTreeMap<u64, List>,
        needed: &Needed,
        listed: &HashMap<PackId, (PackClass, u64)>,
    ) -> Result<()> {
        let inner = self.maintenance.inner();
        let newest = lists.keys().next_back().copied();
        let known = needed.sessions.iter().map(|session| session.generation);
        let known = known.min().unwrap_or(u64::MAX);
        let indexed: HashSet<PackId> = inner.index.packs().into_iter().map(|p| p.1).collect();
        let is_gone = |id: &PackId| !listed.contains_key(id) && !indexed.contains(id);
        let old: Vec<u64> = lists
            .iter()
            .filter(|(generation, _)| Some(**generation) != newest && **generation <= known)
            .filter(|(_, list)| list.ids().all(|(_, id)| is_gone(&id)))
            .map(|(generation, _)| *generation)
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let files: Vec<String> = old.iter().copied().map(condemned::file_name).collect();
        inner.change_inventory(self.maintenance.lock(), [], &files)?;
        for (generation, file) in old.iter().zip(&files) {
            inner.backend.delete(file)?;
            lists.remove(generation);
        }
        Ok(())
    }
}

/// The packs of which something is in use.
fn in_use(packs: &[PackUse]) -> HashSet<PackId> {
    let used = packs.iter().filter(|pack| pack.live_objects > 0);
    used.map(|pack| pack.id).collect()
}

/// All packs on lists.
fn ids(lists: &BTreeMap<u64, List>) -> HashSet<PackId> {
    let all = lists.values().flat_map(List::ids);
    all.map(|(_, id)| id).collect()
}
