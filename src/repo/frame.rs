//! Frames: neighbours that are compressed together.
//!
//! Small objects dominate a mailbox, and each alone compresses badly. A stream collects the small
//! objects of a kind into one frame until it is full; the frame is then encoded and sealed as a
//! whole. An open frame stays readable until its place in a pack is known.

use bytes::Bytes;
use parking_lot::RwLock;

use super::id::{Kind, ObjectId};

/// Raw bytes at which a frame of this kind is full. Reading one object decodes one frame, so
/// these are small where single objects are read, and smallest for nodes: a cycle looks each item of a
/// mailbox up by its hash, every time in another one. (Half of 64 KiB costs 0.6 % of all that is stored.)
/// Small files share much larger frames: office
/// documents and pictures have little in common with what is within a MiB of them, and decoding all
/// four costs some ms.
pub(crate) fn target(kind: Kind) -> usize {
    match kind {
        Kind::Mail => 128 << 10,
        Kind::Chunk => 4 << 20,
        Kind::Recipe => 32 << 10,
        Kind::Record => 64 << 10,
        Kind::Node => 32 << 10,
    }
}

/// From this size on an object has a frame of its own.
pub(crate) fn alone(kind: Kind) -> usize {
    match kind {
        Kind::Chunk => 1 << 20,
        _ => target(kind),
    }
}

/// Frames that a stream has open at the same time.
pub(crate) const LANES: usize = Kind::ALL.len() + 4;

/// Which of a stream's open frames an object joins: one for each kind, and for pieces of files one for
/// each sort of content, because those of a sort compress better together.
pub(crate) fn lane(kind: Kind, data: &[u8]) -> usize {
    /// Bytes that tell text from the rest.
    const HEAD: usize = 512;
    if kind != Kind::Chunk {
        return kind.slot();
    }
    let head = &data[..data.len().min(HEAD)];
    let first = Kind::ALL.len();
    match head {
        // OLE (doc, xls, ppt, msg), ZIP (docx, xlsx, jar, odt), PDF.
        [0xd0, 0xcf, 0x11, 0xe0, ..] => first,
        [b'P', b'K', 3, 4, ..] => first + 1,
        [b'%', b'P', b'D', b'F', ..] => first + 2,
        _ if !head.contains(&0) => first + 3,
        _ => kind.slot(),
    }
}

/// A frame that is not sealed yet.
pub(crate) struct OpenFrame {
    pub(crate) kind: Kind,
    content: RwLock<Content>,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    objects: Vec<(ObjectId, u32)>,
}

impl OpenFrame {
    pub(crate) fn new(kind: Kind, capacity: usize) -> Self {
        let content = Content {
            bytes: Vec::with_capacity(capacity),
            objects: Vec::new(),
        };
        OpenFrame {
            kind,
            content: RwLock::new(content),
        }
    }

    /// Adds an object and says where it begins.
    pub(crate) fn push(&self, id: ObjectId, data: &[u8]) -> u32 {
        let mut content = self.content.write();
        let offset = content.bytes.len() as u32;
        content.bytes.extend_from_slice(data);
        content.objects.push((id, data.len() as u32));
        offset
    }

    /// Number of objects and raw bytes.
    pub(crate) fn fill(&self) -> (usize, usize) {
        let content = self.content.read();
        (content.objects.len(), content.bytes.len())
    }

    /// A copy of one object.
    pub(crate) fn read(&self, offset: u32, len: u32) -> Option<Bytes> {
        let content = self.content.read();
        let start = offset as usize;
        content
            .bytes
            .get(start..start + len as usize)
            .map(Bytes::copy_from_slice)
    }

    /// Calls `take` with each object.
    pub(crate) fn each(&self, mut take: impl FnMut(&[u8])) {
        let content = self.content.read();
        let mut rest = content.bytes.as_slice();
        for (_, len) in &content.objects {
            let (object, after) = rest.split_at((*len as usize).min(rest.len()));
            take(object);
            rest = after;
        }
    }

    /// Calls `encode` with the frame's bytes and objects.
    pub(crate) fn with<T>(&self, encode: impl FnOnce(&[u8], &[(ObjectId, u32)]) -> T) -> T {
        let content = self.content.read();
        encode(&content.bytes, &content.objects)
    }
}
