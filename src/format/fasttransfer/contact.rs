//! Contacts as Graph's `contact`, and distribution lists as groups of a vCard.

use serde_json::{Map, Value, json};

use super::elements::Value as Mapi;
use super::mail;
use super::message::{Object, Properties};
use super::people::{Person, entry_id};
use super::properties::{self as prop, Prop, email, graph_time};
use crate::format::lines::Lines;
use crate::format::vcf::Photo;

/// Properties that are one text in both worlds.
const TEXTS: [(&str, Prop); 22] = [
    ("displayName", prop::DISPLAY_NAME),
    ("givenName", prop::GIVEN_NAME),
    ("middleName", prop::MIDDLE_NAME),
    ("surname", prop::SURNAME),
    ("initials", prop::INITIALS),
    ("generation", prop::GENERATION),
    ("nickName", prop::NICKNAME),
    ("title", prop::NAME_TITLE),
    ("fileAs", prop::FILE_AS),
    ("yomiGivenName", prop::YOMI_GIVEN),
    ("yomiSurname", prop::YOMI_SURNAME),
    ("yomiCompanyName", prop::YOMI_COMPANY),
    ("jobTitle", prop::JOB_TITLE),
    ("companyName", prop::COMPANY_NAME),
    ("department", prop::DEPARTMENT),
    ("officeLocation", prop::OFFICE_LOCATION),
    ("profession", prop::PROFESSION),
    ("assistantName", prop::ASSISTANT),
    ("manager", prop::MANAGER),
    ("spouseName", prop::SPOUSE),
    ("businessHomePage", prop::BUSINESS_HOME_PAGE),
    ("mobilePhone", prop::MOBILE_PHONE),
];

/// Street, city, state, postal code, country.
const ADDRESSES: [(&str, [Prop; 5]); 3] = [
    (
        "homeAddress",
        [
            prop::HOME_STREET,
            prop::HOME_CITY,
            prop::HOME_STATE,
            prop::HOME_POSTAL_CODE,
            prop::HOME_COUNTRY,
        ],
    ),
    (
        "businessAddress",
        [
            prop::WORK_STREET,
            prop::WORK_CITY,
            prop::WORK_STATE,
            prop::WORK_POSTAL_CODE,
            prop::WORK_COUNTRY,
        ],
    ),
    (
        "otherAddress",
        [
            prop::OTHER_STREET,
            prop::OTHER_CITY,
            prop::OTHER_STATE,
            prop::OTHER_POSTAL_CODE,
            prop::OTHER_COUNTRY,
        ],
    ),
];
const ADDRESS_PARTS: [&str; 5] = ["street", "city", "state", "postalCode", "countryOrRegion"];

pub(super) fn contact(object: &Object<'_>) -> (Value, Option<Photo>) {
    let p = &object.properties;
    let mut json = Map::new();
    json.insert("@odata.type".into(), "#microsoft.graph.contact".into());
    for (name, which) in TEXTS {
        if let Some(text) = p.text(which) {
            json.insert(name.into(), text.into());
        }
    }
    let mut say = |name: &str, value: Value| json.insert(name.to_owned(), value);
    let phones =
        |which: [Prop; 2]| -> Vec<String> { which.into_iter().filter_map(|w| p.text(w)).collect() };
    say(
        "businessPhones",
        phones([prop::BUSINESS_PHONE, prop::BUSINESS_PHONE_2]).into(),
    );
    say(
        "homePhones",
        phones([prop::HOME_PHONE, prop::HOME_PHONE_2]).into(),
    );
    let im: Vec<String> = p.text(prop::IM_ADDRESS).into_iter().collect();
    say("imAddresses", im.into());
    say("children", p.texts(prop::CHILDREN).into());
    say("categories", p.texts(prop::KEYWORDS).into());
    let emails: Vec<Value> = (0..3).filter_map(|n| email_of(p, n)).collect();
    say("emailAddresses", emails.into());
    for (name, parts) in ADDRESSES {
        let parts = ADDRESS_PARTS.iter().zip(parts);
        let address: Map<String, Value> = parts
            .filter_map(|(part, which)| Some(((*part).to_owned(), p.text(which)?.into())))
            .collect();
        say(name, address.into());
    }
    let notes = mail::plain_body(p);
    if !notes.trim().is_empty() {
        say("personalNotes", notes.into());
    }
    let birthday = p.time(prop::BIRTHDAY_LOCAL).map(at_noon);
    if let Some(time) = birthday.or(p.time(prop::BIRTHDAY)).and_then(graph_time) {
        say("birthday", time.into());
    }
    for (name, which) in [
        ("createdDateTime", prop::CREATION_TIME),
        ("lastModifiedDateTime", prop::LAST_MODIFICATION_TIME),
    ] {
        if let Some(time) = p.time(which).and_then(graph_time) {
            say(name, time.into());
        }
    }
    (Value::Object(json), photo(object))
}

