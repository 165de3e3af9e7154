//! Items as lists of MAPI properties, from Graph's form and back.
//!
//! One module for each kind of item. Each takes the item as Graph's JSON has it and makes a
//! [`MessageContent`] of it; the reverse takes out of the content what Graph has a name for and
//! leaves the rest as extended properties, so that nothing of a foreign item is lost on the way
//! through a mailbox.

pub mod attachment;
pub mod contact;
pub mod entry_id;
pub mod event;
pub mod event_read;
pub mod extended;
pub mod global_id;
pub mod message;
pub mod names;
pub mod others;
pub mod recurrence;
pub mod recurrence_blob;
pub mod restored;
pub mod task;
pub mod zone;

use serde_json::Value as Json;

use crate::clock::parse_rfc3339;
use crate::fasttransfer::{Name, Properties, Value};

/// What kind of item a message class stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Message,
    Appointment,
    Contact,
    List,
    Task,
    Note,
    Other,
}

impl Kind {
    pub fn of(class: &str) -> Kind {
        let class = class.to_ascii_lowercase();
        let is = |name: &str| {
            let rest = class.strip_prefix(name);
            rest.is_some_and(|r| r.is_empty() || r.starts_with('.'))
        };
        match () {
            _ if is("ipm.note") || is("ipm.schedule") || is("report") => Kind::Message,
            _ if is("ipm.appointment") => Kind::Appointment,
            _ if is("ipm.contact") => Kind::Contact,
            _ if is("ipm.distlist") => Kind::List,
            _ if is("ipm.task") => Kind::Task,
            _ if is("ipm.stickynote") => Kind::Note,
            _ => Kind::Other,
        }
    }
}

/// Seconds between 1601 and 1970.
const EPOCH: i64 = 11_644_473_600;
/// 100 ns in a second.
const TICKS: i64 = 10_000_000;

/// A time of the wire from seconds since 1970.
pub fn filetime(seconds: i64) -> i64 {
    (seconds + EPOCH) * TICKS
}

/// Seconds since 1970 from a time of the wire.
pub fn seconds(filetime: i64) -> i64 {
    filetime.div_euclid(TICKS) - EPOCH
}

/// A time of the wire from RFC 3339, to its last decimal.
pub fn filetime_of(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let ticks = time.as_nanosecond() / 100 + i128::from(EPOCH * TICKS);
    i64::try_from(ticks).ok()
}

/// A time of the wire as RFC 3339.
pub fn time_text(filetime: i64) -> String {
    let nanos = (i128::from(filetime) - i128::from(EPOCH * TICKS)) * 100;
    match jiff::Timestamp::from_nanosecond(nanos) {
        Ok(time) => time.to_string(),
        Err(_) => "0001-01-01T00:00:00Z".to_owned(),
    }
}

/// Seconds since 1970 of a `dateTimeTimeZone` in UTC.
pub fn zoned_seconds(value: &Json) -> Option<i64> {
    let text = value["dateTime"].as_str()?;
    parse_rfc3339(&format!("{}Z", text.trim_end_matches('Z')))
}

/// A `dateTimeTimeZone` in UTC.
pub fn zoned(seconds: i64) -> Json {
    let text = crate::clock::rfc3339(seconds);
    serde_json::json!({"dateTime": format!("{}.0000000", text.trim_end_matches('Z')), "timeZone": "UTC"})
}

/// Adds properties in the order they are written down.
pub struct Builder(pub Properties);

impl Builder {
    pub fn new() -> Builder {
        Builder(Properties::default())
    }

    pub fn add(&mut self, name: impl Into<Name>, value: Value) -> &mut Builder {
        self.0.set(name.into(), value);
        self
    }

    pub fn text(&mut self, name: impl Into<Name>, text: &str) -> &mut Builder {
        self.add(name, Value::Text(text.to_owned()))
    }

    /// Left out when there is none.
    pub fn some_text(&mut self, name: impl Into<Name>, text: Option<&str>) -> &mut Builder {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    pub fn int(&mut self, name: impl Into<Name>, n: i32) -> &mut Builder {
        self.add(name, Value::I32(n))
    }

    pub fn bool(&mut self, name: impl Into<Name>, b: bool) -> &mut Builder {
        self.add(name, Value::Bool(b))
    }

    /// `at`: seconds since 1970.
    pub fn time(&mut self, name: impl Into<Name>, at: i64) -> &mut Builder {
        self.add(name, Value::Time(filetime(at)))
    }

    pub fn some_time(&mut self, name: impl Into<Name>, at: Option<i64>) -> &mut Builder {
        match at {
            Some(at) => self.time(name, at),
            None => self,
        }
    }

    pub fn binary(&mut self, name: impl Into<Name>, bytes: Vec<u8>) -> &mut Builder {
        self.add(name, Value::Binary(bytes))
    }
}

impl From<u16> for Name {
    fn from(tag: u16) -> Name {
        Name::Tag(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_to_the_wire_and_back() {
        assert_eq!(
            filetime_of("2026-03-01T09:00:00Z"),
            Some(134_168_292_000_000_000)
        );
        let exact = "2026-03-01T09:00:00.1234567Z";
        assert_eq!(filetime_of(exact).map(time_text).as_deref(), Some(exact));
        assert_eq!(seconds(filetime(5)), 5);
        assert_eq!(time_text(i64::MAX), "0001-01-01T00:00:00Z");
        assert_eq!(zoned_seconds(&zoned(1_772_355_605)), Some(1_772_355_605));
    }
}
