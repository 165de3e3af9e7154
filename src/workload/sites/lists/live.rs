//! What a site says about its lists now: lists, columns, people, items. Answers are believed for a minute,
//! so that a thousand items do not ask a thousand times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::capture::{item_call, without_tags};
use super::columns::{Kind, MARKER, kind};
use super::references::References;
use crate::graph::{Call, Client, ErrorClass, GraphError, Scope};
use crate::workload::sites::{MANY, rest};
use crate::workload::{Account, Marker};

pub const LISTS: &str = "/sites/{site}/lists";
pub const LIST: &str = "/sites/{site}/lists/{list}";
pub const COLUMNS: &str = "/sites/{site}/lists/{list}/columns";
const TYPES: &str = "/sites/{site}/lists/{list}/contentTypes";
const PERMISSIONS: &str = "/sites/{site}/lists/{list}/permissions";
pub const ITEMS: &str = "/sites/{site}/lists/{list}/items";

/// The hidden list of everybody that a site collection knows.
const PEOPLE: &str = "User Information List";
/// What is asked of a list: without what moves with its items.
pub const SELECT: &str = "id,name,displayName,description,createdDateTime,webUrl,eTag,list,system";
const SELECT_COLUMNS: &str = "id,name,displayName,description,columnGroup,type,required,readOnly,\
                              hidden,indexed,enforceUniqueValues,defaultValue,validation,boolean,\
                              calculated,choice,contentApprovalStatus,currency,dateTime,geolocation,\
                              hyperlinkOrPicture,lookup,number,personOrGroup,term,text,thumbnail";

const FRESH: Duration = Duration::from_secs(60);
const MAX_LISTS: usize = 10_000;
const MAX_COLUMNS: usize = 10_000;
/// Items of a list that can be looked up, and people of a site: of more the names are not known.
const MAX_NAMES: usize = 100_000;
/// A list takes 30 million items.
const MAX_ITEMS: usize = 30_000_000;
/// Items on a page.
pub const PAGE: &str = "1000";

type Known = HashMap<String, (Instant, Arc<Vec<Value>>)>;

/// Reads from sites.
pub struct Live {
    pub client: Client,
    known: Mutex<Known>,
}

