//! The requests that a restore of pages is made of, and what is there before them.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::super::lists::columns::{self, MARKER};
use super::super::lists::live::COLUMNS;
use super::canvas::Body;
use super::files::{self, Target, Targets};
use super::live::{Library, LivePage};
use super::restore::{Composed, PAGES, draft_name, is};
use super::{Pages, modified, shown, stem};
use crate::graph::{Call, ErrorClass, GraphError, Scope};
use crate::tree::names::exact_name;
use crate::workload::drive::target::Root;
use crate::workload::sites::MANY;
use crate::workload::{Account, ID, LiveEntry, PushError};

const PLAIN: &str = "/sites/{site}/pages/{page}";
const PUBLISH: &str = "/sites/{site}/pages/{page}/microsoft.graph.sitePage/publish";
const VALUES: &str = "/sites/{site}/lists/{list}/items/{item}/fields";
const BY_NAME: &str = "/sites/{site}/lists/{list}/drive/root:/{name}";
const DRIVE: &str = "/sites/{site}/lists/{list}/drive";
/// Names that are tried for a page beside others.
const MAX_TWINS: usize = 1_000;

impl Pages {
    /// The library that a site's pages are in.
    pub(super) async fn library(&self, account: &Account) -> Result<Library, GraphError> {
        let library = self.live.library(&account.id).await?;
        library.ok_or_else(|| {
            let what = "the site has no pages";
            GraphError::local(ErrorClass::NotFound, PAGES, what)
        })
    }

    /// The same as a drive.
    pub(super) async fn root(&self, account: &Account) -> Result<Root, GraphError> {
        let library = self.library(account).await?;
        let call = Call::get(DRIVE, &[&account.id, &library.list])
            .query("$select", "id")
            .scope(Scope::Drives, 1);
        let drive = self.live.client().json(&call).await?;
        let drive = drive["id"].as_str().unwrap_or_default();
        self.drive.library_root(drive).await
    }

    pub(super) async fn live_pages(
        &self,
        account: &Account,
    ) -> Result<Arc<Vec<LivePage>>, GraphError> {
        let library = self.library(account).await?;
        self.live.pages(&account.id, &library).await
    }

    /// The page with this id, which was there a moment ago.
    pub(super) async fn find(&self, account: &Account, id: &str) -> Result<LivePage, GraphError> {
        let number = id.rsplit('/').next().unwrap_or(id);
        let pages = self.live_pages(account).await?;
        let found = pages.iter().find(|page| page.number == number);
        found.cloned().ok_or_else(|| {
            let what = "the page is not listed yet";
            GraphError::local(ErrorClass::Transient, PAGES, what)
        })
    }

