//! To Do through the mount and through the command line.

use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use e2e::calendars;
use serde_json::{Value, json};

use super::support::{Scene, captured, counted, id, lasting, quote, sh, sh_ok};

/// Made by the service, or by where a task is.
const OWN: [&str; 8] = [
    "id",
    "createdDateTime",
    "lastModifiedDateTime",
    "bodyLastModifiedDateTime",
    "tenantfsList",
    "tenantfsAttachments",
    "extensions",
    "hasAttachments",
];

fn scene() -> Result<Scene> {
    Scene::new(0, &["todo"])
}

fn lists(scene: &Scene, upn: &str) -> Result<Vec<Value>> {
    let all = scene
        .tenant
        .graph
        .list(&format!("/users/{upn}/todo/lists"))?;
    Ok(all
        .into_iter()
        .filter(|l| l["wellknownListName"] != "flaggedEmails")
        .collect())
}

/// All tasks with their steps and links.
fn tasks(scene: &Scene, upn: &str, list: &str) -> Result<Vec<Value>> {
    let expand = "$expand=checklistItems,linkedResources,extensions";
    scene
        .tenant
        .graph
        .list(&format!("/users/{upn}/todo/lists/{list}/tasks?{expand}"))
}

fn all_tasks(scene: &Scene, upn: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for list in lists(scene, upn)? {
        all.extend(tasks(scene, upn, &id(&list))?);
    }
    Ok(all)
}

/// What must be the same of a task that was put back.
fn restored(task: &Value) -> Value {
    let mut task = lasting(task, &OWN);
    for part in ["checklistItems", "linkedResources"] {
        for entry in task[part].as_array_mut().into_iter().flatten() {
            // The service says when a step was checked.
            *entry = lasting(entry, &["id", "checkedDateTime", "createdDateTime"]);
        }
    }
    if task["status"] == "completed" {
        task["recurrence"] = Value::Null; // Goes on in the next task.
    }
    // Nobody is reminded of the past.
    let time = task["reminderDateTime"]["dateTime"]
        .as_str()
        .map(str::to_owned);
    if task["isReminderOn"] != true || time.is_some_and(|time| time[..10] <= *tomorrow().as_str()) {
        task["isReminderOn"] = json!(false);
        task["reminderDateTime"] = Value::Null;
    }
    for name in ["recurrence", "reminderDateTime"] {
        if task[name].is_null()
            && let Some(task) = task.as_object_mut()
        {
            task.remove(name);
        }
    }
    task
}

/// Later than any time that could be the past in some zone.
fn tomorrow() -> String {
    let out = std::process::Command::new("date")
        .args(["-u", "-d", "tomorrow", "+%F"])
        .output();
    out.map(|out| e2e::text(&out.stdout).trim().to_owned())
        .unwrap_or_default()
}

#[test]
fn tasks_are_captured_whole_and_idle_cycles_ask_once_per_list() -> Result<()> {
    let scene = scene()?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    scene.tenant.backup()?;
    let live = all_tasks(&scene, alice)?;
    {
        let mount = scene.tenant.mount()?;
        let files = captured(&mount, alice, "Tasks")?;
        ensure!(
            files.len() == live.len() && live.len() > 5,
            "{} live, {} captured",
            live.len(),
            files.len()
        );
        for task in &live {
            let found = files.iter().find(|(_, record)| record["id"] == task["id"]);
            let (file, record) = found.context("a task is missing")?;
            let own = ["tenantfsList", "tenantfsAttachments", "extensions"];
            ensure!(
                lasting(record, &own) == lasting(task, &own),
                "{record:#}\n{task:#}"
            );
            let text = fs::read_to_string(file)?.replace("\r\n ", "");
            let attached = task["hasAttachments"] == true;
            ensure!(text.contains("\r\nATTACH;") == attached, "{text}");
        }
        let flagged = mount.path(&format!("snapshots/latest/{alice}/Tasks/Flagged Emails"));
        ensure!(!flagged.exists(), "flagged mails were captured as tasks");
        let names: Vec<_> = files.into_iter().map(|(file, _)| file).collect();
        if calendars::ready() {
            calendars::accept(&names)?;
        }
    }
    let mut least = 0;
    for upn in graph.mailboxes()? {
        least += 1 + lists(&scene, &upn)?.len() as u64;
    }
    scene.idle()?;
    let asked = scene.requests("todo")?;
    ensure!(
        asked == least,
        "an idle cycle asked {asked} times, {least} are needed"
    );

    let task = &live[0];
    let list = list_of(&scene, alice, task)?;
    let path = format!("/users/{alice}/todo/lists/{list}/tasks/{}", id(task));
    graph.patch(&path, &json!({ "title": "Changed" }))?;
    let second = scene.tenant.backup()?;
    ensure!(second["counts"]["updated"] == 1, "{second:#}");
    graph.delete(&path)?;
    let third = scene.tenant.backup()?;
    ensure!(third["counts"]["removed"] == 1, "{third:#}");
    scene.nothing_was_sent()
}

fn list_of(scene: &Scene, upn: &str, task: &Value) -> Result<String> {
    for list in lists(scene, upn)? {
        if tasks(scene, upn, &id(&list))?
            .iter()
            .any(|t| t["id"] == task["id"])
        {
            return Ok(id(&list));
        }
    }
    anyhow::bail!("the task is in no list")
}

