//! Items of lists, with columns of many kinds, among them people and what another list is looked up in.
//! A site has lists, and no folders in them.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::matrix::account::everything;
use crate::matrix::attached::{Drive, to_drive, to_library, to_mailbox_of};
use crate::matrix::cells;
use crate::matrix::row::{ALPHA, BETA, Home, Item, Row, chosen, find, fingerprint, text};
use crate::matrix::stage::{Cast, Shared, Stage};

pub struct Lists;

static STAGE: Shared = Shared::new();

fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| Stage::of_sites(&[&Lists]))
}

/// The list that others look into, which every site has.
const MAKERS: &str = "Makers";

/// What an item says, other than its person and what it looks up.
const SAYS: &str = "Title Amount Due State Tags Note Sold";

/// Lists but libraries and what SharePoint keeps for itself: name and id.
fn lists(home: &Home) -> Result<Vec<(String, String)>> {
    let path = format!("/sites/{}/lists?$select=id,displayName,list", home.site()?);
    let all = home.graph().list(&path)?;
    let own = all
        .iter()
        .filter(|list| list["list"]["template"] == "genericList" && list["list"]["hidden"] != true);
    Ok(own
        .map(|l| (text(l, "displayName"), text(l, "id")))
        .collect())
}

/// The id of a list, and whether it was there.
fn list(home: &Home, name: &str, columns: &Value) -> Result<(String, bool)> {
    if let Some((_, id)) = lists(home)?.into_iter().find(|(there, _)| there == name) {
        return Ok((id, true));
    }
    let path = format!("/sites/{}/lists", home.site()?);
    let body = json!({ "displayName": name, "list": { "template": "genericList" },
        "columns": columns });
    Ok((text(&home.graph().post(&path, &body)?, "id"), false))
}

/// The path of a list.
fn path_of(home: &Home, list: &str) -> Result<String> {
    Ok(format!("/sites/{}/lists/{list}", home.site()?))
}

fn items(home: &Home, list: &str) -> Result<Vec<Value>> {
    let path = path_of(home, list)?;
    home.graph().list(&format!("{path}/items?$expand=fields"))
}

/// The list of makers; the same one has another number in each site.
fn makers(home: &Home) -> Result<String> {
    let (list, there) = list(home, MAKERS, &json!([]))?;
    if !there {
        let path = format!("{}/items", path_of(home, &list)?);
        for _ in 0..home.upn.len() {
            let gone = home.graph().post(&path, &json!({ "fields": {} }))?;
            home.graph()
                .delete(&format!("{path}/{}", text(&gone, "id")))?;
        }
        for maker in ["Adatum", "Contoso"] {
            home.graph()
                .post(&path, &json!({ "fields": { "Title": maker } }))?;
        }
    }
    Ok(list)
}

/// Those of a list that lead to somewhere, by their numbers: what they are called.
fn names(home: &Home, list: &str, field: &str) -> Result<Map<String, Value>> {
    let all = items(home, list)?;
    let named = all
        .iter()
        .map(|item| (text(item, "id"), item["fields"][field].clone()));
    Ok(named.collect())
}

fn people(home: &Home) -> Result<Map<String, Value>> {
    names(home, "User%20Information%20List", "EMail")
}

/// The number of the one that is called so.
fn number(names: &Map<String, Value>, name: &str) -> Result<u64> {
    let found = names.iter().find(|(_, other)| **other == name);
    let (number, _) = found.with_context(|| format!("no {name} in {names:?}"))?;
    Ok(number.parse()?)
}

/// Columns that people made, by what they hold.
fn columns(home: &Home, list: &str) -> Result<Value> {
    const KINDS: [&str; 8] = [
        "text",
        "number",
        "dateTime",
        "choice",
        "boolean",
        "personOrGroup",
        "lookup",
        "calculated",
    ];
    let path = format!("{}/columns", path_of(home, list)?);
    let mut all = Vec::new();
    for column in home.graph().list(&path)? {
        let own = SAYS.split(' ').chain(["Owner", "Maker"]);
        if own.clone().any(|name| column["name"] == name) {
            let kind = KINDS.into_iter().find(|kind| column[*kind].is_object());
            let choices = &column["choice"]["choices"];
            all.push(format!(
                "{} {kind:?} {choices}",
                text(&column, "displayName")
            ));
        }
    }
    all.sort();
    Ok(json!(all))
}

