//! Whole items: the published vector, streams of every kind, and damage.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::properties as prop;
use super::*;
use crate::format::eml;

/// One To recipient, one attachment, one category.
const VECTOR: &str = "AQAAAAgAAAAAAAAAAQAAAAMAAAAYAAAAAQAAAAcDAgAAAAAAwAAAAAAAAEYAJACABAAAAAYAAAAUD9aRhhcCAAAATgEAAAMAFwAB\
AAAAsIQaABIAAABJAFAATQAuAE4AbwB0AGUAAACwhDcABgAAAEgAaQAAAEAAOQAA6MfIWancAbCEAV0UAAAAYQBAAGUAeAAuAHQA\
ZQBzAHQAAABAAAYOgNjCy1mp3AEDAAcOAQAAALCEABAKAAAAQgBvAGQAeQAAALCENRAYAAAAPAAxAEAAZQB4AC4AdABlAHMAdAA+\
AAAAHxAAgCkDAgAAAAAAwAAAAAAAAEYBSwBlAHkAdwBvAHIAZABzAAAAAQAAAAgAAABSAGUAZAAAAAMAA0ADAAAwAAAAAAMAFQwB\
AAAAsIQBMAYAAABCAG8AAACwhP45FAAAAGIAQABlAHgALgB0AGUAcwB0AAAAAwAEQAMAAEADACEOAAAAAAMABTcBAAAAsIQHNwwA\
AABuAC4AdAB4AHQAAAACAQE3AwAAAGhpIQMADkA=";

fn vector() -> Vec<u8> {
    STANDARD.decode(VECTOR).unwrap()
}

#[test]
fn every_value_of_the_vector() {
    let export = vector();
    assert_eq!(export.len(), 404);
    let object = Object::parse(&export).unwrap();
    let p = &object.properties;
    assert_eq!(p.text(prop::MESSAGE_CLASS).as_deref(), Some("IPM.Note"));
    assert_eq!(p.int(prop::IMPORTANCE), Some(1));
    assert_eq!(p.text(prop::SUBJECT).as_deref(), Some("Hi"));
    assert_eq!(
        p.get(prop::CLIENT_SUBMIT_TIME),
        Some(&MapiValue::Time(134_168_292_000_000_000))
    );
    assert_eq!(p.time(prop::CLIENT_SUBMIT_TIME), Some(1_772_355_600));
    assert_eq!(p.time(prop::DELIVERY_TIME), Some(1_772_355_605));
    assert_eq!(p.text(prop::SENDER_SMTP).as_deref(), Some("a@ex.test"));
    assert_eq!(p.int(prop::MESSAGE_FLAGS), Some(1));
    assert_eq!(p.text(prop::BODY).as_deref(), Some("Body"));
    assert_eq!(
        p.text(prop::INTERNET_MESSAGE_ID).as_deref(),
        Some("<1@ex.test>")
    );
    assert_eq!(p.texts(prop::KEYWORDS), ["Red"]);
    let [recipient] = &object.recipients[..] else {
        panic!("{object:?}")
    };
    assert_eq!(recipient.int(prop::RECIPIENT_TYPE), Some(1));
    assert_eq!(recipient.text(prop::DISPLAY_NAME).as_deref(), Some("Bo"));
    assert_eq!(
        recipient.text(prop::SMTP_ADDRESS).as_deref(),
        Some("b@ex.test")
    );
    let [attachment] = &object.attachments[..] else {
        panic!("{object:?}")
    };
    assert_eq!(attachment.properties.int(Prop::Tag(0x0E21)), Some(0));
    assert_eq!(
        attachment
            .properties
            .text(prop::ATTACH_LONG_NAME)
            .as_deref(),
        Some("n.txt")
    );
    assert_eq!(
        attachment.properties.binary(prop::ATTACH_DATA).unwrap(),
        &b"hi!"[..]
    );
}

#[test]
fn the_vector_as_a_mail() {
    let rendered = render(&vector()).unwrap();
    assert_eq!(rendered.extension, "eml");
    let item = &rendered.item;
    assert_eq!(item["@odata.type"], "#microsoft.graph.message");
    assert_eq!(item["subject"], "Hi");
    assert_eq!(item["isRead"], true);
    assert_eq!(item["isDraft"], false);
    assert_eq!(item["sentDateTime"], "2026-03-01T09:00:00Z");
    assert_eq!(item["receivedDateTime"], "2026-03-01T09:00:05Z");
    assert_eq!(item["categories"], json!(["Red"]));
    let read = eml::to_graph(&rendered.bytes);
    assert_eq!(read.json["subject"], "Hi");
    assert_eq!(read.json["internetMessageId"], "<1@ex.test>");
    assert_eq!(read.json["from"]["emailAddress"]["address"], "a@ex.test");
    assert_eq!(
        read.json["toRecipients"][0]["emailAddress"],
        json!({ "name": "Bo", "address": "b@ex.test" })
    );
    assert_eq!(
        read.json["body"]["content"].as_str().unwrap().trim(),
        "Body"
    );
    assert_eq!(read.attachments.len(), 1);
    assert_eq!(read.attachments[0].name, "n.txt");
    assert_eq!(read.attachments[0].bytes(), b"hi!");
    assert_eq!(rendered, render(&vector()).unwrap());
}

