//! What the tree promises: when a push happens, what its result is, what a policy changes, and what
//! is never done.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use rustix::io::Errno;
use tenantfs_mount::{Mount, MountConfig};

use crate::common::{Fixture, errno, names};
use crate::scene::{INBOX, close, mount_with, mounted};

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
