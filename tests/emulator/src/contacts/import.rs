//! Contacts out of vCards of any version, as far as Graph's model can hold them.
//!
//! What the model has no property for goes to the MAPI property that Outlook uses (fax numbers, pager,
//! second home page, wedding day); the rest of a card (keys, sounds, time zones, a fourth address) is
//! lost, as it would be in Exchange.

use bytes::Bytes;
use calcard::common::{IanaString as _, PartialDateTime};
use calcard::vcard::{
    VCard, VCardEntry, VCardKind, VCardParameterName, VCardParameterValue, VCardProperty,
    VCardValue,
};
use calcard::{Entry, Parser};
use serde_json::{Value, json};

use super::store::{Detail, Photo};
use super::validate::{self, MAX_EMAILS};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::mail::properties::PropertyValue;
use crate::odata::Object;

/// The contacts in a file, and why some of it is none. Cards that tell no time of their last change
/// were changed at `now`, seconds since 1970.
pub fn read(text: &str, now: i64) -> (Vec<Detail>, Vec<String>) {
    let (mut cards, mut reasons) = (Vec::new(), Vec::new());
    let mut parser = Parser::new(text);
    loop {
        match parser.entry() {
            Entry::VCard(card) => match contact(&card, now) {
                Ok(detail) => cards.push(detail),
                Err(reason) => reasons.push(reason.to_owned()),
            },
            Entry::InvalidLine(line) => {
                let start: String = line.chars().take(40).collect();
                reasons.push(format!("not a line of a vCard: {start}"));
            }
            Entry::ICalendar(_) => reasons.push("a calendar among the cards".into()),
            Entry::Eof => break,
            _ => {
                reasons.push("a card that does not end".into());
                break;
            }
        }
    }
    if cards.is_empty() && reasons.is_empty() {
        reasons.push("there is no card in it".into());
    }
    (cards, reasons)
}

fn contact(card: &VCard, now: i64) -> Result<Detail, &'static str> {
    let is_group = |entry: &VCardEntry| {
        entry.values.iter().any(|v| match v {
            VCardValue::Kind(kind) => *kind == VCardKind::Group,
            VCardValue::Text(text) => text.eq_ignore_ascii_case("group"),
            _ => false,
        })
    };
    let mut made = Made {
        card,
        out: Detail::default(),
    };
    for entry in &card.entries {
        let kind = matches!(&entry.name, VCardProperty::Kind)
            || entry
                .name
                .as_str()
                .eq_ignore_ascii_case("X-ADDRESSBOOKSERVER-KIND");
        if kind && is_group(entry) {
            return Err("a group: distribution lists are not contacts");
        }
        made.put(entry);
    }
    let Made { mut out, .. } = made;
    if out.props.is_empty() && out.extended.is_empty() && out.photo.is_none() {
        return Err("a card without anything that a contact can hold");
    }
    validate::complete(&mut out.props);
    // The first address carries the contact's name, as when Outlook adds one.
    let name = out.props.get("displayName").cloned().unwrap_or_default();
    if let Some(first) = out
        .props
        .get_mut("emailAddresses")
        .and_then(|all| all.get_mut(0))
    {
        first["name"] = name;
    }
    if out.modified == 0 {
        out.modified = now;
    }
    out.created = out.modified;
    Ok(out)
}

struct Made<'a> {
    card: &'a VCard,
    out: Detail,
}

/// The values of an entry as text, without those that are empty.
fn texts(entry: &VCardEntry) -> impl Iterator<Item = String> + '_ {
    entry.values.iter().filter_map(|value| {
        let text = match value {
            VCardValue::Text(text) => text.trim().to_owned(),
            VCardValue::Component(parts) => parts.join(", "),
            VCardValue::Integer(n) => n.to_string(),
            VCardValue::Float(n) => n.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    })
}

