//! Writing export streams: a changed copy of one, and one made of a mail.
//!
//! Microsoft calls the stream opaque: that Exchange takes what others wrote follows from
//! MS-OXCFXICS and from how it treats its own, not from a promise.

use serde_json::Value;

use super::Error;
use super::elements::{Element, Elements, Guid, Key, Marker, Property};
use super::frames::{BUFFER, CONFIG, INTERFACE, VERSION, frame_at};
use super::people::{Person, to_entry_list};
use super::properties::{self as prop, Prop, filetime};
use crate::format::eml::{self, Body, GraphMessage};

/// Bytes in one transfer buffer.
const MAX_BUFFER: usize = 31_680;
/// Mails attached to mails.
const MAX_DEPTH: usize = 8;
/// Pseudo-property that says what of the target is removed first: it ends the properties.
const DELETE_FIRST: u16 = 0x4016;

/// A value to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum New<'a> {
    /// 32 bits.
    Int(i32),
    /// True or false.
    Bool(bool),
    /// Unix seconds.
    Time(i64),
    /// Written as UTF-16.
    Text(&'a str),
    /// Several of them.
    Texts(&'a [String]),
    /// Bytes.
    Binary(&'a [u8]),
}

/// Writes the elements of a stream.
#[derive(Debug, Default)]
pub struct Builder {
    payload: Vec<u8>,
}

impl Builder {
    /// Begins or ends something.
    pub fn marker(&mut self, marker: Marker) {
        self.word(marker.number());
    }

    /// Adds a property of what began last.
    pub fn property(&mut self, which: Prop, value: &New<'_>) {
        let kind: u32 = match value {
            New::Int(_) => 0x0003,
            New::Bool(_) => 0x000B,
            New::Time(_) => 0x0040,
            New::Text(_) => 0x84B0,
            New::Texts(_) => 0x101F,
            New::Binary(_) => 0x0102,
        };
        match which {
            Prop::Tag(id) => self.word(u32::from(id) << 16 | kind),
            Prop::Id(set, id) => {
                // Any number from 0x8000 will do: the name says what it is.
                self.word(0x8000_0000 | kind);
                self.payload.extend_from_slice(&set);
                self.payload.push(0);
                self.word(id);
            }
            Prop::Name(set, name) => self.name(set, name, kind),
        }
        match value {
            New::Int(number) => self.word(*number as u32),
            New::Bool(set) => self
                .payload
                .extend_from_slice(&u16::from(*set).to_le_bytes()),
            New::Time(time) => self
                .payload
                .extend_from_slice(&filetime(*time).to_le_bytes()),
            New::Text(text) => self.text(text),
            New::Texts(texts) => {
                self.word(texts.len() as u32);
                texts.iter().for_each(|text| self.text(text));
            }
            New::Binary(bytes) => {
                self.word(bytes.len() as u32);
                self.payload.extend_from_slice(bytes);
            }
        }
    }

    /// A property of several binary values.
    #[cfg(test)]
    pub fn binaries(&mut self, which: Prop, values: &[Vec<u8>]) {
        let Prop::Id(set, id) = which else { return };
        self.word(0x8000_1102);
        self.payload.extend_from_slice(&set);
        self.payload.push(0);
        self.word(id);
        self.word(values.len() as u32);
        for value in values {
            self.word(value.len() as u32);
            self.payload.extend_from_slice(value);
        }
    }

    fn name(&mut self, set: Guid, name: &str, kind: u32) {
        self.word(0x8000_0000 | kind);
        self.payload.extend_from_slice(&set);
        self.payload.push(1);
        self.units(name);
    }

    fn word(&mut self, word: u32) {
        self.payload.extend_from_slice(&word.to_le_bytes());
    }

    fn units(&mut self, text: &str) {
        let units = text.encode_utf16().filter(|unit| *unit != 0).chain([0]);
        self.payload.extend(units.flat_map(u16::to_le_bytes));
    }

    fn text(&mut self, text: &str) {
        let at = self.payload.len();
        self.word(0);
        self.units(text);
        let len = (self.payload.len() - at - 4) as u32;
        self.payload[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// The export, with the frames that Exchange Online puts first.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 1024);
        frame(&mut out, CONFIG, &[0, 0, 0, 0, 1, 0, 0, 0]);
        let mut interface = vec![1, 0, 0, 0];
        // IID_IMessage.
        interface.extend_from_slice(&[
            0x07, 0x03, 0x02, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46,
        ]);
        interface.extend_from_slice(&0x8000_2400u32.to_le_bytes());
        frame(&mut out, INTERFACE, &interface);
        // 15.20.4566.6022.
        frame(&mut out, VERSION, &[0x14, 0x0F, 0xD6, 0x91, 0x86, 0x17]);
        buffers(&mut out, &self.payload);
        out
    }
}

fn frame(out: &mut Vec<u8>, opcode: u32, payload: &[u8]) {
    out.extend_from_slice(&opcode.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
}

fn buffers(out: &mut Vec<u8>, payload: &[u8]) {
    for part in payload.chunks(MAX_BUFFER) {
        frame(out, BUFFER, part);
    }
}

/// A copy of an export whose item has other values for some properties: those in `drop` are left
/// out, those in `set` replaced or added. Everything else, and all frames before the first buffer,
/// is as it was.
///
/// # Errors
/// When the export can't be read up to its first recipient or attachment.
pub fn edit(export: &[u8], drop: &[Prop], set: &[(Prop, New<'_>)]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(export.len() + 1024);
    let mut payload = Vec::with_capacity(export.len());
    let mut at = 0;
    while let Some(found) = frame_at(export, at)? {
        if found.opcode == BUFFER {
            payload.extend_from_slice(&export[found.payload.clone()]);
        } else if payload.is_empty() {
            frame(&mut out, found.opcode, &export[found.payload.clone()]);
        }
        at = found.payload.end;
    }
    // Says so if it is no export.
    Elements::new(export)?;
    let mut builder = Builder::default();
    let mut elements = Elements::unframed(&payload);
    let rest = loop {
        let at = elements.position();
        match elements.read()? {
            Some(Element::Property(property)) if property.key != Key::Tag(DELETE_FIRST) => {
                let replaced = set.iter().map(|(which, _)| which).chain(drop);
                if !replaced.into_iter().any(|which| is(&property, *which)) {
                    let kept = &payload[at..elements.position()];
                    builder.payload.extend_from_slice(kept);
                }
            }
            _ => break at,
        }
    };
    for (which, value) in set {
        builder.property(*which, value);
    }
    builder.payload.extend_from_slice(&payload[rest..]);
    buffers(&mut out, &builder.payload);
    Ok(out)
}

/// A copy of an export whose item begins with one more property, in a buffer of its own: for a stream
/// that can't be read.
///
/// # Errors
/// When its frames can't be read up to the first buffer.
pub fn prepend(export: &[u8], which: Prop, value: &New<'_>) -> Result<Vec<u8>, Error> {
    Elements::new(export)?;
    let mut at = 0;
    while let Some(found) = frame_at(export, at)? {
        if found.opcode == BUFFER {
            break;
        }
        at = found.payload.end;
    }
    let mut builder = Builder::default();
    builder.property(which, value);
    let mut out = export[..at].to_vec();
    buffers(&mut out, &builder.payload);
    out.extend_from_slice(&export[at..]);
    Ok(out)
}

fn is(property: &Property<'_>, which: Prop) -> bool {
    match (which, &property.key) {
        (Prop::Tag(a), Key::Tag(b)) => a == *b,
        (Prop::Id(set, a), Key::Id(its, b)) => set == *its && a == *b,
        (Prop::Name(set, a), Key::Name(its, b)) => set == *its && b.eq_ignore_ascii_case(a),
        _ => false,
    }
}

/// An export of a mail from elsewhere. `unread`: it has not been read yet.
pub fn of_mail(mail: &GraphMessage, unread: bool) -> Vec<u8> {
    let mut builder = Builder::default();
    content(&mut builder, mail, unread, 0);
    builder.finish()
}

fn content(out: &mut Builder, mail: &GraphMessage, unread: bool, depth: usize) {
    let json = &mail.json;
    let text = |name: &str| json[name].as_str().filter(|s| !s.is_empty());
    let extended = |id: &str| {
        let all = json["singleValueExtendedProperties"].as_array()?;
        let found = all.iter().find(|p| p["id"] == id)?;
        found["value"].as_str()
    };
    let time = |text: Option<&str>| Some(text?.parse::<jiff::Timestamp>().ok()?.as_second());
    let sent = time(extended("SystemTime 0x0039"));
    let received = mail.received.or(sent);

    out.property(prop::MESSAGE_CLASS, &New::Text("IPM.Note"));
    let importance = match text("importance") {
        Some("low") => 0,
        Some("high") => 2,
        _ => 1,
    };
    out.property(prop::IMPORTANCE, &New::Int(importance));
    // Without 0x8 (unsent) it is no draft; 0x1 is "read".
    out.property(prop::MESSAGE_FLAGS, &New::Int(i32::from(!unread)));
    for (which, value) in [
        (prop::SUBJECT, text("subject")),
        (prop::INTERNET_MESSAGE_ID, text("internetMessageId")),
        (prop::TRANSPORT_HEADERS, extended("String 0x007D")),
    ] {
        if let Some(value) = value {
            out.property(which, &New::Text(value));
        }
    }
    for (which, value) in [
        (prop::CLIENT_SUBMIT_TIME, sent),
        (prop::DELIVERY_TIME, received),
    ] {
        if let Some(value) = value {
            out.property(which, &New::Time(value));
        }
    }
    let index = text("conversationIndex").and_then(decode_base64);
    if let Some(index) = index {
        out.property(prop::CONVERSATION_INDEX, &New::Binary(&index));
    }
    let sender = [
        prop::SENDER_NAME,
        prop::SENDER_TYPE,
        prop::SENDER_ADDRESS,
        prop::SENDER_SMTP,
    ];
    let from = [
        prop::FROM_NAME,
        prop::FROM_TYPE,
        prop::FROM_ADDRESS,
        prop::FROM_SMTP,
    ];
    for (name, tags) in [("sender", sender), ("from", from)] {
        let who = person(&json[name]).or_else(|| person(&json["from"]));
        if let Some(who) = who {
            address(out, &who, tags);
        }
    }
    let reply_to: Vec<Person> = people(&json["replyTo"]).collect();
    if !reply_to.is_empty() {
        let names: Vec<&str> = reply_to.iter().map(|who| who.name.as_str()).collect();
        out.property(
            prop::REPLY_TO_ENTRIES,
            &New::Binary(&to_entry_list(&reply_to)),
        );
        out.property(Prop::Tag(0x0050), &New::Text(&names.join(";")));
    }
    let body = json["body"]["content"].as_str().unwrap_or_default();
    if json["body"]["contentType"] == "html" {
        out.property(prop::INTERNET_CODE_PAGE, &New::Int(65001));
        out.property(prop::HTML, &New::Binary(body.as_bytes()));
        out.property(Prop::Tag(0x1016), &New::Int(3));
    } else {
        out.property(prop::BODY, &New::Text(body));
        out.property(Prop::Tag(0x1016), &New::Int(1));
    }
    let categories = json["categories"].as_array().into_iter().flatten();
    let categories: Vec<String> = categories
        .filter_map(|c| c.as_str().map(str::to_owned))
        .collect();
    if !categories.is_empty() {
        out.property(prop::KEYWORDS, &New::Texts(&categories));
    }
    recipients(out, json);
    for (number, attachment) in mail.attachments.iter().enumerate() {
        attach(out, attachment, number as i32, depth);
    }
}

fn address(out: &mut Builder, who: &Person, [name, kind, address, smtp]: [Prop; 4]) {
    out.property(name, &New::Text(&who.name));
    out.property(kind, &New::Text("SMTP"));
    out.property(address, &New::Text(&who.address));
    out.property(smtp, &New::Text(&who.address));
}

fn recipients(out: &mut Builder, json: &Value) {
    let kinds = [
        ("toRecipients", 1),
        ("ccRecipients", 2),
        ("bccRecipients", 3),
    ];
    let all = kinds
        .into_iter()
        .flat_map(|(name, kind)| people(&json[name]).map(move |who| (who, kind)));
    for (row, (who, kind)) in all.enumerate() {
        out.marker(Marker::StartRecip);
        out.property(Prop::Tag(0x3000), &New::Int(row as i32));
        out.property(prop::RECIPIENT_TYPE, &New::Int(kind));
        let tags = [
            prop::DISPLAY_NAME,
            prop::ADDRESS_TYPE,
            prop::EMAIL_ADDRESS,
            prop::SMTP_ADDRESS,
        ];
        address(out, &who, tags);
        out.marker(Marker::EndToRecip);
    }
}

fn attach(out: &mut Builder, attachment: &eml::Attachment, number: i32, depth: usize) {
    out.marker(Marker::NewAttach);
    out.property(Prop::Tag(0x0E21), &New::Int(number));
    // -1: not placed within the text.
    out.property(Prop::Tag(0x370B), &New::Int(-1));
    let name = attachment.file_name();
    match &attachment.body {
        Body::Message(mime) if depth < MAX_DEPTH => {
            out.property(prop::ATTACH_METHOD, &New::Int(5));
            out.property(prop::DISPLAY_NAME, &New::Text(&attachment.name));
            out.marker(Marker::StartEmbed);
            content(out, &eml::to_graph(mime), false, depth + 1);
            out.marker(Marker::EndEmbed);
        }
        _ => {
            out.property(prop::ATTACH_METHOD, &New::Int(1));
            out.property(prop::ATTACH_LONG_NAME, &New::Text(&name));
            out.property(prop::DISPLAY_NAME, &New::Text(&name));
            out.property(prop::ATTACH_MIME_TYPE, &New::Text(attachment.mime_type()));
            if let Some(id) = &attachment.content_id {
                out.property(prop::ATTACH_CONTENT_ID, &New::Text(id));
                let referred = if attachment.inline { 4 } else { 0 };
                out.property(prop::ATTACH_FLAGS, &New::Int(referred));
            }
            out.property(prop::ATTACH_DATA, &New::Binary(attachment.bytes()));
        }
    }
    out.marker(Marker::EndAttach);
}

fn person(recipient: &Value) -> Option<Person> {
    let address = recipient["emailAddress"]["address"].as_str()?;
    let name = recipient["emailAddress"]["name"].as_str();
    Some(Person {
        name: name.filter(|n| !n.is_empty()).unwrap_or(address).to_owned(),
        address: address.to_owned(),
    })
}

fn people(list: &Value) -> impl Iterator<Item = Person> {
    list.as_array().into_iter().flatten().filter_map(person)
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
