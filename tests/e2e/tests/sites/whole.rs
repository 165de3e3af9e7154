//! The whole way round, on real files: spread over OneDrives and libraries, some of them shared; captured;
//! everything deleted; given back by rsync; captured again. Bytes, times and permissions are as they were.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::graph::encoded;
use e2e::shell::{quote, sh};
use e2e::{corpus, drives};
use serde_json::json;

use super::scene::Scene;
use super::sharing::{access, at, invite, link};

const CONFIG: &str = "[protect]\nworkloads = [\"drive\", \"libraries\"]\n";
/// One file in so many is shared.
const SHARED: usize = 20;

/// A drive, and where the mount has it below a snapshot.
struct Place {
    drive: String,
    path: String,
}

#[test]
fn real_files_in_drives_and_libraries_make_the_whole_way_round() -> Result<()> {
    let Some(source) = corpus::folder("files") else {
        return Ok(());
    };
    // Half of the files are in OneDrives from the start, with times of their own.
    let parts = tempfile::tempdir()?;
    let mut spread: [Vec<PathBuf>; 4] = Default::default();
    for (number, file) in corpus::files(&source).iter().enumerate() {
        spread[number % 4].push(file.strip_prefix(&source)?.to_owned());
    }
    let mut options = Vec::new();
    for (number, files) in spread[..2].iter().enumerate() {
        let part = parts.path().join(number.to_string());
        for file in files {
            copy(&source.join(file), &part.join(file))?;
        }
        options.push(part);
    }
    let scene = Scene::with(CONFIG, |o| {
        (o.accounts, o.messages, o.files, o.site_files) = (3, 0, 0, 0);
        o.import_files = options;
    })?;
    let graph = &scene.tenant.graph;
    let people = graph.mailboxes()?;
    let place = |drive: String, path: String| Place { drive, path };
    let places = [
        place(
            scene.onedrive(&people[0])?,
            format!("{}/OneDrive", people[0]),
        ),
        place(
            scene.onedrive(&people[1])?,
            format!("{}/OneDrive", people[1]),
        ),
        place(
            scene.drive("/sites/Finance", "Documents")?,
            "Sites/Finance/Libraries/Documents".to_owned(),
        ),
        place(
            scene.drive("/sites/Marketing", "Documents")?,
            "Sites/Marketing/Libraries/Documents".to_owned(),
        ),
    ];
    // The other half comes into the libraries as an application brings it.
    for (place, files) in places[2..].iter().zip(&spread[2..]) {
        for file in files {
            let at = format!("/drives/{}/root:/{}:/content", place.drive, encode(file)?);
            graph.put(&at, fs::read(source.join(file))?)?;
        }
    }
    let mut shared = BTreeMap::new();
    for (number, place) in places.iter().enumerate() {
        let live = drives::files(graph, &place.drive)?;
        ensure!(
            live.len() >= spread[number].len(),
            "{}: {} files",
            place.path,
            live.len()
        );
        for path in live.keys().step_by(SHARED) {
            let item = at(graph, &place.drive, &encode(path)?)?;
            invite(graph, &item, &people[2], "write")?;
            link(
                graph,
                &item,
                json!({ "type": "view", "scope": "organization" }),
            )?;
            shared.insert((number, path.clone()), access(graph, &item)?);
        }
    }
    ensure!(shared.len() > 20, "only {} are shared", shared.len());

    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    for place in &places {
        let files = drives::compare(graph, &place.drive, &first.join(&place.path))?;
        ensure!(files > 0, "{} is empty", place.path);
        scene.empty(&place.drive)?;
    }
    for place in &places {
        let from = format!("{}/", first.join(&place.path).display());
        let to = format!("restore/{}/", place.path);
        let command = format!(
            "rsync -a --ignore-existing {} '{to}'",
            quote(Path::new(&from))
        );
        let (_, said) = sh(&mount.dir, &command)?;
        let bad = said.lines().filter(|line| line.contains("failed"));
        // Owners and modes of a file mean nothing to SharePoint.
        let bad: Vec<_> = bad
            .filter(|line| !line.contains("chown") && !line.contains("chgrp"))
            .collect();
        ensure!(bad.is_empty(), "{said}");
        drives::compare(graph, &place.drive, &first.join(&place.path))?;
    }
    for ((number, path), before) in &shared {
        let now = access(graph, &at(graph, &places[*number].drive, &encode(path)?)?)?;
        ensure!(now == *before, "{}: {before:?} is {now:?}", path.display());
    }
    scene.tenant.backup()?;
    let second = scene.next_snapshot(&mount, &first)?;
    for place in &places {
        let (old, new) = (first.join(&place.path), second.join(&place.path));
        let command = format!("diff -r {} {}", quote(&old), quote(&new));
        let (same, said) = sh(&mount.dir, &command)?;
        ensure!(same, "{said}");
        for file in corpus::files(&old) {
            let here = new.join(file.strip_prefix(&old)?);
            let times = (
                fs::metadata(&file)?.modified()?,
                fs::metadata(&here)?.modified()?,
            );
            ensure!(times.0 == times.1, "{}: {times:?}", here.display());
        }
    }
    scene.nothing_was_sent()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no folder")?)?;
    fs::copy(from, to)?;
    let time = fs::metadata(from)?.modified()?;
    Ok(fs::File::options()
        .write(true)
        .open(to)?
        .set_modified(time)?)
}

fn encode(path: &Path) -> Result<String> {
    path.to_str().map(encoded).context("no UTF-8")
}
