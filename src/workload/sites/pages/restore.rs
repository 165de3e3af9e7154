//! Puts pages into sites.
//!
//! Invariants: a page is made as a draft under a name that only this push has, which is its marker until the
//! hidden column [`MARKER`] is set in the step that gives it its own name; so nobody sees half a page, and a
//! crash at any moment leads to one. Overwriting writes a new version of the page that is there, which keeps
//! its id and its history. What can't be made is named.

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::super::lists::columns::MARKER;
use super::canvas::{self, Body};
use super::live::{LivePage, site_of};
use super::{NAME, Pages, shown, stem};
use crate::format::html;
use crate::graph::{Call, Client, GraphError, Scope};
use crate::tree::names::exact_name;
use crate::workload::drive::names;
use crate::workload::known::{Fact, Known};
use crate::workload::once::{self, Made, Once, Origin};
use crate::workload::ongoing::Ongoing;
use crate::workload::sites::MANY;
use crate::workload::{
    Account, Journal, Keyer, LiveEntry, Marker, Policy, Push, PushError, Pushed, Source,
};

pub(super) const PAGES: &str = "/sites/{site}/pages";
const PAGE: &str = "/sites/{site}/pages/{page}/microsoft.graph.sitePage";
const ITEM: &str = "/sites/{site}/lists/{list}/items/{item}";
/// Bytes of the largest HTML that becomes a page.
const MAX_FILE: u64 = 4 << 20;

/// A page ready to be put somewhere.
pub(in crate::workload) struct Composed {
    pub(super) marker: Marker,
    /// `name`: what the page's file will be called.
    item: Value,
    pub(super) body: Body,
    /// The site that it was captured from, if that is known.
    pub(super) from: Option<Url>,
    keep_both: bool,
}

impl Composed {
    pub(super) fn name(&self) -> &str {
        self.item["name"].as_str().unwrap_or_default()
    }
}

impl once::Composed for Composed {
    fn marker(&self) -> &Marker {
        &self.marker
    }

    fn item(&self) -> &Value {
        &self.item
    }

    fn notes(&self) -> &[String] {
        &self.body.notes
    }
}

/// What a push puts into Site Pages.
enum Way {
    Page,
    /// With the push as a drive takes it.
    File(Box<Push>),
}

fn way(push: &Push) -> Result<Way, PushError> {
    if !push.folder.is_empty() {
        return Err(no_folders(&push.folder));
    }
    let Source::Record { record, key } = &push.source else {
        return match stem(&push.name, ".html").or(stem(&push.name, ".htm")) {
            Some(_) => Ok(Way::Page),
            None => Err(PushError::Invalid(format!(
                "{}: of files that are not out of a snapshot only .html becomes a page",
                push.name
            ))),
        };
    };
    if !record["driveItem"].is_object() {
        return Ok(Way::Page);
    }
    let record = record["driveItem"].clone();
    let source = Source::Record { record, key: *key };
    Ok(Way::File(Box::new(Push {
        source,
        ..push.clone()
    })))
}

/// Why no folder is made.
pub(super) fn no_folders(path: &[String]) -> PushError {
    let path = path.join("/");
    PushError::Invalid(format!(
        "{path}: there are no folders among the pages of a site"
    ))
}

/// The name that a page has until it is complete.
pub(super) fn draft_name(push: Uuid) -> String {
    format!("tenantfs-{push}.aspx")
}

/// What the file of a page is called.
fn page_name(push: &Push) -> String {
    if let Source::Record { record, key } = &push.source {
        let original = record[NAME].as_str().unwrap_or_default();
        if exact_name(&shown(original), key) == push.name {
            return original.to_owned();
        }
    }
    let stem = stem(&push.name, ".html").or(stem(&push.name, ".htm"));
    match stem.or(self::stem(&push.name, ".aspx")) {
        Some(stem) => format!("{stem}.aspx"),
        None => format!("{}.aspx", push.name),
    }
}

async fn of_file(push: &Push) -> Result<Body, PushError> {
    let no = |why: &str| PushError::Invalid(format!("{}: {why}", push.name));
    if tokio::fs::metadata(&push.file).await?.len() > MAX_FILE {
        return Err(no("too large for a page"));
    }
    let bytes = tokio::fs::read(&push.file).await?;
    let html = html::read(&bytes);
    if html.body.is_empty() {
        return Err(no("there is no text in it"));
    }
    let name = push.name.rsplit_once('.').map_or("", |(name, _)| name);
    let title = html.title.as_deref().unwrap_or(name);
    Ok(canvas::of_text(title, &html.body))
}

#[async_trait]
impl Once for Pages {
    type Composed = Composed;
    const CREATE: &'static str = PAGES;

    fn client(&self) -> &Client {
        self.live.client()
    }

