//! Lists, and the items of those that are no libraries.
//!
//! Items are never taken out: a deleted one stays, whole, as a tombstone, which is also the recycle bin. Ids
//! count up and are never used again. Every change gives an item the list's next number and moves it to the
//! end of `log`, which therefore holds each item once, in the order of its latest change. The items of a
//! library are those of its drive.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::drive::route::encode_segment;
use crate::drive::sharing::Sharing;
use crate::drive::{Actor, Content, Drive, Fields, Stamp};

use super::column::{self, Column};
use super::content_type::{ContentType, DOCUMENT, FOLDER, ITEM, SITE_PAGE};
use super::web::Web;

/// Items have 500 versions at most.
const VERSIONS: usize = 500;

/// When something was put into the recycle bin, by whom, and what it is called there.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// None when it was deleted for good.
    pub bin: Option<u128>,
    pub at: i64,
    pub by: Actor,
}

pub struct List {
    pub guid: u128,
    /// Name in URLs, made from the first title.
    pub name: String,
    pub title: String,
    pub description: String,
    /// `genericList`, `documentLibrary`, `webPageLibrary`, ...
    pub template: String,
    pub hidden: bool,
    /// Of the service itself: not listed unless `system` is asked for.
    pub system: bool,
    /// URLs of most lists have `Lists/` before the name; libraries and catalogs have their own.
    pub folder: String,
    pub content_types_enabled: bool,
    pub created: i64,
    /// When the list itself changed, without its items.
    pub modified: i64,
    pub created_by: Actor,
    pub modified_by: Actor,
    pub etag: u32,
    pub columns: Vec<Column>,
    pub content_types: Vec<ContentType>,
    pub store: Store,
    pub sharing: Option<Box<Sharing>>,
    pub deleted: Option<Deleted>,
    /// The drive of a library that is in the recycle bin.
    pub kept: Option<Arc<Mutex<Drive>>>,
}

/// Where the items of a list are.
pub enum Store {
    Items(Items),
    /// In the drive with this id.
    Library(String),
}

#[derive(Default)]
pub struct Items {
    all: BTreeMap<u64, Item>,
    log: BTreeMap<u64, u64>,
    seq: u64,
    last: u64,
    changed_at: i64,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub id: u64,
    pub guid: u128,
    /// Id of its content type.
    pub content_type: String,
    /// By the columns' internal names; see [`super::fields`] for how each kind of value is kept.
    pub fields: Fields,
    pub created: i64,
    pub modified: i64,
    pub created_by: Actor,
    pub modified_by: Actor,
    /// Counts changes of anything about the item.
    pub etag: u32,
    /// Number of the current version: `"4.0"` is 4.
    pub version: u32,
    /// What it was before, oldest first.
    pub older: Vec<Older>,
    pub attachments: BTreeMap<String, Content>,
    pub sharing: Option<Box<Sharing>>,
    pub deleted: Option<Deleted>,
    pub seq: u64,
}

#[derive(Clone, Debug)]
pub struct Older {
    pub number: u32,
    pub fields: Fields,
    pub modified: i64,
    pub modified_by: Actor,
}

/// Templates with files instead of items.
pub fn is_library(template: &str) -> bool {
    matches!(
        template,
        "documentLibrary" | "mySiteDocumentLibrary" | "webPageLibrary" | "pictureLibrary"
    )
}

impl List {
    /// A list without items and columns of its own, made now.
    pub fn new(web: &mut Web, title: &str, template: &str, stamp: &Stamp) -> List {
        let library = is_library(template);
        let name: String = title
            .chars()
            .filter(|c| !"\"*:<>?/\\|#%&{}~".contains(*c))
            .collect();
        let name = web.free_name(name.trim_matches([' ', '.']));
        let kinds: &[&str] = match template {
            "webPageLibrary" => &[SITE_PAGE, DOCUMENT, FOLDER],
            _ if library => &[DOCUMENT, FOLDER],
            "events" => &["0x0102", FOLDER],
            "announcements" => &["0x0104", FOLDER],
            "links" => &["0x0105", FOLDER],
            "contacts" => &["0x0106", FOLDER],
            "tasks" => &["0x0108", FOLDER],
            "issueTracking" => &["0x0103", FOLDER],
            _ => &[ITEM, FOLDER],
        };
        let of_site = web.content_types.clone();
        let types = kinds
            .iter()
            .filter_map(|id| of_site.iter().find(|t| t.id == *id));
        let content_types = types.map(|t| t.in_list(web.new_guid())).collect();
        List {
            guid: web.new_guid(),
            folder: if library {
                name.clone()
            } else {
                format!("Lists/{name}")
            },
            name,
            title: title.to_owned(),
            description: String::new(),
            template: template.to_owned(),
            hidden: false,
            system: false,
            content_types_enabled: false,
            created: stamp.now,
            modified: stamp.now,
            created_by: stamp.by.clone(),
            modified_by: stamp.by.clone(),
            etag: 1,
            columns: column::built_in(library),
            content_types,
            store: Store::Items(Items::default()),
            sharing: None,
            deleted: None,
            kept: None,
        }
    }

    /// URL of the list.
    pub fn url(&self, web: &Web) -> String {
        let segments = self.folder.split('/').map(encode_segment);
        format!("{}/{}", web.url(), segments.collect::<Vec<_>>().join("/"))
    }

    /// The drive of a library.
    pub fn drive(&self) -> Option<&str> {
        match &self.store {
            Store::Library(drive) => Some(drive),
            Store::Items(_) => None,
        }
    }

