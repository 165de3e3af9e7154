//! Writing maps: from sorted entries, or by edits to a map that exists.
//!
//! Edits go up level by level. On each level every run of touched nodes is written again from its
//! start, and the run goes on until one of its old ends is an end again; what that did to the run's
//! nodes are the edits of the level above. Nodes outside of the runs are not even read, but for the
//! neighbours whose keys a separator needs.

use super::TreeError;
use super::cursor::Cursor;
use super::map::{Edit, MapRoot, Shape};
use super::node::{Borders, Encoded, MAX_LEVEL, NodeWriter, Payload};
use super::nodes::{NodeSink, Nodes};
use crate::repo::ObjectId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::iter::Peekable;

/// Edits of one level; those of a level above are keyed by separators.
type LevelEdit = Result<(Vec<u8>, Option<Payload>), TreeError>;
type LevelEdits = BTreeMap<Vec<u8>, Option<Payload>>;

/// See [`Map::apply`](super::map::Map::apply).
pub(crate) fn apply(
    nodes: &Nodes,
    shape: Shape,
    root: MapRoot,
    out: &mut dyn NodeSink,
    edits: impl Iterator<Item = Edit>,
) -> Result<MapRoot, TreeError> {
    let mut last: Option<Vec<u8>> = None;
    let edits = edits.map(|(key, value)| {
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(TreeError::Unsorted);
        }
        last.get_or_insert_default().clone_from(&key);
        Ok((key, value.map(|value| Payload::Value(Bytes::from(value)))))
    });
    let borders = nodes.borders(shape);
    let Some(root) = root else {
        let mut builder = Builder::new(&borders);
        for edit in edits {
            let (key, payload) = edit?;
            if let Some(payload) = payload {
                builder.push(out, 0, &key, &payload)?;
            }
        }
        return builder.finish(out);
    };
    let height = nodes.load(&root)?.level();
    let mut above = rewrite_level(nodes, &borders, &root, 0, out, edits)?;
    for level in 1..=height {
        above = rewrite_level(
            nodes,
            &borders,
            &root,
            level,
            out,
            above.into_iter().map(Ok),
        )?;
    }
    if above.is_empty() {
        return Ok(Some(root));
    }
    // The root was the only node of its level, so these are all nodes of that level.
    let mut level: Vec<_> = above
        .into_iter()
        .filter_map(|(key, payload)| Some((key, payload?)))
        .collect();
    if let [(_, Payload::Child { id, .. })] = level[..] {
        return collapse(nodes, id).map(Some);
    }
    let mut builder = Builder::new(&borders);
    for (separator, payload) in level.drain(..) {
        builder.push(out, height + 1, &separator, &payload)?;
    }
    builder.finish(out)
}

/// A root with one child stands for that child.
fn collapse(nodes: &Nodes, mut root: ObjectId) -> Result<ObjectId, TreeError> {
    loop {
        let node = nodes.load(&root)?;
        if node.level() == 0 || node.len() > 1 {
            return Ok(root);
        }
        root = node.child(0).0;
    }
}

/// The shortest prefix of `first` that is above `before`; `None` is below everything.
fn separator(before: Option<&[u8]>, first: &[u8]) -> Vec<u8> {
    let Some(before) = before else {
        return Vec::new();
    };
    let shared = before.iter().zip(first).take_while(|(a, b)| a == b).count();
    first[..first.len().min(shared + 1)].to_vec()
}

/// Builds all levels from entries that come in order.
struct Builder<'a> {
    borders: &'a Borders,
    levels: Vec<BuilderLevel>,
}

struct BuilderLevel {
    writer: NodeWriter,
    written: u64,
    last_id: MapRoot,
    last_key: Option<Vec<u8>>,
}

impl<'a> Builder<'a> {
    fn new(borders: &'a Borders) -> Self {
        Builder {
            borders,
            levels: Vec::new(),
        }
    }

    /// Adds an entry to `level`, which must be the lowest one that is ever used.
    fn push(
        &mut self,
        out: &mut dyn NodeSink,
        level: u8,
        key: &[u8],
        payload: &Payload,
    ) -> Result<(), TreeError> {
        if level > MAX_LEVEL {
            return Err(TreeError::Corrupt {
                what: "map",
                why: "it is too high",
            });
        }
        while self.levels.len() <= usize::from(level) {
            let writer = NodeWriter::new(self.levels.len() as u8);
            self.levels.push(BuilderLevel {
                writer,
                written: 0,
                last_id: None,
                last_key: None,
            });
        }
        if self.levels[usize::from(level)]
            .writer
            .push(self.borders, key, payload)?
        {
            self.end_node(out, level)?;
        }
        Ok(())
    }

    fn end_node(&mut self, out: &mut dyn NodeSink, level: u8) -> Result<(), TreeError> {
        let this = &mut self.levels[usize::from(level)];
        let Encoded {
            bytes,
            first,
            last,
            count,
        } = this.writer.take();
        let id = out.put_node(&bytes)?;
        let key = if level == 0 {
            separator(this.last_key.as_deref(), &first)
        } else {
            first
        };
        this.last_key = Some(last);
        this.last_id = Some(id);
        this.written += 1;
        self.push(out, level + 1, &key, &Payload::Child { id, count })
    }

    /// Ends all nodes; the first level with one node has the root.
    fn finish(mut self, out: &mut dyn NodeSink) -> Result<MapRoot, TreeError> {
        let mut level = 0;
        while let Some(this) = self.levels.get(usize::from(level)) {
            if this.written == 0 && this.writer.is_empty() {
                // Below the lowest level in use.
                level += 1;
                continue;
            }
            if !this.writer.is_empty() {
                self.end_node(out, level)?;
            }
            let this = &self.levels[usize::from(level)];
            if this.written == 1 {
                return Ok(this.last_id);
            }
            level += 1;
        }
        Ok(None)
    }
}

