//! Sealing: AES-256-GCM, and the envelope of every small file.
//!
//! A key seals with nonces that never repeat: packs count their frames, small files have a key of
//! their own each (derived from a random salt), so their nonce is always zero.
//!
//! A small file: header of 32 bytes (`"tfsF"`, version, type, two zero bytes, salt 24), then the
//! sealed body. Associated data: repository id, header, file name. So neither a file of another
//! repository nor a file under another's name opens. The body is one byte (0 raw, 1 zstd), and
//! with zstd a length u32 before the compressed bytes.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};

use super::codec;
use super::error::{RepoError, Result};
use super::key::{MasterKey, algorithm, random};

/// Bytes that sealing adds.
pub(crate) const TAG: usize = 16;
/// Format version written into every file; a newer one is refused.
pub(crate) const FORMAT_VERSION: u8 = 1;

const MAGIC: &[u8; 4] = b"tfsF";
const HEADER: usize = 32;
/// No small file is larger when decoded; more is damage or malice.
const MAX_BODY: usize = 1 << 30;

/// An AES-256-GCM key.
pub(crate) struct SealKey(LessSafeKey);

impl SealKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        match UnboundKey::new(algorithm(), key) {
            Ok(key) => SealKey(LessSafeKey::new(key)),
            // The only cause is a wrong key length, and the type fixes that.
            Err(_) => unreachable!("AES-256 takes 32 bytes"),
        }
    }

    /// Seals `buf[from..]` in place and appends the tag.
    pub(crate) fn seal_with(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        buf: &mut Vec<u8>,
        from: usize,
    ) -> Result<()> {
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut buf[from..],
            )
            .map_err(|_| RepoError::Invalid("AES-GCM refused to seal".into()))?;
        buf.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens `buf` (ciphertext and tag) in place. `None`: these are not the bytes that were sealed.
    pub(crate) fn open_with<'a>(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        buf: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        self.0
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), buf)
            .ok()
    }
}

/// What a small file is; part of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FileType {
    Config = 1,
    Index = 2,
    Dictionary = 3,
    Snapshot = 4,
    Inventory = 5,
    Session = 6,
    Claim = 7,
}

/// Identity of a repository: 16 random bytes, authenticated with everything.
pub(crate) type RepoId = [u8; 16];

/// Seals a small file.
pub(crate) fn seal_file(
    master: &MasterKey,
    repo: &RepoId,
    kind: FileType,
    name: &str,
    plain: &[u8],
) -> Result<Vec<u8>> {
    let mut file = Vec::with_capacity(HEADER + 5 + plain.len() + TAG);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&[FORMAT_VERSION, kind as u8, 0, 0]);
    file.extend_from_slice(&random::<24>()?);
    let key = file_key(master, &file);
    let aad = associated(repo, &file, name);
    match codec::zstd_small(plain) {
        Some(packed) if packed.len() + 4 < plain.len() => {
            file.push(1);
            file.extend_from_slice(&(plain.len() as u32).to_le_bytes());
            file.extend_from_slice(&packed);
        }
        _ => {
            file.push(0);
            file.extend_from_slice(plain);
        }
    }
    key.seal_with([0; 12], &aad, &mut file, HEADER)?;
    Ok(file)
}

/// Opens a small file that must be of this type and have this name.
pub(crate) fn open_file(
    master: &MasterKey,
    repo: &RepoId,
    kind: FileType,
    name: &str,
    mut file: Vec<u8>,
) -> Result<Vec<u8>> {
    let damaged = |reason: &str| RepoError::damaged(name, reason);
    check_version(name, &file)?;
    if file.len() < HEADER + TAG + 1 || file[5] != kind as u8 || file[6..8] != [0, 0] {
        return Err(damaged("its header does not fit"));
    }
    let (header, body) = file.split_at_mut(HEADER);
    let key = file_key(master, header);
    let aad = associated(repo, header, name);
    let plain = key.open_with([0; 12], &aad, body).ok_or_else(|| {
        damaged("it fails its authentication (changed, moved, or of another repository)")
    })?;
    match plain.split_first() {
        Some((0, raw)) => Ok(raw.to_vec()),
        Some((1, packed)) => {
            let (len, packed) = packed
                .split_first_chunk::<4>()
                .ok_or_else(|| damaged("its body is too short"))?;
            let len = u32::from_le_bytes(*len) as usize;
            if len > MAX_BODY {
                return Err(damaged("it claims an absurd length"));
            }
            codec::unzstd(packed, len, None).ok_or_else(|| damaged("its body does not decompress"))
        }
        _ => Err(damaged("its body has an unknown form")),
    }
}

/// Refuses files of a newer format before anything else is believed of them.
pub(crate) fn check_version(name: &str, file: &[u8]) -> Result<()> {
    if file.len() < 8 || file[..4] != *MAGIC {
        return Err(RepoError::damaged(
            name,
            "it does not begin as a file of a repository does",
        ));
    }
    match file[4] {
        FORMAT_VERSION => Ok(()),
        found if found > FORMAT_VERSION => Err(RepoError::NewerVersion {
            found,
            supported: FORMAT_VERSION,
        }),
        _ => Err(RepoError::damaged(name, "it has an impossible version")),
    }
}

fn file_key(master: &MasterKey, header: &[u8]) -> SealKey {
    SealKey::new(&master.derive("tenantfs 2026-11-22 small file", header))
}

fn associated(repo: &RepoId, header: &[u8], name: &str) -> Vec<u8> {
    [repo.as_slice(), header, name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_every_swap_is_found() {
        let master = MasterKey::generate().unwrap();
        let open = |repo: &RepoId, kind, name: &str, file: &[u8]| {
            open_file(&master, repo, kind, name, file.to_vec())
        };
        for plain in [b"".to_vec(), b"short".to_vec(), vec![b'x'; 5000]] {
            let file = seal_file(&master, &[1; 16], FileType::Index, "index/a", &plain).unwrap();
            assert_eq!(
                open(&[1; 16], FileType::Index, "index/a", &file).unwrap(),
                plain
            );
            assert!(open(&[2; 16], FileType::Index, "index/a", &file).is_err());
            assert!(open(&[1; 16], FileType::Snapshot, "index/a", &file).is_err());
            assert!(open(&[1; 16], FileType::Index, "index/b", &file).is_err());
            for bit in 0..file.len() * 8 {
                let mut bad = file.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    open(&[1; 16], FileType::Index, "index/a", &bad).is_err(),
                    "bit {bit}"
                );
            }
            for len in 0..file.len() {
                assert!(open(&[1; 16], FileType::Index, "index/a", &file[..len]).is_err());
            }
        }
    }
}
