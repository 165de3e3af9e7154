//! The feed of a site's pages, and the file of each.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::live::{SELECT, guid_of, is_folder, name_of};
use super::{NAME, Pages, stem};
use crate::format::html;
use crate::graph::{BATCH, Call, ErrorClass, GraphError, Onward, Scope};
use crate::workload::mail::cursor;
use crate::workload::{Alive, Change, Content, Cursor, FeedError, ID, ItemError, Page, id_in};

const DELTA: &str = "/sites/{site}/lists/{list}/items/delta";
const ITEM: &str = "/sites/{site}/lists/{list}/items/{item}";
const FILE: &str = "/sites/{site}/lists/{list}/items/{item}/driveItem";
const PAGE: &str = "/sites/{site}/pages/{page}/microsoft.graph.sitePage";

/// What is kept of the list's item.
const KEPT: [&str; 6] = [
    "id",
    "eTag",
    "webUrl",
    "contentType",
    "createdDateTime",
    "lastModifiedDateTime",
];
/// Beside that: the id of the page that it is.
const UNIQUE_ID: &str = "uniqueId";

/// Content types of classic pages: wiki pages, and pages of web parts.
const CLASSIC: [&str; 2] = ["0x010108", "0x010109"];

/// Where the feed is.
#[derive(Clone, Serialize, Deserialize)]
struct PagesCursor {
    list: String,
    /// Address of Site Pages.
    url: String,
    link: Option<String>,
    full: bool,
}

/// Begins anew where a round is done.
pub(super) fn anew(cursor: &str) -> Option<String> {
    let at: PagesCursor = serde_json::from_str(cursor).ok()?;
    at.link.as_ref()?;
    Some(cursor::write(&PagesCursor {
        link: None,
        full: true,
        ..at
    }))
}

