//! An event as Graph shows it: what was asked for, in the form that was asked for.

use serde_json::{Value, json};

use super::record::{Record, read_time, show_time, unknown_zone};
use super::store::{Book, Which};
use super::zone::Zone;
use crate::api::{ApiRequest, ApiResponse, Version};
use crate::attachments;
use crate::clock::rfc3339;
use crate::mail::content::Text;
use crate::mail::json::{preview, shown};
use crate::mail::properties::{PropertyValue, Wanted};
use crate::odata::{Object, Select};

/// Properties that may be named in `$select`.
pub const KNOWN: &[&str] = &[
    "id",
    "createdDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "categories",
    "transactionId",
    "originalStartTimeZone",
    "originalEndTimeZone",
    "iCalUId",
    "reminderMinutesBeforeStart",
    "isReminderOn",
    "hasAttachments",
    "subject",
    "bodyPreview",
    "importance",
    "sensitivity",
    "isAllDay",
    "isCancelled",
    "isOrganizer",
    "responseRequested",
    "seriesMasterId",
    "showAs",
    "type",
    "webLink",
    "onlineMeetingUrl",
    "isOnlineMeeting",
    "onlineMeetingProvider",
    "allowNewTimeProposals",
    "isDraft",
    "hideAttendees",
    "originalStart",
    "responseStatus",
    "body",
    "start",
    "end",
    "location",
    "locations",
    "recurrence",
    "attendees",
    "organizer",
    "onlineMeeting",
    "cancelledOccurrences",
    "exceptionOccurrences",
    "attachments",
    "extensions",
    "instances",
    "calendar",
    "singleValueExtendedProperties",
    "multiValueExtendedProperties",
];
/// What only `/beta` has.
const BETA: &[&str] = &["uid", "occurrenceId"];

/// How events are to be shown: everything of the request that matters.
#[derive(Clone)]
pub struct View {
    pub select: Select,
    pub wanted: Wanted,
    /// `$expand=attachments`, with its own `$select`.
    attachments: Option<Select>,
    expand_items: bool,
    /// `$expand=exceptionOccurrences`: how those are shown.
    exceptions: Option<Box<View>>,
    pub immutable: bool,
    /// `Prefer: outlook.body-content-type`: true for HTML.
    html: Option<bool>,
    unsafe_html: bool,
    /// The zone of `start` and `end`, and its name as it was asked for.
    zone: Zone,
    zone_name: String,
    beta: bool,
    /// The token may see no bodies and attachments (`Calendars.ReadBasic`).
    basic: bool,
}

impl View {
    pub fn of(request: &ApiRequest) -> Result<View, ApiResponse> {
        View::new(request, request.option("select"), request.option("expand"))
    }

    pub fn new(
        request: &ApiRequest,
        select: Option<&str>,
        expand: Option<&str>,
    ) -> Result<View, ApiResponse> {
        let beta = request.version == Version::Beta;
        let known: Vec<&str> = match beta {
            true => KNOWN.iter().chain(BETA).copied().collect(),
            false => KNOWN.to_vec(),
        };
        let zone_name = request
            .prefer("outlook.timezone")
            .unwrap_or("UTC".to_owned());
        let mut view = View {
            select: Select::parse(select, "microsoft.graph.event", &known)?,
            wanted: Wanted::default(),
            attachments: None,
            expand_items: false,
            exceptions: None,
            immutable: request.immutable_ids(),
            html: request
                .prefer("outlook.body-content-type")
                .map(|t| t.eq_ignore_ascii_case("html")),
            unsafe_html: request.prefer("outlook.allow-unsafe-html").is_some(),
            zone: Zone::find(&zone_name).ok_or_else(|| unknown_zone(&zone_name))?,
            zone_name,
            beta,
            basic: super::basic_only(request),
        };
        for (name, inner) in parts(expand.unwrap_or_default(), ',') {
            let options = |wanted: &str| {
                let mut all = parts(inner, ';').into_iter();
                all.find_map(|(option, rest)| {
                    let (key, value) = option.split_once('=')?;
                    let fits = key.trim_start_matches('$').eq_ignore_ascii_case(wanted);
                    fits.then(|| match rest {
                        "" => value.to_owned(),
                        rest => format!("{value}({rest})"),
                    })
                })
            };
            match name.to_ascii_lowercase().as_str() {
                "attachments" => {
                    let select = options("select");
                    let known = attachments::KNOWN;
                    view.attachments = Some(Select::parse(
                        select.as_deref(),
                        "microsoft.graph.attachment",
                        known,
                    )?);
                    view.expand_items = inner.to_ascii_lowercase().contains("itemattachment/item");
                }
                "exceptionoccurrences" => {
                    let (select, expand) = (options("select"), options("expand"));
                    let inner = View::new(request, select.as_deref(), expand.as_deref())?;
                    view.exceptions = Some(Box::new(inner));
                }
                "singlevalueextendedproperties" | "multivalueextendedproperties" => {
                    let found = Wanted::parse(&format!("{name}({inner})"));
                    view.wanted.single.extend(found.single);
                    view.wanted.multi.extend(found.multi);
                }
                "extensions" | "" => {}
                _ => {
                    return Err(ApiResponse::error(
                        400,
                        "BadRequest",
                        &format!(
                            "Parsing OData Select and Expand failed: '{name}' cannot be expanded on type 'microsoft.graph.event'."
                        ),
                    ));
                }
            }
        }
        Ok(view)
    }

