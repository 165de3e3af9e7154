//! The master key, the keys derived from it, and the key files that wrap it.
//!
//! A repository has one random 256-bit master key for its whole life. Each file in `keys/` holds
//! it, wrapped with AES-256-GCM under a key that argon2id derives from a password; changing the
//! password rewrites that file only. All other keys are BLAKE3 `derive_key`s of the master key,
//! one context string per use, so no two uses share a key.
//!
//! A key file, 136 bytes: `"tfsK"`, version 1, kdf 1 (argon2id v1.3), two zero bytes, memory in
//! KiB u32, passes u32, lanes u32, time of creation i64 (all little endian), salt 16, nonce 12,
//! wrapped key 32 + 16, and a keyed BLAKE3 of all that precedes, 32, by which somebody who
//! has the master key finds damage without the password.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::error::{RepoError, Result};
use super::seal::SealKey;
use super::wire::Input;

const MAGIC: &[u8; 4] = b"tfsK";
const VERSION: u8 = 1;
const KDF_ARGON2ID: u8 = 1;
const HEADER: usize = 8 + 12 + 8 + 16 + 12;
const WRAPPED: usize = 32 + 16;
/// A key file cannot ask for more memory than this: it is read before anything is authenticated.
const MAX_MEMORY_KIB: u32 = 2 << 20;
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 64;

/// Cost of guessing one password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory of argon2id in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for KdfCost {
    /// 46 MiB, one pass: the costliest of the equivalent settings in OWASP's password storage
    /// cheat sheet. More passes would alone use up the 0.2 s in which a mount has to be ready.
    fn default() -> Self {
        KdfCost {
            memory_kib: 46 << 10,
            passes: 1,
            lanes: 1,
        }
    }
}

impl KdfCost {
    /// As cheap as argon2id gets. For tests and demonstrations whose password is no secret.
    pub fn cheapest() -> Self {
        KdfCost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        }
    }
}

/// The repository's secret.
#[derive(Clone)]
pub(crate) struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    pub(crate) fn generate() -> Result<Self> {
        Ok(MasterKey(Zeroizing::new(random()?)))
    }

    /// Key for one purpose: BLAKE3 derive_key of context over master key and salt.
    pub(crate) fn derive(&self, context: &'static str, salt: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(self.0.as_slice());
        hasher.update(salt);
        Zeroizing::new(*hasher.finalize().as_bytes())
    }

    /// A new key file that opens with `password`.
    pub(crate) fn wrap(
        &self,
        password: &SecretString,
        cost: KdfCost,
        created: i64,
    ) -> Result<Vec<u8>> {
        let mut file = Vec::with_capacity(HEADER + WRAPPED + 32);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&[VERSION, KDF_ARGON2ID, 0, 0]);
        for number in [cost.memory_kib, cost.passes, cost.lanes] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(&created.to_le_bytes());
        let salt = random::<16>()?;
        let nonce = random::<12>()?;
        file.extend_from_slice(&salt);
        file.extend_from_slice(&nonce);
        let key = password_key(password, cost, &salt)?;
        let mut wrapped = self.0.to_vec();
        SealKey::new(&key).seal_with(nonce, &file, &mut wrapped, 0)?;
        file.append(&mut wrapped);
        let mac = self.file_mac(&file);
        file.extend_from_slice(&mac);
        Ok(file)
    }

    /// The master key in a key file, `None` when the password does not open it.
    pub(crate) fn unwrap(name: &str, file: &[u8], password: &SecretString) -> Result<Option<Self>> {
        let damaged = |what: &str| RepoError::damaged(name, what);
        let mut input = Input::new(file);
        let malformed = |e: super::wire::Malformed| damaged(e.0);
        let [m0, m1, m2, m3, version, kdf, z0, z1] = input.array::<8>().map_err(malformed)?;
        if [m0, m1, m2, m3] != *MAGIC {
            return Err(damaged("it is no key file"));
        }
        if version > VERSION {
            return Err(RepoError::NewerVersion {
                found: version,
                supported: VERSION,
            });
        }
        if version != VERSION || kdf != KDF_ARGON2ID || z0 != 0 || z1 != 0 {
            return Err(damaged("unknown kind of key file"));
        }
        let cost = KdfCost {
            memory_kib: u32::from_le_bytes(input.array().map_err(malformed)?),
            passes: u32::from_le_bytes(input.array().map_err(malformed)?),
            lanes: u32::from_le_bytes(input.array().map_err(malformed)?),
        };
        let _created: [u8; 8] = input.array().map_err(malformed)?;
        let salt: [u8; 16] = input.array().map_err(malformed)?;
        let nonce: [u8; 12] = input.array().map_err(malformed)?;
        let mut wrapped = Zeroizing::new(input.array::<WRAPPED>().map_err(malformed)?);
        let mac: [u8; 32] = input.array().map_err(malformed)?;
        input.end().map_err(malformed)?;
        if cost.memory_kib > MAX_MEMORY_KIB || cost.passes > MAX_PASSES || cost.lanes > MAX_LANES {
            return Err(damaged("it asks for an absurd amount of memory or time"));
        }
        let key = password_key(password, cost, &salt)
            .map_err(|_| damaged("impossible argon2 parameters"))?;
        let Some(plain) =
            SealKey::new(&key).open_with(nonce, &file[..HEADER], wrapped.as_mut_slice())
        else {
            return Ok(None);
        };
        let mut master = Zeroizing::new([0; 32]);
        master.copy_from_slice(plain);
        let master = MasterKey(master);
        if mac != master.file_mac(&file[..HEADER + WRAPPED]) {
            return Err(damaged("its checksum does not fit"));
        }
        Ok(Some(master))
    }

    /// True when the key file wraps this master key and no bit of it changed. Needs no password.
    pub(crate) fn vouches_for(&self, file: &[u8]) -> bool {
        file.len() == HEADER + WRAPPED + 32
            && file[HEADER + WRAPPED..] == self.file_mac(&file[..HEADER + WRAPPED])
    }

    fn file_mac(&self, bytes: &[u8]) -> [u8; 32] {
        let key = self.derive("tenantfs 2026-11-22 key file mac", &[]);
        *blake3::keyed_hash(&key, bytes).as_bytes()
    }
}

