//! SharePoint as a client meets it: over HTTP, against the checklist of sites, lists and pages.
//!
//! Every exchange is logged and held against Microsoft's schema at the end of each test, where the checker is
//! to be found.

mod documented;
mod items;
mod libraries;
mod listing;
mod lists;
mod pages;
mod rest;
mod sharing;
#[path = "../drive/support.rs"]
mod support;

use serde_json::Value;

pub use support::Graph;

/// A tenant with one team site (and its subsites), files and items.
pub fn tenant() -> Graph {
    sites(1)
}

pub fn sites(count: u64) -> Graph {
    Graph::with(|o| {
        o.files = 0;
        o.sites = count;
        o.site_files = 40;
        o.site_items = 40;
    })
}

/// The path of the site with this path on the tenant's host: `/sites/{id}`.
pub async fn site(graph: &Graph, path: &str) -> String {
    let site = graph
        .get(&format!("/sites/contoso.sharepoint.com:{path}"))
        .await
        .expect(200)
        .json();
    format!("/sites/{}", site["id"].as_str().unwrap())
}

/// All of a collection, page after page.
pub async fn all(graph: &Graph, start: &str) -> Vec<Value> {
    let (mut url, mut out) = (start.to_owned(), Vec::new());
    for _ in 0..1000 {
        let page = graph.get(&url).await.expect(200).json();
        out.extend(page["value"].as_array().unwrap().iter().cloned());
        match page["@odata.nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => return out,
        }
    }
    panic!("the listing does not end");
}

/// All pages of a delta round: the entries and the deltaLink.
pub async fn round(graph: &Graph, start: &str) -> (Vec<Value>, String) {
    let (mut url, mut out) = (start.to_owned(), Vec::new());
    for _ in 0..1000 {
        let page = graph.get(&url).await.expect(200).json();
        out.extend(page["value"].as_array().unwrap().iter().cloned());
        let link = |name: &str| page[name].as_str().map(str::to_owned);
        match (link("@odata.nextLink"), link("@odata.deltaLink")) {
            (Some(next), None) => url = next,
            (None, Some(link)) => return (out, link),
            _ => panic!("not exactly one link"),
        }
    }
    panic!("the round does not end");
}

/// What a property is in each of several objects.
pub fn texts(of: &[Value], name: &str) -> Vec<String> {
    of.iter()
        .map(|v| v[name].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The one with this value of a property.
#[track_caller]
pub fn by<'a>(of: &'a [Value], name: &str, value: &str) -> &'a Value {
    of.iter()
        .find(|v| v[name] == value)
        .unwrap_or_else(|| panic!("none has {name} {value}: {:?}", texts(of, name)))
}
