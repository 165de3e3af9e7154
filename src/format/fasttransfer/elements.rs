//! The elements of a stream: markers and properties (MS-OXCFXICS 2.2.4.1).
//!
//! Both begin with a `u32`: a marker is a number of its own, a property is `id << 16 | type`, so the
//! type comes first on disk. Ids from 0x8000 stand for named properties, whose name follows.

use super::Error;
use super::frames::{Pieces, Reader};
use super::text::{Text, UNTOLD, UTF16, encoding};

/// Values of one stream, those of multiple values counted singly. Real items have some thousands.
const MAX_VALUES: usize = 1_000_000;
/// Bytes of a property's name: 254 UTF-16 characters are allowed (MS-OXPROPS).
const MAX_NAME: usize = 1024;

/// What structures the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// An attachment begins.
    NewAttach,
    /// It ends.
    EndAttach,
    /// The item in an attachment begins.
    StartEmbed,
    /// It ends.
    EndEmbed,
    /// A recipient begins.
    StartRecip,
    /// It ends.
    EndToRecip,
    /// A message begins.
    StartMessage,
    /// It ends.
    EndMessage,
    /// Of folders, synchronisation and errors: never part of one item.
    Other(u32),
}

impl Marker {
    fn of(value: u32) -> Option<Self> {
        Some(match value {
            0x4000_0003 => Marker::NewAttach,
            0x400E_0003 => Marker::EndAttach,
            0x4001_0003 => Marker::StartEmbed,
            0x4002_0003 => Marker::EndEmbed,
            0x4003_0003 => Marker::StartRecip,
            0x4004_0003 => Marker::EndToRecip,
            0x400C_0003 => Marker::StartMessage,
            0x400D_0003 => Marker::EndMessage,
            0x4009_0003 | 0x400A_0003 | 0x400B_0003 | 0x4010_0003 | 0x4012_0003 | 0x4018_0003 => {
                Marker::Other(value)
            }
            _ => return None,
        })
    }

    /// The number it is written as.
    pub fn number(self) -> u32 {
        match self {
            Marker::NewAttach => 0x4000_0003,
            Marker::EndAttach => 0x400E_0003,
            Marker::StartEmbed => 0x4001_0003,
            Marker::EndEmbed => 0x4002_0003,
            Marker::StartRecip => 0x4003_0003,
            Marker::EndToRecip => 0x4004_0003,
            Marker::StartMessage => 0x400C_0003,
            Marker::EndMessage => 0x400D_0003,
            Marker::Other(number) => number,
        }
    }
}

/// A property set, as its 16 bytes are on disk.
pub type Guid = [u8; 16];

/// What a property is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// By its id.
    Tag(u16),
    /// By property set and number.
    Id(Guid, u32),
    /// By property set and name.
    Name(Guid, String),
}

