//! `tenantfs stats`: what is stored, and how well it packs.

use anyhow::Result;

use super::Context;
use crate::exit::Outcome;
use crate::output::{bytes, count};
use crate::{app, snapshots};

pub fn run(context: &Context) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let stats = repository.stats()?;
    let latest = snapshots::complete(&repository)?.pop();
    context.style.report(&stats, |out| {
        let rows = [
            ("data packs", stats.data_packs, stats.data_bytes),
            ("meta packs", stats.meta_packs, stats.meta_bytes),
            ("index files", stats.index_files, stats.index_bytes),
            ("dictionaries", stats.dictionaries, stats.dictionary_bytes),
        ];
        for (what, files, size) in rows {
            writeln!(out, "{what:<12} {files:>8} {:>10}", bytes(size))?;
        }
        writeln!(out, "{:<12} {:>8} {:>10}", "all", "", bytes(stats.bytes))?;
        writeln!(
            out,
            "{}, {}",
            count(stats.objects, "object"),
            count(stats.snapshots, "snapshot")
        )?;
        if let Some(latest) = latest {
            let shown = latest.manifest.totals.bytes;
            writeln!(
                out,
                "\nthe latest snapshot shows {}; all snapshots together take {:.2} x that",
                bytes(shown),
                stats.bytes as f64 / shown.max(1) as f64
            )?;
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}
