//! `tenantfs init`: makes the repository and its key.

use anyhow::Result;
use serde_json::json;
use tenantfs::repo::{InitOptions, Repository};

use super::Context;
use super::copy::{self, CopyTarget};
use crate::app;
use crate::exit::Outcome;

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make the repository that [copy] names, for copies of the one that [repository] names
    #[arg(long)]
    pub copy: bool,
    #[command(flatten)]
    pub target: CopyTarget,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = &context.config;
    let (section, repository, copies_of) = if args.copy {
        let target = copy::target(config, &args.target)?;
        ("copy", target, Some(app::open_repository(config)?))
    } else {
        ("repository", config.repository.clone(), None)
    };
    let location = app::location(&repository)?;
    let source = repository.source(section)?;
    let secret = source.read()?;
    let options = InitOptions {
        kind: secret.kind,
        local: Some(config.state_dir.join("index")),
        copies_of,
        access: app::access(&config.repository),
        ..InitOptions::default()
    };
    let made = Repository::init(&location, &secret.text, &options)?;
    let report = json!({ "location": location.to_string(), "id": made.id() });
    context.style.report(&report, |out| {
        writeln!(out, "made the repository {} at {location}", made.id())?;
        writeln!(
            out,
            "its key opens with {}; without that nothing in it can be read again, so keep a copy \
             elsewhere",
            source.describe()
        )
    })?;
    Ok(Outcome::Done)
}
