//! Mailbox settings: categories, inbox rules, regional settings, automatic replies, the senders of the
//! focused inbox. Each kind is one JSON file.
//!
//! Nothing of this has a delta: one batch of four requests reads all of it, and a file is new only when
//! what it says changed. Restoring merges: what is missing is made, what is there stays, except below
//! `@overwrite`. No restore switches automatic replies or forwarding on.

mod capture;
mod files;
mod restore;
mod rules;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::mail::{Mail, MailOptions};
use super::{
    Account, Alive, Content, Described, EntryKind, FeedError, FeedId, ItemError, ItemKey, Journal,
    Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed, SINCE, Workload,
};
use crate::graph::{Call, Client, GraphError, Scope};
use crate::tree::names::exact_name;

/// The settings workload.
pub struct Settings {
    client: Client,
    /// Finds the folders that rules move mail to.
    mail: Mail,
}

impl Settings {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer) -> Self {
        let mail = Mail::new(client.clone(), keyer, MailOptions::default());
        Self { client, mail }
    }

    fn scope(account: &Account) -> Scope {
        Scope::Mailbox(account.id.clone())
    }

    /// Counts a call against its mailbox.
    fn of(account: &Account, call: Call) -> Call {
        call.scope(Self::scope(account), 1)
    }
}

const FEED: &str = "settings";

fn now() -> i64 {
    Timestamp::now().as_second()
}

#[async_trait]
impl Workload for Settings {
    fn name(&self) -> &'static str {
        "settings"
    }

    fn folder(&self) -> &'static str {
        "Settings"
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
        let call = Call::get(files::SETTINGS, &[&account.id]);
        match self.client.json(&Self::of(account, call)).await {
            Ok(_) => Ok(Presence::Present),
            Err(e) if e.class.is_gone() => absent("no mailbox in Exchange Online"),
            Err(e) => Err(e),
        }
    }

    fn root_feed(&self) -> FeedId {
        FeedId(FEED.to_owned())
    }

    async fn page(
        &self,
        account: &Account,
        _feed: &FeedId,
        _cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        self.all_page(account).await
    }

    fn describe(&self, _kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        Described {
            name: exact_name(record["name"].as_str().unwrap_or_default(), key),
            mtime: record[SINCE].as_i64().unwrap_or_default(),
        }
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        stored["value"] != told["value"]
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

    async fn plan(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        self.plan_settings(account, push).await
    }

    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        self.list_live(account, path).await
    }

    async fn make_folder(
        &self,
        _account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        Err(PushError::Invalid(format!(
            "{}: there are no folders below Settings",
            path.join("/")
        )))
    }

    async fn push(
        &self,
        account: &Account,
        push: &Push,
        _journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        self.push_settings(account, push).await
    }

    /// A merge that is repeated finds what it made and does nothing, so there is nothing to find out.
    async fn find_pushed(
        &self,
        _account: &Account,
        _push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        Ok(None)
    }
}
