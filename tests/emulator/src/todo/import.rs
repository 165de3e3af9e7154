//! Tasks out of the VTODOs of iCalendar files, as far as To Do's model can hold them.
//!
//! Alarms other than at a fixed time, attendees and what repeats by hours are lost, as they would be in
//! To Do.

use calcard::common::PartialDateTime;
use calcard::icalendar::{
    ICalendar, ICalendarComponent, ICalendarComponentType, ICalendarDay, ICalendarEntry,
    ICalendarFrequency, ICalendarParameterName, ICalendarProperty, ICalendarRecurrenceRule,
    ICalendarStatus, ICalendarValue,
};
use calcard::{Entry, Parser};
use serde_json::{Value, json};

use super::recurrence::{DAYS, INDEXES};
use super::store::Task;
use super::validate;
use crate::odata::Object;

/// The tasks in a file; for those that To Do cannot hold, why. Tasks that tell no time of their last
/// change were changed at `now_ms`, milliseconds since 1970.
pub fn read(text: &str, now_ms: i64) -> Vec<Result<Task, &'static str>> {
    let mut out = Vec::new();
    let mut parser = Parser::new(text);
    loop {
        match parser.entry() {
            Entry::ICalendar(calendar) => {
                let all = calendar.components.iter();
                let todos = all.filter(|c| c.component_type == ICalendarComponentType::VTodo);
                out.extend(todos.map(|todo| task(&calendar, todo, now_ms)));
            }
            Entry::InvalidLine(_) | Entry::VCard(_) => {}
            // What else is wrong with the file is for the calendar's import to tell.
            _ => return out,
        }
    }
}

fn task(
    calendar: &ICalendar,
    todo: &ICalendarComponent,
    now_ms: i64,
) -> Result<Task, &'static str> {
    let text = |name: &ICalendarProperty| {
        let value = todo.property(name)?.values.first()?.as_text()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let description = text(&ICalendarProperty::Description);
    let first_line = || description.as_ref()?.lines().next().map(str::to_owned);
    let title = text(&ICalendarProperty::Summary).or_else(first_line);
    let mut body = Object::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    set("title", Some(json!(title.ok_or("a task without a title")?)));
    set(
        "body",
        description.map(|text| json!({"content": text, "contentType": "text"})),
    );
    set("dueDateTime", todo.property(&ICalendarProperty::Due).and_then(zoned));
    set("startDateTime", todo.property(&ICalendarProperty::Dtstart).and_then(zoned));
    let completed = todo.property(&ICalendarProperty::Completed).and_then(zoned);
    let status = match todo.property(&ICalendarProperty::Status).map(|s| &s.values[..]) {
        Some([ICalendarValue::Status(ICalendarStatus::Completed), ..]) => "completed",
        Some([ICalendarValue::Status(ICalendarStatus::InProcess), ..]) => "inProgress",
        Some([ICalendarValue::Status(ICalendarStatus::Cancelled), ..]) => "deferred",
        _ if completed.is_some() => "completed",
        _ => "notStarted",
    };
    set("status", Some(json!(status)));
    set("completedDateTime", completed);
    let priority = todo.property(&ICalendarProperty::Priority);
    let priority = priority.and_then(|p| p.values.first()?.as_integer());
    let importance = match priority {
        Some(1..=4) => "high",
        Some(6..=9) => "low",
        _ => "normal",
    };
    set("importance", Some(json!(importance)));
    let categories: Vec<&str> = todo
        .entries
        .iter()
        .filter(|e| e.name == ICalendarProperty::Categories)
        .flat_map(|e| e.values.iter().filter_map(ICalendarValue::as_text))
        .collect();
    set("categories", Some(json!(categories)));
    set("reminderDateTime", reminder(calendar, todo));
    let rule = todo.property(&ICalendarProperty::Rrule);
    set(
        "recurrence",
        rule.and_then(|rule| match rule.values.first()? {
            ICalendarValue::RecurrenceRule(rule) => recurrence(rule),
            _ => None,
        }),
    );
    let at = |name: &ICalendarProperty| {
        let time = todo.property(name)?.values.first()?.as_partial_date_time()?;
        time.to_timestamp().filter(|t| *t > 0).map(|t| t * 1000)
    };
    let modified = at(&ICalendarProperty::LastModified).unwrap_or(now_ms);
    let mut out = Task {
        created: at(&ICalendarProperty::Created).unwrap_or(modified),
        modified,
        body_modified: modified,
        ..Task::default()
    };
    // A series without any day is none.
    if !body.contains_key("dueDateTime") {
        match body.get("startDateTime").cloned() {
            Some(start) if body.contains_key("recurrence") => {
                body.insert("dueDateTime".into(), start);
            }
            _ => drop(body.remove("recurrence")),
        }
    }
    validate::apply(&body, &mut out.props, modified).map_err(|_| "a task with values of no task")?;
    Ok(out)
}

/// A time as Graph writes it; the zone is the one it was written with.
fn zoned(entry: &ICalendarEntry) -> Option<Value> {
    let time = entry.values.first()?.as_partial_date_time()?;
    let zone = entry
        .params
        .iter()
        .find(|p| p.name == ICalendarParameterName::Tzid)
        .and_then(|p| p.value.as_text());
    Some(json!({"dateTime": civil(time)?, "timeZone": zone.unwrap_or("UTC")}))
}

