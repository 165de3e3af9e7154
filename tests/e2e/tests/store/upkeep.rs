//! What looks after a repository, in an object store: prune beside a writer, and repair.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::garage;
use e2e::proxy::{Fault, Rule};
use graph_emulator::Options;
use serde_json::{Value, json};

use super::{Stage, contents, noise};

const PRUNE: [&str; 5] = ["prune", "--grace", "0", "--max-unused", "0"];

fn options() -> Options {
    Options {
        accounts: 1,
        messages: 10,
        files: 3,
        ..Options::default()
    }
}

#[test]
fn prune_leaves_what_a_backup_relies_on() -> Result<()> {
    let Some(stage) = Stage::start(1, options(), "")? else {
        return Ok(());
    };
    let tenant = &stage.tenant;
    let content = noise(1, 3 << 20);
    stage.put("first.bin", content.clone())?;
    stage.snapshot()?;
    stage.remove("first.bin")?;
    stage.snapshot()?;
    tenant.json(&["forget", "--keep-last", "1"])?;
    // Nothing needs the content any more, when it comes back: the backup finds it in the repository.
    stage.put("second.bin", content.clone())?;
    stage.proxy.set_rules(&[Rule {
        part: "PUT /tenantfs/repository/snapshots/",
        fault: Fault::Hang,
    }]);
    stage.proxy.take_requests();
    let backup = tenant
        .command(&["backup", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !stage
        .proxy
        .take_requests()
        .iter()
        .any(|request| request.starts_with("PUT /tenantfs/repository/snapshots/"))
    {
        ensure!(Instant::now() < deadline, "it does not commit");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pruned = tenant.json(&PRUNE)?;
    let name = format!("process {} on", backup.id());
    ensure!(
        pruned["waiting"]["packs"].as_u64() > Some(0)
            && pruned["waiting_for"].to_string().contains(&name),
        "{name}: {pruned:#}"
    );
    stage.proxy.set_rules(&[]);
    let output = backup.wait_with_output()?;
    ensure!(output.status.success(), "{}", output.status);
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    let snapshot = summary["snapshot"].as_str().context("no snapshot")?;
    // It did not store it again.
    ensure!(
        summary["bytes_written"].as_u64() < Some(1 << 20),
        "{summary:#}"
    );

    let pruned = tenant.json(&PRUNE)?;
    ensure!(pruned["waiting"]["packs"] == 0, "{pruned:#}");
    stage.forget_local_copies()?;
    let mount = tenant.mount()?;
    let root = mount.path("snapshots").join(snapshot).join(stage.upn()?);
    ensure!(std::fs::read(root.join("OneDrive/second.bin"))? == content);
    drop(mount);
    stage.verify()
}

#[test]
fn repair_brings_back_what_the_store_lost() -> Result<()> {
    let Some(stage) = Stage::start(1, options(), "")? else {
        return Ok(());
    };
    let stored = garage::stored(stage.garage.address(0), "repository")?;
    let tenant = &stage.tenant;
    stage.put("large.bin", noise(2, 3 << 20))?;
    let first = stage.snapshot()?;
    let read = |snapshot: &str| -> Result<_> {
        stage.forget_local_copies()?;
        let mount = tenant.mount()?;
        contents(&mount.path("snapshots").join(snapshot))
    };
    let before = read(&first)?;
    // Removed; cut off; zeros at the end, as a power cut leaves them.
    let losses: [fn(&mut Vec<u8>); 3] = [
        Vec::clear,
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.iter_mut().skip(2000).for_each(|byte| *byte = 0),
    ];
    for (n, loss) in losses.into_iter().enumerate() {
        for pack in stored.list("data")? {
            stored.damage(&pack, loss)?;
        }
        let found = tenant.run(&["verify", "--read-data"])?;
        ensure!(found.status.code() == Some(1), "loss {n}: {found:?}");
        let repaired = tenant.json(&["repair"])?;
        ensure!(
            repaired["left"] == json!([]) && repaired["hits"] != json!([]),
            "loss {n}: {repaired:#}"
        );
        let again = tenant.backup()?;
        ensure!(again["counts"]["failed"] == 0, "loss {n}: {again:#}");
        stage.verify()?;
        let last = again["snapshot"].as_str().context("no snapshot")?;
        for snapshot in [&first, last] {
            ensure!(read(snapshot)? == before, "loss {n}: {snapshot}");
        }
    }
    Ok(())
}
