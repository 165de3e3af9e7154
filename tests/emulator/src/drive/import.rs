//! Folders of real files into drives: the paths below the folder, the bytes as they are on disk, the times.
//!
//! The first folder goes into the first drive, the second into the second, and round again. Bytes are read
//! when they are asked for. A name that the service would refuse is left out, with a warning.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;

use crate::clock::Clock;

use super::content::Content;
use super::item::{Actor, Index, ROOT};
use super::store::{Conflict, Drive, Place, Stamp, Times};

pub fn all(directories: &[PathBuf], drives: &mut [Drive], clock: &Clock) -> anyhow::Result<()> {
    if drives.is_empty() {
        return Ok(());
    }
    let count = drives.len();
    for (i, directory) in directories.iter().enumerate() {
        let drive = &mut drives[i % count];
        let stamp = Stamp {
            now: clock.now(),
            by: Actor::Owner,
        };
        into_drive(directory, drive, &stamp)?;
    }
    Ok(())
}

/// Puts what is in a folder of this machine into the root of a drive.
pub fn into_drive(directory: &Path, drive: &mut Drive, stamp: &Stamp) -> anyhow::Result<()> {
    folder(directory, drive, ROOT, stamp)
        .with_context(|| format!("importing files from {}", directory.display()))
}

fn folder(directory: &Path, drive: &mut Drive, parent: Index, stamp: &Stamp) -> anyhow::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    // Same folder, same ids, on every file system.
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            tracing::warn!("not imported, the name is no UTF-8: {}", path.display());
            continue;
        };
        // Follows links: a tree of links is as good as a tree.
        let Ok(meta) = fs::metadata(&path) else {
            tracing::warn!("not imported, can't be read: {}", path.display());
            continue;
        };
        let conflict = if meta.is_dir() {
            Conflict::Replace
        } else {
            Conflict::Rename
        };
        let place = match drive.place(parent, name, meta.is_dir(), conflict, None) {
            Ok(place) => place,
            Err(failure) => {
                tracing::warn!("not imported, {}: {}", failure.message, path.display());
                continue;
            }
        };
        let modified = meta
            .modified()
            .ok()
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
            .map(|d| d.as_secs() as i64);
        let times = Times {
            created: modified,
            modified,
        };
        match place {
            Place::Existing(index) => folder(&path, drive, index, stamp)?,
            Place::New(name) if meta.is_dir() => {
                let index = drive.add_folder(parent, name, times, stamp);
                folder(&path, drive, index, stamp)?;
            }
            Place::New(name) if meta.is_file() => {
                drive.add_file(parent, name, Content::disk(path, meta.len()), times, stamp);
            }
            Place::New(_) => {}
        }
    }
    Ok(())
}
