//! Packs: many frames in one file, sealed under one key.
//!
//! Header of 24 bytes (`"tfsP"`, version, class, number of the master key, flags, pack id 16), sealed
//! frames one after the other, sealed footer (the pack's table), trailer of 8 bytes (footer's length
//! u32, `"tfsE"`). The key is derived from the pack's random id; frame n is sealed with nonce (0, n),
//! the footer with (1, 0), and a pack that has begun its footer takes no more frames, so no nonce is
//! used for two plaintexts. Every byte is authenticated: header and trailer as associated data of the
//! footer.
//!
//! [`OpenPack`] is one that is being written; [`read_ends`] and [`open_whole`] read one that is complete.

mod open;
mod read;
mod seal;

pub(crate) use open::OpenPack;
pub(crate) use read::{Ends, open_whole, read_ends};
pub(crate) use seal::PackSeal;

use super::error::{RepoError, Result};
use super::id::{PackClass, PackId};
use super::seal::FORMAT_VERSION;
use super::table::MAX_FRAME;

/// Bytes before the first frame.
pub(crate) const HEADER: usize = 24;
const TRAILER: usize = 8;
const MAGIC: &[u8; 4] = b"tfsP";
const END: &[u8; 4] = b"tfsE";
/// Where a header has the number of its master key.
const KEY: usize = 6;
/// Where a header has its flags.
const FLAGS: usize = 7;
/// A parity file was written before the pack got its name.
const HAS_PARITY: u8 = 1;

/// Size at which a pack is closed.
pub(crate) fn target(class: PackClass) -> u64 {
    match class {
        PackClass::Data => 32 << 20,
        PackClass::Meta => 8 << 20,
    }
}

/// The beginning of a pack.
fn header(class: PackClass, key: u8, id: PackId, flags: u8) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(MAGIC);
    header[4] = FORMAT_VERSION;
    header[5] = class as u8;
    header[KEY] = key;
    header[FLAGS] = flags;
    header[8..].copy_from_slice(&id.0);
    header
}

/// The end of a pack whose sealed footer has so many bytes.
fn trailer(footer: u32) -> [u8; TRAILER] {
    let mut trailer = [0; TRAILER];
    trailer[..4].copy_from_slice(&footer.to_le_bytes());
    trailer[4..].copy_from_slice(END);
    trailer
}

fn flags(has_parity: bool) -> u8 {
    if has_parity { HAS_PARITY } else { 0 }
}

/// Refuses objects that no frame can hold.
pub(crate) fn check_size(len: usize) -> Result<()> {
    if len > MAX_FRAME as usize {
        return Err(RepoError::ObjectTooLarge {
            size: len as u64,
            limit: MAX_FRAME.into(),
        });
    }
    Ok(())
}
