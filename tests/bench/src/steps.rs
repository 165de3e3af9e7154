//! The life of a repository step by step, against restic, borg and rustic: what each step costs, and
//! the bytes that are stored after it.
//!
//! Every step of every program is a process of its own, tenantfs's too (`bench step`). tenantfs reads the
//! files as [`store::ingest`] does; its other steps are those of its commands.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tenantfs::repo::{PruneOptions, ReadData, Repository};
use tenantfs::restore::command::{Observer, Options, Outcome};
use tenantfs::restore::{Repo, download_sources};
use tenantfs::retention;
use tenantfs::sync::repair::roots;
use tenantfs::tree::Nodes;
use tenantfs::tree::damage::find_hits;
use tenantfs::tree::view::Dir;

use crate::cost::{self, Cost};
use crate::ingest::{copy_mail, corpus};
use crate::peers::{self, Peer};
use crate::store;
use crate::{IngestArgs, StepArgs};

/// One file in so many is another in the second generation.
const CHANGED_OF: usize = 50;
/// Bytes that are put somewhere into such a file.
const CHANGE: usize = 100;

/// What is measured, in this order. The repository is made before, and not measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    Init,
    First,
    Second,
    Prune,
    Check,
    ReadData,
    Restore,
}

impl Step {
    const MEASURED: [Step; 6] = [
        Step::First,
        Step::Second,
        Step::Prune,
        Step::Check,
        Step::ReadData,
        Step::Restore,
    ];

    fn name(self) -> &'static str {
        match self {
            Step::Init => "init",
            Step::First => "first backup",
            Step::Second => "second backup, 2 % of the files changed",
            Step::Prune => "forget the first, prune",
            Step::Check => "check",
            Step::ReadData => "check, every byte read",
            Step::Restore => "restore of everything",
        }
    }

    /// As the command line has it.
    fn argument(self) -> &'static str {
        match self {
            Step::Init => "init",
            Step::First => "first",
            Step::Second => "second",
            Step::Prune => "prune",
            Step::Check => "check",
            Step::ReadData => "read-data",
            Step::Restore => "restore",
        }
    }
}

/// Where a program has what it works with.
#[derive(Clone, Debug)]
pub struct Place {
    pub repository: PathBuf,
    pub source: PathBuf,
    pub target: PathBuf,
}

pub fn run(args: &IngestArgs) -> Result<()> {
    let Some(corpus) = corpus(args) else {
        println!("skipped: peers needs a folder with `mail` and `files`; name it with --corpus");
        return Ok(());
    };
    let peers: Vec<Peer> = Peer::ALL
        .into_iter()
        .filter(|peer| peer.is_here())
        .collect();
    let home = tempfile::tempdir()?;
    let mail = home.path().join("mail");
    copy_mail(&corpus.join("mail"), &mail)?;
    compare("mail", &mail, &peers)?;
    let files = home.path().join("files");
    copy(&corpus.join("files"), &files)?;
    compare("files", &files, &peers)
}

/// One program among those that are compared.
#[derive(Clone, Copy)]
enum Program {
    Tenantfs,
    Peer(Peer),
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Tenantfs => "tenantfs",
            Program::Peer(peer) => peer.name(),
        }
    }

    fn commands(self, place: &Place, step: Step) -> Result<Vec<Command>> {
        Ok(match self {
            Program::Tenantfs => vec![own(place, step)?],
            Program::Peer(peer) => peer.step(place, step),
        })
    }
}

/// What a step of a program cost.
struct Row {
    name: &'static str,
    cost: Cost,
    stored_mb: f64,
}

fn compare(what: &str, source: &Path, peers: &[Peer]) -> Result<()> {
    let home = tempfile::tempdir()?;
    let others = peers.iter().copied().map(Program::Peer);
    let programs: Vec<Program> = [Program::Tenantfs].into_iter().chain(others).collect();
    for program in &programs {
        measure(*program, home.path(), source, Step::Init)?;
    }
    println!(
        "\n{what}: {:.1} MB in {} files\n{:<42} {:>8} {:>8} {:>9} {:>10}",
        store::bytes_below(source)? as f64 / 1e6,
        store::files(source).len(),
        "",
        "wall s",
        "CPU s",
        "peak MB",
        "stored MB"
    );
    for step in Step::MEASURED {
        if step == Step::Second {
            change(source)?;
        }
        // The first to read a file reads it from the disk; let that be nobody's.
        for file in store::files(source) {
            std::fs::read(file)?;
        }
        println!("{}", step.name());
        let rows = programs
            .iter()
            .map(|program| measure(*program, home.path(), source, step));
        show(&rows.collect::<Result<Vec<_>>>()?);
    }
    Ok(())
}

