//! `tenantfs snapshots`: what there is.

use anyhow::Result;

use super::Context;
use crate::app;
use crate::exit::Outcome;
use crate::output::{bytes, time};

pub fn run(context: &Context) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let snapshots = repository.snapshots()?;
    context.style.report(&snapshots, |out| {
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
                "{:<20} {:<19} {:>8} {:>10} {:>10} {:>10} {:>6}  {}{}",
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
                }
            )?;
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}
