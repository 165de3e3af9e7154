//! Graph's JSON to a vCard 4.0.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::ToSpan;
use serde_json::Value;

use super::{ADDRESS_PARTS, ADDRESSES, CUSTOMARY, EMAIL_NAME, NAME_PARTS, Photo};
use crate::format::lines::{self, Lines};

/// A contact as a vCard. Properties come in a fixed order, and only those that say something.
pub fn write(contact: &Value, photo: Option<&Photo>) -> Vec<u8> {
    let mut card = Lines::default();
    card.begin("VCARD");
    card.put("VERSION", &[], "4.0");
    card.text("PRODID", &[], "-//tenantfs//Contact//EN");
    some(&mut card, "UID", &[("VALUE", "text")], text(&contact["id"]));
    if let Some(time) = timestamp(text(&contact["lastModifiedDateTime"])) {
        card.put("REV", &[], &time);
    }
    names(&mut card, contact);
    reach(&mut card, contact);
    addresses(&mut card, contact);
    work_and_life(&mut card, contact);
    for (property, name, _) in CUSTOMARY.iter().filter(|(_, name, _)| !name.is_empty()) {
        some(&mut card, name, &[], text(&contact[*property]));
    }
    if let Some(photo) = photo {
        let data = STANDARD.encode(&photo.bytes);
        let uri = format!("data:{};base64,{data}", photo.content_type);
        card.put("PHOTO", &[], &uri);
    }
    card.finish()
}

fn names(card: &mut Lines, contact: &Value) {
    // FN is the one property that every card must have.
    card.text("FN", &[], &formatted_name(contact));
    let parts = NAME_PARTS.map(|part| text(&contact[part]));
    if parts.iter().any(|part| !part.is_empty()) {
        card.put("N", &[], &parts.map(lines::text).join(";"));
    }
    some(card, "NICKNAME", &[], text(&contact["nickName"]));
    if let Some(date) = birthday(text(&contact["birthday"])) {
        card.put("BDAY", &[], &date);
    }
}

fn reach(card: &mut Lines, contact: &Value) {
    for (at, email) in list(contact, "emailAddresses").enumerate() {
        let (address, shown) = (text(&email["address"]), text(&email["name"]));
        let mut params = Vec::new();
        if at == 0 {
            params.push(("PREF", "1"));
        }
        if !shown.is_empty() && shown != address {
            params.push((EMAIL_NAME, shown));
        }
        if !address.is_empty() || !shown.is_empty() {
            card.text("EMAIL", &params, address);
        }
    }
    for (property, kind) in [("businessPhones", "work"), ("homePhones", "home")] {
        for phone in list(contact, property) {
            let types = [("TYPE", kind), ("TYPE", "voice")];
            some(card, "TEL", &types, text(phone));
        }
    }
    let mobile = text(&contact["mobilePhone"]);
    some(card, "TEL", &[("TYPE", "cell")], mobile);
    for address in list(contact, "imAddresses") {
        link(card, "IMPP", text(address));
    }
    link(card, "URL", text(&contact["businessHomePage"]));
}

fn addresses(card: &mut Lines, contact: &Value) {
    for (property, kind) in ADDRESSES {
        let parts = ADDRESS_PARTS.map(|part| text(&contact[property][part]));
        if parts.iter().any(|part| !part.is_empty()) {
            let types = [("TYPE", kind)];
            let types = &types[..usize::from(!kind.is_empty())];
            card.put(
                "ADR",
                types,
                &format!(";;{}", parts.map(lines::text).join(";")),
            );
        }
    }
}

fn work_and_life(card: &mut Lines, contact: &Value) {
    let company = lines::text(text(&contact["companyName"]));
    match text(&contact["department"]) {
        "" if company.is_empty() => {}
        "" => card.put("ORG", &[], &company),
        department => {
            let department = lines::text(department);
            card.put("ORG", &[], &format!("{company};{department}"));
        }
    }
    some(card, "TITLE", &[], text(&contact["jobTitle"]));
    some(card, "ROLE", &[], text(&contact["profession"]));
    let spouse = [("TYPE", "spouse"), ("VALUE", "text")];
    some(card, "RELATED", &spouse, text(&contact["spouseName"]));
    for child in list(contact, "children") {
        let params = [("TYPE", "child"), ("VALUE", "text")];
        some(card, "RELATED", &params, text(child));
    }
    let categories = list(contact, "categories").map(text);
    card.texts("CATEGORIES", categories.filter(|name| !name.is_empty()));
    some(card, "NOTE", &[], text(&contact["personalNotes"]));
}

/// What the contact is called; Exchange leaves the display name empty for some.
fn formatted_name(contact: &Value) -> String {
    let full = ["title", "givenName", "middleName", "surname", "generation"]
        .map(|part| text(&contact[part]))
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let candidates = [
        text(&contact["displayName"]),
        &full,
        text(&contact["fileAs"]),
        text(&contact["companyName"]),
        text(&contact["emailAddresses"][0]["address"]),
    ];
    let name = candidates.into_iter().find(|name| !name.trim().is_empty());
    name.unwrap_or_default().to_owned()
}

/// A text property, if there is a text.
fn some(card: &mut Lines, name: &str, params: &[(&str, &str)], value: &str) {
    if !value.is_empty() {
        card.text(name, params, value);
    }
}

/// A property that is a URI, except that Exchange takes any text for one.
fn link(card: &mut Lines, name: &str, value: &str) {
    if is_uri(value) {
        card.put(name, &[], value);
    } else {
        some(card, name, &[("VALUE", "text")], value);
    }
}

/// True for `scheme:something` that nothing in a content line can change.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(letters)
        && !rest.is_empty()
        && !rest.contains(|c: char| c.is_control() || c.is_whitespace() || "\\\"<>".contains(c))
}

/// `20260105T100000Z` of `2026-01-05T10:00:00Z`.
fn timestamp(time: &str) -> Option<String> {
    let time: jiff::Timestamp = time.parse().ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    Some(time.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// `19740722` of any hour that Exchange may mean this date by: midnight in UTC, midnight where Outlook is (MS-OXOCNTC
/// 2.2.1.5.1), 11:59. In half a day it is that date in UTC, too.
fn birthday(time: &str) -> Option<String> {
    let date = match time.parse::<jiff::Timestamp>() {
        Ok(time) => {
            let noon = time.checked_add(12.hours()).ok()?;
            noon.to_zoned(jiff::tz::TimeZone::UTC).date()
        }
        Err(_) => time.get(..10)?.parse().ok()?,
    };
    // Year 1 is how Exchange writes "never".
    (date.year() > 1).then(|| date.strftime("%Y%m%d").to_string())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list<'a>(contact: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    contact[name].as_array().into_iter().flatten()
}
