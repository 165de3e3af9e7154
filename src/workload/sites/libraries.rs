//! Document libraries: a folder for each, with files and folders as in a OneDrive.
//!
//! The root feed tells which libraries there are, and asks nothing else; each library is a drive with a
//! delta feed of its own. A library that is no longer listed counts as gone only when its drive is: lists
//! of a site were seen with holes.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::LIBRARIES;
use crate::graph::{BATCH, Call, Client, ErrorClass, GraphError, Scope};
use crate::tree::names::exact_name;
use crate::workload::drive::permissions::needs_permissions;
use crate::workload::drive::target::Root;
use crate::workload::drive::{Drive, DriveOptions, KeepVersions, RestorePermissions, names};
use crate::workload::mail::names::seconds;
use crate::workload::sites::MANY;
use crate::workload::{
    Account, AccountKind, Alive, Change, Content, Cursor, Described, Detail, EntryKind, FeedError,
    FeedId, ItemError, ItemKey, Journal, Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed,
    Version, Workload,
};

const DRIVES: &str = "/sites/{site}/drives";
const DRIVE: &str = "/drives/{drive}";
const LISTS: &str = "/sites/{site}/lists";
const SITE_PERMISSIONS: &str = "/sites/{site}/permissions";
const LIST_DRIVE: &str = "/sites/{site}/lists/{list}/drive";
/// Without what moves with every change of a file: the record is the library's.
const SELECT: &str = "id,name,description,driveType,webUrl,createdDateTime,createdBy,sharePointIds,\
                      system";
/// Resource units of anything about permissions.
const PERMISSIONS: u64 = 5;
/// Applications with a grant of their own in a site.
const MAX_GRANTS: usize = 1_000;
/// Libraries and lists of a site collection: SharePoint takes 2,000.
const MAX_LIBRARIES: usize = 10_000;
/// How long the libraries of a site are believed without asking.
const FRESH: Duration = Duration::from_secs(60);

const ROOT_FEED: &str = "libraries";
const FEED: &str = "drive:";

/// What of a site's libraries is captured.
#[derive(Clone, Debug)]
pub struct LibrariesOptions {
    /// Who shared items are shared with.
    pub permissions: bool,
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

/// A live library.
#[derive(Clone, Debug)]
struct Library {
    /// As the mount names it.
    name: String,
    drive: String,
    record: Value,
}

/// Which libraries were there.
#[derive(Debug, Default, Serialize, Deserialize)]
struct RootCursor {
    drives: BTreeSet<String>,
}

impl Libraries {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer, options: LibrariesOptions) -> Self {
        let files = DriveOptions {
            permissions: options.permissions,
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

    /// The libraries that are captured.
    async fn all(&self, site: &str) -> Result<Vec<Value>, GraphError> {
        let call = Call::get(DRIVES, &[site])
            .query("$select", SELECT)
            .scope(Scope::Drives, MANY);
        let mut drives = self.client.pages(call, MAX_LIBRARIES).await?;
        drives.retain(|drive| drive["id"].is_string() && self.is_captured(drive));
        Ok(drives)
    }

    fn is_captured(&self, drive: &Value) -> bool {
        match kind(drive) {
            Kind::Ordinary => true,
            Kind::Hidden | Kind::Preservation => self.options.system,
            Kind::Pages => false,
        }
    }

    async fn root_page(&self, site: &str, cursor: Option<&str>) -> Result<Page, FeedError> {
        let before: RootCursor = cursor
            .and_then(|cursor| serde_json::from_str(cursor).ok())
            .unwrap_or_default();
        let drives = match self.all(site).await {
            Ok(drives) => drives,
            Err(e) if e.class.is_gone() => {
                return Err(FeedError::Gone);
            }
            Err(e) => return Err(e.into()),
        };
        let mut now = RootCursor::default();
        let mut changes = Vec::new();
        for record in drives {
            let id = record["id"].as_str().unwrap_or_default().to_owned();
            now.drives.insert(id.clone());
            changes.push(folder(id, record));
        }
        let missing: Vec<String> = before.drives.difference(&now.drives).cloned().collect();
        for ids in missing.chunks(BATCH) {
            let calls: Vec<Call> = ids.iter().map(|id| drive_call(id)).collect();
            let answers = self.client.batch(Scope::Drives, &calls).await?;
            for (id, answer) in ids.iter().zip(answers) {
                match answer {
                    // Hidden meanwhile, or left out by mistake.
                    Ok(part) if self.is_captured(&part.body) => {
                        now.drives.insert(id.clone());
                    }
                    Err(e) if !e.class.is_gone() => {
                        now.drives.insert(id.clone());
                    }
                    _ => changes.push(Change::Removed {
                        id: id.clone(),
                        parent: None,
                        verify: false,
                    }),
                }
            }
        }
        let cursor = serde_json::to_string(&now).unwrap_or_default();
        Ok(Page {
            changes,
            cursor: Cursor::Done(cursor),
            full: false,
        })
    }

    /// The live libraries of a site, those too that are not captured.
    async fn live(&self, site: &str) -> Result<Vec<Library>, GraphError> {
        if let Some((at, known)) = self.known.lock().get(site)
            && at.elapsed() < FRESH
        {
            return Ok(known.clone());
        }
        let libraries: Vec<Library> = self
            .all(site)
            .await?
            .into_iter()
            .filter_map(|record| self.library(record))
            .collect();
        let mut known = self.known.lock();
        known.retain(|_, (at, _)| at.elapsed() < FRESH);
        known.insert(site.to_owned(), (Instant::now(), libraries.clone()));
        Ok(libraries)
    }

    fn library(&self, record: Value) -> Option<Library> {
        let drive = record["id"].as_str()?.to_owned();
        let name = record["name"].as_str().unwrap_or_default();
        Some(Library {
            name: exact_name(name, &(self.keyer)(&drive)),
            drive,
            record,
        })
    }

    /// The drive of the library that a path begins with, and the rest of the path.
    async fn find<'a>(
        &self,
        account: &Account,
        path: &'a [String],
    ) -> Result<(Root, &'a [String]), PushError> {
        let Some((name, rest)) = path.split_first() else {
            let what = "a file goes into a library, as in Libraries/Documents/".to_owned();
            return Err(PushError::Invalid(what));
        };
        let libraries = self.live(&account.id).await?;
        let lower = name.to_lowercase();
        let Some(library) = libraries.iter().find(|l| l.name.to_lowercase() == lower) else {
            return Err(PushError::NoFolder { path: name.clone() });
        };
        let root = self.drive.library_root(&library.drive).await;
        if root.is_err() {
            self.known.lock().remove(&account.id);
        }
        let site = collection_id(account);
        Ok((Root { site, ..root? }, rest))
    }