/// The hour at which Outlook keeps birthdays, of a day that is told without a zone (PidLidBirthdayLocal, MS-OXOCNTC
/// 2.2.1.5.3).
fn at_noon(local: i64) -> i64 {
    local.div_euclid(86_400) * 86_400 + 11 * 3600 + 59 * 60
}

fn email_of(p: &Properties<'_>, n: u32) -> Option<Value> {
    let [shown, kind, address, original] = email(n);
    let is_smtp = p
        .text(kind)
        .is_none_or(|kind| kind.eq_ignore_ascii_case("smtp"));
    let smtp = p
        .text(original)
        .filter(|text| text.contains('@') && !is_smtp);
    let address = smtp.or_else(|| p.text(address))?;
    let name = p.text(shown).unwrap_or_else(|| address.clone());
    Some(json!({ "name": name, "address": address }))
}

/// The picture: an attachment that says it is one.
fn photo(object: &Object<'_>) -> Option<Photo> {
    let is_photo = |p: &Properties<'_>| {
        p.bool(prop::ATTACH_CONTACT_PHOTO) == Some(true)
            || mail::attachment_name(p)
                .is_some_and(|n| n.eq_ignore_ascii_case("ContactPicture.jpg"))
    };
    let attachment = object
        .attachments
        .iter()
        .find(|a| is_photo(&a.properties))?;
    let bytes = attachment.properties.binary(prop::ATTACH_DATA)?;
    Photo::of(bytes.into_owned())
}

/// A personal distribution list as a group (RFC 6350 section 6.1.4).
pub(super) fn list(object: &Object<'_>) -> (Value, Vec<u8>) {
    let p = &object.properties;
    let name = p
        .text(prop::DISPLAY_NAME)
        .unwrap_or_else(|| mail::subject(p));
    let members = members(p);
    let mut card = Lines::default();
    card.begin("VCARD");
    card.put("VERSION", &[], "4.0");
    card.put("KIND", &[], "group");
    card.text("FN", &[], &name);
    let categories = p.texts(prop::KEYWORDS);
    card.texts("CATEGORIES", categories.iter().map(String::as_str));
    for member in &members {
        let params = [("X-CN", member.name.as_str())];
        let params = &params[..usize::from(member.name != member.address)];
        card.put("MEMBER", params, &format!("mailto:{}", member.address));
    }
    let notes = mail::plain_body(p);
    if !notes.trim().is_empty() {
        card.text("NOTE", &[], &notes);
    }
    let members: Vec<Value> = members.iter().map(Person::to_graph).collect();
    let record = json!({
        "@odata.type": "#microsoft.graph.contact",
        "displayName": name,
        "members": members,
        "categories": categories,
    });
    (record, card.finish())
}

/// Members by their one-off entries, which have addresses; else by the others.
fn members(p: &Properties<'_>) -> Vec<Person> {
    let of = |which: Prop| -> Vec<Person> {
        let Some(Mapi::Many(entries)) = p.get(which) else {
            return Vec::new();
        };
        entries
            .iter()
            .filter_map(|entry| match entry {
                Mapi::Binary(bytes) => entry_id(&bytes.bytes()),
                _ => None,
            })
            .collect()
    };
    let members = of(prop::DL_ONE_OFF_MEMBERS);
    if members.is_empty() {
        of(prop::DL_MEMBERS)
    } else {
        members
    }
}
