//! Forget and prune.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::changes;
use rand::rngs::StdRng;
use serde_json::Value;

use super::stage::{Stage, Subject, all_there};

/// Of the newest snapshots so many stay whole.
const KEEP: &str = "2";

/// Forgets whole snapshots and accounts of others, and prunes. One account has longer rules, and a hold on
/// its first snapshot.
#[derive(Default)]
pub struct Forget {
    before: BTreeMap<String, Value>,
    /// What is to become of each.
    plan: BTreeMap<String, String>,
}

impl Subject for Forget {
    fn name(&self) -> &'static str {
        "forget"
    }

    fn config(&self, stage: &Stage) -> Result<String> {
        let upn = changes::somebody(&stage.tenant)?;
        Ok(format!(
            "[[retention.account]]\nmatch = \"{upn}\"\nkeep_last = 4\n"
        ))
    }

    fn begin(&mut self, stage: &Stage) -> Result<()> {
        let upn = changes::somebody(&stage.tenant)?;
        let first = stage.snapshots()?.into_keys().next();
        let first = first.context("no snapshot")?;
        let hold = ["hold", "add", "case", "--account", &upn];
        let hold = [&hold[..], &["--snapshot", &first]].concat();
        stage.tenant.json(&hold).map(drop)
    }

    fn prepare(&mut self, stage: &Stage, _: &mut StdRng) -> Result<()> {
        self.before = stage.snapshots()?;
        let planned = ["forget", "--dry-run", "--keep-last", KEEP];
        let planned = stage.tenant.json(&planned)?;
        let lines = planned["snapshots"].as_array().context("no plan")?;
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let plan = lines
            .iter()
            .map(|line| (text(line, "snapshot"), text(line, "action")));
        self.plan = plan.collect();
        ensure!(self.plan.len() == self.before.len(), "{planned:#}");
        Ok(())
    }

    fn command(&self, stage: &Stage) -> Command {
        let arguments = ["forget", "--keep-last", KEEP, "--prune"];
        stage.tenant.command(&arguments)
    }

    fn killed(&mut self, stage: &Stage, read_data: bool) -> Result<()> {
        stage.verify(read_data)?;
        self.as_planned(&stage.snapshots()?)
    }

    fn finished(&mut self, stage: &Stage, _: &Value) -> Result<()> {
        let now = stage.snapshots()?;
        self.as_planned(&now)?;
        for name in now.keys() {
            ensure!(self.plan[name] != "forget", "{name} is still there");
        }
        Ok(())
    }
}

impl Forget {
    /// Nothing went but what was to go.
    fn as_planned(&self, now: &BTreeMap<String, Value>) -> Result<()> {
        let mut kept = self.before.clone();
        kept.retain(|name, _| self.plan[name] == "keep");
        ensure!(kept.len() >= 2, "{:?}", self.plan);
        all_there(&kept, now)?;
        for (name, action) in &self.plan {
            ensure!(
                action == "forget" || now.contains_key(name),
                "{name} is gone and was not to be forgotten"
            );
        }
        Ok(())
    }
}

/// Deletes what the forgotten needed, and stores again what is in use of the rest.
#[derive(Default)]
pub struct Prune {
    before: BTreeMap<String, Value>,
}

impl Subject for Prune {
    fn name(&self) -> &'static str {
        "prune"
    }

    fn prepare(&mut self, stage: &Stage, _: &mut StdRng) -> Result<()> {
        stage.tenant.json(&["forget", "--keep-last", KEEP])?;
        self.before = stage.snapshots()?;
        Ok(())
    }

    fn command(&self, stage: &Stage) -> Command {
        let thorough = ["prune", "--max-unused", "0", "--grace", "0"];
        stage.tenant.command(&thorough)
    }

    fn killed(&mut self, stage: &Stage, read_data: bool) -> Result<()> {
        stage.verify(read_data)?;
        ensure!(stage.snapshots()? == self.before, "other snapshots");
        Ok(())
    }

    fn finished(&mut self, stage: &Stage, report: &Value) -> Result<()> {
        ensure!(report["waiting"]["packs"] == 0, "{report:#}");
        ensure!(report["damaged"] == serde_json::json!([]), "{report:#}");
        let left = ["prune", "--dry-run", "--max-unused", "0", "--grace", "0"];
        let left = stage.tenant.json(&left)?;
        ensure!(left["deleted"]["packs"] == 0, "left over: {left:#}");
        ensure!(stage.snapshots()? == self.before, "other snapshots");
        Ok(())
    }
}
