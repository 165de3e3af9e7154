//! Mail: all folders of a mailbox and every message in them, as the MIME that Exchange gives plus
//! Graph's record.
//!
//! Immutable ids everywhere: a move inside the mailbox is no new item. Per folder one delta feed;
//! per new message one `$value`; nothing else in the usual case. Flags, categories and read state
//! are in the delta itself. By the other [`Route`] messages are exported twenty with one request, and
//! shown as the mail that is made of the export.

mod attached;
mod bin;
pub(in crate::workload) mod capture;
mod compose;
pub(in crate::workload) mod cursor;
mod exact;
mod folders;
mod message;
pub(in crate::workload) mod names;
pub(in crate::workload) mod paths;
mod rebuild;
mod restore;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::exchange::{self, Exchange};
use super::known::Known;
use super::ongoing::Ongoing;
use super::{
    Account, Alive, Batch, Content, Described, EntryKind, FeedError, FeedId, ItemError, ItemKey,
    Journal, Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed, Workload, archived,
    mailbox, once,
};
use crate::graph::{Call, Client, GraphError, Scope};

pub(super) use names::display_name;

/// How the content of messages is brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// One request each: the MIME that Exchange makes.
    #[default]
    Mime,
    /// One request for twenty: exported, and restored exactly from that.
    Export,
}

/// What of a mailbox is captured.
#[derive(Clone, Debug)]
pub struct MailOptions {
    /// How mail is brought.
    pub route: Route,
    /// Hidden folders too.
    pub hidden: bool,
    /// The Recoverable Items (what was deleted from Deleted Items, versions, holds).
    pub recoverable_items: bool,
    /// Messages a delta page has at most; smaller pages are tried by themselves where needed.
    pub page_size: u32,
    /// Bytes of the largest mail that is captured.
    pub max_mail: usize,
}

impl Default for MailOptions {
    fn default() -> Self {
        Self {
            route: Route::Mime,
            hidden: true,
            recoverable_items: false,
            page_size: 1000,
            max_mail: 256 << 20,
        }
    }
}

/// The mail workload.
pub struct Mail {
    client: Client,
    keyer: Keyer,
    ongoing: Ongoing,
    options: MailOptions,
    paths: paths::Paths,
    known: Known,
    exchange: Exchange,
    bins: bin::Bins,
}

impl Mail {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer, options: MailOptions) -> Self {
        Self {
            exchange: Exchange::new(client.clone(), false),
            client,
            keyer,
            ongoing: Ongoing::default(),
            options,
            paths: paths::Paths::default(),
            known: Known::default(),
            bins: bin::Bins::default(),
        }
    }

    fn scope(account: &Account) -> Scope {
        mailbox::scope(account)
    }

    fn of(account: &Account, call: Call) -> Call {
        mailbox::of(account, call)
    }
}

/// The feed of folders.
const FOLDERS: &str = "folders";
/// Feeds of messages are this and the folder's id.
const MESSAGES: &str = "messages/";

#[async_trait]
impl Workload for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn folder(&self) -> &'static str {
        "Mail"
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
        let call = Call::get("/users/{user}/mailFolders/inbox", &[&account.id])
            .query("$select", "id")
            .bounds(1 << 20, Duration::from_secs(60));
        match self.client.json(&Self::of(account, call)).await {
            Ok(_) => Ok(Presence::Present),
            Err(e) if e.class.is_gone() => absent(if e.is_code("MailboxNotEnabledForRESTAPI") {
                "no mailbox in Exchange Online (no licence, on-premises, or inactive)"
            } else {
                "no mailbox"
            }),
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
        match feed.0.strip_prefix(MESSAGES) {
            Some(folder) => self.messages_page(account, folder, cursor).await,
            None => self.folders_page(account, cursor).await,
        }
    }

    fn sweep(&self, feed: &FeedId, cursor: &str) -> Option<String> {
        match feed.0.strip_prefix(MESSAGES) {
            Some(_) => cursor::MessageCursor::anew(cursor),
            None => cursor::FolderCursor::anew(cursor),
        }
    }

    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        names::describe(kind, key, record)
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        message::needs_content(stored, told)
    }

    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        match self.options.route {
            Route::Mime => self.fetch_mime(account, record).await,
            Route::Export => exchange::single(
                self.fetch_exported(account, std::slice::from_mut(record))
                    .await,
            ),
        }
    }

    fn batch(&self) -> Option<Batch> {
        match self.options.route {
            Route::Mime => None,
            Route::Export => Some(exchange::BATCH),
        }
    }

    fn content_size(&self, record: &Value) -> u64 {
        record[message::SIZE].as_u64().unwrap_or_default()
    }

    async fn fetch_many(
        &self,
        account: &Account,
        records: &mut [Value],
    ) -> Vec<Result<Content, ItemError>> {
        self.fetch_exported(account, records).await
    }

    fn adopt(&self, from: &str, record: &Value) -> Option<Value> {
        archived(from, record, "#microsoft.graph.message")
    }

    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        self.look_up(account, ids).await
    }

    async fn lives(&self, account: &Account, id: &str) -> Result<bool, GraphError> {
        self.lives_message(account, id).await
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
        self.make_mail_folder(account, path).await
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
