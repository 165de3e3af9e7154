//! Files in a drive, in folders within folders.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use e2e::exported;
use e2e::graph::{Graph, encoded};
use serde_json::{Value, json};

use crate::matrix::attached::{to_library, to_mailbox};
use crate::matrix::cells;
use crate::matrix::row::{ALPHA, BETA, DELTA, GAMMA, Home, Item, Row, find, fingerprint, text};
use crate::matrix::stage::{Cast, Shared, Stage};
use crate::matrix::{calendar, contacts, mailbox, tasks};

pub struct OneDrive;

static STAGE: Shared = Shared::new();

fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| Stage::new(&[&OneDrive]))
}

/// The mail, event, contact and task that lie in a drive as files, in `Second`.
const MAIL: &str = "From: Jane <jane@fabrikam.com>\r\nTo: ola@northwind.test\r\nSubject: Saved mail\r\n\
    Date: Sun, 1 Mar 2026 09:00:00 +0000\r\nMessage-ID: <saved@fabrikam.com>\r\n\r\nhello\r\n";
const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:e\r\n\
    DTSTAMP:20260101T000000Z\r\nSUMMARY:Saved event\r\nDTSTART:20310401T080000Z\r\n\
    DTEND:20310401T090000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
const CARD: &str = "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Roe;Saved\r\nFN:Saved Roe\r\nEND:VCARD\r\n";
const TASK: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VTODO\r\nUID:t\r\n\
    DTSTAMP:20260101T000000Z\r\nSUMMARY:Saved task\r\nEND:VTODO\r\nEND:VCALENDAR\r\n";

/// What a file holds, and what it is called.
pub fn file(title: &str) -> (String, Vec<u8>) {
    match title {
        ALPHA => ("Alpha & more #1.bin".into(), vec![7; 900_000]),
        BETA => ("Beta.eml".into(), MAIL.into()),
        GAMMA => ("Gamma.ics".into(), EVENT.into()),
        DELTA => ("Delta.vcf".into(), CARD.into()),
        _ => (
            format!("{title}.ics"),
            TASK.replace("Saved task", &format!("Saved task {title}"))
                .into(),
        ),
    }
}

/// Puts the file of that title into a drive (its path below Graph).
pub fn put_file(graph: &Graph, drive: &str, place: &str, title: &str) -> Result<()> {
    let (name, bytes) = file(title);
    let path = format!("{place}/{}", encoded(&name));
    let path = format!("{drive}/root:/{}", path.trim_start_matches('/'));
    let made = graph.put(&format!("{path}:/content"), bytes)?;
    let times = json!({ "fileSystemInfo": { "createdDateTime": "2025-02-03T04:05:06Z",
        "lastModifiedDateTime": "2025-12-24T18:00:00Z" } });
    let item = format!("{drive}/items/{}", text(&made, "id"));
    graph.patch(&item, &times).map(drop)
}

/// What is the same of a file under another name.
pub fn nameless(meaning: &Value) -> Value {
    let mut same = meaning.clone();
    same["name"] = Value::Null;
    same
}

/// All files of a drive.
pub fn files_of(graph: &Graph, drive: &str) -> Result<Vec<Item>> {
    let mut all = Vec::new();
    let mut below = vec![(String::new(), format!("{drive}/root/children"))];
    while let Some((place, children)) = below.pop() {
        for child in graph.list(&format!("{children}?$top=200"))? {
            let (id, name) = (text(&child, "id"), text(&child, "name"));
            if child["folder"].is_object() {
                let place = match &place[..] {
                    "" => name,
                    above => format!("{above}/{name}"),
                };
                below.push((place, format!("{drive}/items/{id}/children")));
                continue;
            }
            let times = &child["fileSystemInfo"];
            let meaning = json!({ "name": name, "size": child["size"],
                "hash": child["file"]["hashes"]["quickXorHash"],
                "created": times["createdDateTime"], "modified": times["lastModifiedDateTime"] });
            all.push(Item {
                id,
                title: name,
                place: place.clone(),
                meaning,
            });
        }
    }
    Ok(all)
}

