//! Reading items: one, the children of a folder, search; and the drive itself.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::world::World;

use super::failure::Failure;
use super::item::Index;
use super::render::{self, Select, View};
use super::store::Drive;

/// Children on a page unless `$top` says otherwise.
const PAGE: usize = 200;
const MAX_PAGE: usize = 5000;

pub fn drive(request: &ApiRequest, drive: &Drive) -> ApiResponse {
    let mut value = render::drive(drive, &Select::parse(request.option("select")));
    value["@odata.context"] = request.context("drives/$entity").into();
    ApiResponse::ok(value)
}

/// `/users/{id}/drives`: the personal site has one library.
pub fn drive_list(request: &ApiRequest, drive: &Drive) -> ApiResponse {
    let value = render::drive(drive, &Select::parse(request.option("select")));
    ApiResponse::ok(json!({"@odata.context": request.context("drives"), "value": [value]}))
}

pub fn item(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    let expand = expand(request)?;
    if request
        .header("if-none-match")
        .is_some_and(|tags| drive.item(index).matches(tags))
    {
        return Ok(ApiResponse::empty(304));
    }
    let mut response = super::one(world, request, drive, index, 200)?;
    if expand.children
        && let crate::api::Body::Json(value) = &mut response.body
        && drive.item(index).folder().is_some()
    {
        let children = drive.children(index, None, false, PAGE);
        let indexes: Vec<Index> = children.into_iter().map(|(_, i)| i).collect();
        let all = Select::default();
        value["children"] =
            super::render_all(world, request, drive, &indexes, &all, View::Plain)?.into();
    }
    Ok(response)
}

struct Expand {
    children: bool,
}

/// Reads `$expand`; permissions can't be expanded on a drive.
fn expand(request: &ApiRequest) -> Result<Expand, Failure> {
    let mut out = Expand { children: false };
    for name in request
        .option("expand")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
    {
        let name = name.split('(').next().unwrap_or(name).to_ascii_lowercase();
        match name.as_str() {
            "children" => out.children = true,
            "permissions" => {
                return Err(Failure::not_supported(
                    "Expand of permissions is not supported in this item.",
                ));
            }
            "thumbnails" | "listitem" | "retentionlabel" => {}
            other => {
                let message = format!(
                    "Could not find a property named '{other}' on type 'microsoft.graph.driveItem'."
                );
                return Err(Failure::invalid(message).inner("invalidQueryOption"));
            }
        }
    }
    Ok(out)
}

/// Where a listing goes on.
#[derive(Serialize, Deserialize)]
struct Skip {
    after: String,
}

pub fn children(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    index: Index,
) -> Result<ApiResponse, Failure> {
    let expand = expand(request)?;
    if expand.children {
        return Err(Failure::not_supported(
            "Expand of children is not supported on this collection.",
        ));
    }
    let Some(folder) = drive.item(index).folder() else {
        return Err(Failure::invalid("The item is not a folder.").inner("invalidPath"));
    };
    let top = match request.option("top").map(str::parse::<usize>) {
        None => PAGE,
        Some(Ok(top)) if top > 0 => top.min(MAX_PAGE),
        Some(_) => {
            return Err(
                Failure::invalid("The value of $top is not valid.").inner("invalidQueryOption")
            );
        }
    };
    let descending = order(request)?;
    let kind = format!("children/{}", drive.id_of(index));
    let skip: Option<Skip> = match request.option("skiptoken") {
        None => None,
        Some(token) => Some(world.tokens.open(&kind, token).map_err(|_| {
            Failure::invalid("The skip token is not valid.").inner("invalidStartIndex")
        })?),
    };
    let after = skip.as_ref().map(|s| s.after.as_str());
    let only = filter(request)?;
    let mut entries = drive.children(index, after, descending, top + 1);
    let more = entries.len() > top;
    entries.truncate(top);
    let last = entries.last().map(|(key, _)| (*key).to_owned());
    let indexes: Vec<Index> = entries
        .into_iter()
        .map(|(_, i)| i)
        .filter(|&i| {
            only.as_ref()
                .is_none_or(|name| drive.item(i).name.eq_ignore_ascii_case(name))
        })
        .collect();
    let select = Select::parse(request.option("select"));
    let value = super::render_all(world, request, drive, &indexes, &select, View::Plain)?;
    let mut body = Map::new();
    let context = format!(
        "{}('{}')/children",
        render::items_context(drive),
        drive.id_of(index)
    );
    body.insert("@odata.context".into(), request.context(&context).into());
    if after.is_none() {
        body.insert("@odata.count".into(), folder.children.len().into());
    }
    if let (true, Some(after)) = (more, last) {
        let token = world.tokens.seal(&kind, &Skip { after });
        let mut link = format!("{}?", request.own_url());
        for part in request.raw_query.split('&').filter(|p| !p.is_empty()) {
            let name = part
                .split('=')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            if !name.ends_with("skiptoken") {
                link.push_str(part);
                link.push('&');
            }
        }
        link.push_str("$skiptoken=");
        link.push_str(&token);
        body.insert("@odata.nextLink".into(), link.into());
    }
    body.insert("value".into(), value.into());
    Ok(ApiResponse::ok(Value::Object(body)))
}

/// True for descending. Only names can be ordered by.
fn order(request: &ApiRequest) -> Result<bool, Failure> {
    let Some(order) = request.option("orderby") else {
        return Ok(false);
    };
    let mut words = order.split_whitespace();
    match (
        words.next().map(str::to_ascii_lowercase).as_deref(),
        words.next().map(str::to_ascii_lowercase).as_deref(),
    ) {
        (Some("name" | "url"), None | Some("asc")) => Ok(false),
        (Some("name" | "url"), Some("desc")) => Ok(true),
        _ => {
            Err(Failure::invalid("Only name and url can be sorted by.").inner("invalidQueryOption"))
        }
    }
}

/// `name eq 'x'`, the one filter that there is.
fn filter(request: &ApiRequest) -> Result<Option<String>, Failure> {
    let Some(filter) = request.option("filter") else {
        return Ok(None);
    };
    filter
        .trim()
        .strip_prefix("name eq '")
        .and_then(|rest| rest.strip_suffix('\''))
        .map(|name| Some(name.replace("''", "'")))
        .ok_or_else(|| Failure::not_supported("The filter is not supported for this property."))
}

/// Items whose name holds the words. The service leaves some properties out of search results.
pub fn search(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    q: &str,
) -> Result<ApiResponse, Failure> {
    let q = q.to_lowercase();
    let hits: Vec<Index> = drive
        .living()
        .filter(|&i| i != super::ROOT && drive.item(i).name.to_lowercase().contains(&q))
        .take(PAGE)
        .collect();
    let select = Select::parse(request.option("select"));
    let mut value = super::render_all(world, request, drive, &hits, &select, View::Plain)?;
    for hit in value.iter_mut().filter_map(Value::as_object_mut) {
        for gone in ["createdBy", "lastModifiedBy", "parentReference"] {
            hit.remove(gone);
        }
        hit.insert("searchResult".into(), json!({}));
    }
    Ok(ApiResponse::ok(
        json!({"@odata.context": request.context("Collection(driveItem)"), "value": value}),
    ))
}

/// A collection that is always empty here.
pub fn nothing(request: &ApiRequest, what: &str) -> ApiResponse {
    ApiResponse::ok(json!({"@odata.context": request.context(what), "value": []}))
}
