//! Damage to the repository: found, named, mended, and captured again from Microsoft 365.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::stored::Stored;
use e2e::{Tenant, corpus};
use graph_emulator::Options;
use serde_json::{Value, json};

fn small() -> Options {
    Options {
        accounts: 2,
        messages: 60,
        files: 12,
        events: 6,
        contacts: 6,
        ..Options::default()
    }
}

/// Every file of a snapshot as the mount shows it.
fn contents(tenant: &Tenant, snapshot: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let mount = tenant.mount()?;
    let root = mount.path(&format!("snapshots/{snapshot}"));
    let name =
        |path: &Path| Ok::<_, anyhow::Error>(path.strip_prefix(&root)?.display().to_string());
    corpus::files(&root)
        .into_iter()
        .map(|path| Ok((name(&path)?, fs::read(&path)?)))
        .collect()
}

/// `tenantfs --json ARGS`, whatever its status, and that.
fn ask(tenant: &Tenant, args: &[&str]) -> Result<(i32, Value)> {
    let output = tenant.run(&[&["--json"], args].concat())?;
    let status = output.status.code().context("it was killed")?;
    let said = serde_json::from_slice(&output.stdout);
    Ok((
        status,
        said.with_context(|| format!("{args:?}: {output:?}"))?,
    ))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Changes every pack of a folder.
fn damage(tenant: &Tenant, folder: &str, change: impl Fn(&mut Vec<u8>)) -> Result<()> {
    let stored = Stored::Directory(tenant.path("repository"));
    let packs = stored.list(folder)?;
    ensure!(!packs.is_empty(), "no packs in {folder}");
    packs
        .iter()
        .try_for_each(|pack| stored.damage(pack, &change))
}

/// A tenant with one snapshot, its name, and what is in it.
fn captured() -> Result<(Tenant, String, BTreeMap<String, Vec<u8>>)> {
    let tenant = Tenant::start(small())?;
    let snapshot = tenant.backup()?["snapshot"]
        .as_str()
        .context("no snapshot")?
        .to_owned();
    let before = contents(&tenant, &snapshot)?;
    ensure!(before.len() > 50, "only {} files", before.len());
    Ok((tenant, snapshot, before))
}

/// Damages, repairs, captures again: then everything is as it was.
fn comes_back(folder: &str, change: fn(&mut Vec<u8>)) -> Result<()> {
    let (tenant, first, before) = captured()?;
    // What is captured again is not of the same second; it must be the same all the same.
    std::thread::sleep(Duration::from_secs(1));
    damage(&tenant, folder, change)?;
    let (status, found) = ask(&tenant, &["verify", "--read-data"])?;
    ensure!(
        status == 1 && !names(&found["hits"]).is_empty(),
        "{folder}: {found:#}"
    );
    let (status, dry) = ask(&tenant, &["repair", "--dry-run"])?;
    ensure!(status == 3 && dry["snapshot"].is_null(), "{dry:#}");
    ensure!(ask(&tenant, &["verify", "--read-data"])?.1["damaged"] == found["damaged"]);

    let (status, repaired) = ask(&tenant, &["repair"])?;
    ensure!(status == 3, "{status}: {repaired:#}");
    let hits = names(&repaired["hits"]);
    ensure!(
        hits.iter().any(|hit| hit.starts_with(&first)),
        "{repaired:#}"
    );
    ensure!(
        hits == names(&dry["hits"]),
        "{repaired:#} instead of {dry:#}"
    );
    let mended = repaired["snapshot"].as_str().context("no snapshot")?;
    let asked = repaired["items"].as_u64() > Some(0) || !names(&repaired["restarted"]).is_empty();
    ensure!(asked, "{repaired:#}");
    // What is lost is named as long as it is not back; nothing else is.
    let (status, left) = ask(&tenant, &["verify", "--read-data"])?;
    ensure!(
        status == 1 && left["damaged"].as_array().is_some(),
        "{left:#}"
    );

    let again = tenant.backup()?;
    ensure!(again["snapshot"].as_str() > Some(mended), "{again:#}");
    ensure!(again["counts"]["failed"] == 0, "{again:#}");
    let (status, clean) = ask(&tenant, &["verify", "--read-data"])?;
    ensure!(status == 0, "{folder}: {clean:#}");
    for snapshot in [&first, again["snapshot"].as_str().context("none")?] {
        let now = contents(&tenant, snapshot)?;
        for (path, bytes) in &before {
            ensure!(
                now.get(path) == Some(bytes),
                "{folder}: {path} of {snapshot}"
            );
        }
        ensure!(now.len() == before.len());
    }
    let idle = tenant.backup()?;
    ensure!(idle["snapshot"].is_null(), "{idle:#}");
    Ok(())
}

fn flip(bytes: &mut [u8]) {
    bytes[200] ^= 1;
}

#[test]
fn a_flipped_bit_of_contents_comes_back() -> Result<()> {
    comes_back("data", |bytes| flip(bytes))
}

#[test]
fn a_flipped_bit_of_records_and_trees_comes_back() -> Result<()> {
    comes_back("meta", |bytes| flip(bytes))
}

#[test]
fn a_lost_pack_of_contents_comes_back() -> Result<()> {
    comes_back("data", Vec::clear)
}

#[test]
fn what_is_damaged_again_on_the_same_day_comes_back_again() -> Result<()> {
    let (tenant, first, before) = captured()?;
    for time in 0..2 {
        damage(&tenant, "data", Vec::clear)?;
        let (_, repaired) = ask(&tenant, &["repair"])?;
        ensure!(repaired["items"].as_u64() > Some(0), "{time}: {repaired:#}");
        let again = tenant.backup()?;
        ensure!(again["counts"]["failed"] == 0, "{time}: {again:#}");
        tenant.verify()?;
        ensure!(contents(&tenant, &first)? == before, "{time}");
    }
    Ok(())
}

#[test]
fn all_trees_and_records_are_captured_again() -> Result<()> {
    let (tenant, first, before) = captured()?;
    // What is captured in the same second has the same times, and brings back even more.
    std::thread::sleep(Duration::from_secs(1));
    damage(&tenant, "meta", Vec::clear)?;
    let (status, repaired) = ask(&tenant, &["repair"])?;
    ensure!(status == 3 && repaired["left"] == json!([]), "{repaired:#}");
    let again = tenant.backup()?;
    ensure!(again["counts"]["failed"] == 0, "{again:#}");
    let last = again["snapshot"].as_str().context("no snapshot")?;
    ensure!(contents(&tenant, last)? == before);
    // When its folders had changed is lost for good, and so is the top of the first one.
    let (_, left) = ask(&tenant, &["verify", "--read-data"])?;
    ensure!(
        names(&left["hits"]) == [format!("{first}/ (listing)")],
        "{left:#}"
    );
    ensure!(tenant.backup()?["snapshot"].is_null());
    Ok(())
}

#[test]
fn what_is_gone_from_the_service_stays_named_and_the_rest_comes_back() -> Result<()> {
    let tenant = Tenant::start(small())?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    // Nothing in it is in any other item as well.
    tenant.graph.receive(&upn, "inbox", "Only here")?;
    let first = tenant.backup()?;
    let first = first["snapshot"].as_str().context("no snapshot")?;
    let before = contents(&tenant, first)?;
    damage(&tenant, "data", |bytes| {
        // No frame is left whole.
        bytes.iter_mut().step_by(1000).for_each(|byte| *byte ^= 1);
    })?;
    let (_, repaired) = ask(&tenant, &["repair"])?;
    let hits = names(&repaired["hits"]);
    let is_it = |hit: &&&str| hit.starts_with(first) && hit.contains("Only here");
    let hit = hits.iter().find(is_it).context("it is not hit")?;
    let path = hit.strip_suffix(" (content)").context("not its content")?;
    let path = path.split_once('/').context("no path")?.1;
    let record = {
        let mount = tenant.mount()?;
        let file = format!("snapshots/{first}/.tenantfs/graph/{path}.json");
        serde_json::from_slice::<Value>(&fs::read(mount.path(&file))?)?
    };
    let id = record["id"].as_str().context("no id")?;
    tenant
        .graph
        .delete(&format!("/users/{upn}/messages/{id}"))?;

    let again = tenant.backup()?;
    let last = again["snapshot"].as_str().context("no snapshot")?;
    let (status, left) = ask(&tenant, &["verify", "--read-data"])?;
    ensure!(status == 1 && left["damaged"] == json!([]), "{left:#}");
    let named = names(&left["hits"]);
    ensure!(
        !named.is_empty() && named.iter().all(|named| named.contains(path)),
        "{path}: {left:#}"
    );
    ensure!(
        named.iter().any(|named| named.starts_with(first)),
        "{left:#}"
    );
    let now = contents(&tenant, last)?;
    for (file, bytes) in &before {
        ensure!((now.get(file) == Some(bytes)) == (file != path), "{file}");
    }
    Ok(())
}

#[test]
fn parity_heals_without_the_service() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.write_config("parity = \"5%\"\n")?;
    let first = tenant.backup()?["snapshot"]
        .as_str()
        .context("none")?
        .to_owned();
    let before = contents(&tenant, &first)?;
    for folder in ["data", "meta"] {
        damage(&tenant, folder, |bytes| flip(bytes))?;
    }
    let (status, repaired) = ask(&tenant, &["repair"])?;
    ensure!(
        status == 0 && repaired["snapshot"].is_null(),
        "{repaired:#}"
    );
    ensure!(names(&repaired["healed"]).len() >= 2, "{repaired:#}");
    let (status, clean) = ask(&tenant, &["verify", "--read-data"])?;
    ensure!(
        status == 0 && clean["parity"] == clean["packs"],
        "{clean:#}"
    );
    ensure!(contents(&tenant, &first)? == before);
    Ok(())
}

