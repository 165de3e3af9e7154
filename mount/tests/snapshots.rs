//! The read-only tree, on a real mount, by operation.

mod common;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use common::{Dir, Fixture, Item, dir, errno, folder, mail, mail_with_record, names};
use rustix::io::Errno;
use tenantfs_mount::Owner;

const DAY: i64 = 86_400;
/// 2026-11-20T09:15:00Z
const T: i64 = 1_795_166_100;

fn sample() -> Dir {
    folder([
        (
            "alice@contoso.com",
            dir([(
                "Mail",
                dir([(
                    "Inbox",
                    dir([
                        (
                            "a.eml",
                            mail_with_record(
                                "From: a\r\n\r\nHello",
                                1_600_000_000,
                                r#"{"id":"A"}"#,
                            ),
                        ),
                        ("b.eml", mail("From: b\r\n\r\nWorld", -5)),
                        ("empty.eml", mail("", 1)),
                    ]),
                )]),
            )]),
        ),
        ("bob@contoso.com", dir([("OneDrive", dir([]))])),
    ])
}

#[test]
fn lookup_attributes_and_reading() {
    let f = Fixture::default();
    let name = f.commit(T, &sample());
    let mount = f.mount();
    assert_eq!(name, "2026-11-20T091500Z");
    let inbox = f
        .snapshots()
        .join(&name)
        .join("alice@contoso.com/Mail/Inbox");
    assert_eq!(names(&inbox), ["a.eml", "b.eml", "empty.eml"]);
    assert_eq!(
        fs::read(inbox.join("a.eml")).unwrap(),
        b"From: a\r\n\r\nHello"
    );
    assert_eq!(fs::read(inbox.join("empty.eml")).unwrap(), b"");

    let meta = fs::metadata(inbox.join("a.eml")).unwrap();
    assert_eq!(
        (meta.len(), meta.mtime(), meta.nlink()),
        (16, 1_600_000_000, 1)
    );
    assert_eq!((meta.permissions().mode(), meta.blocks()), (0o100444, 1));
    assert_eq!(
        (meta.uid(), meta.gid()),
        (Owner::process().uid, Owner::process().gid)
    );
    assert_eq!(fs::metadata(inbox.join("b.eml")).unwrap().mtime(), -5);
    let meta = fs::metadata(&inbox).unwrap();
    assert_eq!((meta.permissions().mode(), meta.is_dir()), (0o40555, true));
    assert_eq!(
        errno(fs::metadata(inbox.join("none"))),
        Errno::NOENT.raw_os_error()
    );
    assert_eq!(
        errno(fs::read_dir(inbox.join("a.eml"))),
        Errno::NOTDIR.raw_os_error()
    );

    let file = fs::File::open(inbox.join("a.eml")).unwrap();
    let mut part = [0; 5];
    assert_eq!(file.read_at(&mut part, 11).unwrap(), 5);
    assert_eq!(&part, b"Hello");
    assert_eq!(file.read_at(&mut part, 16).unwrap(), 0);
    mount.stop().unwrap();
    assert!(names(f.mountpoint()).is_empty());
}

#[test]
fn root_has_complete_snapshots_latest_and_a_link_per_day() {
    let f = Fixture::default();
    f.commit(T - DAY, &sample());
    f.commit(T, &sample());
    f.commit(T + 60, &sample());
    f.commit_with(T + 120, &sample(), None, false);
    let _mount = f.mount();
    assert_eq!(
        names(f.snapshots()),
        [
            "2026-11-19",
            "2026-11-19T091500Z",
            "2026-11-20",
            "2026-11-20T091500Z",
            "2026-11-20T091600Z",
            "latest"
        ]
    );
    let target = |name: &str| fs::read_link(f.snapshots().join(name)).unwrap();
    assert_eq!(target("latest"), Path::new("2026-11-20T091600Z"));
    assert_eq!(target("2026-11-20"), Path::new("2026-11-20T091600Z"));
    assert_eq!(target("2026-11-19"), Path::new("2026-11-19T091500Z"));
    assert_eq!(
        names(f.snapshots().join("latest")),
        ["alice@contoso.com", "bob@contoso.com"]
    );
    assert_eq!(names(f.mountpoint()), ["restore", "snapshots"]);
}