impl Row for OneDrive {
    fn workload(&self) -> &'static str {
        "drive"
    }

    fn folder(&self) -> &'static str {
        "OneDrive"
    }

    fn home(&self) -> &'static str {
        "Documents"
    }

    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()> {
        put_file(home.graph(), &home.at("drive"), place, title)
    }

    fn live(&self, home: &Home) -> Result<Vec<Item>> {
        files_of(home.graph(), &home.at("drive"))
    }

    fn remove(&self, home: &Home, item: &Item) -> Result<()> {
        let path = home.at(&format!("drive/items/{}", item.id));
        home.graph().delete(&path).map(drop)
    }

    fn remove_folder(&self, home: &Home, place: &str) -> Result<()> {
        let path = home.at(&format!("drive/root:/{}", encoded(place)));
        home.graph().delete(&path).map(drop)
    }

    fn remove_folders(&self, home: &Home) -> Result<()> {
        for child in home.graph().list(&home.at("drive/root/children"))? {
            let path = home.at(&format!("drive/items/{}", text(&child, "id")));
            home.graph().delete(&path)?;
        }
        Ok(())
    }

    fn change(&self, home: &Home, item: &Item) -> Result<()> {
        let path = home.at(&format!("drive/items/{}/content", item.id));
        home.graph().put(&path, b"changed".to_vec()).map(drop)
    }

    /// It gets another version.
    fn keeps_id(&self) -> bool {
        true
    }

    /// It goes by another name.
    fn of_copy(&self, meaning: &Value) -> Value {
        nameless(meaning)
    }
}

#[test]
fn same_account() -> Result<()> {
    cells::same_account(&OneDrive, &*stage()?)
}

#[test]
fn whole_account() -> Result<()> {
    cells::whole_account(&OneDrive, &*stage()?)
}

#[test]
fn other_account() -> Result<()> {
    cells::other_account(&OneDrive, &*stage()?)
}

#[test]
fn other_path() -> Result<()> {
    cells::other_path(&OneDrive, &*stage()?)
}

#[test]
fn skip() -> Result<()> {
    cells::skip(&OneDrive, &*stage()?)
}

/// A file that is replaced keeps its id: it gets another version.
#[test]
fn overwrite() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Over);
    let before = find(&OneDrive, &home, ALPHA)?.id;
    cells::overwrite(&OneDrive, &stage)?;
    ensure!(find(&OneDrive, &home, ALPHA)?.id == before);
    Ok(())
}

#[test]
fn keep_both() -> Result<()> {
    cells::keep_both(&OneDrive, &*stage()?)
}

/// What was moved meanwhile is not deleted.
#[test]
fn deleted_only() -> Result<()> {
    let stage = stage()?;
    cells::deleted_only(&OneDrive, &stage)?;
    let home = stage.home(Cast::Deleted);
    let gamma = find(&OneDrive, &home, GAMMA)?;
    let second = home.graph().get(&home.at("drive/root:/Second"))?;
    let to = json!({ "parentReference": { "id": second["id"] } });
    let path = home.at(&format!("drive/items/{}", gamma.id));
    home.graph().patch(&path, &to)?;
    let live = || fingerprint(&OneDrive, &home);
    let all = format!("{}/OneDrive", home.upn);
    let arguments = [&format!("latest/{all}")[..], &all, "--deleted-only"];
    let done = stage.restore(&live, &arguments)?;
    ensure!(done["restored"] == 0 && done["failed"] == 0, "{done:#}");
    ensure!(find(&OneDrive, &home, GAMMA)?.place == "Second");
    stage.tenant.nothing_was_sent()
}

#[test]
fn download() -> Result<()> {
    let stage = stage()?;
    cells::download(&OneDrive, &stage)?;
    let alpha = find(&OneDrive, &stage.home(Cast::Giver), ALPHA)?;
    ensure!(fs::read(stage.file_of(&alpha)?)? == file(ALPHA).1);
    Ok(())
}

