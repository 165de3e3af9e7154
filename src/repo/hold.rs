//! Legal holds: sealed files `holds/<name>` that say what must never be forgotten.
//!
//! The repository keeps them and misses those that are lost (they are in the
//! [`inventory`](super::inventory)); what one covers is decided above, where accounts are known. Whoever
//! forgets reads all of them first, under the maintenance lock, and forgets nothing when one cannot
//! be read.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::{RepoError, Result};
use super::maintain::Maintenance;
use super::seal::{FileType, open_file, seal_file};
use super::{Inner, Repository};

/// Folder of holds.
pub(crate) const FOLDER: &str = "holds";
/// Longest name of a hold, longest tag, in bytes.
const LONGEST: usize = 64;

/// What a hold covers, and why. It covers the snapshots that it names and those of its time; without
/// either, all there are and will be. One that was imported does not say whose it is: a hold that covers
/// accounts in it covers all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its name: lower-case letters, digits, `.`, `_` and `-`.
    #[serde(skip_deserializing)]
    pub name: String,
    /// Globs of the accounts that it covers; none: everything in a snapshot. A snapshot that was imported
    /// does not say whose it is, so all of it is covered in any case.
    pub accounts: BTreeSet<String>,
    /// Names of snapshots.
    pub snapshots: BTreeSet<String>,
    /// Snapshots from this time on (seconds since 1970).
    pub since: Option<i64>,
    /// Snapshots up to this time (seconds since 1970).
    pub until: Option<i64>,
    /// For people.
    pub reason: String,
    /// When it was made, seconds since 1970.
    pub created: i64,
    /// Where it was made.
    pub host: String,
}

impl Hold {
    /// Whether it covers a snapshot, or the accounts that it names in it.
    pub fn covers(&self, snapshot: &str, time: i64) -> bool {
        let timed = self.since.is_some() || self.until.is_some();
        if !timed && self.snapshots.is_empty() {
            return true;
        }
        let after = self.since.is_none_or(|since| time >= since);
        let before = self.until.is_none_or(|until| time <= until);
        self.snapshots.contains(snapshot) || (timed && after && before)
    }
}

/// The file of a hold.
fn file_name(name: &str) -> Result<String> {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    let fits = !name.is_empty() && name.len() <= LONGEST && !name.starts_with('.');
    if !fits || !name.bytes().all(good) {
        return Err(RepoError::Invalid(format!(
            "{name:?} cannot be the name of a hold: at most {LONGEST} lower-case letters, digits, '.', '_' and \
             '-', not beginning with '.'"
        )));
    }
    Ok(format!("{FOLDER}/{name}"))
}

/// Refuses what cannot be a tag.
pub fn check_tag(tag: &str) -> Result<()> {
    let odd = |c: char| c.is_control() || c == ',';
    if tag.is_empty() || tag.len() > LONGEST || tag.trim() != tag || tag.contains(odd) {
        return Err(RepoError::Invalid(format!(
            "{tag:?} cannot be a tag: at most {LONGEST} bytes without commas, control characters, and spaces \
             at its ends"
        )));
    }
    Ok(())
}

impl Inner {
    pub(crate) fn read_hold(&self, file: &str) -> Result<Hold> {
        let sealed = self.backend.get(file)?;
        let plain = open_file(&self.keys, &self.config.id, FileType::Hold, file, sealed)?;
        let hold: Hold =
            serde_json::from_slice(&plain).map_err(|e| RepoError::damaged(file, e.to_string()))?;
        let name = file.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Hold { name, ..hold })
    }
}

