//! A second copy of the snapshots, and snapshots as tars.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use e2e::shell::{quote, sh_ok};
use e2e::tenant::Beside;
use e2e::{Mounted, Tenant, program, text};
use graph_emulator::Options;
use serde_json::{Value, json};

const COPY: &str = "[copy]\nlocation = \"copy\"\npassword_file = \"copy-password\"\n";

/// A tenant with a snapshot and a second repository.
struct Scene {
    tenant: Tenant,
    alice: String,
}

impl Scene {
    fn new() -> Result<Self> {
        let tenant = Tenant::start(Options {
            accounts: 2,
            messages: 120,
            files: 40,
            ..Options::default()
        })?;
        program::write_private(&tenant.path("copy-password"), "of the copy")?;
        tenant.write_config(COPY)?;
        tenant.backup()?;
        let alice = tenant.graph.mailboxes()?.remove(0);
        Ok(Scene { tenant, alice })
    }

    /// One mail changes, and is captured.
    fn go_on(&self, category: &str) -> Result<()> {
        let graph = &self.tenant.graph;
        let alice = &self.alice;
        let inbox = graph.list(&format!("/users/{alice}/mailFolders/inbox/messages"))?;
        let id = inbox[0]["id"].as_str().context("no id")?;
        let change = json!({ "categories": [category] });
        graph.patch(&format!("/users/{alice}/messages/{id}"), &change)?;
        self.tenant.backup()?;
        Ok(())
    }

    /// A configuration whose repository is another one.
    fn other(&self, name: &str, password: &str) -> Result<Beside<'_>> {
        self.tenant.beside(name, |config| {
            config
                .replace(COPY, "")
                .replace("\"repository\"", &format!("{name:?}"))
                .replace("\"password\"", &format!("{password:?}"))
        })
    }
}

fn mount(other: &Beside, name: &str) -> Result<Mounted> {
    Mounted::start(other.command(&["mount"]), &other.tenant.path(name))
}

fn succeeds(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{}", text(&output.stderr));
    Ok(text(&output.stdout))
}

/// Both show the same, byte for byte, records and versions too.
fn same_trees(a: &Mounted, b: &Mounted, snapshot: &str) -> Result<()> {
    for below in ["", ".tenantfs/graph", ".tenantfs/versions"] {
        let path = |mount: &Mounted| {
            let path = mount.path("snapshots").join(snapshot).join(below);
            quote(&path)
        };
        sh_ok(Path::new("/"), &format!("diff -r {} {}", path(a), path(b)))?;
        let facts = |mount: &Mounted| {
            sh_ok(
                Path::new("/"),
                &format!("cd {} && find . -printf '%P %s %T@\\n' | sort", path(mount)),
            )
        };
        ensure!(facts(a)? == facts(b)?, "{below}");
    }
    Ok(())
}

#[test]
fn a_copy_has_everything_and_the_next_copies_what_is_new() -> Result<()> {
    let scene = Scene::new()?;
    let tenant = &scene.tenant;
    succeeds(tenant.run(&["init", "--copy"])?)?;
    let first = tenant.json(&["copy"])?;
    ensure!(
        first["copied"].as_array().map(Vec::len) == Some(1),
        "{first:#}"
    );
    scene.go_on("Second")?;
    let second = tenant.json(&["copy"])?;
    ensure!(
        second["present"].as_array().map(Vec::len) == Some(1),
        "{second:#}"
    );
    ensure!(
        second["written"].as_u64() < first["written"].as_u64().map(|written| written / 5),
        "{first:#} {second:#}"
    );
    let none = tenant.json(&["copy", "--snapshot", "latest"])?;
    ensure!(
        none["copied"].as_array().is_some_and(Vec::is_empty),
        "{none:#}"
    );

    let copy = scene.other("copy", "copy-password")?;
    ensure!(copy.json(&["snapshots"])? == tenant.json(&["snapshots"])?);
    ensure!(copy.json(&["verify", "--read-data"])?["clean"] == true);
    let (here, there) = (tenant.mount()?, mount(&copy, "mnt-copy")?);
    let latest = fs::read_link(here.path("snapshots/latest"))?;
    same_trees(&here, &there, &latest.display().to_string())?;
    // Neither opens with the other's password.
    let wrong = scene.other("copy", "password")?;
    let refused = wrong.command(&["snapshots"]).output()?;
    ensure!(text(&refused.stderr).contains("wrong password"));
    Ok(())
}