#[test]
fn the_daemon_scrubs_and_tells() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.backup()?;
    damage(&tenant, "data", |bytes| flip(bytes))?;
    tenant.write_config("[protect]\nschedule = \"1h\"\n[verify]\nevery = \"2s\"\n")?;
    ensure!(tenant.run(&["daemon", "--background"])?.status.success());
    let deadline = Instant::now() + Duration::from_secs(60);
    let scrub = loop {
        let scrub = ask(&tenant, &["status"])?.1["scrub"].clone();
        let found = scrub["damaged"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        if found && scrub["last_round"].as_i64().is_some() {
            break scrub;
        }
        ensure!(Instant::now() < deadline, "nothing was found: {scrub:#}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let file = scrub["damaged"][0]["file"].as_str().context("no file")?;
    ensure!(file.starts_with("data/"), "{scrub:#}");
    let health = |running| -> Result<()> {
        let (_, checks) = ask(&tenant, &["doctor"])?;
        let mut all = checks.as_array().context("no checks")?.iter();
        let check = all
            .find(|check| check["what"] == "scrub")
            .context("no scrub")?;
        let detail = check["detail"].as_str().context("no detail")?;
        ensure!(check["health"] == "broken", "{running}: {check:#}");
        ensure!(
            detail.contains(file) && detail.contains("repair"),
            "{detail}"
        );
        Ok(())
    };
    health("with the daemon")?;
    ensure!(stop(&tenant)?, "it did not stop");
    health("without it")
}

/// Asks the daemon to stop, and waits until it has.
fn stop(tenant: &Tenant) -> Result<bool> {
    let pid = ask(tenant, &["status"])?.1["pid"]
        .as_i64()
        .context("no pid")?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("no pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while rustix::process::test_kill_process(pid).is_ok() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(true)
}
