//! Any vCard to the JSON that creates a contact.
//!
//! Input is hostile: bounded, never trusted to be in one encoding, version or order. What a contact of
//! Graph has no place for becomes a note that names it; nothing leaves a card in silence.

use std::borrow::Cow;

use calcard::vcard::{
    VCard, VCardEntry, VCardKind, VCardParameterName, VCardParameterValue, VCardProperty,
    VCardValue,
};
use calcard::{Entry, Parser};
use serde_json::{Map, Value, json};

use super::values::{
    component, joined, picture_of, plain, single, texts, types, unquote, whole_date,
};
use super::{ADDRESS_PARTS, ADDRESSES, CUSTOMARY, EMAIL_NAME, MAX_PHOTO, NAME_PARTS, Photo, names};
use crate::format::western;

/// Bytes of the largest card: a photo in base64 and room for the rest.
const MAX_FILE: usize = 12 << 20;
/// E-mail addresses of a contact (Outlook has three places).
const MAX_EMAILS: usize = 3;
/// Lines about what is not restored.
const MAX_NOTES: usize = 40;
/// Characters of a value in a note.
const MAX_QUOTED: usize = 60;

/// What a card says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contact {
    /// A Graph contact with properties that can be written, and only those that the card has.
    pub json: Value,
    /// The picture in it, not one that it only names.
    pub photo: Option<Photo>,
    /// What is in the card and has no place in a contact.
    pub notes: Vec<String>,
}

/// Why a file can't become a contact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // Each says in its message what it is.
pub enum Refused {
    #[error("a vCard of {0} bytes is too large: at most {MAX_FILE}")]
    TooLarge(usize),
    #[error("it holds no vCard")]
    NotVcard,
    #[error("it holds {0} vCards, and a file becomes one contact: split it into one file a card")]
    Several(usize),
    #[error("it is a distribution list, and Graph can't create those")]
    Group,
    #[error("the vCard is empty")]
    Empty,
}

/// Reads the one card that a file holds.
///
/// # Errors
/// See [`Refused`].
pub fn read(bytes: &[u8]) -> Result<Contact, Refused> {
    if bytes.len() > MAX_FILE {
        return Err(Refused::TooLarge(bytes.len()));
    }
    let (text, embedded) = one_card(&decode(bytes))?;
    let mut parser = Parser::new(&text);
    let card = loop {
        match parser.entry() {
            Entry::VCard(card) => break card,
            Entry::Eof => return Err(Refused::NotVcard),
            _ => {}
        }
    };
    let mut reader = Reader::default();
    if embedded > 0 {
        reader.note("the card of an agent inside this card is not restored".to_owned());
    }
    reader.card(card)?;
    reader.finish()
}

/// UTF-8, UTF-16 with its mark, or else what Windows wrote in western Europe.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let wide = |from: fn([u8; 2]) -> u16| {
        let units = bytes[2..]
            .chunks_exact(2)
            .map(|pair| from([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes).into(),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes).into(),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}').into(),
            Err(_) => western(bytes),
        },
    }
}

/// The lines of the one card, without cards inside it (the AGENT of vCard 2.1), and how many of
/// those there were.
fn one_card(text: &str) -> Result<(String, usize), Refused> {
    let text: Cow<str> = match text.contains('\n') {
        true => text.into(),
        false => text.replace('\r', "\n").into(),
    };
    let (mut out, mut cards, mut embedded) = (String::with_capacity(text.len()), 0, 0);
    let (mut depth, mut last) = (0_usize, "");
    for line in text.lines() {
        let word = line.trim_end();
        if word.eq_ignore_ascii_case("BEGIN:VCARD") {
            let inside = depth > 0 && last.to_ascii_uppercase().starts_with("AGENT");
            if inside || depth > 1 {
                depth += 1;
                embedded += 1;
            } else {
                depth = 1;
                cards += 1;
            }
        }
        let skipped = depth > 1;
        if word.eq_ignore_ascii_case("END:VCARD") {
            depth = depth.saturating_sub(1);
        }
        if !skipped {
            out.push_str(line);
            out.push_str("\r\n");
        }
        if !word.is_empty() {
            last = line;
        }
    }
    match cards {
        0 => Err(Refused::NotVcard),
        1 => Ok((out, embedded)),
        several => Err(Refused::Several(several)),
    }
}

