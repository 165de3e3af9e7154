//! What is known of an item, and its content.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::Value;

#[cfg(doc)]
use super::Workload;
use crate::graph::{ErrorClass, GraphError};

/// Folder or item: what [`Workload::describe`] is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// What items are in.
    Folder,
    /// What has a content.
    Item,
}

/// Property of the record of an item for which the service tells no time: since when (Unix seconds) it is
/// as it is, which is when a capture noticed.
pub const SINCE: &str = "tenantfsSince";

/// How an item shows in the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// One path component, safe to use as a file name.
    pub name: String,
    /// Unix seconds.
    pub mtime: i64,
}

/// The bytes of an item.
pub enum Content {
    /// A whole mail (RFC 5322), in memory because its parts are stored separately.
    Mail(Bytes),
    /// A file that was made here (an `.ics`), in memory.
    File(Bytes),
    /// A file. The stream ends with an error when length or hash are wrong, or the download broke
    /// for good; nothing of it may be kept then. On [`ErrorClass::Corrupt`], `fetch` once again.
    Stream(BoxStream<'static, Result<Bytes, GraphError>>),
    /// An item that was exported: the stream that restores it exactly, and what shows it.
    Exported(Box<Exported>),
    /// There is no content, only the record (a shortcut to another drive).
    None,
}

/// What an exported item is kept as.
pub struct Exported {
    /// What people see of it.
    pub view: View,
    /// The stream, as the service gave it.
    pub stream: Bytes,
    /// Where large attachments are in the stream, each in pieces, in order.
    pub parts: Vec<Vec<Range<usize>>>,
    /// A line for the report; nothing is lost.
    pub note: Option<String>,
}

/// An older version of an item, as the service keeps it.
#[derive(Clone, Debug)]
pub struct Version {
    /// Unique among the versions of the item (`3.0`).
    pub id: String,
    /// When it was made, Unix seconds.
    pub mtime: i64,
    /// What Graph says of it.
    pub record: Value,
}

/// The file that shows an exported item.
pub enum View {
    /// A mail, whose parts are stored separately.
    Mail(Bytes),
    /// Any other file.
    File(Bytes),
    /// Nothing could be made of the stream: it is shown itself.
    Stream,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(bytes) => write!(f, "Mail({} bytes)", bytes.len()),
            Self::File(bytes) => write!(f, "File({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Exported(item) => write!(f, "Exported({} bytes)", item.stream.len()),
            Self::None => f.write_str("None"),
        }
    }
}

/// Why one item has no content now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ItemError {
    /// `NotFound`/`Gone`: it vanished meanwhile, the next round will tell; not a failure.
    pub class: ErrorClass,
    /// For the report.
    pub reason: String,
}

impl From<GraphError> for ItemError {
    fn from(e: GraphError) -> Self {
        Self {
            class: e.class,
            reason: e.to_string(),
        }
    }
}

/// A stored item or folder that waits for its details.
#[derive(Clone, Debug)]
pub struct Detail {
    /// To be completed.
    pub record: Value,
    /// Records of the folders that it lies in, the nearest first; their own details are there.
    pub above: Vec<Arc<Value>>,
}

/// Whether an account has this workload at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has one.
    Present,
    /// Not an error: no mailbox, no OneDrive, no licence.
    Absent {
        /// For the report.
        reason: String,
    },
}

/// How many items may be fetched with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// At most so many.
    pub items: usize,
    /// Bytes of their contents together, as far as [`Workload::content_size`] knows.
    pub bytes: u64,
}
