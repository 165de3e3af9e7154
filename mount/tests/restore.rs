//! The writable tree, on a real mount, with a service behind it that a test controls.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use common::{Fixture, dir, errno, folder, mail, names};
use rustix::io::Errno;
use tenantfs::restore::spool::Spool;
use tenantfs::restore::{Code, Conflict, RestoreError, SpoolFile, TargetPath};
use tenantfs_mount::{LiveItem, Mount, MountConfig, MountHandle, Restorer};

/// What one push brought.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pushed {
    target: String,
    bytes: Vec<u8>,
    mtime: i64,
    waited: bool,
}

/// Remembers pushes in memory; refuses where a name says so.
struct Fake {
    spool: Arc<Spool>,
    items: Mutex<BTreeMap<String, u64>>,
    folders: Mutex<BTreeSet<String>>,
    pushed: Mutex<Vec<Pushed>>,
    log: Mutex<String>,
    slow_ms: AtomicU64,
    read_only: bool,
}

impl Fake {
    fn new(dir: &Path, read_only: bool) -> Arc<Fake> {
        let folders = [
            "alice@contoso.com",
            "alice@contoso.com/Mail",
            "alice@contoso.com/Mail/Inbox",
        ];
        let folders = folders.into_iter().chain(["alice@contoso.com/OneDrive"]);
        Arc::new(Fake {
            spool: Spool::open(dir).unwrap().0,
            items: Mutex::new([("alice@contoso.com/Mail/Inbox/live.eml".to_owned(), 5)].into()),
            folders: Mutex::new(folders.map(str::to_owned).collect()),
            pushed: Mutex::default(),
            log: Mutex::default(),
            slow_ms: AtomicU64::new(0),
            read_only,
        })
    }

    fn pushed(&self) -> Vec<Pushed> {
        self.pushed.lock().unwrap().clone()
    }

    fn one(&self) -> Pushed {
        let pushed = self.pushed();
        assert_eq!(pushed.len(), 1, "{pushed:?}");
        pushed[0].clone()
    }
}

fn plain(place: &TargetPath) -> String {
    place.clone().with_policy(Default::default()).to_string()
}

fn is_in(path: &str, folder: &str) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) if folder.is_empty() => !rest.contains('/'),
        Some(rest) => rest
            .strip_prefix('/')
            .is_some_and(|name| !name.contains('/')),
        None => false,
    }
}

impl Restorer for Fake {
    fn writable(&self) -> Result<(), RestoreError> {
        if self.read_only {
            Err(RestoreError::new(
                Code::ReadOnly,
                "no identity to restore with",
            ))
        } else {
            Ok(())
        }
    }

    fn list(&self, place: &TargetPath) -> Result<Arc<Vec<LiveItem>>, RestoreError> {
        let folder = plain(place);
        if !folder.is_empty() && !self.folders.lock().unwrap().contains(&folder) {
            return Err(RestoreError::new(Code::NotFound, "no such folder"));
        }
        let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let folders = self.folders.lock().unwrap();
        let items = self.items.lock().unwrap();
        let folders = folders.iter().filter(|path| is_in(path, &folder));
        let folders = folders.map(|p| LiveItem {
            name: name(p),
            is_dir: true,
            size: 0,
            mtime: 1,
        });
        let items = items.iter().filter(|(path, _)| is_in(path, &folder));
        let items = items.map(|(p, size)| LiveItem {
            name: name(p),
            is_dir: false,
            size: *size,
            mtime: 1,
        });
        Ok(Arc::new(folders.chain(items).collect()))
    }

    fn lookup(&self, place: &TargetPath) -> Result<Option<LiveItem>, RestoreError> {
        let Some(parent) = place.parent() else {
            return Ok(None);
        };
        let path = plain(place);
        let Ok(listed) = self.list(&parent) else {
            return Ok(None);
        };
        Ok(listed
            .iter()
            .find(|item| path.rsplit('/').next() == Some(item.name.as_str()))
            .cloned())
    }

    fn mkdir(&self, place: &TargetPath) -> Result<(), RestoreError> {
        self.folders.lock().unwrap().insert(plain(place));
        Ok(())
    }

