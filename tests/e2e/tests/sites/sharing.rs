//! Who may do what: captured with as few requests as it takes, and given back without telling anybody.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::Mounted;
use e2e::graph::Graph;
use e2e::shell::{quote, sh_ok};
use serde_json::{Value, json};

use super::scene::Scene;

const CONFIG: &str = "[protect]\nworkloads = [\"drive\", \"libraries\", \"lists\"]\n\
                      sites = { include = [\"Finance\"] }\n";

fn scene(extra: &str) -> Result<Scene> {
    Scene::with(&format!("{CONFIG}{extra}"), |options| {
        options.accounts = 4;
        options.messages = 0;
        options.files = 0;
        options.site_files = 6;
    })
}

/// Puts a file or reads one by path: its item.
fn put(graph: &Graph, drive: &str, path: &str, text: &str) -> Result<Value> {
    graph.put(
        &format!("/drives/{drive}/root:/{path}:/content"),
        text.as_bytes().to_vec(),
    )
}

pub fn at(graph: &Graph, drive: &str, path: &str) -> Result<Value> {
    graph.get(&format!("/drives/{drive}/root:/{path}"))
}

fn url(item: &Value) -> Result<String> {
    let drive = item["parentReference"]["driveId"].as_str();
    let id = item["id"].as_str().context("no id")?;
    Ok(format!("/drives/{}/items/{id}", drive.context("no drive")?))
}

pub fn invite(graph: &Graph, item: &Value, who: &str, role: &str) -> Result<Value> {
    let body = json!({ "recipients": [{ "email": who }], "roles": [role], "requireSignIn": true,
                       "sendInvitation": false });
    graph.post(&format!("{}/invite", url(item)?), &body)
}

pub fn link(graph: &Graph, item: &Value, mut body: Value) -> Result<Value> {
    body["sendNotification"] = json!(false);
    graph.post(&format!("{}/createLink", url(item)?), &body)
}

/// What is in force on an item, without what can't be the same again: ids, addresses of links.
pub fn access(graph: &Graph, item: &Value) -> Result<BTreeSet<String>> {
    let who = |set: &Value| {
        let name = |kind: &str, of: &str| set[kind][of].as_str().map(str::to_owned);
        name("user", "email").or_else(|| name("siteGroup", "displayName"))
    };
    let mut all = BTreeSet::new();
    for permission in graph.list(&format!("{}/permissions", url(item)?))? {
        let link = &permission["link"];
        let text = if link.is_object() {
            let people = permission["grantedToIdentitiesV2"].as_array();
            let people: BTreeSet<_> = people.into_iter().flatten().filter_map(&who).collect();
            let password = permission["hasPassword"] == true;
            format!(
                "link {} {} {people:?} {password}",
                link["scope"], link["type"]
            )
        } else {
            let invited = permission["invitation"]["email"]
                .as_str()
                .map(str::to_owned);
            let who = who(&permission["grantedToV2"]).or(invited);
            format!(
                "{} {}",
                who.context("granted to nobody")?,
                permission["roles"]
            )
        };
        ensure!(all.insert(text.clone()), "twice: {text}");
    }
    Ok(all)
}

/// How many requests went to routes that end so.
fn asked(graph: &Graph, end: &str) -> Result<u64> {
    let requests = graph.requests()?;
    let lines = requests["by_route"].as_array().context("no routes")?.iter();
    let those = lines.filter(|line| line["route"].as_str().is_some_and(|r| r.ends_with(end)));
    Ok(those.filter_map(|line| line["count"].as_u64()).sum())
}

/// Permissions that were read since the last call, by a cycle.
fn permissions_read(scene: &Scene) -> Result<(u64, Value)> {
    scene.tenant.graph.reset_requests()?;
    let summary = scene.tenant.backup()?;
    Ok((asked(&scene.tenant.graph, "/permissions")?, summary))
}

