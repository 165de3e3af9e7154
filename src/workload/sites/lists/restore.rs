//! Puts items into lists.
//!
//! Invariants: an item is made once, which the hidden column [`MARKER`] tells; overwriting sets the values
//! of the item that is there, so that it keeps its number and its history; columns are made only in a list
//! that a restore made, or when its definition is put there. What can't be set is named.

use std::path::Path;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::attach::is_stand_in;
use super::columns::{Kind, MARKER, is_custom, kind};
use super::live::{ITEMS, known_as};
use super::own::Own;
use super::shown::shown;
use super::values::{self, Written};
use super::{CSV, DEFINITION, Lists, item_of};
use crate::graph::{Call, Client, ErrorClass, GraphError, Scope};
use crate::workload::known::{Fact, Known};
use crate::workload::once::{self, Made, Once, Origin};
use crate::workload::ongoing::Ongoing;
use crate::workload::sites::MANY;
use crate::workload::sites::rest::assign::Securable;
use crate::workload::{
    Account, Journal, Keyer, LiveEntry, Marker, Policy, Push, PushError, Pushed, Source, id_in,
};

const ITEM: &str = "/sites/{site}/lists/{list}/items/{item}";
const VALUES: &str = "/sites/{site}/lists/{list}/items/{item}/fields";
/// Bytes of the largest item that is read for a restore.
const MAX_FILE: u64 = 64 << 20;

/// An item ready to be put somewhere.
pub(in crate::workload) struct Composed {
    marker: Marker,
    /// The record, or what the file says.
    record: Value,
    /// Before it is sent: its values as they were. Then: the body of the request.
    json: Value,
    /// It came from elsewhere: it is told apart by its values.
    foreign: bool,
}

impl Composed {
    fn own<'a>(&'a self, links: &'a Map<String, Value>) -> Own<'a> {
        Own {
            record: &self.record,
            links,
            original: !self.foreign,
        }
    }
}

impl once::Composed for Composed {
    fn marker(&self) -> &Marker {
        &self.marker
    }

    fn item(&self) -> &Value {
        &self.json
    }

    fn notes(&self) -> &[String] {
        &[]
    }
}

pub(super) async fn read(file: &Path, name: &str) -> Result<Value, PushError> {
    let no = |why: &str| PushError::Invalid(format!("{name}: {why}"));
    if tokio::fs::metadata(file).await?.len() > MAX_FILE {
        return Err(no("too large for an item of a list"));
    }
    let bytes = tokio::fs::read(file).await?;
    crate::graph::json::parse(&bytes).map_err(|_| no("only JSON can be put into a list"))
}

#[async_trait]
impl Once for Lists {
    type Composed = Composed;
    const CREATE: &'static str = ITEMS;

    fn client(&self) -> &Client {
        &self.live.client
    }

    fn keyer(&self) -> &Keyer {
        &self.keyer
    }

    fn ongoing(&self) -> &Ongoing {
        &self.ongoing
    }

    fn known(&self) -> &Known {
        &self.known
    }

    /// What the list has is known already, see [`super::live`].
    fn like(&self, _item: &Value) -> Option<Fact> {
        None
    }

    async fn compose(&self, _account: &Account, push: &Push) -> Result<Composed, PushError> {
        let (record, foreign) = match &push.source {
            Source::Record { record, .. } => (record.clone(), false),
            Source::File => (read(&push.file, &push.name).await?, true),
        };
        if !record["fields"].is_object() {
            let what = format!("{}: an item of a list has \"fields\"", push.name);
            return Err(PushError::Invalid(what));
        }
        let mut marker = Marker {
            push: push.id,
            origin: None,
            created: None,
        };
        if let (Source::Record { key, .. }, Some((_, number))) = (&push.source, item_of(&record))
            && push.policy != Policy::KeepBoth
        {
            marker.origin = Some(*key);
            marker.created = i64::try_from(number).ok();
        }
        Ok(Composed {
            marker,
            json: json!({ "fields": record["fields"] }),
            record,
            foreign,
        })
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        let [name] = push.folder.as_slice() else {
            let what = "an item goes into a list, as in Lists/Assets/".to_owned();
            return Err(PushError::Invalid(what));
        };
        Ok(self.find_list(account, name).await?)
    }

