//! Generated task lists: a few lists and tasks that use everything the model has.

use bytes::Bytes;
use serde_json::{Value, json};

use super::words::{paragraph, sentence, words};
use super::{ANCHOR, photo};
use crate::clock::rfc3339;
use crate::mail::ids::No;
use crate::odata::Object;
use crate::rng::Rng;
use crate::todo::{Board, File, Task, precise, whole_recurrence};

const LISTS: &[&str] = &["Groceries", "Projekt Übergabe", "家の仕事"];

/// Fills the board of a generated user.
pub fn fill(board: &mut Board) {
    let mut rng = Rng::new(board.seed, "lists");
    // `defaultList` is the first.
    let mut lists: Vec<No> = vec![0];
    for name in LISTS {
        lists.push(board.add_list(name, "none"));
    }
    for list in lists {
        for n in 0..rng.range(3, 7) {
            let task = task(board, &mut rng, n);
            board.add(list, task);
        }
    }
}

fn zoned(seconds: i64, zone: &str) -> Value {
    let time = rfc3339(seconds);
    json!({"dateTime": format!("{}.0000000", time.trim_end_matches('Z')), "timeZone": zone})
}

fn task(board: &mut Board, rng: &mut Rng, n: u64) -> Task {
    let created = (ANCHOR - rng.range(86_400, 200 * 86_400) as i64) * 1000 + rng.below(1000) as i64;
    let mut task = Task {
        created,
        modified: created,
        body_modified: created,
        ..Task::default()
    };
    let mut set = |name: &str, value: Value| drop(task.props.insert(name.to_owned(), value));
    set("title", json!(words(rng, 3)));
    match rng.below(3) {
        0 => set(
            "body",
            json!({"content": format!("<html><body><p>{}</p></body></html>", sentence(rng)), "contentType": "html"}),
        ),
        1 => set(
            "body",
            json!({"content": paragraph(rng), "contentType": "text"}),
        ),
        _ => {}
    }
    let status = [
        "notStarted",
        "inProgress",
        "completed",
        "waitingOnOthers",
        "deferred",
    ];
    set("status", json!(status[n as usize % status.len()]));
    set(
        "importance",
        json!(["normal", "high", "low"][rng.below(3) as usize]),
    );
    let day = ANCHOR + rng.range(0, 40) as i64 * 86_400;
    let zone = ["UTC", "W. Europe Standard Time", "Europe/Berlin"][rng.below(3) as usize];
    if n.is_multiple_of(2) {
        set("dueDateTime", zoned(day, zone));
        set("startDateTime", zoned(day - 86_400, zone));
    }
    if n % 3 == 1 {
        set("reminderDateTime", zoned(day + 9 * 3600, zone));
        set("isReminderOn", json!(true));
    }
    if n == 2 {
        set("completedDateTime", zoned(created / 1000 + 3600, "UTC"));
    }
    if n == 0 {
        let series = json!({"pattern": {"type": "weekly", "interval": 2, "daysOfWeek": ["monday", "thursday"]}, "range": {"type": "noEnd"}});
        let start = rfc3339(day)[..10].parse().ok();
        if let Some(series) = whole_recurrence(&series, start) {
            set("recurrence", series);
        }
    }
    if rng.chance(30) {
        set("categories", json!(["Red category"]));
    }
    if n.is_multiple_of(3) {
        for step in 0..rng.range(1, 3) {
            let mut item = part(
                board,
                json!({"displayName": words(rng, 2), "isChecked": step == 0, "createdDateTime": precise(created)}),
            );
            if step == 0 {
                item.insert("checkedDateTime".into(), json!(precise(created + 60_000)));
            }
            task.steps.push(item);
        }
    }
    if rng.chance(25) {
        let id = rng.below(100_000);
        task.links.push(part(board, json!({"applicationName": "Tickets", "displayName": format!("#{id}"), "externalId": id.to_string(), "webUrl": format!("https://tickets.example.org/{id}")})));
    }
    if n == 1 {
        task.files.push(File {
            no: 0,
            name: "Skizze – Grundriß.jpg".into(),
            content_type: "image/jpeg".into(),
            bytes: Bytes::from(photo::jpeg(rng.next(), 64, 48)),
            modified: created,
        });
        task.next_file = 1;
    }
    if rng.chance(10) {
        let extension =
            json!({"extensionName": "org.example.tickets", "estimate": 3, "blocked": false});
        task.extensions
            .push(extension.as_object().cloned().unwrap_or_default());
    }
    task
}

fn part(board: &mut Board, value: Value) -> Object {
    let mut out = value.as_object().cloned().unwrap_or_default();
    out.insert("id".into(), json!(board.fresh_id()));
    out
}
