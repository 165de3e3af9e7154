//! What `tenantfs restore` reads: paths in snapshots, and local files and folders.

use std::fs;
use std::path::{Path, PathBuf};

use super::errno::{Code, RestoreError};
use crate::repo::{Repository, Snapshot};
use crate::tree::view::{Dir, resolve};
use crate::tree::{Entry, EntryKind, Nodes, TreeError};

/// Names read from a directory at a time.
const BATCH: usize = 256;
/// Deepest folder that is followed.
const MAX_DEPTH: usize = 300;

/// A place to restore from.
#[derive(Debug, Clone)]
// There are as many as a person types.
#[allow(clippy::large_enum_variant)]
pub enum Root {
    /// In a snapshot: account, workload folder, and so on.
    Snapshot {
        /// Which.
        snapshot: Snapshot,
        /// Below it, component by component; at least the account.
        path: Vec<String>,
        /// What is there.
        entry: Entry,
        /// Of a file, the older version that is meant: its time and entry.
        version: Option<(String, Entry)>,
    },
    /// On this machine.
    Local(PathBuf),
}

/// One thing found below a root.
#[derive(Debug, Clone)]
pub struct Found {
    /// Below the root: empty for the root itself.
    pub below: Vec<String>,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Bytes.
    pub size: u64,
    /// Unix seconds.
    pub mtime: i64,
    /// Where its bytes are.
    pub origin: From,
}

/// Where the bytes of a found item are.
#[derive(Debug, Clone)]
// Versions are few, and other items have an entry anyway.
#[allow(clippy::large_enum_variant)]
pub enum From {
    /// In the repository.
    Entry(Entry),
    /// In the repository: an older version of a file.
    Version {
        /// When it was made, as the mount names it.
        time: String,
        /// The file.
        file: Entry,
        /// The version.
        version: Entry,
    },
    /// On this machine.
    File(PathBuf),
}

impl Root {
    /// Finds what a person named: a path whose first part is a snapshot, its day, or `latest`; else a
    /// local file. `./latest` is always a local file.
    ///
    /// # Errors
    /// ENOENT that says what there is.
    pub fn find(repo: &Repository, nodes: &Nodes, source: &str) -> Result<Root, RestoreError> {
        let snapshots = repo.snapshots().map_err(|e| failed(&e.into()))?;
        let mut parts = source.split('/').filter(|p| !p.is_empty() && *p != ".");
        let named = match source {
            s if s.starts_with('/') || s.starts_with("./") || s.starts_with("../") => None,
            _ => parts
                .next()
                .and_then(|first| snapshot_named(&snapshots, first)),
        };
        let Some(snapshot) = named else {
            return match fs::symlink_metadata(source) {
                Ok(_) => Ok(Root::Local(PathBuf::from(source))),
                Err(_) => Err(no_such(source, &snapshots)),
            };
        };
        let path: Vec<String> = parts.map(str::to_owned).collect();
        if path.is_empty() {
            return Err(RestoreError::new(
                Code::Invalid,
                format!(
                    "{source} is a whole snapshot: name an account in it, such as {}/alice@contoso.com",
                    snapshot.name
                ),
            ));
        }
        if let [".tenantfs", "versions", below @ ..] =
            &path.iter().map(String::as_str).collect::<Vec<_>>()[..]
        {
            return Root::version(nodes, snapshot, source, below);
        }
        match resolve(nodes, snapshot.manifest.tree, &path.join("/")).map_err(|e| failed(&e))? {
            Some(entry) => Ok(Root::Snapshot {
                snapshot: snapshot.clone(),
                path,
                entry,
                version: None,
            }),
            None => Err(RestoreError::new(
                Code::NotFound,
                format!(
                    "there is no {} in snapshot {}",
                    path.join("/"),
                    snapshot.name
                ),
            )),
        }
    }

    /// The older version of a file at `FILE/TIME`, or `FILE/TIME/NAME` as the mount has it.
    fn version(
        nodes: &Nodes,
        snapshot: &Snapshot,
        source: &str,
        below: &[&str],
    ) -> Result<Root, RestoreError> {
        let [file @ .., name, time, last] = below else {
            return Err(no_version(source));
        };
        // The name again is what the mount has in the version's folder.
        let ways = [
            (name == last).then(|| ([file, &[*name]].concat(), *time)),
            Some(([file, &[*name, *time]].concat(), *last)),
        ];
        for (path, time) in ways.into_iter().flatten() {
            let found = resolve(nodes, snapshot.manifest.tree, &path.join("/"));
            let Some(entry) = found.map_err(|e| failed(&e))? else {
                continue;
            };
            let version = Dir::new(nodes, entry.versions).lookup(time);
            if let Some(version) = version.map_err(|e| failed(&e))? {
                return Ok(Root::Snapshot {
                    snapshot: snapshot.clone(),
                    path: path.iter().map(|name| (*name).to_owned()).collect(),
                    entry,
                    version: Some((time.to_owned(), version)),
                });
            }
        }
        Err(no_version(source))
    }

    /// Its own name.
    pub fn name(&self) -> String {
        match self {
            Root::Snapshot { path, .. } => path.last().cloned().unwrap_or_default(),
            Root::Local(path) => local_name(path),
        }
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        match self {
            Root::Snapshot { entry, .. } => entry.is_dir(),
            Root::Local(path) => path.is_dir(),
        }
    }

