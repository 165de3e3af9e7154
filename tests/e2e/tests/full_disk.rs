//! Disks that are full: the repository's, the one on which packs for an object store grow, and the one that
//! restores are spooled on. One message says
//! so and what to do, nothing is lost, and the same process goes on when there is room.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::clients::succeed;
use e2e::garage::{self, Garage};
use e2e::{Mounted, Tenant, corpus, noise, text};
use graph_emulator::Options;

/// A small disk in memory in place of a folder, unmounted when dropped.
struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// Moves a folder of the tenant onto a disk of so many MiB. `None`, with a word about it,
    /// without the right to mount.
    fn under(tenant: &Tenant, folder: &str, mib: u32) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            fixtures::skip("mounting a small disk needs root");
            return Ok(None);
        }
        let dir = tenant.path(&format!("{folder}-disk"));
        fs::create_dir(&dir)?;
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            &format!("size={mib}m,mode=700"),
            "tmpfs",
        ]);
        succeed(mount.arg(&dir));
        let disk = Self { dir };
        let place = tenant.path(folder);
        succeed(
            Command::new("cp")
                .arg("-a")
                .arg(&place)
                .arg(disk.dir.join("files")),
        );
        fs::remove_dir_all(&place)?;
        std::os::unix::fs::symlink(disk.dir.join("files"), &place)?;
        Ok(Some(disk))
    }

    /// Fills it up to the last `leave` bytes.
    fn fill(&self, leave: u64) -> Result<()> {
        let free = rustix::fs::statvfs(&self.dir)?;
        let free = free.f_bavail * free.f_frsize;
        let filler = fs::File::create(self.dir.join("filler"))?;
        let size = free.checked_sub(leave).context("it is too full already")?;
        rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, size)?;
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.dir.join("filler"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.dir, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Every file of a snapshot with its bytes.
fn contents(mount: &Mounted, snapshot: &str) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let root = mount.path("snapshots").join(snapshot).canonicalize()?;
    corpus::files(&root)
        .into_iter()
        .map(|file| Ok((file.strip_prefix(&root)?.to_owned(), fs::read(&file)?)))
        .collect()
}

fn wait<T>(what: &str, mut found: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(found) = found()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("waited a minute for {what}")
}

#[test]
fn a_full_repository_keeps_what_it_has_and_takes_more_when_there_is_room() -> Result<()> {
    let tenant = Tenant::start(Options {
        accounts: 2,
        messages: 40,
        files: 10,
        ..Options::default()
    })?;
    let Some(disk) = Disk::under(&tenant, "repository", 32)? else {
        return Ok(());
    };
    let first = tenant.backup()?;
    let first = first["snapshot"].as_str().context("no snapshot")?;
    let before = contents(&tenant.mount()?, first)?;

    let upn = tenant.graph.mailboxes()?.remove(0);
    let large = noise(1, 3 << 20);
    tenant.graph.put(
        &format!("/users/{upn}/drive/root:/large.bin:/content"),
        large.clone(),
    )?;
    tenant.graph.receive(&upn, "inbox", "beside a full disk")?;
    disk.fill(300 << 10)?;

    let failed = tenant.run(&["backup"])?;
    ensure!(failed.status.code() == Some(1), "{failed:?}");
    let said = text(&failed.stderr);
    let message: Vec<&str> = said
        .lines()
        .filter(|l| l.contains("no space left"))
        .collect();
    ensure!(
        message.len() == 1 && message[0].contains("make room"),
        "not one message that says what to do: {said}"
    );

    // While it is full: what was committed is whole, and a daemon serves it and keeps trying.
    let verified = tenant.run(&["verify", "--read-data"])?;
    ensure!(verified.status.success(), "{}", text(&verified.stdout));
    tenant.write_config("[protect]\nschedule = \"1s\"\n")?;
    let daemon = Mounted::start(tenant.command(&["daemon", "--mount"]), &tenant.path("mnt"))?;
    wait("a cycle that fails", || {
        let status = tenant.json(&["status"])?;
        Ok(status.to_string().contains("no space left").then_some(()))
    })?;
    ensure!(
        contents(&daemon, first)? == before,
        "the first snapshot changed"
    );

    disk.make_room()?;
    let second = wait("the next snapshot", || {
        let list = tenant.json(&["snapshots"])?;
        let names = list.as_array().context("no list")?.iter();
        let mut names = names.filter_map(|s| s["name"].as_str().map(str::to_owned));
        Ok(names.rfind(|name| name != first))
    })?;
    wait("it in the mount", || {
        Ok(daemon
            .path("snapshots")
            .join(&second)
            .exists()
            .then_some(()))
    })?;
    let after = contents(&daemon, &second)?;
    ensure!(after[&Path::new(&upn).join("OneDrive/large.bin")] == large);
    ensure!(after.len() == before.len() + 2, "{} files", after.len());
    ensure!(
        contents(&daemon, first)? == before,
        "the first snapshot changed"
    );
    drop(daemon);
    let verified = tenant.run(&["verify", "--read-data"])?;
    ensure!(verified.status.success(), "{}", text(&verified.stdout));
    Ok(())
}

