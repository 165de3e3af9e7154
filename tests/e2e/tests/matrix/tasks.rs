//! Tasks, with steps, a link and a file. To Do has lists, and no folders in them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::matrix::attached::{to_library, to_mailbox, to_onedrive};
use crate::matrix::cells;
use crate::matrix::row::{ALPHA, BETA, Home, Item, Row, attachments, chosen, find, text};
use crate::matrix::stage::{Cast, Shared, Stage};

pub struct Tasks;

static STAGE: Shared = Shared::new();

fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| Stage::new(&[&Tasks]))
}

/// What a task says, other than what the service made.
const SAYS: &str = "title body categories importance status dueDateTime startDateTime isReminderOn \
    reminderDateTime recurrence hasAttachments";

/// Lists but that of flagged mails: name and id; the default one first.
fn lists(home: &Home) -> Result<Vec<(String, String)>> {
    let all = home.graph().list(&home.at("todo/lists?$top=100"))?;
    let mut own: Vec<&Value> = all
        .iter()
        .filter(|list| list["wellknownListName"] != "flaggedEmails")
        .collect();
    own.sort_by_key(|list| list["wellknownListName"] != "defaultList");
    Ok(own
        .into_iter()
        .map(|list| (text(list, "displayName"), text(list, "id")))
        .collect())
}

fn list(home: &Home, name: &str) -> Result<String> {
    let there = lists(home)?;
    if let Some((_, id)) = there.into_iter().find(|(at, _)| at == name) {
        return Ok(id);
    }
    let made = home
        .graph()
        .post(&home.at("todo/lists"), &json!({ "displayName": name }))?;
    Ok(text(&made, "id"))
}

fn parts(task: &Value, name: &str, says: &str) -> Value {
    let parts = task[name].as_array().into_iter().flatten();
    parts.map(|part| chosen(part, says)).collect()
}

impl Row for Tasks {
    fn workload(&self) -> &'static str {
        "todo"
    }

    fn folder(&self) -> &'static str {
        "Tasks"
    }

    fn home(&self) -> &'static str {
        "Tasks"
    }

    fn nests(&self) -> bool {
        false
    }

    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()> {
        let graph = home.graph();
        let tasks = home.at(&format!("todo/lists/{}/tasks", list(home, place)?));
        if title != ALPHA {
            let task = json!({ "title": format!("{title} is to be done") });
            return graph.post(&tasks, &task).map(drop);
        }
        let at = |time: &str| json!({ "dateTime": format!("{time}.0000000"), "timeZone": "UTC" });
        let task = json!({
            "title": format!("{title} is to be done"), "importance": "high", "status": "inProgress",
            "body": { "contentType": "text", "content": "Ask Ola." }, "categories": ["Red category"],
            "dueDateTime": at("2031-05-31T00:00:00"), "isReminderOn": true,
            "reminderDateTime": at("2031-05-30T08:00:00"),
            "linkedResources": [{ "applicationName": "Tickets", "displayName": "#7", "externalId": "7",
                "webUrl": "https://tickets.example.org/7" }],
        });
        let id = text(&graph.post(&tasks, &task)?, "id");
        for step in ["first step", "second step"] {
            let steps = format!("{tasks}/{id}/checklistItems");
            graph.post(&steps, &json!({ "displayName": step }))?;
        }
        let mut file = crate::matrix::row::attachment("sketch.txt", b"a sketch");
        file["@odata.type"] = json!("#microsoft.graph.taskFileAttachment");
        graph
            .post(&format!("{tasks}/{id}/attachments"), &file)
            .map(drop)
    }

    fn live(&self, home: &Home) -> Result<Vec<Item>> {
        let mut all = Vec::new();
        let expand = "$top=100&$expand=checklistItems,linkedResources";
        for (place, list) in lists(home)? {
            let tasks = home.at(&format!("todo/lists/{list}/tasks"));
            for task in home.graph().list(&format!("{tasks}?{expand}"))? {
                let id = text(&task, "id");
                let mut meaning = chosen(&task, SAYS);
                meaning["steps"] = parts(&task, "checklistItems", "displayName isChecked");
                meaning["links"] = parts(
                    &task,
                    "linkedResources",
                    "applicationName displayName externalId webUrl",
                );
                if task["hasAttachments"] == true {
                    meaning["files"] = json!(attachments(home.graph(), &format!("{tasks}/{id}"))?);
                }
                all.push(Item {
                    id,
                    title: text(&task, "title"),
                    place: place.clone(),
                    meaning,
                });
            }
        }
        Ok(all)
    }

    fn remove(&self, home: &Home, item: &Item) -> Result<()> {
        let list = list(home, &item.place)?;
        let path = home.at(&format!("todo/lists/{list}/tasks/{}", item.id));
        home.graph().delete(&path).map(drop)
    }

    fn remove_folder(&self, home: &Home, place: &str) -> Result<()> {
        let path = home.at(&format!("todo/lists/{}", list(home, place)?));
        home.graph().delete(&path).map(drop)
    }

    fn remove_folders(&self, home: &Home) -> Result<()> {
        let lists = lists(home)?;
        ensure!(lists.first().is_some_and(|(name, _)| name == "Tasks"));
        for (_, id) in &lists[1..] {
            home.graph().delete(&home.at(&format!("todo/lists/{id}")))?;
        }
        Ok(())
    }

    fn change(&self, home: &Home, item: &Item) -> Result<()> {
        let list = list(home, &item.place)?;
        let path = home.at(&format!("todo/lists/{list}/tasks/{}", item.id));
        let change = json!({ "importance": "low", "status": "waitingOnOthers" });
        home.graph().patch(&path, &change).map(drop)
    }
}

