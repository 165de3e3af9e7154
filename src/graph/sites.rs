//! The sites of a tenant: all site collections first, then what changed; subsites by asking each.
//!
//! A site is an [`Account`] whose name is its path in a snapshot: `Sites/Finance`, and for a subsite
//! `Sites/Finance/Subsites/Payroll`. A name comes from the site's address, which is unique and seldom
//! changes, never from its title, which is neither.
//!
//! Left out: personal sites (they are captured as OneDrives), the search centre, what has no address.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::Url;

use super::call::Call;
use super::client::Client;
use super::error::{ErrorClass, GraphError};
use super::limiter::Scope;
use super::users::{Account, AccountKind};

/// The folder that all sites are in.
pub const SITES: &str = "Sites";
/// The folder that the subsites of a site are in.
pub const SUBSITES: &str = "Subsites";

const ALL: &str = "/sites/getAllSites";
const DELTA: &str = "/sites/delta";
const BELOW: &str = "/sites/{site}/sites";
const SELECT: &str = "id,name,displayName,description,webUrl,createdDateTime,isPersonalSite,root,\
                      siteCollection";

/// Sites of a tenant, or subsites of a site; SharePoint has at most 2,000,000 of the former.
const MAX_SITES: usize = 2_000_000;
/// Subsites lie in each other at most so deep.
const MAX_DEPTH: usize = 32;

/// What a round tells about the site collections.
#[derive(Clone, Debug, Default)]
pub struct SitesRound {
    /// Site objects, new or changed.
    pub sites: Vec<Value>,
    /// Ids of those that were deleted.
    pub removed: Vec<String>,
    /// Where the next round begins; `None`: it can only be a full one.
    pub link: Option<String>,
    /// Every site was told: what is not in `sites` is gone.
    pub full: bool,
}

impl Client {
    /// All site collections, or what changed since `link`.
    ///
    /// # Errors
    /// As [`Client::send`]. A dead link is no error: the round becomes a full one.
    pub async fn sites(&self, link: Option<&str>) -> Result<SitesRound, GraphError> {
        if let Some(link) = link {
            match self.sites_from(Call::link(DELTA, link), false).await {
                Err(e) if e.class == ErrorClass::Reset || matches!(e.status, Some(400 | 404)) => {
                    tracing::info!("the history of sites is lost: listing all");
                }
                outcome => return outcome,
            }
        }
        // Taken first: what changes while the list is read is told next time.
        let now = Call::get(DELTA, &[]).query("token", "latest");
        let link = match self.sites_from(now, false).await {
            Ok(round) => round.link,
            Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => return Err(e),
            Err(_) => None,
        };
        let call = Call::get(ALL, &[])
            .query("$select", SELECT)
            .scope(Scope::Drives, 2);
        match self.pages(call, MAX_SITES).await {
            Ok(sites) => Ok(SitesRound {
                sites,
                link,
                full: true,
                ..SitesRound::default()
            }),
            // Some clouds have no list of all, but a history that begins with all.
            Err(e) if e.class == ErrorClass::Unsupported || matches!(e.status, Some(400 | 404)) => {
                let call = Call::get(DELTA, &[]).query("$select", SELECT);
                self.sites_from(call, true).await
            }
            Err(e) => Err(e),
        }
    }

    async fn sites_from(&self, first: Call, full: bool) -> Result<SitesRound, GraphError> {
        // The last word about an id counts.
        let mut told: BTreeMap<String, Value> = BTreeMap::new();
        let mut call = first;
        let link = loop {
            let page = self.page(&call.scope(Scope::Drives, 2)).await?;
            for site in page.value {
                if let Some(id) = site["id"].as_str() {
                    told.insert(id.to_owned(), site);
                }
            }
            match page.next {
                Some(next) => call = Call::link(DELTA, &next),
                None => break page.delta,
            }
        };
        let mut round = SitesRound {
            link,
            full,
            ..SitesRound::default()
        };
        for (id, site) in told {
            match site["deleted"].is_object() {
                true => round.removed.push(id),
                false => round.sites.push(site),
            }
        }
        Ok(round)
    }

    /// The subsites of a site, at any depth, a site before those in it.
    ///
    /// # Errors
    /// As [`Client::send`]: a list with holes is none.
    pub async fn subsites(&self, of: &Account) -> Result<Vec<Account>, GraphError> {
        let mut found: Vec<Account> = Vec::new();
        let mut level = vec![of.clone()];
        for _ in 0..MAX_DEPTH {
            let mut next = Vec::new();
            for parent in level {
                let call = Call::get(BELOW, &[&parent.id])
                    .query("$select", SELECT)
                    .scope(Scope::Drives, 2);
                let sites = match self.pages(call, MAX_SITES).await {
                    Ok(sites) => sites,
                    // Deleted meanwhile.
                    Err(e) if e.class == ErrorClass::NotFound && !found.is_empty() => continue,
                    Err(e) => return Err(e),
                };
                next.extend(sites.iter().filter_map(|site| subsite(&parent, site)));
            }
            if next.is_empty() {
                break;
            }
            found.extend(next.iter().cloned());
            level = next;
        }
        Ok(found)
    }
}

/// Where a site is.
struct Address {
    host: String,
    /// Segments of the path, decoded.
    path: Vec<String>,
}

impl Address {
    fn of(site: &Value) -> Option<Self> {
        let url = Url::parse(site["webUrl"].as_str()?).ok()?;
        let path = url.path_segments()?.filter(|segment| !segment.is_empty());
        Some(Self {
            host: url.host_str()?.to_owned(),
            path: path
                .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
                .collect(),
        })
    }

