//! Attachments of items: files in a folder beside the item, `0007.k3f9a2mq7x.attachments/`, by their exact
//! names. Graph only tells that an item has some; SharePoint's own interface gives them, and takes them.
//!
//! Its listing tells names and nothing else, so what an item has attached is read anew when the item
//! changes. A copy of the item's record goes along with each, for a restore that begins with them.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::capture::ListCursor;
use super::own::RESTRICTED;
use super::{Lists, attachments_name, time};
use crate::graph::sharepoint::UNITS;
use crate::graph::{Call, ErrorClass, GraphError, Scope, odata_quote};
use crate::tree::names::exact_name;
use crate::workload::{Account, Alive, Change, Content, Described, ID, ItemError, ItemKey, id_in};

pub(super) const ITEM: &str = "/_api/web/lists(guid'{list}')/items({item})";
const BYTES: &str = "/_api/web/lists(guid'{list}')/items({item})/AttachmentFiles('{name}')/$value";

/// Bytes of the largest attachment that SharePoint takes.
pub(super) const MAX_SIZE: usize = 250 << 20;
/// Time for one.
pub(super) const TIMEOUT: Duration = Duration::from_secs(900);
/// Items that are asked for at a time.
const AT_ONCE: usize = 4;
/// What the ids of folder and files have behind the item's.
const BELOW: &str = "files";

/// The folder of an item's attachments, by their ids.
pub(super) fn folder_of(item: &str) -> String {
    format!("{item}/{BELOW}")
}

/// An attachment, or the folder of all that an item has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub list: &'a str,
    pub item: &'a str,
    /// `None`: the folder.
    pub name: Option<&'a str>,
}

/// What an id of the collection stands for, if it is about attachments.
pub(super) fn place(id: &str) -> Option<Place<'_>> {
    let mut parts = id.splitn(4, '/');
    let (list, item, below) = (parts.next()?, parts.next()?, parts.next()?);
    (below == BELOW).then(|| Place {
        list,
        item,
        name: parts.next(),
    })
}

/// What an item with attachments says of itself.
struct Holding {
    names: Vec<String>,
    /// Only some have access to it.
    restricted: bool,
}

/// Why there are none.
fn not_captured(why: &str) -> String {
    format!("attachments of its items are not captured: {why}")
}

impl Lists {
    /// Tells of the attachments of the items on a page.
    pub(super) async fn tell_attachments(
        &self,
        account: &Account,
        list: &str,
        at: &mut ListCursor,
        changes: &mut Vec<Change>,
    ) -> Result<(), GraphError> {
        let site = account.id.as_str();
        let mut with = Vec::new();
        for change in changes.iter() {
            if let Change::Item { id, record, .. } = change {
                with.push((id.clone(), record.clone()));
            }
        }
        let (with, without): (Vec<_>, Vec<_>) = with
            .into_iter()
            .partition(|(_, record)| record["fields"]["Attachments"] == true);
        changes.extend(without.into_iter().map(|(id, _)| Change::Holds {
            folder: folder_of(&id),
            parent: Some(list.to_owned()),
            items: Vec::new(),
        }));
        if with.is_empty() {
            return Ok(());
        }
        if let Err(why) = self.live.client.sharepoint() {
            at.unread = true;
            return self.note_unread(site, list, why, at, changes).await;
        }
        let web = self.live.address(site).await?;
        let told = stream::iter(with)
            .map(|(id, record)| {
                let web = web.clone();
                async move {
                    let number = record["id"].as_str().unwrap_or_default().to_owned();
                    let told = self.holding(&web, list, &number).await;
                    (id, record, told)
                }
            })
            .buffered(AT_ONCE);
        let told: Vec<_> = told.collect().await;
        for (id, mut record, told) in told {
            match told {
                Ok(told) => {
                    self.complete_record(account, list, &mut record).await?;
                    changes.extend(tell(list, &id, &record, told));
                }
                // It is gone again: the next round tells.
                Err(e) if e.class.is_gone() => {}
                Err(e) if e.class.is_temporary() => return Err(e),
                Err(e) if e.class == ErrorClass::Denied => {
                    let why = e.to_string();
                    return self.note_unread(site, list, &why, at, changes).await;
                }
                Err(e) => changes.push(Change::Noted {
                    name: record["fields"]["Title"].as_str().unwrap_or(&id).to_owned(),
                    id,
                    note: format!("its attachments are not captured: {e}"),
                }),
            }
        }
        Ok(())
    }

