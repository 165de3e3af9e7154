//! Generated archive mailboxes: old mail in folders that a retention policy moved, and what else people
//! once had in a mailbox.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::civil::date;
use serde_json::{Value, json};

use super::ANCHOR;
use super::mail::{Layout, Role, place};
use crate::clock::rfc3339;
use crate::fasttransfer::{self, MessageContent, rtf};
use crate::mail::content::{Attachment, AttachmentKind, Text};
use crate::mail::properties::PropertyValue;
use crate::mail::store::Mailbox;
use crate::mail::{imported, system};
use crate::mapi::event::{self, Event};
use crate::mapi::message::Parts;
use crate::mapi::{contact, others, task};
use crate::odata::Object;
use crate::options::{Options, Quirk};
use crate::users::User;

/// How long before the primary mailbox's mail the archive's ends.
const AGE: i64 = 6 * 365 * 86_400;

/// An archive with the folders that each has, and nothing in them.
pub fn empty(options: &Options, user: &Arc<User>, people: Arc<Vec<(String, String)>>) -> Mailbox {
    let label = format!("archive {}", user.id);
    let mut mailbox = Mailbox::labelled(&label, user.clone(), options.seed, people);
    system::archive_folders(&mut mailbox);
    mailbox
}

/// Makes the archive of a user with `count` generated messages.
pub fn archive(
    options: &Options,
    user: &Arc<User>,
    people: Arc<Vec<(String, String)>>,
    count: u32,
) -> Mailbox {
    let mut mailbox = empty(options, user, people);
    let root = mailbox.well_known("msgfolderroot");
    let projects = mailbox.add_folder("Projects", root, None);
    let atlas = mailbox.add_folder("Atlas", projects, None);
    let old = mailbox.add_folder("2015 and older", root, None);
    let oldest = mailbox.add_folder("2009", old, None);
    mailbox.add_folder("Empty", root, None);
    if options.has(Quirk::AutoExpandingArchive) {
        for no in [old, oldest] {
            mailbox.folders[no as usize].auxiliary = true;
        }
    }
    let layout = Layout(vec![
        (mailbox.well_known("inbox"), 44, Role::Received),
        (mailbox.well_known("sentitems"), 20, Role::Sent),
        (projects, 9, Role::Received),
        (mailbox.well_known("deleteditems"), 5, Role::Received),
        (mailbox.well_known("drafts"), 1, Role::Draft),
        (atlas, 8, Role::Received),
        (old, 8, Role::Received),
        (oldest, 5, Role::Received),
    ]);
    let key = mailbox.seed;
    mailbox.generate(count, |no| {
        let mut item = place(key, &layout, no, count);
        item.received -= AGE;
        item
    });
    rich_text(&mut mailbox);
    not_mail(&mut mailbox);
    mailbox
}

/// A message whose body is RTF, as old clients wrote them.
fn rich_text(mailbox: &mut Mailbox) {
    let text = "Dear all,\r\n\r\nthe lease – {clause 7} – ends in June.\r\n";
    let packed = rtf::compress(&rtf::of_text(text));
    let from = json!({"emailAddress": {"name": "Ola Nordmann", "address": "ola@northwind.test"}});
    let time = rfc3339(ANCHOR - 2 * AGE);
    let props = json!({"subject": "Lease", "from": from, "sender": from, "receivedDateTime": time, "sentDateTime": time,
        "createdDateTime": time, "lastModifiedDateTime": time, "internetMessageId": "<lease@northwind.test>"});
    let packed = PropertyValue::Single(STANDARD.encode(packed));
    let parts = Parts {
        class: "IPM.Note".to_owned(),
        props: props.as_object().cloned().unwrap_or_default(),
        text: Text {
            html: false,
            content: text.to_owned(),
        },
        is_read: true,
        extended: [("Binary 0x1009".to_owned(), packed)].into(),
        ..Parts::default()
    };
    let inbox = mailbox.well_known("inbox");
    imported::message(mailbox, inbox, None, parts, ANCHOR - 2 * AGE);
}

