//! One node of a map: sorted entries with their keys' common prefixes left out.
//!
//! ```text
//! node   = version:u8 level:u8 count:varint entry*
//! entry  = shared:varint rest:varint key-bytes payload
//! payload at level 0     = length:varint value-bytes
//! payload at level 1...  = object-id:20 entries-below:varint
//! ```
//!
//! `shared` is the whole common prefix with the key before it, and keys rise strictly, so a list of
//! entries has exactly one encoding. A decoded node keeps the raw bytes and one arena of full keys:
//! three allocations, whatever the number of entries.

use super::TreeError;
use super::codec::{ID_LEN, Reader, put_varint, varint_len};
use crate::repo::ObjectId;
use bytes::Bytes;

const VERSION: u8 = 1;
/// No map is this high: an inner node that is not the last of its level has two children or more.
pub(crate) const MAX_LEVEL: u8 = 40;
/// Longest key of a map, in bytes.
pub const MAX_KEY: usize = 4096;
/// Longest value of a map, in bytes.
pub const MAX_VALUE: usize = 1 << 20;
/// A node is at most one entry larger than a few times its target.
const MAX_NODE: usize = 2 << 20;
/// Prefixes left out could unfold a small node to gigabytes; no written node comes near this.
const MAX_KEYS: usize = 16 << 20;

/// What an entry carries: a value in a leaf, a reference to a node above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Value(Bytes),
    Child { id: ObjectId, count: u64 },
}

#[derive(Debug)]
struct Slot {
    key_end: u32,
    payload: u32,
    /// Length of the value; entries up to and including this child in an inner node.
    measure: u64,
}

/// A decoded node. Never empty.
#[derive(Debug)]
pub(crate) struct Node {
    level: u8,
    raw: Bytes,
    keys: Box<[u8]>,
    slots: Box<[Slot]>,
}

impl Node {
    pub(crate) fn decode(raw: Bytes) -> Result<Node, TreeError> {
        let mut r = Reader::new("tree node", &raw);
        if raw.len() > MAX_NODE {
            return Err(r.corrupt("it is too large"));
        }
        if r.byte()? != VERSION {
            return Err(r.corrupt("its version is unknown; a newer tenantfs may have written it"));
        }
        let level = r.byte()?;
        if level > MAX_LEVEL {
            return Err(r.corrupt("its level is impossible"));
        }
        let count = r.length()?;
        if count == 0 {
            return Err(r.corrupt("it is empty"));
        }
        let mut keys: Vec<u8> = Vec::with_capacity(raw.len());
        let mut slots: Vec<Slot> = Vec::with_capacity(count);
        let mut start = 0;
        let mut below = 0u64;
        for n in 0..count {
            let shared = r.varint()?;
            let rest_len = r.length()?;
            let rest = r.bytes(rest_len)?;
            let before = &keys[start..];
            let shared = usize::try_from(shared)
                .ok()
                .filter(|shared| *shared <= before.len());
            let shared = shared.ok_or_else(|| r.corrupt("a key shares more than there is"))?;
            let rises = match (rest.first(), before.get(shared)) {
                (Some(new), Some(old)) => new > old,
                (Some(_), None) => true,
                (None, _) => n == 0,
            };
            if !rises {
                return Err(r.corrupt("its keys are not in order"));
            }
            if shared + rest.len() > MAX_KEY || keys.len() + shared + rest.len() > MAX_KEYS {
                return Err(r.corrupt("its keys are too long"));
            }
            let end = keys.len();
            keys.extend_from_within(start..start + shared);
            keys.extend_from_slice(rest);
            start = end;
            let (payload, measure) = if level == 0 {
                let len = r.length()?;
                let at = r.position();
                r.bytes(len)?;
                (at, len as u64)
            } else {
                let at = r.position();
                r.bytes(ID_LEN)?;
                let children = r.varint()?;
                if children == 0 {
                    return Err(r.corrupt("a child is empty"));
                }
                below = below
                    .checked_add(children)
                    .ok_or_else(|| r.corrupt("a number is too large"))?;
                (at, below)
            };
            // Both are below MAX_KEYS and MAX_NODE.
            slots.push(Slot {
                key_end: keys.len() as u32,
                payload: payload as u32,
                measure,
            });
        }
        r.finish()?;
        Ok(Node {
            level,
            keys: keys.into_boxed_slice(),
            slots: slots.into_boxed_slice(),
            raw,
        })
    }

    pub(crate) fn level(&self) -> u8 {
        self.level
    }

    /// Entries in this node itself; at least one.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Entries of the map below this node.
    pub(crate) fn total(&self) -> u64 {
        if self.level == 0 {
            self.slots.len() as u64
        } else {
            self.before(self.slots.len())
        }
    }

