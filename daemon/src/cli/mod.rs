//! The command line: what can be typed. What it means is in [`crate::commands`], a module for each
//! command, with its arguments.

pub mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    backup, copy, daemon, demo, diff, export, forget, hold, import, init, key, ls, mount, prune,
    repair, restore, snapshots, tag, verify,
};

/// Snapshots of a Microsoft 365 tenant, as folders you can mount.
#[derive(Debug, Parser)]
#[command(
    name = "tenantfs",
    version,
    propagate_version = true,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 done with some items failed."
)]
pub struct Cli {
    /// Configuration file [default: /etc/tenantfs/tenantfs.toml, then ~/.config/tenantfs/tenantfs.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Report as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// Log more (twice: everything)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work: a sample tenant, two snapshots, a mount, a restore. No account needed
    Demo(demo::Args),
    /// Make the repository and its key
    Init(init::Args),
    /// Check configuration, sign-in, granted permissions, repository and FUSE
    Doctor,
    /// Capture by schedule, keep the mount up, answer on the control socket
    Daemon(daemon::Args),
    /// Run one cycle now
    Backup(backup::Args),
    /// Mount the snapshots, and restore/ where an identity for it is configured
    Mount(mount::Args),
    /// List the snapshots
    Snapshots(snapshots::Args),
    /// List a folder of a snapshot
    Ls(ls::Args),
    /// What differs between two snapshots
    Diff(diff::Args),
    /// Sizes: what is stored, and how well it packs
    Stats,
    /// What the running daemon is doing
    Status,
    /// Put items back
    Restore(restore::Args),
    /// Forget snapshots by rules or by name
    Forget(forget::Args),
    /// Delete what no snapshot needs
    Prune(prune::Args),
    /// The tags of snapshots
    #[command(subcommand)]
    Tag(tag::Args),
    /// Legal holds: what they cover is never forgotten
    #[command(subcommand)]
    Hold(hold::Args),
    /// Copy snapshots to the repository that [copy] names
    Copy(copy::Args),
    /// Write a snapshot, or a part of it, as a tar
    Export(export::Args),
    /// Make a snapshot of a tar that was exported
    Import(import::Args),
    /// Check the repository
    Verify(verify::Args),
    /// Mend a damaged repository: heal packs, drop what is damaged, name what is hit, and have the next
    /// cycle fetch it again
    Repair(repair::Args),
    /// Make the index again from the packs
    RebuildIndex,
    /// The keys of the repository
    #[command(subcommand)]
    Key(key::Args),
    /// Completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// The manual page, in roff
    Man,
}

impl Command {
    /// Runs until it is told to stop, so that its log says what it does.
    pub fn is_long_running(&self) -> bool {
        matches!(self, Self::Daemon(_) | Self::Mount(_))
    }

    /// Detaches from the terminal.
    pub fn wants_background(&self) -> bool {
        match self {
            Self::Daemon(args) => args.background,
            Self::Mount(args) => args.background,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn forget_takes_names_or_rules() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let cli =
            parse("tenantfs forget --keep-daily 7 --keep-within 6m --keep-tag audit").unwrap();
        let Command::Forget(forget) = cli.command else {
            panic!("not forget")
        };
        let rules = forget.keep.rules();
        assert_eq!((rules.keep_daily, rules.keep_last), (7, 0));
        assert_eq!(rules.keep_within, Some("6m".parse().unwrap()));
        assert!(rules.keep_tags.contains("audit"));
        let named = parse("tenantfs forget 2026-11-22T020000Z --dry-run").unwrap();
        let Command::Forget(named) = named.command else {
            panic!("not forget")
        };
        assert!(named.keep.rules().is_empty());
        assert!(parse("tenantfs forget 2026-11-22T020000Z --keep-last 1").is_err());
        assert!(parse("tenantfs forget --keep-within soon").is_err());
    }

    #[test]
    fn verify_reads_nothing_a_share_or_everything() {
        let read = |args: &[&str]| {
            let all = ["tenantfs", "verify"].iter().chain(args);
            let Command::Verify(verify) = Cli::try_parse_from(all).ok()?.command else {
                return None;
            };
            Some((verify.read_data, verify.seed))
        };
        assert_eq!(read(&[]), Some((None, None)));
        assert_eq!(read(&["--read-data"]), Some((Some(100.0), None)));
        let seeded = read(&["--read-data=2.5%", "--seed", "7"]);
        assert_eq!(seeded, Some((Some(2.5), Some(7))));
        assert_eq!(read(&["--read-data=30"]), Some((Some(30.0), None)));
        for wrong in [
            "--read-data=0%",
            "--read-data=101%",
            "--read-data=x",
            "--seed=7",
        ] {
            assert_eq!(read(&[wrong]), None, "{wrong}");
        }
    }

    #[test]
    fn mountpoints_are_from_where_the_program_was_started() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        let here = std::env::current_dir().unwrap();
        let Ok(Command::Mount(mount)) = parse("tenantfs mount mnt --background") else {
            panic!("not mount")
        };
        assert_eq!(mount.dir, here.join("mnt"));
        let Ok(Command::Daemon(daemon)) = parse("tenantfs daemon --mount a/../mnt --background")
        else {
            panic!("not daemon")
        };
        assert_eq!(daemon.mount, Some(here.join("a/../mnt")));
        let Ok(Command::Mount(mount)) = parse("tenantfs mount /srv/mnt") else {
            panic!("not mount")
        };
        assert_eq!(mount.dir, std::path::Path::new("/srv/mnt"));
        assert!(Cli::try_parse_from(["tenantfs", "mount", ""]).is_err());
    }

    #[test]
    fn backup_names_every_workload() {
        let mut command = Cli::command();
        let backup = command.find_subcommand_mut("backup").unwrap();
        let help = backup.render_long_help().to_string();
        for workload in crate::config::WORKLOADS {
            assert!(help.contains(workload), "{workload}: {help}");
        }
    }

    #[test]
    fn restore_takes_sources_and_a_target() {
        let cli = Cli::try_parse_from(["tenantfs", "restore", "latest/a", "b"]).unwrap();
        let Command::Restore(restore) = cli.command else {
            panic!("not restore")
        };
        assert_eq!(restore.paths, ["latest/a", "b"]);
        assert!(Cli::try_parse_from(["tenantfs", "restore", "latest/a"]).is_err());
    }
}
