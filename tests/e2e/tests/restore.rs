//! Putting things back, through the mount with everybody's tools and through the command line.
//! Every test ends with the question whether Exchange would have sent anything to anyone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::shell::{quote, sh, sh_ok};
use e2e::{Mounted, Tenant, corpus, text};
use graph_emulator::Options;
use serde_json::{Value, json};

struct Scene {
    tenant: Tenant,
    alice: String,
    bob: String,
}

impl Scene {
    fn new() -> Result<Self> {
        let tenant = Tenant::start(Options {
            accounts: 3,
            messages: 120,
            files: 40,
            ..Options::default()
        })?;
        let mut users = tenant.graph.mailboxes()?;
        let (alice, bob) = (users.remove(0), users.remove(0));
        Ok(Self { tenant, alice, bob })
    }

    fn message(&self, upn: &str, folder: &str, n: usize) -> Result<Value> {
        let all = self
            .tenant
            .graph
            .list(&format!("/users/{upn}/mailFolders/{folder}/messages"))?;
        all.into_iter()
            .nth(n)
            .context("the folder has fewer messages")
    }

    fn by_message_id(&self, upn: &str, folder: &str, message_id: &str) -> Result<Vec<Value>> {
        let all = self
            .tenant
            .graph
            .list(&format!("/users/{upn}/mailFolders/{folder}/messages"))?;
        Ok(all
            .into_iter()
            .filter(|m| m["internetMessageId"] == message_id)
            .collect())
    }

    fn delete(&self, upn: &str, message: &Value) -> Result<()> {
        let id = message["id"].as_str().context("no id")?;
        self.tenant.graph.post(
            &format!("/users/{upn}/messages/{id}/permanentDelete"),
            &json!({}),
        )?;
        Ok(())
    }

    fn nothing_was_sent(&self) -> Result<()> {
        self.tenant.nothing_was_sent()
    }
}

/// The file of the snapshot whose Graph record has this internetMessageId.
fn file_of(mount: &Mounted, upn: &str, message_id: &str) -> Result<PathBuf> {
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let records = latest.join(".tenantfs/graph").join(upn).join("Mail");
    for record in corpus::files(&records) {
        let json: Value = serde_json::from_slice(&fs::read(&record)?)?;
        if json["internetMessageId"] == message_id {
            let below = record.strip_prefix(&records)?.with_extension("");
            return Ok(latest.join(upn).join("Mail").join(below));
        }
    }
    anyhow::bail!("no record of {message_id} below {}", records.display())
}

