//! Packs that are complete, read and authenticated.

use super::{FLAGS, HAS_PARITY, HEADER, KEY, MAGIC, PackSeal, TRAILER, flags, header, trailer};
use crate::repo::backend::Backend;
use crate::repo::error::{RepoError, Result};
use crate::repo::id::{PackClass, PackId};
use crate::repo::key::Keys;
use crate::repo::seal::{FORMAT_VERSION, RepoId, TAG};
use crate::repo::table::{self, PackTable};

/// What a pack says of itself.
pub(crate) struct Ends {
    /// What is in it, by its footer.
    pub table: PackTable,
    /// A parity file was written with it.
    pub has_parity: bool,
}

/// Reads what a pack says of itself: its table, from its own footer, and what the header says.
/// Authenticates header, footer and trailer.
pub(crate) fn read_ends(
    backend: &Backend,
    keys: &Keys,
    repo: &RepoId,
    class: PackClass,
    id: PackId,
    size: u64,
) -> Result<Ends> {
    let file = id.file(class);
    open_ends(keys, repo, class, id, size, |offset, len| {
        backend.get_range(&file, offset, len)
    })
}

/// Authenticates the whole of a pack that is in memory, frame by frame, and returns what is in it.
pub(crate) fn open_whole(
    keys: &Keys,
    repo: &RepoId,
    class: PackClass,
    id: PackId,
    bytes: &[u8],
) -> Result<PackTable> {
    let range = |offset: u64, len: u64| {
        let part = bytes.get(offset as usize..(offset + len) as usize);
        let part = part.map(<[u8]>::to_vec);
        part.ok_or_else(|| RepoError::damaged(id.file(class), "it is too short"))
    };
    let ends = open_ends(keys, repo, class, id, bytes.len() as u64, range)?;
    let master = keys.get(ends.table.key, &id.file(class))?;
    let seal = PackSeal::new(&master, repo, id);
    for (number, frame) in ends.table.frames.iter().enumerate() {
        let sealed = range(frame.offset.into(), frame.stored.into())?;
        if seal
            .open_frame(number as u32, frame.kind, frame.raw, sealed)
            .is_none()
        {
            let reason = format!("frame {number} fails its authentication");
            return Err(RepoError::damaged(id.file(class), reason));
        }
    }
    Ok(ends.table)
}

/// Reads header, footer and trailer with `range` (offset and length, always within `size`).
fn open_ends(
    keys: &Keys,
    repo: &RepoId,
    class: PackClass,
    id: PackId,
    size: u64,
    range: impl Fn(u64, u64) -> Result<Vec<u8>>,
) -> Result<Ends> {
    let file = id.file(class);
    let damaged = |reason: &str| RepoError::damaged(&file, reason);
    let smallest = (HEADER + TAG + TRAILER) as u64;
    if size < smallest || size > u64::from(u32::MAX) {
        return Err(damaged("it is too short or too long for a pack"));
    }
    let head = array::<HEADER>(range(0, HEADER as u64)?, &file)?;
    if head[..4] == *MAGIC && head[4] > FORMAT_VERSION {
        return Err(RepoError::NewerVersion {
            found: head[4],
            supported: FORMAT_VERSION,
        });
    }
    let tail = array::<TRAILER>(range(size - TRAILER as u64, TRAILER as u64)?, &file)?;
    let [a, b, c, d, ..] = tail;
    let len = u32::from_le_bytes([a, b, c, d]);
    if tail != trailer(len) || len < TAG as u32 || u64::from(len) > size - (HEADER + TRAILER) as u64
    {
        return Err(damaged("it does not end as a pack does (truncated?)"));
    }
    let key = head[KEY];
    let has_parity = head[FLAGS] == HAS_PARITY;
    if head != header(class, key, id, flags(has_parity)) {
        return Err(damaged("its header is not the one of this pack"));
    }
    let begin = size - TRAILER as u64 - u64::from(len);
    let mut footer = range(begin, len.into())?;
    let seal = PackSeal::new(&keys.get(key, &file)?, repo, id);
    let plain = seal.open_footer(&head, &tail, &mut footer).ok_or_else(|| {
        damaged("its footer fails its authentication (changed, or of another repository)")
    })?;
    let frames = table::decode_footer(plain).map_err(|e| damaged(e.0))?;
    let end = frames.last().map_or(HEADER as u64, |frame| {
        u64::from(frame.offset) + u64::from(frame.stored)
    });
    if end != begin {
        return Err(damaged("its footer does not fit its length"));
    }
    let table = PackTable {
        id,
        class,
        key,
        size,
        frames,
    };
    Ok(Ends { table, has_parity })
}

/// Exactly so many bytes of a file.
fn array<const N: usize>(bytes: Vec<u8>, file: &str) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| RepoError::damaged(file, "it is shorter than it was"))
}
