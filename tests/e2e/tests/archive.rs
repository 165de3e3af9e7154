//! In-place archives, and mail by export: what is captured of them and with how many requests, and that
//! everything comes back as it was, through the mount and through the command line. Every restore ends
//! with the question whether Exchange would have sent anything to anyone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::{Mounted, Tenant, corpus, text};
use graph_emulator::{Options, Quirk};
use serde_json::{Value, json};
use tenantfs::format::fasttransfer::{Builder, Key, New, Object, Prop};

/// A tenant whose first two users have archives, those of the second empty but for its seed.
struct Scene {
    tenant: Tenant,
    alice: String,
    bob: String,
}

impl Scene {
    fn new(quirk: Vec<Quirk>, extra: &str) -> Result<Self> {
        let options = Options {
            accounts: 2,
            messages: 60,
            files: 4,
            archives: 2,
            archive_messages: 70,
            quirk,
            ..Options::default()
        };
        let tenant = Tenant::with_config(options, extra)?;
        let mut users = tenant.graph.mailboxes()?;
        let (alice, bob) = (users.remove(0), users.remove(0));
        Ok(Self { tenant, alice, bob })
    }

    fn beta(&self, path: &str) -> String {
        format!("{}/beta{path}", self.tenant.emulator.url)
    }

    fn mailbox(&self, upn: &str, which: &str) -> Result<String> {
        let settings = self.beta(&format!("/users/{upn}/settings/exchange"));
        let settings = self.tenant.graph.get(&settings)?;
        let id = settings[which].as_str().context("no such mailbox")?;
        Ok(self.beta(&format!("/admin/exchange/mailboxes/{id}")))
    }

    fn archive(&self, upn: &str) -> Result<String> {
        self.mailbox(upn, "inPlaceArchiveMailboxId")
    }

    /// A folder at the top of an archive, by name.
    fn folder(&self, archive: &str, name: &str) -> Result<String> {
        let folders = self.tenant.graph.list(&format!("{archive}/folders?$top=100"))?;
        let found = folders.iter().find(|f| f["displayName"] == name);
        let id = found.and_then(|f| f["id"].as_str());
        Ok(id.with_context(|| format!("no folder {name}"))?.to_owned())
    }

    fn items(&self, archive: &str, folder: &str) -> Result<Vec<Value>> {
        let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x0037')";
        let path = format!("{archive}/folders/{folder}/items?$top=200&{expand}");
        self.tenant.graph.list(&path)
    }

    fn subject(item: &Value) -> &str {
        let value = &item["singleValueExtendedProperties"][0]["value"];
        value.as_str().unwrap_or_default()
    }

    fn export(&self, mailbox: &str, id: &str) -> Result<Vec<u8>> {
        let answer = self
            .tenant
            .graph
            .post(&format!("{mailbox}/exportItems"), &json!({ "itemIds": [id] }))?;
        let data = answer["value"][0]["data"].as_str().context("no data")?;
        Ok(STANDARD.decode(data)?)
    }

    /// Imports as some other application would.
    fn import(&self, mailbox: &str, folder: &str, stream: &[u8]) -> Result<String> {
        let session = self.tenant.graph.post(&format!("{mailbox}/createImportSession"), &json!({}))?;
        let url = session["importUrl"].as_str().context("no URL")?;
        let body = json!({ "FolderId": folder, "Mode": "create", "Data": STANDARD.encode(stream) });
        let http = reqwest::blocking::Client::new();
        let answer = http.post(url).json(&body).send()?;
        ensure!(answer.status().is_success(), "import: {}", answer.status());
        let answer: Value = answer.json()?;
        Ok(answer["itemId"].as_str().context("no id")?.to_owned())
    }

    fn delete(&self, archive: &str, folder: &str, id: &str) -> Result<()> {
        self.tenant.graph.delete(&format!("{archive}/folders/{folder}/items/{id}"))?;
        Ok(())
    }

    /// How many requests went to routes that hold `part`.
    fn count(&self, part: &str) -> Result<u64> {
        let counts = self.tenant.graph.requests()?;
        let routes = counts["by_route"].as_array().context("no routes")?;
        let matching = routes.iter().filter(|route| {
            route["route"].as_str().is_some_and(|route| route.contains(part))
        });
        Ok(matching.filter_map(|route| route["count"].as_u64()).sum())
    }

