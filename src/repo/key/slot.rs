//! Key files: `keys/<16 hex>`, one for each password or random key file that opens the repository.
//!
//! A key file has an X25519 key pair of its own. The private key is sealed under the password; the
//! ring is sealed to the public key, so that a rotation can give every key file the new ring without
//! knowing its password, and somebody whose key was removed cannot open the new rings of the others
//! with what he knew (which a symmetric key, kept under the master key for the next rotation, would
//! allow). The tail, sealed under the current master key, authenticates all that precedes and the
//! file's name: whoever has the ring finds any changed bit without the password.
//!
//! | bytes | what |
//! | --- | --- |
//! | 36 | head: `"tfsK"`, version 1, kind (1 password, 2 key file), two zero bytes, argon2id memory in KiB, passes, lanes (u32 each), salt 16 |
//! | 48 | private key, AES under `argon2id(secret, salt)`, nonce zero; associated data: the head |
//! | 4 | number of the current master key, count of keys in the ring, two zero bytes |
//! | 32 | ephemeral public key |
//! | n + 16 | the ring, AES under a key derived from the shared secret, nonce zero; associated data: the bytes before ‖ name |
//! | 16 | salt |
//! | n + 16 | facts as JSON, AES under a key derived from the current master key, nonce zero; associated data: the bytes before ‖ name |
//!
//! All these keys are used once, since each is made from random bytes that are new with every sealing.

use std::sync::Arc;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ring::{Keys, Own, Ring, encoded_len};
use super::{FOLDER, KdfCost, KeyKind, MasterKey, password_key, random};
use crate::repo::backend::Backend;
use crate::repo::error::{RepoError, Result};
use crate::repo::seal::{SealKey, TAG};
use crate::repo::wire::{Input, Malformed};

const MAGIC: &[u8; 4] = b"tfsK";
const VERSION: u8 = 1;
const HEAD: usize = 8 + 12 + 16;
const PRIVATE: usize = 32 + TAG;
/// Where the sealed ring begins.
const RING: usize = HEAD + PRIVATE + 4 + 32;
/// A key file cannot ask for more memory than this: it is read before anything is authenticated.
const MAX_MEMORY_KIB: u32 = 2 << 20;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 64;
/// Bytes of a label.
const MAX_LABEL: usize = 256;
/// No key file is larger; more is damage.
const MAX_SIZE: usize = 64 << 10;

/// The private key of a key file.
#[derive(Clone)]
pub(super) struct SlotKey(Zeroizing<[u8; 32]>);

impl SlotKey {
    fn private(&self) -> Result<PrivateKey> {
        PrivateKey::from_private_key(&X25519, self.0.as_slice())
            .map_err(|_| RepoError::Invalid("a private key is not usable".into()))
    }

    fn public(&self) -> Result<[u8; 32]> {
        let public = self
            .private()?
            .compute_public_key()
            .map_err(|_| RepoError::Invalid("a private key has no public key".into()))?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(public.as_ref());
        Ok(bytes)
    }

    /// The key that seals the ring, made from this private and another's public key.
    fn agree(&self, with: &[u8; 32], ephemeral: &[u8; 32], slot: &[u8; 32]) -> Result<SealKey> {
        let refused = || RepoError::Invalid("a public key is not usable".into());
        agreement::agree(
            &self.private()?,
            UnparsedPublicKey::new(&X25519, with),
            refused(),
            |shared| {
                let mut hasher = blake3::Hasher::new_derive_key("tenantfs 2026-11-26 key ring");
                for part in [shared, ephemeral.as_slice(), slot.as_slice()] {
                    hasher.update(part);
                }
                let key = Zeroizing::new(*hasher.finalize().as_bytes());
                Ok(SealKey::new(&key))
            },
        )
    }
}

/// What a key file says about itself to those who have the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// For people: whose or what for.
    pub(super) label: String,
    /// Host it was made on.
    pub(super) host: String,
    /// Seconds since 1970.
    pub(super) created: i64,
    public: [u8; 32],
}

/// A key file taken apart, nothing of it believed yet.
struct Parsed<'a> {
    file: &'a [u8],
    kind: KeyKind,
    cost: KdfCost,
    salt: [u8; 16],
    current: u8,
    count: u8,
    ephemeral: [u8; 32],
    /// Where the sealed ring ends.
    ring_end: usize,
}

