//! Mail that is captured by export.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::{Tenant, text};
use graph_emulator::Options;
use serde_json::json;
use tenantfs::format::fasttransfer::Object;

use super::scene::{Scene, latest, named, quote, sh, sh_ok, until};

#[test]
fn mail_by_export_takes_a_twentieth_of_the_requests_and_comes_back_exactly() -> Result<()> {
    let scene = Scene::new(
        Vec::new(),
        "[protect]\nworkloads = [\"mail\"]\n[protect.mail]\nroute = \"export\"\n",
    )?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    graph.reset_requests()?;
    scene.tenant.backup()?;
    ensure!(scene.count("$value")? == 0, "{}", graph.requests()?);
    let folders: u64 = graph
        .mailboxes()?
        .iter()
        .map(|upn| {
            graph
                .list(&format!(
                    "/users/{upn}/mailFolders?$top=100&includeHiddenFolders=true"
                ))
                .map(|f| f.len() as u64 + 4)
        })
        .sum::<Result<u64>>()?;
    let exports = scene.count("exportItems")?;
    ensure!(
        exports >= 3 && exports <= 60 / 20 + folders,
        "{exports} exports, {folders} folders"
    );

    let mount = scene.tenant.mount()?;
    let inbox = format!("/users/{alice}/mailFolders/inbox/messages?$top=200");
    let mail = graph.list(&inbox)?.into_iter().next().context("no mail")?;
    let id = mail["id"].as_str().context("no id")?;
    let mailbox = scene.mailbox(alice, "primaryMailboxId")?;
    let was = scene.export(&mailbox, id)?;
    let subject = mail["subject"].as_str().context("no subject")?;
    let received = mail["receivedDateTime"].as_str().context("no time")?;
    let stamp = format!(
        "{} {}{}",
        &received[..10],
        &received[11..13],
        &received[14..16]
    );
    let file = named(&latest(&mount, alice, "Mail/Inbox")?, &stamp)?;
    let eml = text(&fs::read(&file)?);
    let message_id = mail["internetMessageId"]
        .as_str()
        .context("no message id")?;
    ensure!(
        eml.contains(message_id) && eml.contains("Received:"),
        "{subject}: {eml}"
    );

    // Read state, flags and categories alone export nothing again, and come back all the same.
    let light = json!({ "isRead": true, "categories": ["Green category"], "flag": { "flagStatus": "flagged" } });
    graph.patch(&format!("/users/{alice}/messages/{id}"), &light)?;
    graph.reset_requests()?;
    let second = scene.tenant.backup()?;
    ensure!(second["snapshot"].is_string(), "{second}");
    ensure!(scene.count("exportItems")? == 0 && scene.count("$value")? == 0);
    let name = second["snapshot"]
        .as_str()
        .context("no snapshot")?
        .to_owned();
    until(|| mount.path("snapshots").join(&name).is_dir())?;

    graph.post(
        &format!("/users/{alice}/messages/{id}/permanentDelete"),
        &json!({}),
    )?;
    graph.reset_requests()?;
    let target = mount.path(&format!("restore/{alice}/Mail/Inbox"));
    until(|| {
        sh_ok(
            &mount.dir,
            &format!("cp {} {}/", quote(&file), quote(&target)),
        )
        .is_ok()
    })?;
    ensure!(scene.count("importItem")? == 1, "{}", graph.requests()?);
    let back: Vec<_> = graph
        .list(&inbox)?
        .into_iter()
        .filter(|m| m["internetMessageId"] == message_id)
        .collect();
    let [back] = &back[..] else {
        anyhow::bail!("{} copies", back.len())
    };
    for property in [
        "subject",
        "receivedDateTime",
        "sentDateTime",
        "isDraft",
        "from",
        "toRecipients",
        "importance",
        "hasAttachments",
        "conversationIndex",
        "body",
    ] {
        ensure!(
            back[property] == mail[property],
            "{property}: {} is {}",
            mail[property],
            back[property]
        );
    }
    ensure!(
        back["isRead"] == true && back["categories"] == light["categories"],
        "{back}"
    );
    ensure!(back["flag"]["flagStatus"] == "flagged", "{back}");
    let now = scene.export(&mailbox, back["id"].as_str().context("no id")?)?;
    let (was, now) = (Object::parse(&was)?, Object::parse(&now)?);
    ensure!(was.attachments.len() == now.attachments.len());
    scene.nothing_was_sent()
}

