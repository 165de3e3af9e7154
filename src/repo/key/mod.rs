//! Keys: what seals the files of a repository, and who can open it.
//!
//! - A **master key** seals. Everything else is a BLAKE3 `derive_key` of one, a context string per
//!   use, so no two uses share a key.
//! - The **ring** ([`ring`]) has all master keys of the repository, oldest first, and says which one
//!   seals what is written now. Packs and small files name the number of theirs in their header.
//!   Object ids come from a secret of their own in the ring, so rotating keys keeps deduplication.
//! - A **key file** ([`slot`]), one for each password or random key file, holds a private key under
//!   the password, and the ring sealed to that private key. A changed password rewrites that one
//!   file, a rotation rewraps the ring in all of them without their passwords.
//! - The [`register`], in the inventory, says which key files there must be and what is in them.
//! - [`manage`] lists, adds, removes, changes and rotates.

mod manage;
pub(crate) mod register;
mod ring;
mod slot;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

pub(crate) use manage::create;
pub use manage::{KeyInfo, KeyList, MasterKeyInfo, NewKey, Rotation};
pub(crate) use register::Register;
pub(crate) use ring::{Keys, Ring};
pub(crate) use slot::unlock;

use super::error::{RepoError, Result};

/// Folder of key files.
pub(crate) const FOLDER: &str = "keys";
/// Bytes a key file of the user's (not the repository's) must have to be beyond guessing.
const LEAST_KEY_FILE: usize = 32;
/// It is read whole; more is a mistake.
const MAX_KEY_FILE: usize = 1 << 20;

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
    /// As cheap as argon2id gets. For secrets that cannot be guessed: key files, and tests.
    pub fn cheapest() -> Self {
        KdfCost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        }
    }
}

/// What a person has to open the repository with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum KeyKind {
    /// A password: guessing it has to cost something.
    #[default]
    Password = 1,
    /// A file of random bytes ([`key_file_secret`]): there is nothing to guess.
    KeyFile = 2,
}

impl KeyKind {
    fn from_u8(n: u8) -> Option<Self> {
        [KeyKind::Password, KeyKind::KeyFile]
            .into_iter()
            .find(|kind| *kind as u8 == n)
    }
}

/// The secret that a file of random bytes stands for: takes the place of a password.
///
/// # Errors
/// The file is shorter than 32 bytes, or longer than 1 MiB.
pub fn key_file_secret(bytes: &[u8]) -> Result<SecretString> {
    if !(LEAST_KEY_FILE..=MAX_KEY_FILE).contains(&bytes.len()) {
        return Err(RepoError::Invalid(format!(
            "a key file must have {LEAST_KEY_FILE} random bytes or more, and this one has {} \
             (`head -c 32 /dev/urandom` makes them)",
            bytes.len()
        )));
    }
    let hash = blake3::derive_key("tenantfs 2026-11-26 key file secret", bytes);
    Ok(SecretString::from(super::id::hex(&hash)))
}

/// 32 secret bytes that other keys are derived from.
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
