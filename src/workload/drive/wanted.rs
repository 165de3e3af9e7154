//! What a restored file or folder is to be given: the links and grants that its original had of its own, as
//! Graph takes them, and what can be given to nobody.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::permissions::{SHARING, is_owner, principal};

/// Somebody to whom something is given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Person {
    /// As `invite` takes it.
    pub recipient: Value,
    /// For the log.
    pub name: String,
    /// See [`principal`].
    pub id: String,
}

/// What is to be given.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Body of the `createLink`, and for whom.
    pub links: Vec<(Value, Vec<Person>)>,
    /// By role.
    pub grants: Vec<(&'static str, Vec<Person>)>,
    /// Nothing is inherited.
    pub unique: bool,
    /// What can be given to nobody, for the log.
    pub notes: Vec<String>,
}

impl Wanted {
    /// `live` is what is in force on the restored item already.
    pub fn of(record: &Value, live: &[Value], now: Timestamp) -> Self {
        let mut wanted = Self {
            unique: record[SHARING]["unique"] == true,
            ..Self::default()
        };
        let inherited = |permission: &Value| {
            let mut ids = record[SHARING]["inherited"]
                .as_array()
                .into_iter()
                .flatten();
            ids.any(|id| *id == permission["id"])
        };
        for permission in record["permissions"].as_array().into_iter().flatten() {
            let link = permission["link"].is_object();
            if inherited(permission) && (link || !wanted.unique) {
                continue;
            }
            match link {
                true => wanted.link(permission, live, now),
                false => wanted.grant(permission, live),
            }
        }
        wanted.grants.retain(|(_, people)| !people.is_empty());
        wanted
    }

    fn link(&mut self, permission: &Value, live: &[Value], now: Timestamp) {
        let link = &permission["link"];
        let (scope, mut kind) = (
            link["scope"].as_str().unwrap_or_default(),
            link["type"].as_str().unwrap_or("view"),
        );
        if kind == "view" && link["preventsDownload"] == true {
            kind = "blocksDownload";
        }
        // It opens the item only to those who may open it anyway.
        if scope == "existingAccess" {
            return;
        }
        let what = format!("a link ({kind}, for {})", audience(scope));
        if permission["hasPassword"] == true {
            let why = "it has a password, which Graph does not tell";
            return self.notes.push(format!("{what} is not made again: {why}"));
        }
        let expires = permission["expirationDateTime"]
            .as_str()
            .filter(|at| !at.starts_with("0001-"));
        if expires.is_some_and(|at| at.parse::<Timestamp>().is_ok_and(|at| at <= now)) {
            return self
                .notes
                .push(format!("{what} is not made again: it has expired"));
        }
        let identities = permission["grantedToIdentitiesV2"].as_array();
        let (mut people, mut strangers) = (Vec::new(), Vec::new());
        for identity in identities.into_iter().flatten() {
            match person(identity) {
                Ok(person) => people.push(person),
                Err(name) => strangers.push(name),
            }
        }
        for name in strangers {
            self.notes
                .push(format!("{what}: Graph can't give it to {name}"));
        }
        if scope == "users" && people.is_empty() {
            return self
                .notes
                .push(format!("{what} is not made again: it was for nobody"));
        }
        if live
            .iter()
            .any(|there| is_link(there, scope, kind, &people))
        {
            return;
        }
        let mut body = json!({ "type": kind, "scope": scope, "sendNotification": false });
        if let Some(at) = expires {
            body["expirationDateTime"] = json!(at);
        }
        self.links.push((body, people));
    }

    fn grant(&mut self, permission: &Value, live: &[Value]) {
        let invited = &permission["invitation"]["email"];
        let identities = match invited.as_str() {
            Some(email) => json!({ "user": { "email": email } }),
            None => permission["grantedToV2"].clone(),
        };
        let role = ["write", "read"].into_iter().find(|role| {
            let mut roles = permission["roles"].as_array().into_iter().flatten();
            roles.any(|r| r == role)
        });
        let who = principal(&identities);
        let same = |there: &&Value| {
            let known = !who.is_empty() && principal(&there["grantedToV2"]) == who;
            known || (invited.is_string() && there["invitation"]["email"] == *invited)
        };
        // The owners keep what they have also where nothing else is inherited.
        let enough = |there: &Value| {
            is_owner(there) || (!self.unique && there["roles"] == permission["roles"])
        };
        if live.iter().filter(same).any(enough) {
            return;
        }
        let person = match person(&identities) {
            Ok(person) => person,
            Err(name) => {
                return self
                    .notes
                    .push(format!("access of {name}: Graph can't give it"));
            }
        };
        match role {
            _ if is_owner(permission) => self.notes.push(format!(
                "full control of {}: Graph can't give it",
                person.name
            )),
            None => self.notes.push(format!(
                "access of {}: a permission level that Graph has no word for",
                person.name
            )),
            Some(role) => match self.grants.iter_mut().find(|(known, _)| *known == role) {
                Some((_, people)) => people.push(person),
                None => self.grants.push((role, vec![person])),
            },
        }
    }
}

