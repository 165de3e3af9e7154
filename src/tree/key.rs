//! Item keys: how the tree knows an item whatever it is called and wherever it lies.

use crate::repo::Repository;
use std::fmt;

/// Base32 as Crockford has it, in lower case: no `i`, `l`, `o`, `u`, and it sorts as the bits do.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Length of a name's suffix in bytes.
pub const SUFFIX_LEN: usize = 10;

/// The first 16 bytes of the keyed hash of an item's immutable Graph id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey(pub [u8; 16]);

/// The first 50 bits of an [`ItemKey`], in the low bits of a number: the suffix of its file's name.
pub type Tag = u64;

impl ItemKey {
    /// The folder that holds a whole collection. No item has this key.
    pub const ROOT: ItemKey = ItemKey([0; 16]);

    /// The key of the item with this id. Ids are compared byte by byte, as Graph wants it.
    pub fn of(repo: &Repository, graph_id: &str) -> ItemKey {
        Self::from_hash(&repo.keyed_hash("item", graph_id.as_bytes()))
    }

    /// The key whose keyed hash is this.
    pub fn from_hash(hash: &[u8; 32]) -> ItemKey {
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        ItemKey(key)
    }

    /// Reads 32 lower-case hex digits, as [`Display`](fmt::Display) writes them.
    pub fn from_hex(text: &str) -> Option<ItemKey> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let mut key = [0; 16];
        let text: &[u8; 32] = text.as_bytes().try_into().ok()?;
        for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(ItemKey(key))
    }

    /// What directory entries keep of the key.
    pub fn tag(&self) -> Tag {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(head) >> 14
    }

    /// What names carry of the key: ten characters.
    pub fn suffix(&self) -> String {
        suffix_of(self.tag())
    }
}

/// The suffix that stands for a tag.
pub(crate) fn suffix_of(tag: Tag) -> String {
    (0..SUFFIX_LEN)
        .rev()
        .map(|n| char::from(DIGITS[(tag >> (5 * n)) as usize & 31]))
        .collect()
}

/// The tag that a suffix stands for; `None` for any other text.
pub(crate) fn tag_of(suffix: &str) -> Option<Tag> {
    if suffix.len() != SUFFIX_LEN {
        return None;
    }
    suffix.bytes().try_fold(0, |tag, c| {
        let bits = DIGITS.iter().position(|digit| *digit == c)?;
        Some(tag << 5 | bits as u64)
    })
}

/// The smallest key with this tag.
pub(crate) fn first_with(tag: Tag) -> ItemKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&(tag << 14).to_be_bytes());
    ItemKey(key)
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ItemKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_tags_and_suffixes_agree(bytes in any::<[u8; 16]>(), other in any::<[u8; 16]>()) {
            let (key, other) = (ItemKey(bytes), ItemKey(other));
            prop_assert_eq!(ItemKey::from_hex(&key.to_string()), Some(key));
            prop_assert_eq!(tag_of(&key.suffix()), Some(key.tag()));
            prop_assert_eq!(suffix_of(key.tag()), key.suffix());
            prop_assert!(first_with(key.tag()) <= key);
            prop_assert_eq!(first_with(key.tag()).tag(), key.tag());
            prop_assert_eq!(key.tag().cmp(&other.tag()), key.suffix().cmp(&other.suffix()));
        }
    }
}
