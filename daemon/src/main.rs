//! The tenantfs program: parse, find the configuration, detach if asked to, run one command, and
//! say by the exit status how it went.

mod app;
mod background;
mod cli;
mod commands;
mod config;
mod control;
mod cycle;
mod demo;
mod exit;
mod logging;
mod mounting;
mod output;
mod progress;
mod reload;
mod schedule;
mod scrub;
mod secret;
mod signals;
mod snapshots;
mod upkeep;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Wrong usage ends here, with status 2.
    let cli = Cli::parse();
    logging::start(cli.verbose, cli.command.is_long_running());
    match commands::run(&cli) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("tenantfs: {error:#}");
            ExitCode::from(1)
        }
    }
}
