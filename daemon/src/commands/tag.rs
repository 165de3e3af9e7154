//! `tenantfs tag`: gives snapshots tags and takes them away.

use anyhow::Result;
use serde_json::json;
use tenantfs::retention;

use super::Context;
use crate::exit::Outcome;
use crate::{app, snapshots};

/// What can be typed.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Give a snapshot a tag
    Add {
        /// Its name, `latest`, or a day
        snapshot: String,
        tag: String,
    },
    /// Take a tag away
    Remove {
        /// Its name, `latest`, or a day
        snapshot: String,
        tag: String,
    },
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let (name, tag, add) = match args {
        Args::Add { snapshot, tag } => (snapshot, tag, true),
        Args::Remove { snapshot, tag } => (snapshot, tag, false),
    };
    let repository = app::open_repository(&context.config)?;
    let maintenance = repository.maintain()?;
    let snapshot = snapshots::find(&repository, name)?;
    let changed = retention::tag(&maintenance, &snapshot, tag, add)?;
    let report = json!({ "snapshot": snapshot.name, "tag": tag, "changed": changed });
    context.style.report(&report, |out| {
        let said = match (add, changed) {
            (true, true) => "has the tag",
            (true, false) => "had the tag already:",
            (false, true) => "no longer has the tag",
            (false, false) => "never had the tag",
        };
        writeln!(out, "{} {said} {tag}", snapshot.name)
    })?;
    Ok(Outcome::Done)
}
