//! Contacts (MS-OXOCNTC), from Graph's form and back.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::message::body;
use super::names::{self, *};
use super::{Builder, restored};
use crate::fasttransfer::{Attached, MessageContent, Name, Value, kind};
use crate::mail::content::Text;
use crate::odata::{Object, field};

pub const CLASS: &str = "IPM.Contact";
const CHILDREN: u16 = 0x3A58;
const BIRTHDAY: u16 = 0x3A42;
/// The attachment is the contact's picture.
const CONTACT_PHOTO: u16 = 0x7FFF;

/// Strings that have a tag of their own.
const TEXTS: &[(&str, u16)] = &[
    ("displayName", DISPLAY_NAME),
    ("generation", 0x3A05),
    ("givenName", 0x3A06),
    ("initials", 0x3A0A),
    ("surname", 0x3A11),
    ("companyName", 0x3A16),
    ("jobTitle", 0x3A17),
    ("department", 0x3A18),
    ("officeLocation", 0x3A19),
    ("mobilePhone", 0x3A1C),
    ("assistantName", 0x3A30),
    ("middleName", 0x3A44),
    ("title", 0x3A45),
    ("profession", 0x3A46),
    ("spouseName", 0x3A48),
    ("manager", 0x3A4E),
    ("nickName", 0x3A4F),
    ("businessHomePage", 0x3A51),
];
/// Strings with a number in the address set.
const NAMED: &[(&str, u32)] = &[
    ("fileAs", 0x8005),
    ("yomiGivenName", 0x802C),
    ("yomiSurname", 0x802D),
    ("yomiCompanyName", 0x802E),
];
const PHONES: &[(&str, [u16; 2])] = &[
    ("businessPhones", [0x3A08, 0x3A1B]),
    ("homePhones", [0x3A09, 0x3A2F]),
];
const PARTS: [&str; 5] = ["street", "city", "state", "postalCode", "countryOrRegion"];

/// Where the parts of an address are, in the order of [`PARTS`].
fn address_names(which: &str) -> [Name; 5] {
    match which {
        "homeAddress" => [0x3A5D, 0x3A59, 0x3A5C, 0x3A5B, 0x3A5A].map(Name::Tag),
        "otherAddress" => [0x3A63, 0x3A5F, 0x3A62, 0x3A61, 0x3A60].map(Name::Tag),
        _ => [0x8045, 0x8046, 0x8047, 0x8048, 0x8049].map(names::address),
    }
}

const ADDRESSES: [&str; 3] = ["homeAddress", "businessAddress", "otherAddress"];

/// A contact as MAPI has it, with its picture.
pub fn write(contact: &Object, photo: Option<&[u8]>) -> MessageContent {
    let text = |name: &str| {
        let value = field(contact, name).as_str();
        value.filter(|t| !t.is_empty())
    };
    let list = |name: &str| {
        let all = field(contact, name).as_array().into_iter().flatten();
        all.filter_map(Json::as_str)
    };
    let mut b = Builder::new();
    b.text(MESSAGE_CLASS, CLASS)
        .text(SUBJECT, text("displayName").unwrap_or_default())
        .int(MESSAGE_FLAGS, 1);
    for (name, tag) in TEXTS {
        b.some_text(*tag, text(name));
    }
    for (name, lid) in NAMED {
        b.some_text(names::address(*lid), text(name));
    }
    for (name, tags) in PHONES {
        for (phone, tag) in list(name).zip(tags) {
            b.text(*tag, phone);
        }
    }
    for which in ADDRESSES {
        for (part, name) in PARTS.iter().zip(address_names(which)) {
            let value = field(contact, which)[*part].as_str();
            b.some_text(name, value.filter(|v| !v.is_empty()));
        }
    }
    let ims: Vec<&str> = list("imAddresses").collect();
    if !ims.is_empty() {
        b.text(names::address(0x8062), &ims.join(";"));
    }
    emails(&mut b, contact);
    for (name, tag) in [
        ("children", Name::Tag(CHILDREN)),
        ("categories", names::keywords()),
    ] {
        let values: Vec<Value> = list(name).map(|v| Value::Text(v.to_owned())).collect();
        if !values.is_empty() {
            b.add(tag, Value::Many(kind::UNICODE, values));
        }
    }
    for (name, tag) in [
        ("birthday", BIRTHDAY),
        ("createdDateTime", CREATION_TIME),
        ("lastModifiedDateTime", LAST_MODIFICATION_TIME),
    ] {
        if let Some(time) = text(name).and_then(super::filetime_of) {
            b.add(tag, Value::Time(time));
        }
    }
    b.bool(names::address(0x8015), photo.is_some());
    let notes = Text {
        html: false,
        content: text("personalNotes").unwrap_or_default().to_owned(),
    };
    body(&mut b, &notes);
    MessageContent {
        props: b.0,
        recipients: Vec::new(),
        attachments: photo.map(picture).into_iter().collect(),
    }
}

fn emails(b: &mut Builder, contact: &Object) {
    let all = field(contact, "emailAddresses").as_array();
    for (n, email) in all.into_iter().flatten().take(3).enumerate() {
        let get = |name: &str| email[name].as_str().unwrap_or_default();
        let (name, address) = (get("name"), get("address"));
        let first = 0x8080 + 0x10 * n as u32;
        b.text(names::address(first), name)
            .text(names::address(first + 2), "SMTP")
            .text(names::address(first + 3), address)
            .text(names::address(first + 4), address)
            .binary(
                names::address(first + 5),
                super::entry_id::one_off(name, address),
            );
    }
}

