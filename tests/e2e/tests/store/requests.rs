//! At 50 ms a request, what counts is how many there are.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use graph_emulator::Options;

use super::{Stage, noise};

const LATENCY: Duration = Duration::from_millis(50);
const FILES: usize = 1000;
const LARGE: usize = 64 << 20;

#[test]
fn a_mount_far_from_its_store_makes_few_requests() -> Result<()> {
    let options = Options {
        accounts: 1,
        messages: 5,
        files: 2,
        ..Options::default()
    };
    let Some(stage) = Stage::start(1, options, "")? else {
        return Ok(());
    };
    for n in 0..FILES {
        stage.put(&format!("many/{n:04}.txt"), format!("file {n}").into())?;
    }
    let large = noise(1, LARGE);
    stage.put("large.bin", large.clone())?;
    let snapshot = stage.snapshot()?;
    stage.forget_local_copies()?;
    stage.proxy.set_latency(LATENCY);
    stage.proxy.take_requests();

    let mount = stage.tenant.mount()?;
    let opening = stage.proxy.take_requests();
    // The configuration, the list of keys and the key; the lists of index files and snapshots with what
    // is on them. The mount opens nothing twice.
    ensure!(opening.len() <= 8, "opening: {opening:#?}");

    let drive = mount
        .path("snapshots")
        .join(&snapshot)
        .join(stage.upn()?)
        .join("OneDrive");
    let list = || -> Result<usize> {
        let mut names = 0;
        for entry in std::fs::read_dir(drive.join("many"))? {
            entry?.metadata()?;
            names += 1;
        }
        Ok(names)
    };
    ensure!(list()? == FILES);
    let listing = stage.proxy.take_requests();
    ensure!(listing.len() <= 2, "listing: {listing:#?}");
    ensure!(list()? == FILES);
    let again = stage.proxy.take_requests();
    ensure!(again.is_empty(), "listing again: {again:#?}");

    let begin = Instant::now();
    ensure!(std::fs::read(drive.join("large.bin"))? == large);
    let took = begin.elapsed();
    let reading = stage.proxy.take_requests();
    ensure!(
        reading.len() <= 32,
        "{} requests for {} MiB in {took:?}: {reading:#?}",
        reading.len(),
        LARGE >> 20
    );
    eprintln!(
        "requests: {} to open, {} to list {FILES} files, {} to read 64 MiB in {took:?}",
        opening.len(),
        listing.len(),
        reading.len()
    );

    // A mount that starts anew has it all on the local disk.
    drop(mount);
    let mount = stage.tenant.mount()?;
    stage.proxy.take_requests();
    ensure!(list()? == FILES);
    ensure!(std::fs::read(drive.join("large.bin"))? == large);
    let kept = stage.proxy.take_requests();
    ensure!(kept.is_empty(), "after a restart: {kept:#?}");
    drop(mount);
    Ok(())
}
