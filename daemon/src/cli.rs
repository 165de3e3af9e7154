//! The command line: what can be typed. What it means is in [`crate::commands`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use tenantfs::repo::Unused;
use tenantfs::retention::{Age, Rules};

use crate::config::Conflict;
use crate::schedule::parse_period;

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
    Snapshots(Snapshots),
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
    /// Forget snapshots by rules or by name
    Forget(Forget),
    /// Delete what no snapshot needs
    Prune(Prune),
    /// The tags of snapshots
    #[command(subcommand)]
    Tag(Tag),
    /// Legal holds: what they cover is never forgotten
    #[command(subcommand)]
    Hold(Hold),
    /// Copy snapshots to the repository that [copy] names
    Copy(Copy),
    /// Write a snapshot, or a part of it, as a tar
    Export(Export),
    /// Make a snapshot of a tar that was exported
    Import(Import),
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
    /// Give the snapshot this tag, and make one even if nothing changed; may be given several times
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Snapshots {
    /// Only those with this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Forget {
    /// Names of snapshots; without any, what the rules do not keep is forgotten
    #[arg(value_name = "SNAPSHOT", conflicts_with = "Keep")]
    pub snapshots: Vec<String>,
    #[command(flatten)]
    pub keep: Keep,
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Then delete what no snapshot needs any more
    #[arg(long)]
    pub prune: bool,
}

/// General rules in place of those of the configuration.
#[derive(Debug, Default, Args)]
#[group(multiple = true)]
pub struct Keep {
    /// Keep the newest N snapshots
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_last: u32,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_hourly: u32,
    /// The same of days
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_daily: u32,
    /// The same of weeks
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_weekly: u32,
    /// The same of months
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_monthly: u32,
    /// The same of years
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub keep_yearly: u32,
    /// Keep all that are at most so much older than the newest: 30d, 6m, 2y
    #[arg(long, value_name = "AGE")]
    pub keep_within: Option<Age>,
    /// Keep all with this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    pub keep_tag: Vec<String>,
}

impl Keep {
    pub fn rules(&self) -> Rules {
        Rules {
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            keep_within: self.keep_within,
            keep_tags: self.keep_tag.iter().cloned().collect(),
        }
    }
}

#[derive(Debug, Args)]
pub struct Prune {
    /// Say what would happen, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Store at most so many bytes of packs again (500M, 2G)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_repack: Option<u64>,
    /// What nothing uses may stay up to this: a part of what is used, or a size
    #[arg(long, value_name = "PERCENT|SIZE", default_value = "5%", value_parser = unused)]
    pub max_unused: Unused,
    /// How long packs wait before they are deleted [default: 0 in a directory, 24h in an object store]
    #[arg(long, value_name = "DURATION", value_parser = grace)]
    pub grace: Option<Duration>,
}

/// Bytes, with K, M, G or T for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write 500M or 2G");
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        Some((at, 'T' | 't')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn unused(text: &str) -> Result<Unused, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return size(text).map(Unused::Bytes);
    };
    match percent.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Unused::Percent(percent)),
        _ => Err(format!("{text:?} is not between 0% and 100%")),
    }
}

fn grace(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        text => parse_period("grace", text),
    }
}

#[derive(Debug, Subcommand)]
pub enum Tag {
    /// Give a snapshot a tag
    Add {
        /// Its name, `latest`, or a day
        snapshot: String,
        tag: String,
    },
    /// Take a tag away
    Remove {
        /// Its name, `latest`, or a day
        snapshot: String,
        tag: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Hold {
    /// Make a hold; without options it covers everything, now and later
    Add {
        /// What it is called: lower-case letters, digits, `.`, `_`, `-`
        name: String,
        /// Only accounts that match; may be given several times
        #[arg(long, value_name = "GLOB")]
        account: Vec<String>,
        /// This snapshot; may be given several times
        #[arg(long, value_name = "SNAPSHOT")]
        snapshot: Vec<String>,
        /// Snapshots from this day or moment on (2026-11-22, 2026-11-22T10:00:00Z; UTC)
        #[arg(long, value_name = "DATE", value_parser = since)]
        since: Option<i64>,
        /// Snapshots up to this day (with it) or moment
        #[arg(long, value_name = "DATE", value_parser = until)]
        until: Option<i64>,
        /// Why, for those who read the list
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// List the holds
    List,
    /// Remove a hold
    Remove { name: String },
}

fn since(text: &str) -> Result<i64, String> {
    moment(text, 0)
}

fn until(text: &str) -> Result<i64, String> {
    moment(text, 86_399)
}

/// Seconds since 1970; a day counts from its first second.
fn moment(text: &str, into_day: i64) -> Result<i64, String> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_second());
    }
    let day = text.parse::<jiff::civil::Date>();
    let start = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    match start {
        Ok(start) => Ok(start.timestamp().as_second() + into_day),
        Err(_) => Err(format!(
            "{text:?} is not a day (2026-11-22) or moment (2026-11-22T10:00:00Z)"
        )),
    }
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
    fn sizes_parts_and_moments_are_read() {
        assert_eq!(size("2G"), Ok(2 << 30));
        assert_eq!(size("100"), Ok(100));
        assert_eq!(unused("2.5%"), Ok(Unused::Percent(2.5)));
        assert_eq!(unused("1M"), Ok(Unused::Bytes(1 << 20)));
        for wrong in ["", "G", "-1", "99999999999T", "1é"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(unused("101%").is_err());
        assert_eq!(grace("0"), Ok(Duration::ZERO));
        assert_eq!(grace("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(since("1970-01-02"), Ok(86_400));
        assert_eq!(until("1970-01-02"), Ok(2 * 86_400 - 1));
        assert_eq!(until("1970-01-02T00:00:10Z"), Ok(86_410));
        assert!(since("yesterday").is_err());
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
