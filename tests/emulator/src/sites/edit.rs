//! Changing the items of a list: new ones, other values, deletion, older versions.

use serde_json::{Map, Value};

use crate::api::{ApiRequest, ApiResponse};
use crate::drive::{self, Conflict, Failure, Fields, Index, Stamp};
use crate::world::World;

use super::items::{self, check_match, find};
use super::list::Store;
use super::tenant::{At, Tenant};
use super::with_rows;
use super::write::Target;

/// Lists of the service itself are not written to.
fn check_list(tenant: &Tenant, at: At, n: usize) -> Result<(), Failure> {
    match tenant.web(at).lists[n].hidden {
        true => Err(Failure::new(
            403,
            "accessDenied",
            "The list is maintained by the service.",
        )),
        false => Ok(()),
    }
}

/// The content type that a body names, which must be one of the list's.
fn content_type(
    tenant: &Tenant,
    at: At,
    n: usize,
    body: &Value,
) -> Result<Option<String>, Failure> {
    let Some(wanted) = body["contentType"]["id"].as_str() else {
        return Ok(None);
    };
    let list = &tenant.web(at).lists[n];
    let found = list
        .content_types
        .iter()
        .find(|t| t.id.eq_ignore_ascii_case(wanted));
    let found =
        found.ok_or_else(|| Failure::invalid("The content type is not one of this list's."))?;
    Ok(Some(found.id.clone()))
}

/// `POST .../items`.
pub fn create(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
) -> Result<ApiResponse, Failure> {
    check_list(tenant, at, n)?;
    let body = super::body(request)?;
    let stamp = drive::request_stamp(world, request);
    let list = &tenant.web(at).lists[n];
    if list.items().is_none() {
        return Err(Failure::invalid(
            "Items of a library are files; upload them to its drive.",
        ));
    }
    let target = Target {
        tenant,
        at,
        list,
        now: stamp.now,
    };
    let empty = Map::new();
    let values = match &body["fields"] {
        Value::Null => &empty,
        Value::Object(values) => values,
        _ => return Err(Failure::invalid("The fields must be an object.")),
    };
    let fields = target.apply(&target.defaults(), values, None)?;
    let kind = content_type(tenant, at, n, &body)?;
    let kind = kind.unwrap_or_else(|| list.default_type().to_owned());
    let web = tenant.web_mut(at);
    let guid = web.new_guid();
    let Some(items) = web.lists[n].items_mut() else {
        return Err(Failure::item_not_found());
    };
    let id = items.add(None, guid, kind, fields, &stamp);
    with_rows(world, tenant, at, n, |place| {
        let row = find(&place, &id.to_string())?;
        items::answer(world, request, &place, &row, 201)
    })
}

/// `PATCH .../items/{id}`: its content type, and its values.
pub fn patch(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let body = super::body(request)?;
    let kind = content_type(tenant, at, n, &body)?;
    let empty = Map::new();
    let values = body["fields"].as_object().unwrap_or(&empty);
    set(world, request, tenant, at, n, id, values, kind)?;
    with_rows(world, tenant, at, n, |place| {
        let row = find(&place, id)?;
        items::answer(world, request, &place, &row, 200)
    })
}

/// `PATCH .../items/{id}/fields`.
pub fn patch_fields(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let body = super::body(request)?;
    let Some(values) = body.as_object() else {
        return Err(Failure::invalid("The body must be a fieldValueSet."));
    };
    set(world, request, tenant, at, n, id, values, None)?;
    with_rows(world, tenant, at, n, |place| {
        let row = find(&place, id)?;
        items::fields(request, &place, &row)
    })
}

#[allow(clippy::too_many_arguments)] // What a request says, and where it leads.
fn set(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: &str,
    values: &Map<String, Value>,
    kind: Option<String>,
) -> Result<(), Failure> {
    check_list(tenant, at, n)?;
    let stamp = drive::request_stamp(world, request);
    let mut values = values.clone();
    // The name of a file is no value of a column.
    let name = values
        .remove("FileLeafRef")
        .filter(|_| tenant.web(at).lists[n].items().is_none());
    let (id, mut fields) = with_rows(world, tenant, at, n, |place| {
        let row = find(&place, id)?;
        check_match(request, &row)?;
        let target = Target::from((place, stamp.now));
        Ok((row.id, target.apply(&row.fields, &values, Some(row.id))?))
    })?;
    let list = &mut tenant.web_mut(at).lists[n];
    match &mut list.store {
        Store::Items(items) => {
            items.update(id, fields, &stamp);
            if let (Some(kind), Some(item)) = (kind, items.get_mut(id)) {
                item.content_type = kind;
            }
            Ok(())
        }
        Store::Library(drive) => {
            let handle = world
                .drive
                .get(drive)
                .ok_or_else(Failure::drive_not_found)?;
            let mut drive = handle.lock();
            let index = id as Index;
            if let Some(kind) = kind {
                fields.insert("ContentTypeId".into(), kind.into());
            }
            if let Some(name) = name.as_ref().and_then(Value::as_str) {
                rename(&mut drive, index, name, &stamp)?;
            }
            if !values.is_empty() || fields.contains_key("ContentTypeId") {
                drive.set_fields(index, fields, &stamp);
            }
            Ok(())
        }
    }
}

fn rename(
    drive: &mut drive::Drive,
    index: Index,
    name: &str,
    stamp: &Stamp,
) -> Result<(), Failure> {
    let item = drive.item(index);
    let (parent, folder) = (item.parent, item.folder().is_some());
    drive.place(parent, name, folder, Conflict::Fail, Some(index))?;
    drive.relocate(index, parent, name.to_owned(), stamp);
    Ok(())
}

/// `DELETE .../items/{id}`: into the recycle bin.
pub fn delete(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: &str,
) -> Result<ApiResponse, Failure> {
    check_list(tenant, at, n)?;
    let stamp = drive::request_stamp(world, request);
    let id = with_rows(world, tenant, at, n, |place| {
        let row = find(&place, id)?;
        check_match(request, &row)?;
        Ok(row.id)
    })?;
    let web = tenant.web_mut(at);
    let bin = web.new_guid();
    match &mut web.lists[n].store {
        Store::Items(items) => items.delete(id, Some(bin), &stamp),
        Store::Library(drive) => {
            let handle = world
                .drive
                .get(drive)
                .ok_or_else(Failure::drive_not_found)?;
            handle.lock().delete(id as Index, true, &stamp);
        }
    }
    Ok(ApiResponse::no_content())
}

/// `POST .../versions/{id}/restoreVersion`: old values as a new version.
pub fn restore_version(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: &str,
    version: &str,
) -> Result<ApiResponse, Failure> {
    check_list(tenant, at, n)?;
    let stamp = drive::request_stamp(world, request);
    let (id, number, fields): (u64, u32, Fields) = with_rows(world, tenant, at, n, |place| {
        let row = find(&place, id)?;
        let old = items::find_version(&place, &row, version)?;
        if old.version == row.version {
            return Err(Failure::invalid("The current version can not be restored."));
        }
        Ok((row.id, old.version, old.fields.into_owned()))
    })?;
    match &mut tenant.web_mut(at).lists[n].store {
        Store::Items(items) => items.update(id, fields, &stamp),
        Store::Library(drive) => {
            let handle = world
                .drive
                .get(drive)
                .ok_or_else(Failure::drive_not_found)?;
            let mut drive = handle.lock();
            drive.bring_back(id as Index, number, &stamp)?;
        }
    }
    Ok(ApiResponse::no_content())
}
