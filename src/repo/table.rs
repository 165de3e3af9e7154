//! The table of a pack: which frames it has and which objects are in them.
//!
//! The same encoding serves as a pack's footer and, for several packs, as an index file. Lengths
//! and kinds compress well and ids not at all, so they are kept apart: a zstd block of varints,
//! then all ids, once each.
//!
//! Varints of a table: number of frames; per frame kind, stored length, raw length, number of
//! objects, and the objects' lengths. Offsets follow from the lengths.

use super::codec;
use super::id::{Kind, ObjectId, PackClass, PackId};
use super::pack;
use super::wire::{Input, Malformed, put_varint};

/// Largest raw length of a frame, hence of an object.
pub(crate) const MAX_FRAME: u32 = 64 << 20;
/// Largest numbers block of one table or index file.
const MAX_NUMBERS: usize = 1 << 30;

/// One frame of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameEntry {
    /// Of all objects in it.
    pub kind: Kind,
    /// Where its sealed bytes begin in the pack.
    pub offset: u32,
    /// Sealed bytes, tag included.
    pub stored: u32,
    /// Decoded bytes.
    pub raw: u32,
    /// Objects in order, with their lengths.
    pub objects: Vec<(ObjectId, u32)>,
}

/// All frames of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackTable {
    /// The pack's own.
    pub id: PackId,
    /// What sort of objects it has.
    pub class: PackClass,
    /// Number of the master key it is sealed with.
    pub key: u8,
    /// Bytes of the whole file; 0 in a footer, where it is not known yet.
    pub size: u64,
    /// In the order in which they are in the file.
    pub frames: Vec<FrameEntry>,
}

impl PackTable {
    /// The pack's file.
    pub fn file(&self) -> String {
        self.id.file(self.class)
    }
}

/// A pack's footer.
pub(crate) fn encode_footer(frames: &[FrameEntry]) -> Vec<u8> {
    let mut numbers = Vec::new();
    put_frames(&mut numbers, frames);
    join(&numbers, ids_of(frames))
}

/// The frames in a footer.
pub(crate) fn decode_footer(bytes: &[u8]) -> Result<Vec<FrameEntry>, Malformed> {
    let (numbers, mut ids) = split(bytes)?;
    let mut numbers = Input::new(&numbers);
    let frames = take_frames(&mut numbers, &mut ids)?;
    numbers.end()?;
    ids.end()?;
    Ok(frames)
}

/// The body of an index file.
pub(crate) fn encode_index(tables: &[PackTable]) -> Vec<u8> {
    let mut numbers = Vec::new();
    put_varint(&mut numbers, tables.len() as u64);
    for table in tables {
        numbers.extend_from_slice(&table.id.0);
        numbers.push(table.class as u8);
        numbers.push(table.key);
        put_varint(&mut numbers, table.size);
        put_frames(&mut numbers, &table.frames);
    }
    join(
        &numbers,
        tables.iter().flat_map(|table| ids_of(&table.frames)),
    )
}

/// The packs in the body of an index file.
pub(crate) fn decode_index(bytes: &[u8]) -> Result<Vec<PackTable>, Malformed> {
    let (numbers, mut ids) = split(bytes)?;
    let mut numbers = Input::new(&numbers);
    let count = numbers.count(19)?;
    let mut tables = Vec::with_capacity(count);
    for _ in 0..count {
        let id = PackId(numbers.array()?);
        let class = PackClass::from_u8(numbers.u8()?).ok_or(Malformed("unknown class of pack"))?;
        let key = numbers.u8()?;
        let size = numbers.varint()?;
        tables.push(PackTable {
            id,
            class,
            key,
            size,
            frames: take_frames(&mut numbers, &mut ids)?,
        });
    }
    numbers.end()?;
    ids.end()?;
    Ok(tables)
}

fn ids_of(frames: &[FrameEntry]) -> impl Iterator<Item = &ObjectId> {
    frames
        .iter()
        .flat_map(|frame| frame.objects.iter().map(|(id, _)| id))
}

fn put_frames(numbers: &mut Vec<u8>, frames: &[FrameEntry]) {
    put_varint(numbers, frames.len() as u64);
    for frame in frames {
        numbers.push(frame.kind as u8);
        put_varint(numbers, frame.stored.into());
        put_varint(numbers, frame.raw.into());
        put_varint(numbers, frame.objects.len() as u64);
        for (_, len) in &frame.objects {
            put_varint(numbers, (*len).into());
        }
    }
}

