//! `tenantfs repair`: mends a damaged repository, and says what is hit.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use tenantfs::sync::repair::{Repaired, repair};

use super::Context;
use super::verify::{Damaged, MAX_HITS, name};
use crate::exit::Outcome;
use crate::output::count;
use crate::{app, progress};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    found: Vec<Damaged>,
    /// Packs that their parity made whole.
    healed: Vec<String>,
    /// Files that are below `damaged/` in the repository now.
    put_aside: Vec<String>,
    /// Files that are missing, and are not missed any more.
    given_up: Vec<String>,
    /// What no repair can mend.
    left: Vec<Damaged>,
    objects_saved: u64,
    objects_lost: usize,
    index_made: bool,
    parity_made: Vec<String>,
    hits: Vec<String>,
    more_hits: u64,
    /// The snapshot that says what is to be captured again.
    snapshot: Option<String>,
    /// Checkpoints that were deleted: something of them was lost.
    checkpoints: Vec<String>,
    /// Items of it whose content is fetched again.
    items: u64,
    /// Workloads that start over.
    restarted: Vec<String>,
}

impl Report {
    fn new(repaired: Repaired, dry_run: bool) -> Self {
        let damaged = |files: Vec<_>| files.into_iter().map(Damaged::from).collect();
        let repository = repaired.repository;
        Self {
            dry_run,
            found: damaged(repository.found),
            healed: repository.healed,
            put_aside: repository.put_aside,
            given_up: repository.given_up,
            left: damaged(repository.left),
            objects_saved: repository.objects_saved,
            objects_lost: repository.lost.len(),
            index_made: repository.index_made,
            parity_made: repository.parity_made,
            hits: repaired.hits.iter().map(name).collect(),
            more_hits: repaired.more_hits,
            snapshot: repaired.snapshot,
            checkpoints: repaired.checkpoints,
            items: repaired.items,
            restarted: repaired.restarted,
        }
    }

    fn is_whole(&self) -> bool {
        self.left.is_empty() && self.given_up.is_empty() && self.hits.is_empty()
    }
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    let bar = progress::counter("bytes");
    let now = Timestamp::now().as_second();
    let repaired = repair(&repository, args.dry_run, now, MAX_HITS, &|done, total| {
        bar.set(done, total);
    })?;
    bar.finish();
    let report = Report::new(repaired, args.dry_run);
    context.style.report(&report, |out| {
        for damaged in &report.found {
            writeln!(out, "damaged: {}: {}", damaged.file, damaged.reason)?;
        }
        let lists = [
            ("healed by parity", &report.healed),
            ("kept below damaged/", &report.put_aside),
            ("given up, it is missing", &report.given_up),
            ("parity made", &report.parity_made),
            ("hits", &report.hits),
            ("deleted, a damaged checkpoint", &report.checkpoints),
            ("starts over", &report.restarted),
        ];
        for (what, names) in lists {
            for name in names {
                writeln!(out, "{what}: {name}")?;
            }
        }
        for left in &report.left {
            writeln!(out, "not mended: {}: {}", left.file, left.reason)?;
        }
        if report.more_hits > 0 {
            writeln!(out, "and {} more", count(report.more_hits, "path"))?;
        }
        if let Some(snapshot) = &report.snapshot {
            writeln!(
                out,
                "snapshot {snapshot}: the next cycle fetches {} again",
                count(report.items, "item")
            )?;
        }
        let nothing = report.found.is_empty() && report.parity_made.is_empty();
        writeln!(
            out,
            "{}{} saved, {} lost",
            match (nothing, args.dry_run) {
                (true, _) => "nothing to mend; ",
                (false, true) => "nothing is changed (--dry-run); ",
                (false, false) => "",
            },
            count(report.objects_saved, "object"),
            report.objects_lost
        )
    })?;
    Ok(if report.is_whole() {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}
