//! Calendars: Graph's event as a `.ics` file (RFC 5545), and a `.ics` file as Graph's event.
//!
//! [`from_json`] writes one file per event: a single one, or a series with its exceptions and
//! cancelled dates. [`read`] is for restoring a file that no snapshot knows: what Graph cannot hold
//! (several rules, extra dates, rules that are not Graph's) is refused, never changed in silence;
//! what an event merely loses (a second alarm, a link) is told as a note.
//!
//! The same record and attachments give the same bytes at every time.

mod properties;
mod read;
mod rrule;
mod rule;
mod syntax;
mod time;
pub mod todo;
mod tzid;
mod write;

#[cfg(test)]
mod tests;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use super::eml::Attachment;
use super::zones::Zone;

pub use read::{attachments, read};
pub use syntax::MAX_FILE;
pub use write::from_json;

/// Why a file is not restored as an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not iCalendar as RFC 5545 has it. Line 0: the file as a whole.
    #[error("this is no good calendar file: {}{what}", if *line > 0 { format!("line {line}: ") } else { String::new() })]
    Syntax {
        /// From 1.
        line: usize,
        /// For people.
        what: String,
    },
    /// There is no event in it.
    #[error("there is no event in this file ({0})")]
    NoEvent(String),
    /// It is a calendar, not an event.
    #[error(
        "this file holds {0} events: split it into one file for each event (all VEVENTs of one UID)"
    )]
    Several(usize),
    /// Exchange would make something else of it.
    #[error("Exchange cannot hold this event as it is: {0}")]
    Unsupported(String),
}

fn unsupported(what: impl Into<String>) -> Refusal {
    Refusal::Unsupported(what.into())
}

/// An event out of a file, as Graph has events.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    /// Its properties under Graph's names, with `attendees` and `organizer` as the file has them.
    pub event: Value,
    /// What is attached to the event, or the series.
    pub attachments: Vec<Attachment>,
    /// Occurrences that are not as the others.
    pub exceptions: Vec<Exception>,
    /// Days of the series without an occurrence, in order.
    pub cancelled: Vec<Date>,
    /// What it loses.
    pub notes: Vec<String>,
}

/// An occurrence of a series that is not as the others.
#[derive(Clone, Debug, Default)]
pub struct Exception {
    /// The day of the series that it stands for, in the series' zone.
    pub day: Date,
    /// The whole occurrence under Graph's names, without recurrence.
    pub event: Value,
    /// What is attached to this one.
    pub attachments: Vec<Attachment>,
}

/// When a series' occurrences are, as far as restoring must know.
#[derive(Clone, Debug)]
pub struct Series {
    start: time::When,
    zone: Zone,
    rule: rule::Rule,
    /// How many days later its days are than the record tells them.
    moved: i32,
}

impl Series {
    /// Of a record's or a file's event. `None`: it is no series, or of a kind that is not known.
    pub fn of(event: &Value) -> Option<Self> {
        let span = write::Span::of(event, &Zone::utc());
        let (rule, moved) = write::rule(event, &span);
        Some(Self {
            rule: rule?,
            start: span.start?,
            zone: span.zone,
            moved: moved.unwrap_or_default(),
        })
    }

    /// The zone in which days of the series are days.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// When the occurrence of a day starts. For all-day series midnight of that day in UTC.
    pub fn start_on(&self, day: Date) -> Option<Timestamp> {
        self.start.on(day).instant()
    }

    /// The day of the occurrence that started at an instant (`originalStart`).
    pub fn day_of(&self, original: &Value) -> Option<Date> {
        Some(time::original(original, self.is_all_day(), &self.zone)?.date())
    }

    /// The day of the series that an entry of its record's `cancelledOccurrences` names.
    pub fn cancelled(&self, entry: &Value) -> Option<Date> {
        cancelled_day(entry)?.checked_add(self.moved.days()).ok()
    }

    /// Whether its occurrences are whole days.
    pub fn is_all_day(&self) -> bool {
        matches!(self.start, time::When::Day(_))
    }

    /// Whether an occurrence, as Graph tells it, is the one of a day.
    pub fn is_occurrence(&self, instance: &Value, day: Date) -> bool {
        let expected = self.start.on(day);
        match write::Span::of(instance, &self.zone).start {
            Some(time::When::Day(date)) => date == day,
            Some(at) => at.instant() == expected.instant(),
            None => false,
        }
    }

    /// The last day with an occurrence, for series that end.
    pub fn last_day(&self) -> Option<Date> {
        self.rule.last(self.start.date())
    }

    /// The days of the series from its first one.
    pub fn days(&self) -> impl Iterator<Item = Date> + '_ {
        self.rule.dates(self.start.date())
    }

    /// `recurrence` as Graph wants it, the days counted in the series' zone.
    pub fn recurrence(&self) -> Value {
        self.rule.to_graph(self.start.date(), &self.zone)
    }
}

/// Start and end as Graph wants them, in the zone that the event was made in; and when it ends.
pub fn times(event: &Value) -> Option<(Value, Value, Timestamp)> {
    let span = write::Span::of(event, &Zone::utc());
    let (start, end) = (span.start?, span.end?);
    let over = end.instant()?;
    Some((start.graph(&span.zone), end.graph(&span.zone), over))
}

/// When an event is: start, end and rule, however they are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    start: Timestamp,
    end: Timestamp,
    all_day: bool,
    rule: Option<rule::Rule>,
}

impl Schedule {
    /// When it begins (a series: the first time).
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// From start to end.
    pub fn length(&self) -> jiff::SignedDuration {
        self.end.duration_since(self.start)
    }
}

/// See [`Schedule`]. `None` for an event without times.
pub fn schedule(event: &Value) -> Option<Schedule> {
    let span = write::Span::of(event, &Zone::utc());
    let (mut rule, _) = write::rule(event, &span);
    if let Some(rule) = &mut rule {
        // Where weeks begin matters to rules of several weeks only.
        let weeks = matches!(rule.pattern, rule::Pattern::Weekly(_)) && rule.interval > 1;
        if !weeks {
            rule.week_start = jiff::civil::Weekday::Monday;
        }
    }
    Some(Schedule {
        start: span.start.as_ref()?.instant()?,
        end: span.end?.instant()?,
        all_day: matches!(span.start, Some(time::When::Day(_))),
        rule,
    })
}

/// The local start of an event and whether it is a whole day, for its name.
pub fn local_start(event: &Value) -> Option<(jiff::civil::DateTime, bool)> {
    match write::Span::of(event, &Zone::utc()).start? {
        time::When::Day(date) => Some((date.at(0, 0, 0, 0), true)),
        time::When::At { local, .. } => Some((local, false)),
    }
}

/// The day that an entry of `cancelledOccurrences` names (`OID.<master>.<yyyy-mm-dd>`: the master's
/// id may have dots).
pub fn cancelled_day(entry: &Value) -> Option<Date> {
    let (_, day) = entry.as_str()?.rsplit_once('.')?;
    day.parse().ok()
}
