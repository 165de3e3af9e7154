//! What tenantfs protects, one module per kind of thing, all behind one trait.
//!
//! A workload discovers the collections of an account, turns delta pages into [`Change`]s, says
//! how an item is named, brings its content, and (the other half) puts an item back. It speaks
//! through [`crate::graph`] only and stores nothing: cursors and records belong to the caller.
//!
//! Invariants:
//! - A cursor returned by [`Workload::page`] is opaque, self-contained and never ahead of the
//!   changes returned with it: whoever stores it with those changes loses nothing in a crash.
//! - One bad item is [`Change::Skipped`] or an [`ItemError`]; it never fails its folder.
//! - Nothing here sends mail or invitations, and nothing deletes a live item, except the one that
//!   an overwrite has just replaced.

pub mod archive;
mod attachments;
pub mod calendar;
mod change;
pub mod contacts;
pub mod drive;
mod exchange;
mod item;
mod known;
pub mod mail;
mod mailbox;
mod marker;
mod once;
mod ongoing;
mod push;
pub mod settings;
pub mod sites;
pub mod todo;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use change::ID;
pub use change::{Alive, Change, Cursor, FeedError, FeedId, Page, id_in, merge};
pub use item::{
    Batch, Content, Described, Detail, EntryKind, Exported, ItemError, Presence, SINCE, Version,
    View,
};
pub(crate) use known::believed;
pub use marker::{MARKER_ID, Marker, expand_marker};
pub use push::{Journal, LiveEntry, NoJournal, Original, Policy, Push, PushError, Pushed, Source};

use crate::graph::GraphError;
pub use crate::graph::users::{Account, AccountKind};
pub use crate::tree::ItemKey;

/// Turns a Graph id into an [`ItemKey`]. The hash is keyed by the repository, which workloads do
/// not know; they need it to name live items as the mount names captured ones.
pub type Keyer = Arc<dyn Fn(&str) -> ItemKey + Send + Sync>;

/// What an archive holds as an item of a kind (`#microsoft.graph.event`), as a record of that kind.
fn archived(from: &str, record: &Value, kind: &str) -> Option<Value> {
    let item = &record["tenantfsItem"];
    if from != "archive" || item["@odata.type"] != kind {
        return None;
    }
    let mut item = item.clone();
    item["id"] = record["id"].clone();
    Some(item)
}

/// One kind of thing that is protected.
#[async_trait]
pub trait Workload: Send + Sync {
    /// As the configuration names it (`mail`).
    fn name(&self) -> &'static str;

    /// As the mount names its folder (`Mail`).
    fn folder(&self) -> &'static str;

    /// Which accounts have it.
    fn of(&self) -> AccountKind {
        AccountKind::User
    }

    // Capture.

    /// Whether the feed of a folder tells all that is in it at any depth, folders too (a drive). Else it
    /// tells the items directly in it (a mail folder).
    fn feeds_tell_trees(&self) -> bool {
        false
    }

    /// Does this account have it? Costs one request; remember an `Absent` for a day.
    ///
    /// # Errors
    /// `Denied` when the account is fenced off from this application (report it as uncovered).
    async fn probe(&self, account: &Account) -> Result<Presence, GraphError>;

    /// The feed to begin with; others are told by [`Change::Folder`].
    fn root_feed(&self) -> FeedId;

