//! Names below `.tenantfs/graph`: the record of entry `x` is `x.json`, beside the folder `x/`.
//!
//! A folder may itself be called `x.json`. Then the path through it must stay as it is, so the
//! record of `x` moves to `x~1.json`, `x~2.json` ...: the first name that is no folder here and no
//! other entry's record. Each entry's name depends only on the folder's own entries, and two
//! entries never share one: `~N` is split off uniquely, and a stem that is an entry belongs to it.

use super::TreeError;
use super::view::Dir;
use std::ops::ControlFlow;

const SUFFIX: &str = ".json";

/// Longest name a Linux file system shows (NAME_MAX).
const NAME_MAX: usize = 255;

/// What the folder beside `.tenantfs` has, as far as naming needs it.
pub trait Folder {
    /// Why it cannot be looked at.
    type Error;
    /// Is there an entry of this name?
    fn has(&self, name: &str) -> Result<bool, Self::Error>;
    /// Is there a folder of this name?
    fn has_folder(&self, name: &str) -> Result<bool, Self::Error>;
    /// Names of entries that begin with `prefix`, sorted.
    fn beginning_with(&self, prefix: &str) -> Result<Vec<String>, Self::Error>;
}

impl Folder for Dir {
    type Error = TreeError;

    fn has(&self, name: &str) -> Result<bool, TreeError> {
        Ok(self.lookup(name)?.is_some())
    }

    fn has_folder(&self, name: &str) -> Result<bool, TreeError> {
        Ok(self.lookup(name)?.is_some_and(|entry| entry.is_dir()))
    }

    fn beginning_with(&self, prefix: &str) -> Result<Vec<String>, TreeError> {
        let mut names = Vec::new();
        self.visit(self.position(prefix)?, |name, _| {
            if !name.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            names.push(name.to_owned());
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }
}

/// Name of the record of `entry`.
pub fn record_name<F: Folder>(folder: &F, entry: &str) -> Result<String, F::Error> {
    let stem = stem(entry);
    for k in 0_u32.. {
        let candidate = if k == 0 {
            stem.clone()
        } else {
            format!("{stem}~{k}")
        };
        let name = format!("{candidate}{SUFFIX}");
        if !folder.has_folder(&name)? && (candidate == entry || !folder.has(&candidate)?) {
            return Ok(name);
        }
    }
    unreachable!("a folder has fewer than 2^32 entries that begin alike")
}

/// Which entry's record is called `name`?
pub fn entry_of<F: Folder>(folder: &F, name: &str) -> Result<Option<String>, F::Error> {
    let Some(stem) = name.strip_suffix(SUFFIX) else {
        return Ok(None);
    };
    let unsalted = stem
        .rsplit_once('~')
        .filter(|(_, k)| k.parse::<u32>().is_ok())
        .map(|(s, _)| s);
    for stem in [Some(stem), unsalted].into_iter().flatten() {
        let cut = stem
            .rsplit_once('~')
            .filter(|(_, hash)| hash.len() == HASH_LEN)
            .map(|(prefix, _)| prefix);
        let mut candidates = vec![stem.to_owned()];
        if let Some(prefix) = cut.filter(|p| p.len() + 1 + HASH_LEN + 4 > STEM_MAX) {
            candidates.extend(folder.beginning_with(prefix)?);
        }
        for candidate in candidates {
            if folder.has(&candidate)? && record_name(folder, &candidate)? == name {
                return Ok(Some(candidate));
            }
        }
    }
    Ok(None)
}

const HASH_LEN: usize = 32;

/// Leaves room for `~N` and the suffix.
const STEM_MAX: usize = NAME_MAX - SUFFIX.len() - 5;

/// The entry's name, or, where `.json` would make it too long, its beginning and its hash.
fn stem(entry: &str) -> String {
    if entry.len() <= STEM_MAX {
        return entry.to_owned();
    }
    let room = STEM_MAX - HASH_LEN - 1;
    let cut = (0..=room)
        .rfind(|at| entry.is_char_boundary(*at))
        .unwrap_or(0);
    let hash = blake3::hash(entry.as_bytes()).to_hex();
    format!("{}~{}", &entry[..cut], &hash[..HASH_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Name -> is a folder.
    struct Fake(BTreeMap<String, bool>);

    impl Folder for Fake {
        type Error = std::convert::Infallible;

        fn has(&self, name: &str) -> Result<bool, Self::Error> {
            Ok(self.0.contains_key(name))
        }
        fn has_folder(&self, name: &str) -> Result<bool, Self::Error> {
            Ok(self.0.get(name) == Some(&true))
        }
        fn beginning_with(&self, prefix: &str) -> Result<Vec<String>, Self::Error> {
            Ok(self
                .0
                .keys()
                .filter(|k| k.starts_with(prefix))
                .cloned()
                .collect())
        }
    }

    fn check(fake: &Fake) {
        let mut seen: BTreeSet<String> = fake
            .0
            .iter()
            .filter(|(_, dir)| **dir)
            .map(|(n, _)| n.clone())
            .collect();
        for entry in fake.0.keys() {
            let name = record_name(fake, entry).unwrap();
            assert!(name.len() <= NAME_MAX, "{name}");
            assert!(seen.insert(name.clone()), "{name} twice");
            assert_eq!(
                entry_of(fake, &name).unwrap().as_ref(),
                Some(entry),
                "{name}"
            );
        }
    }

    #[test]
    fn a_folder_named_like_a_record_hides_nothing() {
        let names = [
            ("x", false),
            ("x.json", true),
            ("x~1.json", true),
            ("x~1", false),
            ("y", true),
        ];
        let fake = Fake(names.into_iter().map(|(n, d)| (n.to_owned(), d)).collect());
        check(&fake);
        assert_eq!(record_name(&fake, "y").unwrap(), "y.json");
        assert_eq!(record_name(&fake, "x").unwrap(), "x~2.json");
        assert_eq!(record_name(&fake, "x.json").unwrap(), "x.json.json");
        assert_eq!(entry_of(&fake, "z.json").unwrap(), None);
        assert_eq!(entry_of(&fake, "x~7.json").unwrap(), None);
    }

    #[test]
    fn long_names_stay_within_name_max() {
        let long = "é".repeat(127);
        let fake = Fake(
            [
                (format!("{long}a"), false),
                (format!("{long}b"), true),
                (long, false),
            ]
            .into(),
        );
        check(&fake);
    }

    proptest! {
        #[test]
        fn every_record_has_one_name_of_its_own(
            entries in prop::collection::btree_map("[ab](~[12]){0,2}(\\.json){0,2}", any::<bool>(), 1..24)
        ) {
            check(&Fake(entries));
        }
    }
}
