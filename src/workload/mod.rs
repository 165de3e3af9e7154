//! What tenantfs protects, one module per kind of thing, all behind one trait.
//!
//! A workload discovers the collections of an account, turns delta pages into [`Change`]s, says
//! how an item is named, brings its content, and (the other half) puts an item back. It speaks
//! through [`crate::graph`] only and stores nothing: cursors and records belong to the caller.
//!
//! Invariants:
//! - A cursor returned by [`Workload::page`] is opaque, self-contained and never ahead of the
//!   changes returned with it: whoever stores it with those changes loses nothing in a crash.
//! - One bad item is [`Change::Skipped`] or an [`ItemError`]; it never fails its folder.
//! - Nothing here sends mail or invitations, and nothing deletes a live item, except the one that
//!   an overwrite has just replaced.

pub mod archive;
mod attachments;
pub mod calendar;
pub mod contacts;
pub mod drive;
mod exchange;
mod known;
pub mod mail;
mod mailbox;
mod marker;
mod once;
mod ongoing;
pub mod settings;
pub mod sites;
pub mod todo;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub(crate) use known::believed;
pub use marker::{MARKER_ID, Marker, expand_marker};

pub use crate::graph::users::{Account, AccountKind};
use crate::graph::{ErrorClass, GraphError};
pub use crate::tree::ItemKey;

/// Turns a Graph id into an [`ItemKey`]. The hash is keyed by the repository, which workloads do
/// not know; they need it to name live items as the mount names captured ones.
pub type Keyer = Arc<dyn Fn(&str) -> ItemKey + Send + Sync>;

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
        id: String,
        /// `None`: directly below the collection's root.
        parent: Option<String>,
        record: Value,
        /// The feed with this folder's items, if they do not come with this one.
        feed: Option<FeedId>,
    },
    /// An item is there. A record may be partial: lay it over the stored one, property by
    /// property (see [`merge`]).
    Item {
        id: String,
        parent: Option<String>,
        record: Value,
    },
    /// An item or folder left this feed. With `verify`, it may live elsewhere: ask
    /// [`Workload::verify_removed`] for it unless this cycle saw it added somewhere.
    Removed {
        id: String,
        parent: Option<String>,
        verify: bool,
    },
    /// An item that is there but could not be read. What is stored of it stays; it goes on the
    /// list of failed items and is tried again through [`Workload::verify_removed`] + `fetch`.
    Skipped {
        id: String,
        parent: Option<String>,
        name: String,
        class: ErrorClass,
        reason: String,
    },
    /// These items are in a folder, and no others: what else it held is gone. Without any, so is the folder.
    Holds {
        folder: String,
        parent: Option<String>,
        items: Vec<String>,
    },
    /// A line for the report; nothing failed.
    Noted {
        id: String,
        name: String,
        note: String,
    },
}

/// Why a feed gave no page.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedError {
    /// The cursor is dead. Call `page` again with `start`: a full enumeration begins.
    #[error("the change history of this feed was lost by the service; enumerating it anew")]
    Reset { start: Option<String> },
    /// What the feed is about does not exist any more: all of its items are gone.
    #[error("the folder or drive behind this feed does not exist any more")]
    Gone,
    /// Anything else, after all retries. The cursor stays as it was.
    #[error(transparent)]
    Failed(#[from] GraphError),
}

/// Folder or item: what [`Workload::describe`] is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    Folder,
    Item,
}

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
    Present,
    /// Not an error: no mailbox, no OneDrive, no licence.
    Absent {
        reason: String,
    },
}

/// What became of an id that left its feed.
#[derive(Clone, Debug)]
pub enum Alive {
    /// It does not exist any more.
    Gone,
    /// It lives: its record as a feed would tell it, and where it is now.
    Here {
        parent: Option<String>,
        record: Value,
    },
    /// It could not be asked; keep what is stored and ask again in the next cycle.
    Unknown(ItemError),
}

/// The record's property with the id that the collection knows it by, where Graph's own `id` is not
/// unique in it (items of several drives or lists).
const ID: &str = "tenantfsId";

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

/// A live item or folder in Microsoft 365, named as the mount would name it.
#[derive(Clone, Debug)]
pub struct LiveEntry {
    pub id: String,
    pub name: String,
    pub is_dir: bool,
    /// Bytes; for mail the size Exchange keeps, which is not the exact size of the `.eml`.
    pub size: u64,
    /// Unix seconds.
    pub mtime: i64,
    /// What Graph said about it (not every property).
    pub record: Value,
}

