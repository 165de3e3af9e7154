//! Puts folders of ordinary files into a repository, without Graph.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
pub use fixtures::corpus::files;
use tenantfs::repo::content::Writer as ContentWriter;
use tenantfs::repo::{InitOptions, Location, Repository, SnapshotManifest, Writer};
use tenantfs::sync::put_mail;
use tenantfs::tree::collection::CollectionRoot;
use tenantfs::tree::state::{AccountState, Accounts, WorkloadState};
use tenantfs::tree::{Editor, Entry, ItemKey, Nodes};

/// The one account that everything belongs to.
const ACCOUNT: &str = "bench";
const WORKLOAD: &str = "drive";

/// A new repository in `dir`.
pub fn repository(dir: &Path) -> Result<Repository> {
    let options = InitOptions {
        local: Some(dir.join("state")),
        ..InitOptions::default()
    };
    let location = Location::Local(dir.join("repository"));
    Ok(Repository::init(
        &location,
        &"bench".to_owned().into(),
        &options,
    )?)
}

/// The repository that is in `dir`, as another process sees it.
pub fn open(dir: &Path) -> Result<Repository> {
    let location = Location::Local(dir.join("repository"));
    let password = "bench".to_owned().into();
    Ok(Repository::open(&location, &password, &dir.join("state"))?)
}

/// Stores every file below `dir` by as many threads as there are cores, and commits a snapshot
/// with the same tree. Goes on from the newest snapshot: what has the time and size that it has there is
/// not read again.
pub fn ingest(repository: &Repository, dir: &Path) -> Result<()> {
    let writer = repository.writer()?;
    let nodes = Nodes::new(repository);
    let mut editor = Editor::new(&nodes, newest(repository, &nodes)?);
    let mut files = files(dir);
    let mut known = Vec::with_capacity(files.len());
    for path in &files {
        known.push(is_known(repository, &mut editor, dir, path)?);
    }
    let mut known = known.into_iter();
    files.retain(|_| !known.next().unwrap_or_default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let share = files.len().div_ceil(threads).max(1);
    let stored: Vec<Result<Vec<(PathBuf, Entry)>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = files
            .chunks(share)
            .map(|files| scope.spawn(|| store(&writer, files)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker panicked"))
            .collect()
    });
    for (path, entry) in stored
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
    {
        place(repository, &mut editor, path.strip_prefix(dir)?, entry)?;
    }
    commit(&writer, &mut editor)?;
    Ok(())
}

fn store(writer: &Writer, files: &[PathBuf]) -> Result<Vec<(PathBuf, Entry)>> {
    let mut stream = writer.stream();
    let mut stored = Vec::with_capacity(files.len());
    for path in files {
        let bytes = std::fs::read(path)?;
        let (content, size) = if path.extension().is_some_and(|e| e == "eml") {
            put_mail(&mut stream, &bytes)?
        } else {
            let mut content = ContentWriter::new(&mut stream);
            content.write(&bytes)?;
            content.finish()?
        };
        let entry = Entry::file(content, size, mtime(path)?, None);
        stored.push((path.clone(), entry));
    }
    Ok(stored)
}

fn mtime(path: &Path) -> Result<i64> {
    let modified = path.metadata()?.modified()?;
    Ok(i64::try_from(
        modified.duration_since(UNIX_EPOCH)?.as_secs(),
    )?)
}

/// What the newest snapshot that [`commit`] made has; nothing before the first.
pub fn newest(repository: &Repository, nodes: &Nodes) -> Result<CollectionRoot> {
    let snapshots = repository.snapshots()?;
    let Some(last) = snapshots.last() else {
        return Ok(CollectionRoot::default());
    };
    let account = Accounts::new(nodes, last.manifest.state).get(ACCOUNT)?;
    let workload = account.as_ref().and_then(|a| a.workloads.get(WORKLOAD));
    Ok(workload.map_or_else(CollectionRoot::default, |w| w.collection))
}

/// Whether a file was captured as it is now.
fn is_known(repository: &Repository, editor: &mut Editor, dir: &Path, path: &Path) -> Result<bool> {
    let key = ItemKey::of(repository, &path.strip_prefix(dir)?.to_string_lossy());
    let Some(item) = editor.get(&key)? else {
        return Ok(false);
    };
    let size = item.entry.content().map(|(_, size)| size);
    Ok(item.entry.mtime == mtime(path)? && size == Some(path.metadata()?.len()))
}

/// Puts an entry at `path`, making the folders on the way.
pub fn place(
    repository: &Repository,
    editor: &mut Editor,
    path: &Path,
    entry: Entry,
) -> Result<()> {
    let mut parent = ItemKey::ROOT;
    let mut so_far = PathBuf::new();
    let names: Vec<_> = path
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let Some((name, folders)) = names.split_last() else {
        return Ok(());
    };
    for folder in folders {
        so_far.push(folder);
        let key = ItemKey::of(repository, &so_far.to_string_lossy());
        if editor.get(&key)?.is_none() {
            editor.upsert_dir(key, parent, folder, 1_700_000_000, None)?;
        }
        parent = key;
    }
    let key = ItemKey::of(repository, &path.to_string_lossy());
    editor.upsert_file(key, parent, name, entry)?;
    Ok(())
}

/// Commits what the editor has as a snapshot; returns its roots.
pub fn commit(writer: &Writer, editor: &mut Editor) -> Result<CollectionRoot> {
    editor.finish_round()?;
    let mut stream = writer.stream();
    let root = editor.checkpoint(&mut stream)?;
    let workload = WorkloadState {
        folder: WORKLOAD.into(),
        collection: root,
        ..WorkloadState::default()
    };
    let account = AccountState {
        upn: ACCOUNT.into(),
        folder: ACCOUNT.into(),
        workloads: BTreeMap::from([(WORKLOAD.into(), workload)]),
        ..AccountState::default()
    };
    let nodes = Nodes::new(&writer.repository());
    let accounts = BTreeMap::from([(ACCOUNT.to_owned(), Some(account))]);
    let state = Accounts::new(&nodes, None).set(&mut stream, &accounts)?;
    drop(stream);
    writer.commit(SnapshotManifest {
        time: i64::try_from(
            std::time::SystemTime::now()
                .duration_since(UNIX_EPOCH)?
                .as_secs(),
        )?,
        host: "bench".into(),
        complete: true,
        tree: root.dir,
        state: state.root(),
        ..SnapshotManifest::default()
    })?;
    Ok(root)
}

/// Bytes of all files below `dir`.
pub fn bytes_below(dir: &Path) -> Result<u64> {
    files(dir)
        .iter()
        .map(|file| Ok(file.metadata()?.len()))
        .sum()
}