    /// Entries of the map below the children before `index` of an inner node.
    pub(crate) fn before(&self, index: usize) -> u64 {
        if index == 0 {
            0
        } else {
            self.slots[index - 1].measure
        }
    }

    pub(crate) fn key(&self, index: usize) -> &[u8] {
        let start = if index == 0 {
            0
        } else {
            self.slots[index - 1].key_end as usize
        };
        &self.keys[start..self.slots[index].key_end as usize]
    }

    pub(crate) fn first_key(&self) -> &[u8] {
        self.key(0)
    }

    pub(crate) fn last_key(&self) -> &[u8] {
        self.key(self.len() - 1)
    }

    /// The value of an entry of a leaf.
    pub(crate) fn value(&self, index: usize) -> &[u8] {
        let slot = &self.slots[index];
        &self.raw[slot.payload as usize..][..slot.measure as usize]
    }

    /// The same, sharing the node's memory.
    pub(crate) fn value_bytes(&self, index: usize) -> Bytes {
        let slot = &self.slots[index];
        let start = slot.payload as usize;
        self.raw.slice(start..start + slot.measure as usize)
    }

    /// A child of an inner node, and the entries below it.
    pub(crate) fn child(&self, index: usize) -> (ObjectId, u64) {
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&self.raw[self.slots[index].payload as usize..][..ID_LEN]);
        (ObjectId(id), self.slots[index].measure - self.before(index))
    }

    pub(crate) fn payload(&self, index: usize) -> Payload {
        if self.level == 0 {
            return Payload::Value(self.value_bytes(index));
        }
        let (id, count) = self.child(index);
        Payload::Child { id, count }
    }

    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.key(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The child of an inner node whose range holds `key`.
    pub(crate) fn route(&self, key: &[u8]) -> usize {
        match self.search(key) {
            Ok(index) => index,
            Err(index) => index.saturating_sub(1),
        }
    }

    /// Memory that this node holds, in bytes, for the cache's bound.
    pub(crate) fn weight(&self) -> u64 {
        (self.raw.len() + self.keys.len() + self.slots.len() * size_of::<Slot>() + 160) as u64
    }
}

/// Where nodes end. A node's size is `s` when an entry brought it from `before` to `after` bytes;
/// the entry is the last one with probability `(after^4 - before^4) / scale^4`, decided by the keyed
/// hash of its key. So borders depend on content alone, sizes stay close to the target (a node met
/// by a random change is hardly larger than the mean, which plain hash borders would double), none
/// grows past about twice the target, and nobody without the key can craft names that do.
#[derive(Clone)]
pub(crate) struct Borders {
    pub(crate) key: [u8; 32],
    /// Scale in bytes for leaves and for inner nodes; the mean size is 0.9 of it.
    pub(crate) leaf: u32,
    pub(crate) inner: u32,
}

impl Borders {
    fn ends(&self, level: u8, key: &[u8], before: usize, after: usize) -> bool {
        let scale = u128::from(if level == 0 { self.leaf } else { self.inner }).pow(4);
        let rise = (after as u128).pow(4) - (before as u128).pow(4);
        if rise >= scale {
            return true;
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[level]);
        hasher.update(key);
        let mut head = [0; 8];
        head.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        (u128::from(u64::from_le_bytes(head)) * scale) >> 64 < rise
    }
}

/// Builds the nodes of one level, one after the other.
pub(crate) struct NodeWriter {
    level: u8,
    body: Vec<u8>,
    entries: u64,
    total: u64,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// An encoded node with what its parent must know.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) first: Vec<u8>,
    pub(crate) last: Vec<u8>,
    pub(crate) count: u64,
}

