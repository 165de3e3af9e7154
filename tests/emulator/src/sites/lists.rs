//! Lists of a site: all, one, new ones, changed ones, deleted ones.

use serde_json::{Map, Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::rfc3339;
use crate::drive::render::{self, Select, identity_set};
use crate::drive::{self, Failure, Stamp};
use crate::filter::Expr;
use crate::odata;
use crate::world::World;

use super::columns;
use super::expand::{self, Expand};
use super::fields::Place;
use super::item_json::{self, Wanted};
use super::list::{Deleted, List, Store, is_library};
use super::tenant::{At, Tenant};
use super::web::lower;

const PAGE: usize = 200;
const MAX_PAGE: usize = 999;
/// Items that are shown inline with a list.
const INLINE: usize = 200;

/// Templates that Graph makes lists of.
const TEMPLATES: &[&str] = &[
    "genericList",
    "documentLibrary",
    "survey",
    "links",
    "announcements",
    "contacts",
    "events",
    "tasks",
    "discussionBoard",
    "pictureLibrary",
    "issueTracking",
];

/// The list as JSON.
pub fn json(place: &Place) -> Map<String, Value> {
    let (web, list) = (place.web(), place.rows.list());
    let home = web.home("", "", false);
    let etag = format!("\"{},{}\"", lower(list.guid), list.etag);
    let modified = list.modified.max(place.rows.changed_at());
    let mut o = Map::new();
    let mut put = |key: &str, value: Value| o.insert(key.to_owned(), value);
    put("@odata.etag", etag.clone().into());
    put("id", lower(list.guid).into());
    put("name", list.name.clone().into());
    put("displayName", list.title.clone().into());
    put("description", list.description.clone().into());
    put("eTag", etag.into());
    put("webUrl", list.url(web).into());
    put("createdDateTime", rfc3339(list.created).into());
    put("lastModifiedDateTime", rfc3339(modified).into());
    put("createdBy", identity_set(&home, &list.created_by));
    put("lastModifiedBy", identity_set(&home, &list.modified_by));
    put("parentReference", json!({"siteId": web.id()}));
    put(
        "list",
        json!({"contentTypesEnabled": list.content_types_enabled, "hidden": list.hidden, "template": list.template}),
    );
    if list.system {
        put("system", json!({}));
    }
    o
}

/// The list with what was asked for inline.
fn whole(
    world: &World,
    request: &ApiRequest,
    place: &Place,
    select: &Select,
    inline: &[Expand],
) -> Result<Value, Failure> {
    let mut o = json(place);
    if select.named("sharepointIds") {
        let mut ids = place.web().sharepoint_ids();
        ids["listId"] = lower(place.rows.list().guid).into();
        o.insert("sharepointIds".into(), ids);
    }
    select.apply(&mut o);
    for expand in inline {
        let value = match expand.name.as_str() {
            "columns" => columns::all(&place.rows.list().columns, expand.select.as_deref()).into(),
            "contenttypes" => columns::types(&place.rows.list().content_types, true).into(),
            "items" => {
                let wanted = Wanted::inner(expand)?;
                let rows = place.rows.after(0, INLINE);
                let items: Result<Vec<Value>, Failure> = rows
                    .iter()
                    .map(|row| item_json::item(world, request, place, row, &wanted))
                    .collect();
                items?.into()
            }
            "drive" => match place.rows.drive() {
                Some(drive) => render::drive(drive, &Select::default()),
                None => continue,
            },
            other => {
                let message = format!(
                    "Could not find a property named '{other}' on type 'microsoft.graph.list'."
                );
                return Err(Failure::invalid(message).inner("invalidQueryOption"));
            }
        };
        let name = match expand.name.as_str() {
            "contenttypes" => "contentTypes",
            name => name,
        };
        o.insert(name.into(), value);
    }
    Ok(Value::Object(o))
}

/// `GET /sites/{id}/lists`.
pub fn all(
    world: &World,
    request: &ApiRequest,
    tenant: &Tenant,
    at: At,
) -> Result<ApiResponse, Failure> {
    let select = Select::parse(request.option("select"));
    let inline = expand::parse(request.option("expand"));
    let filter =
        match request.option("filter") {
            None => None,
            Some(text) => Some(Expr::parse(text).map_err(|_| {
                Failure::invalid("Invalid filter clause").inner("invalidQueryOption")
            })?),
        };
    let mut out = Vec::new();
    for (n, list) in tenant.web(at).lists.iter().enumerate() {
        let shown = list.deleted.is_none() && (!list.system || select.named("system"));
        if !shown {
            continue;
        }
        super::with_rows(world, tenant, at, n, |place| {
            let fits = |f: &Expr| f.matches(&Value::Object(json(&place)));
            if filter.as_ref().is_none_or(fits) {
                out.push(whole(world, request, &place, &select, &inline)?);
            }
            Ok(())
        })?;
    }
    let context = format!("sites('{}')/lists", tenant.web(at).id().replace(',', "%2C"));
    super::paged(world, request, &context, out, PAGE, MAX_PAGE)
}

/// One list as an answer.
pub fn one(
    world: &World,
    request: &ApiRequest,
    place: &Place,
    status: u16,
) -> Result<ApiResponse, Failure> {
    let select = Select::parse(request.option("select"));
    let inline = expand::parse(request.option("expand"));
    let mut value = whole(world, request, place, &select, &inline)?;
    let context = format!(
        "sites('{}')/lists/$entity",
        place.web().id().replace(',', "%2C")
    );
    value["@odata.context"] = request.context(&context).into();
    let list = place.rows.list();
    let etag = format!("\"{},{}\"", lower(list.guid), list.etag);
    Ok(ApiResponse::json(status, value).with_header("ETag", &etag))
}

/// `POST /sites/{id}/lists`.
pub fn create(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
) -> Result<ApiResponse, Failure> {
    let body = super::body(request)?;
    // What was read of one list can't be sent as another.
    for key in ["id", "webUrl", "eTag", "createdDateTime", "sharepointIds"] {
        if body.get(key).is_some_and(|v| !v.is_null()) {
            let failure = Failure::invalid(format!("The property {key} can not be set."));
            return Err(failure.inner("propertyNotUpdateable"));
        }
    }
    let title = body["displayName"]
        .as_str()
        .or(body["name"].as_str())
        .unwrap_or_default()
        .trim();
    if title.is_empty() || title.chars().count() > 255 {
        return Err(Failure::invalid(
            "The displayName of the list is missing or too long.",
        ));
    }
    let template = body["list"]["template"].as_str().unwrap_or("genericList");
    if !TEMPLATES.contains(&template) {
        return Err(Failure::invalid(format!(
            "Lists can not be made of the template {template}."
        )));
    }
    check_title(tenant, at, title, None)?;
    let stamp = drive::request_stamp(world, request);
    let web = tenant.web_mut(at);
    let mut list = List::new(web, title, template, &stamp);
    list.description = body["description"].as_str().unwrap_or_default().to_owned();
    for column in body["columns"].as_array().into_iter().flatten() {
        let made = columns::parse(web, &list.columns, column)?;
        list.columns.push(made);
    }
    let n = add(world, tenant, at, list);
    tenant.touch(at, stamp.now);
    super::with_rows(world, tenant, at, n, |place| {
        one(world, request, &place, 201)
    })
}

/// Puts a list into a site, a library with its drive; its place there.
pub fn add(world: &World, tenant: &mut Tenant, at: At, mut list: List) -> usize {
    let web = tenant.web(at);
    if is_library(&list.template) {
        let home = web.home(&list.title, &list.folder, list.system);
        let site = [web.collection, web.guid, list.guid];
        let label = format!("list {:x}", list.guid);
        let drive =
            drive::generate::empty(world.options.seed, &label, Some(site), home, &world.clock);
        list.store = Store::Library(drive.id.clone());
        world.drive.add(drive);
    }
    tenant.add_list(at, list)
}

fn check_title(tenant: &Tenant, at: At, title: &str, but: Option<u128>) -> Result<(), Failure> {
    let taken =
        tenant.web(at).lists.iter().any(|l| {
            l.deleted.is_none() && Some(l.guid) != but && l.title.eq_ignore_ascii_case(title)
        });
    match taken {
        true => Err(Failure::name_exists()),
        false => Ok(()),
    }
}

/// `PATCH .../lists/{id}`: what it is called and described as.
pub fn patch(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
) -> Result<ApiResponse, Failure> {
    let body = super::body(request)?;
    let stamp = drive::request_stamp(world, request);
    if let Some(title) = body["displayName"].as_str() {
        check_title(tenant, at, title, Some(tenant.web(at).lists[n].guid))?;
    }
    let list = &mut tenant.web_mut(at).lists[n];
    if let Some(title) = body["displayName"].as_str() {
        list.title = title.to_owned();
        if let Some(handle) = list.drive().and_then(|id| world.drive.get(id)) {
            handle.lock().home.name = title.to_owned();
        }
    }
    if let Some(text) = body["description"].as_str() {
        list.description = text.to_owned();
    }
    if let Some(enabled) = body["list"]["contentTypesEnabled"].as_bool() {
        list.content_types_enabled = enabled;
    }
    list.touch(&stamp);
    tenant.touch(at, stamp.now);
    super::with_rows(world, tenant, at, n, |place| {
        one(world, request, &place, 200)
    })
}

/// `DELETE .../lists/{id}`: into the recycle bin, with all that is in it.
pub fn delete(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: usize,
) -> Result<ApiResponse, Failure> {
    let stamp = drive::request_stamp(world, request);
    let web = tenant.web_mut(at);
    let bin = web.new_guid();
    let list = &mut web.lists[n];
    if list.system || list.template == "webPageLibrary" {
        return Err(Failure::new(
            403,
            "accessDenied",
            "This list can not be deleted.",
        ));
    }
    if let Some(id) = list.drive().map(str::to_owned) {
        list.kept = world.drive.remove(&id);
    }
    list.deleted = Some(in_bin(bin, &stamp));
    tenant.touch(at, stamp.now);
    Ok(ApiResponse::no_content())
}

/// What is noted of something that goes into the recycle bin.
pub fn in_bin(bin: u128, stamp: &Stamp) -> Deleted {
    Deleted {
        bin: Some(bin),
        at: stamp.now,
        by: stamp.by.clone(),
    }
}

/// `.../lists/{id}/operations` and `subscriptions`: nothing is ever there.
pub fn nothing(request: &ApiRequest, what: &str) -> ApiResponse {
    ApiResponse::ok(odata::page(request.context(what), None, Vec::new(), None))
}
