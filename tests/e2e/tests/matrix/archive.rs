//! The in-place archive: mails, and what else people archive: events, contacts, tasks, notes. All of it
//! is exported, and comes back by import, to the last property.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use e2e::{corpus, exported};
use serde_json::{Value, json};
use tenantfs::format::{eml, fasttransfer};

use crate::matrix::attached::{to_library, to_mailbox, to_onedrive};
use crate::matrix::calendar::Calendar;
use crate::matrix::cells;
use crate::matrix::contacts::Contacts;
use crate::matrix::mailbox::Mailbox;
use crate::matrix::row::{
    ALPHA, BETA, Home, Item, Row, census, find, fingerprint, furnish, same, text,
};
use crate::matrix::stage::{CAST, Cast, Shared, Stage, tenant};
use crate::matrix::tasks::Tasks;

pub struct Archive;

static STAGE: Shared = Shared::new();

/// Everybody who has anything has what the emulator archives too.
fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| {
        let (tenant, upns) = tenant(CAST.len())?;
        for (cast, upn) in CAST.iter().zip(&upns) {
            let home = Home::new(&tenant, upn);
            let seeded = streams(&home)?;
            furnish(&Archive, &home, cast.is_empty())?;
            if !cast.is_empty() {
                for (place, stream) in seeded {
                    let folder = folder(&home, &place)?;
                    exported::import(&tenant, &archive(&home)?, &folder, &stream)?;
                }
            }
        }
        Stage::capture(tenant, upns, &[&Archive])
    })
}

/// The folders that are not removed.
const ALWAYS: [&str; 8] = [
    "Inbox",
    "Drafts",
    "Sent Items",
    "Deleted Items",
    "Calendar",
    "Contacts",
    "Tasks",
    "Notes",
];

fn archive(home: &Home) -> Result<String> {
    exported::archive(home.tenant, home.upn)
}

/// All folders: path and id.
fn folders(home: &Home) -> Result<Vec<(String, String)>> {
    let archive = archive(home)?;
    let mut all = Vec::new();
    let mut below = vec![(String::new(), format!("{archive}/folders?$top=100"))];
    while let Some((above, path)) = below.pop() {
        for folder in home.graph().list(&path)? {
            let (id, name) = (text(&folder, "id"), text(&folder, "displayName"));
            let place = format!("{above}{name}");
            if folder["childFolderCount"] != 0 {
                let children = format!("{archive}/folders/{id}/childFolders?$top=100");
                below.push((format!("{place}/"), children));
            }
            all.push((place, id));
        }
    }
    Ok(all)
}

/// The id of a folder, made where it is not there.
fn folder(home: &Home, place: &str) -> Result<String> {
    let there = folders(home)?;
    if let Some((_, id)) = there.into_iter().find(|(at, _)| at == place) {
        return Ok(id);
    }
    let archive = archive(home)?;
    let (path, name) = match place.rsplit_once('/') {
        None => (format!("{archive}/folders"), place),
        Some((above, name)) => {
            let above = folder(home, above)?;
            (format!("{archive}/folders/{above}/childFolders"), name)
        }
    };
    let body = json!({ "displayName": name, "type": "IPF.Note" });
    Ok(text(&home.graph().post(&path, &body)?, "id"))
}

/// Everything as it is exported, with its place.
fn streams(home: &Home) -> Result<Vec<(String, Vec<u8>)>> {
    let archive = archive(home)?;
    let mut all = Vec::new();
    for item in Archive.live(home)? {
        let stream = exported::export(home.tenant, &archive, &item.id)?;
        all.push((item.place, stream));
    }
    Ok(all)
}

