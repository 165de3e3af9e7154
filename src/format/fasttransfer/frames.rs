//! The outer frames of an exported item, and reading across them.
//!
//! An export is a sequence of frames `u32 opcode, u32 length, payload`, little endian: a
//! configuration, an interface check, the server's version, and then transfer buffers of at most
//! 31,680 bytes, whose payloads joined are the FastTransfer stream (MS-OXCFXICS 2.2.4). A value may
//! go on in the next buffer, so nothing here is copied: what is read are places in the export.

use std::borrow::Cow;
use std::ops::Range;

use super::Error;

/// Opcode of the configuration, the first frame.
pub(super) const CONFIG: u32 = 1;
/// Opcode of a transfer buffer.
pub(super) const BUFFER: u32 = 2;
/// Opcode of the interface check.
pub(super) const INTERFACE: u32 = 3;
/// Opcode of the server's version.
pub(super) const VERSION: u32 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub opcode: u32,
    /// Where its payload is.
    pub payload: Range<usize>,
}

/// The frame that begins at `at`, or `None` at the end.
pub(super) fn frame_at(data: &[u8], at: usize) -> Result<Option<Frame>, Error> {
    let rest = data.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(None);
    }
    let truncated = || Error::Truncated { at };
    let (opcode, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > rest.len() {
        return Err(truncated());
    }
    let start = at + 8;
    Ok(Some(Frame {
        opcode: u32::from_le_bytes(*opcode),
        payload: start..start + length,
    }))
}

/// Bytes of an export that belong together, in one piece unless a frame ended between them.
#[derive(Clone, PartialEq, Eq)]
pub struct Pieces<'a> {
    data: &'a [u8],
    first: Range<usize>,
    rest: Vec<Range<usize>>,
    len: usize,
}

impl std::fmt::Debug for Pieces<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

impl<'a> Pieces<'a> {
    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where they are in the export, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        std::iter::once(self.first.clone()).chain(self.rest.iter().cloned())
    }

    /// The bytes, joined: borrowed when they are in one piece.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        if self.rest.is_empty() {
            return Cow::Borrowed(&self.data[self.first.clone()]);
        }
        let mut all = Vec::with_capacity(self.len);
        for range in self.ranges() {
            all.extend_from_slice(&self.data[range]);
        }
        Cow::Owned(all)
    }
}

/// Reads the joined payloads of the transfer buffers.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    /// End of the current buffer.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Begins an export.
    pub fn new(data: &'a [u8]) -> Result<Self, Error> {
        match frame_at(data, 0) {
            Ok(Some(frame)) if frame.opcode == CONFIG => Ok(Reader {
                data,
                at: frame.payload.end,
                end: frame.payload.end,
            }),
            _ => Err(Error::NotAnExport),
        }
    }

    /// Reads a stream that has been taken out of its frames.
    pub fn unframed(data: &'a [u8]) -> Self {
        Reader {
            data,
            at: 0,
            end: data.len(),
        }
    }

    /// Where the next byte is, once [`Reader::at_end`] was asked.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Moves on to the next buffer that has bytes. False at the end.
    fn advance(&mut self) -> Result<bool, Error> {
        while self.at == self.end {
            match frame_at(self.data, self.end)? {
                None => return Ok(false),
                Some(frame) if frame.opcode == BUFFER => {
                    (self.at, self.end) = (frame.payload.start, frame.payload.end);
                }
                // What a newer server adds is not part of the item.
                Some(frame) => (self.at, self.end) = (frame.payload.end, frame.payload.end),
            }
        }
        Ok(true)
    }

    /// True when nothing is left.
    pub fn at_end(&mut self) -> Result<bool, Error> {
        Ok(!self.advance()?)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<Pieces<'a>, Error> {
        let truncated = Error::Truncated { at: self.at };
        // Frames only make it less: a length that can't be is refused before anything is kept.
        if len > self.data.len() - self.at {
            return Err(truncated);
        }
        if len > 0 && !self.advance()? {
            return Err(truncated);
        }
        let head = len.min(self.end - self.at);
        let mut pieces = Pieces {
            data: self.data,
            first: self.at..self.at + head,
            rest: Vec::new(),
            len,
        };
        self.at += head;
        let mut missing = len - head;
        while missing > 0 {
            if !self.advance()? {
                return Err(truncated);
            }
            let more = missing.min(self.end - self.at);
            pieces.rest.push(self.at..self.at + more);
            self.at += more;
            missing -= more;
        }
        Ok(pieces)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        if let Some(bytes) = self.data[self.at..self.end].first_chunk() {
            self.at += N;
            return Ok(*bytes);
        }
        let mut out = [0; N];
        let bytes = self.take(N)?.bytes();
        out.copy_from_slice(&bytes);
        Ok(out)
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length or count, which can't be larger than what is left in units of `unit` bytes.
    pub fn count(&mut self, unit: usize) -> Result<usize, Error> {
        let count = self.u32()? as usize;
        if count > (self.data.len() - self.at) / unit {
            return Err(Error::Truncated { at: self.at });
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(buffers: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |opcode: u32, payload: &[u8]| {
            out.extend_from_slice(&opcode.to_le_bytes());
            out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            out.extend_from_slice(payload);
        };
        put(CONFIG, &[0; 8]);
        put(99, b"something new");
        for buffer in buffers {
            put(BUFFER, buffer);
        }
        out
    }

    #[test]
    fn values_go_on_in_the_next_buffer() {
        let data = framed(&[b"ab", b"", b"c", b"defgh"]);
        let mut reader = Reader::new(&data).unwrap();
        assert_eq!(reader.u8(), Ok(b'a'));
        let pieces = reader.take(5).unwrap();
        assert_eq!(&pieces.bytes()[..], b"bcdef");
        assert_eq!(pieces.ranges().count(), 3);
        assert_eq!(reader.u16(), Ok(u16::from_le_bytes(*b"gh")));
        assert_eq!(reader.at_end(), Ok(true));
        assert!(matches!(reader.u8(), Err(Error::Truncated { .. })));
    }

    #[test]
    fn what_is_cut_off_is_told() {
        let data = framed(&[b"abcd"]);
        for len in 0..data.len() {
            let read = Reader::new(&data[..len]).and_then(|mut r| r.take(4));
            assert!(read.is_err(), "{len}");
        }
        assert!(matches!(Reader::new(b""), Err(Error::NotAnExport)));
        assert!(matches!(
            Reader::new(b"From: somebody"),
            Err(Error::NotAnExport)
        ));
    }
}
