//! Files go back into libraries: to where they were, to other sites, between services; through the mount
//! and through the command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::shell::{quote, sh, sh_ok};
use e2e::{corpus, drives};
use serde_json::Value;

use super::scene::Scene;

#[test]
fn everything_deleted_comes_back_by_rsync() -> Result<()> {
    let scene = Scene::new()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    let libraries = scene.libraries()?;
    for library in libraries.iter().filter(|l| !l.hidden) {
        scene.empty(&library.drive)?;
    }
    for library in libraries.iter().filter(|l| !l.hidden) {
        let from = format!("{}/", first.join(&library.path).display());
        let to = format!("restore/{}/", library.path);
        let command = format!("rsync -a --ignore-existing '{from}' '{to}'");
        let (_, said) = sh(&mount.dir, &command)?;
        let bad = said.lines().filter(|line| line.contains("failed"));
        // Owners and modes of a file mean nothing to SharePoint.
        let bad: Vec<_> = bad
            .filter(|l| !l.contains("chown") && !l.contains("chgrp"))
            .collect();
        ensure!(bad.is_empty(), "{said}");
        let files = drives::compare(
            &scene.tenant.graph,
            &library.drive,
            &first.join(&library.path),
        )?;
        ensure!(files > 0 || corpus::files(&first.join(&library.path)).is_empty());
    }
    // Captured again it is the same, file by file.
    scene.tenant.backup()?;
    let second = scene.next_snapshot(&mount, &first)?;
    sh_ok(
        &mount.dir,
        &format!(
            "diff -r {} {}",
            quote(&first.join("Sites/Finance")),
            quote(&second.join("Sites/Finance"))
        ),
    )?;
    scene.nothing_was_sent()
}

#[test]
fn files_go_to_another_site_and_path() -> Result<()> {
    let scene = Scene::new()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let from = mount
        .path("snapshots/latest")
        .canonicalize()?
        .join("Sites/Finance/Libraries/Documents");
    let all = corpus::files(&from);
    // With cp, into a folder that is new.
    let target = "restore/Sites/Marketing/Libraries/Documents/From Finance";
    sh_ok(&mount.dir, &format!("cp -r {} '{target}'", quote(&from)))?;
    let marketing = scene.drive("/sites/Marketing", "Documents")?;
    let live = drives::files(&scene.tenant.graph, &marketing)?;
    for file in &all {
        let below = file.strip_prefix(&from)?;
        let item = live
            .get(&Path::new("From Finance").join(below))
            .with_context(|| below.display().to_string())?;
        let bytes = drives::content(&scene.tenant.graph, &marketing, item)?;
        ensure!(bytes == fs::read(file)?, "{} differs", below.display());
    }
    // By command, into a library that is not there yet: said first, then done.
    let source = "latest/Sites/Finance/Libraries/Documents";
    let target = "Sites/Engineering/Libraries/Finance of last week";
    let plan = scene
        .tenant
        .json(&["restore", source, target, "--dry-run"])?;
    let items = plan["items"].as_array().context("no items")?;
    ensure!(items.len() >= all.len(), "{plan:#}");
    ensure!(
        scene
            .drive("/sites/Engineering", "Finance of last week")
            .is_err(),
        "a dry run made a library"
    );
    let done = scene.tenant.json(&["restore", source, target])?;
    ensure!(done["failed"] == 0, "{done:#}");
    let made = scene.drive("/sites/Engineering", "Finance of last week")?;
    ensure!(drives::files(&scene.tenant.graph, &made)?.len() == all.len());
    scene.nothing_was_sent()
}