    fn create(&self, place: &TargetPath) -> Result<SpoolFile, RestoreError> {
        if place.path().is_empty() {
            return Err(RestoreError::new(Code::NotPermitted, "no place for a file"));
        }
        let skip = place.policy().conflict.unwrap_or(Conflict::Skip) == Conflict::Skip;
        if skip && self.items.lock().unwrap().contains_key(&plain(place)) {
            return Err(RestoreError::new(
                Code::Exists,
                format!("{place} is there already"),
            ));
        }
        Ok(self.spool.create(place.clone()).unwrap())
    }

    fn push(&self, file: SpoolFile, wait: bool, _deadline: Duration) -> Result<(), RestoreError> {
        std::thread::sleep(Duration::from_millis(self.slow_ms.load(Ordering::Relaxed)));
        let target = file.target().to_string();
        if target.contains("full") {
            let e = RestoreError::new(
                Code::Quota,
                "the mailbox is full (ErrorQuotaExceeded); make room",
            );
            *self.log.lock().unwrap() += &format!("{target}: {}\n", e.reason);
            return Err(e);
        }
        let bytes = file.read_at(0, 1 << 30).unwrap();
        self.items
            .lock()
            .unwrap()
            .insert(plain(file.target()), bytes.len() as u64);
        self.pushed.lock().unwrap().push(Pushed {
            target,
            bytes,
            mtime: file.mtime(),
            waited: wait,
        });
        Ok(())
    }

    fn queue(&self) -> String {
        "waiting  something\n".to_owned()
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn note(&self, place: &TargetPath, reason: &str) {
        *self.log.lock().unwrap() += &format!("{place}: {reason}\n");
    }
}

struct Mounted {
    fixture: Fixture,
    fake: Arc<Fake>,
    _mount: MountHandle,
}

fn mount_with(read_only: bool) -> Mounted {
    let fixture = Fixture::default();
    let tree = folder([(
        "alice@contoso.com",
        dir([("a.eml", mail("Subject: a\r\n\r\nHello", 1_600_000_000))]),
    )]);
    fixture.commit(1_795_166_100, &tree);
    let fake = Fake::new(&fixture.root.path().join("spool"), read_only);
    let mut config = fixture.config();
    config.restore = Some(fake.clone());
    Mounted {
        _mount: Mount::start(config).unwrap(),
        fixture,
        fake,
    }
}

fn mounted() -> Mounted {
    mount_with(false)
}

const INBOX: &str = "alice@contoso.com/Mail/Inbox";

impl Mounted {
    fn restore(&self) -> PathBuf {
        self.fixture.mountpoint().join("restore")
    }

    fn inbox(&self) -> PathBuf {
        self.restore().join(INBOX)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.restore().join(".log")).unwrap()
    }

    fn shell(&self, command: &str) -> std::process::Output {
        Command::new("bash")
            .args(["-c", command])
            .current_dir(self.fixture.mountpoint())
            .output()
            .unwrap()
    }

    fn shell_ok(&self, command: &str) {
        let out = self.shell(command);
        assert!(
            out.status.success() && out.stderr.is_empty(),
            "{command}: {out:?}"
        );
    }
}

/// `close()` with its result, which `File` hides.
fn close(file: File) -> Result<(), Errno> {
    // SAFETY: the descriptor was owned by `file`, which is given up: nobody uses it after this.
    unsafe { rustix::io::try_close(file.into_raw_fd()) }
}

#[test]
fn closing_a_file_is_the_restore() {
    let m = mounted();
    let mut file = File::create_new(m.inbox().join("new.eml")).unwrap();
    file.write_all(b"Subject: x\r\n").unwrap();
    file.write_all(b"\r\nbody").unwrap();
    assert!(m.fake.pushed().is_empty());
    close(file).unwrap();
    let pushed = m.fake.one();
    assert_eq!(
        (pushed.target.as_str(), pushed.waited),
        ("alice@contoso.com/Mail/Inbox/new.eml", false)
    );
    assert_eq!(pushed.bytes, b"Subject: x\r\n\r\nbody");
    assert_eq!(names(m.inbox()), ["live.eml", "new.eml"]);
    assert_eq!(fs::metadata(m.inbox().join("new.eml")).unwrap().len(), 18);
}

