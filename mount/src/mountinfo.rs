//! What is mounted where, and clearing what a killed daemon left behind.
//!
//! A FUSE mount outlives the process that served it: every access then fails with ENOTCONN, and
//! nothing can be mounted there. On purpose nothing unmounts by itself when the daemon dies: a
//! mountpoint that turns empty makes a running mirror delete its target, one that fails stops it.
//! So the next start repairs: it finds what is mounted at its path in `/proc/self/mountinfo`
//! (proc(5)), detaches it lazily when it is ours and dead, and refuses when it is alive.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, io, thread};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::error::MountError;

/// Source name of our mounts, as `mount` and `findmnt` show it.
pub const FS_NAME: &str = "tenantfs";

/// A file system that does not answer a `statfs` for this long is taken for alive: it may be
/// serving someone, and tearing it down is the administrator's decision.
const PROBE: Duration = Duration::from_secs(5);

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    pub path: PathBuf,
    /// `major:minor` of the file system; names its entry in `/sys/class/bdi`.
    pub device: String,
    pub fs_type: String,
    pub source: OsString,
}

impl MountPoint {
    fn is_ours(&self) -> bool {
        self.fs_type.starts_with("fuse") && self.source == FS_NAME
    }
}

/// Everything mounted in this process's mount namespace, in mount order.
pub fn list() -> io::Result<Vec<MountPoint>> {
    Ok(fs::read("/proc/self/mountinfo")?
        .split(|b| *b == b'\n')
        .filter_map(parse_line)
        .collect())
}

/// `36 35 98:0 /root /mnt\040point rw,noatime master:1 - ext3 /dev/root rw`: optional fields end
/// at the lone `-`.
fn parse_line(line: &[u8]) -> Option<MountPoint> {
    let mut fields = line.split(|b| *b == b' ');
    let device = fields.nth(2)?;
    let path = fields.nth(1)?;
    let mut rest = fields.skip_while(|f| *f != b"-").skip(1);
    let fs_type = rest.next()?;
    let source = rest.next()?;
    Some(MountPoint {
        path: PathBuf::from(unescape(path)),
        device: String::from_utf8_lossy(device).into_owned(),
        fs_type: String::from_utf8_lossy(fs_type).into_owned(),
        source: unescape(source),
    })
}

/// The kernel writes space, tab, newline and backslash as `\ooo`.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut i = 0;
    while i < field.len() {
        let octal = field.get(i + 1..i + 4).filter(|d| {
            field[i] == b'\\' && d[0] < b'4' && d.iter().all(|c| (b'0'..=b'7').contains(c))
        });
        match octal {
            Some(d) => {
                out.push((d[0] - b'0') << 6 | (d[1] - b'0') << 3 | (d[2] - b'0'));
                i += 4;
            }
            None => {
                out.push(field[i]);
                i += 1;
            }
        }
    }
    OsString::from_vec(out)
}

/// The path as mountinfo spells it. A dead mount cannot be canonicalised itself, its parent can.
pub fn canonical(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(e) if e.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            let name = path.file_name().unwrap_or(OsStr::new(""));
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            Ok(parent.unwrap_or(Path::new(".")).canonicalize()?.join(name))
        }
        Err(e) => Err(e),
    }
}

/// The topmost mount at exactly this (canonical) path.
pub fn at(path: &Path) -> io::Result<Option<MountPoint>> {
    Ok(list()?.into_iter().rfind(|m| m.path == path))
}

/// Makes `path` (canonical) free to mount on: detaches dead mounts of ours, as many as were
/// stacked there, and refuses to cover one that is alive.
pub fn clear_stale(path: &Path) -> Result<(), MountError> {
    while let Some(found) = at(path).map_err(MountError::mountinfo)? {
        if !found.fs_type.starts_with("fuse") {
            // An ordinary file system whose root is the mountpoint: fine to mount over.
            return Ok(());
        }
        if answers(path) {
            return Err(MountError::AlreadyMounted {
                path: path.to_owned(),
                source_name: found.source.to_string_lossy().into_owned(),
            });
        }
        if !found.is_ours() {
            return Err(MountError::ForeignStale {
                path: path.to_owned(),
                source_name: found.source.to_string_lossy().into_owned(),
            });
        }
        tracing::warn!(path = %path.display(), "detaching the mount of a daemon that died");
        detach(path).map_err(|e| MountError::Unmount {
            path: path.to_owned(),
            reason: e.into(),
        })?;
    }
    Ok(())
}

/// Takes the mount and everything below it out of the tree now; the kernel frees it when its last
/// user is gone.
pub fn detach(path: &Path) -> Result<(), Errno> {
    unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

/// Whether some process still serves the file system at `path`.
fn answers(path: &Path) -> bool {
    let (tx, rx) = mpsc::channel();
    let probed = path.to_owned();
    // A thread of its own: a server that hangs must not hang us.
    let spawned = thread::Builder::new()
        .name("mount-probe".into())
        .spawn(move || {
            let dead = matches!(
                rustix::fs::statfs(&probed),
                Err(Errno::NOTCONN | Errno::CONNABORTED)
            );
            let _ = tx.send(!dead);
        });
    spawned.is_err() || rx.recv_timeout(PROBE).unwrap_or(true)
}

/// Raises how far the kernel reads ahead of a sequential reader. fuser can only lower the kernel's
/// 128 KiB; sysfs can raise it. Needs root; without it reads are only smaller.
pub fn raise_read_ahead(path: &Path, kib: u32) {
    let result = at(path).and_then(|found| {
        let found = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let knob = Path::new("/sys/class/bdi").join(OsStr::from_bytes(found.device.as_bytes()));
        fs::write(knob.join("read_ahead_kb"), kib.to_string())
    });
    if let Err(e) = result {
        tracing::debug!(path = %path.display(), "read-ahead stays at the kernel's default: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_with_optional_fields_and_escapes() {
        let line = br"36 35 0:51 / /mnt/two\040words\134x rw,noatime master:1 shared:2 - fuse tenantfs rw,user_id=0";
        let m = parse_line(line).unwrap();
        assert_eq!(m.path, Path::new(r"/mnt/two words\x"));
        assert_eq!(m.device, "0:51");
        assert!(m.is_ours());
    }

    #[test]
    fn line_without_optional_fields() {
        let m = parse_line(b"22 1 8:1 / / rw - ext4 /dev/sda1 rw").unwrap();
        assert_eq!(
            (m.path.as_path(), m.fs_type.as_str()),
            (Path::new("/"), "ext4")
        );
        assert!(!m.is_ours());
    }

    #[test]
    fn broken_lines_are_skipped() {
        assert_eq!(parse_line(b""), None);
        assert_eq!(parse_line(b"1 2 3:4 / /x rw"), None);
        assert_eq!(unescape(br"a\9b\04"), OsString::from(r"a\9b\04"));
    }

    #[test]
    fn own_namespace_has_a_root() {
        assert!(list().unwrap().iter().any(|m| m.path == Path::new("/")));
    }
}