#[test]
fn a_repository_that_was_not_made_for_copies_is_refused() -> Result<()> {
    let scene = Scene::new()?;
    let other = scene.other("stranger", "password")?;
    succeeds(other.command(&["init"]).output()?)?;
    let tenant = &scene.tenant;
    let path = |name| tenant.path(name).display().to_string();
    let (location, password) = (path("stranger"), path("password"));
    let to = ["--to-location", &location, "--to-password-file", &password];
    let output = tenant.run(&[&["copy"], &to[..]].concat())?;
    ensure!(output.status.code() == Some(1));
    ensure!(
        text(&output.stderr).contains("init --copy"),
        "{}",
        text(&output.stderr)
    );
    Ok(())
}

#[test]
fn a_tar_goes_out_comes_in_elsewhere_and_restores() -> Result<()> {
    let scene = Scene::new()?;
    let tenant = &scene.tenant;
    scene.go_on("Kept")?;
    let tar = tenant.path("snapshot.tar");
    let file = tar.display().to_string();
    let exported = tenant.json(&["export", "latest", "--output", &file])?;
    ensure!(exported["files"].as_u64() > Some(100), "{exported:#}");
    let other = scene.other("other", "password")?;
    succeeds(other.command(&["init"]).output()?)?;
    let imported = other.json(&["import", &file])?;
    let name = imported["snapshot"].as_str().context("no name")?;
    ensure!(exported["snapshot"] == name);
    ensure!(other.json(&["verify", "--read-data"])?["clean"] == true);
    let here = tenant.mount()?;
    {
        let there = mount(&other, "mnt-other")?;
        same_trees(&here, &there, name)?;
    }

    // Anybody's tar reads it, from a pipe too.
    let out = tenant.path("unpacked");
    fs::create_dir(&out)?;
    let program = quote(program::tenantfs());
    let config = quote(&tenant.config());
    sh_ok(
        Path::new("/"),
        &format!(
            "{program} --config {config} export {name} | tar -x -C {}",
            quote(&out)
        ),
    )?;
    let shown = here.path("snapshots").join(name);
    sh_ok(
        Path::new("/"),
        &format!(
            "diff -r --exclude=.tenantfs {} {}",
            quote(&shown),
            quote(&out)
        ),
    )?;
    // Folders without records are not in the tar.
    let records = |root: &Path| {
        let sums = "find . -type f -exec sha256sum {} + | sort";
        sh_ok(&root.join(".tenantfs/graph"), sums)
    };
    ensure!(records(&shown)? == records(&out)?);
    drop(here);

    // What a mail's file cannot carry comes back from the record.
    let alice = &scene.alice;
    let kept = |message: &Value| message["categories"] == json!(["Kept"]);
    let inbox = format!("/users/{alice}/mailFolders/inbox/messages");
    let mut messages = tenant.graph.list(&inbox)?;
    messages.retain(kept);
    ensure!(messages.len() == 1);
    let id = messages[0]["id"].as_str().context("no id")?;
    let delete = format!("/users/{alice}/messages/{id}/permanentDelete");
    tenant.graph.post(&delete, &json!({}))?;
    let (source, target) = (
        format!("{name}/{alice}/Mail/Inbox"),
        format!("{alice}/Mail/Inbox"),
    );
    let report = other.json(&["restore", "--deleted-only", &source, &target])?;
    let back = tenant.graph.list(&inbox)?;
    ensure!(
        back.iter().filter(|message| kept(message)).count() == 1,
        "{report:#}"
    );
    tenant.nothing_was_sent()
}

#[test]
fn a_tar_that_was_cut_off_makes_no_snapshot() -> Result<()> {
    let scene = Scene::new()?;
    let tenant = &scene.tenant;
    let tar = tenant.path("snapshot.tar");
    let file = tar.display().to_string();
    tenant.json(&["export", "latest", "-o", &file])?;
    let whole = fs::read(&tar)?;
    let before = tenant.json(&["snapshots"])?;
    for part in [0, 1, 3] {
        fs::write(&tar, &whole[..whole.len() / 4 * part + 77])?;
        let output = tenant.run(&["import", &file])?;
        ensure!(output.status.code() == Some(1));
        let said = text(&output.stderr);
        ensure!(said.contains("too early"), "{said}");
    }
    ensure!(tenant.json(&["snapshots"])? == before);
    Ok(())
}
