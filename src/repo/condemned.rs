//! Packs that are about to be deleted: sealed lists `condemned/<generation>`.
//!
//! [`Prune`](super::prune) puts packs on a list when nothing needs them. Writers read the lists
//! when they begin and after each commit. From then on, objects that only these packs hold are
//! absent for them, so they store them again; and then they say so: the generation (the number of the
//! newest list they know), and which of these packs they relied on before they knew (an object that was
//! put and found there, which no manifest names yet). A pack is deleted when every session knows the
//! list, none relies on it, and no manifest needs it. Neither clocks nor ages of locks have a say.
//!
//! Invariants: numbers of lists rise and are never used again, so the newest list stays. A list
//! stays until a later prune finds all its packs gone, and excuses that they are: who looks at an index
//! and at a listing one after the other may see a pack in one and not in the other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::Inner;
use super::error::{RepoError, Result};
use super::id::{PackClass, PackId};
use super::seal::{FileType, open_file, seal_file};

/// Folder of the lists.
pub(crate) const FOLDER: &str = "condemned";

/// What a list says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct List {
    /// When it was made, seconds since 1970. Only for the margin that a grace period adds.
    pub made: i64,
    /// Names of the packs' files.
    pub packs: BTreeSet<String>,
}

impl List {
    /// The packs; names that are none were refused when it was read.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (PackClass, PackId)> + '_ {
        self.packs.iter().filter_map(|name| PackId::parse(name))
    }
}

/// The name of a generation's list.
pub(crate) fn file_name(generation: u64) -> String {
    format!("{FOLDER}/{generation:016x}")
}

fn parse_name(file: &str) -> Option<u64> {
    let generation = file.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let generation = u64::from_str_radix(generation, 16).ok()?;
    (file_name(generation) == file).then_some(generation)
}

impl Inner {
    pub(crate) fn read_condemned(&self, file: &str) -> Result<List> {
        let sealed = self.backend.get(file)?;
        let kind = FileType::Condemned;
        let plain = open_file(&self.keys, &self.config.id, kind, file, sealed)?;
        let list: List =
            serde_json::from_slice(&plain).map_err(|e| RepoError::damaged(file, e.to_string()))?;
        if list.ids().count() != list.packs.len() || parse_name(file).is_none() {
            return Err(RepoError::damaged(file, "it names what is no pack"));
        }
        Ok(list)
    }

    /// All lists by generation, and why others cannot be read.
    fn read_lists(&self) -> Result<(BTreeMap<u64, List>, BTreeMap<u64, RepoError>)> {
        let (mut lists, mut damaged) = (BTreeMap::new(), BTreeMap::new());
        for info in self.backend.list(FOLDER)? {
            let Some(generation) = parse_name(&info.name) else {
                continue;
            };
            match self.read_condemned(&info.name) {
                Ok(list) => {
                    lists.insert(generation, list);
                }
                // Its packs were long gone.
                Err(RepoError::FileMissing { .. }) => {}
                Err(e @ RepoError::Damaged { .. }) => {
                    damaged.insert(generation, e);
                }
                Err(e) => return Err(e),
            }
        }
        Ok((lists, damaged))
    }

    /// All lists by generation.
    pub(crate) fn condemned_lists(&self) -> Result<BTreeMap<u64, List>> {
        let (lists, damaged) = self.read_lists()?;
        damaged.into_values().next().map_or(Ok(lists), Err)
    }

    /// Empties the lists that cannot be read, and makes those that were lost again, empty: what was on them is
    /// not condemned any more, and nothing is deleted that any list does not have. Needs the maintenance lock.
    pub(crate) fn mend_condemned(&self) -> Result<()> {
        while let Err(error) = self.nothing_lost(FOLDER) {
            let lost = match &error {
                RepoError::FileMissing { file } => parse_name(file),
                _ => None,
            };
            let Some(generation) = lost else {
                return Err(error);
            };
            tracing::error!("{error}; what it condemned stays");
            self.create_condemned(generation, &List::default())?;
        }
        for (generation, error) in self.read_lists()?.1 {
            tracing::error!("{error}; what it condemned stays");
            self.replace_condemned(generation, &List::default())?;
        }
        Ok(())
    }

    /// Makes a list, durably.
    ///
    /// # Errors
    /// [`RepoError::LockLost`]: there is one of this generation, made by another prune meanwhile.
    pub(crate) fn create_condemned(&self, generation: u64, list: &List) -> Result<()> {
        let (file, sealed) = self.seal_condemned(generation, list)?;
        match self.backend.create(&file, &sealed)? {
            true => Ok(()),
            false => Err(RepoError::LockLost {
                reason: format!("{file} was made by another process"),
            }),
        }
    }

