//! How the program ends.

use std::process::ExitCode;

/// What a command that ran has to say by its exit status. Wrong usage is 2, given by clap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All done.
    Done,
    /// Done, but some items failed; the report names them.
    SomeFailed,
    /// The check that was asked for found something.
    Failed,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Failed => ExitCode::from(1),
            Outcome::SomeFailed => ExitCode::from(3),
        }
    }
}
