//! Requests and SharePoint's resource units of drives, against the least that Graph allows.
//!
//! The least: a delta page for what fits into one, at one unit (two without a token), and one unit for
//! the content of a file. The emulator counts units as it does for the service's limits. A restore is
//! held to requests per file; those at pre-authenticated upload addresses count there, too.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::fidelity::accounts;
use graph_emulator::Options;

use crate::UnitsArgs;
use crate::requests::{Bench, Cycle, DRIVE_PAGE};
use crate::table::{Bar, heading, line, value};

const DRIVES_ONLY: &str = "[protect]\nworkloads = [\"drive\"]\n";
const FOLDERS: u64 = 200;
const CHANGES: u64 = 1_000;
/// Of all files; so many folders are restored that it comes to about this.
const RESTORED: u64 = 1_000;

pub fn run(args: &UnitsArgs) -> Result<()> {
    many_files(args)?;
    many_drives(args)
}

fn many_files(args: &UnitsArgs) -> Result<()> {
    let source = tempfile::Builder::new()
        .prefix("tenantfs-bench-")
        .tempdir()?;
    make_files(source.path(), args.drive_files)?;
    let bench = Bench::start(
        Options {
            accounts: 1,
            empty_accounts: 1,
            messages: 0,
            files: 0,
            import_files: vec![source.path().to_owned()],
            ..Options::default()
        },
        DRIVES_ONLY,
    )?;
    let (users, empty) = accounts(&bench.0)?;
    let user = users.into_iter().next().context("there is no account")?;
    let drives = drives(&bench)?;
    let entries = args.drive_files + FOLDERS + 1;
    heading(&format!(
        "units: one drive of {} files in {FOLDERS} folders, and {} empty ones",
        args.drive_files,
        drives - 1
    ));
    let pages = entries.div_ceil(DRIVE_PAGE) + drives - 1;
    let first = bench.cycle()?;
    both(
        "first sync",
        &first,
        1 + pages + args.drive_files,
        pages + drives + args.drive_files,
    );
    let idle = bench.cycle()?;
    ensure!(
        idle.summary["snapshot"].is_null(),
        "an idle cycle made a snapshot"
    );
    both("idle cycle", &idle, 1 + drives, drives);

    for n in 0..CHANGES {
        let path = format!(
            "/users/{user}/drive/root:{}:/content",
            path_of(n, args.drive_files)
        );
        bench
            .0
            .graph
            .put(&path, format!("changed {n}").into_bytes())?;
    }
    let changed = bench.cycle()?;
    let pages = drives - 1 + (CHANGES + FOLDERS + 1).div_ceil(DRIVE_PAGE);
    both(
        &format!("{CHANGES} changed files"),
        &changed,
        1 + pages + CHANGES,
        pages + CHANGES,
    );

    let folders = (RESTORED * FOLDERS)
        .div_ceil(args.drive_files)
        .clamp(1, FOLDERS);
    let sources: Vec<String> = (0..folders)
        .map(|n| format!("latest/{user}/OneDrive/{}", folder(n)))
        .collect();
    let target = format!("{empty}/OneDrive/Restored");
    let mut arguments = vec!["restore"];
    arguments.extend(sources.iter().map(String::as_str));
    arguments.push(&target);
    let restored = bench.counted(&arguments)?;
    let files = restored.summary["restored"].as_f64().unwrap_or_default();
    ensure!(files > 0.0, "nothing was restored: {}", restored.summary);
    let each = (restored.requests + restored.transfers) as f64 / files;
    value(
        &format!("restore of {files} files: requests each"),
        each,
        "",
        2.2,
    );
    value(
        "  units each",
        restored.units as f64 / files,
        "",
        f64::INFINITY,
    );
    Ok(())
}

fn many_drives(args: &UnitsArgs) -> Result<()> {
    let bench = Bench::start(
        Options {
            accounts: usize::try_from(args.drives)?,
            messages: 0,
            files: args.drives,
            ..Options::default()
        },
        DRIVES_ONLY,
    )?;
    let drives = drives(&bench)?;
    heading(&format!("units: {drives} drives"));
    bench.cycle()?;
    let idle = bench.cycle()?;
    ensure!(
        idle.summary["snapshot"].is_null(),
        "an idle cycle made a snapshot"
    );
    both(
        "idle cycle",
        &idle,
        users(&bench)?.div_ceil(USERS_PAGE) + drives,
        drives,
    );
    value(
        "  units a drive",
        idle.units as f64 / drives as f64,
        "",
        1.0,
    );
    Ok(())
}

/// Users on a page of their list.
const USERS_PAGE: u64 = 999;

fn users(bench: &Bench) -> Result<u64> {
    Ok(bench.0.graph.list("/users")?.len() as u64)
}

/// How many users have a drive.
fn drives(bench: &Bench) -> Result<u64> {
    let users = bench.0.graph.list("/users")?;
    let has = |user: &&serde_json::Value| {
        let id = user["id"].as_str().unwrap_or_default();
        bench.0.graph.get(&format!("/users/{id}/drive")).is_ok()
    };
    Ok(users.iter().filter(has).count() as u64)
}

fn both(what: &str, cycle: &Cycle, requests: u64, units: u64) {
    let row = |what: &str, ours: u64, least: u64| {
        let ratio = ours as f64 / least as f64;
        line(what, ours as f64, least as f64, "", ratio, Bar::AtMost(1.1));
    };
    row(&format!("{what}: requests"), cycle.requests, requests);
    row("  units", cycle.units, units);
}

fn folder(n: u64) -> String {
    format!("Folder {n:03}")
}

/// The `n`th file, where files are spread evenly over all folders.
fn path_of(n: u64, files: u64) -> String {
    let n = n * (files / CHANGES).max(1);
    format!("/{}/file {n:06}.txt", folder(n % FOLDERS))
}

fn make_files(root: &Path, files: u64) -> Result<()> {
    for n in 0..FOLDERS {
        std::fs::create_dir_all(root.join(folder(n)))?;
    }
    for n in 0..files {
        let path = root
            .join(folder(n % FOLDERS))
            .join(format!("file {n:06}.txt"));
        std::fs::write(path, format!("the content of file {n}"))?;
    }
    Ok(())
}
