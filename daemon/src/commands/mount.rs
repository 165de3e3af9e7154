//! `tenantfs mount`: the mount alone, without a scheduler.

use std::path::PathBuf;

use anyhow::Result;

use super::Context;
use crate::background::Starter;
use crate::cli::values::absolute_path;
use crate::exit::Outcome;
use crate::{app, mounting, signals};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where
    #[arg(value_name = "DIR", value_parser = absolute_path())]
    pub dir: PathBuf,
    /// Detach from the terminal once mounted
    #[arg(long)]
    pub background: bool,
    /// Let other users in; the kernel checks modes and owners
    #[arg(long)]
    pub allow_other: bool,
    /// Answer extended attributes (slower listings)
    #[arg(long)]
    pub xattr: bool,
}

pub fn run(context: &Context, args: &Args, starter: &mut Starter) -> Result<Outcome> {
    let mut config = context.config.clone();
    config.mount.allow_other |= args.allow_other;
    config.mount.xattr |= args.xattr;
    let repository = app::open_repository(&config)?;
    let runtime = app::runtime()?;
    let service = mounting::restore_service(
        &config,
        &repository,
        runtime.handle(),
        mounting::Owner::Command,
    )?;
    let mount = mounting::start(&config, &repository, service, &args.dir)?;
    starter.ready();
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!("mounted at {}", args.dir.display());
    runtime.block_on(async {
        signals::stop_token()?.cancelled().await;
        anyhow::Ok(())
    })?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    mount.stop()?;
    Ok(Outcome::Done)
}
