//! Repairs of a repository that was damaged.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Tenant, changes};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::stage::{Stage, Subject, all_there};

/// Repairs what was damaged. Nothing goes from the service, so all of it comes back.
pub struct Repair {
    parity: bool,
    before: BTreeMap<String, Value>,
}

impl Repair {
    /// Contents are damaged, and captured again.
    pub fn from_the_service() -> Self {
        Repair {
            parity: false,
            before: BTreeMap::new(),
        }
    }

    /// Contents, records and trees are damaged, and healed.
    pub fn by_parity() -> Self {
        Repair {
            parity: true,
            ..Self::from_the_service()
        }
    }
}

/// One of the packs in a folder by lot.
fn any(stage: &Stage, folder: &str, dice: &mut StdRng) -> Result<String> {
    let mut packs = stage.stored.list(folder)?;
    ensure!(!packs.is_empty(), "nothing in {folder}");
    Ok(packs.swap_remove(dice.random_range(0..packs.len())))
}

fn flip(bytes: &mut [u8], dice: &mut StdRng) {
    let at = dice.random_range(0..bytes.len());
    bytes[at] ^= 1;
}

impl Subject for Repair {
    fn name(&self) -> &'static str {
        match self.parity {
            true => "heal",
            false => "repair",
        }
    }

    fn config(&self, _: &Stage) -> Result<String> {
        let parity = "parity = \"5%\"\n";
        Ok(if self.parity {
            parity.into()
        } else {
            "".into()
        })
    }

    fn change(&self, tenant: &Tenant, round: u64) -> Result<()> {
        changes::arrive(tenant, round)
    }

    fn prepare(&mut self, stage: &Stage, dice: &mut StdRng) -> Result<()> {
        self.before = stage.snapshots()?;
        let data = any(stage, "data", dice)?;
        if self.parity {
            stage.stored.damage(&data, |bytes| flip(bytes, dice))?;
            let meta = any(stage, "meta", dice)?;
            return stage.stored.damage(&meta, |bytes| flip(bytes, dice));
        }
        let kind = dice.random_range(0..4);
        stage.stored.damage(&data, |bytes| match kind {
            0 => flip(bytes, dice),
            1 => bytes.truncate(bytes.len() / 2),
            // The rest of a power cut.
            2 => bytes.iter_mut().skip(100).for_each(|byte| *byte = 0),
            _ => bytes.clear(),
        })
    }

    fn command(&self, stage: &Stage) -> Command {
        stage.tenant.command(&["repair"])
    }

    fn killed(&mut self, stage: &Stage, read_data: bool) -> Result<()> {
        all_there(&self.before, &stage.snapshots()?)?;
        // It says what is damaged, and nothing that nobody damaged is.
        let arguments = ["verify", "--read-data", "--json"];
        let last = if read_data { 1..3 } else { 2..3 };
        let verified = [&arguments[..1], &arguments[last]].concat();
        let verified = stage.tenant.run(&verified)?;
        let status = verified.status.code().context("it was killed")?;
        let found: Value = serde_json::from_slice(&verified.stdout)?;
        ensure!(matches!(status, 0 | 1), "{status}: {found:#}");
        let damaged = found["damaged"].as_array().context("no list")?;
        ensure!(damaged.len() <= 2, "{found:#}");
        Ok(())
    }

    fn finished(&mut self, stage: &Stage, report: &Value) -> Result<()> {
        ensure!(report["left"] == json!([]), "{report:#}");
        if self.parity {
            ensure!(report["hits"] == json!([]), "{report:#}");
            ensure!(report["snapshot"].is_null(), "{report:#}");
        }
        let again = stage.tenant.backup()?;
        ensure!(again["counts"]["failed"] == 0, "{again:#}");
        all_there(&self.before, &stage.snapshots()?)?;
        stage.verify(true)
    }
}
