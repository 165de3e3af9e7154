//! Keys: who could open the repository can open it at any moment.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use e2e::program::write_private;
use e2e::text;
use rand::rngs::StdRng;
use serde_json::Value;

use super::stage::{Stage, Subject, by_name};

/// Rotates the master key, or changes the password. Beside the password two key files open the
/// repository.
pub struct Keys {
    rotates: bool,
    /// How many passwords there were.
    passwords: u64,
    before: BTreeMap<String, Value>,
}

impl Keys {
    pub fn rotating() -> Self {
        Keys {
            rotates: true,
            passwords: 0,
            before: BTreeMap::new(),
        }
    }

    pub fn changing() -> Self {
        Keys {
            rotates: false,
            ..Self::rotating()
        }
    }

    /// Whether what `line` says opens the repository; then all snapshots are there.
    fn opens(&self, stage: &Stage, line: &str) -> Result<bool> {
        let other = stage.tenant.beside("other", |config| {
            config.replace("password_file = \"password\"", line)
        })?;
        let output = other.command(&["snapshots", "--json"]).output()?;
        if !output.status.success() {
            let said = text(&output.stderr);
            ensure!(said.contains("wrong password"), "{line}: {said}");
            return Ok(false);
        }
        let now = by_name(&serde_json::from_slice(&output.stdout)?)?;
        ensure!(now == self.before, "{line}: other snapshots");
        Ok(true)
    }

    fn key_files_open(&self, stage: &Stage) -> Result<()> {
        for n in 0..2 {
            let line = format!("key_file = \"key{n}\"");
            ensure!(self.opens(stage, &line)?, "{line} opens it no more");
        }
        Ok(())
    }

    fn new_password(&mut self, stage: &Stage) -> Result<()> {
        self.passwords += 1;
        let password = format!("password {}", self.passwords);
        write_private(&stage.tenant.path("next"), &password)
    }

    /// The new password is the password from now on.
    fn take_new(&self, stage: &Stage) -> Result<()> {
        let new = fs::read_to_string(stage.tenant.path("next"))?;
        write_private(&stage.tenant.path("password"), &new)
    }
}

impl Subject for Keys {
    fn name(&self) -> &'static str {
        match self.rotates {
            true => "key-rotate",
            false => "key-change",
        }
    }

    fn begin(&mut self, stage: &Stage) -> Result<()> {
        for n in 0..2 {
            let file = stage.tenant.path(&format!("key{n}"));
            fs::write(&file, [n; 32])?;
            let file = file.display().to_string();
            stage
                .tenant
                .json(&["key", "add", "--new-key-file", &file])?;
        }
        Ok(())
    }

    fn prepare(&mut self, stage: &Stage, _: &mut StdRng) -> Result<()> {
        self.before = stage.snapshots()?;
        self.new_password(stage)
    }

    fn command(&self, stage: &Stage) -> Command {
        if self.rotates {
            return stage.tenant.command(&["key", "rotate"]);
        }
        let next = stage.tenant.path("next").display().to_string();
        let change = ["key", "change", "--new-password-file", &next];
        stage.tenant.command(&change)
    }

    fn killed(&mut self, stage: &Stage, read_data: bool) -> Result<()> {
        self.key_files_open(stage)?;
        let old = self.opens(stage, "password_file = \"password\"")?;
        let new = self.opens(stage, "password_file = \"next\"")?;
        ensure!(
            old != new,
            "the old password opens it: {old}, the new one: {new}"
        );
        ensure!(old || !self.rotates, "a rotation changed the password");
        if new {
            self.take_new(stage)?;
            self.new_password(stage)?;
        }
        stage.verify(read_data)
    }

    fn finished(&mut self, stage: &Stage, _: &Value) -> Result<()> {
        self.key_files_open(stage)?;
        if !self.rotates {
            ensure!(!self.opens(stage, "password_file = \"password\"")?);
            self.take_new(stage)?;
        }
        ensure!(self.opens(stage, "password_file = \"password\"")?);
        let list = stage.tenant.json(&["key", "list"])?;
        ensure!(list["rotation_interrupted"] == false, "{list:#}");
        Ok(())
    }
}
