//! What Graph can't give back to a list or an item, and SharePoint's own interface can, for an identity with a
//! certificate: who alone may open it, hyperlinks, who made it and when. Without one it is named.
//!
//! Invariant: what only some had access to has its values written when nobody else has access.

use serde_json::{Map, Value};

use super::Lists;
use super::references::References;
use super::values::not_set;
use crate::graph::{ErrorClass, GraphError};
use crate::workload::sites::collection_id;
use crate::workload::sites::rest::Web;
use crate::workload::sites::rest::assign::Securable;
use crate::workload::sites::rest::item::{Place, Signature, Signing};
use crate::workload::sites::rest::roles;
use crate::workload::{Account, LiveEntry};

/// Property of the record of an attachment: whether only some had access to its item. Who, the item's own
/// record tells.
pub(super) const RESTRICTED: &str = "restricted";

/// What is written of an item that way.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    pub record: &'a Value,
    /// Hyperlinks by column.
    pub links: &'a Map<String, Value>,
    /// It came out of a snapshot, and not from a person who wrote it now.
    pub original: bool,
}

/// Those who alone had access, from a record; empty: nobody knows who.
fn own_roles(record: &Value) -> Option<&[Value]> {
    match &record[roles::PROPERTY] {
        Value::Array(own) => Some(own),
        _ if record[RESTRICTED] == true => Some(&[]),
        _ => None,
    }
}

impl Lists {
    /// Who alone gets access to an item that is put into this site: those who had it, if it is from here.
    pub(super) fn roles_to_give<'a>(
        &self,
        account: &Account,
        record: &'a Value,
    ) -> Option<&'a [Value]> {
        self.live.client.sharepoint().ok()?;
        let site = record["parentReference"]["siteId"].as_str();
        let is_home = || {
            let from = site.and_then(collection_id);
            from.is_some() && from == collection_id(&account.id)
        };
        self.permissions
            .apply(is_home)
            .then(|| own_roles(record))
            .flatten()
    }

    /// What is said of an item that only some had access to, and that everybody gets.
    pub(super) fn opened(&self, account: &Account, record: &Value) -> Option<String> {
        match self.roles_to_give(account, record) {
            Some(_) => None,
            None => own_roles(record).map(|own| open_to_all(own, "")),
        }
    }

    /// Takes access from everybody, and gives it to those who had it.
    /// Returns what could not be done: that all have access to it after all, or that some have none.
    pub(super) async fn give_roles(
        &self,
        account: &Account,
        what: Securable<'_>,
        wanted: &[Value],
    ) -> Result<Vec<String>, GraphError> {
        let address = self.live.address(&account.id).await?;
        let web = self.web(&address);
        match web.restrict(what).await {
            Ok(()) => {}
            Err(e) if e.class.is_temporary() => return Err(e),
            Err(e) => return Ok(vec![open_to_all(wanted, &format!(" ({e})"))]),
        }
        match web.assign(&self.people, what, wanted).await {
            Ok(notes) => Ok(notes),
            Err(e) if e.class.is_temporary() => Err(e),
            // Nobody has access that should not, and that is better than an item that is not there.
            Err(e) => Ok(vec![format!(
                "only administrators have access to it: those who had could not be given it: {e}"
            )]),
        }
    }

    /// Writes hyperlinks, and who made the item and when. Comes after all else that changes it.
    pub(super) async fn write_own(
        &self,
        account: &Account,
        list: &str,
        item: &str,
        own: Own<'_>,
    ) -> Result<Vec<String>, GraphError> {
        if self.live.client.sharepoint().is_err() {
            return Ok(Vec::new());
        }
        let address = self.live.address(&account.id).await?;
        let web = self.web(&address);
        let place = Place { list, item };
        let mut notes = Vec::new();
        if !own.links.is_empty() {
            match web.set_links(place, own.links).await {
                Ok(()) => {}
                Err(e) if e.class.is_temporary() => return Err(e),
                Err(e) => notes.push(format!("hyperlinks could not be set: {e}")),
            }
        }
        if let Some(signature) = Signature::of(own.record).filter(|_| own.original) {
            let signing = Signing {
                people: &self.people,
                ways: &self.ways,
            };
            let reread = self.live.item(&account.id, list, item);
            notes.extend(web.sign(signing, place, &signature, reread).await?);
        }
        Ok(notes)
    }

    /// Says once more who made an item and when: something was added to it.
    pub(super) async fn sign_again(
        &self,
        account: &Account,
        list: &str,
        item: &str,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let own = Own {
            record,
            links: &Map::new(),
            original: true,
        };
        self.write_own(account, list, item, own).await
    }

    /// Hyperlinks that can't be set, in words.
    pub(super) fn without_links(&self, links: &Map<String, Value>) -> Vec<String> {
        match self.live.client.sharepoint() {
            Ok(()) => Vec::new(),
            Err(_) => {
                let note = |name: &String| not_set(name, "a hyperlink or picture");
                links.keys().map(note).collect()
            }
        }
    }

    /// Makes people that a record names known to the site where it does not know them, and adds them to `here`.
    pub(super) async fn introduce(
        &self,
        account: &Account,
        record: &Value,
        columns: &[Value],
        here: &mut References,
    ) -> Result<(), GraphError> {
        let strangers = here.strangers(record, columns);
        if strangers.is_empty() || self.live.client.sharepoint().is_err() {
            return Ok(());
        }
        let address = self.live.address(&account.id).await?;
        for login in strangers {
            match self.people.number(&self.web(&address), &login).await {
                Ok(Some(number)) => here.meet(number, &login),
                Ok(None) => {}
                Err(e) if e.class == ErrorClass::Denied => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Gives a list that was made for a restore the access that its original had, if it had its own.
    pub(super) async fn share_list(
        &self,
        account: &Account,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let Some(own) = own_roles(record) else {
            return Ok(Vec::new());
        };
        if self.live.client.sharepoint().is_err() {
            return Ok(vec![open_to_all(own, "")]);
        }
        let address = self.live.address(&account.id).await?;
        let is_home = || {
            let url = record["webUrl"].as_str().unwrap_or_default();
            let below = url
                .strip_prefix(&address)
                .is_some_and(|below| below.starts_with('/'));
            below && !address.is_empty()
        };
        match self.permissions.apply(is_home) {
            true => {
                self.give_roles(account, Securable::List(&folder.id), own)
                    .await
            }
            false => Ok(vec![open_to_all(own, "")]),
        }
    }

    /// A site of that address.
    pub(super) fn web<'a>(&'a self, address: &'a str) -> Web<'a> {
        Web {
            client: &self.live.client,
            address,
        }
    }
}

fn open_to_all(own: &[Value], why: &str) -> String {
    let names = own.iter().filter_map(|own| own["title"].as_str());
    let names: Vec<&str> = names.collect();
    let names = match names.as_slice() {
        [] => "some".to_owned(),
        names => names.join(", "),
    };
    format!("only these had access to it, now all who have access to where it is: {names}{why}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_of_an_item_that_is_open_now() {
        let own = [json!({ "title": "Bob" }), json!({ "title": "Owners" })];
        let said = open_to_all(&own, " (403)");
        assert!(said.ends_with(": Bob, Owners (403)"), "{said}");
        assert!(open_to_all(&[], "").ends_with(": some"));
        assert_eq!(own_roles(&json!({ "restricted": true })), Some(&[][..]));
        assert_eq!(own_roles(&json!({ "roleAssignments": null })), None);
    }
}
