//! A mount whose service is in memory, and remembers what was pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;
use tenantfs::restore::spool::Spool;
use tenantfs::restore::{Code, Conflict, RestoreError, SpoolFile, TargetPath};
use tenantfs_mount::{LiveItem, Mount, MountHandle, Restorer};

use crate::common::{Fixture, dir, folder, mail};

/// What one push brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub target: String,
    pub bytes: Vec<u8>,
    pub mtime: i64,
    pub waited: bool,
}

/// Remembers pushes in memory; refuses where a name says so.
pub struct Fake {
    spool: Arc<Spool>,
    items: Mutex<BTreeMap<String, u64>>,
    pub folders: Mutex<BTreeSet<String>>,
    pushed: Mutex<Vec<Pushed>>,
    log: Mutex<String>,
    pub slow_ms: AtomicU64,
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

    pub fn pushed(&self) -> Vec<Pushed> {
        self.pushed.lock().unwrap().clone()
    }

    pub fn said(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn one(&self) -> Pushed {
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

pub struct Mounted {
    pub fixture: Fixture,
    pub fake: Arc<Fake>,
    mount: MountHandle,
}

pub fn mount_with(read_only: bool) -> Mounted {
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
        mount: Mount::start(config).unwrap(),
        fixture,
        fake,
    }
}

pub fn mounted() -> Mounted {
    mount_with(false)
}

pub const INBOX: &str = "alice@contoso.com/Mail/Inbox";

impl Mounted {
    pub fn restore(&self) -> PathBuf {
        self.fixture.mountpoint().join("restore")
    }

    pub fn inbox(&self) -> PathBuf {
        self.restore().join(INBOX)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.restore().join(".log")).unwrap()
    }

    /// Takes the mount down, as the end of the daemon does. What was pushed is told by what is returned.
    pub fn unmount(self) -> Arc<Fake> {
        self.mount.stop().unwrap();
        self.fake
    }

    pub fn shell(&self, command: &str) -> std::process::Output {
        Command::new("bash")
            .args(["-c", command])
            .current_dir(self.fixture.mountpoint())
            .output()
            .unwrap()
    }

    pub fn shell_ok(&self, command: &str) {
        let out = self.shell(command);
        assert!(
            out.status.success() && out.stderr.is_empty(),
            "{command}: {out:?}"
        );
    }
}

/// `close()` with its result, which `File` hides.
pub fn close(file: File) -> Result<(), Errno> {
    // SAFETY: the descriptor was owned by `file`, which is given up: nobody uses it after this.
    unsafe { rustix::io::try_close(file.into_raw_fd()) }
}