#[test]
fn without_the_permission_to_import_mail_comes_back_as_a_message() -> Result<()> {
    let roles = "User.Read.All+Mail.ReadWrite+Files.ReadWrite.All+MailboxFolder.Read.All+MailboxItem.Read.All";
    let options = Options {
        accounts: 1,
        messages: 30,
        files: 2,
        archives: 1,
        archive_messages: 20,
        app: vec![format!(
            "0000aaaa-1111-2222-3333-444444444444:restore-secret:{roles}"
        )],
        ..Options::default()
    };
    let tenant = Tenant::with_config(
        options,
        "[protect]\nworkloads = [\"mail\", \"archive\"]\n[protect.mail]\nroute = \"export\"\n",
    )?;
    let config = fs::read_to_string(tenant.config())?;
    let secret = tenant.path("restore-secret");
    e2e::program::write_private(&secret, "restore-secret")?;
    let (head, rest) = config
        .split_once("[tenant.restore]")
        .context("no restore identity")?;
    let tail = &rest[rest.find("[repository]").context("no repository")?..];
    let restore = "[tenant.restore]\nclient_id = \"0000aaaa-1111-2222-3333-444444444444\"\nclient_secret_file = \"restore-secret\"\n";
    fs::write(tenant.config(), format!("{head}{restore}{tail}"))?;

    tenant.backup()?;
    let graph = &tenant.graph;
    let alice = graph.mailboxes()?.remove(0);
    let mount = tenant.mount()?;
    let inbox = format!("/users/{alice}/mailFolders/inbox/messages?$top=200");
    let mail = graph.list(&inbox)?.into_iter().next().context("no mail")?;
    let message_id = mail["internetMessageId"].clone();
    let received = mail["receivedDateTime"].as_str().context("no time")?;
    let stamp = format!(
        "{} {}{}",
        &received[..10],
        &received[11..13],
        &received[14..16]
    );
    let file = named(&latest(&mount, &alice, "Mail/Inbox")?, &stamp)?;
    let id = mail["id"].as_str().context("no id")?;
    graph.post(
        &format!("/users/{alice}/messages/{id}/permanentDelete"),
        &json!({}),
    )?;
    let target = mount.path(&format!("restore/{alice}/Mail/Inbox"));
    until(|| {
        sh_ok(
            &mount.dir,
            &format!("cp {} {}/", quote(&file), quote(&target)),
        )
        .is_ok()
    })?;
    let back: Vec<_> = graph
        .list(&inbox)?
        .into_iter()
        .filter(|m| m["internetMessageId"] == message_id)
        .collect();
    ensure!(back.len() == 1 && back[0]["isDraft"] == false, "{back:?}");
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("MailboxItem.ImportExport.All"), "{log}");

    // An archived mail goes to the mailbox the same way, and not into the archive.
    let archived = named(&latest(&mount, &alice, "Archive/Inbox")?, "Lease")?;
    sh_ok(
        &mount.dir,
        &format!("cp {} {}/", quote(&archived), quote(&target)),
    )?;
    let there = graph.list(&inbox)?;
    ensure!(
        there
            .iter()
            .any(|m| m["subject"] == "Lease" && m["isDraft"] == false)
    );
    let target = mount.path(&format!("restore/@keep-both/{alice}/Archive/Inbox"));
    let (ok, what) = sh(
        &mount.dir,
        &format!("cp {} {}/", quote(&archived), quote(&target)),
    )?;
    ensure!(!ok && what.contains("ermission denied"), "{what}");
    Ok(())
}