/// Events, contacts, tasks and what Graph has no form for: each in a folder of its kind.
fn not_mail(mailbox: &mut Mailbox) {
    let owner = (mailbox.user.display_name.clone(), mailbox.user.upn.clone());
    let at = ANCHOR - AGE;
    for (name, class, items) in [
        ("Calendar", "IPF.Appointment", events(&owner)),
        ("Contacts", "IPF.Contact", contacts(&owner, at)),
        ("Tasks", "IPF.Task", tasks()),
        (
            "Notes",
            "IPF.StickyNote",
            vec![others::note("Locker 4711\r\nleft, then right", at)],
        ),
    ] {
        let root = mailbox.well_known("msgfolderroot");
        let folder = mailbox.add_folder(name, root, None);
        mailbox.folders[folder as usize].class = Some(class.into());
        for content in items {
            let stream = fasttransfer::write::write(&content);
            imported::stream(mailbox, folder, None, Some(&content), stream, at);
        }
    }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn time(text: &str) -> Value {
    json!({"dateTime": format!("{text}:00.0000000"), "timeZone": "UTC"})
}

fn person((name, address): &(String, String)) -> Value {
    json!({"emailAddress": {"name": name, "address": address}})
}

fn events(owner: &(String, String)) -> Vec<MessageContent> {
    let outside = ("Ola Nordmann".to_owned(), "ola@northwind.test".to_owned());
    let answered = |response: &str| json!({"response": response, "time": "2018-01-10T09:00:00Z"});
    let attendee = |who: &(String, String), kind: &str, response: &str| {
        let mut out = person(who);
        out["type"] = json!(kind);
        out["status"] = answered(response);
        out
    };
    let common = json!({"createdDateTime": "2018-01-08T08:00:00.1234567Z", "lastModifiedDateTime": "2018-01-09T08:00:00.7654321Z",
        "importance": "normal", "sensitivity": "normal", "showAs": "busy", "isAllDay": false, "categories": [],
        "isReminderOn": true, "reminderMinutesBeforeStart": 15, "organizer": person(owner), "isOrganizer": true,
        "originalStartTimeZone": "W. Europe Standard Time", "body": {"contentType": "html", "content": "<html><body><p>Agenda follows.</p></body></html>"}});
    let event = |own: Value| {
        let mut props = object(common.clone());
        props.extend(object(own));
        Event {
            props,
            ..Event::default()
        }
    };
    let weekly = json!({"pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday"},
        "range": {"type": "numbered", "startDate": "2018-03-05", "numberOfOccurrences": 10, "recurrenceTimeZone": "W. Europe Standard Time"}});
    let mut series = event(
        json!({"subject": "Stand-up", "start": time("2018-03-05T08:00"), "end": time("2018-03-05T08:15"),
        "recurrence": weekly, "iCalUId": "standup@northwind.test", "location": {"displayName": "Room 1"},
        "responseStatus": {"response": "organizer", "time": "0001-01-01T00:00:00Z"},
        "attendees": [attendee(&outside, "required", "accepted")]}),
    );
    // Summer time has begun by then.
    let mut late = event(
        json!({"subject": "Stand-up (late)", "start": time("2018-04-10T09:00"), "end": time("2018-04-10T09:30"),
        "originalStart": "2018-04-09T07:00:00Z", "location": {"displayName": "Room 2"}, "body": {"contentType": "text", "content": "Moved."}}),
    );
    late.attachments.push(Attachment {
        no: 0,
        kind: AttachmentKind::File(Bytes::from_static(b"1. Budget\r\n2. Hiring\r\n")),
        name: "agenda.txt".into(),
        content_type: Some("text/plain".into()),
        is_inline: false,
        content_id: None,
        content_location: None,
        modified: ANCHOR - AGE,
    });
    series.exceptions.push(late);
    series.cancelled.push(date(2018, 3, 19));
    let yearly = json!({"pattern": {"type": "absoluteYearly", "interval": 1, "month": 7, "dayOfMonth": 22},
        "range": {"type": "noEnd", "startDate": "2015-07-22", "recurrenceTimeZone": "Pacific Standard Time"}});
    let monthly = json!({"pattern": {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31},
        "range": {"type": "endDate", "startDate": "2018-01-31", "endDate": "2018-12-31", "recurrenceTimeZone": "New Zealand Standard Time"}});
    let all = [
        series,
        event(
            json!({"subject": "Contract talks", "start": time("2018-01-16T13:00"), "end": time("2018-01-16T14:30"),
            "iCalUId": "talks@northwind.test", "organizer": person(&outside), "isOrganizer": false, "sensitivity": "private",
            "categories": ["Blue category"], "location": {"displayName": "Oslo"}, "responseStatus": answered("tentativelyAccepted"),
            "attendees": [attendee(owner, "required", "tentativelyAccepted")]}),
        ),
        event(
            json!({"subject": "Anniversary", "start": time("2015-07-22T00:00"), "end": time("2015-07-23T00:00"), "isAllDay": true,
            "showAs": "free", "isReminderOn": false, "originalStartTimeZone": "Pacific Standard Time", "recurrence": yearly}),
        ),
        event(
            json!({"subject": "Month's end", "start": time("2018-01-31T00:00"), "end": time("2018-02-01T00:00"), "isAllDay": true,
            "originalStartTimeZone": "New Zealand Standard Time", "recurrence": monthly}),
        ),
        event(
            json!({"subject": "Canceled: Visit", "start": time("2018-02-01T10:00"), "end": time("2018-02-01T11:00"), "isCancelled": true,
            "organizer": person(&outside), "isOrganizer": false, "showAs": "free", "attendees": [attendee(owner, "optional", "none")]}),
        ),
    ];
    all.iter().map(event::write).collect()
}

