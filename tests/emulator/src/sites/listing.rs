//! Which sites there are: all, those found by a word, one, those below one, and what changed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::delta::TokenError;
use crate::drive::Failure;
use crate::drive::feed::{history_lost, page_size};
use crate::drive::render::Select;
use crate::world::World;

use super::tenant::{At, Tenant};
use super::web::{State, Web};

const PAGE: usize = 200;
const MAX_PAGE: usize = 1000;

/// A site as JSON, with what `$select` named.
fn shown(web: &Web, listed: bool, select: &Select) -> Value {
    let mut value = web.json(listed);
    if select.named("sharepointIds") {
        value["sharepointIds"] = web.sharepoint_ids();
    }
    if select.named("isPersonalSite") {
        value["isPersonalSite"] = web.personal.into();
    }
    if let Some(object) = value.as_object_mut() {
        select.apply(object);
    }
    value
}

/// `GET /sites/getAllSites`: the top sites of all collections, people's own too.
pub fn all(world: &World, request: &ApiRequest, tenant: &Tenant) -> Result<ApiResponse, Failure> {
    let select = Select::parse(request.option("select"));
    let tops = tenant
        .living()
        .filter(|&at| tenant.web(at).parent.is_none());
    let value = tops
        .map(|at| shown(tenant.web(at), true, &select))
        .collect();
    let mut response = super::paged(world, request, "sites", value, PAGE, MAX_PAGE)?;
    // Its links name another namespace than the call did.
    if let crate::api::Body::Json(body) = &mut response.body
        && let Some(link) = body["@odata.nextLink"].as_str()
    {
        let path = request.own_url();
        let moved = format!("{}/sites/oneDrive.getAllSites", request.root_url());
        body["@odata.nextLink"] = link.replacen(&path, &moved, 1).into();
    }
    Ok(response)
}

/// `GET /sites?search=`: sites whose name or URL has the word; all of them for `*` or without a word.
pub fn search(
    world: &World,
    request: &ApiRequest,
    tenant: &Tenant,
) -> Result<ApiResponse, Failure> {
    let select = Select::parse(request.option("select"));
    let word = request
        .option("search")
        .unwrap_or("*")
        .trim_matches(['"', '*'])
        .to_lowercase();
    let fits = |web: &Web| {
        let has = |text: &str| text.to_lowercase().contains(&word);
        has(&web.title) || has(&web.path) || word.is_empty()
    };
    let hits = tenant
        .living()
        .map(|at| tenant.web(at))
        .filter(|web| fits(web));
    let value = hits.map(|web| shown(web, true, &select)).collect();
    super::paged(world, request, "sites", value, PAGE, MAX_PAGE)
}

/// `GET /sites/{id}`.
pub fn one(request: &ApiRequest, tenant: &Tenant, at: At) -> Result<ApiResponse, Failure> {
    let web = tenant.web(at);
    let select = Select::parse(request.option("select"));
    let mut value = shown(web, false, &select);
    value["@odata.context"] = request.context("sites/$entity").into();
    Ok(ApiResponse::ok(value))
}

/// `GET /sites/{id}/sites`: those directly below it.
pub fn below(
    world: &World,
    request: &ApiRequest,
    tenant: &Tenant,
    at: At,
) -> Result<ApiResponse, Failure> {
    let select = Select::parse(request.option("select"));
    let below = tenant.below(at).into_iter();
    let value = below
        .map(|at| shown(tenant.web(at), true, &select))
        .collect();
    super::paged(world, request, "sites", value, PAGE, MAX_PAGE)
}

/// What a token of `sites/delta` stands for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    after: u64,
    full: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    select: Option<String>,
}

/// `GET /sites/delta`: sites that are new, changed, deleted.
pub fn delta(
    world: &World,
    request: &ApiRequest,
    tenant: &Tenant,
    argument: Option<String>,
) -> Result<ApiResponse, Failure> {
    let function_form = argument.is_some() || request.raw_path.contains("delta(");
    let text = |name: &str| request.option(name).map(str::to_owned);
    let token = argument.or_else(|| text("token")).filter(|t| !t.is_empty());
    let fresh = Position {
        after: 0,
        full: true,
        top: page_size(request)?,
        select: text("select"),
    };
    let mut position = match token.as_deref() {
        None => fresh,
        Some("latest") => Position {
            after: tenant.seq(),
            full: false,
            ..fresh
        },
        Some(token) => match world.tokens.open::<Position>("sites", token) {
            Ok(position) => position,
            Err(TokenError::Expired) => {
                let full = Position {
                    full: true,
                    ..Position::default()
                };
                let token = world.tokens.seal("sites", &full);
                return Ok(history_lost(world, &link(request, &token, false)));
            }
            Err(TokenError::Malformed) => {
                let failure = Failure::invalid("The provided sync token is malformed.");
                return Err(failure.inner("invalidParameterFormat"));
            }
        },
    };
    let size = position.top.unwrap_or(PAGE);
    let select = Select::parse(position.select.as_deref());
    let mut value = Vec::new();
    let mut more = false;
    for at in tenant.changes(position.after) {
        let web = tenant.web(at);
        let gone = web.state == State::Deleted;
        if gone && position.full {
            position.after = web.seq;
            continue;
        }
        if value.len() == size {
            more = true;
            break;
        }
        position.after = web.seq;
        value.push(match gone {
            true => json!({"id": web.id(), "name": web.title, "deleted": {"state": "deleted"}}),
            false => shown(web, true, &select),
        });
    }
    if !more {
        position.after = tenant.seq().max(position.after);
        position.full = false;
    }
    let token = world.tokens.seal("sites", &position);
    let name = if more {
        "@odata.nextLink"
    } else {
        "@odata.deltaLink"
    };
    let mut body = Map::new();
    body.insert(
        "@odata.context".into(),
        request.context("Collection(site)").into(),
    );
    body.insert(name.into(), link(request, &token, function_form).into());
    body.insert("value".into(), value.into());
    Ok(ApiResponse::ok(Value::Object(body)))
}

fn link(request: &ApiRequest, token: &str, function_form: bool) -> String {
    let sites = format!("{}/sites", request.root_url());
    match function_form {
        true => format!("{sites}/delta(token='{token}')"),
        false => format!("{sites}/delta?token={token}"),
    }
}
