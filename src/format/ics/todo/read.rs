//! A calendar with one task to what creates it in To Do.
//!
//! Input is hostile: [`syntax`](super::super::syntax) bounds it. What To Do has no place for becomes a
//! note that names it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Map, Value, json};

use super::super::Refusal;
use super::super::rule::Rule;
use super::super::syntax::{self, Component, Line};
use super::super::time::When;
use super::super::tzid::Zones;
use super::{APPLICATION, EXTERNAL_ID, FILE_NAME, File, STATUS, STATUSES, ZONE};
use crate::format::zones::Zone;

/// Lines about what is not restored.
const MAX_NOTES: usize = 40;
/// Characters of a value in a note.
const MAX_QUOTED: usize = 60;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// A todoTask with properties that can be written, without what it is made of besides.
    pub json: Value,
    /// Its `checklistItems`.
    pub steps: Vec<Value>,
    /// Its `linkedResources`.
    pub links: Vec<Value>,
    /// What is attached.
    pub files: Vec<File>,
    /// What is in the file and has no place in a task.
    pub notes: Vec<String>,
}

/// Why a file can't become a task.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // Each says in its message what it is.
pub enum Refused {
    #[error(transparent)]
    Syntax(#[from] Refusal),
    #[error("it holds no task (VTODO)")]
    NoTask,
    #[error("it holds an event: put it below Calendar")]
    Event,
    #[error("it holds {0} tasks, and a file becomes one: split it into one file a task")]
    Several(usize),
}

/// Reads the one task that a file holds, with its steps.
///
/// # Errors
/// See [`Refused`].
pub fn read(bytes: &[u8]) -> Result<Task, Refused> {
    let roots = syntax::parse(bytes)?;
    let mut all = Vec::new();
    collect(&roots, "VTODO", &mut all);
    let mut events = Vec::new();
    collect(&roots, "VEVENT", &mut events);
    let changed = |todo: &&Component| todo.get("RECURRENCE-ID").is_some();
    let overrides = all.iter().filter(|todo| changed(todo)).count();
    all.retain(|todo| !changed(todo));
    let uids: Vec<String> = all.iter().filter_map(|todo| todo.text("UID")).collect();
    let parent = |todo: &Component| {
        let above = todo.all("RELATED-TO").find(|line| {
            let kind = line.param("RELTYPE").unwrap_or("PARENT");
            kind.eq_ignore_ascii_case("PARENT") && uids.contains(&line.text())
        });
        above.map(Line::text)
    };
    let mains: Vec<&Component> = all
        .iter()
        .filter(|todo| parent(todo).is_none())
        .copied()
        .collect();
    let main = match mains[..] {
        [main] => main,
        [] if !events.is_empty() => return Err(Refused::Event),
        [] => return Err(Refused::NoTask),
        _ => return Err(Refused::Several(mains.len())),
    };
    let calendar = roots.iter().find(|root| root.name == "VCALENDAR");
    let zones = Zones::new(calendar.unwrap_or(main)).of(main);
    let mut reader = Reader {
        zones,
        json: Map::new(),
        task: Task::default(),
        start: None,
        due: None,
    };
    reader.task(main);
    for step in all.iter().filter(|todo| parent(todo).is_some()) {
        reader.step(step);
    }
    if overrides > 0 {
        reader.note(format!(
            "{overrides} changed occurrences are not restored: a task has none"
        ));
    }
    if !events.is_empty() {
        reader.note(format!(
            "{} events in the same file are not restored",
            events.len()
        ));
    }
    reader.task.json = Value::Object(reader.json);
    Ok(reader.task)
}

fn collect<'a>(from: &'a [Component], name: &str, into: &mut Vec<&'a Component>) {
    for component in from {
        if component.name == name {
            into.push(component);
        } else {
            collect(&component.children, name, into);
        }
    }
}

struct Reader<'a> {
    zones: Zones<'a>,
    json: Map<String, Value>,
    task: Task,
    start: Option<Moment>,
    due: Option<Moment>,
}