fn contacts(owner: &(String, String), at: i64) -> Vec<MessageContent> {
    let time = rfc3339(at);
    let jane = json!({"displayName": "Jane Roe", "givenName": "Jane", "surname": "Roe", "fileAs": "Roe, Jane", "companyName": "Fabrikam",
        "jobTitle": "CFO", "birthday": "1974-07-22T11:59:00Z", "businessPhones": ["+46 8 000 00 00"], "mobilePhone": "+46 70 000 00 00",
        "emailAddresses": [{"name": "Jane Roe", "address": "jane.roe@fabrikam.com"}], "categories": ["Red category"],
        "homeAddress": {"street": "Storgatan 1", "city": "Åmål", "postalCode": "662 30", "countryOrRegion": "Sweden"},
        "personalNotes": "Met in Oslo.", "createdDateTime": time, "lastModifiedDateTime": time});
    let ola = json!({"displayName": "Ola Nordmann", "givenName": "Ola", "surname": "Nordmann", "fileAs": "Nordmann, Ola",
        "emailAddresses": [{"name": "Ola Nordmann", "address": "ola@northwind.test"}, {"name": "Home", "address": "ola@example.org"}],
        "createdDateTime": time, "lastModifiedDateTime": time});
    let members = [
        ("Jane Roe".to_owned(), "jane.roe@fabrikam.com".to_owned()),
        owner.clone(),
    ];
    let mut photo = vec![0; 900];
    crate::rng::Rng::at(at as u64, 1).fill(&mut photo);
    photo[..4].copy_from_slice(b"\xff\xd8\xff\xe0");
    vec![
        contact::write(&object(jane), Some(&photo)),
        contact::write(&object(ola), None),
        others::list("Board", &members, at),
    ]
}

fn tasks() -> Vec<MessageContent> {
    let weekly = json!({"pattern": {"type": "weekly", "interval": 2, "daysOfWeek": ["friday"], "firstDayOfWeek": "monday"},
        "range": {"type": "noEnd", "startDate": "2018-01-05", "recurrenceTimeZone": "UTC"}});
    [
        json!({"title": "Renew the lease", "status": "completed", "importance": "high", "completedDateTime": time("2018-05-02T00:00"),
            "dueDateTime": time("2018-05-31T00:00"), "createdDateTime": "2018-01-08T08:00:00Z", "body": {"contentType": "text", "content": "Ask Ola."}}),
        json!({"title": "Water the plants", "status": "notStarted", "importance": "normal", "dueDateTime": time("2018-01-05T00:00"),
            "recurrence": weekly, "isReminderOn": true, "reminderDateTime": time("2018-01-05T08:00"), "createdDateTime": "2018-01-04T08:00:00Z"}),
    ]
    .into_iter()
    .map(|t| task::write(&object(t)))
    .collect()
}
