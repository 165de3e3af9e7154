//! From the names in a target path to an account and a workload.
//!
//! Accounts are asked for once in a while, kept in memory, and found by user principal name without
//! regard to case. When Microsoft 365 cannot be asked, the last answer goes on to serve.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::errno::{Code, RestoreError};
use super::target::TargetPath;
use crate::graph::sites::{SITES, SUBSITES, collection_of, collections};
use crate::graph::{Client, GraphError};
use crate::workload::{Account, AccountKind, Workload};

/// A list of accounts is believed this long.
const MAX_AGE: Duration = Duration::from_secs(600);
/// A name that is not on the list is asked for anew, but not more often than this.
const MIN_AGE: Duration = Duration::from_secs(30);
/// Names in a message.
const SHOWN: usize = 20;

/// Who knows the accounts of the tenant.
#[async_trait]
pub trait Directory: Send + Sync {
    /// All accounts that may be restored to.
    ///
    /// # Errors
    /// When it can't be known now.
    async fn accounts(&self) -> Result<Vec<Account>, GraphError>;

    /// All site collections.
    ///
    /// # Errors
    /// When it can't be known now.
    async fn sites(&self) -> Result<Vec<Account>, GraphError>;

    /// The subsites of a site, at any depth.
    ///
    /// # Errors
    /// When it can't be known now.
    async fn subsites(&self, of: &Account) -> Result<Vec<Account>, GraphError>;
}

#[async_trait]
impl Directory for Client {
    async fn accounts(&self) -> Result<Vec<Account>, GraphError> {
        let round = self.users(None).await?;
        Ok(round
            .users
            .iter()
            .filter_map(Account::from_record)
            .collect())
    }

    async fn sites(&self) -> Result<Vec<Account>, GraphError> {
        let round = Client::sites(self, None).await?;
        Ok(collections(&round.sites))
    }

    async fn subsites(&self, of: &Account) -> Result<Vec<Account>, GraphError> {
        Client::subsites(self, of).await
    }
}

/// An answer that is believed for a while.
type Cached = Option<(Instant, Arc<Vec<Arc<Account>>>)>;

/// An account's workload, with the path below its folder.
#[derive(Clone)]
pub struct Place {
    /// Whose.
    pub account: Arc<Account>,
    /// Which.
    pub workload: Arc<dyn Workload>,
    /// Below the workload's folder.
    pub path: Vec<String>,
}

/// Accounts and workloads by name.
pub struct Places {
    directory: Arc<dyn Directory>,
    workloads: Vec<Arc<dyn Workload>>,
    cached: Mutex<Cached>,
    sites: Mutex<Cached>,
    /// By the path of the collection.
    subsites: Mutex<HashMap<String, Cached>>,
}

impl Places {
    /// Looks accounts up in `directory`, workloads in the table.
    pub fn new(directory: Arc<dyn Directory>, workloads: Vec<Arc<dyn Workload>>) -> Places {
        Places {
            directory,
            workloads,
            cached: Mutex::new(None),
            sites: Mutex::new(None),
            subsites: Mutex::default(),
        }
    }

    /// The workloads.
    pub fn workloads(&self) -> &[Arc<dyn Workload>] {
        &self.workloads
    }

    /// All accounts, sorted by name.
    pub async fn accounts(&self) -> Result<Arc<Vec<Arc<Account>>>, RestoreError> {
        self.accounts_within(MAX_AGE).await
    }

    async fn accounts_within(&self, age: Duration) -> Result<Arc<Vec<Arc<Account>>>, RestoreError> {
        let cached = self.cached.lock().clone();
        let asked = self.directory.accounts();
        let accounts = remembered(cached, age, asked, "cannot list the accounts").await?;
        *self.cached.lock() = Some(accounts.clone());
        Ok(accounts.1)
    }

    /// All site collections, sorted by path.
    async fn sites_within(&self, age: Duration) -> Result<Arc<Vec<Arc<Account>>>, RestoreError> {
        let cached = self.sites.lock().clone();
        let asked = self.directory.sites();
        let sites = remembered(cached, age, asked, "cannot list the sites").await?;
        *self.sites.lock() = Some(sites.clone());
        Ok(sites.1)
    }

    /// All subsites of a collection, at any depth, sorted by path.
    async fn subsites_within(
        &self,
        of: &Account,
        age: Duration,
    ) -> Result<Arc<Vec<Arc<Account>>>, RestoreError> {
        let cached = self.subsites.lock().get(&of.upn).cloned().flatten();
        let asked = self.directory.subsites(of);
        let found = remembered(cached, age, asked, "cannot list the subsites").await?;
        let mut subsites = self.subsites.lock();
        subsites.insert(of.upn.clone(), Some(found.clone()));
        Ok(found.1)
    }

    /// The sites in a folder of sites: `Sites`, or `Subsites` of a site.
    pub async fn sites_in(&self, target: &TargetPath) -> Result<Vec<Arc<Account>>, RestoreError> {
        let Some(parent) = target.account() else {
            return Ok(self.sites_within(MAX_AGE).await?.to_vec());
        };
        let parent = self.account(&parent).await?;
        let all = self.subsites_of(&parent.upn, MAX_AGE).await?;
        let prefix = format!("{}/{SUBSITES}/", parent.upn);
        let direct = all.iter().filter(|site| {
            let rest = site.upn.strip_prefix(&prefix);
            rest.is_some_and(|name| !name.contains('/'))
        });
        Ok(direct.cloned().collect())
    }

