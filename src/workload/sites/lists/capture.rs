//! The feeds of lists: which lists there are, and the items of each by delta. An item's file is made from
//! what the feed tells; the whole list is read only to write `items.csv` anew.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::columns::{self, is_custom};
use super::live::{ITEMS, LIST, LISTS, PAGE, SELECT};
use super::references::References;
use super::{CSV, DEFINITION, FEED, Lists, attachments, csv};
use crate::graph::{Call, ErrorClass, GraphError, Onward, Scope};
use crate::workload::mail::cursor;
use crate::workload::sites::{MANY, listed};
use crate::workload::{
    Account, Alive, Change, Content, Cursor, FeedError, FeedId, ID, ItemError, Page, SINCE, id_in,
    merge,
};

const DELTA: &str = "/sites/{site}/lists/{list}/items/delta";
const ITEM: &str = "/sites/{site}/lists/{list}/items/{item}";

/// Lists that are something else: libraries, pages, and what SharePoint keeps for itself.
const OTHERS: [&str; 7] = [
    "documentLibrary",
    "mySiteDocumentLibrary",
    "pictureLibrary",
    "webPageLibrary",
    "webTemplateExtensionsList",
    "sharingLinks",
    "accessRequest",
];

/// Where the feed of a list is.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct ListCursor {
    link: Option<String>,
    full: bool,
    /// This round told something: `items.csv` is to be written anew at its end.
    changed: bool,
    /// This round makes sure that nothing was missed.
    #[serde(default)]
    sweep: bool,
    /// Of an enumeration: what tells if the items are the same as in another.
    #[serde(default)]
    sum: u64,
    /// Items have attachments that this identity could not read.
    #[serde(default)]
    pub unread: bool,
    /// And this round has told so.
    #[serde(default)]
    pub noted: bool,
}

impl ListCursor {
    /// The beginning of an enumeration.
    fn anew(sweep: bool) -> Self {
        Self {
            full: true,
            changed: true,
            sweep,
            ..Self::default()
        }
    }
}

impl Lists {
    pub(super) fn is_captured(&self, list: &Value) -> bool {
        let template = list["list"]["template"].as_str().unwrap_or_default();
        let hidden = list["system"].is_object() || list["list"]["hidden"] == true;
        list["id"].is_string() && !OTHERS.contains(&template) && (self.system || !hidden)
    }

    pub(super) async fn root_page(
        &self,
        site: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let call = Call::get(LISTS, &[site])
            .query("$select", SELECT)
            .scope(Scope::Drives, MANY);
        let lists = self.live.client.pages(call, 10_000).await;
        let kind = listed::Kind {
            client: &self.live.client,
            is_captured: &|list| self.is_captured(list),
            one: &|list| list_call(site, list),
            tell: &tell,
        };
        kind.round(cursor, lists).await
    }

    pub(super) async fn list_page(
        &self,
        account: &Account,
        list: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let site = account.id.as_str();
        let at = cursor.map(serde_json::from_str).transpose();
        let at: Option<ListCursor> = at.map_err(|_| FeedError::Reset { start: None })?;
        let mut at = at.unwrap_or_else(|| ListCursor::anew(false));
        // A certificate was given since: what it opens is read now.
        if at.unread && !at.full && self.live.client.sharepoint().is_ok() {
            return Err(FeedError::Reset { start: None });
        }
        let call = match &at.link {
            Some(link) => Call::link(DELTA, link).scope(Scope::Drives, 1),
            None => Call::get(DELTA, &[site, list])
                .query("$expand", "fields")
                .query("$top", "500")
                .scope(Scope::Drives, MANY),
        };
        let page = match self.live.client.page(&call).await {
            Ok(page) => page,
            Err(e) => return Err(self.feed_error(&at, e)),
        };
        let onward = page.onward(DELTA)?;
        let mut changes: Vec<Change> = page
            .value
            .into_iter()
            .filter_map(|item| change(list, item))
            .collect();
        at.changed |= !changes.is_empty();
        let full = at.full;
        if full {
            at.sum = changes.iter().fold(at.sum, sum);
        }
        self.tell_attachments(account, list, &mut at, &mut changes)
            .await?;
        if at.sweep {
            self.tell_roles(site, &mut changes).await?;
        }
        let cursor = match onward {
            Onward::More(link) => {
                at.link = Some(link);
                Cursor::More(cursor::write(&at))
            }
            Onward::Done(link) => {
                changes.extend(self.tables(list, &at, &link));
                at = ListCursor {
                    link: Some(link),
                    unread: at.unread,
                    ..ListCursor::default()
                };
                Cursor::Done(cursor::write(&at))
            }
        };
        Ok(Page {
            changes,
            cursor,
            full,
        })
    }

