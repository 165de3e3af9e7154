//! What `restore/` shows of live lists, and how what it names is found again.

use serde_json::{Value, json};

use super::attach::is_stand_in;
use super::columns::{MARKER, OWN_LIST, is_custom};
use super::live::{LISTS, known_as};
use super::{ATTACHMENTS, DEFINITION, Lists, attachments, file_name, time};
use crate::graph::{ErrorClass, GraphError};
use crate::tree::names::exact_name;
use crate::workload::{Account, ID, LiveEntry, Marker};

impl Lists {
    /// The id of the list of that name.
    pub(super) async fn find_list(
        &self,
        account: &Account,
        name: &str,
    ) -> Result<Option<String>, GraphError> {
        let lists = self.live.lists(&account.id).await?;
        let lower = name.to_lowercase();
        let found = lists
            .iter()
            .find(|list| self.is_captured(list) && self.name_of(list).to_lowercase() == lower);
        Ok(found.and_then(|list| list["id"].as_str().map(str::to_owned)))
    }

    pub(super) fn name_of(&self, list: &Value) -> String {
        let id = list["id"].as_str().unwrap_or_default();
        let title = list["displayName"].as_str().unwrap_or_default();
        exact_name(title, &(self.keyer)(id))
    }

    pub(super) fn folder_of(&self, list: &Value) -> LiveEntry {
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
pub(super) fn shown(list: &str, name: &str) -> LiveEntry {
    LiveEntry {
        id: format!("{list}/{name}"),
        name: name.to_owned(),
        is_dir: false,
        size: 0,
        mtime: 0,
        record: Value::Null,
    }
}