#[test]
fn all_tasks_go_to_another_account_and_none_is_spawned() -> Result<()> {
    let scene = scene()?;
    let (graph, alice, bob) = (&scene.tenant.graph, &scene.alice, &scene.bob);
    // One that is completed and would go on.
    let list = id(&lists(&scene, alice)?[0]);
    let day = json!({ "dateTime": "2026-03-02T00:00:00.0000000", "timeZone": "UTC" });
    let series = json!({ "pattern": { "type": "daily", "interval": 1 },
        "range": { "type": "noEnd", "startDate": "2026-03-02" } });
    graph.post(
        &format!("/users/{alice}/todo/lists/{list}/tasks"),
        &json!({ "title": "Daily", "status": "completed", "dueDateTime": day, "recurrence": series, "completedDateTime": day }),
    )?;
    scene.tenant.backup()?;
    let were = all_tasks(&scene, alice)?;
    let before = all_tasks(&scene, bob)?;
    let done = scene.tenant.json(&[
        "restore",
        &format!("latest/{alice}/Tasks"),
        &format!("{bob}/Tasks"),
        "--conflict",
        "keep-both",
    ])?;
    ensure!(
        done["failed"] == 0 && done["restored"] == were.len(),
        "{done:#}"
    );
    let now = all_tasks(&scene, bob)?;
    ensure!(
        now.len() == before.len() + were.len(),
        "{} + {} are {}",
        before.len(),
        were.len(),
        now.len()
    );
    let new = now
        .iter()
        .filter(|task| !before.iter().any(|b| b["id"] == task["id"]));
    let (were, are) = (
        counted(were.iter().map(restored)),
        counted(new.map(restored)),
    );
    for task in were.keys() {
        ensure!(were.get(task) == are.get(task), "lost {task}\n{are:#?}");
    }
    // Their files came along.
    let attached = |tasks: &[Value]| tasks.iter().filter(|t| t["hasAttachments"] == true).count();
    ensure!(attached(&now) - attached(&before) == attached(&all_tasks(&scene, alice)?));
    scene.nothing_was_sent()
}

#[test]
fn a_task_with_a_large_file_goes_and_comes_by_cp() -> Result<()> {
    let scene = scene()?;
    let (alice, bob) = (&scene.alice, &scene.bob);
    scene.tenant.backup()?;
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n * 7 / 3) as u8).collect();
    let small = b"small".to_vec();
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let ics = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VTODO\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n\
         SUMMARY:Build it\r\nLOCATION:Here\r\nATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=a.bin:{}\r\n\
         ATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=b.bin:{}\r\nEND:VTODO\r\nBEGIN:VTODO\r\nUID:2\r\n\
         SUMMARY:Step\r\nRELATED-TO:1\r\nEND:VTODO\r\nEND:VCALENDAR\r\n",
        base64(&small),
        base64(&large)
    );
    let local = scene.tenant.path("build.ics");
    fs::write(&local, ics)?;
    {
        let mount = scene.tenant.mount()?;
        sh_ok(
            &mount.dir,
            &format!(
                "mkdir 'restore/{alice}/Tasks/Works' && cp {} 'restore/{alice}/Tasks/Works/'",
                quote(&local)
            ),
        )?;
        let log = fs::read_to_string(mount.path("restore/.log"))?;
        ensure!(log.contains("LOCATION (Here) is not restored"), "{log}");
    }
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let files = captured(&mount, alice, "Tasks/Works")?;
    let [(file, _)] = files.as_slice() else {
        anyhow::bail!("{} tasks in the list", files.len())
    };
    // It is there: skipped, replaced, doubled.
    let copy = |to: &str| sh(&mount.dir, &format!("cp {} 'restore/{to}'", quote(file)));
    let (ok, said) = copy(&format!("{alice}/Tasks/Works/"))?;
    ensure!(!ok && said.contains("exists"), "{said}");
    let (ok, said) = copy(&format!("@overwrite/{alice}/Tasks/Works/"))?;
    ensure!(ok, "{said}");
    let (ok, said) = copy(&format!("@keep-both/{alice}/Tasks/Works/"))?;
    ensure!(ok, "{said}");
    let (ok, said) = copy(&format!("{bob}/Tasks/Tasks/"))?;
    ensure!(ok, "{said}");
    for (upn, copies) in [(alice, 2), (bob, 1)] {
        let all = all_tasks(&scene, upn)?;
        let built: Vec<&Value> = all.iter().filter(|t| t["title"] == "Build it").collect();
        ensure!(built.len() == copies, "{upn} has {}", built.len());
        for task in built {
            ensure!(
                task["checklistItems"][0]["displayName"] == "Step",
                "{task:#}"
            );
            let list = list_of(&scene, upn, task)?;
            let path = format!(
                "/users/{upn}/todo/lists/{list}/tasks/{}/attachments",
                id(task)
            );
            let attached = scene.tenant.graph.list(&path)?;
            let mut contents = Vec::new();
            for file in &attached {
                contents.push(
                    scene
                        .tenant
                        .graph
                        .bytes(&format!("{path}/{}/$value", id(file)))?,
                );
            }
            ensure!(contents == [small.clone(), large.clone()], "{attached:#?}");
        }
    }
    scene.nothing_was_sent()
}
