//! Items of lists as the routes see them, wherever they are kept: in the list itself or in its drive.

use std::borrow::Cow;

use crate::drive::{Actor, Drive, Fields, Index, ROOT};

use super::content_type::{DOCUMENT, FOLDER, SITE_PAGE};
use super::list::{Item, Items, List};

/// One item, or one version of it.
#[derive(Clone)]
pub struct Row<'a> {
    pub id: u64,
    pub guid: u128,
    pub content_type: Cow<'a, str>,
    pub fields: Cow<'a, Fields>,
    pub created: i64,
    pub modified: i64,
    pub created_by: &'a Actor,
    pub modified_by: &'a Actor,
    pub etag: u32,
    pub version: u32,
    pub has_attachments: bool,
    pub deleted: bool,
    pub seq: u64,
    /// When `seq` was given.
    pub changed_at: i64,
    /// Set for items of libraries.
    pub file: Option<File<'a>>,
}

#[derive(Clone)]
pub struct File<'a> {
    pub index: Index,
    pub name: &'a str,
    pub size: u64,
    pub folder: bool,
    /// Folders and files directly in a folder.
    pub children: (usize, usize),
}

impl Row<'_> {
    /// `"guid,N"` with the quotes.
    pub fn etag_text(&self) -> String {
        format!("\"{},{}\"", super::web::lower(self.guid), self.etag)
    }
}

/// The items of one list.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    Items(&'a List, &'a Items),
    Library(&'a List, &'a Drive),
}

impl<'a> Rows<'a> {
    pub fn list(self) -> &'a List {
        match self {
            Rows::Items(list, _) | Rows::Library(list, _) => list,
        }
    }

    pub fn drive(self) -> Option<&'a Drive> {
        match self {
            Rows::Library(_, drive) => Some(drive),
            Rows::Items(..) => None,
        }
    }

    /// An item that is there.
    pub fn get(self, id: u64) -> Option<Row<'a>> {
        self.any(id).filter(|row| !row.deleted)
    }

    /// An item that is there or was.
    pub fn any(self, id: u64) -> Option<Row<'a>> {
        match self {
            Rows::Items(_, items) => items.any(id).map(of_item),
            Rows::Library(list, drive) => {
                let index = Index::try_from(id).ok().filter(|&i| i != ROOT)?;
                drive.known(index).then(|| of_file(list, drive, index))
            }
        }
    }

    /// At most `limit` items that are there, after the one with this id.
    pub fn after(self, id: u64, limit: usize) -> Vec<Row<'a>> {
        match self {
            Rows::Items(_, items) => items.after(id).take(limit).map(of_item).collect(),
            Rows::Library(list, drive) => drive
                .living()
                .filter(|&i| i != ROOT && u64::from(i) > id)
                .take(limit)
                .map(|i| of_file(list, drive, i))
                .collect(),
        }
    }

    /// At most `limit` items that changed after change number `after`, in the order of their latest change.
    pub fn changes(self, after: u64, limit: usize) -> Vec<Row<'a>> {
        match self {
            Rows::Items(_, items) => items
                .changes(after)
                .take(limit)
                .filter_map(|id| items.any(id).map(of_item))
                .collect(),
            Rows::Library(list, drive) => drive
                .changes(after)
                .filter(|&i| i != ROOT)
                .take(limit)
                .map(|i| of_file(list, drive, i))
                .collect(),
        }
    }

    pub fn seq(self) -> u64 {
        match self {
            Rows::Items(_, items) => items.seq(),
            Rows::Library(_, drive) => drive.seq(),
        }
    }

    /// When anything in the list changed last.
    pub fn changed_at(self) -> i64 {
        match self {
            Rows::Items(_, items) => items.changed_at(),
            Rows::Library(_, drive) => drive.changed_at(),
        }
    }

    /// The versions of an item, newest first; the first is the current one.
    pub fn versions(self, id: u64) -> Vec<Row<'a>> {
        let Some(current) = self.get(id) else {
            return Vec::new();
        };
        let mut out = vec![current.clone()];
        match self {
            Rows::Items(_, items) => {
                let older = items.get(id).map_or(&[][..], |i| &i.older);
                out.extend(older.iter().rev().map(|old| Row {
                    version: old.number,
                    fields: Cow::Borrowed(&old.fields),
                    modified: old.modified,
                    modified_by: &old.modified_by,
                    ..current.clone()
                }));
            }
            Rows::Library(_, drive) => {
                let file = current
                    .file
                    .as_ref()
                    .and_then(|f| drive.item(f.index).file());
                let older = file.map_or(&[][..], |f| &f.older);
                out.extend(older.iter().rev().map(|old| Row {
                    version: old.number,
                    fields: own_fields(old.fields.as_deref()),
                    modified: old.modified,
                    modified_by: &old.modified_by,
                    ..current.clone()
                }));
            }
        }
        out
    }
}

fn of_item(item: &Item) -> Row<'_> {
    Row {
        id: item.id,
        guid: item.guid,
        content_type: Cow::Borrowed(&item.content_type),
        fields: Cow::Borrowed(&item.fields),
        created: item.created,
        modified: item.modified,
        created_by: &item.created_by,
        modified_by: &item.modified_by,
        etag: item.etag,
        version: item.version,
        has_attachments: !item.attachments.is_empty(),
        deleted: item.deleted.is_some(),
        seq: item.seq,
        changed_at: item.deleted.as_ref().map_or(item.modified, |d| d.at),
        file: None,
    }
}

fn own_fields(fields: Option<&Fields>) -> Cow<'_, Fields> {
    match fields {
        Some(fields) => Cow::Borrowed(fields),
        None => Cow::Owned(Fields::new()),
    }
}

fn of_file<'a>(list: &'a List, drive: &'a Drive, index: Index) -> Row<'a> {
    let item = drive.item(index);
    let folder = item.folder();
    let is_page = list.template == "webPageLibrary" && item.name.ends_with(".aspx");
    let kind = match (folder.is_some(), is_page) {
        (true, _) => FOLDER,
        (false, true) => SITE_PAGE,
        (false, false) => DOCUMENT,
    };
    let own = item
        .fields
        .as_deref()
        .and_then(|f| f.get("ContentTypeId")?.as_str());
    let of_kind = || {
        let types = list.content_types.iter();
        let longest = types
            .filter(|t| t.id.starts_with(kind))
            .map(|t| t.id.as_str())
            .next();
        longest.unwrap_or(kind)
    };
    let folders = folder.map_or(0, |f| {
        let is_folder = |&&i: &&Index| drive.item(i).folder().is_some();
        f.children.values().filter(is_folder).count()
    });
    let all = folder.map_or(0, |f| f.children.len());
    Row {
        id: u64::from(index),
        guid: item.guid,
        content_type: Cow::Borrowed(own.unwrap_or_else(of_kind)),
        fields: own_fields(item.fields.as_deref()),
        created: item.created,
        modified: item.modified,
        created_by: &item.created_by,
        modified_by: &item.modified_by,
        etag: item.etag,
        version: item.file().map_or(1, |f| f.version),
        has_attachments: false,
        deleted: item.deleted,
        seq: item.seq,
        changed_at: item.changed_at,
        file: Some(File {
            index,
            name: &item.name,
            size: item.size(),
            folder: folder.is_some(),
            children: (folders, all - folders),
        }),
    }
}
