//! A tenant with people in it, and what to ask it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
pub use e2e::shell::{quote, sh, sh_ok};
use e2e::{Mounted, Tenant, corpus};
use graph_emulator::Options;
use serde_json::Value;

pub struct Scene {
    pub tenant: Tenant,
    pub alice: String,
    pub bob: String,
}

impl Scene {
    /// Two people with so many contacts in all; captured are only these workloads.
    pub fn new(contacts: u64, workloads: &[&str]) -> Result<Self> {
        let options = Options {
            accounts: 2,
            messages: 20,
            files: 4,
            contacts,
            ..Options::default()
        };
        let extra = format!("[protect]\nworkloads = {workloads:?}\n");
        let tenant = Tenant::with_config(options, &extra)?;
        let mut users = tenant.graph.mailboxes()?;
        let (alice, bob) = (users.remove(0), users.remove(0));
        Ok(Self { tenant, alice, bob })
    }

    pub fn nothing_was_sent(&self) -> Result<()> {
        self.tenant.nothing_was_sent()
    }

    /// A cycle that finds nothing new.
    pub fn idle(&self) -> Result<()> {
        self.tenant.graph.reset_requests()?;
        let idle = self.tenant.backup()?;
        ensure!(
            idle["snapshot"].is_null(),
            "an idle cycle made a snapshot: {idle:#}"
        );
        Ok(())
    }

    /// Requests since the last reset whose route contains `part`.
    pub fn requests(&self, part: &str) -> Result<u64> {
        let counts = self.tenant.graph.requests()?;
        let routes = counts["by_route"].as_array().context("no routes")?;
        let matching = routes
            .iter()
            .filter(|r| r["route"].as_str().is_some_and(|r| r.contains(part)));
        Ok(matching.filter_map(|r| r["count"].as_u64()).sum())
    }
}

/// The files of a workload in the newest snapshot, with their records.
pub fn captured(mount: &Mounted, upn: &str, folder: &str) -> Result<Vec<(PathBuf, Value)>> {
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let files = corpus::files(&latest.join(upn).join(folder));
    files
        .into_iter()
        .map(|file| {
            let below = file.strip_prefix(&latest)?;
            let mut name = below.as_os_str().to_owned();
            name.push(".json");
            let record = fs::read(latest.join(".tenantfs/graph").join(name))?;
            Ok((file, serde_json::from_slice(&record)?))
        })
        .collect()
}

/// Id of a record.
pub fn id(record: &Value) -> String {
    record["id"].as_str().unwrap_or_default().to_owned()
}

/// What must be the same of a restored item: all that was not made by the service.
pub fn lasting(record: &Value, but: &[&str]) -> Value {
    let mut record = record.clone();
    if let Some(record) = record.as_object_mut() {
        record.retain(|name, _| !name.starts_with('@') && !but.contains(&name.as_str()));
    }
    record
}

/// How often each of these is there.
pub fn counted(records: impl IntoIterator<Item = Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.to_string()).or_default() += 1;
    }
    counts
}
