//! The program as a person meets it: what it says when something is wrong, the demo, the daemon.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::{Tenant, corpus, program, text};
use graph_emulator::Options;
use serde_json::{Value, json};

fn small() -> Options {
    Options {
        accounts: 2,
        messages: 40,
        files: 10,
        ..Options::default()
    }
}

/// Runs a command that must fail with status 1 and one message that has all of `words` in it.
fn fails(tenant: &Tenant, arguments: &[&str], words: &[&str]) -> Result<()> {
    let output = tenant.run(arguments)?;
    let said = text(&output.stderr);
    ensure!(
        output.status.code() == Some(1),
        "{arguments:?}: {}: {said}",
        output.status
    );
    for word in words {
        ensure!(
            said.contains(word),
            "{arguments:?} does not say {word:?}: {said}"
        );
    }
    // One message: neither told twice, nor beside warnings that say the same.
    ensure!(said.matches("tenantfs: ").count() == 1, "{said}");
    ensure!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    ensure!(
        !said.contains("panicked") && !said.contains(&tenant.emulator.client_secret),
        "{said}"
    );
    Ok(())
}

#[test]
fn an_unknown_key_is_named() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.write_config("[protect]\nshedule = \"1h\"\n")?;
    fails(&tenant, &["backup"], &["shedule", "tenantfs.toml"])
}

#[test]
fn a_wrong_password_is_called_so() -> Result<()> {
    let tenant = Tenant::start(small())?;
    fs::write(tenant.path("password"), "wrong")?;
    fails(
        &tenant,
        &["snapshots"],
        &["wrong password", "password_file"],
    )
}

#[test]
fn a_wrong_secret_is_called_so_and_loses_nothing() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.backup()?;
    fs::write(tenant.path("secret"), "not-it")?;
    fails(&tenant, &["backup"], &["AADSTS7000215", "check that"])?;
    let snapshots = tenant.json(&["snapshots"])?;
    ensure!(
        snapshots.as_array().is_some_and(|list| list.len() == 1),
        "{snapshots:#}"
    );
    Ok(())
}

#[test]
fn a_missing_permission_is_named_by_doctor_and_in_the_report() -> Result<()> {
    let roles = ["User.Read.All", "Mail.Read"].map(str::to_owned).to_vec();
    let tenant = Tenant::start(Options { roles, ..small() })?;
    let doctor = tenant.run(&["doctor"])?;
    let said = text(&doctor.stdout);
    ensure!(said.contains("Files.Read.All is not granted"), "{said}");
    ensure!(said.contains("Mail.ReadWrite is not granted"), "{said}");
    let output = tenant.run(&["backup"])?;
    let said = text(&output.stdout);
    ensure!(output.status.code() == Some(3), "{output:?}");
    ensure!(
        said.contains("failed: alice@contoso.com drive:") && said.contains("tenantfs doctor"),
        "the missing permission is not named: {said}"
    );
    let summary = tenant.backup()?;
    ensure!(
        tenant.json(&["stats"])?["objects"].as_u64() > Some(0),
        "the mail is captured: {summary:#}"
    );
    ensure!(
        summary["accounts"]["failed"].as_u64() > Some(0),
        "the drives are reported: {summary:#}"
    );
    Ok(())
}

#[test]
fn an_unreachable_host_is_named() -> Result<()> {
    let tenant = Tenant::start(small())?;
    let config = fs::read_to_string(tenant.config())?;
    fs::write(
        tenant.config(),
        config.replace(&tenant.emulator.url, "http://127.0.0.1:1"),
    )?;
    let start = Instant::now();
    fails(&tenant, &["backup"], &["127.0.0.1:1", "check the network"])?;
    ensure!(
        start.elapsed() < Duration::from_secs(120),
        "it took {:?} to say so",
        start.elapsed()
    );
    Ok(())
}

#[test]
fn a_newer_repository_is_refused_with_advice() -> Result<()> {
    let tenant = Tenant::start(small())?;
    let file = tenant.path("repository/config");
    let mut sealed = fs::read(&file)?;
    let version = sealed
        .iter()
        .position(|&b| b == 1)
        .context("no version byte")?;
    sealed[version] = 99;
    fs::write(&file, sealed)?;
    fails(&tenant, &["snapshots"], &["install a newer tenantfs"])
}

