//! Generated events. Each is a function of the mailbox's seed and its number, made when looked at.
//!
//! The first events of a mailbox are one of each kind that clients get wrong (see [`Kind`]), beginning
//! with another one in each mailbox, so that a small tenant has them all; the rest are everyday ones.

use bytes::Bytes;
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, date};
use serde_json::{Value, json};

use super::record::{Exception, Organizer, Record, Span, Uid};
use super::recurrence::Recurrence;
use super::store::Book;
use super::validate;
use super::zone::Zone;
use crate::attachments::{Attachment, AttachmentKind};
use crate::mail::ids::No;
use crate::rng::Rng;
use crate::seed::people::outsider;
use crate::seed::words::{paragraph, sentence, subject, words};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Every week over a clock change, with one exception and one cancelled date.
    Weekly,
    /// On the 31st of every month.
    MonthEnd,
    /// Whole days, in a zone west and in one east of UTC.
    AllDayWest,
    AllDayEast,
    /// An attendee's copy of a colleague's meeting: the next mailbox has that one.
    Copy,
    /// A Teams meeting with colleagues.
    Online,
    Attachments,
    Private,
    Categories,
    Plain,
    /// In the calendar of birthdays.
    Birthday,
    // Everyday ones.
    AllDay,
    Invited,
    Daily,
    LastFriday,
    Yearly,
}

const SPECIAL: [Kind; 11] = [
    Kind::Weekly,
    Kind::MonthEnd,
    Kind::AllDayWest,
    Kind::AllDayEast,
    Kind::Copy,
    Kind::Online,
    Kind::Attachments,
    Kind::Private,
    Kind::Categories,
    Kind::Plain,
    Kind::Birthday,
];

/// The day around which generated events lie; see [`crate::seed::ANCHOR`].
const ANCHOR: Date = date(2026, 11, 1);

struct Plan {
    kind: Kind,
    start: DateTime,
    minutes: i64,
    zone: &'static str,
    all_day: bool,
    recurrence: Value,
    /// 0 the default calendar, 1 the second, 2 birthdays.
    calendar: No,
    rng: Rng,
}

/// Place of this mailbox among those of the tenant.
fn place_of(book: &Book) -> usize {
    let me = book
        .people
        .iter()
        .position(|(_, address)| *address == book.user.upn);
    me.unwrap_or(0)
}

/// A colleague, `step` places after this mailbox.
fn colleague(book: &Book, step: usize) -> (String, String) {
    let all = book.people.len().max(1);
    let at = (place_of(book) + step) % all;
    book.people.get(at).cloned().unwrap_or_default()
}

/// Time and name of the meeting a colleague called that this mailbox has a copy of, or called itself.
fn meeting(book: &Book, organizer: &str) -> (DateTime, [u8; 16], String) {
    let mut rng = Rng::new(book.tenant_seed, &format!("meeting {organizer}"));
    let day = ANCHOR.saturating_add((rng.below(30) as i64).days());
    let start = day.at(9 + rng.below(7) as i8, 0, 0, 0);
    let topic = format!("Review: {}", words(&mut rng, 3));
    (start, rng.bytes16(), topic)
}

fn pattern(kind: &str, fields: Value, range: Value) -> Value {
    let mut pattern = json!({"type": kind, "interval": 1});
    let mut out = json!({"range": range});
    for (name, value) in fields.as_object().into_iter().flatten() {
        pattern[name] = value.clone();
    }
    out["pattern"] = pattern;
    out
}

