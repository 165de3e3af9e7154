//! `tenantfs demo`: see it work, on a tenant of its own, without an account.
//!
//! The tour is a list of steps that are shown and checked the same way, so that what a person sees
//! is what `--check` proves: the sample tenant is captured, a mail is deleted and another arrives,
//! the tenant is captured again, both snapshots are mounted, and the deleted mail is copied back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use graph_emulator::{Emulator, Options, Running};
use tenantfs::repo::{InitOptions, Repository};
use tenantfs::sync::Progress;

use crate::config::Config;
use crate::cycle::{Asked, Capture};
use crate::demo::{guide, shell, tenant};
use crate::exit::Outcome;
use crate::output::bytes;
use crate::{app, mounting, progress, signals};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to mount [default: a new folder]
    #[arg(long, value_name = "DIR")]
    pub mountpoint: Option<PathBuf>,
    /// Run the tour unattended, check each step, unmount, and exit
    #[arg(long)]
    pub check: bool,
    /// Put the mails of this folder into the sample tenant as well
    #[arg(long, value_name = "DIR")]
    pub import_mail: Vec<PathBuf>,
    /// Put the files of this folder into the sample tenant as well
    #[arg(long, value_name = "DIR")]
    pub import_files: Vec<PathBuf>,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let home = tempfile::Builder::new()
        .prefix("tenantfs-demo-")
        .tempdir()?;
    let mountpoint = match &args.mountpoint {
        Some(dir) => std::path::absolute(dir)?,
        None => home.path().join("mnt"),
    };
    let emulator = start_tenant(args)?;
    let config = configure(home.path(), &emulator)?;
    let repository = Repository::init(
        &app::location(&config.repository)?,
        &config.repository.source("repository")?.read()?.text,
        &InitOptions {
            local: Some(config.state_dir.join("index")),
            ..Default::default()
        },
    )?;
    let runtime = app::runtime()?;
    let capture = Capture::new(&config, &repository)?;
    let client = app::restore_client(&config)?.context("the demo restores")?;

    guide::say("A sample tenant runs on this machine. Its first snapshot:");
    runtime.block_on(snapshot(&capture))?;
    guide::say("Meanwhile in the tenant: a mail is deleted by mistake, and another one arrives.");
    let deleted = runtime.block_on(tenant::delete_a_mail(&client))?;
    runtime.block_on(tenant::receive_a_mail(&client, &deleted.account))?;
    guide::say("The second snapshot. Only what changed is asked for and stored:");
    runtime.block_on(snapshot(&capture))?;

    let service = mounting::restore_service(
        &config,
        &repository,
        runtime.handle(),
        mounting::Owner::Command,
    )?;
    let mount = mounting::start(&config, &repository, service, &mountpoint)?;
    let tour = Tour {
        mount: &mountpoint,
        deleted: &deleted,
        client: &client,
        runtime: &runtime,
    };
    let toured = tour.run();
    if toured.is_ok() && !args.check {
        guide::invite(&mountpoint, &emulator);
        runtime.block_on(async {
            signals::stop_token()?.cancelled().await;
            anyhow::Ok(())
        })?;
    }
    mount.stop()?;
    toured?;
    let stats = repository.stats()?;
    guide::say(&format!(
        "The repository with both snapshots takes {}. The demo leaves nothing behind.",
        bytes(stats.bytes)
    ));
    Ok(Outcome::Done)
}

fn start_tenant(args: &Args) -> Result<Running> {
    Emulator::start(Options {
        accounts: 4,
        messages: 3_000,
        files: 400,
        events: 200,
        contacts: 120,
        sites: 2,
        archives: 1,
        import_mail: args.import_mail.clone(),
        import_files: args.import_files.clone(),
        ..Options::default()
    })
    .context("cannot start the sample tenant")
}

/// Writes a configuration as a person would, and reads it back.
fn configure(home: &Path, emulator: &Running) -> Result<Config> {
    write_private(&home.join("client.secret"), &emulator.client_secret)?;
    write_private(&home.join("password"), "not a secret: it opens a demo")?;
    let text = format!(
        "state_dir = \"state\"\n\
         [tenant]\n\
         id = \"{tenant}\"\n\
         endpoints = {{ login = \"{url}\", graph = \"{url}\" }}\n\
         [tenant.backup]\n\
         client_id = \"{id}\"\n\
         client_secret_file = \"client.secret\"\n\
         [tenant.restore]\n\
         client_id = \"{id}\"\n\
         client_secret_file = \"client.secret\"\n\
         [repository]\n\
         location = \"repository\"\n\
         password_file = \"password\"\n",
        tenant = emulator.tenant,
        url = emulator.url,
        id = emulator.client_id,
    );
    let file = home.join("tenantfs.toml");
    std::fs::write(&file, text)?;
    Ok(Config::load(Some(&file))?.0)
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(file)?.write_all(text.as_bytes())?;
    Ok(())
}

