//! The list of categories of a mailbox: `/users/{id}/outlook/masterCategories`.
//!
//! Items refer to categories by name, so a category's name never changes.

use http::Method;
use serde_json::{Value, json};

use super::{User, admit, settings};
use crate::api::{ApiRequest, ApiResponse};
use crate::mail::{item_not_found, object_of, unknown_property};
use crate::odata::{self, Object};
use crate::world::World;

/// Answers what is below `/users/{id}/outlook`.
pub fn outlook(
    world: &World,
    request: &ApiRequest,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let user = admit(world, request, settings::needed(request))?;
    match rest {
        [name, below @ ..] if name.eq_ignore_ascii_case("masterCategories") => {
            world.settings.with(&user, world.options.seed, |own| {
                route(world, request, &user, &mut own.categories, below)
            })
        }
        [name, ..] => Err(ApiResponse::no_such_segment(name)),
        [] => Err(ApiResponse::method_not_allowed()),
    }
}

fn route(
    world: &World,
    request: &ApiRequest,
    user: &User,
    all: &mut Vec<Object>,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    let context = |what: &str| {
        request.context(&format!(
            "users('{}')/outlook/masterCategories{what}",
            user.id
        ))
    };
    let one = |status: u16, category: &Object| {
        let mut body = category.clone();
        body.insert("@odata.context".into(), json!(context("/$entity")));
        ApiResponse::json(status, Value::Object(body))
    };
    let place = |id: &str| {
        let found = all
            .iter()
            .position(|c| c.get("id").is_some_and(|v| v == id));
        found.ok_or_else(item_not_found)
    };
    match (rest, &request.method) {
        ([], &Method::GET) => {
            let value = all.iter().cloned().map(Value::Object).collect();
            Ok(ApiResponse::ok(odata::slice(
                request,
                context(""),
                value,
                100,
                1000,
            )?))
        }
        ([], &Method::POST) => {
            let body = object_of(request)?;
            let name = check(&body)?.ok_or_else(|| bad("A category needs a displayName."))?;
            let lower = name.to_lowercase();
            let taken = |c: &Object| {
                let other = c.get("displayName").and_then(Value::as_str);
                other.is_some_and(|n| n.to_lowercase() == lower)
            };
            if all.iter().any(taken) {
                return Err(ApiResponse::error(
                    409,
                    "CategoryNameDuplicate",
                    &format!("A category named '{name}' exists already."),
                ));
            }
            let id = world.rng(&format!("category {} {name}", user.id)).guid();
            let color = color(&body)?.unwrap_or("none");
            let made = json!({"id": id, "displayName": name, "color": color});
            let made = made.as_object().cloned().unwrap_or_default();
            let answer = one(201, &made);
            all.push(made);
            Ok(answer)
        }
        ([id], &Method::GET) => Ok(one(200, &all[place(id)?])),
        ([id], &Method::PATCH) => {
            let at = place(id)?;
            let body = object_of(request)?;
            if check(&body)?.is_some() {
                return Err(bad("The name of a category cannot be changed."));
            }
            if let Some(color) = color(&body)? {
                all[at].insert("color".into(), json!(color));
            }
            Ok(one(200, &all[at]))
        }
        ([id], &Method::DELETE) => {
            let at = place(id)?;
            all.remove(at);
            Ok(ApiResponse::no_content())
        }
        ([_, below, ..], _) => Err(ApiResponse::no_such_segment(below)),
        _ => Err(ApiResponse::method_not_allowed()),
    }
}

fn bad(message: &str) -> ApiResponse {
    ApiResponse::error(400, "ErrorInvalidRequest", message)
}

/// The name in a body that holds nothing but what a category has.
fn check(body: &Object) -> Result<Option<String>, ApiResponse> {
    for name in body.keys().filter(|n| !n.contains('@')) {
        if !matches!(name.as_str(), "id" | "displayName" | "color") {
            return Err(unknown_property(name, "microsoft.graph.outlookCategory"));
        }
    }
    match body.get("displayName") {
        None => Ok(None),
        Some(Value::String(name)) if (1..=255).contains(&name.chars().count()) => {
            Ok(Some(name.clone()))
        }
        Some(_) => Err(bad("The displayName must have 1 to 255 characters.")),
    }
}

fn color(body: &Object) -> Result<Option<&str>, ApiResponse> {
    let Some(value) = body.get("color").filter(|v| !v.is_null()) else {
        return Ok(None);
    };
    let text = value.as_str().unwrap_or_default();
    let preset = text
        .strip_prefix("preset")
        .and_then(|n| n.parse::<u8>().ok());
    match text == "none" || preset.is_some_and(|n| n <= 24) {
        true => Ok(Some(text)),
        false => Err(bad("The color must be none or preset0 to preset24.")),
    }
}
