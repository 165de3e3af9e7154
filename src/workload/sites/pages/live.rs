//! What a site says about its pages now: the library that they are in, the pages, and the files that they
//! show. Answers are believed for a minute.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use url::Url;

use super::super::lists::columns::MARKER;
use super::super::lists::live::{ITEMS, Live as Lists, PAGE};
use crate::graph::{Call, Client, ErrorClass, GraphError, Scope};
use crate::workload::Marker;
use crate::workload::sites::MANY;

pub const MODERN: &str = "/sites/{site}/pages/microsoft.graph.sitePage";
const DRIVES: &str = "/sites/{site}/drives";
const BY_PATH: &str = "/drives/{drive}/root:/{path}";

const FRESH: Duration = Duration::from_secs(60);
/// Pages of a site.
const MAX_PAGES: usize = 1_000_000;
const MAX_DRIVES: usize = 10_000;

/// What is asked of an item of Site Pages.
pub const SELECT: &str =
    "id,eTag,webUrl,contentType,createdDateTime,lastModifiedDateTime,sharepointIds";

/// The library of a site's pages.
#[derive(Clone, Debug)]
pub struct Library {
    pub list: String,
    pub url: String,
}

impl Library {
    /// The address of the site.
    pub fn site(&self) -> &str {
        site_of(&self.url)
    }
}

/// A page, or a file beside the pages.
#[derive(Clone, Debug)]
pub struct LivePage {
    /// Number of the item.
    pub number: String,
    /// Id of the page.
    pub guid: String,
    /// See [`super::NAME`].
    pub name: String,
    /// Graph knows it as a page, and not only as a file.
    pub modern: bool,
    pub marker: Option<Marker>,
    /// The list's item.
    pub item: Value,
}

type Known<T> = Mutex<HashMap<String, (Instant, Arc<Vec<T>>)>>;

/// Reads from sites.
pub struct Live {
    pub lists: Lists,
    pages: Known<LivePage>,
    drives: Known<Drive>,
}

/// A library of the site.
#[derive(Debug)]
struct Drive {
    id: String,
    url: Url,
}

impl Live {
    pub fn new(client: Client) -> Self {
        Self {
            lists: Lists::new(client),
            pages: Mutex::default(),
            drives: Mutex::default(),
        }
    }

    pub fn client(&self) -> &Client {
        &self.lists.client
    }

    /// The library of a site's pages; `None`: it has none.
    pub async fn library(&self, site: &str) -> Result<Option<Library>, GraphError> {
        let lists = self.lists.lists(site).await?;
        Ok(lists.iter().find_map(|list| {
            let url = list["webUrl"].as_str()?.trim_end_matches('/');
            let is_it = list["list"]["template"] == "webPageLibrary" && url.ends_with("/SitePages");
            let list = list["id"].as_str().filter(|_| is_it)?;
            Some(Library {
                list: list.to_owned(),
                url: url.to_owned(),
            })
        }))
    }

    /// All that is in it now.
    pub async fn pages(
        &self,
        site: &str,
        library: &Library,
    ) -> Result<Arc<Vec<LivePage>>, GraphError> {
        if let Some(known) = fresh(&self.pages, &library.list) {
            return Ok(known);
        }
        let columns = self.lists.columns(site, &library.list).await?;
        let mut call = Call::get(ITEMS, &[site, &library.list])
            .query("$select", SELECT)
            .query("$top", PAGE);
        if columns.iter().any(|column| column["name"] == MARKER) {
            call = call.query("$expand", &format!("fields($select=id,{MARKER})"));
        }
        let call = call.scope(Scope::Drives, MANY);
        let items = self.client().pages(call, MAX_PAGES).await?;
        let call = Call::get(MODERN, &[site])
            .query("$select", "id")
            .scope(Scope::Drives, MANY);
        let modern = self.client().pages(call, MAX_PAGES).await?;
        let modern: HashSet<String> = modern
            .iter()
            .filter_map(|page| Some(page["id"].as_str()?.to_ascii_lowercase()))
            .collect();
        let pages = items
            .into_iter()
            .filter_map(|item| live_page(library, &modern, item));
        let pages = Arc::new(pages.collect());
        keep(&self.pages, &library.list, Arc::clone(&pages));
        Ok(pages)
    }