#[test]
fn a_full_disk_stops_a_backup_to_an_object_store_until_there_is_room() -> Result<()> {
    let Some(garage) = Garage::start(1)? else {
        return Ok(());
    };
    let options = Options {
        accounts: 1,
        messages: 20,
        files: 5,
        ..Options::default()
    };
    let tenant = Tenant::in_store(options, |dir| {
        garage::repository(dir, garage.address(0), "repository")
    })?;
    let first = tenant.backup()?;
    let first = first["snapshot"].as_str().context("no snapshot")?;
    let before = tenant.mount()?.everything(first)?;
    let Some(disk) = Disk::under(&tenant, "state", 48)? else {
        return Ok(());
    };
    let upn = tenant.graph.mailboxes()?.remove(0);
    let large = noise(1, 6 << 20);
    let path = format!("/users/{upn}/drive/root:/large.bin:/content");
    tenant.graph.put(&path, large.clone())?;
    disk.fill(1 << 20)?;
    let failed = tenant.run(&["backup"])?;
    let said = text(&failed.stderr);
    ensure!(failed.status.code() == Some(1), "{failed:?}");
    ensure!(
        said.contains("no space left") && said.contains("make room"),
        "{said}"
    );
    // What is there can be read and verified meanwhile.
    ensure!(tenant.mount()?.everything(first)? == before);
    tenant.verify()?;

    disk.make_room()?;
    let second = tenant.backup()?;
    ensure!(second["counts"]["failed"] == 0, "{second:#}");
    let mount = tenant.mount()?;
    let latest = mount.path("snapshots/latest").join(&upn);
    ensure!(fs::read(latest.join("OneDrive/large.bin"))? == large);
    ensure!(mount.everything(first)? == before);
    drop(mount);
    tenant.verify()
}

#[test]
fn a_full_spool_refuses_restores_and_keeps_what_it_accepted() -> Result<()> {
    let tenant = Tenant::start(Options {
        accounts: 1,
        messages: 10,
        files: 5,
        ..Options::default()
    })?;
    let Some(disk) = Disk::under(&tenant, "state", 16)? else {
        return Ok(());
    };
    tenant.backup()?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    let there = |name: &str| -> Result<Option<Vec<u8>>> {
        let children = tenant
            .graph
            .list(&format!("/users/{upn}/drive/root/children"))?;
        let path = format!("/users/{upn}/drive/root:/{name}:/content");
        match children.iter().any(|child| child["name"] == name) {
            true => tenant.graph.bytes(&path).map(Some),
            false => Ok(None),
        }
    };
    let mount = tenant.mount()?;
    let copy = |name: &str, bytes: &[u8], policy: &str| -> Result<Output> {
        let source = tenant.path(name);
        fs::write(&source, bytes)?;
        let target = mount
            .path("restore")
            .join(policy)
            .join(&upn)
            .join("OneDrive");
        Ok(Command::new("cp").arg(source).arg(target).output()?)
    };
    let refused = |output: Output| -> Result<()> {
        ensure!(
            !output.status.success() && text(&output.stderr).contains("No space left on device"),
            "{output:?}"
        );
        Ok(())
    };

    let (large, small) = (noise(2, 4 << 20), noise(3, 20 << 10));
    let accepted = copy("accepted.bin", &small, "@queued")?;
    ensure!(accepted.status.success(), "{accepted:?}");
    disk.fill(1 << 20)?;
    refused(copy("large.bin", &large, "")?)?;
    ensure!(there("large.bin")?.is_none(), "a part of it was restored");
    // What was refused takes no room: a smaller one fits.
    let fits = copy("fits.bin", &small, "")?;
    ensure!(fits.status.success(), "{fits:?}");
    ensure!(there("fits.bin")? == Some(small.clone()));

    disk.make_room()?;
    disk.fill(0)?;
    refused(copy("small.bin", &small, "")?)?;
    refused(copy("queued.bin", &small, "@queued")?)?;
    ensure!(
        fs::read_to_string(mount.path("restore/.log"))?.contains("make room"),
        "the log does not say what to do"
    );
    let snapshot = mount.path("snapshots/latest").canonicalize()?;
    ensure!(!corpus::files(&snapshot).is_empty(), "snapshots are gone");

    disk.make_room()?;
    for (name, bytes) in [("large.bin", &large), ("small.bin", &small)] {
        let done = copy(name, bytes, "")?;
        ensure!(done.status.success(), "{done:?}");
        ensure!(there(name)?.as_ref() == Some(bytes), "{name} differs");
    }
    let queued = wait("what was accepted", || there("accepted.bin"))?;
    ensure!(queued == small);
    ensure!(
        there("queued.bin")?.is_none(),
        "refused, and restored after all"
    );
    Ok(())
}
