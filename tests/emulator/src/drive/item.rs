//! Drive items as the store keeps them, and the shapes of their ids and tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::content::Content;
use super::home::Person;
use super::sharing::Sharing;
use super::special::Special;

/// Place of an item in its drive's table. Never used again for another item.
pub type Index = u32;

/// The root folder of every drive.
pub const ROOT: Index = 0;

/// All root ids end like this, whatever the drive.
const ROOT_TAIL: &str = "56Y2GOVW7725BZO354PWSELRRZ";
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Values of a library's columns, by the columns' internal names.
pub type Fields = Map<String, Value>;

/// Who made or changed an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The person the drive belongs to.
    Owner,
    /// Somebody else of the tenant.
    Person(Arc<Person>),
    /// An application without a signed-in user.
    App(Arc<str>),
    /// The service itself.
    System,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub guid: u128,
    pub name: String,
    /// The root is its own parent.
    pub parent: Index,
    pub kind: Kind,
    /// Seconds since 1970, as are all times here: drives have no finer ones.
    pub created: i64,
    pub modified: i64,
    pub created_by: Actor,
    pub modified_by: Actor,
    /// Counts changes of anything about the item.
    pub etag: u32,
    /// Counts changes of the content.
    pub ctag: u32,
    pub malware: bool,
    /// Most items have none.
    pub special: Option<Box<Special>>,
    pub sharing: Option<Box<Sharing>>,
    /// What the library's own columns hold; most items have nothing there.
    pub fields: Option<Box<Fields>>,
    pub deleted: bool,
    /// The drive's change number at which this item changed last.
    pub seq: u64,
    /// As `seq`, for a change of its permissions.
    pub sharing_seq: u64,
    /// When `seq` was given.
    pub changed_at: i64,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Folder(Folder),
    File(FileState),
    /// A shortcut to a folder of another drive.
    Remote(Remote),
}

#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// By [`collision_key`](super::names::collision_key), which is also the order of listings.
    pub children: BTreeMap<String, Index>,
    /// Bytes of all files below, at any depth.
    pub size: u64,
    /// A OneNote notebook.
    pub notebook: bool,
}

#[derive(Clone, Debug)]
pub struct FileState {
    pub content: Content,
    /// Number of the current version: `"4.0"` is 4.
    pub version: u32,
    /// What it was before, oldest first.
    pub older: Vec<Version>,
}