impl Reader<'_> {
    fn task(&mut self, todo: &Component) {
        for line in &todo.lines {
            self.line(todo, line);
        }
        self.status(todo);
        self.recurrence(todo);
        self.alarms(todo);
        self.body(todo);
    }

    fn line(&mut self, todo: &Component, line: &Line) {
        match line.name.as_str() {
            "SUMMARY" => self.set("title", line.text()),
            "DTSTART" | "DUE" => {
                let Some(moment) = self.moment(line) else {
                    return self.lost("a time that can't be read", line);
                };
                let (name, place) = match line.name.as_str() {
                    "DUE" => ("dueDateTime", &mut self.due),
                    _ => ("startDateTime", &mut self.start),
                };
                self.json.insert(name.into(), moment.graph());
                *place = Some(moment);
            }
            "PRIORITY" => match line.value.trim().parse() {
                Ok(1..=4) => self.set("importance", "high".into()),
                Ok(6..=9) => self.set("importance", "low".into()),
                _ => {}
            },
            "CATEGORIES" => {
                let names = line
                    .texts()
                    .into_iter()
                    .filter(|name| !name.trim().is_empty());
                let known = self.json.entry("categories").or_insert_with(|| json!([]));
                if let Some(known) = known.as_array_mut() {
                    known.extend(names.map(Value::from));
                }
            }
            "LINK" => self.link(line),
            "URL" => {
                let url = line.value.trim().to_owned();
                self.task
                    .links
                    .push(json!({ "webUrl": url, "displayName": url }));
            }
            "ATTACH" => self.attach(line),
            "RELATED-TO" => self.lost("the relation to another task", line),
            "DURATION" if todo.get("DUE").is_none() => self.lost("the duration", line),
            // Told elsewhere here, or nothing that a task has of its own.
            "STATUS" | "COMPLETED" | "PERCENT-COMPLETE" | "RRULE" | "DESCRIPTION"
            | "X-ALT-DESC" | "UID" | "DTSTAMP" | "CREATED" | "LAST-MODIFIED" | "SEQUENCE"
            | "CLASS" | STATUS => {}
            name if PRIVATE.iter().any(|start| name.starts_with(start)) => {}
            name => self.lost(&format!("the property {name}"), line),
        }
    }

    fn status(&mut self, todo: &Component) {
        let done = todo
            .get("PERCENT-COMPLETE")
            .map(|line| line.value.trim().to_owned());
        let told = todo.word("STATUS").unwrap_or_default();
        let own = todo.text(STATUS).unwrap_or_default();
        let known = STATUSES.iter().find(|(name, _)| *name == own);
        let status = match (told.as_str(), done.as_deref()) {
            (told, _) if known.is_some_and(|(_, status)| *status == told) => own.as_str(),
            ("COMPLETED", _) => "completed",
            ("IN-PROCESS", _) => "inProgress",
            ("CANCELLED", _) => {
                self.note("a cancelled task is restored as one that is completed".to_owned());
                "completed"
            }
            ("NEEDS-ACTION", _) => "notStarted",
            _ if todo.get("COMPLETED").is_some() => "completed",
            (_, Some("100")) => "completed",
            (_, None | Some("0")) => "notStarted",
            _ => "inProgress",
        };
        self.json.insert("status".into(), status.into());
        if status == "completed"
            && let Some(line) = todo.get("COMPLETED")
        {
            match self.moment(line) {
                Some(moment) => {
                    self.json.insert("completedDateTime".into(), moment.utc());
                }
                None => self.lost("the time of completion", line),
            }
        }
    }

    fn recurrence(&mut self, todo: &Component) {
        for (at, line) in todo.all("RRULE").enumerate() {
            let first = self
                .start
                .as_ref()
                .or(self.due.as_ref())
                .filter(|_| at == 0);
            let Some(first) = first else {
                self.lost("the recurrence", line);
                continue;
            };
            let (when, zone) = (first.when(), first.zone.clone());
            match Rule::from_ics(&line.value, &when) {
                Ok(rule) => {
                    let series = rule.to_graph(when.date(), &zone);
                    self.json.insert("recurrence".into(), series);
                }
                Err(why) => {
                    let why = match why {
                        Refusal::Unsupported(what) => what,
                        other => other.to_string(),
                    };
                    let rule = quoted(&line.value);
                    self.note(format!("the recurrence ({rule}) is not restored: {why}"));
                }
            }
        }
    }

    /// One reminder, at a time: that is what a task has.
    fn alarms(&mut self, todo: &Component) {
        let mut at: Option<Timestamp> = None;
        for alarm in todo.children.iter().filter(|child| child.name == "VALARM") {
            let Some(line) = alarm.get("TRIGGER") else {
                continue;
            };
            match (at, self.trigger(line)) {
                (None, Some(time)) => at = Some(time),
                (Some(_), _) => self.lost("a second reminder", line),
                (None, None) => self.lost("the reminder", line),
            }
        }
        self.json.insert("isReminderOn".into(), at.is_some().into());
        if let Some(at) = at {
            self.json.insert(
                "reminderDateTime".into(),
                graph(TimeZone::UTC.to_datetime(at), "UTC"),
            );
        }
    }

    fn trigger(&mut self, line: &Line) -> Option<Timestamp> {
        let value = line.value.trim();
        if let Some(time) = Moment::parse(value, self.zones.floating.clone()) {
            return time.instant();
        }
        let span: Span = value.trim_start_matches('+').parse().ok()?;
        let related = line.param("RELATED").unwrap_or("START");
        let names = match related.eq_ignore_ascii_case("END") {
            true => ["dueDateTime", "startDateTime"],
            false => ["startDateTime", "dueDateTime"],
        };
        let base = names.iter().find_map(|name| self.json.get(*name))?;
        let zone = Zone::find(base["timeZone"].as_str()?)?;
        let local: DateTime = base["dateTime"].as_str()?.parse().ok()?;
        // "A day before" is a day on the clock.
        zone.instant(local.checked_add(span).ok()?)
    }

    fn body(&mut self, todo: &Component) {
        let html = todo.all("X-ALT-DESC").find(|line| {
            line.param("FMTTYPE")
                .is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"))
        });
        let body = match html {
            Some(html) => json!({ "contentType": "html", "content": html.text() }),
            None => match todo.text("DESCRIPTION") {
                Some(content) => json!({ "contentType": "text", "content": content }),
                None => return,
            },
        };
        self.json.insert("body".into(), body);
    }

    fn link(&mut self, line: &Line) {
        let mut link = Map::new();
        let is_text = line
            .param("VALUE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("TEXT"));
        if !is_text {
            link.insert("webUrl".into(), line.value.trim().into());
        }
        let params = [
            ("displayName", "LABEL"),
            ("applicationName", APPLICATION),
            ("externalId", EXTERNAL_ID),
        ];
        for (name, param) in params {
            if let Some(value) = line.param(param) {
                link.insert(name.into(), value.into());
            }
        }
        if is_text && !link.contains_key("displayName") {
            link.insert("displayName".into(), line.text().into());
        }
        self.task.links.push(Value::Object(link));
    }

    fn attach(&mut self, line: &Line) {
        let named = line.param(FILE_NAME).or_else(|| line.param("FILENAME"));
        let name = named.unwrap_or("attachment").to_owned();
        let base64 = line
            .param("ENCODING")
            .is_some_and(|e| e.eq_ignore_ascii_case("BASE64"));
        if !base64 {
            let url = line.value.trim().to_owned();
            self.task
                .links
                .push(json!({ "webUrl": url, "displayName": named.unwrap_or(&url) }));
            return;
        }
        match STANDARD.decode(line.value.trim()) {
            Ok(bytes) => self.task.files.push(File {
                name,
                content_type: line.param("FMTTYPE").map(str::to_owned),
                bytes,
            }),
            Err(_) => self.lost("an attachment that is no base64", line),
        }
    }

    fn step(&mut self, todo: &Component) {
        let mut step = json!({
            "displayName": todo.text("SUMMARY").unwrap_or_else(|| "(no title)".to_owned()),
            "isChecked": todo.word("STATUS").as_deref() == Some("COMPLETED"),
        });
        for (name, property) in [
            ("createdDateTime", "CREATED"),
            ("checkedDateTime", "COMPLETED"),
        ] {
            let time = todo
                .get(property)
                .and_then(|line| Moment::parse(line.value.trim(), None));
            if let Some(time) = time.and_then(|time| time.instant()) {
                step[name] = time.to_string().into();
            }
        }
        self.task.steps.push(step);
    }

    fn moment(&mut self, line: &Line) -> Option<Moment> {
        let value = line.value.trim();
        let local = Moment::parse(value, None)?.local;
        // Our own file: a zone that only Exchange knows.
        let foreign = line.param(ZONE).map(str::to_owned);
        let zone = match line.param("TZID") {
            Some(name) => {
                let found = self.zones.find(name, local).ok();
                if found.is_none() {
                    let name = quoted(name);
                    self.note(format!("the time zone {name} is unknown: taken for UTC"));
                }
                found
            }
            None => self.zones.floating.clone().filter(|_| foreign.is_none()),
        };
        let mut moment = Moment::parse(value, zone)?;
        moment.foreign = foreign;
        Some(moment)
    }

    fn set(&mut self, property: &str, value: String) {
        if !value.trim().is_empty() {
            self.json.entry(property).or_insert_with(|| value.into());
        }
    }

    /// Says that something is not restored.
    fn lost(&mut self, what: &str, line: &Line) {
        let note = format!(
            "{what} ({}) is not restored: To Do has no place for it",
            quoted(&line.text())
        );
        self.note(note);
    }

    fn note(&mut self, note: String) {
        let notes = &mut self.task.notes;
        if notes.len() < MAX_NOTES && !notes.contains(&note) {
            notes.push(note);
        } else if notes.len() == MAX_NOTES {
            notes.push("more is not restored".to_owned());
        }
    }
}

