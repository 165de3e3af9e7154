//! `tenantfs tag`: gives snapshots tags and takes them away.

use anyhow::Result;
use serde_json::json;
use tenantfs::retention;

use super::Context;
use crate::cli::Tag;
use crate::exit::Outcome;
use crate::{app, snapshots};

pub fn run(context: &Context, args: &Tag) -> Result<Outcome> {
    let (name, tag, add) = match args {
        Tag::Add { snapshot, tag } => (snapshot, tag, true),
        Tag::Remove { snapshot, tag } => (snapshot, tag, false),
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
