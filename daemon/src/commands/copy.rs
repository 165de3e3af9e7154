//! `tenantfs copy`: snapshots to a second repository.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tenantfs::repo::{Renewal, Repository, Snapshot};
use tenantfs::tree::copy::Copier;

use super::Context;
use super::prune::tell_locks;
use crate::config::{self, Config};
use crate::exit::Outcome;
use crate::output::{bytes, count};
use crate::{app, progress, snapshots};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this snapshot; may be given several times [default: all that are not there yet]
    #[arg(long, value_name = "SNAPSHOT")]
    pub snapshot: Vec<String>,
    #[command(flatten)]
    pub target: CopyTarget,
}

/// Where copies go when it is not what [copy] says.
#[derive(Debug, clap::Args)]
pub struct CopyTarget {
    /// A directory, or s3://bucket/prefix [default: copy.location of the configuration]
    #[arg(long, value_name = "LOCATION")]
    pub to_location: Option<String>,
    /// File with its password
    #[arg(long, value_name = "FILE", requires = "to_location")]
    pub to_password_file: Option<PathBuf>,
    /// File of random bytes that opens it
    #[arg(
        long,
        value_name = "FILE",
        requires = "to_location",
        conflicts_with = "to_password_file"
    )]
    pub to_key_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    location: String,
    copied: Vec<Line>,
    /// Snapshots that were there already.
    present: Vec<String>,
    /// Bytes that the target grew by.
    written: u64,
    /// Locks of the target's files whose time ran out.
    locks: Renewal,
}

#[derive(Serialize)]
struct Line {
    snapshot: String,
    /// Objects that the target did not have.
    objects: u64,
    /// Bytes of them, decoded.
    bytes: u64,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = &context.config;
    let source = app::open_repository(config)?;
    let target = target(config, &args.target)?;
    let target = app::open(config, &target, "copy").context("cannot open the target of copies")?;
    let wanted = wanted(&source, &args.snapshot)?;
    let report = copy(&source, &target, wanted)?;
    context.style.report(&report, |out| {
        for line in &report.copied {
            writeln!(
                out,
                "copied {}: {}, {}",
                line.snapshot,
                count(line.objects, "new object"),
                bytes(line.bytes)
            )?;
        }
        writeln!(
            out,
            "{} copied, {} there already, {} written to {}",
            count(report.copied.len() as u64, "snapshot"),
            report.present.len(),
            bytes(report.written),
            report.location
        )?;
        tell_locks(out, report.locks)
    })?;
    Ok(match report.locks.failed {
        0 => Outcome::Done,
        _ => Outcome::SomeFailed,
    })
}

/// The snapshots to copy, oldest first, each once.
/// The repository that copies go to: what was typed, or else `[copy]`.
pub fn target(config: &Config, typed: &CopyTarget) -> Result<config::Repository> {
    match &typed.to_location {
        Some(location) => Ok(config::Repository {
            location: location.clone(),
            password_file: typed.to_password_file.clone(),
            key_file: typed.to_key_file.clone(),
            ..config::Repository::default()
        }),
        None => config.copy.clone().context(
            "nothing says where copies go: give the configuration a [copy] with location and \
             password_file, or give --to-location",
        ),
    }
}

fn wanted(source: &Repository, names: &[String]) -> Result<Vec<Snapshot>> {
    if names.is_empty() {
        return snapshots::complete(source);
    }
    let found: Result<Vec<_>> = names
        .iter()
        .map(|name| snapshots::find(source, name))
        .collect();
    let mut found = found?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup();
    Ok(found)
}

fn copy(source: &Repository, target: &Repository, wanted: Vec<Snapshot>) -> Result<Report> {
    let writer = target.writer()?;
    let mut copier = Copier::new(source, &writer)?;
    let (present, wanted): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|snapshot| copier.has(snapshot));
    let bar = progress::copying(wanted.len() as u64);
    let mut copied = Vec::new();
    for snapshot in &wanted {
        bar.begin(&snapshot.name);
        let done = copier
            .copy(snapshot, &mut |now| bar.set(now.objects, now.bytes))
            .with_context(|| format!("the snapshot {} was not copied", snapshot.name))?;
        tracing::info!(snapshot = snapshot.name, objects = done.objects, "copied");
        copied.push(Line {
            snapshot: snapshot.name.clone(),
            objects: done.objects,
            bytes: done.bytes,
        });
    }
    bar.finish();
    Ok(Report {
        location: target.location().to_string(),
        copied,
        present: present.into_iter().map(|snapshot| snapshot.name).collect(),
        written: writer.bytes_written(),
        locks: target.renew_locks()?,
    })
}