/// What to do when the target is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Refuse with [`PushError::Exists`].
    #[default]
    Skip,
    /// Put the new one there, then remove the old one.
    Overwrite,
    /// Put another one beside it.
    KeepBoth,
}

/// Where the truth about an item to be restored comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The file came out of a snapshot: `record` is the full Graph record kept with it, `key` the
    /// original's item key (so that the restored item gets the same file name).
    Record { record: Value, key: ItemKey },
    /// Any other file: only its own bytes say what it is.
    File,
}

/// What restores an item exactly (an export's stream); read only when it is needed.
#[derive(Clone)]
pub struct Original(Arc<dyn Fn() -> std::io::Result<Bytes> + Send + Sync>);

impl Original {
    /// Something that is read by `read`, which may block.
    pub fn new(read: impl Fn() -> std::io::Result<Bytes> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The bytes.
    ///
    /// # Errors
    /// The repository's.
    pub async fn read(&self) -> std::io::Result<Bytes> {
        let read = Arc::clone(&self.0);
        let joined = tokio::task::spawn_blocking(move || read()).await;
        joined.map_err(std::io::Error::other)?
    }
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Original")
    }
}

/// How many items may be fetched with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub items: usize,
    /// Bytes of their contents together, as far as [`Workload::content_size`] knows.
    pub bytes: u64,
}

/// One item to put into Microsoft 365.
#[derive(Clone, Debug)]
pub struct Push {
    /// Fresh for each restore, the same when it is tried again after a crash.
    pub id: Uuid,
    /// Folder below the workload's folder, component by component, as the mount names them.
    pub folder: Vec<String>,
    /// The file's name.
    pub name: String,
    pub policy: Policy,
    pub source: Source,
    /// With a [`Source::Record`]: what restores it exactly, if the snapshot has that.
    pub original: Option<Original>,
    /// A local file with the bytes, complete and unchanging while the push runs.
    pub file: PathBuf,
    /// Unix seconds.
    pub mtime: i64,
}

/// Keeps how far a push is, durably, so that it goes on after a crash.
pub trait Journal: Send + Sync {
    /// What was saved last for this push, if anything.
    fn load(&self) -> Option<String>;
    /// Replaces what is saved. Called between requests, not for every byte.
    ///
    /// # Errors
    /// The local disk's.
    fn save(&self, state: &str) -> std::io::Result<()>;
    /// Whether a request of this push may have gone out before, even if nothing was saved: then what it
    /// made is looked for before anything is made.
    fn repeated(&self) -> bool {
        self.load().is_some()
    }
    /// Bytes sent so far, of how many.
    fn progress(&self, _sent: u64, _total: u64) {}
}

/// A [`Journal`] for pushes that need none (tests, and callers that only look).
pub struct NoJournal;

impl Journal for NoJournal {
    fn load(&self) -> Option<String> {
        None
    }
    fn save(&self, _state: &str) -> std::io::Result<()> {
        Ok(())
    }
}

/// A push that Microsoft 365 has confirmed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The item that is there now.
    pub entry: LiveEntry,
    /// Id of the item it replaced.
    pub replaced: Option<String>,
    /// What could not be restored of it (an attachment kind that Graph does not write, ...); the
    /// item itself is there. For the log.
    pub notes: Vec<String>,
}

/// Why an item could not be put there. `Display` is what `restore/.log` shows.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The policy is skip and the item is there: EEXIST.
    #[error("{name} is there already (use @overwrite or @keep-both)")]
    Exists { name: String },
    /// The target's folder does not exist: ENOENT.
    #[error("there is no folder {path}: make it first")]
    NoFolder { path: String },
    /// The service can't hold an item of this name or form: EINVAL. Nothing was sent.
    #[error("{0}")]
    Invalid(String),
    /// Microsoft 365 refused, or could not be reached.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The local copy or the journal could not be read or written.
    #[error("the local copy of the file to restore: {0}")]
    Local(#[from] std::io::Error),
}

