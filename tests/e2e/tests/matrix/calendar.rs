//! Events: single ones, and a series with a changed and a cancelled occurrence, an attachment and a
//! category. Calendars hold no folders.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::matrix::attached::{to_library, to_mailbox, to_onedrive};
use crate::matrix::cells;
use crate::matrix::row::{ALPHA, BETA, Home, Item, Row, attachment, attachments, chosen, find};
use crate::matrix::row::{fingerprint, text};
use crate::matrix::stage::{Cast, Shared, Stage, tenant};

pub struct Calendar;

static STAGE: Shared = Shared::new();

fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| Stage::new(&[&Calendar]))
}

/// What an event says, other than what the service made.
const SAYS: &str = "subject body start end isAllDay location categories showAs sensitivity importance \
    recurrence isReminderOn reminderMinutesBeforeStart hasAttachments originalStartTimeZone attendees";

/// A window that holds all occurrences of the series.
const WINDOW: &str = "startDateTime=2031-03-01T00:00:00Z&endDateTime=2031-06-01T00:00:00Z";

/// The calendars that every mailbox has.
const ALWAYS: [&str; 3] = ["Calendar", "Projects", "Birthdays"];
/// The group of which the mount shows no folder.
const DEFAULT_GROUP: &str = "0006f0b7-0000-0000-c000-000000000046";

fn at(time: &str) -> Value {
    json!({ "dateTime": time, "timeZone": "W. Europe Standard Time" })
}

/// Calendars of one's own: path and id.
fn calendars(home: &Home) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for group in home.graph().list(&home.at("calendarGroups?$top=100"))? {
        let members = home.at(&format!("calendarGroups/{}/calendars", text(&group, "id")));
        for calendar in home.graph().list(&members)? {
            if calendar["owner"]["address"] != home.upn {
                continue;
            }
            let name = text(&calendar, "name");
            let place = match group["classId"] == DEFAULT_GROUP || ALWAYS.contains(&&name[..]) {
                true => name,
                false => format!("{}/{name}", text(&group, "name")),
            };
            all.push((place, text(&calendar, "id")));
        }
    }
    Ok(all)
}

fn calendar(home: &Home, name: &str) -> Result<String> {
    let there = calendars(home)?;
    if let Some((_, id)) = there.into_iter().find(|(at, _)| at == name) {
        return Ok(id);
    }
    let made = home
        .graph()
        .post(&home.at("calendars"), &json!({ "name": name }))?;
    Ok(text(&made, "id"))
}

/// A weekly series of five: the second is moved, the third is cancelled.
fn put_series(home: &Home, events: &str, title: &str) -> Result<()> {
    let graph = home.graph();
    let series = json!({
        "subject": format!("{title} meets"), "start": at("2031-03-17T09:00:00"), "end": at("2031-03-17T09:30:00"),
        "body": { "contentType": "html", "content": "<p>Every Monday</p>" },
        "categories": ["Red category"], "showAs": "tentative", "sensitivity": "private", "importance": "high",
        "location": { "displayName": "Room 1" }, "isReminderOn": true, "reminderMinutesBeforeStart": 10,
        "recurrence": {
            "pattern": { "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday" },
            "range": { "type": "numbered", "startDate": "2031-03-17", "numberOfOccurrences": 5,
                       "recurrenceTimeZone": "W. Europe Standard Time" } },
    });
    let id = text(&graph.post(events, &series)?, "id");
    let files = home.at(&format!("events/{id}/attachments"));
    graph.post(&files, &attachment("agenda.txt", b"1. Budget"))?;
    let days = graph.list(&home.at(&format!("events/{id}/instances?{WINDOW}")))?;
    let day = |n: usize| {
        days.get(n)
            .map(|day| home.at(&format!("events/{}", text(day, "id"))))
            .context("too few occurrences")
    };
    let moved = json!({ "subject": "Moved", "start": at("2031-03-25T15:00:00"), "end": at("2031-03-25T16:00:00") });
    graph.patch(&day(1)?, &moved)?;
    graph.delete(&day(2)?)?;
    Ok(())
}

