//! Libraries are folders of ordinary files, for all sites of a tenant, and stay so cheaply.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::{corpus, drives};
use serde_json::{Value, json};

use super::scene::{FILES_ONLY, Scene};

#[test]
fn libraries_of_all_sites_are_folders_of_files() -> Result<()> {
    let scene = Scene::new()?;
    let first = scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let mut files = 0;
    for library in scene.libraries()? {
        let folder = latest.join(&library.path);
        match library.hidden {
            true => ensure!(!folder.exists(), "{} is hidden", library.path),
            false => files += drives::compare(&scene.tenant.graph, &library.drive, &folder)?,
        }
    }
    ensure!(files > 50, "only {files} files in the libraries");
    // People's own sites are their OneDrives.
    let sites: Vec<_> = fs::read_dir(latest.join("Sites"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    ensure!(
        sites.iter().all(|name| !name.contains('_')) && !sites.contains(&"search".into()),
        "{sites:?}"
    );
    // What can't be read is told.
    let failed = first["failed_accounts"].as_array().context("no list")?;
    ensure!(
        failed.len() == 1 && failed[0]["account"] == "Sites/locked",
        "{failed:?}"
    );
    let report: Value = serde_json::from_slice(&fs::read(latest.join(".tenantfs/report.json"))?)?;
    let notes = report["notes"].as_array().context("no notes")?;
    ensure!(
        notes.iter().any(|note| note["account"] == "Sites/museum"),
        "{notes:?}"
    );
    scene.nothing_was_sent()
}

#[test]
fn hidden_libraries_are_captured_when_asked_for() -> Result<()> {
    let config =
        format!("{FILES_ONLY}system_lists = true\nsites = {{ include = [\"Finance\"] }}\n");
    let scene = Scene::with(&config, |_| {})?;
    let drive = scene.drive("/sites/Finance", "Style Library")?;
    let path = format!("/drives/{drive}/root:/brand.css:/content");
    scene
        .tenant
        .graph
        .put(&path, b"body { color: teal }".to_vec())?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let sites = mount.path("snapshots/latest/Sites").canonicalize()?;
    let file = sites.join("Finance/Libraries/Style Library/brand.css");
    ensure!(fs::read(file)? == b"body { color: teal }");
    ensure!(
        sites.join("Finance/Subsites/payroll").is_dir() && !sites.join("Marketing").exists(),
        "only Finance was chosen, with what is below it"
    );
    Ok(())
}

#[test]
fn an_idle_cycle_costs_a_unit_for_each_drive() -> Result<()> {
    let scene = Scene::new()?;
    scene.tenant.backup()?;
    scene.tenant.graph.reset_requests()?;
    let idle = scene.tenant.backup()?;
    ensure!(idle["snapshot"].is_null(), "nothing had changed");
    let requests = scene.tenant.graph.requests()?;
    let routes = requests["by_route"].as_array().context("no routes")?;
    let count = |part: &str| -> u64 {
        let of = routes.iter().filter(|line| {
            line["route"]
                .as_str()
                .is_some_and(|route| route.contains(part))
        });
        of.filter_map(|line| line["count"].as_u64()).sum()
    };
    ensure!(count("/content") == 0, "content was fetched: {requests:#}");
    ensure!(
        count("/permissions") == 0,
        "permissions were read: {requests:#}"
    );
    let captured = scene.libraries()?.iter().filter(|l| !l.hidden).count() as u64;
    ensure!(
        count("/delta") >= captured,
        "every library is asked: {requests:#}"
    );

    // One changed file: one content, one new snapshot that shares the rest.
    let drive = scene.drive("/sites/Marketing", "Documents")?;
    let path = format!("/drives/{drive}/root:/plan for spring.txt:/content");
    scene.tenant.graph.put(&path, b"sow".to_vec())?;
    scene.tenant.graph.reset_requests()?;
    let changed = scene.tenant.backup()?;
    ensure!(changed["counts"]["added"] == 1, "{changed:#}");
    let mount = scene.tenant.mount()?;
    let file = "snapshots/latest/Sites/Marketing/Libraries/Documents/plan for spring.txt";
    ensure!(fs::read(mount.path(file))? == b"sow");
    Ok(())
}

#[test]
fn what_leaves_the_tenant_leaves_the_next_snapshot() -> Result<()> {
    let scene = Scene::new()?;
    let documents = scene.drive("/sites/Finance", "Documents")?;
    let graph = &scene.tenant.graph;
    graph.put(
        &format!("/drives/{documents}/root:/a/b/c.txt:/content"),
        b"deep".to_vec(),
    )?;
    scene.tenant.backup()?;
    let folder = graph.get(&format!("/drives/{documents}/root:/a"))?;
    let id = folder["id"].as_str().context("no id")?;
    graph.patch(
        &format!("/drives/{documents}/items/{id}"),
        &json!({ "name": "renamed" }),
    )?;
    let media = scene.drive("/sites/Finance", "Media")?;
    let list = graph.get(&format!("/drives/{media}/list"))?;
    let list = list["id"].as_str().context("no id")?.to_owned();
    let site = scene.site("/sites/Finance")?;
    let site = site["id"].as_str().context("no id")?;
    graph.delete(&format!("/sites/{site}/lists/{list}"))?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let libraries = mount
        .path("snapshots/latest")
        .canonicalize()?
        .join("Sites/Finance/Libraries");
    ensure!(fs::read(libraries.join("Documents/renamed/b/c.txt"))? == b"deep");
    ensure!(!libraries.join("Documents/a").exists());
    ensure!(!libraries.join("Media").exists());
    // The first snapshot has it still.
    let mut snapshots: Vec<_> = fs::read_dir(mount.path("snapshots"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    snapshots.retain(|path| path.file_name().is_some_and(|name| name.len() > 10));
    snapshots.sort();
    ensure!(snapshots[0].join("Sites/Finance/Libraries/Media").is_dir());
    Ok(())
}

#[test]
fn the_corpus_in_libraries_comes_out_byte_for_byte() -> Result<()> {
    let Some(folder) = corpus::folder("files") else {
        return Ok(());
    };
    let folders = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    let scene = Scene::with(FILES_ONLY, |o| {
        o.site_files = 0;
        o.import_site_files = folders;
    })?;
    let first = scene.tenant.backup()?;
    ensure!(first["counts"]["failed"] == 0, "{:#}", first["failed"]);
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let mut files = 0;
    for library in scene.libraries()?.iter().filter(|l| !l.hidden) {
        let folder = latest.join(&library.path);
        files += drives::compare(&scene.tenant.graph, &library.drive, &folder)?;
    }
    ensure!(files > 300, "only {files} files");
    Ok(())
}
