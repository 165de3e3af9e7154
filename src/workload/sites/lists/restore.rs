//! Puts items into lists, and makes lists that are gone.
//!
//! Invariants: an item is made once, which the hidden column [`MARKER`] tells; overwriting sets the values
//! of the item that is there, so that it keeps its number and its history; columns are made only in a list
//! that a restore made, or when its definition is put there. What can't be set is named.

use std::path::Path;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::columns::{self, Kind, MARKER, OWN_LIST, creation, is_custom, kind, rank};
use super::live::{COLUMNS, ITEMS, LISTS, MANY, known_as};
use super::values::{self, Written};
use super::attach::is_stand_in;
use super::{ATTACHMENTS, CSV, DEFINITION, Lists, attachments, file_name, item_of, time};
use crate::graph::{Call, Client, ErrorClass, GraphError, Scope};
use crate::tree::names::exact_name;
use crate::workload::known::{Fact, Known};
use crate::workload::once::{self, Made, Once, Origin};
use crate::workload::ongoing::Ongoing;
use crate::workload::{
    Account, ID, Journal, Keyer, LiveEntry, Marker, Policy, Push, PushError, Pushed, Source, id_in,
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

async fn read(file: &Path, name: &str) -> Result<Value, PushError> {
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
        let (mut body, notes) = self.prepare(account, list, composed).await?;
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
        _account: &Account,
        _list: &str,
        _id: &str,
        _composed: &Composed,
        _journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        Ok(Vec::new())
    }

    async fn is_complete(
        &self,
        _account: &Account,
        _list: &str,
        _id: &str,
        _composed: &Composed,
    ) -> Result<bool, PushError> {
        Ok(true)
    }

    fn deletion(&self, account: &Account, list: &str, id: &str) -> Call {
        let number = id.rsplit('/').next().unwrap_or(id);
        Call::new(Method::DELETE, ITEM, &[&account.id, list, number]).scope(Scope::Drives, MANY)
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

/// A folder is a list, or it is one of attachments.
pub(super) fn only_in_lists(path: &[String]) -> Result<(), PushError> {
    match path {
        [_] => Ok(()),
        path if Lists::folder_of_attachments(path).is_some() => Ok(()),
        path => Err(PushError::Invalid(format!(
            "{}: there are no folders in a list, but for attachments",
            path.join("/")
        ))),
    }
}

fn taken(name: &str) -> PushError {
    PushError::Invalid(format!(
        "a library of this site is called {name}: a list needs another name"
    ))
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

    /// The id of the list of that name.
    pub(super) async fn find_list(&self, account: &Account, name: &str) -> Result<Option<String>, GraphError> {
        let lists = self.live.lists(&account.id).await?;
        let lower = name.to_lowercase();
        let found = lists
            .iter()
            .find(|list| self.is_captured(list) && self.name_of(list).to_lowercase() == lower);
        Ok(found.and_then(|list| list["id"].as_str().map(str::to_owned)))
    }

    fn name_of(&self, list: &Value) -> String {
        let id = list["id"].as_str().unwrap_or_default();
        let title = list["displayName"].as_str().unwrap_or_default();
        exact_name(title, &(self.keyer)(id))
    }

    /// Sets the values of the item that is there; `None`: there is none.
    async fn set(&self, account: &Account, push: &Push) -> Result<Option<Pushed>, PushError> {
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
        let number = id_in(old).and_then(|id| id.rsplit('/').next());
        let number = number.unwrap_or_default().to_owned();
        let (body, notes) = self.prepare(account, &list, &composed).await?;
        let mut fields = body["fields"].as_object().cloned().unwrap_or_default();
        for column in self.live.columns(&account.id, &list).await? {
            clear(&column, &mut fields, &notes);
        }
        fields.insert(MARKER.into(), json!(composed.marker.value()));
        let call = Call::new(Method::PATCH, VALUES, &[&account.id, &list, &number])
            .json(Value::Object(fields))
            .scope(Scope::Drives, MANY)
            .repeatable();
        self.live.client.json(&call).await?;
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
        let here = self.live.references(account, &columns).await?;
        let Written {
            fields,
            notes: left,
        } = values::write(record, &columns, &here);
        notes.extend(left);
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

    /// Makes the hidden column, and in a list that a restore made those that the item needs.
    async fn ready(
        &self,
        account: &Account,
        list: &str,
        record: &Value,
    ) -> Result<Vec<String>, PushError> {
        let needed = record["columns"].as_array().map_or(&[][..], Vec::as_slice);
        let is_ready = |there: &[Value]| {
            let marker = there.iter().find(|column| column["name"] == MARKER);
            let own = marker.is_some_and(|column| column["description"] == OWN_LIST);
            marker.is_some() && (!own || missing(needed, there).is_empty())
        };
        if is_ready(&self.live.columns(&account.id, list).await?) {
            return Ok(Vec::new());
        }
        let _making = self.making.lock().await;
        self.live.forget(&account.id, Some(list));
        let there = self.live.columns(&account.id, list).await?;
        let marker = there.iter().find(|column| column["name"] == MARKER);
        let own = marker.is_some_and(|column| column["description"] == OWN_LIST);
        if marker.is_none() {
            self.make_column(account, list, columns::marker(false))
                .await?;
        }
        if own {
            return self
                .make_columns(account, list, &missing(needed, &there))
                .await;
        }
        self.live.forget(&account.id, Some(list));
        Ok(Vec::new())
    }

    /// Makes columns; what can't be made comes back in words.
    async fn make_columns(
        &self,
        account: &Account,
        list: &str,
        wanted: &[Value],
    ) -> Result<Vec<String>, PushError> {
        let mut wanted: Vec<&Value> = wanted.iter().collect();
        wanted.sort_by_key(|column| rank(column));
        let mut notes = Vec::new();
        for column in wanted {
            let looked_up = match column["lookupList"].as_str() {
                Some(name) => self.find_list(account, name).await?,
                None => None,
            };
            match creation(column, looked_up.as_deref()) {
                Ok(body) => match self.make_column(account, list, body).await {
                    Ok(()) => {}
                    Err(PushError::Graph(e)) if e.class == ErrorClass::Ours => {
                        notes.push(format!("column {}: {e}", column["name"]));
                    }
                    Err(e) => return Err(e),
                },
                Err(why) => notes.push(why),
            }
        }
        self.live.forget(&account.id, Some(list));
        Ok(notes)
    }

    async fn make_column(
        &self,
        account: &Account,
        list: &str,
        body: Value,
    ) -> Result<(), PushError> {
        // Made twice, it fails the second time.
        let call = Call::post(COLUMNS, &[&account.id, list], body)
            .scope(Scope::Drives, MANY)
            .repeatable();
        match self.live.client.json(&call).await {
            Ok(_) => Ok(()),
            Err(e) if e.class == ErrorClass::Conflict => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes the columns of a definition that a list lacks.
    async fn define(&self, account: &Account, push: &Push) -> Result<Pushed, PushError> {
        let definition = match &push.source {
            Source::Record { record, .. } => record.clone(),
            Source::File => read(&push.file, &push.name).await?,
        };
        let Some(wanted) = definition["columns"].as_array() else {
            let what = format!("{}: a definition of a list has \"columns\"", push.name);
            return Err(PushError::Invalid(what));
        };
        let list = self.target(account, push).await?;
        let list = list.ok_or_else(|| PushError::NoFolder {
            path: push.folder.join("/"),
        })?;
        let _making = self.making.lock().await;
        self.live.forget(&account.id, Some(&list));
        let there = self.live.columns(&account.id, &list).await?;
        let notes = self
            .make_columns(account, &list, &missing(wanted, &there))
            .await?;
        Ok(Pushed {
            entry: shown(&list, DEFINITION),
            replaced: None,
            notes,
        })
    }

    pub(super) async fn make_list(
        &self,
        account: &Account,
        name: &str,
    ) -> Result<LiveEntry, PushError> {
        let body = json!({ "displayName": name, "list": { "template": "genericList" },
                           "columns": [columns::marker(true)] });
        // Made twice, it fails the second time, and is found.
        let call = Call::post(LISTS, &[&account.id], body)
            .scope(Scope::Drives, MANY)
            .repeatable();
        match self.live.client.json(&call).await {
            Ok(_) => {}
            Err(e) if e.class == ErrorClass::Conflict => {}
            Err(e) => return Err(e.into()),
        }
        self.live.forget(&account.id, None);
        let lists = self.live.lists(&account.id).await?;
        let made = lists
            .iter()
            .find(|list| self.is_captured(list) && self.name_of(list) == name);
        made.map(|list| self.folder_of(list))
            .ok_or_else(|| taken(name))
    }

    /// What a list of this name would be refused for.
    pub(super) async fn check_new(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<(), PushError> {
        only_in_lists(path)?;
        let [name] = path else {
            return self.can_attach();
        };
        let lists = self.live.lists(&account.id).await?;
        let lower = name.to_lowercase();
        let other =
            |list: &&Value| !self.is_captured(list) && self.name_of(list).to_lowercase() == lower;
        match lists.iter().find(other) {
            Some(_) => Err(taken(name)),
            None => Ok(()),
        }
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

    fn folder_of(&self, list: &Value) -> LiveEntry {
        LiveEntry {
            id: list["id"].as_str().unwrap_or_default().to_owned(),
            name: self.name_of(list),
            is_dir: true,
            size: 0,
            mtime: time(list, "createdDateTime"),
            record: list.clone(),
        }
    }

    pub(super) async fn list_live(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        let no_such = || {
            let what = format!("there is no list {}", path.join("/"));
            GraphError::local(ErrorClass::NotFound, LISTS, what)
        };
        let name = match path {
            [] => {
                let lists = self.live.lists(&account.id).await?;
                let captured = lists.iter().filter(|list| self.is_captured(list));
                return Ok(captured.map(|list| self.folder_of(list)).collect());
            }
            [name] => name,
            path => return self.list_attachments(account, path).await,
        };
        let list = self.find_list(account, name).await?.ok_or_else(no_such)?;
        self.live.forget_marks(&account.id, &list);
        let marks = self.live.marks(&account.id, &list).await?;
        let mut entries = self.folders_in(account, path);
        for item in marks.iter() {
            let Some(entry) = self.live_item(&list, item) else {
                continue;
            };
            let has = item["fields"]["Attachments"] == true;
            if has && self.live.client.sharepoint().is_ok() {
                entries.extend(folder_beside(&entry));
            }
            if !is_stand_in(&known_as(&list, item)) {
                entries.push(entry);
            }
        }
        // One that has nothing but what every list has can still be defined.
        let columns = self.live.columns(&account.id, &list).await?;
        let is_own = |column: &Value| column["name"] == MARKER && column["description"] == OWN_LIST;
        let bare = !columns.iter().any(|c| is_custom(c) && c["name"] != "Title");
        if !(bare && columns.iter().any(is_own)) {
            entries.push(shown(&list, DEFINITION));
        }
        Ok(entries)
    }

    /// Folders for attachments that were asked for in a list.
    fn folders_in(&self, account: &Account, list: &[String]) -> Vec<LiveEntry> {
        let promised = self.promised.lock();
        let inside = promised.iter().filter(|(site, path)| {
            *site == account.id && path.len() == 2 && path.first() == list.first()
        });
        inside
            .filter_map(|(_, path)| Some(folder(&path.join("/"), path.last()?)))
            .collect()
    }

    /// A live item as the mount names it: a copy goes by the name of its original.
    pub(super) fn live_item(&self, list: &str, item: &Value) -> Option<LiveEntry> {
        let number: u64 = item["id"].as_str()?.rsplit('/').next()?.parse().ok()?;
        let id = format!("{list}/{number}");
        let mark = item["fields"][MARKER].as_str().and_then(Marker::parse);
        let original = mark.and_then(|mark| {
            let number = u64::try_from(mark.created?).ok()?;
            Some((number, mark.origin?))
        });
        let (shown, key) = original.unwrap_or_else(|| (number, (self.keyer)(&id)));
        let mut record = item.clone();
        record["id"] = json!(number.to_string());
        record[ID] = json!(id);
        Some(LiveEntry {
            name: file_name(shown, &key),
            is_dir: false,
            size: 0,
            mtime: time(item, "lastModifiedDateTime"),
            id,
            record,
        })
    }
}

pub(super) fn folder(id: &str, name: &str) -> LiveEntry {
    LiveEntry {
        id: id.to_owned(),
        name: name.to_owned(),
        is_dir: true,
        size: 0,
        mtime: 0,
        record: Value::Null,
    }
}

/// The folder with an item's attachments.
fn folder_beside(item: &LiveEntry) -> Option<LiveEntry> {
    let stem = item.name.strip_suffix(".json")?;
    let id = attachments::folder_of(&item.id);
    Some(folder(&id, &format!("{stem}.{ATTACHMENTS}")))
}

/// A file that a list always has.
fn shown(list: &str, name: &str) -> LiveEntry {
    LiveEntry {
        id: format!("{list}/{name}"),
        name: name.to_owned(),
        is_dir: false,
        size: 0,
        mtime: 0,
        record: Value::Null,
    }
}

/// Those of the wanted columns that are a person's and not there.
fn missing(wanted: &[Value], there: &[Value]) -> Vec<Value> {
    let is_there = |column: &Value| there.iter().any(|other| other["name"] == column["name"]);
    let missing = wanted
        .iter()
        .filter(|column| is_custom(column) && creatable(column) && !is_there(column));
    missing.cloned().collect()
}

/// Columns that can't be made are named with the values that they leave out.
fn creatable(column: &Value) -> bool {
    creation(column, Some("")).is_ok()
}

/// Empties a column that the item to be restored has nothing in.
fn clear(column: &Value, fields: &mut Map<String, Value>, notes: &[String]) {
    let name = column["name"].as_str().unwrap_or_default();
    let reference = matches!(kind(column), Kind::Person | Kind::Lookup);
    let key = match kind(column) {
        Kind::Calculated | Kind::Fixed(_) => return,
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
    fn only_what_a_list_lacks_and_can_have_is_made() {
        let wanted = [
            json!({ "name": "Title", "text": {} }),
            json!({ "name": "Price", "number": {} }),
            json!({ "name": "Topic" }),
            json!({ "name": "Editor", "personOrGroup": {} }),
        ];
        let there = [json!({ "name": "Title", "text": {} })];
        let names: Vec<_> = missing(&wanted, &there)
            .iter()
            .map(|c| c["name"].clone())
            .collect();
        assert_eq!(names, ["Price"]);
    }

    #[test]
    fn what_is_not_in_the_snapshot_is_emptied() {
        let mut fields = Map::new();
        fields.insert("A".into(), json!(1));
        let notes = ["column D: bob is not known to this site".to_owned()];
        for column in [
            json!({ "name": "A", "number": {} }),
            json!({ "name": "B", "text": {} }),
            json!({ "name": "C", "personOrGroup": {} }),
            json!({ "name": "D", "personOrGroup": {} }),
            json!({ "name": "E", "calculated": {} }),
            json!({ "name": "F" }),
        ] {
            clear(&column, &mut fields, &notes);
        }
        assert_eq!(
            Value::Object(fields),
            json!({ "A": 1, "B": null, "CLookupId": null })
        );
    }
}
