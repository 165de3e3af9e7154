//! A tenant with archives, and what the tests ask of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
pub use e2e::exported::said;
pub use e2e::shell::{quote, sh, sh_ok};
use e2e::{Mounted, Tenant, exported};
use graph_emulator::{Options, Quirk};
use serde_json::Value;
use tenantfs::format::fasttransfer::Builder;

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

    pub fn mailbox(&self, upn: &str, which: &str) -> Result<String> {
        exported::mailbox(&self.tenant, upn, which)
    }

    pub fn archive(&self, upn: &str) -> Result<String> {
        exported::archive(&self.tenant, upn)
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
        exported::items(&self.tenant, archive, folder)
    }

    pub fn subject(item: &Value) -> &str {
        exported::subject(item)
    }

    pub fn export(&self, mailbox: &str, id: &str) -> Result<Vec<u8>> {
        exported::export(&self.tenant, mailbox, id)
    }

    pub fn import(&self, mailbox: &str, folder: &str, stream: &[u8]) -> Result<String> {
        exported::import(&self.tenant, mailbox, folder, stream)
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
        self.tenant.nothing_was_sent()
    }
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

/// A stream with good frames and nothing that can be read in them.
pub fn unreadable() -> Vec<u8> {
    let mut stream = Builder::default().finish();
    stream.extend_from_slice(&[2, 0, 0, 0, 12, 0, 0, 0]);
    stream.extend_from_slice(b"\x29\x00\x17\x00whatever");
    stream
}
