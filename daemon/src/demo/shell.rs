//! Shows a command as it would be typed, runs it, and shows what it says.

use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// What became of a command.
#[derive(Debug)]
pub struct Ran {
    /// It ended with status 0.
    pub success: bool,
    /// What it printed to standard output.
    pub output: String,
}

/// Runs `command` by the shell in `dir`.
pub fn run(dir: &Path, command: &str) -> Result<Ran> {
    if std::io::stdout().is_terminal() {
        println!("  \x1b[1m$ {command}\x1b[0m");
    } else {
        println!("  $ {command}");
    }
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(dir)
        .output()
        .context("cannot run the shell")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    for line in text.lines().chain(errors.lines()) {
        println!("  {line}");
    }
    Ok(Ran {
        success: output.status.success(),
        output: text,
    })
}
