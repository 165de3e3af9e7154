//! Mounting, unmounting, and what a killed daemon leaves behind.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Fixture, dir, errno, folder, mail, names};
use rustix::io::Errno;
use secrecy::SecretString;
use tenantfs::repo::{Location, Repository};
use tenantfs_mount::{Mount, MountConfig, MountError};

const T: i64 = 1_795_166_100;
const CHILD: &str = "TENANTFS_TEST_CHILD";

fn fixture() -> Fixture {
    let f = Fixture::default();
    f.commit(
        T,
        &folder([("alice@contoso.com", dir([("a.eml", mail("Hello", 1))]))]),
    );
    f
}

fn mounts_at(path: &Path) -> usize {
    let path = path.to_str().unwrap().to_owned();
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mountinfo
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(4)
                .is_some_and(|at| at.starts_with(&path))
        })
        .count()
}

/// Not a test: the process that [`mount_in_child`] kills.
#[test]
#[ignore = "started by other tests"]
fn child() {
    let Ok(root) = std::env::var(CHILD) else {
        return;
    };
    let root = PathBuf::from(root);
    let location = Location::Local(root.join("repo"));
    let repo = Repository::open(
        &location,
        &SecretString::from("secret"),
        &root.join("child"),
    )
    .unwrap();
    let _mount = Mount::start(MountConfig::new(root.join("mnt"), repo)).unwrap();
    println!("\nmounted");
    std::thread::sleep(Duration::from_secs(600));
}

fn mount_in_child(f: &Fixture) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(CHILD, f.root.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "mounted"));
    child
}

#[test]
fn a_mount_whose_daemon_was_killed_is_repaired() {
    let f = fixture();
    let file = f.snapshots().join("latest/alice@contoso.com/a.eml");
    // Twice, so that what is repaired was a repair itself.
    for _ in 0..2 {
        let mut child = mount_in_child(&f);
        assert_eq!(fs::read_to_string(&file).unwrap(), "Hello");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            errno(fs::read_dir(f.mountpoint())),
            Errno::NOTCONN.raw_os_error()
        );
        assert_eq!(mounts_at(&f.mountpoint()), 2);
        let mount = f.mount();
        assert_eq!(fs::read_to_string(&file).unwrap(), "Hello");
        mount.stop().unwrap();
        assert_eq!(mounts_at(&f.mountpoint()), 0);
    }
}

#[test]
fn a_dead_mount_with_a_process_still_in_it_is_repaired() {
    let f = fixture();
    let mut child = mount_in_child(&f);
    let inside = fs::File::open(f.snapshots().join("latest/alice@contoso.com/a.eml")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mount = f.mount();
    assert_eq!(names(f.snapshots()).len(), 3);
    drop(inside);
    mount.stop().unwrap();
    assert_eq!(mounts_at(&f.mountpoint()), 0);
}

#[test]
fn a_living_mount_is_not_covered() {
    let f = fixture();
    let mount = f.mount();
    let refused = Mount::start(f.config()).err().unwrap();
    assert!(
        matches!(refused, MountError::AlreadyMounted { .. }),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains(f.mountpoint().to_str().unwrap())
    );
    assert_eq!(mounts_at(&f.mountpoint()), 2);
    assert_eq!(names(f.snapshots()).len(), 3);
    mount.stop().unwrap();
}

#[test]
fn what_cannot_be_a_mountpoint_is_said() {
    let f = fixture();
    let mut config = f.config();
    config.mountpoint = f.root.path().join("none");
    let refused = Mount::start(config).err().unwrap().to_string();
    assert!(refused.contains("/none can't be a mountpoint"), "{refused}");
    let mut config = f.config();
    config.mountpoint = f.root.path().join("file");
    fs::write(&config.mountpoint, "").unwrap();
    let refused = Mount::start(config).err().unwrap();
    assert!(
        matches!(refused, MountError::Mountpoint { .. }),
        "{refused}"
    );
}

#[test]
fn stopping_a_busy_mount_takes_it_out_of_the_tree_at_once() {
    let f = fixture();
    let mount = f.mount();
    let open = fs::File::open(f.snapshots().join("latest/alice@contoso.com/a.eml")).unwrap();
    let begun = Instant::now();
    mount.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(mounts_at(&f.mountpoint()), 0);
    assert!(names(f.mountpoint()).is_empty());
    drop(open);
    // The path is free for the next one.
    f.mount().stop().unwrap();
}

#[test]
fn unmounted_from_outside_and_dropped_touches_nothing_else() {
    let f = fixture();
    let mount = f.mount();
    for path in [f.snapshots(), f.mountpoint()] {
        assert!(Command::new("umount").arg(path).status().unwrap().success());
    }
    let other = f.mount();
    let until = Instant::now() + Duration::from_secs(10);
    while mount.is_mounted() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!mount.is_mounted());
    drop(mount);
    assert_eq!(
        names(f.snapshots()).len(),
        3,
        "the other mount is still there"
    );
    other.stop().unwrap();
}

#[test]
fn a_relative_path_and_a_symlink_are_mountpoints() {
    let f = fixture();
    let link = f.root.path().join("link");
    std::os::unix::fs::symlink(f.mountpoint(), &link).unwrap();
    let mut config = f.config();
    config.mountpoint = link;
    let mount = Mount::start(config).unwrap();
    assert_eq!(mount.path(), f.mountpoint().canonicalize().unwrap());
    assert_eq!(names(f.snapshots()).len(), 3);
}

#[test]
fn snapshots_of_other_processes_show_when_polling() {
    let f = fixture();
    let mut config = f.config();
    config.poll = Some(Duration::from_millis(100));
    let _mount = Mount::start(config).unwrap();
    assert_eq!(names(f.snapshots()).len(), 3);
    f.commit(T + 60, &folder([]));
    let until = Instant::now() + Duration::from_secs(5);
    while names(f.snapshots()).len() < 4 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn request_counts_can_be_read_as_a_file() {
    let f = fixture();
    let _mount = f.mount();
    assert_eq!(names(f.snapshots()).len(), 3);
    let counts = fs::read_to_string(f.mountpoint().join(".requests")).unwrap();
    let counts: serde_json::Value = serde_json::from_str(&counts).unwrap();
    assert!(
        counts["snapshots"]["readdirplus"].as_u64().unwrap() > 0,
        "{counts}"
    );
}
