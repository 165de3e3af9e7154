//! A tenant with sites, and what its libraries hold.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{Mounted, Tenant};
use graph_emulator::Options;
use serde_json::Value;

/// The configuration of a tenantfs that captures drives and sites only.
pub const FILES_ONLY: &str = "[protect]\nworkloads = [\"mail\", \"drive\", \"libraries\"]\n";

pub struct Scene {
    pub tenant: Tenant,
}

/// A library of a site.
pub struct Library {
    /// Where the mount has it, below a snapshot.
    pub path: String,
    pub drive: String,
    /// SharePoint hides it from people.
    pub hidden: bool,
}

impl Scene {
    /// Three team sites, of which two have subsites.
    pub fn new() -> Result<Self> {
        Self::with(FILES_ONLY, |_| {})
    }

    pub fn with(config: &str, change: impl FnOnce(&mut Options)) -> Result<Self> {
        Ok(Self {
            tenant: Tenant::with_config(Self::options(change), config)?,
        })
    }

    /// The same with identities that SharePoint's own interface takes.
    pub fn with_certificate(config: &str, change: impl FnOnce(&mut Options)) -> Result<Self> {
        Ok(Self {
            tenant: Tenant::with_certificate(Self::options(change), config)?,
        })
    }

    fn options(change: impl FnOnce(&mut Options)) -> Options {
        let mut options = Options {
            accounts: 2,
            messages: 10,
            files: 20,
            sites: 3,
            site_files: 120,
            site_items: 0,
            ..Options::default()
        };
        change(&mut options);
        options
    }

    /// The site at an address below the tenant's host (`/sites/Finance`); the host's own has none.
    pub fn site(&self, path: &str) -> Result<Value> {
        match path {
            "" => self.tenant.graph.get("/sites/root"),
            path => self
                .tenant
                .graph
                .get(&format!("/sites/contoso.sharepoint.com:{path}")),
        }
    }

    /// The id of a library's drive.
    pub fn drive(&self, site: &str, library: &str) -> Result<String> {
        let all = self.libraries_of(site)?;
        let found = all.into_iter().find(|drive| drive["name"] == library);
        let found = found.with_context(|| format!("{site} has no library {library}"))?;
        Ok(found["id"].as_str().context("no id")?.to_owned())
    }

    fn libraries_of(&self, site: &str) -> Result<Vec<Value>> {
        let site = self.site(site)?;
        let id = site["id"].as_str().context("no id")?;
        let path = format!("/sites/{id}/drives?$select=id,name,webUrl,system");
        self.tenant.graph.list(&path)
    }

    /// All libraries of the team sites and the sites below them; the folder of each site in the mount is
    /// named here by hand.
    pub fn libraries(&self) -> Result<Vec<Library>> {
        let sites = [
            ("", "Sites/contoso.sharepoint.com"),
            ("/sites/Finance", "Sites/Finance"),
            ("/sites/Finance/payroll", "Sites/Finance/Subsites/payroll"),
            (
                "/sites/Finance/payroll/2025",
                "Sites/Finance/Subsites/payroll/Subsites/2025",
            ),
            ("/sites/Engineering", "Sites/Engineering"),
            ("/sites/Marketing", "Sites/Marketing"),
        ];
        let mut libraries = Vec::new();
        for (address, folder) in sites {
            for drive in self.libraries_of(address)? {
                let name = drive["name"].as_str().context("no name")?;
                libraries.push(Library {
                    path: format!("{folder}/Libraries/{name}"),
                    drive: drive["id"].as_str().context("no id")?.to_owned(),
                    hidden: drive["system"].is_object(),
                });
            }
        }
        Ok(libraries)
    }

    /// The id of a user's OneDrive.
    pub fn onedrive(&self, upn: &str) -> Result<String> {
        let drive = self.tenant.graph.get(&format!("/users/{upn}/drive"))?;
        Ok(drive["id"].as_str().context("no id")?.to_owned())
    }

    /// Deletes everything in a drive.
    pub fn empty(&self, drive: &str) -> Result<()> {
        let path = format!("/drives/{drive}/root/children");
        for item in self.tenant.graph.list(&path)? {
            let id = item["id"].as_str().context("no id")?;
            self.tenant
                .graph
                .delete(&format!("/drives/{drive}/items/{id}"))?;
        }
        Ok(())
    }

    /// The mounted newest snapshot, once it is another one than `old`.
    pub fn next_snapshot(&self, mount: &Mounted, old: &Path) -> Result<PathBuf> {
        for _ in 0..100 {
            let latest = mount.path("snapshots/latest").canonicalize()?;
            if latest != old {
                return Ok(latest);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("there is no snapshot after {}", old.display())
    }

    pub fn nothing_was_sent(&self) -> Result<()> {
        let outbox = self.tenant.graph.outbox()?;
        let sent = outbox.as_array().or(outbox["value"].as_array());
        let sent = sent.context("no outbox")?;
        ensure!(sent.is_empty(), "somebody was told: {sent:?}");
        Ok(())
    }
}
