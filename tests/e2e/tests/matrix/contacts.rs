//! Contacts, in the default folder and in folders of people's own, with a photo.

use std::sync::Arc;

use anyhow::{Result, ensure};
use base64::Engine;
use serde_json::{Value, json};

use crate::matrix::attached::{to_library, to_mailbox, to_onedrive};
use crate::matrix::cells;
use crate::matrix::row::{ALPHA, BETA, Home, Item, Row, find, text};
use crate::matrix::stage::{Cast, Shared, Stage};

pub struct Contacts;

static STAGE: Shared = Shared::new();

fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| Stage::new(&[&Contacts]))
}

/// Made by the service.
const OWN: [&str; 5] = [
    "id",
    "changeKey",
    "createdDateTime",
    "lastModifiedDateTime",
    "parentFolderId",
];

const JPEG: &[u8] = b"\xff\xd8\xff\xe0not much of a picture";

/// All folders: path and id. The default one is in no list, and holds all others.
fn folders(home: &Home) -> Result<Vec<(String, String)>> {
    let default = home.graph().get(&home.at("contactFolders/contacts"))?;
    let mut all = vec![("Contacts".to_owned(), text(&default, "id"))];
    let mut at = 0;
    while at < all.len() {
        let (above, id) = all[at].clone();
        let children = home.at(&format!("contactFolders/{id}/childFolders?$top=100"));
        for folder in home.graph().list(&children)? {
            let place = format!("{above}/{}", text(&folder, "displayName"));
            all.push((place, text(&folder, "id")));
        }
        at += 1;
    }
    Ok(all)
}

fn folder(home: &Home, place: &str) -> Result<String> {
    let there = folders(home)?;
    if let Some((_, id)) = there.into_iter().find(|(at, _)| at == place) {
        return Ok(id);
    }
    let (above, name) = place.rsplit_once('/').unwrap_or(("Contacts", place));
    let above = folder(home, above)?;
    let path = home.at(&format!("contactFolders/{above}/childFolders"));
    let made = home.graph().post(&path, &json!({ "displayName": name }))?;
    Ok(text(&made, "id"))
}

impl Row for Contacts {
    fn workload(&self) -> &'static str {
        "contacts"
    }

    fn folder(&self) -> &'static str {
        "Contacts"
    }

    fn home(&self) -> &'static str {
        "Contacts"
    }

    fn place(&self, name: &str) -> String {
        format!("Contacts/{name}")
    }

    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()> {
        let mut contact = json!({
            "displayName": format!("{title} Roe"), "givenName": title, "surname": "Roe",
            "fileAs": format!("{title} Roe"),
            "emailAddresses": [{ "name": title, "address": format!("{title}@fabrikam.com") }],
            "mobilePhone": "+46 70 000 00 00",
        });
        if title == ALPHA {
            contact["categories"] = json!(["Red category"]);
            contact["personalNotes"] = json!("Met in Oslo.\r\nCalls back.");
            contact["birthday"] = json!("1974-07-22T11:59:00Z");
            contact["companyName"] = json!("Fabrikam");
            contact["businessPhones"] = json!(["+46 8 000 00 00"]);
            contact["homeAddress"] =
                json!({ "street": "Storgatan 1", "city": "Åmål", "postalCode": "662 30" });
        }
        let folder = folder(home, place)?;
        let path = home.at(&format!("contactFolders/{folder}/contacts"));
        let made = home.graph().post(&path, &contact)?;
        if title == ALPHA {
            let photo = home.at(&format!("contacts/{}/photo/$value", text(&made, "id")));
            home.graph().put_as(&photo, "image/jpeg", JPEG.to_vec())?;
        }
        Ok(())
    }

    fn live(&self, home: &Home) -> Result<Vec<Item>> {
        let mut all = Vec::new();
        for (place, id) in folders(home)? {
            let contacts = home.at(&format!("contactFolders/{id}/contacts?$top=100"));
            for contact in home.graph().list(&contacts)? {
                let id = text(&contact, "id");
                let mut meaning = contact.clone();
                if let Some(meaning) = meaning.as_object_mut() {
                    meaning.retain(|name, _| !name.starts_with('@') && !OWN.contains(&&name[..]));
                }
                let photo = home.at(&format!("contacts/{id}/photo/$value"));
                meaning["photo"] = match home.graph().bytes(&photo) {
                    Ok(bytes) => base64::engine::general_purpose::STANDARD
                        .encode(bytes)
                        .into(),
                    Err(_) => Value::Null,
                };
                all.push(Item {
                    id,
                    title: text(&contact, "displayName"),
                    place: place.clone(),
                    meaning,
                });
            }
        }
        Ok(all)
    }

    fn remove(&self, home: &Home, item: &Item) -> Result<()> {
        let path = home.at(&format!("contacts/{}", item.id));
        home.graph().delete(&path).map(drop)
    }

    fn remove_folder(&self, home: &Home, place: &str) -> Result<()> {
        let path = home.at(&format!("contactFolders/{}", folder(home, place)?));
        home.graph().delete(&path).map(drop)
    }

    fn remove_folders(&self, home: &Home) -> Result<()> {
        for (place, _) in folders(home)? {
            if place.matches('/').count() == 1 {
                self.remove_folder(home, &place)?;
            }
        }
        Ok(())
    }

    fn change(&self, home: &Home, item: &Item) -> Result<()> {
        let path = home.at(&format!("contacts/{}", item.id));
        let change = json!({ "jobTitle": "Changed", "mobilePhone": "+46 70 999 99 99" });
        home.graph().patch(&path, &change).map(drop)
    }
}

