//! Reading a mounted snapshot, against the same files on ext4 and through `restic mount`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tenantfs::repo::Repository;
use tenantfs::tree::collection::CollectionRoot;
use tenantfs::tree::{Editor, Entry, Nodes};
use tenantfs_mount::{Mount, MountConfig, MountHandle};

use crate::peers::{Peer, ResticMount, Setting};
use crate::store;
use crate::table::{Bar, heading, line, timed, value};
use crate::{MountArgs, MountPart};

/// What is run in a folder; each must read or list everything.
const WORK: [(&str, &str); 4] = [
    ("tar", "tar -cf - . | cat > /dev/null"),
    (
        "grep -r",
        "grep -r 'no line has this' . > /dev/null; test $? = 1",
    ),
    ("find -ls", "find . -ls > /dev/null"),
    (
        "rsync -an",
        "rsync -an ./ /tmp/tenantfs-bench-empty/ > /dev/null",
    ),
];
const FOLDERS: usize = 100;
const GIB: usize = 1 << 30;

pub fn run(args: &MountArgs) -> Result<()> {
    std::fs::create_dir_all("/tmp/tenantfs-bench-empty")?;
    let home = tempfile::Builder::new()
        .prefix("tenantfs-bench-")
        .tempdir()?;
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(MountPart::Mails) {
        mails(args, &home.path().join("mails"))?;
    }
    if wanted(MountPart::Large) {
        one_large_file(&home.path().join("large"))?;
    }
    if wanted(MountPart::Memory) {
        memory(args, &home.path().join("walk"))?;
    }
    Ok(())
}

fn mails(args: &MountArgs, home: &Path) -> Result<()> {
    let source = home.join("source");
    make_mails(args, &source)?;
    let repository = store::repository(home)?;
    store::ingest(&repository, &source)?;
    let (mounted, ready) = timed(|| mount(&repository, home))?;
    heading(&format!(
        "{} mails, {:.0} MB",
        args.mails,
        store::bytes_below(&source)? as f64 / 1e6
    ));
    value("mount ready", ready.as_secs_f64(), "s", 0.2);
    let snapshot = mounted.path().join("snapshots/latest").canonicalize()?;

    println!("cold:");
    mounted.stop()?;
    for (name, command) in WORK {
        let peer = cold(&source, command)?;
        let again = mount(&repository, home)?;
        let ours = cold(&snapshot, command)?;
        again.stop()?;
        compare(
            &format!("  {name}, ext4 cold"),
            ours,
            peer,
            Bar::AtMost(1.0),
        );
    }

    println!("warm:");
    let mounted = mount(&repository, home)?;
    let mut warm = Vec::new();
    for (name, command) in WORK {
        shell(&source, command)?;
        let peer = best_of(3, &source, command)?;
        shell(&snapshot, command)?;
        let (before, by_operation) = (
            mounted.requests().total(),
            mounted.requests().by_operation(),
        );
        let ours = best_of(3, &snapshot, command)?;
        let requests = mounted.requests().total() - before;
        compare(
            &format!("  {name}, ext4 warm"),
            ours,
            peer,
            Bar::AtMost(1.15),
        );
        value(
            &format!("  {name}: FUSE requests when warm"),
            requests as f64,
            "",
            0.0,
        );
        if requests > 0 {
            for (operation, after) in mounted.requests().by_operation() {
                let before = by_operation.get(operation).copied().unwrap_or(0);
                if after > before {
                    println!("    {operation}: {}", after - before);
                }
            }
        }
        warm.push(ours);
    }
    mounted.stop()?;
    if !args.no_restic && Peer::Restic.is_here() {
        restic(home, &source, &warm)?;
    }
    Ok(())
}

fn restic(home: &Path, source: &Path, ours: &[Duration]) -> Result<()> {
    Peer::Restic.backup(home, source, Setting::Default)?;
    let mounted = ResticMount::start(home)?;
    let there = mounted.path(source);
    println!("against restic mount, warm:");
    for ((name, command), ours) in WORK.into_iter().zip(ours) {
        shell(&there, command)?;
        let ((), peer) = timed(|| shell(&there, command))?;
        let (ours, peer) = (ours.as_secs_f64(), peer.as_secs_f64());
        line(
            &format!("  {name}: times faster"),
            ours,
            peer,
            "s",
            peer / ours,
            Bar::AtLeast(15.0),
        );
    }
    Ok(())
}

