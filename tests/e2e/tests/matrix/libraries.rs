//! Files in document libraries of sites: as in a OneDrive, but what is a folder there may be a library.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use e2e::graph::encoded;
use serde_json::{Value, json};

use crate::matrix::account::everything;
use crate::matrix::attached::{Drive, to_drive, to_mailbox_of};
use crate::matrix::cells;
use crate::matrix::onedrive::{files_of, nameless, put_file};
use crate::matrix::row::{
    ALPHA, BETA, GAMMA, Home, Item, Row, census, find, fingerprint, place_below,
};
use crate::matrix::row::{same, text};
use crate::matrix::stage::{Cast, Shared, Stage};

pub struct Libraries;

static STAGE: Shared = Shared::new();

fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| Stage::of_sites(&[&Libraries]))
}

/// The libraries that people see: name, drive and list.
fn libraries(home: &Home) -> Result<Vec<(String, String, String)>> {
    let site = home.site()?;
    let all = home.graph().list(&format!(
        "/sites/{site}/drives?$select=id,name,sharePointIds"
    ))?;
    let told = all.iter().map(|drive| {
        let list = text(&drive["sharePointIds"], "listId");
        (text(drive, "name"), text(drive, "id"), list)
    });
    Ok(told.collect())
}

fn library(home: &Home, name: &str) -> Result<Option<(String, String)>> {
    let all = libraries(home)?;
    let found = all.into_iter().find(|(there, _, _)| there == name);
    Ok(found.map(|(_, drive, list)| (drive, list)))
}

/// Library and folder in it.
fn split(place: &str) -> (&str, &str) {
    place.split_once('/').unwrap_or((place, ""))
}

impl Row for Libraries {
    fn workload(&self) -> &'static str {
        "libraries"
    }

    fn folder(&self) -> &'static str {
        "Libraries"
    }

    fn home(&self) -> &'static str {
        "Documents"
    }

    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()> {
        let (name, folder) = split(place);
        let drive = match library(home, name)? {
            Some((drive, _)) => drive,
            None => {
                let lists = format!("/sites/{}/lists", home.site()?);
                let body =
                    json!({ "displayName": name, "list": { "template": "documentLibrary" } });
                home.graph().post(&lists, &body)?;
                library(home, name)?.context("the library was not made")?.0
            }
        };
        put_file(home.graph(), &format!("/drives/{drive}"), folder, title)
    }

    fn live(&self, home: &Home) -> Result<Vec<Item>> {
        let mut all = Vec::new();
        for (name, drive, _) in libraries(home)? {
            for mut item in files_of(home.graph(), &format!("/drives/{drive}"))? {
                item.id = format!("{drive}/{}", item.id);
                item.place = format!("{name}/{}", item.place);
                item.place.truncate(item.place.trim_end_matches('/').len());
                all.push(item);
            }
        }
        Ok(all)
    }

    fn remove(&self, home: &Home, item: &Item) -> Result<()> {
        let (drive, item) = item.id.split_once('/').context("no drive")?;
        let path = format!("/drives/{drive}/items/{item}");
        home.graph().delete(&path).map(drop)
    }

    fn remove_folder(&self, home: &Home, place: &str) -> Result<()> {
        let (name, folder) = split(place);
        let (drive, list) = library(home, name)?.with_context(|| format!("no {name}"))?;
        let path = match folder {
            "" => format!("/sites/{}/lists/{list}", home.site()?),
            folder => format!("/drives/{drive}/root:/{}", encoded(folder)),
        };
        home.graph().delete(&path).map(drop)
    }

    fn remove_folders(&self, home: &Home) -> Result<()> {
        for (name, drive, _) in libraries(home)? {
            if name != "Documents" {
                self.remove_folder(home, &name)?;
                continue;
            }
            let children = format!("/drives/{drive}/root/children");
            for child in home.graph().list(&children)? {
                let path = format!("/drives/{drive}/items/{}", text(&child, "id"));
                home.graph().delete(&path)?;
            }
        }
        Ok(())
    }

    fn change(&self, home: &Home, item: &Item) -> Result<()> {
        let (drive, item) = item.id.split_once('/').context("no drive")?;
        let path = format!("/drives/{drive}/items/{item}/content");
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

/// `Sites/NAME/Libraries/PLACE`.
fn at(home: &Home, place: &str) -> String {
    format!("{}/Libraries/{place}", home.upn)
}

/// A library, and a folder in one.
#[test]
fn same_site() -> Result<()> {
    let stage = stage()?;
    cells::same_account(&Libraries, &stage)?;
    let home = stage.spare();
    let before = Libraries.live(&home)?;
    let (folder, library) = (at(&home, "First/Deeper"), at(&home, "First"));
    let back = || same(&census(&before, ""), &census(&Libraries.live(&home)?, ""));
    Libraries.remove_folder(&home, "First/Deeper")?;
    stage.copy("cp -r", &stage.captured(&folder), &stage.target(&library))?;
    back()?;
    Libraries.remove_folder(&home, "First/Deeper")?;
    let live = || fingerprint(&Libraries, &home);
    ensure!(stage.restored(&live, &[&format!("latest/{folder}"), &folder])? == 1);
    back()?;
    stage.tenant.nothing_was_sent()
}

#[test]
fn whole_site() -> Result<()> {
    cells::whole_account(&Libraries, &*stage()?)
}

#[test]
fn other_site() -> Result<()> {
    cells::other_account(&Libraries, &*stage()?)
}

/// To libraries that are there and to new ones.
#[test]
fn other_path() -> Result<()> {
    let stage = stage()?;
    cells::other_path(&Libraries, &stage)?;
    new_library(&stage)
}

/// What a dry run says of a library that is not there: that it would be made, and then filled.
fn new_library(stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Path);
    let beta = find(&Libraries, &home, BETA)?;
    let source = format!("latest/{}", stage.path_of(&beta)?);
    let target = at(&home, "Unheard of/Inner");
    let said = stage.plan_in_words(&[&source, &target])?;
    for made in ["Unheard of", "Unheard of/Inner"] {
        let line = said.lines().filter(|line| {
            line.contains("would make the folder") && line.ends_with(&at(&home, made))
        });
        ensure!(line.count() == 1, "{made}: {said}");
    }
    ensure!(library(&home, "Unheard of")?.is_none(), "it was made");
    let live = || fingerprint(&Libraries, &home);
    ensure!(stage.restored(&live, &[&source, &target])? == 1);
    let now = Libraries.live(&home)?;
    let there: Vec<_> = now
        .iter()
        .filter(|item| place_below(&item.place, "Unheard of").is_some())
        .collect();
    ensure!(
        there.len() == 1 && there[0].meaning == beta.meaning,
        "{there:#?}"
    );
    Libraries.remove_folder(&home, "Unheard of")?;
    stage.tenant.nothing_was_sent()
}

