//! The delta feed of a drive, and the content of its files.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::permissions::CHANGED;
use super::target::Root;
use super::{Drive, MANY, ONE, is_rewritten, special};
use crate::graph::{BATCH, Call, Download, ErrorClass, GraphError, Onward, Scope, hash_of};
use crate::workload::mail::cursor;
use crate::workload::{
    Account, Alive, Change, Content, Cursor, FeedError, ID, ItemError, Page, Presence, Workload,
};

const DELTA: &str = "/drives/{drive}/root/delta";
const ITEM: &str = "/drives/{drive}/items/{item}";
const CONTENT: &str = "/drives/{drive}/items/{item}/content";

/// Sharing is told where it begins, changes of it are told at all, and what hides behind folders
/// that this application may not read is told too.
const PREFER: &str = "deltashowremovedasdeleted,deltatraversepermissiongaps,\
                      deltashowsharingchanges,hierarchicalsharing";

/// Where a drive's feed is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct DriveCursor {
    drive: String,
    /// Id of the drive's root: what lies in it lies in the collection's root, or the library's folder.
    root: String,
    link: Option<String>,
    #[serde(default)]
    full: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    library: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl DriveCursor {
    /// Where the history of a drive begins: with all of it.
    fn start(root: Root) -> Self {
        Self {
            drive: root.drive,
            root: root.root,
            library: root.library,
            link: None,
            full: true,
        }
    }

    fn root(&self) -> Root {
        Root {
            drive: self.drive.clone(),
            root: self.root.clone(),
            library: self.library,
            site: None,
        }
    }
}

/// Begins anew where a round is done.
pub(super) fn anew(cursor: &str) -> Option<String> {
    let at: DriveCursor = serde_json::from_str(cursor).ok()?;
    at.link.as_ref()?;
    Some(cursor::write(&DriveCursor {
        link: None,
        full: true,
        ..at
    }))
}

impl Drive {
    /// The next page of a user's drive.
    pub(super) async fn own_page(
        &self,
        account: &Account,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let at = match read(cursor)? {
            Some(at) => at,
            None => DriveCursor::start(self.root(account).await?),
        };
        let e = match self.delta_page(at.clone()).await {
            Err(FeedError::Gone) => match self.probe(account).await {
                // The drive is not there: is there none any more, or another one?
                Ok(Presence::Absent { .. }) => FeedError::Gone,
                Ok(Presence::Present) => match self.root(account).await {
                    Ok(root) if root.drive != at.drive => FeedError::Reset { start: None },
                    Ok(_) => {
                        let what = "the drive is there, and its history is not";
                        GraphError::local(ErrorClass::Transient, DELTA, what).into()
                    }
                    Err(e) => FeedError::Failed(e),
                },
                Err(e) => FeedError::Failed(e),
            },
            outcome => return outcome,
        };
        Err(e)
    }

    /// The next page of a library's drive.
    pub(in crate::workload) async fn library_page(
        &self,
        drive: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let at = match read(cursor)? {
            Some(at) => at,
            None => match self.library_root(drive).await {
                Ok(root) => DriveCursor::start(root),
                Err(e) if e.class.is_gone() => return Err(FeedError::Gone),
                Err(e) => return Err(e.into()),
            },
        };
        self.delta_page(at).await
    }

    async fn delta_page(&self, mut at: DriveCursor) -> Result<Page, FeedError> {
        let call = match &at.link {
            Some(link) => Call::link(DELTA, link).scope(Scope::Drives, ONE),
            None => Call::get(DELTA, &[&at.drive])
                .query("$top", "500")
                .scope(Scope::Drives, MANY),
        };
        // Unchanged parents of what changed are known: their ids are stored.
        let call = call.prefer(PREFER).header("deltaexcludeparent", "true");
        let page = match self.client.page(&call).await {
            Ok(page) => page,
            Err(e) => return Err(self.feed_error(&at, e)),
        };
        let onward = page.onward(DELTA)?;
        let mut changes: Vec<Change> = page
            .value
            .into_iter()
            .filter_map(|item| change(&at, item))
            .collect();
        changes.extend(special::notes(&changes, at.full));
        let full = at.full;
        let cursor = match onward {
            Onward::More(link) => {
                at.link = Some(link);
                Cursor::More(cursor::write(&at))
            }
            Onward::Done(link) => {
                (at.link, at.full) = (Some(link), false);
                Cursor::Done(cursor::write(&at))
            }
        };
        Ok(Page {
            changes,
            cursor,
            full,
        })
    }