    async fn by_marker(
        &self,
        account: &Account,
        list: &str,
        _push: &Push,
        composed: &Composed,
    ) -> Result<Option<Made>, GraphError> {
        self.live.forget_marks(&account.id, list);
        let marks = self.live.marks(&account.id, list).await?;
        let items = marks.iter().map(|item| known_as(list, item)).collect();
        Ok(once::carrying(&composed.marker, items).map(Made::from_json))
    }

    async fn candidates(
        &self,
        account: &Account,
        list: &str,
        _push: &Push,
        composed: &Composed,
        _origin: &Origin<'_>,
    ) -> Result<Vec<Value>, GraphError> {
        if composed.foreign {
            let all = self.live.whole(&account.id, list).await?;
            return Ok(all.iter().map(|item| known_as(list, item)).collect());
        }
        let marks = self.live.marks(&account.id, list).await?;
        Ok(marks.iter().map(|item| known_as(list, item)).collect())
    }

    /// Two items of one list may well have the same values: only files that nobody knows are told apart by
    /// them.
    fn same(&self, live: &Value, composed: &Composed) -> bool {
        let (there, wanted) = (&live["fields"], &composed.json["fields"]);
        let Some(wanted) = wanted.as_object().filter(|_| composed.foreign) else {
            return false;
        };
        let told = wanted
            .iter()
            .filter(|(name, value)| !value.is_null() && !is_of_service(name));
        let mut told = told.peekable();
        told.peek().is_some() && told.all(|(name, value)| equal(&there[name], value))
    }

    fn creation(&self, account: &Account, list: &str, composed: &Composed) -> Call {
        Call::post(ITEMS, &[&account.id, list], composed.json.clone()).scope(Scope::Drives, MANY)
    }

