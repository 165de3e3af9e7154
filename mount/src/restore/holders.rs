//! Who else can still write through a descriptor that one process just closed?
//!
//! FUSE sends FLUSH at each `close(2)`, and a shell closes early: `cmd > file` opens, duplicates and
//! closes before a byte is written; in `(a; b) > file` each program's exit is a close. Sending the
//! file then would send a part of it. FUSE does not tell who else holds the open file, but whoever
//! does is the closing process itself or the ancestors it inherited from, and `/proc` shows both.
//!
//! Invariant: nobody waits here for the process that waits for the answer. `execve(2)` closes what is
//! marked close-on-exec, and holds a lock meanwhile that `/proc/PID/fd` and `/proc/PID/stat` are read under.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;

use super::process::{is_killed, parent, process_of};

/// Most ancestors looked at; a shell pipeline has three or four.
const MAX_ANCESTORS: usize = 16;
/// Most descriptors looked at in one process.
const MAX_DESCRIPTORS: usize = 4096;
/// How long `/proc` may take. Only a process in the middle of `execve(2)` takes longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a process holds, as far as we may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Yes,
    No,
    /// `/proc` refuses to tell.
    Hidden,
}

/// An open file, and who has it.
#[derive(Debug, Clone, Copy)]
pub struct OpenFile {
    /// Major and minor number of its file system.
    pub device: (u32, u32),
    pub ino: u64,
    /// The process that opened it, if it is known.
    pub opener: Option<u32>,
}

/// What the close of a descriptor means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// Somebody may still write. What cannot be seen, or not in time, counts as that: the release of the last
    /// descriptor, which comes in any case, sends the file then.
    Early,
    /// Nobody can write it any more.
    Last,
    /// A signal ends who writes it.
    Killed,
}

/// What does it mean that `pid` closes a descriptor of `file`? Without a file it is asked only for how `pid`
/// ends.
pub fn close_by(pid: u32, file: Option<OpenFile>) -> Close {
    let (tell, told) = mpsc::sync_channel(1);
    let look = move || {
        let held = match file {
            _ if is_killed(pid) => Err(Close::Killed),
            Some(file) => Ok(any_holds(pid, file)),
            None => Err(Close::Early),
        };
        // Too late, nobody listens any more.
        let _ = tell.send(held);
    };
    let looking = thread::Builder::new()
        .name("restore-holders".into())
        .spawn(look);
    let seen = match looking {
        Ok(_) => told.recv_timeout(PATIENCE).unwrap_or(Err(Close::Early)),
        Err(_) => Err(Close::Early),
    };
    match seen {
        Ok(Held::No) => Close::Last,
        Ok(Held::Yes) => Close::Early,
        Ok(Held::Hidden) => {
            warn_hidden(pid);
            Close::Early
        }
        Err(known) => known,
    }
}

/// Said aloud once: it is so for each file of each such program.
fn warn_hidden(pid: u32) {
    static SAID: AtomicBool = AtomicBool::new(false);
    let text = "it may not be seen who has a file open: its close() did not wait for Microsoft 365. What \
                becomes of it is in restore/.log";
    if SAID.swap(true, Ordering::Relaxed) {
        tracing::debug!(pid, "{text}");
    } else {
        tracing::warn!(pid, "{text} (tenantfs lacks CAP_SYS_PTRACE)");
    }
}

/// Who opened it is the first from whom it can have been inherited. That one above it is hidden (a
/// session's sshd) says nothing, then.
fn any_holds(pid: u32, file: OpenFile) -> Held {
    let mut at = pid;
    let mut seen = Held::No;
    let mut may_have_inherited = true;
    for _ in 0..MAX_ANCESTORS {
        if at <= 1 || at == std::process::id() {
            break;
        }
        match holds(at, file) {
            Held::Yes => return Held::Yes,
            Held::Hidden if may_have_inherited => seen = Held::Hidden,
            Held::Hidden | Held::No => {}
        }
        if file.opener.is_some() && process_of(at) == file.opener {
            may_have_inherited = false;
        }
        match parent(at) {
            Some(parent) => at = parent,
            None => break,
        }
    }
    seen
}

fn holds(pid: u32, file: OpenFile) -> Held {
    let descriptors = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(descriptors) => descriptors,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Held::Hidden,
        // It is gone.
        Err(_) => return Held::No,
    };
    let mut seen = Held::No;
    for descriptor in descriptors.flatten().take(MAX_DESCRIPTORS) {
        match refers(&descriptor.path(), file) {
            Held::Yes => match is_writable(pid, &descriptor.file_name().to_string_lossy()) {
                Held::Yes => return Held::Yes,
                Held::Hidden => seen = Held::Hidden,
                Held::No => {}
            },
            Held::Hidden => seen = Held::Hidden,
            Held::No => {}
        }
    }
    seen
}

