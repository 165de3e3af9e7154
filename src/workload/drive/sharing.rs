//! Gives a restored file or folder the access that it had: links first, then grants, since breaking the
//! inheritance drops what was granted before.
//!
//! Invariants:
//! - Nobody is told: no invitation and no notification is ever asked for.
//! - What an item inherits comes with its place and is not given to it again.
//! - What cannot be given is a line of the log. The file is there all the same.
//! - Done twice it is done once: what is in force already is left alone.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::permissions::{MAX, SHARING, is_owner, principal};
use super::{Drive, PERMISSIONS};
use crate::graph::{Call, GraphError, Scope};

const ITEM: &str = "/drives/{drive}/items/{item}/permissions";
const ONE: &str = "/drives/{drive}/items/{item}/permissions/{permission}";
const GRANT: &str = "/drives/{drive}/items/{item}/permissions/{permission}/grant";
const LINK: &str = "/drives/{drive}/items/{item}/createLink";
const INVITE: &str = "/drives/{drive}/items/{item}/invite";

/// When a restored item gets the permissions of its original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestorePermissions {
    /// When it goes back to the OneDrive or site that it is from: elsewhere it belongs to others.
    #[default]
    SameAccount,
    /// Wherever it goes.
    Always,
    /// It has those of the folder it comes into.
    Never,
}

impl RestorePermissions {
    /// Whether what `record` is of gets its permissions again in a drive, of this site collection.
    pub(super) fn apply(self, drive: &str, collection: Option<&str>, record: &Value) -> bool {
        if !record["permissions"].is_array() {
            return false;
        }
        let place = &record["parentReference"];
        let site = place["siteId"]
            .as_str()
            .or_else(|| record["sharePointIds"]["siteId"].as_str());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::SameAccount => {
                let same = |a: Option<&str>, b: &str| a.is_some_and(|a| a.eq_ignore_ascii_case(b));
                place["driveId"] == drive || collection.is_some_and(|own| same(site, own))
            }
        }
    }
}

/// Somebody to whom something is given.
#[derive(Clone, Debug, PartialEq)]
struct Person {
    /// As `invite` takes it.
    recipient: Value,
    /// For the log.
    name: String,
    /// See [`principal`].
    id: String,
}

