//! What of lists and their items only SharePoint's own interface gives back: who made an item and when,
//! hyperlinks, and who alone may open it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::corpus;
use e2e::shell::{quote, sh_ok};
use serde_json::{Value, json};

use super::attachments::Rest;
use super::scene::Scene;

const FINANCE: &str =
    "[protect]\nworkloads = [\"lists\"]\nsites = { include = [\"Finance\", \"Engineering\"] }\n";
const LISTS: &str = "Sites/Finance/Lists";

fn scene() -> Result<Scene> {
    Scene::with_certificate(FINANCE, |o| {
        o.accounts = 3;
        o.messages = 0;
        o.files = 0;
        o.site_files = 0;
        o.site_items = 60;
    })
}

/// What the items of a list say of themselves, by title. Forms take no seconds.
fn told(scene: &Scene, list: &str) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for item in scene.items("/sites/Finance", list)? {
        let fields = &item["fields"];
        let minute = |time: &str| Some(item[time].as_str()?.get(..16)?.to_owned());
        let title = fields["Title"].as_str().context("no title")?.to_owned();
        let told = json!({
            "created": minute("createdDateTime"), "modified": minute("lastModifiedDateTime"),
            "author": item["createdBy"]["user"]["email"], "editor": item["lastModifiedBy"]["user"]["email"],
            "links": [fields["Website"], fields["Logo"]],
        });
        all.insert(title, told);
    }
    Ok(all)
}

/// Who has access to what is not open to all: lists by name, items by title.
fn access(kept: &Path) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut all = BTreeMap::new();
    for file in corpus::files(kept) {
        if file.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let record: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let title = &record["fields"]["Title"];
        let name = title.as_str().or(record["displayName"].as_str());
        let Some(own) = record["roleAssignments"].as_array() else {
            continue;
        };
        let mut own = own.clone();
        own.sort_by_key(|one| one["loginName"].to_string());
        all.insert(name.context("no name")?.to_owned(), own);
    }
    Ok(all)
}

impl Scene {
    fn delete_list(&self, name: &str) -> Result<()> {
        let (site, list) = self.list_id("/sites/Finance", name)?;
        let path = format!("/sites/{site}/lists/{list}");
        self.tenant.graph.delete(&path)?;
        Ok(())
    }
}

#[test]
fn items_say_again_who_made_them_and_only_those_who_had_access_have_it() -> Result<()> {
    let scene = scene()?;
    let before = told(&scene, "Assets")?;
    ensure!(before.values().any(|item| item["links"][0].is_object()));
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    let open = access(&first.join(".tenantfs/graph").join(LISTS))?;
    ensure!(
        open.len() > 1 && open.contains_key("Announcements"),
        "{open:#?}"
    );

    let mut newest = first.clone();
    for by_hand in [false, true] {
        scene.delete_list("Assets")?;
        scene.delete_list("Announcements")?;
        for name in ["Announcements", "Assets"] {
            let list = format!("{LISTS}/{name}");
            if by_hand {
                let from = quote(&first.join(&list));
                sh_ok(&mount.dir, &format!("rsync -rt {from} restore/{LISTS}/"))?;
            } else {
                let id = first.file_name().context("no name")?.to_string_lossy();
                let done = scene
                    .tenant
                    .json(&["restore", &format!("{id}/{list}"), &list])?;
                ensure!(done["failed"] == 0, "{done:#}");
            }
        }
        let after = told(&scene, "Assets")?;
        for (title, item) in &before {
            ensure!(
                after.get(title) == Some(item),
                "{by_hand} {title}: {item:#} {:#?}",
                after.get(title)
            );
        }
        scene.tenant.backup()?;
        newest = scene.next_snapshot(&mount, &newest)?;
        let again = access(&newest.join(".tenantfs/graph").join(LISTS))?;
        ensure!(again == open, "{by_hand}: {open:#?} {again:#?}");
    }
    scene.nothing_was_sent()
}

/// Sites only know who was there before: who an item names becomes known by it.
#[test]
fn people_become_known_where_an_item_names_them() -> Result<()> {
    let scene = scene()?;
    let known = scene.items("/sites/Engineering", "User Information List")?;
    let is_known = |user: &Value| {
        let mut known = known.iter();
        known.any(|one| one["fields"]["UserName"] == user["userPrincipalName"])
    };
    let graph = &scene.tenant.graph;
    let users = graph.list("/users?$select=userPrincipalName,displayName,mail")?;
    let stranger = users
        .iter()
        .find(|user| user["mail"].is_string() && !is_known(user));
    let stranger = stranger.context("everybody is known everywhere")?;
    let name = stranger["userPrincipalName"].as_str().context("no name")?;
    let login = format!("i:0#.f|membership|{name}");
    let number = Rest::of(&scene)?.ensure_user(&login)?;
    let (site, list) = scene.list_id("/sites/Finance", "Assets")?;
    let fields = format!("/sites/{site}/lists/{list}/items/1/fields");
    graph.patch(&fields, &json!({ "HolderLookupId": number }))?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let copy = "restore/Sites/Engineering/Lists/Assets of Finance";
    sh_ok(
        &mount.dir,
        &format!("cp -r snapshots/latest/{LISTS}/Assets '{copy}'"),
    )?;
    let (site, list) = scene.list_id("/sites/Engineering", "Assets of Finance")?;
    let items = format!("/sites/{site}/lists/{list}/items?$expand=fields($select=Title,Holder)");
    let items = graph.list(&items)?;
    let held = items
        .iter()
        .any(|item| item["fields"]["Holder"] == stranger["displayName"]);
    ensure!(held, "{stranger:#} {items:#?}");
    scene.nothing_was_sent()
}

/// What a site refuses is named, and costs nothing else.
#[test]
fn what_is_refused_is_named() -> Result<()> {
    let scene = scene()?;
    let count = scene.items("/sites/Finance", "Assets")?.len();
    scene.tenant.backup()?;
    scene.delete_list("Assets")?;
    let refuse = |route: &str| json!({ "method": "POST", "route": route, "count": 1000, "fault": { "status": 403 } });
    scene.tenant.graph.control(
        "faults",
        &json!([
            refuse("*ValidateUpdateListItem"),
            refuse("*items()/breakroleinheritance()")
        ]),
    )?;
    let list = format!("{LISTS}/Assets");
    let done = scene
        .tenant
        .json(&["restore", &format!("latest/{list}"), &list])?;
    let notes = done.to_string();
    for part in [
        "who made it and when could not be set",
        "only these had access to it",
    ] {
        ensure!(notes.contains(part), "{part}: {done:#}");
    }
    ensure!(
        done["failed"] == 0 && scene.items("/sites/Finance", "Assets")?.len() == count,
        "{done:#}"
    );
    scene.nothing_was_sent()
}
