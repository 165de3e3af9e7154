//! Capture, seen through the mount: every byte, every name, by everybody's tools; and what a
//! cycle costs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Mounted, Tenant, corpus, drives, text};
use graph_emulator::Options;
use serde_json::{Value, json};

fn tenant_with_corpus() -> Result<Option<Tenant>> {
    let (Some(mail), Some(files)) = (corpus::folder("mail"), corpus::folder("files")) else {
        return Ok(None);
    };
    let options = Options {
        accounts: 3,
        messages: 0,
        files: 0,
        import_mail: vec![mail],
        import_files: vec![files],
        ..Options::default()
    };
    Tenant::start(options).map(Some)
}

/// A mail as a mailbox has it: without the line that an mbox file puts before it.
fn without_mbox_line(mail: &[u8]) -> &[u8] {
    if !mail.starts_with(b"From ") {
        return mail;
    }
    // A mail whose lines end with a lone CR has no such line that could be told from the rest.
    let end = mail.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
    &mail[end..]
}

/// How often each content is there.
fn count(contents: impl Iterator<Item = Vec<u8>>) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for content in contents {
        *counts.entry(content).or_default() += 1;
    }
    counts
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn run(dir: &Path, command: &str) -> Result<String> {
    let output = Command::new("bash")
        .args(["-c", command])
        .current_dir(dir)
        .output()?;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "{command}: {}: {}",
        output.status,
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

#[test]
fn the_corpus_comes_out_of_the_mount_byte_for_byte() -> Result<()> {
    let Some(tenant) = tenant_with_corpus()? else {
        return Ok(());
    };
    let first = tenant.backup()?;
    ensure!(
        first["counts"]["failed"] == 0,
        "failed: {:#}",
        first["failed"]
    );
    let mount = tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    compare_mail(&latest)?;
    compare_files(&tenant, &latest)?;
    everybodys_tools(&tenant, &latest)
}

fn compare_mail(snapshot: &Path) -> Result<()> {
    let imported = corpus::files(&corpus::folder("mail").context("checked before")?);
    let expected = count(
        imported
            .iter()
            .map(|file| without_mbox_line(&read(file)).to_vec()),
    );
    let mut shown = Vec::new();
    for account in std::fs::read_dir(snapshot)? {
        let mail = account?.path().join("Mail");
        if mail.is_dir() {
            shown.extend(corpus::files(&mail));
        }
    }
    let found = count(shown.iter().map(|file| read(file)));
    for (content, times) in &expected {
        let have = found.get(content).copied().unwrap_or(0);
        ensure!(
            have == *times,
            "a mail is there {have} times, not {times}: {}",
            text(&content[..content.len().min(300)])
        );
    }
    ensure!(
        found.len() == expected.len(),
        "there are mails that nobody put there"
    );
    for file in &shown {
        let size = std::fs::metadata(file)?.len();
        ensure!(
            size == read(file).len() as u64,
            "{} has not its size",
            file.display()
        );
    }
    Ok(())
}

/// Every file that Graph lists is in the mount with its name, bytes, size and time, and no other.
fn compare_files(tenant: &Tenant, snapshot: &Path) -> Result<()> {
    let mut total = 0;
    for upn in tenant.graph.mailboxes()? {
        let Ok(drive) = tenant.graph.get(&format!("/users/{upn}/drive")) else {
            continue;
        };
        let drive = drive["id"].as_str().context("a drive without an id")?;
        let folder = snapshot.join(&upn).join("OneDrive");
        total += drives::compare(&tenant.graph, drive, &folder)?;
    }
    let corpus = corpus::files(&corpus::folder("files").context("checked before")?).len();
    ensure!(
        total >= corpus,
        "{total} files are in the drives, the corpus has {corpus}"
    );
    Ok(())
}

fn everybodys_tools(tenant: &Tenant, snapshot: &Path) -> Result<()> {
    run(snapshot, "find . -ls > /dev/null")?;
    run(
        snapshot,
        "grep -r 'no line has this text in it' . || test $? = 1",
    )?;
    run(snapshot, "tar -cf - . > /dev/null")?;
    let copy = tenant.path("copy");
    run(snapshot, &format!("rsync -a ./ {}/", copy.display()))?;
    run(snapshot, &format!("diff -r . {}", copy.display()))?;
    let again = run(snapshot, &format!("rsync -ani ./ {}/", copy.display()))?;
    ensure!(
        again.is_empty(),
        "rsync sees changes where there are none: {again}"
    );
    if Command::new("restic").arg("version").output().is_err() {
        ensure!(
            std::env::var("CI").as_deref() != Ok("true"),
            "restic is not installed"
        );
        println!("skipped: restic is not installed");
        return Ok(());
    }
    let restic = format!(
        "RESTIC_PASSWORD=x restic -q -r {}",
        tenant.path("restic").display()
    );
    run(snapshot, &format!("{restic} init && {restic} backup ."))?;
    Ok(())
}

fn generated(accounts: usize, messages: u64, files: u64) -> Options {
    Options {
        accounts,
        messages,
        files,
        ..Options::default()
    }
}

/// Requests since the last reset whose route contains `part`.
fn requests(tenant: &Tenant, part: &str) -> Result<u64> {
    let counts = tenant.graph.requests()?;
    let routes = counts["by_route"].as_array().context("no routes")?;
    let matching = routes
        .iter()
        .filter(|r| r["route"].as_str().is_some_and(|r| r.contains(part)));
    Ok(matching.filter_map(|r| r["count"].as_u64()).sum())
}

#[test]
fn an_idle_cycle_fetches_nothing_and_makes_no_snapshot() -> Result<()> {
    let tenant = Tenant::start(generated(3, 400, 60))?;
    tenant.backup()?;
    tenant.graph.reset_requests()?;
    let idle = tenant.backup()?;
    ensure!(
        idle["snapshot"].is_null(),
        "an idle cycle made a snapshot: {idle:#}"
    );
    ensure!(
        requests(&tenant, "$value")? == 0,
        "an idle cycle fetched mails"
    );
    ensure!(
        requests(&tenant, "content")? == 0,
        "an idle cycle fetched files"
    );
    let snapshots = tenant.json(&["snapshots"])?;
    ensure!(
        snapshots.as_array().is_some_and(|list| list.len() == 1),
        "{snapshots:#}"
    );
    Ok(())
}

#[test]
fn the_second_snapshot_has_what_changed_and_shares_the_rest() -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let tenant = Tenant::start(generated(2, 200, 40))?;
    tenant.backup()?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    let mount = tenant.mount()?;
    let before = mails(&mount, "latest", &upn)?;

    let inbox = tenant
        .graph
        .list(&format!("/users/{upn}/mailFolders/inbox/messages"))?;
    let [read_one, deleted, moved, ..] = inbox.as_slice() else {
        anyhow::bail!("the inbox has only {} mails", inbox.len())
    };
    let id = |m: &Value| m["id"].as_str().unwrap_or_default().to_owned();
    let flip = json!({ "isRead": read_one["isRead"] == false });
    tenant
        .graph
        .patch(&format!("/users/{upn}/messages/{}", id(read_one)), &flip)?;
    tenant.graph.post(
        &format!("/users/{upn}/messages/{}/permanentDelete", id(deleted)),
        &json!({}),
    )?;
    let to = json!({ "destinationId": "archive" });
    let archive = tenant
        .graph
        .get(&format!("/users/{upn}/mailFolders/archive"));
    let to = if archive.is_ok() {
        to
    } else {
        json!({ "destinationId": "deleteditems" })
    };
    tenant
        .graph
        .post(&format!("/users/{upn}/messages/{}/move", id(moved)), &to)?;
    tenant.graph.receive(&upn, "inbox", "A new mail")?;

    tenant.graph.reset_requests()?;
    let second = tenant.backup()?;
    ensure!(
        second["snapshot"].is_string(),
        "no second snapshot: {second:#}"
    );
    ensure!(
        requests(&tenant, "$value")? == 1,
        "only the new mail is fetched"
    );
    ensure!(
        second["bytes_written"]
            .as_u64()
            .is_some_and(|n| n < 100_000),
        "{second:#}"
    );

    // The running mount shows it without being told.
    let name = second["snapshot"].as_str().context("no name")?;
    let shown = mount.path("snapshots").join(name);
    for _ in 0..40 {
        if shown.is_dir() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let after = mails(&mount, name, &upn)?;
    ensure!(
        after.len() == before.len(),
        "one came, one went: {} {}",
        before.len(),
        after.len()
    );
    let stayed = after.iter().filter(|(path, meta)| {
        before
            .get(*path)
            .is_some_and(|old| old.ino() == meta.ino() && old.mtime() == meta.mtime())
    });
    ensure!(
        stayed.count() == before.len() - 2,
        "what did not change has the same inode"
    );
    ensure!(
        mount.path("snapshots/latest").read_link()? == Path::new(name),
        "latest is the newest"
    );
    Ok(())
}

/// The mails of an account in a snapshot, by path.
fn mails(
    mount: &Mounted,
    snapshot: &str,
    upn: &str,
) -> Result<BTreeMap<String, std::fs::Metadata>> {
    let root = mount
        .path("snapshots")
        .join(snapshot)
        .canonicalize()?
        .join(upn)
        .join("Mail");
    corpus::files(&root)
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&root)?.to_string_lossy().into_owned();
            Ok((name, file.metadata()?))
        })
        .collect()
}

