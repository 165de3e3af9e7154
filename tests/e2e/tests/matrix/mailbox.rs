//! Mail, in folders within folders, with attachments, flags and categories.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use e2e::exported;
use serde_json::{Value, json};

use crate::matrix::attached::{to_library, to_onedrive};
use crate::matrix::cells;
use crate::matrix::row::{
    ALPHA, BETA, DELTA, GAMMA, Home, Item, Row, attachment, attachments, chosen,
};
use crate::matrix::row::{find, fingerprint, place_below, text};
use crate::matrix::stage::{Cast, Shared, Stage};

pub struct Mailbox;

static STAGE: Shared = Shared::new();

fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| Stage::new(&[&Mailbox]))
}

/// The folders that every mailbox has.
const ALWAYS: [&str; 8] = [
    "Inbox",
    "Drafts",
    "Sent Items",
    "Deleted Items",
    "Junk Email",
    "Outbox",
    "Archive",
    "Conversation History",
];

/// What a message says, other than what the service made.
const SAYS: &str = "subject body receivedDateTime sentDateTime isRead isDraft categories from sender \
    toRecipients ccRecipients replyTo importance hasAttachments internetMessageId conversationIndex";

/// All folders but searches: path and id.
pub fn folders(home: &Home) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    let mut below = vec![(String::new(), home.at("mailFolders"))];
    while let Some((above, path)) = below.pop() {
        for folder in home.graph().list(&format!("{path}?$top=100"))? {
            let id = text(&folder, "id");
            if folder["@odata.type"] == "#microsoft.graph.mailSearchFolder" {
                continue;
            }
            let place = format!("{above}{}", text(&folder, "displayName"));
            if folder["childFolderCount"] != 0 {
                let children = home.at(&format!("mailFolders/{id}/childFolders"));
                below.push((format!("{place}/"), children));
            }
            all.push((place, id));
        }
    }
    Ok(all)
}

/// The id of a folder, made where it is not there.
pub fn folder(home: &Home, place: &str) -> Result<String> {
    let there = folders(home)?;
    if let Some((_, id)) = there.into_iter().find(|(at, _)| at == place) {
        return Ok(id);
    }
    let (path, name) = match place.rsplit_once('/') {
        None => (home.at("mailFolders"), place),
        Some((above, name)) => {
            let above = folder(home, above)?;
            (home.at(&format!("mailFolders/{above}/childFolders")), name)
        }
    };
    let made = home.graph().post(&path, &json!({ "displayName": name }))?;
    Ok(text(&made, "id"))
}

impl Row for Mailbox {
    fn workload(&self) -> &'static str {
        "mail"
    }

    fn folder(&self) -> &'static str {
        "Mail"
    }

    fn home(&self) -> &'static str {
        "Inbox"
    }

    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()> {
        let rich = title == ALPHA;
        let person = |name: &str| json!({ "emailAddress": { "name": name, "address": format!("{name}@fabrikam.com") } });
        let mut message = json!({
            "subject": format!("{title}: minutes"),
            "body": { "contentType": "html", "content": format!("<p>About {title}</p>") },
            "from": person("jane"), "sender": person("jane"),
            "toRecipients": [{ "emailAddress": { "name": "Me", "address": home.upn } }, person("ola")],
            "ccRecipients": [person("kim")],
            "internetMessageId": format!("<{title}.{}>", home.upn),
            "isRead": !rich,
            "singleValueExtendedProperties": [
                { "id": "Integer 0x0E07", "value": if rich { "4" } else { "5" } },
                { "id": "SystemTime 0x0039", "value": "2026-03-01T09:00:00Z" },
                { "id": "SystemTime 0x0E06", "value": "2026-03-01T09:00:05Z" },
            ],
        });
        if rich {
            message["categories"] = json!(["Red category", "Green category"]);
            message["importance"] = json!("high");
            message["flag"] = json!({ "flagStatus": "flagged" });
        }
        let folder = folder(home, place)?;
        let made = home.graph().post(
            &home.at(&format!("mailFolders/{folder}/messages")),
            &message,
        )?;
        if rich {
            let path = home.at(&format!("messages/{}/attachments", text(&made, "id")));
            for (name, size) in [("minutes.txt", 700), ("plan.pdf", 90_000)] {
                home.graph()
                    .post(&path, &attachment(name, &vec![7; size]))?;
            }
        }
        Ok(())
    }

    fn live(&self, home: &Home) -> Result<Vec<Item>> {
        let mut all = Vec::new();
        for (place, id) in folders(home)? {
            let messages = home.at(&format!("mailFolders/{id}/messages?$top=100"));
            for message in home.graph().list(&messages)? {
                let id = text(&message, "id");
                let mut meaning = chosen(&message, SAYS);
                meaning["flag"] = message["flag"]["flagStatus"].clone();
                if message["hasAttachments"] == true {
                    let path = home.at(&format!("messages/{id}"));
                    meaning["attachments"] = json!(attachments(home.graph(), &path)?);
                }
                all.push(Item {
                    id,
                    title: text(&message, "subject"),
                    place: place.clone(),
                    meaning,
                });
            }
        }
        Ok(all)
    }

    fn remove(&self, home: &Home, item: &Item) -> Result<()> {
        let path = home.at(&format!("messages/{}/permanentDelete", item.id));
        home.graph().post(&path, &json!({})).map(drop)
    }

    fn remove_folder(&self, home: &Home, place: &str) -> Result<()> {
        let id = folder(home, place)?;
        let path = home.at(&format!("mailFolders/{id}/permanentDelete"));
        home.graph().post(&path, &json!({})).map(drop)
    }

    fn remove_folders(&self, home: &Home) -> Result<()> {
        for (place, _) in folders(home)? {
            if !place.contains('/') && !ALWAYS.contains(&&place[..]) {
                self.remove_folder(home, &place)?;
            }
        }
        Ok(())
    }

    fn change(&self, home: &Home, item: &Item) -> Result<()> {
        let path = home.at(&format!("messages/{}", item.id));
        let change = json!({ "isRead": item.meaning["isRead"] != true, "categories": ["Blue category"],
            "flag": { "flagStatus": "complete" } });
        home.graph().patch(&path, &change).map(drop)
    }
}

