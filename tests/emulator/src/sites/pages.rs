//! `/sites/{id}/pages`: the modern pages of a site.
//!
//! A page is a file of the library `Site Pages` and what is known of it beside. What only modern pages have is
//! told below the cast `microsoft.graph.sitePage`, and the canvas only when it is expanded.

use serde_json::{Map, Value, json};

use crate::api::{ApiRequest, ApiResponse, Body};
use crate::clock::rfc3339;
use crate::drive::render::{self, Select, identity_set};
use crate::drive::{self, Conflict, Content, Drive, Failure, Index, Place, ROOT, Stamp, Times};
use crate::options::Quirk;
use crate::world::World;

use super::dispatch::Need;
use super::expand::{self, Expand};
use super::list::List;
use super::page::Page;
use super::tenant::{At, Tenant};
use super::web::{Web, lower};

const CAST: &str = "microsoft.graph.sitepage";
const TYPE: &str = "#microsoft.graph.sitePage";

/// What a request wants to see of pages.
struct Wanted {
    select: Select,
    /// Below the cast: what only modern pages have.
    whole: bool,
    canvas: bool,
    web_parts: bool,
}

impl Wanted {
    fn of(request: &ApiRequest, cast: bool) -> Result<Wanted, Failure> {
        let all = expand::parse(request.option("expand"));
        let has = |name: &str| all.iter().any(|e| e.name == name);
        let known = |e: &&Expand| cast && matches!(e.name.as_str(), "canvaslayout" | "webparts");
        if let Some(other) = all.iter().find(|e| !known(e)) {
            let kind = if cast { "sitePage" } else { "baseSitePage" };
            let message = format!(
                "Could not find a property named '{}' on type 'microsoft.graph.{kind}'.",
                other.name
            );
            return Err(Failure::invalid(message).inner("invalidQueryOption"));
        }
        Ok(Wanted {
            select: Select::parse(request.option("select")),
            whole: cast,
            canvas: has("canvaslayout"),
            web_parts: has("webparts"),
        })
    }
}

/// The library of pages: its place among the site's lists.
fn library(web: &Web) -> Result<usize, Failure> {
    let is_it = |l: &List| l.template == "webPageLibrary" && l.deleted.is_none();
    web.lists
        .iter()
        .position(is_it)
        .ok_or_else(Failure::item_not_found)
}

/// Answers everything below `pages`; `rest` is what comes after it.
pub fn handle(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    rest: &[String],
) -> Result<ApiResponse, Failure> {
    let mut response = answer(world, request, tenant, at, rest)?;
    if let (true, Body::Json(body)) = (world.options.has(Quirk::OneDriveTypes), &mut response.body)
    {
        rename_types(body);
    }
    Ok(response)
}

/// The service is not of one mind about what web parts are called.
fn rename_types(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(rename_types),
        Value::Object(object) => {
            for (key, value) in object {
                match value
                    .as_str()
                    .and_then(|t| t.strip_prefix("#microsoft.graph."))
                {
                    Some(name) if key == "@odata.type" && name.ends_with("WebPart") => {
                        *value = format!("#oneDrive.{name}").into();
                    }
                    _ => rename_types(value),
                }
            }
        }
        _ => {}
    }
}

fn answer(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    rest: &[String],
) -> Result<ApiResponse, Failure> {
    let need = match request.method {
        http::Method::GET => Need::Read,
        _ => Need::Write,
    };
    let web = tenant.web_mut(at);
    need.check(request, Some(web))?;
    let n = library(web)?;
    let id = web.lists[n].drive().unwrap_or_default().to_owned();
    let handle = world.drive.get(&id).ok_or_else(Failure::drive_not_found)?;
    let mut drive = handle.lock();
    let drive = &mut *drive;
    let lower: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
    let mut path: Vec<&str> = lower.iter().map(String::as_str).collect();
    // The cast may come before the page's id or after it.
    let cast = path.iter().position(|s| *s == CAST).filter(|p| *p < 2);
    if let Some(place) = cast {
        path.remove(place);
    }
    let cast = cast.is_some();
    match (request.method.as_str(), path.as_slice()) {
        ("GET", []) => list(world, request, web, drive, cast),
        ("POST", []) => create(world, request, web, drive),
        (_, []) => Ok(ApiResponse::method_not_allowed()),
        (method, [key, below @ ..]) => {
            let index = find(web, drive, key)?;
            match (method, below) {
                ("GET", []) => one(request, web, drive, index, cast, 200),
                ("PATCH", []) => patch(world, request, web, drive, index),
                ("DELETE", []) => {
                    let stamp = drive::request_stamp(world, request);
                    drive.delete(index, true, &stamp);
                    Ok(ApiResponse::no_content())
                }
                ("POST", ["publish"]) => publish(world, request, web, drive, index),
                ("GET", ["webparts" | "canvaslayout", ..]) if cast => {
                    part(request, page(web, drive, index)?, below)
                }
                ("GET" | "POST" | "PATCH" | "DELETE", [segment, ..])
                    if *segment != "publish" && *segment != "webparts" =>
                {
                    Ok(ApiResponse::no_such_segment(segment))
                }
                _ => Ok(ApiResponse::method_not_allowed()),
            }
        }
    }
}

