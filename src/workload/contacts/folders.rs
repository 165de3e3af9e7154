//! The folder feed: the contact folders of a mailbox in one flat delta stream. The default folder is
//! in no list; it is asked for by its alias, once.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CONTACTS, Contacts, DEFAULT};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::mail::cursor;
use crate::workload::{Account, Change, Cursor, FeedError, FeedId, Page};

const SELECT: &str = "id,displayName,parentFolderId";
const DELTA: &str = "/users/{user}/contactFolders/delta";
pub(super) const TOP: &str = "/users/{user}/contactFolders";
pub(super) const CHILDREN: &str = "/users/{user}/contactFolders/{folder}/childFolders";

/// PidTagContainerClass: what a folder is for.
const CLASS_ID: &str = "String 0x3613";

/// Folders that Exchange and its clients fill, by the names they have in every language, for where the
/// class is not told.
const OWN: [&str; 7] = [
    "companies",
    "externalcontacts",
    "gal contacts",
    "organizational contacts",
    "peoplecentricconversation buddies",
    "recipient cache",
    "{06967759-274d-40b2-a3eb-d7f9e73727d7}",
];

/// How deep folders are walked without delta; Exchange allows 300.
const MAX_DEPTH: usize = 300;
/// Contact folders of one mailbox; more is not a mailbox.
const MAX_FOLDERS: usize = 100_000;

/// A cursor of the folder feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FolderCursor {
    /// Next or delta link; `None` begins anew.
    link: Option<String>,
    /// The round lists everything.
    #[serde(default)]
    full: bool,
    /// Id of the folder that the default one lies in: the collection's root.
    root: String,
    /// The service does not tell classes with delta.
    #[serde(default)]
    plain: bool,
}

/// Begins anew where a round is done. `None`: the next round does by itself.
pub(super) fn anew(cursor: &str) -> Option<String> {
    let at: FolderCursor = cursor::read(cursor).ok()?;
    at.link.as_ref()?;
    Some(cursor::write(&FolderCursor { link: None, ..at }))
}

pub(super) fn expand_class() -> String {
    format!("singleValueExtendedProperties($filter=id eq '{CLASS_ID}')")
}

impl Contacts {
    pub(super) async fn folders_page(
        &self,
        account: &Account,
        cursor: Option<&str>,
    ) -> Result<Page, FeedError> {
        let mut at: FolderCursor = match cursor {
            Some(cursor) => cursor::read(cursor)?,
            None => FolderCursor::default(),
        };
        let mut changes = Vec::new();
        if at.link.is_none() {
            let default = self.default_folder(account).await?;
            let root = default["parentFolderId"].as_str();
            at.root = root.unwrap_or_default().to_owned();
            at.full = true;
            changes.extend(self.folder_change(&at, default));
        }
        let call = match &at.link {
            Some(link) => Call::link(DELTA, link),
            None => self.first_call(account, at.plain),
        };
        let page = match self.client.page(&Self::of(account, call)).await {
            Ok(page) => page,
            Err(e) => match e.class {
                ErrorClass::Reset => return Err(FeedError::Reset { start: None }),
                // Delta writes to the mailbox, and this one is full; or a cloud has no delta here.
                ErrorClass::Quota => return self.walk(account, at, changes).await,
                _ if e.is_code("ErrorInvalidIdMalformed") => {
                    return self.walk(account, at, changes).await;
                }
                _ if e.status == Some(400) && at.link.is_none() && !at.plain => {
                    at.plain = true;
                    let start = Some(cursor::write(&at));
                    return Err(FeedError::Reset { start });
                }
                _ => return Err(e.into()),
            },
        };
        let told = page.value.into_iter();
        changes.extend(told.filter_map(|folder| self.folder_change(&at, folder)));
        let full = at.full;
        let cursor = match (page.next, page.delta) {
            (Some(next), _) => {
                at.link = Some(next);
                Cursor::More(cursor::write(&at))
            }
            (None, delta) => {
                at.link = delta;
                at.full = false;
                Cursor::Done(cursor::write(&at))
            }
        };
        Ok(Page {
            changes,
            cursor,
            full,
        })
    }

