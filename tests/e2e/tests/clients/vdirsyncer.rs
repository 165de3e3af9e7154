//! vdirsyncer keeps folders of files in step with the emulator's calendars, contacts and tasks: what it
//! wrote is what the emulator lists, and changes go both ways.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::clients::{self, Certificates, Need, Realm};
use e2e::graph::Graph;
use e2e::vdirsyncer::Vdirsyncer;
use e2e::{Recorded, corpus};
use graph_emulator::{Options, Quirk};
use reqwest::Method;
use serde_json::{Value, json};

const ALICE: &str = "/users/alice@contoso.com";

/// A collection: its folder among the files, and where it is in Graph.
struct Collection {
    folder: String,
    /// Where its items are listed and made.
    items: String,
    kind: &'static Kind,
}

/// Events, contacts or tasks.
struct Kind {
    /// The property that an item is called by, and the same in a file.
    name: (&'static str, &'static str),
    /// What to make of a name.
    new: fn(&str) -> Value,
    file: fn(&str) -> String,
    ending: &'static str,
    /// What an item says, as `items.py` puts it.
    essence: fn(&Graph, &Value) -> Result<Value>,
}

static EVENTS: Kind = Kind {
    name: ("subject", "SUMMARY:"),
    new: |name| {
        let at = |time: &str| json!({ "dateTime": time, "timeZone": "UTC" });
        json!({ "subject": name, "start": at("2026-12-01T10:00:00"), "end": at("2026-12-01T11:00:00") })
    },
    file: |name| {
        calendar(&format!(
            "BEGIN:VEVENT\r\nUID:from-a-file\r\nDTSTAMP:20261101T000000Z\r\nDTSTART:20261207T090000Z\r\n\
             DTEND:20261207T093000Z\r\nSUMMARY:{name}\r\nLOCATION:Room 7\r\nRRULE:FREQ=WEEKLY;COUNT=4\r\n\
             END:VEVENT\r\n"
        ))
    },
    ending: "ics",
    essence: |_, event| Ok(event_says(event)),
};

static CONTACTS: Kind = Kind {
    name: ("displayName", "FN:"),
    new: |name| json!({ "displayName": name, "givenName": name, "mobilePhone": "+45 1234" }),
    file: |name| {
        format!(
            "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:from-a-file\r\nN:Roe;Jane;;;\r\nFN:{name}\r\n\
             EMAIL;TYPE=INTERNET:jane.roe@fabrikam.com\r\nTEL;TYPE=HOME:+45 999\r\nNOTE:By hand\r\n\
             END:VCARD\r\n"
        )
    },
    ending: "vcf",
    essence: contact_says,
};

static TASKS: Kind = Kind {
    name: ("title", "SUMMARY:"),
    new: |name| json!({ "title": name, "importance": "high" }),
    file: |name| {
        calendar(&format!(
            "BEGIN:VTODO\r\nUID:from-a-file\r\nDTSTAMP:20261101T000000Z\r\nDUE;VALUE=DATE:20261224\r\n\
             SUMMARY:{name}\r\nPRIORITY:1\r\nSTATUS:IN-PROCESS\r\nEND:VTODO\r\n"
        ))
    },
    ending: "ics",
    essence: |_, task| Ok(task_says(task)),
};

fn calendar(component: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n{component}END:VCALENDAR\r\n")
}