#[test]
fn an_empty_repository_mounts() {
    let f = Fixture::default();
    let _mount = f.mount();
    assert!(names(f.snapshots()).is_empty());
}

#[test]
fn everything_below_snapshots_is_read_only() {
    let f = Fixture::default();
    f.commit(T, &sample());
    let _mount = f.mount();
    let inbox = f.snapshots().join("latest/alice@contoso.com/Mail/Inbox");
    let rofs = Errno::ROFS.raw_os_error();
    assert_eq!(errno(fs::write(inbox.join("new"), "x")), rofs);
    assert_eq!(
        errno(fs::OpenOptions::new().write(true).open(inbox.join("a.eml"))),
        rofs
    );
    assert_eq!(errno(fs::remove_file(inbox.join("a.eml"))), rofs);
    assert_eq!(
        errno(fs::rename(inbox.join("a.eml"), inbox.join("c.eml"))),
        rofs
    );
    assert_eq!(errno(fs::create_dir(inbox.join("dir"))), rofs);
    assert_eq!(errno(fs::remove_dir(&inbox)), rofs);
    assert_eq!(
        errno(fs::set_permissions(
            &inbox,
            fs::Permissions::from_mode(0o777)
        )),
        rofs
    );
    assert_eq!(errno(fs::write(f.snapshots().join("new"), "x")), rofs);
}

#[test]
fn stat_is_stable_over_snapshots_and_remounts() {
    let f = Fixture::default();
    let first = f.commit(T, &sample());
    let mut changed = sample();
    changed.insert("carol@contoso.com".into(), dir([]));
    let second = f.commit(T + 60, &changed);
    let stat = |snapshot: &str, path: &str| {
        let meta = fs::metadata(f.snapshots().join(snapshot).join(path)).unwrap();
        (meta.ino(), meta.len(), meta.mtime(), meta.mode())
    };
    let file = "alice@contoso.com/Mail/Inbox/a.eml";
    let inbox = "alice@contoso.com/Mail/Inbox";
    let mount = f.mount();
    let before = stat(&first, file);
    let inbox_before = stat(&first, inbox);
    assert_eq!(before, stat(&second, file));
    assert_ne!(
        inbox_before.0,
        stat(&second, inbox).0,
        "a folder has one parent"
    );
    assert_ne!(
        before.0,
        stat(&first, "alice@contoso.com/Mail/Inbox/b.eml").0
    );
    mount.stop().unwrap();
    let _mount = f.mount();
    assert_eq!(before, stat(&second, file));
    assert_eq!(inbox_before, stat(&first, inbox));
}

