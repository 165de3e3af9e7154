//! One module a command, with what can be typed for it; this one finds the configuration and calls it.
//!
//! In each, `Args` is what can be typed for the command, and `run` does it.

pub mod backup;
pub mod copy;
pub mod daemon;
pub mod demo;
pub mod diff;
mod doctor;
pub mod export;
pub mod forget;
pub mod hold;
pub mod import;
pub mod init;
pub mod key;
pub mod ls;
mod manual;
pub mod mount;
pub mod prune;
mod rebuild_index;
pub mod repair;
pub mod restore;
pub mod snapshots;
mod stats;
mod status;
pub mod tag;
pub mod verify;

use std::process::ExitCode;

use anyhow::Result;

use crate::background::Starter;
use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::exit::Outcome;
use crate::output::Style;

/// What every command is given.
pub struct Context {
    /// What it says.
    pub config: Config,
    /// The file the configuration came from.
    pub config_file: std::path::PathBuf,
    /// How results are reported.
    pub style: Style,
}

/// Runs the command that was typed.
pub fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::Completions { shell } => return Ok(manual::completions(*shell).into()),
        Command::Man => return Ok(manual::page()?.into()),
        Command::Demo(args) => return Ok(demo::run(args)?.into()),
        _ => {}
    }
    let (config, config_file) = Config::load(cli.config.as_deref())?;
    let style = if cli.json { Style::Json } else { Style::Text };
    let context = Context {
        config,
        config_file,
        style,
    };
    if cli.command.wants_background() {
        return in_background(&context, &cli.command);
    }
    Ok(dispatch(&context, &cli.command, &mut Starter::foreground())?.into())
}

fn in_background(context: &Context, command: &Command) -> Result<ExitCode> {
    let log = context.config.state_dir.join("tenantfs.log");
    match crate::background::detach(&log)? {
        crate::background::Side::Parent(status) => Ok(status),
        crate::background::Side::Detached(mut starter) => {
            let result = dispatch(context, command, &mut starter);
            if let Err(error) = &result {
                starter.failed(error);
            }
            Ok(result?.into())
        }
    }
}

fn dispatch(context: &Context, command: &Command, starter: &mut Starter) -> Result<Outcome> {
    match command {
        Command::Init(args) => init::run(context, args),
        Command::Doctor => doctor::run(context),
        Command::Daemon(args) => daemon::run(context, args, starter),
        Command::Backup(args) => backup::run(context, args),
        Command::Mount(args) => mount::run(context, args, starter),
        Command::Snapshots(args) => snapshots::run(context, args),
        Command::Ls(args) => ls::run(context, args),
        Command::Diff(args) => diff::run(context, args),
        Command::Stats => stats::run(context),
        Command::Status => status::run(context),
        Command::Restore(args) => restore::run(context, args),
        Command::Forget(args) => forget::run(context, args),
        Command::Prune(args) => prune::run(context, args),
        Command::Tag(args) => tag::run(context, args),
        Command::Hold(args) => hold::run(context, args),
        Command::Copy(args) => copy::run(context, args),
        Command::Export(args) => export::run(context, args),
        Command::Import(args) => import::run(context, args),
        Command::Verify(args) => verify::run(context, args),
        Command::Repair(args) => repair::run(context, args),
        Command::RebuildIndex => rebuild_index::run(context),
        Command::Key(args) => key::run(context, args),
        Command::Demo(_) | Command::Completions { .. } | Command::Man => {
            unreachable!("needs no configuration and ran already")
        }
    }
}
