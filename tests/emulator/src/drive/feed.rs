//! `root/delta`: full enumerations and increments.
//!
//! Both read the drive's log from where the token stands. A full enumeration leaves tombstones out and puts
//! a folder before an item when the log has the folder later (it was touched after the item), so parents
//! come first although some items come twice. An increment names the folders above each item, up to the
//! root, as the service does, unless `deltaExcludeParent` asks not to. What changes while a client pages moves
//! to the end of the log and is met there.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::{ApiRequest, ApiResponse};
use crate::clock::parse_rfc3339;
use crate::delta::TokenError;
use crate::losses::{Told, lost};
use crate::options::{Options, Quirk};
use crate::world::World;

use super::failure::Failure;
use super::item::Index;
use super::render::{Select, View};
use super::store::Drive;

/// Items on a page unless `$top` says otherwise.
const PAGE: usize = 200;
const MAX_PAGE: usize = 5000;

/// What a token stands for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Position {
    /// Change number up to which the client has everything.
    after: u64,
    /// Where this round began: marks sharing changes.
    round: u64,
    /// A full enumeration: no tombstones.
    full: bool,
    /// Only what changed after this time (timestamp tokens).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    select: Option<String>,
    /// Number of the page in its round.
    page: u32,
}

/// Answers a delta call. `argument`: the token of the function form.
pub fn delta(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    argument: Option<String>,
) -> Result<ApiResponse, Failure> {
    let function_form = argument.is_some() || request.raw_path.contains("delta(");
    if request
        .option("expand")
        .is_some_and(|e| e.to_ascii_lowercase().contains("permissions"))
    {
        return Err(Failure::not_supported(
            "Expand of permissions is not supported in this item.",
        ));
    }
    if request.option("filter").is_some() {
        return Err(Failure::invalid(
            "The $filter option is not supported for delta.",
        ));
    }
    let token = argument
        .or_else(|| request.option("token").map(str::to_owned))
        .filter(|t| !t.is_empty());
    let fresh = Position {
        full: true,
        top: page_size(request)?,
        select: request.option("select").map(str::to_owned),
        ..Position::default()
    };
    let mut position = match token.as_deref() {
        None => fresh,
        Some("latest") => {
            let now = Position {
                after: drive.seq(),
                full: false,
                ..fresh
            };
            return Ok(page(
                world,
                request,
                drive,
                Vec::new(),
                &now,
                false,
                function_form,
            ));
        }
        Some(token) => match world.tokens.open::<Position>(&kind(drive), token) {
            Ok(position) => position,
            Err(TokenError::Expired) => return Ok(resync(world, request, drive)),
            Err(TokenError::Malformed) => match parse_rfc3339(token) {
                Some(since) => Position {
                    full: false,
                    since: Some(since),
                    ..fresh
                },
                None => {
                    return Err(Failure::invalid("The provided sync token is malformed.")
                        .inner("invalidParameterFormat"));
                }
            },
        },
    };
    if position.page == 0 {
        position.round = position.after;
    }
    position.page += 1;
    if world.options.has(Quirk::EmptyPages) && position.page % 3 == 0 {
        return Ok(page(
            world,
            request,
            drive,
            Vec::new(),
            &position,
            true,
            function_form,
        ));
    }
    let exclude_parents = request
        .header("deltaExcludeParent")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let (mut indexes, more) = collect(&world.options, drive, &mut position, exclude_parents);
    if world.options.has(Quirk::DuplicateItems)
        && let Some(&first) = indexes.first()
    {
        indexes.push(first);
    }
    if world.options.has(Quirk::ChildrenFirst) {
        indexes.reverse();
    }
    let sharing_changes = [
        "deltashowsharingchanges",
        "deltashowremovedasdeleted",
        "deltatraversepermissiongaps",
    ];
    let sharing_after = sharing_changes
        .iter()
        .all(|p| request.prefer(p).is_some())
        .then_some(position.round)
        .filter(|_| !position.full);
    let view = View::Delta {
        hierarchical: request.prefer("hierarchicalsharing").is_some(),
        sharing_after,
    };
    let select = Select::parse(position.select.as_deref());
    let value = super::render_all(world, request, drive, &indexes, &select, view)?;
    Ok(page(
        world,
        request,
        drive,
        value,
        &position,
        more,
        function_form,
    ))
}

