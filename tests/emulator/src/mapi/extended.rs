//! MAPI properties as Graph's extended properties, and back: `Integer 0x1080`,
//! `String {guid} Name x`, values as strings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{filetime_of, time_text};
use crate::fasttransfer::{Name, Property, Value, kind};
use crate::mail::properties::PropertyValue;

const KINDS: &[(u16, &str)] = &[
    (kind::I16, "Short"),
    (kind::I32, "Integer"),
    (kind::F32, "Float"),
    (kind::F64, "Double"),
    (kind::CURRENCY, "Currency"),
    (kind::APP_TIME, "ApplicationTime"),
    (kind::ERROR, "Error"),
    (kind::BOOL, "Boolean"),
    (kind::OBJECT, "Object"),
    (kind::I64, "Long"),
    (kind::UNICODE, "String"),
    (kind::TIME, "SystemTime"),
    (kind::GUID, "CLSID"),
    (kind::BINARY, "Binary"),
];

/// A property under the (normalised) id that Graph has for it; `None` for types it has none for.
pub fn to_graph(property: &Property) -> Option<(String, PropertyValue)> {
    let (base, many) = match &property.value {
        Value::Many(kind, _) => (*kind, "Array"),
        value => (value.kind(), ""),
    };
    let (_, word) = KINDS.iter().find(|(k, _)| *k == base)?;
    let set = |guid: &[u8; 16]| uuid::Uuid::from_bytes_le(*guid);
    let id = match &property.name {
        Name::Tag(tag) => format!("{word}{many} 0x{tag:x}"),
        Name::Lid(guid, lid) => format!("{word}{many} {{{}}} Id 0x{lid:x}", set(guid)),
        Name::Text(guid, name) => format!("{word}{many} {{{}}} Name {}", set(guid), name.trim()),
    };
    let value = match &property.value {
        Value::Many(_, values) => PropertyValue::Multi(values.iter().map(text).collect()),
        value => PropertyValue::Single(text(value)),
    };
    Some((id, value))
}

fn text(value: &Value) -> String {
    match value {
        Value::I16(n) => n.to_string(),
        Value::I32(n) => n.to_string(),
        Value::I64(n) | Value::Currency(n) => n.to_string(),
        Value::F32(n) => n.to_string(),
        Value::F64(n) | Value::AppTime(n) => n.to_string(),
        Value::Error(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Time(time) => time_text(*time),
        Value::Guid(guid) => uuid::Uuid::from_bytes_le(*guid).to_string(),
        Value::Text(text) => text.clone(),
        Value::Binary(bytes) | Value::Object(bytes) | Value::ServerId(bytes) => {
            STANDARD.encode(bytes)
        }
        Value::Many(..) => String::new(),
    }
}

/// The name and type that a normalised id stands for.
pub fn name(id: &str) -> Option<(Name, u16)> {
    let (word, rest) = id.split_once(' ')?;
    let (word, many) = match word.strip_suffix("Array") {
        Some(word) => (word, kind::MANY),
        None => (word, 0),
    };
    let word = if word == "Guid" { "CLSID" } else { word };
    let (kind, _) = KINDS.iter().find(|(_, w)| *w == word)?;
    let hex = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let name = match rest.strip_prefix('{') {
        None => Name::Tag(u16::try_from(hex(rest)?).ok().filter(|t| *t < 0x8000)?),
        Some(rest) => {
            let (set, rest) = rest.split_once("} ")?;
            let set = uuid::Uuid::parse_str(set).ok()?.to_bytes_le();
            match rest.split_once(' ')? {
                ("Id", lid) => Name::Lid(set, hex(lid)?),
                ("Name", text) => Name::Text(set, text.to_owned()),
                _ => return None,
            }
        }
    };
    Some((name, kind | many))
}

/// An extended property as a MAPI property; `None` when its value is not of its type.
pub fn from_graph(id: &str, value: &PropertyValue) -> Option<Property> {
    let (name, kind) = name(id)?;
    let element = kind & !kind::MANY;
    let value = match (value, kind & kind::MANY != 0) {
        (PropertyValue::Single(text), false) => single(element, text)?,
        (PropertyValue::Multi(texts), true) => {
            let values = texts.iter().map(|t| single(element, t));
            Value::Many(element, values.collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(Property { name, value })
}

fn single(kind: u16, text: &str) -> Option<Value> {
    Some(match kind {
        kind::I16 => Value::I16(text.parse().ok()?),
        kind::I32 => Value::I32(text.parse().ok()?),
        kind::I64 => Value::I64(text.parse().ok()?),
        kind::CURRENCY => Value::Currency(text.parse().ok()?),
        kind::F32 => Value::F32(text.parse().ok()?),
        kind::F64 => Value::F64(text.parse().ok()?),
        kind::APP_TIME => Value::AppTime(text.parse().ok()?),
        kind::ERROR => Value::Error(text.parse().ok()?),
        kind::BOOL => Value::Bool(match text {
            _ if text.eq_ignore_ascii_case("true") => true,
            _ if text.eq_ignore_ascii_case("false") => false,
            "1" => true,
            "0" => false,
            _ => return None,
        }),
        kind::TIME => Value::Time(filetime_of(text)?),
        kind::GUID => Value::Guid(uuid::Uuid::parse_str(text).ok()?.to_bytes_le()),
        kind::BINARY => Value::Binary(STANDARD.decode(text).ok()?),
        kind::OBJECT => Value::Object(STANDARD.decode(text).ok()?),
        kind::UNICODE => Value::Text(text.to_owned()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::properties::normalise;

    #[test]
    fn a_property_comes_back_as_it_went() {
        let set = *crate::mapi::names::COMMON;
        for (name, value) in [
            (Name::Tag(0x1080), Value::I32(-1)),
            (Name::Lid(set, 0x8501), Value::Bool(true)),
            (
                Name::Text(set, "a b".into()),
                Value::Many(kind::UNICODE, vec![Value::Text("x y".into())]),
            ),
            (Name::Tag(0x3007), Value::Time(134_168_292_001_234_567)),
            (Name::Tag(0x300B), Value::Binary(vec![0, 255])),
            (Name::Tag(0x6001), Value::Many(kind::BINARY, vec![])),
            (Name::Tag(0x6002), Value::Guid(set)),
        ] {
            let property = Property { name, value };
            let (id, value) = to_graph(&property).unwrap();
            assert_eq!(normalise(&id).as_deref(), Some(id.as_str()));
            assert_eq!(from_graph(&id, &value), Some(property), "{id}");
        }
    }
}