    /// Replaces a list by a shorter one, durably.
    pub(crate) fn replace_condemned(&self, generation: u64, list: &List) -> Result<()> {
        let (file, sealed) = self.seal_condemned(generation, list)?;
        self.backend.put(&file, &sealed)
    }

    fn seal_condemned(&self, generation: u64, list: &List) -> Result<(String, Vec<u8>)> {
        let file = file_name(generation);
        let plain = serde_json::to_vec(list)
            .map_err(|e| RepoError::Invalid(format!("{file} cannot be written: {e}")))?;
        let kind = FileType::Condemned;
        let sealed = seal_file(&self.keys, &self.config.id, kind, &file, &plain)?;
        Ok((file, sealed))
    }

    /// Reads the lists: from now on writers of this handle store again what only these packs hold.
    /// Returns the newest generation up to which all could be read: of later ones nothing is deleted.
    pub(crate) fn learn_condemned(&self) -> Result<u64> {
        let (lists, damaged) = self.read_lists()?;
        // Never taken out again: the index in use may name a pack longer than a list does.
        let packs = lists.values().flat_map(|list| list.ids().map(|(_, id)| id));
        self.condemn(packs);
        let newest = lists.keys().next_back().copied().unwrap_or(0);
        let unread = damaged.keys().next().copied();
        Ok(unread.map_or(newest, |unread| newest.min(unread.saturating_sub(1))))
    }

    /// From now on writers of this handle store again what only these packs hold.
    pub(crate) fn condemn(&self, packs: impl Iterator<Item = PackId>) {
        self.condemned.write().extend(packs);
    }

    /// Takes back what [`Inner::condemn`] said. Only for packs that stay.
    pub(crate) fn pardon(&self, packs: impl Iterator<Item = PackId>) {
        let mut condemned = self.condemned.write();
        packs.for_each(|pack| {
            condemned.remove(&pack);
        });
    }

    /// Packs that a prune deletes or deleted: missing ones are not lost.
    pub(crate) fn excused_packs(&self) -> Result<HashSet<PackId>> {
        let (lists, _) = self.read_lists()?;
        let packs = lists.values().flat_map(|list| list.ids().map(|(_, id)| id));
        Ok(packs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Place;
    use super::*;

    #[test]
    fn lists_come_back_and_damage_is_found() {
        let place = Place::new();
        let repo = place.init();
        let inner = &repo.inner;
        assert_eq!(inner.learn_condemned().unwrap(), 0);
        let pack = PackId([7; 16]);
        let list = |name: String| List {
            made: 5,
            packs: BTreeSet::from([name]),
        };
        let good = list(pack.file(PackClass::Data));
        inner.create_condemned(3, &good).unwrap();
        assert!(matches!(
            inner.create_condemned(3, &List::default()),
            Err(RepoError::LockLost { .. })
        ));
        assert_eq!(inner.condemned_lists().unwrap(), [(3, good)].into());
        assert_eq!(inner.learn_condemned().unwrap(), 3);
        assert!(inner.condemned.read().contains(&pack));
        inner.create_condemned(4, &list("data/xx".into())).unwrap();
        assert!(matches!(
            inner.condemned_lists(),
            Err(RepoError::Damaged { .. })
        ));
        // Who cannot read a list says so by its generation; emptied, it harms nothing.
        assert_eq!(inner.learn_condemned().unwrap(), 3);
        inner.mend_condemned().unwrap();
        assert_eq!(inner.learn_condemned().unwrap(), 4);
        assert_eq!(inner.condemned_lists().unwrap()[&4], List::default());
    }

    #[test]
    fn a_list_that_was_lost_is_made_again() {
        let place = Place::new();
        let repo = place.init();
        let inner = &repo.inner;
        let maintenance = repo.maintain().unwrap();
        for generation in [2, 5] {
            let list = List {
                made: 5,
                packs: BTreeSet::from([PackId([7; 16]).file(PackClass::Data)]),
            };
            inner.create_condemned(generation, &list).unwrap();
            let names = [file_name(generation)];
            let changed = inner.change_inventory(maintenance.lock(), names, &[]);
            changed.unwrap();
        }
        let root = place.root();
        std::fs::remove_dir_all(root.join(FOLDER)).unwrap();
        assert!(inner.nothing_lost(FOLDER).is_err());
        inner.mend_condemned().unwrap();
        // Its number is not used again.
        let lists = inner.condemned_lists().unwrap();
        assert_eq!(lists, [(2, List::default()), (5, List::default())].into());
        // Without the inventory it cannot be told what was lost.
        std::fs::remove_file(root.join("inventory")).unwrap();
        assert!(inner.mend_condemned().is_err());
    }

    #[test]
    fn names_are_canonical() {
        assert_eq!(parse_name(&file_name(255)), Some(255));
        for name in ["condemned/ff", "condemned/00000000000000FF", "condemned/"] {
            assert_eq!(parse_name(name), None);
        }
    }
}
