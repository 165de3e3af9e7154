//! Repair: makes a damaged repository sound again, and loses nothing more on the way.
//!
//! Everything is read first. Then, under the maintenance lock:
//!
//! 1. Packs that have parity are healed: what comes of it must authenticate as a whole before it takes the
//!    damaged file's place, in one step. This is the only way in which a pack's file is ever replaced.
//! 2. Other damaged files get a second name below `damaged/`: they are kept.
//! 3. Frames of damaged packs that are good are sealed again into new packs.
//! 4. A new index, without the damaged packs, is made from the footers of all others; and a new inventory,
//!    without manifests and dictionaries that are lost.
//! 5. The damaged files lose their first names.
//! 6. Packs get parity that should have some.
//!
//! A death at any point leaves a repository that has all it had: objects twice at most, or a damaged pack
//! that no index names, which no writer takes in since it has a name below `damaged/`. The next repair
//! goes on. What the lost objects meant, the layers above know.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::check::place_of;
use super::error::{RepoError, Result};
use super::id::{Kind, ObjectId, PackClass, PackId};
use super::lock::MaintenanceLock;
use super::pack::{self, OpenPack};
use super::parity::{self, PackParity, Parity};
use super::rebuild::Without;
use super::sample::ReadData;
use super::scrub::is_damage;
use super::session::Session;
use super::table::{FrameEntry, PackTable};
use super::verify::DamagedFile;
use super::{
    Inner, Repository, condemned, config, dictionary, hold, index, inventory, key, snapshot,
};

/// Folder of what repairs put aside.
pub(crate) const FOLDER: &str = "damaged";

/// What a repair found and did; of a dry run, what it would do.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// Everything that was wrong.
    pub found: Vec<DamagedFile>,
    /// Packs that are whole again, by their parity.
    pub healed: Vec<String>,
    /// Files that are below `damaged/` now.
    pub put_aside: Vec<String>,
    /// Files that are missing, and are not missed any more.
    pub given_up: Vec<String>,
    /// Objects of damaged packs that were stored again.
    pub objects_saved: u64,
    /// Objects that no pack has any more.
    pub lost: Vec<(Kind, ObjectId)>,
    /// The index and the inventory were made again.
    pub index_made: bool,
    /// Parity files that were made.
    pub parity_made: Vec<String>,
    /// What repair cannot mend.
    pub left: Vec<DamagedFile>,
}

impl Repository {
    /// Reads everything and mends what can be mended. `progress` gets bytes read and bytes in all.
    /// Takes the maintenance lock for what it changes, and writers go on meanwhile; a dry run changes
    /// nothing.
    ///
    /// # Errors
    /// Those of the disk or store. What was done until then is good.
    pub fn repair(
        &self,
        dry_run: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<RepairReport> {
        let inner = self.inner.as_ref();
        let found = self.verify(ReadData::All, progress)?;
        let hold = match dry_run {
            true => None,
            false => Some(Hold::take(&self.inner)?),
        };
        let mut repair = Repair {
            inner,
            hold,
            salvage: Default::default(),
            kept: HashSet::new(),
            report: RepairReport::default(),
        };
        repair.run(&found.damaged, !found.unindexed.is_empty())?;
        let Repair {
            kept, mut report, ..
        } = repair;
        report.found = found.damaged;
        report.lost = found.lost;
        report.lost.retain(|(_, id)| !kept.contains(id));
        if !dry_run {
            inner.packs.clear();
            inner.frames.clear();
            // It may have been in another pack as well.
            report.lost.retain(|(_, id)| inner.index.find(id).is_none());
        }
        Ok(report)
    }
}

/// What it takes to change something.
struct Hold {
    lock: MaintenanceLock,
    /// Packs grow in its folder.
    session: Session,
}

impl Hold {
    fn take(inner: &Arc<Inner>) -> Result<Self> {
        let lock = MaintenanceLock::acquire(&inner.backend)?;
        inner.sessions().sweep(&lock)?;
        inner.sessions().clear_staging()?;
        Ok(Hold {
            lock,
            session: Session::begin(inner)?,
        })
    }
}

struct Repair<'a> {
    inner: &'a Inner,
    /// `None`: a dry run.
    hold: Option<Hold>,
    /// Packs that good frames go to.
    salvage: [Option<OpenPack>; 2],
    /// Objects of packs that are healed, and of frames that are good.
    kept: HashSet<ObjectId>,
    report: RepairReport,
}

