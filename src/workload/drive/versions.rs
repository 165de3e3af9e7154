//! The older versions of a file that the service keeps.
//!
//! The list names the current one first: that is the file itself, and the service gives its content as
//! such only. Graph tells no hash of a version, so its length is what a download is held against.

use serde_json::Value;

use super::{Drive, MANY, ONE, is_rewritten};
use crate::graph::{Call, Download, ErrorClass, GraphError, Scope};
use crate::workload::mail::names::seconds;
use crate::workload::{Content, ItemError, Version};

const LIST: &str = "/drives/{drive}/items/{item}/versions";
const VERSION: &str = "/drives/{drive}/items/{item}/versions/{version}";
const CONTENT: &str = "/drives/{drive}/items/{item}/versions/{version}/content";

/// Longest id of a version that is believed; Graph's are as `512.0`.
const MAX_ID: usize = 64;
/// Pages of a list that are asked for: more versions than a library can keep.
const MAX_PAGES: usize = 1000;

/// Of how many older versions the content is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepVersions {
    /// Of each file, when it changes. 0: the service's versions are not captured.
    pub keep: usize,
    /// Also of files that are captured for the first time: a request more for each.
    pub of_new_files: bool,
}

impl KeepVersions {
    pub(super) fn wanted(self, first: bool) -> usize {
        match first && !self.of_new_files {
            true => 0,
            false => self.keep,
        }
    }
}

impl Drive {
    /// The older versions of a file, newest first.
    pub(in crate::workload) async fn versions_of(
        &self,
        record: &Value,
        at_most: usize,
    ) -> Result<Vec<Version>, ItemError> {
        let Some((drive, item)) = place(record) else {
            return Ok(Vec::new());
        };
        let mut call = Call::get(LIST, &[drive, item]).scope(Scope::Drives, MANY);
        let mut found = Vec::new();
        let mut current = true;
        for _ in 0..MAX_PAGES {
            let page = self.client.page(&call).await?;
            for record in page.value {
                if !std::mem::take(&mut current) {
                    found.extend(version(record));
                }
            }
            found.truncate(at_most);
            match page.next {
                Some(next) if found.len() < at_most => {
                    call = Call::link(LIST, &next).scope(Scope::Drives, MANY);
                }
                _ => return Ok(found),
            }
        }
        let what = "the pages of a file's versions never end";
        Err(GraphError::local(ErrorClass::Ours, LIST, what).into())
    }

    /// The bytes of an older version. Nothing is requested before the stream is read.
    pub(in crate::workload) fn version_content(
        &self,
        record: &Value,
        version: &Version,
    ) -> Result<Content, ItemError> {
        let Some((drive, item)) = place(record) else {
            return Ok(Content::None);
        };
        let ids = [drive, item, &version.id];
        let name = record["name"].as_str().unwrap_or_default();
        Ok(Content::Stream(self.client.download(Download {
            content: Call::get(CONTENT, &ids).scope(Scope::Drives, ONE),
            item: Call::get(VERSION, &ids).scope(Scope::Drives, ONE),
            size: version.record["size"].as_u64(),
            hash: None,
            tolerant: is_rewritten(name),
        })))
    }
}

/// Drive and id of a file that has content of its own.
fn place(record: &Value) -> Option<(&str, &str)> {
    if record["remoteItem"].is_object() || !record["file"].is_object() {
        return None;
    }
    let drive = record["parentReference"]["driveId"].as_str()?;
    Some((drive, record["id"].as_str()?))
}

/// A version as the list tells it. One without an id can't be asked for.
fn version(mut record: Value) -> Option<Version> {
    let id = record["id"].as_str()?;
    if id.is_empty() || id.len() > MAX_ID {
        return None;
    }
    let id = id.to_owned();
    let mtime = seconds(&record["lastModifiedDateTime"]).unwrap_or_default();
    if let Some(record) = record.as_object_mut() {
        // Pre-authenticated: secret and short-lived.
        record.retain(|name, _| !name.ends_with(".downloadUrl"));
    }
    Some(Version { id, mtime, record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn new_files_are_asked_about_only_when_wanted() {
        let keep = |of_new_files| KeepVersions {
            keep: 3,
            of_new_files,
        };
        assert_eq!(
            (keep(false).wanted(true), keep(false).wanted(false)),
            (0, 3)
        );
        assert_eq!((keep(true).wanted(true), keep(true).wanted(false)), (3, 3));
        assert_eq!(KeepVersions::default().wanted(false), 0);
    }

    #[test]
    fn hostile_versions_are_left_out() {
        assert!(version(json!({ "size": 1 })).is_none());
        assert!(version(json!({ "id": "" })).is_none());
        assert!(version(json!({ "id": "1".repeat(1000) })).is_none());
        let told = json!({ "id": "1.0", "lastModifiedDateTime": "not a time",
                           "@microsoft.graph.downloadUrl": "https://secret" });
        let told = version(told).unwrap();
        assert_eq!((told.id.as_str(), told.mtime), ("1.0", 0));
        assert!(!told.record.to_string().contains("secret"));
    }

    #[test]
    fn only_files_have_versions() {
        let at = json!({ "driveId": "d" });
        let file = json!({ "id": "i", "file": {}, "parentReference": at });
        assert_eq!(place(&file), Some(("d", "i")));
        let shortcut = json!({ "id": "i", "remoteItem": {}, "parentReference": at });
        assert_eq!(place(&shortcut), None);
        assert_eq!(place(&json!({ "id": "i", "file": {} })), None);
    }
}
