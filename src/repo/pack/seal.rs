//! The key of a pack, and what each sealed part of it is bound to.

use crate::repo::error::Result;
use crate::repo::id::{Kind, PackId};
use crate::repo::key::MasterKey;
use crate::repo::seal::{RepoId, SealKey};

/// What is needed to open frames of one pack.
pub(crate) struct PackSeal {
    key: SealKey,
    id: PackId,
    aad: [u8; 32],
}

impl PackSeal {
    /// Derives the key of a pack.
    pub(crate) fn new(master: &MasterKey, repo: &RepoId, id: PackId) -> Self {
        let key = SealKey::new(&master.derive(
            "tenantfs 2026-11-22 pack",
            &[repo.as_slice(), &id.0].concat(),
        ));
        let mut aad = [0; 32];
        aad[..16].copy_from_slice(repo);
        aad[16..].copy_from_slice(&id.0);
        PackSeal { key, id, aad }
    }

    /// The pack it is for.
    pub(crate) fn id(&self) -> PackId {
        self.id
    }

    /// Associated data of a frame: repository, pack, number, kind, raw length.
    fn frame_aad(&self, number: u32, kind: Kind, raw: u32) -> [u8; 41] {
        let mut aad = [0; 41];
        aad[..32].copy_from_slice(&self.aad);
        aad[32..36].copy_from_slice(&number.to_le_bytes());
        aad[36] = kind as u8;
        aad[37..].copy_from_slice(&raw.to_le_bytes());
        aad
    }

    /// Seals the encoded bytes of a frame in place.
    pub(super) fn seal_frame(
        &self,
        number: u32,
        kind: Kind,
        raw: u32,
        encoded: &mut Vec<u8>,
    ) -> Result<()> {
        self.key.seal_with(
            nonce(0, number),
            &self.frame_aad(number, kind, raw),
            encoded,
            0,
        )
    }

    /// Opens a sealed frame in place: its encoded bytes, or `None` when they were changed.
    pub(crate) fn open_frame(
        &self,
        number: u32,
        kind: Kind,
        raw: u32,
        mut sealed: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let len = self
            .key
            .open_with(
                nonce(0, number),
                &self.frame_aad(number, kind, raw),
                &mut sealed,
            )?
            .len();
        sealed.truncate(len);
        Some(sealed)
    }

    /// Seals the footer between a header and a trailer, in place.
    pub(super) fn seal_footer(
        &self,
        header: &[u8],
        trailer: &[u8],
        footer: &mut Vec<u8>,
    ) -> Result<()> {
        let aad = self.footer_aad(header, trailer);
        self.key.seal_with(nonce(1, 0), &aad, footer, 0)
    }

    /// Opens it again: `None` when one of the three was changed.
    pub(super) fn open_footer<'a>(
        &self,
        header: &[u8],
        trailer: &[u8],
        footer: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let aad = self.footer_aad(header, trailer);
        self.key.open_with(nonce(1, 0), &aad, footer)
    }

    fn footer_aad(&self, header: &[u8], trailer: &[u8]) -> Vec<u8> {
        [self.aad.as_slice(), header, trailer].concat()
    }
}

/// Domain 0: frames, by number; domain 1: the footer.
fn nonce(domain: u32, number: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&domain.to_le_bytes());
    nonce[4..8].copy_from_slice(&number.to_le_bytes());
    nonce
}
