//! The event feeds: one listing per calendar, and the content of what changed.
//!
//! An event that the service can't render spoils every page it is on. So a page that keeps failing is
//! asked for in smaller pieces, and if one event alone fails, the calendar is listed by ids and its
//! events are asked for one by one: the bad one is reported, the others are captured.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Calendar;
use super::event::{EVENT, EVENTS_OF, LISTED, SELECT};
use crate::format::eml::Attachment;
use crate::format::ics;
use crate::graph::{BATCH, Call, ErrorClass, GraphError, Listing};
use crate::workload::attachments::{Found, Holder, OF_EVENTS};
use crate::workload::mail::capture::is_spoiled;
use crate::workload::mail::cursor;
use crate::workload::mailbox::{IMMUTABLE, scope};
use crate::workload::{
    Account, Alive, Change, Content, Cursor, FeedError, ItemError, Page, expand_marker,
};

const CALENDAR_OF: &str = "/users/{user}/events/{event}/calendar";
/// Bytes of an event with all its exceptions, without attachments.
const MAX_RECORD: usize = 64 << 20;

/// Where the listing of a calendar is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct EventCursor {
    /// Ids only: a record of this calendar spoils its page.
    #[serde(default)]
    ids: bool,
    link: Option<String>,
}

impl Calendar {
    pub(super) async fn events_page(
        &self,
        account: &Account,
        calendar: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let mut at: EventCursor = match cursor {
            Some(cursor) => cursor::read(cursor)?,
            None => EventCursor::default(),
        };
        let listing = self.listing(account, calendar, &at).await?;
        let changes = match at.ids {
            false => listing
                .value
                .into_iter()
                .filter_map(|e| change(calendar, e))
                .collect(),
            true => self.complete(account, calendar, listing.value).await?,
        };
        let cursor = match listing.next {
            Some(next) => {
                at.link = Some(next);
                Cursor::More(cursor::write(&at))
            }
            // The next round lists all again, and tries whole pages first.
            None => Cursor::Done(cursor::write(&EventCursor::default())),
        };
        Ok(Page {
            changes,
            cursor,
            full: true,
        })
    }

    /// One page, made smaller as long as it fails.
    async fn listing(
        &self,
        account: &Account,
        calendar: &str,
        at: &EventCursor,
    ) -> Result<Listing, FeedError> {
        let mut size = self.options.page_size.clamp(1, 999);
        loop {
            let call = match &at.link {
                Some(link) => Call::link(EVENTS_OF, link),
                None => Call::get(EVENTS_OF, &[&account.id, calendar])
                    .query("$select", if at.ids { "id" } else { LISTED })
                    .query("$top", &size.to_string()),
            };
            let call = call
                .scope(scope(account), 1)
                .prefer(format!("{IMMUTABLE}, odata.maxpagesize={size}"))
                .attempts(if size > 1 { 3 } else { 2 });
            let error = match self.client.page(&call).await {
                Ok(listing) => return Ok(listing),
                Err(error) => error,
            };
            return Err(match error.class {
                _ if error.is_code("ErrorItemNotFound")
                    || error.is_code("ErrorSyncFolderNotFound") =>
                {
                    FeedError::Gone
                }
                ErrorClass::Transient | ErrorClass::Corrupt if is_spoiled(&error) => {
                    if size > 1 {
                        size = if size > 100 { 50 } else { (size / 7).max(1) };
                        tracing::debug!(%error, size, "a page fails: asking for a smaller one");
                        continue;
                    }
                    // Is it this page, or is the mailbox out of order?
                    match !at.ids && self.answers(account, calendar).await {
                        true => FeedError::Reset {
                            start: Some(cursor::write(&EventCursor {
                                ids: true,
                                link: None,
                            })),
                        },
                        false => FeedError::Failed(error),
                    }
                }
                _ => FeedError::Failed(error),
            });
        }
    }

    /// True if the calendar can be listed at all.
    async fn answers(&self, account: &Account, calendar: &str) -> bool {
        let call = Call::get(EVENTS_OF, &[&account.id, calendar])
            .query("$select", "id")
            .query("$top", "1")
            .attempts(2);
        self.client.page(&Self::of(account, call)).await.is_ok()
    }

    /// Records for a page of ids.
    async fn complete(
        &self,
        account: &Account,
        calendar: &str,
        listed: Vec<Value>,
    ) -> Result<Vec<Change>, FeedError> {
        let ids: Vec<String> = listed
            .iter()
            .filter_map(|event| event["id"].as_str().map(str::to_owned))
            .collect();
        let mut changes = Vec::with_capacity(ids.len());
        for ids in ids.chunks(BATCH) {
            let calls: Vec<Call> = ids.iter().map(|id| self.one(account, id)).collect();
            let answers = self.client.batch(scope(account), &calls).await?;
            for (id, answer) in ids.iter().zip(answers) {
                match answer {
                    Ok(part) => changes.extend(change(calendar, part.body)),
                    Err(e) => changes.push(Change::Skipped {
                        id: id.clone(),
                        parent: Some(calendar.to_owned()),
                        name: id.clone(),
                        class: e.class,
                        reason: e.to_string(),
                    }),
                }
            }
        }
        Ok(changes)
    }