    /// One line for each list in a round.
    async fn note_unread(
        &self,
        site: &str,
        list: &str,
        why: &str,
        at: &mut ListCursor,
        changes: &mut Vec<Change>,
    ) -> Result<(), GraphError> {
        if std::mem::replace(&mut at.noted, true) {
            return Ok(());
        }
        let lists = self.live.lists(site).await?;
        let name = lists.iter().find(|other| other["id"] == *list);
        let name = name.and_then(|list| list["displayName"].as_str());
        changes.push(Change::Noted {
            id: list.to_owned(),
            name: name.unwrap_or(list).to_owned(),
            note: not_captured(why),
        });
        Ok(())
    }

    /// What an item has attached, by name.
    pub(super) async fn attached(
        &self,
        web: &str,
        list: &str,
        item: &str,
    ) -> Result<Vec<String>, GraphError> {
        Ok(self.holding(web, list, item).await?.names)
    }

    async fn holding(&self, web: &str, list: &str, item: &str) -> Result<Holding, GraphError> {
        let call = Call::get(ITEM, &[list, item])
            .sharepoint(web)
            .query("$select", "AttachmentFiles,HasUniqueRoleAssignments")
            .query("$expand", "AttachmentFiles")
            .scope(Scope::Drives, UNITS);
        let answer = self.live.client.send_sharepoint(&call).await?;
        let told: Value = crate::graph::json::parse(&answer.body)
            .map_err(|e| GraphError::local(ErrorClass::Network, ITEM, e.to_string()))?;
        let files = told["AttachmentFiles"].as_array().into_iter().flatten();
        let names = files.filter_map(|file| file["FileName"].as_str());
        // A name with a slash could be no file, here or there.
        let names = names.filter(|name| !name.is_empty() && !name.contains('/'));
        Ok(Holding {
            names: names.map(str::to_owned).collect(),
            restricted: told["HasUniqueRoleAssignments"] == true,
        })
    }

    /// The bytes of an attachment.
    pub(super) async fn attachment(
        &self,
        web: &str,
        list: &str,
        item: &str,
        name: &str,
    ) -> Result<Bytes, GraphError> {
        let call = Call::get(BYTES, &[list, item, &odata_quote(name)])
            .sharepoint(web)
            .scope(Scope::Drives, UNITS)
            .bounds(MAX_SIZE, TIMEOUT);
        // So many are in memory at a time.
        let _turn = self.large.acquire().await;
        Ok(self.live.client.send_sharepoint(&call).await?.body)
    }

    /// Brings an attachment.
    pub(super) async fn fetch_attachment(
        &self,
        account: &Account,
        record: &mut Value,
    ) -> Result<Content, ItemError> {
        let id = id_in(record).unwrap_or_default().to_owned();
        let Some(Place {
            list,
            item,
            name: Some(name),
        }) = place(&id)
        else {
            return Ok(Content::None);
        };
        let web = self.live.address(&account.id).await?;
        let bytes = self.attachment(&web, list, item, name).await?;
        Ok(Content::File(bytes))
    }

    /// What became of an attachment, or of a folder of them.
    pub(super) async fn look_up_attachment(&self, account: &Account, place: &Place<'_>) -> Alive {
        match self.find_attachment(account, place).await {
            Ok(Some((parent, record))) => Alive::Here {
                parent: Some(parent),
                record,
            },
            Ok(None) => Alive::Gone,
            Err(e) if e.class.is_gone() => Alive::Gone,
            Err(e) => Alive::Unknown(e.into()),
        }
    }

