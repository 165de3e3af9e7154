//! Events: listing and reading, and the way to everything below one of them.

use std::cell::OnceCell;

use http::Method;
use serde_json::{Value, json};

use super::json::{View, event, instant, property};
use super::notices::Notice;
use super::store::{Book, NOWHERE, Which};
use super::{attachments, delta, denied, item_not_found, respond, write};
use crate::api::{ApiRequest, ApiResponse};
use crate::filter::{self, Expr, Literal, Op, Subject};
use crate::mail::ids::No;
use crate::mail::properties::{self, PropertyValue};
use crate::odata;
use crate::options::Quirk;
use crate::world::World;

/// Largest page of events.
const MAX_PAGE: usize = 999;

/// Everything below `.../events`; `scope` is the calendar the path went through.
pub fn route(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    scope: Option<No>,
    rest: &[&str],
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    match (rest, &request.method) {
        ([], &Method::GET) => list(book, request, scope),
        ([], &Method::POST) => {
            let calendar = scope.unwrap_or_else(|| book.default_calendar());
            super::editable(book, calendar)?;
            write::create(world, book, request, calendar, notices)
        }
        ([], _) => Err(ApiResponse::method_not_allowed()),
        ([id], &Method::GET) if super::is_delta(id) => delta::events(world, book, request, scope),
        ([id, below @ ..], _) => {
            let which = find(book, id)?;
            if scope.is_some_and(|calendar| book.item(which.no).calendar != calendar) {
                return Err(item_not_found());
            }
            at(world, book, request, which, below, notices)
        }
    }
}

/// An event by its id.
pub fn find(book: &Book, id: &str) -> Result<Which, ApiResponse> {
    let like_an_id = id.len() > 60 && (id.starts_with("AAMk") || id.starts_with("AAkA"));
    book.find(id).ok_or_else(|| match like_an_id {
        true => item_not_found(),
        false => ApiResponse::error(400, "ErrorInvalidIdMalformed", "Id is malformed."),
    })
}

fn at(
    world: &World,
    book: &mut Book,
    request: &ApiRequest,
    which: Which,
    below: &[&str],
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    if request.method != Method::GET {
        super::editable(book, book.item(which.no).calendar)?;
    }
    let Some(what) = below.first() else {
        return match request.method {
            Method::GET if is_giant(world, book, which) => Err(ApiResponse::empty(503)),
            Method::GET => one(book, request, which, 200),
            Method::PATCH => write::patch(world, book, request, which, notices),
            Method::DELETE => {
                write::conflict(book, request, which)?;
                write::delete(world, book, which, "", notices);
                Ok(ApiResponse::no_content())
            }
            _ => Err(ApiResponse::method_not_allowed()),
        };
    };
    let name = what.to_ascii_lowercase();
    let name = name.strip_prefix("microsoft.graph.").unwrap_or(&name);
    match (name, &below[1..]) {
        ("attachments", _) if super::basic_only(request) => Err(denied()),
        ("attachments", rest) => attachments::route(world, book, request, which, rest, notices),
        ("instances", []) if request.method == Method::GET => {
            if is_giant(world, book, which) {
                return Err(ApiResponse::empty(503));
            }
            instances(book, request, which)
        }
        ("calendar", []) if request.method == Method::GET => {
            super::calendars::one(book, request, book.item(which.no).calendar, 200)
        }
        (_, []) if request.method != Method::POST => Err(ApiResponse::no_such_segment(what)),
        ("permanentdelete", []) => {
            write::delete(world, book, which, "", notices);
            Ok(ApiResponse::no_content())
        }
        (action, []) => respond::route(world, book, request, which, action, notices),
        _ => Err(ApiResponse::no_such_segment(what)),
    }
}

/// A series with so many occurrences that Exchange never gets done with it.
pub fn is_giant(world: &World, book: &Book, which: Which) -> bool {
    if !world.options.has(Quirk::GiantSeries) || which.day.is_some() {
        return false;
    }
    let record = book.record(which.no);
    let many = record.exceptions.len() + record.cancelled.len() > 100;
    let mut days = record.recurrence.iter().flat_map(|r| match r.end {
        super::recurrence::End::Never => r.days(None).take(0),
        _ => r.days(None).take(732),
    });
    many || days.nth(731).is_some()
}

pub fn one(
    book: &Book,
    request: &ApiRequest,
    which: Which,
    status: u16,
) -> Result<ApiResponse, ApiResponse> {
    let view = View::of(request)?;
    let record = book.record(which.no);
    let mut out = event(book, which, &record, &view);
    let etag = out
        .get("@odata.etag")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let user = &book.user.id;
    let context = request.context(&format!("users('{user}')/events/$entity"));
    out.insert("@odata.context".into(), json!(context));
    if view.select.is_all() {
        let id = book.ids.folder(book.item(which.no).calendar);
        let link = format!("{}/users('{user}')/calendars('{id}')", request.root_url());
        out.insert(
            "calendar@odata.associationLink".into(),
            json!(format!("{link}/$ref")),
        );
        out.insert("calendar@odata.navigationLink".into(), json!(link));
    }
    Ok(ApiResponse::json(status, Value::Object(out)).with_header("etag", &etag))
}

