//! Several machines that back up one tenant into one repository: here several processes with a
//! configuration and a state folder each.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::{Tenant, program, text};
use graph_emulator::Options;
use serde_json::{Value, json};

/// A machine: its configuration is the tenant's, but for its own state folder and accounts.
struct Host<'a> {
    tenant: &'a Tenant,
    config: String,
}

impl<'a> Host<'a> {
    fn new(tenant: &'a Tenant, name: &str, accounts: &[&str]) -> Result<Self> {
        let config = format!("{name}.toml");
        let all = fs::read_to_string(tenant.config())?;
        let own = all.replace("state_dir = \"state\"", &format!("state_dir = \"{name}\""));
        ensure!(own != all, "the configuration names another state folder");
        let include = json!(accounts);
        let protect = format!(
            "[protect]\naccounts = {{ include = {include} }}\nworkloads = [\"mail\"]\n\
             checkpoint_seconds = 1\n"
        );
        fs::write(tenant.path(&config), own + &protect)?;
        Ok(Self { tenant, config })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program::tenantfs());
        let config = self.tenant.path(&self.config);
        command.arg("--config").arg(config).arg("--json").args(args);
        command
    }

    fn start(&self) -> Result<Child> {
        let mut command = self.command(&["backup"]);
        command.stdin(Stdio::null());
        Ok(command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?)
    }

    fn backup(&self) -> Result<Value> {
        summary(self.start()?, 0)
    }
}

/// What a backup told that must end with this status.
fn summary(process: Child, status: i32) -> Result<Value> {
    let output = process.wait_with_output()?;
    ensure!(
        output.status.code() == Some(status),
        "{}: {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn start(messages: u64, latency_ms: u64) -> Result<(Tenant, String, String)> {
    let tenant = Tenant::start(Options {
        accounts: 2,
        messages,
        files: 1,
        latency_ms,
        ..Options::default()
    })?;
    let mut mailboxes = tenant.graph.mailboxes()?;
    let (first, second) = (mailboxes.remove(0), mailboxes.remove(0));
    Ok((tenant, first, second))
}

/// Subjects are part of the names of mails: which of them a mailbox shows in `latest`.
fn shown(tenant: &Tenant, upn: &str) -> Result<BTreeSet<String>> {
    let mount = tenant.mount()?;
    let mail = mount.path("snapshots/latest").join(upn).join("Mail");
    if !mail.is_dir() {
        return Ok(BTreeSet::new());
    }
    let names = e2e::corpus::files(&mail).into_iter();
    Ok(names
        .filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()))
        .collect())
}

/// Waits until a folder of the repository has so many files.
fn wait_for_files(tenant: &Tenant, folder: &str, count: usize) -> Result<()> {
    let dir = tenant.path("repository").join(folder);
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(&dir).map_or(0, Iterator::count) < count {
        ensure!(Instant::now() < deadline, "nothing came to {folder}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn verify(tenant: &Tenant) -> Result<()> {
    let verified = tenant.run(&["verify", "--read-data"])?;
    ensure!(verified.status.success(), "{}", text(&verified.stdout));
    for folder in ["sessions", "claims", "tmp"] {
        let left: Vec<_> = match fs::read_dir(tenant.path("repository").join(folder)) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => Vec::new(),
        };
        ensure!(left.is_empty(), "left behind: {left:?}");
    }
    Ok(())
}

#[test]
fn two_machines_share_a_repository_and_each_snapshot_ends_up_with_both() -> Result<()> {
    let (tenant, ann, bob) = start(30, 0)?;
    let one = Host::new(&tenant, "one", &[&ann])?;
    let two = Host::new(&tenant, "two", &[&bob])?;
    for round in 0..4 {
        for upn in [&ann, &bob] {
            tenant
                .graph
                .receive(upn, "inbox", &format!("round {round}"))?;
        }
        let both = [one.start()?, two.start()?];
        for process in both {
            let summary = summary(process, 0)?;
            ensure!(summary["snapshot"].is_string(), "{summary:#}");
        }
        for upn in [&ann, &bob] {
            let shown = shown(&tenant, upn)?;
            let subject = format!("round {round}");
            ensure!(
                shown.iter().any(|name| name.contains(&subject)),
                "{upn} is not as it was in round {round}: {shown:?}"
            );
        }
        // Both know what the other did, and nothing is asked for again.
        for host in [&one, &two] {
            let idle = host.backup()?;
            ensure!(idle["snapshot"].is_null(), "{idle:#}");
            ensure!(idle["counts"]["fetched"] == 0, "{idle:#}");
        }
    }
    verify(&tenant)
}

#[test]
fn a_machine_that_dies_stops_nobody_and_another_goes_on_with_its_accounts() -> Result<()> {
    let (tenant, ann, bob) = start(800, 100)?;
    let one = Host::new(&tenant, "one", &[&ann])?;
    let two = Host::new(&tenant, "two", &[&bob])?;
    let mut killed = one.start()?;
    let beside = two.start()?;
    // It saved itself, and is killed while it goes on.
    wait_for_files(&tenant, "snapshots", 1)?;
    ensure!(
        killed.try_wait()?.is_none(),
        "it ended before it was killed"
    );
    killed.kill()?;
    killed.wait()?;
    ensure!(summary(beside, 0)?["snapshot"].is_string());
    ensure!(
        shown(&tenant, &ann)?.is_empty(),
        "half of an account is shown"
    );
    // The second machine takes over all accounts.
    let heir = Host::new(&tenant, "two", &[&ann, &bob])?;
    heir.backup()?;
    for upn in [&ann, &bob] {
        let live = tenant
            .graph
            .list(&format!("/users/{upn}/mailFolders?$top=100"))?;
        ensure!(
            !live.is_empty() && !shown(&tenant, upn)?.is_empty(),
            "{upn}"
        );
    }
    let idle = heir.backup()?;
    ensure!(idle["snapshot"].is_null(), "{idle:#}");
    verify(&tenant)
}

#[test]
fn an_account_is_captured_by_one_machine_at_a_time() -> Result<()> {
    let (tenant, ann, bob) = start(300, 30)?;
    let one = Host::new(&tenant, "one", &[&ann])?;
    let two = Host::new(&tenant, "two", &[&ann, &bob])?;
    let first = one.start()?;
    // The claim and its lock.
    wait_for_files(&tenant, "claims", 2)?;
    let holder = format!("process {}", first.id());
    let told = summary(two.start()?, 3)?;
    ensure!(told["accounts"]["claimed"] == 1, "{told:#}");
    let line = told["claimed"][0].clone();
    ensure!(line["account"] == json!(ann), "{told:#}");
    let named = line["holder"].as_str().context("no holder")?;
    ensure!(named.contains(&holder), "{named}");
    summary(first, 0)?;
    for upn in [&ann, &bob] {
        ensure!(!shown(&tenant, upn)?.is_empty(), "{upn} is not shown");
    }
    // Now it is free.
    let free = two.backup()?;
    ensure!(free["claimed"] == json!([]), "{free:#}");
    verify(&tenant)
}