    /// Everything in it, itself first, a folder before what is in it, until `visit` breaks.
    ///
    /// # Errors
    /// When a directory can't be read: the repository's always, a local one's goes to `trouble`.
    pub fn walk(
        &self,
        nodes: &Nodes,
        visit: &mut dyn FnMut(Found) -> bool,
        trouble: &mut dyn FnMut(&Path, &str),
    ) -> Result<(), RestoreError> {
        match self {
            Root::Snapshot {
                entry,
                version: Some((time, version)),
                ..
            } => {
                visit(Found {
                    below: Vec::new(),
                    is_dir: false,
                    size: version.content().map_or(0, |(_, size)| size),
                    mtime: version.mtime,
                    origin: From::Version {
                        time: time.clone(),
                        file: *entry,
                        version: *version,
                    },
                });
                Ok(())
            }
            Root::Snapshot { entry, .. } => walk_entry(nodes, Vec::new(), *entry, visit)
                .map_err(|e| failed(&e))
                .map(drop),
            Root::Local(path) => {
                walk_local(Vec::new(), path, visit, trouble);
                Ok(())
            }
        }
    }
}

/// The snapshot of that name: `latest`, a day (its last one), or its own.
pub fn snapshot_named<'a>(snapshots: &'a [Snapshot], name: &str) -> Option<&'a Snapshot> {
    let mut complete = snapshots.iter().rev().filter(|s| s.manifest.complete);
    let is_day = name.len() == 10 && name.as_bytes()[4] == b'-';
    match name {
        "latest" => complete.next(),
        day if is_day => complete.find(|s| s.name.starts_with(day)),
        name => snapshots.iter().find(|s| s.name == name),
    }
}

fn no_such(source: &str, snapshots: &[Snapshot]) -> RestoreError {
    let newest = snapshots
        .iter()
        .rev()
        .filter(|s| s.manifest.complete)
        .take(5);
    let names: Vec<&str> = newest.map(|s| s.name.as_str()).collect();
    let there = if names.is_empty() {
        "there is no complete snapshot yet".to_owned()
    } else {
        format!("the newest snapshots are {}", names.join(", "))
    };
    RestoreError::new(
        Code::NotFound,
        format!(
            "{source} is neither a path in a snapshot (latest/alice@contoso.com/Mail/...) nor a local file; {there}"
        ),
    )
}

fn no_version(source: &str) -> RestoreError {
    RestoreError::new(
        Code::NotFound,
        format!(
            "{source} is no version of a file: name one as the mount does, \
             SNAPSHOT/.tenantfs/versions/ACCOUNT/OneDrive/FILE/TIME"
        ),
    )
}

fn walk_entry(
    nodes: &Nodes,
    below: Vec<String>,
    entry: Entry,
    visit: &mut dyn FnMut(Found) -> bool,
) -> Result<bool, TreeError> {
    let (is_dir, size) = match entry.kind {
        EntryKind::Dir { .. } => (true, 0),
        EntryKind::File { size, .. } => (false, size),
    };
    let found = Found {
        below: below.clone(),
        is_dir,
        size,
        mtime: entry.mtime,
        origin: From::Entry(entry),
    };
    if !visit(found) {
        return Ok(false);
    }
    let Some(dir) = Dir::enter(nodes, &entry) else {
        return Ok(true);
    };
    if below.len() >= MAX_DEPTH {
        return Ok(true);
    }
    let mut position = 0;
    loop {
        let batch = dir.list(position, BATCH)?;
        if batch.is_empty() {
            return Ok(true);
        }
        position += batch.len() as u64;
        for (name, entry) in batch {
            let mut path = below.clone();
            path.push(name.into_string());
            if !walk_entry(nodes, path, entry, visit)? {
                return Ok(false);
            }
        }
    }
}

fn walk_local(
    below: Vec<String>,
    path: &Path,
    visit: &mut dyn FnMut(Found) -> bool,
    trouble: &mut dyn FnMut(&Path, &str),
) -> bool {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) => {
            trouble(path, &e.to_string());
            return true;
        }
    };
    if !meta.is_dir() && !meta.is_file() {
        trouble(path, "neither a file nor a folder (links are not followed)");
        return true;
    }
    let mtime = meta
        .modified()
        .ok()
        .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |d| d.as_secs() as i64);
    let found = Found {
        below: below.clone(),
        is_dir: meta.is_dir(),
        size: if meta.is_dir() { 0 } else { meta.len() },
        mtime,
        origin: From::File(path.to_owned()),
    };
    if !visit(found) {
        return false;
    }
    if !meta.is_dir() || below.len() >= MAX_DEPTH {
        return true;
    }
    let mut names = match fs::read_dir(path) {
        Ok(dir) => dir
            .filter_map(Result::ok)
            .map(|e| e.file_name())
            .collect::<Vec<_>>(),
        Err(e) => {
            trouble(path, &e.to_string());
            return true;
        }
    };
    names.sort();
    for name in names {
        let at = path.join(&name);
        let Some(name) = name.to_str() else {
            trouble(&at, "its name is not UTF-8");
            continue;
        };
        let mut below = below.clone();
        below.push(name.to_owned());
        if !walk_local(below, &at, visit, trouble) {
            return false;
        }
    }
    true
}

fn local_name(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
    // `.` and `..` have no name of their own.
    name.or_else(|| {
        let whole = path.canonicalize().ok()?;
        whole.file_name().map(|n| n.to_string_lossy().into_owned())
    })
    .unwrap_or_default()
}

pub(super) fn failed(e: &TreeError) -> RestoreError {
    RestoreError::new(Code::Io, e.to_string())
}
