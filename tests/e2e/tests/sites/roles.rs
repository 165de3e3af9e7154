//! Who may do what in sites, lists and single items: told by SharePoint's own interface, with few requests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::scene::Scene;

const CONFIG: &str = "[protect]\nworkloads = [\"libraries\", \"lists\"]\n\
                      sites = { include = [\"Finance\"] }\n";

/// Requests to routes that end so since they were last counted anew.
fn asked(scene: &Scene, end: &str) -> Result<u64> {
    let requests = scene.tenant.graph.requests()?;
    let lines = requests["by_route"].as_array().context("no routes")?.iter();
    let those = lines.filter(|line| line["route"].as_str().is_some_and(|r| r.ends_with(end)));
    Ok(those.filter_map(|line| line["count"].as_u64()).sum())
}

const LISTING: &str = "/_api/web/lists()/items";
const OF_ITEM: &str = "/_api/web/lists()/items()/roleassignments";

/// The records of the items of a list.
fn records(folder: &Path) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let record: Value = match path.extension() {
            Some(kind) if kind == "json" => serde_json::from_slice(&fs::read(&path)?)?,
            _ => continue,
        };
        if record["fields"].is_object() {
            all.push(record);
        }
    }
    Ok(all)
}

#[test]
fn only_what_has_its_own_is_asked_about() -> Result<()> {
    let scene = Scene::with_certificate(CONFIG, |options| {
        options.messages = 0;
        options.files = 0;
        options.site_files = 0;
        options.site_items = 60;
    })?;
    scene.tenant.graph.reset_requests()?;
    scene.tenant.backup()?;
    let (listings, unique) = (asked(&scene, LISTING)?, asked(&scene, OF_ITEM)?);

    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let kept = latest.join(".tenantfs/graph/Sites/Finance");
    let mut items = Vec::new();
    let mut folders = vec![kept.clone()];
    while let Some(folder) = folders.pop() {
        items.extend(records(&folder)?);
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    let (own, others): (Vec<_>, Vec<_>) = items
        .iter()
        .partition(|record| record["roleAssignments"].is_array());
    ensure!(
        own.len() as u64 == unique && unique > 0,
        "{unique}: {own:#?}"
    );
    ensure!(
        listings * 3 < items.len() as u64,
        "{listings} for {} items",
        items.len()
    );
    ensure!(others.len() > 20 && others.iter().all(|r| r.get("roleAssignments").is_some()));
    for record in own {
        let first = &record["roleAssignments"][0];
        ensure!(
            first["loginName"].is_string() && first["roles"][0].is_string(),
            "{first:#}"
        );
    }
    let record =
        |path: &str| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(kept.join(path))?)?) };
    let announcements = record("Lists/Announcements.json")?;
    ensure!(
        announcements["roleAssignments"].as_array().map(Vec::len) == Some(1),
        "{announcements:#}"
    );
    ensure!(record("Lists/Assets.json")?["roleAssignments"].is_null());
    let site = record("Libraries/Documents.json")?;
    let levels: Vec<&Value> = site["siteRoleAssignments"]
        .as_array()
        .context("the site has no roles")?
        .iter()
        .map(|assignment| &assignment["roles"][0])
        .collect();
    ensure!(levels == ["Full Control", "Read", "Edit"], "{site:#}");

    // Nothing new, nothing asked; and of what changed, no more than a listing.
    scene.tenant.graph.reset_requests()?;
    scene.tenant.backup()?;
    ensure!(asked(&scene, LISTING)? == 0 && asked(&scene, OF_ITEM)? == 0);
    let (id, list) = scene.list_id("/sites/Finance", "Assets")?;
    let fields = format!("/sites/{id}/lists/{list}/items/1/fields");
    scene
        .tenant
        .graph
        .patch(&fields, &json!({ "Title": "renamed" }))?;
    scene.tenant.backup()?;
    ensure!(asked(&scene, LISTING)? == 1 && asked(&scene, OF_ITEM)? == 0);

    // It comes back for those alone who had access to it.
    let graph = &scene.tenant.graph;
    graph.delete(&format!("/sites/{id}/lists/{list}/items/7"))?;
    let path = "Sites/Finance/Lists/Assets";
    let source = format!("latest/{path}");
    let done = scene
        .tenant
        .json(&["restore", &source, path, "--deleted-only"])?;
    ensure!(done["restored"] == 1 && done["failed"] == 0, "{done:#}");
    scene.tenant.graph.reset_requests()?;
    scene.tenant.backup()?;
    ensure!(asked(&scene, OF_ITEM)? == 1);
    scene.nothing_was_sent()
}