/// A damaged pack.
struct BadPack {
    class: PackClass,
    id: PackId,
    /// `None`: it is missing.
    size: Option<u64>,
    /// What is in it, if anything tells.
    table: Option<PackTable>,
    /// The frames that are good.
    good: Vec<u32>,
}

impl BadPack {
    fn file(&self) -> String {
        self.id.file(self.class)
    }
}

impl Repair<'_> {
    fn run(&mut self, found: &[DamagedFile], unindexed: bool) -> Result<()> {
        let (mut packs, mut files, mut index) = (Vec::new(), Vec::new(), unindexed);
        for damaged in found {
            let file = damaged.file.as_str();
            match file.split('/').next() {
                _ if PackId::parse(file).is_some() => packs.extend(PackId::parse(file)),
                Some(index::FOLDER) => index = true,
                Some(snapshot::FOLDER | dictionary::FOLDER) => files.push(file.to_owned()),
                Some(parity::FOLDER) if parity::parse(file).is_some() => {}
                Some(inventory::FILE) => index = true,
                Some(key::FOLDER) => self.leave(
                    damaged,
                    "no repair can make a key file again: make another \
                     one while somebody can open the repository, then delete this one",
                ),
                Some(config::FILE) => {
                    self.leave(damaged, "bring it back from a copy of the repository")
                }
                Some(hold::FOLDER) => self.leave(
                    damaged,
                    "no repair can know what it held: `hold remove` it, and `hold add` it again",
                ),
                Some(condemned::FOLDER) => self.leave(damaged, "prune makes it anew"),
                _ => self.leave(damaged, "look whose it is, and remove it"),
            }
        }
        packs.sort_unstable();
        packs.dedup();
        let bad = self.examine(packs)?;
        let mut without = Without {
            packs: bad.iter().map(|pack| pack.id).collect(),
            files: BTreeSet::new(),
        };
        let mut aside = Vec::new();
        for file in files {
            if self.is_sound(&file)? {
                continue; // Its roots are missing; it is what it was.
            }
            match self.inner.backend.size(&file)? {
                Some(_) => aside.push(file.clone()),
                None => self.report.given_up.push(file.clone()),
            }
            without.files.insert(file);
        }
        for pack in &bad {
            match pack.size {
                Some(_) => aside.push(pack.file()),
                None => self.report.given_up.push(pack.file()),
            }
        }
        for file in &aside {
            self.change(|inner| inner.backend.set_aside(file, FOLDER))?;
        }
        for pack in &bad {
            self.save(pack)?;
        }
        self.finish_salvage()?;
        if index || !without.packs.is_empty() || !without.files.is_empty() {
            self.report.index_made = true;
            if let Some(hold) = &self.hold {
                let lock = &hold.lock;
                self.inner.remake_index(lock, &without, &|_, _| {})?;
            }
        }
        for file in &aside {
            self.change(|inner| inner.backend.delete(file))?;
        }
        self.report.put_aside = aside;
        self.make_parity(&without.packs)
    }

    fn leave(&mut self, damaged: &DamagedFile, help: &str) {
        self.report.left.push(DamagedFile {
            file: damaged.file.clone(),
            reason: format!("{}; {help}", damaged.reason),
        });
    }

    /// Does something, unless nothing may be changed.
    fn change(&self, work: impl FnOnce(&Inner) -> Result<()>) -> Result<()> {
        match &self.hold {
            None => Ok(()),
            Some(hold) => {
                hold.lock.check()?;
                hold.session.check()?;
                work(self.inner)
            }
        }
    }

    /// Whether a manifest or dictionary opens.
    fn is_sound(&self, file: &str) -> Result<bool> {
        let read = match file.strip_prefix("snapshots/") {
            Some(name) => self.inner.read_snapshot(name).map(drop),
            None => self.inner.dictionaries.read(file).map(drop),
        };
        match read {
            Ok(()) => Ok(true),
            Err(e) if is_damage(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Looks again at packs that are said to be damaged, and heals those that can be healed. Returns
    /// the rest.
    fn examine(&mut self, packs: Vec<(PackClass, PackId)>) -> Result<Vec<BadPack>> {
        let known = self.known_tables(&packs)?;
        let mut bad = Vec::new();
        for (class, id) in packs {
            let size = self.inner.backend.size(&id.file(class))?;
            if let Some(size) = size {
                // It came back, or the store only failed to answer before.
                if self.is_whole(class, id, size, known.get(&id))? {
                    continue;
                }
                if self.heal(class, id)? {
                    self.report.healed.push(id.file(class));
                    continue;
                }
            }
            let pack = BadPack {
                class,
                id,
                size,
                table: None,
                good: Vec::new(),
            };
            bad.push(self.find_good(pack, known.get(&id))?);
        }
        Ok(bad)
    }

    /// What the index says of these packs.
    fn known_tables(&self, packs: &[(PackClass, PackId)]) -> Result<HashMap<PackId, PackTable>> {
        let wanted: HashSet<PackId> = packs.iter().map(|(_, id)| *id).collect();
        let mut known = HashMap::new();
        if wanted.is_empty() {
            return Ok(known);
        }
        for info in self.inner.backend.list(index::FOLDER)? {
            match self.inner.index.read(&info.name) {
                Ok(tables) => known.extend(
                    tables
                        .into_iter()
                        .filter(|table| wanted.contains(&table.id))
                        .map(|table| (table.id, table)),
                ),
                Err(e) if is_damage(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(known)
    }

    fn is_whole(
        &self,
        class: PackClass,
        id: PackId,
        size: u64,
        known: Option<&PackTable>,
    ) -> Result<bool> {
        self.inner.packs.remove(&id);
        let table = match self.inner.ends(class, id, size) {
            Ok(ends) => ends.table,
            Err(e) if is_damage(&e) => return Ok(false),
            Err(e) => return Err(e),
        };
        if known.is_some_and(|known| *known != table) {
            return Ok(false);
        }
        Ok(self.good_frames(&table)?.len() == table.frames.len())
    }

    fn good_frames(&self, table: &PackTable) -> Result<Vec<u32>> {
        let mut good = Vec::new();
        for number in 0..table.frames.len() as u32 {
            match self.inner.check_frame(table, number) {
                Ok(()) => good.push(number),
                Err(e) if is_damage(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(good)
    }

    /// Fills in what a damaged pack still has: by its own footer, or by what the index says of it.
    fn find_good(&self, mut pack: BadPack, known: Option<&PackTable>) -> Result<BadPack> {
        let Some(size) = pack.size else {
            return Ok(pack);
        };
        let own = match self.inner.ends(pack.class, pack.id, size) {
            Ok(ends) => Some(ends.table),
            Err(RepoError::NewerVersion { .. }) if known.is_some() => None,
            Err(e @ RepoError::NewerVersion { .. }) => return Err(e),
            Err(e) if is_damage(&e) => None,
            Err(e) => return Err(e),
        };
        if let Some(table) = own.or_else(|| known.cloned()) {
            pack.good = self.good_frames(&table)?;
            pack.table = Some(table);
        }
        Ok(pack)
    }

    /// Heals a pack by its parity. False when there is none, or it does not suffice.
    fn heal(&mut self, class: PackClass, id: PackId) -> Result<bool> {
        let inner = self.inner;
        let file = id.file(class);
        let parity = match inner.backend.get(&parity::file(id)) {
            Ok(parity) => parity,
            Err(e) if is_damage(&e) => return Ok(false),
            Err(e) => return Err(e),
        };
        let damaged = match inner.backend.get(&file) {
            Ok(bytes) => bytes,
            Err(e) if is_damage(&e) => return Ok(false),
            Err(e) => return Err(e),
        };
        let maker = PackParity::new(&inner.keys.ids(), &inner.config.id, class, id);
        let healed = match maker.heal(&damaged, &parity) {
            Ok(healed) => healed,
            Err(reason) => {
                tracing::warn!("{file} is not healed: {reason}");
                return Ok(false);
            }
        };
        match pack::open_whole(&inner.keys, &inner.config.id, class, id, &healed) {
            Ok(table) => table.frames.iter().for_each(|frame| self.keep(frame)),
            Err(e) => {
                tracing::warn!("{file} is not healed: {e}");
                return Ok(false);
            }
        }
        self.change(|inner| inner.backend.put(&file, &healed))?;
        inner.packs.remove(&id);
        Ok(true)
    }

    fn keep(&mut self, frame: &FrameEntry) {
        self.kept.extend(frame.objects.iter().map(|(id, _)| *id));
    }

    /// Seals the good frames of a pack again into others.
    fn save(&mut self, bad: &BadPack) -> Result<()> {
        let inner = self.inner;
        let Some(table) = &bad.table else {
            return Ok(());
        };
        for number in &bad.good {
            let frame = &table.frames[*number as usize];
            self.report.objects_saved += frame.objects.len() as u64;
            self.keep(frame);
            let Some(hold) = &self.hold else {
                continue;
            };
            let encoded = inner.encoded_frame(&place_of(table, *number, frame))?;
            let open = &mut self.salvage[bad.class.slot()];
            let pack = match open {
                Some(pack) => pack,
                None => open.insert(inner.new_pack(bad.class, hold.session.staging())?),
            };
            let place = pack.reserve(frame.kind, frame.raw, encoded.len(), frame.objects.clone());
            let Some((slot, full)) = place else {
                unreachable!("a full pack is finished at once, and nobody else has this one")
            };
            pack.write(&inner.backend, slot, encoded)?;
            if full {
                self.finish_salvage()?;
            }
        }
        Ok(())
    }

    fn finish_salvage(&mut self) -> Result<()> {
        for pack in self.salvage.iter_mut().filter_map(Option::take) {
            pack.finish(&self.inner.backend)?;
        }
        Ok(())
    }

    /// Gives parity to packs that should have some, and takes away that of packs that are gone.
    fn make_parity(&mut self, without: &HashSet<PackId>) -> Result<()> {
        let inner = self.inner;
        let wanted = *inner.parity.read();
        let mut have = HashMap::new();
        for info in inner.backend.list(parity::FOLDER)? {
            have.extend(parity::parse(&info.name).map(|id| (id, info.size)));
        }
        let mut packs: Vec<_> = inner.listed_packs()?.into_iter().collect();
        packs.sort_unstable();
        for (id, (class, size)) in packs {
            let len = have.remove(&id);
            if without.contains(&id) {
                continue;
            }
            let ends = match inner.ends(class, id, size) {
                Ok(ends) => ends,
                // A dry run has not healed it.
                Err(e) if is_damage(&e) => continue,
                Err(e) => return Err(e),
            };
            let sound = match len {
                Some(len) => match inner.check_parity(&ends.table, len, true) {
                    Ok(()) => true,
                    Err(e) if is_damage(&e) => false,
                    Err(e) => return Err(e),
                },
                None => wanted.is_off() && !ends.has_parity,
            };
            if sound {
                continue;
            }
            let share = if wanted.is_off() {
                Parity::USUAL
            } else {
                wanted
            };
            self.report.parity_made.push(parity::file(id));
            self.change(|inner| {
                let whole = inner.backend.get(&id.file(class))?;
                let table = pack::open_whole(&inner.keys, &inner.config.id, class, id, &whole)?;
                let maker = PackParity::new(&inner.keys.ids(), &inner.config.id, table.class, id);
                inner
                    .backend
                    .put(&parity::file(id), &maker.make(&whole, share)?)
            })?;
        }
        if self.is_alone()? {
            for id in have.into_keys() {
                self.change(|inner| inner.backend.delete(&parity::file(id)))?;
            }
        }
        Ok(())
    }

    /// Nobody else writes: others make parity before its pack has a name.
    fn is_alone(&self) -> Result<bool> {
        let Some(hold) = &self.hold else {
            return Ok(true);
        };
        let live = self.inner.sessions().live()?;
        Ok(live.iter().all(|session| session.id == hold.session.id()))
    }
}

impl Inner {
    /// A new pack that grows in `folder`.
    pub(crate) fn new_pack(&self, class: PackClass, folder: &Path) -> Result<OpenPack> {
        OpenPack::create(
            &self.backend,
            &self.keys,
            &self.config.id,
            class,
            folder,
            *self.parity.read(),
        )
    }

    /// Whether a repair put this file aside.
    pub(crate) fn is_aside(&self, file: &str) -> Result<bool> {
        Ok(self.backend.size(&format!("{FOLDER}/{file}"))?.is_some())
    }
}
