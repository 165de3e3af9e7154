//! Ids of folders, messages and attachments.
//!
//! A message has two: the default id depends on how often it was moved, so a move gives it a new one;
//! the immutable id stays. Both look like Exchange's (`AAMkA...`, `AAkALgAAAAAAHYQDEapmEc2byACqAC-E...`)
//! and can be read back without a table, which is what lets a mailbox of a million messages start at
//! once. Both kinds are taken in any request; the `Prefer` header decides which kind is shown.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha2::{Digest, Sha256};

/// Number of a folder or message in its mailbox.
pub type No = u32;

/// What an id in a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Default id of message `no` after `moves` moves.
    Default {
        no: No,
        moves: u32,
    },
    Immutable {
        no: No,
    },
}

/// Makes and reads the ids of one mailbox.
#[derive(Debug, Clone)]
pub struct Ids {
    guid: [u8; 16],
    guid_text: String,
}

const DEFAULT_HEAD: [u8; 4] = [0, 3, 0x24, 0];
const IMMUTABLE_HEAD: [u8; 27] = [
    0, 9, 0, 0x2e, 0, 0, 0, 0, 0, 0x1d, 0x84, 3, 0x11, 0xaa, 0x66, 0x11, 0xcd, 0x9b, 0xc8, 0, 0xaa,
    0, 0x2f, 0x84, 0x5a, 0x0d, 0,
];

impl Ids {
    /// Those of a user's mailbox.
    pub fn of(user_id: &str, tenant_seed: u64) -> Ids {
        let mut rng = crate::rng::Rng::new(tenant_seed, &format!("mailbox {user_id}"));
        Ids::new(rng.bytes16())
    }

    pub fn new(guid: [u8; 16]) -> Ids {
        Ids {
            guid,
            guid_text: uuid::Uuid::from_bytes(guid).to_string(),
        }
    }

    pub fn folder(&self, no: No) -> String {
        URL_SAFE.encode(self.folder_bytes(no))
    }

    fn folder_bytes(&self, no: No) -> Vec<u8> {
        let mut out = self.head();
        out.extend_from_slice(&self.entry(b"folder", u64::from(no)));
        out.extend_from_slice(&[0, 0]);
        out
    }

    /// Reads a folder id. `None`: not one of this mailbox.
    pub fn parse_folder(&self, id: &str) -> Option<No> {
        let raw = URL_SAFE.decode(id).ok()?;
        let no = number(raw.get(81..87)?)?;
        (self.folder_bytes(no) == raw).then_some(no)
    }

    pub fn message(&self, no: No, moves: u32, immutable: bool) -> String {
        URL_SAFE.encode(self.message_bytes(no, moves, immutable))
    }

    fn message_bytes(&self, no: No, moves: u32, immutable: bool) -> Vec<u8> {
        if immutable {
            let mut out = IMMUTABLE_HEAD.to_vec();
            out.extend_from_slice(&self.guid);
            out.extend_from_slice(&self.entry(b"immutable", u64::from(no)));
            out.extend_from_slice(&self.entry(b"item", u64::from(no)));
            out.extend_from_slice(&[0; 8]);
            return out;
        }
        let mut out = self.head();
        out.extend_from_slice(&self.entry(b"message", (u64::from(moves) << 32) | u64::from(no)));
        out.extend_from_slice(&self.entry(b"parent", u64::from(moves)));
        out.extend_from_slice(&[0; 4]);
        out
    }

    pub fn parse_message(&self, id: &str) -> Option<Parsed> {
        self.parse_message_bytes(&URL_SAFE.decode(id).ok()?)
    }

    fn parse_message_bytes(&self, raw: &[u8]) -> Option<Parsed> {
        let parsed = if raw.starts_with(&IMMUTABLE_HEAD) {
            Parsed::Immutable {
                no: number(raw.get(59..65)?)?,
            }
        } else {
            let counter = counter(raw.get(79..87)?)?;
            Parsed::Default {
                no: counter as u32,
                moves: (counter >> 32) as u32,
            }
        };
        let (no, moves, immutable) = match parsed {
            Parsed::Default { no, moves } => (no, moves, false),
            Parsed::Immutable { no } => (no, 0, true),
        };
        (self.message_bytes(no, moves, immutable) == raw).then_some(parsed)
    }

