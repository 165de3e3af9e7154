//! Attachments of list items, which only SharePoint's own interface has.

use http::Method;
use serde_json::{Value, json};

use crate::api::ApiResponse;
use crate::drive::names::{check, media_type};
use crate::drive::{Content, Failure};

use super::dispatch::Need;
use super::list::{Item, List};
use super::rest::{self, Call, argument, not_found};
use super::tenant::{At, Tenant};
use super::web::{Web, lower};
use super::{forms, roles};

/// Largest attachment (bytes).
const MAX: usize = 250 << 20;

pub fn missing() -> Failure {
    let message = "Item does not exist. It may have been deleted by another user.";
    Failure::new(404, "itemNotFound", message)
}

fn get(list: &List, id: u64) -> Result<&Item, Failure> {
    let items = list.items().ok_or_else(not_found)?;
    items.get(id).ok_or_else(missing)
}

/// `items(id)` of a list, and what is below it.
pub fn item(
    call: &Call,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: u64,
    path: &[&str],
) -> Result<ApiResponse, Failure> {
    let (web, list) = (tenant.web(at), &tenant.web(at).lists[n]);
    let item = get(list, id)?;
    let first = path
        .first()
        .map(|s| s.to_ascii_lowercase())
        .unwrap_or_default();
    match (call.method.as_str(), first.as_str(), path) {
        ("GET", "", _) => {
            let mut json = json!({
                "Id": id, "ID": id, "GUID": lower(item.guid), "Title": item.fields.get("Title"),
                "Attachments": !item.attachments.is_empty(),
                "HasUniqueRoleAssignments": roles::unique(item.sharing.as_deref()),
            });
            let expand = call.request.option("expand").unwrap_or_default();
            if expand.eq_ignore_ascii_case("AttachmentFiles") {
                json["AttachmentFiles"] = files(web, list, item).into();
            }
            Ok(ApiResponse::ok(json))
        }
        ("POST", function, path) if rest::is_grant(function) => {
            let own = item.sharing.as_deref().and_then(|s| s.grants.clone());
            let above = super::sharing::of_item(web, list, None);
            let own = roles::changed(call, tenant, at, own, above, path)?;
            let items = tenant.web_mut(at).lists[n].items_mut();
            let item = items
                .and_then(|items| items.get_mut(id))
                .ok_or_else(missing)?;
            item.sharing.get_or_insert_default().grants = Some(own);
            Ok(rest::null())
        }
        ("MERGE", "", _) => forms::merge(call, tenant, at, n, id),
        ("POST", "validateupdatelistitem" | "validateupdatelistitem()", _) => {
            forms::fill_in(call, tenant, at, n, id)
        }
        ("GET", "roleassignments", _) => {
            let all = super::sharing::of_item(web, list, item.sharing.as_deref());
            Ok(roles::answer(&all))
        }
        ("GET", "attachmentfiles", [_]) => {
            Ok(ApiResponse::ok(json!({"value": files(web, list, item)})))
        }
        ("POST", "attachmentfiles", [_, add]) if add.to_ascii_lowercase().starts_with("add(") => {
            let name = argument(add);
            if check(&name, false, false).is_err() {
                return Err(Failure::invalid("The file name is not valid."));
            }
            if held(item, &name).is_some() {
                let message = "The specified name is already in use.";
                return Err(Failure::new(400, "nameAlreadyExists", message));
            }
            let json = file(web, list, id, &name);
            put(call, tenant, at, n, id, name)?;
            Ok(ApiResponse::ok(json))
        }
        (_, named, [segment, rest @ ..]) if named.starts_with("attachmentfiles(") => {
            one(call, tenant, at, n, id, &argument(segment), rest)
        }
        _ => Err(not_found()),
    }
}

/// `AttachmentFiles('name')`, and its bytes at `$value`.
fn one(
    call: &Call,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: u64,
    name: &str,
    path: &[&str],
) -> Result<ApiResponse, Failure> {
    let (web, list) = (tenant.web(at), &tenant.web(at).lists[n]);
    let found = held(get(list, id)?, name);
    let (name, content) = found
        .map(|(k, c)| (k.clone(), c.clone()))
        .ok_or_else(missing)?;
    match (call.method.as_str(), path) {
        ("GET", []) => Ok(ApiResponse::ok(file(web, list, id, &name))),
        ("GET", ["$value"]) => bytes(&name, &content),
        ("PUT", ["$value"]) => {
            put(call, tenant, at, n, id, name)?;
            Ok(ApiResponse::no_content())
        }
        ("DELETE", []) => {
            call.need(Need::Write, web)?;
            change(call, tenant, at, n, id, |item| {
                item.attachments.remove(&name);
            });
            Ok(ApiResponse::no_content())
        }
        _ => Err(not_found()),
    }
}

/// `GetFileByServerRelativePath(DecodedUrl='...')/$value`, for attachments.
pub fn by_path(
    call: &Call,
    tenant: &Tenant,
    at: At,
    function: &str,
    path: &[&str],
) -> Result<ApiResponse, Failure> {
    if call.method != Method::GET || path != ["$value"] {
        return Err(not_found());
    }
    let wanted = argument(function);
    let web = tenant.web(at);
    for list in web.lists.iter().filter(|l| l.deleted.is_none()) {
        let root = format!("{}/{}/Attachments/", web.path, list.folder);
        let Some((id, name)) = wanted.strip_prefix(&root).and_then(|r| r.split_once('/')) else {
            continue;
        };
        let id = id.parse().map_err(|_| not_found())?;
        let (name, content) = held(get(list, id)?, name).ok_or_else(missing)?;
        return bytes(name, content);
    }
    Err(missing())
}

/// An attachment by its name, in any letter case.
fn held<'a>(item: &'a Item, name: &str) -> Option<(&'a String, &'a Content)> {
    item.attachments
        .iter()
        .find(|(k, _)| k.eq_ignore_ascii_case(name))
}

fn bytes(name: &str, content: &Content) -> Result<ApiResponse, Failure> {
    let all = content
        .read(0, content.len() as usize)
        .map_err(Failure::io)?;
    Ok(ApiResponse::bytes(200, all, media_type(name)))
}

fn put(
    call: &Call,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: u64,
    name: String,
) -> Result<(), Failure> {
    call.need(Need::Write, tenant.web(at))?;
    if call.request.body.len() > MAX {
        return Err(Failure::new(
            413,
            "invalidRequest",
            "The attachment is too large.",
        ));
    }
    let content = Content::store(call.request.body.clone()).map_err(Failure::io)?;
    change(call, tenant, at, n, id, |item| {
        item.attachments.insert(name, content);
    });
    Ok(())
}

/// A change of attachments is a new version of the item with the same values.
fn change(
    call: &Call,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: u64,
    then: impl FnOnce(&mut Item),
) {
    let Some(items) = tenant.web_mut(at).lists[n].items_mut() else {
        return;
    };
    if let Some(item) = items.get_mut(id) {
        then(item);
        let fields = item.fields.clone();
        items.update(id, fields, &call.stamp);
    }
}

fn files(web: &Web, list: &List, item: &Item) -> Vec<Value> {
    item.attachments
        .keys()
        .map(|name| file(web, list, item.id, name))
        .collect()
}

fn file(web: &Web, list: &List, id: u64, name: &str) -> Value {
    let path = format!("{}/{}/Attachments/{id}/{name}", web.path, list.folder);
    json!({
        "FileName": name, "FileNameAsPath": {"DecodedUrl": name}, "ServerRelativeUrl": path,
        "ServerRelativePath": {"DecodedUrl": path},
    })
}
