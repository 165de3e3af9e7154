//! `tenantfs import`: a tar that was exported becomes a snapshot of this repository.

use std::io::{BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;
use tenantfs::transfer;

use super::Context;
use crate::exit::Outcome;
use crate::output::{bytes, count};
use crate::{app, progress};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tar; `-` is standard input
    pub file: PathBuf,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let input: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(&args.file);
        Box::new(file.with_context(|| format!("cannot read {}", args.file.display()))?)
    };
    let bar = progress::copying(1);
    bar.begin(&args.file.display().to_string());
    let input = BufReader::with_capacity(1 << 20, input);
    let imported = transfer::import(&repository, input, &mut |files, bytes| {
        bar.set(files, bytes)
    });
    bar.finish();
    let imported = imported?;
    let totals = imported.snapshot.manifest.totals;
    let report = json!({
        "snapshot": imported.snapshot.name,
        "entries": imported.entries,
        "files": totals.files,
        "bytes": totals.bytes,
    });
    context.style.report(&report, |out| {
        writeln!(
            out,
            "imported {} ({}) as the snapshot {}",
            count(totals.files, "file"),
            bytes(totals.bytes),
            imported.snapshot.name
        )
    })?;
    Ok(Outcome::Done)
}
