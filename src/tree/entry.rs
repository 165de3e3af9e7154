//! What a directory has for a name.
//!
//! ```text
//! entry = form:u8 [content-or-root:20] [size:varint] mtime:zigzag [record:20] [tag:7]
//!         [original: shape:u8 object:20] [versions:20]
//! form  = kind (3 bits) | has record 8 | tag: none 0, stored 16, in the name 32 | has original 64
//!         | has versions 128
//! ```
//!
//! Times count from 2020, which saves a byte on nearly all. A mail's tag is the suffix of its name
//! and is not stored again, so an entry can only be read together with its name.

use super::codec::{Reader, put_signed, put_varint};
use super::key::Tag;
use super::map::MapRoot;
use super::{TreeError, names};
use crate::repo::ObjectId;
use crate::repo::content::{self, ContentId};

/// 2020-01-01T00:00:00Z in Unix seconds.
const EPOCH: i64 = 1_577_836_800;

const KIND: u8 = 7;
const HAS_RECORD: u8 = 8;
const TAG_STORED: u8 = 16;
const TAG_IN_NAME: u8 = 32;
const HAS_ORIGINAL: u8 = 64;
const HAS_VERSIONS: u8 = 128;

const EMPTY_DIR: u8 = 4;
const DIR: u8 = 5;

/// A file with its content, or a folder with its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File {
        /// Where the bytes are.
        content: ContentId,
        /// Exact size in bytes.
        size: u64,
    },
    /// A folder.
    Dir {
        /// Its directory, a map of names to entries.
        root: MapRoot,
    },
}

/// A directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File or folder.
    pub kind: EntryKind,
    /// Modification time in Unix seconds.
    pub mtime: i64,
    /// The item's Graph JSON.
    pub record: Option<ObjectId>,
    /// What the service gave of the item besides what is shown, and restores it exactly (the stream
    /// of a mailbox export). It lives as long as the entry does: see [`Entry::contents`].
    pub original: Option<ContentId>,
    /// Older versions of a file, by their time: a directory of its own (see
    /// [`versions`](super::versions)), which goes wherever the entry goes.
    pub versions: MapRoot,
    /// Whose entry this is (see [`ItemKey::tag`](super::key::ItemKey::tag)); 0 for a folder that is
    /// no item, such as an account's.
    pub tag: Tag,
}

impl Entry {
    /// A file.
    pub fn file(content: ContentId, size: u64, mtime: i64, record: Option<ObjectId>) -> Entry {
        Entry {
            kind: EntryKind::File { content, size },
            mtime,
            record,
            original: None,
            versions: None,
            tag: 0,
        }
    }

    /// A folder.
    pub fn dir(root: MapRoot, mtime: i64) -> Entry {
        Entry {
            kind: EntryKind::Dir { root },
            mtime,
            record: None,
            original: None,
            versions: None,
            tag: 0,
        }
    }

