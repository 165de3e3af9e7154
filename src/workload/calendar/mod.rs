//! Calendars: every calendar that a mailbox owns, each event as one `.ics` file plus Graph's record.
//!
//! A round lists ids and change keys of a calendar (a thousand events a request) and fetches what
//! changed: Graph v1.0 has no delta of events without a window. One that is not listed any more is
//! asked for before it counts as gone. A series is one item, with its exceptions and cancelled dates.
//!
//! Restoring never mails anyone: nobody is ever invited, and a meeting that Exchange would send
//! cancellations for is not removed.

mod book;
mod capture;
mod compose;
mod event;
mod names;
mod occurrences;
mod people;
mod restore;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::known::Known;
use super::ongoing::Ongoing;
use super::{
    Account, Alive, Content, Described, EntryKind, FeedError, FeedId, ItemError, ItemKey, Journal,
    Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed, Workload, archived, mailbox, once,
};
use crate::graph::{Call, Client, GraphError};

/// How calendars are captured.
#[derive(Clone, Debug)]
pub struct CalendarOptions {
    /// Events of one page of a listing; smaller pages are tried by themselves where needed.
    pub page_size: u32,
    /// Bytes of the attachments of one event.
    pub max_event: usize,
}

impl Default for CalendarOptions {
    fn default() -> Self {
        Self {
            page_size: 999,
            max_event: 150 << 20,
        }
    }
}

/// The calendar workload.
pub struct Calendar {
    client: Client,
    keyer: Keyer,
    ongoing: Ongoing,
    options: CalendarOptions,
    books: book::Books,
    known: Known,
}

impl Calendar {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer, options: CalendarOptions) -> Self {
        Self {
            client,
            keyer,
            ongoing: Ongoing::default(),
            options,
            books: book::Books::default(),
            known: Known::default(),
        }
    }

    fn of(account: &Account, call: Call) -> Call {
        mailbox::of(account, call)
    }
}

/// The feed of calendars and their groups.
const CALENDARS: &str = "calendars";
/// Feeds of events are this and the calendar's id.
const EVENTS: &str = "events/";

#[async_trait]
impl Workload for Calendar {
    fn name(&self) -> &'static str {
        "calendar"
    }

    fn folder(&self) -> &'static str {
        "Calendar"
    }

    async fn probe(&self, account: &Account) -> Result<Presence, GraphError> {
        let absent = |reason: &str| {
            Ok(Presence::Absent {
                reason: reason.to_owned(),
            })
        };
        if account.guest {
            return absent("a guest has no calendar");
        }
        let call = Call::get("/users/{user}/calendar", &[&account.id])
            .query("$select", "id")
            .bounds(1 << 20, Duration::from_secs(60));
        match self.client.json(&Self::of(account, call)).await {
            Ok(_) => Ok(Presence::Present),
            Err(e) if e.class.is_gone() => absent(if e.is_code("MailboxNotEnabledForRESTAPI") {
                "no mailbox in Exchange Online (no licence, on-premises, or inactive)"
            } else {
                "no calendar"
            }),
            Err(e) => Err(e),
        }
    }

    fn root_feed(&self) -> FeedId {
        FeedId(CALENDARS.to_owned())
    }

    async fn page(
        &self,
        account: &Account,
        feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        match feed.0.strip_prefix(EVENTS) {
            Some(calendar) => self.events_page(account, calendar, cursor).await,
            None => self.calendars_page(account).await,
        }
    }

    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        names::describe(kind, key, record)
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        event::needs_content(stored, told)
    }

    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        self.fetch_event(account, record).await
    }

    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        self.look_up(account, ids).await
    }

    fn adopt(&self, from: &str, record: &Value) -> Option<Value> {
        archived(from, record, "#microsoft.graph.event")
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
        self.make_calendar(account, path).await
    }

    async fn finish_folder(
        &self,
        account: &Account,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        self.set_color(account, folder, record).await?;
        Ok(Vec::new())
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