fn take_frames(numbers: &mut Input<'_>, ids: &mut Input<'_>) -> Result<Vec<FrameEntry>, Malformed> {
    let count = numbers.count(4)?;
    let mut frames = Vec::with_capacity(count);
    let mut offset = pack::HEADER as u32;
    for _ in 0..count {
        let kind = Kind::from_u8(numbers.u8()?).ok_or(Malformed("unknown kind of object"))?;
        let stored = numbers.varint_u32()?;
        let raw = numbers.varint_u32()?;
        if raw > MAX_FRAME {
            return Err(Malformed("a frame is too large"));
        }
        let objects = numbers.count(1)?;
        let mut frame = FrameEntry {
            kind,
            offset,
            stored,
            raw,
            objects: Vec::with_capacity(objects),
        };
        let mut filled = 0u32;
        for _ in 0..objects {
            let len = numbers.varint_u32()?;
            filled = filled
                .checked_add(len)
                .filter(|n| *n <= raw)
                .ok_or(Malformed("objects overlap"))?;
            frame.objects.push((ObjectId(ids.array()?), len));
        }
        if filled != raw {
            return Err(Malformed("objects do not fill their frame"));
        }
        offset = offset
            .checked_add(stored)
            .ok_or(Malformed("a pack is too large"))?;
        frames.push(frame);
    }
    Ok(frames)
}

fn join<'a>(numbers: &[u8], ids: impl Iterator<Item = &'a ObjectId>) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, numbers.len() as u64);
    match codec::zstd_small(numbers).filter(|packed| packed.len() < numbers.len()) {
        Some(packed) => {
            put_varint(&mut out, packed.len() as u64);
            out.extend_from_slice(&packed);
        }
        // Equal lengths mean 'not compressed'.
        None => {
            put_varint(&mut out, numbers.len() as u64);
            out.extend_from_slice(numbers);
        }
    }
    for id in ids {
        out.extend_from_slice(id.as_bytes());
    }
    out
}

fn split(bytes: &[u8]) -> Result<(Vec<u8>, Input<'_>), Malformed> {
    let mut input = Input::new(bytes);
    let len = usize::try_from(input.varint()?)
        .ok()
        .filter(|n| *n <= MAX_NUMBERS);
    let len = len.ok_or(Malformed("a table is too large"))?;
    let packed_len = input.count(1)?;
    let packed = input.bytes(packed_len)?;
    let numbers = if packed_len == len {
        packed.to_vec()
    } else {
        codec::unzstd(packed, len, None).ok_or(Malformed("a table does not decompress"))?
    };
    Ok((numbers, input))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Vec<FrameEntry>> {
        let object = (any::<[u8; 20]>(), 0u32..5000).prop_map(|(id, len)| (ObjectId(id), len));
        let frame = (
            0usize..5,
            17u32..70_000,
            prop::collection::vec(object, 1..20),
        );
        prop::collection::vec(frame, 0..8).prop_map(|frames| {
            let mut offset = pack::HEADER as u32;
            let build = |(kind, stored, objects): (usize, u32, Vec<(ObjectId, u32)>)| {
                let raw = objects.iter().map(|(_, len)| len).sum();
                let frame = FrameEntry {
                    kind: Kind::ALL[kind],
                    offset,
                    stored,
                    raw,
                    objects,
                };
                offset += stored;
                frame
            };
            frames.into_iter().map(build).collect()
        })
    }

    proptest! {
        #[test]
        fn tables_come_back(frames in frames(), more in frames()) {
            prop_assert_eq!(decode_footer(&encode_footer(&frames)).unwrap(), frames.clone());
            let tables = [
                PackTable { id: PackId([1; 16]), class: PackClass::Data, key: 0, size: 77, frames },
                PackTable { id: PackId([2; 16]), class: PackClass::Meta, key: 200, size: 1 << 40, frames: more },
            ];
            prop_assert_eq!(decode_index(&encode_index(&tables)).unwrap(), tables);
        }

        #[test]
        fn any_bytes_are_refused_politely(bytes: Vec<u8>) {
            let _ = decode_footer(&bytes);
            let _ = decode_index(&bytes);
        }
    }
}