    fn nothing_was_sent(&self) -> Result<()> {
        let outbox = self.tenant.graph.outbox()?;
        let sent = outbox.as_array().or(outbox["value"].as_array()).context("no outbox")?;
        ensure!(sent.is_empty(), "a restore sent mail: {sent:?}");
        Ok(())
    }
}

fn sh(dir: &Path, command: &str) -> Result<(bool, String)> {
    let output = Command::new("bash").args(["-c", command]).current_dir(dir).output()?;
    Ok((output.status.success(), text(&output.stdout) + &text(&output.stderr)))
}

fn sh_ok(dir: &Path, command: &str) -> Result<String> {
    let (ok, said) = sh(dir, command)?;
    ensure!(ok, "{command}: {said}");
    Ok(said)
}

fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn latest(mount: &Mounted, upn: &str, folder: &str) -> Result<PathBuf> {
    let latest = mount.path("snapshots/latest").canonicalize()?;
    Ok(latest.join(upn).join(folder))
}

/// The file in a folder whose name holds `part`.
fn named(dir: &Path, part: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("{}", dir.display()))?;
    let mut paths = entries.filter_map(|e| Some(e.ok()?.path()));
    paths
        .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().contains(part)))
        .with_context(|| format!("no {part} in {}", dir.display()))
}