impl<'a> Parsed<'a> {
    fn new(name: &str, file: &'a [u8]) -> Result<Self> {
        let damaged = |what: &str| RepoError::damaged(name, what);
        let malformed = |e: Malformed| damaged(e.0);
        let mut input = Input::new(file);
        let [m0, m1, m2, m3, version, kind, z0, z1] = input.array::<8>().map_err(malformed)?;
        if [m0, m1, m2, m3] != *MAGIC || file.len() > MAX_SIZE {
            return Err(damaged("it is no key file"));
        }
        if version > VERSION {
            return Err(RepoError::NewerVersion {
                found: version,
                supported: VERSION,
            });
        }
        let kind = KeyKind::from_u8(kind).filter(|_| version == VERSION && z0 == 0 && z1 == 0);
        let kind = kind.ok_or_else(|| damaged("unknown kind of key file"))?;
        let mut number = || Ok(u32::from_le_bytes(input.array().map_err(malformed)?));
        let cost = KdfCost {
            memory_kib: number()?,
            passes: number()?,
            lanes: number()?,
        };
        if cost.memory_kib > MAX_MEMORY_KIB || cost.passes > MAX_PASSES || cost.lanes > MAX_LANES {
            return Err(damaged("it asks for an absurd amount of memory or time"));
        }
        let salt = input.array().map_err(malformed)?;
        input.bytes(PRIVATE).map_err(malformed)?;
        let [current, count, z0, z1] = input.array::<4>().map_err(malformed)?;
        if z0 != 0 || z1 != 0 {
            return Err(damaged("its header does not fit"));
        }
        let ephemeral = input.array().map_err(malformed)?;
        let ring = encoded_len(count) + TAG;
        input.bytes(ring).map_err(malformed)?;
        input.bytes(16 + TAG).map_err(malformed)?;
        Ok(Parsed {
            file,
            kind,
            cost,
            salt,
            current,
            count,
            ephemeral,
            ring_end: RING + ring,
        })
    }

    /// The private key; `None` when the password does not open it.
    fn private(&self, name: &str, secret: &SecretString) -> Result<Option<SlotKey>> {
        let key = password_key(secret, self.cost, &self.salt)
            .map_err(|_| RepoError::damaged(name, "impossible argon2 parameters"))?;
        let mut sealed = Zeroizing::new(self.file[HEAD..HEAD + PRIVATE].to_vec());
        let opened = SealKey::new(&key).open_with([0; 12], &self.file[..HEAD], &mut sealed);
        Ok(opened.map(|plain| {
            let mut private = Zeroizing::new([0; 32]);
            private.copy_from_slice(plain);
            SlotKey(private)
        }))
    }

    /// The ring, by the private key. All of the file is checked on the way.
    fn ring(&self, name: &str, key: &SlotKey) -> Result<Ring> {
        let damaged = |what: &str| RepoError::damaged(name, what);
        let public = key.public()?;
        let mut sealed = Zeroizing::new(self.file[RING..self.ring_end].to_vec());
        let plain = key
            .agree(&self.ephemeral, &self.ephemeral, &public)
            .map_err(|_| damaged("its ephemeral key is impossible"))?
            .open_with([0; 12], &associated(&self.file[..RING], name), &mut sealed)
            .ok_or_else(|| damaged("its ring of keys fails its authentication"))?;
        let ring = Ring::decode(plain).map_err(|e| damaged(e.0))?;
        if (ring.current(), ring.count()) != (self.current, self.count)
            || self.facts(name, &ring)?.public != public
        {
            return Err(damaged("its parts do not belong together"));
        }
        Ok(ring)
    }

    /// What it says of itself, by the ring.
    fn facts(&self, name: &str, ring: &Ring) -> Result<Facts> {
        let damaged = |what: String| RepoError::damaged(name, what);
        let master = ring.get(self.current).ok_or_else(|| {
            damaged(format!(
                "it names master key {}, which is not known here",
                self.current
            ))
        })?;
        let (before, mut sealed) = (
            &self.file[..self.ring_end + 16],
            self.file[self.ring_end + 16..].to_vec(),
        );
        let plain = tail_key(master, &self.file[self.ring_end..self.ring_end + 16])
            .open_with([0; 12], &associated(before, name), &mut sealed)
            .ok_or_else(|| damaged("it is not as it was written".into()))?;
        serde_json::from_slice(plain).map_err(|e| damaged(e.to_string()))
    }
}

