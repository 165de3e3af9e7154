//! Delta of events: `calendarView/delta` in a window, and `/beta`'s `events/delta` without one.
//!
//! A round is described by its token alone, as in [`crate::mail::delta`]. A page of `events/delta` tells
//! singles and masters, by id, type and times. A page of `calendarView/delta` tells whole events, and of
//! a series that was touched the master and all that takes place in the window: such a page may be
//! longer than was asked for.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::{context, is_giant, taking_place, window};
use super::json::{View, event, instant};
use super::record::Record;
use super::store::{Book, Calendar, Which};
use crate::api::{ApiRequest, ApiResponse, Version};
use crate::delta::TokenError;
use crate::mail::ids::No;
use crate::odata;
use crate::options::Quirk;
use crate::world::World;

/// Largest page.
const MAX_PAGE: usize = 1000;

/// Where a round stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Round {
    user: String,
    /// `None`: all calendars of the user's own.
    calendar: Option<No>,
    /// First and last instant, for a calendar view.
    window: Option<(i64, i64)>,
    /// What is over before this is passed over.
    from: Option<i64>,
    select: Option<String>,
    /// All changes up to here have been told.
    after: u64,
    /// `after` at the start of this round.
    began: u64,
    /// What left before this was never told as present.
    base: u64,
    size: usize,
    /// Pages so far.
    page: u64,
}

/// One change of a calendar: its number, the event, and whether it left.
type Change = (u64, No, bool);

/// The round a request goes on with. `None`: it begins one.
fn going_on(
    world: &World,
    request: &ApiRequest,
    book: &Book,
    calendar: Option<No>,
    view: bool,
) -> Result<Option<Round>, ApiResponse> {
    let token = request
        .option("skiptoken")
        .or_else(|| request.option("deltatoken"));
    let Some(token) = token.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    match world.tokens.open::<Round>("calendar", token) {
        Ok(mut round)
            if round.calendar == calendar
                && round.user == book.user.id
                && round.window.is_some() == view =>
        {
            round.size = size(request).unwrap_or(round.size);
            Ok(Some(round))
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
        .with_header("location", &resync(request))),
    }
}

/// Where a client begins anew: the same URL with an empty token.
fn resync(request: &ApiRequest) -> String {
    let kept: Vec<&str> = request
        .raw_query
        .split('&')
        .filter(|p| !p.is_empty() && !p.to_ascii_lowercase().contains("token="))
        .collect();
    let kept: String = kept.iter().map(|p| format!("&{p}")).collect();
    format!("{}?$deltatoken={kept}", request.own_url())
}

fn size(request: &ApiRequest) -> Option<usize> {
    odata::max_page_size(request).map(|n| n.clamp(1, MAX_PAGE))
}

fn start(
    request: &ApiRequest,
    book: &Book,
    calendar: Option<No>,
    window: Option<(i64, i64)>,
    select: bool,
) -> Result<Round, ApiResponse> {
    let refused = ["orderby", "filter", "select", "expand", "search", "top"];
    let bad = refused
        .iter()
        .any(|n| request.option(n).is_some() && !(select && *n == "select"));
    if bad {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidUrlQuery",
            "The following parameters are not supported with change tracking over this resource: '$orderby, $filter, $select, $expand, $search, $top'.",
        ));
    }
    Ok(Round {
        user: book.user.id.clone(),
        calendar,
        window,
        from: instant(request, "startDateTime")?,
        select: request.option("select").map(str::to_owned),
        after: 0,
        began: 0,
        base: book.seq(),
        size: size(request).unwrap_or(10),
        page: 0,
    })
}

/// The next changes of the calendars of a round, in their order, at most `limit`.
fn changes(book: &Book, round: &Round, limit: usize) -> Vec<Change> {
    let of = |calendar: &Calendar| {
        let present = calendar
            .changed_after(round.after)
            .take(limit)
            .map(|(s, n)| (s, n, false));
        let gone = calendar
            .gone_after(round.after.max(round.base))
            .take(limit)
            .map(|(s, n)| (s, n, true));
        present.chain(gone).collect::<Vec<Change>>()
    };
    // The events of a deleted calendar left it.
    let mut all: Vec<Change> = match round.calendar {
        Some(no) => of(book.calendar(no)),
        None => book
            .calendars
            .iter()
            .filter(|c| c.owner.is_none())
            .flat_map(of)
            .collect(),
    };
    all.sort_unstable();
    all.truncate(limit);
    all
}

fn removed(book: &Book, which: Which, immutable: bool) -> Value {
    let id = book.event_id(which, immutable);
    json!({"@odata.type": "#microsoft.graph.event", "id": id, "@removed": {"reason": "deleted"}})
}

/// The answer, with the link to the next page or the next round.
fn finish(
    world: &World,
    request: &ApiRequest,
    book: &Book,
    mut value: Vec<Value>,
    mut round: Round,
    more: bool,
) -> ApiResponse {
    if world.options.has(Quirk::DuplicateItems)
        && let Some(again) = value.first().cloned()
    {
        value.push(again);
    }
    round.page += 1;
    let (name, option) = if more {
        ("@odata.nextLink", "skiptoken")
    } else {
        let now = book.seq();
        (round.after, round.began, round.base) = (now, now, now);
        round.page = 0;
        ("@odata.deltaLink", "deltatoken")
    };
    let mut page = odata::page(request.context("Collection(event)"), None, value, None);
    let token = world.tokens.seal("calendar", &round);
    page[name] = json!(format!("{}?${option}={token}", request.own_url()));
    ApiResponse::ok(page)
}

