//! The calendars of a mailbox: which there are, whose they are, and where they stand in the mount.
//!
//! Calendars of the default group are folders of the collection's root, those of other groups are
//! below a folder called as the group. Other people's calendars are in their own mailboxes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::event::{EVENTS_OF, LIVE_SELECT};
use super::{CALENDARS, Calendar, EVENTS, names};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::mail::names::display_name;
use crate::workload::once::Once;
use crate::workload::{
    Account, Change, Cursor, EntryKind, FeedError, FeedId, LiveEntry, Page, PushError,
    expand_marker,
};

const ALL: &str = "/users/{user}/calendars";
const ONE: &str = "/users/{user}/calendars/{calendar}";
const GROUPS: &str = "/users/{user}/calendarGroups";
const OF_GROUP: &str = "/users/{user}/calendarGroups/{group}/calendars";

/// Class of the group that calendars are in if nobody says otherwise.
const DEFAULT_GROUP: &str = "0006f0b7-0000-0000-c000-000000000046";
/// Classes of the groups that every mailbox has.
const STANDARD_GROUPS: [&str; 3] = [
    DEFAULT_GROUP,
    "0006f0b8-0000-0000-c000-000000000046",
    "0006f0b9-0000-0000-c000-000000000046",
];

/// Calendars of one mailbox.
const MAX_CALENDARS: usize = 10_000;
/// Events that a listing of one calendar brings at most.
const MAX_EVENTS: usize = 1_000_000;
/// How long a list of calendars is believed.
const FRESH: Duration = Duration::from_secs(30);
/// What the default calendar is called in English: in a mailbox in another language it has another
/// name, and a second "Calendar" is never what was meant.
const DEFAULT_NAME: &str = "calendar";

/// The calendars of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Those that it owns. One that is not in the default group has `calendarGroupId`.
    calendars: Vec<Value>,
    /// Groups other than the default one, as far as there is a reason to show them.
    groups: Vec<Value>,
    /// Calendars of others.
    shared: Vec<Value>,
}

/// Lists of calendars that were asked for already.
#[derive(Default)]
pub(super) struct Books(Mutex<HashMap<String, (Instant, Arc<Book>)>>);

/// What is at a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub calendar: Option<String>,
    group: Option<String>,
    root: bool,
}

impl Book {
    fn of(all: Vec<Value>, groups: Vec<Value>, members: &HashMap<String, String>) -> Self {
        let owner = |c: &Value| c["owner"]["address"].as_str().map(str::to_lowercase);
        // The default calendar is always one's own.
        let me = all
            .iter()
            .find(|c| c["isDefaultCalendar"] == true)
            .and_then(owner);
        let is_own = |c: &Value| me.is_none() || owner(c).is_none_or(|owner| Some(owner) == me);
        let (mut calendars, shared): (Vec<_>, Vec<_>) = all.into_iter().partition(is_own);
        for calendar in &mut calendars {
            if let Some(group) = calendar["id"].as_str().and_then(|id| members.get(id)) {
                calendar["calendarGroupId"] = json!(group);
            }
        }
        let used = |group: &Value| {
            calendars
                .iter()
                .any(|c| c["calendarGroupId"] == group["id"])
        };
        let groups = groups
            .into_iter()
            .filter(|group| !is_class(group, &[DEFAULT_GROUP]))
            .filter(|group| used(group) || !is_class(group, &STANDARD_GROUPS))
            .collect();
        Self {
            calendars,
            groups,
            shared,
        }
    }

    fn in_group<'a>(&'a self, group: Option<&'a str>) -> impl Iterator<Item = &'a Value> {
        let here = move |c: &&Value| c["calendarGroupId"].as_str() == group;
        self.calendars.iter().filter(here)
    }

    fn default(&self) -> Option<&Value> {
        self.calendars
            .iter()
            .find(|c| c["isDefaultCalendar"] == true)
    }
}

fn is_class(group: &Value, classes: &[&str]) -> bool {
    let class = group["classId"].as_str().unwrap_or_default();
    classes.iter().any(|c| c.eq_ignore_ascii_case(class))
}

