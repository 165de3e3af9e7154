//! Several machines that back up one tenant into one repository: here several processes with a
//! configuration and a state folder each. `TENANTFS_HOSTS_SECONDS` (default 15) is how long two of them
//! back up while a third prunes.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::kills::setting;
use e2e::tenant::Beside;
use e2e::{Tenant, text};
use graph_emulator::Options;
use serde_json::{Value, json};

/// A machine: its configuration is the tenant's, but for its own state folder and accounts.
struct Host<'a>(Beside<'a>);

impl<'a> Host<'a> {
    fn new(tenant: &'a Tenant, name: &str, accounts: &[&str]) -> Result<Self> {
        let include = json!(accounts);
        let protect = format!(
            "[protect]\naccounts = {{ include = {include} }}\nworkloads = [\"mail\"]\n\
             checkpoint_seconds = 1\n"
        );
        Ok(Self(tenant.beside(name, |config| config + &protect)?))
    }

    fn start(&self) -> Result<Child> {
        let mut command = self.0.command(&["backup", "--json"]);
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
        // A process that is killed while it writes a file leaves that for a day.
        let left: Vec<_> = left
            .into_iter()
            .filter(|path| !path.to_string_lossy().contains('#'))
            .collect();
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

/// Captures an account again and again, with changes in between, until it is told to stop. Names of the
/// snapshots it made.
fn go_on(host: &Host, upn: &str, stop: &AtomicBool) -> Result<Vec<String>> {
    let graph = &host.0.tenant.graph;
    let mut names = Vec::new();
    let mut dead: Option<String> = None;
    while !stop.load(Ordering::SeqCst) {
        let round = names.len();
        for n in 0..3 {
            // Some come back as they were: what is on its way out is wanted again.
            graph.receive(upn, "inbox", &format!("{upn} {}", (round + n) % 7))?;
        }
        if let Some(id) = dead.take() {
            let purge = format!("/users/{upn}/messages/{id}/permanentDelete");
            graph.post(&purge, &json!({}))?;
        }
        let inbox = graph.list(&format!("/users/{upn}/mailFolders/inbox/messages"))?;
        dead = inbox[round % inbox.len()]["id"].as_str().map(str::to_owned);
        let made = host.backup()?["snapshot"].as_str().map(str::to_owned);
        names.push(made.context("no snapshot")?);
    }
    Ok(names)
}

#[test]
fn two_machines_back_up_while_a_third_forgets_and_prunes() -> Result<()> {
    let (tenant, ann, bob) = start(60, 0)?;
    let one = Host::new(&tenant, "one", &[&ann])?;
    let two = Host::new(&tenant, "two", &[&bob])?;
    let third = tenant.beside("third", |config| config)?;
    let seconds = setting("TENANTFS_HOSTS_SECONDS", 15);
    let end = Instant::now() + Duration::from_secs(seconds);
    let stop = AtomicBool::new(false);
    let mut prunes = 0;
    let mut deleted = 0;
    let (first, second, pruned) = std::thread::scope(|scope| {
        // Whoever fails must not leave the others running.
        let working = |host: &Host, upn: &str| {
            let result = go_on(host, upn, &stop);
            stop.store(true, Ordering::SeqCst);
            result
        };
        let (one, two, ann, bob) = (&one, &two, &ann, &bob);
        let first = scope.spawn(move || working(one, ann));
        let second = scope.spawn(move || working(two, bob));
        let mut prune = || -> Result<()> {
            while Instant::now() < end && !stop.load(Ordering::SeqCst) {
                third.json(&["forget", "--keep-last", "3"])?;
                let report = third.json(&["prune", "--max-unused", "0"])?;
                deleted += report["deleted"]["packs"].as_u64().unwrap_or(0);
                prunes += 1;
                if prunes % 10 == 0 {
                    ensure!(third.json(&["verify", "--read-data"])?["clean"] == true);
                }
            }
            Ok(())
        };
        let pruned = prune();
        stop.store(true, Ordering::SeqCst);
        (first.join(), second.join(), pruned)
    });
    pruned?;
    let joined = |result: std::thread::Result<Result<Vec<String>>>| match result {
        Ok(names) => names,
        Err(_) => anyhow::bail!("a machine panicked"),
    };
    let (first, second) = (joined(first)?, joined(second)?);
    eprintln!(
        "{} and {} snapshots, {prunes} prunes that deleted {deleted} packs",
        first.len(),
        second.len()
    );
    ensure!(first.len() > 1 && second.len() > 1 && prunes > 1 && deleted > 0);
    verify(&tenant)?;
    // The newest are there whole, with what each machine captured last.
    for upn in [&ann, &bob] {
        let live = tenant
            .graph
            .list(&format!("/users/{upn}/mailFolders/inbox/messages?$top=999"))?;
        let mount = tenant.mount()?;
        let inbox = mount.path("snapshots/latest").join(upn).join("Mail/Inbox");
        let shown = fs::read_dir(inbox)?.filter_map(|entry| {
            let path = entry.ok()?.path();
            path.is_file().then(|| fs::read(path))
        });
        let shown = shown.collect::<Result<Vec<_>, _>>()?;
        ensure!(shown.len() == live.len(), "{upn}: {} mails", shown.len());
    }
    third.json(&["forget", "--keep-last", "1"])?;
    let last = third.json(&["prune", "--max-unused", "0"])?;
    ensure!(last["waiting"]["packs"] == 0, "{last:#}");
    tenant.verify()
}