    fn first_call(&self, account: &Account, plain: bool) -> Call {
        let call = Call::get(DELTA, &[&account.id])
            .query("includeHiddenFolders", "true")
            .query("$select", SELECT);
        match plain {
            true => call,
            false => call.query("$expand", &expand_class()),
        }
    }

    pub(super) async fn default_folder(&self, account: &Account) -> Result<Value, GraphError> {
        let call = Call::get(DEFAULT, &[&account.id]).query("$select", SELECT);
        self.client.json(&Self::of(account, call)).await
    }

    fn folder_change(&self, at: &FolderCursor, mut record: Value) -> Option<Change> {
        if let Some(record) = record.as_object_mut() {
            // How it was asked for.
            record.remove("@odata.context");
        }
        let id = record["id"].as_str()?.to_owned();
        if record.get("@removed").is_some() {
            return Some(Change::Removed {
                id,
                parent: None,
                verify: false,
            });
        }
        if id == at.root {
            return None;
        }
        if !self.options.hidden && is_own(&record) {
            let name = record["displayName"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let note = "a folder that Exchange fills by itself: it is not captured".to_owned();
            return Some(Change::Noted { id, name, note });
        }
        let parent = record["parentFolderId"].as_str().filter(|p| *p != at.root);
        let parent = parent.map(str::to_owned);
        let feed = Some(FeedId(format!("{CONTACTS}{id}")));
        Some(Change::Folder {
            id,
            parent,
            record,
            feed,
        })
    }

    /// All folders without delta. The next cycle tries delta again.
    async fn walk(
        &self,
        account: &Account,
        mut at: FolderCursor,
        mut changes: Vec<Change>,
    ) -> Result<Page, FeedError> {
        if !at.full {
            let default = self.default_folder(account).await?;
            changes.extend(self.folder_change(&at, default));
        }
        let mut level = self
            .children(account, Call::get(TOP, &[&account.id]))
            .await?;
        for _ in 0..MAX_DEPTH {
            let mut below = Vec::new();
            for folder in level {
                if let Some(id) = folder["id"].as_str() {
                    let call = Call::get(CHILDREN, &[&account.id, id]);
                    match self.children(account, call).await {
                        Ok(children) => below.extend(children),
                        // Gone between the listings.
                        Err(e) if e.class == ErrorClass::NotFound => {}
                        Err(e) => return Err(e.into()),
                    }
                }
                changes.extend(self.folder_change(&at, folder));
            }
            level = below;
            if level.is_empty() {
                break;
            }
        }
        at.link = None;
        at.full = false;
        Ok(Page {
            changes,
            cursor: Cursor::Done(cursor::write(&at)),
            full: true,
        })
    }

    /// One level of folders.
    pub(super) async fn children(
        &self,
        account: &Account,
        call: Call,
    ) -> Result<Vec<Value>, GraphError> {
        let call = call
            .query("includeHiddenFolders", "true")
            .query("$expand", &expand_class())
            .query("$top", "250");
        self.client
            .pages(Self::of(account, call), MAX_FOLDERS)
            .await
    }
}

/// A folder that is filled by the service or by programs. People's own have exactly the class of a
/// contact folder; the others have one of its subclasses, or names of their own.
pub(super) fn is_own(record: &Value) -> bool {
    let class = record["singleValueExtendedProperties"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| is_class(p["id"].as_str().unwrap_or_default()))
        .and_then(|p| p["value"].as_str());
    if let Some(class) = class
        && !class.eq_ignore_ascii_case("IPF.Contact")
    {
        return true;
    }
    let name = record["displayName"].as_str().unwrap_or_default();
    OWN.contains(&name.trim().to_lowercase().as_str())
}

/// Ids come back in Exchange's own spelling.
fn is_class(id: &str) -> bool {
    id.eq_ignore_ascii_case(CLASS_ID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn folders_of_programs_are_known() {
        let class = |class: &str| {
            json!({ "displayName": "Family", "singleValueExtendedProperties":
                [{ "id": "String 0x3613", "value": class }] })
        };
        assert!(!is_own(&class("IPF.Contact")));
        assert!(is_own(&class("IPF.Contact.RecipientCache")));
        assert!(is_own(&json!({ "displayName": "Recipient Cache" })));
        assert!(!is_own(&json!({ "displayName": "Recipients" })));
        assert!(!is_own(&json!({})));
    }
}
