//! Delta rounds of contacts and tasks: the token, the links, and what every page has in common.
//!
//! A round is described by its token alone: the options of the first call, and how far it got in the
//! mailbox's sequence of changes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::delta::TokenError;
use crate::feed::Change;
use crate::losses::{Told, lost};
use crate::odata;
use crate::options::Quirk;
use crate::world::World;

/// Largest page.
const MAX_PAGE: usize = 1000;

/// Where a round stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// What it is a round of: kind, user, collection.
    of: String,
    /// All changes up to here have been told.
    pub after: u64,
    /// What left before this was never told as present.
    pub base: u64,
    pub select: Option<String>,
    pub expand: Option<String>,
    size: usize,
    /// What `$top` of the first call still allows.
    left: Option<usize>,
    /// Hidden folders are told too.
    pub hidden: bool,
    /// Pages so far.
    page: u64,
    /// It follows another one.
    follows: bool,
}

/// The round a request goes on with, or a new one. `of` names the collection and its owner, `now` is
/// the number of the last change.
pub fn round(
    world: &World,
    request: &ApiRequest,
    of: &str,
    now: u64,
) -> Result<Round, ApiResponse> {
    let token = request
        .option("skiptoken")
        .or_else(|| request.option("deltatoken"))
        .filter(|t| !t.is_empty());
    let Some(token) = token else {
        return start(request, of, now);
    };
    match world.tokens.open::<Round>("round", token) {
        Ok(mut round) if round.of == of => {
            if let Some(size) = odata::max_page_size(request) {
                round.size = size.clamp(1, MAX_PAGE);
            }
            Ok(round)
        }
        Ok(_) | Err(TokenError::Malformed) => Err(ApiResponse::error(
            400,
            "SyncStateInvalid",
            "The sync state is invalid; a full synchronization is needed.",
        )),
        Err(TokenError::Expired) => Err(ApiResponse::error(
            410,
            "SyncStateNotFound",
            "The sync state generation is not found; a full synchronization is needed.",
        )
        .with_header("location", &format!("{}?$deltatoken=", request.own_url()))),
    }
}

fn start(request: &ApiRequest, of: &str, now: u64) -> Result<Round, ApiResponse> {
    for option in ["search", "filter", "orderby"] {
        if request.option(option).is_some() {
            return Err(ApiResponse::error(
                400,
                "ErrorInvalidRequest",
                &format!("${option} is not supported with delta here."),
            ));
        }
    }
    let text = |name: &str| request.option(name).map(str::to_owned);
    Ok(Round {
        of: of.to_owned(),
        after: 0,
        base: now,
        select: text("select"),
        expand: text("expand"),
        size: odata::max_page_size(request)
            .unwrap_or(10)
            .clamp(1, MAX_PAGE),
        left: odata::number(request, "top")?.map(|n| n as usize),
        hidden: request
            .option("includehiddenfolders")
            .is_some_and(|v| v.eq_ignore_ascii_case("true")),
        page: 0,
        follows: false,
    })
}

/// One page of a round, with the link to the next page or the next round. `changes` gives at most so
/// many changes from the round's place on and tells whether there are more; `show` makes the JSON of one.
pub fn answer(
    world: &World,
    request: &ApiRequest,
    context: String,
    mut round: Round,
    now: u64,
    changes: impl FnOnce(&Round, usize) -> (Vec<Change>, bool),
    show: impl FnMut(Change) -> Value,
) -> ApiResponse {
    let limit = round.size.min(round.left.unwrap_or(usize::MAX));
    let empty = world.options.has(Quirk::EmptyPages) && round.page % 3 == 1;
    let (mut changes, mut more) = if empty {
        (Vec::new(), true)
    } else {
        changes(&round, limit)
    };
    round.after = changes.last().map_or(round.after, |c| c.seq);
    changes.retain(|change| {
        let told = Told {
            seq: change.seq,
            gone: change.gone,
            moved: false,
            follows: round.follows,
        };
        !lost(&world.options, told)
    });
    if let Some(left) = &mut round.left {
        *left = left.saturating_sub(changes.len());
        more = more && *left > 0;
    }
    let mut value: Vec<Value> = changes.into_iter().map(show).collect();
    if world.options.has(Quirk::DuplicateItems)
        && let Some(again) = value.first().cloned()
    {
        value.push(again);
    }
    round.page += 1;
    let (name, option) = if more {
        ("@odata.nextLink", "skiptoken")
    } else {
        (round.after, round.base) = (now, now);
        (round.left, round.page, round.follows) = (None, 0, true);
        ("@odata.deltaLink", "deltatoken")
    };
    let mut page = odata::page(context, None, value, None);
    page[name] = json!(format!(
        "{}?${option}={}",
        request.own_url(),
        world.tokens.seal("round", &round)
    ));
    ApiResponse::ok(page)
}