    /// A page of this number, as it was told or made last, if that is known without asking.
    pub fn known_page(&self, list: &str, number: &str) -> Option<LivePage> {
        let pages = fresh(&self.pages, list)?;
        pages.iter().find(|page| page.number == number).cloned()
    }

    /// Adds a page that was just made, or changed, to what is known.
    pub fn put(&self, list: &str, page: LivePage) {
        if let Some((_, pages)) = self.pages.lock().get_mut(list) {
            let pages = Arc::make_mut(pages);
            pages.retain(|other| other.number != page.number);
            pages.push(page);
        }
    }

    /// Forgets the pages of a library: the next question is a new one.
    pub fn forget(&self, list: &str) {
        self.pages.lock().remove(list);
    }

    /// The file of the site's libraries that has this address; `None`: there is none.
    pub async fn file(&self, site: &str, address: &str) -> Result<Option<Value>, GraphError> {
        let Ok(address) = Url::parse(address) else {
            return Ok(None);
        };
        let drives = self.drives(site).await?;
        let below = drives.iter().filter_map(|drive| {
            let path = below(&drive.url, &address)?;
            Some((drive.url.path().len(), &drive.id, path))
        });
        let Some((_, drive, path)) = below.max() else {
            return Ok(None);
        };
        let call = Call::get(BY_PATH, &[drive, &path])
            .query(
                "$select",
                "id,name,size,file,webUrl,parentReference,sharepointIds",
            )
            .scope(Scope::Drives, 1);
        match self.client().json(&call).await {
            Ok(item) => Ok(item["file"].is_object().then_some(item)),
            Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => Err(e),
            Err(_) => Ok(None),
        }
    }

    /// The libraries of a site, hidden ones too: pictures of pages lie in one of those.
    async fn drives(&self, site: &str) -> Result<Arc<Vec<Drive>>, GraphError> {
        if let Some(known) = fresh(&self.drives, site) {
            return Ok(known);
        }
        let call = Call::get(DRIVES, &[site])
            .query("$select", "id,webUrl,system")
            .scope(Scope::Drives, MANY);
        let drives = self.client().pages(call, MAX_DRIVES).await?;
        let drives = drives.iter().filter_map(|drive| {
            Some(Drive {
                id: drive["id"].as_str()?.to_owned(),
                url: Url::parse(drive["webUrl"].as_str()?).ok()?,
            })
        });
        let drives = Arc::new(drives.collect());
        keep(&self.drives, site, Arc::clone(&drives));
        Ok(drives)
    }
}

fn fresh<T>(known: &Known<T>, of: &str) -> Option<Arc<Vec<T>>> {
    let known = known.lock();
    let (at, all) = known.get(of)?;
    (at.elapsed() < FRESH).then(|| Arc::clone(all))
}

fn keep<T>(known: &Known<T>, of: &str, all: Arc<Vec<T>>) {
    let mut known = known.lock();
    known.retain(|_, (at, _)| at.elapsed() < FRESH);
    known.insert(of.to_owned(), (Instant::now(), all));
}

fn live_page(library: &Library, modern: &HashSet<String>, item: Value) -> Option<LivePage> {
    if is_folder(&item) {
        return None;
    }
    let guid = guid_of(&item)?;
    Some(LivePage {
        number: item["id"].as_str()?.to_owned(),
        name: name_of(&library.url, &item),
        modern: modern.contains(&guid),
        guid,
        marker: item["fields"][MARKER].as_str().and_then(Marker::parse),
        item,
    })
}

impl LivePage {
    /// As the rest of this program knows items: by the collection's id, with its mark.
    pub fn known_as(&self, list: &str) -> Value {
        let mut known = json!({ "id": format!("{list}/{}", self.number), "name": self.name });
        if let Some(marker) = &self.marker {
            known["extensions"] = json!([
                { "extensionName": Marker::EXTENSION, "marker": marker.value() }
            ]);
        }
        known
    }
}

pub fn is_folder(item: &Value) -> bool {
    let kind = item["contentType"]["id"].as_str();
    kind.is_some_and(|kind| kind.starts_with("0x0120"))
}

