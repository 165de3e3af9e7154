//! A place in a map: the path of nodes from the root down to one node of a chosen level.

use super::TreeError;
use super::node::Node;
use super::nodes::Nodes;
use crate::repo::ObjectId;
use std::sync::Arc;

/// The path to a node. `steps` are the inner nodes above it with the child taken in each.
#[derive(Clone)]
pub(crate) struct Cursor {
    steps: Vec<(Arc<Node>, usize)>,
    node: Arc<Node>,
    root: ObjectId,
}

impl Cursor {
    /// The node of `level` whose range holds `key`; the root itself when it is not above `level`.
    pub(crate) fn seek(
        nodes: &Nodes,
        root: &ObjectId,
        level: u8,
        key: &[u8],
    ) -> Result<Cursor, TreeError> {
        Self::descend(nodes, root, level, |node| node.route(key))
    }

    /// The leaf that holds the entry at `position`, and the entry's index in it, which is the leaf's
    /// length when `position` is past the end.
    pub(crate) fn at(
        nodes: &Nodes,
        root: &ObjectId,
        position: u64,
    ) -> Result<(Cursor, usize), TreeError> {
        let mut rest = position;
        let cursor = Self::descend(nodes, root, 0, |node| {
            // The last child also takes what is past the end.
            let index = (1..node.len())
                .find(|n| node.before(*n) > rest)
                .unwrap_or(node.len())
                - 1;
            rest -= node.before(index);
            index
        })?;
        let index = rest.min(cursor.node.len() as u64) as usize;
        Ok((cursor, index))
    }

    fn descend(
        nodes: &Nodes,
        root: &ObjectId,
        level: u8,
        mut choose: impl FnMut(&Node) -> usize,
    ) -> Result<Cursor, TreeError> {
        let mut cursor = Cursor {
            steps: Vec::new(),
            node: nodes.load(root)?,
            root: *root,
        };
        while cursor.node.level() > level {
            let index = choose(&cursor.node);
            cursor.down(nodes, index)?;
        }
        Ok(cursor)
    }

    fn down(&mut self, nodes: &Nodes, index: usize) -> Result<(), TreeError> {
        let child = nodes.load_child(&self.node, index)?;
        self.steps
            .push((std::mem::replace(&mut self.node, child), index));
        Ok(())
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// This node's id and entries, as the parent has them.
    pub(crate) fn reference(&self) -> (ObjectId, u64) {
        match self.steps.last() {
            Some((parent, index)) => parent.child(*index),
            None => (self.root, self.node.total()),
        }
    }

    /// The key under which this node's parent has it: empty for the first of a level.
    pub(crate) fn separator(&self) -> &[u8] {
        self.steps
            .last()
            .map_or(b"", |(parent, index)| parent.key(*index))
    }

    /// The separator of the next node of this level, if there is one.
    pub(crate) fn upper(&self) -> Option<&[u8]> {
        let (parent, index) = self
            .steps
            .iter()
            .rev()
            .find(|(node, index)| index + 1 < node.len())?;
        Some(parent.key(index + 1))
    }

    /// Goes to the next node of this level; false, and no move, when this is the last one.
    pub(crate) fn next(&mut self, nodes: &Nodes) -> Result<bool, TreeError> {
        self.sideways(
            nodes,
            |index, len| {
                if index + 1 < len {
                    Some(index + 1)
                } else {
                    None
                }
            },
            |_| 0,
        )
    }

    /// Goes to the node before; false, and no move, when this is the first one.
    pub(crate) fn previous(&mut self, nodes: &Nodes) -> Result<bool, TreeError> {
        self.sideways(
            nodes,
            |index, _| index.checked_sub(1),
            |node| node.len() - 1,
        )
    }

    fn sideways(
        &mut self,
        nodes: &Nodes,
        turn: impl Fn(usize, usize) -> Option<usize>,
        enter: impl Fn(&Node) -> usize,
    ) -> Result<bool, TreeError> {
        let found = self.steps.iter().enumerate().rev();
        let mut found =
            found.filter_map(|(depth, (node, index))| Some((depth, turn(*index, node.len())?)));
        let Some((depth, index)) = found.next() else {
            return Ok(false);
        };
        let level = self.node.level();
        self.node = self.steps[depth].0.clone();
        self.steps.truncate(depth);
        self.down(nodes, index)?;
        while self.node.level() > level {
            let index = enter(&self.node);
            self.down(nodes, index)?;
        }
        Ok(true)
    }
}