/// What is to be given.
#[derive(Debug, Default)]
struct Wanted {
    /// Body of the `createLink`, and for whom.
    links: Vec<(Value, Vec<Person>)>,
    /// By role.
    grants: Vec<(&'static str, Vec<Person>)>,
    /// Nothing is inherited.
    unique: bool,
    notes: Vec<String>,
}

impl Wanted {
    /// `live` is what is in force on the restored item already.
    fn of(record: &Value, live: &[Value], now: Timestamp) -> Self {
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

fn audience(scope: &str) -> &str {
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

/// One item that is being shared again.
struct Sharer<'a> {
    drive: &'a Drive,
    at: [&'a str; 2],
    /// The next call is the first one, and breaks the inheritance.
    breaks: bool,
    notes: Vec<String>,
}

impl Drive {
    /// Gives an item the permissions in `record`. Returns what could not be given.
    ///
    /// # Errors
    /// What passes: then it may be done again.
    pub(in crate::workload) async fn share_again(
        &self,
        drive: &str,
        item: &str,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let call = Call::get(ITEM, &[drive, item]).scope(Scope::Drives, PERMISSIONS);
        let live = match self.client.pages(call, MAX).await {
            Ok(live) => live,
            Err(e) if e.class.is_temporary() => return Err(e),
            Err(e) => return Ok(vec![format!("permissions: {e}")]),
        };
        let wanted = Wanted::of(record, &live, Timestamp::now());
        let mut sharer = Sharer {
            drive: self,
            at: [drive, item],
            breaks: wanted.unique,
            notes: wanted.notes,
        };
        for (body, people) in wanted.links {
            sharer.link(body, people).await?;
        }
        for (role, people) in wanted.grants {
            sharer.grant(role, people).await?;
        }
        if sharer.breaks {
            sharer.cut_off().await?;
        }
        let notes = sharer.notes.into_iter();
        Ok(notes.map(|note| format!("permissions: {note}")).collect())
    }
}

impl Sharer<'_> {
    async fn send(&mut self, route: &'static str, mut body: Value) -> Result<Value, GraphError> {
        body["retainInheritedPermissions"] = json!(!self.breaks);
        // Only of links for certain people there may be several.
        let several = route == LINK && body["scope"] == "users";
        let mut call = Call::post(route, &self.at, body).scope(Scope::Drives, PERMISSIONS);
        if !several {
            call = call.repeatable();
        }
        let answer = self.drive.client.json(&call).await?;
        self.breaks = false;
        Ok(answer)
    }

    /// Makes a link. Where one of the people is not known any more, the others still get it.
    async fn link(&mut self, body: Value, people: Vec<Person>) -> Result<(), GraphError> {
        let what = format!(
            "a link ({}, for {})",
            body["type"].as_str().unwrap_or_default(),
            audience(body["scope"].as_str().unwrap_or_default())
        );
        let refused = match self.send(LINK, with(&body, &people)).await {
            Ok(_) => return Ok(()),
            Err(e) if e.class.is_temporary() => return Err(e),
            Err(e) => e,
        };
        if people.len() < 2 {
            let names = people.iter().map(|person| person.name.as_str()).next();
            let whose = names.map(|name| format!(" for {name}")).unwrap_or_default();
            self.notes.push(format!(
                "{what} is not made again{whose}: {}",
                why(&refused)
            ));
            return Ok(());
        }
        let mut made: Option<String> = None;
        for person in people {
            let one = [person];
            let outcome = match &made {
                None => self.send(LINK, with(&body, &one)).await.map(|link| {
                    made = link["id"].as_str().map(str::to_owned);
                }),
                Some(link) => self.add(link, &body["type"], &one).await,
            };
            self.told(outcome, &what, &one)?;
        }
        Ok(())
    }

    /// Gives a link that is there to somebody else.
    async fn add(&self, link: &str, kind: &Value, people: &[Person]) -> Result<(), GraphError> {
        let at = [self.at[0], self.at[1], link];
        let role = if kind == "edit" { "write" } else { "read" };
        let body = with(&json!({ "roles": [role] }), people);
        let call = Call::post(GRANT, &at, body).scope(Scope::Drives, PERMISSIONS);
        self.drive.client.json(&call.repeatable()).await.map(drop)
    }

    async fn grant(&mut self, role: &str, people: Vec<Person>) -> Result<(), GraphError> {
        let body = json!({ "roles": [role], "requireSignIn": true, "sendInvitation": false });
        let what = format!("access ({role})");
        match self.send(INVITE, with(&body, &people)).await {
            Ok(_) => return Ok(()),
            Err(e) if people.len() < 2 => return self.told(Err(e), &what, &people),
            Err(e) if e.class.is_temporary() => return Err(e),
            Err(_) => {}
        }
        for person in people {
            let one = [person];
            let outcome = self.send(INVITE, with(&body, &one)).await.map(drop);
            self.told(outcome, &what, &one)?;
        }
        Ok(())
    }

    /// Nothing was given, and nothing is to be inherited: a link for nobody breaks the inheritance, and
    /// goes again.
    async fn cut_off(&mut self) -> Result<(), GraphError> {
        let body = json!({ "type": "view", "scope": "users", "sendNotification": false });
        let link = match self.send(LINK, body).await {
            Ok(link) => link,
            Err(e) if e.class.is_temporary() => return Err(e),
            Err(e) => {
                let note = format!("it inherits what it did not inherit before: {}", why(&e));
                self.notes.push(note);
                return Ok(());
            }
        };
        let Some(id) = link["id"].as_str() else {
            return Ok(());
        };
        let at = [self.at[0], self.at[1], id];
        let call = Call::new(Method::DELETE, ONE, &at).scope(Scope::Drives, PERMISSIONS);
        match self.drive.client.send(&call).await {
            Err(e) if e.class.is_temporary() => Err(e),
            // It opens the item to nobody.
            _ => Ok(()),
        }
    }

    fn told(
        &mut self,
        outcome: Result<(), GraphError>,
        what: &str,
        people: &[Person],
    ) -> Result<(), GraphError> {
        match outcome {
            Ok(()) => Ok(()),
            Err(e) if e.class.is_temporary() => Err(e),
            Err(e) => {
                let names: Vec<&str> = people.iter().map(|p| p.name.as_str()).collect();
                let names = names.join(", ");
                self.notes
                    .push(format!("{what} is not given to {names}: {}", why(&e)));
                Ok(())
            }
        }
    }
}

fn with(body: &Value, people: &[Person]) -> Value {
    let mut body = body.clone();
    if !people.is_empty() {
        body["recipients"] = people.iter().map(|p| p.recipient.clone()).collect();
    }
    body
}

fn why(e: &GraphError) -> String {
    if e.is_code("noResolvedUsers") {
        "nobody of that name is there now".to_owned()
    } else if e.is_code("sharingDisabled") {
        "sharing with them is switched off".to_owned()
    } else {
        e.to_string()
    }
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

    #[test]
    fn the_place_decides_whether_anything_is_given() {
        let record =
            json!({ "permissions": [], "parentReference": { "driveId": "d", "siteId": "S" } });
        let default = RestorePermissions::default();
        assert!(default.apply("d", None, &record));
        assert!(!default.apply("e", None, &record));
        assert!(default.apply("e", Some("s"), &record));
        assert!(!default.apply("e", Some("t"), &record));
        assert!(RestorePermissions::Always.apply("e", None, &record));
        assert!(!RestorePermissions::Never.apply("d", None, &record));
        assert!(!RestorePermissions::Always.apply("d", None, &json!({})));
    }
}
