//! Contacts through the mount and through the command line.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::{Mounted, calendars, corpus};
use serde_json::{Value, json};

use super::support::{Scene, captured, counted, id, lasting, quote, sh, sh_ok};

/// Made by the service.
const OWN: [&str; 7] = [
    "singleValueExtendedProperties",
    "id",
    "changeKey",
    "createdDateTime",
    "lastModifiedDateTime",
    "parentFolderId",
    "tenantfsPhoto",
];

fn scene() -> Result<Scene> {
    Scene::new(120, &["contacts", "drive"])
}

/// All folders of an address book but the service's own: path and id.
fn folders(scene: &Scene, upn: &str) -> Result<Vec<(String, String)>> {
    let graph = &scene.tenant.graph;
    let default = graph.get(&format!("/users/{upn}/contactFolders/contacts"))?;
    let name = |f: &Value| {
        let name = f["displayName"].as_str().unwrap_or_default();
        name.replace('/', "%2F")
    };
    let mut all = vec![(name(&default), id(&default))];
    let mut at = 0;
    while at < all.len() {
        let (path, parent) = all[at].clone();
        let children = format!("/users/{upn}/contactFolders/{parent}/childFolders");
        for folder in graph.list(&children)? {
            all.push((format!("{path}/{}", name(&folder)), id(&folder)));
        }
        at += 1;
    }
    Ok(all)
}

/// All contacts below a folder of this name (empty: all), with the path of theirs.
pub fn book(scene: &Scene, upn: &str, below: &str) -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for (path, folder) in folders(scene, upn)? {
        if !path.split('/').any(|name| name == below) && !below.is_empty() {
            continue;
        }
        let contacts = format!("/users/{upn}/contactFolders/{folder}/contacts");
        for contact in scene.tenant.graph.list(&contacts)? {
            all.push((path.clone(), contact));
        }
    }
    Ok(all)
}

fn photo(scene: &Scene, upn: &str, contact: &str) -> Option<Vec<u8>> {
    let path = format!("/users/{upn}/contacts/{contact}/photo/$value");
    scene.tenant.graph.bytes(&path).ok()
}

/// The file of a contact.
fn file_of(mount: &Mounted, upn: &str, contact: &Value) -> Result<PathBuf> {
    let all = captured(mount, upn, "Contacts")?;
    let found = all
        .into_iter()
        .find(|(_, record)| record["id"] == contact["id"]);
    found.map(|(file, _)| file).context("it was not captured")
}

fn delete(scene: &Scene, upn: &str, contact: &Value) -> Result<()> {
    let path = format!("/users/{upn}/contacts/{}", id(contact));
    scene.tenant.graph.delete(&path).map(drop)
}

/// One with a photo, in the default folder.
fn with_photo(scene: &Scene) -> Result<Value> {
    let alice = &scene.alice;
    let all = scene
        .tenant
        .graph
        .list(&format!("/users/{alice}/contacts"))?;
    let found = all
        .into_iter()
        .find(|c| photo(scene, alice, &id(c)).is_some());
    found.context("no contact has a photo")
}

