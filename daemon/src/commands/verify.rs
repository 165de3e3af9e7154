//! `tenantfs verify`: is everything there, and is every byte what was written?

use std::collections::HashSet;

use anyhow::Result;
use serde::Serialize;
use tenantfs::repo::{DamagedFile, ObjectId, ReadData, Repository, Snapshot, VerifyReport};
use tenantfs::sync::repair::roots;
use tenantfs::tree::Nodes;
use tenantfs::tree::damage::{Hit, Part, find_hits};

use super::Context;
use crate::cli::values;
use crate::exit::Outcome;
use crate::output::{bytes, count};
use crate::{app, progress};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read and authenticate the packs too, not just the structure: every byte of all of them, or of a
    /// share chosen at random (`--read-data=5%`)
    #[arg(
        long,
        value_name = "N%",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100%",
        value_parser = values::percent
    )]
    pub read_data: Option<f64>,
    /// Which packs the share has: the same number reads the same ones [default: at random]
    #[arg(long, value_name = "NUMBER", requires = "read_data")]
    pub seed: Option<u64>,
}

/// Hits that are told one by one; the rest is counted.
pub const MAX_HITS: usize = 1000;

#[derive(Serialize)]
struct Verified {
    clean: bool,
    files: u64,
    bytes: u64,
    packs: u64,
    objects: u64,
    /// Packs whose every byte was read, and the bytes of them.
    packs_read: u64,
    bytes_read: u64,
    /// Chose these packs, when they are a share of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Parity files, and packs without one.
    parity: u64,
    without_parity: u64,
    damaged: Vec<Damaged>,
    lost_objects: usize,
    /// Packs that no index names; the next writer takes them in.
    unindexed: Vec<String>,
    hits: Vec<String>,
    more_hits: usize,
    /// States and reports of old snapshots that are lost for good, and that nothing needs.
    given_up: Vec<String>,
}

/// A file that is not as it must be.
#[derive(Serialize)]
pub struct Damaged {
    /// Name relative to the repository.
    pub file: String,
    /// What does not fit.
    pub reason: String,
}

impl From<DamagedFile> for Damaged {
    fn from(damaged: DamagedFile) -> Self {
        Self {
            file: damaged.file,
            reason: damaged.reason,
        }
    }
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    // Before the index is looked at: what these need must be in it then.
    let snapshots = repository.snapshots()?;
    let bar = progress::counter("bytes");
    let read_data = read_data(args);
    let report = repository.verify(read_data, &|done, total| bar.set(done, total))?;
    bar.finish();
    let seed = match read_data {
        ReadData::Share { seed, .. } => Some(seed),
        ReadData::Nothing | ReadData::All => None,
    };
    let verified = Verified {
        seed,
        ..describe(&repository, &snapshots, report)
    };
    context.style.report(&verified, |out| {
        for damaged in &verified.damaged {
            writeln!(out, "damaged: {}: {}", damaged.file, damaged.reason)?;
        }
        for hit in &verified.hits {
            writeln!(out, "hits {hit}")?;
        }
        for lost in &verified.given_up {
            writeln!(out, "given up: {lost}")?;
        }
        if verified.more_hits > 0 {
            writeln!(out, "and {} more", count(verified.more_hits as u64, "path"))?;
        }
        writeln!(
            out,
            "{} in {} of {}, {}{}",
            count(verified.objects, "object"),
            count(verified.packs, "pack"),
            bytes(verified.bytes),
            if verified.clean {
                "no damage"
            } else {
                "DAMAGED"
            },
            match verified.seed {
                Some(seed) => format!(
                    ", every byte of {} read (--seed {seed})",
                    count(verified.packs_read, "pack")
                ),
                None if args.read_data.is_some() => ", every byte read".to_owned(),
                None => " (--read-data reads every byte)".to_owned(),
            },
        )
    })?;
    Ok(if verified.clean {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn read_data(args: &Args) -> ReadData {
    match args.read_data {
        None => ReadData::Nothing,
        Some(percent) if percent >= 100.0 => ReadData::All,
        Some(percent) => ReadData::Share {
            percent,
            seed: args.seed.unwrap_or_else(rand::random),
        },
    }
}

/// Puts names to what was found.
fn describe(repository: &Repository, snapshots: &[Snapshot], report: VerifyReport) -> Verified {
    let lost: HashSet<ObjectId> = report.lost.iter().map(|(_, id)| *id).collect();
    let mut hits = Vec::new();
    let mut more_hits = 0;
    let nodes = Nodes::new(repository);
    find_hits(repository, &nodes, &lost, roots(snapshots), |hit| {
        if hits.len() < MAX_HITS {
            hits.push(name(&hit));
        } else {
            more_hits += 1;
        }
    });
    Verified {
        clean: report.is_clean() && hits.is_empty(),
        files: report.files,
        bytes: report.bytes,
        packs: report.packs,
        objects: report.objects,
        packs_read: report.packs_read,
        bytes_read: report.bytes_read,
        seed: None,
        parity: report.parity,
        without_parity: report.without_parity,
        damaged: report.damaged.into_iter().map(Damaged::from).collect(),
        lost_objects: lost.len(),
        unindexed: report.unindexed,
        hits,
        more_hits,
        given_up: report.given_up,
    }
}

/// A hit for people.
pub fn name(hit: &Hit) -> String {
    let part = match hit.part {
        Part::Content => "content",
        Part::Record => "Graph record",
        Part::Original => "exported original",
        Part::Listing => "listing",
        Part::State => "state",
    };
    format!("{}/{} ({part})", hit.snapshot, hit.path)
}
