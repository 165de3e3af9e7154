//! Calendar libraries that nobody here wrote, reading the `.ics` and `.vcf` files of a mount: `icalendar`,
//! `vobject` and `recurring-ical-events` of Python, and the Rust crate `calcard`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use calcard::icalendar::ICalendarComponentType as Component;
use calcard::{Entry, Parser};
use serde_json::Value;

use crate::graph::Graph;

/// An occurrence: start, end (UTC, or days), summary.
pub type Occurrence = (String, String, String);

/// True if they are here. Otherwise prints why the test is skipped; with `CI=true` panics instead.
pub fn ready() -> bool {
    let there = Command::new("python3")
        .args([
            "-c",
            "import icalendar, vobject, recurring_ical_events, tzdata",
        ])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        let reason = "Python's calendar libraries are not installed \
                      (pip install icalendar vobject recurring-ical-events tzdata)";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
    }
    there
}

fn run(args: &[&str], files: &[PathBuf]) -> Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/calendars.py");
    let output = Command::new("python3")
        // The zones of package tzdata: the machine's may be years old.
        .env("PYTHONTZPATH", "")
        .arg(script)
        .args(args)
        .args(files)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("calendars.py printed no JSON")
}

/// Every file is read by all three parsers.
pub fn accept(files: &[PathBuf]) -> Result<()> {
    for file in files {
        let text = std::fs::read_to_string(file)?;
        calcard_accepts(&text).with_context(|| format!("{}\n{text:.4000}", file.display()))?;
    }
    for files in files.chunks(500) {
        let refused = run(&["accept"], files)?;
        ensure!(
            refused.as_object().is_some_and(|r| r.is_empty()),
            "refused: {refused:#}"
        );
    }
    Ok(())
}

/// The Rust parser finds one card or one calendar, with as many events or tasks as it begins, and not a
/// word beside it. (Its strict mode refuses every calendar.)
fn calcard_accepts(text: &str) -> Result<()> {
    let mut parser = Parser::new(text);
    match parser.entry() {
        Entry::VCard(card) => ensure!(!card.entries.is_empty(), "an empty card"),
        Entry::ICalendar(calendar) => {
            let wanted = |kind: &Component| matches!(kind, Component::VEvent | Component::VTodo);
            let kinds = calendar.components.iter().map(|c| &c.component_type);
            let found = kinds.filter(|kind| wanted(kind)).count();
            let begun = |line: &&str| ["BEGIN:VEVENT", "BEGIN:VTODO"].contains(line);
            let begun = text.lines().filter(begun).count();
            ensure!(found > 0 && found == begun, "calcard: {found} of {begun}");
        }
        other => bail!("calcard: {other:?}"),
    }
    let rest = parser.entry();
    ensure!(
        matches!(rest, Entry::Eof),
        "calcard: after the end there is {rest:?}"
    );
    Ok(())
}

/// The occurrences between two instants (ISO 8601, UTC).
pub fn expand(files: &[PathBuf], from: &str, to: &str) -> Result<Vec<Occurrence>> {
    let found = run(&["expand", from, to], files)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = found.as_array().context("no list")?;
    Ok(rows
        .iter()
        .map(|row| (text(&row[0]), text(&row[1]), text(&row[2])))
        .collect())
}

/// The id of a mailbox's own calendar.
fn id_of(graph: &Graph, upn: &str, calendar: &str) -> Result<String> {
    let all = graph.list(&format!("/users/{upn}/calendars?$top=100"))?;
    let mut named = all.iter().filter(|c| c["name"] == calendar);
    let own = named.find(|c| c["owner"]["address"] == upn);
    let id = own.and_then(|c| c["id"].as_str());
    Ok(id.context("no such calendar")?.to_owned())
}

/// Subjects of what is in a zone of its organizer's own making: Graph does not tell when its clocks change,
/// so that no file can.
fn in_custom_zones(graph: &Graph, upn: &str, calendar: &str) -> Result<BTreeSet<String>> {
    let id = id_of(graph, upn, calendar)?;
    let events = graph.list(&format!(
        "/users/{upn}/calendars/{id}/events?$top=500&$select=subject,originalStartTimeZone"
    ))?;
    let custom = |event: &&Value| {
        let zone = event["originalStartTimeZone"].as_str();
        zone.is_some_and(|zone| zone.starts_with("tzone://"))
    };
    let subjects = events.iter().filter(custom);
    Ok(subjects.map(subject).collect())
}

/// What an event is called. Files hold no control characters but line breaks and tabs.
fn subject(event: &Value) -> String {
    let kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let subject = event["subject"].as_str().unwrap_or_default();
    subject.chars().filter(kept).collect()
}

/// Occurrences in a mailbox's own calendar, as Exchange lists them (times as for [`expand`], without zone).
pub fn listed(
    graph: &Graph,
    upn: &str,
    calendar: &str,
    from: &str,
    to: &str,
) -> Result<Vec<Occurrence>> {
    let id = id_of(graph, upn, calendar)?;
    let path = format!(
        "/users/{upn}/calendars/{id}/calendarView?startDateTime={from}Z&endDateTime={to}Z&$top=999\
         &$select=subject,start,end,isAllDay"
    );
    let mut found: Vec<Occurrence> = Vec::new();
    for event in graph.list(&path)? {
        let moment = |name: &str| {
            let text = event[name]["dateTime"].as_str().unwrap_or_default();
            let length = if event["isAllDay"] == true { 10 } else { 19 };
            text.get(..length).unwrap_or_default().to_owned()
        };
        found.push((moment("start"), moment("end"), subject(&event)));
    }
    found.sort();
    Ok(found)
}

/// The occurrences that the libraries find in these files are those that Exchange lists in the calendar,
/// but for those [`in_custom_zones`]; how many they are.
pub fn agree(
    graph: &Graph,
    upn: &str,
    calendar: &str,
    files: &[PathBuf],
    (from, to): (&str, &str),
) -> Result<usize> {
    let mut expected = listed(graph, upn, calendar, from, to)?;
    let mut found = expand(files, &format!("{from}+00:00"), &format!("{to}+00:00"))?;
    let untold = in_custom_zones(graph, upn, calendar)?;
    for all in [&mut expected, &mut found] {
        all.retain(|(_, _, subject)| !untold.contains(subject));
    }
    let lacking = |all: &[Occurrence], of: &[Occurrence]| -> Vec<Occurrence> {
        let of: BTreeSet<&Occurrence> = of.iter().collect();
        let lacking = all.iter().filter(|o| !of.contains(o));
        lacking.take(5).cloned().collect()
    };
    let (missing, extra) = (lacking(&expected, &found), lacking(&found, &expected));
    ensure!(
        missing.is_empty() && extra.is_empty() && found.len() == expected.len(),
        "{upn} {calendar}: {} files, {} listed, {} found, missing {missing:?}, extra {extra:?}",
        files.len(),
        expected.len(),
        found.len()
    );
    Ok(found.len())
}