/// A page by its id, or by the name of its file.
fn find(web: &Web, drive: &Drive, key: &str) -> Result<Index, Failure> {
    let guid = uuid::Uuid::parse_str(key).ok().map(|g| g.as_u128());
    let index = match guid {
        Some(guid) => drive.find_guid(guid),
        None => drive.child(ROOT, key),
    };
    let index = index.ok_or_else(Failure::item_not_found)?;
    page(web, drive, index).map(|_| index)
}

fn page<'a>(web: &'a Web, drive: &Drive, index: Index) -> Result<&'a Page, Failure> {
    let found = web.pages.get(&drive.item(index).guid);
    found.ok_or_else(Failure::item_not_found)
}

fn json(web: &Web, drive: &Drive, index: Index, wanted: &Wanted) -> Result<Value, Failure> {
    let (item, page) = (drive.item(index), page(web, drive, index)?);
    let mut o = Map::new();
    let mut put = |key: &str, value: Value| o.insert(key.to_owned(), value);
    put("@odata.type", TYPE.into());
    put("@odata.etag", item.etag_text().into());
    put("id", lower(item.guid).into());
    put("eTag", item.etag_text().into());
    put("name", item.name.clone().into());
    put("webUrl", render::web_url(drive, index).into());
    put("title", page.title.clone().into());
    put("pageLayout", page.layout.clone().into());
    put("createdDateTime", rfc3339(item.created).into());
    put("lastModifiedDateTime", rfc3339(item.modified).into());
    put("createdBy", identity_set(&drive.home, &item.created_by));
    put(
        "lastModifiedBy",
        identity_set(&drive.home, &item.modified_by),
    );
    put("parentReference", json!({"siteId": lower(web.collection)}));
    let mut state = page.publishing_state();
    if state["level"] == "checkout" {
        state["checkedOutBy"] = identity_set(&drive.home, &item.modified_by);
    }
    put("publishingState", state);
    if wanted.whole {
        put("description", page.description.clone().into());
        put("promotionKind", page.promotion.clone().into());
        put("showComments", page.show_comments.into());
        put("showRecommendedPages", page.show_recommended.into());
        put("thumbnailWebUrl", page.thumbnail.clone().into());
        put("titleArea", page.title_area.clone());
        put(
            "reactions",
            json!({"commentCount": 0, "likeCount": 0, "shareCount": 0}),
        );
    }
    wanted.select.apply(&mut o);
    if wanted.canvas {
        o.insert("canvasLayout".into(), page.canvas.clone());
    }
    if wanted.web_parts {
        o.insert("webParts".into(), page.web_parts().into());
    }
    Ok(Value::Object(o))
}

fn list(
    world: &World,
    request: &ApiRequest,
    web: &Web,
    drive: &Drive,
    cast: bool,
) -> Result<ApiResponse, Failure> {
    let wanted = Wanted::of(request, cast)?;
    let pages = drive
        .living()
        .filter(|&i| web.pages.contains_key(&drive.item(i).guid));
    let value: Result<Vec<Value>, Failure> = pages.map(|i| json(web, drive, i, &wanted)).collect();
    super::paged(world, request, "pages", value?, 200, 999)
}

fn one(
    request: &ApiRequest,
    web: &Web,
    drive: &Drive,
    index: Index,
    cast: bool,
    status: u16,
) -> Result<ApiResponse, Failure> {
    let mut value = json(web, drive, index, &Wanted::of(request, cast)?)?;
    value["@odata.context"] = request.context("pages/$entity").into();
    Ok(ApiResponse::json(status, value).with_header("ETag", &drive.item(index).etag_text()))
}