/// Is it `file` that this link in `/proc/PID/fd` leads to?
fn refers(link: &Path, file: OpenFile) -> Held {
    // No request comes back to us for this: it takes what the kernel has cached.
    match statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::INO) {
        Ok(s) if s.stx_ino == file.ino && (s.stx_dev_major, s.stx_dev_minor) == file.device => {
            Held::Yes
        }
        // Of another user's FUSE file system the descriptor can be seen, and the file can't.
        Err(Errno::ACCESS | Errno::PERM)
            if fs::read_link(link).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied) =>
        {
            Held::Hidden
        }
        Ok(_) | Err(_) => Held::No,
    }
}

/// `flags:` in fdinfo is octal; the access mode is its lowest two bits, 0 is read-only.
fn is_writable(pid: u32, fd: &str) -> Held {
    let info = match fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")) {
        Ok(info) => info,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Held::Hidden,
        Err(_) => return Held::No,
    };
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let writes = |flags: &str| u64::from_str_radix(flags.trim(), 8).is_ok_and(|f| f & 3 != 0);
    if flags.is_some_and(writes) {
        Held::Yes
    } else {
        Held::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Child, Command, Stdio};

    fn of(file: &tempfile::NamedTempFile) -> OpenFile {
        let meta = file.as_file().metadata().unwrap();
        OpenFile {
            device: (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev())),
            ino: meta.ino(),
            opener: None,
        }
    }

    fn writer(file: &tempfile::NamedTempFile) -> Child {
        let mut sleep = Command::new("sleep");
        sleep.arg("30").stdout(file.reopen().unwrap());
        sleep.spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_child_holds_what_it_inherited_and_not_what_it_reads() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = of(&file);
        let writer = writer(&file);
        let asked = |child: &Child, file| close_by(child.id(), Some(file));
        assert_eq!(asked(&writer, open), Close::Early);
        let other = OpenFile {
            ino: open.ino + 1,
            ..open
        };
        assert_eq!(asked(&writer, other), Close::Last);
        let reader = Command::new("sleep")
            .arg("30")
            .stdin(fs::File::open(file.path()).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(asked(&reader, open), Close::Last);
        end(writer);
        end(reader);
    }

    /// Names the process to look at, and makes a test look at it.
    const LOOK_AT: &str = "TENANTFS_TEST_LOOK_AT";

    /// Runs a test of this module once more in a process that may not look into all others, which root's
    /// otherwise may. It finds `pid` in [`LOOK_AT`].
    fn run_with_less(test: &str, pid: &str) {
        let done = Command::new("setpriv")
            .args(["--bounding-set=-sys_ptrace", "--inh-caps=-all"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", &format!("restore::holders::tests::{test}")])
            .env(LOOK_AT, pid)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn who_cannot_be_looked_at_may_still_write() {
        if let Ok(pid) = std::env::var(LOOK_AT) {
            let pid = pid.parse().unwrap();
            let nothing_of_it = of(&tempfile::NamedTempFile::new().unwrap());
            assert_eq!(holds(pid, nothing_of_it), Held::Hidden);
            assert_eq!(close_by(pid, Some(nothing_of_it)), Close::Early);
            return;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: this needs root");
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let child = writer(&file);
        let test = "who_cannot_be_looked_at_may_still_write";
        run_with_less(test, &child.id().to_string());
        end(child);
    }

    #[test]
    fn who_is_hidden_above_the_one_that_opened_it_does_not_matter() {
        if let Ok(pid) = std::env::var(LOOK_AT) {
            let pid = pid.parse().unwrap();
            let file = of(&tempfile::NamedTempFile::new().unwrap());
            let opened_there = OpenFile {
                opener: Some(pid),
                ..file
            };
            assert_eq!(holds(pid, file), Held::No);
            assert_eq!(any_holds(pid, file), Held::Hidden);
            assert_eq!(any_holds(pid, opened_there), Held::No);
            return;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: this needs root");
            return;
        }
        // A program without any capability, below a shell with all.
        let script =
            "setpriv --inh-caps=-all --bounding-set=-all sleep 30 </dev/null >/dev/null 2>&1 &
                      while ! grep -q sleep /proc/$!/comm; do sleep 0.01; done; echo $!; wait";
        let mut shell = Command::new("bash")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        let mut said = std::io::BufReader::new(shell.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut pid).unwrap();
        let test = "who_is_hidden_above_the_one_that_opened_it_does_not_matter";
        run_with_less(test, pid.trim());
        let _ = Command::new("kill").arg(pid.trim()).status();
        end(shell);
    }

    #[test]
    fn who_is_gone_holds_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        assert_eq!(close_by(gone.id(), Some(of(&file))), Close::Last);
    }
}
