//! The feeds of lists and tasks, and the content of a task.
//!
//! A task that the service can't render spoils its page: then the list is followed by ids, and its
//! tasks are asked for one by one. The bad one is reported, the others are captured.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lists::{ALL, is_flagged};
use super::task::{LIST, expand};
use super::{TASKS, Todo};
use crate::format::ics::todo;
use crate::graph::{BATCH, Call, ErrorClass, GraphError, Listing};
use crate::workload::mail::capture::is_spoiled;
use crate::workload::mail::cursor;
use crate::workload::{
    Account, Alive, Change, Content, Cursor, FeedError, FeedId, ItemError, Page,
};

const LISTS_DELTA: &str = "/users/{user}/todo/lists/delta";
const TASKS_DELTA: &str = "/users/{user}/todo/lists/{list}/tasks/delta";
const TASKS_ALL: &str = "/users/{user}/todo/lists/{list}/tasks";
const TASK: &str = "/users/{user}/todo/lists/{list}/tasks/{task}";

/// Tasks a page has at most.
const PAGE: u32 = 200;
/// Lists of one mailbox.
pub(super) const MAX_LISTS: usize = 10_000;

/// A cursor of either kind of feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FeedCursor {
    /// Next or delta link; `None` begins an enumeration.
    link: Option<String>,
    #[serde(default)]
    full: bool,
    /// Without delta: the mailbox is full, and delta would write to it.
    #[serde(default)]
    plain: bool,
    /// Ids only: some task spoils its page.
    #[serde(default)]
    ids: bool,
}

/// Begins anew where a round is done. `None`: the next round does by itself.
pub(super) fn anew(cursor: &str) -> Option<String> {
    let at: FeedCursor = cursor::read(cursor).ok()?;
    at.link.map(|_| cursor::write(&FeedCursor::default()))
}

impl FeedCursor {
    fn read(cursor: Option<&str>) -> Result<Self, FeedError> {
        let mut at: Self = match cursor {
            Some(cursor) => cursor::read(cursor)?,
            None => Self::default(),
        };
        if at.link.is_none() {
            at.full = true;
        }
        Ok(at)
    }

    /// Where to go on after a page.
    fn next(mut self, page: &Listing) -> Cursor {
        match (&page.next, &page.delta) {
            (Some(next), _) => {
                self.link = Some(next.clone());
                Cursor::More(cursor::write(&self))
            }
            (None, Some(delta)) if !self.plain => {
                self.link = Some(delta.clone());
                self.full = false;
                Cursor::Done(cursor::write(&self))
            }
            // A listing leaves nothing to go on from: the next cycle tries delta again.
            (None, _) => Cursor::Done(cursor::write(&Self::default())),
        }
    }

    /// What a failed page means.
    fn failed(&self, error: GraphError) -> FeedError {
        let plain = || FeedError::Reset {
            start: Some(cursor::write(&Self {
                plain: true,
                ids: self.ids,
                ..Self::default()
            })),
        };
        match error.class {
            ErrorClass::Reset => FeedError::Reset { start: None },
            ErrorClass::Quota if !self.plain => plain(),
            _ if error.is_code("ErrorInvalidIdMalformed") && !self.plain => plain(),
            _ => FeedError::Failed(error),
        }
    }
}

impl Todo {
    pub(super) async fn lists_page(
        &self,
        account: &Account,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let at = FeedCursor::read(cursor)?;
        let call = match &at.link {
            Some(link) => Call::link(LISTS_DELTA, link),
            None if at.plain => Call::get(ALL, &[&account.id]).query("$top", "100"),
            None => Call::get(LISTS_DELTA, &[&account.id]),
        };
        let page = self.client.page(&Self::of(account, call)).await;
        let mut page = page.map_err(|e| at.failed(e))?;
        let told = std::mem::take(&mut page.value).into_iter();
        Ok(Page {
            changes: told.filter_map(list_change).collect(),
            full: at.full,
            cursor: at.next(&page),
        })
    }

    pub(super) async fn tasks_page(
        &self,
        account: &Account,
        list: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let at = FeedCursor::read(cursor)?;
        let mut page = self.listing(account, list, &at).await?;
        let told = std::mem::take(&mut page.value);
        let changes = match at.ids {
            true => self.by_id(account, list, told).await?,
            false => {
                let told = told.into_iter();
                told.filter_map(|task| task_change(list, task)).collect()
            }
        };
        Ok(Page {
            changes,
            full: at.full,
            cursor: at.next(&page),
        })
    }

    /// One page, made smaller as long as it fails.
    async fn listing(
        &self,
        account: &Account,
        list: &str,
        at: &FeedCursor,
    ) -> Result<Listing, FeedError> {
        let mut size = PAGE;
        loop {
            let route = if at.plain { TASKS_ALL } else { TASKS_DELTA };
            let call = match &at.link {
                Some(link) => Call::link(route, link),
                None => {
                    let call = Call::get(route, &[&account.id, list]);
                    let call = match at.ids {
                        true => call.query("$select", "id"),
                        false => call.query("$expand", &expand()),
                    };
                    // `$top` would end a delta round early; a listing knows nothing else.
                    match at.plain {
                        true => call.query("$top", &size.to_string()),
                        false => call,
                    }
                }
            };
            let call = call
                .prefer(format!("odata.maxpagesize={size}"))
                .attempts(if size > 1 { 3 } else { 2 });
            let e = match self.client.page(&Self::of(account, call)).await {
                Ok(page) => return Ok(page),
                Err(e) => e,
            };
            return Err(match is_spoiled(&e) {
                _ if is_gone(&e) => FeedError::Gone,
                true if size > 1 => {
                    size = (size / 8).max(1);
                    tracing::debug!(%e, size, "a page fails: asking for a smaller one");
                    continue;
                }
                // Is it this page, or is the mailbox out of order?
                true if !at.ids && self.answers(account, list).await => FeedError::Reset {
                    start: Some(cursor::write(&FeedCursor {
                        plain: at.plain,
                        ids: true,
                        ..FeedCursor::default()
                    })),
                },
                _ => at.failed(e),
            });
        }
    }

