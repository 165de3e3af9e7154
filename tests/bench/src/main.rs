//! Prints the bars of tenantfs, each as a ratio to a peer taken in one run on this machine.
//!
//!     cargo run --release -p bench -- mount        against ext4 and `restic mount`
//!     cargo run --release -p bench -- ingest       against restic, borg and rustic
//!     cargo run --release -p bench -- peers        the same, step by step: second backup, prune, check, restore
//!     cargo run --release -p bench -- dictionary   what dictionaries save, by the size of items
//!     cargo run --release -p bench -- requests     against the least that Graph allows
//!     cargo run --release -p bench -- units        resource units of drives, against the least
//!     cargo run --release -p bench -- incremental  bytes and time of ten changes, by size of the mailbox
//!     cargo run --release -p bench -- scale        10,000,000 objects in one repository
//!     cargo run --release -p bench -- restore      items a minute, by kind, under the service's limits
//!     cargo run --release -p bench -- fidelity     what a restore does not bring back, property by property
//!     cargo run --release -p bench -- all
//!
//! How to read it: a line is what was measured, the measured values, the ratio, the bar, and whether
//! the ratio holds it. Cold means that the kernel's caches were dropped before (needs root). Peers
//! that are not installed are named and left out. Times on a busy machine say little; the ratios
//! compare things measured one after the other.

mod cost;
mod dictionary;
mod fidelity;
mod incremental;
mod ingest;
mod least;
mod memory;
mod mount;
mod peers;
mod requests;
mod restore;
mod routes;
mod scale;
mod steps;
mod store;
mod table;
mod units;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The daemon's: what is measured is what it would take there.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(name = "bench", about = "The bars of tenantfs as ratios")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reading a mounted snapshot
    Mount(MountArgs),
    /// Storing mail and files
    Ingest(IngestArgs),
    /// The life of a repository step by step, against the peers
    Peers(IngestArgs),
    /// What dictionaries save
    Dictionary(IngestArgs),
    /// Requests to Graph
    Requests(RequestsArgs),
    /// Requests and resource units of drives
    Units(UnitsArgs),
    /// What a few changes in a large mailbox cost
    Incremental,
    /// Very many objects in one repository
    Scale(ScaleArgs),
    /// How fast a mailbox is filled again
    Restore,
    /// What a restore does not bring back
    Fidelity,
    /// Runs a program and tells what it cost
    #[command(hide = true)]
    Cost(CostArgs),
    /// A step of tenantfs in the life of a repository
    #[command(hide = true)]
    Step(StepArgs),
    /// All of them
    All {
        #[command(flatten)]
        mount: MountArgs,
        #[command(flatten)]
        ingest: IngestArgs,
        #[command(flatten)]
        requests: RequestsArgs,
        #[command(flatten)]
        units: UnitsArgs,
        #[command(flatten)]
        scale: ScaleArgs,
    },
}

#[derive(Args, Clone)]
pub struct MountArgs {
    /// Mails in the snapshot
    #[arg(long, default_value_t = 100_000)]
    mails: usize,
    /// Files walked for the memory of the mount
    #[arg(long, default_value_t = 1_000_000)]
    walk: usize,
    /// Leave `restic mount` out (it takes many minutes)
    #[arg(long)]
    no_restic: bool,
    /// Only this part
    #[arg(long, value_enum)]
    only: Option<MountPart>,
    /// Folder of .eml files the mails are made from; generated ones when not given
    #[arg(long, value_name = "DIR")]
    mail: Option<PathBuf>,
}

/// What the mount is measured with.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MountPart {
    /// Many mails, listed and read
    Mails,
    /// One file of 1 GiB
    Large,
    /// Memory after walking very many files
    Memory,
}

#[derive(Args, Clone)]
pub struct IngestArgs {
    /// Folder with `mail` and `files`
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct CostArgs {
    #[arg(last = true)]
    command: Vec<std::ffi::OsString>,
}

#[derive(Args, Clone)]
pub struct StepArgs {
    #[arg(value_enum)]
    step: steps::Step,
    /// Folder with the repository and the local state
    home: PathBuf,
    source: PathBuf,
    target: PathBuf,
}

#[derive(Args, Clone)]
pub struct RequestsArgs {
    /// Messages in the tenant
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// Files in the tenant
    #[arg(long, default_value_t = 1_000)]
    files: u64,
    /// Takes this fraction of the mails for comparing both ways to capture them; 1 for all
    #[arg(long, default_value_t = 20, value_name = "N")]
    routes_scale: u64,
}

#[derive(Args, Clone)]
pub struct UnitsArgs {
    /// Files in one drive
    #[arg(long, default_value_t = 100_000)]
    drive_files: u64,
    /// Drives of an idle tenant
    #[arg(long, default_value_t = 1_000)]
    drives: u64,
}

#[derive(Args, Clone)]
pub struct ScaleArgs {
    /// Objects in the repository
    #[arg(long, default_value_t = 10_000_000)]
    objects: u64,
    /// Where the repository is made
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Only this step, on the repository that is in DIR
    #[arg(long, value_enum, hide = true)]
    step: Option<scale::Step>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Mount(args) => mount::run(&args),
        Command::Ingest(args) => ingest::run(&args),
        Command::Peers(args) => steps::run(&args),
        Command::Dictionary(args) => dictionary::run(&args),
        Command::Cost(args) => cost::run(&args),
        Command::Step(args) => steps::run_own(&args),
        Command::Requests(args) => requests::run(&args),
        Command::Units(args) => units::run(&args),
        Command::Incremental => incremental::run(),
        Command::Scale(args) => scale::run(&args),
        Command::Restore => restore::run(),
        Command::Fidelity => fidelity::run(),
        Command::All {
            mount,
            ingest,
            requests,
            units,
            scale,
        } => {
            ingest::run(&ingest)?;
            steps::run(&ingest)?;
            dictionary::run(&ingest)?;
            requests::run(&requests)?;
            units::run(&units)?;
            incremental::run()?;
            scale::run(&scale)?;
            restore::run()?;
            fidelity::run()?;
            mount::run(&mount)
        }
    }
}
