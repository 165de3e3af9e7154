//! Puts items into an archive: by the stream they were exported as, which brings back every property;
//! a mail from elsewhere by a stream made of it.
//!
//! Invariants: nobody is told (an import sends nothing); exactly once, by a marker that is part of the
//! stream: before anything is imported again, the folder is asked for it; an old item is deleted only
//! when the new one is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::paths::{Folder, MAX_ITEMS};
use super::{Archive, names};
use crate::format::{eml, fasttransfer};
use crate::graph::{ErrorClass, GraphError};
use crate::workload::exchange::{self, Imported, MAX_STREAM};
use crate::workload::{
    Account, EntryKind, ItemKey, Journal, Marker, Policy, Push, PushError, Pushed, Source,
};

/// How long what is in a folder is believed. Our own pushes are added meanwhile.
const FRESH: Duration = Duration::from_secs(30);
/// Listings that are remembered.
const MAX_LISTED: usize = 256;
/// Items that may carry one marker.
const MAX_TWINS: usize = 100;
/// Attempts at an import whose answer got lost.
const ATTEMPTS: u32 = 4;

/// What is in a folder, for telling whether an item is there.
#[derive(Default)]
struct Known {
    /// By the key of the item, or of the one it restored.
    by_key: HashMap<ItemKey, Vec<String>>,
    by_identity: HashMap<(String, Option<i64>), Vec<String>>,
}

impl Known {
    fn add(&mut self, keyer: &crate::workload::Keyer, record: &Value) {
        let Some(id) = record["id"].as_str() else {
            return;
        };
        let origin = Marker::of(record).and_then(|marker| marker.origin);
        for key in [Some(keyer(id)), origin].into_iter().flatten() {
            self.by_key.entry(key).or_default().push(id.to_owned());
        }
        if let Some(identity) = names::identity(record) {
            self.by_identity
                .entry(identity)
                .or_default()
                .push(id.to_owned());
        }
    }

    fn remove(&mut self, id: &str) {
        let without = |ids: &mut Vec<String>| {
            ids.retain(|its| its != id);
            !ids.is_empty()
        };
        self.by_key.retain(|_, ids| without(ids));
        self.by_identity.retain(|_, ids| without(ids));
    }
}

/// What was listed a moment ago.
#[derive(Default)]
pub(super) struct Listed {
    items: Mutex<HashMap<(String, String), (Instant, Arc<Mutex<Known>>)>>,
}

impl Listed {
    fn get(&self, key: &(String, String)) -> Option<Arc<Mutex<Known>>> {
        let items = self.items.lock();
        let (at, known) = items.get(key)?;
        (at.elapsed() < FRESH).then(|| Arc::clone(known))
    }

    fn put(&self, key: (String, String), known: Known) -> Arc<Mutex<Known>> {
        let mut items = self.items.lock();
        if items.len() >= MAX_LISTED {
            items.clear();
        }
        let known = Arc::new(Mutex::new(known));
        items.insert(key, (Instant::now(), Arc::clone(&known)));
        known
    }
}

impl Archive {
    pub(super) async fn push_item(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let folder = self.target(account, push).await?;
        let marker = marker(push);
        let identity = json!(identity(push).await);
        let same = |other: &Value| !identity.is_null() && *other == identity;
        let _turn = self.ongoing.turn(&folder.id, push, &identity, same).await;
        let made = match journal.repeated() {
            true => self.by_marker(account, &folder, &marker).await?,
            false => None,
        };
        let (made, replaces, notes) = match made {
            Some(made) => {
                let replaces = match Importing::load(journal) {
                    Some(Importing {
                        replaces: Some(old),
                    }) => self.still_there(account, &folder, old).await?,
                    Some(_) => None,
                    None => self.original_left(account, &folder, push, &made).await?,
                };
                (made, replaces, Vec::new())
            }
            None => {
                let replaces = match push.policy {
                    Policy::KeepBoth => None,
                    _ => self.existing(account, &folder, push).await?,
                };
                if replaces.is_some() && push.policy == Policy::Skip {
                    return Err(PushError::Exists {
                        name: push.name.clone(),
                    });
                }
                let (stream, notes) = stream_of(push, &marker).await?;
                // From here on a request may have gone out.
                let importing = Importing { replaces };
                importing.save(journal)?;
                let made = self.import(account, &folder, stream, &marker).await?;
                (made, importing.replaces, notes)
            }
        };
        if let Some(old) = &replaces {
            self.delete(account, &folder.place, &folder.id, old).await?;
        }
        self.pushed(account, &folder, made, &marker, replaces, notes)
    }