    pub fn items(&self) -> Option<&Items> {
        match &self.store {
            Store::Items(items) => Some(items),
            Store::Library(_) => None,
        }
    }

    pub fn items_mut(&mut self) -> Option<&mut Items> {
        match &mut self.store {
            Store::Items(items) => Some(items),
            Store::Library(_) => None,
        }
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The content type of items that name none.
    pub fn default_type(&self) -> &str {
        self.content_types.first().map_or("0x01", |t| &t.id)
    }

    /// Notes a change of the list itself.
    pub fn touch(&mut self, stamp: &Stamp) {
        self.etag += 1;
        self.modified = stamp.now;
        self.modified_by = stamp.by.clone();
    }
}

impl Items {
    /// An item that is there.
    pub fn get(&self, id: u64) -> Option<&Item> {
        self.all.get(&id).filter(|i| i.deleted.is_none())
    }

    /// An item that is there, to change what is no change of its values.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Item> {
        self.all.get_mut(&id).filter(|i| i.deleted.is_none())
    }

    /// An item that is there or was.
    pub fn any(&self, id: u64) -> Option<&Item> {
        self.all.get(&id)
    }

    /// Items that are there, after the one with this id.
    pub fn after(&self, id: u64) -> impl Iterator<Item = &Item> {
        self.all
            .range((Bound::Excluded(id), Bound::Unbounded))
            .map(|(_, item)| item)
            .filter(|i| i.deleted.is_none())
    }

    /// What is in the recycle bin.
    pub fn binned(&self) -> impl Iterator<Item = &Item> {
        let in_bin = |i: &&Item| i.deleted.as_ref().is_some_and(|d| d.bin.is_some());
        self.all.values().filter(in_bin)
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// When an item changed last.
    pub fn changed_at(&self) -> i64 {
        self.changed_at
    }

    /// Ids of items changed after `after`, in the order of their latest change.
    pub fn changes(&self, after: u64) -> impl Iterator<Item = u64> + '_ {
        self.log
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(_, &id)| id)
    }

    /// A new item under the next id, or under an id of its own.
    pub fn add(
        &mut self,
        id: Option<u64>,
        guid: u128,
        content_type: String,
        fields: Fields,
        stamp: &Stamp,
    ) -> u64 {
        let id = id.unwrap_or(self.last + 1);
        self.last = self.last.max(id);
        let item = Item {
            id,
            guid,
            content_type,
            fields,
            created: stamp.now,
            modified: stamp.now,
            created_by: stamp.by.clone(),
            modified_by: stamp.by.clone(),
            etag: 0,
            version: 1,
            older: Vec::new(),
            attachments: BTreeMap::new(),
            sharing: None,
            deleted: None,
            seq: 0,
        };
        self.all.insert(id, item);
        self.changed(id, stamp.now);
        id
    }

    /// New values; what they were becomes an older version.
    pub fn update(&mut self, id: u64, fields: Fields, stamp: &Stamp) {
        let Some(item) = self.all.get_mut(&id) else {
            return;
        };
        item.older.push(Older {
            number: item.version,
            fields: std::mem::replace(&mut item.fields, fields),
            modified: item.modified,
            modified_by: item.modified_by.clone(),
        });
        if item.older.len() >= VERSIONS {
            item.older.remove(0);
        }
        item.version += 1;
        item.modified = stamp.now;
        item.modified_by = stamp.by.clone();
        self.changed(id, stamp.now);
    }

    pub fn delete(&mut self, id: u64, bin: Option<u128>, stamp: &Stamp) {
        if let Some(item) = self.all.get_mut(&id) {
            item.deleted = Some(Deleted {
                bin,
                at: stamp.now,
                by: stamp.by.clone(),
            });
            self.changed(id, stamp.now);
        }
    }

    /// Takes an item out of the recycle bin: back, or away for good.
    pub fn unbin(&mut self, id: u64, restore: bool, now: i64) {
        let Some(item) = self.all.get_mut(&id) else {
            return;
        };
        if restore {
            item.deleted = None;
            self.changed(id, now);
        } else if let Some(deleted) = &mut item.deleted {
            deleted.bin = None;
            item.fields.clear();
            item.older.clear();
            item.attachments.clear();
        }
    }

    /// Gives the item the list's next change number.
    pub fn changed(&mut self, id: u64, now: i64) {
        self.seq += 1;
        let seq = self.seq;
        let Some(item) = self.all.get_mut(&id) else {
            return;
        };
        item.etag += 1;
        let before = std::mem::replace(&mut item.seq, seq);
        self.changed_at = self.changed_at.max(now);
        self.log.remove(&before);
        self.log.insert(seq, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_holds_each_item_once() {
        let mut items = Items::default();
        let stamp = Stamp {
            now: 5,
            by: Actor::System,
        };
        let add = |items: &mut Items| items.add(None, 7, "0x01".into(), Fields::new(), &stamp);
        let (a, b) = (add(&mut items), add(&mut items));
        items.update(a, Fields::new(), &stamp);
        assert_eq!(items.changes(0).collect::<Vec<_>>(), [b, a]);
        assert_eq!(items.get(a).map(|i| (i.version, i.etag)), Some((2, 2)));
        items.delete(b, Some(1), &stamp);
        assert!(items.get(b).is_none());
        assert_eq!(items.changes(2).collect::<Vec<_>>(), [a, b]);
        assert_eq!(items.binned().count(), 1);
        items.unbin(b, true, 9);
        assert_eq!(items.get(b).map(|i| i.seq), Some(items.seq()));
        assert_eq!(add(&mut items), 3, "ids are never used again");
    }
}