impl Pages {
    pub(super) async fn delta(&self, site: &str, cursor: Option<&str>) -> Result<Page, FeedError> {
        let at = cursor.map(serde_json::from_str).transpose();
        let at: Option<PagesCursor> = at.map_err(|_| FeedError::Reset { start: None })?;
        let mut at = match at {
            Some(at) => at,
            None => match self.live.library(site).await {
                Ok(Some(library)) => PagesCursor {
                    list: library.list,
                    url: library.url,
                    link: None,
                    full: true,
                },
                Ok(None) => return Err(FeedError::Gone),
                Err(e) if e.class.is_gone() => return Err(FeedError::Gone),
                Err(e) => return Err(e.into()),
            },
        };
        let call = match &at.link {
            Some(link) => Call::link(DELTA, link).scope(Scope::Drives, 1),
            None => Call::get(DELTA, &[site, &at.list])
                .query("$select", SELECT)
                .query("$top", "500")
                .scope(Scope::Drives, 2),
        };
        let page = match self.live.client().page(&call).await {
            Ok(page) => page,
            Err(e) => return Err(self.feed_error(site, &at, e).await),
        };
        let onward = page.onward(DELTA)?;
        let changes = page.value.into_iter();
        let changes = changes.filter_map(|item| change(&at.list, &at.url, item));
        let (changes, full) = (changes.collect(), at.full);
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

    async fn feed_error(&self, site: &str, at: &PagesCursor, e: GraphError) -> FeedError {
        if e.class.is_gone() {
            // Is there no Site Pages any more, or another one?
            self.live.lists.forget(site, None);
            return match self.live.library(site).await {
                Ok(Some(library)) if library.list != at.list => FeedError::Reset { start: None },
                Ok(Some(_)) => {
                    let what = "Site Pages is there, and its history is not";
                    GraphError::local(ErrorClass::Transient, DELTA, what).into()
                }
                Ok(None) => FeedError::Gone,
                Err(e) if e.class.is_gone() => FeedError::Gone,
                Err(e) => e.into(),
            };
        }
        if e.class != ErrorClass::Reset {
            return FeedError::Failed(e);
        }
        let own = |link: &&String| self.live.client().is_own_link(link);
        let start = e.location.as_ref().filter(own).map(|link| {
            cursor::write(&PagesCursor {
                link: Some(link.clone()),
                full: true,
                ..at.clone()
            })
        });
        FeedError::Reset { start }
    }

    /// Brings a page, or the file that it is.
    pub(super) async fn render(
        &self,
        site: &str,
        record: &mut Value,
    ) -> Result<Content, ItemError> {
        let id = id_in(record).unwrap_or_default().to_owned();
        let (list, number) = id.split_once('/').unwrap_or_default();
        let mut told = json!({ ID: id, NAME: record[NAME], "listItem": record["listItem"] });
        if may_be_modern(&told)
            && let Some(page) = told["listItem"][UNIQUE_ID].as_str()
        {
            let call = Call::get(PAGE, &[site, page])
                .query("$expand", "canvasLayout")
                .scope(Scope::Drives, 1);
            match self.live.client().json(&call).await {
                Ok(mut page) => {
                    normalise(&mut page);
                    *record = page;
                    crate::workload::merge(record, &told);
                    return self.file_of(site, record).await;
                }
                // A classic page, which Graph knows as a file only.
                Err(e) if e.class == ErrorClass::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        let call = Call::get(FILE, &[site, list, number]).scope(Scope::Drives, 1);
        let mut file = self.live.client().json(&call).await?;
        if let Some(file) = file.as_object_mut() {
            // Pre-authenticated: secret and short-lived.
            file.retain(|name, _| !name.contains("@odata.") && !name.ends_with(".downloadUrl"));
        }
        let content = self.drive.fetch_file(&mut file)?;
        told["driveItem"] = file;
        *record = told;
        Ok(content)
    }

    /// The HTML of a page, with its pictures.
    async fn file_of(&self, site: &str, page: &Value) -> Result<Content, ItemError> {
        let bare = html::page(page, &html::Pictures::new());
        if bare.missing.is_empty() {
            return Ok(Content::File(Bytes::from(bare.html)));
        }
        let pictures = self.pictures(site, bare.missing).await?;
        let html = html::page(page, &pictures).html;
        Ok(Content::File(Bytes::from(html)))
    }

    /// What became of pages.
    pub(super) async fn look_up(
        &self,
        site: &str,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let library = match self.live.library(site).await {
            Ok(library) => library,
            Err(e) if e.class.is_gone() => None,
            Err(e) => return Err(e),
        };
        let Some(library) = library else {
            return Ok(ids.iter().map(|_| Alive::Gone).collect());
        };
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(BATCH) {
            let calls: Vec<Call> = ids
                .iter()
                .map(|id| {
                    let (list, number) = id.split_once('/').unwrap_or((id, ""));
                    Call::get(ITEM, &[site, list, number])
                        .query("$select", SELECT)
                        .scope(Scope::Drives, 1)
                })
                .collect();
            let answers = self.live.client().batch(Scope::Drives, &calls).await?;
            for (id, answer) in ids.iter().zip(answers) {
                let list = id.split_once('/').map_or("", |(list, _)| list);
                found.push(match answer {
                    Ok(part) => match change(list, &library.url, part.body) {
                        Some(Change::Item { parent, record, .. }) => Alive::Here { parent, record },
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

/// What an entry of a delta page tells. Folders tell nothing: their pages are named with them.
fn change(list: &str, library: &str, item: Value) -> Option<Change> {
    let id = format!("{list}/{}", item["id"].as_str()?);
    if item["deleted"].is_object() {
        return Some(Change::Removed {
            id,
            parent: None,
            verify: false,
        });
    }
    if is_folder(&item) {
        return None;
    }
    let name = name_of(library, &item);
    // Only what is told whether it was asked for or not: a history that begins anew does not know what was.
    let mut kept = json!({ UNIQUE_ID: guid_of(&item) });
    for property in KEPT {
        kept[property] = item[property].clone();
    }
    Some(Change::Item {
        record: json!({ ID: id, NAME: name, "listItem": kept }),
        id,
        parent: None,
    })
}

fn may_be_modern(told: &Value) -> bool {
    let kind = told["listItem"]["contentType"]["id"].as_str();
    let kind = kind.unwrap_or_default();
    let name = told[NAME].as_str().unwrap_or_default();
    stem(name, ".aspx").is_some() && !CLASSIC.iter().any(|classic| kind.starts_with(classic))
}

/// One spelling of types, and no annotations beside them: those lead to where a reader is not.
fn normalise(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(normalise),
        Value::Object(object) => {
            object.retain(|name, _| name == "@odata.type" || !name.contains("@odata."));
            for (name, value) in object {
                let kind = value
                    .as_str()
                    .and_then(|kind| kind.strip_prefix("#oneDrive."));
                match kind {
                    Some(kind) if name == "@odata.type" => {
                        *value = json!(format!("#microsoft.graph.{kind}"));
                    }
                    _ => normalise(value),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_delta_tells() {
        let library = "https://c/sites/f/SitePages";
        let told = |item: Value| change("L", library, item);
        let page = json!({ "id": "7", "eTag": "e", "webUrl": "https://c/sites/f/SitePages/A%20b.aspx",
                           "fields": { "x": 1 } });
        let Some(Change::Item { id, parent, record }) = told(page) else {
            panic!()
        };
        assert_eq!((id.as_str(), parent), ("L/7", None));
        assert_eq!(record["tenantfsName"], "A b.aspx");
        assert_eq!(record["listItem"]["eTag"], "e");
        assert!(record["listItem"]["fields"].is_null());
        let gone = told(json!({ "id": "7", "deleted": {} }));
        assert!(matches!(gone, Some(Change::Removed { id, verify: false, .. }) if id == "L/7"));
        let folder = json!({ "id": "8", "contentType": { "id": "0x0120001" } });
        assert!(told(folder).is_none() && told(json!({})).is_none());
    }

    #[test]
    fn an_item_is_the_same_however_it_was_asked_for() {
        let guid = "6f9230af-2a98-4952-b205-9ede4f9ef548";
        let tag = format!("\"{guid},3\"");
        let told = |item: Value| match change("L", "https://c/SitePages", item) {
            Some(Change::Item { record, .. }) => record,
            _ => panic!(),
        };
        let bare = told(json!({ "id": "7", "eTag": tag }));
        let asked =
            json!({ "id": "7", "eTag": tag, "sharepointIds": { "listItemUniqueId": guid } });
        assert_eq!(told(asked), bare);
        assert_eq!(bare["listItem"]["uniqueId"], guid);
    }

    #[test]
    fn classic_pages_are_told_by_their_type_or_not_at_all() {
        let of = |name: &str, kind: &str| {
            may_be_modern(&json!({ NAME: name, "listItem": { "contentType": { "id": kind } } }))
        };
        assert!(of("a.aspx", "0x0101009D1CB255DA76424F860D91F20E6C4118001"));
        assert!(of("a.ASPX", ""));
        assert!(!of("a.aspx", "0x01010800AA") && !of("a.aspx", "0x010109") && !of("a.pdf", ""));
    }

    #[test]
    fn types_have_one_spelling() {
        let mut page = json!({ "@odata.context": "c", "@odata.type": "#microsoft.graph.sitePage",
            "canvasLayout@odata.context": "c", "canvasLayout": { "x": [
                { "@odata.type": "#oneDrive.textWebPart", "innerHtml": "#oneDrive.x" }] } });
        normalise(&mut page);
        assert_eq!(
            page,
            json!({ "@odata.type": "#microsoft.graph.sitePage", "canvasLayout": { "x": [
                { "@odata.type": "#microsoft.graph.textWebPart", "innerHtml": "#oneDrive.x" }] } })
        );
    }

    #[test]
    fn a_round_begins_anew_where_one_is_done() {
        let at = r#"{"list":"L","url":"u","link":"https://x","full":false}"#;
        let again: PagesCursor = serde_json::from_str(&anew(at).unwrap()).unwrap();
        assert!(again.link.is_none() && again.full && again.list == "L");
        assert_eq!(anew("junk"), None);
    }
}
