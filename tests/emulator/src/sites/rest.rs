//! SharePoint's own REST interface (`https://{host}/{site}/_api/...`), for what Graph does not have: attachments of
//! list items, the recycle bin, people a site does not know yet, who has which role, and values of items that only
//! forms take.
//!
//! It takes tokens for the site's own host, of applications that proved themselves by a certificate. Answers are
//! those to `Accept: application/json;odata=nometadata`.

use http::Method;
use serde_json::{Value, json};

use crate::api::{ApiResponse, Caller, RawRequest};
use crate::drive::{self, Failure, Stamp};
use crate::throttle;
use crate::world::World;

use super::dispatch::{Need, check_open};
use super::tenant::{At, Tenant};
use super::web::{Web, lower};
use super::{attachments, bin, forms, people, roles};

/// What a call costs; there is no fixed price, but it is more than Graph's.
const UNITS: u64 = 3;

/// One call: who calls, and what is wanted of which site.
pub struct Call<'a> {
    pub world: &'a World,
    pub request: &'a RawRequest,
    /// What to do: a POST may stand for another method (`X-HTTP-Method`).
    pub method: Method,
    pub caller: Caller,
    pub stamp: Stamp,
}

impl Call<'_> {
    pub fn need(&self, need: Need, web: &Web) -> Result<(), Failure> {
        need.check_caller(&self.caller, Some(web))
    }

    pub fn body(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.request.body)
            .map_err(|_| Failure::invalid("Invalid JSON. An unexpected token was found."))
    }
}

/// True for paths that this answers.
pub fn is_rest(path: &[String]) -> bool {
    path.iter().any(|s| s.eq_ignore_ascii_case("_api"))
}

/// The path without names and numbers: `/{site}/_api/web/lists()/items()/AttachmentFiles`.
pub fn template(path: &[String]) -> String {
    let at = path.iter().position(|s| s.eq_ignore_ascii_case("_api"));
    let below = joined(&path[at.unwrap_or(0)..]);
    let names = below.iter().map(|s| match s.split_once('(') {
        Some((name, _)) => format!("{name}()"),
        None => s.clone(),
    });
    format!("/{{site}}/{}", names.collect::<Vec<_>>().join("/"))
}

/// Segments with the slashes inside of quotes put back: `GetFileByServerRelativePath(DecodedUrl='/a/b')` is one.
fn joined(segments: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for segment in segments {
        match out.last_mut() {
            Some(open) if open.matches('\'').count() % 2 == 1 => {
                open.push('/');
                open.push_str(segment);
            }
            _ => out.push(segment.clone()),
        }
    }
    out
}

