//! SharePoint: sites and their subsites, lists with their columns and items, libraries, pages, permissions, the
//! recycle bin, and SharePoint's own REST interface for what Graph does not have.
//!
//! All sites are behind one lock ([`Sites`]); the files of libraries are drives ([`crate::drive`]), each with a
//! lock of its own. Who needs both takes that of the sites first; the drive's handlers never ask for it.
//! [`route`] finds out which site a path means, [`dispatch`] what is wanted of it, the modules beside it answer.

mod attachments;
mod bin;
mod column;
mod columns;
mod content_type;
mod control;
mod dispatch;
mod edit;
mod expand;
mod feed;
mod fields;
mod forms;
mod formula;
mod generate;
mod item_json;
mod items;
mod libraries;
mod list;
mod listing;
mod lists;
mod page;
mod pages;
mod people;
pub mod rest;
mod roles;
mod route;
mod rows;
mod seed_lists;
mod seed_pages;
mod sharing;
mod tenant;
mod units;
mod web;
mod write;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{ApiRequest, ApiResponse};
use crate::drive::Failure;
use crate::odata;
use crate::world::World;

use fields::Place;
use list::Store;
use rows::Rows;
use tenant::{At, Tenant};

pub use control::control;
pub use dispatch::handle;
pub use generate::fill;
pub use units::resource_units;

/// All sites of the tenant.
#[derive(Default)]
pub struct Sites(Mutex<Tenant>);

/// The body as JSON.
fn body(request: &ApiRequest) -> Result<Value, Failure> {
    if request.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&request.body)
        .map_err(|e| Failure::invalid(format!("Unable to read JSON request payload. {e}")))
}

/// Calls `then` with the items of list `n` of a site; the drive of a library is locked meanwhile.
fn with_rows<T>(
    world: &World,
    tenant: &Tenant,
    at: At,
    n: usize,
    then: impl FnOnce(Place) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let list = &tenant.web(at).lists[n];
    match &list.store {
        Store::Items(items) => then(Place {
            tenant,
            at,
            rows: Rows::Items(list, items),
        }),
        Store::Library(id) => {
            let handle = world.drive.get(id).ok_or_else(Failure::drive_not_found)?;
            let drive = handle.lock();
            then(Place {
                tenant,
                at,
                rows: Rows::Library(list, &drive),
            })
        }
    }
}

/// Where a listing goes on.
#[derive(Serialize, Deserialize)]
struct Skip {
    after: usize,
}

/// One page of what is all there.
fn paged(
    world: &World,
    request: &ApiRequest,
    context: &str,
    all: Vec<Value>,
    default: usize,
    max: usize,
) -> Result<ApiResponse, Failure> {
    let size = odata::page_size(request, default, max).map_err(|_| {
        Failure::invalid("The value of $top is not valid.").inner("invalidQueryOption")
    })?;
    let skip = match request.option("skiptoken") {
        None => 0,
        Some(token) => {
            let skip: Skip = world.tokens.open(context, token).map_err(|_| {
                Failure::invalid("The skip token is not valid.").inner("invalidStartIndex")
            })?;
            skip.after
        }
    };
    let total = all.len();
    let value: Vec<Value> = all.into_iter().skip(skip).take(size).collect();
    let after = skip.saturating_add(value.len());
    let next = (after < total).then(|| {
        let token = world.tokens.seal(context, &Skip { after });
        odata::link_with(request, "skiptoken", &token)
    });
    let body = odata::page(request.context(context), None, value, next);
    Ok(ApiResponse::ok(body))
}