    /// All properties but the body, for evaluating filters.
    pub fn for_filter(request: &ApiRequest) -> Result<View, ApiResponse> {
        let mut view = View::new(request, None, None)?;
        view.basic = true;
        Ok(view)
    }
}

/// The parts of `a,b(c,d),e`: what stands outside of parentheses is split; name and inside of each.
fn parts(text: &str, by: char) -> Vec<(&str, &str)> {
    let (mut out, mut depth, mut quoted, mut begin) = (Vec::new(), 0usize, false, 0);
    let mut ends = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            c if c == by && depth == 0 && !quoted => ends.push(at),
            _ => {}
        }
    }
    ends.push(text.len());
    for end in ends {
        let part = text[begin..end].trim();
        begin = (end + 1).min(text.len());
        match part.split_once('(') {
            Some((name, rest)) => out.push((name.trim(), rest.strip_suffix(')').unwrap_or(rest))),
            None => out.push((part, "")),
        }
    }
    out
}

/// `2026-02-20T08:00:00.1234567Z`: events tell tenths of microseconds, here made of the seconds.
fn precise(seconds: i64) -> String {
    let fraction = seconds.unsigned_abs().wrapping_mul(2_654_435_761) % 10_000_000;
    format!("{}.{fraction:07}Z", rfc3339(seconds).trim_end_matches('Z'))
}

/// One event, or one occurrence of a series.
pub fn event(book: &Book, which: Which, record: &Record, view: &View) -> Object {
    let select = &view.select;
    let exception = which.day.and_then(|d| record.exceptions.get(&d));
    let series = Which { day: None, ..which };
    let mut out = Object::new();
    let key = book.ids.change_key(book.item(which.no).seq);
    out.insert("@odata.etag".into(), json!(format!("W/\"{key}\"")));
    let id = book.event_id(which, view.immutable);
    for (name, value) in &record.props {
        if name != "body" && select.wants(name) {
            let value = exception.and_then(|e| e.props.get(name)).unwrap_or(value);
            out.insert(name.clone(), value.clone());
        }
    }
    let mut set = |name: &str, value: &dyn Fn() -> Value| {
        if select.wants(name) {
            out.insert(name.to_owned(), value());
        }
    };
    let kind = match (which.day, exception) {
        (None, _) if record.is_series() => "seriesMaster",
        (None, _) => "singleInstance",
        (Some(_), None) => "occurrence",
        (Some(_), Some(_)) => "exception",
    };
    let span = record.span_on(which.day);
    let seen = span.seen_in(&view.zone);
    let zones = exception
        .and_then(|e| e.span.as_ref())
        .unwrap_or(&record.span);
    set("type", &|| json!(kind));
    set("changeKey", &|| json!(key));
    set("createdDateTime", &|| json!(precise(record.created)));
    set("lastModifiedDateTime", &|| {
        json!(precise(exception.map_or(record.modified, |e| e.modified)))
    });
    set("iCalUId", &|| json!(record.uid.show(which.day)));
    set("isAllDay", &|| json!(span.all_day));
    set("start", &|| show_time(seen.start, &view.zone_name));
    set("end", &|| show_time(seen.end, &view.zone_name));
    set("originalStartTimeZone", &|| json!(&*zones.start_zone.name));
    set("originalEndTimeZone", &|| json!(&*zones.end_zone.name));
    set("seriesMasterId", &|| match which.day {
        None => Value::Null,
        Some(_) => json!(book.event_id(series, view.immutable)),
    });
    set("recurrence", &|| match (&record.recurrence, which.day) {
        (Some(recurrence), None) => recurrence.show(),
        _ => Value::Null,
    });
    if let Some(day) = which.day {
        let planned = record.planned_on(day);
        set("originalStart", &|| json!(rfc3339(planned.instants().0)));
    }
    set("isOrganizer", &|| json!(record.organizer.is_none()));
    set("organizer", &|| {
        let (name, address) = match &record.organizer {
            Some(other) => (&other.name, &other.address),
            None => (&book.user.display_name, &book.user.upn),
        };
        json!({"emailAddress": {"name": name, "address": address}})
    });
    set("hasAttachments", &|| {
        json!(
            record
                .attachments_on(which.day)
                .iter()
                .any(|a| !a.is_inline)
        )
    });
    set("webLink", &|| {
        json!(format!(
            "https://outlook.office365.com/owa/?itemid={id}&exvsurl=1&path=/calendar/item"
        ))
    });
    if !view.basic && (select.wants("body") || select.wants("bodyPreview")) {
        let text = text(record.prop(which.day, "body"));
        set("bodyPreview", &|| json!(preview(&text)));
        set("body", &|| shown(text.clone(), view.html, view.unsafe_html));
    }
    if select.names("cancelledOccurrences") {
        let of = book.event_id(series, view.immutable);
        let days = record.cancelled.iter().filter(|_| which.day.is_none());
        let all: Vec<String> = days.map(|d| format!("OID.{of}.{d}")).collect();
        set("cancelledOccurrences", &|| json!(all));
    }
    if view.beta {
        set("uid", &|| json!(record.uid.show(None)));
        if let Some(day) = which.day {
            let of = book.event_id(series, view.immutable);
            set("occurrenceId", &|| json!(format!("OID.{of}.{day}")));
        }
    }
    out.insert("id".into(), json!(id));
    expand(book, which, record, view, &mut out);
    out
}

