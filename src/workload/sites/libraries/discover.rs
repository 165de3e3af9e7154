//! Which libraries a site has, told by the root feed.

use serde_json::Value;

use super::{DRIVES, FEED, Libraries, MAX_LIBRARIES, SELECT};
use crate::graph::{Call, GraphError, Scope};
use crate::workload::sites::{MANY, listed};
use crate::workload::{Change, FeedError, FeedId, Page};

const DRIVE: &str = "/drives/{drive}";

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
        let libraries = listed::Kind {
            client: &self.client,
            is_captured: &|drive| self.is_captured(drive),
            one: &drive_call,
            tell: &|id, record| vec![folder(id, record)],
        };
        libraries.round(cursor, self.all(site).await).await
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
