//! The traps of Exchange's change tracking, each sprung on a capture of everything: what changes without
//! being new, moves that are half told, tokens that are lost, mailboxes that are full, items that fail
//! their page, and changes that are never told at all.

mod changes;
mod poison;
mod sweep;
mod tokens;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::Rig;
use e2e::rig::{everything, id, live};
use graph_emulator::{Options, Quirk};
use serde_json::{Value, json};

/// All folders of the mount that hold what has an id.
const ALL: [&str; 6] = [
    "Mail", "Archive", "Calendar", "Contacts", "Tasks", "OneDrive",
];

/// A tenant with something of everything.
fn tenant(quirk: &[Quirk]) -> Options {
    Options {
        accounts: 1,
        messages: 60,
        files: 12,
        events: 24,
        contacts: 40,
        archives: 1,
        archive_messages: 30,
        quirk: quirk.to_vec(),
        ..Options::default()
    }
}

/// Such a tenant, captured once.
fn captured(quirk: &[Quirk]) -> Result<Rig> {
    let rig = Rig::start(tenant(quirk), everything)?;
    rig.good_cycle()?;
    complete(&rig)?;
    Ok(rig)
}

/// The newest snapshot has what is there, and nothing else.
fn complete(rig: &Rig) -> Result<()> {
    let (captured, live) = (rig.captured()?, live(&rig.graph, &rig.emulator.url, &ALL)?);
    let differ = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
        a.difference(b).cloned().collect()
    };
    let (missing, extra) = (differ(&live, &captured), differ(&captured, &live));
    ensure!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:#?}, too many {extra:#?}"
    );
    Ok(())
}

/// The first mailbox.
fn alice(rig: &Rig) -> Result<String> {
    rig.graph.mailboxes()?.into_iter().next().context("nobody")
}

/// Path and record of the captured item with this id.
fn item(rig: &Rig, id: &str) -> Result<(String, Value)> {
    let files = rig.files()?.into_iter();
    let mut found = files.filter(|(_, (_, record))| record["id"] == id);
    let (path, (_, record)) = found.next().with_context(|| format!("{id} is not there"))?;
    Ok((path, record))
}

/// Makes one of each kind, and returns their ids.
fn make_one_of_each(rig: &Rig, name: &str) -> Result<Vec<String>> {
    let (graph, upn) = (&rig.graph, alice(rig)?);
    let user = format!("/users/{upn}");
    let at = |time: &str| json!({ "dateTime": time, "timeZone": "UTC" });
    let event = json!({ "subject": name, "start": at("2026-12-01T10:00:00"), "end": at("2026-12-01T11:00:00") });
    let list = tasks(rig)?;
    let made = [
        graph.receive(&upn, "inbox", name)?,
        graph.post(&format!("{user}/events"), &event)?,
        graph.post(&format!("{user}/contacts"), &json!({ "givenName": name }))?,
        graph.post(&list, &json!({ "title": name }))?,
        graph.put(
            &format!("{user}/drive/root:/{name}.txt:/content"),
            name.into(),
        )?,
    ];
    Ok(made.iter().map(id).collect())
}

/// Where the tasks of the first mailbox are, those of its own list.
fn tasks(rig: &Rig) -> Result<String> {
    let lists = format!("/users/{}/todo/lists", alice(rig)?);
    let all = rig.graph.list(&lists)?;
    let own = all.iter().find(|l| l["wellknownListName"] == "defaultList");
    Ok(format!("{lists}/{}/tasks", id(own.context("no list")?)))
}

/// Where the items of its archive's inbox are.
fn archived(rig: &Rig) -> Result<String> {
    let beta = format!("{}/beta", rig.emulator.url);
    let settings = format!("{beta}/users/{}/settings/exchange", alice(rig)?);
    let archive = rig.graph.get(&settings)?["inPlaceArchiveMailboxId"].clone();
    let archive = archive.as_str().context("no archive")?;
    let folders = format!("{beta}/admin/exchange/mailboxes/{archive}/folders");
    let all = rig.graph.list(&format!("{folders}?$top=100"))?;
    let inbox = all.iter().find(|f| f["displayName"] == "Inbox");
    Ok(format!(
        "{folders}/{}/items",
        id(inbox.context("no inbox")?)
    ))
}
