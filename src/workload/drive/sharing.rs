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

use super::permissions::MAX;
use super::wanted::{Person, Wanted, audience};
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
    /// Whether something gets its permissions again where it is put, which may be where it is from.
    pub fn apply(self, is_home: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::SameAccount => is_home(),
        }
    }

    /// The same for what `record` is of, in a drive, of this site collection.
    pub(super) fn apply_in(self, drive: &str, collection: Option<&str>, record: &Value) -> bool {
        record["permissions"].is_array() && self.apply(|| is_home(drive, collection, record))
    }
}

/// Whether what `record` is of was in this drive, or in this site collection.
pub(super) fn is_home(drive: &str, collection: Option<&str>, record: &Value) -> bool {
    let place = &record["parentReference"];
    let site = place["siteId"]
        .as_str()
        .or_else(|| record["sharePointIds"]["siteId"].as_str());
    let same = |a: Option<&str>, b: &str| a.is_some_and(|a| a.eq_ignore_ascii_case(b));
    place["driveId"] == drive || collection.is_some_and(|own| same(site, own))
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

    #[test]
    fn the_place_decides_whether_anything_is_given() {
        let record =
            json!({ "permissions": [], "parentReference": { "driveId": "d", "siteId": "S" } });
        let default = RestorePermissions::default();
        assert!(default.apply_in("d", None, &record));
        assert!(!default.apply_in("e", None, &record));
        assert!(default.apply_in("e", Some("s"), &record));
        assert!(!default.apply_in("e", Some("t"), &record));
        assert!(RestorePermissions::Always.apply_in("e", None, &record));
        assert!(!RestorePermissions::Never.apply_in("d", None, &record));
        assert!(!RestorePermissions::Always.apply_in("d", None, &json!({})));
    }
}
