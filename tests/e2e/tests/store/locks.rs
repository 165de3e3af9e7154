//! A bucket with Object Lock: what opens and reads snapshots is locked, prune leaves it, and locks go on
//! for what is of use.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use e2e::garage;
use e2e::moto::{Moto, Version};
use e2e::proxy::{Fault, Proxy, Rule};
use e2e::{Tenant, text};
use graph_emulator::Options;
use serde_json::Value;

use super::{Stage, noise};

const DAY: i64 = 86_400;

fn small() -> Options {
    Options {
        accounts: 1,
        messages: 10,
        files: 3,
        ..Options::default()
    }
}

/// A tenant whose repository is in a bucket with Object Lock, with a proxy between them.
struct Vault {
    tenant: Tenant,
    proxy: Proxy,
    moto: Moto,
}

impl Vault {
    /// `None` where the store is not to be had. `extra` are lines of `[repository]`.
    fn start(extra: &str) -> Result<Option<Self>> {
        let Some(moto) = Moto::start()? else {
            return Ok(None);
        };
        let proxy = Proxy::start(moto.address())?;
        let tenant = Tenant::in_store(small(), |dir| {
            Ok(garage::repository(dir, proxy.address(), "repository")? + extra)
        })?;
        Ok(Some(Self {
            tenant,
            proxy,
            moto,
        }))
    }

    /// Takes a snapshot with a file in it that needs an upload in parts, one without it, and forgets the
    /// first, so that its packs are condemned.
    fn leave_garbage(&self) -> Result<()> {
        let upn = self.tenant.graph.mailboxes()?.remove(0);
        let file = format!("/users/{upn}/drive/root:/large.bin");
        self.tenant
            .graph
            .put(&format!("{file}:/content"), noise(1, 20 << 20))?;
        let first = self.tenant.backup()?;
        self.tenant.graph.delete(&file)?;
        self.tenant.backup()?;
        let first = first["snapshot"].as_str().context("no snapshot")?;
        self.tenant.json(&["forget", first])?;
        let condemned = ["prune", "--max-unused", "0", "--grace", "1h"];
        let condemned = self.tenant.json(&condemned)?;
        ensure!(
            condemned["waiting"]["packs"].as_u64() > Some(0),
            "{condemned:#}"
        );
        // The shortest grace period is over.
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    }

    fn prune(&self) -> Result<Value> {
        self.tenant
            .json(&["prune", "--max-unused", "0", "--grace", "1s"])
    }

    /// Versions of what is locked, and of everything else.
    fn versions(&self) -> Result<(Vec<Version>, Vec<Version>)> {
        let locked = |version: &Version| {
            let name = version.key.strip_prefix("repository/").unwrap_or_default();
            let folders = "config keys data meta parity index dictionaries snapshots holds";
            let folder = name.split('/').next().unwrap_or_default();
            folders.split(' ').any(|locked| locked == folder)
        };
        Ok(self.moto.versions()?.into_iter().partition(locked))
    }

    /// Until when a version is locked, Unix seconds.
    fn until(&self, version: &Version) -> Result<Option<i64>> {
        let head = self.moto.head(version)?;
        let until = head.headers().get("x-amz-object-lock-retain-until-date");
        let until = until.map(|until| until.to_str()).transpose()?;
        until.map(seconds).transpose()
    }
}

/// A time as S3 writes it, in Unix seconds.
fn seconds(time: &str) -> Result<i64> {
    Ok(time.parse::<jiff::Timestamp>()?.as_second())
}

fn now() -> Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}