/// Adds what `$expand` asks for.
fn expand(book: &Book, which: Which, record: &Record, view: &View, out: &mut Object) {
    if !view.wanted.is_empty() {
        view.wanted.show(|id| property(record, which, id), out);
    }
    if let (Some(select), false) = (&view.attachments, view.basic) {
        let all: Vec<Value> = record
            .attachments_on(which.day)
            .iter()
            .map(|a| {
                let id = book.attachment_id(which, view.immutable, a.no);
                attachments::show(id, a, select, view.expand_items, true)
            })
            .collect();
        out.insert("attachments".into(), Value::Array(all));
    }
    if let (Some(view), None) = (&view.exceptions, which.day) {
        let days = record
            .exceptions
            .keys()
            .filter(|d| !record.cancelled.contains(d));
        let all: Vec<Value> = days
            .map(|day| {
                let which = Which {
                    day: Some(*day),
                    ..which
                };
                Value::Object(event(book, which, record, view))
            })
            .collect();
        out.insert("exceptionOccurrences".into(), Value::Array(all));
    }
}

/// An extended property of an event: what was written, else what Exchange derives.
pub fn property(record: &Record, which: Which, id: &str) -> Option<PropertyValue> {
    if let Some(value) = record.extended_on(which.day, id) {
        return Some(value.clone());
    }
    let text = match id {
        "String 0x1a" => "IPM.Appointment".to_owned(),
        "String 0x37" => record.prop(which.day, "subject")?.as_str()?.to_owned(),
        _ => return None,
    };
    Some(PropertyValue::Single(text))
}

pub fn text(body: Option<&Value>) -> Text {
    let Some(body) = body else {
        return Text::default();
    };
    Text {
        html: body["contentType"]
            .as_str()
            .is_some_and(|t| t.eq_ignore_ascii_case("html")),
        content: body["content"].as_str().unwrap_or_default().to_owned(),
    }
}

/// Instant of a bound of a window: an offset counts, without one it is UTC.
pub fn instant(request: &ApiRequest, name: &str) -> Result<Option<i64>, ApiResponse> {
    let Some(text) = request.option(&name.to_ascii_lowercase()) else {
        return Ok(None);
    };
    let refuse = || {
        ApiResponse::error(
            400,
            "ErrorInvalidParameter",
            &format!("The value of the query parameter '{name}' is not a valid date and time."),
        )
    };
    // A plus sign that was not encoded reads as a blank.
    let text = text.trim().replace(' ', "+");
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Some(at.as_second()));
    }
    let (at, zone) =
        read_time(&json!({"dateTime": text, "timeZone": "UTC"}), name).map_err(|_| refuse())?;
    Ok(Some(zone.instant(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansions_are_split_outside_of_parentheses() {
        assert_eq!(
            parts(
                "attachments($select=id,name),exceptionOccurrences,x($filter=id eq 'a,(b')",
                ','
            ),
            [
                ("attachments", "$select=id,name"),
                ("exceptionOccurrences", ""),
                ("x", "$filter=id eq 'a,(b'")
            ]
        );
        assert_eq!(
            parts("$select=a,b;$expand=c(d)", ';'),
            [("$select=a,b", ""), ("$expand=c", "d")]
        );
    }
}
