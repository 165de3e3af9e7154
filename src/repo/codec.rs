//! zstd: how a frame's bytes are made and read back.
//!
//! An encoded frame is one byte (0 raw, 1 zstd, 2 zstd with a dictionary), with 2 the dictionary's
//! id u32, then the payload. Raw is chosen where zstd saves less than 3 %. The decoded length is
//! always known from elsewhere (authenticated), so a frame cannot make a reader allocate more.
//!
//! Contexts are kept per thread: making one costs more than compressing a small frame.

use std::cell::RefCell;
use std::io::Cursor;

use bytes::Bytes;
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

use super::dictionary::{Dictionaries, Dictionary};
use super::error::Result;
use super::seal::TAG;

const RAW: u8 = 0;
const ZSTD: u8 = 1;
const ZSTD_DICTIONARY: u8 = 2;

/// Level for what is compressed with a dictionary.
pub(crate) const LEVEL: i32 = 6;
/// Level for pieces of files that compress.
const FILE_LEVEL: i32 = 9;
/// With what differs from that level: matches of four bytes count, not of five only, and the hash table is half as
/// large. Files of all kinds come out a three-hundredth smaller, in less time.
const FILE_MIN_MATCH: u32 = 4;
const FILE_HASH_LOG: u32 = 20;
/// Level for finding out whether it does.
const FAST_LEVEL: i32 = 3;

thread_local! {
    static COMPRESS: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESS: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Encodes a frame; the result has room for the tag.
///
/// Level 6 takes a tenth off what level 3 gives on mail and text; level 9 a hundredth more of files. On
/// what does not compress anyway both are slow, so frames without a dictionary (pieces of files) are
/// tried with level 3 first.
pub(crate) fn encode(raw: &[u8], dictionary: Option<&Dictionary>) -> Vec<u8> {
    let mut header = [ZSTD, 0, 0, 0, 0];
    let header = match dictionary {
        Some(dictionary) => {
            header[0] = ZSTD_DICTIONARY;
            header[1..].copy_from_slice(&dictionary.id().to_le_bytes());
            &header[..]
        }
        None => &header[..1],
    };
    let bound = zstd::zstd_safe::compress_bound(raw.len());
    let mut out = Vec::with_capacity(header.len() + bound + TAG);
    out.extend_from_slice(header);
    let mut cursor = Cursor::new(out);
    let mut attempt = |level: i32| {
        cursor.set_position(header.len() as u64);
        let packed = COMPRESS.with_borrow_mut(|ctx| match dictionary {
            Some(dictionary) => ctx.compress_using_cdict(&mut cursor, raw, dictionary.compressor()),
            None => {
                // Length and dictionary are known from elsewhere; no checksum: the seal is one.
                tune(ctx, level)?;
                ctx.compress2(&mut cursor, raw)
            }
        });
        packed.ok().filter(|len| len + len / 32 < raw.len())
    };
    let mut packed = if dictionary.is_none() {
        attempt(FAST_LEVEL)
    } else {
        attempt(LEVEL)
    };
    if dictionary.is_none() && packed.is_some_and(|len| len < raw.len() / 8 * 7) {
        packed = attempt(FILE_LEVEL);
    }
    let mut out = cursor.into_inner();
    match packed {
        Some(len) => out.truncate(header.len() + len),
        // Incompressible, or zstd refused: store as it is.
        None => {
            out.clear();
            out.push(RAW);
            out.extend_from_slice(raw);
        }
    }
    out
}

/// Sets all parameters that are ever set: a context keeps them.
fn tune(ctx: &mut CCtx<'static>, level: i32) -> zstd::zstd_safe::SafeResult {
    // 0: what the level has.
    let (min_match, hash_log) = match level {
        FILE_LEVEL => (FILE_MIN_MATCH, FILE_HASH_LOG),
        _ => (0, 0),
    };
    ctx.set_parameter(CParameter::CompressionLevel(level))?;
    ctx.set_parameter(CParameter::MinMatch(min_match))?;
    ctx.set_parameter(CParameter::HashLog(hash_log))
}

/// Decodes a frame of `raw_len` bytes; `Ok(None)` when it is not one.
pub(crate) fn decode(
    frame: Vec<u8>,
    raw_len: usize,
    dictionaries: &Dictionaries,
) -> Result<Option<Bytes>> {
    let Some((encoding, payload)) = frame.split_first() else {
        return Ok(None);
    };
    let decoded = match *encoding {
        RAW if payload.len() == raw_len => {
            return Ok(Some(Bytes::from(frame).slice(1..)));
        }
        ZSTD => unzstd(payload, raw_len, None),
        ZSTD_DICTIONARY => {
            let Some((id, payload)) = payload.split_first_chunk::<4>() else {
                return Ok(None);
            };
            let dictionary = dictionaries.get(u32::from_le_bytes(*id))?;
            unzstd(payload, raw_len, Some(&dictionary))
        }
        _ => None,
    };
    Ok(decoded.map(Bytes::from))
}

/// Decompresses to exactly `raw_len` bytes.
pub(crate) fn unzstd(
    packed: &[u8],
    raw_len: usize,
    dictionary: Option<&Dictionary>,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw_len);
    let done = DECOMPRESS.with_borrow_mut(|ctx| match dictionary {
        Some(dictionary) => ctx.decompress_using_ddict(&mut out, packed, dictionary.decompressor()),
        None => ctx.decompress(&mut out, packed),
    });
    (done.is_ok() && out.len() == raw_len).then_some(out)
}

/// Compresses something small and not time critical.
pub(crate) fn zstd_small(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
    let done = COMPRESS.with_borrow_mut(|ctx| {
        tune(ctx, LEVEL)?;
        ctx.compress2(&mut out, raw)
    });
    done.is_ok().then_some(out)
}