#[test]
fn what_is_locked_outlives_whoever_has_the_key() -> Result<()> {
    let extra = "lock = \"30d\"\nparity = \"5%\"\n";
    let Some(vault) = Vault::start(extra)? else {
        return Ok(());
    };
    vault.leave_garbage()?;
    let (locked, open) = vault.versions()?;
    ensure!(locked.len() > 8 && !open.is_empty());
    let least = now()? + 29 * DAY;
    for version in &locked {
        let until = vault.until(version)?;
        ensure!(until.is_some_and(|until| until > least), "{version:?}");
        let mode = vault.moto.head(version)?;
        let mode = mode.headers().get("x-amz-object-lock-mode").cloned();
        ensure!(mode.is_some_and(|mode| mode == "COMPLIANCE"), "{version:?}");
    }
    for version in &open {
        ensure!(vault.until(version)?.is_none(), "{version:?}");
    }

    // What prune would have deleted stays and is told of, and the rest goes on.
    let foreseen = vault
        .tenant
        .json(&["prune", "--dry-run", "--max-unused", "0"])?;
    let pruned = vault.prune()?;
    for report in [&foreseen, &pruned] {
        ensure!(report["deleted"]["packs"] == 0, "{report:#}");
        ensure!(
            report["locked"]["bytes"].as_u64() > Some(20 << 20),
            "{report:#}"
        );
        let until = report["locked_until"].as_str().context("no time")?;
        ensure!(seconds(until)? > least, "{report:#}");
    }
    ensure!(pruned["waiting"]["packs"] == 0, "{pruned:#}");
    ensure!(pruned["locks"]["failed"] == 0, "{pruned:#}");
    let told = vault.tenant.run(&["prune", "--grace", "1s"])?;
    let said = text(&told.stdout);
    ensure!(
        told.status.success() && said.contains("locked by the store until"),
        "{said}"
    );
    let (after, _) = vault.versions()?;
    let packs = |versions: &[Version]| {
        let pack = |version: &&Version| version.key.contains("/data/") && version.is_latest;
        versions.iter().filter(pack).count()
    };
    ensure!(packs(&after) >= packs(&locked), "a pack is hidden");

    let stats = vault.tenant.json(&["stats"])?;
    let locks = &stats["locks"];
    ensure!(
        locks["files"].as_u64() > Some(5) && locks["locked"] == locks["files"],
        "{locks:#}"
    );
    ensure!(locks["period"] == 30 * DAY && locks["mode"] == "compliance");
    ensure!(seconds(locks["until"].as_str().context("no time")?)? > least);
    let doctor = vault.tenant.json(&["doctor"])?;
    let checks = doctor.as_array().context("no checks")?;
    let check = checks.iter().find(|check| check["what"] == "locks");
    ensure!(
        check.is_some_and(|check| check["health"] == "ok"),
        "{doctor:#}"
    );

    // Somebody with the key tries to get rid of it all.
    for version in &locked {
        ensure!(vault.moto.delete(version)? == 403, "{version:?}");
    }
    let probe = open.iter().find(|version| version.key.contains("/tmp/"));
    let probe = probe.context("nothing is unlocked")?;
    ensure!(vault.moto.delete(probe)? == 204, "nothing can be deleted");
    vault.tenant.verify()
}

#[test]
fn a_lock_that_cannot_be_seen_or_set_is_no_riddle() -> Result<()> {
    let Some(vault) = Vault::start("lock = \"30d\"\n")? else {
        return Ok(());
    };
    vault.leave_garbage()?;
    // Without permission to see locks: the store decides.
    vault.proxy.set_rules(&[Rule {
        part: "HEAD /tenantfs/repository/data/",
        fault: Fault::Answer(403, "AccessDenied"),
    }]);
    let pruned = vault.prune()?;
    ensure!(pruned["deleted"]["packs"].as_u64() > Some(0), "{pruned:#}");
    ensure!(pruned["locks"]["failed"].as_u64() > Some(0), "{pruned:#}");
    let stats = vault.tenant.json(&["stats"])?;
    ensure!(stats["locks"]["unknown"].as_u64() > Some(0), "{stats:#}");
    // Without permission to lock: nothing is committed that is not locked.
    vault.proxy.set_rules(&[Rule {
        part: "retention=",
        fault: Fault::Answer(403, "AccessDenied"),
    }]);
    let upn = vault.tenant.graph.mailboxes()?.remove(0);
    vault.tenant.graph.receive(&upn, "inbox", "one more")?;
    let refused = vault.tenant.run(&["backup"])?;
    let said = text(&refused.stderr);
    ensure!(
        refused.status.code() == Some(1) && said.contains("s3:PutObjectRetention"),
        "{said}"
    );
    vault.proxy.set_rules(&[]);
    vault.tenant.backup()?;
    vault.tenant.verify()
}