#[test]
fn a_refusal_is_the_error_of_close_with_its_reason_in_log_and_xattr() {
    let m = mounted();
    let path = m.inbox().join("full.eml");
    let mut file = File::create_new(&path).unwrap();
    file.write_all(b"x").unwrap();
    assert_eq!(close(file), Err(Errno::DQUOT));
    assert!(
        m.log().contains("full.eml: the mailbox is full"),
        "{}",
        m.log()
    );
    let mut value = [0_u8; 256];
    for at in [path.as_path(), m.inbox().as_path()] {
        let n = rustix::fs::getxattr(at, "user.tenantfs.error", &mut value).unwrap();
        assert!(
            std::str::from_utf8(&value[..n])
                .unwrap()
                .contains("mailbox is full")
        );
        let n = rustix::fs::listxattr(at, &mut value).unwrap();
        assert_eq!(&value[..n], b"user.tenantfs.error\0");
    }
    assert_eq!(
        rustix::fs::getxattr(m.restore(), "user.tenantfs.error", &mut value),
        Err(Errno::NODATA)
    );
    assert_eq!(
        names(m.inbox()),
        ["live.eml"],
        "what was refused is not listed"
    );
    let out = m.shell(&format!(
        "cp snapshots/latest/alice@contoso.com/a.eml restore/{INBOX}/full2.eml"
    ));
    assert!(!out.status.success());
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("quota"),
        "{out:?}"
    );
}

#[test]
fn policies_are_folders_in_any_order() {
    let m = mounted();
    assert_eq!(
        names(m.restore()),
        [
            ".log",
            ".queue",
            "@keep-both",
            "@overwrite",
            "@queued",
            "@skip",
            "alice@contoso.com"
        ]
    );
    for policy in [
        "@overwrite",
        "@skip",
        "@overwrite/@queued",
        "@queued/@keep-both",
    ] {
        assert_eq!(names(m.restore().join(policy)), ["alice@contoso.com"]);
        assert_eq!(names(m.restore().join(policy).join(INBOX)), ["live.eml"]);
    }
    assert_eq!(
        errno(fs::read_dir(m.restore().join("@nonsense"))),
        Errno::NOENT.raw_os_error()
    );
    // Skip, said or not: what is there stays.
    for policy in ["", "@skip"] {
        let path = m.restore().join(policy).join(INBOX).join("live.eml");
        assert_eq!(errno(fs::write(path, "new")), Errno::EXIST.raw_os_error());
    }
    for policy in ["@overwrite", "@queued/@keep-both"] {
        fs::write(m.restore().join(policy).join(INBOX).join("live.eml"), "new").unwrap();
    }
    let targets: Vec<String> = m.fake.pushed().into_iter().map(|p| p.target).collect();
    assert_eq!(targets.len(), 2);
    assert!(targets[0].starts_with("@overwrite/alice"), "{targets:?}");
    assert!(
        targets[1].contains("@queued") && targets[1].contains("@keep-both"),
        "{targets:?}"
    );
}

#[test]
fn fsync_waits_only_for_what_is_queued() {
    let m = mounted();
    let mut file = File::create_new(m.restore().join("@queued").join(INBOX).join("q.eml")).unwrap();
    file.write_all(b"x").unwrap();
    file.sync_all().unwrap();
    assert!(m.fake.one().waited);
    close(file).unwrap();
    assert_eq!(m.fake.pushed().len(), 1);
    let mut file = File::create_new(m.inbox().join("d.eml")).unwrap();
    file.write_all(b"x").unwrap();
    file.sync_all().unwrap();
    assert_eq!(m.fake.pushed().len(), 1);
    close(file).unwrap();
    assert_eq!(m.fake.pushed().len(), 2);
}

