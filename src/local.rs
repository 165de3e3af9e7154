//! The small things that change on this host: how far each restore is, cursors
//! that no snapshot has yet, counters.
//!
//! Invariants:
//! - **Rebuildable.** Deleting the folder loses nothing: what is in here is either found again from
//!   its source (a spooled restore is a self-describing file, a cursor is in the last snapshot) or is
//!   worth nothing after a restart. Whoever uses a table reconciles it with that source at start.
//! - **Never in the way.** A database that does not open, or panics while being read, is moved aside
//!   and an empty one takes its place ([`LocalState::was_rebuilt`] says so).
//! - **Bounded.** Small cache, batches of at most 100 entries (sled keeps about 3.4 KB of memory per
//!   entry of a batch, whatever its cache limit), values of at most 4 KiB.
//! - **Durable on demand.** A write survives `kill -9` once [`LocalState::flush`] returned.
//!
//! One process holds the folder at a time; a lock file, which the kernel frees when the process dies,
//! says who. That another process has it is not damage, and never leads to a rebuild.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::lockfile::LockFile;

/// Page cache of the database, bytes.
const CACHE: u64 = 8 << 20;
/// Most entries sled gets in one batch.
const BATCH: usize = 100;
/// Longest value, bytes: more belongs into a file of its own.
pub const MAX_VALUE: usize = 4096;
/// Written once; another number means a layout this version does not know.
const LAYOUT: &[u8] = b"1";

/// Why the local state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Another process has the folder open.
    #[error(
        "the local state in {} is in use by another tenantfs process; stop it, or give this one a folder of its own",
        dir.display()
    )]
    Busy {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder itself cannot be used.
    #[error("cannot use the folder {} for local state: {source}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database failed while it was in use. The next start rebuilds it.
    #[error("the local state failed ({reason}); restart to have it rebuilt")]
    Failed {
        /// What the database said.
        reason: String,
    },
    /// A value is larger than [`MAX_VALUE`].
    #[error("a value of {size} bytes is too large for the local state (at most {MAX_VALUE})")]
    TooLarge {
        /// Its size, bytes.
        size: usize,
    },
}

/// The tables there are. A name is also the name of the tree on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Restore: push id -> how far it is.
    Journal,
    /// Cursors seen since the last commit.
    Cursors,
    /// Named numbers that only grow.
    Counters,
    /// When which pack was read last, and what was found.
    Scrub,
}

impl Table {
    fn tree(self) -> &'static str {
        match self {
            Table::Journal => "journal",
            Table::Cursors => "cursors",
            Table::Counters => "counters",
            Table::Scrub => "scrub",
        }
    }

    const ALL: [Table; 4] = [
        Table::Journal,
        Table::Cursors,
        Table::Counters,
        Table::Scrub,
    ];
}

/// The local state of one host. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct LocalState {
    inner: Arc<Inner>,
}

struct Inner {
    // Fields drop in order: the database closes before the lock goes.
    trees: [sled::Tree; 4],
    db: sled::Db,
    rebuilt: bool,
    _lock: LockFile,
}

impl LocalState {
    /// Opens the state in `dir`, which is made if it is not there. A damaged database is moved to
    /// `<dir>/db.broken` and an empty one is started, with a warning in the log.
    ///
    /// Blocking; reads everything that is in the database once, to find damage now and not later.
    pub fn open(dir: &Path) -> Result<LocalState, LocalError> {
        let folder = |source| LocalError::Folder {
            dir: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(folder)?;
        let lock = LockFile::take(&dir.join("lock")).map_err(folder)?;
        let lock = lock.ok_or_else(|| LocalError::Busy {
            dir: dir.to_owned(),
        })?;
        let db_dir = dir.join("db");
        match open_checked(&db_dir) {
            Ok((db, trees)) => Ok(LocalState {
                inner: Arc::new(Inner {
                    trees,
                    db,
                    rebuilt: false,
                    _lock: lock,
                }),
            }),
            Err(reason) => {
                let aside = dir.join("db.broken");
                tracing::warn!(
                    folder = %db_dir.display(), moved_to = %aside.display(), %reason,
                    "the local state is damaged; it is moved aside and rebuilt"
                );
                // Only the last damaged one is kept: it is for looking at, and never read again.
                match fs::symlink_metadata(&aside) {
                    Ok(old) if old.is_dir() => fs::remove_dir_all(&aside).map_err(folder)?,
                    Ok(_) => fs::remove_file(&aside).map_err(folder)?,
                    Err(_) => {}
                }
                fs::rename(&db_dir, &aside).map_err(folder)?;
                let (db, trees) =
                    open_checked(&db_dir).map_err(|reason| LocalError::Failed { reason })?;
                Ok(LocalState {
                    inner: Arc::new(Inner {
                        trees,
                        db,
                        rebuilt: true,
                        _lock: lock,
                    }),
                })
            }
        }
    }

    /// Whether opening found damage and started afresh.
    pub fn was_rebuilt(&self) -> bool {
        self.inner.rebuilt
    }

    /// The value at `key`.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LocalError> {
        self.run(table, |tree| Ok(tree.get(key)?.map(|v| v.to_vec())))
    }

