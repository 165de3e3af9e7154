//! OneDrive for Business and the libraries of sites: drives, their items and what can be done with them.
//!
//! Each drive ([`Drive`]) has one lock, and a request takes one drive's lock at a time. [`route`] finds
//! out what a path addresses, the modules beside it answer: [`read`] and [`feed`] what is there and what
//! changed, [`write`], [`upload`] and [`copy`] changes, [`download`] content, [`permissions`] who may see it.

mod bin;
mod content;
mod copy;
mod download;
mod failure;
pub mod feed;
pub mod generate;
mod home;
mod import;
mod item;
mod links;
pub mod names;
pub mod permissions;
mod quickxor;
mod read;
pub mod render;
pub mod route;
mod seeded;
pub mod sharing;
pub mod special;
mod store;
mod upload;
mod versions;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::api::{ApiRequest, ApiResponse, Caller, Hint, RawRequest};
use crate::clock::Clock;
use crate::options::{Options, Quirk};
use crate::users::User;
use crate::world::World;

use render::{Renderer, Select, View};
use route::{Address, Base, Rest, Route};

pub use bin::KEPT;
pub use content::Content;
pub use failure::Failure;
pub use home::{Home, Owner, Person, tenant_name};
pub use import::into_drive;
pub use item::{Actor, Fields, Index, ROOT, guid_text};
pub use store::{Conflict, Drive, Place, Stamp, Times};

/// All drives of the tenant, upload sessions and copies that are under way.
pub struct Drives {
    by_id: RwLock<HashMap<String, Arc<Mutex<Drive>>>>,
    /// Drive ids by user id.
    by_owner: HashMap<String, String>,
    /// Drive ids of people, in the order of the directory.
    personal: Vec<String>,
    sessions: Mutex<HashMap<String, upload::Session>>,
    copies: Mutex<HashMap<String, copy::Job>>,
    signer: links::Signer,
    numbers: AtomicU64,
    resyncs: AtomicU64,
}

impl Drives {
    /// Makes the drives of `users` with `has_drive`, generated and imported as `options` say.
    pub fn new(options: &Options, users: &[Arc<User>], clock: &Clock) -> anyhow::Result<Drives> {
        let mut drives = generate::drives(options, users, clock);
        import::all(&options.import_files, &mut drives, clock)?;
        let owner = |d: &Drive| Some((d.home.person()?.id.clone(), d.id.clone()));
        let by_owner = drives.iter().filter_map(owner).collect();
        let personal = drives.iter().map(|d| d.id.clone()).collect();
        let by_id = drives
            .into_iter()
            .map(|d| (d.id.clone(), Arc::new(Mutex::new(d))))
            .collect();
        Ok(Drives {
            by_id: RwLock::new(by_id),
            by_owner,
            personal,
            sessions: Mutex::default(),
            copies: Mutex::default(),
            signer: links::Signer::new(options.seed),
            numbers: AtomicU64::new(1),
            resyncs: AtomicU64::new(0),
        })
    }

    pub fn get(&self, id: &str) -> Option<Arc<Mutex<Drive>>> {
        self.by_id.read().get(id).cloned()
    }

    /// A drive that is new in the tenant: a library's.
    pub fn add(&self, drive: Drive) {
        let id = drive.id.clone();
        self.by_id.write().insert(id, Arc::new(Mutex::new(drive)));
    }

    /// Takes a library's drive away, and gives it back for the recycle bin.
    pub fn remove(&self, id: &str) -> Option<Arc<Mutex<Drive>>> {
        self.by_id.write().remove(id)
    }

    /// Puts back a drive that was taken away.
    pub fn put_back(&self, id: String, drive: Arc<Mutex<Drive>>) {
        self.by_id.write().insert(id, drive);
    }

    /// The OneDrives of people, in the order of the directory.
    pub fn personal(&self) -> Vec<Arc<Mutex<Drive>>> {
        self.personal.iter().filter_map(|id| self.get(id)).collect()
    }

    fn next_resync(&self) -> u64 {
        self.resyncs.fetch_add(1, Ordering::Relaxed)
    }

    /// A name nobody can guess, never given out before.
    pub fn new_handle(&self, kind: &str) -> String {
        self.signer
            .handle(kind, self.numbers.fetch_add(1, Ordering::Relaxed))
    }
}

