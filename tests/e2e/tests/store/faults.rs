//! A store that refuses, fails, breaks off, or does not answer at all: a clear error within a bound,
//! nothing lost, and work goes on when it is back.

use std::fs;
use std::io::Read;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::garage::SECRET_ACCESS_KEY;
use e2e::proxy::{Fault, Rule};
use e2e::{Mounted, text};
use graph_emulator::Options;

use super::{Stage, contents, noise};

/// What breaks, and what is said about it.
const FAULTS: [(Fault, &str); 5] = [
    (Fault::Answer(403, "AccessDenied"), "refused it (403"),
    (Fault::Answer(500, "InternalError"), "does not work (500"),
    (Fault::Answer(503, "SlowDown"), "does not work (503"),
    (Fault::Hang, "does not work (no answer in time"),
    (Fault::Reset, "does not work ("),
];
/// For what must fail alone: a healthy store on a busy machine may take longer than this.
const IMPATIENT: &str = "timeout = \"2s\"\ngive_up_after = \"4s\"\n";
/// For a mount, which does both.
const RATHER_IMPATIENT: &str = "timeout = \"5s\"\ngive_up_after = \"10s\"\n";
/// Several operations may each take their time before one fails; the mount's own deadline is 30 s.
const BOUND: Duration = Duration::from_secs(60);

fn options() -> Options {
    Options {
        accounts: 1,
        messages: 10,
        files: 3,
        ..Options::default()
    }
}

/// A backup that gives up soon.
fn impatient_backup(stage: &Stage) -> Result<Output> {
    stage.tenant.write_config(IMPATIENT)?;
    let output = stage.tenant.run(&["backup"])?;
    stage.tenant.write_config("")?;
    Ok(output)
}

fn everywhere(fault: Fault) -> Rule {
    Rule {
        part: "/repository",
        fault,
    }
}

#[test]
fn commands_say_what_is_wrong_with_the_store_and_go_on_when_it_is_back() -> Result<()> {
    let Some(stage) = Stage::start(1, options(), "")? else {
        return Ok(());
    };
    stage.snapshot()?;
    for (n, (fault, expected)) in FAULTS.into_iter().enumerate() {
        stage.put(&format!("new-{n}.bin"), noise(n as u64, 300_000))?;
        // Reading works and storing packs does not; then nothing works.
        for rule in [
            Rule {
                part: "PUT /tenantfs/repository/data",
                fault,
            },
            everywhere(fault),
        ] {
            stage.proxy.set_rules(&[rule]);
            let begin = Instant::now();
            let failed = impatient_backup(&stage)?;
            let said = text(&failed.stderr);
            ensure!(failed.status.code() == Some(1), "{rule:?}: {said}");
            ensure!(said.contains(expected), "{rule:?}: {said}");
            ensure!(!said.contains(SECRET_ACCESS_KEY), "a secret: {said}");
            ensure!(
                begin.elapsed() < BOUND,
                "{rule:?} took {:?}",
                begin.elapsed()
            );
        }
        stage.proxy.set_rules(&[]);
        stage.snapshot()?;
    }
    stage.verify()
}

#[test]
fn a_slow_store_whose_answers_break_off_loses_nothing() -> Result<()> {
    let Some(stage) = Stage::start(1, options(), "")? else {
        return Ok(());
    };
    stage.snapshot()?;
    let mut large = Vec::new();
    // What is read before, what is listed, and what a large upload in parts is told.
    let parts = [
        "GET /tenantfs/repository/",
        "GET /tenantfs?",
        "POST /tenantfs/repository/data",
    ];
    for (n, part) in parts.into_iter().enumerate() {
        large.push((format!("large-{n}.bin"), noise(n as u64, 20 << 20)));
        stage.put(&large[n].0, large[n].1.clone())?;
        stage.proxy.set_latency(Duration::from_millis(100));
        stage.proxy.set_rules(&[Rule {
            part,
            fault: Fault::Truncate,
        }]);
        stage.forget_local_copies()?;
        let begin = Instant::now();
        let failed = impatient_backup(&stage)?;
        let said = text(&failed.stderr);
        ensure!(failed.status.code() == Some(1), "{part}: {said}");
        ensure!(said.contains("does not work ("), "{part}: {said}");
        ensure!(begin.elapsed() < BOUND, "{part}: {:?}", begin.elapsed());
        stage.proxy.set_rules(&[]);
        stage.proxy.set_latency(Duration::ZERO);
        stage.snapshot()?;
    }
    let mount = stage.tenant.mount()?;
    let drive = mount.path("snapshots/latest").join(stage.upn()?);
    for (name, bytes) in &large {
        ensure!(fs::read(drive.join("OneDrive").join(name))? == *bytes);
    }
    drop(mount);
    stage.verify()
}