    fn feed_error(&self, at: &DriveCursor, e: GraphError) -> FeedError {
        if e.class.is_gone() {
            return FeedError::Gone;
        }
        if e.class != ErrorClass::Reset {
            return FeedError::Failed(e);
        }
        // The service says where a full enumeration begins.
        let fresh = e
            .location
            .as_ref()
            .filter(|link| self.client.is_own_link(link));
        let start = fresh.map(|link| {
            cursor::write(&DriveCursor {
                link: Some(link.clone()),
                full: true,
                ..at.clone()
            })
        });
        FeedError::Reset { start }
    }

    /// The bytes of a file. Nothing is requested before the stream is read.
    pub(in crate::workload) fn fetch_file(&self, record: &mut Value) -> Result<Content, ItemError> {
        let item = record["id"].as_str().unwrap_or_default();
        let drive = record["parentReference"]["driveId"]
            .as_str()
            .unwrap_or_default();
        if record["remoteItem"].is_object() || !record["file"].is_object() {
            return Ok(Content::None);
        }
        if item.is_empty() || drive.is_empty() {
            let reason = "the record does not say where the file is".to_owned();
            return Err(ItemError {
                class: ErrorClass::Ours,
                reason,
            });
        }
        if let Some(infected) = special::infected(record) {
            return Err(infected);
        }
        let content = Call::get(CONTENT, &[drive, item]).scope(Scope::Drives, ONE);
        let again = Call::get(ITEM, &[drive, item])
            .query("$select", "id,size,file,eTag")
            .scope(Scope::Drives, ONE);
        let name = record["name"].as_str().unwrap_or_default();
        let stream = self.client.download(Download {
            content,
            item: again,
            size: record["size"].as_u64(),
            hash: hash_of(record).map(str::to_owned),
            tolerant: is_rewritten(name),
        });
        Ok(Content::Stream(special::only_this_item(record, stream)))
    }

    /// Asks for items by Graph's id, in batches.
    pub(in crate::workload) async fn look_up(
        &self,
        root: Root,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        let at = DriveCursor::start(root);
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(BATCH) {
            let calls: Vec<Call> = ids
                .iter()
                .map(|id| Call::get(ITEM, &[&at.drive, id]).scope(Scope::Drives, ONE))
                .collect();
            for answer in self.client.batch(Scope::Drives, &calls).await? {
                found.push(match answer {
                    Ok(part) => match change(&at, part.body) {
                        Some(
                            Change::Item { parent, record, .. }
                            | Change::Folder { parent, record, .. },
                        ) => Alive::Here { parent, record },
                        _ => Alive::Gone,
                    },
                    Err(e) if e.class.is_gone() => Alive::Gone,
                    Err(e) => Alive::Unknown(e.into()),
                });
            }
        }
        Ok(found)
    }
}

/// What an entry of a delta page tells. Order does not matter: nothing here looks at other entries.
fn change(at: &DriveCursor, mut record: Value) -> Option<Change> {
    let root = at.root();
    let item = record["id"].as_str()?.to_owned();
    let id = root.id_of(&item);
    let parent = record["parentReference"]["id"].as_str();
    let parent = match parent.filter(|p| *p != at.root) {
        Some(parent) => Some(root.id_of(parent)),
        // What lies in the root of a library lies in the library's own folder.
        None => at.library.then(|| at.drive.clone()),
    };
    if record["deleted"].is_object() {
        return Some(Change::Removed {
            id,
            parent,
            verify: false,
        });
    }
    if record["root"].is_object() || item == at.root {
        return root_shared_differently(at, &record);
    }
    if record["parentReference"]["driveId"]
        .as_str()
        .is_none_or(str::is_empty)
    {
        record["parentReference"]["driveId"] = json!(at.drive);
    }
    if at.library {
        record[ID] = json!(id);
    }
    if let Some(record) = record.as_object_mut() {
        // Pre-authenticated: secret, short-lived, and never the same twice.
        record.retain(|name, _| !name.ends_with(".downloadUrl"));
        // Items are told whole. What is not told any more must not survive in the stored record.
        for facet in ["shared", "malware", "pendingOperations"] {
            record.entry(facet).or_insert(Value::Null);
        }
        if !record["shared"].is_object() {
            record.insert("permissions".to_owned(), Value::Null);
            record.remove(CHANGED);
        }
    }
    let container = record["folder"].is_object() || record["package"].is_object();
    if container && !record["remoteItem"].is_object() {
        return Some(Change::Folder {
            id,
            parent,
            record,
            feed: None,
        });
    }
    Some(Change::Item { id, parent, record })
}

