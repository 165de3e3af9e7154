//! One workload of one account while it is being captured: the tree's editor, the cursors, the
//! failures, and the stream that stores what comes in. Folders are captured one after the other, so
//! what is stored next to each other lies next to each other.
//!
//! Blocking; the capture moves it in and out of blocking threads. Everything changed stays in
//! memory until [`Collection::save`], which writes it and returns the state to commit.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SyncError;
use super::versions::Versions;
use crate::format::mime;
use crate::repo::content::{self, ContentId, Encoding, Eol, MailParts};
use crate::repo::{Kind, ObjectId, Repository, Stream, Writer};
use crate::tree::state::{FailedItem, JsonMap, WorkloadState};
use crate::tree::{
    CollectionRoot, Editor, Entry, Item, ItemKey, MapRoot, Nodes, Round, Scope, versions,
};
use crate::workload::{Cursor, Exported, FeedId, View};

/// Where a feed goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedState {
    /// Id of the folder whose items it tells, if it isn't the feed that tells the folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// `None`: not begun. `More`: within the first enumeration, which a restart goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// When all that it tells of was last enumerated, Unix seconds; of feeds that tell changes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept: Option<i64>,
}

/// A JSON map of the snapshot's state: read as a whole, written by its changes.
struct Table<T> {
    root: MapRoot,
    values: BTreeMap<String, T>,
    changed: BTreeMap<String, Option<T>>,
}

impl<T: Serialize + DeserializeOwned + PartialEq + Clone> Table<T> {
    fn open(nodes: &Nodes, root: MapRoot) -> Result<Self, SyncError> {
        let values = JsonMap::new(nodes, root)
            .iter()?
            .collect::<Result<_, _>>()?;
        Ok(Table {
            root,
            values,
            changed: BTreeMap::new(),
        })
    }

    fn set(&mut self, key: &str, value: Option<T>) {
        if self.values.get(key) == value.as_ref() {
            return;
        }
        self.changed.insert(key.to_owned(), value.clone());
        match value {
            Some(value) => self.values.insert(key.to_owned(), value),
            None => self.values.remove(key),
        };
    }

    fn save(&mut self, nodes: &Nodes, out: &mut Stream) -> Result<MapRoot, SyncError> {
        if !self.changed.is_empty() {
            self.root = JsonMap::new(nodes, self.root)
                .set(out, &self.changed)?
                .root();
            self.changed.clear();
        }
        Ok(self.root)
    }
}

/// What a collection has of an item.
pub(super) type Held = Item;

/// A content as fetched, ready to be given a place.
pub(super) enum Payload {
    Mail(bytes::Bytes),
    Stored(ContentId, u64),
    Exported(Box<Exported>),
}

/// A content that has been stored.
pub(super) struct Stored {
    pub content: ContentId,
    pub size: u64,
    /// See [`Entry::original`].
    pub original: Option<ContentId>,
}

pub(super) struct Collection {
    repo: Repository,
    nodes: Nodes,
    stream: Stream,
    editor: Editor,
    feeds: Table<FeedState>,
    failed: Table<FailedItem>,
    waiting: Table<bool>,
}

impl Collection {
    pub fn open(
        writer: &Writer,
        nodes: &Nodes,
        state: &WorkloadState,
    ) -> Result<Collection, SyncError> {
        Ok(Collection {
            repo: writer.repository(),
            nodes: nodes.clone(),
            stream: writer.stream(),
            editor: Editor::new(nodes, state.collection),
            feeds: Table::open(nodes, state.cursors)?,
            failed: Table::open(nodes, state.failed)?,
            waiting: Table::open(nodes, state.waiting)?,
        })
    }

    pub fn key(&self, id: &str) -> ItemKey {
        ItemKey::of(&self.repo, id)
    }

    pub fn parent_key(&self, id: Option<&str>) -> ItemKey {
        id.map_or(ItemKey::ROOT, |id| self.key(id))
    }

    // Feeds.