#[test]
fn there_is_help_for_a_missing_configuration() -> Result<()> {
    let output = Command::new(program::tenantfs())
        .args(["--config", "/nowhere/tenantfs.toml", "snapshots"])
        .output()?;
    ensure!(output.status.code() == Some(1));
    ensure!(text(&output.stderr).contains("/nowhere/tenantfs.toml"));
    let usage = Command::new(program::tenantfs())
        .arg("frobnicate")
        .output()?;
    ensure!(usage.status.code() == Some(2), "wrong usage is status 2");
    Ok(())
}

#[test]
fn a_path_outside_the_contract_is_refused_in_restore() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.backup()?;
    let mount = tenant.mount()?;
    for path in [
        "restore/@nonsense/x",
        "restore/nobody@contoso.com/Mail/Inbox/a.eml",
        "restore/stray.txt",
    ] {
        ensure!(
            fs::write(mount.path(path), "x").is_err(),
            "{path} was taken"
        );
    }
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    for advice in ["@nonsense", "restore to ACCOUNT/Mail/"] {
        ensure!(log.contains(advice), "nothing about {advice} in: {log}");
    }
    let snapshot = mount.path("snapshots/latest").canonicalize()?.join("new");
    let error = fs::write(snapshot, "x")
        .err()
        .context("snapshots/ was written")?;
    ensure!(error.raw_os_error() == Some(30), "not EROFS: {error}");
    Ok(())
}

#[test]
fn without_a_restore_identity_restore_is_read_only() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.backup()?;
    let config = fs::read_to_string(tenant.config())?;
    let start = config.find("[tenant.restore]").context("no section")?;
    let end = config.find("[repository]").context("no section")?;
    fs::write(
        tenant.config(),
        format!("{}{}", &config[..start], &config[end..]),
    )?;
    let mount = tenant.mount()?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    let error = fs::create_dir(mount.path(&format!("restore/{upn}")))
        .err()
        .context("it was made")?;
    ensure!(matches!(error.raw_os_error(), Some(30 | 17)), "{error}");
    ensure!(
        fs::read_to_string(mount.path("restore/.log"))?.contains("identity"),
        "no reason is told"
    );
    Ok(())
}

#[test]
fn a_killed_mount_is_repaired_by_the_next_start() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.backup()?;
    let dead = tenant.mount()?.kill()?;
    ensure!(
        !e2e::tenant::answers(&dead.join("snapshots")),
        "a dead mount answers"
    );
    let again = tenant.mount()?;
    ensure!(again.path("snapshots/latest").canonicalize()?.is_dir());
    Ok(())
}

#[test]
fn verify_names_each_file_that_was_lost() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.backup()?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    tenant
        .graph
        .receive(&upn, "inbox", "for a second snapshot")?;
    tenant.backup()?;
    let root = tenant.path("repository");
    let lost = |file: &Path| -> Result<Vec<String>> {
        fs::remove_file(file)?;
        let verified = tenant.run(&["--json", "verify"])?;
        ensure!(verified.status.code() == Some(1), "{verified:?}");
        let found: Value = serde_json::from_slice(&verified.stdout)?;
        ensure!(found["clean"] == false);
        let damaged = found["damaged"].as_array().context("no list")?.iter();
        Ok(damaged
            .filter_map(|d| d["file"].as_str().map(str::to_owned))
            .collect())
    };
    for folder in ["snapshots", "index", "data", "meta"] {
        for file in corpus::files(&root.join(folder)) {
            let bytes = fs::read(&file)?;
            let name = file.strip_prefix(&root)?.to_string_lossy().into_owned();
            let named = lost(&file)?;
            ensure!(
                named.contains(&name),
                "{name} is lost, and named are {named:?}"
            );
            fs::write(&file, bytes)?;
        }
    }
    ensure!(tenant.run(&["verify", "--read-data"])?.status.success());

    // Given up for good, as the message of the refused backup advises: what needs it is named by path.
    let pack = corpus::files(&root.join("data")).remove(0);
    lost(&pack)?;
    fails(&tenant, &["backup"], &["is not believed", "run repair"])?;
    ensure!(tenant.run(&["repair"])?.status.code() == Some(3));
    let verified = tenant.run(&["verify"])?;
    let said = text(&verified.stdout);
    ensure!(
        verified.status.code() == Some(1) && said.contains(&format!("/{upn}/")),
        "{said}"
    );
    Ok(())
}