/// Occurrences of a series: when each is, and what it is called.
fn occurrences(home: &Home, id: &str) -> Result<Vec<(String, String)>> {
    let days = home
        .graph()
        .list(&home.at(&format!("events/{id}/instances?{WINDOW}")))?;
    let mut all: Vec<_> = days
        .iter()
        .map(|day| (text(&day["start"], "dateTime"), text(day, "subject")))
        .collect();
    all.sort();
    Ok(all)
}

impl Row for Calendar {
    fn workload(&self) -> &'static str {
        "calendar"
    }

    fn folder(&self) -> &'static str {
        "Calendar"
    }

    fn home(&self) -> &'static str {
        "Calendar"
    }

    fn nests(&self) -> bool {
        false
    }

    fn put(&self, home: &Home, place: &str, title: &str) -> Result<()> {
        let calendar = calendar(home, place)?;
        let events = home.at(&format!("calendars/{calendar}/events"));
        if title == ALPHA {
            return put_series(home, &events, title);
        }
        let event = json!({
            "subject": format!("{title} meets"), "start": at("2031-04-01T10:00:00"), "end": at("2031-04-01T11:30:00"),
            "body": { "contentType": "text", "content": format!("About {title}") },
            "location": { "displayName": "Room 2" },
        });
        home.graph().post(&events, &event).map(drop)
    }

    fn live(&self, home: &Home) -> Result<Vec<Item>> {
        let mut all = Vec::new();
        for (place, id) in calendars(home)? {
            let events = home.at(&format!("calendars/{id}/events?$top=100"));
            for event in home.graph().list(&events)? {
                let id = text(&event, "id");
                let mut meaning = chosen(&event, SAYS);
                if event["type"] == "seriesMaster" {
                    meaning["occurrences"] = json!(occurrences(home, &id)?);
                }
                if event["hasAttachments"] == true {
                    let path = home.at(&format!("events/{id}"));
                    meaning["attachments"] = json!(attachments(home.graph(), &path)?);
                }
                all.push(Item {
                    id,
                    title: text(&event, "subject"),
                    place: place.clone(),
                    meaning,
                });
            }
        }
        Ok(all)
    }

    fn remove(&self, home: &Home, item: &Item) -> Result<()> {
        let path = home.at(&format!("events/{}", item.id));
        home.graph().delete(&path).map(drop)
    }

    fn remove_folder(&self, home: &Home, place: &str) -> Result<()> {
        let path = home.at(&format!("calendars/{}", calendar(home, place)?));
        home.graph().delete(&path).map(drop)
    }

    fn remove_folders(&self, home: &Home) -> Result<()> {
        for (place, id) in calendars(home)? {
            if !ALWAYS.contains(&&place[..]) {
                home.graph().delete(&home.at(&format!("calendars/{id}")))?;
            }
        }
        Ok(())
    }

    fn change(&self, home: &Home, item: &Item) -> Result<()> {
        let path = home.at(&format!("events/{}", item.id));
        let change = json!({ "location": { "displayName": "Elsewhere" }, "showAs": "free" });
        home.graph().patch(&path, &change).map(drop)
    }
}

#[test]
fn same_account() -> Result<()> {
    cells::same_account(&Calendar, &*stage()?)
}

#[test]
fn whole_account() -> Result<()> {
    cells::whole_account(&Calendar, &*stage()?)
}

#[test]
fn other_account() -> Result<()> {
    cells::other_account(&Calendar, &*stage()?)
}

#[test]
fn other_path() -> Result<()> {
    cells::other_path(&Calendar, &*stage()?)
}

#[test]
fn skip() -> Result<()> {
    cells::skip(&Calendar, &*stage()?)
}

