//! Root feeds that list everything of a kind in each round: the lists, or the libraries, of a site.
//!
//! Listings of sites were seen with holes: what is missing from one is asked for by its id before it counts as
//! gone. What is hidden meanwhile is gone, too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::graph::{BATCH, Call, Client, GraphError, Scope};
use crate::workload::{Change, Cursor, FeedError, Page};

/// Ids of what was there.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    there: BTreeSet<String>,
}

/// How one kind is listed.
pub(super) struct Kind<'a> {
    pub client: &'a Client,
    pub is_captured: &'a (dyn Fn(&Value) -> bool + Sync),
    /// Asks for one by its id.
    pub one: &'a (dyn Fn(&str) -> Call + Sync),
    /// What the feed tells of one.
    pub tell: &'a (dyn Fn(String, Value) -> Vec<Change> + Sync),
}

impl Kind<'_> {
    /// A round of the feed, from its cursor and what the service lists.
    pub async fn round(
        &self,
        cursor: Option<&str>,
        listed: Result<Vec<Value>, GraphError>,
    ) -> Result<Page, FeedError> {
        let before: Known = cursor
            .and_then(|cursor| serde_json::from_str(cursor).ok())
            .unwrap_or_default();
        let listed = match listed {
            Ok(listed) => listed,
            Err(e) if e.class.is_gone() => return Err(FeedError::Gone),
            Err(e) => return Err(e.into()),
        };
        let mut now = Known::default();
        let mut changes = Vec::new();
        for record in listed.into_iter().filter(|one| (self.is_captured)(one)) {
            let id = record["id"].as_str().unwrap_or_default().to_owned();
            now.there.insert(id.clone());
            changes.extend((self.tell)(id, record));
        }
        let missing: Vec<String> = before.there.difference(&now.there).cloned().collect();
        for ids in missing.chunks(BATCH) {
            let calls: Vec<Call> = ids.iter().map(|id| (self.one)(id)).collect();
            let answers = self.client.batch(Scope::Drives, &calls).await?;
            for (id, answer) in ids.iter().zip(answers) {
                let stays = match answer {
                    Ok(part) => (self.is_captured)(&part.body),
                    Err(e) => !e.class.is_gone(),
                };
                match stays {
                    true => drop(now.there.insert(id.clone())),
                    false => changes.push(Change::Removed {
                        id: id.clone(),
                        parent: None,
                        verify: false,
                    }),
                }
            }
        }
        Ok(Page {
            changes,
            cursor: Cursor::Done(serde_json::to_string(&now).unwrap_or_default()),
            full: false,
        })
    }
}
