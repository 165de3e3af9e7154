//! A VEVENT as the record Exchange would keep of it, as far as Graph's model holds it.

use std::collections::HashMap;

use bytes::Bytes;
use calcard::common::PartialDateTime;
use calcard::icalendar::{
    ICalendar, ICalendarComponent, ICalendarComponentType, ICalendarEntry, ICalendarParameterName,
    ICalendarValue, Uri,
};
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, ToSpan as _};
use serde_json::{Value, json};

use super::record::{Exception, Organizer, Record, Span, Uid};
use super::rule::{self, Reason};
use super::validate;
use super::zone::Zone;
use crate::attachments::{Attachment, AttachmentKind};
use crate::odata::Object;

/// When an event was made that does not say so; see [`crate::seed::ANCHOR`].
const UNTOLD: i64 = crate::seed::ANCHOR;

/// Local time, and the instant when the value tells its offset. `None`: no date.
pub fn time_of(value: &PartialDateTime) -> Option<(DateTime, Option<i64>)> {
    let part = |n: Option<u8>| i8::try_from(n.unwrap_or(0)).ok();
    let day = Date::new(
        i16::try_from(value.year?).ok()?,
        part(Some(value.month?))?,
        part(Some(value.day?))?,
    )
    .ok()?;
    // A leap second is the second before it.
    let second = part(value.second)?.min(59);
    let at = DateTime::from_parts(
        day,
        jiff::civil::Time::new(part(value.hour)?, part(value.minute)?, second, 0).ok()?,
    );
    let offset = value.tz_hour.map(|hours| {
        let seconds = i32::from(hours) * 3600 + i32::from(value.tz_minute.unwrap_or(0)) * 60;
        if value.tz_minus { -seconds } else { seconds }
    });
    let instant = match offset {
        None => None,
        Some(seconds) => Some(
            Offset::from_seconds(seconds)
                .ok()?
                .to_timestamp(at)
                .ok()?
                .as_second(),
        ),
    };
    Some((at, instant))
}

/// Reads the events of one iCalendar object.
pub struct Reader<'a> {
    calendar: &'a ICalendar,
    /// The zones the object defines, by TZID.
    zones: HashMap<String, Zone>,
    /// Address of the user whose calendar it becomes.
    user: &'a str,
}