fn empty_page(world: &World, round: &Round) -> bool {
    world.options.has(Quirk::EmptyPages) && round.page % 3 == 1
}

/// `.../events/delta`. `/v1.0` has it in its model only, unless a quirk says that it works.
pub fn events(
    world: &World,
    book: &Book,
    request: &ApiRequest,
    calendar: Option<No>,
) -> Result<ApiResponse, ApiResponse> {
    let stable = request.version == Version::V1;
    if stable && !world.options.has(Quirk::EventsDelta) {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "Change tracking is not supported against 'microsoft.graph.event'.",
        ));
    }
    let mut round = match going_on(world, request, book, calendar, false)? {
        Some(round) => round,
        None => start(request, book, calendar, None, stable)?,
    };
    if empty_page(world, &round) {
        return Ok(finish(world, request, book, Vec::new(), round, true));
    }
    let short = (!stable).then_some("type,start,end");
    let view = View::new(request, short.or(round.select.as_deref()), None)?;
    let mut all = changes(book, &round, round.size + 1);
    let more = all.len() > round.size;
    all.truncate(round.size);
    let mut value = Vec::new();
    for (seq, no, gone) in all {
        round.after = seq;
        let which = Which { no, day: None };
        if gone {
            value.push(removed(book, which, view.immutable));
            continue;
        }
        if is_giant(world, book, which) {
            return Err(ApiResponse::empty(503));
        }
        if round.from.is_none_or(|from| book.item(no).extent.1 > from) {
            value.push(Value::Object(event(book, which, &book.record(no), &view)));
        }
    }
    Ok(finish(world, request, book, value, round, more))
}

/// `.../calendarView/delta?startDateTime=&endDateTime=`.
pub fn calendar_view(
    world: &World,
    book: &Book,
    request: &ApiRequest,
    calendar: No,
) -> Result<ApiResponse, ApiResponse> {
    let scope = Some(calendar);
    let mut round = match going_on(world, request, book, scope, true)? {
        Some(round) => round,
        None => start(request, book, scope, Some(window(request)?), false)?,
    };
    if empty_page(world, &round) {
        return Ok(finish(world, request, book, Vec::new(), round, true));
    }
    let before = round.clone();
    let view = View::new(request, None, None)?;
    let bounds = round.window.unwrap_or_default();
    let mut value = Vec::new();
    let more = loop {
        // What is not in the window takes no place on a page.
        let next = changes(book, &round, round.size);
        if next.is_empty() {
            break false;
        }
        for (seq, no, gone) in next {
            if value.len() >= round.size {
                break;
            }
            if is_giant(world, book, Which { no, day: None }) {
                return Err(ApiResponse::empty(503));
            }
            round.after = seq;
            tell(book, no, gone, (bounds, round.began), &view, &mut value);
        }
        if value.len() >= round.size {
            break !changes(book, &round, 1).is_empty();
        }
    };
    if world.options.has(Quirk::EndlessDelta) {
        // The link leads to the same page again, for ever.
        let mut page = odata::page(
            context(book, request, scope, "calendarView"),
            None,
            value,
            None,
        );
        let token = world.tokens.seal("calendar", &before);
        page["@odata.nextLink"] = json!(format!("{}?$skiptoken={token}", request.own_url()));
        return Ok(ApiResponse::ok(page));
    }
    Ok(finish(world, request, book, value, round, more))
}

/// What a changed event means in a window: `began` is 0 in the first round, which tells of nothing
/// that is not there.
fn tell(
    book: &Book,
    no: No,
    gone: bool,
    (bounds, began): ((i64, i64), u64),
    view: &View,
    value: &mut Vec<Value>,
) {
    let record = book.record(no);
    let series = Which { no, day: None };
    let here = if gone {
        Vec::new()
    } else {
        taking_place(book, no, bounds)
    };
    if began > 0 {
        let lost = lost_days(&record, bounds, gone);
        value.extend(
            lost.into_iter()
                .map(|day| removed(book, Which { no, day: Some(day) }, view.immutable)),
        );
    }
    if here.is_empty() {
        // Also what was outside of the window always is told as removed when it changes.
        if began > 0 {
            value.push(removed(book, series, view.immutable));
        }
        return;
    }
    if record.is_series() {
        value.push(Value::Object(event(book, series, &record, view)));
    }
    for which in here {
        value.push(Value::Object(event(book, which, &record, view)));
    }
}

/// Days of a series that are not in the window, or not at all, and may have been.
fn lost_days(record: &Record, (from, to): (i64, i64), gone: bool) -> Vec<jiff::civil::Date> {
    if gone {
        return record.days_between(from, to);
    }
    let planned = |day: &jiff::civil::Date| record.planned_on(*day).overlaps(from, to);
    let moved = record
        .exceptions
        .keys()
        .filter(|d| !record.span_on(Some(**d)).overlaps(from, to));
    let dropped = record.dropped.iter().filter(|d| !record.has_day(**d));
    let mut out: Vec<_> = record
        .cancelled
        .iter()
        .chain(moved)
        .chain(dropped)
        .copied()
        .filter(planned)
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}
