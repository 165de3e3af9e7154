//! A cluster of three, of which one is killed and comes back while it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use e2e::kills::{dice, setting};
use e2e::text;
use graph_emulator::Options;
use rand::RngExt;

use super::{Stage, contents, noise};

/// Rounds, unless `TENANTFS_ROUNDS` says otherwise.
const ROUNDS: u64 = 2;
/// Files that come with each round, and their size.
const FILES: u64 = 8;
const SIZE: usize = 2 << 20;

impl Stage {
    /// Does something while a node is killed and comes back: the one that is talked to, and after it
    /// another one.
    fn survives<T: Send + 'static>(
        &mut self,
        victim: usize,
        after: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.proxy.redirect(self.garage.address(victim));
        let working = std::thread::spawn(work);
        std::thread::sleep(after);
        self.garage.kill(victim)?;
        self.proxy.redirect(self.garage.address((victim + 1) % 3));
        std::thread::sleep(after);
        self.garage.restart(victim)?;
        self.garage.reunite()?;
        match working.join() {
            Ok(done) => done,
            Err(_) => bail!("the thread that works died"),
        }
    }

    /// Runs a command meanwhile, which must succeed.
    fn succeeds(&mut self, victim: usize, after: Duration, arguments: &[&str]) -> Result<()> {
        let mut command = self.tenant.command(arguments);
        let output = self.survives(victim, after, move || Ok(command.output()?))?;
        ensure!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        Ok(())
    }

    /// What another host reads of a snapshot meanwhile.
    fn reads(
        &mut self,
        victim: usize,
        after: Duration,
        snapshot: &str,
    ) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        self.forget_local_copies()?;
        let mount = self.tenant.mount()?;
        let root = mount.path("snapshots").join(snapshot).canonicalize()?;
        self.survives(victim, after, move || contents(&root))
    }
}

#[test]
fn one_of_three_nodes_dies_and_comes_back_during_backup_reads_and_prune() -> Result<()> {
    let mut dice = dice(20);
    let options = Options {
        accounts: 1,
        messages: 20,
        files: 5,
        ..Options::default()
    };
    let Some(mut stage) = Stage::start(3, options, "")? else {
        return Ok(());
    };
    let upn = stage.upn()?;
    let file = |round: u64, n: u64| format!("{round}-{n}.bin");
    for round in 0..setting("TENANTFS_ROUNDS", ROUNDS) {
        let mut moment = || Duration::from_millis(dice.random_range(0..2500));
        for n in 0..FILES {
            stage.put(&file(round, n), noise(round * FILES + n, SIZE))?;
        }
        if let Some(before) = round.checked_sub(1) {
            // Packs for prune.
            (0..FILES).try_for_each(|n| stage.remove(&file(before, n)))?;
        }
        let victim = (round % 3) as usize;
        stage.succeeds(victim, moment(), &["backup"])?;
        let before = stage.reads((victim + 1) % 3, moment(), "latest")?;
        for n in 0..FILES {
            let path = Path::new(&upn).join("OneDrive").join(file(round, n));
            ensure!(
                before.get(&path) == Some(&noise(round * FILES + n, SIZE)),
                "round {round}: {}",
                path.display()
            );
        }
        let forget = ["forget", "--keep-last", "1"];
        stage.succeeds(victim, moment(), &forget)?;
        let prune = ["prune", "--grace", "0", "--max-unused", "0"];
        stage.succeeds((victim + 2) % 3, moment(), &prune)?;
        let after = stage.reads(victim, moment(), "latest")?;
        ensure!(
            after == before,
            "round {round}: not what it was before prune"
        );
    }
    stage.verify()
}
