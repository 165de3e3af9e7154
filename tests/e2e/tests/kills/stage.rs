//! A tenant with its repository, and what a command under test has to say for itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::stored::Stored;
use e2e::{Tenant, changes, garage, text};
use graph_emulator::Options;
use rand::rngs::StdRng;
use serde_json::Value;

/// Where repositories are.
#[derive(Debug)]
pub enum Place {
    Directory,
    Bucket(SocketAddr),
}

/// A command that is killed.
pub trait Subject: Send {
    fn name(&self) -> &'static str;

    /// Lines for the configuration; the first ones belong to `[repository]`.
    fn config(&self, _stage: &Stage) -> Result<String> {
        Ok(String::new())
    }

    /// Once, before anything else.
    fn begin(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    /// What happens in the tenant between two captures.
    fn change(&self, tenant: &Tenant, round: u64) -> Result<()> {
        changes::change(tenant, round)
    }

    /// Gives the command something to do.
    fn prepare(&mut self, stage: &Stage, dice: &mut StdRng) -> Result<()>;

    fn command(&self, stage: &Stage) -> Command;

    /// What must hold when it was just killed.
    fn killed(&mut self, stage: &Stage, read_data: bool) -> Result<()>;

    /// What must hold when it was run again, to its end, and told this.
    fn finished(&mut self, stage: &Stage, report: &Value) -> Result<()>;
}

/// A tenant whose repository is used by one command under test.
pub struct Stage<'a> {
    pub tenant: Tenant,
    pub place: &'a Place,
    name: &'static str,
    /// The repository's files.
    pub stored: Stored,
}

impl<'a> Stage<'a> {
    pub fn new(place: &'a Place, subject: &dyn Subject) -> Result<Self> {
        let name = subject.name();
        let options = Options {
            accounts: 2,
            messages: 40,
            files: 12,
            events: 4,
            contacts: 4,
            ..Options::default()
        };
        let (tenant, stored) = match place {
            Place::Directory => {
                let tenant = Tenant::start(options)?;
                let stored = Stored::Directory(tenant.path("repository"));
                (tenant, stored)
            }
            Place::Bucket(address) => (
                Tenant::in_store(options, |dir| garage::repository(dir, *address, name))?,
                garage::stored(*address, name)?,
            ),
        };
        let stage = Self {
            tenant,
            place,
            name,
            stored,
        };
        let config = subject.config(&stage)?;
        stage
            .tenant
            .write_config(&(config + "[protect]\nversions = 3\n"))?;
        stage.tenant.backup()?;
        Ok(stage)
    }

    /// Where another repository in the same place is, as lines of the configuration.
    pub fn other(&self, name: &str) -> Result<String> {
        match self.place {
            Place::Directory => Ok(format!("location = {name:?}\n")),
            Place::Bucket(address) => {
                let prefix = format!("{}-{name}", self.name);
                garage::repository(self.tenant.dir.path(), *address, &prefix)
            }
        }
    }

    /// People work, and a backup captures it without a failure; its snapshot.
    pub fn go_on(&self, subject: &dyn Subject, round: u64) -> Result<String> {
        subject.change(&self.tenant, round)?;
        let summary = self.tenant.backup()?;
        ensure!(summary["counts"]["failed"] == 0, "{summary:#}");
        let name = summary["snapshot"].as_str().context("no snapshot")?;
        Ok(name.to_owned())
    }

    /// Runs the command to its end: how long it took, and what it told.
    pub fn run(&self, subject: &dyn Subject) -> Result<(Duration, Value)> {
        let begin = Instant::now();
        let mut command = subject.command(self);
        let output = command.arg("--json").output()?;
        let took = begin.elapsed();
        ensure!(
            matches!(output.status.code(), Some(0 | 3)),
            "{command:?}: {}: {}",
            output.status,
            text(&output.stderr)
        );
        Ok((took, serde_json::from_slice(&output.stdout)?))
    }

    /// All snapshots by name, with all that their manifests say.
    pub fn snapshots(&self) -> Result<BTreeMap<String, Value>> {
        by_name(&self.tenant.json(&["snapshots"])?)
    }

    pub fn verify(&self, read_data: bool) -> Result<()> {
        let arguments = ["verify", "--read-data"];
        let verified = self.tenant.run(&arguments[..1 + usize::from(read_data)])?;
        ensure!(
            verified.status.success(),
            "{}{}",
            text(&verified.stdout),
            text(&verified.stderr)
        );
        Ok(())
    }

    /// All that a mount shows of a snapshot.
    pub fn everything(&self, snapshot: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let all = self.tenant.mount()?.everything(snapshot)?;
        ensure!(all.len() > 100, "{} files", all.len());
        Ok(all)
    }
}

/// A list of snapshots by name.
pub fn by_name(list: &Value) -> Result<BTreeMap<String, Value>> {
    let list = list.as_array().context("no list")?.iter();
    list.map(|snapshot| {
        let name = snapshot["name"].as_str().context("no name")?;
        Ok((name.to_owned(), snapshot.clone()))
    })
    .collect()
}

/// Fails unless all of these are there as they were.
pub fn all_there(before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Result<()> {
    for (name, snapshot) in before {
        ensure!(
            now.get(name) == Some(snapshot),
            "{name} was {snapshot:#}, and is {:#?}",
            now.get(name)
        );
    }
    Ok(())
}