/// `$top` of a delta call.
pub fn page_size(request: &ApiRequest) -> Result<Option<usize>, Failure> {
    match request.option("top") {
        None => Ok(None),
        Some(top) => match top.parse::<usize>() {
            Ok(top) if top > 0 => Ok(Some(top.min(MAX_PAGE))),
            _ => {
                Err(Failure::invalid("The value of $top is not valid.").inner("invalidQueryOption"))
            }
        },
    }
}

fn kind(drive: &Drive) -> String {
    format!("drive/{}", drive.id)
}

/// The items of one page; moves the position on. True when more follow.
fn collect(
    options: &Options,
    drive: &Drive,
    position: &mut Position,
    exclude_parents: bool,
) -> (Vec<Index>, bool) {
    let limit = position.top.unwrap_or(PAGE);
    let mut out = Vec::new();
    let mut there = HashSet::new();
    for index in drive.changes(position.after) {
        let item = drive.item(index);
        let told = Told {
            seq: item.seq,
            gone: item.deleted,
            moved: false,
            follows: !position.full,
        };
        let skipped = (position.full && item.deleted)
            || lost(options, told)
            || position.since.is_some_and(|since| item.changed_at <= since);
        if skipped {
            position.after = item.seq;
            continue;
        }
        let mut above = Vec::new();
        if !item.deleted && !exclude_parents {
            let lineage = drive.lineage(index);
            let wanted = lineage[1..].iter().filter(|&&i| {
                i != index
                    && !there.contains(&i)
                    && (!position.full || drive.item(i).seq > item.seq)
            });
            above.extend(wanted.rev().copied());
        }
        let already = there.contains(&index);
        let size = above.len() + usize::from(!already);
        if !out.is_empty() && out.len() + size > limit {
            return (out, true);
        }
        there.extend(above.iter().copied());
        out.append(&mut above);
        if !already {
            there.insert(index);
            out.push(index);
        }
        position.after = item.seq;
    }
    (out, false)
}

/// One page with its link; without more to come, the link is for the next round.
fn page(
    world: &World,
    request: &ApiRequest,
    drive: &Drive,
    value: Vec<Value>,
    position: &Position,
    more: bool,
    function_form: bool,
) -> ApiResponse {
    let next = if more {
        position.clone()
    } else {
        Position {
            full: false,
            since: None,
            page: 0,
            after: drive.seq().max(position.after),
            ..position.clone()
        }
    };
    let token = world.tokens.seal(&kind(drive), &next);
    let mut body = Map::new();
    body.insert(
        "@odata.context".into(),
        request.context("Collection(driveItem)").into(),
    );
    let name = if more {
        "@odata.nextLink"
    } else {
        "@odata.deltaLink"
    };
    body.insert(
        name.into(),
        link(request, drive, &token, function_form).into(),
    );
    body.insert("value".into(), value.into());
    ApiResponse::ok(Value::Object(body))
}

fn link(request: &ApiRequest, drive: &Drive, token: &str, function_form: bool) -> String {
    let root = format!("{}/drives/{}/root", request.root_url(), drive.id);
    if function_form {
        format!("{root}/delta(token='{token}')")
    } else {
        format!("{root}/delta?token={token}")
    }
}

/// The state is lost: `Location` begins a full enumeration.
fn resync(world: &World, request: &ApiRequest, drive: &Drive) -> ApiResponse {
    let fresh = Position {
        full: true,
        ..Position::default()
    };
    let token = world.tokens.seal(&kind(drive), &fresh);
    history_lost(world, &link(request, drive, &token, false))
}

/// 410 with where a full enumeration begins; the flavours that there are take turns.
pub fn history_lost(world: &World, location: &str) -> ApiResponse {
    let (code, inner) = match world.drive.next_resync() % 3 {
        0 => ("resyncRequired", "resyncChangesApplyDifferences"),
        1 => ("resyncRequired", "resyncChangesUploadDifferences"),
        _ => ("ResyncRequired", "resyncApplyDifferences"),
    };
    ApiResponse::error_inner(
        410,
        code,
        "Resync required. Replace any local items with the server's version (including deletes) if you're sure that \
         the service was up to date with your local changes when you last sync'd.",
        inner,
    )
    .with_header("Location", location)
}
