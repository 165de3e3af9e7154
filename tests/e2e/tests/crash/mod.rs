//! `kill -9` at random moments of first sync, incremental cycle, restore and index rebuild.
//!
//! The tenant has everything that Exchange holds, and drives. After each kill every committed snapshot
//! verifies, the next run goes on to the end, and nothing was restored twice or lost. `TENANTFS_CRASH_SEED`
//! (default 1) chooses the moments, `TENANTFS_CRASH_ROUNDS` (default 10; 50 makes 250 kills in all) how many
//! of each kind there are. What maintains a repository is killed in `kills`.

mod exchange;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::kills::{Killer, dice, rounds, timed};
use e2e::{Tenant, corpus};
use graph_emulator::Options;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// Kills of each kind, unless the environment says otherwise.
const ROUNDS: u64 = 10;

/// Runs `tenantfs ARGUMENTS` as often as there are rounds, each time after `prepare`, kills it
/// somewhere on its way (`whole` is how long it takes), and verifies what it left.
fn killed(
    tenant: &Tenant,
    arguments: &[&str],
    whole: Duration,
    dice: &mut StdRng,
    mut prepare: impl FnMut(u64, &mut StdRng) -> Result<()>,
) -> Result<()> {
    let mut killer = Killer::new(dice, whole);
    for round in 0..rounds(ROUNDS) {
        prepare(round, dice)?;
        killer.strike(tenant.command(arguments))?;
        tenant.verify()?;
    }
    let (kills, rounds) = (killer.kills, rounds(ROUNDS));
    eprintln!("{arguments:?}: {kills} of {rounds} killed on their way");
    ensure!(2 * kills >= rounds, "{arguments:?}: most had ended before");
    Ok(())
}

/// The next cycle goes on to the end, and has everything.
fn finishes(tenant: &Tenant) -> Result<()> {
    tenant.backup()?;
    tenant.verify()?;
    latest_is_complete(tenant)
}

/// Takes a mail out of the mailbox for good.
fn delete(tenant: &Tenant, upn: &str, id: &str) -> Result<()> {
    let purge = format!("/users/{upn}/messages/{id}/permanentDelete");
    tenant.graph.post(&purge, &json!({})).map(drop)
}

/// Every live mail is in the latest snapshot, byte for byte, and no other; and so is everything else that
/// a mailbox holds.
fn latest_is_complete(tenant: &Tenant) -> Result<()> {
    let mount = tenant.mount()?;
    for upn in tenant.graph.mailboxes()? {
        exchange::is_complete(tenant, &mount, &upn)?;
        let root = mount
            .path("snapshots/latest")
            .canonicalize()?
            .join(&upn)
            .join("Mail");
        let mut shown = BTreeMap::new();
        for file in corpus::files(&root) {
            *shown.entry(std::fs::read(file)?).or_insert(0) += 1;
        }
        let mut live = BTreeMap::new();
        for message in tenant
            .graph
            .list(&format!("/users/{upn}/messages?$top=500"))?
        {
            let id = message["id"].as_str().context("no id")?;
            *live
                .entry(
                    tenant
                        .graph
                        .bytes(&format!("/users/{upn}/messages/{id}/$value"))?,
                )
                .or_insert(0) += 1;
        }
        ensure!(
            shown == live,
            "{upn}: {} mails shown, {} live",
            shown.len(),
            live.len()
        );
    }
    Ok(())
}

#[test]
fn killed_in_the_first_sync() -> Result<()> {
    let mut dice = dice(1);
    let options = exchange::tenant(200, 30);
    let probe = Tenant::with_config(options.clone(), "[protect]\ncheckpoint_seconds = 1\n")?;
    let whole = timed(probe.command(&["backup"]))?;
    drop(probe);
    let tenant = Tenant::with_config(options, "[protect]\ncheckpoint_seconds = 1\n")?;
    killed(&tenant, &["backup"], whole, &mut dice, |_, _| Ok(()))?;
    finishes(&tenant)
}

