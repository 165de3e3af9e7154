//! What the properties of a vCard say, as text.

use calcard::common::PartialDateTime;
use calcard::vcard::{VCardEntry, VCardParameterName, VCardParameterValue, VCardValue};

use super::{Photo, image_type};
use crate::format::western;

/// A photo of the kind that its bytes or else the card tells.
pub(super) fn picture_of(told: &str, bytes: &[u8]) -> Option<Photo> {
    let told = told.to_ascii_lowercase();
    let told = told.starts_with("image/").then_some(told);
    let kind = image_type(bytes).map(str::to_owned).or(told)?;
    (!bytes.is_empty()).then(|| Photo {
        content_type: kind,
        bytes: bytes.to_vec(),
    })
}

/// Year, month and day, if all are told and there is such a day.
pub(super) fn whole_date(date: &PartialDateTime) -> Option<jiff::civil::Date> {
    let year = i16::try_from(date.year?).ok()?;
    let (month, day) = (
        i8::try_from(date.month?).ok()?,
        i8::try_from(date.day?).ok()?,
    );
    jiff::civil::Date::new(year, month, day).ok()
}

/// The kinds that a property has, in capitals: `TYPE=work,voice` and the bare words of 2.1.
pub(super) fn types(entry: &VCardEntry) -> Vec<String> {
    let kinds = entry
        .params
        .iter()
        .filter_map(|param| match (&param.name, &param.value) {
            (VCardParameterName::Type, value) => value.as_text(),
            (name, VCardParameterValue::Null) => Some(name.as_str()),
            _ => None,
        });
    kinds.map(str::to_ascii_uppercase).collect()
}

/// All values of a property as one text.
pub(super) fn single(entry: &VCardEntry) -> String {
    joined(entry, ", ")
}

pub(super) fn joined(entry: &VCardEntry, between: &str) -> String {
    texts(entry).collect::<Vec<_>>().join(between)
}

pub(super) fn texts(entry: &VCardEntry) -> impl Iterator<Item = String> {
    entry
        .values
        .iter()
        .map(plain)
        .filter(|text| !text.is_empty())
}

/// Encoded text that is in another charset than the card says is bytes to the parser.
fn bytes_text(bytes: &[u8]) -> String {
    let in_text = |b: &u8| !b.is_ascii_control() || b"\t\r\n".contains(b);
    match bytes.iter().all(in_text) {
        true => clean(&western(bytes)),
        false => format!("{} bytes", bytes.len()),
    }
}

/// A value as text; bytes that are no text are counted.
pub(super) fn plain(value: &VCardValue) -> String {
    component(value, ", ")
}

pub(super) fn component(value: &VCardValue, between: &str) -> String {
    match value {
        VCardValue::Component(parts) => {
            let parts = parts.iter().map(|part| clean(part));
            let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
            parts.join(between)
        }
        VCardValue::Binary(data) => bytes_text(&data.data),
        VCardValue::PartialDateTime(date) => date_text(date),
        VCardValue::Integer(number) => number.to_string(),
        VCardValue::Float(number) => number.to_string(),
        VCardValue::Boolean(truth) => truth.to_string(),
        value => value.as_text().map(clean).unwrap_or_default(),
    }
}

fn date_text(date: &PartialDateTime) -> String {
    let part = |part: Option<u16>, width: usize| match part {
        Some(n) => format!("{n:0width$}"),
        None => "-".into(),
    };
    let two = |n: Option<u8>| part(n.map(u16::from), 2);
    format!(
        "{}-{}-{}",
        part(date.year, 4),
        two(date.month),
        two(date.day)
    )
}

/// Without control characters and white space around it.
fn clean(text: &str) -> String {
    let kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = text.chars().filter(kept).collect();
    text.trim().to_owned()
}

/// Undoes RFC 6868.
pub(super) fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let quoted = match (c, chars.peek()) {
            ('^', Some('\'')) => '"',
            ('^', Some('^')) => '^',
            ('^', Some('n')) => '\n',
            _ => {
                out.push(c);
                continue;
            }
        };
        chars.next();
        out.push(quoted);
    }
    out
}
