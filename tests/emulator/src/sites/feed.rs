//! `items/delta`: full enumerations and increments of a list's items, whatever they are kept in.
//!
//! Both read the list's log from where the token stands. What changes while a client pages moves to the end of
//! the log and is met there, so an item may come twice.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::parse_rfc3339;
use crate::delta::TokenError;
use crate::drive::Failure;
use crate::drive::feed::{history_lost, page_size};
use crate::losses::{Told, lost};
use crate::options::Quirk;
use crate::world::World;

use super::fields::Place;
use super::item_json::{self, Wanted};
use super::web::lower;

/// Items on a page unless `$top` says otherwise.
const PAGE: usize = 200;

/// What a token stands for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    /// Change number up to which the client has everything.
    after: u64,
    /// A full enumeration: no tombstones.
    full: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    select: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expand: Option<String>,
    /// Number of the page in its round.
    page: u32,
}

/// Answers a delta call. `argument`: the token of the function form.
pub fn delta(
    world: &World,
    request: &ApiRequest,
    place: &Place,
    argument: Option<String>,
) -> Result<ApiResponse, Failure> {
    if request.option("filter").is_some() {
        return Err(Failure::invalid(
            "The $filter option is not supported for delta.",
        ));
    }
    let function_form = argument.is_some() || request.raw_path.contains("delta(");
    let text = |name: &str| request.option(name).map(str::to_owned);
    let token = argument.or_else(|| text("token")).filter(|t| !t.is_empty());
    let fresh = Position {
        full: true,
        top: page_size(request)?,
        select: text("select"),
        expand: text("expand"),
        ..Position::default()
    };
    let kind = kind(place);
    let mut position = match token.as_deref() {
        None => fresh,
        Some("latest") => Position {
            after: place.rows.seq(),
            full: false,
            ..fresh
        },
        Some(token) => match world.tokens.open::<Position>(&kind, token) {
            Ok(position) => position,
            Err(TokenError::Expired) => {
                let full = Position {
                    full: true,
                    ..Position::default()
                };
                let token = world.tokens.seal(&kind, &full);
                return Ok(history_lost(world, &link(request, place, &token, false)));
            }
            Err(TokenError::Malformed) => match parse_rfc3339(token) {
                Some(since) => Position {
                    full: false,
                    since: Some(since),
                    ..fresh
                },
                None => {
                    let failure = Failure::invalid("The provided sync token is malformed.");
                    return Err(failure.inner("invalidParameterFormat"));
                }
            },
        },
    };
    position.page += 1;
    let mut value = Vec::new();
    let mut more = true;
    if !(world.options.has(Quirk::EmptyPages) && position.page % 3 == 0) {
        (value, more) = collect(world, request, place, &mut position)?;
    }
    let next = match more {
        true => position.clone(),
        false => Position {
            full: false,
            since: None,
            page: 0,
            after: place.rows.seq().max(position.after),
            ..position.clone()
        },
    };
    let token = world.tokens.seal(&kind, &next);
    let mut body = Map::new();
    let name = if more {
        "@odata.nextLink"
    } else {
        "@odata.deltaLink"
    };
    body.insert(
        "@odata.context".into(),
        request.context("Collection(listItem)").into(),
    );
    body.insert(
        name.into(),
        link(request, place, &token, function_form).into(),
    );
    body.insert("value".into(), value.into());
    Ok(ApiResponse::ok(Value::Object(body)))
}

/// The items of one page; moves the position on. True when more follow.
fn collect(
    world: &World,
    request: &ApiRequest,
    place: &Place,
    position: &mut Position,
) -> Result<(Vec<Value>, bool), Failure> {
    let wanted = Wanted::parse(position.select.as_deref(), position.expand.as_deref())?;
    let size = position.top.unwrap_or(PAGE);
    let mut value = Vec::new();
    loop {
        let rows = place.rows.changes(position.after, size + 1);
        let last = rows.len() <= size;
        for row in rows {
            if value.len() == size {
                return Ok((again(world, value), true));
            }
            position.after = row.seq;
            let too_old = position.since.is_some_and(|since| row.changed_at <= since);
            let told = Told {
                seq: row.seq,
                gone: row.deleted,
                moved: false,
                follows: !position.full,
            };
            if (position.full && row.deleted) || too_old || lost(&world.options, told) {
                continue;
            }
            value.push(match row.deleted {
                true => item_json::tombstone(place, &row),
                false => item_json::item(world, request, place, &row, &wanted)?,
            });
        }
        if last {
            return Ok((again(world, value), false));
        }
    }
}

/// The same item may come more than once.
fn again(world: &World, mut value: Vec<Value>) -> Vec<Value> {
    if world.options.has(Quirk::DuplicateItems)
        && let Some(first) = value.first().cloned()
    {
        value.push(first);
    }
    value
}

fn kind(place: &Place) -> String {
    format!("list/{:x}", place.rows.list().guid)
}

fn link(request: &ApiRequest, place: &Place, token: &str, function_form: bool) -> String {
    let items = format!(
        "{}/sites/{}/lists/{}/items",
        request.root_url(),
        place.web().id(),
        lower(place.rows.list().guid)
    );
    match function_form {
        true => format!("{items}/delta(token='{token}')"),
        false => format!("{items}/delta?token={token}"),
    }
}