#[test]
fn copying_programs() {
    let m = mounted();
    let a = "snapshots/latest/alice@contoso.com/a.eml";
    m.shell_ok(&format!("cp {a} restore/{INBOX}/cp.eml"));
    m.shell_ok(&format!("cp -a {a} restore/{INBOX}/cp-a.eml"));
    m.shell_ok(&format!(
        "cp -r snapshots/latest/alice@contoso.com restore/{INBOX}/cp-r"
    ));
    m.shell_ok(&format!("cat {a} > restore/{INBOX}/redirect.eml"));
    m.shell_ok(&format!(
        "cat {a} | tee restore/{INBOX}/tee.eml > /dev/null"
    ));
    m.shell_ok(&format!(
        "dd if={a} of=restore/{INBOX}/dd.eml bs=3 status=none"
    ));
    m.shell_ok(&format!("install -m 600 {a} restore/{INBOX}/install.eml"));
    let aside = m.fixture.root.path().join("aside.eml");
    let aside = aside.display();
    m.shell_ok(&format!(
        "cp {a} {aside} && mv {aside} restore/{INBOX}/mv.eml"
    ));
    m.shell_ok(&format!(
        "tar c -C snapshots/latest/alice@contoso.com a.eml | tar x -C restore/{INBOX}/"
    ));
    let pushed = m.fake.pushed();
    let sent: Vec<&str> = pushed
        .iter()
        .map(|p| p.target.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        sent,
        [
            "cp.eml",
            "cp-a.eml",
            "a.eml",
            "redirect.eml",
            "tee.eml",
            "dd.eml",
            "install.eml",
            "mv.eml",
            "a.eml"
        ]
    );
    for p in &pushed {
        assert_eq!(p.bytes, b"Subject: a\r\n\r\nHello", "{}", p.target);
    }
    assert_eq!(pushed[1].mtime, 1_600_000_000, "cp -a keeps the time");
}

#[test]
fn rsync_renames_from_its_temporary_name() {
    let m = mounted();
    if Command::new("rsync").arg("--version").output().is_err() {
        eprintln!("skipped: rsync is not here");
        return;
    }
    m.shell_ok(&format!(
        "rsync -a snapshots/latest/alice@contoso.com/ restore/{INBOX}/"
    ));
    let pushed = m.fake.one();
    assert_eq!(pushed.target, format!("{INBOX}/a.eml"));
    assert_eq!(
        (pushed.bytes.as_slice(), pushed.mtime),
        (&b"Subject: a\r\n\r\nHello"[..], 1_600_000_000)
    );
    // Restoring what is missing, and only that.
    m.shell_ok(&format!(
        "rsync -a --ignore-existing snapshots/latest/alice@contoso.com/ restore/{INBOX}/"
    ));
    assert_eq!(m.fake.pushed().len(), 1);
    let from = m.fixture.root.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("full.eml"), "x").unwrap();
    let out = m.shell(&format!("rsync -a {}/ restore/{INBOX}/", from.display()));
    assert_eq!(out.status.code(), Some(23), "{out:?}");
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("quota"),
        "{out:?}"
    );
    assert_eq!(names(m.inbox()), ["a.eml", "live.eml"]);
}

#[test]
fn a_shell_closes_early_and_shares_its_descriptors() {
    let m = mounted();
    m.shell_ok(&format!(
        "(echo one; /bin/echo two; sleep 0.2; /bin/echo three) > restore/{INBOX}/sub.eml"
    ));
    m.shell_ok(&format!(
        "{{ /bin/echo one; /bin/echo two; }} > restore/{INBOX}/group.eml"
    ));
    m.shell_ok(&format!(
        "exec 5> restore/{INBOX}/exec.eml; /bin/echo one >&5; echo two >&5; exec 5>&-"
    ));
    m.shell_ok(&format!(": > restore/{INBOX}/empty.eml"));
    m.shell_ok(&format!("touch restore/{INBOX}/touched.eml"));
    let pushed: BTreeMap<String, String> = m
        .fake
        .pushed()
        .into_iter()
        .map(|p| {
            (
                p.target.rsplit('/').next().unwrap().to_owned(),
                String::from_utf8(p.bytes).unwrap(),
            )
        })
        .collect();
    assert_eq!(pushed["sub.eml"], "one\ntwo\nthree\n");
    assert_eq!(pushed["group.eml"], "one\ntwo\n");
    assert_eq!(pushed["exec.eml"], "one\ntwo\n");
    assert_eq!(pushed["empty.eml"], "");
    assert_eq!(pushed["touched.eml"], "");
    assert_eq!(m.fake.pushed().len(), 5);
}

