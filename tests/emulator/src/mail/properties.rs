//! Extended (MAPI) properties: their ids, which can be written in several ways, and their values.
//!
//! Only what was written is stored; some that Exchange derives from the message are computed
//! (see [`computed`]).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::store::Item;
use crate::api::ApiResponse;
use crate::odata::Object;

/// A property's value: one string, or several.
#[derive(Debug, Clone, PartialEq)]
pub enum PropertyValue {
    Single(String),
    Multi(Vec<String>),
}

/// The properties of an item, by normalised id.
pub type Extended = BTreeMap<String, PropertyValue>;

/// `Integer 0x0E07` and `integer 0xe07` are one property; so are GUIDs in either case.
/// `None`: not an id of a property.
pub fn normalise(id: &str) -> Option<String> {
    let mut words = id.split_whitespace();
    let kind = words.next()?;
    let kind = KINDS.iter().find(|k| k.eq_ignore_ascii_case(kind))?;
    let second = words.next()?;
    if let Some(tag) = second
        .strip_prefix("0x")
        .or_else(|| second.strip_prefix("0X"))
    {
        let tag = u32::from_str_radix(tag, 16).ok().filter(|t| *t <= 0xffff)?;
        return words.next().is_none().then(|| format!("{kind} 0x{tag:x}"));
    }
    let guid = second.strip_prefix('{')?.strip_suffix('}')?;
    let guid = uuid::Uuid::parse_str(guid).ok()?;
    match words.next()?.to_ascii_lowercase().as_str() {
        "id" => {
            let lid = words.next()?;
            let lid = u32::from_str_radix(
                lid.strip_prefix("0x").or_else(|| lid.strip_prefix("0X"))?,
                16,
            )
            .ok()?;
            Some(format!("{kind} {{{guid}}} Id 0x{lid:x}"))
        }
        "name" => {
            let name = id.split_once('}')?.1.trim_start();
            let name = name.get(4..)?.trim();
            (!name.is_empty()).then(|| format!("{kind} {{{guid}}} Name {name}"))
        }
        _ => None,
    }
}

const KINDS: &[&str] = &[
    "ApplicationTime",
    "ApplicationTimeArray",
    "Binary",
    "BinaryArray",
    "Boolean",
    "CLSID",
    "CLSIDArray",
    "Currency",
    "CurrencyArray",
    "Double",
    "DoubleArray",
    "Error",
    "Float",
    "FloatArray",
    "Guid",
    "Integer",
    "IntegerArray",
    "Long",
    "LongArray",
    "Null",
    "Object",
    "ObjectArray",
    "Short",
    "ShortArray",
    "String",
    "StringArray",
    "SystemTime",
    "SystemTimeArray",
];

/// Properties that Exchange has for every message, from what is known of it.
pub fn computed(id: &str, item: &Item, props: &Object) -> Option<String> {
    let flag = |name: &str| props.get(name).and_then(Value::as_bool).unwrap_or(false);
    Some(match id {
        "Integer 0xe07" => {
            let bits = u32::from(item.is_read)
                | u32::from(item.is_draft) << 3
                | u32::from(flag("hasAttachments")) << 4;
            bits.to_string()
        }
        "SystemTime 0xe06" => crate::clock::rfc3339(item.received),
        "SystemTime 0x39" => props.get("sentDateTime")?.as_str()?.to_owned(),
        "Integer 0x36" => "0".to_owned(),
        "String 0x1a" => "IPM.Note".to_owned(),
        "String 0x37" => props.get("subject")?.as_str()?.to_owned(),
        "String 0x1035" => props.get("internetMessageId")?.as_str()?.to_owned(),
        _ => return None,
    })
}