/// One run of nodes that is being written again.
struct Run<'a> {
    borders: &'a Borders,
    level: u8,
    writer: NodeWriter,
    /// What the parents had of the old nodes, and shall have of the new ones.
    removed: Vec<(Vec<u8>, ObjectId, u64)>,
    added: Vec<(Vec<u8>, ObjectId, u64)>,
    last_key: Option<Vec<u8>>,
}

impl Run<'_> {
    fn push(
        &mut self,
        left: &Left<'_>,
        out: &mut dyn NodeSink,
        key: &[u8],
        payload: &Payload,
    ) -> Result<(), TreeError> {
        if self.writer.push(self.borders, key, payload)? {
            self.end_node(left, out)?;
        }
        Ok(())
    }

    fn end_node(&mut self, left: &Left<'_>, out: &mut dyn NodeSink) -> Result<(), TreeError> {
        let Encoded {
            bytes,
            first,
            last,
            count,
        } = self.writer.take();
        let id = out.put_node(&bytes)?;
        let key = match &self.last_key {
            _ if self.level > 0 => first,
            Some(before) => separator(Some(before), &first),
            None => left.separator(&first)?,
        };
        self.last_key = Some(last);
        self.added.push((key, id, count));
        Ok(())
    }
}

/// What is left of a run.
struct Left<'a> {
    nodes: &'a Nodes,
    start: Cursor,
}

impl Left<'_> {
    fn last_key(&self) -> Result<Option<Vec<u8>>, TreeError> {
        let mut cursor = self.start.clone();
        Ok(if cursor.previous(self.nodes)? {
            Some(cursor.node().last_key().to_vec())
        } else {
            None
        })
    }

    /// The separator for the first node of the run when that node begins with `first`.
    fn separator(&self, first: &[u8]) -> Result<Vec<u8>, TreeError> {
        if self.start.node().first_key() == first {
            return Ok(self.start.separator().to_vec());
        }
        Ok(separator(self.last_key()?.as_deref(), first))
    }
}

fn rewrite_level(
    nodes: &Nodes,
    borders: &Borders,
    root: &ObjectId,
    level: u8,
    out: &mut dyn NodeSink,
    edits: impl Iterator<Item = LevelEdit>,
) -> Result<LevelEdits, TreeError> {
    let mut edits = edits.peekable();
    let mut above = LevelEdits::new();
    while let Some(key) = next_key(&mut edits)? {
        let mut cursor = Cursor::seek(nodes, root, level, key)?;
        let left = Left {
            nodes,
            start: cursor.clone(),
        };
        let writer = NodeWriter::new(level);
        let mut run = Run {
            borders,
            level,
            writer,
            removed: Vec::new(),
            added: Vec::new(),
            last_key: None,
        };
        loop {
            let (id, count) = cursor.reference();
            run.removed.push((cursor.separator().to_vec(), id, count));
            merge(&cursor, &mut edits, &mut run, &left, out)?;
            let old_end = cursor.node().clone();
            let more = cursor.next(nodes)?;
            if !more && !run.writer.is_empty() {
                run.end_node(&left, out)?;
            }
            if !run.writer.is_empty() {
                continue;
            }
            if !more {
                break;
            }
            // On an old end. If the next edit is right behind it, the run goes on.
            if next_key(&mut edits)?
                .is_some_and(|key| cursor.upper().is_none_or(|upper| key < upper))
            {
                continue;
            }
            if level == 0 && run.last_key.as_deref() != Some(old_end.last_key()) {
                let before = if run.last_key.is_some() {
                    run.last_key.clone()
                } else {
                    left.last_key()?
                };
                let (id, count) = cursor.reference();
                run.removed.push((cursor.separator().to_vec(), id, count));
                run.added.push((
                    separator(before.as_deref(), cursor.node().first_key()),
                    id,
                    count,
                ));
            }
            break;
        }
        if run.removed != run.added {
            above.extend(run.removed.into_iter().map(|(key, _, _)| (key, None)));
            above.extend(
                run.added
                    .into_iter()
                    .map(|(key, id, count)| (key, Some(Payload::Child { id, count }))),
            );
        }
    }
    Ok(above)
}

/// Puts the entries of the node at `cursor`, with the edits that fall into it, into the run.
fn merge(
    cursor: &Cursor,
    edits: &mut Peekable<impl Iterator<Item = LevelEdit>>,
    run: &mut Run<'_>,
    left: &Left<'_>,
    out: &mut dyn NodeSink,
) -> Result<(), TreeError> {
    let node = cursor.node();
    let mut index = 0;
    loop {
        let old = (index < node.len()).then(|| node.key(index));
        let edit = next_key(edits)?.filter(|key| cursor.upper().is_none_or(|upper| *key < upper));
        let order = match (old, edit) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(edit)) => old.cmp(edit),
        };
        if order.is_lt() {
            run.push(left, out, node.key(index), &node.payload(index))?;
        } else if let Some((key, Some(payload))) = edits.next().transpose()? {
            run.push(left, out, &key, &payload)?;
        }
        if order.is_le() {
            index += 1;
        }
    }
}

fn next_key(
    edits: &mut Peekable<impl Iterator<Item = LevelEdit>>,
) -> Result<Option<&[u8]>, TreeError> {
    if let Some(Err(_)) = edits.peek() {
        // Only now may it be taken out.
        return match edits.next() {
            Some(Err(error)) => Err(error),
            _ => Ok(None),
        };
    }
    Ok(match edits.peek() {
        Some(Ok((key, _))) => Some(key),
        _ => None,
    })
}
