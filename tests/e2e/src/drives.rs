//! What is in a drive, as a client sees it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::corpus;
use crate::graph::Graph;

/// All files of a drive by their path in it, as Graph tells them.
pub fn files(graph: &Graph, drive: &str) -> Result<BTreeMap<PathBuf, Value>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![("root".to_owned(), PathBuf::new())];
    while let Some((id, path)) = folders.pop() {
        for item in graph.list(&format!("/drives/{drive}/items/{id}/children"))? {
            let here = path.join(item["name"].as_str().context("no name")?);
            let id = item["id"].as_str().context("no id")?;
            if item["folder"].is_object() {
                folders.push((id.to_owned(), here));
            } else if item["file"].is_object() {
                files.insert(here, item);
            }
        }
    }
    Ok(files)
}

/// The content of a file.
pub fn content(graph: &Graph, drive: &str, item: &Value) -> Result<Vec<u8>> {
    let id = item["id"].as_str().context("no id")?;
    graph.bytes(&format!("/drives/{drive}/items/{id}/content"))
}

/// When a file was changed last, as its owner sees it. Unix seconds.
pub fn modified(item: &Value) -> Result<i64> {
    let time = item["fileSystemInfo"]["lastModifiedDateTime"].as_str();
    let time = time.context("no time")?;
    let output = std::process::Command::new("date")
        .args(["-u", "+%s", "-d", time])
        .output()?;
    Ok(crate::text(&output.stdout).trim().parse()?)
}

/// Holds a folder against a drive: the same files, bytes, sizes and times, and no others. Returns how
/// many files that were.
pub fn compare(graph: &Graph, drive: &str, folder: &Path) -> Result<usize> {
    let live = files(graph, drive)?;
    for (path, item) in &live {
        let here = folder.join(path);
        let bytes = content(graph, drive, item)?;
        let shown = std::fs::read(&here).with_context(|| here.display().to_string())?;
        ensure!(shown == bytes, "{} differs", here.display());
        let meta = std::fs::metadata(&here)?;
        ensure!(
            meta.len() == bytes.len() as u64,
            "size of {}",
            here.display()
        );
        let time = meta.modified()?.duration_since(UNIX_EPOCH)?.as_secs() as i64;
        ensure!(modified(item)? == time, "time of {}", here.display());
    }
    let shown = match folder.is_dir() {
        true => corpus::files(folder).len(),
        false => 0,
    };
    ensure!(
        shown == live.len(),
        "{}: {} files in the drive, {shown} here",
        folder.display(),
        live.len()
    );
    Ok(shown)
}
