//! Lists: every kind of column in, and back; item by item and whole; to other sites.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::shell::{quote, sh, sh_ok};
use serde_json::{Value, json};

use super::scene::Scene;

pub const LISTS_ONLY: &str = "[protect]\nworkloads = [\"lists\"]\n";

fn scene() -> Result<Scene> {
    Scene::with(LISTS_ONLY, |o| {
        o.site_files = 0;
        o.site_items = 60;
    })
}

/// Columns whose values no one can write through Graph: why a round trip leaves them empty.
const NOT_WRITTEN: [&str; 5] = ["Website", "Logo", "Office", "Photo", "Legacy"];

/// Values of items by their titles, without what the service fills in.
fn values(items: &[Value]) -> BTreeMap<String, Value> {
    let own = |name: &str| {
        const SERVICE: [&str; 9] = [
            "id",
            "ContentType",
            "Created",
            "Modified",
            "AuthorLookupId",
            "EditorLookupId",
            "Attachments",
            "Edit",
            "ItemChildCount",
        ];
        let service = SERVICE.contains(&name)
            || ["_", "@", "LinkTitle", "App", "FolderChild"]
                .iter()
                .any(|start| name.starts_with(start));
        // The parts of a place are the place's.
        const PLACE: [&str; 6] = [
            "Street",
            "City",
            "CountryOrRegion",
            "PostalCode",
            "DispName",
            "AverageRating",
        ];
        !service && !PLACE.contains(&name) && !NOT_WRITTEN.contains(&name)
    };
    let mut all = BTreeMap::new();
    for item in items {
        let fields = item["fields"].as_object().cloned().unwrap_or_default();
        let mut kept: serde_json::Map<_, _> = fields.into_iter().filter(|(n, _)| own(n)).collect();
        // Where a term stands in a cache of the site.
        for term in kept.values_mut() {
            let terms = match term {
                Value::Array(all) => all.iter_mut().collect(),
                one => vec![one],
            };
            for term in terms.into_iter().filter_map(Value::as_object_mut) {
                term.remove("WssId");
            }
        }
        let title = kept["Title"].as_str().unwrap_or_default().to_owned();
        all.insert(title, Value::Object(kept));
    }
    all
}

impl Scene {
    pub fn list_id(&self, site: &str, name: &str) -> Result<(String, String)> {
        let site = self.site(site)?;
        let site = site["id"].as_str().context("no id")?.to_owned();
        let list = self
            .tenant
            .graph
            .get(&format!("/sites/{site}/lists/{name}"))?;
        Ok((site, list["id"].as_str().context("no id")?.to_owned()))
    }

    pub fn items(&self, site: &str, list: &str) -> Result<Vec<Value>> {
        let (site, list) = self.list_id(site, list)?;
        let path = format!("/sites/{site}/lists/{list}/items?$expand=fields");
        self.tenant.graph.list(&path)
    }

    pub fn delete_items(&self, site: &str, list: &str) -> Result<()> {
        let (site, id) = self.list_id(site, list)?;
        for item in self
            .tenant
            .graph
            .list(&format!("/sites/{site}/lists/{id}/items"))?
        {
            let item = item["id"].as_str().context("no id")?;
            let path = format!("/sites/{site}/lists/{id}/items/{item}");
            self.tenant.graph.delete(&path)?;
        }
        Ok(())
    }
}