#[test]
fn editors_write_aside_and_rename() {
    let m = mounted();
    let inbox = m.inbox();
    for (temporary, name) in [
        (".goutputstream-AB12CD", "gedit.txt"),
        (".notes.txt.swp", "vim.txt"),
        ("notes~", "backup.txt"),
        (".a.b.XyZ123", "rsync.txt"),
    ] {
        fs::write(inbox.join(temporary), "text").unwrap();
        let before = m.fake.pushed().len();
        assert!(inbox.join(temporary).exists() && names(&inbox).contains(&temporary.to_owned()));
        assert_eq!(fs::read_to_string(inbox.join(temporary)).unwrap(), "text");
        fs::rename(inbox.join(temporary), inbox.join(name)).unwrap();
        assert_eq!(m.fake.pushed().len(), before + 1);
        assert!(!inbox.join(temporary).exists());
    }
    fs::write(inbox.join("4913"), "").unwrap();
    fs::remove_file(inbox.join("4913")).unwrap();
    assert_eq!(m.fake.pushed().len(), 4);
    // The rename's result is the push's.
    fs::write(inbox.join(".x.AbCdEf"), "text").unwrap();
    let refused = fs::rename(inbox.join(".x.AbCdEf"), inbox.join("full.txt"));
    assert_eq!(errno(refused), Errno::DQUOT.raw_os_error());
    // An item that is there is not replaced by default.
    fs::write(inbox.join(".y.AbCdEf"), "text").unwrap();
    assert!(
        fs::read_to_string(m.restore().join(".queue"))
            .unwrap()
            .contains("held  alice@contoso.com/Mail/Inbox/.y.AbCdEf")
    );
    assert!(
        fs::read_to_string(m.restore().join(".queue"))
            .unwrap()
            .starts_with("waiting  something\n")
    );
}

#[test]
fn a_temporary_name_that_is_never_renamed_is_sent_as_it_is() {
    let m = mounted();
    fs::write(m.inbox().join("notes~"), "text").unwrap();
    assert!(m.fake.pushed().is_empty());
    let until = std::time::Instant::now() + Duration::from_secs(40);
    while m.fake.pushed().is_empty() {
        assert!(std::time::Instant::now() < until);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(m.fake.one().target, format!("{INBOX}/notes~"));
}

#[test]
fn nothing_deletes_renames_or_reads_what_is_live() {
    let m = mounted();
    let live = m.inbox().join("live.eml");
    let acces = Errno::ACCESS.raw_os_error();
    assert_eq!(errno(fs::remove_file(&live)), acces);
    assert_eq!(errno(fs::remove_dir(m.inbox())), acces);
    assert_eq!(errno(fs::rename(&live, m.inbox().join("other.eml"))), acces);
    assert_eq!(
        errno(fs::rename(
            m.inbox(),
            m.restore().join("alice@contoso.com/Mail/Other")
        )),
        acces
    );
    assert_eq!(errno(fs::read(&live)), acces);
    assert_eq!(errno(OpenOptions::new().append(true).open(&live)), acces);
    assert_eq!(
        errno(
            OpenOptions::new()
                .write(true)
                .open(&live)
                .and_then(|f| f.set_len(0))
        ),
        acces
    );
    assert_eq!(
        errno(std::os::unix::fs::symlink("x", m.inbox().join("link"))),
        Errno::PERM.raw_os_error()
    );
    assert_eq!(
        errno(fs::hard_link(&live, m.inbox().join("link"))),
        Errno::PERM.raw_os_error()
    );
    let log = m.log();
    for reason in [
        "never deletes",
        "never renames",
        "does not read live items",
        "changed in place",
    ] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    // What every copying program does afterwards is accepted.
    fs::set_permissions(&live, fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::chown(&live, Some(0), Some(0)).unwrap();
    let times = FileTimes::new().set_modified(UNIX_EPOCH);
    File::open(m.inbox()).unwrap().set_times(times).unwrap();
    assert!(m.fake.pushed().is_empty());
    assert_eq!(fs::metadata(&live).unwrap().len(), 5);
    let moved = m.fixture.root.path().join("moved");
    fs::write(&moved, "x").unwrap();
    let out = m.shell(&format!(
        "mv -f {} restore/{INBOX}/live.eml",
        moved.display()
    ));
    assert!(!out.status.success() && moved.exists(), "{out:?}");
}

#[test]
fn what_is_being_written_can_be_read_and_changed() {
    let m = mounted();
    let path = m.inbox().join("w.eml");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    file.write_all(b"0123456789").unwrap();
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "0123456789");
    file.set_len(4).unwrap();
    file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(77)))
        .unwrap();
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.len(), meta.mtime()), (4, 77));
    close(file).unwrap();
    let pushed = m.fake.one();
    assert_eq!((pushed.bytes.as_slice(), pushed.mtime), (&b"0123"[..], 77));
    // Setting times and modes by name after closing does not fail either.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(m.fake.pushed().len(), 1);
}

