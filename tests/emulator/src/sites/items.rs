//! Reading the items of a list: all, one, its values, its versions.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::drive::Failure;
use crate::filter::{Expr, order_by};
use crate::odata;
use crate::world::World;

use super::fields::Place;
use super::item_json::{self, Wanted};
use super::rows::Row;

/// Items on a page unless `$top` says otherwise.
const PAGE: usize = 200;
const MAX_PAGE: usize = 5000;

/// Where a listing goes on: after the item with an id, or, when it is ordered, after so many items.
#[derive(Serialize, Deserialize)]
struct Skip {
    after: u64,
}

/// An item that is there.
pub fn find<'a>(place: &Place<'a>, id: &str) -> Result<Row<'a>, Failure> {
    let id = id.parse().map_err(|_| Failure::item_not_found())?;
    place.rows.get(id).ok_or_else(Failure::item_not_found)
}

/// 412 unless `If-Match` names the item's tag.
pub fn check_match(request: &ApiRequest, row: &Row) -> Result<(), Failure> {
    let Some(tags) = request.header("if-match") else {
        return Ok(());
    };
    let plain = |t: &str| {
        t.trim()
            .trim_matches('"')
            .replace(['{', '}'], "")
            .to_ascii_lowercase()
    };
    if tags.trim() == "*" || plain(tags) == plain(&row.etag_text()) {
        return Ok(());
    }
    Err(Failure::etag_mismatch())
}

/// `GET .../items`.
pub fn list(world: &World, request: &ApiRequest, place: &Place) -> Result<ApiResponse, Failure> {
    let wanted = Wanted::of(request)?;
    let size = odata::page_size(request, PAGE, MAX_PAGE).map_err(|_| {
        Failure::invalid("The value of $top is not valid.").inner("invalidQueryOption")
    })?;
    let filter =
        match request.option("filter") {
            None => None,
            Some(text) => Some(Expr::parse(text).map_err(|_| {
                Failure::invalid("Invalid filter clause").inner("invalidQueryOption")
            })?),
        };
    let order = order_by(request.option("orderby").unwrap_or_default());
    check_indexed(request, place, filter.as_ref(), &order)?;
    let kind = format!("items/{:x}", place.rows.list().guid);
    let skip = match request.option("skiptoken") {
        None => 0,
        Some(token) => {
            let skip: Skip = world.tokens.open(&kind, token).map_err(|_| {
                Failure::invalid("The skip token is not valid.").inner("invalidStartIndex")
            })?;
            skip.after
        }
    };
    let (rows, next) = match order.as_slice() {
        [] => by_id(world, request, place, filter.as_ref(), skip, size)?,
        order => ordered(
            world,
            request,
            place,
            filter.as_ref(),
            order,
            skip as usize,
            size,
        )?,
    };
    let value: Result<Vec<Value>, Failure> = rows
        .iter()
        .map(|row| item_json::item(world, request, place, row, &wanted))
        .collect();
    let next = next.map(|after| {
        let token = world.tokens.seal(&kind, &Skip { after });
        odata::link_with(request, "skiptoken", &token)
    });
    let context = request.context(&item_json::items_context(place));
    Ok(ApiResponse::ok(odata::page(context, None, value?, next)))
}

type Page<'a> = (Vec<Row<'a>>, Option<u64>);

fn by_id<'a>(
    world: &World,
    request: &ApiRequest,
    place: &Place<'a>,
    filter: Option<&Expr>,
    mut after: u64,
    size: usize,
) -> Result<Page<'a>, Failure> {
    let mut rows = Vec::new();
    loop {
        let some = place.rows.after(after, size + 1);
        let last = some.len() <= size;
        for row in some {
            if rows.len() == size {
                return Ok((rows, Some(after)));
            }
            after = row.id;
            if fits(world, request, place, &row, filter)? {
                rows.push(row);
            }
        }
        if last {
            return Ok((rows, None));
        }
    }
}

fn ordered<'a>(
    world: &World,
    request: &ApiRequest,
    place: &Place<'a>,
    filter: Option<&Expr>,
    order: &[(String, bool)],
    skip: usize,
    size: usize,
) -> Result<Page<'a>, Failure> {
    let mut all = Vec::new();
    for row in place.rows.after(0, usize::MAX) {
        if !fits(world, request, place, &row, filter)? {
            continue;
        }
        let json = whole(world, request, place, &row)?;
        let keys: Vec<Value> = order
            .iter()
            .map(|(path, _)| crate::filter::Subject::get(&json, path))
            .collect();
        all.push((keys, row));
    }
    all.sort_by(|(a, _), (b, _)| {
        let mut orders = a.iter().zip(b).zip(order).map(|((a, b), (_, down))| {
            let up = compare(a, b);
            if *down { up.reverse() } else { up }
        });
        orders
            .find(|o| o.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let more = all.len() > skip.saturating_add(size);
    let rows = all
        .into_iter()
        .skip(skip)
        .take(size)
        .map(|(_, row)| row)
        .collect();
    Ok((rows, more.then_some((skip + size) as u64)))
}

fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => {
            let text = |v: &Value| v.as_str().map(str::to_lowercase).unwrap_or_default();
            text(a).cmp(&text(b))
        }
    }
}

