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
    Init(Init),
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
    /// Copy snapshots to the repository that [copy] names
    Copy(Copy),
    /// Write a snapshot, or a part of it, as a tar
    Export(Export),
    /// Make a snapshot of a tar that was exported
    Import(Import),
    /// Check the repository
    Verify(Verify),
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
pub struct Init {
    /// Make the repository that [copy] names, for copies of the one that [repository] names
    #[arg(long)]
    pub copy: bool,
    #[command(flatten)]
    pub target: CopyTarget,
}

#[derive(Debug, Args)]
pub struct Copy {
    /// Only this snapshot; may be given several times [default: all that are not there yet]
    #[arg(long, value_name = "SNAPSHOT")]
    pub snapshot: Vec<String>,
    #[command(flatten)]
    pub target: CopyTarget,
}

/// Where copies go when it is not what [copy] says.
#[derive(Debug, Args)]
pub struct CopyTarget {
    /// A directory, or s3://bucket/prefix [default: copy.location of the configuration]
    #[arg(long, value_name = "LOCATION")]
    pub to_location: Option<String>,
    /// File with its password
    #[arg(long, value_name = "FILE", requires = "to_location")]
    pub to_password_file: Option<PathBuf>,
    /// File of random bytes that opens it
    #[arg(
        long,
        value_name = "FILE",
        requires = "to_location",
        conflicts_with = "to_password_file"
    )]
    pub to_key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Export {
    /// SNAPSHOT[/PATH]; SNAPSHOT may be `latest` or a day
    pub path: String,
    /// Where to; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct Import {
    /// The tar; `-` is standard input
    pub file: PathBuf,
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
    /// Read and authenticate every byte, not just the structure
    #[arg(long)]
    pub read_data: bool,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// List the keys that open the repository, and the master keys with what they seal
    List,
    /// Add a password or key file that opens the repository too
    Add {
        /// Whose it is, or what for
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        secret: NewSecret,
    },
    /// Remove a key; the last one stays
    Remove {
        /// Its id, or the beginning of it
        id: String,
        #[command(flatten)]
        other: OtherSecret,
    },
    /// Change the password in use; rewrites one key file only
    Change {
        #[command(flatten)]
        secret: NewSecret,
    },
    /// Make a new master key, for everything that is written from now on
    Rotate,
}

/// A secret that is to open the repository.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct NewSecret {
    /// File with the new password
    #[arg(long, value_name = "FILE")]
    pub new_password_file: Option<PathBuf>,
    /// File of 32 random bytes or more
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
}

/// A secret that opens the repository already.
#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
pub struct OtherSecret {
    /// File with the password of another key: with it the key in use can be removed
    #[arg(long, value_name = "FILE")]
    pub other_password_file: Option<PathBuf>,
    /// The same, a key file
    #[arg(long, value_name = "FILE")]
    pub other_key_file: Option<PathBuf>,
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
    fn restore_takes_sources_and_a_target() {
        let cli = Cli::try_parse_from(["tenantfs", "restore", "latest/a", "b"]).unwrap();
        let Command::Restore(restore) = cli.command else {
            panic!("not restore")
        };
        assert_eq!(restore.paths, ["latest/a", "b"]);
        assert!(Cli::try_parse_from(["tenantfs", "restore", "latest/a"]).is_err());
    }
}