#[test]
fn skip() -> Result<()> {
    cells::skip(&Libraries, &*stage()?)
}

/// A file that is replaced keeps its id: it gets another version.
#[test]
fn overwrite() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Over);
    let before = find(&Libraries, &home, ALPHA)?.id;
    cells::overwrite(&Libraries, &stage)?;
    ensure!(find(&Libraries, &home, ALPHA)?.id == before);
    Ok(())
}

#[test]
fn keep_both() -> Result<()> {
    cells::keep_both(&Libraries, &*stage()?)
}

/// What was moved meanwhile is not deleted.
#[test]
fn deleted_only() -> Result<()> {
    let stage = stage()?;
    cells::deleted_only(&Libraries, &stage)?;
    let home = stage.home(Cast::Deleted);
    let gamma = find(&Libraries, &home, GAMMA)?;
    let (drive, item) = gamma.id.split_once('/').context("no drive")?;
    let folders = format!("/drives/{drive}/root/children");
    let folder = json!({ "name": "Moved", "folder": {} });
    let moved = home.graph().post(&folders, &folder)?;
    let to = json!({ "parentReference": { "id": moved["id"] } });
    home.graph()
        .patch(&format!("/drives/{drive}/items/{item}"), &to)?;
    let live = || fingerprint(&Libraries, &home);
    let all = format!("{}/Libraries", home.upn);
    let arguments = [&format!("latest/{all}")[..], &all, "--deleted-only"];
    let done = stage.restore(&live, &arguments)?;
    ensure!(done["restored"] == 0 && done["failed"] == 0, "{done:#}");
    ensure!(find(&Libraries, &home, GAMMA)?.place == "Documents/Moved");
    stage.tenant.nothing_was_sent()
}

#[test]
fn download() -> Result<()> {
    cells::download(&Libraries, &*stage()?)
}

