//! Libraries: drives of sites, and from a drive's item to the list item that it is, and back.

use http::Method;
use serde_json::Value;

use crate::api::{ApiRequest, ApiResponse, Body};
use crate::drive::render::{self, Select};
use crate::drive::route::{Address, Base, Rest, Route, below_drive};
use crate::drive::{self, Failure};
use crate::options::Quirk;
use crate::world::World;

use super::dispatch::{self, Need, check_open};
use super::expand;
use super::item_json::{self, Wanted};
use super::list::List;
use super::tenant::{At, Tenant};
use super::with_rows;

/// Where a path below a site leads that may be about its drives.
pub enum Found {
    /// To a drive with this id, and what is wanted of it.
    Drive(String, Rest),
    Answer(ApiResponse),
    Nothing,
}

/// `drive...`, `drives...`, `lists/{id}/drive...` and `lists/{id}/items/{id}/driveItem...` below a site.
pub fn site_drive(
    world: &World,
    request: &ApiRequest,
    tenant: &Tenant,
    at: At,
    rest: &[String],
) -> Result<Found, Failure> {
    let lower: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let web = tenant.web(at);
    let check = || {
        may_use_drives(request, tenant, at)?;
        check_open(tenant, at)
    };
    let library = |list: Option<usize>| -> Result<(usize, String), Failure> {
        let n = list.ok_or_else(Failure::item_not_found)?;
        let drive = web.lists[n].drive().map(str::to_owned);
        Ok((n, drive.ok_or_else(Failure::item_not_found)?))
    };
    let tail = |count: usize| below_drive(rest[rest.len() - count..].to_vec());
    match lower.as_slice() {
        ["drives"] => {
            check()?;
            Ok(Found::Answer(drives(world, request, tenant, at)?))
        }
        ["drives", _, below @ ..] => {
            check()?;
            let there = |l: &List| l.deleted.is_none() && l.drive() == Some(&rest[1]);
            let (_, drive) = library(web.lists.iter().position(there))?;
            Ok(Found::Drive(drive, tail(below.len())))
        }
        ["drive", below @ ..] => {
            check()?;
            let (_, drive) = library(default_library(&web.lists))?;
            Ok(Found::Drive(drive, tail(below.len())))
        }
        ["lists", _, "drive", below @ ..] => {
            check()?;
            let (_, drive) = library(web.find(&rest[1]))?;
            Ok(Found::Drive(drive, tail(below.len())))
        }
        ["lists", _, "items", _, "driveitem", below @ ..] => {
            check()?;
            let (n, drive) = library(web.find(&rest[1]))?;
            let id = with_rows(world, tenant, at, n, |place| {
                let row = super::items::find(&place, &rest[3])?;
                let drive = place.rows.drive().zip(row.file);
                let (drive, file) = drive.ok_or_else(Failure::item_not_found)?;
                Ok(drive.id_of(file.index))
            })?;
            let address = Address {
                base: Base::Id(id),
                path: Vec::new(),
            };
            let nav = rest[rest.len() - below.len()..].to_vec();
            Ok(Found::Drive(drive, Rest::Item { address, nav }))
        }
        _ => Ok(Found::Nothing),
    }
}

/// What may read or change files may do so in libraries too.
fn may_use_drives(request: &ApiRequest, tenant: &Tenant, at: At) -> Result<(), Failure> {
    let (allowed, need) = match request.method {
        Method::GET => (drive::READ, Need::Read),
        _ => (drive::WRITE, Need::Write),
    };
    match request.caller.has_any(allowed) {
        true => Ok(()),
        false => need.check(request, Some(tenant.web(at))),
    }
}

/// The library that `/sites/{id}/drive` means.
fn default_library(lists: &[List]) -> Option<usize> {
    lists.iter().position(|l| {
        let usual = !l.system && l.template != "webPageLibrary";
        l.deleted.is_none() && usual && l.drive().is_some()
    })
}

/// `GET /sites/{id}/drives`: those of the service itself only when `system` is named.
fn drives(
    world: &World,
    request: &ApiRequest,
    tenant: &Tenant,
    at: At,
) -> Result<ApiResponse, Failure> {
    if request.method != Method::GET {
        return Ok(ApiResponse::method_not_allowed());
    }
    let select = Select::parse(request.option("select"));
    let mut value = Vec::new();
    for list in tenant.web(at).lists.iter().filter(|l| l.deleted.is_none()) {
        let shown = match list.template.as_str() {
            "webPageLibrary" => world.options.has(Quirk::SitePagesDrive),
            _ => !list.system || select.named("system"),
        };
        if let Some(handle) = list
            .drive()
            .filter(|_| shown)
            .and_then(|id| world.drive.get(id))
        {
            value.push(render::drive(&handle.lock(), &select));
        }
    }
    super::paged(world, request, "drives", value, 200, 999)
}

