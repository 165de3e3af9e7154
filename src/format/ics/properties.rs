//! Single properties of an event: its end, its text, its people, its attachments.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};

use super::syntax::{Component, Line};
use super::time::{When, parse_duration};
use super::{Refusal, unsupported};
use crate::format::eml::{Attachment, Body};

/// Base64 as files have it: with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A start and a duration: days are days of the calendar, hours are hours.
pub(super) fn after(start: &When, duration: &str) -> Result<When, Refusal> {
    let bad = || unsupported(format!("its duration: {duration:?}"));
    let span = parse_duration(duration)
        .filter(|span| !span.is_negative())
        .ok_or_else(bad)?;
    match start {
        When::Day(day) => {
            let whole = span.get_seconds() % 86_400 == 0;
            let days = i64::from(span.get_days()) + span.get_seconds() / 86_400;
            let end = day.checked_add(jiff::Span::new().try_days(days).map_err(|_| bad())?);
            end.ok().filter(|_| whole).map(When::Day).ok_or_else(bad)
        }
        When::At { local, zone } => {
            let zoned = zone.rules.to_zoned(*local).map_err(|_| bad())?;
            let end = zoned.checked_add(span).map_err(|_| bad())?;
            Ok(When::At {
                local: end.datetime(),
                zone: zone.clone(),
            })
        }
    }
}

pub(super) fn body(c: &Component) -> Option<Value> {
    let html = c.all("X-ALT-DESC").find(|line| {
        line.param("FMTTYPE")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"))
    });
    if let Some(html) = html.map(Line::text).filter(|html| !html.trim().is_empty()) {
        return Some(json!({ "contentType": "html", "content": html }));
    }
    let text = c.text("DESCRIPTION")?;
    Some(json!({ "contentType": "text", "content": text }))
}

/// The places as Exchange had them, if they are still those of LOCATION.
pub(super) fn locations(c: &Component, place: &str) -> Option<Value> {
    let places: Value = serde_json::from_str(&c.text("X-MICROSOFT-LOCATIONS")?).ok()?;
    let names: Option<Vec<&str>> = places
        .as_array()?
        .iter()
        .map(|p| p["displayName"].as_str())
        .collect();
    (names?.join("; ") == place).then_some(places)
}

pub(super) fn show_as(c: &Component) -> &'static str {
    match c.word("X-MICROSOFT-CDO-BUSYSTATUS").as_deref() {
        Some("FREE") => return "free",
        Some("TENTATIVE") => return "tentative",
        Some("BUSY") => return "busy",
        Some("OOF") => return "oof",
        Some("WORKINGELSEWHERE") => return "workingElsewhere",
        _ => {}
    }
    match (c.word("TRANSP").as_deref(), c.word("STATUS").as_deref()) {
        (Some("TRANSPARENT"), _) => "free",
        (_, Some("TENTATIVE")) => "tentative",
        _ => "busy",
    }
}

pub(super) fn sensitivity(c: &Component) -> &'static str {
    match c.word("CLASS").as_deref() {
        None | Some("" | "PUBLIC") => "normal",
        Some("CONFIDENTIAL") => "confidential",
        // What is not known counts as private (RFC 5545 section 3.8.1.3).
        Some(_) => "private",
    }
}

pub(super) fn importance(c: &Component) -> &'static str {
    match c.word("PRIORITY").and_then(|n| n.parse::<i32>().ok()) {
        Some(1..=4) => "high",
        Some(6..=9) => "low",
        _ => "normal",
    }
}

/// Someone with a name and an address, as far as there is one.
pub(super) fn person(line: &Line) -> Option<Value> {
    let value = line.value.trim();
    let address = match value.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => value.get(7..)?,
        _ => line.param("EMAIL").unwrap_or(value),
    };
    let name = line.param("CN").unwrap_or(address);
    if address.is_empty() && name.is_empty() {
        return None;
    }
    Some(json!({ "emailAddress": { "name": name, "address": address } }))
}

pub(super) fn attendee(line: &Line) -> Option<Value> {
    let mut person = person(line)?;
    let param = |name: &str| line.param(name).unwrap_or_default().to_ascii_uppercase();
    let resource = ["RESOURCE", "ROOM"].contains(&param("CUTYPE").as_str());
    person["type"] = json!(match param("ROLE").as_str() {
        _ if resource => "resource",
        "OPT-PARTICIPANT" | "NON-PARTICIPANT" => "optional",
        _ => "required",
    });
    let response = match param("PARTSTAT").as_str() {
        "ACCEPTED" => "accepted",
        "DECLINED" => "declined",
        "TENTATIVE" => "tentativelyAccepted",
        _ => "none",
    };
    person["status"] = json!({ "response": response });
    Some(person)
}

/// An attachment with its content; else why there is none.
pub(super) fn attachment(line: &Line) -> Result<Attachment, String> {
    let value = line.value.trim();
    let named = ["X-FILENAME", "FILENAME", "X-APPLE-FILENAME", "X-LABEL"];
    let name = named
        .iter()
        .find_map(|n| line.param(n))
        .filter(|n| !n.is_empty());
    let param = |name: &str| line.param(name).unwrap_or_default().to_ascii_uppercase();
    let inline_data = value
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let (kind, encoded) = if param("ENCODING") == "BASE64" || param("VALUE") == "BINARY" {
        (line.param("FMTTYPE"), value)
    } else if let Some((head, data)) = inline_data.and_then(|_| value.get(5..)?.split_once(','))
        && let Some(kind) = head.strip_suffix(";base64")
    {
        (line.param("FMTTYPE").or(Some(kind)), data)
    } else {
        return Err(format!("a link is no attachment: {value}"));
    };
    let clean: Vec<u8> = encoded
        .bytes()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    let bytes = BASE64.decode(clean).map_err(|_| {
        format!(
            "the attachment {} is no good base64",
            name.unwrap_or("without a name")
        )
    })?;
    let kind = kind.map(str::trim).filter(|kind| !kind.is_empty());
    let kept = match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("message/rfc822") => Body::Message(bytes),
        _ => Body::File(bytes),
    };
    Ok(Attachment {
        name: name.unwrap_or("attachment").to_owned(),
        content_type: kind.map(str::to_owned),
        content_id: line.param("X-CONTENT-ID").map(str::to_owned),
        inline: param("X-INLINE") == "TRUE",
        body: kept,
    })
}
