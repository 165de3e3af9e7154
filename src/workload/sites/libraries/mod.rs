//! Document libraries: a folder for each, with files and folders as in a OneDrive.
//!
//! The root feed tells which libraries there are, and asks nothing else; each library is a drive with a
//! delta feed of its own. A library that is no longer listed counts as gone only when its drive is: lists
//! of a site were seen with holes.

mod discover;
mod live;
mod make;

use std::collections::HashMap;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

use super::LIBRARIES;
use super::collection_id;
use super::rest::{Web, address};
use crate::graph::{Call, Client, ErrorClass, GraphError, Scope};
use crate::tree::names::exact_name;
use crate::workload::drive::{Drive, DriveOptions, KeepVersions, RestorePermissions, names};
use crate::workload::mail::names::seconds;
use crate::workload::{
    Account, AccountKind, Alive, Content, Described, Detail, EntryKind, FeedError, FeedId,
    ItemError, ItemKey, Journal, Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed,
    Version, Workload,
};
use live::{Library, entry};
use make::check_below;

const DRIVES: &str = "/sites/{site}/drives";
const SITE_PERMISSIONS: &str = "/sites/{site}/permissions";
/// Without what moves with every change of a file: the record is the library's.
const SELECT: &str = "id,name,description,driveType,webUrl,createdDateTime,createdBy,sharePointIds,\
                      system";
/// Resource units of anything about permissions.
const PERMISSIONS: u64 = 5;
/// Applications with a grant of their own in a site.
const MAX_GRANTS: usize = 1_000;
/// Libraries and lists of a site collection: SharePoint takes 2,000.
const MAX_LIBRARIES: usize = 10_000;

const ROOT_FEED: &str = "libraries";
const FEED: &str = "drive:";

/// What of a site's libraries is captured.
#[derive(Clone, Debug)]
pub struct LibrariesOptions {
    /// Who shared items are shared with.
    pub permissions: bool,
    /// Retention labels of files and folders: a request for each that is new or changed.
    pub labels: bool,
    /// Libraries that SharePoint hides: Style Library, Preservation Hold Library, ...
    pub system: bool,
    /// When items are shared again.
    pub restore_permissions: RestorePermissions,
    /// The service's own older versions of files.
    pub versions: KeepVersions,
}

impl Default for LibrariesOptions {
    fn default() -> Self {
        Self {
            permissions: true,
            labels: false,
            system: false,
            restore_permissions: RestorePermissions::default(),
            versions: KeepVersions::default(),
        }
    }
}

/// The libraries of sites.
pub struct Libraries {
    client: Client,
    keyer: Keyer,
    drive: Drive,
    options: LibrariesOptions,
    known: Mutex<HashMap<String, (Instant, Vec<Library>)>>,
}

impl Libraries {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer, options: LibrariesOptions) -> Self {
        let files = DriveOptions {
            permissions: options.permissions,
            labels: options.labels,
            restore_permissions: options.restore_permissions,
            versions: options.versions,
        };
        Self {
            drive: Drive::new(client.clone(), keyer.clone(), files),
            client,
            keyer,
            options,
            known: Mutex::default(),
        }
    }

    /// Which applications were given access to this site: Graph tells nothing else of the site itself.
    async fn site_permissions(&self, site: &str) -> Result<Value, GraphError> {
        let call = Call::get(SITE_PERMISSIONS, &[site]).scope(Scope::Drives, PERMISSIONS);
        let grants = self.client.pages(call, MAX_GRANTS).await?;
        Ok(Value::Array(grants))
    }

    /// Who may do what in it; `None` where this identity can't ask.
    async fn site_roles(&self, site: &str) -> Result<Option<Value>, GraphError> {
        if self.client.sharepoint().is_err() {
            return Ok(None);
        }
        let address = address(&self.client, site).await?;
        let web = Web {
            client: &self.client,
            address: &address,
        };
        web.roles_of_site().await.map(Some)
    }
}

/// Its record is a library's, not that of a file or folder in one.
fn is_library(record: &Value) -> bool {
    record["driveType"].is_string()
}

/// The drive that a folder is in; a library itself is in none.
fn drive_of(folder: &LiveEntry) -> Option<&str> {
    folder.record["parentReference"]["driveId"].as_str()
}

fn created(record: &Value) -> i64 {
    seconds(&record["createdDateTime"]).unwrap_or_default()
}