impl NodeWriter {
    pub(crate) fn new(level: u8) -> Self {
        NodeWriter {
            level,
            body: Vec::new(),
            entries: 0,
            total: 0,
            first: Vec::new(),
            last: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Adds an entry; true when it is the last of its node, which must be taken then.
    pub(crate) fn push(
        &mut self,
        borders: &Borders,
        key: &[u8],
        payload: &Payload,
    ) -> Result<bool, TreeError> {
        if key.len() > MAX_KEY {
            return Err(TreeError::TooLarge {
                what: "key",
                size: key.len(),
                limit: MAX_KEY,
            });
        }
        let shared = key
            .iter()
            .zip(&self.last)
            .take_while(|(a, b)| a == b)
            .count();
        let before = self.body.len();
        put_varint(&mut self.body, shared as u64);
        put_varint(&mut self.body, (key.len() - shared) as u64);
        self.body.extend_from_slice(&key[shared..]);
        match payload {
            Payload::Value(value) => {
                if value.len() > MAX_VALUE {
                    return Err(TreeError::TooLarge {
                        what: "value",
                        size: value.len(),
                        limit: MAX_VALUE,
                    });
                }
                put_varint(&mut self.body, value.len() as u64);
                self.body.extend_from_slice(value);
                self.total += 1;
            }
            Payload::Child { id, count } => {
                self.body.extend_from_slice(id.as_bytes());
                put_varint(&mut self.body, *count);
                self.total += count;
            }
        }
        if self.entries == 0 {
            self.first.clear();
            self.first.extend_from_slice(key);
        }
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
        self.entries += 1;
        // An inner node of one child would not make the level above smaller.
        let may_end = self.level == 0 || self.entries > 1;
        Ok(may_end && borders.ends(self.level, key, before, self.body.len()))
    }

    /// The node so far; the next entry starts a new one.
    pub(crate) fn take(&mut self) -> Encoded {
        let mut bytes = Vec::with_capacity(2 + varint_len(self.entries) + self.body.len());
        bytes.extend_from_slice(&[VERSION, self.level]);
        put_varint(&mut bytes, self.entries);
        bytes.append(&mut self.body);
        let count = std::mem::take(&mut self.total);
        self.entries = 0;
        Encoded {
            bytes,
            first: std::mem::take(&mut self.first),
            last: std::mem::take(&mut self.last),
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const BORDERS: Borders = Borders {
        key: [7; 32],
        leaf: 4096,
        inner: 1024,
    };

    fn encode(level: u8, entries: &BTreeMap<Vec<u8>, Payload>) -> Vec<u8> {
        let mut writer = NodeWriter::new(level);
        for (key, payload) in entries {
            writer.push(&BORDERS, key, payload).unwrap();
        }
        writer.take().bytes
    }

    proptest! {
        #[test]
        fn nodes_come_back(
            entries in proptest::collection::btree_map(
                proptest::collection::vec(0u8..4, 0..12),
                (any::<[u8; 20]>(), 1u64..1 << 40), 1..60),
            level in 0u8..3,
        ) {
            let entries: BTreeMap<_, _> = entries.into_iter().map(|(key, (id, count))| {
                let id_bytes = Bytes::copy_from_slice(&id[..(count % 20) as usize]);
                let payload = match level {
                    0 => Payload::Value(id_bytes),
                    _ => Payload::Child { id: ObjectId(id), count },
                };
                (key, payload)
            }).collect();
            let node = Node::decode(encode(level, &entries).into()).unwrap();
            prop_assert_eq!(node.len(), entries.len());
            for (index, (key, payload)) in entries.iter().enumerate() {
                prop_assert_eq!(node.key(index), &key[..]);
                prop_assert_eq!(&node.payload(index), payload);
                prop_assert_eq!(node.search(key), Ok(index));
            }
        }

        #[test]
        fn hostile_bytes_are_refused_or_mean_one_thing(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200), level in 0u8..3, count in 0u8..9,
        ) {
            if bytes.len() >= 3 {
                bytes[..3].copy_from_slice(&[VERSION, level, count]);
                for byte in &mut bytes[3..] {
                    *byte %= 24;
                }
            }
            if let Ok(node) = Node::decode(bytes.clone().into()) {
                let entries = (0..node.len()).map(|n| (node.key(n).to_vec(), node.payload(n))).collect();
                prop_assert_eq!(encode(node.level(), &entries), bytes);
            }
        }

        #[test]
        fn a_flipped_byte_never_panics(at in any::<prop::sample::Index>(), with in 1u8..=255, level in 0u8..2) {
            let entries = (0..40u32).map(|n| {
                let payload = match level {
                    0 => Payload::Value(Bytes::from(vec![n as u8; n as usize % 9])),
                    _ => Payload::Child { id: ObjectId([n as u8; 20]), count: 5 },
                };
                (format!("name {n:03}").into_bytes(), payload)
            }).collect();
            let mut bytes = encode(level, &entries);
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            if let Ok(node) = Node::decode(bytes.into()) {
                for n in 0..node.len() {
                    node.payload(n);
                }
            }
        }
    }

    #[test]
    fn unfolding_prefixes_is_bounded() {
        let mut bytes = vec![VERSION, 0];
        let count = 100_000u64;
        put_varint(&mut bytes, count);
        bytes.extend_from_slice(&[0]);
        put_varint(&mut bytes, 4000);
        bytes.extend_from_slice(&[0; 4000]);
        bytes.push(0);
        for n in 1..count {
            put_varint(&mut bytes, 4000);
            bytes.extend_from_slice(&[2, (n >> 8) as u8, n as u8, 0]);
        }
        assert!(Node::decode(bytes.into()).is_err());
    }
}