impl FileState {
    pub fn new(content: Content) -> FileState {
        FileState {
            content,
            version: 1,
            older: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Version {
    pub number: u32,
    pub content: Content,
    pub modified: i64,
    pub modified_by: Actor,
    pub fields: Option<Box<Fields>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub drive_id: String,
    pub item_id: String,
    pub name: String,
    pub is_folder: bool,
}

impl Item {
    pub fn folder(&self) -> Option<&Folder> {
        match &self.kind {
            Kind::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    pub fn file(&self) -> Option<&FileState> {
        match &self.kind {
            Kind::File(file) => Some(file),
            _ => None,
        }
    }

    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::Folder(folder) => folder.size,
            Kind::File(file) => file.content.len(),
            Kind::Remote(_) => 0,
        }
    }

    pub fn guid_text(&self) -> String {
        guid_text(self.guid)
    }

    /// `"{GUID},N"`, quotes included.
    pub fn etag_text(&self) -> String {
        format!("\"{{{}}},{}\"", self.guid_text(), self.etag)
    }

    /// `"c:{GUID},N"`, quotes included.
    pub fn ctag_text(&self) -> String {
        format!("\"c:{{{}}},{}\"", self.guid_text(), self.ctag)
    }

    /// True when an `If-Match` or `If-None-Match` value means this item as it is now.
    pub fn matches(&self, tags: &str) -> bool {
        let (etag, ctag) = (self.etag_text(), self.ctag_text());
        tags.trim() == "*"
            || split_tags(tags).any(|t| t == etag.trim_matches('"') || t == ctag.trim_matches('"'))
    }
}

/// Tags hold commas themselves (`"{GUID},4"`), so a list is split at its quotes.
fn split_tags(tags: &str) -> impl Iterator<Item = &str> {
    let quoted = tags.contains('"');
    tags.split('"')
        .enumerate()
        .filter(move |(i, _)| !quoted || i % 2 == 1)
        .map(|(_, tag)| tag.trim())
}

/// Upper-case GUID with dashes.
pub fn guid_text(guid: u128) -> String {
    uuid::Uuid::from_u128(guid)
        .as_hyphenated()
        .to_string()
        .to_ascii_uppercase()
}

/// 34 characters: the drive's own eight, then the item's GUID in base32.
pub fn item_id(prefix: &str, index: Index, guid: u128) -> String {
    if index == ROOT {
        return format!("{prefix}{ROOT_TAIL}");
    }
    let mut id = String::with_capacity(34);
    id.push_str(prefix);
    for i in (0..26).rev() {
        id.push(ALPHABET[(guid >> (5 * i) & 31) as usize] as char);
    }
    id
}

/// What an item id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdTail {
    Root,
    Guid(u128),
}

/// Takes an id of the drive with this prefix apart; `None` when it cannot be one.
pub fn parse_item_id(prefix: &str, id: &str) -> Option<IdTail> {
    let tail = id.strip_prefix(prefix)?;
    if tail == ROOT_TAIL {
        return Some(IdTail::Root);
    }
    if tail.len() != 26 {
        return None;
    }
    let mut guid: u128 = 0;
    for byte in tail.bytes() {
        let digit = ALPHABET.iter().position(|&b| b == byte)? as u128;
        guid = guid.checked_mul(32)? | digit;
    }
    Some(IdTail::Guid(guid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shape_of_the_service() {
        let id = item_id("01BYE5RZ", 5, 0x6d736fd3_859a_4771_9a99_e638e691fb15);
        assert_eq!(id.len(), 34);
        assert_eq!(
            parse_item_id("01BYE5RZ", &id),
            Some(IdTail::Guid(0x6d736fd3_859a_4771_9a99_e638e691fb15))
        );
        assert_eq!(
            item_id("01BYE5RZ", ROOT, 7),
            "01BYE5RZ56Y2GOVW7725BZO354PWSELRRZ"
        );
        assert_eq!(
            parse_item_id("01BYE5RZ", "01BYE5RZ56Y2GOVW7725BZO354PWSELRRZ"),
            Some(IdTail::Root)
        );
        assert_eq!(parse_item_id("01BYE5RA", &id), None);
        assert_eq!(parse_item_id("01BYE5RZ", &id.to_lowercase()), None);
        assert_eq!(
            parse_item_id("01BYE5RZ", "01BYE5RZ77777777777777777777777777"),
            None
        );
        assert_eq!(parse_item_id("01BYE5RZ", "root"), None);
    }

    #[test]
    fn tags_match_in_lists_and_with_stars() {
        let item = Item {
            guid: 1,
            name: "a".into(),
            parent: ROOT,
            kind: Kind::File(FileState::new(Content::empty())),
            created: 0,
            modified: 0,
            created_by: Actor::Owner,
            modified_by: Actor::System,
            etag: 4,
            ctag: 3,
            malware: false,
            special: None,
            sharing: None,
            fields: None,
            deleted: false,
            seq: 0,
            sharing_seq: 0,
            changed_at: 0,
        };
        assert_eq!(
            item.etag_text(),
            "\"{00000000-0000-0000-0000-000000000001},4\""
        );
        assert!(item.matches(&item.etag_text()));
        assert!(item.matches(&format!("\"x\", {}", item.ctag_text())));
        assert!(item.matches("{00000000-0000-0000-0000-000000000001},4"));
        assert!(item.matches("*"));
        assert!(!item.matches("\"{00000000-0000-0000-0000-000000000001},3\""));
    }
}
