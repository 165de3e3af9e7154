//! Columns and content types of sites and lists.

use serde_json::Value;

use crate::api::{ApiRequest, ApiResponse};
use crate::drive::{self, Failure};
use crate::odata;
use crate::world::World;

use super::column::{self, Column, Kind, PROPERTIES};
use super::content_type::ContentType;
use super::tenant::{At, Tenant};
use super::web::{Web, lower};

/// Columns as JSON: hidden ones only when `hidden` is named.
pub fn all(columns: &[Column], named: Option<&[String]>) -> Vec<Value> {
    let wants = |name: &str| named.is_none_or(|n| n.iter().any(|n| n.eq_ignore_ascii_case(name)));
    let hidden_too = named.is_some() && wants("hidden");
    columns
        .iter()
        .filter(|c| hidden_too || !c.hidden)
        .map(|column| {
            let mut o = column::object(column);
            o.retain(|key, _| key == "id" || wants(key));
            Value::Object(o)
        })
        .collect()
}

/// Content types as JSON. `ordered`: those of a list, of which the first is the default.
pub fn types(types: &[ContentType], ordered: bool) -> Vec<Value> {
    let places = types.iter().enumerate();
    places.map(|(i, t)| t.json(ordered.then_some(i))).collect()
}

/// The column that a body asks for, beside `existing` ones.
pub fn parse(web: &mut Web, existing: &[Column], body: &Value) -> Result<Column, Failure> {
    let mut column = Column::parse(web.new_guid(), body)?;
    let title = body["displayName"].as_str().filter(|t| !t.is_empty());
    let name = match body["name"].as_str().filter(|n| !n.is_empty()) {
        Some(name) => column::internal_name(name),
        None => match title {
            Some(title) => column::internal_name(title),
            None => return Err(Failure::invalid("The name of the column is missing.")),
        },
    };
    let clash = |name: &str| existing.iter().find(|c| c.name.eq_ignore_ascii_case(name));
    column.name = match clash(&name) {
        None => name,
        // The service's own names are only taken under the surface.
        Some(other) if other.built_in && other.name != "Title" => (0..)
            .map(|n| format!("{name}{n}"))
            .find(|name| clash(name).is_none())
            .unwrap_or(name),
        Some(_) => return Err(Failure::name_exists()),
    };
    column.title = title.unwrap_or(&column.name).to_owned();
    match &column.kind {
        Kind::Lookup { list, .. } => {
            let there = web
                .lists
                .iter()
                .any(|l| l.guid == *list && l.deleted.is_none());
            if !there {
                return Err(Failure::invalid(
                    "The list that the column looks up does not exist in this site.",
                ));
            }
        }
        Kind::Calculated(formula) => {
            let known = |name: &str| existing.iter().any(|c| c.name == name || c.title == name);
            if let Some(missing) = formula.columns().into_iter().find(|c| !known(c)) {
                return Err(Failure::invalid(format!(
                    "The formula refers to a column that does not exist: {missing}"
                )));
            }
        }
        _ => {}
    }
    Ok(column)
}

/// `.../columns` of a list (`n`) or of the site, and what is below it.
pub fn handle(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: Option<usize>,
    rest: &[&str],
) -> Result<ApiResponse, Failure> {
    let stamp = drive::request_stamp(world, request);
    let context = request.context(if n.is_some() {
        "lists/columns"
    } else {
        "sites/columns"
    });
    let web = tenant.web_mut(at);
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let named = request.option("select").map(super::expand::names);
            if let Some(bad) = named
                .iter()
                .flatten()
                .find(|n| *n != "*" && !PROPERTIES.iter().any(|p| p.eq_ignore_ascii_case(n)))
            {
                let message = format!(
                    "Could not find a property named '{bad}' on type 'microsoft.graph.columnDefinition'."
                );
                return Err(Failure::invalid(message).inner("invalidQueryOption"));
            }
            let value = all(columns(web, n), named.as_deref());
            let body = odata::slice(request, context, value, 1000, 1000);
            Ok(body.map_or_else(|refusal| refusal, ApiResponse::ok))
        }
        ("POST", []) => {
            let body = super::body(request)?;
            let existing = columns(web, n).to_vec();
            let mut column = parse(web, &existing, &body)?;
            column.of_site = n.is_none();
            let json = answer(&column, &context);
            columns_mut(web, n).push(column);
            touch(tenant, at, n, &stamp);
            Ok(ApiResponse::json(201, json))
        }
        (method, [id]) => {
            let found = columns(web, n).iter().position(|c| {
                lower(c.id) == id.to_ascii_lowercase() || c.name.eq_ignore_ascii_case(id)
            });
            let place = found.ok_or_else(Failure::item_not_found)?;
            let built_in = columns(web, n)[place].built_in;
            match method {
                "GET" => Ok(ApiResponse::ok(answer(&columns(web, n)[place], &context))),
                "PATCH" => {
                    let body = super::body(request)?;
                    let column = &mut columns_mut(web, n)[place];
                    column.apply(&body);
                    let json = answer(column, &context);
                    touch(tenant, at, n, &stamp);
                    Ok(ApiResponse::ok(json))
                }
                "DELETE" if built_in => Err(Failure::new(
                    403,
                    "accessDenied",
                    "This column can not be deleted.",
                )),
                "DELETE" => {
                    columns_mut(web, n).remove(place);
                    touch(tenant, at, n, &stamp);
                    Ok(ApiResponse::no_content())
                }
                _ => Ok(ApiResponse::method_not_allowed()),
            }
        }
        (_, []) => Ok(ApiResponse::method_not_allowed()),
        (_, [.., last]) => Ok(ApiResponse::no_such_segment(last)),
    }
}

