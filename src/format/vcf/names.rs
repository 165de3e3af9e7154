//! What the parts of a vCard are called that Graph has no place for, in words for the restore log.

use calcard::vcard::VCardProperty as P;

/// Properties that say nothing of the person.
pub(super) fn is_technical(property: &P) -> bool {
    match property {
        P::Begin | P::End | P::Version | P::Prodid | P::Rev | P::Uid | P::Source => true,
        P::Clientpidmap | P::Created | P::Language | P::Kind | P::Xml => true,
        P::Other(name) => {
            let name = name.to_ascii_uppercase();
            TECHNICAL.contains(&name.as_str())
        }
        _ => false,
    }
}

/// Kind, profile and labels of a card, and what programs keep in one for themselves.
const TECHNICAL: [&str; 14] = [
    "PROFILE",
    "NAME",
    "CLASS",
    "MAILER",
    "SORT-STRING",
    "X-ABUID",
    "X-ABSHOWAS",
    "X-ABADR",
    "X-ABORDER",
    "X-MOZILLA-HTML",
    "X-EVOLUTION-WEBDAV-ETAG",
    "X-MS-OL-DEFAULT-POSTAL-ADDRESS",
    "X-MS-OL-DESIGN",
    "X-MS-CARDPICTURE",
];

/// "the anniversary"; for what has no name here, the property's own.
pub(super) fn of(property: &P) -> String {
    let name = match property {
        P::Anniversary => "the anniversary",
        P::Gender => "the gender",
        P::Lang => "the language",
        P::Tz => "the time zone",
        P::Geo => "the position on the map",
        P::Logo => "the logo",
        P::Sound => "the sound",
        P::Key => "the public key",
        P::Fburl => "the free/busy address",
        P::Caladruri | P::Caluri => "the calendar's address",
        P::Birthplace => "the place of birth",
        P::Deathplace => "the place of death",
        P::Deathdate => "the date of death",
        P::Expertise => "the expertise",
        P::Hobby => "the hobby",
        P::Interest => "the interest",
        P::OrgDirectory => "the directory of the organization",
        P::ContactUri => "the contact address",
        P::Socialprofile => "the social profile",
        P::Pronouns => "the pronouns",
        P::Gramgender => "the grammatical gender",
        P::Other(name) => return format!("the property {}", name.to_ascii_uppercase()),
        other => return format!("the property {}", other.as_str()),
    };
    name.to_owned()
}

/// Kinds of telephones that Graph has no place for: the `TYPE`, and what it is called.
pub(super) const TELEPHONES: [(&str, &str); 18] = [
    ("FAX", "the fax number"),
    ("WORKFAX", "the fax number"),
    ("HOMEFAX", "the fax number"),
    ("PAGER", "the pager number"),
    ("CAR", "the car phone"),
    ("MODEM", "the modem number"),
    ("BBS", "the bulletin board number"),
    ("ISDN", "the ISDN number"),
    ("VIDEO", "the video number"),
    ("TEXTPHONE", "the textphone number"),
    ("TTY-TDD", "the textphone number"),
    ("X-RADIO", "the radio number"),
    ("RADIO", "the radio number"),
    ("X-TELEX", "the telex number"),
    ("TLX", "the telex number"),
    ("X-CALLBACK", "the callback number"),
    ("X-EVOLUTION-CALLBACK", "the callback number"),
    ("ASSISTANT", "the assistant's number"),
];

/// Properties that hold an address of a messaging service, by the prefix that tells the service.
pub(super) const MESSENGERS: [(&str, &str); 16] = [
    ("X-AIM", "aim"),
    ("X-ICQ", "icq"),
    ("X-JABBER", "xmpp"),
    ("X-XMPP", "xmpp"),
    ("X-MSN", "msnim"),
    ("X-YAHOO", "ymsgr"),
    ("X-SKYPE", "skype"),
    ("X-SKYPE-USERNAME", "skype"),
    ("X-GOOGLE-TALK", "gtalk"),
    ("X-GTALK", "gtalk"),
    ("X-GADUGADU", "gg"),
    ("X-GROUPWISE", "groupwise"),
    ("X-QQ", "qq"),
    ("X-TWITTER", "twitter"),
    ("X-MS-IMADDRESS", ""),
    ("X-KADDRESSBOOK-X-IMADDRESS", ""),
];