impl Row for Archive {
    fn workload(&self) -> &'static str {
        "archive"
    }

    fn folder(&self) -> &'static str {
        "Archive"
    }

    fn home(&self) -> &'static str {
        "Inbox"
    }

    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()> {
        let part = |kind: &str, name: &str, content: &str| {
            format!(
                "--b\r\nContent-Type: {kind}\r\nContent-Disposition: {}; filename={name}\r\n\r\n{content}\r\n",
                if name.is_empty() {
                    "inline"
                } else {
                    "attachment"
                }
            )
        };
        let files = match title == ALPHA {
            true => part("text/plain", "minutes.txt", "1. Budget"),
            false => String::new(),
        };
        let mail = format!(
            "From: Jane <jane@fabrikam.com>\r\nTo: {}\r\nSubject: {title} archived\r\n\
             Date: Sun, 1 Mar 2020 09:00:00 +0000\r\nMessage-ID: <{title}.archived@fabrikam.com>\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{}{files}--b--\r\n",
            home.upn,
            part("text/html", "", &format!("<p>About {title}</p>")),
        );
        let stream = fasttransfer::of_mail(&eml::to_graph(mail.as_bytes()), title == ALPHA);
        let folder = folder(home, place)?;
        exported::import(home.tenant, &archive(home)?, &folder, &stream).map(drop)
    }

    fn live(&self, home: &Home) -> Result<Vec<Item>> {
        let archive = archive(home)?;
        let mut all = Vec::new();
        for (place, folder) in folders(home)? {
            for item in exported::items(home.tenant, &archive, &folder)? {
                let id = text(&item, "id");
                let stream = exported::export(home.tenant, &archive, &id)?;
                all.push(Item {
                    id,
                    title: exported::subject(&item).to_owned(),
                    place: place.clone(),
                    meaning: Value::String(exported::said(&stream)?),
                });
            }
        }
        Ok(all)
    }

    fn remove(&self, home: &Home, item: &Item) -> Result<()> {
        let folder = folder(home, &item.place)?;
        let path = format!("{}/folders/{folder}/items/{}", archive(home)?, item.id);
        home.graph().delete(&path).map(drop)
    }

    fn remove_folder(&self, home: &Home, place: &str) -> Result<()> {
        // Into the bin, and out of it.
        let path = format!("{}/folders/{}", archive(home)?, folder(home, place)?);
        home.graph().delete(&path)?;
        home.graph().delete(&path).map(drop)
    }

    fn remove_folders(&self, home: &Home) -> Result<()> {
        for (place, _) in folders(home)? {
            if !place.contains('/') && !ALWAYS.contains(&&place[..]) {
                self.remove_folder(home, &place)?;
            }
        }
        Ok(())
    }

    /// What is archived can't be changed through Graph.
    fn change(&self, _home: &Home, _item: &Item) -> Result<()> {
        Ok(())
    }
}

#[test]
fn same_account() -> Result<()> {
    cells::same_account(&Archive, &*stage()?)
}

#[test]
fn whole_account() -> Result<()> {
    cells::whole_account(&Archive, &*stage()?)
}

#[test]
fn other_account() -> Result<()> {
    cells::other_account(&Archive, &*stage()?)
}

#[test]
fn other_path() -> Result<()> {
    cells::other_path(&Archive, &*stage()?)
}

#[test]
fn skip() -> Result<()> {
    cells::skip(&Archive, &*stage()?)
}

#[test]
fn overwrite() -> Result<()> {
    cells::overwrite(&Archive, &*stage()?)
}

#[test]
fn keep_both() -> Result<()> {
    cells::keep_both(&Archive, &*stage()?)
}

#[test]
fn deleted_only() -> Result<()> {
    cells::deleted_only(&Archive, &*stage()?)
}

#[test]
fn download() -> Result<()> {
    let stage = stage()?;
    cells::download(&Archive, &stage)?;
    let alpha = find(&Archive, &stage.home(Cast::Giver), ALPHA)?;
    let mail = String::from_utf8(std::fs::read(stage.file_of(&alpha)?)?)?;
    for part in ["Subject: Alpha archived", "minutes.txt", "About Alpha"] {
        ensure!(mail.contains(part), "no {part} in {mail}");
    }
    Ok(())
}

/// As files.
#[test]
fn onedrive() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Archive, &home, ALPHA)?;
    let calendar = format!("{}/Archive/Calendar", home.upn);
    to_onedrive(&stage, &Archive, stage.path_of(&alpha)?, &calendar)
}

/// As files, in a document library.
#[test]
fn library() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Archive, &home, ALPHA)?;
    let calendar = format!("{}/Archive/Calendar", home.upn);
    to_library(&stage, &Archive, stage.path_of(&alpha)?, &calendar)
}

/// Puts an archived thing into the service for its kind, through the mount and by the command into a
/// folder beside, and the folder that it is in with all like it; returns both as they are there.
fn goes_home(stage: &Stage, row: &dyn Row, title: &str, place: &str) -> Result<[Item; 2]> {
    let home = stage.home(Cast::Services);
    let source = find(&Archive, &home, title)?;
    let target = |place: &str| format!("{}/{}/{place}", home.upn, row.folder());
    let live = || fingerprint(row, &home);
    stage.mkdir(&target(place))?;
    stage.copy(
        "cp",
        &stage.file_of(&source)?,
        &stage.target(&target(place)),
    )?;
    let from = format!("latest/{}", stage.path_of(&source)?);
    let too = format!("{place} too");
    ensure!(stage.restored(&live, &[&from, &target(&too)])? == 1);
    let again = stage.restore(&live, &[&from, &target(&too)])?;
    ensure!(again["existing"] == 1, "{again:#}");

    let folder = format!("{}/Archive/{}", home.upn, source.place);
    let mounted = format!("{place} with others by mount");
    let commanded = format!("{place} with others by command");
    stage.copy(
        "cp -r",
        &stage.captured(&folder),
        &stage.target(&target(&mounted)),
    )?;
    stage.restored(&live, &[&format!("latest/{folder}"), &target(&commanded)])?;

    let all = row.live(&home)?;
    let files = corpus::files(&stage.captured(&folder)).len();
    let (by_mount, by_command) = (census(&all, &mounted), census(&all, &commanded));
    ensure!(
        by_mount.values().sum::<usize>() == files,
        "{files} files: {by_mount:#?}"
    );
    same(&by_mount, &by_command)?;
    let at = |place: &str| -> Result<Item> {
        let mut there = all.iter().filter(|item| item.place == place);
        let found = there
            .next()
            .with_context(|| format!("nothing at {place}"))?;
        ensure!(there.next().is_none(), "two at {place}: {all:#?}");
        Ok(found.clone())
    };
    let both = [at(place)?, at(&too)?];
    ensure!(
        both[0].meaning == both[1].meaning,
        "{both:#?} are not the same"
    );
    stage.tenant.nothing_was_sent()?;
    Ok(both)
}