#[test]
fn a_deleted_mail_comes_back_as_it_was() -> Result<()> {
    let scene = Scene::new()?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    let mail = scene.message(alice, "inbox", 0)?;
    let id = mail["id"].as_str().context("no id")?;
    let flagged = json!({ "categories": ["Red category"], "flag": { "flagStatus": "flagged" }, "isRead": true });
    graph.patch(&format!("/users/{alice}/messages/{id}"), &flagged)?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let message_id = mail["internetMessageId"]
        .as_str()
        .context("no message id")?;
    let file = file_of(&mount, alice, message_id)?;
    let mime = fs::read(&file)?;
    let attachments = graph
        .list(&format!("/users/{alice}/messages/{id}/attachments"))?
        .len();

    // It is there: a second one is refused.
    let target = mount.path(&format!("restore/{alice}/Mail/Inbox/"));
    let (ok, said) = sh(
        &mount.dir,
        &format!("cp {} {}", quote(&file), quote(&target)),
    )?;
    ensure!(!ok && said.contains("exists"), "it is there, but: {said}");
    ensure!(
        sh_ok(&mount.dir, &format!("ls {}", quote(&target)))?
            .contains(&*file.file_name().unwrap_or_default().to_string_lossy())
    );

    scene.delete(alice, &mail)?;
    scene.tenant.json(&["backup"])?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    sh_ok(
        &mount.dir,
        &format!("sleep 5; cp {} {}", quote(&file), quote(&target)),
    )?;
    let back = scene.by_message_id(alice, "inbox", message_id)?;
    let [back] = back.as_slice() else {
        anyhow::bail!("{} copies", back.len())
    };
    for property in [
        "subject",
        "receivedDateTime",
        "sentDateTime",
        "isRead",
        "isDraft",
        "categories",
        "from",
        "sender",
        "toRecipients",
        "ccRecipients",
        "importance",
        "hasAttachments",
        "internetMessageId",
        "conversationIndex",
    ] {
        let was = if property == "categories" {
            &flagged[property]
        } else {
            &mail[property]
        };
        let was = if property == "isRead" {
            &Value::Bool(true)
        } else {
            was
        };
        ensure!(
            &back[property] == was,
            "{property}: {} is {}",
            was,
            back[property]
        );
    }
    ensure!(back["flag"]["flagStatus"] == "flagged", "{}", back["flag"]);
    let back_id = back["id"].as_str().context("no id")?;
    let now = graph
        .list(&format!("/users/{alice}/messages/{back_id}/attachments"))?
        .len();
    ensure!(
        now == attachments,
        "{attachments} attachments were, {now} are"
    );

    // The next snapshot has it under the same name.
    let third = scene.tenant.backup()?;
    let name = third["snapshot"].as_str().context("no snapshot")?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let below = file.strip_prefix(&latest).or_else(|_| {
        let snapshot = file
            .ancestors()
            .find(|a| a.parent().is_some_and(|p| p.ends_with("snapshots")));
        file.strip_prefix(snapshot.unwrap_or(Path::new("/")))
    })?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    let again = mount.path("snapshots").join(name).join(below);
    ensure!(again.is_file(), "{} is not there", again.display());
    ensure!(!mime.is_empty());
    scene.nothing_was_sent()
}

#[test]
fn a_folder_goes_to_another_account_and_to_a_drive() -> Result<()> {
    let scene = Scene::new()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let inbox = mount
        .path(&format!("snapshots/latest/{}/Mail/Inbox", scene.alice))
        .canonicalize()?;
    let mails = fs::read_dir(&inbox)?
        .filter(|e| e.as_ref().is_ok_and(|e| e.path().is_file()))
        .count();

    let target = mount.path(&format!("restore/{}/Mail/From Alice", scene.bob));
    sh_ok(
        &mount.dir,
        &format!(
            "mkdir {t} && cp {}/*.eml {t}/",
            quote(&inbox),
            t = quote(&target)
        ),
    )?;
    let folders = scene
        .tenant
        .graph
        .list(&format!("/users/{}/mailFolders", scene.bob))?;
    let made = folders
        .iter()
        .find(|f| f["displayName"] == "From Alice")
        .context("no folder was made")?;
    let id = made["id"].as_str().context("no id")?;
    let there = scene
        .tenant
        .graph
        .list(&format!("/users/{}/mailFolders/{id}/messages", scene.bob))?;
    ensure!(
        there.len() == mails,
        "{mails} mails were copied, {} are there",
        there.len()
    );

    let file = fs::read_dir(&inbox)?
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|p| p.is_file())
        .context("a mail")?;
    let drive = mount.path(&format!("restore/{}/OneDrive/Mails", scene.alice));
    sh_ok(
        &mount.dir,
        &format!(
            "mkdir {d} && cp {} {d}/mail.eml",
            quote(&file),
            d = quote(&drive)
        ),
    )?;
    let stored = scene.tenant.graph.bytes(&format!(
        "/users/{}/drive/root:/Mails/mail.eml:/content",
        scene.alice
    ))?;
    ensure!(
        stored == fs::read(&file)?,
        "the file in the drive differs from the mail"
    );
    scene.nothing_was_sent()
}