/// Answers a path that leads to a drive; who may ask is settled.
pub fn below(
    world: &World,
    request: &ApiRequest,
    id: &str,
    rest: Rest,
) -> Result<ApiResponse, Failure> {
    match of_list(world, request, id, &rest) {
        Some(answer) => answer,
        None => with_list_items(world, request, id, drive::below(world, request, id, rest)?),
    }
}

/// Answers paths of drives that are about the list behind them, and those that show list items inline; `None`
/// for all others.
pub fn drive_route(
    world: &World,
    request: &ApiRequest,
    route: Route,
) -> Option<Result<ApiResponse, Failure>> {
    let about_list = match &route.rest {
        Rest::Library(_) => true,
        Rest::Item { nav, .. } => nav
            .first()
            .is_some_and(|s| s.eq_ignore_ascii_case("listItem")),
        _ => false,
    };
    let id = match drive::locate(world, request, &route) {
        Ok(id) => id,
        Err(failure) => return about_list.then_some(Err(failure)),
    };
    let closed = {
        let tenant = world.sites.0.lock();
        let site = tenant.by_drive(&id);
        site.and_then(|(at, _)| check_open(&tenant, at).err())
    };
    if let Some(failure) = closed {
        return Some(Err(failure));
    }
    let inline = list_item_expand(request).is_some();
    (about_list || inline).then(|| below(world, request, &id, route.rest))
}

/// Answers `list...` of a drive and `listItem...` of its items.
fn of_list(
    world: &World,
    request: &ApiRequest,
    id: &str,
    rest: &Rest,
) -> Option<Result<ApiResponse, Failure>> {
    match rest {
        Rest::Library(rest) => {
            let mut tenant = world.sites.0.lock();
            let (at, n) = tenant.by_drive(id)?;
            Some(dispatch::list(world, request, &mut tenant, at, n, rest))
        }
        Rest::Item { address, nav } => {
            let (first, rest) = nav.split_first()?;
            if !first.eq_ignore_ascii_case("listItem") {
                return None;
            }
            let mut tenant = world.sites.0.lock();
            let (at, n) = tenant.by_drive(id)?;
            let need = match request.method {
                Method::GET => Need::Read,
                _ => Need::Write,
            };
            if let Err(failure) = need.check(request, Some(tenant.web(at))) {
                return Some(Err(failure));
            }
            let handle = world.drive.get(id)?;
            let index = match drive::resolve(&handle.lock(), address) {
                Ok(index) => index,
                Err(failure) => return Some(Err(failure)),
            };
            let number = index.to_string();
            Some(dispatch::item(
                world,
                request,
                &mut tenant,
                at,
                n,
                &number,
                rest,
            ))
        }
        _ => None,
    }
}

fn list_item_expand(request: &ApiRequest) -> Option<expand::Expand> {
    let all = expand::parse(request.option("expand"));
    all.into_iter().find(|e| e.name == "listitem")
}

/// Puts the list item into each drive item of an answer, when `$expand=listItem` asks for it.
fn with_list_items(
    world: &World,
    request: &ApiRequest,
    id: &str,
    mut response: ApiResponse,
) -> Result<ApiResponse, Failure> {
    let Some(expand) = list_item_expand(request) else {
        return Ok(response);
    };
    let Body::Json(body) = &mut response.body else {
        return Ok(response);
    };
    let tenant = world.sites.0.lock();
    let Some((at, n)) = tenant.by_drive(id) else {
        return Ok(response);
    };
    let wanted = Wanted::inner(&expand)?;
    let items = match body.get_mut("value") {
        Some(Value::Array(items)) => items.iter_mut().collect(),
        _ => vec![body],
    };
    with_rows(world, &tenant, at, n, |place| {
        for item in items {
            let index = place
                .rows
                .drive()
                .and_then(|d| d.find(item["id"].as_str()?));
            if let Some(row) = index.and_then(|i| place.rows.get(u64::from(i))) {
                item["listItem"] = item_json::item(world, request, &place, &row, &wanted)?;
            }
        }
        Ok(())
    })?;
    Ok(response)
}
