//! Who else can still write through a descriptor that one process just closed?
//!
//! FUSE sends FLUSH at each `close(2)`, and a shell closes early: `cmd > file` opens, duplicates and
//! closes before a byte is written; in `(a; b) > file` each program's exit is a close. Sending the
//! file then would send a part of it. FUSE does not tell who else holds the open file, but whoever
//! does is the closing process itself or the ancestors it inherited from, and `/proc` shows both.
//!
//! Invariant: nobody waits here for the process that waits for the answer. `execve(2)` closes what is
//! marked close-on-exec, and holds a lock meanwhile that links in `/proc/PID/fd` are read under.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// Most ancestors looked at; a shell pipeline has three or four.
const MAX_ANCESTORS: usize = 16;
/// Most descriptors looked at in one process.
const MAX_DESCRIPTORS: usize = 4096;
/// How long `/proc` may take. Only a process in the middle of `execve(2)` takes longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does `pid`, or a process it descends from, have inode `ino` of device `device` open for writing?
/// What cannot be seen counts as no; what cannot be seen in time as yes: the release of the last
/// descriptor, which comes in any case, sends the file then.
pub fn may_still_write(pid: u32, device: (u32, u32), ino: u64) -> bool {
    let (tell, told) = mpsc::sync_channel(1);
    let look = move || {
        // Too late, nobody listens any more.
        let _ = tell.send(any_holds(pid, device, ino));
    };
    match thread::Builder::new()
        .name("restore-holders".into())
        .spawn(look)
    {
        Ok(_) => told.recv_timeout(PATIENCE).unwrap_or(true),
        Err(_) => true,
    }
}

fn any_holds(pid: u32, device: (u32, u32), ino: u64) -> bool {
    let mut at = pid;
    for _ in 0..MAX_ANCESTORS {
        if at <= 1 || at == std::process::id() {
            return false;
        }
        if holds(at, device, ino) {
            return true;
        }
        match parent(at) {
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}

fn holds(pid: u32, device: (u32, u32), ino: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .take(MAX_DESCRIPTORS)
        .any(|descriptor| {
            // No request comes back to us for this: it takes what the kernel has cached.
            let stat = statx(
                CWD,
                descriptor.path(),
                AtFlags::STATX_DONT_SYNC,
                StatxFlags::INO,
            );
            stat.is_ok_and(|s| s.stx_ino == ino && (s.stx_dev_major, s.stx_dev_minor) == device)
                && is_writable(pid, &descriptor.file_name().to_string_lossy())
        })
}

/// `flags:` in fdinfo is octal; the access mode is its lowest two bits, 0 is read-only.
fn is_writable(pid: u32, fd: &str) -> bool {
    let Ok(info) = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")) else {
        return false;
    };
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .is_some_and(|flags| u64::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & 3 != 0))
}

/// Field 4 of `/proc/PID/stat`, counted after the command's closing parenthesis.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_holds_what_it_inherited_and_not_what_it_reads() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let meta = file.as_file().metadata().unwrap();
        let device = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
        let mut writer = Command::new("sleep")
            .arg("30")
            .stdout(file.reopen().unwrap())
            .spawn()
            .unwrap();
        assert!(may_still_write(writer.id(), device, meta.ino()));
        assert!(!may_still_write(writer.id(), device, meta.ino() + 1));
        let mut reader = Command::new("sleep")
            .arg("30")
            .stdin(fs::File::open(file.path()).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert!(!may_still_write(reader.id(), device, meta.ino()));
        for child in [&mut writer, &mut reader] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn parents_are_found() {
        assert_eq!(
            parent(std::process::id()),
            Some(std::os::unix::process::parent_id())
        );
        assert_eq!(parent(0), None);
    }
}
