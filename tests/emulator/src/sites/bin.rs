//! The recycle bin of a site: deleted items, files and lists, for 93 days. What comes back has its old ids.

use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::drive::{Actor, Failure, Stamp};
use crate::world::World;

use super::tenant::{At, Tenant};
use super::web::lower;

/// What SharePoint calls the kinds of things in the bin.
const FILE: u8 = 1;
const LIST_ITEM: u8 = 3;
const LIST: u8 = 4;
const FOLDER: u8 = 5;

/// One deletion.
pub struct Entry {
    pub id: u128,
    pub title: String,
    /// Path of the folder it was in, without a slash before it.
    pub dir: String,
    pub at: i64,
    pub by: Actor,
    pub size: u64,
    pub kind: u8,
    place: Place,
}

/// Where something was deleted from: a list of the site, by its place there.
enum Place {
    List(usize),
    Item(usize, u64),
    File(usize),
}

/// What is in the bin of one site, the latest deletion first.
pub fn entries(world: &World, tenant: &Tenant, at: At) -> Vec<Entry> {
    let web = tenant.web(at);
    let now = world.clock.now();
    let mut out = Vec::new();
    for (n, list) in web.lists.iter().enumerate() {
        let root = format!("{}/{}", web.path, list.folder);
        let dir = |path: &str| path.trim_matches('/').to_owned();
        if let Some(deleted) = &list.deleted {
            if let Some(id) = deleted.bin {
                out.push(Entry {
                    id,
                    title: list.title.clone(),
                    dir: dir(root.rsplit_once('/').map_or("", |(above, _)| above)),
                    at: deleted.at,
                    by: deleted.by.clone(),
                    size: 0,
                    kind: LIST,
                    place: Place::List(n),
                });
            }
            continue;
        }
        for item in list.items().into_iter().flat_map(|items| items.binned()) {
            let deleted = item.deleted.as_ref();
            if let Some((deleted, id)) = deleted.and_then(|d| Some((d, d.bin?))) {
                let title = item.fields.get("Title").and_then(Value::as_str);
                out.push(Entry {
                    id,
                    title: title.unwrap_or_default().to_owned(),
                    dir: dir(&root),
                    at: deleted.at,
                    by: deleted.by.clone(),
                    size: 0,
                    kind: LIST_ITEM,
                    place: Place::Item(n, item.id),
                });
            }
        }
        let Some(handle) = list.drive().and_then(|id| world.drive.get(id)) else {
            continue;
        };
        let mut drive = handle.lock();
        for binned in drive.bin(now).to_vec() {
            let item = drive.item(binned.index);
            let above = drive.path(item.parent).join("/");
            out.push(Entry {
                id: binned.id,
                title: item.name.clone(),
                dir: dir(&format!("{root}/{above}")),
                at: binned.at,
                by: binned.by.clone(),
                size: binned.size,
                kind: if item.folder().is_some() {
                    FOLDER
                } else {
                    FILE
                },
                place: Place::File(n),
            });
        }
    }
    out.retain(|entry| entry.at + crate::drive::KEPT > now);
    out.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    out
}

/// Puts a deletion back where it was.
pub fn restore(
    world: &World,
    tenant: &mut Tenant,
    at: At,
    id: u128,
    stamp: &Stamp,
) -> Result<(), Failure> {
    let found = entries(world, tenant, at).into_iter().find(|e| e.id == id);
    let entry = found.ok_or_else(Failure::item_not_found)?;
    let web = tenant.web_mut(at);
    match entry.place {
        Place::List(n) => {
            let title = web.lists[n].title.clone();
            let same = |l: &&super::list::List| l.title.eq_ignore_ascii_case(&title);
            if web
                .lists
                .iter()
                .filter(|l| l.deleted.is_none())
                .any(|l| same(&l))
            {
                return Err(Failure::name_exists());
            }
            let list = &mut web.lists[n];
            list.deleted = None;
            if let (Some(drive), Some(id)) = (list.kept.take(), list.drive()) {
                world.drive.put_back(id.to_owned(), drive);
            }
            tenant.touch(at, stamp.now);
        }
        Place::Item(n, item) => {
            if let Some(items) = web.lists[n].items_mut() {
                items.unbin(item, true, stamp.now);
            }
        }
        Place::File(n) => {
            let handle = web.lists[n].drive().and_then(|id| world.drive.get(id));
            let handle = handle.ok_or_else(Failure::drive_not_found)?;
            handle.lock().restore(id, stamp)?;
        }
    }
    Ok(())
}

/// Takes a deletion out of the bin for good.
pub fn purge(world: &World, tenant: &mut Tenant, at: At, id: u128) -> Result<(), Failure> {
    let found = entries(world, tenant, at).into_iter().find(|e| e.id == id);
    let entry = found.ok_or_else(Failure::item_not_found)?;
    let now = world.clock.now();
    let web = tenant.web_mut(at);
    match entry.place {
        Place::List(n) => {
            web.lists[n].kept = None;
            if let Some(deleted) = &mut web.lists[n].deleted {
                deleted.bin = None;
            }
        }
        Place::Item(n, item) => {
            if let Some(items) = web.lists[n].items_mut() {
                items.unbin(item, false, now);
            }
        }
        Place::File(n) => {
            let handle = web.lists[n].drive().and_then(|id| world.drive.get(id));
            if let Some(handle) = handle {
                handle.lock().purge(id);
            }
        }
    }
    Ok(())
}

/// `GET /beta/sites/{id}/recycleBin/items`.
pub fn list(
    world: &World,
    request: &ApiRequest,
    tenant: &Tenant,
    at: At,
) -> Result<ApiResponse, Failure> {
    let value = entries(world, tenant, at)
        .iter()
        .map(|entry| {
            json!({
                "id": lower(entry.id), "title": entry.title, "size": entry.size,
                "deletedDateTime": rfc3339(entry.at), "deletedFromLocation": entry.dir,
            })
        })
        .collect();
    super::paged(world, request, "recycleBin/items", value, 200, 999)
}
