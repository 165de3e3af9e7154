//! The items of an archive's folders: one delta per folder, and their export.
//!
//! An item that the service can't render spoils its page: then the folder is followed by ids, and its
//! items are asked for one by one. The bad one is reported, the others are captured.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Archive;
use super::names::{self, UNREAD};
use crate::graph::{BATCH, Call, ErrorClass, GraphError, Listing};
use crate::workload::exchange::{self, Exchange, IMMUTABLE, Place};
use crate::workload::{
    Account, Alive, Change, Content, Cursor, Exported, FeedError, ItemError, Page, View,
};

const DELTA: &str = "/folders/{folder}/items/delta";
const LIST: &str = "/folders/{folder}/items";
const ITEM: &str = "/folders/{folder}/items/{item}";
const SELECT: &str = "id,changeKey,createdDateTime,lastModifiedDateTime,categories,type,size";

/// Sizes of pages that are tried one after the other when a page fails.
const PAGES: [u32; 4] = [500, 50, 7, 1];

/// Where a feed of items goes on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ItemCursor {
    /// Next or delta link; `None` begins an enumeration.
    link: Option<String>,
    #[serde(default)]
    full: bool,
    /// A plain listing: the mailbox is full, and delta would write to it.
    #[serde(default)]
    list: bool,
    /// Ids only: some item spoils its page.
    #[serde(default)]
    ids: bool,
}

impl ItemCursor {
    fn text(&self) -> String {
        // Strings and booleans always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Begins anew where a round is done. `None`: the next round does by itself.
    pub fn anew(cursor: &str) -> Option<String> {
        let at: Self = serde_json::from_str(cursor).ok()?;
        at.link.map(|_| Self::default().text())
    }
}

impl Archive {
    pub(super) async fn items_page(
        &self,
        account: &Account,
        folder: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let mut at = match cursor {
            Some(cursor) => serde_json::from_str::<ItemCursor>(cursor)
                .map_err(|_| FeedError::Reset { start: None })?,
            None => ItemCursor::default(),
        };
        if at.link.is_none() {
            at.full = true;
        }
        let listing = self.listing(account, folder, &at).await?;
        let full = at.full;
        let changes = match at.ids {
            true => self.complete(account, folder, listing.value).await?,
            false => {
                let told = listing.value.into_iter();
                told.filter_map(|item| change(folder, item)).collect()
            }
        };
        let cursor = match (listing.next, listing.delta) {
            (Some(next), _) => {
                at.link = Some(next);
                Cursor::More(at.text())
            }
            (None, Some(delta)) if !at.list => Cursor::Done(
                ItemCursor {
                    link: Some(delta),
                    ids: at.ids,
                    ..ItemCursor::default()
                }
                .text(),
            ),
            // A listing leaves nothing to go on from: the next cycle tries delta again.
            (None, _) => Cursor::Done(ItemCursor::default().text()),
        };
        Ok(Page {
            changes,
            cursor,
            full,
        })
    }

    /// One page, made smaller as long as it fails.
    async fn listing(
        &self,
        account: &Account,
        folder: &str,
        at: &ItemCursor,
    ) -> Result<Listing, FeedError> {
        let route = if at.list { LIST } else { DELTA };
        let mut failed = None;
        for size in PAGES {
            let call = match &at.link {
                Some(link) => Call::link(route, link),
                None => {
                    let call = Call::get(route, &[folder]);
                    let call = match at.ids {
                        true => call.query("$select", "id"),
                        false => call
                            .query("$select", SELECT)
                            .query("$expand", &names::expand()),
                    };
                    // `$top` would end a delta round early; a listing knows nothing else.
                    let call = match at.list {
                        true => call.query("$top", &size.to_string()),
                        false => call,
                    };
                    self.place_at(account, folder).await?.call(call)
                }
            };
            let call = call
                .scope(Exchange::scope(account), 1)
                .prefer(format!("{IMMUTABLE}, odata.maxpagesize={size}"))
                .attempts(3);
            let error = match self.client.page(&call).await {
                Ok(listing) => return Ok(listing),
                Err(error) => error,
            };
            return Err(match error.class {
                ErrorClass::Reset => FeedError::Reset { start: None },
                _ if error.is_code("ErrorItemNotFound")
                    || error.is_code("ErrorSyncFolderNotFound") =>
                {
                    FeedError::Gone
                }
                ErrorClass::Quota if !at.list => FeedError::Reset {
                    start: Some(
                        ItemCursor {
                            list: true,
                            ids: at.ids,
                            ..ItemCursor::default()
                        }
                        .text(),
                    ),
                },
                ErrorClass::Transient | ErrorClass::Corrupt
                    if matches!(error.status, Some(500 | 503 | 504)) =>
                {
                    tracing::debug!(%error, size, "a page fails: asking for a smaller one");
                    failed = Some(error);
                    continue;
                }
                _ => FeedError::Failed(error),
            });
        }
        // Is it this page, or is the mailbox out of order?
        if !at.ids && self.answers(account, folder).await {
            let start = ItemCursor {
                list: at.list,
                ids: true,
                ..ItemCursor::default()
            };
            let start = Some(start.text());
            return Err(FeedError::Reset { start });
        }
        Err(FeedError::Failed(failed.unwrap_or_else(|| {
            GraphError::local(ErrorClass::Ours, DELTA, "no page was asked for")
        })))
    }