    /// The next page of a feed. `None` as a cursor begins with a full enumeration.
    ///
    /// # Errors
    /// See [`FeedError`].
    async fn page(
        &self,
        account: &Account,
        feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError>;

    /// The cursor that enumerates a feed anew which stands at `cursor`, to make sure that nothing
    /// was missed. `None`: its next round lists everything anyway. Pure.
    fn sweep(&self, _feed: &FeedId, _cursor: &str) -> Option<String> {
        None
    }

    /// Name and time of an item or folder. Pure; depends only on facts that do not change, for
    /// mail.
    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described;

    /// Must the content be fetched again, given the stored record and the one told now? Pure.
    fn needs_content(&self, stored: &Value, told: &Value) -> bool;

    /// Brings an item's content, and may complete its record.
    ///
    /// # Errors
    /// See [`ItemError`]; `NotFound` means it vanished between the listing and now.
    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError>;

    /// How many older versions are kept of an item whose content has changed, or, `first`, is captured
    /// for the first time. 0: the service is not asked for any.
    fn keeps_versions(&self, _first: bool) -> usize {
        0
    }

    /// The older versions of an item, newest first, at most so many; not the current one.
    ///
    /// # Errors
    /// See [`ItemError`]; `NotFound` means that the item vanished meanwhile.
    async fn versions(
        &self,
        _account: &Account,
        _record: &Value,
        _at_most: usize,
    ) -> Result<Vec<Version>, ItemError> {
        Ok(Vec::new())
    }

    /// Brings the content of an older version of an item.
    ///
    /// # Errors
    /// See [`ItemError`]; `NotFound` means that the service has dropped it meanwhile.
    async fn fetch_version(
        &self,
        _account: &Account,
        _record: &Value,
        _version: &Version,
    ) -> Result<Content, ItemError> {
        Ok(Content::None)
    }

    /// How many items [`Workload::fetch_many`] brings with one request; `None`: each has its own.
    fn batch(&self) -> Option<Batch> {
        None
    }

    /// Bytes that an item's content will take, roughly: for making batches.
    fn content_size(&self, _record: &Value) -> u64 {
        0
    }

    /// As [`Workload::fetch`], for a batch. The answers come in the order of the records.
    async fn fetch_many(
        &self,
        account: &Account,
        records: &mut [Value],
    ) -> Vec<Result<Content, ItemError>> {
        let mut fetched = Vec::with_capacity(records.len());
        for record in records {
            fetched.push(self.fetch(account, record).await);
        }
        fetched
    }

    /// Whether something of an item or folder is still to be asked for that is dear and may wait
    /// (permissions), given the stored record and the one that takes its place. Pure.
    fn needs_details(&self, _stored: Option<&Value>, _record: &Value) -> bool {
        false
    }

    /// Completes records with that. The answers come in the order of the records.
    ///
    /// # Errors
    /// When nothing could be asked at all.
    async fn details(
        &self,
        _account: &Account,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        Ok(items.iter().map(|_| Ok(())).collect())
    }

    /// What became of these ids? The answers come in the order of the ids. Also how an item on the
    /// list of failed ones is found again.
    ///
    /// # Errors
    /// When nothing could be asked at all.
    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError>;

    /// The folder with what belongs to an item, by their ids: it goes with the item. Pure.
    fn belongings(&self, _id: &str) -> Option<String> {
        None
    }

    // Restore.

    /// The record of an item of another workload (by [`Workload::name`]) as if it were of this one;
    /// `None`: here it is only a file.
    fn adopt(&self, _from: &str, _record: &Value) -> Option<Value> {
        None
    }

    /// The name under which a file that shows an item of another workload is taken: it was made by the
    /// mount, and a service may not take it as it is.
    fn name_for(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Whether an item is where its owner would look for it: anywhere but among what was deleted.
    ///
    /// # Errors
    /// When it can't be known now.
    async fn lives(&self, account: &Account, id: &str) -> Result<bool, GraphError> {
        let found = self.verify_removed(account, &[id.to_owned()]).await?;
        Ok(matches!(found.first(), Some(Alive::Here { .. })))
    }

    /// What [`Workload::push`] would meet: the id of the item that is the same and is there already,
    /// where that can be told. Nothing is made; a folder that is not there yet is no error.
    ///
    /// # Errors
    /// What the push would be refused for before anything is sent.
    async fn plan(&self, _account: &Account, _push: &Push) -> Result<Option<String>, PushError> {
        Ok(None)
    }

    /// What [`Workload::make_folder`] would be refused for before anything is sent.
    ///
    /// # Errors
    /// That, or Graph's.
    async fn plan_folder(&self, _account: &Account, _path: &[String]) -> Result<(), PushError> {
        Ok(())
    }

    /// Whether a file of this name in this folder only shows what the files beside it hold, so that there
    /// is nothing to put back.
    fn only_shows(&self, _folder: &[String], _name: &str) -> bool {
        false
    }

    /// Whether [`Workload::plan`] reads the item's bytes.
    fn plans_by_content(&self) -> bool {
        true
    }

    /// What is in a folder now. An empty path is the collection's root.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError>;

    /// Makes a folder whose parent exists. A folder that is there already is returned as it is.
    ///
    /// # Errors
    /// See [`PushError`].
    async fn make_folder(&self, account: &Account, path: &[String])
    -> Result<LiveEntry, PushError>;

    /// Gives a folder that was made for a restore the access that its original had. Called before anything
    /// is in it, so that nothing in it is ever open to more people than it was.
    /// Returns what could not be given, for the log.
    ///
    /// # Errors
    /// Graph's. The folder is there all the same.
    async fn share_folder(
        &self,
        _account: &Account,
        _folder: &LiveEntry,
        _record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        Ok(Vec::new())
    }

    /// Gives a folder that was made for a restore what else the record of the original says of it beyond
    /// its name. Called when everything is in it: some of that changes with each item.
    /// Returns what could not be given, for the log.
    ///
    /// # Errors
    /// Graph's. The folder is there all the same.
    async fn finish_folder(
        &self,
        _account: &Account,
        _folder: &LiveEntry,
        _record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        Ok(Vec::new())
    }

    /// Puts an item there, and returns when Microsoft 365 has confirmed all of it.
    ///
    /// # Errors
    /// See [`PushError`]. After any error or crash the same push may be repeated: call
    /// [`Workload::find_pushed`] first.
    async fn push(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError>;

    /// Did this push arrive, completely? A half-made item is not; `push` completes it.
    ///
    /// # Errors
    /// When it can't be known now.
    async fn find_pushed(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError>;
}
