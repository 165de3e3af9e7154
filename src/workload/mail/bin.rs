//! Which folders are the bin: a message in Deleted Items, or below it, or outside what people see, was
//! deleted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::Mail;
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::{Account, Alive};

const FOLDER: &str = "/users/{user}/mailFolders/{folder}";
/// What people see.
const ROOT: &str = "msgfolderroot";
const DELETED: &str = "deleteditems";
/// Exchange allows 300.
const MAX_DEPTH: usize = 300;
/// How long it is believed where a folder is.
const FRESH: Duration = Duration::from_secs(30);

/// Folders that were asked for already, by user and id: whether what is in one was deleted.
#[derive(Default)]
pub(super) struct Bins(Mutex<HashMap<(String, String), (Instant, bool)>>);

impl Mail {
    /// Whether a message is in a folder that people see, other than the bin.
    pub(super) async fn lives_message(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<bool, GraphError> {
        let found = self.look_up(account, &[id.to_owned()]).await?;
        match found.into_iter().next() {
            Some(Alive::Here {
                parent: Some(folder),
                ..
            }) => Ok(!self.is_bin(account, &folder).await?),
            Some(Alive::Here { parent: None, .. }) => Ok(true),
            Some(Alive::Unknown(e)) => Err(GraphError::local(e.class, "GET message", e.reason)),
            Some(Alive::Gone) | None => Ok(false),
        }
    }

    async fn is_bin(&self, account: &Account, folder: &str) -> Result<bool, GraphError> {
        let key = (account.id.clone(), folder.to_owned());
        if let Some((at, known)) = self.bins.0.lock().get(&key)
            && at.elapsed() < FRESH
        {
            return Ok(*known);
        }
        let found = self.is_below_bin(account, folder).await?;
        let mut bins = self.bins.0.lock();
        if bins.len() >= 10_000 {
            bins.clear();
        }
        bins.insert(key, (Instant::now(), found));
        Ok(found)
    }

    async fn is_below_bin(&self, account: &Account, folder: &str) -> Result<bool, GraphError> {
        let id = |folder: Option<Value>| folder?["id"].as_str().map(str::to_owned);
        let root = id(self.folder(account, ROOT).await?);
        let bin = id(self.folder(account, DELETED).await?);
        let mut at = Some(folder.to_owned());
        for _ in 0..MAX_DEPTH {
            if at.is_none() || at == bin {
                return Ok(true);
            }
            if at == root {
                return Ok(false);
            }
            let here = self.folder(account, at.as_deref().unwrap_or_default());
            let above = here.await?;
            at = above.and_then(|f| f["parentFolderId"].as_str().map(str::to_owned));
        }
        Ok(true)
    }

    async fn folder(&self, account: &Account, id: &str) -> Result<Option<Value>, GraphError> {
        let call = Call::get(FOLDER, &[&account.id, id]).query("$select", "id,parentFolderId");
        match self.client.json(&Self::of(account, call)).await {
            Ok(folder) => Ok(Some(folder)),
            Err(e) if e.class == ErrorClass::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}