    /// What the end of a round tells of the table of a list. What was made of the same items has the same
    /// stamp after an enumeration; ordinary rounds know no more than that something changed.
    ///
    /// A sweep says that the table is there, and leaves it as it is. If the items are not those that it was
    /// made from, the ordinary round, which comes right behind, has it made anew: so it is not among what
    /// only the sweep found.
    fn tables(&self, list: &str, at: &ListCursor, delta: &str) -> Vec<Change> {
        let sum = format!("{:016x}", at.sum);
        if at.sweep {
            self.swept.lock().insert(list.to_owned(), sum);
            return [CSV, DEFINITION].map(|name| mention(list, name)).into();
        }
        let swept = self.swept.lock().remove(list);
        let stamp = match swept {
            _ if at.full => sum,
            Some(sum) => sum,
            None if at.changed => blake3::hash(delta.as_bytes()).to_hex()[..16].to_owned(),
            None => return Vec::new(),
        };
        vec![table(list, &stamp)]
    }

    fn feed_error(&self, at: &ListCursor, e: GraphError) -> FeedError {
        if e.class.is_gone() {
            return FeedError::Gone;
        }
        if e.class != ErrorClass::Reset {
            return FeedError::Failed(e);
        }
        let own = |link: &&String| self.live.client.is_own_link(link);
        let start = e.location.as_ref().filter(own).map(|link| {
            cursor::write(&ListCursor {
                link: Some(link.clone()),
                ..ListCursor::anew(at.sweep)
            })
        });
        FeedError::Reset { start }
    }

    /// Makes the file of an item, of a list's definition, or of a whole list.
    pub(super) async fn render(
        &self,
        account: &Account,
        record: &mut Value,
    ) -> Result<Content, ItemError> {
        let id = id_in(record).unwrap_or_default().to_owned();
        if attachments::place(&id).is_some() {
            return self.fetch_attachment(account, record).await;
        }
        let (list, part) = id.split_once('/').unwrap_or_default();
        let site = &account.id;
        let columns = self.live.columns(site, list).await?;
        match part {
            DEFINITION => {
                let types = self.live.types(site, list).await?;
                record["columns"] = json!(columns);
                record["contentTypes"] = json!(*types);
                record[SINCE] = json!(Timestamp::now().as_second());
                let shown = json!({ "list": record["list"], "columns": record["columns"],
                                    "contentTypes": record["contentTypes"] });
                Ok(Content::File(pretty(&shown)))
            }
            CSV => {
                record[SINCE] = json!(Timestamp::now().as_second());
                let references = self.live.references(account, &columns).await?;
                Ok(self.table_of(site, list, columns, references))
            }
            _ => {
                self.complete_record(account, list, record).await?;
                Ok(Content::File(item_file(record)))
            }
        }
    }

    /// Adds to the record of an item what it takes to bring it to another site.
    pub(super) async fn complete_record(
        &self,
        account: &Account,
        list: &str,
        record: &mut Value,
    ) -> Result<(), GraphError> {
        let columns = self.live.columns(&account.id, list).await?;
        let references = self.live.references(account, &columns).await?;
        references.describe(&columns, record);
        let custom = columns.iter().filter(|column| is_custom(column));
        record["columns"] = custom.map(columns::trimmed).collect();
        Ok(())
    }

    /// The whole list, a page at a time.
    fn table_of(
        &self,
        site: &str,
        list: &str,
        columns: Vec<Value>,
        references: References,
    ) -> Content {
        let first = Call::get(ITEMS, &[site, list])
            .query("$expand", "fields")
            .query("$top", PAGE);
        let client = self.live.client.clone();
        let header = Bytes::from(csv::header(&columns));
        let shared = Arc::new((columns, references));
        let rows = stream::try_unfold(Some(first), move |call| {
            let (client, shared) = (client.clone(), Arc::clone(&shared));
            async move {
                let Some(call) = call else {
                    return Ok::<_, GraphError>(None);
                };
                let page = client.page(&call.scope(Scope::Drives, MANY)).await?;
                let rows = csv::rows(&shared.0, &page.value, &shared.1);
                let next = page.next.map(|next| Call::link(ITEMS, &next));
                Ok(Some((Bytes::from(rows), next)))
            }
        });
        Content::Stream(
            stream::once(async { Ok(header) })
                .chain(rows.into_stream())
                .boxed(),
        )
    }

    /// What became of items, definitions, tables and attachments.
    pub(super) async fn look_up(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        let in_graph: Vec<&String> = ids
            .iter()
            .filter(|id| attachments::place(id).is_none())
            .collect();
        let calls: Vec<Call> = in_graph
            .iter()
            .map(|id| match id.split_once('/').unwrap_or((id, "")) {
                (list, "" | DEFINITION | CSV) => list_call(&account.id, list),
                (list, item) => item_call(&account.id, list, item),
            })
            .collect();
        let mut answers = match calls.is_empty() {
            true => Vec::new(),
            false => self.live.client.batch(Scope::Drives, &calls).await?,
        }
        .into_iter();
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(place) = attachments::place(id) {
                found.push(self.look_up_attachment(account, &place).await);
                continue;
            }
            found.push(match answers.next() {
                Some(Ok(part)) => alive(id, part.body),
                Some(Err(e)) if e.class.is_gone() => Alive::Gone,
                Some(Err(e)) => Alive::Unknown(e.into()),
                None => {
                    let what = "it is missing in the answer";
                    Alive::Unknown(GraphError::local(ErrorClass::Ours, ITEM, what).into())
                }
            });
        }
        Ok(found)
    }
}