impl PushError {
    /// The error number that tells it best to a program that called `close()`.
    pub fn errno(&self) -> i32 {
        use rustix::io::Errno;
        let errno = match self {
            Self::Exists { .. } => Errno::EXIST,
            Self::NoFolder { .. } => Errno::NOENT,
            Self::Invalid(_) => Errno::INVAL,
            Self::Local(e) => return e.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
            Self::Graph(e) => match e.class {
                ErrorClass::Denied | ErrorClass::Auth => Errno::ACCESS,
                ErrorClass::Gone | ErrorClass::NotFound => Errno::NOENT,
                ErrorClass::Conflict => Errno::EXIST,
                ErrorClass::Quota => Errno::DQUOT,
                ErrorClass::TooLarge => Errno::FBIG,
                ErrorClass::Ours | ErrorClass::Unsupported => Errno::INVAL,
                _ => Errno::IO,
            },
        };
        errno.raw_os_error()
    }

    /// True when the same push may succeed later without anyone changing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Graph(e) if e.class.is_temporary())
    }
}

/// What an archive holds as an item of a kind (`#microsoft.graph.event`), as a record of that kind.
fn archived(from: &str, record: &Value, kind: &str) -> Option<Value> {
    let item = &record["tenantfsItem"];
    if from != "archive" || item["@odata.type"] != kind {
        return None;
    }
    let mut item = item.clone();
    item["id"] = record["id"].clone();
    Some(item)
}

/// One kind of thing that is protected.
#[async_trait]
pub trait Workload: Send + Sync {
    /// As the configuration names it (`mail`).
    fn name(&self) -> &'static str;

    /// As the mount names its folder (`Mail`).
    fn folder(&self) -> &'static str;

    /// Which accounts have it.
    fn of(&self) -> AccountKind {
        AccountKind::User
    }

    // Capture.

    /// Whether the feed of a folder tells all that is in it at any depth, folders too (a drive). Else it
    /// tells the items directly in it (a mail folder).
    fn feeds_tell_trees(&self) -> bool {
        false
    }

    /// Does this account have it? Costs one request; remember an `Absent` for a day.
    ///
    /// # Errors
    /// `Denied` when the account is fenced off from this application (report it as uncovered).
    async fn probe(&self, account: &Account) -> Result<Presence, GraphError>;

    /// The feed to begin with; others are told by [`Change::Folder`].
    fn root_feed(&self) -> FeedId;

