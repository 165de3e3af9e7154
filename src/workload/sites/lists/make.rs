//! Makes lists that are gone, and their columns: those of a definition that is put into a list, and those that
//! an item needs in a list that a restore made. What can't be made is named.

use serde_json::{Value, json};

use super::columns::{self, MARKER, OWN_LIST, creation, is_custom, rank};
use super::live::{COLUMNS, LISTS};
use super::restore::read;
use super::shown::shown;
use super::{DEFINITION, Lists};
use crate::graph::{Call, ErrorClass, Scope};
use crate::workload::once::Once;
use crate::workload::sites::MANY;
use crate::workload::{Account, LiveEntry, Push, PushError, Pushed, Source};

impl Lists {
    /// Makes the hidden column, and in a list that a restore made those that the item needs.
    pub(super) async fn ready(
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
    pub(super) async fn define(&self, account: &Account, push: &Push) -> Result<Pushed, PushError> {
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
}