/// An item with all its values, to filter and order by.
fn whole(world: &World, request: &ApiRequest, place: &Place, row: &Row) -> Result<Value, Failure> {
    let all = Wanted {
        fields: Some(None),
        ..Wanted::default()
    };
    item_json::item(world, request, place, row, &all)
}

fn fits(
    world: &World,
    request: &ApiRequest,
    place: &Place,
    row: &Row,
    filter: Option<&Expr>,
) -> Result<bool, Failure> {
    match filter {
        None => Ok(true),
        Some(filter) => Ok(filter.matches(&whole(world, request, place, row)?)),
    }
}

/// Values of columns without an index are not filtered or ordered by, unless the client takes the risk.
fn check_indexed(
    request: &ApiRequest,
    place: &Place,
    filter: Option<&Expr>,
    order: &[(String, bool)],
) -> Result<(), Failure> {
    if request
        .prefer("HonorNonIndexedQueriesWarningMayFailRandomly")
        .is_some()
    {
        return Ok(());
    }
    let paths = filter.map(Expr::paths).unwrap_or_default();
    for path in paths
        .into_iter()
        .chain(order.iter().map(|(path, _)| path.as_str()))
    {
        let Some(name) = path.strip_prefix("fields/") else {
            continue;
        };
        let stem = name.strip_suffix("LookupId").unwrap_or(name);
        let list = place.rows.list();
        let column = list.column(name).or_else(|| list.column(stem));
        if !column.is_some_and(|c| c.indexed) {
            return Err(Failure::invalid(format!(
                "Field '{name}' cannot be referenced in filter or orderby as it is not indexed. Provide the 'Prefer: \
                 HonorNonIndexedQueriesWarningMayFailRandomly' header to allow this, but be warned that such queries \
                 may fail on large lists."
            )));
        }
    }
    Ok(())
}

/// One item as an answer.
pub fn answer(
    world: &World,
    request: &ApiRequest,
    place: &Place,
    row: &Row,
    status: u16,
) -> Result<ApiResponse, Failure> {
    let mut wanted = Wanted::of(request)?;
    if status == 201 {
        // Who makes an item sees its values.
        wanted.fields = wanted.fields.or(Some(None));
    }
    let mut value = item_json::item(world, request, place, row, &wanted)?;
    let context = format!("{}/$entity", item_json::items_context(place));
    value["@odata.context"] = request.context(&context).into();
    Ok(ApiResponse::json(status, value).with_header("ETag", &row.etag_text()))
}

/// `.../items/{id}/fields`.
pub fn fields(request: &ApiRequest, place: &Place, row: &Row) -> Result<ApiResponse, Failure> {
    let named = request.option("select").map(super::expand::names);
    let mut value = Value::Object(place.fields(row, named.as_deref())?);
    let context = format!(
        "{}('{}')/fields/$entity",
        item_json::items_context(place),
        row.id
    );
    value["@odata.context"] = request.context(&context).into();
    Ok(ApiResponse::ok(value))
}

/// The versions of an item, newest first; their values when asked for.
pub fn versions(request: &ApiRequest, place: &Place, row: &Row) -> Result<ApiResponse, Failure> {
    let value: Result<Vec<Value>, Failure> = place
        .rows
        .versions(row.id)
        .iter()
        .map(|v| version(request, place, v))
        .collect();
    let context = format!("{}('{}')/versions", item_json::items_context(place), row.id);
    Ok(ApiResponse::ok(
        json!({"@odata.context": request.context(&context), "value": value?}),
    ))
}

/// One version: `3.0`.
pub fn one_version(
    request: &ApiRequest,
    place: &Place,
    row: &Row,
    id: &str,
) -> Result<ApiResponse, Failure> {
    let found = find_version(place, row, id)?;
    let mut value = version(request, place, &found)?;
    let context = format!(
        "{}('{}')/versions/$entity",
        item_json::items_context(place),
        row.id
    );
    value["@odata.context"] = request.context(&context).into();
    Ok(ApiResponse::ok(value))
}

pub fn find_version<'a>(place: &Place<'a>, row: &Row, id: &str) -> Result<Row<'a>, Failure> {
    let number: u32 = id
        .strip_suffix(".0")
        .and_then(|n| n.parse().ok())
        .ok_or_else(Failure::item_not_found)?;
    let versions = place.rows.versions(row.id);
    let found = versions.into_iter().find(|v| v.version == number);
    found.ok_or_else(Failure::item_not_found)
}

fn version(request: &ApiRequest, place: &Place, row: &Row) -> Result<Value, Failure> {
    let wanted = Wanted::of(request)?;
    let home = place.web().home("", "", false);
    let mut value = item_json::version(&home, row);
    if let Some(named) = &wanted.fields {
        value["fields"] = Value::Object(place.fields(row, named.as_deref())?);
    }
    Ok(value)
}
