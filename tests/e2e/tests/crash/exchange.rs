//! What a mailbox holds beside mail - events, contacts, tasks, settings and the in-place archive - under
//! the same kills: changed between captures, counted after them, and restored exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::kills::{dice, rounds};
use e2e::rig::{id, records};
use e2e::{Mounted, Tenant, corpus, exported};
use graph_emulator::Options;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{ROUNDS, settle};

/// Its folders in the mount, but for the settings.
const FOLDERS: [&str; 4] = ["Calendar", "Contacts", "Tasks", "Archive"];

/// A small tenant with something of everything.
pub fn tenant(messages: u64, files: u64) -> Options {
    Options {
        accounts: 2,
        messages,
        files,
        events: 24,
        contacts: 24,
        archives: 1,
        archive_messages: 12,
        ..Options::default()
    }
}

fn live(tenant: &Tenant, upn: &str, folder: &str) -> Result<Vec<(String, Value)>> {
    records(&tenant.graph, &tenant.emulator.url, upn, &[folder])
}

/// One of them by lot.
fn any(mut all: Vec<(String, Value)>, dice: &mut StdRng) -> Result<(String, Value)> {
    ensure!(!all.is_empty(), "there is none left");
    Ok(all.swap_remove(dice.random_range(0..all.len())))
}

/// Something comes, something changes and something goes, of everything.
pub fn change(tenant: &Tenant, upn: &str, round: u64, dice: &mut StdRng) -> Result<()> {
    let graph = &tenant.graph;
    let of = format!("/users/{upn}");
    let at =
        |hour: u8| json!({ "dateTime": format!("2036-05-05T{hour}:00:00"), "timeZone": "UTC" });
    let name = format!("Round {round}");
    let event = json!({ "subject": name, "start": at(11), "end": at(12) });
    graph.post(&format!("{of}/events"), &event)?;
    graph.post(&format!("{of}/contacts"), &json!({ "displayName": name }))?;
    let lists = graph.list(&format!("{of}/todo/lists"))?;
    let default = lists
        .iter()
        .find(|list| list["wellknownListName"] == "defaultList");
    let tasks = format!(
        "{of}/todo/lists/{}/tasks",
        id(default.context("no default list")?)
    );
    graph.post(&tasks, &json!({ "title": name }))?;
    let categories = format!("{of}/outlook/masterCategories");
    graph.post(
        &categories,
        &json!({ "displayName": name, "color": "preset4" }),
    )?;
    if let Ok(archive) = exported::archive(tenant, upn) {
        let (address, item) = any(live(tenant, upn, "Archive")?, dice)?;
        let stream = exported::export(tenant, &archive, &id(&item))?;
        let folder = address
            .split("/folders/")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        exported::import(tenant, &archive, folder.context("no folder")?, &stream)?;
    }
    let (address, _) = any(live(tenant, upn, "Contacts")?, dice)?;
    graph.patch(&address, &json!({ "jobTitle": name }))?;
    for folder in FOLDERS {
        let all = live(tenant, upn, folder)?;
        if let Ok((address, _)) = any(removable(all), dice) {
            graph.delete(&address)?;
        }
    }
    Ok(())
}

/// Without birthdays: the service fills that calendar.
fn removable(mut all: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let subject = |record: &Value| record["subject"].as_str().unwrap_or_default().to_owned();
    all.retain(|(_, record)| !subject(record).ends_with("'s birthday"));
    all
}

/// Which version of which item a record is.
fn version(record: &Value) -> (String, String) {
    let stamp = [&record["changeKey"], &record["lastModifiedDateTime"]];
    let stamp = stamp.iter().find_map(|stamp| stamp.as_str());
    (id(record), stamp.unwrap_or_default().to_owned())
}

/// The files of a folder of the newest snapshot, below the account's, and their records.
fn captured(mount: &Mounted, upn: &str, folder: &str) -> Result<Vec<(PathBuf, Value)>> {
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let account = latest.join(upn);
    let folder = account.join(folder);
    let mut all = Vec::new();
    if folder.is_dir() {
        for file in corpus::files(&folder) {
            let below = file.strip_prefix(&account)?;
            let record = format!(".tenantfs/graph/{upn}/{}.json", below.display());
            let record = serde_json::from_slice(&std::fs::read(latest.join(record))?)?;
            all.push((below.to_owned(), record));
        }
    }
    Ok(all)
}