#[test]
fn same_account() -> Result<()> {
    cells::same_account(&Contacts, &*stage()?)
}

#[test]
fn whole_account() -> Result<()> {
    cells::whole_account(&Contacts, &*stage()?)
}

#[test]
fn other_account() -> Result<()> {
    cells::other_account(&Contacts, &*stage()?)
}

#[test]
fn other_path() -> Result<()> {
    cells::other_path(&Contacts, &*stage()?)
}

#[test]
fn skip() -> Result<()> {
    cells::skip(&Contacts, &*stage()?)
}

#[test]
fn overwrite() -> Result<()> {
    cells::overwrite(&Contacts, &*stage()?)
}

#[test]
fn keep_both() -> Result<()> {
    cells::keep_both(&Contacts, &*stage()?)
}

#[test]
fn deleted_only() -> Result<()> {
    cells::deleted_only(&Contacts, &*stage()?)
}

#[test]
fn download() -> Result<()> {
    let stage = stage()?;
    cells::download(&Contacts, &stage)?;
    let alpha = find(&Contacts, &stage.home(Cast::Giver), ALPHA)?;
    let card = std::fs::read_to_string(stage.file_of(&alpha)?)?.replace("\r\n ", "");
    let photo = base64::engine::general_purpose::STANDARD.encode(JPEG);
    for part in ["FN:Alpha Roe", "Met in Oslo.", &photo] {
        ensure!(card.contains(part), "no {part} in {card}");
    }
    Ok(())
}

/// As `.vcf` files.
#[test]
fn onedrive() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Contacts, &home, ALPHA)?;
    let first = format!("{}/Contacts/Contacts/First", home.upn);
    to_onedrive(&stage, &Contacts, stage.path_of(&alpha)?, &first)
}

/// As `.vcf` files, in a document library.
#[test]
fn library() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Contacts, &home, ALPHA)?;
    let first = format!("{}/Contacts/Contacts/First", home.upn);
    to_library(&stage, &Contacts, stage.path_of(&alpha)?, &first)
}

/// As messages with the `.vcf` attached.
#[test]
fn mailbox() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let (alpha, beta) = (
        find(&Contacts, &home, ALPHA)?,
        find(&Contacts, &home, BETA)?,
    );
    let files = [stage.path_of(&alpha)?, stage.path_of(&beta)?];
    let first = format!("{}/Contacts/Contacts/First", home.upn);
    to_mailbox(&stage, &Contacts, files, &first)
}

/// A contact is no event and no task, and an archive takes mails and what came out of one.
#[test]
fn refused() -> Result<()> {
    let stage = stage()?;
    let beta = find(&Contacts, &stage.home(Cast::Refused), BETA)?;
    let places = [
        ("Calendar/Calendar", "only events (files that end in .ics)"),
        ("Tasks/Tasks", "only tasks (files that end in .ics)"),
        ("Archive/Inbox", "an archive takes"),
        ("Settings", "only these files can be restored"),
    ];
    cells::refused(&stage, stage.path_of(&beta)?, &places)
}
