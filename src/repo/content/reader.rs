//! Reading content at any position, with bounded memory.
//!
//! A read that lies within one raw object is handed out without a copy. Recipes are decoded once
//! and kept in a bounded cache.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;

use super::super::Repository;
use super::super::error::{RepoError, Result};
use super::super::id::{Kind, ObjectId};
use super::base64;
use super::recipe::{Encoding, Recipe, Source};
use super::{ContentId, Shape};

/// Bytes of decoded recipes that are kept.
const CACHE: u64 = 16 << 20;

/// A recipe, laid out for random access.
pub(crate) struct Plan {
    size: u64,
    segments: Vec<PlanSegment>,
    sources: Vec<Source>,
    /// Where each source begins among the joined sources of its segment.
    starts: Vec<u64>,
}

struct PlanSegment {
    start: u64,
    len: u64,
    encoding: Encoding,
    /// Its sources: this range of [`Plan::sources`].
    sources: std::ops::Range<usize>,
    source_len: u64,
}

#[derive(Clone)]
pub(crate) struct PlanWeight;

impl Weighter<ObjectId, Arc<Plan>> for PlanWeight {
    fn weight(&self, _: &ObjectId, plan: &Arc<Plan>) -> u64 {
        128 + 48 * (plan.segments.len() + plan.sources.len()) as u64
    }
}

pub(crate) type RecipeCache = quick_cache::sync::Cache<ObjectId, Arc<Plan>, PlanWeight>;

pub(crate) fn recipe_cache() -> RecipeCache {
    quick_cache::sync::Cache::with_weighter(1024, CACHE, PlanWeight)
}

impl Plan {
    fn new(recipe: Recipe) -> Self {
        let mut plan = Plan {
            size: recipe.size,
            segments: Vec::new(),
            sources: Vec::new(),
            starts: Vec::new(),
        };
        let mut start = 0;
        for segment in recipe.segments {
            let first = plan.sources.len();
            let mut source_len = 0;
            for source in segment.sources {
                plan.starts.push(source_len);
                source_len += u64::from(source.len);
                plan.sources.push(source);
            }
            let sources = first..plan.sources.len();
            plan.segments.push(PlanSegment {
                start,
                len: segment.out_len,
                encoding: segment.encoding,
                sources,
                source_len,
            });
            start += segment.out_len;
        }
        plan
    }
}

impl Plan {
    /// The objects that the bytes `from..until` may come from: segments that are encoded have theirs
    /// spread evenly enough to go by their share.
    fn objects(&self, from: u64, until: u64) -> Vec<ObjectId> {
        let mut objects = Vec::new();
        for segment in &self.segments {
            let begin = from.saturating_sub(segment.start);
            let end = until.saturating_sub(segment.start).min(segment.len);
            if begin >= end {
                continue;
            }
            let of_source = |at: u64| {
                (u128::from(at) * u128::from(segment.source_len) / u128::from(segment.len)) as u64
            };
            let (begin, end) = (of_source(begin), of_source(end));
            for index in segment.sources.clone() {
                let (start, source) = (self.starts[index], &self.sources[index]);
                if start <= end && start + u64::from(source.len) > begin {
                    objects.push(source.id);
                }
            }
        }
        objects
    }
}

/// Reads one content. Cheap to make and to clone.
#[derive(Clone)]
pub struct Reader {
    repo: Repository,
    body: Body,
    size: u64,
}

#[derive(Clone)]
enum Body {
    Empty,
    One(Kind, ObjectId),
    Plan(Arc<Plan>),
}

impl Reader {
    /// Prepares to read a content.
    pub fn open(repo: &Repository, content: ContentId) -> Result<Reader> {
        let id = content.object;
        let (body, size) = match content.shape {
            Shape::Empty => (Body::Empty, 0),
            Shape::Mail | Shape::Chunk => {
                let kind = if content.shape == Shape::Mail {
                    Kind::Mail
                } else {
                    Kind::Chunk
                };
                let size = repo
                    .size_of(&id)?
                    .ok_or(RepoError::ObjectMissing { kind, id })?;
                (Body::One(kind, id), size)
            }
            Shape::Recipe => {
                let plan = match repo.inner.recipes.get(&id) {
                    Some(plan) => plan,
                    None => {
                        let plan = Arc::new(Plan::new(recipe(repo, &id)?));
                        repo.inner.recipes.insert(id, plan.clone());
                        plan
                    }
                };
                let size = plan.size;
                (Body::Plan(plan), size)
            }
        };
        Ok(Reader {
            repo: repo.clone(),
            body,
            size,
        })
    }

