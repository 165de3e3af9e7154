//! Copies to a second repository.

use std::process::Command;

use anyhow::{Result, ensure};
use e2e::{program, text};
use rand::rngs::StdRng;
use serde_json::Value;

use super::stage::{Stage, Subject, all_there, by_name};

/// Copies to a repository beside the first one.
#[derive(Default)]
pub struct Copy;

impl Copy {
    /// The copy as a repository of its own.
    fn json(&self, stage: &Stage, arguments: &[&str]) -> Result<Value> {
        let (own, here) = (stage.other("copy")?, stage.tenant.repository());
        let target = self.config(stage)?;
        let copy = stage.tenant.beside("copy", |config| {
            config
                .replace(&target, "")
                .replace(here, &own)
                .replace("\"password\"", "\"copy-password\"")
        })?;
        copy.json(arguments)
    }
}

impl Subject for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn config(&self, stage: &Stage) -> Result<String> {
        let place = stage.other("copy")?;
        Ok(format!(
            "[copy]\n{place}password_file = \"copy-password\"\n"
        ))
    }

    fn begin(&mut self, stage: &Stage) -> Result<()> {
        program::write_private(&stage.tenant.path("copy-password"), "of the copy")?;
        let made = stage.tenant.run(&["init", "--copy"])?;
        ensure!(made.status.success(), "{}", text(&made.stderr));
        Ok(())
    }

    fn prepare(&mut self, _: &Stage, _: &mut StdRng) -> Result<()> {
        // There is a new snapshot.
        Ok(())
    }

    fn command(&self, stage: &Stage) -> Command {
        stage.tenant.command(&["copy"])
    }

    fn killed(&mut self, stage: &Stage, read_data: bool) -> Result<()> {
        let arguments = ["verify", "--read-data"];
        let verified = self.json(stage, &arguments[..1 + usize::from(read_data)])?;
        ensure!(verified["clean"] == true, "the copy: {verified:#}");
        let copied = by_name(&self.json(stage, &["snapshots"])?)?;
        let here = stage.snapshots()?;
        ensure!(copied.len() + 1 >= here.len(), "copies are gone");
        all_there(&copied, &here)
    }

    fn finished(&mut self, stage: &Stage, _: &Value) -> Result<()> {
        let copied = by_name(&self.json(stage, &["snapshots"])?)?;
        ensure!(copied == stage.snapshots()?, "other snapshots");
        Ok(())
    }
}
