//! What captures: the identity that reads, the workloads, and one cycle after another.

use std::sync::Arc;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use tenantfs::graph::sites::collection_of;
use tenantfs::local::{LocalError, LocalState};
use tenantfs::repo::{Repository, check_tag};
use tenantfs::sync::{self, AccountFilter, CycleOutcome, Progress, Scope, SyncContext};

use crate::app;
use crate::config::Config;

/// What a cycle is asked for; empty: everything that the configuration protects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Only these accounts.
    pub accounts: Vec<String>,
    /// Only these workloads.
    pub workloads: Vec<String>,
    /// Tags for the snapshot, which is made even if nothing changed.
    pub tags: Vec<String>,
}

/// Runs cycles of one configuration.
pub struct Capture {
    config: Config,
    context: SyncContext,
}

impl Capture {
    /// Makes what a cycle needs. Nothing is sent yet.
    pub fn new(config: &Config, repository: &Repository) -> Result<Self> {
        Self::with_local(config, repository, open_local(config)?)
    }

    /// The same for a changed configuration, with the local state that is open already.
    pub fn with_local(
        config: &Config,
        repository: &Repository,
        local: Option<LocalState>,
    ) -> Result<Self> {
        let client = app::backup_client(config)?;
        let workloads = app::workloads(config, &client, repository);
        let options = sync::Options {
            accounts: config.protect.parallel_accounts,
            checkpoint: config.protect.checkpoint_seconds,
            sweep: config
                .protect
                .sweep
                .map(|every| i64::try_from(every.as_secs()).unwrap_or(i64::MAX)),
            ..sync::Options::default()
        };
        let directory = Arc::new(client);
        let context = SyncContext::new(repository.clone(), directory, workloads, local, options);
        Ok(Self {
            config: config.clone(),
            context,
        })
    }

    /// One cycle.
    pub async fn run(&self, asked: &Asked, progress: Arc<Progress>) -> Result<CycleOutcome> {
        let (accounts, workloads) = (&asked.accounts, &asked.workloads);
        for tag in &asked.tags {
            check_tag(tag)?;
        }
        let protected = &self.config.protect.workloads;
        if let Some(unknown) = workloads.iter().find(|name| !protected.contains(name)) {
            bail!(
                "{unknown:?} is not among the protected workloads: {}",
                protected.join(", ")
            );
        }
        let chosen = self.config.protect.accounts.matcher()?;
        let chosen_sites = self.config.protect.sites.matcher()?;
        let only: Vec<String> = accounts.iter().map(|name| name.to_lowercase()).collect();
        let walked = {
            let (chosen, only) = (chosen_sites.clone(), only.clone());
            move |site: &str| {
                let asked = |name: &String| {
                    collection_of(&name.replacen("sites/", "Sites/", 1))
                        == Some(&site.to_lowercase())
                };
                chosen(site) && (only.is_empty() || only.iter().any(asked))
            }
        };
        let filter: AccountFilter = Arc::new(move |account| {
            let chosen = match collection_of(&account.upn) {
                Some(site) => chosen_sites(site),
                None => chosen(&account.upn),
            };
            chosen && (only.is_empty() || only.contains(&account.upn.to_lowercase()))
        });
        let scope = Scope {
            accounts: Some(filter),
            sites: Some(Arc::new(walked)),
            workloads: (!workloads.is_empty()).then(|| workloads.clone()),
            tags: asked.tags.iter().cloned().collect(),
        };
        Ok(sync::run(&self.context, &scope, &progress).await?)
    }
}

/// What captures keep on this host to save requests. Another process may have it: then this one
/// asks a little more.
pub fn open_local(config: &Config) -> Result<Option<LocalState>> {
    match LocalState::open(&config.state_dir.join("sync")) {
        Ok(local) => Ok(Some(local)),
        Err(LocalError::Busy { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
