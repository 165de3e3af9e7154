//! Who may do what: in a site, with a list, with an item.
//!
//! A list has the grants of its site and an item those of its list, until they are given their own. Items of
//! libraries are shared through their drive. `/sites/{id}/permissions` is about applications only.

use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::drive::sharing::{Permission, Sharing};
use crate::drive::{Failure, permissions, render};
use crate::world::World;

use super::list::List;
use super::tenant::{At, Tenant};
use super::web::{AppGrant, Web};

/// What is in force on a list: grants first, then links.
pub fn of_list(web: &Web, list: &List) -> Vec<Permission> {
    let own = list.sharing.as_deref();
    let grants = own.and_then(|s| s.grants.clone());
    let mut out = grants.unwrap_or_else(|| web.grants());
    out.extend(own.into_iter().flat_map(|s| s.links.iter().cloned()));
    out
}

/// What is in force on an item of a list that is no library.
pub fn of_item(web: &Web, list: &List, sharing: Option<&Sharing>) -> Vec<Permission> {
    let above = list.sharing.as_deref();
    let grants = [sharing, above]
        .into_iter()
        .flatten()
        .find_map(|s| s.grants.clone());
    let mut out = grants.unwrap_or_else(|| web.grants());
    for own in [sharing, above].into_iter().flatten() {
        out.extend(own.links.iter().cloned());
    }
    out
}

/// Permissions as an answer.
pub fn collection(request: &ApiRequest, web: &Web, all: &[Permission]) -> ApiResponse {
    let home = web.home("", "", false);
    let value: Vec<Value> = all.iter().map(|p| render::permission(p, &home)).collect();
    ApiResponse::ok(
        json!({"@odata.context": request.context("Collection(permission)"), "value": value}),
    )
}

/// One permission of several, by its id.
pub fn one(
    request: &ApiRequest,
    web: &Web,
    all: &[Permission],
    id: &str,
) -> Result<ApiResponse, Failure> {
    let found = all
        .iter()
        .find(|p| p.id == id)
        .ok_or_else(Failure::item_not_found)?;
    Ok(single(request, web, found, 200))
}

fn single(request: &ApiRequest, web: &Web, permission: &Permission, status: u16) -> ApiResponse {
    let mut value = render::permission(permission, &web.home("", "", false));
    value["@odata.context"] = request.context("permission/$entity").into();
    ApiResponse::json(status, value)
}

/// `POST .../items/{id}/createLink` in a list that is no library.
pub fn create_link(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let body = super::body(request)?;
    let web = tenant.web_mut(at);
    let wanted = permissions::link(world, &web.home("", "", false), &body, 'l')?;
    let kept = of_list(web, &web.lists[n]);
    let item = web.lists[n]
        .items_mut()
        .and_then(|items| items.get_mut(id.parse().ok()?))
        .ok_or_else(Failure::item_not_found)?;
    let sharing = item.sharing.get_or_insert_default();
    let same = |p: &&Permission| permissions::same_link(p, &wanted);
    if let Some(existing) = sharing.links.iter().find(same).cloned() {
        return Ok(single(request, web, &existing, 200));
    }
    if body["retainInheritedPermissions"].as_bool() == Some(false) && sharing.grants.is_none() {
        let owner = |p: &Permission| p.roles.iter().any(|r| r == "owner");
        sharing.grants = Some(kept.into_iter().filter(owner).collect());
    }
    sharing.links.push(wanted.clone());
    let id = item.id;
    if let Some(items) = web.lists[n].items_mut() {
        items.changed(id, world.clock.now());
    }
    Ok(single(request, web, &wanted, 201))
}