#[test]
fn a_mount_answers_with_an_error_in_time_and_works_again_afterwards() -> Result<()> {
    let Some(stage) = Stage::start(1, options(), "")? else {
        return Ok(());
    };
    let faults: Vec<Fault> = FAULTS
        .into_iter()
        .map(|(fault, _)| fault)
        .chain([Fault::Truncate])
        .collect();
    for n in 0..faults.len() {
        stage.put(&format!("file-{n}.bin"), noise(n as u64, 3 << 20))?;
    }
    let snapshot = stage.snapshot()?;
    stage.forget_local_copies()?;
    stage.tenant.write_config(RATHER_IMPATIENT)?;
    let mount = stage.tenant.mount()?;
    let drive = mount
        .path("snapshots")
        .join(snapshot)
        .join(stage.upn()?)
        .join("OneDrive");
    ensure!(fs::read_dir(&drive)?.count() > faults.len());
    for (n, fault) in faults.into_iter().enumerate() {
        stage.proxy.set_rules(&[Rule {
            part: "/repository/data",
            fault,
        }]);
        let begin = Instant::now();
        let mut file = fs::File::open(drive.join(format!("file-{n}.bin")))?;
        let mut bytes = Vec::new();
        let broken = file.read_to_end(&mut bytes);
        // A block that came with another file's is read without the store.
        let whole = noise(n as u64, 3 << 20);
        match broken {
            Err(e) => ensure!(e.raw_os_error() == Some(5), "{fault:?}: {e}"),
            Ok(_) => ensure!(bytes == whole, "{fault:?}: other bytes"),
        }
        ensure!(
            begin.elapsed() < BOUND,
            "{fault:?} took {:?}",
            begin.elapsed()
        );
        stage.proxy.set_rules(&[]);
        ensure!(
            fs::read(drive.join(format!("file-{n}.bin")))? == whole,
            "{fault:?}: not the same again"
        );
    }
    Ok(())
}

#[test]
fn a_daemon_backs_up_when_the_store_is_back() -> Result<()> {
    let Some(stage) = Stage::start(1, options(), "")? else {
        return Ok(());
    };
    let first = stage.snapshot()?;
    let tenant = &stage.tenant;
    tenant.write_config(&format!("{IMPATIENT}[protect]\nschedule = \"1s\"\n"))?;
    let daemon = Mounted::start(tenant.command(&["daemon", "--mount"]), &tenant.path("mnt"))?;
    let before = contents(&daemon.path("snapshots").join(&first))?;
    stage
        .proxy
        .set_rules(&[everywhere(Fault::Answer(503, "SlowDown"))]);
    stage.put("meanwhile.bin", noise(7, 100_000))?;
    wait("a cycle that fails", || {
        let status = tenant.json(&["status"])?;
        Ok(status.to_string().contains("503"))
    })?;
    stage.proxy.set_rules(&[]);
    let upn = stage.upn()?;
    wait("the next snapshot in the mount", || {
        let latest = daemon.path("snapshots/latest");
        let file = latest.join(&upn).join("OneDrive/meanwhile.bin");
        Ok(fs::read(file).is_ok_and(|bytes| bytes == noise(7, 100_000)))
    })?;
    ensure!(contents(&daemon.path("snapshots").join(&first))? == before);
    drop(daemon);
    stage.verify()
}

fn wait(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(90);
    while Instant::now() < deadline {
        if done()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    None.with_context(|| format!("waited too long for {what}"))
}
