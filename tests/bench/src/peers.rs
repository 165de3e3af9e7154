//! The peers: restic, borg and rustic, as their users run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::store::bytes_below;
use crate::table::timed;

/// A backup program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Restic,
    Borg,
    Rustic,
}

/// As fast as it comes, or as small as it gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Default,
    Smallest,
}

impl Peer {
    pub const ALL: [Peer; 3] = [Peer::Restic, Peer::Borg, Peer::Rustic];

    pub fn name(self) -> &'static str {
        match self {
            Peer::Restic => "restic",
            Peer::Borg => "borg",
            Peer::Rustic => "rustic",
        }
    }

    /// Whether it can be run here; says so when not.
    pub fn is_here(self) -> bool {
        let here = Command::new(self.name()).arg("--version").output().is_ok();
        if !here {
            println!("{} is not installed: left out", self.name());
        }
        here
    }

    /// Backs `source` up into a new repository in `dir`. Returns the bytes it takes, and the time of
    /// the backup alone.
    pub fn backup(self, dir: &Path, source: &Path, setting: Setting) -> Result<(u64, Duration)> {
        let repository = dir.join(self.name());
        let _ = std::fs::remove_dir_all(&repository);
        let (init, backup) = self.commands(&repository, source, setting);
        run(init)?;
        let ((), time) = timed(|| run(backup))?;
        Ok((bytes_below(&repository)?, time))
    }

    fn commands(self, repository: &Path, source: &Path, setting: Setting) -> (Command, Command) {
        let smallest = setting == Setting::Smallest;
        let mut init = Command::new(self.name());
        let mut backup = Command::new(self.name());
        match self {
            Peer::Restic => {
                init.arg("-r")
                    .arg(repository)
                    .args(["init", "--repository-version", "2"]);
                backup
                    .arg("-r")
                    .arg(repository)
                    .args(["backup", "--quiet"])
                    .arg(source);
                if smallest {
                    backup.args(["--compression", "max"]);
                }
            }
            Peer::Borg => {
                init.args(["init", "-e", "repokey-blake2"]).arg(repository);
                backup.args(["create", "-C", if smallest { "zstd,19" } else { "zstd,3" }]);
                let mut archive = repository.as_os_str().to_owned();
                archive.push("::1");
                backup.arg(archive).arg(source);
            }
            Peer::Rustic => {
                init.arg("-r").arg(repository).arg("init");
                if smallest {
                    init.args(["--set-compression", "19"]);
                }
                backup
                    .arg("-r")
                    .arg(repository)
                    .args(["--no-progress", "backup"])
                    .arg(source);
            }
        }
        (init, backup)
    }
}

/// The environment that gives all of them a password and keeps them quiet.
pub fn prepare(command: &mut Command) {
    command
        .env("RESTIC_PASSWORD", "bench")
        .env("RUSTIC_PASSWORD", "bench")
        .env("BORG_PASSPHRASE", "bench")
        .env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
}

fn run(mut command: Command) -> Result<()> {
    prepare(&mut command);
    let status = command.status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// `restic mount` of a repository that [`Peer::backup`] made; unmounted when dropped.
pub struct ResticMount {
    process: std::process::Child,
    dir: PathBuf,
}

impl ResticMount {
    pub fn start(dir: &Path) -> Result<Self> {
        let mountpoint = dir.join("restic-mount");
        std::fs::create_dir_all(&mountpoint)?;
        let mut command = Command::new("restic");
        command
            .arg("-r")
            .arg(dir.join("restic"))
            .arg("mount")
            .arg(&mountpoint);
        prepare(&mut command);
        let process = command.spawn()?;
        let mounted = Self {
            process,
            dir: mountpoint,
        };
        for _ in 0..600 {
            if mounted.dir.join("snapshots/latest").exists() {
                return Ok(mounted);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("restic did not mount")
    }

    /// Where `source` shows in the latest snapshot.
    pub fn path(&self, source: &Path) -> PathBuf {
        let absolute = source.strip_prefix("/").unwrap_or(source);
        self.dir.join("snapshots/latest").join(absolute)
    }
}

impl Drop for ResticMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