#[test]
fn scripted_faults_are_survived() -> Result<()> {
    let tenant = Tenant::start(small())?;
    tenant.graph.control(
        "faults",
        &json!([
            { "route": "*/messages/delta*", "count": 2, "fault": { "status": 503, "retry_after": 1 } },
            { "route": "*/$value", "count": 2, "fault": { "status": 429, "retry_after": 1 } },
            { "route": "*/$value", "skip": 5, "count": 2, "fault": "reset" },
            { "route": "*/$value", "skip": 10, "count": 1, "fault": { "truncate": 100 } },
            { "route": "*/$value", "skip": 15, "count": 1, "fault": { "status": 504 } },
        ]),
    )?;
    let summary = tenant.backup()?;
    ensure!(summary["counts"]["failed"] == 0, "{summary:#}");
    let second = tenant.backup()?;
    ensure!(
        second["snapshot"].is_null(),
        "nothing was left over: {second:#}"
    );
    Ok(())
}

#[test]
fn the_daemon_captures_mounts_reloads_and_stops_cleanly() -> Result<()> {
    let tenant = Tenant::with_config(small(), "[protect]\nschedule = \"1h\"\n")?;
    let mnt = tenant.path("mnt");
    fs::create_dir(&mnt)?;
    let started = tenant.run(&[
        "daemon",
        "--background",
        "--mount",
        mnt.to_str().context("utf-8")?,
    ])?;
    ensure!(started.status.success(), "{}", text(&started.stderr));
    // Back from the start: it is mounted.
    ensure!(
        fs::read_dir(mnt.join("snapshots")).is_ok(),
        "it is not mounted"
    );
    let stop = Stop(&tenant);
    let summary = tenant.backup()?;
    ensure!(
        summary["snapshot"].is_string() || summary["snapshot"].is_null(),
        "{summary:#}"
    );
    let log = tenant.path("state/tenantfs.log");
    wait(&log, || mnt.join("snapshots/latest").canonicalize().is_ok())?;

    tenant.write_config("[protect]\nschedule = \"1s\"\n")?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    tenant
        .graph
        .receive(&upn, "inbox", "while the daemon runs")?;
    wait(&log, || {
        tenant
            .json(&["snapshots"])
            .is_ok_and(|list| list.as_array().is_some_and(|l| l.len() >= 2))
    })?;
    let status = tenant.json(&["status"])?;
    let pid = status["pid"].as_u64().context("no pid")?;
    drop(stop);
    wait(&log, || !Path::new(&format!("/proc/{pid}")).exists())?;
    ensure!(fs::read_dir(mnt.join("snapshots")).is_err() || fs::read_dir(&mnt)?.next().is_none());
    Ok(())
}

/// Sends SIGTERM to the daemon of a tenant.
struct Stop<'a>(&'a Tenant);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let pid = self
            .0
            .json(&["status"])
            .ok()
            .and_then(|status: Value| status["pid"].as_i64());
        if let Some(pid) = pid.and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

/// Waits a minute at most; what the daemon wrote to `log` tells why it was in vain.
fn wait(log: &Path, mut until: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if until() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!(
        "waited a minute for nothing: {}",
        fs::read_to_string(log).unwrap_or_else(|e| format!("no log: {e}"))
    )
}

#[test]
fn the_demo_passes_its_own_check() -> Result<()> {
    let start = Instant::now();
    let demo = Command::new(program::tenantfs())
        .args(["demo", "--check"])
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        demo.status.success(),
        "{}{}",
        text(&demo.stdout),
        text(&demo.stderr)
    );
    ensure!(
        start.elapsed() < Duration::from_secs(120),
        "the demo took {:?}",
        start.elapsed()
    );
    Ok(())
}