    /// Of a site collection that is captured as a site: `/sites/Finance`, `/teams/Finance`, or the
    /// host's own.
    fn of_collection(site: &Value) -> Option<Self> {
        let address = Self::of(site)?;
        let first = address.path.first().map(String::as_str);
        let personal = site["isPersonalSite"].as_bool() == Some(true)
            || (address.host.contains("-my.") && first == Some("personal"));
        let is_root = address.path.is_empty() || address.path.len() == 2;
        (is_root && !personal).then_some(address)
    }
}

/// The site collections as accounts. Of two whose addresses end alike each is named with what tells
/// them apart, so that no name depends on which was found first.
pub fn collections<'a>(sites: impl IntoIterator<Item = &'a Value>) -> Vec<Account> {
    let mut found: Vec<(Address, &Value)> = sites
        .into_iter()
        .filter_map(|site| Some((Address::of_collection(site)?, site)))
        .collect();
    found.sort_by(|a, b| a.1["id"].as_str().cmp(&b.1["id"].as_str()));
    let name = |address: &Address| match address.path.last() {
        Some(segment) => segment.clone(),
        None => address.host.clone(),
    };
    let mut taken: BTreeMap<String, Vec<&Address>> = BTreeMap::new();
    for (address, _) in &found {
        let key = name(address).to_lowercase();
        taken.entry(key).or_default().push(address);
    }
    let accounts = found.iter().filter_map(|(address, site)| {
        let mut name = name(address);
        let others = &taken[&name.to_lowercase()];
        if others.len() > 1 {
            let managed = address.path.first().map_or("", String::as_str);
            let same_host = others.iter().all(|other| other.host == address.host);
            name = match same_host {
                true => format!("{name} ({managed})"),
                false => format!("{name} ({} {managed})", address.host),
            };
        }
        account(site, None, format!("{SITES}/{name}"))
    });
    accounts.collect()
}

fn subsite(parent: &Account, site: &Value) -> Option<Account> {
    let address = Address::of(site)?;
    let name = address.path.last()?;
    let collection = parent.collection.as_deref();
    account(
        site,
        collection,
        format!("{}/{SUBSITES}/{name}", parent.upn),
    )
}

fn account(site: &Value, collection: Option<&str>, path: String) -> Option<Account> {
    let id = site["id"].as_str()?;
    let title = site["displayName"].as_str().unwrap_or_default();
    let archived = site["siteCollection"]["archivalDetails"]["archiveStatus"].as_str();
    Some(Account {
        id: id.to_owned(),
        upn: path,
        display_name: title.to_owned(),
        enabled: true,
        kind: AccountKind::Site,
        collection: Some(collection.unwrap_or(id).to_owned()),
        closed: archived
            .map(|status| format!("the site is archived ({status}), so nothing of it can be read")),
        ..Account::default()
    })
}

/// The name of the site collection that a site belongs to (`Finance`), by its path in a snapshot;
/// `None` for what is no site.
pub fn collection_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/');
    match (parts.next(), parts.next()) {
        (Some(SITES), Some(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn site(id: &str, url: &str) -> Value {
        json!({ "id": id, "webUrl": url, "displayName": "A title" })
    }

    fn paths(sites: &[Value]) -> Vec<String> {
        collections(sites).into_iter().map(|a| a.upn).collect()
    }

    #[test]
    fn a_site_is_named_by_its_address() {
        let sites = [
            site("a", "https://contoso.sharepoint.com"),
            site(
                "b",
                "https://contoso.sharepoint.com/sites/Finance%20%26%20Co",
            ),
            site("c", "https://contoso.sharepoint.com/teams/Sales"),
            site(
                "d",
                "https://contoso-my.sharepoint.com/personal/ada_contoso_com",
            ),
            site("e", "https://contoso.sharepoint.com/search"),
            site("f", "https://contoso.sharepoint.com/sites/Sales/Sub"),
            json!({ "id": "g", "webUrl": "https://contoso.sharepoint.com/sites/x", "isPersonalSite": true }),
            json!({ "id": "h" }),
        ];
        assert_eq!(
            paths(&sites),
            [
                "Sites/contoso.sharepoint.com",
                "Sites/Finance & Co",
                "Sites/Sales"
            ]
        );
        let parent = &collections(&sites)[2];
        let below = subsite(parent, &sites[5]).unwrap();
        assert_eq!(below.upn, "Sites/Sales/Subsites/Sub");
        assert_eq!(collection_of(&below.upn), Some("Sales"));
        assert_eq!(collection_of("bob@contoso.com"), None);
    }

    #[test]
    fn two_of_one_name_are_told_apart_whoever_comes_first() {
        let sites = [
            site("a", "https://contoso.sharepoint.com/sites/Sales"),
            site("b", "https://contoso.sharepoint.com/teams/sales"),
        ];
        assert_eq!(
            paths(&sites),
            ["Sites/Sales (sites)", "Sites/sales (teams)"]
        );
        let far = [
            site("a", "https://contoso.sharepoint.com/sites/Sales"),
            site("b", "https://contosoeur.sharepoint.com/sites/Sales"),
        ];
        assert_eq!(
            paths(&far)[1],
            "Sites/Sales (contosoeur.sharepoint.com sites)"
        );
    }

    #[test]
    fn an_archived_site_says_so() {
        let mut archived = site("a", "https://contoso.sharepoint.com/sites/Old");
        archived["siteCollection"] =
            json!({ "archivalDetails": { "archiveStatus": "fullyArchived" } });
        let found = collections([&archived]);
        assert!(found[0].closed.as_ref().unwrap().contains("fullyArchived"));
    }
}