fn picture(photo: &[u8]) -> Attached {
    let mut b = Builder::new();
    b.int(ATTACH_NUMBER, 0)
        .int(ATTACH_METHOD, 1)
        .int(RENDERING_POSITION, -1)
        .text(ATTACH_LONG_FILENAME, "ContactPicture.jpg")
        .text(ATTACH_FILENAME, "ContactPicture.jpg")
        .text(ATTACH_MIME_TAG, "image/jpeg")
        .bool(ATTACHMENT_HIDDEN, true)
        .bool(CONTACT_PHOTO, true)
        .binary(ATTACH_DATA, photo.to_vec());
    Attached {
        props: b.0,
        embedded: None,
    }
}

/// A contact in Graph's form out of its properties, and its picture.
pub fn read(content: &MessageContent, now: i64) -> (Object, Option<Bytes>) {
    let all = &content.props;
    let text = |name: &Name| {
        let value = all.get(name).and_then(Value::as_text);
        value.filter(|t| !t.is_empty())
    };
    let many = |name: &Name| -> Vec<&str> {
        match all.get(name) {
            Some(Value::Many(_, values)) => values.iter().filter_map(Value::as_text).collect(),
            _ => Vec::new(),
        }
    };
    let mut out = Object::new();
    for (name, tag) in TEXTS {
        out.insert((*name).into(), json!(text(&Name::Tag(*tag))));
    }
    for (name, lid) in NAMED {
        out.insert((*name).into(), json!(text(&names::address(*lid))));
    }
    for (name, tags) in PHONES {
        let phones: Vec<&str> = tags.iter().filter_map(|t| text(&Name::Tag(*t))).collect();
        out.insert((*name).into(), json!(phones));
    }
    for which in ADDRESSES {
        let mut address = json!({});
        for (part, name) in PARTS.iter().zip(address_names(which)) {
            if let Some(value) = text(&name) {
                address[*part] = json!(value);
            }
        }
        out.insert(which.into(), address);
    }
    let ims = text(&names::address(0x8062)).unwrap_or_default();
    let ims: Vec<&str> = ims.split(';').filter(|i| !i.is_empty()).collect();
    out.insert("imAddresses".into(), json!(ims));
    let emails: Vec<Json> = (0..3)
        .filter_map(|n| {
            let address = text(&names::address(0x8083 + 0x10 * n))?;
            let name = text(&names::address(0x8080 + 0x10 * n)).unwrap_or(address);
            Some(json!({"name": name, "address": address}))
        })
        .collect();
    out.insert("emailAddresses".into(), json!(emails));
    out.insert("children".into(), json!(many(&Name::Tag(CHILDREN))));
    out.insert("categories".into(), json!(restored::categories(all)));
    let time = |tag: u16| all.tag(tag).and_then(Value::as_time).map(super::time_text);
    out.insert("birthday".into(), json!(time(BIRTHDAY)));
    for (name, tag) in [
        ("createdDateTime", CREATION_TIME),
        ("lastModifiedDateTime", LAST_MODIFICATION_TIME),
    ] {
        let at = time(tag).unwrap_or_else(|| crate::clock::rfc3339(now));
        out.insert(name.into(), json!(at));
    }
    out.insert("personalNotes".into(), json!(restored::text(all).content));
    let photo = content
        .attachments
        .iter()
        .find(|a| a.props.tag(CONTACT_PHOTO).and_then(Value::as_bool) == Some(true))
        .and_then(|a| a.props.tag(ATTACH_DATA)?.as_binary())
        .map(Bytes::copy_from_slice);
    (out, photo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_comes_back() {
        let given = json!({"displayName": "Jane Roe", "givenName": "Jane", "surname": "Roe", "fileAs": "Roe, Jane", "nickName": "JR",
            "title": "Dr", "generation": "III", "initials": "J.R.", "middleName": "Q", "jobTitle": "CFO", "companyName": "Contoso",
            "department": "D", "officeLocation": "4/2", "profession": "P", "assistantName": "A", "manager": "M", "spouseName": "S",
            "businessHomePage": "https://x.test", "mobilePhone": "+46 70", "yomiGivenName": "ジェーン", "yomiSurname": "ロー", "yomiCompanyName": "C",
            "businessPhones": ["1", "2"], "homePhones": ["3"], "imAddresses": ["sip:a", "sip:b"], "children": ["Bo", "Åsa"], "categories": ["Red"],
            "emailAddresses": [{"name": "Jane", "address": "jane@x.test"}, {"name": "J", "address": "j@x.test"}],
            "homeAddress": {"street": "Storgatan 1", "city": "Åmål"}, "businessAddress": {"countryOrRegion": "SE"}, "otherAddress": {},
            "birthday": "1974-07-22T11:59:00Z", "personalNotes": "first\r\nsecond",
            "createdDateTime": "2026-01-05T10:00:00Z", "lastModifiedDateTime": "2026-01-05T10:00:01Z"});
        let given = given.as_object().unwrap();
        let stream = crate::fasttransfer::write::write(&write(given, Some(b"jpeg")));
        let content = crate::fasttransfer::read::read(&stream).unwrap();
        let (read, photo) = read(&content, 0);
        assert_eq!(&read, given);
        assert_eq!(photo.as_deref(), Some(&b"jpeg"[..]));
    }
}
