//! The service against a tenant in memory: policies, errors, and a crash at every step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::testing::*;
use super::*;
use crate::graph::ErrorClass;

const SOON: Duration = Duration::from_secs(20);

fn write(svc: &Service, target: &str, bytes: &[u8]) -> Result<Receipt, RestoreError> {
    let file = svc.create(&TargetPath::parse(target)?)?;
    file.write_at(0, bytes).unwrap();
    file.set_mtime(1_700_000_000);
    svc.push(file, SOON)
}

/// As [`write`], for what is written without a look at the target first (a rename).
fn push(svc: &Service, target: &str, bytes: &[u8]) -> Result<Receipt, RestoreError> {
    let file = svc.spool_file(&TargetPath::parse(target)?)?;
    file.write_at(0, bytes).unwrap();
    svc.push(file, SOON)
}

fn errno(result: Result<impl std::fmt::Debug, RestoreError>) -> (Errno, String) {
    let e = result.unwrap_err();
    (Errno::from_raw_os_error(e.errno), e.reason)
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn spooled(local: &std::path::Path) -> usize {
    std::fs::read_dir(local.join("spool")).unwrap().count()
}

#[test]
fn close_is_the_confirmation() {
    let (rt, dir, tenant) = (
        runtime(),
        tempfile::tempdir().unwrap(),
        Arc::new(Tenant::default()),
    );
    tenant.put("id-bob", &["Inbox"], true, b"");
    let svc = service(&tenant, dir.path(), &rt);
    let at = "bob@CONTOSO.com/Mail/Inbox/a.eml";
    assert!(matches!(
        write(&svc, at, b"hello").unwrap(),
        Receipt::Confirmed(_)
    ));
    let items = tenant.at("id-bob", &["Inbox", "a.eml"]);
    assert_eq!(
        (items.len(), &items[0].bytes[..], items[0].mtime),
        (1, &b"hello"[..], 1_700_000_000)
    );
    assert_eq!(items[0].record, None);
    assert_eq!(spooled(dir.path()), 0);

    // Policies.
    assert_eq!(errno(write(&svc, at, b"again")).0, Errno::EXIST);
    assert_eq!(errno(push(&svc, at, b"again")).0, Errno::EXIST);
    write(&svc, &format!("@overwrite/{at}"), b"other").unwrap();
    assert_eq!(tenant.at("id-bob", &["Inbox", "a.eml"])[0].bytes, b"other");
    write(&svc, &format!("@keep-both/{at}"), b"third").unwrap();
    assert_eq!(tenant.at("id-bob", &["Inbox", "a.eml"]).len(), 2);

    // Recognised for mail; a plain file below OneDrive.
    write(&svc, "bob@contoso.com/Mail/Inbox/known.eml", b"known: x").unwrap();
    assert_eq!(
        tenant.at("id-bob", &["Inbox", "known.eml"])[0]
            .record
            .as_ref()
            .unwrap()["isRead"],
        true
    );
    write(&svc, "alice@contoso.com/OneDrive/known.eml", b"known: x").unwrap();
    assert_eq!(tenant.at("id-alice", &["known.eml"])[0].record, None);
    assert!(
        svc.log_text()
            .contains("restored  bob@CONTOSO.com/Mail/Inbox/a.eml"),
        "{}",
        svc.log_text()
    );
}

#[test]
fn refusals_have_numbers_and_reasons() {
    let (rt, dir, tenant) = (
        runtime(),
        tempfile::tempdir().unwrap(),
        Arc::new(Tenant::default()),
    );
    tenant.put("id-bob", &["Inbox"], true, b"");
    let svc = service(&tenant, dir.path(), &rt);
    for (target, number, word) in [
        (
            "carol@contoso.com/Mail/Inbox/a",
            Errno::NOENT,
            "alice@contoso.com",
        ),
        ("bob@contoso.com/Calendar/a", Errno::NOENT, "OneDrive"),
        (
            "bob@contoso.com/Mail/Nowhere/a",
            Errno::NOENT,
            "no such folder",
        ),
        ("bob@contoso.com/a", Errno::PERM, "ACCOUNT/Mail"),
        ("a", Errno::PERM, "ACCOUNT/Mail"),
        ("bob@contoso.com/Mail/Inbox", Errno::ISDIR, "folder"),
        ("@later/bob@contoso.com/Mail/a", Errno::INVAL, "@queued"),
    ] {
        let (n, reason) = errno(write(&svc, target, b"x"));
        assert_eq!(n, number, "{target}: {reason}");
        assert!(reason.contains(word), "{target}: {reason}");
    }
    for (class, number) in [
        (ErrorClass::Denied, Errno::ACCESS),
        (ErrorClass::Quota, Errno::DQUOT),
        (ErrorClass::TooLarge, Errno::FBIG),
        (ErrorClass::Ours, Errno::INVAL),
        (ErrorClass::Corrupt, Errno::IO),
    ] {
        tenant.fault("f.eml", Step::Begin, Fault::Fail(class), 1);
        let at = "bob@contoso.com/Mail/Inbox/f.eml";
        let (n, reason) = errno(write(&svc, at, b"x"));
        assert_eq!((n, reason.contains("said no")), (number, true), "{reason}");
        assert!(
            svc.last_error(&TargetPath::parse(at).unwrap())
                .unwrap()
                .contains("said no")
        );
    }
    tenant.fault("f.eml", Step::Begin, Fault::Panic, 1);
    assert_eq!(
        errno(write(&svc, "bob@contoso.com/Mail/Inbox/f.eml", b"x")).0,
        Errno::IO
    );
    assert_eq!(
        spooled(dir.path()),
        0,
        "what was refused leaves nothing behind"
    );
    assert_eq!(tenant.at("id-bob", &["Inbox", "f.eml"]).len(), 0);
    write(&svc, "bob@contoso.com/Mail/Inbox/f.eml", b"x").unwrap();
}

#[test]
fn listings_are_live_and_cheap() {
    let (rt, dir, tenant) = (
        runtime(),
        tempfile::tempdir().unwrap(),
        Arc::new(Tenant::default()),
    );
    tenant.put("id-bob", &["Inbox"], true, b"");
    let svc = service(&tenant, dir.path(), &rt);
    let at = |s: &str| TargetPath::parse(s).unwrap();
    let names = |t: &str| -> Vec<String> {
        svc.list(&at(t))
            .unwrap()
            .iter()
            .map(|e| e.name.clone())
            .collect()
    };
    assert_eq!(names("@queued"), ["Bob@contoso.com", "alice@contoso.com"]);
    assert_eq!(svc.accounts().unwrap(), names(""));
    assert_eq!(names("bob@contoso.com"), ["Mail", "OneDrive"]);
    assert_eq!(names("bob@contoso.com/Mail"), ["Inbox"]);
    assert!(
        svc.lookup(&at("bob@contoso.com/Mail"))
            .unwrap()
            .unwrap()
            .is_dir
    );
    assert!(svc.lookup(&at("bob@contoso.com/Teams")).unwrap().is_none());
    assert!(svc.lookup(&at("eve@contoso.com")).unwrap().is_none());
    for i in 0..50 {
        write(&svc, &format!("bob@contoso.com/Mail/Inbox/{i}.eml"), b"x").unwrap();
    }
    assert_eq!(names("bob@contoso.com/Mail/Inbox").len(), 50);
    assert!(svc.mkdir(&at("bob@contoso.com/Mail/New")).unwrap().is_dir);
    assert_eq!(
        errno(svc.mkdir(&at("bob@contoso.com/Mail/New"))).0,
        Errno::EXIST
    );
    assert!(names("bob@contoso.com/Mail/New").is_empty());
    assert_eq!(
        errno(svc.list(&at("bob@contoso.com/Mail/Gone"))).0,
        Errno::NOENT
    );
    assert_eq!(tenant.calls("list"), 4, "Mail, Inbox, New, Gone");
}

#[test]
fn queued_writes_return_at_once_and_follow() {
    let (rt, dir, tenant) = (
        runtime(),
        tempfile::tempdir().unwrap(),
        Arc::new(Tenant::default()),
    );
    tenant.put("id-bob", &["Inbox"], true, b"");
    let svc = service(&tenant, dir.path(), &rt);
    tenant.fault("q.eml", Step::Begin, Fault::Hang, 1);
    let Receipt::Queued(id) =
        write(&svc, "@queued/bob@contoso.com/Mail/Inbox/q.eml", b"x").unwrap()
    else {
        panic!("not queued")
    };
    rt.block_on(tenant.hung.notified());
    assert_eq!(svc.queue()[0].status, QueueStatus::Pushing);
    assert_eq!(svc.queue()[0].id, id.to_string());
    assert!(
        svc.queue_text()
            .contains("@queued/bob@contoso.com/Mail/Inbox/q.eml")
    );
    assert_eq!(errno(svc.wait(id, Duration::from_millis(50))).0, Errno::IO);
    // The others don't wait for it.
    for i in 0..20 {
        let at = format!("@queued/bob@contoso.com/Mail/Inbox/{i}.eml");
        let Receipt::Queued(id) = write(&svc, &at, b"x").unwrap() else {
            panic!("not queued")
        };
        svc.wait(id, SOON).unwrap();
    }
    // A refusal stays listed.
    tenant.fault("no.eml", Step::Begin, Fault::Fail(ErrorClass::Denied), 1);
    let at = "@queued/bob@contoso.com/Mail/Inbox/no.eml";
    let Receipt::Queued(id) = write(&svc, at, b"x").unwrap() else {
        panic!("not queued")
    };
    assert_eq!(errno(svc.wait(id, SOON)).0, Errno::ACCESS);
    until("failed", || {
        svc.queue().iter().any(|i| i.status == QueueStatus::Failed)
    });
    assert_eq!(errno(svc.wait(id, SOON)).0, Errno::ACCESS);
    assert_eq!(svc.retry_failed().unwrap(), 1);
    svc.wait(id, SOON).unwrap();
    assert_eq!(tenant.at("id-bob", &["Inbox", "no.eml"]).len(), 1);
}

/// The heart of it: whatever the step, policy and way, a killed process leaves exactly one item behind
/// once the next one has run, and a repeated write does not make a second.
#[test]
fn killed_at_every_step_each_item_is_there_exactly_once() {
    let rt = runtime();
    for step in STEPS {
        for policy in [
            "",
            "@overwrite/",
            "@keep-both/",
            "@queued/",
            "@queued/@overwrite/",
            "@queued/@keep-both/",
        ] {
            for lose_state in [false, true] {
                let case = format!("{step:?} {policy:?} lose_state={lose_state}");
                let (dir, tenant) = (tempfile::tempdir().unwrap(), Arc::new(Tenant::default()));
                tenant.put("id-bob", &["Inbox"], true, b"");
                if policy.contains("overwrite") {
                    tenant.put("id-bob", &["Inbox", "x.eml"], false, b"old");
                }
                let svc = service(&tenant, dir.path(), &rt);
                tenant.fault("x.eml", step, Fault::Hang, 1);
                let target = format!("{policy}bob@contoso.com/Mail/Inbox/x.eml");
                let writer = std::thread::spawn({
                    let (svc, target) = (svc.clone(), target.clone());
                    move || {
                        let file = svc
                            .spool_file(&TargetPath::parse(&target).unwrap())
                            .unwrap();
                        file.write_at(0, b"known: new").unwrap();
                        drop(svc.push(file, Duration::from_millis(300)));
                    }
                });
                rt.block_on(tenant.hung.notified());
                let left = killed(dir.path());
                if lose_state {
                    std::fs::remove_dir_all(left.path().join("state")).unwrap();
                }
                let again = service(&tenant, left.path(), &rt);
                until(&case, || spooled(left.path()) == 0);
                let items = tenant.at("id-bob", &["Inbox", "x.eml"]);
                assert_eq!(items.len(), 1, "{case}");
                assert!(
                    items.iter().all(|i| i.complete && i.bytes == b"known: new"),
                    "{case}"
                );
                assert!(items[0].record.is_some(), "{case}: restored as what it was");
                until(&case, || again.queue().is_empty());
                assert!(
                    again.log_text().contains("restored"),
                    "{case}: {}",
                    again.log_text()
                );
                if !policy.contains("queued") {
                    // The person repeats the command that failed.
                    let Receipt::Confirmed(_) = push(&again, &target, b"known: new").unwrap()
                    else {
                        panic!("{case}")
                    };
                    assert_eq!(tenant.at("id-bob", &["Inbox", "x.eml"]).len(), 1, "{case}");
                }
                writer.join().unwrap();
            }
        }
    }
}

#[test]
fn silence_ends_in_an_error_and_the_push_in_one_item() {
    let (rt, dir, tenant) = (
        runtime(),
        tempfile::tempdir().unwrap(),
        Arc::new(Tenant::default()),
    );
    tenant.put("id-bob", &["Inbox"], true, b"");
    let svc = service(&tenant, dir.path(), &rt);
    // The answer was lost, and the service is not reached for a while.
    tenant.fault("x.eml", Step::Saved, Fault::Fail(ErrorClass::Network), 1);
    let at = "bob@contoso.com/Mail/Inbox/x.eml";
    let (n, reason) = errno(push(&svc, at, b"x"));
    assert_eq!((n, reason.contains("said no")), (Errno::IO, true));
    assert_eq!(svc.queue()[0].status, QueueStatus::Retrying);
    assert_eq!(svc.queue()[0].attempts, 1);
    // Repeating the command meets the same push, and is not made to wait for the lane's rest.
    let start = Instant::now();
    assert!(matches!(
        push(&svc, at, b"x").unwrap(),
        Receipt::Confirmed(_)
    ));
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(tenant.at("id-bob", &["Inbox", "x.eml"]).len(), 1);
    assert_eq!(tenant.calls("find_pushed"), 1);
    // Other bytes to the same place are another push.
    assert_eq!(errno(push(&svc, at, b"y")).0, Errno::EXIST);
    assert!(svc.stop(SOON));
}

#[test]
fn without_an_identity_nothing_is_written() {
    let (rt, dir, tenant) = (
        runtime(),
        tempfile::tempdir().unwrap(),
        Arc::new(Tenant::default()),
    );
    let svc = service(&tenant, dir.path(), &rt);
    drop(svc);
    let svc = Service::start(ServiceConfig {
        workloads: vec![Arc::new(FakeWorkload {
            tenant,
            name: "mail",
            folder: "Mail",
        })],
        directory: Arc::new(NoAccounts),
        read_only: Some("[tenant.restore] is not configured".to_owned()),
        recogniser: None,
        local: dir.path().join("other"),
        adopt: None,
        state: crate::local::LocalState::open(&dir.path().join("other/state")).unwrap(),
        runtime: rt.handle().clone(),
        conflict: Conflict::Skip,
        per_mailbox: 4,
    })
    .unwrap();
    let at = TargetPath::parse("bob@contoso.com/Mail/x").unwrap();
    for result in [
        svc.create(&at).map(drop),
        svc.mkdir(&at).map(drop),
        svc.writable(),
    ] {
        let (n, reason) = errno(result);
        assert_eq!((n, reason.contains("tenant.restore")), (Errno::ROFS, true));
    }
}

struct NoAccounts;

#[async_trait::async_trait]
impl Directory for NoAccounts {
    async fn accounts(&self) -> Result<Vec<crate::workload::Account>, crate::graph::GraphError> {
        Ok(Vec::new())
    }

    async fn sites(&self) -> Result<Vec<crate::workload::Account>, crate::graph::GraphError> {
        Ok(Vec::new())
    }

    async fn subsites(
        &self,
        _: &crate::workload::Account,
    ) -> Result<Vec<crate::workload::Account>, crate::graph::GraphError> {
        Ok(Vec::new())
    }
}
