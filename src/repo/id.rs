//! Names of things: object ids, kinds, pack ids.
//!
//! An [`ObjectId`] is a keyed BLAKE3 of kind and plaintext, so equal content of one kind has one id
//! in one repository, and an id tells nothing to somebody without the key.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Id of an object: the first 160 bits of the keyed BLAKE3 of its kind and plaintext.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(pub [u8; 20]);

impl ObjectId {
    /// Bytes of an id.
    pub const LEN: usize = 20;
    /// The id that no object has; stands for 'nothing' (empty content).
    pub const ZERO: ObjectId = ObjectId([0; 20]);

    /// The id in these bytes, if there are exactly 20.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(ObjectId)
    }

    /// Reads 40 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut out = [0; 20];
        from_hex(text, &mut out).then_some(ObjectId(out))
    }

    /// The id's bytes.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The first eight bytes as a number: uniform, so good for interpolation and hash tables.
    pub(crate) fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Hash for ObjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Already uniform under a secret key: eight bytes are as good as all.
        state.write_u64(self.prefix());
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ObjectId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object id: 40 hex digits or 20 bytes")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<ObjectId, E> {
                ObjectId::from_hex(v).ok_or_else(|| E::invalid_value(de::Unexpected::Str(v), &self))
            }
            fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<ObjectId, E> {
                ObjectId::from_slice(v).ok_or_else(|| E::invalid_length(v.len(), &self))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}

/// What an object is. Part of its id and of what its frame authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Kind {
    /// What is left of a mail when its re-encodable parts are taken out.
    Mail = 1,
    /// A piece of a file, or of a decoded MIME part: same cuts, so an attachment is the drive file.
    Chunk = 2,
    /// How content is put together from other objects.
    Recipe = 3,
    /// Graph JSON of an item.
    Record = 4,
    /// A node of a Merkle tree.
    Node = 5,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 5] = [
        Kind::Mail,
        Kind::Chunk,
        Kind::Recipe,
        Kind::Record,
        Kind::Node,
    ];

    /// The kind with this number.
    pub fn from_u8(n: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == n)
    }

    pub(crate) fn slot(self) -> usize {
        self as usize - 1
    }

    pub(crate) fn class(self) -> PackClass {
        match self {
            Kind::Mail | Kind::Chunk | Kind::Recipe => PackClass::Data,
            Kind::Record | Kind::Node => PackClass::Meta,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Mail => "mail",
            Kind::Chunk => "chunk",
            Kind::Recipe => "recipe",
            Kind::Record => "record",
            Kind::Node => "node",
        })
    }
}

/// Data and metadata live in packs of their own, so that walking a tree reads only `meta/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum PackClass {
    Data = 1,
    Meta = 2,
}

impl PackClass {
    pub(crate) const ALL: [PackClass; 2] = [PackClass::Data, PackClass::Meta];

    pub(crate) fn from_u8(n: u8) -> Option<PackClass> {
        PackClass::ALL.into_iter().find(|class| *class as u8 == n)
    }

    pub(crate) fn folder(self) -> &'static str {
        match self {
            PackClass::Data => "data",
            PackClass::Meta => "meta",
        }
    }

    pub(crate) fn slot(self) -> usize {
        self as usize - 1
    }
}

/// Random name of a pack; the salt of its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PackId(pub [u8; 16]);

impl PackId {
    /// File name relative to the repository: `data/4f/4f…`.
    pub(crate) fn file(&self, class: PackClass) -> String {
        let name = hex(&self.0);
        format!("{}/{}/{name}", class.folder(), &name[..2])
    }

    /// The pack that a listed file name stands for.
    pub(crate) fn parse(file: &str) -> Option<(PackClass, PackId)> {
        let mut parts = file.split('/');
        let (folder, shard, name) = (parts.next()?, parts.next()?, parts.next()?);
        let class = PackClass::ALL
            .into_iter()
            .find(|class| class.folder() == folder)?;
        let mut id = [0; 16];
        let canonical = from_hex(name, &mut id) && name.starts_with(shard) && shard.len() == 2;
        (canonical && parts.next().is_none()).then_some((class, PackId(id)))
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Reads exactly `out.len()` bytes of lower-case hex; false when the text is anything else.
pub(crate) fn from_hex(text: &str, out: &mut [u8]) -> bool {
    fn digit(c: u8) -> Option<u8> {
        match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        }
    }
    let text = text.as_bytes();
    if text.len() != out.len() * 2 {
        return false;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            return false;
        };
        *byte = (high << 4) | low;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text_and_bytes() {
        let id = ObjectId([7; 20]);
        assert_eq!(ObjectId::from_hex(&id.to_string()), Some(id));
        assert_eq!(
            serde_json::from_str::<ObjectId>(&serde_json::to_string(&id).unwrap()).unwrap(),
            id
        );
        assert_eq!(ObjectId::from_hex("07"), None);
        assert_eq!(ObjectId::from_hex(&"0Z".repeat(20)), None);
    }

    #[test]
    fn pack_names_are_canonical() {
        let id = PackId([0xab; 16]);
        let file = id.file(PackClass::Meta);
        assert_eq!(PackId::parse(&file), Some((PackClass::Meta, id)));
        assert_eq!(PackId::parse(&file.to_uppercase()), None);
        assert_eq!(PackId::parse(&format!("meta/ac/{}", "ab".repeat(16))), None);
        assert_eq!(PackId::parse(&format!("{file}/x")), None);
    }
}
