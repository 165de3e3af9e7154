//! What a person would type.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::text;

/// Runs a command line in `dir`: whether it succeeded, and all it said.
pub fn sh(dir: &Path, command: &str) -> Result<(bool, String)> {
    let output = Command::new("bash")
        .args(["-c", command])
        .current_dir(dir)
        .output()?;
    Ok((
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    ))
}

/// Runs a command line that must succeed; what it said.
pub fn sh_ok(dir: &Path, command: &str) -> Result<String> {
    let (ok, said) = sh(dir, command)?;
    ensure!(ok, "{command}: {said}");
    Ok(said)
}

/// A path as one word of a command line.
pub fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