#[test]
fn a_vector_that_is_cut_off_is_refused() {
    let export = vector();
    for len in 0..export.len() {
        let cut = &export[..len];
        // A cut between properties of the root is a smaller item; everything else is an error.
        if let Ok(object) = Object::parse(cut) {
            assert!(object.attachments.is_empty(), "{len}");
        }
        let _ = render(cut);
    }
}

/// An item of any class.
pub(super) fn item(class: &str, fill: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.property(prop::MESSAGE_CLASS, &New::Text(class));
    fill(&mut builder);
    builder.finish()
}

#[test]
fn large_attachments_are_told_in_pieces() {
    let data: Vec<u8> = (0..100_000u32)
        .map(|n| (n.wrapping_mul(n) >> 3) as u8)
        .collect();
    let export = item("IPM.Note", |b| {
        b.marker(Marker::NewAttach);
        b.property(prop::ATTACH_LONG_NAME, &New::Text("x.bin"));
        b.property(prop::ATTACH_DATA, &New::Binary(&data));
        b.marker(Marker::EndAttach);
    });
    let parts = parts(&export).unwrap();
    assert_eq!(parts.len(), 1);
    assert!(parts[0].len() > 3);
    let joined: Vec<u8> = parts[0]
        .iter()
        .flat_map(|r| export[r.clone()].to_vec())
        .collect();
    assert!(joined == data);
    let mail = eml::to_graph(&render(&export).unwrap().bytes);
    assert!(mail.attachments[0].bytes() == data);
}

#[test]
fn contacts_lists_notes_and_journals() {
    let contact = item("IPM.Contact", |b| {
        b.property(prop::DISPLAY_NAME, &New::Text("Ann Lee"));
        b.property(prop::GIVEN_NAME, &New::Text("Ann"));
        b.property(prop::SURNAME, &New::Text("Lee"));
        b.property(prop::MOBILE_PHONE, &New::Text("+46 70"));
        b.property(prop::WORK_CITY, &New::Text("Stockholm"));
        b.property(prop::FILE_AS, &New::Text("Lee, Ann"));
        // Midnight in Berlin, and the day itself.
        b.property(prop::BIRTHDAY, &New::Time(143_679_600));
        b.property(prop::BIRTHDAY_LOCAL, &New::Time(143_683_200));
        let [name, kind, address, _] = prop::email(0);
        b.property(name, &New::Text("Ann"));
        b.property(kind, &New::Text("SMTP"));
        b.property(address, &New::Text("ann@x.test"));
        b.marker(Marker::NewAttach);
        b.property(prop::ATTACH_CONTACT_PHOTO, &New::Bool(true));
        b.property(prop::ATTACH_DATA, &New::Binary(b"\xff\xd8\xff\xe0"));
        b.marker(Marker::EndAttach);
    });
    let rendered = render(&contact).unwrap();
    let text = String::from_utf8(rendered.bytes).unwrap();
    assert_eq!(rendered.extension, "vcf");
    assert_eq!(rendered.item["businessAddress"]["city"], "Stockholm");
    assert_eq!(
        rendered.item["emailAddresses"],
        json!([{ "name": "Ann", "address": "ann@x.test" }])
    );
    assert_eq!(rendered.item["birthday"], "1974-07-22T11:59:00Z");
    for line in ["N:Lee;Ann;;;", "BDAY:19740722\r\n", "PHOTO:data:image/jpeg"] {
        assert!(text.contains(line), "{text}");
    }

    let members = [("Bo", "bo@x.test"), ("cy@x.test", "cy@x.test")].map(|(name, address)| {
        people::one_off(&people::Person {
            name: name.into(),
            address: address.into(),
        })
    });
    let list = item("IPM.DistList", |b| {
        b.property(prop::DISPLAY_NAME, &New::Text("Team"));
        b.binaries(prop::DL_ONE_OFF_MEMBERS, &members);
    });
    let text = String::from_utf8(render(&list).unwrap().bytes).unwrap();
    for line in [
        "KIND:group\r\n",
        "FN:Team\r\n",
        "MEMBER;X-CN=Bo:mailto:bo@x.test\r\n",
        "MEMBER:mailto:cy@x.test\r\n",
    ] {
        assert!(text.contains(line), "{text}");
    }

    let note = item("IPM.StickyNote", |b| {
        b.property(prop::BODY, &New::Text("buy milk\r\nand tea"))
    });
    let rendered = render(&note).unwrap();
    assert_eq!(
        (rendered.extension, &rendered.bytes[..]),
        ("txt", &b"buy milk\nand tea\n"[..])
    );

    let journal = item("IPM.Activity", |b| {
        b.property(prop::SUBJECT, &New::Text("Call"));
        b.property(prop::LOG_TYPE, &New::Text("Phone call"));
        b.property(prop::LOG_START, &New::Time(1_772_355_600));
        b.property(prop::LOG_DURATION, &New::Int(30));
        b.property(prop::BODY, &New::Text("said yes"));
    });
    let text = String::from_utf8(render(&journal).unwrap().bytes).unwrap();
    assert_eq!(
        text,
        "Subject: Call\nType: Phone call\nStart: 2026-03-01T09:00:00Z\nDuration: 30 minutes\n\nsaid yes\n"
    );
}

