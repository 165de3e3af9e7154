//! The contact feeds, one delta per folder, and what to do where delta does not work.
//!
//! Delta of contacts tells no extended properties, so the marker of what was restored is asked for
//! with one listing per page that told anything: without it a restored contact would not have its
//! original's name. A contact that the service can't render spoils its page: then the folder is listed
//! by ids and its contacts are asked for one by one. A full mailbox refuses delta but no listing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::contact::{PHOTO, photo_facts};
use super::{Contacts, IMMUTABLE};
use crate::format::vcf;
use crate::graph::{BATCH, Call, ErrorClass, GraphError, Listing};
use crate::workload::MARKER_ID;
use crate::workload::expand_marker;
use crate::workload::mail::capture::is_spoiled;
use crate::workload::mail::cursor;
use crate::workload::{
    Account, Alive, Change, Content, Cursor, EntryKind, FeedError, ItemError, Page, Workload,
};

const DELTA: &str = "/users/{user}/contactFolders/{folder}/contacts/delta";
const LIST: &str = "/users/{user}/contactFolders/{folder}/contacts";
const CONTACT: &str = "/users/{user}/contacts/{contact}";

/// Contacts of a folder that were restored.
const MAX_MARKED: usize = 1_000_000;

/// How the contacts of a folder are learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Delta,
    /// A plain listing: the mailbox is full, and delta would write to it.
    List,
    /// A plain listing of ids, records asked singly: some contact spoils its page.
    Ids,
}

/// A cursor of a contact feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ContactCursor {
    #[serde(default)]
    mode: Mode,
    /// Next or delta link; `None` begins an enumeration.
    link: Option<String>,
    #[serde(default)]
    full: bool,
    /// The folder is known and enumerated anew: most of what is told needs no content.
    #[serde(default)]
    again: bool,
}

/// Begins anew where a round is done. `None`: the next round does by itself.
pub(super) fn anew(cursor: &str) -> Option<String> {
    let at: ContactCursor = cursor::read(cursor).ok()?;
    let start = ContactCursor {
        again: true,
        ..ContactCursor::default()
    };
    at.link.map(|_| cursor::write(&start))
}

