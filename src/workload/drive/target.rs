//! Where things are in a live drive: its root, folders by path, listings, new folders.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

use super::labels::is_labelled;
use super::sharing::is_home;
use super::{Drive, MANY, ONE, modified, names};
use crate::graph::{Call, ErrorClass, GraphError, Scope};
use crate::tree::names::exact_name;
use crate::workload::{Account, LiveEntry, PushError};

const ROOT: &str = "/users/{user}/drive/root";
const LIBRARY_ROOT: &str = "/drives/{drive}/root";
const BY_PATH: &str = "/drives/{drive}/root:/{path}";
const ITEM: &str = "/drives/{drive}/items/{item}";
const CHILDREN: &str = "/drives/{drive}/items/{item}/children";

/// How long a folder's id is believed without asking.
const FRESH: Duration = Duration::from_secs(60);
/// Entries of one folder.
const MAX_CHILDREN: usize = 1_000_000;
/// What a listing asks of an item.
const SELECT: &str = "id,name,size,file,folder,package,remoteItem,fileSystemInfo,\
                      lastModifiedDateTime,createdDateTime,parentReference,eTag";

/// A drive and its root.
#[derive(Clone, Debug)]
pub(in crate::workload) struct Root {
    pub drive: String,
    pub root: String,
    /// It is a library of a site, whose collection holds several drives.
    pub library: bool,
    /// Id of the site collection, where it is known.
    pub site: Option<String>,
}

impl Root {
    /// The id that the collection knows an item by. Items of different drives may have the same.
    pub(super) fn id_of(&self, item: &str) -> String {
        match self.library {
            true => format!("{}/{item}", self.drive),
            false => item.to_owned(),
        }
    }

    /// Whose names are checked, in words.
    pub(super) fn service(&self) -> &'static str {
        match self.library {
            true => "SharePoint",
            false => "OneDrive",
        }
    }
}

/// Roots and folders that were asked for already.
#[derive(Default)]
pub(super) struct Targets {
    roots: Mutex<HashMap<String, (Instant, Root)>>,
    folders: Mutex<HashMap<(String, String), (Instant, String)>>,
}

