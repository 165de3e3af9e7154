//! Lists of a live To Do by name, as the mount shows them.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::Todo;
use super::capture::MAX_LISTS;
use super::task::{LIST, expand};
use crate::format::ics::todo;
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::mail::names::display_name;
use crate::workload::mail::paths::{Subfolders, pick};
use crate::workload::once::Once;
use crate::workload::{Account, EntryKind, LiveEntry, PushError, Workload};

pub(super) const ALL: &str = "/users/{user}/todo/lists";
pub(super) const TASKS: &str = "/users/{user}/todo/lists/{list}/tasks";
/// What the default list is called in English.
const ENGLISH: &str = "tasks";
/// Tasks that a listing of one list brings at most.
pub(super) const MAX_TASKS: usize = 1_000_000;
/// Longest name of a list.
const MAX_NAME: usize = 255;

/// The list that mirrors flagged mails.
pub(super) fn is_flagged(list: &Value) -> bool {
    list["wellknownListName"] == "flaggedEmails"
}

fn is_default(list: &Value) -> bool {
    list["wellknownListName"] == "defaultList"
}

impl Todo {
    pub(super) async fn all_lists(&self, account: &Account) -> Result<Vec<Value>, GraphError> {
        let call = Call::get(ALL, &[&account.id]).query("$top", "100");
        self.client.pages(Self::of(account, call), MAX_LISTS).await
    }

    /// The id of the list at a path: its name, or nothing for the default list.
    pub(super) async fn list_at(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Option<String>, GraphError> {
        let found = |lists: &Subfolders| match path {
            [] => lists
                .iter()
                .find(|l| is_default(&l.record))
                .map(|l| l.id.clone()),
            [name] => pick(lists, name).or_else(|| {
                // In a mailbox in another language it has another name.
                let english = name.to_lowercase() == ENGLISH;
                let default = lists.iter().find(|l| english && is_default(&l.record));
                default.map(|l| l.id.clone())
            }),
            _ => None,
        };
        let known = found(&self.lists(account, false).await?);
        match known {
            Some(id) => Ok(Some(id)),
            // Somebody may have made it a moment ago.
            None if path.len() < 2 => Ok(found(&self.lists(account, true).await?)),
            None => Ok(None),
        }
    }

    async fn lists(&self, account: &Account, anew: bool) -> Result<Subfolders, GraphError> {
        let key = (account.id.clone(), String::new());
        if !anew && let Some(lists) = self.paths.get(&key) {
            return Ok(lists);
        }
        let lists = self.all_lists(account).await?;
        let shown = lists.into_iter().filter(|list| !is_flagged(list));
        let lists: Subfolders = Arc::new(shown.filter_map(|l| self.live(l, true)).collect());
        self.paths.put(key, Arc::clone(&lists));
        Ok(lists)
    }

    /// A task or list as the mount would name it.
    pub(super) fn live(&self, record: Value, is_dir: bool) -> Option<LiveEntry> {
        let id = record["id"].as_str()?.to_owned();
        let kind = match is_dir {
            true => EntryKind::Folder,
            false => EntryKind::Item,
        };
        let named = self.describe(kind, &(self.keyer)(&id), &record);
        Some(LiveEntry {
            id,
            name: named.name,
            is_dir,
            size: match is_dir {
                true => 0,
                false => todo::write(&record, &[]).len() as u64,
            },
            mtime: named.mtime,
            record,
        })
    }

    /// Lists, or the tasks of one.
    pub(super) async fn list_live(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        if path.is_empty() {
            return Ok(self.lists(account, true).await?.to_vec());
        }
        let Some(list) = self.list_at(account, path).await? else {
            let what = format!("there is no list {}", path.join("/"));
            return Err(GraphError::local(ErrorClass::NotFound, "task list", what));
        };
        let asked = Instant::now();
        let call = Call::get(TASKS, &[&account.id, &list])
            .query("$expand", &expand())
            .query("$top", "200");
        let tasks = self
            .client
            .pages(Self::of(account, call), MAX_TASKS)
            .await?;
        let facts = tasks.iter().flat_map(|task| self.facts(task));
        self.known.told(account, &list, asked, facts);
        let tasks = tasks.into_iter().filter_map(|mut task| {
            task[LIST] = json!(list);
            self.live(task, false)
        });
        Ok(tasks.collect())
    }

    /// Makes a list, or finds the one that is there.
    pub(super) async fn make_list(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        let [name] = path else {
            return Err(PushError::Invalid(format!(
                "{}: To Do has lists, and no folders in them",
                path.join("/")
            )));
        };
        let display = display_name(name);
        if display.trim().is_empty() || display.chars().count() > MAX_NAME {
            return Err(PushError::Invalid(format!(
                "a list's name has 1 to {MAX_NAME} characters: {name:?} can't be made"
            )));
        }
        let no_list = || PushError::NoFolder { path: name.clone() };
        // Lists may have the same name, so what is there is looked for before each attempt.
        let mut last = None;
        for _ in 0..3 {
            if let Some(id) = self.list_at(account, path).await? {
                let lists = self.lists(account, false).await?;
                let list = lists.iter().find(|list| list.id == id);
                return list.cloned().ok_or_else(no_list);
            }
            let call = Call::post(ALL, &[&account.id], json!({ "displayName": display }));
            let outcome = self.client.json(&Self::of(account, call)).await;
            self.paths.forget(&account.id);
            match outcome {
                Ok(list) => return self.live(list, true).ok_or_else(no_list),
                Err(e) if e.class == ErrorClass::Conflict || e.class.is_temporary() => {
                    last = Some(e);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(last.map_or_else(no_list, PushError::Graph))
    }
}