/// The item files of a list, by number.
pub fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".json") && name != "list.json" {
            let number = name.split('.').next().unwrap_or_default();
            all.insert(number.trim_start_matches('0').to_owned(), path);
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[test]
fn lists_are_folders_with_items_and_a_table() -> Result<()> {
    let scene = scene()?;
    let first = scene.tenant.backup()?;
    ensure!(first["counts"]["failed"] == 0, "{:#}", first["failed"]);
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let lists = latest.join("Sites/Finance/Lists");
    for name in ["Assets", "Vendors", "Calendar"] {
        let live = scene.items("/sites/Finance", name)?;
        let files = files(&lists.join(name))?;
        ensure!(
            !live.is_empty() && files.len() == live.len(),
            "{name}: {files:?}"
        );
        for item in &live {
            let file = read(&files[item["id"].as_str().context("no id")?])?;
            for (field, value) in item["fields"].as_object().context("no fields")? {
                if !field.contains("@odata") {
                    ensure!(file["fields"][field] == *value, "{name} {field}: {file:#}");
                }
            }
        }
        let definition = read(&lists.join(name).join("list.json"))?;
        ensure!(
            definition["columns"]
                .as_array()
                .is_some_and(|c| !c.is_empty())
        );
        ensure!(definition["list"]["displayName"] == name);
    }
    // The table, as another program reads it.
    let live = scene.items("/sites/Finance", "Assets")?;
    let script = "import csv, json, sys\n\
                  print(json.dumps(list(csv.DictReader(open(sys.argv[1], encoding='utf-8-sig', newline='')))))";
    let said = sh_ok(
        &mount.dir,
        &format!(
            "python3 -c \"{script}\" {}",
            quote(&lists.join("Assets/items.csv"))
        ),
    )?;
    let table: Vec<Value> = serde_json::from_str(&said)?;
    ensure!(table.len() == live.len(), "{} rows", table.len());
    for (row, item) in table.iter().zip(&live) {
        let fields = &item["fields"];
        ensure!(
            row["ID"] == item["id"] && row["Title"] == fields["Title"],
            "{row:#}"
        );
        ensure!(row["Serial number"] == fields["Serial"], "{row:#}");
        let tags: Vec<_> = fields["Tags"].as_array().into_iter().flatten().collect();
        let tags: Vec<_> = tags.iter().filter_map(|tag| tag.as_str()).collect();
        ensure!(row["Tags"] == tags.join("; "), "{row:#}");
        ensure!(row["Notes"] == fields["Notes"], "{row:#}");
        let vendor = row["Vendor"].as_str().context("no vendor")?;
        ensure!(
            vendor.is_empty() || vendor.parse::<u64>().is_err(),
            "a number for a name: {row:#}"
        );
        let holder = row["Holder"].as_str().context("no holder")?;
        ensure!(
            holder.parse::<u64>().is_err(),
            "a number for a name: {row:#}"
        );
    }
    let report = read(&latest.join(".tenantfs/report.json"))?;
    let notes = report["notes"].as_array().context("no notes")?;
    let attachments = notes
        .iter()
        .filter(|n| n["reason"].to_string().contains("attachments"));
    let with = live
        .iter()
        .filter(|item| item["fields"]["Attachments"] == true)
        .count();
    ensure!(with > 0 && attachments.count() >= with, "{notes:#?}");
    // What SharePoint keeps for itself is no list of anybody's.
    ensure!(!lists.join("User Information List").exists() && !lists.join("Documents").exists());
    Ok(())
}

#[test]
fn a_cycle_brings_what_changed_in_a_list() -> Result<()> {
    let scene = scene()?;
    scene.tenant.backup()?;
    let idle = scene.tenant.backup()?;
    ensure!(idle["snapshot"].is_null(), "nothing had changed: {idle:#}");
    let (site, list) = scene.list_id("/sites/Finance", "Vendors")?;
    let items = format!("/sites/{site}/lists/{list}/items");
    let graph = &scene.tenant.graph;
    graph.patch(&format!("{items}/1/fields"), &json!({ "Phone": "+47 1" }))?;
    graph.delete(&format!("{items}/2"))?;
    graph.post(&items, &json!({ "fields": { "Title": "Wingtip" } }))?;
    let changed = scene.tenant.backup()?;
    // The new item; the changed one and the table; the one that is gone.
    let counts = &changed["counts"];
    ensure!(
        counts["added"] == 1 && counts["updated"] == 2 && counts["removed"] == 1,
        "{counts:#}"
    );
    graph.control("expire-delta-tokens", &json!({}))?;
    let again = scene.tenant.backup()?;
    ensure!(
        again["counts"]["added"] == 0 && again["counts"]["removed"] == 0,
        "{again:#}"
    );
    let mount = scene.tenant.mount()?;
    let folder = mount
        .path("snapshots/latest")
        .canonicalize()?
        .join("Sites/Finance/Lists/Vendors");
    let files = files(&folder)?;
    ensure!(read(&files["1"])?["fields"]["Phone"] == "+47 1" && !files.contains_key("2"));
    ensure!(fs::read_to_string(folder.join("items.csv"))?.contains("Wingtip"));
    // A list that is gone is gone from the next snapshot.
    graph.delete(&format!("/sites/{site}/lists/{list}"))?;
    scene.tenant.backup()?;
    let next = scene.next_snapshot(&mount, &mount.path("snapshots/latest").canonicalize()?);
    let next = match next {
        Ok(next) => next,
        Err(_) => mount.path("snapshots/latest").canonicalize()?,
    };
    ensure!(!next.join("Sites/Finance/Lists/Vendors").exists());
    Ok(())
}

#[test]
fn deleted_items_come_back_once() -> Result<()> {
    let scene = scene()?;
    let before = values(&scene.items("/sites/Finance", "Assets")?);
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    scene.delete_items("/sites/Finance", "Assets")?;
    // Some answers get lost on the way.
    scene.tenant.graph.control(
        "faults",
        &json!([{ "method": "POST", "route": "*/items", "count": 3,
                  "fault": { "status": 504, "after": true } }]),
    )?;
    let list = "Sites/Finance/Lists/Assets";
    let rsync = format!(
        "rsync -rt --ignore-existing {}/ restore/{list}/",
        quote(&first.join(list))
    );
    sh_ok(&mount.dir, &rsync)?;
    let after = values(&scene.items("/sites/Finance", "Assets")?);
    for (title, before) in &before {
        ensure!(
            after.get(title) == Some(before),
            "{title}: {before:#} {:#?}",
            after.get(title)
        );
    }
    // Twice is once, by either way.
    sh_ok(&mount.dir, &rsync)?;
    let again = scene
        .tenant
        .json(&["restore", &format!("latest/{list}"), list])?;
    ensure!(again["restored"] == 0 && again["failed"] == 0, "{again:#}");
    ensure!(scene.items("/sites/Finance", "Assets")?.len() == before.len());
    // What can't be set is named.
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    for part in ["Website is a hyperlink", "column Office is"] {
        ensure!(log.contains(part), "{part}: {log}");
    }
    scene.nothing_was_sent()
}

#[test]
fn a_list_that_is_gone_is_made_again() -> Result<()> {
    let scene = scene()?;
    let before = values(&scene.items("/sites/Finance", "Assets")?);
    let vendors = values(&scene.items("/sites/Finance", "Vendors")?);
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    for name in ["Assets", "Vendors"] {
        let (site, list) = scene.list_id("/sites/Finance", name)?;
        scene
            .tenant
            .graph
            .delete(&format!("/sites/{site}/lists/{list}"))?;
    }
    // One by command, the other by hand. What is looked up comes first.
    let done = scene.tenant.json(&[
        "restore",
        "latest/Sites/Finance/Lists/Vendors",
        "Sites/Finance/Lists/Vendors",
    ])?;
    // The table only shows the list.
    ensure!(done["failed"] == 0, "{done:#}");
    ensure!(values(&scene.items("/sites/Finance", "Vendors")?) == vendors);
    sh_ok(
        &mount.dir,
        &format!(
            "rsync -rt --ignore-existing {} restore/Sites/Finance/Lists/",
            quote(&first.join("Sites/Finance/Lists/Assets"))
        ),
    )?;
    let after = values(&scene.items("/sites/Finance", "Assets")?);
    // Lookups go by name, so numbers may differ; terms need columns that Graph can't make.
    let shown = |all: &BTreeMap<String, Value>| -> BTreeMap<String, Value> {
        let strip = |value: &Value| {
            let mut value = value.clone();
            if let Some(fields) = value.as_object_mut() {
                fields.retain(|name, _| {
                    !["Topic", "Subjects", "VendorLookupId"].contains(&&name[..])
                });
            }
            value
        };
        all.iter()
            .map(|(title, v)| (title.clone(), strip(v)))
            .collect()
    };
    let names = |all: &BTreeMap<String, Value>| -> Vec<String> {
        let of = |v: &Value| v["Bidders"].as_array().cloned().unwrap_or_default();
        let bidders = all.values().flat_map(of);
        bidders.map(|b| b["LookupValue"].to_string()).collect()
    };
    ensure!(names(&before) == names(&after));
    for (title, value) in shown(&before) {
        let (mut value, mut now) = (value, shown(&after).remove(&title).unwrap_or_default());
        for one in [&mut value, &mut now] {
            one.as_object_mut().map(|fields| fields.remove("Bidders"));
        }
        ensure!(now == value, "{title}: {value:#} {now:#}");
    }
    scene.nothing_was_sent()
}

#[test]
fn items_go_to_another_site_and_policies_hold() -> Result<()> {
    let scene = scene()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    // To another site, into a list that is new there.
    let from = first.join("Sites/Finance/Lists/Vendors");
    let command = format!(
        "cp -r {} 'restore/Sites/Engineering/Lists/Vendors of Finance'",
        quote(&from)
    );
    let (_, said) = sh(&mount.dir, &command)?;
    // cp copies the table too, which is no item.
    let refused: Vec<_> = said
        .lines()
        .filter(|line| !line.contains("items.csv"))
        .collect();
    ensure!(refused.is_empty(), "{said}");
    let there = scene.items("/sites/Engineering", "Vendors of Finance")?;
    let vendors = scene.items("/sites/Finance", "Vendors")?;
    ensure!(values(&there) == values(&vendors), "{there:#?}");

    // One that changed: skip leaves it, overwrite sets it back and it keeps its number, keep-both adds one.
    let (site, list) = scene.list_id("/sites/Finance", "Vendors")?;
    let path = format!("/sites/{site}/lists/{list}/items/3/fields");
    scene
        .tenant
        .graph
        .patch(&path, &json!({ "Phone": "+47 2" }))?;
    let file = files(&from)?["3"].clone();
    let cp = |policy: &str| {
        let target = format!("restore/{policy}Sites/Finance/Lists/Vendors/");
        sh(&mount.dir, &format!("cp {} {target}", quote(&file)))
    };
    let phone = || -> Result<Value> { Ok(scene.tenant.graph.get(&path)?["Phone"].clone()) };
    let (ok, said) = cp("")?;
    ensure!(
        !ok && said.contains("exists") && phone()? == "+47 2",
        "{said}"
    );
    let (ok, said) = cp("@overwrite/")?;
    ensure!(ok && phone()? == "+1 555 0102", "{said} {}", phone()?);
    let before = scene.items("/sites/Finance", "Vendors")?.len();
    ensure!(before == vendors.len());
    let (ok, said) = cp("@keep-both/")?;
    ensure!(ok, "{said}");
    ensure!(scene.items("/sites/Finance", "Vendors")?.len() == before + 1);
    // A list to a drive is files; a file from elsewhere becomes an item, once.
    let mine = scene.tenant.path("mine.json");
    fs::write(
        &mine,
        r#"{ "fields": { "Title": "Contoso Pharma", "Phone": "1" } }"#,
    )?;
    let cp = format!("cp {} restore/Sites/Finance/Lists/Vendors/", quote(&mine));
    let (ok, said) = sh(&mount.dir, &cp)?;
    ensure!(ok, "{said}");
    let (ok, _) = sh(&mount.dir, &cp)?;
    ensure!(!ok && scene.items("/sites/Finance", "Vendors")?.len() == before + 2);
    for (name, text) in [("bad.json", "no JSON"), ("empty.json", "{}")] {
        let bad = scene.tenant.path(name);
        fs::write(&bad, text)?;
        let (ok, _) = sh(
            &mount.dir,
            &format!("cp {} restore/Sites/Finance/Lists/Vendors/", quote(&bad)),
        )?;
        ensure!(!ok, "{name} was taken");
    }
    scene.nothing_was_sent()
}

/// The list that is looked into comes last.
#[test]
fn all_lists_come_back_with_what_they_look_up() -> Result<()> {
    let scene = scene()?;
    let looked_up = || -> Result<BTreeMap<String, String>> {
        let vendors = scene.items("/sites/Finance", "Vendors")?;
        let name = |number: &Value| {
            let found = vendors.iter().find(|vendor| vendor["id"] == *number);
            found.map(|vendor| vendor["fields"]["Title"].to_string())
        };
        let assets = scene.items("/sites/Finance", "Assets")?;
        let told = assets.iter().map(|item| {
            let fields = &item["fields"];
            let bidders = fields["Bidders"].as_array().into_iter().flatten();
            let bidders: Vec<_> = bidders.map(|b| b["LookupValue"].to_string()).collect();
            let vendor = name(&fields["VendorLookupId"]);
            (
                fields["Title"].to_string(),
                format!("{vendor:?} {bidders:?}"),
            )
        });
        Ok(told.collect())
    };
    let before = looked_up()?;
    ensure!(
        before.values().any(|told| told.contains("Some")),
        "{before:#?}"
    );
    scene.tenant.backup()?;
    let delete_all = || -> Result<()> {
        for name in ["Assets", "Vendors"] {
            let (site, list) = scene.list_id("/sites/Finance", name)?;
            let path = format!("/sites/{site}/lists/{list}");
            scene.tenant.graph.delete(&path)?;
        }
        Ok(())
    };
    delete_all()?;
    let arguments = ["restore", "latest/Sites/Finance/Lists", "Sites/Finance"];
    let done = scene.tenant.json(&arguments)?;
    ensure!(done["failed"] == 0, "{done:#}");
    ensure!(looked_up()? == before, "{:#?} {before:#?}", looked_up()?);

    // Nobody tells the mount when all is done: once more over what is there.
    delete_all()?;
    let mount = scene.tenant.mount()?;
    let lists = mount
        .path("snapshots/latest")
        .canonicalize()?
        .join("Sites/Finance/Lists");
    for (policy, name) in [("", "Assets"), ("", "Vendors"), ("@overwrite/", "Assets")] {
        let from = quote(&lists.join(name));
        let line = format!("cp -r {from} restore/{policy}Sites/Finance/Lists/");
        sh_ok(&mount.dir, &line)?;
    }
    ensure!(looked_up()? == before, "{:#?} {before:#?}", looked_up()?);
    scene.nothing_was_sent()
}

/// Reads a table as spreadsheets do, by Python's csv: rows of cells.
fn table(file: &Path) -> Result<Vec<Vec<String>>> {
    let script = "import csv, json, sys\n\
                  rows = csv.reader(open(sys.argv[1], encoding='utf-8-sig', newline=''), strict=True)\n\
                  print(json.dumps(list(rows)))";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(file)
        .output()
        .context("cannot run python3")?;
    ensure!(output.status.success(), "{}", e2e::text(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn the_table_opens_in_a_spreadsheet() -> Result<()> {
    let scene = scene()?;
    let (site, list) = scene.list_id("/sites/Finance", "Vendors")?;
    let path = format!("/sites/{site}/lists/{list}/items");
    let odd = [
        (
            "=HYPERLINK(\"https://evil.example\",\"Click\")",
            "+47-12-34",
        ),
        ("Two\nlines, \"quoted\"; and Ünïcode 漢字", "-5"),
        ("@SUM(1+1)*cmd|' /C calc'!A0", ""),
    ];
    for (title, phone) in odd {
        let fields = json!({ "fields": { "Title": title, "Phone": phone } });
        scene.tenant.graph.post(&path, &fields)?;
    }
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let lists = mount
        .path("snapshots/latest")
        .canonicalize()?
        .join("Sites/Finance/Lists");
    let rows = table(&lists.join("Vendors/items.csv"))?;
    let (head, rows) = rows.split_first().context("no head")?;
    ensure!(head[0] == "ID" && rows.iter().all(|row| row.len() == head.len()));
    let live = scene.items("/sites/Finance", "Vendors")?;
    ensure!(rows.len() == live.len(), "{} rows", rows.len());
    let at = |name: &str| head.iter().position(|title| title == name);
    let (title, phone) = (
        at("Title").context("no Title")?,
        at("Phone").context("no Phone")?,
    );
    for (row, item) in rows.iter().zip(&live) {
        ensure!(row[0] == item["id"]);
        // As it is, with nothing in front of it that is no formula.
        for (cell, field) in [(&row[title], "Title"), (&row[phone], "Phone")] {
            let text = item["fields"][field].as_str().unwrap_or_default();
            ensure!(cell.trim_start_matches('\'') == text, "{cell} {text}");
            ensure!(
                !cell.starts_with(['=', '+', '-', '@']),
                "{cell} is a formula"
            );
        }
    }
    // Every kind of column has its cells.
    let rows = table(&lists.join("Assets/items.csv"))?;
    ensure!(rows.iter().all(|row| row.len() == rows[0].len()));
    ensure!(rows.len() == scene.items("/sites/Finance", "Assets")?.len() + 1);
    // A program that is a spreadsheet says the same, where there is one.
    let office = std::process::Command::new("soffice")
        .args(["--headless", "--convert-to", "xlsx", "--outdir"])
        .arg(scene.tenant.path("out"))
        .arg(lists.join("Vendors/items.csv"))
        .env("HOME", scene.tenant.path(""))
        .output();
    if let Ok(output) = office {
        let made = scene.tenant.path("out/items.xlsx");
        ensure!(made.is_file(), "{}", e2e::text(&output.stderr));
    }
    Ok(())
}
