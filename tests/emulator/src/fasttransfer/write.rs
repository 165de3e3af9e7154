//! Writing: properties, then recipients, then attachments.
//!
//! Strings are written as Exchange Online writes them, in code page 1200; the numbers of named
//! properties, which mean nothing outside of a stream, count up from 0x8000.

use std::collections::HashMap;

use super::{MessageContent, Name, Properties, Property, Value, kind, marker};

/// The stream of an item.
pub fn write(content: &MessageContent) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.content(content);
    writer.out
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    names: HashMap<Name, u16>,
}

impl Writer {
    fn content(&mut self, content: &MessageContent) {
        self.properties(&content.props);
        for recipient in &content.recipients {
            self.word(marker::START_RECIP);
            self.properties(recipient);
            self.word(marker::END_TO_RECIP);
        }
        for attached in &content.attachments {
            self.word(marker::NEW_ATTACH);
            self.properties(&attached.props);
            if let Some(embedded) = &attached.embedded {
                self.word(marker::START_EMBED);
                self.content(embedded);
                self.word(marker::END_EMBED);
            }
            self.word(marker::END_ATTACH);
        }
    }

    fn properties(&mut self, all: &Properties) {
        all.0.iter().for_each(|p| self.property(p));
    }

    fn property(&mut self, property: &Property) {
        let kind = match &property.value {
            Value::Text(_) => kind::UTF16,
            value => value.kind(),
        };
        let id = match &property.name {
            Name::Tag(tag) => *tag,
            name => {
                let next = 0x8000 + self.names.len().min(0x7FFE) as u16;
                *self.names.entry(name.clone()).or_insert(next)
            }
        };
        self.word(u32::from(id) << 16 | u32::from(kind));
        match &property.name {
            Name::Tag(_) => {}
            Name::Lid(set, lid) => {
                self.out.extend_from_slice(set);
                self.out.push(0);
                self.word(*lid);
            }
            Name::Text(set, text) => {
                self.out.extend_from_slice(set);
                self.out.push(1);
                self.out.extend_from_slice(&utf16(text));
            }
        }
        self.value(&property.value);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::I16(n) => self.out.extend_from_slice(&n.to_le_bytes()),
            Value::I32(n) => self.out.extend_from_slice(&n.to_le_bytes()),
            Value::F32(n) => self.out.extend_from_slice(&n.to_le_bytes()),
            Value::Error(n) => self.word(*n),
            Value::F64(n) | Value::AppTime(n) => self.out.extend_from_slice(&n.to_le_bytes()),
            Value::I64(n) | Value::Currency(n) | Value::Time(n) => {
                self.out.extend_from_slice(&n.to_le_bytes());
            }
            Value::Bool(b) => self.out.extend_from_slice(&u16::from(*b).to_le_bytes()),
            Value::Guid(guid) => self.out.extend_from_slice(guid),
            Value::Text(text) => self.sized(&utf16(text)),
            Value::Binary(bytes) | Value::Object(bytes) | Value::ServerId(bytes) => {
                self.sized(bytes);
            }
            Value::Many(_, values) => {
                self.word(values.len() as u32);
                values.iter().for_each(|v| self.value(v));
            }
        }
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u32);
        self.out.extend_from_slice(bytes);
    }

    fn word(&mut self, word: u32) {
        self.out.extend_from_slice(&word.to_le_bytes());
    }
}

/// UTF-16LE with the NUL at its end. A NUL inside would end the string early: it is left out.
pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .filter(|unit| *unit != 0)
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}
