//! `tenantfs completions`, `tenantfs man`: made from the definition of the command line.

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit::Outcome;

/// Prints the completion script of a shell.
pub fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut command = Cli::command();
    clap_complete::generate(shell, &mut command, "tenantfs", &mut std::io::stdout());
    Outcome::Done
}

/// Prints the manual page.
pub fn page() -> Result<Outcome> {
    clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?;
    Ok(Outcome::Done)
}
