//! The message feeds: one delta per folder, and what to do where delta does not work.
//!
//! A message that the service can't render spoils every page it is on, for ever. So a page that
//! keeps failing is asked for in smaller pieces, and if one message alone fails, the folder is
//! followed by ids and its messages are asked one by one: the bad one is reported, the others are
//! captured. A full mailbox refuses delta but not a plain listing.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::Mail;
use super::cursor::{self, MessageCursor, Mode};
use super::message::{SELECT, expand_captured, tidy};
use crate::graph::{BATCH, Call, ErrorClass, GraphError, Listing};
use crate::workload::mailbox::IMMUTABLE;
use crate::workload::{Account, Alive, Change, Content, Cursor, FeedError, ItemError, Page};

const DELTA: &str = "/users/{user}/mailFolders/{folder}/messages/delta";
const LIST: &str = "/users/{user}/mailFolders/{folder}/messages";
const VALUE: &str = "/users/{user}/messages/{message}/$value";
const MESSAGE: &str = "/users/{user}/messages/{message}";

impl Mail {
    pub(super) async fn messages_page(
        &self,
        account: &Account,
        folder: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let mut at: MessageCursor = match cursor {
            Some(cursor) => cursor::read(cursor)?,
            None => MessageCursor::default(),
        };
        if at.link.is_none() {
            at.full = true;
        }
        let listing = self.listing(account, folder, &at).await?;
        let changes = if at.mode.has_records() {
            listing
                .value
                .into_iter()
                .filter_map(|m| change(folder, m))
                .collect()
        } else {
            self.complete(account, folder, listing.value).await?
        };
        let full = at.full;
        let cursor = match (listing.next, listing.delta) {
            (Some(next), _) => {
                at.link = Some(next);
                Cursor::More(cursor::write(&at))
            }
            (None, Some(delta)) if at.mode.is_delta() => {
                at.link = Some(delta);
                at.full = false;
                Cursor::Done(cursor::write(&at))
            }
            // A listing leaves nothing to go on from: the next cycle tries delta again.
            (None, _) => Cursor::Done(cursor::write(&MessageCursor::default())),
        };
        Ok(Page {
            changes,
            cursor,
            full,
        })
    }

    fn first_call(&self, account: &Account, folder: &str, mode: Mode, size: u32) -> Call {
        let route = if mode.is_delta() { DELTA } else { LIST };
        let call = Call::get(route, &[&account.id, folder]);
        let call = match mode {
            Mode::Delta | Mode::List => call
                .query("$select", SELECT)
                .query("$expand", &self.expand()),
            Mode::DeltaLight => call.query("$select", "id,isRead"),
            Mode::DeltaIds | Mode::ListIds => call.query("$select", "id"),
        };
        // `$top` would end a delta round early; a listing knows nothing else.
        if mode.is_delta() {
            call
        } else {
            call.query("$top", &size.to_string())
        }
    }

    fn expand(&self) -> String {
        expand_captured(self.options.route)
    }

