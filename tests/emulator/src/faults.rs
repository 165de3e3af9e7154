//! Scripted faults.

/// The schema of a script, for `--help`.
pub const HELP: &str = "";

#[derive(Default)]
pub struct Script;