/// Any of these may read drives.
pub const READ: &[&str] = &[
    "Files.Read.All",
    "Files.ReadWrite.All",
    "Sites.Read.All",
    "Sites.ReadWrite.All",
    "Sites.Manage.All",
    "Sites.FullControl.All",
];
/// Any of these may change what is in drives.
pub const WRITE: &[&str] = &[
    "Files.ReadWrite.All",
    "Sites.ReadWrite.All",
    "Sites.Manage.All",
    "Sites.FullControl.All",
];

/// Answers `/drives/...`, `/users/{id}/drive(s)...`, `/me/drive(s)...`; `None` for any other path.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let route = route::parse(&request.raw_path)?;
    Some(answer(world, request, route).unwrap_or_else(ApiResponse::from))
}

/// A request to a pre-authenticated URL, without an access token: `/_download/...`, `/_upload/...`,
/// `/_monitor/...`.
pub fn handle_raw(world: &World, request: &RawRequest) -> ApiResponse {
    let segments: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let answer = match segments.as_slice() {
        ["_download", ..] => download::raw(world, request),
        ["_upload", .., handle] => upload::raw(world, request, handle),
        ["_monitor", handle] => copy::monitor(world, request, handle),
        _ => Err(Failure::item_not_found()),
    };
    answer.unwrap_or_else(ApiResponse::from)
}

/// Resource units of a request (SharePoint's throttling, October 2025): 1 for a single item, for delta with a
/// token and for a download, 2 for lists, for delta without one and for every write, 5 for permissions.
/// 0 when the request is none of a drive.
pub fn resource_units(request: &ApiRequest) -> u64 {
    match route::parse(&request.raw_path) {
        Some(route) => units(request, &route.rest),
        None => 0,
    }
}

/// As [`resource_units`], for what comes after the drive in a path.
pub fn units(request: &ApiRequest, rest: &Rest) -> u64 {
    let expands_permissions = request
        .option("expand")
        .is_some_and(|e| e.to_ascii_lowercase().contains("permissions"));
    let nav = match rest {
        Rest::Item { nav, .. } => nav
            .first()
            .map(|s| s.to_ascii_lowercase())
            .unwrap_or_default(),
        Rest::List | Rest::Search(_) | Rest::Library(_) => return 2,
        Rest::Drive | Rest::Unknown(_) => return 1,
    };
    if expands_permissions || matches!(nav.as_str(), "permissions" | "invite" | "createlink") {
        return 5;
    }
    if request.method != Method::GET {
        return 2;
    }
    match route::delta_argument(&nav) {
        Some(argument) => match argument.or_else(|| request.option("token").map(str::to_owned)) {
            Some(token) if token != "latest" => 1,
            _ => 2,
        },
        None => match nav.as_str() {
            "children" | "thumbnails" => 2,
            "versions" if !request.raw_path.ends_with("/content") => 2,
            _ => 1,
        },
    }
}

fn answer(world: &World, request: &ApiRequest, route: Route) -> Result<ApiResponse, Failure> {
    let id = locate(world, request, &route)?;
    below(world, request, &id, route.rest)
}

/// The id of the drive that a path leads to, for a caller who may ask.
pub fn locate(world: &World, request: &ApiRequest, route: &Route) -> Result<String, Failure> {
    let allowed = if request.method == Method::GET || request.method == Method::HEAD {
        READ
    } else {
        WRITE
    };
    if !request.caller.has_any(allowed) {
        return Err(Failure::access_denied());
    }
    match &route.owner {
        route::Owner::Drive(id) => Ok(id.clone()),
        route::Owner::User(user) => drive_of(world, user),
        route::Owner::Me => match &request.caller.user {
            Some(user) => drive_of(world, user),
            None => {
                let message = "/me request is only valid with delegated authentication flow.";
                Err(Failure::new(400, "BadRequest", message))
            }
        },
    }
}

/// Answers what is asked of a drive. Who may ask is settled.
pub fn below(
    world: &World,
    request: &ApiRequest,
    id: &str,
    rest: Rest,
) -> Result<ApiResponse, Failure> {
    let handle = world.drive.get(id).ok_or_else(Failure::drive_not_found)?;
    match rest {
        Rest::List => only_get(request, || Ok(read::drive_list(request, &handle.lock()))),
        Rest::Drive => only_get(request, || Ok(read::drive(request, &handle.lock()))),
        Rest::Search(q) => only_get(request, || read::search(world, request, &handle.lock(), &q)),
        Rest::Library(_) => Ok(ApiResponse::no_such_segment("list")),
        Rest::Unknown(segment) => Ok(ApiResponse::no_such_segment(&segment)),
        Rest::Item { address, nav } => item(world, request, &handle, &address, &nav),
    }
}

