//! Contacts: all contact folders of a mailbox and every contact in them, as vCards with their photos.
//!
//! Per folder one delta feed, and one for the folders. A photo is in no delta and costs a request, so
//! it is asked for only when the contact itself changed (its changeKey moves with the photo), twenty
//! in a batch. Immutable ids: a move inside the mailbox is no new contact.

mod capture;
mod compose;
mod contact;
mod folders;
mod names;
mod paths;
mod photos;
mod restore;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::known::Known;
use super::mail::paths::Paths;
use super::ongoing::Ongoing;
use super::{
    Account, Alive, Content, Described, EntryKind, FeedError, FeedId, ItemError, ItemKey, Journal,
    Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed, Workload, archived, once,
};
use crate::graph::{Call, Client, GraphError, Scope};

/// What of the contacts is captured.
#[derive(Clone, Debug)]
pub struct ContactsOptions {
    /// Photos; each costs a request when its contact is new or changed.
    pub photos: bool,
    /// The folders that Exchange fills by itself too (suggested recipients, contacts of other
    /// services).
    pub hidden: bool,
    /// Contacts a delta page has at most.
    pub page_size: u32,
}

impl Default for ContactsOptions {
    fn default() -> Self {
        Self {
            photos: true,
            hidden: false,
            page_size: 500,
        }
    }
}

/// The contacts workload.
pub struct Contacts {
    client: Client,
    keyer: Keyer,
    ongoing: Ongoing,
    options: ContactsOptions,
    paths: Paths,
    known: Known,
    photos: photos::Photos,
}

impl Contacts {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer, options: ContactsOptions) -> Self {
        Self {
            client,
            keyer,
            ongoing: Ongoing::default(),
            options,
            paths: Paths::default(),
            known: Known::default(),
            photos: photos::Photos::default(),
        }
    }

    fn scope(account: &Account) -> Scope {
        Scope::Mailbox(account.id.clone())
    }

    /// Counts a call against its mailbox and asks for immutable ids.
    fn of(account: &Account, call: Call) -> Call {
        call.scope(Self::scope(account), 1).prefer(IMMUTABLE)
    }
}

/// Ids that survive moves. Must be on every request, also on links.
const IMMUTABLE: &str = "IdType=\"ImmutableId\"";

/// The feed of folders.
const FOLDERS: &str = "folders";
/// Feeds of contacts are this and the folder's id.
const CONTACTS: &str = "contacts/";

/// The default folder, by the alias that works in every language; it is in no list of folders.
const DEFAULT: &str = "/users/{user}/contactFolders/contacts";

#[async_trait]
impl Workload for Contacts {
    fn name(&self) -> &'static str {
        "contacts"
    }

    fn folder(&self) -> &'static str {
        "Contacts"
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
        let call = Call::get(DEFAULT, &[&account.id])
            .query("$select", "id")
            .bounds(1 << 20, Duration::from_secs(60));
        match self.client.json(&Self::of(account, call)).await {
            Ok(_) => Ok(Presence::Present),
            Err(e) if e.class.is_gone() => absent("no mailbox in Exchange Online"),
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
        match feed.0.strip_prefix(CONTACTS) {
            Some(folder) => self.contacts_page(account, folder, cursor).await,
            None => self.folders_page(account, cursor).await,
        }
    }

    fn sweep(&self, feed: &FeedId, cursor: &str) -> Option<String> {
        match feed.0.strip_prefix(CONTACTS) {
            Some(_) => capture::anew(cursor),
            None => folders::anew(cursor),
        }
    }

    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        names::describe(kind, key, record)
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        contact::needs_content(stored, told)
    }

    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        self.render(account, record).await
    }

    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        self.look_up(account, ids).await
    }

    fn adopt(&self, from: &str, record: &Value) -> Option<Value> {
        archived(from, record, "#microsoft.graph.contact")
    }

    async fn plan(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        once::plan(self, account, push).await
    }

    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        self.list_live(account, path).await
    }

    async fn make_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        self.make_contact_folder(account, path).await
    }

    async fn push(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        once::push(self, account, push, journal).await
    }

    async fn find_pushed(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        once::find_pushed(self, account, push).await
    }
}