    /// True if the folder can be listed at all.
    async fn answers(&self, account: &Account, folder: &str) -> bool {
        let Ok(place) = self.place_at(account, folder).await else {
            return false;
        };
        let call = Call::get(LIST, &[folder])
            .query("$select", "id")
            .query("$top", "1")
            .attempts(2);
        let call = Exchange::of(account, place.call(call));
        self.client.page(&call).await.is_ok()
    }

    /// Records for a page of ids.
    async fn complete(
        &self,
        account: &Account,
        folder: &str,
        told: Vec<Value>,
    ) -> Result<Vec<Change>, FeedError> {
        let place = self.place_at(account, folder).await?;
        let mut changes = Vec::with_capacity(told.len());
        for item in told {
            let id = id_of(&item);
            if item.get("@removed").is_some() {
                changes.extend(change(folder, item));
                continue;
            }
            let call = place.call(Self::one(folder, &id).attempts(2));
            match self.client.json(&Exchange::of(account, call)).await {
                Ok(record) => changes.extend(change(folder, record)),
                Err(e) if matches!(e.class, ErrorClass::Auth | ErrorClass::Network) => {
                    return Err(e.into());
                }
                Err(e) => changes.push(Change::Skipped {
                    name: id.clone(),
                    id,
                    parent: Some(folder.to_owned()),
                    class: e.class,
                    reason: e.to_string(),
                }),
            }
        }
        Ok(changes)
    }

    /// What names and versions of an item are made of.
    fn one(folder: &str, id: &str) -> Call {
        Call::get(ITEM, &[folder, id])
            .query("$select", SELECT)
            .query("$expand", &names::expand())
    }

    /// Exports items and makes what shows them.
    pub(super) async fn export(
        &self,
        account: &Account,
        records: &mut [Value],
    ) -> Vec<Result<Content, ItemError>> {
        let mut contents = Vec::with_capacity(records.len());
        // An auto-expanding archive is several mailboxes, and a request goes to one.
        let mailbox = |record: &Value| {
            let folder = record["parentFolderId"].as_str().unwrap_or_default();
            self.known_place(account, folder)
        };
        for some in records.chunk_by_mut(|a, b| mailbox(a) == mailbox(b)) {
            let place = some.first().and_then(mailbox);
            contents.extend(self.export_from(account, place, some).await);
        }
        contents
    }

    async fn export_from(
        &self,
        account: &Account,
        place: Option<Place>,
        records: &mut [Value],
    ) -> Vec<Result<Content, ItemError>> {
        let ids: Vec<String> = records.iter().map(id_of).collect();
        let place = match place {
            Some(place) => Ok(place),
            None => self.place(account).await,
        };
        let exported = match place {
            Ok(place) => self.exchange.export(account, &place, &ids).await,
            Err(e) => Err(e),
        };
        let mut exported = match exported {
            Ok(exported) => exported.into_iter(),
            Err(e) => return ids.iter().map(|_| Err(e.clone().into())).collect(),
        };
        let mut contents = Vec::with_capacity(records.len());
        for record in records {
            contents.push(match exported.next() {
                Some(Ok(item)) => Ok(show(record, item.stream, item.change_key).await),
                Some(Err(e)) => Err(e),
                None => exchange::single::<Content>(Vec::new()),
            });
        }
        contents
    }