fn answer(column: &Column, context: &str) -> Value {
    let mut json = column.json();
    json["@odata.context"] = format!("{context}/$entity").into();
    json
}

fn columns(web: &Web, n: Option<usize>) -> &[Column] {
    match n {
        Some(n) => &web.lists[n].columns,
        None => &web.columns,
    }
}

fn columns_mut(web: &mut Web, n: Option<usize>) -> &mut Vec<Column> {
    match n {
        Some(n) => &mut web.lists[n].columns,
        None => &mut web.columns,
    }
}

fn touch(tenant: &mut Tenant, at: At, n: Option<usize>, stamp: &drive::Stamp) {
    if let Some(n) = n {
        tenant.web_mut(at).lists[n].touch(stamp);
    }
    tenant.touch(at, stamp.now);
}

/// `.../contentTypes` of a list (`n`) or of the site, and what is below it.
pub fn handle_types(
    world: &World,
    request: &ApiRequest,
    tenant: &mut Tenant,
    at: At,
    n: Option<usize>,
    rest: &[&str],
) -> Result<ApiResponse, Failure> {
    let stamp = drive::request_stamp(world, request);
    let web = tenant.web_mut(at);
    let own = |web: &Web| match n {
        Some(n) => web.lists[n].content_types.clone(),
        None => web.content_types.clone(),
    };
    let context = request.context("contentTypes");
    let find = |web: &Web, id: &str| {
        let found = own(web)
            .into_iter()
            .enumerate()
            .find(|(_, t)| t.id.eq_ignore_ascii_case(id));
        found.ok_or_else(Failure::item_not_found)
    };
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let body = odata::slice(request, context, types(&own(web), n.is_some()), 1000, 1000);
            Ok(body.map_or_else(|refusal| refusal, ApiResponse::ok))
        }
        ("GET", [id]) => {
            let (place, found) = find(web, id)?;
            let mut json = found.json(n.map(|_| place));
            json["@odata.context"] = format!("{context}/$entity").into();
            Ok(ApiResponse::ok(json))
        }
        ("GET", [id, "columns"]) => {
            find(web, id)?;
            let shown = columns(web, n).iter().filter(|c| !c.read_only && !c.hidden);
            let value: Vec<Value> = shown.map(Column::json).collect();
            Ok(ApiResponse::ok(odata::page(
                request.context("columns"),
                None,
                value,
                None,
            )))
        }
        ("POST", ["addcopy"]) => {
            let body = super::body(request)?;
            let (Some(n), Some(wanted)) = (n, body["contentType"].as_str()) else {
                return Err(Failure::invalid("The contentType is missing."));
            };
            let id = wanted.rsplit('/').next().unwrap_or(wanted);
            let found = web
                .content_types
                .iter()
                .find(|t| t.id.eq_ignore_ascii_case(id))
                .cloned();
            let found = found.ok_or_else(Failure::item_not_found)?;
            let guid = web.new_guid();
            let list = &mut web.lists[n];
            if list.content_types.iter().any(|t| t.name == found.name) {
                return Err(Failure::name_exists());
            }
            let made = found.in_list(guid);
            let mut json = made.json(Some(list.content_types.len()));
            json["@odata.context"] = format!("{context}/$entity").into();
            list.content_types.push(made);
            touch(tenant, at, Some(n), &stamp);
            Ok(ApiResponse::json(201, json))
        }
        ("POST", []) if n.is_none() => {
            let body = super::body(request)?;
            let (Some(name), Some(base)) = (body["name"].as_str(), body["base"]["id"].as_str())
            else {
                return Err(Failure::invalid("A content type has a name and a base."));
            };
            let (_, base) = find(web, base)?;
            let made = ContentType {
                name: name.to_owned(),
                description: body["description"].as_str().unwrap_or_default().to_owned(),
                group: body["group"]
                    .as_str()
                    .unwrap_or("Custom Content Types")
                    .to_owned(),
                built_in: false,
                ..base.in_list(web.new_guid())
            };
            let mut json = made.json(None);
            json["@odata.context"] = format!("{context}/$entity").into();
            web.content_types.push(made);
            tenant.touch(at, stamp.now);
            Ok(ApiResponse::json(201, json))
        }
        ("DELETE", [id]) => {
            let (place, found) = find(web, id)?;
            if found.built_in && n.is_none() {
                return Err(Failure::new(
                    403,
                    "accessDenied",
                    "This content type can not be deleted.",
                ));
            }
            match n {
                Some(n) => web.lists[n].content_types.remove(place),
                None => web.content_types.remove(place),
            };
            touch(tenant, at, n, &stamp);
            Ok(ApiResponse::no_content())
        }
        (_, [] | [_] | [_, "columns"]) => Ok(ApiResponse::method_not_allowed()),
        (_, [.., last]) => Ok(ApiResponse::no_such_segment(last)),
    }
}