#[test]
fn contacts_are_captured_whole_and_idle_cycles_ask_once_per_folder() -> Result<()> {
    let scene = scene()?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    scene.tenant.backup()?;
    let live = book(&scene, alice, "")?;
    ensure!(
        live.iter().any(|(path, _)| path.matches('/').count() > 1),
        "nothing is nested"
    );
    {
        let mount = scene.tenant.mount()?;
        let files = captured(&mount, alice, "Contacts")?;
        ensure!(
            files.len() == live.len(),
            "{} are live, {} captured",
            live.len(),
            files.len()
        );
        for (path, contact) in &live {
            let found = files
                .iter()
                .find(|(_, record)| record["id"] == contact["id"]);
            let (file, record) = found.context("a contact is missing")?;
            ensure!(
                lasting(record, &["tenantfsPhoto"]) == lasting(contact, &[]),
                "{record:#}\n{contact:#}"
            );
            let card = fs::read_to_string(file)?.replace("\r\n ", "");
            let has = photo(&scene, alice, &id(contact)).is_some();
            ensure!(card.contains("\r\nPHOTO:data:image/") == has, "{card}");
            ensure!(record["tenantfsPhoto"].is_object() == has);
            let depth = file
                .display()
                .to_string()
                .split("/Contacts/")
                .nth(1)
                .map(|below| below.matches('/').count());
            ensure!(
                depth == Some(path.matches('/').count() + 1),
                "{} is at {path}",
                file.display()
            );
        }
        let names: Vec<PathBuf> = files.into_iter().map(|(file, _)| file).collect();
        if calendars::ready() {
            calendars::accept(&names)?;
        }
    }
    scene.idle()?;
    let mailboxes = graph.mailboxes()?;
    let mut least = 0;
    for upn in &mailboxes {
        least += 1 + folders(&scene, upn)?.len() as u64;
    }
    // What the test itself asked, to count, is not the program's.
    scene.idle()?;
    let asked = scene.requests("contact")?;
    ensure!(
        asked == least,
        "an idle cycle asked {asked} times, {least} are needed"
    );

    // A change, a photo, a deletion.
    let [a, b, c] = [&live[0].1, &live[1].1, &live[2].1];
    graph.patch(
        &format!("/users/{alice}/contacts/{}", id(a)),
        &json!({ "jobTitle": "Changed" }),
    )?;
    let jpeg = b"\xff\xd8\xff\xe0not much of a picture".to_vec();
    let picture = format!("/users/{alice}/contacts/{}/photo/$value", id(b));
    graph.put_as(&picture, "image/jpeg", jpeg.clone())?;
    delete(&scene, alice, c)?;
    graph.reset_requests()?;
    let second = scene.tenant.backup()?;
    ensure!(
        second["counts"]["updated"] == 2 && second["counts"]["removed"] == 1,
        "{second:#}"
    );
    ensure!(
        scene.requests("photo")? == 2,
        "photos of what did not change were asked for"
    );
    let mount = scene.tenant.mount()?;
    let files = captured(&mount, alice, "Contacts")?;
    ensure!(files.len() == live.len() - 1);
    let of = |contact: &Value| {
        files
            .iter()
            .find(|(_, record)| record["id"] == contact["id"])
    };
    let (file, _) = of(a).context("the changed one")?;
    ensure!(fs::read_to_string(file)?.contains("TITLE:Changed"));
    let (file, record) = of(b).context("the one with a new photo")?;
    ensure!(
        record["tenantfsPhoto"]["size"] == jpeg.len()
            && fs::read_to_string(file)?.contains("\r\nPHOTO:")
    );
    scene.nothing_was_sent()
}

#[test]
fn a_deleted_contact_comes_back_as_it_was() -> Result<()> {
    let scene = scene()?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    let contact = with_photo(&scene)?;
    let picture = photo(&scene, alice, &id(&contact));
    scene.tenant.backup()?;
    let file = {
        let mount = scene.tenant.mount()?;
        let file = file_of(&mount, alice, &contact)?;
        let copy = format!("cp {} 'restore/{alice}/Contacts/Contacts/'", quote(&file));
        let (ok, said) = sh(&mount.dir, &copy)?;
        ensure!(!ok && said.contains("exists"), "it is there, but: {said}");
        file
    };
    delete(&scene, alice, &contact)?;
    let name = file.file_name().context("a name")?.to_owned();
    let mount = scene.tenant.mount()?;
    sh_ok(
        &mount.dir,
        &format!("cp {} 'restore/{alice}/Contacts/Contacts/'", quote(&file)),
    )?;
    let all = graph.list(&format!("/users/{alice}/contacts"))?;
    let back = all
        .iter()
        .find(|c| lasting(c, &OWN) == lasting(&contact, &OWN));
    let back = back.with_context(|| format!("not as it was: {contact:#}"))?;
    ensure!(photo(&scene, alice, &id(back)) == picture, "another photo");
    let listed = sh_ok(
        &mount.dir,
        &format!("ls 'restore/{alice}/Contacts/Contacts/'"),
    )?;
    ensure!(listed.contains(&*name.to_string_lossy()), "{listed}");
    drop(mount);

    // The next snapshot has it under the same name.
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let again = mount
        .path(&format!("snapshots/latest/{alice}/Contacts/Contacts"))
        .join(&name);
    ensure!(again.is_file(), "{} is not there", again.display());
    scene.nothing_was_sent()
}