fn texts(values: &Value) -> Vec<&str> {
    values
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn sorted(values: &Value) -> Vec<&str> {
    let mut values = texts(values);
    values.sort_unstable();
    values
}

/// How often something recurs: iCalendar's word and the interval.
fn every(recurrence: &Value) -> Value {
    let pattern = &recurrence["pattern"];
    let kind = pattern["type"].as_str().unwrap_or_default();
    let words = [
        ("daily", "DAILY"),
        ("weekly", "WEEKLY"),
        ("Monthly", "MONTHLY"),
        ("Yearly", "YEARLY"),
    ];
    let word = words.iter().find(|(end, _)| kind.ends_with(end));
    word.map_or(Value::Null, |(_, word)| json!([word, pattern["interval"]]))
}

/// A time without its zone; of midnight (or of a day) the day alone.
fn wall(time: &Value, day: bool) -> Value {
    let Some(time) = time["dateTime"].as_str() else {
        return Value::Null;
    };
    let day = day || time.contains("T00:00:00");
    json!(&time[..if day { 10 } else { 19 }])
}

fn event_says(event: &Value) -> Value {
    let time = |name: &str| {
        let length = if event["isAllDay"] == true { 10 } else { 19 };
        event[name]["dateTime"].as_str().map(|text| &text[..length])
    };
    let attendees = event["attendees"].as_array().into_iter().flatten();
    let mut attendees: Vec<String> = attendees
        .filter_map(|a| Some(a["emailAddress"]["address"].as_str()?.to_lowercase()))
        .collect();
    attendees.sort_unstable();
    // What came out of a file keeps the UID it had there; Exchange gives it another.
    let made_here = event["subject"] == "New here";
    let uid = if made_here {
        &json!("from-a-file")
    } else {
        &event["iCalUId"]
    };
    json!({
        "uid": uid, "name": event["subject"], "start": time("start"), "end": time("end"),
        "location": event["location"]["displayName"], "attendees": attendees,
        "categories": sorted(&event["categories"]), "free": event["showAs"] == "free",
        "every": every(&event["recurrence"]),
    })
}

fn contact_says(graph: &Graph, contact: &Value) -> Result<Value> {
    let text = |name: &str| contact[name].as_str().unwrap_or_default().to_owned();
    let addresses = contact["emailAddresses"].as_array().into_iter().flatten();
    let emails: Vec<&str> = addresses.filter_map(|e| e["address"].as_str()).collect();
    let mut phones = texts(&contact["businessPhones"]);
    phones.extend(texts(&contact["homePhones"]));
    phones.extend(contact["mobilePhone"].as_str());
    phones.sort_unstable();
    let id = contact["id"].as_str().context("no id")?;
    let photo = graph.bytes(&format!("{ALICE}/contacts/{id}/photo/$value"));
    Ok(json!({
        "name": text("displayName"),
        "names": [text("surname"), text("givenName"), text("middleName"), text("title")],
        "nick": text("nickName"), "emails": emails, "phones": phones, "company": text("companyName"),
        "title": text("jobTitle"), "note": text("personalNotes"),
        "birthday": text("birthday").chars().take(10).collect::<String>(),
        "categories": sorted(&contact["categories"]),
        "photo": photo.ok().map(|bytes| base64(&bytes)),
    }))
}

fn task_says(task: &Value) -> Value {
    let status = match task["status"].as_str() {
        Some("completed") => "COMPLETED",
        Some("inProgress") => "IN-PROCESS",
        _ => "NEEDS-ACTION",
    };
    let priority = match task["importance"].as_str() {
        Some("high") => 1,
        Some("low") => 9,
        _ => 5,
    };
    json!({
        "name": task["title"], "start": wall(&task["startDateTime"], false), "due": wall(&task["dueDateTime"], false),
        "status": status, "priority": priority, "categories": sorted(&task["categories"]),
        "reminded": task["isReminderOn"], "every": every(&task["recurrence"]),
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What there is, from the emulator itself.
fn collections(graph: &Graph) -> Result<Vec<Collection>> {
    let mut all = Vec::new();
    let mut add = |folder: String, items: String, kind| {
        all.push(Collection {
            folder,
            items: format!("{ALICE}/{items}"),
            kind,
        });
    };
    let named = |value: &Value, name: &str| -> Result<(String, String)> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Ok((text(name).context("no name")?, text("id").context("no id")?))
    };
    for calendar in graph.list(&format!("{ALICE}/calendars"))? {
        let (name, id) = named(&calendar, "name")?;
        if calendar["owner"]["address"] == "alice@contoso.com" {
            add(
                format!("calendar/{name}"),
                format!("calendars/{id}/events"),
                &EVENTS,
            );
        }
    }
    add("contacts/contacts".into(), "contacts".into(), &CONTACTS);
    for folder in graph.list(&format!("{ALICE}/contactFolders"))? {
        let (name, id) = named(&folder, "displayName")?;
        let items = format!("contactFolders/{id}/contacts");
        add(format!("contacts/{name}"), items, &CONTACTS);
    }
    for list in graph.list(&format!("{ALICE}/todo/lists"))? {
        let (name, id) = named(&list, "displayName")?;
        add(
            format!("tasks/{name}"),
            format!("todo/lists/{id}/tasks"),
            &TASKS,
        );
    }
    Ok(all)
}

/// How often each is there.
fn counted(all: Vec<Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one.to_string()).or_default() += 1;
    }
    counts
}

/// Every collection holds what the emulator lists, and as often; how many items that are.
fn agree(graph: &Graph, vdirsyncer: &Vdirsyncer) -> Result<usize> {
    let mut items = 0;
    for collection in collections(graph)? {
        let listed = graph.list(&collection.items)?;
        let says = collection.kind.essence;
        let live: Vec<Value> = listed
            .iter()
            .map(|one| says(graph, one))
            .collect::<Result<_>>()?;
        let files = vdirsyncer.items(&collection.folder)?;
        items += files.len();
        let (live, files) = (counted(live), counted(files));
        let odd: Vec<_> = live
            .keys()
            .chain(files.keys())
            .filter(|one| live.get(*one) != files.get(*one))
            .collect();
        ensure!(odd.is_empty(), "{}: {odd:#?}", collection.folder);
    }
    Ok(items)
}

impl Collection {
    fn make(&self, graph: &Graph, name: &str) -> Result<()> {
        graph.post(&self.items, &(self.kind.new)(name)).map(drop)
    }

    fn named(&self, graph: &Graph, name: &str) -> Result<Vec<Value>> {
        let mut all = graph.list(&self.items)?;
        all.retain(|item| item[self.kind.name.0] == name);
        Ok(all)
    }

    /// Changes or deletes the one item of a name.
    fn send(&self, graph: &Graph, method: Method, name: &str, body: Option<&Value>) -> Result<()> {
        let found = self.named(graph, name)?;
        let id = found
            .first()
            .and_then(|item| item["id"].as_str())
            .context("no such item")?;
        let path = format!("{}/{id}", self.items);
        let answer = graph.send(method, &path, body)?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(())
    }

    /// The file of an item.
    fn file(&self, vdirsyncer: &Vdirsyncer, name: &str) -> Result<PathBuf> {
        let line = format!("{}{name}\r\n", self.kind.name.1);
        let says = |file: &PathBuf| {
            fs::read_to_string(file)
                .is_ok_and(|text| text.contains(&line) || text.contains(line.trim_end()))
        };
        let mut files = corpus::files(&vdirsyncer.folder(&self.folder)).into_iter();
        files
            .find(says)
            .with_context(|| format!("no {name} in {}", self.folder))
    }
}

/// vdirsyncer writes the line ends of Windows as they are, in the middle of a vCard's line, and no parser
/// reads on behind one: those contacts (many-lined addresses and notes) are not for it.
fn without_line_ends_of_windows(graph: &Graph, collection: &Collection) -> Result<()> {
    for contact in graph.list(&collection.items)? {
        if contact.to_string().contains("\\r") {
            graph.delete(&format!(
                "{ALICE}/contacts/{}",
                contact["id"].as_str().context("no id")?
            ))?;
        }
    }
    Ok(())
}

#[test]
fn vdirsyncer_keeps_files_in_step() -> Result<()> {
    if !clients::ready(&[Need::Vdirsyncer]) {
        return Ok(());
    }
    let certificates = Certificates::make()?;
    let emulator: Recorded = certificates.emulator(Options {
        accounts: 2,
        messages: 0,
        files: 0,
        events: 60,
        contacts: 40,
        quirk: vec![Quirk::EventsDelta],
        ..Options::default()
    })?;
    let graph = Graph::sign_in(&emulator, Some(&certificates.ca()))?;
    let realm = Realm::new(certificates, &emulator.url)?;
    let vdirsyncer = Vdirsyncer::new(&realm, &emulator)?;
    let all = collections(&graph)?;
    for collection in all.iter().filter(|c| c.folder.starts_with("contacts/")) {
        without_line_ends_of_windows(&graph, collection)?;
    }
    let places: Vec<&Collection> = ["calendar/Calendar", "contacts/contacts", "tasks/Tasks"]
        .into_iter()
        .filter_map(|folder| all.iter().find(|c| c.folder == folder))
        .collect();
    ensure!(places.len() == 3, "one of each kind");
    for place in &places {
        for name in ["Changed there", "Changed here", "Gone there", "Gone here"] {
            place.make(&graph, name)?;
        }
    }

    vdirsyncer.discover()?;
    vdirsyncer.sync()?;
    let first = agree(&graph, &vdirsyncer)?;
    ensure!(first > 60, "only {first} items");

    // On both sides: change one, delete one, make one.
    for place in &places {
        let (property, line) = place.kind.name;
        let renamed = json!({ property: "Renamed there" });
        place.send(&graph, Method::PATCH, "Changed there", Some(&renamed))?;
        place.send(&graph, Method::DELETE, "Gone there", None)?;
        place.make(&graph, "New there")?;
        let file = place.file(&vdirsyncer, "Changed here")?;
        let text = fs::read_to_string(&file)?;
        let change = |name: &str| format!("{line}{name}");
        fs::write(
            &file,
            text.replace(&change("Changed here"), &change("Renamed here")),
        )?;
        fs::remove_file(place.file(&vdirsyncer, "Gone here")?)?;
        let new = vdirsyncer
            .folder(&place.folder)
            .join(format!("new.{}", place.kind.ending));
        fs::write(new, (place.kind.file)("New here"))?;
    }
    vdirsyncer.sync()?;
    for place in &places {
        let count = |name: &str| anyhow::Ok(place.named(&graph, name)?.len());
        for name in ["Renamed there", "Renamed here", "New there", "New here"] {
            ensure!(count(name)? == 1, "{name} in {}", place.folder);
            place.file(&vdirsyncer, name)?;
        }
        for name in ["Changed there", "Changed here", "Gone there", "Gone here"] {
            ensure!(count(name)? == 0, "{name} in {}", place.folder);
            ensure!(
                place.file(&vdirsyncer, name).is_err(),
                "{name} in {}",
                place.folder
            );
        }
    }

    // Then both are the same again, and there is nothing left to do.
    graph.reset_requests()?;
    vdirsyncer.sync()?;
    let counts = graph.requests()?;
    let writes: Vec<&Value> = counts["by_route"]
        .as_array()
        .context("no routes")?
        .iter()
        .filter(|row| {
            row["method"] != "GET"
                && row["route"]
                    .as_str()
                    .is_some_and(|r| r.starts_with("/v1.0") && !r.ends_with("$batch"))
        })
        .collect();
    ensure!(writes.is_empty(), "{writes:?}");
    ensure!(agree(&graph, &vdirsyncer)? == first);
    let sent = graph.sent()?;
    ensure!(sent.is_empty(), "{sent:?}");
    Ok(())
}
