//! Reads the binary value of a property, little-endian and never beyond its end.

use super::recurrence::local;
use super::{Error, text};

/// What is left of it.
pub(super) struct Blob<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Blob<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            len: bytes.len(),
        }
    }

    pub fn malformed(&self) -> Error {
        Error::Malformed {
            at: self.len - self.rest.len(),
        }
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(head)
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub fn days(&mut self) -> Result<Vec<i64>, Error> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / 4 {
            return Err(self.malformed());
        }
        (0..count).map(|_| self.u32().map(local)).collect()
    }

    pub fn skip_block(&mut self) -> Result<(), Error> {
        let len = self.u32()? as usize;
        self.take(len).map(drop)
    }

    /// A text with its length twice: with and without its terminator.
    pub fn narrow(&mut self) -> Result<String, Error> {
        self.u16()?;
        let len = usize::from(self.u16()?);
        Ok(text::decode(self.take(len)?, 0).into_owned())
    }

    pub fn wide(&mut self) -> Result<String, Error> {
        let len = usize::from(self.u16()?);
        let bytes = self.take(len * 2)?;
        Ok(text::decode(bytes, u32::from(text::UTF16)).into_owned())
    }
}
