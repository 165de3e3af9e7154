//! Puts attachments back: into the folder of an item that is there. A copy of a list may bring an item's
//! attachments before the item itself, since no program says in which order it copies; then the item is
//! made from the record that goes along with them, as a stand-in that its own file claims when it comes.
//!
//! Invariant: what is there under a name is the same attachment only if its bytes are the same.

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::attachments::{ITEM, MAX_SIZE, TIMEOUT, folder_of};
use super::live::known_as;
use super::make::only_in_lists;
use super::own::RESTRICTED;
use super::shown::folder;
use super::{ATTACHMENTS, Lists, file_name};
use crate::graph::sharepoint::UNITS;
use crate::graph::{Call, ErrorClass, GraphError, Scope, odata_quote};
use crate::tree::names::exact_name;
use crate::workload::drive::names;
use crate::workload::once;
use crate::workload::{
    Account, ItemKey, Journal, LiveEntry, Marker, Policy, Push, PushError, Pushed, Source, id_in,
};

const ADD: &str =
    "/_api/web/lists(guid'{list}')/items({item})/AttachmentFiles/add(FileName='{name}')";
const REPLACE: &str =
    "/_api/web/lists(guid'{list}')/items({item})/AttachmentFiles('{name}')/$value";
/// Names that are tried for a copy beside one that is there.
const MAX_BESIDE: u32 = 1_000;

/// Which push is said to have made the stand-in of an item.
fn stand_in(origin: &ItemKey) -> Uuid {
    Uuid::from_bytes(origin.0)
}

/// Whether a live item only stands in for one that was not restored itself yet.
pub(super) fn is_stand_in(item: &Value) -> bool {
    let marker = Marker::of(item);
    marker.is_some_and(|m| m.origin.is_some_and(|origin| m.push == stand_in(&origin)))
}

/// A stand-in was perhaps made before.
struct Again;

impl Journal for Again {
    fn load(&self) -> Option<String> {
        None
    }
    fn save(&self, _state: &str) -> std::io::Result<()> {
        Ok(())
    }
    fn repeated(&self) -> bool {
        true
    }
}

/// Where an attachment goes.
struct Target {
    web: String,
    list: String,
    item: String,
}

impl Lists {
    /// The folder of a path that is one of attachments: list, and name of the item's file.
    pub(super) fn folder_of_attachments(path: &[String]) -> Option<(&str, String)> {
        match path {
            [list, folder] => {
                let item = folder.strip_suffix(&format!(".{ATTACHMENTS}"))?;
                Some((list, format!("{item}.json")))
            }
            _ => None,
        }
    }

    /// Whether this identity can put attachments anywhere.
    pub(super) fn can_attach(&self) -> Result<(), PushError> {
        self.live.client.sharepoint().map_err(|why| {
            PushError::Invalid(format!(
                "attachments of list items can't be put back: {why}"
            ))
        })
    }

    /// The live item whose file has that name.
    async fn item_named(
        &self,
        account: &Account,
        list: &str,
        name: &str,
    ) -> Result<Option<LiveEntry>, GraphError> {
        let marks = self.live.marks(&account.id, list).await?;
        let mut items = marks.iter().filter_map(|item| self.live_item(list, item));
        Ok(items.find(|item| item.name == name))
    }

    /// What is attached to an item now.
    pub(super) async fn list_attachments(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        let no_such = || {
            let what = format!("there is no {}", path.join("/"));
            GraphError::local(ErrorClass::NotFound, ITEM, what)
        };
        let (list, name) = Self::folder_of_attachments(path).ok_or_else(no_such)?;
        let list = self.find_list(account, list).await?.ok_or_else(no_such)?;
        let Some(item) = self.item_named(account, &list, &name).await? else {
            return match self.is_promised(account, path) {
                true => Ok(Vec::new()),
                false => Err(no_such()),
            };
        };
        let web = self.live.address(&account.id).await?;
        let number = item.record["id"].as_str().unwrap_or_default();
        let names = self.attached(&web, &list, number).await?;
        let entry = |name: String| self.attached_entry(&item.id, &name, item.mtime);
        Ok(names.into_iter().map(entry).collect())
    }

    fn attached_entry(&self, item: &str, name: &str, mtime: i64) -> LiveEntry {
        let id = format!("{}/{name}", folder_of(item));
        LiveEntry {
            name: exact_name(name, &(self.keyer)(&id)),
            id,
            is_dir: false,
            size: 0,
            mtime,
            record: json!({ "name": name }),
        }
    }

    /// The folder of an item's attachments, which is there as soon as something is in it.
    pub(super) async fn make_attachments(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        only_in_lists(path)?;
        self.can_attach()?;
        let no_folder = || PushError::NoFolder {
            path: path.join("/"),
        };
        let [list, name] = path else {
            return Err(no_folder());
        };
        let list = self.find_list(account, list).await?;
        list.ok_or_else(no_folder)?;
        self.promise(account, path);
        Ok(folder(&path.join("/"), name))
    }