    pub fn feeds(&self) -> Vec<(FeedId, FeedState)> {
        let all = self.feeds.values.iter();
        all.map(|(id, state)| (FeedId(id.clone()), state.clone()))
            .collect()
    }

    pub fn feed(&self, id: &FeedId) -> Option<&FeedState> {
        self.feeds.values.get(&id.0)
    }

    pub fn set_feed(&mut self, id: &FeedId, state: Option<FeedState>) {
        self.feeds.set(&id.0, state);
    }

    /// Forgets the feeds of folders that are gone.
    pub fn drop_dead_feeds(&mut self) -> Result<(), SyncError> {
        for (id, state) in self.feeds() {
            if let Some(folder) = &state.folder
                && self.editor.get(&self.key(folder))?.is_none()
            {
                self.set_feed(&id, None);
            }
        }
        Ok(())
    }

    // Failures.

    pub fn failures(&self) -> &BTreeMap<String, FailedItem> {
        &self.failed.values
    }

    pub fn set_failure(&mut self, id: &str, failure: Option<FailedItem>) {
        self.failed.set(id, failure);
    }

    // What waits for its details.

    pub fn waiting(&self) -> Vec<String> {
        self.waiting.values.keys().cloned().collect()
    }

    pub fn set_waiting(&mut self, id: &str, waits: bool) {
        self.waiting.set(id, waits.then_some(true));
    }

    // Items.

    pub fn held(&mut self, key: &ItemKey) -> Result<Option<Held>, SyncError> {
        Ok(self.editor.get(key)?.filter(|item| !item.removed))
    }

    pub fn record(&self, entry: &Entry) -> Result<Option<Value>, SyncError> {
        let Some(id) = &entry.record else {
            return Ok(None);
        };
        let json = self.repo.get(Kind::Record, id)?;
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(SyncError::Json)
    }

    pub fn put_record(&mut self, record: &Value) -> Result<ObjectId, SyncError> {
        let json = serde_json::to_vec(record).map_err(SyncError::Json)?;
        Ok(self.stream.put(Kind::Record, &json)?)
    }

    pub fn put_payload(&mut self, payload: Payload) -> Result<Stored, SyncError> {
        let (content, size) = match payload {
            Payload::Stored(content, size) => (content, size),
            Payload::Mail(bytes) => put_mail(&mut self.stream, &bytes)?,
            Payload::Exported(item) => return self.put_exported(&item),
        };
        Ok(Stored {
            content,
            size,
            original: None,
        })
    }

    /// The older versions of a file after those that were fetched have been added to `old`.
    pub fn put_versions(&mut self, old: MapRoot, changed: Versions) -> Result<MapRoot, SyncError> {
        let mut add = Vec::with_capacity(changed.fetched.len());
        for version in changed.fetched {
            let record = self.put_record(&version.record)?;
            let (content, size) = (version.content, version.size);
            let entry = Entry::file(content, size, version.mtime, Some(record));
            add.push((version.key, entry));
        }
        let keep = |tag| changed.kept.contains(&tag);
        Ok(versions::change(
            &self.nodes,
            old,
            keep,
            add,
            &mut self.stream,
        )?)
    }

    fn put_exported(&mut self, item: &Exported) -> Result<Stored, SyncError> {
        // The view first: attachments that are in both are stored as its parts.
        let shown = match &item.view {
            View::Mail(bytes) => Some(put_mail(&mut self.stream, bytes)?),
            View::File(bytes) => Some(self.put_file(bytes)?),
            View::Stream => None,
        };
        let Some((content, size)) = shown else {
            // Stored as a file is, so that the file is recognised when it comes back.
            let (content, size) = self.put_file(&item.stream)?;
            return Ok(Stored {
                content,
                size,
                original: Some(content),
            });
        };
        let (original, _) = content::put_spliced(&mut self.stream, &item.stream, &item.parts)?;
        Ok(Stored {
            content,
            size,
            original: Some(original),
        })
    }

