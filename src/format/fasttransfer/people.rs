//! Who: addresses, entry ids and recipients, as Graph has them.

use serde_json::{Value, json};

use super::message::{Object, Properties};
use super::properties::{self as prop, Prop};
use super::text;

/// Entry ids of one list; Exchange allows 500 recipients, lists received may be longer.
const MAX_ENTRIES: usize = 10_000;

/// A name with an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// SMTP, or what Exchange has instead: a distinguished name.
    pub address: String,
}

impl Person {
    /// Graph's `recipient`.
    pub fn to_graph(&self) -> Value {
        json!({ "emailAddress": { "name": self.name, "address": self.address } })
    }

    /// From the properties of a name, an address and its SMTP form.
    pub fn of(properties: &Properties<'_>, name: Prop, address: Prop, smtp: Prop) -> Option<Self> {
        let smtp = properties.text(smtp).filter(|smtp| smtp.contains('@'));
        let address = smtp.or_else(|| properties.text(address));
        let name = properties.text(name);
        if name.is_none() && address.is_none() {
            return None;
        }
        Some(Person {
            name: name.or_else(|| address.clone()).unwrap_or_default(),
            address: address.unwrap_or_default(),
        })
    }
}

/// Who wrote it, and in whose name.
pub fn sender_and_from(properties: &Properties<'_>) -> (Option<Person>, Option<Person>) {
    let sender = Person::of(
        properties,
        prop::SENDER_NAME,
        prop::SENDER_ADDRESS,
        prop::SENDER_SMTP,
    );
    let from = Person::of(
        properties,
        prop::FROM_NAME,
        prop::FROM_ADDRESS,
        prop::FROM_SMTP,
    );
    (sender.clone().or_else(|| from.clone()), from.or(sender))
}

/// The recipients of a kind: 1 To (or required), 2 Cc (or optional), 3 Bcc (or resource).
pub fn recipients<'o, 'a>(
    object: &'o Object<'a>,
    kind: i64,
) -> impl Iterator<Item = (Person, &'o Properties<'a>)> {
    object.recipients.iter().filter_map(move |recipient| {
        // High bits are flags of the transport.
        if recipient.int(prop::RECIPIENT_TYPE).unwrap_or(1) & 0xF != kind {
            return None;
        }
        let person = Person::of(
            recipient,
            prop::DISPLAY_NAME,
            prop::EMAIL_ADDRESS,
            prop::SMTP_ADDRESS,
        )?;
        Some((person, recipient))
    })
}

/// The people in a list of entry ids (MS-OXCDATA 2.3.3: FlatEntryList).
pub fn entry_list(bytes: &[u8]) -> Vec<Person> {
    let number = |at: usize| {
        let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes) as usize)
    };
    let mut people = Vec::new();
    let (Some(count), mut at) = (number(0), 8) else {
        return people;
    };
    for _ in 0..count.min(MAX_ENTRIES) {
        let Some(len) = number(at) else { break };
        let Some(entry) = bytes.get(at + 4..).and_then(|rest| rest.get(..len)) else {
            break;
        };
        people.extend(entry_id(entry));
        at += 4 + len.next_multiple_of(4);
    }
    people
}

/// Provider of addresses that are nowhere else (MS-OXCDATA 2.2.5.1).
const ONE_OFF: [u8; 16] = [
    0x81, 0x2B, 0x1F, 0xA4, 0xBE, 0xA3, 0x10, 0x19, 0x9D, 0x6E, 0x00, 0xDD, 0x01, 0x0F, 0x54, 0x02,
];
/// Provider of the address book (MS-OXCDATA 2.2.5.2).
const ADDRESS_BOOK: [u8; 16] = [
    0xDC, 0xA7, 0x40, 0xC8, 0xC0, 0x42, 0x10, 0x1A, 0xB4, 0xB9, 0x08, 0x00, 0x2B, 0x2F, 0xE1, 0x82,
];

/// The person that an entry id names.
pub fn entry_id(bytes: &[u8]) -> Option<Person> {
    let provider: &[u8] = bytes.get(4..20)?;
    if provider == ADDRESS_BOOK {
        let name = bytes.get(28..)?;
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        let address = text::decode(&name[..end], 0).into_owned();
        return Some(Person {
            name: address.clone(),
            address,
        });
    }
    if provider != ONE_OFF {
        return None;
    }
    let wide = bytes.get(23)? & 0x80 != 0;
    let mut rest = bytes.get(24..)?;
    let mut next = || {
        let (unit, code_page) = if wide {
            (2, text::UTF16)
        } else {
            (1, text::UNTOLD)
        };
        let end = rest.chunks(unit).position(|c| c.iter().all(|b| *b == 0));
        let end = end.map_or(rest.len(), |n| n * unit);
        let found = text::decode(&rest[..end], u32::from(code_page)).into_owned();
        rest = rest.get(end + unit..).unwrap_or_default();
        found
    };
    let (name, _kind, address) = (next(), next(), next());
    Some(Person { name, address })
}

/// An entry id that names a person by SMTP address.
pub fn one_off(person: &Person) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&ONE_OFF);
    // Version 0; Unicode, and no rich text.
    out.extend_from_slice(&[0, 0, 0x01, 0x90]);
    for part in [person.name.as_str(), "SMTP", &person.address] {
        out.extend(part.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
    }
    out
}

/// A list of entry ids.
pub fn to_entry_list(people: &[Person]) -> Vec<u8> {
    let mut entries = Vec::new();
    for person in people {
        let entry = one_off(person);
        entries.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        entries.extend_from_slice(&entry);
        entries.resize(entries.len().next_multiple_of(4), 0);
    }
    let mut out = (people.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.extend_from_slice(&entries);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entry_ids() {
        let people = [
            Person {
                name: "Bo Ek".into(),
                address: "bo@x.test".into(),
            },
            Person {
                name: "Zoë".into(),
                address: "z@x.test".into(),
            },
        ];
        assert_eq!(entry_list(&to_entry_list(&people)), people);
        let mut book = vec![0; 4];
        book.extend_from_slice(&ADDRESS_BOOK);
        book.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        book.extend_from_slice(b"/o=x/cn=bo\0");
        assert_eq!(entry_id(&book).unwrap().address, "/o=x/cn=bo");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_politely(bytes: Vec<u8>, cut in 0usize..150) {
            entry_list(&bytes);
            entry_id(&bytes);
            let good = to_entry_list(&[Person { name: "a".into(), address: "b@c".into() }]);
            entry_list(&good[..cut.min(good.len())]);
        }
    }
}
