//! SharePoint lists: a folder for each, with the list's definition, each item as JSON, and the whole list
//! as one table.
//!
//! ```text
//! Lists/Assets/
//!   0007.k3f9a2mq7x.json     an item, by its number
//!   0007.k3f9a2mq7x.attachments/invoice.pdf
//!   items.csv                all of them, for a spreadsheet
//!   list.json                columns, content types
//! ```
//!
//! One feed tells which lists there are, and each list has a delta feed of its own. An item's record has
//! what it takes to bring it to another site: its columns, and the names behind its numbers.
//!
//! What differs after a restore, because Graph has no way to set it: number and history of an item; places,
//! images, and columns that Graph has no type for; managed metadata in a list that was made anew (such a
//! column can't be made). Views, validation, workflows and forms of a list are not in Graph at all. Author,
//! editor, times, hyperlinks, who alone may open an item, and attachments are given back through SharePoint's
//! own interface only, which takes a certificate ([`own`]).

mod attach;
mod attachments;
mod capture;
pub(super) mod columns;
mod csv;
mod details;
mod late;
pub(super) mod live;
mod make;
mod own;
mod references;
mod restore;
mod shown;
mod values;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

use super::LISTS;
use super::rest::item::Ways;
use super::rest::people::People;
use crate::graph::{Client, GraphError};
use crate::tree::names::{exact_name, item_name};
use crate::workload::drive::RestorePermissions;
use crate::workload::known::Known;
use crate::workload::mail::names::seconds;
use crate::workload::once;
use crate::workload::ongoing::Ongoing;
use crate::workload::{
    Account, AccountKind, Alive, Content, Described, Detail, EntryKind, FeedError, FeedId,
    ItemError, ItemKey, Journal, Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed, SINCE,
    Workload, id_in,
};
use live::Live;

/// What of a site's lists is captured.
#[derive(Clone, Debug, Default)]
pub struct ListsOptions {
    /// Lists that SharePoint hides.
    pub system: bool,
    /// When items and lists that only some had access to are opened to those alone again.
    pub restore_permissions: RestorePermissions,
}

/// The lists of sites.
pub struct Lists {
    live: Live,
    keyer: Keyer,
    system: bool,
    permissions: RestorePermissions,
    /// Who has which number in which site, and how sites write times.
    people: People,
    ways: Ways,
    ongoing: Ongoing,
    known: Known,
    /// One push at a time makes columns.
    making: tokio::sync::Mutex<()>,
    /// Items that look up what was not there yet.
    late: Mutex<Vec<late::Late>>,
    /// Attachments that are in memory at a time.
    large: tokio::sync::Semaphore,
    /// Lists that a sweep went through, and what it makes of their items; until their ordinary round.
    swept: Mutex<HashMap<String, String>>,
    /// Folders for attachments that were asked for and have nothing in them yet, by site.
    promised: Mutex<HashSet<(String, Vec<String>)>>,
}

/// Folders that are promised at a time.
const MAX_PROMISED: usize = 10_000;
/// Attachments of up to 250 MB in memory at a time.
const LARGE: usize = 2;

impl Lists {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer, options: ListsOptions) -> Self {
        Self {
            live: Live::new(client),
            keyer,
            system: options.system,
            permissions: options.restore_permissions,
            people: People::default(),
            ways: Ways::default(),
            ongoing: Ongoing::default(),
            known: Known::default(),
            making: tokio::sync::Mutex::default(),
            late: Mutex::default(),
            large: tokio::sync::Semaphore::new(LARGE),
            swept: Mutex::default(),
            promised: Mutex::default(),
        }
    }

    fn promise(&self, account: &Account, path: &[String]) {
        let mut promised = self.promised.lock();
        if promised.len() >= MAX_PROMISED {
            promised.clear();
        }
        promised.insert((account.id.clone(), path.to_vec()));
    }

    fn is_promised(&self, account: &Account, path: &[String]) -> bool {
        let key = (account.id.clone(), path.to_vec());
        self.promised.lock().contains(&key)
    }
}

const ROOT_FEED: &str = "lists";
const FEED: &str = "list:";

/// The file that defines a list.
const DEFINITION: &str = "list.json";
/// The file that shows a whole list.
const CSV: &str = "items.csv";