#[test]
fn overwrite() -> Result<()> {
    cells::overwrite(&Calendar, &*stage()?)
}

/// Exchange would tell the others that it is off, and nothing keeps it from that.
#[test]
fn overwrite_spares_meetings() -> Result<()> {
    let (tenant, upns) = tenant(1)?;
    let upn = upns[0].clone();
    Calendar.put(&Home::new(&tenant, &upn), "Calendar", BETA)?;
    let beta = find(&Calendar, &Home::new(&tenant, &upn), BETA)?;
    let jane =
        json!([{ "type": "required", "emailAddress": { "address": "jane.roe@fabrikam.com" } }]);
    let event = format!("/users/{upn}/events/{}", beta.id);
    tenant.graph.patch(&event, &json!({ "attendees": jane }))?;
    let invited = tenant.graph.sent()?.len();
    let stage = Stage::capture(tenant, upns, &[&Calendar])?;

    let own = format!("{upn}/Calendar/Calendar");
    let target = format!("@overwrite/{own}");
    stage.refused_copy(&stage.file_of(&beta)?, &target, "cancellations")?;
    let live = || fingerprint(&Calendar, &stage.home(Cast::Same));
    let source = format!("latest/{}", stage.path_of(&beta)?);
    let arguments = [&source[..], &own, "--conflict", "overwrite"];
    stage.refused(&live, &arguments, "cancellations")?;
    ensure!(stage.tenant.graph.sent()?.len() == invited, "mail was sent");
    Ok(())
}

#[test]
fn keep_both() -> Result<()> {
    cells::keep_both(&Calendar, &*stage()?)
}

#[test]
fn deleted_only() -> Result<()> {
    cells::deleted_only(&Calendar, &*stage()?)
}

#[test]
fn download() -> Result<()> {
    let stage = stage()?;
    cells::download(&Calendar, &stage)?;
    let alpha = find(&Calendar, &stage.home(Cast::Giver), ALPHA)?;
    let file = std::fs::read_to_string(stage.file_of(&alpha)?)?.replace("\r\n ", "");
    for part in ["RRULE:FREQ=WEEKLY", "EXDATE", "RECURRENCE-ID", "agenda.txt"] {
        ensure!(file.contains(part), "no {part} in {file}");
    }
    Ok(())
}

/// As `.ics` files.
#[test]
fn onedrive() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Calendar, &home, ALPHA)?;
    let folder = format!("{}/Calendar/Calendar", home.upn);
    to_onedrive(&stage, &Calendar, stage.path_of(&alpha)?, &folder)
}

/// As `.ics` files, in a document library.
#[test]
fn library() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let alpha = find(&Calendar, &home, ALPHA)?;
    let folder = format!("{}/Calendar/Calendar", home.upn);
    to_library(&stage, &Calendar, stage.path_of(&alpha)?, &folder)
}

/// As messages with the `.ics` attached.
#[test]
fn mailbox() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Services);
    let (alpha, beta) = (
        find(&Calendar, &home, ALPHA)?,
        find(&Calendar, &home, BETA)?,
    );
    let files = [stage.path_of(&alpha)?, stage.path_of(&beta)?];
    let first = format!("{}/Calendar/First", home.upn);
    to_mailbox(&stage, &Calendar, files, &first)
}

/// An event is no contact and no task, and an archive takes mails and what came out of one.
#[test]
fn refused() -> Result<()> {
    let stage = stage()?;
    let home = stage.home(Cast::Refused);
    let beta = find(&Calendar, &home, BETA)?;
    let places = [
        (
            "Contacts/Contacts",
            "only contacts (files that end in .vcf)",
        ),
        ("Tasks/Tasks", "it holds an event: put it below Calendar"),
        ("Archive/Inbox", "an archive takes"),
        ("Settings", "only these files can be restored"),
        ("Calendar", "events lie in calendars"),
    ];
    cells::refused(&stage, stage.path_of(&beta)?, &places)
}
