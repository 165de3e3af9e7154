//! The ring of master keys, and the handle by which an open repository uses it.
//!
//! Invariants: a key keeps its number for ever. The last key may be one more than the current one:
//! a rotation that is under way gives it to every key file before anybody seals with it, so
//! whoever can open the repository at all can read everything that is sealed. Until then it may be
//! dropped and made anew.
//!
//! Encoded: secret of object ids 32, number of the current key 1, count of keys 1, and per key time of
//! creation i64 and key 32.

use std::sync::Arc;

use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::MasterKey;
use super::slot::{self, SlotKey};
use crate::repo::backend::Backend;
use crate::repo::error::{RepoError, Result};
use crate::repo::wire::{Input, Malformed};

/// Bytes of an encoded ring of `count` keys.
pub(super) fn encoded_len(count: u8) -> usize {
    32 + 2 + usize::from(count) * 40
}

/// All master keys of a repository.
#[derive(Clone)]
pub(crate) struct Ring {
    ids: MasterKey,
    keys: Vec<Numbered>,
    current: u8,
}

#[derive(Clone)]
struct Numbered {
    created: i64,
    key: MasterKey,
}

impl Ring {
    /// A first master key, and object ids of its own.
    pub(crate) fn generate(now: i64) -> Result<Self> {
        Self::with_ids_of_secret(MasterKey::generate()?, now)
    }

    /// A first master key, and the object ids of another repository.
    pub(crate) fn with_ids_of(other: &Keys, now: i64) -> Result<Self> {
        Self::with_ids_of_secret(other.ring().ids.clone(), now)
    }

    fn with_ids_of_secret(ids: MasterKey, now: i64) -> Result<Self> {
        let first = Numbered {
            created: now,
            key: MasterKey::generate()?,
        };
        Ok(Ring {
            ids,
            keys: vec![first],
            current: 0,
        })
    }

    /// Number of the key that seals what is written now.
    pub(super) fn current(&self) -> u8 {
        self.current
    }

    /// The key of this number.
    pub(super) fn get(&self, number: u8) -> Option<&MasterKey> {
        self.keys.get(usize::from(number)).map(|entry| &entry.key)
    }

    /// Times of creation, by number, of the keys that seal or sealed.
    pub(super) fn created(&self) -> impl Iterator<Item = i64> + '_ {
        self.keys
            .iter()
            .take(usize::from(self.current) + 1)
            .map(|entry| entry.created)
    }

    /// Number of keys.
    pub(super) fn count(&self) -> u8 {
        self.keys.len() as u8
    }

    /// This ring with one more key, which seals nothing yet.
    pub(super) fn with_pending(&self, now: i64) -> Result<Ring> {
        if self.current >= u8::MAX - 1 {
            return Err(RepoError::Invalid(
                "the repository has had 255 master keys, which is all the format can number; copy it to a \
                 new one"
                    .into(),
            ));
        }
        let mut next = self.clone();
        next.keys.truncate(usize::from(self.current) + 1);
        next.keys.push(Numbered {
            created: now,
            key: MasterKey::generate()?,
        });
        Ok(next)
    }

    /// This ring, its last key being the current one.
    pub(super) fn activated(&self) -> Ring {
        Ring {
            current: self.count().saturating_sub(1),
            ..self.clone()
        }
    }

    /// True when all keys that sealed under `old` are in here.
    fn extends(&self, old: &Ring) -> bool {
        let kept = usize::from(old.current) + 1;
        *self.ids.0 == *old.ids.0
            && self.keys.len() >= kept
            && self
                .keys
                .iter()
                .zip(&old.keys[..kept])
                .all(|(new, old)| *new.key.0 == *old.key.0)
    }

    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(encoded_len(self.count())));
        out.extend_from_slice(self.ids.0.as_slice());
        out.extend_from_slice(&[self.current, self.count()]);
        for entry in &self.keys {
            out.extend_from_slice(&entry.created.to_le_bytes());
            out.extend_from_slice(entry.key.0.as_slice());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(bytes);
        let ids = MasterKey(Zeroizing::new(input.array()?));
        let (current, count) = (input.u8()?, input.u8()?);
        if count == 0 || count <= current || count - current > 2 {
            return Err(Malformed("its ring of keys is impossible"));
        }
        let mut keys = Vec::with_capacity(count.into());
        for _ in 0..count {
            keys.push(Numbered {
                created: i64::from_le_bytes(input.array()?),
                key: MasterKey(Zeroizing::new(input.array()?)),
            });
        }
        input.end()?;
        Ok(Ring { ids, keys, current })
    }
}