/// The id of the page that an item of Site Pages is.
pub fn guid_of(item: &Value) -> Option<String> {
    let told = item["sharepointIds"]["listItemUniqueId"].as_str();
    // `"guid,version"`
    let tag = || item["eTag"].as_str()?.split(',').next();
    let guid = told.or_else(tag)?.trim_matches(['"', '{', '}']);
    let guid = uuid::Uuid::try_parse(guid).ok()?;
    Some(guid.to_string())
}

/// Where an item is below Site Pages, as one name: `Templates - Offer.aspx`.
pub fn name_of(library: &str, item: &Value) -> String {
    let url = item["webUrl"].as_str().unwrap_or_default();
    let path = match (Url::parse(library), Url::parse(url)) {
        (Ok(library), Ok(url)) => below(&library, &url),
        _ => None,
    };
    let last = || decoded(url.rsplit('/').next().unwrap_or_default());
    path.unwrap_or_else(last).replace('/', " - ")
}

/// What stands after the address of a folder in another address, decoded; `None`: it is not in it.
pub fn below(folder: &Url, url: &Url) -> Option<String> {
    if folder.host_str() != url.host_str() {
        return None;
    }
    let (folder, path) = (decoded(folder.path()), decoded(url.path()));
    let folder = folder.trim_end_matches('/');
    let (start, rest) = path.split_at_checked(folder.len())?;
    let rest = rest.strip_prefix('/').filter(|rest| !rest.is_empty())?;
    (start.eq_ignore_ascii_case(folder)).then(|| rest.to_owned())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The address of the site that a page, or Site Pages, belongs to.
pub fn site_of(url: &str) -> &str {
    url.find("/SitePages")
        .and_then(|at| url.get(..at))
        .unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_known_by_where_they_are() {
        let library = "https://c.sharepoint.com/sites/f/SitePages";
        let item = |path: &str| json!({ "webUrl": format!("{library}/{path}") });
        assert_eq!(name_of(library, &item("Home.aspx")), "Home.aspx");
        assert_eq!(
            name_of(library, &item("Q%26A%20page.aspx")),
            "Q&A page.aspx"
        );
        assert_eq!(
            name_of(library, &item("Templates/Offer.aspx")),
            "Templates - Offer.aspx"
        );
        let other = json!({ "webUrl": "https://c.sharepoint.com/elsewhere/x.aspx" });
        assert_eq!(name_of(library, &other), "x.aspx");
        assert_eq!(name_of(library, &json!({})), "");
        assert_eq!(site_of(library), "https://c.sharepoint.com/sites/f");
        assert_eq!(
            site_of("https://c.sharepoint.com"),
            "https://c.sharepoint.com"
        );
    }

    #[test]
    fn a_page_is_the_items_guid() {
        let guid = "6f9230af-2a98-4952-b205-9ede4f9ef548";
        let told = json!({ "sharepointIds": { "listItemUniqueId": guid }, "eTag": "\"x,1\"" });
        assert_eq!(guid_of(&told).as_deref(), Some(guid));
        let tag = json!({ "eTag": format!("\"{{{}}},3\"", guid.to_uppercase()) });
        assert_eq!(guid_of(&tag).as_deref(), Some(guid));
        assert_eq!(guid_of(&json!({ "eTag": "../x,1" })), None);
    }

    #[test]
    fn only_what_lies_in_a_folder_is_below_it() {
        let url = |text: &str| Url::parse(text).unwrap();
        let folder = url("https://c.sharepoint.com/sites/f/Shared%20Documents");
        let in_it = url("https://c.sharepoint.com/sites/F/shared documents/a%23/b.png?x=1");
        assert_eq!(below(&folder, &in_it).as_deref(), Some("a#/b.png"));
        for other in [
            "https://c.sharepoint.com/sites/f/Shared%20Documents2/b.png",
            "https://c.sharepoint.com/sites/f/Shared%20Documents/../b.png",
            "https://c.sharepoint.com/sites/f/Shared%20Documents/",
            "https://d.sharepoint.com/sites/f/Shared%20Documents/b.png",
        ] {
            assert_eq!(below(&folder, &url(other)), None, "{other}");
        }
    }
}