impl<'a> Reader<'a> {
    pub fn new(calendar: &'a ICalendar, user: &'a str) -> Reader<'a> {
        let zones = calendar
            .components
            .iter()
            .filter(|c| c.component_type == ICalendarComponentType::VTimezone);
        let zones = zones
            .filter_map(|c| Some((text(c, "TZID")?.to_owned(), defined_zone(calendar, c)?)))
            .collect();
        Reader {
            calendar,
            zones,
            user,
        }
    }

    /// The event of `master` with what `overrides` change of its days; also why some of them do not.
    pub fn event(
        &self,
        master: &ICalendarComponent,
        overrides: &[&ICalendarComponent],
    ) -> Result<(Record, Vec<Reason>), Reason> {
        let mut record = self.single(master)?;
        let rules = entries(master, "RRULE").count();
        for (name, reason) in [
            ("RDATE", "single dates besides the rule"),
            ("EXRULE", "a rule of exceptions"),
        ] {
            if entry(master, name).is_some() {
                return Err(reason);
            }
        }
        if rules > 1 {
            return Err("several rules");
        }
        let mut left = Vec::new();
        if let Some(value) = entry(master, "RRULE").and_then(|e| e.values.first()) {
            let ICalendarValue::RecurrenceRule(found) = value else {
                return Err("a rule that cannot be read");
            };
            record.recurrence = Some(rule::read(found, &record.span)?);
            self.cancelled(master, &mut record);
            for component in overrides {
                if let Err(reason) = self.exception(component, &mut record) {
                    left.push(reason);
                }
            }
        } else {
            left.extend(
                overrides
                    .iter()
                    .map(|_| "an exception of an event that is no series"),
            );
        }
        Ok((record, left))
    }

    fn cancelled(&self, master: &ICalendarComponent, record: &mut Record) {
        for entry in entries(master, "EXDATE") {
            for value in &entry.values {
                let day = self.day_of(entry, value, record);
                // A date the series does not fall on excludes nothing.
                if let Some(day) = day.filter(|d| record.has_day(*d)) {
                    record.cancelled.insert(day);
                }
            }
        }
    }

    /// The day of a series that an EXDATE or RECURRENCE-ID means.
    fn day_of(
        &self,
        entry: &ICalendarEntry,
        value: &ICalendarValue,
        record: &Record,
    ) -> Option<Date> {
        let ICalendarValue::PartialDateTime(value) = value else {
            return None;
        };
        let zone = &record.recurrence.as_ref()?.zone;
        let (at, zoned) = self.zoned(entry, value)?;
        if value.hour.is_none() || record.span.all_day {
            return Some(at.date());
        }
        Some(match zoned {
            Some(other) => zone.local(other.instant(at)).date(),
            None => at.date(),
        })
    }

    fn exception(&self, component: &ICalendarComponent, record: &mut Record) -> Result<(), Reason> {
        let id = entry(component, "RECURRENCE-ID").ok_or("an exception of no day")?;
        if id
            .parameters(&ICalendarParameterName::Range)
            .next()
            .is_some()
        {
            return Err("an exception of all days from one on");
        }
        let value = id.values.first().ok_or("an exception of no day")?;
        let day = self
            .day_of(id, value, record)
            .ok_or("an exception of no day")?;
        if !record.has_day(day) {
            return Err("an exception of a day the series does not fall on");
        }
        let own = self.single(component)?;
        let planned = record.planned_on(day);
        let mut props = Object::new();
        for (name, value) in own.props {
            if record.props.get(&name) != Some(&value) {
                props.insert(name, value);
            }
        }
        let moved =
            own.span.instants() != planned.instants() || own.span.all_day != planned.all_day;
        let attachments = (!own.attachments.is_empty()).then_some(own.attachments);
        let exception = Exception {
            props,
            span: moved.then_some(own.span),
            attachments,
            extended: Default::default(),
            modified: own.modified,
        };
        record.exceptions.insert(day, exception);
        Ok(())
    }

    /// Everything of a component but what makes it a series.
    pub fn single(&self, component: &ICalendarComponent) -> Result<Record, Reason> {
        let span = self.span(component)?;
        let mut props = validate::defaults(span.all_day);
        let written =
            validate::kept(&self.props(component)).map_err(|_| "a value that Exchange refuses")?;
        props.extend(written);
        if text(component, "STATUS").is_some_and(|s| s.eq_ignore_ascii_case("CANCELLED")) {
            props.insert("isCancelled".into(), json!(true));
        }
        self.people(component, &mut props)?;
        let organizer = self.organizer(component);
        let response = if organizer.is_some() {
            "notResponded"
        } else {
            "organizer"
        };
        let status = json!({"response": response, "time": "0001-01-01T00:00:00Z"});
        props.insert("responseStatus".into(), status);
        let stamp = |names: &[&str]| names.iter().find_map(|n| self.instant(component, n));
        let created = stamp(&["CREATED", "DTSTAMP", "LAST-MODIFIED"]).unwrap_or(UNTOLD);
        let modified = stamp(&["LAST-MODIFIED", "DTSTAMP", "CREATED"]).unwrap_or(UNTOLD);
        let attachments = attachments(component, modified);
        Ok(Record {
            props,
            span,
            recurrence: None,
            exceptions: Default::default(),
            cancelled: Default::default(),
            dropped: Default::default(),
            uid: Uid::Foreign(text(component, "UID").unwrap_or_default().to_owned()),
            created,
            modified,
            organizer,
            extended: Default::default(),
            next_attachment: attachments.len() as u32,
            attachments,
        })
    }

    fn instant(&self, component: &ICalendarComponent, name: &str) -> Option<i64> {
        let entry = entry(component, name)?;
        let ICalendarValue::PartialDateTime(value) = entry.values.first()? else {
            return None;
        };
        let (at, zone) = self.zoned(entry, value)?;
        Some(zone.unwrap_or_else(Zone::utc).instant(at))
    }

    /// A local time and its zone; `None` for times that belong to no zone.
    fn zoned(
        &self,
        entry: &ICalendarEntry,
        value: &PartialDateTime,
    ) -> Option<(DateTime, Option<Zone>)> {
        let (at, instant) = time_of(value)?;
        if let Some(seconds) = instant {
            return Some((Zone::utc().local(seconds), Some(Zone::utc())));
        }
        let name = entry
            .parameters(&ICalendarParameterName::Tzid)
            .next()
            .and_then(|v| v.as_text());
        Some((at, name.and_then(|n| self.zone(n))))
    }

    /// A zone by its name or as the object defines it; `/mozilla.org/20070129_1/Europe/Berlin` ends with
    /// a name.
    fn zone(&self, id: &str) -> Option<Zone> {
        let parts: Vec<&str> = id.split('/').collect();
        let named = (0..parts.len()).find_map(|n| Zone::find(&parts[n..].join("/")));
        named.or_else(|| self.zones.get(id).cloned())
    }

    fn span(&self, component: &ICalendarComponent) -> Result<Span, Reason> {
        let start = entry(component, "DTSTART").ok_or("no start")?;
        let Some(ICalendarValue::PartialDateTime(value)) = start.values.first() else {
            return Err("a start that is no date");
        };
        let (at, zone) = self.zoned(start, value).ok_or("a start that is no date")?;
        let named = start
            .parameters(&ICalendarParameterName::Tzid)
            .next()
            .is_some();
        let all_day = value.hour.is_none();
        if zone.is_none() && named && !all_day {
            return Err("a time zone that nobody knows");
        }
        let start_zone = zone.unwrap_or_else(Zone::utc);
        let duration = entry(component, "DURATION").and_then(|e| match e.values.first() {
            Some(ICalendarValue::Duration(d)) => Some(d.as_seconds()),
            _ => None,
        });
        let (mut end, mut end_zone) = (at, start_zone.clone());
        if let Some(entry) = entry(component, "DTEND") {
            let Some(ICalendarValue::PartialDateTime(value)) = entry.values.first() else {
                return Err("an end that is no date");
            };
            let (found, zone) = self.zoned(entry, value).ok_or("an end that is no date")?;
            (end, end_zone) = (found, zone.unwrap_or_else(|| start_zone.clone()));
        } else if let Some(seconds) = duration {
            end = at
                .checked_add(SignedDuration::from_secs(seconds))
                .map_err(|_| "an end that is no date")?;
        }
        if all_day {
            end_zone = start_zone.clone();
            end = end
                .date()
                .max(at.date())
                .to_datetime(jiff::civil::Time::midnight());
            if end == at {
                end = at.saturating_add(1.days());
            }
        }
        let span = Span {
            start: at,
            end,
            start_zone,
            end_zone,
            all_day,
        };
        let (from, to) = span.instants();
        if to < from {
            return Err("an end before its start");
        }
        Ok(span)
    }

    fn props(&self, component: &ICalendarComponent) -> Object {
        let mut out = Object::new();
        let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
        let said = |name: &str| {
            text(component, name)
                .map(str::to_ascii_uppercase)
                .unwrap_or_default()
        };
        set(
            "subject",
            json!(text(component, "SUMMARY").unwrap_or_default()),
        );
        match (
            text(component, "X-ALT-DESC"),
            text(component, "DESCRIPTION"),
        ) {
            (Some(html), _) => set("body", json!({"contentType": "html", "content": html})),
            (None, description) => set(
                "body",
                json!({"contentType": "text", "content": description.unwrap_or_default()}),
            ),
        };
        if let Some(place) = text(component, "LOCATION").filter(|p| !p.is_empty()) {
            set("location", json!({"displayName": place}));
        }
        let categories: Vec<&str> = entries(component, "CATEGORIES")
            .flat_map(|e| &e.values)
            .filter_map(ICalendarValue::as_text)
            .collect();
        set("categories", json!(categories));
        set(
            "sensitivity",
            json!(match said("CLASS").as_str() {
                "PRIVATE" => "private",
                "CONFIDENTIAL" => "confidential",
                _ => "normal",
            }),
        );
        set(
            "showAs",
            json!(match (
                said("X-MICROSOFT-CDO-BUSYSTATUS").as_str(),
                said("STATUS").as_str(),
                said("TRANSP").as_str()
            ) {
                ("FREE", ..) => "free",
                ("TENTATIVE", ..) => "tentative",
                ("OOF", ..) => "oof",
                ("WORKINGELSEWHERE", ..) => "workingElsewhere",
                (_, "TENTATIVE", _) => "tentative",
                (_, _, "TRANSPARENT") => "free",
                _ => "busy",
            }),
        );
        let priority = entry(component, "PRIORITY")
            .and_then(|e| e.values.first())
            .and_then(ICalendarValue::as_integer);
        set(
            "importance",
            json!(match priority {
                Some(1..=4) => "high",
                Some(6..=9) => "low",
                _ => "normal",
            }),
        );
        let reminder = self.reminder(component);
        set("isReminderOn", json!(reminder.is_some()));
        if let Some(minutes) = reminder {
            set("reminderMinutesBeforeStart", json!(minutes));
        }
        out
    }

    /// Minutes before the start of the first alarm that has such.
    fn reminder(&self, component: &ICalendarComponent) -> Option<i64> {
        let alarms = component
            .component_ids
            .iter()
            .filter_map(|id| self.calendar.component_by_id(*id));
        alarms
            .filter(|c| c.component_type == ICalendarComponentType::VAlarm)
            .filter_map(|alarm| match entry(alarm, "TRIGGER")?.values.first()? {
                ICalendarValue::Duration(before) => Some(-before.as_seconds() / 60),
                _ => None,
            })
            .find(|minutes| (0..=i64::from(i32::MAX)).contains(minutes))
    }

    fn organizer(&self, component: &ICalendarComponent) -> Option<Organizer> {
        let entry = entry(component, "ORGANIZER")?;
        let address = entry.calendar_address()?.to_owned();
        if address.is_empty() || address.eq_ignore_ascii_case(self.user) {
            return None;
        }
        let name = parameter(entry, &ICalendarParameterName::Cn)
            .unwrap_or(&address)
            .to_owned();
        Some(Organizer { name, address })
    }

    fn people(&self, component: &ICalendarComponent, props: &mut Object) -> Result<(), Reason> {
        let mut all = Vec::new();
        for entry in entries(component, "ATTENDEE") {
            let Some(address) = entry.calendar_address().filter(|a| !a.is_empty()) else {
                continue;
            };
            let told = |name: &ICalendarParameterName| {
                parameter(entry, name)
                    .map(str::to_ascii_uppercase)
                    .unwrap_or_default()
            };
            let response = match told(&ICalendarParameterName::Partstat).as_str() {
                "ACCEPTED" => "accepted",
                "DECLINED" => "declined",
                "TENTATIVE" => "tentativelyAccepted",
                _ => "none",
            };
            let resource = matches!(
                told(&ICalendarParameterName::Cutype).as_str(),
                "RESOURCE" | "ROOM"
            );
            let kind = match told(&ICalendarParameterName::Role).as_str() {
                _ if resource => "resource",
                "OPT-PARTICIPANT" => "optional",
                _ => "required",
            };
            let name = parameter(entry, &ICalendarParameterName::Cn).unwrap_or(address);
            all.push(json!({"type": kind, "status": {"response": response, "time": "0001-01-01T00:00:00Z"},
                "emailAddress": {"name": name, "address": address}}));
        }
        if all.len() > 500 {
            return Err("more than 500 attendees");
        }
        props.insert("attendees".into(), Value::Array(all));
        Ok(())
    }
}