    /// True for a folder.
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, EntryKind::Dir { .. })
    }

    /// A folder's directory; `None` also for a file.
    pub fn dir_root(&self) -> MapRoot {
        match self.kind {
            EntryKind::Dir { root } => root,
            EntryKind::File { .. } => None,
        }
    }

    /// A file's content and size.
    pub fn content(&self) -> Option<(ContentId, u64)> {
        match self.kind {
            EntryKind::File { content, size } => Some((content, size)),
            EntryKind::Dir { .. } => None,
        }
    }

    /// All contents that hang on it: what is shown, and the original. Its older versions are entries of
    /// their own.
    pub fn contents(&self) -> impl Iterator<Item = ContentId> + use<> {
        let shown = self.content().map(|(content, _)| content);
        shown.into_iter().chain(self.original)
    }

    /// The entry as it is stored under `name`.
    pub fn encode(&self, name: &str) -> Vec<u8> {
        let tag_form = match self.tag {
            0 => 0,
            tag if names::tag_in(name) == Some(tag) => TAG_IN_NAME,
            _ => TAG_STORED,
        };
        let record_form = if self.record.is_some() { HAS_RECORD } else { 0 };
        let kind = match self.kind {
            EntryKind::File { content, .. } => match content.shape {
                content::Shape::Empty => 0,
                content::Shape::Mail => 1,
                content::Shape::Chunk => 2,
                content::Shape::Recipe => 3,
            },
            EntryKind::Dir { root: None } => EMPTY_DIR,
            EntryKind::Dir { root: Some(_) } => DIR,
        };
        let mut out = Vec::with_capacity(64);
        let original_form = if self.original.is_some() {
            HAS_ORIGINAL
        } else {
            0
        };
        let versions_form = if self.versions.is_some() {
            HAS_VERSIONS
        } else {
            0
        };
        out.push(kind | record_form | tag_form | original_form | versions_form);
        match self.kind {
            EntryKind::File { content, .. } if content.shape == content::Shape::Empty => {}
            EntryKind::File { content, size } => {
                out.extend_from_slice(content.object.as_bytes());
                put_varint(&mut out, size);
            }
            EntryKind::Dir { root } => root
                .iter()
                .for_each(|root| out.extend_from_slice(root.as_bytes())),
        }
        put_signed(&mut out, self.mtime.wrapping_sub(EPOCH));
        if let Some(record) = &self.record {
            out.extend_from_slice(record.as_bytes());
        }
        if tag_form == TAG_STORED {
            out.extend_from_slice(&self.tag.to_be_bytes()[1..]);
        }
        if let Some(original) = &self.original {
            out.push(original.shape as u8);
            out.extend_from_slice(original.object.as_bytes());
        }
        if let Some(versions) = &self.versions {
            out.extend_from_slice(versions.as_bytes());
        }
        out
    }

    /// Reads what [`encode`](Entry::encode) wrote under `name`.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Entry, TreeError> {
        let mut r = Reader::new("directory entry", bytes);
        let form = r.byte()?;
        let file = |object, shape, size| EntryKind::File {
            content: ContentId { object, shape },
            size,
        };
        let kind = match form & KIND {
            0 => file(ObjectId::ZERO, content::Shape::Empty, 0),
            1 => file(r.id()?, content::Shape::Mail, r.varint()?),
            2 => file(r.id()?, content::Shape::Chunk, r.varint()?),
            3 => file(r.id()?, content::Shape::Recipe, r.varint()?),
            EMPTY_DIR => EntryKind::Dir { root: None },
            DIR => EntryKind::Dir {
                root: Some(r.id()?),
            },
            _ => return Err(r.corrupt("its kind is unknown; a newer tenantfs may have written it")),
        };
        let mtime = r.signed()?.wrapping_add(EPOCH);
        let record = if form & HAS_RECORD != 0 {
            Some(r.id()?)
        } else {
            None
        };
        let tag = match form & !(KIND | HAS_RECORD | HAS_ORIGINAL | HAS_VERSIONS) {
            0 => 0,
            TAG_STORED => {
                let bytes: [u8; 7] = r.array()?;
                bytes
                    .iter()
                    .fold(0, |tag, byte| tag << 8 | u64::from(*byte))
            }
            TAG_IN_NAME => {
                names::tag_in(name).ok_or_else(|| r.corrupt("its name has no suffix"))?
            }
            _ => return Err(r.corrupt("its form is unknown; a newer tenantfs may have written it")),
        };
        let original = if form & HAS_ORIGINAL != 0 {
            let shape = content::Shape::from_u8(r.byte()?);
            let shape = shape.ok_or_else(|| r.corrupt("its original has an unknown shape"))?;
            Some(ContentId {
                object: r.id()?,
                shape,
            })
        } else {
            None
        };
        let versions = if form & HAS_VERSIONS != 0 {
            Some(r.id()?)
        } else {
            None
        };
        r.finish()?;
        Ok(Entry {
            kind,
            mtime,
            record,
            original,
            versions,
            tag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::key::ItemKey;
    use proptest::prelude::*;

    pub(crate) fn id() -> impl Strategy<Value = ObjectId> {
        any::<[u8; 20]>().prop_map(ObjectId)
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let kind = prop_oneof![
            Just((ObjectId::ZERO, content::Shape::Empty, 0)),
            (id(), any::<u64>()).prop_map(|(id, size)| (id, content::Shape::Mail, size)),
            (id(), 0u64..1 << 30).prop_map(|(id, size)| (id, content::Shape::Chunk, size)),
            (id(), 0u64..1 << 40).prop_map(|(id, size)| (id, content::Shape::Recipe, size)),
        ];
        let kind = prop_oneof![
            kind.prop_map(|(object, shape, size)| EntryKind::File {
                content: ContentId { object, shape },
                size
            }),
            proptest::option::of(id()).prop_map(|root| EntryKind::Dir { root }),
        ];
        let mtime = prop_oneof![any::<i64>(), 1_500_000_000i64..1_900_000_000];
        let original = (id(), 0u8..4).prop_map(|(object, shape)| ContentId {
            object,
            shape: content::Shape::from_u8(shape).unwrap(),
        });
        let optional = (
            proptest::option::of(id()),
            proptest::option::of(original),
            proptest::option::of(id()),
        );
        (kind, mtime, optional, any::<[u8; 16]>()).prop_map(
            |(kind, mtime, (record, original, versions), key)| Entry {
                kind,
                mtime,
                record,
                original,
                versions,
                tag: ItemKey(key).tag(),
            },
        )
    }

    proptest! {
        #[test]
        fn entries_come_back(entry in entry()) {
            for name in ["budget.xlsx".to_owned(), format!("a.{}.eml", crate::tree::key::suffix_of(entry.tag))] {
                prop_assert_eq!(Entry::decode(&name, &entry.encode(&name)).unwrap(), entry);
            }
        }

        #[test]
        fn hostile_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), form in any::<u8>()) {
            if let Some(first) = bytes.first_mut() {
                *first = form;
            }
            if let Ok(entry) = Entry::decode("a.0123456789.eml", &bytes) {
                Entry::decode("a.0123456789.eml", &entry.encode("a.0123456789.eml")).unwrap();
            }
        }
    }

    #[test]
    fn a_mail_entry_is_small() {
        let key = ItemKey([9; 16]);
        let content = ContentId {
            object: ObjectId([1; 20]),
            shape: content::Shape::Mail,
        };
        let mut entry = Entry::file(content, 21_000, 1_795_000_000, Some(ObjectId([2; 20])));
        entry.tag = key.tag();
        assert_eq!(
            entry
                .encode(&format!("2026-11-20 0915 Numbers.{}.eml", key.suffix()))
                .len(),
            49
        );
    }
}