fn measure(program: Program, home: &Path, source: &Path, step: Step) -> Result<Row> {
    let home = home.join(program.name());
    // In memory: ext4 spends more than any program on stepping over inodes that were freed a moment ago.
    let memory = tempfile::tempdir_in("/dev/shm")?;
    let place = Place {
        repository: home.join("repository"),
        source: source.to_owned(),
        target: memory.path().join("restored"),
    };
    std::fs::create_dir_all(&home)?;
    std::fs::create_dir_all(&place.target)?;
    let mut cost = Cost::default();
    for mut command in program.commands(&place, step)? {
        peers::prepare(&mut command);
        // What a program keeps beside the repository goes with it, too.
        command
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("BORG_BASE_DIR", home.join("borg"));
        cost += cost::of(&command)?;
    }
    if step == Step::Restore {
        let (restored, there) = (
            store::bytes_below(&place.target)?,
            store::bytes_below(source)?,
        );
        ensure!(
            restored == there,
            "{} restored {restored} bytes of {there}",
            program.name()
        );
    }
    Ok(Row {
        name: program.name(),
        cost,
        stored_mb: store::bytes_below(&place.repository)? as f64 / 1e6,
    })
}

/// Prints what each program took, and ours as a ratio to the best of the others.
fn show(rows: &[Row]) {
    let values = |row: &Row| {
        let Cost {
            wall_s,
            cpu_s,
            peak_mb,
        } = row.cost;
        [wall_s, cpu_s, peak_mb, row.stored_mb]
    };
    for row in rows {
        let [wall, cpu, peak, stored] = values(row);
        println!(
            "  {:<40} {wall:>8.2} {cpu:>8.2} {peak:>9.1} {stored:>10.2}",
            row.name
        );
    }
    let Some((own, others @ [_, ..])) = rows.split_first() else {
        return;
    };
    print!("  {:<40}", "ratio to the best of the others");
    for (column, own) in values(own).into_iter().enumerate() {
        let best = others.iter().map(|row| values(row)[column]);
        let width = [8, 8, 9, 10][column];
        print!(" {:>width$.2}", own / best.fold(f64::INFINITY, f64::min));
    }
    println!();
}

/// The second generation: some bytes more somewhere in some files, the same at each run.
fn change(source: &Path) -> Result<()> {
    let mut dice = StdRng::seed_from_u64(2);
    for files in store::files(source).chunks(CHANGED_OF) {
        let file = &files[dice.random_range(0..files.len())];
        let mut bytes = std::fs::read(file)?;
        let at = dice.random_range(0..=bytes.len());
        let more = (0..CHANGE).map(|_| dice.random_range(b'a'..=b'z'));
        bytes.splice(at..at, more.collect::<Vec<_>>());
        std::fs::write(file, bytes)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in store::files(from) {
        let copy = to.join(file.strip_prefix(from)?);
        std::fs::create_dir_all(copy.parent().context("no folder")?)?;
        std::fs::copy(file, copy)?;
    }
    Ok(())
}

fn own(place: &Place, step: Step) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("step")
        .arg(step.argument())
        .arg(place.repository.parent().context("no folder")?)
        .arg(&place.source)
        .arg(&place.target);
    Ok(command)
}

/// A step of tenantfs.
pub fn run_own(args: &StepArgs) -> Result<()> {
    if args.step == Step::Init {
        store::repository(&args.home)?;
        return Ok(());
    }
    let repository = store::open(&args.home)?;
    match args.step {
        Step::Init => Ok(()),
        Step::First | Step::Second => store::ingest(&repository, &args.source),
        Step::Prune => prune(&repository),
        Step::Check => check(&repository, ReadData::Nothing),
        Step::ReadData => check(&repository, ReadData::All),
        Step::Restore => restore(&repository, &args.target),
    }
}

fn prune(repository: &Repository) -> Result<()> {
    let snapshots = repository.snapshots()?;
    let oldest = snapshots.first().context("no snapshot")?.name.clone();
    let maintenance = repository.maintain()?;
    maintenance.forget(&[oldest])?;
    retention::prune(&maintenance, &PruneOptions::default(), &|_, _, _| {})?;
    Ok(())
}

/// As `tenantfs verify`.
pub fn check(repository: &Repository, read_data: ReadData) -> Result<()> {
    let snapshots = repository.snapshots()?;
    let report = repository.verify(read_data, &|_, _| {})?;
    let lost = report.lost.iter().map(|(_, id)| *id).collect();
    let mut hits = 0;
    let nodes = Nodes::new(repository);
    find_hits(repository, &nodes, &lost, roots(&snapshots), |_| hits += 1);
    ensure!(report.is_clean() && hits == 0, "{report:?}");
    Ok(())
}

/// Says nothing of what it restores.
struct Silent;

impl Observer for Silent {
    fn item(&self, _source: &str, _target: &str, _size: u64, _outcome: &Outcome) {}
}

fn restore(repository: &Repository, target: &Path) -> Result<()> {
    let from = Repo {
        repo: repository,
        nodes: &Nodes::new(repository),
    };
    let options = Options::default();
    // A command for people takes no whole snapshot: all that is at its top.
    let snapshots = repository.snapshots()?;
    let newest = snapshots.last().context("no snapshot")?;
    let top = Dir::new(from.nodes, newest.manifest.tree).list(0, usize::MAX)?;
    let all: Vec<String> = top
        .iter()
        .map(|(name, _)| format!("latest/{name}"))
        .collect();
    let summary = download_sources(from, None, &all, target, &options, &Silent)?;
    ensure!(summary.failed == 0, "{:?}", summary.failures);
    Ok(())
}