/// An event under a filter: its JSON is made once, and only when a property is looked at.
struct EventSubject<'a> {
    book: &'a Book,
    no: No,
    view: &'a View,
    json: OnceCell<Value>,
}

impl Subject for EventSubject<'_> {
    fn get(&self, path: &str) -> Value {
        let all = self.json.get_or_init(|| {
            let which = Which {
                no: self.no,
                day: None,
            };
            Value::Object(event(
                self.book,
                which,
                &self.book.record(self.no),
                self.view,
            ))
        });
        Subject::get(all, path)
    }

    fn extended(&self, id: &str) -> Option<String> {
        let id = properties::normalise(id)?;
        let which = Which {
            no: self.no,
            day: None,
        };
        match property(&self.book.record(self.no), which, &id)? {
            PropertyValue::Single(value) => Some(value),
            PropertyValue::Multi(_) => None,
        }
    }
}

/// The few events a filter can match, when that is known without looking at all.
fn candidates(book: &Book, filter: &Expr) -> Option<Vec<No>> {
    filter.conjuncts().into_iter().find_map(|part| match part {
        Expr::Extended { id, .. } => {
            let id = properties::normalise(id)?;
            let written = book.written().filter(|(_, r)| r.extended.contains_key(&id));
            // Named properties are never computed: only what was written can match.
            id.contains('{')
                .then(|| written.map(|(no, _)| no).collect())
        }
        Expr::Compare {
            path,
            op: Op::Eq,
            value: Literal::Text(uid),
        } if path.eq_ignore_ascii_case("iCalUId") => Some(
            (0..book.items.len() as No)
                .filter(|no| book.uid(*no).show(None).eq_ignore_ascii_case(uid))
                .collect(),
        ),
        _ => None,
    })
}

/// Singles and masters of a calendar, or of all the user's own.
pub fn members(book: &Book, scope: Option<No>) -> Vec<No> {
    let mut all: Vec<No> = match scope {
        Some(calendar) => book.calendar(calendar).members().collect(),
        None => {
            let own: Vec<bool> = book.calendars.iter().map(|c| c.owner.is_none()).collect();
            let here = |no: &No| {
                own.get(book.item(*no).calendar as usize)
                    .copied()
                    .unwrap_or(false)
            };
            (0..book.items.len() as No).filter(here).collect()
        }
    };
    all.sort_unstable();
    all
}

fn list(book: &Book, request: &ApiRequest, scope: Option<No>) -> Result<ApiResponse, ApiResponse> {
    if request.option("search").is_some() {
        return Err(ApiResponse::error(
            400,
            "SearchEvents",
            "$search is not supported for events.",
        ));
    }
    let view = View::of(request)?;
    let plain = View::for_filter(request)?;
    let size = odata::page_size(request, 10, MAX_PAGE)?;
    let skip = odata::number(request, "skip")?.unwrap_or(0) as usize;
    let filter = request.option("filter").map(Expr::parse).transpose()?;
    let order = request
        .option("orderby")
        .map(filter::order_by)
        .unwrap_or_default();
    if let (Some(filter), false) = (&filter, order.is_empty()) {
        filter::check_order(filter, &order)?;
    }
    let all = match filter.as_ref().and_then(|f| candidates(book, f)) {
        Some(few) => {
            let here = |calendar: No| calendar != NOWHERE && scope.is_none_or(|s| s == calendar);
            few.into_iter()
                .filter(|no| here(book.item(*no).calendar))
                .collect()
        }
        None => members(book, scope),
    };
    let subject = |no: No| EventSubject {
        book,
        no,
        view: &plain,
        json: OnceCell::new(),
    };
    let all = ordered(all, &order, |no, path| subject(no).get(path));
    let matching = |no: No| filter.as_ref().is_none_or(|f| f.matches(&subject(no)));
    let mut value = Vec::new();
    let mut at = skip.min(all.len());
    while at < all.len() && value.len() < size {
        if matching(all[at]) {
            let which = Which {
                no: all[at],
                day: None,
            };
            value.push(Value::Object(event(
                book,
                which,
                &book.record(all[at]),
                &view,
            )));
        }
        at += 1;
    }
    let count = odata::wants_count(request).then(|| all.iter().filter(|no| matching(**no)).count());
    let next = (at < all.len()).then(|| odata::link_with(request, "skip", &at.to_string()));
    let context = context(book, request, scope, "events");
    Ok(ApiResponse::ok(odata::page(context, count, value, next)))
}

