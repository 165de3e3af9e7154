//! The pages of a site: modern ones as HTML that can be read offline, classic ones and all else in Site Pages
//! as the files that they are.
//!
//! ```text
//! Pages/
//!   Home.html          a modern page; its record has the whole canvas
//!   Old wiki.aspx      a classic page, byte for byte
//! ```
//!
//! The feed is the delta of the items of Site Pages (pages have none of their own); what changed is fetched
//! again. A page of a folder within Site Pages is named with its folder (`Templates - Offer.html`), for pages
//! can be made only at the top.
//!
//! A name is a page: what is there under the name of a page to be restored is the same page. Any `.html` file
//! becomes a page with one text; an `.aspx` file that is not out of a snapshot is refused, since nobody can
//! say what it is.
//!
//! What differs after a restore, because Graph has no way to set it: author, times, id, versions, comments and
//! likes, audiences, schedules, translations; that a page is the site's home page, or lies in a folder. Web
//! parts get other ids; one that Graph does not make (its list is short) becomes a text with its JSON. A
//! section of a layout that Graph does not take becomes one column. Another site's page shows that site's
//! pictures where the target has none of the same path; links, and pictures within a text, lead to where they
//! led. A page whose last version was not published stays a draft.

mod canvas;
mod capture;
mod files;
mod live;
mod pictures;
mod restore;
mod write;

use async_trait::async_trait;
use serde_json::Value;

use super::PAGES;
use crate::graph::{Client, GraphError};
use crate::tree::names::exact_name;
use crate::workload::drive::{Drive, DriveOptions, names};
use crate::workload::known::Known;
use crate::workload::mail::names::seconds;
use crate::workload::ongoing::Ongoing;
use crate::workload::{
    Account, AccountKind, Alive, Content, Described, EntryKind, FeedError, FeedId, ItemError,
    ItemKey, Journal, Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed, Workload,
};
use live::Live;

/// The pages of sites.
pub struct Pages {
    live: Live,
    keyer: Keyer,
    /// Classic pages are files.
    drive: Drive,
    ongoing: Ongoing,
    known: Known,
    /// One push at a time makes the hidden column.
    making: tokio::sync::Mutex<()>,
}

impl Pages {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer) -> Self {
        let options = DriveOptions {
            permissions: false,
            ..DriveOptions::default()
        };
        Self {
            drive: Drive::new(client.clone(), keyer.clone(), options),
            live: Live::new(client),
            keyer,
            ongoing: Ongoing::default(),
            known: Known::default(),
            making: tokio::sync::Mutex::default(),
        }
    }
}

const FEED: &str = "pages";

/// The record's property with the path of a page below Site Pages, as one name.
const NAME: &str = "tenantfsName";

/// How a modern page is called in the mount: `Home.aspx` is `Home.html`.
fn shown(name: &str) -> String {
    match stem(name, ".aspx") {
        Some(stem) => format!("{stem}.html"),
        None => name.to_owned(),
    }
}

/// The name without its ending, in whatever case that is.
fn stem<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(ending.len())?;
    let (stem, end) = name.split_at_checked(at)?;
    (end.eq_ignore_ascii_case(ending) && !stem.is_empty()).then_some(stem)
}

/// Unix seconds.
fn modified(record: &Value) -> i64 {
    seconds(&record["driveItem"]["fileSystemInfo"]["lastModifiedDateTime"])
        .or_else(|| seconds(&record["lastModifiedDateTime"]))
        .or_else(|| seconds(&record["listItem"]["lastModifiedDateTime"]))
        .unwrap_or_default()
}

#[async_trait]
impl Workload for Pages {
    fn name(&self) -> &'static str {
        PAGES
    }

    fn folder(&self) -> &'static str {
        "Pages"
    }

    fn of(&self) -> AccountKind {
        AccountKind::Site
    }

    async fn probe(&self, account: &Account) -> Result<Presence, GraphError> {
        let absent = || Presence::Absent {
            reason: "the site has no pages".into(),
        };
        match self.live.library(&account.id).await {
            Ok(Some(_)) => Ok(Presence::Present),
            Ok(None) => Ok(absent()),
            Err(e) if e.class.is_gone() => Ok(absent()),
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
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        self.delta(&account.id, cursor).await
    }

    fn sweep(&self, _feed: &FeedId, cursor: &str) -> Option<String> {
        capture::anew(cursor)
    }

    fn describe(&self, _kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        let name = record[NAME].as_str().unwrap_or_default();
        let name = match record["driveItem"].is_object() {
            true => name.to_owned(),
            false => shown(name),
        };
        Described {
            name: exact_name(&name, key),
            mtime: modified(record),
        }
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        stored["listItem"]["eTag"] != told["listItem"]["eTag"]
    }

    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        self.render(&account.id, record).await
    }

    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        self.look_up(&account.id, ids).await
    }

    fn name_for(&self, name: &str) -> String {
        names::fit(name)
    }

    async fn plan(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        self.plan_any(account, push).await
    }

    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        self.list_live(account, path).await
    }

    async fn make_folder(
        &self,
        _account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        Err(restore::no_folders(path))
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
        self.find_any(account, push).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pages_are_named_by_what_they_are() {
        for (name, seen) in [
            ("Home.aspx", "Home.html"),
            ("HOME.ASPX", "HOME.html"),
            (".aspx", ".aspx"),
            ("é.aspx", "é.html"),
            ("x.pdf", "x.pdf"),
            ("aspx", "aspx"),
        ] {
            assert_eq!(shown(name), seen);
        }
    }

    #[test]
    fn a_time_of_its_own_counts() {
        let listed = json!({ "listItem": { "lastModifiedDateTime": "1970-01-01T00:00:05Z" } });
        assert_eq!(modified(&listed), 5);
        let file = json!({ "listItem": { "lastModifiedDateTime": "1970-01-01T00:00:05Z" },
            "driveItem": { "fileSystemInfo": { "lastModifiedDateTime": "1970-01-01T00:00:02Z" } } });
        assert_eq!(modified(&file), 2);
        assert_eq!(modified(&json!({})), 0);
    }
}