/// Every live item is in the latest snapshot as it is now, and no other; so are the categories.
pub fn is_complete(tenant: &Tenant, mount: &Mounted, upn: &str) -> Result<()> {
    for folder in FOLDERS {
        let shown: BTreeSet<_> = captured(mount, upn, folder)?
            .iter()
            .map(|(_, record)| version(record))
            .collect();
        let live: BTreeSet<_> = live(tenant, upn, folder)?
            .iter()
            .map(|(_, record)| version(record))
            .collect();
        let odd: Vec<_> = shown.symmetric_difference(&live).collect();
        ensure!(odd.is_empty(), "{upn} {folder}: {odd:#?}");
    }
    let settings = mount.path(&format!("snapshots/latest/{upn}/Settings/categories.json"));
    let shown: Vec<Value> = serde_json::from_slice(&std::fs::read(settings)?)?;
    let live = tenant
        .graph
        .list(&format!("/users/{upn}/outlook/masterCategories"))?;
    let names = |all: &[Value]| -> BTreeSet<String> {
        all.iter().map(|c| c["displayName"].to_string()).collect()
    };
    ensure!(names(&shown) == names(&live), "{upn}: other categories");
    Ok(())
}

/// What must be the same of an item that comes back.
fn meaning(tenant: &Tenant, folder: &str, address: &str, record: &Value) -> Result<String> {
    let names = match folder {
        "Calendar" => "subject type start end isAllDay importance",
        "Contacts" => "displayName givenName surname mobilePhone emailAddresses personalNotes",
        "Tasks" => "title dueDateTime importance categories",
        _ => {
            let (mailbox, _) = address.split_once("/folders/").context("no mailbox")?;
            return exported::said(&exported::export(tenant, mailbox, &id(record))?);
        }
    };
    let chosen: Vec<&Value> = names.split(' ').map(|name| &record[name]).collect();
    Ok(format!("{folder} {}", json!(chosen)))
}

/// How often each meaning is there.
fn census(tenant: &Tenant, upn: &str) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for folder in FOLDERS {
        for (address, record) in live(tenant, upn, folder)? {
            *counts
                .entry(meaning(tenant, folder, &address, &record)?)
                .or_default() += 1;
        }
    }
    Ok(counts)
}

/// Deletes some of each folder; their meanings by id.
fn delete_some(tenant: &Tenant, upn: &str, dice: &mut StdRng) -> Result<Vec<(String, String)>> {
    let mut gone = Vec::new();
    for folder in FOLDERS {
        let mut all = removable(live(tenant, upn, folder)?);
        for _ in 0..3 {
            let at = dice.random_range(0..all.len());
            let (address, record) = all.swap_remove(at);
            gone.push((id(&record), meaning(tenant, folder, &address, &record)?));
            tenant.graph.delete(&address)?;
        }
    }
    // Each kind has its turn before the kill.
    for at in (1..gone.len()).rev() {
        gone.swap(at, dice.random_range(0..=at));
    }
    Ok(gone)
}

/// Copies what is gone into the queue until it is time; the meanings of what was said to be safe.
fn queue(mount: &Mounted, upn: &str, gone: &[(String, String)]) -> Result<Vec<String>> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in FOLDERS {
        let found = captured(mount, upn, folder)?;
        files.extend(found.into_iter().map(|(file, record)| (id(&record), file)));
    }
    let mut accepted = Vec::new();
    for (id, meaning) in gone {
        let file = files.get(id).context("what was deleted was not captured")?;
        let from = mount.path("snapshots/latest").join(upn).join(file);
        let to = Path::new("restore/@queued").join(upn).join(file);
        std::fs::copy(from, mount.dir.join(to)).with_context(|| format!("{}", file.display()))?;
        accepted.push(meaning.clone());
    }
    Ok(accepted)
}

#[test]
fn killed_in_a_restore_of_everything() -> Result<()> {
    let mut dice = dice(5);
    let tenant = Tenant::start(tenant(10, 0))?;
    let upn = tenant.graph.mailboxes()?.remove(0);
    let before = census(&tenant, &upn)?;
    for round in 0..rounds(ROUNDS) {
        tenant.backup()?;
        let gone = delete_some(&tenant, &upn, &mut dice)?;
        let sent = tenant.graph.sent()?.len();
        let mount = tenant.mount()?;
        let accepted = queue(&mount, &upn, &gone[..dice.random_range(1..=gone.len())])?;
        std::thread::sleep(Duration::from_micros(dice.random_range(0..300_000)));
        mount.kill()?;
        settle(&tenant)?;
        let now = census(&tenant, &upn)?;
        for one in accepted {
            ensure!(
                now.get(&one) == before.get(&one),
                "round {round}: {:?} times there, not {:?}: {one}",
                now.get(&one),
                before.get(&one)
            );
        }
        // The rest, by the command line: what arrived is not there twice.
        tenant.json(&["restore", &format!("latest/{upn}"), &upn, "--deleted-only"])?;
        let now = census(&tenant, &upn)?;
        let odd: Vec<_> = before
            .keys()
            .chain(now.keys())
            .filter(|key| before.get(*key) != now.get(*key))
            .collect();
        ensure!(odd.is_empty(), "round {round}: twice or lost: {odd:#?}");
        ensure!(
            tenant.graph.sent()?.len() == sent,
            "a restore sent something"
        );
    }
    Ok(())
}