pub fn entries<'a>(
    component: &'a ICalendarComponent,
    name: &'a str,
) -> impl Iterator<Item = &'a ICalendarEntry> {
    component
        .entries
        .iter()
        .filter(move |e| e.name.as_str().eq_ignore_ascii_case(name))
}

pub fn entry<'a>(component: &'a ICalendarComponent, name: &'a str) -> Option<&'a ICalendarEntry> {
    entries(component, name).next()
}

pub fn text<'a>(component: &'a ICalendarComponent, name: &'a str) -> Option<&'a str> {
    entry(component, name)?.values.first()?.as_text()
}

fn parameter<'a>(entry: &'a ICalendarEntry, name: &'a ICalendarParameterName) -> Option<&'a str> {
    entry.parameters(name).next()?.as_text()
}

/// What is inside becomes a file, what is elsewhere a reference.
fn attachments(component: &ICalendarComponent, modified: i64) -> Vec<Attachment> {
    let kinds = entries(component, "ATTACH").filter_map(|entry| {
        let type_told = parameter(entry, &ICalendarParameterName::Fmttype).map(str::to_owned);
        let (kind, name, content_type) = match entry.values.first()? {
            ICalendarValue::Binary(bytes) => (AttachmentKind::File(Bytes::from(bytes.clone())), None, type_told),
            // The parser shows decoded bytes that happen to be UTF-8 as text.
            ICalendarValue::Text(text) if parameter(entry, &ICalendarParameterName::Value) == Some("BINARY") => {
                (AttachmentKind::File(Bytes::from(text.clone())), None, type_told)
            }
            ICalendarValue::Uri(Uri::Data(data)) => {
                let kind = AttachmentKind::File(Bytes::from(data.data.clone()));
                (kind, None, type_told.or(data.content_type.clone()))
            }
            ICalendarValue::Uri(Uri::Location(place)) => (AttachmentKind::Reference, place.rsplit('/').next().map(str::to_owned), type_told),
            _ => return None,
        };
        let told = entry.params.iter().find(|p| matches!(&p.name, ICalendarParameterName::Other(n) if n.eq_ignore_ascii_case("X-FILENAME")));
        let told = told.and_then(|p| p.value.as_text()).or(parameter(entry, &ICalendarParameterName::Filename));
        Some((kind, told.map(str::to_owned).or(name), content_type))
    });
    kinds
        .enumerate()
        .map(|(no, (kind, name, content_type))| Attachment {
            no: no as u32,
            kind,
            name: name
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| format!("Attachment {no}")),
            content_type,
            is_inline: false,
            content_id: None,
            content_location: None,
            modified,
        })
        .collect()
}

