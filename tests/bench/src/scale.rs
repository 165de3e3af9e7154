//! A repository with very many small objects: how fast it is filled, found in, opened, and changed, and
//! how much memory each step takes at its peak.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tenantfs::repo::{Kind, PruneOptions, ReadData, Unused};
use tenantfs::retention;
use tenantfs::tree::collection::CollectionRoot;
use tenantfs::tree::{Editor, ItemKey, Nodes};
use tenantfs_mount::{Mount, MountConfig};

use crate::ScaleArgs;
use crate::incremental::{INBOX, message, record};
use crate::memory::Peak;
use crate::steps;
use crate::store::{self, open};
use crate::table::{heading, timed, value};

/// Objects that a message is stored as: the mail and its record.
const OBJECTS: u64 = 2;
/// Edits between two checkpoints, as in a capture.
const CHECKPOINT: usize = 200_000;
/// Objects that are looked up, and read.
const LOOKUPS: u64 = 200_000;
const READS: u64 = 20_000;
/// Memory that a step may take (MB).
const MEMORY_MB: f64 = 500.0;
/// Seconds in which a mount has to be ready.
const READY_S: f64 = 0.2;
/// Kilobytes that ten changes may take.
const CHANGE_KB: f64 = 100.0;

/// Each is a process of its own, so that its memory is.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    Fill,
    Find,
    Mount,
    Change,
    Check,
    Prune,
}

pub fn run(args: &ScaleArgs) -> Result<()> {
    let messages = args.objects / OBJECTS;
    if let Some(step) = args.step {
        let peak = Peak::start();
        match step {
            Step::Fill => fill(&args.dir, messages)?,
            Step::Find => find(&args.dir, messages)?,
            Step::Mount => mount(&args.dir)?,
            Step::Change => change(&args.dir, messages)?,
            Step::Check => check(&args.dir)?,
            Step::Prune => prune(&args.dir)?,
        }
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let cpu = (usage.user_time() + usage.system_time()).num_milliseconds();
        println!(
            "{:<44} {:>9.1} s",
            "  CPU time of all this",
            cpu as f64 / 1e3
        );
        return peak.show(MEMORY_MB);
    }
    let home = tempfile::tempdir_in(&args.dir)?;
    heading(&format!("{} small objects", messages * OBJECTS));
    for step in Step::value_variants() {
        let mut command = Command::new(std::env::current_exe()?);
        let name = step.to_possible_value().context("no name")?;
        command
            .args(["scale", "--objects", &args.objects.to_string(), "--step"])
            .arg(name.get_name())
            .arg("--dir")
            .arg(home.path());
        ensure!(command.status()?.success(), "{} failed", name.get_name());
    }
    Ok(())
}

/// A mailbox of one folder, in one snapshot.
fn fill(home: &Path, messages: u64) -> Result<()> {
    let repository = store::repository(home)?;
    let nodes = Nodes::new(&repository);
    let begin = Instant::now();
    let writer = repository.writer()?;
    let mut stream = writer.stream();
    let mut root = CollectionRoot::default();
    let mut editor = Editor::new(&nodes, root);
    let inbox = ItemKey::of(&repository, INBOX);
    editor.upsert_dir(inbox, ItemKey::ROOT, "Inbox", 0, None)?;
    for n in 0..messages {
        message(&repository, &mut stream, &mut editor, n, "")?;
        if editor.pending() >= CHECKPOINT {
            root = editor.checkpoint(&mut stream)?;
            editor = Editor::new(&nodes, root);
            eprint!("\r{n} of {messages} messages");
        }
    }
    eprint!("\r{:40}\r", "");
    drop(stream);
    let (_, commit) = timed(|| store::commit(&writer, &mut editor))?;
    let seconds = begin.elapsed().as_secs_f64();
    let rate = (messages * OBJECTS) as f64 / seconds;
    println!(
        "{:<44} {seconds:>9.1} s   {rate:>9.0} objects a second, {:.1} MB stored",
        "filled",
        store::bytes_below(&home.join("repository"))? as f64 / 1e6
    );
    println!(
        "{:<44} {:>9.3} s",
        "the commit at its end",
        commit.as_secs_f64()
    );
    println!(
        "{:<44} {:>9.1} MB in the repository, {:.1} MB mapped",
        "index",
        store::bytes_below(&home.join("repository/index"))? as f64 / 1e6,
        store::bytes_below(&home.join("state"))? as f64 / 1e6,
    );
    Ok(())
}

