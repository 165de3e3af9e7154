//! From a content to the items that have it, in any snapshot: a local table, made when it is needed.
//!
//! A file whose name tells nothing (it was renamed, or lies on a drive) can only be found by its
//! content. So the newest snapshot is walked once, and each older one adds what it has and its successor
//! has not. Later snapshots add what they changed. The table has eight bytes of the content's id, and
//! says in which snapshot and collection an item with which tag has it; who asks checks that.
//!
//! It lies in the local folder, is rebuilt when it is damaged or a snapshot it knows is gone, and takes
//! 24 bytes of disk per version of an item (of a file also those that the service kept), and no memory to speak of.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::table::{Builder, Row, Table};
#[cfg(test)]
use crate::repo::Repository;
use crate::repo::{ObjectId, Snapshot};
use crate::tree::entry::{Entry, EntryKind};
use crate::tree::map::{Map, MapRoot, Shape};
use crate::tree::state::{AccountState, Accounts};
use crate::tree::{Nodes, TreeError};

/// Beyond this the tables are merged into one.
const MAX_TABLES: usize = 8;

/// Why the catalogue could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The repository failed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The local disk failed.
    #[error("the table of contents in {}: {source}", dir.display())]
    Local {
        /// Its folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where an item with some content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Name of the snapshot.
    pub snapshot: String,
    /// Graph id of the account.
    pub account: String,
    /// Name of the workload.
    pub workload: String,
    /// Tag of the item.
    pub tag: u64,
}

/// What the tables' numbers mean; written after the tables.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Meaning {
    version: u32,
    /// Files, oldest first.
    tables: Vec<String>,
    /// Snapshots that are in them, oldest first.
    snapshots: Vec<String>,
    /// Account id and workload.
    collections: Vec<(String, String)>,
    /// Number of the next file.
    next: u64,
}

const VERSION: u32 = 2;
const MEANING: &str = "meaning.json";

/// The catalogue of one repository.
pub struct Catalogue {
    dir: PathBuf,
    meaning: Meaning,
    tables: Vec<Table>,
}

impl Catalogue {
    /// Opens the catalogue in `dir`, a folder of its own. What is damaged is as good as not there.
    pub fn open(dir: &Path) -> Result<Catalogue, CatalogueError> {
        let local = |source| CatalogueError::Local {
            dir: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(local)?;
        let meaning = fs::read(dir.join(MEANING))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Meaning>(&bytes).ok())
            .filter(|m| m.version == VERSION);
        let opened = meaning.and_then(|meaning| {
            let tables = meaning
                .tables
                .iter()
                .map(|name| Table::open(&dir.join(name)))
                .collect::<io::Result<_>>();
            Some((meaning, tables.ok()?))
        });
        let damaged = opened.is_none();
        let (meaning, tables) = opened.unwrap_or_default();
        let mut catalogue = Catalogue {
            dir: dir.to_owned(),
            meaning,
            tables,
        };
        if damaged {
            catalogue.clear()?;
        }
        Ok(catalogue)
    }

    /// Takes in the snapshots that are not in it yet. Costs what they changed; the first time, what there is.
    pub fn refresh(&mut self, nodes: &Nodes, snapshots: &[Snapshot]) -> Result<(), CatalogueError> {
        let known = &self.meaning.snapshots;
        let gone = known
            .iter()
            .any(|name| !snapshots.iter().any(|s| &s.name == name));
        // A snapshot that appeared before the newest one known: from another host, or put back.
        let late = known.last().is_some_and(|newest| {
            snapshots
                .iter()
                .any(|s| &s.name < newest && !known.contains(&s.name))
        });
        if gone || late {
            self.clear()?;
        }
        let new: Vec<&Snapshot> = snapshots
            .iter()
            .filter(|s| !self.meaning.snapshots.contains(&s.name))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let local = |source| CatalogueError::Local {
            dir: self.dir.clone(),
            source,
        };
        let first = self.meaning.snapshots.len();
        let name = format!("table{}", self.meaning.next);
        let mut filler = Filler {
            nodes,
            builder: Builder::new(&self.dir, &name),
            collections: index(&self.meaning.collections),
            dir: &self.dir,
        };
        let base = self.meaning.snapshots.last().cloned();
        if let Some(base) = base.and_then(|name| snapshots.iter().find(|s| s.name == name)) {
            // What each one has that the one before had not.
            let mut before = base;
            for (at, snapshot) in new.iter().enumerate() {
                filler.add(before, snapshot, (first + at) as u32)?;
                before = snapshot;
            }
        } else {
            // All of the newest; of each older one what the next newer one has not.
            let mut newer: Option<&Snapshot> = None;
            for (at, snapshot) in new.iter().enumerate().rev() {
                match newer {
                    None => filler.add_all(snapshot, at as u32)?,
                    Some(newer) => filler.add(newer, snapshot, at as u32)?,
                }
                newer = Some(snapshot);
            }
        }
        let Filler {
            builder,
            collections,
            ..
        } = filler;
        let table = builder.finish().map_err(local)?;
        self.meaning.version = VERSION;
        self.meaning.collections = list(collections);
        self.meaning
            .snapshots
            .extend(new.iter().map(|s| s.name.clone()));
        self.meaning.next += 1;
        if table.len() > 0 {
            self.meaning.tables.push(name);
            self.tables.push(table);
        }
        if self.tables.len() > MAX_TABLES {
            self.merge().map_err(|source| CatalogueError::Local {
                dir: self.dir.clone(),
                source,
            })?;
        }
        self.save()
    }