impl Contacts {
    pub(super) async fn contacts_page(
        &self,
        account: &Account,
        folder: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let mut at: ContactCursor = match cursor {
            Some(cursor) => cursor::read(cursor)?,
            None => ContactCursor::default(),
        };
        if at.link.is_none() {
            at.full = true;
        }
        let listing = self.listing(account, folder, &at).await?;
        let mut changes: Vec<Change> = match at.mode {
            Mode::Delta | Mode::List => {
                let told = listing.value.into_iter();
                told.filter_map(|contact| change(folder, contact)).collect()
            }
            Mode::Ids => self.complete(account, folder, listing.value).await?,
        };
        if at.mode != Mode::Ids {
            self.add_markers(account, folder, &mut changes).await?;
        }
        if self.options.photos && !at.again {
            self.look_ahead(account, &changes).await;
        }
        let full = at.full;
        let cursor = match (listing.next, listing.delta) {
            (Some(next), _) => {
                at.link = Some(next);
                Cursor::More(cursor::write(&at))
            }
            (None, Some(delta)) if at.mode == Mode::Delta => {
                at.link = Some(delta);
                (at.full, at.again) = (false, false);
                Cursor::Done(cursor::write(&at))
            }
            // A listing leaves nothing to go on from: the next cycle tries delta again.
            (None, _) => Cursor::Done(cursor::write(&ContactCursor {
                again: true,
                ..ContactCursor::default()
            })),
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
        at: &ContactCursor,
    ) -> Result<Listing, FeedError> {
        let mut size = self.options.page_size.clamp(1, 1000);
        loop {
            let call = match (&at.link, at.mode) {
                (Some(link), Mode::Delta) => Call::link(DELTA, link),
                (Some(link), _) => Call::link(LIST, link),
                (None, Mode::Delta) => Call::get(DELTA, &[&account.id, folder]),
                (None, Mode::List) => {
                    Call::get(LIST, &[&account.id, folder]).query("$top", &size.to_string())
                }
                (None, Mode::Ids) => Call::get(LIST, &[&account.id, folder])
                    .query("$select", "id")
                    .query("$top", &size.to_string()),
            };
            let call = call
                .scope(Self::scope(account), 1)
                .prefer(format!("{IMMUTABLE}, odata.maxpagesize={size}"))
                .attempts(if size > 1 { 3 } else { 2 });
            let error = match self.client.page(&call).await {
                Ok(listing) => return Ok(listing),
                Err(error) => error,
            };
            let reset = |mode: Mode| FeedError::Reset {
                start: Some(cursor::write(&ContactCursor {
                    mode,
                    again: true,
                    ..ContactCursor::default()
                })),
            };
            return Err(match error.class {
                ErrorClass::Reset => reset(Mode::Delta),
                _ if error.is_code("ErrorItemNotFound")
                    || error.is_code("ErrorSyncFolderNotFound") =>
                {
                    FeedError::Gone
                }
                ErrorClass::Quota if at.mode == Mode::Delta => reset(Mode::List),
                _ if error.is_code("ErrorInvalidIdMalformed") && at.mode == Mode::Delta => {
                    reset(Mode::List)
                }
                ErrorClass::Transient | ErrorClass::Corrupt if is_spoiled(&error) => {
                    if size > 1 {
                        size = if size > 100 { 50 } else { (size / 7).max(1) };
                        tracing::debug!(%error, size, "a page fails: asking for a smaller one");
                        continue;
                    }
                    // Is it this page, or is the mailbox out of order?
                    match at.mode != Mode::Ids && self.answers(account, folder).await {
                        true => reset(Mode::Ids),
                        false => FeedError::Failed(error),
                    }
                }
                _ => FeedError::Failed(error),
            });
        }
    }

    /// True if the folder can be listed at all.
    async fn answers(&self, account: &Account, folder: &str) -> bool {
        let call = Call::get(LIST, &[&account.id, folder])
            .query("$select", "id")
            .query("$top", "1")
            .attempts(2);
        self.client.page(&Self::of(account, call)).await.is_ok()
    }

    /// Records for a page of ids.
    async fn complete(
        &self,
        account: &Account,
        folder: &str,
        listed: Vec<Value>,
    ) -> Result<Vec<Change>, FeedError> {
        let ids: Vec<String> = listed
            .iter()
            .filter_map(|contact| contact["id"].as_str().map(str::to_owned))
            .collect();
        let mut changes = Vec::with_capacity(ids.len());
        for (id, alive) in ids.iter().zip(self.look_up(account, &ids).await?) {
            match alive {
                Alive::Here { record, .. } => changes.extend(change(folder, record)),
                // Gone since it was listed: the next round tells where to.
                Alive::Gone => {}
                Alive::Unknown(e) => changes.push(Change::Skipped {
                    id: id.clone(),
                    parent: Some(folder.to_owned()),
                    name: id.clone(),
                    class: e.class,
                    reason: e.reason,
                }),
            }
        }
        Ok(changes)
    }

    /// Completes records with the markers of what was restored.
    async fn add_markers(
        &self,
        account: &Account,
        folder: &str,
        changes: &mut [Change],
    ) -> Result<(), GraphError> {
        if !changes.iter().any(|c| matches!(c, Change::Item { .. })) {
            return Ok(());
        }
        let any = format!(
            "singleValueExtendedProperties/Any(ep: ep/id eq '{MARKER_ID}' and ep/value ne null)"
        );
        let call = Call::get(LIST, &[&account.id, folder])
            .query("$filter", &any)
            .query("$select", "id")
            .query("$expand", &expand_marker())
            .query("$top", "1000");
        let marked = match self.client.pages(Self::of(account, call), MAX_MARKED).await {
            Ok(marked) => marked,
            // Better under another name than not at all.
            Err(e) if !e.class.is_temporary() => {
                tracing::debug!(%e, "restored contacts are not told apart");
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let mut markers: HashMap<String, Value> = marked
            .into_iter()
            .filter_map(|mut contact| {
                let marker = contact["singleValueExtendedProperties"].take();
                Some((contact["id"].as_str()?.to_owned(), marker))
            })
            .collect();
        for change in changes {
            if let Change::Item { id, record, .. } = change
                && let Some(marker) = markers.remove(id.as_str())
            {
                record["singleValueExtendedProperties"] = marker;
            }
        }
        Ok(())
    }

    /// Remembers whose photos will be asked for, in that order: contents are fetched by name.
    async fn look_ahead(&self, account: &Account, changes: &[Change]) {
        let mut told: Vec<(String, &String)> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Item { id, record, .. } => {
                    let named = self.describe(EntryKind::Item, &(self.keyer)(id), record);
                    Some((named.name, id))
                }
                _ => None,
            })
            .collect();
        told.sort();
        let ids = told.into_iter().map(|(_, id)| id.clone()).collect();
        self.photos.told(&account.id, ids).await;
    }

    /// Asks for contacts by id, in batches.
    pub(super) async fn look_up(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(BATCH) {
            let calls: Vec<Call> = ids
                .iter()
                .map(|id| {
                    let call =
                        Call::get(CONTACT, &[&account.id, id]).query("$expand", &expand_marker());
                    Self::of(account, call)
                })
                .collect();
            for answer in self.client.batch(Self::scope(account), &calls).await? {
                found.push(match answer {
                    Ok(mut part) => Alive::Here {
                        parent: part.body["parentFolderId"].as_str().map(str::to_owned),
                        record: tidy(part.body.take()),
                    },
                    Err(e) if e.class == ErrorClass::NotFound => Alive::Gone,
                    Err(e) => Alive::Unknown(e.into()),
                });
            }
        }
        Ok(found)
    }

    /// A contact as a vCard. The record says what photo is in it, or why there is none.
    pub(super) async fn render(
        &self,
        account: &Account,
        record: &mut Value,
    ) -> Result<Content, ItemError> {
        let Some(id) = record["id"].as_str().map(str::to_owned) else {
            return Err(ItemError {
                class: ErrorClass::Ours,
                reason: "the record has no id".to_owned(),
            });
        };
        let photo = match self.options.photos {
            true => self.photo(account, &id).await,
            false => Ok(None),
        };
        let photo = match photo {
            Ok(Some(photo)) => {
                record[PHOTO] = photo_facts(&photo);
                Some(photo)
            }
            Ok(None) => {
                if let Some(record) = record.as_object_mut() {
                    record.remove(PHOTO);
                }
                None
            }
            Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => return Err(e.into()),
            // A contact without its photo is better than none.
            Err(e) => {
                record[PHOTO] = json!({ "missing": e.to_string() });
                None
            }
        };
        Ok(Content::File(vcf::write(record, photo.as_ref()).into()))
    }
}

/// What an entry of a page tells.
fn change(folder: &str, record: Value) -> Option<Change> {
    let id = record["id"].as_str()?.to_owned();
    if record.get("@removed").is_some() {
        // With immutable ids a move looks like a removal, and may be told nowhere else.
        return Some(Change::Removed {
            id,
            parent: Some(folder.to_owned()),
            verify: true,
        });
    }
    let parent = record["parentFolderId"]
        .as_str()
        .unwrap_or(folder)
        .to_owned();
    Some(Change::Item {
        id,
        parent: Some(parent),
        record: tidy(record),
    })
}

/// A record without what depends on how it was asked for.
fn tidy(mut record: Value) -> Value {
    if let Some(record) = record.as_object_mut() {
        record.retain(|name, _| !name.ends_with("@odata.context") && name != "@odata.type");
    }
    record
}
