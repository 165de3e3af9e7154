//! Items that are not like others: infected, locked, labelled, notebooks, shortcuts, nothing known. None of
//! them keeps a snapshot from being made.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::shell::{quote, sh, sh_ok};
use graph_emulator::{Options, Quirk};
use serde_json::{Value, json};

use super::scene::Scene;

const CONFIG: &str = "[protect]\nworkloads = [\"drive\", \"libraries\"]\n\
                      sites = { include = [\"Finance\"] }\n";
/// A label of the emulated tenant that only keeps things.
const LABEL: &str = "Keep 7 years";
const LIBRARY: &str = "Sites/Finance/Libraries/Documents";

fn scene(change: impl FnOnce(&mut Options)) -> Result<Scene> {
    Scene::with(CONFIG, |options| {
        options.messages = 0;
        options.files = 0;
        options.site_files = 0;
        change(options);
    })
}

/// A library, and what tests do to files in it.
struct Files<'a> {
    scene: &'a Scene,
    drive: String,
}

impl<'a> Files<'a> {
    fn of(scene: &'a Scene) -> Result<Self> {
        let drive = scene.drive("/sites/Finance", "Documents")?;
        Ok(Self { scene, drive })
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<String> {
        let path = format!("/drives/{}/root:/{path}:/content", self.drive);
        let item = self.scene.tenant.graph.put(&path, bytes.to_vec())?;
        Ok(item["id"].as_str().context("no id")?.to_owned())
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let path = format!("/drives/{}/root:/{path}:/content", self.drive);
        self.scene.tenant.graph.bytes(&path)
    }

    /// What a person or the service does to an item.
    fn happens(&self, item: &str, what: &str) -> Result<()> {
        let body = json!({ "drive": self.drive, "item": item, "do": what });
        self.scene.tenant.graph.control("drives", &body)
    }

    fn label(&self, item: &str, name: &str) -> Result<()> {
        let path = format!("/drives/{}/items/{item}/retentionLabel", self.drive);
        let body = json!({ "name": name });
        self.scene.tenant.graph.patch(&path, &body).map(drop)
    }
}

fn report(snapshot: &Path) -> Result<Value> {
    let text = fs::read(snapshot.join(".tenantfs/report.json"))?;
    Ok(serde_json::from_slice(&text)?)
}

/// The reason that the report gives for a path, among `failed` or `notes`.
fn reason(snapshot: &Path, list: &str, path: &str) -> Result<Option<String>> {
    let report = report(snapshot)?;
    let lines = report[list].as_array().context("no list")?;
    let line = lines
        .iter()
        .find(|line| line["path"].as_str().is_some_and(|p| p.ends_with(path)));
    Ok(line.and_then(|line| line["reason"].as_str().map(str::to_owned)))
}

fn downloads(scene: &Scene) -> Result<u64> {
    let requests = scene.tenant.graph.requests()?;
    let lines = requests["by_route"].as_array().context("no routes")?.iter();
    let those = lines.filter(|line| {
        line["route"]
            .as_str()
            .is_some_and(|r| r.ends_with("/content"))
    });
    Ok(those.filter_map(|line| line["count"].as_u64()).sum())
}

#[test]
fn infected_files_are_never_downloaded_and_keep_what_was_captured() -> Result<()> {
    let scene = scene(|_| {})?;
    let files = Files::of(&scene)?;
    let old = files.put("old.txt", b"clean")?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    files.happens(&old, "infect")?;
    // More in a row than failures of the service would be taken for.
    let mut infected = Vec::new();
    for n in 0..10 {
        let item = files.put(&format!("Mail/virus {n}.bin"), b"EICAR")?;
        files.happens(&item, "infect")?;
        infected.push(item);
    }
    files.put("Mail/zebra.txt", b"fine")?;
    scene.tenant.graph.reset_requests()?;
    let cycle = scene.tenant.backup()?;
    ensure!(cycle["failed_accounts"] == json!([]), "{cycle:#}");
    ensure!(downloads(&scene)? == 1, "an infected file was asked for");
    let second = scene.next_snapshot(&mount, &first)?;
    let library = second.join(LIBRARY);
    ensure!(fs::read(library.join("old.txt"))? == b"clean");
    ensure!(fs::read(library.join("Mail/zebra.txt"))? == b"fine");
    ensure!(!library.join("Mail/virus 0.bin").exists());
    let noted = reason(&second, "notes", "old.txt")?.context("it is not noted")?;
    ensure!(
        noted.contains("EICAR") && noted.contains("stays"),
        "{noted}"
    );
    let failed = reason(&second, "failed", "Mail/virus 7.bin")?.context("it is not named")?;
    ensure!(
        failed.contains("malware") && failed.contains("5 bytes"),
        "{failed}"
    );
    let kept = fs::read(
        second
            .join(".tenantfs/graph")
            .join(LIBRARY)
            .join("old.txt.json"),
    )?;
    let kept: Value = serde_json::from_slice(&kept)?;
    ensure!(kept["malware"]["description"].is_string(), "{kept:#}");
    // Cleaned, they are files as others.
    for item in &infected {
        files.happens(item, "clean")?;
    }
    scene.tenant.backup()?;
    let third = scene.next_snapshot(&mount, &second)?;
    ensure!(fs::read(third.join(LIBRARY).join("Mail/virus 7.bin"))? == b"EICAR");
    ensure!(report(&third)?["failed"] == json!([]));
    Ok(())
}

#[test]
fn members_of_notebooks_are_files_or_named() -> Result<()> {
    for quirks in [vec![], vec![Quirk::PackageOnly], vec![Quirk::BusyNotebooks]] {
        let busy = quirks.contains(&Quirk::BusyNotebooks);
        let scene = scene(|options| options.quirk = quirks)?;
        let files = Files::of(&scene)?;
        let sections = if busy { 10 } else { 2 };
        for n in 0..sections {
            files.put(&format!("Minutes/Section {n}.one"), b"a section")?;
        }
        files.put("Minutes/zebra.txt", b"fine")?;
        let cycle = scene.tenant.backup()?;
        ensure!(cycle["failed_accounts"] == json!([]), "{cycle:#}");
        let mount = scene.tenant.mount()?;
        let latest = mount.path("snapshots/latest").canonicalize()?;
        let minutes = latest.join(LIBRARY).join("Minutes");
        ensure!(fs::read(minutes.join("zebra.txt"))? == b"fine");
        for n in 0..sections {
            let section = format!("Section {n}.one");
            match busy {
                false => ensure!(fs::read(minutes.join(&section))? == b"a section"),
                true => {
                    let why = reason(&latest, "failed", &section)?.context("it is not named")?;
                    ensure!(why.contains("503"), "{why}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn notebooks_of_both_shapes_are_folders() -> Result<()> {
    for quirks in [vec![], vec![Quirk::PackageOnly]] {
        let scene = Scene::with(CONFIG, |options| {
            options.messages = 0;
            options.files = 120;
            options.quirk = quirks;
        })?;
        scene.tenant.backup()?;
        let mount = scene.tenant.mount()?;
        let latest = mount.path("snapshots/latest").canonicalize()?;
        let people = scene.tenant.graph.mailboxes()?;
        let drive = latest.join(&people[0]).join("OneDrive");
        let notebooks: Vec<_> = fs::read_dir(drive.join("Notebooks"))?.collect::<Result<_, _>>()?;
        ensure!(notebooks.len() == 1, "{notebooks:?}");
        let sections = fs::read_dir(notebooks[0].path())?.count();
        ensure!(sections == 3, "{sections}");
        // A shortcut is its record, and nothing makes one again.
        let shortcut = "Projects of a colleague";
        ensure!(fs::metadata(drive.join(shortcut))?.len() == 0);
        let record = latest
            .join(".tenantfs/graph")
            .join(&people[0])
            .join("OneDrive");
        let record = fs::read(record.join(format!("{shortcut}.json")))?;
        let record: Value = serde_json::from_slice(&record)?;
        ensure!(record["remoteItem"]["id"].is_string(), "{record:#}");
        let source = format!("latest/{}/OneDrive/{shortcut}", people[0]);
        let done = scene.tenant.json(&[
            "restore",
            &source,
            &format!("{}/OneDrive/Elsewhere", people[1]),
        ])?;
        ensure!(
            done["failed"] == 1 && done.to_string().contains("shortcut"),
            "{done:#}"
        );
    }
    Ok(())
}

#[test]
fn what_nobody_may_replace_is_refused_with_the_reason() -> Result<()> {
    let scene = scene(|_| {})?;
    let files = Files::of(&scene)?;
    let record = files.put("contract.txt", b"signed")?;
    let busy = files.put("draft.txt", b"one")?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    files.put("contract.txt", b"signed again")?;
    files.put("draft.txt", b"two")?;
    files.label(&record, "Records")?;
    files.happens(&busy, "check-out")?;
    for (name, why) in [("contract.txt", "Records"), ("draft.txt", "checked it out")] {
        let from = quote(&latest.join(LIBRARY).join(name));
        let (ok, _) = sh(
            &mount.dir,
            &format!("cp {from} restore/@overwrite/{LIBRARY}/"),
        )?;
        let log = fs::read_to_string(mount.path("restore/.log"))?;
        ensure!(!ok && log.contains(why), "{log}");
        sh_ok(
            &mount.dir,
            &format!("cp {from} restore/@keep-both/{LIBRARY}/"),
        )?;
    }
    ensure!(files.bytes("contract.txt")? == b"signed again");
    ensure!(files.bytes("draft.txt")? == b"two");
    // Neither keeps them from being captured.
    let cycle = scene.tenant.backup()?;
    ensure!(cycle["counts"]["failed"] == 0, "{cycle:#}");
    let second = scene.next_snapshot(&mount, &latest)?;
    ensure!(fs::read(second.join(LIBRARY).join("draft.txt"))? == b"two");
    let beside = fs::read_dir(second.join(LIBRARY))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.contains("(restored "))
        .count();
    ensure!(beside == 2, "{beside}");
    scene.nothing_was_sent()
}

/// Requests for labels since they were last counted anew.
fn labels_asked(scene: &Scene) -> Result<u64> {
    let requests = scene.tenant.graph.requests()?;
    let lines = requests["by_route"].as_array().context("no routes")?.iter();
    let those = lines.filter(|line| line["route"].to_string().contains("retentionLabel"));
    Ok(those.filter_map(|line| line["count"].as_u64()).sum())
}

#[test]
fn labels_are_asked_of_what_changed_and_given_again_at_home() -> Result<()> {
    let scene = scene(|_| {})?;
    let graph = &scene.tenant.graph;
    scene
        .tenant
        .write_config(&format!("{CONFIG}retention_labels = true\n"))?;
    let files = Files::of(&scene)?;
    let (kept, plain) = (
        files.put("Law/kept.txt", b"1")?,
        files.put("Law/plain.txt", b"2")?,
    );
    let folder = graph.get(&format!("/drives/{}/root:/Law", files.drive))?;
    let folder = folder["id"].as_str().context("no id")?.to_owned();
    for item in [&kept, &folder] {
        files.label(item, LABEL)?;
    }
    scene.tenant.backup()?;
    ensure!(labels_asked(&scene)? > 3);
    graph.reset_requests()?;
    scene.tenant.backup()?;
    ensure!(labels_asked(&scene)? == 0, "asked without a change");
    files.label(&plain, "Records")?;
    graph.reset_requests()?;
    scene.tenant.backup()?;
    ensure!(labels_asked(&scene)? == 1 && downloads(&scene)? == 0);
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let recorded = |path: &str| -> Result<Value> {
        let file = latest.join(".tenantfs/graph").join(LIBRARY).join(path);
        let record: Value = serde_json::from_slice(&fs::read(file)?)?;
        Ok(record["retentionLabel"]["name"].clone())
    };
    ensure!(recorded("Law/kept.txt.json")? == LABEL && recorded("Law.json")? == LABEL);
    ensure!(recorded("Law/plain.txt.json")? == "Records");

    // The service deletes nothing that has one.
    let path = |item: &str| format!("/drives/{}/items/{item}", files.drive);
    graph.patch(
        &format!("{}/retentionLabel", path(&plain)),
        &json!({ "retentionSettings": { "isRecordLocked": false } }),
    )?;
    for item in [&kept, &plain, &folder] {
        graph.delete(&format!("{}/retentionLabel", path(item)))?;
    }
    graph.delete(&path(&folder))?;
    let from = quote(&latest.join(LIBRARY).join("Law"));
    sh_ok(&mount.dir, &format!("cp -a {from} restore/{LIBRARY}/"))?;
    let elsewhere = format!("{}/OneDrive/Law", graph.mailboxes()?[0]);
    scene
        .tenant
        .json(&["restore", &format!("latest/{LIBRARY}/Law"), &elsewhere])?;
    let label = |drive: &str, path: &str| -> Result<Value> {
        let item = graph.get(&format!(
            "/drives/{drive}/root:/{path}?$expand=retentionLabel"
        ))?;
        Ok(item["retentionLabel"]["name"].clone())
    };
    for (path, name) in [
        ("Law", LABEL),
        ("Law/kept.txt", LABEL),
        ("Law/plain.txt", "Records"),
    ] {
        let now = label(&files.drive, path)?;
        ensure!(now == name, "{path}: {now}");
        let away = label(&scene.onedrive(&graph.mailboxes()?[0])?, path)?;
        ensure!(away.is_null(), "{path}: {away}");
    }
    scene.nothing_was_sent()
}

#[test]
fn what_is_neither_file_nor_folder_is_kept_as_it_is_told() -> Result<()> {
    let scene = scene(|_| {})?;
    let files = Files::of(&scene)?;
    let item = files.put("riddle", b"?")?;
    files.happens(&item, "strip")?;
    let cycle = scene.tenant.backup()?;
    ensure!(cycle["counts"]["failed"] == 0, "{cycle:#}");
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let noted = reason(&latest, "notes", "riddle")?.context("it is not noted")?;
    ensure!(noted.contains("neither"), "{noted}");
    let record = latest
        .join(".tenantfs/graph")
        .join(LIBRARY)
        .join("riddle.json");
    let record: Value = serde_json::from_slice(&fs::read(record)?)?;
    ensure!(record["id"] == item.as_str(), "{record:#}");
    Ok(())
}

#[test]
fn documents_that_sharepoint_writes_into_are_no_damage() -> Result<()> {
    let scene = scene(|options| options.quirk = vec![Quirk::OfficeRewrite])?;
    let files = Files::of(&scene)?;
    let names = ["plan.docx", "sums.xlsx", "talk.pptx"];
    let mut items = Vec::new();
    for name in names {
        items.push(files.put(name, format!("PK {name}").as_bytes())?);
    }
    // The hash that Graph tells is not that of the bytes it gives.
    let wrong = json!([{ "route": "*/root/delta", "count": 0, "fault": "wrong_hash" }]);
    scene.tenant.graph.control("faults", &wrong)?;
    let cycle = scene.tenant.backup()?;
    let failed: Vec<_> = cycle["failed"]
        .as_array()
        .context("no list")?
        .iter()
        .collect();
    let office = |line: &&&Value| {
        names
            .iter()
            .any(|name| line["path"].to_string().contains(name))
    };
    ensure!(!failed.iter().any(|line| office(&line)), "{failed:?}");
    scene.tenant.graph.control("faults", &json!([]))?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    for (name, item) in names.iter().zip(&items) {
        ensure!(
            fs::read(latest.join(LIBRARY).join(name))? == files.bytes(name)?,
            "{name}"
        );
        scene
            .tenant
            .graph
            .delete(&format!("/drives/{}/items/{item}", files.drive))?;
    }
    for name in names {
        let from = latest.join(LIBRARY).join(name);
        sh_ok(
            &mount.dir,
            &format!("cp {} restore/{LIBRARY}/", quote(&from)),
        )?;
        // SharePoint wrote into it again.
        let (kept, back) = (fs::read(&from)?, files.bytes(name)?);
        ensure!(back.len() > kept.len() && back.starts_with(&kept), "{name}");
    }
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("its own properties"), "{log}");
    let cycle = scene.tenant.backup()?;
    ensure!(
        cycle["failed"].to_string().contains(".docx").eq(&false),
        "{cycle:#}"
    );
    scene.nothing_was_sent()
}