#[test]
fn folders_are_made_and_listed() {
    let m = mounted();
    fs::create_dir(m.inbox().join("New")).unwrap();
    assert!(
        m.fake
            .folders
            .lock()
            .unwrap()
            .contains("alice@contoso.com/Mail/Inbox/New")
    );
    assert_eq!(names(m.inbox()), ["New", "live.eml"]);
    fs::create_dir_all(m.inbox().join("New/Deep/Deeper")).unwrap();
    fs::write(m.inbox().join("New/Deep/Deeper/x.eml"), "x").unwrap();
    assert_eq!(
        m.fake.one().target,
        "alice@contoso.com/Mail/Inbox/New/Deep/Deeper/x.eml"
    );
    assert_eq!(
        errno(fs::write(m.restore().join("x"), "x")),
        Errno::PERM.raw_os_error()
    );
    assert_eq!(
        errno(fs::write(m.fixture.mountpoint().join("x"), "x")),
        Errno::ROFS.raw_os_error()
    );
    assert_eq!(
        errno(fs::write(m.restore().join(".log"), "x")),
        Errno::ACCESS.raw_os_error()
    );
}

#[test]
fn slow_pushes_run_side_by_side_and_do_not_stop_listing() {
    let m = mounted();
    m.fake.slow_ms.store(1000, Ordering::Relaxed);
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for i in 0..16 {
            let path = m.inbox().join(format!("{i}.eml"));
            scope.spawn(move || fs::write(path, "x").unwrap());
        }
        std::thread::sleep(Duration::from_millis(300));
        assert!(names(m.inbox()).contains(&"live.eml".to_owned()));
        assert!(begun.elapsed() < Duration::from_millis(1000));
    });
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(m.fake.pushed().len(), 16);
}

#[test]
fn duplicates_of_a_descriptor_push_once() {
    let m = mounted();
    let mut file = File::create_new(m.inbox().join("dup.eml")).unwrap();
    let duplicate = file.try_clone().unwrap();
    assert_ne!(file.as_raw_fd(), duplicate.as_raw_fd());
    file.write_all(b"x").unwrap();
    close(duplicate).unwrap();
    close(file).unwrap();
    assert_eq!(m.fake.pushed().len(), 1);
}

#[test]
fn without_an_identity_everything_is_read_only_and_says_why() {
    let m = mount_with(true);
    let rofs = Errno::ROFS.raw_os_error();
    assert_eq!(errno(fs::write(m.inbox().join("x.eml"), "x")), rofs);
    assert_eq!(errno(fs::create_dir(m.inbox().join("x"))), rofs);
    assert_eq!(errno(fs::remove_file(m.inbox().join("live.eml"))), rofs);
    assert!(m.log().contains("no identity to restore with"));
    drop(m);
    let f = Fixture::default();
    let _mount = Mount::start(MountConfig::new(f.mountpoint(), f.repo.clone())).unwrap();
    let restore = f.mountpoint().join("restore");
    assert!(names(&restore).contains(&".log".to_owned()));
    assert!(
        fs::read_to_string(restore.join(".log"))
            .unwrap()
            .contains("[tenant.restore]")
    );
    assert_eq!(errno(fs::create_dir(restore.join("x"))), rofs);
}
