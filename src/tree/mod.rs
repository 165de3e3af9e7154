//! Snapshots as Merkle trees: maps, directories, names, collections, views and differences.
//!
//! - [`map`]: a sorted map of bytes in the repository, the base of everything here.
//! - [`entry`] and [`names`]: what a directory has for each name, and what names look like.
//! - [`editor`]: keeps a [`collection`]'s directories right while its items change in any order.
//! - [`versions`]: what older versions of a file hang on its entry.
//! - [`view`], [`diff`], [`damage`]: reading a snapshot's tree, comparing two, finding what is hit.
//! - [`reach`]: all objects that a snapshot needs.
//! - [`mend`]: what is left where objects are lost.
//! - [`state`]: what a snapshot carries besides its tree.
//! - [`copy`]: all that a snapshot refers to, brought to another repository.
//!
//! Everything is synchronous and knows nothing of Graph. All that is read is checked as if it were
//! hostile: bounded, never a panic.

mod apply;
mod codec;
pub mod collection;
pub mod copy;
mod cursor;
pub mod damage;
pub mod diff;
pub mod editor;
#[cfg(test)]
mod editor_tests;
pub mod entry;
pub mod key;
pub mod map;
mod mapdiff;
pub mod mend;
pub mod names;
mod node;
mod nodes;
mod overlay;
pub mod reach;
pub mod records;
mod references;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
pub mod versions;
pub mod view;

pub use collection::{CollectionRoot, Reason};
pub use editor::{Editor, Item, Round, Scope, Unplaced};
pub use entry::{Entry, EntryKind};
pub use key::ItemKey;
pub use map::{Map, MapRoot, Shape};
pub use mapdiff::{MapChange, MapDiff};
pub use node::{MAX_KEY, MAX_VALUE};
pub use nodes::{DEFAULT_CACHE, NodeSink, NodeSource, Nodes};

use crate::repo::RepoError;

/// Why a tree could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Bytes that are authentic but are not what they should be.
    #[error(
        "a {what} cannot be read: {why}; run `tenantfs verify --read-data` to see what it hits"
    )]
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A key or value longer than maps take.
    #[error("a {what} of {size} bytes is too long for a directory, the limit is {limit}")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The caller broke the rule of [`Map::apply`](map::Map::apply).
    #[error("edits of a map are not sorted by key; this is a fault of tenantfs, please report it")]
    Unsorted,
}