    /// One page, made smaller as long as it fails.
    async fn listing(
        &self,
        account: &Account,
        folder: &str,
        at: &MessageCursor,
    ) -> Result<Listing, FeedError> {
        let mut size = self.options.page_size.clamp(1, 1000);
        loop {
            let call = match &at.link {
                Some(link) if at.mode.is_delta() => Call::link(DELTA, link),
                Some(link) => Call::link(LIST, link),
                None => self.first_call(account, folder, at.mode, size),
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
                start: Some(cursor::write(&MessageCursor {
                    mode,
                    ..MessageCursor::default()
                })),
            };
            return Err(match error.class {
                ErrorClass::Reset => FeedError::Reset { start: None },
                _ if error.is_code("ErrorItemNotFound")
                    || error.is_code("ErrorSyncFolderNotFound") =>
                {
                    FeedError::Gone
                }
                ErrorClass::Quota if at.mode.is_delta() => reset(Mode::List),
                _ if error.is_code("ErrorInvalidIdMalformed") && at.mode == Mode::Delta => {
                    reset(Mode::List)
                }
                ErrorClass::Transient | ErrorClass::Corrupt if is_spoiled(&error) => {
                    if size > 1 {
                        size = if size > 100 { 50 } else { (size / 7).max(1) };
                        tracing::debug!(%error, size, "a page fails: asking for a smaller one");
                        continue;
                    }
                    match at.mode.lighter() {
                        // Is it this page, or is the mailbox out of order?
                        Some(lighter) if self.answers(account, folder).await => reset(lighter),
                        _ => FeedError::Failed(error),
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
        let mut changes = Vec::with_capacity(listed.len());
        let mut ids = Vec::new();
        for message in listed {
            match message.get("@removed") {
                Some(_) => changes.extend(change(folder, message)),
                None => ids.extend(message["id"].as_str().map(str::to_owned)),
            }
        }
        for (id, alive) in ids.iter().zip(self.look_up(account, &ids).await?) {
            match alive {
                Alive::Here { record, .. } => changes.extend(change(folder, record)),
                Alive::Gone => changes.push(Change::Skipped {
                    id: id.clone(),
                    parent: Some(folder.to_owned()),
                    name: id.clone(),
                    class: ErrorClass::NotFound,
                    reason: "it was listed, but Graph says that it is not there".to_owned(),
                }),
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

    /// Asks for messages by id, in batches.
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
                    let call = Call::get(MESSAGE, &[&account.id, id])
                        .query("$select", SELECT)
                        .query("$expand", &self.expand());
                    Self::of(account, call)
                })
                .collect();
            for answer in self.client.batch(Self::scope(account), &calls).await? {
                found.push(match answer {
                    Ok(mut part) => {
                        tidy(&mut part.body);
                        Alive::Here {
                            parent: part.body["parentFolderId"].as_str().map(str::to_owned),
                            record: part.body,
                        }
                    }
                    Err(e) if e.class == ErrorClass::NotFound => Alive::Gone,
                    Err(e) => Alive::Unknown(e.into()),
                });
            }
        }
        Ok(found)
    }

    /// The MIME of a message, if Exchange makes one.
    pub(super) async fn mime_only(&self, account: &Account, record: &Value) -> Option<Bytes> {
        let call = Call::get(VALUE, &[&account.id, record["id"].as_str()?])
            .bounds(self.options.max_mail, Duration::from_secs(1800));
        let answer = self.client.send(&Self::of(account, call)).await.ok()?;
        (!answer.body.is_empty()).then_some(answer.body)
    }

    /// The MIME of a message; where Exchange can't make it, one rebuilt from JSON and attachments.
    pub(super) async fn fetch_mime(
        &self,
        account: &Account,
        record: &mut Value,
    ) -> Result<Content, ItemError> {
        let Some(id) = record["id"].as_str().map(str::to_owned) else {
            let reason = "the record has no id".to_owned();
            return Err(ItemError {
                class: ErrorClass::Ours,
                reason,
            });
        };
        let call = Call::get(VALUE, &[&account.id, &id])
            .bounds(self.options.max_mail, Duration::from_secs(1800));
        match self.client.send(&Self::of(account, call)).await {
            Ok(answer) if !answer.body.is_empty() => Ok(Content::Mail(answer.body)),
            Ok(_) => {
                let class = ErrorClass::Corrupt;
                let error = GraphError::local(class, format!("GET {VALUE}"), "the MIME is empty");
                self.rebuild(account, &id, record, error).await
            }
            Err(e) if e.class == ErrorClass::Corrupt => {
                match self.export_instead(account, record).await {
                    Some(content) => Ok(content),
                    None => self.rebuild(account, &id, record, e).await,
                }
            }
            Err(e) => Err(e.into()),
        }
    }
}

/// Whether this looks like one message spoiling its page, or the page being too large.
pub(in crate::workload) fn is_spoiled(error: &GraphError) -> bool {
    matches!(error.status, Some(500 | 503 | 504))
        && ![
            "ErrorMailboxStoreUnavailable",
            "ErrorServerBusy",
            "MailboxInfoStale",
        ]
        .iter()
        .any(|code| error.is_code(code))
}

/// What an entry of a page tells.
fn change(folder: &str, mut record: Value) -> Option<Change> {
    tidy(&mut record);
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
        record,
    })
}