fn only_get(
    request: &ApiRequest,
    get: impl FnOnce() -> Result<ApiResponse, Failure>,
) -> Result<ApiResponse, Failure> {
    if request.method == Method::GET {
        get()
    } else {
        Ok(ApiResponse::method_not_allowed())
    }
}

/// The id of a user's drive, or what the service says of users without one.
fn drive_of(world: &World, user: &str) -> Result<String, Failure> {
    let Some(user) = world.user(user) else {
        let message = format!(
            "Resource '{user}' does not exist or one of its queried reference-property objects are not present."
        );
        return Err(Failure::new(404, "Request_ResourceNotFound", message));
    };
    world
        .drive
        .by_owner
        .get(&user.id)
        .cloned()
        .ok_or_else(Failure::no_mysite)
}

fn item(
    world: &World,
    request: &ApiRequest,
    handle: &Mutex<Drive>,
    address: &Address,
    nav: &[String],
) -> Result<ApiResponse, Failure> {
    let lower: Vec<String> = nav.iter().map(|s| s.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    // `children/{id or name}/...` is another way to say `items/{id}/...` or `:/name:/...`.
    if let ["children", _, rest @ ..] = lower.as_slice() {
        let rest = &nav[nav.len() - rest.len()..];
        let known = handle.lock().find(&nav[1]).is_some();
        let mut address = address.clone();
        if known {
            address = Address {
                base: Base::Id(nav[1].clone()),
                path: Vec::new(),
            };
        } else {
            address.path.push(nav[1].clone());
        }
        return item(world, request, handle, &address, rest);
    }
    let mut drive = handle.lock();
    // What may address an item that is not there yet.
    match (method, lower.as_slice()) {
        ("PUT", ["content"]) => return write::put_content(world, request, &mut drive, address),
        ("PUT", []) => return upload::commit_elsewhere(world, request, &mut drive, address),
        ("POST", ["createuploadsession"]) => {
            return upload::create(world, request, &mut drive, address);
        }
        _ => {}
    }
    let index = resolve(&drive, address)?;
    if let Some(argument) = lower
        .first()
        .and(nav.first())
        .and_then(|s| route::delta_argument(s))
    {
        if index != ROOT {
            return Err(Failure::not_supported(
                "Delta is only supported on the root of the drive.",
            ));
        }
        return only_get(request, || feed::delta(world, request, &drive, argument));
    }
    match (method, lower.as_slice()) {
        ("GET", []) => read::item(world, request, &drive, index),
        ("PATCH", []) => write::patch(world, request, &mut drive, index),
        ("DELETE", []) => write::delete(world, request, &mut drive, index, true),
        ("POST", ["permanentdelete"]) => write::delete(world, request, &mut drive, index, false),
        ("GET", ["children"]) => read::children(world, request, &drive, index),
        ("POST", ["children"]) => write::create_child(world, request, &mut drive, index),
        ("GET", ["content"]) => download::content(world, request, &drive, index),
        ("POST", ["copy"]) => copy::start(world, request, drive, index),
        ("GET", ["thumbnails"]) => Ok(read::nothing(request, "thumbnails")),
        ("GET" | "PATCH" | "DELETE", ["retentionlabel"]) => {
            special::label(world, request, &mut drive, index)
        }
        ("POST", ["checkout" | "checkin" | "discardcheckout"]) => Ok(ApiResponse::no_content()),
        ("GET", ["versions"]) => versions::list(request, &drive, index),
        ("GET", ["versions", id]) => versions::get(request, &drive, index, id),
        ("GET", ["versions", id, "content"]) => {
            versions::content(world, request, &drive, index, id)
        }
        ("POST", ["versions", id, "restoreversion"]) => {
            versions::restore(world, request, &mut drive, index, id)
        }
        ("DELETE", ["versions", id]) => versions::delete(&mut drive, index, id),
        ("GET", ["permissions"]) => permissions::list(request, &drive, index),
        ("GET", ["permissions", ..]) if nav.len() == 2 => {
            permissions::get(request, &drive, index, &nav[1])
        }
        ("PATCH", ["permissions", ..]) if nav.len() == 2 => {
            permissions::patch(world, request, &mut drive, index, &nav[1])
        }
        ("DELETE", ["permissions", ..]) if nav.len() == 2 => {
            permissions::delete(world, &mut drive, index, &nav[1])
        }
        ("POST", ["permissions", _, "grant"]) => {
            permissions::grant(world, request, &mut drive, index, &nav[1])
        }
        ("POST", ["invite"]) => permissions::invite(world, request, &mut drive, index),
        ("POST", ["createlink"]) => permissions::create_link(world, request, &mut drive, index),
        (
            _,
            []
            | [
                "children"
                | "content"
                | "copy"
                | "createuploadsession"
                | "permanentdelete"
                | "invite"
                | "createlink"
                | "thumbnails"
                | "checkout"
                | "checkin"
                | "discardcheckout"
                | "retentionlabel",
            ]
            | ["versions" | "permissions", ..],
        ) => Ok(ApiResponse::method_not_allowed()),
        (_, [segment, ..]) => Ok(ApiResponse::no_such_segment(segment)),
    }
}

/// The item an address means.
pub fn resolve(drive: &Drive, address: &Address) -> Result<Index, Failure> {
    let base = base(drive, &address.base)?;
    drive
        .walk(base, address.path.iter().map(String::as_str))
        .ok_or_else(Failure::item_not_found)
}

fn base(drive: &Drive, base: &Base) -> Result<Index, Failure> {
    match base {
        Base::Root => Some(ROOT),
        Base::Id(id) => drive.find(id),
        Base::Special(name) => drive.child(ROOT, name),
    }
    .ok_or_else(Failure::item_not_found)
}

/// Who makes the changes of this request.
fn stamp(world: &World, request: &ApiRequest, drive: &Drive) -> Stamp {
    let mut stamp = request_stamp(world, request);
    if let Actor::Person(person) = &stamp.by
        && drive.home.person().is_some_and(|p| p.id == person.id)
    {
        stamp.by = Actor::Owner;
    }
    stamp
}

/// As [`stamp`], where there is no drive.
pub fn request_stamp(world: &World, request: &ApiRequest) -> Stamp {
    caller_stamp(world, &request.caller)
}

/// As [`request_stamp`], where there is no request to Graph.
pub fn caller_stamp(world: &World, caller: &Caller) -> Stamp {
    let user = caller.user.as_deref().and_then(|u| world.user(u));
    Stamp {
        now: world.clock.now(),
        by: match user {
            Some(user) => Actor::Person(Arc::new(Person::of(&user))),
            None => Actor::App(caller.app_id.as_str().into()),
        },
    }
}

/// The JSON of some items.
pub fn render_all(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    indexes: &[Index],
    select: &Select,
    view: View,
) -> Result<Vec<Value>, Failure> {
    let url = |drive: &Drive, index| download_url(world, request, drive, index, None);
    let renderer = Renderer {
        drive,
        select,
        view,
        wrong_hash: render::wants_wrong_hash(request),
        package_only: world.options.has(Quirk::PackageOnly),
        download_url: &url,
        label: request
            .option("expand")
            .is_some_and(|e| e.to_ascii_lowercase().contains("retentionlabel")),
    };
    indexes.iter().map(|&index| renderer.item(index)).collect()
}

/// A pre-authenticated URL for an item's content.
fn download_url(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    index: Index,
    version: Option<u32>,
) -> String {
    let now = world.clock.now();
    let expires = if request.hint == Some(Hint::ExpiredUrl) {
        now - 1
    } else {
        now + links::LIFETIME
    };
    let host = links::host(&request.base_url, drive);
    world
        .drive
        .signer
        .download_url(&host, drive, index, version, expires)
}

/// One item as the answer to a read or a write.
fn one(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    index: Index,
    status: u16,
) -> Result<ApiResponse, Failure> {
    let select = Select::parse(request.option("select"));
    let mut value = render_all(world, request, drive, &[index], &select, View::Plain)?.remove(0);
    value["@odata.context"] = request
        .context(&format!("{}/$entity", render::items_context(drive)))
        .into();
    Ok(ApiResponse::json(status, value).with_header("ETag", &drive.item(index).etag_text()))
}
