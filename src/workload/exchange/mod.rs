//! The mailbox import/export API: every item of a mailbox as a stream that restores it exactly, twenty
//! with one request. What the mail and the archive workload share of it.
//!
//! Archives are known to Graph's beta version only, and spoken to there; the primary mailbox through
//! v1.0. Whether an application may export or import is learnt from the first refusal and remembered
//! as long as the process runs, so that the other way costs no request more.

mod export;
mod import;

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use serde_json::Value;

use super::Account;
use crate::graph::{Call, Client, ErrorClass, GraphError, Scope};

pub(super) use export::{MAX_STREAM, render, single};
pub(super) use import::{Imported, changed, marked};

/// Items with one request, and what their streams may take together.
pub(super) const BATCH: super::Batch = super::Batch {
    items: 20,
    bytes: 32 << 20,
};

/// Ids that survive moves. Must be on every request, also on links.
pub(super) const IMMUTABLE: &str = "IdType=\"ImmutableId\"";

const SETTINGS: &str = "/users/{user}/settings/exchange";

/// Users whose mailbox ids are remembered.
const MAX_KNOWN: usize = 100_000;

/// Where a mailbox is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// The primary mailbox, by its id.
    Primary(String),
    /// An archive, by its id.
    Archive(String),
    /// One of the mailboxes an auto-expanding archive consists of: the URL that Graph told.
    Part(String),
}

impl Place {
    /// A call below the mailbox. `call` is what stands behind `.../mailboxes/{mailbox}`.
    pub fn call(&self, call: Call) -> Call {
        match self {
            Place::Primary(id) => call.within("/admin/exchange/mailboxes/", id),
            Place::Archive(id) => call.within("/admin/exchange/mailboxes/", id).beta(),
            Place::Part(url) => call.below(url),
        }
    }
}

/// The ids of a user's mailboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub primary: Option<String>,
    pub archive: Option<String>,
}

/// The API with one identity.
pub(super) struct Exchange {
    client: Client,
    /// Archives are wanted too, which only the beta version tells of.
    archives: bool,
    known: Mutex<HashMap<String, Ids>>,
    /// Users whose mailboxes this identity may not export from, or import to.
    no_export: Mutex<HashSet<String>>,
    no_import: Mutex<HashSet<String>>,
    sessions: import::Sessions,
}

impl Exchange {
    pub fn new(client: Client, archives: bool) -> Self {
        Self {
            client,
            archives,
            known: Mutex::default(),
            no_export: Mutex::default(),
            no_import: Mutex::default(),
            sessions: import::Sessions::default(),
        }
    }

    pub fn scope(account: &Account) -> Scope {
        Scope::Mailbox(account.id.clone())
    }

    /// Counts a call against its user and asks for immutable ids.
    pub fn of(account: &Account, call: Call) -> Call {
        call.scope(Self::scope(account), 1).prefer(IMMUTABLE)
    }

    /// The ids of a user's mailboxes, asked for once.
    pub async fn ids(&self, account: &Account) -> Result<Ids, GraphError> {
        if let Some(ids) = self.known.lock().get(&account.id) {
            return Ok(ids.clone());
        }
        let ids = self.ask_ids(account).await?;
        let mut known = self.known.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(account.id.clone(), ids.clone());
        Ok(ids)
    }

    async fn ask_ids(&self, account: &Account) -> Result<Ids, GraphError> {
        let call = Call::get(SETTINGS, &[&account.id]);
        let call = if self.archives { call.beta() } else { call };
        let settings = self.client.json(&Self::of(account, call)).await?;
        let id = |name: &str| {
            let id = settings[name].as_str().filter(|id| !id.is_empty());
            id.map(str::to_owned)
        };
        Ok(Ids {
            primary: id("primaryMailboxId"),
            archive: id("inPlaceArchiveMailboxId"),
        })
    }