fn record(snapshot: &Path, path: &str) -> Result<Value> {
    let records = snapshot.join(".tenantfs/graph");
    let file = records.join(format!("{path}.json"));
    let text = fs::read(&file).with_context(|| file.display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

/// The mounted snapshot that a cycle made.
fn snapshot_of(mount: &Mounted, cycle: &Value) -> Result<PathBuf> {
    let name = cycle["snapshot"].as_str().context("no snapshot")?;
    let path = mount.path("snapshots").join(name);
    for _ in 0..100 {
        if path.is_dir() {
            return Ok(path);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{name} is not shown")
}

#[test]
fn all_kinds_are_captured_and_only_what_changed_is_asked_again() -> Result<()> {
    let scene = scene("")?;
    let graph = &scene.tenant.graph;
    let people = graph.mailboxes()?;
    let (alice, bob, carol) = (&people[0], &people[1], &people[2]);
    let drive = scene.drive("/sites/Finance", "Documents")?;
    let budget = put(graph, &drive, "Plans/budget.txt", "42")?;
    let alone = put(graph, &drive, "alone.txt", "nobody's")?;
    let plans = at(graph, &drive, "Plans")?;
    invite(graph, &plans, bob, "write")?;
    invite(graph, &budget, "x@fabrikam.example", "read")?;
    link(
        graph,
        &budget,
        json!({ "type": "edit", "scope": "users", "recipients": [{ "email": carol }] }),
    )?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let first = mount.path("snapshots/latest").canonicalize()?;
    let library = "Sites/Finance/Libraries/Documents";
    let kept = record(&first, &format!("{library}/Plans/budget.txt"))?;
    let permissions = kept["permissions"].as_array().context("no permissions")?;
    let live = graph.list(&format!("{}/permissions", url(&budget)?))?;
    ensure!(*permissions == live, "{permissions:#?}\n{live:#?}");
    // Bob and the site's groups come from above; the link and the invitation are its own.
    let inherited = kept["tenantfsSharing"]["inherited"]
        .as_array()
        .context("no inference")?;
    let own = permissions.iter().filter(|p| !inherited.contains(&p["id"]));
    let own: Vec<_> = own
        .map(|p| p["link"].is_object() || p["invitation"].is_object())
        .collect();
    ensure!(own == [true, true] && inherited.len() == 4, "{kept:#}");
    ensure!(kept["tenantfsSharing"]["unique"] == false, "{kept:#}");
    ensure!(record(&first, &format!("{library}/alone.txt"))?["permissions"].is_null());
    let kept = record(&first, library)?;
    ensure!(
        kept["permissions"].as_array().is_some_and(|p| p.len() == 3),
        "{kept:#}"
    );
    ensure!(kept["sitePermissions"].is_array(), "{kept:#}");
    let lists = fs::read_dir(first.join("Sites/Finance/Lists"))?;
    for list in lists.collect::<std::io::Result<Vec<_>>>()? {
        let name = list.file_name().to_string_lossy().into_owned();
        let kept = record(&first, &format!("Sites/Finance/Lists/{name}"))?;
        ensure!(
            kept["permissions"]
                .as_array()
                .is_some_and(|p| !p.is_empty()),
            "{kept:#}"
        );
    }

    let (read, idle) = permissions_read(&scene)?;
    ensure!(read == 0 && idle["snapshot"].is_null(), "{read}: {idle:#}");
    // Its content is another one, its permissions are not.
    put(graph, &drive, "Plans/budget.txt", "43")?;
    ensure!(permissions_read(&scene)?.0 == 0);
    invite(graph, &alone, alice, "read")?;
    let (read, cycle) = permissions_read(&scene)?;
    ensure!(read == 1, "{read}");
    ensure!(
        cycle["drive_units"]
            .as_u64()
            .is_some_and(|units| units >= 6),
        "{cycle:#}"
    );
    // A library is asked together with what its site gave to applications.
    let root = graph.get(&format!("/drives/{drive}/root"))?;
    invite(graph, &root, carol, "read")?;
    let (read, cycle) = permissions_read(&scene)?;
    ensure!(read == 2, "{read}");
    let latest = snapshot_of(&mount, &cycle)?;
    let kept = record(&latest, library)?;
    ensure!(
        kept["permissions"].as_array().is_some_and(|p| p.len() == 4),
        "{kept:#}"
    );
    let kept = record(&latest, &format!("{library}/alone.txt"))?;
    ensure!(
        kept["permissions"].to_string().contains(alice.as_str()),
        "{kept:#}"
    );
    scene.nothing_was_sent()
}

/// A file of Alice's with each kind of access that Graph lets somebody make.
fn shared_file(graph: &Graph, drive: &str, people: &[String]) -> Result<Value> {
    let item = put(graph, drive, "Work/shared.txt", "shared")?;
    invite(graph, &item, &people[1], "write")?;
    invite(graph, &item, &people[2], "read")?;
    invite(graph, &item, "x@fabrikam.example", "read")?;
    link(
        graph,
        &item,
        json!({ "type": "view", "scope": "organization" }),
    )?;
    link(
        graph,
        &item,
        json!({ "type": "view", "scope": "anonymous" }),
    )?;
    let some = json!([{ "email": people[2] }, { "email": people[3] }]);
    link(
        graph,
        &item,
        json!({ "type": "edit", "scope": "users", "recipients": some }),
    )?;
    link(
        graph,
        &item,
        json!({ "type": "edit", "scope": "organization", "password": "secret" }),
    )?;
    Ok(item)
}

const PASSWORD: &str = "link \"organization\" \"edit\" {} true";

#[test]
fn a_deleted_file_comes_back_with_its_permissions() -> Result<()> {
    let scene = scene("")?;
    let graph = &scene.tenant.graph;
    let people = graph.mailboxes()?;
    let drive = scene.onedrive(&people[0])?;
    let item = shared_file(graph, &drive, &people)?;
    let mut before = access(graph, &item)?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let alice = &people[0];
    let file = latest.join(alice).join("OneDrive/Work/shared.txt");
    let log = || fs::read_to_string(mount.path("restore/.log"));
    // What can't be the same: a link with a password.
    ensure!(before.remove(PASSWORD), "{before:?}");

    graph.delete(&url(&item)?)?;
    sh_ok(
        &mount.dir,
        &format!("cp {} restore/{alice}/OneDrive/Work/", quote(&file)),
    )?;
    let back = at(graph, &drive, "Work/shared.txt")?;
    ensure!(
        access(graph, &back)? == before,
        "{:?}",
        access(graph, &back)?
    );
    ensure!(log()?.contains("password"), "{}", log()?);

    // What is replaced keeps what it has: access that was taken away does not come back.
    let granted = graph.list(&format!("{}/permissions", url(&back)?))?;
    let bobs = granted
        .iter()
        .find(|p| p["grantedToV2"]["user"]["email"] == people[1].as_str());
    let bobs = bobs
        .and_then(|p| p["id"].as_str())
        .context("Bob has nothing")?;
    graph.delete(&format!("{}/permissions/{bobs}", url(&back)?))?;
    let now = access(graph, &back)?;
    sh_ok(
        &mount.dir,
        &format!(
            "cp {} restore/@overwrite/{alice}/OneDrive/Work/",
            quote(&file)
        ),
    )?;
    ensure!(access(graph, &at(graph, &drive, "Work/shared.txt")?)? == now);

    // Elsewhere it belongs to others.
    let other = scene.onedrive(&people[1])?;
    sh_ok(
        &mount.dir,
        &format!("cp {} restore/{}/OneDrive/", quote(&file), people[1]),
    )?;
    let there = access(graph, &at(graph, &other, "shared.txt")?)?;
    ensure!(there.len() == 1, "{there:?}");
    scene.nothing_was_sent()
}

#[test]
fn whoever_is_gone_is_named_and_the_others_are_given_access() -> Result<()> {
    let scene = scene("")?;
    let graph = &scene.tenant.graph;
    let people = graph.mailboxes()?;
    let drive = scene.onedrive(&people[0])?;
    let item = shared_file(graph, &drive, &people)?;
    let mut before = access(graph, &item)?;
    before.remove(PASSWORD);
    scene.tenant.backup()?;
    graph.delete(&url(&item)?)?;
    // The third link is for two people, of whom the first is gone.
    let unknown = json!([{ "method": "POST", "route": "*/createLink", "skip": 2, "count": 2,
                           "fault": { "status": 400, "code": "noResolvedUsers" } }]);
    graph.control("faults", &unknown)?;
    let mount = scene.tenant.mount()?;
    let file = mount.path("snapshots/latest").canonicalize()?;
    let file = file.join(&people[0]).join("OneDrive/Work/shared.txt");
    let to = format!("restore/{}/OneDrive/Work/", people[0]);
    sh_ok(&mount.dir, &format!("cp {} {to}", quote(&file)))?;
    let back = access(graph, &at(graph, &drive, "Work/shared.txt")?)?;
    let lost: Vec<_> = before.difference(&back).collect();
    ensure!(
        lost.len() == 1 && lost[0].contains("link \"users\""),
        "{lost:?}"
    );
    let others =
        |access: &String| access.contains("link \"users\"") && !access.contains(&people[2]);
    ensure!(back.iter().any(others), "{back:?}");
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("nobody of that name"), "{log}");
    scene.nothing_was_sent()
}

#[test]
fn the_administrator_decides_when_permissions_come_back() -> Result<()> {
    let scene = scene("[restore]\npermissions = \"always\"\n")?;
    let graph = &scene.tenant.graph;
    let people = graph.mailboxes()?;
    let drive = scene.onedrive(&people[0])?;
    let item = shared_file(graph, &drive, &people)?;
    scene.tenant.backup()?;
    let source = format!("latest/{}/OneDrive/Work/shared.txt", people[0]);
    let target = format!("{}/OneDrive", people[1]);
    let done = scene.tenant.json(&["restore", &source, &target])?;
    ensure!(done["restored"] == 1, "{done:#}");
    let other = scene.onedrive(&people[1])?;
    let there = access(graph, &at(graph, &other, "shared.txt")?)?;
    ensure!(there.len() == 6, "{there:?}");
    ensure!(
        there.iter().any(|a| a.contains("x@fabrikam.example")),
        "{there:?}"
    );

    scene
        .tenant
        .write_config(&format!("{CONFIG}[restore]\npermissions = \"never\"\n"))?;
    graph.delete(&url(&item)?)?;
    let target = format!("{}/OneDrive/Work", people[0]);
    let done = scene.tenant.json(&["restore", &source, &target])?;
    ensure!(done["restored"] == 1, "{done:#}");
    let back = access(graph, &at(graph, &drive, "Work/shared.txt")?)?;
    ensure!(back.len() == 1, "{back:?}");
    scene.nothing_was_sent()
}

#[test]
fn folders_come_back_with_what_is_cut_off_in_them() -> Result<()> {
    let scene = scene("")?;
    let graph = &scene.tenant.graph;
    let people = graph.mailboxes()?;
    let drive = scene.drive("/sites/Finance", "Documents")?;
    put(graph, &drive, "Plans/budget.txt", "42")?;
    let secret = put(graph, &drive, "Plans/secret.txt", "hush")?;
    let bare = put(graph, &drive, "Plans/bare.txt", "for owners")?;
    let plans = at(graph, &drive, "Plans")?;
    invite(graph, &plans, &people[1], "write")?;
    link(
        graph,
        &plans,
        json!({ "type": "view", "scope": "organization" }),
    )?;
    // One that only Carol may read, and one that nobody may who isn't an owner.
    for item in [&secret, &bare] {
        let alone =
            json!({ "type": "view", "scope": "users", "retainInheritedPermissions": false });
        let made = link(graph, item, alone)?;
        let id = made["id"].as_str().context("no id")?;
        graph.delete(&format!("{}/permissions/{id}", url(item)?))?;
    }
    invite(graph, &secret, &people[2], "read")?;
    let paths = [
        "Plans",
        "Plans/budget.txt",
        "Plans/secret.txt",
        "Plans/bare.txt",
    ];
    let all = || -> Result<Vec<BTreeSet<String>>> {
        paths
            .iter()
            .map(|path| access(graph, &at(graph, &drive, path)?))
            .collect()
    };
    let before = all()?;
    ensure!(before[2].len() == 3 && before[3].len() == 2, "{before:#?}");
    let times = json!({ "createdDateTime": "2021-02-03T04:05:06Z",
                        "lastModifiedDateTime": "2022-03-04T05:06:07Z" });
    graph.patch(&url(&plans)?, &json!({ "fileSystemInfo": times }))?;
    scene.tenant.backup()?;
    let library = "Sites/Finance/Libraries/Documents";
    let mount = scene.tenant.mount()?;
    let by_command = || -> Result<()> {
        let (source, target) = (
            format!("latest/{library}/Plans"),
            format!("{library}/Plans"),
        );
        let done = scene.tenant.json(&["restore", &source, &target])?;
        ensure!(done["failed"] == 0 && done["restored"] == 3, "{done:#}");
        Ok(())
    };
    let by_cp = || -> Result<()> {
        let source = mount.path("snapshots/latest").join(library).join("Plans");
        let target = mount.path("restore").join(library);
        let copy = format!("cp -a {} {}/", quote(&source), quote(&target));
        sh_ok(Path::new("/"), &copy).map(drop)
    };
    let ways: [&dyn Fn() -> Result<()>; 2] = [&by_command, &by_cp];
    for way in ways {
        graph.delete(&url(&at(graph, &drive, "Plans")?)?)?;
        way()?;
        let after = all()?;
        ensure!(after == before, "{before:#?}\n{after:#?}");
        let now = &at(graph, &drive, "Plans")?["fileSystemInfo"];
        ensure!(*now == times, "{now:#}");
    }
    scene.nothing_was_sent()
}

#[test]
fn permissions_wait_when_the_budget_is_used_up() -> Result<()> {
    let config = |budget: Option<u64>| {
        let budget = budget.map(|units| format!("unit_budget = {units}\n"));
        format!(
            "[protect]\nworkloads = [\"drive\"]\n{}",
            budget.unwrap_or_default()
        )
    };
    let scene = Scene::with(&config(None), |options| {
        options.messages = 0;
        options.files = 100;
        options.sites = 0;
    })?;
    let graph = &scene.tenant.graph;
    let people = graph.mailboxes()?;
    let first = scene.tenant.backup()?;
    let spent = first["drive_units"].as_u64().context("no units")?;
    ensure!(spent > 100, "{first:#}");
    let drive = scene.onedrive(&people[0])?;
    let item = put(graph, &drive, "late.txt", "late")?;
    invite(graph, &item, &people[1], "read")?;

    // Enough for what changed, and not for what can wait.
    scene.tenant.write_config(&config(Some(spent * 6 / 5)))?;
    let (read, cycle) = permissions_read(&scene)?;
    ensure!(
        read == 0 && cycle["failed_accounts"] == json!([]),
        "{read}: {cycle:#}"
    );
    let mount = scene.tenant.mount()?;
    let second = mount.path("snapshots/latest").canonicalize()?;
    ensure!(fs::read(second.join(&people[0]).join("OneDrive/late.txt"))? == b"late");
    let report: Value = serde_json::from_slice(&fs::read(second.join(".tenantfs/report.json"))?)?;
    let waits = |note: &Value| {
        note["reason"]
            .as_str()
            .is_some_and(|r| r.starts_with("permissions of 1 items are asked"))
    };
    ensure!(
        report["notes"]
            .as_array()
            .is_some_and(|n| n.iter().any(waits)),
        "{report:#}"
    );
    ensure!(
        report["drive_units"]
            .as_u64()
            .is_some_and(|units| units > 0),
        "{report:#}"
    );
    // Nothing is left for anything: told, and not waited for.
    scene.tenant.write_config(&config(Some(1)))?;
    put(graph, &drive, "later.txt", "later")?;
    let cycle = scene.tenant.backup()?;
    ensure!(
        cycle["failed_accounts"].to_string().contains("used up"),
        "{cycle:#}"
    );
    // With a budget nothing was lost.
    scene.tenant.write_config(&config(None))?;
    let (read, cycle) = permissions_read(&scene)?;
    ensure!(read == 1, "{read}: {cycle:#}");
    let third = scene.next_snapshot(&mount, &second)?;
    ensure!(fs::read(third.join(&people[0]).join("OneDrive/later.txt"))? == b"later");
    let kept = record(&third, &format!("{}/OneDrive/late.txt", people[0]))?;
    ensure!(
        kept["permissions"].to_string().contains(&people[1]),
        "{kept:#}"
    );
    Ok(())
}