fn password_key(
    password: &SecretString,
    cost: KdfCost,
    salt: &[u8],
) -> Result<Zeroizing<[u8; 32]>> {
    let invalid = |e: argon2::Error| RepoError::Invalid(format!("argon2id with {cost:?}: {e}"));
    let params =
        Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(invalid)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(
            password.expose_secret().as_bytes(),
            salt,
            key.as_mut_slice(),
        )
        .map_err(invalid)?;
    Ok(key)
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| RepoError::Invalid(format!("the system gives no random bytes: {e}")))?;
    Ok(bytes)
}

/// The AEAD all of the format uses.
pub(crate) fn algorithm() -> &'static aead::Algorithm {
    &aead::AES_256_GCM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_opens_and_any_flip_is_found() {
        let master = MasterKey::generate().unwrap();
        let right = SecretString::from("correct horse");
        let file = master.wrap(&right, KdfCost::cheapest(), 0).unwrap();
        assert_eq!(file.len(), HEADER + WRAPPED + 32);
        let opened = MasterKey::unwrap("keys/1", &file, &right).unwrap().unwrap();
        assert_eq!(*opened.0, *master.0);
        assert!(
            MasterKey::unwrap("keys/1", &file, &SecretString::from("wrong"))
                .unwrap()
                .is_none()
        );
        assert!(master.vouches_for(&file));
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!master.vouches_for(&bad));
            // Whatever the flip does to the parameters, no key comes out of it.
            if !(8..20).contains(&(bit / 8)) {
                assert!(!matches!(
                    MasterKey::unwrap("keys/1", &bad, &right),
                    Ok(Some(_))
                ));
            }
        }
    }

    #[test]
    fn absurd_parameters_are_refused_without_allocating() {
        let master = MasterKey::generate().unwrap();
        let password = SecretString::from("x");
        let mut file = master.wrap(&password, KdfCost::cheapest(), 0).unwrap();
        file[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            MasterKey::unwrap("keys/1", &file, &password),
            Err(RepoError::Damaged { .. })
        ));
    }
}
