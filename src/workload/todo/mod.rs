//! To Do: every task list and the tasks in it, as VTODOs with their steps, links and files.
//!
//! One delta feed for the lists and one per list; steps, links and the marker of what was restored come
//! with them. Files are asked for only of tasks that are new or changed. The list of flagged mails
//! mirrors mail, and is neither captured nor restored to.

mod attachments;
mod capture;
mod compose;
mod lists;
mod names;
mod restore;
mod task;

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

/// The To Do workload.
pub struct Todo {
    client: Client,
    keyer: Keyer,
    ongoing: Ongoing,
    paths: Paths,
    known: Known,
}

impl Todo {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer) -> Self {
        Self {
            client,
            keyer,
            ongoing: Ongoing::default(),
            paths: Paths::default(),
            known: Known::default(),
        }
    }

    fn scope(account: &Account) -> Scope {
        Scope::Mailbox(account.id.clone())
    }

    /// Counts a call against its mailbox.
    fn of(account: &Account, call: Call) -> Call {
        call.scope(Self::scope(account), 1)
    }
}

/// The feed of lists.
const LISTS: &str = "lists";
/// Feeds of tasks are this and the list's id.
const TASKS: &str = "tasks/";

#[async_trait]
impl Workload for Todo {
    fn name(&self) -> &'static str {
        "todo"
    }

    fn folder(&self) -> &'static str {
        "Tasks"
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
        let call = Call::get(lists::ALL, &[&account.id])
            .query("$top", "1")
            .bounds(1 << 20, Duration::from_secs(60));
        match self.client.json(&Self::of(account, call)).await {
            Ok(_) => Ok(Presence::Present),
            Err(e) if e.class.is_gone() => absent("no mailbox in Exchange Online"),
            Err(e) => Err(e),
        }
    }

    fn root_feed(&self) -> FeedId {
        FeedId(LISTS.to_owned())
    }

    async fn page(
        &self,
        account: &Account,
        feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        match feed.0.strip_prefix(TASKS) {
            Some(list) => self.tasks_page(account, list, cursor).await,
            None => self.lists_page(account, cursor).await,
        }
    }

    fn sweep(&self, _feed: &FeedId, cursor: &str) -> Option<String> {
        capture::anew(cursor)
    }

    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        names::describe(kind, key, record)
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        task::needs_content(stored, told)
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
        archived(from, record, "#microsoft.graph.todoTask")
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
        self.make_list(account, path).await
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
