//! What `/proc` tells of a process that sends requests. FUSE names it by the thread that sends.
//!
//! Of a process in the middle of `execve(2)` some of it is told only when that is over.

use std::fs;
use std::io::ErrorKind;

/// It is on its way out: what it closes now, it does not close by its own decision.
const PF_EXITING: u64 = 0x4;
/// A signal ended it. Also of the threads that an ordinary exit of another one ends.
const PF_SIGNALED: u64 = 0x400;

/// Some of `/proc/PID/stat` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    flags: u64,
    /// As `wait(2)` will tell it; 0 to who may not look into the process.
    status: u32,
}

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// A command may have spaces and parentheses in it. Its closing one is the last; field 3 follows.
    fn parse(text: &str) -> Option<Stat> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3);
        Some(Stat {
            parent: field(4)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            status: field(52)?.parse().ok()?,
        })
    }
}

/// The process it descends from.
pub fn parent(pid: u32) -> Option<u32> {
    Stat::of(pid).map(|stat| stat.parent)
}

/// The process that a thread is of.
pub fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

/// Is the process being ended by a signal, so that what it was doing is not complete?
pub fn is_killed(thread: u32) -> bool {
    let Some(stat) = Stat::of(thread).filter(|stat| stat.flags & PF_EXITING != 0) else {
        return false;
    };
    if !is_hidden(thread) {
        return ends_by_signal(stat.status);
    }
    // Without the status: an ordinary exit does not mark the thread that it comes from, which is nearly
    // always the first one.
    let marked = |stat: Stat| stat.flags & PF_SIGNALED != 0;
    marked(stat) && process_of(thread).and_then(Stat::of).is_some_and(marked)
}

/// Of a status of `wait(2)`: the lowest seven bits are the signal.
fn ends_by_signal(status: u32) -> bool {
    status & 0x7f != 0
}

/// Another user's process, or one that may do more than we.
fn is_hidden(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe"))
        .is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_command_may_be_called_anything() {
        let mut line = "7 (a) R 1 (b) S 42 7 7 0 -1 1028 ".to_owned();
        line += &"0 ".repeat(42);
        line += "9";
        let stat = Stat {
            parent: 42,
            flags: 0x404,
            status: 9,
        };
        assert_eq!(Stat::parse(&line), Some(stat));
        assert_eq!(Stat::parse("7 (a) R 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn parents_are_found() {
        let here = std::process::id();
        assert_eq!(parent(here), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent(0), None);
    }

    #[test]
    fn a_thread_is_of_its_process() {
        let here = std::process::id();
        let thread = || {
            let at = fs::read_link("/proc/thread-self").unwrap();
            at.file_name().unwrap().to_str().unwrap().parse().unwrap()
        };
        let other = std::thread::spawn(move || (thread(), process_of(thread())));
        let (other, process): (u32, _) = other.join().unwrap();
        assert_ne!(other, here);
        assert_eq!(process, Some(here));
        assert_eq!(process_of(here), Some(here));
    }

    /// Nobody waits for the children meanwhile, so `/proc` still has them.
    #[test]
    fn a_signal_is_told_from_an_exit() {
        assert!(!is_killed(std::process::id()));
        for (script, killed) in [
            ("kill -KILL $$", true),
            ("kill -INT $$", true),
            ("exit 0", false),
            ("exit 130", false),
        ] {
            // Started in the background, these tests ignore SIGINT, and so would their children.
            let mut child = Command::new("env")
                .args(["--default-signal=INT", "bash", "-c", script])
                .spawn()
                .unwrap();
            let pid = child.id();
            let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while Stat::of(pid).is_none_or(|stat| stat.flags & PF_EXITING == 0) {
                assert!(std::time::Instant::now() < until, "{script}");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert_eq!(is_killed(pid), killed, "{script}");
            child.wait().unwrap();
        }
    }
}
