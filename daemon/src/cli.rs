//! The command line: what can be typed. What it means is in [`crate::commands`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Conflict;

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
    Demo(Demo),
    /// Make the repository and its key
    Init,
    /// Check configuration, sign-in, granted permissions, repository and FUSE
    Doctor,
    /// Capture by schedule, keep the mount up, answer on the control socket
    Daemon(Daemon),
    /// Run one cycle now
    Backup(Backup),
    /// Mount the snapshots, and restore/ where an identity for it is configured
    Mount(Mount),
    /// List the snapshots
    Snapshots,
    /// List a folder of a snapshot
    Ls(Ls),
    /// What differs between two snapshots
    Diff(Diff),
    /// Sizes: what is stored, and how well it packs
    Stats,
    /// What the running daemon is doing
    Status,
    /// Put items back
    Restore(Restore),
    /// Check the repository
    Verify(Verify),
    /// Mend a damaged repository: heal packs, drop what is damaged, name what is hit, and have the next
    /// cycle fetch it again
    Repair(Repair),
    /// Make the index again from the packs
    RebuildIndex,
    /// The keys of the repository
    #[command(subcommand)]
    Key(Key),
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

#[derive(Debug, Args)]
pub struct Demo {
    /// Where to mount [default: a new folder]
    #[arg(long, value_name = "DIR")]
    pub mountpoint: Option<PathBuf>,
    /// Run the tour unattended, check each step, unmount, and exit
    #[arg(long)]
    pub check: bool,
    /// Put the mails of this folder into the sample tenant as well
    #[arg(long, value_name = "DIR")]
    pub import_mail: Vec<PathBuf>,
    /// Put the files of this folder into the sample tenant as well
    #[arg(long, value_name = "DIR")]
    pub import_files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Daemon {
    /// Mount here [default: mount.path of the configuration]
    #[arg(long, value_name = "DIR")]
    pub mount: Option<PathBuf>,
    /// Detach from the terminal once everything runs
    #[arg(long)]
    pub background: bool,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// Only this account (UPN); may be given several times
    #[arg(long, value_name = "UPN")]
    pub account: Vec<String>,
    /// Only this workload (mail, archive, calendar, contacts, todo, settings, drive); may be given
    /// several times
    #[arg(long, value_name = "NAME")]
    pub workload: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Mount {
    /// Where
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Detach from the terminal once mounted
    #[arg(long)]
    pub background: bool,
    /// Let other users in; the kernel checks modes and owners
    #[arg(long)]
    pub allow_other: bool,
    /// Answer extended attributes (slower listings)
    #[arg(long)]
    pub xattr: bool,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// SNAPSHOT[/PATH]; SNAPSHOT may be `latest` or a day
    pub path: String,
    /// Everything below as well
    #[arg(long, short)]
    pub recursive: bool,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// The older snapshot
    pub a: String,
    /// The newer snapshot
    pub b: String,
    /// Only below this path
    pub path: Option<String>,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// What to put back, then where:
    /// paths in a snapshot (`latest/alice@contoso.com/Mail/Inbox`) or local files, and last
    /// a path as below restore/ (`bob@contoso.com/Mail/From Alice`), or a local folder (`./out`,
    /// `/srv/out`) to bring it there
    #[arg(required = true, num_args = 2.., value_name = "SOURCE... TARGET")]
    pub paths: Vec<String>,
    /// What to do with an item that is already there [default: restore.conflict of the configuration]
    #[arg(long, value_enum)]
    pub conflict: Option<Conflict>,
    /// Only what was deleted: what is neither at its place nor anywhere else but in the bin
    #[arg(long)]
    pub deleted_only: bool,
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Read and authenticate the packs too, not just the structure: every byte of all of them, or of a
    /// share chosen at random (`--read-data=5%`)
    #[arg(
        long,
        value_name = "N%",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100%",
        value_parser = percent
    )]
    pub read_data: Option<f64>,
    /// Which packs the share has: the same number reads the same ones [default: at random]
    #[arg(long, value_name = "NUMBER", requires = "read_data")]
    pub seed: Option<u64>,
}

/// A number of per cent above 0 and up to 100, with or without the sign.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    match number {
        Ok(number) if number > 0.0 && number <= 100.0 => Ok(number),
        _ => Err("give a share such as 5%, above 0% and at most 100%".into()),
    }
}

#[derive(Debug, Args)]
pub struct Repair {
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Change the password; rewrites the key file only
    Change {
        /// File with the new password
        #[arg(long, value_name = "FILE")]
        new_password_file: PathBuf,
    },
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
    fn restore_takes_sources_and_a_target() {
        let cli = Cli::try_parse_from(["tenantfs", "restore", "latest/a", "b"]).unwrap();
        let Command::Restore(restore) = cli.command else {
            panic!("not restore")
        };
        assert_eq!(restore.paths, ["latest/a", "b"]);
        assert!(Cli::try_parse_from(["tenantfs", "restore", "latest/a"]).is_err());
    }
}
