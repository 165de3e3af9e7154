//! `tenantfs export`: a snapshot, or a part of it, as a tar.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tenantfs::repo::{Repository, Snapshot};
use tenantfs::transfer::{self, Manifest};

use super::Context;
use crate::exit::Outcome;
use crate::output::{bytes, count};
use crate::{app, progress, snapshots};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// SNAPSHOT[/PATH]; SNAPSHOT may be `latest` or a day
    pub path: String,
    /// Where to; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let (snapshot, path) = snapshots::split(&repository, &args.path)?;
    if args.output.as_os_str() == "-" {
        // Standard output is the tar, so nothing is reported there.
        let mut out = BufWriter::new(std::io::stdout().lock());
        export(&repository, &snapshot, path, &mut out)?;
        return Ok(Outcome::Done);
    }
    let manifest = to_file(&repository, &snapshot, path, &args.output)?;
    context.style.report(&manifest, |out| {
        writeln!(
            out,
            "exported {} ({}) of {} to {}",
            count(manifest.files, "file"),
            bytes(manifest.bytes),
            snapshot.name,
            args.output.display()
        )
    })?;
    Ok(Outcome::Done)
}

/// Whole or not at all.
fn to_file(
    repository: &Repository,
    snapshot: &Snapshot,
    path: &str,
    output: &Path,
) -> Result<Manifest> {
    let failed = || format!("cannot write {}", output.display());
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
    let manifest = export(repository, snapshot, path, &mut out)?;
    drop(out);
    file.as_file().sync_all().with_context(failed)?;
    file.persist(output).with_context(failed)?;
    Ok(manifest)
}

fn export(
    repository: &Repository,
    snapshot: &Snapshot,
    path: &str,
    out: &mut impl Write,
) -> Result<Manifest> {
    let bar = progress::copying(1);
    bar.begin(&snapshot.name);
    let done = transfer::export(repository, snapshot, path, out, &mut |files, bytes| {
        bar.set(files, bytes)
    });
    bar.finish();
    Ok(done?)
}
