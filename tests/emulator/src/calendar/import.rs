//! Events from folders of `.ics` files.
//!
//! Every folder of `--import-ics DIR` becomes a calendar of the same name; the accounts take turns
//! folder by folder. Files directly in DIR go to a calendar named like DIR. What Graph's model cannot
//! hold is left out and counted with the reason (`GET /_emulator/imports`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use calcard::icalendar::{ICalendar, ICalendarComponent, ICalendarComponentType};
use calcard::{Entry, Parser};
use serde_json::{Value, json};

use super::ics::{Reader, entry, text};
use super::record::Uid;
use super::store::Book;
use crate::import::entries;
use crate::mail::ids::No;
use crate::users::{Purpose, User};
use crate::world::World;

/// What became of one folder.
#[derive(Default)]
struct Report {
    files: usize,
    events: usize,
    exceptions: usize,
    cancelled: usize,
    left_out: BTreeMap<String, usize>,
}

impl Report {
    fn leave(&mut self, reason: &str) {
        *self.left_out.entry(reason.to_owned()).or_default() += 1;
    }
}

pub fn run(world: &World) -> anyhow::Result<()> {
    let users: Vec<Arc<User>> = world
        .users()
        .into_iter()
        .filter(|u| u.mailbox == Some(Purpose::User))
        .collect();
    if users.is_empty() && !world.options.import_ics.is_empty() {
        anyhow::bail!("--import-ics needs at least one account");
    }
    let mut turn = 0;
    for root in &world.options.import_ics {
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let (files, below) = entries(&folder)?;
            folders.extend(below.into_iter().rev());
            if files.is_empty() {
                continue;
            }
            let user = &users[turn % users.len()];
            turn += 1;
            let book = world
                .calendars
                .get(&user.id)
                .context("the account has no calendars")?;
            let mut book = book.lock();
            let name = folder
                .file_name()
                .map_or("Imported".into(), |n| n.to_string_lossy());
            let calendar = calendar_named(&mut book, &name);
            let mut report = Report::default();
            for file in &files {
                let bytes = std::fs::read(file)
                    .with_context(|| format!("cannot read the calendar {}", file.display()))?;
                report.files += 1;
                read(&mut book, calendar, &decoded(&bytes), file, &mut report);
            }
            tell(world, &folder, &user.upn, &report);
        }
    }
    Ok(())
}

fn tell(world: &World, folder: &Path, user: &str, report: &Report) {
    for (reason, count) in &report.left_out {
        eprintln!(
            "graph-emulator: {}: {count} left out: {reason}",
            folder.display()
        );
    }
    let left_out: Vec<Value> = report
        .left_out
        .iter()
        .map(|(r, n)| json!({"reason": r, "count": n}))
        .collect();
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned());
    world.imports.lock().push(json!({
        "kind": "ics", "folder": name, "user": user, "files": report.files, "events": report.events,
        "exceptions": report.exceptions, "cancelled": report.cancelled, "left_out": left_out,
    }));
}

fn calendar_named(book: &mut Book, name: &str) -> No {
    let lower = name.to_lowercase();
    let there = book
        .living()
        .find(|c| c.name.to_lowercase() == lower && c.can_edit)
        .map(|c| c.no);
    there.unwrap_or_else(|| book.add_calendar(name, 0))
}

/// UTF-8, or else Latin-1: old files are.
fn decoded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

fn read(book: &mut Book, calendar: No, content: &str, file: &Path, report: &mut Report) {
    let mut parser = Parser::new(content);
    loop {
        match parser.entry() {
            Entry::ICalendar(object) => events(book, calendar, &object, file, report),
            Entry::Eof => return,
            Entry::TooManyComponents => {
                report.leave("a file with too many components");
                return;
            }
            Entry::UnterminatedComponent(_) | Entry::UnexpectedComponentEnd { .. } => {
                report.leave("a component that does not end");
            }
            _ => {}
        }
    }
}

/// The events of one object; a series and its exceptions have one UID.
fn events(book: &mut Book, calendar: No, object: &ICalendar, file: &Path, report: &mut Report) {
    let mut by_uid: BTreeMap<String, Vec<&ICalendarComponent>> = BTreeMap::new();
    let found = object
        .components
        .iter()
        .filter(|c| c.component_type == ICalendarComponentType::VEvent);
    for (nth, component) in found.enumerate() {
        // What has no UID is an event for itself.
        let uid = text(component, "UID")
            .filter(|u| !u.is_empty())
            .map(str::to_owned);
        let name = file
            .file_name()
            .map(|n| n.to_string_lossy())
            .unwrap_or_default();
        let uid = uid.unwrap_or_else(|| format!("{nth}@{name}"));
        by_uid.entry(uid).or_default().push(component);
    }
    let user = book.user.upn.clone();
    let reader = Reader::new(object, &user);
    for (uid, components) in by_uid {
        let is_override = |c: &&&ICalendarComponent| entry(c, "RECURRENCE-ID").is_some();
        let overrides: Vec<&ICalendarComponent> =
            components.iter().filter(is_override).copied().collect();
        let mut masters = components.iter().filter(|c| !is_override(c));
        let add = |book: &mut Book, mut record: super::record::Record, report: &mut Report| {
            record.uid = Uid::Foreign(uid.clone());
            report.events += 1;
            report.exceptions += record.exceptions.len();
            report.cancelled += record.cancelled.len();
            book.add(calendar, record);
        };
        match masters.next() {
            Some(master) => match reader.event(master, &overrides) {
                Ok((record, left)) => {
                    add(book, record, report);
                    left.into_iter().for_each(|reason| report.leave(reason));
                }
                Err(reason) => report.leave(reason),
            },
            // Exceptions alone, as an invitation to one day of a series has them.
            None => {
                for component in overrides {
                    match reader.single(component) {
                        Ok(record) => add(book, record, report),
                        Err(reason) => report.leave(reason),
                    }
                }
            }
        }
        masters.for_each(|_| report.leave("another event of the same UID"));
    }
}