/// The root of a library is its folder, of which another feed tells all else.
fn root_shared_differently(at: &DriveCursor, record: &Value) -> Option<Change> {
    let changed = &record[CHANGED];
    (at.library && !at.full && !changed.is_null()).then(|| Change::Folder {
        id: at.drive.clone(),
        parent: None,
        record: json!({ CHANGED: changed }),
        feed: None,
    })
}

fn read(cursor: Option<&str>) -> Result<Option<DriveCursor>, FeedError> {
    let at = cursor.map(serde_json::from_str).transpose();
    at.map_err(|_| FeedError::Reset { start: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DriveCursor {
        DriveCursor {
            drive: "b!d".into(),
            root: "R".into(),
            link: None,
            full: false,
            library: false,
        }
    }

    fn told(value: Value) -> Option<Change> {
        change(&at(), value)
    }

    #[test]
    fn every_kind_of_entry() {
        assert!(told(json!({ "id": "R", "root": {}, "folder": {} })).is_none());
        assert!(told(json!({ "name": "no id" })).is_none());
        let folder =
            json!({ "id": "F", "name": "a", "folder": {}, "parentReference": { "id": "R" } });
        assert!(matches!(
            told(folder),
            Some(Change::Folder { parent: None, .. })
        ));
        let notebook = json!({ "id": "N", "package": { "type": "oneNote" }, "parentReference": { "id": "F" } });
        assert!(matches!(told(notebook), Some(Change::Folder { parent: Some(p), .. }) if p == "F"));
        let shortcut = json!({ "id": "S", "folder": {}, "remoteItem": { "id": "x" } });
        assert!(matches!(told(shortcut), Some(Change::Item { .. })));
        let gone = json!({ "id": "G", "file": {}, "deleted": { "state": "deleted" } });
        assert!(matches!(
            told(gone),
            Some(Change::Removed { verify: false, .. })
        ));
    }

    #[test]
    fn items_of_a_library_are_known_by_their_drive() {
        let library = DriveCursor {
            library: true,
            ..at()
        };
        let file = json!({ "id": "I", "file": {}, "parentReference": { "id": "R" } });
        let Some(Change::Item { id, parent, record }) = change(&library, file) else {
            panic!()
        };
        assert_eq!((id.as_str(), parent.as_deref()), ("b!d/I", Some("b!d")));
        assert_eq!(record["id"], "I");
        assert_eq!(crate::workload::id_in(&record), Some("b!d/I"));
        let deeper = json!({ "id": "I", "deleted": {}, "parentReference": { "id": "F" } });
        let told = change(&library, deeper);
        assert!(
            matches!(told, Some(Change::Removed { id, parent: Some(p), .. }) if id == "b!d/I" && p == "b!d/F")
        );
        assert!(change(&library, json!({ "id": "R", "root": {}, "folder": {} })).is_none());
    }

    #[test]
    fn only_other_permissions_of_a_root_are_told() {
        let library = DriveCursor {
            library: true,
            ..at()
        };
        let root = json!({ "id": "R", "root": {}, "folder": {}, CHANGED: "True" });
        let Some(Change::Folder { id, record, .. }) = change(&library, root.clone()) else {
            panic!()
        };
        assert_eq!((id.as_str(), &record[CHANGED]), ("b!d", &json!("True")));
        let anew = DriveCursor {
            full: true,
            ..library
        };
        assert!(change(&anew, root.clone()).is_none());
        assert!(told(root).is_none());
    }

    #[test]
    fn no_download_url_is_kept_and_no_stale_facet_survives() {
        let item = json!({ "id": "I", "file": {}, "@microsoft.graph.downloadUrl": "https://secret",
                           "parentReference": { "id": "R", "driveId": "b!d" } });
        let Some(Change::Item { record, .. }) = told(item) else {
            panic!()
        };
        assert!(!record.to_string().contains("secret"));
        let mut stored = json!({ "id": "I", "shared": { "scope": "users" }, "permissions": [1] });
        crate::workload::merge(&mut stored, &record);
        assert!(stored["shared"].is_null() && stored["permissions"].is_null());
    }
}