/// A new key file that opens with `secret`, and its private key.
pub(super) fn create(
    name: &str,
    secret: &SecretString,
    new: &super::NewKey,
    ring: &Ring,
) -> Result<(Vec<u8>, SlotKey)> {
    if new.label.len() > MAX_LABEL {
        return Err(RepoError::Invalid(format!(
            "the label of a key has at most {MAX_LABEL} bytes"
        )));
    }
    let cost = match new.kind {
        KeyKind::Password => new.kdf,
        KeyKind::KeyFile => KdfCost::cheapest(),
    };
    let mut file = Vec::with_capacity(1024);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&[VERSION, new.kind as u8, 0, 0]);
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        file.extend_from_slice(&number.to_le_bytes());
    }
    let salt = random::<16>()?;
    file.extend_from_slice(&salt);
    let private = SlotKey(Zeroizing::new(random()?));
    let mut sealed = Zeroizing::new(private.0.to_vec());
    let password = password_key(secret, cost, &salt)?;
    SealKey::new(&password).seal_with([0; 12], &file, &mut sealed, 0)?;
    file.extend_from_slice(&sealed);
    let facts = Facts {
        label: new.label.clone(),
        host: crate::repo::host_name(),
        created: jiff::Timestamp::now().as_second(),
        public: private.public()?,
    };
    Ok((finish(name, file, &facts, ring)?, private))
}

/// The same key file with another ring; needs no password.
pub(super) fn rewrap(name: &str, file: &[u8], known: &Ring, ring: &Ring) -> Result<Vec<u8>> {
    let facts = Parsed::new(name, file)?.facts(name, known)?;
    finish(name, file[..HEAD + PRIVATE].to_vec(), &facts, ring)
}

/// Seals ring and facts behind the head and the private key.
fn finish(name: &str, mut file: Vec<u8>, facts: &Facts, ring: &Ring) -> Result<Vec<u8>> {
    let master = ring.get(ring.current()).ok_or_else(no_current)?;
    file.extend_from_slice(&[ring.current(), ring.count(), 0, 0]);
    let ephemeral = SlotKey(Zeroizing::new(random()?));
    let public = ephemeral.public()?;
    file.extend_from_slice(&public);
    let mut sealed = ring.encode();
    ephemeral
        .agree(&facts.public, &public, &facts.public)?
        .seal_with([0; 12], &associated(&file, name), &mut sealed, 0)?;
    file.extend_from_slice(&sealed);
    let salt = random::<16>()?;
    file.extend_from_slice(&salt);
    let mut tail = serde_json::to_vec(facts)
        .map_err(|e| RepoError::Invalid(format!("a key file cannot be written: {e}")))?;
    tail_key(master, &salt).seal_with([0; 12], &associated(&file, name), &mut tail, 0)?;
    file.extend_from_slice(&tail);
    Ok(file)
}

fn no_current() -> RepoError {
    RepoError::Invalid("a ring of keys without its current key".into())
}

/// The ring and the private key in a key file, `None` when the secret does not open it.
pub(super) fn open(
    name: &str,
    file: &[u8],
    secret: &SecretString,
) -> Result<Option<(Ring, SlotKey)>> {
    let parsed = Parsed::new(name, file)?;
    let Some(key) = parsed.private(name, secret)? else {
        return Ok(None);
    };
    Ok(Some((parsed.ring(name, &key)?, key)))
}

/// The ring in a key file whose private key is known.
pub(super) fn reopen(name: &str, file: &[u8], key: &SlotKey) -> Result<Ring> {
    Parsed::new(name, file)?.ring(name, key)
}

/// What is known of a key file without its password.
pub(crate) struct Inspected {
    pub(super) kind: KeyKind,
    pub(super) facts: Facts,
    /// The master key that it has files sealed with.
    pub(super) current: u8,
}

/// Checks every bit of a key file without its password. One that lacks the current master key is an
/// older state of it (a rotation gives all the new key before it is used).
pub(crate) fn inspect(name: &str, file: &[u8], keys: &Keys) -> Result<Inspected> {
    let parsed = Parsed::new(name, file)?;
    if parsed.current > keys.ring().current() {
        keys.reload()?;
    }
    let ring = keys.ring();
    let facts = parsed.facts(name, &ring)?;
    if parsed.count <= ring.current() {
        return Err(RepoError::damaged(
            name,
            "it is from before the last rotation of keys and does not open what was written since; \
             remove it, and add the password again",
        ));
    }
    Ok(Inspected {
        kind: parsed.kind,
        facts,
        current: parsed.current,
    })
}