/// The name of an item's file: its number, which never changes.
fn file_name(number: u64, key: &ItemKey) -> String {
    item_name(&[&format!("{number:04}")], "json", key)
}

/// Behind the name of the folder with an item's attachments.
const ATTACHMENTS: &str = "attachments";

/// The name of that folder.
fn attachments_name(number: u64, key: &ItemKey) -> String {
    item_name(&[&format!("{number:04}")], ATTACHMENTS, key)
}

fn time(record: &Value, property: &str) -> i64 {
    seconds(&record[property]).unwrap_or_default()
}

#[async_trait]
impl Workload for Lists {
    fn name(&self) -> &'static str {
        LISTS
    }

    fn folder(&self) -> &'static str {
        "Lists"
    }

    fn of(&self) -> AccountKind {
        AccountKind::Site
    }

    async fn probe(&self, account: &Account) -> Result<Presence, GraphError> {
        super::has(&self.live.client, account, live::LISTS, "lists").await
    }

    fn root_feed(&self) -> FeedId {
        FeedId(ROOT_FEED.to_owned())
    }

    async fn page(
        &self,
        account: &Account,
        feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        match feed.0.strip_prefix(FEED) {
            Some(list) => self.list_page(account, list, cursor).await,
            None => self.root_page(&account.id, cursor).await,
        }
    }

    /// The root's feed lists all lists in each round.
    fn sweep(&self, feed: &FeedId, cursor: &str) -> Option<String> {
        feed.0.strip_prefix(FEED)?;
        capture::anew(cursor)
    }

    fn belongings(&self, id: &str) -> Option<String> {
        attachments::place(id)
            .is_none()
            .then(|| attachments::folder_of(id))
    }

    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        if let Some(described) = self.describe_attachment(key, record) {
            return described;
        }
        let text = |property: &str| record[property].as_str().unwrap_or_default();
        if kind == EntryKind::Folder {
            return Described {
                name: exact_name(text("displayName"), key),
                mtime: time(record, "createdDateTime"),
            };
        }
        match text("name") {
            name @ (DEFINITION | CSV) => Described {
                name: name.to_owned(),
                mtime: record[SINCE].as_i64().unwrap_or_default(),
            },
            _ => Described {
                name: file_name(text("id").parse().unwrap_or_default(), key),
                mtime: time(record, "lastModifiedDateTime"),
            },
        }
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        stored["eTag"] != told["eTag"]
    }

    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        self.render(account, record).await
    }

    fn needs_details(&self, stored: Option<&Value>, record: &Value) -> bool {
        self.lacks_details(stored, record)
    }

    async fn details(
        &self,
        account: &Account,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        self.add_details(account, items).await
    }

    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.look_up(account, ids).await
    }

    async fn plan(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        match push.name.as_str() {
            _ if push.folder.len() > 1 => self.plan_attachment(account, push).await,
            CSV => restore::check_table(push).map(|()| None),
            DEFINITION => Ok(None),
            _ => once::plan(self, account, push).await,
        }
    }

    async fn plan_folder(&self, account: &Account, path: &[String]) -> Result<(), PushError> {
        self.check_new(account, path).await
    }

    fn only_shows(&self, folder: &[String], name: &str) -> bool {
        folder.len() == 1 && name == CSV
    }

    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        self.list_live(account, path).await
    }

    async fn make_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        match path {
            [name] => self.make_list(account, name).await,
            path => self.make_attachments(account, path).await,
        }
    }

    async fn share_folder(
        &self,
        account: &Account,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        self.share_list(account, folder, record).await
    }

    /// Everything is in the list, and in those before it.
    async fn finish_folder(
        &self,
        account: &Account,
        _folder: &LiveEntry,
        _record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        self.make_up(account).await?;
        Ok(Vec::new())
    }

    async fn push(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        self.put(account, push, journal).await
    }

    async fn find_pushed(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        match push.name.as_str() {
            _ if push.folder.len() > 1 => self.find_attached(account, push).await,
            // Made again it makes what is missing, which is nothing then.
            DEFINITION | CSV => Ok(None),
            _ => once::find_pushed(self, account, push).await,
        }
    }
}

/// List and number of an item, from the collection's id.
fn item_of(record: &Value) -> Option<(String, u64)> {
    let (list, number) = id_in(record)?.split_once('/')?;
    Some((list.to_owned(), number.parse().ok()?))
}