    /// Writes a value.
    pub fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), LocalError> {
        check_size(value)?;
        self.run(table, |tree| tree.insert(key, value).map(drop))
    }

    /// Removes a value; none is fine.
    pub fn remove(&self, table: Table, key: &[u8]) -> Result<(), LocalError> {
        self.run(table, |tree| tree.remove(key).map(drop))
    }

    /// The value at `key` as JSON. One that does not parse counts as none: it is rebuilt.
    pub fn get_json<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, LocalError> {
        Ok(self
            .get(table, key)?
            .and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Writes a value as JSON.
    pub fn put_json<T: Serialize>(
        &self,
        table: Table,
        key: &[u8],
        value: &T,
    ) -> Result<(), LocalError> {
        let bytes = serde_json::to_vec(value).map_err(|e| LocalError::Failed {
            reason: format!("cannot write as JSON: {e}"),
        })?;
        self.put(table, key, &bytes)
    }

    /// Applies many edits (`None` removes), in batches that keep within the memory limit. Not atomic.
    pub fn apply(
        &self,
        table: Table,
        edits: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<(), LocalError> {
        let mut edits = edits.into_iter().peekable();
        while edits.peek().is_some() {
            let mut batch = sled::Batch::default();
            for (key, value) in edits.by_ref().take(BATCH) {
                match value {
                    Some(value) => {
                        check_size(&value)?;
                        batch.insert(key, value);
                    }
                    None => batch.remove(key),
                }
            }
            self.run(table, |tree| tree.apply_batch(batch))?;
        }
        Ok(())
    }

    /// Every entry of a table, in key order. For tables that are small by nature.
    pub fn all(&self, table: Table) -> Result<Vec<(Vec<u8>, Vec<u8>)>, LocalError> {
        self.run(table, |tree| {
            tree.iter()
                .map(|kv| kv.map(|(k, v)| (k.to_vec(), v.to_vec())))
                .collect()
        })
    }

    /// Empties a table.
    pub fn clear(&self, table: Table) -> Result<(), LocalError> {
        self.run(table, |tree| tree.clear())
    }

    /// Adds `by` to a counter and returns the new number.
    pub fn count(&self, name: &str, by: u64) -> Result<u64, LocalError> {
        let add = |old: Option<&[u8]>| number(old).saturating_add(by).to_be_bytes().to_vec();
        self.run(Table::Counters, |tree| {
            let new = tree.update_and_fetch(name, |old| Some(add(old)))?;
            Ok(number(new.as_deref()))
        })
    }

    /// All counters by name.
    pub fn counters(&self) -> Result<Vec<(String, u64)>, LocalError> {
        Ok(self
            .all(Table::Counters)?
            .into_iter()
            .map(|(k, v)| (String::from_utf8_lossy(&k).into_owned(), number(Some(&v))))
            .collect())
    }

    /// Makes everything written so far durable. Blocking (fdatasync).
    pub fn flush(&self) -> Result<(), LocalError> {
        guard(|| self.inner.db.flush().map(drop))
    }

    fn run<T>(
        &self,
        table: Table,
        op: impl FnOnce(&sled::Tree) -> Result<T, sled::Error>,
    ) -> Result<T, LocalError> {
        guard(|| op(&self.inner.trees[table as usize]))
    }
}

fn number(bytes: Option<&[u8]>) -> u64 {
    bytes
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

fn check_size(value: &[u8]) -> Result<(), LocalError> {
    if value.len() > MAX_VALUE {
        return Err(LocalError::TooLarge { size: value.len() });
    }
    Ok(())
}

/// sled reports some damage by panicking: that must not take the daemon with it.
fn guard<T>(op: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, LocalError> {
    match catch_unwind(AssertUnwindSafe(op)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(LocalError::Failed {
            reason: e.to_string(),
        }),
        Err(panic) => Err(LocalError::Failed {
            reason: panic_text(&*panic),
        }),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked");
    // Panic messages of a database can quote pages of it.
    text.chars().take(300).collect()
}

/// Opens the database and reads all of it. The error is a reason for people.
fn open_checked(dir: &Path) -> Result<(sled::Db, [sled::Tree; 4]), String> {
    guard(|| {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(Some(500))
            .open()?;
        match db.insert("layout", LAYOUT)? {
            Some(old) if *old != *LAYOUT => {
                return Err(sled::Error::Unsupported(format!(
                    "layout {:?} is not known here",
                    String::from_utf8_lossy(&old)
                )));
            }
            _ => {}
        }
        let mut trees = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            let tree = db.open_tree(table.tree())?;
            for entry in tree.iter() {
                entry?;
            }
            trees.push(tree);
        }
        let trees = trees
            .try_into()
            .map_err(|_| sled::Error::Unsupported("a table is missing".to_owned()))?;
        Ok((db, trees))
    })
    .map_err(|e| match e {
        LocalError::Failed { reason } => reason,
        other => other.to_string(),
    })
}

/// Seconds since 1970. A clock before that counts as 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        {
            let state = LocalState::open(dir.path()).unwrap();
            state.put(Table::Journal, b"a", b"1").unwrap();
            state
                .apply(
                    Table::Cursors,
                    (0..1000u32).map(|i| (i.to_be_bytes().to_vec(), Some(vec![7; 10]))),
                )
                .unwrap();
            assert_eq!(state.count("restored", 2).unwrap(), 2);
            assert_eq!(state.count("restored", 3).unwrap(), 5);
            state.flush().unwrap();
        }
        let state = LocalState::open(dir.path()).unwrap();
        assert!(!state.was_rebuilt());
        assert_eq!(state.get(Table::Journal, b"a").unwrap().unwrap(), b"1");
        assert_eq!(state.all(Table::Cursors).unwrap().len(), 1000);
        assert_eq!(state.counters().unwrap(), [("restored".to_owned(), 5)]);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let _state = LocalState::open(dir.path()).unwrap();
        assert!(matches!(
            LocalState::open(dir.path()),
            Err(LocalError::Busy { .. })
        ));
    }

    #[test]
    fn refuses_large_values() {
        let dir = tempfile::tempdir().unwrap();
        let state = LocalState::open(dir.path()).unwrap();
        assert!(matches!(
            state.put(Table::Journal, b"a", &[0; MAX_VALUE + 1]),
            Err(LocalError::TooLarge { .. })
        ));
    }

    /// Every kind of damage ends in a working state: the same one, or a fresh one that says so.
    #[test]
    fn damaged_databases_are_rebuilt() {
        let damage: [(&str, fn(&Path)); 4] = [
            ("overwritten", |db| {
                for file in files(db) {
                    let len = fs::metadata(&file).unwrap().len() as usize;
                    fs::write(&file, vec![0xa5; len.max(512)]).unwrap();
                }
            }),
            ("cut", |db| {
                for file in files(db) {
                    let len = fs::metadata(&file).unwrap().len();
                    fs::File::options()
                        .write(true)
                        .open(&file)
                        .unwrap()
                        .set_len(len / 2)
                        .unwrap();
                }
            }),
            ("replaced by a file", |db| {
                fs::remove_dir_all(db).unwrap();
                fs::write(db, b"not a database").unwrap();
            }),
            ("its data zeroed", |db| {
                let file = db.join("db");
                let len = fs::metadata(&file).unwrap().len() as usize;
                fs::write(&file, vec![0; len]).unwrap();
            }),
        ];
        for (name, damage) in damage {
            let dir = tempfile::tempdir().unwrap();
            {
                let state = LocalState::open(dir.path()).unwrap();
                for i in 0..500u32 {
                    state
                        .put(Table::Journal, &i.to_be_bytes(), &[1; 300])
                        .unwrap();
                }
                state.flush().unwrap();
            }
            damage(&dir.path().join("db"));
            let state = LocalState::open(dir.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
            let kept = state.all(Table::Journal).unwrap().len();
            assert!(state.was_rebuilt() || kept <= 500, "{name}");
            state.put(Table::Journal, b"new", b"1").unwrap();
            state.flush().unwrap();
            drop(state);
            let state = LocalState::open(dir.path()).unwrap();
            assert_eq!(
                state.get(Table::Journal, b"new").unwrap().unwrap(),
                b"1",
                "{name}"
            );
        }
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut out = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                out.extend(files(&path));
            } else {
                out.push(path);
            }
        }
        out
    }
}
