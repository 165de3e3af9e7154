//! A tenant with archives, and what the tests ask of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::{Mounted, Tenant, text};
use graph_emulator::{Options, Quirk};
use serde_json::{Value, json};
use tenantfs::format::fasttransfer::{Builder, Key, Object};

/// A tenant whose first two users have archives, those of the second empty but for its seed.
pub struct Scene {
    pub tenant: Tenant,
    pub alice: String,
    pub bob: String,
}

impl Scene {
    pub fn new(quirk: Vec<Quirk>, extra: &str) -> Result<Self> {
        let options = Options {
            accounts: 2,
            messages: 60,
            files: 4,
            archives: 2,
            archive_messages: 70,
            quirk,
            ..Options::default()
        };
        let tenant = Tenant::with_config(options, extra)?;
        let mut users = tenant.graph.mailboxes()?;
        let (alice, bob) = (users.remove(0), users.remove(0));
        Ok(Self { tenant, alice, bob })
    }

    pub fn beta(&self, path: &str) -> String {
        format!("{}/beta{path}", self.tenant.emulator.url)
    }

    pub fn mailbox(&self, upn: &str, which: &str) -> Result<String> {
        let settings = self.beta(&format!("/users/{upn}/settings/exchange"));
        let settings = self.tenant.graph.get(&settings)?;
        let id = settings[which].as_str().context("no such mailbox")?;
        Ok(self.beta(&format!("/admin/exchange/mailboxes/{id}")))
    }

    pub fn archive(&self, upn: &str) -> Result<String> {
        self.mailbox(upn, "inPlaceArchiveMailboxId")
    }

    /// A folder at the top of an archive, by name.
    pub fn folder(&self, archive: &str, name: &str) -> Result<String> {
        let folders = self
            .tenant
            .graph
            .list(&format!("{archive}/folders?$top=100"))?;
        let found = folders.iter().find(|f| f["displayName"] == name);
        let id = found.and_then(|f| f["id"].as_str());
        Ok(id.with_context(|| format!("no folder {name}"))?.to_owned())
    }

    pub fn items(&self, archive: &str, folder: &str) -> Result<Vec<Value>> {
        let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x0037')";
        let path = format!("{archive}/folders/{folder}/items?$top=200&{expand}");
        self.tenant.graph.list(&path)
    }

    pub fn subject(item: &Value) -> &str {
        let value = &item["singleValueExtendedProperties"][0]["value"];
        value.as_str().unwrap_or_default()
    }

    pub fn export(&self, mailbox: &str, id: &str) -> Result<Vec<u8>> {
        let answer = self.tenant.graph.post(
            &format!("{mailbox}/exportItems"),
            &json!({ "itemIds": [id] }),
        )?;
        let data = answer["value"][0]["data"].as_str().context("no data")?;
        Ok(STANDARD.decode(data)?)
    }

    /// Imports as some other application would.
    pub fn import(&self, mailbox: &str, folder: &str, stream: &[u8]) -> Result<String> {
        let session = self
            .tenant
            .graph
            .post(&format!("{mailbox}/createImportSession"), &json!({}))?;
        let url = session["importUrl"].as_str().context("no URL")?;
        let body = json!({ "FolderId": folder, "Mode": "create", "Data": STANDARD.encode(stream) });
        let http = reqwest::blocking::Client::new();
        let answer = http.post(url).json(&body).send()?;
        ensure!(answer.status().is_success(), "import: {}", answer.status());
        let answer: Value = answer.json()?;
        Ok(answer["itemId"].as_str().context("no id")?.to_owned())
    }

    pub fn delete(&self, archive: &str, folder: &str, id: &str) -> Result<()> {
        self.tenant
            .graph
            .delete(&format!("{archive}/folders/{folder}/items/{id}"))?;
        Ok(())
    }

    /// How many requests went to routes that hold `part`.
    pub fn count(&self, part: &str) -> Result<u64> {
        let counts = self.tenant.graph.requests()?;
        let routes = counts["by_route"].as_array().context("no routes")?;
        let matching = routes.iter().filter(|route| {
            route["route"]
                .as_str()
                .is_some_and(|route| route.contains(part))
        });
        Ok(matching.filter_map(|route| route["count"].as_u64()).sum())
    }

    pub fn nothing_was_sent(&self) -> Result<()> {
        let outbox = self.tenant.graph.outbox()?;
        let sent = outbox
            .as_array()
            .or(outbox["value"].as_array())
            .context("no outbox")?;
        ensure!(sent.is_empty(), "a restore sent mail: {sent:?}");
        Ok(())
    }
}

pub fn sh(dir: &Path, command: &str) -> Result<(bool, String)> {
    let output = Command::new("bash")
        .args(["-c", command])
        .current_dir(dir)
        .output()?;
    Ok((
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    ))
}

pub fn sh_ok(dir: &Path, command: &str) -> Result<String> {
    let (ok, said) = sh(dir, command)?;
    ensure!(ok, "{command}: {said}");
    Ok(said)
}

pub fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

pub fn latest(mount: &Mounted, upn: &str, folder: &str) -> Result<PathBuf> {
    let latest = mount.path("snapshots/latest").canonicalize()?;
    Ok(latest.join(upn).join(folder))
}

/// The file in a folder whose name holds `part`.
pub fn named(dir: &Path, part: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("{}", dir.display()))?;
    let mut paths = entries.filter_map(|e| Some(e.ok()?.path()));
    paths
        .find(|p| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().contains(part))
        })
        .with_context(|| format!("no {part} in {}", dir.display()))
}

/// Waits until the mount shows what was just restored or captured.
pub fn until(what: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !what() {
        ensure!(Instant::now() < deadline, "it does not come");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Everything a stream says, but for what an import changes: the change key and its history, when it
/// was made and last modified, and our marker.
pub fn said(stream: &[u8]) -> Result<String> {
    let object = Object::parse(stream)?;
    let own = |key: &Key| match key {
        Key::Tag(id) => [0x65E2, 0x65E3, 0x3007, 0x3008, 0x300B].contains(id),
        Key::Name(_, name) => name == "tenantfs",
        Key::Id(..) => false,
    };
    let mut lines: Vec<String> = object
        .properties
        .iter()
        .filter(|p| !own(&p.key))
        .map(|p| format!("{:?} {}", p.key, value(&p.value)))
        .collect();
    lines.sort();
    Ok(format!(
        "{lines:#?} {} recipients {} attachments",
        object.recipients.len(),
        object.attachments.len()
    ))
}

pub fn value(value: &tenantfs::format::fasttransfer::MapiValue<'_>) -> String {
    use tenantfs::format::fasttransfer::MapiValue;
    match value {
        MapiValue::Text(text) => text.decode(),
        MapiValue::Binary(bytes) | MapiValue::Object(bytes) => STANDARD.encode(bytes.bytes()),
        MapiValue::Many(values) => values.iter().map(self::value).collect::<Vec<_>>().join("|"),
        other => format!("{other:?}"),
    }
}

/// A stream with good frames and nothing that can be read in them.
pub fn unreadable() -> Vec<u8> {
    let mut stream = Builder::default().finish();
    stream.extend_from_slice(&[2, 0, 0, 0, 12, 0, 0, 0]);
    stream.extend_from_slice(b"\x29\x00\x17\x00whatever");
    stream
}
