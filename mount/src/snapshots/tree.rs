//! Folders of a snapshot's tree, as far as the mount needs them: find a name, list from a position.

use std::ops::ControlFlow;

use tenantfs::repo::Repository;
use tenantfs::tree::entry::Entry;
use tenantfs::tree::map::Shape;
use tenantfs::tree::{Map, MapRoot, Nodes, TreeError, records};

use crate::error::FsError;

/// Bytes of decoded tree nodes that are kept.
const NODE_CACHE: u64 = 8 << 20;

/// Reads folders of any snapshot of one repository.
pub struct Tree(Nodes);

impl Tree {
    pub fn new(repo: &Repository) -> Self {
        Tree(Nodes::with_cache(repo, NODE_CACHE))
    }

    /// Costs nothing: what can't be read shows at its first use.
    pub fn folder(&self, root: MapRoot) -> Folder {
        Folder(Map::new(&self.0, root, Shape::Directory))
    }
}

/// One folder: names sorted by their bytes, so a name's position is stable.
pub struct Folder(Map);

impl Folder {
    pub fn lookup(&self, name: &str) -> Result<Option<Entry>, FsError> {
        let value = self.0.get(name.as_bytes())?;
        Ok(value.map(|value| Entry::decode(name, &value)).transpose()?)
    }

    /// Calls `each` with (position, name, entry) from `position` on until it returns true.
    pub fn each_from(
        &self,
        position: u64,
        mut each: impl FnMut(u64, &str, Entry) -> Result<bool, FsError>,
    ) -> Result<(), FsError> {
        let mut at = position;
        let mut result = Ok(());
        self.0.visit_at(position, |name, value| {
            let step = decode(name, value)
                .map_err(FsError::from)
                .and_then(|(name, entry)| each(at, name, entry));
            at += 1;
            match step {
                Ok(false) => ControlFlow::Continue(()),
                Ok(true) => ControlFlow::Break(()),
                Err(e) => {
                    result = Err(e);
                    ControlFlow::Break(())
                }
            }
        })?;
        result
    }
}

fn decode<'a>(name: &'a [u8], value: &[u8]) -> Result<(&'a str, Entry), TreeError> {
    let name = std::str::from_utf8(name).map_err(|_| TreeError::Corrupt {
        what: "directory",
        why: "a name is not UTF-8",
    })?;
    Ok((name, Entry::decode(name, value)?))
}

impl records::Folder for Folder {
    type Error = FsError;

    fn has(&self, name: &str) -> Result<bool, FsError> {
        Ok(self.0.get(name.as_bytes())?.is_some())
    }

    fn has_folder(&self, name: &str) -> Result<bool, FsError> {
        Ok(self.lookup(name)?.is_some_and(|entry| entry.is_dir()))
    }

    fn beginning_with(&self, prefix: &str) -> Result<Vec<String>, FsError> {
        let mut names = Vec::new();
        self.each_from(self.0.position(prefix.as_bytes())?, |_, name, _| {
            let begins = name.starts_with(prefix);
            if begins {
                names.push(name.to_owned());
            }
            Ok(!begins)
        })?;
        Ok(names)
    }
}