/// A property's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Integers of 16, 32 and 64 bits, currency (in ten-thousandths), and error codes.
    Int(i64),
    /// Of 32 or 64 bits.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// FILETIME: 100 ns since 1601, UTC.
    Time(u64),
    /// Sixteen bytes, in the order of the stream.
    Guid(Guid),
    /// In the encoding that its type or the message tells.
    Text(Text<'a>),
    /// Bytes.
    Binary(Pieces<'a>),
    /// An embedded object's value; for attachments the object itself follows the property.
    Object(Pieces<'a>),
    /// Several of one type.
    Many(Vec<Value<'a>>),
}

/// A property.
#[derive(Clone, Debug, PartialEq)]
pub struct Property<'a> {
    /// What it is called.
    pub key: Key,
    /// What it says.
    pub value: Value<'a>,
}

/// One element.
#[derive(Clone, Debug, PartialEq)]
pub enum Element<'a> {
    /// What begins or ends.
    Marker(Marker),
    /// A property of what began last.
    Property(Property<'a>),
}

/// Reads elements one after the other. Memory: one element.
#[derive(Clone)]
pub struct Elements<'a> {
    reader: Reader<'a>,
    values: usize,
}

impl<'a> Elements<'a> {
    /// The elements of an export.
    ///
    /// # Errors
    /// [`Error::NotAnExport`] when the bytes begin as no export does.
    pub fn new(export: &'a [u8]) -> Result<Self, Error> {
        Reader::new(export).map(Self::of)
    }

    /// The elements of a stream that was taken out of its frames.
    pub(super) fn unframed(stream: &'a [u8]) -> Self {
        Self::of(Reader::unframed(stream))
    }

    fn of(reader: Reader<'a>) -> Self {
        Elements { reader, values: 0 }
    }

    /// Where the next element begins: in the export, or in the unframed stream.
    pub(super) fn position(&self) -> usize {
        self.reader.position()
    }

    /// The next element; `None` at the end.
    ///
    /// # Errors
    /// When the bytes can't be what a server writes.
    pub fn read(&mut self) -> Result<Option<Element<'a>>, Error> {
        if self.reader.at_end()? {
            return Ok(None);
        }
        let head = self.reader.u32()?;
        if let Some(marker) = Marker::of(head) {
            return Ok(Some(Element::Marker(marker)));
        }
        let (id, kind) = ((head >> 16) as u16, head as u16);
        let key = if id < 0x8000 {
            Key::Tag(id)
        } else {
            self.name()?
        };
        // MetaTagIdsetGiven says it is an integer and is binary (MS-OXCFXICS 2.2.1.1.1).
        let kind = if head == 0x4017_0003 { 0x0102 } else { kind };
        let value = self.value(kind, id)?;
        Ok(Some(Element::Property(Property { key, value })))
    }

    fn name(&mut self) -> Result<Key, Error> {
        let set: Guid = self.reader.array()?;
        let at = self.reader.position();
        match self.reader.u8()? {
            0 => Ok(Key::Id(set, self.reader.u32()?)),
            1 => {
                let mut units = Vec::new();
                loop {
                    match self.reader.u16()? {
                        0 => break,
                        _ if units.len() * 2 >= MAX_NAME => return Err(Error::TooMany { at }),
                        unit => units.push(unit),
                    }
                }
                Ok(Key::Name(set, String::from_utf16_lossy(&units)))
            }
            _ => Err(Error::Malformed { at }),
        }
    }

    fn value(&mut self, kind: u16, id: u16) -> Result<Value<'a>, Error> {
        if let Some(single) = multiple(kind) {
            let unit = fixed_size(single).unwrap_or(4);
            let count = self.reader.count(unit)?;
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(self.single(single, id)?);
            }
            return Ok(Value::Many(values));
        }
        self.single(kind, id)
    }

    fn single(&mut self, kind: u16, id: u16) -> Result<Value<'a>, Error> {
        let reader = &mut self.reader;
        let at = reader.position();
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Error::TooMany { at });
        }
        Ok(match kind {
            0x0002 => Value::Int(i64::from(reader.u16()? as i16)),
            0x0003 | 0x000A => Value::Int(i64::from(reader.u32()? as i32)),
            0x0004 => Value::Float(f64::from(f32::from_bits(reader.u32()?))),
            0x0005 | 0x0007 => Value::Float(f64::from_bits(reader.u64()?)),
            0x0006 | 0x0014 => Value::Int(reader.u64()? as i64),
            0x000B => Value::Bool(reader.u16()? != 0),
            0x0040 => Value::Time(reader.u64()?),
            0x0048 => Value::Guid(reader.array()?),
            0x001F => Value::Text(Self::text(reader, UTF16)?),
            0x001E => Value::Text(Self::text(reader, UNTOLD)?),
            0x000D => Value::Object(Self::sized(reader)?),
            // Server ids, restrictions and rule actions are bytes to us.
            0x0102 | 0x00FB | 0x00FD | 0x00FE => Value::Binary(Self::sized(reader)?),
            _ if kind & 0x8000 != 0 => Value::Text(Self::text(reader, kind & 0x7FFF)?),
            _ => return Err(Error::UnknownType { kind, id, at }),
        })
    }

    fn sized(reader: &mut Reader<'a>) -> Result<Pieces<'a>, Error> {
        let len = reader.count(1)?;
        reader.take(len)
    }

    fn text(reader: &mut Reader<'a>, code_page: u16) -> Result<Text<'a>, Error> {
        Ok(Text {
            raw: Self::sized(reader)?,
            code_page,
        })
    }
}

/// The type of the single values, if this is a type of multiple values. A few code pages have the
/// same bit set; those are single.
fn multiple(kind: u16) -> Option<u16> {
    if kind & 0x1000 == 0 {
        return None;
    }
    let code_page = kind & 0x7FFF;
    let is_code_page = kind & 0x8000 != 0 && encoding(u32::from(code_page)).is_some();
    (!is_code_page).then_some(kind & !0x1000)
}

fn fixed_size(kind: u16) -> Option<usize> {
    match kind {
        0x0002 | 0x000B => Some(2),
        0x0003 | 0x0004 | 0x000A => Some(4),
        0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => Some(8),
        0x0048 => Some(16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(head: u32, rest: &[u8]) -> Result<Value<'static>, Error> {
        let bytes = [&head.to_le_bytes()[..], rest].concat().leak();
        let mut elements = Elements::unframed(bytes);
        match elements.read()? {
            Some(Element::Property(property)) if elements.read()?.is_none() => Ok(property.value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_type_of_value() {
        let text = |value: Value<'_>| match value {
            Value::Text(text) => text.decode(),
            other => panic!("{other:?}"),
        };
        assert_eq!(one(0x0017_0002, b"\xfe\xff"), Ok(Value::Int(-2)));
        assert_eq!(one(0x0017_0003, b"\x01\0\0\0"), Ok(Value::Int(1)));
        assert_eq!(
            one(0x0017_000A, b"\x05\x01\x04\x80"),
            Ok(Value::Int(-2_147_221_243))
        );
        assert_eq!(
            one(0x0017_0004, &1.5f32.to_le_bytes()),
            Ok(Value::Float(1.5))
        );
        assert_eq!(
            one(0x0017_0005, &0.5f64.to_le_bytes()),
            Ok(Value::Float(0.5))
        );
        assert_eq!(
            one(0x0017_0007, &2.5f64.to_le_bytes()),
            Ok(Value::Float(2.5))
        );
        assert_eq!(one(0x0017_0006, &(-7i64).to_le_bytes()), Ok(Value::Int(-7)));
        assert_eq!(one(0x0017_0014, &9i64.to_le_bytes()), Ok(Value::Int(9)));
        assert_eq!(one(0x0017_000B, b"\x01\0"), Ok(Value::Bool(true)));
        assert_eq!(one(0x0017_0040, &77u64.to_le_bytes()), Ok(Value::Time(77)));
        assert_eq!(one(0x0017_0048, &[3; 16]), Ok(Value::Guid([3; 16])));
        assert_eq!(
            text(one(0x0037_001F, b"\x06\0\0\0H\0i\0\0\0").unwrap()),
            "Hi"
        );
        assert_eq!(
            text(one(0x0037_84B0, b"\x06\0\0\0H\0i\0\0\0").unwrap()),
            "Hi"
        );
        assert_eq!(
            text(one(0x0037_84B1, b"\x06\0\0\0\0H\0i\0\0").unwrap()),
            "Hi"
        );
        assert_eq!(text(one(0x0037_001E, b"\x03\0\0\0Hi\0").unwrap()), "Hi");
        assert_eq!(text(one(0x0037_84E2, b"\x02\0\0\0\xe1\0").unwrap()), "á");
        // KOI8-R has the bit of multiple values.
        assert_eq!(text(one(0x0037_D182, b"\x02\0\0\0\xd0\0").unwrap()), "п");
        for kind in [0x0102u32, 0x00FB] {
            let Ok(Value::Binary(bytes)) = one(0x0037_0000 | kind, b"\x02\0\0\0ab") else {
                panic!()
            };
            assert_eq!(&bytes.bytes()[..], b"ab");
        }
        assert!(matches!(
            one(0x3701_000D, b"\x02\0\0\0ab"),
            Ok(Value::Object(_))
        ));
        let Ok(Value::Binary(bytes)) = one(0x4017_0003, b"\x01\0\0\0x") else {
            panic!()
        };
        assert_eq!(bytes.len(), 1);
        assert_eq!(
            one(0x0017_1003, b"\x02\0\0\0\x01\0\0\0\x02\0\0\0"),
            Ok(Value::Many(vec![Value::Int(1), Value::Int(2)]))
        );
        for (kind, size) in [
            (0x1002, 2),
            (0x1004, 4),
            (0x1005, 8),
            (0x1006, 8),
            (0x1007, 8),
            (0x1014, 8),
            (0x1040, 8),
            (0x1048, 16),
        ] {
            let Ok(Value::Many(values)) = one(
                0x0017_0000 | kind,
                &[&[1, 0, 0, 0][..], &vec![0; size]].concat(),
            ) else {
                panic!()
            };
            assert_eq!(values.len(), 1);
        }
        for (kind, bytes) in [
            (0x101Fu32, &b"a\0\0\0"[..]),
            (0x101E, b"a\0"),
            (0x94B0, b"a\0\0\0"),
            (0x94E4, b"a\0"),
        ] {
            let len = (bytes.len() as u32).to_le_bytes();
            let rest = [&[1, 0, 0, 0][..], &len, bytes].concat();
            let Ok(Value::Many(mut values)) = one(0x0017_0000 | kind, &rest) else {
                panic!()
            };
            assert_eq!(text(values.remove(0)), "a");
        }
        assert!(
            matches!(one(0x0017_1102, b"\x01\0\0\0\x01\0\0\0a"), Ok(Value::Many(v)) if v.len() == 1)
        );
        assert!(matches!(
            one(0x0017_0029, b"\0\0\0\0"),
            Err(Error::UnknownType { .. })
        ));
    }

    #[test]
    fn names() {
        let set = [7; 16];
        let named = |rest: &[u8]| {
            let bytes = [&0x8000_000Bu32.to_le_bytes()[..], &set, rest, b"\x01\0"]
                .concat()
                .leak();
            match Elements::unframed(bytes).read() {
                Ok(Some(Element::Property(property))) => Ok(property.key),
                other => other.map(|_| panic!()),
            }
        };
        assert_eq!(named(b"\0\x05\x82\0\0"), Ok(Key::Id(set, 0x8205)));
        assert_eq!(named(b"\x01a\0b\0\0\0"), Ok(Key::Name(set, "ab".into())));
        assert!(matches!(
            named(b"\x02\0\0\0\0"),
            Err(Error::Malformed { .. })
        ));
        let endless = [&b"\x01"[..], &b"a\0".repeat(3000)].concat();
        assert!(matches!(named(&endless), Err(Error::TooMany { .. })));
    }

    #[test]
    fn counts_and_lengths_that_lie_take_no_memory() {
        for head in [
            0x0037_001Fu32,
            0x0037_0102,
            0x0017_1003,
            0x0017_101F,
            0x0017_1048,
        ] {
            assert!(matches!(
                one(head, b"\xff\xff\xff\xff"),
                Err(Error::Truncated { .. })
            ));
        }
        let many = [&1_500_000u32.to_le_bytes()[..], &vec![0; 3_000_000]].concat();
        assert!(matches!(
            one(0x0017_1002, &many),
            Err(Error::TooMany { .. })
        ));
    }
}
