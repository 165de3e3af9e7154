//! The service's own older versions of files, of OneDrives and of libraries: captured, mounted, put back,
//! verified.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::shell::{quote, sh, sh_ok};
use e2e::{corpus, drives, noise, text};
use serde_json::{Value, json};

use super::scene::Scene;

const KEEP: &str = "[protect]\nworkloads = [\"drive\", \"libraries\"]\nversions = 3\n";

/// A file of a drive, and the drive's folder in a snapshot.
struct Place {
    drive: String,
    folder: String,
}

impl Place {
    /// One in a OneDrive, and one in a library.
    fn both(scene: &Scene) -> Result<[Place; 2]> {
        let alice = scene.tenant.graph.mailboxes()?.remove(0);
        Ok([
            Place {
                drive: scene.onedrive(&alice)?,
                folder: format!("{alice}/OneDrive"),
            },
            Place {
                drive: scene.drive("/sites/Finance", "Documents")?,
                folder: "Sites/Finance/Libraries/Documents".to_owned(),
            },
        ])
    }

    /// Writes a file, which makes a version of what was there, and lets a minute pass. Its id.
    fn write(&self, scene: &Scene, name: &str, bytes: &[u8]) -> Result<String> {
        let graph = &scene.tenant.graph;
        let path = format!("/drives/{}/root:/{name}:/content", self.drive);
        let item = graph.put(&path, bytes.to_vec())?;
        graph.control("clock", &json!({ "advance_seconds": 60 }))?;
        Ok(item["id"].as_str().context("no id")?.to_owned())
    }

    /// The older versions that the service has of a file: the folder that the mount has for each, and
    /// its bytes; the newest first.
    fn older(&self, scene: &Scene, item: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let graph = &scene.tenant.graph;
        let list = format!("/drives/{}/items/{item}/versions", self.drive);
        let mut older = Vec::new();
        for version in graph.list(&list)?.iter().skip(1) {
            let id = version["id"].as_str().context("no id")?;
            let time = version["lastModifiedDateTime"]
                .as_str()
                .context("no time")?;
            let bytes = graph.bytes(&format!("{list}/{id}/content"))?;
            older.push((time.replace(':', ""), bytes));
        }
        Ok(older)
    }

    /// The folder of a file's versions in a snapshot.
    fn versions(&self, snapshot: &Path, name: &str) -> PathBuf {
        snapshot
            .join(".tenantfs/versions")
            .join(&self.folder)
            .join(name)
    }

    /// Holds what a snapshot has of a file's versions against these.
    fn compare(&self, snapshot: &Path, name: &str, wanted: &[(String, Vec<u8>)]) -> Result<()> {
        let folder = self.versions(snapshot, name);
        let mut shown = listed(&folder)?;
        shown.reverse();
        let times: Vec<&String> = wanted.iter().map(|(time, _)| time).collect();
        ensure!(
            shown.iter().collect::<Vec<_>>() == times,
            "{shown:?}, but {times:?}"
        );
        for (time, bytes) in wanted {
            let version = folder.join(time);
            let last = name.rsplit('/').next().context("no name")?;
            ensure!(listed(&version)? == [last]);
            ensure!(fs::read(version.join(last))? == *bytes, "{time} differs");
            ensure!(fs::metadata(version.join(last))?.len() == bytes.len() as u64);
        }
        Ok(())
    }

    fn live(&self, scene: &Scene, name: &str) -> Result<(Vec<u8>, Value)> {
        let graph = &scene.tenant.graph;
        let item = graph.get(&format!("/drives/{}/root:/{name}", self.drive))?;
        Ok((drives::content(graph, &self.drive, &item)?, item))
    }
}