#[async_trait]
impl Workload for Libraries {
    fn name(&self) -> &'static str {
        LIBRARIES
    }

    fn folder(&self) -> &'static str {
        "Libraries"
    }

    fn of(&self) -> AccountKind {
        AccountKind::Site
    }

    fn feeds_tell_trees(&self) -> bool {
        true
    }

    async fn probe(&self, account: &Account) -> Result<Presence, GraphError> {
        super::has(&self.client, account, DRIVES, "libraries").await
    }

    fn root_feed(&self) -> FeedId {
        FeedId(ROOT_FEED.to_owned())
    }

    async fn page(
        &self,
        account: &Account,
        feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        match feed.0.strip_prefix(FEED) {
            Some(drive) => self.drive.library_page(drive, cursor).await,
            None => self.root_page(&account.id, cursor).await,
        }
    }

    fn sweep(&self, feed: &FeedId, cursor: &str) -> Option<String> {
        match feed.0.strip_prefix(FEED) {
            Some(_) => self.drive.sweep(feed, cursor),
            None => None,
        }
    }

    fn describe(&self, kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        if is_library(record) {
            return Described {
                name: exact_name(record["name"].as_str().unwrap_or_default(), key),
                mtime: created(record),
            };
        }
        self.drive.describe(kind, key, record)
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        self.drive.needs_content(stored, told)
    }

    async fn fetch(&self, _account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        self.drive.fetch_file(record)
    }

    fn needs_details(&self, stored: Option<&Value>, record: &Value) -> bool {
        self.drive.lacks_details(stored, record)
    }

    async fn details(
        &self,
        account: &Account,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        let mut answers = self.drive.add_details(items).await?;
        let Some(first) = items.iter().position(|item| is_library(&item.record)) else {
            return Ok(answers);
        };
        let told = [
            (
                "sitePermissions",
                self.site_permissions(&account.id).await.map(Some),
            ),
            ("siteRoleAssignments", self.site_roles(&account.id).await),
        ];
        for (property, told) in told {
            let told = match told {
                Ok(None) => continue,
                Ok(Some(told)) => told,
                Err(e) if e.class.is_temporary() => return Err(e),
                Err(e) => {
                    if let Some(answer) = answers.get_mut(first).filter(|answer| answer.is_ok()) {
                        let reason = format!("{property}: {e}");
                        *answer = Err(ItemError {
                            class: e.class,
                            reason,
                        });
                    }
                    Value::Null
                }
            };
            for item in items.iter_mut().filter(|item| is_library(&item.record)) {
                item.record[property] = told.clone();
            }
        }
        Ok(answers)
    }

    fn keeps_versions(&self, first: bool) -> usize {
        self.drive.keeps_versions(first)
    }

    async fn versions(
        &self,
        _account: &Account,
        record: &Value,
        at_most: usize,
    ) -> Result<Vec<Version>, ItemError> {
        self.drive.versions_of(record, at_most).await
    }

    async fn fetch_version(
        &self,
        _account: &Account,
        record: &Value,
        version: &Version,
    ) -> Result<Content, ItemError> {
        self.drive.version_content(record, version)
    }

    async fn verify_removed(
        &self,
        _account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        let mut found: Vec<Option<Alive>> = vec![None; ids.len()];
        let mut by_drive: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, id) in ids.iter().enumerate() {
            if let Some((drive, _)) = id.split_once('/') {
                by_drive.entry(drive).or_default().push(at);
            }
        }
        for (drive, places) in by_drive {
            let root = match self.drive.library_root(drive).await {
                Ok(root) => root,
                Err(e) if e.class.is_gone() => continue,
                Err(e) => return Err(e),
            };
            let items = places.iter().filter_map(|at| ids[*at].split_once('/'));
            let items: Vec<String> = items.map(|(_, item)| item.to_owned()).collect();
            let answers = self.drive.look_up(root, &items).await?;
            for (at, answer) in places.into_iter().zip(answers) {
                found[at] = Some(answer);
            }
        }
        let found = found.into_iter();
        Ok(found.map(|alive| alive.unwrap_or(Alive::Gone)).collect())
    }

    /// A file of a OneDrive is as good as one of its own.
    fn adopt(&self, from: &str, record: &Value) -> Option<Value> {
        (from == self.drive.name()).then(|| record.clone())
    }

    fn name_for(&self, name: &str) -> String {
        names::fit(name)
    }

    async fn plan(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        match self.find_writable(account, &push.folder).await {
            Ok((root, folder)) => self.drive.plan_file(&root, folder, push).await,
            // The library is made first.
            Err(PushError::NoFolder { .. }) => {
                let path: Vec<String> = push.folder.iter().chain([&push.name]).cloned().collect();
                check_below(&path)?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    async fn plan_folder(&self, account: &Account, path: &[String]) -> Result<(), PushError> {
        match self.find_writable(account, path).await {
            Ok((_, folder)) => names::check("SharePoint", folder).map_err(PushError::Invalid),
            Err(PushError::NoFolder { .. }) => match path {
                [name] => self.check_new(account, name).await,
                path => check_below(path),
            },
            Err(e) => Err(e),
        }
    }

    fn plans_by_content(&self) -> bool {
        false
    }

    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        if path.is_empty() {
            let libraries = self.live(&account.id).await?;
            return Ok(libraries.into_iter().map(entry).collect());
        }
        match self.find(account, path).await {
            Ok((root, path)) => self.drive.list_live(&root, path).await,
            Err(PushError::Graph(e)) => Err(e),
            Err(e) => {
                let what = e.to_string();
                Err(GraphError::local(ErrorClass::NotFound, DRIVES, what))
            }
        }
    }

    async fn make_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        match path {
            [name] => self.make_library(account, name).await,
            path => {
                let (root, path) = self.find_writable(account, path).await?;
                self.drive.make_drive_folder(&root, path).await
            }
        }
    }

    async fn share_folder(
        &self,
        account: &Account,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let collection = collection_id(&account.id);
        match drive_of(folder) {
            None => {
                let library = &folder.id;
                self.drive.share_library(library, collection, record).await
            }
            Some(drive) => {
                self.drive
                    .share_drive_folder(drive, collection, folder, record)
                    .await
            }
        }
    }

    /// A library itself has no times that could be set.
    async fn finish_folder(
        &self,
        account: &Account,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let Some(drive) = drive_of(folder) else {
            return Ok(Vec::new());
        };
        let collection = collection_id(&account.id);
        self.drive
            .finish_drive_folder(drive, collection, folder, record)
            .await
    }

    async fn push(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let (root, folder) = self.find_writable(account, &push.folder).await?;
        self.drive.push_file(root, folder, push, journal).await
    }

    async fn find_pushed(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        match self.find(account, &push.folder).await {
            Ok((root, folder)) => self.drive.find_pushed_file(root, folder, push).await,
            Err(PushError::NoFolder { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }
}