/// What changes whenever anything in it does says nothing of the calendar itself.
fn steady(mut record: Value) -> Value {
    if let Some(record) = record.as_object_mut() {
        record.remove("changeKey");
        record.remove("@odata.etag");
    }
    record
}

impl Calendar {
    /// Groups and calendars: all of them, each time (Graph has no usable delta of them).
    pub(super) async fn calendars_page(&self, account: &Account) -> Result<Page, FeedError> {
        let book = self.ask_book(account).await?;
        let id = |record: &Value| record["id"].as_str().unwrap_or_default().to_owned();
        let name = |record: &Value| record["name"].as_str().unwrap_or_default().to_owned();
        let mut changes = Vec::new();
        for group in &book.groups {
            changes.push(Change::Folder {
                id: id(group),
                parent: None,
                record: steady(group.clone()),
                feed: None,
            });
        }
        for calendar in &book.calendars {
            if calendar["canEdit"] == false {
                let note = "filled by the service: captured, but nothing can be restored to it";
                changes.push(Change::Noted {
                    id: id(calendar),
                    name: name(calendar),
                    note: note.to_owned(),
                });
            }
            changes.push(Change::Folder {
                id: id(calendar),
                parent: calendar["calendarGroupId"].as_str().map(str::to_owned),
                record: steady(calendar.clone()),
                feed: Some(FeedId(format!("{EVENTS}{}", id(calendar)))),
            });
        }
        for calendar in &book.shared {
            let owner = calendar["owner"]["address"]
                .as_str()
                .unwrap_or("someone else");
            changes.push(Change::Noted {
                id: id(calendar),
                name: name(calendar),
                note: format!("the calendar of {owner}: captured with the mailbox that owns it"),
            });
        }
        Ok(Page {
            changes,
            cursor: Cursor::Done(CALENDARS.to_owned()),
            full: true,
        })
    }

