//! Forget, holds, tags and prune with the real program on a repository that a real capture made.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::changes::{change, somebody};
use e2e::{Tenant, corpus, text};
use graph_emulator::Options;
use serde_json::{Value, json};

/// A tenant with something of everything that objects can hang on.
fn tenant() -> Options {
    Options {
        accounts: 3,
        messages: 90,
        files: 30,
        events: 12,
        contacts: 12,
        archives: 1,
        archive_messages: 10,
        sites: 1,
        site_files: 10,
        site_items: 10,
        ..Options::default()
    }
}

const CONFIG: &str = "[protect]\nversions = 3\n";

/// The name of the snapshot of a cycle.
fn backup(tenant: &Tenant) -> Result<String> {
    let name = tenant.backup()?["snapshot"].as_str().map(str::to_owned);
    name.context("no snapshot")
}

fn listed(tenant: &Tenant, arguments: &[&str]) -> Result<Vec<String>> {
    let all = tenant.json(arguments)?;
    let names = all.as_array().context("no list")?.iter();
    names
        .map(|snapshot| Ok(snapshot["name"].as_str().context("no name")?.to_owned()))
        .collect()
}

#[test]
fn what_is_kept_survives_forget_and_prune() -> Result<()> {
    let tenant = Tenant::with_config(tenant(), CONFIG)?;
    let first = backup(&tenant)?;
    for round in 0..3 {
        change(&tenant, round)?;
        backup(&tenant)?;
    }
    let all = listed(&tenant, &["snapshots"])?;
    let latest = all[3].clone();
    let ceo = somebody(&tenant)?;
    let mount = tenant.mount()?;
    let before = mount.everything(&latest)?;
    ensure!(before.len() > 100, "{} files", before.len());
    let folder = |name: &str| -> Result<Vec<String>> {
        let names = std::fs::read_dir(mount.path("snapshots").join(name))?;
        let mut names: Vec<_> = names
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        Ok(names)
    };
    ensure!(folder(&first)?.len() > 3, "{:?}", folder(&first));

    tenant.json(&["tag", "add", &all[1], "audit"])?;
    ensure!(listed(&tenant, &["snapshots", "--tag", "audit"])? == [all[1].clone()]);
    let because = ["--account", "nobody@*", "--reason", "court"];
    tenant.json(
        &[
            &["hold", "add", "case-1", "--snapshot", &all[2]],
            &because[..],
        ]
        .concat(),
    )?;
    ensure!(tenant.json(&["hold", "list"])?[0]["reason"] == "court");
    tenant.json(&["hold", "remove", "case-1"])?;
    tenant.json(&[
        "hold",
        "add",
        "case-2",
        "--account",
        &ceo,
        "--until",
        "2099-01-01",
    ])?;

    let rules = ["--keep-last", "1", "--keep-tag", "audit"];
    let planned = tenant.json(&[&["forget", "--dry-run"], &rules[..]].concat())?;
    let done = tenant.json(&[&["forget", "--prune"], &rules[..]].concat())?;
    for plan in [&planned, &done] {
        ensure!(
            plan["kept"] == 2 && plan["trimmed"] == 2 && plan["forgotten"] == 0,
            "{plan}"
        );
        ensure!(
            plan["snapshots"][0]["reasons"] == json!(["hold case-2"]),
            "{plan}"
        );
        ensure!(
            plan["snapshots"][1]["reasons"] == json!(["tag audit", "hold case-2"]),
            "{plan}"
        );
    }
    tenant.verify()?;
    ensure!(
        mount.everything(&latest)? == before,
        "the latest snapshot changed"
    );
    // The mount notices: only the account under hold is left, and all of it can be read.
    let deadline = Instant::now() + Duration::from_secs(10);
    while folder(&first)? != [ceo.clone()] {
        ensure!(Instant::now() < deadline, "{:?}", folder(&first));
        std::thread::sleep(Duration::from_millis(100));
    }
    let held = corpus::files(&mount.path("snapshots").join(&first));
    ensure!(held.len() > 20 && held.iter().all(|file| std::fs::read(file).is_ok()));
    drop(mount);

    // By name neither, and forget says why; without the hold it goes.
    let refused = tenant.run(&["forget", &first])?;
    ensure!(
        refused.status.code() == Some(3),
        "{}",
        text(&refused.stderr)
    );
    ensure!(
        text(&refused.stdout).contains("hold case-2"),
        "{}",
        text(&refused.stdout)
    );
    tenant.json(&["hold", "remove", "case-2"])?;
    tenant.json(&["forget", &first, &all[2]])?;
    let freed = tenant.json(&["prune", "--max-unused", "0"])?;
    ensure!(freed["deleted"]["bytes"].as_u64() > Some(0), "{freed}");
    ensure!(listed(&tenant, &["snapshots"])? == [all[1].clone(), latest.clone()]);
    tenant.verify()?;
    let mount = tenant.mount()?;
    ensure!(
        mount.everything(&latest)? == before,
        "the latest snapshot changed"
    );
    drop(mount);
    // The next cycle goes on as if nothing had happened.
    change(&tenant, 9)?;
    let summary = tenant.backup()?;
    ensure!(
        summary["counts"]["fetched"].as_u64() < Some(40),
        "{summary}"
    );
    tenant.verify()
}

#[test]
fn accounts_have_rules_of_their_own_and_the_daemon_follows_them() -> Result<()> {
    let tenant = Tenant::start(Options {
        accounts: 2,
        messages: 30,
        files: 6,
        ..Options::default()
    })?;
    let ceo = somebody(&tenant)?;
    backup(&tenant)?;
    for round in 0..2 {
        change(&tenant, round)?;
        backup(&tenant)?;
    }
    let tagged = tenant.json(&["backup", "--tag", "nothing new"])?;
    ensure!(tagged["snapshot"].is_string(), "{tagged}");
    ensure!(listed(&tenant, &["snapshots", "--tag", "nothing new"])?.len() == 1);
    let none = tenant.run(&["forget"])?;
    ensure!(none.status.code() == Some(1), "{}", text(&none.stdout));
    tenant.write_config(&format!(
        "[retention]\nkeep_last = 1\nprune_every = \"1s\"\n[[retention.account]]\nmatch = \"{ceo}\"\n\
         keep_last = 3\n"
    ))?;
    let planned = tenant.json(&["forget", "--dry-run"])?;
    ensure!(
        planned["forgotten"] == 1 && planned["trimmed"] == 2,
        "{planned}"
    );
    let bytes = |stats: Value| stats["bytes"].as_u64().context("no bytes");
    let before = bytes(tenant.json(&["stats"])?)?;
    let mut daemon = tenant.command(&["daemon"]);
    let mut daemon = daemon
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let outcome = loop {
        let fewer = listed(&tenant, &["snapshots"])?.len() == 3;
        if fewer && bytes(tenant.json(&["stats"])?)? < before {
            break Ok(());
        }
        if Instant::now() > deadline {
            break Err(anyhow::anyhow!("the daemon neither forgot nor pruned"));
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    e2e::program::terminate(&mut daemon);
    outcome?;
    let left = tenant.json(&["snapshots"])?;
    let accounts = |at: usize| left[at]["totals"]["accounts"].as_u64();
    ensure!(
        (accounts(0), accounts(1), accounts(2)) == (Some(1), Some(1), Some(3)),
        "{left}"
    );
    tenant.verify()
}