/// `DELETE .../items/{id}/permissions/{id}` in a list that is no library: only what is the item's own.
pub fn delete(
    world: &World,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: &str,
    permission: &str,
) -> Result<ApiResponse, Failure> {
    let items = tenant.web_mut(at).lists[n].items_mut();
    let items = items.ok_or_else(Failure::item_not_found)?;
    let id = id.parse().map_err(|_| Failure::item_not_found())?;
    let item = items.get_mut(id).ok_or_else(Failure::item_not_found)?;
    let inherited = || {
        let message = "The permission is inherited and can not be changed here.";
        Failure::new(403, "accessDenied", message)
    };
    let sharing = item.sharing.as_deref_mut().ok_or_else(inherited)?;
    let grants = sharing.grants.get_or_insert_default();
    let before = sharing.links.len() + grants.len();
    sharing.links.retain(|p| p.id != permission);
    grants.retain(|p| p.id != permission);
    if sharing.links.len() + grants.len() == before {
        return Err(inherited());
    }
    items.changed(id, world.clock.now());
    Ok(ApiResponse::no_content())
}

fn grant_json(grant: &AppGrant) -> Value {
    let identity = json!([{"application": {"id": grant.app, "displayName": grant.name}}]);
    json!({
        "id": grant.id, "roles": grant.roles, "grantedToIdentities": identity,
        "grantedToIdentitiesV2": identity,
    })
}

fn roles(body: &Value) -> Result<Vec<String>, Failure> {
    let known = ["read", "write", "owner", "fullcontrol", "manage"];
    let roles: Vec<String> = body["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if roles.is_empty() || roles.iter().any(|r| !known.contains(&r.as_str())) {
        return Err(Failure::invalid(
            "The roles must be read, write, owner or fullcontrol.",
        ));
    }
    Ok(roles)
}

/// `/sites/{id}/permissions`: what applications with `Sites.Selected` may do in the site.
pub fn site(
    world: &World,
    request: &ApiRequest,
    web: &mut Web,
    rest: &[&str],
) -> Result<ApiResponse, Failure> {
    let context = "permission/$entity";
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let value: Vec<Value> = web.apps.iter().map(grant_json).collect();
            let context = request.context("Collection(permission)");
            Ok(ApiResponse::ok(
                json!({"@odata.context": context, "value": value}),
            ))
        }
        ("POST", []) => {
            let body = super::body(request)?;
            let roles = roles(&body)?;
            let identities = ["grantedToIdentitiesV2", "grantedToIdentities"];
            let first = identities.iter().find_map(|k| body[*k].as_array()?.first());
            let single = ["grantedToV2", "grantedTo"];
            let identity = first.or_else(|| single.iter().find_map(|k| body.get(*k)));
            let Some(app) = identity.and_then(|i| i["application"]["id"].as_str()) else {
                return Err(Failure::invalid(
                    "Permissions of a site are granted to applications.",
                ));
            };
            let name = identity.and_then(|i| i["application"]["displayName"].as_str());
            let grant = AppGrant {
                id: world.drive.new_handle("application"),
                app: app.to_owned(),
                name: name.unwrap_or_default().to_owned(),
                roles,
            };
            let mut value = grant_json(&grant);
            web.apps.push(grant);
            value["@odata.context"] = request.context(context).into();
            Ok(ApiResponse::json(201, value))
        }
        (method, [id]) => {
            let found = web.apps.iter().position(|g| g.id == *id);
            let place = found.ok_or_else(Failure::item_not_found)?;
            match method {
                "GET" => {}
                "PATCH" => web.apps[place].roles = roles(&super::body(request)?)?,
                "DELETE" => {
                    web.apps.remove(place);
                    return Ok(ApiResponse::no_content());
                }
                _ => return Ok(ApiResponse::method_not_allowed()),
            }
            let mut value = grant_json(&web.apps[place]);
            value["@odata.context"] = request.context(context).into();
            Ok(ApiResponse::ok(value))
        }
        (_, []) => Ok(ApiResponse::method_not_allowed()),
        (_, [.., last]) => Ok(ApiResponse::no_such_segment(last)),
    }
}