    /// True if the list can be listed at all.
    async fn answers(&self, account: &Account, list: &str) -> bool {
        let call = Call::get(TASKS_ALL, &[&account.id, list])
            .query("$select", "id")
            .query("$top", "1")
            .attempts(2);
        self.client.page(&Self::of(account, call)).await.is_ok()
    }

    /// Records for a page of ids.
    async fn by_id(
        &self,
        account: &Account,
        list: &str,
        told: Vec<Value>,
    ) -> Result<Vec<Change>, FeedError> {
        let mut changes = Vec::with_capacity(told.len());
        let mut ids = Vec::new();
        for task in told {
            match task.get("@removed") {
                Some(_) => changes.extend(task_change(list, task)),
                None => ids.extend(task["id"].as_str().map(str::to_owned)),
            }
        }
        for ids in ids.chunks(BATCH) {
            let calls = ids.iter().map(|id| Self::one(account, list, id));
            let calls: Vec<Call> = calls.collect();
            let answers = self.client.batch(Self::scope(account), &calls).await?;
            for (id, answer) in ids.iter().zip(answers) {
                match answer {
                    Ok(mut part) => changes.extend(task_change(list, part.body.take())),
                    Err(e) => changes.push(Change::Skipped {
                        id: id.clone(),
                        parent: Some(list.to_owned()),
                        name: id.clone(),
                        class: e.class,
                        reason: e.to_string(),
                    }),
                }
            }
        }
        Ok(changes)
    }

    /// A task that is in this list, or is not there.
    fn one(account: &Account, list: &str, id: &str) -> Call {
        let call = Call::get(TASK, &[&account.id, list, id])
            .query("$expand", &expand())
            .patient_404(1);
        Self::of(account, call)
    }

    /// Asks for tasks by id. Which list they are in is not known: it is looked for.
    pub(super) async fn look_up(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        let mut found = Vec::with_capacity(ids.len());
        if ids.is_empty() {
            return Ok(found);
        }
        let lists = self.all_lists(account).await?;
        let lists: Vec<&str> = lists
            .iter()
            .filter(|list| !is_flagged(list))
            .filter_map(|list| list["id"].as_str())
            .collect();
        for id in ids {
            found.push(self.look_for(account, &lists, id).await?);
        }
        Ok(found)
    }

    async fn look_for(
        &self,
        account: &Account,
        lists: &[&str],
        id: &str,
    ) -> Result<Alive, GraphError> {
        let mut doubt = None;
        for lists in lists.chunks(BATCH) {
            let calls = lists.iter().map(|list| Self::one(account, list, id));
            let calls: Vec<Call> = calls.collect();
            let answers = self.client.batch(Self::scope(account), &calls).await?;
            for (list, answer) in lists.iter().zip(answers) {
                match answer {
                    Ok(mut part) => {
                        return Ok(Alive::Here {
                            parent: Some((*list).to_owned()),
                            record: placed(list, part.body.take()),
                        });
                    }
                    Err(e) if e.class == ErrorClass::NotFound || e.status == Some(400) => {}
                    Err(e) => doubt = Some(e),
                }
            }
        }
        Ok(doubt.map_or(Alive::Gone, |e| Alive::Unknown(e.into())))
    }

    /// A task as a VTODO with its files.
    pub(super) async fn render(
        &self,
        account: &Account,
        record: &mut Value,
    ) -> Result<Content, ItemError> {
        let files = self.files_of(account, record).await?;
        Ok(Content::File(todo::write(record, &files).into()))
    }
}

fn is_gone(error: &GraphError) -> bool {
    error.class == ErrorClass::NotFound
        || error.is_code("ErrorItemNotFound")
        || error.is_code("ErrorSyncFolderNotFound")
}

fn list_change(record: Value) -> Option<Change> {
    let id = record["id"].as_str()?.to_owned();
    if record.get("@removed").is_some() {
        return Some(Change::Removed {
            id,
            parent: None,
            verify: false,
        });
    }
    if is_flagged(&record) {
        let name = record["displayName"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let note = "the list of flagged mails: it mirrors mail, which is captured".to_owned();
        return Some(Change::Noted { id, name, note });
    }
    let feed = Some(FeedId(format!("{TASKS}{id}")));
    Some(Change::Folder {
        id,
        parent: None,
        record: tidy(record),
        feed,
    })
}

fn task_change(list: &str, record: Value) -> Option<Change> {
    let id = record["id"].as_str()?.to_owned();
    let parent = Some(list.to_owned());
    if record.get("@removed").is_some() {
        return Some(Change::Removed {
            id,
            parent,
            verify: false,
        });
    }
    Some(Change::Item {
        id,
        parent,
        record: placed(list, record),
    })
}

/// A task's record with the list it is in.
fn placed(list: &str, record: Value) -> Value {
    let mut record = tidy(record);
    record[LIST] = json!(list);
    record
}

/// A record without what depends on how it was asked for.
fn tidy(mut record: Value) -> Value {
    if let Some(record) = record.as_object_mut() {
        record.retain(|name, _| {
            !name.ends_with("@odata.context")
                && !name.ends_with("@odata.nextLink")
                && name != "@odata.type"
        });
    }
    record
}
