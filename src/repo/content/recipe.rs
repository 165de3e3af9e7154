//! Recipes: content as a sequence of segments, each made of ranges of objects.
//!
//! Encoded: version 1; the distinct objects (count, then kind and id of each); number of segments;
//! per segment its encoding (0 raw, 1 base64 with LF, 2 base64 with CRLF; base64 then the line
//! length), number of sources, and per source the object's number, offset and length.
//! All numbers are varints. Lengths of segments and of the whole follow.

use std::collections::HashMap;

use super::super::id::{Kind, ObjectId};
use super::super::wire::{Input, Malformed, put_varint};
use super::base64;

const VERSION: u8 = 1;

/// Line end of re-encoded base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Eol {
    /// Line feed.
    Lf,
    /// Carriage return, line feed.
    CrLf,
}

impl Eol {
    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            Eol::Lf => b"\n",
            Eol::CrLf => b"\r\n",
        }
    }
}

/// How source bytes become content bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As they are.
    Raw,
    /// Base64 (RFC 4648, section 4, padded) in lines of `line` characters, `eol` between lines and
    /// none after the last. `line` 0: one line.
    Base64 {
        /// Characters in a line.
        line: u32,
        /// What separates lines.
        eol: Eol,
    },
}

impl Encoding {
    /// Length of `len` source bytes when encoded.
    pub fn encoded_len(self, len: u64) -> u64 {
        match self {
            Encoding::Raw => len,
            Encoding::Base64 { line, eol } => base64::encoded_len(len, line, eol),
        }
    }
}

/// A range of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Kind of the object.
    pub kind: Kind,
    /// Its id.
    pub id: ObjectId,
    /// First byte.
    pub offset: u32,
    /// Number of bytes.
    pub len: u32,
}

/// A run of content with one encoding. Its sources are joined first, then encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// How the joined sources become content.
    pub encoding: Encoding,
    /// Where the bytes are.
    pub sources: Vec<Source>,
    /// Content bytes of this segment.
    pub out_len: u64,
}

impl Segment {
    /// A segment of these sources.
    pub fn new(encoding: Encoding, sources: Vec<Source>) -> Self {
        let len = sources.iter().map(|source| u64::from(source.len)).sum();
        Segment {
            encoding,
            out_len: encoding.encoded_len(len),
            sources,
        }
    }
}

/// How content is put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Bytes of the content.
    pub size: u64,
    /// Its parts in order.
    pub segments: Vec<Segment>,
}

impl Recipe {
    /// A recipe of these segments.
    pub fn new(segments: Vec<Segment>) -> Self {
        Recipe {
            size: segments.iter().map(|segment| segment.out_len).sum(),
            segments,
        }
    }

    /// The objects it needs, each as often as it is used.
    pub fn objects(&self) -> impl Iterator<Item = (Kind, ObjectId)> + '_ {
        self.segments.iter().flat_map(|segment| {
            segment
                .sources
                .iter()
                .map(|source| (source.kind, source.id))
        })
    }

    /// The bytes of the recipe object.
    pub fn encode(&self) -> Vec<u8> {
        let mut numbers = HashMap::new();
        let mut objects = Vec::new();
        for (kind, id) in self.objects() {
            numbers.entry((kind, id)).or_insert_with(|| {
                objects.push((kind, id));
                objects.len() as u64 - 1
            });
        }
        let mut out = vec![VERSION];
        put_varint(&mut out, objects.len() as u64);
        for (kind, id) in objects {
            out.push(kind as u8);
            out.extend_from_slice(id.as_bytes());
        }
        put_varint(&mut out, self.segments.len() as u64);
        for segment in &self.segments {
            match segment.encoding {
                Encoding::Raw => out.push(0),
                Encoding::Base64 { line, eol } => {
                    out.push(if eol == Eol::Lf { 1 } else { 2 });
                    put_varint(&mut out, line.into());
                }
            }
            put_varint(&mut out, segment.sources.len() as u64);
            for source in &segment.sources {
                put_varint(
                    &mut out,
                    numbers
                        .get(&(source.kind, source.id))
                        .copied()
                        .unwrap_or_default(),
                );
                put_varint(&mut out, source.offset.into());
                put_varint(&mut out, source.len.into());
            }
        }
        out
    }

    /// Reads a recipe object.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Recipe, Malformed> {
        let mut input = Input::new(bytes);
        if input.u8()? != VERSION {
            return Err(Malformed("unknown version of recipe"));
        }
        let count = input.count(1 + ObjectId::LEN)?;
        let mut objects = Vec::with_capacity(count);
        for _ in 0..count {
            let kind = Kind::from_u8(input.u8()?).ok_or(Malformed("unknown kind of object"))?;
            objects.push((kind, ObjectId(input.array()?)));
        }
        let count = input.count(2)?;
        let mut segments = Vec::with_capacity(count);
        let mut size = 0u64;
        for _ in 0..count {
            let encoding = match input.u8()? {
                0 => Encoding::Raw,
                tag @ (1 | 2) => {
                    let line = input.varint_u32()?;
                    Encoding::Base64 {
                        line,
                        eol: if tag == 1 { Eol::Lf } else { Eol::CrLf },
                    }
                }
                _ => return Err(Malformed("unknown encoding")),
            };
            let count = input.count(3)?;
            let mut sources = Vec::with_capacity(count);
            for _ in 0..count {
                let number = usize::try_from(input.varint()?).ok();
                let (kind, id) = number
                    .and_then(|n| objects.get(n))
                    .copied()
                    .ok_or(Malformed("an object is out of range"))?;
                sources.push(Source {
                    kind,
                    id,
                    offset: input.varint_u32()?,
                    len: input.varint_u32()?,
                });
            }
            let segment = Segment::new(encoding, sources);
            size = size
                .checked_add(segment.out_len)
                .ok_or(Malformed("it is too large"))?;
            segments.push(segment);
        }
        input.end()?;
        Ok(Recipe { size, segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn recipes_come_back(parts in prop::collection::vec((0u8..3, 0u32..100, prop::collection::vec((0u8..4, any::<u32>(), any::<u32>()), 0..4)), 0..6)) {
            let segments = parts.into_iter().map(|(tag, line, sources)| {
                let encoding = match tag {
                    0 => Encoding::Raw,
                    1 => Encoding::Base64 { line, eol: Eol::Lf },
                    _ => Encoding::Base64 { line, eol: Eol::CrLf },
                };
                let source = |(n, offset, len)| Source { kind: Kind::Chunk, id: ObjectId([n; 20]), offset, len };
                Segment::new(encoding, sources.into_iter().map(source).collect())
            });
            let recipe = Recipe::new(segments.collect());
            prop_assert_eq!(Recipe::decode(&recipe.encode()), Ok(recipe));
        }

        #[test]
        fn any_bytes_are_refused_politely(bytes: Vec<u8>) {
            let _ = Recipe::decode(&bytes);
        }
    }
}
