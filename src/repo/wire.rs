//! Numbers and byte strings in the repository's own binary structures: LEB128 varints, bounds
//! checked on the way in. Whatever comes from a file goes through [`Input`], so no length in a
//! file can make a reader panic or allocate more than the file holds.

/// The bytes do not have the expected form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Appends an unsigned LEB128 number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads structures from a byte slice.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Input { rest: bytes }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self
            .rest
            .split_at_checked(len)
            .ok_or(Malformed("it ends too early"))?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| Malformed("it ends too early"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed("a number is too large"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // One number, one encoding: what re-encodes differently was not written by us.
                if byte == 0 && shift != 0 {
                    return Err(Malformed("a number is padded"));
                }
                return Ok(value);
            }
        }
        Err(Malformed("a number is too large"))
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32, Malformed> {
        self.varint()?
            .try_into()
            .map_err(|_| Malformed("a number is too large"))
    }

    /// A count of things that take at least `each` bytes: bounded by what is left.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, Malformed> {
        let count = self.varint()?;
        let most = self.rest.len() / each.max(1);
        usize::try_from(count)
            .ok()
            .filter(|n| *n <= most)
            .ok_or(Malformed("a count is too large"))
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes are left over"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut input = Input::new(&out);
            prop_assert_eq!(input.varint(), Ok(value));
            prop_assert_eq!(input.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut input = Input::new(&bytes);
            while input.varint().is_ok() {}
            let mut input = Input::new(&bytes);
            let _ = input.count(3);
        }
    }

    #[test]
    fn padded_numbers_are_refused() {
        assert!(Input::new(&[0x80, 0]).varint().is_err());
    }
}
