//! Mailbox settings there and back.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::support::{Scene, id, sh, sh_ok};

const FILES: [&str; 5] = [
    "automaticReplies.json",
    "categories.json",
    "focusedInbox.json",
    "mailboxSettings.json",
    "rules.json",
];

fn scene() -> Result<Scene> {
    Scene::new(0, &["settings"])
}

fn list(scene: &Scene, path: &str) -> Result<Vec<Value>> {
    scene.tenant.graph.list(path)
}

fn named<'a>(all: &'a [Value], name: &str) -> Result<&'a Value> {
    let found = all.iter().find(|entry| entry["displayName"] == name);
    found.with_context(|| format!("no {name}"))
}

#[test]
fn settings_are_captured_and_only_what_changed_is_new() -> Result<()> {
    let scene = scene()?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    scene.tenant.backup()?;
    scene.idle()?;
    let mailboxes = graph.mailboxes()?.len() as u64;
    let asked: u64 = [
        "mailboxSettings",
        "masterCategories",
        "messageRules",
        "overrides",
    ]
    .iter()
    .map(|part| scene.requests(part))
    .sum::<Result<u64>>()?;
    ensure!(
        asked == 4 * mailboxes,
        "{asked} requests for {mailboxes} mailboxes"
    );

    let category = json!({ "displayName": "New one", "color": "preset4" });
    graph.post(
        &format!("/users/{alice}/outlook/masterCategories"),
        &category,
    )?;
    let second = scene.tenant.backup()?;
    ensure!(second["counts"]["updated"] == 1, "{second:#}");
    let mount = scene.tenant.mount()?;
    let dir = mount.path(&format!("snapshots/latest/{alice}/Settings"));
    let mut names: Vec<String> = fs::read_dir(&dir)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    ensure!(names == FILES, "{names:?}");
    for name in FILES {
        let text = fs::read_to_string(dir.join(name))?;
        let value: Value = serde_json::from_str(&text)?;
        ensure!(
            text.ends_with('\n') && !text.contains("@odata.context"),
            "{text}"
        );
        ensure!(value.is_array() || value.is_object());
    }
    let categories = fs::read_to_string(dir.join("categories.json"))?;
    ensure!(categories.contains("New one"), "{categories}");
    let rules: Value = serde_json::from_str(&fs::read_to_string(dir.join("rules.json"))?)?;
    let archive = rules["folders"].as_object().context("folders")?;
    ensure!(
        archive
            .values()
            .any(|place| place["wellKnownName"] == "archive"),
        "{rules:#}"
    );
    Ok(())
}

#[test]
fn lists_are_merged_and_nothing_is_sent_on() -> Result<()> {
    let scene = scene()?;
    let (graph, alice, bob) = (&scene.tenant.graph, &scene.alice, &scene.bob);
    let categories = |upn: &str| format!("/users/{upn}/outlook/masterCategories");
    let rules = |upn: &str| format!("/users/{upn}/mailFolders/inbox/messageRules");
    let overrides = |upn: &str| format!("/users/{upn}/inferenceClassification/overrides");
    graph.post(
        &categories(alice),
        &json!({ "displayName": "New one", "color": "preset4" }),
    )?;
    scene.tenant.backup()?;
    let before = list(&scene, &rules(alice))?;
    for rule in &before {
        if rule["isReadOnly"] != true {
            graph.delete(&format!("{}/{}", rules(alice), id(rule)))?;
        }
    }
    let focused = list(&scene, &overrides(alice))?;
    graph.delete(&format!("{}/{}", overrides(alice), id(&focused[0])))?;
    let red = list(&scene, &categories(bob))?;
    let red = named(&red, "Red category")?;
    graph.patch(
        &format!("{}/{}", categories(bob), id(red)),
        &json!({ "color": "preset20" }),
    )?;

    let mount = scene.tenant.mount()?;
    let settings = mount
        .path(&format!("snapshots/latest/{alice}/Settings"))
        .canonicalize()?;
    let copy = |name: &str, to: &str| {
        let from = settings.join(name).display().to_string();
        sh(&mount.dir, &format!("cp '{from}' 'restore/{to}/Settings/'"))
    };
    let must = |name: &str, to: &str| -> Result<()> {
        let (ok, said) = copy(name, to)?;
        ensure!(ok, "{name} to {to}: {said}");
        Ok(())
    };

    must("categories.json", bob)?;
    let now = list(&scene, &categories(bob))?;
    ensure!(named(&now, "New one")?["color"] == "preset4");
    ensure!(
        named(&now, "Red category")?["color"] == "preset20",
        "what is there was changed"
    );
    must("categories.json", &format!("@overwrite/{bob}"))?;
    ensure!(named(&list(&scene, &categories(bob))?, "Red category")?["color"] == "preset0");

    must("focusedInbox.json", alice)?;
    let senders = |all: &[Value]| {
        let mut all: Vec<_> = all
            .iter()
            .map(|o| o["senderEmailAddress"]["address"].to_string())
            .collect();
        all.sort();
        all
    };
    ensure!(senders(&list(&scene, &overrides(alice))?) == senders(&focused));

    must("rules.json", alice)?;
    let now = list(&scene, &rules(alice))?;
    for rule in &before {
        let back = named(&now, rule["displayName"].as_str().unwrap_or_default())?;
        for part in ["conditions", "actions", "exceptions"] {
            ensure!(back[part] == rule[part], "{part} of {rule:#} is {back:#}");
        }
        let sends = !rule["actions"]["forwardTo"].is_null();
        if rule["isReadOnly"] != true {
            ensure!(
                back["isEnabled"] == (rule["isEnabled"] == true && !sends),
                "{back:#}"
            );
        }
    }
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("sends mail on: it is disabled"), "{log}");

    // In another mailbox, folders are found by what they are.
    must("rules.json", &format!("@overwrite/{bob}"))?;
    let archive = graph.get(&format!("/users/{bob}/mailFolders/archive"))?;
    let moved = list(&scene, &rules(bob))?;
    let moved = named(&moved, "Newsletters")?;
    ensure!(
        moved["actions"]["moveToFolder"] == archive["id"],
        "{moved:#}"
    );
    scene.nothing_was_sent()
}

