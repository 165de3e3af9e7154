//! One site ("web"): its lists, its columns and content types, its pages, who may do what in it.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::drive::sharing::Permission;
use crate::drive::{Failure, Home, Owner, guid_text};
use crate::rng::Rng;

use super::column::Column;
use super::content_type::ContentType;
use super::list::List;
use super::page::Page;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// An administrator has locked it: nothing in it can be read.
    Locked,
    /// In the archive: the site is told of, nothing in it can be read.
    Archived,
    Deleted,
}

/// What an application with `Sites.Selected` was granted.
#[derive(Clone, Debug)]
pub struct AppGrant {
    pub id: String,
    pub app: String,
    pub name: String,
    pub roles: Vec<String>,
}

pub struct Web {
    pub guid: u128,
    /// GUID of the site collection.
    pub collection: u128,
    /// The site it is below; none for the top site of a collection.
    pub parent: Option<super::tenant::At>,
    pub tenant: String,
    pub host: String,
    /// Path on the host: `/sites/finance`; empty for the host's own site.
    pub path: String,
    /// May be empty, as that of the tenant's search site is.
    pub title: String,
    pub description: String,
    /// Seconds since 1970.
    pub created: i64,
    pub modified: i64,
    /// The site behind somebody's OneDrive.
    pub personal: bool,
    pub state: State,
    /// Counts changes of the site.
    pub etag: u32,
    pub seq: u64,
    /// Number that the first user of the directory has in the collection.
    pub first_user: u64,
    /// Seconds east of Greenwich: days are kept as that site's midnights.
    pub offset: i64,
    pub lists: Vec<List>,
    pub columns: Vec<Column>,
    pub content_types: Vec<ContentType>,
    /// Modern pages, by the GUID of their file in the library `Site Pages`.
    pub pages: HashMap<u128, Page>,
    pub apps: Vec<AppGrant>,
    /// Grants in place of the usual three groups.
    pub grants: Option<Vec<Permission>>,
    pub guids: Rng,
}

/// GUIDs are in lower case everywhere but in tags.
pub fn lower(guid: u128) -> String {
    guid_text(guid).to_ascii_lowercase()
}

impl Web {
    /// `host,collection,site`
    pub fn id(&self) -> String {
        format!(
            "{},{},{}",
            self.host,
            lower(self.collection),
            lower(self.guid)
        )
    }

    pub fn url(&self) -> String {
        format!("https://{}{}", self.host, self.path)
    }

    pub fn new_guid(&mut self) -> u128 {
        u128::from_be_bytes(self.guids.bytes16())
    }

    /// Last part of the URL: what a site is called by those who ask for it alone.
    pub fn segment(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Where a library of this site is at home.
    pub fn home(&self, name: &str, folder: &str, system: bool) -> Home {
        Home {
            tenant: self.tenant.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            folder: folder.to_owned(),
            name: name.to_owned(),
            system,
            first_user: self.first_user,
            owner: Owner::Site {
                title: self.title.clone(),
            },
        }
    }

    /// A name for a new list that none has yet in URLs.
    pub fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.lists.iter().any(|l| l.name.eq_ignore_ascii_case(name));
        let wanted = if wanted.is_empty() { "List" } else { wanted };
        let numbered = (1..).map(|n| format!("{wanted}{n}"));
        std::iter::once(wanted.to_owned())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    /// A list by its GUID, its title or its name in URLs.
    pub fn find(&self, key: &str) -> Option<usize> {
        let guid = uuid::Uuid::parse_str(key.trim_matches(['{', '}']))
            .ok()
            .map(|g| g.as_u128());
        let there = |l: &List| l.deleted.is_none();
        let by = |fits: &dyn Fn(&List) -> bool| self.lists.iter().position(|l| there(l) && fits(l));
        match guid {
            Some(guid) => by(&|l| l.guid == guid),
            None => by(&|l| l.title.eq_ignore_ascii_case(key))
                .or_else(|| by(&|l| l.name.eq_ignore_ascii_case(key))),
        }
    }

    pub fn list(&self, key: &str) -> Option<&List> {
        self.find(key).map(|at| &self.lists[at])
    }

    /// What is granted in the site as a whole.
    pub fn grants(&self) -> Vec<Permission> {
        match &self.grants {
            Some(grants) => grants.clone(),
            None => self.home("", "", false).grants(),
        }
    }

    /// Why nothing in the site can be had.
    pub fn closed(&self) -> Option<Failure> {
        let failure =
            |message: &str| Failure::new(423, "notAllowed", message).inner("resourceLocked");
        match self.state {
            State::Open | State::Deleted => None,
            State::Locked => Some(failure(
                "Access to this site has been blocked. Please contact the administrator to resolve this problem.",
            )),
            State::Archived => Some(failure(
                "The site is archived; it must be reactivated before it can be used.",
            )),
        }
    }

    /// The site as JSON. Listings call it by its display name, who asks for it alone gets the last part of its
    /// URL; only listings tell whether it is somebody's OneDrive.
    pub fn json(&self, listed: bool) -> Value {
        let name = if listed {
            self.title.as_str()
        } else {
            self.segment()
        };
        let mut site = json!({
            "id": self.id(), "name": name, "webUrl": self.url(), "displayName": self.title,
            "createdDateTime": rfc3339(self.created), "lastModifiedDateTime": rfc3339(self.modified),
            "eTag": format!("\"{},{}\"", guid_text(self.guid), self.etag),
        });
        site["description"] = self.description.clone().into();
        if self.title.is_empty() {
            site["displayName"] = Value::Null;
        }
        if listed {
            site["isPersonalSite"] = self.personal.into();
        }
        if self.parent.is_none() {
            site["root"] = json!({});
            site["siteCollection"] = json!({"hostname": self.host});
            if self.state == State::Archived {
                site["siteCollection"]["archivalDetails"] =
                    json!({"archiveStatus": "fullyArchived"});
            }
        }
        site
    }

    pub fn sharepoint_ids(&self) -> Value {
        json!({
            "siteId": lower(self.collection), "webId": lower(self.guid), "siteUrl": self.url(),
            "tenantId": self.tenant,
        })
    }
}