#[test]
fn same_account() -> Result<()> {
    cells::same_account(&Mailbox, &*stage()?)
}

#[test]
fn whole_account() -> Result<()> {
    cells::whole_account(&Mailbox, &*stage()?)
}

#[test]
fn other_account() -> Result<()> {
    cells::other_account(&Mailbox, &*stage()?)
}

#[test]
fn other_path() -> Result<()> {
    cells::other_path(&Mailbox, &*stage()?)
}

#[test]
fn skip() -> Result<()> {
    cells::skip(&Mailbox, &*stage()?)
}

#[test]
fn overwrite() -> Result<()> {
    cells::overwrite(&Mailbox, &*stage()?)
}

#[test]
fn keep_both() -> Result<()> {
    cells::keep_both(&Mailbox, &*stage()?)
}

/// What was moved meanwhile is not deleted; what is in the bin is.
#[test]
fn deleted_only() -> Result<()> {
    let stage = stage()?;
    cells::deleted_only(&Mailbox, &stage)?;

    let home = stage.home(Cast::Deleted);
    let (gamma, delta) = (find(&Mailbox, &home, GAMMA)?, find(&Mailbox, &home, DELTA)?);
    let second = folder(&home, "Second")?;
    let move_to = |item: &Item, to: &str| {
        let path = home.at(&format!("messages/{}/move", item.id));
        home.graph().post(&path, &json!({ "destinationId": to }))
    };
    move_to(&gamma, &second)?;
    move_to(&delta, "deleteditems")?;
    let live = || fingerprint(&Mailbox, &home);
    let all = format!("{}/Mail", home.upn);
    let arguments = [&format!("latest/{all}")[..], &all, "--deleted-only"];
    let done = stage.restore(&live, &arguments)?;
    ensure!(done["restored"] == 1 && done["failed"] == 0, "{done:#}");
    let told = done["items"].to_string();
    ensure!(told.contains("is not deleted"), "{done:#}");
    let now = crate::matrix::row::Row::live(&Mailbox, &home)?;
    let places = |title: &str| -> Vec<&str> {
        let found = now.iter().filter(|item| item.title.starts_with(title));
        let mut places: Vec<&str> = found.map(|item| &item.place[..]).collect();
        places.sort();
        places
    };
    ensure!(places(GAMMA) == ["Second"], "{:?}", places(GAMMA));
    ensure!(
        places(DELTA) == ["Deleted Items", "First"],
        "{:?}",
        places(DELTA)
    );
    stage.tenant.nothing_was_sent()
}