/// Waits until the mount shows what was just restored or captured.
fn until(what: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !what() {
        ensure!(Instant::now() < deadline, "it does not come");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Everything a stream says, but for what an import changes: the change key and its history, when it
/// was made and last modified, and our marker.
fn said(stream: &[u8]) -> Result<String> {
    let object = Object::parse(stream)?;
    let own = |key: &Key| match key {
        Key::Tag(id) => [0x65E2, 0x65E3, 0x3007, 0x3008, 0x300B].contains(id),
        Key::Name(_, name) => name == "tenantfs",
        Key::Id(..) => false,
    };
    let mut lines: Vec<String> = object
        .properties
        .iter()
        .filter(|p| !own(&p.key))
        .map(|p| format!("{:?} {}", p.key, value(&p.value)))
        .collect();
    lines.sort();
    Ok(format!(
        "{lines:#?} {} recipients {} attachments",
        object.recipients.len(),
        object.attachments.len()
    ))
}

fn value(value: &tenantfs::format::fasttransfer::MapiValue<'_>) -> String {
    use tenantfs::format::fasttransfer::MapiValue;
    match value {
        MapiValue::Text(text) => text.decode(),
        MapiValue::Binary(bytes) | MapiValue::Object(bytes) => STANDARD.encode(bytes.bytes()),
        MapiValue::Many(values) => values.iter().map(self::value).collect::<Vec<_>>().join("|"),
        other => format!("{other:?}"),
    }
}

/// A stream with good frames and nothing that can be read in them.
fn unreadable() -> Vec<u8> {
    let mut stream = Builder::default().finish();
    stream.extend_from_slice(&[2, 0, 0, 0, 12, 0, 0, 0]);
    stream.extend_from_slice(b"\x29\x00\x17\x00whatever");
    stream
}

#[test]
fn an_archive_is_captured_whole() -> Result<()> {
    let scene = Scene::new(vec![Quirk::AutoExpandingArchive], "")?;
    let alice = &scene.alice;
    let archive = scene.archive(alice)?;
    let inbox = scene.folder(&archive, "Inbox")?;
    scene.import(&archive, &inbox, &unreadable())?;

    scene.tenant.graph.reset_requests()?;
    let first = scene.tenant.backup()?;
    ensure!(first["snapshot"].is_string(), "{first}");
    let exports = scene.count("exportItems")?;
    let mount = scene.tenant.mount()?;
    let top = latest(&mount, alice, "Archive")?;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for file in corpus::files(&top) {
        let kind = file.extension().unwrap_or_default().to_string_lossy().into_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    // Half of the messages of all archives, a rich text mail; appointments and tasks; contacts and a
    // list; a note; and what nobody can read.
    ensure!(kinds.get("eml") == Some(&36), "{kinds:?}");
    ensure!(kinds.get("ics") == Some(&7), "{kinds:?}");
    ensure!(kinds.get("vcf") == Some(&3), "{kinds:?}");
    ensure!(kinds.get("txt") == Some(&1), "{kinds:?}");
    ensure!(kinds.get("fts") == Some(&1), "{kinds:?}");
    // At most one request for each folder's rest of twenty.
    ensure!(exports <= 2 * (48 / 20 + 13), "{exports} exports");

    let read = |path: PathBuf| -> Result<String> { Ok(text(&fs::read(path)?)) };
    let lease = read(named(&top.join("Inbox"), "Lease")?)?;
    ensure!(lease.contains("the lease"), "{lease}");
    let standup = read(named(&top.join("Calendar"), "Stand-up")?)?;
    for part in ["BEGIN:VCALENDAR", "RRULE:FREQ=WEEKLY", "RECURRENCE-ID", "EXDATE", "Room 2"] {
        ensure!(standup.contains(part), "no {part} in {standup}");
    }
    let jane = read(named(&top.join("Contacts"), "Jane Roe")?)?;
    ensure!(jane.contains("jane.roe@fabrikam.com") && jane.contains("PHOTO:"), "{jane}");
    let board = read(named(&top.join("Contacts"), "Board")?)?;
    ensure!(board.contains("KIND:group"), "{board}");
    let note = read(named(&top.join("Notes"), "Locker")?)?;
    ensure!(note.contains("left, then right"), "{note}");
    let task = read(named(&top.join("Tasks"), "Renew the lease")?)?;
    ensure!(task.contains("STATUS:COMPLETED"), "{task}");
    // The raw stream is shown as it is.
    let raw = fs::read(named(&top.join("Inbox"), ".fts")?)?;
    ensure!(raw.ends_with(b"whatever"), "{raw:?}");
    let report = latest(&mount, "", ".tenantfs/report.json")?;
    let report: Value = serde_json::from_slice(&fs::read(report)?)?;
    ensure!(report.to_string().contains("shown as it was exported"), "{report}");

    // Nothing changed: nothing is exported, nothing is written.
    scene.tenant.graph.reset_requests()?;
    let idle = scene.tenant.backup()?;
    ensure!(idle["snapshot"].is_null(), "{idle}");
    ensure!(scene.count("exportItems")? == 0);

    // Something came and something went.
    let projects = scene.folder(&archive, "Projects")?;
    let gone = &scene.items(&archive, &projects)?[0];
    scene.delete(&archive, &projects, gone["id"].as_str().context("no id")?)?;
    let mut note = Builder::default();
    note.property(Prop::Tag(0x001A), &New::Text("IPM.StickyNote"));
    note.property(Prop::Tag(0x0037), &New::Text("Fresh"));
    note.property(Prop::Tag(0x1000), &New::Text("ink"));
    scene.import(&archive, &projects, &note.finish())?;
    scene.tenant.graph.reset_requests()?;
    let second = scene.tenant.backup()?;
    ensure!(second["snapshot"].is_string(), "{second}");
    let name = second["snapshot"].as_str().context("no snapshot")?.to_owned();
    let exports = scene.count("exportItems")?;
    // One for the new one, one to make sure of the one that is gone.
    ensure!(exports <= 2, "{exports} exports");
    until(|| mount.path("snapshots").join(&name).is_dir())?;
    let projects = mount.path("snapshots").join(&name).join(alice).join("Archive/Projects");
    ensure!(read(named(&projects, "Fresh")?)? == "ink\n");
    let before = corpus::files(&top.join("Projects")).len();
    ensure!(corpus::files(&projects).len() == before, "one went, one came");

    // All of it is sound, the streams too.
    drop(mount);
    scene.tenant.json(&["verify", "--read-data"])?;
    Ok(())
}

#[test]
fn an_item_that_cannot_be_exported_costs_no_other() -> Result<()> {
    let scene = Scene::new(Vec::new(), "[protect]\nworkloads = [\"archive\"]\n")?;
    let fault = json!([{ "route": "*exportItems", "count": 0, "fault": { "item": "Lease", "code": "ErrorCorruptData" } }]);
    scene.tenant.graph.control("faults", &fault)?;
    let first = scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let inbox = latest(&mount, &scene.alice, "Archive/Inbox")?;
    ensure!(named(&inbox, "Lease").is_err(), "it was exported all the same: {first}");
    ensure!(corpus::files(&inbox).len() > 10);
    let report = latest(&mount, "", ".tenantfs/report.json")?;
    let report = text(&fs::read(report)?);
    ensure!(report.contains("Lease") && report.contains("ErrorCorruptData"), "{report}");
    Ok(())
}

#[test]
fn archived_items_come_back_as_they_were() -> Result<()> {
    let scene = Scene::new(Vec::new(), "[protect]\nworkloads = [\"mail\", \"archive\", \"drive\"]\n")?;
    let (alice, bob) = (&scene.alice, &scene.bob);
    let archive = scene.archive(alice)?;
    let calendar = scene.folder(&archive, "Calendar")?;
    let inbox = scene.folder(&archive, "Inbox")?;
    let raw_id = scene.import(&archive, &inbox, &unreadable())?;
    let talks = scene.items(&archive, &calendar)?;
    let talks = talks.iter().find(|i| Scene::subject(i) == "Stand-up").context("no stand-up")?;
    let talks_id = talks["id"].as_str().context("no id")?;
    let was = scene.export(&archive, talks_id)?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let top = latest(&mount, alice, "Archive")?;
    let file = named(&top.join("Calendar"), "Stand-up")?;
    let name = file.file_name().context("no name")?.to_string_lossy().into_owned();
    let target = mount.path(&format!("restore/{alice}/Archive/Calendar"));

    // It is there: a second one is refused.
    let (ok, what) = sh(&mount.dir, &format!("cp {} {}/", quote(&file), quote(&target)))?;
    ensure!(!ok && what.contains("exists"), "it is there, but: {what}");

    // One that was deleted comes back exactly, under its name, once.
    scene.delete(&archive, &calendar, talks_id)?;
    until(|| sh_ok(&mount.dir, &format!("cp {} {}/", quote(&file), quote(&target))).is_ok())?;
    let back = scene.items(&archive, &calendar)?;
    let back: Vec<_> = back.iter().filter(|i| Scene::subject(i) == "Stand-up").collect();
    ensure!(back.len() == 1, "{} of them", back.len());
    let now = scene.export(&archive, back[0]["id"].as_str().context("no id")?)?;
    ensure!(said(&now)? == said(&was)?, "{}\n{}", said(&now)?, said(&was)?);
    ensure!(sh_ok(&mount.dir, &format!("ls {}", quote(&target)))?.contains(&name));

    // Over it, and beside it.
    for (policy, count) in [("@overwrite", 1), ("@keep-both", 2)] {
        let target = mount.path(&format!("restore/{policy}/{alice}/Archive/Calendar"));
        sh_ok(&mount.dir, &format!("cp {} {}/", quote(&file), quote(&target)))?;
        let there = scene.items(&archive, &calendar)?;
        let there = there.iter().filter(|i| Scene::subject(i) == "Stand-up").count();
        ensure!(there == count, "{policy}: {there}");
    }

    // What nobody can read comes back too.
    let raw = named(&top.join("Inbox"), ".fts")?;
    scene.delete(&archive, &inbox, &raw_id)?;
    let count = scene.items(&archive, &inbox)?.len();
    let target = mount.path(&format!("restore/{alice}/Archive/Inbox"));
    sh_ok(&mount.dir, &format!("cp {} {}/", quote(&raw), quote(&target)))?;
    ensure!(scene.items(&archive, &inbox)?.len() == count + 1);

    // A mail to another account's archive, to a mailbox, and to a drive as a file.
    let mail = named(&top.join("Inbox"), "Lease")?;
    let bobs = scene.archive(bob)?;
    sh_ok(&mount.dir, &format!("mkdir -p {}", quote(&mount.path(&format!("restore/{bob}/Archive/From Alice")))))?;
    let from_alice = mount.path(&format!("restore/{bob}/Archive/From Alice"));
    sh_ok(&mount.dir, &format!("cp {} {}/", quote(&mail), quote(&from_alice)))?;
    let folder = scene.folder(&bobs, "From Alice")?;
    let there = scene.items(&bobs, &folder)?;
    ensure!(there.len() == 1 && Scene::subject(&there[0]) == "Lease", "{there:?}");

    let target = mount.path(&format!("restore/{bob}/Mail/Inbox"));
    sh_ok(&mount.dir, &format!("cp {} {}/", quote(&mail), quote(&target)))?;
    let messages = scene.tenant.graph.list(&format!("/users/{bob}/mailFolders/inbox/messages?$top=200"))?;
    let lease: Vec<_> = messages.iter().filter(|m| m["subject"] == "Lease").collect();
    ensure!(lease.len() == 1, "{} of them", lease.len());
    ensure!(lease[0]["isDraft"] == false && lease[0]["isRead"] == true, "{}", lease[0]);
    ensure!(lease[0]["from"]["emailAddress"]["address"] == "ola@northwind.test");

    let target = mount.path(&format!("restore/{bob}/OneDrive"));
    sh_ok(&mount.dir, &format!("cp {} {}/lease.eml", quote(&mail), quote(&target)))?;
    let bytes = scene.tenant.graph.bytes(&format!("/users/{bob}/drive/root:/lease.eml:/content"))?;
    ensure!(bytes == fs::read(&mail)?);

    // A mail from elsewhere goes into an archive as well; a calendar file from elsewhere does not.
    let foreign = scene.tenant.path("foreign.eml");
    fs::write(&foreign, "From: c@x.test\r\nTo: d@x.test\r\nSubject: From elsewhere\r\nDate: Sun, 1 Mar 2026 09:00:00 +0000\r\nMessage-ID: <e1@x.test>\r\n\r\nhello\r\n")?;
    sh_ok(&mount.dir, &format!("cp {} {}/", quote(&foreign), quote(&from_alice)))?;
    let there = scene.items(&bobs, &folder)?;
    ensure!(there.iter().any(|i| Scene::subject(i) == "From elsewhere"), "{there:?}");
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("does not document"), "{log}");
    let foreign = scene.tenant.path("foreign.ics");
    fs::write(&foreign, "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")?;
    let (ok, what) = sh(&mount.dir, &format!("cp {} {}/", quote(&foreign), quote(&from_alice)))?;
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
    let plan = scene.tenant.json(&["restore", &source, &target, "--dry-run"])?;
    ensure!(!plan.to_string().contains("\"failed\":1"), "{plan}");
    let done = scene.tenant.run(&["restore", &source, &target])?;
    ensure!(done.status.success(), "{}", text(&done.stderr));

    let (from, to) = (scene.archive(alice)?, scene.archive(bob)?);
    let alices = scene.folder(&to, "Alice")?;
    let children = scene.tenant.graph.list(&format!("{to}/folders/{alices}/childFolders?$top=100"))?;
    for name in ["Inbox", "Calendar", "Contacts", "Tasks", "Notes"] {
        let copy = children.iter().find(|f| f["displayName"] == name);
        let copy = copy.and_then(|f| f["id"].as_str()).with_context(|| format!("no {name}"))?;
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
        ensure!(streams(&to, copy)? == streams(&from, &original)?, "{name} differs");
    }
    // Once more: everything is there.
    let again = scene.tenant.run(&["restore", &source, &target])?;
    ensure!(again.status.success(), "{}", text(&again.stderr));
    let inbox = children.iter().find(|f| f["displayName"] == "Inbox").and_then(|f| f["id"].as_str());
    let inbox = inbox.context("no inbox")?;
    let original = scene.folder(&from, "Inbox")?;
    ensure!(scene.items(&to, inbox)?.len() == scene.items(&from, &original)?.len());
    scene.nothing_was_sent()
}

#[test]
fn mail_by_export_takes_a_twentieth_of_the_requests_and_comes_back_exactly() -> Result<()> {
    let scene = Scene::new(Vec::new(), "[protect]\nworkloads = [\"mail\"]\n[protect.mail]\nroute = \"export\"\n")?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    graph.reset_requests()?;
    scene.tenant.backup()?;
    ensure!(scene.count("$value")? == 0, "{}", graph.requests()?);
    let folders: u64 = graph
        .mailboxes()?
        .iter()
        .map(|upn| graph.list(&format!("/users/{upn}/mailFolders?$top=100&includeHiddenFolders=true")).map(|f| f.len() as u64 + 4))
        .sum::<Result<u64>>()?;
    let exports = scene.count("exportItems")?;
    ensure!(exports >= 3 && exports <= 60 / 20 + folders, "{exports} exports, {folders} folders");

    let mount = scene.tenant.mount()?;
    let inbox = format!("/users/{alice}/mailFolders/inbox/messages?$top=200");
    let mail = graph.list(&inbox)?.into_iter().next().context("no mail")?;
    let id = mail["id"].as_str().context("no id")?;
    let mailbox = scene.mailbox(alice, "primaryMailboxId")?;
    let was = scene.export(&mailbox, id)?;
    let subject = mail["subject"].as_str().context("no subject")?;
    let received = mail["receivedDateTime"].as_str().context("no time")?;
    let stamp = format!("{} {}{}", &received[..10], &received[11..13], &received[14..16]);
    let file = named(&latest(&mount, alice, "Mail/Inbox")?, &stamp)?;
    let eml = text(&fs::read(&file)?);
    let message_id = mail["internetMessageId"].as_str().context("no message id")?;
    ensure!(eml.contains(message_id) && eml.contains("Received:"), "{subject}: {eml}");

    // Read state, flags and categories alone export nothing again, and come back all the same.
    let light = json!({ "isRead": true, "categories": ["Green category"], "flag": { "flagStatus": "flagged" } });
    graph.patch(&format!("/users/{alice}/messages/{id}"), &light)?;
    graph.reset_requests()?;
    let second = scene.tenant.backup()?;
    ensure!(second["snapshot"].is_string(), "{second}");
    ensure!(scene.count("exportItems")? == 0 && scene.count("$value")? == 0);
    let name = second["snapshot"].as_str().context("no snapshot")?.to_owned();
    until(|| mount.path("snapshots").join(&name).is_dir())?;

    graph.post(&format!("/users/{alice}/messages/{id}/permanentDelete"), &json!({}))?;
    graph.reset_requests()?;
    let target = mount.path(&format!("restore/{alice}/Mail/Inbox"));
    until(|| sh_ok(&mount.dir, &format!("cp {} {}/", quote(&file), quote(&target))).is_ok())?;
    ensure!(scene.count("importItem")? == 1, "{}", graph.requests()?);
    let back: Vec<_> = graph.list(&inbox)?.into_iter().filter(|m| m["internetMessageId"] == message_id).collect();
    let [back] = &back[..] else {
        anyhow::bail!("{} copies", back.len())
    };
    for property in ["subject", "receivedDateTime", "sentDateTime", "isDraft", "from", "toRecipients", "importance", "hasAttachments", "conversationIndex", "body"] {
        ensure!(back[property] == mail[property], "{property}: {} is {}", mail[property], back[property]);
    }
    ensure!(back["isRead"] == true && back["categories"] == light["categories"], "{back}");
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
        app: vec![format!("0000aaaa-1111-2222-3333-444444444444:restore-secret:{roles}")],
        ..Options::default()
    };
    let tenant = Tenant::with_config(options, "[protect]\nworkloads = [\"mail\", \"archive\"]\n[protect.mail]\nroute = \"export\"\n")?;
    let config = fs::read_to_string(tenant.config())?;
    let secret = tenant.path("restore-secret");
    e2e::program::write_private(&secret, "restore-secret")?;
    let (head, rest) = config.split_once("[tenant.restore]").context("no restore identity")?;
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
    let stamp = format!("{} {}{}", &received[..10], &received[11..13], &received[14..16]);
    let file = named(&latest(&mount, &alice, "Mail/Inbox")?, &stamp)?;
    let id = mail["id"].as_str().context("no id")?;
    graph.post(&format!("/users/{alice}/messages/{id}/permanentDelete"), &json!({}))?;
    let target = mount.path(&format!("restore/{alice}/Mail/Inbox"));
    until(|| sh_ok(&mount.dir, &format!("cp {} {}/", quote(&file), quote(&target))).is_ok())?;
    let back: Vec<_> = graph.list(&inbox)?.into_iter().filter(|m| m["internetMessageId"] == message_id).collect();
    ensure!(back.len() == 1 && back[0]["isDraft"] == false, "{back:?}");
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("MailboxItem.ImportExport.All"), "{log}");

    // An archived mail goes to the mailbox the same way, and not into the archive.
    let archived = named(&latest(&mount, &alice, "Archive/Inbox")?, "Lease")?;
    sh_ok(&mount.dir, &format!("cp {} {}/", quote(&archived), quote(&target)))?;
    let there = graph.list(&inbox)?;
    ensure!(there.iter().any(|m| m["subject"] == "Lease" && m["isDraft"] == false));
    let target = mount.path(&format!("restore/@keep-both/{alice}/Archive/Inbox"));
    let (ok, what) = sh(&mount.dir, &format!("cp {} {}/", quote(&archived), quote(&target)))?;
    ensure!(!ok && what.contains("ermission denied"), "{what}");
    Ok(())
}
