//! Which libraries a site has, told by the root feed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DRIVES, FEED, Libraries, MAX_LIBRARIES, SELECT};
use crate::graph::{BATCH, Call, GraphError, Scope};
use crate::workload::sites::MANY;
use crate::workload::{Change, Cursor, FeedError, FeedId, Page};

const DRIVE: &str = "/drives/{drive}";

/// Which libraries were there.
#[derive(Debug, Default, Serialize, Deserialize)]
struct RootCursor {
    drives: BTreeSet<String>,
}

impl Libraries {
    /// The libraries that are captured.
    pub(super) async fn all(&self, site: &str) -> Result<Vec<Value>, GraphError> {
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

    /// The root feed: the libraries of a site, and those that are gone.
    pub(super) async fn root_page(
        &self,
        site: &str,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
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
        self.check_missing(&missing, &mut now, &mut changes).await?;
        let cursor = serde_json::to_string(&now).unwrap_or_default();
        Ok(Page {
            changes,
            cursor: Cursor::Done(cursor),
            full: false,
        })
    }

    /// Libraries that are no longer listed are asked for singly: hidden meanwhile, or left out by mistake,
    /// they stay.
    async fn check_missing(
        &self,
        missing: &[String],
        now: &mut RootCursor,
        changes: &mut Vec<Change>,
    ) -> Result<(), GraphError> {
        for ids in missing.chunks(BATCH) {
            let calls: Vec<Call> = ids.iter().map(|id| drive_call(id)).collect();
            let answers = self.client.batch(Scope::Drives, &calls).await?;
            for (id, answer) in ids.iter().zip(answers) {
                let stays = match answer {
                    Ok(part) => self.is_captured(&part.body),
                    Err(e) => !e.class.is_gone(),
                };
                if stays {
                    now.drives.insert(id.clone());
                } else {
                    changes.push(Change::Removed {
                        id: id.clone(),
                        parent: None,
                        verify: false,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Kinds of drives that a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// People work in it.
    Ordinary,
    /// SharePoint shows it to nobody.
    Hidden,
    /// What retention keeps. Nothing can be put into it.
    Preservation,
    /// Site Pages: not files, but pages.
    Pages,
}

/// By the address, which is the same in every language.
pub(super) fn kind(drive: &Value) -> Kind {
    let url = drive["webUrl"].as_str().unwrap_or_default();
    let segment = url.trim_end_matches('/').rsplit('/').next();
    match segment.unwrap_or_default() {
        "SitePages" => Kind::Pages,
        "PreservationHoldLibrary" => Kind::Preservation,
        _ if drive["system"].is_object() => Kind::Hidden,
        _ => Kind::Ordinary,
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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