#[test]
fn download() -> Result<()> {
    let stage = stage()?;
    cells::download(&Mailbox, &stage)?;
    // A mail of the snapshot is the mail that Exchange gives.
    let home = stage.home(Cast::Giver);
    let alpha = find(&Mailbox, &home, ALPHA)?;
    let file = text_of(&fs::read(stage.file_of(&alpha)?)?);
    for part in [
        "Subject: Alpha: minutes",
        "minutes.txt",
        "plan.pdf",
        "kim@fabrikam.com",
    ] {
        ensure!(file.contains(part), "no {part} in {file}");
    }
    Ok(())
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As `.eml` files.
#[test]
fn onedrive() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Mailbox, &home, ALPHA)?;
    let inbox = format!("{}/Mail/Inbox", home.upn);
    to_onedrive(&stage, &Mailbox, stage.path_of(&alpha)?, &inbox)
}

/// As `.eml` files, in a document library.
#[test]
fn library() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Mailbox, &home, ALPHA)?;
    let inbox = format!("{}/Mail/Inbox", home.upn);
    to_library(&stage, &Mailbox, stage.path_of(&alpha)?, &inbox)
}

/// As mails, in the in-place archive.
#[test]
fn archive() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let archive = exported::archive(&stage.tenant, home.upn)?;
    let there = || -> Result<Vec<Value>> {
        let folders = stage
            .tenant
            .graph
            .list(&format!("{archive}/folders?$top=100"))?;
        let Some(folder) = folders.iter().find(|f| f["displayName"] == "Kept") else {
            return Ok(Vec::new());
        };
        exported::items(&stage.tenant, &archive, &text(folder, "id"))
    };
    let subjects = || -> Result<Vec<String>> {
        let items = there()?;
        let mut all: Vec<_> = items
            .iter()
            .map(|i| exported::subject(i).to_owned())
            .collect();
        all.sort();
        Ok(all)
    };
    let live = || Ok(subjects()?.join("\n"));
    let (alpha, beta) = (find(&Mailbox, &home, ALPHA)?, find(&Mailbox, &home, BETA)?);
    let target = format!("{}/Archive/Kept", home.upn);
    stage.mkdir(&target)?;
    stage.copy("cp", &stage.file_of(&alpha)?, &stage.target(&target))?;
    let source = format!("latest/{}", stage.path_of(&beta)?);
    ensure!(stage.restored(&live, &[&source, &target])? == 1);
    let expected = [alpha.title.clone(), beta.title.clone()];
    ensure!(subjects()? == expected, "{:?}", subjects()?);
    let items = there()?;
    let kept = items
        .iter()
        .find(|item| exported::subject(item) == alpha.title);
    let id = kept.and_then(|item| item["id"].as_str()).context("no id")?;
    let said = exported::said(&exported::export(&stage.tenant, &archive, id)?)?;
    for part in [&format!("<Alpha.{}>", home.upn)[..], "2 attachments"] {
        ensure!(said.contains(part), "no {part} in {said}");
    }
    let again = stage.restore(&live, &[&source, &target])?;
    ensure!(again["existing"] == 1, "{again:#}");

    // Everything, with its folders.
    let row = &crate::matrix::archive::Archive;
    let live = || fingerprint(row, &home);
    let all = format!("{}/Mail", home.upn);
    let to = |way: &str| format!("{}/Archive/All by {way}", home.upn);
    stage.copy("cp -r", &stage.captured(&all), &stage.target(&to("mount")))?;
    stage.restored(&live, &[&format!("latest/{all}"), &to("command")])?;
    let titles = |items: &[Item], below: &str| -> Vec<(String, String)> {
        let inside = items.iter().filter_map(|item| {
            let place = place_below(&item.place, below)?;
            Some((place.to_owned(), item.title.clone()))
        });
        let mut inside: Vec<_> = inside.collect();
        inside.sort();
        inside
    };
    let expected = titles(&Mailbox.live(&home)?, "");
    let archived = row.live(&home)?;
    for way in ["mount", "command"] {
        let there = titles(&archived, &format!("All by {way}"));
        ensure!(there == expected, "by {way}: {there:#?}");
    }
    stage.tenant.nothing_was_sent()
}

/// A mail is no event, no contact, no task and no setting.
#[test]
fn refused() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Refused);
    let alpha = find(&Mailbox, &home, ALPHA)?;
    let places = [
        ("Calendar/Calendar", "only events (files that end in .ics)"),
        (
            "Contacts/Contacts",
            "only contacts (files that end in .vcf)",
        ),
        ("Tasks/Tasks", "only tasks (files that end in .ics)"),
        ("Settings", "only these files can be restored"),
        ("Mail", "messages lie in folders"),
    ];
    cells::refused(&stage, stage.path_of(&alpha)?, &places)
}