fn list_call(site: &str, list: &str) -> Call {
    Call::get(LIST, &[site, list])
        .query("$select", SELECT)
        .scope(Scope::Drives, 1)
}

/// An item with its values.
pub(super) fn item_call(site: &str, list: &str, item: &str) -> Call {
    Call::get(ITEM, &[site, list, item])
        .query("$expand", "fields")
        .scope(Scope::Drives, 1)
}

/// The cursor of an enumeration of a feed that stands at `cursor`.
pub(super) fn anew(cursor: &str) -> Option<String> {
    serde_json::from_str::<ListCursor>(cursor).ok()?;
    Some(cursor::write(&ListCursor::anew(true)))
}

/// A list is a folder, and in it a file that defines it.
fn tell(id: String, list: Value) -> Vec<Change> {
    vec![
        definition(&id, list.clone()),
        Change::Folder {
            feed: Some(FeedId(format!("{FEED}{id}"))),
            id,
            parent: None,
            record: without_tags(list),
        },
    ]
}

fn definition(list: &str, record: Value) -> Change {
    let id = format!("{list}/{DEFINITION}");
    let tag = record["eTag"].clone();
    Change::Item {
        record: json!({ "id": DEFINITION, ID: id, "name": DEFINITION, "eTag": tag,
                        "list": without_tags(record) }),
        id,
        parent: Some(list.to_owned()),
    }
}

fn table(list: &str, stamp: &str) -> Change {
    let id = format!("{list}/{CSV}");
    Change::Item {
        record: json!({ "id": CSV, ID: id, "name": CSV, "eTag": stamp }),
        id,
        parent: Some(list.to_owned()),
    }
}

fn alive(id: &str, body: Value) -> Alive {
    let (list, part) = id.split_once('/').unwrap_or((id, ""));
    let told = match part {
        DEFINITION => Some(definition(list, body)),
        // To be read again.
        CSV => Some(table(list, "")),
        _ => change(list, body),
    };
    match told {
        Some(Change::Item { parent, record, .. }) => Alive::Here { parent, record },
        _ => Alive::Gone,
    }
}

/// What an entry of a delta page tells.
fn change(list: &str, mut record: Value) -> Option<Change> {
    let id = format!("{list}/{}", record["id"].as_str()?);
    let parent = Some(list.to_owned());
    if record["deleted"].is_object() {
        return Some(Change::Removed {
            id,
            parent,
            verify: false,
        });
    }
    record = without_tags(record);
    record[ID] = json!(id);
    Some(Change::Item { id, parent, record })
}

/// What is there and is told elsewhere.
fn mention(list: &str, name: &str) -> Change {
    let id = format!("{list}/{name}");
    Change::Item {
        record: json!({ "id": name, ID: id, "name": name }),
        id,
        parent: Some(list.to_owned()),
    }
}

/// Adds up what tells versions of items apart: the same for the same items in whatever order.
fn sum(sum: u64, change: &Change) -> u64 {
    let Change::Item { id, record, .. } = change else {
        return sum;
    };
    let hash = blake3::hash(format!("{id} {}", record["eTag"]).as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    sum.wrapping_add(u64::from_le_bytes(first))
}

/// Annotations say the same in other words, or lead to where a reader is not.
pub(super) fn without_tags(mut record: Value) -> Value {
    let strip =
        |object: &mut Map<String, Value>| object.retain(|name, _| !name.contains("@odata."));
    if let Some(object) = record.as_object_mut() {
        strip(object);
        if let Some(fields) = object.get_mut("fields").and_then(Value::as_object_mut) {
            strip(fields);
        }
    }
    record
}

/// The file that shows an item.
fn item_file(record: &Value) -> Bytes {
    let mut shown = json!({});
    for name in [
        "id",
        "contentType",
        "createdDateTime",
        "createdBy",
        "lastModifiedDateTime",
        "lastModifiedBy",
        "webUrl",
        "fields",
    ] {
        merge(&mut shown, &json!({ name: record[name] }));
    }
    pretty(&shown)
}

fn pretty(value: &Value) -> Bytes {
    // A JSON value always serializes.
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_delta_tells() {
        let item = json!({ "id": "7", "@odata.etag": "x", "eTag": "e", "fields@odata.context": "c",
                           "fields": { "@odata.etag": "x", "Title": "t" } });
        let Some(Change::Item { id, parent, record }) = change("L", item) else {
            panic!()
        };
        assert_eq!((id.as_str(), parent.as_deref()), ("L/7", Some("L")));
        assert_eq!(
            record,
            json!({ "id": "7", "eTag": "e", "fields": { "Title": "t" }, "tenantfsId": "L/7" })
        );
        let gone = change("L", json!({ "id": "7", "deleted": {} }));
        assert!(matches!(gone, Some(Change::Removed { id, verify: false, .. }) if id == "L/7"));
        assert!(
            matches!(alive("L/items.csv", json!({})), Alive::Here { record, .. } if record["name"] == CSV)
        );
    }
}