/// Whom a link of this scope is for, in words.
pub(super) fn audience(scope: &str) -> &str {
    match scope {
        "anonymous" => "anyone",
        "organization" => "the organization",
        "users" => "certain people",
        scope => scope,
    }
}

/// Somebody whom Graph can give something, or else the name.
fn person(identities: &Value) -> Result<Person, String> {
    let id = principal(identities);
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let named = |value: &Value| text(&value["displayName"]).or_else(|| text(&value["email"]));
    for kind in ["user", "group"] {
        let who = &identities[kind];
        let recipient = match (text(&who["id"]), text(&who["email"])) {
            (Some(id), _) => json!({ "objectId": id }),
            (None, Some(email)) => json!({ "email": email }),
            (None, None) => continue,
        };
        let name = named(who).unwrap_or_else(|| id.clone());
        return Ok(Person {
            recipient,
            name,
            id,
        });
    }
    let kinds = [
        ("siteGroup", "the site's group"),
        ("application", "the application"),
        ("siteUser", ""),
        ("device", "the device"),
        ("user", ""),
    ];
    let found = kinds.into_iter().find_map(|(kind, what)| {
        let name = named(&identities[kind]).or_else(|| text(&identities[kind]["loginName"]))?;
        Some(format!("{what} {name}").trim().to_owned())
    });
    Err(found.unwrap_or_else(|| "somebody whom Graph does not name".to_owned()))
}

/// Whether a live permission is such a link for these people.
fn is_link(there: &Value, scope: &str, kind: &str, people: &[Person]) -> bool {
    let link = &there["link"];
    let same_kind = link["type"] == kind
        || (kind == "blocksDownload" && link["preventsDownload"] == true && link["type"] == "view");
    if link["scope"] != scope || !same_kind || there["hasPassword"] == true {
        return false;
    }
    let identities = there["grantedToIdentitiesV2"].as_array();
    let has: Vec<String> = identities.into_iter().flatten().map(principal).collect();
    people.iter().all(|person| has.contains(&person.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: &str, role: &str) -> Value {
        json!({ "id": format!("g-{id}"), "roles": [role],
                "grantedToV2": { "user": { "id": id, "displayName": id.to_uppercase() } } })
    }

    fn group() -> Value {
        json!({ "id": "m", "roles": ["write"],
                "grantedToV2": { "siteGroup": { "id": "5", "displayName": "Members" } } })
    }

    fn wanted(permissions: Value, sharing: Value, live: &[Value]) -> Wanted {
        let record = json!({ "permissions": permissions, SHARING: sharing });
        Wanted::of(&record, live, "2026-06-01T00:00:00Z".parse().unwrap())
    }

    fn granted(wanted: &Wanted) -> Vec<(&str, Vec<&str>)> {
        let all = wanted.grants.iter();
        all.map(|(role, people)| (*role, people.iter().map(|p| p.id.as_str()).collect()))
            .collect()
    }

    #[test]
    fn only_what_is_its_own_and_not_there_is_given() {
        let all = json!([
            grant("own", "owner"),
            grant("a", "write"),
            grant("b", "read"),
            group()
        ]);
        let live = [grant("own", "owner"), grant("b", "read")];
        let some = wanted(
            all.clone(),
            json!({ "inherited": ["m"], "unique": false }),
            &live,
        );
        assert_eq!(granted(&some), [("write", vec!["a"])]);
        assert!(some.notes.is_empty(), "{:?}", some.notes);
        // Cut off from above, everything is given again, and what can't be is named.
        let all = wanted(all, json!({ "inherited": ["m"], "unique": true }), &live);
        assert_eq!(granted(&all), [("write", vec!["a"]), ("read", vec!["b"])]);
        assert_eq!(
            all.notes,
            ["access of the site's group Members: Graph can't give it"]
        );
    }

    #[test]
    fn links_that_cannot_be_made_are_named() {
        let link = |scope: &str, more: Value| {
            let mut link = json!({ "id": scope, "roles": ["read"], "grantedToIdentitiesV2": [],
                                   "link": { "scope": scope, "type": "view" } });
            crate::workload::merge(&mut link, &more);
            link
        };
        let people =
            json!({ "grantedToIdentitiesV2": [{ "user": { "id": "A", "displayName": "Ann" } }] });
        let all = json!([
            link("organization", json!({ "hasPassword": true })),
            link(
                "anonymous",
                json!({ "expirationDateTime": "2026-05-01T00:00:00Z" })
            ),
            link(
                "anonymous",
                json!({ "expirationDateTime": "2026-07-01T00:00:00Z" })
            ),
            link("users", json!({})),
            link("users", people.clone()),
            link("existingAccess", json!({})),
        ]);
        let some = wanted(all.clone(), json!({}), &[]);
        let scopes: Vec<_> = some.links.iter().map(|(body, _)| &body["scope"]).collect();
        assert_eq!(scopes, ["anonymous", "users"]);
        assert!(
            some.links
                .iter()
                .all(|(body, _)| body["sendNotification"] == false)
        );
        assert_eq!(some.notes.len(), 3, "{:?}", some.notes);
        // There already, for the same people.
        let there = [link("users", people), link("anonymous", json!({}))];
        assert!(wanted(all, json!({}), &there).links.is_empty());
    }
}