impl Row for Lists {
    fn workload(&self) -> &'static str {
        "lists"
    }

    fn folder(&self) -> &'static str {
        "Lists"
    }

    fn home(&self) -> &'static str {
        "Tools"
    }

    fn nests(&self) -> bool {
        false
    }

    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()> {
        let makers = makers(home)?;
        let (list, _) = list(
            home,
            place,
            &json!([
                { "name": "Amount", "number": {} },
                { "name": "Due", "dateTime": { "format": "dateTime" } },
                { "name": "State", "choice": { "choices": ["In use", "Retired"] } },
                { "name": "Tags",
                  "choice": { "choices": ["red", "fast", "old"], "displayAs": "checkBoxes" } },
                { "name": "Note", "displayName": "What to know", "text": { "allowMultipleLines": true } },
                { "name": "Sold", "boolean": {} },
                { "name": "Owner", "personOrGroup": {} },
                { "name": "Maker", "lookup": { "listId": makers, "columnName": "Title" } },
            ]),
        )?;
        let mut fields = json!({ "Title": format!("{title} is a laptop"), "Amount": title.len() });
        if title == ALPHA {
            let owner = home.tenant.graph.mailboxes()?.remove(0);
            fields = json!({
                "Title": format!("{title} is a laptop"), "Amount": 999.5, "Due": "2031-05-31T08:00:00Z",
                "State": "In use", "Tags@odata.type": "Collection(Edm.String)", "Tags": ["red", "old"],
                "Note": "Two, \"quoted\"\nlines", "Sold": true,
                "OwnerLookupId": number(&people(home)?, &owner)?,
                "MakerLookupId": number(&names(home, &makers, "Title")?, "Contoso")?,
            });
        }
        let path = format!("{}/items", path_of(home, &list)?);
        home.graph()
            .post(&path, &json!({ "fields": fields }))
            .map(drop)
    }

    fn live(&self, home: &Home) -> Result<Vec<Item>> {
        let (mut all, people) = (Vec::new(), people(home)?);
        let called = |names: &Map<String, Value>, number: &Value| {
            let number = number.as_str().map(|n| names.get(n));
            number.map(|name| name.cloned().unwrap_or_default())
        };
        let makers = names(home, &makers(home)?, "Title")?;
        for (place, list) in lists(home)?.into_iter().filter(|(name, _)| name != MAKERS) {
            let columns = columns(home, &list)?;
            for item in items(home, &list)? {
                let fields = &item["fields"];
                let mut meaning = chosen(fields, SAYS);
                meaning["owner"] = json!(called(&people, &fields["OwnerLookupId"]));
                meaning["maker"] = json!(called(&makers, &fields["MakerLookupId"]));
                meaning["columns"] = columns.clone();
                all.push(Item {
                    id: format!("{list}/{}", text(&item, "id")),
                    title: text(fields, "Title"),
                    place: place.clone(),
                    meaning,
                });
            }
        }
        Ok(all)
    }

    fn remove(&self, home: &Home, item: &Item) -> Result<()> {
        let (list, number) = item.id.split_once('/').context("no list")?;
        let path = format!("{}/items/{number}", path_of(home, list)?);
        home.graph().delete(&path).map(drop)
    }

    fn remove_folder(&self, home: &Home, place: &str) -> Result<()> {
        let all = lists(home)?;
        let found = all.into_iter().find(|(name, _)| name == place);
        let (_, list) = found.with_context(|| format!("no list {place}"))?;
        home.graph().delete(&path_of(home, &list)?).map(drop)
    }

    /// All but the makers.
    fn remove_folders(&self, home: &Home) -> Result<()> {
        for (name, list) in lists(home)? {
            if name != MAKERS {
                home.graph().delete(&path_of(home, &list)?)?;
            }
        }
        makers(home).map(drop)
    }

    fn change(&self, home: &Home, item: &Item) -> Result<()> {
        let (list, number) = item.id.split_once('/').context("no list")?;
        let path = format!("{}/items/{number}/fields", path_of(home, list)?);
        let change = json!({ "Amount": 1, "State": "Retired", "Note": "changed", "Sold": false,
            "MakerLookupId": number_of(home, "Adatum")? });
        home.graph().patch(&path, &change).map(drop)
    }

    /// It gets other values, and keeps its number and its history.
    fn keeps_id(&self) -> bool {
        true
    }

    fn is_thing(&self, path: &str) -> bool {
        let (list, name) = path.split_once('/').unwrap_or_default();
        list != MAKERS && !matches!(name, "list.json" | "items.csv")
    }

    /// Each list with its definition. The table of it is not put back: it shows what the items hold.
    fn restores(&self, items: &[&Item]) -> u64 {
        let mut lists: Vec<&str> = items.iter().map(|item| &item.place[..]).collect();
        lists.sort();
        lists.dedup();
        (items.len() + lists.len()) as u64
    }

    /// The makers are there, with their definition.
    fn copies_all(&self) -> &'static str {
        "rsync -rt --ignore-existing"
    }
}

fn number_of(home: &Home, maker: &str) -> Result<u64> {
    number(&names(home, &makers(home)?, "Title")?, maker)
}

/// `Sites/NAME/Lists/PLACE`.
fn at(home: &Home, place: &str) -> String {
    format!("{}/Lists/{place}", home.upn)
}

/// An item, and a list that is gone: it is made again with its columns, and filled.
#[test]
fn same_site() -> Result<()> {
    cells::same_account(&Lists, &*stage()?)
}

#[test]
fn whole_site() -> Result<()> {
    cells::whole_account(&Lists, &*stage()?)
}

/// People and what is looked up have other numbers there.
#[test]
fn other_site() -> Result<()> {
    cells::other_account(&Lists, &*stage()?)
}

#[test]
fn other_path() -> Result<()> {
    cells::other_path(&Lists, &*stage()?)
}

