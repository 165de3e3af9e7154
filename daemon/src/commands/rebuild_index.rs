//! `tenantfs rebuild-index`: the index again from the packs.

use anyhow::Result;
use serde_json::json;

use super::Context;
use crate::app;
use crate::exit::Outcome;
use crate::output::count;

pub fn run(context: &Context) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let bar = crate::progress::counter("packs");
    let rebuilt = repository.rebuild_index(&|done, total| bar.set(done, total))?;
    bar.finish();
    let report = json!({ "packs": rebuilt.packs, "objects": rebuilt.objects, "damaged": rebuilt.damaged.iter().map(|d| json!({ "file": d.file, "reason": d.reason })).collect::<Vec<_>>() });
    context.style.report(&report, |out| {
        for damaged in &rebuilt.damaged {
            writeln!(out, "damaged: {}: {}", damaged.file, damaged.reason)?;
        }
        writeln!(
            out,
            "indexed {} in {}",
            count(rebuilt.objects, "object"),
            count(rebuilt.packs, "pack")
        )
    })?;
    Ok(if rebuilt.damaged.is_empty() {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}
