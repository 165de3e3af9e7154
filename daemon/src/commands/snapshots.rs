//! `tenantfs snapshots`: what there is.

use anyhow::Result;

use super::Context;
use crate::app;
use crate::exit::Outcome;
use crate::output::{bytes, time};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those with this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let mut snapshots = repository.snapshots()?;
    snapshots.retain(|s| args.tag.iter().all(|tag| s.manifest.tags.contains(tag)));
    context.style.report(&snapshots, |out| {
        if snapshots.is_empty() && !args.tag.is_empty() {
            return writeln!(out, "no snapshot has that tag");
        }
        if snapshots.is_empty() {
            return writeln!(out, "no snapshots yet; `tenantfs backup` makes one");
        }
        writeln!(
            out,
            "{:<20} {:<19} {:>8} {:>10} {:>10} {:>10} {:>6}  host",
            "snapshot", "UTC", "accounts", "files", "bytes", "added", "failed"
        )?;
        for snapshot in &snapshots {
            let manifest = &snapshot.manifest;
            let totals = &manifest.totals;
            writeln!(
                out,
                "{:<20} {:<19} {:>8} {:>10} {:>10} {:>10} {:>6}  {}{}{}{}",
                snapshot.name,
                time(manifest.time),
                totals.accounts,
                totals.files,
                bytes(totals.bytes),
                bytes(totals.added),
                totals.failed,
                manifest.host,
                if manifest.complete {
                    ""
                } else {
                    "  (not complete yet)"
                },
                match manifest.forgotten {
                    0 => String::new(),
                    forgotten => format!("  ({forgotten} accounts forgotten)"),
                },
                manifest
                    .tags
                    .iter()
                    .fold(String::new(), |all, tag| all + "  #" + tag),
            )?;
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}