#[test]
fn policies_hold_for_libraries() -> Result<()> {
    let scene = Scene::new()?;
    let (graph, drive) = (&scene.tenant.graph, scene.drive("/sites/Finance", "Media")?);
    let path = format!("/drives/{drive}/root:/logo.svg:/content");
    graph.put(&path, b"<svg>old</svg>".to_vec())?;
    scene.tenant.backup()?;
    graph.put(&path, b"<svg>new</svg>".to_vec())?;
    let mount = scene.tenant.mount()?;
    let library = "Sites/Finance/Libraries/Media";
    let file = mount
        .path("snapshots/latest")
        .canonicalize()?
        .join(library)
        .join("logo.svg");
    let cp = |policy: &str| {
        sh(
            &mount.dir,
            &format!("cp {} 'restore/{policy}{library}/'", quote(&file)),
        )
    };
    let named = |name: &str| -> Result<Option<Vec<u8>>> {
        let live = drives::files(graph, &drive)?;
        let item = live.get(Path::new(name));
        item.map(|item| drives::content(graph, &drive, item))
            .transpose()
    };
    let (ok, said) = cp("")?;
    ensure!(!ok && said.contains("exists"), "{said}");
    ensure!(named("logo.svg")?.as_deref() == Some(&b"<svg>new</svg>"[..]));
    let (ok, said) = cp("@keep-both/")?;
    ensure!(ok, "{said}");
    let twins: Vec<_> = drives::files(graph, &drive)?
        .into_keys()
        .filter(|path| path.to_string_lossy().starts_with("logo"))
        .collect();
    ensure!(twins.len() == 2, "{twins:?}");
    let (ok, said) = cp("@overwrite/")?;
    ensure!(ok, "{said}");
    ensure!(named("logo.svg")?.as_deref() == Some(&b"<svg>old</svg>"[..]));
    // By command: what is there stays, and is named.
    graph.put(&path, b"<svg>newer</svg>".to_vec())?;
    let source = format!("latest/{library}/logo.svg");
    let kept = scene.tenant.json(&["restore", &source, library])?;
    ensure!(kept["existing"] == 1, "{kept:#}");
    let replaced = scene
        .tenant
        .json(&["restore", &source, library, "--conflict", "overwrite"])?;
    ensure!(replaced["restored"] == 1, "{replaced:#}");
    ensure!(named("logo.svg")?.as_deref() == Some(&b"<svg>old</svg>"[..]));
    scene.nothing_was_sent()
}

#[test]
fn libraries_onedrives_and_mailboxes_exchange_files() -> Result<()> {
    let scene = Scene::new()?;
    let graph = &scene.tenant.graph;
    let mut users = graph.mailboxes()?;
    let alice = users.remove(0);
    let drive = scene.drive("/sites/Finance", "Documents")?;
    graph.put(
        &format!("/drives/{drive}/root:/budget.txt:/content"),
        b"42".to_vec(),
    )?;
    let onedrive = scene.onedrive(&alice)?;
    graph.put(
        &format!("/drives/{onedrive}/root:/mine.txt:/content"),
        b"mine".to_vec(),
    )?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let documents = "Sites/Finance/Libraries/Documents";
    sh_ok(
        &mount.dir,
        &format!(
            "cp {} 'restore/{alice}/OneDrive/'",
            quote(&latest.join(documents).join("budget.txt"))
        ),
    )?;
    sh_ok(
        &mount.dir,
        &format!(
            "cp {} 'restore/{documents}/'",
            quote(&latest.join(&alice).join("OneDrive/mine.txt"))
        ),
    )?;
    // A folder of mails becomes a folder of files.
    let inbox = latest.join(&alice).join("Mail/Inbox");
    let mails = corpus::files(&inbox).len();
    sh_ok(
        &mount.dir,
        &format!(
            "cp -r {} 'restore/{documents}/Mails of Alice'",
            quote(&inbox)
        ),
    )?;
    let bytes =
        |drive: &str, path: &str| graph.bytes(&format!("/drives/{drive}/root:/{path}:/content"));
    ensure!(bytes(&onedrive, "budget.txt")? == b"42");
    ensure!(bytes(&drive, "mine.txt")? == b"mine");
    let live = drives::files(graph, &drive)?;
    let there = live
        .keys()
        .filter(|path| path.starts_with("Mails of Alice"));
    ensure!(mails > 0 && there.count() == mails);
    scene.nothing_was_sent()
}

#[test]
fn what_sharepoint_has_no_place_for_is_refused_with_the_rule() -> Result<()> {
    let scene = Scene::new()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let library = mount.path("restore/Sites/Finance/Libraries/Documents");
    let before = files(&scene)?;
    let stray = scene.tenant.path("stray.txt");
    fs::write(&stray, "x")?;
    let cp = |target: &Path| {
        let command = format!("cp {} {}", quote(&stray), quote(target));
        sh(&mount.dir, &command)
    };
    for name in ["what?.txt", "a:b.txt", "CON", "ends with a dot."] {
        let (ok, said) = cp(&library.join(name))?;
        ensure!(!ok, "{name} was taken: {said}");
    }
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("SharePoint"), "{log}");
    // A file needs a library, and a library a site.
    let (ok, said) = cp(&mount.path("restore/Sites/Finance/Libraries/stray.txt"))?;
    ensure!(!ok, "a file without a library was taken: {said}");
    let (ok, _) = sh(&mount.dir, "mkdir restore/Sites/Nowhere")?;
    ensure!(!ok);
    ensure!(files(&scene)? == before, "something came through");
    Ok(())
}

/// Every live file, by what moves with each change of it. (Its download address is new each time.)
fn files(scene: &Scene) -> Result<Vec<(PathBuf, Value)>> {
    let mut all = Vec::new();
    for library in scene.libraries()? {
        let live = drives::files(&scene.tenant.graph, &library.drive)?;
        all.extend(
            live.into_iter()
                .map(|(path, item)| (path, item["eTag"].clone())),
        );
    }
    Ok(all)
}