#[test]
fn killed_in_an_incremental_cycle() -> Result<()> {
    let mut dice = dice(2);
    let tenant = Tenant::start(exchange::tenant(100, 20))?;
    tenant.backup()?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    let whole = timed(tenant.command(&["backup"]))? + Duration::from_millis(100);
    killed(&tenant, &["backup"], whole, &mut dice, |round, dice| {
        exchange::change(&tenant, &upn, round, dice)?;
        for n in 0..5 {
            tenant
                .graph
                .receive(&upn, "inbox", &format!("mail {round} {n}"))?;
        }
        let inbox = tenant
            .graph
            .list(&format!("/users/{upn}/mailFolders/inbox/messages"))?;
        let victim = &inbox[dice.random_range(0..inbox.len())];
        let id = victim["id"].as_str().context("no id")?;
        delete(&tenant, &upn, id)
    })?;
    finishes(&tenant)
}

#[test]
fn killed_in_an_index_rebuild() -> Result<()> {
    let mut dice = dice(3);
    let tenant = Tenant::start(Options {
        accounts: 1,
        messages: 150,
        files: 20,
        ..Options::default()
    })?;
    tenant.backup()?;
    let whole = timed(tenant.command(&["rebuild-index"]))?;
    killed(&tenant, &["rebuild-index"], whole, &mut dice, |round, _| {
        if round % 2 == 0 {
            std::fs::remove_dir_all(tenant.path("state"))?;
        }
        Ok(())
    })?;
    finishes(&tenant)
}

#[test]
fn killed_in_a_restore() -> Result<()> {
    let mut dice = dice(4);
    let tenant = Tenant::start(Options {
        accounts: 2,
        messages: 100,
        files: 10,
        ..Options::default()
    })?;
    tenant.backup()?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    let inbox = format!("/users/{upn}/mailFolders/inbox/messages");
    let before = tenant.graph.list(&inbox)?;
    let source = tenant_source(&tenant, &upn)?;
    let mut twice_or_lost = Vec::new();
    for _ in 0..rounds(ROUNDS) {
        for mail in tenant.graph.list(&inbox)?.iter().take(10) {
            let id = mail["id"].as_str().context("no id")?;
            delete(&tenant, &upn, id)?;
        }
        // Queued: what cp was told is safe must arrive, once.
        let mount = tenant.mount()?;
        let target = mount.path(&format!("restore/@queued/{upn}/Mail/Inbox"));
        let mut accepted = 0;
        let killer = dice.random_range(0..10);
        for (n, file) in source.iter().enumerate() {
            let name = file.file_name().context("a name")?;
            if std::fs::copy(file, target.join(name)).is_ok() {
                accepted += 1;
            }
            if accepted > killer || n > 40 {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(dice.random_range(0..200_000)));
        mount.kill()?;
        settle(&tenant)?;
        // The rest, by the command line: what arrived is not there twice.
        let from = format!("latest/{upn}/Mail/Inbox");
        let to = format!("{upn}/Mail/Inbox");
        tenant.json(&["restore", &from, &to, "--deleted-only"])?;
        let now = tenant.graph.list(&inbox)?;
        if ids(&now) != ids(&before) {
            twice_or_lost.push((ids(&before).len(), now.len()));
        }
    }
    ensure!(
        twice_or_lost.is_empty(),
        "restored twice or lost: {twice_or_lost:?}"
    );
    Ok(())
}

/// Copies of the inbox's mails outside of the mount.
fn tenant_source(tenant: &Tenant, upn: &str) -> Result<Vec<std::path::PathBuf>> {
    let mount = tenant.mount()?;
    let copy = tenant.path("copy");
    std::fs::create_dir_all(&copy)?;
    let inbox = mount
        .path("snapshots/latest")
        .canonicalize()?
        .join(upn)
        .join("Mail/Inbox");
    for entry in std::fs::read_dir(inbox)? {
        let path = entry?.path();
        if path.is_file() {
            std::fs::copy(&path, copy.join(path.file_name().context("a name")?))?;
        }
    }
    Ok(corpus::files(&copy))
}

/// Mounts again, and waits until the queue is empty.
fn settle(tenant: &Tenant) -> Result<()> {
    let mount = tenant.mount()?;
    for _ in 0..300 {
        if std::fs::read_to_string(mount.path("restore/.queue"))?
            .trim()
            .is_empty()
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!(
        "the queue never drained: {}",
        std::fs::read_to_string(mount.path("restore/.queue"))?
    )
}

/// How often each internetMessageId is there.
fn ids(messages: &[Value]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for message in messages {
        *ids.entry(message["internetMessageId"].to_string())
            .or_default() += 1;
    }
    ids
}