#[derive(Default)]
struct Reader {
    json: Map<String, Value>,
    photo: Option<Photo>,
    notes: Vec<String>,
    /// Notes beyond what is kept.
    unnoted: usize,
    emails: Vec<(bool, Value)>,
    labels: Vec<String>,
}

impl Reader {
    fn card(&mut self, card: VCard) -> Result<(), Refused> {
        for entry in card.entries {
            let group = entry.name == VCardProperty::Kind
                && matches!(
                    entry.values.first(),
                    Some(VCardValue::Kind(VCardKind::Group))
                );
            if group || entry.name == VCardProperty::Member {
                return Err(Refused::Group);
            }
            self.entry(entry);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Contact, Refused> {
        // Preferred ones first, else in the card's order.
        self.emails.sort_by_key(|(preferred, _)| !preferred);
        let emails: Vec<Value> = self.emails.drain(..).map(|(_, email)| email).collect();
        for email in emails.iter().skip(MAX_EMAILS) {
            let address = email["address"].as_str().unwrap_or_default().to_owned();
            self.lost("an e-mail address beyond the third", &address);
        }
        if !emails.is_empty() {
            let emails = emails.into_iter().take(MAX_EMAILS).collect();
            self.json
                .insert("emailAddresses".into(), Value::Array(emails));
        }
        // A label says again, for printing, what an address says.
        let addresses = ADDRESSES
            .iter()
            .any(|(name, _)| self.json.contains_key(*name));
        for label in std::mem::take(&mut self.labels) {
            if !addresses {
                self.lost("the address label", &label);
            }
        }
        if self.json.is_empty() && self.photo.is_none() {
            return Err(Refused::Empty);
        }
        if self.unnoted > 0 {
            self.notes
                .push(format!("{} more are not restored", self.unnoted));
        }
        Ok(Contact {
            json: Value::Object(self.json),
            photo: self.photo,
            notes: self.notes,
        })
    }

    fn entry(&mut self, entry: VCardEntry) {
        let value = single(&entry);
        match &entry.name {
            VCardProperty::Fn => self.set("displayName", "a second formatted name", value),
            VCardProperty::N => self.name(&entry),
            VCardProperty::Nickname => self.append("nickName", ", ", joined(&entry, ", ")),
            VCardProperty::Bday => self.birthday(&entry),
            VCardProperty::Photo => self.picture(entry),
            VCardProperty::Adr => self.address(&entry),
            VCardProperty::Tel => self.telephone(&entry, value),
            VCardProperty::Email => self.email(&entry, value),
            VCardProperty::Impp => self.push("imAddresses", value),
            VCardProperty::Title => self.set("jobTitle", "a second job title", value),
            VCardProperty::Role => self.set("profession", "a second profession", value),
            VCardProperty::Org => self.organization(&entry),
            VCardProperty::Note => self.append("personalNotes", "\n\n", value),
            VCardProperty::Url => self.set("businessHomePage", "a second web page", value),
            VCardProperty::Categories => {
                for category in texts(&entry) {
                    self.push("categories", category);
                }
            }
            VCardProperty::Related => self.related(&entry, value),
            VCardProperty::Other(name) => {
                let name = name.to_ascii_uppercase();
                self.other(&name, &entry, value);
            }
            property if names::is_technical(property) => {}
            property => self.lost(&names::of(property), &value),
        }
    }

    /// Properties that RFC 6350 does not know.
    fn other(&mut self, name: &str, entry: &VCardEntry, value: String) {
        let customary = CUSTOMARY
            .iter()
            .find(|(_, written, others)| *written == name || others.contains(&name));
        if let Some((property, _, _)) = customary {
            return self.set(property, &format!("a second {name}"), value);
        }
        if let Some((_, service)) = names::MESSENGERS.iter().find(|(known, _)| *known == name) {
            let address = match service.is_empty() || value.contains(':') || value.is_empty() {
                true => value,
                false => format!("{service}:{value}"),
            };
            return self.push("imAddresses", address);
        }
        match name {
            "LABEL" => self.labels.push(value),
            "X-PROFESSION" | "X-KADDRESSBOOK-X-PROFESSION" => {
                self.set("profession", "a second profession", value);
            }
            // Names of groups of properties, and of none.
            "X-ABLABEL" => {}
            _ if names::is_technical(&entry.name) => {}
            _ => self.lost(&names::of(&entry.name), &value),
        }
    }

    fn name(&mut self, entry: &VCardEntry) {
        if NAME_PARTS.iter().any(|part| self.json.contains_key(*part)) {
            return self.lost("a second name", &joined(entry, " "));
        }
        for (part, value) in NAME_PARTS.iter().zip(&entry.values) {
            self.set(part, part, component(value, " "));
        }
        let more: Vec<String> = entry
            .values
            .iter()
            .skip(NAME_PARTS.len())
            .map(plain)
            .collect();
        self.lost("a part of the name", more.join(" ").trim());
        for sort in entry.parameters(&VCardParameterName::SortAs) {
            self.lost(
                "the sort order of the name",
                sort.as_text().unwrap_or_default(),
            );
        }
    }

    fn birthday(&mut self, entry: &VCardEntry) {
        let date = entry.values.first().and_then(|value| match value {
            VCardValue::PartialDateTime(date) => whole_date(date),
            VCardValue::Text(text) => text.get(..10)?.parse().ok(),
            _ => None,
        });
        match date {
            // The hour at which Outlook keeps birthdays: the same day in nearly every time zone.
            Some(date) => {
                let time = format!("{date}T11:59:00Z");
                self.set("birthday", "a second birthday", time);
            }
            None => self.lost("a birthday that is not a whole date", &joined(entry, " ")),
        }
    }

    fn picture(&mut self, entry: VCardEntry) {
        for value in entry.values {
            let (told, picture) = match value {
                VCardValue::Binary(data) => (data.content_type.unwrap_or_default(), data.data),
                VCardValue::Text(link) => {
                    self.lost("a photo that is only a link", &link);
                    continue;
                }
                _ => continue,
            };
            let why = if self.photo.is_some() {
                "a second photo"
            } else if picture.len() > MAX_PHOTO {
                "a photo of more than 4 MB"
            } else if let Some(photo) = picture_of(&told, &picture) {
                self.photo = Some(photo);
                continue;
            } else {
                "a photo that is no picture"
            };
            self.lost(why, &format!("{} bytes", picture.len()));
        }
    }

    fn address(&mut self, entry: &VCardEntry) {
        let value = |at: usize| {
            let value = entry.values.get(at);
            value
                .map(|value| component(value, ", "))
                .unwrap_or_default()
        };
        // Post office box and apartment have no place of their own.
        let street: Vec<String> = [0, 1, 2]
            .map(value)
            .into_iter()
            .filter(|v| !v.is_empty())
            .collect();
        let mut address = Map::new();
        for (at, part) in ADDRESS_PARTS.iter().enumerate() {
            let value = match at {
                0 => street.join("\n"),
                at => value(at + 2),
            };
            if !value.is_empty() {
                address.insert((*part).into(), value.into());
            }
        }
        if address.is_empty() {
            return;
        }
        let types = types(entry);
        let has = |kind: &str| types.iter().any(|t| t == kind);
        let wanted = if has("WORK") {
            "businessAddress"
        } else if has("HOME") {
            "homeAddress"
        } else {
            "otherAddress"
        };
        let free = [wanted, "otherAddress"]
            .into_iter()
            .find(|name| !self.json.contains_key(*name));
        match free {
            Some(name) => {
                if name != wanted {
                    self.note("a second address of its kind is kept as the other address".into());
                }
                self.json.insert(name.into(), Value::Object(address));
            }
            None => self.lost("an address", &joined(entry, ", ")),
        }
    }

    fn telephone(&mut self, entry: &VCardEntry, value: String) {
        let number = value
            .strip_prefix("tel:")
            .map(str::to_owned)
            .unwrap_or(value);
        let types = types(entry);
        let has = |kind: &str| types.iter().any(|t| t == kind);
        if let Some((_, what)) = names::TELEPHONES.iter().find(|(kind, _)| has(kind)) {
            return self.lost(what, &number);
        }
        if has("CELL") || has("IPHONE") || has("PCS") {
            let second = self.json.contains_key("mobilePhone") && !number.is_empty();
            match (second, has("HOME")) {
                (false, _) => self.set("mobilePhone", "", number),
                // A person with two mobile phones has two numbers to be called at.
                (true, true) => self.push("homePhones", number),
                (true, false) => self.push("businessPhones", number),
            }
        } else if has("HOME") {
            self.push("homePhones", number);
        } else {
            self.push("businessPhones", number);
        }
    }

    fn email(&mut self, entry: &VCardEntry, value: String) {
        let address = value
            .strip_prefix("mailto:")
            .map(str::to_owned)
            .unwrap_or(value);
        if address.is_empty() {
            return;
        }
        let types = types(entry);
        if types.iter().any(|t| t == "X400") {
            return self.lost("the X.400 address", &address);
        }
        let preferred = types.iter().any(|t| t == "PREF")
            || entry.parameters(&VCardParameterName::Pref).any(|pref| {
                matches!(
                    pref,
                    VCardParameterValue::Integer(1) | VCardParameterValue::Null
                )
            });
        let mut email = json!({ "address": address });
        let name = VCardParameterName::Other(EMAIL_NAME.to_owned());
        if let Some(name) = entry.parameters(&name).find_map(|value| value.as_text()) {
            email["name"] = unquote(name).into();
        }
        self.emails.push((preferred, email));
    }

    fn organization(&mut self, entry: &VCardEntry) {
        let mut units = entry.values.iter().map(plain);
        let company = units.next().unwrap_or_default();
        let department: Vec<String> = units.filter(|unit| !unit.is_empty()).collect();
        if self.json.contains_key("companyName") || self.json.contains_key("department") {
            return self.lost("a second organization", &joined(entry, ", "));
        }
        self.set("companyName", "", company);
        self.set("department", "", department.join(", "));
    }

    fn related(&mut self, entry: &VCardEntry, value: String) {
        let types = types(entry);
        let has = |kind: &str| types.iter().any(|t| t == kind);
        let link = value.starts_with("urn:") || value.contains("://");
        match () {
            () if link => self.lost("the link to a related card", &value),
            () if has("SPOUSE") => self.set("spouseName", "a second spouse", value),
            () if has("CHILD") => self.push("children", value),
            () if has("AGENT") => self.set("assistantName", "a second assistant", value),
            () => {
                let kind = types.first().map(|t| t.to_lowercase());
                let what = format!(
                    "the related person ({})",
                    kind.as_deref().unwrap_or("related")
                );
                self.lost(&what, &value);
            }
        }
    }

    /// The one value of a property. A second one has no place.
    fn set(&mut self, property: &str, second: &str, value: String) {
        if value.is_empty() {
            return;
        }
        match self.json.get(property) {
            None => drop(self.json.insert(property.into(), value.into())),
            Some(known) if known.as_str() == Some(value.as_str()) => {}
            Some(_) => self.lost(second, &value),
        }
    }

    /// Adds to a list.
    fn push(&mut self, property: &str, value: String) {
        let list = self.json.entry(property).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut()
            && !value.is_empty()
            && !list.contains(&json!(value))
        {
            list.push(value.into());
        }
        if self.json.get(property) == Some(&json!([])) {
            self.json.remove(property);
        }
    }

    /// Adds to a text.
    fn append(&mut self, property: &str, between: &str, value: String) {
        let before = self.json.get(property).and_then(Value::as_str);
        let value = match before {
            Some(before) if !value.is_empty() => format!("{before}{between}{value}"),
            _ => value,
        };
        if !value.is_empty() {
            self.json.insert(property.into(), value.into());
        }
    }

    /// Says that something is not restored.
    fn lost(&mut self, what: &str, value: &str) {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if value.is_empty() {
            return;
        }
        let mut quoted: String = value.chars().take(MAX_QUOTED).collect();
        if quoted.len() < value.len() {
            quoted.push('…');
        }
        self.note(format!(
            "{what} ({quoted}) is not restored: Graph has no place for it"
        ));
    }

    fn note(&mut self, note: String) {
        match self.notes.len() < MAX_NOTES {
            _ if self.notes.contains(&note) => {}
            true => self.notes.push(note),
            false => self.unnoted += 1,
        }
    }
}
