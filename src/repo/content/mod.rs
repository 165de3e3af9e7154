//! Content: what a file is made of.
//!
//! A [`ContentId`] names the exact bytes of a file: nothing, one object, or a recipe that joins
//! ranges of objects, some of them to be encoded as base64 again. Attachments are decoded and cut
//! with the same chunker as drive files, so the same document is stored once wherever it is.
//!
//! The same bytes split the same way have the same id, and ids can be computed without storing
//! ([`IdOnly`]): that is how a file that comes back is recognised.

mod base64;
mod mail;
mod reader;
mod recipe;
mod writer;

pub use mail::{MailParts, Piece, mail_id, put_mail, put_spliced};
pub use reader::{Reader, read_all};
pub use recipe::{Encoding, Eol, Recipe, Segment, Source};
pub use writer::{IdOnly, Sink, Writer};

pub(crate) use reader::{RecipeCache, recipe_cache};

use super::id::{Kind, ObjectId};
use serde::{Deserialize, Serialize};

/// How the bytes of a content hang on its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Shape {
    /// No bytes; the object is [`ObjectId::ZERO`].
    Empty = 0,
    /// Exactly one mail object.
    Mail = 1,
    /// Exactly one chunk object.
    Chunk = 2,
    /// As the recipe object says.
    Recipe = 3,
}

impl Shape {
    /// The shape with this number.
    pub fn from_u8(n: u8) -> Option<Shape> {
        [Shape::Empty, Shape::Mail, Shape::Chunk, Shape::Recipe]
            .into_iter()
            .find(|shape| *shape as u8 == n)
    }

    /// The kind of the object; `None` for [`Shape::Empty`].
    pub fn kind(self) -> Option<Kind> {
        match self {
            Shape::Empty => None,
            Shape::Mail => Some(Kind::Mail),
            Shape::Chunk => Some(Kind::Chunk),
            Shape::Recipe => Some(Kind::Recipe),
        }
    }
}

/// The exact bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentId {
    /// The object it hangs on.
    pub object: ObjectId,
    /// How.
    pub shape: Shape,
}

impl ContentId {
    /// No bytes.
    pub const EMPTY: ContentId = ContentId {
        object: ObjectId::ZERO,
        shape: Shape::Empty,
    };
}
