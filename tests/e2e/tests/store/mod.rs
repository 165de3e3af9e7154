//! A repository in an object store, Garage (and moto, which knows locks), reached through a proxy that counts requests, delays
//! them, and breaks them.

mod append;
mod faults;
mod locks;
mod nodes;
mod requests;
mod upkeep;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::garage::{self, Garage};
use e2e::proxy::Proxy;
use e2e::{Tenant, corpus, noise, text};
use graph_emulator::Options;

/// A tenant whose repository is in a cluster of Garage, with a proxy between them.
struct Stage {
    tenant: Tenant,
    proxy: Proxy,
    garage: Garage,
}

impl Stage {
    /// `None` where Garage is not to be had. `extra` are lines of `[repository]`.
    fn start(nodes: usize, options: Options, extra: &str) -> Result<Option<Self>> {
        let Some(garage) = Garage::start(nodes)? else {
            return Ok(None);
        };
        let proxy = Proxy::start(garage.address(0))?;
        let tenant = Tenant::in_store(options, |dir| {
            Ok(garage::repository(dir, proxy.address(), "repository")? + extra)
        })?;
        Ok(Some(Self {
            tenant,
            proxy,
            garage,
        }))
    }

    fn upn(&self) -> Result<String> {
        Ok(self.tenant.graph.mailboxes()?.remove(0))
    }

    /// Puts a file into the first account's drive.
    fn put(&self, name: &str, content: Vec<u8>) -> Result<()> {
        let path = format!("/users/{}/drive/root:/{name}:/content", self.upn()?);
        self.tenant.graph.put(&path, content)?;
        Ok(())
    }

    /// Deletes it again.
    fn remove(&self, name: &str) -> Result<()> {
        let (graph, upn) = (&self.tenant.graph, self.upn()?);
        let item = graph.get(&format!("/users/{upn}/drive/root:/{name}"))?;
        let id = item["id"].as_str().context("no id")?;
        graph
            .delete(&format!("/users/{upn}/drive/items/{id}"))
            .map(drop)
    }

    /// Takes a snapshot of everything; its name.
    fn snapshot(&self) -> Result<String> {
        let summary = self.tenant.backup()?;
        let name = summary["snapshot"].as_str().context("no snapshot")?;
        Ok(name.to_owned())
    }

    /// Forgets what this host kept of the repository, as if it were another.
    fn forget_local_copies(&self) -> Result<()> {
        Ok(fs::remove_dir_all(self.tenant.path("state/index"))?)
    }

    fn verify(&self) -> Result<()> {
        let verified = self.tenant.run(&["verify", "--read-data"])?;
        ensure!(verified.status.success(), "{}", text(&verified.stdout));
        Ok(())
    }
}

/// Every file below a folder with its bytes.
fn contents(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    corpus::files(root)
        .into_iter()
        .map(|file| Ok((file.strip_prefix(root)?.to_owned(), fs::read(&file)?)))
        .collect()
}