/// All values as one text.
fn text(entry: &VCardEntry) -> Option<String> {
    let all: Vec<String> = texts(entry).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Component `n` of a structured value.
fn part(entry: &VCardEntry, n: usize) -> Option<String> {
    let text = match entry.values.get(n)? {
        VCardValue::Text(text) => text.trim().to_owned(),
        VCardValue::Component(parts) => parts.join(", "),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The types of an entry in lower case: `work`, `fax`, `pref`.
fn types(entry: &VCardEntry) -> Vec<String> {
    let mut out = Vec::new();
    for param in &entry.params {
        match (&param.name, &param.value) {
            (VCardParameterName::Type, VCardParameterValue::Type(kind)) => {
                out.push(kind.as_str().to_ascii_lowercase());
            }
            (VCardParameterName::Type, VCardParameterValue::Text(text)) => {
                out.extend(text.split(',').map(|t| t.trim().to_ascii_lowercase()));
            }
            (VCardParameterName::Pref, _) => out.push("pref".into()),
            // `TEL;WORK;FAX:`, as version 2.1 writes it.
            (VCardParameterName::Other(name), VCardParameterValue::Null) => {
                out.push(name.to_ascii_lowercase());
            }
            _ => {}
        }
    }
    out
}

/// The day of a complete date, as Graph writes birthdays.
fn day(entry: &VCardEntry) -> Option<String> {
    let date = match entry.values.first()? {
        VCardValue::PartialDateTime(PartialDateTime {
            year: Some(year),
            month: Some(month),
            day: Some(day),
            ..
        }) => format!("{year:04}-{month:02}-{day:02}"),
        VCardValue::Text(text) => {
            let digits: String = text
                .trim()
                .chars()
                .take(10)
                .filter(char::is_ascii_digit)
                .collect();
            let at = |from: usize, to: usize| digits.get(from..to);
            format!("{}-{}-{}", at(0, 4)?, at(4, 6)?, at(6, 8)?)
        }
        _ => return None,
    };
    let seconds = parse_rfc3339(&format!("{date}T00:00:00Z"))?;
    Some(rfc3339(seconds))
}

impl Made<'_> {
    /// Sets a property unless it is there: of several, the first counts.
    fn set(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.out.props.entry(name).or_insert_with(|| json!(value));
        }
    }

    fn push(&mut self, name: &str, value: String) {
        let list = self.out.props.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(list) = list
            && !list.iter().any(|v| v == value.as_str())
        {
            list.push(json!(value));
        }
    }

    /// Sets an extended property unless it is there; tells whether it was free.
    fn extend(&mut self, id: &str, value: String) -> bool {
        let free = !self.out.extended.contains_key(id);
        if free {
            let value = PropertyValue::Single(value);
            self.out.extended.insert(id.to_owned(), value);
        }
        free
    }

    fn put(&mut self, entry: &VCardEntry) {
        match &entry.name {
            VCardProperty::Fn => self.set("displayName", text(entry)),
            VCardProperty::N => {
                let parts = ["surname", "givenName", "middleName", "title", "generation"];
                for (n, name) in parts.into_iter().enumerate() {
                    self.set(name, part(entry, n));
                }
                self.file_as(entry);
            }
            VCardProperty::Nickname => self.set("nickName", text(entry)),
            VCardProperty::Org => {
                self.set("companyName", part(entry, 0));
                let units: Vec<String> = (1..entry.values.len())
                    .filter_map(|n| part(entry, n))
                    .collect();
                self.set("department", (!units.is_empty()).then(|| units.join(", ")));
            }
            VCardProperty::Title => self.set("jobTitle", text(entry)),
            VCardProperty::Role => self.set("profession", text(entry)),
            VCardProperty::Bday => self.set("birthday", day(entry)),
            VCardProperty::Anniversary => self.wedding(entry),
            VCardProperty::Gender => {
                let text = entry.values.first().and_then(VCardValue::as_text);
                let value = match text.and_then(|t| t.chars().next()) {
                    Some('F' | 'f') => "1",
                    Some('M' | 'm') => "2",
                    _ => return,
                };
                self.extend("Short 0x3a4d", value.into());
            }
            VCardProperty::Email => self.email(entry),
            VCardProperty::Tel => self.phone(entry),
            VCardProperty::Adr => self.address(entry),
            VCardProperty::Url => {
                let Some(url) = text(entry) else { return };
                if self.out.props.contains_key("businessHomePage") {
                    self.extend("String 0x3a50", url);
                } else {
                    self.set("businessHomePage", Some(url));
                }
            }
            VCardProperty::Impp => {
                if let Some(address) = text(entry) {
                    self.push("imAddresses", address);
                }
            }
            VCardProperty::Categories => {
                for category in texts(entry) {
                    self.push("categories", category);
                }
            }
            VCardProperty::Note => {
                let Some(note) = text(entry) else { return };
                let before = self.out.props.get("personalNotes").and_then(Value::as_str);
                let all = match before {
                    Some(before) => format!("{before}\r\n\r\n{note}"),
                    None => note,
                };
                self.out.props.insert("personalNotes".into(), json!(all));
            }
            VCardProperty::Related => {
                let kinds = types(entry);
                self.related(text(entry), &|kind| kinds.iter().any(|k| k == kind));
            }
            VCardProperty::Photo => self.photo(entry),
            VCardProperty::Rev => self.changed(entry),
            VCardProperty::Other(name) => self.other(&name.to_ascii_uppercase(), entry),
            _ => {}
        }
    }

    /// Properties outside the standard that address books write.
    fn other(&mut self, name: &str, entry: &VCardEntry) {
        let name = name.strip_prefix("X-").unwrap_or(name);
        let value = text(entry);
        match name {
            "PHONETIC-FIRST-NAME" => self.set("yomiGivenName", value),
            "PHONETIC-LAST-NAME" => self.set("yomiSurname", value),
            "PHONETIC-ORG" => self.set("yomiCompanyName", value),
            "SORT-STRING" | "EVOLUTION-FILE-AS" => self.set("fileAs", value),
            "ASSISTANT"
            | "EVOLUTION-ASSISTANT"
            | "MS-ASSISTANT"
            | "KADDRESSBOOK-X-ASSISTANTSNAME" => self.set("assistantName", value),
            "MANAGER" | "EVOLUTION-MANAGER" | "MS-MANAGER" | "KADDRESSBOOK-X-MANAGERSNAME" => {
                self.set("manager", value);
            }
            "SPOUSE" | "EVOLUTION-SPOUSE" | "MS-SPOUSE" | "KADDRESSBOOK-X-SPOUSESNAME" => {
                self.set("spouseName", value);
            }
            "MS-CHILD" => self.related(value, &|kind| kind == "child"),
            "MS-OFFICELOCATION" | "EVOLUTION-OFFICE" | "KADDRESSBOOK-X-OFFICE" => {
                self.set("officeLocation", value);
            }
            "ANNIVERSARY"
            | "EVOLUTION-ANNIVERSARY"
            | "MS-ANNIVERSARY"
            | "KADDRESSBOOK-X-ANNIVERSARY" => self.wedding(entry),
            "AIM" | "ICQ" | "MSN" | "YAHOO" | "JABBER" | "SKYPE" | "SKYPE-USERNAME"
            | "GADUGADU" | "GOOGLE-TALK" | "GTALK" | "MS-IMADDRESS" | "QQ" => {
                let Some(address) = value else { return };
                let scheme = name.trim_end_matches("-USERNAME").to_ascii_lowercase();
                let whole = address.contains(':') || name == "MS-IMADDRESS";
                let address = match whole {
                    true => address,
                    false => format!("{scheme}:{address}"),
                };
                self.push("imAddresses", address);
            }
            "ABRELATEDNAMES" => {
                // What the name is to the contact is told by the label of the same group.
                let label = self.card.entries.iter().find(|other| {
                    other.group.is_some()
                        && other.group == entry.group
                        && other.name.as_str().eq_ignore_ascii_case("X-ABLABEL")
                });
                let label = label.and_then(text).unwrap_or_default().to_lowercase();
                self.related(value, &|kind| label.contains(kind));
            }
            _ => {}
        }
    }

    fn related(&mut self, name: Option<String>, is: &dyn Fn(&str) -> bool) {
        let Some(name) = name.filter(|n| !n.starts_with("urn:")) else {
            return;
        };
        if is("spouse") || is("partner") {
            self.set("spouseName", Some(name));
        } else if is("child") {
            self.push("children", name);
        } else if is("assistant") || is("agent") {
            self.set("assistantName", Some(name));
        } else if is("manager") {
            self.set("manager", Some(name));
        }
    }

    fn file_as(&mut self, entry: &VCardEntry) {
        let sort: Vec<&str> = entry
            .parameters(&VCardParameterName::SortAs)
            .filter_map(|value| match value {
                VCardParameterValue::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        self.set("fileAs", (!sort.is_empty()).then(|| sort.join(", ")));
    }

    fn wedding(&mut self, entry: &VCardEntry) {
        if let Some(day) = day(entry) {
            self.extend("SystemTime 0x3a41", day);
        }
    }

    /// The first three addresses; a preferred one goes to the front.
    fn email(&mut self, entry: &VCardEntry) {
        let Some(address) = text(entry) else { return };
        let address = address.trim_start_matches("mailto:").to_owned();
        let list = self
            .out
            .props
            .entry("emailAddresses")
            .or_insert_with(|| json!([]));
        let Value::Array(list) = list else { return };
        let new = json!({"name": address, "address": address});
        if list.contains(&new) {
            return;
        }
        match types(entry).iter().any(|t| t == "pref") {
            true => list.insert(0, new),
            false => list.push(new),
        }
        list.truncate(MAX_EMAILS);
    }

    fn phone(&mut self, entry: &VCardEntry) {
        let Some(number) = text(entry) else { return };
        let number = number.trim_start_matches("tel:").to_owned();
        let kinds = types(entry);
        let is = |kind: &str| kinds.iter().any(|k| k == kind);
        let place = match () {
            () if is("fax") && is("home") => "String 0x3a25",
            () if is("fax") && is("work") => "String 0x3a24",
            () if is("fax") => "String 0x3a23",
            () if is("pager") => "String 0x3a21",
            () if is("car") => "String 0x3a1e",
            () if is("isdn") => "String 0x3a2d",
            () if is("cell") && !self.out.props.contains_key("mobilePhone") => {
                return self.set("mobilePhone", Some(number));
            }
            () if is("work") => return self.push("businessPhones", number),
            () if is("home") => return self.push("homePhones", number),
            () => "String 0x3a1f",
        };
        if !self.extend(place, number.clone()) && !is("fax") {
            self.push("businessPhones", number);
        }
    }

    fn address(&mut self, entry: &VCardEntry) {
        let mut out = Object::new();
        // The street is the third component; what stands before it goes on lines of its own.
        let street: Vec<String> = [2, 1, 0]
            .into_iter()
            .filter_map(|n| part(entry, n))
            .collect();
        if !street.is_empty() {
            out.insert("street".into(), json!(street.join("\r\n")));
        }
        let rest = ["city", "state", "postalCode", "countryOrRegion"];
        for (n, name) in rest.into_iter().enumerate() {
            if let Some(value) = part(entry, n + 3) {
                out.insert(name.into(), json!(value));
            }
        }
        if out.is_empty() {
            return;
        }
        let kinds = types(entry);
        let is = |kind: &str| kinds.iter().any(|k| k == kind);
        let wanted = match () {
            () if is("work") => "businessAddress",
            () if is("home") => "homeAddress",
            () => "otherAddress",
        };
        let places = [wanted, "otherAddress", "homeAddress", "businessAddress"];
        let free = places
            .into_iter()
            .find(|name| !self.out.props.contains_key(*name));
        if let Some(free) = free {
            self.out.props.insert(free.into(), Value::Object(out));
        }
    }

    fn photo(&mut self, entry: &VCardEntry) {
        let Some(VCardValue::Binary(data)) = entry.values.first() else {
            return;
        };
        if self.out.photo.is_some() || data.data.is_empty() {
            return;
        }
        let content_type = match data.data.as_slice() {
            [0x89, b'P', b'N', b'G', ..] => "image/png",
            [b'G', b'I', b'F', ..] => "image/gif",
            [0xff, 0xd8, ..] => "image/jpeg",
            _ => data
                .content_type
                .as_deref()
                .filter(|t| t.starts_with("image/"))
                .unwrap_or("image/jpeg"),
        };
        self.out.photo = Some(Photo {
            bytes: Bytes::from(data.data.clone()),
            content_type: content_type.to_owned(),
        });
    }

    fn changed(&mut self, entry: &VCardEntry) {
        let seconds = match entry.values.first() {
            Some(VCardValue::PartialDateTime(time)) => time.to_timestamp(),
            Some(VCardValue::Text(text)) => parse_rfc3339(text.trim()),
            _ => None,
        };
        // A time before Outlook, or one that no calendar has, is a slip.
        if let Some(seconds) = seconds.filter(|s| (0..4_102_444_800).contains(s)) {
            self.out.modified = seconds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(card: &str) -> Detail {
        let (mut cards, reasons) = read(card, 1_000);
        assert_eq!((cards.len(), reasons.len()), (1, 0), "{reasons:?}");
        cards.remove(0)
    }

    #[test]
    fn a_card_of_version_2_1_with_types_that_have_no_name() {
        let detail = one(
            "BEGIN:VCARD\r\nVERSION:2.1\r\nN:Roe;Jane;Q;Dr.;Jr.\r\nFN:Jane Roe\r\nORG:Contoso;Sales\r\n\
             NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:gr=C3=BCn\r\nTEL;WORK;VOICE:+1 1\r\nTEL;WORK;FAX:+1 2\r\n\
             TEL;CELL:+1 3\r\nADR;HOME:;;1 Road;Town;ST;123;Land\r\nEMAIL;INTERNET:a@x.test\r\n\
             EMAIL;PREF;INTERNET:b@x.test\r\nBDAY:19740722\r\nEND:VCARD\r\n",
        );
        let p = &detail.props;
        assert_eq!(
            (&p["surname"], &p["givenName"]),
            (&json!("Roe"), &json!("Jane"))
        );
        assert_eq!(
            (&p["title"], &p["generation"]),
            (&json!("Dr."), &json!("Jr."))
        );
        assert_eq!(
            (&p["companyName"], &p["department"]),
            (&json!("Contoso"), &json!("Sales"))
        );
        assert_eq!(p["personalNotes"], "grün");
        assert_eq!(p["businessPhones"], json!(["+1 1"]));
        assert_eq!(p["mobilePhone"], "+1 3");
        assert_eq!(
            detail.extended["String 0x3a24"],
            PropertyValue::Single("+1 2".into())
        );
        assert_eq!(p["homeAddress"]["city"], "Town");
        assert_eq!(
            p["emailAddresses"][0],
            json!({"name": "Jane Roe", "address": "b@x.test"})
        );
        assert_eq!(p["birthday"], "1974-07-22T00:00:00Z");
        assert_eq!(p["fileAs"], "Roe, Jane");
    }

    #[test]
    fn cards_of_version_3_and_4() {
        let detail = one(
            "BEGIN:VCARD\nVERSION:3.0\nN:Yamada;Taro\nFN:Taro\nX-PHONETIC-LAST-NAME:ヤマダ\nitem1.X-ABRELATEDNAMES:Hanako\n\
             item1.X-ABLabel:_$!<Spouse>!$_\nPHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ\nREV:2020-01-02T03:04:05Z\nEND:VCARD\n",
        );
        assert_eq!(detail.props["yomiSurname"], "ヤマダ");
        assert_eq!(detail.props["spouseName"], "Hanako");
        assert_eq!(detail.modified, 1_577_934_245);
        assert_eq!(detail.photo.unwrap().content_type, "image/jpeg");
        let detail = one(
            "BEGIN:VCARD\nVERSION:4.0\nFN:X\nRELATED;TYPE=child;VALUE=text:Kid\nTEL;VALUE=uri;TYPE=\"voice,home\":tel:+1-2\n\
             IMPP:xmpp:x@y\nANNIVERSARY:20090808\nPHOTO:data:image/png;base64,iVBORw0KGgo=\nEND:VCARD\n",
        );
        assert_eq!(detail.props["children"], json!(["Kid"]));
        assert_eq!(detail.props["homePhones"], json!(["+1-2"]));
        assert_eq!(detail.props["imAddresses"], json!(["xmpp:x@y"]));
        assert!(detail.extended.contains_key("SystemTime 0x3a41"));
        assert_eq!(detail.photo.unwrap().content_type, "image/png");
    }

    #[test]
    fn what_is_no_contact_is_told() {
        for text in [
            "",
            "nothing",
            "BEGIN:VCARD\nVERSION:4.0\nEND:VCARD\n",
            "BEGIN:VCARD\nVERSION:4.0\nKIND:group\nFN:All\nMEMBER:x\nEND:VCARD\n",
        ] {
            let (cards, reasons) = read(text, 0);
            assert!(cards.is_empty() && !reasons.is_empty(), "{text:?}");
        }
    }
}