fn find(home: &Path, messages: u64) -> Result<()> {
    let repository = open(home)?;
    let mut dice = StdRng::seed_from_u64(messages);
    let mut some = |count: u64| -> Vec<_> {
        let numbers = (0..count).map(|_| dice.random_range(0..messages));
        numbers
            .map(|n| repository.id_of(Kind::Record, record(n, "").as_bytes()))
            .collect()
    };
    let (sought, read) = (some(LOOKUPS), some(READS));
    let ((), time) = timed(|| {
        for id in &sought {
            repository.size_of(id)?.context("an object is not found")?;
        }
        Ok(())
    })?;
    let each = |time: std::time::Duration, count: u64| time.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{:<44} {:>9.2} us",
        "looking one object up",
        each(time, LOOKUPS)
    );
    let ((), time) = timed(|| {
        for id in &read {
            repository.get(Kind::Record, id)?;
        }
        Ok(())
    })?;
    println!(
        "{:<44} {:>9.2} us",
        "reading one, from anywhere",
        each(time, READS)
    );
    Ok(())
}

fn mount(home: &Path) -> Result<()> {
    let dir = home.join("mnt");
    std::fs::create_dir_all(&dir)?;
    let begin = Instant::now();
    let mounted = Mount::start(MountConfig::new(dir.clone(), open(home)?))?;
    let latest = dir.join("snapshots/latest").canonicalize()?;
    value("mount ready", begin.elapsed().as_secs_f64(), "s", READY_S);
    let ((), time) = timed(|| {
        let first = std::fs::read_dir(latest.join("Inbox"))?
            .next()
            .context("an empty folder")??;
        std::fs::read(first.path())?;
        Ok(())
    })?;
    println!(
        "{:<44} {:>9.3} s",
        "the first file of the folder, cold",
        time.as_secs_f64()
    );
    mounted.stop()?;
    Ok(())
}

/// Ten changes: 5 new mails, 5 flagged.
fn change(home: &Path, messages: u64) -> Result<()> {
    let repository = open(home)?;
    let nodes = Nodes::new(&repository);
    let root = store::newest(&repository, &nodes)?;
    let (writer, started) = timed(|| Ok(repository.writer()?))?;
    let before = writer.bytes_written();
    let mut dice = StdRng::seed_from_u64(messages);
    let ((), time) = timed(|| {
        let mut stream = writer.stream();
        let mut editor = Editor::new(&nodes, root);
        for n in 0..5 {
            message(&repository, &mut stream, &mut editor, messages + n, "")?;
            let old = dice.random_range(0..messages);
            message(&repository, &mut stream, &mut editor, old, "flagged")?;
        }
        drop(stream);
        store::commit(&writer, &mut editor)?;
        Ok(())
    })?;
    println!("{:<44} {:>9.3} s", "a writer starts", started.as_secs_f64());
    println!(
        "{:<44} {:>9.3} s",
        "a snapshot with ten changes",
        time.as_secs_f64()
    );
    value(
        "  written for it",
        (writer.bytes_written() - before) as f64 / 1e3,
        "kB",
        CHANGE_KB,
    );
    Ok(())
}

/// Structure, and whether everything that the snapshots need is there.
fn check(home: &Path) -> Result<()> {
    let repository = open(home)?;
    let ((), time) = timed(|| steps::check(&repository, ReadData::Nothing))?;
    println!("{:<44} {:>9.1} s", "check", time.as_secs_f64());
    Ok(())
}

/// The snapshot before the ten changes is forgotten, and what only it needed deleted.
fn prune(home: &Path) -> Result<()> {
    let repository = open(home)?;
    let snapshots = repository.snapshots()?;
    let oldest = snapshots.first().context("no snapshot")?.name.clone();
    let maintenance = repository.maintain()?;
    let (report, time) = timed(|| {
        maintenance.forget(&[oldest])?;
        let options = PruneOptions {
            max_unused: Unused::Bytes(0),
            ..PruneOptions::default()
        };
        Ok(retention::prune(&maintenance, &options, &|_, _, _| {})?)
    })?;
    println!(
        "{:<44} {:>9.1} s   {} of {} objects in use, {} packs stored again, {} deleted",
        "forget and prune",
        time.as_secs_f64(),
        report.live_objects,
        report.objects,
        report.repacked.packs,
        report.deleted.packs
    );
    Ok(())
}