    /// Id of attachment `attachment` of a message; of the same kind as the message's own.
    pub fn attachment(&self, no: No, moves: u32, immutable: bool, attachment: u32) -> String {
        let mut out = self.message_bytes(no, moves, immutable);
        out.extend_from_slice(&[1, 0x12, 0, 0x10, 0]);
        out.extend_from_slice(&self.entry(b"attachment", u64::from(attachment)));
        out.push(0);
        URL_SAFE.encode(out)
    }

    /// Reads an attachment id: its message and its number in it.
    pub fn parse_attachment(&self, id: &str) -> Option<(Parsed, u32)> {
        let raw = URL_SAFE.decode(id).ok()?;
        let split = raw.len().checked_sub(28)?;
        let message = self.parse_message_bytes(&raw[..split])?;
        let attachment = number(raw.get(split + 21..split + 27)?)?;
        let entry = self.entry(b"attachment", u64::from(attachment));
        (raw[split..split + 5] == [1, 0x12, 0, 0x10, 0] && raw[split + 5..split + 27] == entry)
            .then_some((message, attachment))
    }

    pub fn conversation(&self, key: u64) -> String {
        let mut out = vec![0, 4, 0x24, 0];
        out.extend_from_slice(self.guid_text.as_bytes());
        out.extend_from_slice(&[0, 0x10, 0]);
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&self.hash(b"conversation", key)[..8]);
        URL_SAFE.encode(out)
    }

    /// changeKey of change number `seq`.
    pub fn change_key(&self, seq: u64) -> String {
        let mut out = vec![9, 0, 0, 0, 0x16, 0, 0, 0];
        out.extend_from_slice(&self.guid);
        out.extend_from_slice(&seq.to_be_bytes()[2..]);
        STANDARD.encode(out)
    }

    fn head(&self) -> Vec<u8> {
        let mut out = DEFAULT_HEAD.to_vec();
        out.extend_from_slice(self.guid_text.as_bytes());
        out.extend_from_slice(&[0, 0x46, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.guid[..16]);
        out.extend_from_slice(&[7, 0]);
        out
    }

    /// 22 bytes: a check of 14 and the number, as an Exchange entry is a GUID and a counter.
    fn entry(&self, kind: &[u8], value: u64) -> [u8; 22] {
        let mut out = [0; 22];
        out[..14].copy_from_slice(&self.hash(kind, value)[..14]);
        out[14..].copy_from_slice(&value.to_be_bytes());
        out
    }

    fn hash(&self, kind: &[u8], value: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.guid);
        hash.update(kind);
        hash.update(value.to_be_bytes());
        hash.finalize().into()
    }
}

fn counter(raw: &[u8]) -> Option<u64> {
    raw.iter()
        .try_fold(0u64, |n, b| n.checked_mul(256)?.checked_add(u64::from(*b)))
}

fn number(raw: &[u8]) -> Option<No> {
    counter(raw)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_look_like_exchange() {
        let ids = Ids::new([7; 16]);
        let folder = ids.folder(70_000);
        assert!(
            folder.starts_with("AAMkA") && folder.ends_with("AAA="),
            "{folder}"
        );
        assert_eq!(ids.parse_folder(&folder), Some(70_000));
        for (no, moves) in [(0, 0), (1_000_000, 3), (u32::MAX, u32::MAX)] {
            let id = ids.message(no, moves, false);
            assert!(
                (120..=170).contains(&id.len()) && id.ends_with('='),
                "{} {id}",
                id.len()
            );
            assert_eq!(ids.parse_message(&id), Some(Parsed::Default { no, moves }));
            let id = ids.message(no, moves, true);
            assert!(id.starts_with("AAkALgAAAAAAHYQDEapmEc2byACqAC-E"), "{id}");
            assert_eq!(ids.parse_message(&id), Some(Parsed::Immutable { no }));
            for immutable in [false, true] {
                let id = ids.attachment(no, moves, immutable, 4);
                assert_eq!(ids.parse_attachment(&id).map(|p| p.1), Some(4));
            }
        }
    }

    #[test]
    fn foreign_and_broken_ids_are_not_read() {
        let (a, b) = (Ids::new([1; 16]), Ids::new([2; 16]));
        assert_eq!(b.parse_message(&a.message(1, 0, true)), None);
        assert_eq!(b.parse_folder(&a.folder(1)), None);
        let id = a.message(5, 0, false);
        assert_eq!(a.parse_message(&id.to_lowercase()), None);
        assert_eq!(a.parse_message(""), None);
        assert_eq!(a.parse_folder("inbox"), None);
    }
}