/// Reads `singleValueExtendedProperties` and `multiValueExtendedProperties` of a body into `out`.
pub fn read(body: &Object, out: &mut Extended) -> Result<(), ApiResponse> {
    let refuse = |text: &str| ApiResponse::error(400, "ErrorInvalidProperty", text);
    for (field, multi) in [
        ("singleValueExtendedProperties", false),
        ("multiValueExtendedProperties", true),
    ] {
        let Some(list) = body.get(field) else {
            continue;
        };
        let list = list
            .as_array()
            .ok_or_else(|| refuse(&format!("'{field}' must be an array.")))?;
        for entry in list {
            let id = entry["id"].as_str().unwrap_or_default();
            let key = normalise(id)
                .ok_or_else(|| refuse(&format!("PropertyId values, {id}, are not valid.")))?;
            let value = match (&entry["value"], multi) {
                (Value::String(text), false) => PropertyValue::Single(text.clone()),
                (Value::Array(values), true) if values.iter().all(Value::is_string) => {
                    PropertyValue::Multi(
                        values
                            .iter()
                            .filter_map(Value::as_str)
                            .map(str::to_owned)
                            .collect(),
                    )
                }
                (Value::Null, _) => {
                    out.remove(&key);
                    continue;
                }
                _ => {
                    return Err(refuse(&format!(
                        "The value of extended property '{id}' is not valid."
                    )));
                }
            };
            out.insert(key, value);
        }
    }
    Ok(())
}

/// One `singleValueExtendedProperties($filter=id eq '...')` of an `$expand`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    pub single: Vec<String>,
    pub multi: Vec<String>,
}

impl Wanted {
    /// Reads the ids out of the whole `$expand` text.
    pub fn parse(expand: &str) -> Wanted {
        let mut out = Wanted::default();
        for (field, list) in [
            ("singlevalueextendedproperties(", &mut out.single),
            ("multivalueextendedproperties(", &mut out.multi),
        ] {
            let lower = expand.to_ascii_lowercase();
            let Some(at) = lower.find(field) else {
                continue;
            };
            let inner = &expand[at + field.len()..];
            let inner = &inner[..closing(inner)];
            let mut rest = inner;
            while let Some(start) = rest.find('\'') {
                rest = &rest[start + 1..];
                let Some(end) = rest.find('\'') else { break };
                list.extend(normalise(&rest[..end]));
                rest = &rest[end + 1..];
            }
        }
        out
    }

    pub fn is_empty(&self) -> bool {
        self.single.is_empty() && self.multi.is_empty()
    }

    /// Adds what an item has of the wanted ones to its JSON.
    pub fn show(&self, get: impl Fn(&str) -> Option<PropertyValue>, out: &mut Map<String, Value>) {
        for (field, ids) in [
            ("singleValueExtendedProperties", &self.single),
            ("multiValueExtendedProperties", &self.multi),
        ] {
            let found: Vec<Value> = ids
                .iter()
                .filter_map(|id| match get(id)? {
                    PropertyValue::Single(v) => Some(json!({"id": id, "value": v})),
                    PropertyValue::Multi(v) => Some(json!({"id": id, "value": v})),
                })
                .collect();
            if !found.is_empty() {
                out.insert(field.to_owned(), Value::Array(found));
            }
        }
    }
}

/// Where the parenthesis that is open at the start closes; strings in quotes do not count.
fn closing(text: &str) -> usize {
    let (mut depth, mut quoted) = (1, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_property_has_one_id() {
        assert_eq!(
            normalise("integer 0x0E07").as_deref(),
            Some("Integer 0xe07")
        );
        assert_eq!(
            normalise("String {8F2D1C1E-6b0a-4a53-9c1e-7e0f5d7a9b42} Name tenant fs").as_deref(),
            Some("String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name tenant fs")
        );
        assert_eq!(
            normalise("Binary {00062008-0000-0000-C000-000000000046} Id 0x8501").as_deref(),
            Some("Binary {00062008-0000-0000-c000-000000000046} Id 0x8501")
        );
        for bad in [
            "",
            "String",
            "Strange 0x1",
            "String 0xfffff",
            "String {x} Name y",
            "Integer 3607",
        ] {
            assert_eq!(normalise(bad), None, "{bad}");
        }
    }

    #[test]
    fn expand_names_what_to_show() {
        let w = Wanted::parse(
            "attachments($select=id),singleValueExtendedProperties($filter=id eq 'Integer 0x0E07' or (id eq 'String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name a(b'))",
        );
        assert_eq!(
            w.single,
            [
                "Integer 0xe07",
                "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name a(b"
            ]
        );
        assert!(w.multi.is_empty());
    }
}