    /// The next page of a feed. `None` as a cursor begins with a full enumeration.
    ///
    /// # Errors
    /// See [`FeedError`].
    async fn page(
        &self,
        account: &Account,
        feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError>;

    /// The cursor that enumerates a feed anew which stands at `cursor`, to make sure that nothing
    /// was missed. `None`: its next round lists everything anyway. Pure.
    fn sweep(&self, _feed: &FeedId, _cursor: &str) -> Option<String> {
        None
    }

    /// Name and time of an item or folder. Pure; depends only on facts that do not change, for
    /// mail.
    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described;

    /// Must the content be fetched again, given the stored record and the one told now? Pure.
    fn needs_content(&self, stored: &Value, told: &Value) -> bool;

    /// Brings an item's content, and may complete its record.
    ///
    /// # Errors
    /// See [`ItemError`]; `NotFound` means it vanished between the listing and now.
    async fn fetch(&self, account: &Account, record: &mut Value) -> Result<Content, ItemError>;

    /// How many older versions are kept of an item whose content has changed, or, `first`, is captured
    /// for the first time. 0: the service is not asked for any.
    fn keeps_versions(&self, _first: bool) -> usize {
        0
    }

    /// The older versions of an item, newest first, at most so many; not the current one.
    ///
    /// # Errors
    /// See [`ItemError`]; `NotFound` means that the item vanished meanwhile.
    async fn versions(
        &self,
        _account: &Account,
        _record: &Value,
        _at_most: usize,
    ) -> Result<Vec<Version>, ItemError> {
        Ok(Vec::new())
    }

    /// Brings the content of an older version of an item.
    ///
    /// # Errors
    /// See [`ItemError`]; `NotFound` means that the service has dropped it meanwhile.
    async fn fetch_version(
        &self,
        _account: &Account,
        _record: &Value,
        _version: &Version,
    ) -> Result<Content, ItemError> {
        Ok(Content::None)
    }

    /// How many items [`Workload::fetch_many`] brings with one request; `None`: each has its own.
    fn batch(&self) -> Option<Batch> {
        None
    }

    /// Bytes that an item's content will take, roughly: for making batches.
    fn content_size(&self, _record: &Value) -> u64 {
        0
    }

    /// As [`Workload::fetch`], for a batch. The answers come in the order of the records.
    async fn fetch_many(
        &self,
        account: &Account,
        records: &mut [Value],
    ) -> Vec<Result<Content, ItemError>> {
        let mut fetched = Vec::with_capacity(records.len());
        for record in records {
            fetched.push(self.fetch(account, record).await);
        }
        fetched
    }

    /// Whether something of an item or folder is still to be asked for that is dear and may wait
    /// (permissions), given the stored record and the one that takes its place. Pure.
    fn needs_details(&self, _stored: Option<&Value>, _record: &Value) -> bool {
        false
    }

    /// Completes records with that. The answers come in the order of the records.
    ///
    /// # Errors
    /// When nothing could be asked at all.
    async fn details(
        &self,
        _account: &Account,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        Ok(items.iter().map(|_| Ok(())).collect())
    }

    /// What became of these ids? The answers come in the order of the ids. Also how an item on the
    /// list of failed ones is found again.
    ///
    /// # Errors
    /// When nothing could be asked at all.
    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError>;

    /// The folder with what belongs to an item, by their ids: it goes with the item. Pure.
    fn belongings(&self, _id: &str) -> Option<String> {
        None
    }

    // Restore.

    /// The record of an item of another workload (by [`Workload::name`]) as if it were of this one;
    /// `None`: here it is only a file.
    fn adopt(&self, _from: &str, _record: &Value) -> Option<Value> {
        None
    }

    /// The name under which a file that shows an item of another workload is taken: it was made by the
    /// mount, and a service may not take it as it is.
    fn name_for(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Whether an item is where its owner would look for it: anywhere but among what was deleted.
    ///
    /// # Errors
    /// When it can't be known now.
    async fn lives(&self, account: &Account, id: &str) -> Result<bool, GraphError> {
        let found = self.verify_removed(account, &[id.to_owned()]).await?;
        Ok(matches!(found.first(), Some(Alive::Here { .. })))
    }

    /// What [`Workload::push`] would meet: the id of the item that is the same and is there already,
    /// where that can be told. Nothing is made; a folder that is not there yet is no error.
    ///
    /// # Errors
    /// What the push would be refused for before anything is sent.
    async fn plan(&self, _account: &Account, _push: &Push) -> Result<Option<String>, PushError> {
        Ok(None)
    }

    /// What [`Workload::make_folder`] would be refused for before anything is sent.
    ///
    /// # Errors
    /// That, or Graph's.
    async fn plan_folder(&self, _account: &Account, _path: &[String]) -> Result<(), PushError> {
        Ok(())
    }

    /// Whether a file of this name in this folder only shows what the files beside it hold, so that there
    /// is nothing to put back.
    fn only_shows(&self, _folder: &[String], _name: &str) -> bool {
        false
    }

    /// Whether [`Workload::plan`] reads the item's bytes.
    fn plans_by_content(&self) -> bool {
        true
    }

    /// What is in a folder now. An empty path is the collection's root.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError>;

    /// Makes a folder whose parent exists. A folder that is there already is returned as it is.
    ///
    /// # Errors
    /// See [`PushError`].
    async fn make_folder(&self, account: &Account, path: &[String])
    -> Result<LiveEntry, PushError>;

    /// Gives a folder that was made for a restore what the record of the original says of it beyond its
    /// name. Called when everything is in it: some of that changes with each item.
    /// Returns what could not be given, for the log.
    ///
    /// # Errors
    /// Graph's. The folder is there all the same.
    async fn finish_folder(
        &self,
        _account: &Account,
        _folder: &LiveEntry,
        _record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        Ok(Vec::new())
    }

    /// Puts an item there, and returns when Microsoft 365 has confirmed all of it.
    ///
    /// # Errors
    /// See [`PushError`]. After any error or crash the same push may be repeated: call
    /// [`Workload::find_pushed`] first.
    async fn push(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError>;

    /// Did this push arrive, completely? A half-made item is not; `push` completes it.
    ///
    /// # Errors
    /// When it can't be known now.
    async fn find_pushed(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError>;
}
