//! All objects that a snapshot needs.
//!
//! A walk of its trees that tells each object it meets. What was met before in the same way is not entered
//! again, so all snapshots together cost what they have, not what they show. Nothing is left out
//! because it cannot be read: that is an error, and whoever asks deletes nothing.

use super::TreeError;
use super::map::MapRoot;
use super::node::Node;
use super::nodes::Nodes;
pub use super::references::Way;
use super::references::{self, Reference};
use crate::repo::content::{ContentId, Shape};
use crate::repo::{Kind, ObjectId, RepoError, Repository};

/// Tells `seen` every object that these trees need, with the way it is read. It answers whether the
/// object is new to it in this way; if not, what it refers to is known and not told again.
///
/// # Errors
/// Those of `seen`, and what cannot be read.
pub fn reach(
    repo: &Repository,
    nodes: &Nodes,
    tree: MapRoot,
    state: MapRoot,
    seen: &mut dyn FnMut(Kind, ObjectId, Way) -> Result<bool, RepoError>,
) -> Result<(), TreeError> {
    let mut walk = Walk {
        repo,
        nodes,
        seen,
        rest: Vec::new(),
    };
    walk.push(tree, Way::Directory);
    walk.push(state, Way::Accounts);
    walk.run()
}

struct Walk<'a> {
    repo: &'a Repository,
    nodes: &'a Nodes,
    seen: &'a mut dyn FnMut(Kind, ObjectId, Way) -> Result<bool, RepoError>,
    /// Nodes that are still to be entered: at most those beside the path to the present one.
    rest: Vec<(ObjectId, Way)>,
}

impl Walk<'_> {
    fn push(&mut self, root: MapRoot, way: Way) {
        self.rest.extend(root.map(|root| (root, way)));
    }

    fn run(&mut self) -> Result<(), TreeError> {
        while let Some((id, way)) = self.rest.pop() {
            if (self.seen)(Kind::Node, id, way)? {
                let node = self.nodes.load(&id)?;
                match node.level() {
                    0 => self.leaf(&node, way)?,
                    // The last first, so that they are taken in their order.
                    _ => {
                        let children = (0..node.len()).rev();
                        self.rest
                            .extend(children.map(|index| (node.child(index).0, way)));
                    }
                }
            }
        }
        Ok(())
    }

    fn leaf(&mut self, node: &Node, way: Way) -> Result<(), TreeError> {
        let mut found = Vec::new();
        references::of_leaf(node, way, &mut found)?;
        for reference in found.into_iter().rev() {
            match reference {
                Reference::Map(root, way) => self.rest.push((root, way)),
                Reference::Object(kind, id) => {
                    (self.seen)(kind, id, Way::Plain)?;
                }
                Reference::Content(content) => self.content(content)?,
            }
        }
        Ok(())
    }

    fn content(&mut self, content: ContentId) -> Result<(), TreeError> {
        let Some(kind) = content.shape.kind() else {
            return Ok(());
        };
        let id = content.object;
        if content.shape != Shape::Recipe {
            (self.seen)(kind, id, Way::Plain)?;
            return Ok(());
        }
        if (self.seen)(kind, id, Way::Recipe)? {
            for (kind, id) in references::recipe(self.repo, kind, &id)?.objects() {
                (self.seen)(kind, id, Way::Plain)?;
            }
        }
        Ok(())
    }
}