/// As files of a document library.
#[test]
fn library() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&OneDrive, &home, ALPHA)?;
    let documents = format!("{}/OneDrive/Documents", home.upn);
    to_library(&stage, &OneDrive, stage.path_of(&alpha)?, &documents)
}

/// As messages with the file attached; a `.eml` becomes the mail it is.
#[test]
fn mailbox() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let (alpha, gamma) = (
        find(&OneDrive, &home, ALPHA)?,
        find(&OneDrive, &home, GAMMA)?,
    );
    let files = [stage.path_of(&alpha)?, stage.path_of(&gamma)?];
    let documents = format!("{}/OneDrive/Documents", home.upn);
    to_mailbox(&stage, &OneDrive, files, &documents)?;
    becomes(&stage, &mailbox::Mailbox, BETA, "Mail/Saved", "Saved mail")
}

/// A `.ics` with an event becomes the event.
#[test]
fn calendar() -> Result<()> {
    let row = &calendar::Calendar;
    becomes(&*stage()?, row, GAMMA, "Calendar/Saved", "Saved event")
}

/// A `.vcf` becomes the contact.
#[test]
fn contacts() -> Result<()> {
    let row = &contacts::Contacts;
    becomes(
        &*stage()?,
        row,
        DELTA,
        "Contacts/Contacts/Saved",
        "Saved Roe",
    )
}

/// A `.ics` with a task becomes the task.
#[test]
fn tasks() -> Result<()> {
    let row = &tasks::Tasks;
    becomes(&*stage()?, row, "Zeta", "Tasks/Saved", "Saved task Zeta")
}

/// A `.eml` becomes a mail of the archive.
#[test]
fn archive() -> Result<()> {
    let row = &crate::matrix::archive::Archive;
    let stage = stage()?;
    becomes(&stage, row, BETA, "Archive/Saved", "Saved mail")?;
    let home = stage.home(Cast::Services);
    let archive = exported::archive(&stage.tenant, home.upn)?;
    let saved = find(row, &home, "Saved mail")?;
    let said = exported::said(&exported::export(&stage.tenant, &archive, &saved.id)?)?;
    ensure!(said.contains("<saved@fabrikam.com>"), "{said}");
    Ok(())
}

/// Copies a file into another service, through the mount and by the command into a folder beside: it is
/// a thing of that service then.
fn becomes(stage: &Stage, row: &dyn Row, file: &str, place: &str, title: &str) -> Result<()> {
    let home = stage.home(Cast::Services);
    let source = find(&OneDrive, &home, file)?;
    let target = format!("{}/{place}", home.upn);
    stage.mkdir(&target)?;
    stage.copy("cp", &stage.file_of(&source)?, &stage.target(&target))?;
    let live = || fingerprint(row, &home);
    let from = format!("latest/{}", stage.path_of(&source)?);
    let too = format!("{target} too");
    ensure!(stage.restored(&live, &[&from, &too])? == 1);
    let all = row.live(&home)?;
    let in_service = place.split_once('/').context("no folder")?.1;
    for place in [in_service.to_owned(), format!("{in_service} too")] {
        let there = all
            .iter()
            .filter(|item| item.place == place && item.title == title);
        ensure!(there.count() == 1, "{place}: {all:#?}");
    }
    stage.tenant.nothing_was_sent()
}

/// Any other file is no event, contact or task, and no item of an archive.
#[test]
fn refused() -> Result<()> {
    let stage = stage()?;
    let alpha = find(&OneDrive, &stage.home(Cast::Refused), ALPHA)?;
    let places = [
        ("Calendar/Calendar", "only events (files that end in .ics)"),
        (
            "Contacts/Contacts",
            "only contacts (files that end in .vcf)",
        ),
        ("Tasks/Tasks", "only tasks (files that end in .ics)"),
        ("Archive/Inbox", "an archive takes"),
        ("Settings", "only these files can be restored"),
    ];
    cells::refused(&stage, stage.path_of(&alpha)?, &places)
}