/// The keys in the hands of an open repository. Clones share the ring, and what one learns all know.
#[derive(Clone)]
pub(crate) struct Keys(Arc<RwLock<State>>);

struct State {
    ring: Arc<Ring>,
    own: Option<Arc<Own>>,
}

/// The key file that opened the repository: where the ring is read again.
pub(super) struct Own {
    pub(super) backend: Arc<Backend>,
    /// Its name.
    pub(super) file: String,
    pub(super) key: SlotKey,
}

impl Keys {
    /// A ring that no key file is known for.
    pub(crate) fn new(ring: Ring) -> Self {
        Keys(Arc::new(RwLock::new(State {
            ring: Arc::new(ring),
            own: None,
        })))
    }

    pub(super) fn opened(ring: Ring, own: Own) -> Self {
        let keys = Self::new(ring);
        keys.set_own(own);
        keys
    }

    pub(super) fn ring(&self) -> Arc<Ring> {
        self.0.read().ring.clone()
    }

    pub(super) fn own(&self) -> Option<Arc<Own>> {
        self.0.read().own.clone()
    }

    pub(super) fn set_own(&self, own: Own) {
        self.0.write().own = Some(Arc::new(own));
    }

    /// What object ids and hashes are made with.
    pub(crate) fn ids(&self) -> MasterKey {
        self.ring().ids.clone()
    }

    /// The key that seals what is written now, and its number.
    pub(crate) fn current(&self) -> (u8, MasterKey) {
        let ring = self.ring();
        let number = ring.current;
        (number, ring.keys[usize::from(number)].key.clone())
    }

    /// The key of this number, which `file` says it is sealed with. A number that is not in use as far
    /// as is known means that somebody rotated the keys: the ring is read again.
    pub(crate) fn get(&self, number: u8, file: &str) -> Result<MasterKey> {
        if number > self.ring().current {
            self.reload()?;
        }
        self.ring().get(number).cloned().ok_or_else(|| {
            RepoError::damaged(
                file,
                format!(
                    "it says it is sealed with master key {number}, which the key file that opened the \
                     repository does not hold (either the byte is damaged, or the password was \
                     changed or the key file replaced by an older one meanwhile: start again)"
                ),
            )
        })
    }

    /// Reads the ring again from the own key file. A key file that is gone, is damaged, or was made anew
    /// with another password, leaves the ring as it is.
    pub(crate) fn reload(&self) -> Result<()> {
        let Some(own) = self.own() else {
            return Ok(());
        };
        let sealed = match own.backend.get(&own.file) {
            Ok(sealed) => sealed,
            Err(RepoError::FileMissing { .. }) => return Ok(()),
            Err(e) => return Err(e),
        };
        match slot::reopen(&own.file, &sealed, &own.key) {
            Ok(ring) => {
                let mut state = self.0.write();
                if ring.extends(&state.ring) && ring.current >= state.ring.current {
                    state.ring = Arc::new(ring);
                }
                Ok(())
            }
            Err(e @ (RepoError::Damaged { .. } | RepoError::NewerVersion { .. })) => {
                tracing::warn!("going on with the keys known so far: {e}");
                Ok(())
            }
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_come_back_and_impossible_ones_are_refused() {
        let ring = Ring::generate(7).unwrap();
        let pending = ring.with_pending(8).unwrap();
        let rotated = pending.activated();
        assert_eq!(
            (pending.current(), pending.count(), rotated.current()),
            (0, 2, 1)
        );
        for ring in [&ring, &pending, &rotated] {
            let bytes = ring.encode();
            assert_eq!(bytes.len(), encoded_len(ring.count()));
            let back = Ring::decode(&bytes).unwrap();
            assert!(back.extends(ring) && ring.extends(&back));
            assert!(Ring::decode(&bytes[..bytes.len() - 1]).is_err());
            for (current, count) in [(0, 0), (2, 2), (0, 3)] {
                let mut bad = bytes.clone();
                bad[32] = current;
                bad[33] = count;
                assert!(Ring::decode(&bad).is_err());
            }
        }
        assert!(rotated.extends(&ring) && !ring.extends(&rotated));
        assert!(!Ring::generate(7).unwrap().extends(&ring));
        // A pending key that nobody used is replaced, under the same number.
        let again = pending.with_pending(9).unwrap();
        assert_eq!(again.count(), 2);
        assert!(again.extends(&ring) && again.extends(&pending) && !again.extends(&rotated));
    }
}