/// `POST .../pages`: a page that nobody sees before it is published.
fn create(
    world: &World,
    request: &ApiRequest,
    web: &mut Web,
    drive: &mut Drive,
) -> Result<ApiResponse, Failure> {
    let body = super::body(request)?;
    if body["@odata.type"]
        .as_str()
        .map(|t| t.trim_start_matches('#'))
        != Some(&TYPE[1..])
    {
        return Err(Failure::invalid(
            "The @odata.type of the page must be #microsoft.graph.sitePage.",
        ));
    }
    let name = body["name"].as_str().unwrap_or_default();
    if !name.to_ascii_lowercase().ends_with(".aspx") {
        return Err(Failure::invalid(
            "The name of the page must end with .aspx.",
        ));
    }
    let title = body["title"].as_str().unwrap_or(&name[..name.len() - 5]);
    let mut page = Page::new(title);
    page.apply(&body, &mut web.guids)?;
    let Place::New(name) = drive.place(ROOT, name, false, Conflict::Fail, None)? else {
        return Err(Failure::name_exists());
    };
    let stamp = drive::request_stamp(world, request);
    let index = add(web, drive, name, page, &stamp)?;
    one(request, web, drive, index, true, 201)
}

/// Puts a page into the library of pages.
pub fn add(
    web: &mut Web,
    drive: &mut Drive,
    name: String,
    page: Page,
    stamp: &Stamp,
) -> Result<Index, Failure> {
    let content = Content::store(page.file().into()).map_err(Failure::io)?;
    let index = drive.add_file(ROOT, name, content, Times::default(), stamp);
    web.pages.insert(drive.item(index).guid, page);
    Ok(index)
}

/// `PATCH .../pages/{id}`: the canvas as a whole, if at all. The page is a draft again.
fn patch(
    world: &World,
    request: &ApiRequest,
    web: &mut Web,
    drive: &mut Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    match request.header("if-match") {
        Some(tags) if !drive.item(index).matches(tags) => return Err(Failure::etag_mismatch()),
        _ => {}
    }
    let body = super::body(request)?;
    let mut changed = page(web, drive, index)?.clone();
    changed.apply(&body, &mut web.guids)?;
    changed.version.1 += 1;
    store(world, request, web, drive, index, changed)?;
    one(request, web, drive, index, true, 200)
}

fn publish(
    world: &World,
    request: &ApiRequest,
    web: &mut Web,
    drive: &mut Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    let mut changed = page(web, drive, index)?.clone();
    changed.version = (changed.version.0 + 1, 0);
    store(world, request, web, drive, index, changed)?;
    Ok(ApiResponse::no_content())
}

fn store(
    world: &World,
    request: &ApiRequest,
    web: &mut Web,
    drive: &mut Drive,
    index: Index,
    page: Page,
) -> Result<(), Failure> {
    let content = Content::store(page.file().into()).map_err(Failure::io)?;
    let stamp = drive::request_stamp(world, request);
    drive.replace(index, content, Times::default(), &stamp);
    web.pages.insert(drive.item(index).guid, page);
    Ok(())
}

/// `canvasLayout...` and `webparts...` of a page: a walk through what is on it.
fn part(request: &ApiRequest, page: &Page, path: &[&str]) -> Result<ApiResponse, Failure> {
    let mut canvas = page.canvas.clone();
    canvas["id"] = "1".into();
    let whole = json!({"canvaslayout": canvas, "webparts": page.web_parts()});
    let mut at = &whole;
    for segment in path {
        let next = match at {
            Value::Array(all) => all.iter().find(|v| v["id"] == *segment),
            Value::Object(o) => o
                .iter()
                .find(|(k, _)| k.eq_ignore_ascii_case(segment))
                .map(|(_, v)| v),
            _ => None,
        };
        at = next.ok_or_else(Failure::item_not_found)?;
    }
    let context = request.context("pages/parts");
    match at {
        Value::Array(all) => Ok(ApiResponse::ok(
            json!({"@odata.context": context, "value": all}),
        )),
        Value::Object(_) => {
            let mut value = at.clone();
            value["@odata.context"] = context.into();
            if path == ["canvaslayout"] {
                // Sections are shown when they are asked for.
                strip(&mut value, &["horizontalSections", "verticalSection"]);
            }
            Ok(ApiResponse::new(200, Body::Json(value)))
        }
        _ => Err(Failure::item_not_found()),
    }
}

fn strip(value: &mut Value, names: &[&str]) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !names.contains(&key.as_str()));
    }
}