fn listed(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Lists and contents of versions that one capture asked for.
fn asked_by_a_backup(scene: &Scene) -> Result<(u64, u64)> {
    let graph = &scene.tenant.graph;
    graph.reset_requests()?;
    let said = scene.tenant.backup()?;
    let requests = graph.requests()?;
    let mut asked = (0, 0);
    for line in requests["by_route"].as_array().context("no routes")? {
        let route = line["route"].as_str().unwrap_or_default();
        let count = line["count"].as_u64().unwrap_or_default();
        if route.ends_with("/versions") {
            asked.0 += count;
        } else if route.contains("/versions/") {
            asked.1 += count;
        }
    }
    ensure!(said["failed"].as_u64().unwrap_or_default() == 0, "{said:#}");
    Ok(asked)
}

#[test]
fn versions_are_captured_and_stay_with_their_file() -> Result<()> {
    let scene = Scene::with(KEEP, |_| {})?;
    let graph = &scene.tenant.graph;
    let places = Place::both(&scene)?;
    let mut ids = Vec::new();
    for place in &places {
        ids.push(place.write(&scene, "plan.txt", b"one")?);
    }
    // Files that are seen for the first time bring none, however many there are.
    ensure!(asked_by_a_backup(&scene)? == (0, 0));
    ensure!(asked_by_a_backup(&scene)? == (0, 0));
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    for place in &places {
        place.write(&scene, "plan.txt", b"two is longer")?;
        place.write(&scene, "plan.txt", b"three")?;
    }
    // A list for each changed file; a content for each version.
    ensure!(asked_by_a_backup(&scene)? == (2, 4));
    ensure!(
        asked_by_a_backup(&scene)? == (0, 0),
        "an idle cycle asks nothing"
    );
    let second = scene.next_snapshot(&mount, &first)?;
    ensure!(!listed(&second)?.contains(&".tenantfs".to_owned()));
    for (place, id) in places.iter().zip(&ids) {
        place.compare(&second, "plan.txt", &place.older(&scene, id)?)?;
        ensure!(!place.versions(&first, "plan.txt").exists());
        let out = scene.tenant.path("copied");
        let two = place.versions(&second, "plan.txt");
        let two = two.join(&place.older(&scene, id)?[0].0).join("plan.txt");
        sh_ok(&mount.dir, &format!("cp {} {}", quote(&two), quote(&out)))?;
        ensure!(fs::read(&out)? == b"two is longer");
    }
    // The newest three are kept.
    for place in &places {
        for text in ["four", "five", "six"] {
            place.write(&scene, "plan.txt", text.as_bytes())?;
        }
    }
    ensure!(asked_by_a_backup(&scene)? == (2, 6));
    let third = scene.next_snapshot(&mount, &second)?;
    for (place, id) in places.iter().zip(&ids) {
        place.compare(&third, "plan.txt", &place.older(&scene, id)?[..3])?;
    }
    // Renamed and moved they have the same versions, and nothing is asked.
    for (place, id) in places.iter().zip(&ids) {
        let root = format!("/drives/{}/root/children", place.drive);
        let folder = graph.post(&root, &json!({ "name": "Moved", "folder": {} }))?;
        let path = format!("/drives/{}/items/{id}", place.drive);
        let moved = json!({ "name": "final.txt", "parentReference": { "id": folder["id"] } });
        graph.patch(&path, &moved)?;
    }
    ensure!(asked_by_a_backup(&scene)? == (0, 0));
    let fourth = scene.next_snapshot(&mount, &third)?;
    for (place, id) in places.iter().zip(&ids) {
        place.compare(&fourth, "Moved/final.txt", &place.older(&scene, id)?[..3])?;
        ensure!(!place.versions(&fourth, "plan.txt").exists());
    }
    // Deleted they are in the older snapshots.
    let mut before = Vec::new();
    for (place, id) in places.iter().zip(&ids) {
        before.push(place.older(&scene, id)?);
        graph.delete(&format!("/drives/{}/items/{id}", place.drive))?;
    }
    scene.tenant.backup()?;
    let fifth = scene.next_snapshot(&mount, &fourth)?;
    for (place, older) in places.iter().zip(&before) {
        ensure!(!place.versions(&fifth, "Moved/final.txt").exists());
        place.compare(&fourth, "Moved/final.txt", &older[..3])?;
        place.compare(&third, "plan.txt", &older[..3])?;
    }
    let verified = scene.tenant.run(&["verify", "--read-data"])?;
    ensure!(verified.status.success(), "{}", text(&verified.stdout));
    scene.nothing_was_sent()
}

#[test]
fn files_that_are_new_bring_their_history_when_asked_for() -> Result<()> {
    let scene = Scene::with(
        &format!("{KEEP}versions_of_new_files = true\n"),
        |options| {
            options.sites = 0;
            options.files = 0;
        },
    )?;
    let alice = scene.tenant.graph.mailboxes()?.remove(0);
    let place = Place {
        drive: scene.onedrive(&alice)?,
        folder: format!("{alice}/OneDrive"),
    };
    place.write(&scene, "plan.txt", b"one")?;
    let id = place.write(&scene, "plan.txt", b"two")?;
    let lists = asked_by_a_backup(&scene)?.0;
    ensure!(lists >= 1, "no list was asked for");
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    place.compare(&latest, "plan.txt", &place.older(&scene, &id)?)
}

#[test]
fn a_version_goes_back_through_the_mount_and_by_command() -> Result<()> {
    let scene = Scene::with(KEEP, |_| {})?;
    let places = Place::both(&scene)?;
    let mut ids = Vec::new();
    for place in &places {
        ids.push(place.write(&scene, "plan.txt", b"one, the first")?);
    }
    scene.tenant.backup()?;
    // Each drive has its own: bytes that are the same in two files could be either's.
    let nobody_saw = |place: &Place| format!("two, which nobody saw in {}", place.folder);
    for place in &places {
        for text in [&nobody_saw(place)[..], "three", "four, the newest"] {
            place.write(&scene, "plan.txt", text.as_bytes())?;
        }
    }
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    for (place, id) in places.iter().zip(&ids) {
        let older = place.older(&scene, id)?;
        let (time, bytes) = &older[1];
        ensure!(*bytes == nobody_saw(place).into_bytes());
        let version = place
            .versions(&latest, "plan.txt")
            .join(time)
            .join("plan.txt");
        let made = fs::metadata(&version)?.modified()?;
        let made = made.duration_since(std::time::UNIX_EPOCH)?.as_secs() as i64;
        let cp = |target: &str| {
            let command = format!("cp {} 'restore/{target}{}/'", quote(&version), place.folder);
            sh(&mount.dir, &command)
        };
        // It is the file's own, so it is in the way.
        let (ok, said) = cp("")?;
        ensure!(!ok && said.contains("exists"), "{said}");
        let (ok, said) = cp("@overwrite/")?;
        ensure!(ok, "{said}");
        let (live, item) = place.live(&scene, "plan.txt")?;
        ensure!(live == *bytes);
        ensure!(drives::modified(&item)? == made, "{item:#}");
        // As a version more of the same file: what was there is the newest of the older ones.
        ensure!(item["id"] == **id, "another file is there now");
        let now = place.older(&scene, id)?;
        ensure!(now.len() == older.len() + 1 && now[0].1 == b"four, the newest");

        // By command: to its place, to another one, and to this machine.
        let snapshot = latest.file_name().context("no name")?.to_string_lossy();
        let (time, bytes) = &older[0];
        let source = format!(
            "{snapshot}/.tenantfs/versions/{}/plan.txt/{time}",
            place.folder
        );
        let restore = |source: &str, target: &str, more: &[&str]| {
            let all: Vec<&str> = ["restore", source, target]
                .into_iter()
                .chain(more.iter().copied())
                .collect();
            scene.tenant.json(&all)
        };
        let said = restore(&source, &place.folder, &[])?;
        ensure!(said["existing"] == 1 && said["restored"] == 0, "{said:#}");
        let said = restore(&source, &place.folder, &["--conflict", "overwrite"])?;
        ensure!(said["restored"] == 1, "{said:#}");
        ensure!(place.live(&scene, "plan.txt")?.0 == *bytes);
        let named = format!("{source}/plan.txt");
        let said = restore(&named, &format!("{}/Older", place.folder), &[])?;
        ensure!(said["restored"] == 1, "{said:#}");
        ensure!(place.live(&scene, "Older/plan.txt")?.0 == *bytes);
        let out = scene.tenant.path("out");
        let said = restore(
            &source,
            &out.display().to_string(),
            &["--conflict", "overwrite"],
        )?;
        ensure!(said["restored"] == 1, "{said:#}");
        ensure!(fs::read(out.join("plan.txt"))? == *bytes);
        let folder = source.rsplit_once('/').context("no folder")?.0;
        let refused = scene.tenant.run(&["restore", folder, &place.folder])?;
        ensure!(!refused.status.success());
        let said = text(&refused.stderr);
        ensure!(said.contains("is no version of a file"), "{said}");
    }
    scene.nothing_was_sent()
}

#[test]
fn a_version_that_fails_is_told_and_a_damaged_one_is_named() -> Result<()> {
    let scene = Scene::with(KEEP, |options| options.sites = 0)?;
    let graph = &scene.tenant.graph;
    let alice = graph.mailboxes()?.remove(0);
    let place = Place {
        drive: scene.onedrive(&alice)?,
        folder: format!("{alice}/OneDrive"),
    };
    place.write(&scene, "plan.txt", b"one")?;
    scene.tenant.backup()?;
    let two = noise(1, 3 << 20);
    place.write(&scene, "plan.txt", &two)?;
    let id = place.write(&scene, "plan.txt", b"three")?;
    let content = "/v1.0/drives/{id}/items/{id}/versions/{id}/content";
    let refuse = json!({ "status": 403, "code": "accessDenied" });
    graph.control(
        "faults",
        &json!([{ "route": content, "count": 1, "fault": refuse }]),
    )?;
    scene.tenant.backup()?;
    graph.control("faults", &json!([]))?;
    let mount = scene.tenant.mount()?;
    let second = mount.path("snapshots/latest").canonicalize()?;
    let older = place.older(&scene, &id)?;
    place.compare(&second, "plan.txt", &older[1..])?;
    ensure!(fs::read(second.join(&place.folder).join("plan.txt"))? == b"three");
    let report: Value = serde_json::from_slice(&fs::read(second.join(".tenantfs/report.json"))?)?;
    let notes = report["notes"].to_string();
    ensure!(
        notes.contains("plan.txt") && notes.contains("version 2.0"),
        "{notes}"
    );
    ensure!(
        report["failed"].as_array().is_none_or(Vec::is_empty),
        "{report:#}"
    );
    // With the next change it is there.
    let data = scene.tenant.path("repository/data");
    let packs = corpus::files(&data);
    place.write(&scene, "plan.txt", b"four")?;
    scene.tenant.backup()?;
    let third = scene.next_snapshot(&mount, &second)?;
    let older = place.older(&scene, &id)?;
    place.compare(&third, "plan.txt", &older)?;
    drop(mount);
    // Its bytes are nowhere else: a bit of them is flipped.
    let new = corpus::files(&data)
        .into_iter()
        .filter(|p| !packs.contains(p));
    let pack = new.max_by_key(|pack| fs::metadata(pack).map_or(0, |meta| meta.len()));
    let pack = pack.context("no new pack")?;
    let mut bytes = fs::read(&pack)?;
    ensure!(bytes.len() > 3 << 20, "{} bytes", bytes.len());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes)?;
    let verified = scene.tenant.run(&["verify", "--read-data"])?;
    let said = text(&verified.stdout);
    let version = format!(
        ".tenantfs/versions/{}/plan.txt/{}",
        place.folder, older[1].0
    );
    ensure!(
        !verified.status.success() && said.contains(&version),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_version_whose_download_breaks_off_is_whole_in_the_end() -> Result<()> {
    let scene = Scene::with(KEEP, |_| {})?;
    let graph = &scene.tenant.graph;
    let places = Place::both(&scene)?;
    for place in &places {
        place.write(&scene, "plan.bin", b"one")?;
    }
    scene.tenant.backup()?;
    let mut ids = Vec::new();
    for place in &places {
        place.write(&scene, "plan.bin", &noise(1, 2 << 20))?;
        ids.push(place.write(&scene, "plan.bin", b"three")?);
    }
    // Each download that is longer than that breaks off, wherever it began, until the rules are used up.
    let faults = json!([
        { "route": "/_download/{id}", "count": 4, "fault": { "truncate": 300_000 } },
        { "route": "/_download/{id}", "count": 2, "fault": "reset" },
    ]);
    graph.control("faults", &faults)?;
    let said = scene.tenant.backup()?;
    ensure!(said["counts"]["failed"] == 0, "{said:#}");
    let rules = graph.get(&format!("{}/_emulator/faults", scene.tenant.emulator.url))?;
    for rule in rules.as_array().context("no rules")? {
        ensure!(rule["seen"].as_u64() >= rule["count"].as_u64(), "{rules}");
    }
    graph.control("faults", &json!([]))?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let report = fs::read_to_string(latest.join(".tenantfs/report.json")).unwrap_or_default();
    ensure!(!report.contains("plan.bin"), "{report}");
    for (place, id) in places.iter().zip(&ids) {
        place.compare(&latest, "plan.bin", &place.older(&scene, id)?)?;
    }
    Ok(())
}