fn plan(book: &Book, no: No) -> Plan {
    let mut rng = Rng::at(book.seed ^ 0xca1e_da12, u64::from(no));
    let special = (no as usize) < SPECIAL.len();
    let kind = match special {
        true => SPECIAL[(no as usize + place_of(book) * 4) % SPECIAL.len()],
        false => match rng.below(100) {
            0..50 => Kind::Plain,
            50..62 => Kind::Invited,
            62..70 => Kind::AllDay,
            70..76 => Kind::Categories,
            76..80 => Kind::Private,
            80..84 => Kind::Attachments,
            84..91 => Kind::Weekly,
            91..94 => Kind::Daily,
            94..97 => Kind::LastFriday,
            _ => Kind::Yearly,
        },
    };
    // Singles from a year ago until in three months.
    let day = ANCHOR.saturating_add((rng.below(450) as i64 - 360).days());
    let mut out = Plan {
        kind,
        start: day.at(8 + rng.below(10) as i8, 15 * rng.below(4) as i8, 0, 0),
        minutes: 15 * rng.range(1, 8) as i64,
        zone: rng.pick(&[
            "W. Europe Standard Time",
            "Romance Standard Time",
            "UTC",
            "Eastern Standard Time",
        ]),
        all_day: false,
        recurrence: Value::Null,
        calendar: u32::from(rng.chance(15)),
        rng,
    };
    if special {
        out.calendar = u32::from(kind == Kind::Plain);
    }
    let numbered = |count: u64| json!({"type": "numbered", "numberOfOccurrences": count});
    let never = || json!({"type": "noEnd"});
    match kind {
        Kind::Weekly => {
            out.zone = "W. Europe Standard Time";
            if special {
                out.start = date(2026, 9, 7).at(9, 0, 0, 0);
            }
            let weekday = out.start.weekday().to_monday_zero_offset() as usize;
            let days = [
                "monday",
                "tuesday",
                "wednesday",
                "thursday",
                "friday",
                "saturday",
                "sunday",
            ];
            let range = if special || out.rng.chance(60) {
                numbered(20)
            } else {
                never()
            };
            out.recurrence = pattern("weekly", json!({"daysOfWeek": [days[weekday]]}), range);
        }
        Kind::MonthEnd => {
            out.start = date(2026, 1, 31).at(16, 0, 0, 0);
            out.zone = "Romance Standard Time";
            out.recurrence = pattern("absoluteMonthly", json!({"dayOfMonth": 31}), never());
        }
        Kind::AllDayWest | Kind::AllDayEast => {
            let west = kind == Kind::AllDayWest;
            out.zone = if west {
                "Pacific Standard Time"
            } else {
                "Tokyo Standard Time"
            };
            out.start = if west {
                date(2026, 9, 4)
            } else {
                date(2026, 9, 7)
            }
            .at(0, 0, 0, 0);
            out.all_day = true;
            let days = if west { ["friday"] } else { ["monday"] };
            out.recurrence = pattern("weekly", json!({"daysOfWeek": days}), numbered(12));
        }
        Kind::Copy | Kind::Online => {
            let back = book.people.len().max(1) - 1;
            let by = colleague(book, if kind == Kind::Copy { back } else { 0 });
            out.start = meeting(book, &by.1).0;
            (out.minutes, out.zone) = (60, "W. Europe Standard Time");
        }
        Kind::AllDay => out.all_day = true,
        Kind::Daily => {
            let last = out
                .start
                .date()
                .saturating_add((10 + out.rng.below(60) as i64).days());
            let range = json!({"type": "endDate", "endDate": last.to_string()});
            out.recurrence = pattern("daily", json!({"interval": out.rng.range(1, 3)}), range);
        }
        Kind::LastFriday => {
            let fields = json!({"daysOfWeek": ["friday"], "index": "last"});
            out.recurrence = pattern("relativeMonthly", fields, never());
        }
        Kind::Yearly | Kind::Birthday => {
            out.all_day = true;
            let fields = json!({"dayOfMonth": out.start.day(), "month": out.start.month()});
            out.recurrence = pattern("absoluteYearly", fields, never());
            if kind == Kind::Birthday {
                (out.calendar, out.zone) = (2, "UTC");
            }
        }
        _ => {}
    }
    if out.all_day {
        out.start = out.start.date().at(0, 0, 0, 0);
        out.minutes = 1440;
    }
    out
}