/// A mail becomes a mail; what is none is attached to a message.
#[test]
fn mailbox() -> Result<()> {
    let stage = stage()?;
    let [mail, _] = goes_home(&stage, &Mailbox, ALPHA, "From the archive")?;
    let says = &mail.meaning;
    ensure!(
        says["subject"] == "Alpha archived" && says["isDraft"] == false && says["isRead"] == false,
        "{says:#}"
    );
    ensure!(
        says["receivedDateTime"] == "2020-03-01T09:00:00Z"
            && says["from"]["emailAddress"]["address"] == "jane@fabrikam.com",
        "{says:#}"
    );
    ensure!(says["attachments"][0][0] == "minutes.txt", "{says:#}");

    let home = stage.home(Cast::Services);
    let (note, task) = (
        find(&Archive, &home, "Locker")?,
        find(&Archive, &home, "Renew")?,
    );
    let files = [stage.path_of(&note)?, stage.path_of(&task)?];
    let contacts = format!("{}/Archive/Contacts", home.upn);
    to_mailbox(&stage, &Archive, files, &contacts)
}

/// A series with its changed and its cancelled occurrence; nobody is invited.
#[test]
fn calendar() -> Result<()> {
    let [event, _] = goes_home(&*stage()?, &Calendar, "Stand-up", "From the archive")?;
    let says = &event.meaning;
    ensure!(
        says["subject"] == "Stand-up"
            && says["recurrence"]["range"]["numberOfOccurrences"] == 10
            && says["location"]["displayName"] == "Room 1",
        "{says:#}"
    );
    ensure!(says["attendees"] == json!([]), "{says:#}");
    let body = says["body"]["content"].to_string();
    ensure!(
        body.contains("ola@northwind.test") && body.contains("Agenda follows"),
        "{body}"
    );
    Ok(())
}

#[test]
fn contacts() -> Result<()> {
    let [contact, _] = goes_home(
        &*stage()?,
        &Contacts,
        "Jane Roe",
        "Contacts/From the archive",
    )?;
    let says = &contact.meaning;
    for (name, value) in [
        ("companyName", json!("Fabrikam")),
        ("categories", json!(["Red category"])),
        ("personalNotes", json!("Met in Oslo.")),
        ("mobilePhone", json!("+46 70 000 00 00")),
    ] {
        ensure!(says[name] == value, "{name}: {says:#}");
    }
    ensure!(says["homeAddress"]["city"] == "Åmål", "{says:#}");
    ensure!(says["photo"].is_string(), "no photo: {says:#}");
    Ok(())
}

#[test]
fn tasks() -> Result<()> {
    let [task, _] = goes_home(&*stage()?, &Tasks, "Renew the lease", "From the archive")?;
    let says = &task.meaning;
    ensure!(
        says["title"] == "Renew the lease"
            && says["status"] == "completed"
            && says["importance"] == "high",
        "{says:#}"
    );
    ensure!(
        says["body"]["content"]
            .as_str()
            .is_some_and(|body| body.contains("Ask Ola.")),
        "{says:#}"
    );
    Ok(())
}

/// An archived mail is no event, no contact, no task.
#[test]
fn refused() -> Result<()> {
    let stage = stage()?;
    let beta = find(&Archive, &stage.home(Cast::Refused), BETA)?;
    let places = [
        ("Calendar/Calendar", "only events (files that end in .ics)"),
        (
            "Contacts/Contacts",
            "only contacts (files that end in .vcf)",
        ),
        ("Tasks/Tasks", "only tasks (files that end in .ics)"),
        ("Settings", "only these files can be restored"),
        ("Archive", "items of an archive lie in folders"),
    ];
    cells::refused(&stage, stage.path_of(&beta)?, &places)
}
