//! Items that Graph has no form for: sticky notes (MS-OXONOTE) and distribution lists (MS-OXOCNTC 2.2.2).

use super::Builder;
use super::entry_id::one_off;
use super::message::{body, subject};
use super::names::{self, *};
use crate::fasttransfer::{MessageContent, Value, kind};
use crate::mail::content::Text;

/// A yellow note. Its first line is what it is called. `at`: seconds since 1970.
pub fn note(text: &str, at: i64) -> MessageContent {
    let mut b = Builder::new();
    b.text(MESSAGE_CLASS, "IPM.StickyNote");
    subject(&mut b, text.lines().next().unwrap_or_default());
    b.int(MESSAGE_FLAGS, 1)
        .time(CREATION_TIME, at)
        .time(LAST_MODIFICATION_TIME, at);
    // Colour, width, height, and where it lies on the screen.
    for (lid, n) in [
        (0x8B00, 3),
        (0x8B02, 200),
        (0x8B03, 166),
        (0x8B04, 80),
        (0x8B05, 80),
    ] {
        b.int(names::note(lid), n);
    }
    body(
        &mut b,
        &Text {
            html: false,
            content: text.to_owned(),
        },
    );
    MessageContent {
        props: b.0,
        ..MessageContent::default()
    }
}

/// A list of people with their addresses.
pub fn list(name: &str, members: &[(String, String)], at: i64) -> MessageContent {
    let ids: Vec<Value> = members
        .iter()
        .map(|(name, address)| Value::Binary(one_off(name, address)))
        .collect();
    let mut b = Builder::new();
    b.text(MESSAGE_CLASS, "IPM.DistList");
    subject(&mut b, name);
    b.int(MESSAGE_FLAGS, 1)
        .time(CREATION_TIME, at)
        .time(LAST_MODIFICATION_TIME, at)
        .text(DISPLAY_NAME, name)
        .text(names::address(0x8005), name)
        .text(names::address(0x8053), name)
        .add(
            names::address(0x8054),
            Value::Many(kind::BINARY, ids.clone()),
        )
        .add(names::address(0x8055), Value::Many(kind::BINARY, ids));
    body(&mut b, &Text::default());
    MessageContent {
        props: b.0,
        ..MessageContent::default()
    }
}