    fn put_file(&mut self, bytes: &[u8]) -> Result<(ContentId, u64), SyncError> {
        let mut writer = content::Writer::new(&mut self.stream);
        writer.write(bytes)?;
        Ok(writer.finish()?)
    }

    pub fn upsert_dir(
        &mut self,
        key: ItemKey,
        parent: ItemKey,
        name: &str,
        mtime: i64,
        record: &Value,
    ) -> Result<(), SyncError> {
        let record = self.put_record(record)?;
        Ok(self
            .editor
            .upsert_dir(key, parent, name, mtime, Some(record))?)
    }

    pub fn upsert_file(
        &mut self,
        key: ItemKey,
        parent: ItemKey,
        name: &str,
        entry: Entry,
    ) -> Result<(), SyncError> {
        Ok(self.editor.upsert_file(key, parent, name, entry)?)
    }

    pub fn remove(&mut self, key: ItemKey) -> Result<(), SyncError> {
        Ok(self.editor.remove(key)?)
    }

    pub fn remove_if_held(&mut self, id: &str) -> Result<(), SyncError> {
        let key = self.key(id);
        match self.editor.get(&key)? {
            Some(_) => self.remove(key),
            None => Ok(()),
        }
    }

    pub fn retain(
        &mut self,
        scope: Scope,
        seen: impl Fn(&ItemKey) -> bool,
    ) -> Result<(), SyncError> {
        Ok(self.editor.retain(scope, seen)?)
    }

    pub fn finish_round(&mut self) -> Result<Round, SyncError> {
        Ok(self.editor.finish_round()?)
    }

    /// Edits of items that are not written yet.
    pub fn pending(&self) -> usize {
        self.editor.pending()
    }

    /// Whether feeds, failures or what waits changed since they were written.
    pub fn is_changed(&self) -> bool {
        !self.feeds.changed.is_empty()
            || !self.failed.changed.is_empty()
            || !self.waiting.changed.is_empty()
    }

    /// Writes the items that changed so far.
    pub fn save_items(&mut self) -> Result<CollectionRoot, SyncError> {
        Ok(self.editor.checkpoint(&mut self.stream)?)
    }

    /// Writes everything that changed so far. The state is true for it, and may be committed.
    /// `now` (Unix seconds) is when a visible change counts as made.
    pub fn save(&mut self, before: &WorkloadState, now: i64) -> Result<WorkloadState, SyncError> {
        let collection = self.save_items()?;
        let changed = collection.dir != before.collection.dir;
        Ok(WorkloadState {
            folder: before.folder.clone(),
            collection,
            cursors: self.feeds.save(&self.nodes, &mut self.stream)?,
            failed: self.failed.save(&self.nodes, &mut self.stream)?,
            waiting: self.waiting.save(&self.nodes, &mut self.stream)?,
            changed: if changed { now } else { before.changed },
            revision: before.revision,
        })
    }
}

/// Stores a mail with its attachments as objects of their own. Also how a mail's content is
/// computed without storing it (see [`content::IdOnly`]).
///
/// # Errors
/// The repository's.
pub fn put_mail<S: content::Sink>(
    sink: &mut S,
    mail: &[u8],
) -> Result<(ContentId, u64), crate::repo::RepoError> {
    let split = mime::split(mail);
    let pieces = split.pieces.into_iter().map(|piece| match piece {
        mime::Piece::Skeleton { len } => content::Piece::Skeleton { len },
        mime::Piece::Part { decoded, encoding } => content::Piece::Part {
            decoded: decoded.into(),
            encoding: Encoding::Base64 {
                line: encoding.line,
                eol: match encoding.eol {
                    mime::Eol::Lf => Eol::Lf,
                    mime::Eol::CrLf => Eol::CrLf,
                },
            },
        },
    });
    let parts = MailParts {
        pieces: pieces.collect(),
        skeleton: split.skeleton.into(),
    };
    content::put_mail(sink, &parts)
}