    fn merge(&mut self) -> io::Result<()> {
        let name = format!("table{}", self.meaning.next);
        self.meaning.next += 1;
        let mut builder = Builder::new(&self.dir, &name);
        for table in &self.tables {
            for row in table.rows()? {
                builder.push(row?)?;
            }
        }
        self.tables = vec![builder.finish()?];
        let old = std::mem::replace(&mut self.meaning.tables, vec![name]);
        for name in old {
            // A left-over costs disk until the next rebuild, nothing else.
            let _ = fs::remove_file(self.dir.join(name));
        }
        Ok(())
    }

    fn save(&self) -> Result<(), CatalogueError> {
        let write = || -> io::Result<()> {
            let aside = self.dir.join("meaning.new");
            fs::write(&aside, serde_json::to_vec(&self.meaning)?)?;
            fs::File::open(&aside)?.sync_all()?;
            fs::rename(&aside, self.dir.join(MEANING))
        };
        write().map_err(|source| CatalogueError::Local {
            dir: self.dir.clone(),
            source,
        })
    }

    fn clear(&mut self) -> Result<(), CatalogueError> {
        self.meaning = Meaning::default();
        self.tables.clear();
        let again = || {
            fs::remove_dir_all(&self.dir)?;
            fs::create_dir_all(&self.dir)
        };
        again().map_err(|source| CatalogueError::Local {
            dir: self.dir.clone(),
            source,
        })
    }

    /// Items that seem to have this content, those of the newest snapshots first.
    pub fn find(&self, object: &ObjectId) -> Result<Vec<Hit>, CatalogueError> {
        let mut rows = Vec::new();
        for table in &self.tables {
            let found = table.find(prefix(object));
            rows.extend(found.map_err(|source| CatalogueError::Local {
                dir: self.dir.clone(),
                source,
            })?);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.snapshot));
        let hit = |row: Row| {
            let (account, workload) = self.meaning.collections.get(row.collection as usize)?;
            Some(Hit {
                snapshot: self.meaning.snapshots.get(row.snapshot as usize)?.clone(),
                account: account.clone(),
                workload: workload.clone(),
                tag: row.tag,
            })
        };
        Ok(rows.into_iter().filter_map(hit).collect())
    }

    /// Makes the catalogue of a repository's snapshots as they are now.
    #[cfg(test)]
    pub fn of(repo: &Repository, nodes: &Nodes, dir: &Path) -> Result<Catalogue, CatalogueError> {
        let mut catalogue = Catalogue::open(dir)?;
        let snapshots = repo.snapshots().map_err(TreeError::from)?;
        catalogue.refresh(nodes, &snapshots)?;
        Ok(catalogue)
    }
}

fn prefix(object: &ObjectId) -> u64 {
    object.as_bytes()[..8]
        .iter()
        .fold(0, |n, b| n << 8 | u64::from(*b))
}

fn index(collections: &[(String, String)]) -> HashMap<(String, String), u32> {
    collections.iter().cloned().zip(0..).collect()
}

fn list(index: HashMap<(String, String), u32>) -> Vec<(String, String)> {
    let by_number: BTreeMap<u32, (String, String)> =
        index.into_iter().map(|(c, n)| (n, c)).collect();
    by_number.into_values().collect()
}