/// Opens the repository's keys with a secret: tries all key files. `accept` says whether the ring is
/// the repository's.
pub(crate) fn unlock<T>(
    backend: &Arc<Backend>,
    secret: &SecretString,
    accept: impl Fn(&Keys) -> Result<T>,
) -> Result<(Keys, T)> {
    let files = backend.list(FOLDER)?;
    if files.is_empty() {
        return Err(RepoError::FileMissing {
            file: "keys/ (every key file)".into(),
        });
    }
    let mut failure = None;
    for info in &files {
        let opened = match backend.get(&info.name) {
            Ok(file) => open(&info.name, &file, secret),
            // Removed since the listing.
            Err(RepoError::FileMissing { .. }) => Ok(None),
            Err(e) => return Err(e),
        };
        match opened {
            Ok(Some((ring, key))) => {
                let own = Own {
                    backend: backend.clone(),
                    file: info.name.clone(),
                    key,
                };
                let keys = Keys::opened(ring, own);
                match accept(&keys) {
                    Ok(accepted) => return Ok((keys, accepted)),
                    Err(e) => failure = Some(e),
                }
            }
            Ok(None) => {}
            Err(e) => failure = Some(e),
        }
    }
    Err(failure.unwrap_or(RepoError::WrongPassword { keys: files.len() }))
}

fn tail_key(master: &MasterKey, salt: &[u8]) -> SealKey {
    SealKey::new(&master.derive("tenantfs 2026-11-26 key file", salt))
}

fn associated(before: &[u8], name: &str) -> Vec<u8> {
    [before, name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::NewKey;
    use super::*;

    const NAME: &str = "keys/0123456789abcdef";

    fn make(ring: &Ring) -> (Vec<u8>, SlotKey, SecretString) {
        let secret = SecretString::from("correct horse");
        let new = NewKey {
            label: "laptop".into(),
            kdf: KdfCost::cheapest(),
            ..NewKey::default()
        };
        let (file, key) = create(NAME, &secret, &new, ring).unwrap();
        (file, key, secret)
    }

    fn opens(name: &str, file: &[u8], secret: &SecretString) -> bool {
        matches!(open(name, file, secret), Ok(Some(_)))
    }

    #[test]
    fn only_the_password_opens_and_any_flip_is_found() {
        let ring = Ring::generate(1).unwrap();
        let keys = Keys::new(ring.clone());
        let (file, _, right) = make(&ring);
        assert!(opens(NAME, &file, &right));
        assert!(
            open(NAME, &file, &SecretString::from("wrong"))
                .unwrap()
                .is_none()
        );
        let found = inspect(NAME, &file, &keys).unwrap();
        assert_eq!(
            (found.facts.label.as_str(), found.kind),
            ("laptop", KeyKind::Password)
        );
        // Under another's name it is not what it was.
        assert!(!opens("keys/0", &file, &right) && inspect("keys/0", &file, &keys).is_err());
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(inspect(NAME, &bad, &keys).is_err(), "bit {bit}");
            // Bits of the cost may make the attempt slow, which is all they can do.
            if !(8..20).contains(&(bit / 8)) {
                assert!(!opens(NAME, &bad, &right), "bit {bit}");
            }
        }
        for len in 0..file.len() {
            assert!(inspect(NAME, &file[..len], &keys).is_err());
        }
    }

    #[test]
    fn a_label_has_an_end() {
        let new = NewKey {
            label: "x".repeat(MAX_LABEL + 1),
            ..NewKey::default()
        };
        let made = create(NAME, &"s".into(), &new, &Ring::generate(1).unwrap());
        assert!(matches!(made, Err(RepoError::Invalid(_))));
    }

    #[test]
    fn absurd_parameters_are_refused_without_allocating() {
        let (mut file, _, secret) = make(&Ring::generate(1).unwrap());
        file[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            open(NAME, &file, &secret),
            Err(RepoError::Damaged { .. })
        ));
    }

    #[test]
    fn a_new_ring_needs_no_password_and_an_old_key_file_is_noticed() {
        let old = Ring::generate(1).unwrap();
        let (file, key, secret) = make(&old);
        let pending = old.with_pending(2).unwrap();
        let given = rewrap(NAME, &file, &old, &pending).unwrap();
        let new = pending.activated();
        let active = rewrap(NAME, &given, &pending, &new).unwrap();
        let (ring, _) = open(NAME, &active, &secret).unwrap().unwrap();
        assert_eq!((ring.current(), ring.count()), (1, 2));
        assert_eq!(reopen(NAME, &active, &key).unwrap().current(), 1);
        let keys = Keys::new(new);
        assert_eq!(inspect(NAME, &active, &keys).unwrap().facts.label, "laptop");
        assert!(inspect(NAME, &given, &keys).is_ok());
        let error = inspect(NAME, &file, &keys).err().unwrap().to_string();
        assert!(error.contains("before the last rotation"), "{error}");
        // Who knew only the old master key cannot read the new ring with it.
        assert!(inspect(NAME, &active, &Keys::new(old)).is_err());
    }
}
