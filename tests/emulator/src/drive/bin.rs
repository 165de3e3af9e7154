//! The recycle bin of a drive: what was deleted, whole, for 93 days. What comes back has its old ids.

use super::failure::Failure;
use super::item::{Actor, Index, Kind, ROOT};
use super::names;
use super::sharing::Sharing;
use super::store::{Drive, Stamp};

/// How long the bin keeps things, in seconds.
pub const KEPT: i64 = 93 * 86_400;

/// One deletion.
#[derive(Clone, Debug)]
pub struct Binned {
    pub id: u128,
    /// The item that was deleted.
    pub index: Index,
    /// Seconds since 1970.
    pub at: i64,
    pub by: Actor,
    pub size: u64,
    /// The item and all that was below it, as they were.
    pub(super) saved: Vec<Saved>,
}

#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub index: Index,
    pub kind: Kind,
    pub sharing: Option<Box<Sharing>>,
}

impl Drive {
    /// What is in the bin; what has been there too long goes.
    pub fn bin(&mut self, now: i64) -> &[Binned] {
        let (kept, gone): (Vec<Binned>, Vec<Binned>) =
            self.bin.drain(..).partition(|b| b.at + KEPT > now);
        self.bin = kept;
        for binned in gone {
            self.recycled = self.recycled.saturating_sub(binned.size);
        }
        &self.bin
    }

    /// Takes one deletion out of the bin for good.
    pub fn purge(&mut self, id: u128) -> bool {
        let Some(at) = self.bin.iter().position(|b| b.id == id) else {
            return false;
        };
        let binned = self.bin.remove(at);
        self.recycled = self.recycled.saturating_sub(binned.size);
        true
    }

    /// Puts one deletion back where it was.
    pub fn restore(&mut self, id: u128, stamp: &Stamp) -> Result<Index, Failure> {
        let at = self
            .bin
            .iter()
            .position(|b| b.id == id)
            .ok_or_else(Failure::item_not_found)?;
        let top = self.bin[at].index;
        let parent = self.item(top).parent;
        if self.item(parent).deleted || (parent != ROOT && self.item(parent).folder().is_none()) {
            return Err(Failure::invalid(
                "The folder it was deleted from is in the recycle bin; restore that first.",
            ));
        }
        let name = self.item(top).name.clone();
        if self.child(parent, &name).is_some() {
            return Err(Failure::name_exists());
        }
        let binned = self.bin.remove(at);
        self.recycled = self.recycled.saturating_sub(binned.size);
        for saved in binned.saved {
            let item = self.item_mut(saved.index);
            item.deleted = false;
            item.kind = saved.kind;
            item.sharing = saved.sharing;
            self.changed(saved.index, stamp.now);
        }
        if let Kind::Folder(folder) = &mut self.item_mut(parent).kind {
            folder.children.insert(names::collision_key(&name), top);
        }
        self.resize(parent, 0, binned.size);
        Ok(top)
    }
}