/// Answers a request whose path has `_api` in it.
pub fn handle(world: &World, request: &RawRequest) -> ApiResponse {
    let at = request
        .path
        .iter()
        .position(|s| s.eq_ignore_ascii_case("_api"));
    let (site, below) = request.path.split_at(at.unwrap_or(0));
    let path: String = site.iter().map(|s| format!("/{s}")).collect();
    let mut tenant = world.sites.0.lock();
    let found = tenant.by_prefix(&path).filter(|(_, rest)| rest.is_empty());
    let Some((at, _)) = found else {
        return refusal(Failure::new(404, "itemNotFound", "404 FILE NOT FOUND"));
    };
    let host = tenant.web(at).host.clone();
    let caller = match world.auth.sharepoint_caller(world, &request.headers, &host) {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    if world.options.throttle == crate::options::Throttle::Real {
        let key = throttle::Key::SharePoint {
            app: caller.app_id.clone(),
        };
        if let Err(refused) = world.throttle.admit_units(world, &key, UNITS) {
            return refused;
        }
    }
    let method = request
        .header("x-http-method")
        .filter(|_| request.method == Method::POST)
        .and_then(|m| Method::from_bytes(m.to_ascii_uppercase().as_bytes()).ok())
        .unwrap_or_else(|| request.method.clone());
    let call = Call {
        world,
        request,
        method,
        stamp: drive::caller_stamp(world, &caller),
        caller,
    };
    let below = joined(&below[1..]);
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    answer(&call, &mut tenant, at, &below).unwrap_or_else(refusal)
}

/// An error in SharePoint's own words.
fn refusal(failure: Failure) -> ApiResponse {
    let code = match failure.status {
        404 => "-2130575338, Microsoft.SharePoint.SPException",
        403 => "-2147024891, System.UnauthorizedAccessException",
        409 => "-2130575257, Microsoft.SharePoint.SPException",
        _ => "-1, Microsoft.SharePoint.Client.InvalidClientQueryException",
    };
    ApiResponse::json(
        failure.status,
        json!({"odata.error": {"code": code, "message": {"lang": "en-US", "value": failure.message}}}),
    )
}

fn answer(call: &Call, tenant: &mut Tenant, at: At, path: &[&str]) -> Result<ApiResponse, Failure> {
    call.need(Need::Read, tenant.web(at))?;
    check_open(tenant, at)?;
    let lower: Vec<String> = path.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match (call.method.as_str(), lower.as_slice()) {
        ("GET", ["web"]) => {
            let web = tenant.web(at);
            Ok(ApiResponse::ok(json!({
                "Id": self::lower(web.guid), "Title": web.title, "Url": web.url(),
                "ServerRelativeUrl": if web.path.is_empty() { "/" } else { &web.path },
            })))
        }
        ("POST", ["web", "ensureuser"]) => ensure_user(call, tenant, at),
        ("GET", ["web", "roleassignments"]) => Ok(roles::of_site(tenant.web(at))),
        ("GET", ["web", "roledefinitions"]) => Ok(roles::levels()),
        ("GET", ["web", "regionalsettings"]) => Ok(forms::region(tenant.web(at))),
        ("GET", ["web", "sitegroups", function]) if function.starts_with("getbyname(") => {
            roles::group(tenant, at, &argument(path[2]))
        }
        (_, ["web" | "site", "recyclebin", below @ ..]) => {
            let scope = match lower[0] {
                "site" => tenant.tree(tenant.top(at)),
                _ => vec![at],
            };
            recycle_bin(call, tenant, &scope, below)
        }
        (_, ["web", function, ..]) if function.starts_with("getfilebyserverrelative") => {
            attachments::by_path(call, tenant, at, path[1], &lower[2..])
        }
        (_, ["web", "lists", function, ..]) if function.starts_with("getbytitle(") => {
            list(call, tenant, at, argument(path[2]), &path[3..])
        }
        (_, ["web", function, ..]) if function.starts_with("lists(") => {
            list(call, tenant, at, argument(path[1]), &path[2..])
        }
        _ => Err(not_found()),
    }
}

/// True for what changes who may do what.
pub fn is_grant(segment: &str) -> bool {
    let segment = segment.to_ascii_lowercase();
    segment.starts_with("breakroleinheritance(") || segment == "roleassignments"
}

/// The answer of what has nothing to say.
pub fn null() -> ApiResponse {
    ApiResponse::ok(json!({"odata.null": true}))
}

/// What is said of a resource that does not exist.
pub fn not_found() -> Failure {
    Failure::new(404, "itemNotFound", "Cannot find resource for the request.")
}

/// What stands in the parentheses of a segment, without quotes: `guid'x'`, `'x'`, `7`, `FileName='x'`.
pub fn argument(segment: &str) -> String {
    let inner = segment.split_once('(').map_or("", |(_, rest)| rest);
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    match inner.split_once('\'') {
        Some((_, rest)) => rest.strip_suffix('\'').unwrap_or(rest).replace("''", "'"),
        None => inner.to_owned(),
    }
}

fn list(
    call: &Call,
    tenant: &mut Tenant,
    at: At,
    key: String,
    path: &[&str],
) -> Result<ApiResponse, Failure> {
    let missing = || Failure::new(404, "itemNotFound", "List does not exist.");
    let n = tenant.web(at).find(&key).ok_or_else(missing)?;
    match path {
        ["roleassignments"] if call.method == Method::GET => {
            let web = tenant.web(at);
            Ok(roles::of_list(web, &web.lists[n]))
        }
        [] if call.method == Method::GET => {
            let list = &tenant.web(at).lists[n];
            Ok(ApiResponse::ok(json!({
                "Id": lower(list.guid), "Title": list.title, "Hidden": list.hidden,
                "HasUniqueRoleAssignments": roles::unique(list.sharing.as_deref()),
            })))
        }
        [first, ..] if call.method == Method::POST && is_grant(first) => {
            let (web, list) = (tenant.web(at), &tenant.web(at).lists[n]);
            let own = list.sharing.as_deref().and_then(|s| s.grants.clone());
            let own = roles::changed(call, tenant, at, own, web.grants(), path)?;
            let list = &mut tenant.web_mut(at).lists[n];
            list.sharing.get_or_insert_default().grants = Some(own);
            Ok(null())
        }
        ["items"] if call.method == Method::GET => roles::listing(call, &tenant.web(at).lists[n]),
        [item, rest @ ..] if item.to_ascii_lowercase().starts_with("items(") => {
            let id: u64 = argument(item).parse().map_err(|_| not_found())?;
            attachments::item(call, tenant, at, n, id, rest)
        }
        _ => Err(not_found()),
    }
}

/// `POST web/ensureuser`: makes somebody of the directory known to the site collection.
fn ensure_user(call: &Call, tenant: &mut Tenant, at: At) -> Result<ApiResponse, Failure> {
    call.need(Need::Full, tenant.web(at))?;
    let body = call.body()?;
    let name = body["logonName"].as_str().unwrap_or_default();
    let upn = name.rsplit('|').next().unwrap_or(name);
    let user = call.world.user(upn).ok_or_else(|| {
        Failure::new(
            404,
            "itemNotFound",
            format!("The specified user {name} could not be found."),
        )
    })?;
    let number = tenant.web(at).first_user + user.index as u64;
    let top = tenant.top(at);
    let web = tenant.web_mut(top);
    let guid = web.new_guid();
    let list = web.find(super::tenant::PEOPLE).map(|n| &mut web.lists[n]);
    let items = list.and_then(|l| l.items_mut()).ok_or_else(not_found)?;
    if items.get(number).is_none() {
        let entry = people::user(&user);
        let kind = entry.content_type.to_owned();
        items.add(Some(number), guid, kind, entry.fields, &call.stamp);
    }
    Ok(ApiResponse::ok(json!({
        "Id": number, "LoginName": people::login_name(&user.upn), "Title": user.display_name,
        "Email": user.mail, "PrincipalType": 1, "UserPrincipalName": user.upn,
    })))
}

fn recycle_bin(
    call: &Call,
    tenant: &mut Tenant,
    scope: &[At],
    path: &[&str],
) -> Result<ApiResponse, Failure> {
    let ids = |tenant: &Tenant, wanted: &dyn Fn(u128) -> bool| -> Vec<(At, u128)> {
        let all = scope.iter().flat_map(|&at| {
            let entries = bin::entries(call.world, tenant, at);
            entries.into_iter().map(move |e| (at, e.id))
        });
        all.filter(|(_, id)| wanted(*id)).collect()
    };
    let guid = |text: &str| uuid::Uuid::parse_str(text).ok().map(|g| g.as_u128());
    match (call.method.as_str(), path) {
        ("GET", []) => {
            // Nothing is ever in the second stage.
            let second = call
                .request
                .option("filter")
                .is_some_and(|f| f.contains("ItemState eq 2"));
            let mut value = Vec::new();
            for &at in scope.iter().filter(|_| !second) {
                let entries = bin::entries(call.world, tenant, at);
                value.extend(entries.iter().map(|entry| json(tenant.web(at), entry)));
            }
            Ok(ApiResponse::ok(json!({"value": value})))
        }
        ("POST", ["restorebyids" | "restoreall" | "deleteall"]) => {
            call.need(Need::Full, tenant.web(scope[0]))?;
            let found = if path[0] == "restorebyids" {
                let body = call.body()?;
                let wanted = body["ids"].as_array().into_iter().flatten();
                let wanted: Vec<u128> = wanted.filter_map(|id| guid(id.as_str()?)).collect();
                ids(tenant, &|id| wanted.contains(&id))
            } else {
                ids(tenant, &|_| true)
            };
            for (at, id) in found {
                match path[0] {
                    "deleteall" => bin::purge(call.world, tenant, at, id)?,
                    _ => bin::restore(call.world, tenant, at, id, &call.stamp)?,
                }
            }
            Ok(null())
        }
        _ => Err(not_found()),
    }
}

fn json(web: &Web, entry: &bin::Entry) -> Value {
    let by = drive::render::identity_set(&web.home("", "", false), &entry.by);
    json!({
        "Id": lower(entry.id), "Title": entry.title, "LeafName": entry.title, "DirName": entry.dir,
        "DeletedDate": crate::clock::rfc3339(entry.at), "DeletedByName": by["user"]["displayName"],
        "DeletedByEmail": by["user"]["email"], "ItemState": 1, "ItemType": entry.kind,
        "Size": entry.size.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_lose_their_quotes() {
        assert_eq!(argument("lists(guid'0a-b')"), "0a-b");
        assert_eq!(argument("AttachmentFiles('it''s (1).txt')"), "it's (1).txt");
        assert_eq!(argument("items(7)"), "7");
        assert_eq!(argument("add(FileName='a.txt')"), "a.txt");
        let path = [
            "sites",
            "x",
            "_api",
            "web",
            "lists(guid'1')",
            "items(2)",
            "AttachmentFiles",
        ];
        let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!(
            template(&path),
            "/{site}/_api/web/lists()/items()/AttachmentFiles"
        );
    }
}
