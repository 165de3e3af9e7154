//! Programs that end before they close what they write, and a mount that does.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::errno;
use crate::scene::{INBOX, Mounted, mounted};

/// Long enough for a push that must not happen.
const A_WHILE: Duration = Duration::from_millis(500);

/// A program that has written half of `restore/{target}` and waits for the rest.
fn half_written(m: &Mounted, target: &str) -> Child {
    // Started in the background, these tests ignore SIGINT, and so would their children.
    let mut child = Command::new("env")
        .args(["--default-signal=INT", "bash", "-c"])
        .arg(format!("exec cat > 'restore/{target}'"))
        .current_dir(m.fixture.mountpoint())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"half").unwrap();
    let written = || fs::metadata(m.restore().join(target)).is_ok_and(|meta| meta.len() == 4);
    let until = Instant::now() + Duration::from_secs(20);
    while !written() {
        assert!(Instant::now() < until, "{target} was not written");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn kill(mut child: Child, signal: Signal) {
    kill_process(Pid::from_child(&child), signal).unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it ended by itself");
}

#[test]
fn what_a_killed_program_wrote_is_not_sent() {
    let m = mounted();
    for (signal, target) in [
        (Signal::KILL, format!("{INBOX}/killed.eml")),
        (Signal::INT, format!("{INBOX}/interrupted.eml")),
        (Signal::TERM, format!("@overwrite/{INBOX}/live.eml")),
    ] {
        kill(half_written(&m, &target), signal);
        let said = format!("{target}: a signal ended the program");
        assert!(m.log().contains(&said), "{}", m.log());
    }
    std::thread::sleep(A_WHILE);
    assert!(m.fake.pushed().is_empty(), "{:?}", m.fake.pushed());
    // Nothing stands in the way of writing it again.
    let again = m.restore().join("@overwrite").join(INBOX).join("live.eml");
    fs::write(again, "whole").unwrap();
    assert_eq!(m.fake.one().bytes, b"whole");
}

#[test]
fn nor_is_what_a_killed_program_wrote_for_a_shell_that_lives() {
    let m = mounted();
    m.shell(&format!(
        "(echo half; sleep 2) | env --default-signal=INT timeout -s INT 0.5 cat > restore/{INBOX}/half.eml"
    ));
    m.shell(&format!(
        "(echo one; bash -c 'echo half; kill -KILL $$') > restore/{INBOX}/group.eml"
    ));
    std::thread::sleep(A_WHILE);
    assert!(m.fake.pushed().is_empty(), "{:?}", m.fake.pushed());
    for name in ["half.eml", "group.eml"] {
        let said = format!("{INBOX}/{name}: a signal ended the program");
        assert!(m.log().contains(&said), "{}", m.log());
    }
}

#[test]
fn half_a_file_gets_no_real_name() {
    let m = mounted();
    let temporary = format!("{INBOX}/.x.AbCdEf");
    kill(half_written(&m, &temporary), Signal::KILL);
    let renamed = fs::rename(m.restore().join(temporary), m.inbox().join("x.eml"));
    assert_eq!(errno(renamed), Errno::IO.raw_os_error());
    assert!(m.fake.pushed().is_empty());
}

#[test]
fn an_ordinary_end_closes_the_file() {
    let m = mounted();
    let write = |name: &str| {
        format!(
            "import os, threading, time\n\
             fd = os.open('restore/{INBOX}/{name}', os.O_WRONLY | os.O_CREAT)\n\
             os.write(fd, b'whole')\n"
        )
    };
    // The exit of one thread ends the others by a signal of the kernel's own.
    let sleeping = "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n";
    let elsewhere = "threading.Thread(target=lambda: os._exit(0)).start()\ntime.sleep(60)\n";
    for (name, end) in [
        ("plain.eml", "os._exit(3)\n".to_owned()),
        (
            "threads.eml",
            format!("{}os._exit(0)\n", sleeping.repeat(3)),
        ),
        ("elsewhere.eml", format!("{sleeping}{elsewhere}")),
    ] {
        m.shell(&format!("python3 -c \"{}{end}\"", write(name)));
    }
    let until = Instant::now() + Duration::from_secs(20);
    while m.fake.pushed().len() < 3 {
        assert!(Instant::now() < until, "{:?} {}", m.fake.pushed(), m.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    for pushed in m.fake.pushed() {
        assert_eq!(pushed.bytes, b"whole", "{}", pushed.target);
    }
}

#[test]
fn what_waits_for_a_rename_is_queued_when_the_mount_goes_down() {
    let m = mounted();
    fs::write(m.inbox().join("notes~"), "text").unwrap();
    let overwritten = m.restore().join("@overwrite").join(INBOX);
    fs::write(overwritten.join("~$full.docx"), "text").unwrap();
    kill(half_written(&m, &format!("{INBOX}/cut~")), Signal::KILL);
    assert!(m.fake.pushed().is_empty());
    let fake = m.unmount();
    let pushed = fake.one();
    assert_eq!(pushed.target, format!("@queued/{INBOX}/notes~"));
    assert_eq!(
        (pushed.bytes.as_slice(), pushed.waited),
        (&b"text"[..], false)
    );
    // What the journal does not take is at least told.
    let said = fake.said();
    assert!(said.contains("when the mount went down"), "{said}");
    assert!(said.contains("the mailbox is full"), "{said}");
}