pub fn context(book: &Book, request: &ApiRequest, scope: Option<No>, what: &str) -> String {
    let user = &book.user.id;
    request.context(&match scope {
        Some(calendar) => format!(
            "users('{user}')/calendars('{}')/{what}",
            book.ids.folder(calendar)
        ),
        None => format!("users('{user}')/{what}"),
    })
}

fn ordered(mut all: Vec<No>, order: &[(String, bool)], get: impl Fn(No, &str) -> Value) -> Vec<No> {
    if let Some((path, descending)) = order.first() {
        all.sort_by_cached_key(|no| {
            let value = get(*no, path);
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_lowercase)
        });
        if *descending {
            all.reverse();
        }
    }
    all
}

/// The window a request names; both bounds are needed.
pub fn window(request: &ApiRequest) -> Result<(i64, i64), ApiResponse> {
    match (
        instant(request, "startDateTime")?,
        instant(request, "endDateTime")?,
    ) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        (Some(_), Some(_)) => Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "The end of the window is before its start.",
        )),
        _ => Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "This request requires a time window specified by the query string parameters StartDateTime and EndDateTime.",
        )),
    }
}

/// `.../events/{id}/instances`: occurrences and exceptions of a series.
fn instances(book: &Book, request: &ApiRequest, which: Which) -> Result<ApiResponse, ApiResponse> {
    let (from, to) = window(request)?;
    let record = book.record(which.no);
    if !record.is_series() || which.day.is_some() {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRequest",
            "The event is not the master of a series.",
        ));
    }
    let view = View::of(request)?;
    let days = record.days_between(from, to);
    let count = days.len();
    let size = odata::page_size(request, 10, MAX_PAGE)?;
    let skip = odata::number(request, "skip")?.unwrap_or(0) as usize;
    let value: Vec<Value> = days
        .into_iter()
        .skip(skip)
        .take(size)
        .map(|day| {
            let which = Which {
                day: Some(day),
                ..which
            };
            Value::Object(event(book, which, &record, &view))
        })
        .collect();
    let end = skip + value.len();
    let next = (end < count).then(|| odata::link_with(request, "skip", &end.to_string()));
    let id = book.event_id(which, view.immutable);
    let context = request.context(&format!(
        "users('{}')/events('{id}')/instances",
        book.user.id
    ));
    let count = odata::wants_count(request).then_some(count);
    Ok(ApiResponse::ok(odata::page(context, count, value, next)))
}

/// What of an event takes place between two instants: itself, or days of the series.
pub fn taking_place(book: &Book, no: No, (from, to): (i64, i64)) -> Vec<Which> {
    let extent = book.item(no).extent;
    if extent.0 > to || extent.1 < from {
        return Vec::new();
    }
    let record = book.record(no);
    if record.is_series() {
        let days = record.days_between(from, to).into_iter();
        return days.map(|day| Which { no, day: Some(day) }).collect();
    }
    let there = record.span.overlaps(from, to);
    there
        .then_some(Which { no, day: None })
        .into_iter()
        .collect()
}

/// `.../calendarView`: singles, occurrences and exceptions between two instants, by their start.
pub fn calendar_view(
    book: &Book,
    request: &ApiRequest,
    scope: Option<No>,
) -> Result<ApiResponse, ApiResponse> {
    let window = window(request)?;
    let view = View::of(request)?;
    // The view of a mailbox is that of its default calendar.
    let calendar = scope.unwrap_or_else(|| book.default_calendar());
    let all = book.agenda(calendar, window, || agenda(book, calendar, window));
    let size = odata::page_size(request, 10, MAX_PAGE)?;
    let skip = odata::number(request, "skip")?.unwrap_or(0) as usize;
    let value: Vec<Value> = all
        .iter()
        .skip(skip)
        .take(size)
        .map(|(_, which)| Value::Object(event(book, *which, &book.record(which.no), &view)))
        .collect();
    let end = skip + value.len();
    let next = (end < all.len()).then(|| odata::link_with(request, "skip", &end.to_string()));
    let count = odata::wants_count(request).then_some(all.len());
    let context = context(book, request, Some(calendar), "calendarView");
    Ok(ApiResponse::ok(odata::page(context, count, value, next)))
}

/// Everything in a calendar that takes place in a window, by its start.
fn agenda(book: &Book, calendar: No, window: (i64, i64)) -> Vec<(i64, Which)> {
    let mut all: Vec<(i64, Which)> = Vec::new();
    for no in members(book, Some(calendar)) {
        let found = taking_place(book, no, window);
        if found.is_empty() {
            continue;
        }
        let record = book.record(no);
        all.extend(
            found
                .into_iter()
                .map(|w| (record.span_on(w.day).instants().0, w)),
        );
    }
    all.sort_by_key(|(start, which)| (*start, which.no));
    all
}
