//! Reads an exported stream, by the rules alone: nothing of the emulator's own reader is in it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Properties under `001A`, `{guid}/8216` or `{guid}/Keywords`; the bytes of their values.
pub type Properties = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default, PartialEq)]
pub struct Message {
    pub props: Properties,
    pub recipients: Vec<Properties>,
    pub attachments: Vec<(Properties, Option<Message>)>,
}

/// The stream in its frames, which are checked on the way.
pub fn unframe(data: &str) -> Vec<u8> {
    let raw = STANDARD.decode(data).unwrap();
    assert!(data.starts_with("AQAAAAgAAAAAAAAAAQAAAAMAAAAYAAAA"));
    let (mut at, mut opcodes, mut out) = (0, Vec::new(), Vec::new());
    while at < raw.len() {
        let word = |at: usize| u32::from_le_bytes(raw[at..at + 4].try_into().unwrap());
        let (opcode, length) = (word(at), word(at + 4) as usize);
        opcodes.push(opcode);
        if opcode == 2 {
            assert!(length <= 31_680);
            out.extend_from_slice(&raw[at + 8..at + 8 + length]);
        }
        at += 8 + length;
    }
    assert_eq!(opcodes[..3], [1, 3, 4]);
    assert!(opcodes[3..].iter().all(|o| *o == 2));
    out
}

pub fn read(data: &str) -> Message {
    let stream = unframe(data);
    let mut rest = stream.as_slice();
    let message = content(&mut rest);
    assert!(rest.is_empty());
    message
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

fn word(rest: &mut &[u8]) -> u32 {
    u32::from_le_bytes(take(rest, 4).try_into().unwrap())
}

fn peek(rest: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(rest.get(..4)?.try_into().unwrap()))
}

fn content(rest: &mut &[u8]) -> Message {
    let mut out = Message {
        props: properties(rest),
        ..Message::default()
    };
    loop {
        match peek(rest) {
            Some(0x4003_0003) => {
                word(rest);
                out.recipients.push(properties(rest));
                assert_eq!(word(rest), 0x4004_0003);
            }
            Some(0x4000_0003) => {
                word(rest);
                let props = properties(rest);
                let mut embedded = None;
                if peek(rest) == Some(0x4001_0003) {
                    word(rest);
                    embedded = Some(content(rest));
                    assert_eq!(word(rest), 0x4002_0003);
                }
                assert_eq!(word(rest), 0x400E_0003);
                out.attachments.push((props, embedded));
            }
            _ => return out,
        }
    }
}

fn properties(rest: &mut &[u8]) -> Properties {
    let mut out = Properties::new();
    while let Some(tag) = peek(rest) {
        let (kind, id) = (tag as u16, (tag >> 16) as u16);
        if (0x4000..0x4020).contains(&id) {
            break;
        }
        word(rest);
        let name = match id {
            0x8000.. => named(rest),
            _ => format!("{id:04X}"),
        };
        let value = value(rest, kind);
        assert!(out.insert(name, value).is_none());
    }
    out
}

fn named(rest: &mut &[u8]) -> String {
    let set = uuid::Uuid::from_slice_le(take(rest, 16)).unwrap();
    match take(rest, 1)[0] {
        0 => format!("{set}/{:04X}", word(rest)),
        _ => {
            let end = rest.chunks(2).position(|u| u == [0, 0]).unwrap();
            let units: Vec<u16> = take(rest, end * 2)
                .chunks(2)
                .map(|u| u16::from_le_bytes([u[0], u[1]]))
                .collect();
            take(rest, 2);
            format!("{set}/{}", String::from_utf16(&units).unwrap())
        }
    }
}

fn value(rest: &mut &[u8], kind: u16) -> Vec<u8> {
    let size = |kind: u16| match kind {
        0x0002 | 0x000B => Some(2),
        0x0003 | 0x0004 | 0x000A => Some(4),
        0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => Some(8),
        0x0048 => Some(16),
        _ => None,
    };
    let one = |rest: &mut &[u8], kind: u16| {
        let length = size(kind).unwrap_or_else(|| word(rest) as usize);
        take(rest, length).to_vec()
    };
    if kind & 0x8000 == 0 && kind & 0x1000 != 0 {
        let count = word(rest);
        let mut out = Vec::new();
        for _ in 0..count {
            out.extend(one(rest, kind & !0x1000));
        }
        return out;
    }
    one(rest, kind)
}

/// A string as it is in a value: UTF-16 with its NUL.
pub fn text(value: &[u8]) -> String {
    let units: Vec<u16> = value
        .chunks(2)
        .map(|u| u16::from_le_bytes([u[0], u[1]]))
        .collect();
    let text = String::from_utf16(&units).unwrap();
    text.strip_suffix('\0').unwrap().to_owned()
}
