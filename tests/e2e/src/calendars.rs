//! Calendar libraries that nobody here wrote: `icalendar`, `vobject` and `recurring-ical-events` of
//! Python, each reading the files of a mount.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// An occurrence: start, end (UTC, or days), summary.
pub type Occurrence = (String, String, String);

/// True if they are here. Otherwise prints why the test is skipped; with `CI=true` panics instead.
pub fn ready() -> bool {
    let there = Command::new("python3")
        .args(["-c", "import icalendar, vobject, recurring_ical_events"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        let reason = "Python's calendar libraries are not installed \
                      (pip install icalendar vobject recurring-ical-events)";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
    }
    there
}

fn run(args: &[&str], files: &[PathBuf]) -> Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/calendars.py");
    let output = Command::new("python3")
        .arg(script)
        .args(args)
        .args(files)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("calendars.py printed no JSON")
}

/// Every file is read by both parsers.
pub fn accept(files: &[PathBuf]) -> Result<()> {
    for files in files.chunks(500) {
        let refused = run(&["accept"], files)?;
        ensure!(
            refused.as_object().is_some_and(|r| r.is_empty()),
            "refused: {refused:#}"
        );
    }
    Ok(())
}

/// The occurrences between two instants (ISO 8601, UTC).
pub fn expand(files: &[PathBuf], from: &str, to: &str) -> Result<Vec<Occurrence>> {
    let found = run(&["expand", from, to], files)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = found.as_array().context("no list")?;
    Ok(rows
        .iter()
        .map(|row| (text(&row[0]), text(&row[1]), text(&row[2])))
        .collect())
}
