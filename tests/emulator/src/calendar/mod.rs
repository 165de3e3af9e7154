//! Exchange calendars: what Graph shows below `/users/{id}` as `calendar`, `calendars`, `calendarGroups`,
//! `calendarView` and `events`.

mod attachments;
mod calendars;
mod deliver;
mod delta;
mod events;
mod generate;
mod ics;
mod import;
mod json;
mod notices;
mod record;
mod recurrence;
mod respond;
mod rule;
mod store;
mod validate;
mod write;
mod zone;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use parking_lot::{Mutex, RwLock};
use serde_json::json;

use crate::api::{ApiRequest, ApiResponse};
use crate::mail::ids::No;
use crate::mail::{MAX_BODY, denied, item_not_found, too_large};
use crate::odata;
use crate::users::{User, no_mailbox};
use crate::world::World;
use notices::Notice;
use store::Book;

pub use attachments::upload;
pub use import::run as import;

/// The calendars of all users, by user id.
#[derive(Default)]
pub struct Books {
    by_user: RwLock<HashMap<String, Arc<Mutex<Book>>>>,
}

impl Books {
    pub fn get(&self, user_id: &str) -> Option<Arc<Mutex<Book>>> {
        self.by_user.read().get(user_id).cloned()
    }

    fn insert(&self, book: Book) {
        let id = book.user.id.clone();
        self.by_user.write().insert(id, Arc::new(Mutex::new(book)));
    }

    /// The id of an event, immutable or not, by any of its ids.
    pub fn translate(&self, user_id: &str, id: &str, immutable: bool) -> Option<String> {
        let book = self.get(user_id)?;
        let book = book.lock();
        let which = book.find(id)?;
        Some(book.event_id(which, immutable))
    }

    /// Gives a new user what every mailbox has.
    pub fn provision(&self, world: &World, user: &Arc<User>) {
        let mut book = Book::new(user.clone(), world.options.seed, Arc::default());
        own(&mut book);
        self.insert(book);
    }

    /// Makes the calendars of a user of the generated tenant, with `count` events.
    pub fn generate(
        &self,
        user: &Arc<User>,
        seed: u64,
        people: Arc<Vec<(String, String)>>,
        count: u32,
    ) {
        let mut book = Book::new(user.clone(), seed, people.clone());
        own(&mut book);
        let me = people.iter().position(|(_, address)| *address == user.upn);
        let other = people.get((me.unwrap_or(0) + 1) % people.len().max(1));
        if let Some(owner) = other.filter(|(_, address)| *address != user.upn) {
            let shared = book.add_calendar(&owner.0, 2);
            book.calendars[shared as usize].owner = Some(owner.clone());
        }
        let places: Vec<_> = (0..count).map(|no| generate::place(&book, no)).collect();
        book.generate(count, |no| places[no as usize]);
        self.insert(book);
    }
}

/// Groups and calendars of one's own: the default one, a second one, and birthdays.
fn own(book: &mut Book) {
    for (name, class) in [
        ("My Calendars", "0006f0b7-0000-0000-c000-000000000046"),
        ("Other Calendars", "0006f0b8-0000-0000-c000-000000000046"),
        ("People's Calendars", "0006f0b9-0000-0000-c000-000000000046"),
    ] {
        book.add_group(name, class.to_owned(), true);
    }
    let default = book.add_calendar("Calendar", 0);
    let calendar = &mut book.calendars[default as usize];
    (calendar.default, calendar.removable) = (true, false);
    let second = book.add_calendar("Projects", 0);
    book.calendars[second as usize].color = "lightGreen".to_owned();
    let birthdays = book.add_calendar("Birthdays", 1);
    book.calendars[birthdays as usize].can_edit = false;
}

const READ_ALL: &[&str] = &["Calendars.Read", "Calendars.ReadWrite"];
const READ: &[&str] = &[
    "Calendars.Read",
    "Calendars.ReadWrite",
    "Calendars.ReadBasic",
    "Calendars.ReadBasic.All",
];
const WRITE: &[&str] = &["Calendars.ReadWrite"];
const ZONES: &[&str] = &["User.Read.All", "User.ReadWrite.All"];