/// To the OneDrive of somebody: a file, a library, and all libraries, with their times.
#[test]
fn onedrive() -> Result<()> {
    let stage = stage()?;
    let (home, upn) = (stage.home(Cast::Services), stage.person()?);
    let person = Home::new(&stage.tenant, &upn);
    let alpha = find(&Libraries, &home, ALPHA)?;
    let file = stage.path_of(&alpha)?;
    let drive = Drive::of(&person);
    to_drive(&stage, &Libraries, file, &at(&home, "First"), &drive)?;
    let before = Libraries.live(&home)?;
    let there = files_of(person.graph(), &person.at("drive"))?;
    for way in ["mount", "command"] {
        let place = format!("Saved by {way}");
        same(
            &census(&before, ""),
            &census(&there, &format!("{place}/whole")),
        )?;
        same(
            &census(&before, "First"),
            &census(&there, &format!("{place}/folder")),
        )?;
        let single = there.iter().filter(|i| i.place == place);
        same(&census([&alpha], &alpha.place), &census(single, &place))?;
    }
    Ok(())
}

/// As messages with the file attached; a `.eml` becomes the mail it is.
#[test]
fn mailbox() -> Result<()> {
    let stage = stage()?;
    let (home, upn) = (stage.home(Cast::Services), stage.person()?);
    let person = Home::new(&stage.tenant, &upn);
    let (alpha, gamma) = (
        find(&Libraries, &home, ALPHA)?,
        find(&Libraries, &home, GAMMA)?,
    );
    let files = [stage.path_of(&alpha)?, stage.path_of(&gamma)?];
    let folder = at(&home, "Documents");
    to_mailbox_of(&stage, &person, &Libraries, files, &folder)
}

/// A document is no item of a list, no event, contact or task, and goes into no archive; SharePoint's rules
/// for names, and what a site has no place for, are told before anything is made.
#[test]
fn refused() -> Result<()> {
    let stage = stage()?;
    let (home, people) = (stage.home(Cast::Refused), stage.tenant.graph.mailboxes()?);
    let upn = people.get(1).context("no second person")?;
    let person = Home::new(&stage.tenant, upn);
    let alpha = find(&Libraries, &home, ALPHA)?;
    let file = stage.path_of(&alpha)?;
    // A list has this name.
    let list = json!({ "displayName": "Minutes", "list": { "template": "genericList" } });
    home.graph()
        .post(&format!("/sites/{}/lists", home.site()?), &list)?;
    let before = (everything(&person)?, fingerprint(&Libraries, &home)?);
    let places = [
        (
            format!("{upn}/Calendar/Calendar"),
            "only events (files that end in .ics)",
        ),
        (
            format!("{upn}/Contacts/Contacts"),
            "only contacts (files that end in .vcf)",
        ),
        (
            format!("{upn}/Tasks/Tasks"),
            "only tasks (files that end in .ics)",
        ),
        (format!("{upn}/Archive/Inbox"), "an archive takes"),
        (
            format!("{upn}/Settings"),
            "only these files can be restored",
        ),
        (
            format!("{}/Lists/Minutes", home.upn),
            "only JSON can be put into a list",
        ),
        (
            format!("{}/Libraries", home.upn),
            "a file goes into a library",
        ),
    ];
    let live = || Ok(String::new());
    for (target, why) in &places {
        stage.refused_copy(&stage.captured(file), target, why)?;
        stage.refused(&live, &[&format!("latest/{file}"), target], why)?;
    }
    // Folders that can't be made. The dry run says so too.
    let folder = at(&home, "First");
    for (name, why) in [
        ("Minutes", "a list of this site is called Minutes"),
        ("what?", "it has the character ?, which is not allowed"),
        ("Documents/CON", "it is a reserved name"),
    ] {
        let target = at(&home, name);
        ensure!(stage.mkdir(&target).is_err(), "{name} was made");
        let log = stage.log()?;
        let told = log.lines().any(|l| l.contains(&target) && l.contains(why));
        ensure!(told, "no {why:?} of {target}: {log}");
        let done = stage.restore(&live, &[&format!("latest/{folder}"), &target])?;
        ensure!(done["restored"] == 0, "{done:#}");
        ensure!(done.to_string().contains(why), "{why}: {done:#}");
    }
    let after = (everything(&person)?, fingerprint(&Libraries, &home)?);
    ensure!(before == after, "a refused file left something");
    stage.tenant.nothing_was_sent()
}