    fn keyer(&self) -> &Keyer {
        &self.keyer
    }

    fn ongoing(&self) -> &Ongoing {
        &self.ongoing
    }

    fn known(&self) -> &Known {
        &self.known
    }

    /// What the site has is known already, see [`super::live`].
    fn like(&self, _item: &Value) -> Option<Fact> {
        None
    }

    async fn compose(&self, _account: &Account, push: &Push) -> Result<Composed, PushError> {
        let (body, from) = match &push.source {
            Source::Record { record, .. } => {
                let from = record["webUrl"].as_str().map(site_of);
                let from = from.and_then(|from| Url::parse(from).ok());
                (canvas::of_record(record), from)
            }
            Source::File => (of_file(push).await?, None),
        };
        let name = page_name(push);
        names::check("SharePoint", std::slice::from_ref(&name)).map_err(PushError::Invalid)?;
        Ok(Composed {
            marker: Marker {
                push: push.id,
                origin: None,
                created: None,
            },
            item: json!({ "name": name }),
            body,
            from,
            keep_both: push.policy == Policy::KeepBoth,
        })
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        if !push.folder.is_empty() {
            return Err(no_folders(&push.folder));
        }
        Ok(Some(self.library(account).await?.list))
    }

    async fn by_marker(
        &self,
        account: &Account,
        list: &str,
        push: &Push,
        _composed: &Composed,
    ) -> Result<Option<Made>, GraphError> {
        self.live.forget(list);
        let draft = draft_name(push.id);
        let pages = self.live_pages(account).await?;
        let made = pages.iter().find(|page| {
            let marked = page.marker.as_ref().is_some_and(|m| m.push == push.id);
            marked || page.name == draft
        });
        Ok(made.map(|page| Made::from_json(page.known_as(list))))
    }

    /// A name is a page.
    async fn candidates(
        &self,
        account: &Account,
        list: &str,
        _push: &Push,
        composed: &Composed,
        _origin: &Origin<'_>,
    ) -> Result<Vec<Value>, GraphError> {
        let pages = self.live_pages(account).await?;
        let named = pages.iter().filter(|page| is(&page.name, composed.name()));
        Ok(named.map(|page| page.known_as(list)).collect())
    }

    fn same(&self, live: &Value, composed: &Composed) -> bool {
        let name = live["name"].as_str().unwrap_or_default();
        is(name, composed.name())
    }

    fn creation(&self, account: &Account, _list: &str, composed: &Composed) -> Call {
        let mut body = composed.body.json.clone();
        body["name"] = json!(draft_name(composed.marker.push));
        Call::post(PAGES, &[&account.id], body).scope(Scope::Drives, MANY)
    }

