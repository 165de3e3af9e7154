//! `tenantfs stats`: what is stored, and how well it packs.

use std::io::Write;

use anyhow::Result;
use tenantfs::repo::{Kind, LockState, Repository, Snapshot};
use tenantfs::sync::Report;

use super::Context;
use crate::exit::Outcome;
use crate::output::{bytes, count, time};
use crate::{app, snapshots};

pub fn run(context: &Context) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let stats = repository.stats()?;
    let latest = snapshots::complete(&repository)?.pop();
    let units = latest
        .as_ref()
        .and_then(|latest| units(&repository, latest));
    let mut told = serde_json::to_value(stats)?;
    told["drive_units"] = units.into();
    let locks = repository.lock_state()?;
    told["locks"] = serde_json::to_value(&locks)?;
    context.style.report(&told, |out| {
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
        if let Some(locks) = &locks {
            tell_locks(out, locks)?;
        }
        if let Some(units) = units {
            writeln!(
                out,
                "its cycle cost {} of drives and sites",
                count(units, "resource unit")
            )?;
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

/// What the store itself keeps.
fn tell_locks(out: &mut dyn Write, locks: &LockState) -> std::io::Result<()> {
    write!(
        out,
        "the store has locked {} of {} that snapshots are read from",
        locks.locked,
        count(locks.files, "file")
    )?;
    if let Some(until) = locks.until {
        let until = time(until.as_second());
        write!(out, ", the first of them until {until} UTC")?;
        if locks.renewed {
            write!(out, " unless that is renewed")?;
        }
    }
    if locks.unknown > 0 {
        write!(out, "; of {} it does not say", locks.unknown)?;
    }
    writeln!(out)
}

/// What the requests to drives and sites cost in the cycle that made a snapshot.
fn units(repository: &Repository, snapshot: &Snapshot) -> Option<u64> {
    let report = repository
        .get(Kind::Record, &snapshot.manifest.report?)
        .ok()?;
    let report: Report = serde_json::from_slice(&report).ok()?;
    Some(report.drive_units)
}