    async fn find_attachment(
        &self,
        account: &Account,
        place: &Place<'_>,
    ) -> Result<Option<(String, Value)>, GraphError> {
        let site = account.id.as_str();
        let web = self.live.address(site).await?;
        let holding = self.holding(&web, place.list, place.item).await?;
        let id = format!("{}/{}", place.list, place.item);
        Ok(match place.name {
            None if holding.names.is_empty() => None,
            None => Some((place.list.to_owned(), folder_record(&id))),
            Some(name) if holding.names.iter().any(|other| other == name) => {
                let mut item = self.live.item(site, place.list, place.item).await?;
                item[ID] = json!(id);
                self.complete_record(account, place.list, &mut item).await?;
                Some((folder_of(&id), file_record(&id, name, &item, &holding)))
            }
            Some(_) => None,
        })
    }

    /// How an attachment, or a folder of them, shows in the mount.
    pub(super) fn describe_attachment(&self, key: &ItemKey, record: &Value) -> Option<Described> {
        let place = place(id_in(record)?)?;
        Some(match place.name {
            Some(name) => Described {
                name: exact_name(name, key),
                mtime: time(record, "lastModifiedDateTime"),
            },
            None => {
                let item = format!("{}/{}", place.list, place.item);
                let number = place.item.parse().unwrap_or_default();
                Described {
                    name: attachments_name(number, &(self.keyer)(&item)),
                    mtime: time(record, "createdDateTime"),
                }
            }
        })
    }
}

/// A folder with files in it.
fn tell(list: &str, id: &str, item: &Value, holding: Holding) -> Vec<Change> {
    let folder = folder_of(id);
    let ids = holding.names.iter().map(|name| format!("{folder}/{name}"));
    let mut changes = vec![Change::Holds {
        folder: folder.clone(),
        parent: Some(list.to_owned()),
        items: ids.collect(),
    }];
    if holding.names.is_empty() {
        return changes;
    }
    let mut record = folder_record(id);
    record["createdDateTime"] = item["createdDateTime"].clone();
    changes.push(Change::Folder {
        id: folder.clone(),
        parent: Some(list.to_owned()),
        record,
        feed: None,
    });
    changes.extend(holding.names.iter().map(|name| Change::Item {
        id: format!("{folder}/{name}"),
        parent: Some(folder.clone()),
        record: file_record(id, name, item, &holding),
    }));
    changes
}

fn folder_record(item: &str) -> Value {
    json!({ "id": BELOW, ID: folder_of(item) })
}

fn file_record(id: &str, name: &str, item: &Value, holding: &Holding) -> Value {
    json!({
        "id": name, ID: format!("{}/{name}", folder_of(id)), "name": name, "eTag": item["eTag"],
        RESTRICTED: holding.restricted,
        "lastModifiedDateTime": item["lastModifiedDateTime"], "item": item,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_what_they_stand_for() {
        assert_eq!(place("L/7"), None);
        assert_eq!(place("L/items.csv"), None);
        assert_eq!(place(&folder_of("L/7")).map(|p| p.name), Some(None));
        let file = place("L/7/files/a.txt");
        assert_eq!(
            file,
            Some(Place {
                list: "L",
                item: "7",
                name: Some("a.txt")
            })
        );
    }

    #[test]
    fn a_folder_holds_what_is_attached_and_nothing_else() {
        let item = json!({ "id": "7", "eTag": "e", "createdDateTime": "2026-01-02T03:04:05Z" });
        let holding = |names: &[&str]| Holding {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            restricted: true,
        };
        let changes = tell("L", "L/7", &item, holding(&[]));
        assert!(matches!(&changes[..], [Change::Holds { items, .. }] if items.is_empty()));
        let changes = tell("L", "L/7", &item, holding(&["list.json"]));
        let [
            Change::Holds { items, .. },
            Change::Folder { id, .. },
            Change::Item { record, parent, .. },
        ] = &changes[..]
        else {
            panic!("{changes:?}")
        };
        assert_eq!(items, &["L/7/files/list.json"]);
        assert_eq!(parent.as_ref(), Some(id));
        assert_eq!(record["item"]["id"], "7");
        assert_eq!(record[RESTRICTED], true);
        assert_eq!(id_in(record), Some("L/7/files/list.json"));
    }
}
