//! The inventory against the listing: what must be there and is not, and whether it is the last one.

use std::collections::HashSet;

use super::{DamagedFile, Run};
use crate::repo::backend::FileInfo;
use crate::repo::error::{RepoError, Result};
use crate::repo::id::PackId;
use crate::repo::{index, inventory, session, snapshot};

impl Run<'_> {
    /// What must be there and is not listed.
    pub fn inventory(&self, names: Result<inventory::Names>, listed: &[FileInfo]) -> Result<()> {
        let names = match names {
            Ok(names) => names,
            Err(e) => {
                let reason = match e {
                    RepoError::FileMissing { .. } => "it is missing".to_owned(),
                    e => DamagedFile::new(inventory::FILE, &e).reason,
                };
                self.damaged(
                    inventory::FILE,
                    &format!(
                        "{reason}; until rebuild-index makes a new one from what is there, lost \
                         snapshots and index files go unnoticed"
                    ),
                );
                return Ok(());
            }
        };
        let there: HashSet<&str> = listed.iter().map(|info| info.name.as_str()).collect();
        for name in names.iter().filter(|name| !there.contains(name.as_str())) {
            if self.inner.is_lost(name)? {
                let folder = name.split('/').next();
                let help = match folder {
                    Some(index::FOLDER) => "rebuild-index makes the index again from the packs",
                    _ => "bring it back from a copy of the repository",
                };
                self.damaged(
                    name,
                    &format!("it is missing, and nobody deleted it on purpose; {help}"),
                );
            }
        }
        self.unnamed(&names, listed)
    }

    /// What is there and the inventory does not name. While anybody writes, or died writing, that is as it
    /// should be, and so it is with what somebody died deleting: older snapshots, and index files whose
    /// packs others name too. Otherwise the inventory is an older one than the last.
    fn unnamed(&self, names: &inventory::Names, listed: &[FileInfo]) -> Result<()> {
        let is_session =
            |info: &FileInfo| info.name.split('/').next() == Some(session::FOLDER.name);
        if listed.iter().any(is_session) || self.younger(names, listed).is_none() {
            return Ok(());
        }
        // A session may have ended between the inventory and the listing.
        let Some(file) = self.younger(&self.inner.read_inventory()?, listed) else {
            return Ok(());
        };
        if self.inner.backend.size(&file)?.is_some() {
            self.damaged(
                inventory::FILE,
                &format!(
                    "it does not name {file}, which is there, and nobody writes: it was set back to \
                     an older one, and what is younger may be lost unnoticed; rebuild-index makes a \
                     new one from what is there"
                ),
            );
        }
        Ok(())
    }

    /// A file that is younger than an inventory of these names.
    fn younger(&self, names: &inventory::Names, listed: &[FileInfo]) -> Option<String> {
        let snapshots = listed
            .iter()
            .filter(|info| info.name.split('/').next() == Some(snapshot::FOLDER));
        let newest = snapshots.map(|info| &info.name).max();
        if let Some(newest) = newest.filter(|name| !names.contains(*name)) {
            return Some(newest.clone());
        }
        let (named, others): (Vec<_>, Vec<_>) = self
            .inner
            .index
            .files()
            .into_iter()
            .partition(|(name, _)| names.contains(name));
        let packs = named.iter().flat_map(|(_, file)| file.packs());
        let known: HashSet<PackId> = packs.map(|(_, id, _)| id).collect();
        let mut others = others.into_iter();
        let found = others.find(|(_, file)| file.packs().any(|(_, id, _)| !known.contains(&id)));
        found.map(|(name, _)| name)
    }
}
