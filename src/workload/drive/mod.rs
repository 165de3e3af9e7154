//! OneDrive: every file and folder of a user's drive, with exact names, and who it is shared with.
//!
//! One delta feed per drive. Items are known by id: a renamed or moved folder is one change, however
//! much is below it. Content is asked for only when hash or size differ. Permissions cost five
//! units a piece, so they are asked last, and only of items that delta says are shared themselves.
//!
//! The libraries of a site ([`super::sites`]) are drives, too, and go through what is here: a
//! [`target::Root`] says which drive is meant.

mod capture;
mod labels;
pub(super) mod names;
mod original;
pub(super) mod permissions;
mod restore;
mod sharing;
mod special;
pub(super) mod target;
mod versions;
mod wanted;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Account, Alive, Content, Described, Detail, EntryKind, FeedError, FeedId, ItemError, ItemKey,
    Journal, Keyer, LiveEntry, Page, Presence, Push, PushError, Pushed, Version, Workload,
};
use crate::graph::{Call, Client, GraphError, Scope, hash_of};
use crate::tree::names::exact_name;
use crate::workload::mail::names::seconds;
pub use versions::KeepVersions;

pub use sharing::RestorePermissions;

/// What of a drive is captured, and restored.
#[derive(Clone, Debug)]
pub struct DriveOptions {
    /// Who shared items are shared with.
    pub permissions: bool,
    /// Retention labels of files and folders: a request for each that is new or changed.
    pub labels: bool,
    /// When they are shared again.
    pub restore_permissions: RestorePermissions,
    /// The service's own older versions of files.
    pub versions: KeepVersions,
}

impl Default for DriveOptions {
    fn default() -> Self {
        Self {
            permissions: true,
            labels: false,
            restore_permissions: RestorePermissions::default(),
            versions: KeepVersions::default(),
        }
    }
}

/// The OneDrive workload.
pub struct Drive {
    client: Client,
    keyer: Keyer,
    options: DriveOptions,
    targets: target::Targets,
}

impl Drive {
    /// For capture give it the client of the backup identity, for restore that of the restore
    /// identity.
    pub fn new(client: Client, keyer: Keyer, options: DriveOptions) -> Self {
        Self {
            client,
            keyer,
            options,
            targets: target::Targets::default(),
        }
    }

    /// Whether something of an item is to be asked for last.
    pub(super) fn lacks_details(&self, stored: Option<&Value>, record: &Value) -> bool {
        (self.options.permissions && permissions::needs_permissions(stored, record))
            || (self.options.labels && labels::needs_label(stored, record))
    }

    /// Asks for that.
    pub(super) async fn add_details(
        &self,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        let mut answers = match self.options.permissions {
            true => self.add_permissions(items).await?,
            false => items.iter().map(|_| Ok(())).collect(),
        };
        if self.options.labels {
            self.add_labels(items, &mut answers).await?;
        }
        Ok(answers)
    }
}

/// Resource units (SharePoint): one item, a delta page with a token, a download.
const ONE: u64 = 1;
/// Resource units: a listing, a delta page without a token, any write.
const MANY: u64 = 2;
/// Resource units: anything about permissions.
const PERMISSIONS: u64 = 5;

const FEED: &str = "root";