    /// The same for what is to be written.
    async fn find_writable<'a>(
        &self,
        account: &Account,
        path: &'a [String],
    ) -> Result<(Root, &'a [String]), PushError> {
        let libraries = self.live(&account.id).await?;
        let held = libraries
            .iter()
            .any(|l| Some(&l.name) == path.first() && kind(&l.record) == Kind::Preservation);
        match held {
            true => Err(PushError::Invalid(
                "SharePoint keeps the Preservation Hold Library by itself: restore to another one"
                    .into(),
            )),
            false => self.find(account, path).await,
        }
    }

    /// Which applications were given access to this site: Graph tells nothing else of the site itself.
    async fn site_permissions(&self, site: &str) -> Result<Value, GraphError> {
        let call = Call::get(SITE_PERMISSIONS, &[site]).scope(Scope::Drives, PERMISSIONS);
        let grants = self.client.pages(call, MAX_GRANTS).await?;
        Ok(Value::Array(grants))
    }

    async fn make_library(&self, account: &Account, name: &str) -> Result<LiveEntry, PushError> {
        names::check("SharePoint", &[name.to_owned()]).map_err(PushError::Invalid)?;
        let body = json!({ "displayName": name, "list": { "template": "documentLibrary" } });
        // Made twice, it fails the second time, and is found.
        let call = Call::post(LISTS, &[&account.id], body)
            .scope(Scope::Drives, MANY)
            .repeatable();
        let made = match self.client.json(&call).await {
            Ok(list) => {
                let list = list["id"].as_str().unwrap_or_default();
                let call = Call::get(LIST_DRIVE, &[&account.id, list])
                    .query("$select", SELECT)
                    .scope(Scope::Drives, 1)
                    .patient_404(5);
                self.library(self.client.json(&call).await?)
            }
            Err(e) if e.class == ErrorClass::Conflict => None,
            Err(e) => return Err(e.into()),
        };
        self.known.lock().remove(&account.id);
        let made = match made {
            Some(library) => Some(library),
            None => {
                let all = self.live(&account.id).await?;
                all.into_iter().find(|library| library.name == name)
            }
        };
        match made {
            Some(library) => Ok(entry(library)),
            None => Err(taken(name)),
        }
    }