#[test]
fn same_account() -> Result<()> {
    cells::same_account(&Tasks, &*stage()?)
}

#[test]
fn whole_account() -> Result<()> {
    cells::whole_account(&Tasks, &*stage()?)
}

#[test]
fn other_account() -> Result<()> {
    cells::other_account(&Tasks, &*stage()?)
}

#[test]
fn other_path() -> Result<()> {
    cells::other_path(&Tasks, &*stage()?)
}

#[test]
fn skip() -> Result<()> {
    cells::skip(&Tasks, &*stage()?)
}

#[test]
fn overwrite() -> Result<()> {
    cells::overwrite(&Tasks, &*stage()?)
}

#[test]
fn keep_both() -> Result<()> {
    cells::keep_both(&Tasks, &*stage()?)
}

#[test]
fn deleted_only() -> Result<()> {
    cells::deleted_only(&Tasks, &*stage()?)
}

#[test]
fn download() -> Result<()> {
    let stage = stage()?;
    cells::download(&Tasks, &stage)?;
    let alpha = find(&Tasks, &stage.home(Cast::Giver), ALPHA)?;
    let file = std::fs::read_to_string(stage.file_of(&alpha)?)?.replace("\r\n ", "");
    for part in ["SUMMARY:Alpha is to be done", "second step", "sketch.txt"] {
        ensure!(file.contains(part), "no {part} in {file}");
    }
    Ok(())
}

/// As `.ics` files.
#[test]
fn onedrive() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Tasks, &home, ALPHA)?;
    let folder = format!("{}/Tasks/Tasks", home.upn);
    to_onedrive(&stage, &Tasks, stage.path_of(&alpha)?, &folder)
}

/// As `.ics` files, in a document library.
#[test]
fn library() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Tasks, &home, ALPHA)?;
    let folder = format!("{}/Tasks/Tasks", home.upn);
    to_library(&stage, &Tasks, stage.path_of(&alpha)?, &folder)
}

/// As messages with the `.ics` attached.
#[test]
fn mailbox() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let (alpha, beta) = (find(&Tasks, &home, ALPHA)?, find(&Tasks, &home, BETA)?);
    let files = [stage.path_of(&alpha)?, stage.path_of(&beta)?];
    let first = format!("{}/Tasks/First", home.upn);
    to_mailbox(&stage, &Tasks, files, &first)
}

/// A task is no event and no contact, and an archive takes mails and what came out of one.
#[test]
fn refused() -> Result<()> {
    let stage = stage()?;
    let beta = find(&Tasks, &stage.home(Cast::Refused), BETA)?;
    let places = [
        ("Calendar/Calendar", "there is no event in this file"),
        (
            "Contacts/Contacts",
            "only contacts (files that end in .vcf)",
        ),
        ("Archive/Inbox", "an archive takes"),
        ("Settings", "only these files can be restored"),
    ];
    cells::refused(&stage, stage.path_of(&beta)?, &places)
}

/// A folder within a list is refused with the reason.
#[test]
fn other_path_has_no_folders() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Refused);
    let target = format!("{}/Tasks/Tasks/Inner", home.upn);
    ensure!(stage.mkdir(&target).is_err(), "a folder was made");
    let log = stage.log()?;
    ensure!(log.contains("To Do has lists, and no folders"), "{log}");
    let beta = find(&Tasks, &home, BETA)?;
    let source = format!("latest/{}", stage.path_of(&beta)?);
    let output = stage.tenant.run(&["restore", &source, &target])?;
    let said = String::from_utf8(output.stderr).context("not UTF-8")?;
    ensure!(
        !output.status.success() && said.contains("To Do has lists, and no folders"),
        "{said}"
    );
    Ok(())
}
