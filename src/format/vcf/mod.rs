//! Contacts as vCards (RFC 6350) and back.
//!
//! [`write`] renders the JSON of a Graph contact as a vCard 4.0; [`read`] makes of any vCard (2.1,
//! 3.0, 4.0) the JSON that creates a contact, and says by name what Graph has no place for.
//!
//! Pure: the same record and photo give the same bytes in every run and version, because a file's
//! bytes are its identity. What a vCard has no property for is written as a property that another
//! program made customary (`X-EVOLUTION-FILE-AS`, `X-PHONETIC-LAST-NAME`), so that it survives a
//! restore from the file alone.

mod names;
mod read;
mod values;
mod write;

pub use read::{Contact, Refused, read};
pub use write::write;

/// Bytes of the largest photo that Graph takes.
pub const MAX_PHOTO: usize = 4 << 20;

/// A picture of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// `image/jpeg` and the like.
    pub content_type: String,
    /// The picture's file.
    pub bytes: Vec<u8>,
}

impl Photo {
    /// A picture whose kind is told by its first bytes; `None` if they are no picture.
    pub fn of(bytes: Vec<u8>) -> Option<Self> {
        let content_type = image_type(&bytes)?.to_owned();
        Some(Self {
            content_type,
            bytes,
        })
    }
}

/// What kind of picture these bytes are.
pub fn image_type(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 6] = [
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF8", "image/gif"),
        (b"BM", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
    ];
    kinds
        .iter()
        .find(|(magic, _)| bytes.starts_with(magic))
        .map(|(_, kind)| *kind)
        .or_else(|| (bytes.get(8..12) == Some(b"WEBP".as_slice())).then_some("image/webp"))
}

/// The three addresses of a contact: Graph's property, and the `TYPE` of the vCard's.
const ADDRESSES: [(&str, &str); 3] = [
    ("homeAddress", "home"),
    ("businessAddress", "work"),
    ("otherAddress", ""),
];

/// The parts of an address, in the order of the last five components of `ADR`.
const ADDRESS_PARTS: [&str; 5] = ["street", "city", "state", "postalCode", "countryOrRegion"];

/// Parts of a name, in the order of `N`.
const NAME_PARTS: [&str; 5] = ["surname", "givenName", "middleName", "title", "generation"];

/// Properties that RFC 6350 does not have: Graph's name, the one written, and others that mean the
/// same in the vCards of other programs.
const CUSTOMARY: [(&str, &str, &[&str]); 9] = [
    ("fileAs", "X-EVOLUTION-FILE-AS", &["X-FILE-AS"]),
    ("initials", "X-INITIALS", &["X-MS-INITIALS"]),
    (
        "officeLocation",
        "X-MS-OFFICELOCATION",
        &["X-KADDRESSBOOK-X-OFFICE", "X-EVOLUTION-OFFICE"],
    ),
    (
        "manager",
        "X-MANAGER",
        &[
            "X-EVOLUTION-MANAGER",
            "X-MS-MANAGER",
            "X-KADDRESSBOOK-X-MANAGERSNAME",
        ],
    ),
    (
        "assistantName",
        "X-ASSISTANT",
        &[
            "X-EVOLUTION-ASSISTANT",
            "X-MS-ASSISTANT",
            "X-KADDRESSBOOK-X-ASSISTANTSNAME",
        ],
    ),
    ("yomiGivenName", "X-PHONETIC-FIRST-NAME", &[]),
    ("yomiSurname", "X-PHONETIC-LAST-NAME", &[]),
    ("yomiCompanyName", "X-PHONETIC-ORG", &[]),
    (
        "spouseName",
        "",
        &[
            "X-SPOUSE",
            "X-EVOLUTION-SPOUSE",
            "X-MS-SPOUSE",
            "X-KADDRESSBOOK-X-SPOUSESNAME",
        ],
    ),
];

/// The parameter that carries the display name of an e-mail address.
const EMAIL_NAME: &str = "X-CN";

#[cfg(test)]
mod tests;
