//! What the cursors of mail feeds hold. They are JSON, opaque to everybody else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::workload::FeedError;

/// A cursor of the folder feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderCursor {
    /// Next or delta link; `None` begins anew (after a walk without delta).
    pub link: Option<String>,
    /// The round lists everything.
    #[serde(default)]
    pub full: bool,
    /// Id of the folder that all visible folders hang below.
    pub root: String,
    /// Id to well-known name, asked once because Graph's folder JSON does not tell.
    pub well_known: BTreeMap<String, String>,
}

impl FolderCursor {
    /// Begins anew where a round is done; what was asked for once is kept. `None`: the next round
    /// does by itself.
    pub fn anew(cursor: &str) -> Option<String> {
        let at: Self = read(cursor).ok()?;
        at.link.as_ref()?;
        Some(write(&Self { link: None, ..at }))
    }
}

/// How the messages of a folder are learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Delta with whole records.
    #[default]
    Delta,
    /// Delta with ids and read state only, records asked singly: some message spoils its page.
    DeltaLight,
    /// Delta with ids only, for when even that fails.
    DeltaIds,
    /// A plain listing: the mailbox is full, and delta would write to it.
    List,
    /// A plain listing of ids, records asked singly.
    ListIds,
}

impl Mode {
    /// What to try when a page of this mode is spoiled.
    pub fn lighter(self) -> Option<Self> {
        match self {
            Self::Delta => Some(Self::DeltaLight),
            Self::DeltaLight => Some(Self::DeltaIds),
            Self::List => Some(Self::ListIds),
            Self::DeltaIds | Self::ListIds => None,
        }
    }

    pub fn is_delta(self) -> bool {
        matches!(self, Self::Delta | Self::DeltaLight | Self::DeltaIds)
    }

    /// Records come with the page.
    pub fn has_records(self) -> bool {
        matches!(self, Self::Delta | Self::List)
    }
}

/// A cursor of a message feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MessageCursor {
    #[serde(default)]
    pub mode: Mode,
    /// Next or delta link; `None` begins an enumeration.
    pub link: Option<String>,
    #[serde(default)]
    pub full: bool,
}

impl MessageCursor {
    /// Begins anew where a round is done. `None`: the next round does by itself.
    pub fn anew(cursor: &str) -> Option<String> {
        let at: Self = read(cursor).ok()?;
        at.link.map(|_| write(&Self::default()))
    }
}

/// Reads a cursor; one that is not ours (or from a future version) begins anew.
pub(in crate::workload) fn read<T: for<'a> Deserialize<'a>>(cursor: &str) -> Result<T, FeedError> {
    serde_json::from_str(cursor).map_err(|_| FeedError::Reset { start: None })
}

pub(in crate::workload) fn write<T: Serialize>(cursor: &T) -> String {
    // Strings and booleans always serialize.
    serde_json::to_string(cursor).unwrap_or_default()
}
