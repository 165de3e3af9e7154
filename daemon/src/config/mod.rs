//! The configuration file: what it may say, what it means, and what is wrong with it.
//!
//! A key that is not known is an error, so that a misspelled setting never silently does nothing.
//! A secret is never in the file itself: the file names the file (or the service) that holds it.
//! Paths are made absolute when the file is read, because a daemon leaves its directory.

//! One module for each table of it.

mod mount;
mod protect;
mod repository;
mod restore;
mod retention;
mod tenant;
mod units;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

pub use mount::Mount;
pub use protect::{Protect, WORKLOADS};
pub use repository::Repository;
pub use restore::{Conflict, Restore};
pub use retention::Retention;
pub use tenant::{Identity, Proof, Tenant};
pub use verify::Verify;

/// Where the configuration is looked for when `--config` is not given.
pub const SYSTEM_PATH: &str = "/etc/tenantfs/tenantfs.toml";
/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The tenant and the two identities that read it and write to it.
    pub tenant: Tenant,
    /// Where snapshots are kept.
    pub repository: Repository,
    /// A second repository that `tenantfs copy` copies snapshots to.
    pub copy: Option<Repository>,
    /// What is captured, and when.
    #[serde(default)]
    pub protect: Protect,
    /// Which snapshots stay.
    #[serde(default)]
    pub retention: Retention,
    /// How the mount behaves.
    #[serde(default)]
    pub mount: Mount,
    /// How restores behave.
    #[serde(default)]
    pub restore: Restore,
    /// How the repository is looked after.
    #[serde(default)]
    pub verify: Verify,
    /// Where this host keeps what can be rebuilt: index copies, the restore spool, counters.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
}
impl Config {
    /// Reads the file at `path`, or the first that exists of the usual places. Also tells which.
    pub fn load(path: Option<&Path>) -> Result<(Self, PathBuf)> {
        let path = match path {
            Some(path) => path.to_path_buf(),
            None => usual_path()?,
        };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let path = std::path::absolute(&path)?;
        let base = path.parent().unwrap_or(Path::new("/"));
        let config = Self::parse(&text, base)
            .with_context(|| format!("the configuration {} is not usable", path.display()))?;
        Ok((config, path))
    }

    /// Parses the text of a configuration whose relative paths start at `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.resolve(base)?;
        config.protect.check()?;
        Ok(config)
    }

    /// The tables in which something differs from the configuration that a daemon was started with, and that
    /// it can't change while it runs.
    pub fn after_restart(&self, started: &Config) -> Vec<&'static str> {
        let repository = |c: &Config| Repository {
            // New packs get it at once.
            parity: Default::default(),
            ..c.repository.clone()
        };
        // All that a service which has started signs in with.
        let restore = |c: &Config| {
            let identity = c.tenant.restore.clone()?;
            Some(Tenant {
                backup: identity,
                ..c.tenant.clone()
            })
        };
        let mut later = Vec::new();
        let mut compare = |table, same: bool| {
            if !same {
                later.push(table);
            }
        };
        compare("state_dir", self.state_dir == started.state_dir);
        compare("[repository]", repository(self) == repository(started));
        compare("[tenant.restore]", restore(self) == restore(started));
        compare("[restore]", self.restore == started.restore);
        compare("[mount]", self.mount == started.mount);
        later
    }

    /// Makes paths absolute; an error where a table cannot be meant so.
    fn resolve(&mut self, base: &Path) -> Result<()> {
        self.tenant.resolve(base)?;
        self.repository.resolve("repository", base)?;
        if let Some(copy) = &mut self.copy {
            copy.resolve("copy", base)?;
        }
        self.state_dir = base.join(&self.state_dir);
        if let Some(path) = &mut self.mount.path {
            *path = base.join(&*path);
        }
        Ok(())
    }
}

fn usual_path() -> Result<PathBuf> {
    let mut places = vec![PathBuf::from(SYSTEM_PATH)];
    let user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    places.extend(user.map(|dir| dir.join("tenantfs/tenantfs.toml")));
    if let Some(found) = places.iter().find(|place| place.exists()) {
        return Ok(found.clone());
    }
    let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
    bail!(
        "there is no configuration at {}; write one (the README shows how), or name it with --config",
        places.join(" or ")
    )
}
fn default_state_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/tenantfs");
    }
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    base.unwrap_or_else(|| PathBuf::from("/var/tmp"))
        .join("tenantfs")
}

#[cfg(test)]
mod tests;