fn one_large_file(home: &Path) -> Result<()> {
    let source = home.join("source");
    std::fs::create_dir_all(&source)?;
    let mut dice = StdRng::seed_from_u64(7);
    let mut file = std::fs::File::create(source.join("large.bin"))?;
    let mut piece = vec![0; 1 << 20];
    for _ in 0..GIB / piece.len() {
        dice.fill_bytes(&mut piece);
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    let repository = store::repository(home)?;
    store::ingest(&repository, &source)?;
    let mounted = mount(&repository, home)?;
    let snapshot = mounted.path().join("snapshots/latest").canonicalize()?;
    heading("one file of 1 GiB, speed against ext4");
    let read = "dd if=large.bin of=/dev/null bs=1M status=none";
    for (what, drop, bar) in [("first read", true, 0.5), ("read again", false, 0.95)] {
        let peer = if drop {
            cold(&source, read)?
        } else {
            best_of(3, &source, read)?
        };
        let ours = if drop {
            cold(&snapshot, read)?
        } else {
            best_of(3, &snapshot, read)?
        };
        let (ours, peer) = (ours.as_secs_f64(), peer.as_secs_f64());
        line(
            &format!("  {what}"),
            ours,
            peer,
            "s",
            peer / ours,
            Bar::AtLeast(bar),
        );
    }
    mounted.stop()?;
    Ok(())
}

/// Memory of this process, which is that of the mount, after walking many files.
fn memory(args: &MountArgs, home: &Path) -> Result<()> {
    std::fs::create_dir_all(home)?;
    let repository = store::repository(home)?;
    {
        let writer = repository.writer()?;
        let mut stream = writer.stream();
        let (content, size) = tenantfs::sync::put_mail(&mut stream, b"Subject: x\r\n\r\nx\r\n")?;
        let nodes = Nodes::new(&repository);
        let mut root = CollectionRoot::default();
        let mut editor = Editor::new(&nodes, root);
        for n in 0..args.walk {
            let path = format!(
                "{:03}/{n:07} a mail with a subject of usual length.eml",
                n % FOLDERS
            );
            let entry = Entry::file(content, size, 1_600_000_000 + n as i64, None);
            store::place(&repository, &mut editor, Path::new(&path), entry)?;
            if editor.pending() > 100_000 {
                root = editor.checkpoint(&mut stream)?;
                editor = Editor::new(&nodes, root);
            }
        }
        drop(stream);
        store::commit(&writer, &mut editor)?;
    }
    drop(repository);
    heading(&format!("memory after walking {} files", args.walk));
    // The program itself, so that nothing of the building counts.
    let mut mounted = Program::mount(home)?;
    shell(
        &mounted.dir.join("snapshots/latest").canonicalize()?,
        "find . -ls > /dev/null",
    )?;
    value("resident", mounted.resident()? as f64 / 1e6, "MB", 200.0);
    mounted.stop()
}

/// `tenantfs mount` of a repository that [`store::repository`] made.
struct Program {
    process: std::process::Child,
    dir: PathBuf,
}

impl Program {
    fn mount(home: &Path) -> Result<Self> {
        std::fs::write(home.join("password"), "bench")?;
        std::fs::write(home.join("secret"), "none")?;
        let config = home.join("tenantfs.toml");
        std::fs::write(
            &config,
            "state_dir = \"state\"\n[tenant]\nid = \"bench\"\n[tenant.backup]\nclient_id = \"bench\"\n\
             client_secret_file = \"secret\"\n[repository]\nlocation = \"repository\"\n\
             password_file = \"password\"\n",
        )?;
        let dir = home.join("mnt");
        let mut command = Command::new(fixtures::program::tenantfs());
        command.arg("--config").arg(&config).arg("mount").arg(&dir);
        let process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mounted = Self { process, dir };
        for _ in 0..600 {
            if mounted.dir.join("snapshots/latest").exists() {
                return Ok(mounted);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("tenantfs did not mount")
    }

    /// Bytes of memory that are resident.
    fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .context("no value")?
            .parse()?;
        Ok(kib << 10)
    }

    fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.process.id())?;
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        self.process.wait()?;
        Ok(())
    }
}

fn mount(repository: &Repository, home: &Path) -> Result<MountHandle> {
    let dir = home.join("mnt");
    std::fs::create_dir_all(&dir)?;
    Ok(Mount::start(MountConfig::new(dir, repository.clone()))?)
}

/// Mails of the usual sizes in 100 folders: those of `--mail` again and again, each made another one
/// by a header of its own.
fn make_mails(args: &MountArgs, source: &Path) -> Result<()> {
    let models: Vec<Vec<u8>> = match &args.mail {
        Some(dir) => store::files(dir)
            .iter()
            .map(std::fs::read)
            .collect::<std::io::Result<_>>()?,
        None => (0..500).map(generated_mail).collect(),
    };
    ensure!(!models.is_empty(), "--mail names a folder without files");
    for n in 0..args.mails {
        let folder = source.join(format!("{:03}", n % FOLDERS));
        if n < FOLDERS {
            std::fs::create_dir_all(&folder)?;
        }
        let mut mail = format!("X-Number: {n}\r\n").into_bytes();
        mail.extend_from_slice(&models[n % models.len()]);
        std::fs::write(
            folder.join(format!("{n:07} a mail of the usual kind.eml")),
            mail,
        )?;
    }
    shell(source, "sync")
}

/// Words in the proportions of text, 2 to 40 KiB.
fn generated_mail(n: u64) -> Vec<u8> {
    use rand::RngExt;
    const WORDS: [&str; 12] = [
        "the", "meeting", "quarter", "please", "numbers", "attached", "of", "and", "tomorrow",
        "budget", "regards", "project",
    ];
    let mut dice = StdRng::seed_from_u64(n);
    let mut mail = format!("Subject: mail {n}\r\nFrom: a@contoso.com\r\n\r\n");
    let length = dice.random_range(2_000..40_000);
    while mail.len() < length {
        mail.push_str(WORDS[dice.random_range(0..WORDS.len())]);
        let end = if dice.random_range(0..12) == 0 {
            "\r\n"
        } else {
            " "
        };
        mail.push_str(end);
        mail.push_str(&dice.random_range(0..9999).to_string());
        mail.push(' ');
    }
    mail.into_bytes()
}

fn shell(dir: &Path, command: &str) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", command])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "{command}: {status}");
    Ok(())
}

fn best_of(times: usize, dir: &Path, command: &str) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..times {
        best = best.min(timed(|| shell(dir, command))?.1);
    }
    Ok(best)
}

/// Once, after the kernel's caches were dropped.
fn cold(dir: &Path, command: &str) -> Result<Duration> {
    shell(Path::new("/"), "sync && echo 3 > /proc/sys/vm/drop_caches")?;
    Ok(timed(|| shell(dir, command))?.1)
}

fn compare(what: &str, ours: Duration, peer: Duration, bar: Bar) {
    let (ours, peer) = (ours.as_secs_f64(), peer.as_secs_f64());
    line(what, ours, peer, "s", ours / peer, bar);
}
