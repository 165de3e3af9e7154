//! Base64 with lines, encoded from any position.

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;

use super::recipe::Eol;

/// Length of `len` bytes when encoded.
pub(super) fn encoded_len(len: u64, line: u32, eol: Eol) -> u64 {
    let chars = len.div_ceil(3).saturating_mul(4);
    let breaks = match line {
        0 => 0,
        line => chars.saturating_sub(1) / u64::from(line),
    };
    chars.saturating_add(breaks.saturating_mul(eol.bytes().len() as u64))
}

/// The source bytes that are needed for `out` bytes from `offset` of the encoded form on: start
/// (a multiple of three) and end, the latter possibly beyond the source's.
pub(super) fn source_range(offset: u64, out: u64, line: u32, eol: Eol) -> (u64, u64) {
    let first = chars_before(offset, line, eol) / 4 * 3;
    let last = chars_before(offset + out, line, eol)
        .div_ceil(4)
        .saturating_mul(3);
    (first, last)
}

/// Encodes: `source` are the bytes [`source_range`] asked for (cut at the source's end). Appends
/// the encoded bytes `offset..offset + out`.
pub(super) fn encode(
    source: &[u8],
    offset: u64,
    out_len: usize,
    line: u32,
    eol: Eol,
    out: &mut Vec<u8>,
) {
    let chars = STANDARD.encode(source);
    let mut chars = chars.as_bytes();
    let before = chars_before(offset, line, eol);
    chars = chars.get((before % 4) as usize..).unwrap_or_default();
    let end = out.len() + out_len;
    if line == 0 {
        out.extend_from_slice(&chars[..out_len.min(chars.len())]);
        return;
    }
    let line = u64::from(line);
    let period = line + eol.bytes().len() as u64;
    let mut column = offset % period;
    while out.len() < end {
        let room = end - out.len();
        if column < line {
            let take = ((line - column) as usize).min(room).min(chars.len());
            if take == 0 {
                return;
            }
            out.extend_from_slice(&chars[..take]);
            chars = &chars[take..];
            column += take as u64;
        } else {
            let rest = &eol.bytes()[(column - line) as usize..];
            let take = rest.len().min(room);
            out.extend_from_slice(&rest[..take]);
            column += take as u64;
            if column == period {
                column = 0;
            }
        }
    }
}

/// How many base64 characters precede this position.
fn chars_before(position: u64, line: u32, eol: Eol) -> u64 {
    if line == 0 {
        return position;
    }
    let line = u64::from(line);
    let period = line + eol.bytes().len() as u64;
    position / period * line + (position % period).min(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(source: &[u8], line: u32, eol: Eol) -> Vec<u8> {
        let text = STANDARD.encode(source);
        if line == 0 {
            return text.into_bytes();
        }
        let lines: Vec<_> = text.as_bytes().chunks(line as usize).collect();
        lines.join(eol.bytes())
    }

    proptest! {
        #[test]
        fn any_range_is_the_range_of_the_whole(
            source in prop::collection::vec(any::<u8>(), 0..300),
            line in prop::sample::select(vec![0u32, 1, 3, 4, 7, 60, 64, 76]),
            crlf: bool,
            a in 0u64..500,
            b in 0u64..500,
        ) {
            let eol = if crlf { Eol::CrLf } else { Eol::Lf };
            let expected = whole(&source, line, eol);
            let total = encoded_len(source.len() as u64, line, eol);
            prop_assert_eq!(total, expected.len() as u64);
            let (a, b) = (a.min(b).min(total), a.max(b).min(total));
            let (first, last) = source_range(a, b - a, line, eol);
            let part = &source[(first as usize).min(source.len())..(last as usize).min(source.len())];
            let mut out = Vec::new();
            encode(part, a, (b - a) as usize, line, eol, &mut out);
            prop_assert_eq!(out, &expected[a as usize..b as usize]);
        }
    }
}