fn civil(time: &PartialDateTime) -> Option<String> {
    let (hour, minute, second) = (
        time.hour.unwrap_or(0),
        time.minute.unwrap_or(0),
        time.second.unwrap_or(0),
    );
    let (year, month, day) = (time.year?, time.month?, time.day?);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.0000000"
    ))
}

/// The first alarm at a fixed time.
fn reminder(calendar: &ICalendar, todo: &ICalendarComponent) -> Option<Value> {
    todo.component_ids.iter().find_map(|id| {
        let alarm = calendar.components.get(*id as usize)?;
        let alarm = Some(alarm).filter(|a| a.component_type == ICalendarComponentType::VAlarm)?;
        zoned(alarm.property(&ICalendarProperty::Trigger)?)
    })
}

fn recurrence(rule: &ICalendarRecurrenceRule) -> Option<Value> {
    let days: Vec<&str> = rule.byday.iter().map(|day| DAYS[day.weekday as usize]).collect();
    let place = rule.byday.first().and_then(|day: &ICalendarDay| day.ordwk);
    let place = place.map(i32::from).or_else(|| rule.bysetpos.first().copied());
    let index = match place {
        Some(-1) => Some(INDEXES[4]),
        Some(n @ 1..=4) => Some(INDEXES[n as usize - 1]),
        _ => None,
    };
    let kind = match (rule.freq, index) {
        (ICalendarFrequency::Daily, _) => "daily",
        (ICalendarFrequency::Weekly, _) => "weekly",
        (ICalendarFrequency::Monthly, Some(_)) => "relativeMonthly",
        (ICalendarFrequency::Monthly, None) => "absoluteMonthly",
        (ICalendarFrequency::Yearly, Some(_)) => "relativeYearly",
        (ICalendarFrequency::Yearly, None) => "absoluteYearly",
        _ => return None,
    };
    let range = match (&rule.until, rule.count) {
        (Some(until), _) => json!({"type": "endDate", "endDate": civil(until)?[..10]}),
        (None, Some(count)) => json!({"type": "numbered", "numberOfOccurrences": count}),
        (None, None) => json!({"type": "noEnd"}),
    };
    Some(json!({
        "pattern": {"type": kind, "interval": rule.interval.unwrap_or(1), "daysOfWeek": days, "index": index,
            "month": rule.bymonth.first().map_or(0, |m| m.month()), "dayOfMonth": rule.bymonthday.first().map_or(0, |d| i32::from(*d).max(0)),
            "firstDayOfWeek": rule.wkst.map(|day| DAYS[day as usize])},
        "range": range,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(todo: &str) -> Result<Task, &'static str> {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VTODO\r\nUID:1\r\n{todo}END:VTODO\r\nEND:VCALENDAR\r\n"
        );
        let mut all = read(&text, 5_000);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn a_task_with_all_that_can_be_held() {
        let task = one(
            "SUMMARY:Gießen\r\nDESCRIPTION:two\\nlines\r\nDUE;TZID=Europe/Berlin:20260710T083000\r\nDTSTART;VALUE=DATE:20260701\r\n\
             PRIORITY:1\r\nSTATUS:IN-PROCESS\r\nCATEGORIES:A,B\r\nRRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=3\r\nLAST-MODIFIED:20260101T000000Z\r\n\
             BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER;VALUE=DATE-TIME:20260709T090000Z\r\nEND:VALARM\r\n",
        )
        .unwrap();
        let p = &task.props;
        assert_eq!(p["title"], "Gießen");
        assert_eq!(p["body"]["content"], "two\nlines");
        assert_eq!(p["dueDateTime"], json!({"dateTime": "2026-07-10T08:30:00.0000000", "timeZone": "Europe/Berlin"}));
        assert_eq!(p["startDateTime"]["dateTime"], "2026-07-01T00:00:00.0000000");
        assert_eq!((&p["importance"], &p["status"]), (&json!("high"), &json!("inProgress")));
        assert_eq!(p["categories"], json!(["A", "B"]));
        assert_eq!(p["reminderDateTime"]["dateTime"], "2026-07-09T09:00:00.0000000");
        assert_eq!(p["recurrence"]["pattern"]["type"], "relativeMonthly");
        assert_eq!(p["recurrence"]["pattern"]["index"], "last");
        assert_eq!(p["recurrence"]["range"]["numberOfOccurrences"], 3);
        assert_eq!(task.modified, 1_767_225_600_000);
    }

    #[test]
    fn little_is_enough_but_a_title() {
        let task = one("DESCRIPTION:first\\nrest\r\nCOMPLETED:20260701T153000Z\r\nRRULE:FREQ=DAILY\r\n").unwrap();
        assert_eq!((&task.props["title"], &task.props["status"]), (&json!("first"), &json!("completed")));
        assert!(!task.props.contains_key("recurrence"), "it begins on no day");
        assert!(one("PRIORITY:1\r\n").is_err());
        assert!(read("BEGIN:VCALENDAR\r\nBEGIN:VTODO\r\n", 0).len() < 2);
        assert!(read("nothing", 0).is_empty());
    }
}
