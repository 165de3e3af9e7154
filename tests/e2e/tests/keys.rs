//! Keys as an administrator meets them: every way to open the repository, and a rotation.

use std::fs;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Tenant, program, text};
use graph_emulator::Options;
use serde_json::Value;

fn tenant() -> Result<Tenant> {
    Tenant::start(Options {
        accounts: 2,
        messages: 40,
        files: 10,
        ..Options::default()
    })
}

/// Makes `[repository]` say `line` instead of where the password is.
fn open_with(tenant: &Tenant, line: &str) -> Result<()> {
    tenant.write_config("")?;
    let config = fs::read_to_string(tenant.config())?;
    let config = config.replace("password_file = \"password\"", line);
    Ok(fs::write(tenant.config(), config)?)
}

fn succeeds(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{}", text(&output.stderr));
    Ok(text(&output.stdout))
}

fn fails(tenant: &Tenant, arguments: &[&str], word: &str) -> Result<()> {
    let output = tenant.run(arguments)?;
    let said = text(&output.stderr);
    ensure!(output.status.code() == Some(1), "{arguments:?}: {said}");
    ensure!(said.contains(word), "{arguments:?}: {said}");
    Ok(())
}

fn ids(list: &Value, in_use: bool) -> Vec<String> {
    let keys = list["keys"].as_array().into_iter().flatten();
    keys.filter(|key| key["in_use"] == in_use)
        .filter_map(|key| key["id"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_repository_opens_in_every_way_that_was_added() -> Result<()> {
    let tenant = tenant()?;
    tenant.backup()?;
    program::write_private(&tenant.path("second"), "another password\n")?;
    fs::write(tenant.path("key"), [7; 40])?;
    let add = |option: &str, file: &str, label: &str| -> Result<Value> {
        let file = tenant.path(file).display().to_string();
        tenant.json(&["key", "add", "--label", label, option, &file])
    };
    let second = add("--new-password-file", "second", "night shift")?;
    let key = add("--new-key-file", "key", "vault")?;
    fails(&tenant, &["key", "remove", "00"], "beginning of one key")?;

    let snapshots = tenant.json(&["snapshots"])?;
    let ways = [
        "password_file = \"second\"",
        "key_file = \"key\"",
        "password_command = [\"sh\", \"-c\", \"echo another password\"]",
        "password_credential = \"second\"",
    ];
    for way in ways {
        open_with(&tenant, way)?;
        let mut command = tenant.command(&["--json", "snapshots"]);
        command.env("CREDENTIALS_DIRECTORY", tenant.path(""));
        let found: Value = serde_json::from_str(&succeeds(command.output()?)?)?;
        ensure!(found == snapshots, "{way}: {found:#}");
    }
    open_with(
        &tenant,
        "password_command = [\"sh\", \"-c\", \"echo shown >&2; echo hidden; false\"]",
    )?;
    let output = tenant.run(&["snapshots"])?;
    let said = text(&output.stderr);
    ensure!(said.contains("shown") && !said.contains("hidden"), "{said}");
    open_with(&tenant, "key_file = \"second\"")?;
    fails(&tenant, &["snapshots"], "32 random bytes")?;

    open_with(&tenant, "key_file = \"key\"")?;
    let list = tenant.json(&["key", "list"])?;
    ensure!(list["keys"].as_array().map(Vec::len) == Some(3), "{list:#}");
    let own = ids(&list, true);
    ensure!(own == [key["id"].as_str().context("no id")?], "{list:#}");
    let said = succeeds(tenant.run(&["key", "list"])?)?;
    ensure!(
        said.contains("night shift") && said.contains("key file"),
        "{said}"
    );
    fails(&tenant, &["key", "remove", &own[0]], "in use")?;
    let second_id = second["id"].as_str().context("no id")?;
    succeeds(tenant.run(&["key", "remove", second_id])?)?;
    let file = tenant.path("second").display().to_string();
    let change = tenant.run(&["key", "change", "--new-password-file", &file])?;
    ensure!(succeeds(change)?.contains("opens with"));
    fails(&tenant, &["snapshots"], "wrong password")?;
    open_with(&tenant, "password_file = \"second\"")?;
    ensure!(tenant.json(&["verify", "--read-data"])?["clean"] == true);
    Ok(())
}

#[test]
fn a_rotation_leaves_mounts_reading_and_seals_what_comes() -> Result<()> {
    let tenant = tenant()?;
    tenant.backup()?;
    let mount = tenant.mount()?;
    let read_all = || -> Result<usize> {
        let latest = mount.path("snapshots/latest").canonicalize()?;
        let files = e2e::corpus::files(&latest);
        for file in &files {
            fs::read(file).with_context(|| file.display().to_string())?;
        }
        Ok(files.len())
    };
    ensure!(read_all()? > 40);
    let rotated = tenant.json(&["key", "rotate"])?;
    ensure!(
        rotated["number"] == 1 && rotated["keys"] == 1,
        "{rotated:#}"
    );
    // Something that is new, so that something is sealed.
    let alice = tenant.graph.mailboxes()?.remove(0);
    let inbox = tenant
        .graph
        .list(&format!("/users/{alice}/mailFolders/inbox/messages"))?;
    let id = inbox[0]["id"].as_str().context("no id")?;
    let path = format!("/users/{alice}/messages/{id}");
    tenant
        .graph
        .patch(&path, &serde_json::json!({ "categories": ["Rotated"] }))?;
    tenant.backup()?;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while fs::read_dir(mount.path("snapshots"))?.count() < 4 {
        ensure!(
            std::time::Instant::now() < deadline,
            "no new snapshot shows"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    ensure!(read_all()? > 40);
    let list = tenant.json(&["key", "list"])?;
    let masters = list["master_keys"].as_array().context("no master keys")?;
    ensure!(
        masters.len() == 2 && masters[1]["current"] == true,
        "{list:#}"
    );
    ensure!(
        masters.iter().all(|key| key["packs"].as_u64() > Some(0)),
        "{list:#}"
    );
    drop(mount);
    ensure!(tenant.json(&["verify", "--read-data"])?["clean"] == true);
    Ok(())
}