impl Plan {
    fn span(&self) -> Span {
        let zone = Zone::find(self.zone).unwrap_or_else(Zone::utc);
        Span {
            start: self.start,
            end: self.start.saturating_add(self.minutes.minutes()),
            start_zone: zone.clone(),
            end_zone: zone,
            all_day: self.all_day,
        }
    }

    /// The event's times and recurrence: the start is the first day of the pattern.
    fn times(&self) -> (Span, Option<Recurrence>) {
        let mut span = self.span();
        let recurrence = match &self.recurrence {
            Value::Null => None,
            value => super::write::recurrence(value, &mut span).ok(),
        };
        (span, recurrence)
    }
}

/// Calendar of a generated event, and the instants between which it takes place.
pub fn place(book: &Book, no: No) -> (No, (i64, i64)) {
    let plan = plan(book, no);
    let (span, recurrence) = plan.times();
    let (start, end) = span.instants();
    (
        plan.calendar,
        (start, if recurrence.is_some() { i64::MAX } else { end }),
    )
}

pub fn uid(book: &Book, no: No) -> Uid {
    uid_of(book, no, &plan(book, no))
}

fn uid_of(book: &Book, no: No, plan: &Plan) -> Uid {
    let organizer = match plan.kind {
        Kind::Online => Some(colleague(book, 0)),
        Kind::Copy => Some(colleague(book, book.people.len().max(1) - 1)),
        _ => None,
    };
    let guid = match organizer {
        Some((_, address)) => meeting(book, &address).1,
        None => Rng::at(book.seed ^ 0x01d, u64::from(no)).bytes16(),
    };
    Uid::Own(guid, created(plan))
}

/// A few days before it takes place.
fn created(plan: &Plan) -> i64 {
    let days = match plan.kind {
        Kind::Online | Kind::Copy => 3,
        _ => 1 + i64::from(plan.start.minute()),
    };
    plan.span().instants().0 - days * 86_400 - 120
}

pub fn record(book: &Book, no: No) -> Record {
    let mut plan = plan(book, no);
    let (span, recurrence) = plan.times();
    let made = created(&plan);
    let uid = uid_of(book, no, &plan);
    let rng = &mut plan.rng;
    let title = subject(rng);
    let html = rng.chance(60);
    let text = paragraph(rng);
    let mut given = json!({
        "subject": title, "isReminderOn": rng.chance(80),
        "body": {"contentType": if html { "html" } else { "text" }, "content": if html { format!("<html><body><p>{text}</p></body></html>") } else { text }},
        "location": if rng.chance(60) { json!({"displayName": format!("Room {}", rng.range(1, 40)), "locationType": "conferenceRoom"}) } else { json!({"displayName": ""}) },
    });
    let mut organizer = None;
    let mut response = "organizer";
    let mut attachments = Vec::new();
    match plan.kind {
        Kind::Private => given["sensitivity"] = json!("private"),
        Kind::Categories => {
            given["categories"] = json!([
                "Red category",
                rng.pick(&["Travel", "Blue category", "Kunden"])
            ])
        }
        Kind::Attachments => attachments = documents(rng, made),
        Kind::Birthday => given["subject"] = json!(format!("{}'s birthday", colleague(book, 1).0)),
        Kind::Online => {
            given["subject"] = json!(meeting(book, &book.user.upn).2);
            given["attendees"] = json!([person(&colleague(book, 1)), person(&outsider(rng))]);
        }
        Kind::Copy => {
            let by = colleague(book, book.people.len().max(1) - 1);
            given["subject"] = json!(meeting(book, &by.1).2);
            given["attendees"] = json!([person(&colleague(book, 0))]);
            organizer = Some(by);
            response = "accepted";
        }
        Kind::Invited => {
            given["attendees"] = json!([person(&colleague(book, 0)), person(&colleague(book, 1))]);
            organizer = Some(outsider(rng));
            response = rng.pick(&["accepted", "tentativelyAccepted", "notResponded"]);
            given["showAs"] = json!(if response == "accepted" {
                "busy"
            } else {
                "tentative"
            });
        }
        _ => {}
    }
    let mut props = validate::defaults(plan.all_day);
    props.extend(
        given
            .as_object()
            .and_then(|g| validate::kept(g).ok())
            .unwrap_or_default(),
    );
    let time = if organizer.is_some() && response != "notResponded" {
        crate::clock::rfc3339(made + 3600)
    } else {
        "0001-01-01T00:00:00Z".to_owned()
    };
    props.insert(
        "responseStatus".into(),
        json!({"response": response, "time": time}),
    );
    if let (Kind::Online | Kind::Copy, Uid::Own(guid, _)) = (plan.kind, &uid) {
        super::write::meet_online(&mut props, &uuid::Uuid::from_bytes(*guid).to_string());
    }
    let next_attachment = attachments.len() as u32;
    let mut out = Record {
        props,
        span,
        recurrence,
        exceptions: Default::default(),
        cancelled: Default::default(),
        dropped: Default::default(),
        uid,
        created: made,
        modified: made + 60,
        organizer: organizer.map(|(name, address)| Organizer { name, address }),
        extended: Default::default(),
        attachments,
        next_attachment,
    };
    if plan.kind == Kind::Weekly {
        disturb(&mut out, &title);
    }
    out
}