#[async_trait]
impl Workload for Drive {
    fn name(&self) -> &'static str {
        "drive"
    }

    fn folder(&self) -> &'static str {
        "OneDrive"
    }

    async fn probe(&self, account: &Account) -> Result<Presence, GraphError> {
        let absent = |reason: &str| {
            Ok(Presence::Absent {
                reason: reason.to_owned(),
            })
        };
        if account.guest {
            return absent("a guest has no OneDrive");
        }
        let call = Call::get("/users/{user}/drive", &[&account.id])
            .query("$select", "id,driveType")
            .scope(Scope::Drives, ONE);
        match self.client.json(&call).await {
            Ok(_) => Ok(Presence::Present),
            Err(e) if e.class.is_gone() => absent("no OneDrive"),
            // With a good token, this is how a drive answers that nobody ever opened.
            Err(e) if e.status == Some(401) && !e.is_code("InvalidAuthenticationToken") => {
                absent("OneDrive was never opened, or there is no licence for it")
            }
            Err(e) => Err(e),
        }
    }

    fn root_feed(&self) -> FeedId {
        FeedId(FEED.to_owned())
    }

    async fn page(
        &self,
        account: &Account,
        _feed: &FeedId,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        self.own_page(account, cursor).await
    }

    fn sweep(&self, _feed: &FeedId, cursor: &str) -> Option<String> {
        capture::anew(cursor)
    }

    fn describe(&self, _kind: EntryKind, key: &ItemKey, record: &Value) -> Described {
        Described {
            name: exact_name(record["name"].as_str().unwrap_or_default(), key),
            mtime: modified(record).unwrap_or_default(),
        }
    }

    fn needs_content(&self, stored: &Value, told: &Value) -> bool {
        needs_content(stored, told)
    }

    async fn fetch(&self, _account: &Account, record: &mut Value) -> Result<Content, ItemError> {
        self.fetch_file(record)
    }

    fn needs_details(&self, stored: Option<&Value>, record: &Value) -> bool {
        self.lacks_details(stored, record)
    }

    async fn details(
        &self,
        _account: &Account,
        items: &mut [Detail],
    ) -> Result<Vec<Result<(), ItemError>>, GraphError> {
        self.add_details(items).await
    }

    fn keeps_versions(&self, first: bool) -> usize {
        self.options.versions.wanted(first)
    }

    async fn versions(
        &self,
        _account: &Account,
        record: &Value,
        at_most: usize,
    ) -> Result<Vec<Version>, ItemError> {
        self.versions_of(record, at_most).await
    }

    async fn fetch_version(
        &self,
        _account: &Account,
        record: &Value,
        version: &Version,
    ) -> Result<Content, ItemError> {
        self.version_content(record, version)
    }

    async fn verify_removed(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.look_up(self.root(account).await?, ids).await
    }

    /// A file of a library is as good as one of its own.
    fn adopt(&self, from: &str, record: &Value) -> Option<Value> {
        (from == super::sites::LIBRARIES).then(|| record.clone())
    }

    async fn plan(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        let root = self.root(account).await?;
        self.plan_file(&root, &push.folder, push).await
    }

    fn name_for(&self, name: &str) -> String {
        names::fit(name)
    }

    fn plans_by_content(&self) -> bool {
        false
    }

    async fn list(&self, account: &Account, path: &[String]) -> Result<Vec<LiveEntry>, GraphError> {
        self.list_live(&self.root(account).await?, path).await
    }

    async fn make_folder(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        self.make_drive_folder(&self.root(account).await?, path)
            .await
    }

    async fn share_folder(
        &self,
        account: &Account,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let root = self.root(account).await?;
        self.share_drive_folder(&root.drive, None, folder, record)
            .await
    }

    async fn finish_folder(
        &self,
        account: &Account,
        folder: &LiveEntry,
        record: &Value,
    ) -> Result<Vec<String>, GraphError> {
        let root = self.root(account).await?;
        self.finish_drive_folder(&root.drive, None, folder, record)
            .await
    }

    async fn push(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let root = self.root(account).await?;
        self.push_file(root, &push.folder, push, journal).await
    }

    async fn find_pushed(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let root = self.root(account).await?;
        self.find_pushed_file(root, &push.folder, push).await
    }
}

/// When the client that wrote it says it was modified, else when the service says so. Unix seconds.
fn modified(record: &Value) -> Option<i64> {
    seconds(&record["fileSystemInfo"]["lastModifiedDateTime"])
        .or_else(|| seconds(&record["lastModifiedDateTime"]))
}

/// Delta has no `cTag`, and `eTag` changes with anything: hash and size decide. What has no hash
/// (OneNote, very new files) is judged by size and time.
fn needs_content(stored: &Value, told: &Value) -> bool {
    if !told["file"].is_object() {
        return false;
    }
    if stored["size"] != told["size"] {
        return true;
    }
    match (hash_of(stored), hash_of(told)) {
        (Some(old), Some(new)) => old != new,
        (None, None) => modified(stored) != modified(told),
        _ => true,
    }
}

/// Office documents and pages: SharePoint writes into them, so hash and size that it tells may not
/// be those of the bytes.
fn is_rewritten(name: &str) -> bool {
    const KINDS: [&str; 19] = [
        "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xltx", "xltm", "xlsb", "pptx", "pptm",
        "potx", "ppsx", "vsdx", "html", "htm", "aspx", "one", "onetoc2",
    ];
    let kind = name
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    KINDS.contains(&kind.as_str()) || kind == "heic"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_other_bytes_need_content() {
        let file = |hash: Option<&str>, size: u64, time: &str, tag: &str| {
            let hashes = hash
                .map(|h| json!({ "quickXorHash": h }))
                .unwrap_or_default();
            json!({ "file": { "hashes": hashes }, "size": size, "eTag": tag,
                    "fileSystemInfo": { "lastModifiedDateTime": time } })
        };
        let (t1, t2) = ("2026-03-01T09:00:05Z", "2026-03-02T09:00:05Z");
        let old = file(Some("a"), 5, t1, "1");
        assert!(!needs_content(&old, &file(Some("a"), 5, t2, "2")));
        assert!(needs_content(&old, &file(Some("b"), 5, t1, "2")));
        assert!(needs_content(&old, &file(Some("a"), 6, t1, "2")));
        assert!(needs_content(&old, &file(None, 5, t1, "2")));
        let bare = file(None, 5, t1, "1");
        assert!(!needs_content(&bare, &file(None, 5, t1, "2")));
        assert!(needs_content(&bare, &file(None, 5, t2, "2")));
        assert!(!needs_content(
            &json!({}),
            &json!({ "remoteItem": {}, "size": 1 })
        ));
    }

    #[test]
    fn the_clients_own_time_counts() {
        let record = json!({ "lastModifiedDateTime": "2026-03-02T00:00:00Z",
            "fileSystemInfo": { "lastModifiedDateTime": "2026-03-01T09:00:05Z" } });
        assert_eq!(modified(&record), Some(1_772_355_605));
        assert_eq!(modified(&json!({})), None);
    }
}
