//! Writing content: a stream of bytes becomes chunks and, when there are several, a recipe.
//!
//! FastCDC (v2020, normalisation level 1) with 256 KiB, 1 MiB, 4 MiB. The cut points are part of the format:
//! other parameters would find nothing of what is stored. A test pins them.

use fastcdc::v2020::FastCDC;

use super::super::Repository;
use super::super::error::Result;
use super::super::id::{Kind, ObjectId};
use super::super::stream::Stream;
use super::recipe::{Encoding, Recipe, Segment, Source};
use super::{ContentId, Shape};

const MIN: usize = 256 << 10;
const AVERAGE: usize = 1 << 20;
pub(super) const MAX: usize = 4 << 20;

/// Where objects go: into a [`Stream`], or nowhere ([`IdOnly`]).
pub trait Sink {
    /// Takes an object, returns its id.
    fn put(&mut self, kind: Kind, data: &[u8]) -> Result<ObjectId>;
}

impl Sink for Stream {
    fn put(&mut self, kind: Kind, data: &[u8]) -> Result<ObjectId> {
        Stream::put(self, kind, data)
    }
}

/// Computes ids and stores nothing.
pub struct IdOnly<'a>(pub &'a Repository);

impl Sink for IdOnly<'_> {
    fn put(&mut self, kind: Kind, data: &[u8]) -> Result<ObjectId> {
        Ok(self.0.id_of(kind, data))
    }
}

/// Takes the bytes of a file in pieces of any size. Memory: twice the largest chunk at most.
pub struct Writer<'a, S: Sink = Stream> {
    sink: &'a mut S,
    buffer: Vec<u8>,
    start: usize,
    sources: Vec<Source>,
    size: u64,
}

impl<'a, S: Sink> Writer<'a, S> {
    /// Begins a file.
    pub fn new(sink: &'a mut S) -> Self {
        Writer {
            sink,
            buffer: Vec::new(),
            start: 0,
            sources: Vec::new(),
            size: 0,
        }
    }

    /// Adds bytes.
    pub fn write(&mut self, mut data: &[u8]) -> Result<()> {
        self.size += data.len() as u64;
        // Straight from the caller's buffer while nothing is left over.
        while self.buffer.is_empty() && data.len() >= MAX {
            let cut = cut(data);
            let (chunk, rest) = data.split_at(cut);
            put_chunk(self.sink, &mut self.sources, chunk)?;
            data = rest;
        }
        while !data.is_empty() {
            let room = MAX - (self.buffer.len() - self.start);
            let (head, rest) = data.split_at(room.min(data.len()));
            self.buffer.extend_from_slice(head);
            data = rest;
            if self.buffer.len() - self.start == MAX {
                self.cut_one()?;
            }
        }
        Ok(())
    }

    /// Ends the file. Returns its content and its size.
    pub fn finish(mut self) -> Result<(ContentId, u64)> {
        let sources = self.finish_sources()?;
        let size = self.size;
        let content = match sources.as_slice() {
            [] => ContentId::EMPTY,
            [only] => ContentId {
                object: only.id,
                shape: Shape::Chunk,
            },
            _ => {
                let recipe = Recipe::new(vec![Segment::new(Encoding::Raw, sources)]);
                ContentId {
                    object: self.sink.put(Kind::Recipe, &recipe.encode())?,
                    shape: Shape::Recipe,
                }
            }
        };
        Ok((content, size))
    }

    /// Ends the file; the chunks it was cut into.
    pub(super) fn finish_sources(&mut self) -> Result<Vec<Source>> {
        while self.start < self.buffer.len() {
            self.cut_one()?;
        }
        Ok(std::mem::take(&mut self.sources))
    }

    fn cut_one(&mut self) -> Result<()> {
        let pending = &self.buffer[self.start..];
        let cut = cut(pending);
        put_chunk(self.sink, &mut self.sources, &pending[..cut])?;
        self.start += cut;
        if self.start == self.buffer.len() || self.start >= MAX {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        Ok(())
    }
}

fn put_chunk<S: Sink>(sink: &mut S, sources: &mut Vec<Source>, chunk: &[u8]) -> Result<()> {
    let id = sink.put(Kind::Chunk, chunk)?;
    sources.push(Source {
        kind: Kind::Chunk,
        id,
        offset: 0,
        len: chunk.len() as u32,
    });
    Ok(())
}

/// Length of the first chunk of `data`, which ends where the file ends or has at least MAX bytes.
fn cut(data: &[u8]) -> usize {
    if data.len() <= MIN {
        return data.len();
    }
    let (_, cut) = FastCDC::new(data, MIN, AVERAGE, MAX).cut(0, data.len());
    cut.clamp(1, data.len().min(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers lengths.
    struct Lengths(Vec<usize>);

    impl Sink for Lengths {
        fn put(&mut self, kind: Kind, data: &[u8]) -> Result<ObjectId> {
            if kind == Kind::Chunk {
                self.0.push(data.len());
            }
            Ok(ObjectId([0; 20]))
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut out);
        out
    }

    fn lengths(data: &[u8], step: usize) -> Vec<usize> {
        let mut sink = Lengths(Vec::new());
        let mut writer = Writer::new(&mut sink);
        for piece in data.chunks(step) {
            writer.write(piece).unwrap();
        }
        assert_eq!(writer.finish().unwrap().1, data.len() as u64);
        sink.0
    }

    #[test]
    fn cut_points_are_pinned_and_independent_of_pieces() {
        let data = noise(12 << 20);
        let expected = lengths(&data, data.len());
        assert_eq!(expected.iter().sum::<usize>(), data.len());
        for step in [1000, 65_536, 3 << 20, 5 << 20] {
            assert_eq!(lengths(&data, step), expected);
        }
        assert_eq!(expected, PINNED);
    }

    const PINNED: &[usize] = &[
        1660009, 795372, 1161044, 1398683, 1395912, 1892488, 1387872, 1074712, 1082699, 583878,
        150243,
    ];
}
