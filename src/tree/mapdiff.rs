//! The difference of two maps, found by skipping the subtrees they share.

use super::TreeError;
use super::map::MapRoot;
use super::node::Node;
use super::nodes::Nodes;
use crate::repo::ObjectId;
use bytes::Bytes;
use std::cmp::Ordering;
use std::sync::Arc;

/// One key whose value differs; at least one side is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapChange {
    /// The key.
    pub key: Vec<u8>,
    /// Its value in the older map.
    pub old: Option<Bytes>,
    /// Its value in the newer map.
    pub new: Option<Bytes>,
}

/// What has not been compared yet of one side: a root nobody opened, then nodes with the next entry.
struct Side {
    root: MapRoot,
    stack: Vec<(Arc<Node>, usize)>,
}

impl Side {
    /// The level of what comes next: 0 is an entry, n is a node of level n - 1. `None` at the end.
    fn height(&self, nodes: &Nodes) -> Result<Option<u8>, TreeError> {
        match (&self.root, self.stack.last()) {
            (Some(root), _) => Ok(Some(nodes.load(root)?.level() + 1)),
            (None, last) => Ok(last.map(|(node, _)| node.level())),
        }
    }

    fn subtree(&self) -> Option<ObjectId> {
        self.root
            .or_else(|| self.stack.last().map(|(node, index)| node.child(*index).0))
    }

    fn skip(&mut self) {
        self.root = None;
        if let Some((_, index)) = self.stack.last_mut() {
            *index += 1;
        }
        while self
            .stack
            .last()
            .is_some_and(|(node, index)| *index >= node.len())
        {
            self.stack.pop();
            if let Some((_, index)) = self.stack.last_mut() {
                *index += 1;
            }
        }
    }

    fn open(&mut self, nodes: &Nodes) -> Result<(), TreeError> {
        let node = match (self.root.take(), self.stack.last()) {
            (Some(root), _) => nodes.load(&root)?,
            (None, Some((parent, index))) => nodes.load_child(parent, *index)?,
            (None, None) => return Ok(()),
        };
        self.stack.push((node, 0));
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.stack
            .last()
            .map_or(b"", |(node, index)| node.key(*index))
    }

    fn take(&mut self) -> Option<(Vec<u8>, Bytes)> {
        let (node, index) = self.stack.last()?;
        let entry = (node.key(*index).to_vec(), node.value_bytes(*index));
        self.skip();
        Some(entry)
    }
}

/// Changes in order of their keys.
pub struct MapDiff {
    nodes: Nodes,
    old: Side,
    new: Side,
}

impl MapDiff {
    pub(crate) fn new(nodes: &Nodes, old: MapRoot, new: MapRoot) -> Result<MapDiff, TreeError> {
        let side = |root| Side {
            root,
            stack: Vec::new(),
        };
        Ok(MapDiff {
            nodes: nodes.clone(),
            old: side(old),
            new: side(new),
        })
    }

    fn advance(&mut self) -> Result<Option<MapChange>, TreeError> {
        loop {
            let heights = (self.old.height(&self.nodes)?, self.new.height(&self.nodes)?);
            let order = match heights {
                (None, None) => return Ok(None),
                (Some(0), None) => Ordering::Less,
                (None, Some(0)) => Ordering::Greater,
                (Some(0), Some(0)) => self.old.key().cmp(self.new.key()),
                (old, new) => {
                    if old == new && self.old.subtree() == self.new.subtree() {
                        self.old.skip();
                        self.new.skip();
                        continue;
                    }
                    // The higher one first, so that equal subtrees meet at equal heights.
                    if old >= new {
                        self.old.open(&self.nodes)?;
                    }
                    if new >= old {
                        self.new.open(&self.nodes)?;
                    }
                    continue;
                }
            };
            let old = if order.is_le() { self.old.take() } else { None };
            let new = if order.is_ge() { self.new.take() } else { None };
            match (old, new) {
                (Some((_, old)), Some((_, new))) if old == new => {}
                (Some((key, old)), new) => {
                    return Ok(Some(MapChange {
                        key,
                        old: Some(old),
                        new: new.map(|new| new.1),
                    }));
                }
                (None, Some((key, new))) => {
                    return Ok(Some(MapChange {
                        key,
                        old: None,
                        new: Some(new),
                    }));
                }
                (None, None) => return Ok(None),
            }
        }
    }
}

impl Iterator for MapDiff {
    type Item = Result<MapChange, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let change = self.advance().transpose();
        if let Some(Err(_)) = change {
            let end = || Side {
                root: None,
                stack: Vec::new(),
            };
            (self.old, self.new) = (end(), end());
        }
        change
    }
}