/// The zone a VTIMEZONE defines: the last rules it tells, as POSIX writes them.
fn defined_zone(calendar: &ICalendar, component: &ICalendarComponent) -> Option<Zone> {
    if let Some(named) = text(component, "X-LIC-LOCATION").and_then(Zone::find) {
        return Some(named);
    }
    let last = |kind: ICalendarComponentType| {
        let parts = component
            .component_ids
            .iter()
            .filter_map(|id| calendar.component_by_id(*id));
        let parts = parts.filter(|c| c.component_type == kind);
        parts.max_by_key(|c| start_of(c))
    };
    let standard = last(ICalendarComponentType::Standard)?;
    let (offset, _) = posix_part(standard)?;
    let daylight = last(ICalendarComponentType::Daylight).filter(|d| entry(d, "RRULE").is_some());
    let text = match (daylight, posix_part(standard)?.1) {
        (Some(daylight), Some(back)) => {
            let (summer, forth) = posix_part(daylight)?;
            format!("<STD>{offset}<DST>{summer},{},{back}", forth?)
        }
        _ => format!("<STD>{offset}"),
    };
    Some(Zone::custom(TimeZone::posix(&text).ok()?))
}

fn start_of(component: &ICalendarComponent) -> Option<DateTime> {
    match entry(component, "DTSTART")?.values.first()? {
        ICalendarValue::PartialDateTime(value) => Some(time_of(value)?.0),
        _ => None,
    }
}