#[test]
fn policies_and_places() -> Result<()> {
    let scene = scene()?;
    let (graph, alice, bob) = (&scene.tenant.graph, &scene.alice, &scene.bob);
    let contact = with_photo(&scene)?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let file = file_of(&mount, alice, &contact)?;
    let copies = || -> Result<Vec<Value>> {
        let all = graph.list(&format!("/users/{alice}/contacts"))?;
        let same = |c: &Value| lasting(c, &OWN) == lasting(&contact, &OWN);
        Ok(all.into_iter().filter(same).collect())
    };
    let copy = |to: &str| sh(&mount.dir, &format!("cp {} 'restore/{to}'", quote(&file)));
    let (ok, said) = copy(&format!("@overwrite/{alice}/Contacts/Contacts/"))?;
    ensure!(ok, "@overwrite: {said}");
    let now = copies()?;
    ensure!(
        now.len() == 1 && now[0]["id"] != contact["id"],
        "{} copies",
        now.len()
    );
    let (ok, said) = copy(&format!("@keep-both/{alice}/Contacts/Contacts/"))?;
    ensure!(ok && copies()?.len() == 2, "@keep-both: {said}");

    // A file in a drive.
    let (ok, said) = copy(&format!("{alice}/OneDrive/card.vcf"))?;
    ensure!(ok, "OneDrive: {said}");
    let stored = graph.bytes(&format!("/users/{alice}/drive/root:/card.vcf:/content"))?;
    ensure!(stored == fs::read(&file)?, "the file in the drive differs");

    // A folder with all that is nested in it, to another account.
    let contacts = mount
        .path(&format!("snapshots/latest/{alice}/Contacts/Contacts"))
        .canonicalize()?;
    // Some of the generated people have the same name and nothing else to be told apart by.
    let target = format!("restore/@keep-both/{bob}/Contacts/From Alice");
    sh_ok(
        &mount.dir,
        &format!("cp -r {} '{target}'", quote(&contacts)),
    )?;
    let there = book(&scene, bob, "From Alice")?;
    let files = captured(&mount, alice, "Contacts")?;
    let were = counted(files.iter().map(|(_, record)| lasting(record, &OWN)));
    let are = counted(there.iter().map(|(_, contact)| lasting(contact, &OWN)));
    ensure!(were == are, "{} were, {} are", files.len(), there.len());
    ensure!(
        there.iter().any(|(path, _)| path.matches('/').count() > 2),
        "nothing is nested"
    );
    scene.nothing_was_sent()
}

#[test]
fn foreign_cards_are_read_or_refused_with_a_reason() -> Result<()> {
    let scene = Scene::new(0, &["contacts"])?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let card =
        "BEGIN:VCARD\nVERSION:3.0\nN:Roe;Jane\nFN:Jane Roe\nTEL;TYPE=fax:+46 8 1\nEND:VCARD\n";
    let one = scene.tenant.path("jane.vcf");
    let two = scene.tenant.path("two.vcf");
    fs::write(&one, card)?;
    fs::write(&two, card.repeat(2))?;
    let copy = |file: &PathBuf| {
        let to = format!("restore/{alice}/Contacts/Contacts/");
        sh(&mount.dir, &format!("cp {} '{to}'", quote(file)))
    };
    let (ok, said) = copy(&one)?;
    ensure!(ok, "{said}");
    let all = graph.list(&format!("/users/{alice}/contacts"))?;
    ensure!(
        all.iter()
            .any(|c| c["displayName"] == "Jane Roe" && c["surname"] == "Roe")
    );
    let (ok, said) = copy(&two)?;
    ensure!(!ok && said.contains("Invalid"), "{said}");
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(
        log.contains("the fax number (+46 8 1) is not restored"),
        "{log}"
    );
    ensure!(log.contains("2 vCards") && log.contains("split"), "{log}");
    scene.nothing_was_sent()
}

#[test]
fn the_command_line_restores_what_was_deleted_and_whole_accounts() -> Result<()> {
    let scene = scene()?;
    let (alice, bob) = (&scene.alice, &scene.bob);
    scene.tenant.backup()?;
    let before = book(&scene, alice, "")?;
    for (_, contact) in before.iter().take(3) {
        delete(&scene, alice, contact)?;
    }
    let (source, target) = (
        format!("latest/{alice}/Contacts"),
        format!("{alice}/Contacts"),
    );
    let arguments = ["restore", &source, &target, "--deleted-only"];
    let plan = scene
        .tenant
        .json(&[&arguments[..], &["--dry-run"]].concat())?;
    ensure!(plan.to_string().matches(".vcf").count() >= 3, "{plan:#}");
    ensure!(
        book(&scene, alice, "")?.len() == before.len() - 3,
        "--dry-run did something"
    );
    scene.tenant.json(&arguments)?;
    let all = |book: Vec<(String, Value)>| counted(book.iter().map(|(_, c)| lasting(c, &OWN)));
    ensure!(
        all(book(&scene, alice, "")?) == all(before.clone()),
        "not as it was"
    );

    let everything = format!("{bob}/Contacts/Everything");
    scene
        .tenant
        .json(&["restore", &source, &everything, "--conflict", "keep-both"])?;
    ensure!(
        all(book(&scene, bob, "Everything")?) == all(before),
        "not all of it arrived"
    );
    // Again: nothing is made twice.
    let again = scene.tenant.json(&["restore", &source, &everything])?;
    ensure!(again["restored"] == 0 && again["failed"] == 0, "{again:#}");
    ensure!(!corpus::files(&scene.tenant.path("repository")).is_empty());
    scene.nothing_was_sent()
}