    /// What a library of this name would be refused for.
    async fn check_new(&self, account: &Account, name: &str) -> Result<(), PushError> {
        names::check("SharePoint", &[name.to_owned()]).map_err(PushError::Invalid)?;
        let call = Call::get(LISTS, &[&account.id])
            .query("$select", "id,displayName")
            .scope(Scope::Drives, MANY);
        let lists = self.client.pages(call, MAX_LIBRARIES).await?;
        let lower = name.to_lowercase();
        let called = |list: &Value| {
            let title = list["displayName"].as_str().unwrap_or_default();
            title.to_lowercase() == lower
        };
        match lists.iter().any(called) {
            true => Err(taken(name)),
            false => Ok(()),
        }
    }
}

/// What a path in a library that is not there yet would be refused for, but for the library itself.
fn check_below(path: &[String]) -> Result<(), PushError> {
    let below = path.get(1..).unwrap_or_default();
    names::check("SharePoint", below).map_err(PushError::Invalid)
}

fn taken(name: &str) -> PushError {
    PushError::Invalid(format!(
        "a list of this site is called {name}: a library needs another name"
    ))
}

/// Kinds of drives that a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ordinary,
    /// SharePoint shows it to nobody.
    Hidden,
    /// What retention keeps. Nothing can be put into it.
    Preservation,
    /// Site Pages: not files, but pages.
    Pages,
}

fn kind(drive: &Value) -> Kind {
    let url = drive["webUrl"].as_str().unwrap_or_default();
    let segment = url.trim_end_matches('/').rsplit('/').next();
    match segment.unwrap_or_default() {
        "SitePages" => Kind::Pages,
        "PreservationHoldLibrary" => Kind::Preservation,
        _ if drive["system"].is_object() => Kind::Hidden,
        _ => Kind::Ordinary,
    }
}

/// Its record is a library's, not that of a file or folder in one.
fn is_library(record: &Value) -> bool {
    record["driveType"].is_string()
}

/// The site collection of a site, from its id: `host,collection,web`.
fn collection_id(site: &Account) -> Option<String> {
    site.id.split(',').nth(1).map(str::to_owned)
}

fn drive_call(id: &str) -> Call {
    Call::get(DRIVE, &[id])
        .query("$select", SELECT)
        .scope(Scope::Drives, 1)
}

fn folder(id: String, record: Value) -> Change {
    Change::Folder {
        feed: Some(FeedId(format!("{FEED}{id}"))),
        id,
        parent: None,
        record,
    }
}

fn created(record: &Value) -> i64 {
    seconds(&record["createdDateTime"]).unwrap_or_default()
}

fn entry(library: Library) -> LiveEntry {
    LiveEntry {
        mtime: created(&library.record),
        id: library.drive,
        name: library.name,
        is_dir: true,
        size: 0,
        record: library.record,
    }
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
        self.options.permissions && needs_permissions(stored, record)
    }

    async fn details(
        &self,
        account: &Account,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        let mut answers = self.drive.add_permissions(items).await?;
        let Some(first) = items.iter().position(|item| is_library(&item.record)) else {
            return Ok(answers);
        };
        let grants = match self.site_permissions(&account.id).await {
            Ok(grants) => grants,
            Err(e) if e.class.is_temporary() => return Err(e),
            Err(e) => {
                if let Some(answer) = answers.get_mut(first).filter(|answer| answer.is_ok()) {
                    *answer = Err(ItemError {
                        class: e.class,
                        reason: format!("permissions of applications in the site: {e}"),
                    });
                }
                Value::Null
            }
        };
        for item in items.iter_mut().filter(|item| is_library(&item.record)) {
            item.record["sitePermissions"] = grants.clone();
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

    async fn finish_folder(
        &self,
        account: &Account,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let collection = collection_id(account);
        let collection = collection.as_deref();
        // A library itself is in no drive, and has no times that could be set.
        match folder.record["parentReference"]["driveId"].as_str() {
            None => {
                let library = &folder.id;
                self.drive.finish_library(library, collection, record).await
            }
            Some(drive) => {
                self.drive
                    .finish_drive_folder(drive, collection, folder, record)
                    .await
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_apart_by_their_address() {
        let drive = |segment: &str| json!({ "webUrl": format!("https://c.sharepoint.com/sites/x/{segment}") });
        assert_eq!(kind(&drive("Shared%20Documents")), Kind::Ordinary);
        assert_eq!(kind(&drive("SitePages")), Kind::Pages);
        assert_eq!(kind(&drive("PreservationHoldLibrary")), Kind::Preservation);
        let mut style = drive("Style%20Library");
        style["system"] = json!({});
        assert_eq!(kind(&style), Kind::Hidden);
        assert_eq!(kind(&json!({})), Kind::Ordinary);
    }
}