/// Offset of STANDARD or DAYLIGHT as POSIX writes it, and when it begins each year: `M3.5.0/2:00:00`.
fn posix_part(component: &ICalendarComponent) -> Option<(String, Option<String>)> {
    let ICalendarValue::PartialDateTime(offset) = entry(component, "TZOFFSETTO")?.values.first()?
    else {
        return None;
    };
    // POSIX counts west of UTC.
    let sign = if offset.tz_minus { "" } else { "-" };
    let offset = format!(
        "{sign}{}:{:02}",
        offset.tz_hour?,
        offset.tz_minute.unwrap_or(0)
    );
    let rule = match entry(component, "RRULE").and_then(|e| e.values.first()) {
        Some(ICalendarValue::RecurrenceRule(rule)) => rule,
        _ => return Some((offset, None)),
    };
    let (Some(month), Some(day)) = (rule.bymonth.first(), rule.byday.first()) else {
        return Some((offset, None));
    };
    let week = match day.ordwk.unwrap_or(1) {
        -1 => 5,
        n @ 1..=4 => n,
        _ => return None,
    };
    let at = start_of(component)?.time();
    let weekday = day.weekday as u8;
    let begins = format!(
        "M{}.{week}.{weekday}/{}:{:02}:{:02}",
        month.month(),
        at.hour(),
        at.minute(),
        at.second()
    );
    Some((offset, Some(begins)))
}