    /// Makes the hidden column.
    pub(super) async fn ready(&self, account: &Account, list: &str) -> Result<(), PushError> {
        let site = &account.id;
        let is_there = |columns: Vec<Value>| columns.iter().any(|c| c["name"] == MARKER);
        if is_there(self.live.lists.columns(site, list).await?) {
            return Ok(());
        }
        let _making = self.making.lock().await;
        self.live.lists.forget(site, Some(list));
        if is_there(self.live.lists.columns(site, list).await?) {
            return Ok(());
        }
        // Made twice, it fails the second time.
        let call = Call::post(COLUMNS, &[site, list], columns::marker(false))
            .scope(Scope::Drives, MANY)
            .repeatable();
        let made = self.live.client().json(&call).await;
        self.live.lists.forget(site, Some(list));
        match made {
            Err(e) if e.class != ErrorClass::Conflict => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// A body that shows the files of the site it goes to, and what it shows of another one.
    pub(super) async fn led(
        &self,
        account: &Account,
        composed: &Composed,
    ) -> Result<(Body, Vec<String>), PushError> {
        let mut body = composed.body.clone();
        let library = self.library(account).await?;
        let (Some(from), Ok(to)) = (&composed.from, Url::parse(library.site())) else {
            return Ok((body, Vec::new()));
        };
        if from.path().eq_ignore_ascii_case(to.path()) && from.host_str() == to.host_str() {
            return Ok((body, Vec::new()));
        }
        let wanted = files::lead(&mut body.json, from, &Targets::new());
        let targets = self.targets(&account.id, &to, wanted).await?;
        let missing = files::lead(&mut body.json, from, &targets);
        let notes = missing
            .iter()
            .map(|path| format!("this site has no {path}: the page shows that of {from}"));
        Ok((body, notes.collect()))
    }

    /// Those of these paths that a site has files at.
    async fn targets(
        &self,
        site: &str,
        url: &Url,
        paths: BTreeSet<String>,
    ) -> Result<Targets, GraphError> {
        let mut targets = Targets::new();
        for path in paths {
            let mut at = url.clone();
            match at.path_segments_mut() {
                Ok(mut segments) => segments.pop_if_empty().extend(path.split('/')),
                Err(()) => continue,
            };
            if let Some(file) = self.live.file(site, at.as_str()).await? {
                targets.insert(path, Target::of(&file, at));
            }
        }
        Ok(targets)
    }

    /// A page that was just made, by what its list calls it. One that can't be told is removed again.
    pub(super) async fn as_item(
        &self,
        account: &Account,
        list: &str,
        push: Uuid,
        page: &Value,
    ) -> Result<Value, PushError> {
        let guid = page["id"].as_str().unwrap_or_default();
        let name = draft_name(push);
        let call = Call::get(BY_NAME, &[&account.id, list, &name])
            .query("$select", "id,sharepointIds")
            .scope(Scope::Drives, 1)
            .patient_404(5);
        let number = match self.live.client().json(&call).await {
            Ok(file) => file["sharepointIds"]["listItemId"]
                .as_str()
                .map(str::to_owned),
            Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => return Err(e.into()),
            Err(e) => {
                self.remove(account, guid).await?;
                return Err(e.into());
            }
        };
        let Some(number) = number else {
            self.remove(account, guid).await?;
            let what = "the new page has no number in its list";
            return Err(GraphError::local(ErrorClass::Unsupported, PAGES, what).into());
        };
        let page = LivePage {
            number,
            guid: guid.to_owned(),
            name,
            modern: true,
            marker: None,
            item: Value::Null,
        };
        let item = page.known_as(list);
        self.live.put(list, page);
        Ok(item)
    }

    async fn remove(&self, account: &Account, guid: &str) -> Result<(), GraphError> {
        let call =
            Call::new(Method::DELETE, PLAIN, &[&account.id, guid]).scope(Scope::Drives, MANY);
        match self.live.client().send(&call).await {
            Err(e) if e.class != ErrorClass::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Sets values of a page's item; its name is one of them.
    pub(super) async fn set_values(
        &self,
        account: &Account,
        list: &str,
        page: &LivePage,
        values: Value,
    ) -> Result<(), GraphError> {
        let call = Call::new(Method::PATCH, VALUES, &[&account.id, list, &page.number])
            .json(values)
            .scope(Scope::Drives, MANY)
            .repeatable();
        self.live.client().json(&call).await.map(drop)
    }

    /// Shows a page to its readers. One that may not be shown stays a draft, and says so.
    pub(super) async fn publish(
        &self,
        account: &Account,
        page: &LivePage,
    ) -> Result<Vec<String>, PushError> {
        let call = Call::post(PUBLISH, &[&account.id, &page.guid], json!({}))
            .scope(Scope::Drives, MANY)
            .repeatable();
        match self.live.client().send(&call).await {
            Ok(_) => Ok(Vec::new()),
            Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => Err(e.into()),
            Err(e) => Ok(vec![format!(
                "it could not be published, and is a draft: {e}"
            )]),
        }
    }

    /// A name for a page beside others: `Home.aspx`, `Home(1).aspx`, ...
    pub(super) async fn free_name(
        &self,
        account: &Account,
        name: &str,
    ) -> Result<String, PushError> {
        let pages = self.live_pages(account).await?;
        let start = stem(name, ".aspx").unwrap_or(name);
        let names = (1..MAX_TWINS).map(|n| format!("{start}({n}).aspx"));
        let mut names = std::iter::once(name.to_owned()).chain(names);
        let free = names.find(|name| !pages.iter().any(|page| is(&page.name, name)));
        free.ok_or_else(|| PushError::Exists {
            name: name.to_owned(),
        })
    }

    pub(super) async fn list_live(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        if !path.is_empty() {
            let what = format!("there is no folder {}", path.join("/"));
            return Err(GraphError::local(ErrorClass::NotFound, PAGES, what));
        }
        let library = self.library(account).await?;
        self.live.forget(&library.list);
        let pages = self.live.pages(&account.id, &library).await?;
        Ok(pages
            .iter()
            .map(|page| self.live_entry(&library.list, page))
            .collect())
    }

    /// A page as the mount names it.
    pub(super) fn live_entry(&self, list: &str, page: &LivePage) -> LiveEntry {
        let id = format!("{list}/{}", page.number);
        let name = match page.modern {
            true => shown(&page.name),
            false => page.name.clone(),
        };
        let mut record = page.known_as(list);
        record[ID] = json!(id);
        LiveEntry {
            name: exact_name(&name, &(self.keyer)(&id)),
            is_dir: false,
            size: 0,
            mtime: modified(&json!({ "listItem": page.item })),
            id,
            record,
        }
    }
}