#[test]
fn hidden_folder_has_report_and_records() {
    let f = Fixture::default();
    let record = r#"{"id":"A","isRead":true}"#;
    let inner = mail_with_record("inner", 3, r#"{"id":"inner"}"#);
    let mut tree = folder([(
        "alice@contoso.com",
        dir([
            ("x", mail_with_record("x", 1_600_000_000, record)),
            ("x.json", dir([("y.eml", inner)])),
            ("plain", mail("no record", 2)),
        ]),
    )]);
    if let Some(Item::Dir(items, of_account)) = tree.get_mut("alice@contoso.com") {
        *of_account = Some(r#"{"upn":"alice"}"#.into());
        if let Some(Item::Dir(_, of_folder)) = items.get_mut("x.json") {
            *of_folder = Some(r#"{"folder":true}"#.into());
        }
    }
    f.commit_with(T, &tree, Some(r#"{"ok":true}"#), true);
    let _mount = f.mount();
    let latest = f.snapshots().join("latest");
    assert_eq!(names(&latest), ["alice@contoso.com"]);
    let hidden = latest.join(".tenantfs");
    assert_eq!(names(&hidden), ["graph", "report.json", "versions"]);
    assert_eq!(
        fs::read_to_string(hidden.join("report.json")).unwrap(),
        r#"{"ok":true}"#
    );
    let graph = hidden.join("graph");
    assert_eq!(
        names(&graph),
        ["alice@contoso.com", "alice@contoso.com.json"]
    );
    let alice = graph.join("alice@contoso.com");
    assert_eq!(names(&alice), ["x.json", "x.json.json", "x~1.json"]);
    assert_eq!(fs::read_to_string(alice.join("x~1.json")).unwrap(), record);
    assert_eq!(
        fs::metadata(alice.join("x~1.json")).unwrap().len(),
        record.len() as u64
    );
    assert_eq!(
        fs::metadata(alice.join("x~1.json")).unwrap().mtime(),
        1_600_000_000
    );
    assert_eq!(
        fs::read_to_string(alice.join("x.json.json")).unwrap(),
        r#"{"folder":true}"#
    );
    assert_eq!(
        fs::read_to_string(alice.join("x.json/y.eml.json")).unwrap(),
        r#"{"id":"inner"}"#
    );
    assert!(!latest.join("alice@contoso.com/.tenantfs").exists());
    assert!(!alice.join("plain.json").exists());
}

#[test]
fn older_versions_are_files_in_folders_of_their_times() {
    let f = Fixture::default();
    let versioned = |bytes: &[u8], mtime, older: &[(i64, &[u8])]| Item::Versioned {
        bytes: bytes.to_vec(),
        mtime,
        older: older.iter().map(|(t, b)| (*t, b.to_vec())).collect(),
    };
    let before = folder([(
        "alice@contoso.com",
        dir([(
            "OneDrive",
            dir([("plan.docx", versioned(b"first", T - 60, &[]))]),
        )]),
    )]);
    let older: [(i64, &[u8]); 3] = [(T - 60, b"first"), (T - 50, b"second!"), (T - 50, b"")];
    let now = versioned(b"third", T, &older);
    let after = folder([
        (
            "alice@contoso.com",
            dir([(
                "OneDrive",
                dir([
                    ("Empty", dir([])),
                    ("plain.txt", mail("no versions", 2)),
                    ("plan.docx", now),
                ]),
            )]),
        ),
        ("bob@contoso.com", dir([])),
    ]);
    let first = f.commit(T, &before);
    f.commit(T + 60, &after);
    let mount = f.mount();
    let latest = f.snapshots().join("latest");
    assert_eq!(names(&latest), ["alice@contoso.com", "bob@contoso.com"]);
    let versions = latest.join(".tenantfs/versions");
    assert_eq!(names(&versions), ["alice@contoso.com", "bob@contoso.com"]);
    let drive = versions.join("alice@contoso.com/OneDrive");
    // Files without older versions are left out.
    assert_eq!(names(&drive), ["Empty", "plan.docx"]);
    assert!(!drive.join("plain.txt").exists());
    let file = drive.join("plan.docx");
    let times = names(&file);
    assert_eq!(times.len(), 3);
    assert_eq!(times[..2], ["2026-11-20T091400Z", "2026-11-20T091410Z"]);
    assert!(times[2].starts_with("2026-11-20T091410Z~"), "{times:?}");
    for (time, (mtime, bytes)) in times.iter().zip(older) {
        let version = file.join(time);
        assert_eq!(names(&version), ["plan.docx"]);
        let meta = fs::metadata(version.join("plan.docx")).unwrap();
        assert_eq!((meta.len(), meta.mtime()), (bytes.len() as u64, mtime));
        assert_eq!(meta.mode(), 0o100444);
        assert_eq!(fs::read(version.join("plan.docx")).unwrap(), bytes);
        assert_eq!(fs::metadata(&version).unwrap().mtime(), mtime);
    }
    // The same version of a file is the same inode wherever it is shown, and after a remount.
    let old = f.snapshots().join(&first);
    let old = old.join("alice@contoso.com/OneDrive/plan.docx");
    let same = file.join(&times[0]).join("plan.docx");
    let ino = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = ino(&old);
    assert_eq!(before, ino(&same));
    let write = fs::write(file.join(&times[0]).join("new"), "x");
    assert_eq!(errno(write), Errno::ROFS.raw_os_error());
    mount.stop().unwrap();
    let _mount = f.mount();
    assert_eq!(before, ino(&same));
    let list = Command::new("find")
        .arg(&versions)
        .args(["-type", "f"])
        .output()
        .unwrap();
    assert_eq!(list.stdout.iter().filter(|b| **b == b'\n').count(), 3);
}

#[test]
fn a_folder_of_100_000_lists_once_and_in_full() {
    let f = Fixture::default();
    let items: Dir = (0..100_000)
        .map(|i| (format!("{i:06}.eml"), mail(format!("mail {}", i % 50), i)))
        .collect();
    let tree = Dir::from([("alice@contoso.com".to_owned(), Item::Dir(items, None))]);
    f.commit(T, &tree);
    let mount = f.mount();
    let path = f.snapshots().join("latest/alice@contoso.com");
    let listed = names(&path);
    assert_eq!(listed.len(), 100_000);
    assert!(
        listed
            .iter()
            .enumerate()
            .all(|(i, name)| *name == format!("{i:06}.eml"))
    );
    for i in [0, 1, 49_999, 99_999] {
        let meta = fs::metadata(path.join(format!("{i:06}.eml"))).unwrap();
        assert_eq!(meta.mtime(), i);
    }
    let requests = mount.requests().by_operation();
    assert!(
        !requests.contains_key("getattr") || requests["getattr"] < 10,
        "{requests:?}"
    );
    assert!(requests["readdirplus"] < 2000, "{requests:?}");
    assert!(mount.known_inodes() > 100_000);
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    assert!(mount.known_inodes() < 100_000, "{}", mount.known_inodes());
}

#[test]
fn a_second_warm_pass_sends_no_request() {
    let f = Fixture::default();
    let big: Vec<u8> = (0..9_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let items: Dir = (0..300)
        .map(|i| {
            (
                format!("{i:03}.eml"),
                mail(
                    format!("Subject: {i}\r\n\r\n{}", "text ".repeat(i as usize)),
                    i,
                ),
            )
        })
        .chain([(
            "big".to_owned(),
            Item::Blob {
                bytes: big,
                mtime: 7,
            },
        )])
        .collect();
    f.commit(
        T,
        &Dir::from([("alice@contoso.com".to_owned(), Item::Dir(items, None))]),
    );
    let mount = f.mount();
    let pass = || {
        for command in [
            "grep -r needle latest/ ; true",
            "tar c latest/ | wc -c",
            "find latest/ -ls",
            "ls -lR latest/",
        ] {
            let out = Command::new("sh")
                .args(["-c", command])
                .current_dir(f.snapshots())
                .output()
                .unwrap();
            assert!(
                out.status.success() && out.stderr.is_empty(),
                "{command}: {out:?}"
            );
        }
    };
    pass();
    let first = mount.requests().total();
    pass();
    assert_eq!(
        mount.requests().total() - first,
        0,
        "{:?}",
        mount.requests().by_operation()
    );
    assert!(first > 300);
}

#[test]
fn a_new_snapshot_shows_at_once_although_the_kernel_has_cached_the_listing() {
    let f = Fixture::default();
    f.commit(T, &sample());
    let mount = f.mount();
    let new = f.snapshots().join("2026-11-20T091600Z");
    for _ in 0..2 {
        assert_eq!(names(f.snapshots()).len(), 3);
        assert!(!new.exists());
        assert_eq!(
            fs::read_link(f.snapshots().join("latest")).unwrap(),
            Path::new("2026-11-20T091500Z")
        );
        assert!(f.snapshots().join("latest/alice@contoso.com").exists());
    }
    let mut tree = sample();
    tree.insert("new@contoso.com".into(), dir([]));
    f.commit(T + 60, &tree);
    mount.refresh().unwrap();
    assert!(new.exists());
    assert_eq!(names(f.snapshots()).len(), 4);
    assert_eq!(
        fs::read_link(f.snapshots().join("latest")).unwrap(),
        Path::new("2026-11-20T091600Z")
    );
    assert_eq!(
        fs::read_link(f.snapshots().join("2026-11-20")).unwrap(),
        Path::new("2026-11-20T091600Z")
    );
    assert!(f.snapshots().join("latest/new@contoso.com").exists());
    // And again from the kernel's cache.
    let before = mount.requests().total();
    assert!(f.snapshots().join("latest/new@contoso.com").exists());
    assert_eq!(mount.requests().total(), before);

    f.repo
        .writer()
        .unwrap()
        .delete_snapshot("2026-11-20T091600Z")
        .unwrap();
    mount.refresh().unwrap();
    assert!(!new.exists());
    assert_eq!(names(f.snapshots()).len(), 3);
    assert_eq!(
        fs::read_link(f.snapshots().join("latest")).unwrap(),
        Path::new("2026-11-20T091500Z")
    );
}

#[test]
fn refreshes_while_everything_is_being_listed() {
    let f = Fixture::default();
    f.commit(T, &sample());
    let mount = f.mount();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let listed = names(f.snapshots());
                    assert!(listed.contains(&"latest".to_owned()));
                    assert!(f.snapshots().join("latest/alice@contoso.com").exists());
                }
            });
        }
        for i in 1..20 {
            let name = f.commit(T + 60 * i, &sample());
            mount.refresh().unwrap();
            assert!(f.snapshots().join(&name).exists());
            assert_eq!(
                fs::read_link(f.snapshots().join("latest")).unwrap(),
                Path::new(&name)
            );
            assert!(names(f.snapshots()).contains(&name));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn large_files_read_in_full_from_any_offset() {
    let f = Fixture::default();
    let bytes: Vec<u8> = (0..30_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    let tree = Dir::from([(
        "big".to_owned(),
        Item::Blob {
            bytes: bytes.clone(),
            mtime: 1,
        },
    )]);
    f.commit(T, &tree);
    let _mount = f.mount();
    let path = f.snapshots().join("latest/big");
    assert!(fs::read(&path).unwrap() == bytes);
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let file = fs::File::open(&path).unwrap();
    for offset in [29_999_999, 0, 12_345_678, 5_000_000, 20_000_001] {
        let mut part = vec![0; 300_000];
        let n = file.read_at(&mut part, offset as u64).unwrap();
        assert!(n > 0 && part[..n] == bytes[offset..offset + n]);
    }
}

#[test]
fn xattrs_only_when_asked_for() {
    let f = Fixture::default();
    f.commit(T, &sample());
    let path = f
        .snapshots()
        .join("latest/alice@contoso.com/Mail/Inbox/a.eml");
    let get = |name: &str| {
        let mut value = [0_u8; 256];
        rustix::fs::getxattr(&path, name, &mut value)
            .map(|n| String::from_utf8_lossy(&value[..n]).into_owned())
    };
    let mount = f.mount();
    assert_eq!(get("user.tenantfs.id"), Err(Errno::OPNOTSUPP));
    let asked = mount.requests().total();
    assert_eq!(get("user.tenantfs.id"), Err(Errno::OPNOTSUPP));
    assert_eq!(
        mount.requests().total(),
        asked,
        "the kernel does not ask twice"
    );
    mount.stop().unwrap();
    let mut config = f.config();
    config.xattr = true;
    let _mount = tenantfs_mount::Mount::start(config).unwrap();
    assert_eq!(get("user.tenantfs.id"), Ok("A".to_owned()));
    assert_eq!(get("user.tenantfs.none"), Err(Errno::NODATA));
    let mut list = [0_u8; 256];
    let n = rustix::fs::listxattr(&path, &mut list).unwrap();
    assert_eq!(&list[..n], b"user.tenantfs.id\0");
}

#[test]
fn owners_keep_accounts_apart() {
    let f = Fixture::default();
    f.commit_with(T, &sample(), Some("{}"), true);
    let mut config = f.config();
    config.allow_other = true;
    config.owners = vec![(
        "alice@contoso.com".into(),
        Owner {
            uid: 4321,
            gid: 1234,
        },
    )];
    let _mount = tenantfs_mount::Mount::start(config).unwrap();
    let latest = f.snapshots().join("latest");
    let meta = |path: &str| {
        let meta = fs::metadata(latest.join(path)).unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o777)
    };
    let me = Owner::process();
    assert_eq!(meta(""), (me.uid, me.gid, 0o555));
    assert_eq!(meta("alice@contoso.com"), (4321, 1234, 0o500));
    assert_eq!(
        meta("alice@contoso.com/Mail/Inbox/a.eml"),
        (4321, 1234, 0o400)
    );
    assert_eq!(
        meta(".tenantfs/graph/alice@contoso.com/Mail"),
        (4321, 1234, 0o500)
    );
    assert_eq!(
        meta(".tenantfs/graph/alice@contoso.com/Mail/Inbox/a.eml.json"),
        (4321, 1234, 0o400)
    );
    assert_eq!(meta("bob@contoso.com"), (me.uid, me.gid, 0o500));
    assert_eq!(meta(".tenantfs/report.json"), (me.uid, me.gid, 0o400));
}
