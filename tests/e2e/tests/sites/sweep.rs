//! Changes of lists that delta never tells: a sweep finds them, and fetches nothing else.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use graph_emulator::Quirk;
use reqwest::Method;
use serde_json::{Value, json};

use super::attachments::Rest;
use super::lists::files;
use super::scene::Scene;

/// Every capture sweeps.
const ALWAYS: &str = "[protect]\nworkloads = [\"lists\"]\nsites = { include = [\"Finance\"] }\n\
                      sweep = \"1s\"\n";

fn backup(scene: &Scene) -> Result<Value> {
    std::thread::sleep(Duration::from_millis(1100));
    scene.tenant.backup()
}

/// What the newest snapshot has changed.
fn changes(scene: &Scene) -> Result<String> {
    let snapshots = scene.tenant.json(&["snapshots"])?;
    let names = snapshots.as_array().or(snapshots["snapshots"].as_array());
    let names = names.context("no snapshots")?.iter();
    let mut names: Vec<String> = names
        .filter_map(|s| s["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    let [.., before, last] = names.as_slice() else {
        return Ok(snapshots.to_string());
    };
    Ok(scene.tenant.json(&["diff", before, last])?.to_string())
}

#[test]
fn a_sweep_that_finds_nothing_changes_nothing() -> Result<()> {
    let scene = Scene::with(ALWAYS, |o| {
        o.site_files = 0;
        o.site_items = 60;
    })?;
    scene.tenant.backup()?;
    let idle = backup(&scene)?;
    ensure!(idle["snapshot"].is_null(), "{}", changes(&scene)?);
    // An ordinary change is told by delta: the sweep behind it leaves it alone.
    let (site, list) = scene.list_id("/sites/Finance", "Vendors")?;
    let items = format!("/sites/{site}/lists/{list}/items");
    let graph = &scene.tenant.graph;
    graph.patch(&format!("{items}/1/fields"), &json!({ "Phone": "+47 1" }))?;
    let changed = backup(&scene)?;
    ensure!(changed["counts"]["found"] == 0, "{:#}", changed["counts"]);
    ensure!(changed["counts"]["updated"] == 2, "{:#}", changed["counts"]);
    let idle = backup(&scene)?;
    ensure!(idle["snapshot"].is_null(), "{}", changes(&scene)?);
    Ok(())
}

#[test]
fn what_delta_loses_of_a_list_is_found() -> Result<()> {
    let scene = Scene::with(ALWAYS, |o| {
        o.site_files = 0;
        o.site_items = 60;
        o.quirk = vec![Quirk::DeltaLosesChanges];
    })?;
    scene.tenant.backup()?;
    let (site, list) = scene.list_id("/sites/Finance", "Vendors")?;
    let items = format!("/sites/{site}/lists/{list}/items");
    let graph = &scene.tenant.graph;
    for n in 0..6 {
        graph.post(
            &items,
            &json!({ "fields": { "Title": format!("New {n}") } }),
        )?;
    }
    for n in 1..4 {
        let path = format!("{items}/{n}/fields");
        graph.patch(&path, &json!({ "Phone": format!("+47 {n}") }))?;
        graph.delete(&format!("{items}/{}", n + 3))?;
    }
    let done = backup(&scene)?;
    let found = done["counts"]["found"].as_u64().context("no count")?;
    ensure!(found > 0, "nothing was lost: {done:#}");
    let mount = scene.tenant.mount()?;
    let folder = mount
        .path("snapshots/latest")
        .canonicalize()?
        .join("Sites/Finance/Lists/Vendors");
    let live = scene.items("/sites/Finance", "Vendors")?;
    let files = files(&folder)?;
    ensure!(files.len() == live.len(), "{files:?} {live:#?}");
    let table = fs::read_to_string(folder.join("items.csv"))?;
    for item in &live {
        let file = &files[item["id"].as_str().context("no id")?];
        let captured: Value = serde_json::from_slice(&fs::read(file)?)?;
        ensure!(captured["fields"]["Phone"] == item["fields"]["Phone"]);
        let title = item["fields"]["Title"].as_str().context("no title")?;
        ensure!(table.contains(title), "no {title} in {table}");
    }
    let report: Value = serde_json::from_slice(&fs::read(
        mount.path("snapshots/latest/.tenantfs/report.json"),
    )?)?;
    let notes = report["notes"].as_array().context("no notes")?;
    let named = notes
        .iter()
        .filter(|note| note["reason"].to_string().contains("found by the sweep"));
    let named: Vec<String> = named.map(|note| note["id"].to_string()).collect();
    ensure!(named.len() as u64 == found, "{named:?} {found}");
    ensure!(
        !named.iter().any(|id| id.contains("items.csv")),
        "{named:?}"
    );
    let idle = backup(&scene)?;
    ensure!(idle["snapshot"].is_null(), "{}", changes(&scene)?);
    Ok(())
}

/// Nothing tells that somebody was given access to an item: a sweep asks.
#[test]
fn a_sweep_finds_who_was_given_access_to_an_item() -> Result<()> {
    let scene = Scene::with_certificate(ALWAYS, |o| {
        o.site_files = 0;
        o.site_items = 60;
    })?;
    scene.tenant.backup()?;
    let idle = backup(&scene)?;
    ensure!(idle["snapshot"].is_null(), "{}", changes(&scene)?);
    let below = "/roleassignments/addroleassignment(principalid=5,roledefid=1073741826)";
    let given = Rest::of(&scene)?.send(Method::POST, "Assets", "7", below)?;
    ensure!(given.status().is_success(), "{}", given.text()?);
    let found = backup(&scene)?;
    ensure!(found["counts"]["updated"] == 1, "{found:#}");
    let mount = scene.tenant.mount()?;
    let records = mount.path("snapshots/latest/.tenantfs/graph/Sites/Finance/Lists/Assets");
    let seventh = fs::read_dir(records)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("0007."))
        });
    let record: Value = serde_json::from_slice(&fs::read(seventh.context("no item 7")?)?)?;
    let own = record["roleAssignments"].as_array().context("no roles")?;
    ensure!(
        own.iter().any(|one| one["title"] == "Finance Members"),
        "{record:#}"
    );
    Ok(())
}
