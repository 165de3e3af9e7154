//! Puts folders of ordinary files into a repository, without Graph.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
pub use fixtures::corpus::files;
use tenantfs::repo::content::Writer as ContentWriter;
use tenantfs::repo::{InitOptions, Location, Repository, SnapshotManifest, Writer};
use tenantfs::sync::put_mail;
use tenantfs::tree::collection::CollectionRoot;
use tenantfs::tree::{Editor, Entry, ItemKey, Nodes};

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

/// Stores every file below `dir` by as many threads as there are cores, and commits a snapshot
/// with the same tree.
pub fn ingest(repository: &Repository, dir: &Path) -> Result<()> {
    let writer = repository.writer()?;
    let nodes = Nodes::new(repository);
    let files = files(dir);
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
    let mut editor = Editor::new(&nodes, CollectionRoot::default());
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
        let mtime = path
            .metadata()?
            .modified()?
            .duration_since(UNIX_EPOCH)?
            .as_secs() as i64;
        stored.push((path.clone(), Entry::file(content, size, mtime, None)));
    }
    Ok(stored)
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
    drop(stream);
    writer.commit(SnapshotManifest {
        time: std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)?
            .as_secs() as i64,
        host: "bench".into(),
        complete: true,
        tree: root.dir,
        // The ids are part of what a snapshot costs.
        state: root.ids,
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