    fn one(&self, account: &Account, id: &str) -> Call {
        let call = Call::get(EVENT, &[&account.id, id]).query("$select", LISTED);
        Self::of(account, call)
    }

    /// Asks for events by id, and for the calendar that each is in.
    pub(super) async fn look_up(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(BATCH / 2) {
            let calendar = |id: &String| {
                let call = Call::get(CALENDAR_OF, &[&account.id, id]).query("$select", "id");
                Self::of(account, call)
            };
            let calls: Vec<Call> = ids
                .iter()
                .flat_map(|id| [self.one(account, id), calendar(id)])
                .collect();
            let mut answers = self.client.batch(scope(account), &calls).await?.into_iter();
            while let (Some(event), Some(calendar)) = (answers.next(), answers.next()) {
                found.push(match (event, calendar) {
                    (Ok(event), Ok(calendar)) => Alive::Here {
                        parent: calendar.body["id"].as_str().map(str::to_owned),
                        record: event.body,
                    },
                    (Err(e), _) | (_, Err(e)) if e.class == ErrorClass::NotFound => Alive::Gone,
                    (Err(e), _) | (_, Err(e)) => Alive::Unknown(e.into()),
                });
            }
        }
        Ok(found)
    }

    /// The event as a file. Completes the record: the event with its exceptions, and what Graph says
    /// of its attachments, whose content is in the file only.
    pub(super) async fn fetch_event(
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
        let mut whole = self.whole(account, &id, record).await?;
        let mut attachments = vec![self.attachments_of(account, &mut whole).await?];
        if let Some(exceptions) = whole["exceptionOccurrences"].as_array_mut() {
            // In the order of the series: the file must not depend on how they were told.
            exceptions.sort_by_key(|e| e["originalStart"].as_str().unwrap_or_default().to_owned());
            for exception in exceptions {
                attachments.push(self.attachments_of(account, exception).await?);
            }
        }
        let file = ics::from_json(&whole, &attachments).ok_or_else(|| ItemError {
            class: ErrorClass::Corrupt,
            reason: "the event has no id".to_owned(),
        })?;
        *record = whole;
        Ok(Content::File(file.into()))
    }

    async fn whole(&self, account: &Account, id: &str, listed: &Value) -> Result<Value, ItemError> {
        let single = listed["type"] == "singleInstance";
        let expand = match single {
            true => expand_marker(),
            false => format!("exceptionOccurrences,{}", expand_marker()),
        };
        let call = Call::get(EVENT, &[&account.id, id])
            .query("$select", SELECT)
            .query("$expand", &expand)
            .prefer("outlook.allow-unsafe-html")
            .bounds(MAX_RECORD, Duration::from_secs(300));
        match self.client.json(&Self::of(account, call)).await {
            Ok(mut whole) => {
                tidy(&mut whole);
                Ok(whole)
            }
            // Exchange never gets done with some very long series: that is the event, not the service.
            Err(e) if !single && e.status == Some(503) && self.mailbox_answers(account).await => {
                Err(ItemError {
                    class: ErrorClass::Corrupt,
                    reason: format!(
                        "Exchange gives no answer for this series, as for those with very many occurrences: {e}"
                    ),
                })
            }
            Err(e) => Err(e.into()),
        }
    }

    async fn mailbox_answers(&self, account: &Account) -> bool {
        let call = Call::get("/users/{user}/calendar", &[&account.id]).query("$select", "id");
        self.client.json(&Self::of(account, call)).await.is_ok()
    }

    /// The attachments of an event or an exception; its record says what they are, and what is missing.
    async fn attachments_of(
        &self,
        account: &Account,
        event: &mut Value,
    ) -> Result<Vec<Attachment>, ItemError> {
        // Inline ones do not count as attachments.
        let inline = event["body"]["content"]
            .as_str()
            .is_some_and(|body| body.contains("cid:"));
        let Some(id) = event["id"].as_str().map(str::to_owned) else {
            return Ok(Vec::new());
        };
        if event["hasAttachments"] != true && !inline {
            return Ok(Vec::new());
        }
        let holder = Holder {
            client: &self.client,
            account,
            routes: &OF_EVENTS,
            item: &id,
        };
        let Found {
            attachments,
            records,
            missing,
        } = holder.read(self.options.max_event).await?;
        if !records.is_empty() {
            event["attachments"] = json!(records);
        }
        if !missing.is_empty() {
            event["tenantfsContent"] = json!({ "missingAttachments": missing });
        }
        Ok(attachments)
    }
}

fn change(calendar: &str, record: Value) -> Option<Change> {
    Some(Change::Item {
        id: record["id"].as_str()?.to_owned(),
        parent: Some(calendar.to_owned()),
        record,
    })
}

/// Takes off what tells how the record was asked for rather than what it is.
fn tidy(event: &mut Value) {
    if let Some(event) = event.as_object_mut() {
        event.retain(|name, _| {
            name != "@odata.context" && !name.contains("@odata.") || name == "@odata.etag"
        });
    }
    for exception in event["exceptionOccurrences"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        if let Some(exception) = exception.as_object_mut() {
            exception.retain(|name, _| !name.contains("@odata."));
        }
    }
}
