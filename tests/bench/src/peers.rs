//! The peers: restic, borg and rustic, as their users run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::steps::{Place, Step};
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
        let mut init = self.on(repository, &["init"]);
        let mut backup = match self {
            Peer::Restic => self.on(repository, &["backup", "--quiet"]),
            Peer::Borg => {
                let level = if smallest { "zstd,19" } else { "zstd,3" };
                self.on(&archive(repository, "1"), &["create", "-C", level])
            }
            Peer::Rustic => self.on(repository, &["--no-progress", "backup"]),
        };
        backup.arg(source);
        match self {
            Peer::Restic => {
                init.args(["--repository-version", "2"]);
                if smallest {
                    backup.args(["--compression", "max"]);
                }
            }
            Peer::Borg => {
                init.args(["-e", "repokey-blake2"]);
            }
            Peer::Rustic if smallest => {
                init.args(["--set-compression", "19"]);
            }
            Peer::Rustic => {}
        }
        (init, backup)
    }

    /// The commands of a step, with the settings its users get unless they ask for others.
    pub fn step(self, place: &Place, step: Step) -> Vec<Command> {
        let Place {
            repository,
            source,
            target,
        } = place;
        let (init, backup) = self.commands(repository, source, Setting::Default);
        let on = |arguments: &[&str]| vec![self.on(repository, arguments)];
        match (step, self) {
            (Step::Init, _) => vec![init],
            (Step::First, _) | (Step::Second, Peer::Restic | Peer::Rustic) => vec![backup],
            (Step::Second, Peer::Borg) => {
                let mut create = self.on(&archive(repository, "2"), &["create", "-C", "zstd,3"]);
                create.arg(source);
                vec![create]
            }
            (Step::Prune, Peer::Restic) => on(&["forget", "--keep-last", "1", "--prune"]),
            (Step::Prune, Peer::Borg) => vec![
                self.on(&archive(repository, "1"), &["delete"]),
                self.on(repository, &["compact"]),
            ],
            (Step::Prune, Peer::Rustic) => {
                let forget = ["--no-progress", "forget", "--keep-last", "1", "--prune"];
                on(&[&forget[..], &["--instant-delete"]].concat())
            }
            (Step::Check, _) => on(&["check"]),
            (Step::ReadData, Peer::Borg) => on(&["check", "--verify-data"]),
            (Step::ReadData, _) => on(&["check", "--read-data"]),
            (Step::Restore, Peer::Restic) => {
                let mut restore = self.on(repository, &["restore", "latest", "--target"]);
                restore.arg(target);
                vec![restore]
            }
            (Step::Restore, Peer::Borg) => {
                let mut extract = self.on(&archive(repository, "2"), &["extract"]);
                extract.current_dir(target);
                vec![extract]
            }
            (Step::Restore, Peer::Rustic) => {
                let mut restore = self.on(repository, &["--no-progress", "restore", "latest"]);
                restore.arg(target);
                vec![restore]
            }
        }
    }

    /// A command of the peer on a repository (of borg also on an archive), whose arguments may follow.
    fn on(self, repository: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Peer::Restic | Peer::Rustic => command.arg("-r").arg(repository).args(arguments),
            Peer::Borg => command.args(arguments).arg(repository),
        };
        command
    }
}

/// What borg calls an archive in a repository.
fn archive(repository: &Path, name: &str) -> PathBuf {
    let mut path = repository.as_os_str().to_owned();
    path.push("::");
    path.push(name);
    path.into()
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
