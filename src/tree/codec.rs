//! The few primitives that every encoding of the tree is made of.
//!
//! Numbers are LEB128 varints, signed ones zigzag. Reading is strict: a value has exactly one
//! encoding (otherwise equal content could have two ids) and nothing is read past the end.

use super::TreeError;
use crate::repo::ObjectId;

/// Length of an object id in bytes.
pub(crate) const ID_LEN: usize = 20;

/// Bytes that [`put_varint`] writes for `value`.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads one encoding from front to back; every error names what was being read.
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Reader {
            what,
            rest: bytes,
            len: bytes.len(),
        }
    }

    pub(crate) fn corrupt(&self, why: &'static str) -> TreeError {
        TreeError::Corrupt {
            what: self.what,
            why,
        }
    }

    /// How many bytes have been read.
    pub(crate) fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], TreeError> {
        let (head, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or_else(|| self.corrupt("it ends too early"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, TreeError> {
        Ok(self.bytes(1)?[0])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], TreeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn id(&mut self) -> Result<ObjectId, TreeError> {
        Ok(ObjectId(self.array::<ID_LEN>()?))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, TreeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.corrupt("a number is too large"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                if byte == 0 && shift > 0 {
                    return Err(self.corrupt("a number is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(self.corrupt("a number is too long"))
    }

    /// A length that is followed by at least so many bytes.
    pub(crate) fn length(&mut self) -> Result<usize, TreeError> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(n) if n <= self.rest.len() => Ok(n),
            _ => Err(self.corrupt("a length points past the end")),
        }
    }

    pub(crate) fn signed(&mut self) -> Result<i64, TreeError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn finish(&self) -> Result<(), TreeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.corrupt("bytes follow its end"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value in any::<u64>(), shift in 0u32..64, signed in any::<i64>()) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            put_signed(&mut out, signed >> shift);
            let mut reader = Reader::new("test", &out);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert_eq!(reader.signed().unwrap(), signed >> shift);
            reader.finish().unwrap();
        }

        #[test]
        fn anything_else_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let mut reader = Reader::new("test", &bytes);
            if let Ok(value) = reader.varint() {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(&bytes[..reader.position()], &again[..]);
            }
        }
    }
}
