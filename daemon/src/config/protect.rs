//! `[protect]`: what is captured, how, and when.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tenantfs::workload::mail::Route;

use super::units::{period_or_never, seconds};
use crate::schedule::Schedule;

/// The workloads there are, by the names the configuration uses.
pub const WORKLOADS: [&str; 10] = [
    "mail",
    "archive",
    "calendar",
    "contacts",
    "todo",
    "settings",
    "drive",
    "libraries",
    "lists",
    "pages",
];

/// The most versions of a file that can be asked for: libraries keep 500 unless told otherwise.
const MAX_VERSIONS: usize = 50_000;
/// `[protect]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Protect {
    /// Which accounts, by UPN.
    pub accounts: Globs,
    /// Which site collections, by the last part of their address; subsites go with them.
    pub sites: Globs,
    /// Capture lists and libraries that SharePoint hides (Style Library, Preservation Hold Library) as
    /// well.
    pub system_lists: bool,
    /// Which workloads, by name.
    pub workloads: Vec<String>,
    /// When the daemon captures: `"1h"`, or times of day in UTC, `["02:00", "14:00"]`.
    pub schedule: Schedule,
    /// How often everything is enumerated anew, to find what the service's change tracking missed:
    /// `"7d"`, or `"never"`.
    #[serde(deserialize_with = "period_or_never")]
    pub sweep: Option<Duration>,
    /// Capture Recoverable Items (what people deleted from Deleted Items) as well.
    pub recoverable_items: bool,
    /// Capture photos of contacts: one request for each contact that is new or changed.
    pub contact_photos: bool,
    /// Of how many older versions that OneDrive and SharePoint keep of a file the content is captured,
    /// newest first, when the file changes. 0: none. Costs a list for each changed file, and a download
    /// for each version that is new.
    pub versions: usize,
    /// The same for files that are captured for the first time, in a first sync for all.
    pub versions_of_new_files: bool,
    /// Capture retention labels of files and folders: one request for each that is new or changed.
    pub retention_labels: bool,
    /// Most resource units that captures spend on drives and sites in 24 hours; then they go on in a
    /// later cycle, and permissions wait from four fifths of it on. None here: what Microsoft grants a
    /// tenant of up to 1,000 licences.
    pub unit_budget: Option<u64>,
    /// How mail is captured.
    pub mail: ProtectMail,
    /// How many mailboxes and drives are captured at once.
    pub parallel_accounts: usize,
    /// A first sync that takes long makes what it has durable this often.
    #[serde(deserialize_with = "seconds")]
    pub checkpoint_seconds: Duration,
}

impl Default for Protect {
    fn default() -> Self {
        Self {
            accounts: Globs::default(),
            sites: Globs::default(),
            system_lists: false,
            workloads: WORKLOADS.map(str::to_owned).to_vec(),
            schedule: Schedule::default(),
            sweep: Some(Duration::from_secs(7 * 86_400)),
            recoverable_items: false,
            contact_photos: true,
            versions: 0,
            versions_of_new_files: false,
            retention_labels: false,
            unit_budget: None,
            mail: ProtectMail::default(),
            parallel_accounts: 8,
            checkpoint_seconds: Duration::from_secs(60),
        }
    }
}

/// `[protect.mail]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtectMail {
    /// `"mime"`: one request for each mail. `"export"`: one for twenty, and restores are exact; needs
    /// `MailboxItem.Export.All`.
    pub route: Route,
}

impl Protect {
    /// An error about the first thing that cannot be meant so.
    pub(super) fn check(&self) -> Result<()> {
        drop(self.accounts.matcher()?);
        drop(self.sites.matcher()?);
        if self.workloads.is_empty() {
            bail!(
                "[protect] workloads names nothing to capture; give some of {}",
                WORKLOADS.join(", ")
            );
        }
        for name in &self.workloads {
            if !WORKLOADS.contains(&name.as_str()) {
                bail!(
                    "[protect] workloads: {name:?} is not one of {}",
                    WORKLOADS.join(", ")
                );
            }
        }
        if self.versions > MAX_VERSIONS {
            bail!("[protect] versions must be at most {MAX_VERSIONS}");
        }
        if self.versions_of_new_files && self.versions == 0 {
            bail!("[protect] versions_of_new_files needs versions = N: how many of each file");
        }
        if self.unit_budget == Some(0) {
            bail!("[protect] unit_budget must be at least 1");
        }
        if self.parallel_accounts == 0 {
            bail!("[protect] parallel_accounts must be at least 1");
        }
        Ok(())
    }
}

/// Include and exclude patterns; exclude wins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Globs {
    /// Nothing here means everything.
    pub include: Vec<String>,
    /// Never these.
    pub exclude: Vec<String>,
}

impl Globs {
    /// Whether a name is chosen. Patterns are matched without regard to case, as UPNs are.
    pub fn matcher(&self) -> Result<impl Fn(&str) -> bool + Send + Sync + Clone + 'static> {
        let include = glob_set(&self.include)?;
        let exclude = glob_set(&self.exclude)?;
        let everything = self.include.is_empty();
        Ok(move |name: &str| (everything || include.is_match(name)) && !exclude.is_match(name))
    }
}

fn glob_set(patterns: &[String]) -> Result<globset::GlobSet> {
    let mut set = globset::GlobSetBuilder::new();
    for pattern in patterns {
        let glob = globset::GlobBuilder::new(pattern)
            .case_insensitive(true)
            .build()
            .with_context(|| format!("[protect] pattern {pattern:?} is not a glob"))?;
        set.add(glob);
    }
    Ok(set.build()?)
}