    /// The subsites of the collection that a site is in.
    async fn subsites_of(
        &self,
        path: &str,
        age: Duration,
    ) -> Result<Arc<Vec<Arc<Account>>>, RestoreError> {
        let name = collection_of(path).unwrap_or_default();
        let collection = format!("{SITES}/{name}");
        let sites = self.sites_within(age).await?;
        match sites.iter().find(|s| same_name(&s.upn, &collection)) {
            Some(site) => self.subsites_within(site, age).await,
            None => Ok(Arc::default()),
        }
    }

    /// Where a name is looked for.
    async fn candidates(
        &self,
        name: &str,
        age: Duration,
    ) -> Result<Arc<Vec<Arc<Account>>>, RestoreError> {
        match (collection_of(name), name.matches('/').count()) {
            (None, _) => self.accounts_within(age).await,
            (Some(_), 1) => self.sites_within(age).await,
            (Some(_), _) => self.subsites_of(name, age).await,
        }
    }

    /// The account of that name.
    pub async fn account(&self, name: &str) -> Result<Arc<Account>, RestoreError> {
        let find =
            |accounts: &[Arc<Account>]| accounts.iter().find(|a| same_name(&a.upn, name)).cloned();
        if let Some(account) = find(&self.candidates(name, MAX_AGE).await?) {
            return Ok(account);
        }
        let accounts = self.candidates(name, MIN_AGE).await?;
        find(&accounts).ok_or_else(|| {
            let mut names: Vec<_> = accounts
                .iter()
                .take(SHOWN)
                .map(|a| a.upn.as_str())
                .collect();
            if accounts.len() > SHOWN {
                names.push("...");
            }
            let what = match collection_of(name) {
                Some(_) => "site",
                None => "account",
            };
            RestoreError::new(
                Code::NotFound,
                format!(
                    "there is no {what} {name:?} in this tenant; there are {}",
                    names.join(", ")
                ),
            )
        })
    }

    /// The account with that Graph id, which was called so.
    pub async fn account_by_id(&self, id: &str, name: &str) -> Result<Arc<Account>, RestoreError> {
        for age in [MAX_AGE, MIN_AGE] {
            let accounts = self.candidates(name, age).await?;
            if let Some(a) = accounts.iter().find(|a| a.id == id) {
                return Ok(Arc::clone(a));
            }
        }
        Err(RestoreError::new(
            Code::NotFound,
            format!("the account {name} with id {id} is not there any more"),
        ))
    }

    /// The workloads that accounts of this kind have.
    pub fn workloads_of(&self, kind: AccountKind) -> impl Iterator<Item = &Arc<dyn Workload>> {
        self.workloads.iter().filter(move |w| w.of() == kind)
    }

    /// The workload of such an account whose folder has that name.
    pub fn workload(
        &self,
        kind: AccountKind,
        folder: &str,
    ) -> Result<Arc<dyn Workload>, RestoreError> {
        self.workloads_of(kind)
            .find(|w| w.folder() == folder)
            .cloned()
            .ok_or_else(|| {
                let names: Vec<_> = self.workloads_of(kind).map(|w| w.folder()).collect();
                RestoreError::new(
                    Code::NotFound,
                    format!(
                        "nothing can be restored to {folder:?}; there are {}",
                        names.join(", ")
                    ),
                )
            })
    }

    /// The workload of that name (`mail`).
    pub fn workload_named(&self, name: &str) -> Option<Arc<dyn Workload>> {
        self.workloads.iter().find(|w| w.name() == name).cloned()
    }

    /// Account and workload of a target that names both.
    pub async fn resolve(&self, target: &TargetPath) -> Result<Place, RestoreError> {
        let (Some(account), Some(folder)) = (target.account(), target.workload()) else {
            return Err(RestoreError::new(
                Code::NotPermitted,
                format!(
                    "{target}/ holds accounts and services only: restore to ACCOUNT/Mail/..., ACCOUNT/OneDrive/... \
                     or Sites/SITE/Libraries/..."
                ),
            ));
        };
        let account = self.account(&account).await?;
        let workload = self.workload(account.kind, folder)?;
        Ok(Place {
            account,
            workload,
            path: target.path().to_vec(),
        })
    }
}

/// An answer that is not older than `age`, or a new one; the old one when there is none.
async fn remembered(
    cached: Cached,
    age: Duration,
    ask: impl Future<Output = Result<Vec<Account>, GraphError>>,
    what: &str,
) -> Result<(Instant, Arc<Vec<Arc<Account>>>), RestoreError> {
    if let Some((at, accounts)) = &cached
        && at.elapsed() < age
    {
        return Ok((*at, Arc::clone(accounts)));
    }
    match ask.await {
        Ok(accounts) => {
            // A guest owns neither mailbox nor drive.
            let accounts = accounts.into_iter().filter(|a| !a.guest).map(Arc::new);
            let mut accounts: Vec<_> = accounts.collect();
            accounts.sort_by(|a, b| a.upn.cmp(&b.upn));
            Ok((Instant::now(), Arc::new(accounts)))
        }
        Err(e) => match cached {
            Some(last) => {
                tracing::warn!(reason = %e, "{what}; the last list serves");
                Ok(last)
            }
            None => Err(RestoreError::from(e).about(what)),
        },
    }
}

/// User principal names are compared without regard to case.
fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}
