//! Everybody's tools: copying programs, rsync, shells, editors.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;

use crate::common::{errno, names};
use crate::scene::{INBOX, mounted};

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
fn programs_started_while_a_file_is_open_change_nothing() {
    let m = mounted();
    // Python's descriptors are closed by `execve(2)` itself.
    let script = format!(
        "import subprocess\n\
         with open('restore/{INBOX}/parts.eml', 'w') as file:\n\
         \x20   for part in 'one', 'two':\n\
         \x20       print(part, file=file, flush=True)\n\
         \x20       subprocess.run(['true'], close_fds=False, check=True, timeout=30)\n"
    );
    m.shell_ok(&format!("python3 -c \"{script}\""));
    let pushed = m.fake.one();
    assert_eq!(String::from_utf8(pushed.bytes).unwrap(), "one\ntwo\n");
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
