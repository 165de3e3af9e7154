//! What is captured of an archive.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::{corpus, text};
use graph_emulator::Quirk;
use serde_json::{Value, json};
use tenantfs::format::fasttransfer::{Builder, New, Prop};

use super::scene::{Scene, latest, named, unreadable, until};

#[test]
fn an_archive_is_captured_whole() -> Result<()> {
    let scene = Scene::new(vec![Quirk::AutoExpandingArchive], "")?;
    let alice = &scene.alice;
    let archive = scene.archive(alice)?;
    let inbox = scene.folder(&archive, "Inbox")?;
    scene.import(&archive, &inbox, &unreadable())?;

    scene.tenant.graph.reset_requests()?;
    let first = scene.tenant.backup()?;
    ensure!(first["snapshot"].is_string(), "{first}");
    let exports = scene.count("exportItems")?;
    let mount = scene.tenant.mount()?;
    let top = latest(&mount, alice, "Archive")?;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for file in corpus::files(&top) {
        let kind = file
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    // Half of the messages of all archives, a rich text mail; appointments and tasks; contacts and a
    // list; a note; and what nobody can read.
    ensure!(kinds.get("eml") == Some(&36), "{kinds:?}");
    ensure!(kinds.get("ics") == Some(&7), "{kinds:?}");
    ensure!(kinds.get("vcf") == Some(&3), "{kinds:?}");
    ensure!(kinds.get("txt") == Some(&1), "{kinds:?}");
    ensure!(kinds.get("fts") == Some(&1), "{kinds:?}");
    // At most one request for each folder's rest of twenty.
    ensure!(exports <= 2 * (48 / 20 + 13), "{exports} exports");

    let read = |path: PathBuf| -> Result<String> { Ok(text(&fs::read(path)?)) };
    let lease = read(named(&top.join("Inbox"), "Lease")?)?;
    ensure!(lease.contains("the lease"), "{lease}");
    let standup = read(named(&top.join("Calendar"), "Stand-up")?)?;
    for part in [
        "BEGIN:VCALENDAR",
        "RRULE:FREQ=WEEKLY",
        "RECURRENCE-ID",
        "EXDATE",
        "Room 2",
    ] {
        ensure!(standup.contains(part), "no {part} in {standup}");
    }
    let jane = read(named(&top.join("Contacts"), "Jane Roe")?)?;
    ensure!(
        jane.contains("jane.roe@fabrikam.com") && jane.contains("PHOTO:"),
        "{jane}"
    );
    let board = read(named(&top.join("Contacts"), "Board")?)?;
    ensure!(board.contains("KIND:group"), "{board}");
    let note = read(named(&top.join("Notes"), "Locker")?)?;
    ensure!(note.contains("left, then right"), "{note}");
    let task = read(named(&top.join("Tasks"), "Renew the lease")?)?;
    ensure!(task.contains("STATUS:COMPLETED"), "{task}");
    let plants = read(named(&top.join("Tasks"), "Water the plants")?)?;
    ensure!(
        plants.contains("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=FR"),
        "{plants}"
    );
    // The raw stream is shown as it is.
    let raw = fs::read(named(&top.join("Inbox"), ".fts")?)?;
    ensure!(raw.ends_with(b"whatever"), "{raw:?}");
    let report = latest(&mount, "", ".tenantfs/report.json")?;
    let report: Value = serde_json::from_slice(&fs::read(report)?)?;
    ensure!(
        report.to_string().contains("shown as it was exported"),
        "{report}"
    );

    // Nothing changed: nothing is exported, nothing is written.
    scene.tenant.graph.reset_requests()?;
    let idle = scene.tenant.backup()?;
    ensure!(idle["snapshot"].is_null(), "{idle}");
    ensure!(scene.count("exportItems")? == 0);

    // Something came and something went.
    let projects = scene.folder(&archive, "Projects")?;
    let gone = &scene.items(&archive, &projects)?[0];
    scene.delete(&archive, &projects, gone["id"].as_str().context("no id")?)?;
    let mut note = Builder::default();
    note.property(Prop::Tag(0x001A), &New::Text("IPM.StickyNote"));
    note.property(Prop::Tag(0x0037), &New::Text("Fresh"));
    note.property(Prop::Tag(0x1000), &New::Text("ink"));
    scene.import(&archive, &projects, &note.finish())?;
    scene.tenant.graph.reset_requests()?;
    let second = scene.tenant.backup()?;
    ensure!(second["snapshot"].is_string(), "{second}");
    let name = second["snapshot"]
        .as_str()
        .context("no snapshot")?
        .to_owned();
    let exports = scene.count("exportItems")?;
    // One for the new one, one to make sure of the one that is gone.
    ensure!(exports <= 2, "{exports} exports");
    until(|| mount.path("snapshots").join(&name).is_dir())?;
    let projects = mount
        .path("snapshots")
        .join(&name)
        .join(alice)
        .join("Archive/Projects");
    ensure!(read(named(&projects, "Fresh")?)? == "ink\n");
    let before = corpus::files(&top.join("Projects")).len();
    ensure!(
        corpus::files(&projects).len() == before,
        "one went, one came"
    );

    // All of it is sound, the streams too.
    drop(mount);
    scene.tenant.json(&["verify", "--read-data"])?;
    Ok(())
}

#[test]
fn an_item_that_cannot_be_exported_costs_no_other() -> Result<()> {
    let scene = Scene::new(Vec::new(), "[protect]\nworkloads = [\"archive\"]\n")?;
    let fault = json!([{ "route": "*exportItems", "count": 0, "fault": { "item": "Lease", "code": "ErrorCorruptData" } }]);
    scene.tenant.graph.control("faults", &fault)?;
    let first = scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let inbox = latest(&mount, &scene.alice, "Archive/Inbox")?;
    ensure!(
        named(&inbox, "Lease").is_err(),
        "it was exported all the same: {first}"
    );
    ensure!(corpus::files(&inbox).len() > 10);
    let report = latest(&mount, "", ".tenantfs/report.json")?;
    let report = text(&fs::read(report)?);
    ensure!(
        report.contains("Lease") && report.contains("ErrorCorruptData"),
        "{report}"
    );
    Ok(())
}