    /// What became of items. Exporting tells cheaply of those that are gone; of the few others the
    /// folder is looked for.
    pub(super) async fn look_up(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        let place = self.place(account).await?;
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(exchange::BATCH.items) {
            let exported = self.exchange.export(account, &place, ids).await?;
            for (id, outcome) in ids.iter().zip(exported) {
                found.push(match outcome {
                    // A request goes to one mailbox, and an auto-expanding archive is several.
                    Err(e) if e.class == ErrorClass::NotFound => {
                        match self.is_spread(account, &place).await? {
                            true => self.find(account, id).await?,
                            false => Alive::Gone,
                        }
                    }
                    // It can't be exported, or it can: it may be there.
                    Ok(_) => self.find(account, id).await?,
                    Err(e) => match self.find(account, id).await? {
                        Alive::Gone => Alive::Unknown(e),
                        here => here,
                    },
                });
            }
        }
        Ok(found)
    }

    /// Whether the archive has folders in another mailbox than its first.
    async fn is_spread(&self, account: &Account, first: &Place) -> Result<bool, GraphError> {
        let folders = self.known_folders(account).await?;
        Ok(folders.iter().any(|(_, place)| place != first))
    }

    /// The folder that an item is in, by asking each.
    async fn find(&self, account: &Account, id: &str) -> Result<Alive, GraphError> {
        let folders = self.known_folders(account).await?;
        for some in folders.chunks(BATCH) {
            for (folder, place) in some {
                let call = Exchange::of(account, place.call(Self::one(folder, id)));
                match self.client.json(&call).await {
                    Ok(mut record) => {
                        record["parentFolderId"] = json!(folder);
                        return Ok(Alive::Here {
                            parent: Some(folder.clone()),
                            record,
                        });
                    }
                    Err(e) if e.class == ErrorClass::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(Alive::Gone)
    }

    /// Items of a folder as they are now, with what `filter` says.
    pub(super) async fn items(
        &self,
        account: &Account,
        place: &Place,
        folder: &str,
        filter: Option<&str>,
        at_most: usize,
    ) -> Result<Vec<Value>, GraphError> {
        let mut call = Call::get(LIST, &[folder])
            .query("$select", SELECT)
            .query("$expand", &names::expand())
            .query("$top", "500");
        if let Some(filter) = filter {
            call = call.query("$filter", filter);
        }
        let call = Exchange::of(account, place.call(call));
        self.client.pages(call, at_most).await
    }

    /// One item as it is now.
    pub(super) async fn item(
        &self,
        account: &Account,
        place: &Place,
        folder: &str,
        id: &str,
    ) -> Result<Value, GraphError> {
        let call = place.call(Self::one(folder, id).patient_404(5));
        self.client.json(&Exchange::of(account, call)).await
    }

    /// Deletes an item that was replaced. One that is gone already is what was wanted.
    pub(super) async fn delete(
        &self,
        account: &Account,
        place: &Place,
        folder: &str,
        id: &str,
    ) -> Result<(), GraphError> {
        let call = Call::new(reqwest::Method::DELETE, ITEM, &[folder, id]);
        match self
            .client
            .send(&Exchange::of(account, place.call(call)))
            .await
        {
            Err(e) if e.class != ErrorClass::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// The content of an exported item, and its record completed with what the stream says.
async fn show(record: &mut Value, stream: bytes::Bytes, change_key: Option<String>) -> Content {
    let mut notes = Vec::new();
    let (view, parts) = match exchange::render(stream.clone()).await {
        Ok((rendered, parts)) => {
            let view = match rendered.extension {
                "eml" => View::Mail(rendered.bytes.into()),
                _ => View::File(rendered.bytes.into()),
            };
            notes = rendered.notes;
            record["tenantfsItem"] = rendered.item;
            remove(record, UNREAD);
            (view, parts)
        }
        Err(e) => {
            notes.push(format!("shown as it was exported: {e}"));
            record[UNREAD] = json!(e.to_string());
            remove(record, "tenantfsItem");
            (View::Stream, Vec::new())
        }
    };
    if let Some(change_key) = change_key {
        record["changeKey"] = json!(change_key);
    }
    Content::Exported(Box::new(Exported {
        view,
        stream,
        parts,
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }))
}

fn remove(record: &mut Value, name: &str) {
    if let Some(record) = record.as_object_mut() {
        record.remove(name);
    }
}

fn id_of(record: &Value) -> String {
    record["id"].as_str().unwrap_or_default().to_owned()
}

/// What an entry of a page tells.
fn change(folder: &str, mut record: Value) -> Option<Change> {
    let id = record["id"].as_str()?.to_owned();
    let parent = Some(folder.to_owned());
    Some(match record.get("@removed") {
        // An item that moved away and back is told nowhere else.
        Some(_) => Change::Removed {
            id,
            parent,
            verify: true,
        },
        None => {
            // The answer leaves it out; an export needs it.
            record["parentFolderId"] = json!(folder);
            Change::Item { id, parent, record }
        }
    })
}