async fn snapshot(capture: &Capture) -> Result<()> {
    let watched = Arc::new(Progress::default());
    let showing = progress::watch(Arc::clone(&watched));
    let outcome = capture.run(&Asked::default(), watched).await?;
    drop(showing);
    let name = outcome
        .snapshot
        .context("the tenant changed, but there is no new snapshot")?;
    let totals = &outcome.report.totals;
    let requests: u64 = outcome.report.requests.iter().map(|line| line.count).sum();
    println!(
        "  {name}: {} new, {} changed, {} gone; {requests} requests, {} fetched, {} written",
        totals.added,
        totals.updated,
        totals.removed,
        bytes(totals.bytes),
        bytes(outcome.written),
    );
    Ok(())
}

/// The guided tour through the mount.
struct Tour<'a> {
    mount: &'a Path,
    deleted: &'a tenant::Mail,
    client: &'a tenantfs::graph::Client,
    runtime: &'a tokio::runtime::Runtime,
}

impl Tour<'_> {
    fn run(&self) -> Result<()> {
        let (old, new) = self.two_snapshots()?;
        guide::say("Every snapshot is a folder:");
        let listed = self.shell("ls -l snapshots")?;
        ensure!(
            listed.contains("latest"),
            "there is no link to the latest snapshot"
        );

        let account = &self.deleted.account;
        guide::say("In it, each account's mail and files, as ordinary files:");
        self.shell(&format!("ls 'snapshots/latest/{account}'"))?;
        self.shell(&format!(
            "ls 'snapshots/latest/{account}/Mail/Inbox' | tail -n 4"
        ))?;
        self.shell(&format!(
            "find 'snapshots/latest/{account}/OneDrive' -type f | head -n 4"
        ))?;
        guide::say("And of each site its libraries, lists and pages:");
        let sites = names(&self.mount.join("snapshots/latest/Sites"))?;
        let site = sites.first().context("no site was captured")?;
        self.shell(&format!("ls 'snapshots/latest/Sites/{site}'"))?;
        self.shell(&format!(
            "cd 'snapshots/latest/Sites/{site}' && find Lists Pages -name '*.csv' -o -name '*.html' | sort"
        ))?;
        guide::say("Any tool works on them:");
        let found = self.shell("grep -rl '^Subject:' snapshots/latest/ | wc -l")?;
        ensure!(
            found.trim().parse::<u64>().is_ok_and(|n| n > 0),
            "grep found no mail"
        );

        guide::say("What went missing between the two snapshots:");
        let inbox = format!("{account}/Mail/Inbox");
        let missing = self.shell(&format!(
            "diff -rq 'snapshots/{old}/{inbox}' 'snapshots/{new}/{inbox}' | grep '{old}' ; true"
        ))?;
        let file = self.missing_file(&old, &new, &inbox)?;
        ensure!(
            missing.contains(&file),
            "diff does not name the deleted mail"
        );

        guide::say("Copy it back. When cp returns, the mailbox has it:");
        self.shell(&format!(
            "cp 'snapshots/{old}/{inbox}/{file}' 'restore/{inbox}/'"
        ))?;
        let restored = self
            .runtime
            .block_on(tenant::find(self.client, self.deleted))?;
        let restored = restored.context("the mail is not in the mailbox")?;
        ensure!(restored["isDraft"] == false, "the restored mail is a draft");
        ensure!(
            restored["receivedDateTime"] == self.deleted.record["receivedDateTime"],
            "the restored mail has another date"
        );
        println!(
            "  in the mailbox again: {:?}, received {}, read: {}, draft: {}",
            restored["subject"].as_str().unwrap_or_default(),
            restored["receivedDateTime"].as_str().unwrap_or_default(),
            restored["isRead"],
            restored["isDraft"],
        );
        guide::say(
            "It is there now, so a second copy is refused (restore/@overwrite/ would replace it):",
        );
        let refused = shell::run(
            self.mount,
            &format!("cp 'snapshots/{old}/{inbox}/{file}' 'restore/{inbox}/' 2>&1"),
        )?;
        ensure!(
            !refused.success,
            "a second restore of the same mail was not refused"
        );
        Ok(())
    }

    fn shell(&self, command: &str) -> Result<String> {
        let ran = shell::run(self.mount, command)?;
        ensure!(ran.success, "this failed: {command}");
        Ok(ran.output)
    }

    fn two_snapshots(&self) -> Result<(String, String)> {
        let mut names: Vec<String> = names(&self.mount.join("snapshots"))?;
        names.retain(|name| name.ends_with('Z'));
        match names.as_slice() {
            [old, new] => Ok((old.clone(), new.clone())),
            _ => anyhow::bail!("expected two snapshots, the mount shows {names:?}"),
        }
    }

    /// The one file of a folder that the newer snapshot does not have.
    fn missing_file(&self, old: &str, new: &str, folder: &str) -> Result<String> {
        let at = |snapshot: &str| -> PathBuf {
            self.mount.join("snapshots").join(snapshot).join(folder)
        };
        let newer = names(&at(new))?;
        let mut gone = names(&at(old))?;
        gone.retain(|name| newer.binary_search(name).is_err());
        match gone.as_slice() {
            [file] => Ok(file.clone()),
            _ => anyhow::bail!("one mail was deleted, but the snapshots differ by {gone:?}"),
        }
    }
}

/// The names in a folder, sorted.
fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = std::fs::read_dir(dir)
        .with_context(|| format!("cannot list {}", dir.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