/// Reads snapshots into a table.
struct Filler<'a> {
    nodes: &'a Nodes,
    builder: Builder,
    collections: HashMap<(String, String), u32>,
    dir: &'a Path,
}

impl Filler<'_> {
    fn add_all(&mut self, snapshot: &Snapshot, number: u32) -> Result<(), CatalogueError> {
        for account in Accounts::new(self.nodes, snapshot.manifest.state).iter()? {
            let (id, account) = account?;
            self.account(&id, &AccountState::default(), &account, number)?;
        }
        Ok(())
    }

    /// What `snapshot` has and `other` has not.
    fn add(
        &mut self,
        other: &Snapshot,
        snapshot: &Snapshot,
        number: u32,
    ) -> Result<(), CatalogueError> {
        let map = |s: &Snapshot| Map::new(self.nodes, s.manifest.state, Shape::Hashed);
        let others = Accounts::new(self.nodes, other.manifest.state);
        let accounts = Accounts::new(self.nodes, snapshot.manifest.state);
        for change in map(other).diff(&map(snapshot))? {
            let change = change?;
            let Ok(id) = std::str::from_utf8(&change.key) else {
                continue;
            };
            let Some(account) = accounts.get(id)? else {
                continue;
            };
            self.account(id, &others.get(id)?.unwrap_or_default(), &account, number)?;
        }
        Ok(())
    }

    fn account(
        &mut self,
        id: &str,
        other: &AccountState,
        account: &AccountState,
        number: u32,
    ) -> Result<(), CatalogueError> {
        for (name, workload) in &account.workloads {
            let before = other.workloads.get(name).and_then(|w| w.collection.dir);
            let next = self.collections.len() as u32;
            let collection = *self
                .collections
                .entry((id.to_owned(), name.clone()))
                .or_insert(next);
            self.folder(before, workload.collection.dir, number, collection)?;
        }
        Ok(())
    }

    /// Adds what is below `root` and not below `other`. A stack of its own: folders can be deep.
    fn folder(
        &mut self,
        other: MapRoot,
        root: MapRoot,
        snapshot: u32,
        collection: u32,
    ) -> Result<(), CatalogueError> {
        let mut folders = vec![(other, root)];
        while let Some((other, root)) = folders.pop() {
            if other == root {
                continue;
            }
            let map = |root| Map::new(self.nodes, root, Shape::Directory);
            for change in map(other).diff(&map(root))? {
                let change = change?;
                let (Ok(name), Some(new)) = (std::str::from_utf8(&change.key), &change.new) else {
                    continue;
                };
                let entry = Entry::decode(name, new)?;
                match entry.kind {
                    EntryKind::Dir { root } => {
                        let old = change
                            .old
                            .as_ref()
                            .map(|old| Entry::decode(name, old))
                            .transpose()?;
                        folders.push((old.and_then(|old| old.dir_root()), root));
                    }
                    EntryKind::File { content, .. } if entry.record.is_some() => {
                        let row = Row {
                            key: prefix(&content.object),
                            tag: entry.tag,
                            snapshot,
                            collection,
                        };
                        self.push(row)?;
                        if entry.versions.is_some() {
                            let old = change.old.as_ref();
                            let old = old.map(|old| Entry::decode(name, old)).transpose()?;
                            let old = old.and_then(|old| old.versions);
                            self.versions(old, entry.versions, row)?;
                        }
                    }
                    EntryKind::File { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// Adds the older versions of a file that are below `root` and not below `other`; `file` is the row
    /// of the file.
    fn versions(&mut self, other: MapRoot, root: MapRoot, file: Row) -> Result<(), CatalogueError> {
        let map = |root| Map::new(self.nodes, root, Shape::Directory);
        for change in map(other).diff(&map(root))? {
            let change = change?;
            let (Ok(name), Some(new)) = (std::str::from_utf8(&change.key), &change.new) else {
                continue;
            };
            if let Some((content, _)) = Entry::decode(name, new)?.content() {
                let key = prefix(&content.object);
                self.push(Row { key, ..file })?;
            }
        }
        Ok(())
    }

    fn push(&mut self, row: Row) -> Result<(), CatalogueError> {
        self.builder
            .push(row)
            .map_err(|source| CatalogueError::Local {
                dir: self.dir.to_owned(),
                source,
            })
    }
}