/// The token may list events, but see no bodies and attachments.
fn basic_only(request: &ApiRequest) -> bool {
    !request.caller.has_any(READ_ALL)
}

fn is_delta(segment: &str) -> bool {
    let name = segment.to_ascii_lowercase();
    matches!(
        name.as_str(),
        "delta" | "delta()" | "microsoft.graph.delta()" | "microsoft.graph.delta"
    )
}

/// Refuses to write to calendars that the service fills, and to other people's.
fn editable(book: &Book, calendar: No) -> Result<(), ApiResponse> {
    let fits = book
        .calendars
        .get(calendar as usize)
        .is_some_and(|c| c.can_edit && c.owner.is_none());
    fits.then_some(()).ok_or_else(denied)
}

/// Answers what is calendars below `/users/{id}`; `None` for anything else.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let path = request.path_ref();
    if !path.first()?.eq_ignore_ascii_case("users") {
        return None;
    }
    let what = path.get(2)?.to_ascii_lowercase();
    let zones = what == "outlook"
        && path
            .get(3)
            .is_some_and(|s| s.to_ascii_lowercase().starts_with("supportedtimezones"));
    let ours = matches!(
        what.as_str(),
        "calendar" | "calendars" | "calendargroups" | "calendarview" | "events"
    );
    if !zones && !ours {
        return None;
    }
    let mut notices = Vec::new();
    let answer = route(world, request, &path, &what, &mut notices);
    if let Some(user) = world.user(path[1]) {
        notices::send(world, &user, notices);
    }
    Some(answer.unwrap_or_else(|refusal| refusal))
}

fn route(
    world: &World,
    request: &ApiRequest,
    path: &[&str],
    what: &str,
    notices: &mut Vec<Notice>,
) -> Result<ApiResponse, ApiResponse> {
    let user = world.user(path[1]).ok_or_else(|| {
        ApiResponse::error(
            404,
            "ErrorInvalidUser",
            &format!("The requested user '{}' is invalid.", path[1]),
        )
    })?;
    let needed = match (what, &request.method) {
        ("outlook", _) => ZONES,
        (_, &Method::GET) => READ,
        _ => WRITE,
    };
    if !request.caller.has_any(needed) {
        return Err(denied());
    }
    if request.body.len() > MAX_BODY {
        return Err(too_large());
    }
    let book = world
        .calendars
        .get(&user.id)
        .filter(|_| user.mailbox.is_some())
        .ok_or_else(no_mailbox)?;
    if what == "outlook" {
        return zones(request, path[3]);
    }
    let mut book = book.lock();
    let book = &mut *book;
    let rest = &path[3..];
    let default = book.default_calendar();
    let answer = match what {
        "calendar" => calendars::at(world, book, request, default, rest, notices),
        "calendars" => calendars::route(world, book, request, None, rest, notices),
        "calendargroups" => calendars::groups(world, book, request, rest, notices),
        "calendarview" => {
            let below: Vec<&str> = std::iter::once("calendarView")
                .chain(rest.iter().copied())
                .collect();
            calendars::at(world, book, request, default, &below, notices)
        }
        _ => events::route(world, book, request, None, rest, notices),
    }?;
    let mut applied = Vec::new();
    if request.immutable_ids() {
        applied.push("IdType=\"ImmutableId\"".to_owned());
    }
    for name in ["outlook.timezone", "outlook.body-content-type"] {
        if let Some(value) = request.prefer(name) {
            applied.push(format!("{name}=\"{value}\""));
        }
    }
    Ok(match applied.is_empty() {
        true => answer,
        false => answer.with_header("preference-applied", &applied.join(", ")),
    })
}

/// `outlook/supportedTimeZones`, by Windows names unless IANA's are asked for.
fn zones(request: &ApiRequest, segment: &str) -> Result<ApiResponse, ApiResponse> {
    if request.method != Method::GET {
        return Err(ApiResponse::method_not_allowed());
    }
    let iana = segment.to_ascii_lowercase().contains("'iana'");
    let value = zone::all(iana)
        .map(|name| json!({"alias": name, "displayName": name}))
        .collect();
    let context = request.context("Collection(microsoft.graph.timeZoneInformation)");
    Ok(ApiResponse::ok(odata::page(context, None, value, None)))
}