    async fn create(
        &self,
        account: &Account,
        list: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Made, PushError> {
        let (mut body, mut notes) = self.prepare(account, list, composed).await?;
        notes.extend(self.opened(account, &composed.record));
        if self.roles_to_give(account, &composed.record).is_some() {
            // Its values follow when others have no access any more.
            body["fields"] = json!({});
        }
        body["fields"][MARKER] = json!(composed.marker.value());
        let ready = Composed {
            marker: composed.marker.clone(),
            record: Value::Null,
            json: body,
            foreign: composed.foreign,
        };
        let mut made = once::create(self, account, list, push, &ready).await?;
        let mark = json!({ "id": made.item["id"], "fields": { MARKER: composed.marker.value() } });
        self.live.add_mark(&account.id, list, mark);
        made.note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(made)
    }

    async fn complete(
        &self,
        account: &Account,
        list: &str,
        id: &str,
        composed: &Composed,
        _journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        if self.live.client.sharepoint().is_err() {
            return Ok(Vec::new());
        }
        let number = number_of(id);
        let mut notes = Vec::new();
        if let Some(roles) = self.roles_to_give(account, &composed.record) {
            let item = Securable::Item(list, number);
            notes = self.give_roles(account, item, roles).await?;
            // What can't be set was told when the item was made.
            let (mut body, _) = self.prepare(account, list, composed).await?;
            self.write_values(account, list, number, body["fields"].take())
                .await?;
        }
        let columns = self.live.columns(&account.id, list).await?;
        let links = values::links(&composed.record, &columns);
        let own = composed.own(&links);
        notes.extend(self.write_own(account, list, number, own).await?);
        Ok(notes)
    }

    /// What is added to it is added again, if that can't be known.
    async fn is_complete(
        &self,
        _account: &Account,
        _list: &str,
        _id: &str,
        _composed: &Composed,
    ) -> Result<bool, PushError> {
        Ok(self.live.client.sharepoint().is_err())
    }

    fn deletion(&self, account: &Account, list: &str, id: &str) -> Call {
        let call = Call::new(Method::DELETE, ITEM, &[&account.id, list, number_of(id)]);
        call.scope(Scope::Drives, MANY)
    }

    fn entry(&self, list: &str, mut item: Value, marker: &Marker) -> Option<LiveEntry> {
        item["fields"][MARKER] = json!(marker.value());
        self.live_item(list, &item)
    }
}

/// Of the table nothing is made: it shows what the items beside it hold. One that did not come out of a
/// snapshot says something else, which would be lost.
pub(super) fn check_table(push: &Push) -> Result<(), PushError> {
    match push.source {
        Source::Record { .. } => Ok(()),
        Source::File => Err(PushError::Invalid(format!(
            "{CSV} only shows the list: restore the .json files beside it"
        ))),
    }
}

/// What the service fills in by itself.
fn is_of_service(name: &str) -> bool {
    name.contains('@') || !is_custom(&json!({ "name": name })) || name.contains("LookupId")
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

impl Lists {
    pub(super) async fn put(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        match push.name.as_str() {
            _ if push.folder.len() > 1 => self.attach(account, push, journal).await,
            CSV => self.pass_over(account, push).await,
            DEFINITION => self.define(account, push).await,
            _ => {
                let pushed = self.put_item(account, push, journal).await?;
                if let Err(e) = self.put_off(account, push).await {
                    tracing::debug!(%e, "what an item looks up may stay unset");
                }
                Ok(pushed)
            }
        }
    }

    async fn put_item(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        if self.sets(account, push).await?
            && let Some(pushed) = self.set(account, push).await?
        {
            return Ok(pushed);
        }
        match once::push(self, account, push, journal).await {
            // Its attachments were faster.
            Err(PushError::Exists { .. }) if self.sets(account, push).await? => {
                let set = self.set(account, push).await?;
                set.ok_or_else(|| lost("the item is gone again"))
            }
            pushed => pushed,
        }
    }

    /// Whether a push sets the values of an item that is there: to overwrite it, or to claim what stands
    /// in for it.
    async fn sets(&self, account: &Account, push: &Push) -> Result<bool, PushError> {
        match push.policy {
            Policy::Overwrite => Ok(true),
            Policy::Skip => self.has_stand_in(account, push).await,
            Policy::KeepBoth => Ok(false),
        }
    }

    /// Sets the values of the item that is there; `None`: there is none.
    pub(super) async fn set(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let composed = self.compose(account, push).await?;
        let Some(list) = self.target(account, push).await? else {
            return Ok(None);
        };
        let origin = Origin::of(&self.keyer, push);
        let there = self
            .candidates(account, &list, push, &composed, &origin)
            .await?;
        let Some(old) = there.iter().find(|live| origin.is_original(live)) else {
            return Ok(None);
        };
        let number = number_of(id_in(old).unwrap_or_default()).to_owned();
        let (body, mut notes) = self.prepare(account, &list, &composed).await?;
        // What is overwritten keeps the access that it has now.
        if is_stand_in(old)
            && let Some(roles) = self.roles_to_give(account, &composed.record)
        {
            let item = Securable::Item(&list, &number);
            notes.extend(self.give_roles(account, item, roles).await?);
        }
        let mut fields = body["fields"].as_object().cloned().unwrap_or_default();
        let columns = self.live.columns(&account.id, &list).await?;
        let mut links = values::links(&composed.record, &columns);
        for column in &columns {
            clear(column, &mut fields, &mut links, &notes);
        }
        fields.insert(MARKER.into(), json!(composed.marker.value()));
        self.write_values(account, &list, &number, Value::Object(fields))
            .await?;
        let own = composed.own(&links);
        notes.extend(self.write_own(account, &list, &number, own).await?);
        self.live.forget_marks(&account.id, &list);
        let item = json!({ "id": number });
        let entry = self.entry(&list, item, &composed.marker);
        let entry = entry.ok_or_else(|| lost("the item has no number"))?;
        Ok(Some(Pushed {
            entry,
            replaced: None,
            notes,
        }))
    }

    /// Sets the values of an item that is there.
    async fn write_values(
        &self,
        account: &Account,
        list: &str,
        number: &str,
        fields: Value,
    ) -> Result<(), GraphError> {
        let call = Call::new(Method::PATCH, VALUES, &[&account.id, list, number])
            .json(fields)
            .scope(Scope::Drives, MANY)
            .repeatable();
        self.live.client.json(&call).await.map(drop)
    }

    /// The body of the request that writes an item into a list, and what can't be written.
    async fn prepare(
        &self,
        account: &Account,
        list: &str,
        composed: &Composed,
    ) -> Result<(Value, Vec<String>), PushError> {
        let record = &composed.record;
        let mut notes = self.ready(account, list, record).await?;
        let columns = self.live.columns(&account.id, list).await?;
        let mut here = self.live.references(account, &columns).await?;
        self.introduce(account, record, &columns, &mut here).await?;
        let Written {
            fields,
            notes: left,
        } = values::write(record, &columns, &here);
        notes.extend(left);
        notes.extend(self.without_links(&values::links(record, &columns)));
        let mut body = json!({ "fields": fields });
        let kind = record["contentType"]["name"].as_str().unwrap_or("Item");
        if kind != "Item" {
            let types = self.live.types(&account.id, list).await?;
            match types.iter().find(|t| t["name"] == kind) {
                Some(found) => body["contentType"] = json!({ "id": found["id"] }),
                None => notes.push(format!("the list has no content type {kind}")),
            }
        }
        Ok((body, notes))
    }

    /// A table that is copied along with the items.
    async fn pass_over(&self, account: &Account, push: &Push) -> Result<Pushed, PushError> {
        check_table(push)?;
        let list = self.target(account, push).await?;
        let list = list.ok_or_else(|| PushError::NoFolder {
            path: push.folder.join("/"),
        })?;
        Ok(Pushed {
            entry: shown(&list, CSV),
            replaced: None,
            notes: vec!["it shows the items, and nothing is made of it".to_owned()],
        })
    }
}

/// The number of an item, from the collection's id.
fn number_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Empties a column that the item to be restored has nothing in.
fn clear(
    column: &Value,
    fields: &mut Map<String, Value>,
    links: &mut Map<String, Value>,
    notes: &[String],
) {
    let name = column["name"].as_str().unwrap_or_default();
    let reference = matches!(kind(column), Kind::Person | Kind::Lookup);
    let key = match kind(column) {
        Kind::Calculated | Kind::Fixed(_) => return,
        Kind::Link if is_custom(column) => {
            links.entry(name).or_insert(Value::Null);
            return;
        }
        _ if reference => format!("{name}LookupId"),
        _ => name.to_owned(),
    };
    let unknown = notes
        .iter()
        .any(|note| note.starts_with(&format!("column {name}:")));
    if is_custom(column) && !fields.contains_key(&key) && !unknown {
        fields.insert(key, Value::Null);
    }
}

fn lost(what: &str) -> PushError {
    GraphError::local(ErrorClass::Transient, ITEMS, what).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_snapshot_is_emptied() {
        let (mut fields, mut links) = (Map::new(), Map::new());
        fields.insert("A".into(), json!(1));
        let notes = ["column D: bob is not known to this site".to_owned()];
        for column in [
            json!({ "name": "A", "number": {} }),
            json!({ "name": "B", "text": {} }),
            json!({ "name": "C", "personOrGroup": {} }),
            json!({ "name": "D", "personOrGroup": {} }),
            json!({ "name": "E", "calculated": {} }),
            json!({ "name": "F" }),
            json!({ "name": "G", "hyperlinkOrPicture": {} }),
        ] {
            clear(&column, &mut fields, &mut links, &notes);
        }
        assert_eq!(Value::Object(links), json!({ "G": null }));
        assert_eq!(
            Value::Object(fields),
            json!({ "A": 1, "B": null, "CLookupId": null })
        );
    }
}
