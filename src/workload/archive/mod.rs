//! In-place archives: mailboxes that only the import/export API reaches. Every item, whatever its
//! class, as the stream that restores it exactly, and as the mail, appointment, contact or note that
//! the stream holds.
//!
//! A stream that can't be read is kept and shown as it is (`.fts`): it restores all the same.

mod folders;
mod items;
mod names;
mod paths;
mod restore;

use std::collections::HashMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

use super::exchange::{self, Exchange, Place};
use super::ongoing::Ongoing;
use super::{
    Account, Alive, Batch, Content, Described, EntryKind, FeedError, FeedId, ItemError, ItemKey,
    Journal, Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed, Workload,
};
use crate::graph::{Client, ErrorClass, GraphError};

/// The archive workload.
pub struct Archive {
    client: Client,
    exchange: Exchange,
    keyer: Keyer,
    ongoing: Ongoing,
    /// By user and folder: in which mailbox a folder is, as the last walk told.
    places: Mutex<HashMap<String, HashMap<String, Place>>>,
    listed: restore::Listed,
}

/// The feed of folders.
const FOLDERS: &str = "folders";
/// Feeds of items are this and the folder's id.
const ITEMS: &str = "items/";

/// Users whose folders are remembered.
const MAX_USERS: usize = 1_000;

impl Archive {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer) -> Self {
        Self {
            exchange: Exchange::new(client.clone(), true),
            client,
            keyer,
            ongoing: Ongoing::default(),
            places: Mutex::default(),
            listed: restore::Listed::default(),
        }
    }

    /// The archive of a user.
    async fn place(&self, account: &Account) -> Result<Place, GraphError> {
        let none = || {
            let what = format!("{} has no archive", account.upn);
            GraphError::local(ErrorClass::NotFound, "archive", what)
        };
        self.exchange.archive(account).await?.ok_or_else(none)
    }

    /// The mailbox that a folder is in.
    async fn place_at(&self, account: &Account, folder: &str) -> Result<Place, GraphError> {
        match self.known_place(account, folder) {
            Some(place) => Ok(place),
            None => self.place(account).await,
        }
    }

    fn known_place(&self, account: &Account, folder: &str) -> Option<Place> {
        let places = self.places.lock();
        places.get(&account.id)?.get(folder).cloned()
    }

    fn remember(&self, account: &Account, folder: &str, place: &Place) {
        let mut places = self.places.lock();
        if places.len() >= MAX_USERS && !places.contains_key(&account.id) {
            places.clear();
        }
        let folders = places.entry(account.id.clone()).or_default();
        folders.insert(folder.to_owned(), place.clone());
    }

    /// All folders with their mailboxes; walked if that was not done yet.
    async fn known_folders(&self, account: &Account) -> Result<Vec<(String, Place)>, GraphError> {
        let known = self.places.lock().contains_key(&account.id);
        if !known && let Err(FeedError::Failed(e)) = self.folders_page(account).await {
            return Err(e);
        }
        let places = self.places.lock();
        let folders = places.get(&account.id).into_iter().flatten();
        Ok(folders
            .map(|(id, place)| (id.clone(), place.clone()))
            .collect())
    }
}

#[async_trait]
impl Workload for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn folder(&self) -> &'static str {
        "Archive"
    }

    async fn probe(&self, account: &Account) -> Result<Presence, GraphError> {
        let absent = |reason: &str| {
            Ok(Presence::Absent {
                reason: reason.to_owned(),
            })
        };
        if account.guest {
            return absent("a guest has no mailbox");
        }
        match self.exchange.ids(account).await {
            Ok(ids) if ids.archive.is_some() => Ok(Presence::Present),
            Ok(_) => absent("no archive mailbox"),
            // No mailbox at all, or a cloud without this API.
            Err(e) if e.class.is_gone() => absent("no mailbox"),
            Err(e) if e.class == ErrorClass::Unsupported => {
                absent("this cloud does not tell of archives")
            }
            Err(e) => Err(e),
        }
    }

    fn root_feed(&self) -> FeedId {
        FeedId(FOLDERS.to_owned())
    }

    async fn page(
        &self,
        account: &Account,
        feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        match feed.0.strip_prefix(ITEMS) {
            Some(folder) => self.items_page(account, folder, cursor).await,
            None => self.folders_page(account).await,
        }
    }

    fn sweep(&self, feed: &FeedId, cursor: &str) -> Option<String> {
        // Folders are walked in each round.
        feed.0.strip_prefix(ITEMS)?;
        items::ItemCursor::anew(cursor)
    }

    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        names::describe(kind, key, record)
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        // An item that is told without its version is not known to have changed.
        told.get("changeKey")
            .is_some_and(|key| stored.get("changeKey") != Some(key))
    }

    fn batch(&self) -> Option<Batch> {
        Some(exchange::BATCH)
    }

    fn content_size(&self, record: &Value) -> u64 {
        record["size"].as_u64().unwrap_or_default()
    }

    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        exchange::single(self.export(account, std::slice::from_mut(record)).await)
    }

    async fn fetch_many(
        &self,
        account: &Account,
        records: &mut [Value],
    ) -> Vec<Result<Content, ItemError>> {
        self.export(account, records).await
    }

    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        self.look_up(account, ids).await
    }

    fn adopt(&self, from: &str, record: &Value) -> Option<Value> {
        // What was exported from a primary mailbox goes in by its stream; the rest by its file.
        (from == "mail").then(|| record.clone())
    }

    async fn plan(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        self.plan_item(account, push).await
    }

    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        self.list_live(account, path).await
    }

    async fn make_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        self.make_archive_folder(account, path).await
    }

    async fn push(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        self.push_item(account, push, journal).await
    }

    async fn find_pushed(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        self.find_pushed_item(account, push).await
    }
}