#[test]
fn an_all_day_appointment_keeps_its_day() {
    let day = |offset: i64, zone: Option<&[u8]>| {
        let export = item("IPM.Appointment", |b| {
            b.property(prop::ALL_DAY, &New::Bool(true));
            // 2026-03-02, midnight there.
            b.property(prop::START_WHOLE, &New::Time(1_772_409_600 - offset));
            b.property(prop::END_WHOLE, &New::Time(1_772_409_600 + 86_400 - offset));
            if let Some(zone) = zone {
                b.property(prop::ZONE_START, &New::Binary(zone));
            }
        });
        let item = Object::parse(&export)
            .map(|o| event::event(&o, 0).json)
            .unwrap();
        assert_eq!(item["end"]["dateTime"], "2026-03-03T00:00:00.0000000");
        item["start"]["dateTime"].as_str().unwrap().to_owned()
    };
    for hours in [-11, -8, 0, 1, 11] {
        assert_eq!(day(hours * 3600, None), "2026-03-02T00:00:00.0000000");
    }
    assert_eq!(
        day(3600, Some(&zone::tests::definition())),
        "2026-03-02T00:00:00.0000000"
    );
}

#[test]
fn a_meeting_has_its_people() {
    let export = item("IPM.Appointment", |b| {
        b.property(prop::SUBJECT, &New::Text("Board"));
        b.property(prop::START_WHOLE, &New::Time(1_772_355_600));
        b.property(prop::END_WHOLE, &New::Time(1_772_359_200));
        b.property(prop::STATE, &New::Int(3));
        b.property(prop::RESPONSE, &New::Int(3));
        b.property(prop::BUSY_STATUS, &New::Int(1));
        let mut id = vec![
            4, 0, 0, 0, 0x82, 0, 0xE0, 0, 0x74, 0xC5, 0xB7, 0x10, 0x1A, 0x82, 0xE0, 8,
        ];
        id.extend_from_slice(&[7, 234, 3, 1]);
        id.extend_from_slice(&[0; 16]);
        id.extend_from_slice(&[4, 0, 0, 0, 0xAB, 0xCD, 0xEF, 1]);
        b.property(prop::GLOBAL_OBJECT_ID, &New::Binary(&id));
        for (row, (kind, flags, track, name)) in [
            (1, 3, 0, "ann"),
            (1, 1, 3, "bo"),
            (2, 1, 4, "cy"),
            (3, 1, 0, "room"),
        ]
        .into_iter()
        .enumerate()
        {
            b.marker(Marker::StartRecip);
            b.property(Prop::Tag(0x3000), &New::Int(row as i32));
            b.property(prop::RECIPIENT_TYPE, &New::Int(kind));
            b.property(prop::DISPLAY_NAME, &New::Text(name));
            b.property(prop::SMTP_ADDRESS, &New::Text(&format!("{name}@x.test")));
            b.property(prop::RECIPIENT_FLAGS, &New::Int(flags));
            b.property(prop::RECIPIENT_TRACK_STATUS, &New::Int(track));
            b.marker(Marker::EndToRecip);
        }
    });
    let text = String::from_utf8(render(&export).unwrap().bytes).unwrap();
    assert!(
        text.contains("BEGIN:VEVENT\r\n") && text.contains("SUMMARY:Board\r\n"),
        "{text}"
    );
    let item = Object::parse(&export)
        .map(|o| event::event(&o, 0).json)
        .unwrap();
    assert_eq!(item["organizer"]["emailAddress"]["address"], "ann@x.test");
    assert_eq!(item["isOrganizer"], false);
    assert_eq!(item["showAs"], "tentative");
    assert_eq!(item["responseStatus"]["response"], "accepted");
    let people: Vec<_> = item["attendees"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| {
            format!(
                "{} {} {}",
                a["type"].as_str().unwrap(),
                a["status"]["response"].as_str().unwrap(),
                a["emailAddress"]["address"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        people,
        [
            "required accepted bo@x.test",
            "optional declined cy@x.test",
            "resource none room@x.test"
        ]
    );
    assert_eq!(
        item["iCalUId"],
        "040000008200E00074C5B7101A82E008000000000000000000000000000000000000000004000000ABCDEF01"
    );
}

#[test]
fn tasks() {
    // Every second Friday (MS-OXOCAL 2.2.1.44.1), from 2026-03-06 on, five times.
    let friday = 20_518 * 1440 + 194_074_560;
    let words: [(u32, usize); 17] = [
        (0x3004, 2),
        (0x3004, 2),
        (0x200B, 2),
        (1, 2),
        (0, 2),
        (0, 4),
        (2, 4),
        (0, 4),
        (1 << 5, 4),
        (0x2022, 4),
        (5, 4),
        (1, 4),
        (0, 4),
        (0, 4),
        (friday, 4),
        (friday + 80_640, 4),
        (0x3006, 4),
    ];
    let fortnightly: Vec<u8> = words
        .iter()
        .flat_map(|(value, size)| value.to_le_bytes()[..*size].to_vec())
        .collect();
    let export = item("IPM.Task", |b| {
        b.property(prop::SUBJECT, &New::Text("Write"));
        b.property(prop::TASK_STATUS, &New::Int(3));
        b.property(prop::TASK_START, &New::Time(1_772_755_200));
        b.property(prop::TASK_DUE, &New::Time(1_772_841_600));
        b.property(prop::TASK_RECURRENCE, &New::Binary(&fortnightly));
        b.marker(Marker::NewAttach);
        b.property(prop::ATTACH_LONG_NAME, &New::Text("plan.txt"));
        b.property(prop::ATTACH_DATA, &New::Binary(b"plan"));
        b.marker(Marker::EndAttach);
    });
    let rendered = render(&export).unwrap();
    assert_eq!(rendered.notes, Vec::<String>::new());
    let text = String::from_utf8(rendered.bytes.clone()).unwrap();
    for line in [
        "SUMMARY:Write\r\n",
        "STATUS:NEEDS-ACTION\r\n",
        "X-TODO-STATUS:waitingOnOthers\r\n",
        "DTSTART;VALUE=DATE:20260306\r\n",
        "DUE;VALUE=DATE:20260307\r\n",
        "RRULE:FREQ=WEEKLY;COUNT=5;INTERVAL=2;BYDAY=FR;WKST=MO\r\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // It is what To Do's own tasks are written as, and comes back as these do.
    let read = crate::format::ics::todo::read(&rendered.bytes).unwrap();
    let series = &rendered.item["recurrence"];
    assert_eq!(
        read.json["recurrence"]["pattern"]["interval"],
        series["pattern"]["interval"]
    );
    assert_eq!(read.json["recurrence"]["range"]["numberOfOccurrences"], 5);
    assert_eq!(read.files[0].name, "plan.txt");
    assert_eq!(read.files[0].bytes, b"plan");
    assert_eq!(
        rendered.item["dueDateTime"],
        json!({ "dateTime": "2026-03-07T00:00:00.0000000", "timeZone": "UTC" })
    );

    let done = item("IPM.Task", |b| {
        b.property(prop::TASK_STATUS, &New::Int(2));
        b.property(prop::TASK_COMPLETED, &New::Time(1_772_409_600));
    });
    let text = String::from_utf8(render(&done).unwrap().bytes).unwrap();
    for line in ["STATUS:COMPLETED\r\n", "COMPLETED:20260302T000000Z\r\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn a_mail_from_elsewhere_is_what_it_was() {
    let mime = b"Received: from a by b; Sun, 1 Mar 2026 09:00:05 +0000\r\nFrom: Ann <a@x.test>\r\nTo: Bo <b@x.test>\r\n\
        Cc: c@x.test\r\nReply-To: r@x.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Sun, 1 Mar 2026 09:00:00 +0000\r\n\
        Message-ID: <m1@x.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>hi</p>\r\n\
        --b\r\nContent-Type: application/x-y; name=f.bin\r\nContent-Disposition: attachment; filename=f.bin\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: i@x.test\r\n\r\ninner text\r\n\
        --b--\r\n";
    let original = eml::to_graph(mime);
    let export = of_mail(&original, false);
    let rendered = render(&export).unwrap();
    let read = eml::to_graph(&rendered.bytes);
    for name in [
        "subject",
        "from",
        "toRecipients",
        "ccRecipients",
        "internetMessageId",
    ] {
        assert_eq!(read.json[name], original.json[name], "{name}");
    }
    assert_eq!(
        read.json["replyTo"][0]["emailAddress"]["address"],
        "r@x.test"
    );
    assert_eq!(read.received, original.received);
    assert_eq!(
        read.json["body"]["content"].as_str().unwrap().trim(),
        "<p>hi</p>"
    );
    assert_eq!(read.attachments.len(), 2);
    assert_eq!(read.attachments[0].bytes(), original.attachments[0].bytes());
    assert_eq!(
        eml::to_graph(read.attachments[1].bytes()).json["subject"],
        "inner"
    );
    assert_eq!(rendered.item["isRead"], true);
    assert_eq!(rendered.item["isDraft"], false);
}

#[test]
fn an_edited_stream_says_what_was_set_and_nothing_else() {
    let export = vector();
    let mark = Prop::Name([9; 16], "tenantfs");
    let categories = ["Blue".to_owned(), "Grün".to_owned()];
    let set = [
        (mark, New::Text("marked")),
        (prop::KEYWORDS, New::Texts(&categories)),
        (prop::MESSAGE_FLAGS, New::Int(0)),
    ];
    let edited = edit(&export, &[prop::IMPORTANCE], &set).unwrap();
    let object = Object::parse(&edited).unwrap();
    assert_eq!(object.properties.text(mark).as_deref(), Some("marked"));
    assert_eq!(object.properties.texts(prop::KEYWORDS), categories);
    assert_eq!(object.properties.int(prop::MESSAGE_FLAGS), Some(0));
    assert_eq!(object.properties.int(prop::IMPORTANCE), None);
    let before = Object::parse(&export).unwrap();
    assert_eq!(object.recipients.len(), 1);
    assert_eq!(
        object.attachments[0]
            .properties
            .binary(prop::ATTACH_DATA)
            .unwrap(),
        &b"hi!"[..]
    );
    let count = |o: &Object<'_>| o.properties.iter().count();
    assert_eq!(count(&object), count(&before));
    // Back to what it was: the same item, and nothing piles up.
    let again = edit(&edited, &[], &[(mark, New::Text("other"))]).unwrap();
    assert_eq!(count(&Object::parse(&again).unwrap()), count(&object));
    // So is a stream that is only written into.
    let prepended = prepend(&export, mark, &New::Text("first")).unwrap();
    let object = Object::parse(&prepended).unwrap();
    assert_eq!(object.properties.text(mark).as_deref(), Some("first"));
    assert_eq!(count(&object), count(&before) + 1);
    // The frames before the item are its server's.
    assert_eq!(edited[..58], export[..58]);
    assert!(edit(b"no export", &[], &[]).is_err());
}

#[test]
fn nesting_is_bounded() {
    let mut builder = Builder::default();
    for _ in 0..1000 {
        builder.marker(Marker::NewAttach);
        builder.marker(Marker::StartEmbed);
    }
    assert!(matches!(
        render(&builder.finish()),
        Err(Error::TooDeep { .. })
    ));
}

proptest! {
    #[test]
    fn any_bytes_are_read_politely(bytes: Vec<u8>) {
        let _ = render(&bytes);
        let mut builder = Builder::default();
        builder.property(prop::SUBJECT, &New::Text("x"));
        let mut framed = builder.finish();
        let len = (bytes.len() as u32).to_le_bytes();
        framed.extend_from_slice(&[2, 0, 0, 0]);
        framed.extend_from_slice(&len);
        framed.extend_from_slice(&bytes);
        let _ = render(&framed);
        let _ = parts(&framed);
        let _ = edit(&framed, &[], &[]);
    }

    #[test]
    fn damage_anywhere_is_read_politely(changes in proptest::collection::vec((0usize..404, any::<u8>()), 1..6)) {
        let mut export = vector();
        for (at, byte) in changes {
            export[at] = byte;
        }
        let _ = render(&export);
        let _ = parts(&export);
        if let Ok(edited) = edit(&export, &[], &[(prop::MESSAGE_FLAGS, New::Int(1))]) {
            prop_assert_eq!(render(&edited).is_ok(), render(&export).is_ok());
        }
    }
}
