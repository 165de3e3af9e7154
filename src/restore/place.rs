//! From the names in a target path to an account and a workload.
//!
//! Accounts are asked for once in a while, kept in memory, and found by user principal name without
//! regard to case. When Microsoft 365 cannot be asked, the last answer goes on to serve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::errno::{Code, RestoreError};
use super::target::TargetPath;
use crate::graph::{Client, GraphError};
use crate::workload::{Account, Workload};

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
}

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
    cached: Mutex<Option<(Instant, Arc<Vec<Arc<Account>>>)>>,
}

impl Places {
    /// Looks accounts up in `directory`, workloads in the table.
    pub fn new(directory: Arc<dyn Directory>, workloads: Vec<Arc<dyn Workload>>) -> Places {
        Places {
            directory,
            workloads,
            cached: Mutex::new(None),
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
        if let Some((at, accounts)) = &cached
            && at.elapsed() < age
        {
            return Ok(Arc::clone(accounts));
        }
        match self.directory.accounts().await {
            Ok(accounts) => {
                // A guest owns neither mailbox nor drive.
                let mut accounts: Vec<_> = accounts
                    .into_iter()
                    .filter(|a| !a.guest)
                    .map(Arc::new)
                    .collect();
                accounts.sort_by(|a, b| a.upn.cmp(&b.upn));
                let accounts = Arc::new(accounts);
                *self.cached.lock() = Some((Instant::now(), Arc::clone(&accounts)));
                Ok(accounts)
            }
            Err(e) => match cached {
                Some((_, accounts)) => {
                    tracing::warn!(reason = %e, "cannot ask for the accounts; the last list serves");
                    Ok(accounts)
                }
                None => Err(RestoreError::from(e).about("cannot list the accounts")),
            },
        }
    }

    /// The account of that name.
    pub async fn account(&self, name: &str) -> Result<Arc<Account>, RestoreError> {
        let find =
            |accounts: &[Arc<Account>]| accounts.iter().find(|a| same_name(&a.upn, name)).cloned();
        if let Some(account) = find(&self.accounts().await?) {
            return Ok(account);
        }
        let accounts = self.accounts_within(MIN_AGE).await?;
        find(&accounts).ok_or_else(|| {
            let mut names: Vec<_> = accounts
                .iter()
                .take(SHOWN)
                .map(|a| a.upn.as_str())
                .collect();
            if accounts.len() > SHOWN {
                names.push("...");
            }
            RestoreError::new(
                Code::NotFound,
                format!(
                    "there is no account {name:?} in this tenant; there are {}",
                    names.join(", ")
                ),
            )
        })
    }

    /// The account with that Graph id.
    pub async fn account_by_id(&self, id: &str) -> Result<Arc<Account>, RestoreError> {
        for age in [MAX_AGE, MIN_AGE] {
            if let Some(a) = self.accounts_within(age).await?.iter().find(|a| a.id == id) {
                return Ok(Arc::clone(a));
            }
        }
        Err(RestoreError::new(
            Code::NotFound,
            format!("the account with id {id} is not there any more"),
        ))
    }

    /// The workload whose folder has that name.
    pub fn workload(&self, folder: &str) -> Result<Arc<dyn Workload>, RestoreError> {
        self.workloads
            .iter()
            .find(|w| w.folder() == folder)
            .cloned()
            .ok_or_else(|| {
                let names: Vec<_> = self.workloads.iter().map(|w| w.folder()).collect();
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
                    "{target}/ holds accounts and services only: restore to ACCOUNT/Mail/... or ACCOUNT/OneDrive/..."
                ),
            ));
        };
        let account = self.account(account).await?;
        let workload = self.workload(folder)?;
        Ok(Place {
            account,
            workload,
            path: target.path().to_vec(),
        })
    }
}

/// User principal names are compared without regard to case.
fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}
