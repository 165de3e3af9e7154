//! From a path below a site to its handler, for callers who may ask.

use http::Method;

use crate::api::{ApiRequest, ApiResponse, Caller, Version};
use crate::drive::route::delta_argument;
use crate::drive::{self, Failure, permissions};
use crate::world::World;

use super::route::{self, Key, Route};
use super::tenant::{At, Tenant};
use super::web::{State, Web};
use super::{
    bin, columns, edit, feed, items, libraries, listing, lists, pages, sharing, with_rows,
};

/// What a request needs to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Read,
    Write,
    /// Lists, columns and content types.
    Manage,
    Full,
}

impl Need {
    /// Permissions that allow it everywhere.
    fn roles(self) -> &'static [&'static str] {
        const ALL: &[&str] = &[
            "Sites.Read.All",
            "Sites.ReadWrite.All",
            "Sites.Manage.All",
            "Sites.FullControl.All",
        ];
        match self {
            Need::Read => ALL,
            Need::Write => &ALL[1..],
            Need::Manage => &ALL[2..],
            Need::Full => &ALL[3..],
        }
    }

    /// Roles in one site that allow it to an application with `Sites.Selected`.
    fn granted(self) -> &'static [&'static str] {
        const ALL: &[&str] = &["read", "write", "manage", "owner", "fullcontrol"];
        match self {
            Need::Read => ALL,
            Need::Write => &ALL[1..],
            Need::Manage => &ALL[2..],
            Need::Full => &ALL[4..],
        }
    }

    /// 403 unless the caller may do it: everywhere, or in this site.
    pub fn check(self, request: &ApiRequest, web: Option<&Web>) -> Result<(), Failure> {
        self.check_caller(&request.caller, web)
    }

    /// As [`Need::check`], where there is no request to Graph.
    pub fn check_caller(self, caller: &Caller, web: Option<&Web>) -> Result<(), Failure> {
        if caller.has_any(self.roles()) {
            return Ok(());
        }
        let granted = |web: &Web| {
            let own = web.apps.iter().filter(|g| g.app == caller.app_id);
            own.flat_map(|g| &g.roles)
                .any(|r| self.granted().contains(&r.as_str()))
        };
        match caller.has_any(&["Sites.Selected"]) && web.is_some_and(granted) {
            true => Ok(()),
            false => Err(Failure::access_denied()),
        }
    }

    /// Reading, or else what changing needs.
    fn by_method(request: &ApiRequest, change: Need) -> Need {
        match request.method {
            Method::GET => Need::Read,
            _ => change,
        }
    }
}

/// Answers `/sites...`, and of drives what is about the list behind them; `None` for any other path.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let answer = match drive::route::parse(&request.raw_path) {
        Some(route) => libraries::drive_route(world, request, route)?,
        None => answer(world, request, route::parse(&request.raw_path)?),
    };
    Some(answer.unwrap_or_else(ApiResponse::from))
}

fn answer(world: &World, request: &ApiRequest, route: Route) -> Result<ApiResponse, Failure> {
    let (key, rest) = match route {
        Route::Site(key, rest) => (key, rest),
        collection => {
            Need::Read.check(request, None)?;
            if request.method != Method::GET {
                return Ok(ApiResponse::method_not_allowed());
            }
            let tenant = world.sites.0.lock();
            return match collection {
                Route::All => listing::all(world, request, &tenant),
                Route::Delta(token) => listing::delta(world, request, &tenant, token),
                _ => listing::search(world, request, &tenant),
            };
        }
    };
    let mut tenant = world.sites.0.lock();
    let at = find(&tenant, &key)?;
    // The drive's handlers answer without the lock of the sites.
    match libraries::site_drive(world, request, &tenant, at, &rest)? {
        libraries::Found::Drive(id, below) => {
            drop(tenant);
            libraries::below(world, request, &id, below)
        }
        libraries::Found::Answer(answer) => Ok(answer),
        libraries::Found::Nothing => site(world, request, &mut tenant, at, &rest),
    }
}

/// The site that a path names.
pub fn find(tenant: &Tenant, key: &Key) -> Result<At, Failure> {
    let missing = || Failure::new(404, "itemNotFound", "Requested site could not be found");
    let own = |tenant: &Tenant| {
        tenant.living().find(|&at| {
            let web = tenant.web(at);
            web.path.is_empty() && web.parent.is_none()
        })
    };
    let found = match key {
        Key::Root => own(tenant),
        Key::Path { host, path } => tenant.by_path(host, path),
        Key::Name(name) => tenant.by_id(name).or_else(|| tenant.by_path(name, "")),
    };
    let at = found.ok_or_else(missing)?;
    match tenant.web(at).state {
        State::Deleted => Err(missing()),
        _ => Ok(at),
    }
}