    async fn create(
        &self,
        account: &Account,
        list: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Made, PushError> {
        self.ready(account, list).await?;
        let (body, notes) = self.led(account, composed).await?;
        let ready = Composed {
            marker: composed.marker.clone(),
            item: composed.item.clone(),
            body,
            from: None,
            keep_both: composed.keep_both,
        };
        let mut made = once::create(self, account, list, push, &ready).await?;
        if made.item["publishingState"].is_object() {
            made.item = self.as_item(account, list, push.id, &made.item).await?;
        }
        made.note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(made)
    }

    async fn complete(
        &self,
        account: &Account,
        list: &str,
        id: &str,
        composed: &Composed,
        _journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        let mut page = self.find(account, id).await?;
        if page.name == draft_name(composed.marker.push) {
            page.name = match composed.keep_both {
                true => self.free_name(account, composed.name()).await?,
                false => composed.name().to_owned(),
            };
            let values = json!({ "FileLeafRef": page.name, MARKER: composed.marker.value() });
            self.set_values(account, list, &page, values).await?;
            page.marker = Some(composed.marker.clone());
            self.live.put(list, page.clone());
        }
        match composed.body.publish {
            true => self.publish(account, &page).await,
            false => Ok(Vec::new()),
        }
    }

    async fn is_complete(
        &self,
        account: &Account,
        _list: &str,
        id: &str,
        composed: &Composed,
    ) -> Result<bool, PushError> {
        let page = self.find(account, id).await?;
        if page.name == draft_name(composed.marker.push) {
            return Ok(false);
        }
        if !composed.body.publish {
            return Ok(true);
        }
        let call = Call::get(PAGE, &[&account.id, &page.guid])
            .query("$select", "id,publishingState")
            .scope(Scope::Drives, 1);
        let told = self.live.client().json(&call).await?;
        Ok(told["publishingState"]["level"] == "published")
    }

    fn deletion(&self, account: &Account, list: &str, id: &str) -> Call {
        self.live.forget(list);
        let number = id.rsplit('/').next().unwrap_or(id);
        Call::new(Method::DELETE, ITEM, &[&account.id, list, number]).scope(Scope::Drives, MANY)
    }

    fn entry(&self, list: &str, item: Value, _marker: &Marker) -> Option<LiveEntry> {
        let number = item["id"].as_str()?.rsplit('/').next()?;
        let page = self.live.known_page(list, number);
        page.map(|page| self.live_entry(list, &page))
    }
}

impl Pages {
    pub(super) async fn plan_any(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<String>, PushError> {
        match way(push)? {
            Way::Page => once::plan(self, account, push).await,
            Way::File(push) => {
                let root = self.root(account).await?;
                self.drive.plan_file(&root, &[], &push).await
            }
        }
    }

    pub(super) async fn put(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        match way(push)? {
            Way::Page => {
                if push.policy == Policy::Overwrite
                    && let Some(pushed) = self.write_over(account, push).await?
                {
                    return Ok(pushed);
                }
                once::push(self, account, push, journal).await
            }
            Way::File(push) => {
                let root = self.root(account).await?;
                let list = self.library(account).await?.list;
                let pushed = self.drive.push_file(root, &[], &push, journal).await;
                self.live.forget(&list);
                pushed
            }
        }
    }

    pub(super) async fn find_any(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        match way(push)? {
            Way::Page => once::find_pushed(self, account, push).await,
            Way::File(push) => {
                let root = self.root(account).await?;
                self.drive.find_pushed_file(root, &[], &push).await
            }
        }
    }

    /// Writes a new version of the page that is there; `None`: there is none.
    async fn write_over(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let composed = self.compose(account, push).await?;
        let list = self.library(account).await?.list;
        let pages = self.live_pages(account).await?;
        let Some(page) = pages.iter().find(|page| is(&page.name, composed.name())) else {
            return Ok(None);
        };
        if !page.modern {
            return Err(PushError::Invalid(format!(
                "{}: a file or classic page has the name, which a page can't replace",
                push.name
            )));
        }
        self.ready(account, &list).await?;
        let (body, mut notes) = self.led(account, &composed).await?;
        let call = Call::new(Method::PATCH, PAGE, &[&account.id, &page.guid])
            .json(body.json)
            .scope(Scope::Drives, MANY)
            .repeatable();
        self.live.client().json(&call).await?;
        let values = json!({ MARKER: composed.marker.value() });
        self.set_values(account, &list, page, values).await?;
        let mut page: LivePage = page.clone();
        page.marker = Some(composed.marker.clone());
        let entry = self.live_entry(&list, &page);
        if body.publish {
            notes.extend(self.publish(account, &page).await?);
        }
        notes.extend(body.notes);
        self.live.put(&list, page);
        Ok(Some(Pushed {
            entry,
            replaced: None,
            notes,
        }))
    }
}

/// Names are the same in any letter case.
pub(super) fn is(name: &str, other: &str) -> bool {
    name.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::workload::ItemKey;

    fn push(name: &str, source: Source) -> Push {
        Push {
            id: Uuid::from_u128(5),
            folder: Vec::new(),
            name: name.into(),
            policy: Policy::Skip,
            source,
            original: None,
            file: PathBuf::new(),
            mtime: 0,
        }
    }

    fn record(record: Value) -> Source {
        let key = ItemKey([3; 16]);
        Source::Record { record, key }
    }

    #[test]
    fn a_page_is_called_as_its_file_is() {
        let page = || record(json!({ NAME: "Home.ASPX" }));
        for (name, source, called) in [
            ("Home.html", page(), "Home.ASPX"),
            ("Home of May.html", page(), "Home of May.aspx"),
            ("Home", page(), "Home.aspx"),
            ("x.HTM", Source::File, "x.aspx"),
        ] {
            assert_eq!(page_name(&push(name, source)), called);
        }
        let odd = exact_name("a~b.html", &ItemKey([3; 16]));
        let source = record(json!({ NAME: "a~b.aspx" }));
        assert_eq!(page_name(&push(&odd, source)), "a~b.aspx");
    }

    #[test]
    fn what_is_no_page_is_a_file_or_nothing() {
        let is_page = |p: &Push| matches!(way(p), Ok(Way::Page));
        assert!(is_page(&push("a.html", Source::File)));
        assert!(is_page(&push("a.html", record(json!({})))));
        let classic = push(
            "a.aspx",
            record(json!({ "driveItem": { "name": "a.aspx" } })),
        );
        assert!(matches!(way(&classic), Ok(Way::File(file))
            if matches!(&file.source, Source::Record { record, .. } if record["name"] == "a.aspx")));
        for name in ["a.aspx", "a.docx", ".html", "html"] {
            assert!(way(&push(name, Source::File)).is_err(), "{name}");
        }
        let mut below = push("a.html", Source::File);
        below.folder.push("x".into());
        assert!(way(&below).is_err());
    }
}
