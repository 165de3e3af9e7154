//! What is stored of a collection: one account's mailbox, drive and so on.
//!
//! Three maps. `dir` is the directory that the mount shows. `ids` tells for each item where it lies,
//! by key, as Graph names items by id only. `detached` holds items that have no place just now (see
//! [`Editor`](super::editor::Editor)); between rounds it is nearly always empty.
//!
//! ```text
//! ids:      key:16 -> form:u8 [parent:16] name     form = folder 1 | detached 2 | below the root 4
//! detached: key:16 -> reason:u8 entry
//! ```
//!
//! Where a name contains its item's suffix, as those of mails do, `ids` has a NUL in its stead.

use super::TreeError;
use super::codec::Reader;
use super::entry::Entry;
use super::key::ItemKey;
use super::map::MapRoot;
use super::names;
use serde::{Deserialize, Serialize};

/// The roots of a collection's maps. All `None`: empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CollectionRoot {
    /// The visible directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: MapRoot,
    /// Item key to place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: MapRoot,
    /// Items without a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detached: MapRoot,
}

/// Where an item lies, or wants to lie while it is detached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) parent: ItemKey,
    pub(crate) name: String,
    pub(crate) is_dir: bool,
    /// Then its entry is in `detached`, not in the parent's directory.
    pub(crate) detached: bool,
}

const IS_DIR: u8 = 1;
const IS_DETACHED: u8 = 2;
const BELOW_ROOT: u8 = 4;

impl Place {
    pub(crate) fn encode(&self, key: &ItemKey) -> Vec<u8> {
        let below_root = self.parent == ItemKey::ROOT;
        let mut out = Vec::with_capacity(17 + self.name.len());
        let flag = |set, bit| if set { bit } else { 0 };
        out.push(
            flag(self.is_dir, IS_DIR)
                | flag(self.detached, IS_DETACHED)
                | flag(below_root, BELOW_ROOT),
        );
        if !below_root {
            out.extend_from_slice(&self.parent.0);
        }
        let suffix = key.suffix();
        match self.name.rfind(&suffix) {
            Some(at) => {
                out.extend_from_slice(&self.name.as_bytes()[..at]);
                out.push(0);
                out.extend_from_slice(&self.name.as_bytes()[at + suffix.len()..]);
            }
            None => out.extend_from_slice(self.name.as_bytes()),
        }
        out
    }

    pub(crate) fn decode(key: &ItemKey, bytes: &[u8]) -> Result<Place, TreeError> {
        let mut r = Reader::new("item's place", bytes);
        let form = r.byte()?;
        if form & !(IS_DIR | IS_DETACHED | BELOW_ROOT) != 0 {
            return Err(r.corrupt("its form is unknown; a newer tenantfs may have written it"));
        }
        let parent = if form & BELOW_ROOT != 0 {
            ItemKey::ROOT
        } else {
            ItemKey(r.array()?)
        };
        let name = std::str::from_utf8(r.rest()).map_err(|_| r.corrupt("a name is not UTF-8"))?;
        let name = match name.split_once('\0') {
            Some((before, after)) => [before, &key.suffix(), after].concat(),
            None => name.to_owned(),
        };
        let detached = form & IS_DETACHED != 0;
        let unnamed = detached && name.is_empty();
        if !unnamed && !names::is_good(&name) {
            return Err(r.corrupt("a name is not one that a file can have"));
        }
        Ok(Place {
            parent,
            name,
            is_dir: form & IS_DIR != 0,
            detached,
        })
    }
}

/// Why an item has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A folder that others lie in, of which nothing else is known yet.
    Unknown,
    /// It was removed; it goes, with what is in it, when the round is finished.
    Removed,
    /// Another item has its name, its parent lies in it, or its parent is a file.
    Waiting,
}

/// An item without a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detached {
    pub(crate) reason: Reason,
    pub(crate) entry: Entry,
}

impl Detached {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let reason = match self.reason {
            Reason::Unknown => 0,
            Reason::Removed => 1,
            Reason::Waiting => 2,
        };
        let mut out = vec![reason];
        out.extend_from_slice(&self.entry.encode(""));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Detached, TreeError> {
        let mut r = Reader::new("detached item", bytes);
        let reason = match r.byte()? {
            0 => Reason::Unknown,
            1 => Reason::Removed,
            2 => Reason::Waiting,
            _ => {
                return Err(
                    r.corrupt("its reason is unknown; a newer tenantfs may have written it")
                );
            }
        };
        Ok(Detached {
            reason,
            entry: Entry::decode("", r.rest())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_come_back(
            key in any::<[u8; 16]>(), parent in proptest::option::of(any::<[u8; 16]>()),
            stem in "[a-z. 0-9é]{1,20}", suffixed in any::<bool>(), is_dir in any::<bool>(), detached in any::<bool>(),
        ) {
            let key = ItemKey(key);
            let name = if suffixed { names::with_suffix(&stem, &key) } else { names::exact_name(&stem, &key) };
            let parent = parent.map_or(ItemKey::ROOT, ItemKey);
            let place = Place { parent, name, is_dir, detached };
            prop_assert_eq!(Place::decode(&key, &place.encode(&key)).unwrap(), place);
        }

        #[test]
        fn hostile_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..60), form in 0u8..16) {
            if let Some(first) = bytes.first_mut() {
                *first = form;
            }
            let key = ItemKey([3; 16]);
            if let Ok(place) = Place::decode(&key, &bytes) {
                prop_assert_eq!(Place::decode(&key, &place.encode(&key)).unwrap(), place);
            }
            if let Ok(detached) = Detached::decode(&bytes) {
                prop_assert_eq!(Detached::decode(&detached.encode()).unwrap(), detached);
            }
        }
    }
}