impl Drive {
    /// The drive of an account.
    pub(super) async fn root(&self, account: &Account) -> Result<Root, GraphError> {
        if let Some((at, root)) = self.targets.roots.lock().get(&account.id)
            && at.elapsed() < FRESH
        {
            return Ok(root.clone());
        }
        let root = self.root_of(Call::get(ROOT, &[&account.id]), false).await?;
        let mut roots = self.targets.roots.lock();
        if roots.len() > 10_000 {
            roots.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        roots.insert(account.id.clone(), (Instant::now(), root.clone()));
        Ok(root)
    }

    /// The root of a library's drive.
    pub(in crate::workload) async fn library_root(&self, drive: &str) -> Result<Root, GraphError> {
        self.root_of(Call::get(LIBRARY_ROOT, &[drive]), true).await
    }

    async fn root_of(&self, call: Call, library: bool) -> Result<Root, GraphError> {
        let call = call
            .query("$select", "id,parentReference")
            .scope(Scope::Drives, ONE);
        let item = self.client.json(&call).await?;
        let drive = item["parentReference"]["driveId"].as_str();
        match (drive, item["id"].as_str()) {
            (Some(drive), Some(root)) => Ok(Root {
                drive: drive.to_owned(),
                root: root.to_owned(),
                library,
                site: None,
            }),
            _ => {
                let what = "the root of the drive has no id";
                Err(GraphError::local(ErrorClass::Transient, call.label(), what))
            }
        }
    }

    /// An item by path; `None` if it is not there. An empty path is the root.
    pub(super) async fn item_at(
        &self,
        root: &Root,
        path: &[String],
    ) -> Result<Option<Value>, GraphError> {
        let call = if path.is_empty() {
            Call::get(ITEM, &[&root.drive, &root.root])
        } else {
            Call::get(BY_PATH, &[&root.drive, &path.join("/")])
        };
        match self.client.json(&call.scope(Scope::Drives, ONE)).await {
            Ok(item) => Ok(Some(item)),
            Err(e) if e.class == ErrorClass::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The id of the folder at a path.
    pub(super) async fn folder_at(
        &self,
        root: &Root,
        path: &[String],
    ) -> Result<String, PushError> {
        if path.is_empty() {
            return Ok(root.root.clone());
        }
        let key = (root.drive.clone(), path.join("/"));
        if let Some((at, id)) = self.targets.folders.lock().get(&key)
            && at.elapsed() < FRESH
        {
            return Ok(id.clone());
        }
        let item = self.item_at(root, path).await?;
        let folder = item.filter(|i| i["folder"].is_object() || i["package"].is_object());
        let id = folder.as_ref().and_then(|f| f["id"].as_str());
        let id = id
            .ok_or_else(|| PushError::NoFolder {
                path: path.join("/"),
            })?
            .to_owned();
        self.remember(key, &id);
        Ok(id)
    }

    fn remember(&self, key: (String, String), id: &str) {
        let mut folders = self.targets.folders.lock();
        if folders.len() > 10_000 {
            folders.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        folders.insert(key, (Instant::now(), id.to_owned()));
    }

    /// Forgets folders of a drive: one of them was not where it was believed to be.
    pub(super) fn forget(&self, drive: &str) {
        self.targets.folders.lock().retain(|(d, _), _| d != drive);
    }

    pub(in crate::workload) async fn list_live(
        &self,
        root: &Root,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        let folder = match self.folder_at(root, path).await {
            Ok(folder) => folder,
            Err(PushError::Graph(e)) => return Err(e),
            Err(e) => {
                let what = e.to_string();
                return Err(GraphError::local(
                    ErrorClass::NotFound,
                    "folder of a drive",
                    what,
                ));
            }
        };
        let call = Call::get(CHILDREN, &[&root.drive, &folder])
            .query("$top", "999")
            .query("$select", SELECT)
            .scope(Scope::Drives, MANY);
        match self.client.pages(call, MAX_CHILDREN).await {
            Ok(items) => Ok(items
                .into_iter()
                .filter_map(|i| self.live(root, i))
                .collect()),
            Err(e) => {
                self.forget(&root.drive);
                Err(e)
            }
        }
    }

    /// An item as the mount would name it.
    pub(super) fn live(&self, root: &Root, record: Value) -> Option<LiveEntry> {
        let id = record["id"].as_str()?.to_owned();
        let is_dir = (record["folder"].is_object() || record["package"].is_object())
            && !record["remoteItem"].is_object();
        Some(LiveEntry {
            name: exact_name(
                record["name"].as_str().unwrap_or_default(),
                &(self.keyer)(&root.id_of(&id)),
            ),
            id,
            is_dir,
            size: if is_dir {
                0
            } else {
                record["size"].as_u64().unwrap_or_default()
            },
            mtime: modified(&record).unwrap_or_default(),
            record,
        })
    }

    /// Gives a folder the permissions of its original.
    pub(in crate::workload) async fn share_drive_folder(
        &self,
        drive: &str,
        collection: Option<&str>,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let when = self.options.restore_permissions;
        match record["shared"].is_object() && when.apply_in(drive, collection, record) {
            true => self.share_again(drive, &folder.id, record).await,
            false => Ok(Vec::new()),
        }
    }

    /// Gives a library that was made the permissions of its original.
    pub(in crate::workload) async fn share_library(
        &self,
        drive: &str,
        collection: Option<&str>,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let when = self.options.restore_permissions;
        if !when.apply_in(drive, collection, record) {
            return Ok(Vec::new());
        }
        let root = self.library_root(drive).await?;
        self.share_again(drive, &root.root, record).await
    }

    /// Gives a folder the times and the retention label of its original.
    pub(in crate::workload) async fn finish_drive_folder(
        &self,
        drive: &str,
        collection: Option<&str>,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        self.set_folder_times(drive, folder, record).await?;
        match is_labelled(record) && is_home(drive, collection, record) {
            true => self.label_again(drive, &folder.id, record).await,
            false => Ok(Vec::new()),
        }
    }

    async fn set_folder_times(
        &self,
        drive: &str,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<(), GraphError> {
        let times = &record["fileSystemInfo"];
        if !times.is_object() {
            return Ok(());
        }
        let call = Call::new(Method::PATCH, ITEM, &[drive, &folder.id])
            .json(json!({ "fileSystemInfo": {
                "createdDateTime": times["createdDateTime"],
                "lastModifiedDateTime": times["lastModifiedDateTime"],
            }}))
            .scope(Scope::Drives, MANY)
            .repeatable();
        self.client.json(&call).await.map(drop)
    }

    pub(in crate::workload) async fn make_drive_folder(
        &self,
        root: &Root,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        let Some((name, parents)) = path.split_last() else {
            return Err(PushError::Invalid(
                "the root of a drive is there already".into(),
            ));
        };
        names::check(root.service(), path).map_err(PushError::Invalid)?;
        let parent = self.folder_at(root, parents).await?;
        let body = json!({
            "name": name,
            "folder": {},
            "@microsoft.graph.conflictBehavior": "fail",
        });
        // Made twice, it fails the second time, and is found.
        let call = Call::post(CHILDREN, &[&root.drive, &parent], body)
            .scope(Scope::Drives, MANY)
            .repeatable();
        let made = match self.client.json(&call).await {
            Ok(folder) => Some(folder),
            Err(e) if e.class == ErrorClass::Conflict => self.item_at(root, path).await?,
            Err(e) => {
                self.forget(&root.drive);
                return Err(e.into());
            }
        };
        let entry = made.and_then(|item| self.live(root, item));
        match entry {
            Some(entry) if entry.is_dir => {
                self.remember((root.drive.clone(), path.join("/")), &entry.id);
                Ok(entry)
            }
            _ => Err(PushError::Exists { name: name.clone() }),
        }
    }
}
