//! Mails: a skeleton with holes, and the decoded parts that fill them.
//!
//! How a mail is split is not decided here, only how the pieces are stored: the skeleton as one
//! mail object, each part as chunks like a file, a recipe to join them. A mail without parts is
//! its skeleton.

use std::borrow::Cow;
use std::ops::Range;

use super::super::Repository;
use super::super::error::{RepoError, Result};
use super::super::id::Kind;
use super::recipe::{Encoding, Recipe, Segment, Source};
use super::writer::{IdOnly, Sink, Writer};
use super::{ContentId, Shape};

/// Skeletons above this are cut like files: nobody wants to decode all of it for one read.
const LARGEST_SKELETON: usize = 1 << 20;

/// A mail in pieces.
#[derive(Clone, Debug, Default)]
pub struct MailParts<'a> {
    /// The bytes that are not in parts, joined.
    pub skeleton: Cow<'a, [u8]>,
    /// What the mail is made of, in order.
    pub pieces: Vec<Piece<'a>>,
}

/// One piece of a mail.
#[derive(Clone, Debug)]
pub enum Piece<'a> {
    /// The next `len` bytes of the skeleton.
    Skeleton {
        /// Number of bytes.
        len: usize,
    },
    /// A decoded part; encoding it again gives exactly the mail's bytes.
    Part {
        /// Its content.
        decoded: Cow<'a, [u8]>,
        /// How to encode it.
        encoding: Encoding,
    },
}

impl<'a> MailParts<'a> {
    /// A mail that is not split.
    pub fn whole(bytes: &'a [u8]) -> Self {
        MailParts {
            skeleton: Cow::Borrowed(bytes),
            pieces: vec![Piece::Skeleton { len: bytes.len() }],
        }
    }
}

/// Stores a mail. Returns its content and size.
pub fn put_mail<S: Sink>(sink: &mut S, mail: &MailParts<'_>) -> Result<(ContentId, u64)> {
    let claimed: usize = mail
        .pieces
        .iter()
        .map(|piece| {
            if let Piece::Skeleton { len } = piece {
                *len
            } else {
                0
            }
        })
        .try_fold(0usize, |sum, len| sum.checked_add(len))
        .unwrap_or(usize::MAX);
    if claimed != mail.skeleton.len() {
        return Err(RepoError::Invalid(format!(
            "a mail's pieces take {claimed} bytes of a skeleton of {}",
            mail.skeleton.len()
        )));
    }
    let has_parts = mail
        .pieces
        .iter()
        .any(|piece| matches!(piece, Piece::Part { .. }));
    if !has_parts {
        if mail.skeleton.is_empty() {
            return Ok((ContentId::EMPTY, 0));
        }
        if mail.skeleton.len() <= LARGEST_SKELETON {
            let object = sink.put(Kind::Mail, &mail.skeleton)?;
            return Ok((
                ContentId {
                    object,
                    shape: Shape::Mail,
                },
                mail.skeleton.len() as u64,
            ));
        }
    }
    let mut skeleton = store_skeleton(sink, &mail.skeleton)?;
    let mut segments = Vec::with_capacity(mail.pieces.len());
    for piece in &mail.pieces {
        match piece {
            Piece::Skeleton { len: 0 } => {}
            Piece::Skeleton { len } => {
                segments.push(Segment::new(Encoding::Raw, take(&mut skeleton, *len)))
            }
            Piece::Part { decoded, encoding } => {
                let mut writer = Writer::new(sink);
                writer.write(decoded)?;
                segments.push(Segment::new(*encoding, writer.finish_sources()?));
            }
        }
    }
    let recipe = Recipe::new(segments);
    let object = sink.put(Kind::Recipe, &recipe.encode())?;
    Ok((
        ContentId {
            object,
            shape: Shape::Recipe,
        },
        recipe.size,
    ))
}

/// The content a mail would have, without storing it.
pub fn mail_id(repo: &Repository, mail: &MailParts<'_>) -> Result<ContentId> {
    put_mail(&mut IdOnly(repo), mail).map(|(content, _)| content)
}

/// Stores bytes that have parts in them which may lie in several pieces (frames cut them): each part
/// is joined and stored as a mail's attachment would be, so one that is in both is stored once.
/// `parts` are ranges of `bytes`, in order, and do not overlap.
pub fn put_spliced<S: Sink>(
    sink: &mut S,
    bytes: &[u8],
    parts: &[Vec<Range<usize>>],
) -> Result<(ContentId, u64)> {
    let mut end = 0;
    for range in parts.iter().flatten() {
        if range.start < end || range.end < range.start || range.end > bytes.len() {
            return Err(RepoError::Invalid(format!(
                "a part at {}..{} of {} bytes is out of order",
                range.start,
                range.end,
                bytes.len()
            )));
        }
        end = range.end;
    }
    if parts.is_empty() {
        return put_mail(sink, &MailParts::whole(bytes));
    }
    let mut skeleton = Vec::new();
    let mut at = 0;
    for range in parts.iter().flatten() {
        skeleton.extend_from_slice(&bytes[at..range.start]);
        at = range.end;
    }
    skeleton.extend_from_slice(&bytes[at..]);
    let mut skeleton = store_skeleton(sink, &skeleton)?;
    let mut sources = Vec::new();
    let mut at = 0;
    for part in parts {
        let mut writer = Writer::new(sink);
        for range in part {
            writer.write(&bytes[range.clone()])?;
        }
        let mut stored = writer.finish_sources()?;
        for range in part {
            sources.extend(take(&mut skeleton, range.start - at));
            sources.extend(take(&mut stored, range.len()));
            at = range.end;
        }
    }
    sources.extend(take(&mut skeleton, bytes.len() - at));
    let recipe = Recipe::new(vec![Segment::new(Encoding::Raw, sources)]);
    let object = sink.put(Kind::Recipe, &recipe.encode())?;
    let content = ContentId {
        object,
        shape: Shape::Recipe,
    };
    Ok((content, recipe.size))
}

fn store_skeleton<S: Sink>(sink: &mut S, skeleton: &[u8]) -> Result<Vec<Source>> {
    if skeleton.is_empty() {
        return Ok(Vec::new());
    }
    if skeleton.len() <= LARGEST_SKELETON {
        let id = sink.put(Kind::Mail, skeleton)?;
        return Ok(vec![Source {
            kind: Kind::Mail,
            id,
            offset: 0,
            len: skeleton.len() as u32,
        }]);
    }
    let mut writer = Writer::new(sink);
    writer.write(skeleton)?;
    writer.finish_sources()
}

/// Takes `len` bytes off the front of a list of ranges.
fn take(sources: &mut Vec<Source>, mut len: usize) -> Vec<Source> {
    let mut taken = Vec::new();
    while len > 0 {
        let Some(first) = sources.first_mut() else {
            break;
        };
        let part = (first.len as usize).min(len) as u32;
        taken.push(Source {
            len: part,
            ..*first
        });
        first.offset += part;
        first.len -= part;
        len -= part as usize;
        if first.len == 0 {
            sources.remove(0);
        }
    }
    taken
}
