//! `tenantfs prune`: deletes what no snapshot needs.

use std::cell::RefCell;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use tenantfs::repo::{Maintenance, PruneOptions, PrunePhase, PruneReport, Renewal, Unused};
use tenantfs::retention;

use super::Context;
use crate::cli::values;
use crate::exit::Outcome;
use crate::output::{bytes, count, time};
use crate::{app, progress};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Store at most so many bytes of packs again (500M, 2G)
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub max_repack: Option<u64>,
    /// What nothing uses may stay up to this: a part of what is used, or a size
    #[arg(long, value_name = "PERCENT|SIZE", default_value = "5%", value_parser = values::unused)]
    pub max_unused: Unused,
    /// How long packs wait before they are deleted [default: 0 in a directory, 24h in an object store]
    #[arg(long, value_name = "DURATION", value_parser = values::grace)]
    pub grace: Option<Duration>,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let options = PruneOptions {
        dry_run: args.dry_run,
        max_repack: args.max_repack,
        max_unused: args.max_unused,
        grace: args.grace,
    };
    let report = with_bars(&repository.maintain()?, &options)?;
    context.style.report(&report, |out| tell(out, &report))?;
    Ok(if report.damaged.is_empty() && report.locks.failed == 0 {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}

/// Prunes, with a bar for each of its phases.
pub fn with_bars(maintenance: &Maintenance, options: &PruneOptions) -> Result<PruneReport> {
    let bars: RefCell<Option<(PrunePhase, progress::Counter)>> = RefCell::default();
    let shown = |phase, done, total| {
        let mut bars = bars.borrow_mut();
        if bars.as_ref().is_none_or(|(shown, _)| *shown != phase) {
            if let Some((_, bar)) = bars.take() {
                bar.finish();
            }
            let things = match phase {
                PrunePhase::Marking => "snapshots read",
                PrunePhase::Repacking => "packs stored again",
                PrunePhase::Deleting => "packs deleted",
            };
            *bars = Some((phase, progress::counter(things)));
        }
        if let Some((_, bar)) = bars.as_ref() {
            bar.set(done, total);
        }
    };
    let report = retention::prune(maintenance, options, &shown)?;
    if let Some((_, bar)) = bars.take() {
        bar.finish();
    }
    Ok(report)
}

/// What was freed, for people.
pub fn tell(out: &mut dyn Write, report: &PruneReport) -> std::io::Result<()> {
    let (deleted, repacked, waiting) = (&report.deleted, &report.repacked, &report.waiting);
    writeln!(
        out,
        "{} of {} in use",
        report.live_objects,
        count(report.objects, "object")
    )?;
    if report.lost > 0 {
        writeln!(
            out,
            "{} that snapshots need cannot be had any more; verify says what lacks them",
            count(report.lost, "object")
        )?;
    }
    writeln!(
        out,
        "{} {} ({}) with {} that nothing uses",
        if report.dry_run {
            "would delete"
        } else {
            "deleted"
        },
        count(deleted.packs, "pack"),
        bytes(deleted.bytes),
        count(deleted.objects, "object"),
    )?;
    if repacked.packs > 0 {
        writeln!(
            out,
            "  {} of these ({}) had something in use, which {} again{}",
            repacked.packs,
            bytes(repacked.bytes),
            if report.dry_run {
                "would be stored"
            } else {
                "was stored"
            },
            if report.dry_run {
                String::new()
            } else {
                format!(": {} written", bytes(report.written))
            }
        )?;
    }
    if waiting.packs > 0 {
        writeln!(
            out,
            "{} ({}) {} deleted by a later prune{}",
            count(waiting.packs, "pack"),
            bytes(waiting.bytes),
            if waiting.packs == 1 { "is" } else { "are" },
            match (report.waiting_for.is_empty(), report.grace_left) {
                (true, seconds) => format!(", in {seconds} seconds or later"),
                (false, _) => format!(
                    ", when these have noticed: {}",
                    report.waiting_for.join(", ")
                ),
            }
        )?;
    }
    if report.locked.packs > 0 {
        writeln!(
            out,
            "{} ({}) locked by the store {}; a prune after that deletes {}",
            count(report.locked.packs, "pack"),
            bytes(report.locked.bytes),
            match report.locked_until {
                Some(until) => format!("until {} UTC at the latest", time(until.as_second())),
                None => "for a time that it does not tell".into(),
            },
            if report.locked.packs == 1 {
                "it"
            } else {
                "them"
            },
        )?;
    }
    tell_locks(out, report.locks)?;
    if report.kept > 0 {
        writeln!(out, "{} needed again, and kept", count(report.kept, "pack"))?;
    }
    for file in &report.damaged {
        writeln!(
            out,
            "damaged, left as it is: {file}; run verify --read-data"
        )?;
    }
    writeln!(out, "{} that nothing uses stay", bytes(report.unused))
}

/// What became of locks that run out.
pub fn tell_locks(out: &mut dyn Write, locks: Renewal) -> std::io::Result<()> {
    if locks.renewed > 0 {
        writeln!(out, "locks of {} renewed", count(locks.renewed, "file"))?;
    }
    if locks.failed > 0 {
        let files = count(locks.failed, "file");
        writeln!(out, "locks of {files} cannot be renewed; the log says why")?;
    }
    Ok(())
}