/// 423 when nothing in the site can be had.
pub fn check_open(tenant: &Tenant, at: At) -> Result<(), Failure> {
    match tenant.web(tenant.top(at)).closed() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn site(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    rest: &[String],
) -> Result<ApiResponse, Failure> {
    let lower: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let get = request.method == Method::GET;
    if lower.is_empty() {
        Need::Read.check(request, Some(tenant.web(at)))?;
        // An archived site tells what it is, a locked one nothing.
        if tenant.web(at).state != State::Archived {
            check_open(tenant, at)?;
        }
        return match get {
            true => listing::one(request, tenant, at),
            false => Ok(ApiResponse::method_not_allowed()),
        };
    }
    check_open(tenant, at)?;
    match lower.as_slice() {
        ["permissions", below @ ..] => {
            Need::Full.check(request, Some(tenant.web(at)))?;
            let below = &rest[rest.len() - below.len()..];
            let below: Vec<&str> = below.iter().map(String::as_str).collect();
            sharing::site(world, request, tenant.web_mut(at), &below)
        }
        ["sites"] if get => {
            Need::Read.check(request, Some(tenant.web(at)))?;
            listing::below(world, request, tenant, at)
        }
        ["sites", _, ..] => {
            let child = find(tenant, &Key::Name(rest[1].clone()))?;
            if tenant.web(child).parent != Some(at) {
                return Err(Failure::item_not_found());
            }
            site(world, request, tenant, child, &rest[2..])
        }
        ["columns" | "contenttypes", below @ ..] => {
            Need::by_method(request, Need::Manage).check(request, Some(tenant.web(at)))?;
            schema(world, request, tenant, at, None, lower[0], rest, below)
        }
        ["lists"] => {
            Need::by_method(request, Need::Manage).check(request, Some(tenant.web(at)))?;
            match request.method.as_str() {
                "GET" => lists::all(world, request, tenant, at),
                "POST" => lists::create(world, request, tenant, at),
                _ => Ok(ApiResponse::method_not_allowed()),
            }
        }
        ["lists", _, ..] => {
            let n = tenant.web(at).find(&rest[1]);
            let n = n.ok_or_else(|| {
                Failure::new(404, "itemNotFound", "The specified list was not found")
            })?;
            list(world, request, tenant, at, n, &rest[2..])
        }
        ["pages", ..] => pages::handle(world, request, tenant, at, &rest[1..]),
        ["operations"] if get => {
            Need::Read.check(request, Some(tenant.web(at)))?;
            Ok(lists::nothing(request, "operations"))
        }
        ["recyclebin", "items"] if get && request.version == Version::Beta => {
            Need::Read.check(request, Some(tenant.web(at)))?;
            bin::list(world, request, tenant, at)
        }
        _ => Ok(ApiResponse::no_such_segment(&rest[0])),
    }
}

/// `columns` and `contentTypes` of a site or a list; ids are case-sensitive nowhere.
#[allow(clippy::too_many_arguments)] // The path in both spellings, and where it leads.
fn schema(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: Option<usize>,
    what: &str,
    rest: &[String],
    lower: &[&str],
) -> Result<ApiResponse, Failure> {
    if what == "contenttypes" {
        return columns::handle_types(world, request, tenant, at, n, lower);
    }
    let below: Vec<&str> = rest[rest.len() - lower.len()..]
        .iter()
        .map(String::as_str)
        .collect();
    columns::handle(world, request, tenant, at, n, &below)
}

/// What is wanted of list `n` of a site.
pub fn list(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    rest: &[String],
) -> Result<ApiResponse, Failure> {
    let lower: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let need = match lower.as_slice() {
        ["items", ..] => Need::by_method(request, Need::Write),
        _ => Need::by_method(request, Need::Manage),
    };
    need.check(request, Some(tenant.web(at)))?;
    match (request.method.as_str(), lower.as_slice()) {
        ("GET", []) => with_rows(world, tenant, at, n, |p| {
            lists::one(world, request, &p, 200)
        }),
        ("PATCH", []) => lists::patch(world, request, tenant, at, n),
        ("DELETE", []) => lists::delete(world, request, tenant, at, n),
        (_, ["columns" | "contenttypes", below @ ..]) => {
            schema(world, request, tenant, at, Some(n), lower[0], rest, below)
        }
        ("GET", ["operations" | "subscriptions"]) => Ok(lists::nothing(request, &rest[0])),
        ("GET", ["permissions"]) => {
            let web = tenant.web(at);
            let all = sharing::of_list(web, &web.lists[n]);
            Ok(sharing::collection(request, web, &all))
        }
        ("GET", ["permissions", _]) => {
            let web = tenant.web(at);
            let all = sharing::of_list(web, &web.lists[n]);
            sharing::one(request, web, &all, &rest[1])
        }
        ("GET", ["items"]) => with_rows(world, tenant, at, n, |p| items::list(world, request, &p)),
        ("POST", ["items"]) => edit::create(world, request, tenant, at, n),
        ("GET", ["items", function]) if delta_argument(unqualified(function)).is_some() => {
            let token = delta_argument(unqualified(&rest[1])).flatten();
            with_rows(world, tenant, at, n, |p| {
                feed::delta(world, request, &p, token)
            })
        }
        (_, ["items", _, ..]) => item(world, request, tenant, at, n, &rest[1], &rest[2..]),
        (_, [] | ["items" | "operations" | "subscriptions"] | ["permissions", ..]) => {
            Ok(ApiResponse::method_not_allowed())
        }
        _ => Ok(ApiResponse::no_such_segment(&rest[0])),
    }
}

fn unqualified(function: &str) -> &str {
    function
        .strip_prefix("microsoft.graph.")
        .unwrap_or(function)
}

/// What is wanted of one item of a list.
pub fn item(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
    id: &str,
    rest: &[String],
) -> Result<ApiResponse, Failure> {
    let lower: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let read = |then: &dyn Fn(&super::Place, &super::rows::Row) -> Result<ApiResponse, Failure>| {
        with_rows(world, tenant, at, n, |place| {
            let row = items::find(&place, id)?;
            then(&place, &row)
        })
    };
    match (request.method.as_str(), lower.as_slice()) {
        ("GET", []) => read(&|p, row| items::answer(world, request, p, row, 200)),
        ("GET", ["fields"]) => read(&|p, row| items::fields(request, p, row)),
        ("GET", ["versions"]) => read(&|p, row| items::versions(request, p, row)),
        ("GET", ["versions", version]) => {
            read(&|p, row| items::one_version(request, p, row, version))
        }
        ("GET", ["permissions"]) => read(&|p, row| permissions_of(request, p, row, None)),
        ("GET", ["permissions", _]) => {
            read(&|p, row| permissions_of(request, p, row, Some(&rest[1])))
        }
        ("PATCH", []) => edit::patch(world, request, tenant, at, n, id),
        ("PATCH", ["fields"]) => edit::patch_fields(world, request, tenant, at, n, id),
        ("DELETE", []) => edit::delete(world, request, tenant, at, n, id),
        ("POST", ["versions", version, "restoreversion"]) => {
            edit::restore_version(world, request, tenant, at, n, id, version)
        }
        ("POST", ["createlink"]) => match tenant.web(at).lists[n].drive() {
            None => sharing::create_link(world, request, tenant, at, n, id),
            Some(drive) => {
                let handle = world
                    .drive
                    .get(drive)
                    .ok_or_else(Failure::drive_not_found)?;
                let index = read_index(world, tenant, at, n, id)?;
                permissions::create_link(world, request, &mut handle.lock(), index)
            }
        },
        ("DELETE", ["permissions", _]) => match tenant.web(at).lists[n].drive() {
            None => sharing::delete(world, tenant, at, n, id, &rest[1]),
            Some(drive) => {
                let handle = world
                    .drive
                    .get(drive)
                    .ok_or_else(Failure::drive_not_found)?;
                let index = read_index(world, tenant, at, n, id)?;
                permissions::delete(world, &mut handle.lock(), index, &rest[1])
            }
        },
        (_, [] | ["fields" | "createlink"] | ["versions" | "permissions", ..]) => {
            Ok(ApiResponse::method_not_allowed())
        }
        _ => Ok(ApiResponse::no_such_segment(&rest[0])),
    }
}

fn permissions_of(
    request: &ApiRequest,
    place: &super::Place,
    row: &super::rows::Row,
    id: Option<&str>,
) -> Result<ApiResponse, Failure> {
    let (web, list) = (place.web(), place.rows.list());
    let all = match (place.rows.drive(), &row.file) {
        (Some(drive), Some(file)) => drive.permissions(file.index),
        _ => {
            let item = list.items().and_then(|items| items.get(row.id));
            sharing::of_item(web, list, item.and_then(|i| i.sharing.as_deref()))
        }
    };
    match id {
        None => Ok(sharing::collection(request, web, &all)),
        Some(id) => sharing::one(request, web, &all, id),
    }
}

/// Place of a library's item in its drive.
fn read_index(
    world: &World,
    tenant: &Tenant,
    at: At,
    n: usize,
    id: &str,
) -> Result<drive::Index, Failure> {
    with_rows(world, tenant, at, n, |place| {
        let row = items::find(&place, id)?;
        let file = row.file.ok_or_else(Failure::item_not_found)?;
        Ok(file.index)
    })
}