#[test]
fn expired_cursors_cost_an_enumeration_and_no_content() -> Result<()> {
    let tenant = Tenant::start(generated(2, 150, 30))?;
    tenant.backup()?;
    tenant.graph.control("expire-delta-tokens", &json!({}))?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    let inbox = tenant
        .graph
        .list(&format!("/users/{upn}/mailFolders/inbox/messages"))?;
    let gone = inbox[0]["id"].as_str().context("no id")?;
    tenant.graph.post(
        &format!("/users/{upn}/messages/{gone}/permanentDelete"),
        &json!({}),
    )?;
    tenant.graph.reset_requests()?;
    let second = tenant.backup()?;
    ensure!(
        requests(&tenant, "$value")? == 0 && requests(&tenant, "content")? == 0,
        "content was fetched"
    );
    ensure!(second["counts"]["removed"] == 1, "{second:#}");
    Ok(())
}

#[test]
fn verify_and_rebuild_give_the_same_mount() -> Result<()> {
    let tenant = Tenant::start(generated(2, 120, 30))?;
    tenant.backup()?;
    let all = |mount: &Mounted| {
        run(
            &mount.path("snapshots/latest/"),
            "find . -type f -print0 | sort -z | xargs -0 sha256sum",
        )
    };
    let before = all(&tenant.mount()?)?;
    std::fs::remove_dir_all(tenant.path("state"))?;
    std::fs::remove_dir_all(tenant.path("repository/index"))?;
    let rebuilt = tenant.run(&["rebuild-index"])?;
    ensure!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
    ensure!(
        all(&tenant.mount()?)? == before,
        "the mount differs after rebuild-index"
    );
    let verified = tenant.run(&["verify", "--read-data"])?;
    ensure!(verified.status.success(), "{}", text(&verified.stderr));
    Ok(())
}

#[test]
fn verify_names_the_item_behind_a_flipped_bit() -> Result<()> {
    let tenant = Tenant::start(generated(1, 60, 10))?;
    tenant.backup()?;
    let pack = corpus::files(&tenant.path("repository/data")).remove(0);
    let mut bytes = read(&pack);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&pack, bytes)?;
    let verified = tenant.run(&["verify", "--read-data"])?;
    ensure!(
        verified.status.code() == Some(1),
        "a flipped bit was not found"
    );
    let said = text(&verified.stdout) + &text(&verified.stderr);
    // Which ones depends on the frame that was hit.
    let hit = |line: &str| line.starts_with("hits ") && line.contains("@contoso.com/");
    ensure!(said.lines().any(hit), "no item is named: {said}");
    Ok(())
}