    pub(super) async fn find_pushed_item(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        // What it replaces is in its journal: the push finds its item, and finishes.
        if push.policy == Policy::Overwrite {
            return Ok(None);
        }
        let folder = match self.target(account, push).await {
            Ok(folder) => folder,
            // What is in no folder did not arrive.
            Err(PushError::NoFolder { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let marker = marker(push);
        let Some(made) = self.by_marker(account, &folder, &marker).await? else {
            return Ok(None);
        };
        self.pushed(account, &folder, made, &marker, None, Vec::new())
            .map(Some)
    }

    /// The item that a push would meet.
    pub(super) async fn plan_item(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<String>, PushError> {
        // What can't be made is told here.
        stream_of(push, &marker(push)).await?;
        match self.target(account, push).await {
            Ok(folder) => Ok(self.existing(account, &folder, push).await?),
            Err(PushError::NoFolder { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<Folder, PushError> {
        let path = push.folder.join("/");
        if push.folder.is_empty() {
            return Err(PushError::Invalid(format!(
                "{}: items of an archive lie in folders: choose one",
                push.name
            )));
        }
        let found = self.folder_at(account, &push.folder).await?;
        Ok(found.ok_or(PushError::NoFolder { path })?.0)
    }

    /// The item of this push, if it is there.
    async fn by_marker(
        &self,
        account: &Account,
        folder: &Folder,
        marker: &Marker,
    ) -> Result<Option<Value>, GraphError> {
        let filter = marker.exact_filter();
        let items = self.items(account, &folder.place, &folder.id, Some(&filter), MAX_TWINS);
        // A service that does not know the filter ignores it: believe only what carries the marker.
        let carries = |item: &Value| Marker::of(item).is_some_and(|m| m.push == marker.push);
        let found = match items.await {
            Ok(items) => items.into_iter().find(carries),
            Err(e) if e.status == Some(400) => {
                let items = self.items(account, &folder.place, &folder.id, None, MAX_ITEMS);
                items.await?.into_iter().find(carries)
            }
            Err(e) => return Err(e),
        };
        Ok(found)
    }

    /// The item that is the same as, or goes by the same name as, the one to be pushed.
    async fn existing(
        &self,
        account: &Account,
        folder: &Folder,
        push: &Push,
    ) -> Result<Option<String>, GraphError> {
        let known = self.known(account, folder).await?;
        let key = key_of(push);
        let identity = identity(push).await;
        let known = known.lock();
        let by_key = key.and_then(|key| known.by_key.get(&key));
        let by_identity = identity.and_then(|identity| known.by_identity.get(&identity));
        let mut ids = by_key.into_iter().chain(by_identity).flatten();
        Ok(ids.next().cloned())
    }

    /// What was to be replaced, unless it is gone already: it may be kept elsewhere by the same id.
    async fn still_there(
        &self,
        account: &Account,
        folder: &Folder,
        old: String,
    ) -> Result<Option<String>, GraphError> {
        let known = self.known(account, folder).await?;
        let there = known.lock().by_key.contains_key(&(self.keyer)(&old));
        Ok(there.then_some(old))
    }

    /// The original that an overwrite which has made its item, and lost its journal, has still to delete. What is
    /// the same by its looks alone may be another by now.
    async fn original_left(
        &self,
        account: &Account,
        folder: &Folder,
        push: &Push,
        made: &Value,
    ) -> Result<Option<String>, GraphError> {
        let (Policy::Overwrite, Some(key)) = (push.policy, key_of(push)) else {
            return Ok(None);
        };
        let known = self.known(account, folder).await?;
        let known = known.lock();
        let mut ids = known.by_key.get(&key).into_iter().flatten();
        let made = made["id"].as_str();
        Ok(ids.find(|id| Some(id.as_str()) != made).cloned())
    }

    async fn known(
        &self,
        account: &Account,
        folder: &Folder,
    ) -> Result<Arc<Mutex<Known>>, GraphError> {
        let key = (account.id.clone(), folder.id.clone());
        if let Some(known) = self.listed.get(&key) {
            return Ok(known);
        }
        let items = self.items(account, &folder.place, &folder.id, None, MAX_ITEMS);
        let mut known = Known::default();
        for item in items.await? {
            known.add(&self.keyer, &item);
        }
        Ok(self.listed.put(key, known))
    }

    /// Imports the stream. When an answer is lost, the marker tells whether the item is there.
    async fn import(
        &self,
        account: &Account,
        folder: &Folder,
        stream: Bytes,
        marker: &Marker,
    ) -> Result<Value, PushError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let imported = self
                .exchange
                .import(account, &folder.place, &folder.id, stream.clone())
                .await;
            let error = match imported {
                Ok(Imported::Done(id)) => {
                    let item = self.item(account, &folder.place, &folder.id, &id).await;
                    // It is there, whatever can be said of it.
                    return Ok(item.unwrap_or_else(|_| json!({ "id": id })));
                }
                Ok(Imported::Refused(e)) => return Err(e.into()),
                Err(e) if !e.class.is_temporary() => return Err(e.into()),
                Err(e) => e,
            };
            if let Some(made) = self.by_marker(account, folder, marker).await? {
                return Ok(made);
            }
            if attempt >= ATTEMPTS {
                return Err(error.into());
            }
            tokio::time::sleep(self.client.patience().backoff(attempt)).await;
        }
    }

    fn pushed(
        &self,
        account: &Account,
        folder: &Folder,
        mut item: Value,
        marker: &Marker,
        replaced: Option<String>,
        notes: Vec<String>,
    ) -> Result<Pushed, PushError> {
        if Marker::of(&item).is_none() {
            item["singleValueExtendedProperties"] = json!([marker.property()]);
        }
        let key = (account.id.clone(), folder.id.clone());
        if let Some(known) = self.listed.get(&key) {
            let mut known = known.lock();
            replaced.iter().for_each(|old| known.remove(old));
            known.add(&self.keyer, &item);
        }
        let entry = self.live(EntryKind::Item, item).ok_or_else(|| {
            let what = "the item has no id";
            GraphError::local(ErrorClass::Transient, "import", what)
        })?;
        Ok(Pushed {
            entry,
            replaced,
            notes,
        })
    }
}

/// What a push writes down before it asks for anything to be made.
#[derive(Serialize, Deserialize)]
struct Importing {
    /// Id of the item to be removed when the new one is there.
    replaces: Option<String>,
}

impl Importing {
    fn load(journal: &dyn Journal) -> Option<Self> {
        serde_json::from_str(&journal.load()?).ok()
    }

    fn save(&self, journal: &dyn Journal) -> Result<(), PushError> {
        let text = serde_json::to_string(self).unwrap_or_default();
        Ok(journal.save(&text)?)
    }
}

/// The original's key.
fn key_of(push: &Push) -> Option<ItemKey> {
    match &push.source {
        Source::Record { key, .. } => Some(*key),
        Source::File => None,
    }
}

/// What tells an item from others, whatever its id: see [`names::identity`].
async fn identity(push: &Push) -> Option<(String, Option<i64>)> {
    match &push.source {
        Source::Record { record, .. } => names::identity(record).or_else(|| {
            let item = match record["tenantfsItem"].is_object() {
                true => &record["tenantfsItem"],
                false => record,
            };
            let time = item["receivedDateTime"].as_str();
            let time = time.and_then(|t| t.parse::<jiff::Timestamp>().ok());
            names::identity_of(item, time.map(|t| t.as_second()))
        }),
        Source::File => match tokio::fs::read(&push.file).await {
            Ok(bytes) if is_mail(push) => {
                let mail = eml::to_graph(&bytes);
                names::identity_of(&mail.json, mail.received)
            }
            // What can't be read is told when it is to be pushed.
            _ => None,
        },
    }
}

fn marker(push: &Push) -> Marker {
    let origin = match &push.source {
        Source::Record { key, .. } if push.policy != Policy::KeepBoth => Some(*key),
        _ => None,
    };
    Marker {
        push: push.id,
        origin,
        created: None,
    }
}

fn is_mail(push: &Push) -> bool {
    push.name.to_ascii_lowercase().ends_with(".eml")
}

/// The stream to import, with our marker, and what has to be said of it.
async fn stream_of(push: &Push, marker: &Marker) -> Result<(Bytes, Vec<String>), PushError> {
    let size = tokio::fs::metadata(&push.file).await?.len();
    if size > MAX_STREAM as u64 {
        return Err(PushError::Invalid(format!(
            "{}: {size} bytes are too many for one item",
            push.name
        )));
    }
    let original = match &push.original {
        Some(original) => Some(original.read().await?),
        None => None,
    };
    let file = tokio::fs::read(&push.file).await?;
    let (push, marker) = (push.clone(), marker.clone());
    let made = tokio::task::spawn_blocking(move || build(&push, &marker, original, &file));
    made.await
        .map_err(|e| PushError::Invalid(format!("the item could not be read: {e}")))?
}

fn build(
    push: &Push,
    marker: &Marker,
    original: Option<Bytes>,
    file: &[u8],
) -> Result<(Bytes, Vec<String>), PushError> {
    let unreadable = |e: fasttransfer::Error| PushError::Invalid(format!("{}: {e}", push.name));
    if let (Some(stream), Source::Record { record, .. }) = (&original, &push.source) {
        // What was captured as a mail may have changed since without being exported again.
        let marked = match record["isRead"].is_boolean() {
            true => exchange::changed(stream, marker, record),
            false => exchange::marked(stream, marker),
        };
        return match marked {
            Ok(marked) => Ok((marked.into(), Vec::new())),
            Err(e) => Err(unreadable(e)),
        };
    }
    if fasttransfer::Elements::new(file).is_ok() {
        let marked = exchange::marked(file, marker).map_err(unreadable)?;
        return Ok((marked.into(), Vec::new()));
    }
    if !is_mail(push) {
        return Err(PushError::Invalid(format!(
            "{}: an archive takes what was captured by export, and mails (files that end in .eml)",
            push.name
        )));
    }
    let unread = match &push.source {
        Source::Record { record, .. } => record["isRead"] == json!(false),
        Source::File => false,
    };
    let stream = fasttransfer::of_mail(&eml::to_graph(file), unread);
    let marked = exchange::marked(&stream, marker).map_err(unreadable)?;
    let note = "made from the file: Microsoft does not document the format of imports";
    Ok((marked.into(), vec![note.to_owned()]))
}