    /// The primary mailbox, if this API reaches it.
    pub async fn primary(&self, account: &Account) -> Result<Option<Place>, GraphError> {
        Ok(self.ids(account).await?.primary.map(Place::Primary))
    }

    /// The archive, if there is one.
    pub async fn archive(&self, account: &Account) -> Result<Option<Place>, GraphError> {
        Ok(self.ids(account).await?.archive.map(Place::Archive))
    }

    /// Whether exporting from a user's mailboxes was refused before.
    pub fn may_export(&self, account: &Account) -> bool {
        !self.no_export.lock().contains(&account.id)
    }

    /// Whether importing into a user's mailboxes was refused before.
    pub fn may_import(&self, account: &Account) -> bool {
        !self.no_import.lock().contains(&account.id)
    }

    /// Remembers a refusal for good of the whole API.
    pub fn refused_export(&self, account: &Account, error: &GraphError) -> bool {
        let refused = is_refused(error);
        if refused && self.no_export.lock().insert(account.id.clone()) {
            tracing::warn!(account = %account.upn, %error, "items can't be exported");
        }
        refused
    }

    fn refused_import(&self, account: &Account, error: &GraphError) -> bool {
        let refused = is_refused(error);
        if refused && self.no_import.lock().insert(account.id.clone()) {
            tracing::warn!(account = %account.upn, %error, "items can't be imported");
        }
        refused
    }
}

/// A permission is missing, or this cloud has no such API.
fn is_refused(error: &GraphError) -> bool {
    match error.class {
        ErrorClass::Denied | ErrorClass::Unsupported => true,
        ErrorClass::Ours | ErrorClass::NotFound => {
            error.is_code("BadRequest")
                || error.is_code("UnknownRoute")
                || error.status == Some(404)
        }
        _ => false,
    }
}

/// A value of `singleValueExtendedProperties`, by an id in Exchange's own spelling or ours.
pub(super) fn extended<'a>(record: &'a Value, id: &str) -> Option<&'a str> {
    let all = record["singleValueExtendedProperties"].as_array()?;
    let found = all
        .iter()
        .find(|p| p["id"].as_str().is_some_and(|its| same_id(its, id)))?;
    found["value"].as_str()
}

/// Ids come back in lower case and without leading zeros: `Integer 0xe08`.
pub(super) fn same_id(a: &str, b: &str) -> bool {
    let words = |id: &str| -> Vec<String> {
        let lower = id.to_ascii_lowercase();
        let word = |w: &str| match w.strip_prefix("0x") {
            Some(hex) => format!("0x{}", hex.trim_start_matches('0')),
            None => w.to_owned(),
        };
        lower.split_whitespace().map(word).collect()
    };
    words(a) == words(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn extended_properties_in_any_spelling() {
        let record = json!({ "singleValueExtendedProperties": [
            { "id": "String 0x37", "value": "s" },
            { "id": "SystemTime {00062002-0000-0000-c000-000000000046} Id 0x820d", "value": "t" },
        ]});
        assert_eq!(extended(&record, "String 0x0037"), Some("s"));
        let start = "SystemTime {00062002-0000-0000-C000-000000000046} Id 0x820D";
        assert_eq!(extended(&record, start), Some("t"));
        assert_eq!(extended(&record, "String 0x0038"), None);
        assert_eq!(extended(&json!({}), "String 0x0037"), None);
    }

    #[test]
    fn places_keep_version_and_host() {
        let call = || Call::get("/folders/{folder}/items", &["a/b"]).query("$top", "5");
        assert_eq!(
            Place::Primary("MBX:a@b".into()).call(call()).path(),
            "/admin/exchange/mailboxes/MBX%3Aa%40b/folders/a%2Fb/items?$top=5"
        );
        assert_eq!(
            Place::Part("https://graph.example/beta/x/".into())
                .call(call())
                .path(),
            "https://graph.example/beta/x/folders/a%2Fb/items?$top=5"
        );
    }
}