/// The fourth occurrence is an hour later and has another subject, the sixth does not take place.
fn disturb(record: &mut Record, title: &str) {
    let days: Vec<Date> = record
        .recurrence
        .iter()
        .flat_map(|r| r.days(None).take(6))
        .collect();
    let [.., later, _, off] = days[..] else {
        return;
    };
    let planned = record.planned_on(later);
    let moved = Span {
        start: planned.start.saturating_add(1.hours()),
        end: planned.end.saturating_add(1.hours()),
        ..planned
    };
    let mut props = crate::odata::Object::new();
    props.insert("subject".into(), json!(format!("{title} (later)")));
    let exception = Exception {
        props,
        span: Some(moved),
        modified: record.modified,
        ..Exception::default()
    };
    record.exceptions.insert(later, exception);
    record.cancelled.insert(off);
}

fn person((name, address): &(String, String)) -> Value {
    json!({"type": "required", "emailAddress": {"name": name, "address": address}})
}

/// One attachment of each kind, and a picture inline.
fn documents(rng: &mut Rng, modified: i64) -> Vec<Attachment> {
    let agenda: String = (0..rng.range(3, 20))
        .map(|_| format!("{}\r\n", sentence(rng)))
        .collect();
    let mut picture = vec![0; 2_000];
    rng.fill(&mut picture);
    picture[..8].copy_from_slice(b"\x89PNG\r\n\x1a\n");
    let item = json!({
        "@odata.type": "#microsoft.graph.message", "subject": format!("About {}", words(rng, 2)),
        "body": {"contentType": "text", "content": sentence(rng)},
    });
    let file = |bytes: Vec<u8>| AttachmentKind::File(Bytes::from(bytes));
    [
        ("Agenda.txt", Some("text/plain"), file(agenda.into_bytes())),
        ("image001.png", Some("image/png"), file(picture)),
        ("About it", None, AttachmentKind::Item { item, mime: None }),
        ("Shared plan.docx", None, AttachmentKind::Reference),
    ]
    .into_iter()
    .enumerate()
    .map(|(no, (name, content_type, kind))| Attachment {
        no: no as u32,
        kind,
        name: name.to_owned(),
        content_type: content_type.map(str::to_owned),
        is_inline: no == 1,
        content_id: (no == 1).then(|| "image001@01".to_owned()),
        content_location: None,
        modified,
    })
    .collect()
}