#[test]
fn single_settings_are_replaced_only_when_asked_and_replies_stay_off() -> Result<()> {
    let scene = scene()?;
    let (graph, alice, bob) = (&scene.tenant.graph, &scene.alice, &scene.bob);
    let path = |upn: &str| format!("/users/{upn}/mailboxSettings");
    let replies = json!({ "automaticRepliesSetting": { "status": "alwaysEnabled",
        "externalAudience": "all", "internalReplyMessage": "<p>in</p>", "externalReplyMessage": "<p>out</p>" } });
    graph.patch(&path(alice), &replies)?;
    graph.patch(
        &path(alice),
        &json!({ "timeZone": "Tokyo Standard Time", "timeFormat": "HH:mm:ss" }),
    )?;
    graph.patch(
        &path(bob),
        &json!({ "automaticRepliesSetting": { "status": "disabled" } }),
    )?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let settings = mount
        .path(&format!("snapshots/latest/{alice}/Settings"))
        .canonicalize()?;
    let from = settings.display();
    for name in ["mailboxSettings.json", "automaticReplies.json"] {
        let (ok, said) = sh(
            &mount.dir,
            &format!("cp '{from}/{name}' 'restore/{bob}/Settings/'"),
        )?;
        ensure!(!ok && said.contains("exists"), "{name}: {said}");
        sh_ok(
            &mount.dir,
            &format!("cp '{from}/{name}' 'restore/@overwrite/{bob}/Settings/'"),
        )?;
    }
    let now = graph.get(&path(bob))?;
    ensure!(
        now["timeZone"] == "Tokyo Standard Time" && now["timeFormat"] == "HH:mm:ss",
        "{now:#}"
    );
    let reply = &now["automaticRepliesSetting"];
    ensure!(
        reply["status"] == "disabled" && reply["externalReplyMessage"] == "<p>out</p>",
        "{reply:#}"
    );
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("they are not switched on"), "{log}");

    let other = scene.tenant.path("other.json");
    fs::write(&other, "{}")?;
    let (ok, said) = sh(
        &mount.dir,
        &format!("cp '{}' 'restore/{bob}/Settings/'", other.display()),
    )?;
    ensure!(!ok && said.contains("Invalid"), "{said}");
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("only these files can be restored"), "{log}");
    drop(mount);

    // Through the command line, with a plan first.
    let source = format!("latest/{alice}/Settings");
    let target = format!("{bob}/Settings");
    let plan = scene
        .tenant
        .json(&["restore", &source, &target, "--dry-run"])?;
    ensure!(plan.to_string().contains("categories.json"), "{plan:#}");
    let done = scene
        .tenant
        .json(&["restore", &source, &target, "--conflict", "overwrite"])?;
    ensure!(done["failed"] == 0, "{done:#}");
    scene.nothing_was_sent()
}
