//! What was archived comes back, wherever it is put.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::text;

use super::scene::{Scene, latest, named, quote, said, sh, sh_ok, unreadable, until};

#[test]
fn archived_items_come_back_as_they_were() -> Result<()> {
    let scene = Scene::new(
        Vec::new(),
        "[protect]\nworkloads = [\"mail\", \"archive\", \"drive\"]\n",
    )?;
    let (alice, bob) = (&scene.alice, &scene.bob);
    let archive = scene.archive(alice)?;
    let calendar = scene.folder(&archive, "Calendar")?;
    let inbox = scene.folder(&archive, "Inbox")?;
    let raw_id = scene.import(&archive, &inbox, &unreadable())?;
    let talks = scene.items(&archive, &calendar)?;
    let talks = talks
        .iter()
        .find(|i| Scene::subject(i) == "Stand-up")
        .context("no stand-up")?;
    let talks_id = talks["id"].as_str().context("no id")?;
    let was = scene.export(&archive, talks_id)?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let top = latest(&mount, alice, "Archive")?;
    let file = named(&top.join("Calendar"), "Stand-up")?;
    let name = file
        .file_name()
        .context("no name")?
        .to_string_lossy()
        .into_owned();
    let target = mount.path(&format!("restore/{alice}/Archive/Calendar"));

    // It is there: a second one is refused.
    let (ok, what) = sh(
        &mount.dir,
        &format!("cp {} {}/", quote(&file), quote(&target)),
    )?;
    ensure!(!ok && what.contains("exists"), "it is there, but: {what}");

    // One that was deleted comes back exactly, under its name, once.
    scene.delete(&archive, &calendar, talks_id)?;
    until(|| {
        sh_ok(
            &mount.dir,
            &format!("cp {} {}/", quote(&file), quote(&target)),
        )
        .is_ok()
    })?;
    let back = scene.items(&archive, &calendar)?;
    let back: Vec<_> = back
        .iter()
        .filter(|i| Scene::subject(i) == "Stand-up")
        .collect();
    ensure!(back.len() == 1, "{} of them", back.len());
    let now = scene.export(&archive, back[0]["id"].as_str().context("no id")?)?;
    ensure!(
        said(&now)? == said(&was)?,
        "{}\n{}",
        said(&now)?,
        said(&was)?
    );
    ensure!(sh_ok(&mount.dir, &format!("ls {}", quote(&target)))?.contains(&name));

    // Over it, and beside it.
    for (policy, count) in [("@overwrite", 1), ("@keep-both", 2)] {
        let target = mount.path(&format!("restore/{policy}/{alice}/Archive/Calendar"));
        sh_ok(
            &mount.dir,
            &format!("cp {} {}/", quote(&file), quote(&target)),
        )?;
        let there = scene.items(&archive, &calendar)?;
        let there = there
            .iter()
            .filter(|i| Scene::subject(i) == "Stand-up")
            .count();
        ensure!(there == count, "{policy}: {there}");
    }

    // What nobody can read comes back too.
    let raw = named(&top.join("Inbox"), ".fts")?;
    scene.delete(&archive, &inbox, &raw_id)?;
    let count = scene.items(&archive, &inbox)?.len();
    let target = mount.path(&format!("restore/{alice}/Archive/Inbox"));
    sh_ok(
        &mount.dir,
        &format!("cp {} {}/", quote(&raw), quote(&target)),
    )?;
    ensure!(scene.items(&archive, &inbox)?.len() == count + 1);

    // A mail to another account's archive, to a mailbox, and to a drive as a file.
    let mail = named(&top.join("Inbox"), "Lease")?;
    let bobs = scene.archive(bob)?;
    sh_ok(
        &mount.dir,
        &format!(
            "mkdir -p {}",
            quote(&mount.path(&format!("restore/{bob}/Archive/From Alice")))
        ),
    )?;
    let from_alice = mount.path(&format!("restore/{bob}/Archive/From Alice"));
    sh_ok(
        &mount.dir,
        &format!("cp {} {}/", quote(&mail), quote(&from_alice)),
    )?;
    let folder = scene.folder(&bobs, "From Alice")?;
    let there = scene.items(&bobs, &folder)?;
    ensure!(
        there.len() == 1 && Scene::subject(&there[0]) == "Lease",
        "{there:?}"
    );

    let target = mount.path(&format!("restore/{bob}/Mail/Inbox"));
    sh_ok(
        &mount.dir,
        &format!("cp {} {}/", quote(&mail), quote(&target)),
    )?;
    let messages = scene
        .tenant
        .graph
        .list(&format!("/users/{bob}/mailFolders/inbox/messages?$top=200"))?;
    let lease: Vec<_> = messages
        .iter()
        .filter(|m| m["subject"] == "Lease")
        .collect();
    ensure!(lease.len() == 1, "{} of them", lease.len());
    ensure!(
        lease[0]["isDraft"] == false && lease[0]["isRead"] == true,
        "{}",
        lease[0]
    );
    ensure!(lease[0]["from"]["emailAddress"]["address"] == "ola@northwind.test");

    let target = mount.path(&format!("restore/{bob}/OneDrive"));
    sh_ok(
        &mount.dir,
        &format!("cp {} {}/lease.eml", quote(&mail), quote(&target)),
    )?;
    let bytes = scene
        .tenant
        .graph
        .bytes(&format!("/users/{bob}/drive/root:/lease.eml:/content"))?;
    ensure!(bytes == fs::read(&mail)?);

    // A mail from elsewhere goes into an archive as well; a calendar file from elsewhere does not.
    let foreign = scene.tenant.path("foreign.eml");
    fs::write(
        &foreign,
        "From: c@x.test\r\nTo: d@x.test\r\nSubject: From elsewhere\r\nDate: Sun, 1 Mar 2026 09:00:00 +0000\r\nMessage-ID: <e1@x.test>\r\n\r\nhello\r\n",
    )?;
    sh_ok(
        &mount.dir,
        &format!("cp {} {}/", quote(&foreign), quote(&from_alice)),
    )?;
    let there = scene.items(&bobs, &folder)?;
    ensure!(
        there.iter().any(|i| Scene::subject(i) == "From elsewhere"),
        "{there:?}"
    );
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("does not document"), "{log}");
    let foreign = scene.tenant.path("foreign.ics");
    fs::write(&foreign, "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")?;
    let (ok, what) = sh(
        &mount.dir,
        &format!("cp {} {}/", quote(&foreign), quote(&from_alice)),
    )?;
    ensure!(!ok, "{what}");
    scene.nothing_was_sent()
}