    /// Where an attachment goes. `None`: its item is not there.
    async fn place_of(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<(String, Option<Target>), PushError> {
        let no_folder = || PushError::NoFolder {
            path: push.folder.join("/"),
        };
        names::check("SharePoint", std::slice::from_ref(&push.name)).map_err(PushError::Invalid)?;
        self.can_attach()?;
        let (list, item) = Self::folder_of_attachments(&push.folder).ok_or_else(no_folder)?;
        let list = self.find_list(account, list).await?.ok_or_else(no_folder)?;
        let Some(live) = self.item_named(account, &list, &item).await? else {
            // Bytes may be attached to several: only the record of this item makes it again.
            let known = record_of_item(push);
            return match known.is_some_and(|record| self.file_of(record) == item) {
                true => Ok((list, None)),
                false => Err(no_folder()),
            };
        };
        let target = Target {
            web: self.live.address(&account.id).await?,
            item: live.record["id"].as_str().unwrap_or_default().to_owned(),
            list: list.clone(),
        };
        Ok((list, Some(target)))
    }

    /// What pushing an attachment would meet.
    pub(super) async fn plan_attachment(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<String>, PushError> {
        let (_, Some(target)) = self.place_of(account, push).await? else {
            return Ok(None);
        };
        let names = self
            .attached(&target.web, &target.list, &target.item)
            .await?;
        Ok(held(&names, &push.name).cloned())
    }

    pub(super) async fn attach(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let (list, target) = self.place_of(account, push).await?;
        let target = match target {
            Some(target) => target,
            None => {
                self.make_stand_in(account, push).await?;
                self.live.forget_marks(&account.id, &list);
                let target = self.place_of(account, push).await?.1;
                target.ok_or_else(|| PushError::NoFolder {
                    path: push.folder.join("/"),
                })?
            }
        };
        // The name that this push chose before.
        let chosen = journal.load().unwrap_or_else(|| push.name.clone());
        let bytes = read(push).await?;
        let names = self
            .attached(&target.web, &target.list, &target.item)
            .await?;
        let there = held(&names, &push.name).cloned();
        // It may be of this very push, whose answer got lost.
        if journal.repeated()
            && let Some(name) = held(&names, &chosen)
            && self.is_same(&target, name, &bytes).await?
        {
            return Ok(self.attached_as(&target, name, push, None));
        }
        let (name, replaced) = match (there, push.policy) {
            (None, _) => (push.name.clone(), None),
            (Some(_), Policy::Skip) => {
                return Err(PushError::Exists {
                    name: push.name.clone(),
                });
            }
            (Some(name), Policy::Overwrite) => (name.clone(), Some(name)),
            (Some(_), Policy::KeepBoth) => (free_name(&names, &push.name)?, None),
        };
        journal.save(&name)?;
        let sent = match replaced {
            Some(_) => self.replace(&target, &name, bytes.clone()).await,
            None => self.add(&target, &name, bytes.clone()).await,
        };
        match sent {
            Ok(()) => {}
            Err(e) if e.class.is_temporary() && self.is_same(&target, &name, &bytes).await? => {}
            Err(e) => return Err(e.into()),
        }
        let mut pushed = self.attached_as(&target, &name, push, replaced);
        if let Some(record) = record_of_item(push) {
            let signed = self.sign_again(account, &target.list, &target.item, record);
            pushed.notes = signed.await?;
        }
        Ok(pushed)
    }

    /// Did it arrive?
    pub(super) async fn find_attached(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let target = match self.place_of(account, push).await {
            Ok((_, Some(target))) => target,
            Ok((_, None)) | Err(PushError::NoFolder { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let names = self
            .attached(&target.web, &target.list, &target.item)
            .await?;
        let bytes = read(push).await?;
        let Some(name) = held(&names, &push.name) else {
            return Ok(None);
        };
        let same = push.policy != Policy::KeepBoth && self.is_same(&target, name, &bytes).await?;
        Ok(same.then(|| self.attached_as(&target, name, push, None)))
    }

    fn attached_as(
        &self,
        target: &Target,
        name: &str,
        push: &Push,
        replaced: Option<String>,
    ) -> Pushed {
        let item = format!("{}/{}", target.list, target.item);
        Pushed {
            entry: self.attached_entry(&item, name, push.mtime),
            replaced: replaced.map(|name| format!("{}/{name}", folder_of(&item))),
            notes: Vec::new(),
        }
    }

    async fn is_same(&self, at: &Target, name: &str, bytes: &Bytes) -> Result<bool, GraphError> {
        match self.attachment(&at.web, &at.list, &at.item, name).await {
            Ok(there) => Ok(there == *bytes),
            Err(e) if e.class.is_gone() => Ok(false),
            Err(e) => Err(e),
        }
    }

    async fn add(&self, at: &Target, name: &str, bytes: Bytes) -> Result<(), GraphError> {
        let call = Call::new(Method::POST, ADD, &[&at.list, &at.item, &odata_quote(name)]);
        self.send_bytes(at, call, bytes).await
    }

    async fn replace(&self, at: &Target, name: &str, bytes: Bytes) -> Result<(), GraphError> {
        let ids = [&at.list[..], &at.item, &odata_quote(name)];
        let call = Call::new(Method::POST, REPLACE, &ids)
            .header("x-http-method", "PUT")
            .repeatable();
        self.send_bytes(at, call, bytes).await
    }

    async fn send_bytes(&self, at: &Target, call: Call, bytes: Bytes) -> Result<(), GraphError> {
        let call = call
            .sharepoint(&at.web)
            .scope(Scope::Drives, UNITS)
            .body(bytes, "application/octet-stream")
            .bounds(1 << 20, TIMEOUT);
        self.live.client.send_sharepoint(&call).await.map(drop)
    }

    /// Makes the item that attachments belong to, from the record that goes along with them.
    async fn make_stand_in(&self, account: &Account, push: &Push) -> Result<(), PushError> {
        let Some(record) = record_of_item(push) else {
            return Ok(());
        };
        let key = (self.keyer)(id_in(record).unwrap_or_default());
        let mut record = record.clone();
        if let Source::Record { record: own, .. } = &push.source {
            record[RESTRICTED] = own[RESTRICTED].clone();
        }
        let item = Push {
            id: stand_in(&key),
            folder: push.folder.iter().take(1).cloned().collect(),
            name: self.file_of(&record),
            policy: Policy::Skip,
            source: Source::Record { record, key },
            original: None,
            file: push.file.clone(),
            mtime: push.mtime,
        };
        match once::push(self, account, &item, &Again).await {
            // Or its own file came meanwhile.
            Ok(_) | Err(PushError::Exists { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// The name of the file of a captured item.
    fn file_of(&self, record: &Value) -> String {
        let number = record["id"].as_str().unwrap_or_default();
        let key = (self.keyer)(id_in(record).unwrap_or_default());
        file_name(number.parse().unwrap_or_default(), &key)
    }

    /// Whether there is only a stand-in for the item that a push brings.
    pub(super) async fn has_stand_in(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<bool, PushError> {
        let (Source::Record { key, .. }, [name]) = (&push.source, push.folder.as_slice()) else {
            return Ok(false);
        };
        let Some(list) = self.find_list(account, name).await? else {
            return Ok(false);
        };
        let marks = self.live.marks(&account.id, &list).await?;
        Ok(marks.iter().any(|item| {
            let item = known_as(&list, item);
            is_stand_in(&item) && Marker::of(&item).is_some_and(|m| m.origin == Some(*key))
        }))
    }
}

/// The record of the item that an attachment came with.
fn record_of_item(push: &Push) -> Option<&Value> {
    match &push.source {
        Source::Record { record, .. } => Some(&record["item"]).filter(|item| item.is_object()),
        Source::File => None,
    }
}

async fn read(push: &Push) -> Result<Bytes, PushError> {
    if tokio::fs::metadata(&push.file).await?.len() > MAX_SIZE as u64 {
        let what = format!(
            "{}: SharePoint takes attachments of at most 250 MB",
            push.name
        );
        return Err(PushError::Invalid(what));
    }
    Ok(tokio::fs::read(&push.file).await?.into())
}

/// The name under which it is there, in whatever letter case.
fn held<'a>(names: &'a [String], name: &str) -> Option<&'a String> {
    let lower = name.to_lowercase();
    names.iter().find(|other| other.to_lowercase() == lower)
}

/// Another name: `plan (2).pdf`.
fn free_name(names: &[String], name: &str) -> Result<String, PushError> {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    (2..MAX_BESIDE)
        .map(|n| format!("{stem} ({n}){extension}"))
        .find(|other| held(names, other).is_none())
        .ok_or_else(|| PushError::Exists { name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_known_by_its_mark() {
        let origin = ItemKey([7; 16]);
        let item = |push: Uuid| {
            let marker = Marker {
                push,
                origin: Some(origin),
                created: Some(7),
            };
            known_as(
                "L",
                &json!({ "id": "1", "fields": { "tenantfs": marker.value() } }),
            )
        };
        assert!(is_stand_in(&item(stand_in(&origin))));
        assert!(!is_stand_in(&item(Uuid::from_u128(5))));
        assert!(!is_stand_in(&json!({})));
    }

    #[test]
    fn a_copy_gets_another_name() {
        let names = ["Plan.pdf", "plan (2).PDF"].map(str::to_owned);
        assert_eq!(free_name(&names, "plan.pdf").unwrap(), "plan (3).pdf");
        assert_eq!(held(&names, "PLAN.PDF"), Some(&names[0]));
    }

    #[test]
    fn folders_of_attachments_are_told_by_their_names() {
        let path = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let of = path(&["Assets", "0007.k3f9a2mq7x.attachments"]);
        let found = Lists::folder_of_attachments(&of);
        assert_eq!(found, Some(("Assets", "0007.k3f9a2mq7x.json".to_owned())));
        for other in [
            &["Assets"][..],
            &["Assets", "Inner"],
            &["a", "b", "c.attachments"],
        ] {
            assert_eq!(Lists::folder_of_attachments(&path(other)), None);
        }
    }
}