#[test]
fn skip() -> Result<()> {
    cells::skip(&Lists, &*stage()?)
}

/// An item that is replaced keeps its number.
#[test]
fn overwrite() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Over);
    let before = find(&Lists, &home, ALPHA)?.id;
    cells::overwrite(&Lists, &stage)?;
    ensure!(find(&Lists, &home, ALPHA)?.id == before);
    Ok(())
}

#[test]
fn keep_both() -> Result<()> {
    cells::keep_both(&Lists, &*stage()?)
}

#[test]
fn deleted_only() -> Result<()> {
    cells::deleted_only(&Lists, &*stage()?)
}

/// Items, definitions, and a table of each list.
#[test]
fn download() -> Result<()> {
    let stage = stage()?;
    cells::download(&Lists, &stage)?;
    let home = stage.home(Cast::Giver);
    let table = stage.captured(&at(&home, "Tools/items.csv"));
    let table = fs::read_to_string(table)?;
    for part in ["Alpha is a laptop", "What to know", "Contoso", "red; old"] {
        ensure!(table.contains(part), "no {part} in {table}");
    }
    Ok(())
}

/// As files: items, lists with their tables, all lists; to the OneDrive of somebody.
#[test]
fn onedrive() -> Result<()> {
    let stage = stage()?;
    let (home, upn) = (stage.home(Cast::Services), stage.person()?);
    let alpha = find(&Lists, &home, ALPHA)?;
    let drive = Drive::of(&Home::new(&stage.tenant, &upn));
    let file = stage.path_of(&alpha)?;
    to_drive(&stage, &Lists, file, &at(&home, "First"), &drive)
}

/// The same, to a library of another site.
#[test]
fn library() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let table = at(&home, "Tools/items.csv");
    to_library(&stage, &Lists, &table, &at(&home, "Tools"))
}

/// As messages with the item or the table attached.
#[test]
fn mailbox() -> Result<()> {
    let stage = stage()?;
    let (home, upn) = (stage.home(Cast::Services), stage.person()?);
    let person = Home::new(&stage.tenant, &upn);
    let alpha = find(&Lists, &home, ALPHA)?;
    let table = at(&home, "First/items.csv");
    let files = [stage.path_of(&alpha)?, &table[..]];
    to_mailbox_of(&stage, &person, &Lists, files, &at(&home, "Second"))
}

/// An item of a list is no event, contact or task, and goes into no archive; what is not an item goes into no
/// list.
#[test]
fn refused() -> Result<()> {
    let stage = stage()?;
    let (home, people) = (stage.home(Cast::Refused), stage.tenant.graph.mailboxes()?);
    let upn = people.get(1).context("no second person")?;
    let person = Home::new(&stage.tenant, upn);
    let alpha = find(&Lists, &home, ALPHA)?;
    let file = stage.path_of(&alpha)?;
    let before = (everything(&person)?, fingerprint(&Lists, &home)?);
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
        (format!("{}/Lists", home.upn), "an item goes into a list"),
    ];
    let live = || Ok(String::new());
    for (target, why) in &places {
        stage.refused_copy(&stage.captured(file), target, why)?;
        stage.refused(&live, &[&format!("latest/{file}"), target], why)?;
    }
    // A library has this name.
    let (target, why) = (
        at(&home, "Documents"),
        "a library of this site is called Documents",
    );
    let source = format!("latest/{}", at(&home, "First"));
    let done = stage.restore(&live, &[&source, &target])?;
    ensure!(
        done["restored"] == 0 && done.to_string().contains(why),
        "{done:#}"
    );
    // Files of this machine.
    let tools = at(&home, "Tools");
    for (name, content, why) in [
        ("items.csv", "Title\r\nAlpha\r\n", "only shows the list"),
        ("note.json", "not JSON", "only JSON can be put into a list"),
        ("empty.json", "{}", "an item of a list has \"fields\""),
    ] {
        let local = stage.local(name);
        fs::write(&local, content)?;
        stage.refused_copy(&local, &format!("{tools}/{name}"), why)?;
        let local = local.to_string_lossy();
        stage.refused(&live, &[&local, &tools], why)?;
    }
    let after = (everything(&person)?, fingerprint(&Lists, &home)?);
    ensure!(before == after, "a refused file left something");
    stage.tenant.nothing_was_sent()
}

/// A folder within a list is refused with the reason, by a dry run too.
#[test]
fn other_path_has_no_folders() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Refused);
    let (target, why) = (at(&home, "Tools/Inner"), "there are no folders in a list");
    ensure!(stage.mkdir(&target).is_err(), "a folder was made");
    let log = stage.log()?;
    ensure!(log.contains(why), "{log}");
    let beta = find(&Lists, &home, BETA)?;
    let source = format!("latest/{}", stage.path_of(&beta)?);
    for more in [&[][..], &["--dry-run"]] {
        let output = stage
            .tenant
            .run(&[&["restore", &source, &target], more].concat())?;
        let said = String::from_utf8(output.stderr).context("not UTF-8")?;
        ensure!(!output.status.success() && said.contains(why), "{said}");
    }
    Ok(())
}