#[test]
fn a_whole_archive_goes_to_another_account_by_command() -> Result<()> {
    let scene = Scene::new(Vec::new(), "[protect]\nworkloads = [\"archive\"]\n")?;
    let (alice, bob) = (&scene.alice, &scene.bob);
    scene.tenant.backup()?;
    let source = format!("latest/{alice}/Archive");
    let target = format!("{bob}/Archive/Alice");
    let plan = scene
        .tenant
        .json(&["restore", &source, &target, "--dry-run"])?;
    ensure!(!plan.to_string().contains("\"failed\":1"), "{plan}");
    let done = scene.tenant.run(&["restore", &source, &target])?;
    ensure!(done.status.success(), "{}", text(&done.stderr));

    let (from, to) = (scene.archive(alice)?, scene.archive(bob)?);
    let alices = scene.folder(&to, "Alice")?;
    let children = scene
        .tenant
        .graph
        .list(&format!("{to}/folders/{alices}/childFolders?$top=100"))?;
    for name in ["Inbox", "Calendar", "Contacts", "Tasks", "Notes"] {
        let copy = children.iter().find(|f| f["displayName"] == name);
        let copy = copy
            .and_then(|f| f["id"].as_str())
            .with_context(|| format!("no {name}"))?;
        let original = scene.folder(&from, name)?;
        let streams = |mailbox: &str, folder: &str| -> Result<Vec<String>> {
            let mut all = Vec::new();
            for item in scene.items(mailbox, folder)? {
                let id = item["id"].as_str().context("no id")?;
                all.push(said(&scene.export(mailbox, id)?)?);
            }
            all.sort();
            Ok(all)
        };
        ensure!(
            streams(&to, copy)? == streams(&from, &original)?,
            "{name} differs"
        );
    }
    // Once more: everything is there.
    let again = scene.tenant.run(&["restore", &source, &target])?;
    ensure!(again.status.success(), "{}", text(&again.stderr));
    let inbox = children
        .iter()
        .find(|f| f["displayName"] == "Inbox")
        .and_then(|f| f["id"].as_str());
    let inbox = inbox.context("no inbox")?;
    let original = scene.folder(&from, "Inbox")?;
    ensure!(scene.items(&to, inbox)?.len() == scene.items(&from, &original)?.len());
    scene.nothing_was_sent()
}