impl Repository {
    /// All holds, by name.
    ///
    /// # Errors
    /// [`RepoError::Damaged`] and [`RepoError::FileMissing`] when one cannot be read or was lost, and when
    /// the inventory cannot tell: nothing may be forgotten then.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        let inner = &self.inner;
        let listed = inner.backend.list(FOLDER)?;
        let mut holds = Vec::with_capacity(listed.len());
        for info in &listed {
            match inner.read_hold(&info.name) {
                Ok(hold) => holds.push(hold),
                // Removed since the listing, or lost: that is asked for below.
                Err(RepoError::FileMissing { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        inner.nothing_lost(FOLDER)?;
        Ok(holds)
    }
}

impl Maintenance {
    /// Makes a hold.
    ///
    /// # Errors
    /// [`RepoError::Invalid`]: its name is no name, or taken.
    pub fn add_hold(&self, hold: &Hold) -> Result<()> {
        let inner = self.inner();
        let file = file_name(&hold.name)?;
        let plain = serde_json::to_vec(hold)
            .map_err(|e| RepoError::Invalid(format!("the hold cannot be written: {e}")))?;
        let sealed = seal_file(&inner.keys, &inner.config.id, FileType::Hold, &file, &plain)?;
        if !inner.backend.create(&file, &sealed)? {
            return Err(RepoError::Invalid(format!(
                "there is a hold named {:?} already; remove it first, or choose another name",
                hold.name
            )));
        }
        inner.change_inventory(self.lock(), [file], &[])?;
        Ok(())
    }

    /// Removes a hold; false when there is none of this name.
    pub fn remove_hold(&self, name: &str) -> Result<bool> {
        let inner = self.inner();
        let file = file_name(name)?;
        let there = inner.backend.size(&file)?.is_some();
        // One that was lost is missed no longer.
        if there || inner.is_lost(&file)? {
            inner.change_inventory(self.lock(), [], std::slice::from_ref(&file))?;
            inner.backend.delete(&file)?;
            return Ok(true);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Place;
    use super::*;

    #[test]
    fn names_and_tags_are_checked() {
        for good in ["a", "case-2026.1_x", "0"] {
            assert!(file_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", ".a", "a/b", "A", "ä", "a b", &long] {
            assert!(file_name(bad).is_err(), "{bad}");
        }
        for good in ["audit", "Before the move", "Q4/2026"] {
            assert!(check_tag(good).is_ok(), "{good}");
        }
        for bad in ["", " a", "a,b", "a\nb", &long] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hold_covers_what_it_names_and_its_time() {
        let hold = |change: fn(&mut Hold)| {
            let mut hold = Hold::default();
            change(&mut hold);
            [("a", 10), ("b", 20), ("c", 30)].map(|(name, time)| hold.covers(name, time))
        };
        assert_eq!(hold(|_| {}), [true, true, true]);
        assert_eq!(hold(|h| h.since = Some(20)), [false, true, true]);
        assert_eq!(hold(|h| h.until = Some(20)), [true, true, false]);
        let named = |h: &mut Hold| h.snapshots.extend(["a".to_owned()]);
        assert_eq!(hold(named), [true, false, false]);
        let both = |h: &mut Hold| {
            h.snapshots.extend(["a".to_owned()]);
            h.since = Some(25);
        };
        assert_eq!(hold(both), [true, false, true]);
    }

    #[test]
    fn holds_are_kept_and_missed_when_lost() {
        let place = Place::new();
        let repo = place.init();
        let hold = Hold {
            name: "case-1".into(),
            accounts: BTreeSet::from(["ceo@*".to_owned()]),
            reason: "court".into(),
            ..Hold::default()
        };
        let maintenance = repo.maintain().unwrap();
        maintenance.add_hold(&hold).unwrap();
        assert!(maintenance.add_hold(&hold).is_err(), "the name is taken");
        assert_eq!(repo.holds().unwrap(), std::slice::from_ref(&hold));
        assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
        let file = place.root().join("holds/case-1");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(repo.holds(), Err(RepoError::FileMissing { .. })));
        assert!(!repo.verify(false, &|_, _| {}).unwrap().is_clean());
        std::fs::write(&file, &bytes[1..]).unwrap();
        assert!(matches!(repo.holds(), Err(RepoError::Damaged { .. })));
        assert!(!repo.verify(false, &|_, _| {}).unwrap().is_clean());
        std::fs::write(&file, &bytes).unwrap();
        assert!(maintenance.remove_hold("case-1").unwrap());
        assert!(!maintenance.remove_hold("case-1").unwrap());
        assert_eq!(repo.holds().unwrap(), []);
        assert!(repo.verify(true, &|_, _| {}).unwrap().is_clean());
    }
}
