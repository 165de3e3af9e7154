//! What a feed tells: pages of changes, where to go on, and what became of what left it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ItemError;
#[cfg(doc)]
use super::Workload;
use crate::graph::{ErrorClass, GraphError};

/// One stream of changes of an account (all folders, the messages of one folder, a drive).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FeedId(pub String);

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where to go on with a feed. The strings are the workload's own; store and return them as is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cursor {
    /// More pages of this round follow.
    More(String),
    /// The round is complete; the next cycle starts here.
    Done(String),
}

/// One page of a feed.
#[derive(Clone, Debug)]
pub struct Page {
    /// What changed, in the order told. The same id may come twice (the last one wins), a child
    /// may come before its parent, and a change may be told again in a later round.
    pub changes: Vec<Change>,
    /// Where the feed goes on.
    pub cursor: Cursor,
    /// This page belongs to an enumeration of everything: when its round is done, whatever the
    /// collection holds of this feed and was not told in the round is gone.
    pub full: bool,
}

/// One thing that a page tells.
#[derive(Clone, Debug)]
pub enum Change {
    /// A folder is there (new, renamed, moved, or only mentioned).
    Folder {
        /// Graph's id.
        id: String,
        /// `None`: directly below the collection's root.
        parent: Option<String>,
        /// What Graph says of it.
        record: Value,
        /// The feed with this folder's items, if they do not come with this one.
        feed: Option<FeedId>,
    },
    /// An item is there. A record may be partial: lay it over the stored one, property by
    /// property (see [`merge`]).
    Item {
        /// Graph's id.
        id: String,
        /// Id of the folder that it is in, or was.
        parent: Option<String>,
        /// What Graph says of it.
        record: Value,
    },
    /// An item or folder left this feed. With `verify`, it may live elsewhere: ask
    /// [`Workload::verify_removed`] for it unless this cycle saw it added somewhere.
    Removed {
        /// Graph's id.
        id: String,
        /// Id of the folder that it is in, or was.
        parent: Option<String>,
        /// It may live elsewhere.
        verify: bool,
    },
    /// An item that is there but could not be read. What is stored of it stays; it goes on the
    /// list of failed items and is tried again through [`Workload::verify_removed`] + `fetch`.
    Skipped {
        /// Graph's id.
        id: String,
        /// Id of the folder that it is in, or was.
        parent: Option<String>,
        /// As far as it is known, for the report.
        name: String,
        /// What sort of failure. `NotFound`: it was told, and is not there when it is asked for; it is asked for
        /// once more at the end of the cycle.
        class: ErrorClass,
        /// For people.
        reason: String,
    },
    /// These items are in a folder, and no others: what else it held is gone. Without any, so is the folder.
    Holds {
        /// Its id.
        folder: String,
        /// Id of the folder that it is in, or was.
        parent: Option<String>,
        /// Their ids.
        items: Vec<String>,
    },
    /// A line for the report; nothing failed.
    Noted {
        /// Graph's id.
        id: String,
        /// As far as it is known, for the report.
        name: String,
        /// What it says.
        note: String,
    },
}

/// Why a feed gave no page.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedError {
    /// The cursor is dead. Call `page` again with `start`: a full enumeration begins.
    #[error("the change history of this feed was lost by the service; enumerating it anew")]
    Reset {
        /// A cursor to begin with; `None`: without one.
        start: Option<String>,
    },
    /// What the feed is about does not exist any more: all of its items are gone.
    #[error("the folder or drive behind this feed does not exist any more")]
    Gone,
    /// Anything else, after all retries. The cursor stays as it was.
    #[error(transparent)]
    Failed(#[from] GraphError),
}

/// What became of an id that left its feed.
#[derive(Clone, Debug)]
pub enum Alive {
    /// It does not exist any more.
    Gone,
    /// It lives: its record as a feed would tell it, and where it is now.
    Here {
        /// Id of the folder that it is in.
        parent: Option<String>,
        /// What Graph says of it.
        record: Value,
    },
    /// It could not be asked; keep what is stored and ask again in the next cycle.
    Unknown(ItemError),
}

/// The record's property with the id that the collection knows it by, where Graph's own `id` is not
/// unique in it (items of several drives or lists).
pub(super) const ID: &str = "tenantfsId";

/// The id of an item or folder, from its record.
pub fn id_in(record: &Value) -> Option<&str> {
    record[ID].as_str().or_else(|| record["id"].as_str())
}

/// Lays a partial record over the stored one: properties told now replace, others stay. How it was asked
/// for is no property of it.
pub fn merge(stored: &mut Value, told: &Value) {
    match (stored.as_object_mut(), told.as_object()) {
        (Some(old), Some(new)) => {
            for (name, value) in new {
                old.insert(name.clone(), value.clone());
            }
        }
        _ => *stored = told.clone(),
    }
    if let Some(stored) = stored.as_object_mut() {
        stored.remove("@odata.context");
    }
}