#[test]
fn locks_are_renewed_while_they_are_of_use_and_run_out_after() -> Result<()> {
    const PERIOD: i64 = 20;
    let extra = format!("lock = \"{PERIOD}s\"\nlock_mode = \"governance\"\n");
    let Some(vault) = Vault::start(&extra)? else {
        return Ok(());
    };
    vault.leave_garbage()?;
    let deadline = Instant::now() + Duration::from_secs(180);
    let (mut renewed, mut deleted) = (0, 0);
    loop {
        let begun = now()?;
        let pruned = vault.prune()?;
        renewed += pruned["locks"]["renewed"].as_u64().unwrap_or(0);
        deleted += pruned["deleted"]["bytes"].as_u64().unwrap_or(0);
        let (lockable, _) = vault.versions()?;
        for version in lockable.iter().filter(|version| version.is_latest) {
            let until = vault.until(version)?.context("no lock")?;
            let pack = ["/data/", "/meta/"].iter().any(|p| version.key.contains(p));
            let may_run_out = pack && pruned["locked"]["packs"] != 0;
            ensure!(may_run_out || until >= begun + PERIOD / 2, "{version:?}");
        }
        if pruned["locked"]["packs"] == 0 && renewed > 0 {
            break;
        }
        ensure!(Instant::now() < deadline, "{pruned:#}");
        std::thread::sleep(Duration::from_secs(2));
    }
    ensure!(deleted > 20 << 20, "{deleted} bytes deleted");
    vault.tenant.verify()
}

#[test]
fn locks_that_this_host_does_not_ask_for_are_left_alone() -> Result<()> {
    let Some(vault) = Vault::start("lock = \"7d\"\nlock_mode = \"governance\"\n")? else {
        return Ok(());
    };
    vault.leave_garbage()?;
    let config = std::fs::read_to_string(vault.tenant.config())?;
    let without = config.replace("lock = \"7d\"", "");
    std::fs::write(vault.tenant.config(), without)?;
    vault.proxy.take_requests();
    let pruned = vault.prune()?;
    ensure!(pruned["deleted"]["packs"] == 0, "{pruned:#}");
    ensure!(pruned["locked"]["packs"].as_u64() > Some(0), "{pruned:#}");
    let stats = vault.tenant.json(&["stats"])?;
    let locks = &stats["locks"];
    ensure!(locks["locked"].as_u64() > Some(5), "{locks:#}");
    ensure!(locks["period"].is_null() && locks["renewed"] == false);
    let asked = vault.proxy.take_requests();
    ensure!(asked.iter().any(|request| request.contains("object-lock=")));
    ensure!(!asked.iter().any(|request| request.contains("retention=")));
    vault.tenant.verify()
}

#[test]
fn a_store_without_locks_refuses_to_be_one_with_them() -> Result<()> {
    let Some(stage) = Stage::start(1, small(), "")? else {
        return Ok(());
    };
    stage.snapshot()?;
    let stats = stage.tenant.json(&["stats"])?;
    ensure!(stats["locks"].is_null(), "{stats:#}");
    stage.tenant.write_config("lock = \"30d\"\n")?;
    for command in ["init", "backup"] {
        let refused = stage.tenant.run(&[command])?;
        let said = text(&refused.stderr);
        ensure!(
            refused.status.code() == Some(1) && said.contains("cannot lock files"),
            "{command}: {said}"
        );
    }
    stage.tenant.write_config("")?;
    stage.tenant.backup()?;
    stage.verify()
}