    /// Bytes of the content.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Up to `len` bytes from `offset` on: fewer only at the end.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        if offset >= self.size || len == 0 {
            return Ok(Bytes::new());
        }
        let len = (len as u64).min(self.size - offset);
        match &self.body {
            Body::Empty => Ok(Bytes::new()),
            Body::One(kind, id) => cut(self.repo.get(*kind, id)?, offset, len, *kind, id),
            Body::Plan(plan) => self.read_plan(plan, offset, len),
        }
    }

    /// Brings the bytes `from..until` of a content in a remote repository onto the local disk, so
    /// that reading them does not wait for the store.
    pub fn prefetch(&self, from: u64, until: u64) -> Result<()> {
        match &self.body {
            Body::Empty => Ok(()),
            Body::One(_, id) => self.repo.inner.prefetch(&[*id]),
            Body::Plan(plan) => self.repo.inner.prefetch(&plan.objects(from, until)),
        }
    }

    fn read_plan(&self, plan: &Plan, offset: u64, len: u64) -> Result<Bytes> {
        let end = offset + len;
        let mut index = plan
            .segments
            .partition_point(|segment| segment.start + segment.len <= offset);
        let mut out = Vec::new();
        let mut at = offset;
        while at < end {
            let Some(segment) = plan.segments.get(index) else {
                break;
            };
            let from = at - segment.start;
            let until = segment.len.min(end - segment.start);
            match segment.encoding {
                Encoding::Raw => {
                    let whole = at == offset && until == end - segment.start;
                    if let Some(bytes) = self.join(plan, segment, from, until, &mut out, whole)? {
                        return Ok(bytes);
                    }
                }
                Encoding::Base64 { line, eol } => {
                    let (first, last) = base64::source_range(from, until - from, line, eol);
                    let mut source = Vec::new();
                    self.join(
                        plan,
                        segment,
                        first,
                        last.min(segment.source_len),
                        &mut source,
                        false,
                    )?;
                    base64::encode(&source, from, (until - from) as usize, line, eol, &mut out);
                }
            }
            at = segment.start + until;
            index += 1;
        }
        if out.len() as u64 != len {
            return Err(RepoError::Invalid(format!(
                "a recipe gave {} of {len} bytes at {offset}",
                out.len()
            )));
        }
        Ok(Bytes::from(out))
    }

    /// Appends the joined source bytes `from..until` of a segment; with `lone`, hands them out
    /// uncopied when one object has them all.
    fn join(
        &self,
        plan: &Plan,
        segment: &PlanSegment,
        from: u64,
        until: u64,
        out: &mut Vec<u8>,
        lone: bool,
    ) -> Result<Option<Bytes>> {
        let starts = &plan.starts[segment.sources.clone()];
        let sources = &plan.sources[segment.sources.clone()];
        let mut index = starts
            .partition_point(|start| *start <= from)
            .saturating_sub(1);
        let mut at = from;
        while at < until {
            let (Some(start), Some(source)) = (starts.get(index), sources.get(index)) else {
                break;
            };
            let (start, source_len) = (*start, u64::from(source.len));
            let within = at - start;
            let take = (source_len - within.min(source_len)).min(until - at);
            if take > 0 {
                let object = self.repo.get(source.kind, &source.id)?;
                let bytes = cut(
                    object,
                    u64::from(source.offset) + within,
                    take,
                    source.kind,
                    &source.id,
                )?;
                if lone && at == from && at + take == until {
                    return Ok(Some(bytes));
                }
                if out.capacity() == 0 {
                    out.reserve((until - from) as usize);
                }
                out.extend_from_slice(&bytes);
            }
            at += take;
            index += 1;
        }
        Ok(None)
    }
}

/// Reads and decodes a recipe object.
pub(crate) fn recipe(repo: &Repository, id: &ObjectId) -> Result<Recipe> {
    let bytes = repo.get(Kind::Recipe, id)?;
    Recipe::decode(&bytes).map_err(|e| RepoError::damaged(format!("recipe {id}"), e.0))
}

/// All bytes of a content that has at most `limit`.
pub fn read_all(repo: &Repository, content: ContentId, limit: u64) -> Result<Bytes> {
    let reader = Reader::open(repo, content)?;
    if reader.size() > limit {
        return Err(RepoError::ObjectTooLarge {
            size: reader.size(),
            limit,
        });
    }
    reader.read_at(0, reader.size() as usize)
}

fn cut(object: Bytes, offset: u64, len: u64, kind: Kind, id: &ObjectId) -> Result<Bytes> {
    match offset.checked_add(len) {
        Some(end) if end <= object.len() as u64 => Ok(object.slice(offset as usize..end as usize)),
        _ => Err(RepoError::Invalid(format!(
            "{kind} object {id} is shorter than its content says"
        ))),
    }
}
