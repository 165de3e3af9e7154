//! A cluster of three, of which one is killed and comes back while it is used.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::text;
use graph_emulator::Options;

use super::{Stage, contents, noise};

/// Rounds, unless `TENANTFS_ROUNDS` says otherwise.
const ROUNDS: usize = 2;

#[test]
fn one_of_three_nodes_dies_and_comes_back_during_backup_and_reads() -> Result<()> {
    let rounds = std::env::var("TENANTFS_ROUNDS");
    let rounds = rounds.map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let options = Options {
        accounts: 1,
        messages: 20,
        files: 5,
        ..Options::default()
    };
    let Some(mut stage) = Stage::start(3, options, "")? else {
        return Ok(());
    };
    let mut before = None;
    for round in 0..rounds {
        for n in 0..8 {
            let seed = (round * 8 + n) as u64;
            stage.put(&format!("{round}/{n}.bin"), noise(seed, 2 << 20))?;
        }
        // The one that is talked to, too.
        let victim = round % 3;
        let mut backup = stage.tenant.command(&["backup"]);
        let backup = std::thread::spawn(move || backup.output());
        std::thread::sleep(Duration::from_millis(300 * (round as u64 % 4)));
        stage.garage.kill(victim)?;
        stage.proxy.redirect(stage.garage.address((victim + 1) % 3));
        let Ok(backup) = backup.join() else {
            anyhow::bail!("the thread of the backup died")
        };
        let backup = backup?;
        ensure!(
            backup.status.success(),
            "round {round}: {}",
            text(&backup.stderr)
        );

        // While it is away, another host reads; while that reads, it comes back.
        stage.forget_local_copies()?;
        let mount = stage.tenant.mount()?;
        let latest = mount.path("snapshots/latest").canonicalize()?;
        let reading = std::thread::spawn(move || contents(&latest));
        stage.garage.restart(victim)?;
        let Ok(files) = reading.join() else {
            anyhow::bail!("the thread that reads died")
        };
        let files = files?;
        for n in 0..8 {
            let seed = (round * 8 + n) as u64;
            let name = format!("{}/OneDrive/{round}/{n}.bin", stage.upn()?);
            ensure!(
                files.get(std::path::Path::new(&name)) == Some(&noise(seed, 2 << 20)),
                "round {round}: {name}"
            );
        }
        if let Some(before) = before.replace(files.clone()) {
            let before: std::collections::BTreeMap<_, _> = before;
            ensure!(
                before
                    .iter()
                    .all(|(name, bytes)| files.get(name) == Some(bytes)),
                "round {round}: something of the round before is lost"
            );
        }
        drop(mount);
    }
    stage.verify()
}
