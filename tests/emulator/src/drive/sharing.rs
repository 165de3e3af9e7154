//! Permissions of items: what is kept, and what is in force where.
//!
//! An item has links of its own and, once its inheritance is broken, grants of its own. In force are the
//! links of the item and of everything above it, and the grants of the nearest one, upwards, that has its
//! own. The root always does: the owner's, at least. As in OneDrive for Business, nothing tells where a
//! permission was inherited from.

use serde_json::{Map, Value, json};

use super::item::{Index, ROOT};
use super::store::Drive;

/// What one item adds to what it inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    pub links: Vec<Permission>,
    /// Grants in place of the inherited ones; `None` while they are inherited.
    pub grants: Option<Vec<Permission>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub id: String,
    /// `read`, `write`, `owner`; none at all for levels that Graph has no word for.
    pub roles: Vec<String>,
    /// Seconds since 1970.
    pub expires: Option<i64>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Grant(Principal),
    Link(Link),
    /// To an address without an account.
    Invitation {
        email: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// `anonymous`, `organization`, `users`
    pub scope: String,
    /// `view`, `edit`, `review`, ...
    pub kind: String,
    pub url: String,
    pub prevents_download: bool,
    pub has_password: bool,
    pub people: Vec<Principal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// `number` is the person's id in the site.
    User {
        id: String,
        name: String,
        email: String,
        number: u64,
    },
    SiteGroup {
        number: u64,
        name: String,
    },
}

impl Drive {
    /// Everything in force on an item: grants first, then links.
    pub fn permissions(&self, index: Index) -> Vec<Permission> {
        let mut out = self.grants(index);
        for at in self.lineage(index) {
            if let Some(sharing) = &self.item(at).sharing {
                out.extend(sharing.links.iter().cloned());
            }
        }
        out
    }

    /// The grants in force on an item.
    pub fn grants(&self, index: Index) -> Vec<Permission> {
        self.lineage(index)
            .into_iter()
            .find_map(|at| self.item(at).sharing.as_ref()?.grants.clone())
            .unwrap_or_else(|| self.home.grants())
    }

    /// The `shared` facet. With `hierarchical`, only on items that have permissions of their own, and on
    /// the root; an empty one then says 'permissions of its own, no links'.
    pub fn shared_facet(&self, index: Index, hierarchical: bool) -> Option<Value> {
        let own = self.item(index).sharing.as_ref();
        if hierarchical && own.is_none() && index != ROOT {
            return None;
        }
        let scope = if hierarchical {
            let links: Vec<&Permission> = own.iter().flat_map(|s| &s.links).collect();
            let grants = own.and_then(|s| s.grants.as_ref());
            self.scope(links.into_iter().chain(grants.into_iter().flatten()))
        } else {
            let all = self.permissions(index);
            self.scope(all.iter())
        };
        match scope {
            Some(scope) => Some(json!({ "scope": scope })),
            None if hierarchical => Some(Value::Object(Map::new())),
            None => None,
        }
    }

    fn scope<'a>(&self, permissions: impl Iterator<Item = &'a Permission>) -> Option<&'static str> {
        let rank = permissions.filter_map(|p| match &p.kind {
            Kind::Link(link) => Some(match link.scope.as_str() {
                "anonymous" => 3,
                "organization" => 2,
                _ => 1,
            }),
            Kind::Grant(_) if p.roles.iter().any(|r| r == "owner") => None,
            Kind::Grant(_) | Kind::Invitation { .. } => Some(1),
        });
        match rank.max()? {
            3 => Some("anonymous"),
            2 => Some("organization"),
            _ => Some("users"),
        }
    }

    /// The item's own permissions, to change them.
    pub fn sharing_mut(&mut self, index: Index) -> &mut Sharing {
        self.item_mut(index).sharing.get_or_insert_default()
    }

    /// Stops inheriting: keeps copies of the inherited grants, or none but the owner's.
    pub fn break_inheritance(&mut self, index: Index, keep: bool) {
        let inherited = if keep {
            self.grants(index)
        } else {
            self.home.owners()
        };
        let sharing = self.sharing_mut(index);
        if sharing.grants.is_none() {
            sharing.grants = Some(inherited);
        }
    }
}
