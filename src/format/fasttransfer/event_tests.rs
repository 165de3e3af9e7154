//! Series without a known zone, series of any size, and calendar files in each other.

use super::super::tests::item;
use super::super::{Builder, Marker, New, render};
use super::*;

/// Minutes from 1601 to 2026-03-02, a Monday.
const MONDAY: u32 = 20_514 * 1440 + 194_074_560;

/// Every Monday five times, but for the second one; `start` in minutes after midnight.
fn weekly(start: u32, exceptions: u16) -> Vec<u8> {
    let mut blob = Vec::new();
    let mut put = |words: &[(u32, usize)]| {
        for (value, size) in words {
            blob.extend_from_slice(&value.to_le_bytes()[..*size]);
        }
    };
    put(&[(0x3004, 2), (0x3004, 2), (0x200B, 2), (1, 2), (0, 2)]);
    put(&[(0, 4), (1, 4), (0, 4), (1 << 1, 4), (0x2022, 4), (5, 4)]);
    put(&[(0, 4), (1, 4), (MONDAY + 7 * 1440, 4), (0, 4)]);
    put(&[(MONDAY, 4), (MONDAY + 28 * 1440, 4), (0x3006, 4)]);
    put(&[(0x3009, 4), (start, 4), (start + 30, 4)]);
    put(&[(exceptions.into(), 2)]);
    for n in 0..u32::from(exceptions) {
        let at = MONDAY + n * 7 * 1440 + start;
        put(&[(at + 60, 4), (at + 90, 4), (at, 4), (0, 2)]);
    }
    put(&[(0, 4)]);
    for _ in 0..exceptions {
        put(&[(0, 4), (0, 4)]);
    }
    blob
}

fn series(fill: impl FnOnce(&mut Builder), offset: i64, start: u32, exceptions: u16) -> Vec<u8> {
    let begin = 1_772_409_600 + i64::from(start) * 60 - offset;
    item("IPM.Appointment", |b| {
        fill(b);
        b.property(prop::START_WHOLE, &New::Time(begin));
        b.property(prop::END_WHOLE, &New::Time(begin + 1800));
        let blob = weekly(start, exceptions);
        b.property(prop::RECURRENCE, &New::Binary(&blob));
    })
}

#[test]
fn a_series_without_a_known_zone_keeps_its_days() {
    let lines = |offset: i64, start: u32| {
        let text = render(&series(|_| {}, offset, start, 0)).unwrap().bytes;
        String::from_utf8(text).unwrap().replace("\r\n ", "")
    };
    // Half past midnight on a Monday in Berlin is a Sunday in UTC.
    let berlin = lines(3600, 30);
    for line in [
        "DTSTART;TZID=Etc/GMT-1:20260302T003000\r\n",
        "RRULE:FREQ=WEEKLY;COUNT=5;BYDAY=MO;WKST=SU\r\n",
        "EXDATE;TZID=Etc/GMT-1:20260309T003000\r\n",
    ] {
        assert!(berlin.contains(line), "{line}: {berlin}");
    }
    // There is no zone of five and a half hours.
    let delhi = lines(19_800, 120);
    for line in [
        "DTSTART:20260301T203000Z\r\n",
        "RRULE:FREQ=WEEKLY;COUNT=5;BYDAY=SU;WKST=SA\r\n",
        "EXDATE:20260308T203000Z\r\n",
    ] {
        assert!(delhi.contains(line), "{line}: {delhi}");
    }
    assert!(lines(0, 120).contains("DTSTART:20260302T020000Z\r\n"));
}

#[test]
fn what_all_exceptions_have_is_bounded() {
    let long = "long ".repeat(10_000);
    let subject = |b: &mut Builder| b.property(prop::SUBJECT, &New::Text(&long));
    let export = series(subject, 0, 60, 5_000);
    let json = Object::parse(&export).map(|o| event(&o, 0).json).unwrap();
    let exceptions = json["exceptionOccurrences"].as_array().unwrap();
    assert_eq!(exceptions.len(), 5_000);
    assert!(json.to_string().len() < 3 * MAX_REPEATED);
    assert_eq!(exceptions[0]["subject"], long);
    assert_eq!(exceptions[4_999]["showAs"], "busy");
}

#[test]
fn calendar_files_in_each_other_do_not_grow() {
    let data = vec![7; 100_000];
    let nested = |class: &str| {
        let around = item(class, |b| {
            for _ in 0..20 {
                b.marker(Marker::NewAttach);
                b.marker(Marker::StartEmbed);
                b.property(prop::MESSAGE_CLASS, &New::Text(class));
                b.property(prop::SUBJECT, &New::Text("in it"));
            }
            b.marker(Marker::NewAttach);
            b.property(prop::ATTACH_DATA, &New::Binary(&data));
            b.marker(Marker::EndAttach);
            for _ in 0..20 {
                b.marker(Marker::EndEmbed);
                b.marker(Marker::EndAttach);
            }
        });
        render(&around).unwrap()
    };
    for class in ["IPM.Appointment", "IPM.Task"] {
        let rendered = nested(class);
        assert_eq!(rendered.extension, "ics");
        assert!(rendered.bytes.len() < 600_000, "{}", rendered.bytes.len());
        let note = "in it: attached too deeply, and shown as a mail";
        assert!(rendered.notes.iter().all(|told| told == note));
        assert!(!rendered.notes.is_empty());
    }
}