    async fn ask_book(&self, account: &Account) -> Result<Arc<Book>, GraphError> {
        let pages = |call: Call| {
            let call = Self::of(account, call.query("$top", "100"));
            async move { self.client.pages(call, MAX_CALENDARS).await }
        };
        let all = pages(Call::get(ALL, &[&account.id])).await?;
        let groups = pages(Call::get(GROUPS, &[&account.id])).await?;
        let mut members = HashMap::new();
        for group in groups
            .iter()
            .filter(|group| !is_class(group, &[DEFAULT_GROUP]))
        {
            let Some(id) = group["id"].as_str() else {
                continue;
            };
            let call = Call::get(OF_GROUP, &[&account.id, id]).query("$select", "id");
            let inside = match pages(call).await {
                Ok(inside) => inside,
                // Gone between the listings.
                Err(e) if e.class == ErrorClass::NotFound => continue,
                Err(e) => return Err(e),
            };
            for calendar in inside {
                if let Some(calendar) = calendar["id"].as_str() {
                    members.insert(calendar.to_owned(), id.to_owned());
                }
            }
        }
        let book = Arc::new(Book::of(all, groups, &members));
        let mut books = self.books.0.lock();
        if books.len() >= 1_000 {
            books.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        books.insert(account.id.clone(), (Instant::now(), Arc::clone(&book)));
        Ok(book)
    }

    async fn book(&self, account: &Account, anew: bool) -> Result<Arc<Book>, GraphError> {
        if !anew
            && let Some((at, book)) = self.books.0.lock().get(&account.id)
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(book));
        }
        self.ask_book(account).await
    }

    /// Forgets what is known of a mailbox's calendars: one was not where it was believed to be.
    pub(super) fn forget(&self, account: &Account) {
        self.books.0.lock().remove(&account.id);
    }

    /// What is at a path, if anything is.
    pub(super) async fn place(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Option<Place>, GraphError> {
        for anew in [false, true] {
            let book = self.book(account, anew).await?;
            let found = self.find(&book, path);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find(&self, book: &Book, path: &[String]) -> Option<Place> {
        let id = |record: Option<&Value>| record?["id"].as_str().map(str::to_owned);
        match path {
            [] => Some(Place {
                root: true,
                ..Place::default()
            }),
            [name] => {
                let mut calendar = self.pick(book.in_group(None), name);
                let group = self.pick(book.groups.iter(), name);
                if calendar.is_none() && group.is_none() && name.to_lowercase() == DEFAULT_NAME {
                    calendar = book.default();
                }
                let place = Place {
                    calendar: id(calendar),
                    group: id(group),
                    root: false,
                };
                (place != Place::default()).then_some(place)
            }
            [group, name] => {
                let group = self.pick(book.groups.iter(), group)?["id"].as_str()?;
                let calendar = id(self.pick(book.in_group(Some(group)), name))?;
                Some(Place {
                    calendar: Some(calendar),
                    ..Place::default()
                })
            }
            _ => None,
        }
    }

    /// The one that the mount calls so, else the one that is called so (Exchange does not tell letter
    /// case apart).
    fn pick<'a>(&self, all: impl Iterator<Item = &'a Value>, name: &str) -> Option<&'a Value> {
        let all: Vec<&Value> = all.collect();
        let shown = |c: &Value| {
            let key = (self.keyer)(c["id"].as_str().unwrap_or_default());
            names::describe(EntryKind::Folder, &key, c).name
        };
        let wanted = display_name(name).to_lowercase();
        let called = |c: &Value| c["name"].as_str().unwrap_or_default().to_lowercase();
        let exact = all.iter().find(|c| shown(c) == name);
        exact
            .or_else(|| all.iter().find(|c| called(c) == wanted))
            .copied()
    }

    fn live_calendar(&self, record: &Value) -> Option<LiveEntry> {
        let id = record["id"].as_str()?.to_owned();
        let named = names::describe(EntryKind::Folder, &(self.keyer)(&id), record);
        Some(LiveEntry {
            id,
            name: named.name,
            is_dir: true,
            size: 0,
            mtime: named.mtime,
            record: record.clone(),
        })
    }

    pub(super) fn live_event(&self, record: Value) -> Option<LiveEntry> {
        let id = record["id"].as_str()?.to_owned();
        let named = names::describe(EntryKind::Item, &(self.keyer)(&id), &record);
        Some(LiveEntry {
            id,
            name: named.name,
            is_dir: false,
            size: 0,
            mtime: named.mtime,
            record,
        })
    }

    /// Calendars, groups and events at a path.
    pub(super) async fn list_live(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        let book = self.book(account, true).await?;
        let Some(place) = self.find(&book, path) else {
            let what = format!("there is no calendar {}", path.join("/"));
            return Err(GraphError::local(ErrorClass::NotFound, "calendar", what));
        };
        let mut entries: Vec<LiveEntry> = Vec::new();
        if place.root {
            entries.extend(book.groups.iter().filter_map(|g| self.live_calendar(g)));
        }
        if place.root || place.group.is_some() {
            let inside = book.in_group(place.group.as_deref());
            entries.extend(inside.filter_map(|c| self.live_calendar(c)));
        }
        if let Some(calendar) = &place.calendar {
            let asked = Instant::now();
            let call = Call::get(EVENTS_OF, &[&account.id, calendar])
                .query("$select", LIVE_SELECT)
                .query("$expand", &expand_marker())
                .query("$top", "999");
            let events = self
                .client
                .pages(Self::of(account, call), MAX_EVENTS)
                .await?;
            let facts = events.iter().flat_map(|e| self.facts(e));
            self.known.told(account, calendar, asked, facts);
            entries.extend(events.into_iter().filter_map(|e| self.live_event(e)));
        }
        Ok(entries)
    }

    /// Makes a calendar, or finds the one that is there. One within another name is made in the group
    /// of that name, which is made too.
    pub(super) async fn make_calendar(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<LiveEntry, PushError> {
        let (group, name) = match path {
            [name] => (None, name),
            [group, name] => (Some(group), name),
            _ => {
                return Err(PushError::Invalid(
                    "calendars hold no folders: Calendar/NAME, or Calendar/GROUP/NAME".into(),
                ));
            }
        };
        let book = self.book(account, true).await?;
        if let Some(there) = self.find(&book, path) {
            let id = there.calendar.or(there.group);
            let mut all = book.calendars.iter().chain(&book.groups);
            let found = all.find(|c| c["id"].as_str() == id.as_deref());
            if let Some(entry) = found.and_then(|c| self.live_calendar(c)) {
                return Ok(entry);
            }
        }
        let called = display_name(name);
        if called.trim().is_empty() || called.chars().count() > 255 {
            return Err(PushError::Invalid(format!(
                "{name:?} is no name for a calendar"
            )));
        }
        let group = match group {
            None => None,
            Some(group) => Some(match self.pick(book.groups.iter(), group) {
                Some(found) => found["id"].as_str().unwrap_or_default().to_owned(),
                None => {
                    let body = json!({ "name": display_name(group) });
                    let made = self
                        .make(account, Call::post(GROUPS, &[&account.id], body))
                        .await?;
                    made["id"].as_str().unwrap_or_default().to_owned()
                }
            }),
        };
        let body = json!({ "name": called });
        let call = match &group {
            None => Call::post(ALL, &[&account.id], body),
            Some(group) => Call::post(OF_GROUP, &[&account.id, group], body),
        };
        let made = self.make(account, call).await;
        self.forget(account);
        let made = match made {
            // Made a moment ago, by a request whose answer was lost.
            Err(e) if e.class == ErrorClass::Conflict => {
                let book = self.book(account, true).await?;
                let place = self.find(&book, path).and_then(|place| place.calendar);
                let found = book
                    .calendars
                    .iter()
                    .find(|c| c["id"].as_str() == place.as_deref());
                found.cloned().ok_or(e)?
            }
            other => other?,
        };
        let entry = self.live_calendar(&made);
        entry.ok_or_else(|| {
            GraphError::local(ErrorClass::Transient, ALL, "the calendar has no id").into()
        })
    }

    /// Gives a calendar the color of its original.
    pub(super) async fn set_color(
        &self,
        account: &Account,
        calendar: &LiveEntry,
        record: &Value,
    ) -> Result<(), GraphError> {
        let color = record["color"].as_str().unwrap_or("auto");
        if color == "auto" {
            return Ok(());
        }
        let call = Call::new(reqwest::Method::PATCH, ONE, &[&account.id, &calendar.id])
            .json(json!({ "color": color }))
            .repeatable();
        self.client.json(&Self::of(account, call)).await.map(drop)
    }

    /// Made twice, it fails the second time, and is found.
    async fn make(&self, account: &Account, call: Call) -> Result<Value, GraphError> {
        self.client
            .json(&Self::of(account, call.repeatable()))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(id: &str, name: &str, owner: &str) -> Value {
        json!({ "id": id, "name": name, "owner": { "name": "x", "address": owner },
                "isDefaultCalendar": id == "c1", "changeKey": "k" })
    }

    #[test]
    fn a_book_knows_what_is_whose_and_where() {
        let all = vec![
            calendar("c1", "Kalender", "Ann@contoso.test"),
            calendar("c2", "Projects", "ann@contoso.test"),
            calendar("c3", "Bo", "bo@contoso.test"),
            calendar("c4", "Team", "ann@contoso.test"),
        ];
        let group =
            |id: &str, name: &str, class: &str| json!({ "id": id, "name": name, "classId": class });
        let groups = vec![
            group("g1", "Mine", DEFAULT_GROUP),
            group("g2", "Work", "11111111-0000-0000-c000-000000000046"),
            group("g3", "Other", STANDARD_GROUPS[1]),
        ];
        let members = HashMap::from([("c4".to_owned(), "g2".to_owned())]);
        let book = Book::of(all, groups, &members);
        let names = |all: Vec<&Value>| -> Vec<String> {
            all.into_iter()
                .map(|c| c["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            names(book.in_group(None).collect()),
            ["Kalender", "Projects"]
        );
        assert_eq!(names(book.in_group(Some("g2")).collect()), ["Team"]);
        assert_eq!(names(book.groups.iter().collect()), ["Work"]);
        assert_eq!(names(book.shared.iter().collect()), ["Bo"]);
        assert_eq!(book.default().unwrap()["id"], "c1");
        assert_eq!(steady(calendar("c1", "x", "y")).get("changeKey"), None);
    }
}