impl Live {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
        }
    }

    /// The permissions of lists, in their order.
    pub async fn permissions(
        &self,
        site: &str,
        lists: &[String],
    ) -> Result<Vec<Result<Value, GraphError>>, GraphError> {
        let call = |list: &String| Call::get(PERMISSIONS, &[site, list]).scope(Scope::Drives, 5);
        let calls: Vec<Call> = lists.iter().map(call).collect();
        let answers = self.client.batch(Scope::Drives, &calls).await?;
        let told = |part: crate::graph::Part| {
            let mut body = part.body;
            body["value"].take()
        };
        Ok(answers.into_iter().map(|answer| answer.map(told)).collect())
    }

    async fn cached(
        &self,
        key: String,
        call: Call,
        at_most: usize,
    ) -> Result<Arc<Vec<Value>>, GraphError> {
        if let Some((at, known)) = self.known.lock().get(&key)
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(known));
        }
        let call = call.scope(Scope::Drives, MANY);
        let all = Arc::new(self.client.pages(call, at_most).await?);
        let mut known = self.known.lock();
        known.retain(|_, (at, _)| at.elapsed() < FRESH);
        known.insert(key, (Instant::now(), Arc::clone(&all)));
        Ok(all)
    }

    /// Forgets what is known about a list, or about all lists of a site.
    pub fn forget(&self, site: &str, list: Option<&str>) {
        let of_list = list.map(|list| format!(" {list} "));
        self.known.lock().retain(|key, _| match &of_list {
            Some(list) => !key.contains(list.as_str()),
            None => !key.starts_with(&format!("lists {site} ")),
        });
    }

    /// The lists of a site, hidden ones and libraries too.
    pub async fn lists(&self, site: &str) -> Result<Arc<Vec<Value>>, GraphError> {
        let call = Call::get(LISTS, &[site]).query("$select", SELECT);
        self.cached(format!("lists {site} "), call, MAX_LISTS).await
    }

    /// The columns of a list, hidden ones too; lookup columns with the title of the list they look into.
    pub async fn columns(&self, site: &str, list: &str) -> Result<Vec<Value>, GraphError> {
        let call = Call::get(COLUMNS, &[site, list]).query("$select", SELECT_COLUMNS);
        let key = format!("columns {site} {list} ");
        let mut columns = self.cached(key, call, MAX_COLUMNS).await?.to_vec();
        if columns.iter().any(|column| kind(column) == Kind::Lookup) {
            let lists = self.lists(site).await?;
            for column in &mut columns {
                let id = column["lookup"]["listId"].as_str().map(bare);
                let id = id.unwrap_or_default();
                let list = lists.iter().find(|list| list["id"] == *id);
                if let Some(list) = list {
                    column["lookupList"] = list["displayName"].clone();
                }
            }
        }
        Ok(columns)
    }

    /// The content types of a list.
    pub async fn types(&self, site: &str, list: &str) -> Result<Arc<Vec<Value>>, GraphError> {
        let call = Call::get(TYPES, &[site, list]);
        self.cached(format!("types {site} {list} "), call, MAX_COLUMNS)
            .await
    }

    /// What the numbers in these columns stand for, as far as it can be read.
    pub async fn references(
        &self,
        account: &Account,
        columns: &[Value],
    ) -> Result<References, GraphError> {
        let mut references = References::default();
        if columns.iter().any(|column| kind(column) == Kind::Person) {
            let site = account.collection.as_deref().unwrap_or(&account.id);
            let call = Call::get(ITEMS, &[site, PEOPLE])
                .query("$expand", "fields($select=Title,Name,EMail)")
                .query("$top", PAGE);
            let key = format!("people {site} ");
            let people = readable(self.cached(key, call, MAX_NAMES).await)?;
            for person in people.iter().flat_map(|people| people.iter()) {
                let fields = &person["fields"];
                let names = json!({ "name": fields["Title"], "email": fields["EMail"],
                                    "login": fields["Name"] });
                if let Some(id) = person["id"].as_str() {
                    references.people.insert(id.to_owned(), names);
                }
            }
        }
        for column in columns.iter().filter(|c| kind(c) == Kind::Lookup) {
            let list = bare(column["lookup"]["listId"].as_str().unwrap_or_default());
            let shown = column["lookup"]["columnName"].as_str().unwrap_or("Title");
            let call = Call::get(ITEMS, &[&account.id, list])
                .query("$select", "id")
                .query("$expand", &format!("fields($select={shown})"))
                .query("$top", PAGE);
            let key = format!("texts {} {list} {shown}", account.id);
            let items = readable(self.cached(key, call, MAX_NAMES).await)?;
            let texts = items
                .iter()
                .flat_map(|items| items.iter())
                .filter_map(|item| {
                    let text = match &item["fields"][shown] {
                        Value::Null => return None,
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    Some((item["id"].as_str()?.to_owned(), text))
                });
            let name = column["name"].as_str().unwrap_or_default().to_owned();
            references.lookups.insert(name, texts.collect());
        }
        Ok(references)
    }

    /// All items of a list with the marks of restores, as [`Marker::of`] reads them, and ids as the
    /// collection knows them.
    pub async fn marks(&self, site: &str, list: &str) -> Result<Arc<Vec<Value>>, GraphError> {
        let columns = self.columns(site, list).await?;
        let mut call = Call::get(ITEMS, &[site, list])
            .query("$select", "id,lastModifiedDateTime")
            .query("$top", PAGE);
        let there = |name: &str| columns.iter().any(|column| column["name"] == name);
        let told: Vec<&str> = [MARKER, "Attachments"]
            .into_iter()
            .filter(|name| there(name))
            .collect();
        if !told.is_empty() {
            let told = told.join(",");
            call = call.query("$expand", &format!("fields($select=id,{told})"));
        }
        self.cached(marks_key(site, list), call, MAX_ITEMS).await
    }

    /// The same, with all values.
    pub async fn whole(&self, site: &str, list: &str) -> Result<Vec<Value>, GraphError> {
        let call = Call::get(ITEMS, &[site, list])
            .query("$expand", "fields")
            .query("$top", PAGE)
            .scope(Scope::Drives, MANY);
        self.client.pages(call, MAX_ITEMS).await
    }

    /// The address of a site, for SharePoint's own interface.
    pub async fn address(&self, site: &str) -> Result<String, GraphError> {
        let key = format!("address {site} ");
        if let Some((at, known)) = self.known.lock().get(&key)
            && at.elapsed() < FRESH
            && let Some(url) = known.first().and_then(Value::as_str)
        {
            return Ok(url.to_owned());
        }
        let url = rest::address(&self.client, site).await?;
        let known = Arc::new(vec![json!(url)]);
        self.known.lock().insert(key, (Instant::now(), known));
        Ok(url)
    }

    /// An item with its values.
    pub async fn item(&self, site: &str, list: &str, item: &str) -> Result<Value, GraphError> {
        let told = self.client.json(&item_call(site, list, item)).await?;
        Ok(without_tags(told))
    }

    /// Adds an item that was just made to what is known.
    pub fn add_mark(&self, site: &str, list: &str, item: Value) {
        let mut known = self.known.lock();
        if let Some((_, marks)) = known.get_mut(&marks_key(site, list)) {
            Arc::make_mut(marks).push(item);
        }
    }

    /// Forgets the marks only: the next question is a new one.
    pub fn forget_marks(&self, site: &str, list: &str) {
        self.known.lock().remove(&marks_key(site, list));
    }
}

fn marks_key(site: &str, list: &str) -> String {
    format!("marks {site} {list} ")
}

/// A live item as the rest of this program knows items: by the collection's id, with its mark.
pub fn known_as(list: &str, item: &Value) -> Value {
    let mut item = item.clone();
    let id = item["id"].as_str().unwrap_or_default();
    item["id"] = json!(format!("{list}/{id}"));
    let mark = item["fields"][MARKER].as_str().and_then(Marker::parse);
    if let Some(mark) = mark {
        item["extensions"] =
            json!([{ "extensionName": Marker::EXTENSION, "marker": mark.value() }]);
    }
    item
}

/// An id without the braces that some answers have around it.
pub fn bare(id: &str) -> &str {
    id.trim_matches(['{', '}'])
}

/// What is not there or too large has no names; that is no reason to fail.
fn readable(
    answer: Result<Arc<Vec<Value>>, GraphError>,
) -> Result<Option<Arc<Vec<Value>>>, GraphError> {
    match answer {
        Ok(all) => Ok(Some(all)),
        Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => Err(e),
        Err(e) => {
            tracing::debug!(%e, "numbers in a list can't be told by their names");
            Ok(None)
        }
    }
}