/// What programs keep in a task for themselves.
const PRIVATE: [&str; 5] = ["X-APPLE-", "X-MOZ-", "X-KDE-", "X-EVOLUTION-", "X-OC-"];

/// A time as it stands in a file.
#[derive(Debug)]
struct Moment {
    local: DateTime,
    is_date: bool,
    /// UTC for dates, and for times that float where no other time has a zone.
    zone: Zone,
    foreign: Option<String>,
}

impl Moment {
    fn parse(value: &str, zone: Option<Zone>) -> Option<Self> {
        let digits = |from: usize, len: usize| -> Option<i16> {
            let part = value.get(from..from + len)?;
            part.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| part.parse().ok())?
        };
        let two = |from: usize| digits(from, 2).and_then(|n| i8::try_from(n).ok());
        let date = Date::new(digits(0, 4)?, two(4)?, two(6)?).ok()?;
        let (local, zone) = match value.get(8..)? {
            "" => (date.at(0, 0, 0, 0), Zone::utc()),
            time if time.starts_with('T') => {
                let time = jiff::civil::Time::new(two(9)?, two(11)?, two(13)?, 0).ok()?;
                let zone = match value.get(15..)? {
                    "Z" => Zone::utc(),
                    "" => zone.unwrap_or_else(Zone::utc),
                    _ => return None,
                };
                (date.to_datetime(time), zone)
            }
            _ => return None,
        };
        Some(Self {
            local,
            is_date: value.len() == 8,
            zone,
            foreign: None,
        })
    }

    fn when(&self) -> When {
        match self.is_date {
            true => When::Day(self.local.date()),
            false => When::At {
                local: self.local,
                zone: self.zone.clone(),
            },
        }
    }

    fn instant(&self) -> Option<Timestamp> {
        self.zone.instant(self.local)
    }

    /// As To Do takes it. In UTC, but for a zone that only Exchange knows.
    fn graph(&self) -> Value {
        match &self.foreign {
            Some(zone) => graph(self.local, zone),
            None => self.utc(),
        }
    }

    fn utc(&self) -> Value {
        let at = self.instant().map(|at| TimeZone::UTC.to_datetime(at));
        graph(at.unwrap_or(self.local), "UTC")
    }
}

fn graph(local: DateTime, zone: &str) -> Value {
    let local = local.strftime("%Y-%m-%dT%H:%M:%S");
    json!({ "dateTime": format!("{local}.0000000"), "timeZone": zone })
}

fn quoted(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MAX_QUOTED) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