#[test]
fn policies_do_what_they_say() -> Result<()> {
    let scene = Scene::new()?;
    let alice = &scene.alice;
    let mail = scene.message(alice, "inbox", 0)?;
    let message_id = mail["internetMessageId"]
        .as_str()
        .context("no message id")?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let file = file_of(&mount, alice, message_id)?;
    let copy = |policy: &str| {
        sh(
            &mount.dir,
            &format!("cp {} 'restore/{policy}{alice}/Mail/Inbox/'", quote(&file)),
        )
    };
    let (ok, said) = copy("@skip/")?;
    ensure!(!ok, "@skip replaced it: {said}");
    let (ok, said) = copy("@overwrite/")?;
    ensure!(ok, "@overwrite: {said}");
    let now = scene.by_message_id(alice, "inbox", message_id)?;
    ensure!(
        now.len() == 1 && now[0]["id"] != mail["id"],
        "@overwrite left {} copies",
        now.len()
    );
    let (ok, said) = copy("@keep-both/")?;
    ensure!(ok, "@keep-both: {said}");
    ensure!(
        scene.by_message_id(alice, "inbox", message_id)?.len() == 2,
        "@keep-both made no second one"
    );
    let (ok, said) = copy("@keep-both/@queued/")?;
    ensure!(ok, "@queued: {said}");
    for _ in 0..100 {
        if scene.by_message_id(alice, "inbox", message_id)?.len() == 3 {
            return scene.nothing_was_sent();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!(
        "the queued one never arrived: {}",
        fs::read_to_string(mount.path("restore/.queue"))?
    )
}

#[test]
fn files_come_back_by_everybodys_tools() -> Result<()> {
    let scene = Scene::new()?;
    let alice = &scene.alice;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let drive = mount
        .path(&format!("snapshots/latest/{alice}/OneDrive"))
        .canonicalize()?;
    let files = corpus::files(&drive);
    let file = files
        .iter()
        .find(|f| f.metadata().is_ok_and(|m| m.len() > 0))
        .context("a file")?;
    let target = mount.path(&format!("restore/{alice}/OneDrive/Back"));
    let (t, f) = (quote(&target), quote(file));
    let content = |name: &str| {
        scene
            .tenant
            .graph
            .bytes(&format!("/users/{alice}/drive/root:/Back/{name}:/content"))
    };
    let bytes = fs::read(file)?;
    sh_ok(&mount.dir, &format!("mkdir {t}"))?;
    sh_ok(&mount.dir, &format!("cp -a {f} {t}/cp-a.bin"))?;
    sh_ok(&mount.dir, &format!("rsync -a {f} {t}/rsync.bin"))?;
    sh_ok(
        &mount.dir,
        &format!("cp {f} /tmp/tenantfs-e2e-$$ && mv /tmp/tenantfs-e2e-$$ {t}/mv.bin"),
    )?;
    sh_ok(&mount.dir, &format!("cat {f} > {t}/redirect.bin"))?;
    sh_ok(
        &mount.dir,
        &format!("cat {f} > {t}/.edit.bin.swp && mv {t}/.edit.bin.swp {t}/editor.bin"),
    )?;
    for name in [
        "cp-a.bin",
        "rsync.bin",
        "mv.bin",
        "redirect.bin",
        "editor.bin",
    ] {
        ensure!(content(name)? == bytes, "{name} differs");
    }
    let item = scene
        .tenant
        .graph
        .get(&format!("/users/{alice}/drive/root:/Back/cp-a.bin"))?;
    let time = item["fileSystemInfo"]["lastModifiedDateTime"]
        .as_str()
        .context("no time")?;
    let out = Command::new("date")
        .args(["-u", "-d", time, "+%s"])
        .output()?;
    let seconds: i64 = text(&out.stdout).trim().parse()?;
    ensure!(
        seconds == file.metadata()?.mtime(),
        "cp -a keeps the time: {time}"
    );

    // Nothing in restore/ deletes.
    let (ok, _) = sh(&mount.dir, &format!("rm {t}/cp-a.bin"))?;
    ensure!(
        !ok && content("cp-a.bin")? == bytes,
        "restore/ deleted a live file"
    );
    // A name that SharePoint does not take is refused with the rule.
    let (ok, _) = sh(&mount.dir, &format!("cp {f} {t}/'a:b.bin'"))?;
    ensure!(!ok, "a name with a colon was taken");
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("a:b.bin"), "the log does not tell: {log}");
    scene.nothing_was_sent()
}

#[test]
fn rsync_ignore_existing_restores_what_was_deleted() -> Result<()> {
    let scene = Scene::new()?;
    let alice = &scene.alice;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let all = scene
        .tenant
        .graph
        .list(&format!("/users/{alice}/mailFolders/inbox/messages"))?;
    for mail in all.iter().take(5) {
        scene.delete(alice, mail)?;
    }
    let inbox = mount
        .path(&format!("snapshots/latest/{alice}/Mail/Inbox"))
        .canonicalize()?;
    let target = mount.path(&format!("restore/{alice}/Mail/Inbox"));
    let command = format!(
        "rsync -rt --ignore-existing --include='*.eml' --exclude='*' {}/ {}/",
        quote(&inbox),
        quote(&target)
    );
    sh_ok(&mount.dir, &command)?;
    let now = scene
        .tenant
        .graph
        .list(&format!("/users/{alice}/mailFolders/inbox/messages"))?;
    ensure!(
        now.len() == all.len(),
        "{} were, {} are",
        all.len(),
        now.len()
    );
    // Again: nothing is left to do.
    scene.tenant.graph.reset_requests()?;
    sh_ok(&mount.dir, &command)?;
    let now = scene
        .tenant
        .graph
        .list(&format!("/users/{alice}/mailFolders/inbox/messages"))?;
    ensure!(now.len() == all.len(), "a second run made copies");
    scene.nothing_was_sent()
}

#[test]
fn the_command_line_restores_without_a_mount() -> Result<()> {
    let scene = Scene::new()?;
    let (alice, bob) = (&scene.alice, &scene.bob);
    scene.tenant.backup()?;
    let before = scene
        .tenant
        .graph
        .list(&format!("/users/{alice}/mailFolders/inbox/messages"))?;
    for mail in before.iter().take(3) {
        scene.delete(alice, mail)?;
    }
    let source = format!("latest/{alice}/Mail/Inbox");
    let target = format!("{alice}/Mail/Inbox");
    let arguments = ["restore", &source, &target, "--deleted-only"];
    let plan = scene
        .tenant
        .json(&[&arguments[..], &["--dry-run"]].concat())?;
    ensure!(
        plan.to_string().contains(".eml"),
        "the plan names no item: {plan:#}"
    );
    let now = scene
        .tenant
        .graph
        .list(&format!("/users/{alice}/mailFolders/inbox/messages"))?;
    ensure!(now.len() == before.len() - 3, "--dry-run did something");
    scene.tenant.json(&arguments)?;
    let now = scene
        .tenant
        .graph
        .list(&format!("/users/{alice}/mailFolders/inbox/messages"))?;
    ensure!(
        now.len() == before.len(),
        "{} were, {} are",
        before.len(),
        now.len()
    );

    // A whole folder to another account, and a local file.
    scene
        .tenant
        .json(&["restore", &source, &format!("{bob}/Mail/From Alice")])?;
    let folders = scene
        .tenant
        .graph
        .list(&format!("/users/{bob}/mailFolders"))?;
    ensure!(
        folders.iter().any(|f| f["displayName"] == "From Alice"),
        "no folder was made"
    );
    let local = scene.tenant.path("note.txt");
    fs::write(&local, "a local file")?;
    scene.tenant.json(&[
        "restore",
        local.to_str().context("utf-8")?,
        &format!("{alice}/OneDrive/Notes"),
    ])?;
    let there = scene.tenant.graph.bytes(&format!(
        "/users/{alice}/drive/root:/Notes/note.txt:/content"
    ))?;
    ensure!(there == b"a local file");
    scene.nothing_was_sent()
}
